package objects

import (
	"time"

	"clacks/mapping"
)

// Write is common to all changes.
type Write struct {
	// IdempotencyKey makes a repeated request answer with the first outcome. "" for none.
	IdempotencyKey string
	// Version, when set, must be the object's: clacks.Conflict otherwise.
	Version string
	// DryRun plans without changing anything; Result.Plan is set.
	DryRun bool

	cat *catalogue // the types of an open object; nil for those of now
}

// CreateRequest makes an object below the entry Base.
type CreateRequest struct {
	Write
	Type       string
	Base       string         // DN of the parent
	Attributes map[string]any // a value or a list, in wire form (see mapping.Attribute.Parse) or Go values
	Extensions []string
}

// UpdateRequest changes attributes; extending and retracting happen in the same commit.
type UpdateRequest struct {
	Write
	ID      string         // UUID or DN
	Changes map[string]any // a value, a list, nil to clear, or ListChange / map{"add":[],"remove":[]}
	Extend  []string
	Retract []string
}

// ListChange changes a multi-valued attribute value by value.
type ListChange struct {
	Add    []any `json:"add,omitempty"`
	Remove []any `json:"remove,omitempty"`
}

// MoveRequest gives an object another parent, another RDN, or both.
type MoveRequest struct {
	Write
	ID   string
	Base string // DN of the new parent; "" for the same
	RDN  string // "cn=New Name"; "" for the same
}

// DeleteRequest removes an object, and with Recursive all below it.
type DeleteRequest struct {
	Write
	ID        string
	Recursive bool
}

// Result is the outcome of a committed change, or the plan of a dry run.
type Result struct {
	UUID     string `json:"uuid,omitempty"`
	DN       string `json:"dn,omitempty"`
	Version  string `json:"version,omitempty"`
	Sequence int64  `json:"sequence,omitempty"` // of the (last) event
	Plan     *Plan  `json:"plan,omitempty"`
}

// Plan is what a change would do, for people: secrets are masked.
type Plan struct {
	Steps []PlanStep `json:"steps"`
}

// PlanStep is one change of one backend entry.
type PlanStep struct {
	Backend string           `json:"backend"`
	Op      string           `json:"op"`
	Entry   string           `json:"entry"` // DN, or table[column=key]
	To      string           `json:"to,omitempty"`
	Before  map[string][]any `json:"before,omitempty"`
	After   map[string][]any `json:"after,omitempty"`
}

// View is an object as a user may see it.
type View struct {
	UUID, DN, Type string
	Extensions     []string
	Version        string
	LastChanged    time.Time
	Values         mapping.Values // only what was asked for and may be read; never a secret
	Shape          *mapping.Shape
}

// SearchRequest selects objects. The answer comes from the index, which every commit keeps current.
type SearchRequest struct {
	Type       string // "" for all
	Base       string // "" for the service's base
	Scope      string // base, one, sub (default), children
	Filter     map[string]any
	Query      string // XQuery over the object document, applied after the other conditions
	Attributes []string
	OrderBy    string // an attribute; "" for the DN
	Descending bool
	Limit      int    // 0 for DefaultLimit; at most MaxLimit
	Cursor     string // from the page before
	Total      bool   // count all matches
}

// The bounds of a search.
const (
	DefaultLimit = 100
	MaxLimit     = 10_000
)

// SearchResult is one page.
type SearchResult struct {
	Total   int // -1 when not asked for
	Objects []*View
	Cursor  string // "" on the last page
}
