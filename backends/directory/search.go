package directory

import (
	"context"
	"iter"

	"clacks"
	"clacks/backends"
	"clacks/internal/dn"
)

const (
	defaultPage = 500
	maxPage     = 5000
)

// Search yields matching entries, each parent before its children. It reads page by page and holds nothing between
// pages, so pages are of different moments; a renamed entry may be met twice or not at all, as in LDAP.
func (b *Backend) Search(ctx context.Context, q backends.Query) iter.Seq2[*backends.Entry, error] {
	return func(yield func(*backends.Entry, error) bool) {
		s, err := b.search(ctx, q)
		if err != nil {
			yield(nil, err)
			return
		}
		for !s.done {
			page, err := s.next(ctx)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, r := range page {
				if err := ctx.Err(); err != nil {
					yield(nil, clacks.E(clacks.Unavailable, "directory.search", "the search was ended: %w", err))
					return
				}
				if s.condition(r) == yes && !yield(b.schema().entry(r, s.wanted), nil) {
					return
				}
			}
		}
	}
}

// search is the state of one search between its pages.
type search struct {
	b         *Backend
	condition condition
	wanted    wanted
	text      string // with a place for the last path seen
	args      []any
	after     string
	page      int
	done      bool
}

func (b *Backend) search(ctx context.Context, q backends.Query) (*search, error) {
	condition, err := b.schema().compile(q.Filter)
	if err != nil {
		return nil, err
	}
	base := &record{} // the root, above all suffixes
	if q.Base != "" {
		if base, err = b.load(ctx, b.db.Query, backends.Ref{DN: q.Base}); err != nil {
			return nil, err
		}
	}
	s := &search{b: b, condition: condition, wanted: b.schema().wanted(q.Attributes), page: q.PageSize}
	if s.page <= 0 {
		s.page = defaultPage
	}
	s.page = min(s.page, maxPage)
	from, to := dn.PathRange(base.path)
	if to == "" {
		to = "\U0010FFFF" // behind every path
	}
	tables, where := "directory_entries e", ""
	switch q.Scope {
	case backends.ScopeBase:
		where, s.args = "e.path = ?", []any{base.path}
	case backends.ScopeOne:
		where, s.args = "e.parent = ?", []any{base.path}
	case backends.ScopeSub:
		where, s.args = "e.path >= ? AND e.path < ?", []any{from, to}
	case backends.ScopeChildren:
		where, s.args = "e.path > ? AND e.path < ?", []any{from, to}
	default:
		return nil, clacks.E(clacks.Invalid, "directory.search", "there is no scope %.20q", string(q.Scope))
	}
	if row, ok := b.schema().viaIndex(q.Filter); ok {
		tables = "directory_values v JOIN directory_entries e ON e.uuid = v.uuid"
		where += " AND v.attribute = ? AND v.value = ?"
		s.args = append(s.args, row.attribute, row.value)
	}
	s.text = "SELECT " + columns + " FROM " + tables + " WHERE " + where + " AND e.path > ? ORDER BY e.path LIMIT ?"
	return s, nil
}

func (s *search) next(ctx context.Context) ([]*record, error) {
	page := make([]*record, 0, min(s.page, defaultPage))
	args := append(append([]any{}, s.args...), s.after, int64(s.page))
	err := s.b.db.Query(ctx, s.text, args, func(scan func(...any) error) error {
		r, err := s.b.scan(scan)
		page = append(page, r)
		return err
	})
	if err != nil {
		return nil, err
	}
	if s.done = len(page) < s.page; len(page) > 0 {
		s.after = page[len(page)-1].path
	}
	return page, nil
}
