package busd

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
	"time"

	"clacks"
	"clacks/bus"
)

// replies sends answers to the addresses that requests name, over one anonymous link. It is attached by the first who needs
// it, while others wait.
type replies struct {
	bus bus.Bus

	mu   sync.Mutex
	link *replyLink
}

type replyLink struct {
	ready  chan struct{}
	sender bus.Sender
	err    error
}

// send sends an answer to where it says in its property to. lost says that the connection to the bus is gone, so that the
// request will be delivered once more; any other error means that nobody can have the answer.
func (r *replies) send(ctx context.Context, m *bus.Message) (lost bool, err error) {
	link := r.attached(ctx)
	select {
	case <-link.ready:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	if err = link.err; err == nil {
		err = link.sender.Send(ctx, m)
	}
	return isLost(ctx, err), err
}

// isLost tells the loss of a connection from what is wrong with one address, or from an address that takes no messages.
func isLost(ctx context.Context, err error) bool {
	var refused *bus.Condition
	if err == nil || ctx.Err() != nil || errors.As(err, &refused) {
		return false
	}
	return clacks.IsKind(err, clacks.Unavailable) || clacks.IsKind(err, clacks.InDoubt)
}

func (r *replies) attached(ctx context.Context) *replyLink {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.link == nil {
		link := &replyLink{ready: make(chan struct{})}
		r.link = link
		go r.attach(ctx, link)
	}
	return r.link
}

func (r *replies) attach(ctx context.Context, link *replyLink) {
	link.sender, link.err = r.bus.Sender(ctx, "", bus.SenderOptions{})
	if link.err != nil {
		r.mu.Lock()
		r.link = nil // the next answer tries again
		r.mu.Unlock()
	}
	close(link.ready)
}

// close ends the link.
func (r *replies) close() {
	r.mu.Lock()
	link := r.link
	r.link = nil
	r.mu.Unlock()
	if link == nil {
		return
	}
	<-link.ready
	if link.sender == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = link.sender.Close(ctx)
}

// maxAddress bounds an address in bytes.
const maxAddress = 1024

// replyAddress is a plain name for what a client has in reply-to. Addresses that no client has for its replies are refused: an agent may
// write to more of them than the client may, and must not do it for him.
func replyAddress(names bus.Names, address string) (string, error) {
	if len(address) > maxAddress {
		return "", clacks.E(clacks.Invalid, "busd.reply", "the property reply-to is longer than %d bytes", maxAddress)
	}
	plain := address
	for _, prefix := range []string{"/queue/", "/amq/queue/", "/queues/"} { // of RabbitMQ
		if name, ok := strings.CutPrefix(address, prefix); ok {
			var err error
			if plain, err = url.PathUnescape(name); err != nil {
				return "", clacks.E(clacks.Invalid, "busd.reply", "the property reply-to cannot be read")
			}
			break
		}
	}
	if strings.HasPrefix(plain, "/") || strings.HasPrefix(plain, string(names)+".") && !strings.HasPrefix(plain, names.Reply("")) {
		return "", clacks.E(clacks.Denied, "busd.reply", "the property reply-to names no queue for replies: those of the domain begin with %s", names.Reply(""))
	}
	return plain, nil
}
