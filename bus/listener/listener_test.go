package listener_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"clacks/bus/listener"
)

// patience ends a test that has already failed.
const patience = 3 * time.Minute

// served is a listener on a free port of this machine.
type served struct {
	*listener.Listener
	broker  *broker
	address string
}

// serve starts a listener that ends with the test.
func serve(t testing.TB, change func(*listener.Options)) *served {
	t.Helper()
	s := &served{broker: newBroker()}
	o := listener.Options{Nodes: s.broker, Auth: people{}, Log: slog.New(slog.NewTextHandler(testLog{t}, nil))}
	if change != nil {
		change(&o)
	}
	var err error
	if s.Listener, err = listener.New(o); err != nil {
		t.Fatal(err)
	}
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = socket.Addr().String()
	run := s.Serve
	if o.TLS != nil {
		run = s.ServeTLS
	}
	done := make(chan error, 1)
	go func() { done <- run(socket) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-done; !errors.Is(err, listener.ErrClosed) {
			t.Errorf("serve: %v", err)
		}
	})
	return s
}

// port is that of the address.
func (s *served) port() string {
	_, port, _ := net.SplitHostPort(s.address)
	return port
}

// testLog writes to the test's log, when it is asked for.
type testLog struct{ t testing.TB }

func (l testLog) Write(b []byte) (int, error) {
	if testing.Verbose() {
		l.t.Logf("%s", b)
		return len(b), nil
	}
	return io.Discard.Write(b)
}

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits until a condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("in vain: %s", what)
}
