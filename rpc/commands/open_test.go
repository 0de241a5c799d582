package commands_test

import (
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"clacks"
)

// proxy is what a client of old makes of an open object.
type proxy struct {
	ref, dn, class      string
	methods, properties []string
	values              map[string]any
}

func proxyOf(t *testing.T, v any) proxy {
	t.Helper()
	parts := member(t, v, "__jsonclass__", 1).([]any)
	if member(t, v, "__jsonclass__", 0) != "json.JSONObjectFactory" || len(parts) != 6 || parts[0] != "ObjectProxy" {
		t.Fatalf("no open object: %v", v)
	}
	p := proxy{ref: parts[1].(string), dn: parts[2].(string), class: parts[3].(string), values: v.(map[string]any)}
	for _, m := range parts[4].([]any) {
		p.methods = append(p.methods, m.(string))
	}
	for _, m := range parts[5].([]any) {
		p.properties = append(p.properties, m.(string))
	}
	return p
}

func scalar(class, object string) map[string]any {
	return map[string]any{"__jsonclass__": class, "object": object}
}

// failure wants a legacy call to fail, and returns the code and topic that the error names.
func (w *world) failure(method string, params ...any) (code, topic any) {
	w.t.Helper()
	status, result, failure := w.legacy(method, params...)
	if status != http.StatusInternalServerError || result != nil {
		w.t.Fatalf("%s %v: %d %v %v", method, params, status, result, failure)
	}
	message := member(w.t, failure, "message").(string)
	id, _, ok := strings.Cut(strings.TrimPrefix(message, "<"), "> ")
	if !ok || member(w.t, failure, "name") != "JSONRPCError" || member(w.t, failure, "code") != json.Number("500") {
		w.t.Fatalf("%s: %v", method, failure)
	}
	known := w.ask("getError", id, "de")
	return member(w.t, known, "code"), member(w.t, known, "topic")
}

// The life of an object as the frontend leads it, in the legacy dialect.
func TestOpenObjects(t *testing.T) {
	w := newWorld(t)
	w.login()
	id := w.jane()["uuid"].(string)

	first := w.ask("openObject", "object", "cn=Jane Doe,ou=people,"+base, nil)
	jane := proxyOf(t, first)
	if jane.dn != "cn=Jane Doe,ou=people,"+base || jane.class != "object" || jane.values["uuid"] != id {
		t.Errorf("opened %+v", jane)
	}
	for name, want := range map[string]any{"sn": "Doe", "mail": []any{"jane@example.net"}, "remote": false, "floor": json.Number("3"),
		"birthday": scalar("datetime.date", "1990-02-03"), "hired": scalar("datetime.datetime", "2020-01-02 03:04:05"),
		"jpegPhoto": scalar("json.Binary", "QUJD"), "userPassword": nil, "title": nil, "homePhone": []any{}, "homeDirectory": nil} {
		if got, has := jane.values[name]; !has || !reflect.DeepEqual(got, want) || !slices.Contains(jane.properties, name) {
			t.Errorf("%s is %v, %v; want %v", name, got, has, want)
		}
	}
	if len(jane.properties) != len(jane.values)-2 {
		t.Errorf("%d properties, %d values", len(jane.properties), len(jane.values)-2)
	}
	for _, m := range []string{"commit", "extend", "retract", "move", "remove", "get_attributes", "get_object_info", "get_attribute_values"} {
		if !slices.Contains(jane.methods, m) {
			t.Errorf("no method %s", m)
		}
	}

	t.Run("properties", func(t *testing.T) { testProperties(t, w, jane.ref, id) })
	t.Run("errors", func(t *testing.T) { testErrors(t, w, jane.ref) })
	t.Run("descriptions", func(t *testing.T) { testDescriptions(t, w, jane.ref) })
	t.Run("extensions", func(t *testing.T) { testExtensions(t, w, jane.ref, id) })
	t.Run("references belong to their session", func(t *testing.T) { testReferencesBelongToTheirSession(t, w, jane.ref) })
	t.Run("move", func(t *testing.T) { testMove(t, w, jane.ref) })
	t.Run("close", func(t *testing.T) { testClose(t, w, jane.ref) })
	if got := w.ask("removeObject", "object", id); got != true {
		t.Errorf("removeObject answers %v", got)
	}
}

func testProperties(t *testing.T, w *world, ref string, id string) {
	for name, value := range map[string]any{"sn": "Roe", "birthday": scalar("datetime.date", "1991-01-01"), "mail": []any{"a@x.net", "b@x.net"},
		"hired": scalar("datetime.datetime", "2021-05-06 07:08:09"), "jpegPhoto": scalar("json.Binary", "REVG"), "floor": 4} {
		if got := w.ask("setObjectProperty", ref, name, value); got != nil {
			t.Errorf("setObjectProperty answers %v", got)
		}
		got := w.ask("getObjectProperty", ref, name)
		if n, ok := value.(int); ok {
			value = json.Number(jsonNumber(int64(n)))
		}
		if !reflect.DeepEqual(got, value) {
			t.Errorf("%s is %v, was set to %v", name, got, value)
		}
	}
	if sn := member(t, w.call("getObject", []any{id}), "attributes", "sn"); sn != "Doe" {
		t.Errorf("written before the commit: %v", sn)
	}
	for range 2 { // it may arrive twice
		if got := w.ask("dispatchObjectMethod", ref, "commit"); got != nil {
			t.Errorf("commit answers %v", got)
		}
	}
	got := member(t, w.call("getObject", []any{id}), "attributes").(map[string]any)
	if got["sn"] != "Roe" || got["birthday"] != "1991-01-01" || got["hired"] != "2021-05-06T07:08:09Z" || got["jpegPhoto"] != "REVG" {
		t.Errorf("after the commit: %v", got)
	}
}

func testErrors(t *testing.T, w *world, ref string) {
	tests := []struct {
		method string
		params []any
		code   any
		topic  any
	}{
		{"setObjectProperty", []any{ref, "nosuch", "x"}, "PROPERTY_NOT_FOUND", "nosuch"},
		{"getObjectProperty", []any{ref, "nosuch"}, "PROPERTY_NOT_FOUND", "nosuch"},
		{"setObjectProperty", []any{ref, "floor", "x"}, clacks.CodeCheck, "floor"},
		{"setObjectProperty", []any{ref, "birthday", scalar("datetime.date", "soon")}, clacks.CodeCheck, "birthday"},
		{"setObjectProperty", []any{ref}, clacks.CodeMandatory, "name"},
		{"getObjectProperty", []any{"00000000-0000-0000-0000-000000000000", "sn"}, "REFERENCE_NOT_FOUND", "ref"},
		{"dispatchObjectMethod", []any{ref, "comit"}, "METHOD_NOT_FOUND", "method"},
		{"dispatchObjectMethod", []any{ref, "extend"}, clacks.CodeMandatory, "extension"},
		{"dispatchObjectMethod", []any{ref, "extend", 7}, clacks.CodeCheck, "extension"},
		{"openObject", []any{"nooid", "x"}, "OID_NOT_FOUND", "oid"},
		{"openObject", []any{"object"}, clacks.CodeMandatory, "dn"},
		{"openObject", []any{"object", "cn=nope," + base}, "NOT_FOUND", nil},
		{"removeObject", []any{"object", "cn=nope," + base}, "NOT_FOUND", nil},
		{"search", []any{base, "BAD", "x"}, "INVALID_SEARCH_SCOPE", "scope"},
		{"search", []any{}, clacks.CodeMandatory, "base"},
	}
	for _, test := range tests {
		if code, topic := w.failure(test.method, test.params...); code != test.code || topic != test.topic {
			t.Errorf("%s %v: %v %v", test.method, test.params, code, topic)
		}
	}
	w.ask("setObjectProperty", ref, "sn", nil)
	if code, topic := w.failure("dispatchObjectMethod", ref, "commit"); code != clacks.CodeMandatory || topic != "sn" {
		t.Errorf("a commit without a mandatory attribute: %v %v", code, topic)
	}
	if sn := w.ask("reloadObject", ref); proxyOf(t, sn).values["sn"] != "Roe" {
		t.Errorf("reloaded: %v", sn)
	}
}

func testExtensions(t *testing.T, w *world, ref string, id string) {
	w.ask("dispatchObjectMethod", ref, "extend", "PosixUser")
	w.ask("dispatchObjectMethod", ref, "extend", "PosixUser")
	for name, value := range map[string]any{"homeDirectory": "/home/jane", "uidNumber": 1000, "gidNumber": 1000} {
		w.ask("setObjectProperty", ref, name, value)
	}
	w.ask("dispatchObjectMethod", ref, "commit")
	if got := w.object("getObject", []any{id})["extensions"]; !reflect.DeepEqual(got, []any{"PosixUser"}) {
		t.Errorf("extensions %v", got)
	}
	w.ask("dispatchObjectMethod", ref, "retract", "PosixUser")
	w.ask("dispatchObjectMethod", ref, "commit")
	if got := w.ask("dispatchObjectMethod", ref, "get_extension_types"); member(t, got, "PosixUser") != false {
		t.Errorf("extension types %v", got)
	}
}

func testReferencesBelongToTheirSession(t *testing.T, w *world, ref string) {
	err := w.errorOf(clacks.NotFound, "getObjectProperty", []any{ref, "sn"}) // HTTP Basic, same user
	if !strings.Contains(err.Error(), "no open object") {
		t.Error(err)
	}
}

func testMove(t *testing.T, w *world, ref string) {
	w.call("createObject", map[string]any{"type": "OrganizationalUnit", "base": base, "attributes": map[string]any{"ou": "dept"}})
	w.call("createObject", map[string]any{"type": "PeopleContainer", "base": "ou=dept," + base})
	w.ask("dispatchObjectMethod", ref, "move", "ou=people,ou=dept,"+base)
	if got := w.ask("dispatchObjectMethod", ref, "get_dn"); got != "cn=Jane Doe,ou=people,ou=dept,"+base {
		t.Errorf("moved to %v", got)
	}
}

func testClose(t *testing.T, w *world, ref string) {
	w.ask("continueObjectEditing", ref)
	w.ask("closeObject", ref)
	w.ask("closeObject", ref)
	if code, _ := w.failure("getObjectProperty", ref, "sn"); code != "REFERENCE_NOT_FOUND" {
		t.Errorf("closed and still there: %v", code)
	}
}

func testDescriptions(t *testing.T, w *world, ref string) {
	names := w.ask("dispatchObjectMethod", ref, "get_attributes").([]any)
	details := w.ask("dispatchObjectMethod", ref, "get_attributes", true, "de").(map[string]any)
	if len(names) != len(details) || !slices.Contains(names, any("sn")) {
		t.Errorf("%d names, %d details", len(names), len(details))
	}
	for path, want := range map[[2]string]any{
		{"sn", "mandatory"}: true, {"sn", "type"}: "UnicodeString", {"mail", "multivalue"}: true, {"uid", "unique"}: true, {"sn", "default"}: nil,
		{"sn", "readonly"}: false, {"sn", "case_sensitive"}: false, {"sn", "auto"}: false, {"sn", "depends_on"}: []any{}, {"sn", "blocked_by"}: []any{},
		{"sn", "values"}: []any{}, {"sn", "value_inherited_from"}: nil, {"sn", "values_populate"}: nil, {"sn", "validator_information"}: nil,
		{"floor", "blocked_by"}: []any{map[string]any{"name": "remote", "value": true}},
		{"shift", "values"}:     map[string]any{"e": map[string]any{"value": "Early"}, "l": map[string]any{"value": "Late"}},
	} {
		if got := member(t, details, path[0], path[1]); !reflect.DeepEqual(got, want) {
			t.Errorf("%v is %v, not %v", path, got, want)
		}
	}
	info := w.ask("dispatchObjectMethod", ref, "get_object_info", "de")
	for _, check := range []struct {
		path []any
		want any
	}{
		{[]any{"base"}, "User"}, {[]any{"extensions", "PosixUser"}, false}, {[]any{"extension_deps", "ShadowUser"}, []any{"PosixUser"}},
		{[]any{"extension_states", "PosixUser", "allowed"}, true}, {[]any{"extension_states", "PosixUser", "active"}, false},
		{[]any{"extension_states", "ShadowUser", "allowed"}, false},
	} {
		if got := member(t, info, check.path...); !reflect.DeepEqual(got, check.want) {
			t.Errorf("%v is %v, not %v", check.path, got, check.want)
		}
	}
	values := w.ask("dispatchObjectMethod", ref, "get_attribute_values")
	if member(t, values, "value", "sn") != "Roe" || member(t, values, "value", "title") != nil || member(t, values, "values", "shift", "e", "value") != "Early" {
		t.Errorf("values %v", values)
	}
	if got := w.ask("dispatchObjectMethod", ref, "get_base_type"); got != "User" {
		t.Errorf("base type %v", got)
	}
	if got := w.ask("dispatchObjectMethod", ref, "get_uuid"); len(got.(string)) != 36 {
		t.Errorf("UUID %v", got)
	}
}

func TestCreateByOpening(t *testing.T) {
	w := newWorld(t)
	w.login()
	w.call("createObject", map[string]any{"type": "PeopleContainer", "base": base})
	fresh := proxyOf(t, w.ask("openObject", "object", "ou=people,"+base, "User"))
	if fresh.dn != "ou=people,"+base {
		t.Errorf("a new object is at %s", fresh.dn)
	}
	if code, topic := w.failure("dispatchObjectMethod", fresh.ref, "commit"); code != clacks.CodeMandatory || topic == nil {
		t.Errorf("an empty object: %v %v", code, topic)
	}
	for name, value := range map[string]any{"uid": "newuser", "sn": "Neu", "givenName": "Nina", "cn": "Nina Neu"} {
		w.ask("setObjectProperty", fresh.ref, name, value)
	}
	w.ask("dispatchObjectMethod", fresh.ref, "commit")
	w.ask("setObjectProperty", fresh.ref, "title", "Dr.") // the reference survives the commit
	w.ask("dispatchObjectMethod", fresh.ref, "commit")
	w.ask("closeObject", fresh.ref)
	byType := proxyOf(t, w.ask("openObjectByType", "uid", "newuser", "User"))
	if byType.dn != "cn=Nina Neu,ou=people,"+base || byType.values["title"] != "Dr." {
		t.Errorf("%+v", byType)
	}
	if code, _ := w.failure("openObjectByType", "uid", "*", "User"); code != "NOT_FOUND" {
		t.Errorf("a star stands for itself: %v", code)
	}
	removed := proxyOf(t, w.ask("openObject", "object", byType.values["uuid"]))
	w.ask("dispatchObjectMethod", removed.ref, "remove")
	w.fails(clacks.NotFound, "getObject", []any{byType.values["uuid"]})

	// In JSON-RPC 2.0 a change answers what it did.
	again := proxyOf(t, w.call("openObject", []any{"object", "ou=people," + base, "User"}))
	for name, value := range map[string]any{"uid": "u2", "sn": "S", "givenName": "G", "cn": "C"} {
		w.call("setObjectProperty", []any{again.ref, name, value})
	}
	if result := w.object("dispatchObjectMethod", []any{again.ref, "commit"}); result["dn"] != "cn=C,ou=people,"+base || result["sequence"] == nil {
		t.Errorf("commit answers %v", result)
	}
	w.ask("logout")
	if status, _, _ := w.legacy("getBase"); status != http.StatusUnauthorized {
		t.Errorf("after the logout: %d", status)
	}
}

func TestLogoutClosesObjects(t *testing.T) {
	w := newWorld(t)
	w.jane()
	w.login()
	open := proxyOf(t, w.ask("openObject", "object", "cn=Jane Doe,ou=people,"+base))
	if n := w.objects.Statistics().Sessions; n != 1 {
		t.Fatalf("%d objects are open", n)
	}
	w.ask("logout")
	if n := w.objects.Statistics().Sessions; n != 0 {
		t.Errorf("%d objects are open after the logout", n)
	}
	w.login()
	if code, _ := w.failure("getObjectProperty", open.ref, "sn"); code != "REFERENCE_NOT_FOUND" {
		t.Errorf("a reference outlived its session: %v", code)
	}
}

// Requests for one object may come twice, at once and out of order: each is whole, and the last commit has all of them.
func TestRequestsAtOnce(t *testing.T) {
	w := newWorld(t)
	w.login()
	id := w.jane()["uuid"]
	open := proxyOf(t, w.ask("openObject", "object", id))
	attributes := []string{"title", "initials", "o", "ou", "roomNumber", "street", "l", "st"}
	var group sync.WaitGroup
	for _, name := range attributes {
		for range 2 {
			group.Go(func() { w.ask("setObjectProperty", open.ref, name, name+"!") })
		}
		group.Go(func() { w.ask("getObjectProperty", open.ref, name) })
	}
	group.Wait()
	for range 4 {
		group.Go(func() { w.ask("dispatchObjectMethod", open.ref, "commit") })
	}
	group.Wait()
	got := member(t, w.call("getObject", []any{id}), "attributes").(map[string]any)
	for _, name := range attributes {
		value := got[name]
		if list, ok := value.([]any); ok && len(list) == 1 {
			value = list[0]
		}
		if value != name+"!" {
			t.Errorf("%s is %v", name, got[name])
		}
	}
}
