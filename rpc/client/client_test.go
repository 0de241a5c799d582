package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"clacks"
)

func answering(t *testing.T, status int, body string) *Client {
	t.Helper()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, ok := r.BasicAuth()
		if !ok || user != "jane" || password != "secret" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("request %v", r.Header)
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(web.Close)
	return &Client{URL: web.URL + "/", User: "jane", Password: "secret"}
}

func TestCall(t *testing.T) {
	tests := []struct {
		name   string
		status int
		body   string
		want   string
		kind   clacks.Kind
		text   string
	}{
		{"result", 200, `{"jsonrpc":"2.0","result":{"a":1},"id":1}`, `{"a":1}`, 0, ""},
		{"null", 200, `{"jsonrpc":"2.0","result":null,"id":1}`, `null`, 0, ""},
		{"error", 200, `{"jsonrpc":"2.0","error":{"code":-32005,"message":"bad (sn: no)","data":{"kind":"invalid","attribute":"sn",` +
			`"reason":"bad","fields":[{"attribute":"sn","code":"X","reason":"no"}]}},"id":1}`, "", clacks.Invalid, "bad (sn: no)"},
		{"error without data", 200, `{"jsonrpc":"2.0","error":{"code":-32004,"message":"changed"},"id":1}`, "", clacks.Conflict, "changed"},
		{"unknown", 200, `{"jsonrpc":"2.0","error":{"code":-32601,"message":"no such command"},"id":1}`, "", clacks.NotFound, "no such command"},
		{"error with a status", 401, `{"jsonrpc":"2.0","error":{"code":-32001,"message":"no"},"id":null}`, "", clacks.Unauthenticated, "no"},
		{"a proxy", 503, `<html>gone</html>`, "", clacks.Unavailable, "503 Service Unavailable: <html>gone</html>"},
		{"another service", 200, `hello`, "", clacks.Internal, "hello"},
		{"half an answer", 200, `{"jsonrpc":"2.0","id":1}`, "", clacks.Internal, "200 OK"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := answering(t, test.status, test.body).Call(t.Context(), "x", map[string]any{"a": 1})
			if test.want != "" {
				if err != nil || string(got) != test.want {
					t.Fatalf("%s, %v", got, err)
				}
				return
			}
			var e *Error
			if !errors.As(err, &e) || clacks.KindOf(err) != test.kind || !strings.Contains(e.Error(), test.text) {
				t.Errorf("%s: %v", clacks.KindOf(err), err)
			}
		})
	}
	fields, err := Do[map[string]int](t.Context(), answering(t, 200, tests[0].body), "x", nil)
	if err != nil || fields["a"] != 1 {
		t.Errorf("%v, %v", fields, err)
	}
	_, err = answering(t, 200, tests[2].body).Call(t.Context(), "x", nil)
	var e *clacks.Error
	if !errors.As(err, &e) || !slices.Equal(e.Fields, []clacks.Field{{Attribute: "sn", Code: "X", Reason: "no"}}) {
		t.Errorf("the fields are lost: %v", err)
	}
}

func TestCallWithoutService(t *testing.T) {
	web := httptest.NewServer(http.NotFoundHandler())
	web.Close()
	if _, err := (&Client{URL: web.URL}).Call(t.Context(), "x", nil); !clacks.IsKind(err, clacks.Unavailable) {
		t.Errorf("%v", err)
	}
	for _, wrong := range []string{"", "127.0.0.1:8050", "http://", "http://a b"} {
		if _, err := (&Client{URL: wrong}).Call(t.Context(), "x", nil); !clacks.IsKind(err, clacks.Invalid) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (&Client{URL: web.URL}).Call(ctx, "x", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// The stream breaks in the middle of a message, at once, and with a status; the client goes on where it was.
func TestEventsResume(t *testing.T) {
	var visits atomic.Int32
	var asked []string
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, fmt.Sprintf("%s|%s|%s", r.URL.Query().Get("from"), r.Header.Get("Last-Event-ID"), r.URL.Query().Get("xquery")))
		switch visits.Add(1) {
		case 1:
			_, _ = w.Write([]byte(":\n\nid: 4\n\nid: 5\nevent: A\ndata: <a>\ndata: </a>\n\nid: 6\nevent: B\ndata: <half"))
		case 2:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 3:
			w.WriteHeader(http.StatusOK)
		default:
			_, _ = w.Write([]byte("id: 5\n\n: a comment\nid: 6\nevent: B\ndata: <b/>\n\nid: 7\nevent: C\ndata: <c/>\n\n"))
		}
	}))
	defer web.Close()
	var got []string
	for e, err := range (&Client{URL: web.URL, Token: "t"}).Events(t.Context(), "true()", "5") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%d %s %s", e.Sequence, e.Type, e.Document))
		if e.Sequence == 7 {
			break
		}
	}
	if want := []string{"5 A <a>\n</a>", "6 B <b/>", "7 C <c/>"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if want := []string{"5||true()", "5|5|true()", "5|5|true()", "5|5|true()"}; !slices.Equal(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
}

func TestEventsEndWithAnError(t *testing.T) {
	tests := []struct {
		status int
		body   string
		kind   clacks.Kind
		text   string
	}{
		{400, `{"line":2,"column":7,"code":"XPST0003","message":"unexpected end"}`, clacks.Invalid, "line 2, column 7: XPST0003: unexpected end"},
		{401, `{"jsonrpc":"2.0","error":{"code":-32001,"message":"log in","data":{"kind":"unauthenticated","reason":"log in"}},"id":null}`,
			clacks.Unauthenticated, "log in"},
		{404, `404 page not found`, clacks.NotFound, "404 page not found"},
		{503, `not yet`, clacks.Unavailable, "not yet"},
	}
	for _, test := range tests {
		web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(test.status)
			_, _ = w.Write([]byte(test.body))
		}))
		n := 0
		for _, err := range (&Client{URL: web.URL}).Events(t.Context(), "", "") {
			n++
			if clacks.KindOf(err) != test.kind || !strings.Contains(err.Error(), test.text) {
				t.Errorf("%d: %v", test.status, err)
			}
		}
		if n != 1 {
			t.Errorf("%d: %d errors", test.status, n)
		}
		web.Close()
	}
}

func TestEventsEndWithTheContext(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("id: 1\nevent: A\ndata: x\n\n"))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer web.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for e, err := range (&Client{URL: web.URL}).Events(ctx, "", "") {
		if err != nil || e.Sequence != 1 {
			t.Errorf("%v, %v", e, err)
		}
		cancel()
	}
}
