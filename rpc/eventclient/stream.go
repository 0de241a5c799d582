package eventclient

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"clacks"
)

// The bounds of a registration's queue; one event is taken whatever its size.
const (
	QueueEvents = 256
	QueueBytes  = 16 << 20
)

// stream is the stream of one query over all its connections. All but query and settled is guarded by Client.mu.
type stream struct {
	client *Client
	query  string
	stop   context.CancelFunc

	users    int
	members  map[*registration]bool // those that have not fallen behind
	position int64                  // everything up to it was given to the members
	err      error                  // of its first connection
	settled  chan struct{}          // closed when the first connection stands, or has failed
	opened   bool
}

// streamOf is the stream of a query, with the caller as a user; nil when the client is closed.
func (c *Client) streamOf(query string) *stream {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	s := c.streams[query]
	if s == nil || s.err != nil {
		ctx, cancel := context.WithCancel(c.ctx)
		s = &stream{client: c, query: query, stop: cancel, members: map[*registration]bool{}, settled: make(chan struct{}), position: Now}
		c.streams[query] = s
		c.running.Go(func() { s.run(ctx) })
	}
	s.users++
	return s
}

func (c *Client) leave(s *stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaveLocked(s)
}

// leaveLocked ends a stream that nobody uses.
func (c *Client) leaveLocked(s *stream) {
	if s.users--; s.users > 0 {
		return
	}
	s.stop()
	if c.streams[s.query] == s {
		delete(c.streams, s.query)
	}
}

// run keeps the stream open.
func (s *stream) run(ctx context.Context) {
	c := s.client
	pause, failures := c.pauses[0], 0
	for {
		open, before := false, s.start()
		err := c.transport.Stream(ctx, s.query, before, func(position int64) {
			open = true
			s.open(position)
		}, s.deliver)
		if ctx.Err() != nil || s.failed(err) {
			return
		}
		if open && (err == nil || s.start() > before) {
			pause, failures = c.pauses[0], 0
		} else if failures++; failures == 2 {
			c.onError("", fmt.Errorf("the event stream is interrupted: %w", err))
		}
		if wait(ctx, pause) != nil {
			return
		}
		pause = min(2*pause, c.pauses[1])
	}
}

func (s *stream) start() int64 {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	return s.position
}

// open notes that a connection stands.
func (s *stream) open(position int64) {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	s.position = max(s.position, position)
	if !s.opened {
		s.opened = true
		close(s.settled)
	}
}

// failed ends the stream with an error that does not pass: before it ever stood for who waits for it, later for all its
// registrations.
func (s *stream) failed(err error) bool {
	c := s.client
	c.mu.Lock()
	if !s.opened {
		if err == nil {
			err = clacks.E(clacks.Unavailable, "eventclient.stream", "the event stream ended before it began")
		}
		s.err = err
		if c.streams[s.query] == s {
			delete(c.streams, s.query)
		}
		close(s.settled)
		c.mu.Unlock()
		return true
	}
	if passing(err) {
		c.mu.Unlock()
		return false
	}
	var ended []string
	for _, r := range c.registrations {
		if r.stream == s { // also those that are behind: they would join a stream that is no more
			ended = append(ended, r.id)
			c.endLocked(r)
		}
	}
	if c.streams[s.query] == s {
		delete(c.streams, s.query)
	}
	c.mu.Unlock()
	for _, id := range ended {
		c.onError(id, fmt.Errorf("the registration has ended: %w", err))
	}
	return true
}

// deliver gives an event to all who are not behind.
func (s *stream) deliver(e Event) error {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	if e.Sequence <= s.position {
		return nil
	}
	s.position = e.Sequence
	for r := range s.members {
		if !r.push(e) {
			r.behind = true
			delete(s.members, r)
		}
	}
	return nil
}

// registration is a callback with its queue. All but what is set when it is made is guarded by Client.mu.
type registration struct {
	client *Client
	id     string
	query  string
	ctx    context.Context
	stop   context.CancelFunc
	wake   chan struct{} // holds a token when there is something to do

	callback Callback
	stream   *stream // nil until it stands
	replaces *registration
	queue    []Event
	bytes    int
	last     int64 // the last event that was queued
	behind   bool  // it reads the log on its own
	ended    bool
}

func newRegistration(c *Client, w wishes, query string, callback Callback) *registration {
	r := &registration{client: c, id: w.id, query: query, callback: callback, wake: make(chan struct{}, 1)}
	r.ctx, r.stop = context.WithCancel(c.ctx)
	return r
}

// push queues an event, unless the queue is full.
func (r *registration) push(e Event) bool {
	if e.Sequence <= r.last {
		return true
	}
	if len(r.queue) > 0 && (len(r.queue) >= QueueEvents || r.bytes+len(e.Document) > QueueBytes) {
		return false
	}
	r.queue = append(r.queue, e)
	r.bytes += len(e.Document)
	r.last = e.Sequence
	r.awake()
	return true
}

func (r *registration) awake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// work calls the callback for what is queued, and reads the log when the registration has fallen behind, until it ends.
func (r *registration) work() {
	var reading chan error // of the stream of its own, while it is open
	r.awake()              // a registration may begin behind
	for {
		select {
		case <-r.ctx.Done():
			if reading != nil {
				<-reading //nolint:errcheck // its error is that of the context
			}
			return
		case err := <-reading:
			reading = nil
			if r.gaveUp(err) {
				return
			}
			r.awake()
		case <-r.wake:
		}
		for r.next() {
			if reading == nil && r.hungry() {
				break
			}
		}
		if reading == nil && r.hungry() {
			ended := make(chan error, 1)
			go func() { ended <- r.catchUp() }()
			reading = ended
			r.awake()
		}
	}
}

// next calls the callback for the first event of the queue; false when there is none.
func (r *registration) next() bool {
	c := r.client
	c.mu.Lock()
	if r.ended || r.ctx.Err() != nil || len(r.queue) == 0 {
		c.mu.Unlock()
		return false
	}
	e, callback := r.queue[0], r.callback
	r.queue[0] = Event{}
	r.queue = r.queue[1:]
	r.bytes -= len(e.Document)
	c.mu.Unlock()
	r.call(callback, e)
	return true
}

func (r *registration) call(callback Callback, e Event) {
	defer func() {
		if reason := recover(); reason != nil {
			r.client.onError(r.id, fmt.Errorf("the callback panicked on the event %d: %v\n%s", e.Sequence, reason, debug.Stack()))
		}
	}()
	if err := callback(r.ctx, e); err != nil {
		r.client.onError(r.id, fmt.Errorf("the callback failed on the event %d: %w", e.Sequence, err))
	}
}

// hungry reports whether a registration that has fallen behind has room to go on.
func (r *registration) hungry() bool {
	r.client.mu.Lock()
	defer r.client.mu.Unlock()
	return r.behind && !r.ended && len(r.queue) <= QueueEvents/2 && r.bytes <= QueueBytes/2
}

// The ways in which a stream of catchUp ends as it should.
var (
	errFull     = errors.New("the queue is full")
	errCaughtUp = errors.New("the registration has caught up")
)

// catchUp reads the log behind the last event of the queue until that is full again, or the registration is where the
// others are.
func (r *registration) catchUp() error {
	c := r.client
	pause := c.pauses[0]
	for {
		c.mu.Lock()
		after := r.last
		c.mu.Unlock()
		open := false
		err := c.transport.Stream(r.ctx, r.query, after, func(int64) { open = true }, r.follow)
		if !passing(err) || r.ctx.Err() != nil {
			return err
		}
		if open {
			pause = c.pauses[0]
		}
		if wait(r.ctx, pause) != nil {
			return nil
		}
		pause = min(2*pause, c.pauses[1])
	}
}

// follow queues an event of the stream of its own, and joins the others when that was the last one that they have.
func (r *registration) follow(e Event) error {
	r.client.mu.Lock()
	defer r.client.mu.Unlock()
	if !r.push(e) {
		return errFull
	}
	if r.last < r.stream.position {
		return nil
	}
	r.behind = false
	r.stream.members[r] = true
	return errCaughtUp
}

// gaveUp ends a registration that cannot go on.
func (r *registration) gaveUp(err error) bool {
	if err == nil || errors.Is(err, errFull) || errors.Is(err, errCaughtUp) || r.ctx.Err() != nil {
		return false
	}
	r.client.end(r)
	r.client.onError(r.id, fmt.Errorf("the registration has ended: %w", err))
	return true
}
