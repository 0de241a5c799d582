package bustest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"clacks"
	"clacks/bus"
)

// serve answers the requests of a queue until the test ends: the body with "re: " before it, the correlation-id that of the
// request, else its message-id.
func (s *suite) serve(t *testing.T, address string) {
	t.Helper()
	b := s.connect(t)
	in := receiver(t, b, address, bus.ReceiverOptions{})
	out := sender(t, b, "")
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	t.Cleanup(func() { cancel(); group.Wait() })
	group.Go(func() {
		for {
			d, err := in.Receive(ctx)
			if err != nil {
				return
			}
			p := d.Message.Properties
			id := p.CorrelationID
			if id == nil {
				id = p.MessageID
			}
			reply := &bus.Message{
				Body: append([]byte("re: "), d.Message.Body...), Properties: bus.Properties{To: p.ReplyTo, CorrelationID: id},
			}
			err = out.Send(ctx, reply)
			var gone *bus.Condition
			if errors.As(err, &gone) && gone.Name == bus.NotFound {
				err = nil // who asked is not there any more
			}
			if err = errors.Join(err, d.Accept(ctx)); err != nil && ctx.Err() == nil {
				t.Errorf("answer: %v", err)
			}
		}
	})
}

func (s *suite) requests(t *testing.T) {
	b := s.connect(t)
	address := queue(t, b)
	s.serve(t, address)
	r, err := bus.NewRequester(within(t), b, address, "test")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			reply, err := r.Request(within(t), &bus.Message{Body: fmt.Append(nil, i)})
			if err != nil || string(reply.Body) != fmt.Sprint("re: ", i) {
				t.Errorf("%d: %v %v", i, reply, err)
			}
		})
	}
	group.Wait()
	if err := r.Close(within(t)); err != nil {
		t.Error(err)
	}
	// Ids keep their type, whoever asks.
	replies := queue(t, b)
	in, out := receiver(t, b, replies, bus.ReceiverOptions{}), sender(t, b, address)
	for _, id := range []any{"text", uint64(1) << 60, []byte{0, 1, 255}, bus.UUID{1, 2, 3, 15: 4}} {
		m := &bus.Message{Body: []byte("x"), Properties: bus.Properties{MessageID: id, ReplyTo: replies}}
		if err := out.Send(within(t), m); err != nil {
			t.Fatal(err)
		}
		d := expect(t, in, "re: x")
		if got, want := fmt.Sprintf("%#v", d.Message.Properties.CorrelationID), fmt.Sprintf("%#v", id); got != want {
			t.Errorf("correlation-id %s, want %s", got, want)
		}
		accept(t, d)
	}
}

func (s *suite) anonymous(t *testing.T) {
	b := s.connect(t)
	one, two := queue(t, b), queue(t, b)
	out := sender(t, b, "")
	if out.Address() != "" {
		t.Errorf("address %q", out.Address())
	}
	for i := range 3 {
		for _, to := range []string{one, two} {
			m := &bus.Message{Body: fmt.Append(nil, to, i), Properties: bus.Properties{To: to}}
			if err := out.Send(within(t), m); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, address := range []string{one, two} {
		in := receiver(t, b, address, bus.ReceiverOptions{})
		for i := range 3 {
			accept(t, expect(t, in, fmt.Sprint(address, i)))
		}
	}
	if err := out.Send(within(t), &bus.Message{Body: []byte("to nobody")}); err == nil {
		t.Error("a message without an address was taken")
	}
}

func (s *suite) dynamic(t *testing.T) {
	b, c := s.connect(t), s.connect(t)
	if !s.Dynamic {
		_, err := b.Receiver(within(t), "", bus.ReceiverOptions{Dynamic: true})
		condition(t, err, bus.NotImplemented)
		return
	}
	one := receiver(t, b, "", bus.ReceiverOptions{Dynamic: true})
	two := receiver(t, b, "", bus.ReceiverOptions{Dynamic: true})
	if one.Address() == "" || one.Address() == two.Address() {
		t.Fatalf("addresses %q and %q", one.Address(), two.Address())
	}
	out := sender(t, c, one.Address())
	send(t, out, "1")
	if err := sender(t, c, "").Send(within(t), &bus.Message{Body: []byte("2"), Properties: bus.Properties{To: two.Address()}}); err != nil {
		t.Fatal(err)
	}
	accept(t, expect(t, one, "1"))
	accept(t, expect(t, two, "2"))
	address := one.Address()
	if err := one.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	err := out.Send(within(t), &bus.Message{Body: []byte("3")})
	if err == nil {
		t.Error("a message for a node that is gone was taken")
	}
	_, err = c.Sender(within(t), address, bus.SenderOptions{})
	condition(t, err, bus.NotFound)
	err = sender(t, c, "").Send(within(t), &bus.Message{Properties: bus.Properties{To: address}})
	condition(t, err, bus.NotFound)
}

func (s *suite) closing(t *testing.T) {
	b := s.Connect(t)
	address := queue(t, b)
	in, out := receiver(t, b, address, bus.ReceiverOptions{Credit: 5}), sender(t, b, address)
	send(t, out, "1", "2", "3")
	held := expect(t, in, "1")
	ended := func(r bus.Receiver) <-chan error {
		result := make(chan error, 1)
		go func() {
			for {
				if _, err := r.Receive(t.Context()); err != nil {
					result <- err
					return
				}
			}
		}()
		return result
	}
	waiting := ended(in)
	began := time.Now()
	if err := in.Close(within(t)); err != nil {
		t.Errorf("close: %v", err)
	}
	if err := in.Close(within(t)); err != nil {
		t.Errorf("the second close: %v", err)
	}
	if err := <-waiting; !clacks.IsKind(err, clacks.Unavailable) {
		t.Errorf("a Receive that waited when its receiver was closed: %v", err)
	}
	if err := held.Accept(within(t)); !clacks.IsKind(err, clacks.Unavailable) {
		t.Errorf("a delivery was settled after its receiver was closed: %v", err)
	}
	other := receiver(t, b, address, bus.ReceiverOptions{Credit: 1})
	accept(t, receive(t, other)) // what was held is there again
	waiting = ended(receiver(t, b, queue(t, b), bus.ReceiverOptions{}))
	if err := b.Close(within(t)); err != nil {
		t.Errorf("close of the bus: %v", err)
	}
	if took := time.Since(began); took > patience/2 {
		t.Errorf("closing took %v", took)
	}
	if err := <-waiting; err == nil || t.Context().Err() != nil {
		t.Errorf("a Receive that waited when the bus was closed: %v", err)
	}
	if err := out.Send(within(t), &bus.Message{}); !clacks.IsKind(err, clacks.Unavailable) {
		t.Errorf("a message was sent after the end: %v", err)
	}
	if _, err := b.Sender(within(t), address, bus.SenderOptions{}); !clacks.IsKind(err, clacks.Unavailable) {
		t.Errorf("a sender was attached after the end: %v", err)
	}
}

// loss: senders and receivers survive a lost connection; what was delivered before comes again.
func (s *suite) loss(t *testing.T) {
	if !s.ComesBack {
		t.Skip("this transport has no connection that could come back")
	}
	b := s.connect(t)
	address := queue(t, b)
	in, out := receiver(t, b, address, bus.ReceiverOptions{Credit: 1}), sender(t, b, address)
	manual := receiver(t, b, queue(t, b), bus.ReceiverOptions{Manual: true})
	if err := manual.Issue(within(t), 2); err != nil {
		t.Fatal(err)
	}
	for round := range 3 {
		body := fmt.Sprint(round)
		send(t, out, body)
		d := expect(t, in, body)
		s.Lose(t, b)
		again := expect(t, in, body) // waits for the connection
		if err := d.Accept(within(t)); !clacks.IsKind(err, clacks.Unavailable) {
			t.Errorf("a delivery from before the loss was settled: %v", err)
		}
		accept(t, again)
	}
	to := sender(t, b, manual.Address())
	send(t, to, "1", "2", "3")
	accept(t, expect(t, manual, "1")) // the credit was given again
	accept(t, expect(t, manual, "2"))
	nothing(t, manual)
	s.lossOfReplies(t, b)
}

// lossOfReplies: a requester goes on, with another node where its node was dynamic.
func (s *suite) lossOfReplies(t *testing.T, b bus.Bus) {
	t.Helper()
	address := queue(t, b)
	r, err := bus.NewRequester(within(t), b, address, "test")
	if err != nil {
		t.Fatal(err)
	}
	if s.Dynamic {
		failed := make(chan error, 1)
		go func() {
			_, err := r.Request(within(t), &bus.Message{Body: []byte("unanswered")})
			failed <- err
		}()
		accept(t, expect(t, receiver(t, s.connect(t), address, bus.ReceiverOptions{Credit: 1}), "unanswered"))
		s.Lose(t, b)
		if err := <-failed; !clacks.IsKind(err, clacks.InDoubt) {
			t.Errorf("a request whose reply was lost: %v", err)
		}
		address = queue(t, b)
		if err := r.Close(within(t)); err != nil {
			t.Error(err)
		}
		if r, err = bus.NewRequester(within(t), b, address, "test"); err != nil {
			t.Fatal(err)
		}
	}
	s.serve(t, address)
	s.Lose(t, b)
	eventually(t, "a request after the loss", func() error {
		_, err := r.Request(within(t), &bus.Message{Body: []byte("x")})
		return err
	})
}

func (s *suite) restart(t *testing.T) {
	b := s.connect(t)
	address := name()
	first := receiver(t, b, address, bus.ReceiverOptions{Durable: true})
	if err := first.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	out := sender(t, b, address)
	if err := out.Send(within(t), &bus.Message{Header: bus.Header{Durable: true}, Body: []byte("kept")}); err != nil {
		t.Fatal(err)
	}
	if s.Restart != nil {
		s.Restart(t)
	}
	in := receiver(t, b, address, bus.ReceiverOptions{Durable: true})
	if s.Restart == nil || s.Durable {
		accept(t, expect(t, in, "kept"))
	}
	eventually(t, "a message after the restart", func() error {
		return out.Send(within(t), &bus.Message{Body: []byte("after")})
	})
	accept(t, expect(t, in, "after"))
}
