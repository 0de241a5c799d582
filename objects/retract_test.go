package objects

import (
	"path/filepath"
	"slices"
	"testing"

	"clacks"
	"clacks/backends"
	"clacks/backends/sql"
	"clacks/internal/store"
)

func posixPerson(uid string, number int) map[string]any {
	attributes := person(uid)
	attributes["uidNumber"], attributes["gidNumber"], attributes["homeDirectory"] = number, number, "/home/"+uid
	return attributes
}

// TestRetractNothing: what is not there cannot be taken away, and the answer names it.
func TestRetractNothing(t *testing.T) {
	w := newWorld(t)
	ada := w.create("User", w.house(), person("ada"))
	for _, name := range []string{"PosixUser", "User", "NoSuchThing"} {
		_, err := w.Update(t.Context(), admin, UpdateRequest{ID: ada.DN, Retract: []string{name}, Changes: map[string]any{"title": "x"}})
		wantKind(t, err, clacks.Invalid, name)
		x, err := w.Open(t.Context(), admin, "login", ada.DN)
		if err != nil {
			t.Fatal(err)
		}
		wantKind(t, x.Retract(t.Context(), name), clacks.Invalid, name)
	}
	if w.view(ada.DN).Values["title"] != nil {
		t.Error("a refused request changed something")
	}
}

// TestRetractEndsReferences: who refers to an object as one with an extension loses it with that; who refers to the object
// keeps it.
func TestRetractEndsReferences(t *testing.T) {
	w := newWorld(t)
	people := w.house()
	ada := w.create("User", people, posixPerson("ada", 1000), "PosixUser")
	bob := w.create("User", people, posixPerson("bob", 1001), "PosixUser")
	posix := w.create("PosixGroup", testBase, map[string]any{"cn": "staff", "gidNumber": 5, "memberUid": []any{"ada", "bob"}})
	names := w.create("GroupOfNames", testBase, map[string]any{"cn": "all", "member": []any{ada.DN, bob.DN}})
	if _, err := w.Update(t.Context(), admin, UpdateRequest{ID: ada.DN, Retract: []string{"PosixUser"}}); err != nil {
		t.Fatal(err)
	}
	if got := texts(w.view(posix.UUID).Values["memberUid"]); !slices.Equal(got, []string{"bob"}) {
		t.Errorf("memberUid %v", got)
	}
	if got := w.view(names.UUID).Values["member"]; len(got) != 2 {
		t.Errorf("member %v", got)
	}
	// A login name that changes in the same commit leaves nothing behind either.
	if _, err := w.Update(t.Context(), admin, UpdateRequest{ID: bob.DN, Retract: []string{"PosixUser"}, Changes: map[string]any{"uid": "robert"}}); err != nil {
		t.Fatal(err)
	}
	if got := w.view(posix.UUID).Values["memberUid"]; len(got) != 0 {
		t.Errorf("memberUid %v", got)
	}
	w.oracle(w.Service)
}

// TestDryRunShowsTheKey: the row that a create would make is shown with the column that names it.
func TestDryRunShowsTheKey(t *testing.T) {
	w := newWorld(t)
	r, err := w.Create(t.Context(), admin, CreateRequest{Type: "User", Base: w.house(), Attributes: person("ada", "badgeNumber", "B-1234"), Write: Write{DryRun: true}})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(r.Plan.Steps, func(s PlanStep) bool { return s.Backend == "SQL" })
	if i < 0 || len(r.Plan.Steps[i].After["login"]) != 1 || r.Plan.Steps[i].After["login"][0] != "ada" {
		t.Errorf("%+v", r.Plan)
	}
}

// TestIndexBesideRepeatedKeys: rows with the same key make one object impossible to open, and no other.
func TestIndexBesideRepeatedKeys(t *testing.T) {
	f := &faults{}
	w := &world{t: t, faults: f, tree: newMemoryTree(f, testBase), state: openState(t)}
	tables := openDatabase(t, "sqlite:"+filepath.Join(t.TempDir(), "tables.db"))
	for _, text := range []string{
		`CREATE TABLE employees (login TEXT, badge_number TEXT, cost_center INTEGER)`,
		`CREATE TABLE phones (employee TEXT, number TEXT)`,
		`INSERT INTO employees VALUES ('ada', 'A-0001', 1), ('ada', 'A-0002', 2), ('bob', 'B-0001', 3)`,
	} {
		if _, err := tables.Exec(t.Context(), store.Statement{SQL: text}); err != nil {
			t.Fatal(err)
		}
	}
	for _, uid := range []string{"ada", "bob"} {
		_, err := w.tree.Apply(t.Context(), backends.Change{Op: backends.OpCreate,
			Ref: backends.Ref{DN: "cn=" + uid + "," + testBase, UUID: newUUID()},
			Add: backends.Values{"objectClass": {"inetOrgPerson"}, "cn": {uid}, "sn": {uid}, "uid": {uid}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	w.begin(map[string]backends.Backend{"LDAP": w.tree, "SQL": sql.New(tables)})
	if got := w.view("cn=bob," + testBase).Values["badgeNumber"]; len(got) != 1 || got[0] != "B-0001" {
		t.Errorf("%v", got)
	}
	if found := w.find(SearchRequest{Filter: map[string]any{"badgeNumber": "B-0001"}}); !slices.Equal(found, []string{"bob"}) {
		t.Errorf("%v", found)
	}
	if _, err := w.Get(t.Context(), admin, "cn=ada,"+testBase, nil); err == nil {
		t.Error("a row was chosen among several")
	}
}
