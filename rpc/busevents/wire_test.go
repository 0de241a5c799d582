package busevents_test

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net"
	"testing"
	"time"

	"clacks"
	"clacks/access"
	"clacks/bus"
	"clacks/bus/listener"
	"clacks/bus/remote"
	"clacks/events"
	"clacks/rpc/busevents"
)

// people log in with their names as passwords.
type people map[string]access.User

func (p people) Authenticate(_ context.Context, name, password string) (access.User, error) {
	if user, ok := p[name]; ok && name == password {
		return user, nil
	}
	return access.User{}, clacks.E(clacks.Unauthenticated, "test", "wrong password")
}

func (p people) Certificate(context.Context, *x509.Certificate) (access.User, error) {
	return access.User{}, clacks.E(clacks.Unauthenticated, "test", "no certificates")
}

// serve runs a listener before an agent's nodes, and gives a function that dials it.
func serve(t *testing.T, a *agent) func(user string) bus.Bus {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	l, err := listener.New(listener.Options{Nodes: a.nodes, Auth: people{"admin": admin, "ann": ann}, Log: quiet})
	must(t, err)
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = l.Serve(socket) // ends with Shutdown
	}()
	within := func() (context.Context, context.CancelFunc) {
		return context.WithTimeout(context.Background(), 10*time.Second)
	}
	t.Cleanup(func() {
		ctx, cancel := within()
		defer cancel()
		_ = l.Shutdown(ctx)
		<-ended
	})
	return func(user string) bus.Bus {
		t.Helper()
		b, err := remote.Dial(t.Context(), remote.Options{URL: "amqp://" + socket.Addr().String(), User: user, Password: user, Log: quiet})
		must(t, err)
		t.Cleanup(func() {
			ctx, cancel := within()
			defer cancel()
			_ = b.Close(ctx)
		})
		return b
	}
}

// Over a wire: filters with numeric and symbolic descriptors, rights, refusals, a client's own events.
func TestEventsOverAMQP(t *testing.T) {
	a := newAgent(t, "sqlite::memory:")
	dial := serve(t, a)
	b := dial("admin")
	a.commit(3)
	symbolic := receiver(t, b, "org.clacks.events", bus.ReceiverOptions{Filters: []bus.Filter{
		{Name: "query", Descriptor: busevents.QueryFilter, Value: `$sequence mod 2 = 0`}, {Name: "from", Descriptor: busevents.FromFilter, Value: int64(1)},
	}})
	numeric := receiver(t, b, "org.clacks.events", bus.ReceiverOptions{Filters: []bus.Filter{
		{Name: "apache.org:xquery-filter:string", Code: busevents.QueryFilterCode, Value: `Event/ObjectChanged/Sequence = 4`},
	}})
	own := receiver(t, dial("ann"), "org.clacks.events", bus.ReceiverOptions{})
	a.commit(2)
	for r, sequences := range map[bus.Receiver][]int64{symbolic: {2, 4}, numeric: {4}, own: {4}} {
		for _, sequence := range sequences {
			must(t, expect(t, r, sequence).Accept(t.Context()))
		}
	}
	for _, filter := range []bus.Filter{
		{Name: "q", Descriptor: busevents.QueryFilter, Value: "Event["},
		{Name: "q", Descriptor: "apache.org:selector-filter:string", Value: "a = 1"},
	} {
		if _, err := b.Receiver(t.Context(), "org.clacks.events", bus.ReceiverOptions{Filters: []bus.Filter{filter}}); err == nil {
			t.Errorf("%+v is accepted", filter)
		}
	}
	s, err := b.Sender(t.Context(), "org.clacks.events", bus.SenderOptions{})
	must(t, err)
	err = s.Send(t.Context(), &bus.Message{Body: []byte(`<Event xmlns="http://www.gonicus.de/Events"><NodeLeave/></Event>`)})
	if c := bus.ConditionOf(err); c.Name != bus.InvalidField || c.Description == "" {
		t.Errorf("a wrong event: %v", err)
	}
	must(t, s.Send(t.Context(), &bus.Message{Text: true, Body: []byte(`<Event xmlns="http://www.gonicus.de/Events"><NodeLeave><Id>n</Id></NodeLeave></Event>`)}))
	if m := expect(t, symbolic, 6).Message; m.Properties.Subject != "NodeLeave" || string(m.Body) != `<Event xmlns="http://www.gonicus.de/Events"><NodeLeave><Id>n</Id></NodeLeave></Event>` {
		t.Errorf("%+v %s", m.Properties, m.Body)
	}
}

// A durable subscription over connections that come and go.
func TestDurableSubscriptionOverAMQP(t *testing.T) {
	a := newAgent(t, "sqlite::memory:")
	dial := serve(t, a)
	address := names.Subscription(a.subscribe(admin, events.SubscriptionRequest{Durable: true}))
	a.commit(6)
	first := dial("admin")
	r := receiver(t, first, address, bus.ReceiverOptions{Credit: 3})
	must(t, expect(t, r, 1).Accept(t.Context()))
	must(t, expect(t, r, 2).Release(t.Context()))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	must(t, first.Close(ctx))
	r = receiver(t, dial("admin"), address, bus.ReceiverOptions{})
	for _, sequence := range []int64{2, 3, 4, 5, 6} {
		must(t, expect(t, r, sequence).Accept(t.Context()))
	}
	if _, err := dial("ann").Receiver(t.Context(), address, bus.ReceiverOptions{}); bus.ConditionOf(err).Name != bus.NotFound {
		t.Errorf("another user: %v", err)
	}
}
