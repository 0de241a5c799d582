package remote_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"clacks"
	"clacks/access"
	"clacks/bus"
	"clacks/bus/bustest"
	"clacks/bus/container"
	"clacks/bus/listener"
	"clacks/bus/remote"
	"clacks/internal/testservers"
)

// cable is a client whose line goes through a proxy of its own, where it can be cut.
type cable struct {
	*remote.Client
	proxy *testservers.TCPProxy
	lost  chan struct{}
	mu    sync.Mutex
}

// connect makes a client over a proxy. The pauses are short: the suite waits for the connection to come back.
func connect(t testing.TB, target string, options remote.Options) *cable {
	t.Helper()
	proxy := testservers.Proxy(t, target)
	c := &cable{proxy: proxy, lost: make(chan struct{}, 100)}
	options.URL = "amqp://" + proxy.Addr
	options.Log = slog.New(slog.DiscardHandler)
	options.BackoffMin, options.BackoffMax = 5*time.Millisecond, 50*time.Millisecond
	options.OnState = func(s remote.State) {
		if !s.Connected {
			select {
			case c.lost <- struct{}{}:
			default:
			}
		}
	}
	client, err := remote.New(options)
	if err != nil {
		t.Fatal(err)
	}
	c.Client = client
	return c
}

// lose cuts the line and waits until the client has noticed.
func lose(t testing.TB, b bus.Bus) {
	t.Helper()
	c := b.(*cable)
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.lost) > 0 {
		<-c.lost
	}
	c.proxy.CutAll()
	select {
	case <-c.lost:
	case <-time.After(time.Minute):
		t.Fatal("the client did not notice the loss")
	}
}

func TestConformanceWithRabbitMQ(t *testing.T) {
	server := testservers.RabbitMQ(t)
	bustest.Run(t, bustest.Transport{
		Connect: func(t testing.TB) bus.Bus {
			return connect(t, server.Addr, remote.Options{User: server.User, Password: server.Password})
		},
		Lose: lose,
		Restart: func(t testing.TB) {
			if err := server.Stop(); err != nil {
				t.Fatal(err)
			}
			if err := server.Start(); err != nil {
				t.Fatal(err)
			}
		},
		Refused:      map[string]string{"/amq/queue/none": bus.NotFound},
		Capabilities: bustest.Capabilities{Durable: true, ComesBack: true},
	})
}

// everybody may log in, and use every address that does not begin with "forbidden.".
type everybody struct{}

func (everybody) Authenticate(_ context.Context, name, password string) (access.User, error) {
	if name == password {
		return access.User{ID: name}, nil
	}
	return access.User{}, clacks.E(clacks.Unauthenticated, "test", "wrong password")
}

func (everybody) Certificate(_ context.Context, certificate *x509.Certificate) (access.User, error) {
	return access.User{ID: certificate.Subject.CommonName}, nil
}

func (everybody) Allowed(_ bus.Peer, _ container.Action, address string) bool {
	return !strings.HasPrefix(address, "forbidden.")
}

// serve runs a listener on an address until the test ends, or until the function that it returns is called.
func serve(t testing.TB, nodes *container.Container, address string, config *tls.Config) (string, func()) {
	t.Helper()
	l, err := listener.New(listener.Options{Nodes: nodes, Auth: everybody{}, TLS: config, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	socket, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	run := l.Serve
	if config != nil {
		run = l.ServeTLS
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = run(socket) // ends with Shutdown
	}()
	stop := sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := l.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		<-ended
	})
	t.Cleanup(stop)
	return socket.Addr().String(), stop
}

func TestConformanceWithTheListener(t *testing.T) {
	nodes := container.New(everybody{}, container.Options{
		Rules: []container.Rule{{Address: "full", Settings: container.Settings{MaxMessages: 1}}},
	})
	t.Cleanup(nodes.Close)
	address, stop := serve(t, nodes, "127.0.0.1:0", nil)
	bustest.Run(t, bustest.Transport{
		Connect: func(t testing.TB) bus.Bus {
			return connect(t, address, remote.Options{User: "ann", Password: "ann"})
		},
		Lose: lose,
		Restart: func(testing.TB) {
			stop()
			_, stop = serve(t, nodes, address, nil)
		},
		Refused: map[string]string{"forbidden.q": bus.Unauthorized, container.DynamicPrefix + "none": bus.NotFound},
		Full:    "full",
		Capabilities: bustest.Capabilities{
			Dynamic: true, Drain: true, Filters: true, DeliveryCount: true, Annotations: true, Durable: true, ComesBack: true,
		},
	})
}
