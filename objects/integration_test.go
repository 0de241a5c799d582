package objects

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clacks/backends"
	"clacks/backends/directory"
	"clacks/backends/ldap"
	"clacks/backends/sql"
	"clacks/internal/store"
	"clacks/internal/testservers"
	"clacks/migrations"
)

// employeeTables makes the tables of the example in a database.
func employeeTables(t testing.TB, db *store.DB) {
	t.Helper()
	script, err := os.ReadFile("../examples/employees/schema.sql")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(script)) {
		if !strings.HasPrefix(line, "--") {
			lines = append(lines, line)
		}
	}
	for statement := range strings.SplitSeq(strings.Join(lines, ""), ";") {
		if statement = strings.TrimSpace(statement); statement != "" {
			if _, err := db.Exec(context.Background(), store.Statement{SQL: statement}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func openDatabase(t testing.TB, url string) *store.DB {
	t.Helper()
	db, err := store.Open(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// setups are the real stores, in the combinations that a commit treats differently.
var setups = map[string]func(t testing.TB) *world{
	"embedded":        func(t testing.TB) *world { return embeddedWorld(t, true) },
	"tables apart":    func(t testing.TB) *world { return embeddedWorld(t, false) },
	"servers":         func(t testing.TB) *world { return serverWorld(t, true) },
	"ldap and sqlite": func(t testing.TB) *world { return serverWorld(t, false) },
}

func embeddedWorld(t testing.TB, joined bool) *world {
	t.Helper()
	dir := t.TempDir()
	tree, err := directory.Open(t.Context(), "sqlite:"+filepath.Join(dir, "directory.db"), directory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tree.Close() })
	if err := tree.Bootstrap(t.Context(), testBase); err != nil {
		t.Fatal(err)
	}
	return realWorld(t, openDatabase(t, "sqlite:"+filepath.Join(dir, "state.db")), tree, joined)
}

func serverWorld(t testing.TB, postgres bool) *world {
	t.Helper()
	slapd := testservers.Slapd(t, testservers.WithoutSync())
	tree, err := ldap.New(ldap.Options{URIs: []string{slapd.URI}, BindDN: slapd.BindDN, Password: slapd.Password, Base: testBase})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tree.Close() })
	url := "sqlite:" + filepath.Join(t.TempDir(), "state.db")
	if postgres {
		url = testservers.SharedPostgres(t).NewDatabase(t)
	}
	return realWorld(t, openDatabase(t, url), tree, postgres)
}

func realWorld(t testing.TB, state *store.DB, tree backends.Backend, joined bool) *world {
	t.Helper()
	if err := migrations.Up(t.Context(), state); err != nil {
		t.Fatal(err)
	}
	tables := state
	if !joined {
		tables = openDatabase(t, "sqlite:"+filepath.Join(t.TempDir(), "tables.db"))
	}
	employeeTables(t, tables)
	w := &world{t: t, faults: &faults{}, state: state}
	w.begin(map[string]backends.Backend{"LDAP": tree, "SQL": sql.New(tables)})
	if len(w.joiners) != map[bool]int{true: 1, false: 0}[joined] {
		t.Fatalf("%d backends join the commit transaction", len(w.joiners))
	}
	return w
}

func TestDeedsOnRealStores(t *testing.T) {
	for name, setup := range setups {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			for _, d := range deeds() {
				do := d.set(w)
				before := len(w.events())
				if err := do(w.Service); err != nil {
					t.Fatalf("%s: %v", d.name, err)
				}
				if n := len(w.events()) - before; n != d.events {
					t.Errorf("%s: %d events: %v", d.name, n, operations(w.events(), before))
				}
				w.oracle(w.Service)
				w.clear()
			}
			w.oracle(w.startQuietly())
		})
	}
}

// clear removes all objects but the base.
func (w *world) clear() {
	w.t.Helper()
	rows, err := w.findRows(w.t.Context(), `parent_key = ?`, w.baseKey)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, group := range []bool{true, false} {
		for _, r := range rows {
			if (r.typ == "GroupOfNames") != group {
				continue
			}
			if _, err := w.Delete(w.t.Context(), admin, DeleteRequest{ID: r.uuid, Recursive: true}); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}
