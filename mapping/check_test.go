package mapping

import (
	"cmp"
	"context"
	"reflect"
	"slices"
	"strings"
	"testing"

	"clacks"
	"clacks/definitions"
)

func blockedWhile(name, value string) func(*definitions.Attribute) {
	return func(a *definitions.Attribute) {
		a.BlockedBy = append(a.BlockedBy, definitions.Blocker{Attribute: name, Value: value})
	}
}

// checkedTypes have one attribute for each thing that can be wrong.
func checkedTypes() []*definitions.Type {
	colour := attr("colour", definitions.String)
	colour.Values = []definitions.Value{{Key: "r", Text: "red"}, {Text: "green"}}
	shelf := attr("shelf", definitions.String)
	shelf.ValuesQuery = xq("for $i in 1 to 3 return concat(sn, $i)", 206)
	return []*definitions.Type{
		person(
			colour, shelf,
			attr("mail", definitions.String, multi, assert("every $m in mail satisfies contains($m, '@')", "needs an @")),
			attr("created", definitions.Timestamp, readOnly),
			attr("auto", definitions.Boolean, in("NULL"), defaults("true")),
			attr("number", definitions.Integer, blockedWhile("auto", "true"), assert("not($old/number) or number >= $old/number", "")),
			attr("displayName", definitions.UnicodeString, mandatory, outboundTo("displayName", "displayName", "string-join((givenName, sn), ' ')")),
			attr("initials", definitions.UnicodeString, mandatory, outboundTo("initials", "initials", "substring(givenName, 1, 1)[. ne '']")),
			attr("pin", definitions.String, secret, mandatory, assert("string-length(pin) = 4", "has four digits"), func(a *definitions.Attribute) {
				a.Values = []definitions.Value{{Text: "1234"}, {Text: "12345"}}
			}),
			attr("broken", definitions.String, assert("not(broken) or xs:integer(broken) > 0", "")),
			attr("virtual", definitions.String, inboundBy("concat(sn, '')")),
			attr("acl", definitions.AclSet),
		),
		posix(attr("home", definitions.String, mandatory, blockedWhile("auto", "true"), defaultBy("concat('/home/', uid)"))),
	}
}

func checked(t *testing.T, s *Shape, old, object *Object) []string {
	t.Helper()
	fields, err := s.Check(t.Context(), old, object)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(fields, func(x, y clacks.Field) int {
		return cmp.Or(strings.Compare(x.Attribute, y.Attribute), strings.Compare(x.Code, y.Code))
	})
	var list []string
	for _, f := range fields {
		list = append(list, f.Attribute+" "+f.Code+": "+f.Reason)
	}
	return list
}

func good() Values {
	return Values{"uid": one("ada"), "sn": one("L"), "givenName": one("Ada"), "pin": one("1234"), "auto": one(true)}
}

func goodBut(name string, values ...any) *Object {
	o := &Object{Type: "Person", Values: good()}
	o.Values[name] = values
	return o
}

func TestCheck(t *testing.T) {
	s := shapeOf(t, compiled(t, checkedTypes()...), "Person")
	loaded := func() *Object {
		o := &Object{Type: "Person", Values: good()}
		delete(o.Values, "pin")
		o.Values["displayName"], o.Values["initials"] = one("Ada L"), one("A")
		return o
	}
	changed := func(name string, values ...any) *Object {
		o := loaded()
		o.Values[name] = values
		return o
	}
	for _, c := range []struct {
		name        string
		old, object *Object
		want        []string
	}{
		{"nothing wrong", nil, goodBut("colour", "r"), nil},
		{"nothing wrong on update", loaded(), changed("sn", "M"), nil},
		{"everything wrong at once", nil, &Object{Type: "Person", Values: Values{
			"colour": one("blue"), "mail": list("a@b", "c"), "nosuch": one("x"), "acl": one("x"), "uid": one("ä"), "number": list(int64(1), int64(2)),
			"created": one("x"), "pin": one("12345"), "virtual": one("x"), "broken": one("hunter2")}},
			[]string{
				"acl ATTRIBUTE_UNKNOWN: is not available: values of the type AclSet are not available",
				"broken ATTRIBUTE_CHECK_FAILED: cannot be checked: FORG0001",
				`colour ATTRIBUTE_VALUE_NOT_ALLOWED: must be one of green, r, not "blue"`,
				"created ATTRIBUTE_TYPE: must be a time",
				"initials ATTRIBUTE_MANDATORY: is mandatory",
				"mail ATTRIBUTE_CHECK_FAILED: needs an @",
				"nosuch ATTRIBUTE_UNKNOWN: Person has no such attribute",
				"number ATTRIBUTE_SINGLE_VALUE: holds a single value, not 2",
				"pin ATTRIBUTE_CHECK_FAILED: has four digits",
				"sn ATTRIBUTE_MANDATORY: is mandatory",
				"uid ATTRIBUTE_TYPE: must be ASCII text",
				"virtual ATTRIBUTE_READ_ONLY: is read-only",
			}},
		{"misspelled", nil, goodBut("givnName", "x"), []string{`givnName ATTRIBUTE_UNKNOWN: Person has no such attribute: did you mean "givenName"?`}},
		{"empty text is no value", nil, goodBut("sn", ""), []string{"sn ATTRIBUTE_MANDATORY: is mandatory"}},
		{"values by query", nil, goodBut("shelf", "L4"), []string{`shelf ATTRIBUTE_VALUE_NOT_ALLOWED: must be one of L1, L2, L3, not "L4"`}},
		{"value by query", nil, goodBut("shelf", "L3"), nil},
		{"read-only", loaded(), changed("created", day(2024, 1, 1)), []string{"created ATTRIBUTE_READ_ONLY: is read-only"}},
		{"computed", loaded(), changed("displayName", "Countess"), []string{"displayName ATTRIBUTE_READ_ONLY: is computed from givenName, sn"}},
		{"blocked", loaded(), changed("number", int64(5)), []string{"number ATTRIBUTE_BLOCKED: cannot be set while auto = true"}},
		{"blocked by a default", nil, &Object{Type: "Person", Values: Values{"uid": one("a"), "sn": one("L"), "givenName": one("A"), "pin": one("1234"), "number": one(int64(5))}}, nil},
		{"secret cleared", loaded(), changed("pin"), []string{"pin ATTRIBUTE_MANDATORY: is mandatory"}},
		{"secret not allowed", loaded(), changed("pin", "9999"), []string{"pin ATTRIBUTE_VALUE_NOT_ALLOWED: is not one of the allowed values"}},
		{"secret not named", loaded(), loaded(), nil},
		{"removed", loaded(), changed("sn"), []string{"sn ATTRIBUTE_MANDATORY: is mandatory"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := checked(t, s, c.old, c.object); !slices.Equal(got, c.want) {
				t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(c.want, "\n  "))
			}
		})
	}
}

func TestCheckAgainstOld(t *testing.T) {
	s := shapeOf(t, compiled(t, checkedTypes()...), "Person")
	old, object := goodBut("number", int64(5)), goodBut("number", int64(4))
	for _, o := range []*Object{old, object} {
		o.Values["auto"] = one(false)
		o.Values["displayName"], o.Values["initials"] = one("Ada L"), one("A")
	}
	if got := checked(t, s, old, object); !slices.Equal(got, []string{"number ATTRIBUTE_CHECK_FAILED: does not fulfil its condition"}) {
		t.Errorf("got %v", got)
	}
}

func TestCheckChangesOfCaller(t *testing.T) {
	set := compiled(t, checkedTypes()...)
	s := shapeOf(t, set, "Person", "Posix")
	// On create Check cannot know who filled a value; CheckChanges looks at the caller's.
	fields := s.CheckChanges(nil, &Object{Type: "Person", Extensions: []string{"Posix"},
		Values: Values{"home": one("/x"), "number": one(int64(1)), "created": one(day(2024, 1, 1)), "displayName": one("x"), "uid": one("ada")}})
	codes := map[string]string{}
	for _, f := range fields {
		codes[f.Attribute] = f.Code
	}
	want := map[string]string{"home": clacks.CodeBlocked, "number": clacks.CodeBlocked, "created": clacks.CodeReadOnly, "displayName": clacks.CodeReadOnly}
	if !reflect.DeepEqual(codes, want) {
		t.Errorf("got %v, want %v", codes, want)
	}
	if fields := s.CheckChanges(nil, &Object{Type: "Person", Values: Values{"auto": one(false), "number": one(int64(1)), "sn": nil}}); len(fields) != 0 {
		t.Errorf("got %v", fields)
	}
	// What Defaults filled into an extension is not blocked when the object is extended.
	old := &Object{Type: "Person", Values: good()}
	object := &Object{Type: "Person", Extensions: []string{"Posix"}, Values: good()}
	object.Values["displayName"], old.Values["displayName"] = one("Ada L"), one("Ada L")
	object.Values["initials"], old.Values["initials"] = one("A"), one("A")
	object.Values["uidNumber"] = one(int64(1))
	if err := s.ExtensionDefaults(t.Context(), object, "Posix"); err != nil {
		t.Fatal(err)
	}
	if got := checked(t, s, old, object); got != nil || !reflect.DeepEqual(object.Values["home"], one("/home/ada")) || !reflect.DeepEqual(object.Values["loginShell"], one("/bin/sh")) {
		t.Errorf("got %v, values %v", got, object.Values)
	}
}

func TestDefaults(t *testing.T) {
	s := shapeOf(t, compiled(t, person(
		attr("b", definitions.String, multi, defaultBy("(a, concat(a, '2'))")),
		attr("a", definitions.String, defaultBy("upper-case(sn)")),
		attr("n", definitions.Integer, defaults("5")),
		attr("j", definitions.AnyType, defaults(`{"x":1}`)),
		attr("when", definitions.Date, defaultBy("xs:date('2024-02-29')")),
		attr("none", definitions.String, defaultBy("()")),
	)), "Person")
	object := &Object{Type: "Person", Values: Values{"sn": one("lovelace"), "n": one(int64(7))}}
	if err := s.Defaults(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	j, _ := decodeJSON([]byte(`{"x":1}`))
	want := Values{"sn": one("lovelace"), "a": one("LOVELACE"), "b": list("LOVELACE", "LOVELACE2"), "n": one(int64(7)), "j": one(j), "when": one(day(2024, 2, 29))}
	if !reflect.DeepEqual(object.Values, want) {
		t.Errorf("got  %v\nwant %v", object.Values, want)
	}
	bad := shapeOf(t, compiled(t, person(attr("a", definitions.Integer, defaultBy("'x'")), attr("b", definitions.String, defaultBy("xs:integer(sn)")))), "Person")
	err := bad.Defaults(t.Context(), &Object{Type: "Person", Values: Values{"sn": one("hunter2")}})
	if !clacks.IsKind(err, clacks.Invalid) || len(err.(*clacks.Error).Fields) != 2 || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := bad.Defaults(ctx, &Object{Type: "Person"}); err == nil || clacks.IsKind(err, clacks.Invalid) {
		t.Errorf("a cancelled context is %v", err)
	}
}

func TestEchoIsBounded(t *testing.T) {
	colour := attr("colour", definitions.UnicodeString)
	for range 3 {
		for _, c := range "abcdefghij" {
			colour.Values = append(colour.Values, definitions.Value{Text: strings.Repeat(string(c), 200) + string(rune('a'+len(colour.Values)))})
		}
	}
	s := shapeOf(t, compiled(t, person(colour)), "Person")
	object := &Object{Type: "Person", Values: Values{"uid": one("a"), "sn": one("b"), "colour": one(strings.Repeat("ä", MaxText/2)),
		strings.Repeat("n", 100_000): one("x")}}
	for _, line := range checked(t, s, nil, object) {
		if len(line) > 2000 {
			t.Errorf("a message of %d bytes", len(line))
		}
	}
}
