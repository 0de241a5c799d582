// Package sql is the backend for tables of PostgreSQL and SQLite: an entry is the row of a table whose key column has a
// certain value, together with the rows of child tables that carry the same key. It runs on package store, so its
// changes can take part in a commit's transaction when the tables lie in the same database.
//
//	Ref, Change, Query (names from definitions, values from clients)
//	  -> catalogue.go: names -> columns of the database's own catalogue; what is not there is clacks.Invalid
//	  -> values.go: Go values <-> what the column's type takes
//	  -> change.go, row.go, search.go, filter.go: statements with quoted names and every value as a parameter
//	  -> normalize.go: values in the form in which the database keeps them
//	  -> store: one round trip on PostgreSQL
//	  -> errors.go: row counts and constraints -> NotFound, Conflict, NotUnique, InUse, Invalid with the attribute
//
// Rows have no version; a change is guarded by the values that must still be there, in the conditions of its statements.
package sql

import (
	"context"

	"clacks"
	"clacks/backends"
	"clacks/internal/store"
)

// Backend implements backends.Backend, backends.Joiner, backends.Normalizer and Describe. It is safe for concurrent use.
type Backend struct {
	db     *store.DB
	tables catalogue
}

var (
	_ backends.Backend    = (*Backend)(nil)
	_ backends.Joiner     = (*Backend)(nil)
	_ backends.Normalizer = (*Backend)(nil)
)

// New is the backend of the tables in db, which Close closes.
func New(db *store.DB) *Backend { return &Backend{db: db} }

// Open opens the database at an address as store.Open takes it. It does not fail when the server is down.
func Open(url string) (*Backend, error) {
	db, err := store.Open(url)
	if err != nil {
		return nil, err
	}
	return New(db), nil
}

// Capabilities has no versions: a table has no column for them. Rename changes the key.
func (b *Backend) Capabilities() backends.Capabilities {
	return backends.Capabilities{Kind: backends.Table, Rename: true}
}

// SameDatabase reports whether the tables lie in the database of db, as the same user sees it.
func (b *Backend) SameDatabase(db *store.DB) bool { return db != nil && db.URL() == b.db.URL() }

// Ping asks the database for an answer.
func (b *Backend) Ping(ctx context.Context) error { return b.db.Ping(ctx) }

// Close closes the database.
func (b *Backend) Close() error { return b.db.Close() }

// Statements are the change as statements of one transaction. A false guard makes a *store.RowsError of it.
func (b *Backend) Statements(c backends.Change) ([]store.Statement, error) {
	ctx, cancel := context.WithTimeout(context.Background(), describeTimeout) // only for a table seen for the first time
	defer cancel()
	p, err := b.plan(ctx, c)
	if err != nil {
		return nil, err
	}
	return p.statements, nil
}

// Apply makes one change in a transaction of its own.
func (b *Backend) Apply(ctx context.Context, c backends.Change) (backends.Result, error) {
	p, err := b.plan(ctx, c)
	if err != nil {
		return backends.Result{}, err
	}
	if _, err := b.db.Exec(ctx, p.statements...); err != nil {
		return backends.Result{}, b.explain(ctx, p, err)
	}
	return backends.Result{}, nil
}

func (b *Backend) postgres() bool { return b.db.Dialect() == store.PostgreSQL }

// target is a resolved Ref or Query: the columns that it names, and the key as the database takes it.
type target struct {
	table    *Table
	key      *Column
	children map[string]*child // by the lower-case name of the table
}

// child is a child table in use.
type child struct {
	table *Table
	owner *Column // holds the key of the row that it belongs to
}

func (b *Backend) resolve(ctx context.Context, table, column string, children map[string]string) (*target, error) {
	t := &target{}
	var err error
	if t.table, err = b.table(ctx, table); err != nil {
		return nil, err
	}
	if t.key, err = b.column(ctx, &t.table, column, column); err != nil {
		return nil, err
	}
	if len(children) > 0 {
		t.children = make(map[string]*child, len(children))
	}
	for name, owner := range children {
		c := &child{}
		if c.table, err = b.table(ctx, name); err != nil {
			return nil, err
		}
		if c.owner, err = b.column(ctx, &c.table, owner, name+"/"+owner); err != nil {
			return nil, err
		}
		t.children[fold(name)] = c
	}
	return t, nil
}

// place is where the values of an attribute live: a column of the row, or of a child table.
type place struct {
	attribute string // as the caller spells it
	column    *Column
	child     *child // nil for the row itself
}

// name tells places apart; the pointers do not, since a table may have been described anew in between.
func (p place) name() string {
	if p.child == nil {
		return p.column.quoted
	}
	return p.child.table.quoted + "/" + p.column.quoted
}

func (p place) isKey(t *target) bool { return p.child == nil && p.column.Name == t.key.Name }

// place resolves "column" and "table/column".
func (b *Backend) place(ctx context.Context, t *target, attribute string) (place, error) {
	table, column, isChild := cutAttribute(attribute)
	if !isChild {
		c, err := b.column(ctx, &t.table, attribute, attribute)
		return place{attribute: attribute, column: c}, err
	}
	of := t.children[fold(table)]
	if of == nil {
		return place{}, unknown(attribute, "the child table is not one of this object's")
	}
	c, err := b.column(ctx, &of.table, column, attribute)
	return place{attribute: attribute, column: c, child: of}, err
}

func invalid(attribute, code, reason string) error {
	return &clacks.Error{Op: "sql", Kind: clacks.Invalid, Reason: "the database cannot hold this",
		Fields: []clacks.Field{{Attribute: attribute, Code: code, Reason: reason}}}
}

func unknown(attribute, reason string) error { return invalid(attribute, clacks.CodeUnknown, reason) }
