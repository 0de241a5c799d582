package container_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"clacks"
	"clacks/bus"
	"clacks/bus/container"
)

// node is a Handler that keeps what it is asked for and gives what is put into it.
type node struct {
	name   string
	filter string // the filter that it applies
	mu     sync.Mutex
	asked  []string
	closed []bool
	in     chan *bus.Message
}

func (n *node) note(what string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked = append(n.asked, what)
}

func (n *node) Source(_ context.Context, q bus.SourceRequest) (bus.Source, error) {
	n.note("source " + q.Address + " of " + q.Peer.User.ID)
	if q.Address == n.name+".none" {
		return nil, clacks.E(clacks.NotFound, "test", "there is none")
	}
	return &nodeSource{n, q.Filters}, nil
}

func (n *node) Target(_ context.Context, q bus.TargetRequest) (bus.Target, error) {
	n.note("target " + q.Address + " of " + q.Peer.User.ID)
	return n, nil
}

func (n *node) Put(_ context.Context, m *bus.Message) bus.Disposition {
	n.in <- m
	return bus.Disposition{}
}

func (n *node) Close() { n.note("close") }

type nodeSource struct {
	*node
	filters []bus.Filter
}

func (s *nodeSource) Next(ctx context.Context) (*bus.Delivery, error) {
	select {
	case m := <-s.in:
		return bus.NewDelivery(m, nil), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *nodeSource) Ready() (*bus.Delivery, error) {
	select {
	case m := <-s.in:
		return bus.NewDelivery(m, nil), nil
	default:
		return nil, nil
	}
}

func (s *nodeSource) Applied() []bus.Filter {
	return slices.DeleteFunc(slices.Clone(s.filters), func(f bus.Filter) bool { return f.Name != s.filter })
}

func (s *nodeSource) Close(expired bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = append(s.closed, expired)
}

func TestHandlersTakeThePlaceOfQueues(t *testing.T) {
	c := make1(t, container.Options{})
	made := func(name string) *node { return &node{name: name, filter: "f", in: make(chan *bus.Message, 10)} }
	exact, short, long := made("a.b.c"), made("a"), made("a.b")
	c.Handle("a.b.c", exact)
	c.HandlePrefix("a.", short)
	c.HandlePrefix("a.b.", long)
	b := c.Connect(peer("ann"))
	for address, h := range map[string]*node{"a.b.c": exact, "a.x": short, "a.b.d": long} {
		s := sender(t, b, address)
		send(t, s, "1")
		err := sender(t, b, "").Send(t.Context(), &bus.Message{Body: []byte("2"), Properties: bus.Properties{To: address}})
		if err != nil {
			t.Fatal(err)
		}
		r := receiver(t, b, address, bus.ReceiverOptions{Filters: []bus.Filter{{Name: "f"}}})
		expect(t, r, "1")
		expect(t, r, "2")
		want := []string{"target " + address + " of ann", "target " + address + " of ann", "close", "source " + address + " of ann"}
		if !slices.Equal(h.asked, want) {
			t.Errorf("%s: %q", address, h.asked)
		}
		if err := r.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(h.closed, []bool{true}) {
			t.Errorf("%s: closed %v", address, h.closed)
		}
		_, err = b.Receiver(t.Context(), address, bus.ReceiverOptions{Filters: []bus.Filter{{Name: "f"}, {Name: "g"}}})
		condition(t, err, bus.NotImplemented)
	}
	if len(c.Statistics().Queues) != 0 {
		t.Errorf("queues were made: %+v", c.Statistics().Queues)
	}
	if _, err := b.Receiver(t.Context(), "a.none", bus.ReceiverOptions{}); !clacks.IsKind(err, clacks.NotFound) {
		t.Errorf("the refusal of a handler: %v", err)
	}
	lost := receiver(t, b, "a.lost", bus.ReceiverOptions{})
	b.Abort()
	if !slices.Equal(short.closed, []bool{true, true, false}) {
		t.Errorf("a lost link was closed as %v", short.closed)
	}
	if _, err := lost.Receive(t.Context()); !clacks.IsKind(err, clacks.Unavailable) {
		t.Errorf("%v", err)
	}
}

// A handler that uses the container while it is asked must not wait for a lock that its caller holds.
func TestNoLockIsHeldWhileAHandlerRuns(t *testing.T) {
	c := make1(t, container.Options{})
	c.Handle("outer", &relay{c})
	b := c.Connect(peer("ann"))
	send(t, sender(t, b, "outer"), "1")
	expect(t, receiver(t, b, "inner", bus.ReceiverOptions{}), "1")
}

// relay sends what it gets to "inner", by the container that calls it.
type relay struct{ c *container.Container }

func (r *relay) Source(context.Context, bus.SourceRequest) (bus.Source, error) {
	return nil, errors.New("nothing is read here")
}

func (r *relay) Target(ctx context.Context, q bus.TargetRequest) (bus.Target, error) {
	_ = r.c.Statistics()
	return r.c.Target(ctx, bus.TargetRequest{Peer: q.Peer, Address: "inner"})
}

func TestRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := container.New(container.AllowAll{}, container.Options{})
		defer c.Close()
		b := c.Connect(peer("ann"))
		s, r := sender(t, b, "q"), receiver(t, b, "q", bus.ReceiverOptions{})
		for range 20 {
			send(t, s, "1", "2")
			if err := receive(t, r).Accept(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(500 * time.Millisecond)
		}
		if q := queueOf(t, c, "q"); q.InRate != 4 || q.OutRate != 2 || q.Consumers != 1 || q.Producers != 1 {
			t.Errorf("%+v", q)
		}
		time.Sleep(time.Minute)
		if q := queueOf(t, c, "q"); q.InRate != 0 || q.OutRate != 0 {
			t.Errorf("%+v", q)
		}
		messages := map[bool]uint64{}
		for _, l := range c.Statistics().Links {
			messages[l.Receiving] += l.Messages
		}
		if messages[false] != 40 || messages[true] != 20 {
			t.Errorf("%+v", messages)
		}
	})
}

func TestDelete(t *testing.T) {
	c := make1(t, container.Options{})
	b := c.Connect(peer("ann"))
	if err := c.Declare("q", container.Settings{MaxMessages: 2}); err != nil {
		t.Fatal(err)
	}
	s, r := sender(t, b, "q"), receiver(t, b, "q", bus.ReceiverOptions{})
	send(t, s, "1", "2")
	condition(t, s.Send(t.Context(), text("3")), bus.LimitExceeded)
	if err := c.Declare("q", container.Settings{MaxMessages: 3}); err != nil {
		t.Fatal(err)
	}
	send(t, s, "3") // what is declared again keeps its messages
	held := expect(t, r, "1")
	if !c.Delete("q") || c.Delete("q") {
		t.Error("a queue was not there, or twice")
	}
	_, err := r.Receive(t.Context())
	condition(t, err, bus.ResourceDeleted)
	condition(t, s.Send(t.Context(), text("4")), bus.ResourceDeleted)
	if err := held.Accept(t.Context()); err != nil {
		t.Errorf("what is held can be settled still: %v", err)
	}
	if s := c.Statistics(); s.Bytes != 0 || s.Totals.Deleted != 2 || s.Totals.In != 3 {
		t.Errorf("%+v", s)
	}
	if err := c.Declare("", container.Settings{}); err == nil {
		t.Error("a queue without an address was declared")
	}
}

// Queues and links that wait are memory, not goroutines.
func TestManyQueuesAndLinksCostLittle(t *testing.T) {
	c := make1(t, container.Options{})
	b := c.Connect(peer("ann"))
	goroutines := runtime.NumGoroutine()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	const count = 5000
	for i := range count {
		receiver(t, b, fmt.Sprint("q", i), bus.ReceiverOptions{})
		sender(t, b, fmt.Sprint("q", i))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if n := runtime.NumGoroutine() - goroutines; n > 10 {
		t.Errorf("%d goroutines for %d queues", n, count)
	}
	if each := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / count; each > 6<<10 {
		t.Errorf("%d bytes for a queue with two links", each)
	}
	if s := c.Statistics(); len(s.Queues) != count || len(s.Links) != 2*count {
		t.Errorf("%d queues, %d links", len(s.Queues), len(s.Links))
	}
}

func TestRulesCover(t *testing.T) {
	for _, test := range []struct {
		rule, address string
		covers        bool
	}{
		{"*", "a.b", true}, {"*", "*", true}, {"*", "a.*", true}, {"a.*", "a.b", true}, {"a.*", "a.b.*", true}, {"a.*", "a.*", true},
		{"a.*", "a*", false}, {"a.*", "*", false}, {"a.b", "a.b", true}, {"a.b", "a.b*", false}, {"a.b", "a.bc", false},
	} {
		if got := (container.Rule{Address: test.rule}).Covers(test.address); got != test.covers {
			t.Errorf("%q covers %q: %t", test.rule, test.address, got)
		}
	}
}
