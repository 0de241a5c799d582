package store_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"clacks"
	"clacks/internal/store"
	"clacks/internal/testservers"
)

// both runs a test on each dialect, on an empty database with the table t.
func both(t *testing.T, test func(t *testing.T, db *store.DB)) {
	t.Run("sqlite", func(t *testing.T) { test(t, open(t, "sqlite:"+t.TempDir()+"/a b%c.db")) })
	t.Run("postgres", func(t *testing.T) { test(t, open(t, testservers.SharedPostgres(t).NewDatabase(t))) })
}

func open(t *testing.T, url string) *store.DB {
	t.Helper()
	db, err := store.Open(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	exec(t, db, "CREATE TABLE t (id BIGINT PRIMARY KEY, name TEXT UNIQUE, n BIGINT NOT NULL CHECK (n >= 0))")
	exec(t, db, "CREATE TABLE child (id BIGINT PRIMARY KEY REFERENCES t (id) DEFERRABLE INITIALLY DEFERRED)")
	return db
}

func exec(t *testing.T, db *store.DB, sql string, args ...any) {
	t.Helper()
	if _, err := db.Exec(t.Context(), store.Statement{SQL: sql, Args: args}); err != nil {
		t.Fatal(err)
	}
}

func insert(id int64, name any, n int64) store.Statement {
	return store.Statement{SQL: "INSERT INTO t (id, name, n) VALUES (?, ?, ?)", Args: []any{id, name, n}}
}

func ids(t *testing.T, db *store.DB) []int64 {
	t.Helper()
	var found []int64
	err := db.Query(t.Context(), "SELECT id FROM t ORDER BY id", nil, func(scan func(...any) error) error {
		var id int64
		err := scan(&id)
		found = append(found, id)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func wantIDs(t *testing.T, db *store.DB, want ...int64) {
	t.Helper()
	if got := ids(t, db); !reflect.DeepEqual(got, want) {
		t.Errorf("rows %v, want %v", got, want)
	}
}

func TestExec(t *testing.T) {
	both(t, func(t *testing.T, db *store.DB) {
		results, err := db.Exec(t.Context(),
			insert(1, "a?", 1), insert(2, "b", 2),
			store.Statement{SQL: "UPDATE t SET n = n + ? WHERE n > 0", Args: []any{int64(10)}, Rows: 2},
			store.Statement{SQL: "INSERT INTO t (id, name, n) VALUES (?, 'why?', 5) RETURNING id + 1;", Args: []any{int64(3)}, Returning: true},
			store.Statement{SQL: "UPDATE t SET n = 7 WHERE id = ? RETURNING n", Args: []any{int64(3)}, Returning: true, Rows: 1},
			store.Statement{SQL: "SELECT id FROM t WHERE n > ?", Args: []any{int64(6)}, Rows: 3},
			store.Statement{SQL: "DELETE FROM t WHERE id = 2"},
		)
		want := []store.Result{{Rows: 1}, {Rows: 1}, {Rows: 2}, {Rows: 1, Value: 4}, {Rows: 1, Value: 7}, {Rows: 3}, {Rows: 1}}
		if err != nil || !reflect.DeepEqual(results, want) {
			t.Fatalf("%v, %v; want %v", results, err, want)
		}
		wantIDs(t, db, 1, 3)
		if results, err := db.Exec(t.Context()); results != nil || err != nil {
			t.Errorf("nothing to do: %v, %v", results, err)
		}
	})
}

func TestRowsCheck(t *testing.T) {
	update := func(sql string, rows int64) store.Statement {
		return store.Statement{SQL: sql, Args: []any{int64(1)}, Rows: rows}
	}
	both(t, func(t *testing.T, db *store.DB) {
		exec(t, db, "INSERT INTO t (id, name, n) VALUES (1, 'a', 1), (2, 'b', 2)")
		for sql, got := range map[string]int64{
			"UPDATE t SET n = 99 WHERE id >= ?":                                                       2,
			"UPDATE t SET n = 99 WHERE id > ? RETURNING id, name":                                     1,
			"WITH w AS (SELECT 2 AS id) UPDATE t SET n = 99 WHERE id = (SELECT id FROM w) AND id > ?": 1,
			`WITH "delete"(id) AS (SELECT 2), x AS NOT MATERIALIZED (VALUES (2)) UPDATE t SET n = 99 WHERE id = (SELECT id FROM "delete") AND id > ? RETURNING id`: 1,
			"DELETE FROM t WHERE id > ? + 7": 0,
			"INSERT INTO t (id, name, n) SELECT id + 100, 'x' || id, n FROM t WHERE id >= ?": 2,
			"SELECT id, name FROM t WHERE id >= ?":                                           2,
		} {
			check := func(how string, err error) {
				t.Helper()
				var rows *store.RowsError
				if !errors.As(err, &rows) || *rows != (store.RowsError{Index: 1, Got: got, Want: 3}) {
					t.Errorf("%s: %s: %v", how, sql, err)
				}
				wantIDs(t, db, 1, 2)
			}
			_, err := db.Exec(t.Context(), insert(-50, "y", 1), update(sql, 3), insert(-51, "z", 1))
			check("Exec", err)
			tx := begin(t, db)
			_, err = tx.Exec(t.Context(), insert(-50, "y", 1), update(sql, 3), insert(-51, "z", 1))
			tx.Rollback()
			check("Tx.Exec", err)
			_, err = begin(t, db).Commit(t.Context(), insert(-50, "y", 1), update(sql, 3), insert(-51, "z", 1))
			check("Tx.Commit", err)
		}
		var n int64
		queryRow(t, db, "SELECT max(n) FROM t", &n)
		if n != 2 {
			t.Errorf("a failed check left n = %d", n)
		}
		with := "WITH w AS (SELECT 2 AS id) UPDATE t SET n = 5 WHERE id = (SELECT id FROM w) AND id > ?"
		if results, err := db.Exec(t.Context(), update(with, 1)); err != nil || results[0].Rows != 1 {
			t.Errorf("WITH: %v, %v", results, err)
		}
		if results, err := begin(t, db).Commit(t.Context(), update(with, 1)); err != nil || results[0].Rows != 1 {
			t.Errorf("WITH: %v, %v", results, err)
		}
	})
}

// TestFold: the parts are done, and the last one's number of rows is that of all.
func TestFold(t *testing.T) {
	db := open(t, testservers.SharedPostgres(t).NewDatabase(t))
	exec(t, db, "INSERT INTO t (id, name, n) VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3)")
	folded := func(rows int64) store.Statement {
		return store.Fold(store.Statement{SQL: "DELETE FROM t WHERE id = ?", Args: []any{int64(1)}}, insert(4, "d", 4),
			store.Statement{SQL: "UPDATE t SET n = ? WHERE id > ?", Args: []any{int64(7), int64(1)}, Rows: rows})
	}
	var rows *store.RowsError
	if _, err := db.Exec(t.Context(), insert(5, "e", 5), folded(9)); !errors.As(err, &rows) || *rows != (store.RowsError{Index: 1, Got: 3, Want: 9}) {
		t.Errorf("of 3 rows 9 were wanted: %v", err)
	}
	wantIDs(t, db, 1, 2, 3)
	if results, err := db.Exec(t.Context(), folded(2)); err != nil || results[0].Rows != 2 {
		t.Errorf("%v, %v", results, err)
	}
	wantIDs(t, db, 2, 3, 4)
	recursive := store.Statement{SQL: "WITH RECURSIVE w(id) AS (VALUES (1) UNION ALL SELECT id + 1 FROM w WHERE id < 4) SELECT id FROM w WHERE id > ?", Args: []any{int64(2)}, Rows: 9}
	if _, err := db.Exec(t.Context(), recursive); !errors.As(err, &rows) || rows.Got != 2 {
		t.Errorf("of 2 rows 9 were wanted: %v", err)
	}
	if one := insert(5, "e", 5); !reflect.DeepEqual(store.Fold(one), one) {
		t.Errorf("one statement becomes %+v", store.Fold(one))
	}
}

func begin(t *testing.T, db *store.DB) *store.Tx {
	t.Helper()
	tx, err := db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tx.Rollback)
	return tx
}

func queryRow(t *testing.T, db *store.DB, sql string, dest ...any) {
	t.Helper()
	n := 0
	err := db.Query(t.Context(), sql, nil, func(scan func(...any) error) error {
		n++
		return scan(dest...)
	})
	if err != nil || n != 1 {
		t.Fatalf("%s: %d rows, %v", sql, n, err)
	}
}

func TestConstraints(t *testing.T) {
	both(t, func(t *testing.T, db *store.DB) {
		exec(t, db, "INSERT INTO t (id, name, n) VALUES (1, 'a', 1)")
		exec(t, db, "CREATE TABLE now (id BIGINT REFERENCES t (id))")
		for _, c := range []struct {
			statement store.Statement
			want      store.ConstraintError
			index     int
		}{
			{insert(2, "a", 1), store.ConstraintError{Kind: store.ConstraintUnique, Table: "t", Column: "name"}, 1},
			{insert(1, "b", 1), store.ConstraintError{Kind: store.ConstraintUnique, Table: "t", Column: "id"}, 1},
			{insert(2, "b", -1), store.ConstraintError{Kind: store.ConstraintCheck}, 1},
			{store.Statement{SQL: "INSERT INTO t (id) VALUES (2)"},
				store.ConstraintError{Kind: store.ConstraintNotNull, Table: "t", Column: "n"}, 1},
			{store.Statement{SQL: "INSERT INTO now VALUES (9)"}, store.ConstraintError{Kind: store.ConstraintForeign}, 1},
			{store.Statement{SQL: "INSERT INTO child VALUES (9)"}, store.ConstraintError{Kind: store.ConstraintForeign}, 2},
		} {
			check := func(how string, err error) {
				t.Helper()
				var got *store.ConstraintError
				if !errors.As(err, &got) {
					t.Errorf("%s: %s: %v", how, c.statement.SQL, err)
					return
				}
				if got.Kind != c.want.Kind || got.Index != c.index ||
					c.want.Table != "" && (got.Table != c.want.Table || got.Column != c.want.Column) {
					t.Errorf("%s: %s: %+v, want %+v", how, c.statement.SQL, got, c.want)
				}
				wantIDs(t, db, 1)
			}
			_, err := db.Exec(t.Context(), insert(77, "seven", 7), c.statement)
			check("Exec", err)
			_, err = begin(t, db).Commit(t.Context(), insert(77, "seven", 7), c.statement)
			check("Commit", err)
			tx := begin(t, db)
			if _, err = tx.Exec(t.Context(), insert(77, "seven", 7), c.statement); err == nil {
				_, err = tx.Commit(t.Context())
				c.index = 0
			}
			tx.Rollback()
			check("Tx.Exec", err)
		}
	})
}

func TestErrorsHoldNoValues(t *testing.T) {
	db := open(t, testservers.SharedPostgres(t).NewDatabase(t))
	for _, s := range []store.Statement{
		{SQL: "INSERT INTO t (id, n) VALUES (1, CAST(CAST(? AS text) AS bigint))", Args: []any{"hunter2"}},
		{SQL: "INSERT INTO t (id, n) VALUES (1, ?)", Args: []any{"hunter2"}},
		{SQL: "INSERT INTO t (id, name, n) VALUES (1, ?, 1)", Args: []any{"hunter2\x00"}},
		{SQL: "INSERT INTO t (id, n) VALUES (?)", Args: []any{"hunter2", "hunter2"}},
		{SQL: "INSERT INTO t (id, n) VALUES (1, CAST(CAST(? AS text) AS date) - CURRENT_DATE)", Args: []any{"hunter2"}},
	} {
		_, err := db.Exec(t.Context(), s)
		if err == nil {
			t.Errorf("%s succeeds", s.SQL)
			continue
		}
		if chain := fmt.Sprintf("%+v", unwrapAll(err)); strings.Contains(chain, "hunter2") {
			t.Errorf("%s: %s", s.SQL, chain)
		}
		var constraint *store.ConstraintError
		if !errors.As(err, &constraint) && !clacks.IsKind(err, clacks.Internal) {
			t.Errorf("%s: %v", s.SQL, err)
		}
	}
}

func unwrapAll(err error) []string {
	var chain []string
	for ; err != nil; err = errors.Unwrap(err) {
		chain = append(chain, fmt.Sprintf("%v %+v %#v", err, err, err))
	}
	return chain
}

func TestTx(t *testing.T) {
	both(t, func(t *testing.T, db *store.DB) {
		tx := begin(t, db)
		must(t, tx, insert(1, "a", 1))
		count := func() (n int64) {
			err := tx.Query(t.Context(), "SELECT count(*) FROM t WHERE id > ?", []any{int64(0)}, func(scan func(...any) error) error {
				return scan(&n)
			})
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		if count() != 1 {
			t.Error("a transaction does not see its own row")
		}
		wantIDs(t, db)
		if results, err := tx.Commit(t.Context(), insert(2, "b", 2)); err != nil || len(results) != 1 {
			t.Fatalf("%v, %v", results, err)
		}
		tx.Rollback()
		wantIDs(t, db, 1, 2)
		if _, err := tx.Exec(t.Context(), insert(3, "c", 3)); err == nil {
			t.Error("a transaction goes on after its commit")
		}

		tx = begin(t, db) // a query comes first
		if count() != 2 {
			t.Error("the count is wrong")
		}
		must(t, tx, insert(3, "c", 3))
		tx.Rollback()
		wantIDs(t, db, 1, 2)

		tx = begin(t, db) // an error leaves only Rollback
		if _, err := tx.Exec(t.Context(), insert(4, "d", 4), insert(1, "e", 5)); err == nil {
			t.Error("a duplicate key is accepted")
		}
		if _, err := tx.Commit(t.Context()); err == nil {
			t.Error("a failed transaction commits")
		}
		tx.Rollback()
		wantIDs(t, db, 1, 2)

		if _, err := begin(t, db).Commit(t.Context()); err != nil {
			t.Errorf("an empty transaction: %v", err)
		}
		begin(t, db).Rollback()
		exec(t, db, "DELETE FROM t")
	})
}

func must(t *testing.T, tx *store.Tx, statements ...store.Statement) {
	t.Helper()
	if _, err := tx.Exec(t.Context(), statements...); err != nil {
		t.Fatal(err)
	}
}

func TestTypes(t *testing.T) {
	both(t, func(t *testing.T, db *store.DB) {
		at := time.Date(2024, 2, 29, 12, 30, 0, 123456000, time.UTC)
		blob, when := "BLOB", "TIMESTAMP"
		if db.Dialect() == store.PostgreSQL {
			blob, when = "BYTEA", "TIMESTAMPTZ"
		}
		exec(t, db, "CREATE TABLE v (s TEXT, i BIGINT, small SMALLINT, f DOUBLE PRECISION, b BOOLEAN, x "+blob+", w "+when+", empty TEXT)")
		exec(t, db, "INSERT INTO v VALUES (?, ?, ?, ?, ?, ?, ?, ?)", "ß", int64(1)<<60, int64(-5), 0.5, true, []byte{0, 1}, at, nil)
		var (
			s        string
			i, small int64
			f        float64
			b        bool
			x        []byte
			w        time.Time
			nothing  any = 1
		)
		queryRow(t, db, "SELECT * FROM v", &s, &i, &small, &f, &b, &x, &w, &nothing)
		got := []any{s, i, small, f, b, x, w.UTC(), nothing}
		want := []any{"ß", int64(1) << 60, int64(-5), 0.5, true, []byte{0, 1}, at, nil}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		anys := make([]any, 8)
		queryRow(t, db, "SELECT * FROM v", &anys[0], &anys[1], &anys[2], &anys[3], &anys[4], &anys[5], &anys[6], &anys[7])
		if db.Dialect() == store.SQLite {
			anys[4] = anys[4] == any(true) || anys[4] == any(int64(1))
		}
		if !reflect.DeepEqual(anys, want) {
			t.Errorf("%#v, want %#v", anys, want)
		}
	})
}

func TestPostgresTypesAsAny(t *testing.T) {
	db := open(t, testservers.SharedPostgres(t).NewDatabase(t))
	for sql, want := range map[string]any{
		`'6ba7b810-9dad-11d1-80b4-00c04fd430c8'::uuid`: "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
		`12.50::numeric`:                   "12.50",
		`'{"a": 1}'::jsonb`:                `{"a": 1}`,
		`'[1,2]'::json`:                    `[1,2]`,
		`NULL::jsonb`:                      nil,
		`'abc'::varchar(3)`:                "abc",
		`1::real`:                          float64(1),
		`7::oid`:                           int64(7),
		`'2024-01-02'::date`:               time.Date(2024, 1, 2, 0, 0, 0, 0, time.UTC),
		`'2024-01-02 03:04:05'::timestamp`: time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC),
	} {
		var got any
		var n int64
		queryRow(t, db, "SELECT "+sql+", 1", &got, &n)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s = %#v, want %#v", sql, got, want)
		}
	}
}

func TestWritersWaitWithTheirContext(t *testing.T) {
	db := open(t, "sqlite::memory:")
	tx := begin(t, db)
	must(t, tx, insert(1, "a", 1))
	wantIDs(t, db) // readers do not wait
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := db.Exec(ctx, insert(2, "b", 1)); !clacks.IsKind(err, clacks.Unavailable) {
		t.Errorf("a cancelled writer: %v", err)
	}
	done := make(chan error)
	go func() {
		_, err := db.Exec(context.Background(), insert(3, "c", 1))
		done <- err
	}()
	if _, err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	wantIDs(t, db, 1, 3)
}

func TestConcurrentCounter(t *testing.T) {
	both(t, func(t *testing.T, db *store.DB) {
		exec(t, db, "INSERT INTO t (id, name, n) VALUES (1, 'a', 0)")
		const clients, rounds = 8, 20
		seen := make([]bool, clients*rounds+1)
		var (
			mu sync.Mutex
			wg sync.WaitGroup
		)
		for range clients {
			wg.Go(func() {
				for range rounds {
					results, err := db.Exec(context.Background(), store.Statement{SQL: "UPDATE t SET n = n + 1 WHERE id = 1 RETURNING n",
						Rows: 1, Returning: true})
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					if n := results[0].Value; n < 1 || n >= int64(len(seen)) || seen[n] {
						t.Errorf("%d comes twice or is out of range", n)
					} else {
						seen[n] = true
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
	})
}

func TestCancelledContext(t *testing.T) {
	both(t, func(t *testing.T, db *store.DB) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := db.Exec(ctx, insert(1, "a", 1)); !clacks.IsKind(err, clacks.Unavailable) {
			t.Errorf("Exec: %v", err)
		}
		err := db.Query(ctx, "SELECT 1", nil, func(func(...any) error) error { return nil })
		if !clacks.IsKind(err, clacks.Unavailable) {
			t.Errorf("Query: %v", err)
		}
		tx := begin(t, db)
		must(t, tx, insert(1, "a", 1))
		if _, err := tx.Exec(ctx, insert(2, "b", 1)); !clacks.IsKind(err, clacks.Unavailable) {
			t.Errorf("Tx.Exec: %v", err)
		}
		tx.Rollback()
		wantIDs(t, db)
	})
}

func TestErrorOfRow(t *testing.T) {
	both(t, func(t *testing.T, db *store.DB) {
		exec(t, db, "INSERT INTO t (id, name, n) VALUES (1, 'a', 1), (2, 'b', 2)")
		stop := errors.New("enough")
		calls := 0
		err := db.Query(t.Context(), "SELECT id FROM t", nil, func(func(...any) error) error { calls++; return stop })
		if err != stop || calls != 1 {
			t.Errorf("%v after %d calls", err, calls)
		}
		tx := begin(t, db)
		if err := tx.Query(t.Context(), "SELECT id FROM t", nil, func(func(...any) error) error { return stop }); err != stop {
			t.Error(err)
		}
		if _, err := tx.Commit(t.Context(), insert(3, "c", 3)); err != nil {
			t.Errorf("the transaction is lost: %v", err)
		}
		if err := db.Query(t.Context(), "SELECT nonsense FROM t", nil, nil); !clacks.IsKind(err, clacks.Internal) {
			t.Error(err)
		}
	})
}

func TestOpen(t *testing.T) {
	for _, url := range []string{"", "mysql://x", "sqlite:", "postgres://:bad:port/", "sqlite:a?mode=ro"} {
		if _, err := store.Open(url); !clacks.IsKind(err, clacks.Invalid) {
			t.Errorf("Open(%q): %v", url, err)
		}
	}
	db, err := store.Open("postgres://u:hunter2@127.0.0.1:1/d?connect_timeout=1")
	if err != nil {
		t.Fatal(err)
	}
	if db.URL() != "postgres://u@127.0.0.1:1/d" {
		t.Errorf("URL = %q", db.URL())
	}
	for _, err := range []error{db.Ping(t.Context()), func() error { _, err := db.Exec(t.Context(), insert(1, "a", 1)); return err }()} {
		if !clacks.IsKind(err, clacks.Unavailable) || strings.Contains(fmt.Sprint(unwrapAll(err)), "hunter2") {
			t.Error(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	lost, err := store.Open("sqlite:/nonexistent/folder/x.db")
	if err != nil {
		t.Fatal(err)
	}
	if err := lost.Ping(t.Context()); !clacks.IsKind(err, clacks.Unavailable) {
		t.Error(err)
	}
	if err := lost.Close(); err != nil {
		t.Error(err)
	}
}

// TestDefineAndUse makes a table and fills it in one transaction.
func TestDefineAndUse(t *testing.T) {
	both(t, func(t *testing.T, db *store.DB) {
		make := store.Statement{SQL: "CREATE TABLE made (id BIGINT PRIMARY KEY)"}
		fill := store.Statement{SQL: "INSERT INTO made VALUES (?)", Args: []any{int64(1)}, Rows: 1}
		var violated *store.ConstraintError
		if _, err := db.Exec(t.Context(), make, fill, fill); !errors.As(err, &violated) || violated.Index != 2 {
			t.Errorf("a duplicate: %v", err)
		}
		if results, err := db.Exec(t.Context(), make, fill); err != nil || len(results) != 2 {
			t.Errorf("%v, %v", results, err)
		}
		if _, err := begin(t, db).Commit(t.Context(), store.Statement{SQL: "ALTER TABLE made ADD COLUMN n BIGINT"},
			store.Statement{SQL: "UPDATE made SET n = 1", Rows: 1}); err != nil {
			t.Error(err)
		}
	})
}

func TestClosed(t *testing.T) {
	both(t, func(t *testing.T, db *store.DB) {
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		_, err := db.Exec(t.Context(), insert(1, "a", 1))
		for _, err := range []error{err, db.Ping(t.Context())} {
			if !clacks.IsKind(err, clacks.Unavailable) {
				t.Errorf("after Close: %v", err)
			}
		}
	})
}

func TestTooLongForAnIndexIsLimit(t *testing.T) {
	db := open(t, testservers.SharedPostgres(t).NewDatabase(t))
	noise := make([]byte, 9000)
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(t.Context(), insert(1, hex.EncodeToString(noise), 1)); !clacks.IsKind(err, clacks.Limit) {
		t.Errorf("a value beyond what PostgreSQL can index: %v", err)
	}
}

func TestSQL(t *testing.T) {
	both(t, func(t *testing.T, db *store.DB) {
		sqlDB, err := db.SQL()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sqlDB.ExecContext(t.Context(), "INSERT INTO t (id, n) VALUES (5, 5)"); err != nil {
			t.Fatal(err)
		}
		wantIDs(t, db, 5)
	})
}
