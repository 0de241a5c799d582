package objects

import (
	"strconv"
	"strings"
	"testing"

	"clacks"
)

func TestIdempotencyKeys(t *testing.T) {
	w := newWorld(t)
	ada := w.create("User", w.house(), person("ada"))
	try := func(key string) error {
		_, err := w.Update(t.Context(), admin, UpdateRequest{Write: Write{IdempotencyKey: key}, ID: ada.UUID, Changes: map[string]any{"title": key}})
		return err
	}
	for _, key := range []string{"a\x00b", "a\nb", "a\xff", strings.Repeat("x", maxIdempotencyKey+1)} {
		wantKind(t, try(key), clacks.Invalid, "idempotencyKey")
	}
	for _, key := range []string{"k", "schlüssel 1/2", strings.Repeat("x", maxIdempotencyKey)} {
		if err := try(key); err != nil {
			t.Errorf("%q: %v", key, err)
		}
	}
}

func TestTooManyAttributes(t *testing.T) {
	w := newWorld(t)
	people := w.house()
	many := map[string]any{}
	for i := range maxChanges + 1 {
		many["x"+strconv.Itoa(i)] = "y"
	}
	_, err := w.Create(t.Context(), admin, CreateRequest{Type: "User", Base: people, Attributes: many})
	wantKind(t, err, clacks.Limit, "1000")
	_, err = w.Update(t.Context(), admin, UpdateRequest{ID: people, Changes: many})
	wantKind(t, err, clacks.Limit, "1000")
}
