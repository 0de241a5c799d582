package objects

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"clacks"
	"clacks/backends"
	"clacks/internal/store"
)

// writePast changes an entry without the service.
func (w *world) writePast(backend string, ref backends.Ref, mods ...backends.Mod) {
	w.t.Helper()
	_, err := w.config.Backends[backend].Apply(w.t.Context(), backends.Change{Op: backends.OpModify, Ref: ref, Mods: mods})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) update(id string, changes map[string]any) {
	w.t.Helper()
	if _, err := w.Update(w.t.Context(), admin, UpdateRequest{ID: id, Changes: changes}); err != nil {
		w.t.Fatalf("update %s: %v", id, err)
	}
}

// indexIsExact holds the index of an object against the object.
func (w *world) indexIsExact(id string) {
	w.t.Helper()
	l, err := w.open(w.t.Context(), w.catalogue.Load(), id, wantsAll, trustNothing)
	if err != nil {
		w.t.Fatal(err)
	}
	w.compareIndex(w.Service, l)
	if l.row.guards.Sum != sumOf(indexValues(l.shape, &l.object)) {
		w.t.Errorf("the sum of %s is not that of its values", id)
	}
}

// TestIndexFollowsStrangers: what others write into the backends makes the index old. The next commit of the object makes
// it exact, also in what that commit does not touch, and no row that was left over stands in the way of another one.
func TestIndexFollowsStrangers(t *testing.T) {
	for name, setup := range setups {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			attributes := person("anna", "title", "first", "roomNumber", "1", "badgeNumber", "A-0001")
			attributes["costCenter"] = 1
			made := w.create("User", w.house(), attributes)
			entry := backends.Ref{DN: made.DN}
			row := backends.Ref{Table: "employees", Column: "login", Key: "anna"}
			w.writePast("LDAP", entry,
				backends.Mod{Attribute: "title", Delete: []any{"first"}, Add: []any{"theirs"}},
				backends.Mod{Attribute: "roomNumber", Delete: []any{"1"}, Add: []any{"2"}})
			w.writePast("SQL", row,
				backends.Mod{Attribute: "cost_center", Delete: []any{int64(1)}, Add: []any{int64(2)}},
				backends.Mod{Attribute: "badge_number", Delete: []any{"A-0001"}, Add: []any{"A-0002"}})
			w.update(made.DN, map[string]any{"title": "second"})
			w.indexIsExact(made.DN)
			for attribute, values := range map[string][2]any{
				"title": {"first", "second"}, "roomNumber": {"1", "2"}, "costCenter": {int64(1), int64(2)}, "badgeNumber": {"A-0001", "A-0002"},
			} {
				if found := w.find(SearchRequest{Filter: map[string]any{attribute: values[0]}}); len(found) > 0 {
					t.Errorf("%s is still found by %v", attribute, values[0])
				}
				if found := w.find(SearchRequest{Filter: map[string]any{attribute: values[1]}}); !slices.Equal(found, []string{"anna"}) {
					t.Errorf("%s is not found by %v", attribute, values[1])
				}
			}
			// The badge that was taken away is free, the one that was given is not.
			w.create("User", "ou=people,"+testBase, person("berta", "badgeNumber", "A-0001"))
			_, err := w.Create(t.Context(), admin, CreateRequest{Type: "User", Base: "ou=people," + testBase, Attributes: person("carla", "badgeNumber", "A-0002")})
			wantKind(t, err, clacks.NotUnique, "badgeNumber")
			w.update(made.DN, map[string]any{"title": "first", "badgeNumber": "A-0003"})
			w.update(made.DN, map[string]any{"costCenter": int64(1)})
			w.indexIsExact(made.DN)
		})
	}
}

// TestIndexRowsLeftOver: even a row of the index that nothing knows of does not refuse a commit.
func TestIndexRowsLeftOver(t *testing.T) {
	w := newWorld(t)
	made := w.create("User", w.house(), person("anna", "title", "first"))
	_, err := w.state.Exec(t.Context(), store.Statement{
		SQL: `INSERT INTO clacks_values (attribute, value_key, uuid) VALUES ('title', 'second', ?)`, Args: []any{made.UUID},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.update(made.DN, map[string]any{"title": "second"})
	w.indexIsExact(made.DN)
}

// TestOnlyTheNameIsTaken: what the service's own tables refuse is the caller's business only where it is the name.
func TestOnlyTheNameIsTaken(t *testing.T) {
	for column, kind := range map[string]clacks.Kind{"dn_key": clacks.NotUnique, "uuid": clacks.Internal} {
		err := ownConstraint(&store.ConstraintError{Kind: store.ConstraintUnique, Table: "clacks_objects", Column: column, Err: errors.New("no")})
		wantKind(t, err, kind)
		if taken := strings.Contains(err.Error(), "the name is taken"); taken != (kind == clacks.NotUnique) {
			t.Errorf("%s: %v", column, err)
		}
	}
}

// TestRecallMeetsAnotherVersion: a document of a later version is not taken for that of the row.
func TestRecallMeetsAnotherVersion(t *testing.T) {
	w := newWorld(t)
	made := w.create("User", w.house(), person("anna", "title", "first"))
	r, err := w.Service.find(context.Background(), made.UUID, true)
	if err != nil {
		t.Fatal(err)
	}
	w.update(made.DN, map[string]any{"title": "second"})
	if l, err := w.indexed(t.Context(), w.catalogue.Load(), r); l != nil || err != nil {
		t.Errorf("version %d is answered with another one: %v, %v", r.version, l, err)
	}
}
