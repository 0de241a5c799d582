package httpd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clacks"
	"clacks/access"
	"clacks/events"
	"clacks/rpc"
	"clacks/xquery"
)

// users is an Authenticator that knows three people; "down" cannot be checked.
type users struct{ checks atomic.Int64 }

func (u *users) Authenticate(_ context.Context, uid, password string) (access.User, error) {
	u.checks.Add(1)
	switch {
	case uid == "down":
		return access.User{}, clacks.E(clacks.Unavailable, "users", "the directory does not answer")
	case uid == "broken":
		return access.User{}, errors.New("secret detail")
	case uid == "admin" && password == "tester":
		return access.User{ID: "admin", Admin: true}, nil
	case uid == "jane" && password == "tester":
		return access.User{ID: "jane", UUID: "u-jane", DN: "uid=jane,dc=example,dc=net"}, nil
	}
	return access.User{}, clacks.E(clacks.Unauthenticated, "users", "no")
}

// memoryLog is an EventLog in memory. Queries are compared, not evaluated: "bad" does not compile, "none" never matches.
type memoryLog struct {
	mu     sync.Mutex
	events []events.Event
	wake   chan struct{}
}

func newMemoryLog() *memoryLog { return &memoryLog{wake: make(chan struct{})} }

func (l *memoryLog) add(e events.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.Sequence = int64(len(l.events) + 1)
	l.events = append(l.events, e)
	close(l.wake)
	l.wake = make(chan struct{})
}

func (l *memoryLog) At(_ context.Context, t time.Time) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := int64(0)
	for _, e := range l.events {
		if e.Time.Before(t) {
			last = e.Sequence
		}
	}
	return last, nil
}

func (l *memoryLog) Subscribe(_ context.Context, s events.Subscription) (EventStream, error) {
	if s.Query == "bad" {
		return nil, &xquery.Error{Code: "XPST0003", Message: "unexpected end", Line: 1, Column: 4}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	last := int64(len(l.events))
	if s.After == events.FromNow {
		s.After = last
	}
	if s.After > last {
		return nil, clacks.E(clacks.Invalid, "log", "%w", &events.NotReachedError{Sequence: s.After, Last: last})
	}
	return &memoryStream{log: l, query: s.Query, after: s.After}, nil
}

type memoryStream struct {
	log   *memoryLog
	query string
	after int64
}

func (m *memoryStream) Position() int64 { return m.after }
func (m *memoryStream) Close()          {}

func (m *memoryStream) Run(ctx context.Context, deliver func(events.Event) error) error {
	for ctx.Err() == nil {
		m.log.mu.Lock()
		pending, wake := m.log.events[m.after:], m.log.wake
		m.log.mu.Unlock()
		for _, e := range pending {
			m.after = e.Sequence
			if m.query == "none" {
				continue
			}
			if err := deliver(e); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
		case <-wake:
		}
	}
	return ctx.Err()
}

// fixture is a running door and a client with cookies.
type fixture struct {
	t      *testing.T
	server *Server
	web    *httptest.Server
	client *http.Client
	users  *users
	log    *memoryLog
	store  *MemorySessions
	ended  chan string
	held   chan struct{} // the command "hold" waits for it
	logged *lockedBuffer
	token  string
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newFixture(t *testing.T, change ...func(*Options)) *fixture {
	t.Helper()
	f := &fixture{t: t, users: &users{}, log: newMemoryLog(), store: NewMemorySessions(), ended: make(chan string, 8),
		held: make(chan struct{}), logged: &lockedBuffer{}}
	logger := slog.New(slog.NewTextHandler(f.logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	metrics := NewMetrics("test")
	registry := rpc.NewRegistry(rpc.Options{Policy: access.Static{}, Log: logger, Observe: metrics.Observe})
	if err := registry.Add(testCommands(f.held)...); err != nil {
		t.Fatal(err)
	}
	options := Options{Registry: registry, Authenticator: f.users, Sessions: f.store, Events: f.log, Metrics: metrics, Log: logger,
		Secret: bytes.Repeat([]byte("s"), 32), SessionEnded: func(id string) { f.ended <- id }}
	for _, c := range change {
		c(&options)
	}
	server, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	f.server = server
	f.web = httptest.NewServer(server.Handler())
	t.Cleanup(f.web.Close)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	f.client = &http.Client{Jar: jar}
	return f
}

type textParams struct {
	Text string `json:"text"`
}

type loginParams struct {
	UID      string `json:"uid" required:"true"`
	Password string `json:"password" required:"true"`
}

type loginAnswer struct{ rpc.Login }

func (a loginAnswer) LoginOutcome() rpc.Login { return a.Login }

func testCommands(held chan struct{}) []rpc.Command {
	return []rpc.Command{
		rpc.New(rpc.Spec{Name: "login", Help: "log in", Public: true},
			func(ctx context.Context, c *rpc.Call, p loginParams) (loginAnswer, error) {
				l, err := c.Session.Login(ctx, p.UID, p.Password)
				return loginAnswer{l}, err
			}),
		rpc.New(rpc.Spec{Name: "logout", Help: "log out", Public: true},
			func(ctx context.Context, c *rpc.Call, _ rpc.None) (bool, error) { return true, c.Session.Logout(ctx) }),
		rpc.New(rpc.Spec{Name: "whoami", Help: "who"},
			func(_ context.Context, c *rpc.Call, _ rpc.None) (string, error) { return c.User.ID, nil }),
		rpc.New(rpc.Spec{Name: "echo", Help: "echo"},
			func(_ context.Context, _ *rpc.Call, p textParams) (string, error) { return p.Text, nil }),
		rpc.New(rpc.Spec{Name: "fail", Help: "fails"},
			func(context.Context, *rpc.Call, rpc.None) (string, error) { return "", errors.New("secret detail") }),
		rpc.New(rpc.Spec{Name: "hold", Help: "waits"},
			func(ctx context.Context, _ *rpc.Call, _ rpc.None) (string, error) {
				select {
				case <-held:
					return "held", nil
				case <-ctx.Done():
					return "", ctx.Err()
				}
			}),
		rpc.New(rpc.Spec{Name: "getError", Help: "an error"},
			func(_ context.Context, c *rpc.Call, p textParams) (*rpc.StoredError, error) {
				return c.Errors.Get(p.Text), nil
			}),
	}
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// post sends a body with the fixture's cookies and token.
func (f *fixture) post(path, body string, change ...func(*http.Request)) answer {
	f.t.Helper()
	r, err := http.NewRequest(http.MethodPost, f.web.URL+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if f.token != "" {
		r.Header.Set(tokenHeader, f.token)
	}
	for _, c := range change {
		c(r)
	}
	return f.do(r)
}

func (f *fixture) get(path string, change ...func(*http.Request)) answer {
	f.t.Helper()
	r, err := http.NewRequest(http.MethodGet, f.web.URL+path, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, c := range change {
		c(r)
	}
	return f.do(r)
}

func (f *fixture) do(r *http.Request) answer {
	f.t.Helper()
	response, err := f.client.Do(r)
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(body)}
}

func basic(user, password string) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth(user, password) }
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

// login gets a token and a session.
func (f *fixture) login(user string) {
	f.t.Helper()
	response := f.get("/rpc")
	for _, line := range response.header.Values("Set-Cookie") {
		if c, err := http.ParseSetCookie(line); err == nil && c.Name == tokenCookie {
			f.token = c.Value
		}
	}
	got := f.post("/rpc", `{"method":"login","params":["`+user+`","tester"],"id":1}`)
	if want := `{"result":{"state":100},"error":null,"id":1}`; got.body != want {
		f.t.Fatalf("login answered %d %s", got.status, got.body)
	}
}

// field is a member of a JSON object, by its path.
func field(t *testing.T, body string, path ...string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatalf("no JSON: %v: %s", err, body)
	}
	for _, name := range path {
		m, ok := v.(map[string]any)
		if !ok {
			t.Fatalf("no object at %s in %s", name, body)
		}
		v = m[name]
	}
	return v
}
