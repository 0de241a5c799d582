package busevents

import (
	"context"
	"strings"

	"clacks/bus"
	"clacks/events"
)

// Subscriptions are the nodes {domain}.subscription.{id}, each of which only its owner may read.
type Subscriptions struct {
	kept  *events.Subscriptions
	names bus.Names
}

var _ bus.Handler = (*Subscriptions)(nil)

// NewSubscriptions makes the nodes.
func NewSubscriptions(kept *events.Subscriptions, names bus.Names) *Subscriptions {
	return &Subscriptions{kept: kept, names: names}
}

// Source implements bus.Handler. A link that reads the subscription already ends. Filters are not applied: the subscription
// has its query.
func (h *Subscriptions) Source(ctx context.Context, q bus.SourceRequest) (bus.Source, error) {
	id := strings.TrimPrefix(q.Address, h.names.Subscription(""))
	consumer, err := h.kept.Open(ctx, q.Peer.User, id)
	if err != nil {
		return nil, refusal(err)
	}
	return newSource(&consumerFeed{consumer}, nil), nil
}

// Target implements bus.Handler.
func (h *Subscriptions) Target(context.Context, bus.TargetRequest) (bus.Target, error) {
	return nil, &bus.Condition{Name: bus.NotAllowed, Description: "events are sent to " + h.names.Events()}
}

// consumerFeed are the notices of a subscription.
type consumerFeed struct{ consumer *events.Consumer }

func (f *consumerFeed) next(ctx context.Context, wait bool) (*bus.Message, settle, error) {
	next := f.consumer.Ready
	if wait {
		next = f.consumer.Next
	}
	n, err := next(ctx)
	if n == nil || err != nil {
		return nil, nil, err
	}
	m := notice(n, f.consumer.Durable())
	if !f.consumer.Durable() {
		return m, nil, nil
	}
	sequence := n.Sequence
	return m, func(d bus.Disposition) { f.consumer.Handle(sequence, handled(&d)) }, nil
}

func (f *consumerFeed) close() { f.consumer.Close() }

// notice is the message of a notice.
func notice(n *events.Notice, durable bool) *bus.Message {
	m := message(&n.Event, n.Body, n.ContentType)
	m.Header = bus.Header{Durable: durable, DeliveryCount: n.Failures}
	return m
}

// handled is what an outcome means for a durable subscription. A message that must not come to this link again waits for the
// next one.
func handled(d *bus.Disposition) events.Handled {
	switch d.Outcome {
	case bus.Accepted:
		return events.Accepted
	case bus.Rejected:
		return events.Rejected
	case bus.ModifiedOutcome:
		switch {
		case d.Elsewhere:
			return events.Forgotten
		case d.Failed:
			return events.Failed
		}
	}
	return events.Released
}
