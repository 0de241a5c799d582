package eventclient_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"clacks"
	"clacks/access"
	"clacks/bus"
	"clacks/bus/container"
	"clacks/bus/listener"
	"clacks/bus/remote"
	"clacks/rpc/busd"
	"clacks/rpc/busevents"
	"clacks/rpc/eventclient"
)

const names = bus.Names("org.clacks")

var silent = slog.New(slog.DiscardHandler)

// onBus puts the event log and the commands of a service on nodes of its own.
func (d *door) onBus(t *testing.T) *container.Container {
	t.Helper()
	nodes := container.New(container.AllowAll{}, container.Options{Log: silent})
	t.Cleanup(nodes.Close)
	busevents.Register(nodes, names, d.log, nil, silent)
	agent := nodes.Connect(bus.Peer{User: access.User{ID: "agent:one", Admin: true}, Container: "one", Connection: "this process"})
	users := func(_ context.Context, name string) (access.User, error) {
		return everybody{}.Authenticate(t.Context(), name, "")
	}
	commands, err := busd.New(busd.Options{Registry: d.registry, Bus: agent, Names: names, Node: "one", Users: users, UserID: "agent:one",
		Nodes: busd.NewSQLNodes(d.state), Secret: []byte(strings.Repeat("k", 32)), Log: silent})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		commands.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	for commands.Ready() != nil {
		time.Sleep(time.Millisecond)
	}
	return nodes
}

// port is the AMQP port in front of nodes, behind a proxy whose connections can be cut.
type port struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
}

func (everybody) Certificate(context.Context, *x509.Certificate) (access.User, error) {
	return access.User{}, errors.New("no certificates here")
}

func listen(t *testing.T, nodes *container.Container) *port {
	t.Helper()
	server, err := listener.New(listener.Options{Nodes: nodes, Auth: everybody{}, Log: silent})
	if err != nil {
		t.Fatal(err)
	}
	behind, front := loopback(t), loopback(t)
	done := make(chan error, 1)
	go func() { done <- server.Serve(behind) }()
	p := &port{Listener: front}
	go p.pass(behind.Addr().String())
	t.Cleanup(func() {
		_ = front.Close()
		p.cut()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = server.Shutdown(ctx)
		if err := <-done; !errors.Is(err, listener.ErrClosed) {
			t.Error(err)
		}
	})
	return p
}

func loopback(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (p *port) pass(to string) {
	for {
		in, err := p.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", to)
		if err != nil {
			_ = in.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, in, out)
		p.mu.Unlock()
		for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
			go func() {
				_, _ = io.Copy(pair[0], pair[1])
				_ = pair[0].Close()
			}()
		}
	}
}

func (p *port) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

func clientOn(t *testing.T, b bus.Bus, user string, options ...eventclient.Option) *eventclient.Client {
	t.Helper()
	options = append([]eventclient.Option{eventclient.WithPauses(time.Millisecond, 10*time.Millisecond)}, options...)
	c := eventclient.New(eventclient.AMQP(b, eventclient.AMQPOptions{User: user}), options...)
	t.Cleanup(c.Close)
	return c
}

func dial(t *testing.T, p *port, user string) bus.Bus {
	t.Helper()
	b, err := remote.Dial(t.Context(), remote.Options{URL: "amqp://" + p.Addr().String(), User: user, Password: "x", Log: silent,
		BackoffMin: time.Millisecond, BackoffMax: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = b.Close(ctx)
	})
	return b
}

func TestOverAMQP(t *testing.T) {
	for name, connect := range map[string]func(t *testing.T, nodes *container.Container, user string) bus.Bus{
		"in process": func(_ *testing.T, nodes *container.Container, user string) bus.Bus {
			return nodes.Connect(bus.Peer{User: access.User{ID: user, Admin: user == "admin"}, Container: user, Connection: user})
		},
		"over a wire": func(t *testing.T, nodes *container.Container, user string) bus.Bus {
			return dial(t, listen(t, nodes), user)
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t)
			nodes := d.onBus(t)
			testOnBus(t, d, clientOn(t, connect(t, nodes, "admin"), "admin"), clientOn(t, connect(t, nodes, "jane"), "jane"))
		})
	}
}

func testOnBus(t *testing.T, d *door, c, jane *eventclient.Client) {
	d.send(t, 2)
	byType, byQuery, replayed := newCounter(), newCounter(), newCounter()
	for _, r := range []struct {
		selector string
		into     *counter
		options  []eventclient.RegisterOption
	}{
		{"BackendChange", byType, nil}, {`Event/Delivery[Number > 2]`, byQuery, nil},
		{"BackendChange", replayed, []eventclient.RegisterOption{eventclient.Behind(1)}},
	} {
		if _, err := c.Register(t.Context(), r.selector, r.into.callback, r.options...); err != nil {
			t.Fatal(err)
		}
	}
	d.send(t, 1)
	for number := range 4 {
		if _, err := c.Emit(t.Context(), "Delivery", eventclient.Attribute("priority", 1),
			eventclient.Element("When", time.Now()), eventclient.Element("Number", number+1)); err != nil {
			t.Fatal(err)
		}
	}
	d.send(t, 1)
	for what, test := range map[string]struct {
		counter *counter
		want    []int64
	}{"type": {byType, []int64{3, 8}}, "query": {byQuery, []int64{6, 7}}, "replay": {replayed, []int64{2, 3, 8}}} {
		if got := test.counter.await(t, test.want[len(test.want)-1]); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v", what, got)
		}
	}
	_, err := c.Register(t.Context(), "Event/(", byType.callback)
	if !clacks.IsKind(err, clacks.Invalid) || !strings.Contains(err.Error(), "line 1, column") {
		t.Error(err)
	}
	if _, err := c.Register(t.Context(), "Deliverie", byType.callback); !clacks.IsKind(err, clacks.NotFound) || !strings.Contains(err.Error(), `"Delivery"`) {
		t.Error(err)
	}
	if _, err := c.EmitDocument(t.Context(), []byte("<Event/>")); !clacks.IsKind(err, clacks.Invalid) {
		t.Error(err)
	}
	if _, err := jane.EmitDocument(t.Context(), []byte(backendChange)); !clacks.IsKind(err, clacks.Denied) {
		t.Error(err)
	}
	if _, err := c.EmitDocument(t.Context(), []byte(backendChange)); err != nil {
		t.Error(err)
	}
}

// A wire that is cut while events are committed costs nothing and doubles nothing.
func TestOverAMQPThatBreaks(t *testing.T) {
	d := open(t)
	p := listen(t, d.onBus(t))
	c := clientOn(t, dial(t, p, "admin"), "admin", noTroubles(t))
	counters := make([]*counter, 3)
	for i := range counters {
		counters[i] = newCounter()
		selector := []string{"BackendChange", "Event/BackendChange", "/Event[BackendChange]"}[i]
		if _, err := c.Register(t.Context(), selector, counters[i].callback); err != nil {
			t.Fatal(err)
		}
	}
	const n = 300
	var want []int64
	for i := range n {
		if i%40 == 0 {
			p.cut()
		}
		d.send(t, 1)
		want = append(want, int64(i+1))
	}
	for i, counter := range counters {
		if got := counter.await(t, n); !slices.Equal(got, want) {
			t.Errorf("%d: %v", i, got)
		}
	}
}

func ExampleAMQP() {
	ctx := context.Background()
	b, err := remote.Dial(ctx, remote.Options{URL: "amqp://127.0.0.1:5672", User: "admin", Password: "secret"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = b.Close(ctx) }()
	c := eventclient.New(eventclient.AMQP(b, eventclient.AMQPOptions{User: "admin"}))
	defer c.Close()
	_, err = c.Register(ctx, "ObjectChanged", func(_ context.Context, e eventclient.Event) error {
		fmt.Println(e.Sequence, string(e.Document))
		return nil
	})
	if err != nil {
		fmt.Println(err)
	}
}
