package commands_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"testing"

	"clacks"
	"clacks/access"
	"clacks/backends"
	"clacks/backends/directory"
	"clacks/backends/sql"
	"clacks/definitions"
	"clacks/definitions/builtin"
	"clacks/events"
	"clacks/internal/store"
	"clacks/mapping"
	"clacks/migrations"
	"clacks/objects"
	"clacks/rpc"
	"clacks/rpc/client"
	"clacks/rpc/commands"
	"clacks/rpc/httpd"
)

const base = "dc=example,dc=net"

// employees gives users attributes of all types that the shipped definitions do not use.
const employees = `<Objects xmlns="http://www.gonicus.de/Objects"><Amendment object="User">
  <BackendParameters><Backend table="employees" key="uid=login">SQL</Backend></BackendParameters>
  <Attributes>
    <Attribute><Name>birthday</Name><Description>x</Description><Type>Date</Type><Mapping backend="SQL" attribute="birthday"/></Attribute>
    <Attribute><Name>hired</Name><Description>x</Description><Type>Timestamp</Type><Mapping backend="SQL" attribute="hired"/></Attribute>
    <Attribute><Name>remote</Name><Description>x</Description><Type>Boolean</Type><Mapping backend="SQL" attribute="remote"/></Attribute>
    <Attribute><Name>floor</Name><Description>x</Description><Type>Integer</Type><Mapping backend="SQL" attribute="floor"/>
      <BlockedBy><Attribute value="true">remote</Attribute></BlockedBy></Attribute>
    <Attribute><Name>shift</Name><Description>x</Description><Type>String</Type><Mapping backend="SQL" attribute="shift"/>
      <Values><Value key="e">Early</Value><Value key="l">Late</Value></Values></Attribute>
  </Attributes></Amendment></Objects>`

// world is a whole service behind its HTTP door, with a directory and a table in memory's neighbourhood: a temporary folder.
type world struct {
	t       testing.TB
	objects *objects.Service
	door    *httpd.Server
	web     *httptest.Server
	browser *http.Client
	token   string
	admin   *client.Client
}

type people struct{ users map[string]access.User }

func (p people) Authenticate(_ context.Context, uid, password string) (access.User, error) {
	if user, ok := p.users[uid]; ok && password == "tester" {
		return user, nil
	}
	return access.User{}, clacks.E(clacks.Unauthenticated, "people", "no")
}

func newWorld(t testing.TB) *world {
	t.Helper()
	ctx := t.Context()
	folder := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	state, err := store.Open("sqlite:" + folder + "/state.db")
	must(err)
	t.Cleanup(func() { _ = state.Close() })
	must(migrations.Up(ctx, state))
	_, err = state.Exec(ctx, store.Statement{SQL: `CREATE TABLE employees (login TEXT PRIMARY KEY, birthday TEXT, hired TEXT, remote BOOLEAN,
		floor BIGINT, shift TEXT)`})
	must(err)
	tree, err := directory.Open(ctx, "sqlite:"+folder+"/directory.db", directory.Options{})
	must(err)
	t.Cleanup(func() { _ = tree.Close() })
	must(tree.Bootstrap(ctx, base))

	sources := append(builtin.Sources(), definitions.Source{Name: "employees.xml", Data: []byte(employees)})
	defs, problems := definitions.Load(sources, definitions.Options{Backends: []string{"LDAP", "SQL", "NULL"}})
	if defs == nil {
		t.Fatal(problems)
	}
	set, problems := mapping.Compile(defs, mapping.Options{Kinds: map[string]backends.Kind{"LDAP": backends.Tree, "SQL": backends.Table}})
	if set == nil {
		t.Fatal(problems)
	}
	schemas, err := events.LoadSchemas()
	must(err)
	logger := slog.New(slog.NewTextHandler(io.Discard, nil))
	log, err := events.Open(state, schemas, events.WithLogger(logger))
	must(err)
	service, err := objects.New(objects.Config{Mappings: set, State: state, Recorder: log, Base: base, Key: bytes.Repeat([]byte("k"), 32),
		Backends: map[string]backends.Backend{"LDAP": tree, "SQL": sql.New(state)}, Owner: "test", Log: logger})
	must(err)
	must(service.Start(ctx))
	t.Cleanup(service.Stop)

	registry := rpc.NewRegistry(rpc.Options{Policy: access.Static{}, Log: logger})
	must(commands.Register(registry, commands.Options{Objects: service, Events: log, Base: base,
		Subscriptions: events.NewSubscriptions(log, events.SubscriptionLimits{}), Domain: "org.clacks"}))
	w := &world{t: t, objects: service}
	w.door, err = httpd.New(httpd.Options{Registry: registry, Events: httpd.Events(log), Sessions: httpd.NewSQLSessions(state),
		SessionEnded: service.CloseSessions, Log: logger,
		Authenticator: people{map[string]access.User{"admin": {ID: "admin", Admin: true}, "nobody": {ID: "nobody"}}}})
	must(err)
	w.web = httptest.NewServer(w.door.Handler())
	t.Cleanup(w.web.Close)
	w.admin = &client.Client{URL: w.web.URL, User: "admin", Password: "tester"}
	jar, err := cookiejar.New(nil)
	must(err)
	w.browser = &http.Client{Jar: jar}
	return w
}

// call runs a command in JSON-RPC 2.0 and wants it to succeed.
func (w *world) call(method string, params any) any {
	w.t.Helper()
	raw, err := w.admin.Call(w.t.Context(), method, params)
	if err != nil {
		w.t.Fatalf("%s %v: %v", method, params, err)
	}
	return decode(w.t, raw)
}

// object is the answer of a call as an object.
func (w *world) object(method string, params any) map[string]any {
	w.t.Helper()
	answer, ok := w.call(method, params).(map[string]any)
	if !ok {
		w.t.Fatalf("%s answers no object", method)
	}
	return answer
}

// fails wants a command to fail with a kind.
func (w *world) fails(kind clacks.Kind, method string, params any) {
	w.t.Helper()
	_ = w.errorOf(kind, method, params)
}

// errorOf is the error of a command that is wanted to fail with a kind.
func (w *world) errorOf(kind clacks.Kind, method string, params any) error {
	w.t.Helper()
	raw, err := w.admin.Call(w.t.Context(), method, params)
	if err == nil || clacks.KindOf(err) != kind {
		w.t.Fatalf("%s %v: %s, %v; wanted %s", method, params, raw, err, kind)
	}
	return err
}

func decode(t testing.TB, raw []byte) any {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	return v
}

// post sends a body as the frontend's browser does.
func (w *world) post(body string) (int, string) {
	w.t.Helper()
	r, err := http.NewRequest(http.MethodPost, w.web.URL+"/rpc?nocache=1", strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-XSRFToken", w.token)
	response, err := w.browser.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return response.StatusCode, string(answer)
}

// legacy calls a method in the legacy envelope.
func (w *world) legacy(method string, params ...any) (status int, result, failure any) {
	w.t.Helper()
	if params == nil {
		params = []any{}
	}
	body, err := json.Marshal(map[string]any{"method": method, "params": params, "id": 1})
	if err != nil {
		w.t.Fatal(err)
	}
	status, text := w.post(string(body))
	if !strings.HasPrefix(text, "{") {
		return status, nil, text
	}
	answer, ok := decode(w.t, []byte(text)).(map[string]any)
	if _, hasError := answer["error"]; !ok || !hasError || len(answer) != 3 {
		w.t.Fatalf("%s: %s", method, text)
	}
	return status, answer["result"], answer["error"]
}

// ask is legacy, wanted to succeed.
func (w *world) ask(method string, params ...any) any {
	w.t.Helper()
	status, result, failure := w.legacy(method, params...)
	if status != http.StatusOK || failure != nil {
		w.t.Fatalf("%s %v: %d %v", method, params, status, failure)
	}
	return result
}

// login is what the frontend does at its start.
func (w *world) login() {
	w.t.Helper()
	response, err := w.browser.Get(w.web.URL + "/rpc?nocache=7")
	if err != nil {
		w.t.Fatal(err)
	}
	_ = response.Body.Close()
	for _, c := range response.Cookies() {
		if c.Name == "_xsrf" {
			w.token = c.Value
		}
	}
	if state := member(w.t, w.ask("login", "admin", "tester"), "state"); state != json.Number("100") {
		w.t.Fatalf("login: %v", state)
	}
}

// member is a part of a decoded answer.
func member(t testing.TB, v any, path ...any) any {
	t.Helper()
	for _, step := range path {
		switch s := step.(type) {
		case string:
			m, ok := v.(map[string]any)
			if _, has := m[s]; !ok || !has {
				t.Fatalf("no %v in %v", path, v)
			}
			v = m[s]
		case int:
			list, ok := v.([]any)
			if !ok || s >= len(list) {
				t.Fatalf("no %v in %v", path, v)
			}
			v = list[s]
		}
	}
	return v
}

// jane creates a user and returns his answer of createObject.
func (w *world) jane() map[string]any {
	w.t.Helper()
	w.call("createObject", map[string]any{"type": "PeopleContainer", "base": base})
	return w.object("createObject", map[string]any{"type": "User", "base": "ou=people," + base, "attributes": map[string]any{
		"uid": "jane", "cn": "Jane Doe", "sn": "Doe", "givenName": "Jane", "mail": []string{"jane@example.net"}, "birthday": "1990-02-03",
		"hired": "2020-01-02T03:04:05Z", "remote": false, "floor": 3, "jpegPhoto": "QUJD", "userPassword": "secret", "shift": "e"}})
}

// registerAll adds all commands without anything behind them.
func registerAll(r *rpc.Registry) error {
	var none *objects.Service
	return commands.Register(r, commands.Options{Objects: none, Events: &events.Log{}, Base: base})
}
