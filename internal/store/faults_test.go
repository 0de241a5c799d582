package store_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"clacks"
	"clacks/internal/store"
	"clacks/internal/testservers"
)

// behind opens a database with one connection, through a proxy.
func behind(t *testing.T) (*store.DB, *testservers.TCPProxy) {
	t.Helper()
	server := testservers.SharedPostgres(t)
	proxy := testservers.Proxy(t, server.Addr)
	url := strings.Replace(server.NewDatabase(t), server.Addr, proxy.Addr, 1)
	return open(t, url+"&pool_max_conns=1"), proxy
}

func has(text string) func([]byte) bool {
	return func(request []byte) bool { return bytes.Contains(request, []byte(text)) }
}

// marked is insert of a row whose name can be found in the bytes on the wire.
func marked(id int64) store.Statement { return insert(id, "needle", 1) }

func TestLostAnswers(t *testing.T) {
	for _, c := range []struct {
		name    string
		applied bool // the server saw the request
		call    func(db *store.DB) error
		want    clacks.Kind
	}{
		{"Exec before", false, execMarked, clacks.InDoubt},
		{"Exec after", true, execMarked, clacks.InDoubt},
		{"Tx.Exec before", false, txMarked, clacks.Unavailable},
		{"Tx.Exec after", true, txMarked, clacks.Unavailable},
		{"Commit before", false, commitMarked, clacks.InDoubt},
		{"Commit after", true, commitMarked, clacks.InDoubt},
		{"CommitEarly before", false, commitEarlyMarked, clacks.InDoubt},
		{"CommitEarly after", true, commitEarlyMarked, clacks.InDoubt},
	} {
		t.Run(c.name, func(t *testing.T) {
			db, proxy := behind(t)
			if c.applied {
				proxy.CutReply(has("needle"))
			} else {
				proxy.CutRequest(has("needle"))
			}
			if err := c.call(db); !clacks.IsKind(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			committed := c.applied && c.want == clacks.InDoubt
			if got := ids(t, db); (len(got) == 1) != committed { // over a new connection
				t.Errorf("rows %v", got)
			}
		})
	}
}

func execMarked(db *store.DB) error {
	_, err := db.Exec(context.Background(), marked(2))
	return err
}

func txMarked(db *store.DB) error {
	tx, err := db.Begin(context.Background())
	if err != nil {
		return err
	}
	defer tx.Rollback()
	_, err = tx.Exec(context.Background(), marked(2))
	return err
}

func commitMarked(db *store.DB) error {
	tx, err := db.Begin(context.Background())
	if err != nil {
		return err
	}
	defer tx.Rollback()
	_, err = tx.Commit(context.Background(), marked(2))
	return err
}

func commitEarlyMarked(db *store.DB) error {
	tx, err := db.Begin(context.Background())
	if err != nil {
		return err
	}
	defer tx.Rollback()
	_, err = tx.CommitEarly(context.Background(), marked(2))
	return err
}

// TestOnDisk kills a server that would write commits which nobody waits for to its disk only after a long time.
func TestOnDisk(t *testing.T) {
	for name, commit := range map[string]func(t *testing.T, db *store.DB){
		"CommitEarly": func(t *testing.T, db *store.DB) {
			if results, err := begin(t, db).CommitEarly(t.Context(), insert(1, "a", 1)); err != nil || len(results) != 1 {
				t.Fatal(results, err)
			}
		},
		"Durable": func(t *testing.T, db *store.DB) {
			exec(t, db, "SET synchronous_commit TO off")
			exec(t, db, "INSERT INTO t (id, name, n) VALUES (1, 'a', 1)")
			exec(t, db, "SET synchronous_commit TO on")
			if err := db.Durable(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := testservers.Postgres(t, testservers.WithSetting("wal_writer_delay", "10s"))
			db := open(t, server.URL+"&pool_max_conns=1")
			commit(t, db)
			if err := server.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := server.Start(); err != nil {
				t.Fatal(err)
			}
			wantIDs(t, db, 1)
		})
	}
}

func TestTimeoutDuringCommitIsInDoubt(t *testing.T) {
	db := open(t, testservers.SharedPostgres(t).NewDatabase(t))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	// The server itself takes longer than the deadline, so the answer cannot come in time.
	_, err := db.Exec(ctx, insert(1, "a", 1), store.Statement{SQL: "SELECT 1 FROM pg_sleep(1)"})
	if !clacks.IsKind(err, clacks.InDoubt) {
		t.Errorf("Exec: %v", err)
	}
	if err := db.Ping(t.Context()); err != nil {
		t.Errorf("the next call: %v", err)
	}
}

func TestServerRestart(t *testing.T) {
	server := testservers.Postgres(t, testservers.WithSetting("fsync", "off"))
	db := open(t, server.URL)
	exec(t, db, "INSERT INTO t (id, name, n) VALUES (1, 'a', 1)")
	tx := begin(t, db)
	must(t, tx, insert(2, "b", 1))
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), insert(3, "c", 1)); !clacks.IsKind(err, clacks.Unavailable) {
		t.Errorf("in the transaction: %v", err)
	}
	tx.Rollback()
	if _, err := db.Exec(t.Context(), insert(4, "d", 1)); !clacks.IsKind(err, clacks.Unavailable) {
		t.Errorf("a dead connection was not noticed before the commit was sent: %v", err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(t.Context(), insert(5, "e", 1)); err != nil {
		t.Errorf("after the restart: %v", err)
	}
	wantIDs(t, db, 1, 5)
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := db.Ping(t.Context()); !clacks.IsKind(err, clacks.Unavailable) {
		t.Errorf("Ping of a stopped server: %v", err)
	}
}

func TestDeadlockIsConflict(t *testing.T) {
	db := open(t, testservers.SharedPostgres(t).NewDatabase(t))
	exec(t, db, "INSERT INTO t (id, name, n) VALUES (1, 'a', 1), (2, 'b', 2)")
	lock := func(id int64) store.Statement {
		return store.Statement{SQL: "UPDATE t SET n = n + 1 WHERE id = ?", Args: []any{id}, Rows: 1}
	}
	one, two := begin(t, db), begin(t, db)
	must(t, one, lock(1))
	must(t, two, lock(2))
	failed := make(chan error)
	go func() {
		_, err := one.Exec(context.Background(), lock(2))
		one.Rollback()
		failed <- err
	}()
	_, err := two.Exec(t.Context(), lock(1))
	two.Rollback()
	if other := <-failed; err == nil {
		err = other
	}
	if !clacks.IsKind(err, clacks.Conflict) {
		t.Errorf("a deadlock: %v", err)
	}
}

// TestRoundTrips counts what the server is sent: each call is one write once its statements are prepared.
func TestRoundTrips(t *testing.T) {
	db, proxy := behind(t)
	exec(t, db, "INSERT INTO t (id, name, n) VALUES (1, 'a', 1)")
	var writes atomic.Int64
	proxy.OnRequest(func([]byte) testservers.Verdict {
		writes.Add(1)
		return testservers.Pass
	})
	check := func(what string, want int64, call func() error) {
		t.Helper()
		for range 2 { // the first one prepares
			writes.Store(0)
			if err := call(); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
		}
		if got := writes.Load(); got != want {
			t.Errorf("%s takes %d round trips, not %d", what, got, want)
		}
	}
	update := store.Statement{SQL: "UPDATE t SET n = n + 1 WHERE id = 1", Rows: 1}
	check("Exec", 1, func() error { _, err := db.Exec(t.Context(), update, update, update); return err })
	check("Commit of a fresh transaction", 1, func() error { _, err := begin(t, db).Commit(t.Context(), update); return err })
	check("CommitEarly of a fresh transaction", 1, func() error { _, err := begin(t, db).CommitEarly(t.Context(), update); return err })
	check("Exec and Commit", 2, func() error {
		tx := begin(t, db)
		must(t, tx, update, update)
		_, err := tx.Commit(t.Context(), update)
		return err
	})
	check("ExecAndBegin and Commit", 2, func() error {
		tx, refused, err := db.ExecAndBegin(t.Context(), list(update, update), list(update), list(update, update))
		if refused != nil || err != nil {
			return errors.Join(refused, err)
		}
		_, err = tx.CommitEarly(t.Context(), update)
		return err
	})
	check("Query and Commit", 2, func() error {
		tx := begin(t, db)
		err := tx.Query(t.Context(), "SELECT 1", nil, func(func(...any) error) error { return nil })
		if err != nil {
			return err
		}
		_, err = tx.Commit(t.Context(), update)
		return err
	})
}
