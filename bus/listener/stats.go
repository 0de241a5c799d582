package listener

import (
	"sync/atomic"
	"time"
)

// Reason is why somebody or something was refused or cut off.
type Reason uint8

// The reasons.
const (
	TooMany       Reason = iota // connections in all
	TooManyOfOne                // connections of one address
	HalfOpen                    // not open when others came
	Handshake                   // no AMQP, or not in time
	Login                       // wrong credentials
	Throttled                   // too many wrong credentials before
	Idle                        // silent for too long
	Slow                        // did not take what was sent
	Malformed                   // frames that cannot be decoded, or that contradict the protocol
	TooManyLinks                // attaches beyond the rate of links, which had to wait
	Refused                     // links that the nodes refused
	BadMessage                  // messages that cannot be decoded
	TooLarge                    // messages beyond the limit
	TooMuchMemory               // links that held too much of unfinished messages
	reasons
)

var reasonNames = [reasons]string{
	"connections", "connections-of-address", "half-open", "handshake", "login", "throttled", "idle", "slow", "malformed",
	"links", "refused", "bad-message", "too-large", "memory",
}

// String is the reason's name in metrics.
func (r Reason) String() string { return reasonNames[r] }

// counters are those of a Listener.
type counters struct {
	connections, halfOpen, sessions, links     atomic.Int64
	accepted, logins                           atomic.Uint64
	messagesIn, messagesOut, bytesIn, bytesOut atomic.Uint64
	refused                                    [reasons]atomic.Uint64
}

// Stats is a snapshot of a Listener's counters: what there is, and what there was since its start.
type Stats struct {
	Connections, HalfOpen, Sessions, Links int64 // there are
	Accepted, Logins                       uint64
	MessagesIn, MessagesOut                uint64
	BytesIn, BytesOut                      uint64
	Refused                                map[string]uint64 // by Reason
}

// Stats is what the listener has counted. It is safe for concurrent use.
func (l *Listener) Stats() Stats {
	c := &l.counters
	s := Stats{
		Connections: c.connections.Load(), HalfOpen: c.halfOpen.Load(), Sessions: c.sessions.Load(), Links: c.links.Load(),
		Accepted: c.accepted.Load(), Logins: c.logins.Load(), MessagesIn: c.messagesIn.Load(),
		MessagesOut: c.messagesOut.Load(), BytesIn: c.bytesIn.Load(), BytesOut: c.bytesOut.Load(),
		Refused: make(map[string]uint64, reasons),
	}
	for r := range reasons {
		s.Refused[r.String()] = c.refused[r].Load()
	}
	return s
}

// Connection is one open connection, as it was when it was asked for.
type Connection struct {
	ID, User, Container, Address string
	Secure                       bool // TLS
	Since                        time.Time
	Sessions                     int
	BytesIn, BytesOut            uint64
	Waiting                      int // bytes that the peer has not taken
	Links                        []Link
}

// Link is one link of a Connection.
type Link struct {
	Name, Address string
	Sending       bool // to the peer
	Credit        uint32
	Unsettled     int
	Messages      uint64
	Rate          float64 // messages a second since the last time that somebody asked, or since the attach
}

// meter counts, and makes a rate of it. It is guarded by its connection's lock.
type meter struct {
	count, before uint64
	since         time.Time
	last          float64
}

// rate is the number a second since the last call that was a second ago at least.
func (m *meter) rate(now time.Time) float64 {
	if passed := now.Sub(m.since); passed >= time.Second {
		m.last = float64(m.count-m.before) / passed.Seconds()
		m.before, m.since = m.count, now
	}
	return m.last
}
