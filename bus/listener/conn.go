package listener

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"math"
	"net"
	"sync"
	"time"

	"clacks/bus"
	"clacks/bus/wire"
)

// conn is one connection. What mu guards is said at each field; the rest belongs to the reader's goroutine, or is constant
// once the connection is open.
type conn struct {
	l    *Listener
	id   string
	host string
	raw  net.Conn // the socket; others close it to end the connection
	nc   net.Conn // the same, or TLS over it
	log  *slog.Logger
	half *list.Element // in Listener.half; guarded by the listener's lock

	ctx    context.Context // ends with the connection
	cancel context.CancelFunc
	links  sync.WaitGroup // their goroutines

	peer   bus.Peer
	since  time.Time
	tls    bool
	in     frameReader
	frame  int // the size of the frame that is handled
	parser wire.Parser
	bucket bucket // of attaches

	frameSize  int           // the largest frame that the peer takes
	peerIdle   time.Duration // within which the peer wants to see a frame; 0 for any time
	channelMax uint16        // the highest channel that the peer takes

	mu sync.Mutex
	// Guarded by mu.
	writer    output
	answered  bool // our open was sent
	open      bool
	closeSent bool
	dead      bool // nothing is sent any more, links end
	sessions  map[uint16]*session
	names     map[linkName]link
	held      int  // bytes of whole messages that no node has taken
	starved   bool // a session's window waits for memory
	partial   int  // bytes of messages of which more is to come
	attached  int  // bytes that links may take
}

// linkName is what a link is known by on its connection (AMQP 1.0, 2.6.1).
type linkName struct {
	name     string
	receiver bool
}

func newConn(l *Listener, nc net.Conn, host, id string) *conn {
	c := &conn{
		l: l, id: id, host: host, raw: nc, nc: nc, since: time.Now(), log: l.o.Log.With("connection", id, "address", nc.RemoteAddr().String()),
		sessions: make(map[uint16]*session), names: make(map[linkName]link), frameSize: wire.MinFrameSize,
		bucket: bucket{rate: float64(l.o.Limits.LinksPerSecond)},
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.writer.init(c)
	return c
}

// fault ends a connection: with a close frame when the condition is set, without a word otherwise.
type fault struct {
	reason    Reason
	condition *bus.Condition
	err       error
}

func (f *fault) Error() string {
	if f.condition != nil {
		return f.condition.Error()
	}
	return f.reason.String() + ": " + f.err.Error()
}

func framing(description string) *fault {
	return &fault{reason: Malformed, condition: &bus.Condition{Name: bus.FramingError, Description: description}}
}

// errClosed is the end of a connection that the peer wanted.
var errClosed = errors.New("closed by the peer")

// serve is the life of a connection.
func (c *conn) serve(config *tls.Config) {
	defer c.l.forget(c)
	defer c.teardown()
	_ = c.nc.SetDeadline(time.Now().Add(c.l.o.Limits.Handshake))
	if err := c.handshake(config); err != nil {
		c.report(err)
		return
	}
	go c.writer.run()
	err := c.read()
	c.report(err)
	c.finish(err)
}

// report counts and logs why a connection ended.
func (c *conn) report(err error) {
	var f *fault
	switch {
	case errors.As(err, &f):
	case isTimeout(err) && !c.closing():
		f = &fault{reason: c.silent(), err: err}
	default:
		c.log.Debug("connection ended", "user", c.peer.User.ID, "error", err)
		return
	}
	c.cutOff(f.reason, err)
}

// cutOff counts why a connection is cut off, and logs it, unless there is too much of that.
func (c *conn) cutOff(reason Reason, err error) {
	c.l.counters.refused[reason].Add(1)
	if suppressed, ok := c.l.logs.take(time.Now()); ok {
		c.log.Info("connection cut off", "user", c.peer.User.ID, "reason", reason.String(), "error", err, "suppressed", suppressed)
	}
}

// silent is what it means that nothing came in time.
func (c *conn) silent() Reason {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open {
		return Idle
	}
	return Handshake
}

// closing tells whether the close was sent.
func (c *conn) closing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closeSent
}

// read handles frames until the connection ends.
func (c *conn) read() error {
	for {
		h, body, err := c.in.frame()
		if err != nil {
			return err
		}
		if h.Type != wire.FrameAMQP {
			return framing("a frame of another type than AMQP")
		}
		if len(body) == 0 {
			continue
		}
		performative, payload, err := c.parser.Parse(wire.FrameAMQP, body)
		if err != nil {
			var condition *bus.Condition
			errors.As(err, &condition)
			return &fault{reason: Malformed, condition: condition}
		}
		c.frame = len(body)
		if _, attach := performative.(*wire.Attach); attach {
			c.paceLinks()
		}
		if err := c.handle(h.Channel, performative, payload); err != nil {
			return err
		}
	}
}

// paceLinks lets a peer that attaches too many links wait.
func (c *conn) paceLinks() {
	pause := c.bucket.take(time.Now())
	if pause == 0 {
		return
	}
	c.l.counters.refused[TooManyLinks].Add(1)
	select {
	case <-time.After(pause):
	case <-c.ctx.Done():
	}
}

// handle takes one frame, once there is room for what it may be answered with.
func (c *conn) handle(channel uint16, p wire.Performative, payload []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writer.waitForRoom()
	for c.held > 2*c.l.o.Limits.Memory && !c.dead {
		c.writer.room.Wait()
	}
	if c.dead {
		return net.ErrClosed
	}
	switch p := p.(type) {
	case *wire.Open:
		return c.opening(p)
	case *wire.Close:
		if p.Error != nil {
			c.log.Debug("the peer closed the connection", "error", p.Error)
		}
		c.sendClose(nil)
		return errClosed
	}
	if c.closeSent {
		return nil
	}
	if !c.open {
		return framing("a frame before the open")
	}
	if channel > c.channels() {
		return framing("a channel beyond channel-max")
	}
	s := c.sessions[channel]
	if begin, ok := p.(*wire.Begin); ok {
		if s != nil {
			return framing("a begin on a channel that is in use")
		}
		return c.begin(channel, begin)
	}
	if s == nil {
		return framing("a frame on a channel without a session")
	}
	return s.handle(p, payload)
}

func (c *conn) channels() uint16 {
	return uint16(min(c.l.o.Limits.Sessions-1, math.MaxUint16, int(c.channelMax)))
}

// opening answers the peer's open. The lock is held.
func (c *conn) opening(p *wire.Open) error {
	if c.answered {
		return framing("a second open")
	}
	c.answered = true
	limits := &c.l.o.Limits
	c.peer.Container = p.ContainerID
	c.peerIdle = time.Duration(p.IdleTimeout) * time.Millisecond
	c.channelMax = p.ChannelMax
	c.writer.append(0, &wire.Open{
		ContainerID: c.l.o.Container, MaxFrameSize: limits.FrameSize, ChannelMax: c.channels(),
		IdleTimeout: uint32(min(limits.Idle.Milliseconds()/2, math.MaxUint32)), Offered: []bus.Symbol{"ANONYMOUS-RELAY"},
		Properties: map[string]any{"product": "Clacks"},
	})
	refuse := func(name, description string) error {
		return &fault{reason: Malformed, condition: &bus.Condition{Name: name, Description: description}}
	}
	switch {
	case p.MaxFrameSize < wire.MinFrameSize:
		return refuse(bus.InvalidField, "max-frame-size is below 512")
	case c.peerIdle > 0 && c.peerIdle < limits.MinIdle:
		return refuse(bus.NotAllowed, "idle-time-out is too short")
	}
	c.frameSize = int(min(p.MaxFrameSize, limits.FrameSize))
	if !c.l.opened(c) {
		return refuse(bus.ConnectionForced, "the server is shutting down")
	}
	_ = c.nc.SetReadDeadline(time.Time{})
	c.in.idle = limits.Idle
	c.open = true
	c.writer.beat()
	return nil
}

// sendClose appends the close frame, once. It is the last of all frames: links end before it.
func (c *conn) sendClose(condition *bus.Condition) {
	if c.closeSent || c.dead {
		return
	}
	c.closeSent = true
	for _, s := range c.sessions {
		s.endLinks(false)
	}
	if !c.answered {
		// An open has to come first.
		c.writer.append(0, &wire.Open{ContainerID: c.l.o.Container, MaxFrameSize: c.l.o.Limits.FrameSize})
	}
	c.writer.append(0, &wire.Close{Error: condition})
}

// force closes the connection from our side; the reader waits for the peer's close, not for long.
func (c *conn) force(condition *bus.Condition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.open || c.closeSent {
		if !c.open {
			_ = c.raw.Close()
		}
		return
	}
	c.sendClose(condition)
	c.in.stop(time.Now().Add(c.l.o.Limits.Close))
}

// finish writes what is left, and then waits shortly for the peer to close: bytes that come on a closed socket would make
// the peer's system throw away what it has not read yet, the reason of the close.
func (c *conn) finish(err error) {
	var f *fault
	c.mu.Lock()
	switch {
	case errors.As(err, &f) && f.condition != nil:
		c.sendClose(f.condition)
	case isTimeout(err):
		c.sendClose(&bus.Condition{Name: bus.LimitExceeded, Description: "nothing came within the idle time-out"})
	}
	c.writer.ending = true
	c.mu.Unlock()
	c.writer.wake()
	select {
	case <-c.writer.done:
	case <-time.After(c.l.o.Limits.Close):
		return
	}
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		return
	}
	c.linger()
}

// linger discards what comes until the peer closes, for Limits.Close and a megabyte at most.
func (c *conn) linger() {
	_ = c.nc.SetDeadline(time.Now().Add(c.l.o.Limits.Close))
	if half, ok := c.nc.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	} else {
		return
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(c.nc, 1<<20))
}

// teardown ends everything and waits for the links: a connection counts until they are gone. What has come is still given to
// the nodes, which have Limits.Close for it.
func (c *conn) teardown() {
	c.mu.Lock()
	c.dead = true
	for _, s := range c.sessions {
		s.endLinks(false)
	}
	c.l.counters.sessions.Add(-int64(len(c.sessions)))
	clear(c.sessions)
	c.writer.release()
	c.mu.Unlock()
	_ = c.raw.Close()
	timer := time.AfterFunc(c.l.o.Limits.Close, c.cancel)
	c.links.Wait()
	timer.Stop()
	c.cancel()
}

// describe is the connection for those who look.
func (c *conn) describe() (Connection, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.open {
		return Connection{}, false
	}
	now := time.Now()
	d := Connection{
		ID: c.id, User: c.peer.User.ID, Container: c.peer.Container, Address: c.peer.Address, Secure: c.tls, Since: c.since,
		Sessions: len(c.sessions), BytesIn: c.in.total.Load(), BytesOut: c.writer.total.Load(), Waiting: len(c.writer.buffer),
	}
	for _, s := range c.sessions {
		for _, k := range s.links {
			if described, ok := k.describe(now); ok {
				d.Links = append(d.Links, described)
			}
		}
	}
	return d, true
}

// logLimit bounds what strangers can write into the log: logRate entries a second.
type logLimit struct {
	mu         sync.Mutex
	bucket     bucket
	suppressed int
}

const logRate = 10

// take tells whether to log, and how much was not logged since the last time.
func (l *logLimit) take(now time.Time) (suppressed int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bucket.rate = logRate
	if l.bucket.take(now) > 0 {
		l.bucket.tokens++
		l.suppressed++
		return 0, false
	}
	suppressed, l.suppressed = l.suppressed, 0
	return suppressed, true
}

// bucket is a token bucket: rate a second, twice as many at once.
type bucket struct {
	rate, tokens float64
	last         time.Time
}

// take takes a token, and returns how long to wait until it is there.
func (b *bucket) take(now time.Time) time.Duration {
	if b.last.IsZero() {
		b.tokens = 2 * b.rate
	} else {
		b.tokens = min(b.tokens+now.Sub(b.last).Seconds()*b.rate, 2*b.rate)
	}
	b.last = now
	b.tokens--
	if b.tokens >= 0 {
		return 0
	}
	return time.Duration(-b.tokens / b.rate * float64(time.Second))
}
