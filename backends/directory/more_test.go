package directory

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
	"clacks/internal/password"
)

func create(t *testing.T, b *Backend, name string, values backends.Values) backends.Result {
	t.Helper()
	result, err := b.Apply(t.Context(), backends.Change{Op: backends.OpCreate, Ref: backends.Ref{DN: name}, Add: values})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func person(more backends.Values) backends.Values {
	values := backends.Values{"objectClass": {"inetOrgPerson"}, "sn": {"S"}}
	for name, list := range more {
		values[name] = list
	}
	return values
}

// wrong makes a change that the schema must refuse, and returns what it says by attribute.
func wrong(t *testing.T, b *Backend, c backends.Change) map[string]string {
	t.Helper()
	_, err := b.Apply(t.Context(), c)
	var e *clacks.Error
	if !errors.As(err, &e) || e.Kind != clacks.Invalid {
		t.Fatalf("%+v: %v", c, err)
	}
	codes := map[string]string{}
	for _, f := range e.Fields {
		codes[f.Attribute] = f.Code
	}
	return codes
}

func TestSchemaNamesEveryAttribute(t *testing.T) {
	b := open(t, Options{})
	name := "cn=A," + base
	for _, c := range []struct {
		values backends.Values
		want   map[string]string
	}{
		{backends.Values{"objectClass": {"inetOrgPerson"}, "gidNumber": {int64(1)}, "displayName": {"a"}},
			map[string]string{"sn": clacks.CodeMandatory, "gidNumber": clacks.CodeUnknown}},
		{person(backends.Values{"displayName": {"a", "b"}, "shoeSize": {"44"}, "mail": {"ä"}}),
			map[string]string{"displayName": clacks.CodeSingle, "shoeSize": clacks.CodeUnknown, "mail": clacks.CodeType}},
		{backends.Values{"cn": {"A"}}, map[string]string{"objectClass": clacks.CodeMandatory}},
		{backends.Values{"objectClass": {"posixAccount"}, "uid": {"a"}, "uidNumber": {int64(1)}, "gidNumber": {int64(1)}, "homeDirectory": {"/"}},
			map[string]string{"objectClass": clacks.CodeValues}},
		{person(backends.Values{"objectClass": {"inetOrgPerson", "device"}}), map[string]string{"objectClass": clacks.CodeValues}},
		{person(backends.Values{"objectClass": {"inetOrgPerson", "martian"}}), map[string]string{"objectClass": clacks.CodeValues}},
	} {
		got := wrong(t, b, backends.Change{Op: backends.OpCreate, Ref: backends.Ref{DN: name}, Add: c.values})
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%v: %v, want %v", c.values, got, c.want)
		}
	}
	create(t, b, name, person(nil))
	modify := func(mods ...backends.Mod) backends.Change {
		return backends.Change{Op: backends.OpModify, Ref: backends.Ref{DN: name}, Mods: mods}
	}
	if got := wrong(t, b, modify(backends.Mod{Attribute: "cn", Delete: []backends.Value{"a"}, Add: []backends.Value{"B"}})); got["cn"] != clacks.CodeCheck {
		t.Errorf("the naming value was taken away: %v", got)
	}
	if got := wrong(t, b, modify(backends.Mod{Attribute: "objectClass", Delete: []backends.Value{"inetOrgPerson"}, Add: []backends.Value{"person"}})); got["objectClass"] == "" {
		t.Errorf("the structural class was changed: %v", got)
	}
	if got := wrong(t, b, modify(backends.Mod{Attribute: "entryUUID", Add: []backends.Value{"x"}})); got["entryUUID"] == "" {
		t.Errorf("an operational attribute was written: %v", got)
	}
}

func TestExtraSchema(t *testing.T) {
	b := open(t, Options{ExtraAttributes: []string{"shoeSize"}, ExtraClasses: []string{"wearer"}})
	create(t, b, "cn=A,"+base, person(backends.Values{"objectClass": {"inetOrgPerson", "wearer"}, "shoeSize": {int64(44)}}))
	create(t, b, "shoeSize=45,"+base, backends.Values{"objectClass": {"Wearer"}})
	e, err := b.Read(t.Context(), backends.Ref{DN: "SHOESIZE=45," + base}, []string{"*"})
	if err != nil || !reflect.DeepEqual(e.Values["shoeSize"], []backends.Value{"45"}) {
		t.Errorf("%v, %v", e, err)
	}
	if _, err := Open(t.Context(), "sqlite::memory:", Options{ExtraAttributes: []string{"a b"}}); !clacks.IsKind(err, clacks.Invalid) {
		t.Error(err)
	}
}

func TestExtendWhileOpen(t *testing.T) {
	b := open(t, Options{})
	values := person(backends.Values{"objectClass": {"inetOrgPerson", "wearer"}, "shoeSize": {"44"}})
	if _, err := b.Apply(t.Context(), backends.Change{Op: backends.OpCreate, Ref: backends.Ref{DN: "cn=A," + base}, Add: values}); !clacks.IsKind(err, clacks.Invalid) {
		t.Fatalf("an unknown class was accepted: %v", err)
	}
	if err := b.Extend(Options{ExtraAttributes: []string{"shoeSize", "CN"}, ExtraClasses: []string{"wearer"}}); err != nil {
		t.Fatal(err)
	}
	create(t, b, "cn=A,"+base, values)
	if err := b.Extend(Options{ExtraAttributes: []string{"a b"}}); !clacks.IsKind(err, clacks.Invalid) {
		t.Error(err)
	}
	if _, err := b.Read(t.Context(), backends.Ref{DN: "CN=a," + base}, []string{"shoeSize"}); err != nil {
		t.Errorf("after a refused extension: %v", err)
	}
}

func TestBootstrap(t *testing.T) {
	b := open(t, Options{})
	for _, suffix := range []string{base, "o=Some\\, Inc.", "ou=x", "c=DE", "l=here"} {
		for range 2 {
			if err := b.Bootstrap(t.Context(), suffix); err != nil {
				t.Errorf("%s: %v", suffix, err)
			}
		}
	}
	if err := b.Bootstrap(t.Context(), "cn=x"); !clacks.IsKind(err, clacks.Invalid) {
		t.Error(err)
	}
	_, err := b.Apply(t.Context(), backends.Change{Op: backends.OpCreate, Ref: backends.Ref{DN: "dc=other"},
		Add: backends.Values{"objectClass": {"domain"}}})
	if !clacks.IsKind(err, clacks.NotFound) {
		t.Errorf("a second suffix by the way: %v", err)
	}
}

func TestRestartAndTwoProcesses(t *testing.T) {
	url := "sqlite:" + t.TempDir() + "/directory.db"
	one, err := Open(t.Context(), url, Options{})
	if err != nil {
		t.Fatal(err)
	}
	two, err := Open(t.Context(), url, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := one.Bootstrap(t.Context(), base); err != nil {
		t.Fatal(err)
	}
	created := create(t, two, "cn=A,"+base, person(backends.Values{"jpegPhoto": {[]byte{0, 0xff}}}))
	for _, b := range []*Backend{one, two} {
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	three, err := Open(t.Context(), url, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer three.Close() //nolint:errcheck // nothing was written
	e, err := three.Read(t.Context(), backends.Ref{DN: "cn=a," + base}, []string{"jpegPhoto"})
	if err != nil || e.Version != created.Version || !reflect.DeepEqual(e.Values["jpegPhoto"], []backends.Value{[]byte{0, 0xff}}) {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestVersionsGrowWhenTheClockDoesNot(t *testing.T) {
	b := open(t, Options{})
	now := time.Date(2024, 1, 2, 3, 4, 5, 6000, time.UTC)
	b.now = func() time.Time { return now }
	last := create(t, b, "cn=A,"+base, person(nil)).Version
	for i := range 20 {
		now = now.Add(-time.Second)
		result, err := b.Apply(t.Context(), backends.Change{Op: backends.OpModify, Ref: backends.Ref{DN: "cn=A," + base},
			Mods: []backends.Mod{{Attribute: "title", Add: []backends.Value{fmt.Sprint(i)}}}, Guard: backends.Guard{Version: last}})
		if err != nil || result.Version <= last {
			t.Fatalf("%q after %q, %v", result.Version, last, err)
		}
		last = result.Version
	}
}

func TestOperationalAttributes(t *testing.T) {
	b := open(t, Options{})
	create(t, b, "cn=A,"+base, person(nil))
	want := []string{"entryUUID", "entryCSN", "entryDN", "structuralObjectClass", "createTimestamp", "modifyTimestamp"}
	e, err := b.Read(t.Context(), backends.Ref{DN: "cn=A," + base}, want)
	if err != nil || len(e.Values) != len(want) || e.Values["entryUUID"][0] != e.UUID || e.Values["structuralObjectClass"][0] != "inetOrgPerson" {
		t.Errorf("%+v, %v", e, err)
	}
	if _, ok := e.Values["createTimestamp"][0].(time.Time); !ok {
		t.Errorf("createTimestamp is %v", e.Values["createTimestamp"])
	}
	n := 0
	q := backends.Query{Scope: backends.ScopeSub, Filter: &backends.Filter{Op: backends.Equal, Attribute: "entryUUID", Value: e.UUID}}
	for found, err := range b.Search(t.Context(), q) {
		if n++; err != nil || found.UUID != e.UUID {
			t.Error(found, err)
		}
	}
	if n != 1 {
		t.Errorf("entryUUID finds %d entries", n)
	}
}

// TestIndexFollows looks for a value that was changed, renamed and removed: the index must always agree with the entries.
func TestIndexFollows(t *testing.T) {
	b := open(t, Options{})
	find := func(attribute string, value backends.Value) []string {
		var names []string
		f := &backends.Filter{Op: backends.And, Of: []*backends.Filter{
			{Op: backends.Present, Attribute: "objectClass"}, {Op: backends.Equal, Attribute: attribute, Value: value}}}
		for e, err := range b.Search(t.Context(), backends.Query{Base: base, Scope: backends.ScopeSub, Filter: f}) {
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, e.DN)
		}
		return names
	}
	long := strings.Repeat("x", 1000)
	create(t, b, "cn=A,"+base, person(backends.Values{"mail": {"a@x", long}, "cn;lang-de": {"Ä"}}))
	create(t, b, "cn=B,cn=A,"+base, person(backends.Values{"mail": {"A@X"}}))
	for _, c := range []struct {
		attribute, value string
		want             int
	}{{"mail", "A@x", 2}, {"mail", long, 1}, {"mail", long + "y", 0}, {"cn", "ä", 1}, {"rfc822Mailbox", "a@x", 2}} {
		if got := find(c.attribute, c.value); len(got) != c.want {
			t.Errorf("%s = %.10s finds %v", c.attribute, c.value, got)
		}
	}
	apply := func(c backends.Change) {
		t.Helper()
		if _, err := b.Apply(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	apply(backends.Change{Op: backends.OpRename, Ref: backends.Ref{DN: "cn=a," + base}, To: backends.Ref{DN: "cn=Ann," + base}})
	if got := find("cn", "b"); !slices.Equal(got, []string{"cn=B,cn=Ann," + base}) {
		t.Errorf("below the renamed: %v", got)
	}
	if len(find("cn", "a")) != 0 || len(find("cn", "ann")) != 1 {
		t.Error("the index keeps the old name")
	}
	apply(backends.Change{Op: backends.OpDelete, Ref: backends.Ref{DN: "cn=B,cn=Ann," + base}})
	apply(backends.Change{Op: backends.OpModify, Ref: backends.Ref{DN: "cn=Ann," + base}, Mods: []backends.Mod{{Attribute: "mail", Delete: []backends.Value{"a@x", long}}}})
	if got := find("mail", "a@x"); len(got) != 0 {
		t.Errorf("removed values are found: %v", got)
	}
}

// TestPlans proves that no statement of the hot paths looks at more rows than it needs, however many there are.
func TestPlans(t *testing.T) {
	b := open(t, Options{})
	for text, args := range map[string][]any{
		"SELECT " + columns + " FROM directory_entries e WHERE e.path = ?":                                                        {"x"},
		"SELECT " + columns + " FROM directory_entries e WHERE e.uuid = ?":                                                        {"x"},
		"SELECT 1 FROM directory_entries WHERE parent = ? LIMIT 1":                                                                {"x"},
		"SELECT 1 FROM directory_entries WHERE path = ? AND uuid <> ?":                                                            {"x", "y"},
		"SELECT " + columns + " FROM directory_entries e WHERE e.parent = ? AND e.path > ? ORDER BY e.path LIMIT ?":               {"x", "", int64(1)},
		"SELECT " + columns + " FROM directory_entries e WHERE e.path >= ? AND e.path < ? AND e.path > ? ORDER BY e.path LIMIT ?": {"x", "y", "", int64(1)},
	} {
		err := b.db.Query(t.Context(), "EXPLAIN QUERY PLAN "+text, args, func(scan func(...any) error) error {
			var id, parent, unused int64
			var detail string
			if err := scan(&id, &parent, &unused, &detail); err != nil {
				return err
			}
			if !strings.HasPrefix(detail, "SEARCH ") {
				t.Errorf("%s: %s", text, detail)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestBindSchemes(t *testing.T) {
	b := open(t, Options{})
	for i, scheme := range []password.Scheme{password.Argon2, password.SSHA512, password.Crypt} {
		hash, err := password.Hash(scheme, "secret")
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("cn=%d,%s", i, base)
		create(t, b, name, person(backends.Values{"userPassword": {"{SSHA}broken", hash}}))
		if err := b.Bind(t.Context(), name, "secret"); err != nil {
			t.Errorf("%s: %v", scheme, err)
		}
		if err := b.Bind(t.Context(), name, "{SSHA}broken"); !clacks.IsKind(err, clacks.Unauthenticated) {
			t.Errorf("%s: %v", scheme, err)
		}
	}
	create(t, b, "cn=plain,"+base, person(backends.Values{"userPassword": {"open"}}))
	if err := b.Bind(t.Context(), "cn=plain,"+base, "open"); err != nil {
		t.Error(err)
	}
}

func FuzzUnmarshal(f *testing.F) {
	s, err := newSchema(Options{})
	if err != nil {
		f.Fatal(err)
	}
	d, _ := s.describe("description;lang-de")
	f.Add((&record{attributes: []attribute{{d, []string{"a", ""}}}}).marshal())
	f.Add([]byte{1, 'x', 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := s.unmarshal(data)
		if err != nil {
			return
		}
		again, err := s.unmarshal((&record{attributes: list}).marshal())
		if err != nil || len(again) != len(list) {
			t.Fatalf("%v becomes %v, %v", list, again, err)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	d, err := Open(b.Context(), "sqlite::memory:", Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close() //nolint:errcheck // in memory
	if err := d.Bootstrap(b.Context(), base); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Read(b.Context(), backends.Ref{DN: base}, []string{"dc", "objectClass"}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCreate makes entries among few and among many siblings: the cost must be the same.
func BenchmarkCreate(b *testing.B) {
	for _, siblings := range []int{10, 20_000} {
		b.Run(fmt.Sprint(siblings), func(b *testing.B) {
			d, err := Open(b.Context(), "sqlite::memory:", Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer d.Close() //nolint:errcheck // in memory
			if err := d.Bootstrap(b.Context(), base); err != nil {
				b.Fatal(err)
			}
			create := func(i int) {
				_, err := d.Apply(b.Context(), backends.Change{Op: backends.OpCreate, Ref: backends.Ref{DN: fmt.Sprintf("cn=u%d,%s", i, base)}, Add: person(nil)})
				if err != nil {
					b.Fatal(err)
				}
			}
			for i := range siblings {
				create(i)
			}
			for i := siblings; b.Loop(); i++ {
				create(i)
			}
		})
	}
}
