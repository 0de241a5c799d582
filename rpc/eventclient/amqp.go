package eventclient

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"clacks"
	"clacks/bus"
	"clacks/rpc/busevents"
	"clacks/rpc/client"
)

// AMQPOptions say who speaks to which domain.
type AMQPOptions struct {
	Domain string // "org.clacks" unless given
	// User is who the program is on the bus; commands carry the name.
	User string
}

// AMQP is a Transport over a bus: the node of all events ({domain}.events), with a filter for the query, and the commands. The bus
// is that of a service itself (its own nodes, or its AMQP port); brokers between a service and its clients apply no filters.
// The bus is the caller's to close, after the client.
func AMQP(b bus.Bus, o AMQPOptions) Transport {
	if o.Domain == "" {
		o.Domain = client.DefaultDomain
	}
	return &overBus{bus: b, names: bus.Names(o.Domain), user: o.User}
}

type overBus struct {
	bus   bus.Bus
	names bus.Names
	user  string

	mu        sync.Mutex
	sender    bus.Sender     // nil until it is needed
	requester *bus.Requester // likewise
}

// streamCredit is how many events may be under way on one link.
const streamCredit = 128

// Stream implements Transport. A bus attaches a link anew by itself after a loss, with the filters that it had: the events since
// then come once more. That is how the loss is noticed; the stream ends, and the next one begins behind the last event.
func (t *overBus) Stream(ctx context.Context, query string, after int64, opened func(int64), deliver func(Event) error) error {
	if after == Now {
		var err error
		if after, err = t.last(ctx); err != nil {
			return err
		}
	}
	receiver, err := t.bus.Receiver(ctx, t.names.Events(), bus.ReceiverOptions{Settled: true, Credit: streamCredit, Filters: []bus.Filter{
		{Name: "query", Descriptor: busevents.QueryFilter, Code: busevents.QueryFilterCode, Value: query},
		{Name: "from", Descriptor: busevents.FromFilter, Value: after + 1},
	}})
	if err != nil {
		return failure(err)
	}
	defer closeLink(receiver)
	opened(after)
	for {
		d, err := receiver.Receive(ctx)
		if err != nil { // whether that will last is found out by the next attach
			return &clacks.Error{Op: "eventclient.stream", Kind: clacks.Unavailable, Reason: "the event stream ended", Err: err}
		}
		_ = d.Accept(ctx) // it is settled already, where the bus could do so
		e, err := eventIn(d.Message)
		if err != nil {
			return err
		}
		if e.Sequence <= after {
			return nil
		}
		after = e.Sequence
		if err := deliver(e); err != nil {
			return err
		}
	}
}

func eventIn(m *bus.Message) (Event, error) {
	sequence, ok := m.Application["sequence"].(int64)
	if !ok || m.Value != nil {
		return Event{}, clacks.E(clacks.Internal, "eventclient.stream", "the service sent what is no event")
	}
	return Event{Sequence: sequence, Type: m.Properties.Subject, Document: m.Body}, nil
}

// last is the number of the newest event.
func (t *overBus) last(ctx context.Context) (int64, error) {
	answer, err := t.Call(ctx, "getLastEvent", nil)
	if err != nil {
		return 0, err
	}
	var newest struct{ Sequence int64 }
	if err := json.Unmarshal(answer, &newest); err != nil {
		return 0, clacks.E(clacks.Internal, "eventclient.stream", "the service did not say how far its log is: %w", err)
	}
	return newest.Sequence, nil
}

// Send implements Transport. The bus does not tell the sequence number.
func (t *overBus) Send(ctx context.Context, document []byte, key string) (int64, error) {
	sender, err := t.eventSender(ctx)
	if err != nil {
		return 0, failure(err)
	}
	err = sender.Send(ctx, &bus.Message{
		Properties:  bus.Properties{ContentType: "application/xml", UserID: []byte(t.user)},
		Application: map[string]any{"idempotency-key": key}, Body: document,
	})
	var modified *bus.Modified
	if err != nil && !errors.Is(err, bus.ErrReleased) && !errors.As(err, &modified) {
		t.forget(sender) // it may be the link that was refused; the next one is told anew
	}
	return 0, failure(err)
}

func (t *overBus) eventSender(ctx context.Context) (bus.Sender, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sender == nil {
		sender, err := t.bus.Sender(ctx, t.names.Events(), bus.SenderOptions{})
		if err != nil {
			return nil, err
		}
		t.sender = sender
	}
	return t.sender, nil
}

func (t *overBus) forget(sender bus.Sender) {
	t.mu.Lock()
	if t.sender == sender {
		t.sender = nil
	}
	t.mu.Unlock()
	closeLink(sender)
}

// Call implements Transport.
func (t *overBus) Call(ctx context.Context, method string, params any) (json.RawMessage, error) {
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if params == nil {
		body, err = json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method})
	}
	if err != nil {
		return nil, clacks.E(clacks.Invalid, "eventclient.call", "the parameters cannot be written: %w", err)
	}
	requester, err := t.commands(ctx)
	if err != nil {
		return nil, failure(err)
	}
	m := &bus.Message{Body: body, Properties: bus.Properties{UserID: []byte(t.user), ContentType: "application/json"}}
	if deadline, ok := ctx.Deadline(); ok {
		m.Header.TTL = max(time.Until(deadline), time.Millisecond)
	}
	reply, err := requester.Request(ctx, m)
	if err != nil {
		return nil, failure(err)
	}
	return client.ReadAnswer(reply.Body)
}

func (t *overBus) commands(ctx context.Context) (*bus.Requester, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.requester == nil {
		requester, err := bus.NewRequester(ctx, t.bus, t.names.Command(bus.Core), t.names)
		if err != nil {
			return nil, err
		}
		t.requester = requester
	}
	return t.requester, nil
}

// failure is an error of the bus as the kinds of clacks have it.
func failure(err error) error {
	var refused *bus.Condition
	var modified *bus.Modified
	switch {
	case errors.Is(err, bus.ErrReleased):
		return clacks.E(clacks.Unavailable, "eventclient.bus", "the service does not take events at the moment")
	case errors.As(err, &modified):
		return clacks.E(clacks.InDoubt, "eventclient.bus", "what became of the event is not known")
	case errors.As(err, &refused):
		return &clacks.Error{Op: "eventclient.bus", Kind: kindOf(refused), Reason: refused.Description, Err: err}
	}
	return err
}

// kindOf is that of a condition; the two kinds that AMQP has no name for are named by us.
func kindOf(c *bus.Condition) clacks.Kind {
	for _, kind := range []clacks.Kind{clacks.Unavailable, clacks.InDoubt} {
		if c.Name == "clacks:"+kind.String() {
			return kind
		}
	}
	return c.Kind()
}

// closeTime bounds the orderly end of a link.
const closeTime = 5 * time.Second

func closeLink(l interface{ Close(context.Context) error }) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	_ = l.Close(ctx) // nobody needs it any more
}
