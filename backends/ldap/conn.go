package ldap

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	goldap "github.com/go-ldap/ldap/v3"
)

// conn is one connection. It serves one request at a time.
type conn struct {
	*goldap.Conn
	wire   *wire
	used   time.Time // when it was last put back
	reused bool      // it has served a request before
	broken bool      // it must not serve another
}

func newConn(raw, stream net.Conn) *conn {
	w := &wire{Conn: stream, raw: raw}
	c := &conn{Conn: goldap.NewConn(w, stream != raw), wire: w, used: time.Now()}
	c.Start()
	return c
}

// run makes one request, for at most timeout or until the context ends. After an error that is not the server's answer
// the connection is broken.
func (c *conn) run(ctx context.Context, timeout time.Duration, request func() error) error {
	deadline := time.Now().Add(timeout)
	if earlier, ok := ctx.Deadline(); ok && earlier.Before(deadline) {
		deadline = earlier
	}
	c.wire.begin(deadline)
	stop := func() bool { return true }
	if ctx.Done() != nil {
		stop = context.AfterFunc(ctx, c.wire.interrupt)
	}
	err := request()
	// An interruption that came too late for this request would hit the next one.
	if !stop() || isLost(err) {
		c.broken = true
	}
	if !c.broken {
		c.wire.end()
	}
	return err
}

// died reports whether a request failed because the connection had gone, and not because time was up.
func (c *conn) died(err error) bool { return isLost(err) && !c.wire.late.Load() }

// discard closes the connection for good. The network goes first: go-ldap's Close waits for a write in progress.
func (c *conn) discard() {
	_ = c.wire.raw.Close()
	_ = c.Close()
}

// wire is the stream below go-ldap. It is interrupted by deadlines, since go-ldap knows no contexts, and it watches what
// go-ldap does not tell: whether something of a request has left, and what exactly came back.
type wire struct {
	net.Conn          // decrypted
	raw      net.Conn // the network below; the same without TLS
	sent     atomic.Bool
	late     atomic.Bool // a deadline or an interruption ended the request

	mu        sync.Mutex
	recording bool
	answer    []byte
}

// begin starts watching a request that must end by deadline.
func (w *wire) begin(deadline time.Time) {
	w.sent.Store(false)
	w.late.Store(false)
	_ = w.raw.SetDeadline(deadline)
}

// end lets the connection idle without a deadline.
func (w *wire) end() { _ = w.raw.SetDeadline(time.Time{}) }

// interrupt lets the request in progress fail at once. It may be called at any time.
func (w *wire) interrupt() { _ = w.raw.SetDeadline(time.Unix(1, 0)) }

// Write notes that the request can no longer be taken back.
func (w *wire) Write(b []byte) (int, error) {
	n, err := w.Conn.Write(b)
	if n > 0 {
		w.sent.Store(true)
	}
	w.noteLate(err)
	return n, err
}

// Read keeps what it reads while a recording is on.
func (w *wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	if n > 0 {
		w.mu.Lock()
		if w.recording {
			w.answer = append(w.answer, b[:n]...)
		}
		w.mu.Unlock()
	}
	w.noteLate(err)
	return n, err
}

func (w *wire) noteLate(err error) {
	if err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		w.late.Store(true)
	}
}

// record starts or ends keeping what is read; starting forgets what was kept before.
func (w *wire) record(on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.recording = on
	if on {
		w.answer = w.answer[:0]
	}
}

// recorded is what was read since record(true); valid until the next one.
func (w *wire) recorded() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.answer
}
