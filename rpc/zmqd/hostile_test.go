package zmqd

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/go-zeromq/zmq4"
	"github.com/go-zeromq/zmq4/security/null"
)

// greetingOf is the greeting of a peer with a mechanism (RFC 23, section "Protocol Signature").
func greetingOf(mechanism string) []byte {
	g := make([]byte, greetingSize)
	g[0], g[9], g[10], g[11] = 0xFF, 0x7F, 3, 1
	copy(g[12:], mechanism)
	return g
}

func command(name string, body ...byte) []byte {
	b := append([]byte{byte(len(name))}, name...)
	b = append(b, body...)
	return append([]byte{flagCommand, byte(len(b))}, b...)
}

func property(name, value string) []byte {
	b := append([]byte{byte(len(name))}, name...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(value)))
	return append(b, value...)
}

// hello is how a peer of a kind begins.
func hello(kind string) []byte {
	return append(greetingOf("NULL"), command("READY", property("Socket-Type", kind)...)...)
}

func longHeader(flags byte, size uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{flags | flagLong}, size)
}

// attacks are what a hostile peer sends, after which it waits.
func attacks(kind string) map[string][]byte {
	chance := rand.New(rand.NewPCG(3, 4))
	noise := make([]byte, 4096)
	for i := range noise {
		noise[i] = byte(chance.Uint32())
	}
	endless := bytes.Repeat([]byte{flagMore, 1, 'x'}, 10_000)
	var topics []byte
	for i := range 3000 {
		topics = append(append(topics, 0, 3, 1), byte(i), byte(i>>8))
	}
	after := func(parts ...[]byte) []byte { return append(hello(kind), bytes.Join(parts, nil)...) }
	return map[string][]byte{
		"nothing":                  nil,
		"a byte":                   {0xFF},
		"noise":                    noise,
		"HTTP":                     []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n" + strings.Repeat("X-A: b\r\n", 20)),
		"half a greeting":          greetingOf("NULL")[:40],
		"another mechanism":        greetingOf("CURVE"),
		"an old version":           append([]byte{0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0x7F, 1}, make([]byte, 53)...),
		"no READY":                 append(greetingOf("NULL"), command("ERROR", 0)...),
		"half a READY":             hello(kind)[:greetingSize+10],
		"a message for READY":      append(greetingOf("NULL"), 0, 3, 'a', 'b', 'c'),
		"an empty READY":           append(greetingOf("NULL"), flagCommand, 0),
		"a READY without type":     append(greetingOf("NULL"), command("READY")...),
		"a READY of another":       append(greetingOf("NULL"), command("READY", property("Socket-Type", "ROUTER")...)...),
		"a name too long":          append(greetingOf("NULL"), command("READY", 200, 'a')...),
		"a value too long":         append(greetingOf("NULL"), command("READY", 1, 'a', 0xFF, 0xFF, 0xFF, 0xFF)...),
		"a value cut short":        append(greetingOf("NULL"), command("READY", 1, 'a', 0)...),
		"a huge READY":             append(greetingOf("NULL"), longHeader(flagCommand, 1<<62)...),
		"a huge frame":             after(longHeader(0, 1<<62)),
		"a frame beyond all sizes": after(longHeader(0, 1<<64-1)),
		"a frame too large":        after(longHeader(0, 64<<20), noise),
		"half a frame":             after(longHeader(0, 300), noise[:100]),
		"endless parts":            after(endless),
		"large parts":              after(longHeader(flagMore, 1<<20), make([]byte, 1<<20), longHeader(flagMore, 1<<20), make([]byte, 1<<20)),
		"reserved flags":           after([]byte{0xF0, 1, 'x'}),
		"a command of parts":       after([]byte{flagCommand | flagMore, 1, 0}),
		"a huge command":           after(longHeader(flagCommand, 1<<40)),
		"a wrong PING":             after(command("PING")),
		"many PINGs":               after(bytes.Repeat(command("PING", 0, 0, 'x'), 5000)),
		"unknown commands":         after(command("NONSENSE", 1, 2), command("SUBSCRIBE", 'x'), command("")),
		"many topics":              after(topics),
		"a topic too long":         after([]byte{flagLong, 0, 0, 0, 0, 0, 0, 8, 0}, make([]byte, 2048)),
		"no names":                 after(bytes.Repeat([]byte{0, 2, 'a', 'b'}, 100)),
		"empty messages":           after(bytes.Repeat([]byte{0, 0}, 100)),
		"all topics, never reads":  after([]byte{0, 1, 1}),
	}
}

// descriptors are the open ones of this process.
func descriptors(t *testing.T) int {
	t.Helper()
	list, err := filepath.Glob("/proc/self/fd/*")
	if err != nil || len(list) == 0 {
		t.Skip("this system does not tell the open descriptors")
	}
	return len(list)
}

// TestHostilePeers: a thousand connections at each socket do what they like, while others work.
func TestHostilePeers(t *testing.T) {
	const each = 1000
	goroutines, files := runtime.NumGoroutine(), descriptors(t)
	g := start(t, Options{Limits: Limits{Handshake: 30 * time.Second}}) // all share one processor here
	got := listener(t, g, "Work\x00")
	p := pusher(t, g)

	var hostile sync.WaitGroup
	var open sync.Map
	for _, target := range []struct {
		at   net.Addr
		kind string
	}{{g.EmitAddress(), "PUSH"}, {g.RegisterAddress(), "SUB"}} {
		all := attacks(target.kind)
		var kinds []string
		for name := range all {
			kinds = append(kinds, name)
		}
		for i := range each {
			hostile.Go(func() { attack(target.at, all[kinds[i%len(kinds)]], &open) })
		}
	}
	// Who behaves notices nothing.
	for n := range 200 {
		m := "Work\x00" + strings.Repeat("x", n*100)
		push(t, p, m)
		if next(t, got) != m {
			t.Fatal("another message came")
		}
	}
	hostile.Wait()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	if memory.HeapInuse > 300<<20 {
		t.Errorf("%d bytes are in use", memory.HeapInuse)
	}
	late := listener(t, g, "Work\x00") // who comes now is let in
	push(t, p, "Work\x00late")
	if next(t, late) != "Work\x00late" || next(t, got) != "Work\x00late" {
		t.Error("another message came")
	}
	open.Range(func(conn, _ any) bool {
		_ = conn.(net.Conn).Close()
		return true
	})
	await(t, "the end of the hostile connections", func() bool {
		s := g.Stats()
		return s.Emitters == 1 && s.Subscribers == 2 && g.handshakes() == 0
	})
	// Two sockets, a pusher and two listeners with theirs are left, each end in this process.
	await(t, "that nothing is left of them", func() bool {
		return descriptors(t) < files+20 && runtime.NumGoroutine() < goroutines+40
	})
	t.Logf("%+v", g.Stats())
}

// attack connects, sends and leaves the connection open.
func attack(at net.Addr, bytes []byte, open *sync.Map) {
	conn, err := net.Dial("tcp", at.String())
	if err != nil {
		return
	}
	open.Store(conn, true)
	_ = conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
	_, _ = conn.Write(bytes) // it may be cut off before it has sent all
}

func (g *Gateway) handshakes() int {
	n := 0
	for _, d := range []*door{g.emit, g.register} {
		d.mu.Lock()
		n += len(d.handshaking)
		d.mu.Unlock()
	}
	return n
}

// Who begins something has to end it in time, whatever it is; who only waits may wait.
func TestDeadlines(t *testing.T) {
	g := start(t, Options{Limits: Limits{Handshake: 2 * time.Second, Frame: 100 * time.Millisecond}})
	var open sync.Map
	defer open.Range(func(conn, _ any) bool { return conn.(net.Conn).Close() == nil })
	attack(g.EmitAddress(), hello("PUSH"), &open)
	await(t, "the one that waits", func() bool { return g.Stats().Emitters == 1 })
	attack(g.EmitAddress(), append(hello("PUSH"), longHeader(0, 300)...), &open)
	await(t, "the end of the half frame", func() bool { return g.Stats().Cut == 1 })
	attack(g.EmitAddress(), greetingOf("NULL")[:20], &open)
	await(t, "the end of the half greeting", func() bool { return g.Stats().Refused == 1 })
	if s := g.Stats(); s.Emitters != 1 {
		t.Errorf("%+v", s)
	}
}

// A flood is read at the pace of one connection, whether it is of messages, of wrong ones or of commands.
func TestFloods(t *testing.T) {
	for name, flood := range map[string][]byte{
		"messages": []byte("\x00\x02A\x00"),
		"parts":    {flagMore, 1, 'x', 0, 1, 'y'},
		"PINGs":    command("PING", 0, 0, 'x'),
		"commands": command("NONSENSE"),
	} {
		const n = 100
		s := newScreen(&canned{in: bytes.NewReader(append(hello("PUSH"), bytes.Repeat(flood, n)...))}, zmq4.Pull, Limits{Message: 4096})
		turns := 0
		s.turn = func() error { turns++; return nil }
		s.pending = time.Now()
		peer, err := zmq4.Open(s, null.Security(), zmq4.Pull, nil, true, nil)
		if err != nil {
			t.Fatal(err)
		}
		s.pending = time.Time{}
		l := &link{screen: s, peer: peer}
		for err == nil {
			_, err = l.receive()
		}
		if turns < n {
			t.Errorf("%s: %d turns for %d", name, turns, n)
		}
	}
}

// Connections that do not introduce themselves make room for those that do.
func TestHalfOpenConnections(t *testing.T) {
	g := start(t, Options{Limits: Limits{Handshake: time.Hour, Handshakes: 8}})
	var open sync.Map
	defer open.Range(func(conn, _ any) bool { return conn.(net.Conn).Close() == nil })
	for range 200 {
		attack(g.EmitAddress(), []byte{0xFF}, &open)
		attack(g.RegisterAddress(), nil, &open)
	}
	got := listener(t, g, "A\x00")
	push(t, pusher(t, g), "A\x00b")
	if m := next(t, got); m != "A\x00b" {
		t.Errorf("%q", m)
	}
	if n := g.handshakes(); n > 16 {
		t.Errorf("%d connections introduce themselves", n)
	}
}

// rawSubscriber subscribes to everything and reads nothing.
func rawSubscriber(t *testing.T, g *Gateway) net.Conn {
	t.Helper()
	before := g.topics()
	conn, err := net.Dial("tcp", g.RegisterAddress().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := conn.Write(append(hello("SUB"), 0, 1, 1)); err != nil {
		t.Fatal(err)
	}
	await(t, "the subscription", func() bool { return g.topics() == before+1 })
	return conn
}

// Who does not read holds up nobody, and holds no more than its share.
func TestDeadSubscriber(t *testing.T) {
	g := start(t, Options{Limits: Limits{QueueBytes: 8 << 20, Held: 24 << 20, Write: time.Hour}})
	for range 5 {
		rawSubscriber(t, g)
	}
	got := listener(t, g, "A\x00")
	p := pusher(t, g)
	m := "A\x00" + strings.Repeat("x", 1<<19)
	for range 100 {
		push(t, p, m)
		if next(t, got) != m {
			t.Fatal("another message came")
		}
		g.publisher.mu.Lock()
		if g.publisher.held > 24<<20 {
			t.Errorf("%d bytes are held", g.publisher.held)
		}
		g.publisher.mu.Unlock()
	}
	if s := g.Stats(); s.Dropped == 0 {
		t.Errorf("%+v", s)
	}
}

// Who takes nothing in time is cut off, and what waited for it is forgotten.
func TestDeadSubscriberIsCut(t *testing.T) {
	g := start(t, Options{Limits: Limits{Write: 100 * time.Millisecond}})
	rawSubscriber(t, g)
	for range 15 {
		g.publisher.publish(message("A", make([]byte, 1<<20)))
	}
	await(t, "the end of who does not read", func() bool { return g.Stats().Subscribers == 0 })
	await(t, "that nothing is held", func() bool {
		g.publisher.mu.Lock()
		defer g.publisher.mu.Unlock()
		return g.publisher.held == 0
	})
}

// When all together hold too much, the slowest goes, and the message comes through.
func TestSlowestIsCut(t *testing.T) {
	g := start(t, Options{Limits: Limits{QueueBytes: 8 << 20, Held: 4 << 20, Write: time.Hour}})
	rawSubscriber(t, g)
	for range 40 {
		g.publisher.publish(message("A", make([]byte, 1<<20)))
	}
	await(t, "the cut", func() bool { return g.Stats().Subscribers == 0 })
	if s := g.Stats(); s.Cut != 1 {
		t.Errorf("%+v", s)
	}
}

func TestConnectionLimit(t *testing.T) {
	g := start(t, Options{Limits: Limits{Connections: 2}})
	rawSubscriber(t, g)
	rawSubscriber(t, g)
	conn, err := net.Dial("tcp", g.RegisterAddress().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write(hello("SUB")); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, conn); err != nil && os.IsTimeout(err) {
		t.Error("the third connection stays")
	}
}

// FuzzConnection: whatever a peer sends, nothing panics, and the library makes no more room than it was allowed.
func FuzzConnection(f *testing.F) {
	for _, kind := range []string{"PUSH", "SUB"} {
		for _, bytes := range attacks(kind) {
			if len(bytes) < 1<<16 {
				f.Add(bytes, kind == "SUB")
			}
		}
		f.Add(append(hello(kind), command("PING", 0, 1, 'c')...), kind == "SUB")
	}
	f.Fuzz(func(t *testing.T, sent []byte, sub bool) {
		kind, most := zmq4.Pull, 4096
		if sub {
			kind, most = zmq4.Pub, maxTopic+1
		}
		s := newScreen(&canned{in: iotest.HalfReader(bytes.NewReader(sent))}, kind, Limits{Message: 4096})
		s.turn = func() error { return nil }
		s.pending = time.Now()
		conn, err := zmq4.Open(s, null.Security(), kind, nil, true, nil)
		if err != nil {
			return
		}
		s.pending = time.Time{}
		for {
			m, err := conn.RecvMsg()
			if err != nil {
				return
			}
			if len(m.Bytes()) > most || len(m.Frames) > maxParts {
				t.Fatalf("%d bytes in %d frames", len(m.Bytes()), len(m.Frames))
			}
		}
	})
}

// canned is a connection whose peer has said everything at once.
type canned struct {
	in io.Reader
	net.Conn
}

func (c *canned) Read(p []byte) (int, error)       { return c.in.Read(p) }
func (c *canned) Write(p []byte) (int, error)      { return len(p), nil }
func (c *canned) SetReadDeadline(time.Time) error  { return nil }
func (c *canned) SetWriteDeadline(time.Time) error { return nil }
func (c *canned) Close() error                     { return nil }
