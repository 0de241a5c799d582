package objects

import (
	"context"
	"errors"
	"strings"

	"clacks"
	"clacks/backends"
	"clacks/internal/dn"
	"clacks/internal/store"
	"clacks/mapping"
)

// adopt takes an object into the index that a directory has and the index has not: somebody else made it. It fails with
// clacks.NotFound when no directory has it, or when nothing there says of which type it is.
func (s *Service) adopt(ctx context.Context, cat *catalogue, id string, wanted wanter) (*loaded, error) {
	ref := backends.Ref{DN: id}
	if isUUID(id) {
		ref = backends.Ref{UUID: id}
	} else if key, err := dn.Key(id); err != nil {
		return nil, notFound(id)
	} else if !dn.KeyUnder(key, s.baseKey) {
		return nil, notFound(id)
	}
	for _, name := range s.trees() {
		entry, err := readOrNil(ctx, s.backends[name], ref, []string{mapping.ObjectClass})
		if err != nil {
			return nil, err
		}
		if entry == nil || !dn.Under(entry.DN, s.base) {
			continue
		}
		if base, extensions, ok := cat.set.Identify(name, entry); ok {
			return s.takeIn(ctx, cat, &row{uuid: strings.ToLower(entry.UUID), dn: entry.DN, typ: base, extensions: extensions}, wanted)
		}
	}
	return nil, notFound(id)
}

// reopen finds out what became of an object whose row is current and whose entry is not: moved or changed in its classes
// by somebody else, or gone.
func (s *Service) reopen(ctx context.Context, cat *catalogue, r *row, wanted wanter) (*loaded, error) {
	shape, err := cat.set.Shape(r.typ, r.extensions)
	if err != nil {
		return nil, err
	}
	source := shape.Sources()[0]
	b, err := s.backend(source.Backend)
	if err != nil {
		return nil, err
	}
	entry, err := readOrNil(ctx, b, backends.Ref{UUID: r.uuid}, []string{mapping.ObjectClass})
	if err != nil {
		return nil, err
	}
	if entry == nil || !dn.Under(entry.DN, s.base) {
		return nil, notFound(r.dn)
	}
	base, extensions, ok := cat.set.Identify(source.Backend, entry)
	if !ok {
		return nil, notFound(r.dn)
	}
	if dn.Equal(entry.DN, r.dn) && base == r.typ && encodeExtensions(extensions) == encodeExtensions(r.extensions) {
		// Between our two looks it became what the index says: another commit was under way.
		return nil, clacks.E(clacks.Unavailable, "objects.open", "%s is being changed", r.dn)
	}
	found := *r
	found.keys = cloneKeys(r.keys)
	found.dn, found.typ, found.extensions = entry.DN, base, extensions
	return s.takeIn(ctx, cat, &found, wanted)
}

// takeIn loads an object by a row that is not in the index and writes it there. While another operation holds the object
// it is not taken in: what the directory shows may be half of a commit.
func (s *Service) takeIn(ctx context.Context, cat *catalogue, r *row, wanted wanter) (*loaded, error) {
	if r.extensions = known(cat, r.typ, r.extensions); r.keys == nil {
		r.keys = map[string]any{}
	}
	var err error
	if r.dnKey, err = dn.Key(r.dn); err != nil {
		return nil, err
	}
	r.parentKey = dn.Parent(r.dnKey)
	whole, err := s.load(ctx, cat, r, wantsToWrite)
	if err != nil {
		return nil, err
	}
	if whole == nil {
		return nil, notFound(r.dn)
	}
	c, err := s.indexChange(whole)
	if err != nil {
		return nil, err
	}
	if err := s.writeAdopted(ctx, c); err != nil {
		return nil, err
	}
	s.rows.drop(r)
	fresh, err := s.find(ctx, r.uuid, true)
	if err != nil {
		return nil, err
	}
	if fresh == nil {
		return nil, notFound(r.dn)
	}
	l, err := s.load(ctx, cat, fresh, wanted)
	if err == nil && l == nil {
		err = notFound(r.dn)
	}
	return l, err
}

// known drops extensions that do not exist (any more).
func known(cat *catalogue, base string, extensions []string) []string {
	if _, err := cat.set.Shape(base, extensions); err == nil {
		return extensions
	}
	return nil
}

// indexChange is the row of an object as it was loaded, for the index.
func (s *Service) indexChange(l *loaded) (*rowChange, error) {
	for _, source := range l.shape.Sources() {
		if entry := l.entries[source.ID]; entry != nil && source.Kind == backends.Table && entry.Key != nil {
			l.row.keys[source.ID] = entry.Key
		}
	}
	text, err := document(l.shape, l.object.Values)
	if err != nil {
		return nil, err
	}
	return &rowChange{
		Op: rowInsert, UUID: l.row.uuid, DN: l.row.dn, DNKey: l.row.dnKey, Type: l.row.typ, Extensions: l.row.extensions,
		Old: l.row.version, Version: l.row.version + 1, Modified: s.now().UnixMilli(), Document: text,
		Guards: l.row.guards, Keys: encodeKeys(l.row.keys), Add: indexValues(l.shape, &l.object),
		Reserve: uniques(l.shape, &l.object),
	}, nil
}

// adoption is the operation that holds an object while it is taken into the index.
const adoption = "adoption"

// writeAdopted puts an object into the index in place of what the index had of it and of its name. Unique values that
// another object has stay with that one.
func (s *Service) writeAdopted(ctx context.Context, c *rowChange) error {
	statements := []store.Statement{
		{SQL: `INSERT INTO clacks_locks (uuid, operation) VALUES (?, ?)`, Args: []any{c.UUID, adoption + "-" + c.UUID}},
		unchangedStatement(c),
		{SQL: `DELETE FROM clacks_values WHERE uuid IN (SELECT uuid FROM clacks_objects WHERE uuid = ? OR dn_key = ?)`, Args: []any{c.UUID, c.DNKey}},
		{SQL: `DELETE FROM clacks_unique WHERE uuid IN (SELECT uuid FROM clacks_objects WHERE uuid = ? OR dn_key = ?)`, Args: []any{c.UUID, c.DNKey}},
		{SQL: `DELETE FROM clacks_objects WHERE uuid = ? OR dn_key = ?`, Args: []any{c.UUID, c.DNKey}},
	}
	statements = append(statements, c.statements()...)
	statements = append(statements, c.reserveStatements()...)
	statements = append(statements, store.Statement{
		SQL: `DELETE FROM clacks_locks WHERE uuid = ?`, Args: []any{c.UUID},
	})
	_, err := s.db.Exec(ctx, statements...)
	var constraint *store.ConstraintError
	var rows *store.RowsError
	switch {
	case errors.As(err, &rows):
		return nil // somebody else has put it there
	case errors.As(err, &constraint) && c.Old == 0:
		return notFound(c.DN) // it is being created
	case errors.As(err, &constraint):
		return clacks.E(clacks.Unavailable, "objects.adopt", "%s is being changed", c.DN)
	}
	return err
}

// unchangedStatement fails when the object's row is another than the one that the adoption began with.
func unchangedStatement(c *rowChange) store.Statement {
	if c.Old == 0 {
		return store.Statement{SQL: `SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM clacks_objects WHERE uuid = ?)`, Args: []any{c.UUID}, Rows: 1}
	}
	return store.Statement{SQL: `SELECT 1 FROM clacks_objects WHERE uuid = ? AND version = ?`, Args: []any{c.UUID, c.Old}, Rows: 1}
}

// trees are the names of the backends that are directories.
func (s *Service) trees() []string {
	var names []string
	for name, b := range s.backends {
		if b.Capabilities().Kind == backends.Tree {
			names = append(names, name)
		}
	}
	return names
}
