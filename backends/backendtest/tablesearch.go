package backendtest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"clacks"
	"clacks/backends"
)

var tableGuardSections = []section{
	{"guard by old values", testTableGuardOld},
	{"guard by version", testTableGuardVersion},
	{"race of guarded changes", testTableRaceGuard},
	{"race of creates", testTableRaceCreate},
	{"race of unguarded additions", testTableRaceAdd},
}

var tableSearchSections = []section{
	{"search filters", testTableFilters},
	{"search keys", testTableKeys},
	{"search in pages", testTablePages},
}

func testTableGuardOld(t *testing.T, f Fixture) {
	c := insert("ann", backends.Values{"note": list("old"), "age": {int64(3)}, "bt_phones/number": list("1", "2")})
	f.apply(t, c)
	changes := func(guard backends.Guard) []backends.Change {
		return []backends.Change{
			{Op: backends.OpModify, Ref: c.Ref, Mods: []backends.Mod{{Attribute: "score", Add: []backends.Value{1.0}}}, Guard: guard},
			{Op: backends.OpModify, Ref: c.Ref, Mods: []backends.Mod{{Attribute: "bt_phones/number", Add: list("5")}}, Guard: guard},
			{Op: backends.OpModify, Ref: c.Ref, Guard: guard},
			{Op: backends.OpDelete, Ref: c.Ref, Guard: guard},
		}
	}
	for what, old := range map[string]backends.Values{
		"another value":           {"note": list("x")},
		"expected to be empty":    {"note": {}},
		"expected to be there":    {"score": {1.0}},
		"one of two":              {"note": list("old"), "age": {int64(4)}},
		"one row missing":         {"bt_phones/number": list("1")},
		"one row too many":        {"bt_phones/number": list("1", "2", "3")},
		"expected to have none":   {"bt_phones/number": {}},
		"rows where there are no": {"bt_scores/points": {int64(1)}},
	} {
		t.Run(what, func(t *testing.T) {
			for _, change := range changes(backends.Guard{Old: old}) {
				f.refuse(t, change, clacks.Conflict)
				entry := f.read(t, c.Ref, "score", "bt_phones/number")
				holds(t, entry, "score")
				holds(t, entry, "bt_phones/number", "1", "2")
			}
		})
	}
	fits := backends.Guard{Old: backends.Values{"NOTE": list("old"), "age": {int64(3)}, "score": {}, "bt_phones/number": list("2", "1"), "bt_scores/points": {}}}
	f.apply(t, changes(fits)[0])
	fits.Old["score"] = []backends.Value{1.0}
	f.apply(t, changes(fits)[1])
	f.refuse(t, changes(fits)[3], clacks.Conflict)
	fits.Old["bt_phones/number"] = list("5", "1", "2")
	f.apply(t, changes(fits)[2])
	f.apply(t, changes(fits)[3])
	f.refuse(t, changes(fits)[3], clacks.NotFound)
}

func testTableGuardVersion(t *testing.T, f Fixture) {
	c := insert("ann", nil)
	created := f.apply(t, c) // apply and read check that a version is there exactly when it is declared
	entry := f.read(t, c.Ref, "name")
	if !f.Backend.Capabilities().Versions {
		return
	}
	if created.Version != entry.Version {
		t.Fatalf("Apply says version %q, Read %q", created.Version, entry.Version)
	}
	touch := modify(c.Ref, backends.Mod{Attribute: "note", Add: list("x")})
	touch.Guard.Version = created.Version
	f.apply(t, touch)
	stale := modify(c.Ref, backends.Mod{Attribute: "age", Add: []backends.Value{int64(1)}})
	stale.Guard.Version = created.Version
	f.refuse(t, stale, clacks.Conflict)
	holds(t, f.read(t, c.Ref, "age"), "age")
}

func testTableRaceGuard(t *testing.T, f Fixture) {
	c := insert("ann", backends.Values{"note": list("start")})
	f.apply(t, c)
	for round := range 20 {
		entry := f.read(t, c.Ref, "note")
		value := func(i int) string { return fmt.Sprintf("round %d by %d", round, i) }
		guard := backends.Guard{Version: entry.Version, Old: entry.Values}
		winner := f.race(t, 12, clacks.Conflict, func(i int) backends.Change {
			mod := backends.Mod{Attribute: "note", Delete: entry.Values["note"], Add: list(value(i))}
			return backends.Change{Op: backends.OpModify, Ref: c.Ref, Mods: []backends.Mod{mod}, Guard: guard}
		})
		holds(t, f.read(t, c.Ref, "note"), "note", value(winner))
	}
}

func testTableRaceCreate(t *testing.T, f Fixture) {
	for round := range 10 {
		id := fmt.Sprintf("ann %d", round)
		winner := f.race(t, 12, clacks.NotUnique, func(i int) backends.Change {
			return insert(id, backends.Values{"note": list(fmt.Sprint(i)), "bt_phones/number": list(fmt.Sprint(i))})
		})
		entry := f.read(t, row(id), "note", "bt_phones/number")
		holds(t, entry, "note", fmt.Sprint(winner))
		holds(t, entry, "bt_phones/number", fmt.Sprint(winner))
	}
}

// testTableRaceAdd adds different rows at the same time: value by value, none is lost.
func testTableRaceAdd(t *testing.T, f Fixture) {
	f.apply(t, insert("ann", nil))
	var numbers []backends.Value
	var workers sync.WaitGroup
	for i := range 24 {
		number := fmt.Sprint(i)
		numbers = append(numbers, number)
		workers.Go(func() {
			if _, err := f.Backend.Apply(t.Context(), modify(row("ann"), backends.Mod{Attribute: "bt_phones/number", Add: list(number)})); err != nil {
				t.Error(err)
			}
		})
	}
	workers.Wait()
	holds(t, f.read(t, row("ann"), "bt_phones/number"), "bt_phones/number", numbers...)
}

func testTableFilters(t *testing.T, f Fixture) {
	f.apply(t, insert("ant", backends.Values{"age": {int64(9)}, "note": list("100%"), "bt_phones/number": list("1", "2")}))
	f.apply(t, insert("bear", backends.Values{"age": {int64(100)}, "active": {true}, "bt_phones/number": list("2")}))
	f.apply(t, insert("cat", backends.Values{"age": {int64(1000)}, "note": list("a_b*c")}))
	f.apply(t, insert("eel", backends.Values{"note": list("")}))
	match := func(op backends.FilterOp, attribute string, value backends.Value) *backends.Filter {
		return &backends.Filter{Op: op, Attribute: attribute, Value: value}
	}
	join := func(op backends.FilterOp, of ...*backends.Filter) *backends.Filter {
		return &backends.Filter{Op: op, Of: of}
	}
	for _, test := range []struct {
		filter   *backends.Filter
		expected string
	}{
		{nil, "ant bear cat eel"},
		{match(backends.Equal, "age", int64(100)), "bear"},
		{match(backends.Equal, "AGE", "100"), "bear"},
		{match(backends.Equal, "active", true), "bear"},
		{match(backends.AtLeast, "age", int64(100)), "bear cat"},
		{match(backends.Present, "note", nil), "ant cat eel"},
		{match(backends.Prefix, "note", "100"), "ant"},
		{match(backends.Prefix, "note", "%"), ""},
		{match(backends.Contain, "note", "_"), "cat"},
		{match(backends.Contain, "note", "%"), "ant"},
		{match(backends.Contain, "note", "*"), "cat"},
		{match(backends.Contain, "note", `\`), ""},
		{match(backends.Equal, "note", "' OR '1'='1"), ""},
		{match(backends.Equal, "note", ""), "eel"},
		{match(backends.Equal, "bt_phones/number", "2"), "ant bear"},
		{match(backends.Present, "bt_phones/number", nil), "ant bear"},
		{join(backends.Not, match(backends.Equal, "bt_phones/number", "1")), "bear cat eel"},
		// An empty column does not equal anything, so Not finds it.
		{join(backends.Not, match(backends.Equal, "age", int64(100))), "ant cat eel"},
		{join(backends.And, match(backends.Present, "age", nil), join(backends.Not, match(backends.Equal, "id", "ant"))), "bear cat"},
		{join(backends.Or, match(backends.Equal, "id", "eel"), match(backends.Equal, "id", "cat")), "cat eel"},
		{join(backends.And), "ant bear cat eel"},
		{join(backends.Or), ""},
	} {
		q := backends.Query{
			Table: "bt_people", Column: "id", Filter: test.filter, Attributes: []string{"id"},
			Children: map[string]string{"bt_phones": "person"},
		}
		var ids []string
		for _, entry := range f.found(t, q) {
			if fmt.Sprint(entry.Key) != text(entry.Values["id"])[0] {
				t.Fatalf("the row %v is called %v", entry.Values, entry.Key)
			}
			ids = append(ids, text(entry.Values["id"])...)
		}
		slices.Sort(ids)
		if got := strings.Join(ids, " "); got != test.expected {
			t.Errorf("%s finds %q, want %q", describe(test.filter), got, test.expected)
		}
	}
	bad := backends.Query{Table: "bt_people", Column: "id", Attributes: []string{"id"}}
	for _, filter := range []*backends.Filter{match("~", "note", "x"), join(backends.Not), match(backends.Present, "", nil), match(backends.Equal, "height", "1"), deepFilter(100_000)} {
		bad.Filter = filter
		f.searchError(t, bad, clacks.Invalid, clacks.Limit)
	}
}

func testTableKeys(t *testing.T, f Fixture) {
	for _, id := range []string{"a", "b", "c", "d"} {
		f.apply(t, insert(id, backends.Values{"bt_phones/number": list(id+"1", id+"2")}))
	}
	q := backends.Query{Table: "bt_people", Column: "id", Attributes: []string{"bt_phones/number"}, Children: row("").Children}
	for expected, keys := range map[string][]backends.Value{
		"a b c d": nil, "b d": list("d", "b", "nobody"), "": {}, "c": list("c", "c"),
	} {
		q.Keys = keys
		var ids []string
		for _, entry := range f.found(t, q) {
			id := fmt.Sprint(entry.Key)
			ids = append(ids, id)
			holds(t, entry, "bt_phones/number", id+"1", id+"2")
		}
		slices.Sort(ids)
		if got := strings.Join(ids, " "); got != expected {
			t.Errorf("keys %v find %q, want %q", keys, got, expected)
		}
	}
}

func testTablePages(t *testing.T, f Fixture) {
	var keys []backends.Value
	for i := range crowd {
		id := fmt.Sprintf("p%04d", i)
		keys = append(keys, id)
		f.apply(t, insert(id, nil))
	}
	q := backends.Query{Table: "bt_people", Column: "id", Attributes: []string{"name"}}
	for _, size := range []int{0, 100, 499, crowd, crowd + 1} {
		q.PageSize = size
		for _, q.Keys = range [][]backends.Value{nil, keys} {
			seen := map[backends.Value]bool{}
			for _, entry := range f.found(t, q) {
				if seen[entry.Key] {
					t.Fatalf("page size %d yields %v twice", size, entry.Key)
				}
				seen[entry.Key] = true
			}
			if len(seen) != crowd {
				t.Fatalf("page size %d yields %d rows, want %d", size, len(seen), crowd)
			}
		}
	}
	q.Keys, q.PageSize = nil, 100
	// Left before their end, and with reads inside: were anything kept, it would run out.
	for range 100 {
		n := 0
		for entry, err := range f.Backend.Search(t.Context(), q) {
			if err != nil {
				t.Fatal(err)
			}
			f.read(t, entry.Ref, "name")
			if n++; n == 3 {
				break
			}
		}
	}
}
