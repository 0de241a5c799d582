package objects

import (
	"slices"
	"testing"

	"clacks"
	"clacks/backends"
)

func TestLifeOfAnObject(t *testing.T) {
	w := newWorld(t)
	people := w.house()
	made := w.create("User", people, person("ada", "badgeNumber", "B-1234"))
	if made.Version != "1" || made.Sequence != 2 || made.DN != "cn=Person ada,"+people {
		t.Errorf("created %+v", made)
	}
	v := w.view(made.UUID)
	if v.Type != "User" || v.DN != made.DN || v.Values["displayName"][0] != "ada Person" || v.Values["badgeNumber"][0] != "B-1234" {
		t.Errorf("view %+v", v)
	}
	_, err := w.Update(t.Context(), admin, UpdateRequest{ID: made.DN, Changes: map[string]any{"sn": "Lovelace", "badgeNumber": "B-9"}})
	wantKind(t, err, clacks.Invalid, "badgeNumber")
	r, err := w.Update(t.Context(), admin, UpdateRequest{ID: made.DN, Changes: map[string]any{"sn": "Lovelace", "badgeNumber": "B-9999"}})
	if err != nil || r.Version != "2" || r.Sequence != 3 {
		t.Fatalf("update %+v, %v", r, err)
	}
	if v = w.view(made.UUID); v.Values["displayName"][0] != "ada Lovelace" || v.Version != "2" {
		t.Errorf("after the update: %+v", v)
	}
	event := w.events()[2]
	if event.ChangeType != "update" || event.Actor != "admin" || len(event.Attributes) != 3 ||
		!slices.Equal(event.Attributes[0].Old, []string{"B-1234"}) || !slices.Equal(event.Attributes[0].New, []string{"B-9999"}) {
		t.Errorf("event %+v", event)
	}
	if _, err = w.Delete(t.Context(), admin, DeleteRequest{ID: made.UUID}); err != nil {
		t.Fatal(err)
	}
	_, err = w.Get(t.Context(), admin, made.UUID, nil)
	wantKind(t, err, clacks.NotFound)
	for _, table := range []string{"clacks_locks", "clacks_unique"} {
		if n := w.count(table); n != 0 {
			t.Errorf("%d rows are left in %s", n, table)
		}
	}
	if len(w.table.rows["employees"]) != 0 || len(w.tree.entries) != 2 {
		t.Errorf("left behind: %v, %v", w.table.rows, w.tree.entries)
	}
}

func TestRenameByAttribute(t *testing.T) {
	w := newWorld(t)
	people := w.house()
	ada := w.create("User", people, person("ada", "badgeNumber", "B-1234"))
	group := w.create("GroupOfNames", testBase, map[string]any{"cn": "all", "member": []any{ada.DN}})
	r, err := w.Update(t.Context(), admin, UpdateRequest{ID: ada.UUID, Changes: map[string]any{"cn": "Ada Lovelace", "uid": "lovelace"}})
	if err != nil {
		t.Fatal(err)
	}
	if r.DN != "cn=Ada Lovelace,"+people {
		t.Errorf("DN %s", r.DN)
	}
	if v := w.view(group.UUID); v.Values["member"][0] != r.DN || v.Version != "2" {
		t.Errorf("the group: %+v", v)
	}
	if v := w.view(r.DN); v.Values["badgeNumber"][0] != "B-1234" {
		t.Errorf("the row did not move along: %+v", v.Values)
	}
	events := w.events()
	last := events[len(events)-2:]
	if last[0].ChangeType != "move" || last[0].NewDN != r.DN || last[1].ChangeType != "update" || last[1].UUID != group.UUID {
		t.Errorf("events %+v", last)
	}
	if _, err := w.Delete(t.Context(), admin, DeleteRequest{ID: r.DN}); err == nil {
		t.Error("the last member could be removed")
	} else {
		wantKind(t, err, clacks.InUse, "cn=all")
	}
}

func TestMoveOfATree(t *testing.T) {
	w := newWorld(t)
	ou := w.create("OrganizationalUnit", testBase, map[string]any{"ou": "one"})
	people := w.create("PeopleContainer", ou.DN, nil)
	ada := w.create("User", people.DN, person("ada"))
	bob := w.create("User", people.DN, person("bob", "manager", ada.DN))
	group := w.create("GroupOfNames", testBase, map[string]any{"cn": "all", "member": []any{ada.DN, bob.DN}})
	r, err := w.Move(t.Context(), admin, MoveRequest{ID: ou.UUID, RDN: "ou=two"})
	if err != nil {
		t.Fatal(err)
	}
	if r.DN != "ou=two,"+testBase {
		t.Errorf("DN %s", r.DN)
	}
	newAda := "cn=Person ada,ou=people,ou=two," + testBase
	if v := w.view(newAda); v.UUID != ada.UUID || v.Version != "2" {
		t.Errorf("ada: %+v", v)
	}
	if v := w.view(bob.UUID); v.Values["manager"][0] != newAda {
		t.Errorf("bob: %+v", v)
	}
	if v := w.view(group.UUID); !slices.Contains(texts(v.Values["member"]), newAda) {
		t.Errorf("group: %+v", v)
	}
	if _, err := w.Delete(t.Context(), admin, DeleteRequest{ID: r.DN}); err == nil {
		t.Error("a container with children could be removed")
	}
	w.create("User", testBase, person("eve"))
	if _, err := w.Update(t.Context(), admin, UpdateRequest{ID: group.UUID, Changes: map[string]any{"member": ListChange{Add: []any{"cn=Person eve," + testBase}}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Delete(t.Context(), admin, DeleteRequest{ID: r.DN, Recursive: true}); err != nil {
		t.Fatal(err)
	}
	if v := w.view(group.UUID); len(v.Values["member"]) != 1 {
		t.Errorf("group: %+v", v.Values)
	}
	if n := w.count("clacks_objects"); n != 3 {
		t.Errorf("%d objects are left", n) // the base, the group, eve
	}
}

func TestSecondStepFails(t *testing.T) {
	w := newWorld(t)
	people := w.house()
	ada := w.create("User", people, person("ada", "badgeNumber", "B-1234"))
	before := len(w.events())
	w.table.deny = func(c backends.Change) error { return clacks.E(clacks.Invalid, "sql", "too long") }
	_, err := w.Update(t.Context(), admin, UpdateRequest{ID: ada.UUID, Changes: map[string]any{"sn": "X", "badgeNumber": "B-9999"}})
	wantKind(t, err, clacks.Invalid)
	if v := w.view(ada.UUID); v.Values["sn"][0] != "Person" || v.Values["displayName"][0] != "ada Person" {
		t.Errorf("half written: %+v", v.Values)
	}
	if len(w.events()) != before || w.count("clacks_locks") != 0 {
		t.Error("an event or a lock of a failed change is there")
	}
}
