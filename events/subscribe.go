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

// Subscriber is one accepted subscription. Its methods but Stats and Position belong to one goroutine.
type Subscriber struct {
	log          *Log
	subscription Subscription
	since        time.Time
	filter       *filter // nil for all events
	window       *window
	home         *window       // the same, also after Close
	cursor       int64         // the last event that was looked at
	woken        chan struct{} // has a token when there is something to look at
	next         upcoming

	// Guarded by the window's mutex.
	waiting bool
	passed  int64 // nothing up to here is for him, whatever the cursor says

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
	subscriber := &Subscriber{log: l, subscription: s, since: time.Now(), woken: make(chan struct{}, 1)}
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
	s.next.drop()
	if s.window != nil {
		s.position.Store(s.home.position(s))
		s.log.hub.detach(s)
		s.window = nil
	}
	if s.filter != nil {
		s.log.hub.filters.put(s.subscription.Query)
		s.filter = nil
	}
}

// Position is the sequence number up to which the subscriber has been told of everything.
func (s *Subscriber) Position() int64 {
	if s.home == nil {
		return s.position.Load()
	}
	return s.home.position(s)
}

// Stats is safe to call while Run runs.
func (s *Subscriber) Stats() Stats {
	stats := Stats{
		User: s.subscription.User.ID, Query: s.subscription.Query, Since: s.since,
		Position: s.Position(), Delivered: s.delivered.Load(), Errors: s.errors.Load(),
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
	for {
		e, err := s.Next(ctx)
		if err != nil {
			return err
		}
		if err := deliver(*e); err != nil {
			return err
		}
	}
}

// upcoming is what a subscriber has taken and not yet looked at, and what he holds of the event that he looks at.
type upcoming struct {
	batch   []*entry // out of the window, or
	page    []Event  // out of the log
	buffer  []*entry // where batches are kept
	done    func()   // gives the page back
	current int64    // the event that Next has given, 0 for none
	release func()   // gives back the room for its copy
}

// drop gives everything back.
func (u *upcoming) drop() {
	u.letCurrent()
	u.batch, u.current = nil, 0
	u.letPage()
}

func (u *upcoming) letCurrent() {
	if u.release != nil {
		u.release()
		u.release = nil
	}
}

func (u *upcoming) letPage() {
	if u.done != nil {
		u.done()
	}
	u.page, u.done = nil, nil
}

// forgo gives back what is held for the event that Next has given: who took it bounds it himself.
func (s *Subscriber) forgo() {
	s.next.letCurrent()
	if len(s.next.page) == 0 {
		s.next.letPage()
	}
}

// Next waits for the next event. With the following call, the event counts as delivered. The error is the context's, or
// says that events behind the position are no longer there.
func (s *Subscriber) Next(ctx context.Context) (*Event, error) {
	for {
		e, err := s.ahead(ctx)
		if e != nil || err != nil {
			return e, err
		}
		if err := s.take(ctx, true); err != nil {
			return nil, err
		}
	}
}

// Ready is the next event if it is there, or nil; that, too, while the log cannot be read.
func (s *Subscriber) Ready(ctx context.Context) (*Event, error) {
	for {
		e, err := s.ahead(ctx)
		if e != nil || err != nil {
			return e, err
		}
		if err := s.take(ctx, false); err != nil {
			return nil, err
		}
		if len(s.next.batch)+len(s.next.page) == 0 {
			return nil, nil
		}
	}
}

// ahead looks for an event for the subscriber among those that he has taken.
func (s *Subscriber) ahead(ctx context.Context) (*Event, error) {
	u := &s.next
	if u.current != 0 {
		s.delivered.Add(1)
		s.moveTo(u.current)
		u.current = 0
	}
	u.letCurrent()
	for {
		var e *Event
		var tree func() (*parsedDocument, error)
		switch {
		case len(u.batch) > 0:
			first := u.batch[0]
			e, tree = &first.Event, func() (*parsedDocument, error) { return s.window.parsed.get(first) }
		case len(u.page) > 0:
			e = &u.page[0]
		default:
			u.letPage()
			return nil, nil
		}
		visible, err := s.look(ctx, e, tree)
		if err != nil {
			return nil, err
		}
		if len(u.batch) > 0 {
			u.batch = u.batch[1:]
		} else {
			u.page = u.page[1:]
		}
		if visible != nil {
			u.current = e.Sequence
			return visible, nil
		}
		s.moveTo(e.Sequence)
	}
}

// take takes what comes next, out of the window or out of the log. When there is nothing, it waits to be woken.
func (s *Subscriber) take(ctx context.Context, wait bool) error {
	if s.next.buffer == nil {
		s.next.buffer = make([]*entry, 0, batchSize)
	}
	clear(s.next.buffer[:cap(s.next.buffer)])
	at := s.window.after(s, s.next.buffer[:0])
	if at.through > s.cursor {
		s.moveTo(at.through)
	}
	switch {
	case at.behind:
		return s.replay(ctx, wait)
	case !at.waiting:
		s.next.batch = at.batch
		return nil
	case !wait:
		return ctx.Err()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-s.woken:
		return nil
	}
}

// replay takes one page of the log. Without wait, none while the log cannot be read.
func (s *Subscriber) replay(ctx context.Context, wait bool) error {
	page, done, err := s.readPage(ctx, wait)
	if page == nil && !wait && clacks.IsKind(err, clacks.Unavailable) {
		return nil
	}
	if err != nil {
		return err
	}
	if len(page) == 0 {
		done()
		return s.skipPruned(ctx)
	}
	if first := page[0].Sequence; first != s.cursor+1 && s.cursor != 0 {
		done()
		return pruned(s.cursor, first)
	}
	s.next.page, s.next.done = page, done
	return nil
}

// readPage reads the events behind the cursor, and with wait waits while the database cannot be reached. The caller calls
// done when he needs them no more.
func (s *Subscriber) readPage(ctx context.Context, wait bool) (page []Event, done func(), err error) {
	for pause := s.log.poll; ; pause = min(2*pause, maxBackoff) {
		page, done, err := s.log.sharedPage(ctx, s.cursor)
		if err == nil {
			return page, done, nil
		}
		done()
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		if !wait || !clacks.IsKind(err, clacks.Unavailable) {
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

// look is what the subscriber may see of an event that his query matches, nil when it does not concern him. The query sees
// what he may see. tree is the document that all share who watch live, nil in replay.
func (s *Subscriber) look(ctx context.Context, e *Event, tree func() (*parsedDocument, error)) (*Event, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	release, err := s.roomForCopy(ctx, e)
	if err != nil {
		return nil, err
	}
	visible, ok := s.log.permitted(s.subscription.User, e)
	if ok && s.filter != nil {
		ok, err = s.matches(ctx, e, visible, tree)
	}
	if !ok || err != nil {
		release()
		return nil, err
	}
	s.next.release = release
	return visible, nil
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
	return s.judge(s.filter.evaluate(ctx, e, tree)), nil
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
