package bus

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"time"

	"clacks"
)

// Requester sends requests and waits for their replies: each request names the requester's own node in reply-to, and its reply
// carries the request's message-id as correlation-id. It attaches its links when they are first needed, and is safe for
// concurrent use.
type Requester struct {
	bus     Bus
	options RequesterOptions

	opening chan struct{} // holds a token while somebody attaches a link
	ctx     context.Context
	stop    context.CancelFunc

	mu      sync.Mutex
	inbox   *inbox
	senders map[string]Sender
	pending map[string]chan *Message
}

// inbox is the link on which replies come.
type inbox struct {
	Receiver
	ended chan struct{} // closed when no more replies come
}

// RequesterOptions are the wishes of who requests.
type RequesterOptions struct {
	// ReplyTo is the address for the replies, which nobody else may read; "" for a dynamic node, which not every broker has.
	ReplyTo string
	// Credit is how many replies may be on their way at once; 0 means DefaultCredit.
	Credit uint32
}

// maxRequestAddresses bounds how many sending links a requester keeps.
const maxRequestAddresses = 64

// NewRequester makes a requester on a bus. It does not close the bus.
func NewRequester(b Bus, options RequesterOptions) *Requester {
	ctx, cancel := context.WithCancel(context.Background())
	return &Requester{bus: b, options: options, opening: make(chan struct{}, 1), ctx: ctx, stop: cancel,
		senders: map[string]Sender{}, pending: map[string]chan *Message{}}
}

// Request sends a message to an address and waits for its reply. A message without a message-id gets one; reply-to is set. What
// kept the message from being taken is returned as Sender.Send has it; clacks.InDoubt means that it was taken and that no
// reply came in the time of the context, or before the connection was lost.
func (r *Requester) Request(ctx context.Context, address string, m *Message) (*Message, error) {
	box, err := r.replies(ctx)
	if err != nil {
		return nil, err
	}
	request, key := *m, ""
	if request.Properties.MessageID == nil {
		request.Properties.MessageID = rand.Text()
	}
	if key, err = correlation(request.Properties.MessageID); err != nil {
		return nil, err
	}
	request.Bare = nil
	request.Properties.ReplyTo = box.Address()
	answer, err := r.expect(key)
	if err != nil {
		return nil, err
	}
	defer r.forget(key)
	if err := r.send(ctx, address, &request); err != nil {
		return nil, err
	}
	return r.await(ctx, box, request.Properties.ReplyTo, answer)
}

// replyCheck is how often a waiting request looks whether its reply can still come.
const replyCheck = time.Second

func (r *Requester) await(ctx context.Context, box *inbox, replyTo string, answer <-chan *Message) (*Message, error) {
	ticker := time.NewTicker(replyCheck)
	defer ticker.Stop()
	for {
		select {
		case m := <-answer:
			return m, nil
		case <-ctx.Done():
			return nil, clacks.E(clacks.InDoubt, "bus.request", "no reply came in time: %w", ctx.Err())
		case <-box.ended:
			return nil, clacks.E(clacks.InDoubt, "bus.request", "the link for replies ended before the reply came")
		case <-ticker.C:
			if box.Address() != replyTo { // a dynamic node goes with its connection
				return nil, clacks.E(clacks.InDoubt, "bus.request", "the connection was lost before the reply came")
			}
		}
	}
}

// correlation is a message-id as a key; ids of different types are different.
func correlation(id any) (string, error) {
	switch id := id.(type) {
	case string:
		return "s" + id, nil
	case []byte:
		return "b" + string(id), nil
	case UUID:
		return "u" + string(id[:]), nil
	case uint64:
		var b [9]byte
		b[0] = 'n'
		for i := range 8 {
			b[i+1] = byte(id >> (8 * i))
		}
		return string(b[:]), nil
	}
	return "", clacks.E(clacks.Invalid, "bus.request", "a message-id is a string, a number, binary or a UUID, not %T", id)
}

func (r *Requester) expect(key string) (<-chan *Message, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pending[key] != nil {
		return nil, clacks.E(clacks.Invalid, "bus.request", "a request with this message-id is waiting for its reply")
	}
	answer := make(chan *Message, 1)
	r.pending[key] = answer
	return answer, nil
}

func (r *Requester) forget(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.pending, key)
}

// send sends over the link to the address. One that the node refused or ended is attached anew by the next request.
func (r *Requester) send(ctx context.Context, address string, m *Message) error {
	sender, err := r.sender(ctx, address)
	if err != nil {
		return err
	}
	err = sender.Send(ctx, m)
	var refused *Condition
	if errors.As(err, &refused) {
		r.drop(address, sender)
	}
	return err
}

func (r *Requester) drop(address string, sender Sender) {
	r.mu.Lock()
	if r.senders[address] == sender {
		delete(r.senders, address)
	}
	r.mu.Unlock()
	_ = sender.Close(expired()) // at once: the link is of no more use
}

// expired is a context that lets nothing wait.
func expired() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func (r *Requester) sender(ctx context.Context, address string) (Sender, error) {
	if s := r.known(address); s != nil {
		return s, nil
	}
	release, err := r.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	if s := r.known(address); s != nil {
		return s, nil
	}
	s, err := r.bus.Sender(ctx, address, SenderOptions{})
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	var superfluous Sender
	for other, sender := range r.senders {
		if len(r.senders) >= maxRequestAddresses {
			superfluous = sender
			delete(r.senders, other)
		}
		break
	}
	r.senders[address] = s
	r.mu.Unlock()
	if superfluous != nil {
		_ = superfluous.Close(expired())
	}
	return s, nil
}

func (r *Requester) known(address string) Sender {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.senders[address]
}

// enter lets one at a time attach links.
func (r *Requester) enter(ctx context.Context) (release func(), err error) {
	select {
	case r.opening <- struct{}{}:
		return func() { <-r.opening }, nil
	case <-r.ctx.Done():
		return nil, clacks.E(clacks.Unavailable, "bus.request", "the connection is closed")
	case <-ctx.Done():
		return nil, clacks.E(clacks.Unavailable, "bus.request", "the bus is not there: %w", ctx.Err())
	}
}

// replies is the inbox; it is attached once, and again when it has ended.
func (r *Requester) replies(ctx context.Context) (*inbox, error) {
	if box := r.attached(); box != nil {
		return box, nil
	}
	release, err := r.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	if box := r.attached(); box != nil {
		return box, nil
	}
	receiver, err := r.bus.Receiver(ctx, r.options.ReplyTo,
		ReceiverOptions{Dynamic: r.options.ReplyTo == "", Credit: r.options.Credit, Settled: true})
	if err != nil {
		return nil, err
	}
	box := &inbox{Receiver: receiver, ended: make(chan struct{})}
	r.mu.Lock()
	r.inbox = box
	r.mu.Unlock()
	go r.read(box)
	return box, nil
}

func (r *Requester) attached() *inbox {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.inbox
}

// read gives each reply to who waits for it, until the requester is closed or the link has ended for good.
func (r *Requester) read(box *inbox) {
	defer close(box.ended)
	for {
		d, err := box.Receive(r.ctx)
		if err != nil {
			r.mu.Lock()
			if r.inbox == box {
				r.inbox = nil
			}
			r.mu.Unlock()
			_ = box.Close(expired())
			return
		}
		_ = d.Accept(r.ctx) // most buses have settled it already
		r.deliver(d.Message)
	}
}

// deliver drops replies that nobody waits for (any more).
func (r *Requester) deliver(m *Message) {
	key, err := correlation(m.Properties.CorrelationID)
	if err != nil {
		return
	}
	r.mu.Lock()
	answer := r.pending[key]
	r.mu.Unlock()
	if answer == nil {
		return
	}
	select {
	case answer <- m:
	default: // a second reply to one request
	}
}

// Close ends the links within the context's time; requests that wait end with clacks.InDoubt.
func (r *Requester) Close(ctx context.Context) error {
	r.stop()
	r.mu.Lock()
	box, senders := r.inbox, r.senders
	r.inbox, r.senders = nil, map[string]Sender{}
	r.mu.Unlock()
	var problems []error
	if box != nil {
		problems = append(problems, box.Close(ctx))
		<-box.ended
	}
	for _, s := range senders {
		problems = append(problems, s.Close(ctx))
	}
	return errors.Join(problems...)
}
