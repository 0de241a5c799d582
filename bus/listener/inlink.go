package listener

import (
	"context"
	"time"

	"clacks/bus"
	"clacks/bus/wire"
)

// inLink takes the peer's messages to a target. The reader puts transfers together, the goroutine gives whole messages to
// the target and tells the outcome.
type inLink struct {
	common
	attach *wire.Attach // until it is answered
	target bus.Target
	settle bool // we settle with the outcome; in the second settle mode the peer does

	life context.Context // ends some time after the link
	end  context.CancelFunc

	// Guarded by the connection's lock.
	credit uint32
	count  uint32 // delivery-count
	inbox  []incoming
	more   bool     // a message has begun and not ended
	open   incoming // that message
}

// incoming is a message as it came.
type incoming struct {
	id      uint32
	settled bool
	payload []byte
}

func newInLink(base common, p *wire.Attach) *inLink {
	k := &inLink{common: base, attach: p, settle: p.ReceiverSettleMode == wire.ReceiverFirst, count: p.InitialDeliveryCount.Or(0)}
	k.life, k.end = context.WithCancel(base.s.c.ctx)
	if p.Target != nil {
		k.address = p.Target.Address
	}
	return k
}

// run is the link's life.
func (k *inLink) run() {
	defer k.end()
	if !k.attachTarget() {
		return
	}
	c := k.s.c
	var batch []incoming
	for {
		c.mu.Lock()
		for !k.stopped && len(k.inbox) == 0 {
			k.cond.Wait()
		}
		// What came before the link ended is taken: the peer may have sent it settled, and left.
		if len(k.inbox) == 0 {
			c.mu.Unlock()
			k.target.Close()
			return
		}
		batch, k.inbox = k.inbox, batch[:0]
		c.mu.Unlock()
		for i := range batch {
			k.take(&batch[i])
		}
		clear(batch)
	}
}

// attachTarget asks for the target, answers the attach and gives the first credit.
func (k *inLink) attachTarget() bool {
	p, c := k.attach, k.s.c
	target, err := c.l.o.Nodes.Target(k.life, bus.TargetRequest{
		Peer: c.peer, Address: p.Target.Address, Link: p.Name, Properties: p.Properties,
	})
	c.mu.Lock()
	answer := k.answer(p)
	own := *p.Target
	own.Capabilities = nil
	answer.Target, answer.MaxMessageSize = &own, c.l.o.Limits.MessageSize
	alive := k.answered(p, answer, err)
	k.attach = nil
	if alive {
		k.target = target
		k.renew()
	}
	c.mu.Unlock()
	if !alive && err == nil {
		target.Close()
	}
	return alive
}

// renew gives credit again when half of it is used.
func (k *inLink) renew() {
	all := k.s.c.l.o.Limits.Credit
	room := all - min(all, uint32(len(k.inbox)))
	if k.detached || room <= k.credit || room-k.credit < (all+1)/2 {
		return
	}
	k.credit = room
	k.tell()
}

func (k *inLink) tell() {
	k.s.sendFlow(wire.Flow{Handle: wire.Some(k.handle), DeliveryCount: wire.Some(k.count), LinkCredit: wire.Some(k.credit)})
}

// flow implements link: the sender's state. It may have used credit up without sending.
func (k *inLink) flow(p *wire.Flow) *bus.Condition {
	if p.DeliveryCount.Set {
		if used := p.DeliveryCount.V - k.count; used <= k.credit {
			k.credit -= used
			k.count = p.DeliveryCount.V
		}
	}
	if p.Echo && k.attached {
		k.tell()
	}
	return nil
}

// stop implements link. What has come is still given to the target, which has Limits.Close for it.
func (k *inLink) stop(expired bool) {
	if !k.stopped {
		time.AfterFunc(k.s.c.l.o.Limits.Close, k.end)
	}
	k.halt(expired)
	k.abandon()
}

// abandon forgets a message that has not come as a whole.
func (k *inLink) abandon() {
	k.s.c.partial -= len(k.open.payload)
	k.open, k.more = incoming{}, false
}

// transfer takes a frame: a message, or a part of one. The lock is held.
func (k *inLink) transfer(p *wire.Transfer, payload []byte) {
	if condition := k.wrong(p, len(payload)); condition != nil {
		k.fail(condition)
		return
	}
	if !k.more {
		k.open = incoming{id: p.DeliveryID.V}
	}
	if p.Aborted {
		k.used()
		k.abandon()
		k.renew()
		return
	}
	k.open.settled = k.open.settled || p.Settled
	k.more = p.More
	c := k.s.c
	if p.More {
		k.open.payload = append(k.open.payload, payload...)
		c.partial += len(payload)
		return
	}
	c.partial -= len(k.open.payload)
	// A message keeps its bytes as long as it is somewhere in a queue: no more of them than there are.
	whole := make([]byte, 0, len(k.open.payload)+len(payload))
	k.open.payload = append(append(whole, k.open.payload...), payload...)
	c.held += len(k.open.payload)
	k.used()
	k.inbox = append(k.inbox, k.open)
	k.open = incoming{}
	c.l.counters.messagesIn.Add(1)
	k.meter.count++
	k.cond.Signal()
}

// used counts a delivery.
func (k *inLink) used() {
	k.credit--
	k.count++
}

// wrong is what is wrong with a transfer.
func (k *inLink) wrong(p *wire.Transfer, n int) *bus.Condition {
	limits, c := &k.s.c.l.o.Limits, k.s.c
	switch {
	case k.credit == 0:
		return &bus.Condition{Name: bus.TransferLimit, Description: "a transfer without credit"}
	case !k.more && !p.DeliveryID.Set:
		return &bus.Condition{Name: bus.InvalidField, Description: "the first transfer of a message has no delivery-id"}
	case k.more && p.DeliveryID.Set && p.DeliveryID.V != k.open.id:
		return &bus.Condition{Name: bus.InvalidField, Description: "a message begins before another has ended"}
	case p.State.Kind == wire.Transactional:
		return &bus.Condition{Name: bus.NotImplemented, Description: "there are no transactions"}
	case uint64(len(k.open.payload)+n) > limits.MessageSize:
		c.l.counters.refused[TooLarge].Add(1)
		return &bus.Condition{Name: bus.MessageTooLarge, Description: "the message is larger than max-message-size"}
	case p.More && c.partial+n > limits.Memory:
		c.l.counters.refused[TooMuchMemory].Add(1)
		return &bus.Condition{Name: bus.LimitExceeded, Description: "too many bytes of messages that have not ended"}
	}
	return nil
}

// take gives a message to the target and tells the outcome.
func (k *inLink) take(m *incoming) {
	c := k.s.c
	message, err := wire.DecodeMessage(m.payload)
	var outcome bus.Disposition
	if err != nil {
		c.l.counters.refused[BadMessage].Add(1)
		outcome = bus.Disposition{Outcome: bus.Rejected, Condition: bus.ConditionOf(err)}
	} else {
		outcome = k.target.Put(k.life, message)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.held
	c.held -= len(m.payload)
	if limit := 2 * c.l.o.Limits.Memory; before > limit && c.held <= limit {
		c.writer.room.Broadcast()
	}
	defer c.freed()
	if k.gone() {
		return
	}
	if !m.settled && !k.detached {
		c.writer.append(k.s.channel, &wire.Disposition{
			Receiver: true, First: m.id, Settled: k.settle, State: wire.OutcomeState(outcome),
		})
	}
	k.renew()
	k.s.renew()
}

// describe implements link.
func (k *inLink) describe(now time.Time) (Link, bool) {
	return Link{
		Name: k.key.name, Address: k.address, Credit: k.credit, Unsettled: len(k.inbox), Messages: k.meter.count,
		Rate: k.meter.rate(now),
	}, k.attached && !k.detached
}
