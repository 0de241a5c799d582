package busd

import (
	"context"
	"sync"

	"clacks"
	"clacks/bus"
)

// lines are the requesters to other nodes: one for all where the bus has an anonymous terminus, else one an address.
type lines struct {
	bus       bus.Bus
	names     bus.Names
	anonymous bool

	mu     sync.Mutex
	open   map[string]*line
	closed bool
}

// line is one requester; it is attached by the first who needs it, while others wait.
type line struct {
	ready     chan struct{}
	requester *bus.Requester
	err       error
}

// request sends a message to an address and waits for its reply.
func (l *lines) request(ctx context.Context, address string, m *bus.Message, prepare func(*bus.Message) error) (*bus.Message, error) {
	key := address
	if l.anonymous {
		key, m.Properties.To = "", address
	}
	to, err := l.get(ctx, key)
	if err != nil {
		return nil, err
	}
	reply, err := to.requester.Request(ctx, m, prepare)
	if err != nil && ctx.Err() == nil && (key != "" || clacks.IsKind(err, clacks.Unavailable)) {
		l.drop(key, to)
	}
	return reply, err
}

func (l *lines) get(ctx context.Context, key string) (*line, error) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil, clacks.E(clacks.Unavailable, "busd.forward", "the agent is going down")
	}
	to := l.open[key]
	if to == nil {
		to = &line{ready: make(chan struct{})}
		l.open[key] = to
		go l.attach(ctx, key, to)
	}
	l.mu.Unlock()
	select {
	case <-to.ready:
		return to, to.err
	case <-ctx.Done():
		return nil, clacks.E(clacks.Unavailable, "busd.forward", "the bus is not there: %w", ctx.Err())
	}
}

func (l *lines) attach(ctx context.Context, key string, to *line) {
	to.requester, to.err = bus.NewRequester(ctx, l.bus, key, l.names)
	close(to.ready)
	if to.err != nil {
		l.drop(key, to)
	}
}

// drop forgets a line, and ends it; the next request attaches another.
func (l *lines) drop(key string, to *line) {
	l.mu.Lock()
	if l.open[key] == to {
		delete(l.open, key)
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

// keep ends the lines to addresses that no node has any more.
func (l *lines) keep(addresses map[string]bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, to := range l.open {
		if key != "" && !addresses[key] {
			delete(l.open, key)
			go to.close()
		}
	}
}

// close ends all lines.
func (l *lines) close() {
	l.mu.Lock()
	open := l.open
	l.open, l.closed = map[string]*line{}, true
	l.mu.Unlock()
	for _, to := range open {
		to.close()
	}
}
