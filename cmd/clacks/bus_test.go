package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"clacks"
	"clacks/access"
	"clacks/bus"
	"clacks/bus/container"
	"clacks/bus/remote"
	"clacks/internal/testservers"
	"clacks/rpc/busd"
	"clacks/rpc/client"
)

func TestRightsOfTheBus(t *testing.T) {
	r := rights{names: "org.clacks", policy: access.Static{}}
	peers := map[string]bus.Peer{
		"self":    {User: access.User{ID: "agent:a"}},
		"admin":   {User: access.User{ID: "admin", Admin: true}, Address: "192.0.2.1:1"},
		"user":    {User: access.User{ID: "jane"}, Address: "192.0.2.1:1"},
		"nobody":  {Address: "192.0.2.1:1"},
		"agent:a": {User: access.User{ID: "agent:a"}, Address: "192.0.2.1:1"}, // a user who calls himself so
	}
	const send, receive, create = container.Send, container.Receive, container.Create
	for _, test := range []struct {
		address string
		action  container.Action
		may     string // besides self and admin, who may all
	}{
		{"org.clacks.command.core", send, "user agent:a"},
		{"org.clacks.command.core.a1", send, "user agent:a"},
		{"org.clacks.command.core", receive, ""},
		{"org.clacks.command.core.a1", receive, ""},
		{"org.clacks.command.core.a1", create, ""},
		{"org.clacks.command.corex", send, ""},
		{"org.clacks.command.demo.p1", send, ""},
		{"org.clacks.command.demo.p1", receive, ""},
		{"org.clacks.reply.1", send, "user agent:a"},
		{"org.clacks.reply.1", receive, "user agent:a"},
		{"org.clacks.reply.1", create, "user agent:a"},
		{"org.clacks.replying", create, ""},
		{"", create, "user agent:a"},
		{"dynamic.x", send, "user agent:a"},
		{"org.clacks.events", receive, "user agent:a"},
		{"org.clacks.events", send, "user agent:a"},
		{"org.clacks.events", create, ""},
		{"org.clacks.subscription.1", receive, "user agent:a"},
		{"org.clacks.dead", receive, ""},
		{"another", send, ""},
		{"another", receive, ""},
		{"org.clacksx.reply.1", send, ""},
	} {
		for name, peer := range peers {
			want := name == "self" || name == "admin" || slices.Contains(strings.Fields(test.may), name)
			if got := r.Allowed(peer, test.action, test.address); got != want {
				t.Errorf("%s, action %d on %q: %t", name, test.action, test.address, got)
			}
		}
	}
}

// What a user who is no administrator may do on the bus, and what not.
func TestUsersOfTheBus(t *testing.T) {
	s := mustStart(t, "--data", t.TempDir())
	var people struct{ DN string }
	s.mustCall("createObject", map[string]any{"type": "PeopleContainer", "base": "dc=example,dc=net"}, &people)
	s.mustCall("createObject", map[string]any{"type": "User", "base": people.DN, "attributes": map[string]any{
		"uid": "jane", "cn": "Jane Doe", "givenName": "Jane", "sn": "Doe", "userPassword": "what Jane knows"}}, nil)
	jane := &client.Client{URL: s.amqp, User: "jane", Password: "what Jane knows"}
	defer closeClient(jane)
	if name, err := client.Do[string](t.Context(), jane, "getSessionUser", nil); err != nil || name != "jane" {
		t.Errorf("%q, %v", name, err)
	}
	for method, params := range map[string]any{
		"getBus":       nil,
		"createObject": map[string]any{"type": "PeopleContainer", "base": people.DN},
		"nodeAnnounce": map[string]any{"node": "n", "capability": "demo", "commands": []any{map[string]any{"name": "x"}}},
	} {
		if _, err := jane.Call(t.Context(), method, params); !clacks.IsKind(err, clacks.Denied) {
			t.Errorf("%s: %v", method, err)
		}
	}
	wrong := &client.Client{URL: s.amqp, User: "jane", Password: "what Joe knows"}
	if _, err := wrong.Call(t.Context(), "getBase", nil); !clacks.IsKind(err, clacks.Unauthenticated) {
		t.Errorf("a wrong password: %v", err)
	}
	rawUser(t, s)
	s.stop()
}

// rawUser does by hand what the client does not do.
func rawUser(t *testing.T, s *service) {
	raw, err := remote.Dial(t.Context(), remote.Options{URL: s.amqp, User: "jane", Password: "what Jane knows", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = raw.Close(context.WithoutCancel(t.Context())) }()
	for _, address := range []string{"org.clacks.command.core", "org.clacks.dead", "anything"} {
		if receiver, err := raw.Receiver(t.Context(), address, bus.ReceiverOptions{}); err == nil || conditionName(err) != bus.Unauthorized {
			t.Errorf("receiving from %s: %v, %v", address, receiver, err)
		}
	}
	sender, err := raw.Sender(t.Context(), "org.clacks.command.core", bus.SenderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for name, user := range map[string][]byte{"foreign": []byte("admin"), "missing": nil} {
		m := &bus.Message{Body: []byte(`{"id":1,"method":"getBase"}`), Properties: bus.Properties{UserID: user}}
		if err := sender.Send(t.Context(), m); conditionName(err) != bus.Unauthorized {
			t.Errorf("a %s user-id: %v", name, err)
		}
	}
	if _, err := raw.Sender(t.Context(), "org.clacks.command.core.nowhere", bus.SenderOptions{}); conditionName(err) != bus.NotFound {
		t.Errorf("an agent that does not exist: %v", err)
	}
}

func conditionName(err error) string {
	var c *bus.Condition
	if errors.As(err, &c) {
		return c.Name
	}
	return ""
}

// With a certificate AMQP is spoken over TLS only; a client logs in by password, or by a certificate of its own.
func TestBusOverTLS(t *testing.T) {
	dir := t.TempDir()
	certificates, err := testservers.MakeCertificates(dir)
	if err != nil {
		t.Fatal(err)
	}
	clientFile, own := clientCertificate(t, dir, "admin")
	strangerFile, _ := clientCertificate(t, dir, "nobody")
	clients := filepath.Join(dir, "clients.pem")
	writeFile(t, clients, readFile(t, clientFile)+readFile(t, strangerFile))
	config := filepath.Join(dir, "clacks.yaml")
	writeFile(t, config, "amqp:\n  certificate: "+certificates.Cert+"\n  key: "+certificates.Key+"\n  clientCA: "+clients+"\n")
	s := mustStart(t, "--config", config, "--data", filepath.Join(dir, "data"))
	if !strings.HasPrefix(s.amqp, "amqps://127.0.0.1:") {
		t.Fatalf("it listens on %s", s.amqp)
	}
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(path, "call", "--url", s.amqp, "--field", ".", "getBase")
	command.Env = append(os.Environ(), "CLACKS_PASSWORD="+testPassword, "SSL_CERT_FILE="+certificates.CA)
	if out, err := command.CombinedOutput(); err != nil || string(out) != "dc=example,dc=net\n" {
		t.Errorf("with the CA: %v, %s", err, out)
	}
	command = exec.Command(path, "call", "--url", s.amqp, "getBase")
	command.Env = append(os.Environ(), "CLACKS_PASSWORD="+testPassword)
	if out, err := command.CombinedOutput(); err == nil || !strings.Contains(string(out), "certificate") {
		t.Errorf("without the CA: %v, %s", err, out)
	}
	plain := &client.Client{URL: "amqp" + strings.TrimPrefix(s.amqp, "amqps"), User: "admin", Password: testPassword}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := plain.Call(ctx, "getBase", nil); !clacks.IsKind(err, clacks.Unavailable) {
		t.Errorf("without TLS: %v", err)
	}
	pool, err := authorities(certificates.CA)
	if err != nil {
		t.Fatal(err)
	}
	byCertificate := &client.Client{URL: s.amqp, User: "admin", TLS: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{own}}}
	defer closeClient(byCertificate)
	if name, err := client.Do[string](t.Context(), byCertificate, "getSessionUser", nil); err != nil || name != "admin" {
		t.Errorf("by certificate: %q, %v", name, err)
	}
	_, stranger := clientCertificate(t, dir, "admin") // of nobody's authority
	foreign := &client.Client{URL: s.amqp, User: "admin", TLS: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{stranger}}}
	if name, err := client.Do[string](ctx, foreign, "getSessionUser", nil); err == nil {
		t.Errorf("by a certificate of nobody's: %q", name)
	}
	s.stop()
}

// clientCertificate makes a certificate that is its own authority.
func clientCertificate(t *testing.T, dir, name string) (file string, certificate tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(dir, name+"-"+template.SerialNumber.String()+".pem")
	writeFile(t, file, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	return file, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A port that somebody has is named with what to do about it.
func TestAMQPPortIsTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	var stdout, stderr bytes.Buffer
	status := run(t.Context(), []string{"serve", "--data", t.TempDir(), "--http", "127.0.0.1:0", "--amqp", taken.Addr().String()},
		environment{stdout: &stdout, stderr: &stderr})
	if status != 1 || !strings.Contains(stderr.String(), "address already in use; --amqp HOST:PORT listens elsewhere, --amqp off does without") {
		t.Errorf("status %d, %s", status, stderr.String())
	}
}

func TestWithoutABus(t *testing.T) {
	s := mustStart(t, "--data", t.TempDir(), "--amqp", "off")
	if s.amqp != "" {
		t.Errorf("it listens on %s", s.amqp)
	}
	var failed *rpcError
	if err := s.call("getBus", map[string]any{}, nil); !errors.As(err, &failed) || failed.Code != -32003 {
		t.Errorf("getBus: %v", err)
	}
	if err := s.call("nodeCapabilities", map[string]any{}, nil); !errors.As(err, &failed) || failed.Code != -32601 {
		t.Errorf("nodeCapabilities: %v", err)
	}
	s.stop()
}

// Until the broker is there the service is not ready, and says so; then it is, by itself.
func TestBrokerComesLate(t *testing.T) {
	carrier := filepath.Join(t.TempDir(), "clacks.yaml")
	writeFile(t, carrier, "domain: carrier\n")
	first := mustStart(t, "--config", carrier, "--data", t.TempDir())
	address := first.amqp
	first.stop()
	config := filepath.Join(t.TempDir(), "clacks.yaml")
	writeFile(t, config, "bus:\n  url: "+address+"\n  user: admin\n  password: "+testPassword+"\n")
	s := startService(t, "", "--config", config, "--data", t.TempDir())
	if s == nil {
		t.Fatal("the service did not start")
	}
	waitFor(t, "/readyz names the bus", func() bool { return strings.Contains(get(t, s.url+"/readyz"), `"component":"bus"`) })
	mustStart(t, "--config", carrier, "--data", t.TempDir(), "--amqp", strings.TrimPrefix(address, "amqp://"))
	waitFor(t, "it is ready", func() bool { return strings.Contains(get(t, s.url+"/readyz"), `"ready":true`) })
	overBus := &client.Client{URL: address, User: "admin", Password: testPassword}
	defer closeClient(overBus)
	if base, err := client.Do[string](t.Context(), overBus, "getBase", nil); err != nil || base != "dc=example,dc=net" {
		t.Errorf("%q, %v", base, err)
	}
	s.stop()
}

// The same message twice is one change: the second answer is the first outcome. Another request under its id is refused.
func TestRepeatedMessage(t *testing.T) {
	s := mustStart(t, "--data", t.TempDir())
	raw, err := remote.Dial(t.Context(), remote.Options{URL: s.amqp, User: "admin", Password: testPassword, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = raw.Close(context.WithoutCancel(t.Context())) }()
	requester, err := bus.NewRequester(t.Context(), raw, "org.clacks.command.core", "org.clacks")
	if err != nil {
		t.Fatal(err)
	}
	send := func(id any, uid string) string {
		t.Helper()
		reply, err := requester.Request(t.Context(), &bus.Message{
			Body: []byte(`{"id":1,"method":"createObject","params":{"type":"User","base":"dc=example,dc=net","attributes":{"uid":"` + uid +
				`","cn":"` + uid + `","sn":"x","givenName":"x"}}}`),
			Properties: bus.Properties{UserID: []byte("admin"), MessageID: id}})
		if err != nil {
			t.Fatal(err)
		}
		return string(reply.Body)
	}
	first := send(uint64(7), "ada")
	if !strings.Contains(first, `"error":null`) {
		t.Fatal(first)
	}
	if again := send(uint64(7), "ada"); again != first {
		t.Errorf("the second answer is another:\n%s\n%s", first, again)
	}
	if got := send(uint64(7), "bob"); !strings.Contains(got, `"kind":"invalid"`) {
		t.Errorf("another request under the same id: %s", got)
	}
	if got := send("7", "ada"); !strings.Contains(got, `"kind":"not-unique"`) {
		t.Errorf("an id of another type is another id: %s", got)
	}
	if got := send("8", "bob"); !strings.Contains(got, `"error":null`) {
		t.Errorf("another id: %s", got)
	}
}

// Queues may differ from the others; what is not set for one stays as it is.
func TestPoliciesOfQueues(t *testing.T) {
	config := filepath.Join(t.TempDir(), "clacks.yaml")
	writeFile(t, config, `amqp:
  queues:
    news: {address: "news.*", messages: 1, full: drop-oldest, deadLetter: old.news}
    demo: {address: "org.clacks.command.demo.*", messages: 1}
`)
	s := mustStart(t, "--config", config, "--data", t.TempDir())
	raw, err := remote.Dial(t.Context(), remote.Options{URL: s.amqp, User: "admin", Password: testPassword, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = raw.Close(context.WithoutCancel(t.Context())) }()
	send := func(address, user, body string) error {
		t.Helper()
		sender, err := raw.Sender(t.Context(), address, bus.SenderOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return sender.Send(t.Context(), &bus.Message{Body: []byte(body), Properties: bus.Properties{UserID: []byte(user)}})
	}
	for _, body := range []string{"first", "second"} {
		if err := send("news.today", "", body); err != nil {
			t.Errorf("%s: %v", body, err)
		}
	}
	for address, want := range map[string]string{"news.today": "second", "old.news": "first"} {
		receiver, err := raw.Receiver(t.Context(), address, bus.ReceiverOptions{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if d, err := receiver.Receive(ctx); err != nil || string(d.Message.Body) != want {
			t.Errorf("%s: %+v, %v", address, d, err)
		}
	}
	const command = "org.clacks.command.demo.p1"
	if err := send(command, "", "{}"); conditionName(err) != bus.Unauthorized {
		t.Errorf("a command without a user: %v", err)
	}
	if err := send(command, "admin", "{}"); err != nil {
		t.Error(err)
	}
	if err := send(command, "admin", "{}"); conditionName(err) != bus.LimitExceeded {
		t.Errorf("a second one: %v", err)
	}
}

// An open object lives in the agent that every answer names, for all connections of its user.
func TestOpenObjectsOverAMQP(t *testing.T) {
	s := mustStart(t, "--data", t.TempDir())
	raw, err := remote.Dial(t.Context(), remote.Options{URL: s.amqp, User: "admin", Password: testPassword, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = raw.Close(context.WithoutCancel(t.Context())) }()
	requester, err := bus.NewRequester(t.Context(), raw, "", "org.clacks")
	if err != nil {
		t.Fatal(err)
	}
	node := ""
	call := func(session, method string, params ...any) string {
		t.Helper()
		body, err := json.Marshal(map[string]any{"id": 1, "method": method, "params": params})
		if err != nil {
			t.Fatal(err)
		}
		m := &bus.Message{Body: body, Text: true, Properties: bus.Properties{UserID: []byte("admin"), To: "org.clacks.command.core"}}
		if node != "" {
			m.Properties.To = bus.Names("org.clacks").Agent(bus.Core, node)
		}
		if session != "" {
			m.Application = map[string]any{busd.PropertySession: session}
		}
		reply, err := requester.Request(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		node, _ = reply.Application[busd.PropertyNode].(string)
		return string(reply.Body)
	}
	opened := call("", "openObject", "object", "dc=example,dc=net", "User")
	ref := regexp.MustCompile(`JSONObjectFactory",\["[^"]*","([^"]+)"`).FindStringSubmatch(opened)
	if ref == nil || node == "" {
		t.Fatalf("node %q, %s", node, opened)
	}
	for name, value := range map[string]string{"uid": "ada", "cn": "Ada", "sn": "Byron", "givenName": "Ada"} {
		if got := call("", "setObjectProperty", ref[1], name, value); !strings.Contains(got, `"error":null`) {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := call("another", "getObjectProperty", ref[1], "sn"); !strings.Contains(got, `"kind":"not-found"`) {
		t.Errorf("from another session: %s", got)
	}
	if got := call("", "dispatchObjectMethod", ref[1], "commit"); !strings.Contains(got, `"error":null`) {
		t.Errorf("commit: %s", got)
	}
	if got := call("", "closeObject", ref[1]); !strings.Contains(got, `"error":null`) {
		t.Errorf("close: %s", got)
	}
	var found struct{ Total int }
	s.mustCall("searchObjects", map[string]any{"filter": map[string]any{"uid": "ada"}, "total": true}, &found)
	if found.Total != 1 {
		t.Errorf("%d are found", found.Total)
	}
}

// A stream of events over AMQP goes on where it was when the service comes back, without a gap and without one twice.
func TestEventsOverAMQP(t *testing.T) {
	data := t.TempDir()
	s := mustStart(t, "--data", data)
	make := func(name string) {
		s.mustCall("createObject", map[string]any{"type": "User", "base": "dc=example,dc=net",
			"attributes": map[string]any{"uid": name, "cn": name, "sn": name, "givenName": name}}, nil)
	}
	c := &client.Client{URL: s.amqp, User: "admin", Password: testPassword}
	for _, err := range c.Events(t.Context(), "Event/", "") {
		if !clacks.IsKind(err, clacks.Invalid) || !strings.Contains(err.Error(), "line 1, column") {
			t.Errorf("a wrong query: %v", err)
		}
	}
	make("a")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var got []string
	last := int64(0)
	for e, err := range c.Events(ctx, `Event/ObjectChanged[ObjectType = "User"]`, "0") {
		if err != nil {
			t.Fatal(err)
		}
		if e.Sequence <= last || e.Type != "ObjectChanged" {
			t.Errorf("%d %s behind %d", e.Sequence, e.Type, last)
		}
		last = e.Sequence
		for _, name := range []string{"a", "b", "c", "d"} {
			if bytes.Contains(e.Document, []byte("<DN>cn="+name+",")) {
				got = append(got, name)
			}
		}
		switch len(got) {
		case 1:
			make("b")
			s.kill()
			s = mustStart(t, "--data", data, "--amqp", strings.TrimPrefix(s.amqp, "amqp://"))
			make("c")
		case 3:
			make("d")
		}
		if len(got) == 4 {
			break
		}
	}
	if want := []string{"a", "b", "c", "d"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// get is the body that an address answers.
func get(t testing.TB, url string) string {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
