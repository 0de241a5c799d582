package listener_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"strings"
	"sync"

	"clacks"
	"clacks/access"
	"clacks/bus"
)

// broker is a small container: a queue by address, made when it is first asked for.
type broker struct {
	mu     sync.Mutex
	queues map[string]*queue
	next   int
}

func newBroker() *broker { return &broker{queues: make(map[string]*queue)} }

func (b *broker) queue(address string) *queue {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := b.queues[address]
	if q == nil {
		q = &queue{changed: make(chan struct{})}
		b.queues[address] = q
	}
	return q
}

// Source opens a queue; "secret" is denied, "missing" does not exist.
func (b *broker) Source(_ context.Context, q bus.SourceRequest) (bus.Source, error) {
	if err := allowed(q.Address); err != nil {
		return nil, err
	}
	address := q.Address
	if q.Dynamic {
		b.mu.Lock()
		b.next++
		address = fmt.Sprintf("dynamic-%d", b.next)
		b.mu.Unlock()
	}
	s := &source{queue: b.queue(address), address: address, unsettled: make(map[*bus.Message]bool)}
	for _, f := range q.Filters {
		if f.Descriptor == "apache.org:xquery-filter:string" || f.Code == 0x0000468C00000005 {
			s.applied = append(s.applied, f)
		}
	}
	return s, nil
}

// Target opens a queue, or the anonymous terminus.
func (b *broker) Target(_ context.Context, q bus.TargetRequest) (bus.Target, error) {
	if err := allowed(q.Address); err != nil {
		return nil, err
	}
	return &target{broker: b, address: q.Address, user: q.Peer.User}, nil
}

func allowed(address string) error {
	switch {
	case strings.HasPrefix(address, "secret"):
		return clacks.E(clacks.Denied, "broker", "you may not use %s", address)
	case strings.HasPrefix(address, "missing"):
		return &bus.Condition{Name: bus.NotFound, Description: "there is no node " + address}
	}
	return nil
}

type queue struct {
	mu       sync.Mutex
	messages []*bus.Message
	changed  chan struct{}
	settled  map[bus.Outcome]int
}

func (q *queue) put(messages ...*bus.Message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.messages = append(q.messages, messages...)
	close(q.changed)
	q.changed = make(chan struct{})
}

func (q *queue) back(m *bus.Message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.messages = append([]*bus.Message{m}, q.messages...)
	close(q.changed)
	q.changed = make(chan struct{})
}

func (q *queue) get() (*bus.Message, chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.messages) == 0 {
		return nil, q.changed
	}
	m := q.messages[0]
	q.messages = q.messages[1:]
	return m, nil
}

func (q *queue) count(o bus.Outcome) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.settled == nil {
		q.settled = make(map[bus.Outcome]int)
	}
	q.settled[o]++
}

func (q *queue) outcomes(o bus.Outcome) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.settled[o]
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.messages)
}

type source struct {
	queue   *queue
	address string
	applied []bus.Filter

	mu        sync.Mutex
	unsettled map[*bus.Message]bool
}

func (s *source) Next(ctx context.Context) (*bus.Delivery, error) {
	for {
		m, changed := s.queue.get()
		if m != nil {
			return s.delivery(m), nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *source) Ready() (*bus.Delivery, error) {
	if m, _ := s.queue.get(); m != nil {
		return s.delivery(m), nil
	}
	return nil, nil
}

func (s *source) delivery(m *bus.Message) *bus.Delivery {
	s.mu.Lock()
	s.unsettled[m] = true
	s.mu.Unlock()
	return bus.NewDelivery(m, func(_ context.Context, d bus.Disposition) error {
		s.mu.Lock()
		delete(s.unsettled, m)
		s.mu.Unlock()
		s.queue.count(d.Outcome)
		again := *m
		switch d.Outcome {
		case bus.Released:
			s.queue.back(&again)
		case bus.ModifiedOutcome:
			again.Header.DeliveryCount++
			s.queue.back(&again)
		}
		return nil
	})
}

func (s *source) Applied() []bus.Filter { return s.applied }
func (s *source) Address() string       { return s.address }

func (s *source) Close(bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for m := range s.unsettled {
		again := *m
		again.Header.DeliveryCount++
		s.queue.back(&again)
	}
	clear(s.unsettled)
}

type target struct {
	broker  *broker
	address string
	user    access.User
}

// Put refuses messages of subject "reject" and a user-id that is not the peer's.
func (t *target) Put(_ context.Context, m *bus.Message) bus.Disposition {
	if id := string(m.Properties.UserID); id != "" && id != t.user.ID {
		return bus.Disposition{Outcome: bus.Rejected, Condition: &bus.Condition{Name: bus.Unauthorized, Description: "user-id"}}
	}
	switch m.Properties.Subject {
	case "reject":
		return bus.Disposition{Outcome: bus.Rejected, Condition: &bus.Condition{Name: "clacks:no", Description: "no"}}
	case "release":
		return bus.Disposition{Outcome: bus.Released}
	case "modify":
		return bus.Disposition{Outcome: bus.ModifiedOutcome, Modified: bus.Modified{Failed: true, Elsewhere: true}}
	}
	address := t.address
	if address == "" {
		address = m.Properties.To
	}
	t.broker.queue(address).put(m)
	return bus.Disposition{}
}

func (t *target) Close() {}

// people are ann and bob, whose passwords are their names backwards.
type people struct{}

func (people) Authenticate(_ context.Context, name, password string) (access.User, error) {
	if name == "ann" && password == "nna" || name == "bob" && password == "bob" {
		return access.User{ID: name}, nil
	}
	return access.User{}, clacks.E(clacks.Unauthenticated, "login", "user or password is wrong")
}

func (people) Certificate(_ context.Context, c *x509.Certificate) (access.User, error) {
	return access.User{ID: c.Subject.CommonName}, nil
}
