package busd

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"clacks"
	"clacks/internal/store"
	"clacks/rpc"
)

// Node is an agent, or another program with commands, that lives on the domain.
type Node struct {
	Name       string
	Capability string // "core" for agents
	Run        string // tells a process of the node from the ones before it
	User       string // who announced it; "" for agents
	Commands   []rpc.ForeignCommand
	Status     Status
	Every      time.Duration // between two statuses
	Started    time.Time
	Seen       time.Time // of the last status
}

// Status is what a node says of itself every few seconds.
type Status struct {
	Load    float64       // running and waiting commands for each worker: 1 is busy
	Latency time.Duration // of a command, on average
	Workers int
}

// missed is how many statuses a node may miss before it is gone.
const missed = 3

// Gone reports whether the node has missed its statuses.
func (n *Node) Gone(now time.Time) bool { return now.Sub(n.Seen) > missed*n.Every }

// NodeStore is where the agents of a domain keep who lives on it. It is safe for concurrent use.
type NodeStore interface {
	// Put makes a node known, in place of a former process of it. Over a living node of another user it is
	// clacks.NotUnique, over the limit of nodes clacks.Limit.
	Put(ctx context.Context, n Node) error
	// Report notes a status; clacks.NotFound when that process of the node is not known (any more).
	Report(ctx context.Context, name, run, user string, s Status, now time.Time) error
	// Remove forgets that process of a node, if it is known.
	Remove(ctx context.Context, name, run, user string) error
	// List is all that are not gone.
	List(ctx context.Context, now time.Time) ([]Node, error)
}

// maxNodes bounds the table.
const maxNodes = 1000

// SQLNodes is a NodeStore in the table clacks_nodes of the state database. Times are Unix microseconds by the clock of who
// writes: the clocks of agents agree to a second or so.
type SQLNodes struct{ db database }

// database is what SQLNodes needs of *store.DB.
type database interface {
	Exec(ctx context.Context, statements ...store.Statement) ([]store.Result, error)
	Query(ctx context.Context, sql string, args []any, row store.RowFunc) error
}

var _ NodeStore = (*SQLNodes)(nil)

// NewSQLNodes makes the store on a migrated database.
func NewSQLNodes(db *store.DB) *SQLNodes { return &SQLNodes{db: db} }

// Put implements NodeStore.
func (s *SQLNodes) Put(ctx context.Context, n Node) error {
	commands, err := json.Marshal(n.Commands)
	if err != nil {
		return clacks.E(clacks.Internal, "busd.nodes", "the commands of a node cannot be written: %w", err)
	}
	now := n.Seen.UnixMicro()
	// Nodes that are long gone are removed first; their rows would count.
	gone := store.Statement{SQL: `DELETE FROM clacks_nodes WHERE seen + ? * every < ?`, Args: []any{missed, now}}
	put := store.Statement{SQL: `INSERT INTO clacks_nodes
			(node, capability, run, user_id, commands, load, latency, workers, every, started, seen)
		SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? WHERE (SELECT count(*) FROM clacks_nodes WHERE node <> ?) < ?
		ON CONFLICT (node) DO UPDATE SET capability = excluded.capability, run = excluded.run, commands = excluded.commands,
			load = excluded.load, latency = excluded.latency, workers = excluded.workers, every = excluded.every,
			started = excluded.started, seen = excluded.seen
		WHERE clacks_nodes.user_id = excluded.user_id`,
		Args: []any{n.Name, n.Capability, n.Run, n.User, string(commands), thousandths(n.Status.Load), n.Status.Latency.Microseconds(),
			n.Status.Workers, n.Every.Microseconds(), n.Started.UnixMicro(), now, n.Name, maxNodes}, Rows: 1}
	_, err = s.db.Exec(ctx, gone, put)
	var rows *store.RowsError
	if !errors.As(err, &rows) {
		return err
	}
	others, err := s.List(ctx, n.Seen)
	if err == nil && len(others) >= maxNodes {
		return clacks.E(clacks.Limit, "busd.nodes", "there are %d nodes already", maxNodes)
	}
	return clacks.E(clacks.NotUnique, "busd.nodes", "somebody else has announced a node %q", n.Name)
}

func thousandths(load float64) int64 { return int64(min(max(load, 0), 1e6) * 1000) }

// Report implements NodeStore.
func (s *SQLNodes) Report(ctx context.Context, name, run, user string, status Status, now time.Time) error {
	_, err := s.db.Exec(ctx, store.Statement{
		SQL:  `UPDATE clacks_nodes SET load = ?, latency = ?, workers = ?, seen = ? WHERE node = ? AND run = ? AND user_id = ?`,
		Args: []any{thousandths(status.Load), status.Latency.Microseconds(), status.Workers, now.UnixMicro(), name, run, user}, Rows: 1,
	})
	var rows *store.RowsError
	if errors.As(err, &rows) {
		return clacks.E(clacks.NotFound, "busd.nodes", "the node %q is not announced (any more)", name)
	}
	return err
}

// Remove implements NodeStore.
func (s *SQLNodes) Remove(ctx context.Context, name, run, user string) error {
	_, err := s.db.Exec(ctx, store.Statement{SQL: `DELETE FROM clacks_nodes WHERE node = ? AND run = ? AND user_id = ?`,
		Args: []any{name, run, user}})
	return err
}

// List implements NodeStore.
func (s *SQLNodes) List(ctx context.Context, now time.Time) ([]Node, error) {
	var list []Node
	err := s.db.Query(ctx, `SELECT node, capability, run, user_id, commands, load, latency, workers, every, started, seen
		FROM clacks_nodes ORDER BY node`, nil, func(scan func(dest ...any) error) error {
		var n Node
		var commands string
		var load, latency, workers, every, started, seen int64
		if err := scan(&n.Name, &n.Capability, &n.Run, &n.User, &commands, &load, &latency, &workers, &every, &started, &seen); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(commands), &n.Commands); err != nil {
			return clacks.E(clacks.Internal, "busd.nodes", "the commands of the node %q cannot be read: %w", n.Name, err)
		}
		for i := range n.Commands {
			n.Commands[i].Capability = n.Capability
		}
		n.Status = Status{Load: float64(load) / 1000, Latency: time.Duration(latency) * time.Microsecond, Workers: int(workers)}
		n.Every, n.Started, n.Seen = time.Duration(every)*time.Microsecond, time.UnixMicro(started), time.UnixMicro(seen)
		if !n.Gone(now) {
			list = append(list, n)
		}
		return nil
	})
	return list, err
}
