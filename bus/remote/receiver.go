package remote

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/Azure/go-amqp"

	"clacks"
	"clacks/bus"
)

// receiver is a receiving link.
type receiver struct {
	*link[*amqp.Receiver]
	options bus.ReceiverOptions

	mu      sync.Mutex
	address string
	made    bool   // a dynamic node was made before
	renewed bool   // it is another, which nobody was told
	credit  uint32 // that was issued and not used, of a manual receiver
	given   given  // at brokers where credit is not left to go-amqp
}

var _ bus.Receiver = (*receiver)(nil)

// Receiver implements bus.Bus.
func (c *Client) Receiver(ctx context.Context, address string, options bus.ReceiverOptions) (bus.Receiver, error) {
	if options.Credit == 0 {
		options.Credit = bus.DefaultCredit
	}
	if options.Credit > 1<<30 {
		return nil, clacks.E(clacks.Invalid, "remote.receiver", "a credit of %d is too much", options.Credit)
	}
	r := &receiver{link: newLink[*amqp.Receiver](c, "receiver"), address: address, options: options}
	r.open = r.attachTo
	r.shut = func(ctx context.Context, l *amqp.Receiver) error { return l.Close(ctx) }
	if _, err := r.get(ctx); err != nil {
		r.end()
		return nil, err
	}
	if err := c.add(r); err != nil {
		return nil, errors.Join(err, r.close(ctx))
	}
	return r, nil
}

func (r *receiver) attachTo(ctx context.Context, conn *connection, session *amqp.Session) (*amqp.Receiver, error) {
	if err := conn.dialect.supports(r.options); err != nil {
		return nil, err
	}
	address := ""
	if !r.options.Dynamic {
		address = conn.dialect.source(r.Address())
	}
	l, err := session.NewReceiver(ctx, address, r.wishes(conn.dialect))
	if err != nil {
		return nil, err
	}
	for _, f := range r.options.Filters {
		if l.LinkSourceFilterValue(filterName(f)) == nil {
			return nil, &bus.Condition{Name: bus.NotImplemented, Description: "the node does not apply the filter " + f.Name}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.options.Dynamic {
		r.address, r.renewed, r.made = l.Address(), r.made, true
	}
	r.given = given{}
	if conn.dialect == RabbitMQ3 {
		r.given.link = l
		return l, r.give()
	}
	if r.credit > 0 {
		return l, l.IssueCredit(r.credit)
	}
	return l, nil
}

// wishes are the options of the attach.
func (r *receiver) wishes(d Dialect) *amqp.ReceiverOptions {
	o := &amqp.ReceiverOptions{
		Credit: int32(r.options.Credit), DynamicAddress: r.options.Dynamic, Name: r.options.Name, //nolint:gosec // bounded in Receiver
	}
	if d != RabbitMQ3 { // which does not know the limit, and never answers when go-amqp ends the link because of it
		o.MaxMessageSize = r.client.options.MaxMessageSize
	}
	if r.options.Manual || d == RabbitMQ3 {
		o.Credit = -1
	}
	if r.options.Settled {
		o.RequestedSenderSettleMode = amqp.SenderSettleModeSettled.Ptr()
	}
	if r.options.Durable {
		o.SourceDurability, o.SourceExpiryPolicy = amqp.DurabilityUnsettledState, amqp.ExpiryPolicyNever
	}
	for _, f := range r.options.Filters {
		o.Filters = append(o.Filters, amqp.NewLinkFilter(filterName(f), f.Code, f.Value))
	}
	return o
}

// filterName is the key of a filter in the set. go-amqp writes it as the descriptor, too, when that is not numeric.
func filterName(f bus.Filter) string {
	if f.Code == 0 && f.Descriptor != "" || f.Name == "" {
		return f.Descriptor
	}
	return f.Name
}

// Address implements bus.Receiver.
func (r *receiver) Address() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.address
}

// Close implements bus.Receiver.
func (r *receiver) Close(ctx context.Context) error {
	r.client.drop(r)
	return r.close(ctx)
}

// Receive implements bus.Receiver.
func (r *receiver) Receive(ctx context.Context) (*bus.Delivery, error) {
	for {
		a, err := r.get(ctx)
		if err != nil {
			return nil, err
		}
		if r.wasRenewed() {
			return nil, bus.ErrRenewed
		}
		m, err := r.next(ctx, a)
		switch {
		case err == nil && r.tooLarge(a, m):
			r.refuse(ctx, a, m)
			continue
		case err == nil:
			return r.delivery(a, m), nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case r.life.Err() != nil:
			return nil, closedError("receiver")
		}
		r.lose(a)
		if c := conditionOf(err); c != nil && a.conn.alive() {
			return nil, c
		}
	}
}

// next waits for a message on a living link.
func (r *receiver) next(ctx context.Context, a *living[*amqp.Receiver]) (*amqp.Message, error) {
	if m := a.link.Prefetched(); m != nil {
		return m, nil
	}
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.life, cancel)()
	return a.link.Receive(waiting, nil)
}

// tooLarge reports whether a message is larger than this client takes, where the broker was not told so.
func (r *receiver) tooLarge(a *living[*amqp.Receiver], m *amqp.Message) bool {
	if a.conn.dialect != RabbitMQ3 {
		return false
	}
	size := 0
	for _, section := range m.Data {
		size += len(section)
	}
	switch body := m.Value.(type) {
	case string:
		size += len(body)
	case []byte:
		size += len(body)
	}
	return uint64(size) > r.client.options.MaxMessageSize
}

// refuse rejects a message that is too large.
func (r *receiver) refuse(ctx context.Context, a *living[*amqp.Receiver], m *amqp.Message) {
	r.client.log.Warn("a message of the bus is too large and was rejected", "address", r.Address())
	why := &bus.Condition{Name: bus.MessageTooLarge, Description: "the message is larger than its receiver takes"}
	_ = r.delivery(a, m).Reject(ctx, why) // else it comes again, and is rejected then
}

// wasRenewed reports once that the dynamic node is another.
func (r *receiver) wasRenewed() bool {
	if !r.options.Dynamic {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	renewed := r.renewed
	r.renewed = false
	return renewed
}

// delivery makes a delivery of what came.
func (r *receiver) delivery(a *living[*amqp.Receiver], m *amqp.Message) *bus.Delivery {
	r.came(a)
	decoded := decode(m)
	if r.options.Settled {
		return bus.NewDelivery(decoded, nil)
	}
	return bus.NewDelivery(decoded, func(ctx context.Context, d bus.Disposition) error { return r.settle(ctx, a, m, d) })
}

// settleTimeout bounds the wait for a disposition to be written.
const settleTimeout = 30 * time.Second

// settle gives a delivery its outcome, on the link on which it came: another cannot.
func (r *receiver) settle(ctx context.Context, a *living[*amqp.Receiver], m *amqp.Message, d bus.Disposition) error {
	if !a.alive() {
		return clacks.E(clacks.Unavailable, "remote.settle", "the connection was lost with the delivery; it comes again")
	}
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	err := dispose(ctx, a, m, d)
	r.went(a)
	if err != nil {
		if died(err) {
			r.lose(a)
		}
		return clacks.E(clacks.Unavailable, "remote.settle", "the outcome may not have been told: %w", err)
	}
	return nil
}

func dispose(ctx context.Context, a *living[*amqp.Receiver], m *amqp.Message, d bus.Disposition) error {
	switch {
	case d.Outcome == bus.Accepted:
		return a.link.AcceptMessage(ctx, m)
	case d.Outcome == bus.Rejected:
		var why *amqp.Error
		if c := d.Condition; c != nil {
			why = &amqp.Error{Condition: amqp.ErrCond(c.Name), Description: c.Description, Info: c.Info}
		}
		return a.link.RejectMessage(ctx, m, why)
	case d.Outcome == bus.ModifiedOutcome && a.conn.dialect != RabbitMQ3: // which ends the session at this outcome
		return a.link.ModifyMessage(ctx, m, &amqp.ModifyMessageOptions{
			DeliveryFailed: d.Failed, UndeliverableHere: d.Elsewhere, Annotations: toAnnotations(d.Annotations),
		})
	default:
		return a.link.ReleaseMessage(ctx, m)
	}
}

// Issue implements bus.Receiver.
func (r *receiver) Issue(ctx context.Context, credit uint32) error {
	if !r.options.Manual {
		return clacks.E(clacks.Invalid, "remote.issue", "the credit of this receiver is automatic")
	}
	a, err := r.get(ctx)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.credit += credit
	if !a.alive() {
		return nil // the next attach issues it
	}
	if r.given.link != nil {
		return r.give()
	}
	if err := a.link.IssueCredit(credit); err != nil {
		r.credit -= credit
		return clacks.E(clacks.Conflict, "remote.issue", "no credit now: %w", err)
	}
	return nil
}

// Drain implements bus.Receiver. RabbitMQ 3 ends the session at it; there it is not implemented.
func (r *receiver) Drain(ctx context.Context) error {
	if !r.options.Manual {
		return clacks.E(clacks.Invalid, "remote.drain", "the credit of this receiver is automatic")
	}
	a, err := r.get(ctx)
	if err != nil {
		return err
	}
	if a.conn.dialect == RabbitMQ3 {
		return &bus.Condition{Name: bus.NotImplemented, Description: "this broker does not drain"}
	}
	if err := a.link.DrainCredit(ctx, nil); err != nil {
		if died(err) {
			r.lose(a)
		}
		return clacks.E(clacks.Unavailable, "remote.drain", "the credit was not used up: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.credit = 0
	return nil
}
