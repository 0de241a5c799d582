package container

import (
	"cmp"
	"slices"
	"time"

	"clacks/bus"
)

// Counters count what happened in a queue since it exists, or in all queues since the container does.
type Counters struct {
	In           uint64 // messages that were taken
	Out          uint64 // deliveries to receivers
	Accepted     uint64
	Rejected     uint64
	Returned     uint64 // deliveries that were released, modified, or lost with their link
	Refused      uint64 // messages that were not taken: the queue is full, a limit, no user-id
	Dropped      uint64 // to make room
	Expired      uint64
	Failed       uint64 // after too many deliveries
	Abandoned    uint64 // when their queue ended because nobody was attached for long
	Deleted      uint64 // with their queue
	DeadLettered uint64 // those of Rejected, Dropped, Expired, Failed and Abandoned that are in a dead-letter queue
	Lost         uint64 // those that it did not take
}

func (c *Counters) add(d Counters) {
	c.In += d.In
	c.Out += d.Out
	c.Accepted += d.Accepted
	c.Rejected += d.Rejected
	c.Returned += d.Returned
	c.Refused += d.Refused
	c.Dropped += d.Dropped
	c.Expired += d.Expired
	c.Failed += d.Failed
	c.Abandoned += d.Abandoned
	c.Deleted += d.Deleted
	c.DeadLettered += d.DeadLettered
	c.Lost += d.Lost
}

func (c *Counters) count(reason Reason) {
	switch reason {
	case Expired:
		c.Expired++
	case Rejected:
		c.Rejected++
	case Failed:
		c.Failed++
	case Abandoned:
		c.Abandoned++
	case Dropped:
		c.Dropped++
	}
}

// Statistics are a picture of a container. Queues are each seen at one moment, all of them not at the same.
type Statistics struct {
	Queues   []QueueStatistics // by address
	Links    []LinkStatistics  // the oldest first
	Messages int               // in all queues
	Bytes    int64             // of memory for them
	Peers    int               // who hold links, queues or messages
	Totals   Counters          // of all queues, those that are gone included
}

// QueueStatistics are those of one queue.
type QueueStatistics struct {
	Address   string
	Dynamic   bool
	Kept      bool // it was declared, or made durable
	Depth     int  // messages in it
	Unsettled int  // those of them that receivers hold
	Bytes     int64
	Consumers int
	Producers int
	InRate    float64 // messages a second, over the last seconds
	OutRate   float64
	Counters  Counters
}

// LinkStatistics are those of one link.
type LinkStatistics struct {
	Peer      bus.Peer
	Address   string // "" for the anonymous node
	Receiving bool   // the peer receives
	Since     time.Time
	Messages  uint64 // that went over it
	Refused   uint64 // that were not taken
}

// Statistics takes a picture.
func (c *Container) Statistics() Statistics {
	c.mu.Lock()
	queues := make([]*queue, 0, len(c.queues))
	for _, q := range c.queues {
		queues = append(queues, q)
	}
	s := Statistics{Totals: c.retired, Peers: len(c.accounts), Links: make([]LinkStatistics, 0, len(c.links))}
	for l := range c.links {
		s.Links = append(s.Links, LinkStatistics{
			Peer: l.peer, Address: l.address, Receiving: l.receiving, Since: l.since,
			Messages: l.messages.Load(), Refused: l.refused.Load(),
		})
	}
	c.mu.Unlock()
	for _, q := range queues {
		one := q.statistics()
		s.Queues = append(s.Queues, one)
		s.Messages += one.Depth
		s.Bytes += one.Bytes
		s.Totals.add(one.Counters)
	}
	slices.SortFunc(s.Queues, func(a, b QueueStatistics) int { return cmp.Compare(a.Address, b.Address) })
	slices.SortFunc(s.Links, func(a, b LinkStatistics) int { return a.Since.Compare(b.Since) })
	return s
}

func (q *queue) statistics() QueueStatistics {
	now := time.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	return QueueStatistics{
		Address: q.address, Dynamic: q.dynamic, Kept: q.stays != transient,
		Depth: q.depth, Unsettled: q.depth - q.ready.length, Bytes: q.bytes,
		Consumers: len(q.consumers), Producers: q.links - len(q.consumers),
		InRate: q.in.rate(now), OutRate: q.out.rate(now), Counters: q.counters,
	}
}

// meter counts events by the second.
type meter struct {
	second int64
	counts [8]uint32 // of this second and those before, by second modulo 8
}

// mark counts one event.
func (m *meter) mark(now time.Time) {
	m.move(now.Unix())
	m.counts[m.second%int64(len(m.counts))]++
}

// move clears the seconds in which nothing was counted.
func (m *meter) move(second int64) {
	n := int64(len(m.counts))
	if second-m.second >= n {
		m.counts, m.second = [8]uint32{}, second
		return
	}
	for m.second < second {
		m.second++
		m.counts[m.second%n] = 0
	}
}

// rate is the mean of the last full seconds, a second.
func (m *meter) rate(now time.Time) float64 {
	m.move(now.Unix())
	n := int64(len(m.counts))
	sum := uint32(0)
	for i := int64(1); i < n; i++ {
		sum += m.counts[(m.second+i)%n]
	}
	return float64(sum) / float64(n-1)
}
