// Package backends is the contract between Clacks and the stores in which objects live: LDAP directories, SQL
// databases, the embedded directory. Each sub-folder is one driver; backendtest is the suite that each of them passes.
//
// A backend knows entries, not objects: it reads one, finds some, and changes one atomically under a guard. It never
// retries a change, never invents a value, and always says which of three things happened: done, not done, or unknown
// (clacks.InDoubt). Callers are package objects and package mapping only.
package backends

import (
	"context"
	"iter"

	"clacks/internal/store"
)

// Value is one value of a backend attribute: string, int64, float64, bool, time.Time (UTC) or []byte. A driver accepts
// all of them on writing and converts to its own form (RFC 4517 syntaxes for LDAP, column types for SQL); on reading it
// returns the type that its schema tells, and string where it tells none.
type Value = any

// Values are the values of an entry by attribute name, in the spelling in which the caller asked for them. A missing
// name and an empty list both mean "no value". Within one attribute the order has no meaning.
type Values map[string][]Value

// Kind tells how the entries of a backend are named.
type Kind uint8

const (
	// None stores nothing: every write succeeds, every read finds an empty entry.
	None Kind = iota
	// Tree names entries by DN, has parents and children, and renames subtrees.
	Tree
	// Table names entries by the value of a key column of a table.
	Table
)

// Capabilities is what a driver declares about itself; backendtest checks each in both directions.
type Capabilities struct {
	Kind Kind
	// Versions: Entry.Version is set, and Guard.Version is checked atomically with the change.
	Versions bool
	// Rename: OpRename works, and takes the children along (Tree).
	Rename bool
	// SubtreeRename: an entry with children can be renamed and moved.
	SubtreeRename bool
}

// Ref names one entry. A Tree backend uses UUID when DN is empty, else DN; a Table backend uses the four others.
type Ref struct {
	DN   string `json:"dn,omitempty"`
	UUID string `json:"uuid,omitempty"` // the object's UUID; on OpCreate what the new entry is to carry

	Table  string `json:"table,omitempty"`
	Column string `json:"column,omitempty"` // the key column
	Key    Value  `json:"key,omitempty"`    // the value of the key column
	// Children names the child tables in use and the column of each that holds Key. A value of a child table's column is
	// the attribute "table/column" of the entry: one row a value.
	Children map[string]string `json:"children,omitempty"`
}

// Entry is one record of a backend. The caller owns it; the driver keeps no reference.
type Entry struct {
	Ref
	// Version changes whenever the entry does (entryCSN). Empty when the driver has no versions.
	Version string
	Values  Values
}

// Op is the kind of a change.
type Op string

const (
	// OpCreate makes the entry with Add as its values; clacks.NotUnique if it exists, clacks.NotFound if its parent is missing.
	OpCreate Op = "create"
	// OpModify applies Mods; clacks.NotFound if there is no such entry.
	OpModify Op = "modify"
	// OpRename gives the entry the name To (and takes its subtree along); Mods is empty.
	OpRename Op = "rename"
	// OpDelete removes the entry; clacks.InUse if it has children.
	OpDelete Op = "delete"
)

// Mod changes one attribute value by value: Delete first, then Add. Adding a value that is there, or deleting one that
// is not, is clacks.Conflict; nothing of the change is applied then. Mods work one after another, and those that name one
// attribute by several of its names (RFC 4512, section 2.5.1) concern the same values.
type Mod struct {
	Attribute string  `json:"attribute"`
	Delete    []Value `json:"delete,omitempty"`
	Add       []Value `json:"add,omitempty"`
}

// Guard is what must still be true when a change is applied, checked atomically with it. A guard that is false is
// clacks.Conflict and nothing is changed.
type Guard struct {
	// Version is the Entry.Version that was read; empty for no check.
	Version string `json:"version,omitempty"`
	// Old are values that the attributes must still have (exactly these); used by drivers without versions.
	Old Values `json:"old,omitempty"`
	// Seen are values from which the change was made, some time ago: each attribute must have exactly these at a moment of the
	// change's transaction. Nothing keeps others from writing there afterwards. It is not kept with a change, and drivers
	// with versions need not look at it.
	Seen Values `json:"-"`
	// UUID is the object UUID that the entry must carry (Tree); empty for no check.
	UUID string `json:"uuid,omitempty"`
}

// Change is one atomic change of one entry.
type Change struct {
	Op    Op     `json:"op"`
	Ref   Ref    `json:"ref"`
	To    Ref    `json:"to,omitzero"`   // OpRename: the new name (DN, or Key)
	Add   Values `json:"add,omitempty"` // OpCreate: the entry's values
	Mods  []Mod  `json:"mods,omitempty"`
	Guard Guard  `json:"guard,omitzero"`
	// Want are attributes of which an OpModify shows in Result.Entry what they hold after it, if the driver is told without
	// asking again. It is not kept with a change.
	Want []string `json:"-"`
}

// Result is what is known after a change: the entry's version, where the driver has versions (pre/post-read, RFC 4527).
type Result struct {
	Version string `json:"version,omitempty"`
	// Entry is what Change.Want asked for, as it is after the change; nil when the driver does not know.
	Entry *Entry `json:"-"`
}

// Scope says how far a search in a tree reaches.
type Scope string

// The scopes of RFC 4511, section 4.5.1.2, and "children": the subtree without its base.
const (
	ScopeBase     Scope = "base"
	ScopeOne      Scope = "one"
	ScopeSub      Scope = "sub"
	ScopeChildren Scope = "children"
)

// Query selects entries. Tree: Base, Scope, Filter. Table: Table, Column, Keys (all rows when nil), Filter.
type Query struct {
	Base       string
	Scope      Scope
	Filter     *Filter // nil for all
	Attributes []string
	Table      string
	Column     string
	Keys       []Value
	Children   map[string]string
	PageSize   int // entries fetched in one go; 0 for the driver's choice
}

// FilterOp is the operator of a Filter.
type FilterOp string

// The operators. Comparisons follow the attribute's matching rule (RFC 4517) in a Tree, the column's in a Table.
const (
	And     FilterOp = "and"
	Or      FilterOp = "or"
	Not     FilterOp = "not"
	Equal   FilterOp = "="
	Present FilterOp = "present"
	Prefix  FilterOp = "prefix"
	Contain FilterOp = "contains"
	AtLeast FilterOp = ">="
)

// Filter is a condition on an entry's values. And, Or and Not use Of; the others Attribute and (but for Present) Value.
type Filter struct {
	Op        FilterOp
	Attribute string
	Value     Value
	Of        []*Filter
}

// Backend is one store. All methods may be called from many goroutines and honour the context's deadline. Errors are
// *clacks.Error: NotFound, NotUnique, Conflict, InUse, Invalid (the store's schema refuses; Fields name the attribute
// where it is known), Denied, Unavailable (definitely not applied), InDoubt (perhaps applied), Limit.
type Backend interface {
	Capabilities() Capabilities
	// Read returns the entry named ref with the wanted attributes ("*" for all user attributes), or clacks.NotFound.
	// Entry.UUID and Entry.DN are always set by a Tree backend.
	Read(ctx context.Context, ref Ref, want []string) (*Entry, error)
	// Search yields matching entries as they come; after an error nothing follows. Stopping early frees everything.
	Search(ctx context.Context, q Query) iter.Seq2[*Entry, error]
	// Apply makes one change.
	Apply(ctx context.Context, c Change) (Result, error)
	// Ping says whether the store answers now.
	Ping(ctx context.Context) error
	Close() error
}

// Joiner is implemented by SQL backends whose tables may lie in the same database as the service's state: their
// changes then take part in the commit transaction instead of being undone and redone around it.
type Joiner interface {
	// SameDatabase reports whether the backend's tables lie in db.
	SameDatabase(db *store.DB) bool
	// Statements are the change as statements of one transaction; they fail with clacks.Conflict when the guard is false.
	Statements(c Change) ([]store.Statement, error)
}

// Normalizer is implemented by backends that keep some values in another form than they are given: numeric(8,2), inet or
// jsonb in a table. Who compares what was written with what is read writes what Normalize returns.
type Normalizer interface {
	// Normalize is the change with the values that it adds in the form in which Read will return them. The change itself
	// stays as it is. It writes nothing: clacks.Invalid says which value the store cannot hold, clacks.Unavailable that it
	// cannot be asked.
	Normalize(ctx context.Context, c Change) (Change, error)
}

// Binder is implemented by backends that hold passwords.
type Binder interface {
	// Bind checks the password of the entry named dn: nil, clacks.Unauthenticated, or clacks.Unavailable. An empty
	// password is always refused (RFC 4513, section 5.1.2).
	Bind(ctx context.Context, dn, password string) error
}
