package ldap

import (
	"bufio"
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
	w := &wire{Conn: stream, raw: raw, reader: bufio.NewReaderSize(stream, 16<<10)}
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

// wire is the stream below go-ldap. It is interrupted by deadlines, since go-ldap knows no contexts. It watches what
// go-ldap does not tell: whether something of a request has left, and the last answer with its controls. And it keeps the
// entries of a search to itself: go-ldap would make some forty objects of each value.
type wire struct {
	net.Conn          // decrypted
	raw      net.Conn // the network below; the same without TLS
	sent     atomic.Bool
	late     atomic.Bool // a deadline or an interruption ended the request

	reader  *bufio.Reader // of Conn; only Read uses it
	pending []byte        // of a message, what go-ldap has not read yet; only Read uses it

	mu      sync.Mutex
	entries []cursor // of the search in progress
	answer  []byte   // the last message that was not an entry
}

// begin starts watching a request that must end by deadline.
func (w *wire) begin(deadline time.Time) {
	w.sent.Store(false)
	w.late.Store(false)
	w.mu.Lock()
	w.entries, w.answer = nil, nil
	w.mu.Unlock()
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

// Read gives go-ldap the messages that are not entries of a search.
func (w *wire) Read(b []byte) (int, error) {
	for len(w.pending) == 0 {
		message, err := readMessage(w.reader)
		if err != nil {
			w.noteLate(err)
			return 0, err
		}
		tag, body, _, ok := operation(message)
		w.mu.Lock()
		if ok && tag == tagEntry {
			w.entries = append(w.entries, body)
		} else {
			w.answer, w.pending = message, message
		}
		w.mu.Unlock()
	}
	n := copy(b, w.pending)
	w.pending = w.pending[n:]
	return n, nil
}

func (w *wire) noteLate(err error) {
	if err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		w.late.Store(true)
	}
}

// received are the entries and the last other message since begin. The caller owns them.
func (w *wire) received() (entries []cursor, answer []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	entries, answer = w.entries, w.answer
	w.entries, w.answer = nil, nil
	return entries, answer
}
