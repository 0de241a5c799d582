package events

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"clacks"
	"clacks/access"
	"clacks/internal/store"
)

// How a consumer can end.
var (
	// errStolen: somebody else serves the subscription now. It is clacks.Conflict.
	errStolen = clacks.E(clacks.Conflict, "events.consume", "somebody else receives the events of this subscription now")
	// errRemoved is clacks.NotFound.
	errRemoved = clacks.E(clacks.NotFound, "events.consume", "the subscription was removed")
	errClosed  = clacks.E(clacks.Unavailable, "events.consume", "the subscription is not being served any more")
)

// maxUnhandled is the number of events, and unhandledBytes the size of their bodies, that a consumer hands out before one of
// them must be handled; one event at least.
const (
	maxUnhandled   = 4096
	unhandledBytes = 8 << 20
)

// Notice is an event on its way to the consumer of a subscription.
type Notice struct {
	Event
	Body        []byte // what is delivered: the document, or the query's result
	ContentType string
	Failures    uint32 // how often it was given back as failed before
}

// Handled says what became of a notice.
type Handled uint8

// What can become of a notice.
const (
	Accepted  Handled = iota
	Rejected          // it will not be delivered again; logged and counted
	Released          // to be delivered again
	Failed            // to be delivered again, and counted as a failure
	Forgotten         // to be delivered again to the next consumer
)

// Consumer serves one subscription. Next belongs to one goroutine at a time, Handle to any.
type Consumer struct {
	set        *Subscriptions
	record     record // as it was when the consumer began
	subscriber *Subscriber
	ended      context.Context
	end        context.CancelCauseFunc

	mu        sync.Mutex
	unhandled []unhandled // in the order of the log
	bytes     int         // of their bodies
	handled   int64       // everything up to here is done with
	again     []int64     // to be delivered once more, in the order of the log
	room      chan struct{}
	counts    counts
	lastError string
	closed    bool     // nothing is given out any more
	written   progress // what the database has
	writtenAt time.Time
}

// unhandled is a notice that was given out.
type unhandled struct {
	sequence int64
	size     int
	failures uint32
	done     bool
}

// progress is what is kept of a consumer's work.
type progress struct {
	handled   int64
	counts    counts
	lastError string
}

// Open begins to serve a subscription of the user's own; whoever served it before ends. What was not handled is delivered
// again if the subscription is durable. One that is not, and whose consumer ended without notice, goes on with what comes
// now. Errors are clacks.NotFound (no such subscription of this user, or events that it needs are not kept any more),
// Limit and Unavailable.
func (s *Subscriptions) Open(ctx context.Context, user access.User, id string) (*Consumer, error) {
	s.evict(id, errStolen)
	if err := s.flush(ctx); err != nil {
		return nil, err
	}
	r, err := s.seize(ctx, &user, Fence{}, id)
	if err != nil {
		return nil, err
	}
	return s.begin(ctx, r)
}

// Relay is Open for whoever passes the events on to a place where the subscriber can fetch them. That somebody relays is no
// sign of life of the subscriber: he has to ask for his subscription again now and then (Create), unless it is durable. The
// owners say who he is by now; with nil he has the rights that he had when he did so the last time. It needs the fence of
// the lease on relaying, and is clacks.Conflict when another agent has that now.
func (s *Subscriptions) Relay(ctx context.Context, fence Fence, owners Owners, id string) (*Consumer, error) {
	s.evict(id, errStolen)
	if err := s.flush(ctx); err != nil {
		return nil, err
	}
	r, err := s.seize(ctx, nil, fence, id)
	if err != nil {
		return nil, err
	}
	if owners != nil {
		if r.owner, err = owners(ctx, r.owner.ID); err != nil {
			err = fmt.Errorf("find the owner of a subscription: %w", err)
			s.failed(ctx, r, err)
			return nil, err
		}
	}
	return s.begin(ctx, r)
}

// Owners find the user of a name.
type Owners func(ctx context.Context, name string) (access.User, error)

// begin begins to serve a subscription that was seized.
func (s *Subscriptions) begin(ctx context.Context, r *record) (*Consumer, error) {
	c, err := s.consumer(ctx, r)
	if err != nil {
		s.failed(ctx, r, err)
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if other := s.open[r.id]; other != nil { // two opened at the same time: the database decided who was the later
		if other.record.epoch > r.epoch {
			c.subscriber.Close()
			return nil, errStolen
		}
		other.finish(errStolen)
	}
	s.open[r.id] = c
	return c, nil
}

// seize takes the subscription from whoever has it.
func (s *Subscriptions) seize(ctx context.Context, user *access.User, fence Fence, id string) (*record, error) {
	r, err := s.record(ctx, ` WHERE id = ?`, id)
	if err != nil {
		return nil, err
	}
	if r == nil || user != nil && (user.Anonymous() || user.ID != r.owner.ID) {
		return nil, unknownSubscription()
	}
	set, args := `epoch = epoch + 1, attached = ?`, []any{true}
	if user != nil {
		set, args = set+`, owner_uuid = ?, owner_dn = ?, owner_admin = ?, lease = ?`, append(args, user.UUID, user.DN, user.Admin, s.lease(r.durable))
		r.owner = *user
	}
	where := ` WHERE id = ?`
	args = append(args, id)
	if user == nil {
		sql, more := fence.condition()
		where, args = where+` AND `+sql, append(args, more...)
	}
	results, err := s.db.Exec(ctx, store.Statement{
		SQL: `UPDATE clacks_subscriptions SET ` + set + where + ` RETURNING epoch`, Args: args, Returning: true, Rows: 1,
	})
	switch {
	case asRows(err) && user == nil:
		return nil, errStolen
	case asRows(err):
		return nil, unknownSubscription()
	}
	if err != nil {
		return nil, fmt.Errorf("take over a subscription: %w", err)
	}
	r.epoch, r.relayed = results[0].Value, user == nil
	return r, nil
}

// consumer subscribes to the events behind what is handled.
func (s *Subscriptions) consumer(ctx context.Context, r *record) (*Consumer, error) {
	after := r.handled
	if !r.durable && r.attached {
		// How far its last consumer came is not known for certain: nothing is delivered twice.
		last, err := s.log.Last(ctx)
		if err != nil {
			return nil, err
		}
		after = last
	}
	subscriber, err := s.log.Subscribe(ctx, Subscription{User: r.owner, Query: r.query, After: after})
	if err != nil {
		return nil, err
	}
	c := &Consumer{
		set: s, record: *r, subscriber: subscriber, handled: after, room: make(chan struct{}, 1), counts: r.counts, lastError: r.lastError,
		written: progress{r.handled, r.counts, r.lastError}, writtenAt: time.Now(),
	}
	c.ended, c.end = context.WithCancelCause(context.Background())
	return c, nil
}

// failed notes why a subscription cannot be served.
func (s *Subscriptions) failed(ctx context.Context, r *record, cause error) {
	s.logger.Warn("a subscription cannot be served", "subscription", r.id, "owner", r.owner.ID, "error", cause)
	_, err := s.db.Exec(ctx, store.Statement{
		SQL:  `UPDATE clacks_subscriptions SET attached = ?, last_error = ? WHERE id = ? AND epoch = ?`,
		Args: []any{false, column(brief(cause).Error()), r.id, r.epoch},
	})
	if err != nil {
		s.logger.Warn("the state of a subscription cannot be written", "subscription", r.id, "error", err)
	}
}

// evict ends the consumer that this process has for a subscription.
func (s *Subscriptions) evict(id string, why error) {
	s.mu.Lock()
	c := s.open[id]
	delete(s.open, id)
	if c != nil {
		s.closing = append(s.closing, c)
	}
	s.mu.Unlock()
	if c != nil {
		c.finish(why)
	}
}

// finish ends the consumer. What it has given out before counts; after it, nothing is.
func (c *Consumer) finish(why error) {
	c.end(why)
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
}

// ID is the subscription's.
func (c *Consumer) ID() string { return c.record.id }

// Durable tells whether notices have to be handled.
func (c *Consumer) Durable() bool { return c.record.durable }

// Ended is why the consumer has ended; nil while it has not.
func (c *Consumer) Ended() error { return context.Cause(c.ended) }

// Next waits for the next notice. The error is the context's, or says why the consumer has ended: clacks.Conflict when
// another one has taken over, NotFound when the subscription or the events that it needs are gone.
func (c *Consumer) Next(ctx context.Context) (*Notice, error) { return c.next(ctx, true) }

// Ready is the next notice if it is there, or nil.
func (c *Consumer) Ready(ctx context.Context) (*Notice, error) { return c.next(ctx, false) }

func (c *Consumer) next(ctx context.Context, wait bool) (*Notice, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.ended, func() { cancel(context.Cause(c.ended)) })()
	for {
		n, full, err := c.ahead(ctx)
		if n != nil || err != nil {
			return n, c.cause(ctx, err)
		}
		if full {
			if !wait {
				return nil, nil
			}
			select {
			case <-ctx.Done():
				return nil, c.cause(ctx, ctx.Err())
			case <-c.room:
			}
			continue
		}
		n, err = c.fresh(ctx, wait)
		if err != nil || n != nil || !wait {
			return n, c.cause(ctx, err)
		}
	}
}

// cause is why a context ended, where that is why there is an error.
func (c *Consumer) cause(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// ahead is a notice that was given back; full tells that too many are out.
func (c *Consumer) ahead(ctx context.Context) (n *Notice, full bool, err error) {
	for {
		c.mu.Lock()
		if len(c.again) == 0 {
			full = len(c.unhandled) >= maxUnhandled || len(c.unhandled) > 0 && c.bytes >= unhandledBytes
			c.mu.Unlock()
			return nil, full, nil
		}
		sequence := c.again[0]
		c.again = c.again[1:]
		c.mu.Unlock()
		n, err = c.reread(ctx, sequence)
		switch {
		case err != nil:
			c.giveBack(sequence)
			return nil, false, err
		case n != nil:
			return n, false, nil
		}
		c.skip(sequence) // it may not be shown any more, or is not kept any more
	}
}

// reread makes the notice of an event once more; nil when the user may not have it any more.
func (c *Consumer) reread(ctx context.Context, sequence int64) (*Notice, error) {
	events, err := c.set.log.Read(ctx, sequence-1, 1)
	if err != nil {
		return nil, err
	}
	if len(events) == 0 || events[0].Sequence != sequence {
		c.set.logger.Warn("an event that was to be delivered again is not kept any more", "subscription", c.record.id, "event", sequence)
		return nil, nil
	}
	visible, ok := c.set.log.permitted(c.record.owner, &events[0])
	if !ok {
		return nil, nil
	}
	return c.notice(ctx, visible)
}

// fresh is the next event's notice.
func (c *Consumer) fresh(ctx context.Context, wait bool) (*Notice, error) {
	for {
		e, err := c.subscriber.Ready(ctx)
		if e == nil && err == nil && wait {
			e, err = c.awaitFresh(ctx)
		}
		if e == nil || err != nil {
			return nil, err
		}
		c.subscriber.forgo()
		c.mu.Lock()
		c.unhandled = append(c.unhandled, unhandled{sequence: e.Sequence})
		c.mu.Unlock()
		n, err := c.notice(ctx, e)
		if err != nil {
			c.giveBack(e.Sequence)
			return nil, err
		}
		if n != nil {
			return n, nil
		}
		c.skip(e.Sequence)
	}
}

// skip is done with an event that is not delivered.
func (c *Consumer) skip(sequence int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle(sequence)
}

// awaitFresh waits for the next event, or until one is given back.
func (c *Consumer) awaitFresh(ctx context.Context) (*Event, error) {
	waiting, stop := context.WithCancel(ctx)
	defer stop()
	over := make(chan struct{})
	defer func() { <-over }()
	defer stop()
	go func() {
		defer close(over)
		select {
		case <-waiting.Done():
		case <-c.room:
			stop()
		}
	}()
	e, err := c.subscriber.Next(waiting)
	if err != nil && ctx.Err() == nil && waiting.Err() != nil {
		return nil, nil
	}
	return e, err
}

// notice makes what is delivered of an event; nil when the query has no result for it after all.
func (c *Consumer) notice(ctx context.Context, e *Event) (*Notice, error) {
	n := &Notice{Event: *e, Body: e.Document, ContentType: "application/xml"}
	if c.record.deliver == DeliverResult {
		text, contentType, err := c.subscriber.Result(ctx, e)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			return nil, nil
		}
		n.Body, n.ContentType = text, contentType
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, context.Cause(c.ended)
	}
	if u := c.find(e.Sequence); u != nil {
		c.bytes += len(n.Body) - u.size
		u.size, n.Failures = len(n.Body), u.failures
	}
	if !c.record.durable {
		c.settle(e.Sequence)
		c.counts.delivered++
	}
	return n, nil
}

// find is the entry of a notice that is out; nil when there is none.
func (c *Consumer) find(sequence int64) *unhandled {
	at, found := slices.BinarySearchFunc(c.unhandled, sequence, func(u unhandled, s int64) int { return int(u.sequence - s) })
	if !found {
		return nil
	}
	return &c.unhandled[at]
}

// Handle says what became of a notice of a durable subscription. For one that was handled already, and for those of other
// subscriptions, it does nothing.
func (c *Consumer) Handle(sequence int64, outcome Handled) {
	c.mu.Lock()
	u := c.find(sequence)
	if u == nil || u.done {
		c.mu.Unlock()
		return
	}
	switch outcome {
	case Failed:
		u.failures++
		fallthrough
	case Released:
		c.mu.Unlock()
		c.giveBack(sequence)
		return
	case Forgotten:
		c.mu.Unlock()
		return
	case Rejected:
		c.counts.rejected++
		c.set.logger.Warn("a subscriber rejected an event", "subscription", c.record.id, "owner", c.record.owner.ID, "event", sequence)
	default:
		c.counts.delivered++
	}
	c.settle(sequence)
	c.mu.Unlock()
	c.signal()
}

// giveBack makes a notice be delivered once more.
func (c *Consumer) giveBack(sequence int64) {
	c.mu.Lock()
	if at, found := slices.BinarySearch(c.again, sequence); !found {
		c.again = slices.Insert(c.again, at, sequence)
	}
	c.mu.Unlock()
	c.signal()
}

func (c *Consumer) signal() {
	select {
	case c.room <- struct{}{}:
	default:
	}
}

// settle marks a notice as done with, and moves on over all that are, in the order of the log.
func (c *Consumer) settle(sequence int64) {
	if u := c.find(sequence); u != nil {
		u.done = true
		c.bytes -= u.size
	}
	n := 0
	for n < len(c.unhandled) && c.unhandled[n].done {
		c.handled = c.unhandled[n].sequence
		n++
	}
	c.unhandled = slices.Delete(c.unhandled, 0, n)
}

// progress is how far the consumer is. Without notices that are out, that is how far its subscriber has looked.
func (c *Consumer) progress() progress {
	looked, stats := c.subscriber.Position(), c.subscriber.Stats()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.unhandled) == 0 {
		c.handled = max(c.handled, looked)
	}
	now := progress{handled: c.handled, counts: c.counts, lastError: c.lastError}
	if now.counts.failed = c.record.counts.failed + stats.Errors; stats.LastError != "" {
		now.lastError = stats.LastError
	}
	return now
}

// Close ends the serving in order: how far it came is written soon. No other method may be called at the same time.
func (c *Consumer) Close() {
	s := c.set
	s.mu.Lock()
	if s.open[c.record.id] == c {
		delete(s.open, c.record.id)
		s.closing = append(s.closing, c)
	}
	s.mu.Unlock()
	c.finish(errClosed)
	c.subscriber.Close()
	s.hurry()
}
