package container_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"clacks"
	"clacks/access"
	"clacks/bus"
	"clacks/bus/container"
)

func make1(t *testing.T, options container.Options) *container.Container {
	t.Helper()
	c := container.New(container.AllowAll{}, options)
	t.Cleanup(c.Close)
	return c
}

func peer(user string) bus.Peer { return bus.Peer{User: access.User{ID: user}} }

func receiver(t *testing.T, b bus.Bus, address string, options bus.ReceiverOptions) bus.Receiver {
	t.Helper()
	r, err := b.Receiver(t.Context(), address, options)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func sender(t *testing.T, b bus.Bus, address string) bus.Sender {
	t.Helper()
	s, err := b.Sender(t.Context(), address, bus.SenderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func text(s string) *bus.Message { return &bus.Message{Body: []byte(s), Text: true} }

func send(t *testing.T, s bus.Sender, bodies ...string) {
	t.Helper()
	for _, body := range bodies {
		if err := s.Send(t.Context(), text(body)); err != nil {
			t.Fatal(err)
		}
	}
}

func receive(t *testing.T, r bus.Receiver) *bus.Delivery {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	d, err := r.Receive(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func expect(t *testing.T, r bus.Receiver, body string) *bus.Delivery {
	t.Helper()
	d := receive(t, r)
	if got := string(d.Message.Body); got != body {
		t.Fatalf("received %q, want %q", got, body)
	}
	return d
}

// queueOf is what the statistics say of one queue.
func queueOf(t *testing.T, c *container.Container, address string) container.QueueStatistics {
	t.Helper()
	for _, q := range c.Statistics().Queues {
		if q.Address == address {
			return q
		}
	}
	t.Fatalf("there is no queue %s", address)
	return container.QueueStatistics{}
}

func exists(c *container.Container, address string) bool {
	for _, q := range c.Statistics().Queues {
		if q.Address == address {
			return true
		}
	}
	return false
}

func condition(t *testing.T, err error, name string) {
	t.Helper()
	var c *bus.Condition
	if !errors.As(err, &c) || c.Name != name {
		t.Fatalf("%v, want %s", err, name)
	}
}

func TestWhatIsReleasedComesBackToItsPlace(t *testing.T) {
	c := make1(t, container.Options{})
	b := c.Connect(peer("ann"))
	send(t, sender(t, b, "q"), "1", "2", "3", "4")
	r := receiver(t, b, "q", bus.ReceiverOptions{})
	one, two, three := expect(t, r, "1"), expect(t, r, "2"), expect(t, r, "3")
	for _, d := range []*bus.Delivery{three, one, two} {
		if err := d.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, body := range []string{"1", "2", "3", "4"} {
		d := expect(t, r, body)
		if d.Message.Header.DeliveryCount != 0 {
			t.Errorf("%s: released, and its delivery count is %d", body, d.Message.Header.DeliveryCount)
		}
		if d.Message.Header.FirstAcquirer != (body == "4") {
			t.Errorf("%s: first acquirer %v", body, d.Message.Header.FirstAcquirer)
		}
		if err := d.Accept(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if q := queueOf(t, c, "q"); q.Depth != 0 || q.Bytes != 0 || q.Counters.Accepted != 4 || q.Counters.Returned != 3 {
		t.Errorf("%+v", q)
	}
}

func TestFailedDeliveriesEndInTheDeadLetterQueue(t *testing.T) {
	c := make1(t, container.Options{Rules: []container.Rule{{Address: "q", Settings: container.Settings{MaxDeliveries: 2, DeadLetter: "dead"}}}})
	b := c.Connect(peer("ann"))
	send(t, sender(t, b, "q"), "bad", "wrong")
	r := receiver(t, b, "q", bus.ReceiverOptions{})
	for count := range uint32(2) {
		d := expect(t, r, "bad")
		if d.Message.Header.DeliveryCount != count {
			t.Errorf("delivery count %d, want %d", d.Message.Header.DeliveryCount, count)
		}
		notes := map[string]any{"x-opt-try": int32(count)}
		if err := d.Modify(t.Context(), bus.Modified{Failed: true, Annotations: notes}); err != nil {
			t.Fatal(err)
		}
	}
	if err := expect(t, r, "wrong").Reject(t.Context(), &bus.Condition{Name: bus.DecodeError, Description: "no JSON"}); err != nil {
		t.Fatal(err)
	}
	dead := receiver(t, b, "dead", bus.ReceiverOptions{})
	m := expect(t, dead, "bad").Message
	if m.Annotations[container.AnnotationReason] != "delivery-limit" || m.Annotations[container.AnnotationSource] != "q" ||
		m.Annotations["x-opt-try"] != int32(1) {
		t.Errorf("%v", m.Annotations)
	}
	m = expect(t, dead, "wrong").Message
	if m.Annotations[container.AnnotationReason] != "rejected" || m.Annotations[container.AnnotationCondition] != bus.Symbol(bus.DecodeError) ||
		m.Annotations[container.AnnotationDescription] != "no JSON" {
		t.Errorf("%v", m.Annotations)
	}
	if q := queueOf(t, c, "q"); q.Counters.Failed != 1 || q.Counters.Rejected != 1 || q.Counters.DeadLettered != 2 || q.Depth != 0 {
		t.Errorf("%+v", q)
	}
}

func TestElsewhereIsNotDeliveredToTheSameLinkAgain(t *testing.T) {
	c := make1(t, container.Options{})
	b := c.Connect(peer("ann"))
	first := receiver(t, b, "q", bus.ReceiverOptions{})
	send(t, sender(t, b, "q"), "1", "2")
	if err := expect(t, first, "1").Modify(t.Context(), bus.Modified{Elsewhere: true}); err != nil {
		t.Fatal(err)
	}
	expect(t, first, "2")
	second := receiver(t, b, "q", bus.ReceiverOptions{})
	d := expect(t, second, "1")
	if d.Message.Header.DeliveryCount != 0 {
		t.Errorf("delivery count %d without a failure", d.Message.Header.DeliveryCount)
	}
	// A link that comes back is another link.
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := d.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := second.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect(t, receiver(t, b, "q", bus.ReceiverOptions{}), "1")
}

func TestALostLinkCountsAsFailedAClosedOneDoesNot(t *testing.T) {
	c := make1(t, container.Options{})
	b := c.Connect(peer("ann"))
	send(t, sender(t, b, "q"), "1")
	for i, end := range []func(*container.Connection){
		func(n *container.Connection) { _ = n.Close(t.Context()) },
		func(n *container.Connection) { n.Abort() },
		func(n *container.Connection) { n.Abort() },
	} {
		n := c.Connect(peer("bob"))
		d := expect(t, receiver(t, n, "q", bus.ReceiverOptions{}), "1")
		if want := uint32(max(0, i-1)); d.Message.Header.DeliveryCount != want {
			t.Errorf("%d: delivery count %d, want %d", i, d.Message.Header.DeliveryCount, want)
		}
		end(n)
		if err := d.Accept(t.Context()); !clacks.IsKind(err, clacks.Unavailable) {
			t.Errorf("%d: a delivery of a link that is gone was settled: %v", i, err)
		}
	}
	if d := expect(t, receiver(t, b, "q", bus.ReceiverOptions{}), "1"); d.Message.Header.DeliveryCount != 2 {
		t.Errorf("delivery count %d, want 2", d.Message.Header.DeliveryCount)
	}
}

func TestFullQueues(t *testing.T) {
	rules := []container.Rule{
		{Address: "refuse*", Settings: container.Settings{MaxMessages: 2}},
		{Address: "drop", Settings: container.Settings{MaxMessages: 2, Full: container.DropOldest, DeadLetter: "dead"}},
		{Address: "bytes", Settings: container.Settings{MaxBytes: 10_000}},
	}
	c := make1(t, container.Options{Rules: rules})
	b := c.Connect(peer("ann"))
	s := sender(t, b, "refuse.1")
	send(t, s, "1", "2")
	condition(t, s.Send(t.Context(), text("3")), bus.LimitExceeded)
	if q := queueOf(t, c, "refuse.1"); q.Depth != 2 || q.Counters.Refused != 1 {
		t.Errorf("%+v", q)
	}

	r := receiver(t, b, "drop", bus.ReceiverOptions{})
	s = sender(t, b, "drop")
	send(t, s, "held")
	expect(t, r, "held")
	send(t, s, "1", "2", "3")
	expect(t, r, "3")
	condition(t, s.Send(t.Context(), text("4")), bus.LimitExceeded) // all that is there is held
	expect(t, receiver(t, b, "dead", bus.ReceiverOptions{}), "1")
	if q := queueOf(t, c, "drop"); q.Counters.Dropped != 2 || q.Depth != 2 {
		t.Errorf("%+v", q)
	}

	s = sender(t, b, "bytes")
	send(t, s, strings.Repeat("x", 5000))
	condition(t, s.Send(t.Context(), text(strings.Repeat("x", 5000))), bus.LimitExceeded)
}

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rules := []container.Rule{{Address: "*", Settings: container.Settings{DeadLetter: "dead", TTL: time.Hour}}}
		c := container.New(container.AllowAll{}, container.Options{Rules: rules})
		defer c.Close()
		b := c.Connect(peer("ann"))
		s := sender(t, b, "q")
		ttl, expiry, never := text("ttl"), text("expiry"), text("never")
		ttl.Header.TTL = 10 * time.Second
		expiry.Properties.Expiry = time.Now().Add(20 * time.Second)
		for _, m := range []*bus.Message{never, ttl, expiry} {
			if err := s.Send(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(4 * time.Second)
		r := receiver(t, b, "q", bus.ReceiverOptions{})
		held := expect(t, r, "never")
		d := expect(t, r, "ttl")
		if d.Message.Header.TTL != 6*time.Second {
			t.Errorf("ttl %v, want what is left", d.Message.Header.TTL)
		}
		if err := d.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(7 * time.Second)
		dead := receiver(t, b, "dead", bus.ReceiverOptions{})
		letter := expect(t, dead, "ttl")
		if letter.Message.Annotations[container.AnnotationReason] != "expired" {
			t.Errorf("%v", letter.Message.Annotations)
		}
		time.Sleep(10 * time.Second)
		expect(t, dead, "expiry")
		// What a receiver holds does not expire; given back, it does.
		time.Sleep(2 * time.Hour)
		if err := held.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		expect(t, dead, "never")
		if q := queueOf(t, c, "q"); q.Depth != 0 || q.Counters.Expired != 3 {
			t.Errorf("%+v", q)
		}
		if err := s.Send(t.Context(), expiry); err != nil {
			t.Fatal(err)
		}
		if q := queueOf(t, c, "q"); q.Depth != 0 || q.Counters.Expired != 4 {
			t.Errorf("what was dead when it came: %+v", q)
		}
	})
}

func TestIdleQueuesVanish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := container.New(container.AllowAll{}, container.Options{Default: container.Settings{Idle: time.Minute}})
		defer c.Close()
		b := c.Connect(peer("ann"))
		if err := c.Declare("declared", container.Settings{}); err != nil {
			t.Fatal(err)
		}
		for _, address := range []string{"idle", "full", "linked"} {
			s := sender(t, b, address)
			if address == "full" {
				send(t, s, "1")
			}
			if address == "linked" {
				continue
			}
			if err := s.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := receiver(t, b, "durable", bus.ReceiverOptions{Durable: true}).Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(59 * time.Second)
		if !exists(c, "idle") {
			t.Error("gone before its time")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		for address, want := range map[string]bool{"idle": false, "full": true, "linked": true, "declared": true, "durable": true} {
			if exists(c, address) != want {
				t.Errorf("%s: exists %v", address, !want)
			}
		}
		r := receiver(t, b, "full", bus.ReceiverOptions{})
		if err := expect(t, r, "1").Accept(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(61 * time.Second)
		synctest.Wait()
		if exists(c, "full") {
			t.Error("an empty queue stays")
		}
		if got := c.Statistics().Totals.Accepted; got != 1 {
			t.Errorf("the counters of a queue that is gone: %d accepted", got)
		}
	})
}

// A queue that nobody reads does not hold its messages for ever; where dead letters are kept, they are found there.
func TestAbandonedQueuesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := container.New(container.AllowAll{}, container.Options{Default: container.Settings{DeadLetter: "dead"}})
		defer c.Close()
		b := c.Connect(peer("ann"))
		out := sender(t, b, "")
		put := func(address string) {
			if err := out.Send(t.Context(), &bus.Message{Body: []byte(address), Properties: bus.Properties{To: address}}); err != nil {
				t.Fatal(err)
			}
		}
		if err := receiver(t, b, "durable", bus.ReceiverOptions{Durable: true}).Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		receiver(t, b, "read", bus.ReceiverOptions{})
		for _, address := range []string{"left", "durable", "read"} {
			put(address)
		}
		time.Sleep(59 * time.Minute)
		put("left") // something happens there
		time.Sleep(59 * time.Minute)
		if q := queueOf(t, c, "left"); q.Depth != 2 {
			t.Errorf("%+v", q)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		for address, want := range map[string]bool{"left": false, "durable": true, "read": true, "dead": true} {
			if exists(c, address) != want {
				t.Errorf("%s: exists %v", address, !want)
			}
		}
		time.Sleep(30 * 24 * time.Hour)
		synctest.Wait()
		if exists(c, "durable") || !exists(c, "dead") {
			t.Error("after 30 days: the durable queue is there, or the dead letters are not")
		}
		dead := receiver(t, b, "dead", bus.ReceiverOptions{})
		for _, body := range []string{"left", "left", "durable"} {
			d := expect(t, dead, body)
			if d.Message.Annotations[container.AnnotationReason] != "abandoned" {
				t.Errorf("%v", d.Message.Annotations)
			}
			if err := d.Accept(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if s := c.Statistics(); s.Totals.Abandoned != 3 || s.Totals.DeadLettered != 3 || s.Messages != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestDynamicNodesLiveWithTheirLink(t *testing.T) {
	c := make1(t, container.Options{})
	ann, bob := c.Connect(peer("ann")), c.Connect(peer("bob"))
	r := receiver(t, ann, "", bus.ReceiverOptions{Dynamic: true})
	if !strings.HasPrefix(r.Address(), container.DynamicPrefix) || len(r.Address()) < 30 {
		t.Fatalf("address %q", r.Address())
	}
	_, err := bob.Receiver(t.Context(), r.Address(), bus.ReceiverOptions{})
	condition(t, err, bus.ResourceLocked)
	s, any := sender(t, bob, r.Address()), sender(t, bob, "")
	send(t, s, "1")
	if err := any.Send(t.Context(), &bus.Message{Body: []byte("2"), Properties: bus.Properties{To: r.Address()}}); err != nil {
		t.Fatal(err)
	}
	expect(t, r, "1")
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	condition(t, s.Send(t.Context(), text("3")), bus.ResourceDeleted)
	condition(t, any.Send(t.Context(), &bus.Message{Properties: bus.Properties{To: r.Address()}}), bus.NotFound)
	_, err = bob.Sender(t.Context(), r.Address(), bus.SenderOptions{})
	condition(t, err, bus.NotFound)
	if s := c.Statistics(); len(s.Queues) != 0 || s.Bytes != 0 {
		t.Errorf("%+v", s)
	}
}

// rights lets a user do what stands in the map as "user action address".
type rights map[string]bool

func (r rights) Allowed(p bus.Peer, action container.Action, address string) bool {
	return r[fmt.Sprint(p.User.ID, " ", action, " ", address)]
}

func TestRights(t *testing.T) {
	const s, r, n = container.Send, container.Receive, container.Create
	allowed := rights{}
	allow := func(user string, action container.Action, address string) {
		allowed[fmt.Sprint(user, " ", action, " ", address)] = true
	}
	for _, action := range []container.Action{s, r, n} {
		allow("ann", action, "q")
	}
	allow("bob", s, "q")
	allow("bob", s, "q2")
	c := container.New(allowed, container.Options{})
	defer c.Close()
	ann, bob := c.Connect(peer("ann")), c.Connect(peer("bob"))
	_, err := bob.Sender(t.Context(), "q", bus.SenderOptions{})
	condition(t, err, bus.NotFound) // he may not make it
	in := receiver(t, ann, "q", bus.ReceiverOptions{})
	out := sender(t, bob, "q")
	send(t, out, "1")
	_, err = bob.Receiver(t.Context(), "q", bus.ReceiverOptions{})
	condition(t, err, bus.Unauthorized)
	_, err = bob.Sender(t.Context(), "other", bus.SenderOptions{})
	condition(t, err, bus.Unauthorized)
	_, err = bob.Receiver(t.Context(), "", bus.ReceiverOptions{Dynamic: true})
	condition(t, err, bus.Unauthorized)
	any := sender(t, bob, "")
	to := func(address string) error {
		return any.Send(t.Context(), &bus.Message{Properties: bus.Properties{To: address}})
	}
	if err := to("q"); err != nil {
		t.Fatal(err)
	}
	condition(t, to("q2"), bus.NotFound)
	condition(t, to("other"), bus.Unauthorized)
	condition(t, to(""), bus.InvalidField)
	condition(t, to(strings.Repeat("x", 256)), bus.InvalidField)
	condition(t, to("a\x00b"), bus.InvalidField)
	// A right that is taken away counts for the next message, not only for the next link.
	delete(allowed, fmt.Sprint("bob ", s, " q"))
	condition(t, out.Send(t.Context(), text("2")), bus.Unauthorized)
	expect(t, in, "1")
}

func TestUserID(t *testing.T) {
	c := make1(t, container.Options{Rules: []container.Rule{{Address: "commands", Settings: container.Settings{RequireUser: container.Required}}}})
	b := c.Connect(peer("ann"))
	with := func(id string) *bus.Message {
		return &bus.Message{Properties: bus.Properties{UserID: []byte(id), To: "commands"}}
	}
	for _, address := range []string{"commands", ""} {
		s := sender(t, b, address)
		if err := s.Send(t.Context(), with("ann")); err != nil {
			t.Errorf("%q: %v", address, err)
		}
		condition(t, s.Send(t.Context(), with("bob")), bus.Unauthorized)
		condition(t, s.Send(t.Context(), with("")), bus.Unauthorized)
	}
	s := sender(t, b, "other")
	if err := s.Send(t.Context(), with("")); err != nil {
		t.Error(err)
	}
	condition(t, s.Send(t.Context(), with("bob")), bus.Unauthorized)
}

func TestLimitsOfAPeer(t *testing.T) {
	limits := container.Limits{PeerLinks: 3, PeerQueues: 2, PeerBytes: 4000, Message: 3000, Queues: 4}
	c := make1(t, container.Options{Limits: limits})
	ctx := t.Context()
	source := func(user, address string, dynamic bool) (bus.Source, error) {
		return c.Source(ctx, bus.SourceRequest{Peer: peer(user), Address: address, Dynamic: dynamic})
	}
	one, err := source("ann", "1", false)
	if err != nil {
		t.Fatal(err)
	}
	two, err := source("ann", "", true)
	if err != nil {
		t.Fatal(err)
	}
	_, err = source("ann", "3", false)
	condition(t, err, bus.LimitExceeded)
	three, err := c.Target(ctx, bus.TargetRequest{Peer: peer("ann"), Address: "1"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = source("ann", "1", false)
	condition(t, err, bus.LimitExceeded)
	if d := three.Put(ctx, text(strings.Repeat("x", 3001))); d.Condition == nil || d.Condition.Name != bus.MessageTooLarge {
		t.Errorf("%+v", d)
	}
	if d := three.Put(ctx, text(strings.Repeat("x", 2000))); d.Err() != nil {
		t.Errorf("%+v", d)
	}
	condition(t, three.Put(ctx, text(strings.Repeat("x", 2000))).Err(), bus.LimitExceeded)

	// What waits in ann's dynamic node is hers, too; who answers her is not to pay for it.
	answer, err := c.Target(ctx, bus.TargetRequest{Peer: peer("bob"), Address: two.(bus.Addressed).Address()})
	if err != nil {
		t.Fatal(err)
	}
	condition(t, answer.Put(ctx, text(strings.Repeat("x", 2000))).Err(), bus.LimitExceeded)
	delivery, err := one.Ready()
	if err != nil || delivery == nil {
		t.Fatal(err)
	}
	if err := delivery.Accept(ctx); err != nil {
		t.Fatal(err)
	}
	if d := answer.Put(ctx, text(strings.Repeat("x", 2000))); d.Err() != nil {
		t.Errorf("%+v", d)
	}

	for _, user := range []string{"bob", "eve"} {
		if _, err := source(user, "q-"+user, false); err != nil {
			t.Fatal(err)
		}
	}
	_, err = source("dan", "q-dan", false)
	condition(t, err, bus.LimitExceeded) // in all
	two.Close(true)
	one.Close(true)
	three.Close()
	if _, err := source("dan", "q-dan", false); err != nil {
		t.Error(err)
	}
	if s := c.Statistics(); s.Bytes != 0 || s.Peers != 4 {
		t.Errorf("%+v", s) // ann has her queue still
	}
}

// A message that came over a wire takes its memory twice, as it came and decoded; it is not too large because of that.
func TestALargeMessageOverAWire(t *testing.T) {
	c := make1(t, container.Options{Limits: container.Limits{Message: 3000}})
	s := sender(t, c.Connect(peer("ann")), "q")
	if err := s.Send(t.Context(), &bus.Message{Body: make([]byte, 2900), Bare: make([]byte, 2950)}); err != nil {
		t.Error(err)
	}
	condition(t, s.Send(t.Context(), &bus.Message{Body: make([]byte, 3000), Bare: make([]byte, 3001)}), bus.MessageTooLarge)
	if q := queueOf(t, c, "q"); q.Bytes < 2900+2950 {
		t.Errorf("%d bytes are reckoned", q.Bytes)
	}
}

func TestMemoryInAllIsBounded(t *testing.T) {
	c := make1(t, container.Options{Limits: container.Limits{Bytes: 10_000}})
	b := c.Connect(peer("ann"))
	for i := range 3 {
		s := sender(t, b, fmt.Sprint(i))
		err := s.Send(t.Context(), text(strings.Repeat("x", 4000)))
		if i < 2 && err != nil {
			t.Fatal(err)
		}
		if i == 2 {
			condition(t, err, bus.LimitExceeded)
		}
	}
}

func TestCloseEndsEverything(t *testing.T) {
	c := container.New(container.AllowAll{}, container.Options{})
	b := c.Connect(peer("ann"))
	r, s := receiver(t, b, "q", bus.ReceiverOptions{}), sender(t, b, "q")
	ended := make(chan error, 1)
	go func() {
		_, err := r.Receive(t.Context())
		ended <- err
	}()
	c.Close()
	if err := <-ended; err == nil {
		t.Error("a receiver waits on")
	}
	if err := s.Send(t.Context(), text("1")); err == nil {
		t.Error("a message was taken")
	}
	if _, err := c.Connect(peer("ann")).Sender(t.Context(), "q", bus.SenderOptions{}); err == nil {
		t.Error("a link was attached")
	}
	if err := c.Declare("q", container.Settings{}); err == nil {
		t.Error("a queue was declared")
	}
	c.Close()
}
