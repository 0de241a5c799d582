package httpd

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"clacks"
	"clacks/access"
	"clacks/rpc"
)

const whoami = `{"jsonrpc":"2.0","method":"whoami","id":1}`

func TestBasicIsVerifiedOnce(t *testing.T) {
	f := newFixture(t)
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			if got := f.post("/rpc", whoami, basic("admin", "tester")); got.status != 200 {
				t.Errorf("%d %s", got.status, got.body)
			}
		})
	}
	group.Wait()
	if n := f.users.checks.Load(); n != 1 {
		t.Errorf("the password was checked %d times", n)
	}
	f.server.basic.now = func() time.Time { return time.Now().Add(time.Hour) }
	f.post("/rpc", whoami, basic("admin", "tester"))
	if n := f.users.checks.Load(); n != 2 {
		t.Errorf("the credential is trusted for ever: %d checks", n)
	}
	for key := range f.server.basic.entries {
		if strings.Contains(key, "tester") {
			t.Error("the cache holds the password")
		}
	}
}

func TestBasicNeedsAnEncryptedConnection(t *testing.T) {
	trust := func(o *Options) { o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} }
	plain := func(o *Options) { o.PlainBasic = true }
	tests := []struct {
		name, remote, forwardedFor, proto string
		option                            func(*Options)
		status                            int
	}{
		{"loopback", "127.0.0.1:1", "", "", nil, 200},
		{"loopback, IPv6", "[::1]:1", "", "", nil, 200},
		{"elsewhere", "192.0.2.1:1", "", "", nil, 403},
		{"elsewhere, allowed", "192.0.2.1:1", "", "", plain, 200},
		{"a claim nobody vouches for", "192.0.2.1:1", "127.0.0.1", "https", nil, 403},
		{"encrypted up to the proxy", "10.1.2.3:1", "192.0.2.1", "https", trust, 200},
		{"not encrypted up to the proxy", "10.1.2.3:1", "192.0.2.1", "http", trust, 403},
		{"the client's own header before the proxy's", "10.1.2.3:1", "127.0.0.1, 192.0.2.1", "http", trust, 403},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			option := test.option
			if option == nil {
				option = func(*Options) {}
			}
			f := newFixture(t, option)
			r := httptest.NewRequest(http.MethodPost, "/rpc", strings.NewReader(whoami))
			r.RemoteAddr = test.remote
			r.Header.Set("Content-Type", "application/json")
			r.SetBasicAuth("admin", "tester")
			if test.forwardedFor != "" {
				r.Header.Set("X-Forwarded-For", test.forwardedFor)
				r.Header.Set("X-Forwarded-Proto", test.proto)
			}
			w := httptest.NewRecorder()
			f.server.Handler().ServeHTTP(w, r)
			if w.Code != test.status {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
}

func TestCookieAttributes(t *testing.T) {
	f := newFixture(t)
	for _, encrypted := range []bool{false, true} {
		r := httptest.NewRequest(http.MethodPost, "/rpc/clacks", strings.NewReader(`{"method":"login","params":["admin","tester"],"id":1}`))
		if encrypted {
			r = httptest.NewRequest(http.MethodPost, "https://x/rpc/clacks", strings.NewReader(`{"method":"login","params":["admin","tester"],"id":1}`))
		}
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		f.server.Handler().ServeHTTP(w, r)
		cookies := w.Result().Cookies()
		if len(cookies) != 1 {
			t.Fatalf("%d cookies: %s", len(cookies), w.Body)
		}
		c := cookies[0]
		if c.Name != sessionCookie || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Secure != encrypted || c.Path != "/" {
			t.Errorf("cookie %s", c)
		}
	}
	for _, c := range httptestCookies(f, "/rpc") {
		if c.Name != tokenCookie || c.HttpOnly {
			t.Errorf("a script cannot read %s", c)
		}
	}
}

func httptestCookies(f *fixture, path string) []*http.Cookie {
	w := httptest.NewRecorder()
	f.server.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Result().Cookies()
}

func TestSessionExpires(t *testing.T) {
	f := newFixture(t)
	now := time.Now()
	f.server.sessions.now = func() time.Time { return now }
	f.login("admin")
	alive := func() bool {
		return f.post("/rpc", `{"jsonrpc":"2.0","method":"whoami","id":1}`).body == `{"jsonrpc":"2.0","result":"admin","id":1}`
	}
	for range 11 { // used now and then it lives on, up to its greatest age
		now = now.Add(DefaultLimits.SessionIdle - time.Minute)
		if !alive() {
			t.Fatal("a session in use ended")
		}
	}
	now = now.Add(DefaultLimits.SessionAge - 11*(DefaultLimits.SessionIdle-time.Minute))
	if alive() {
		t.Error("a session outlived its greatest age")
	}
	f.login("admin")
	now = now.Add(DefaultLimits.SessionIdle)
	if alive() {
		t.Error("an unused session lived on")
	}
	if err := f.store.Sweep(t.Context(), now.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := f.store.Count(t.Context(), now); n != 0 || err != nil {
		t.Errorf("%d sessions are left, %v", n, err)
	}
}

func TestSessionsAreStoredHashed(t *testing.T) {
	f := newFixture(t)
	f.login("admin")
	token := f.sessionToken()
	id, ok := unseal(f.server.options.Secret, "session", token)
	if !ok || len(id) != 32 {
		t.Fatalf("the token %q holds no id of 256 bits", token)
	}
	if len(f.store.sessions) != 1 {
		t.Fatalf("%d sessions", len(f.store.sessions))
	}
	for hash := range f.store.sessions {
		if hash != hashOf(id) || strings.Contains(token, hash) {
			t.Errorf("stored as %s", hash)
		}
	}
	// A second login in the same browser ends the first session.
	f.post("/rpc", `{"method":"login","params":["jane","tester"],"id":1}`)
	if f.sessionToken() == token || len(f.store.sessions) != 1 {
		t.Errorf("%d sessions after a second login", len(f.store.sessions))
	}
	if <-f.ended != hashOf(id) {
		t.Error("another session ended")
	}
	f.client.Jar = nil
	if got := f.post("/rpc", whoami, header("Cookie", sessionCookie+"="+token)); strings.Contains(got.body, "admin") {
		t.Error("the first session still counts")
	}
}

func TestBearer(t *testing.T) {
	f := newFixture(t)
	f.login("jane")
	token := f.sessionToken()
	f.client.Jar, f.token = nil, ""
	if got := f.post("/rpc", whoami, header("Authorization", "Bearer "+token)); got.body != `{"jsonrpc":"2.0","result":"jane","id":1}` {
		t.Errorf("%d %s", got.status, got.body)
	}
	forged := []string{token[:len(token)-2] + "AA", "." + strings.SplitN(token, ".", 2)[1], strings.Repeat("A", 300),
		seal([]byte("other secret of at least 32 bytes"), "session", make([]byte, 32)), seal(f.server.options.Secret, "session", make([]byte, 32))}
	for _, token := range forged {
		if got := f.post("/rpc", whoami, header("Authorization", "Bearer "+token)); got.status != 401 {
			t.Errorf("%q is accepted", token)
		}
	}
}

func TestLoginIsSlowedDown(t *testing.T) {
	f := newFixture(t)
	now := time.Now()
	f.server.limiter.now = func() time.Time { return now }
	f.login("admin")
	try := func(user, password string) answer {
		return f.post("/rpc", `{"method":"login","params":["`+user+`","`+password+`"],"id":1}`)
	}
	for range userFailures {
		if got := try("jane", "wrong"); got.body != `{"result":{"state":99},"error":null,"id":1}` {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	locked := fmt.Sprintf(`{"result":{"state":98,"seconds":%d},"error":null,"id":1}`, now.Add(2*time.Second).Unix()+1)
	if got := try("jane", "tester"); got.body != locked {
		t.Errorf("%s, want %s", got.body, locked)
	}
	if got := f.post("/rpc", whoami, basic("jane", "tester")); got.status != 429 || got.header.Get("Retry-After") == "" {
		t.Errorf("Basic: %d %v", got.status, got.header)
	}
	if got := try("admin", "tester"); !strings.Contains(got.body, `"state":100`) {
		t.Errorf("another user from there: %s", got.body)
	}
	now = now.Add(3 * time.Second)
	if got := try("jane", "tester"); !strings.Contains(got.body, `"state":100`) {
		t.Errorf("after the wait: %s", got.body)
	}
	if got := try("jane", "wrong"); !strings.Contains(got.body, `"state":99`) {
		t.Errorf("the failures before a success are remembered: %s", got.body)
	}
	if got := try("down", "x"); !strings.Contains(got.body, "BACKEND_UNAVAILABLE") {
		t.Errorf("an unreachable directory: %s", got.body)
	}
}

func TestLimiter(t *testing.T) {
	now := time.Now()
	l := newLimiter(func() time.Time { return now })
	here, there := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	fail := func(user string, from netip.Addr) bool { _, ok := l.begin(user, from); return ok }

	wait := time.Duration(0)
	for range 40 { // the wait doubles and is bounded: nobody is locked out for ever
		for fail("jane", here) {
		}
		until, _ := l.begin("jane", here)
		if w := until.Sub(now); w < wait || w > longestWait {
			t.Fatalf("wait %v after %v", w, wait)
		}
		wait = until.Sub(now)
		now = until
	}
	if wait != longestWait {
		t.Errorf("the longest wait is %v", wait)
	}
	fail("jane", here)
	if !fail("jane", there) {
		t.Error("guessing from one address locks the user out from others")
	}
	now = now.Add(2 * longestWait)
	if !fail("jane", here) {
		t.Error("failures are never forgotten")
	}
	spray := 0
	for i := range 200 {
		if fail(fmt.Sprintf("user%d", i), here) {
			spray++
		}
	}
	if spray > addressFailures {
		t.Errorf("%d names could be tried from one address", spray)
	}
	six := func(s string) netip.Addr { return netip.MustParseAddr(s) }
	if keysOf("x", six("2001:db8::1")) != keysOf("x", six("2001:db8::ffff:1")) || keysOf("x", six("::ffff:192.0.2.1")) != keysOf("x", here) {
		t.Error("addresses of one client are counted apart")
	}
	for i := range limiterEntries + 100 {
		l.begin(fmt.Sprintf("u%d", i), netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}))
	}
	if n := len(l.entries); n > limiterEntries {
		t.Errorf("%d entries", n)
	}
}

// Whoever knows one right password must not be able to try others without waiting.
func TestLimiterIsNotWashedBySuccess(t *testing.T) {
	now := time.Now()
	l := newLimiter(func() time.Time { return now })
	here := netip.MustParseAddr("192.0.2.1")
	tried := 0
	for i := range 1000 {
		if _, ok := l.begin(fmt.Sprintf("victim%d", i), here); ok {
			tried++
		}
		if _, ok := l.begin("me", here); ok {
			l.succeeded("me", here)
		}
	}
	if tried > addressFailures+1 {
		t.Errorf("%d names were tried", tried)
	}
}

func TestNew(t *testing.T) {
	registry := rpc.NewRegistry(rpc.Options{Policy: access.Static{}})
	for name, o := range map[string]Options{
		"nothing":         {},
		"no one to ask":   {Registry: registry},
		"a short secret":  {Registry: registry, Authenticator: &users{}, Secret: bytes.Repeat([]byte("x"), 31)},
		"an empty secret": {Registry: registry, Authenticator: &users{}, Secret: []byte{}},
	} {
		if _, err := New(o); !clacks.IsKind(err, clacks.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New(Options{Registry: registry, Authenticator: &users{}}); err != nil {
		t.Error(err)
	}
}

// nobody answers without an error and without a name.
type nobody struct{}

func (nobody) Authenticate(context.Context, string, string) (access.User, error) {
	return access.User{}, nil
}

func TestNobodyIsNotLoggedIn(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Authenticator = nobody{} })
	if got := f.post("/rpc", whoami, basic("x", "y")); got.status != 500 {
		t.Errorf("%d %s", got.status, got.body)
	}
}
