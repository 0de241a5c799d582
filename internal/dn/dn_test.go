package dn

import (
	"reflect"
	"strings"
	"testing"

	"clacks"
)

func TestKey(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"   ", ""},
		{"dc=example,dc=net", "dc=example,dc=net"},
		{"UID=Jane,OU=People,DC=Example,DC=Net", "uid=jane,ou=people,dc=example,dc=net"},
		{"uid = jane , ou = people", "uid=jane,ou=people"},
		{"commonName=Jane  Doe,organizationalUnitName=x", "cn=jane doe,ou=x"},
		{"commonName=a,localityname=b", "cn=a,l=b"},
		{"2.5.4.3=Jane", "cn=jane"},
		{`cn=Doe\, Jane,o=x`, `cn=doe\, jane,o=x`},
		{`cn=Doe\2C Jane,o=x`, `cn=doe\, jane,o=x`},
		{`cn=\20a\20`, `cn=a`},
		{`cn=\20\20`, `cn=\ `},
		{`cn=\ a\ `, `cn=a`},
		{"sn=B+cn=A", "cn=a+sn=b"},
		{"cn=A+sn=B", "cn=a+sn=b"},
		{"cn=a+cn=A", "cn=a"},
		{"cn=Käse", "cn=käse"},
		{"cn=KA\u0308SE", "cn=käse"},
		{`cn=K\C3\84se`, "cn=käse"},
		{"cn=Straße", "cn=strasse"},
		{"cn=a\u00a0b", "cn=a b"},
		{"cn=", "cn="},
		{"cn=#04024869", "cn=hi"},
		{`cn=\#a`, `cn=\#a`},
		{`cn=a=b`, `cn=a=b`},
		{`cn=a\=b`, `cn=a=b`},
		{`cn=\00`, `cn=\00`},
		{`cn=\ff`, `cn=\ff`},
		{"cn=a\nb", `cn=a\0ab`},
		{`cn=back\\,o=x`, `cn=back\\,o=x`},
	} {
		got, err := Key(c.in)
		if err != nil || got != c.want {
			t.Errorf("Key(%q) = %q, %v; want %q", c.in, got, err, c.want)
		}
	}
}

func TestInvalid(t *testing.T) {
	for _, in := range []string{
		"x", "=a", "cn=a,", ",cn=a", "cn=a,,cn=b", "cn=a;cn=b", `cn="a"`, "cn=<a>", `cn=\`, `cn=\g`, `cn=\4`, "cn=a+",
		"cn=#zz", "cn=#04", "cn=#0405aa", "cn=#3003020101", "c_n=a", "1.=a", "1..2=a", "-a=b", "cn.x=b", "cn=\xff", "cn=a\x00b",
		"cn=" + strings.Repeat("a", MaxLength), strings.Repeat("c=a,", MaxDepth) + "c=a", "c n=x",
	} {
		if err := Validate(in); !clacks.IsKind(err, clacks.Invalid) {
			t.Errorf("Validate(%.40q) = %v, want invalid", in, err)
		}
		if _, err := Key(in); err == nil {
			t.Errorf("Key(%.40q) accepts it", in)
		}
	}
}

func TestParts(t *testing.T) {
	const d = `cn=Doe\, Jane + uid=J,  OU=People,dc=x`
	if got := Parent(d); got != "OU=People,dc=x" {
		t.Errorf("Parent = %q", got)
	}
	if got := RDN(d); got != `cn=Doe\, Jane + uid=J` {
		t.Errorf("RDN = %q", got)
	}
	if got := RDNValues(RDN(d)); !reflect.DeepEqual(got, []AVA{{"cn", "Doe, Jane"}, {"uid", "J"}}) {
		t.Errorf("RDNValues = %q", got)
	}
	if Depth(d) != 3 || Depth("") != 0 || Depth("dc=x") != 1 {
		t.Error("Depth is wrong")
	}
	if Parent("dc=x") != "" || Parent("") != "" || RDN("") != "" {
		t.Error("the top has a parent")
	}
	if got := Join(MakeRDN("cn", ` #a,b+c"\ `), "dc=x"); got != `cn=\ #a\,b\+c\"\\\ ,dc=x` {
		t.Errorf("Join = %q", got)
	}
}

func TestUnderAndRebase(t *testing.T) {
	for _, c := range []struct {
		dn, base, to, want string
		ok                 bool
	}{
		{"uid=A,ou=People,dc=x", "OU=people,dc=x", "ou=Staff,dc=y", "uid=A,ou=Staff,dc=y", true},
		{"ou=People,dc=x", "OU=people,dc=x", "ou=Staff", "ou=Staff", true},
		{`cn=a\, B , Uid=C,dc=x`, "dc=x", "dc=y", `cn=a\, B , Uid=C,dc=y`, true},
		{`cn=a\,dc=x`, "dc=x", "dc=y", "", false},
		{"dc=axdc=x", "dc=x", "dc=y", "", false},
		{"dc=x", "ou=a,dc=x", "dc=y", "", false},
		{"uid=a,dc=x", "", "dc=y", "uid=a,dc=x,dc=y", true},
		{"uid=a,dc=x", "dc=x", "", "uid=a", true},
		{`uid=a\ ,dc=x`, "dc=x", "dc=y", `uid=a\ ,dc=y`, true},
	} {
		got, ok := Rebase(c.dn, c.base, c.to)
		if got != c.want || ok != c.ok || Under(c.dn, c.base) != c.ok {
			t.Errorf("Rebase(%q, %q, %q) = %q, %v; want %q, %v", c.dn, c.base, c.to, got, ok, c.want, c.ok)
		}
	}
}

func TestPath(t *testing.T) {
	path, err := Path(`uid=A\,b,ou=x\\,dc=net`)
	if err != nil || path != `dc=net,ou=x\\,uid=a\,b,` {
		t.Fatalf("Path = %q, %v", path, err)
	}
	from, to := PathRange("dc=net,ou=x,")
	inside := func(dn string) bool {
		p, err := Path(dn)
		if err != nil {
			t.Fatal(err)
		}
		return p >= from && p < to
	}
	for dn, want := range map[string]bool{
		"ou=x,dc=net": true, "cn=a,ou=x,dc=net": true, "ou=xy,dc=net": false, `ou=x\,y,dc=net`: false, "dc=net": false,
		"ou=x-y,dc=net": false, "ou=x y,dc=net": false,
	} {
		if inside(dn) != want {
			t.Errorf("%q inside = %v", dn, !want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"", "uid=jane,ou=people,dc=example,dc=net", `cn=Doe\, Jane+sn=\20x\20,o=ß`, "cn=#04024869", `cn=\ff\fe`, "CN=a = b",
		"commonName=ǅ", "cn=\u0345\u03b9", "1.2.3=x", "cn=   ",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		if len(RDN(in))+len(Parent(in)) > len(in) || Depth(in) < 0 || RDNValues(in) != nil && Depth(in) == 0 {
			t.Fatalf("%q has the parts %q and %q", in, RDN(in), Parent(in))
		}
		name, err := Parse(in)
		key, keyErr := Key(in)
		if (err == nil) != (keyErr == nil) || (err == nil) != (Validate(in) == nil) {
			t.Fatalf("Parse: %v, Key: %v, Validate: %v", err, keyErr, Validate(in))
		}
		if err != nil {
			return
		}
		check(t, in, name, key)
	})
}

func check(t *testing.T, in string, name Name, key string) {
	t.Helper()
	if key != name.Key() {
		t.Fatalf("the short way to the key gives %q, not %q", key, name.Key())
	}
	text := name.String()
	if len(text) <= MaxLength {
		again, err := Parse(text)
		if err != nil || !reflect.DeepEqual(again, name) {
			t.Fatalf("%q does not survive: %q, %v", in, text, err)
		}
	}
	if len(key) <= MaxLength {
		if again, err := Key(key); err != nil || again != key {
			t.Fatalf("the key %q of %q has the key %q, %v", key, in, again, err)
		}
	}
	if Depth(in) != len(name) {
		t.Fatalf("Depth = %d of %d", Depth(in), len(name))
	}
	if len(name) > 0 && len(key) <= MaxLength {
		if !Under(in, Parent(in)) || !Equal(in, Join(RDN(in), Parent(in))) {
			t.Fatalf("%q is not %q under %q", in, RDN(in), Parent(in))
		}
		if moved, ok := Rebase(in, Parent(in), Parent(in)); !ok || !Equal(moved, in) {
			t.Fatalf("Rebase(%q) = %q, %v", in, moved, ok)
		}
	}
}

func BenchmarkKey(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Key("uid=jane,ou=people,dc=example,dc=net"); err != nil {
			b.Fatal(err)
		}
	}
}
