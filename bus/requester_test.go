package bus_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"clacks"
	"clacks/access"
	"clacks/bus"
	"clacks/bus/container"
)

// answering runs an agent that answers what it is sent with "re: " before it, until the test ends. "silence" is not answered,
// "wrong" is rejected.
func answering(t *testing.T, b bus.Bus, address string) {
	t.Helper()
	ctx := t.Context()
	r, err := b.Receiver(ctx, address, bus.ReceiverOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := b.Sender(ctx, "", bus.SenderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	t.Cleanup(group.Wait) // the context of the test ends before
	group.Go(func() {
		for {
			d, err := r.Receive(ctx)
			if err != nil {
				return
			}
			p := d.Message.Properties
			if text := string(d.Message.Body); text != "silence" {
				err = s.Send(ctx, &bus.Message{
					Body: []byte("re: " + text), Properties: bus.Properties{To: p.ReplyTo, CorrelationID: p.CorrelationID},
				})
			}
			if err == nil {
				err = d.Accept(ctx)
			}
			if err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	})
}

func connect(t *testing.T) (*container.Container, *container.Connection) {
	t.Helper()
	c := container.New(container.AllowAll{}, container.Options{})
	t.Cleanup(c.Close)
	return c, c.Connect(bus.Peer{User: access.User{ID: "ann"}})
}

func TestEachRequestGetsItsReply(t *testing.T) {
	_, b := connect(t)
	answering(t, b, "q")
	r, err := bus.NewRequester(t.Context(), b, "q", "org.clacks")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for i := range 50 {
		group.Go(func() {
			m := &bus.Message{Body: fmt.Append(nil, i)}
			reply, err := r.Request(t.Context(), m)
			if err != nil || string(reply.Body) != fmt.Sprint("re: ", i) {
				t.Errorf("%d: %v %v", i, reply, err)
			}
			if m.Properties.ReplyTo != "" || m.Properties.MessageID != nil {
				t.Error("the caller's message was changed")
			}
		})
	}
	group.Wait()
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Request(t.Context(), &bus.Message{}); !clacks.IsKind(err, clacks.Unavailable) {
		t.Errorf("after the end: %v", err)
	}
}

func TestARequestWithoutReplyIsInDoubt(t *testing.T) {
	c, b := connect(t)
	answering(t, b, "q")
	r, err := bus.NewRequester(t.Context(), b, "q", "org.clacks")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = r.Request(ctx, &bus.Message{Body: []byte("silence")})
	if !clacks.IsKind(err, clacks.InDoubt) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("no reply in time: %v", err)
	}
	failed := make(chan error, 1)
	go func() {
		_, err := r.Request(t.Context(), &bus.Message{Body: []byte("silence")})
		failed <- err
	}()
	for settled(c, "q") < 2 {
		time.Sleep(time.Millisecond)
	}
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; !clacks.IsKind(err, clacks.InDoubt) {
		t.Errorf("a request that waited when the requester closed: %v", err)
	}
}

// settled is how many messages of a queue were accepted.
func settled(c *container.Container, address string) uint64 {
	for _, q := range c.Statistics().Queues {
		if q.Address == address {
			return q.Counters.Accepted
		}
	}
	return 0
}

func TestARefusedRequestSaysWhy(t *testing.T) {
	c, b := connect(t)
	if err := c.Declare("full", container.Settings{MaxMessages: 1}); err != nil {
		t.Fatal(err)
	}
	r, err := bus.NewRequester(t.Context(), b, "full", "org.clacks")
	if err != nil {
		t.Fatal(err)
	}
	s, err := b.Sender(t.Context(), "full", bus.SenderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send(t.Context(), &bus.Message{}); err != nil {
		t.Fatal(err)
	}
	var refused *bus.Condition
	if _, err := r.Request(t.Context(), &bus.Message{}); !errors.As(err, &refused) || refused.Name != bus.LimitExceeded {
		t.Errorf("%v", err)
	}
}

// plain is a bus without dynamic nodes, whose receiver of replies is lost and found when a request asks for it.
type plain struct {
	bus.Bus
	address chan string
}

func (p *plain) Receiver(ctx context.Context, address string, options bus.ReceiverOptions) (bus.Receiver, error) {
	if options.Dynamic {
		return nil, &bus.Condition{Name: bus.NotImplemented}
	}
	p.address <- address
	return p.Bus.Receiver(ctx, address, options)
}

func TestRepliesComeToAQueueWhereThereAreNoDynamicNodes(t *testing.T) {
	_, b := connect(t)
	answering(t, b, "q")
	p := &plain{b, make(chan string, 1)}
	r, err := bus.NewRequester(t.Context(), p, "q", "org.clacks")
	if err != nil {
		t.Fatal(err)
	}
	if address := <-p.address; len(address) < len("org.clacks.reply.")+20 {
		t.Errorf("the reply queue %s can be guessed", address)
	}
	if reply, err := r.Request(t.Context(), &bus.Message{Body: []byte("x")}); err != nil || string(reply.Body) != "re: x" {
		t.Errorf("%v %v", reply, err)
	}
}

// lossy tells its receivers once that their node was lost.
type lossy struct {
	bus.Bus
	lose chan struct{}
}

type lossyReceiver struct {
	bus.Receiver
	lose chan struct{}
}

func (l *lossy) Receiver(ctx context.Context, address string, options bus.ReceiverOptions) (bus.Receiver, error) {
	r, err := l.Bus.Receiver(ctx, address, options)
	return &lossyReceiver{r, l.lose}, err
}

func (l *lossyReceiver) Receive(ctx context.Context) (*bus.Delivery, error) {
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	lost := make(chan struct{})
	go func() {
		select {
		case <-l.lose:
			close(lost)
			cancel()
		case <-waiting.Done():
		}
	}()
	d, err := l.Receiver.Receive(waiting)
	select {
	case <-lost:
		return nil, bus.ErrRenewed
	default:
		return d, err
	}
}

func TestALossEndsTheRequestsThatWait(t *testing.T) {
	c, b := connect(t)
	answering(t, b, "q")
	l := &lossy{b, make(chan struct{})}
	r, err := bus.NewRequester(t.Context(), l, "q", "org.clacks")
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() {
		_, err := r.Request(t.Context(), &bus.Message{Body: []byte("silence")})
		failed <- err
	}()
	for settled(c, "q") < 1 {
		time.Sleep(time.Millisecond)
	}
	l.lose <- struct{}{}
	if err := <-failed; !clacks.IsKind(err, clacks.InDoubt) {
		t.Errorf("%v", err)
	}
	if reply, err := r.Request(t.Context(), &bus.Message{Body: []byte("x")}); err != nil || string(reply.Body) != "re: x" {
		t.Errorf("after it: %v %v", reply, err)
	}
}
