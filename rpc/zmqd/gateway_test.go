package zmqd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-zeromq/zmq4"

	"clacks"
	"clacks/access"
	"clacks/events"
	"clacks/internal/store"
	"clacks/migrations"
)

var administrator = access.User{ID: "admin", Admin: true}

func openLog(t testing.TB) *events.Log {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	state, err := store.Open("sqlite:" + t.TempDir() + "/state.db")
	must(err)
	t.Cleanup(func() { _ = state.Close() })
	must(migrations.Up(context.Background(), state))
	schemas, err := events.LoadSchemas()
	must(err)
	log, err := events.Open(state, schemas, events.WithLogger(quiet))
	must(err)
	return log
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// start runs a gateway on free ports.
func start(t testing.TB, o Options) *Gateway {
	t.Helper()
	o.Emit, o.Register = "tcp://127.0.0.1:0", "tcp://127.0.0.1:0"
	if o.Log == nil {
		o.Log = quiet
	}
	g, err := Listen(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return g
}

// patience is how long a test waits for what has to come.
const patience = 20 * time.Second

// await waits for a condition.
func await(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come about", what)
		}
	}
}

// pusher is a PUSH socket of the library.
func pusher(t testing.TB, g *Gateway) zmq4.Socket {
	t.Helper()
	return dial(t, zmq4.NewPush(context.Background()), g.EmitAddress())
}

func dial(t testing.TB, socket zmq4.Socket, at net.Addr) zmq4.Socket {
	t.Helper()
	t.Cleanup(func() { _ = socket.Close() })
	if err := socket.Dial("tcp://" + at.String()); err != nil {
		t.Fatal(err)
	}
	return socket
}

// listener is a SUB socket of the library; it is subscribed when it is returned.
func listener(t testing.TB, g *Gateway, topics ...string) <-chan string {
	t.Helper()
	before := g.topics()
	socket := dial(t, zmq4.NewSub(context.Background()), g.RegisterAddress())
	for _, topic := range topics {
		if err := socket.SetOption(zmq4.OptionSubscribe, topic); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "the subscription", func() bool { return g.topics() == before+len(topics) })
	got := make(chan string, 10_000)
	go func() {
		defer close(got)
		for {
			m, err := socket.Recv()
			if err != nil {
				return
			}
			got <- string(m.Bytes())
		}
	}()
	return got
}

func (g *Gateway) topics() int {
	g.publisher.mu.Lock()
	defer g.publisher.mu.Unlock()
	n := 0
	for s := range g.publisher.subscribers {
		n += len(s.topics)
	}
	return n
}

// next is the next message, which has to come.
func next(t testing.TB, got <-chan string) string {
	t.Helper()
	select {
	case m := <-got:
		return m
	case <-time.After(patience):
		t.Fatal("no message came")
		return ""
	}
}

func push(t testing.TB, socket zmq4.Socket, messages ...string) {
	t.Helper()
	for _, m := range messages {
		if err := socket.Send(zmq4.NewMsgString(m)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPassesOn(t *testing.T) {
	g := start(t, Options{})
	weather, all := listener(t, g, "Weather\x00"), listener(t, g, "")
	many := listener(t, g, "Weather\x00", "Traffic\x00")
	large := "Weather\x00" + strings.Repeat("x", events.MaxDocument)
	sent := []string{"Weather\x00sun\x00shine", "WeatherMan\x00x", "Traffic\x00jam", large, "Weather\x00"}
	push(t, pusher(t, g), sent...)
	for _, want := range sent {
		if got := next(t, all); got != want {
			t.Errorf("all: %.50q instead of %.50q", got, want)
		}
	}
	for _, want := range []string{sent[0], large, sent[4]} {
		if got := next(t, weather); got != want {
			t.Errorf("weather: %.50q instead of %.50q", got, want)
		}
	}
	for _, want := range []string{sent[0], sent[2], large, sent[4]} {
		if got := next(t, many); got != want {
			t.Errorf("many: %.50q instead of %.50q", got, want)
		}
	}
	await(t, "the count", func() bool { return g.Stats().Sent == 12 })
	if s := g.Stats(); s.Pushed != 5 || s.Published != 5 || s.Wrong != 0 || s.Logged != 0 || s.Emitters != 1 || s.Subscribers != 3 {
		t.Errorf("%+v", s)
	}
}

func TestWrongMessagesAreDropped(t *testing.T) {
	var log bytes.Buffer
	g := start(t, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	all := listener(t, g, "")
	p := pusher(t, g)
	push(t, p, "no NUL", "\x00no name", "1\x00x", "a b\x00x", "\xff\x00x", strings.Repeat("x", maxName+1)+"\x00", "")
	if err := p.SendMulti(zmq4.NewMsgFromString([]string{"Name", "payload"})); err != nil {
		t.Fatal(err)
	}
	push(t, p, "Größe_1.x-y\x00x")
	if got := next(t, all); got != "Größe_1.x-y\x00x" {
		t.Errorf("%q", got)
	}
	if s := g.Stats(); s.Wrong != 8 || s.Pushed != 9 {
		t.Errorf("%+v", s)
	}
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("%d lines in the log:\n%s", n, log.String())
	}
}

const backendChange = `<Event xmlns="http://www.gonicus.de/Events"><BackendChange><ChangeType>add</ChangeType>` +
	`<ModificationTime>2026-01-31T12:00:00Z</ModificationTime></BackendChange></Event>`

// What is committed goes out under the name of its type, whoever has committed it.
func TestPublishesTheLog(t *testing.T) {
	log := openLog(t)
	if _, err := log.Send(t.Context(), administrator, []byte(backendChange)); err != nil {
		t.Fatal(err)
	}
	g := start(t, Options{Events: log})
	got := listener(t, g, "BackendChange\x00")
	await(t, "the gateway's subscription", func() bool { return len(log.Subscriptions()) == 1 })
	for n := range 3 {
		if _, err := log.Send(t.Context(), administrator, []byte(backendChange)); err != nil {
			t.Fatal(err)
		}
		name, document, _ := strings.Cut(next(t, got), "\x00")
		if name != "BackendChange" || !strings.Contains(document, fmt.Sprintf("<Sequence>%d</Sequence>", n+2)) {
			t.Errorf("%s, %s", name, document)
		}
	}
}

// What is pushed enters the log only when somebody who may answers for it, and reaches subscribers once either way.
func TestEntersTheLog(t *testing.T) {
	const other = `<Event xmlns="http://www.gonicus.de/Events"><ObjectChanged/></Event>`
	for name, test := range map[string]struct {
		user    access.User
		message string
		logged  bool
	}{
		"valid":              {administrator, "BackendChange\x00" + backendChange, true},
		"nobody answers":     {access.User{}, "BackendChange\x00" + backendChange, false},
		"who may not":        {access.User{ID: "jane"}, "BackendChange\x00" + backendChange, false},
		"not valid":          {administrator, "ObjectChanged\x00" + other, false},
		"another name":       {administrator, "ObjectChanged\x00" + backendChange, false},
		"no event type":      {administrator, "Weather\x00" + backendChange, false},
		"no XML":             {administrator, "BackendChange\x00sun", false},
		"an entity":          {administrator, "BackendChange\x00<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>" + backendChange, false},
		"nothing in the end": {administrator, "BackendChange\x00", false},
	} {
		t.Run(name, func(t *testing.T) {
			log := openLog(t)
			g := start(t, Options{Events: log, User: test.user})
			got := listener(t, g, "")
			await(t, "the gateway's subscription", func() bool { return len(log.Subscriptions()) == 1 })
			p := pusher(t, g)
			push(t, p, test.message, "End\x00")
			received := []string{next(t, got), next(t, got)}
			slices.SortFunc(received, func(a, b string) int { return strings.Compare(b[:3], a[:3]) }) // the end overtakes the log
			last, err := log.Last(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			event := received[1]
			if strings.HasPrefix(received[0], test.message[:3]) {
				event = received[0]
			}
			if test.logged != (last == 1) || test.logged != strings.Contains(event, "<Sequence>1</Sequence>") {
				t.Errorf("the log has %d events; %q", last, received)
			}
			if !test.logged && event != test.message {
				t.Errorf("%q", event)
			}
			push(t, p, "End2\x00")
			if m := next(t, got); m != "End2\x00" {
				t.Errorf("it came twice: %q", m)
			}
		})
	}
}

func TestEndpoints(t *testing.T) {
	for endpoint, want := range map[string]string{
		"tcp://127.0.0.1:9000": "127.0.0.1:9000", "tcp://[::1]:9000": "[::1]:9000", "tcp://localhost:0": "127.0.0.1:0", "tcp://127.8.8.8:1": "127.8.8.8:1",
		"127.0.0.1:9000": "", "udp://127.0.0.1:9000": "", "tcp://0.0.0.0:9000": "", "tcp://*:9000": "", "tcp://192.0.2.1:9000": "",
		"tcp://127.0.0.1": "", "tcp://127.0.0.1:": "", "tcp://example.net:9000": "", "tcp://:9000": "", "": "",
	} {
		got, err := ParseEndpoint(endpoint, false)
		if got != want || (err != nil) != (want == "") || err != nil && !clacks.IsKind(err, clacks.Invalid) {
			t.Errorf("%q: %q, %v", endpoint, got, err)
		}
	}
	for endpoint, want := range map[string]string{"tcp://0.0.0.0:9000": "0.0.0.0:9000", "tcp://*:9000": "[::]:9000", "tcp://example.net:9000": ""} {
		if got, _ := ParseEndpoint(endpoint, true); got != want {
			t.Errorf("%q: %q", endpoint, got)
		}
	}
	if _, err := Listen(t.Context(), Options{Register: "tcp://192.0.2.1:1"}); !clacks.IsKind(err, clacks.Invalid) {
		t.Error(err)
	}
	if _, err := Listen(t.Context(), Options{}); !clacks.IsKind(err, clacks.Invalid) {
		t.Error(err)
	}
}

func TestPace(t *testing.T) {
	p := pace{rate: 10}
	now := time.Now()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	let := 0
	for range 100 {
		if p.wait(ended, now) == nil { // a wait ends at once, with an error
			let++
		}
	}
	if let != 10 {
		t.Errorf("%d messages at once", let)
	}
	if p.wait(ended, now.Add(time.Minute)) != nil {
		t.Error("after a pause, too")
	}
}

// python is an interpreter with libzmq's binding, or the test is skipped; not on a CI machine. Debian's has it, where
// another one comes first in PATH, too.
func python(t *testing.T) string {
	t.Helper()
	for _, path := range []string{"python3", "/usr/bin/python3"} {
		if exec.CommandContext(t.Context(), path, "-c", "import zmq").Run() == nil {
			return path
		}
	}
	skipUnlessCI(t, "python3 with zmq is not installed: scripts/deps")
	return ""
}

// TestLibzmq is the gateway with the library that everybody else uses.
func TestLibzmq(t *testing.T) {
	path := python(t)
	log := openLog(t)
	g := start(t, Options{Events: log, User: administrator})
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	script := exec.CommandContext(ctx, path, "testdata/client.py", "tcp://"+g.EmitAddress().String(), "tcp://"+g.RegisterAddress().String())
	out, err := script.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if last, err := log.Last(t.Context()); err != nil || last != 1 {
		t.Errorf("the log has %d events, %v", last, err)
	}
	if s := g.Stats(); s.Cut != 0 || s.Refused != 0 || s.Wrong != 0 {
		t.Errorf("%+v", s)
	}
}

func skipUnlessCI(t *testing.T, reason string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

// The library's other half, a binding to the C library, and what it tests itself with stay out of the program.
func TestDependencies(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "clacks/cmd/clacks").Output()
	if err != nil {
		t.Fatal(err)
	}
	var brought []string
	for path := range strings.Lines(string(out)) {
		if strings.Contains(path, "zeromq") || strings.Contains(path, "goleak") {
			brought = append(brought, strings.TrimSpace(path))
		}
	}
	slices.Sort(brought)
	const library = "github.com/go-zeromq/zmq4"
	want := []string{library, library + "/internal/errgroup", library + "/internal/inproc", library + "/security/null", library + "/transport"}
	if !slices.Equal(brought, want) {
		t.Errorf("%q", brought)
	}
}
