package listener_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"clacks/bus"
	"clacks/bus/listener"
	"clacks/bus/wire"
)

// A header that is not spoken is answered with one that is (AMQP 1.0, 2.2).
func TestOtherHeaders(t *testing.T) {
	s := serve(t, nil)
	for _, header := range []string{"AMQP\x02\x01\x00\x00", "AMQP\x00\x01\x00\x00", "AMQP\x00\x00\x09\x01", "GET / HT"} {
		r := s.dialRaw(t)
		r.write([]byte(header))
		r.header(saslHeader)
		r.ended()
	}
	r := s.dialRaw(t)
	r.login()
	r.write(saslHeader)
	r.header(amqpHeader)
	r.ended()
}

func TestSASLFrames(t *testing.T) {
	s := serve(t, nil)
	for name, c := range map[string]struct {
		init *wire.Init
		code uint8
	}{
		"no PLAIN":        {&wire.Init{Mechanism: "PLAIN", Response: []byte("ann")}, wire.OutcomeAuth},
		"for another":     {&wire.Init{Mechanism: "PLAIN", Response: []byte("bob\x00ann\x00nna")}, wire.OutcomeAuth},
		"for himself":     {&wire.Init{Mechanism: "PLAIN", Response: []byte("ann\x00ann\x00nna")}, wire.OutcomeOK},
		"wrong":           {&wire.Init{Mechanism: "PLAIN", Response: []byte("\x00ann\x00x")}, wire.OutcomeAuth},
		"not offered":     {&wire.Init{Mechanism: "ANONYMOUS"}, wire.OutcomeAuth},
		"no certificate":  {&wire.Init{Mechanism: "EXTERNAL"}, wire.OutcomeAuth},
		"another outcome": {&wire.Init{Mechanism: "SCRAM-SHA-256", Response: []byte("n,,")}, wire.OutcomeAuth},
	} {
		r := s.dialRaw(t)
		r.write(saslHeader)
		r.header(saslHeader)
		if m := expect[*wire.Mechanisms](r); len(m.Names) != 1 || m.Names[0] != "PLAIN" {
			t.Errorf("%v are offered", m.Names)
		}
		r.write(wire.AppendFrame(nil, wire.FrameSASL, 0, c.init))
		if got := expect[*wire.Outcome](r).Code; got != c.code {
			t.Errorf("%s: %d", name, got)
		}
		if c.code != wire.OutcomeOK {
			r.ended()
		}
	}
	// A response that does not come at once is asked for.
	r := s.dialRaw(t)
	r.write(saslHeader)
	r.header(saslHeader)
	expect[*wire.Mechanisms](r)
	r.write(wire.AppendFrame(nil, wire.FrameSASL, 0, &wire.Init{Mechanism: "PLAIN"}))
	expect[*wire.Challenge](r)
	r.write(wire.AppendFrame(nil, wire.FrameSASL, 0, &wire.Response{Response: []byte("\x00ann\x00nna")}))
	if got := expect[*wire.Outcome](r).Code; got != wire.OutcomeOK {
		t.Error(got)
	}
}

func TestAnonymous(t *testing.T) {
	s := serve(t, func(o *listener.Options) { o.Anonymous = true })
	r := s.dialRaw(t)
	r.write(amqpHeader)
	r.header(amqpHeader)
	r.send(0, &wire.Open{ContainerID: "nobody", MaxFrameSize: 512})
	expect[*wire.Open](r)
	if open := s.Connections(); len(open) != 1 || open[0].User != "" || open[0].Container != "nobody" {
		t.Errorf("%+v", open)
	}
	r = s.dialRaw(t)
	r.write(saslHeader)
	r.header(saslHeader)
	if m := expect[*wire.Mechanisms](r); len(m.Names) != 2 {
		t.Errorf("%v are offered", m.Names)
	}
	r.write(wire.AppendFrame(nil, wire.FrameSASL, 0, &wire.Init{Mechanism: "ANONYMOUS", Response: []byte("me")}))
	if got := expect[*wire.Outcome](r).Code; got != wire.OutcomeOK {
		t.Error(got)
	}
}

// After some wrong passwords a right one is not tried either, for a while; another user is not touched.
func TestThrottle(t *testing.T) {
	s := serve(t, nil)
	login := func(response string) uint8 {
		r := s.dialRaw(t)
		r.write(saslHeader)
		r.header(saslHeader)
		expect[*wire.Mechanisms](r)
		r.write(wire.AppendFrame(nil, wire.FrameSASL, 0, &wire.Init{Mechanism: "PLAIN", Response: []byte(response)}))
		defer r.conn.Close() //nolint:errcheck // it is of no use any more
		return expect[*wire.Outcome](r).Code
	}
	for i := range 8 {
		want := uint8(wire.OutcomeAuth)
		if i > 5 {
			want = wire.OutcomeTemporary
		}
		if got := login("\x00ann\x00wrong"); got != want {
			t.Errorf("%d: %d", i, got)
		}
	}
	if got := login("\x00ann\x00nna"); got != wire.OutcomeTemporary {
		t.Errorf("the right password: %d", got)
	}
	if got := login("\x00bob\x00bob"); got != wire.OutcomeOK {
		t.Errorf("bob: %d", got)
	}
	eventually(t, "ann may again", func() bool { return login("\x00ann\x00nna") == wire.OutcomeOK })
}

// What contradicts the protocol closes the connection with the condition that the specification names.
func TestConnectionErrors(t *testing.T) {
	s := serve(t, nil)
	for name, c := range map[string]struct {
		bytes []byte
		want  string
	}{
		"a frame that is too large": {[]byte{0x7f, 0, 0, 0, 2, 0, 0, 0}, bus.FramingError},
		"a size of nothing":         {[]byte{0, 0, 0, 1, 2, 0, 0, 0}, bus.FramingError},
		"a header of one word":      {[]byte{0, 0, 0, 8, 1, 0, 0, 0}, bus.FramingError},
		"another type":              {[]byte{0, 0, 0, 8, 2, 1, 0, 0}, bus.FramingError},
		"no performative":           {[]byte{0, 0, 0, 9, 2, 0, 0, 0, 0x40}, bus.DecodeError},
		"a second open":             {wire.AppendFrame(nil, 0, 0, &wire.Open{}), bus.FramingError},
		"a second begin":            {wire.AppendFrame(nil, 0, 0, &wire.Begin{}), bus.FramingError},
		"a begin that answers":      {wire.AppendFrame(nil, 0, 1, &wire.Begin{RemoteChannel: wire.Some(0)}), bus.FramingError},
		"a channel too high":        {wire.AppendFrame(nil, 0, 64, &wire.Begin{}), bus.FramingError},
		"no session":                {wire.AppendFrame(nil, 0, 1, &wire.End{}), bus.FramingError},
		"a handle too high":         {wire.AppendFrame(nil, 0, 0, &wire.Attach{Handle: 256}), bus.FramingError},
		"SASL":                      {wire.AppendFrame(nil, 0, 0, &wire.Outcome{}), bus.DecodeError},
	} {
		t.Run(name, func(t *testing.T) {
			r := s.raw(t)
			r.write(c.bytes)
			if got := expect[*wire.Close](r).Error; got == nil || got.Name != c.want {
				t.Errorf("%v", got)
			}
			r.send(0, &wire.Close{})
			r.ended()
		})
	}
	eventually(t, "all are gone", func() bool { s := s.Stats(); return s.Connections == 0 && s.Sessions == 0 && s.Links == 0 })
}

func TestOpenErrors(t *testing.T) {
	s := serve(t, nil)
	for want, open := range map[string]*wire.Open{
		bus.InvalidField: {MaxFrameSize: 511, ChannelMax: 1}, bus.NotAllowed: {MaxFrameSize: 512, IdleTimeout: 1},
	} {
		r := s.dialRaw(t)
		r.open(open)
		if got := expect[*wire.Close](r).Error; got == nil || got.Name != want {
			t.Errorf("%v, not %s", got, want)
		}
		r.ended()
	}
	r := s.dialRaw(t)
	r.login()
	r.write(amqpHeader)
	r.header(amqpHeader)
	r.send(0, &wire.Begin{})
	expect[*wire.Open](r)
	if got := expect[*wire.Close](r).Error; got == nil || got.Name != bus.FramingError {
		t.Errorf("a begin before the open: %v", got)
	}
}

// What is wrong with a session ends it, and not its connection.
func TestSessionErrors(t *testing.T) {
	s := serve(t, nil)
	for name, c := range map[string]struct {
		frames []wire.Performative
		want   string
	}{
		"a transfer without a link":    {[]wire.Performative{&wire.Transfer{Handle: 7}}, bus.UnattachedHandle},
		"a transfer on a receiver":     {[]wire.Performative{&wire.Transfer{Handle: 1}}, bus.UnattachedHandle},
		"a flow without a link":        {[]wire.Performative{&wire.Flow{Handle: wire.Some(7)}}, bus.UnattachedHandle},
		"a detach without a link":      {[]wire.Performative{&wire.Detach{Handle: 7}}, bus.UnattachedHandle},
		"a handle that is in use":      {[]wire.Performative{&wire.Attach{Handle: 1, Name: "x"}}, bus.HandleInUse},
		"a backward disposition":       {[]wire.Performative{&wire.Disposition{Receiver: true, First: 9, Last: wire.Some(1)}}, bus.InvalidField},
		"what both sides have refused": {[]wire.Performative{&wire.Attach{Handle: 200, Name: "x"}}, bus.NotAllowed},
	} {
		t.Run(name, func(t *testing.T) {
			r := s.dialRaw(t)
			r.open(&wire.Open{ContainerID: "raw", MaxFrameSize: 1 << 20, ChannelMax: 100})
			r.send(0, &wire.Begin{IncomingWindow: 1000, OutgoingWindow: 1000, HandleMax: 10})
			expect[*wire.Begin](r)
			r.sender(0, "a")
			r.receiver(1, "a")
			for _, p := range c.frames {
				r.send(0, p)
			}
			if got := expect[*wire.End](r).Error; got == nil || got.Name != c.want {
				t.Errorf("%v", got)
			}
			r.send(0, &wire.Flow{}) // is ignored until the end is answered
			r.send(0, &wire.End{})
			r.send(0, &wire.Begin{})
			expect[*wire.Begin](r)
			r.send(0, &wire.Close{})
			expect[*wire.Close](r)
			r.ended()
		})
	}
}

// The window closes with the memory: a peer that goes on nevertheless loses its session, one that waits goes on when the node
// has taken what there was.
func TestWindow(t *testing.T) {
	nodes := &slow{newBroker(), make(chan struct{})}
	s := serve(t, func(o *listener.Options) { o.Nodes, o.Limits.Memory = nodes, 128<<10 })
	fill := func() *raw {
		r := s.raw(t)
		r.sender(0, "a")
		for id := range uint32(2) {
			r.send(0, &wire.Transfer{DeliveryID: wire.Some(id), Tag: []byte{1}}, payload(t, &bus.Message{Body: make([]byte, 60_000)})...)
		}
		return r
	}
	r := fill()
	r.send(0, &wire.Transfer{DeliveryID: wire.Some(2), Tag: []byte{1}}, 0)
	if got := expect[*wire.End](r).Error; got == nil || got.Name != bus.WindowViolation {
		t.Errorf("%v", got)
	}
	r = fill()
	r.send(0, &wire.Flow{IncomingWindow: 10, Echo: true})
	if f := expect[*wire.Flow](r); f.IncomingWindow != 0 {
		t.Errorf("%+v", f)
	}
	close(nodes.let)
	for {
		p, _, err := r.frame()
		if err != nil {
			t.Fatal(err)
		}
		if f, ok := p.(*wire.Flow); ok && f.IncomingWindow > 0 {
			return
		}
	}
}

// A session whose window closed because of what another holds goes on when that has been taken.
func TestWindowOfAnotherSession(t *testing.T) {
	nodes := &slow{newBroker(), make(chan struct{})}
	s := serve(t, func(o *listener.Options) { o.Nodes, o.Limits.Memory = nodes, 128<<10 })
	r := s.raw(t)
	r.sender(0, "a")
	for id := range uint32(2) {
		r.send(0, &wire.Transfer{DeliveryID: wire.Some(id), Tag: []byte{1}}, payload(t, &bus.Message{Body: make([]byte, 60_000)})...)
	}
	r.send(1, &wire.Begin{IncomingWindow: 10})
	if b := expect[*wire.Begin](r); b.IncomingWindow != 0 {
		t.Fatalf("%+v", b)
	}
	close(nodes.let)
	head := make([]byte, wire.HeaderSize)
	for {
		if _, err := io.ReadFull(r.conn, head); err != nil {
			t.Fatal(err)
		}
		h, err := wire.ParseHeader(head)
		if err != nil {
			t.Fatal(err)
		}
		body := make([]byte, h.Size-wire.HeaderSize)
		if _, err := io.ReadFull(r.conn, body); err != nil {
			t.Fatal(err)
		}
		p, _, err := r.parser.Parse(h.Type, body)
		if f, ok := p.(*wire.Flow); err == nil && ok && h.Channel == 1 && f.IncomingWindow > 0 {
			return
		}
	}
}

// What is wrong with a link detaches it, and not its session.
func TestLinkErrors(t *testing.T) {
	s := serve(t, func(o *listener.Options) { o.Limits.MessageSize, o.Limits.Credit = 1000, 4 })
	first := func(id uint32) *wire.Transfer {
		return &wire.Transfer{DeliveryID: wire.Some(id), Tag: []byte{byte(id)}, More: true}
	}
	for name, c := range map[string]struct {
		do   func(r *raw)
		want string
	}{
		"no delivery-id": {func(r *raw) { r.send(0, &wire.Transfer{}) }, bus.InvalidField},
		"two at once":    {func(r *raw) { r.send(0, first(0)); r.send(0, first(1)) }, bus.InvalidField},
		"too large":      {func(r *raw) { r.send(0, first(0), make([]byte, 900)...); r.send(0, first(0), make([]byte, 101)...) }, bus.MessageTooLarge},
		"a transaction": {func(r *raw) {
			b := wire.AppendFrame(nil, 0, 0, &wire.Transfer{})
			// The state is the seventh field: transactional-state, an empty list.
			body := []byte{0, 0x53, 0x14, 0xc0, 15, 8, 0x43, 0x43, 0xa0, 1, 1, 0x43, 0x42, 0x42, 0x40, 0, 0x53, 0x34, 0x45}
			body[4] = byte(len(body) - 5)
			r.write(wire.CloseFrame(append(b[:8:8], body...), 0))
		}, bus.NotImplemented},
		"no credit": {func(r *raw) {
			for id := range uint32(4) {
				m := first(id)
				m.More, m.Settled = true, true
				r.send(0, m)
				m.More, m.Aborted = false, true
				r.send(0, m)
			}
			// The credit that came meanwhile is used up as well.
			for id := uint32(4); id < 100; id++ {
				r.send(0, &wire.Transfer{DeliveryID: wire.Some(id), Tag: []byte{1}, Settled: true}, 0x40)
			}
		}, bus.TransferLimit},
	} {
		t.Run(name, func(t *testing.T) {
			r := s.raw(t)
			r.sender(0, "a")
			c.do(r)
			got := expect[*wire.Detach](r)
			if got.Error == nil || got.Error.Name != c.want || !got.Closed {
				t.Errorf("%+v", got.Error)
			}
			r.send(0, &wire.Detach{Handle: 0, Closed: true})
			r.sender(0, "b") // the handle is free again
		})
	}
}

func TestRefusedAttaches(t *testing.T) {
	s := serve(t, nil)
	r := s.raw(t)
	for want, p := range map[string]*wire.Attach{
		bus.NotImplemented: {Name: "coordinator", Source: &wire.Source{}, Coordinator: true},
		bus.InvalidField:   {Name: "nowhere", Source: &wire.Source{}},
		bus.NotFound:       {Name: "missing", Receiver: true, Source: &wire.Source{Address: "missing"}},
		bus.Unauthorized:   {Name: "secret", Target: &wire.Target{Address: "secret"}},
	} {
		r.send(0, p)
		answer := expect[*wire.Attach](r)
		if p.Receiver && answer.Source != nil || !p.Receiver && answer.Target != nil {
			t.Errorf("%s: %+v", p.Name, answer)
		}
		if d := expect[*wire.Detach](r); d.Error == nil || d.Error.Name != want || !d.Closed {
			t.Errorf("%s: %+v", p.Name, d.Error)
		}
		r.send(0, &wire.Detach{Closed: true})
	}
	r.sender(0, "a")
}

// A link of the same name takes the place of the one before (AMQP 1.0, 2.6.1).
func TestStolenLink(t *testing.T) {
	s := serve(t, nil)
	r := s.raw(t)
	r.receiver(0, "a")
	r.send(0, &wire.Attach{Name: "a-in", Handle: 1, Receiver: true, Source: &wire.Source{Address: "a"}})
	if d := expect[*wire.Detach](r); d.Handle != 0 || d.Error == nil || d.Error.Name != bus.LinkStolen {
		t.Errorf("%+v", d)
	}
	if a := expect[*wire.Attach](r); a.Handle != 1 || a.Source == nil {
		t.Errorf("%+v", a)
	}
}

// Messages in many frames, of two links in turns, aborted, settled in the last frame, and one that is none.
func TestTransfers(t *testing.T) {
	s := serve(t, nil)
	r := s.raw(t)
	r.sender(0, "a")
	r.sender(1, "b")
	whole := payload(t, &bus.Message{Body: []byte("a message in parts")})
	for i, b := range whole {
		more := i < len(whole)-1
		for handle := range uint32(2) {
			p := &wire.Transfer{Handle: handle, More: more, Settled: !more && handle == 1}
			if i == 0 {
				p.DeliveryID, p.Tag = wire.Some(handle), []byte{1}
			}
			r.send(0, p, b)
		}
	}
	if d := expect[*wire.Disposition](r); d.First != 0 || !d.Settled || d.State.Kind != wire.Terminal {
		t.Errorf("%+v", d)
	}
	r.send(0, &wire.Transfer{DeliveryID: wire.Some(2), Tag: []byte{2}, More: true}, whole...)
	r.send(0, &wire.Transfer{Aborted: true})
	r.send(0, &wire.Transfer{DeliveryID: wire.Some(3), Tag: []byte{3}}, 1, 2, 3)
	d := expect[*wire.Disposition](r)
	if d.First != 3 || d.State.Outcome.Outcome != bus.Rejected || d.State.Outcome.Condition.Name != bus.DecodeError {
		t.Errorf("%+v", d)
	}
	for _, address := range []string{"a", "b"} {
		eventually(t, "it is there", func() bool { return s.broker.queue(address).len() == 1 })
		if m, _ := s.broker.queue(address).get(); string(m.Body) != "a message in parts" {
			t.Errorf("%q", m.Body)
		}
	}
}

// A bare message goes through byte for byte, in forms that nobody here would write.
func TestBareMessage(t *testing.T) {
	s := serve(t, nil)
	r := s.raw(t)
	r.sender(0, "a")
	bare := append(append([]byte{0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0x73, 0xd0, 0, 0, 0, 7, 0, 0, 0, 1, 0xa1, 1, 'i'}, 0, 0xa3, 16), "amqp:data:binary"...)
	bare = append(bare, 0xb0, 0, 0, 0, 1, 'x')
	r.send(0, &wire.Transfer{DeliveryID: wire.Some(0), Tag: []byte{1}}, append([]byte{0, 0x53, 0x70, 0xc0, 2, 1, 0x41}, bare...)...)
	expect[*wire.Disposition](r)
	r.receiver(1, "a")
	r.credit(1, 0, 1, false)
	_, got := expectPayload[*wire.Transfer](r)
	if !bytes.HasSuffix(got, bare) || bytes.Equal(got, bare) {
		t.Errorf("%x became %x", bare, got)
	}
}

// Every drain is answered with a flow, with credit and without; an echo, too.
func TestFlows(t *testing.T) {
	s := serve(t, nil)
	r := s.raw(t)
	r.receiver(0, "a")
	r.credit(0, 0, 0, true)
	if f := expect[*wire.Flow](r); !f.Drain || f.DeliveryCount.V != 0 || f.LinkCredit.V != 0 {
		t.Errorf("%+v", f)
	}
	s.broker.queue("a").put(&bus.Message{Body: []byte("x")})
	r.credit(0, 0, 5, true)
	if m := expect[*wire.Transfer](r); m.DeliveryID.V != 0 || len(m.Tag) == 0 || !m.Format.Set {
		t.Errorf("%+v", m)
	}
	if f := expect[*wire.Flow](r); !f.Drain || f.DeliveryCount.V != 5 || f.LinkCredit.V != 0 {
		t.Errorf("%+v", f)
	}
	r.send(0, &wire.Flow{NextIncomingID: wire.Some(1), IncomingWindow: 10, Handle: wire.Some(0), DeliveryCount: wire.Some(5), LinkCredit: wire.Some(3), Echo: true})
	if f := expect[*wire.Flow](r); f.Drain || f.LinkCredit.V != 3 || f.NextIncomingID.V != 0 || f.NextOutgoingID != 1 {
		t.Errorf("%+v", f)
	}
	r.send(0, &wire.Flow{IncomingWindow: 10, Echo: true})
	if f := expect[*wire.Flow](r); f.Handle.Set {
		t.Errorf("%+v", f)
	}
	// Credit that is taken back while the source is asked is not used.
	r.credit(0, 5, 0, false)
	r.send(0, &wire.Flow{IncomingWindow: 10, Echo: true})
	expect[*wire.Flow](r)
	s.broker.queue("a").put(&bus.Message{Body: []byte("y")})
	r.send(0, &wire.Flow{IncomingWindow: 10, Echo: true})
	if f := expect[*wire.Flow](r); f.NextOutgoingID != 1 {
		t.Errorf("it was sent without credit: %+v", f)
	}
	r.credit(0, 5, 1, false)
	expect[*wire.Transfer](r)
}

// Transfers stop when the session's window is closed, and go on when it opens.
func TestOutgoingWindow(t *testing.T) {
	s := serve(t, nil)
	for i := range 10 {
		s.broker.queue("a").put(&bus.Message{Body: fmt.Appendf(nil, "%d", i)})
	}
	r := s.raw(t)
	r.send(0, &wire.Flow{NextIncomingID: wire.Some(0), IncomingWindow: 3, OutgoingWindow: 1})
	r.receiver(0, "a")
	r.send(0, &wire.Flow{NextIncomingID: wire.Some(0), IncomingWindow: 3, OutgoingWindow: 1, Handle: wire.Some(0), LinkCredit: wire.Some(100)})
	for id := range uint32(10) {
		if m := expect[*wire.Transfer](r); m.DeliveryID.V != id {
			t.Fatalf("%+v", m)
		}
		if id%3 == 2 {
			r.send(0, &wire.Flow{NextIncomingID: wire.Some(id + 1), IncomingWindow: 0, OutgoingWindow: 1, Echo: true})
			if f := expect[*wire.Flow](r); f.NextOutgoingID != id+1 {
				t.Errorf("%d transfers in a window of %d", f.NextOutgoingID, id+1)
			}
			r.send(0, &wire.Flow{NextIncomingID: wire.Some(id + 1), IncomingWindow: 3, OutgoingWindow: 1})
		}
	}
}

// A disposition for a range that nobody could count through is as quick as any.
func TestHugeDisposition(t *testing.T) {
	s := serve(t, nil)
	for range 20 {
		s.broker.queue("a").put(&bus.Message{Body: []byte("x")})
	}
	r := s.raw(t)
	r.receiver(0, "a")
	r.credit(0, 0, 20, false)
	for range 20 {
		expect[*wire.Transfer](r)
	}
	accepted := wire.OutcomeState(bus.Disposition{})
	r.send(0, &wire.Disposition{Receiver: true, First: 5, Last: wire.Some(5 + math.MaxInt32), Settled: true, State: accepted})
	eventually(t, "those are accepted", func() bool { return s.broker.queue("a").outcomes(bus.Accepted) == 15 })
	r.send(0, &wire.Disposition{Receiver: true, First: math.MaxUint32, Last: wire.Some(4), Settled: true})
	// Without an outcome it is the default one of the source, released.
	eventually(t, "the others are released", func() bool { return s.broker.queue("a").outcomes(bus.Released) == 5 })
}

// What a link held comes to others when it is detached, or its connection lost.
func TestUnsettledComesBack(t *testing.T) {
	s := serve(t, nil)
	q := s.broker.queue("a")
	q.put(&bus.Message{Body: []byte("x")})
	for _, end := range []func(r *raw){
		func(r *raw) { r.send(0, &wire.Detach{Closed: true}); expect[*wire.Detach](r) },
		func(r *raw) { r.send(0, &wire.End{}); expect[*wire.End](r) },
		func(r *raw) { r.send(0, &wire.Close{}); expect[*wire.Close](r) },
		func(r *raw) { _ = r.conn.Close() },
	} {
		r := s.raw(t)
		r.receiver(0, "a")
		r.credit(0, 0, 10, false)
		expect[*wire.Transfer](r)
		end(r)
		eventually(t, "the message is back", func() bool { return q.len() == 1 })
	}
}

// slow are nodes that answer when they are told to.
type slow struct {
	*broker
	let chan struct{}
}

func (s *slow) Source(ctx context.Context, q bus.SourceRequest) (bus.Source, error) {
	select {
	case <-s.let:
		return s.broker.Source(ctx, q)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *slow) Target(ctx context.Context, q bus.TargetRequest) (bus.Target, error) {
	if q.Address == "quick" {
		return s.broker.Target(ctx, q)
	}
	target, err := s.broker.Target(ctx, q)
	return &slowTarget{target, s.let}, err
}

type slowTarget struct {
	bus.Target
	let chan struct{}
}

func (s *slowTarget) Put(ctx context.Context, m *bus.Message) bus.Disposition {
	select {
	case <-s.let:
		return s.Target.Put(ctx, m)
	case <-ctx.Done():
		return bus.Disposition{Outcome: bus.Released}
	}
}

// A detach, or an end, that comes before the attach is answered.
func TestDetachWhileAttaching(t *testing.T) {
	nodes := &slow{newBroker(), make(chan struct{})}
	s := serve(t, func(o *listener.Options) { o.Nodes = nodes })
	r := s.raw(t)
	attach := &wire.Attach{Name: "a", Receiver: true, Source: &wire.Source{Address: "a"}}
	r.send(0, attach)
	r.send(0, &wire.Flow{IncomingWindow: 10, Handle: wire.Some(0), DeliveryCount: wire.Some(0), LinkCredit: wire.Some(0)})
	r.send(0, &wire.Detach{Closed: true})
	expect[*wire.Attach](r)
	expect[*wire.Detach](r)
	r.send(0, attach)
	r.send(0, &wire.End{})
	expect[*wire.End](r)
	r.send(0, &wire.Begin{IncomingWindow: 10})
	expect[*wire.Begin](r)
	r.send(0, attach)
	close(nodes.let)
	if a := expect[*wire.Attach](r); a.Source == nil {
		t.Error("it was refused")
	}
}

// A node that takes its time stops its link, not the connection.
func TestSlowNode(t *testing.T) {
	nodes := &slow{newBroker(), make(chan struct{})}
	s := serve(t, func(o *listener.Options) { o.Nodes = nodes })
	r := s.raw(t)
	r.sender(0, "a")
	r.sender(1, "quick")
	for id := range uint32(10) {
		r.send(0, &wire.Transfer{Handle: 0, DeliveryID: wire.Some(2 * id), Tag: []byte{1}}, payload(t, &bus.Message{})...)
		r.send(0, &wire.Transfer{Handle: 1, DeliveryID: wire.Some(2*id + 1), Tag: []byte{1}}, payload(t, &bus.Message{})...)
		if d := expect[*wire.Disposition](r); d.First != 2*id+1 {
			t.Errorf("%+v", d)
		}
	}
	close(nodes.let)
	for id := range uint32(10) {
		if d := expect[*wire.Disposition](r); d.First != 2*id {
			t.Errorf("%+v", d)
		}
	}
}

// A node that does not take a message ends with its link, though not at once.
func TestSlowNodeOfALinkThatEnds(t *testing.T) {
	nodes := &slow{newBroker(), make(chan struct{})}
	s := serve(t, func(o *listener.Options) { o.Nodes, o.Limits.Close = nodes, 100*time.Millisecond })
	r := s.raw(t)
	before := runtime.NumGoroutine()
	for range 50 {
		r.sender(0, "a")
		r.send(0, &wire.Transfer{DeliveryID: wire.Some(0), Tag: []byte{1}}, payload(t, &bus.Message{})...)
		r.send(0, &wire.Detach{Closed: true})
		expect[*wire.Detach](r)
	}
	eventually(t, "they have ended", func() bool { return runtime.NumGoroutine() <= before })
}

// A peer that wants to see something is sent empty frames.
func TestKeptAlive(t *testing.T) {
	s := serve(t, nil)
	r := s.dialRaw(t)
	r.open(&wire.Open{MaxFrameSize: 512, IdleTimeout: 100})
	for range 4 {
		if p, _, err := r.frame(); p != nil || err != nil {
			t.Fatalf("%#v, %v", p, err)
		}
	}
}

// A peer that is silent is cut off with a word. Empty frames count as signs of life.
func TestIdle(t *testing.T) {
	s := serve(t, func(o *listener.Options) { o.Limits.Idle = time.Second })
	silent, lively := s.dialRaw(t), s.dialRaw(t)
	if open := silent.open(&wire.Open{MaxFrameSize: 512}); open.IdleTimeout != 500 {
		t.Errorf("the idle time-out is %d", open.IdleTimeout)
	}
	lively.open(&wire.Open{MaxFrameSize: 512, ChannelMax: 1})
	done := make(chan struct{})
	go func() {
		defer close(done)
		if c := expect[*wire.Close](silent); c.Error == nil || c.Error.Name != bus.LimitExceeded {
			t.Errorf("%+v", c.Error)
		}
		silent.ended()
	}()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for open := true; open; {
		select {
		case <-tick.C:
			lively.write(wire.AppendEmpty(nil))
		case <-done:
			open = false
		}
	}
	lively.send(0, &wire.Begin{})
	expect[*wire.Begin](lively)
	if got := s.Stats().Refused[listener.Idle.String()]; got != 1 {
		t.Errorf("%d were counted", got)
	}
}

func TestForcedClose(t *testing.T) {
	s := serve(t, nil)
	r := s.raw(t)
	r.receiver(0, "a")
	open := s.Connections()
	if len(open) != 1 || open[0].User != "ann" || open[0].Container != "raw" || open[0].Sessions != 1 || len(open[0].Links) != 1 ||
		open[0].Links[0].Address != "a" || !open[0].Links[0].Sending {
		t.Fatalf("%+v", open)
	}
	if s.CloseConnection("nobody", "") || !s.CloseConnection(open[0].ID, "by hand") {
		t.Error("the wrong one was closed")
	}
	if c := expect[*wire.Close](r); c.Error == nil || c.Error.Name != bus.ConnectionForced || c.Error.Description != "by hand" {
		t.Errorf("%+v", c.Error)
	}
	// A peer that does not answer is not waited for long.
	eventually(t, "it is gone", func() bool { return s.Stats().Connections == 0 })
}

// Nothing comes after a close, however much there is to be sent.
func TestNothingAfterClose(t *testing.T) {
	s := serve(t, nil)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			s.broker.queue("a").put(&bus.Message{Body: []byte("x")})
		}
	}()
	r := s.raw(t)
	r.receiver(0, "a")
	r.credit(0, 0, 900, false)
	expect[*wire.Transfer](r)
	r.send(0, &wire.Close{})
	closed := false
	for {
		p, _, err := r.frame()
		if err != nil {
			break
		}
		if closed {
			t.Fatalf("%#v came after the close", p)
		}
		_, closed = p.(*wire.Close)
	}
	if !closed {
		t.Error("the close was not answered")
	}
}

// An error whose words do not fit into a frame of the peer is told without them.
func TestLongDescription(t *testing.T) {
	s := serve(t, nil)
	r := s.dialRaw(t)
	r.open(&wire.Open{MaxFrameSize: 512, ChannelMax: 1})
	if !s.CloseConnection(s.Connections()[0].ID, strings.Repeat("x", 1000)) {
		t.Fatal("nothing was closed")
	}
	if c := expect[*wire.Close](r); c.Error == nil || c.Error.Name != bus.ConnectionForced || c.Error.Description != "" {
		t.Errorf("%+v", c.Error)
	}
}

// Links count by what they need, long names and filters included.
func TestLinksTakeMemory(t *testing.T) {
	s := serve(t, func(o *listener.Options) { o.Limits.Memory = 1 << 20 })
	r := s.raw(t)
	attach := func(handle uint32, name string) bool {
		r.send(0, &wire.Attach{Name: name, Handle: handle, Receiver: true, Source: &wire.Source{Address: "a"}})
		return expect[*wire.Attach](r).Source != nil
	}
	if !attach(0, strings.Repeat("x", 60_000)) || !attach(1, strings.Repeat("y", 60_000)) || attach(2, strings.Repeat("z", 60_000)) {
		t.Error("three links of 60,000 bytes were not two")
	}
	if d := expect[*wire.Detach](r); d.Handle != 2 || d.Error == nil || d.Error.Name != bus.LimitExceeded {
		t.Errorf("%+v", d)
	}
	for _, handle := range []uint32{0, 2} {
		r.send(0, &wire.Detach{Handle: handle, Closed: true})
	}
	expect[*wire.Detach](r)
	if !attach(3, "a") {
		t.Error("what was given back is not there")
	}
}

// A message that is too large for its receiver is not sent to it.
func TestReceiverWithALimit(t *testing.T) {
	s := serve(t, nil)
	r := s.raw(t)
	s.broker.queue("a").put(&bus.Message{Body: make([]byte, 2000)}, &bus.Message{Body: []byte("x")})
	r.send(0, &wire.Attach{Name: "a", Receiver: true, Source: &wire.Source{Address: "a"}, MaxMessageSize: 1000})
	expect[*wire.Attach](r)
	r.credit(0, 0, 10, false)
	if _, b := expectPayload[*wire.Transfer](r); len(b) > 1000 {
		t.Errorf("%d bytes came", len(b))
	}
	if got := s.broker.queue("a").outcomes(bus.Rejected); got != 1 {
		t.Errorf("%d were rejected", got)
	}
}

func TestTooManyLinks(t *testing.T) {
	s := serve(t, func(o *listener.Options) { o.Limits.LinksPerSecond = 20 })
	r := s.raw(t)
	begin := time.Now()
	for range 60 {
		r.send(0, &wire.Attach{Name: "a", Target: &wire.Target{Address: "a"}})
		expect[*wire.Attach](r)
		r.send(0, &wire.Detach{Closed: true})
		expect[*wire.Detach](r)
	}
	if passed := time.Since(begin); passed < 900*time.Millisecond {
		t.Errorf("60 links took %v only", passed)
	}
	if got := s.Stats().Refused[listener.TooManyLinks.String()]; got == 0 {
		t.Error("nobody had to wait")
	}
}
