package busevents

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"clacks"
	"clacks/access"
	"clacks/bus"
	"clacks/events"
)

// Log is what the node of all events needs of *events.Log.
type Log interface {
	Behind(ctx context.Context, from string) (int64, error)
	Subscribe(ctx context.Context, s events.Subscription) (*events.Subscriber, error)
	Send(ctx context.Context, user access.User, document []byte, options ...events.SendOption) (int64, error)
}

// Events is the node {domain}.events: who receives from it is sent what his filter selects of the events that he may
// receive, at most once; what is sent to it becomes an event.
type Events struct {
	log       Log
	logger    *slog.Logger
	documents documents
}

var _ bus.Handler = (*Events)(nil)

// NewEvents makes the node of a log. logger may be nil for slog.Default.
func NewEvents(log Log, logger *slog.Logger) *Events {
	if logger == nil {
		logger = slog.Default()
	}
	return &Events{log: log, logger: logger}
}

// Nodes is where handlers are registered: a *container.Container.
type Nodes interface {
	Handle(address string, h bus.Handler)
	HandlePrefix(text string, h bus.Handler)
}

// Register makes the nodes of a domain known: {domain}.events, and {domain}.subscription.{id} if there are subscriptions.
func Register(nodes Nodes, names bus.Names, log *events.Log, subscriptions *events.Subscriptions, logger *slog.Logger) {
	nodes.Handle(names.Events(), NewEvents(log, logger))
	if subscriptions != nil {
		nodes.HandlePrefix(names.Subscription(""), NewSubscriptions(subscriptions, names))
	}
}

// Source implements bus.Handler.
func (h *Events) Source(ctx context.Context, q bus.SourceRequest) (bus.Source, error) {
	if q.Peer.User.Anonymous() {
		return nil, &bus.Condition{Name: bus.Unauthorized, Description: "log in to receive events"}
	}
	w, err := wishesOf(&q)
	if err != nil {
		return nil, err
	}
	if len(w.query) > events.DefaultSubscriptionLimits.Query {
		return nil, &bus.Condition{Name: bus.LimitExceeded, Description: "the query is too large"}
	}
	after, err := h.log.Behind(ctx, w.from)
	if err != nil {
		return nil, refusal(err)
	}
	subscriber, err := h.log.Subscribe(ctx, events.Subscription{User: q.Peer.User, Query: w.query, After: after})
	if err != nil {
		return nil, refusal(err)
	}
	return newSource(&eventFeed{subscriber, &h.documents}, w.applied), nil
}

// eventFeed are the events of a subscriber who lives as long as his link.
type eventFeed struct {
	subscriber *events.Subscriber
	documents  *documents
}

func (f *eventFeed) next(ctx context.Context, wait bool) (*bus.Message, settle, error) {
	next := f.subscriber.Ready
	if wait {
		next = f.subscriber.Next
	}
	e, err := next(ctx)
	if e == nil || err != nil {
		return nil, nil, err
	}
	return f.documents.of(e), nil, nil
}

func (f *eventFeed) close() { f.subscriber.Close() }

// Target implements bus.Handler.
func (h *Events) Target(_ context.Context, q bus.TargetRequest) (bus.Target, error) {
	if q.Peer.User.Anonymous() {
		return nil, &bus.Condition{Name: bus.Unauthorized, Description: "log in to send events"}
	}
	return &eventTarget{log: h.log, logger: h.logger, user: q.Peer.User}, nil
}

// eventTarget takes a client's own events, as the command sendEvent does.
type eventTarget struct {
	log    Log
	logger *slog.Logger
	user   access.User
}

// keyProperty is the application-property that makes a repeated event be recognised.
const keyProperty = "idempotency-key"

// Put implements bus.Target. What is wrong with a document is rejected with the reason and its place; an event that could not
// be taken now is released, one of which that is not known is given back as failed.
func (t *eventTarget) Put(ctx context.Context, m *bus.Message) bus.Disposition {
	if m.Value != nil {
		return bus.Disposition{Outcome: bus.Rejected, Condition: invalid("the body of an event is data or a string")}
	}
	key, _ := m.Application[keyProperty].(string)
	_, err := t.log.Send(ctx, t.user, m.Body, events.IdempotencyKey(key))
	switch kind := clacks.KindOf(err); {
	case err == nil:
		return bus.Disposition{}
	case clacks.IsKind(err, clacks.Unavailable):
		return bus.Disposition{Outcome: bus.Released}
	case clacks.IsKind(err, clacks.InDoubt), ctx.Err() != nil:
		return bus.Disposition{Outcome: bus.ModifiedOutcome, Modified: bus.Modified{Failed: true}}
	case kind == clacks.Internal:
		t.logger.Error("an event could not be taken", "user", t.user.ID, "error", err)
	}
	return bus.Disposition{Outcome: bus.Rejected, Condition: condition(err, maxRejection)}
}

// Close implements bus.Target.
func (t *eventTarget) Close() {}

// settle says what became of a message; nil where nobody needs to know.
type settle func(d bus.Disposition)

// feed is where a source has its messages from. It is used by one goroutine at a time.
type feed interface {
	// next is the next message; without wait, nil when there is none.
	next(ctx context.Context, wait bool) (*bus.Message, settle, error)
	close()
}

// maxAgain is the number of messages that a source of the at-most-once kind keeps because they were released.
const maxAgain = 256

// source gives the messages of a feed to one link.
type source struct {
	feed    feed
	applied []bus.Filter
	life    context.Context
	end     context.CancelFunc
	turn    sync.Mutex // who uses the feed

	mu    sync.Mutex
	again []*bus.Message // released before they were looked at, as a drain does
}

var _ bus.Source = (*source)(nil)

func newSource(f feed, applied []bus.Filter) *source {
	s := &source{feed: f, applied: applied}
	s.life, s.end = context.WithCancel(context.Background())
	return s
}

// Next implements bus.Source.
func (s *source) Next(ctx context.Context) (*bus.Delivery, error) {
	s.turn.Lock()
	defer s.turn.Unlock()
	return s.take(ctx, true)
}

// readyTime is how long it may take to find out whether there is a message: the log has to be read for that.
const readyTime = time.Second

// Ready implements bus.Source.
func (s *source) Ready() (*bus.Delivery, error) {
	if !s.turn.TryLock() {
		return nil, nil // somebody waits, so there is nothing
	}
	defer s.turn.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), readyTime)
	defer cancel()
	d, err := s.take(ctx, false)
	if err != nil && ctx.Err() != nil {
		return nil, nil // Next will say more
	}
	return d, err
}

// take is the next delivery.
func (s *source) take(ctx context.Context, wait bool) (*bus.Delivery, error) {
	if s.life.Err() != nil {
		return nil, &bus.Condition{Name: bus.IllegalState, Description: "the link is closed"}
	}
	if m := s.released(); m != nil {
		return s.delivery(m, nil), nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	m, done, err := s.feed.next(ctx, wait)
	if err != nil {
		return nil, ended(err)
	}
	if m == nil {
		return nil, nil
	}
	return s.delivery(m, done), nil
}

// delivery is a message on its way. Without anybody to tell, only one that comes back as it was goes out again.
func (s *source) delivery(m *bus.Message, done settle) *bus.Delivery {
	return bus.NewDelivery(m, func(_ context.Context, d bus.Disposition) error {
		switch {
		case done != nil:
			done(d)
		case d.Outcome == bus.Released:
			s.keep(m)
		}
		return nil
	})
}

// keep takes a released message back.
func (s *source) keep(m *bus.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.again) < maxAgain {
		s.again = append(s.again, m)
	}
}

func (s *source) released() *bus.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.again) == 0 {
		return nil
	}
	m := s.again[0]
	s.again = s.again[1:]
	return m
}

// Applied implements bus.Source.
func (s *source) Applied() []bus.Filter { return s.applied }

// Close implements bus.Source.
func (s *source) Close(bool) {
	s.end()
	s.turn.Lock()
	defer s.turn.Unlock()
	if s.feed != nil {
		s.feed.close()
		s.feed = nil
	}
}
