package listener

import (
	"sync"
	"time"

	"clacks/bus"
	"clacks/bus/wire"
)

// common is what both kinds of link have. It is guarded by the connection's lock.
type common struct {
	s        *session
	self     link
	key      linkName
	handle   uint32
	address  string
	attached bool       // the attach was answered
	detached bool       // our detach was sent, or the link has ended with its session
	leaving  bool       // the peer's detach came before the attach was answered
	closed   bool       // the peer's detach was for good
	size     int        // what it takes of the connection's memory
	errant   uint32     // transfers that came after our detach
	stopped  bool       // the goroutine is to end
	expired  bool       // for good
	cond     *sync.Cond // wakes the goroutine
	meter    meter
}

func (k *common) base() *common { return k }

// What a link is taken to need: its goroutine and its buffers; and an attach is larger when it is decoded.
const (
	linkSize    = 16 << 10
	decodedSize = 8
)

// attach begins a link: its goroutine asks the node, and answers.
func (s *session) attach(p *wire.Attach) error {
	limits := &s.c.l.o.Limits
	if p.Handle >= uint32(limits.Links) {
		return framing("a handle beyond handle-max")
	}
	if s.links[p.Handle] != nil {
		s.end(bus.HandleInUse, "an attach on a handle that is in use")
		return nil
	}
	if p.Handle > s.handleMax {
		s.end(bus.NotAllowed, "a handle beyond the handle-max of its own side")
		return nil
	}
	key := linkName{p.Name, p.Receiver}
	if before := s.c.names[key]; before != nil {
		before.base().fail(&bus.Condition{Name: bus.LinkStolen, Description: "a link of this name was attached anew"})
	}
	base := common{
		s: s, size: linkSize + decodedSize*s.c.frame, key: key, handle: p.Handle, cond: sync.NewCond(&s.c.mu), meter: meter{since: time.Now()},
	}
	var k link
	var work func()
	if p.Receiver {
		out := newOutLink(base, p)
		k, work = out, out.run
	} else {
		in := newInLink(base, p)
		k, work = in, in.run
	}
	k.base().self = k
	s.links[p.Handle] = k
	s.c.names[key] = k
	s.c.attached += base.size
	s.c.l.counters.links.Add(1)
	if condition := s.refusal(p); condition != nil {
		k.base().refuse(p, condition)
		return nil
	}
	s.c.links.Add(1)
	go func() {
		defer s.c.links.Done()
		work()
	}()
	return nil
}

// refusal is why an attach is refused before a node is asked.
func (s *session) refusal(p *wire.Attach) *bus.Condition {
	switch {
	case s.c.attached > s.c.l.o.Limits.Memory:
		s.c.l.counters.refused[TooMuchMemory].Add(1)
		return &bus.Condition{Name: bus.LimitExceeded, Description: "too many links"}
	case p.Coordinator:
		return &bus.Condition{Name: bus.NotImplemented, Description: "there are no transactions"}
	case p.Receiver && p.Source == nil, !p.Receiver && p.Target == nil:
		return &bus.Condition{Name: bus.InvalidField, Description: "a link without the terminus that is asked for"}
	case !p.Receiver && p.Target.Dynamic:
		return &bus.Condition{Name: bus.NotImplemented, Description: "there are no dynamic targets; attach a receiver with a dynamic source"}
	}
	return nil
}

// refuse answers an attach that leads nowhere: an attach without our terminus, then a detach that says why (AMQP 1.0,
// 2.6.3). The handle stays taken until the peer has detached, too.
func (k *common) refuse(p *wire.Attach, condition *bus.Condition) {
	answer := &wire.Attach{
		Name: p.Name, Handle: p.Handle, Receiver: !p.Receiver, SenderSettleMode: p.SenderSettleMode,
		ReceiverSettleMode: p.ReceiverSettleMode,
	}
	if p.Receiver {
		answer.InitialDeliveryCount = wire.Some(0)
		answer.Target = p.Target
	} else {
		answer.Source = p.Source
	}
	k.s.c.writer.append(k.s.channel, answer)
	k.attached = true
	k.fail(condition)
	k.stopped = true
	k.finishLeaving()
}

// finishLeaving forgets a link whose peer detached it before it was there.
func (k *common) finishLeaving() {
	if k.leaving {
		k.s.remove(k.handle, k.self)
	}
}

// fail detaches a link because of an error. The goroutine ends, the handle stays taken until the peer has answered.
func (k *common) fail(condition *bus.Condition) {
	if k.detached {
		return
	}
	if !k.attached {
		// The answer to the attach has to come first; the goroutine gives it.
		k.self.stop(true)
		return
	}
	k.detached = true
	k.s.forgetName(k.self)
	k.self.stop(true)
	k.s.c.writer.append(k.s.channel, &wire.Detach{Handle: k.handle, Closed: true, Error: condition})
}

// detach takes the peer's detach: the answer to ours, or one that is answered.
func (s *session) detach(p *wire.Detach) {
	k, ok := s.links[p.Handle]
	if !ok {
		s.end(bus.UnattachedHandle, "a detach of a handle without a link")
		return
	}
	if p.Error != nil {
		s.c.log.Debug("the peer detached a link", "link", k.base().key.name, "error", p.Error)
	}
	b := k.base()
	if !b.attached {
		b.leaving, b.closed = true, p.Closed
		k.stop(p.Closed)
		return
	}
	s.remove(p.Handle, k)
	if !b.detached {
		b.detached = true
		k.stop(p.Closed)
		s.c.writer.append(s.channel, &wire.Detach{Handle: p.Handle, Closed: p.Closed})
	}
}

// gone tells whether the session or the connection has ended meanwhile: then nothing may be sent for the link.
func (k *common) gone() bool { return k.s.ended || k.s.c.dead || k.s.links[k.handle] != k.self }

// answered ends the attach: with the node's answer, or its refusal. It tells whether the link lives. The lock is held.
func (k *common) answered(p *wire.Attach, answer *wire.Attach, err error) bool {
	if k.gone() {
		return false
	}
	if k.stopped && !k.leaving {
		err = &bus.Condition{Name: bus.DetachForced, Description: "the link was ended while it was attached"}
	}
	if err != nil {
		k.s.c.l.counters.refused[Refused].Add(1)
		condition := *bus.ConditionOf(err)
		if condition.Name == bus.InternalError {
			k.s.c.log.Error("a link could not be attached", "link", k.key.name, "address", k.address, "error", err)
		}
		k.refuse(p, &condition)
		return false
	}
	k.attached = true
	k.s.c.writer.append(k.s.channel, answer)
	if k.leaving {
		k.detached = true
		k.s.c.writer.append(k.s.channel, &wire.Detach{Handle: k.handle, Closed: k.closed})
		k.finishLeaving()
		return false
	}
	return true
}

// answer is the part of an attach's answer that is the same for both directions.
func (k *common) answer(p *wire.Attach) *wire.Attach {
	return &wire.Attach{
		Name: p.Name, Handle: p.Handle, Receiver: !p.Receiver, SenderSettleMode: p.SenderSettleMode,
		ReceiverSettleMode: p.ReceiverSettleMode, Source: p.Source, Target: p.Target,
	}
}

func (k *common) halt(expired bool) {
	k.stopped = true
	k.expired = k.expired || expired
	k.cond.Broadcast()
}
