package busd

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"clacks"
	"clacks/internal/store"
	"clacks/internal/testservers"
	"clacks/migrations"
	"clacks/rpc"
)

func TestSQLNodes(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { testNodes(t, "sqlite:"+t.TempDir()+"/state.db") })
	t.Run("postgres", func(t *testing.T) { testNodes(t, testservers.Postgres(t).NewDatabase(t)) })
}

func testNodes(t *testing.T, url string) {
	db, err := store.Open(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := migrations.Up(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	nodes, ctx := NewSQLNodes(db), t.Context()
	now := time.Now().Truncate(time.Microsecond)
	first := Node{Name: "a1", Capability: "demo", Run: "1", User: "jane",
		Commands: []rpc.ForeignCommand{{Name: "x", Signature: []string{"a"}, Documentation: "d", Capability: "demo"}},
		Status:   Status{Load: 0.25, Latency: time.Millisecond, Workers: 2}, Every: 10 * time.Second, Started: now, Seen: now}
	list := func(now time.Time) []Node {
		t.Helper()
		list, err := nodes.List(ctx, now)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	if err := nodes.Put(ctx, first); err != nil {
		t.Fatal(err)
	}
	if got := list(now); len(got) != 1 || !reflect.DeepEqual(got[0], first) {
		t.Errorf("%+v\ninstead of\n%+v", got, first)
	}
	stolen := first
	stolen.User, stolen.Run = "joe", "2"
	if err := nodes.Put(ctx, stolen); !clacks.IsKind(err, clacks.NotUnique) {
		t.Errorf("another user's node: %v", err)
	}
	again := first
	again.Run = "3"
	if err := nodes.Put(ctx, again); err != nil {
		t.Errorf("another process: %v", err)
	}
	later := now.Add(31 * time.Second)
	if got := list(later); len(got) != 0 {
		t.Errorf("after three missed statuses: %+v", got)
	}
	for _, wrong := range [][3]string{{"a2", "3", "jane"}, {"a1", "1", "jane"}, {"a1", "3", "joe"}} {
		if err := nodes.Report(ctx, wrong[0], wrong[1], wrong[2], Status{}, later); !clacks.IsKind(err, clacks.NotFound) {
			t.Errorf("%v: %v", wrong, err)
		}
		if err := nodes.Remove(ctx, wrong[0], wrong[1], wrong[2]); err != nil {
			t.Errorf("%v: %v", wrong, err)
		}
	}
	if err := nodes.Report(ctx, "a1", "3", "jane", Status{Load: 1e12, Latency: time.Second, Workers: 4}, later); err != nil {
		t.Error(err)
	}
	if got := list(later); len(got) != 1 || got[0].Status != (Status{Load: 1e6, Latency: time.Second, Workers: 4}) || !got[0].Seen.Equal(later) {
		t.Errorf("%+v", got)
	}
	// A node that is long gone makes room for one of another user.
	stolen.Seen = later.Add(time.Hour)
	if err := nodes.Put(ctx, stolen); err != nil {
		t.Errorf("over a node that is gone: %v", err)
	}
	if err := nodes.Remove(ctx, "a1", "2", "joe"); err != nil || len(list(stolen.Seen)) != 0 {
		t.Errorf("%v, %+v", err, list(stolen.Seen))
	}
	testFull(t, nodes, now)
}

func testFull(t *testing.T, nodes *SQLNodes, now time.Time) {
	rows := make([]store.Statement, maxNodes)
	for i := range rows {
		rows[i] = store.Statement{SQL: `INSERT INTO clacks_nodes (node, capability, run, user_id, commands, load, latency, workers, every, started, seen)
			VALUES (?, 'demo', '', '', '[]', 0, 0, 1, ?, 0, ?)`, Args: []any{fmt.Sprint("n", i), time.Hour.Microseconds(), now.UnixMicro()}}
	}
	if _, err := nodes.db.Exec(t.Context(), rows...); err != nil {
		t.Fatal(err)
	}
	err := nodes.Put(t.Context(), Node{Name: "onemore", Capability: "demo", Every: time.Hour, Started: now, Seen: now})
	if !clacks.IsKind(err, clacks.Limit) {
		t.Errorf("one too many: %v", err)
	}
	if err := nodes.Put(t.Context(), Node{Name: "n7", Capability: "demo", Every: time.Hour, Started: now, Seen: now}); err != nil {
		t.Errorf("one that is there: %v", err)
	}
}
