// Package zmqd is a gateway for programs that speak ZeroMQ (ZMTP 3.0, RFC 23): what they push on one socket goes to all
// that subscribed to it on the other, and so do the events of the log.
//
//	PUSH --> emit (PULL) --> name known, document valid, user may?  --yes--> event log
//	                              | no                                          |
//	                              v                                             v
//	SUB  <-- register (PUB) <-- publisher <------------------------------ committed events
//
// A message is one frame: the name, a NUL byte, the payload. A committed event has the name of its type and its XML
// document as payload. Subscriptions are ZeroMQ's: they match the beginning of the message, so who wants one name and no
// longer one subscribes to it with the NUL.
//
// # What is durable
//
// Events in the log are, as they always were; the gateway is not. A subscriber gets what is published while it is
// connected and keeps up, at most once: ZeroMQ has no acknowledgement. What is pushed and does not enter the log is gone
// when it has been passed on.
//
// # Who may
//
// Everybody who can connect: there is no authentication. So the addresses have to be loopback ones unless Options.Remote
// says otherwise; whoever connects to register sees every committed event whole, whoever connects to emit can send
// subscribers whatever he likes, also in the name of a known type. Nothing enters the log unless Options.User says as whom.
//
// # The library
//
// github.com/go-zeromq/zmq4 does the protocol of one connection: greeting, mechanism, metadata, frames. Its listening
// sockets are not used, as they do not stand up to strangers: a header that announces a frame of 2^62 bytes, or a READY
// without a socket type, is a panic of the whole process; one peer that does not finish its greeting keeps all others
// from connecting; a refused connection is never closed; a subscriber that does not read stalls all others. So the
// sockets are our own: door.go accepts and bounds connections, frames.go looks at each header before the library does,
// publisher.go has a bounded queue and a writer for each subscriber, and a panic ends its connection.
package zmqd

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-zeromq/zmq4"

	"clacks"
	"clacks/access"
	"clacks/events"
)

// Events is what the gateway needs of events.Log.
type Events interface {
	Subscribe(ctx context.Context, s events.Subscription) (*events.Subscriber, error)
	Send(ctx context.Context, user access.User, document []byte, options ...events.SendOption) (int64, error)
	Schemas() *events.Schemas
}

// Options say what the gateway does.
type Options struct {
	// Emit and Register are where to listen, as "tcp://127.0.0.1:9000"; "" for not at all. Port 0 picks a free one.
	Emit, Register string
	// Remote allows addresses that other machines reach.
	Remote bool
	// Events is the event log; nil: messages are passed on, nothing else.
	Events Events
	// User is as whom pushed events enter the log; none do for nobody.
	User   access.User
	Limits Limits
	Log    *slog.Logger // nil: slog.Default()
}

// Limits bound what a stranger can make the gateway hold or do. A zero field means that of DefaultLimits.
type Limits struct {
	Connections int           // of each socket
	Handshakes  int           // of each socket; the oldest one makes room for the next
	Handshake   time.Duration // until a connection has introduced itself
	Frame       time.Duration // until a frame that has begun is there
	Message     int           // bytes of a pushed message
	Rate        int           // messages a second of one connection; the rest waits in its socket
	Topics      int           // subscriptions of one connection
	Queue       int           // messages waiting for one subscriber; what comes then is dropped for it
	QueueBytes  int           // likewise, in bytes; one message is taken whatever its size
	Held        int           // bytes waiting for all subscribers; the slowest is cut off
	Write       time.Duration // until a subscriber takes 64 KiB
}

// DefaultLimits are for a gateway between programs of one machine. The largest pushed message is the largest event that a
// client may send, with its name.
var DefaultLimits = Limits{Connections: 256, Handshakes: 256, Handshake: 5 * time.Second, Frame: 30 * time.Second,
	Message: events.MaxDocument + maxName + 1, Rate: 1000, Topics: 200, Queue: 1000, QueueBytes: 16 << 20, Held: 128 << 20,
	Write: 10 * time.Second}

func (l Limits) orDefault() Limits {
	d := DefaultLimits
	for _, f := range []struct{ field, fallback *int }{
		{&l.Connections, &d.Connections}, {&l.Handshakes, &d.Handshakes}, {&l.Message, &d.Message}, {&l.Rate, &d.Rate},
		{&l.Topics, &d.Topics}, {&l.Queue, &d.Queue}, {&l.QueueBytes, &d.QueueBytes}, {&l.Held, &d.Held},
	} {
		if *f.field <= 0 {
			*f.field = *f.fallback
		}
	}
	for _, f := range []struct{ field, fallback *time.Duration }{
		{&l.Handshake, &d.Handshake}, {&l.Frame, &d.Frame}, {&l.Write, &d.Write},
	} {
		if *f.field <= 0 {
			*f.field = *f.fallback
		}
	}
	return l
}

// Stats count since the start, and say how many connections there are.
type Stats struct {
	Emitters, Subscribers int
	// Pushed messages; of those the ones that entered the log, and those that were wrong and dropped.
	Pushed, Logged, Wrong int64
	// Published messages, the copies that were sent to subscribers, and those that were dropped for slow ones.
	Published, Sent, Dropped int64
	// Refused connections, and those that were cut off.
	Refused, Cut int64
}

// Gateway is a running gateway.
type Gateway struct {
	options   Options
	limits    Limits
	log       *slog.Logger
	emit      *door // nil without
	register  *door
	publisher *publisher

	pushed, logged, wrong, refused, cut atomic.Int64
	told                                atomic.Int64 // the second in which something was logged of a peer
}

// Listen opens the sockets; Run serves them. An address that is wrong, or not a loopback one without Options.Remote, is
// clacks.Invalid.
func Listen(ctx context.Context, o Options) (*Gateway, error) {
	g := &Gateway{options: o, limits: o.Limits.orDefault(), log: o.Log}
	if g.log == nil {
		g.log = slog.Default()
	}
	g.publisher = newPublisher(g.limits)
	var err error
	if g.emit, err = g.open(ctx, o.Emit, zmq4.Pull, g.serveEmitter); err != nil {
		return nil, err
	}
	if g.register, err = g.open(ctx, o.Register, zmq4.Pub, g.serveSubscriber); err != nil {
		g.close()
		return nil, err
	}
	if g.emit == nil && g.register == nil {
		return nil, clacks.E(clacks.Invalid, "zmqd.listen", "the gateway has no address")
	}
	return g, nil
}

func (g *Gateway) open(ctx context.Context, endpoint string, kind zmq4.SocketType, serve func(context.Context, *link)) (*door, error) {
	if endpoint == "" {
		return nil, nil
	}
	address, err := ParseEndpoint(endpoint, g.options.Remote)
	if err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, clacks.E(clacks.Unavailable, "zmqd.listen", "%s: %w", endpoint, err)
	}
	return &door{gateway: g, kind: kind, listener: listener, serve: serve, links: map[*link]bool{}}, nil
}

func (g *Gateway) close() {
	for _, d := range []*door{g.emit, g.register} {
		if d != nil {
			_ = d.listener.Close() // nothing is lost
		}
	}
}

// EmitAddress and RegisterAddress are where the sockets listen, nil for one that is not.
func (g *Gateway) EmitAddress() net.Addr { return g.emit.address() }

// RegisterAddress: see EmitAddress.
func (g *Gateway) RegisterAddress() net.Addr { return g.register.address() }

// Run serves until the context ends.
func (g *Gateway) Run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.WaitGroup
	for _, d := range []*door{g.emit, g.register} {
		if d != nil {
			running.Go(func() { d.run(ctx) })
		}
	}
	if g.register != nil && g.options.Events != nil {
		running.Go(func() { g.followLog(ctx) })
	}
	<-ctx.Done()
	g.close()
	running.Wait()
}

// Stats are those of now.
func (g *Gateway) Stats() Stats {
	s := Stats{Emitters: g.emit.count(), Subscribers: g.register.count(), Pushed: g.pushed.Load(), Logged: g.logged.Load(),
		Wrong: g.wrong.Load(), Refused: g.refused.Load(), Cut: g.cut.Load()}
	s.Published, s.Sent, s.Dropped = g.publisher.published.Load(), g.publisher.sent.Load(), g.publisher.dropped.Load()
	return s
}

// The pauses between two attempts to read the event log.
const (
	firstPause = 200 * time.Millisecond
	lastPause  = 10 * time.Second
)

// observer is who reads the log for the subscribers, who are nobody in particular.
var observer = access.User{ID: "zmq", Admin: true}

// followLog publishes what is committed from now on. While the log cannot be read it waits, and goes on where it was.
func (g *Gateway) followLog(ctx context.Context) {
	after, pause := int64(events.FromNow), firstPause
	for {
		before := after
		err := g.followFrom(ctx, &after)
		if ctx.Err() != nil {
			return
		}
		if after != before {
			pause = firstPause
		}
		if clacks.IsKind(err, clacks.NotFound) || clacks.IsKind(err, clacks.Invalid) {
			g.log.Error("zmq: events were not published, the log no longer has them", "after", after, "error", err)
			after = events.FromNow
		} else {
			g.log.Warn("zmq: the event log cannot be read", "error", err)
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		pause = min(2*pause, lastPause)
	}
}

// followFrom is one subscription to the log; it moves after to what has been published.
func (g *Gateway) followFrom(ctx context.Context, after *int64) error {
	s, err := g.options.Events.Subscribe(ctx, events.Subscription{User: observer, After: *after})
	if err != nil {
		return err
	}
	defer s.Close()
	defer func() { *after = s.Position() }()
	return s.Run(ctx, func(e events.Event) error {
		g.publisher.publish(message(e.Type, e.Document))
		return nil
	})
}
