package listener_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/Azure/go-amqp"

	"clacks/bus"
	"clacks/bus/listener"
)

// dial connects ann.
func (s *served) dial(t testing.TB, options *amqp.ConnOptions) *amqp.Conn {
	t.Helper()
	if options == nil {
		options = &amqp.ConnOptions{}
	}
	if options.SASLType == nil {
		options.SASLType = amqp.SASLTypePlain("ann", "nna")
	}
	conn, err := amqp.Dial(within(t), "amqp://"+s.address, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func session(t testing.TB, conn *amqp.Conn) *amqp.Session {
	t.Helper()
	s, err := conn.NewSession(within(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSendAndReceive(t *testing.T) {
	s := serve(t, nil)
	ctx := within(t)
	link := session(t, s.dial(t, nil))
	sender, err := link.NewSender(ctx, "a", nil)
	if err != nil {
		t.Fatal(err)
	}
	receiver, err := link.NewReceiver(ctx, "a", nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		if err := sender.Send(ctx, amqp.NewMessage(fmt.Appendf(nil, "message %d", i)), nil); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 1000 {
		m, err := receiver.Receive(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("message %d", i); string(m.GetData()) != want {
			t.Fatalf("got %q, want %q", m.GetData(), want)
		}
		if err := receiver.AcceptMessage(ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all are accepted", func() bool { return s.broker.queue("a").outcomes(bus.Accepted) == 1000 })
	if err := receiver.Close(ctx); err != nil {
		t.Error(err)
	}
	if err := sender.Close(ctx); err != nil {
		t.Error(err)
	}
}

// A message of many frames comes back as it was, through a peer that takes small frames only.
func TestLargeMessages(t *testing.T) {
	s := serve(t, nil)
	ctx := within(t)
	link := session(t, s.dial(t, &amqp.ConnOptions{MaxFrameSize: 512}))
	sender, err := link.NewSender(ctx, "large", nil)
	if err != nil {
		t.Fatal(err)
	}
	receiver, err := link.NewReceiver(ctx, "large", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 1, 300, 400, 440, 448, 460, 500, 512, 70_000, 1 << 20} {
		body := bytes.Repeat([]byte{'x'}, size)
		if size > 0 {
			body[size-1] = 'y'
		}
		if err := sender.Send(ctx, amqp.NewMessage(body), nil); err != nil {
			t.Fatal(size, err)
		}
		m, err := receiver.Receive(ctx, nil)
		if err != nil {
			t.Fatal(size, err)
		}
		if !bytes.Equal(m.GetData(), body) {
			t.Fatalf("%d bytes became %d", size, len(m.GetData()))
		}
		if err := receiver.AcceptMessage(ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	err = sender.Send(ctx, amqp.NewMessage(make([]byte, 5<<20)), nil)
	if err == nil {
		t.Error("a message beyond max-message-size was sent")
	}
}

func TestRequestAndReply(t *testing.T) {
	s := serve(t, nil)
	ctx := within(t)
	server := session(t, s.dial(t, nil))
	requests, err := server.NewReceiver(ctx, "requests", nil)
	if err != nil {
		t.Fatal(err)
	}
	replies, err := server.NewSender(ctx, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			m, err := requests.Receive(ctx, nil)
			if err != nil {
				return
			}
			_ = replies.Send(ctx, &amqp.Message{
				Properties: &amqp.MessageProperties{To: m.Properties.ReplyTo, CorrelationID: m.Properties.MessageID},
				Data:       m.Data,
			}, nil)
			_ = requests.AcceptMessage(ctx, m)
		}
	}()
	var wait sync.WaitGroup
	for client := range 8 {
		link := session(t, s.dial(t, nil))
		wait.Add(1)
		go func() {
			defer wait.Done()
			if err := call(ctx, link, client); err != nil {
				t.Error(err)
			}
		}()
	}
	wait.Wait()
}

func call(ctx context.Context, link *amqp.Session, client int) error {
	replies, err := link.NewReceiver(ctx, "", &amqp.ReceiverOptions{DynamicAddress: true})
	if err != nil {
		return err
	}
	requests, err := link.NewSender(ctx, "requests", nil)
	if err != nil {
		return err
	}
	address := replies.Address()
	for i := range 50 {
		id := uint64(1000*client + i)
		err := requests.Send(ctx, &amqp.Message{
			Properties: &amqp.MessageProperties{ReplyTo: &address, MessageID: id}, Data: [][]byte{[]byte("x")},
		}, nil)
		if err != nil {
			return err
		}
		m, err := replies.Receive(ctx, nil)
		if err != nil {
			return err
		}
		if m.Properties.CorrelationID != id {
			return fmt.Errorf("a reply to %v, not to %d", m.Properties.CorrelationID, id)
		}
		if err := replies.AcceptMessage(ctx, m); err != nil {
			return err
		}
	}
	return errors.Join(requests.Close(ctx), replies.Close(ctx))
}

func TestOutcomesOfSending(t *testing.T) {
	s := serve(t, nil)
	ctx := within(t)
	for _, mode := range []amqp.ReceiverSettleMode{amqp.ReceiverSettleModeFirst, amqp.ReceiverSettleModeSecond} {
		sender, err := session(t, s.dial(t, nil)).NewSender(ctx, "a", &amqp.SenderOptions{RequestedReceiverSettleMode: &mode})
		if err != nil {
			t.Fatal(err)
		}
		for subject, want := range map[string]string{"reject": "Rejected", "release": "Released", "modify": "Modified", "ok": "Accepted"} {
			receipt, err := sender.SendWithReceipt(ctx, &amqp.Message{
				Properties: &amqp.MessageProperties{Subject: &subject}, Data: [][]byte{nil},
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			state, err := receipt.Wait(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprintf("%T", state); got != "*encoding.State"+want {
				t.Errorf("mode %v: %s gives %s", mode, subject, got)
			}
		}
		// A foreign user-id costs the message, not the session.
		err = sender.Send(ctx, &amqp.Message{Properties: &amqp.MessageProperties{UserID: []byte("bob")}, Data: [][]byte{nil}}, nil)
		var refused *amqp.Error
		if !errors.As(err, &refused) || refused.Condition != amqp.ErrCondUnauthorizedAccess {
			t.Errorf("a foreign user-id: %v", err)
		}
		if err := sender.Send(ctx, amqp.NewMessage(nil), nil); err != nil {
			t.Error(err)
		}
	}
}

func TestOutcomesOfReceiving(t *testing.T) {
	s := serve(t, nil)
	ctx := within(t)
	for _, mode := range []amqp.ReceiverSettleMode{amqp.ReceiverSettleModeFirst, amqp.ReceiverSettleModeSecond} {
		name := fmt.Sprintf("outcomes-%d", mode)
		q := s.broker.queue(name)
		receiver, err := session(t, s.dial(t, nil)).NewReceiver(ctx, name, &amqp.ReceiverOptions{SettlementMode: &mode})
		if err != nil {
			t.Fatal(err)
		}
		q.put(&bus.Message{Body: []byte("x")})
		next := func() *amqp.Message {
			m, err := receiver.Receive(ctx, nil)
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		if err := receiver.ReleaseMessage(ctx, next()); err != nil {
			t.Fatal(err)
		}
		m := next()
		if m.Header != nil && m.Header.DeliveryCount != 0 {
			t.Errorf("released: %+v", m.Header)
		}
		if err := receiver.ModifyMessage(ctx, m, &amqp.ModifyMessageOptions{DeliveryFailed: true}); err != nil {
			t.Fatal(err)
		}
		if m = next(); m.Header == nil || m.Header.DeliveryCount != 1 {
			t.Errorf("modified: %+v", m.Header)
		}
		// In the second mode go-amqp returns the reason of the rejection as its own error.
		var why *amqp.Error
		if err := receiver.RejectMessage(ctx, m, &amqp.Error{Condition: "x:y"}); err != nil && !errors.As(err, &why) {
			t.Fatal(err)
		}
		eventually(t, "it is rejected", func() bool { return q.outcomes(bus.Rejected) == 1 })
		q.put(&bus.Message{Body: []byte("y")})
		if err := receiver.AcceptMessage(ctx, next()); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it is accepted", func() bool { return q.outcomes(bus.Accepted) == 1 })
	}
}

func TestSettledByTheSender(t *testing.T) {
	s := serve(t, nil)
	ctx := within(t)
	link := session(t, s.dial(t, nil))
	settled := amqp.SenderSettleModeSettled
	sender, err := link.NewSender(ctx, "a", &amqp.SenderOptions{SettlementMode: &settled})
	if err != nil {
		t.Fatal(err)
	}
	for range 500 {
		if err := sender.Send(ctx, amqp.NewMessage([]byte("x")), nil); err != nil {
			t.Fatal(err)
		}
	}
	// What was sent before the link was closed is not lost.
	if err := sender.Close(ctx); err != nil {
		t.Fatal(err)
	}
	receiver, err := link.NewReceiver(ctx, "a", &amqp.ReceiverOptions{RequestedSenderSettleMode: &settled})
	if err != nil {
		t.Fatal(err)
	}
	for range 500 {
		if _, err := receiver.Receive(ctx, nil); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all count as accepted", func() bool { return s.broker.queue("a").outcomes(bus.Accepted) == 500 })
}

func TestDrain(t *testing.T) {
	s := serve(t, nil)
	ctx := within(t)
	receiver, err := session(t, s.dial(t, nil)).NewReceiver(ctx, "a", &amqp.ReceiverOptions{Credit: -1})
	if err != nil {
		t.Fatal(err)
	}
	for round := range 20 {
		if err := receiver.IssueCredit(10); err != nil {
			t.Fatal(err)
		}
		s.broker.queue("a").put(&bus.Message{Body: []byte("x")}, &bus.Message{Body: []byte("y")})
		for range 2 {
			m, err := receiver.Receive(ctx, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := receiver.AcceptMessage(ctx, m); err != nil {
				t.Fatal(err)
			}
		}
		if err := receiver.DrainCredit(ctx, nil); err != nil {
			t.Fatal(round, err)
		}
	}
	// Without credit nothing comes.
	s.broker.queue("a").put(&bus.Message{Body: []byte("z")})
	if err := receiver.DrainCredit(ctx, nil); err != nil {
		t.Fatal(err)
	}
	if m := receiver.Prefetched(); m != nil || s.broker.queue("a").len() != 1 {
		t.Error("a message came without credit")
	}
}

func TestRefusals(t *testing.T) {
	s := serve(t, nil)
	ctx := within(t)
	link := session(t, s.dial(t, nil))
	for address, want := range map[string]amqp.ErrCond{"secret": amqp.ErrCondUnauthorizedAccess, "missing": amqp.ErrCondNotFound} {
		var refused *amqp.Error
		if _, err := link.NewSender(ctx, address, nil); !errors.As(err, &refused) || refused.Condition != want {
			t.Errorf("sender to %s: %v", address, err)
		}
		if _, err := link.NewReceiver(ctx, address, nil); !errors.As(err, &refused) || refused.Condition != want {
			t.Errorf("receiver from %s: %v", address, err)
		}
	}
	if _, err := link.NewSender(ctx, "", &amqp.SenderOptions{DynamicAddress: true}); err == nil {
		t.Error("a dynamic target was made")
	}
	// The session goes on.
	if _, err := link.NewSender(ctx, "a", nil); err != nil {
		t.Error(err)
	}
	if got := s.Stats().Refused[listener.Refused.String()]; got != 4 {
		t.Errorf("%d refusals were counted", got)
	}
}

func TestFilters(t *testing.T) {
	s := serve(t, nil)
	ctx := within(t)
	link := session(t, s.dial(t, nil))
	applied := amqp.NewLinkFilter("apache.org:xquery-filter:string", 0x0000468C00000005, "true()")
	other := amqp.NewSelectorFilter("x = 1")
	receiver, err := link.NewReceiver(ctx, "a", &amqp.ReceiverOptions{Filters: []amqp.LinkFilter{applied, other}})
	if err != nil {
		t.Fatal(err)
	}
	if receiver.LinkSourceFilterValue("apache.org:xquery-filter:string") != "true()" {
		t.Error("the filter that is applied is not echoed")
	}
	if receiver.LinkSourceFilterValue("apache.org:selector-filter:string") != nil {
		t.Error("a filter that is not applied is echoed")
	}
}

func TestWrongPassword(t *testing.T) {
	s := serve(t, nil)
	_, err := amqp.Dial(within(t), "amqp://"+s.address, &amqp.ConnOptions{SASLType: amqp.SASLTypePlain("ann", "wrong")})
	if err == nil {
		t.Fatal("a wrong password was taken")
	}
	if _, err := amqp.Dial(within(t), "amqp://"+s.address, &amqp.ConnOptions{SASLType: amqp.SASLTypeAnonymous()}); err == nil {
		t.Fatal("nobody was let in")
	}
	eventually(t, "the login is counted", func() bool { return s.Stats().Refused[listener.Login.String()] == 1 })
}
