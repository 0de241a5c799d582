package sql

import (
	"context"
	"iter"
	"strconv"

	"clacks"
	"clacks/backends"
)

const (
	defaultPage = 500
	maxPage     = 5000
)

// Search yields the rows in the order of their keys, or, when keys are given, chunk by chunk of these. A page is read
// completely before its first row is yielded: no connection waits for the caller. Pages are of different moments. A row
// whose key column is NULL has no name and is never there; two rows of one name are clacks.Conflict.
func (b *Backend) Search(ctx context.Context, q backends.Query) iter.Seq2[*backends.Entry, error] {
	return func(yield func(*backends.Entry, error) bool) {
		s, err := b.search(ctx, q)
		if err != nil {
			yield(nil, err)
			return
		}
		for {
			page, err := s.next(ctx)
			if err != nil {
				yield(nil, b.readError(err))
				return
			}
			for _, entry := range page {
				if !yield(entry, nil) {
					return
				}
			}
			if s.done {
				return
			}
			if err := ctx.Err(); err != nil {
				yield(nil, clacks.E(clacks.Unavailable, "sql.search", "the search was ended: %w", err))
				return
			}
		}
	}
}

// search is the state of one search between its pages.
type search struct {
	b      *Backend
	query  backends.Query
	target *target
	list   *selectList
	page   int
	text   string // SELECT ... WHERE filter, with args
	args   []any
	keys   []any // still to be asked for; nil when all rows are wanted
	byKeys bool
	after  any // the last key seen
	begun  bool
	done   bool
	met    map[string]bool // the keys of the rows that were asked for by key, unless the database keeps them unique
}

func (b *Backend) search(ctx context.Context, q backends.Query) (*search, error) {
	t, err := b.resolve(ctx, q.Table, q.Column, q.Children)
	if err != nil {
		return nil, err
	}
	s := &search{b: b, query: q, target: t, page: q.PageSize, byKeys: q.Keys != nil}
	if s.page <= 0 {
		s.page = defaultPage
	}
	s.page = min(s.page, maxPage)
	if s.list, err = b.selectList(ctx, t, q.Attributes); err != nil {
		return nil, err
	}
	condition, args, err := b.filter(ctx, t, q.Filter)
	if err != nil {
		return nil, err
	}
	s.args = args
	s.text = "SELECT " + s.list.text + ", " + b.readable(t.key) + " FROM " + t.table.quoted + " WHERE " + t.key.quoted + " IS NOT NULL AND " +
		condition
	s.met = make(map[string]bool)
	seen := make(map[string]bool, len(q.Keys))
	for _, key := range q.Keys {
		arg, err := b.argument(place{attribute: q.Column, column: t.key}, key)
		if err != nil || seen[same(arg)] {
			continue // what the column cannot hold is the key of no row
		}
		seen[same(arg)] = true
		s.keys = append(s.keys, arg)
	}
	return s, nil
}

// next reads the next page.
func (s *search) next(ctx context.Context) ([]*backends.Entry, error) {
	if s.byKeys {
		return s.nextKeys(ctx)
	}
	if !s.begun {
		if err := s.checkKey(ctx); err != nil {
			return nil, err
		}
	}
	text, args := s.text, s.args
	if s.begun {
		text += " AND " + s.b.compare(s.target.key, "", ">")
		args = append(append([]any{}, args...), s.after)
	}
	s.begun = true
	text += " ORDER BY " + s.b.comparable(s.target.key, s.target.key.quoted) + " LIMIT " + strconv.Itoa(s.page)
	entries, err := s.read(ctx, text, args)
	if err != nil || len(entries) < s.page {
		s.done = true
		return entries, err
	}
	last := place{attribute: s.query.Column, column: s.target.key}
	s.after, err = s.b.argument(last, entries[len(entries)-1].Key)
	return entries, err
}

// checkKey refuses a column with repeated values, where the database does not keep them out: pages go from key to key, and
// would leave out rows.
func (s *search) checkKey(ctx context.Context) error {
	if s.target.key.Unique {
		return nil
	}
	key := s.b.comparable(s.target.key, s.target.key.quoted)
	text := "SELECT 1 FROM " + s.target.table.quoted + " WHERE " + key + " IS NOT NULL GROUP BY " + key + " HAVING count(*) > 1 LIMIT 1"
	return s.b.db.Query(ctx, text, nil, func(func(...any) error) error { return noKey("sql.search", s.target) })
}

func (s *search) nextKeys(ctx context.Context) ([]*backends.Entry, error) {
	n := min(s.page, len(s.keys))
	s.done = n == len(s.keys)
	if n == 0 {
		return nil, nil
	}
	var entries []*backends.Entry
	sets := s.b.sets(place{column: s.target.key}, s.keys[:n])
	s.keys = s.keys[n:]
	for _, set := range sets {
		found, err := s.read(ctx, s.text+" AND "+set.condition, append(append([]any{}, s.args...), set.arg))
		if err != nil {
			return nil, err
		}
		entries = append(entries, found...)
	}
	if s.target.key.Unique {
		return entries, nil
	}
	for _, entry := range entries {
		key := same(entry.Key)
		if s.met[key] {
			return nil, noKey("sql.search", s.target)
		}
		s.met[key] = true
	}
	return entries, nil
}

func (s *search) read(ctx context.Context, text string, args []any) ([]*backends.Entry, error) {
	var entries []*backends.Entry
	err := s.b.db.Query(ctx, text, args, func(scan func(...any) error) error {
		var key any
		entry, err := s.list.entry(scan, &key)
		if err != nil {
			return err
		}
		entry.Ref = backends.Ref{Table: s.query.Table, Column: s.query.Column, Key: value(s.target.key, key), Children: s.query.Children}
		entries = append(entries, entry)
		return nil
	})
	return entries, err
}
