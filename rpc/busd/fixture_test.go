package busd

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"testing"
	"time"

	"clacks"
	"clacks/access"
	"clacks/bus"
	"clacks/bus/container"
	"clacks/internal/store"
	"clacks/migrations"
	"clacks/rpc"
)

const names = bus.Names("org.test")

var secret = []byte("0123456789abcdef0123456789abcdef")

// domain is a bus with a state database, which agents share.
type domain struct {
	t         *testing.T
	container *container.Container
	nodes     NodeStore
}

func newDomain(t *testing.T) *domain {
	t.Helper()
	db, err := store.Open("sqlite:" + t.TempDir() + "/state.db")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := migrations.Up(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	c := container.New(container.AllowAll{}, container.Options{})
	t.Cleanup(c.Close)
	return &domain{t: t, container: c, nodes: NewSQLNodes(db)}
}

func (d *domain) connect(user string) bus.Bus {
	connection := d.container.Connect(bus.Peer{User: access.User{ID: user}, Connection: user})
	d.t.Cleanup(func() { _ = connection.Close(context.Background()) })
	return connection
}

// agent is one agent of a domain, with commands of its own.
type agent struct {
	*Door
	registry *rpc.Registry
	stop     func() // orderly, once
}

func knownUsers(_ context.Context, name string) (access.User, error) {
	switch name {
	case "jane", "joe":
		return access.User{ID: name, UUID: name + "-uuid"}, nil
	case "root":
		return access.User{ID: name, Admin: true}, nil
	}
	return access.User{}, clacks.E(clacks.NotFound, "test", "no user %s", name)
}

func (d *domain) agent(node string, edit func(o *Options), commands ...rpc.Command) *agent {
	d.t.Helper()
	registry := rpc.NewRegistry(rpc.Options{Policy: access.Static{}})
	o := Options{Registry: registry, Bus: d.connect("agent-" + node), Names: names, Node: node, Users: knownUsers, UserID: "agent-" + node,
		Nodes: d.nodes, Secret: secret, Log: slog.New(slog.DiscardHandler),
		Limits: Limits{Status: 200 * time.Millisecond, Grace: 5 * time.Second}}
	if edit != nil {
		edit(&o)
	}
	if err := registry.Add(commands...); err != nil {
		d.t.Fatal(err)
	}
	door, err := New(o)
	if err != nil {
		d.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		door.Run(ctx)
	}()
	a := &agent{Door: door, registry: registry, stop: sync.OnceFunc(func() {
		cancel()
		<-done
	})}
	d.t.Cleanup(a.stop)
	await(d.t, "the agent is attached", func() bool { return door.Ready() == nil })
	return a
}

// await waits until a condition holds.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if condition() {
			return
		}
	}
	t.Fatalf("waited in vain until %s", what)
}

type echoParams struct {
	Text string `json:"text" required:"true"`
}

// echo answers who asked, and what.
func echo(name string) rpc.Command {
	return rpc.New(rpc.Spec{Name: name, Help: "Echoes."}, func(_ context.Context, call *rpc.Call, p echoParams) (string, error) {
		return call.User.ID + ": " + p.Text, nil
	})
}

// client sends commands as a user.
type client struct {
	t    *testing.T
	user string
	bus  bus.Bus
	ask  *bus.Requester
}

func (d *domain) client(user string) *client {
	d.t.Helper()
	connection := d.connect(user)
	requester, err := bus.NewRequester(d.t.Context(), connection, "", names)
	if err != nil {
		d.t.Fatal(err)
	}
	return &client{t: d.t, user: user, bus: connection, ask: requester}
}

// message is a command for the shared queue.
func (c *client) message(body string) *bus.Message {
	return &bus.Message{Body: []byte(body), Properties: bus.Properties{To: names.Command(bus.Core), UserID: []byte(c.user)}}
}

func (c *client) send(m *bus.Message) (*bus.Message, error) {
	ctx, cancel := context.WithTimeout(c.t.Context(), 10*time.Second)
	defer cancel()
	return c.ask.Request(ctx, m)
}

// call wants the answer to a body.
func (c *client) call(body string) string {
	c.t.Helper()
	reply, err := c.send(c.message(body))
	if err != nil {
		c.t.Fatalf("%s: %v", body, err)
	}
	return string(reply.Body)
}

// answered is an answer taken apart.
type answered struct {
	Result json.RawMessage
	Error  *struct {
		Code    int
		Message string
		Data    *rpc.ErrorData
	}
}

func (c *client) do(body string) answered {
	c.t.Helper()
	var a answered
	if err := json.Unmarshal([]byte(c.call(body)), &a); err != nil {
		c.t.Fatal(err)
	}
	return a
}
