package mapping

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"clacks"
	"clacks/backends"
	"clacks/definitions"
)

// rooms is the set of testdata/language.xml. It is what a definition author writes: no fixture stands in between.
func rooms(t *testing.T) *Set {
	t.Helper()
	sources, err := definitions.ReadPath("testdata/language.xml")
	if err != nil {
		t.Fatal(err)
	}
	defs, problems := definitions.Load(sources, definitions.Options{Backends: sortedKeys(kinds)})
	if defs == nil {
		t.Fatal(told(problems))
	}
	for _, p := range problems {
		if !strings.Contains(p.Message, "AclSet") && !strings.Contains(p.Message, "SambaLogonHours") {
			t.Errorf("%s", p)
		}
	}
	set, problems := Compile(defs, Options{Kinds: kinds})
	if set == nil || len(problems) > 0 {
		t.Fatal(told(problems))
	}
	return set
}

// room is a valid new room with these values changed; nil removes one.
func room(values Values) *Object {
	o := &Object{UUID: "u-1", Type: "Room", Values: Values{"cn": one("Lab"), "code": one("A1"), "color": one("r")}}
	for name, list := range values {
		if list == nil {
			delete(o.Values, name)
		} else {
			o.Values[name] = list
		}
	}
	return o
}

func TestLanguageStoresAndReads(t *testing.T) {
	s := shapeOf(t, rooms(t), "Room")
	checked := time.Date(2024, 2, 29, 23, 59, 58, 0, time.UTC)
	object := room(Values{
		"plan": one([]byte{0, 255}), "built": one(day(1969, 7, 20)), "painted": one(day(1970, 1, 11)), "checked": one(checked),
		"extra": one(map[string]any{"a": []any{"b"}}), "tags": list("x", "y"), "pin": one("1234"), "area": one(int64(12)),
		"nick": one("Cave"), "warden": one("uid=ada,dc=x"), "wardens": one("ada;bob"),
	})
	if fields := s.CheckChanges(nil, object); len(fields) > 0 {
		t.Errorf("changes: %v", fields)
	}
	if err := s.Defaults(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	if fields := must(s.Check(t.Context(), nil, object)); len(fields) > 0 {
		t.Errorf("fields: %v", fields)
	}
	states := outboundOf(t, s, nil, object)
	wantEntry := backends.Values{
		"objectClass": list("room", "labeled"), "cn": one("Lab"), "roomNumber": one("A1"), "seats": one(int64(4)), "open": one(false),
		"plan": one([]byte{0, 255}), "painted": one(int64(10)), "checked": one(checked), "extra": one(`{"a":["b"]}`), "color": one("r"),
		"serial": one(int64(8)), "pin": one("1234"), "description": one("Lab (4)"), "nick": one("Cave"), "warden": one("uid=ada,dc=x"),
		"wardens": one("ada;bob"),
	}
	if got := states["LDAP"].Touched; !reflect.DeepEqual(got, wantEntry) {
		t.Errorf("entry\n got %v\nwant %v", got, wantEntry)
	}
	wantRow := backends.Values{"built": one(day(1969, 7, 20)), "tags/tag": list("x", "y"), "width": one(int64(12)), "depth": one(int64(1))}
	if got := states["SQL/rooms"]; got.Key != "u-1" || !reflect.DeepEqual(got.Touched, wantRow) {
		t.Errorf("row %v\n got %v\nwant %v", got.Key, got.Touched, wantRow)
	}
	entries := After(nil, []EntryState{states["LDAP"], states["SQL/rooms"]})
	entries["SQL/rooms"].Values["guests"] = one(int64(3))
	entries["LDAP"].Values["open"] = one(true)
	want := maps.Clone(object.Values)
	delete(want, "pin") // never read back
	maps.Copy(want, Values{"label": one("Lab (4)"), "busy": one(true), "open": one(true)})
	if got := inbound(t, s, entries); !reflect.DeepEqual(got, want) {
		t.Errorf("read\n got %v\nwant %v", got, want)
	}
	for _, name := range []string{"rights", "hours"} {
		if a := s.Attribute(name); a == nil || a.Unavailable == "" || slices.Contains(s.Attributes(), a) {
			t.Errorf("%s is available", name)
		}
	}
}

// codesOf are the wrong attributes with their codes.
func codesOf(fields []clacks.Field) string {
	var codes []string
	for _, f := range fields {
		codes = append(codes, f.Attribute+" "+f.Code)
	}
	slices.Sort(codes)
	return strings.Join(codes, ", ")
}

func TestLanguageRefuses(t *testing.T) {
	s := shapeOf(t, rooms(t), "Room")
	old := room(Values{"serial": one(int64(8)), "seats": one(int64(4)), "open": one(false)})
	for _, test := range []struct {
		name   string
		values Values
		want   string
	}{
		{"nothing", nil, ""},
		{"mandatory", Values{"cn": nil}, "cn ATTRIBUTE_MANDATORY"},
		{"single value", Values{"code": list("A1", "A2")}, "code ATTRIBUTE_SINGLE_VALUE"},
		{"type", Values{"seats": one("many")}, "seats ATTRIBUTE_TYPE"},
		{"type of a date", Values{"built": one("yesterday")}, "built ATTRIBUTE_TYPE"},
		{"listed values", Values{"color": one("blue")}, "color ATTRIBUTE_VALUE_NOT_ALLOWED"},
		{"the text of a keyed value", Values{"color": one("red")}, "color ATTRIBUTE_VALUE_NOT_ALLOWED"},
		{"queried values", Values{"size": one("huge")}, "size ATTRIBUTE_VALUE_NOT_ALLOWED"},
		{"queried values that follow", Values{"size": one("huge"), "seats": one(int64(11))}, ""},
		{"assert", Values{"cn": one("a/b")}, "cn ATTRIBUTE_CHECK_FAILED"},
		{"assert of an amendment", Values{"code": one("1A")}, "code ATTRIBUTE_CHECK_FAILED"},
		{"read only", Values{"serial": one(int64(9))}, "serial ATTRIBUTE_READ_ONLY"},
		{"computed", Values{"label": one("mine")}, "label ATTRIBUTE_READ_ONLY"},
		{"blocked", Values{"open": one(true), "color": one("green")}, "color ATTRIBUTE_BLOCKED"},
		{"blocker alone", Values{"open": one(true)}, ""},
		{"unavailable", Values{"rights": one("x")}, "rights ATTRIBUTE_UNKNOWN"},
		{"unknown", Values{"colour": one("r")}, "colour ATTRIBUTE_UNKNOWN"},
		{"all at once", Values{"cn": one("/"), "seats": one(true), "color": one("x")},
			"cn ATTRIBUTE_CHECK_FAILED, color ATTRIBUTE_VALUE_NOT_ALLOWED, seats ATTRIBUTE_TYPE"},
	} {
		t.Run(test.name, func(t *testing.T) {
			values := maps.Clone(old.Values)
			for name, list := range test.values {
				values[name] = list
			}
			got := codesOf(must(s.Check(t.Context(), old, room(values))))
			if got != test.want {
				t.Errorf("got %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestLanguageOfTypes(t *testing.T) {
	set := rooms(t)
	defs := set.Definitions()
	if got := defs.Type("Room").Container; !slices.Equal(got, []string{"Desks"}) {
		t.Errorf("a room contains %v", got)
	}
	if a := defs.Type("Room").Attribute("cn"); !a.Unique || !a.Mandatory {
		t.Errorf("cn: %+v", a)
	}
	desks := shapeOf(t, set, "Desks")
	if source := desks.Sources()[0]; source.FixedRDN != "ou=desks" {
		t.Errorf("the fixed name is %q", source.FixedRDN)
	}
	state := outboundOf(t, desks, nil, &Object{Type: "Desks"})["LDAP"]
	if want := (backends.Values{"objectClass": one("organizationalUnit"), "ou": one("desks")}); !reflect.DeepEqual(state.Touched, want) {
		t.Errorf("desks: %v", state.Touched)
	}
	if got := defs.Type("Wireless").RequiresExtension; !slices.Equal(got, []string{"Network"}) {
		t.Errorf("Wireless requires %v", got)
	}
	if got := set.ExtensionsOf("Room"); !slices.Equal(got, []string{"Network", "Wireless"}) {
		t.Errorf("extensions %v", got)
	}
	position := map[string]int{}
	for i, a := range shapeOf(t, set, "Room", "Network", "Wireless").Attributes() {
		position[a.Name] = i
	}
	for _, order := range [][2]string{{"label", "area"}, {"cn", "label"}, {"seats", "serial"}, {"seats", "ports"}} {
		if position[order[0]] > position[order[1]] {
			t.Errorf("%s comes after %s", order[0], order[1])
		}
	}
}

func TestLanguageOfExtensions(t *testing.T) {
	set := rooms(t)
	base, extended := shapeOf(t, set, "Room"), shapeOf(t, set, "Room", "Network")
	old := room(Values{"seats": one(int64(6))})
	object := room(Values{"seats": one(int64(6))})
	object.Extensions = []string{"Network"}
	if err := extended.ExtensionDefaults(t.Context(), object, "Network"); err != nil || !reflect.DeepEqual(object.Values["ports"], one(int64(6))) {
		t.Errorf("defaults: %v, %v", object.Values, err)
	}
	if fields := must(extended.Check(t.Context(), old, object)); len(fields) > 0 {
		t.Errorf("extend: %v", fields)
	}
	state := outboundOf(t, extended, old, object)["LDAP"]
	if want := (backends.Values{"objectClass": list("room", "labeled", "network"), "ports": one(int64(6))}); !reflect.DeepEqual(state.Touched, want) {
		t.Errorf("extend: %v", state.Touched)
	}
	state = outboundOf(t, base, object, old)["LDAP"]
	if want := (backends.Values{"objectClass": list("room", "labeled"), "ports": list()}); !reflect.DeepEqual(state.Touched, want) ||
		!slices.Equal(state.Drop, []string{"network"}) {
		t.Errorf("retract: %v without %v", state.Touched, state.Drop)
	}
}

func TestLanguageOfReferences(t *testing.T) {
	references := rooms(t).ReferencesTo("Warden")
	if len(references) != 2 || references[0].Attribute != "warden" || references[1].Attribute != "wardens" {
		t.Fatalf("references %+v", references)
	}
	whole, inline := references[0], references[1]
	if got, ok := whole.Replace("uid=ada,dc=x", "uid=ada,dc=x", "uid=ann,dc=x"); !ok || got != "uid=ann,dc=x" {
		t.Errorf("replace: %q, %v", got, ok)
	}
	if got, ok := inline.Replace("ada;bob", "bob", "rob"); !ok || got != "ada;rob" {
		t.Errorf("inline: %q, %v", got, ok)
	}
	if _, ok := inline.Replace("ada;bob", "bo", "rob"); ok {
		t.Error("a part of a name was replaced")
	}
}
