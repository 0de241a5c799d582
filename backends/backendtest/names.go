package backendtest

import (
	"strings"
	"testing"

	"clacks"
	"clacks/backends"
	"clacks/internal/dn"
)

var nameSections = []section{
	{"special characters in names", testNamesSpecial},
	{"rename", testRename},
	{"rename refused", testRenameRefused},
	{"move with the subtree", testMove},
}

func rdn(attribute, value string) string { return dn.MakeRDN(attribute, value) }

// oddNames are values that need escaping in a name or in a filter, or look like an attack on either.
var oddNames = []string{
	`Doe, John`, `a+b=c`, `say "hi"`, `back\slash`, `<tag>`, `semi;colon`, `#hash`, `a=b,c=d`, `Ünïcödé`, `日本語 テスト`,
	`*`, `(`, `)`, `a*b`, `)(cn=*`, `*)(objectClass=*)`, `\2a`, `\\2a`, `x\2c`, `'; DROP TABLE entries; --`, `%`, `_`, `a%b`, `a_b`,
	`"`, `'`, `a/b`, `😀`, `tab	tab`, `{0}cn`, `cn=x`, `\41`,
}

func testNamesSpecial(t *testing.T, f Fixture) {
	for _, cn := range oddNames {
		c := person(f.Base, cn)
		f.apply(t, c)
	}
	for _, cn := range oddNames {
		ref := backends.Ref{DN: rdn("cn", cn) + "," + f.Base}
		entry := f.read(t, ref, "cn")
		holds(t, entry, "cn", cn)
		if !dn.Equal(entry.DN, ref.DN) {
			t.Fatalf("%q is called %q", ref.DN, entry.DN)
		}
		if again := f.read(t, backends.Ref{DN: entry.DN}, "cn"); again.UUID != entry.UUID {
			t.Fatalf("the name %q that Read returned names another entry", entry.DN)
		}
		q := backends.Query{
			Base: f.Base, Scope: backends.ScopeOne, Attributes: []string{"cn"},
			Filter: &backends.Filter{Op: backends.Equal, Attribute: "cn", Value: cn},
		}
		matches := f.found(t, q)
		if len(matches) != 1 || matches[0].UUID != entry.UUID {
			t.Fatalf("cn = %q finds %d entries", cn, len(matches))
		}
	}
	for _, cn := range oddNames {
		f.apply(t, backends.Change{Op: backends.OpDelete, Ref: backends.Ref{DN: rdn("cn", cn) + "," + f.Base}})
	}
}

func rename(from backends.Ref, to string) backends.Change {
	return backends.Change{Op: backends.OpRename, Ref: from, To: backends.Ref{DN: to}}
}

func testRename(t *testing.T, f Fixture) {
	c := person(f.Base, "Ann", backends.Values{"mail": list("ann@example.net")})
	created := f.apply(t, c)
	before := f.read(t, c.Ref, "cn")
	target := backends.Ref{DN: rdn("cn", "Ann, née Smith") + "," + f.Base}
	if !f.Backend.Capabilities().Rename {
		f.refuse(t, rename(c.Ref, target.DN), clacks.Invalid)
		f.missing(t, target)
		f.read(t, c.Ref, "cn")
		return
	}
	renamed := f.apply(t, rename(c.Ref, target.DN))
	f.missing(t, c.Ref)
	entry := f.read(t, target, "cn", "mail")
	holds(t, entry, "cn", "Ann, née Smith") // the old value went with the old name
	holds(t, entry, "mail", "ann@example.net")
	if entry.UUID != before.UUID {
		t.Fatalf("the UUID changed from %s to %s", before.UUID, entry.UUID)
	}
	if renamed.Version != entry.Version || (created.Version == renamed.Version && created.Version != "") {
		t.Fatalf("version %q before, %q by rename, %q on reading", created.Version, renamed.Version, entry.Version)
	}
	// Another spelling of the same name is a rename too.
	upper := backends.Ref{DN: "cn=" + strings.ToUpper("ann\\, née smith") + "," + f.Base}
	f.apply(t, rename(target, upper.DN))
	holds(t, f.read(t, target, "cn"), "cn", strings.ToUpper("ann, née smith"))
	f.apply(t, rename(upper, c.Ref.DN))
	holds(t, f.read(t, c.Ref, "cn"), "cn", "Ann")
}

func testRenameRefused(t *testing.T, f Fixture) {
	if !f.Backend.Capabilities().Rename {
		return // testRename holds the driver to it
	}
	ann, bob := person(f.Base, "Ann"), person(f.Base, "Bob")
	f.apply(t, ann)
	f.apply(t, bob)
	f.refuse(t, rename(ann.Ref, bob.Ref.DN), clacks.NotUnique)
	f.refuse(t, rename(ann.Ref, strings.ToUpper(bob.Ref.DN)), clacks.NotUnique)
	f.refuse(t, rename(ann.Ref, "cn=Ann,ou=nowhere,"+f.Base), clacks.NotFound)
	f.refuse(t, rename(backends.Ref{DN: "cn=Nobody," + f.Base}, "cn=Somebody,"+f.Base), clacks.NotFound)
	f.refuse(t, rename(ann.Ref, "not a name"), clacks.Invalid)
	f.refuse(t, rename(ann.Ref, ""), clacks.Invalid)
	f.read(t, ann.Ref, "cn")
	f.read(t, bob.Ref, "cn")
	stale := rename(ann.Ref, "cn=Anna,"+f.Base)
	stale.Guard.UUID = someUUID
	f.refuse(t, stale, clacks.Conflict)
	f.missing(t, backends.Ref{DN: "cn=Anna," + f.Base})
}

func testMove(t *testing.T, f Fixture) {
	if !f.Backend.Capabilities().Rename {
		return // testRename holds the driver to it
	}
	here, there := unit(f.Base, "here"), unit(f.Base, "there")
	f.apply(t, here)
	f.apply(t, there)
	team := unit(here.Ref.DN, "team")
	leaf := person(here.Ref.DN, "Leaf")
	ann, deep := person(team.Ref.DN, "Ann"), unit(team.Ref.DN, "deep")
	bob := person(deep.Ref.DN, "Bob")
	for _, c := range []backends.Change{team, leaf, ann, deep, bob} {
		f.apply(t, c)
	}
	// An entry without children moves even where subtrees do not.
	f.apply(t, rename(leaf.Ref, "cn=Leaf,"+there.Ref.DN))
	f.missing(t, leaf.Ref)
	f.read(t, backends.Ref{DN: "cn=Leaf," + there.Ref.DN}, "cn")

	moved := "ou=crew," + there.Ref.DN
	if !f.Backend.Capabilities().SubtreeRename {
		f.refuse(t, rename(team.Ref, moved), clacks.InUse, clacks.Invalid)
		f.read(t, bob.Ref, "cn")
		return
	}
	before := f.read(t, bob.Ref, "cn")
	f.apply(t, rename(team.Ref, moved))
	for _, gone := range []backends.Ref{team.Ref, ann.Ref, deep.Ref, bob.Ref} {
		f.missing(t, gone)
	}
	entry := f.read(t, backends.Ref{DN: "cn=Bob,ou=deep," + moved}, "cn")
	if entry.UUID != before.UUID {
		t.Fatalf("a child's UUID changed from %s to %s", before.UUID, entry.UUID)
	}
	if n := len(f.found(t, backends.Query{Base: moved, Scope: backends.ScopeSub, Attributes: []string{"objectClass"}})); n != 4 {
		t.Fatalf("%d entries below the new name, want 4", n)
	}
	if n := len(f.found(t, backends.Query{Base: here.Ref.DN, Scope: backends.ScopeChildren, Attributes: []string{"objectClass"}})); n != 0 {
		t.Fatalf("%d entries below the old parent", n)
	}
	// Into itself it cannot go; what was asked is refused as a whole.
	f.refuse(t, rename(backends.Ref{DN: moved}, "ou=crew,ou=deep,"+moved), clacks.Invalid)
	f.read(t, backends.Ref{DN: "cn=Bob,ou=deep," + moved}, "cn")
}
