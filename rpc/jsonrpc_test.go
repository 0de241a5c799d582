package rpc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"clacks/access"
)

// serve runs a body as a door does.
func serve(t testing.TB, r *Registry, caller Caller, body string) Reply {
	t.Helper()
	request, err := Parse([]byte(body))
	if err != nil {
		return ParseError(err)
	}
	if request.Dialect == LegacyEnvelope {
		return r.ServeLegacy(t.Context(), caller, request, false)
	}
	return r.Serve(t.Context(), caller, request)
}

func TestJSONRPC(t *testing.T) {
	many := "[" + strings.Repeat(`{"jsonrpc":"2.0","method":"public","id":1},`, MaxBatch) + `{}]`
	invalid := func(id, reason string) string {
		return `{"jsonrpc":"2.0","error":{"code":-32600,"message":"invalid request: ` + reason +
			`","data":{"kind":"invalid","reason":"` + reason + `"}},"id":` + id + `}`
	}
	ok := func(id string) string { return `{"jsonrpc":"2.0","result":"<hello>","id":` + id + `}` }
	tests := []struct {
		name, body, want string
		status           int
	}{
		{"call", `{"jsonrpc":"2.0","method":"public","id":1}`, ok("1"), 200},
		{"member order and space", " {\n\"id\" : \"a\\u0020b\" , \"params\":[ ] ,\t\"method\":\"public\",\"jsonrpc\":\"2.0\"} ", ok(`"a\u0020b"`), 200},
		{"empty object of parameters", `{"jsonrpc":"2.0","method":"public","params":{},"id":-1.5e3}`, ok("-1.5e3"), 200},
		{"further members", `{"jsonrpc":"2.0","method":"public","id":1,"service":"x"}`, ok("1"), 200},
		{"null id", `{"jsonrpc":"2.0","method":"public","id":null}`, ok("null"), 200},
		{"notification", `{"jsonrpc":"2.0","method":"public"}`, "", 200},
		{"notification of nothing", `{"jsonrpc":"2.0","method":"nothing"}`, "", 200},
		{"unknown", `{"jsonrpc":"2.0","method":"publik","id":1}`, `{"jsonrpc":"2.0","error":{"code":-32601,` +
			`"message":"no such command \"publik\", did you mean \"public\"?",` +
			`"data":{"kind":"not-found","reason":"no such command \"publik\", did you mean \"public\"?"}},"id":1}`, 200},
		{"parameters", `{"jsonrpc":"2.0","method":"every","params":["x","y"],"id":1}`, `{"jsonrpc":"2.0","error":{"code":-32602,` +
			`"message":"wrong parameters (count: must be an integer, not a string)","data":{"kind":"invalid","attribute":"count",` +
			`"reason":"wrong parameters","fields":[{"attribute":"count","code":"ATTRIBUTE_TYPE","reason":"must be an integer, not a string"}]}},"id":1}`, 200},
		{"fields", `{"jsonrpc":"2.0","method":"fields","id":1}`, `{"jsonrpc":"2.0","error":{"code":-32005,` +
			`"message":"the object is not valid (sn: a value is needed; uid: no)","data":{"kind":"invalid","type":"User","attribute":"sn",` +
			`"reason":"the object is not valid","fields":[{"attribute":"sn","code":"ATTRIBUTE_MANDATORY","reason":"a value is needed"},` +
			`{"attribute":"uid","code":"ATTRIBUTE_CHECK_FAILED","reason":"no"}]}},"id":1}`, 200},
		{"internal", `{"jsonrpc":"2.0","method":"broken","id":1}`, `{"jsonrpc":"2.0","error":{"code":-32000,` +
			`"message":"internal error, see the log of the service for request r1","data":{"kind":"internal",` +
			`"reason":"internal error, see the log of the service for request r1"}},"id":1}`, 200},
		{"panic", `{"jsonrpc":"2.0","method":"panics","id":1}`, `{"jsonrpc":"2.0","error":{"code":-32603,` +
			`"message":"internal error, see the log of the service for request r1","data":{"kind":"internal",` +
			`"reason":"internal error, see the log of the service for request r1"}},"id":1}`, 200},
		{"unwritable", `{"jsonrpc":"2.0","method":"unwritable","id":1}`, `{"jsonrpc":"2.0","error":{"code":-32603,` +
			`"message":"internal error, see the log of the service for request r1","data":{"kind":"internal",` +
			`"reason":"internal error, see the log of the service for request r1"}},"id":1}`, 200},
		{"other version", `{"jsonrpc":"1.0","method":"public","id":1}`, invalid("1", `the member jsonrpc must be \"2.0\"`), 200},
		{"version is no string", `{"jsonrpc":2.0,"method":"public","id":1}`, invalid("1", `the member jsonrpc must be \"2.0\"`), 200},
		{"method is no string", `{"jsonrpc":"2.0","method":1,"params":"bar"}`, invalid("null", `the member method must be a string`), 200},
		{"no method", `{"jsonrpc":"2.0","id":7}`, invalid("7", `the member method must be a string`), 200},
		{"parameters are no structure", `{"jsonrpc":"2.0","method":"public","params":"bar","id":1}`,
			invalid("1", `the member params must be an object or a list`), 200},
		{"null parameters", `{"jsonrpc":"2.0","method":"public","params":null,"id":1}`,
			invalid("1", `the member params must be an object or a list`), 200},
		{"id is an object", `{"jsonrpc":"2.0","method":"public","id":{}}`, invalid("null", `the member id must be a string, a number or null`), 200},
		{"id is a truth", `{"jsonrpc":"2.0","method":"public","id":true}`, invalid("null", `the member id must be a string, a number or null`), 200},
		{"batch", `[{"jsonrpc":"2.0","method":"public","id":1},{"jsonrpc":"2.0","method":"public"},{"jsonrpc":"2.0","method":"public","id":"2"}]`,
			"[" + ok("1") + "," + ok(`"2"`) + "]", 200},
		{"batch of notifications", `[{"jsonrpc":"2.0","method":"public"},{"jsonrpc":"2.0","method":"public"}]`, "", 200},
		{"empty batch", `[]`, invalid("null", "an empty batch"), 200},
		{"invalid batch", `[1,{"foo":"boo"},[]]`, "[" + invalid("null", "a call is an object, not a number") + "," +
			invalid("null", `the member jsonrpc must be \"2.0\"`) + "," + invalid("null", "a call is an object, not a list") + "]", 200},
		{"too large a batch", many, `{"jsonrpc":"2.0","error":{"code":-32010,"message":"a batch of 101 calls, at most 100 are allowed",` +
			`"data":{"kind":"limit","reason":"a batch of 101 calls, at most 100 are allowed"}},"id":null}`, 200},
		{"not JSON", "{\"jsonrpc\":\"2.0\",\n \"method\": foobar, \"params\": \"bar\", \"baz]", `{"jsonrpc":"2.0","error":{"code":-32700,` +
			`"message":"not JSON: line 2, column 13: invalid character 'o' in literal false (expecting 'a')","data":{"kind":"invalid",` +
			`"reason":"not JSON: line 2, column 13: invalid character 'o' in literal false (expecting 'a')"}},"id":null}`, 400},
		{"behind the end", `{"jsonrpc":"2.0","method":"public","id":1} x`, `{"jsonrpc":"2.0","error":{"code":-32700,` +
			`"message":"not JSON: line 1, column 44: invalid character 'x' after top-level value","data":{"kind":"invalid",` +
			`"reason":"not JSON: line 1, column 44: invalid character 'x' after top-level value"}},"id":null}`, 400},
		{"not UTF-8", "{\"jsonrpc\":\"2.0\",\"method\":\"\xff\",\"id\":1}", `{"jsonrpc":"2.0","error":{"code":-32700,` +
			`"message":"the request is not UTF-8","data":{"kind":"invalid","reason":"the request is not UTF-8"}},"id":null}`, 400},
		{"twice", `{"jsonrpc":"2.0","method":"public","params":{"a":{"x":1,"\u0078":2}},"id":1}`, `{"jsonrpc":"2.0","error":{"code":-32700,` +
			`"message":"the member \"x\" occurs twice in one object","data":{"kind":"invalid",` +
			`"reason":"the member \"x\" occurs twice in one object"}},"id":null}`, 400},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, _ := testRegistry(t)
			got := serve(t, r, admin, test.body)
			if got.Status != test.status || string(got.Body) != test.want {
				t.Errorf("%d\ngot  %s\nwant %s", got.Status, got.Body, test.want)
			}
		})
	}
}

func TestDepth(t *testing.T) {
	r, _ := testRegistry(t)
	call := func(depth int) string {
		open, shut := strings.Repeat("[", depth-1), strings.Repeat("]", depth-1)
		return `{"jsonrpc":"2.0","method":"every","params":` + open + shut + `,"id":1}`
	}
	if got := serve(t, r, admin, call(MaxDepth)); got.Status != http.StatusOK {
		t.Errorf("%d levels: %d %s", MaxDepth, got.Status, got.Body)
	}
	if got := serve(t, r, admin, call(MaxDepth+1)); got.Status != http.StatusRequestEntityTooLarge || !bytes.Contains(got.Body, []byte("-32010")) {
		t.Errorf("%d levels: %d %s", MaxDepth+1, got.Status, got.Body)
	}
}

func TestUniqueMembersInLargeObjects(t *testing.T) {
	object := func(n int, extra string) string {
		var b strings.Builder
		b.WriteByte('{')
		for i := range n {
			fmt.Fprintf(&b, `"m%d":{"a":[{"a":1}]},`, i)
		}
		return b.String() + extra + `}`
	}
	for _, n := range []int{0, 1, manyNames - 1, manyNames, manyNames + 1, 5000} {
		if err := checkJSON([]byte(object(n, `"x":1`))); err != nil {
			t.Errorf("%d members: %v", n, err)
		}
		if err := checkJSON([]byte(object(n, `"x":1,"x":1`))); err == nil {
			t.Errorf("%d members, the last twice: accepted", n+2)
		}
		if n > 0 {
			if err := checkJSON([]byte(object(n, `"m0":1`))); err == nil {
				t.Errorf("%d members, the first twice: accepted", n+1)
			}
		}
	}
}

// FuzzJSONRPCBody feeds both dialects: whatever comes, the answer is JSON or a sentence, and nothing panics. Splitting
// agrees with encoding/json.
func FuzzJSONRPCBody(f *testing.F) {
	for _, seed := range []string{
		`{"jsonrpc":"2.0","method":"every","params":{"name":"x","options":{"limit":1}},"id":1}`,
		`[{"jsonrpc":"2.0","method":"rest","params":["r",1,null]},1]`, `{"method":"**public","params":["0"],"id":1}`,
		`{"method":"every","params":["x",{"__jsonclass__":"datetime.date","object":"2026-01-01"}],"id":"a"}`,
		`{"method":"_x","params":[],"id":1}`, `{"method":"login","params":{"a":"\u00e4\\\""},"id":null}`, `[]`, `{}`, `"`, "[[[[", "{\"a\"",
		`{"method":"every","params":["x",null,null,null,null,{"a":{"__jsonclass__":"json.Binary","object":"QQ=="}}],"id":1}`,
	} {
		f.Add([]byte(seed))
	}
	r, _ := testRegistry(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, caller := range []Caller{admin, {User: access.User{}}} {
			request, err := Parse(body)
			if err != nil {
				if reply := ParseError(err); !json.Valid(reply.Body) {
					t.Fatalf("%q is refused with %q", body, reply.Body)
				}
				return
			}
			checkMembers(t, request)
			caller.Errors = &ErrorStore{}
			var reply Reply
			if request.Dialect == LegacyEnvelope {
				reply = r.ServeLegacy(t.Context(), caller, request, false)
			} else {
				reply = r.Serve(t.Context(), caller, request)
			}
			if reply.JSON && reply.Body != nil && !json.Valid(reply.Body) {
				t.Fatalf("%q is answered with %q", body, reply.Body)
			}
		}
	})
}

// checkMembers holds our splitting of an object against encoding/json's.
func checkMembers(t *testing.T, request *Request) {
	if request.batch {
		var want []json.RawMessage
		if err := json.Unmarshal(request.text, &want); err != nil {
			t.Fatal(err)
		}
		got := elementsOf(request.text)
		if len(got) != len(want) {
			t.Fatalf("%q has %d elements, not %d", request.text, len(got), len(want))
		}
		for i := range got {
			if !bytes.Equal(got[i], want[i]) {
				t.Fatalf("%q: element %d is %q, not %q", request.text, i, got[i], want[i])
			}
		}
		return
	}
	var want map[string]json.RawMessage
	if err := json.Unmarshal(request.text, &want); err != nil {
		t.Fatal(err)
	}
	if len(want) != len(request.members) {
		t.Fatalf("%q has %d members, not %d", request.text, len(request.members), len(want))
	}
	for _, m := range request.members {
		if !bytes.Equal(want[m.name], m.value) {
			t.Fatalf("%q: member %q is %q, not %q", request.text, m.name, m.value, want[m.name])
		}
	}
}
