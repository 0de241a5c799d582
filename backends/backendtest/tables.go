package backendtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"clacks"
	"clacks/backends"
)

var tableSections = []section{
	{"create and read", testTableCreate},
	{"create refused", testTableCreateRefused},
	{"read what is asked for", testTableWant},
	{"types of values", testTableTypes},
	{"odd values", testTableOddValues},
	{"keys that are numbers", testTableNumberKeys},
	{"modify value by value", testTableModify},
	{"modify refused as a whole", testTableModifyRefused},
	{"delete", testTableDelete},
	{"rename", testTableRename},
	{"large multi-values", testTableLarge},
	{"hostile names", testTableInjection},
	{"ownership of data", testTableOwnership},
	{"cancellation", testTableCancellation},
	{"ping and close", testTableClose},
}

// row names a row of bt_people with its child tables.
func row(id string) backends.Ref {
	return backends.Ref{
		Table: "bt_people", Column: "id", Key: id, Children: map[string]string{"bt_phones": "person", "bt_scores": "person"},
	}
}

// insert is the change that creates a row of bt_people.
func insert(id string, more backends.Values) backends.Change {
	values := backends.Values{"name": list("Name of " + id)}
	for attribute, list := range more {
		values[attribute] = list
	}
	return backends.Change{Op: backends.OpCreate, Ref: row(id), Add: values}
}

func remove(ref backends.Ref) backends.Change {
	return backends.Change{Op: backends.OpDelete, Ref: ref}
}

func testTableCreate(t *testing.T, f Fixture) {
	c := insert("ann", backends.Values{"note": list("hello"), "nick": {}, "bt_phones/number": list("1", "2")})
	f.apply(t, c)
	entry := f.read(t, c.Ref, "id", "name", "note", "nick", "bt_phones/number", "bt_scores/points")
	holds(t, entry, "id", "ann")
	holds(t, entry, "name", "Name of ann")
	holds(t, entry, "note", "hello")
	holds(t, entry, "nick")
	holds(t, entry, "bt_phones/number", "1", "2")
	holds(t, entry, "bt_scores/points")
	if entry.Table != "bt_people" || entry.Column != "id" || entry.Key != "ann" {
		t.Fatalf("the row is called %+v", entry.Ref)
	}
}

func testTableCreateRefused(t *testing.T, f Fixture) {
	c := insert("ann", backends.Values{"nick": list("A"), "bt_phones/number": list("1")})
	f.apply(t, c)
	f.refuse(t, insert("ann", backends.Values{"note": list("second")}), clacks.NotUnique)
	holds(t, f.read(t, c.Ref, "note"), "note")
	f.refuse(t, insert("bob", backends.Values{"nick": list("A"), "bt_phones/number": list("9")}), clacks.NotUnique)
	f.missing(t, row("bob"))

	bad := map[string]backends.Values{
		"mandatory column":    {"name": {}},
		"check":               {"age": {int64(-1)}},
		"wrong type":          {"age": list("many")},
		"no such column":      {"height": {int64(2)}},
		"no such child table": {"bt_nothing/x": list("1")},
		"no such child col":   {"bt_phones/colour": list("1")},
		"child wrong type":    {"bt_scores/points": list("many")},
		"two in one column":   {"note": list("one", "two")},
		"foreign Go type":     {"note": {struct{}{}}},
	}
	for what, values := range bad {
		_, err := f.Backend.Apply(t.Context(), insert("bob", values))
		want(t, what, err, clacks.Invalid)
		f.missing(t, row("bob"))
	}
	// The same number twice: nothing of the row may stay.
	f.refuse(t, insert("bob", backends.Values{"bt_phones/number": list("7", "7")}), clacks.Conflict, clacks.NotUnique)
	f.missing(t, row("bob"))
	var e *clacks.Error
	_, err := f.Backend.Apply(t.Context(), insert("bob", bad["mandatory column"]))
	if errors.As(err, &e); len(e.Fields) > 0 && e.Fields[0].Attribute != "name" {
		t.Fatalf("the field is %+v, want name", e.Fields)
	}
	f.refuse(t, backends.Change{Op: "explode", Ref: row("bob")}, clacks.Invalid)
	f.refuse(t, backends.Change{Op: backends.OpCreate, Ref: backends.Ref{DN: "cn=x"}}, clacks.Invalid)
}

func testTableWant(t *testing.T, f Fixture) {
	c := insert("ann", backends.Values{"note": list("hello"), "bt_phones/number": list("1")})
	f.apply(t, c)
	f.missing(t, row("nobody"))
	entry := f.read(t, c.Ref, "NOTE", "Name", "BT_Phones/Number", "age")
	holds(t, entry, "NOTE", "hello")
	holds(t, entry, "Name", "Name of ann")
	holds(t, entry, "BT_Phones/Number", "1")
	holds(t, entry, "age")
	for attribute := range entry.Values {
		if !slices.Contains([]string{"NOTE", "Name", "BT_Phones/Number", "age"}, attribute) {
			t.Fatalf("%q was not asked for", attribute)
		}
	}
	all := f.read(t, c.Ref, "*")
	holds(t, all, "note", "hello")
	holds(t, all, "name", "Name of ann")
	if got := f.read(t, c.Ref); len(got.Values) != 0 {
		t.Fatalf("nothing was asked for, yet: %v", got.Values)
	}
	_, err := f.Backend.Read(t.Context(), c.Ref, []string{"height"})
	want(t, "read a column that does not exist", err, clacks.Invalid)
}

func testTableTypes(t *testing.T, f Fixture) {
	born := time.Date(1985, 4, 12, 23, 20, 50, 123456000, time.UTC)
	c := insert("ann", backends.Values{
		"age": {int64(1) << 60}, "score": {2.5}, "active": {true}, "born": {born.In(time.FixedZone("", 7200))}, "photo": {[]byte{0, 255, 1}},
		"bt_scores/points": {int64(3), int64(-4)},
	})
	f.apply(t, c)
	entry := f.read(t, c.Ref, "age", "score", "active", "born", "photo", "bt_scores/points")
	holds(t, entry, "age", int64(1)<<60)
	holds(t, entry, "score", 2.5)
	holds(t, entry, "active", true)
	holds(t, entry, "born", born)
	holds(t, entry, "photo", []byte{0, 255, 1})
	holds(t, entry, "bt_scores/points", int64(3), int64(-4))

	// All Go types are accepted where they can be converted to the column's.
	f.apply(t, insert("bob", backends.Values{
		"age": list("42"), "score": {int64(3)}, "active": list("false"), "born": list("2026-01-02T03:04:05Z"), "photo": list("text"),
		"note": {int64(7)}, "bt_scores/points": list("5"), "bt_phones/number": {int64(110)},
	}))
	entry = f.read(t, row("bob"), "age", "score", "active", "born", "photo", "note", "bt_scores/points", "bt_phones/number")
	holds(t, entry, "age", int64(42))
	holds(t, entry, "score", 3.0)
	holds(t, entry, "active", false)
	holds(t, entry, "born", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	holds(t, entry, "photo", []byte("text"))
	holds(t, entry, "note", "7")
	holds(t, entry, "bt_scores/points", int64(5))
	holds(t, entry, "bt_phones/number", "110")
}

func testTableOddValues(t *testing.T, f Fixture) {
	odd := append(slices.Clone(oddNames), "", " ", " lead", "trail ", "NULL", "null", "$1", "?", "--", "line\nbreak", "é vs é")
	for i, value := range odd {
		id := fmt.Sprintf("%d %s", i, value)
		f.apply(t, insert(id, backends.Values{"note": list(value), "bt_phones/number": list(value)}))
		entry := f.read(t, row(id), "note", "bt_phones/number")
		holds(t, entry, "note", value)
		holds(t, entry, "bt_phones/number", value)
		f.apply(t, modify(row(id),
			backends.Mod{Attribute: "note", Delete: list(value), Add: list(value + "!")},
			backends.Mod{Attribute: "bt_phones/number", Delete: list(value)}))
		entry = f.read(t, row(id), "note", "bt_phones/number")
		holds(t, entry, "note", value+"!")
		holds(t, entry, "bt_phones/number")
	}
	f.apply(t, insert("photo", backends.Values{"photo": {[]byte{}}}))
	holds(t, f.read(t, row("photo"), "photo"), "photo", []byte{})
}

func testTableNumberKeys(t *testing.T, f Fixture) {
	number := func(key backends.Value) backends.Ref {
		return backends.Ref{Table: "bt_numbers", Column: "id", Key: key}
	}
	f.apply(t, backends.Change{Op: backends.OpCreate, Ref: number(int64(5)), Add: backends.Values{"label": list("five")}})
	holds(t, f.read(t, number(int64(5)), "label"), "label", "five")
	holds(t, f.read(t, number("5"), "label"), "label", "five")
	f.missing(t, number(int64(6)))
	f.refuse(t, backends.Change{Op: backends.OpCreate, Ref: number("5")}, clacks.NotUnique)
	f.apply(t, remove(number(int64(5))))
}

func testTableModify(t *testing.T, f Fixture) {
	c := insert("ann", backends.Values{"note": list("old"), "age": {int64(1)}, "bt_phones/number": list("1", "2")})
	f.apply(t, c)
	f.apply(t, modify(c.Ref,
		backends.Mod{Attribute: "note", Delete: list("old"), Add: list("new")},
		backends.Mod{Attribute: "AGE", Delete: []backends.Value{int64(1)}},
		backends.Mod{Attribute: "score", Add: []backends.Value{1.5}},
		backends.Mod{Attribute: "bt_phones/number", Delete: list("1"), Add: list("3", "4")},
		backends.Mod{Attribute: "bt_scores/points", Add: []backends.Value{int64(10)}},
		backends.Mod{Attribute: "nick"},
	))
	entry := f.read(t, c.Ref, "note", "age", "score", "bt_phones/number", "bt_scores/points", "nick")
	holds(t, entry, "note", "new")
	holds(t, entry, "age")
	holds(t, entry, "score", 1.5)
	holds(t, entry, "bt_phones/number", "2", "3", "4")
	holds(t, entry, "bt_scores/points", int64(10))
	holds(t, entry, "nick")
	// Only child rows, and nothing at all.
	f.apply(t, modify(c.Ref, backends.Mod{Attribute: "bt_phones/number", Delete: list("2"), Add: list("2")}))
	f.apply(t, modify(c.Ref))
	f.refuse(t, modify(row("nobody")), clacks.NotFound)
	f.refuse(t, modify(row("nobody"), backends.Mod{Attribute: "note", Add: list("x")}), clacks.NotFound)
	f.refuse(t, modify(row("nobody"), backends.Mod{Attribute: "bt_phones/number", Add: list("x")}), clacks.NotFound)
}

func testTableModifyRefused(t *testing.T, f Fixture) {
	c := insert("ann", backends.Values{"note": list("old"), "nick": list("A"), "bt_phones/number": list("1", "2")})
	f.apply(t, c)
	f.apply(t, insert("bob", backends.Values{"nick": list("B")}))
	fine := backends.Mod{Attribute: "age", Add: []backends.Value{int64(5)}}
	fineChild := backends.Mod{Attribute: "bt_phones/number", Add: list("9")}
	for _, test := range []struct {
		what string
		mod  backends.Mod
		kind clacks.Kind
	}{
		{"adding what is there", backends.Mod{Attribute: "note", Add: list("old")}, clacks.Conflict},
		{"adding to a full column", backends.Mod{Attribute: "note", Add: list("more")}, clacks.Conflict},
		{"deleting what is not there", backends.Mod{Attribute: "note", Delete: list("other")}, clacks.Conflict},
		{"deleting from an empty column", backends.Mod{Attribute: "score", Delete: []backends.Value{1.0}}, clacks.Conflict},
		{"replacing what is not there", backends.Mod{Attribute: "note", Delete: list("other"), Add: list("x")}, clacks.Conflict},
		{"adding a row that is there", backends.Mod{Attribute: "bt_phones/number", Add: list("3", "1")}, clacks.Conflict},
		{"deleting a row that is not", backends.Mod{Attribute: "bt_phones/number", Delete: list("1", "7")}, clacks.Conflict},
		{"a unique value that is taken", backends.Mod{Attribute: "nick", Delete: list("A"), Add: list("B")}, clacks.NotUnique},
		{"deleting a mandatory one", backends.Mod{Attribute: "name", Delete: list("Name of ann")}, clacks.Invalid},
		{"wrong type", backends.Mod{Attribute: "score", Add: list("much")}, clacks.Invalid},
		{"no such column", backends.Mod{Attribute: "height", Add: list("1")}, clacks.Invalid},
	} {
		for _, mods := range [][]backends.Mod{{fine, fineChild, test.mod}, {test.mod, fineChild, fine}} {
			_, err := f.Backend.Apply(t.Context(), modify(c.Ref, mods...))
			want(t, test.what, err, test.kind)
			entry := f.read(t, c.Ref, "name", "note", "nick", "age", "score", "bt_phones/number")
			holds(t, entry, "name", "Name of ann")
			holds(t, entry, "note", "old")
			holds(t, entry, "nick", "A")
			holds(t, entry, "age")
			holds(t, entry, "score")
			holds(t, entry, "bt_phones/number", "1", "2")
		}
	}
}

func testTableDelete(t *testing.T, f Fixture) {
	c := insert("ann", backends.Values{"bt_phones/number": list("1", "2")})
	f.apply(t, c)
	card := backends.Change{Op: backends.OpCreate, Ref: backends.Ref{Table: "bt_cards", Column: "id", Key: "c1"}, Add: backends.Values{"owner": list("ann")}}
	f.apply(t, card)
	f.refuse(t, remove(c.Ref), clacks.InUse)
	holds(t, f.read(t, c.Ref, "bt_phones/number"), "bt_phones/number", "1", "2")
	f.apply(t, remove(card.Ref))
	f.apply(t, remove(c.Ref))
	f.missing(t, c.Ref)
	f.refuse(t, remove(c.Ref), clacks.NotFound)
	// The rows of the child tables went too.
	f.apply(t, insert("ann", nil))
	holds(t, f.read(t, c.Ref, "bt_phones/number"), "bt_phones/number")
}

func testTableRename(t *testing.T, f Fixture) {
	c := insert("ann", backends.Values{"note": list("kept"), "bt_phones/number": list("1", "2")})
	f.apply(t, c)
	f.apply(t, insert("bob", nil))
	change := backends.Change{Op: backends.OpRename, Ref: c.Ref, To: row("anna")}
	if !f.Backend.Capabilities().Rename {
		f.refuse(t, change, clacks.Invalid)
		f.read(t, c.Ref, "note")
		f.missing(t, row("anna"))
		return
	}
	f.apply(t, change)
	f.missing(t, c.Ref)
	entry := f.read(t, row("anna"), "note", "bt_phones/number")
	holds(t, entry, "note", "kept")
	holds(t, entry, "bt_phones/number", "1", "2")
	f.refuse(t, change, clacks.NotFound)
	f.refuse(t, backends.Change{Op: backends.OpRename, Ref: row("anna"), To: row("bob")}, clacks.NotUnique)
	holds(t, f.read(t, row("anna"), "bt_phones/number"), "bt_phones/number", "1", "2")
	stale := backends.Change{Op: backends.OpRename, Ref: row("anna"), To: row("ann"), Guard: backends.Guard{Old: backends.Values{"note": list("x")}}}
	f.refuse(t, stale, clacks.Conflict)
	f.missing(t, row("ann"))
}

func testTableLarge(t *testing.T, f Fixture) {
	numbers := make([]string, 2000)
	for i := range numbers {
		numbers[i] = fmt.Sprintf("%04d", i)
	}
	c := insert("ann", backends.Values{"bt_phones/number": list(numbers...)})
	f.apply(t, c)
	more := make([]string, 2000)
	for i := range more {
		more[i] = fmt.Sprintf("+%04d", i)
	}
	f.apply(t, modify(c.Ref, backends.Mod{Attribute: "bt_phones/number", Delete: list(numbers[:1500]...), Add: list(more...)}))
	holds(t, f.read(t, c.Ref, "bt_phones/number"), "bt_phones/number", list(append(slices.Clone(numbers[1500:]), more...)...)...)
}

// testTableInjection tries names of tables and columns that would do harm if they were pasted into a statement.
func testTableInjection(t *testing.T, f Fixture) {
	f.apply(t, insert("ann", backends.Values{"note": list("here")}))
	for _, bad := range []string{
		`bt_people"; DROP TABLE bt_people; --`, `bt_people; DROP TABLE bt_people`, `bt_people WHERE 1=1 OR id`, `(SELECT 1)`, ``, "bt_people\x00", `a"b`, `a'b`,
		`bt_people"."note`,
	} {
		ref := row("ann")
		ref.Table = bad
		_, err := f.Backend.Read(t.Context(), ref, []string{"note"})
		want(t, "table "+bad, err, clacks.Invalid, clacks.NotFound)
		ref = row("ann")
		ref.Column = bad
		f.refuse(t, remove(ref), clacks.Invalid)
		if bad != "" {
			f.refuse(t, modify(row("ann"), backends.Mod{Attribute: bad, Add: list("1")}), clacks.Invalid)
			f.refuse(t, modify(row("ann"), backends.Mod{Attribute: "bt_phones/" + bad, Add: list("1")}), clacks.Invalid)
		}
		f.searchError(t, backends.Query{Table: "bt_people", Column: "id", Attributes: []string{"note"},
			Filter: &backends.Filter{Op: backends.Equal, Attribute: bad, Value: "1"}}, clacks.Invalid)
		holds(t, f.read(t, row("ann"), "note"), "note", "here")
	}
	f.missing(t, row("' OR '1'='1"))
}

func testTableOwnership(t *testing.T, f Fixture) {
	photo := []byte{1, 2, 3}
	c := insert("ann", backends.Values{"photo": {photo}, "bt_phones/number": list("1", "2")})
	kept := insert("ann", backends.Values{"photo": {bytes.Clone(photo)}, "bt_phones/number": list("1", "2")})
	f.apply(t, c)
	if !reflect.DeepEqual(c, kept) {
		t.Fatalf("Apply changed its argument: %+v", c)
	}
	photo[0] = 99
	c.Add["bt_phones/number"][0] = "changed"
	first := f.read(t, row("ann"), "photo", "bt_phones/number")
	holds(t, first, "photo", []byte{1, 2, 3})
	first.Values["photo"][0].([]byte)[1] = 99
	first.Values["bt_phones/number"][0] = "changed"
	second := f.read(t, row("ann"), "photo", "bt_phones/number")
	holds(t, second, "photo", []byte{1, 2, 3})
	holds(t, second, "bt_phones/number", "1", "2")
}

func testTableCancellation(t *testing.T, f Fixture) {
	f.apply(t, insert("ann", nil))
	expired, cancelExpired := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancelExpired()
	canceled, cancel := canceledContext(t)
	defer cancel()
	for cause, ctx := range map[error]context.Context{context.Canceled: canceled, context.DeadlineExceeded: expired} {
		_, err := f.Backend.Read(ctx, row("ann"), []string{"*"})
		want(t, "read", err, clacks.Unavailable)
		if !errors.Is(err, cause) {
			t.Fatalf("read: %v does not wrap %v", err, cause)
		}
		_, err = f.Backend.Apply(ctx, insert("bob", nil))
		want(t, "create", err, clacks.Unavailable)
		f.missing(t, row("bob"))
		want(t, "ping", f.Backend.Ping(ctx), clacks.Unavailable)
		var failure error
		for _, err := range f.Backend.Search(ctx, backends.Query{Table: "bt_people", Column: "id", Attributes: []string{"name"}}) {
			if failure != nil {
				t.Fatal("a search goes on after its error")
			}
			failure = err
		}
		want(t, "search", failure, clacks.Unavailable)
	}
	f.read(t, row("ann"), "name")
}

func testTableClose(t *testing.T, f Fixture) {
	if err := f.Backend.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := f.Backend.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := f.Backend.Read(t.Context(), row("ann"), []string{"*"})
	want(t, "read after Close", err, clacks.Unavailable)
	_, err = f.Backend.Apply(t.Context(), insert("ann", nil))
	want(t, "create after Close", err, clacks.Unavailable)
	want(t, "ping after Close", f.Backend.Ping(t.Context()), clacks.Unavailable)
	if err := f.Backend.Close(); err != nil {
		t.Fatalf("a second Close: %v", err)
	}
}
