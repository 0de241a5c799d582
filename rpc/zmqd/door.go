package zmqd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-zeromq/zmq4"
	"github.com/go-zeromq/zmq4/security/null"
)

// door is one socket: it accepts connections and gives those that have introduced themselves to serve.
type door struct {
	gateway  *Gateway
	kind     zmq4.SocketType
	listener net.Listener
	serve    func(ctx context.Context, l *link)

	mu          sync.Mutex
	links       map[*link]bool
	handshaking []*link // the oldest first
}

// link is one connection.
type link struct {
	*screen
	peer *zmq4.Conn // of the library, once the handshake is done
	log  *slog.Logger
	told atomic.Bool // something of it was logged already
}

func (d *door) address() net.Addr {
	if d == nil {
		return nil
	}
	return d.listener.Addr()
}

// count is the number of connections that have introduced themselves.
func (d *door) count() int {
	if d == nil {
		return 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.links)
}

// run accepts until the context ends, and waits for what it has begun.
func (d *door) run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	stop := context.AfterFunc(ctx, func() {
		_ = d.listener.Close()
		d.closeAll()
	})
	defer stop()
	pause := time.Millisecond
	for {
		conn, err := d.listener.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = conn.Close()
			}
			return
		}
		if err != nil { // out of descriptors: others may give some back
			d.gateway.log.Warn("zmq: a connection could not be accepted", "error", err)
			time.Sleep(pause)
			pause = min(2*pause, time.Second)
			continue
		}
		pause = time.Millisecond
		l := d.enter(conn)
		running.Go(func() { d.welcome(ctx, l) })
		if ctx.Err() != nil {
			d.closeAll()
		}
	}
}

// enter notes a connection that has to introduce itself. When too many do, the oldest has had its time.
func (d *door) enter(conn net.Conn) *link {
	l := &link{screen: newScreen(conn, d.kind, d.gateway.limits)}
	l.log = d.gateway.log.With("socket", string(d.kind), "peer", conn.RemoteAddr().String())
	l.pending = time.Now().Add(d.gateway.limits.Handshake)
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.handshaking) >= d.gateway.limits.Handshakes {
		_ = d.handshaking[0].Close()
		d.handshaking = d.handshaking[1:]
	}
	d.handshaking = append(d.handshaking, l)
	return l
}

// welcome does the handshake and serves the connection until it ends.
func (d *door) welcome(ctx context.Context, l *link) {
	defer func() {
		if reason := recover(); reason != nil { // the library's, or ours: it is that of one connection
			l.log.Error("zmq: a connection was cut off", "panic", reason, "stack", string(debug.Stack()))
			d.gateway.cut.Add(1)
		}
		_ = l.Close()
		d.leave(l)
	}()
	p := pace{rate: d.gateway.limits.Rate}
	l.turn = func() error { return p.wait(ctx, time.Now()) }
	err := l.SetDeadline(l.pending)
	if err == nil {
		l.peer, err = zmq4.Open(l.screen, null.Security(), d.kind, nil, true, nil)
	}
	if err == nil {
		err = d.admit(l)
	}
	if err != nil {
		d.gateway.refused.Add(1)
		l.log.Debug("zmq: a connection was refused", "error", err)
		return
	}
	d.serve(ctx, l)
}

var errCrowded = errors.New("zmqd: there are too many connections")

// admit moves a connection from those that introduce themselves to those that are served.
func (d *door) admit(l *link) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forget(l)
	if len(d.links) >= d.gateway.limits.Connections {
		return errCrowded
	}
	d.links[l] = true
	l.pending = time.Time{}
	return l.SetDeadline(time.Time{})
}

func (d *door) leave(l *link) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forget(l)
	delete(d.links, l)
}

func (d *door) forget(l *link) {
	for i, other := range d.handshaking {
		if other == l {
			d.handshaking = append(d.handshaking[:i], d.handshaking[i+1:]...)
			return
		}
	}
}

func (d *door) closeAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range d.handshaking {
		_ = l.Close()
	}
	for l := range d.links {
		_ = l.Close()
	}
}

// receive is the next message of a peer, when it is its turn: who is too fast is read more slowly. An error when there is
// none any more.
func (l *link) receive() ([][]byte, error) {
	if err := l.turn(); err != nil {
		return nil, err
	}
	m, err := l.peer.RecvMsg()
	if err != nil {
		return nil, err
	}
	return m.Frames, nil
}

// tell logs what a peer did wrong: the first thing of a connection, and of all connections one a second. A stranger must not
// fill the log.
func (g *Gateway) tell(l *link, format string, args ...any) {
	now := time.Now().Unix()
	if l.told.Swap(true) || g.told.Swap(now) == now {
		return
	}
	l.log.Warn("zmq: " + fmt.Sprintf(format, args...))
}

// ended counts and tells of a connection that did not end by itself, but for what the peer did or did not do.
func (g *Gateway) ended(l *link, err error) {
	if errors.Is(err, errFrame) || errors.Is(err, os.ErrDeadlineExceeded) {
		g.cut.Add(1)
		g.tell(l, "a connection was cut off: %v", err)
	}
}
