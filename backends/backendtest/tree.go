package backendtest

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"clacks"
	"clacks/backends"
)

var treeSections = []section{
	{"create and read", testTreeCreate},
	{"create refused", testTreeCreateRefused},
	{"read what is asked for", testTreeWant},
	{"uuid", testTreeUUID},
	{"modify value by value", testTreeModify},
	{"modify refused as a whole", testTreeModifyRefused},
	{"modify without mods", testTreeModifyNothing},
	{"one attribute under several names", testTreeNames},
	{"equality of values", testTreeEquality},
	{"types of values", testTreeTypes},
	{"binary and long values", testTreeBinary},
	{"delete", testTreeDelete},
	{"large multi-values", testTreeLarge},
	{"ownership of data", testTreeOwnership},
	{"cancellation", testTreeCancellation},
	{"ping and close", testTreeClose},
	{"bind", testTreeBind},
}

// person is the change that creates an inetOrgPerson named by cn below parent.
func person(parent, cn string, more ...backends.Values) backends.Change {
	values := backends.Values{"objectClass": list("inetOrgPerson"), "cn": list(cn), "sn": list("Surname")}
	for _, extra := range more {
		for attribute, list := range extra {
			values[attribute] = list
		}
	}
	return backends.Change{Op: backends.OpCreate, Ref: backends.Ref{DN: rdn("cn", cn) + "," + parent}, Add: values}
}

// unit is the change that creates an organizationalUnit.
func unit(parent, ou string) backends.Change {
	return backends.Change{
		Op: backends.OpCreate, Ref: backends.Ref{DN: rdn("ou", ou) + "," + parent},
		Add: backends.Values{"objectClass": list("organizationalUnit"), "ou": list(ou)},
	}
}

// group is the change that creates a posixGroup.
func group(parent, cn string, gid int64, members ...string) backends.Change {
	return backends.Change{
		Op: backends.OpCreate, Ref: backends.Ref{DN: rdn("cn", cn) + "," + parent},
		Add: backends.Values{
			"objectClass": list("posixGroup"), "cn": list(cn), "gidNumber": {gid}, "memberUid": list(members...),
		},
	}
}

func modify(ref backends.Ref, mods ...backends.Mod) backends.Change {
	return backends.Change{Op: backends.OpModify, Ref: ref, Mods: mods}
}

// canceledContext is a context that has ended already.
func canceledContext(t *testing.T) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx, cancel
}

func testTreeCreate(t *testing.T, f Fixture) {
	c := person(f.Base, "Ann", backends.Values{"mail": list("ann@example.net", "a@example.net"), "description": {}})
	created := f.apply(t, c)
	entry := f.read(t, c.Ref, "cn", "sn", "mail", "description", "objectClass")
	holds(t, entry, "cn", "Ann")
	holds(t, entry, "mail", "a@example.net", "ann@example.net")
	holds(t, entry, "description") // an empty list is no value
	if !slices.ContainsFunc(text(entry.Values["objectClass"]), func(class string) bool { return strings.EqualFold(class, "inetOrgPerson") }) {
		t.Fatalf("objectClass is %v", entry.Values["objectClass"])
	}
	if created.Version != entry.Version {
		t.Fatalf("Apply says version %q, Read %q", created.Version, entry.Version)
	}
	if !strings.EqualFold(entry.DN, c.Ref.DN) {
		t.Fatalf("the entry %q is called %q", c.Ref.DN, entry.DN)
	}
}

func testTreeCreateRefused(t *testing.T, f Fixture) {
	c := person(f.Base, "Ann", backends.Values{"mail": list("first@example.net")})
	f.apply(t, c)
	again := person(f.Base, "Ann", backends.Values{"mail": list("second@example.net")})
	f.refuse(t, again, clacks.NotUnique)
	again.Ref.DN = strings.ToUpper(again.Ref.DN)
	f.refuse(t, again, clacks.NotUnique)
	holds(t, f.read(t, c.Ref, "mail"), "mail", "first@example.net")

	orphan := person("ou=nowhere,"+f.Base, "Bob")
	f.refuse(t, orphan, clacks.NotFound)
	f.missing(t, orphan.Ref)
	for _, bad := range []string{"no name at all", "cn=a,,dc=b", "=x," + f.Base, `cn=bad\zz,` + f.Base} {
		f.refuse(t, backends.Change{Op: backends.OpCreate, Ref: backends.Ref{DN: bad}, Add: c.Add}, clacks.Invalid)
	}
	f.refuse(t, backends.Change{Op: backends.OpCreate, Add: c.Add}, clacks.Invalid)
	f.refuse(t, backends.Change{Op: "explode", Ref: c.Ref}, clacks.Invalid)
}

func testTreeWant(t *testing.T, f Fixture) {
	c := person(f.Base, "Ann", backends.Values{"mail": list("ann@example.net"), "description;lang-de": list("Eine Person")})
	f.apply(t, c)
	f.missing(t, backends.Ref{DN: "cn=Nobody," + f.Base})

	// Names come back in the spelling in which they were asked for, whatever the schema's own is.
	entry := f.read(t, c.Ref, "MAIL", "Cn", "surName", "telephoneNumber", "description;lang-DE")
	holds(t, entry, "MAIL", "ann@example.net")
	holds(t, entry, "Cn", "Ann")
	holds(t, entry, "surName", "Surname")
	holds(t, entry, "description;lang-DE", "Eine Person")
	holds(t, entry, "telephoneNumber")
	for attribute := range entry.Values {
		if !slices.Contains([]string{"MAIL", "Cn", "surName", "telephoneNumber", "description;lang-DE"}, attribute) {
			t.Fatalf("%q was not asked for", attribute)
		}
	}
	all := f.read(t, c.Ref, "*")
	holds(t, all, "mail", "ann@example.net")
	holds(t, all, "sn", "Surname")
	if got := f.read(t, c.Ref); len(got.Values) != 0 {
		t.Fatalf("nothing was asked for, yet: %v", got.Values)
	}
	// The name itself is found in any case and with insignificant spaces.
	for _, dn := range []string{strings.ToUpper(c.Ref.DN), "CN = Ann , " + f.Base, `cn=\41nn,` + f.Base} {
		if got := f.read(t, backends.Ref{DN: dn}, "cn"); got.UUID != entry.UUID {
			t.Fatalf("%q names another entry", dn)
		}
	}
}

const someUUID = "6d0f2c3a-8f57-4d7c-9f3a-0b8f6f3a1c55"

func testTreeUUID(t *testing.T, f Fixture) {
	c := person(f.Base, "Ann")
	c.Ref.UUID = someUUID
	f.apply(t, c)
	if got := f.read(t, backends.Ref{DN: c.Ref.DN}, "cn").UUID; got != someUUID {
		t.Fatalf("created with UUID %s, carries %s", someUUID, got)
	}
	byUUID := backends.Ref{UUID: someUUID}
	entry := f.read(t, byUUID, "cn")
	holds(t, entry, "cn", "Ann")
	if !strings.EqualFold(entry.DN, c.Ref.DN) {
		t.Fatalf("the entry of UUID %s is called %q", someUUID, entry.DN)
	}
	other := f.apply(t, person(f.Base, "Bob"))
	_ = other
	bob := f.read(t, backends.Ref{DN: "cn=Bob," + f.Base}, "cn")
	if bob.UUID == someUUID {
		t.Fatal("two entries carry one UUID")
	}
	unknown := backends.Ref{UUID: "00000000-0000-4000-8000-000000000000"}
	f.missing(t, unknown)
	f.missing(t, backends.Ref{UUID: "*"})
	f.missing(t, backends.Ref{UUID: ")(objectClass=*"})
	if f.Backend.Capabilities().Rename {
		f.apply(t, backends.Change{Op: backends.OpRename, Ref: byUUID, To: backends.Ref{DN: "cn=Anna," + f.Base}})
		holds(t, f.read(t, byUUID, "cn"), "cn", "Anna")
	}
	f.apply(t, modify(byUUID, backends.Mod{Attribute: "mail", Add: list("ann@example.net")}))
	holds(t, f.read(t, byUUID, "mail"), "mail", "ann@example.net")
	f.refuse(t, modify(unknown, backends.Mod{Attribute: "mail", Add: list("x@example.net")}), clacks.NotFound)
	f.refuse(t, backends.Change{Op: backends.OpDelete, Ref: unknown}, clacks.NotFound)
	f.apply(t, backends.Change{Op: backends.OpDelete, Ref: byUUID})
	f.missing(t, byUUID)
	// DN counts when both are given.
	f.missing(t, backends.Ref{DN: c.Ref.DN, UUID: bob.UUID})
}

func testTreeModify(t *testing.T, f Fixture) {
	c := person(f.Base, "Ann", backends.Values{"mail": list("a@example.net", "b@example.net"), "description": list("old")})
	before := f.apply(t, c)
	after := f.apply(t, modify(c.Ref,
		backends.Mod{Attribute: "mail", Delete: list("a@example.net"), Add: list("c@example.net", "d@example.net")},
		backends.Mod{Attribute: "description", Delete: list("old")},
		backends.Mod{Attribute: "TITLE", Add: list("Dr")},
		backends.Mod{Attribute: "givenName"},
	))
	entry := f.read(t, c.Ref, "mail", "description", "title", "givenName")
	holds(t, entry, "mail", "b@example.net", "c@example.net", "d@example.net")
	holds(t, entry, "description")
	holds(t, entry, "title", "Dr")
	holds(t, entry, "givenName")
	if f.Backend.Capabilities().Versions && (after.Version == before.Version || after.Version != entry.Version) {
		t.Fatalf("version %q before, %q after, %q on reading", before.Version, after.Version, entry.Version)
	}
	// Delete comes before Add, so a value can be replaced by another spelling of itself, and mods apply in order.
	f.apply(t, modify(c.Ref,
		backends.Mod{Attribute: "mail", Delete: list("b@example.net"), Add: list("B@example.net")},
		backends.Mod{Attribute: "title", Delete: list("Dr")},
		backends.Mod{Attribute: "title", Add: list("Prof")},
	))
	entry = f.read(t, c.Ref, "mail", "title")
	holds(t, entry, "mail", "B@example.net", "c@example.net", "d@example.net")
	holds(t, entry, "title", "Prof")
	f.refuse(t, modify(backends.Ref{DN: "cn=Nobody," + f.Base}, backends.Mod{Attribute: "mail", Add: list("x@example.net")}), clacks.NotFound)
}

func testTreeModifyRefused(t *testing.T, f Fixture) {
	c := person(f.Base, "Ann", backends.Values{"mail": list("a@example.net", "b@example.net")})
	f.apply(t, c)
	fine := backends.Mod{Attribute: "title", Add: list("Dr")}
	for what, mod := range map[string]backends.Mod{
		"adding what is there":            {Attribute: "mail", Add: list("c@example.net", "a@example.net")},
		"adding what is there, by case":   {Attribute: "MAIL", Add: list("A@Example.Net")},
		"deleting what is not":            {Attribute: "mail", Delete: list("a@example.net", "z@example.net")},
		"deleting from an absent one":     {Attribute: "description", Delete: list("x")},
		"replacing what is not there":     {Attribute: "mail", Delete: list("z@example.net"), Add: list("y@example.net")},
		"adding a value twice at one go":  {Attribute: "mail", Add: list("t@example.net", "t@example.net")},
		"adding back only half of it":     {Attribute: "mail", Delete: list("a@example.net"), Add: list("a@example.net", "b@example.net")},
		"deleting and adding a third one": {Attribute: "mail", Delete: list("a@example.net", "b@example.net", "c@example.net"), Add: list("c@example.net")},
	} {
		for _, mods := range [][]backends.Mod{{fine, mod}, {mod, fine}} {
			_, err := f.Backend.Apply(t.Context(), modify(c.Ref, mods...))
			want(t, what, err, clacks.Conflict)
			entry := f.read(t, c.Ref, "mail", "title", "description")
			holds(t, entry, "mail", "a@example.net", "b@example.net")
			holds(t, entry, "title")
		}
	}
}

func testTreeModifyNothing(t *testing.T, f Fixture) {
	c := person(f.Base, "Ann")
	f.apply(t, c)
	before := f.read(t, c.Ref, "*")
	f.apply(t, modify(c.Ref))
	f.apply(t, modify(c.Ref, backends.Mod{Attribute: "mail"}))
	if after := f.read(t, c.Ref, "*"); !reflect.DeepEqual(before, after) {
		t.Fatalf("%+v became %+v", before, after)
	}
	f.refuse(t, modify(backends.Ref{DN: "cn=Nobody," + f.Base}), clacks.NotFound)
	wrong := modify(c.Ref)
	wrong.Guard.UUID = someUUID
	f.refuse(t, wrong, clacks.Conflict)
}

func testTreeEquality(t *testing.T, f Fixture) {
	ann := person(f.Base, "Ann", backends.Values{"description": list("Some  Words")})
	f.apply(t, ann)
	// caseIgnoreMatch: case and the number of spaces do not matter (RFC 4518, section 2.6.1).
	f.refuse(t, modify(ann.Ref, backends.Mod{Attribute: "description", Add: list("some words")}), clacks.Conflict)
	f.apply(t, modify(ann.Ref, backends.Mod{Attribute: "description", Delete: list("SOME WORDS")}))
	holds(t, f.read(t, ann.Ref, "description"), "description")

	// caseExactIA5Match: they do.
	crew := group(f.Base, "crew", 1, "ann")
	f.apply(t, crew)
	f.apply(t, modify(crew.Ref, backends.Mod{Attribute: "memberUid", Add: list("Ann", "ANN")}))
	f.refuse(t, modify(crew.Ref, backends.Mod{Attribute: "memberUid", Delete: list("aNN")}), clacks.Conflict)
	holds(t, f.read(t, crew.Ref, "memberUid"), "memberUid", "ANN", "Ann", "ann")

	// distinguishedNameMatch.
	club := backends.Change{Op: backends.OpCreate, Ref: backends.Ref{DN: "cn=club," + f.Base}, Add: backends.Values{
		"objectClass": list("groupOfNames"), "cn": list("club"), "member": list(ann.Ref.DN, "cn=Other,"+f.Base)}}
	f.apply(t, club)
	f.refuse(t, modify(club.Ref, backends.Mod{Attribute: "member", Add: list("CN = ann , " + f.Base)}), clacks.Conflict)
	f.apply(t, modify(club.Ref, backends.Mod{Attribute: "member", Delete: list("CN = ann , " + f.Base)}))
	holds(t, f.read(t, club.Ref, "member"), "member", "cn=Other,"+f.Base)

	// telephoneNumberMatch: spaces and hyphens are left out.
	f.apply(t, modify(ann.Ref, backends.Mod{Attribute: "telephoneNumber", Add: list("+49 30 12-34")}))
	f.refuse(t, modify(ann.Ref, backends.Mod{Attribute: "telephoneNumber", Add: list("+49301234")}), clacks.Conflict)
}

func testTreeTypes(t *testing.T, f Fixture) {
	crew := group(f.Base, "crew", 4711)
	f.apply(t, crew)
	holds(t, f.read(t, crew.Ref, "gidNumber"), "gidNumber", int64(4711))
	// Every Go type is accepted on writing, whatever the attribute's own type.
	f.apply(t, modify(crew.Ref, backends.Mod{Attribute: "gidNumber", Delete: list("4711"), Add: []backends.Value{[]byte("815")}}))
	holds(t, f.read(t, crew.Ref, "gidNumber"), "gidNumber", int64(815))
	f.apply(t, modify(crew.Ref, backends.Mod{Attribute: "gidNumber", Delete: []backends.Value{int64(815)}, Add: []backends.Value{float64(7)}}))
	holds(t, f.read(t, crew.Ref, "gidNumber"), "gidNumber", int64(7))
	f.apply(t, modify(crew.Ref, backends.Mod{Attribute: "description", Add: []backends.Value{
		int64(-12), true, 2.5, time.Date(2026, 2, 3, 4, 5, 6, 0, time.FixedZone("", 3600)), []byte("bytes"), "Straße 日本"}}))
	holds(t, f.read(t, crew.Ref, "description"), "description", "-12", "TRUE", "2.5", "20260203030506Z", "bytes", "Straße 日本")
	bad := modify(crew.Ref, backends.Mod{Attribute: "description", Add: []backends.Value{struct{}{}}})
	f.refuse(t, bad, clacks.Invalid)
}

func testTreeBinary(t *testing.T, f Fixture) {
	photo := make([]byte, 64<<10)
	for i := range photo {
		photo[i] = byte(i * 7)
	}
	long := strings.Repeat("long text ", 5000) + "end"
	c := person(f.Base, "Ann", backends.Values{"jpegPhoto": {photo, []byte{0, 1, 2}}, "description": list(long)})
	f.apply(t, c)
	entry := f.read(t, c.Ref, "jpegPhoto", "description")
	holds(t, entry, "jpegPhoto", photo, []byte{0, 1, 2})
	holds(t, entry, "description", long)
	// Value by value, although jpegPhoto has no equality rule of its own.
	f.apply(t, modify(c.Ref, backends.Mod{Attribute: "jpegPhoto", Delete: []backends.Value{[]byte{0, 1, 2}}, Add: []backends.Value{[]byte{0xff, 0}}}))
	holds(t, f.read(t, c.Ref, "jpegPhoto"), "jpegPhoto", photo, []byte{0xff, 0})
	f.refuse(t, modify(c.Ref, backends.Mod{Attribute: "jpegPhoto", Delete: []backends.Value{[]byte{9}}}), clacks.Conflict)
	f.refuse(t, modify(c.Ref, backends.Mod{Attribute: "jpegPhoto", Add: []backends.Value{[]byte{0xff, 0}}}), clacks.Conflict)
	f.apply(t, modify(c.Ref, backends.Mod{Attribute: "jpegPhoto", Delete: []backends.Value{photo, []byte{0xff, 0}}}))
	holds(t, f.read(t, c.Ref, "jpegPhoto"), "jpegPhoto")
}

func testTreeDelete(t *testing.T, f Fixture) {
	parent := unit(f.Base, "people")
	f.apply(t, parent)
	child := person(parent.Ref.DN, "Ann")
	f.apply(t, child)
	remove := func(ref backends.Ref) backends.Change { return backends.Change{Op: backends.OpDelete, Ref: ref} }
	f.refuse(t, remove(parent.Ref), clacks.InUse)
	f.read(t, child.Ref, "cn")
	f.apply(t, remove(child.Ref))
	f.missing(t, child.Ref)
	f.refuse(t, remove(child.Ref), clacks.NotFound)
	f.apply(t, remove(parent.Ref))
	f.missing(t, parent.Ref)
	f.apply(t, parent) // the name is free again
}

func testTreeLarge(t *testing.T, f Fixture) {
	members := make([]string, 2000)
	for i := range members {
		members[i] = fmt.Sprintf("member%04d", i)
	}
	crew := group(f.Base, "crew", 1, members...)
	f.apply(t, crew)
	holds(t, f.read(t, crew.Ref, "memberUid"), "memberUid", list(members...)...)
	more := make([]string, 2000)
	for i := range more {
		more[i] = fmt.Sprintf("more%04d", i)
	}
	f.apply(t, modify(crew.Ref, backends.Mod{Attribute: "memberUid", Delete: list(members[:1500]...), Add: list(more...)}))
	holds(t, f.read(t, crew.Ref, "memberUid"), "memberUid", list(append(slices.Clone(members[1500:]), more...)...)...)
	f.refuse(t, modify(crew.Ref, backends.Mod{Attribute: "memberUid", Add: list(append([]string{"new"}, more...)...)}), clacks.Conflict)
	if n := len(f.read(t, crew.Ref, "memberUid").Values["memberUid"]); n != 2500 {
		t.Fatalf("%d members after a refused change, want 2500", n)
	}
}

func testTreeOwnership(t *testing.T, f Fixture) {
	photo := []byte{1, 2, 3}
	c := person(f.Base, "Ann", backends.Values{"jpegPhoto": {photo}, "mail": list("a@example.net", "b@example.net")})
	kept := person(f.Base, "Ann", backends.Values{"jpegPhoto": {bytes.Clone(photo)}, "mail": list("a@example.net", "b@example.net")})
	f.apply(t, c)
	if !reflect.DeepEqual(c, kept) {
		t.Fatalf("Apply changed its argument: %+v", c)
	}
	photo[0] = 99
	c.Add["mail"][0] = "changed"
	first := f.read(t, c.Ref, "jpegPhoto", "mail")
	holds(t, first, "jpegPhoto", []byte{1, 2, 3})
	holds(t, first, "mail", "a@example.net", "b@example.net")
	first.Values["jpegPhoto"][0].([]byte)[1] = 99
	first.Values["mail"][0] = "changed"
	first.Values["extra"] = list("x")
	second := f.read(t, c.Ref, "jpegPhoto", "mail")
	holds(t, second, "jpegPhoto", []byte{1, 2, 3})
	holds(t, second, "mail", "a@example.net", "b@example.net")
	holds(t, second, "extra")
}

func testTreeCancellation(t *testing.T, f Fixture) {
	c := person(f.Base, "Ann")
	f.apply(t, c)
	expired, cancelExpired := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancelExpired()
	canceled, cancel := canceledContext(t)
	defer cancel()
	for cause, ctx := range map[error]context.Context{context.Canceled: canceled, context.DeadlineExceeded: expired} {
		_, err := f.Backend.Read(ctx, c.Ref, []string{"*"})
		want(t, "read", err, clacks.Unavailable)
		if !errors.Is(err, cause) {
			t.Fatalf("read: %v does not wrap %v", err, cause)
		}
		// It had not begun, so the answer is definite.
		_, err = f.Backend.Apply(ctx, person(f.Base, "Bob"))
		want(t, "create", err, clacks.Unavailable)
		f.missing(t, backends.Ref{DN: "cn=Bob," + f.Base})
		want(t, "ping", f.Backend.Ping(ctx), clacks.Unavailable)
		var failure error
		for _, err := range f.Backend.Search(ctx, backends.Query{Base: f.Base, Scope: backends.ScopeSub, Attributes: []string{"cn"}}) {
			if failure != nil {
				t.Fatal("a search goes on after its error")
			}
			failure = err
		}
		want(t, "search", failure, clacks.Unavailable)
	}
	f.read(t, c.Ref, "cn") // nothing was left in disorder
}

func testTreeClose(t *testing.T, f Fixture) {
	if err := f.Backend.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := f.Backend.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := f.Backend.Read(t.Context(), backends.Ref{DN: f.Base}, []string{"*"})
	want(t, "read after Close", err, clacks.Unavailable)
	_, err = f.Backend.Apply(t.Context(), person(f.Base, "Ann"))
	want(t, "create after Close", err, clacks.Unavailable)
	f.searchError(t, backends.Query{Base: f.Base, Scope: backends.ScopeSub, Attributes: []string{"cn"}}, clacks.Unavailable)
	want(t, "ping after Close", f.Backend.Ping(t.Context()), clacks.Unavailable)
	if err := f.Backend.Close(); err != nil {
		t.Fatalf("a second Close: %v", err)
	}
}

func testTreeBind(t *testing.T, f Fixture) {
	binder, ok := f.Backend.(backends.Binder)
	if !ok {
		t.Skip("the backend holds no passwords")
	}
	salt := []byte("12345678")
	sum := sha1.Sum(append([]byte("right"), salt...))
	hash := "{SSHA}" + base64.StdEncoding.EncodeToString(append(sum[:], salt...))
	c := person(f.Base, "Ann, the first", backends.Values{"userPassword": list(hash)})
	f.apply(t, c)
	bare := person(f.Base, "Bob")
	f.apply(t, bare)
	if err := binder.Bind(t.Context(), c.Ref.DN, "right"); err != nil {
		t.Fatal(err)
	}
	for what, try := range map[string][2]string{
		"a wrong password":         {c.Ref.DN, "wrong"},
		"an empty password":        {c.Ref.DN, ""},
		"the hash as the password": {c.Ref.DN, hash},
		"an entry without one":     {bare.Ref.DN, "right"},
		"no such entry":            {"cn=Nobody," + f.Base, "right"},
		"not a name":               {"nonsense", "right"},
		"no name":                  {"", "right"},
		"neither":                  {"", ""},
	} {
		want(t, what, binder.Bind(t.Context(), try[0], try[1]), clacks.Unauthenticated)
	}
	canceled, cancel := canceledContext(t)
	defer cancel()
	want(t, "bind with a canceled context", binder.Bind(canceled, c.Ref.DN, "right"), clacks.Unavailable)
}
