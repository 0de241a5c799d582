package listener_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"runtime"
	"testing"
	"time"

	"clacks/bus"
	"clacks/bus/listener"
	"clacks/bus/wire"
)

// FuzzConnection sends whatever bytes to a connection, before the login or, when the first byte is odd, after the open of a
// connection with a session and two links. The connection ends in order: nobody panics, and nothing is left.
func FuzzConnection(f *testing.F) {
	frames := []wire.Performative{
		&wire.Open{ContainerID: "x", MaxFrameSize: 512, ChannelMax: 3}, &wire.Begin{RemoteChannel: wire.Some(0)}, &wire.Begin{},
		&wire.Attach{Name: "n", Handle: 2, Receiver: true, Source: &wire.Source{Dynamic: true}}, &wire.Attach{Name: "m", Handle: 3, Target: &wire.Target{}},
		&wire.Attach{Name: "a-in", Handle: 4, Receiver: true, Source: &wire.Source{Address: "missing"}},
		&wire.Flow{Handle: wire.Some(1), LinkCredit: wire.Some(10), Drain: true, IncomingWindow: 100}, &wire.Flow{Echo: true},
		&wire.Transfer{DeliveryID: wire.Some(1), Tag: []byte{1}, More: true}, &wire.Transfer{DeliveryID: wire.Some(0), Tag: []byte{1}, Aborted: true},
		&wire.Disposition{Receiver: true, Last: wire.Some(9), Settled: true}, &wire.Detach{Handle: 1, Closed: true}, &wire.End{}, &wire.Close{},
	}
	for _, p := range frames {
		frame := wire.AppendFrame(nil, wire.FrameAMQP, 0, p)
		f.Add(append([]byte{1}, frame...))
		f.Add(append([]byte{3}, append(frame, frame...)...))
	}
	login := append(append([]byte{0}, saslHeader...), wire.AppendFrame(nil, wire.FrameSASL, 0, &wire.Init{Mechanism: "PLAIN", Response: []byte("\x00ann\x00nna")})...)
	f.Add(append(append(login, amqpHeader...), wire.AppendFrame(nil, wire.FrameAMQP, 0, frames[0])...))
	f.Add(append([]byte{0}, amqpHeader...))
	l, err := listener.New(listener.Options{
		Nodes: newBroker(), Auth: people{}, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Limits: listener.Limits{Handshake: time.Second, Close: 50 * time.Millisecond, Connections: 64, HalfOpen: 64, HalfOpenEach: 64},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = l.Shutdown(context.Background()) })
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 0 {
			fuzzConnection(t, l, b[0]&1 == 1, b[1:])
		}
	})
}

func fuzzConnection(t *testing.T, l *listener.Listener, opened bool, b []byte) {
	client, server := net.Pipe()
	defer client.Close() //nolint:errcheck // the test ends
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.ServeConn(server)
	}()
	go func() { _, _ = io.Copy(io.Discard, client) }()
	_ = client.SetDeadline(time.Now().Add(10 * time.Second))
	if opened {
		_, _ = client.Write(opening)
	}
	_, _ = client.Write(b)
	_ = client.Close()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		stacks := make([]byte, 1<<20)
		t.Fatalf("the connection does not end: %s", stacks[:runtime.Stack(stacks, true)])
	}
	if s := l.Stats(); s.Connections != 0 || s.Sessions != 0 || s.Links != 0 || s.HalfOpen != 0 {
		t.Fatalf("something is left: %+v", s)
	}
}

// opening is what a client sends until it has a session and two links.
var opening = func() []byte {
	b := append([]byte{}, saslHeader...)
	b = wire.AppendFrame(b, wire.FrameSASL, 0, &wire.Init{Mechanism: "PLAIN", Response: []byte("\x00ann\x00nna")})
	b = append(b, amqpHeader...)
	for _, p := range []wire.Performative{
		&wire.Open{ContainerID: "c", MaxFrameSize: 512, ChannelMax: 7}, &wire.Begin{IncomingWindow: 100, HandleMax: 7},
		&wire.Attach{Name: "a-out", Handle: 0, Source: &wire.Source{}, Target: &wire.Target{Address: "a"}, InitialDeliveryCount: wire.Some(0)},
		&wire.Attach{Name: "a-in", Handle: 1, Receiver: true, Source: &wire.Source{Address: "a"}, Target: &wire.Target{}},
		&wire.Flow{Handle: wire.Some(1), LinkCredit: wire.Some(10), IncomingWindow: 100},
		&wire.Disposition{Receiver: true, Settled: true, State: wire.OutcomeState(bus.Disposition{})},
	} {
		b = wire.AppendFrame(b, wire.FrameAMQP, 0, p)
	}
	return b
}()
