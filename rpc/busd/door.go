package busd

import (
	"context"
	"crypto/rand"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"clacks"
	"clacks/access"
	"clacks/bus"
	"clacks/rpc"
)

// Options are what the door needs. Registry, Bus, Names, Node, Users, Nodes and Secret are required.
type Options struct {
	Registry *rpc.Registry
	// Bus is where commands come from, as this agent may use it. The door does not close it.
	Bus   bus.Bus
	Names bus.Names
	// Node is this agent's name on the domain: FitName(Node) holds.
	Node  string
	Users Users
	// UserID is this agent's own name at the bus, which its messages to other nodes carry as user-id.
	UserID string
	Nodes  NodeStore
	// Secret is what the agents of a domain share: passes are signed with a key made of it.
	Secret []byte
	Policy access.Policy // nil for access.Static
	// Redelivered tells a message that somebody had before, who did not say what became of it; nil for one with a delivery
	// count, which not every broker keeps.
	Redelivered func(m *bus.Message) bool
	Limits      Limits
	Log         *slog.Logger // nil for slog.Default

	now func() time.Time // nil for time.Now
}

// Limits bound what the door does. Zero fields mean DefaultLimits' values.
type Limits struct {
	Workers   int           // commands running at once
	UserCalls int           // of those, of one user; further ones wait
	Grace     time.Duration // for running commands at shutdown
	Reply     time.Duration // for sending one answer
	Status    time.Duration // between two statuses of a node
	UserCache time.Duration // a user is trusted to be as he was
}

// DefaultLimits are used where Options.Limits leaves a field zero.
var DefaultLimits = Limits{Workers: 32, UserCalls: 24, Grace: 15 * time.Second, Reply: 10 * time.Second, Status: 10 * time.Second,
	UserCache: time.Minute}

func or[T comparable](v, fallback T) T {
	var zero T
	if v == zero {
		return fallback
	}
	return v
}

func (l Limits) orDefault() Limits {
	d := DefaultLimits
	l = Limits{Workers: or(l.Workers, d.Workers), UserCalls: or(l.UserCalls, d.UserCalls), Grace: or(l.Grace, d.Grace),
		Reply: or(l.Reply, d.Reply), Status: or(l.Status, d.Status), UserCache: or(l.UserCache, d.UserCache)}
	l.UserCalls = min(l.UserCalls, l.Workers)
	return l
}

// Door takes commands from a bus. It is safe for concurrent use.
type Door struct {
	options Options
	log     *slog.Logger
	run     string // names this process of the node
	now     func() time.Time
	signer  *signer
	users   *userCache
	replies *replies
	agents  *Agents

	workers chan struct{} // a slot a running command
	calls   sync.WaitGroup
	mu      sync.Mutex
	perUser map[string]*userCalls
	faults  map[string]error // why an address cannot be read, by address

	counters counters
}

// userCalls is the share of one user.
type userCalls struct {
	slots chan struct{}
	holds int // messages that run or wait
}

// counters are what Statistics shows.
type counters struct {
	received, refused, expired, released, replied, dropped atomic.Int64
	held                                                   atomic.Int64 // messages that run or wait
	latency                                                atomic.Int64 // moving average, in nanoseconds
}

// Statistics are the numbers of a door since its start.
type Statistics struct {
	Received int64 // messages
	Refused  int64 // of those, not run: unknown users, bodies that cannot be read
	Expired  int64 // not run: too old
	Released int64 // given back at shutdown
	Replied  int64
	Dropped  int64 // answers that nobody could have
	Held     int64 // commands that run or wait at this moment
	Workers  int
}

// New makes the door and joins the registry to the other nodes of the domain. It reads nothing before Run.
func New(o Options) (*Door, error) {
	if o.Registry == nil || o.Bus == nil || o.Users == nil || o.Nodes == nil || o.Names == "" {
		return nil, clacks.E(clacks.Invalid, "busd.new", "a registry, a bus, names, users and nodes are needed")
	}
	if !FitName(o.Node) {
		return nil, clacks.E(clacks.Invalid, "busd.new", "%q is no name for a node", o.Node)
	}
	if len(o.Secret) < minSecret {
		return nil, clacks.E(clacks.Invalid, "busd.new", "the secret has %d bytes, at least %d are needed", len(o.Secret), minSecret)
	}
	if o.Policy == nil {
		o.Policy = access.Static{}
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Redelivered == nil {
		o.Redelivered = func(m *bus.Message) bool { return m.Header.DeliveryCount > 0 }
	}
	if o.now == nil {
		o.now = time.Now
	}
	o.Limits = o.Limits.orDefault()
	d := &Door{options: o, log: o.Log, run: rand.Text(), now: o.now, workers: make(chan struct{}, o.Limits.Workers),
		perUser: map[string]*userCalls{}, faults: map[string]error{}}
	d.signer = newSigner(o.Secret, d.now)
	d.users = &userCache{find: o.Users, keep: o.Limits.UserCache, now: d.now, known: map[string]cachedUser{}}
	d.replies = &replies{bus: o.Bus}
	d.agents = newAgents(d)
	for _, address := range d.addresses() {
		d.faults[address] = clacks.E(clacks.Unavailable, "busd.ready", "not attached yet")
	}
	if err := o.Registry.Add(d.agents.commands()...); err != nil {
		return nil, err
	}
	o.Registry.SetElsewhere(d.agents)
	return d, nil
}

// minSecret is the size in bytes below which a secret would be worth guessing.
const minSecret = 32

func (d *Door) addresses() []string {
	return []string{d.options.Names.Command(bus.Core), d.options.Names.Agent(bus.Core, d.options.Node)}
}

// Run takes commands until the context ends. Then it takes no more, waits for those that run, Limits.Grace at most, gives
// the others back, and leaves the domain.
func (d *Door) Run(ctx context.Context) {
	commands, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var reading sync.WaitGroup
	receivers := make(chan bus.Receiver, len(d.addresses()))
	for _, address := range d.addresses() {
		reading.Go(func() { d.consume(ctx, commands, address, receivers) })
	}
	reading.Go(func() { d.agents.live(ctx) })
	reading.Wait()
	d.finish(cancel)
	close(receivers)
	ending, stop := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	defer stop()
	for r := range receivers {
		if err := r.Close(ending); err != nil {
			d.log.Debug("a link could not be closed in order", "address", r.Address(), "error", err)
		}
	}
	d.agents.lines.close()
	d.replies.close()
}

// closeTime bounds the orderly end of links.
const closeTime = 3 * time.Second

// finish waits for what runs; what still does at the end of the time of grace is cancelled.
func (d *Door) finish(cancel context.CancelFunc) {
	done := make(chan struct{})
	go func() {
		d.calls.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(d.options.Limits.Grace):
		d.log.Warn("commands of the bus were still running at the end of the time of grace", "grace", d.options.Limits.Grace)
		cancel()
		select {
		case <-done:
		case <-time.After(closeTime):
		}
	}
}

// The pauses between two attempts to attach a link that was refused: they double from the first to the last.
const (
	firstPause = 200 * time.Millisecond
	lastPause  = 10 * time.Second
)

// consume takes the messages of one address until ctx ends, and attaches again as often as the link ends. The last receiver is left to be
// closed when what came over it is done: with it goes what was not taken.
func (d *Door) consume(ctx, commands context.Context, address string, left chan<- bus.Receiver) {
	options := bus.ReceiverOptions{
		Credit: uint32(2 * d.options.Limits.Workers),
		// What all agents share stays while none of them is there; what is for one goes with it.
		Durable: address == d.options.Names.Command(bus.Core),
	}
	for pause := firstPause; ctx.Err() == nil; pause = min(2*pause, lastPause) {
		receiver, err := d.options.Bus.Receiver(ctx, address, options)
		if err == nil {
			d.fault(address, nil)
			pause = firstPause
			err = d.receive(ctx, commands, receiver)
			if ctx.Err() != nil {
				left <- receiver
				return
			}
			_ = receiver.Close(ctx)
		}
		if ctx.Err() != nil {
			return
		}
		d.fault(address, err)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// fault notes why an address cannot be read, nil when it can.
func (d *Door) fault(address string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil && d.faults[address] == nil {
		d.log.Warn("commands of the bus cannot be read", "address", address, "error", err)
	}
	d.faults[address] = err
}

// Ready is why commands of the bus cannot be taken at the moment, nil when they can.
func (d *Door) Ready() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, err := range d.faults {
		if err != nil {
			return err
		}
	}
	return nil
}

// receive hands out the deliveries of one link. The link's credit bounds how many are in hand.
func (d *Door) receive(ctx, commands context.Context, r bus.Receiver) error {
	for {
		delivery, err := r.Receive(ctx)
		if err != nil {
			return err
		}
		d.counters.received.Add(1)
		d.counters.held.Add(1)
		arrived := d.now()
		d.calls.Go(func() {
			defer d.counters.held.Add(-1)
			d.handle(ctx, commands, delivery, arrived)
		})
	}
}

// handle takes one message from its arrival to its outcome. ctx ends with the taking of messages, commands with the time
// of grace.
func (d *Door) handle(ctx, commands context.Context, delivery *bus.Delivery, arrived time.Time) {
	m := delivery.Message
	if _, err := replyAddress(d.options.Names, m.Properties.ReplyTo); err != nil {
		d.counters.refused.Add(1)
		d.settle(delivery.Reject(commands, bus.ConditionOf(err)))
		return
	}
	c, err := d.read(commands, m)
	if err != nil {
		d.refuse(commands, delivery, c, err)
		return
	}
	release, ok := d.admit(ctx, c.user.ID)
	if !ok {
		d.giveBack(commands, delivery, c)
		return
	}
	defer release()
	if expired(m, arrived, d.now()) {
		d.counters.expired.Add(1)
		d.finishWith(commands, delivery, c, rpc.RefuseMessage(c.request,
			clacks.E(clacks.Limit, "busd.expired", "the message had expired before its command could run")))
		return
	}
	if c.pass != nil {
		commands = context.WithValue(commands, hopsKey{}, c.pass.Hops)
	}
	started := d.now()
	reply := d.options.Registry.ServeMessage(commands, c.caller, c.request)
	d.observe(d.now().Sub(started))
	d.finishWith(commands, delivery, c, reply)
}

// observe keeps the moving average of how long commands take.
func (d *Door) observe(took time.Duration) {
	const weight = 8
	for {
		old := d.counters.latency.Load()
		if d.counters.latency.CompareAndSwap(old, old+(int64(took)-old)/weight) {
			return
		}
	}
}

// admit waits for a place of the user's and for a worker. It is false when the door closes before.
func (d *Door) admit(ctx context.Context, user string) (release func(), ok bool) {
	d.mu.Lock()
	share := d.perUser[user]
	if share == nil {
		share = &userCalls{slots: make(chan struct{}, d.options.Limits.UserCalls)}
		d.perUser[user] = share
	}
	share.holds++
	d.mu.Unlock()
	leave := func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if share.holds--; share.holds == 0 {
			delete(d.perUser, user)
		}
	}
	if !enter(ctx, share.slots) {
		leave()
		return nil, false
	}
	if !enter(ctx, d.workers) {
		<-share.slots
		leave()
		return nil, false
	}
	return func() {
		<-d.workers
		<-share.slots
		leave()
	}, true
}

func enter(ctx context.Context, slots chan struct{}) bool {
	if ctx.Err() != nil {
		return false
	}
	select {
	case slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// refuse answers a message that is not run, and rejects one that no answer can be sent for.
func (d *Door) refuse(ctx context.Context, delivery *bus.Delivery, c *call, err error) {
	d.counters.refused.Add(1)
	id := requestID()
	err = rpc.Present(ctx, d.log, id, err, "user", string(delivery.Message.Properties.UserID))
	// A message that abuses a pass may come from somebody who has seen the real one: its sender must not be told in its place.
	_, passed := delivery.Message.Application[PropertyPass]
	forged := passed && clacks.IsKind(err, clacks.Denied)
	if delivery.Message.Properties.ReplyTo == "" || forged {
		d.settle(delivery.Reject(ctx, bus.ConditionOf(err)))
		return
	}
	var request *rpc.Request
	if c != nil {
		request = c.request
	}
	d.finishWith(ctx, delivery, c, rpc.RefuseMessage(request, err))
}

// giveBack releases a message that was not run, so that another agent takes it.
func (d *Door) giveBack(ctx context.Context, delivery *bus.Delivery, c *call) {
	d.counters.released.Add(1)
	if c != nil && c.pass != nil {
		d.signer.again(*c.pass)
	}
	d.settle(delivery.Release(ctx))
}

// finishWith sends the answer, if somebody wants one, and then accepts the message. When the connection is lost in between
// the message comes again.
func (d *Door) finishWith(ctx context.Context, delivery *bus.Delivery, c *call, reply rpc.Reply) {
	m := delivery.Message
	if reply.Body != nil && m.Properties.ReplyTo != "" {
		sending, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.options.Limits.Reply)
		lost, err := d.replies.send(sending, d.answer(m, reply.Body))
		cancel()
		if lost {
			d.giveBack(ctx, delivery, c)
			return
		}
		if err != nil {
			d.counters.dropped.Add(1)
			d.log.Info("an answer could not be sent and is dropped", "address", m.Properties.ReplyTo, "method", reply.Method, "error", err)
		} else {
			d.counters.replied.Add(1)
		}
	}
	if err := delivery.Accept(context.WithoutCancel(ctx)); err != nil {
		if c != nil && c.pass != nil {
			d.signer.again(*c.pass) // it will be delivered once more
		}
		d.settle(err)
	}
}

// settle looks at what became of an outcome. One that is lost needs no care: the message comes again.
func (d *Door) settle(err error) {
	if err != nil {
		d.log.Debug("the outcome of a message is lost, it will come again", "error", err)
	}
}

// Statistics are the door's numbers.
func (d *Door) Statistics() Statistics {
	c := &d.counters
	return Statistics{Received: c.received.Load(), Refused: c.refused.Load(), Expired: c.expired.Load(), Released: c.released.Load(),
		Replied: c.replied.Load(), Dropped: c.dropped.Load(), Held: c.held.Load(), Workers: d.options.Limits.Workers}
}

// Agents are the nodes of the domain as this agent sees them.
func (d *Door) Agents() *Agents { return d.agents }

func (d *Door) status() Status {
	workers := d.options.Limits.Workers
	return Status{Load: float64(d.counters.held.Load()) / float64(workers), Latency: time.Duration(d.counters.latency.Load()), Workers: workers}
}

// requestID names a message in the log.
func requestID() string { return rand.Text()[:16] }
