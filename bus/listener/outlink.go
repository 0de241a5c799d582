package listener

import (
	"context"
	"encoding/binary"
	"maps"
	"math"
	"time"

	"clacks/bus"
	"clacks/bus/wire"
)

// outLink sends the messages of a source to the peer. Its goroutine waits for credit, then for a message, then for room.
type outLink struct {
	common
	attach    *wire.Attach // until it is answered
	source    bus.Source
	largest   uint64          // message that the peer takes, in bytes; 0 for any
	presettle bool            // deliveries are settled as they are sent
	otherwise bus.Disposition // of what is settled without an outcome

	// Guarded by the connection's lock.
	credit  uint32
	count   uint32 // delivery-count
	drain   bool
	held    int             // deliveries that the peer has not settled
	asking  context.Context // of Next; ends when there is something else to do
	callOff context.CancelFunc
	waiting []settlement // outcomes that the source has not been told
	telling bool         // a goroutine tells them

	life    context.Context // ends with the link
	end     context.CancelFunc
	scratch []byte // of the goroutine: header and annotations, or the whole message
}

// settlement is an outcome on its way to the source.
type settlement struct {
	id       uint32
	delivery *bus.Delivery
	outcome  bus.Disposition
	confirm  bool // the peer waits for us to settle (the second settle mode)
}

func newOutLink(base common, p *wire.Attach) *outLink {
	k := &outLink{common: base, attach: p, largest: p.MaxMessageSize, presettle: p.SenderSettleMode == wire.SenderSettled}
	k.life, k.end = context.WithCancel(base.s.c.ctx)
	k.asking, k.callOff = context.WithCancel(k.life)
	k.otherwise = bus.Disposition{Outcome: bus.Released}
	if p.Source != nil {
		k.address = p.Source.Address
		if p.Source.Default.Kind == wire.Terminal {
			k.otherwise = p.Source.Default.Outcome
		}
	}
	return k
}

// outcomes are those that a source takes.
var outcomes = []bus.Symbol{"amqp:accepted:list", "amqp:rejected:list", "amqp:released:list", "amqp:modified:list"}

// run is the link's life.
func (k *outLink) run() {
	defer k.end()
	if !k.open() {
		return
	}
	for k.step() {
	}
	c := k.s.c
	c.mu.Lock()
	for k.telling {
		k.cond.Wait()
	}
	expired := k.expired
	c.mu.Unlock()
	k.source.Close(expired)
}

// open asks for the source and answers the attach.
func (k *outLink) open() bool {
	p, c := k.attach, k.s.c
	source, err := c.l.o.Nodes.Source(k.life, bus.SourceRequest{
		Peer: c.peer, Address: p.Source.Address, Link: p.Name, Durable: p.Source.Durable > 0, Dynamic: p.Source.Dynamic,
		Filters: p.Source.Filters, Properties: p.Properties,
	})
	c.mu.Lock()
	answer := k.answer(p)
	if err == nil {
		k.source = source
		// What is said of the source is what it does, not what was asked for.
		own := wire.Source{
			Address: p.Source.Address, Durable: p.Source.Durable, Expiry: p.Source.Expiry, Timeout: p.Source.Timeout,
			Dynamic: p.Source.Dynamic, Filters: source.Applied(), Outcomes: outcomes, Default: wire.OutcomeState(k.otherwise),
		}
		if named, ok := source.(bus.Addressed); ok && p.Source.Dynamic {
			own.Address = named.Address()
			k.address = own.Address
		}
		answer.Source, answer.InitialDeliveryCount = &own, wire.Some(0)
	}
	alive := k.answered(p, answer, err)
	k.attach = nil
	c.mu.Unlock()
	if !alive && err == nil {
		source.Close(k.closed)
	}
	return alive
}

// step sends one message, or does what else there is to do. false is the end.
func (k *outLink) step() bool {
	c := k.s.c
	c.mu.Lock()
	for !k.stopped && !k.drain && (k.credit == 0 || k.stalled()) {
		k.cond.Wait()
	}
	if k.stopped {
		c.mu.Unlock()
		return false
	}
	if k.asking.Err() != nil {
		k.asking, k.callOff = context.WithCancel(k.life)
	}
	ctx, drain := k.asking, k.drain
	c.mu.Unlock()
	if drain {
		return k.drained()
	}
	d, err := k.source.Next(ctx)
	if err != nil {
		return k.sourceFailed(ctx, err)
	}
	return k.send(d)
}

// stalled tells whether there is no room for a message, and asks to be woken when there is.
func (k *outLink) stalled() bool {
	w := &k.s.c.writer
	if w.full() || k.s.peerWindow == 0 || len(k.s.unsettled) >= k.s.c.l.o.Limits.Unsettled {
		w.waits[k] = struct{}{}
		return true
	}
	return false
}

// sourceFailed detaches the link, unless Next was only called off.
func (k *outLink) sourceFailed(ctx context.Context, err error) bool {
	c := k.s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if k.stopped {
		return false
	}
	if ctx.Err() != nil {
		return true
	}
	condition := *bus.ConditionOf(err)
	if condition.Name == bus.InternalError {
		c.log.Error("a source failed", "link", k.key.name, "address", k.address, "error", err)
	}
	k.fail(&condition)
	return false
}

// drained uses the credit up: what is there is sent, the rest is taken back, and the peer is told.
func (k *outLink) drained() bool {
	for {
		c := k.s.c
		c.mu.Lock()
		for !k.stopped && k.credit > 0 && k.stalled() {
			k.cond.Wait()
		}
		credit, stopped := k.credit, k.stopped
		if stopped || credit == 0 {
			k.endDrain()
			c.mu.Unlock()
			return !stopped
		}
		c.mu.Unlock()
		d, err := k.source.Ready()
		if err != nil {
			return k.sourceFailed(context.Background(), err)
		}
		if d == nil {
			c.mu.Lock()
			k.endDrain()
			c.mu.Unlock()
			return true
		}
		if !k.send(d) {
			return false
		}
	}
}

// endDrain answers a drain. The lock is held.
func (k *outLink) endDrain() {
	if k.stopped || !k.drain {
		return
	}
	k.drain = false
	k.count += k.credit
	k.credit = 0
	k.tell(true)
}

// tell sends the link's state.
func (k *outLink) tell(drain bool) {
	k.s.sendFlow(wire.Flow{
		Handle: wire.Some(k.handle), DeliveryCount: wire.Some(k.count), LinkCredit: wire.Some(k.credit),
		Available: wire.Some(0), Drain: drain,
	})
}

// flow takes the receiver's credit (AMQP 1.0, 2.6.7).
func (k *outLink) flow(p *wire.Flow) *bus.Condition {
	if p.LinkCredit.Set {
		// Deliveries that the receiver had not seen when it gave less credit make the difference negative.
		credit := int64(int32(p.DeliveryCount.Or(0)-k.count)) + int64(p.LinkCredit.V)
		k.credit = uint32(min(max(credit, 0), math.MaxUint32))
	}
	if p.Drain {
		k.drain = true
	}
	if k.drain || k.credit == 0 {
		k.callOff()
	}
	k.cond.Signal()
	if p.Echo && !p.Drain && k.attached {
		k.tell(false)
	}
	return nil
}

// stop implements link.
func (k *outLink) stop(expired bool) {
	k.halt(expired)
	k.end()
	if k.held > 0 && len(k.s.unsettled) > 0 {
		maps.DeleteFunc(k.s.unsettled, func(_ uint32, d sent) bool { return d.link == k })
	}
	k.held = 0
}

// send sends a message in as many frames as it needs.
func (k *outLink) send(d *bus.Delivery) bool {
	bare := d.Message.Bare
	var err error
	k.scratch, err = encode(k.scratch[:0], d.Message)
	if err != nil {
		k.s.c.log.Error("a message could not be encoded", "address", k.address, "error", err)
		_ = d.Reject(context.Background(), &bus.Condition{Name: bus.InternalError, Description: "the message has no form in AMQP 1.0"})
		return true
	}
	if k.largest > 0 && uint64(len(k.scratch)+len(bare)) > k.largest {
		_ = d.Reject(context.Background(), &bus.Condition{Name: bus.MessageTooLarge, Description: "the receiver takes no message of this size"})
		return true
	}
	c := k.s.c
	c.mu.Lock()
	// Delivery numbers are given in the order in which messages begin, so that the first frame must not have to wait.
	for !k.stopped && k.credit > 0 && k.stalled() {
		k.cond.Wait()
	}
	if k.stopped || k.credit == 0 {
		stopped := k.stopped
		c.mu.Unlock()
		// The credit was taken back while the source was asked. Nothing was sent: the message is as it was.
		_ = d.Release(context.Background())
		return !stopped
	}
	k.credit--
	k.count++
	k.meter.count++
	id := k.s.nextDelivery
	k.s.nextDelivery++
	if !k.presettle {
		k.s.unsettled[id] = sent{k, d}
		k.held++
	}
	done := k.frames(id, k.scratch, bare)
	c.mu.Unlock()
	c.l.counters.messagesOut.Add(1)
	if k.presettle && done {
		_ = d.Accept(context.Background())
	}
	return done
}

// encode is the payload of a message, without its bare part when that is there as bytes.
func encode(b []byte, m *bus.Message) ([]byte, error) {
	if m.Bare == nil {
		return wire.AppendMessage(b, m)
	}
	return wire.AppendAnnotations(b, m)
}

// transferRoom is more than the header of a frame and a transfer without payload take.
const transferRoom = 64

// frames appends the frames of a message, whose payload is head and bare. The lock is held, and given up while there is no
// room. false when the link has ended in between.
func (k *outLink) frames(id uint32, head, bare []byte) bool {
	w, s := &k.s.c.writer, k.s
	var tag [4]byte
	binary.BigEndian.PutUint32(tag[:], id)
	t := wire.Transfer{
		Handle: k.handle, DeliveryID: wire.Some(id), Tag: tag[:], Format: wire.Some(0), Settled: k.presettle,
	}
	for {
		for !k.stopped && (s.peerWindow == 0 || w.full()) {
			w.waits[k] = struct{}{}
			k.cond.Wait()
		}
		if k.stopped {
			return false
		}
		space := s.c.frameSize - transferRoom
		t.More = len(head)+len(bare) > space
		start := len(w.buffer)
		w.buffer = wire.AppendFrame(w.buffer, wire.FrameAMQP, s.channel, &t)
		n := min(len(head), space)
		m := min(len(bare), space-n)
		w.buffer = append(append(w.buffer, head[:n]...), bare[:m]...)
		w.buffer = wire.CloseFrame(w.buffer, start)
		head, bare = head[n:], bare[m:]
		s.nextOutgoing++
		s.peerWindow--
		w.wake()
		if !t.More {
			return true
		}
		t.DeliveryID, t.Tag, t.Format = wire.Uint{}, nil, wire.Uint{}
	}
}

// settled hands an outcome to the goroutine that tells it the source. The lock is held. Sources may write it to a disk, so
// the reader does not wait for it.
func (k *outLink) settled(v settlement) {
	k.held--
	k.waiting = append(k.waiting, v)
	if !k.telling {
		k.telling = true
		k.s.c.links.Add(1)
		go k.tellAll()
	}
}

// tellAll tells the source all outcomes that have come, in their order.
func (k *outLink) tellAll() {
	c := k.s.c
	defer c.links.Done()
	var batch []settlement
	for {
		c.mu.Lock()
		if len(k.waiting) == 0 {
			k.telling = false
			k.cond.Broadcast()
			c.mu.Unlock()
			return
		}
		batch, k.waiting = k.waiting, batch[:0]
		c.mu.Unlock()
		for i := range batch {
			k.tellOne(&batch[i])
		}
		clear(batch)
	}
}

func (k *outLink) tellOne(v *settlement) {
	c := k.s.c
	err := v.delivery.Settle(context.Background(), v.outcome)
	if err == nil && !v.confirm {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		// The source may deliver the message again: a peer that believes it settled must not be left in that belief.
		c.log.Warn("an outcome could not be recorded", "address", k.address, "error", err)
		if !k.gone() {
			condition := *bus.ConditionOf(err)
			k.fail(&condition)
		}
		return
	}
	if !k.gone() && !k.detached {
		c.writer.append(k.s.channel, &wire.Disposition{First: v.id, Settled: true, State: wire.OutcomeState(v.outcome)})
	}
}

// describe implements link.
func (k *outLink) describe(now time.Time) (Link, bool) {
	return Link{
		Name: k.key.name, Address: k.address, Sending: true, Credit: k.credit, Unsettled: k.held, Messages: k.meter.count,
		Rate: k.meter.rate(now),
	}, k.attached && !k.detached
}
