package busd

import (
	"context"
	"fmt"
	"strings"
	"time"

	"clacks"
	"clacks/access"
	"clacks/rpc"
)

// commands are those by which programs that are no agents live on the domain.
func (a *Agents) commands() []rpc.Command {
	return []rpc.Command{
		rpc.New(rpc.Spec{Name: "nodeAnnounce", Changes: true,
			Help: "Makes a program with commands of its own known as a node, and answers which others there are."}, a.nodeAnnounce),
		rpc.New(rpc.Spec{Name: "nodeStatus", Changes: true, Help: "Says that a node lives, and how busy it is."}, a.nodeStatus),
		rpc.New(rpc.Spec{Name: "nodeLeave", Changes: true, Help: "Says that a node ends."}, a.nodeLeave),
		rpc.New(rpc.Spec{Name: "nodeCapabilities", Help: "The nodes of the domain, with their commands and how busy they are."}, a.nodeCapabilities),
	}
}

type announceParams struct {
	Node       string               `json:"node" required:"true" doc:"the node's name: letters, digits, hyphens and underscores"`
	Capability string               `json:"capability" required:"true" doc:"what the node is capable of, in one word; not core"`
	Commands   []rpc.ForeignCommand `json:"commands" required:"true" doc:"its commands: name, signature (names of parameters), documentation"`
	Workers    int                  `json:"workers" doc:"how many commands it runs at once; 1 when left out"`
}

// announcement is the answer to a node that announces itself.
type announcement struct {
	Address string     `json:"address" doc:"where the node gets its commands"`
	Run     string     `json:"run" doc:"names this announcement, for nodeStatus and nodeLeave"`
	Every   float64    `json:"every" doc:"seconds between two statuses; who misses three is gone"`
	Nodes   []nodeView `json:"nodes" doc:"all nodes of the domain"`
}

// nodeView is a node as clients see it.
type nodeView struct {
	Node       string               `json:"node"`
	Capability string               `json:"capability"`
	Load       float64              `json:"load" doc:"running and waiting commands for each worker"`
	Latency    float64              `json:"latency" doc:"seconds that a command takes on average"`
	Workers    int                  `json:"workers"`
	Started    time.Time            `json:"started"`
	Seen       time.Time            `json:"seen" doc:"the last status"`
	Commands   []rpc.ForeignCommand `json:"commands,omitempty"`
}

func (a *Agents) nodeAnnounce(ctx context.Context, call *rpc.Call, p announceParams) (*announcement, error) {
	if fields := p.problems(); len(fields) > 0 {
		return nil, &clacks.Error{Op: "busd.announce", Kind: clacks.Invalid, Reason: "the announcement is wrong", Fields: fields}
	}
	d := a.door
	address := d.options.Names.Agent(p.Capability, p.Node)
	// Who may read a node's commands may announce it: whatever is sent there is his to see.
	if !d.options.Policy.Allowed(call.User, access.Receive, access.Topic{Command: address}) {
		return nil, clacks.E(clacks.Denied, "busd.announce", "no right to receive from %s", address)
	}
	now := d.now()
	node := Node{Name: p.Node, Capability: p.Capability, Run: requestID(), User: call.User.ID, Commands: p.Commands,
		Status: Status{Workers: max(p.Workers, 1)}, Every: d.options.Limits.Status, Started: now, Seen: now}
	if err := d.options.Nodes.Put(ctx, node); err != nil {
		return nil, err
	}
	a.refresh(ctx)
	d.log.Info("a node was announced", "node", p.Node, "capability", p.Capability, "user", call.User.ID, "commands", len(p.Commands))
	return &announcement{Address: address, Run: node.Run, Every: node.Every.Seconds(), Nodes: a.views(true)}, nil
}

// problems are all that is wrong with an announcement.
func (p announceParams) problems() []clacks.Field {
	var fields []clacks.Field
	add := func(name, format string, args ...any) {
		fields = append(fields, clacks.Field{Attribute: name, Code: clacks.CodeCheck, Reason: fmt.Sprintf(format, args...)})
	}
	const fit = "consists of at most %d letters, digits, hyphens and underscores"
	if !FitName(p.Node) {
		add("node", fit, maxName)
	}
	if !FitName(p.Capability) || p.Capability == coreCapability {
		add("capability", fit+", and is not core", maxName)
	}
	if len(p.Commands) == 0 || len(p.Commands) > maxCommands {
		add("commands", "are one at least and %d at most", maxCommands)
		return fields
	}
	if p.Workers < 0 || p.Workers > maxWorkers {
		add("workers", "are at most %d", maxWorkers)
	}
	known := map[string]bool{}
	for i, c := range p.Commands {
		name := fmt.Sprintf("commands[%d]", i)
		switch {
		case !fitCommand(c.Name):
			add(name+".name", "consists of at most %d letters, digits, dots, hyphens and underscores, and begins with a letter", maxCommandName)
		case known[c.Name]:
			add(name+".name", "occurs twice")
		case len(c.Signature) > maxSignature || strings.ContainsFunc(strings.Join(c.Signature, ""), isControl):
			add(name+".signature", "names at most %d parameters", maxSignature)
		case len(strings.Join(c.Signature, "")) > maxDocumentation || len(c.Documentation) > maxDocumentation:
			add(name+".documentation", "has at most %d bytes", maxDocumentation)
		}
		known[c.Name] = true
	}
	return fields
}

const (
	coreCapability = "core"
	maxWorkers     = 10_000
)

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

func fitCommand(name string) bool {
	if name == "" || len(name) > maxCommandName || !isLetter(rune(name[0])) {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool {
		return !isLetter(r) && (r < '0' || r > '9') && r != '.' && r != '-' && r != '_'
	})
}

func isLetter(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }

type statusParams struct {
	Node    string  `json:"node" required:"true" doc:"the node's name"`
	Run     string  `json:"run" required:"true" doc:"what nodeAnnounce has answered"`
	Load    float64 `json:"load" doc:"running and waiting commands for each worker: 1 is busy"`
	Latency float64 `json:"latency" doc:"seconds that a command takes on average"`
	Workers int     `json:"workers" doc:"how many commands it runs at once; 1 when left out"`
}

func (a *Agents) nodeStatus(ctx context.Context, call *rpc.Call, p statusParams) (bool, error) {
	if !(p.Load >= 0 && p.Latency >= 0 && p.Latency < 1e6) || p.Workers < 0 || p.Workers > maxWorkers {
		return false, clacks.E(clacks.Invalid, "busd.status", "load, latency and workers are not negative, and not beyond all measure")
	}
	status := Status{Load: p.Load, Latency: time.Duration(p.Latency * float64(time.Second)), Workers: max(p.Workers, 1)}
	return true, a.door.options.Nodes.Report(ctx, p.Node, p.Run, call.User.ID, status, a.door.now())
}

type leaveParams struct {
	Node string `json:"node" required:"true" doc:"the node's name"`
	Run  string `json:"run" required:"true" doc:"what nodeAnnounce has answered"`
}

func (a *Agents) nodeLeave(ctx context.Context, call *rpc.Call, p leaveParams) (bool, error) {
	err := a.door.options.Nodes.Remove(ctx, p.Node, p.Run, call.User.ID)
	a.refresh(ctx)
	return err == nil, err
}

type capabilitiesParams struct {
	Commands bool `json:"commands" doc:"with the commands of each"`
}

func (a *Agents) nodeCapabilities(ctx context.Context, _ *rpc.Call, p capabilitiesParams) ([]nodeView, error) {
	a.refresh(ctx)
	return a.views(p.Commands), nil
}

func (a *Agents) views(commands bool) []nodeView {
	list := []nodeView{}
	for _, n := range a.Nodes() {
		v := nodeView{Node: n.Name, Capability: n.Capability, Load: n.Status.Load, Latency: n.Status.Latency.Seconds(),
			Workers: n.Status.Workers, Started: n.Started, Seen: n.Seen}
		if commands {
			v.Commands = n.Commands
		}
		list = append(list, v)
	}
	return list
}
