package container_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clacks/bus"
	"clacks/bus/container"
)

// model is what a queue should do, written as simply as can be: a list that is searched.
type model struct {
	messages []*modelMessage // by age
	dead     []string
	limit    int
}

type modelMessage struct {
	body   string
	count  uint32
	holder int // index of a link, -1 for none
	avoid  map[int]bool
}

// next is the oldest message that a link may have.
func (m *model) next(link int) *modelMessage {
	for _, x := range m.messages {
		if x.holder < 0 && !x.avoid[link] {
			return x
		}
	}
	return nil
}

func (m *model) remove(x *modelMessage) {
	m.messages = slices.DeleteFunc(m.messages, func(y *modelMessage) bool { return x == y })
}

func (m *model) settle(x *modelMessage, d bus.Disposition) {
	link := x.holder
	x.holder = -1
	switch d.Outcome {
	case bus.Accepted:
		m.remove(x)
	case bus.Rejected:
		m.remove(x)
		m.dead = append(m.dead, x.body)
	case bus.ModifiedOutcome:
		if d.Elsewhere {
			x.avoid[link] = true
		}
		if d.Failed {
			m.fail(x)
		}
	}
}

func (m *model) fail(x *modelMessage) {
	if x.count++; int(x.count) >= m.limit {
		m.remove(x)
		m.dead = append(m.dead, x.body)
	}
}

// run is one random run of a queue beside its model.
type run struct {
	t       *testing.T
	c       *container.Container
	random  *rand.Rand
	model   *model
	target  bus.Target
	sources map[int]bus.Source
	held    map[*modelMessage]*bus.Delivery
	links   int
	sent    int
}

func TestAQueueDoesWhatItsModelDoes(t *testing.T) {
	for seed := range uint64(150) {
		r := newRun(t, seed)
		for range 300 {
			r.step()
		}
		r.end()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func newRun(t *testing.T, seed uint64) *run {
	t.Helper()
	const limit = 3
	rules := []container.Rule{{Address: "q", Settings: container.Settings{MaxDeliveries: limit, DeadLetter: "dead"}}}
	c := container.New(container.AllowAll{}, container.Options{Rules: rules})
	t.Cleanup(c.Close)
	target, err := c.Target(t.Context(), bus.TargetRequest{Peer: peer("ann"), Address: "q"})
	if err != nil {
		t.Fatal(err)
	}
	return &run{
		t: t, c: c, random: rand.New(rand.NewPCG(seed, 1)), model: &model{limit: limit}, target: target,
		sources: map[int]bus.Source{}, held: map[*modelMessage]*bus.Delivery{},
	}
}

func (r *run) step() {
	switch n := r.random.IntN(20); {
	case n < 6:
		r.put()
	case n < 12:
		r.take()
	case n < 18:
		r.settle()
	case n < 19:
		r.open()
	default:
		r.close()
	}
	q := queueOf(r.t, r.c, "q")
	if q.Depth != len(r.model.messages) || q.Unsettled != len(r.held) || (q.Bytes == 0) != (q.Depth == 0) {
		r.t.Fatalf("%+v, but the model has %d, %d of them held", q, len(r.model.messages), len(r.held))
	}
}

func (r *run) put() {
	r.sent++
	body := strconv.Itoa(r.sent)
	if err := r.target.Put(r.t.Context(), text(body)).Err(); err != nil {
		r.t.Fatal(err)
	}
	r.model.messages = append(r.model.messages, &modelMessage{body: body, holder: -1, avoid: map[int]bool{}})
}

// link is one of the open links; -1 when there is none.
func (r *run) link() int {
	var open []int
	for link := range r.sources {
		open = append(open, link)
	}
	if len(open) == 0 {
		return -1
	}
	slices.Sort(open)
	return open[r.random.IntN(len(open))]
}

func (r *run) take() {
	link := r.link()
	if link < 0 {
		return
	}
	d, err := r.sources[link].Ready()
	want := r.model.next(link)
	switch {
	case err != nil:
		r.t.Fatal(err)
	case want == nil && d == nil:
		return
	case want == nil || d == nil || string(d.Message.Body) != want.body:
		r.t.Fatalf("link %d got %v, the model says %v", link, d, want)
	case d.Message.Header.DeliveryCount != want.count:
		r.t.Fatalf("%s: delivery count %d, the model says %d", want.body, d.Message.Header.DeliveryCount, want.count)
	}
	want.holder = link
	r.held[want] = d
}

func (r *run) settle() {
	var held []*modelMessage
	for x := range r.held {
		held = append(held, x)
	}
	if len(held) == 0 {
		return
	}
	slices.SortFunc(held, func(a, b *modelMessage) int { return strings.Compare(a.body, b.body) })
	x := held[r.random.IntN(len(held))]
	d := bus.Disposition{Outcome: bus.Outcome(r.random.IntN(4))}
	if d.Outcome == bus.ModifiedOutcome {
		d.Failed, d.Elsewhere = r.random.IntN(2) == 0, r.random.IntN(4) == 0
	}
	if err := r.held[x].Settle(r.t.Context(), d); err != nil {
		r.t.Fatal(err)
	}
	delete(r.held, x)
	r.model.settle(x, d)
}

func (r *run) open() {
	source, err := r.c.Source(r.t.Context(), bus.SourceRequest{Peer: peer("bob"), Address: "q"})
	if err != nil {
		r.t.Fatal(err)
	}
	r.sources[r.links] = source
	r.links++
}

// close ends a link in order, or as a loss would.
func (r *run) close() {
	link := r.link()
	if link < 0 {
		return
	}
	expired := r.random.IntN(2) == 0
	r.sources[link].Close(expired)
	delete(r.sources, link)
	for _, x := range slices.Clone(r.model.messages) {
		if x.holder != link {
			continue
		}
		x.holder = -1
		delete(r.held, x)
		if !expired {
			r.model.fail(x)
		}
	}
}

// end takes the rest out, and looks at what died.
func (r *run) end() {
	for link := range r.sources {
		r.sources[link].Close(true)
	}
	source, err := r.c.Source(r.t.Context(), bus.SourceRequest{Peer: peer("bob"), Address: "q"})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, x := range r.model.messages {
		d, err := source.Ready()
		if err != nil || d == nil || string(d.Message.Body) != x.body {
			r.t.Fatalf("got %v (%v), the model says %s", d, err, x.body)
		}
		if err := d.Accept(r.t.Context()); err != nil {
			r.t.Fatal(err)
		}
	}
	if d, _ := source.Ready(); d != nil {
		r.t.Fatalf("%s is left", d.Message.Body)
	}
	grave, err := r.c.Source(r.t.Context(), bus.SourceRequest{Peer: peer("bob"), Address: "dead"})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, body := range r.model.dead {
		d, err := grave.Ready()
		if err != nil || d == nil {
			r.t.Fatalf("the dead letter %s is missing (%v)", body, err)
		}
		if err := d.Accept(r.t.Context()); err != nil {
			r.t.Fatal(err)
		}
	}
	if s := r.c.Statistics(); s.Messages != 0 || s.Bytes != 0 {
		r.t.Fatalf("%d messages and %d bytes are left", s.Messages, s.Bytes)
	}
}

// Producers and consumers who come, go and are lost, all at once: each message is accepted once, or dead once, and what a
// receiver sees of one producer that was not given back is in order.
func TestNothingIsLostAndNothingComesTwice(t *testing.T) {
	const producers, each, consumers = 4, 500, 6
	rules := []container.Rule{{Address: "q", Settings: container.Settings{MaxDeliveries: 4, DeadLetter: "dead"}}}
	c := container.New(container.AllowAll{}, container.Options{Rules: rules})
	defer c.Close()
	tally := &tally{ends: map[string]int{}}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	work, stop := context.WithCancel(ctx)
	var workers, group sync.WaitGroup
	for i := range consumers {
		workers.Go(func() { tally.consume(t, work, c, rand.New(rand.NewPCG(uint64(i), 2))) })
	}
	for i := range producers {
		group.Go(func() {
			s, err := c.Connect(peer("ann")).Sender(ctx, "q", bus.SenderOptions{})
			if err != nil {
				t.Error(err)
				return
			}
			for j := range each {
				if err := s.Send(ctx, text(fmt.Sprint(i, "-", j))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	for tally.accepted.Load()+dead(c) < producers*each && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	stop()
	workers.Wait()
	if got := tally.accepted.Load() + dead(c); got != producers*each {
		t.Errorf("%d of %d came to an end", got, producers*each)
	}
	for body, count := range tally.ends {
		if count != 1 {
			t.Errorf("%s was accepted %d times", body, count)
		}
	}
	if q := queueOf(t, c, "q"); q.Depth != 0 || q.Bytes != 0 || q.Unsettled != 0 {
		t.Errorf("%+v", q)
	}
}

// dead is how many messages the dead-letter queue has.
func dead(c *container.Container) int64 {
	for _, q := range c.Statistics().Queues {
		if q.Address == "dead" {
			return int64(q.Depth)
		}
	}
	return 0
}

// tally counts what consumers accepted.
type tally struct {
	accepted atomic.Int64
	mu       sync.Mutex
	ends     map[string]int
}

// consume is a consumer that is as unreliable as can be.
func (a *tally) consume(t *testing.T, ctx context.Context, c *container.Container, random *rand.Rand) {
	for ctx.Err() == nil {
		n := c.Connect(peer("bob"))
		credit := 1 + random.IntN(5)
		r, err := n.Receiver(ctx, "q", bus.ReceiverOptions{Credit: uint32(credit)})
		if err != nil {
			t.Error(err)
			return
		}
		for range 1 + random.IntN(50) {
			if credit == 0 { // all of it is forgotten
				break
			}
			// Who forgot something and waits for more would keep it from the others for ever.
			waiting, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
			d, err := r.Receive(waiting)
			cancel()
			if err != nil {
				break
			}
			if !a.settle(t, d, random) {
				credit--
			}
		}
		if random.IntN(2) == 0 {
			n.Abort()
		} else if err := n.Close(ctx); err != nil {
			t.Error(err)
		}
	}
}

// settle gives a delivery a random outcome, or none.
func (a *tally) settle(t *testing.T, d *bus.Delivery, random *rand.Rand) bool {
	ctx := t.Context()
	var err error
	switch n := random.IntN(20); {
	case n < 15:
		a.mu.Lock()
		a.ends[string(d.Message.Body)]++
		a.mu.Unlock()
		if err = d.Accept(ctx); err == nil {
			a.accepted.Add(1)
		}
	case n < 16:
		err = d.Release(ctx)
	case n < 17:
		err = d.Modify(ctx, bus.Modified{Failed: random.IntN(2) == 0})
	case n < 18:
		err = d.Reject(ctx, nil)
	default: // forgotten: it comes back with the link's end
		return false
	}
	if err != nil {
		t.Errorf("settle: %v", err)
	}
	return true
}

// Order holds for a receiver that settles in order, however many senders there are.
func TestOrderOfEachSenderIsKept(t *testing.T) {
	c := make1(t, container.Options{})
	b := c.Connect(peer("ann"))
	const senders, each = 4, 300
	for i := range senders {
		s := sender(t, b, "q")
		go func() {
			for j := range each {
				if err := s.Send(t.Context(), text(fmt.Sprint(i, " ", j))); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	r := receiver(t, b, "q", bus.ReceiverOptions{Credit: 3})
	var last [senders]int
	for range senders * each {
		d := receive(t, r)
		var i, j int
		if _, err := fmt.Sscan(string(d.Message.Body), &i, &j); err != nil {
			t.Fatal(err)
		}
		if j != last[i] {
			t.Fatalf("%d of sender %d came where %d was due", j, i, last[i])
		}
		last[i]++
		if err := d.Accept(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
