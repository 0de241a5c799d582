package busevents_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"clacks/bus"
	"clacks/bus/container"
	"clacks/bus/remote"
	"clacks/events"
	"clacks/internal/testservers"
	"clacks/rpc/busevents"
)

// relaying runs an agent's relay until the test ends or it is killed.
type relaying struct {
	agent  *agent
	broker *container.Connection
	stop   context.CancelFunc
	done   chan struct{}
}

const testLease = 400 * time.Millisecond

func relayOf(a *agent, node string, b bus.Bus) (stop context.CancelFunc, done chan struct{}) {
	ctx, cancel := context.WithCancel(context.Background())
	done = make(chan struct{})
	relay := busevents.NewRelay(busevents.RelayOptions{
		Log: a.log, Kept: a.kept, Bus: b, Names: names, Node: node, Lease: testLease, Look: 5 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	})
	go func() { defer close(done); relay.Run(ctx) }()
	a.t.Cleanup(func() { cancel(); <-done })
	return cancel, done
}

func startRelay(t *testing.T, url, node string, broker *container.Container) *relaying {
	a := newAgent(t, url)
	r := &relaying{agent: a, broker: broker.Connect(bus.Peer{User: admin, Container: node})}
	r.stop, r.done = relayOf(a, node, r.broker)
	return r
}

// kill lets an agent vanish as SIGKILL would: it reaches neither the broker nor the database any more.
func (r *relaying) kill() {
	r.broker.Abort()
	_ = r.agent.db.Close()
}

// senders are how many links are attached to a subscription's queue to send.
func senders(c *container.Container, address string) int {
	for _, q := range c.Statistics().Queues {
		if q.Address == address {
			return q.Producers
		}
	}
	return 0
}

// Two agents share a database and a broker. One of them relays; when it dies, the other goes on: nothing is skipped, and
// without what came twice the order is that of the log.
func TestRelayTakesOver(t *testing.T) {
	url := testservers.SharedPostgres(t).NewDatabase(t)
	broker := container.New(container.AllowAll{}, container.Options{Default: container.Settings{MaxMessages: 100_000}})
	defer broker.Close()
	writer := newAgent(t, url)
	durable := names.Subscription(writer.subscribe(admin, events.SubscriptionRequest{Durable: true, Name: "a"}))
	own := names.Subscription(writer.subscribe(ann, events.SubscriptionRequest{Durable: true, Name: "b"}))
	relays := []*relaying{startRelay(t, url, "one", broker), startRelay(t, url, "two", broker)}
	consumer := broker.Connect(bus.Peer{User: admin})
	all := receiver(t, consumer, durable, bus.ReceiverOptions{Credit: 500, Durable: true})
	few := receiver(t, consumer, own, bus.ReceiverOptions{Durable: true})

	const total = 600
	var group sync.WaitGroup
	group.Go(func() {
		for range total / 10 {
			writer.commit(10)
		}
	})
	seen := int64(0)
	killed := -1
	for seen < total {
		d := receive(t, all)
		sequence := d.Message.Application["sequence"].(int64)
		must(t, d.Accept(t.Context()))
		if sequence > seen+1 {
			t.Fatalf("%d came after %d", sequence, seen)
		}
		seen = max(seen, sequence)
		if seen == total/3 && killed < 0 {
			awaitOne(t, broker, durable)
			killed = holder(t, writer, relays)
			relays[killed].kill()
		}
	}
	group.Wait()
	for want := int64(1); want <= total; {
		d := receive(t, few)
		sequence := d.Message.Application["sequence"].(int64)
		must(t, d.Accept(t.Context()))
		if sequence > want {
			t.Fatalf("ann's events: %d came, not %d", sequence, want)
		}
		if sequence == want {
			want += 2 // every other event is of another's object
		}
	}
	awaitOne(t, broker, durable)
	if now := holder(t, writer, relays); now == killed {
		t.Error("the dead one holds the lease")
	}
}

// awaitOne waits until one agent relays a subscription: when the lease changes hands, the former holder may still be about to
// leave.
func awaitOne(t *testing.T, broker *container.Container, address string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for senders(broker, address) != 1 && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	if ctx.Err() != nil {
		t.Fatalf("%d relay at the same time", senders(broker, address))
	}
}

// holder is the index of the relay that holds the lease.
func holder(t *testing.T, a *agent, relays []*relaying) int {
	t.Helper()
	name := ""
	must(t, a.db.Query(t.Context(), `SELECT holder FROM clacks_leases`, nil, func(scan func(...any) error) error { return scan(&name) }))
	switch name {
	case "one":
		return 0
	case "two":
		return 1
	}
	t.Fatalf("the lease is held by %q", name)
	return -1
}

// A relay that ends in order gives the lease back: the other one need not wait for it to run out. Subscriptions that come and
// go are followed.
func TestRelayFollowsSubscriptions(t *testing.T) {
	a := newAgent(t, "sqlite::memory:")
	broker := container.New(container.AllowAll{}, container.Options{})
	defer broker.Close()
	b := broker.Connect(bus.Peer{User: admin})
	stop, done := relayOf(a, "one", b)
	consumer := broker.Connect(bus.Peer{User: admin})
	first := a.subscribe(admin, events.SubscriptionRequest{})
	r := receiver(t, consumer, names.Subscription(first), bus.ReceiverOptions{})
	a.commit(2)
	must(t, expect(t, r, 1).Accept(t.Context()))
	must(t, a.kept.Remove(t.Context(), admin, first))
	second := a.subscribe(admin, events.SubscriptionRequest{Durable: true, From: "2"})
	stop()
	<-done
	stop, done = relayOf(a, "two", b)
	defer func() { stop(); <-done }()
	r = receiver(t, consumer, names.Subscription(second), bus.ReceiverOptions{Durable: true})
	must(t, expect(t, r, 2).Accept(t.Context()))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for senders(broker, names.Subscription(first)) > 0 && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	if ctx.Err() != nil {
		t.Error("a subscription that is gone is relayed still")
	}
}

// The same over a real broker.
func TestRelayOverRabbitMQ(t *testing.T) {
	server := testservers.SharedRabbitMQ(t)
	a := newAgent(t, "sqlite::memory:")
	connect := func() bus.Bus {
		b, err := remote.Dial(t.Context(), remote.Options{URL: "amqp://" + server.Addr, User: server.User, Password: server.Password})
		must(t, err)
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			_ = b.Close(ctx)
		})
		return b
	}
	id := a.subscribe(admin, events.SubscriptionRequest{Durable: true})
	a.commit(5)
	relayOf(a, "one", connect())
	r := receiver(t, connect(), names.Subscription(id), bus.ReceiverOptions{Durable: true})
	for _, want := range []int64{1, 2, 3, 4, 5} {
		must(t, expect(t, r, want).Accept(t.Context()))
	}
}
