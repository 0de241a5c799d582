package objects

import (
	"testing"

	"clacks"
	"clacks/backends"
	"clacks/definitions"
	"clacks/definitions/builtin"
	"clacks/mapping"
)

// An open object finishes on the types with which it was opened; all others have those of now.
func TestOpenObjectsKeepTheirTypes(t *testing.T) {
	w := newWorld(t)
	people := w.house()
	ada := w.create("User", people, person("ada", "badgeNumber", "B-1111"))
	edited, err := w.Open(t.Context(), admin, "login", ada.UUID)
	if err != nil {
		t.Fatal(err)
	}
	made, err := w.OpenNew(t.Context(), admin, "login", "User", people)
	if err != nil {
		t.Fatal(err)
	}
	w.SetMappings(shippedMappings(t))
	_, err = w.Update(t.Context(), admin, UpdateRequest{ID: ada.UUID, Changes: map[string]any{"badgeNumber": "B-2222"}})
	wantKind(t, err, clacks.Invalid, "badgeNumber")
	set := func(x *Session, attributes map[string]any) {
		t.Helper()
		for name, value := range attributes {
			if err := x.Set(t.Context(), name, value); err != nil {
				t.Fatalf("set %s: %v", name, err)
			}
		}
		if _, err := x.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	set(edited, map[string]any{"badgeNumber": "B-3333"})
	set(made, person("bob", "badgeNumber", "B-4444"))
	if values, _, err := edited.Get("badgeNumber"); err != nil || len(values) != 1 || values[0] != "B-3333" {
		t.Errorf("the open object has the badge %v, %v", values, err)
	}
	if err := edited.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, _, err = edited.Get("badgeNumber")
	wantKind(t, err, clacks.Invalid, "badgeNumber")
	w.SetMappings(testMappings(t))
	for uuid, badge := range map[string]string{ada.UUID: "B-3333", w.view("cn=Person bob," + people).UUID: "B-4444"} {
		if v := w.view(uuid); len(v.Values["badgeNumber"]) != 1 || v.Values["badgeNumber"][0] != badge {
			t.Errorf("%s has the badge %v, want %s", v.DN, v.Values["badgeNumber"], badge)
		}
	}
}

// shippedMappings are the types without the example's amendment.
func shippedMappings(t *testing.T) *mapping.Set {
	t.Helper()
	defs, problems := definitions.Load(builtin.Sources(), definitions.Options{Backends: []string{"LDAP", "SQL", "NULL"}})
	if defs == nil {
		t.Fatal(problems)
	}
	set, problems := mapping.Compile(defs, mapping.Options{Kinds: map[string]backends.Kind{"LDAP": backends.Tree, "SQL": backends.Table}})
	if set == nil {
		t.Fatal(problems)
	}
	return set
}
