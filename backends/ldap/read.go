package ldap

import (
	"context"
	"iter"

	goldap "github.com/go-ldap/ldap/v3"

	"clacks"
	"clacks/backends"
)

// Read reads one entry, by a base search on its DN or by its UUID below the base.
func (b *Backend) Read(ctx context.Context, ref backends.Ref, want []string) (*backends.Entry, error) {
	const op = "ldap.read"
	s, err := b.schema(ctx)
	if err != nil {
		return nil, err
	}
	attributes, err := b.attributes(op, want, s)
	if err != nil {
		return nil, err
	}
	request := &goldap.SearchRequest{
		BaseDN: ref.DN, Scope: goldap.ScopeBaseObject, DerefAliases: goldap.NeverDerefAliases, Filter: anything, Attributes: attributes,
	}
	switch {
	case ref.DN == "" && ref.UUID == "":
		return nil, clacks.E(clacks.Invalid, op, "the entry has no name")
	case ref.DN == "":
		request.BaseDN, request.Scope, request.SizeLimit = b.base, goldap.ScopeWholeSubtree, 2
		request.Filter = equals(b.options.UUIDAttribute, ref.UUID)
	}
	found, err := b.search(ctx, op, request)
	if err != nil {
		return nil, err
	}
	switch len(found) {
	case 1:
		return b.entry(found[0], want, s), nil
	case 0:
		return nil, clacks.E(clacks.NotFound, op, "there is no such entry")
	}
	return nil, clacks.E(clacks.Conflict, op, "several entries carry the UUID %s", ref.UUID)
}

// search makes a search that needs no pages. It is tried a second time when it failed on a connection that may have
// died since its last use: a read changes nothing.
func (b *Backend) search(ctx context.Context, op string, request *goldap.SearchRequest) ([]*result, error) {
	for {
		c, err := b.pool.get(ctx, op)
		if err != nil {
			return nil, err
		}
		reused := c.reused
		entries, _, err := b.searchOn(ctx, c, request)
		again := reused && c.died(err)
		b.pool.put(c)
		if err == nil {
			return parseAll(op, entries)
		}
		if !again {
			return nil, failed(ctx, op, err, false)
		}
		b.pool.flush()
	}
}

// searchOn makes one search on a connection. The entries are still as the server sent them.
func (b *Backend) searchOn(ctx context.Context, c *conn, request *goldap.SearchRequest) ([]cursor, *goldap.SearchResult, error) {
	var done *goldap.SearchResult
	err := c.run(ctx, b.options.RequestTimeout, func() (err error) {
		done, err = c.Search(request)
		return err
	})
	entries, _ := c.wire.received()
	return entries, done, err
}

// parseAll parses the entries of a search.
func parseAll(op string, entries []cursor) ([]*result, error) {
	results := make([]*result, len(entries))
	for i, entry := range entries {
		var err error
		if results[i], err = parseResult(entry); err != nil {
			return nil, because(clacks.Unavailable, op, "the directory sent an entry that cannot be read", err)
		}
	}
	return results, nil
}

var scopes = map[backends.Scope]int{
	backends.ScopeBase: goldap.ScopeBaseObject, backends.ScopeOne: goldap.ScopeSingleLevel,
	backends.ScopeSub: goldap.ScopeWholeSubtree, backends.ScopeChildren: goldap.ScopeChildren,
}

// Search fetches page by page (RFC 2696) and yields the entries of one before it asks for the next.
func (b *Backend) Search(ctx context.Context, q backends.Query) iter.Seq2[*backends.Entry, error] {
	return func(yield func(*backends.Entry, error) bool) {
		p, err := b.newPages(ctx, q)
		if err != nil {
			yield(nil, err)
			return
		}
		defer p.close()
		for {
			entries, err := p.next(ctx)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, raw := range entries {
				entry, err := p.entry(ctx, raw)
				if !yield(entry, err) || err != nil {
					return
				}
			}
			if p.done {
				return
			}
		}
	}
}

const searchOp = "ldap.search"

// pages is a search under way. Between two pages it holds a connection, since the server's place in the result belongs to
// it, but no slot of the pool.
type pages struct {
	backend *Backend
	schema  *schema
	want    []string
	request *goldap.SearchRequest
	paging  *goldap.ControlPaging
	conn    *conn // between pages; nil before the first and after the last
	done    bool
}

func (b *Backend) newPages(ctx context.Context, q backends.Query) (*pages, error) {
	scope, ok := scopes[q.Scope]
	if !ok {
		return nil, clacks.E(clacks.Invalid, searchOp, "%q is not a scope", q.Scope)
	}
	filter, err := compile(searchOp, q.Filter)
	if err != nil {
		return nil, err
	}
	s, err := b.schema(ctx)
	if err != nil {
		return nil, err
	}
	attributes, err := b.attributes(searchOp, q.Attributes, s)
	if err != nil {
		return nil, err
	}
	size := q.PageSize
	if size <= 0 {
		size = b.options.PageSize
	}
	p := &pages{backend: b, schema: s, want: q.Attributes, paging: goldap.NewControlPaging(uint32(min(size, 1<<30)))}
	p.request = goldap.NewSearchRequest(q.Base, scope, goldap.NeverDerefAliases, 0, 0, false, filter, attributes, []goldap.Control{p.paging})
	return p, nil
}

// next fetches a page.
func (p *pages) next(ctx context.Context) ([]cursor, error) {
	entries, done, err := p.fetch(ctx)
	if err != nil {
		return nil, err
	}
	p.paging.Cookie = nil
	if answer, ok := goldap.FindControl(done.Controls, goldap.ControlTypePaging).(*goldap.ControlPaging); ok {
		p.paging.Cookie = answer.Cookie
	}
	if p.done = len(p.paging.Cookie) == 0; p.done {
		p.backend.pool.keep(p.conn)
		p.conn = nil
	}
	return entries, nil
}

// fetch makes one request and holds a slot only for that long. The first may fail on a connection that had died unseen,
// and is tried again then; later ones cannot, since their place in the result died too.
func (p *pages) fetch(ctx context.Context) ([]cursor, *goldap.SearchResult, error) {
	pool := p.backend.pool
	for {
		first := p.conn == nil
		if first {
			c, err := pool.get(ctx, searchOp)
			if err != nil {
				return nil, nil, err
			}
			p.conn = c
		} else if err := pool.enter(ctx, searchOp); err != nil {
			return nil, nil, err
		}
		reused := p.conn.reused
		entries, done, err := p.backend.searchOn(ctx, p.conn, p.request)
		again := first && reused && p.conn.died(err)
		pool.leave()
		if err == nil {
			return entries, done, nil
		}
		pool.keep(p.conn)
		p.conn = nil
		if !again {
			return nil, nil, failed(ctx, searchOp, err, false)
		}
		pool.flush()
	}
}

// entry converts one entry of a page, unless the context has ended meanwhile.
func (p *pages) entry(ctx context.Context, raw cursor) (*backends.Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, because(clacks.Unavailable, searchOp, "the request has ended", err)
	}
	parsed, err := parseResult(raw)
	if err != nil {
		return nil, because(clacks.Unavailable, searchOp, "the directory sent an entry that cannot be read", err)
	}
	return p.backend.entry(parsed, p.want, p.schema), nil
}

// close ends a search that was left early: the server forgets it when it is asked for a page of no entries.
func (p *pages) close() {
	if p.conn == nil {
		return
	}
	p.paging.PagingSize = 0
	if _, _, err := p.backend.searchOn(context.Background(), p.conn, p.request); err != nil {
		p.conn.broken = true
	}
	p.backend.pool.keep(p.conn)
	p.conn = nil
}
