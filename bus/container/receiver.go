package container

import (
	"context"
	"sync"

	"clacks"
	"clacks/bus"
)

// receiver is a receiving link of this process. There is no goroutine behind it: who calls Receive asks the source himself,
// when there is credit.
type receiver struct {
	connection *Connection
	source     bus.Source
	address    string
	options    bus.ReceiverOptions
	turn       chan struct{} // of one place: who has put something in may ask the source
	done       chan struct{}
	once       sync.Once

	mu        sync.Mutex
	unsettled uint32
	credit    uint32             // of a manual receiver
	drained   []*bus.Delivery    // what a drain brought
	draining  int                // drains that want the turn: nobody else takes it
	changed   chan struct{}      // closed at the next change of the above; nil while nobody waits
	interrupt context.CancelFunc // ends the source's Next that runs; nil when there is none
}

var _ bus.Receiver = (*receiver)(nil)

func newReceiver(n *Connection, source bus.Source, address string, options bus.ReceiverOptions) *receiver {
	if options.Credit == 0 {
		options.Credit = bus.DefaultCredit
	}
	return &receiver{
		connection: n, source: source, address: address, options: options,
		turn: make(chan struct{}, 1), done: make(chan struct{}),
	}
}

// Address implements bus.Receiver.
func (r *receiver) Address() string { return r.address }

// Receive implements bus.Receiver.
func (r *receiver) Receive(ctx context.Context) (*bus.Delivery, error) {
	for {
		d, changed := r.look()
		if d != nil {
			return d, nil
		}
		if changed != nil {
			if err := r.pause(ctx, changed, nil); err != nil {
				return nil, err
			}
			continue
		}
		d, err := r.ask(ctx)
		if d != nil || err != nil {
			return d, err
		}
	}
}

// look gives what a drain brought; else, when the source cannot be asked now, what to wait for.
func (r *receiver) look() (*bus.Delivery, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.drained) > 0 {
		d := r.drained[0]
		r.drained = r.drained[1:]
		return d, nil
	}
	if r.draining == 0 && r.room() {
		return nil, nil
	}
	if r.changed == nil {
		r.changed = make(chan struct{})
	}
	return nil, r.changed
}

// room reports whether there is credit. The lock is held.
func (r *receiver) room() bool {
	switch {
	case r.options.Manual:
		return r.credit > 0
	case r.options.Settled:
		return true
	default:
		return r.unsettled < r.options.Credit
	}
}

// signal wakes those who wait for a change. The lock is held.
func (r *receiver) signal() {
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}

// pause waits for a change, or for the turn.
func (r *receiver) pause(ctx context.Context, changed <-chan struct{}, turn chan<- struct{}) error {
	select {
	case <-r.done:
		return gone("the receiver is closed")
	default:
	}
	select {
	case <-changed:
		return nil
	case turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-r.done:
		return gone("the receiver is closed")
	}
}

// ask asks the source, when it is this caller's turn and there is credit still. It gives nothing when it was interrupted.
func (r *receiver) ask(ctx context.Context) (*bus.Delivery, error) {
	if err := r.pause(ctx, nil, r.turn); err != nil {
		return nil, err
	}
	defer func() { <-r.turn }()
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	if !r.begin(cancel) {
		return nil, nil
	}
	d, err := r.source.Ready()
	if d == nil && err == nil {
		d, err = r.source.Next(waiting)
	}
	r.mu.Lock()
	r.interrupt = nil
	r.mu.Unlock()
	if d != nil {
		return r.track(ctx, d), nil
	}
	if err != nil && waiting.Err() != nil && ctx.Err() == nil {
		return nil, nil
	}
	return nil, err
}

// begin notes how to interrupt who asks the source, or says that it is not to be asked now.
func (r *receiver) begin(interrupt context.CancelFunc) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.done:
		return false
	default:
	}
	if r.draining > 0 || !r.room() {
		return false
	}
	r.interrupt = interrupt
	return true
}

// track counts a delivery, and sees when it is settled.
func (r *receiver) track(ctx context.Context, d *bus.Delivery) *bus.Delivery {
	if r.options.Settled {
		_ = d.Accept(ctx) // nobody would hear of the failure: this is at most once
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.options.Manual {
		r.credit--
	}
	if r.options.Settled {
		return bus.NewDelivery(d.Message, nil)
	}
	if r.options.Manual {
		return d
	}
	r.unsettled++
	return bus.NewDelivery(d.Message, func(ctx context.Context, disposition bus.Disposition) error {
		err := d.Settle(ctx, disposition)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.unsettled--
		r.signal()
		return err
	})
}

// Issue implements bus.Receiver.
func (r *receiver) Issue(_ context.Context, credit uint32) error {
	if !r.options.Manual {
		return clacks.E(clacks.Invalid, "container.issue", "the credit of this receiver is automatic")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.credit += credit
	r.signal()
	return nil
}

// Drain implements bus.Receiver.
func (r *receiver) Drain(ctx context.Context) error {
	if !r.options.Manual {
		return clacks.E(clacks.Invalid, "container.drain", "the credit of this receiver is automatic")
	}
	r.mu.Lock()
	r.draining++
	if r.interrupt != nil {
		r.interrupt()
	}
	r.mu.Unlock()
	err := r.pause(ctx, nil, r.turn)
	if err == nil {
		err = r.drain(ctx)
		<-r.turn
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.draining--
	r.signal()
	return err
}

// drain takes what is there, and the rest of the credit back. It is this caller's turn.
func (r *receiver) drain(ctx context.Context) error {
	for {
		r.mu.Lock()
		left := r.credit
		r.mu.Unlock()
		if left == 0 {
			return nil
		}
		d, err := r.source.Ready()
		if err != nil {
			return err
		}
		if d == nil {
			break
		}
		d = r.track(ctx, d)
		r.mu.Lock()
		r.drained = append(r.drained, d)
		r.mu.Unlock()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.credit = 0
	return nil
}

// Close implements bus.Receiver.
func (r *receiver) Close(ctx context.Context) error {
	r.connection.drop(r)
	r.end(ctx, true)
	return nil
}

// end ends the link. A Next that runs is interrupted and waited for, as long as the context allows.
func (r *receiver) end(ctx context.Context, expired bool) {
	r.once.Do(func() {
		close(r.done)
		r.mu.Lock()
		if r.interrupt != nil {
			r.interrupt()
		}
		r.mu.Unlock()
		select {
		case r.turn <- struct{}{}: // never given back
		case <-ctx.Done():
		}
		r.source.Close(expired)
	})
}
