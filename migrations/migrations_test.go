package migrations

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"clacks"
	"clacks/internal/store"
	"clacks/internal/testservers"
)

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
	return db
}

func both(t *testing.T, test func(t *testing.T, url string)) {
	t.Run("sqlite", func(t *testing.T) { test(t, "sqlite:"+t.TempDir()+"/state.db") })
	t.Run("postgres", func(t *testing.T) { test(t, testservers.SharedPostgres(t).NewDatabase(t)) })
}

func tables(t *testing.T, db *store.DB) []string {
	t.Helper()
	sql := "SELECT name FROM sqlite_master WHERE type = 'table'"
	if db.Dialect() == store.PostgreSQL {
		sql = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'"
	}
	var names []string
	err := db.Query(t.Context(), sql, nil, func(scan func(...any) error) error {
		var name string
		err := scan(&name)
		if !strings.HasPrefix(name, "sqlite_") {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

var all = []string{"clacks_counter", "clacks_events", "clacks_index_state", "clacks_journal", "clacks_leases", "clacks_locks", "clacks_migrations",
	"clacks_nodes", "clacks_objects", "clacks_owners", "clacks_sessions", "clacks_subscriptions", "clacks_unique", "clacks_values"}

func TestUpTwiceKeepsData(t *testing.T) {
	both(t, func(t *testing.T, url string) {
		db := open(t, url)
		if err := Up(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		if got := tables(t, db); !reflect.DeepEqual(got, all) {
			t.Errorf("tables %v, want %v", got, all)
		}
		use(t, db)
		if err := Up(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		results, err := db.Exec(t.Context(), store.Statement{SQL: "SELECT value FROM clacks_counter WHERE name = 'events'", Returning: true})
		if err != nil || results[0].Value != 7 {
			t.Errorf("the second Up lost data: %v, %v", results, err)
		}
	})
}

// use writes and reads one row of each table with the same statements in both dialects.
func use(t *testing.T, db *store.DB) {
	t.Helper()
	for _, s := range []store.Statement{
		{SQL: "INSERT INTO clacks_objects (uuid, dn, dn_key, parent_key, path_key, type, version, modified) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
			Args: []any{"u", "O=X", "o=x", "", "o=x,", "Organization", int64(1), int64(1) << 50}},
		{SQL: "SELECT 1 FROM clacks_objects WHERE path_key >= ? AND path_key < ?", Args: []any{"o=x,", "o=x-"}},
		{SQL: "INSERT INTO clacks_values (attribute, value_key, uuid) VALUES (?, ?, ?)", Args: []any{"o", "x", "u"}},
		{SQL: "INSERT INTO clacks_unique (type, attribute, value_key, uuid, operation) VALUES (?, ?, ?, ?, ?)", Args: []any{"T", "a", "v", "u", nil}},
		{SQL: "INSERT INTO clacks_journal (operation, idempotency_key, request_hash, owner, epoch, state, plan, result, created, finished) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			Args: []any{"op", nil, "h", "me", int64(1), "prepared", []byte("{}"), nil, int64(5), nil}},
		{SQL: "INSERT INTO clacks_locks (uuid, operation) VALUES (?, ?)", Args: []any{"dn:o=x", "op"}},
		{SQL: "INSERT INTO clacks_owners (owner, epoch, heartbeat) VALUES (?, 1, ?) ON CONFLICT (owner) DO UPDATE SET epoch = clacks_owners.epoch + 1",
			Args: []any{"me", int64(5)}},
		{SQL: "UPDATE clacks_counter SET value = value + ? WHERE name = 'events'", Args: []any{int64(7)}},
		{SQL: "INSERT INTO clacks_events (sequence, event_id, type, time, document) VALUES ((SELECT value FROM clacks_counter WHERE name = 'events') - ?, ?, ?, ?, ?)",
			Args: []any{int64(0), "e", "ObjectChanged", int64(5), "<x/>"}},
		{SQL: "INSERT INTO clacks_sessions (id_hash, user_id, admin, created, seen, expires) VALUES (?, ?, ?, ?, ?, ?)",
			Args: []any{"hash", "admin", true, int64(1), int64(1), int64(2)}},
		{SQL: "INSERT INTO clacks_subscriptions (id, owner, deliver, durable, handled, created, lease) VALUES (?, ?, ?, ?, ?, ?, ?)",
			Args: []any{"s", "admin", "event", true, int64(7), int64(1), int64(0)}},
		{SQL: "UPDATE clacks_subscriptions SET epoch = epoch + 1, attached = ? WHERE durable = ?", Args: []any{true, true}},
		{SQL: "INSERT INTO clacks_leases (name, holder, epoch, beat) VALUES (?, ?, 1, 0)", Args: []any{"relay", "me"}},
		{SQL: "INSERT INTO clacks_index_state (name, value) VALUES (?, ?)", Args: []any{"definitions", "x"}},
	} {
		s.Rows = 1
		if _, err := db.Exec(t.Context(), s); err != nil {
			t.Errorf("%s: %v", s.SQL, err)
		}
	}
	var admin bool
	err := db.Query(t.Context(), "SELECT admin FROM clacks_sessions WHERE admin = ?", []any{true}, func(scan func(...any) error) error {
		return scan(&admin)
	})
	if err != nil || !admin {
		t.Errorf("admin = %v, %v", admin, err)
	}
}

// TestUpFromVersion1: rows of the journal that were written under version 1 are there after the way to the last one.
func TestUpFromVersion1(t *testing.T) {
	both(t, func(t *testing.T, url string) {
		db := open(t, url)
		provider, err := newProvider(db)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := provider.UpTo(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		insert := `INSERT INTO clacks_journal (operation, idempotency_key, request_hash, owner, epoch, state, plan, result, created, finished) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
		want := []string{`committed k h me 7 committed {"sealed":"ä"} r 5 6 {}`, `prepared - - me 7 prepared {"sealed":"ö"} - 8 - {}`}
		_, err = db.Exec(t.Context(),
			store.Statement{SQL: insert, Args: []any{"committed", "k", "h", "me", int64(7), "committed", `{"sealed":"ä"}`, "r", int64(5), int64(6)}},
			store.Statement{SQL: insert, Args: []any{"prepared", nil, nil, "me", int64(7), "prepared", `{"sealed":"ö"}`, nil, int64(8), nil}},
			store.Statement{SQL: `INSERT INTO clacks_locks (uuid, operation) VALUES ('u', 'prepared')`})
		if err != nil {
			t.Fatal(err)
		}
		if err := Up(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		var got []string
		err = db.Query(t.Context(), `SELECT operation, COALESCE(idempotency_key, '-'), COALESCE(request_hash, '-'), owner, epoch, state, plan,
COALESCE(result, '-'), created, COALESCE(CAST(finished AS TEXT), '-'), header FROM clacks_journal ORDER BY operation`, nil, func(scan func(...any) error) error {
			var operation, key, hash, owner, state, result, finished, header string
			var epoch, created int64
			var plan []byte
			err := scan(&operation, &key, &hash, &owner, &epoch, &state, &plan, &result, &created, &finished, &header)
			got = append(got, fmt.Sprint(operation, " ", key, " ", hash, " ", owner, " ", epoch, " ", state, " ", string(plan), " ", result, " ",
				created, " ", finished, " ", header))
			return err
		})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q, %v", got, err)
		}
		// Another text: a connection keeps the types of one that it has prepared.
		again := store.Statement{SQL: `INSERT INTO clacks_journal (operation, idempotency_key, owner, epoch, state, plan, created)
VALUES ('another', 'k', 'me', 1, 'prepared', ?, 9)`, Args: []any{[]byte("x")}}
		var taken *store.ConstraintError
		if _, err := db.Exec(t.Context(), again); !errors.As(err, &taken) || taken.Kind != store.ConstraintUnique {
			t.Errorf("an idempotency key was taken twice: %v", err)
		}
	})
}

func TestUpConcurrently(t *testing.T) {
	both(t, func(t *testing.T, url string) {
		var wg sync.WaitGroup
		for range 6 {
			db := open(t, url) // each is an agent of its own
			wg.Go(func() {
				if err := Up(context.Background(), db); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got := tables(t, open(t, url)); !reflect.DeepEqual(got, all) {
			t.Errorf("tables %v", got)
		}
	})
}

func TestUpOverOneConnection(t *testing.T) {
	if err := Up(t.Context(), open(t, testservers.SharedPostgres(t).NewDatabase(t)+"&pool_max_conns=1")); err != nil {
		t.Fatal(err)
	}
}

func TestUpInMemory(t *testing.T) {
	db := open(t, "sqlite::memory:")
	if err := Up(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	use(t, db)
}

func TestUpWithoutServer(t *testing.T) {
	for _, url := range []string{"postgres://u@127.0.0.1:1/d?connect_timeout=1", "sqlite:/nonexistent/state.db"} {
		if err := Up(t.Context(), open(t, url)); !clacks.IsKind(err, clacks.Unavailable) {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// TestDialectsAgree compares the columns of both dialects: name, order, type and whether they may be empty.
func TestDialectsAgree(t *testing.T) {
	columns := map[string][]string{}
	both(t, func(t *testing.T, url string) {
		db := open(t, url)
		if err := Up(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		sql := `SELECT m.name, c.name, lower(c.type), c."notnull" <> 0 OR c.pk <> 0 FROM sqlite_master m, pragma_table_info(m.name) c
WHERE m.type = 'table' AND m.name LIKE 'clacks%' ORDER BY m.name, c.cid`
		if db.Dialect() == store.PostgreSQL {
			sql = `SELECT table_name::text, column_name::text, data_type::text, is_nullable = 'NO' FROM information_schema.columns
WHERE table_schema = 'public' ORDER BY table_name, ordinal_position`
		}
		same := map[string]string{"bigint": "integer", "boolean": "integer", "bytea": "blob"}
		err := db.Query(t.Context(), sql, nil, func(scan func(...any) error) error {
			var table, column, kind string
			var notNull bool
			if err := scan(&table, &column, &kind, &notNull); err != nil {
				return err
			}
			if s, ok := same[kind]; ok {
				kind = s
			}
			if table != Table { // goose's own
				columns[t.Name()] = append(columns[t.Name()], fmt.Sprint(table, ".", column, " ", kind, " ", notNull))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	if len(columns) < 2 {
		t.Skip("one of the dialects was not tried")
	}
	lite, pg := columns[t.Name()+"/sqlite"], columns[t.Name()+"/postgres"]
	if len(lite) == 0 || !reflect.DeepEqual(lite, pg) {
		t.Errorf("the dialects differ:\n%s\n\n%s", strings.Join(lite, "\n"), strings.Join(pg, "\n"))
	}
}
