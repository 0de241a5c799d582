package clacks_test

import (
	"errors"
	"fmt"
	"testing"

	"clacks"
)

func TestErrorSaysEachThingOnce(t *testing.T) {
	cause := errors.New("connection refused")
	tests := []struct {
		err  *clacks.Error
		want string
	}{
		{clacks.E(clacks.Unavailable, "op", "no answer: %w", cause), "op: no answer: connection refused"},
		{&clacks.Error{Op: "op", Kind: clacks.Unavailable, Reason: "no answer", Err: cause}, "op: no answer: connection refused"},
		{&clacks.Error{Kind: clacks.NotFound}, "not-found"},
		{&clacks.Error{Reason: "wrong", Fields: []clacks.Field{{Attribute: "a", Reason: "x"}, {Attribute: "b", Reason: "y"}}}, "wrong (a: x; b: y)"},
	}
	for _, test := range tests {
		if got := test.err.Error(); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}

func TestKinds(t *testing.T) {
	wrapped := fmt.Errorf("outer: %w", clacks.E(clacks.Conflict, "op", "changed"))
	if clacks.KindOf(wrapped) != clacks.Conflict || !clacks.IsKind(wrapped, clacks.Conflict) || clacks.IsKind(wrapped, clacks.Internal) {
		t.Error("the kind is lost by wrapping")
	}
	if clacks.KindOf(errors.New("x")) != clacks.Internal || clacks.IsKind(errors.New("x"), clacks.Internal) {
		t.Error("an unclassified error counts as internal, and has no kind of its own")
	}
	if !errors.Is(wrapped, &clacks.Error{Kind: clacks.Conflict}) || errors.Is(wrapped, &clacks.Error{Kind: clacks.Limit}) {
		t.Error("errors.Is does not compare kinds")
	}
	names := map[string]bool{}
	for _, k := range clacks.Kinds() {
		if names[k.String()] {
			t.Errorf("two kinds are called %s", k)
		}
		names[k.String()] = true
	}
	if len(names) != 11 || clacks.Kind(200).String() != "internal" {
		t.Errorf("%d names", len(names))
	}
}
