package objects

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"clacks"
	"clacks/backends"
	"clacks/mapping"
)

// TestUpdateFromMemory: what was just read is not read again before a change.
func TestUpdateFromMemory(t *testing.T) {
	w := newWorld(t)
	made := w.create("User", w.house(), person("anna", "title", "first"))
	w.view(made.DN)
	reads := w.tree.reads
	w.update(made.DN, map[string]any{"title": "second"})
	if n := w.tree.reads - reads; n != 0 {
		t.Errorf("%d reads before a change of what is known", n)
	}
	w.indexIsExact(made.DN)
	// What nobody has read is.
	reads = w.tree.reads
	w.known.drop(knownKey(&mapping.Source{Backend: "LDAP"}, made.UUID))
	w.update(made.DN, map[string]any{"title": "third"})
	if n := w.tree.reads - reads; n != 1 {
		t.Errorf("an entry that is not known was read %d times", n)
	}
	w.indexIsExact(made.DN)
}

// TestNothingChangesOnlyIfItIsSo: a request that changes nothing of what is known is compared with what is there.
func TestNothingChangesOnlyIfItIsSo(t *testing.T) {
	for name, setup := range setups {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			made := w.create("User", w.house(), person("anna", "title", "first", "badgeNumber", "A-0001"))
			w.view(made.DN)
			w.writePast("LDAP", backends.Ref{DN: made.DN}, backends.Mod{Attribute: "title", Delete: []any{"first"}, Add: []any{"theirs"}})
			w.update(made.DN, map[string]any{"title": "first"})
			if got := texts(w.view(made.DN).Values["title"]); !slices.Equal(got, []string{"first"}) {
				t.Errorf("the title is %v", got)
			}
			w.writePast("SQL", backends.Ref{Table: "employees", Column: "login", Key: "anna"},
				backends.Mod{Attribute: "badge_number", Delete: []any{"A-0001"}, Add: []any{"A-0002"}})
			w.update(made.DN, map[string]any{"badgeNumber": "A-0001"})
			if got := texts(w.view(made.DN).Values["badgeNumber"]); !slices.Equal(got, []string{"A-0001"}) {
				t.Errorf("the badge is %v", got)
			}
			w.indexIsExact(made.DN)
		})
	}
}

// TestMemoryIsNoTruth lets strangers write between our reads and our changes, at random. No change overwrites theirs, none
// is refused for what is only remembered, and the index is exact after each.
func TestMemoryIsNoTruth(t *testing.T) {
	for name, setup := range setups {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(7, 7))
			w := setup(t)
			attributes := person("anna", "title", "t0", "roomNumber", "r0", "badgeNumber", "A-0000")
			attributes["costCenter"], attributes["phones"] = 0, []any{"p0"}
			made := w.create("User", w.house(), attributes)
			model := map[string]string{"title": "t0", "roomNumber": "r0", "badgeNumber": "A-0000", "phones": "p0"}
			stranger := func(n int) {
				name := []string{"title", "roomNumber", "badgeNumber", "phones"}[random.IntN(4)]
				at := map[string]string{"title": "LDAP title", "roomNumber": "LDAP roomNumber", "badgeNumber": "SQL badge_number", "phones": "SQL phones/number"}[name]
				backend, column, _ := strings.Cut(at, " ")
				ref := backends.Ref{DN: made.DN}
				if backend == "SQL" {
					ref = backends.Ref{Table: "employees", Column: "login", Key: "anna", Children: map[string]string{"phones": "employee"}}
				}
				theirs := fmt.Sprintf("S-%04d", n)
				w.writePast(backend, ref, backends.Mod{Attribute: column, Delete: []any{model[name]}, Add: []any{theirs}})
				model[name] = theirs
			}
			for n := range 60 {
				switch random.IntN(3) {
				case 0:
					stranger(n)
				case 1:
					w.view(made.DN)
				}
				changes := map[string]any{}
				for _, name := range []string{"title", "roomNumber", "badgeNumber", "phones"} {
					if random.IntN(3) == 0 {
						model[name] = fmt.Sprintf("%s-%04d", strings.ToUpper(name[:1]), n)
						changes[name] = model[name]
					}
				}
				w.update(made.DN, changes)
				v := w.view(made.DN)
				for name, want := range model {
					if got := texts(v.Values[name]); !slices.Equal(got, []string{want}) {
						t.Fatalf("round %d: %s is %v, not %s", n, name, got, want)
					}
				}
				if len(changes) > 0 {
					w.indexIsExact(made.DN)
				}
			}
		})
	}
}

// TestPlansFromMemory: a plan from memory is the one that reading makes.
func TestPlansFromMemory(t *testing.T) {
	for name, setup := range setups {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			attributes := person("anna", "title", "t", "roomNumber", "r", "badgeNumber", "A-0001")
			attributes["costCenter"], attributes["phones"] = 1, []any{"1", "2"}
			made := w.create("User", w.house(), attributes)
			for n, changes := range []map[string]any{
				{"title": "u"}, {"costCenter": 2}, {"title": "v", "costCenter": 3}, {"phones": []any{"2", "3"}, "roomNumber": nil},
				{"phones": nil, "badgeNumber": nil, "title": "w"}, {"title": "x", "badgeNumber": "A-0002"}, {"sn": "Other", "title": "y"},
			} {
				w.view(made.DN)
				q := &UpdateRequest{ID: made.DN, Changes: changes}
				remembered, sources := w.planned(q, trustEntries)
				read, none := w.planned(q, trustNothing)
				if len(none) != 0 {
					t.Fatalf("%v come from memory", none)
				}
				if want := map[string]int{"servers": 2, "ldap and sqlite": 1, "embedded": 2, "tables apart": 1}[name]; len(sources) != want {
					t.Errorf("%d entries are known, not %d", len(sources), want)
				}
				if !bytes.Equal(remembered, read) {
					t.Errorf("change %d:\n%s\nread:\n%s", n, remembered, read)
				}
				w.update(made.DN, changes)
			}
		})
	}
}

// planned is the plan of an update without what differs each time.
func (w *world) planned(q *UpdateRequest, trust trust) ([]byte, []*mapping.Source) {
	w.t.Helper()
	r := &request{s: w.Service, cat: w.catalogue.Load(), user: admin, op: "objects.update", taken: map[string]bool{}}
	l, err := r.load(w.t.Context(), q.ID, trust)
	if err != nil {
		w.t.Fatal(err)
	}
	p, err := r.update(w.t.Context(), l, q)
	if err != nil {
		w.t.Fatal(err)
	}
	data, err := (&plan{Steps: p.Steps, Rows: slices.Clone(p.Rows)}).timeless().encode()
	if err != nil {
		w.t.Fatal(err)
	}
	return data, l.remembered
}

func (p *plan) timeless() *plan {
	for i := range p.Rows {
		p.Rows[i].Modified = 0
	}
	return p
}

func TestKnownEntries(t *testing.T) {
	source := &mapping.Source{ID: "LDAP", Backend: "LDAP", Kind: backends.Tree, Want: []string{"cn", "Photo", "n"}}
	other := &mapping.Source{ID: "LDAP", Backend: "LDAP", Kind: backends.Tree, Want: source.Want}
	now := time.Now()
	r := func(uuid, key string) *row { return &row{uuid: uuid, dnKey: key} }
	entry := func(version string, values backends.Values) *backends.Entry {
		return &backends.Entry{Ref: backends.Ref{DN: "cn=A"}, Version: version, Values: values}
	}
	values := backends.Values{"cn": {"a", "\xff", ""}, "photo": {[]byte{0, 1}}, "n": {int64(-5), true, 1.5, now.UTC()}}
	k := newKnownEntries()
	k.put(source, r("u", "cn=a"), entry("1", backends.Values{"cn": values["cn"], "photo": values["photo"], "n": values["n"], "userPassword": {"secret"}}), now)
	got := k.get(source, r("u", "cn=a"), now)
	if got == nil || got.DN != "cn=A" || got.Version != "1" || !reflect.DeepEqual(got.Values, values) {
		t.Fatalf("got %+v", got)
	}
	for what, absent := range map[string]*backends.Entry{
		"another object": k.get(source, r("v", "cn=a"), now), "another name": k.get(source, r("u", "cn=b"), now),
		"another shape": k.get(other, r("u", "cn=a"), now), "old": k.get(source, r("u", "cn=a"), now.Add(knownAge+time.Second)),
	} {
		if absent != nil {
			t.Errorf("%s: %+v", what, absent)
		}
	}
	k.put(source, r("u", "cn=a"), entry("", nil), now) // a directory's entry without a version cannot be asserted
	if k.get(source, r("u", "cn=a"), now) == nil {
		t.Error("the entry with a version is gone")
	}
	k.put(source, r("u", "cn=a"), entry("1", nil), now.Add(knownAge))
	if got := k.get(source, r("u", "cn=a"), now.Add(knownAge+time.Second)); got == nil || len(got.Values) == 0 {
		t.Error("an entry that was read again is not renewed")
	}
	k.put(source, r("u", "cn=a"), entry("2", backends.Values{"cn": {strings.Repeat("x", maxKnownEntry+1)}}), now)
	if k.get(source, r("u", "cn=a"), now) != nil {
		t.Error("a large entry is kept, or the one before it")
	}
	if k.size != 0 {
		t.Errorf("nothing is kept, in %d bytes", k.size)
	}
}

// TestKnownEntriesAreBounded: what is used stays, what is not goes.
func TestKnownEntriesAreBounded(t *testing.T) {
	source := &mapping.Source{ID: "LDAP", Backend: "LDAP", Kind: backends.Tree, Want: []string{"cn"}}
	k, now := newKnownEntries(), time.Now()
	k.limit = 64 << 10
	for n := range 1000 {
		id := fmt.Sprintf("u%d", n)
		k.put(source, &row{uuid: id, dnKey: id}, &backends.Entry{Version: "1", Values: backends.Values{"cn": {id}}}, now)
		if k.get(source, &row{uuid: "u0", dnKey: "u0"}, now) == nil {
			t.Fatalf("the entry in use is gone after %d", n)
		}
		if total := len(k.young) + len(k.old); total > 2*k.limit/256 {
			t.Fatalf("%d entries", total)
		}
	}
	if k.get(source, &row{uuid: "u1", dnKey: "u1"}, now) != nil {
		t.Error("an unused entry is still there")
	}
}

// TestKnownEntriesAreJudged: where plans from memory are made in vain, entries are read, with a try from time to time.
func TestKnownEntriesAreJudged(t *testing.T) {
	source := &mapping.Source{ID: "LDAP", Backend: "LDAP", Kind: backends.Tree, Want: []string{"cn"}}
	k, now, one := newKnownEntries(), time.Now(), &row{uuid: "u", dnKey: "k"}
	k.put(source, one, &backends.Entry{Version: "1"}, now)
	used := func(tries int, stood bool) (n int) {
		for range tries {
			if k.get(source, one, now) != nil {
				n++
				k.judge([]*mapping.Source{source}, stood)
			}
		}
		return n
	}
	if n := used(1000, false); n < 10 || n > 100 {
		t.Errorf("%d of 1000 changes were planned in vain", n)
	}
	if n := used(1000, true); n < 900 {
		t.Errorf("%d of 1000 were planned from memory once that is right again", n)
	}
	if len(k.misses) != 0 {
		t.Errorf("misses %v", k.misses)
	}
}

// FuzzUnpack feeds damaged entries.
func FuzzUnpack(f *testing.F) {
	packed, _ := pack(backends.Values{"cn": {"a", "b"}, "n": {int64(5)}}, []string{"cn", "n"})
	f.Add(packed)
	f.Add("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f")
	f.Fuzz(func(t *testing.T, text string) {
		values, err := unpack(text)
		if err != nil {
			return
		}
		var names []string
		for name := range values {
			names = append(names, name)
		}
		again, small := pack(values, names)
		if !small {
			return
		}
		if read, err := unpack(again); err != nil || len(read) != len(values) {
			t.Fatalf("%q: %v, then %v, %v", text, values, read, err)
		}
	})
}

// TestTurns: commits wait for each other, not for ever, and not longer than their callers.
func TestTurns(t *testing.T) {
	s := &Service{turns: make(chan struct{}, 2), limits: Limits{Wait: 50 * time.Millisecond}}
	first, err := s.takeTurn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.takeTurn(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.takeTurn(t.Context()); !clacks.IsKind(err, clacks.Unavailable) {
		t.Errorf("a third one: %v", err)
	}
	given, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.takeTurn(given); !clacks.IsKind(err, clacks.Unavailable) {
		t.Errorf("a caller that has gone: %v", err)
	}
	first()
	first()
	if _, err := s.takeTurn(t.Context()); err != nil {
		t.Error(err)
	}
	if len(s.turns) != 2 || s.waiting.Load() != 0 {
		t.Errorf("%d turns, %d wait", len(s.turns), s.waiting.Load())
	}
}

// withVersions is a directory of which only its abilities are asked.
type withVersions struct{ backends.Backend }

func (withVersions) Capabilities() backends.Capabilities {
	return backends.Capabilities{Versions: true}
}

// TestWhatADirectoryShows: after a change the entry is what was there, with what the server has made of the change, and with
// what only the server writes.
func TestWhatADirectoryShows(t *testing.T) {
	s := &Service{backends: map[string]backends.Backend{"LDAP": withVersions{}}}
	source := &mapping.Source{ID: "LDAP", Backend: "LDAP", Kind: backends.Tree, Want: []string{"objectClass", "cn", "title", "l", "modifyTimestamp"},
		Writes: []string{"objectClass", "cn", "title", "l", "userPassword"}, ReadOnly: []string{"modifyTimestamp"}}
	entry := &backends.Entry{Version: "1", Values: backends.Values{"cn": {"a"}, "Title": {"old"}, "l": {"x"}, "modifyTimestamp": {"1"}}}
	mods := []backends.Mod{{Attribute: "l", Delete: []any{"x"}}, {Attribute: "title", Delete: []any{"old"}, Add: []any{"New"}}}
	want := s.wantAfter(source, entry, mods)
	if !slices.Equal(want, []string{"l", "title", "modifyTimestamp"}) {
		t.Errorf("the server is asked for %v", want)
	}
	m := &modified{source: source, entry: entry}
	left := m.leaves(&backends.Change{Mods: mods, Want: want},
		&backends.Entry{Version: "2", Values: backends.Values{"title": {"new"}, "modifyTimestamp": {"2"}}})
	if w := (backends.Values{"cn": {"a"}, "title": {"new"}, "modifyTimestamp": {"2"}}); left.Version != "2" || !reflect.DeepEqual(left.Values, w) {
		t.Errorf("left is %+v", left)
	}
	if entry.Version != "1" || len(entry.Values["Title"]) != 1 {
		t.Errorf("the entry before is %+v now", entry)
	}
	if left := m.leaves(&backends.Change{Mods: mods, Want: want}, nil); left != nil {
		t.Errorf("nothing was shown, left is %+v", left)
	}
	secret := []backends.Mod{{Attribute: "userPassword", Add: []any{"secret"}}}
	source.ReadOnly = nil
	if want := s.wantAfter(source, entry, secret); !slices.Equal(want, []string{"objectClass"}) {
		t.Errorf("after a secret the server is asked for %v", want)
	}
	large := []backends.Mod{{Attribute: "l", Add: []any{strings.Repeat("x", maxKnownEntry)}}}
	if want := s.wantAfter(source, entry, large); want != nil {
		t.Errorf("after a large value the server is asked for %v", want)
	}
}

// TestMemoryAges: what is planned from memory does not become younger by being changed.
func TestMemoryAges(t *testing.T) {
	w := setups["servers"](t)
	made := w.create("User", w.house(), person("anna", "title", "t0"))
	w.view(made.DN)
	key := keyOfEntry("LDAP", "", made.UUID)
	read := w.known.since(key, time.Time{})
	if read.IsZero() {
		t.Fatal("the entry is not known")
	}
	for _, title := range []string{"t1", "t2"} {
		w.update(made.DN, map[string]any{"title": title})
		if again := w.known.since(key, time.Time{}); !again.Equal(read) {
			t.Errorf("read at %v, after a change at %v", read, again)
		}
	}
}
