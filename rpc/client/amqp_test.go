package client_test

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"clacks"
	"clacks/access"
	"clacks/bus"
	"clacks/bus/container"
	"clacks/bus/listener"
	"clacks/internal/store"
	"clacks/migrations"
	"clacks/rpc"
	"clacks/rpc/busd"
	"clacks/rpc/client"
)

// example is a service with one command, on the bus.
type example struct {
	url  string
	stop func()
}

// jane is the only one who may come in.
type jane struct{}

func (jane) Authenticate(_ context.Context, name, password string) (access.User, error) {
	if name != "jane" || password != "secret" {
		return access.User{}, clacks.E(clacks.Unauthenticated, "test", "wrong")
	}
	return access.User{ID: name}, nil
}

func (jane) Certificate(context.Context, *x509.Certificate) (access.User, error) {
	return access.User{}, clacks.E(clacks.Unauthenticated, "test", "wrong")
}

type greetParams struct {
	Name string `json:"name" required:"true"`
}

func startExample() *example {
	s, err := serve("127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	return s
}

// serve starts the service on an address.
func serve(address string) (*example, error) {
	dir, err := os.MkdirTemp("", "clacks-example")
	if err != nil {
		return nil, err
	}
	db, err := store.Open("sqlite:" + dir + "/state.db")
	if err != nil {
		return nil, err
	}
	if err := migrations.Up(context.Background(), db); err != nil {
		return nil, err
	}
	log := slog.New(slog.DiscardHandler)
	registry := rpc.NewRegistry(rpc.Options{Policy: access.Static{}, Log: log})
	if err := registry.Add(rpc.New(rpc.Spec{Name: "greet", Help: "Greets."}, func(_ context.Context, call *rpc.Call, p greetParams) (string, error) {
		return call.User.ID + " greets " + p.Name, nil
	})); err != nil {
		return nil, err
	}
	nodes := container.New(container.AllowAll{}, container.Options{Log: log})
	door, err := busd.New(busd.Options{Registry: registry, Bus: nodes.Connect(bus.Peer{User: access.User{ID: "agent:a"}}), Names: client.DefaultDomain, Node: "a",
		Users: func(_ context.Context, name string) (access.User, error) { return access.User{ID: name}, nil },
		Nodes: busd.NewSQLNodes(db), Secret: make([]byte, 32), Log: log})
	if err != nil {
		return nil, err
	}
	server, err := listener.New(listener.Options{Nodes: nodes, Auth: jane{}, Log: log})
	if err != nil {
		return nil, err
	}
	socket, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = server.Serve(socket) })
	running.Go(func() { door.Run(ctx) })
	return &example{url: "amqp://" + socket.Addr().String(), stop: func() {
		cancel()
		ending, done := context.WithTimeout(context.Background(), 3*time.Second)
		defer done()
		_ = server.Shutdown(ending)
		running.Wait()
		nodes.Close()
		_ = db.Close()
		_ = os.RemoveAll(dir)
	}}, nil
}

func TestCallOverAMQP(t *testing.T) {
	s := startExample()
	defer s.stop()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c := &client.Client{URL: strings.Replace(s.url, "amqp://", "amqp://jane:secret@", 1), User: "somebody else"}
	var calling sync.WaitGroup
	for range 20 {
		calling.Go(func() {
			if got, err := client.Do[string](ctx, c, "greet", []string{"Joe"}); err != nil || got != "jane greets Joe" {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	calling.Wait()
	_, err := c.Call(ctx, "nothing", nil)
	var failed *client.Error
	if !errors.As(err, &failed) || failed.Code != rpc.CodeMethodNotFound || !clacks.IsKind(err, clacks.NotFound) {
		t.Errorf("%v", err)
	}
	if err := c.Close(ctx); err != nil {
		t.Error(err)
	}
	if got, err := client.Do[string](ctx, c, "greet", []string{"Joe"}); err != nil || got != "jane greets Joe" {
		t.Errorf("after Close, which ends the connection and not the client: %q, %v", got, err)
	}
	if err := c.Close(ctx); err != nil {
		t.Error(err)
	}
	for name, test := range map[string]struct {
		client *client.Client
		kind   clacks.Kind
	}{
		"a wrong password":   {&client.Client{URL: s.url, User: "jane", Password: "wrong"}, clacks.Unauthenticated},
		"nobody":             {&client.Client{URL: s.url}, clacks.Unavailable},
		"no host":            {&client.Client{URL: "amqp://"}, clacks.Invalid},
		"no URL":             {&client.Client{URL: "amqp://a b"}, clacks.Invalid},
		"another domain":     {&client.Client{URL: s.url, User: "jane", Password: "secret", Domain: "nobody.listens"}, clacks.InDoubt},
		"params of no kind":  {&client.Client{URL: s.url, User: "jane", Password: "secret"}, clacks.Invalid},
		"nobody who listens": {&client.Client{URL: "amqp://127.0.0.1:1", User: "jane", Password: "secret"}, clacks.Unavailable},
	} {
		var params any
		if name == "params of no kind" {
			params = func() {}
		}
		short, cancel := context.WithTimeout(ctx, 2*time.Second)
		_, err := test.client.Call(short, "greet", params)
		if !clacks.IsKind(err, test.kind) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %s: %v", name, clacks.KindOf(err), err)
		}
		_ = test.client.Close(short)
		cancel()
	}
}

// A client survives the service: the call in between fails, the next one after its return works.
func TestServiceComesBack(t *testing.T) {
	s := startExample()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c := &client.Client{URL: s.url, User: "jane", Password: "secret"}
	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()
	if _, err := c.Call(ctx, "greet", []string{"Joe"}); err != nil {
		t.Fatal(err)
	}
	s.stop()
	short, cancelShort := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancelShort()
	if _, err := c.Call(short, "greet", []string{"Joe"}); !clacks.IsKind(err, clacks.Unavailable) && !clacks.IsKind(err, clacks.InDoubt) {
		t.Errorf("without a service: %v", err)
	}
	again, err := serve(strings.TrimPrefix(s.url, "amqp://"))
	if err != nil {
		t.Fatal(err)
	}
	defer again.stop()
	if got, err := client.Do[string](ctx, c, "greet", []string{"Joe"}); err != nil || got != "jane greets Joe" {
		t.Errorf("%q, %v", got, err)
	}
}
