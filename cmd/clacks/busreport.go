package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"clacks"
	"clacks/rpc"
	"clacks/rpc/client"
)

// busReport is the answer of getBus.
type busReport struct {
	Node        string          `json:"node" doc:"the agent that answers"`
	Domain      string          `json:"domain"`
	Transport   string          `json:"transport" doc:"embedded, or external for a broker"`
	Address     string          `json:"address" doc:"where the listener is, or the broker"`
	Connected   bool            `json:"connected" doc:"false while the external broker is away"`
	Commands    busCommands     `json:"commands"`
	Connections []busConnection `json:"connections" doc:"of others to the embedded listener"`
	Links       []busLink       `json:"links" doc:"all links to our own nodes, those of this process included"`
	Queues      []busQueue      `json:"queues"`
}

type busCommands struct {
	Received int64 `json:"received"`
	Refused  int64 `json:"refused"`
	Replied  int64 `json:"replied"`
	Held     int64 `json:"held" doc:"commands that run or wait"`
	Workers  int   `json:"workers"`
}

type busConnection struct {
	ID        string    `json:"id"`
	User      string    `json:"user"`
	Container string    `json:"container"`
	Address   string    `json:"address"`
	TLS       bool      `json:"tls"`
	Since     time.Time `json:"since"`
	Sessions  int       `json:"sessions"`
	Links     int       `json:"links"`
	BytesIn   uint64    `json:"bytesIn"`
	BytesOut  uint64    `json:"bytesOut"`
}

type busLink struct {
	Connection string    `json:"connection"`
	User       string    `json:"user"`
	Address    string    `json:"address" doc:"empty for the anonymous node"`
	Direction  string    `json:"direction" doc:"in: the peer sends; out: it receives"`
	Since      time.Time `json:"since"`
	Messages   uint64    `json:"messages"`
	Refused    uint64    `json:"refused"`
}

type busQueue struct {
	Address   string  `json:"address"`
	Depth     int     `json:"depth"`
	Unsettled int     `json:"unsettled"`
	Bytes     int64   `json:"bytes"`
	Consumers int     `json:"consumers"`
	Producers int     `json:"producers"`
	InRate    float64 `json:"inRate" doc:"messages a second, over the last seconds"`
	OutRate   float64 `json:"outRate"`
	In        uint64  `json:"in"`
	Refused   uint64  `json:"refused"`
	Dead      uint64  `json:"dead"`
}

// busCommand is the command getBus.
func (a *app) busCommand(context.Context, *rpc.Call, rpc.None) (*busReport, error) {
	if a.bus == nil {
		return nil, clacks.E(clacks.NotFound, "bus", "this service has no bus: amqp.address is off, and bus.url names none")
	}
	return a.bus.report(), nil
}

func (b *busService) report() *busReport {
	door := b.door.Statistics()
	r := &busReport{Node: b.node, Domain: string(b.names), Transport: "embedded", Address: b.url(), Connected: true,
		Commands:    busCommands{Received: door.Received, Refused: door.Refused, Replied: door.Replied, Held: door.Held, Workers: door.Workers},
		Connections: []busConnection{}, Links: []busLink{}, Queues: []busQueue{}}
	if b.client != nil {
		r.Transport, r.Address, r.Connected = "external", b.broker, b.client.State().Connected
		return r
	}
	for _, c := range b.server.Connections() {
		r.Connections = append(r.Connections, busConnection{ID: c.ID, User: c.User, Container: c.Container, Address: c.Address, TLS: c.Secure,
			Since: c.Since, Sessions: c.Sessions, Links: len(c.Links), BytesIn: c.BytesIn, BytesOut: c.BytesOut})
	}
	slices.SortFunc(r.Connections, func(x, y busConnection) int { return x.Since.Compare(y.Since) })
	nodes := b.nodes.Statistics()
	for _, l := range nodes.Links {
		direction := "in"
		if l.Receiving {
			direction = "out"
		}
		r.Links = append(r.Links, busLink{Connection: l.Peer.Connection, User: l.Peer.User.ID, Address: l.Address, Direction: direction,
			Since: l.Since, Messages: l.Messages, Refused: l.Refused})
	}
	for _, q := range nodes.Queues {
		c := q.Counters
		r.Queues = append(r.Queues, busQueue{Address: q.Address, Depth: q.Depth, Unsettled: q.Unsettled, Bytes: q.Bytes, Consumers: q.Consumers,
			Producers: q.Producers, InRate: q.InRate, OutRate: q.OutRate, In: c.In, Refused: c.Refused,
			Dead: c.Rejected + c.Dropped + c.Expired + c.Failed})
	}
	return r
}

type busListCommand struct {
	clientFlags
	JSON bool `name:"json" help:"Print the report as JSON."`
}

// busNode is what nodeCapabilities answers for each node.
type busNode struct {
	Node       string    `json:"node"`
	Capability string    `json:"capability"`
	Load       float64   `json:"load"`
	Latency    float64   `json:"latency"`
	Workers    int       `json:"workers"`
	Seen       time.Time `json:"seen"`
}

// Run implements the sub-command.
func (c busListCommand) Run(ctx context.Context, env environment) error {
	connection, err := c.client()
	if err != nil {
		return err
	}
	defer closeClient(connection)
	report, err := client.Do[busReport](ctx, connection, "getBus", nil)
	if err != nil {
		return reportFailure(env, err)
	}
	nodes, err := client.Do[[]busNode](ctx, connection, "nodeCapabilities", nil)
	if err != nil {
		return reportFailure(env, err)
	}
	if c.JSON {
		encoder := json.NewEncoder(env.stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(struct {
			busReport
			Nodes []busNode `json:"nodes"`
		}{report, nodes})
	}
	return printBus(env.stdout, report, nodes)
}

func printBus(out io.Writer, r busReport, nodes []busNode) error {
	t := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(t, format+"\n", args...) } // Flush tells what went wrong
	state := ""
	if !r.Connected {
		state = " (away)"
	}
	line("%s: %s, %s%s", r.Domain, cmp.Or(r.Address, "-"), r.Transport, state)
	line("")
	line("NODE\tCAPABILITY\tLOAD\tLATENCY\tWORKERS")
	for _, n := range nodes {
		line("%s\t%s\t%.2f\t%s\t%d", n.Node, n.Capability, n.Load, time.Duration(n.Latency*float64(time.Second)).Round(10*time.Microsecond), n.Workers)
	}
	line("")
	line("CONNECTION\tUSER\tADDRESS\tTLS\tLINKS\tIN\tOUT")
	for _, c := range r.Connections {
		line("%s\t%s\t%s\t%t\t%d\t%d\t%d", c.ID, c.User, c.Address, c.TLS, c.Links, c.BytesIn, c.BytesOut)
	}
	line("")
	line("LINK\tOF\tUSER\tMESSAGES\tREFUSED")
	for _, l := range r.Links {
		line("%s %s\t%s\t%s\t%d\t%d", arrow(l.Direction), cmp.Or(l.Address, "(anonymous)"), l.Connection, l.User, l.Messages, l.Refused)
	}
	line("")
	line("QUEUE\tDEPTH\tUNSETTLED\tREADERS\tIN/S\tOUT/S\tREFUSED\tDEAD")
	for _, q := range r.Queues {
		line("%s\t%d\t%d\t%d\t%.1f\t%.1f\t%d\t%d", q.Address, q.Depth, q.Unsettled, q.Consumers, q.InRate, q.OutRate, q.Refused, q.Dead)
	}
	return t.Flush()
}

func arrow(direction string) string {
	return strings.NewReplacer("in", "->", "out", "<-").Replace(direction)
}
