package objects

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"

	"clacks"
)

// position is where a page ended: the key that the search sorts by, and the path, which is unique.
type position struct {
	Value string `json:"v,omitempty"`
	Path  string `json:"p"`
}

// The cursor is the position under a code of authenticity that also covers the search and the user: what we read back is
// what we wrote, and it cannot be used to look into another search.
const cursorCode = 16

func (r *search) makeCursor(p *position) string {
	text, err := json.Marshal(p)
	if err != nil {
		return "" // two texts always have a document
	}
	return base64.RawURLEncoding.EncodeToString(append(r.code(text), text...))
}

func (r *search) code(text []byte) []byte {
	mac := hmac.New(sha256.New, r.s.key)
	mac.Write([]byte("cursor\x00" + r.user.ID + "\x00" + r.print + "\x00"))
	mac.Write(text)
	return mac.Sum(nil)[:cursorCode]
}

// maxCursor is the longest cursor that is looked at, in bytes: a DN, an attribute's key, and their encoding.
const maxCursor = 32 << 10

// cursor reads the request's cursor, after everything that identifies the search.
func (r *search) cursor() error {
	identity, err := json.Marshal([]any{r.q.Type, r.q.Base, r.q.Scope, r.q.Filter, r.q.Query, r.q.OrderBy, r.q.Descending})
	if err != nil {
		return clacks.E(clacks.Invalid, "objects.search", "the filter has no JSON form: %w", err)
	}
	sum := sha256.Sum256(identity)
	r.print = string(sum[:])
	if r.q.Cursor == "" {
		return nil
	}
	wrong := wrongParameter("objects.search", "cursor", clacks.CodeCheck, "the cursor does not belong to this search")
	if len(r.q.Cursor) > maxCursor {
		return wrong
	}
	data, err := base64.RawURLEncoding.DecodeString(r.q.Cursor)
	if err != nil || len(data) < cursorCode || !hmac.Equal(data[:cursorCode], r.code(data[cursorCode:])) {
		return wrong
	}
	r.after = &position{}
	if err := json.Unmarshal(data[cursorCode:], r.after); err != nil {
		return wrong
	}
	return nil
}
