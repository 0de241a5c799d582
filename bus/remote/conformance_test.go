package remote_test

import (
	"sync"
	"testing"
	"time"

	"clacks/bus"
	"clacks/bus/bustest"
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

