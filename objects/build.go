package objects

import (
	"context"
	"strings"

	"clacks"
	"clacks/backends"
	"clacks/internal/dn"
	"clacks/internal/failpoint"
	"clacks/internal/store"
	"clacks/mapping"
	"clacks/objects/journal"
)

// builtState is the row of clacks_index_state that says that the index was built.
const builtState = "built"

// batchSize is how many objects one transaction of the first index takes in.
const batchSize = 200

// buildIndex reads every directory once and takes in what it has, when that has never been done to the end. A build that
// was interrupted begins anew; objects that are in the index already are left as they are.
func (s *Service) buildIndex(ctx context.Context) error {
	built := false
	err := s.db.Query(ctx, `SELECT 1 FROM clacks_index_state WHERE name = ?`, []any{builtState},
		func(func(...any) error) error { built = true; return nil })
	if err != nil || built {
		return err
	}
	cat := s.catalogue.Load()
	total := 0
	for _, name := range s.trees() {
		n, err := s.buildFrom(ctx, cat, name)
		if err != nil {
			return err
		}
		total += n
	}
	_, err = s.db.Exec(ctx, store.Statement{
		SQL:  `INSERT INTO clacks_index_state (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING`,
		Args: []any{builtState, s.now().UTC().Format("2006-01-02T15:04:05Z")},
	})
	if err == nil && total > 0 {
		s.log.Info("the index was built", "objects", total)
	}
	return err
}

// buildFrom takes in one directory, in batches.
func (s *Service) buildFrom(ctx context.Context, cat *catalogue, backend string) (int, error) {
	query := backends.Query{Base: s.base, Scope: backends.ScopeSub, Attributes: cat.wantedOf(backend), PageSize: 500}
	total := 0
	batch := make([]*loaded, 0, batchSize)
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		err := s.takeBatch(ctx, batch)
		total += len(batch)
		batch = batch[:0]
		return err
	}
	for entry, err := range s.backends[backend].Search(ctx, query) {
		if err != nil {
			if isNotFound(err) {
				break // the base does not exist yet
			}
			return total, err
		}
		l := s.identify(cat, backend, entry)
		if l == nil {
			continue
		}
		if batch = append(batch, l); len(batch) == batchSize {
			if err := flush(); err != nil {
				return total, err
			}
		}
	}
	return total, flush()
}

// wantedOf are the attributes of a directory that any type reads.
func (c *catalogue) wantedOf(backend string) []string {
	seen := map[string]bool{}
	var wanted []string
	for _, base := range c.set.Bases() {
		shape, err := c.set.Shape(base, c.set.ExtensionsOf(base))
		if err != nil {
			continue
		}
		for _, source := range shape.Sources() {
			if source.Backend != backend {
				continue
			}
			for _, name := range source.Want {
				if !seen[name] {
					seen[name] = true
					wanted = append(wanted, name)
				}
			}
		}
	}
	return wanted
}

// identify makes what is known of an object by its directory entry; nil when no type fits.
func (s *Service) identify(cat *catalogue, backend string, entry *backends.Entry) *loaded {
	base, extensions, ok := cat.set.Identify(backend, entry)
	if !ok {
		return nil
	}
	shape, err := cat.set.Shape(base, extensions)
	if err != nil {
		extensions = nil // extensions that do not exist (any more)
		if shape, err = cat.set.Shape(base, nil); err != nil {
			return nil
		}
	}
	key, err := dn.Key(entry.DN)
	if err != nil || entry.UUID == "" {
		s.log.Warn("an entry cannot be taken into the index", "dn", entry.DN, "error", err)
		return nil
	}
	r := &row{uuid: strings.ToLower(entry.UUID), dn: entry.DN, dnKey: key, parentKey: dn.Parent(key), typ: base,
		extensions: extensions, keys: map[string]any{}, guards: guards{Versions: map[string]string{backend: entry.Version}}}
	return &loaded{row: r, shape: shape, entries: mapping.Entries{shape.Sources()[0].ID: entry}}
}

// takeBatch completes objects by their rows in tables and writes them into the index.
func (s *Service) takeBatch(ctx context.Context, batch []*loaded) error {
	if err := internal(failpoint.Hit("index/before-batch")); err != nil {
		return err
	}
	if err := s.readTables(ctx, batch); err != nil {
		return err
	}
	var statements []store.Statement
	for _, l := range batch {
		done, err := s.inbound(ctx, l.shape, l.row, l.entries)
		if err != nil {
			return err
		}
		c, err := s.indexChange(done)
		if err != nil {
			return err
		}
		statements = append(statements, c.buildStatements()...)
	}
	if _, err := s.db.Exec(ctx, statements...); err != nil {
		return err
	}
	return internal(failpoint.Hit("index/after-batch"))
}

// indexChange is the row of an object as it was loaded, for a first index.
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
	values := indexValues(l.shape, &l.object)
	l.row.guards.Sum = sumOf(values)
	return &rowChange{
		Op: rowInsert, UUID: l.row.uuid, DN: l.row.dn, DNKey: l.row.dnKey, Type: l.row.typ, Extensions: l.row.extensions,
		Version: 1, Modified: s.now().UnixMilli(), Document: text, Guards: l.row.guards, Keys: encodeKeys(l.row.keys),
		Add: values, Reserve: uniques(l.shape, &l.object),
	}, nil
}

// buildStatements are those of an insert that leaves alone what is there.
func (c *rowChange) buildStatements() []store.Statement {
	list := c.objectStatements()
	list[0].SQL += ` ON CONFLICT DO NOTHING`
	return append(list, c.valueStatements()...)
}

// readTables reads the rows of a batch: one search a table instead of one read a row.
func (s *Service) readTables(ctx context.Context, batch []*loaded) error {
	tables := map[string]*tableRows{}
	for _, l := range batch {
		values, _, err := l.shape.Inbound(ctx, l.entries)
		if err != nil {
			return err
		}
		for _, source := range l.shape.Sources() {
			key := keyOf(source, l.row, values)
			if source.Kind != backends.Table || key == nil {
				continue
			}
			t := tables[source.ID]
			if t == nil {
				t = &tableRows{source: source, of: map[string]*loaded{}}
				tables[source.ID] = t
			}
			l.row.keys[source.ID] = key
			t.keys = append(t.keys, key)
			t.of[keyText(key)] = l
		}
	}
	for _, t := range tables {
		if err := s.readRows(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// tableRows are the rows of a table that belong to the objects of a batch.
type tableRows struct {
	source *mapping.Source
	keys   []any
	of     map[string]*loaded // by the key's text
}

// readRows searches for all keys at once. When several rows have one key, they are read one by one: an object whose row is
// not unique is indexed without it, as it cannot be opened either, and does not keep all others from being served.
func (s *Service) readRows(ctx context.Context, t *tableRows) error {
	b, err := s.backend(t.source.Backend)
	if err != nil {
		return err
	}
	query := backends.Query{Table: t.source.Table, Column: t.source.Column, Keys: t.keys,
		Attributes: t.source.Want, Children: t.source.Children}
	var ambiguous error
	for entry, err := range b.Search(ctx, query) {
		if clacks.IsKind(err, clacks.Conflict) {
			ambiguous = err
			break
		}
		if err != nil {
			return err
		}
		if l := t.of[keyText(entry.Key)]; l != nil {
			l.entries[t.source.ID] = entry
		}
	}
	if ambiguous == nil {
		return nil
	}
	for _, key := range t.keys {
		entry, err := readOrNil(ctx, b, tableRef(t.source, key), t.source.Want)
		if clacks.IsKind(err, clacks.Conflict) {
			s.log.Warn("an object is indexed without its row", "uuid", t.of[keyText(key)].row.uuid, "table", t.source.Table, "error", err)
			continue
		}
		if err != nil {
			return err
		}
		if entry != nil {
			t.of[keyText(key)].entries[t.source.ID] = entry
		}
	}
	return nil
}

// keyOf is the key of an object's row in a table; nil when the object has none.
func keyOf(source *mapping.Source, r *row, values mapping.Values) any {
	if source.KeyAttribute == mapping.UUIDKey {
		return r.uuid
	}
	if list := values[source.KeyAttribute]; len(list) > 0 {
		return list[0]
	}
	return nil
}

// keyText is a key as text: a database may give it in another Go type than it was asked with.
func keyText(key any) string { return journal.Text(key) }

func isNotFound(err error) bool { return clacks.IsKind(err, clacks.NotFound) }
