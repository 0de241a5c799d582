// Package bustest is the suite that every Bus passes: what stands in bus.go, tried out. A transport's test calls Run with how
// it connects and with what its broker cannot do; what a broker cannot do is told by a refusal, and that is tested, too.
//
//	Run ── a subtest a promise ── Transport.Connect ── Bus ── a queue of the subtest's own
package bustest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"clacks/bus"
)

// Transport is what the suite runs on.
type Transport struct {
	// Connect makes a connection of its own for a user; it is closed by the suite.
	Connect func(t testing.TB) bus.Bus
	// Lose cuts a connection that Connect made, as a cable would.
	Lose func(t testing.TB, b bus.Bus)
	// Restart takes the server down and up again; nil when it cannot be. Queues that are Durable survive it when the
	// transport is Durable.
	Restart func(t testing.TB)
	// Refused are addresses whose attach is refused, for receivers, with the condition of each.
	Refused map[string]string
	// Full is the address of a queue that holds one message and refuses more; "" when there is none.
	Full string
	Capabilities
}

// Capabilities are what not every broker can do.
type Capabilities struct {
	Dynamic       bool // dynamic nodes
	Drain         bool
	Filters       bool // a filter that is not applied is not echoed; else it is refused before
	DeliveryCount bool // failed deliveries are counted, and what is given back comes to its old place
	Annotations   bool // modified adds annotations, and elsewhere is honoured
	Durable       bool // durable queues outlive the server
	ComesBack     bool // a connection that is lost is made again
}

// Run runs the suite.
func Run(t *testing.T, transport Transport) {
	s := &suite{transport}
	for _, test := range []struct {
		name string
		run  func(t *testing.T)
	}{
		{"messages arrive in order", s.order},
		{"messages arrive as they were", s.fidelity},
		{"large messages", s.large},
		{"credit", s.credit},
		{"manual credit", s.manual},
		{"drain", s.drain},
		{"outcomes", s.outcomes},
		{"modified", s.modified},
		{"a refused message", s.refusedMessage},
		{"a refused link", s.refusedLink},
		{"filters that are not applied", s.filters},
		{"settled", s.settled},
		{"competing receivers", s.competing},
		{"many at once", s.many},
		{"an interrupted receive", s.interrupted},
		{"a lost receiver", s.lost},
		{"requests", s.requests},
		{"the anonymous node", s.anonymous},
		{"dynamic nodes", s.dynamic},
		{"close", s.closing},
		{"a loss", s.loss},
		{"a restart", s.restart},
	} {
		t.Run(test.name, test.run)
	}
}

type suite struct{ Transport }

// patience bounds what has to happen; it only ends a test that has failed already. moment is how long the suite looks for
// something that must not happen.
const (
	patience = time.Minute
	moment   = 50 * time.Millisecond
)

// connect is a connection for one test.
func (s *suite) connect(t *testing.T) bus.Bus {
	t.Helper()
	b := s.Connect(t)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := b.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return b
}

// within is the time of one step.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// name is an address that nobody else uses.
func name() string { return "test." + rand.Text() }

// queue makes a queue: not every broker lets a sender do so.
func queue(t *testing.T, b bus.Bus) string {
	t.Helper()
	address := name()
	r := receiver(t, b, address, bus.ReceiverOptions{})
	if err := r.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	return address
}

func receiver(t *testing.T, b bus.Bus, address string, options bus.ReceiverOptions) bus.Receiver {
	t.Helper()
	r, err := b.Receiver(within(t), address, options)
	if err != nil {
		t.Fatalf("receiver of %q: %v", address, err)
	}
	return r
}

func sender(t *testing.T, b bus.Bus, address string) bus.Sender {
	t.Helper()
	s, err := b.Sender(within(t), address, bus.SenderOptions{})
	if err != nil {
		t.Fatalf("sender to %q: %v", address, err)
	}
	return s
}

func send(t *testing.T, s bus.Sender, bodies ...string) {
	t.Helper()
	for _, body := range bodies {
		if err := s.Send(within(t), &bus.Message{Body: []byte(body)}); err != nil {
			t.Fatalf("send %s: %v", body, err)
		}
	}
}

func receive(t *testing.T, r bus.Receiver) *bus.Delivery {
	t.Helper()
	d, err := r.Receive(within(t))
	if err != nil {
		t.Fatalf("receive: %v", err)
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

func accept(t *testing.T, d *bus.Delivery) {
	t.Helper()
	if err := d.Accept(within(t)); err != nil {
		t.Fatalf("accept: %v", err)
	}
}

// perhaps is a delivery that may or may not be there.
func perhaps(t *testing.T, r bus.Receiver) *bus.Delivery {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), moment)
	defer cancel()
	d, err := r.Receive(ctx)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("receive: %v", err)
	}
	return d
}

// nothing makes sure that no delivery comes.
func nothing(t *testing.T, r bus.Receiver) {
	t.Helper()
	if d := perhaps(t, r); d != nil {
		t.Fatalf("%s was delivered", d.Message.Body)
	}
}

func condition(t *testing.T, err error, name string) {
	t.Helper()
	var c *bus.Condition
	if !errors.As(err, &c) || c.Name != name {
		t.Fatalf("%v, want %s", err, name)
	}
}

func (s *suite) order(t *testing.T) {
	b := s.connect(t)
	address := queue(t, b)
	out := sender(t, b, address)
	for i := range 100 {
		send(t, out, fmt.Sprint(i))
	}
	in := receiver(t, b, address, bus.ReceiverOptions{})
	if in.Address() != address || out.Address() != address {
		t.Errorf("addresses %q and %q, want %q", in.Address(), out.Address(), address)
	}
	for i := range 100 {
		accept(t, expect(t, in, fmt.Sprint(i)))
	}
}

func (s *suite) fidelity(t *testing.T) {
	b := s.connect(t)
	address := queue(t, b)
	in, out := receiver(t, b, address, bus.ReceiverOptions{}), sender(t, b, address)
	sequence := uint32(7)
	now := time.UnixMilli(time.Now().UnixMilli()).UTC()
	for i, id := range []any{"text", uint64(1) << 60, []byte{0, 1, 255}, bus.UUID{1, 2, 3, 15: 4}, nil} {
		m := &bus.Message{
			Header: bus.Header{Durable: true, Priority: 6},
			Properties: bus.Properties{
				MessageID: id, CorrelationID: id, To: address, Subject: "subject", ReplyTo: "reply",
				ContentType: "text/plain", Encoding: "gzip", Expiry: now.Add(time.Hour), Created: now,
				GroupID: "group", GroupSequence: &sequence, ReplyToGroup: "other",
			},
			Application: map[string]any{
				"string": "ü", "bool": true, "int": int32(-5), "long": int64(-1) << 60, "ulong": uint64(1) << 63, "double": 0.5, "null": nil,
				"bytes": []byte{1, 2}, "time": now, "uuid": bus.UUID{9}, "symbol": bus.Symbol("sym"),
			},
			Annotations: map[string]any{"x-opt-note": "kept"},
			Body:        []byte{0, 1, 2, 255},
		}
		if i == 0 {
			m.Body, m.Text = []byte("täxt"), true
		}
		if err := out.Send(within(t), m); err != nil {
			t.Fatal(err)
		}
		d := receive(t, in)
		same(t, d.Message, m)
		accept(t, d)
	}
	value := &bus.Message{Value: map[any]any{"list": []any{int64(1), "two", true}, int64(3): bus.Symbol("three")}}
	if err := out.Send(within(t), value); err != nil {
		t.Fatal(err)
	}
	d := receive(t, in)
	if got, want := fmt.Sprint(d.Message.Value), fmt.Sprint(value.Value); got != want {
		t.Errorf("a body of values: %s, want %s", got, want)
	}
	accept(t, d)
}

// same compares what has to survive the way.
func same(t *testing.T, got, want *bus.Message) {
	t.Helper()
	g, w := got.Properties, want.Properties
	if !g.Expiry.Equal(w.Expiry) || !g.Created.Equal(w.Created) {
		t.Errorf("times %v, %v; want %v, %v", g.Expiry, g.Created, w.Expiry, w.Created)
	}
	g.Expiry, g.Created, w.Expiry, w.Created = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	if g.GroupSequence == nil || *g.GroupSequence != *w.GroupSequence {
		t.Errorf("group sequence %v", g.GroupSequence)
	}
	g.GroupSequence, w.GroupSequence = nil, nil
	if fmt.Sprintf("%#v", g) != fmt.Sprintf("%#v", w) {
		t.Errorf("properties\n got %#v\nwant %#v", g, w)
	}
	if len(got.Application) != len(want.Application) {
		t.Errorf("application properties %v", got.Application)
	}
	for key, value := range want.Application {
		if at, ok := value.(time.Time); ok {
			if other, ok := got.Application[key].(time.Time); !ok || !other.Equal(at) {
				t.Errorf("%s: %v, want %v", key, got.Application[key], at)
			}
		} else if fmt.Sprintf("%#v", got.Application[key]) != fmt.Sprintf("%#v", value) {
			t.Errorf("%s: %#v, want %#v", key, got.Application[key], value)
		}
	}
	if !bytes.Equal(got.Body, want.Body) || got.Text != want.Text || got.Value != nil {
		t.Errorf("body %q (text %v, value %v), want %q (text %v)", got.Body, got.Text, got.Value, want.Body, want.Text)
	}
	if got.Annotations["x-opt-note"] != "kept" || !got.Header.Durable || got.Header.Priority != 6 {
		t.Errorf("annotations %v, header %+v", got.Annotations, got.Header)
	}
}

func (s *suite) large(t *testing.T) {
	b := s.connect(t)
	address := queue(t, b)
	in, out := receiver(t, b, address, bus.ReceiverOptions{}), sender(t, b, address)
	body := bytes.Repeat([]byte("0123456789abcde\n"), 1<<16) // 1 MiB: more than any frame
	for range 3 {
		if err := out.Send(within(t), &bus.Message{Body: body}); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		d := receive(t, in)
		if !bytes.Equal(d.Message.Body, body) {
			t.Errorf("%d bytes came, and others than were sent", len(d.Message.Body))
		}
		accept(t, d)
	}
}

func (s *suite) refusedMessage(t *testing.T) {
	if s.Full == "" {
		t.Skip("this transport has no queue that refuses")
	}
	b := s.connect(t)
	out := sender(t, b, s.Full)
	send(t, out, "fits")
	condition(t, out.Send(within(t), &bus.Message{Body: []byte("does not")}), bus.LimitExceeded)
	in := receiver(t, b, s.Full, bus.ReceiverOptions{})
	accept(t, expect(t, in, "fits"))
	// The refusal of a message is not the end of its link. When the queue learns of an outcome is its transport's business.
	eventually(t, "a message when there is room", func() error {
		return out.Send(within(t), &bus.Message{Body: []byte("fits again")})
	})
	accept(t, expect(t, in, "fits again"))
}

func (s *suite) refusedLink(t *testing.T) {
	b := s.connect(t)
	address := queue(t, b)
	in, out := receiver(t, b, address, bus.ReceiverOptions{}), sender(t, b, address)
	for address, want := range s.Refused {
		_, err := b.Receiver(within(t), address, bus.ReceiverOptions{})
		condition(t, err, want)
	}
	send(t, out, "1") // nobody else notices
	accept(t, expect(t, in, "1"))
}

func (s *suite) filters(t *testing.T) {
	b := s.connect(t)
	filter := bus.Filter{Name: "no.such:filter", Descriptor: "no.such:filter", Value: "x"}
	_, err := b.Receiver(within(t), queue(t, b), bus.ReceiverOptions{Filters: []bus.Filter{filter}})
	condition(t, err, bus.NotImplemented)
	if !strings.Contains(err.Error(), "filter") {
		t.Errorf("%v", err)
	}
}
