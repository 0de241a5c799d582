package commands_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"clacks"
	"clacks/access"
	"clacks/rpc"
	"clacks/rpc/client"
)

func TestSearchOfTheFrontend(t *testing.T) {
	w := newWorld(t)
	w.login()
	w.jane()
	for i := range 5 {
		w.call("createObject", map[string]any{"type": "User", "base": "ou=people," + base, "attributes": map[string]any{
			"uid": fmt.Sprintf("user%d", i), "cn": fmt.Sprintf("Karl Meyer%02d", i), "sn": fmt.Sprintf("Meyer%02d", i), "givenName": "Karl"}})
	}
	titles := func(params ...any) []string {
		t.Helper()
		answer := w.ask("search", params...)
		var titles []string
		for _, i := range member(t, answer, "results").([]any) {
			titles = append(titles, member(t, i, "title").(string))
		}
		if member(t, answer, "total") != member(t, answer, "primary_total") {
			t.Errorf("totals %v", answer)
		}
		return titles
	}
	all := []string{"Karl Meyer00", "Karl Meyer01", "Karl Meyer02", "Karl Meyer03", "Karl Meyer04"}
	tests := []struct {
		params []any
		want   []string
	}{
		{[]any{base, "SUB", "user3"}, []string{"Karl Meyer03"}},
		{[]any{base, "sub", "meyer03 karl"}, []string{"Karl Meyer03"}},
		{[]any{base, "SUB", "Meyer"}, all},
		{[]any{base, "SUB", "eyer"}, nil},
		{[]any{base, "SUB", "Meyer0*"}, all},
		{[]any{base, "SUB", "Meyer99"}, nil},
		{[]any{base, "SUB", "Meyer jane"}, nil},
		{[]any{base, "SUB", "Meyer", map[string]any{"limit": 2}}, all[:2]},
		{[]any{base, "SUB", "Meyer", map[string]any{"order-by": "name", "order": "desc", "limit": 1, "secondary": "enabled", "fallback": true}}, all[4:]},
		{[]any{base, "SUB", "Meyer", map[string]any{"order-by": "last-changed", "order": 1, "limit": 1}}, all[4:]},
		{[]any{base, "SUB", "Meyer", map[string]any{"category": "PosixGroup"}}, nil},
		{[]any{base, "SUB", "jane", map[string]any{"category": "User", "mod-time": "day"}}, []string{"Jane Doe"}},
		{[]any{base, "BASE", ""}, []string{"example"}},
		{[]any{base, "CHILDREN", ""}, []string{"people"}},
		{[]any{base, "ONE", ""}, []string{"example", "people"}},
		{[]any{"ou=people," + base, "ONE", "jane"}, []string{"Jane Doe"}},
	}
	for _, test := range tests {
		got := titles(test.params...)
		slices.Sort(got)
		if !slices.Equal(got, test.want) {
			t.Errorf("%v: %v, want %v", test.params, got, test.want)
		}
	}
	if got := w.ask("search", base, "SUB", "Meyer", map[string]any{"limit": 2}); member(t, got, "total") != json.Number("5") {
		t.Errorf("a limit changes the total: %v", got)
	}
	item := member(t, w.ask("search", base, "BASE", "", map[string]any{"adjusted-dn": true}), "results", 0)
	for name, want := range map[string]any{"tag": "Domain", "dn": base, "container": true, "hasChildren": true, "secondary": false, "adjusted_dn": base} {
		if member(t, item, name) != want {
			t.Errorf("%s of %v", name, item)
		}
	}
	jane := member(t, w.ask("search", base, "SUB", "jane"), "results", 0)
	if member(t, jane, "hasChildren") != false || member(t, jane, "lastChanged", "__jsonclass__") != "datetime.datetime" {
		t.Errorf("%v", jane)
	}
	if _, ok := member(t, jane, "relevance").(json.Number); !ok || member(t, jane, "uuid") == "" {
		t.Errorf("%v", jane)
	}
}

func TestFrontendQuestions(t *testing.T) {
	w := newWorld(t)
	w.login()
	w.jane()
	dn := "cn=Jane Doe,ou=people," + base
	if got := w.ask("getObjectSearchItem", dn); member(t, got, "title") != "Jane Doe" || member(t, got, "tag") != "User" || member(t, got, "dn") != dn {
		t.Errorf("%v", got)
	}
	for _, test := range []struct {
		dn, typ string
		want    bool
	}{{"ou=people," + base, "User", true}, {dn, "User", false}, {base, "Locality", true}, {base, "User", true}, {base, "PosixUser", false}} {
		if got := w.ask("isContainerForObjectType", test.dn, test.typ); got != test.want {
			t.Errorf("%+v: %v", test, got)
		}
	}
	if got := w.ask("getEntryPoints"); !reflect.DeepEqual(got, []any{base}) {
		t.Errorf("%v", got)
	}
	names := w.ask("getAvailableObjectNames").([]any)
	bases := w.ask("getAvailableObjectNames", true).([]any)
	if !slices.Contains(names, any("PosixUser")) || slices.Contains(bases, any("PosixUser")) || !slices.Contains(bases, any("User")) {
		t.Errorf("%v, %v", names, bases)
	}
	if labels := w.ask("getAvailableObjectNames", false, nil, "de"); member(t, labels, "PeopleContainer") == "" {
		t.Errorf("%v", labels)
	}
	if got := w.ask("getAvailableObjectNames", true, "PeopleContainer").([]any); !slices.Contains(got, any("User")) || slices.Contains(got, any("Country")) {
		t.Errorf("%v", got)
	}
	if got := w.ask("getUserDetails"); member(t, got, "cn") != "admin" {
		t.Errorf("%v", got)
	}
	if got := w.ask("getSessionUser"); got != "admin" {
		t.Errorf("%v", got)
	}
	if got := w.ask("getBase"); got != base {
		t.Errorf("%v", got)
	}
	public := w.ask("getNoLoginMethods").([]any)
	if !slices.Contains(public, any("login")) || slices.Contains(public, any("search")) {
		t.Errorf("%v", public)
	}
	if got := w.ask("getAllowedMethods").([]any); !slices.Contains(got, any("search")) {
		t.Errorf("%v", got)
	}
	if got := w.ask("getError", "abc"); got != nil {
		t.Errorf("%v", got)
	}
	methods := w.ask("getMethods")
	if !reflect.DeepEqual(member(t, methods, "openObject", "sig"), []any{"oid", "dn", "type"}) || member(t, methods, "getBase", "doc") == "" {
		t.Errorf("%v", methods)
	}
	hash := member(t, w.ask("**getBase", "0"), "hash")
	if again := w.ask("**getBase", hash); !reflect.DeepEqual(again, map[string]any{"hash": hash}) {
		t.Errorf("%v", again)
	}
}

// The table of commands for programs is a promise: names, parameters and their order.
func TestParameterOrder(t *testing.T) {
	registry := rpc.NewRegistry(rpc.Options{Policy: access.Static{}})
	if err := registerAll(registry); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{
		"createObject":  {"type", "base", "attributes", "extensions", "dryRun", "idempotencyKey"},
		"getObject":     {"id", "attributes"},
		"updateObject":  {"id", "changes", "extend", "retract", "version", "dryRun", "idempotencyKey"},
		"moveObject":    {"id", "base", "rdn", "version", "dryRun", "idempotencyKey"},
		"deleteObject":  {"id", "recursive", "version", "dryRun", "idempotencyKey"},
		"searchObjects": {"type", "base", "scope", "filter", "query", "attributes", "orderBy", "descending", "limit", "cursor", "total"},
		"sendEvent":     {"event", "idempotencyKey"},
		"openObject":    {"oid", "dn", "type"}, "getObjectProperty": {"ref", "name"}, "setObjectProperty": {"ref", "name", "value"},
		"dispatchObjectMethod": {"ref", "method", "args"}, "closeObject": {"ref"}, "reloadObject": {"ref"}, "removeObject": {"oid", "dn"},
		"search": {"base", "scope", "qstring", "fltr"}, "login": {"uid", "password", "token"}, "getError": {"_id", "locale", "trace", "keep"},
	} {
		c, ok := registry.Lookup(name)
		if !ok {
			t.Errorf("no command %s", name)
			continue
		}
		var got []string
		for _, p := range c.Params {
			got = append(got, p.Name)
			if p.Help == "" {
				t.Errorf("%s: no help for %s", name, p.Name)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s%v, want %v", name, got, want)
		}
	}
}

func TestBearerToken(t *testing.T) {
	w := newWorld(t)
	login := w.object("login", map[string]any{"uid": "admin", "password": "tester", "token": true})
	c := &client.Client{URL: w.web.URL, Token: login["token"].(string)}
	if user, err := client.Do[string](t.Context(), c, "getSessionUser", nil); err != nil || user != "admin" {
		t.Errorf("%v, %v", user, err)
	}
	if _, err := c.Call(t.Context(), "logout", nil); err != nil {
		t.Error(err)
	}
	if _, err := c.Call(t.Context(), "getSessionUser", nil); !clacks.IsKind(err, clacks.Unauthenticated) {
		t.Errorf("%v", err)
	}
	if _, has := w.object("login", []any{"admin", "tester"})["token"]; has {
		t.Error("a token that nobody asked for")
	}
}
