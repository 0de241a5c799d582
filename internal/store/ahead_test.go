package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"clacks"
	"clacks/internal/store"
	"clacks/internal/testservers"
)

func list(statements ...store.Statement) []store.Statement { return statements }

// none affects no row although it must.
var none = store.Statement{SQL: "UPDATE t SET n = n WHERE id = 99", Rows: 1}

func TestExecAndBegin(t *testing.T) {
	both(t, func(t *testing.T, db *store.DB) {
		for range 2 { // the first one prepares
			tx, refused, err := db.ExecAndBegin(t.Context(), list(insert(1, "a", 1), insert(2, "b", 1)), list(insert(3, "c", 1)), list(insert(4, "d", 1)))
			if tx == nil || refused != nil || err != nil {
				t.Fatal(refused, err)
			}
			wantIDs(t, db, 1, 2) // the first transaction is over, the second is not
			results, err := tx.Commit(t.Context(), insert(5, "e", 1), store.Statement{SQL: "SELECT count(*) FROM t", Returning: true})
			if err != nil || len(results) != 2 || results[1].Value != 5 {
				t.Fatal(results, err)
			}
			wantIDs(t, db, 1, 2, 3, 4, 5)
			exec(t, db, "DELETE FROM t")
		}
		tx, refused, err := db.ExecAndBegin(t.Context(), list(insert(1, "a", 1)), list(insert(3, "c", 1)), list(insert(4, "d", 1)))
		if refused != nil || err != nil {
			t.Fatal(refused, err)
		}
		var n int64
		if err := tx.Query(t.Context(), "SELECT count(*) FROM t", nil, func(scan func(...any) error) error { return scan(&n) }); err != nil || n != 3 {
			t.Errorf("the transaction sees %d rows, %v", n, err)
		}
		tx.Rollback()
		wantIDs(t, db, 1)
	})
}

func TestExecAndBeginRefused(t *testing.T) {
	taken := insert(1, "x", 1)
	for name, c := range map[string]struct {
		first, second, later []store.Statement
		committed            bool // the first
		index                int
		rows                 bool
	}{
		"first, constraint":  {first: list(insert(2, "b", 1), taken), second: list(insert(3, "c", 1)), index: 1},
		"first, rows":        {first: list(insert(2, "b", 1), none), second: list(insert(3, "c", 1)), later: list(insert(4, "d", 1)), index: 1, rows: true},
		"second, constraint": {first: list(insert(2, "b", 1)), second: list(insert(3, "c", 1), taken), later: list(insert(4, "d", 1)), committed: true, index: 1},
		"second, rows":       {first: list(insert(2, "b", 1)), second: list(none, insert(3, "c", 1)), later: list(insert(4, "d", 1)), committed: true, rows: true},
		"later":              {first: list(insert(2, "b", 1)), second: list(insert(3, "c", 1)), later: list(insert(4, "d", 1), taken), committed: true, index: 1},
	} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, db *store.DB) {
				exec(t, db, "INSERT INTO t (id, name, n) VALUES (1, 'a', 1)")
				tx, refused, err := db.ExecAndBegin(t.Context(), c.first, c.second, c.later)
				if tx != nil { // the refusal of what is not waited for
					if c.later == nil || err != nil || refused != nil {
						t.Fatal(refused, err)
					}
					_, refused = tx.Commit(t.Context(), insert(6, "f", 1))
				}
				if !c.committed {
					refused, err = err, refused
				}
				var rows *store.RowsError
				var constraint *store.ConstraintError
				switch {
				case err != nil:
					t.Errorf("the wrong one is refused: %v", err)
				case c.rows && (!errors.As(refused, &rows) || rows.Index != c.index):
					t.Errorf("%v", refused)
				case !c.rows && (!errors.As(refused, &constraint) || constraint.Index != c.index || constraint.Kind != store.ConstraintUnique):
					t.Errorf("%v", refused)
				}
				want := []int64{1}
				if c.committed {
					want = append(want, 2)
				}
				wantIDs(t, db, want...)
				exec(t, db, "INSERT INTO t (id, name, n) VALUES (9, 'z', 1)") // the connection is of use again
			})
		})
	}
}

// TestExecAndBeginLostAnswers: what may be committed is in doubt; what was not waited for is not.
func TestExecAndBeginLostAnswers(t *testing.T) {
	for name, applied := range map[string]bool{"before": false, "after": true} {
		t.Run(name, func(t *testing.T) {
			db, proxy := behind(t)
			if applied {
				proxy.CutReply(has("needle"))
			} else {
				proxy.CutRequest(has("needle"))
			}
			tx, refused, err := db.ExecAndBegin(t.Context(), list(marked(2)), list(insert(3, "c", 1)), list(insert(4, "d", 1)))
			if tx != nil || refused != nil || !clacks.IsKind(err, clacks.InDoubt) {
				t.Errorf("%v, %v", refused, err)
			}
			if got := ids(t, db); (len(got) == 1) != applied {
				t.Errorf("rows %v", got)
			}
		})
	}
	t.Run("commit", func(t *testing.T) {
		server := testservers.Postgres(t, testservers.WithSetting("fsync", "off"))
		db := open(t, server.URL)
		tx, refused, err := db.ExecAndBegin(t.Context(), list(insert(2, "b", 1)), nil, list(insert(4, "d", 1), store.Statement{SQL: "SELECT 1 FROM pg_sleep(30)"}))
		if refused != nil || err != nil {
			t.Fatal(refused, err)
		}
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Commit(t.Context(), insert(5, "e", 1)); !clacks.IsKind(err, clacks.Unavailable) {
			t.Errorf("the commit was not sent, and yet: %v", err)
		}
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		wantIDs(t, db, 2)
	})
}

// TestWorkAheadOutlivesItsCaller: the context of the call ends with the call, and that of the commit governs the rest.
func TestWorkAheadOutlivesItsCaller(t *testing.T) {
	db := open(t, testservers.SharedPostgres(t).NewDatabase(t)+"&pool_max_conns=1")
	ctx, cancel := context.WithCancel(t.Context())
	later := list(insert(2, "b", 1), store.Statement{SQL: "SELECT 1 FROM pg_sleep(0.3)"})
	tx, refused, err := db.ExecAndBegin(ctx, list(insert(1, "a", 1)), nil, later)
	cancel()
	if refused != nil || err != nil {
		t.Fatal(refused, err)
	}
	if _, err := tx.Commit(t.Context()); err != nil {
		t.Error(err)
	}
	wantIDs(t, db, 1, 2)

	endless := list(store.Statement{SQL: "SELECT 1 FROM pg_sleep(30)"})
	if tx, refused, err = db.ExecAndBegin(t.Context(), list(insert(3, "c", 1)), nil, endless); refused != nil || err != nil {
		t.Fatal(refused, err)
	}
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := tx.Commit(short, insert(4, "d", 1)); !clacks.IsKind(err, clacks.InDoubt) { // it was sent behind the endless one
		t.Errorf("%v", err)
	}
	wantIDs(t, db, 1, 2, 3)

	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, refused, err := db.ExecAndBegin(cancelled, list(insert(5, "e", 1)), nil, nil); refused != nil || !clacks.IsKind(err, clacks.Unavailable) {
		t.Errorf("%v, %v", refused, err)
	}
	wantIDs(t, db, 1, 2, 3)
}

// TestChangedTable: a statement that was prepared before its table changed is refused at most once.
func TestChangedTable(t *testing.T) {
	url := testservers.SharedPostgres(t).NewDatabase(t)
	db, other := open(t, url+"&pool_max_conns=1"), openAgain(t, url)
	statement := func(v any) store.Statement { return store.Statement{SQL: "UPDATE t SET name = ?", Args: []any{v}} }
	if _, err := db.Exec(t.Context(), statement("a")); err != nil {
		t.Fatal(err)
	}
	exec(t, other, "ALTER TABLE t ALTER COLUMN name TYPE BYTEA USING convert_to(name, 'UTF8')")
	_, _ = db.Exec(t.Context(), statement([]byte("b")))
	if _, err := db.Exec(t.Context(), statement([]byte("b"))); err != nil {
		t.Error(err)
	}
}

func openAgain(t *testing.T, url string) *store.DB {
	t.Helper()
	db, err := store.Open(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}
