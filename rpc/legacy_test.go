package rpc

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"clacks"
	"clacks/access"
)

func TestLegacy(t *testing.T) {
	tests := []struct {
		name   string
		user   access.User
		body   string
		status int
		want   string // the whole body; {ID} stands for the error's id
	}{
		{"call", admin.User, `{"method":"public","params":[],"id":1}`, 200, `{"result":"<hello>","error":null,"id":1}`},
		{"service is ignored", admin.User, `{"service":"x","method":"public","params":{},"id":"abc"}`, 200,
			`{"result":"<hello>","error":null,"id":"abc"}`},
		{"null id", admin.User, `{"method":"public","params":[],"id":null}`, 200, `{"result":"<hello>","error":null,"id":null}`},
		{"private", admin.User, `{"method":"_x","params":[],"id":1}`, 403, "Bad method name _x: must not start with _"},
		{"no id", admin.User, `{"method":"public","params":[]}`, 400, "Parameter missing in JSON body"},
		{"no params", admin.User, `{"method":"public","id":1}`, 400, "Parameter missing in JSON body"},
		{"empty", admin.User, `{}`, 400, "Parameter missing in JSON body"},
		{"params", admin.User, `{"method":"public","params":"x","id":1}`, 400, "Parameter must be list or dictionary"},
		{"method", admin.User, `{"method":1,"params":[],"id":1}`, 400, "Method must be a string"},
		{"unknown", admin.User, `{"method":"noSuchMethod","params":[],"id":8}`, 500, `{"result":null,"error":{"name":"JSONRPCError","code":100,` +
			`"message":"No such method 'noSuchMethod'","error":"No such method 'noSuchMethod'"},"id":8}`},
		{"nobody", access.User{}, `{"method":"fields","params":[],"id":1}`, 401, NotLoggedIn},
		{"nobody, unknown", access.User{}, `{"method":"noSuchMethod","params":[],"id":1}`, 401, NotLoggedIn},
		{"nobody, public", access.User{}, `{"method":"public","params":[],"id":1}`, 200, `{"result":"<hello>","error":null,"id":1}`},
		{"field", admin.User, `{"method":"fields","params":[],"id":1}`, 500, `{"result":null,"error":{"name":"JSONRPCError","code":500,` +
			`"message":"<{ID}> the object is not valid (sn: a value is needed; uid: no)","error":{"_id":"{ID}",` +
			`"text":"the object is not valid (sn: a value is needed; uid: no)","code":"ATTRIBUTE_MANDATORY","topic":"sn",` +
			`"details":[{"index":0,"detail":"sn: a value is needed"},{"index":1,"detail":"uid: no"}]}},"id":1}`},
		{"internal", admin.User, `{"method":"broken","params":[],"id":1}`, 500, `{"result":null,"error":{"name":"JSONRPCError","code":500,` +
			`"message":"<{ID}> internal error, see the log of the service for request r1","error":{"_id":"{ID}",` +
			`"text":"internal error, see the log of the service for request r1","code":"INTERNAL_ERROR","topic":null,"details":[]}},"id":1}`},
		{"cached, first time", admin.User, `{"method":"**public","params":["0"],"id":1}`, 200,
			`{"result":{"hash":"` + helloHash + `","response":"<hello>"},"error":null,"id":1}`},
		{"cached, null", admin.User, `{"method":"**public","params":[null],"id":1}`, 200,
			`{"result":{"hash":"` + helloHash + `","response":"<hello>"},"error":null,"id":1}`},
		{"cached, no hash", admin.User, `{"method":"**public","params":[],"id":1}`, 200,
			`{"result":{"hash":"` + helloHash + `","response":"<hello>"},"error":null,"id":1}`},
		{"cached, known", admin.User, `{"method":"**public","params":["` + helloHash + `"],"id":1}`, 200,
			`{"result":{"hash":"` + helloHash + `"},"error":null,"id":1}`},
		{"cached, by name", admin.User, `{"method":"**public","params":{},"id":1}`, 400, "Parameter of a cached method must be a list"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, _ := testRegistry(t)
			store := &ErrorStore{}
			got := serve(t, r, Caller{User: test.user, Errors: store, RequestID: "r1"}, test.body)
			want := test.want
			if strings.Contains(want, "{ID}") {
				id := store.errors[0].ID
				if stored := store.Get(id); stored == nil || stored.Text == "" {
					t.Errorf("the error is not kept: %+v", stored)
				}
				want = strings.ReplaceAll(want, "{ID}", id)
			}
			if got.Status != test.status || string(got.Body) != want {
				t.Errorf("%d\ngot  %s\nwant %s", got.Status, got.Body, want)
			}
			if got.JSON != strings.HasPrefix(want, "{") {
				t.Errorf("JSON is %v", got.JSON)
			}
		})
	}
}

// helloHash is the beginning of the SHA-256 of "<hello>" as JSON.
const helloHash = "28acfbf2977d8d12b6a9943643980496"

func TestLegacyScalarsIn(t *testing.T) {
	tests := map[string]any{
		`{"__jsonclass__":"datetime.datetime","object":"2026-11-20 03:49:03"}`:                            "2026-11-20T03:49:03Z",
		`{"object":"2026-11-20 03:51:02.418293","__jsonclass__":"datetime.datetime"}`:                     "2026-11-20T03:51:02.418293Z",
		`{"__jsonclass__":"datetime.datetime","object":"yesterday"}`:                                      "yesterday",
		`{"__jsonclass__":"datetime.date","object":"2026-11-20"}`:                                         "2026-11-20",
		`{"__jsonclass__":"json.Binary","object":"QUJD"}`:                                                 "QUJD",
		`[{"__jsonclass__":"json.Binary","object":"QUJD"},12345678901234567890]`:                          []any{"QUJD", json.Number("12345678901234567890")},
		`{"__jsonclass__":"unknown","object":"x"}`:                                                        map[string]any{"__jsonclass__": "unknown", "object": "x"},
		`{"__jsonclass__":"json.Binary","object":1}`:                                                      map[string]any{"__jsonclass__": "json.Binary", "object": json.Number("1")},
		`{"a":{"__jsonclass__":"datetime.date","object":"2026-11-20"},"b":"__jsonclass__ and nothing <"}`: map[string]any{"a": "2026-11-20", "b": "__jsonclass__ and nothing <"},
	}
	for in, want := range tests {
		r, seen := testRegistry(t)
		got := serve(t, r, admin, `{"method":"every","params":{"name":"x","any":`+in+`},"id":1}`)
		if got.Status != 200 {
			t.Fatalf("%s: %s", in, got.Body)
		}
		if fmt.Sprintf("%#v", seen.every.Any) != fmt.Sprintf("%#v", want) {
			t.Errorf("%s became %#v, not %#v", in, seen.every.Any, want)
		}
	}
	// JSON-RPC 2.0 knows no such scalars: what looks like one is an object.
	r, seen := testRegistry(t)
	serve(t, r, admin, `{"jsonrpc":"2.0","method":"every","params":{"name":"x","any":{"__jsonclass__":"json.Binary","object":"QUJD"}},"id":1}`)
	if _, ok := seen.every.Any.(map[string]any); !ok {
		t.Errorf("JSON-RPC 2.0 made %#v of it", seen.every.Any)
	}
}

func TestScalarsOut(t *testing.T) {
	moment := time.Date(2026, 11, 20, 4, 49, 3, 5000, time.FixedZone("x", 3600))
	tests := []struct {
		legacy bool
		make   func(*Call) any
		want   string
	}{
		{false, func(c *Call) any { return c.Timestamp(moment) }, `"2026-11-20T03:49:03.000005Z"`},
		{true, func(c *Call) any { return c.Timestamp(moment) }, `{"__jsonclass__":"datetime.datetime","object":"2026-11-20 03:49:03"}`},
		{false, func(c *Call) any { return c.Date(moment) }, `"2026-11-20"`},
		{true, func(c *Call) any { return c.Date(moment) }, `{"__jsonclass__":"datetime.date","object":"2026-11-20"}`},
		{false, func(c *Call) any { return c.Binary([]byte("ABC")) }, `"QUJD"`},
		{true, func(c *Call) any { return c.Binary([]byte("ABC")) }, `{"__jsonclass__":"json.Binary","object":"QUJD"}`},
	}
	for _, test := range tests {
		got, err := encode(test.make(&Call{Legacy: test.legacy}))
		if err != nil || string(got) != test.want {
			t.Errorf("legacy %v: %s, %v, want %s", test.legacy, got, err, test.want)
		}
	}
}

func TestErrorStoreIsBounded(t *testing.T) {
	s := &ErrorStore{}
	var ids []string
	for range storedErrors + 5 {
		ids = append(ids, store(s, clacks.E(clacks.NotFound, "x", "gone")).ID)
	}
	if len(s.errors) != storedErrors {
		t.Errorf("%d errors are kept", len(s.errors))
	}
	if s.Get(ids[4]) != nil || s.Get(ids[5]) == nil || s.Get(ids[len(ids)-1]) == nil {
		t.Error("not the oldest made room")
	}
}
