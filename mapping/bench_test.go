package mapping

import (
	"fmt"
	"testing"

	"clacks/backends"
	"clacks/definitions"
)

// benchShape has 20 direct attributes, and with a query one more.
func benchShape(b *testing.B, query bool) (*Shape, Entries, *Object) {
	b.Helper()
	p := person()
	values := backends.Values{"uid": one("ada"), "sn": one("Lovelace"), "givenName": one("Ada"), "objectClass": list("inetOrgPerson")}
	for i := range 17 {
		name := fmt.Sprintf("attribute%d", i)
		p.Attributes = append(p.Attributes, attr(name, definitions.UnicodeString))
		values[name] = one(fmt.Sprintf("value %d", i))
	}
	if query {
		p.Attributes = append(p.Attributes, attr("display", definitions.UnicodeString,
			outboundTo("upper-case(string-join((givenName, sn), ' '))", "display", "string-join((givenName, sn), ' ')")))
		values["display"] = one("x")
	}
	s := shapeOf(b, compiled(b, p), "Person")
	entries := Entries{"LDAP": entry(values)}
	return s, entries, &Object{UUID: "u", Type: "Person", Values: inbound(b, s, entries)}
}

func BenchmarkInbound(b *testing.B) {
	for _, query := range []bool{false, true} {
		b.Run(fmt.Sprintf("query=%v", query), func(b *testing.B) {
			s, entries, _ := benchShape(b, query)
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := s.Inbound(b.Context(), entries); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkOutbound(b *testing.B) {
	for _, query := range []bool{false, true} {
		for _, create := range []bool{true, false} {
			b.Run(fmt.Sprintf("query=%v/create=%v", query, create), func(b *testing.B) {
				s, _, old := benchShape(b, query)
				object := &Object{Type: "Person", Values: Values{}}
				for name, v := range old.Values {
					object.Values[name] = v
				}
				object.Values["sn"] = one("King")
				if create {
					old = nil
				}
				b.ReportAllocs()
				for b.Loop() {
					if _, err := s.Outbound(b.Context(), old, object); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkIdentify(b *testing.B) {
	set := employees(b)
	e := entry(backends.Values{"objectClass": list("top", "person", "organizationalPerson", "inetOrgPerson", "posixAccount", "shadowAccount")})
	e.DN = "cn=Ada,ou=people,dc=example,dc=net"
	b.ReportAllocs()
	for b.Loop() {
		base, extensions, ok := set.Identify("LDAP", e)
		if !ok {
			b.Fatal("not found")
		}
		if _, err := set.Shape(base, extensions); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	s := shapeOf(b, employees(b), "User")
	old := &Object{Type: "User", Values: Values{"uid": one("ada"), "cn": one("Ada"), "sn": one("L"), "mail": one("a@b")}}
	object := &Object{Type: "User", Values: Values{"uid": one("ada"), "cn": one("Ada"), "sn": one("L"), "mail": one("c@d")}}
	b.ReportAllocs()
	for b.Loop() {
		if fields, err := s.Check(b.Context(), old, object); err != nil || len(fields) > 0 {
			b.Fatal(fields, err)
		}
	}
}
