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

// credit: a receiver holds as many deliveries as it has credit, and another gets the rest.
func (s *suite) credit(t *testing.T) {
	b, c := s.connect(t), s.connect(t)
	address := queue(t, b)
	out := sender(t, b, address)
	greedy := receiver(t, b, address, bus.ReceiverOptions{Credit: 2})
	send(t, out, "1", "2", "3", "4")
	one := expect(t, greedy, "1")
	expect(t, greedy, "2")
	nothing(t, greedy)
	other := receiver(t, c, address, bus.ReceiverOptions{Credit: 10})
	accept(t, expect(t, other, "3"))
	accept(t, expect(t, other, "4"))
	if err := other.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	accept(t, one)
	send(t, out, "5", "6")
	accept(t, expect(t, greedy, "5"))
	accept(t, expect(t, greedy, "6"))
}

func (s *suite) manual(t *testing.T) {
	b := s.connect(t)
	address := queue(t, b)
	in, out := receiver(t, b, address, bus.ReceiverOptions{Manual: true}), sender(t, b, address)
	send(t, out, "1", "2", "3", "4")
	nothing(t, in)
	if err := in.Issue(within(t), 2); err != nil {
		t.Fatal(err)
	}
	accept(t, expect(t, in, "1"))
	accept(t, expect(t, in, "2"))
	nothing(t, in) // what is settled gives no credit back
	for range 2 {
		if err := in.Issue(within(t), 1); err != nil {
			t.Fatal(err)
		}
	}
	accept(t, expect(t, in, "3"))
	accept(t, expect(t, in, "4"))
	automatic := receiver(t, b, address, bus.ReceiverOptions{})
	if err := automatic.Issue(within(t), 1); !clacks.IsKind(err, clacks.Invalid) {
		t.Errorf("credit for a receiver that gives its own: %v", err)
	}
	if err := automatic.Drain(within(t)); !clacks.IsKind(err, clacks.Invalid) {
		t.Errorf("drain of a receiver that gives its own credit: %v", err)
	}
}

func (s *suite) drain(t *testing.T) {
	b := s.connect(t)
	address := queue(t, b)
	in, out := receiver(t, b, address, bus.ReceiverOptions{Manual: true}), sender(t, b, address)
	if !s.Drain {
		condition(t, in.Drain(within(t)), bus.NotImplemented)
		send(t, out, "1")
		if err := in.Issue(within(t), 1); err != nil {
			t.Fatal(err)
		}
		accept(t, expect(t, in, "1")) // the refusal changed nothing
		return
	}
	send(t, out, "1", "2")
	if err := in.Issue(within(t), 5); err != nil {
		t.Fatal(err)
	}
	accept(t, expect(t, in, "1"))
	if err := in.Drain(within(t)); err != nil {
		t.Fatal(err)
	}
	send(t, out, "3") // comes after the drain, for which there is no credit any more
	rest := []string{"2", "3"}
	if d := perhaps(t, in); d != nil {
		accept(t, d)
		if string(d.Message.Body) != "2" {
			t.Errorf("%s came after the drain", d.Message.Body)
		}
		rest = rest[1:]
		nothing(t, in)
	}
	if err := in.Issue(within(t), 5); err != nil {
		t.Fatal(err)
	}
	for _, body := range rest {
		accept(t, expect(t, in, body))
	}
	for range 2 { // of what is left, and of nothing
		if err := in.Drain(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	send(t, out, "4")
	nothing(t, in)
}

func (s *suite) outcomes(t *testing.T) {
	b := s.connect(t)
	address := queue(t, b)
	in, out := receiver(t, b, address, bus.ReceiverOptions{Credit: 1}), sender(t, b, address)
	send(t, out, "1")
	d := expect(t, in, "1")
	if err := d.Release(within(t)); err != nil {
		t.Fatal(err)
	}
	d = expect(t, in, "1")
	if d.Message.Header.FirstAcquirer {
		t.Error("a second delivery claims to be the first")
	}
	accept(t, d)
	if err := d.Release(within(t)); err != nil {
		t.Errorf("the second outcome of a delivery: %v", err)
	}
	send(t, out, "2", "3")
	if err := expect(t, in, "2").Reject(within(t), &bus.Condition{Name: bus.DecodeError, Description: "why"}); err != nil {
		t.Fatal(err)
	}
	accept(t, expect(t, in, "3"))
	nothing(t, in)
}

func (s *suite) modified(t *testing.T) {
	b := s.connect(t)
	address := queue(t, b)
	in, out := receiver(t, b, address, bus.ReceiverOptions{Credit: 1}), sender(t, b, address)
	send(t, out, "1")
	how := bus.Modified{Failed: true, Annotations: map[string]any{"x-opt-try": "first"}}
	if err := expect(t, in, "1").Modify(within(t), how); err != nil {
		t.Fatal(err)
	}
	d := expect(t, in, "1")
	if s.DeliveryCount && d.Message.Header.DeliveryCount != 1 {
		t.Errorf("delivery count %d, want 1", d.Message.Header.DeliveryCount)
	}
	if s.Annotations && d.Message.Annotations["x-opt-try"] != "first" {
		t.Errorf("annotations %v", d.Message.Annotations)
	}
	if !s.Annotations {
		accept(t, d)
		return
	}
	if err := d.Modify(within(t), bus.Modified{Elsewhere: true}); err != nil {
		t.Fatal(err)
	}
	nothing(t, in)
	accept(t, expect(t, receiver(t, b, address, bus.ReceiverOptions{}), "1"))
}

func (s *suite) settled(t *testing.T) {
	b := s.connect(t)
	address := queue(t, b)
	in := receiver(t, b, address, bus.ReceiverOptions{Settled: true, Credit: 2})
	out, err := b.Sender(within(t), address, bus.SenderOptions{Settled: true})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		send(t, out, fmt.Sprint(i))
	}
	for i := range 20 {
		d := expect(t, in, fmt.Sprint(i))
		if i%2 == 0 {
			accept(t, d) // nothing is to be done, and it does no harm
		}
	}
}

// competing: receivers that wait are served in turn.
func (s *suite) competing(t *testing.T) {
	b := s.connect(t)
	address := queue(t, b)
	work, stop := context.WithCancel(within(t))
	defer stop()
	taken := make(chan int)
	for i := range 2 {
		in := receiver(t, s.connect(t), address, bus.ReceiverOptions{Credit: 1})
		go func() {
			for {
				d, err := in.Receive(work)
				if err != nil {
					return
				}
				if err := d.Accept(work); err != nil {
					t.Errorf("accept: %v", err)
				}
				taken <- i
			}
		}()
	}
	out := sender(t, b, address)
	const total = 100
	var counts [2]int
	for i := range total {
		time.Sleep(time.Millisecond) // who has not asked yet has no turn, and nobody can see whether he has
		send(t, out, fmt.Sprint(i))
		select {
		case by := <-taken:
			counts[by]++
		case <-work.Done():
			t.Fatalf("%v of %d came", counts, total)
		}
	}
	if counts[0] < total/4 || counts[1] < total/4 {
		t.Errorf("they took %v", counts)
	}
}

// many: a sender and receivers that many goroutines use; nothing is lost, and nothing comes twice.
func (s *suite) many(t *testing.T) {
	b := s.connect(t)
	address := queue(t, b)
	const senders, each = 8, 50
	var mu sync.Mutex
	seen := map[string]int{}
	work, stop := context.WithCancel(within(t))
	defer stop()
	all := make(chan struct{})
	var workers sync.WaitGroup
	for range 2 {
		in := receiver(t, b, address, bus.ReceiverOptions{Credit: 7})
		for range 3 {
			workers.Go(func() {
				for {
					d, err := in.Receive(work)
					if err != nil {
						return
					}
					mu.Lock()
					seen[string(d.Message.Body)]++
					if len(seen) == senders*each {
						close(all)
					}
					mu.Unlock()
					if err := d.Accept(work); err != nil && work.Err() == nil {
						t.Errorf("accept: %v", err)
					}
				}
			})
		}
	}
	out := sender(t, b, address)
	var group sync.WaitGroup
	for i := range senders {
		group.Go(func() {
			for j := range each {
				if err := out.Send(work, &bus.Message{Body: fmt.Appendf(nil, "%d-%d", i, j)}); err != nil {
					t.Errorf("send: %v", err)
				}
			}
		})
	}
	group.Wait()
	select {
	case <-all:
	case <-work.Done():
		t.Errorf("only %d of %d came", len(seen), senders*each)
	}
	stop()
	workers.Wait()
	for body, count := range seen {
		if count != 1 {
			t.Errorf("%s came %d times", body, count)
		}
	}
}

// interrupted: a Receive whose time is over takes nothing with it.
func (s *suite) interrupted(t *testing.T) {
	b := s.connect(t)
	address := queue(t, b)
	in, out := receiver(t, b, address, bus.ReceiverOptions{Credit: 1}), sender(t, b, address)
	for i := range 50 {
		ctx, cancel := context.WithCancel(within(t))
		result := make(chan *bus.Delivery, 1)
		go func() {
			d, err := in.Receive(ctx)
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("receive: %v", err)
			}
			result <- d
		}()
		if i%2 == 0 {
			cancel()
		}
		send(t, out, fmt.Sprint(i))
		cancel()
		d := <-result
		if d == nil {
			d = expect(t, in, fmt.Sprint(i))
		}
		if string(d.Message.Body) != fmt.Sprint(i) {
			t.Fatalf("received %s, want %d", d.Message.Body, i)
		}
		accept(t, d)
	}
}

func (s *suite) lost(t *testing.T) {
	b := s.connect(t)
	address := queue(t, b)
	send(t, sender(t, b, address), "1", "2")
	broken := s.Connect(t)
	first := receiver(t, broken, address, bus.ReceiverOptions{Credit: 1})
	d := expect(t, first, "1")
	s.Lose(t, broken)
	if err := broken.Close(within(t)); err != nil && !clacks.IsKind(err, clacks.Unavailable) {
		t.Errorf("close after a loss: %v", err)
	}
	if err := d.Accept(within(t)); !clacks.IsKind(err, clacks.Unavailable) {
		t.Errorf("a delivery was settled after its link was lost: %v", err)
	}
	in := receiver(t, b, address, bus.ReceiverOptions{Credit: 1})
	got := map[string]*bus.Delivery{}
	for range 2 {
		d := receive(t, in)
		got[string(d.Message.Body)] = d
		accept(t, d)
	}
	if got["1"] == nil || got["2"] == nil {
		t.Fatalf("received %v", got)
	}
	if count := got["1"].Message.Header.DeliveryCount; s.DeliveryCount && count != 1 {
		t.Errorf("delivery count %d, want 1", count)
	}
	if got["1"].Message.Header.FirstAcquirer {
		t.Error("a second delivery claims to be the first")
	}
}

// eventually tries until it works: a server notices a loss in its own time.
func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	ctx := within(t)
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
