package mapping

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"clacks/backends"
	"clacks/definitions"
	"clacks/definitions/builtin"
	"clacks/internal/password"
)

// loaded loads definition files and compiles them; no problem is accepted.
func loaded(t testing.TB, sources ...definitions.Source) *Set {
	t.Helper()
	defs, problems := definitions.Load(sources, definitions.Options{Backends: sortedKeys(kinds)})
	if defs == nil || len(problems) > 0 {
		t.Fatalf("definitions: %v", told(problems))
	}
	set, problems := Compile(defs, Options{Kinds: kinds, PasswordScheme: password.SSHA})
	if set == nil || len(problems) > 0 {
		t.Fatalf("mapping: %v", told(problems))
	}
	if set.Definitions() != defs {
		t.Error("the set does not know what it was compiled from")
	}
	return set
}

// employees are the shipped types with the example's amendment.
func employees(t testing.TB) *Set {
	t.Helper()
	example, err := definitions.ReadPath("../examples/employees")
	if err != nil {
		t.Fatal(err)
	}
	return loaded(t, append(builtin.Sources(), example...)...)
}

func TestShippedTypes(t *testing.T) {
	set := loaded(t, builtin.Sources()...)
	for _, name := range []string{"User", "PosixGroup", "GroupOfNames", "OrganizationalUnit", "Organization", "DomainComponent", "Domain",
		"Locality", "Country", "PeopleContainer", "GroupContainer"} {
		if !slices.Contains(set.Bases(), name) {
			t.Errorf("no base type %s", name)
		}
	}
	if got := set.ExtensionsOf("User"); !reflect.DeepEqual(got, []string{"PosixUser", "ShadowUser"}) {
		t.Errorf("extensions of User: %v", got)
	}
	var follows []string
	for _, r := range set.ReferencesTo("User") {
		follows = append(follows, r.Type+"."+r.Attribute)
	}
	for _, want := range []string{"PosixGroup.memberUid", "GroupOfNames.member", "User.manager"} {
		if !slices.Contains(follows, want) {
			t.Errorf("references to User: %v, without %s", follows, want)
		}
	}
}

func TestEmployees(t *testing.T) {
	set := employees(t)
	s := shapeOf(t, set, "User", "PosixUser")
	row, ok := s.Source("SQL/employees")
	if !ok || row.Column != "login" || row.KeyAttribute != "uid" || !reflect.DeepEqual(row.Children, map[string]string{"phones": "employee"}) {
		t.Fatalf("source %+v", row)
	}
	if a := s.Attribute("displayName"); !a.Computed || !reflect.DeepEqual(a.Reads, []string{"givenName", "sn"}) {
		t.Errorf("displayName %+v", a)
	}
	if len(s.queries) != 0 {
		t.Errorf("reading a user needs %d queries; none should be", len(s.queries))
	}
	object := &Object{UUID: "u-1", Type: "User", Extensions: []string{"PosixUser"}, Values: Values{
		"uid": one("ada"), "cn": one("Ada L"), "sn": one("Lovelace"), "givenName": one("Ada"), "badgeNumber": one("B-1234"),
		"phones": list("11", "22"), "uidNumber": one(int64(1000)), "gidNumber": one(int64(100)), "userPassword": one("correct horse")}}
	if err := s.Defaults(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	if fields := append(s.CheckChanges(nil, object), must(s.Check(t.Context(), nil, object))...); len(fields) > 0 {
		t.Errorf("fields %v", fields)
	}
	states := outboundOf(t, s, nil, object)
	ldap := states["LDAP"].Touched
	if !reflect.DeepEqual(ldap["displayName"], one("Ada Lovelace")) || !reflect.DeepEqual(ldap["homeDirectory"], one("/home/ada")) ||
		!strings.HasPrefix(fmt.Sprint(ldap["userPassword"]), "[{SSHA}") || !reflect.DeepEqual(ldap["objectClass"], list("inetOrgPerson", "posixAccount")) {
		t.Errorf("entry %v", ldap)
	}
	if got, want := states["SQL/employees"], (backends.Values{"badge_number": one("B-1234"), "phones/number": list("11", "22")}); got.Key != "ada" || !reflect.DeepEqual(got.Touched, want) {
		t.Errorf("row %+v", got)
	}
	bad := &Object{Type: "User", Extensions: object.Extensions, Values: Values{"uid": one("a b"), "badgeNumber": one("1"), "mail": list("x"), "uidNumber": one(int64(-1))}}
	codes := []string{}
	for _, f := range must(s.Check(t.Context(), nil, bad)) {
		codes = append(codes, f.Attribute)
	}
	slices.Sort(codes)
	if want := []string{"badgeNumber", "cn", "gidNumber", "homeDirectory", "mail", "sn", "uid", "uidNumber"}; !reflect.DeepEqual(codes, want) {
		t.Errorf("wrong are %v, want %v", codes, want)
	}
}

// freeNumbers gives numbers out as the object service does: the smallest that nobody has.
type freeNumbers struct{ taken map[string][]int64 }

func (*freeNumbers) Object(context.Context, string, string, string) (*Object, error) { return nil, nil }

func (f *freeNumbers) NextNumber(_ context.Context, typeName, attribute string, from int64) (int64, error) {
	key := typeName + "." + attribute
	for slices.Contains(f.taken[key], from) {
		from++
	}
	f.taken[key] = append(f.taken[key], from)
	return from, nil
}

// A new POSIX user or group gets a free number, once, unless it brings its own.
func TestPosixNumbers(t *testing.T) {
	lookup := &freeNumbers{taken: map[string][]int64{"PosixUser.uidNumber": {10000, 10002}}}
	defs, problems := definitions.Load(builtin.Sources(), definitions.Options{Backends: sortedKeys(kinds)})
	if defs == nil {
		t.Fatal(told(problems))
	}
	set, problems := Compile(defs, Options{Kinds: kinds, Lookup: lookup})
	if set == nil || len(problems) > 0 {
		t.Fatal(told(problems))
	}
	user := func(values Values) *Object {
		s := shapeOf(t, set, "User", "PosixUser")
		o := &Object{Type: "User", Extensions: []string{"PosixUser"}, Values: Values{"uid": one("ada"), "cn": one("Ada"), "sn": one("L"), "gidNumber": one(int64(100))}}
		maps.Copy(o.Values, values)
		if err := s.ExtensionDefaults(t.Context(), o, "PosixUser"); err != nil {
			t.Fatal(err)
		}
		if fields := must(s.Check(t.Context(), nil, o)); len(fields) > 0 {
			t.Errorf("fields %v", fields)
		}
		if got := outboundOf(t, s, nil, o)["LDAP"].Touched["uidNumber"]; !reflect.DeepEqual(got, o.Values["uidNumber"]) {
			t.Errorf("stored is %v, not %v", got, o.Values["uidNumber"])
		}
		return o
	}
	for _, want := range []int64{10001, 10003, 10004} {
		if got := user(nil).Values["uidNumber"]; !reflect.DeepEqual(got, one(want)) {
			t.Errorf("got %v, want %d", got, want)
		}
	}
	if got := user(Values{"uidNumber": one(int64(42))}).Values["uidNumber"]; !reflect.DeepEqual(got, one(int64(42))) {
		t.Errorf("his own number became %v", got)
	}
	group := &Object{Type: "PosixGroup", Values: Values{"cn": one("staff")}}
	if err := shapeOf(t, set, "PosixGroup").Defaults(t.Context(), group); err != nil || !reflect.DeepEqual(group.Values["gidNumber"], one(int64(10000))) {
		t.Errorf("group: %v, %v", group.Values, err)
	}
	if want := []int64{10000, 10002, 10001, 10003, 10004}; !slices.Equal(lookup.taken["PosixUser.uidNumber"], want) {
		t.Errorf("taken are %v", lookup.taken)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestLaws: for generated objects of every shape, writing and reading back gives the object again, and writing what was
// read changes nothing; with backends that keep types and with those that know text only.
func TestLaws(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	set := employees(t)
	rich := compiled(t, append(directTypes(), displayedAs("Shown"))...)
	for _, of := range []*Set{set, rich} {
		for _, base := range of.Bases() {
			for _, extensions := range subsets(of.ExtensionsOf(base)) {
				s := shapeOf(t, of, base, extensions...)
				for range 20 {
					object := generate(random, s)
					checkLaws(t, s, object, func(e Entries) Entries { return e })
					checkLaws(t, s, object, asText)
				}
			}
		}
	}
}

// displayedAs is displayed under another name and with other object classes.
func displayedAs(name string) *definitions.Type {
	d := displayed()
	d.Name, d.Parameters[0] = name, parameters("LDAP", "objectClasses", strings.ToLower(name), "RDN", "uid")
	return d
}

func subsets(names []string) [][]string {
	sets := [][]string{nil}
	for _, name := range names {
		for _, s := range slices.Clone(sets) {
			sets = append(sets, append(slices.Clone(s), name))
		}
	}
	return sets
}

func checkLaws(t *testing.T, s *Shape, object *Object, store func(Entries) Entries) {
	t.Helper()
	states, err := s.Outbound(t.Context(), nil, object)
	if err != nil {
		t.Fatalf("%s: %v", object.Type, err)
	}
	got := inbound(t, s, store(After(nil, states)))
	for _, a := range s.Attributes() {
		if a.Readable && !a.Computed && !a.Equal(object.Values[a.Name], got[a.Name]) {
			t.Fatalf("%s.%s: wrote %v, read %v", object.Type, a.Name, object.Values[a.Name], got[a.Name])
		}
	}
	read := &Object{UUID: object.UUID, Type: object.Type, Extensions: object.Extensions, Values: got}
	again, err := s.Outbound(t.Context(), read, read)
	if err != nil || len(again) != 0 {
		t.Fatalf("%s: writing what was read changes %+v (%v)", object.Type, again, err)
	}
}

// asText is what a store yields that has no types: a directory whose schema is unknown.
func asText(entries Entries) Entries {
	stored := Entries{}
	for id, e := range entries {
		values := backends.Values{}
		for name, list := range e.Values {
			for _, v := range list {
				switch x := v.(type) {
				case bool:
					v = strings.ToUpper(fmt.Sprint(x))
				case time.Time:
					v = x.Format("20060102150405.999999") + "Z"
				case []byte:
					v = string(x)
				case int64:
					v = fmt.Sprint(x)
				}
				values[name] = append(values[name], v)
			}
		}
		stored[id] = &backends.Entry{Values: values}
	}
	return stored
}

// generate makes an object of a shape with random values; mandatory attributes and keys always have one.
func generate(r *rand.Rand, s *Shape) *Object {
	object := &Object{UUID: fmt.Sprint(r.Uint64()), Type: s.Type().Name, Extensions: s.Extensions(), Values: Values{}}
	for _, a := range s.Attributes() {
		if a.Computed || !a.Writable || !a.Mandatory && r.IntN(3) == 0 {
			continue
		}
		n := 1
		if a.MultiValue {
			n += r.IntN(4)
		}
		for range n {
			object.Values[a.Name] = append(object.Values[a.Name], generateValue(r, a))
		}
	}
	return object
}

func generateValue(r *rand.Rand, a *Attribute) any {
	switch a.Type {
	case definitions.Integer:
		return r.Int64() >> r.IntN(63)
	case definitions.Boolean:
		return r.IntN(2) == 0
	case definitions.Binary:
		b := make([]byte, 1+r.IntN(40))
		for i := range b {
			b[i] = byte(r.UintN(256))
		}
		return b
	case definitions.Date:
		return day(1+r.IntN(9999), time.Month(1+r.IntN(12)), 1+r.IntN(28))
	case definitions.Timestamp:
		return time.Unix(r.Int64N(1<<33), r.Int64N(1e6)*1000).UTC()
	case definitions.AnyType:
		return map[string]any{"a": []any{"x", nil, true}}
	default:
		alphabet := []rune("abcXYZ 019.,=+\\\"<>&'\t\n")
		if a.Type == definitions.UnicodeString {
			alphabet = append(alphabet, 'ä', 'ß', '漢', '🎉', '\u0301')
		}
		text := make([]rune, 1+r.IntN(20))
		for i := range text {
			text[i] = alphabet[r.IntN(len(alphabet))]
		}
		return string(text)
	}
}

// TestFirstVersion compiles the definition files of the system's first version. What they name that does not exist here is
// unavailable, and nothing else is wrong with them.
func TestFirstVersion(t *testing.T) {
	folder := filepath.Join("..", "..", "shared", "reference", "clacks", "objects")
	if _, err := os.Stat(folder); err != nil {
		t.Skip("the reference definitions are not here")
	}
	sources, err := definitions.ReadPath(folder)
	if err != nil {
		t.Fatal(err)
	}
	if len(sources) != 33 {
		t.Errorf("there are %d files", len(sources))
	}
	t.Run("alone", func(t *testing.T) { checkFirstVersion(t, sources) })
	t.Run("with the shipped types", func(t *testing.T) { checkFirstVersion(t, append(builtin.Sources(), sources...)) })
}

func checkFirstVersion(t *testing.T, sources []definitions.Source) {
	defs, loading := definitions.Load(sources, definitions.Options{Backends: sortedKeys(kinds)})
	if defs == nil {
		t.Fatalf("%s", strings.Join(told(loading), "\n"))
	}
	set, compiling := Compile(defs, Options{Kinds: kinds})
	if set == nil {
		t.Fatalf("%s", strings.Join(told(compiling), "\n"))
	}
	for _, p := range append(loading, compiling...) {
		if p.Severity != definitions.Warning || p.File == "" || p.Line < 1 {
			t.Errorf("%s", p)
		}
	}
	for _, base := range set.Bases() {
		for _, extensions := range append(subsets(set.ExtensionsOf(base))[:1], set.ExtensionsOf(base)) {
			shapeOf(t, set, base, extensions...)
		}
	}
	if !slices.Contains(set.Bases(), "User") || !slices.Contains(set.ExtensionsOf("User"), "PosixUser") {
		t.Errorf("bases %v", set.Bases())
	}
}

// TestConcurrent: one set serves many goroutines, shapes that nobody has asked for yet included.
func TestConcurrent(t *testing.T) {
	set := employees(t)
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 0))
			for range 4 {
				for _, extensions := range subsets(set.ExtensionsOf("User")) {
					slices.Reverse(extensions)
					s, err := set.Shape("User", extensions)
					if err != nil {
						t.Error(err)
						return
					}
					object := generate(random, s)
					if _, err := s.Check(t.Context(), nil, object); err != nil {
						t.Error(err)
					}
					states, err := s.Outbound(t.Context(), nil, object)
					if err != nil {
						t.Error(err)
					}
					if _, _, err := s.Inbound(t.Context(), After(nil, states)); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wait.Wait()
}
