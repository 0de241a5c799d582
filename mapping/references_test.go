package mapping

import (
	"reflect"
	"testing"

	"clacks"
	"clacks/definitions"
)

func TestReferences(t *testing.T) {
	refers := func(to, attribute, mode, identify, replace, remove string) func(*definitions.Attribute) {
		return func(a *definitions.Attribute) {
			a.References = append(a.References, definitions.Reference{Object: to, Attribute: attribute, Mode: mode,
				IdentifyPattern: identify, ReplacePattern: replace, DeletePattern: remove})
		}
	}
	group := &definitions.Type{Name: "Group", Base: true, Backend: "LDAP", Pos: at(5),
		Parameters: []definitions.BackendParameters{parameters("LDAP", "objectClasses", "groupOfNames", "RDN", "cn")},
		Attributes: []*definitions.Attribute{
			attr("cn", definitions.String),
			attr("member", definitions.UnicodeString, multi, refers("Person", "dn", "", "", "", "")),
			attr("memberUid", definitions.String, multi, refers("Posix", "uid", "replace", "", "", "")),
			attr("seeAlso", definitions.UnicodeString, multi, refers("*", "dn", "", "", "", "")),
			attr("hosts", definitions.String, refers("Group", "cn", "inline", `(.*,)?%s(,.*)?`, `\1%s\2`, `\1\2`)),
		}}
	uid := attr("uid", definitions.String)
	uid.Foreign = true
	set := compiled(t, person(), posix(uid), group)
	names := func(list []Reference) []string {
		var s []string
		for _, r := range list {
			s = append(s, r.Type+"."+r.Attribute+" -> "+r.To+":"+r.ToAttribute+" "+r.Owner+" "+r.Extension+" "+r.Mode)
		}
		return s
	}
	for typeName, want := range map[string][]string{
		"Person": {"Group.member -> Person:dn   replace", "Group.memberUid -> Posix:uid Person Posix replace", "Group.seeAlso -> *:dn   replace"},
		"Posix":  {"Group.memberUid -> Posix:uid Person Posix replace", "Group.seeAlso -> *:dn   replace"},
		"Group":  {"Group.seeAlso -> *:dn   replace", "Group.hosts -> Group:cn Group  inline"},
	} {
		if got := names(set.ReferencesTo(typeName)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %q, want %q", typeName, got, want)
		}
	}
	if got := len(set.ReferencesFrom("Group")); got != 4 {
		t.Errorf("the group holds %d references", got)
	}
	inline := set.ReferencesTo("Group")[1]
	for _, c := range []struct{ text, from, replaced, removed string }{
		{"a,web1,b", "web1", "a,web2,b", "a,,b"},
		{"web1", "web1", "web2", ""},
		{"web10", "web1", "", ""},
		{"a.b", "axb", "", ""},
		{"axb", "a.b", "", ""},
		{"(", "(", "web2", ""},
	} {
		refers := c.replaced != ""
		if got := inline.Matches(c.text, c.from); got != refers {
			t.Errorf("Matches(%q, %q) = %v", c.text, c.from, got)
		}
		if got, ok := inline.Replace(c.text, c.from, "web2"); ok != refers || ok && got != c.replaced {
			t.Errorf("Replace(%q, %q) = %q, %v; want %q", c.text, c.from, got, ok, c.replaced)
		}
		if got, ok := inline.Remove(c.text, c.from); ok != refers || ok && got != c.removed {
			t.Errorf("Remove(%q, %q) = %q, %v; want %q", c.text, c.from, got, ok, c.removed)
		}
	}
	whole := set.ReferencesTo("Person")[0]
	if got, ok := whole.Replace("cn=a", "cn=a", "cn=b"); got != "cn=b" || !ok {
		t.Errorf("got %q, %v", got, ok)
	}
	if _, ok := whole.Remove("cn=a", "cn=b"); ok {
		t.Error("another value counts as a reference")
	}
}

func TestExplain(t *testing.T) {
	set := compiled(t, person(
		attr("displayName", definitions.UnicodeString, outboundTo("displayName", "displayName", " string-join((givenName, sn), ' ') ")),
		attr("phones", definitions.String, multi, in("SQL"), mapped(definitions.Mapping{Table: "phones", ForeignKey: "f", Attribute: "number"})),
		attr("label", definitions.String, in("NULL"), mapped(definitions.Mapping{Inbound: xq("concat($LDAP/cn, $SQL/a)", 1)})),
		attr("password", definitions.String, secret, defaults("geheim")),
		attr("gone", definitions.AclRole),
	), posix(attr("home", definitions.String, defaultBy("concat('/home/', uid)"), blockedWhile("uid", "x"))))
	for _, c := range []struct {
		typeName, attribute string
		want                Explanation
	}{
		{"Person", "uid", Explanation{From: []Direction{{Backend: "LDAP", Attribute: "uid"}}, To: []Direction{{Backend: "LDAP", Attribute: "uid"}},
			Notes: []string{"mandatory", "unique", "is the key of SQL/employees"}, ValueType: "String"}},
		{"Person", "displayName", Explanation{From: []Direction{{Backend: "LDAP", Attribute: "displayName"}},
			To:    []Direction{{Backend: "LDAP", Attribute: "displayName", Query: "string-join((givenName, sn), ' ')", Reads: []string{"givenName", "sn"}}},
			Notes: []string{"computed from givenName, sn; callers cannot set it"}, ValueType: "UnicodeString"}},
		{"Person", "phones", Explanation{From: []Direction{{Backend: "SQL", Table: "phones", Attribute: "number"}},
			To: []Direction{{Backend: "SQL", Table: "phones", Attribute: "number"}}, ValueType: "String (several)"}},
		{"Person", "label", Explanation{From: []Direction{{Backend: "NULL", Query: "concat($LDAP/cn, $SQL/a)", Reads: []string{"LDAP.cn", "SQL/employees.a"}}},
			To: []Direction{}, Notes: []string{"read-only: nothing writes it"}, ValueType: "String"}},
		{"Person", "password", Explanation{From: []Direction{}, To: []Direction{{Backend: "LDAP", Attribute: "password"}},
			Notes: []string{"secret: never read back, logged or shown"}, ValueType: "String"}},
		{"Person", "gone", Explanation{From: []Direction{}, To: []Direction{}, ValueType: "AclRole",
			Notes: []string{"not available: values of the type AclRole are not available"}}},
		{"Posix", "home", Explanation{From: []Direction{{Backend: "LDAP", Attribute: "home"}}, To: []Direction{{Backend: "LDAP", Attribute: "home"}},
			Notes: []string{"default by query: concat('/home/', uid)", "cannot be set while uid = x"}, ValueType: "String"}},
	} {
		c.want.Type, c.want.Attribute = c.typeName, c.attribute
		got, err := set.Explain(c.typeName, c.attribute)
		if err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], c.want) {
			t.Errorf("got  %+v (%v)\nwant %+v", got, err, c.want)
		}
	}
	if all, err := set.Explain("Person", ""); err != nil || len(all) != 8 {
		t.Errorf("got %d, %v", len(all), err)
	}
	for _, c := range [][2]string{{"Persn", ""}, {"Person", "udi"}} {
		_, err := set.Explain(c[0], c[1])
		if !clacks.IsKind(err, clacks.NotFound) {
			t.Errorf("%v: %v", c, err)
		} else {
			contains(t, err.Error(), "did you mean")
		}
	}
}
