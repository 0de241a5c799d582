package container

import (
	"time"

	"clacks/bus"
)

// Reason is why a message is dead.
type Reason string

// The reasons, as they stand in AnnotationReason.
const (
	Expired  Reason = "expired"        // its time was over
	Rejected Reason = "rejected"       // its receiver said that it is wrong
	Failed   Reason = "delivery-limit" // its deliveries failed too often
	Dropped  Reason = "dropped"        // the queue was full and made room
)

// The message annotations of a dead letter.
const (
	AnnotationReason      = "x-opt-dead-letter-reason"      // a Reason
	AnnotationSource      = "x-opt-dead-letter-source"      // the queue in which it died
	AnnotationTime        = "x-opt-dead-letter-time"        // when
	AnnotationCondition   = "x-opt-dead-letter-condition"   // of a rejection: its condition
	AnnotationDescription = "x-opt-dead-letter-description" // and what it says
)

// bury gives the memory of dead messages back and sends them to the queue's dead-letter queue, if it has one that takes them.
// No lock is held.
func (q *queue) bury(dead []death) {
	for _, x := range dead {
		q.c.refund(x.entry.payer, x.entry.size)
		q.mourn(x)
	}
}

func (q *queue) mourn(x death) {
	q.mu.Lock()
	address := q.settings.DeadLetter
	q.mu.Unlock()
	if address == "" || address == q.address || x.entry.corpse {
		return
	}
	c := q.c
	c.mu.Lock()
	grave, err := c.find(address, &c.internal)
	c.mu.Unlock()
	if err == nil {
		d := grave.put(x.letter(q.address), x.entry.payer, true)
		if d.Condition != nil {
			err = d.Condition
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if err != nil {
		q.counters.Lost++
		return
	}
	q.counters.DeadLettered++
}

// letter is the message as it goes to the dead-letter queue.
func (x death) letter(address string) *bus.Message {
	m := *x.entry.message
	notes := map[string]any{AnnotationReason: string(x.reason), AnnotationSource: address, AnnotationTime: time.Now().UTC()}
	if x.why != nil {
		notes[AnnotationCondition] = bus.Symbol(x.why.Name)
		notes[AnnotationDescription] = x.why.Description
	}
	m.Annotations = merge(m.Annotations, notes)
	m.Header.TTL, m.Header.DeliveryCount = 0, 0
	return &m
}
