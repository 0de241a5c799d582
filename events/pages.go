package events

import (
	"context"
	"sync"

	"clacks"
)

// sharedPage is what stands in the log behind one position, read once for all who stand there at the same time.
type sharedPage struct {
	ready   chan struct{} // closed when the rest is set
	events  []Event
	err     error
	release func() // gives the room back

	users int // guarded by sharedPages.mu
}

// sharedPages are the pages in use, by the position that they follow.
type sharedPages struct {
	mu     sync.Mutex
	behind map[int64]*sharedPage
}

// join is the page behind a position; the first one to ask has to fill it.
func (p *sharedPages) join(after int64) (page *sharedPage, first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	page = p.behind[after]
	if page == nil {
		if p.behind == nil {
			p.behind = map[int64]*sharedPage{}
		}
		page, first = &sharedPage{ready: make(chan struct{}), release: func() {}}, true
		p.behind[after] = page
	}
	page.users++
	return page, first
}

// leave gives a page back; the last one to leave gives up its documents. A page that failed is not joined any more.
func (p *sharedPages) leave(after int64, page *sharedPage) {
	p.mu.Lock()
	page.users--
	unused := page.users == 0
	if (unused || page.failed()) && p.behind[after] == page {
		delete(p.behind, after)
	}
	p.mu.Unlock()
	if unused {
		page.release()
	}
}

func (p *sharedPage) failed() bool {
	select {
	case <-p.ready:
		return p.err != nil
	default:
		return false
	}
}

// sharedPage reads on behind a position: small documents, or one that is not. The caller leaves the page by calling done,
// also after an error. Until there is room the log is not read.
func (l *Log) sharedPage(ctx context.Context, after int64) (events []Event, done func(), err error) {
	page, first := l.hub.pages.join(after)
	done = func() { l.hub.pages.leave(after, page) }
	if first {
		page.events, page.release, page.err = l.replayPage(ctx, after)
		close(page.ready)
		return page.events, done, page.err
	}
	select {
	case <-ctx.Done():
		return nil, done, ctx.Err()
	case <-page.ready:
	}
	if page.err != nil {
		// The reader's own context may have ended, or his error may be over: whoever waited tries for himself.
		return nil, done, clacks.E(clacks.Unavailable, "events.read", "the event log could not be read: %w", page.err)
	}
	return page.events, done, nil
}

const selectSizes = `SELECT sequence, octet_length(document) FROM clacks_events WHERE sequence > ? ORDER BY sequence LIMIT ?`

// replayPage reads a page once there is room for it; release gives the room back, also after an error.
func (l *Log) replayPage(ctx context.Context, after int64) (events []Event, release func(), err error) {
	release = func() {}
	rows, size, err := l.replaySize(ctx, after)
	if err != nil || rows == 0 {
		return nil, release, err
	}
	if size > smallDocument {
		if release, err = l.budgets.pages.take(ctx, size); err != nil {
			return nil, func() {}, err
		}
	}
	events = make([]Event, 0, rows)
	err = l.page(ctx, after, rows, func(e Event) { events = append(events, e) })
	if len(events) > 0 {
		err = nil // what was read before the failure is sound
	}
	return events, release, err
}

// replaySize is the number of the next rows whose documents have together at most smallDocument bytes, and their size; of
// one row at least.
func (l *Log) replaySize(ctx context.Context, after int64) (rows int, size int64, err error) {
	full := false
	err = l.db.Query(ctx, selectSizes, []any{after, int64(pageRows)}, func(scan func(...any) error) error {
		var sequence, bytes int64
		if err := scan(&sequence, &bytes); err != nil {
			return err
		}
		if rows > 0 && size+bytes > smallDocument {
			full = true
			return errPageFull
		}
		rows, size = rows+1, size+bytes
		return nil
	})
	if full {
		err = nil
	}
	return rows, size, err
}
