// Package mapping is what Clacks derives from definitions: for each object type a compiled plan that turns the entries
// of its backends into an object's values and back. It does no I/O. A Set is immutable and safe for concurrent use.
package mapping

import (
	"context"
	"errors"

	"clacks"
	"clacks/backends"
	"clacks/definitions"
	"clacks/xquery"
)

var errUnfinished = errors.New("mapping: unfinished")

// Values are an object's values by attribute name, in the Go types that definitions.AttributeType lists. A missing name
// and an empty list both mean "no value". The order of a multi-valued attribute has no meaning but is kept.
type Values map[string][]any

// Object is an object's state outside of any backend.
type Object struct {
	UUID       string
	DN         string // "" before it has a name
	Type       string
	Extensions []string // sorted
	Values     Values
}

// Options say what a set is compiled for.
type Options struct {
	// Kinds are the kinds of the backends by their names in definitions.
	Kinds map[string]backends.Kind
	// Functions are Clacks' own XQuery functions (namespace Namespace, prefix "clacks").
	Functions []xquery.Function
}

// Namespace is that of Clacks' own XQuery functions; the prefix "clacks" is predeclared for it.
const Namespace = "https://clacks.dev/functions"

// Set is a compiled definitions.Set.
type Set struct{}

// Compile compiles all types and returns every problem with its place in the definition files: a query that does not
// compile, a name that exists nowhere with the nearest that does, a circle with its members. The Set is nil when one is
// an Error.
func Compile(defs *definitions.Set, options Options) (*Set, []definitions.Problem) { return nil, nil }

// Definitions is what the set was compiled from.
func (s *Set) Definitions() *definitions.Set { return nil }

// Bases are the names of the base types, sorted.
func (s *Set) Bases() []string { return nil }

// ExtensionsOf are the names of the extensions that may extend a base type, sorted.
func (s *Set) ExtensionsOf(base string) []string { return nil }

// Shape is a base type together with active extensions: the unit that is read and written. Shapes are cached.
func (s *Set) Shape(base string, extensions []string) (*Shape, error) { return nil, errUnfinished }

// Identify says which base type and extensions an entry of a Tree backend carries, by its objectClass values (and, for
// types of equal classes, by FixedRDN); ok is false when no type fits. The type with the most matching classes wins.
func (s *Set) Identify(backend string, entry *backends.Entry) (base string, extensions []string, ok bool) {
	return "", nil, false
}

// Source is one backend entry that a shape consists of. ID is Backend for a tree entry and "Backend/table" for a row.
type Source struct {
	ID      string
	Backend string
	Kind    backends.Kind
	Primary bool // it identifies the object: its DN is the object's
	// Want are the backend attributes to read, for all of the shape's attributes. Tree sources include objectClass.
	Want []string
	// Tree only.
	ObjectClasses []string
	RDN           []string // attribute names: the first is in the RDN, the rest make it unique
	FixedRDN      string
	// Table only.
	Table        string
	Column       string            // the key column
	KeyAttribute string            // the object attribute that the key column equals; "uuid" for the object's UUID
	Children     map[string]string // child table -> its column that holds the key
}

// Shape is immutable.
type Shape struct{}

// Type and Extensions are what the shape was made of.
func (s *Shape) Type() *definitions.Type           { return nil }
func (s *Shape) Extensions() []string              { return nil }
func (s *Shape) Sources() []*Source                { return nil }
func (s *Shape) Source(id string) (*Source, bool)  { return nil, false }
func (s *Shape) Attributes() []*Attribute          { return nil } // in dependency order
func (s *Shape) Attribute(name string) *Attribute  { return nil }
func (s *Shape) Wants(attrs []string) []SourceWant { return nil }

// SourceWant is a source and the backend attributes of it that some object attributes need.
type SourceWant struct {
	Source *Source
	Want   []string
}

// Attribute is a compiled attribute.
type Attribute struct {
	*definitions.Attribute
	// Owner is the type (base or extension) that defines it.
	Owner string
	// Writable: it has an outbound way (stored under its own name, or an Outbound).
	Writable bool
	// Reads are the object attributes that its outbound queries, default and asserts read.
	Reads []string
}

// Entries are the loaded entries of an object by Source.ID; a source whose row does not exist is missing.
type Entries map[string]*backends.Entry

// Inbound computes the object's values from its entries: names, queries, types. Values that cannot be converted are
// problems of the data, not of the caller: they are left out and reported.
func (s *Shape) Inbound(ctx context.Context, entries Entries) (Values, []Fault, error) {
	return nil, nil, errUnfinished
}

// Fault is a backend value that does not fit its attribute's type.
type Fault struct{ Attribute, Source, Reason string }

// Defaults fills the missing values of a new object that have a Default, in dependency order.
func (s *Shape) Defaults(ctx context.Context, object *Object) error { return errUnfinished }

// Parse converts a value as it comes over the wire (JSON: string, json.Number/float64, bool, base64 string for Binary,
// RFC 3339 for dates) to the attribute's Go type; the error is a sentence without the value.
func (a *Attribute) Parse(v any) (any, error) { return nil, errUnfinished }

// Format converts a Go value of the attribute to its JSON form (int64, bool, string, any JSON for AnyType).
func (a *Attribute) Format(v any) any { return nil }

// Text is the value as text, for events, patterns and comparison: RFC 3339 dates, base64 binaries, decimal integers.
func (a *Attribute) Text(v any) string { return "" }

// Key is the normal form of a value under which two values count as the same (Unique, searches): case folded and
// spaces squeezed unless CaseSensitive.
func (a *Attribute) Key(v any) string { return "" }

// Equal reports whether two value lists of the attribute are the same set.
func (a *Attribute) Equal(x, y []any) bool { return false }

// Check validates an object before a commit: mandatory, single values, types, allowed values, blocked, read-only
// (against old), asserts. old is nil on create. It returns every wrong field, not only the first.
func (s *Shape) Check(ctx context.Context, old, object *Object) ([]clacks.Field, error) {
	return nil, errUnfinished
}

// EntryState is what one backend entry should be, as far as a change touches it.
type EntryState struct {
	Source *Source
	// Touched are the backend attributes that the change concerns, with what they are to hold; an empty list means none.
	// On create these are all attributes of the entry that have a value, objectClass included.
	Touched backends.Values
	// Key is the new value of a table source's key.
	Key any
}

// Outbound computes what each entry is to hold, running each needed outbound query exactly once, in dependency order.
// old is nil on create; only attributes whose inputs differ between old and object are computed. The values of RDN
// attributes are among Touched; naming itself is the caller's.
func (s *Shape) Outbound(ctx context.Context, old, object *Object) ([]EntryState, error) {
	return nil, errUnfinished
}

// Explanation says where an attribute's value comes from and goes to.
type Explanation struct {
	Type      string      `json:"type"`
	Attribute string      `json:"attribute"`
	ValueType string      `json:"valueType"`
	From      []Direction `json:"from"`
	To        []Direction `json:"to"`
	Notes     []string    `json:"notes,omitempty"`
}

// Direction is one way of a value: a backend attribute, and the query if there is one.
type Direction struct {
	Backend   string   `json:"backend"`
	Table     string   `json:"table,omitempty"`
	Attribute string   `json:"attribute,omitempty"`
	Query     string   `json:"query,omitempty"`
	Reads     []string `json:"reads,omitempty"`
}

// Explain explains TYPE or TYPE.ATTRIBUTE.
func (s *Set) Explain(typeName, attribute string) ([]Explanation, error) { return nil, errUnfinished }
