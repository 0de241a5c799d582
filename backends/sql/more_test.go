package sql_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"clacks"
	"clacks/backends"
	"clacks/backends/sql"
	"clacks/internal/store"
	"clacks/internal/testservers"
)

// both runs a test in each dialect with its tables; {key} in these is a type for keys.
func both(t *testing.T, tables string, test func(t *testing.T, b *sql.Backend, url string)) {
	t.Run("sqlite", func(t *testing.T) {
		url := "sqlite:" + t.TempDir() + "/x.db"
		test(t, open(t, url, tables), url)
	})
	t.Run("postgres", func(t *testing.T) {
		url := testservers.SharedPostgres(t).NewDatabase(t)
		test(t, open(t, url, tables), url)
	})
}

func staff(key string) backends.Ref {
	return backends.Ref{Table: "staff", Column: "login", Key: key, Children: map[string]string{"phones": "staff", "mails": "staff"}}
}

func apply(t *testing.T, b *sql.Backend, c backends.Change) {
	t.Helper()
	if _, err := b.Apply(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

func hire(key string) backends.Change {
	return backends.Change{Op: backends.OpCreate, Ref: staff(key), Add: backends.Values{
		"badge": {key + "1"}, "phones/number": {"1", "2"}, "mails/mail": {key + "@x"}}}
}

// TestRenameWithForeignKeys changes a key that other tables refer to, whatever their foreign keys say about updates.
func TestRenameWithForeignKeys(t *testing.T) {
	for name, on := range map[string]string{
		"no action": "", "cascade": " ON UPDATE CASCADE ON DELETE CASCADE", "deferred": " DEFERRABLE INITIALLY DEFERRED",
	} {
		tables := `CREATE TABLE staff (login TEXT PRIMARY KEY, badge TEXT UNIQUE);
CREATE TABLE phones (staff TEXT NOT NULL REFERENCES staff (login)` + on + `, number TEXT NOT NULL);
CREATE TABLE mails (staff TEXT NOT NULL REFERENCES staff (login)` + on + `, mail TEXT NOT NULL UNIQUE);
CREATE TABLE rooms (id TEXT PRIMARY KEY, staff TEXT REFERENCES staff (login))`
		t.Run(name, func(t *testing.T) {
			both(t, tables, func(t *testing.T, b *sql.Backend, _ string) {
				apply(t, b, hire("ann"))
				apply(t, b, hire("bob"))
				rename := backends.Change{Op: backends.OpRename, Ref: staff("ann"), To: staff("eve"),
					Guard: backends.Guard{Old: backends.Values{"badge": {"ann1"}, "phones/number": {"2", "1"}}}}
				apply(t, b, rename)
				e, err := b.Read(t.Context(), staff("eve"), []string{"badge", "phones/number", "mails/mail"})
				if err != nil || len(e.Values["phones/number"]) != 2 || e.Values["mails/mail"][0] != "ann@x" {
					t.Fatalf("%+v, %v", e, err)
				}
				if _, err := b.Apply(t.Context(), rename); !clacks.IsKind(err, clacks.NotFound) {
					t.Errorf("a second time: %v", err)
				}
				_, err = b.Apply(t.Context(), backends.Change{Op: backends.OpRename, Ref: staff("eve"), To: staff("bob")})
				if !clacks.IsKind(err, clacks.NotUnique) {
					t.Errorf("onto another: %v", err)
				}
				apply(t, b, backends.Change{Op: backends.OpCreate, Ref: backends.Ref{Table: "rooms", Column: "id", Key: "r"}, Add: backends.Values{"staff": {"eve"}}})
				for _, c := range []backends.Change{{Op: backends.OpRename, Ref: staff("eve"), To: staff("x")}, {Op: backends.OpDelete, Ref: staff("eve")}} {
					if _, err := b.Apply(t.Context(), c); !clacks.IsKind(err, clacks.InUse) {
						t.Errorf("%s of a row that is referred to: %v", c.Op, err)
					}
				}
				apply(t, b, backends.Change{Op: backends.OpDelete, Ref: staff("bob")})
			})
		})
	}
}

// TestStatementsJoinATransaction makes a change in a transaction of the state database.
func TestStatementsJoinATransaction(t *testing.T) {
	tables := "CREATE TABLE staff (login TEXT PRIMARY KEY, badge TEXT);\nCREATE TABLE phones (staff TEXT, number TEXT);\n" +
		"CREATE TABLE mails (staff TEXT, mail TEXT);\nCREATE TABLE log (what TEXT)"
	both(t, tables, func(t *testing.T, b *sql.Backend, url string) {
		state, err := store.Open(url)
		if err != nil {
			t.Fatal(err)
		}
		defer state.Close() //nolint:errcheck // the test has ended
		other, err := store.Open("sqlite::memory:")
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close() //nolint:errcheck // the test has ended
		if !b.SameDatabase(state) || b.SameDatabase(other) || b.SameDatabase(nil) {
			t.Error("SameDatabase is wrong")
		}
		logged := store.Statement{SQL: "INSERT INTO log (what) VALUES (?)", Args: []any{"done"}}
		commit := func(c backends.Change) error {
			statements, err := b.Statements(c)
			if err != nil {
				t.Fatal(err)
			}
			tx, err := state.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback()
			_, err = tx.Commit(t.Context(), append(statements, logged)...)
			return err
		}
		for _, c := range []backends.Change{
			hire("ann"),
			{Op: backends.OpModify, Ref: staff("ann"), Mods: []backends.Mod{{Attribute: "phones/number", Delete: []backends.Value{"1"}, Add: []backends.Value{"3"}},
				{Attribute: "badge", Delete: []backends.Value{"ann1"}, Add: []backends.Value{"7"}}}, Guard: backends.Guard{Old: backends.Values{"badge": {"ann1"}}}},
			{Op: backends.OpRename, Ref: staff("ann"), To: staff("eve")},
		} {
			if err := commit(c); err != nil {
				t.Fatalf("%s: %v", c.Op, err)
			}
		}
		stale := backends.Change{Op: backends.OpModify, Ref: staff("eve"), Mods: []backends.Mod{{Attribute: "badge", Delete: []backends.Value{"6"}}}}
		var rows *store.RowsError
		if err := commit(stale); !errors.As(err, &rows) {
			t.Errorf("a false guard: %v", err)
		}
		stale.Mods[0].Attribute = "salary"
		if _, err := b.Statements(stale); !clacks.IsKind(err, clacks.Invalid) {
			t.Errorf("an unknown column: %v", err)
		}
		var n int64
		if err := state.Query(t.Context(), "SELECT count(*) FROM log", nil, func(scan func(...any) error) error { return scan(&n) }); err != nil || n != 3 {
			t.Errorf("%d entries in the log, %v", n, err)
		}
		e, err := b.Read(t.Context(), staff("eve"), []string{"badge", "phones/number"})
		if err != nil || e.Values["badge"][0] != "7" || len(e.Values["phones/number"]) != 2 {
			t.Errorf("%+v, %v", e, err)
		}
	})
}

func TestDescribe(t *testing.T) {
	both(t, `CREATE TABLE "Odd ""Name" (id INTEGER PRIMARY KEY, "Mixed Case" VARCHAR(30) NOT NULL, n SMALLINT UNIQUE, d DATE, x BOOLEAN, UNIQUE (d, x))`,
		func(t *testing.T, b *sql.Backend, _ string) {
			table, err := b.Describe(t.Context(), `odd "name`)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, c := range table.Columns {
				got = append(got, fmt.Sprint(c.Name, " ", c.Nullable, " ", c.Unique))
			}
			want := []string{"id false true", "Mixed Case false false", "n true true", "d true false", "x true false"}
			if !reflect.DeepEqual(got, want) || !strings.HasSuffix(table.Name, `Odd "Name`) {
				t.Errorf("%s: %q, want %q", table.Name, got, want)
			}
			if _, err := b.Describe(t.Context(), "nothing"); !clacks.IsKind(err, clacks.NotFound) {
				t.Error(err)
			}
			ref := backends.Ref{Table: `Odd "Name`, Column: "ID", Key: int64(1)}
			apply(t, b, backends.Change{Op: backends.OpCreate, Ref: ref, Add: backends.Values{"mixed case": {"a"}, "d": {"2024-02-29"}}})
			e, err := b.Read(t.Context(), ref, []string{"Mixed Case", "d"})
			if err != nil || e.Values["Mixed Case"][0] != "a" || e.Values["d"][0] != time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC) {
				t.Errorf("%+v, %v", e, err)
			}
		})
}

// TestAlteredTable adds and drops columns under a running backend.
func TestAlteredTable(t *testing.T) {
	both(t, "CREATE TABLE staff (login TEXT PRIMARY KEY, badge TEXT)", func(t *testing.T, b *sql.Backend, url string) {
		db, err := store.Open(url)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close() //nolint:errcheck // the test has ended
		alter := func(text string) {
			t.Helper()
			if _, err := db.Exec(t.Context(), store.Statement{SQL: text}); err != nil {
				t.Fatal(err)
			}
		}
		ref := backends.Ref{Table: "staff", Column: "login", Key: "ann"}
		apply(t, b, backends.Change{Op: backends.OpCreate, Ref: ref})
		alter("ALTER TABLE staff ADD COLUMN room TEXT")
		apply(t, b, backends.Change{Op: backends.OpModify, Ref: ref, Mods: []backends.Mod{{Attribute: "room", Add: []backends.Value{"1"}}}})
		alter("ALTER TABLE staff DROP COLUMN badge")
		if _, err := b.Read(t.Context(), ref, []string{"badge"}); err == nil {
			t.Error("a dropped column is read")
		}
		if _, err := b.Read(t.Context(), ref, []string{"badge"}); !clacks.IsKind(err, clacks.Invalid) {
			t.Errorf("a dropped column: %v", err)
		}
		if e, err := b.Read(t.Context(), ref, []string{"*"}); err != nil || e.Values["room"][0] != "1" {
			t.Errorf("%+v, %v", e, err)
		}
	})
}

// TestFieldsOfViolations: the attribute that the database refuses is named as the caller spells it.
func TestFieldsOfViolations(t *testing.T) {
	tables := `CREATE TABLE staff (login VARCHAR(5) PRIMARY KEY, badge TEXT UNIQUE, room TEXT NOT NULL, n SMALLINT);
CREATE TABLE phones (staff TEXT NOT NULL REFERENCES staff (login), number TEXT NOT NULL UNIQUE)`
	both(t, tables, func(t *testing.T, b *sql.Backend, _ string) {
		ref := func(key string) backends.Ref {
			return backends.Ref{Table: "staff", Column: "Login", Key: key, Children: map[string]string{"phones": "staff"}}
		}
		apply(t, b, backends.Change{Op: backends.OpCreate, Ref: ref("ann"), Add: backends.Values{"badge": {"1"}, "room": {"r"}, "phones/number": {"5"}}})
		for _, c := range []struct {
			key        string
			values     backends.Values
			kind       clacks.Kind
			attribute  string
			code       string
			onlyServer bool // SQLite does not enforce it
		}{
			{"bob", backends.Values{"BADGE": {"1"}, "room": {"r"}}, clacks.NotUnique, "BADGE", clacks.CodeNotUnique, false},
			{"bob", backends.Values{"badge": {"2"}}, clacks.Invalid, "room", clacks.CodeMandatory, false},
			{"bob", backends.Values{"room": {"r"}, "phones/number": {"5"}}, clacks.NotUnique, "phones/number", clacks.CodeNotUnique, false},
			{"bob", backends.Values{"room": {"r"}, "n": {"x"}}, clacks.Invalid, "n", clacks.CodeType, false},
			{"bob", backends.Values{"room": {"r"}, "n": {int64(70000)}}, clacks.Invalid, "n", clacks.CodeType, true},
			{"bobbob", backends.Values{"room": {"r"}}, clacks.Invalid, "Login", clacks.CodeType, true},
			{"ann", backends.Values{"room": {"r"}}, clacks.NotUnique, "Login", clacks.CodeNotUnique, false},
		} {
			if c.onlyServer && strings.HasSuffix(t.Name(), "sqlite") {
				continue
			}
			_, err := b.Apply(t.Context(), backends.Change{Op: backends.OpCreate, Ref: ref(c.key), Add: c.values})
			var e *clacks.Error
			if !errors.As(err, &e) || e.Kind != c.kind || len(e.Fields) != 1 || e.Fields[0].Attribute != c.attribute || e.Fields[0].Code != c.code {
				t.Errorf("%v: %+v", c.values, err)
			}
		}
	})
}

func TestPostgresTypes(t *testing.T) {
	b := open(t, testservers.SharedPostgres(t).NewDatabase(t), `CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE DOMAIN short AS VARCHAR(3);
CREATE TABLE v (id uuid PRIMARY KEY, n numeric(10,2), m mood, j jsonb, k json, i inet, f real, c char(5), s short, a timestamp, e text[]);
CREATE TABLE w (v uuid REFERENCES v, m mood, b bytea, x timestamptz, g double precision, UNIQUE (v, m))`)
	ref := backends.Ref{Table: "public.v", Column: "id", Key: "6ba7b810-9dad-11d1-80b4-00c04fd430c8", Children: map[string]string{"w": "v"}}
	at := time.Date(2024, 1, 2, 3, 4, 5, 600000, time.UTC)
	values := backends.Values{"n": {"12.50"}, "m": {"bad"}, "j": {`{"a": 1}`}, "k": {`[1,2]`}, "i": {"10.0.0.0/8"}, "f": {0.1}, "c": {"ab"}, "s": {"abc"}, "a": {at},
		"e": {"{x,y}"}, "w/m": {"good", "bad"}, "w/b": {[]byte{0, 255}}, "w/x": {at}, "w/g": {0.1, 1e300}}
	apply(t, b, backends.Change{Op: backends.OpCreate, Ref: ref, Add: values})
	var names []string
	for name := range values {
		names = append(names, name)
	}
	e, err := b.Read(t.Context(), ref, names)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range values {
		got := e.Values[name]
		slices.SortFunc(got, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		slices.SortFunc(want, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %#v, want %#v", name, got, want)
		}
	}
	// What was read is a guard that holds, and every value can be taken away.
	delete(e.Values, "e")
	c := backends.Change{Op: backends.OpModify, Ref: ref, Guard: backends.Guard{Old: e.Values}}
	for name := range e.Values {
		c.Mods = append(c.Mods, backends.Mod{Attribute: name, Delete: e.Values[name]})
	}
	apply(t, b, c)
	for _, key := range []backends.Value{"no uuid", int64(3), []byte{1}} {
		if _, err := b.Read(t.Context(), backends.Ref{Table: "v", Column: "id", Key: key}, nil); err == nil {
			t.Errorf("%v names a row", key)
		}
	}
	if _, err := b.Describe(t.Context(), "pg_catalog.pg_class"); err != nil {
		t.Error(err)
	}
}

// TestForeignTimes: other programs write moments into SQLite in their own form; they are still the same moments.
func TestForeignTimes(t *testing.T) {
	b := open(t, "sqlite::memory:", "CREATE TABLE v (id TEXT PRIMARY KEY, w TIMESTAMP, d DATE);\n"+
		"INSERT INTO v VALUES ('a', '2024-01-02T03:04:05Z', '2024-01-02'), ('b', '2024-01-02 04:04:05+01:00', '2024-01-02'), ('c', 'soon', NULL)")
	at := time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, key := range []string{"a", "b"} {
		ref := backends.Ref{Table: "v", Column: "id", Key: key}
		e, err := b.Read(t.Context(), ref, []string{"w", "d"})
		if err != nil || e.Values["w"][0] != at {
			t.Fatalf("%+v, %v", e, err)
		}
		apply(t, b, backends.Change{Op: backends.OpModify, Ref: ref, Mods: []backends.Mod{{Attribute: "w", Delete: []backends.Value{at}, Add: []backends.Value{at.Add(time.Hour)}}},
			Guard: backends.Guard{Old: e.Values}})
	}
	e, err := b.Read(t.Context(), backends.Ref{Table: "v", Column: "id", Key: "c"}, []string{"w"})
	if err != nil || e.Values["w"][0] != "soon" {
		t.Errorf("%+v, %v", e, err)
	}
}
