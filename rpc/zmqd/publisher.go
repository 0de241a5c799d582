package zmqd

import (
	"bytes"
	"context"
	"sync"
	"sync/atomic"

	"github.com/go-zeromq/zmq4"
)

// publisher gives messages to subscribers. Publishing waits for nobody: a message is put into the queues of those that
// want it, and each has a goroutine that writes.
type publisher struct {
	limits Limits

	mu          sync.Mutex
	subscribers map[*subscriber]bool
	held        int // bytes of the messages that wait, each counted once

	published, sent, dropped atomic.Int64
}

// shared is a message that waits for several subscribers.
type shared struct {
	data  []byte
	users int // guarded by publisher.mu
}

// subscriber is one connection. All but wake is guarded by publisher.mu.
type subscriber struct {
	topics map[string]bool
	queue  []*shared
	bytes  int
	wake   chan struct{} // holds a token when there is something to write
	cut    func()        // ends the connection
}

func newPublisher(l Limits) *publisher {
	return &publisher{limits: l, subscribers: map[*subscriber]bool{}}
}

func (p *publisher) join(cut func()) *subscriber {
	s := &subscriber{topics: map[string]bool{}, wake: make(chan struct{}, 1), cut: cut}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.subscribers[s] = true
	return s
}

func (p *publisher) leave(s *subscriber) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop(s)
}

// drop forgets a subscriber and what waits for it.
func (p *publisher) drop(s *subscriber) {
	delete(p.subscribers, s)
	for _, m := range s.queue {
		p.release(m)
	}
	s.queue, s.bytes = nil, 0
}

func (p *publisher) release(m *shared) {
	if m.users--; m.users == 0 {
		p.held -= len(m.data)
	}
}

// wants reports whether one of the topics is how a message begins.
func (s *subscriber) wants(m []byte) bool {
	for topic := range s.topics {
		if bytes.HasPrefix(m, []byte(topic)) {
			return true
		}
	}
	return false
}

// publish queues a message for all that want it. The message must not be changed any more.
func (p *publisher) publish(data []byte) {
	p.published.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.makeRoom(len(data))
	m := &shared{data: data}
	for s := range p.subscribers {
		if !s.wants(data) {
			continue
		}
		if len(s.queue) > 0 && (len(s.queue) >= p.limits.Queue || s.bytes+len(data) > p.limits.QueueBytes) {
			p.dropped.Add(1)
			continue
		}
		m.users++
		s.queue = append(s.queue, m)
		s.bytes += len(data)
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
	if m.users > 0 {
		p.held += len(data)
	}
}

// makeRoom cuts off those for whom most is waiting, until a message has room.
func (p *publisher) makeRoom(size int) {
	for p.held > 0 && p.held+size > p.limits.Held {
		var slowest *subscriber
		for s := range p.subscribers {
			if slowest == nil || s.bytes > slowest.bytes {
				slowest = s
			}
		}
		if slowest == nil || slowest.bytes == 0 {
			return // what is held is being written
		}
		p.dropped.Add(int64(len(slowest.queue)))
		p.drop(slowest)
		slowest.cut()
	}
}

// next is the first message of a queue, nil when it is empty. done is called when it is written.
func (p *publisher) next(s *subscriber) (m *shared, done func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(s.queue) == 0 {
		return nil, nil
	}
	m = s.queue[0]
	s.queue[0] = nil
	s.queue = s.queue[1:]
	s.bytes -= len(m.data)
	return m, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.release(m)
	}
}

// maxTopic is the length of a subscription in bytes: a name with its NUL, and a little of the payload.
const maxTopic = 512

// subscribe follows a subscription message (ZMTP 3.0, section "The Publish-Subscribe Pattern"); false when there are too
// many.
func (p *publisher) subscribe(s *subscriber, m []byte) bool {
	if len(m) == 0 || m[0] > 1 {
		return true // no subscription: a PUB socket ignores what else is sent to it
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	topic := string(m[1:])
	if m[0] == 0 {
		delete(s.topics, topic)
		return true
	}
	s.topics[topic] = true
	return len(s.topics) <= p.limits.Topics
}

// serveSubscriber reads subscriptions and writes messages until the connection ends.
func (g *Gateway) serveSubscriber(ctx context.Context, l *link) {
	p := g.publisher
	s := p.join(func() {
		g.cut.Add(1)
		_ = l.Close()
	})
	ctx, cancel := context.WithCancel(ctx)
	var writing sync.WaitGroup
	writing.Go(func() {
		g.write(ctx, l, s)
		_ = l.Close() // the reader ends with it
	})
	defer func() {
		p.leave(s)
		cancel()
		_ = l.Close()
		writing.Wait()
	}()
	for {
		frames, err := l.receive()
		if err != nil {
			g.ended(l, err)
			return
		}
		if len(frames) == 1 && !p.subscribe(s, frames[0]) {
			g.cut.Add(1)
			g.tell(l, "a subscriber with more than %d subscriptions was cut off", g.limits.Topics)
			return
		}
	}
}

// write writes what is queued.
func (g *Gateway) write(ctx context.Context, l *link, s *subscriber) {
	for {
		m, done := g.publisher.next(s)
		if m == nil {
			select {
			case <-ctx.Done():
				return
			case <-s.wake:
				continue
			}
		}
		err := l.whole(func() error { return l.peer.SendMsg(zmq4.NewMsg(m.data)) })
		done()
		if err != nil {
			g.ended(l, err)
			return
		}
		g.publisher.sent.Add(1)
	}
}
