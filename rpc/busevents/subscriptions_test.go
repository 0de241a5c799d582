package busevents_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"clacks/bus"
	"clacks/events"
)

// A durable subscription over links that come and go: nothing is skipped, what was not settled comes again.
func TestSubscriptionNode(t *testing.T) {
	a := newAgent(t, "sqlite::memory:")
	id := a.subscribe(admin, events.SubscriptionRequest{Durable: true})
	address := names.Subscription(id)
	a.commit(7)
	connection := a.connect(admin)
	r := receiver(t, connection, address, bus.ReceiverOptions{})
	must(t, expect(t, r, 1).Accept(t.Context()))
	must(t, expect(t, r, 2).Release(t.Context()))
	must(t, expect(t, r, 2).Modify(t.Context(), bus.Modified{Failed: true}))
	again := expect(t, r, 2)
	if again.Message.Header.DeliveryCount != 1 || !again.Message.Header.Durable {
		t.Errorf("%+v", again.Message.Header)
	}
	must(t, again.Accept(t.Context()))
	must(t, expect(t, r, 3).Reject(t.Context(), &bus.Condition{Name: bus.DecodeError}))
	held := expect(t, r, 4)
	must(t, expect(t, r, 5).Accept(t.Context()))
	connection.Abort() // the connection is lost, and 4 is settled by nobody
	_ = held

	r = receiver(t, a.connect(admin), address, bus.ReceiverOptions{})
	must(t, expect(t, r, 4).Modify(t.Context(), bus.Modified{Elsewhere: true}))
	for _, sequence := range []int64{5, 6, 7} {
		must(t, expect(t, r, sequence).Accept(t.Context()))
	}
	later := receiver(t, a.connect(admin), address, bus.ReceiverOptions{})
	refusedWith(t, r, bus.LinkStolen)
	must(t, expect(t, later, 4).Accept(t.Context()))
	expect(t, later, 5, 6, 7)
	must(t, a.kept.Remove(t.Context(), admin, id))
	refusedWith(t, later, bus.ResourceDeleted)
}

// refusedWith waits for the end of a receiver.
func refusedWith(t *testing.T, r bus.Receiver, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := r.Receive(ctx)
	var c *bus.Condition
	if !errors.As(err, &c) || c.Name != name {
		t.Errorf("%v, want %s", err, name)
	}
}

func TestSubscriptionNodeRefuses(t *testing.T) {
	a := newAgent(t, "sqlite::memory:")
	address := names.Subscription(a.subscribe(admin, events.SubscriptionRequest{}))
	for _, test := range []struct {
		b       bus.Bus
		address string
	}{{a.connect(ann), address}, {a.connect(admin), names.Subscription("none")}, {a.connect(admin), names.Subscription("")}} {
		_, err := test.b.Receiver(t.Context(), test.address, bus.ReceiverOptions{})
		if bus.ConditionOf(err).Name != bus.NotFound {
			t.Errorf("%s: %v", test.address, err)
		}
	}
	if _, err := a.connect(admin).Sender(t.Context(), address, bus.SenderOptions{}); bus.ConditionOf(err).Name != bus.NotAllowed {
		t.Errorf("sending: %v", err)
	}
}

// A subscription that is not durable gives each event once, settled or not, and its results.
func TestTransientSubscriptionNode(t *testing.T) {
	a := newAgent(t, "sqlite::memory:")
	id := a.subscribe(admin, events.SubscriptionRequest{Deliver: events.DeliverResult,
		Query: `for $o in Event/ObjectChanged return <o>{data($o/Sequence)}</o>`})
	a.commit(3)
	connection := a.connect(admin)
	r := receiver(t, connection, names.Subscription(id), bus.ReceiverOptions{})
	m := expect(t, r, 1).Message
	if string(m.Body) != `<o xmlns="http://www.gonicus.de/Events">1</o>` && string(m.Body) != `<o>1</o>` {
		t.Errorf("%s", m.Body)
	}
	expect(t, r, 2)
	must(t, connection.Close(t.Context()))
	expect(t, receiver(t, a.connect(admin), names.Subscription(id), bus.ReceiverOptions{}), 3)
}
