package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"clacks"
	"clacks/access"
)

type embedded struct {
	DryRun bool `json:"dryRun" doc:"plan only"`
}

type options struct {
	Limit int    `json:"limit"`
	Order string `json:"order"`
}

type everyParams struct {
	Name    string         `json:"name" required:"true" doc:"a name"`
	Count   int            `json:"count"`
	Ratio   float64        `json:"ratio"`
	Flag    bool           `json:"flag"`
	List    []string       `json:"list"`
	Values  map[string]any `json:"values"`
	Options options        `json:"options"`
	Pointer *options       `json:"pointer"`
	Any     any            `json:"any"`
	embedded
}

type restParams struct {
	Ref  string `json:"ref" required:"true"`
	Args []any  `json:"args" rest:"true"`
}

// last is what a test command was called with.
type last struct {
	every everyParams
	rest  restParams
}

func testRegistry(t testing.TB, change ...func(*Options)) (*Registry, *last) {
	t.Helper()
	o := Options{Policy: access.Static{}, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	for _, c := range change {
		c(&o)
	}
	r, seen := NewRegistry(o), &last{}
	err := r.Add(
		New(Spec{Name: "every", Help: "takes every type"}, func(_ context.Context, _ *Call, p everyParams) (bool, error) {
			seen.every = p
			return true, nil
		}),
		New(Spec{Name: "rest", Help: "takes the rest"}, func(_ context.Context, _ *Call, p restParams) (int, error) {
			seen.rest = p
			return len(p.Args), nil
		}),
		New(Spec{Name: "public", Help: "for all", Public: true}, func(context.Context, *Call, None) (string, error) { return "<hello>", nil }),
		New(Spec{Name: "fields", Help: "finds wrong fields"}, func(context.Context, *Call, None) (string, error) {
			return "", &clacks.Error{Op: "x", Kind: clacks.Invalid, Type: "User", Reason: "the object is not valid", Fields: []clacks.Field{
				{Attribute: "sn", Code: clacks.CodeMandatory, Reason: "a value is needed"}, {Attribute: "uid", Code: clacks.CodeCheck, Reason: "no"}}}
		}),
		New(Spec{Name: "broken", Help: "fails"}, func(context.Context, *Call, None) (string, error) { return "", errors.New("secret") }),
		New(Spec{Name: "panics", Help: "panics"}, func(context.Context, *Call, None) (string, error) { panic("secret") }),
		New(Spec{Name: "unwritable", Help: "answers what JSON cannot say"}, func(context.Context, *Call, None) (any, error) {
			return func() {}, nil
		}),
		New(Spec{Name: "slow", Help: "never ends", Timeout: time.Nanosecond}, func(ctx context.Context, _ *Call, _ None) (any, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}),
	)
	if err != nil {
		t.Fatal(err)
	}
	return r, seen
}

var admin = Caller{User: access.User{ID: "admin", Admin: true}, RequestID: "r1"}

func TestParams(t *testing.T) {
	tests := []struct {
		name, params string
		check        func(everyParams) bool
		fields       []clacks.Field
	}{
		{"by name", `{"name":"x","count":3,"ratio":1.5,"flag":true,"list":["a"],"values":{"n":12345678901234567890},"dryRun":true}`,
			func(p everyParams) bool {
				return p.Name == "x" && p.Count == 3 && p.Ratio == 1.5 && p.Flag && slices.Equal(p.List, []string{"a"}) &&
					p.Values["n"] == json.Number("12345678901234567890") && p.DryRun
			}, nil},
		{"by position", `["x", 3, 1.5, true, ["a"], {"k":[]}, {"limit":7}, {"order":"up"}, null, true]`, func(p everyParams) bool {
			return p.Count == 3 && p.Options.Limit == 7 && p.Pointer.Order == "up" && p.Any == nil && p.DryRun
		}, nil},
		{"null leaves out", `["x", null, null]`, func(p everyParams) bool { return p.Name == "x" && p.Count == 0 }, nil},
		{"escapes", `["\u00e4\"<"]`, func(p everyParams) bool { return p.Name == `ä"<` }, nil},
		{"missing", ``, nil, []clacks.Field{{Attribute: "name", Code: clacks.CodeMandatory, Reason: "the parameter is missing"}}},
		{"null for a required one", `{"name":null}`, nil,
			[]clacks.Field{{Attribute: "name", Code: clacks.CodeMandatory, Reason: "the parameter is missing"}}},
		{"unknown", `{"name":"x","cuont":1}`, nil,
			[]clacks.Field{{Attribute: "cuont", Code: clacks.CodeUnknown, Reason: `no such parameter, did you mean "count"?`}}},
		{"case matters", `{"name":"x","Count":1}`, nil,
			[]clacks.Field{{Attribute: "Count", Code: clacks.CodeUnknown, Reason: `no such parameter, did you mean "count"?`}}},
		{"too many", `["x",1,1,true,[],{},{},{},1,true,1]`, nil,
			[]clacks.Field{{Attribute: "[10]", Code: clacks.CodeUnknown, Reason: "11 parameters given, 10 known"}}},
		{"all wrong at once", `[7,"x","y",1,"z",[],1,2,3,4]`, nil, []clacks.Field{
			{Attribute: "name", Code: clacks.CodeType, Reason: "must be a string, not a number"},
			{Attribute: "count", Code: clacks.CodeType, Reason: "must be an integer, not a string"},
			{Attribute: "ratio", Code: clacks.CodeType, Reason: "must be a number, not a string"},
			{Attribute: "flag", Code: clacks.CodeType, Reason: "must be true or false, not a number"},
			{Attribute: "list", Code: clacks.CodeType, Reason: "must be a list of strings, not a string"},
			{Attribute: "values", Code: clacks.CodeType, Reason: "must be an object, not a list"},
			{Attribute: "options", Code: clacks.CodeType, Reason: "must be an object, not a number"},
			{Attribute: "pointer", Code: clacks.CodeType, Reason: "must be an object, not a number"},
			{Attribute: "dryRun", Code: clacks.CodeType, Reason: "must be true or false, not a number"}}},
		{"fraction", `{"name":"x","count":1.5}`, nil,
			[]clacks.Field{{Attribute: "count", Code: clacks.CodeType, Reason: "must be an integer, not a number"}}},
		{"mixed list", `{"name":"x","list":["a",1]}`, nil,
			[]clacks.Field{{Attribute: "list", Code: clacks.CodeType, Reason: "must be a list of strings"}}},
		{"unknown member", `{"name":"x","options":{"limt":1}}`, nil,
			[]clacks.Field{{Attribute: "options", Code: clacks.CodeType, Reason: `no such member "limt", did you mean "limit"?`}}},
		{"wrong member", `{"name":"x","options":{"limit":"1"}}`, nil,
			[]clacks.Field{{Attribute: "options", Code: clacks.CodeType, Reason: "the member limit must be an integer"}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, seen := testRegistry(t)
			_, err := r.Invoke(t.Context(), &Call{Caller: admin, Command: "every"}, json.RawMessage(test.params))
			if test.fields == nil {
				if err != nil || !test.check(seen.every) {
					t.Fatalf("%v, got %+v", err, seen.every)
				}
				return
			}
			var e *clacks.Error
			if !errors.As(err, &e) || e.Kind != clacks.Invalid || codeOf(err) != CodeInvalidParams {
				t.Fatalf("%v", err)
			}
			if !slices.Equal(e.Fields, test.fields) {
				t.Errorf("got  %q\nwant %q", e.Fields, test.fields)
			}
		})
	}
}

func TestRest(t *testing.T) {
	r, seen := testRegistry(t)
	for params, want := range map[string]int{`["r"]`: 0, `["r",1,"x",[2]]`: 3, `{"ref":"r","args":[1]}`: 1} {
		got, err := r.Invoke(t.Context(), &Call{Caller: admin, Command: "rest"}, json.RawMessage(params))
		if err != nil || got != want || seen.rest.Ref != "r" {
			t.Errorf("%s: %v, %v, %+v", params, got, err, seen.rest)
		}
	}
}

func TestAddRefuses(t *testing.T) {
	ok := func(context.Context, *Call, None) (int, error) { return 0, nil }
	type noTag struct{ Name string }
	type inner struct {
		B int `json:"a"`
	}
	type sameTag struct {
		A int `json:"a"`
		inner
	}
	type behindRest struct {
		A []any `json:"a" rest:"true"`
		B int   `json:"b"`
	}
	type restNoSlice struct {
		A int `json:"a" rest:"true"`
	}
	tests := map[string]Command{
		"exists already":      New(Spec{Name: "public", Help: "x"}, ok),
		"has no help":         New(Spec{Name: "x"}, ok),
		"has no function":     {Spec: Spec{Name: "x", Help: "x"}},
		"no name for":         New(Spec{Name: "_x", Help: "x"}, ok),
		"no name in its":      New(Spec{Name: "x", Help: "x"}, func(context.Context, *Call, noTag) (int, error) { return 0, nil }),
		"two fields":          New(Spec{Name: "x", Help: "x"}, func(context.Context, *Call, sameTag) (int, error) { return 0, nil }),
		"behind the one":      New(Spec{Name: "x", Help: "x"}, func(context.Context, *Call, behindRest) (int, error) { return 0, nil }),
		"is no slice":         New(Spec{Name: "x", Help: "x"}, func(context.Context, *Call, restNoSlice) (int, error) { return 0, nil }),
		"must be a struct":    New(Spec{Name: "x", Help: "x"}, func(context.Context, *Call, int) (int, error) { return 0, nil }),
		`"" is no name for a`: New(Spec{Help: "x"}, ok),
	}
	for want, command := range tests {
		r, _ := testRegistry(t)
		before := r.Names()
		err := r.Add(New(Spec{Name: "fine", Help: "x"}, ok), command)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
		if !slices.Equal(before, r.Names()) {
			t.Errorf("%s: a command was added all the same", want)
		}
	}
}

func TestRights(t *testing.T) {
	r, _ := testRegistry(t)
	tests := []struct {
		user    access.User
		command string
		kind    clacks.Kind
		ok      bool
	}{
		{access.User{}, "public", 0, true},
		{access.User{}, "fields", clacks.Unauthenticated, false},
		{access.User{ID: "jane"}, "rest", 0, true},
		{access.User{ID: "jane"}, "guarded", clacks.Denied, false},
		{access.User{ID: "admin", Admin: true}, "guarded", 0, true},
		{access.User{ID: "admin", Admin: true}, "pubic", clacks.NotFound, false},
	}
	err := r.Add(New(Spec{Name: "guarded", Help: "x", Right: access.Delete}, func(context.Context, *Call, None) (int, error) { return 1, nil }))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range tests {
		_, err := r.Invoke(t.Context(), &Call{Caller: Caller{User: test.user}, Command: test.command}, json.RawMessage(`["r"]`))
		if test.command != "rest" {
			_, err = r.Invoke(t.Context(), &Call{Caller: Caller{User: test.user}, Command: test.command}, nil)
		}
		if (err == nil) != test.ok || (err != nil && clacks.KindOf(err) != test.kind) {
			t.Errorf("%s calls %s: %v", test.user.ID, test.command, err)
		}
	}
	_, err = r.Invoke(t.Context(), &Call{Caller: admin, Command: "pubic"}, nil)
	if err == nil || !strings.Contains(err.Error(), `did you mean "public"?`) {
		t.Errorf("no hint: %v", err)
	}
}

func TestFaultsAreLoggedAndHidden(t *testing.T) {
	for _, command := range []string{"broken", "panics"} {
		var log strings.Builder
		observed := ""
		r, _ := testRegistry(t, func(o *Options) {
			o.Log = slog.New(slog.NewTextHandler(&log, nil))
			o.Observe = func(name string, _ time.Duration, kind string) { observed = name + " " + kind }
		})
		_, err := r.Invoke(t.Context(), &Call{Caller: admin, Command: command}, nil)
		var e *clacks.Error
		if !errors.As(err, &e) || e.Kind != clacks.Internal || strings.Contains(e.Message(), "secret") || !strings.Contains(e.Message(), "r1") {
			t.Errorf("%s: %v", command, err)
		}
		if !strings.Contains(log.String(), "secret") || !strings.Contains(log.String(), "request=r1") {
			t.Errorf("%s: the log has %s", command, &log)
		}
		if observed != command+" internal" {
			t.Errorf("observed %q", observed)
		}
	}
	r, _ := testRegistry(t)
	if _, err := r.Invoke(t.Context(), &Call{Caller: admin, Command: "slow"}, nil); clacks.KindOf(err) != clacks.Limit {
		t.Errorf("a command over its time: %v", err)
	}
}

func TestEveryKindHasItsWords(t *testing.T) {
	codes := map[int]clacks.Kind{}
	for _, kind := range clacks.Kinds() {
		w, ok := wires[kind]
		if !ok || w.JSONRPC == 0 || w.HTTP < 400 || w.Legacy == "" || w.AMQP == "" {
			t.Errorf("%s: %+v", kind, w)
		}
		if other, taken := codes[w.JSONRPC]; taken {
			t.Errorf("%s and %s share the code %d", kind, other, w.JSONRPC)
		}
		codes[w.JSONRPC] = kind
		if got := KindOfCode(w.JSONRPC); got != kind {
			t.Errorf("code %d is %s and not %s again", w.JSONRPC, got, kind)
		}
		if want := -32000 - int(kind); w.JSONRPC != want {
			t.Errorf("%s has the code %d, not %d", kind, w.JSONRPC, want)
		}
	}
}

func TestMethodsAndOpenRPC(t *testing.T) {
	r, _ := testRegistry(t)
	result, err := r.Invoke(t.Context(), &Call{Caller: admin, Command: "getMethods"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if m := result.(map[string]Method)["rest"]; m.Doc != "takes the rest" || !slices.Equal(m.Sig, []string{"ref", "args"}) {
		t.Errorf("getMethods: %+v", m)
	}
	encoded, err := encode(r.OpenRPC())
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		OpenRPC string
		Methods []struct {
			Name   string
			Params []struct {
				Name, Description string
				Required          bool
				Schema            map[string]any
			}
			Result struct{ Schema map[string]any }
			Errors []struct {
				Ref string `json:"$ref"`
			}
		}
		Components struct {
			Schemas map[string]map[string]any
			Errors  map[string]struct{ Code int }
		}
	}
	if err := json.Unmarshal(encoded, &document); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range document.Methods {
		names = append(names, m.Name)
		for _, e := range m.Errors {
			if _, ok := document.Components.Errors[strings.TrimPrefix(e.Ref, "#/components/errors/")]; !ok {
				t.Errorf("%s leads nowhere", e.Ref)
			}
		}
	}
	if !slices.IsSorted(names) || !slices.Equal(names, r.Names()) {
		t.Errorf("methods %v", names)
	}
	every := document.Methods[slices.Index(names, "every")]
	if p := every.Params[0]; p.Name != "name" || !p.Required || p.Schema["type"] != "string" || p.Description != "a name" {
		t.Errorf("first parameter %+v", p)
	}
	if every.Params[6].Schema["$ref"] != "#/components/schemas/Options" || document.Components.Schemas["Options"]["type"] != "object" {
		t.Errorf("a struct is described by %v and %v", every.Params[6].Schema, document.Components.Schemas)
	}
	if document.Components.Errors["conflict"].Code != -32004 {
		t.Errorf("errors %+v", document.Components.Errors)
	}
}
