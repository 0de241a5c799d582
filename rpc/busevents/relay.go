package busevents

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"clacks"
	"clacks/bus"
	"clacks/events"
)

// RelayOptions are what a relay needs. Log, Kept, Bus, Names and Node are required.
type RelayOptions struct {
	Log   *events.Log
	Kept  *events.Subscriptions
	Bus   bus.Bus
	Names bus.Names
	Node  string // this agent's name
	// Lease is the time without a sign of life after which another agent takes over; 0 means DefaultLease. Look is how often
	// subscriptions that were made meanwhile are looked for; 0 means a quarter of the lease.
	Lease, Look time.Duration
	// Links is the number of subscriptions that are relayed at most; 0 means DefaultLinks. Each has a link of its own, and a
	// broker does not take any number of them.
	Links int
	// Owners say what a subscriber may receive by now; they are asked again after each Refresh (0 means DefaultRefresh). nil:
	// he has the rights that he had when he subscribed.
	Owners  events.Owners
	Refresh time.Duration
	Logger  *slog.Logger // nil for slog.Default
}

// The defaults of RelayOptions.
const (
	DefaultLease   = 10 * time.Second
	DefaultLinks   = 1000
	DefaultRefresh = 5 * time.Minute
)

// Relay sends the events of subscriptions to queues of an external broker, one a subscription. Of all agents on one state
// database, one at a time does it (events.Lease). A subscription moves on when the broker has accepted the event, in a
// statement that holds only for the latest of its consumers: an agent that wakes up after another has taken over may send
// an event once more, but neither skips one nor moves anything.
type Relay struct {
	options RelayOptions
	log     *slog.Logger
}

// NewRelay makes a relay; Run runs it.
func NewRelay(o RelayOptions) *Relay {
	if o.Lease <= 0 {
		o.Lease = DefaultLease
	}
	if o.Look <= 0 {
		o.Look = o.Lease / 4
	}
	if o.Links <= 0 {
		o.Links = DefaultLinks
	}
	if o.Refresh <= 0 {
		o.Refresh = DefaultRefresh
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Relay{options: o, log: o.Logger}
}

// Run relays whenever it is this agent's turn, until the context ends.
func (r *Relay) Run(ctx context.Context) {
	name := "relay:" + string(r.options.Names)
	events.NewLease(r.options.Log, name, r.options.Node, r.options.Lease).Hold(ctx, r.serve)
}

// relayed are the subscriptions that are being relayed.
type relayed struct {
	running map[string]context.CancelFunc
	group   sync.WaitGroup
	full    bool // there are more than may be relayed; it was logged
}

// serve relays all subscriptions until the context ends.
func (r *Relay) serve(ctx context.Context, fence events.Fence) error {
	ctx, cancel := context.WithCancel(ctx)
	all := &relayed{running: map[string]context.CancelFunc{}}
	defer all.group.Wait()
	defer cancel()
	for {
		ids, err := r.options.Kept.IDs(ctx)
		if err == nil {
			r.follow(ctx, fence, all, ids)
		} else if ctx.Err() == nil {
			r.log.Warn("the subscriptions to relay cannot be read", "error", err)
		}
		if wait(ctx, r.options.Look) != nil {
			return nil
		}
	}
}

// follow ends what is gone and starts what is new.
func (r *Relay) follow(ctx context.Context, fence events.Fence, all *relayed, ids []string) {
	for id, stop := range all.running {
		if !slices.Contains(ids, id) {
			stop()
			delete(all.running, id)
		}
	}
	for _, id := range ids[:min(len(ids), r.options.Links)] {
		if all.running[id] == nil && len(all.running) < r.options.Links {
			one, stop := context.WithCancel(ctx)
			all.running[id] = stop
			all.group.Go(func() { r.keep(one, fence, id) })
		}
	}
	full := len(ids) > r.options.Links
	if full && !all.full {
		r.log.Error("there are more subscriptions than may be relayed", "subscriptions", len(ids), "relayed", r.options.Links)
	}
	all.full = full
}

// The pauses between attempts.
const (
	shortPause = 100 * time.Millisecond
	longPause  = 30 * time.Second
)

// keep relays one subscription, again after each failure.
func (r *Relay) keep(ctx context.Context, fence events.Fence, id string) {
	for pause := shortPause; ctx.Err() == nil; pause = max(shortPause, min(2*pause, longPause)) {
		sent, err := r.one(ctx, fence, id)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			pause = 0
			continue
		}
		if sent > 0 {
			pause = shortPause
		}
		r.log.Warn("a subscription is not relayed; it is tried again", "subscription", id, "error", err, "after", pause)
		_ = wait(ctx, pause) // the loop looks
	}
}

// one relays a subscription until something fails, or until it is time to ask for the rights again.
func (r *Relay) one(ctx context.Context, fence events.Fence, id string) (sent int, err error) {
	consumer, err := r.options.Kept.Relay(ctx, fence, r.options.Owners, id)
	if err != nil {
		return 0, err
	}
	defer consumer.Close()
	sender, err := r.sender(ctx, r.options.Names.Subscription(id), consumer.Durable())
	if err != nil {
		return 0, err
	}
	defer func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
		defer cancel()
		_ = sender.Close(ending) // nothing is on its way any more
	}()
	fresh, cancel := context.WithTimeout(ctx, r.options.Refresh)
	defer cancel()
	for {
		n, err := consumer.Next(fresh)
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			return sent, nil
		}
		if err != nil {
			return sent, err
		}
		if err := r.send(ctx, consumer, sender, n); err != nil {
			return sent, err
		}
		sent++
	}
}

// closeTime is how long the end of a link is waited for.
const closeTime = 2 * time.Second

// sender attaches to a subscription's queue. A broker may make queues for receivers only: so one asks for it first, without
// taking anything.
func (r *Relay) sender(ctx context.Context, address string, durable bool) (bus.Sender, error) {
	receiver, err := r.options.Bus.Receiver(ctx, address, bus.ReceiverOptions{Manual: true, Durable: durable})
	if err != nil {
		return nil, err
	}
	sender, err := r.options.Bus.Sender(ctx, address, bus.SenderOptions{})
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	defer cancel()
	_ = receiver.Close(ending) // it has taken nothing
	return sender, err
}

// send sends one notice until the broker has taken it. What the broker refuses for good is done with; whatever else happens,
// the same notice goes again, before any other. Of a subscription that is not durable each goes once.
func (r *Relay) send(ctx context.Context, consumer *events.Consumer, sender bus.Sender, n *events.Notice) error {
	m := notice(n, consumer.Durable())
	for pause := shortPause; ; pause = min(2*pause, longPause) {
		err := sender.Send(ctx, m)
		var refused *bus.Condition
		switch {
		case err == nil:
			consumer.Handle(n.Sequence, events.Accepted)
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &refused) && refused.Kind() != clacks.Unavailable && refused.Kind() != clacks.Limit && refused.Kind() != clacks.Conflict:
			r.log.Error("the broker refuses an event", "subscription", consumer.ID(), "event", n.Sequence, "error", err)
			consumer.Handle(n.Sequence, events.Rejected)
			return nil
		case !consumer.Durable():
			r.log.Warn("an event was not taken", "subscription", consumer.ID(), "event", n.Sequence, "error", err)
			return nil
		case consumer.Ended() != nil:
			return consumer.Ended()
		}
		r.log.Warn("an event was not taken; it is sent again", "subscription", consumer.ID(), "event", n.Sequence, "error", err, "after", pause)
		if err := wait(ctx, pause); err != nil {
			return err
		}
	}
}

// wait waits for a time, or until the context ends.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
