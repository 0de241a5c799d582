package events

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"clacks"
	"clacks/access"
)

// FromNow as Subscription.After means "from now on".
const FromNow = -1

// Subscription says which events a subscriber wants.
type Subscription struct {
	User  access.User
	Query string // XQuery; "" for all
	After int64  // the sequence number to start behind; 0 for all that are kept, FromNow for "from now on"
}

// Stats is the state of one subscription.
type Stats struct {
	User  string
	Query string
	Since time.Time
	// Position is the sequence number up to which the subscriber has been told of everything.
	Position int64
	// Delivered events, and evaluations that failed: these count as "no match".
	Delivered, Errors int64
	// LastError is that of the latest failed evaluation.
	LastError string
}

// Subscriber is one accepted subscription. Its methods but Stats belong to one goroutine.
type Subscriber struct {
	log          *Log
	subscription Subscription
	since        time.Time
	filter       *filter // nil for all events
	window       *window
	cursor       int64 // the last event that was looked at

	position, delivered, errors atomic.Int64
	lastError                   atomic.Pointer[string]
}

// Stream delivers the events of a subscription in order, none twice and none left out, until the context ends or deliver
// returns an error; that error, or the context's, is the result. A query that does not compile is an *xquery.Error at
// once; one that fails on an event does not match. It is Subscribe and Run in one.
func (l *Log) Stream(ctx context.Context, s Subscription, deliver func(Event) error) error {
	subscriber, err := l.Subscribe(ctx, s)
	if err != nil {
		return err
	}
	defer subscriber.Close()
	return subscriber.Run(ctx, deliver)
}

// Subscribe accepts a subscription: what is committed after it returned will be delivered by Run. The caller closes the
// subscriber. A query that does not compile is an *xquery.Error; nobody may subscribe without having logged in
// (clacks.Unauthenticated); a position that the log has not reached is clacks.Invalid, one whose followers have been
// pruned clacks.NotFound.
func (l *Log) Subscribe(ctx context.Context, s Subscription) (*Subscriber, error) {
	const op = "events.subscribe"
	if s.User.Anonymous() {
		return nil, clacks.E(clacks.Unauthenticated, op, "log in to receive events")
	}
	subscriber := &Subscriber{log: l, subscription: s, since: time.Now()}
	if s.Query != "" {
		filter, err := l.hub.filters.get(s.Query)
		if err != nil {
			return nil, err
		}
		subscriber.filter = filter
	}
	if err := subscriber.start(ctx); err != nil {
		subscriber.Close()
		return nil, err
	}
	return subscriber, nil
}

// start finds the position and joins the others.
func (s *Subscriber) start(ctx context.Context) error {
	last, err := s.log.Last(ctx)
	if err != nil {
		return err
	}
	switch after := s.subscription.After; {
	case after == FromNow:
		s.cursor = last
	case after < 0 || after > last:
		return clacks.E(clacks.Invalid, "events.subscribe", "%w", &NotReachedError{Sequence: after, Last: last})
	default:
		s.cursor = after
	}
	if err := s.checkKept(ctx); err != nil {
		return err
	}
	s.position.Store(s.cursor)
	return s.log.hub.attach(s, last)
}

// checkKept fails when the events behind the cursor have been pruned.
func (s *Subscriber) checkKept(ctx context.Context) error {
	if s.cursor == 0 {
		return nil
	}
	first, err := s.log.first(ctx)
	if err != nil {
		return err
	}
	if s.cursor < first-1 {
		return pruned(s.cursor, first)
	}
	return nil
}

// NotReachedError says that a position lies behind the end of the log. It is the cause of the error of Subscribe.
type NotReachedError struct{ Sequence, Last int64 }

// Error names the position and the end.
func (e *NotReachedError) Error() string {
	return fmt.Sprintf("the event log has not reached %d; its last event is %d", e.Sequence, e.Last)
}

// pruned is the error for a position that cannot be resumed without leaving events out.
func pruned(after, first int64) error {
	return clacks.E(clacks.NotFound, "events.stream", "the events after %d are no longer kept; the first one kept is %d", after, first)
}

// Close ends the subscription.
func (s *Subscriber) Close() {
	if s.window != nil {
		s.log.hub.detach(s)
		s.window = nil
	}
	if s.filter != nil {
		s.log.hub.filters.put(s.subscription.Query)
		s.filter = nil
	}
}

// Position is the sequence number up to which the subscriber has been told of everything.
func (s *Subscriber) Position() int64 { return s.position.Load() }

// Stats is safe to call while Run runs.
func (s *Subscriber) Stats() Stats {
	stats := Stats{
		User: s.subscription.User.ID, Query: s.subscription.Query, Since: s.since,
		Position: s.position.Load(), Delivered: s.delivered.Load(), Errors: s.errors.Load(),
	}
	if last := s.lastError.Load(); last != nil {
		stats.LastError = *last
	}
	return stats
}

// Subscriptions are the states of all who are subscribed, in no order.
func (l *Log) Subscriptions() []Stats {
	l.hub.mu.Lock()
	defer l.hub.mu.Unlock()
	stats := make([]Stats, 0, len(l.hub.subscribers))
	for s := range l.hub.subscribers {
		stats = append(stats, s.Stats())
	}
	return stats
}

// batchSize is the number of events that a subscriber takes out of the window at a time.
const batchSize = 32

// Run delivers until the context ends or deliver returns an error, which is the result. deliver may take its time:
// nobody else waits. While the log cannot be read, Run waits for it.
func (s *Subscriber) Run(ctx context.Context, deliver func(Event) error) error {
	buffer := make([]*entry, 0, batchSize)
	for {
		batch, wait, behind := s.window.after(s.cursor, buffer)
		var err error
		switch {
		case behind:
			err = s.replay(ctx, deliver)
		case wait != nil:
			err = waitFor(ctx, wait)
		default:
			err = s.offerAll(ctx, batch, deliver)
		}
		if err != nil {
			return err
		}
	}
}

func waitFor(ctx context.Context, signal <-chan struct{}) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-signal:
		return nil
	}
}

// offerAll offers a batch out of the window.
func (s *Subscriber) offerAll(ctx context.Context, batch []*entry, deliver func(Event) error) error {
	for _, e := range batch {
		tree := func() (*parsedDocument, error) { return s.window.parsed.get(e) }
		if err := s.offer(ctx, &e.Event, tree, deliver); err != nil {
			return err
		}
	}
	return nil
}

// replay offers one page of the log.
func (s *Subscriber) replay(ctx context.Context, deliver func(Event) error) error {
	page, done, err := s.readPage(ctx)
	if err != nil {
		return err
	}
	defer done()
	if len(page) == 0 {
		return s.skipPruned(ctx)
	}
	if first := page[0].Sequence; first != s.cursor+1 && s.cursor != 0 {
		return pruned(s.cursor, first)
	}
	for i := range page {
		if err := s.offer(ctx, &page[i], nil, deliver); err != nil {
			return err
		}
	}
	return nil
}

// readPage reads the events behind the cursor, and waits while the database cannot be reached. The caller calls done when
// he needs them no more.
func (s *Subscriber) readPage(ctx context.Context) (page []Event, done func(), err error) {
	for pause := s.log.poll; ; pause = min(2*pause, maxBackoff) {
		page, done, err := s.log.sharedPage(ctx, s.cursor)
		if err == nil {
			return page, done, nil
		}
		done()
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		if !clacks.IsKind(err, clacks.Unavailable) {
			return nil, nil, err
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, nil, ctx.Err()
		case <-timer.C:
		}
	}
}

// skipPruned is called when the log holds nothing behind a cursor that is not at its end. Who asked for all that is kept
// goes on with what comes; any other has lost events.
func (s *Subscriber) skipPruned(ctx context.Context) error {
	first, err := s.log.first(ctx)
	if err != nil {
		return err
	}
	if s.cursor != 0 {
		return pruned(s.cursor, first)
	}
	s.moveTo(first - 1)
	return nil
}

func (s *Subscriber) moveTo(sequence int64) {
	s.cursor = sequence
	s.position.Store(sequence)
}

func parseAlone(document []byte) (*parsedDocument, error) {
	tree, err := parse(document)
	if err != nil {
		return nil, err
	}
	d := &parsedDocument{Document: tree}
	d.users.Add(1)
	return d, nil
}

// offer delivers an event when the subscriber may receive it and his query matches. The query sees what he may see. tree
// is the document that all share who watch live, nil in replay.
func (s *Subscriber) offer(ctx context.Context, e *Event, tree func() (*parsedDocument, error), deliver func(Event) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	release, err := s.roomForCopy(ctx, e)
	if err != nil {
		return err
	}
	defer release()
	visible, ok := s.log.permitted(s.subscription.User, e)
	if ok && s.filter != nil {
		if ok, err = s.matches(ctx, e, visible, tree); err != nil {
			return err
		}
	}
	if ok {
		if err := deliver(*visible); err != nil {
			return err
		}
		s.delivered.Add(1)
	}
	s.moveTo(e.Sequence)
	return nil
}

// roomForCopy waits for room for what permitted may make.
func (s *Subscriber) roomForCopy(ctx context.Context, e *Event) (release func(), err error) {
	if s.subscription.User.Admin || !written(e.Type) {
		return func() {}, nil
	}
	return s.log.budgets.copied(ctx, len(e.Document))
}

// matches evaluates the query on what is visible of an event. Verdicts on whole events are shared. The error is that of
// the context; a query that fails does not match.
func (s *Subscriber) matches(ctx context.Context, e, visible *Event, tree func() (*parsedDocument, error)) (bool, error) {
	whole, replayed := visible == e, tree == nil
	if whole {
		if v := s.filter.known(e); v != nil {
			return s.judge(v.match, v.err), nil
		}
	}
	if tree == nil || !whole {
		tree = func() (*parsedDocument, error) { return parseAlone(visible.Document) }
		room := s.log.budgets.liveTree
		if replayed {
			room = s.log.budgets.replayTree
		}
		// Before the filter is locked: who watches live must not wait for one who waits here.
		release, err := room(ctx, len(visible.Document))
		if err != nil {
			return false, err
		}
		defer release()
	}
	if whole {
		return s.judge(s.filter.match(ctx, e, tree)), nil
	}
	return s.judge(s.filter.evaluate(ctx, tree)), nil
}

// judge counts a failed evaluation, which is no match.
func (s *Subscriber) judge(match bool, err error) bool {
	if err != nil {
		s.errors.Add(1)
		message := err.Error()
		s.lastError.Store(&message)
	}
	return err == nil && match
}
