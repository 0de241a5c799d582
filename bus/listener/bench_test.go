package listener_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/go-amqp"

	"clacks/bus"
	"clacks/bus/container"
	"clacks/bus/listener"
)

// withContainer gives the listener the nodes of a real container.
func withContainer(t testing.TB) (*container.Container, func(*listener.Options)) {
	nodes := container.New(container.AllowAll{}, container.Options{})
	t.Cleanup(nodes.Close)
	return nodes, func(o *listener.Options) { o.Nodes = nodes }
}

// BenchmarkRPC is a request and its reply over sockets on both sides: client and responder are go-amqp, each client has a
// connection of its own.
func BenchmarkRPC(b *testing.B) {
	b.Run("1", func(b *testing.B) { benchRPC(b, 1) })
	b.Run("16", func(b *testing.B) { benchRPC(b, 16) })
}

func benchRPC(b *testing.B, clients int) {
	_, change := withContainer(b)
	s := serve(b, change)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	answer(ctx, b, s)
	var wait sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(b.N))
	calls := make([]func() error, clients)
	for i := range calls {
		calls[i] = caller(ctx, b, s)
	}
	b.ResetTimer()
	for _, call := range calls {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for left.Add(-1) >= 0 {
				if err := call(); err != nil {
					b.Error(err)
					return
				}
			}
		}()
	}
	wait.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}

// answer is a responder with the credit of an agent.
func answer(ctx context.Context, b *testing.B, s *served) {
	link := session(b, s.dial(b, nil))
	requests, err := link.NewReceiver(ctx, "requests", &amqp.ReceiverOptions{Credit: 64})
	if err != nil {
		b.Fatal(err)
	}
	replies, err := link.NewSender(ctx, "", nil)
	if err != nil {
		b.Fatal(err)
	}
	work := make(chan *amqp.Message)
	for range 16 {
		go func() {
			for m := range work {
				_ = replies.Send(ctx, &amqp.Message{
					Properties: &amqp.MessageProperties{To: m.Properties.ReplyTo, CorrelationID: m.Properties.MessageID}, Data: m.Data,
				}, nil)
				_ = requests.AcceptMessage(ctx, m)
			}
		}()
	}
	go func() {
		defer close(work)
		for {
			m, err := requests.Receive(ctx, nil)
			if err != nil {
				return
			}
			work <- m
		}
	}()
}

// caller is a client: it sends a request and waits for the reply.
func caller(ctx context.Context, b *testing.B, s *served) func() error {
	link := session(b, s.dial(b, nil))
	replies, err := link.NewReceiver(ctx, "", &amqp.ReceiverOptions{DynamicAddress: true})
	if err != nil {
		b.Fatal(err)
	}
	requests, err := link.NewSender(ctx, "requests", nil)
	if err != nil {
		b.Fatal(err)
	}
	address := replies.Address()
	body := [][]byte{[]byte(`{"id":1,"method":"getObject","params":["x"]}`)}
	id := uint64(0)
	return func() error {
		id++
		m := &amqp.Message{Properties: &amqp.MessageProperties{ReplyTo: &address, MessageID: id}, Data: body}
		if err := requests.Send(ctx, m, nil); err != nil {
			return err
		}
		reply, err := replies.Receive(ctx, nil)
		if err != nil {
			return err
		}
		return replies.AcceptMessage(ctx, reply)
	}
}

// fan is a node whose messages go to all its receivers.
type fan struct {
	mu      sync.Mutex
	sources []*branch
}

type branch struct {
	messages chan *bus.Message
}

func (f *fan) Source(context.Context, bus.SourceRequest) (bus.Source, error) {
	s := &branch{messages: make(chan *bus.Message, 1024)}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sources = append(f.sources, s)
	return s, nil
}

func (f *fan) Target(context.Context, bus.TargetRequest) (bus.Target, error) {
	return nil, &bus.Condition{Name: bus.NotAllowed}
}

func (f *fan) put(m *bus.Message) {
	for _, s := range f.sources {
		s.messages <- m
	}
}

func (s *branch) Next(ctx context.Context) (*bus.Delivery, error) {
	select {
	case m := <-s.messages:
		return bus.NewDelivery(m, nil), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *branch) Ready() (*bus.Delivery, error) {
	select {
	case m := <-s.messages:
		return bus.NewDelivery(m, nil), nil
	default:
		return nil, nil
	}
}

func (s *branch) Applied() []bus.Filter { return nil }
func (s *branch) Close(bool)            {}

// BenchmarkFanOut is one message to 100 subscribers, each with a connection of its own; an operation is one message, thus 100
// deliveries, all of them received and accepted.
func BenchmarkFanOut(b *testing.B) {
	const subscribers = 100
	node := &fan{}
	s := serve(b, func(o *listener.Options) { o.Nodes = node })
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	var wait sync.WaitGroup
	for range subscribers {
		receiver, err := session(b, s.dial(b, nil)).NewReceiver(ctx, "events", &amqp.ReceiverOptions{Credit: 200})
		if err != nil {
			b.Fatal(err)
		}
		wait.Add(1)
		go func() {
			defer wait.Done()
			for range b.N {
				m, err := receiver.Receive(ctx, nil)
				if err != nil {
					b.Error(err)
					return
				}
				if err := receiver.AcceptMessage(ctx, m); err != nil {
					b.Error(err)
					return
				}
			}
		}()
	}
	m := &bus.Message{
		Properties: bus.Properties{ContentType: "application/xml", Created: time.Now()}, Body: make([]byte, 600),
		Application: map[string]any{"type": "ObjectChanged", "sequence": int64(17)},
	}
	b.ResetTimer()
	for range b.N {
		node.put(m)
	}
	wait.Wait()
	b.StopTimer()
	b.ReportMetric(subscribers*float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
}
