// Package remote is a Bus over the network: an external broker, or the listener of another process. It stands on go-amqp,
// adds what brokers want of addresses (Dialect), and comes back by itself after a loss.
//
//	Sender, Receiver            valid for good; each use asks for a living link (link.go)
//	      |
//	    link  ---- none, or dead: waits for the connection, begins a session of its own, attaches, gives its credit anew
//	      |
//	  Client.run                the supervisor, one goroutine: dials, tells the state, waits for the loss, backs off, dials
//	      |
//	   go-amqp                  a connection; each link has a session of its own, since brokers end the whole session when
//	                            they refuse one link
//
// # What a loss means
//
// A Send that waits for a connection, or for others before it, goes on waiting as long as its context allows. One whose
// message was being written, or was written and whose outcome did not come back, fails with clacks.InDoubt: nobody here knows
// whether it was taken. Deliveries
// that came before the loss can no longer be settled; the broker delivers them again. Links are attached when they are used
// next; a refusal is told to that caller, and tried again at the next use, not before a pause that grows.
//
// # What go-amqp does not tell
//
// A symbol that comes in a message is a string: go-amqp does not distinguish them. Messages have no Bare part.
//
// # Time
//
// Every close has a deadline, from its context or Options.CloseTimeout: RabbitMQ 3 never answers the detach of a link, others
// die in the middle of it.
package remote

import (
	"context"
	"crypto/tls"
	"log/slog"
	"sync"
	"time"

	"clacks"
	"clacks/bus"
)

// Options of a Client. Only URL has no default.
type Options struct {
	// URL is amqp://user:password@host:port or amqps://...; the ports are 5672 and 5671.
	URL string
	// TLS is for amqps; nil is verification against the system's authorities. Certificates in it are shown to the server,
	// and log in with SASL EXTERNAL.
	TLS *tls.Config
	// SASL is the mechanism; "" takes PLAIN with a user, EXTERNAL with a client certificate, else ANONYMOUS.
	SASL Mechanism
	// User and Password are for PLAIN; they win over those in the URL.
	User, Password string
	// Dialect is how the broker wants addresses; "" finds out from what the broker says of itself.
	Dialect     Dialect
	ContainerID string // the name of this end; random when ""
	// MaxMessageSize bounds what a receiver takes, in bytes; 16 MiB when 0.
	MaxMessageSize uint64
	ConnectTimeout time.Duration // of one attempt to connect, or to attach a link; 15 s
	CloseTimeout   time.Duration // of a close whose context has no deadline; 5 s
	IdleTimeout    time.Duration // after so long without a frame the connection counts as lost; 30 s
	BackoffMin     time.Duration // the first pause between attempts; 100 ms
	BackoffMax     time.Duration // the longest; 30 s
	// OnState is called by one goroutine after each change; it must not wait for this Client.
	OnState func(State)
	Log     *slog.Logger // nil for slog.Default
}

// Mechanism is one of SASL's.
type Mechanism string

// The mechanisms.
const (
	Plain     Mechanism = "PLAIN"
	External  Mechanism = "EXTERNAL"
	Anonymous Mechanism = "ANONYMOUS"
)

// State is that of the connection.
type State struct {
	Connected bool
	Since     time.Time // of this state
	Attempt   int       // attempts that failed since the connection was lost
	Err       error     // why there is no connection; nil at the beginning
	Dialect   Dialect   // of the broker, when connected
}

// Statistics count what happened since the client exists.
type Statistics struct {
	State    State
	Connects uint64 // connections that came up
	Losses   uint64 // those that were lost
	Failures uint64 // attempts that failed
	InDoubt  uint64 // messages whose outcome was lost
	Links    int    // senders and receivers that are open
}

// Client is a bus.Bus over one connection at a time. It is safe for concurrent use.
type Client struct {
	options Options
	log     *slog.Logger
	stop    context.CancelFunc
	stopped chan struct{} // closed when the supervisor has ended

	mu      sync.Mutex
	conn    *connection   // nil while there is none
	changed chan struct{} // closed when conn or state changes
	state   State
	stats   Statistics
	closed  bool
	links   map[closer]struct{}
}

var _ bus.Bus = (*Client)(nil)

// closer is a link of a client.
type closer interface {
	Close(ctx context.Context) error
}

// New makes a client, which connects in the background and for ever. An error is one of the options.
func New(options Options) (*Client, error) {
	options = options.filled()
	if _, err := endpointOf(options); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	c := &Client{
		options: options, log: options.Log, stop: stop, stopped: make(chan struct{}), changed: make(chan struct{}),
		state: State{Since: time.Now()}, links: map[closer]struct{}{},
	}
	go c.run(ctx)
	return c, nil
}

// Dial makes a client and waits for its first connection. When the first attempt fails, or the context ends, there is none,
// and the error says why: programs that a person waits for want that.
func Dial(ctx context.Context, options Options) (*Client, error) {
	c, err := New(options)
	if err != nil {
		return nil, err
	}
	for {
		c.mu.Lock()
		state, changed := c.state, c.changed
		c.mu.Unlock()
		switch {
		case state.Connected:
			return c, nil
		case state.Err != nil:
			c.abandon()
			return nil, state.Err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			c.abandon()
			return nil, clacks.E(clacks.Unavailable, "remote.dial", "no connection to %s: %w", c.host(), ctx.Err())
		}
	}
}

// abandon ends a client that nobody has seen.
func (c *Client) abandon() {
	c.stop()
	<-c.stopped
}

func (o Options) filled() Options {
	or := func(d *time.Duration, fallback time.Duration) {
		if *d <= 0 {
			*d = fallback
		}
	}
	or(&o.ConnectTimeout, 15*time.Second)
	or(&o.CloseTimeout, 5*time.Second)
	or(&o.IdleTimeout, 30*time.Second)
	or(&o.BackoffMin, 100*time.Millisecond)
	or(&o.BackoffMax, 30*time.Second)
	o.BackoffMax = max(o.BackoffMax, o.BackoffMin)
	if o.MaxMessageSize == 0 {
		o.MaxMessageSize = 16 << 20
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return o
}

// State is that of now.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// Statistics are those of now.
func (c *Client) Statistics() Statistics {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.State, s.Links = c.state, len(c.links)
	return s
}

// add notes a link that Close has to end, or says that it is too late.
func (c *Client) add(l closer) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return closedError("client")
	}
	c.links[l] = struct{}{}
	return nil
}

func (c *Client) drop(l closer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.links, l)
}

func closedError(what string) error {
	return clacks.E(clacks.Unavailable, "remote", "the %s is closed", what)
}

// Close implements bus.Bus. A context without deadline has that of Options.CloseTimeout.
func (c *Client) Close(ctx context.Context) error {
	ctx, cancel := c.closing(ctx)
	defer cancel()
	c.mu.Lock()
	c.closed = true
	links := c.links
	c.links = map[closer]struct{}{}
	c.mu.Unlock()
	var group sync.WaitGroup
	for l := range links {
		group.Go(func() { _ = l.Close(ctx) }) // what cannot be closed in order goes with the connection
	}
	group.Wait()
	c.stop()
	select {
	case <-c.stopped:
		return nil
	case <-ctx.Done():
		c.sever()
		<-c.stopped
		return clacks.E(clacks.Unavailable, "remote.close", "the connection did not end in order: %w", ctx.Err())
	}
}

// closing gives a context a deadline.
func (c *Client) closing(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, c.options.CloseTimeout)
}
