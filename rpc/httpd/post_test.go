package httpd

import (
	"net/http"
	"strings"
	"testing"

	"clacks/rpc"
)

func TestPost(t *testing.T) {
	deep := strings.Repeat("[", rpc.MaxDepth+1) + strings.Repeat("]", rpc.MaxDepth+1)
	tests := []struct {
		name, path, body string
		change           func(*http.Request)
		status           int
		want             string // the body, or a part of it when it begins with "~"
	}{
		{"2.0 with Basic", "/rpc", `{"jsonrpc":"2.0","method":"whoami","id":1}`, basic("admin", "tester"), 200,
			`{"jsonrpc":"2.0","result":"admin","id":1}`},
		{"query string is no route", "/rpc?nocache=123", `{"jsonrpc":"2.0","method":"whoami","id":1}`, basic("admin", "tester"), 200,
			`{"jsonrpc":"2.0","result":"admin","id":1}`},
		{"legacy with Basic", "/rpc", `{"method":"whoami","params":[],"id":1}`, basic("jane", "tester"), 200,
			`{"result":"jane","error":null,"id":1}`},
		{"notification", "/rpc", `{"jsonrpc":"2.0","method":"whoami"}`, basic("admin", "tester"), 204, ""},
		{"2.0 anonymous", "/rpc", `{"jsonrpc":"2.0","method":"whoami","id":1}`, nil, 200, `~"code":-32001`},
		{"older, anonymous", "/rpc/clacks", `{"method":"whoami","params":[],"id":1}`, nil, 401, rpc.NotLoggedIn},
		{"older, wrong login", "/rpc/clacks", `{"method":"login","params":["admin","x"],"id":1}`, nil, 401, "Login failed."},
		{"older, login", "/rpc/clacks", `{"method":"login","params":["admin","tester"],"id":1}`, nil, 200,
			`{"result":true,"error":null,"id":1}`},
		{"older, form", "/rpc/clacks", `{"method":"whoami","params":[],"id":1}`, func(r *http.Request) {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.SetBasicAuth("admin", "tester")
		}, 200, `{"result":"admin","error":null,"id":1}`},
		{"legacy without token", "/rpc", `{"method":"login","params":["admin","tester"],"id":1}`, nil, 403,
			`{"result":null,"error":{"name":"JSONRPCError","code":500,"message":"the header X-XSRFToken is missing or not valid",` +
				`"error":"the header X-XSRFToken is missing or not valid"},"id":1}`},
		{"wrong password", "/rpc", `{"jsonrpc":"2.0","method":"whoami","id":1}`, basic("admin", "wrong"), 401, `~wrong name or password`},
		{"wrong password, older", "/rpc/clacks", `{"method":"whoami","params":[],"id":1}`, basic("admin", "wrong"), 401,
			`~{"result":null,"error":{"name":"JSONRPCError"`},
		{"wrong scheme", "/rpc", `{}`, header("Authorization", "Digest x"), 401, `~use HTTP Basic`},
		{"wrong bearer", "/rpc", `{}`, header("Authorization", "Bearer x"), 401, `~token is not valid`},
		{"unreadable Basic", "/rpc", `{}`, header("Authorization", "Basic %"), 401, `~cannot be read`},
		{"directory down", "/rpc", `{}`, basic("down", "x"), 503, `~does not answer`},
		{"content type", "/rpc", `{}`, header("Content-Type", "text/plain"), 415, `~application/json`},
		{"form on /rpc", "/rpc", `{}`, header("Content-Type", "application/x-www-form-urlencoded"), 415, `~application/json`},
		{"compressed", "/rpc", `{}`, header("Content-Encoding", "gzip"), 415, `~content encoding must be identity`},
		{"other origin", "/rpc", `{}`, header("Sec-Fetch-Site", "cross-site"), 403, `~another origin`},
		{"other origin, older", "/rpc/clacks", `{}`, header("Origin", "https://evil.example"), 403,
			`{"result":null,"error":{"name":"JSONRPCError","code":500,"message":"a request of another origin","error":"a request of another origin"},"id":null}`},
		{"content type, older", "/rpc/clacks", `{}`, header("Content-Type", "text/plain"), 415, `~{"result":null,"error":{"name":"JSONRPCError"`},
		{"compressed, older", "/rpc/clacks", `{}`, header("Content-Encoding", "gzip"), 415, `~"error":"the content encoding must`},
		{"not JSON, older", "/rpc/clacks", "not json", nil, 400, `~{"result":null,"error":{"name":"JSONRPCError"`},
		{"too large, older", "/rpc/clacks", `"` + strings.Repeat("x", 65<<10) + `"`, nil, 413, `~{"result":null,"error":{"name":"JSONRPCError"`},
		{"not JSON", "/rpc", "not json", nil, 400, `~"code":-32700`},
		{"empty", "/rpc", "", nil, 400, `~"code":-32700`},
		{"no object", "/rpc", `7`, nil, 400, `~"code":-32600`},
		{"too deep", "/rpc", deep, basic("admin", "tester"), 413, `~nested deeper than 100`},
		{"twice", "/rpc", `{"id":1,"id":2}`, nil, 400, `~occurs twice`},
		{"too large", "/rpc", `"` + strings.Repeat("x", rpc.MaxBody) + `"`, basic("admin", "tester"), 413, `~larger than`},
		{"too large for nobody", "/rpc", `"` + strings.Repeat("x", 65<<10) + `"`, nil, 413, `~larger than`},
	}
	f := newFixture(t)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f.client.Jar = nil
			change := test.change
			if change == nil {
				change = func(*http.Request) {}
			}
			got := f.post(test.path, test.body, change)
			if got.status != test.status {
				t.Errorf("status %d, want %d: %s", got.status, test.status, got.body)
			}
			if part, ok := strings.CutPrefix(test.want, "~"); ok {
				if !strings.Contains(got.body, part) {
					t.Errorf("body %s has no %s", got.body, part)
				}
			} else if got.body != test.want {
				t.Errorf("body %s, want %s", got.body, test.want)
			}
			if got.status == 401 && got.header.Get("WWW-Authenticate") == "" && !strings.Contains(got.body, "failed") {
				t.Error("401 without a challenge")
			}
		})
	}
}

func TestBrowserSession(t *testing.T) {
	f := newFixture(t)
	f.login("admin")
	if got := f.post("/rpc?nocache=1", `{"method":"whoami","params":[],"id":2}`); got.body != `{"result":"admin","error":null,"id":2}` {
		t.Errorf("after login: %d %s", got.status, got.body)
	}
	t.Run("a second token is as good", func(t *testing.T) {
		first := f.token
		f.get("/rpc")
		if got := f.post("/rpc", `{"jsonrpc":"2.0","method":"whoami","id":2}`, header(tokenHeader, first)); got.status != 200 {
			t.Errorf("status %d: %s", got.status, got.body)
		}
	})
	for name, token := range map[string]string{"missing": "", "foreign": "AAAA.BBBB", "a session's": f.sessionToken()} {
		t.Run("token "+name, func(t *testing.T) {
			for _, body := range []string{`{"method":"whoami","params":[],"id":2}`, `{"jsonrpc":"2.0","method":"whoami","id":2}`} {
				if got := f.post("/rpc", body, header(tokenHeader, token)); got.status != 403 {
					t.Errorf("status %d for %s", got.status, body)
				}
			}
		})
	}
	if got := f.post("/rpc", `{"method":"logout","params":[],"id":3}`); got.body != `{"result":true,"error":null,"id":3}` {
		t.Errorf("logout: %s", got.body)
	}
	if id := <-f.ended; len(id) != 64 {
		t.Errorf("the session that ended is %q", id)
	}
	if got := f.post("/rpc", `{"method":"whoami","params":[],"id":4}`); got.status != 401 || got.body != rpc.NotLoggedIn {
		t.Errorf("after logout: %d %s", got.status, got.body)
	}
}

// sessionToken is the value of the session cookie.
func (f *fixture) sessionToken() string {
	f.t.Helper()
	request, err := http.NewRequest(http.MethodGet, f.web.URL, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, c := range f.client.Jar.Cookies(request.URL) {
		if c.Name == sessionCookie {
			return c.Value
		}
	}
	f.t.Fatal("no session cookie")
	return ""
}

func TestInternalErrorStaysInside(t *testing.T) {
	f := newFixture(t)
	for _, body := range []string{`{"method":"fail","params":[],"id":1}`, `{"jsonrpc":"2.0","method":"fail","id":1}`} {
		got := f.post("/rpc", body, basic("admin", "tester"))
		id := got.header.Get("X-Request-Id")
		if strings.Contains(got.body, "secret") || !strings.Contains(got.body, id) {
			t.Errorf("answer %s, request %s", got.body, id)
		}
		if log := f.logged.String(); !strings.Contains(log, "secret detail") || !strings.Contains(log, id) {
			t.Errorf("the log does not tell: %s", log)
		}
	}
	got := f.post("/rpc", `{}`, basic("broken", "x"))
	if got.status != 500 || strings.Contains(got.body, "secret") {
		t.Errorf("a failing authenticator is answered with %d %s", got.status, got.body)
	}
}

func TestGetErrorOfTheSession(t *testing.T) {
	f := newFixture(t)
	f.login("admin")
	got := f.post("/rpc", `{"method":"echo","params":[7],"id":1}`)
	message, _ := field(t, got.body, "error", "message").(string)
	id, _, ok := strings.Cut(strings.TrimPrefix(message, "<"), "> ")
	if got.status != 500 || !ok {
		t.Fatalf("%d %s", got.status, got.body)
	}
	known := f.post("/rpc", `{"method":"getError","params":["`+id+`"],"id":2}`)
	if topic := field(t, known.body, "result", "topic"); topic != "text" {
		t.Errorf("topic %v in %s", topic, known.body)
	}
	f.client.Jar = nil
	if other := f.post("/rpc", `{"method":"getError","params":["`+id+`"],"id":2}`, basic("jane", "tester")); field(t, other.body, "result") != nil {
		t.Errorf("another session sees the error: %s", other.body)
	}
}
