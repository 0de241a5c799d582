package busd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clacks"
	"clacks/bus"
	"clacks/bus/container"
	"clacks/rpc"
)

func TestCommand(t *testing.T) {
	d := newDomain(t)
	d.agent("a1", nil, echo("echo"))
	jane := d.client("jane")
	for body, want := range map[string]string{
		`{"id":1,"method":"echo","params":["x"]}`:                        `{"result":"jane: x","id":1,"error":null}`,
		`{"id":"a","method":"echo","params":{"text":"x"}}`:               `{"result":"jane: x","id":"a","error":null}`,
		`{"jsonrpc":"2.0","id":1,"method":"echo","params":{"text":"x"}}`: `{"jsonrpc":"2.0","result":"jane: x","id":1}`,
	} {
		if got := jane.call(body); got != want {
			t.Errorf("%s: %s", body, got)
		}
	}
}

// A reply has the form of its request, the type of its id, and the name of the agent.
func TestReply(t *testing.T) {
	d := newDomain(t)
	d.agent("a1", nil, echo("echo"))
	jane := d.client("jane")
	inbox, err := jane.bus.Receiver(t.Context(), "", bus.ReceiverOptions{Dynamic: true})
	if err != nil {
		t.Fatal(err)
	}
	sender, err := jane.bus.Sender(t.Context(), names.Command(bus.Core), bus.SenderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ message, correlation, want any }{
		{"m", nil, "m"}, {uint64(1 << 63), nil, uint64(1 << 63)}, {bus.UUID{1, 2}, nil, bus.UUID{1, 2}}, {[]byte{0, 1}, nil, []byte{0, 1}},
		{"m", uint64(7), uint64(7)}, {nil, "c", "c"}, {nil, nil, nil},
	} {
		for _, text := range []bool{true, false} {
			m := jane.message(`{"id":1,"method":"echo","params":["x"]}`)
			m.Text = text
			m.Properties.MessageID, m.Properties.CorrelationID, m.Properties.ReplyTo = test.message, test.correlation, inbox.Address()
			if err := sender.Send(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			delivery, err := inbox.Receive(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			reply := delivery.Message
			if fmt.Sprintf("%T %v", reply.Properties.CorrelationID, reply.Properties.CorrelationID) != fmt.Sprintf("%T %v", test.want, test.want) ||
				reply.Text != text || reply.Application[PropertyNode] != "a1" || reply.Properties.ContentType != "application/json" {
				t.Errorf("%+v: %+v", test, reply)
			}
			if err := delivery.Accept(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// What is no command is answered with an error, and rejected when nobody wants an answer.
func TestWrongMessages(t *testing.T) {
	d := newDomain(t)
	agent := d.agent("a1", nil, echo("echo"))
	jane := d.client("jane")
	if err := d.container.Declare("dead", container.Settings{}); err != nil {
		t.Fatal(err)
	}
	const good = `{"id":1,"method":"echo","params":["x"]}`
	tests := []struct {
		name string
		edit func(m *bus.Message)
		code string
	}{
		{"no user", func(m *bus.Message) { m.Properties.UserID = nil }, "-32001"},
		{"no JSON", func(m *bus.Message) { m.Body = []byte(`{"id":1`) }, "-32700"},
		{"nothing", func(m *bus.Message) { m.Body = nil }, "-32700"},
		{"a list of values", func(m *bus.Message) { m.Body, m.Value = nil, []any{int64(1)} }, "-32005"},
		{"compressed", func(m *bus.Message) { m.Properties.Encoding = "gzip" }, "-32005"},
		{"too deep", func(m *bus.Message) { m.Body = []byte(strings.Repeat("[", 200) + strings.Repeat("]", 200)) }, "-32010"},
		{"too large", func(m *bus.Message) { m.Body = []byte(`"` + strings.Repeat("x", rpc.MaxBody) + `"`) }, "-32010"},
		{"a session that is none", func(m *bus.Message) { m.Application = map[string]any{PropertySession: int64(1)} }, "-32005"},
		{"a session that is too long", func(m *bus.Message) { m.Application = map[string]any{PropertySession: strings.Repeat("x", 65)} }, "-32005"},
		{"no method", func(m *bus.Message) { m.Body = []byte(`{"id":1}`) }, "-32600"},
		{"an unknown method", func(m *bus.Message) { m.Body = []byte(`{"id":1,"method":"ecko"}`) }, "-32601"},
		{"wrong parameters", func(m *bus.Message) { m.Body = []byte(`{"id":1,"method":"echo","params":{"txt":1}}`) }, "-32602"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := jane.message(good)
			test.edit(m)
			reply, err := jane.send(m)
			if err != nil || !strings.Contains(string(reply.Body), `"error":{"code":`+test.code) {
				t.Errorf("%v, %s", err, reply.Body)
			}
		})
	}
	unknown := d.client("nobody-known")
	if got := unknown.do(good); got.Error == nil || got.Error.Code != -32001 {
		t.Errorf("an unknown user: %+v", got)
	}
	rejected := func() uint64 { return d.container.Statistics().Totals.Rejected }
	before := rejected()
	sender, err := jane.bus.Sender(t.Context(), names.Command(bus.Core), bus.SenderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	m := jane.message(`nonsense`)
	if err := sender.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	foreign := jane.message(good)
	foreign.Properties.ReplyTo = names.Agent(bus.Core, "a1")
	if err := sender.Send(t.Context(), foreign); err != nil {
		t.Fatal(err)
	}
	await(t, "both messages are rejected", func() bool { return rejected() == before+2 })
	if got := jane.call(good); got != `{"result":"jane: x","id":1,"error":null}` {
		t.Errorf("after all that: %s", got)
	}
	if s := agent.Statistics(); s.Refused == 0 || s.Dropped != 0 {
		t.Errorf("%+v", s)
	}
}

// A message whose time is over is not run.
func TestExpired(t *testing.T) {
	d := newDomain(t)
	var runs atomic.Int32
	block, started := make(chan struct{}), make(chan struct{}, 2)
	release := sync.OnceFunc(func() { close(block) })
	defer release()
	a := d.agent("a1", func(o *Options) { o.Limits.Workers = 2 },
		rpc.New(rpc.Spec{Name: "block", Help: "Waits."}, func(context.Context, *rpc.Call, rpc.None) (bool, error) {
			started <- struct{}{}
			<-block
			return true, nil
		}),
		rpc.New(rpc.Spec{Name: "count", Help: "Counts."}, func(context.Context, *rpc.Call, rpc.None) (bool, error) {
			runs.Add(1)
			return true, nil
		}))
	jane := d.client("jane")
	var waiting sync.WaitGroup
	for range 2 {
		waiting.Go(func() { _, _ = jane.send(jane.message(`{"id":1,"method":"block"}`)) })
		<-started
	}
	replies := make(chan string, 2)
	for _, edit := range []func(m *bus.Message){
		func(m *bus.Message) { m.Header.TTL = 50 * time.Millisecond },
		func(m *bus.Message) { m.Properties.Expiry = time.Now().Add(50 * time.Millisecond) },
	} {
		m := jane.message(`{"id":1,"method":"count"}`)
		edit(m)
		waiting.Go(func() {
			reply, err := jane.send(m)
			if err != nil {
				replies <- err.Error()
				return
			}
			replies <- string(reply.Body)
		})
	}
	await(t, "both wait for a worker", func() bool { return a.Statistics().Held == 4 })
	time.Sleep(60 * time.Millisecond) // it is the passing of time that is tested
	release()
	for range 2 {
		if got := <-replies; !strings.Contains(got, `"kind":"limit"`) {
			t.Errorf("%s", got)
		}
	}
	waiting.Wait()
	if runs.Load() != 0 || a.Statistics().Expired != 2 {
		t.Errorf("ran %d times; %+v", runs.Load(), a.Statistics())
	}
}

// Who goes away before his answer comes costs nobody anything.
func TestVanishedReplyAddress(t *testing.T) {
	d := newDomain(t)
	a := d.agent("a1", nil, echo("echo"))
	jane := d.client("jane")
	inbox, err := jane.bus.Receiver(t.Context(), "", bus.ReceiverOptions{Dynamic: true})
	if err != nil {
		t.Fatal(err)
	}
	gone := inbox.Address()
	if err := inbox.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	sender, err := jane.bus.Sender(t.Context(), names.Command(bus.Core), bus.SenderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	m := jane.message(`{"id":1,"method":"echo","params":["x"]}`)
	m.Properties.ReplyTo = gone
	if err := sender.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	await(t, "the answer is dropped", func() bool { return a.Statistics().Dropped == 1 })
	await(t, "the message is accepted", func() bool { return d.container.Statistics().Totals.Accepted == 1 })
}

// One user does not get all workers.
func TestSharesOfUsers(t *testing.T) {
	d := newDomain(t)
	var running, most atomic.Int32
	block := make(chan struct{})
	release := sync.OnceFunc(func() { close(block) })
	defer release()
	d.agent("a1", func(o *Options) { o.Limits.Workers, o.Limits.UserCalls = 4, 2 }, echo("echo"),
		rpc.New(rpc.Spec{Name: "block", Help: "Waits."}, func(context.Context, *rpc.Call, rpc.None) (bool, error) {
			most.Store(max(most.Load(), running.Add(1)))
			<-block
			running.Add(-1)
			return true, nil
		}))
	jane, joe := d.client("jane"), d.client("joe")
	var waiting sync.WaitGroup
	for range 5 {
		waiting.Go(func() { _, _ = jane.send(jane.message(`{"id":1,"method":"block"}`)) })
	}
	await(t, "two run", func() bool { return running.Load() == 2 })
	if got := joe.call(`{"id":1,"method":"echo","params":["x"]}`); got != `{"result":"joe: x","id":1,"error":null}` {
		t.Errorf("%s", got)
	}
	release()
	waiting.Wait()
	if most.Load() != 2 {
		t.Errorf("%d ran at once", most.Load())
	}
}

// The shutdown lets run what runs, and gives the rest to others.
func TestShutdown(t *testing.T) {
	d := newDomain(t)
	block, started := make(chan struct{}), make(chan struct{}, 16)
	slow := rpc.New(rpc.Spec{Name: "slow", Help: "Waits."}, func(context.Context, *rpc.Call, rpc.None) (string, error) {
		started <- struct{}{}
		<-block
		return "first", nil
	})
	first := d.agent("a1", func(o *Options) { o.Limits.Workers = 1 }, slow)
	jane := d.client("jane")
	results := make(chan string, 8)
	ask := func() {
		reply, err := jane.send(jane.message(`{"id":1,"method":"slow"}`))
		if err != nil {
			results <- err.Error()
			return
		}
		results <- string(reply.Body)
	}
	for range 5 {
		go ask()
	}
	<-started
	await(t, "two are in hand", func() bool { return first.Statistics().Held == 2 })
	stopped := make(chan struct{})
	go func() {
		first.stop()
		close(stopped)
	}()
	second := d.agent("a2", nil, rpc.New(rpc.Spec{Name: "slow", Help: "Does not wait."},
		func(context.Context, *rpc.Call, rpc.None) (string, error) { return "second", nil }))
	for range 4 {
		if got := <-results; got != `{"result":"second","id":1,"error":null}` {
			t.Errorf("%s", got)
		}
	}
	close(block)
	if got := <-results; got != `{"result":"first","id":1,"error":null}` {
		t.Errorf("%s", got)
	}
	<-stopped
	if s := first.Statistics(); s.Replied != 1 || s.Held != 0 {
		t.Errorf("%+v", s)
	}
	if s := second.Statistics(); s.Replied != 4 {
		t.Errorf("%+v", s)
	}
}

// A change carries the message-id as its idempotency key, and one without that was delivered before is not run again.
func TestIdempotency(t *testing.T) {
	d := newDomain(t)
	keys := make(chan string, 1)
	d.agent("a1", nil, rpc.New(rpc.Spec{Name: "change", Changes: true, Help: "Changes."},
		func(_ context.Context, call *rpc.Call, p struct {
			Key string `json:"idempotencyKey"`
		}) (bool, error) {
			keys <- call.IdempotencyKey
			return true, nil
		}))
	jane := d.client("jane")
	known := map[string]bool{}
	for _, id := range []any{"1", uint64(1), []byte("1"), bus.UUID{'1'}, "2"} {
		var pair [2]string
		for i := range pair {
			m := jane.message(`{"id":1,"method":"change"}`)
			m.Properties.MessageID = id
			if _, err := jane.send(m); err != nil {
				t.Fatal(err)
			}
			pair[i] = <-keys
		}
		if pair[0] == "" || pair[0] != pair[1] || known[pair[0]] {
			t.Errorf("%T %v: keys %q", id, id, pair)
		}
		known[pair[0]] = true
	}
	sender, err := jane.bus.Sender(t.Context(), names.Command(bus.Core), bus.SenderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	inbox, err := jane.bus.Receiver(t.Context(), "", bus.ReceiverOptions{Dynamic: true})
	if err != nil {
		t.Fatal(err)
	}
	for body, want := range map[string]string{
		`{"id":1,"method":"change"}`:                                    `"kind":"in-doubt"`,
		`{"id":1,"method":"change","params":{"idempotencyKey":"mine"}}`: `"result":true`,
		`{"id":1,"method":"getMethods"}`:                                `"result":{`,
	} {
		m := jane.message(body)
		m.Header.DeliveryCount, m.Properties.ReplyTo = 1, inbox.Address()
		if err := sender.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		delivery, err := inbox.Receive(t.Context())
		if err != nil || !strings.Contains(string(delivery.Message.Body), want) {
			t.Errorf("%s: %v, %s", body, err, delivery.Message.Body)
		}
	}
}

// Sessions belong to users, and a property tells several of one user apart.
func TestSessions(t *testing.T) {
	d := newDomain(t)
	d.agent("a1", nil, rpc.New(rpc.Spec{Name: "session", Help: "Names the session."},
		func(ctx context.Context, call *rpc.Call, _ rpc.None) (string, error) {
			if _, err := call.Session.Login(ctx, "x", "y"); !clacks.IsKind(err, clacks.Invalid) {
				return "", errors.New("logging in works")
			}
			return call.Session.ID(), call.Session.Logout(ctx)
		}))
	ask := func(user, session string) string {
		c := d.client(user)
		m := c.message(`{"method":"session"}`)
		if session != "" {
			m.Application = map[string]any{PropertySession: session}
		}
		reply, err := c.send(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(reply.Body)
	}
	known := map[string]bool{}
	for _, s := range [][2]string{{"jane", ""}, {"jane", "one"}, {"joe", ""}, {"joe", "one"}} {
		id := ask(s[0], s[1])
		if strings.Contains(id, `"error":{`) || known[id] || ask(s[0], s[1]) != id {
			t.Errorf("%v: %s", s, id)
		}
		known[id] = true
	}
}

func TestReplyAddress(t *testing.T) {
	for address, want := range map[string]string{
		"": "", "dynamic.x": "dynamic.x", "org.test.reply.1": "org.test.reply.1", "/queue/mine": "mine", "/queues/org.test.reply.1%2f": "org.test.reply.1/",
		"/amq/queue/x": "x", "org.testing": "org.testing",
	} {
		if got, err := replyAddress(names, address); err != nil || got != want {
			t.Errorf("%q: %q, %v", address, got, err)
		}
	}
	for _, address := range []string{"org.test.command.core", "org.test.events", "org.test.subscription.1", "/queue/org.test.events",
		"/queues/org%2Etest%2Eevents", "/exchange/x", "/topic/x", "/queue/%zz", "//", strings.Repeat("x", maxAddress+1)} {
		if got, err := replyAddress(names, address); err == nil {
			t.Errorf("%q: %q", address, got)
		}
	}
}
