package listener_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"clacks/bus"
	"clacks/bus/wire"
)

// raw is a peer that says whatever a test wants.
type raw struct {
	t      testing.TB
	conn   net.Conn
	parser wire.Parser
}

var (
	amqpHeader = []byte("AMQP\x00\x01\x00\x00")
	saslHeader = []byte("AMQP\x03\x01\x00\x00")
)

// dialRaw connects and says nothing.
func (s *served) dialRaw(t testing.TB) *raw {
	t.Helper()
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return &raw{t: t, conn: conn}
}

// raw connects ann and opens the connection and a session on channel 0.
func (s *served) raw(t testing.TB) *raw {
	t.Helper()
	r := s.dialRaw(t)
	r.open(&wire.Open{ContainerID: "raw", MaxFrameSize: 1 << 20, ChannelMax: 100})
	r.send(0, &wire.Begin{IncomingWindow: 1000, OutgoingWindow: 1000, HandleMax: 1000})
	expect[*wire.Begin](r)
	return r
}

// open goes through SASL and the open.
func (r *raw) open(open *wire.Open) *wire.Open {
	r.t.Helper()
	r.login()
	r.write(amqpHeader)
	r.header(amqpHeader)
	r.send(0, open)
	return expect[*wire.Open](r)
}

func (r *raw) login() {
	r.t.Helper()
	r.write(saslHeader)
	r.header(saslHeader)
	expect[*wire.Mechanisms](r)
	r.write(wire.AppendFrame(nil, wire.FrameSASL, 0, &wire.Init{Mechanism: "PLAIN", Response: []byte("\x00ann\x00nna")}))
	if outcome := expect[*wire.Outcome](r); outcome.Code != wire.OutcomeOK {
		r.t.Fatalf("the login gave %d", outcome.Code)
	}
}

func (r *raw) write(b []byte) {
	r.t.Helper()
	if _, err := r.conn.Write(b); err != nil {
		r.t.Fatal(err)
	}
}

func (r *raw) send(channel uint16, p wire.Performative, payload ...byte) {
	r.t.Helper()
	b := wire.AppendFrame(nil, wire.FrameAMQP, channel, p)
	r.write(wire.CloseFrame(append(b, payload...), 0))
}

func (r *raw) header(want []byte) {
	r.t.Helper()
	got := make([]byte, 8)
	if _, err := io.ReadFull(r.conn, got); err != nil || !bytes.Equal(got, want) {
		r.t.Fatalf("the header is %q, not %q (%v)", got, want, err)
	}
}

// frame reads a frame; nil is an empty one.
func (r *raw) frame() (wire.Performative, []byte, error) {
	head := make([]byte, wire.HeaderSize)
	if _, err := io.ReadFull(r.conn, head); err != nil {
		return nil, nil, err
	}
	h, err := wire.ParseHeader(head)
	if err != nil {
		return nil, nil, err
	}
	body := make([]byte, h.Size-wire.HeaderSize)
	if _, err := io.ReadFull(r.conn, body); err != nil || len(body) == 0 {
		return nil, nil, err
	}
	return r.parser.Parse(h.Type, body)
}

// expect reads frames until one of a type comes; empty frames and flows before it do not count.
func expect[P wire.Performative](r *raw) P {
	r.t.Helper()
	p, _ := expectPayload[P](r)
	return p
}

func expectPayload[P wire.Performative](r *raw) (P, []byte) {
	r.t.Helper()
	var want P
	for {
		p, payload, err := r.frame()
		if err != nil {
			r.t.Fatalf("waiting for %T: %v", want, err)
		}
		if got, ok := p.(P); ok {
			return got, payload
		}
		if _, flow := p.(*wire.Flow); p != nil && !flow {
			r.t.Fatalf("%#v came in place of %T", p, want)
		}
	}
}

// ended expects that the server closes the socket.
func (r *raw) ended() {
	r.t.Helper()
	for {
		_, _, err := r.frame()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			r.t.Fatalf("the socket was not closed in order: %v", err)
		}
	}
}

// sender attaches a sending link and waits for its first credit.
func (r *raw) sender(handle uint32, address string) *wire.Flow {
	r.t.Helper()
	r.send(0, &wire.Attach{
		Name: address + "-out", Handle: handle, SenderSettleMode: wire.SenderMixed, Source: &wire.Source{},
		Target: &wire.Target{Address: address}, InitialDeliveryCount: wire.Some(0),
	})
	expect[*wire.Attach](r)
	flow := *expect[*wire.Flow](r)
	return &flow
}

// receiver attaches a receiving link.
func (r *raw) receiver(handle uint32, address string) *wire.Attach {
	r.t.Helper()
	r.send(0, &wire.Attach{
		Name: address + "-in", Handle: handle, Receiver: true, SenderSettleMode: wire.SenderMixed,
		Source: &wire.Source{Address: address}, Target: &wire.Target{},
	})
	return expect[*wire.Attach](r)
}

func (r *raw) credit(handle, count, credit uint32, drain bool) {
	r.t.Helper()
	r.send(0, &wire.Flow{
		NextIncomingID: wire.Some(0), IncomingWindow: 1000, OutgoingWindow: 1000, Handle: wire.Some(handle),
		DeliveryCount: wire.Some(count), LinkCredit: wire.Some(credit), Drain: drain,
	})
}

func payload(t testing.TB, m *bus.Message) []byte {
	t.Helper()
	b, err := wire.AppendMessage(nil, m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
