package ldap_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"clacks"
	"clacks/backends"
	"clacks/backends/ldap"
	"clacks/internal/testservers"
)

const extraSchema = `
attributetype ( 2.25.31337.1.1 NAME 'testFlag' EQUALITY booleanMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.7 SINGLE-VALUE )
attributetype ( 2.25.31337.1.2 NAME 'testTime' EQUALITY generalizedTimeMatch ORDERING generalizedTimeOrderingMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.24 )
attributetype ( 2.25.31337.1.3 NAME 'testNumber' EQUALITY integerMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 )
attributetype ( 2.25.31337.1.4 NAME 'testBytes' EQUALITY octetStringMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 )
attributetype ( 2.25.31337.1.5 NAME 'testUUID' EQUALITY UUIDMatch SYNTAX 1.3.6.1.1.16.1 SINGLE-VALUE )
objectclass ( 2.25.31337.2.1 NAME 'testThing' SUP top AUXILIARY MAY ( testFlag $ testTime $ testNumber $ testBytes $ testUUID ) )
`

// extended is a server with attributes of every syntax that the driver tells apart.
func extended(t *testing.T) *testservers.SlapdServer {
	file := filepath.Join(t.TempDir(), "extra.schema")
	if err := os.WriteFile(file, []byte(extraSchema), 0o600); err != nil {
		t.Fatal(err)
	}
	return testservers.Slapd(t, testservers.WithoutSync(), testservers.WithSchema(file))
}

// thing is the change that creates a unit with the attributes of extraSchema.
func thing(base, ou string, values backends.Values) backends.Change {
	c := create(base, ou)
	c.Add["objectClass"] = []backends.Value{"organizationalUnit", "testThing"}
	for name, list := range values {
		c.Add[name] = list
	}
	return c
}

func TestTypesOfTheSchema(t *testing.T) {
	server := extended(t)
	backend := open(t, server)
	at := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	c := thing(server.Base, "typed", backends.Values{
		"testFlag": {true}, "testTime": {at.In(time.FixedZone("", 7200))}, "testNumber": {int64(-5)}, "testBytes": {[]byte{0, 1}},
	})
	if _, err := backend.Apply(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	entry, err := backend.Read(t.Context(), c.Ref, []string{"*", "createTimestamp"})
	if err != nil {
		t.Fatal(err)
	}
	if got := entry.Values["testFlag"][0]; got != true {
		t.Errorf("a boolean is %T %v", got, got)
	}
	if got := entry.Values["testTime"][0]; got != at {
		t.Errorf("a time is %T %v", got, got)
	}
	if got := entry.Values["testNumber"][0]; got != int64(-5) {
		t.Errorf("an integer is %T %v", got, got)
	}
	if got, ok := entry.Values["testBytes"][0].([]byte); !ok || string(got) != "\x00\x01" {
		t.Errorf("octets are %T", entry.Values["testBytes"][0])
	}
	if created, ok := entry.Values["createTimestamp"][0].(time.Time); !ok || time.Since(created).Abs() > time.Hour {
		t.Errorf("createTimestamp is %T %v", entry.Values["createTimestamp"][0], created)
	}
	// The values that were read are values that can be deleted and guarded by.
	change := backends.Change{Op: backends.OpModify, Ref: c.Ref, Guard: backends.Guard{Old: backends.Values{}}}
	for _, name := range []string{"testFlag", "testTime", "testNumber", "testBytes"} {
		change.Guard.Old[name] = entry.Values[name]
		change.Mods = append(change.Mods, backends.Mod{Attribute: name, Delete: entry.Values[name]})
	}
	if _, err := backend.Apply(t.Context(), change); err != nil {
		t.Fatal(err)
	}
}

func TestUUIDInAnotherAttribute(t *testing.T) {
	server := extended(t)
	backend := open(t, server, func(o *ldap.Options) { o.UUIDAttribute = "testUUID" })
	if err := backend.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := thing(server.Base, "chosen", nil)
	c.Ref.UUID = "6d0f2c3a-8f57-4d7c-9f3a-0b8f6f3a1c55"
	if _, err := backend.Apply(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	entry, err := backend.Read(t.Context(), backends.Ref{UUID: c.Ref.UUID}, []string{"ou"})
	if err != nil || entry.DN != c.Ref.DN || entry.UUID != c.Ref.UUID {
		t.Fatalf("%+v, %v", entry, err)
	}
	// That attribute may be written twice; an ambiguous UUID must not name either entry.
	twin := thing(server.Base, "twin", nil)
	twin.Ref.UUID = c.Ref.UUID
	if _, err := backend.Apply(t.Context(), twin); err != nil {
		t.Fatal(err)
	}
	_, err = backend.Read(t.Context(), backends.Ref{UUID: c.Ref.UUID}, nil)
	wantKind(t, "read by an ambiguous UUID", err, clacks.Conflict)
	_, err = backend.Apply(t.Context(), backends.Change{Op: backends.OpDelete, Ref: backends.Ref{UUID: c.Ref.UUID}})
	wantKind(t, "delete by an ambiguous UUID", err, clacks.Conflict)
}

// TestSchemaRefusals checks that what the directory's schema refuses names the attribute.
func TestSchemaRefusals(t *testing.T) {
	server := extended(t)
	backend := open(t, server)
	person := func(change backends.Values) backends.Change {
		values := backends.Values{"objectClass": {"inetOrgPerson"}, "cn": {"a"}, "sn": {"b"}}
		for name, list := range change {
			values[name] = list
		}
		return backends.Change{Op: backends.OpCreate, Ref: backends.Ref{DN: "cn=a," + server.Base}, Add: values}
	}
	for _, test := range []struct {
		what, attribute, code string
		change                backends.Change
	}{
		{"mandatory", "sn", clacks.CodeMandatory, person(backends.Values{"sn": nil})},
		{"undefined", "foo", clacks.CodeUnknown, person(backends.Values{"foo": {"x"}})},
		{"not allowed", "gidNumber", clacks.CodeUnknown, person(backends.Values{"gidNumber": {int64(1)}})},
		{"single", "displayName", clacks.CodeSingle, person(backends.Values{"displayName": {"a", "b"}})},
		{"syntax", "description", clacks.CodeType, person(backends.Values{"description": {""}})},
		{"class", "objectClass", clacks.CodeType, person(backends.Values{"objectClass": {"noSuchClass"}})},
		{"name", "c)(d", clacks.CodeUnknown, person(backends.Values{"c)(d": {"x"}})},
		{"boolean", "testFlag", clacks.CodeType, thing(server.Base, "x", backends.Values{"testFlag": {"yes"}})},
	} {
		_, err := backend.Apply(t.Context(), test.change)
		wantKind(t, test.what, err, clacks.Invalid)
		var e *clacks.Error
		if errors.As(err, &e); len(e.Fields) != 1 || e.Fields[0].Attribute != test.attribute || e.Fields[0].Code != test.code {
			t.Errorf("%s: fields %+v", test.what, e.Fields)
		}
	}
	if _, err := backend.Apply(t.Context(), person(nil)); err != nil {
		t.Fatal(err)
	}
	ref := backends.Ref{DN: "cn=a," + server.Base}
	_, err := backend.Apply(t.Context(), backends.Change{Op: backends.OpModify, Ref: ref, Mods: []backends.Mod{{Attribute: "sn", Delete: []backends.Value{"b"}}}})
	wantKind(t, "deleting a mandatory value", err, clacks.Invalid)
	_, err = backend.Apply(t.Context(), backends.Change{Op: backends.OpModify, Ref: ref, Mods: []backends.Mod{{Attribute: "cn", Delete: []backends.Value{"a"}}}})
	wantKind(t, "deleting the value of the name", err, clacks.Invalid)
	outside := backends.Change{Op: backends.OpCreate, Ref: backends.Ref{DN: "ou=a,dc=other"}, Add: backends.Values{"objectClass": {"organizationalUnit"}, "ou": {"a"}}}
	if _, err := backend.Apply(t.Context(), outside); !clacks.IsKind(err, clacks.NotFound) && !clacks.IsKind(err, clacks.Invalid) {
		t.Errorf("an entry outside of the directory: %v", err)
	}
}

// TestSchemaChangesAtRunTime adds an attribute while the driver runs; after the server was restarted it knows its type.
func TestSchemaChangesAtRunTime(t *testing.T) {
	server := testservers.Slapd(t, testservers.WithoutSync())
	backend := open(t, server)
	if err := backend.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	config, err := goldap.DialURL(server.LDAPI)
	if err != nil {
		t.Fatal(err)
	}
	defer config.Close() //nolint:errcheck // a test's connection
	if err := config.ExternalBind(); err != nil {
		t.Fatal(err)
	}
	request := goldap.NewAddRequest("cn=extra,cn=schema,cn=config", nil)
	request.Attribute("objectClass", []string{"olcSchemaConfig"})
	request.Attribute("olcAttributeTypes", []string{"( 2.25.31337.1.9 NAME 'testNew' EQUALITY integerMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 )"})
	request.Attribute("olcObjectClasses", []string{"( 2.25.31337.2.9 NAME 'testNewThing' SUP top AUXILIARY MAY testNew )"})
	if err := config.Add(request); err != nil {
		t.Fatal(err)
	}
	c := create(server.Base, "new")
	c.Add["objectClass"], c.Add["testNew"] = []backends.Value{"organizationalUnit", "testNewThing"}, []backends.Value{int64(3)}
	if _, err := backend.Apply(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	wantKind(t, "ping", backend.Ping(t.Context()), clacks.Unavailable)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { return backend.Ping(t.Context()) })
	entry, err := backend.Read(t.Context(), c.Ref, []string{"testNew"})
	if err != nil || entry.Values["testNew"][0] != int64(3) {
		t.Fatalf("%v, %v", entry, err)
	}
}

// TestUniqueOverlay checks that a server which keeps values unique is understood.
func TestUniqueOverlay(t *testing.T) {
	const folder = "/usr/lib/ldap"
	if _, err := os.Stat(folder + "/unique.so"); err != nil {
		t.Skip("the overlay unique is not installed")
	}
	server := testservers.Slapd(t, testservers.WithoutSync(), testservers.WithDatabase(
		"moduleload unique", "overlay unique", `unique_uri "ldap:///dc=example,dc=net?description?sub"`))
	backend := open(t, server)
	for i, ou := range []string{"one", "two"} {
		c := create(server.Base, ou)
		c.Add["description"] = []backends.Value{"same"}
		_, err := backend.Apply(t.Context(), c)
		if i == 0 && err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			wantKind(t, "a second entry with a unique value", err, clacks.NotUnique)
		}
	}
}
