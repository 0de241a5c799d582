package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"clacks"
	"clacks/access"
)

func messageRegistry(t *testing.T) *Registry {
	t.Helper()
	r := NewRegistry(Options{Policy: access.Static{}})
	type params struct {
		Text string `json:"text" required:"true"`
	}
	err := r.Add(New(Spec{Name: "echo", Help: "Echoes."}, func(_ context.Context, _ *Call, p params) (string, error) {
		return p.Text, nil
	}), New(Spec{Name: "fail", Help: "Fails."}, func(context.Context, *Call, None) (bool, error) {
		return false, &clacks.Error{Kind: clacks.NotUnique, Type: "User", Reason: "taken",
			Fields: []clacks.Field{{Attribute: "uid", Code: clacks.CodeNotUnique, Reason: "is taken"}}}
	}))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestServeMessage(t *testing.T) {
	r := messageRegistry(t)
	tests := []struct{ name, body, want string }{
		{"by position", `{"id":1,"method":"echo","params":["a"]}`, `{"result":"a","id":1,"error":null}`},
		{"by name", `{"id":"x","method":"echo","params":{"text":"a"}}`, `{"result":"a","id":"x","error":null}`},
		{"without an id", `{"method":"echo","params":["a"]}`, `{"result":"a","id":null,"error":null}`},
		{"without params", `{"id":1,"method":"echo"}`, `{"result":null,"id":1,"error":{"code":-32602,"message":"wrong parameters (text: the parameter is missing)",` +
			`"data":{"kind":"invalid","attribute":"text","reason":"wrong parameters","fields":[{"attribute":"text","code":"ATTRIBUTE_MANDATORY","reason":"the parameter is missing"}]}}}`},
		{"an error", `{"id":1,"method":"fail","params":null}`, `{"result":null,"id":1,"error":{"code":-32006,"message":"taken (uid: is taken)",` +
			`"data":{"kind":"not-unique","type":"User","attribute":"uid","reason":"taken","fields":[{"attribute":"uid","code":"ATTRIBUTE_NOT_UNIQUE","reason":"is taken"}]}}}`},
		{"unknown", `{"id":1,"method":"ecko"}`, `{"result":null,"id":1,"error":{"code":-32601,"message":"no such command \"ecko\", did you mean \"echo\"?",` +
			`"data":{"kind":"not-found","reason":"no such command \"ecko\", did you mean \"echo\"?"}}}`},
		{"no method", `{"id":1}`, `{"result":null,"id":1,"error":{"code":-32600,"message":"the member method must be a string","data":{"kind":"invalid","reason":"the member method must be a string"}}}`},
		{"a wrong id", `{"id":[1],"method":"echo"}`, `{"result":null,"id":null,"error":{"code":-32600,"message":"the member id must be a string, a number or null","data":{"kind":"invalid","reason":"the member id must be a string, a number or null"}}}`},
		{"wrong params", `{"id":1,"method":"echo","params":"a"}`, `{"result":null,"id":1,"error":{"code":-32600,"message":"the member params must be an object or a list","data":{"kind":"invalid","reason":"the member params must be an object or a list"}}}`},
		{"JSON-RPC 2.0", `{"jsonrpc":"2.0","id":1,"method":"echo","params":["a"]}`, `{"jsonrpc":"2.0","result":"a","id":1}`},
		{"a notification", `{"jsonrpc":"2.0","method":"echo","params":["a"]}`, ``},
		{"a batch", `[{"jsonrpc":"2.0","id":1,"method":"echo","params":["a"]}]`, `{"jsonrpc":"2.0","error":{"code":-32600,"message":"a message holds one call, not a batch","data":{"kind":"invalid","reason":"a message holds one call, not a batch"}},"id":null}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			request, err := Parse([]byte(test.body))
			if err != nil {
				t.Fatal(err)
			}
			reply := r.ServeMessage(t.Context(), Caller{User: access.User{ID: "jane"}}, request)
			if string(reply.Body) != test.want {
				t.Errorf("answered\n%s\ninstead of\n%s", reply.Body, test.want)
			}
		})
	}
}

func TestRefuseMessage(t *testing.T) {
	_, err := Parse([]byte(`{"id":1,`))
	if got := string(RefuseMessage(nil, Unreadable(err)).Body); !strings.HasPrefix(got, `{"result":null,"id":null,"error":{"code":-32700,"message":"not JSON`) {
		t.Errorf("%s", got)
	}
	for body, want := range map[string]string{
		`{"id":7,"method":"x"}`:                 `{"result":null,"id":7,"error":{"code":-32010,"message":"full","data":{"kind":"limit","reason":"full"}}}`,
		`{"jsonrpc":"2.0","id":7,"method":"x"}`: `{"jsonrpc":"2.0","error":{"code":-32010,"message":"full","data":{"kind":"limit","reason":"full"}},"id":7}`,
	} {
		request, err := Parse([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if got := string(RefuseMessage(request, clacks.E(clacks.Limit, "x", "full")).Body); got != want {
			t.Errorf("%s", got)
		}
		if request.Method() != "x" {
			t.Errorf("method %q", request.Method())
		}
	}
}

// elsewhereFake has one command.
type elsewhereFake struct{ asked []string }

func (e *elsewhereFake) Find(_ context.Context, name string) (ForeignCommand, bool) {
	return ForeignCommand{Name: "reverse", Signature: []string{"text"}, Documentation: "Turns a text round.", Capability: "demo"}, name == "reverse"
}

func (e *elsewhereFake) Commands() []ForeignCommand {
	c, _ := e.Find(context.Background(), "reverse")
	return []ForeignCommand{c, {Name: "echo", Documentation: "hides behind ours"}}
}

func (e *elsewhereFake) Run(_ context.Context, call *Call, params json.RawMessage) (json.RawMessage, error) {
	e.asked = append(e.asked, call.User.ID+" "+call.Command+" "+string(params))
	if string(params) == `["no"]` {
		return nil, Remote(42, "will not", nil)
	}
	return json.RawMessage(`"olleh"`), nil
}

func TestCommandsOfOthers(t *testing.T) {
	r := messageRegistry(t)
	others := &elsewhereFake{}
	r.SetElsewhere(others)
	call := func(user, body string) string {
		request, err := Parse([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		return string(r.ServeMessage(t.Context(), Caller{User: access.User{ID: user}}, request).Body)
	}
	for _, test := range []struct{ user, body, want string }{
		{"jane", `{"id":1,"method":"reverse","params":["hello"]}`, `{"result":"olleh","id":1,"error":null}`},
		{"jane", `{"id":1,"method":"reverse","params":["no"]}`, `{"result":null,"id":1,"error":{"code":42,"message":"will not","data":{"kind":"internal","reason":"will not"}}}`},
		{"", `{"id":1,"method":"reverse"}`, `{"result":null,"id":1,"error":{"code":-32001,"message":"log in to call reverse","data":{"kind":"unauthenticated","reason":"log in to call reverse"}}}`},
		{"jane", `{"id":1,"method":"echo","params":["ours"]}`, `{"result":"ours","id":1,"error":null}`},
	} {
		if got := call(test.user, test.body); got != test.want {
			t.Errorf("%s: %s: %s", test.user, test.body, got)
		}
	}
	if want := []string{`jane reverse ["hello"]`, `jane reverse ["no"]`}; !slices.Equal(others.asked, want) {
		t.Errorf("asked %q", others.asked)
	}
	if m := r.methods(); m["reverse"].Target != "demo" || m["reverse"].Sig[0] != "text" || m["echo"].Target != "core" {
		t.Errorf("%+v", m)
	}
	methods := r.OpenRPC().Methods
	if last := methods[len(methods)-1]; last.Name != "reverse" || last.Params[0].Name != "text" || last.Tags[0].Name != "foreign" {
		t.Errorf("%+v", last)
	}
}

func TestRemote(t *testing.T) {
	err := Remote(-32006, "taken (uid: is taken)", &ErrorData{Kind: "not-unique", Type: "User", Reason: "taken",
		Fields: []clacks.Field{{Attribute: "uid", Code: "X", Reason: "is taken"}}})
	var e *clacks.Error
	if !errors.As(err, &e) || e.Kind != clacks.NotUnique || e.Type != "User" || e.Message() != "taken (uid: is taken)" {
		t.Errorf("%+v", e)
	}
	if clacks.KindOf(Remote(-32601, "no such command", nil)) != clacks.NotFound {
		t.Error("an unknown command is not clacks.NotFound")
	}
}
