package client

import (
	"context"
	"errors"
	"strconv"
	"time"

	"clacks"
	"clacks/bus"
	"clacks/bus/remote"
)

// The filters of the node of all events, as clacks/rpc/busevents applies them.
const (
	queryFilter = "apache.org:xquery-filter:string"
	fromFilter  = "clacks:from"
)

// listening is an event stream over AMQP, over all its connections.
type listening struct {
	client *Client
	query  string
	from   string // where the next link begins
	last   int64  // the sequence number of the last event
	yield  func(Event, error) bool
}

// busStream is Events over AMQP. The links of a bus come back by themselves, with the filters that they had at first; what
// happened in between would be lost. So each connection gets a link of its own, which begins behind the last event.
func (c *Client) busStream(ctx context.Context, query, from string, yield func(Event, error) bool) {
	l := &listening{client: c, query: query, from: from, yield: yield}
	lost := make(chan struct{}, 1)
	connection, err := c.listen(ctx, func(s remote.State) {
		if s.Connected {
			return
		}
		select {
		case lost <- struct{}{}:
		default:
		}
	})
	if err != nil {
		l.fail(ctx, err)
		return
	}
	defer func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = connection.Close(ending)
	}()
	for first := true; ctx.Err() == nil; first = false {
		err := l.follow(ctx, connection, lost)
		switch {
		case err == nil:
			return
		case errors.Is(err, errLost):
			continue
		case first || !passing(err):
			l.fail(ctx, err)
			return
		}
		timer := time.NewTimer(firstPause)
		select {
		case <-ctx.Done():
			timer.Stop()
		case <-timer.C:
		}
	}
}

// errLost says that the connection of a link is gone.
var errLost = errors.New("client: the connection was lost")

// fail yields an error, unless the context has ended.
func (l *listening) fail(ctx context.Context, err error) {
	if ctx.Err() == nil {
		l.yield(Event{}, l.client.busFailure(ctx, err))
	}
}

// follow opens one link and yields its events. The error is nil when the loop has ended, errLost after a loss.
func (l *listening) follow(ctx context.Context, connection *remote.Client, lost <-chan struct{}) error {
	select {
	case <-lost: // before this link
	default:
	}
	// While this link lives ctx ends with its connection: nothing that comes over the next one may pass for its own.
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	go func() {
		select {
		case <-lost:
			end(errLost)
		case <-ctx.Done():
		}
	}()
	began := time.Now()
	receiver, err := connection.Receiver(ctx, l.client.names().Events(), bus.ReceiverOptions{Filters: l.filters()})
	if err != nil {
		return l.cause(ctx, err)
	}
	defer func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = receiver.Close(ending)
	}()
	if l.from == "" {
		l.from = began.UTC().Format(time.RFC3339Nano) // should the connection be lost before the first event
	}
	for {
		delivery, err := receiver.Receive(ctx)
		if err != nil || ctx.Err() != nil {
			return l.cause(ctx, err)
		}
		if stop, err := l.take(delivery.Message); stop || err != nil {
			return err
		}
		_ = delivery.Accept(ctx) // the node keeps nothing
	}
}

// cause is why a link has ended: the end of its context goes first.
func (l *listening) cause(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errLost) {
		return errLost
	}
	if ctx.Err() != nil {
		return nil
	}
	return l.client.busFailure(ctx, err)
}

func (l *listening) filters() []bus.Filter {
	var filters []bus.Filter
	if l.query != "" {
		filters = append(filters, bus.Filter{Name: queryFilter, Descriptor: queryFilter, Value: l.query})
	}
	if l.from != "" {
		filters = append(filters, bus.Filter{Name: fromFilter, Descriptor: fromFilter, Value: l.from})
	}
	return filters
}

// take yields one event; one that came before is left out.
func (l *listening) take(m *bus.Message) (stop bool, err error) {
	sequence, ok := m.Application["sequence"].(int64)
	if !ok || m.Value != nil {
		return false, clacks.E(clacks.Internal, "client.events", "the service sent an event without a sequence number")
	}
	if sequence <= l.last {
		return false, nil
	}
	l.last, l.from = sequence, strconv.FormatInt(sequence+1, 10)
	return !l.yield(Event{Sequence: sequence, Type: m.Properties.Subject, Document: m.Body}, nil), nil
}
