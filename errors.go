package clacks

import (
	"errors"
	"fmt"
	"strings"
)

// Kind classifies an error for callers and for the wire. The list is append-only: its numbers are never reused, and
// rpc maps each kind to exactly one code.
type Kind uint8

const (
	// Internal is a fault of Clacks itself, and what every unclassified error counts as.
	Internal Kind = iota
	// Unauthenticated means that nobody is logged in, or that a credential is wrong.
	Unauthenticated
	// Denied means that the user is known and may not do this.
	Denied
	// NotFound means that the named object, attribute, type or command does not exist.
	NotFound
	// Conflict means that the object changed since the version that the caller had read.
	Conflict
	// Invalid means that a value, a parameter or a document is wrong; Fields say which.
	Invalid
	// NotUnique means that a name or a unique value is already taken.
	NotUnique
	// InUse means that children, references or dependent extensions are in the way.
	InUse
	// Unavailable means that a backend could not be reached and that nothing was changed.
	Unavailable
	// InDoubt means that a backend may or may not have applied a change; the journal resolves it.
	InDoubt
	// Limit means that a size, depth, count or time limit was exceeded.
	Limit
)

var kindNames = [...]string{
	"internal", "unauthenticated", "denied", "not-found", "conflict", "invalid", "not-unique", "in-use",
	"unavailable", "in-doubt", "limit",
}

// String is the kind's name on the wire and in metrics: lower case with hyphens.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "internal"
}

// Kinds lists every kind, in the order of their numbers.
func Kinds() []Kind {
	kinds := make([]Kind, len(kindNames))
	for i := range kinds {
		kinds[i] = Kind(i)
	}
	return kinds
}

// Field says what is wrong with one attribute or parameter. The value itself is never part of it when the attribute is
// secret.
type Field struct {
	Attribute string `json:"attribute"`
	Code      string `json:"code"`
	Reason    string `json:"reason"`
}

// The codes of a Field.
const (
	CodeMandatory = "ATTRIBUTE_MANDATORY"
	CodeCheck     = "ATTRIBUTE_CHECK_FAILED"
	CodeType      = "ATTRIBUTE_TYPE"
	CodeReadOnly  = "ATTRIBUTE_READ_ONLY"
	CodeBlocked   = "ATTRIBUTE_BLOCKED"
	CodeUnknown   = "ATTRIBUTE_UNKNOWN"
	CodeNotUnique = "ATTRIBUTE_NOT_UNIQUE"
	CodeSingle    = "ATTRIBUTE_SINGLE_VALUE"
	CodeValues    = "ATTRIBUTE_VALUE_NOT_ALLOWED"
)

// Error is the one error type that crosses package borders. It is immutable once returned.
type Error struct {
	Op     string  // what was being done: "objects.update"
	Kind   Kind    // its class
	Type   string  // the object type concerned, if any
	Reason string  // one sentence for the user, without secrets
	Fields []Field // every wrong attribute, not only the first
	Err    error   // the cause, for the log
}

// Error is the sentence for the log: operation, reason, fields, cause.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Op != "" {
		b.WriteString(e.Op + ": ")
	}
	b.WriteString(e.Message())
	if e.Err != nil && !strings.Contains(e.Reason, e.Err.Error()) {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

// Message is the sentence for the user: the reason and the fields, without operation and cause.
func (e *Error) Message() string {
	reason := e.Reason
	if reason == "" {
		reason = e.Kind.String()
	}
	parts := make([]string, 0, len(e.Fields))
	for _, f := range e.Fields {
		parts = append(parts, f.Attribute+": "+f.Reason)
	}
	if len(parts) == 0 {
		return reason
	}
	return reason + " (" + strings.Join(parts, "; ") + ")"
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports two errors of one kind as the same when target carries only a kind, so that
// errors.Is(err, &clacks.Error{Kind: clacks.NotFound}) works.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Kind == e.Kind && t.Op == "" && t.Reason == "" && t.Err == nil && t.Fields == nil
}

// E makes an Error of a kind with a formatted reason; a %w verb also sets the cause.
func E(kind Kind, op, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Op: op, Kind: kind, Reason: err.Error(), Err: errors.Unwrap(err)}
}

// KindOf is the kind of the outermost Error in err's chain; Internal for any other error.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// IsKind reports whether err is an Error of this kind.
func IsKind(err error, kind Kind) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == kind
}
