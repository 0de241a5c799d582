package container

import (
	"strings"
	"time"
)

// Policy is what a full queue does with a message that comes.
type Policy uint8

// The policies.
const (
	// Refuse rejects the new message with amqp:resource-limit-exceeded.
	Refuse Policy = iota + 1
	// DropOldest makes room: the oldest messages that no receiver holds are dead.
	DropOldest
)

// Settings of a queue. A zero field takes the next best settings: those of a rule, of Options.Default, of the package.
type Settings struct {
	MaxMessages   int           // how many messages it holds, those included that receivers have not settled; 10,000
	MaxBytes      int64         // how many bytes of memory they may take; 64 MiB
	Full          Policy        // Refuse
	TTL           time.Duration // the longest life of a message; none
	MaxDeliveries int           // after so many that failed the message is dead; 10, negative for no limit
	DeadLetter    string        // the queue that dead messages go to; "" for none: they are gone
	RequireUser   Require       // a message without user-id is refused; Optional. A foreign one always is
	// A queue that was not declared, and to which nobody is attached, ends when nothing has happened for this time:
	Idle        time.Duration // one that is empty; a minute
	Abandoned   time.Duration // one that is not, whose messages are dead then; an hour
	DurableIdle time.Duration // one that was made durable, empty or not; 30 days
}

// Require tells what a message must have.
type Require uint8

// Whether something may be absent.
const (
	Optional Require = iota + 1
	Required
)

var defaults = Settings{
	MaxMessages: 10_000, MaxBytes: 64 << 20, Full: Refuse, MaxDeliveries: 10, RequireUser: Optional,
	Idle: time.Minute, Abandoned: time.Hour, DurableIdle: 30 * 24 * time.Hour,
}

// Over fills the zero fields of s from lower.
func (s Settings) Over(lower Settings) Settings {
	return Settings{
		MaxMessages:   or(s.MaxMessages, lower.MaxMessages),
		MaxBytes:      or(s.MaxBytes, lower.MaxBytes),
		Full:          or(s.Full, lower.Full),
		TTL:           or(s.TTL, lower.TTL),
		MaxDeliveries: or(s.MaxDeliveries, lower.MaxDeliveries),
		DeadLetter:    or(s.DeadLetter, lower.DeadLetter),
		RequireUser:   or(s.RequireUser, lower.RequireUser),
		Idle:          or(s.Idle, lower.Idle),
		Abandoned:     or(s.Abandoned, lower.Abandoned),
		DurableIdle:   or(s.DurableIdle, lower.DurableIdle),
	}
}

func or[T comparable](a, b T) T {
	var zero T
	if a != zero {
		return a
	}
	return b
}

// Rule gives queues settings by their address: that very one, or, with a "*" at its end, all that begin so.
type Rule struct {
	Address  string
	Settings Settings
}

// matches is how well a rule fits an address: -1 not at all, the longer the better, the address itself best.
func (r Rule) matches(address string) int {
	if text, open := strings.CutSuffix(r.Address, "*"); open {
		if strings.HasPrefix(address, text) {
			return len(text)
		}
		return -1
	}
	if r.Address == address {
		return maxAddress + 1
	}
	return -1
}

// Covers reports whether all queues that another rule's address names are named by this one's.
func (r Rule) Covers(address string) bool {
	return r.Address == address || strings.HasSuffix(r.Address, "*") && r.matches(strings.TrimSuffix(address, "*")) >= 0
}

// Limits of a container. A zero field takes the default. A peer is a user, or a connection that has none; links of this
// process (Connect) are not limited.
type Limits struct {
	Queues     int   // queues in all; 100,000
	Bytes      int64 // of memory for messages in all queues; 512 MiB
	Message    int64 // bytes of one message, encoded; 16 MiB
	PeerLinks  int   // links of one peer; 1,000
	PeerQueues int   // queues that exist because of one peer, dynamic ones included; 1,000
	PeerBytes  int64 // what messages take that a peer has sent, or that wait in its dynamic nodes; 64 MiB
}

func (l Limits) filled() Limits {
	return Limits{
		Queues: or(l.Queues, 100_000), Bytes: or(l.Bytes, 512<<20), Message: or(l.Message, 16<<20),
		PeerLinks: or(l.PeerLinks, 1000), PeerQueues: or(l.PeerQueues, 1000), PeerBytes: or(l.PeerBytes, 64<<20),
	}
}
