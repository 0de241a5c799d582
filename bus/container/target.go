package container

import (
	"context"

	"clacks/bus"
)

// producer puts the messages of one link into one queue.
type producer struct {
	link  *link
	queue *queue
}

// Put implements bus.Target.
func (p *producer) Put(_ context.Context, m *bus.Message) bus.Disposition {
	return p.queue.put(m, p.link.account, false)
}

// Close implements bus.Target.
func (p *producer) Close() {}

// anonymous is the node to which each message brings its address (AMQP Anonymous Terminus for Message Routing 1.0). The
// rights are asked for each; the links that an attach would have made are made for the message only.
type anonymous struct{ link *link }

// Put implements bus.Target.
func (a *anonymous) Put(ctx context.Context, m *bus.Message) bus.Disposition {
	to, c := m.Properties.To, a.link.c
	if to == "" {
		return reject(&bus.Condition{Name: bus.InvalidField, Description: "a message to the anonymous node says in to where it goes"})
	}
	if err := c.permit(a.link.peer, Send, to); err != nil {
		return reject(bus.ConditionOf(err))
	}
	if h := c.handler(to); h != nil {
		target, err := h.Target(ctx, bus.TargetRequest{Peer: a.link.peer, Address: to})
		if err != nil {
			return reject(bus.ConditionOf(err))
		}
		defer target.Close()
		return target.Put(ctx, m)
	}
	return a.enqueue(m, to)
}

// enqueue puts a message into a queue, which may vanish between the look and the put: then it is made again.
func (a *anonymous) enqueue(m *bus.Message, to string) bus.Disposition {
	for range 3 {
		q, err := a.queue(to)
		if err != nil {
			return reject(bus.ConditionOf(err))
		}
		if d := q.put(m, a.link.account, false); d.Condition == nil || d.Condition.Name != bus.ResourceDeleted {
			return d
		}
	}
	return bus.Disposition{Outcome: bus.Released}
}

// queue finds the queue of an address, or makes it where the peer may.
func (a *anonymous) queue(address string) (*queue, error) {
	c := a.link.c
	c.mu.Lock()
	q := c.queues[address]
	c.mu.Unlock()
	if q != nil {
		return q, nil
	}
	if err := c.mayCreate(a.link.peer, address); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.find(address, a.link.account)
}

// Close implements bus.Target.
func (a *anonymous) Close() {}
