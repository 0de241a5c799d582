package mapping

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"clacks"
	"clacks/backends"
	"clacks/definitions"
	"clacks/internal/password"
	"clacks/xquery"
)

// outboundTo makes a mapping with one Outbound; inbound may be "".
func outboundTo(inbound, attribute, query string) func(*definitions.Attribute) {
	return func(a *definitions.Attribute) {
		m := definitions.Mapping{Pos: at(200), Outbounds: []definitions.Outbound{{Attribute: attribute, Query: *xq(query, 201)}}}
		if inbound != "" {
			m.Inbound = xq(inbound, 202)
		}
		a.Mappings = append(a.Mappings, m)
	}
}

func inboundBy(query string) func(*definitions.Attribute) {
	return mapped(definitions.Mapping{Inbound: xq(query, 203), Pos: at(200)})
}

func assert(test, message string) func(*definitions.Attribute) {
	return func(a *definitions.Attribute) {
		a.Asserts = append(a.Asserts, definitions.Assert{Test: *xq(test, 204), Message: message})
	}
}

func defaultBy(query string) func(*definitions.Attribute) {
	return func(a *definitions.Attribute) { a.DefaultQuery = xq(query, 205) }
}

func TestInboundQueries(t *testing.T) {
	s := shapeOf(t, compiled(t, person(
		attr("badge", definitions.Integer, in("SQL")),
		attr("numbers", definitions.String, multi, in("SQL"), mapped(definitions.Mapping{Table: "phones", ForeignKey: "employee", Attribute: "number"})),
		attr("display", definitions.UnicodeString, inboundBy("string-join((givenName, sn), ' ')")),
		attr("label", definitions.UnicodeString, in("NULL"), mapped(definitions.Mapping{Inbound: xq("concat($LDAP/uid, '/', $SQL/badge, '/', $SQL/sum(phones/row/xs:integer(number)))", 300)})),
		attr("tall", definitions.Boolean, in("SQL"), inboundBy("height > 180")),
		attr("mails", definitions.String, multi, inboundBy("for $m in mail order by $m descending return lower-case($m)")),
		attr("since", definitions.Date, inboundBy("xs:date('2024-02-29')")),
		attr("photo", definitions.Binary, inboundBy("jpegPhoto[@option = 'x-small'] , jpegPhoto[not(@option)]")),
	)), "Person")
	got := inbound(t, s, Entries{
		"LDAP": entry(backends.Values{"uid": one("ada"), "sn": one("Lovelace"), "givenName": one("Ada"),
			"mail": list("B@X", "A@x", "C@x"), "jpegPhoto": one([]byte{0xff, 0})}),
		"SQL/employees": entry(backends.Values{"badge": one(int64(7)), "height": one(int64(181)), "phones/number": list("11", "22")}),
	})
	want := Values{
		"uid": one("ada"), "sn": one("Lovelace"), "givenName": one("Ada"), "badge": one(int64(7)), "numbers": list("11", "22"),
		"display": one("Ada Lovelace"), "label": one("ada/7/33"), "tall": one(true), "mails": list("c@x", "b@x", "a@x"),
		"since": one(day(2024, 2, 29)), "photo": one([]byte{0xff, 0}),
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	// A row that does not exist is an empty entry as context item, and nothing as a variable.
	got = inbound(t, s, Entries{"LDAP": entry(backends.Values{"uid": one("ada")})})
	want = Values{"uid": one("ada"), "label": one("ada//"), "display": one(""), "tall": one(false), "since": one(day(2024, 2, 29))}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// The values of an entry have the types that its backend gave them, and options are attributes of their elements.
func TestInboundTypes(t *testing.T) {
	entries := Entries{
		"LDAP": entry(backends.Values{
			"uid": one("ada"), "cn;lang-de": one("Gräfin"), "cn": one("Countess"), "cert;binary": one([]byte{1, 2}),
			"since": one(time.Date(2024, 2, 29, 12, 0, 0, 5, time.UTC)),
		}),
		"SQL/employees": entry(backends.Values{
			"number": one(int64(12)), "other": one(int64(5)), "active": one(false), "height": one(1.5), "odd": one(math.Inf(-1)),
			"code": one("007"), "phones/number": list(int64(2), int64(10)),
		}),
	}
	for query, want := range map[string]string{
		"$SQL/number eq 12, $SQL/number > $SQL/other":                             "true true",
		"$SQL/number + 1, max(($SQL/number, $SQL/other))":                         "13 12",
		"$SQL/active eq false(), $SQL/active = true()":                            "true false",
		"for $n in $SQL/phones/row/number order by $n descending return $n":       "10 2",
		"$SQL/phones/row[number eq 2]/number instance of element(*, xs:integer)":  "true",
		"$SQL/height * 2, $SQL/odd lt 0":                                          "3 true",
		"$SQL/code, xs:integer($SQL/code), concat($SQL/code, $SQL/number)":        "007 7 00712",
		"year-from-dateTime(since), since lt xs:dateTime('2024-03-01T00:00:00Z')": "2024 true",
		"cn[@option = 'lang-de'], cn[not(@option)]":                               "Gräfin Countess",
		"cert/@option, data(cert) instance of xs:base64Binary":                    "binary true",
		"uid instance of element(*, xs:string), $LDAP/uid eq 'ada'":               "true true",
	} {
		s := shapeOf(t, compiled(t, person(
			attr("made", definitions.String, multi, inboundBy(query)),
			attr("numbers", definitions.Integer, multi, in("SQL"), mapped(definitions.Mapping{Table: "phones", ForeignKey: "employee", Attribute: "number"})),
		)), "Person")
		values, faults, err := s.Inbound(t.Context(), entries)
		if err != nil || len(faults) > 0 {
			t.Errorf("%s: %v, %v", query, faults, err)
			continue
		}
		if got := strings.Trim(fmt.Sprint(values["made"]), "[]"); got != want {
			t.Errorf("%s\n got %s\nwant %s", query, got, want)
		}
	}
	for _, query := range []string{"$SQL/number = '12'", "$SQL/code = 7", "starts-with($SQL/number, '1')"} {
		s := shapeOf(t, compiled(t, person(attr("made", definitions.String, multi, inboundBy(query)))), "Person")
		_, faults, err := s.Inbound(t.Context(), entries)
		if err != nil || len(faults) != 1 || !strings.Contains(faults[0].Reason, "XPTY0004") {
			t.Errorf("%s: %v, %v", query, faults, err)
		}
	}
}

func TestInboundQueryFaults(t *testing.T) {
	s := shapeOf(t, compiled(t, person(
		attr("number", definitions.Integer, inboundBy("xs:integer(x)")),
		attr("flag", definitions.Boolean, inboundBy("concat(x, '')")),
		attr("single", definitions.String, inboundBy("(1, 2)")),
	)), "Person")
	values, faults, err := s.Inbound(t.Context(), Entries{"LDAP": entry(backends.Values{"x": one("hunter2")})})
	if err != nil {
		t.Fatal(err)
	}
	if want := (Values{"single": one("1")}); !reflect.DeepEqual(values, want) {
		t.Errorf("values %v", values)
	}
	if len(faults) != 3 {
		t.Errorf("faults %v", faults)
	}
	for _, f := range faults {
		if strings.Contains(f.Reason, "hunter2") {
			t.Errorf("the fault repeats the value: %+v", f)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := s.Inbound(ctx, Entries{}); err == nil {
		t.Error("a cancelled context is no error")
	}
}

// displayed has a computed attribute that is read back plainly, one that depends on it, and one with two goals.
func displayed() *definitions.Type {
	return person(
		attr("gecos", definitions.String, outboundTo("", "gecos", "clacks:transliterate(displayName)")),
		attr("displayName", definitions.UnicodeString, outboundTo("displayName", "displayName", "string-join((givenName, sn), ' ')")),
		attr("size", definitions.Integer, mapped(definitions.Mapping{Pos: at(200), Inbound: xq("xs:integer(width) * xs:integer(height)", 210), Outbounds: []definitions.Outbound{
			{Attribute: "width", Query: *xq("size", 211)}, {Attribute: "height", Query: *xq("if (size) then 1 else ()", 212)}}})),
	)
}

func TestOutboundQueries(t *testing.T) {
	s := shapeOf(t, compiled(t, displayed()), "Person")
	var order []string
	for _, a := range s.Attributes() {
		order = append(order, a.Name)
	}
	if want := "uid sn givenName displayName gecos size"; strings.Join(order, " ") != want {
		t.Errorf("order %v, want %s", order, want)
	}
	if a := s.Attribute("displayName"); !a.Computed || !a.Writable || !a.Readable || !reflect.DeepEqual(a.Reads, []string{"givenName", "sn"}) {
		t.Errorf("displayName: %+v", a)
	}
	old := &Object{Type: "Person", Values: Values{"uid": one("ada"), "sn": one("Müller"), "givenName": one("Ada"), "size": one(int64(3))}}
	states := outboundOf(t, s, nil, old)
	want := backends.Values{"objectClass": one("inetOrgPerson"), "uid": one("ada"), "sn": one("Müller"), "givenName": one("Ada"),
		"displayName": one("Ada Müller"), "gecos": one("Ada Mueller"), "width": one(int64(3)), "height": one(int64(1))}
	if got := states["LDAP"].Touched; !reflect.DeepEqual(got, want) {
		t.Errorf("create: got  %v\nwant %v", got, want)
	}
	loaded := &Object{Type: "Person", Values: inbound(t, s, After(Entries{}, []EntryState{states["LDAP"]}))}
	change := func(name string, v ...any) backends.Values {
		o := &Object{Type: "Person", Values: Values{}}
		for n, v := range loaded.Values {
			o.Values[n] = v
		}
		o.Values[name] = v
		return outboundOf(t, s, loaded, o)["LDAP"].Touched
	}
	if got, want := change("sn", "Lovelace"), (backends.Values{"sn": one("Lovelace"), "displayName": one("Ada Lovelace"), "gecos": one("Ada Lovelace")}); !reflect.DeepEqual(got, want) {
		t.Errorf("sn: got %v, want %v", got, want)
	}
	if got, want := change("size"), (backends.Values{"width": list(), "height": list()}); !reflect.DeepEqual(got, want) {
		t.Errorf("size: got %v, want %v", got, want)
	}
	if got := change("uid", "ada"); got != nil {
		t.Errorf("nothing changed, but %v", got)
	}
}

func TestOutboundOld(t *testing.T) {
	s := shapeOf(t, compiled(t, person(
		attr("former", definitions.UnicodeString, multi, outboundTo("former", "former", "distinct-values(($old/former, $old/sn[not(. = current()/sn)]))"),
			func(a *definitions.Attribute) {
				a.Mappings[0].Outbounds[0].Query = *xq("let $now := sn return distinct-values(($old/former, $old/sn[not(. = $now)]))", 201)
			}),
	)), "Person")
	object := func(sn string, former ...any) *Object {
		return &Object{Type: "Person", Values: Values{"sn": one(sn), "former": former}}
	}
	if got := outboundOf(t, s, nil, object("Byron"))["LDAP"].Touched; got["former"] != nil {
		t.Errorf("create: %v", got)
	}
	got := outboundOf(t, s, object("Byron", "X"), object("King", "X"))["LDAP"].Touched
	if want := (backends.Values{"sn": one("King"), "former": list("X", "Byron")}); !reflect.DeepEqual(got, want) {
		t.Errorf("update: %v, want %v", got, want)
	}
}

func TestOutboundFailures(t *testing.T) {
	two := attr("badge", definitions.Integer, in("SQL"), outboundTo("badge", "badge", "(1, 2)"))
	cast := attr("cast", definitions.UnicodeString, outboundTo("cast", "cast", "xs:integer(sn)"))
	must := attr("must", definitions.UnicodeString, mandatory, outboundTo("must", "must", "givenName"))
	typed := attr("typed", definitions.UnicodeString, outboundTo("", "typed", "sn"))
	typed.BackendType = definitions.Integer
	s := shapeOf(t, compiled(t, person(two, cast, must, typed)), "Person")
	_, err := s.Outbound(t.Context(), nil, &Object{Type: "Person", Values: Values{"uid": one("ada"), "sn": one("hunter2")}})
	if !clacks.IsKind(err, clacks.Invalid) {
		t.Fatal(err)
	}
	codes := map[string]string{}
	for _, f := range err.(*clacks.Error).Fields {
		codes[f.Attribute] = f.Code
	}
	want := map[string]string{"badge": clacks.CodeSingle, "cast": clacks.CodeCheck, "must": clacks.CodeMandatory, "typed": clacks.CodeCheck}
	if !reflect.DeepEqual(codes, want) {
		t.Errorf("got %v, want %v", codes, want)
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error repeats a value: %v", err)
	}
}

// counter is a Lookup that counts.
type counter struct {
	calls  atomic.Int64
	object *Object
	err    error
}

func (c *counter) NextNumber(_ context.Context, _, _ string, from int64) (int64, error) {
	return from + c.calls.Add(1), c.err
}

func (c *counter) Object(_ context.Context, typeName, attribute, value string) (*Object, error) {
	c.calls.Add(1)
	if fmt.Sprint(c.object.Values[attribute]) != fmt.Sprintf("[%s]", value) {
		return nil, c.err
	}
	return c.object, c.err
}

func compiledWith(t testing.TB, options Options, types ...*definitions.Type) *Set {
	t.Helper()
	options.Kinds = kinds
	set, problems := compile(types, options)
	if set == nil || len(problems) > 0 {
		t.Fatalf("%+v", problems)
	}
	return set
}

func TestEffectsRunOnce(t *testing.T) {
	lookup := &counter{}
	set := compiledWith(t, Options{Lookup: lookup}, person(
		attr("number", definitions.Integer, mandatory, outboundTo("number", "number", "(number, clacks:next-number('Person', 'number', 1000))[1]")),
		attr("other", definitions.Integer, defaultBy("clacks:next-number('Person', 'other', 1)")),
		attr("late", definitions.Integer, outboundTo("", "late", "number + other")),
	))
	s := shapeOf(t, set, "Person")
	object := &Object{Type: "Person", Values: Values{"uid": one("ada"), "sn": one("L")}}
	if err := s.Defaults(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	if lookup.calls.Load() != 1 || !reflect.DeepEqual(object.Values["other"], one(int64(2))) {
		t.Errorf("default: %d calls, %v", lookup.calls.Load(), object.Values["other"])
	}
	// Check runs no effect, although number is mandatory and has no value yet.
	if fields, err := s.Check(t.Context(), nil, object); err != nil || len(fields) > 0 || lookup.calls.Load() != 1 {
		t.Errorf("Check: %v, %v, %d calls", fields, err, lookup.calls.Load())
	}
	states := outboundOf(t, s, nil, object)
	if got := states["LDAP"].Touched; lookup.calls.Load() != 2 || !reflect.DeepEqual(got["number"], one(int64(1002))) || !reflect.DeepEqual(got["late"], one(int64(1004))) {
		t.Errorf("outbound: %d calls, %v", lookup.calls.Load(), got)
	}
	// A change of something else draws no number.
	loaded := &Object{Type: "Person", Values: inbound(t, s, After(nil, []EntryState{states["LDAP"]}))}
	changed := &Object{Type: "Person", Values: Values{"uid": one("ada"), "sn": one("K"), "number": loaded.Values["number"], "other": loaded.Values["other"]}}
	if outboundOf(t, s, loaded, changed); lookup.calls.Load() != 2 {
		t.Error("a number was drawn for nothing")
	}
	lookup.err = clacks.E(clacks.Unavailable, "", "the directory is down")
	if _, err := s.Outbound(t.Context(), nil, object); !clacks.IsKind(err, clacks.Unavailable) {
		t.Errorf("a failed lookup is %v", err)
	}
}

// Without other objects a Default that needs them is none, and an Outbound fails.
func TestFunctionsWithoutLookup(t *testing.T) {
	s := shapeOf(t, compiled(t, person(
		attr("number", definitions.Integer, mandatory, defaultBy("clacks:next-number('Person', 'number', 1000)")),
		attr("town", definitions.String, outboundTo("town", "town", "clacks:object('Person', 'uid', uid)/sn")),
	)), "Person")
	object := &Object{Type: "Person", Values: Values{"uid": one("ada"), "sn": one("L")}}
	if err := s.Defaults(t.Context(), object); err != nil || len(object.Values) != 2 {
		t.Errorf("got %v, %v", object.Values, err)
	}
	if fields := must(s.Check(t.Context(), nil, object)); len(fields) != 1 || fields[0].Attribute != "number" || fields[0].Code != clacks.CodeMandatory {
		t.Errorf("fields %v", fields)
	}
	if _, err := s.Outbound(t.Context(), nil, object); !clacks.IsKind(err, clacks.Unavailable) {
		t.Errorf("got %v", err)
	}
}

func TestSecrets(t *testing.T) {
	set := compiledWith(t, Options{PasswordScheme: password.SSHA}, person(
		attr("userPassword", definitions.String, secret, outboundTo("", "userPassword", "clacks:password-hash(userPassword)"),
			assert("string-length(userPassword) ge 8", "is too short")),
		attr("changed", definitions.Integer, outboundTo("changed", "changed", "if (userPassword) then 1 else changed")),
	))
	s := shapeOf(t, set, "Person")
	if source, _ := s.Source("LDAP"); strings.Contains(strings.Join(source.Want, " "), "userPassword") || !strings.Contains(strings.Join(source.Writes, " "), "userPassword") {
		t.Errorf("want %v, writes %v", source.Want, source.Writes)
	}
	object := &Object{Type: "Person", Values: Values{"uid": one("ada"), "sn": one("L"), "userPassword": one("hunter2")}}
	fields, err := s.Check(t.Context(), nil, object)
	if err != nil || len(fields) != 1 || fields[0] != (clacks.Field{Attribute: "userPassword", Code: clacks.CodeCheck, Reason: "is too short"}) {
		t.Errorf("Check: %v, %v", fields, err)
	}
	object.Values["userPassword"] = one("correct horse")
	if fields, err := s.Check(t.Context(), nil, object); err != nil || len(fields) > 0 {
		t.Errorf("Check: %v, %v", fields, err)
	}
	touched := outboundOf(t, s, nil, object)["LDAP"].Touched
	stored, _ := touched["userPassword"][0].(string)
	if !password.Verify(stored, "correct horse") || !reflect.DeepEqual(touched["changed"], one(int64(1))) {
		t.Errorf("touched %v", touched)
	}
	// What is hashed already stays.
	object.Values["userPassword"] = one(stored)
	if got := outboundOf(t, s, nil, object)["LDAP"].Touched["userPassword"]; !reflect.DeepEqual(got, one(stored)) {
		t.Errorf("hashed again: %v", got)
	}
	// An update that does not name the password leaves it alone.
	old := &Object{Type: "Person", Values: Values{"uid": one("ada"), "sn": one("L")}}
	changed := &Object{Type: "Person", Values: Values{"uid": one("ada"), "sn": one("K")}}
	if got := outboundOf(t, s, old, changed)["LDAP"].Touched; !reflect.DeepEqual(got, backends.Values{"sn": one("K")}) {
		t.Errorf("touched %v", got)
	}
}

func TestObjectFunction(t *testing.T) {
	unit := &definitions.Type{Name: "Unit", Base: true, Backend: "LDAP", Pos: at(1),
		Parameters: []definitions.BackendParameters{parameters("LDAP", "objectClasses", "organizationalUnit", "RDN", "ou")},
		Attributes: []*definitions.Attribute{attr("ou", definitions.UnicodeString), attr("town", definitions.UnicodeString), attr("key", definitions.String, secret)}}
	lookup := &counter{object: &Object{Type: "Unit", Values: Values{"ou": one("sales"), "town": one("Köln"), "key": one("s3cret")}}}
	set := compiledWith(t, Options{Lookup: lookup}, unit, person(
		attr("ou", definitions.String),
		attr("town", definitions.UnicodeString, outboundTo("town", "town", "clacks:object('Unit', 'ou', ou)/(town, key)")),
	))
	s := shapeOf(t, set, "Person")
	got := outboundOf(t, s, nil, &Object{Type: "Person", Values: Values{"ou": one("sales"), "uid": one("a")}})["LDAP"].Touched["town"]
	if !reflect.DeepEqual(got, one("Köln")) {
		t.Errorf("got %v", got)
	}
	got = outboundOf(t, s, nil, &Object{Type: "Person", Values: Values{"ou": one("nowhere"), "uid": one("a")}})["LDAP"].Touched["town"]
	if got != nil {
		t.Errorf("got %v", got)
	}
}

func TestFunctionExamples(t *testing.T) {
	for i := range ownFunctions {
		f := &ownFunctions[i]
		if !strings.Contains(f.example, " = ") {
			continue
		}
		q, err := xquery.Compile(f.example, xquery.Options{Namespaces: map[string]string{"clacks": Namespace}, Functions: functions(&environment{})})
		if err != nil {
			t.Errorf("%s: %v", f.name, err)
			continue
		}
		if ok, err := q.Matches(t.Context(), xquery.Input{}); err != nil || !ok {
			t.Errorf("%s: the example %s does not hold (%v)", f.name, f.example, err)
		}
	}
}
