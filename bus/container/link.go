package container

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"clacks/bus"
)

// link is what the sending and the receiving links of a container have in common.
type link struct {
	c         *Container
	peer      bus.Peer
	address   string
	receiving bool
	account   *account
	queue     *queue // nil for a Handler's node and for the anonymous one
	since     time.Time
	messages  atomic.Uint64
	refused   atomic.Uint64
	once      sync.Once
	closed    atomic.Bool
}

// open counts a link on its peer's account.
func (c *Container) open(peer bus.Peer, address string, receiving, internal bool) (*link, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, closing()
	}
	a := &c.internal
	if !internal {
		a = c.accountOf(peer)
		if a.links >= c.options.Limits.PeerLinks {
			return nil, exceeded("you have too many links")
		}
	}
	a.links++
	l := &link{c: c, peer: peer, address: address, receiving: receiving, account: a, since: time.Now()}
	c.links[l] = struct{}{}
	return l, nil
}

// close is the opposite of open and of attach. Only the first call does something.
func (l *link) close() {
	l.once.Do(func() {
		l.closed.Store(true)
		l.c.mu.Lock()
		defer l.c.mu.Unlock()
		delete(l.c.links, l)
		if l.queue != nil {
			l.queue.detached()
			if l.queue.dynamic && l.receiving {
				l.c.remove(l.queue, nil)
			}
		}
		l.account.links--
		l.c.forget(l.account)
	})
}

// sourceLink is a receiving link: the source behind it, and what is counted of it.
type sourceLink struct {
	*link
	inner bus.Source
}

var _ bus.Source = (*sourceLink)(nil)

// Next implements bus.Source.
func (s *sourceLink) Next(ctx context.Context) (*bus.Delivery, error) {
	d, err := s.inner.Next(ctx)
	if d != nil {
		s.messages.Add(1)
	}
	return d, err
}

// Ready implements bus.Source.
func (s *sourceLink) Ready() (*bus.Delivery, error) {
	d, err := s.inner.Ready()
	if d != nil {
		s.messages.Add(1)
	}
	return d, err
}

// Applied implements bus.Source.
func (s *sourceLink) Applied() []bus.Filter { return s.inner.Applied() }

// Close implements bus.Source.
func (s *sourceLink) Close(expired bool) {
	if s.closed.Swap(true) {
		return
	}
	s.inner.Close(expired)
	s.close()
}

// dynamicLink is a receiving link whose node was made for it.
type dynamicLink struct{ *sourceLink }

var _ bus.Addressed = (*dynamicLink)(nil)

// Address implements bus.Addressed.
func (d *dynamicLink) Address() string { return d.address }

// targetLink is a sending link: the target behind it, and what is asked of every message.
type targetLink struct {
	*link
	inner bus.Target
}

var _ bus.Target = (*targetLink)(nil)

// Put implements bus.Target.
func (t *targetLink) Put(ctx context.Context, m *bus.Message) bus.Disposition {
	d := t.put(ctx, m)
	if d.Outcome == bus.Accepted {
		t.messages.Add(1)
	} else {
		t.refused.Add(1)
	}
	return d
}

func (t *targetLink) put(ctx context.Context, m *bus.Message) bus.Disposition {
	if t.closed.Load() {
		return bus.Disposition{Outcome: bus.Released}
	}
	if id := m.Properties.UserID; len(id) > 0 && string(id) != t.peer.User.ID {
		return reject(&bus.Condition{Name: bus.Unauthorized, Description: "the message names another user than who sends it"})
	}
	if t.address != "" && !t.c.authorizer.Allowed(t.peer, Send, t.address) {
		return reject(unauthorized("to send to " + t.address))
	}
	return t.inner.Put(ctx, m)
}

// Close implements bus.Target.
func (t *targetLink) Close() {
	if t.closed.Swap(true) {
		return
	}
	t.inner.Close()
	t.close()
}

func reject(why *bus.Condition) bus.Disposition {
	return bus.Disposition{Outcome: bus.Rejected, Condition: why}
}
