package objects

import (
	"context"
	"errors"
	"strings"
	"testing"

	"clacks"
	"clacks/backends"
	"clacks/internal/dn"
	"clacks/objects/journal"
)

// rewritingTable keeps its values in small letters, as a column of type uuid or inet has a form of its own, and does not say what
// became of changes of existing rows: they are applied, or were lost on the way.
type rewritingTable struct {
	*memoryTable
	silent  bool
	arrives bool
}

func (r *rewritingTable) Normalize(_ context.Context, c backends.Change) (backends.Change, error) {
	small := func(values []backends.Value) []backends.Value {
		list := make([]backends.Value, len(values))
		for i, v := range values {
			list[i] = strings.ToLower(journal.Text(v))
		}
		return list
	}
	added := backends.Values{}
	for name, values := range c.Add {
		added[name] = small(values)
	}
	c.Add = added
	var mods []backends.Mod
	for _, m := range c.Mods {
		m.Add = small(m.Add)
		mods = append(mods, m)
	}
	c.Mods = mods
	for _, values := range c.Add {
		for _, v := range values {
			if v == "z-0000" {
				return c, &clacks.Error{Op: "test", Kind: clacks.Invalid, Reason: "the database cannot hold this",
					Fields: []clacks.Field{{Attribute: "badge_number", Code: clacks.CodeType, Reason: "it does not fit"}}}
			}
		}
	}
	return c, nil
}

func (r *rewritingTable) Apply(ctx context.Context, c backends.Change) (backends.Result, error) {
	kept, err := r.Normalize(ctx, c)
	if err != nil {
		return backends.Result{}, err
	}
	if !r.silent || c.Op != backends.OpModify {
		return r.memoryTable.Apply(ctx, kept)
	}
	r.silent = false
	if r.arrives {
		if _, err := r.memoryTable.Apply(ctx, kept); err != nil {
			return backends.Result{}, err
		}
	}
	return backends.Result{}, clacks.E(clacks.InDoubt, "test", "no answer came")
}

// TestRewrittenValuesAreRecognised: a value that its store keeps in another form than it was given is found again when the
// store did not say what became of it.
func TestRewrittenValuesAreRecognised(t *testing.T) {
	for _, arrives := range []bool{true, false} {
		f := &faults{}
		w := &world{t: t, faults: f, tree: newMemoryTree(f, testBase), table: newMemoryTable(f), state: openState(t)}
		table := &rewritingTable{memoryTable: w.table, arrives: arrives}
		w.begin(map[string]backends.Backend{"LDAP": w.tree, "SQL": table})
		ada := w.create("User", w.house(), person("ada", "badgeNumber", "B-1234"))
		if v := w.view(ada.UUID); v.Values["badgeNumber"][0] != "b-1234" {
			t.Fatalf("%+v", v.Values)
		}
		table.silent = true
		if _, err := w.Update(t.Context(), admin, UpdateRequest{ID: ada.UUID, Changes: map[string]any{"badgeNumber": "C-4321"}}); err != nil {
			t.Errorf("arrives %v: %v", arrives, err)
		}
		if v := w.view(ada.UUID); v.Values["badgeNumber"][0] != "c-4321" {
			t.Errorf("arrives %v: %+v", arrives, v.Values)
		}
		if table.silent {
			t.Error("the table was not changed")
		}
	}
}

// TestRefusalsOfNormalize name the object's attribute.
func TestRefusalsOfNormalize(t *testing.T) {
	f := &faults{}
	w := &world{t: t, faults: f, tree: newMemoryTree(f, testBase), table: newMemoryTable(f), state: openState(t)}
	w.begin(map[string]backends.Backend{"LDAP": w.tree, "SQL": &rewritingTable{memoryTable: w.table}})
	_, err := w.Create(t.Context(), admin, CreateRequest{Type: "User", Base: w.house(), Attributes: person("ada", "badgeNumber", "Z-0000")})
	var e *clacks.Error
	if !errors.As(err, &e) || e.Kind != clacks.Invalid || len(e.Fields) != 1 || e.Fields[0].Attribute != "badgeNumber" {
		t.Errorf("%+v", err)
	}
}

// spellingTree keeps names in a spelling of its own, as directories do, and may lose its answer to a change.
type spellingTree struct {
	*memoryTree
	silent, arrives bool
}

func (s *spellingTree) Apply(ctx context.Context, c backends.Change) (backends.Result, error) {
	var mods []backends.Mod
	for _, m := range c.Mods {
		added := make([]backends.Value, len(m.Add))
		for i, v := range m.Add {
			added[i] = v
			if name, err := dn.Parse(journal.Text(v)); err == nil && m.Attribute == "manager" {
				added[i] = strings.ToLower(name.String())
			}
		}
		m.Add = added
		mods = append(mods, m)
	}
	c.Mods = mods
	if !s.silent || c.Op != backends.OpModify {
		return s.memoryTree.Apply(ctx, c)
	}
	s.silent = false
	if s.arrives {
		if _, err := s.memoryTree.Apply(ctx, c); err != nil {
			return backends.Result{}, err
		}
	}
	return backends.Result{}, clacks.E(clacks.InDoubt, "test", "no answer came")
}

// TestSpelledNamesAreRecognised: a name that the directory spells in its own way is found again when its answer is lost, be
// it the first value or one in place of another.
func TestSpelledNamesAreRecognised(t *testing.T) {
	for _, arrives := range []bool{true, false} {
		f := &faults{}
		w := &world{t: t, faults: f, tree: newMemoryTree(f, testBase), table: newMemoryTable(f), state: openState(t)}
		tree := &spellingTree{memoryTree: w.tree, arrives: arrives}
		w.begin(map[string]backends.Backend{"LDAP": tree, "SQL": w.table})
		people := w.house()
		ada, bob, eve := w.create("User", people, person("ada")), w.create("User", people, person("bob")), w.create("User", people, person("eve"))
		for _, boss := range []*Result{bob, eve} {
			tree.silent = true
			_, err := w.Update(t.Context(), admin, UpdateRequest{ID: ada.UUID, Changes: map[string]any{"manager": strings.ReplaceAll(boss.DN, ",", " , ")}})
			if err != nil || tree.silent {
				t.Fatalf("arrives %v: %v", arrives, err)
			}
			if got := texts(w.view(ada.UUID).Values["manager"]); len(got) != 1 || !dn.Equal(got[0], boss.DN) {
				t.Errorf("arrives %v: manager %v", arrives, got)
			}
		}
	}
}
