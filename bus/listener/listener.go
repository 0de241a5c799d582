package listener

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strconv"
	"sync"
	"time"

	"clacks"
	"clacks/bus"
)

// Listener serves AMQP 1.0 on any number of sockets. Its methods are safe for concurrent use.
type Listener struct {
	o        Options
	ctx      context.Context
	cancel   context.CancelFunc
	logins   chan struct{}
	throttle throttle
	counters counters
	logs     logLimit

	mu        sync.Mutex
	closed    bool
	sockets   map[net.Listener]struct{}
	conns     map[string]*conn
	half      *list.List // of *conn, the oldest first
	addresses map[string]*address
	next      uint64
	wg        sync.WaitGroup
}

// address counts the connections of one address.
type address struct{ all, half int }

// New makes a listener; nothing listens until Serve.
func New(o Options) (*Listener, error) {
	o, err := o.check()
	if err != nil {
		return nil, err
	}
	l := &Listener{
		o: o, logins: make(chan struct{}, o.Limits.Logins), sockets: make(map[net.Listener]struct{}),
		conns: make(map[string]*conn), half: list.New(), addresses: make(map[string]*address),
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l, nil
}

// ErrClosed is what Serve returns after Shutdown.
var ErrClosed = errors.New("listener: closed")

// Serve accepts connections until Shutdown, then it returns ErrClosed; or until the socket fails. It closes the socket.
func (l *Listener) Serve(socket net.Listener) error { return l.serve(socket, nil) }

// ServeTLS is Serve with TLS from the first byte (port 5671).
func (l *Listener) ServeTLS(socket net.Listener) error {
	if l.o.TLS == nil {
		return clacks.E(clacks.Invalid, "listener.serve", "there is no TLS configuration")
	}
	return l.serve(socket, l.o.TLS)
}

func (l *Listener) serve(socket net.Listener, config *tls.Config) error {
	defer socket.Close() //nolint:errcheck // it is closed by Shutdown, too
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	l.sockets[socket] = struct{}{}
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.sockets, socket)
		l.mu.Unlock()
	}()
	pause := time.Duration(0)
	for {
		nc, err := socket.Accept()
		if err == nil {
			pause = 0
			l.start(nc, config)
			continue
		}
		if l.ctx.Err() != nil {
			return ErrClosed
		}
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		// A lack of descriptors passes; until then accepting again at once would only burn time.
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		l.o.Log.Warn("accepting a connection failed", "error", err, "pause", pause)
		select {
		case <-time.After(pause):
		case <-l.ctx.Done():
			return ErrClosed
		}
	}
}

// start admits a connection and serves it in a goroutine.
func (l *Listener) start(nc net.Conn, config *tls.Config) {
	if c := l.admitted(nc); c != nil {
		go func() {
			defer l.wg.Done()
			c.serve(config)
		}()
	}
}

// ServeConn serves one connection, which somebody else has accepted, until it ends; it is closed then. It counts as those of
// Serve do, and may be refused as they.
func (l *Listener) ServeConn(nc net.Conn) {
	if c := l.admitted(nc); c != nil {
		defer l.wg.Done()
		c.serve(nil)
	}
}

// admitted is an admitted connection, or nil for one that was refused.
func (l *Listener) admitted(nc net.Conn) *conn {
	c, reason, ok := l.admit(nc)
	if !ok {
		l.counters.refused[reason].Add(1)
		_ = nc.Close()
		return nil
	}
	return c
}

// admit counts a connection, or says why it is one too many.
func (l *Listener) admit(nc net.Conn) (*conn, Reason, bool) {
	host := hostOf(nc.RemoteAddr())
	l.mu.Lock()
	defer l.mu.Unlock()
	limits := &l.o.Limits
	a := l.addresses[host]
	switch {
	case l.closed || len(l.conns) >= limits.Connections:
		return nil, TooMany, false
	case a != nil && (a.all >= limits.PerAddress || a.half >= limits.HalfOpenEach):
		return nil, TooManyOfOne, false
	}
	if l.half.Len() >= limits.HalfOpen {
		l.counters.refused[HalfOpen].Add(1)
		l.half.Front().Value.(*conn).drop()
	}
	if a == nil {
		a = &address{}
		l.addresses[host] = a
	}
	a.all++
	a.half++
	l.next++
	c := newConn(l, nc, host, "amqp-"+strconv.FormatUint(l.next, 10))
	c.half = l.half.PushBack(c)
	l.conns[c.id] = c
	l.wg.Add(1)
	l.counters.accepted.Add(1)
	l.counters.connections.Add(1)
	l.counters.halfOpen.Add(1)
	return c, 0, true
}

// opened takes a connection from those that are half open; false when it was dropped or the listener is closing.
func (l *Listener) opened(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || c.half == nil {
		return false
	}
	l.unhalf(c)
	return true
}

func (l *Listener) unhalf(c *conn) {
	if c.half == nil {
		return
	}
	l.half.Remove(c.half)
	c.half = nil
	l.addresses[c.host].half--
	l.counters.halfOpen.Add(-1)
}

// drop closes the socket of a connection that is not open yet; its goroutine does the rest. The listener's lock is held.
func (c *conn) drop() {
	c.l.unhalf(c)
	_ = c.raw.Close()
}

// forget is the end of a connection.
func (l *Listener) forget(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unhalf(c)
	delete(l.conns, c.id)
	a := l.addresses[c.host]
	if a.all--; a.all == 0 {
		delete(l.addresses, c.host)
	}
	l.counters.connections.Add(-1)
}

func (l *Listener) all() []*conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	conns := make([]*conn, 0, len(l.conns))
	for _, c := range l.conns {
		conns = append(conns, c)
	}
	return conns
}

// Shutdown stops accepting, closes all connections with amqp:connection:forced, and waits until they have ended or the
// context has; then it cuts them off, and the context's error is returned.
func (l *Listener) Shutdown(ctx context.Context) error {
	l.mu.Lock()
	l.closed = true
	l.cancel()
	for socket := range l.sockets {
		_ = socket.Close()
	}
	l.mu.Unlock()
	for _, c := range l.all() {
		c.force(&bus.Condition{Name: bus.ConnectionForced, Description: "the server is shutting down"})
	}
	done := make(chan struct{})
	go func() {
		l.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	for _, c := range l.all() {
		_ = c.raw.Close()
	}
	return ctx.Err()
}

// CloseConnection closes a connection by its ID with amqp:connection:forced; false when there is none of that ID.
func (l *Listener) CloseConnection(id, reason string) bool {
	l.mu.Lock()
	c := l.conns[id]
	l.mu.Unlock()
	if c == nil {
		return false
	}
	c.force(&bus.Condition{Name: bus.ConnectionForced, Description: reason})
	return true
}

// Connections are those that are open.
func (l *Listener) Connections() []Connection {
	var open []Connection
	for _, c := range l.all() {
		if described, ok := c.describe(); ok {
			open = append(open, described)
		}
	}
	return open
}

// hostOf is an address without its port: what connections and failed logins are counted by. Of IPv6 it is the network of
// 64 bits, as one customer has no fewer.
func hostOf(a net.Addr) string {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return a.Network()
	}
	if ip4 := tcp.IP.To4(); ip4 != nil {
		return ip4.String()
	}
	if tcp.IP.IsLoopback() {
		return tcp.IP.String()
	}
	return tcp.IP.Mask(net.CIDRMask(64, 128)).String()
}

// isLocal tells whether a peer is on this machine, where nobody reads along.
func isLocal(a net.Addr) bool {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.IP.IsLoopback()
	}
	return a.Network() == "unix" || a.Network() == "pipe"
}
