package mapping

import (
	"reflect"
	"testing"
	"time"

	"clacks"
	"clacks/backends"
	"clacks/definitions"
)

func directTypes() []*definitions.Type {
	return []*definitions.Type{
		person(
			attr("mail", definitions.String, multi),
			attr("phone", definitions.String, mapped(definitions.Mapping{Attribute: "telephoneNumber"})),
			attr("photo", definitions.Binary, mapped(definitions.Mapping{Attribute: "jpegPhoto"})),
			attr("born", definitions.Date, mapped(definitions.Mapping{Attribute: "birthDate"})),
			attr("active", definitions.Boolean),
			attr("badge", definitions.Integer, in("SQL")),
			attr("numbers", definitions.String, multi, in("SQL"),
				mapped(definitions.Mapping{Table: "phones", ForeignKey: "employee", Attribute: "number"})),
			attr("auto", definitions.Boolean, in("NULL"), defaults("true")),
			attr("password", definitions.String, secret, mapped(definitions.Mapping{Attribute: "userPassword"})),
			attr("gone", definitions.AclSet),
		),
		posix(),
	}
}

func TestShapeSources(t *testing.T) {
	set := compiled(t, directTypes()...)
	s := shapeOf(t, set, "Person", "Posix")
	if got, _ := set.Shape("Person", []string{"Posix"}); got != s {
		t.Error("the shape is not cached")
	}
	ldap, ok := s.Source("LDAP")
	if !ok || !ldap.Primary || s.Sources()[0] != ldap {
		t.Fatalf("sources: %+v", s.Sources())
	}
	if want := []string{"inetOrgPerson", "posixAccount"}; !reflect.DeepEqual(ldap.ObjectClasses, want) {
		t.Errorf("classes %v, want %v", ldap.ObjectClasses, want)
	}
	wantWant := []string{"objectClass", "uid", "sn", "givenName", "mail", "telephoneNumber", "jpegPhoto", "birthDate",
		"active", "uidNumber", "loginShell"}
	if !reflect.DeepEqual(ldap.Want, wantWant) {
		t.Errorf("Want %v", ldap.Want)
	}
	sql, ok := s.Source("SQL/employees")
	if !ok || sql.Column != "login" || sql.KeyAttribute != "uid" || sql.Table != "employees" || sql.Primary {
		t.Errorf("table source %+v", sql)
	}
	if want := (map[string]string{"phones": "employee"}); !reflect.DeepEqual(sql.Children, want) {
		t.Errorf("children %v", sql.Children)
	}
	if want := []string{"badge", "phones/number"}; !reflect.DeepEqual(sql.Want, want) {
		t.Errorf("Want %v", sql.Want)
	}
	if base := shapeOf(t, set, "Person"); base.Attribute("uidNumber") != nil || len(base.Sources()[0].ObjectClasses) != 1 {
		t.Error("the base's shape has the extension's attributes or classes")
	}
	if got := s.Wants([]string{"badge", "nonsense"}); len(got) != 1 || got[0].Source.ID != "SQL/employees" ||
		!reflect.DeepEqual(got[0].Want, []string{"badge"}) {
		t.Errorf("Wants(badge) = %+v", got)
	}
	if got := s.Wants(nil); len(got) != 2 || len(got[0].Want) != len(wantWant) {
		t.Errorf("Wants(nil) = %+v", got)
	}
}

func TestShapeRefuses(t *testing.T) {
	set := compiled(t, directTypes()...)
	for _, c := range []struct {
		base string
		ext  []string
		kind clacks.Kind
	}{
		{"Nobody", nil, clacks.NotFound},
		{"Posix", nil, clacks.NotFound},
		{"Person", []string{"Person"}, clacks.Invalid},
		{"Person", []string{"Posix", "Posix"}, clacks.Invalid},
	} {
		if _, err := set.Shape(c.base, c.ext); clacks.KindOf(err) != c.kind {
			t.Errorf("Shape(%s, %v): %v", c.base, c.ext, err)
		}
	}
}

func TestAttributeWays(t *testing.T) {
	s := shapeOf(t, compiled(t, directTypes()...), "Person")
	for name, want := range map[string][2]bool{ // readable, writable
		"uid": {true, true}, "password": {false, true}, "auto": {false, true}, "gone": {false, false},
	} {
		if a := s.Attribute(name); a.Readable != want[0] || a.Writable != want[1] {
			t.Errorf("%s: readable %v, writable %v", name, a.Readable, a.Writable)
		}
	}
	if s.Attribute("gone").Unavailable == "" {
		t.Error("an AclSet counts as available")
	}
	for _, a := range s.Attributes() {
		if a.Name == "gone" {
			t.Error("an unavailable attribute is among the shape's")
		}
	}
}

func TestInboundDirect(t *testing.T) {
	s := shapeOf(t, compiled(t, directTypes()...), "Person")
	got := inbound(t, s, Entries{
		"LDAP": entry(backends.Values{
			"uid": one("ada"), "sn": one("Lovelace"), "mail": list("a@x", "b@x"), "telephoneNumber": one("1"),
			"jpegPhoto": one("\xff\xd8"), "birthDate": one("18151210000000Z"), "active": one("TRUE"),
			"userPassword": one("{SSHA}x"), "description": one("not asked for"),
		}),
		"SQL/employees": entry(backends.Values{"badge": one(int64(7)), "phones/number": list("11", "22")}),
	})
	want := Values{
		"uid": one("ada"), "sn": one("Lovelace"), "mail": list("a@x", "b@x"), "phone": one("1"),
		"photo": one([]byte("\xff\xd8")), "born": one(time.Date(1815, 12, 10, 0, 0, 0, 0, time.UTC)), "active": one(true),
		"badge": one(int64(7)), "numbers": list("11", "22"), "auto": one(true),
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestInboundFaults(t *testing.T) {
	s := shapeOf(t, compiled(t, directTypes()...), "Person")
	values, faults, err := s.Inbound(t.Context(), Entries{"LDAP": entry(backends.Values{
		"sn": list("Smith", "Jones"), "active": one("perhaps"), "birthDate": one("yesterday"), "givenName": one("\xff"),
	})})
	if err != nil {
		t.Fatal(err)
	}
	if want := (Values{"sn": one("Smith"), "auto": one(true)}); !reflect.DeepEqual(values, want) {
		t.Errorf("values %v", values)
	}
	found := map[string]bool{}
	for _, f := range faults {
		found[f.Attribute] = true
		if f.Source != "LDAP" || f.Reason == "" {
			t.Errorf("fault %+v", f)
		}
	}
	if want := (map[string]bool{"sn": true, "active": true, "born": true, "givenName": true}); !reflect.DeepEqual(found, want) {
		t.Errorf("faults of %v", found)
	}
}

func TestOutboundCreate(t *testing.T) {
	s := shapeOf(t, compiled(t, directTypes()...), "Person", "Posix")
	states := outboundOf(t, s, nil, &Object{UUID: "u-1", Type: "Person", Extensions: []string{"Posix"}, Values: Values{
		"uid": one("ada"), "sn": one("Lovelace"), "givenName": nil, "mail": list("a@x", "a@x", ""), "badge": one(int64(7)),
		"numbers": list("11"), "auto": one(true), "password": one("secret"), "uidNumber": one(int64(1000)), "active": one(false),
	}})
	want := backends.Values{
		"objectClass": list("inetOrgPerson", "posixAccount"), "uid": one("ada"), "sn": one("Lovelace"), "mail": list("a@x"),
		"userPassword": one("secret"), "uidNumber": one(int64(1000)), "active": one(false),
	}
	if got := states["LDAP"].Touched; !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	row := states["SQL/employees"]
	if want := (backends.Values{"badge": one(int64(7)), "phones/number": one("11")}); !reflect.DeepEqual(row.Touched, want) || row.Key != "ada" {
		t.Errorf("row %+v", row)
	}
}

func TestOutboundUpdate(t *testing.T) {
	s := shapeOf(t, compiled(t, directTypes()...), "Person")
	old := &Object{Type: "Person", Values: Values{"uid": one("ada"), "sn": one("Byron"), "mail": list("a", "b"), "auto": one(true)}}
	with := func(changes Values) *Object {
		o := &Object{Type: "Person", Values: Values{}}
		for _, values := range []Values{old.Values, changes} {
			for name, v := range values {
				o.Values[name] = v
			}
		}
		return o
	}
	if states := outboundOf(t, s, old, with(Values{"mail": list("b", "a")})); len(states) != 0 {
		t.Errorf("nothing changed, but %+v", states)
	}
	states := outboundOf(t, s, old, with(Values{"sn": one("Lovelace"), "mail": nil, "auto": one(false)}))
	want := backends.Values{"sn": one("Lovelace"), "mail": list()}
	if got := states["LDAP"].Touched; len(states) != 1 || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", states)
	}
	// A row moves with its key, even if none of its columns changes.
	states = outboundOf(t, s, old, with(Values{"uid": one("countess")}))
	if row := states["SQL/employees"]; row.Key != "countess" || len(row.Touched) != 0 {
		t.Errorf("row %+v", row)
	}
	// A secret that the object does not name stays; one that is named empty goes.
	states = outboundOf(t, s, old, with(Values{"password": list()}))
	if got := states["LDAP"].Touched; !reflect.DeepEqual(got, backends.Values{"userPassword": list()}) {
		t.Errorf("clearing a secret: %v", got)
	}
}

func TestOutboundNeedsKey(t *testing.T) {
	s := shapeOf(t, compiled(t, directTypes()...), "Person")
	_, err := s.Outbound(t.Context(), nil, &Object{Type: "Person", Values: Values{"sn": one("X"), "badge": one(int64(1))}})
	if !clacks.IsKind(err, clacks.Invalid) {
		t.Fatalf("a row without key: %v", err)
	}
	contains(t, err.Error(), "uid: is needed: it is the key of SQL/employees")
}

func TestExtendAndRetract(t *testing.T) {
	posixWithTable := posix(attr("quota", definitions.Integer, in("SQL"), mapped(definitions.Mapping{Table: "quotas"})))
	posixWithTable.Parameters = append(posixWithTable.Parameters, parameters("SQL", "table", "quotas", "key", "uuid"))
	types := directTypes()
	types[1] = posixWithTable
	set := compiled(t, types...)
	base, extended := shapeOf(t, set, "Person"), shapeOf(t, set, "Person", "Posix")
	plain := &Object{UUID: "u-1", Type: "Person", Values: Values{"uid": one("ada"), "sn": one("L")}}
	posix := &Object{UUID: "u-1", Type: "Person", Extensions: []string{"Posix"}, Values: Values{
		"uid": one("ada"), "sn": one("L"), "uidNumber": one(int64(5)), "quota": one(int64(9))}}

	states := outboundOf(t, extended, plain, posix)
	want := backends.Values{"objectClass": list("inetOrgPerson", "posixAccount"), "uidNumber": one(int64(5))}
	if got := states["LDAP"]; !reflect.DeepEqual(got.Touched, want) || got.Drop != nil {
		t.Errorf("extend: %+v", got)
	}
	if got := states["SQL/quotas"]; got.Key != "u-1" || got.Source.Column != "uuid" || !reflect.DeepEqual(got.Touched, backends.Values{"quota": one(int64(9))}) {
		t.Errorf("extend: %+v", got)
	}

	states = outboundOf(t, base, posix, plain)
	want = backends.Values{"objectClass": list("inetOrgPerson"), "uidNumber": list(), "loginShell": list()}
	if got := states["LDAP"]; !reflect.DeepEqual(got.Touched, want) || !reflect.DeepEqual(got.Drop, []string{"posixAccount"}) {
		t.Errorf("retract: %+v", got)
	}
	if got := states["SQL/quotas"]; !got.Gone || len(got.Touched) != 0 {
		t.Errorf("retract: %+v", got)
	}
	// Classes of others stay.
	state := states["LDAP"]
	target := state.Target(entry(backends.Values{"objectClass": list("top", "INETORGPERSON", "PosixAccount", "dynamicObject")}))
	if got, want := target["objectClass"], list("inetOrgPerson", "top", "dynamicObject"); !reflect.DeepEqual(got, want) {
		t.Errorf("classes %v, want %v", got, want)
	}
	// What the entries will be.
	after := After(Entries{
		"LDAP":       entry(backends.Values{"uid": one("ada"), "uidNumber": one(int64(5)), "objectClass": list("inetOrgPerson", "posixAccount")}),
		"SQL/quotas": entry(backends.Values{"quota": one(int64(9))}),
	}, []EntryState{states["LDAP"], states["SQL/quotas"]})
	if want := (Entries{"LDAP": entry(backends.Values{"uid": one("ada"), "objectClass": list("inetOrgPerson")})}); !reflect.DeepEqual(after, want) {
		t.Errorf("after %v", after)
	}
}

func TestIdentify(t *testing.T) {
	unit := func(name, fixed string) *definitions.Type {
		return &definitions.Type{Name: name, Base: true, Backend: "LDAP", FixedRDN: fixed, Pos: at(1),
			Parameters: []definitions.BackendParameters{parameters("LDAP", "objectClasses", "organizationalUnit", "RDN", "ou")},
			Attributes: []*definitions.Attribute{attr("ou", definitions.UnicodeString)}}
	}
	named := func(name, classes, rdn string) *definitions.Type {
		return &definitions.Type{Name: name, Base: true, Backend: "LDAP", Pos: at(1),
			Parameters: []definitions.BackendParameters{parameters("LDAP", "objectClasses", classes, "RDN", rdn)},
			Attributes: []*definitions.Attribute{attr(rdn, definitions.UnicodeString)}}
	}
	set := compiled(t, append(directTypes(), unit("Unit", ""), unit("People", "ou=people"),
		named("Organization", "organization", "o"), named("Component", "dcObject,organization", "dc"),
		named("Device", "device", "cn"), named("Serial", "device", "serialNumber"))...)
	for _, c := range []struct {
		dn      string
		classes []any
		base    string
		ext     []string
	}{
		{"uid=a,dc=x", list("top", "person", "inetorgperson"), "Person", nil},
		{"uid=a,dc=x", list("InetOrgPerson", "POSIXACCOUNT"), "Person", []string{"Posix"}},
		{"uid=a,dc=x", list("posixAccount"), "", nil},
		{"OU=People,dc=x", list("organizationalUnit"), "People", nil},
		{"ou=peoples,dc=x", list("organizationalUnit"), "Unit", nil},
		{"dc=x", list("organization", "dcObject"), "Component", nil},
		{"o=x", list("organization"), "Organization", nil},
		{"cn=x", list("device"), "Device", nil},
		{"serialNumber=x", list("device"), "Serial", nil},
		{"l=x", list("device"), "Device", nil},
		{"o=x", nil, "", nil},
	} {
		e := entry(backends.Values{"objectClass": c.classes})
		e.DN = c.dn
		base, ext, ok := set.Identify("LDAP", e)
		if base != c.base || ok != (c.base != "") || !reflect.DeepEqual(ext, c.ext) {
			t.Errorf("%s %v: %s %v %v, want %s %v", c.dn, c.classes, base, ext, ok, c.base, c.ext)
		}
	}
	if _, _, ok := set.Identify("SQL", entry(backends.Values{"objectClass": one("device")})); ok {
		t.Error("a type is found in a backend that holds none")
	}
}

// TestRDNIsTranslated: a definition names entries by an attribute of the object, a source by one of the directory.
func TestRDNIsTranslated(t *testing.T) {
	town := &definitions.Type{Name: "Town", Base: true, Backend: "LDAP", Pos: at(1),
		Parameters: []definitions.BackendParameters{parameters("LDAP", "objectClasses", "locality", "RDN", "name,st")},
		Attributes: []*definitions.Attribute{attr("name", definitions.UnicodeString, mapped(definitions.Mapping{Attribute: "l"})),
			attr("state", definitions.UnicodeString, mapped(definitions.Mapping{Attribute: "st"}))}}
	source, _ := shapeOf(t, compiled(t, town), "Town").Source("LDAP")
	if want := []string{"l", "st"}; !reflect.DeepEqual(source.RDN, want) {
		t.Errorf("RDN %v, want %v", source.RDN, want)
	}
}

func TestFixedRDNIsWritten(t *testing.T) {
	people := &definitions.Type{Name: "People", Base: true, Backend: "LDAP", FixedRDN: "ou=people", Pos: at(1),
		Parameters: []definitions.BackendParameters{parameters("LDAP", "objectClasses", "organizationalUnit", "RDN", "ou")}}
	s := shapeOf(t, compiled(t, people), "People")
	states := outboundOf(t, s, nil, &Object{Type: "People"})
	if want := (backends.Values{"ou": one("people"), "objectClass": one("organizationalUnit")}); !reflect.DeepEqual(states["LDAP"].Touched, want) {
		t.Errorf("got %v", states["LDAP"].Touched)
	}
}
