package mapping

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"clacks/definitions"
)

// told are the problems as people see them.
func told(problems []definitions.Problem) []string {
	var list []string
	for _, p := range problems {
		s := fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message)
		if p.Severity == definitions.Warning {
			s = "warning: " + s
		}
		if p.Hint != "" {
			s += " [" + p.Hint + "]"
		}
		list = append(list, s)
	}
	return list
}

// TestProblems holds the messages word by word: they are what an admin works with. Queries stand in column 10 of lines
// 201 to 205.
func TestProblems(t *testing.T) {
	group := func(attributes ...*definitions.Attribute) *definitions.Type {
		return &definitions.Type{Name: "Group", Base: true, Backend: "LDAP", Pos: at(5),
			Parameters: []definitions.BackendParameters{parameters("LDAP", "objectClasses", "groupOfNames", "RDN", "cn")},
			Attributes: append([]*definitions.Attribute{attr("cn", definitions.String, mandatory)}, attributes...)}
	}
	refers := func(r definitions.Reference) func(*definitions.Attribute) {
		return func(a *definitions.Attribute) { a.References = append(a.References, r) }
	}
	values := func(texts ...string) func(*definitions.Attribute) {
		return func(a *definitions.Attribute) {
			for _, s := range texts {
				a.Values = append(a.Values, definitions.Value{Text: s})
			}
		}
	}
	depends := func(names ...string) func(*definitions.Attribute) {
		return func(a *definitions.Attribute) { a.DependsOn = names }
	}
	changed := func(t *definitions.Type, change func(*definitions.Type)) *definitions.Type {
		change(t)
		return t
	}
	for _, c := range []struct {
		name  string
		types []*definitions.Type
		want  []string
	}{
		{"unknown attribute in an Outbound", []*definitions.Type{person(attr("x", definitions.String, outboundTo("", "x", "concat(givenName,\n  givnName)")))},
			[]string{`fixture.xml:202:3: Person has no attribute givnName [did you mean "givenName"?]`}},
		{"unknown attribute of $old", []*definitions.Type{person(attr("x", definitions.String, outboundTo("", "x", "$old/snn")))},
			[]string{`fixture.xml:201:15: Person has no attribute snn [did you mean "sn"?]`}},
		{"unknown attribute in Assert and Default", []*definitions.Type{person(attr("x", definitions.String, assert("nonsense", ""), defaultBy("y")))},
			[]string{"fixture.xml:204:10: Person has no attribute nonsense", "fixture.xml:205:10: Person has no attribute y"}},
		{"all problems at once, syntax too", []*definitions.Type{person(attr("x", definitions.String, assert("1 +", ""), outboundTo("", "x", "unknown")), attr("y", definitions.Binary, unique))},
			[]string{"fixture.xml:100:1: Person.y is unique, but values of the type Binary have no normal form to compare",
				"fixture.xml:201:10: Person has no attribute unknown", "fixture.xml:204:13: XPST0003"}},
		{"unknown variable", []*definitions.Type{person(attr("x", definitions.String, inboundBy("$LDPA/cn")))},
			[]string{`fixture.xml:203:10: XPST0008: the variable $LDPA is not declared [did you mean "$LDAP"?]`}},
		{"unknown function", []*definitions.Type{person(attr("x", definitions.String, inboundBy("clacks:transliterat(cn)")))},
			[]string{`fixture.xml:203:10: XPST0017: there is no function clacks:transliterat`}},
		{"no entry in a backend", []*definitions.Type{group(attr("x", definitions.String, inboundBy("$SQL/cn")))},
			[]string{"fixture.xml:203:15: x reads $SQL, but Group has no entry in SQL"}},
		{"unknown child table", []*definitions.Type{person(
			attr("n", definitions.String, multi, in("SQL"), mapped(definitions.Mapping{Table: "phones", ForeignKey: "f", Attribute: "number"})),
			attr("x", definitions.String, inboundBy("$SQL/fones/row/number")), attr("y", definitions.String, in("SQL"), inboundBy("phones/row/numbr")),
			attr("z", definitions.String, in("SQL"), inboundBy("phones/line/number")))},
			[]string{`fixture.xml:203:15: SQL/employees has no child table fones [did you mean "phones"?]`,
				"fixture.xml:203:17: the child table phones consists of row elements [write phones/row/number]",
				`fixture.xml:203:21: no attribute is mapped to the column numbr of phones [did you mean "number"?]`}},
		{"spelling", []*definitions.Type{person(attr("x", definitions.String, inboundBy("givenname || ''")))},
			[]string{"fixture.xml:203:10: givenname is spelled givenName elsewhere, and XQuery tells upper from lower case [write givenName]"}},
		{"parts of a value", []*definitions.Type{person(attr("x", definitions.String, outboundTo("", "x", "sn/first")))},
			[]string{"fixture.xml:201:13: the values of sn have no parts: first"}},
		{"effect in an Assert", []*definitions.Type{person(attr("x", definitions.Integer, assert("x = clacks:next-number('a', 'b', 1)", "")))},
			[]string{"fixture.xml:204:10: next-number must not be used in an Assert, which may run at any time [use it in an Outbound or a Default]"}},
		{"circle of outbounds", []*definitions.Type{person(attr("a", definitions.String, outboundTo("a", "a", "concat(b, 'x')")),
			attr("b", definitions.String, outboundTo("b", "b", "concat(c, 'x')")), attr("c", definitions.String, outboundTo("c", "c", "concat(a, 'x')")))},
			[]string{"fixture.xml:201:10: circle of attributes: a -> b -> c -> a"}},
		{"circle through an extension and DependsOn", []*definitions.Type{person(attr("a", definitions.String, defaultBy("concat(shell, 'x')"))),
			posix(attr("shell", definitions.String, depends("a")))},
			[]string{"fixture.xml:205:10: circle of attributes: a -> shell -> a"}},
		{"two writers", []*definitions.Type{person(attr("a", definitions.String), attr("b", definitions.String, mapped(definitions.Mapping{Attribute: "A"})))},
			[]string{"fixture.xml:100:1: Person.a and Person.b both write a of LDAP"}},
		{"writers in base and extension", []*definitions.Type{person(), posix(attr("b", definitions.String, outboundTo("", "sn", "'x'")))},
			[]string{"fixture.xml:201:10: Person.sn and Posix.b both write sn of LDAP"}},
		{"objectClass", []*definitions.Type{person(attr("a", definitions.String, mapped(definitions.Mapping{Attribute: "OBJECTCLASS", Pos: at(200)})))},
			[]string{"fixture.xml:200:1: Person.a writes objectClass, which tells the type [leave it to objectClasses and extensions]"}},
		{"secrets", []*definitions.Type{person(attr("a", definitions.String, secret, unique, inboundBy("concat(a, '')")), attr("b", definitions.String, assert("a", "")))},
			[]string{"fixture.xml:100:1: Person.a is secret, so that it cannot be unique: the answer would tell another's value",
				"fixture.xml:203:10: Person.a is secret and is never read back [leave out the Inbound]",
				"fixture.xml:204:10: a is secret: only an Outbound may read it, and its own Assert"}},
		{"read-only with an Outbound of its own value", []*definitions.Type{person(attr("a", definitions.String, readOnly, outboundTo("", "a", "upper-case(a)")))},
			[]string{"fixture.xml:201:10: Person.a is read-only, but its Outbound stores what is set [leave out ReadOnly or the Outbound]"}},
		{"defaults and values", []*definitions.Type{person(attr("a", definitions.Integer, defaults("x")), attr("b", definitions.String, values("red", "green"), defaults("gren")),
			attr("c", definitions.Boolean, values("maybe")))},
			[]string{`fixture.xml:100:1: Person.a has the default "x", which must be an integer`,
				`fixture.xml:100:1: Person.b has the default "gren", which is not among its values [did you mean "green"?]`,
				`fixture.xml:100:1: Person.c allows the value "maybe", which must be true or false`}},
		{"keys", []*definitions.Type{
			changed(person(), func(t *definitions.Type) { t.Parameters[1] = parameters("SQL", "table", "e", "key", "login=uid") }),
			changed(group(attr("several", definitions.String, multi)), func(t *definitions.Type) {
				t.Parameters = append(t.Parameters, parameters("SQL", "table", "g", "key", "several=x"))
			})},
			[]string{`fixture.xml:10:1: the key of SQL/e is the attribute login, which Person does not have [write the attribute first: key="uid=login"]`,
				"fixture.xml:10:1: the key of SQL/g is several, which has several values"}},
		{"parameters", []*definitions.Type{
			changed(person(), func(t *definitions.Type) {
				t.Parameters = []definitions.BackendParameters{parameters("LDAP"), parameters("SQL", "table", "a b")}
			})},
			[]string{`warning: fixture.xml:10:1: Person does not say which attribute names its entries in LDAP: none can be created [add RDN="..."]`,
				`fixture.xml:10:1: Person has no object classes in LDAP [add objectClasses="..."]`,
				`fixture.xml:10:1: Person names no table in SQL: "a b" [add table="..."]`}},
		{"key column", []*definitions.Type{person(attr("login", definitions.String, in("SQL")))},
			[]string{"fixture.xml:100:1: Person.login writes the column login of SQL/employees, which is its key and is filled from uid"}},
		{"several values in a column", []*definitions.Type{person(attr("n", definitions.String, multi, in("SQL")))},
			[]string{`fixture.xml:100:1: Person.n has several values, but a column holds one [give it a table of its own: <Mapping backend="SQL" table="..." foreignKey="..." attribute="..."/>]`}},
		{"two columns of a child table", []*definitions.Type{person(
			attr("n", definitions.String, multi, in("SQL"), mapped(definitions.Mapping{Table: "phones", ForeignKey: "f", Attribute: "number"})),
			attr("m", definitions.String, multi, in("SQL"), mapped(definitions.Mapping{Table: "phones", ForeignKey: "f", Attribute: "kind"})))},
			[]string{"fixture.xml:100:1: Person.m: a row of the child table phones holds one value, but number, kind are mapped [give each attribute a table of its own]"}},
		{"naming", []*definitions.Type{changed(person(), func(t *definitions.Type) { t.Parameters[0].Values["RDN"] = "udi" })},
			[]string{`fixture.xml:1:1: entries of Person are named by udi, which is none of its attributes [did you mean "uid"?]`}},
		{"naming by what is elsewhere", []*definitions.Type{changed(person(attr("badge", definitions.String, in("SQL"))), func(t *definitions.Type) { t.Parameters[0].Values["RDN"] = "badge" })},
			[]string{"fixture.xml:100:1: Person.badge names the entry, but is not stored in it [map it to LDAP]"}},
		{"primary backend", []*definitions.Type{changed(person(), func(t *definitions.Type) { t.Backend = "SQL" })},
			[]string{"fixture.xml:1:1: the primary backend SQL of the base type Person holds no tree of entries [name a directory in <Backend>, and map attributes to others]"}},
		{"extension without classes", []*definitions.Type{person(), changed(posix(), func(t *definitions.Type) { t.Parameters = nil })},
			[]string{"fixture.xml:2:1: the extension Posix has no object class in LDAP: nothing would say that it is active [add objectClasses to its BackendParameters]"}},
		{"no entry for a mapping", []*definitions.Type{group(attr("n", definitions.String, in("SQL")))},
			[]string{"fixture.xml:100:1: Group.n is mapped to SQL, where Group has no entry [add BackendParameters for SQL]"}},
		{"unknown backend", []*definitions.Type{group(attr("n", definitions.String, in("SQLite")))},
			[]string{"warning: fixture.xml:100:1: Group.n is not available: no backend SQLite is configured"}},
		{"references", []*definitions.Type{group(
			attr("a", definitions.String, refers(definitions.Reference{Object: "Persn", Attribute: "uid"})),
			attr("b", definitions.String, refers(definitions.Reference{Object: "Person", Attribute: "udi"})),
			attr("c", definitions.String, refers(definitions.Reference{Object: "*", Attribute: "uid"})),
			attr("d", definitions.String, refers(definitions.Reference{Object: "Person", Attribute: "uid", Mode: "inlin"})),
			attr("e", definitions.String, refers(definitions.Reference{Object: "Person", Attribute: "uid", Mode: "inline", IdentifyPattern: "(x"}))), person()},
			[]string{`fixture.xml:100:1: Group.a refers to the type Persn, which does not exist [did you mean "Person"?]`,
				`fixture.xml:100:1: Group.b refers to Person.udi, which does not exist [did you mean "uid"?]`,
				"fixture.xml:100:1: Group.c: a reference to all types can only be to their dn",
				`fixture.xml:100:1: Group.d: a reference has no mode "inlin" [did you mean "inline"?]`,
				"fixture.xml:100:1: Group.e: the identify-pattern does not contain %s [write %s where the referenced value stands]",
				"fixture.xml:100:1: Group.e: the identify-pattern is no regular expression"}},
		{"what is not known yet", []*definitions.Type{person(attr("a", definitions.String, outboundTo("concat(a, '')", "a", "upper-case(sn)")),
			attr("b", definitions.String, outboundTo("", "b", "lower-case(a)")))},
			[]string{"fixture.xml:201:10: Person.b reads a, whose own value is computed and is not known yet"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			problems := problemsOf(c.types...)
			got := told(problems)
			if len(got) != len(c.want) || !slices.EqualFunc(got, c.want, strings.HasPrefix) {
				t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(c.want, "\n  "))
			}
		})
	}
}

// TestProblemShowsLine: a problem inside a query comes with the line, so that it can be shown with a caret.
func TestProblemShowsLine(t *testing.T) {
	problems := problemsOf(person(attr("x", definitions.String, outboundTo("", "x", "concat(givenName,\n  givnName)"))))
	if len(problems) != 1 || problems[0].Source != "  givnName)" {
		t.Errorf("got %+v", problems)
	}
}

// TestSharedProblemsOnce: an extension of several base types says what is wrong with it once.
func TestSharedProblemsOnce(t *testing.T) {
	other := person()
	other.Name = "Robot"
	ext := posix(attr("x", definitions.String, outboundTo("", "x", "nowhere")))
	ext.Extends = []string{"Person", "Robot"}
	got := told(problemsOf(person(), other, ext))
	want := []string{"fixture.xml:201:10: Person has no attribute nowhere", "fixture.xml:201:10: Robot has no attribute nowhere"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}
