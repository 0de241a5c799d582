package rpc

import (
	"crypto/rand"
	"encoding/hex"
	"sync"

	"clacks"
)

// Detail is one wrong field of a stored error.
type Detail struct {
	Index  int    `json:"index"`
	Detail string `json:"detail"`
}

// StoredError is what getError answers.
type StoredError struct {
	ID      string   `json:"_id"`
	Text    string   `json:"text"`
	Code    string   `json:"code"`
	Topic   *string  `json:"topic"` // the attribute, or null
	Details []Detail `json:"details"`
}

// storedErrors is how many errors a session keeps: a client asks for the one that it just got.
const storedErrors = 32

// ErrorStore keeps the latest errors of one session. It is safe for concurrent use; the zero store is ready.
type ErrorStore struct {
	mu     sync.Mutex
	errors []*StoredError // a ring, next is the oldest
	next   int
}

// Get returns an error by its id, or nil. It stays in the store.
func (s *ErrorStore) Get(id string) *StoredError {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.errors {
		if e.ID == id {
			return e
		}
	}
	return nil
}

func (s *ErrorStore) put(e *StoredError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.errors) < storedErrors {
		s.errors = append(s.errors, e)
		return
	}
	s.errors[s.next] = e
	s.next = (s.next + 1) % storedErrors
}

// store makes an error that getError can be asked for.
func store(errors *ErrorStore, e *clacks.Error) *StoredError {
	stored := &StoredError{ID: randomID(), Text: e.Message(), Code: legacyCode(e), Details: []Detail{}}
	if len(e.Fields) > 0 {
		stored.Topic = &e.Fields[0].Attribute
	}
	for i, f := range e.Fields {
		stored.Details = append(stored.Details, Detail{Index: i, Detail: f.Attribute + ": " + f.Reason})
	}
	if errors != nil {
		errors.put(stored)
	}
	return stored
}

// legacyCodes are codes of fields whose names differ in the legacy dialect. Its frontends mark an input field at
// ATTRIBUTE_CHECK_FAILED and ATTRIBUTE_MANDATORY only.
var legacyCodes = map[string]string{
	clacks.CodeType: clacks.CodeCheck, clacks.CodeReadOnly: clacks.CodeCheck, clacks.CodeNotUnique: clacks.CodeCheck,
	clacks.CodeSingle: clacks.CodeCheck, clacks.CodeValues: clacks.CodeCheck, clacks.CodeBlocked: "ATTRIBUTE_BLOCKED_BY",
	clacks.CodeUnknown: "PROPERTY_NOT_FOUND",
}

// legacyCode is the first field's code, which tells more, or that of the kind.
func legacyCode(e *clacks.Error) string {
	if len(e.Fields) == 0 || e.Fields[0].Code == "" {
		return WireOf(e.Kind).Legacy
	}
	code := e.Fields[0].Code
	if theirs, ok := legacyCodes[code]; ok {
		return theirs
	}
	return code
}

// randomID is 128 random bits, in hexadecimal digits.
func randomID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return hex.EncodeToString(b[:])
}
