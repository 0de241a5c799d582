// Package xquery is XQuery 3.1 (W3C Recommendation, 21 March 2017) on helium's XPath 3.1. It knows nothing of objects,
// LDAP or events. A query is compiled once, is immutable, and is evaluated from many goroutines.
package xquery

import (
	"context"
	"errors"
	"time"

	"github.com/lestrrat-go/helium"
)

var errUnfinished = errors.New("xquery: unfinished")

// Options say what a query may refer to and where it stands.
type Options struct {
	// File, Line and Column are where the source stands (in a definition file); errors are reported relative to them.
	// Line and Column count from 1; 0 means 1.
	File         string
	Line, Column int
	// Namespaces are predeclared prefixes; the query's prolog may add and override.
	Namespaces map[string]string
	// ElementNamespace is the default element namespace.
	ElementNamespace string
	// Variables are the external variables that the query may use without declaring them (local names).
	Variables []string
	// Functions are external functions.
	Functions []Function
}

// Function is an external function. Call gets one sequence an argument and must not keep them.
type Function struct {
	Namespace, Name string
	Arity           int
	// Effect marks a function that must not be used in a pure query (a generator of numbers); Query.Effects lists the used.
	Effect bool
	Doc    string
	Call   func(ctx context.Context, args []Sequence) (Sequence, error)
}

// Limits bound one evaluation. Zero fields mean DefaultLimits' values.
type Limits struct {
	Steps       int           // evaluation steps
	Depth       int           // recursion
	Constructed int           // bytes of nodes and strings constructed
	Time        time.Duration // wall clock, besides the context's deadline
}

// DefaultLimits bound an evaluation whose Input sets none.
var DefaultLimits = Limits{Steps: 1_000_000, Depth: 512, Constructed: 16 << 20, Time: 5 * time.Second}

// MaxSource is the size of a query in bytes above which Compile refuses it.
const MaxSource = 256 << 10

// Input is what an evaluation works on.
type Input struct {
	// Context is the context item: a *Document, a helium.Node, or nil for none.
	Context   any
	Variables map[string]Sequence
	Limits    Limits
	Now       time.Time // the clock of fn:current-dateTime; zero for the real one
}

// Query is a compiled query: immutable, safe for concurrent use.
type Query struct{}

// Compile checks and compiles source. Its error is an *Error with the W3C code and the place.
func Compile(source string, options Options) (*Query, error) { return nil, errUnfinished }

// Evaluate runs the query. Its error is an *Error, or the context's.
func (q *Query) Evaluate(ctx context.Context, in Input) (Sequence, error) { return nil, errUnfinished }

// Matches is the effective boolean value of the query's result (XQuery 3.1, section 2.4.3).
func (q *Query) Matches(ctx context.Context, in Input) (bool, error) { return false, errUnfinished }

// Source is the text that was compiled.
func (q *Query) Source() string { return "" }

// Paths are the reads of a query, found by static analysis. They never claim less than what is read.
type Paths struct {
	// Context are the paths read from the context item, Variables those from each external variable.
	Context   []Path
	Variables map[string][]Path
}

// Path is a sequence of child element steps (local names), from the item on. All means that everything below may be
// read (the item itself is atomized or returned, a wildcard, an axis other than child/attribute/self).
type Path struct {
	Steps []Step
	All   bool
}

// Step is one child or attribute step and where it stands in the source file.
type Step struct {
	Name         string
	Attribute    bool
	Line, Column int
}

// Reads are the paths that the query can read.
func (q *Query) Reads() Paths { return Paths{} }

// Effects are the names of the used functions that have an effect.
func (q *Query) Effects() []string { return nil }

// Error is a static or dynamic error of XQuery.
type Error struct {
	Code         string // "XPST0003"
	Message      string
	File         string
	Line, Column int
	Near         string // the offending text, if known
	Err          error
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// Sequence is a result or an argument: zero or more items. It is read-only.
type Sequence interface {
	Len() int
	// Item is the i-th item as a Go value: string (also untypedAtomic, anyURI and other string-like types), bool, int64
	// (integers that fit), float64, *big.Rat (decimals, and integers that do not fit), time.Time (dateTime, date),
	// []byte (base64Binary, hexBinary), helium.Node, or an opaque value.
	Item(i int) any
	// Atoms are the atomized items in the same Go types: nodes become the string of their typed value.
	Atoms() ([]any, error)
	// Strings are the string values of the atomized items.
	Strings() ([]string, error)
}

// Of makes a sequence of Go values: the types that Item returns, *Document, int, and nil (for nothing).
func Of(values ...any) Sequence { return nil }

// Document is an XML document tree. It is safe for concurrent reading.
type Document struct{}

// ParseLimits bound what ParseDocument accepts: bytes, and depth of nesting. A DOCTYPE is always refused.
type ParseLimits struct{ Size, Depth int }

// ParseDocument parses XML. Its error is an *Error with line and column.
func ParseDocument(xml []byte, limits ParseLimits) (*Document, error) { return nil, errUnfinished }

// Root is the document node.
func (d *Document) Root() helium.Node { return nil }

// Free returns the document's memory for reuse. No node of it may be held any more. Optional.
func (d *Document) Free() {}

// Builder makes a small document without parsing: elements in no namespace with text, as mappings need them.
type Builder struct{}

// NewBuilder starts a document whose root element has this name.
func NewBuilder(root string) *Builder { return nil }

// Open starts a child element of the current one.
func (b *Builder) Open(name string) {}

// Close ends the current element.
func (b *Builder) Close() {}

// Attribute sets an attribute of the current element.
func (b *Builder) Attribute(name, value string) {}

// Text adds a child element with text: an attribute value of an entry or an object.
func (b *Builder) Element(name, text string) {}

// Document ends the building. The root element is the context item that mappings use: Document.Element.
func (b *Builder) Document() *Document { return nil }

// Element is the root element.
func (d *Document) Element() helium.Node { return nil }
