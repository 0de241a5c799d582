package container

import (
	"container/list"
	"context"
	"time"

	"clacks"
	"clacks/bus"
)

// consumer is one receiving link of a queue. Its fields are guarded by the queue's lock.
type consumer struct {
	queue *queue
	link  *link
	held  entries       // given to the link and not settled
	wake  chan *entry   // of one place: what the queue hands to a Next that waits, nil when the consumer ends
	waits *list.Element // its place in the line of those who wait
	why   *bus.Condition
}

var _ bus.Source = (*consumer)(nil)

// consume makes a consumer.
func (q *queue) consume(l *link) (bus.Source, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.gone {
		return nil, &bus.Condition{Name: bus.ResourceDeleted, Description: "the node is gone"}
	}
	c := &consumer{queue: q, link: l, wake: make(chan *entry, 1)}
	q.consumers[c] = struct{}{}
	return c, nil
}

// Next implements bus.Source.
func (c *consumer) Next(ctx context.Context) (*bus.Delivery, error) {
	e, err := c.take(true)
	if e != nil || err != nil {
		return c.deliver(e), err
	}
	select {
	case e = <-c.wake:
	case <-ctx.Done():
		if c.unwait() {
			return nil, ctx.Err()
		}
		e = <-c.wake
	}
	if e == nil {
		return nil, c.ended()
	}
	return c.deliver(e), nil
}

// Ready implements bus.Source.
func (c *consumer) Ready() (*bus.Delivery, error) {
	e, err := c.take(false)
	return c.deliver(e), err
}

// Applied implements bus.Source: queues filter nothing.
func (c *consumer) Applied() []bus.Filter { return nil }

// take takes the oldest message that the consumer may have. When there is none and it shall wait, it is in the line then.
func (c *consumer) take(wait bool) (*entry, error) {
	q := c.queue
	q.mu.Lock()
	e, dead := c.pick()
	why := c.why
	if e == nil && why == nil && wait {
		c.waits = q.waiting.PushBack(c)
	}
	q.mu.Unlock()
	q.bury(dead)
	if e == nil && why != nil {
		return nil, why
	}
	return e, nil
}

// pick takes the oldest message out of those that are ready. The lock is held.
func (c *consumer) pick() (picked *entry, dead []death) {
	q := c.queue
	if c.why != nil || q.ready.first == nil {
		return nil, nil
	}
	now := time.Now()
	for e := q.ready.first; e != nil; {
		next := e.next
		switch {
		case e.expired(now):
			q.ready.remove(e)
			dead = append(dead, q.kill(e, Expired))
		case !e.avoids(c):
			q.ready.remove(e)
			c.hold(e)
			return e, dead
		}
		e = next
	}
	return nil, dead
}

// hold notes that the link has a message. The lock is held.
func (c *consumer) hold(e *entry) {
	e.holder = c
	c.held.push(e)
	c.queue.counters.Out++
	c.queue.out.mark(time.Now())
}

// unwait leaves the line, or reports false: something was handed over.
func (c *consumer) unwait() bool {
	c.queue.mu.Lock()
	defer c.queue.mu.Unlock()
	if c.waits == nil {
		return false
	}
	c.queue.waiting.Remove(c.waits)
	c.waits = nil
	return true
}

func (c *consumer) ended() error {
	c.queue.mu.Lock()
	defer c.queue.mu.Unlock()
	return c.why
}

// stop ends the consumer: its Next fails with why. The lock is held.
func (c *consumer) stop(why *bus.Condition) {
	if c.why != nil {
		return
	}
	c.why = why
	delete(c.queue.consumers, c)
	if c.waits != nil {
		c.queue.waiting.Remove(c.waits)
		c.waits = nil
		c.wake <- nil
	}
}

// deliver makes a delivery of a message; the message tells what is left of its life.
func (c *consumer) deliver(e *entry) *bus.Delivery {
	if e == nil {
		return nil
	}
	m := e.message
	if m.Header.TTL > 0 && !e.deadline.IsZero() {
		copied := *m
		copied.Header.TTL = max(time.Until(e.deadline), time.Millisecond)
		m = &copied
	}
	return bus.NewDelivery(m, func(_ context.Context, d bus.Disposition) error { return c.settle(e, d) })
}

// settle applies an outcome.
func (c *consumer) settle(e *entry, d bus.Disposition) error {
	q := c.queue
	q.mu.Lock()
	if e.holder != c {
		q.mu.Unlock()
		return clacks.E(clacks.Unavailable, "container.settle", "the link of this delivery is closed")
	}
	c.held.remove(e)
	dead, gone := c.apply(e, d)
	q.mu.Unlock()
	if gone {
		q.c.refund(e.payer, e.size)
	}
	q.bury(dead)
	return nil
}

// apply moves an entry that is in no list as its outcome says. gone: it has left the queue, and nobody buries it. The lock
// is held.
func (c *consumer) apply(e *entry, d bus.Disposition) (dead []death, gone bool) {
	q := c.queue
	e.holder = nil
	switch d.Outcome {
	case bus.Accepted:
		q.counters.Accepted++
		q.discharge(e)
		q.rest()
		return nil, true
	case bus.Rejected:
		x := q.kill(e, Rejected)
		x.why = d.Condition
		q.rest()
		return []death{x}, false
	case bus.ModifiedOutcome:
		c.modify(e, d.Modified)
	}
	return c.giveBack([]*entry{e}, d.Outcome == bus.ModifiedOutcome && d.Failed)
}

// modify changes an entry as its receiver wants. The lock is held.
func (c *consumer) modify(e *entry, how bus.Modified) {
	if how.Elsewhere {
		e.shun(c)
	}
	if len(how.Annotations) == 0 {
		return
	}
	e.change(func(m *bus.Message) { m.Annotations = merge(m.Annotations, how.Annotations) })
}

// merge is a map with the entries of both; those of over win.
func merge(under, over map[string]any) map[string]any {
	merged := make(map[string]any, len(under)+len(over))
	for key, value := range under {
		merged[key] = value
	}
	for key, value := range over {
		merged[key] = value
	}
	return merged
}

// giveBack restores entries that are in no list; one whose delivery failed may have failed too often. The lock is held.
func (c *consumer) giveBack(back []*entry, failed bool) (dead []death, gone bool) {
	q := c.queue
	var alive []*entry
	for _, e := range back {
		if q.gone {
			q.discharge(e)
			q.counters.Deleted++
			return nil, true
		}
		q.counters.Returned++
		count := e.message.Header.DeliveryCount
		if failed {
			count++
		}
		e.change(func(m *bus.Message) { m.Header.DeliveryCount, m.Header.FirstAcquirer = count, false })
		if limit := q.settings.MaxDeliveries; failed && limit > 0 && count >= uint32(limit) {
			dead = append(dead, q.kill(e, Failed))
			continue
		}
		alive = append(alive, e)
	}
	q.restore(alive)
	q.rest()
	return dead, false
}

// Close implements bus.Source: what is not settled goes back. When the link was lost, nobody knows how far its receiver came
// with it, so that the delivery counts as failed.
func (c *consumer) Close(expired bool) {
	q := c.queue
	q.mu.Lock()
	c.stop(&bus.Condition{Name: bus.DetachForced, Description: "the link is closed"})
	var back []*entry
	for e := c.held.first; e != nil; e = c.held.first {
		c.held.remove(e)
		back = append(back, e)
	}
	if q.gone {
		for _, e := range back {
			e.holder = nil
			q.discharge(e)
		}
		q.counters.Deleted += uint64(len(back))
		q.mu.Unlock()
		for _, e := range back {
			q.c.refund(e.payer, e.size)
		}
		return
	}
	dead, _ := c.giveBack(back, !expired)
	q.mu.Unlock()
	q.bury(dead)
}
