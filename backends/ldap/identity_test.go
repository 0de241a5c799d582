package ldap

import (
	"reflect"
	"testing"

	"clacks/backends"
)

var faxSchema = newSchema([]string{
	"( 2.5.4.23 NAME ( 'facsimileTelephoneNumber' 'fax' ) SYNTAX 1.3.6.1.4.1.1466.115.121.1.22 )",
	"( 2.5.4.36 NAME 'userCertificate' EQUALITY certificateExactMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.8 )",
})

func TestIdentity(t *testing.T) {
	for _, same := range [][]string{
		{"facsimileTelephoneNumber", "fax", "FAX", "2.5.4.23"},
		{"fax;lang-de", "FacsimileTelephoneNumber;LANG-DE", "2.5.4.23;lang-de"},
		{"fax;lang-de;x-office", "fax;x-office;lang-de", "fax;X-Office;lang-de;x-office"},
		{"userCertificate", "usercertificate;binary", "2.5.4.36;BINARY"},
		{"unheardOf", "UNHEARDOF"},
		{"unheardOf;a", "unheardof;A"},
	} {
		for _, description := range same {
			if got, want := faxSchema.identity(description), faxSchema.identity(same[0]); got != want {
				t.Errorf("%s is %q, %s is %q", description, got, same[0], want)
			}
		}
	}
	seen := map[string]string{}
	for _, description := range []string{"fax", "fax;lang-de", "fax;lang-en", "fax;lang-de;x-office", "userCertificate", "unheardOf", "unheardOf;a"} {
		identity := faxSchema.identity(description)
		if other := seen[identity]; other != "" {
			t.Errorf("%s and %s are both %q", description, other, identity)
		}
		seen[identity] = description
	}
}

func TestUnderOneName(t *testing.T) {
	mods := []backends.Mod{{Attribute: "fax"}, {Attribute: "unheardOf"}, {Attribute: "2.5.4.23"}, {Attribute: "fax;lang-de"}, {Attribute: "FacsimileTelephoneNumber"}}
	kept := append([]backends.Mod(nil), mods...)
	renamed := faxSchema.underOneName(mods)
	want := []backends.Mod{{Attribute: "fax"}, {Attribute: "unheardOf"}, {Attribute: "fax"}, {Attribute: "fax;lang-de"}, {Attribute: "fax"}}
	if !reflect.DeepEqual(renamed, want) {
		t.Errorf("%v, want %v", renamed, want)
	}
	if !reflect.DeepEqual(mods, kept) {
		t.Errorf("the caller's mods became %v", mods)
	}
}

// TestSameOptions: the order in which a server lists options is its own.
func TestSameOptions(t *testing.T) {
	for _, test := range []struct {
		a, b string
		same bool
	}{
		{"", "", true}, {"lang-de", "LANG-DE", true}, {"lang-de;x-a", "x-a;lang-de", true},
		{"lang-de", "lang-en", false}, {"lang-de", "lang-de;x-a", false}, {"lang-de;x-a", "lang-de;x-b", false}, {"", "lang-de", false},
	} {
		if got := sameOptions(test.a, test.b); got != test.same {
			t.Errorf("sameOptions(%q, %q) is %v", test.a, test.b, got)
		}
	}
}
