// Package container holds this process's nodes: queues, and what Handlers offer. Links reach them from within the process
// (Connect) and from the listener (Source, Target) by the same way, under the same rights and limits.
//
//	Connect(peer)        listener
//	     \                 /
//	   Source          Target          rights, limits a peer, user-id; every link is counted (link.go)
//	     |                |
//	     |    anonymous --+            each message names its node and is judged anew (target.go)
//	     v                v
//	   consumer <------ queue          bounded; order, expiry, delivery count, dead letters (queue.go)
//	     |                ^
//	   settle ------------+            accepted: gone; released: back where it was; rejected: dead
//
// A Handler that is registered for an address takes the queue's place: its Source and Target stand behind the same checks.
//
// # How a message finds its receiver
//
// A link that has credit calls Next. It is given the oldest message that it may have, or waits in a line; a message that
// comes is handed to the first in that line. So each receiver is served in turn, those who are slow wait less often, and
// nobody who has no credit is given anything. What is not settled goes back to its old place, so that order is kept as far as
// receivers settle in order.
//
// # Locks
//
// Container.mu guards the maps and is taken before queue.mu, which guards one queue. Neither is held while a Handler or the
// Authorizer runs, nor while anything waits. Timers belong to queues that have something to wait for; a queue, a link or a
// waiting receiver costs memory, never a goroutine.
//
// Queues are in memory: a durable one outlives its links, not the process. What must outlive the process is in the event log
// and in the journal.
package container

import (
	"context"
	"crypto/rand"
	"log/slog"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"unicode"
	"unicode/utf8"

	"clacks/bus"
)

// DynamicPrefix begins the address of every dynamic node. Such an address cannot be guessed: who knows it was told it.
const DynamicPrefix = "dynamic."

// maxAddress is the longest address in bytes; also what AMQP's short strings hold.
const maxAddress = 255

// Action is what a peer wants of a node.
type Action uint8

// The actions. Create is asked for beside Send or Receive when the queue does not exist, and with the address "" for a
// dynamic node.
const (
	Send Action = iota
	Receive
	Create
)

// Authorizer decides what a peer may do. It is asked at each attach and for each message that is sent, from many
// goroutines, and must not wait for I/O.
type Authorizer interface {
	Allowed(peer bus.Peer, action Action, address string) bool
}

// AllowAll is the Authorizer that refuses nothing.
type AllowAll struct{}

// Allowed implements Authorizer.
func (AllowAll) Allowed(bus.Peer, Action, string) bool { return true }

// Options of a Container. The zero value is useful.
type Options struct {
	// Default holds for queues that no rule names; its zero fields take the package's defaults.
	Default Settings
	// Rules for queues by address; the most specific one that matches holds, its zero fields are those of Default.
	Rules  []Rule
	Limits Limits
	Log    *slog.Logger // nil for slog.Default
}

// Container holds the nodes of this process. It is safe for concurrent use.
type Container struct {
	authorizer Authorizer
	options    Options
	log        *slog.Logger
	bytes      atomic.Int64 // of all messages in queues
	internal   account      // of links of this process: not limited

	mu       sync.Mutex
	closed   bool
	queues   map[string]*queue
	handlers map[string]bus.Handler
	prefixes []prefix // the longest first
	accounts map[string]*account
	sweepAt  int // the number of accounts at which the next sweep is due
	links    map[*link]struct{}
	local    map[*Connection]struct{}
	retired  Counters // of queues that are gone
}

type prefix struct {
	text    string
	handler bus.Handler
}

// New makes a container without nodes. Nobody needs to run it; Close ends it.
func New(authorizer Authorizer, options Options) *Container {
	options.Default = options.Default.Over(defaults)
	options.Limits = options.Limits.filled()
	log := options.Log
	if log == nil {
		log = slog.Default()
	}
	return &Container{
		authorizer: authorizer, options: options, log: log,
		queues: map[string]*queue{}, handlers: map[string]bus.Handler{}, accounts: map[string]*account{},
		links: map[*link]struct{}{}, local: map[*Connection]struct{}{},
	}
}

// Handle makes h the node at an address. It is for wiring at the start: a second handler for an address takes the first
// one's place, links that are attached keep theirs.
func (c *Container) Handle(address string, h bus.Handler) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handlers[address] = h
}

// HandlePrefix makes h the node at all addresses that begin with a text. A handler of the address itself goes first, then
// the longest prefix.
func (c *Container) HandlePrefix(text string, h bus.Handler) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.prefixes = append(c.prefixes, prefix{text, h})
	sort.SliceStable(c.prefixes, func(i, j int) bool { return len(c.prefixes[i].text) > len(c.prefixes[j].text) })
}

// Declare makes a queue that stays until Delete, with settings of its own: their zero fields are those of the rules. An
// existing queue keeps its messages and gets the settings.
func (c *Container) Declare(address string, settings Settings) error {
	if c := checkAddress(address); c != nil {
		return c
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return closing()
	}
	q := c.queues[address]
	if q == nil {
		q = newQueue(c, address, nil)
		c.queues[address] = q
	}
	q.declare(settings.Over(c.settings(address)))
	return nil
}

// Delete ends a queue with all its messages and receivers, and reports whether there was one.
func (c *Container) Delete(address string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := c.queues[address]
	if q == nil {
		return false
	}
	c.remove(q, &bus.Condition{Name: bus.ResourceDeleted, Description: "the queue was deleted"})
	return true
}

// Close ends all receivers and the connections of this process, and refuses all that comes. The messages in queues are gone
// with it. The listener ends its links itself, before.
func (c *Container) Close() {
	c.mu.Lock()
	c.closed = true
	for _, q := range c.queues {
		c.remove(q, closing())
	}
	local := make([]*Connection, 0, len(c.local))
	for connection := range c.local {
		local = append(local, connection)
	}
	c.mu.Unlock()
	for _, connection := range local {
		connection.Abort()
	}
}

func closing() *bus.Condition {
	return &bus.Condition{Name: bus.ConnectionForced, Description: "the server is going down"}
}

// Source opens the node that a receiving link names. A refusal is a *bus.Condition or a *clacks.Error. The source of a
// dynamic node is a bus.Addressed.
func (c *Container) Source(ctx context.Context, q bus.SourceRequest) (bus.Source, error) {
	return c.source(ctx, q, false)
}

// Target opens the node that a sending link names; the address "" is the anonymous node.
func (c *Container) Target(ctx context.Context, q bus.TargetRequest) (bus.Target, error) {
	return c.target(ctx, q, false)
}

func (c *Container) source(ctx context.Context, q bus.SourceRequest, internal bool) (bus.Source, error) {
	if q.Dynamic {
		q.Address = ""
		if !c.authorizer.Allowed(q.Peer, Create, "") {
			return nil, unauthorized("to make a node")
		}
	} else if err := c.permit(q.Peer, Receive, q.Address); err != nil {
		return nil, err
	}
	l, err := c.open(q.Peer, q.Address, true, internal)
	if err != nil {
		return nil, err
	}
	inner, err := c.attachSource(ctx, q, l)
	if err != nil {
		l.close()
		return nil, err
	}
	s := &sourceLink{link: l, inner: inner}
	if q.Dynamic {
		return &dynamicLink{sourceLink: s}, nil
	}
	return s, nil
}

// attachSource opens what the link reads: the Handler's source, or a consumer of a queue.
func (c *Container) attachSource(ctx context.Context, q bus.SourceRequest, l *link) (bus.Source, error) {
	if q.Dynamic {
		return c.dynamic(l)
	}
	if h := c.handler(q.Address); h != nil {
		return h.Source(ctx, q)
	}
	queue, err := c.attach(l)
	if err != nil {
		return nil, err
	}
	if q.Durable {
		queue.keep(durable)
	}
	return queue.consume(l)
}

func (c *Container) target(ctx context.Context, q bus.TargetRequest, internal bool) (bus.Target, error) {
	if q.Address != "" {
		if err := c.permit(q.Peer, Send, q.Address); err != nil {
			return nil, err
		}
	}
	l, err := c.open(q.Peer, q.Address, false, internal)
	if err != nil {
		return nil, err
	}
	inner, err := c.attachTarget(ctx, q, l)
	if err != nil {
		l.close()
		return nil, err
	}
	return &targetLink{link: l, inner: inner}, nil
}

func (c *Container) attachTarget(ctx context.Context, q bus.TargetRequest, l *link) (bus.Target, error) {
	if q.Address == "" {
		return &anonymous{l}, nil
	}
	if h := c.handler(q.Address); h != nil {
		return h.Target(ctx, q)
	}
	queue, err := c.attach(l)
	if err != nil {
		return nil, err
	}
	return &producer{link: l, queue: queue}, nil
}

// permit refuses an address that is none, and one that the peer may not use.
func (c *Container) permit(peer bus.Peer, action Action, address string) error {
	if c := checkAddress(address); c != nil {
		return c
	}
	if !c.authorizer.Allowed(peer, action, address) {
		return unauthorized(map[Action]string{Send: "to send to ", Receive: "to receive from "}[action] + address)
	}
	return nil
}

func unauthorized(what string) *bus.Condition {
	return &bus.Condition{Name: bus.Unauthorized, Description: "you have no right " + what}
}

func checkAddress(address string) *bus.Condition {
	bad := func(why string) *bus.Condition {
		return &bus.Condition{Name: bus.InvalidField, Description: "the address " + why}
	}
	switch {
	case address == "":
		return bad("is empty")
	case len(address) > maxAddress:
		return bad("is too long")
	case !utf8.ValidString(address) || strings.ContainsFunc(address, unicode.IsControl):
		return bad("has characters that no address has")
	}
	return nil
}

// handler is the Handler of an address; nil when a queue has its place.
func (c *Container) handler(address string) bus.Handler {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.handlers[address]; h != nil {
		return h
	}
	for _, p := range c.prefixes {
		if strings.HasPrefix(address, p.text) {
			return p.handler
		}
	}
	return nil
}

// attach finds the queue of a link, or makes it where the peer may, and counts the link there.
func (c *Container) attach(l *link) (*queue, error) {
	c.mu.Lock()
	q := c.queues[l.address]
	if q == nil {
		c.mu.Unlock()
		if err := c.mayCreate(l.peer, l.address); err != nil {
			return nil, err
		}
		c.mu.Lock()
	}
	defer c.mu.Unlock()
	q, err := c.find(l.address, l.account)
	if err != nil {
		return nil, err
	}
	if q.dynamic && l.receiving {
		return nil, &bus.Condition{Name: bus.ResourceLocked, Description: "the dynamic node has its receiver"}
	}
	q.attached()
	l.queue = q
	return q, nil
}

// mayCreate says why a peer cannot make a queue that does not exist.
func (c *Container) mayCreate(peer bus.Peer, address string) error {
	if strings.HasPrefix(address, DynamicPrefix) || !c.authorizer.Allowed(peer, Create, address) {
		return notFound(address)
	}
	return nil
}

func notFound(address string) *bus.Condition {
	return &bus.Condition{Name: bus.NotFound, Description: "there is no node " + address}
}

// find is the queue of an address; it is made when there is none. Container.mu is held.
func (c *Container) find(address string, owner *account) (*queue, error) {
	if c.closed {
		return nil, closing()
	}
	if q := c.queues[address]; q != nil {
		return q, nil
	}
	if strings.HasPrefix(address, DynamicPrefix) {
		return nil, notFound(address)
	}
	return c.create(address, owner)
}

// create makes a queue on behalf of an account, within the limits. Container.mu is held.
func (c *Container) create(address string, owner *account) (*queue, error) {
	if len(c.queues) >= c.options.Limits.Queues {
		return nil, exceeded("there are too many queues")
	}
	if owner != &c.internal && owner.queues >= c.options.Limits.PeerQueues {
		return nil, exceeded("you have too many queues")
	}
	owner.queues++
	q := newQueue(c, address, owner)
	c.queues[address] = q
	return q, nil
}

func exceeded(why string) *bus.Condition {
	return &bus.Condition{Name: bus.LimitExceeded, Description: why}
}

// dynamic makes a node for one receiving link, which ends it.
func (c *Container) dynamic(l *link) (bus.Source, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, closing()
	}
	q, err := c.create(DynamicPrefix+strings.ToLower(rand.Text()), l.account)
	if err != nil {
		return nil, err
	}
	q.dynamic = true
	q.attached()
	l.queue, l.address = q, q.address
	return q.consume(l)
}

// remove ends a queue: its receivers with why, its messages without. Container.mu is held.
func (c *Container) remove(q *queue, why *bus.Condition) {
	c.finish(q, why, false)
}

// finish takes a queue out of the books and returns the messages that are dead with it. Container.mu is held.
func (c *Container) finish(q *queue, why *bus.Condition, abandoned bool) []death {
	if c.queues[q.address] != q {
		return nil
	}
	delete(c.queues, q.address)
	counters, dead := q.end(why, abandoned)
	c.retired.add(counters)
	if q.owner != nil {
		q.owner.queues--
		c.forget(q.owner)
	}
	return dead
}

// vanish removes a queue to which nobody has been attached for long; its timer calls it. No lock is held.
func (c *Container) vanish(q *queue) {
	c.mu.Lock()
	var dead []death
	if q.left() {
		dead = c.finish(q, nil, true)
	}
	c.mu.Unlock()
	q.bury(dead)
}

// settings are those of the rules for an address.
func (c *Container) settings(address string) Settings {
	best := -1
	settings := c.options.Default
	for _, r := range c.options.Rules {
		if n := r.matches(address); n > best {
			best, settings = n, r.Settings.Over(c.options.Default)
		}
	}
	return settings
}
