package ldap

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"clacks"
)

const (
	// maxIdle is how long an unused connection is trusted: firewalls and servers forget silently.
	maxIdle = 5 * time.Minute
	// The pause after a failure to connect doubles from the first to the last.
	firstPause = 50 * time.Millisecond
	lastPause  = time.Second
)

// pool hands out connections. A slot is the right to have one request under way; a connection without a slot belongs to
// a search whose caller is busy with a page. Slots are never held while foreign code runs, so a caller that reads inside
// a search cannot block itself.
type pool struct {
	dialer *dialer
	slots  chan struct{}
	done   chan struct{} // closed by close
	log    *slog.Logger

	mu       sync.Mutex
	idle     []*conn // the last used is last
	closed   bool
	failures int       // in a row
	retry    time.Time // no attempt to connect before
	failure  error     // of the last attempt

	outages atomic.Int64 // ended ones, after which the server may have another schema
}

func newPool(size int, d *dialer, log *slog.Logger) *pool {
	return &pool{dialer: d, slots: make(chan struct{}, size), done: make(chan struct{}), log: log}
}

// get waits for a slot and returns a connection that was alive a moment ago. Errors are clacks.Unavailable.
func (p *pool) get(ctx context.Context, op string) (*conn, error) {
	if err := p.enter(ctx, op); err != nil {
		return nil, err
	}
	if c := p.takeIdle(); c != nil {
		return c, nil
	}
	c, err := p.connect(ctx, op)
	if err != nil {
		p.leave()
		return nil, err
	}
	return c, nil
}

// put returns a connection and its slot.
func (p *pool) put(c *conn) {
	p.keep(c)
	p.leave()
}

// enter takes a slot.
func (p *pool) enter(ctx context.Context, op string) error {
	if err := ctx.Err(); err != nil {
		return because(clacks.Unavailable, op, "the request has ended", err)
	}
	select {
	case <-p.done: // a free slot must not win against it
		return clacks.E(clacks.Unavailable, op, "the driver is closed")
	default:
	}
	select {
	case p.slots <- struct{}{}:
		return nil
	case <-p.done:
		return clacks.E(clacks.Unavailable, op, "the driver is closed")
	case <-ctx.Done():
		return because(clacks.Unavailable, op, "all connections to the directory are busy", ctx.Err())
	}
}

// leave gives a slot back.
func (p *pool) leave() { <-p.slots }

// keep puts a connection among the idle ones, if it is good for another request.
func (p *pool) keep(c *conn) {
	c.used, c.reused = time.Now(), true
	p.mu.Lock()
	kept := !p.closed && !c.broken && !c.IsClosing() && len(p.idle) < cap(p.slots)
	if kept {
		p.idle = append(p.idle, c)
	}
	p.mu.Unlock()
	if !kept {
		c.discard()
	}
}

// takeIdle is the idle connection that was used last, if one is alive.
func (p *pool) takeIdle() *conn {
	for {
		p.mu.Lock()
		n := len(p.idle)
		if n == 0 {
			p.mu.Unlock()
			return nil
		}
		c := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		if !c.IsClosing() && time.Since(c.used) < maxIdle {
			return c
		}
		c.discard()
	}
}

// flush discards all idle connections: one of them was dead without showing it, so the server has gone.
func (p *pool) flush() {
	p.mu.Lock()
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, c := range idle {
		c.discard()
	}
}

// connect opens a connection, or fails at once while the last failure is too fresh: were every request to wait for the
// network, a lost directory would halt everything above it.
func (p *pool) connect(ctx context.Context, op string) (*conn, error) {
	p.mu.Lock()
	wait, failure := time.Until(p.retry), p.failure
	p.mu.Unlock()
	if wait > 0 {
		return nil, because(clacks.Unavailable, op, "the directory cannot be reached", failure)
	}
	c, err := p.dialer.dial(ctx)
	if over := ended(ctx); err != nil && over != nil {
		return nil, because(clacks.Unavailable, op, "the request has ended", errors.Join(over, err))
	}
	p.note(err)
	if err != nil {
		return nil, because(clacks.Unavailable, op, "the directory cannot be reached", err)
	}
	return c, nil
}

// note remembers how an attempt to connect ended, and tells the log about the first failure and the recovery.
func (p *pool) note(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		if p.failures > 0 {
			p.log.Info("the directory answers again", "failures", p.failures)
			p.outages.Add(1)
		}
		p.failures, p.retry, p.failure = 0, time.Time{}, nil
		return
	}
	if p.failures == 0 {
		p.log.Warn("the directory cannot be reached", "error", err)
	}
	p.failure = err
	if time.Now().Before(p.retry) {
		return // one of several that tried at the same time: one failure, one pause
	}
	p.retry = time.Now().Add(min(firstPause<<min(p.failures, 16), lastPause))
	p.failures++
}

func (p *pool) close() {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.done)
	}
	p.mu.Unlock()
	p.flush()
}
