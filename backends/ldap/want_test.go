package ldap_test

import (
	"reflect"
	"testing"

	"clacks/backends"
	"clacks/internal/testservers"
)

// TestWant: what a change shows of the entry after it is what reading shows, of attributes that the server sets itself too.
func TestWant(t *testing.T) {
	server := testservers.Slapd(t, testservers.WithoutSync())
	b, ref := open(t, server), backends.Ref{DN: "cn=ann," + newBase(t, server)}
	_, err := b.Apply(t.Context(), backends.Change{Op: backends.OpCreate, Ref: ref, Add: backends.Values{
		"objectClass": {"inetOrgPerson"}, "cn": {"ann"}, "sn": {"A"}, "title": {"one"}, "jpegPhoto": {[]byte{1, 2}}}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"objectClass", "CN", "sn", "title", "mail", "jpegPhoto", "modifyTimestamp", "entryCSN"}
	for range 2 { // the second one finds the control made
		for _, mods := range [][]backends.Mod{
			{{Attribute: "title", Delete: []any{"one"}, Add: []any{"two"}}}, {{Attribute: "mail", Add: []any{"a@x", "b@x"}}},
			{{Attribute: "mail", Delete: []any{"a@x", "b@x"}}, {Attribute: "title", Delete: []any{"two"}, Add: []any{"one"}}},
		} {
			before, err := b.Read(t.Context(), ref, nil)
			if err != nil {
				t.Fatal(err)
			}
			result, err := b.Apply(t.Context(), backends.Change{Op: backends.OpModify, Ref: ref, Mods: mods, Want: want,
				Guard: backends.Guard{Version: before.Version, UUID: before.UUID}})
			if err != nil {
				t.Fatal(err)
			}
			read, err := b.Read(t.Context(), ref, want)
			if err != nil {
				t.Fatal(err)
			}
			if result.Version != read.Version || !reflect.DeepEqual(result.Entry, read) {
				t.Errorf("shown %+v\nread %+v", result.Entry, read)
			}
		}
	}
	result, err := b.Apply(t.Context(), backends.Change{Op: backends.OpModify, Ref: ref, Mods: []backends.Mod{{Attribute: "mail", Add: []any{"c@x"}}}})
	if err != nil || result.Entry != nil || result.Version == "" {
		t.Errorf("nothing was wanted: %+v, %v", result, err)
	}
	if _, err = b.Apply(t.Context(), backends.Change{Op: backends.OpModify, Ref: ref, Want: []string{"a b"},
		Mods: []backends.Mod{{Attribute: "mail", Add: []any{"d@x"}}}}); err == nil {
		t.Error("what is no attribute got into a request")
	}
}
