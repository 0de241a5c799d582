package mapping

import (
	"context"
	"strings"
	"testing"

	"clacks/backends"
	"clacks/definitions"
)

// The fixture types are made by hand, so that a test says what it needs and depends on no definition file.

var kinds = map[string]backends.Kind{"LDAP": backends.Tree, "SQL": backends.Table, "NULL": backends.None}

// at is a place in the fixture's imaginary file.
func at(line int) definitions.Position {
	return definitions.Position{File: "fixture.xml", Line: line, Column: 1}
}

func xq(text string, line int) *definitions.Query {
	return &definitions.Query{Text: text, Pos: definitions.Position{File: "fixture.xml", Line: line, Column: 10}}
}

// attr makes an attribute with the given changes.
func attr(name string, t definitions.AttributeType, changes ...func(*definitions.Attribute)) *definitions.Attribute {
	a := &definitions.Attribute{Name: name, Type: t, Backend: "LDAP", Pos: at(100)}
	for _, change := range changes {
		change(a)
	}
	return a
}

func multi(a *definitions.Attribute)     { a.MultiValue = true }
func mandatory(a *definitions.Attribute) { a.Mandatory = true }
func readOnly(a *definitions.Attribute)  { a.ReadOnly = true }
func secret(a *definitions.Attribute)    { a.Secret = true }
func unique(a *definitions.Attribute)    { a.Unique = true }
func in(backend string) func(*definitions.Attribute) {
	return func(a *definitions.Attribute) { a.Backend = backend }
}
func mapped(m definitions.Mapping) func(*definitions.Attribute) {
	return func(a *definitions.Attribute) { a.Mappings = append(a.Mappings, m) }
}
func defaults(text string) func(*definitions.Attribute) {
	return func(a *definitions.Attribute) { a.Default = &text }
}

func parameters(backend string, pairs ...string) definitions.BackendParameters {
	p := definitions.BackendParameters{Backend: backend, Values: map[string]string{}, Pos: at(10)}
	for i := 0; i < len(pairs); i += 2 {
		p.Values[pairs[i]] = pairs[i+1]
	}
	return p
}

// person is a base type in a directory and a table; posix extends it.
func person(attributes ...*definitions.Attribute) *definitions.Type {
	return &definitions.Type{
		Name: "Person", Base: true, Backend: "LDAP", Pos: at(1),
		Parameters: []definitions.BackendParameters{
			parameters("LDAP", "objectClasses", "inetOrgPerson", "RDN", "uid"),
			parameters("SQL", "table", "employees", "key", "uid=login"),
		},
		Attributes: append([]*definitions.Attribute{
			attr("uid", definitions.String, mandatory, unique),
			attr("sn", definitions.UnicodeString, mandatory),
			attr("givenName", definitions.UnicodeString),
		}, attributes...),
	}
}

func posix(attributes ...*definitions.Attribute) *definitions.Type {
	return &definitions.Type{
		Name: "Posix", Backend: "LDAP", Extends: []string{"Person"}, Pos: at(2),
		Parameters: []definitions.BackendParameters{parameters("LDAP", "objectClasses", "posixAccount")},
		Attributes: append([]*definitions.Attribute{
			attr("uidNumber", definitions.Integer, mandatory),
			attr("loginShell", definitions.String, defaults("/bin/sh")),
		}, attributes...),
	}
}

// compiled compiles types that must have no problem at all.
func compiled(t testing.TB, types ...*definitions.Type) *Set {
	t.Helper()
	set, problems := compile(types, Options{Kinds: kinds})
	for _, p := range problems {
		t.Errorf("%s:%d:%d: %s (%s)", p.File, p.Line, p.Column, p.Message, p.Hint)
	}
	if set == nil || len(problems) > 0 {
		t.FailNow()
	}
	return set
}

func shapeOf(t testing.TB, set *Set, base string, extensions ...string) *Shape {
	t.Helper()
	s, err := set.Shape(base, extensions)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// problemsOf are the problems of types as "line:column: message [hint]".
func problemsOf(types ...*definitions.Type) []definitions.Problem {
	_, problems := compile(types, Options{Kinds: kinds})
	return problems
}

func entry(values backends.Values) *backends.Entry { return &backends.Entry{Values: values} }

func one(v any) []any { return []any{v} }

func list(values ...any) []any { return append([]any{}, values...) }

func inbound(t testing.TB, s *Shape, entries Entries) Values {
	t.Helper()
	values, faults, err := s.Inbound(context.Background(), entries)
	if err != nil || len(faults) > 0 {
		t.Fatalf("Inbound: %v, %v", err, faults)
	}
	return values
}

func outboundOf(t testing.TB, s *Shape, old, object *Object) map[string]EntryState {
	t.Helper()
	states, err := s.Outbound(context.Background(), old, object)
	if err != nil {
		t.Fatal(err)
	}
	byID := map[string]EntryState{}
	for _, state := range states {
		if _, twice := byID[state.Source.ID]; twice {
			t.Errorf("two states for %s", state.Source.ID)
		}
		byID[state.Source.ID] = state
	}
	return byID
}

func contains(t *testing.T, text, part string) {
	t.Helper()
	if !strings.Contains(text, part) {
		t.Errorf("%q does not contain %q", text, part)
	}
}
