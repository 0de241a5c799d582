package container

import (
	"context"
	"sync"

	"clacks"
	"clacks/bus"
)

// Connection is a Bus within this process: links without a wire. It obeys the same rights as links of the listener, but no
// limits a peer, which is the program itself.
type Connection struct {
	c    *Container
	peer bus.Peer

	mu     sync.Mutex
	closed bool
	links  map[ender]struct{}
}

var _ bus.Bus = (*Connection)(nil)

// ender is a link of a connection.
type ender interface {
	end(ctx context.Context, expired bool)
}

// Connect makes a connection for a peer of this process.
func (c *Container) Connect(peer bus.Peer) *Connection {
	peer.Secure = true
	connection := &Connection{c: c, peer: peer, links: map[ender]struct{}{}}
	c.mu.Lock()
	defer c.mu.Unlock()
	connection.closed = c.closed
	if !c.closed {
		c.local[connection] = struct{}{}
	}
	return connection
}

// Sender implements bus.Bus.
func (n *Connection) Sender(ctx context.Context, address string, options bus.SenderOptions) (bus.Sender, error) {
	target, err := n.c.target(ctx, bus.TargetRequest{Peer: n.peer, Address: address}, true)
	if err != nil {
		return nil, err
	}
	s := &sender{connection: n, target: target, address: address, settled: options.Settled, done: make(chan struct{})}
	if !n.add(s) {
		target.Close()
		return nil, gone("the connection is closed")
	}
	return s, nil
}

// Receiver implements bus.Bus.
func (n *Connection) Receiver(ctx context.Context, address string, options bus.ReceiverOptions) (bus.Receiver, error) {
	source, err := n.c.source(ctx, bus.SourceRequest{
		Peer: n.peer, Address: address, Link: options.Name, Durable: options.Durable, Dynamic: options.Dynamic, Filters: options.Filters,
	}, true)
	if err != nil {
		return nil, err
	}
	if missing := unapplied(options.Filters, source.Applied()); missing != "" {
		source.Close(true)
		return nil, &bus.Condition{Name: bus.NotImplemented, Description: "the node does not apply the filter " + missing}
	}
	if made, ok := source.(bus.Addressed); ok {
		address = made.Address()
	}
	r := newReceiver(n, source, address, options)
	if !n.add(r) {
		source.Close(true)
		return nil, gone("the connection is closed")
	}
	return r, nil
}

// unapplied is the name of a filter that was wished and is not in force.
func unapplied(wished, applied []bus.Filter) string {
	names := map[string]bool{}
	for _, f := range applied {
		names[f.Name] = true
	}
	for _, f := range wished {
		if !names[f.Name] {
			return f.Name
		}
	}
	return ""
}

func (n *Connection) add(l ender) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return false
	}
	n.links[l] = struct{}{}
	return true
}

func (n *Connection) drop(l ender) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.links, l)
}

// Close implements bus.Bus.
func (n *Connection) Close(ctx context.Context) error {
	n.end(ctx, true)
	return nil
}

// Abort ends the connection as a loss would: nobody knows how far its receivers came with what they hold.
func (n *Connection) Abort() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // a Next that does not listen is not waited for
	n.end(ctx, false)
}

func (n *Connection) end(ctx context.Context, expired bool) {
	n.mu.Lock()
	n.closed = true
	links := n.links
	n.links = map[ender]struct{}{}
	n.mu.Unlock()
	for l := range links {
		l.end(ctx, expired)
	}
	n.c.mu.Lock()
	defer n.c.mu.Unlock()
	delete(n.c.local, n)
}

func gone(why string) error { return clacks.E(clacks.Unavailable, "container", "%s", why) }

// sender is a sending link of this process.
type sender struct {
	connection *Connection
	target     bus.Target
	address    string
	settled    bool
	once       sync.Once
	done       chan struct{}
}

var _ bus.Sender = (*sender)(nil)

// Send implements bus.Sender.
func (s *sender) Send(ctx context.Context, m *bus.Message) error {
	select {
	case <-s.done:
		return gone("the sender is closed")
	case <-ctx.Done():
		return ctx.Err()
	default:
	}
	d := s.target.Put(ctx, m)
	if s.settled {
		return nil
	}
	return d.Err()
}

// Address implements bus.Sender.
func (s *sender) Address() string { return s.address }

// Close implements bus.Sender.
func (s *sender) Close(ctx context.Context) error {
	s.connection.drop(s)
	s.end(ctx, true)
	return nil
}

func (s *sender) end(context.Context, bool) {
	s.once.Do(func() {
		close(s.done)
		s.target.Close()
	})
}
