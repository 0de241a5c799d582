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
	// Abandoned: nobody had been attached to the queue for long, so that it ended.
	Abandoned Reason = "abandoned"
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
		grave.keep(declared) // by the settings that name it: dead letters wait for somebody to look at them
		d := grave.put(x.letter(q.address), x.entry.payer, true)
		if d.Condition != nil {
			err = d.Condition
		}
	}
	q.tally(err == nil)
}

// tally counts a dead letter. The books of a queue that is gone are with the container.
func (q *queue) tally(arrived bool) {
	c := q.c
	c.mu.Lock()
	defer c.mu.Unlock()
	q.mu.Lock()
	defer q.mu.Unlock()
	counters := &q.counters
	if q.gone {
		counters = &c.retired
	}
	if arrived {
		counters.DeadLettered++
	} else {
		counters.Lost++
	}
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
