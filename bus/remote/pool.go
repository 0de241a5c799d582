package remote

import (
	"context"
	"errors"
	"sync"

	"clacks"
	"clacks/bus"
)

// pool is the anonymous node at brokers that have none: a sender for each address that was used lately.
type pool struct {
	client  *Client
	options bus.SenderOptions

	mu      sync.Mutex
	closed  bool
	turn    uint64
	senders map[string]*pooled
}

var _ bus.Sender = (*pool)(nil)

// pooled is a sender with who uses it now, and when that began last.
type pooled struct {
	*sender
	users int
	turn  uint64
}

// poolSize is how many idle senders a pool keeps.
const poolSize = 64

// Address implements bus.Sender.
func (p *pool) Address() string { return "" }

// Send implements bus.Sender.
func (p *pool) Send(ctx context.Context, m *bus.Message) error {
	to := m.Properties.To
	if to == "" {
		return &bus.Condition{Name: bus.InvalidField, Description: "a message to the anonymous node says in to where it goes"}
	}
	s, err := p.take(to)
	if err != nil {
		return err
	}
	err = s.Send(ctx, m)
	var gone *bus.Condition
	p.give(to, s, errors.As(err, &gone) && gone.Name == bus.NotFound)
	return err
}

func (p *pool) take(to string) (*pooled, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, closedError("sender")
	}
	s := p.senders[to]
	if s == nil {
		s = &pooled{sender: p.client.sender(to, p.options)}
		p.senders[to] = s
	}
	p.turn++
	s.users, s.turn = s.users+1, p.turn
	return s, nil
}

// give returns a sender. One whose queue is gone is not kept, nor is the one that was idle for longest when there are too
// many.
func (p *pool) give(to string, s *pooled, gone bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.users--
	if gone && s.users == 0 && p.senders[to] == s {
		p.evict(to)
	}
	if len(p.senders) <= poolSize {
		return
	}
	oldest, turn := "", p.turn+1
	for to, s := range p.senders {
		if s.users == 0 && s.turn < turn {
			oldest, turn = to, s.turn
		}
	}
	if oldest != "" {
		p.evict(oldest)
	}
}

// evict closes an idle sender in the background. The lock is held.
func (p *pool) evict(to string) {
	s := p.senders[to]
	delete(p.senders, to)
	go func() { _ = s.close(context.Background()) }() // nothing was under way on it
}

// Close implements bus.Sender.
func (p *pool) Close(ctx context.Context) error {
	p.client.drop(p)
	p.mu.Lock()
	p.closed = true
	senders := p.senders
	p.senders = nil
	p.mu.Unlock()
	var failures []error
	for _, s := range senders {
		failures = append(failures, s.close(ctx))
	}
	if err := errors.Join(failures...); err != nil {
		return clacks.E(clacks.Unavailable, "remote.close", "the anonymous sender did not end in order: %w", err)
	}
	return nil
}
