package remote

import (
	"context"
	"errors"

	"github.com/Azure/go-amqp"

	"clacks"
	"clacks/bus"
)

// sender is a sending link.
type sender struct {
	*link[*amqp.Sender]
	address string
	settled bool
	turn    chan struct{} // of one place: who has put something in may write
}

var _ bus.Sender = (*sender)(nil)

// Sender implements bus.Bus. At RabbitMQ 3 the queue has to exist, and the anonymous node is made of one link a queue.
func (c *Client) Sender(ctx context.Context, address string, options bus.SenderOptions) (bus.Sender, error) {
	if address == "" {
		conn, err := c.current(ctx)
		if err != nil {
			return nil, err
		}
		if conn.dialect == RabbitMQ3 {
			p := &pool{client: c, options: options, senders: map[string]*pooled{}}
			return p, c.add(p)
		}
	}
	s := c.sender(address, options)
	if _, err := s.get(ctx); err != nil {
		s.end()
		return nil, err
	}
	if err := c.add(s); err != nil {
		return nil, errors.Join(err, s.close(ctx))
	}
	return s, nil
}

func (c *Client) sender(address string, options bus.SenderOptions) *sender {
	s := &sender{link: newLink[*amqp.Sender](c, "sender"), address: address, settled: options.Settled, turn: make(chan struct{}, 1)}
	s.open = s.attachTo
	s.shut = func(ctx context.Context, l *amqp.Sender) error { return l.Close(ctx) }
	return s
}

func (s *sender) attachTo(ctx context.Context, conn *connection, session *amqp.Session) (*amqp.Sender, error) {
	options := &amqp.SenderOptions{}
	if s.settled {
		options.SettlementMode = amqp.SenderSettleModeSettled.Ptr()
	}
	if conn.dialect == RabbitMQ3 {
		if err := s.exists(ctx, conn); err != nil {
			return nil, err
		}
	}
	return session.NewSender(ctx, conn.dialect.target(s.address), options)
}

// exists asks RabbitMQ 3 for a queue: it lets a sender attach to one that is not there, and accepts what it then throws away.
// A receiver without credit is refused. Who may not read the queue cannot know.
func (s *sender) exists(ctx context.Context, conn *connection) error {
	session, err := conn.NewSession(ctx, nil)
	if err != nil {
		return err
	}
	defer s.discard(session)
	_, err = session.NewReceiver(ctx, conn.dialect.target(s.address), &amqp.ReceiverOptions{Credit: -1})
	if c := conditionOf(err); c != nil && c.Name == bus.Unauthorized {
		return nil
	}
	return err
}

// Address implements bus.Sender.
func (s *sender) Address() string { return s.address }

// Close implements bus.Sender.
func (s *sender) Close(ctx context.Context) error {
	s.client.drop(s)
	return s.close(ctx)
}

// Send implements bus.Sender.
func (s *sender) Send(ctx context.Context, m *bus.Message) error {
	for {
		a, err := s.get(ctx)
		if err != nil {
			return err
		}
		message, err := encode(m, a.conn.dialect, s.address == "")
		if err != nil {
			return err
		}
		receipt, sent, err := s.transfer(ctx, a, message)
		switch {
		case err != nil:
			return s.failed(ctx, a, m, err)
		case !sent:
			s.lose(a) // the next link takes the message
			continue
		case s.settled:
			return nil
		}
		state, err := receipt.Wait(ctx)
		if err != nil {
			return s.inDoubt(ctx, a, err)
		}
		return outcome(state).Err()
	}
}

// transfer writes a message, when it is its turn: go-amqp would make it wait for those before it without regard to its
// context, and would not tell whether it had begun when the link died. sent is false when the link was dead before.
func (s *sender) transfer(ctx context.Context, a *living[*amqp.Sender], m *amqp.Message) (receipt amqp.SendReceipt, sent bool, err error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return receipt, false, ctx.Err()
	case <-s.life.Done():
		return receipt, false, nil
	}
	if !usable(ctx, a.link) {
		return receipt, false, nil
	}
	if s.settled {
		return receipt, true, a.link.Send(ctx, m, nil)
	}
	receipt, err = a.link.SendWithReceipt(ctx, m, nil)
	return receipt, true, err
}

// unsendable is refused by go-amqp before it looks for credit, but after it has looked whether the link is alive.
var unsendable = &amqp.Message{DeliveryTag: make([]byte, 33)}

// usable reports whether a link is alive, which go-amqp tells in no other way: a message that was not sent because the link
// had died long before is not in doubt.
func usable(ctx context.Context, l *amqp.Sender) bool {
	var refused *amqp.Error
	err := l.Send(ctx, unsendable, nil)
	return errors.As(err, &refused) && refused.Condition == amqp.ErrCondMessageSizeExceeded
}

// largest is the size of body that surely goes in one frame of any peer that allows more than the least of the protocol.
const largest = 400

// failed tells an error of a message that was perhaps not written.
func (s *sender) failed(ctx context.Context, a *living[*amqp.Sender], m *bus.Message, err error) error {
	if err == nil {
		return nil
	}
	var said *amqp.Error
	switch {
	case died(err):
		return s.inDoubt(ctx, a, err)
	case ctx.Err() != nil:
		if len(m.Body)+len(m.Bare) > largest || m.Value != nil {
			s.lose(a) // its first frames may be out, and the next message must not follow them
		}
		return clacks.E(clacks.Unavailable, "remote.send", "the message was not sent in time: %w", ctx.Err())
	case errors.As(err, &said):
		return &bus.Condition{Name: string(said.Condition), Description: said.Description}
	default:
		return clacks.E(clacks.Invalid, "remote.send", "the message cannot be encoded: %w", err)
	}
}

// died reports whether an error is the end of a link, a session or a connection.
func died(err error) bool {
	var link *amqp.LinkError
	var session *amqp.SessionError
	var conn *amqp.ConnError
	return errors.As(err, &link) || errors.As(err, &session) || errors.As(err, &conn)
}

// inDoubt is the error of a message whose outcome did not come back.
func (s *sender) inDoubt(ctx context.Context, a *living[*amqp.Sender], err error) error {
	s.client.mu.Lock()
	s.client.stats.InDoubt++
	s.client.mu.Unlock()
	if died(err) {
		s.lose(a)
	}
	if c := conditionOf(err); c != nil {
		err = c
	} else if ctx.Err() != nil {
		err = ctx.Err()
	}
	return clacks.E(clacks.InDoubt, "remote.send", "the outcome of the message is unknown: %w", err)
}

// outcome is a delivery state as ours.
func outcome(state amqp.DeliveryState) bus.Disposition {
	switch state := state.(type) {
	case *amqp.StateAccepted:
		return bus.Disposition{}
	case *amqp.StateRejected:
		d := bus.Disposition{Outcome: bus.Rejected}
		if e := state.Error; e != nil {
			d.Condition = &bus.Condition{Name: string(e.Condition), Description: e.Description, Info: e.Info}
		}
		return d
	case *amqp.StateModified:
		return bus.Disposition{Outcome: bus.ModifiedOutcome, Modified: bus.Modified{
			Failed: state.DeliveryFailed, Elsewhere: state.UndeliverableHere, Annotations: annotations(state.MessageAnnotations),
		}}
	default:
		return bus.Disposition{Outcome: bus.Released}
	}
}
