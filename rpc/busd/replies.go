package busd

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"clacks"
	"clacks/bus"
)

// replies sends answers to the addresses that requests name.
type replies struct {
	bus       bus.Bus
	anonymous bool // one link for all addresses (AMQP 1.0 Anonymous Terminus)
	now       func() time.Time

	mu    sync.Mutex
	links map[string]*replyLink
}

// replyLink is a link to one address. It is attached by the first who needs it, while others wait.
type replyLink struct {
	ready  chan struct{}
	sender bus.Sender
	err    error
	users  int
	last   time.Time
}

// maxReplyLinks bounds how many links are kept.
const maxReplyLinks = 256

// send sends an answer. lost says that the connection to the bus is gone, so that the request will be delivered once more;
// any other error means that nobody can have the answer.
func (r *replies) send(ctx context.Context, address string, m *bus.Message) (lost bool, err error) {
	key := address
	if r.anonymous {
		key = ""
	}
	link, err := r.take(ctx, key)
	if err != nil {
		return isLost(ctx, err), err
	}
	err = link.sender.Send(ctx, m)
	var refused *bus.Condition
	r.put(key, link, errors.As(err, &refused) && key != "")
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

// take finds or attaches the link to an address; put gives it back.
func (r *replies) take(ctx context.Context, key string) (*replyLink, error) {
	r.mu.Lock()
	link := r.links[key]
	if link == nil {
		link = &replyLink{ready: make(chan struct{})}
		r.makeRoom()
		r.links[key] = link
		go r.attach(ctx, key, link)
	}
	link.users++
	r.mu.Unlock()
	select {
	case <-link.ready:
	case <-ctx.Done():
		r.put(key, link, false)
		return nil, ctx.Err()
	}
	if link.err != nil {
		r.put(key, link, true)
		return nil, link.err
	}
	return link, nil
}

func (r *replies) attach(ctx context.Context, key string, link *replyLink) {
	link.sender, link.err = r.bus.Sender(ctx, key, bus.SenderOptions{})
	close(link.ready)
}

// put gives a link back. One that is dead is forgotten; the next answer attaches a fresh one.
func (r *replies) put(key string, link *replyLink, dead bool) {
	r.mu.Lock()
	link.users--
	link.last = r.now()
	if dead && r.links[key] == link {
		delete(r.links, key)
	}
	unused := r.links[key] != link && link.users == 0
	r.mu.Unlock()
	if unused {
		link.close()
	}
}

func (l *replyLink) close() {
	<-l.ready
	if l.sender != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = l.sender.Close(ctx)
	}
}

// makeRoom gives up the link that has been idle for the longest time.
func (r *replies) makeRoom() {
	if len(r.links) < maxReplyLinks {
		return
	}
	oldest := ""
	for key, link := range r.links {
		if link.users == 0 && (r.links[oldest] == nil || link.last.Before(r.links[oldest].last)) {
			oldest = key
		}
	}
	if link := r.links[oldest]; link != nil && link.users == 0 {
		delete(r.links, oldest)
		go link.close()
	}
}

// close ends all links.
func (r *replies) close() {
	r.mu.Lock()
	links := r.links
	r.links = map[string]*replyLink{}
	r.mu.Unlock()
	for _, link := range links {
		link.close()
	}
}

// maxAddress bounds an address in bytes.
const maxAddress = 1024

// mayReply refuses addresses that no client of its own has for replies: an agent may write to more of them than the client
// may, and must not do it for him.
func mayReply(names bus.Names, address string) error {
	if len(address) > maxAddress {
		return clacks.E(clacks.Invalid, "busd.reply", "the property reply-to is longer than %d bytes", maxAddress)
	}
	plain := strings.TrimPrefix(strings.TrimPrefix(address, "/queues/"), "/queue/")
	if strings.HasPrefix(plain, string(names)+".") && !strings.HasPrefix(plain, names.Reply("")) {
		return clacks.E(clacks.Denied, "busd.reply", "the property reply-to names no queue for replies: those of the domain begin with %s", names.Reply(""))
	}
	return nil
}
