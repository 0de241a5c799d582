package listener

import (
	"math"
	"slices"
	"time"

	"clacks/bus"
	"clacks/bus/wire"
)

// session is one session. Everything in it is guarded by its connection's lock.
type session struct {
	c       *conn
	channel uint16
	links   map[uint32]link // by handle: ours is the peer's
	ended   bool            // our end was sent; what comes until the peer's is ignored
	ignored int             // how much that was

	handleMax uint32 // the highest handle that the peer takes

	nextIncoming uint32 // transfer-id
	window       uint32 // transfers that the peer may still send

	nextOutgoing uint32 // transfer-id
	peerWindow   uint32 // transfers that the peer still takes
	nextDelivery uint32
	unsettled    map[uint32]sent
}

// sent is a delivery that the peer has not settled.
type sent struct {
	link     *outLink
	delivery *bus.Delivery
}

// link is what sessions and statistics need of outLink and inLink.
type link interface {
	base() *common
	flow(f *wire.Flow) *bus.Condition
	// stop ends the link's goroutine; the lock is held.
	stop(expired bool)
	describe(now time.Time) (Link, bool)
}

// outgoingWindow is what we say to be able to send: transfers are made when there is a window for them.
const outgoingWindow = math.MaxInt32

// patience is how many frames a peer may send for a session or a link that we have ended, before it knows.
const patience = 4096

// begin answers a begin. The lock is held.
func (c *conn) begin(channel uint16, p *wire.Begin) error {
	if p.RemoteChannel.Set {
		return framing("an answer to a begin that was not sent")
	}
	s := &session{
		c: c, channel: channel, links: make(map[uint32]link), unsettled: make(map[uint32]sent), handleMax: p.HandleMax,
		nextIncoming: p.NextOutgoingID, peerWindow: p.IncomingWindow,
	}
	s.window = s.allowed()
	c.starved = c.starved || s.starves()
	c.sessions[channel] = s
	c.l.counters.sessions.Add(1)
	c.writer.append(channel, &wire.Begin{
		RemoteChannel: wire.Some(uint32(channel)), NextOutgoingID: 0, IncomingWindow: s.window,
		OutgoingWindow: outgoingWindow, HandleMax: uint32(c.l.o.Limits.Links - 1),
	})
	return nil
}

// allowed is the window that the connection's memory has room for: one transfer fills a frame at most.
func (s *session) allowed() uint32 {
	limits := &s.c.l.o.Limits
	return uint32(max(limits.Memory-s.c.held, 0) / int(limits.FrameSize))
}

// end ends the session because of an error of the peer.
func (s *session) end(name, description string) {
	if s.ended {
		return
	}
	s.ended = true
	s.endLinks(false)
	s.c.writer.append(s.channel, &wire.End{Error: &bus.Condition{Name: name, Description: description}})
}

// endLinks stops all links without a word to the peer, for whom they end with the session or the connection.
func (s *session) endLinks(expired bool) {
	clear(s.unsettled)
	for handle, k := range s.links {
		s.remove(handle, k)
		k.stop(expired)
	}
}

// remove forgets a link that both sides have detached.
func (s *session) remove(handle uint32, k link) {
	delete(s.links, handle)
	s.c.attached -= k.base().size
	s.c.l.counters.links.Add(-1)
	s.forgetName(k)
}

func (s *session) forgetName(k link) {
	if key := k.base().key; s.c.names[key] == k {
		delete(s.c.names, key)
	}
}

// handle takes a frame of the session. Errors of the session end it; what is returned ends the connection.
func (s *session) handle(p wire.Performative, payload []byte) error {
	if end, ok := p.(*wire.End); ok {
		s.peerEnds(end)
		return nil
	}
	if s.ended {
		// What was under way when the peer got our end is less than this.
		if s.ignored++; s.ignored > patience {
			return framing("frames of a session that has ended")
		}
		return nil
	}
	switch p := p.(type) {
	case *wire.Transfer:
		s.transfer(p, payload)
	case *wire.Flow:
		s.flow(p)
	case *wire.Disposition:
		s.disposition(p)
	case *wire.Attach:
		return s.attach(p)
	case *wire.Detach:
		s.detach(p)
	default:
		return framing("a frame that does not belong into a session")
	}
	return nil
}

func (s *session) peerEnds(p *wire.End) {
	if p.Error != nil {
		s.c.log.Debug("the peer ended a session", "error", p.Error)
	}
	s.endLinks(false)
	if !s.ended {
		s.c.writer.append(s.channel, &wire.End{})
	}
	delete(s.c.sessions, s.channel)
	s.c.l.counters.sessions.Add(-1)
}

// transfer takes a part of a message.
func (s *session) transfer(p *wire.Transfer, payload []byte) {
	if s.window == 0 {
		s.end(bus.WindowViolation, "a transfer beyond the session's window")
		return
	}
	s.nextIncoming++
	s.window--
	k, ok := s.links[p.Handle].(*inLink)
	if !ok {
		s.end(bus.UnattachedHandle, "a transfer on a handle without a link that takes it")
		return
	}
	if !k.detached {
		k.transfer(p, payload)
	} else if k.errant++; k.errant > patience {
		s.end(bus.ErrantLink, "transfers of a link that was detached")
		return
	}
	s.renew()
}

// starves tells whether the window is half used and there is no memory to open it.
func (s *session) starves() bool {
	full, allowed := s.fullWindow(), s.allowed()
	return !s.ended && s.window <= full/2 && (allowed <= s.window || allowed < full/4)
}

// fullWindow is the window when no memory is used.
func (s *session) fullWindow() uint32 {
	return uint32(s.c.l.o.Limits.Memory / int(s.c.l.o.Limits.FrameSize))
}

// renew opens the window again when half of it is used and there is memory for more.
func (s *session) renew() {
	switch {
	case s.ended || s.window > s.fullWindow()/2:
	case s.starves():
		s.c.starved = true
	default:
		s.window = s.allowed()
		s.sendFlow(wire.Flow{})
	}
}

// freed opens the windows that waited for memory, now that there is more of it.
func (c *conn) freed() {
	if !c.starved || c.closeSent || c.dead {
		return
	}
	c.starved = false
	for _, s := range c.sessions {
		s.renew()
	}
}

// sendFlow sends a flow with the session's state.
func (s *session) sendFlow(f wire.Flow) {
	f.NextIncomingID, f.IncomingWindow = wire.Some(s.nextIncoming), s.window
	f.NextOutgoingID, f.OutgoingWindow = s.nextOutgoing, outgoingWindow
	s.c.writer.append(s.channel, &f)
}

// flow takes the peer's state of the session and of a link.
func (s *session) flow(p *wire.Flow) {
	window := int32(p.NextIncomingID.Or(0) + p.IncomingWindow - s.nextOutgoing)
	if p.IncomingWindow > math.MaxInt32 {
		window = math.MaxInt32
	}
	s.peerWindow = uint32(max(window, 0))
	if s.peerWindow > 0 {
		s.c.writer.release()
	}
	if !p.Handle.Set {
		if p.Echo {
			s.sendFlow(wire.Flow{})
		}
		return
	}
	k, ok := s.links[p.Handle.V]
	if !ok {
		s.end(bus.UnattachedHandle, "a flow on a handle without a link")
		return
	}
	if k.base().detached {
		return
	}
	if condition := k.flow(p); condition != nil {
		k.base().fail(condition)
	}
}

// disposition takes the outcomes of what was sent. The peer's answers as a sender, by which it settles what we have said
// in the second settle mode, change nothing: nothing is kept of such deliveries.
func (s *session) disposition(p *wire.Disposition) {
	if p.State.Kind == wire.Transactional {
		s.end(bus.NotImplemented, "there are no transactions")
		return
	}
	if !p.Receiver {
		return
	}
	if len(s.unsettled) >= s.c.l.o.Limits.Unsettled {
		s.c.writer.release()
	}
	n := p.Last.Or(p.First) - p.First
	if n > math.MaxInt32 {
		s.end(bus.InvalidField, "a disposition whose last is before its first")
		return
	}
	if int(n) < 2*len(s.unsettled)+16 {
		for id := p.First; ; id++ {
			s.settle(id, p)
			if id-p.First == n {
				return
			}
		}
	}
	// A range that is larger than what there is costs no more than that.
	var ids []uint32
	for id := range s.unsettled {
		if id-p.First <= n {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b uint32) int { return int(int32(a - b)) })
	for _, id := range ids {
		s.settle(id, p)
	}
}

// settle takes one outcome.
func (s *session) settle(id uint32, p *wire.Disposition) {
	d, ok := s.unsettled[id]
	if !ok || !p.Settled && p.State.Kind != wire.Terminal {
		return
	}
	delete(s.unsettled, id)
	outcome := p.State.Outcome
	if p.State.Kind != wire.Terminal {
		outcome = d.link.otherwise
	}
	d.link.settled(settlement{id: id, delivery: d.delivery, outcome: outcome, confirm: !p.Settled})
}
