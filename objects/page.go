package objects

import (
	"context"
	"strings"
	"time"

	"clacks"
	"clacks/access"
	"clacks/mapping"
)

// hit is one row of a search.
type hit struct {
	uuid, dn, typ string
	extensions    string
	version       int64
	modified      int64
	document      []byte
	position
}

// page collects one page: rows that the user may find and that fulfil the query, until there are enough, or none are
// left, or the budget of rows to look at is spent. In the last case the page is short and has a cursor to go on with.
func (r *search) page(ctx context.Context) (*SearchResult, error) {
	result := &SearchResult{Total: -1, Objects: make([]*View, 0, min(r.limit, 256))}
	after, looked := r.after, 0
	for {
		want := r.limit - len(result.Objects) + 1 // one more tells whether there is another page
		batch := want
		if r.filter != nil && batch < 200 {
			batch = 200
		}
		seen, more, err := r.scan(ctx, after, batch, func(h *hit, shape *mapping.Shape) (bool, error) {
			looked++
			view, err := r.consider(ctx, h, shape)
			if err != nil || view == nil {
				return err == nil, err
			}
			if len(result.Objects) == r.limit {
				return false, nil
			}
			result.Objects = append(result.Objects, view)
			return true, nil
		})
		if err != nil {
			return nil, named("objects.search", err)
		}
		if seen != nil {
			after = seen
		}
		if !more || len(result.Objects) == r.limit {
			if more {
				result.Cursor = r.makeCursor(after)
			}
			break
		}
		if looked >= r.s.limits.Scan {
			result.Cursor = r.makeCursor(after)
			break
		}
	}
	return result, r.total(ctx, result)
}

// scan runs one statement; each row is given to use, until that has enough. It returns the position of the last row that
// was used, and whether there may be more.
func (r *search) scan(ctx context.Context, after *position, limit int,
	use func(*hit, *mapping.Shape) (bool, error)) (last *position, more bool, err error) {
	text, args := r.statement(after, limit)
	rows, stopped := 0, false
	var h hit
	dest := []any{&h.uuid, &h.dn, &h.Path, &h.typ, &h.extensions, &h.version, &h.modified, &h.document, &h.Value}
	err = r.s.db.Query(ctx, text, args, func(scan func(...any) error) error {
		if stopped {
			return nil
		}
		if err := scan(dest...); err != nil {
			return err
		}
		rows++
		shape, err := r.shape(&h)
		if err != nil {
			return err
		}
		goOn := true
		if shape != nil {
			if goOn, err = use(&h, shape); err != nil {
				return err
			}
		}
		if !goOn {
			stopped = true
			return nil
		}
		p := h.position
		last = &p
		return nil
	})
	return last, stopped || rows == limit, err
}

// shape is that of a row; nil when its type is no longer defined.
func (r *search) shape(h *hit) (*mapping.Shape, error) {
	key := h.typ + h.extensions
	shape, known := r.shapes[key]
	if known {
		return shape, nil
	}
	extensions, err := decodeExtensions(h.extensions)
	if err != nil {
		return nil, err
	}
	if shape, err = r.cat.set.Shape(h.typ, extensions); err != nil {
		shape = nil
	}
	r.shapes[key] = shape
	return shape, nil
}

// consider makes the view of a row, or nil when the user may not find it or the query does not hold for it.
func (r *search) consider(ctx context.Context, h *hit, shape *mapping.Shape) (*View, error) {
	if !r.allowed(h) {
		return nil, nil
	}
	see := r.s.readable(r.user, h.typ, h.uuid, h.dn)
	wanted := see
	if r.asked != nil && r.filter == nil {
		wanted = func(a *mapping.Attribute) bool { return r.asked[a.Name] && see(a) }
	}
	values, err := decodeDocument(shape, h.document, wanted)
	if err != nil {
		return nil, err
	}
	if r.filter != nil {
		ok, err := r.matches(ctx, shape, h, values)
		if err != nil || !ok {
			return nil, err
		}
		for name := range values {
			if r.asked != nil && !r.asked[name] {
				delete(values, name)
			}
		}
	}
	extensions, err := decodeExtensions(h.extensions)
	if err != nil {
		return nil, err
	}
	return &View{
		UUID: h.uuid, DN: h.dn, Type: h.typ, Extensions: extensions, Version: versionText(h.version),
		LastChanged: time.UnixMilli(h.modified).UTC(), Values: values, Shape: shape,
	}, nil
}

// allowed reports whether the user may find the object and read what the search asks of it.
func (r *search) allowed(h *hit) bool {
	topic := access.Topic{Type: h.typ, UUID: h.uuid, DN: h.dn}
	if !r.s.policy.Allowed(r.user, access.Search, topic) {
		return false
	}
	for _, name := range r.reads {
		topic.Attribute = name
		if !r.s.policy.Allowed(r.user, access.Read, topic) {
			return false
		}
	}
	return true
}

// total counts all matches, when asked. What depends on rights or on a query is looked at row by row, within the budget.
func (r *search) total(ctx context.Context, result *SearchResult) error {
	if !r.q.Total {
		return nil
	}
	if r.filter == nil && r.unrestricted() {
		result.Total = 0
		return named("objects.search", r.s.db.Query(ctx, `SELECT COUNT(*) FROM clacks_objects o WHERE `+strings.Join(r.where, ` AND `), r.args,
			func(scan func(...any) error) error {
				var n int64
				err := scan(&n)
				result.Total = int(n)
				return err
			}))
	}
	count, looked := 0, 0
	var after *position
	for {
		seen, more, err := r.scan(ctx, after, min(1000, r.s.limits.Scan-looked), func(h *hit, shape *mapping.Shape) (bool, error) {
			looked++
			view, err := r.consider(ctx, h, shape)
			if view != nil {
				count++
			}
			return err == nil, err
		})
		if err != nil {
			return named("objects.search", err)
		}
		if !more {
			result.Total = count
			return nil
		}
		if after = seen; looked >= r.s.limits.Scan {
			return clacks.E(clacks.Limit, "objects.search", "more than %d objects would have to be looked at to count", r.s.limits.Scan)
		}
	}
}
