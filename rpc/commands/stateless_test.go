package commands_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"clacks"
	"clacks/rpc/client"
)

func TestStateless(t *testing.T) {
	w := newWorld(t)
	jane := w.jane()
	id := jane["uuid"].(string)
	if jane["dn"] != "cn=Jane Doe,ou=people,"+base || jane["version"] == nil || jane["sequence"] != json.Number("2") {
		t.Errorf("createObject answers %v", jane)
	}
	got := w.object("getObject", []any{id})
	want := map[string]any{"uid": "jane", "cn": "Jane Doe", "sn": "Doe", "givenName": "Jane", "mail": []any{"jane@example.net"},
		"birthday": "1990-02-03", "hired": "2020-01-02T03:04:05Z", "remote": false, "floor": json.Number("3"), "jpegPhoto": "QUJD", "shift": "e"}
	attributes := got["attributes"].(map[string]any)
	for name, value := range want {
		if !reflect.DeepEqual(attributes[name], value) {
			t.Errorf("%s is %v, not %v", name, attributes[name], value)
		}
	}
	if _, has := attributes["userPassword"]; has {
		t.Error("the password is answered")
	}
	if got["type"] != "User" || !reflect.DeepEqual(got["extensions"], []any{}) || got["version"] != jane["version"] || got["lastChanged"] == "" {
		t.Errorf("getObject answers %v", got)
	}
	if part := w.object("getObject", map[string]any{"id": jane["dn"], "attributes": []string{"sn"}}); !reflect.DeepEqual(part["attributes"], map[string]any{"sn": "Doe"}) {
		t.Errorf("some attributes: %v", part["attributes"])
	}

	t.Run("update", func(t *testing.T) { testUpdate(t, w, id, jane) })
	t.Run("idempotency", func(t *testing.T) { testIdempotency(t, w, id) })
	t.Run("dry run", func(t *testing.T) { testDryRun(t, w) })
	t.Run("search", func(t *testing.T) { testSearch(t, w) })
	t.Run("move", func(t *testing.T) { testMoveObject(t, w, id) })
	t.Run("delete", func(t *testing.T) { testDelete(t, w, id) })
}

func testUpdate(t *testing.T, w *world, id string, jane map[string]any) {
	changed := w.object("updateObject", map[string]any{"id": id, "version": jane["version"], "changes": map[string]any{
		"sn": "Roe", "mail": map[string]any{"add": []string{"j@example.net"}}, "floor": nil}})
	if changed["sequence"] != json.Number("3") || changed["version"] == jane["version"] {
		t.Errorf("%v", changed)
	}
	got := w.object("getObject", []any{id, []string{"sn", "mail", "floor"}})["attributes"]
	if !reflect.DeepEqual(got, map[string]any{"sn": "Roe", "mail": []any{"jane@example.net", "j@example.net"}}) {
		t.Errorf("%v", got)
	}
	w.fails(clacks.Conflict, "updateObject", map[string]any{"id": id, "version": jane["version"], "changes": map[string]any{"sn": "x"}})
	// by position, in the order of the table of commands
	w.call("updateObject", []any{id, map[string]any{"sn": "Doe"}, nil, nil, nil, true})
	if sn := member(t, w.call("getObject", []any{id}), "attributes", "sn"); sn != "Roe" {
		t.Errorf("a dry run changed sn to %v", sn)
	}
}

func testIdempotency(t *testing.T, w *world, id string) {
	params := map[string]any{"id": id, "changes": map[string]any{"title": "Dr."}, "idempotencyKey": "k1"}
	if first, second := w.object("updateObject", params), w.object("updateObject", params); !reflect.DeepEqual(first, second) {
		t.Errorf("%v, then %v", first, second)
	}
}

func testDryRun(t *testing.T, w *world) {
	plan := w.object("createObject", map[string]any{"type": "User", "base": "ou=people," + base, "dryRun": true,
		"attributes": map[string]any{"uid": "x", "cn": "x", "sn": "x", "givenName": "x", "userPassword": "topsecret"}})
	text, err := json.Marshal(plan)
	if err != nil || strings.Contains(string(text), "topsecret") || len(member(t, plan, "plan", "steps").([]any)) == 0 {
		t.Errorf("%s", text)
	}
}

func testSearch(t *testing.T, w *world) {
	page := w.object("searchObjects", map[string]any{"type": "User", "filter": map[string]any{"uid": "jane"}, "attributes": []string{"cn"}, "total": true})
	if page["total"] != json.Number("1") || member(t, page, "objects", 0, "attributes", "cn") != "Jane Doe" {
		t.Errorf("%v", page)
	}
	page = w.object("searchObjects", map[string]any{"query": "mail = 'j@example.net'"})
	if _, counted := page["total"]; counted || len(page["objects"].([]any)) != 1 {
		t.Errorf("%v", page)
	}
	err := w.errorOf(clacks.Invalid, "searchObjects", map[string]any{"query": "mail = ("})
	var e *client.Error
	if !errors.As(err, &e) || e.Data.Attribute != "query" || !strings.Contains(e.Data.Fields[0].Reason, "line 1, column") {
		t.Errorf("%+v", e.Data)
	}
}

func testMoveObject(t *testing.T, w *world, id string) {
	w.fails(clacks.Invalid, "moveObject", []any{id})
	moved := w.object("moveObject", map[string]any{"id": id, "rdn": "cn=Jane Roe"})
	if moved["dn"] != "cn=Jane Roe,ou=people,"+base {
		t.Errorf("%v", moved)
	}
}

func testDelete(t *testing.T, w *world, id string) {
	w.fails(clacks.InUse, "deleteObject", []any{"ou=people," + base})
	if gone := w.object("deleteObject", map[string]any{"id": id}); len(gone) != 1 || gone["sequence"] == nil {
		t.Errorf("%v", gone)
	}
	w.fails(clacks.NotFound, "getObject", []any{id})
	w.call("deleteObject", []any{"ou=people," + base, true})
}

func TestStatelessErrors(t *testing.T) {
	w := newWorld(t)
	w.jane()
	tests := []struct {
		method string
		params any
		kind   clacks.Kind
		field  string
		code   string
	}{
		{"createObject", map[string]any{"type": "User"}, clacks.Invalid, "base", clacks.CodeMandatory},
		{"createObject", map[string]any{"typ": "User", "type": "User", "base": base}, clacks.Invalid, "typ", clacks.CodeUnknown},
		{"createObject", map[string]any{"type": "User", "base": "ou=people," + base, "attributes": map[string]any{"uid": "j2"}},
			clacks.Invalid, "sn", clacks.CodeMandatory},
		{"createObject", map[string]any{"type": "User", "base": "ou=people," + base,
			"attributes": map[string]any{"uid": "jane", "sn": "x", "givenName": "x", "cn": "x"}}, clacks.NotUnique, "uid", clacks.CodeNotUnique},
		{"updateObject", map[string]any{"id": "cn=Jane Doe,ou=people," + base, "changes": map[string]any{"floor": "x"}}, clacks.Invalid, "floor", ""},
		{"updateObject", map[string]any{"id": "cn=Jane Doe,ou=people," + base, "changes": map[string]any{"serName": "x"}}, clacks.Invalid, "serName", clacks.CodeUnknown},
		{"getObject", map[string]any{"id": "cn=nobody," + base}, clacks.NotFound, "", ""},
		{"updateObject", map[string]any{"id": "cn=Jane Doe,ou=people," + base, "changes": map[string]any{"mail": map[string]any{"add": "a@b", "remov": "x"}}},
			clacks.Invalid, "mail", clacks.CodeType},
		{"getObject", map[string]any{"id": "nobody"}, clacks.Invalid, "id", clacks.CodeType},
		{"getObject", map[string]any{"id": ""}, clacks.Invalid, "id", clacks.CodeType},
		{"createObject", map[string]any{"type": "User", "base": "dc=elsewhere", "attributes": map[string]any{"uid": "j3", "cn": "J", "sn": "J"}}, clacks.Invalid, "base", clacks.CodeCheck},
		{"createObject", map[string]any{"type": "User", "base": "elsewhere", "attributes": map[string]any{"uid": "j3", "cn": "J", "sn": "J"}}, clacks.Invalid, "base", clacks.CodeType},
		{"createObject", map[string]any{"type": "User", "base": "cn=Jane Doe,ou=people," + base, "attributes": map[string]any{"uid": "j3", "cn": "J", "sn": "J"}}, clacks.Invalid, "base", clacks.CodeCheck},
		{"moveObject", map[string]any{"id": "cn=Jane Doe,ou=people," + base, "base": "x"}, clacks.Invalid, "base", clacks.CodeType},
		{"moveObject", map[string]any{"id": "ou=people," + base, "base": "ou=people," + base}, clacks.Invalid, "base", clacks.CodeCheck},
		{"moveObject", map[string]any{"id": "cn=Jane Doe,ou=people," + base, "rdn": "x"}, clacks.Invalid, "rdn", clacks.CodeType},
		{"searchObjects", map[string]any{"type": "Usr"}, clacks.Invalid, "type", clacks.CodeUnknown},
		{"searchObjects", map[string]any{"base": "x"}, clacks.Invalid, "base", clacks.CodeType},
		{"searchObjects", map[string]any{"scope": "subs"}, clacks.Invalid, "scope", clacks.CodeValues},
		{"searchObjects", map[string]any{"limit": -1}, clacks.Invalid, "limit", clacks.CodeCheck},
		{"searchObjects", map[string]any{"cursor": "x"}, clacks.Invalid, "cursor", clacks.CodeCheck},
		{"searchObjects", map[string]any{"filter": map[string]any{"dn": "x"}}, clacks.Invalid, "dn", clacks.CodeType},
		{"searchObjects", map[string]any{"type": "User", "query": "xs:integer(sn)"}, clacks.Invalid, "query", "FORG0001"},
		{"openObject", []any{"object", "nobody"}, clacks.Invalid, "dn", clacks.CodeType},
		{"openObject", []any{"object", "dc=elsewhere", "User"}, clacks.Invalid, "dn", clacks.CodeCheck},
		{"removeObject", []any{"object", "nobody"}, clacks.Invalid, "dn", clacks.CodeType},
		{"isContainerForObjectType", []any{"nobody", "User"}, clacks.Invalid, "object_dn", clacks.CodeType},
		{"searchObjects", map[string]any{"limit": "many"}, clacks.Invalid, "limit", clacks.CodeType},
		{"sendEvent", []any{"<Event/>"}, clacks.Invalid, "", ""},
		{"sendEvent", []any{"<!DOCTYPE a><Event xmlns='http://www.gonicus.de/Events'><BackendChange/></Event>"}, clacks.Invalid, "", ""},
	}
	for _, test := range tests {
		err := w.errorOf(test.kind, test.method, test.params)
		var e *clacks.Error
		if !errors.As(err, &e) {
			t.Fatal(err)
		}
		if test.field == "" {
			continue
		}
		found := false
		for _, f := range e.Fields {
			found = found || f.Attribute == test.field && (test.code == "" || f.Code == test.code)
		}
		if !found {
			t.Errorf("%s %v: %+v", test.method, test.params, e.Fields)
		}
	}
	other := &client.Client{URL: w.web.URL, User: "nobody", Password: "tester"}
	if _, err := other.Call(t.Context(), "getObject", []any{"cn=Jane Doe,ou=people," + base}); !clacks.IsKind(err, clacks.Denied) {
		t.Errorf("another user reads: %v", err)
	}
	if _, err := other.Call(t.Context(), "sendEvent", []any{notification}); !clacks.IsKind(err, clacks.Denied) {
		t.Errorf("another user sends: %v", err)
	}
}

const notification = `<Event xmlns="http://www.gonicus.de/Events"><BackendChange><DN>cn=x</DN>` +
	`<ModificationTime>2026-11-20T03:49:03Z</ModificationTime><ChangeType>update</ChangeType></BackendChange></Event>`

func TestEventsOverTheWire(t *testing.T) {
	w := newWorld(t)
	query := `declare namespace e = "http://www.gonicus.de/Events";
		//e:ObjectChanged[e:ChangeType = "update"]//e:Attribute[@name = "sn"]`
	next := make(chan client.Event)
	ctx := t.Context()
	go func() {
		defer close(next)
		for e, err := range w.admin.Events(ctx, query, "1") {
			if err != nil {
				t.Error(err)
				return
			}
			next <- e
		}
	}()
	id := w.jane()["uuid"]
	w.call("updateObject", []any{id, map[string]any{"title": "Dr."}})
	changed := w.object("updateObject", []any{id, map[string]any{"sn": "Roe"}})
	e := <-next
	if json.Number(strings.TrimSpace(changed["sequence"].(json.Number).String())) != json.Number(jsonNumber(e.Sequence)) {
		t.Errorf("event %d, commit %v", e.Sequence, changed["sequence"])
	}
	for _, want := range []string{"<Actor>admin</Actor>", "Roe", "Doe"} {
		if e.Type != "ObjectChanged" || !strings.Contains(string(e.Document), want) {
			t.Errorf("%s without %s: %s", e.Type, want, e.Document)
		}
	}
	for _, err := range w.admin.Events(ctx, "//e:x[", "") {
		var wrong *client.QueryError
		if !errors.As(err, &wrong) || wrong.Line != 1 || wrong.Code == "" {
			t.Errorf("a wrong query: %v", err)
		}
	}
}

func jsonNumber(n int64) string {
	b, _ := json.Marshal(n)
	return string(b)
}
