package container

import (
	"time"

	"clacks/bus"
)

// entry is a message in a queue. It is in one list at a time: that of the messages that are ready, or that of the consumer
// who holds it.
type entry struct {
	prev, next *entry
	seq        uint64 // its place in the queue, kept when it comes back
	message    *bus.Message
	own        bus.Message // the memory of message until it is changed
	size       int64
	payer      *account
	deadline   time.Time // zero for none
	holder     *consumer
	avoid      []*consumer // who gave it back "undeliverable here"
	corpse     bool        // it came as a dead letter: it dies only once
}

// newEntry is an entry for a message as the sender gave it; what a queue says of it is written into a copy.
func newEntry(m *bus.Message, size int64, payer *account) *entry {
	e := &entry{own: *m, size: size, payer: payer}
	e.message = &e.own
	e.own.Header.FirstAcquirer = true
	return e
}

// expires sets the end of a message's life: the earliest of its own ttl and absolute-expiry-time and the queue's limit.
func (e *entry) expires(limit time.Duration) {
	ttl := e.message.Header.TTL
	if ttl <= 0 || limit > 0 && limit < ttl {
		ttl = limit
	}
	if ttl > 0 {
		e.deadline = time.Now().Add(ttl)
	}
	if at := e.message.Properties.Expiry; !at.IsZero() && (e.deadline.IsZero() || at.Before(e.deadline)) {
		e.deadline = at
	}
}

func (e *entry) expired(now time.Time) bool { return !e.deadline.IsZero() && !now.Before(e.deadline) }

// change gives the entry a message of its own with another header: receivers may still hold the one before.
func (e *entry) change(edit func(m *bus.Message)) {
	m := *e.message
	edit(&m)
	e.message = &m
}

func (e *entry) avoids(c *consumer) bool {
	for _, a := range e.avoid {
		if a == c {
			return true
		}
	}
	return false
}

// shun notes that a consumer does not want the entry again, and forgets those who are gone.
func (e *entry) shun(c *consumer) {
	kept := e.avoid[:0]
	for _, a := range e.avoid {
		if a.why == nil {
			kept = append(kept, a)
		}
	}
	e.avoid = append(kept, c)
}

// entries is a doubly linked list. The zero list is empty.
type entries struct {
	first, last *entry
	length      int
	near        *entry // where the last entry was put back; nil for nowhere
}

func (l *entries) push(e *entry) { l.insert(e, nil) }

// insert puts e before another entry, nil for the end.
func (l *entries) insert(e, before *entry) {
	after := l.last
	if before != nil {
		after = before.prev
		before.prev = e
	} else {
		l.last = e
	}
	if after != nil {
		after.next = e
	} else {
		l.first = e
	}
	e.prev, e.next = after, before
	l.length++
}

// putBack inserts e by its seq. Entries that come back one after the other are neighbours mostly, so it looks from the last.
func (l *entries) putBack(e *entry) {
	at := l.near
	if at == nil {
		at = l.first
	}
	for at != nil && at.prev != nil && at.prev.seq > e.seq {
		at = at.prev
	}
	for at != nil && at.seq < e.seq {
		at = at.next
	}
	l.insert(e, at)
	l.near = e
}

func (l *entries) remove(e *entry) {
	if l.near == e {
		l.near = e.prev
	}
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		l.first = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	} else {
		l.last = e.prev
	}
	e.prev, e.next = nil, nil
	l.length--
}

// overhead is what a message takes in memory besides its content.
const overhead = 768

// sizeOf estimates the memory that a message takes.
func sizeOf(m *bus.Message) int64 {
	p := &m.Properties
	n := overhead + len(m.Body) + len(m.Bare) + len(p.UserID) + len(p.To) + len(p.Subject) + len(p.ReplyTo) + len(p.ContentType) +
		len(p.Encoding) + len(p.GroupID) + len(p.ReplyToGroup)
	return int64(n) + valueSize(p.MessageID) + valueSize(p.CorrelationID) + valueSize(m.Annotations) + valueSize(m.Delivery) +
		valueSize(m.Application) + valueSize(m.Value)
}

// contentSize estimates how long a message is when it is encoded: one that came over a wire is there twice, as it came and
// decoded.
func contentSize(m *bus.Message) int64 {
	if m.Bare != nil {
		return int64(len(m.Bare))
	}
	return sizeOf(m) - overhead
}

// valueSize estimates the memory that a decoded value takes.
func valueSize(value any) int64 {
	const word = 32 // an interface and what it points to
	switch v := value.(type) {
	case nil:
		return 0
	case string:
		return word + int64(len(v))
	case bus.Symbol:
		return word + int64(len(v))
	case []byte:
		return word + int64(len(v))
	case []any:
		n := int64(word)
		for _, item := range v {
			n += word + valueSize(item)
		}
		return n
	case map[string]any:
		n := int64(0)
		for key, item := range v {
			n += 2*word + int64(len(key)) + valueSize(item)
		}
		return n
	case map[any]any:
		n := int64(word)
		for key, item := range v {
			n += 2*word + valueSize(key) + valueSize(item)
		}
		return n
	default:
		return word
	}
}
