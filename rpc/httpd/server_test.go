package httpd

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"clacks/access"
	"clacks/rpc"
)

// serving starts a server on a free port and returns its address, and what ends it and answers Serve's error.
func serving(t *testing.T, f *fixture) (string, func() error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.server.Serve(ctx, listener) }()
	stopped := false
	stop := func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-done
	}
	t.Cleanup(func() { _ = stop() })
	return "http://" + listener.Addr().String(), stop
}

// running waits until n requests run.
func (f *fixture) running(n int) {
	f.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for len(f.server.running) != n {
		if time.Now().After(deadline) {
			f.t.Fatalf("%d requests run, not %d", len(f.server.running), n)
		}
		time.Sleep(time.Millisecond)
	}
}

const hold = `{"jsonrpc":"2.0","method":"hold","id":1}`

func TestShutdownWaitsForCommands(t *testing.T) {
	f := newFixture(t)
	url, stop := serving(t, f)
	f.web.URL = url
	held := make(chan answer, 1)
	go func() { held <- f.post("/rpc", hold, basic("admin", "tester")) }()
	f.running(1)
	stream := f.open("/events/xml", basic("admin", "tester"))
	stream.want(message{id: "0"})
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	if _, more := stream.next(); more {
		t.Error("the stream goes on")
	}
	<-f.server.closing
	select {
	case err := <-stopped:
		t.Fatalf("the server did not wait: %v", err)
	default:
	}
	close(f.held)
	if got := <-held; got.body != `{"jsonrpc":"2.0","result":"held","id":1}` {
		t.Errorf("the command in flight: %d %s", got.status, got.body)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", strings.TrimPrefix(url, "http://")); err == nil {
		t.Error("connections are still accepted")
	}
}

func TestShutdownEndsAfterTheGrace(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Limits.Grace = 20 * time.Millisecond })
	url, stop := serving(t, f)
	f.web.URL = url
	go func() {
		r, err := http.NewRequest(http.MethodPost, url+"/rpc", strings.NewReader(hold))
		if err != nil {
			return
		}
		r.Header.Set("Content-Type", "application/json")
		r.SetBasicAuth("admin", "tester")
		if response, err := http.DefaultClient.Do(r); err == nil {
			_ = response.Body.Close()
		}
	}()
	f.running(1)
	if err := stop(); err != nil {
		t.Error(err)
	}
	f.running(0)
}

func TestRequestsAreLimited(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Limits.Requests = 2 })
	done := make(chan answer, 2)
	for range 2 {
		go func() { done <- f.post("/rpc", hold, basic("admin", "tester")) }()
	}
	f.running(2)
	if got := f.post("/rpc", whoami, basic("admin", "tester")); got.status != 503 || got.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", got.status, got.body)
	}
	close(f.held)
	for range 2 {
		if got := <-done; got.status != 200 {
			t.Errorf("%d %s", got.status, got.body)
		}
	}
}

func TestConnectionsAreLimited(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Limits.Connections = 1 })
	url, _ := serving(t, f)
	address := strings.TrimPrefix(url, "http://")
	first, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	second, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = second.Close() }()
	ask := func(c net.Conn) error {
		_, err := io.WriteString(c, "GET /healthz HTTP/1.0\r\n\r\n")
		return err
	}
	if err := ask(second); err != nil {
		t.Fatal(err)
	}
	if err := ask(first); err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(first); err != nil || !strings.Contains(string(body), "200 OK") {
		t.Fatalf("%s %v", body, err)
	}
	_ = first.Close()
	if body, err := io.ReadAll(second); err != nil || !strings.Contains(string(body), "200 OK") {
		t.Fatalf("the second connection is not served after the first: %s %v", body, err)
	}
}

// Whoever sends slowly does not keep others from working.
func TestSlowSenderTakesNoSlot(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Limits.Requests = 1 })
	url, _ := serving(t, f)
	slow, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = slow.Close() }()
	// The server asks for the body when it begins to read it: from then on it waits for it.
	_, err = io.WriteString(slow, "POST /rpc HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(slow, make([]byte, len("HTTP/1.1 100 Continue"))); err != nil {
		t.Fatal(err)
	}
	f.web.URL = url
	if got := f.post("/rpc", whoami, basic("admin", "tester")); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// A client that sends its header or its body slowly does not keep the server busy.
func TestSlowRequestsAreCutOff(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Limits.ReadHeader, o.Limits.Read = 30*time.Millisecond, 60*time.Millisecond })
	url, _ := serving(t, f)
	for _, sent := range []string{"POST /rpc HTTP/1.1\r\nHost: x\r\n",
		"POST /rpc HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"} {
		c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, sent); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(c); err != nil { // ends only when the server closes the connection
			t.Logf("%v", err)
		}
		_ = c.Close()
	}
	f.running(0)
}

func TestHealth(t *testing.T) {
	reasons := []Reason{}
	f := newFixture(t, func(o *Options) { o.Ready = func(context.Context) []Reason { return reasons } })
	if got := f.get("/healthz"); got.status != 200 || got.body != `{"status":"ok"}` {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := f.get("/readyz"); got.status != 200 || got.body != `{"ready":true,"reasons":[]}` {
		t.Errorf("%d %s", got.status, got.body)
	}
	reasons = []Reason{{"ldap", "cannot connect"}}
	if got := f.get("/readyz"); got.status != 503 || got.body != `{"ready":false,"reasons":[{"component":"ldap","reason":"cannot connect"}]}` {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := f.get("/healthz"); got.status != 200 {
		t.Errorf("alive, not ready: %d", got.status)
	}
}

func TestMetrics(t *testing.T) {
	f := newFixture(t)
	f.post("/rpc", whoami, basic("admin", "tester"))
	f.post("/rpc", `{"jsonrpc":"2.0","method":"fail","id":1}`, basic("admin", "tester"))
	f.post("/rpc", `{"jsonrpc":"2.0","method":"`+strings.Repeat("x", 50)+`","id":1}`, basic("admin", "tester"))
	f.post("/rpc", `x`)
	f.login("jane")
	body := f.get("/metrics").body
	for _, want := range []string{`clacks_build_info{goversion="go`, `version="test"} 1`, `clacks_commands_total{command="whoami",outcome="ok"} 1`,
		`clacks_commands_total{command="fail",outcome="internal"} 1`, `clacks_command_duration_seconds_count{command="whoami"} 1`,
		`clacks_errors_total{kind="internal"} 1`, `clacks_errors_total{kind="invalid"} 1`, `clacks_errors_total{kind="conflict"} 0`,
		"clacks_sessions 1\n", "clacks_event_streams 0\n", "clacks_requests_running 0\n", "go_goroutines "} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(body, "xxxxx") {
		t.Error("a client's text became a label")
	}
}

func TestOpenRPC(t *testing.T) {
	f := newFixture(t)
	got := f.get("/openrpc.json")
	if got.status != 200 || field(t, got.body, "openrpc") != "1.3.2" {
		t.Errorf("%d %s", got.status, got.body)
	}
	called := f.post("/rpc", `{"jsonrpc":"2.0","method":"rpc.discover","id":1}`)
	if field(t, called.body, "result", "openrpc") != "1.3.2" {
		t.Errorf("%s", called.body)
	}
}

func TestPanicsAreCaught(t *testing.T) {
	registry := rpc.NewRegistry(rpc.Options{Policy: access.Static{}})
	f := newFixture(t, func(o *Options) {
		o.Registry = registry
		o.Ready = func(context.Context) []Reason { panic("secret") }
	})
	got := f.get("/readyz")
	if got.status != 500 || strings.Contains(got.body, "secret") || !strings.Contains(got.body, got.header.Get("X-Request-Id")) {
		t.Errorf("%d %s", got.status, got.body)
	}
	if !strings.Contains(f.logged.String(), "secret") {
		t.Error("the panic is not in the log")
	}
}

func TestRoutes(t *testing.T) {
	f := newFixture(t)
	for path, status := range map[string]int{"/": 404, "/rpc/other": 404, "/rpc/": 404, "/rpc/clacks": 405, "/../etc/passwd": 404} {
		if got := f.get(path); got.status != status {
			t.Errorf("%s: %d", path, got.status)
		}
	}
	got := f.get("/healthz")
	if got.header.Get("X-Content-Type-Options") != "nosniff" || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", got.header)
	}
}

// Over TLS the cookie is marked as such, a password may come from anywhere, and HTTP/2 is spoken.
func TestTLS(t *testing.T) {
	certified := httptest.NewTLSServer(http.NotFoundHandler())
	defer certified.Close()
	f := newFixture(t, func(o *Options) {
		o.TLS = &tls.Config{Certificates: certified.TLS.Certificates, MinVersion: tls.VersionTLS12}
	})
	url, _ := serving(t, f)
	f.web.URL = strings.Replace(url, "http://", "https://", 1)
	transport := certified.Client().Transport.(*http.Transport).Clone()
	transport.ForceAttemptHTTP2 = true
	defer transport.CloseIdleConnections()
	f.client.Transport = transport
	f.login("admin")
	got := f.post("/rpc/clacks", `{"method":"login","params":["admin","tester"],"id":1}`)
	if c := got.header.Get("Set-Cookie"); !strings.Contains(c, "; Secure") {
		t.Errorf("cookie %s", c)
	}
	response, err := f.client.Get(f.web.URL + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.ProtoMajor != 2 {
		t.Errorf("the protocol is %s", response.Proto)
	}
	stream := f.open("/events/xml", basic("admin", "tester"))
	stream.want(message{id: "0"})
	f.log.add(change("u1", "create", "cn=a", "", noon))
	if m, ok := stream.next(); !ok || m.id != "1" {
		t.Errorf("%+v over HTTP/2", m)
	}
	stream.close()
}
