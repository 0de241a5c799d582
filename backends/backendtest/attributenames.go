package backendtest

import (
	"fmt"
	"testing"

	"clacks"
	"clacks/backends"
)

// testTreeNames changes one attribute under several of its names at once (RFC 4512, section 2.5: whichever of its names, in
// any case). It makes no difference which are used. Fax numbers have no equality rule in the standard, surnames have one.
func testTreeNames(t *testing.T, f Fixture) {
	for _, names := range [][3]string{
		{"facsimileTelephoneNumber", "fax", "FacsimileTelephoneNumber"},
		{"fax", "facsimileTelephoneNumber", "FAX"},
		{"sn", "surname", "SN"},
		{"description;lang-de", "Description;lang-de", "DESCRIPTION;LANG-DE"},
	} {
		t.Run(names[0], func(t *testing.T) { testNames(t, f, names) })
	}
}

func testNames(t *testing.T, f Fixture, names [3]string) {
	one, two, three := names[0], names[1], names[2]
	c := person(f.Base, "Ann "+fmt.Sprintf("%x", one), backends.Values{"sn": {}, one: list("1", "2"), two: list("3")})
	if one != "sn" {
		c.Add["sn"] = list("Surname")
	}
	f.apply(t, c)
	expect := func(values ...string) {
		t.Helper()
		entry := f.read(t, c.Ref, one, two, three)
		for _, name := range names {
			holds(t, entry, name, list(values...)...)
		}
	}
	expect("1", "2", "3")
	f.apply(t, modify(c.Ref,
		backends.Mod{Attribute: one, Add: list("10")}, backends.Mod{Attribute: two, Add: list("11")}, backends.Mod{Attribute: three, Add: list("12")}))
	expect("1", "2", "3", "10", "11", "12")
	f.apply(t, modify(c.Ref, backends.Mod{Attribute: two, Delete: list("1")}, backends.Mod{Attribute: one, Add: list("1", "4")},
		backends.Mod{Attribute: three, Delete: list("2", "10")}))
	expect("1", "3", "4", "11", "12")
	// A later mod finds what an earlier one leaves, under whatever name.
	f.apply(t, modify(c.Ref, backends.Mod{Attribute: one, Add: list("20")}, backends.Mod{Attribute: two, Delete: list("20"), Add: list("21")}))
	expect("1", "3", "4", "11", "12", "21")
	for what, mods := range map[string][]backends.Mod{
		"deleting twice": {{Attribute: one, Delete: list("1")}, {Attribute: two, Delete: list("1")}},
		"adding twice":   {{Attribute: one, Add: list("30")}, {Attribute: two, Add: list("30")}},
	} {
		_, err := f.Backend.Apply(t.Context(), modify(c.Ref, mods...))
		want(t, what, err, clacks.Conflict)
		expect("1", "3", "4", "11", "12", "21")
	}
	// A guard of old values means the same under each name.
	guarded := modify(c.Ref, backends.Mod{Attribute: one, Add: list("5")})
	guarded.Guard.Old = backends.Values{two: list("1", "3"), three: list("1", "3")}
	f.refuse(t, guarded, clacks.Conflict)
	guarded.Guard.Old = backends.Values{two: list("1", "3", "4", "11", "12", "21"), three: list("21", "1", "3", "4", "11", "12")}
	f.apply(t, guarded)
	expect("1", "3", "4", "5", "11", "12", "21")
}
