// Package mapping is what Clacks derives from definitions: for each object type a compiled plan that turns the entries
// of its backends into an object's values and back. It does no I/O and knows no driver.
//
// # How data flows
//
//	definitions.Set --Compile--> Set --Shape(base, extensions)--> Shape
//
//	reading:  backends.Entry (one a Source) --Inbound--> Values
//	writing:  Object --Defaults--> Object --CheckChanges, Check--> --Outbound--> EntryState (one a Source)
//
// Compile resolves every attribute of a type to its sources: tree entries and table rows. An attribute that is stored
// under its own or another name is a direct way and costs no XQuery; the others have compiled queries, whose static
// analysis says which backend attributes are to be fetched, in which order attributes are computed, and which names do
// not exist. Everything wrong is reported at once with its place in the definition files.
//
// A Shape is a base type together with its active extensions: the unit that is read and written. It is made once for
// each combination that occurs. Set, Shape and Attribute are immutable and safe for concurrent use. Value lists are
// shared between entries and Values: whoever changes one replaces it.
package mapping

import (
	"context"
	"sort"
	"strings"
	"sync"

	"clacks"
	"clacks/backends"
	"clacks/definitions"
	"clacks/internal/password"
	"clacks/xquery"
)

// Values are an object's values by attribute name, in the Go types that definitions.AttributeType lists. A missing name
// and an empty list both mean "no value", but for an attribute that cannot be read back (Attribute.Readable is false):
// there a missing name means "unchanged" and an empty list "cleared". The order of a multi-valued attribute has no
// meaning but is kept. The lists are immutable.
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
	// Functions are XQuery functions besides those of package mapping itself.
	Functions []xquery.Function
	// Lookup serves clacks:object and clacks:next-number; nil makes them fail when they are called, but a Default that
	// calls them yields no value then.
	Lookup Lookup
	// PasswordScheme is the scheme in which clacks:password-hash stores a password; "" for the default.
	PasswordScheme password.Scheme
}

// Namespace is that of Clacks' own XQuery functions; the prefix "clacks" is predeclared for it.
const Namespace = "https://clacks.dev/functions"

// ObjectClass is the name of the attribute that tells the types of a tree entry (RFC 4512, section 3.3). It belongs to
// the shape; no object attribute may be mapped to it.
const ObjectClass = "objectClass"

// Set is a compiled definitions.Set.
type Set struct {
	defs       *definitions.Set
	types      map[string]*definitions.Type
	bases      map[string]*basePlan
	baseNames  []string
	references []Reference
	identities map[string][]*identity // by backend

	mu     sync.RWMutex
	shapes map[string]*Shape
}

// Definitions is what the set was compiled from.
func (s *Set) Definitions() *definitions.Set { return s.defs }

// Bases are the names of the base types, sorted. Types whose primary backend is unknown are left out.
func (s *Set) Bases() []string { return append([]string(nil), s.baseNames...) }

// ExtensionsOf are the names of the extensions that may extend a base type, sorted.
func (s *Set) ExtensionsOf(base string) []string {
	b := s.bases[base]
	if b == nil {
		return nil
	}
	return append([]string(nil), b.extensions...)
}

// Shape returns a base type together with active extensions, fastest when they are sorted. The error is clacks.NotFound
// for an unknown base type and clacks.Invalid for an extension that does not extend it.
func (s *Set) Shape(base string, extensions []string) (*Shape, error) {
	var buffer [128]byte
	key := append(buffer[:0], base...)
	for _, e := range extensions {
		key = append(append(key, 0), e...)
	}
	s.mu.RLock()
	shape := s.shapes[string(key)]
	s.mu.RUnlock()
	if shape != nil {
		return shape, nil
	}
	return s.makeShape(base, extensions)
}

// makeShape finds or builds a shape. It is kept under the sorted names only: the orders in which one may ask are many.
func (s *Set) makeShape(base string, extensions []string) (*Shape, error) {
	const op = "mapping.shape"
	plan := s.bases[base]
	if plan == nil {
		return nil, clacks.E(clacks.NotFound, op, "there is no object type %q", clip(base))
	}
	sorted := append([]string(nil), extensions...)
	sort.Strings(sorted)
	for i, e := range sorted {
		if plan.parts[e] == nil {
			return nil, clacks.E(clacks.Invalid, op, "%q is no extension of %s", clip(e), base)
		}
		if i > 0 && sorted[i-1] == e {
			return nil, clacks.E(clacks.Invalid, op, "the extension %s is named twice", e)
		}
	}
	canonical := strings.Join(append([]string{base}, sorted...), "\x00")
	s.mu.Lock()
	defer s.mu.Unlock()
	shape := s.shapes[canonical]
	if shape == nil {
		shape = newShape(s, plan, sorted)
		s.shapes[canonical] = shape
	}
	return shape, nil
}

// Source is one backend entry that a shape consists of. ID is Backend for a tree entry and "Backend/table" for a row.
type Source struct {
	ID      string
	Backend string
	Kind    backends.Kind
	Primary bool // it identifies the object: its DN is the object's
	// Want are the backend attributes to read, for all of the shape's attributes. Tree sources include objectClass.
	Want []string
	// Writes are the backend attributes that Outbound may touch. A change needs the old values of both Want and Writes:
	// those of an attribute that is never read back (a secret) are only here.
	Writes []string
	// ReadOnly are those of Want that Outbound never touches.
	ReadOnly []string
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

// UUIDKey as a Source's KeyAttribute says that the key is the object's UUID.
const UUIDKey = "uuid"

// SourceWant is a source and the backend attributes of it that some object attributes need.
type SourceWant struct {
	Source *Source
	Want   []string
}

// Attribute is a compiled attribute. Its methods need only the embedded definition.
type Attribute struct {
	*definitions.Attribute
	// Owner is the type (base or extension) that defines it.
	Owner string
	// Writable: it has an outbound way (stored under its own name, or an Outbound), or lives in a backend that stores
	// nothing and so serves other attributes while an object is changed.
	Writable bool
	// Readable: its value can be read back. Secrets, and what no backend stores, cannot.
	Readable bool
	// Computed: it is written by queries that do not read it. A caller cannot set it; Outbound fills it.
	Computed bool
	// Reads are the object attributes that its outbound queries, default and asserts read, sorted.
	Reads []string

	plan *attributePlan
}

// Entries are the loaded entries of an object by Source.ID; a source whose row does not exist is missing.
type Entries map[string]*backends.Entry

// Fault is a backend value that does not fit its attribute's type. The value is not part of it.
type Fault struct{ Attribute, Source, Reason string }

// EntryState is what one backend entry should be, as far as a change touches it.
type EntryState struct {
	Source *Source
	// Touched are the backend attributes that the change concerns, with what they are to hold; an empty list means none.
	// On create these are all attributes of the entry that have a value, objectClass included.
	//
	// objectClass is the one attribute that others may add to: see Target for what it is to hold.
	Touched backends.Values
	// Drop are the object classes that leave the entry because their extension was retracted. Classes that are neither
	// in Touched nor in Drop belong to somebody else and stay.
	Drop []string
	// Key is the new value of a table source's key.
	Key any
	// Gone: the entry is to be deleted; the source belonged to retracted extensions only. Touched is empty.
	Gone bool
}

// Lookup finds other objects for the XQuery functions that need them.
type Lookup interface {
	// Object returns the object of a type whose attribute has this value (as Attribute.Text gives it), nil when there is
	// none. The values of Secret attributes are left out.
	Object(ctx context.Context, typeName, attribute, value string) (*Object, error)
	// NextNumber reserves and returns the smallest free number of an Integer attribute that is at least from.
	NextNumber(ctx context.Context, typeName, attribute string, from int64) (int64, error)
}
