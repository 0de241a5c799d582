package listener_test

import (
	"net"
	"testing"
	"time"

	"clacks/bus/listener"
	"clacks/bus/wire"
)

// closed expects that the server closes a connection that has said nothing.
func closed(t *testing.T, conn net.Conn) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Error("something came in place of the end")
	} else if e, ok := err.(net.Error); ok && e.Timeout() {
		t.Error("the connection was not closed")
	}
}

func (s *served) connect(t *testing.T, from string) net.Conn {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := dialer.DialContext(within(t), "tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// goesOn opens a connection that was only there.
func (s *served) goesOn(t *testing.T, conn net.Conn) {
	t.Helper()
	_ = conn.SetDeadline(time.Now().Add(patience))
	r := &raw{t: t, conn: conn}
	r.open(&wire.Open{ContainerID: "x", MaxFrameSize: 512})
}

func TestConnectionLimits(t *testing.T) {
	s := serve(t, func(o *listener.Options) { o.Limits.Connections, o.Limits.PerAddress = 4, 3 })
	var first []net.Conn
	for range 3 {
		first = append(first, s.connect(t, "127.0.0.1"))
	}
	closed(t, s.connect(t, "127.0.0.1"))
	other := s.connect(t, "127.0.0.2")
	closed(t, s.connect(t, "127.0.0.3"))
	s.goesOn(t, other)
	refused := s.Stats().Refused
	if refused[listener.TooManyOfOne.String()] != 1 || refused[listener.TooMany.String()] != 1 {
		t.Errorf("%v", refused)
	}
	_ = first[0].Close()
	eventually(t, "there is room", func() bool { return s.Stats().Connections == 3 })
	s.goesOn(t, s.connect(t, "127.0.0.3"))
}

// The oldest of the connections that are not open goes when there are too many of them; those that are open do not count.
func TestHalfOpenLimits(t *testing.T) {
	s := serve(t, func(o *listener.Options) { o.Limits.HalfOpen, o.Limits.HalfOpenEach = 4, 2 })
	for range 5 {
		s.goesOn(t, s.connect(t, "127.0.0.1"))
	}
	oldest, next := s.connect(t, "127.0.0.1"), s.connect(t, "127.0.0.1")
	closed(t, s.connect(t, "127.0.0.1"))
	s.connect(t, "127.0.0.2")
	s.connect(t, "127.0.0.2")
	last := s.connect(t, "127.0.0.3")
	closed(t, oldest)
	s.goesOn(t, last)
	s.goesOn(t, next)
	if got := s.Stats(); got.Refused[listener.HalfOpen.String()] != 1 || got.HalfOpen != 2 {
		t.Errorf("%+v", got)
	}
}

// Who does not open in time is cut off, wherever he stops.
func TestHandshakeTime(t *testing.T) {
	c := makeCertificates(t)
	for name, change := range map[string]func(*listener.Options){"plain": func(*listener.Options) {}, "TLS": c.server} {
		s := serve(t, func(o *listener.Options) { change(o); o.Limits.Handshake = 300 * time.Millisecond })
		closed(t, s.connect(t, "127.0.0.1"))
		if name == "plain" {
			r := &raw{t: t, conn: s.connect(t, "127.0.0.1")}
			_ = r.conn.SetDeadline(time.Now().Add(patience))
			r.login()
			r.write(amqpHeader)
			r.header(amqpHeader)
			r.write([]byte{0, 0, 1, 0, 2})
			r.ended()
		}
		eventually(t, "it is counted", func() bool { return s.Stats().Refused[listener.Handshake.String()] > 0 && s.Stats().Connections == 0 })
	}
}
