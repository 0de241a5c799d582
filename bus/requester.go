package bus

import (
	"context"
	"crypto/rand"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"

	"clacks"
)

// Requester sends requests and gives each the reply that belongs to it. Replies come to a dynamic node, or, where the bus
// makes none, to a queue of this requester's own. It is safe for concurrent use.
type Requester struct {
	sender   Sender
	receiver Receiver
	id       string
	next     atomic.Uint64
	stop     context.CancelFunc
	stopped  chan struct{}

	mu      sync.Mutex
	pending map[string]chan<- answer
	err     error // why there are no replies any more
}

type answer struct {
	reply *Message
	err   error
}

// replyCredit is how many replies may be under way to a requester.
const replyCredit = 256

// NewRequester attaches the two links of a requester. Requests go to an address; "" sends each to where its To says, at buses
// that have the anonymous node. The names are for the reply queue where there are no dynamic nodes.
func NewRequester(ctx context.Context, b Bus, address string, names Names) (*Requester, error) {
	sender, err := b.Sender(ctx, address, SenderOptions{})
	if err != nil {
		return nil, err
	}
	id := rand.Text()
	receiver, err := replies(ctx, b, names.Reply(id))
	if err != nil {
		return nil, errors.Join(err, sender.Close(ctx))
	}
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	r := &Requester{
		sender: sender, receiver: receiver, id: id, stop: stop, stopped: make(chan struct{}), pending: map[string]chan<- answer{},
	}
	go r.run(life)
	return r, nil
}

// replies attaches to a dynamic node, or to a queue where the bus makes none. Replies are sent settled: one that is lost with
// its connection belongs to nobody any more.
func replies(ctx context.Context, b Bus, queue string) (Receiver, error) {
	receiver, err := b.Receiver(ctx, "", ReceiverOptions{Dynamic: true, Settled: true, Credit: replyCredit})
	var refused *Condition
	if errors.As(err, &refused) && refused.Name == NotImplemented {
		return b.Receiver(ctx, queue, ReceiverOptions{Settled: true, Credit: replyCredit})
	}
	return receiver, err
}

// Request sends a message and waits for its reply. The message is not changed: what is sent is a copy with reply-to,
// correlation-id, and, where it has none, a message-id of this requester's. Without a reply in the context's time, or with a
// loss, the error is clacks.InDoubt once the request was sent. The functions prepare see the copy before it is sent, and may
// change it: what depends on reply-to can be told there.
func (r *Requester) Request(ctx context.Context, m *Message, prepare ...func(*Message) error) (*Message, error) {
	key := r.id + "-" + strconv.FormatUint(r.next.Add(1), 36)
	replied := make(chan answer, 1)
	if err := r.expect(key, replied); err != nil {
		return nil, err
	}
	defer r.forget(key)
	request := *m
	request.Bare = nil // its properties are others now
	request.Properties.CorrelationID = key
	request.Properties.ReplyTo = r.receiver.Address()
	if request.Properties.MessageID == nil {
		request.Properties.MessageID = key
	}
	for _, f := range prepare {
		if err := f(&request); err != nil {
			return nil, err
		}
	}
	if err := r.sender.Send(ctx, &request); err != nil {
		return nil, err
	}
	select {
	case a := <-replied:
		return a.reply, a.err
	case <-ctx.Done():
		return nil, clacks.E(clacks.InDoubt, "bus.request", "no reply came in time: %w", ctx.Err())
	}
}

func (r *Requester) expect(key string, replied chan<- answer) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return clacks.E(clacks.Unavailable, "bus.request", "the requester is closed: %w", r.err)
	}
	r.pending[key] = replied
	return nil
}

func (r *Requester) forget(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.pending, key)
}

// run hands out replies until the receiver ends.
func (r *Requester) run(ctx context.Context) {
	defer close(r.stopped)
	for {
		d, err := r.receiver.Receive(ctx)
		if errors.Is(err, ErrRenewed) {
			r.fail(clacks.E(clacks.InDoubt, "bus.request", "the connection was lost with the reply"), false)
			continue
		}
		if err != nil {
			r.fail(clacks.E(clacks.InDoubt, "bus.request", "no reply can come any more: %w", err), true)
			return
		}
		r.answer(d.Message)
		_ = d.Accept(ctx) // it is settled already, where the bus could do so
	}
}

// answer gives a reply to its request. One that nobody waits for came too late.
func (r *Requester) answer(reply *Message) {
	key, _ := reply.Properties.CorrelationID.(string)
	r.mu.Lock()
	defer r.mu.Unlock()
	if replied := r.pending[key]; replied != nil {
		delete(r.pending, key)
		replied <- answer{reply: reply}
	}
}

// fail ends the requests that wait.
func (r *Requester) fail(why error, forGood bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if forGood {
		r.err = why
	}
	for key, replied := range r.pending {
		delete(r.pending, key)
		replied <- answer{err: why}
	}
}

// Close detaches the links; requests that wait end with clacks.InDoubt.
func (r *Requester) Close(ctx context.Context) error {
	r.stop()
	<-r.stopped
	return errors.Join(r.sender.Close(ctx), r.receiver.Close(ctx))
}
