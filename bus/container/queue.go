package container

import (
	"container/list"
	"slices"
	"sync"
	"time"

	"clacks/bus"
)

// expiryGrain is how long the dead may lie in a queue: messages that expire within it are cleared together. Nobody is given
// an expired message in the meantime.
const expiryGrain = 250 * time.Millisecond

// queue keeps messages in their order until a receiver takes them.
type queue struct {
	c       *Container
	address string
	owner   *account // who made it; nil for one that was declared
	dynamic bool     // it lives with the link of its receiver; constant once others see it

	mu        sync.Mutex
	settings  Settings
	stays     stay
	gone      bool    // it ended: nothing goes in
	ready     entries // by seq
	waiting   list.List
	consumers map[*consumer]struct{}
	links     int // attached, sending and receiving
	depth     int // messages, those included that consumers hold
	bytes     int64
	seq       uint64
	soonest   time.Time // when the first message that is ready expires, or before
	since     time.Time // when something happened while nobody was attached
	timer     *time.Timer
	due       time.Time // when the timer fires; zero for never
	counters  Counters
	in, out   meter
}

// stay tells how long a queue outlives its links.
type stay uint8

const (
	transient stay = iota // as long as its settings say for one that is empty, or not
	durable               // an attach asked for it: longer
	declared              // until somebody deletes it
)

// death is a message that a queue gives up, with the reason.
type death struct {
	entry  *entry
	reason Reason
	why    *bus.Condition // of a rejection
}

func newQueue(c *Container, address string, owner *account) *queue {
	q := &queue{c: c, address: address, owner: owner, settings: c.settings(address), consumers: map[*consumer]struct{}{}}
	q.since = time.Now()
	q.schedule()
	return q
}

// declare gives the queue settings and keeps it.
func (q *queue) declare(settings Settings) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.settings, q.stays = settings, declared
}

// keep makes the queue outlive its links.
func (q *queue) keep(how stay) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stays = max(q.stays, how)
}

// attached and detached count links. Container.mu is held, so that no queue vanishes between a look and an attach.
func (q *queue) attached() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.links++
}

func (q *queue) detached() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.links--
	q.rest()
}

// rest notes that something happened while nobody is attached, and sets the timer for the queue's end.
func (q *queue) rest() {
	if q.links == 0 {
		q.since = time.Now()
		q.schedule()
	}
}

// left reports whether nobody has been attached for so long that the queue ends.
func (q *queue) left() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	due := q.ends()
	return !due.IsZero() && !time.Now().Before(due)
}

// ends is when the queue ends if nothing happens; zero for never. The lock is held.
func (q *queue) ends() time.Time {
	switch {
	case q.gone || q.links > 0 || q.stays == declared:
		return time.Time{}
	case q.stays == durable:
		return q.since.Add(q.settings.DurableIdle)
	case q.depth > 0:
		return q.since.Add(q.settings.Abandoned)
	default:
		return q.since.Add(q.settings.Idle)
	}
}

// schedule sets the timer to what comes first: an expiry, or the end of an idle queue. The lock is held.
func (q *queue) schedule() {
	due := q.ends()
	if !q.soonest.IsZero() && !q.gone && (due.IsZero() || q.soonest.Before(due)) {
		due = q.soonest
	}
	if due.IsZero() || !q.due.IsZero() && !q.due.After(due) {
		return // nothing to wait for, or the timer fires before and looks again
	}
	q.due = due
	wait := time.Until(due)
	if q.timer == nil {
		q.timer = time.AfterFunc(wait, q.fire)
		return
	}
	q.timer.Reset(wait)
}

// fire is the timer's: it clears what has expired and ends an idle queue.
func (q *queue) fire() {
	q.mu.Lock()
	q.due = time.Time{}
	dead := q.expire(time.Now())
	due := q.ends()
	over := !due.IsZero() && !time.Now().Before(due)
	if !over {
		q.schedule()
	}
	q.mu.Unlock()
	q.bury(dead)
	if over {
		q.c.vanish(q)
	}
}

// expire takes out what is ready and has expired. The lock is held.
func (q *queue) expire(now time.Time) (dead []death) {
	if q.soonest.IsZero() || now.Before(q.soonest) {
		return nil
	}
	q.soonest = time.Time{}
	for e := q.ready.first; e != nil; {
		next := e.next
		if e.expired(now) {
			q.ready.remove(e)
			dead = append(dead, q.kill(e, Expired))
		} else {
			q.noteExpiry(e, now)
		}
		e = next
	}
	q.rest()
	return dead
}

// noteExpiry makes sure that the timer fires after e has expired, and not much after. The lock is held.
func (q *queue) noteExpiry(e *entry, now time.Time) {
	if e.deadline.IsZero() {
		return
	}
	at := e.deadline
	if grain := now.Add(expiryGrain); at.Before(grain) {
		at = grain
	}
	if q.soonest.IsZero() || at.Before(q.soonest) {
		q.soonest = at
	}
}

// put takes a message into the queue, or says why not. corpse tells a dead letter, whose own life is over already.
func (q *queue) put(m *bus.Message, payer *account, corpse bool) bus.Disposition {
	if q.dynamic {
		payer = q.owner
	}
	size := sizeOf(m)
	if contentSize(m) > q.c.options.Limits.Message {
		return q.refuse(&bus.Condition{Name: bus.MessageTooLarge, Description: "the message is too large"})
	}
	e := newEntry(m, size, payer)
	if why := q.c.reserve(payer, size); why != nil {
		return q.refuse(why)
	}
	q.mu.Lock()
	dead, why := q.admit(e, corpse)
	q.mu.Unlock()
	q.bury(dead)
	if why != nil {
		q.c.refund(payer, size)
		return reject(why)
	}
	return bus.Disposition{}
}

func (q *queue) refuse(why *bus.Condition) bus.Disposition {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.counters.Refused++
	return reject(why)
}

// admit puts an entry into the queue, where it goes to the next waiting consumer at once. The lock is held.
func (q *queue) admit(e *entry, corpse bool) (dead []death, why *bus.Condition) {
	if q.gone {
		return nil, &bus.Condition{Name: bus.ResourceDeleted, Description: "the node is gone"}
	}
	if q.settings.RequireUser == Required && len(e.message.Properties.UserID) == 0 && !corpse {
		q.counters.Refused++
		return nil, &bus.Condition{Name: bus.Unauthorized, Description: "a message to " + q.address + " names its user in user-id"}
	}
	dead, fits := q.room(e.size)
	if !fits {
		q.counters.Refused++
		return dead, exceeded(q.address + " is full")
	}
	now := time.Now()
	q.in.mark(now)
	q.counters.In++
	q.depth++
	q.bytes += e.size
	e.corpse = corpse
	if corpse {
		e.message.Header.TTL = 0
		if q.settings.TTL > 0 {
			e.deadline = now.Add(q.settings.TTL)
		}
	} else {
		e.expires(q.settings.TTL)
	}
	e.seq = q.seq
	q.seq++
	if e.expired(now) {
		dead = append(dead, q.kill(e, Expired))
		q.rest()
		return dead, nil
	}
	if !q.offer(e) {
		q.ready.push(e)
		if !e.deadline.IsZero() {
			q.noteExpiry(e, now)
			q.schedule()
		}
	}
	q.rest()
	return dead, nil
}

// room makes sure that a message of this size fits: the expired go first, then as the policy says. The lock is held.
func (q *queue) room(size int64) (dead []death, fits bool) {
	full := func() bool { return q.depth >= q.settings.MaxMessages || q.bytes+size > q.settings.MaxBytes }
	if !full() {
		return nil, true
	}
	dead = q.expire(time.Now())
	if q.settings.Full != DropOldest || size > q.settings.MaxBytes {
		return dead, !full()
	}
	for full() && q.ready.first != nil {
		oldest := q.ready.first
		q.ready.remove(oldest)
		dead = append(dead, q.kill(oldest, Dropped))
	}
	return dead, !full()
}

// offer hands an entry to the first waiting consumer who may have it. The lock is held.
func (q *queue) offer(e *entry) bool {
	for w := q.waiting.Front(); w != nil; w = w.Next() {
		c := w.Value.(*consumer)
		if e.avoids(c) {
			continue
		}
		q.waiting.Remove(w)
		c.waits = nil
		c.hold(e)
		c.wake <- e
		return true
	}
	return false
}

// kill takes a message that is in no list out of the queue's books, because of a reason. The lock is held.
func (q *queue) kill(e *entry, reason Reason) death {
	q.discharge(e)
	q.counters.count(reason)
	return death{entry: e, reason: reason}
}

// discharge takes a message that is in no list out of the books. The lock is held.
func (q *queue) discharge(e *entry) {
	q.depth--
	q.bytes -= e.size
}

// restore gives messages back that a consumer held: to those who wait, else to their old places. The lock is held.
func (q *queue) restore(back []*entry) {
	slices.SortFunc(back, func(a, b *entry) int {
		if a.seq < b.seq {
			return -1
		}
		return 1
	})
	now := time.Now()
	for _, e := range back {
		e.holder = nil
		if !e.expired(now) && q.offer(e) {
			continue
		}
		q.ready.putBack(e)
		q.noteExpiry(e, now)
	}
	q.schedule()
}

// end empties the queue for good and returns its counters, and its messages: those that are abandoned are dead, the others
// are gone. Deliveries that consumers hold can be settled still.
func (q *queue) end(why *bus.Condition, abandoned bool) (Counters, []death) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.gone = true
	if q.timer != nil {
		q.timer.Stop()
	}
	var left []death
	for e := q.ready.first; e != nil; e = q.ready.first {
		q.ready.remove(e)
		if abandoned {
			left = append(left, q.kill(e, Abandoned))
			continue
		}
		q.discharge(e)
		q.counters.Deleted++
		q.c.refund(e.payer, e.size)
	}
	if why == nil {
		why = &bus.Condition{Name: bus.ResourceDeleted, Description: "the node is gone"}
	}
	for c := range q.consumers {
		c.stop(why)
	}
	return q.counters, left
}
