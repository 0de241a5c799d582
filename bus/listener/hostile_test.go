package listener_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"math"
	"net"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/Azure/go-amqp"

	"clacks/bus"
	"clacks/bus/listener"
	"clacks/bus/wire"
)

// hostile are peers that nobody wants, each for as long as it is let. They come from 127.0.0.1. Those that flood are in
// loud: attackers and server share a processor here. So are those that guess passwords, as they keep all others of their
// address out.
var hostile = map[string]func(ctx context.Context, conn net.Conn){
	"says nothing": func(ctx context.Context, _ net.Conn) { <-ctx.Done() },
	"drips its header": func(ctx context.Context, conn net.Conn) {
		for _, b := range saslHeader[:7] {
			if _, err := conn.Write([]byte{b}); err != nil {
				return
			}
		}
		<-ctx.Done()
	},
	"says garbage": func(_ context.Context, conn net.Conn) {
		garbage := make([]byte, 1<<16)
		_, _ = rand.Read(garbage)
		_, _ = conn.Write(garbage)
	},
	"claims large frames": func(_ context.Context, conn net.Conn) {
		_, _ = conn.Write(append(opening[:len(opening):len(opening)], 0x7f, 0xff, 0xff, 0xff, 2, 0, 0, 0))
		_, _ = conn.Read(make([]byte, 100))
	},
	"never settles": func(ctx context.Context, conn net.Conn) {
		flow := &wire.Flow{Handle: wire.Some(1), LinkCredit: wire.Some(math.MaxUint32), IncomingWindow: math.MaxUint32}
		_, _ = conn.Write(wire.AppendFrame(opening[:len(opening):len(opening)], wire.FrameAMQP, 0, flow))
		discard(ctx, conn)
	},
}

var loud = map[string]func(ctx context.Context, conn net.Conn){
	"guesses passwords": func(_ context.Context, conn net.Conn) {
		b := wire.AppendFrame(saslHeader[:8:8], wire.FrameSASL, 0, &wire.Init{Mechanism: "PLAIN", Response: []byte("\x00mallory\x00x")})
		_, _ = conn.Write(b)
		_, _ = conn.Read(make([]byte, 100))
	},
	"never reads": func(ctx context.Context, conn net.Conn) {
		_ = conn.(*net.TCPConn).SetReadBuffer(4096)
		_, _ = conn.Write(opening)
		echo := bytes.Repeat(wire.AppendFrame(nil, wire.FrameAMQP, 0, &wire.Flow{IncomingWindow: 1 << 20, Echo: true}), 5000)
		flood(ctx, conn, echo)
	},
	"floods links": func(ctx context.Context, conn net.Conn) {
		_, _ = conn.Write(opening)
		go discard(ctx, conn)
		var b []byte
		for i := range uint32(200) {
			b = wire.AppendFrame(b, wire.FrameAMQP, 0, &wire.Attach{
				Name: fmt.Sprint(i), Handle: 2 + i, Receiver: true, Source: &wire.Source{Address: "flood"},
			})
			b = wire.AppendFrame(b, wire.FrameAMQP, 0, &wire.Detach{Handle: 2 + i, Closed: true})
		}
		flood(ctx, conn, b)
	},
	"floods messages that do not end": func(ctx context.Context, conn net.Conn) {
		_, _ = conn.Write(opening)
		go discard(ctx, conn)
		part := wire.AppendFrame(nil, wire.FrameAMQP, 0, &wire.Transfer{DeliveryID: wire.Some(0), Tag: []byte{1}, More: true})
		part = wire.CloseFrame(append(part, make([]byte, 60_000)...), 0)
		flood(ctx, conn, part)
	},
}

// flood writes the same again and again.
func flood(ctx context.Context, conn net.Conn, b []byte) {
	for {
		if _, err := conn.Write(b); err != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func discard(ctx context.Context, conn net.Conn) {
	b := make([]byte, 4096)
	for ctx.Err() == nil {
		if _, err := conn.Read(b); err != nil {
			return
		}
	}
}

// A thousand hostile connections, while a good client at another address calls and is answered.
func TestThousandHostileConnections(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes some seconds")
	}
	const connections = 1000
	nodes, change := withContainer(t)
	s := serve(t, func(o *listener.Options) {
		change(o)
		o.Limits = listener.Limits{
			PerAddress: connections, HalfOpen: 400, HalfOpenEach: 300, Handshake: 2 * time.Second, Write: time.Second,
			Close: 200 * time.Millisecond, MessageSize: 256 << 10, Memory: 1 << 20, Output: 64 << 10, Unsettled: 100,
		}
	})
	sender, err := nodes.Connect(bus.Peer{}).Sender(within(t), "a", bus.SenderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for range 500 {
		if err := sender.Send(within(t), &bus.Message{Body: make([]byte, 1000)}); err != nil {
			t.Fatal(err)
		}
	}
	good := within(t)
	link := session(t, s.dialFrom(t, "127.0.0.2"))
	go s.respond(good, t)
	if err := call(good, link, 1); err != nil {
		t.Fatal(err)
	}
	reasons := []listener.Reason{
		listener.Handshake, listener.Login, listener.Malformed, listener.Slow, listener.TooManyLinks, listener.TooLarge,
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var wait sync.WaitGroup
	quiet, flooders := slices.Collect(maps.Values(hostile)), slices.Collect(maps.Values(loud))
	for i := range connections {
		kind := quiet[i%len(quiet)]
		if i%20 == 0 {
			kind = flooders[i/20%len(flooders)]
		}
		wait.Add(1)
		go func() {
			defer wait.Done()
			s.attack(ctx, kind)
		}()
	}
	slowest := time.Duration(0)
	var most runtime.MemStats
	goroutines, calls := 0, 0
	for end := time.Now().Add(patience / 2); calls < 300 || !s.hasRefused(reasons); calls += 50 {
		if time.Now().After(end) {
			t.Fatalf("%d calls in %v, %+v", calls, patience, s.Stats())
		}
		begin := time.Now()
		if err := call(good, link, 1); err != nil {
			t.Fatal(err)
		}
		slowest = max(slowest, time.Since(begin)/50)
		var now runtime.MemStats
		runtime.ReadMemStats(&now)
		if now.HeapInuse > most.HeapInuse {
			most = now
		}
		goroutines = max(goroutines, runtime.NumGoroutine())
	}
	stats := s.Stats()
	t.Logf("%d calls, at worst %v each, heap %d MiB, %d goroutines, %+v", calls, slowest, most.HeapInuse>>20, goroutines, stats)
	if most.HeapInuse > 400<<20 {
		t.Errorf("the heap grew to %d MiB", most.HeapInuse>>20)
	}
	// The test's own connections are two goroutines each; the listener's two, and one a link.
	if goroutines > 10*connections {
		t.Errorf("there were %d goroutines", goroutines)
	}
	cancel()
	wait.Wait()
	eventually(t, "only the good are left", func() bool { return s.Stats().Connections == 2 })
}

// hasRefused tells whether there was every reason.
func (s *served) hasRefused(reasons []listener.Reason) bool {
	refused := s.Stats().Refused
	for _, reason := range reasons {
		if refused[reason.String()] == 0 {
			return false
		}
	}
	return true
}

// attack connects again and again.
func (s *served) attack(ctx context.Context, kind func(context.Context, net.Conn)) {
	for ctx.Err() == nil {
		conn, err := net.DialTimeout("tcp", s.address, patience)
		if err != nil {
			return
		}
		own, cancel := context.WithCancel(ctx)
		stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
		go func() {
			// Who waits only is woken when the server has closed.
			defer cancel()
			kind(own, conn)
		}()
		<-own.Done()
		stop()
		_ = conn.Close()
		select {
		case <-ctx.Done():
		case <-time.After(2 * time.Second):
		}
	}
}

// dialFrom connects ann from another address of this machine.
func (s *served) dialFrom(t testing.TB, address string) *amqp.Conn {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	ctx := within(t)
	raw, err := dialer.DialContext(ctx, "tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := amqp.NewConn(ctx, raw, &amqp.ConnOptions{SASLType: amqp.SASLTypePlain("ann", "nna")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// respond answers requests until the context ends.
func (s *served) respond(ctx context.Context, t testing.TB) {
	link := session(t, s.dialFrom(t, "127.0.0.3"))
	requests, err := link.NewReceiver(ctx, "requests", nil)
	if err != nil {
		t.Error(err)
		return
	}
	replies, err := link.NewSender(ctx, "", nil)
	if err != nil {
		t.Error(err)
		return
	}
	for {
		m, err := requests.Receive(ctx, nil)
		if err != nil {
			return
		}
		_ = replies.Send(ctx, &amqp.Message{
			Properties: &amqp.MessageProperties{To: m.Properties.ReplyTo, CorrelationID: m.Properties.MessageID}, Data: m.Data,
		}, nil)
		_ = requests.AcceptMessage(ctx, m)
	}
}

// Two hundred connections come and go, for a second or for CLACKS_SOAK (a duration): nothing grows.
func TestSoak(t *testing.T) {
	long := time.Second
	if text := os.Getenv("CLACKS_SOAK"); text != "" {
		var err error
		if long, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	_, change := withContainer(t)
	s := serve(t, change)
	soak(t, s, long/5) // pools and caches fill
	before := measure(t, s)
	soak(t, s, long)
	after := measure(t, s)
	t.Logf("before: %+v, after: %+v, %d connections", before, after, s.Stats().Accepted)
	if after.goroutines > before.goroutines+20 || after.descriptors > before.descriptors+10 || after.heap > before.heap+8<<20 {
		t.Errorf("something grew: %+v became %+v", before, after)
	}
}

// soak lets 200 clients come and go: some in order, some not.
func soak(t *testing.T, s *served, long time.Duration) {
	end := time.Now().Add(long)
	var wait sync.WaitGroup
	for i := range 200 {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for round := 0; round == 0 || time.Now().Before(end); round++ {
				if err := s.visit(i, round); err != nil {
					t.Error(err)
					return
				}
			}
		}()
	}
	wait.Wait()
}

// visit is a connection that does a little of everything.
func (s *served) visit(i, round int) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	raw, err := net.Dial("tcp", s.address)
	if err != nil {
		return err
	}
	defer raw.Close() //nolint:errcheck // some end so
	conn, err := amqp.NewConn(ctx, raw, &amqp.ConnOptions{SASLType: amqp.SASLTypePlain("ann", "nna")})
	if err != nil {
		return err
	}
	link, err := conn.NewSession(ctx, nil)
	if err != nil {
		return err
	}
	receiver, err := link.NewReceiver(ctx, "", &amqp.ReceiverOptions{DynamicAddress: true})
	if err != nil {
		return err
	}
	sender, err := link.NewSender(ctx, receiver.Address(), nil)
	if err != nil {
		return err
	}
	for range 10 {
		if err := sender.Send(ctx, amqp.NewMessage(make([]byte, 1+round%3*40_000)), nil); err != nil {
			return fmt.Errorf("send: %w", err)
		}
		m, err := receiver.Receive(ctx, nil)
		if err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		if err := receiver.AcceptMessage(ctx, m); err != nil {
			return fmt.Errorf("accept: %w", err)
		}
	}
	if (i+round)%4 == 0 {
		return nil
	}
	return conn.Close()
}

type usage struct {
	goroutines, descriptors int
	heap                    uint64
}

// measure is what is in use when all have left.
func measure(t *testing.T, s *served) usage {
	eventually(t, "all have left", func() bool { return s.Stats().Connections == 0 })
	var m runtime.MemStats
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	u := usage{goroutines: runtime.NumGoroutine(), heap: m.HeapInuse}
	if entries, err := os.ReadDir("/proc/self/fd"); err == nil {
		u.descriptors = len(entries)
	}
	return u
}
