package busd

import (
	"context"
	"sync"

	"clacks"
	"clacks/bus"
)

// lines holds the requester to other nodes. It is attached by the first who needs it, while others wait, and again when it
// has ended.
type lines struct {
	bus   bus.Bus
	names bus.Names

	mu     sync.Mutex
	open   *line
	closed bool
}

type line struct {
	ready     chan struct{}
	requester *bus.Requester
	err       error
}

// request sends a message to where it says in its property to, and waits for its reply.
func (l *lines) request(ctx context.Context, m *bus.Message, prepare func(*bus.Message) error) (*bus.Message, error) {
	to, err := l.get(ctx)
	if err != nil {
		return nil, err
	}
	reply, err := to.requester.Request(ctx, m, prepare)
	if ctx.Err() == nil && clacks.IsKind(err, clacks.Unavailable) {
		l.drop(to)
	}
	return reply, err
}

func (l *lines) get(ctx context.Context) (*line, error) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil, clacks.E(clacks.Unavailable, "busd.forward", "the agent is going down")
	}
	to := l.open
	if to == nil {
		to = &line{ready: make(chan struct{})}
		l.open = to
		go l.attach(ctx, to)
	}
	l.mu.Unlock()
	select {
	case <-to.ready:
		return to, to.err
	case <-ctx.Done():
		return nil, clacks.E(clacks.Unavailable, "busd.forward", "the bus is not there: %w", ctx.Err())
	}
}

func (l *lines) attach(ctx context.Context, to *line) {
	to.requester, to.err = bus.NewRequester(ctx, l.bus, "", l.names)
	close(to.ready)
	if to.err != nil {
		l.drop(to)
	}
}

// drop forgets a line, and ends it.
func (l *lines) drop(to *line) {
	l.mu.Lock()
	if l.open == to {
		l.open = nil
	}
	l.mu.Unlock()
	go to.close()
}

func (t *line) close() {
	<-t.ready
	if t.requester == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	_ = t.requester.Close(ctx)
}

func (l *lines) close() {
	l.mu.Lock()
	to := l.open
	l.open, l.closed = nil, true
	l.mu.Unlock()
	if to != nil {
		to.close()
	}
}
