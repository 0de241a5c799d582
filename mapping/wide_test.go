package mapping

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"clacks/backends"
	"clacks/definitions"
)

// TestQueriesThatReadEverything: a query whose reads cannot be told gets everything, and comes last.
func TestQueriesThatReadEverything(t *testing.T) {
	s := shapeOf(t, compiled(t, person(
		attr("all", definitions.UnicodeString, outboundTo("", "all", "string-join(*[not(name() = 'all')]/concat(name(), '=', .), ',')")),
		attr("names", definitions.UnicodeString, in("NULL"), mapped(definitions.Mapping{Inbound: xq("string-join(($LDAP/*/name(), $SQL/*/name()), ',')", 300)})),
		attr("phones", definitions.String, multi, in("SQL"), mapped(definitions.Mapping{Table: "phones", ForeignKey: "f", Attribute: "number"})),
		attr("here", definitions.Boolean, in("NULL"), mapped(definitions.Mapping{Inbound: xq("exists($SQL)", 301)})),
	)), "Person")
	ldap, _ := s.Source("LDAP")
	sql, _ := s.Source("SQL/employees")
	if !slices.Contains(ldap.Want, "*") || !slices.Contains(sql.Want, "*") || !slices.Contains(sql.Want, "phones/number") {
		t.Errorf("want %v and %v", ldap.Want, sql.Want)
	}
	if got := s.Wants([]string{"names"}); len(got) != 2 || !slices.Contains(got[1].Want, "phones/number") {
		t.Errorf("wants %+v", got)
	}
	if last := s.Attributes()[len(s.Attributes())-1]; last.Name != "all" {
		t.Errorf("%s comes last", last.Name)
	}
	got := inbound(t, s, Entries{
		"LDAP":          entry(backends.Values{"uid": one("ada"), "cn;lang-de": one("A"), "1.2.3": one("x"), "description": one("bell\a")}),
		"SQL/employees": entry(backends.Values{"odd name": one("x"), "phones/number": list("1", "2")})})
	if want := one("cn,description,uid,phones,phones"); !reflect.DeepEqual(got["names"], want) || !reflect.DeepEqual(got["here"], one(true)) {
		t.Errorf("got %v", got)
	}
	if got := inbound(t, s, Entries{"LDAP": entry(backends.Values{"uid": one("ada")})}); !reflect.DeepEqual(got["here"], one(false)) {
		t.Errorf("a row that does not exist: %v", got)
	}
	old := &Object{Type: "Person", Values: Values{"uid": one("ada"), "sn": one("L")}}
	object := &Object{Type: "Person", Values: Values{"uid": one("ada"), "sn": one("K")}}
	if got := outboundOf(t, s, old, object)["LDAP"].Touched["all"]; got != nil {
		t.Errorf("what is not known is written over: %v", got)
	}
	if got := outboundOf(t, s, nil, object)["LDAP"].Touched["all"]; !reflect.DeepEqual(got, one("uid=ada,sn=K")) {
		t.Errorf("got %v", got)
	}
}

// TestOutboundTypes: what a query yields keeps its type, and text in the form of the attribute's own type gets that.
func TestOutboundTypes(t *testing.T) {
	for _, c := range []struct {
		kind, stored definitions.AttributeType
		query        string
		want         []any
	}{
		{definitions.String, "", "'x', true(), 5, 1.5, 1.5e0", list("x", true, int64(5), "1.5", 1.5)},
		{definitions.String, "", "xs:dateTime('2024-02-29T12:00:00+01:00')", list(time.Date(2024, 2, 29, 11, 0, 0, 0, time.UTC))},
		{definitions.String, "", "xs:base64Binary('/9g=')", list([]byte{0xff, 0xd8})},
		{definitions.String, "", "'a', 'b', 'a', ''", list("a", "b")},
		{definitions.Integer, "", "'42', '042', 'x', 7e0", list(int64(42), "042", "x", int64(7))},
		{definitions.Boolean, "", "'true', 'TRUE', '1'", list(true, "TRUE", "1")},
		{definitions.Date, "", "'2024-02-29', '20240229'", list(day(2024, 2, 29), "20240229")},
		{definitions.Boolean, definitions.String, "true()", list("true")},
		{definitions.Boolean, definitions.Integer, "true()", list(int64(1))},
		{definitions.Timestamp, definitions.Integer, "xs:dateTime('1970-01-01T00:01:00Z')", list(int64(60))},
		{definitions.String, definitions.Boolean, "'1'", list(true)},
		{definitions.String, definitions.Integer, "()", nil},
	} {
		a := attr("x", c.kind, multi, outboundTo("", "x", c.query))
		a.BackendType = c.stored
		s := shapeOf(t, compiled(t, person(a)), "Person")
		got := outboundOf(t, s, nil, &Object{Type: "Person"})["LDAP"].Touched["x"]
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s as %q: %s: got %#v, want %#v", c.kind, c.stored, c.query, got, c.want)
		}
	}
}

// TestSeveralTables: a type may have several tables in one database; a mapping then names its own.
func TestSeveralTables(t *testing.T) {
	p := person(
		attr("badge", definitions.Integer, in("SQL"), mapped(definitions.Mapping{Table: "employees"})),
		attr("salary", definitions.Integer, in("SQL"), mapped(definitions.Mapping{Table: "payroll", Attribute: "amount"})),
	)
	p.Parameters = append(p.Parameters, parameters("SQL", "table", "payroll", "key", "uuid", "keyColumn", "person"))
	s := shapeOf(t, compiled(t, p), "Person")
	states := outboundOf(t, s, nil, &Object{UUID: "u-1", Type: "Person", Values: Values{"uid": one("ada"), "badge": one(int64(1)), "salary": one(int64(2))}})
	if got := states["SQL/payroll"]; got.Key != "u-1" || got.Source.Column != "person" || !reflect.DeepEqual(got.Touched, backends.Values{"amount": one(int64(2))}) {
		t.Errorf("payroll: %+v", got)
	}
	if got := states["SQL/employees"]; got.Key != "ada" || !reflect.DeepEqual(got.Touched, backends.Values{"badge": one(int64(1))}) {
		t.Errorf("employees: %+v", got)
	}
	p.Attributes = append(p.Attributes, attr("unclear", definitions.String, in("SQL")), attr("wrong", definitions.String, in("SQL"), mapped(definitions.Mapping{Table: "payrol"})))
	got := told(problemsOf(p))
	want := []string{
		`fixture.xml:100:1: Person.unclear does not say which table of SQL it is in [write <Mapping backend="SQL" table="..."/>]`,
		`fixture.xml:100:1: Person.wrong is mapped to the table payrol, which Person does not use; a child table needs a foreignKey [did you mean "payroll"?]`,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %s", strings.Join(got, "\n"))
	}
}

// TestBothDirectoryAndTable: an attribute may be stored twice; it is read from the first.
func TestBothDirectoryAndTable(t *testing.T) {
	a := attr("mail", definitions.String)
	a.Mappings = []definitions.Mapping{{Backend: "LDAP"}, {Backend: "SQL", Attribute: "mail_address"}}
	s := shapeOf(t, compiled(t, person(a)), "Person")
	states := outboundOf(t, s, nil, &Object{Type: "Person", Values: Values{"uid": one("ada"), "mail": one("a@b")}})
	if !reflect.DeepEqual(states["LDAP"].Touched["mail"], one("a@b")) || !reflect.DeepEqual(states["SQL/employees"].Touched["mail_address"], one("a@b")) {
		t.Errorf("states %+v", states)
	}
	got := inbound(t, s, Entries{"LDAP": entry(backends.Values{"mail": one("a@b")}), "SQL/employees": entry(backends.Values{"mail_address": one("c@d")})})
	if !reflect.DeepEqual(got["mail"], one("a@b")) {
		t.Errorf("got %v", got)
	}
}

// TestSameAttributeTwice: what the base type defines counts; what two extensions define, the first of them.
func TestSameAttributeTwice(t *testing.T) {
	other := posix(attr("sn", definitions.Integer))
	other.Name = "Other"
	other.Parameters = []definitions.BackendParameters{parameters("LDAP", "objectClasses", "otherAccount")}
	set, problems := compile([]*definitions.Type{person(), posix(), other}, Options{Kinds: kinds})
	if got, want := told(problems), []string{"warning: fixture.xml:100:1: Other.sn is also an attribute of Person, which counts [write a ForeignAttribute to use the base type's]"}; !reflect.DeepEqual(got, want) {
		t.Fatalf("got %v", got)
	}
	s := shapeOf(t, set, "Person", "Posix", "Other")
	if s.Attribute("sn").Owner != "Person" || s.Attribute("uidNumber").Owner != "Other" || len(s.Attributes()) != 5 {
		t.Errorf("attributes %+v", s.Attributes())
	}
}
