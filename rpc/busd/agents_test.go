package busd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clacks"
	"clacks/access"
	"clacks/bus"
	"clacks/rpc"
)

// A command that an agent does not have runs at the one that has it, for the user who asked.
func TestForwarding(t *testing.T) {
	d := newDomain(t)
	a1 := d.agent("a1", nil)
	keys := make(chan string, 1)
	d.agent("a2", nil, rpc.New(rpc.Spec{Name: "elsewhere", Changes: true, Help: "Is at the second agent only."},
		func(_ context.Context, call *rpc.Call, p echoParams) (string, error) {
			keys <- call.IdempotencyKey
			if p.Text == "no" {
				return "", &clacks.Error{Kind: clacks.NotUnique, Type: "User", Reason: "taken",
					Fields: []clacks.Field{{Attribute: "uid", Code: clacks.CodeNotUnique, Reason: "is taken"}}}
			}
			return fmt.Sprint(call.User.ID, " ", call.User.UUID, " ", p.Text), nil
		}))
	await(t, "the first knows the second", func() bool { return len(a1.Agents().Nodes()) == 2 })
	jane := d.client("jane")
	ask := func(body string) *bus.Message {
		m := jane.message(body)
		m.Properties.To = names.Agent(bus.Core, "a1")
		m.Properties.MessageID = "the id"
		reply, err := jane.send(m)
		if err != nil {
			t.Fatal(err)
		}
		return reply
	}
	if got := ask(`{"id":1,"method":"elsewhere","params":["x"]}`); string(got.Body) != `{"result":"jane jane-uuid x","id":1,"error":null}` ||
		got.Application[PropertyNode] != "a1" {
		t.Errorf("%s", got.Body)
	}
	if key := <-keys; key != idempotencyKey(&bus.Message{Properties: bus.Properties{MessageID: "the id"}}, nil) {
		t.Errorf("the idempotency key is %q", key)
	}
	if got := ask(`{"id":1,"method":"elsewhere","params":["no"]}`); string(got.Body) !=
		`{"result":null,"id":1,"error":{"code":-32006,"message":"taken (uid: is taken)","data":{"kind":"not-unique","type":"User","attribute":"uid",`+
			`"reason":"taken","fields":[{"attribute":"uid","code":"ATTRIBUTE_NOT_UNIQUE","reason":"is taken"}]}}}` {
		t.Errorf("%s", got.Body)
	}
	<-keys
	if got := ask(`{"id":1,"method":"elsewhere","params":{"txt":1}}`); !strings.Contains(string(got.Body), `"code":-32602`) {
		t.Errorf("%s", got.Body)
	}
	if got := ask(`{"id":1,"method":"nowhere"}`); !strings.Contains(string(got.Body), `"code":-32601`) {
		t.Errorf("%s", got.Body)
	}
}

// Nobody but an agent can ask for somebody else, and a pass is good for once.
func TestForgedPasses(t *testing.T) {
	d := newDomain(t)
	var runs atomic.Int32
	a := d.agent("a1", nil, rpc.New(rpc.Spec{Name: "count", Help: "Counts."}, func(_ context.Context, call *rpc.Call, _ rpc.None) (string, error) {
		runs.Add(1)
		return call.User.ID, nil
	}))
	jane := d.client("jane")
	send := func(edit func(m *bus.Message)) {
		m := jane.message(`{"id":1,"method":"count"}`)
		m.Properties.ReplyTo, m.Properties.To = "dynamic.nobody", names.Agent(bus.Core, "a1")
		edit(m)
		sender, err := jane.bus.Sender(t.Context(), m.Properties.To, bus.SenderOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := sender.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	signed := func(s *signer, id string) func(m *bus.Message) {
		return func(m *bus.Message) {
			token, err := s.sign(pass{User: "root", To: "a1", Run: a.run, ID: id, Until: time.Now().Add(time.Minute).UnixMilli(), Bound: bound(m)})
			if err != nil {
				t.Fatal(err)
			}
			m.Application = map[string]any{PropertyPass: token}
		}
	}
	rejected := func() uint64 { return d.container.Statistics().Totals.Rejected }
	send(signed(newSigner(append([]byte("x"), secret...), time.Now), "1"))
	send(func(m *bus.Message) { m.Application = map[string]any{PropertyPass: "a.b"} })
	send(func(m *bus.Message) { m.Application = map[string]any{PropertyPass: int64(1)} })
	await(t, "the forged ones are rejected", func() bool { return rejected() == 3 })
	send(signed(a.signer, "2"))
	await(t, "the good one runs", func() bool { return runs.Load() == 1 })
	send(signed(a.signer, "2"))
	await(t, "the replay is rejected", func() bool { return rejected() == 4 })
	if runs.Load() != 1 {
		t.Errorf("ran %d times", runs.Load())
	}
}

// A node that was started anew since its row was read refuses what was meant for the former process, and is asked again.
func TestNodeIsStartedAnew(t *testing.T) {
	d := newDomain(t)
	a1 := d.agent("a1", func(o *Options) { o.Limits.Status = time.Hour }) // it looks by itself every 3 seconds
	first := d.agent("a2", nil, echo("elsewhere"))
	jane := d.client("jane")
	ask := func() string {
		m := jane.message(`{"id":1,"method":"elsewhere","params":["x"]}`)
		m.Properties.To = names.Agent(bus.Core, "a1")
		reply, err := jane.send(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(reply.Body)
	}
	announced := func(a *agent) func() bool {
		return func() bool {
			list, err := d.nodes.List(t.Context(), time.Now())
			return err == nil && slices.ContainsFunc(list, func(n Node) bool { return n.Run == a.run })
		}
	}
	await(t, "the second is announced", announced(first))
	a1.agents.refresh(t.Context())
	const want = `{"result":"jane: x","id":1,"error":null}`
	if got := ask(); got != want {
		t.Error(got)
	}
	first.stop()
	await(t, "it is announced again", announced(d.agent("a2", nil, echo("elsewhere"))))
	if got := ask(); got != want {
		t.Error(got)
	}
}

// Two agents of which each believes that the other has a command do not pass it on for ever.
func TestHops(t *testing.T) {
	d := newDomain(t)
	a1, a2 := d.agent("a1", nil), d.agent("a2", nil)
	stop := make(chan struct{})
	var lying sync.WaitGroup
	defer lying.Wait()
	defer close(stop)
	for _, a := range []*agent{a1, a2} {
		node := Node{Name: a.options.Node, Capability: bus.Core, Run: a.run, Every: time.Hour, Seen: time.Now(), Commands: []rpc.ForeignCommand{{Name: "nobodys"}}}
		if err := d.nodes.Put(t.Context(), node); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "both believe it", func() bool { return len(a1.Agents().Commands()) == 1 && len(a2.Agents().Commands()) == 1 })
	if got := d.client("jane").do(`{"id":1,"method":"nobodys"}`); got.Error == nil || got.Error.Data.Kind != "limit" {
		t.Errorf("%+v", got.Error)
	}
	if received := a1.Statistics().Received + a2.Statistics().Received; received != maxHops+1 {
		t.Errorf("%d messages", received)
	}
}

// program is a foreign one: it announces commands, and answers them.
type program struct {
	*client
	announced struct {
		Address string
		Run     string
		Every   float64
		Nodes   []struct{ Node string }
	}
	seen chan *bus.Message
}

func (d *domain) program(user, announcement string) (*program, error) {
	p := &program{client: d.client(user), seen: make(chan *bus.Message, 100)}
	got := p.do(`{"id":1,"method":"nodeAnnounce","params":` + announcement + `}`)
	if got.Error != nil {
		return p, errors.New(got.Error.Message)
	}
	if err := json.Unmarshal(got.Result, &p.announced); err != nil {
		return p, err
	}
	inbox, err := p.bus.Receiver(d.t.Context(), p.announced.Address, bus.ReceiverOptions{})
	if err != nil {
		return p, err
	}
	out, err := p.bus.Sender(d.t.Context(), "", bus.SenderOptions{})
	if err != nil {
		return p, err
	}
	go p.serve(d.t.Context(), inbox, out)
	return p, nil
}

func (p *program) serve(ctx context.Context, inbox bus.Receiver, out bus.Sender) {
	for {
		delivery, err := inbox.Receive(ctx)
		if err != nil {
			return
		}
		m := delivery.Message
		p.seen <- m
		var call struct {
			Method string
			Params []string
		}
		_ = json.Unmarshal(m.Body, &call) // a wrong one is answered as if nothing had been asked for
		body := `{"result":null,"error":{"code":42,"message":"will not"}}`
		switch call.Method {
		case "reverse":
			letters := []byte(call.Params[0])
			slices.Reverse(letters)
			body = fmt.Sprintf(`{"result":%q,"error":null}`, letters)
		case "babble":
			body = "babble"
		case "silent":
			body = `{}`
		}
		_ = out.Send(ctx, &bus.Message{Body: []byte(body), Properties: bus.Properties{To: m.Properties.ReplyTo,
			CorrelationID: m.Properties.CorrelationID, UserID: []byte(p.user)}})
		_ = delivery.Accept(ctx)
	}
}

const demo = `{"node":"p1","capability":"demo","commands":[{"name":"reverse","signature":["text"],"documentation":"Turns a text round."},` +
	`{"name":"refuse","signature":[],"documentation":""},{"name":"babble","signature":[],"documentation":""},` +
	`{"name":"silent","signature":[],"documentation":""}]}`

func TestForeignCommands(t *testing.T) {
	d := newDomain(t)
	a1, a2 := d.agent("a1", nil), d.agent("a2", nil)
	p, err := d.program("root", demo)
	if err != nil {
		t.Fatal(err)
	}
	if p.announced.Address != "org.test.command.demo.p1" || p.announced.Run == "" || p.announced.Every != 0.2 || len(p.announced.Nodes) != 3 {
		t.Errorf("%+v", p.announced)
	}
	jane := d.client("jane")
	// Each agent reaches it, the one that was not told as well.
	await(t, "the other agent knows it", func() bool { return len(a2.Agents().Nodes()) == 3 })
	for _, node := range []string{"a1", "a2"} {
		m := jane.message(`{"id":1,"method":"reverse","params":["hello"]}`)
		m.Properties.To = names.Agent(bus.Core, node)
		reply, err := jane.send(m)
		if err != nil || string(reply.Body) != `{"result":"olleh","id":1,"error":null}` {
			t.Errorf("%s: %v, %s", node, err, reply.Body)
		}
		if seen := p.next(); seen.Application[PropertyUser] != "jane" || seen.Application[PropertyPass] != nil ||
			string(seen.Properties.UserID) != "agent-"+node || seen.Header.TTL <= 0 {
			t.Errorf("%s: it saw %+v", node, seen)
		}
	}
	if got := jane.do(`{"id":1,"method":"refuse"}`); got.Error == nil || got.Error.Code != 42 || got.Error.Message != "will not" {
		t.Errorf("%+v", got.Error)
	}
	for _, method := range []string{"babble", "silent"} {
		if got := jane.do(`{"id":1,"method":"` + method + `"}`); got.Error == nil || got.Error.Data.Kind != "unavailable" {
			t.Errorf("%s: %+v", method, got.Error)
		}
	}
	if got := jane.call(`{"id":1,"method":"getMethods"}`); !strings.Contains(got,
		`"reverse":{"name":"reverse","path":"reverse","sig":["text"],"target":"demo","type":"READWRITE","doc":"Turns a text round."}`) {
		t.Errorf("%s", got)
	}
	if got := p.do(`{"id":1,"method":"nodeStatus","params":{"node":"p1","run":"` + p.announced.Run + `","load":0.5,"latency":0.25,"workers":3}}`); got.Error != nil {
		t.Errorf("%+v", got.Error)
	}
	await(t, "the status is known", func() bool {
		nodes := a2.Agents().Nodes()
		return len(nodes) == 3 && nodes[2].Status == Status{Load: 0.5, Latency: 250 * time.Millisecond, Workers: 3}
	})
	if got := p.do(`{"id":1,"method":"nodeLeave","params":["p1","` + p.announced.Run + `"]}`); got.Error != nil {
		t.Errorf("%+v", got.Error)
	}
	await(t, "it is gone", func() bool { return len(a1.Agents().Nodes()) == 2 && len(a2.Agents().Nodes()) == 2 })
	if got := jane.do(`{"id":1,"method":"reverse","params":["hello"]}`); got.Error == nil || got.Error.Code != -32601 {
		t.Errorf("%+v", got)
	}
}

func TestAnnouncementsAreChecked(t *testing.T) {
	d := newDomain(t)
	d.agent("a1", nil)
	if _, err := d.program("jane", demo); err == nil || !strings.Contains(err.Error(), "no right to receive from org.test.command.demo.p1") {
		t.Errorf("without a right: %v", err)
	}
	for announcement, field := range map[string]string{
		`{"node":"a.b","capability":"demo","commands":[{"name":"x"}]}`:                                                   "node",
		`{"node":"","capability":"demo","commands":[{"name":"x"}]}`:                                                      "node",
		`{"node":"p","capability":"core","commands":[{"name":"x"}]}`:                                                     "capability",
		`{"node":"p","capability":"a/b","commands":[{"name":"x"}]}`:                                                      "capability",
		`{"node":"p","capability":"demo","commands":[]}`:                                                                 "commands",
		`{"node":"p","capability":"demo","commands":[{"name":"x"},{"name":"x"}]}`:                                        "commands[1].name",
		`{"node":"p","capability":"demo","commands":[{"name":"_x"}]}`:                                                    "commands[0].name",
		`{"node":"p","capability":"demo","commands":[{"name":"x y"}]}`:                                                   "commands[0].name",
		`{"node":"p","capability":"demo","commands":[{"name":"x","signature":["a\nb"]}]}`:                                "commands[0].signature",
		`{"node":"p","capability":"demo","workers":-1,"commands":[{"name":"x"}]}`:                                        "workers",
		`{"node":"p","capability":"demo","commands":[{"name":"x","documentation":"` + strings.Repeat("x", 2001) + `"}]}`: "commands[0].documentation",
	} {
		got := d.client("root").do(`{"id":1,"method":"nodeAnnounce","params":` + announcement + `}`)
		if got.Error == nil || got.Error.Data.Attribute != field {
			t.Errorf("%s: %+v", announcement, got.Error)
		}
	}
	if _, err := d.program("root", demo); err != nil {
		t.Error(err)
	}
	if err := d.nodes.Put(t.Context(), Node{Name: "p1", Capability: "demo", User: "another", Every: time.Hour, Seen: time.Now()}); !clacks.IsKind(err, clacks.NotUnique) {
		t.Errorf("somebody else's node: %v", err)
	}
	got := d.client("root").do(`{"id":1,"method":"nodeStatus","params":{"node":"p1","run":"x","load":-1}}`)
	if got.Error == nil || got.Error.Code != -32005 {
		t.Errorf("a negative load: %+v", got.Error)
	}
	if got = d.client("root").do(`{"id":1,"method":"nodeStatus","params":{"node":"p1","run":"x"}}`); got.Error == nil || got.Error.Code != -32003 {
		t.Errorf("another announcement: %+v", got.Error)
	}
}

// Who misses three statuses is gone, and a command goes to the node with the least load.
func TestRouting(t *testing.T) {
	d := newDomain(t)
	now := time.Now()
	var clock atomic.Int64
	a := d.agent("a1", func(o *Options) {
		o.Limits.Status, o.now = time.Hour, func() time.Time { return now.Add(time.Duration(clock.Load())) }
	})
	put := func(name string, load float64, latency time.Duration) {
		if err := d.nodes.Put(t.Context(), Node{Name: name, Capability: "demo", Run: name, Commands: []rpc.ForeignCommand{{Name: "x"}},
			Status: Status{Load: load, Latency: latency, Workers: 2}, Every: 10 * time.Second, Seen: now}); err != nil {
			t.Fatal(err)
		}
	}
	put("busy", 0.9, 0)
	put("idle", 0.1, 2*time.Second)
	put("quick", 0.1, time.Second)
	order := func() string {
		a.agents.refresh(t.Context())
		var list []string
		for _, n := range a.agents.candidates("x") {
			list = append(list, n.Name)
		}
		return strings.Join(list, " ")
	}
	if got := order(); got != "quick idle busy" {
		t.Error(got)
	}
	a.agents.count("quick", 1) // one of two workers: half a load more
	if got := order(); got != "idle quick busy" {
		t.Error(got)
	}
	a.agents.count("quick", -1)
	clock.Store(int64(29 * time.Second))
	if err := d.nodes.Report(t.Context(), "busy", "busy", "", Status{Workers: 1}, a.now()); err != nil {
		t.Fatal(err)
	}
	if got := order(); got != "busy quick idle" {
		t.Error(got)
	}
	clock.Store(int64(31 * time.Second))
	if got := order(); got != "busy" {
		t.Error(got)
	}
	if err := d.nodes.Report(t.Context(), "busy", "an earlier process", "", Status{}, a.now()); !clacks.IsKind(err, clacks.NotFound) {
		t.Errorf("%v", err)
	}
}

// A node that takes no messages is passed over.
func TestNextNode(t *testing.T) {
	d := newDomain(t)
	a := d.agent("a1", nil)
	p, err := d.program("root", demo)
	if err != nil {
		t.Fatal(err)
	}
	d.container.Handle("org.test.command.demo.full", refusing{})
	if err := d.nodes.Put(t.Context(), Node{Name: "full", Capability: "demo", Run: "r", Commands: []rpc.ForeignCommand{{Name: "reverse"}},
		Status: Status{Load: -1}, Every: time.Hour, Seen: time.Now()}); err != nil {
		t.Fatal(err)
	}
	await(t, "both are known", func() bool { return len(a.agents.candidates("reverse")) == 2 })
	if got := a.agents.candidates("reverse")[0].Name; got != "full" {
		t.Fatalf("%s is asked first", got)
	}
	if got := p.call(`{"id":1,"method":"reverse","params":["ab"]}`); got != `{"result":"ba","id":1,"error":null}` {
		t.Error(got)
	}
}

type refusing struct{}

func (refusing) Source(context.Context, bus.SourceRequest) (bus.Source, error) {
	return nil, &bus.Condition{Name: bus.NotAllowed}
}

func (refusing) Target(context.Context, bus.TargetRequest) (bus.Target, error) {
	return nil, &bus.Condition{Name: bus.LimitExceeded}
}

// Commands spread evenly over agents.
func TestSpread(t *testing.T) {
	d := newDomain(t)
	agents := []*agent{d.agent("a1", nil, echo("echo")), d.agent("a2", nil, echo("echo")), d.agent("a3", nil, echo("echo"))}
	const clients, each = 8, 60
	var calling sync.WaitGroup
	for range clients {
		c := d.client("jane")
		calling.Go(func() {
			for range each {
				if reply, err := c.send(c.message(`{"id":1,"method":"echo","params":["x"]}`)); err != nil || string(reply.Body) != `{"result":"jane: x","id":1,"error":null}` {
					t.Errorf("%v", err)
					return
				}
			}
		})
	}
	calling.Wait()
	for _, a := range agents {
		if got := a.Statistics().Replied; got < clients*each/6 || got > clients*each/2 {
			t.Errorf("%s answered %d of %d", a.options.Node, got, clients*each)
		}
	}
}

func TestNew(t *testing.T) {
	d := newDomain(t)
	good := Options{Registry: rpc.NewRegistry(rpc.Options{Policy: access.Static{}}), Bus: d.connect("x"), Names: names, Node: "a", Users: knownUsers,
		Nodes: d.nodes, Secret: secret}
	for name, edit := range map[string]func(o *Options){
		"no registry":    func(o *Options) { o.Registry = nil },
		"no bus":         func(o *Options) { o.Bus = nil },
		"a wrong name":   func(o *Options) { o.Node = "a.b" },
		"a short secret": func(o *Options) { o.Secret = secret[:31] },
	} {
		o := good
		edit(&o)
		if _, err := New(o); !clacks.IsKind(err, clacks.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New(good); err != nil {
		t.Error(err)
	}
}

// next is the message that the program has seen next.
func (p *program) next() *bus.Message {
	select {
	case m := <-p.seen:
		return m
	case <-time.After(10 * time.Second):
		p.t.Fatal("the program sees no message")
		return nil
	}
}
