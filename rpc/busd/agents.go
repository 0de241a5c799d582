package busd

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"clacks/bus"
	"clacks/rpc"
)

// Agents are the nodes of the domain, as one agent sees them. It keeps a copy of the NodeStore that is a few seconds old at
// most, and says there what this agent is and does. It is safe for concurrent use.
type Agents struct {
	door    *Door
	lines   *lines
	started time.Time

	reading chan struct{} // holds a token while somebody reads the store

	mu      sync.Mutex
	nodes   map[string]*Node
	byName  map[string][]*Node // of a command, those that have it
	offered []rpc.ForeignCommand
	read    time.Time
	sent    map[string]int // commands on their way to a node: its own status tells of them too late
}

var _ rpc.Elsewhere = (*Agents)(nil)

func newAgents(d *Door) *Agents {
	o := d.options
	return &Agents{door: d, lines: &lines{bus: o.Bus, names: o.Names},
		started: d.now(), reading: make(chan struct{}, 1), nodes: map[string]*Node{}, byName: map[string][]*Node{}, sent: map[string]int{}}
}

// The limits of what a node may say of itself.
const (
	maxName          = 64 // of a node or a capability, in bytes
	maxCommandName   = 128
	maxCommands      = 500
	maxSignature     = 64
	maxDocumentation = 2000
)

// FitName reports whether a text can be a node's or a capability's name: a part of an address at every broker.
func FitName(name string) bool {
	return name != "" && len(name) <= maxName && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}

// live announces this agent, reports its status and follows the others, until the context ends; then it leaves.
func (a *Agents) live(ctx context.Context) {
	every := a.door.options.Limits.Status
	a.announce(ctx)
	a.refresh(ctx)
	status, look := time.NewTicker(every), time.NewTicker(lookEvery(every))
	defer status.Stop()
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			a.leave(context.WithoutCancel(ctx))
			return
		case <-status.C:
			a.report(ctx)
		case <-look.C:
			a.refresh(ctx)
		}
	}
}

func lookEvery(status time.Duration) time.Duration {
	return min(max(status/4, 50*time.Millisecond), 3*time.Second)
}

// announce makes this agent known with its commands.
func (a *Agents) announce(ctx context.Context) {
	d := a.door
	err := d.options.Nodes.Put(ctx, Node{Name: d.options.Node, Capability: bus.Core, Run: d.run, Commands: a.own(), Status: d.status(),
		Every: d.options.Limits.Status, Started: a.started, Seen: d.now()})
	if err != nil && ctx.Err() == nil {
		d.log.Warn("the other agents could not be told of this one", "node", d.options.Node, "error", err)
	}
}

// own are the commands of this agent's registry.
func (a *Agents) own() []rpc.ForeignCommand {
	registry := a.door.options.Registry
	var list []rpc.ForeignCommand
	for _, name := range registry.Names() {
		command, ok := registry.Lookup(name)
		if !ok {
			continue
		}
		c := rpc.ForeignCommand{Name: name, Signature: []string{}, Documentation: command.Help}
		for _, p := range command.Params {
			c.Signature = append(c.Signature, p.Name)
		}
		list = append(list, c)
	}
	return list
}

// report notes this agent's status; one whose row is gone, because the database was away for too long, announces itself again.
func (a *Agents) report(ctx context.Context) {
	d := a.door
	if err := d.options.Nodes.Report(ctx, d.options.Node, d.run, "", d.status(), d.now()); err != nil && ctx.Err() == nil {
		a.announce(ctx)
	}
}

// leaveTime bounds the farewell.
const leaveTime = 2 * time.Second

func (a *Agents) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, leaveTime)
	defer cancel()
	if err := a.door.options.Nodes.Remove(ctx, a.door.options.Node, a.door.run, ""); err != nil {
		a.door.log.Debug("the other agents could not be told that this one leaves", "error", err)
	}
}

// refresh reads the store.
func (a *Agents) refresh(ctx context.Context) {
	list, err := a.door.options.Nodes.List(ctx, a.door.now())
	if err != nil {
		a.door.log.Debug("the nodes of the domain cannot be read", "error", err)
		return
	}
	nodes, byName := make(map[string]*Node, len(list)), map[string][]*Node{}
	var offered []rpc.ForeignCommand
	for i := range list {
		n := &list[i]
		nodes[n.Name] = n
		if n.Name == a.door.options.Node {
			continue
		}
		for _, c := range n.Commands {
			if byName[c.Name] == nil {
				offered = append(offered, c)
			}
			byName[c.Name] = append(byName[c.Name], n)
		}
	}
	slices.SortFunc(offered, func(x, y rpc.ForeignCommand) int { return cmp.Compare(x.Name, y.Name) })
	a.mu.Lock()
	defer a.mu.Unlock()
	a.nodes, a.byName, a.offered, a.read = nodes, byName, offered, a.door.now()
	for name := range a.sent {
		if nodes[name] == nil {
			delete(a.sent, name)
		}
	}
}

// freshEnough is the age at which the copy is read anew for a command that it does not know.
const freshEnough = 250 * time.Millisecond

// Find implements rpc.Elsewhere.
func (a *Agents) Find(ctx context.Context, name string) (rpc.ForeignCommand, bool) {
	if c, ok := a.find(name); ok {
		return c, true
	}
	// Somebody may have announced it just now, to another agent. One reads for all who ask.
	select {
	case a.reading <- struct{}{}:
		a.mu.Lock()
		old := a.door.now().Sub(a.read) > freshEnough
		a.mu.Unlock()
		if old {
			a.refresh(ctx)
		}
		<-a.reading
	case <-ctx.Done():
	}
	return a.find(name)
}

func (a *Agents) find(name string) (rpc.ForeignCommand, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.door.now()
	for _, n := range a.byName[name] {
		if n.Gone(now) {
			continue
		}
		for _, c := range n.Commands {
			if c.Name == name {
				return c, true
			}
		}
	}
	return rpc.ForeignCommand{}, false
}

// Commands implements rpc.Elsewhere.
func (a *Agents) Commands() []rpc.ForeignCommand {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.offered)
}

// Nodes are all nodes that are not gone, this agent among them, by name.
func (a *Agents) Nodes() []Node {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.door.now()
	var list []Node
	for _, n := range a.nodes {
		if !n.Gone(now) {
			list = append(list, *n)
		}
	}
	slices.SortFunc(list, func(x, y Node) int { return cmp.Compare(x.Name, y.Name) })
	return list
}

// candidates are the nodes that have a command, the least loaded first: by the status, and by what this agent has sent since.
func (a *Agents) candidates(command string) []Node {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.door.now()
	var list []Node
	for _, n := range a.byName[command] {
		if !n.Gone(now) {
			node := *n
			node.Status.Load += float64(a.sent[n.Name]) / float64(max(n.Status.Workers, 1))
			list = append(list, node)
		}
	}
	slices.SortStableFunc(list, func(x, y Node) int {
		return cmp.Or(cmp.Compare(x.Status.Load, y.Status.Load), cmp.Compare(x.Status.Latency, y.Status.Latency))
	})
	return list
}

// count notes that commands are on their way to a node.
func (a *Agents) count(node string, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.sent[node] += n; a.sent[node] <= 0 {
		delete(a.sent, node)
	}
}
