package wire

import (
	"encoding/binary"
	"math"

	"clacks/bus"
)

// The sizes of frames (AMQP 1.0, 2.3).
const (
	HeaderSize   = 8
	MinFrameSize = 512 // every peer takes frames of this size
)

// The types of frames.
const (
	FrameAMQP = 0
	FrameSASL = 1
)

// Header is that of a frame.
type Header struct {
	Size    uint32 // of the frame, with this header
	Offset  int    // of the body, in bytes
	Type    uint8
	Channel uint16
}

// ParseHeader reads the header of a frame from b, which has HeaderSize bytes at least. A frame that is smaller than its
// own header is amqp:connection:framing-error.
func ParseHeader(b []byte) (Header, error) {
	h := Header{
		Size: binary.BigEndian.Uint32(b), Offset: int(b[4]) * 4, Type: b[5], Channel: binary.BigEndian.Uint16(b[6:]),
	}
	if h.Offset < HeaderSize || uint64(h.Offset) > uint64(h.Size) {
		return h, &bus.Condition{Name: bus.FramingError, Description: "the header of a frame contradicts itself"}
	}
	return h, nil
}

// AppendFrame appends a frame of this type. What follows it in b as its payload is counted by CloseFrame.
func AppendFrame(b []byte, kind uint8, channel uint16, p Performative) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0, HeaderSize/4, kind, byte(channel>>8), byte(channel))
	b = p.Append(b)
	return CloseFrame(b, start)
}

// CloseFrame writes the size of the frame that begins at start and ends with b.
func CloseFrame(b []byte, start int) []byte {
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start))
	return b
}

// AppendEmpty appends a frame without a body, which keeps a connection alive.
func AppendEmpty(b []byte) []byte {
	return append(b, 0, 0, 0, HeaderSize, HeaderSize/4, FrameAMQP, 0, 0)
}

// Parser decodes the bodies of frames. Flow, Transfer and Disposition are its own: they hold until the next Parse. It is
// for one goroutine.
type Parser struct {
	flow        Flow
	transfer    Transfer
	disposition Disposition
}

// Parse decodes the body of a frame: one performative, and the payload behind it. The tag of a transfer and the payload are
// parts of body, everything else is a copy. What is wrong is a *bus.Condition, amqp:decode-error.
func (p *Parser) Parse(kind uint8, body []byte) (Performative, []byte, error) {
	r := NewReader(body)
	id, name := r.descriptor()
	r.own = id != idTransfer
	f := r.open()
	var performative Performative
	if r.err == nil {
		if kind == FrameSASL {
			performative = sasl(id, &f)
		} else {
			performative = p.amqp(id, &f)
		}
	}
	if performative == nil && r.err == nil {
		r.fail("%#x %s is no performative", id, name)
	}
	f.close()
	if err := r.Err(); err != nil {
		return nil, nil, err
	}
	if _, transfer := performative.(*Transfer); !transfer && len(r.Rest()) > 0 {
		return nil, nil, bad("a payload where there is none")
	}
	return performative, r.Rest(), nil
}

func (p *Parser) amqp(id uint64, f *fields) Performative {
	switch id {
	case idTransfer:
		p.transfer.decode(f)
		return &p.transfer
	case idFlow:
		p.flow.decode(f)
		return &p.flow
	case idDisposition:
		p.disposition.decode(f)
		return &p.disposition
	case idAttach:
		return decodeAttach(f)
	case idDetach:
		d := &Detach{}
		d.Handle, d.Closed, d.Error = f.number("handle"), f.bool(false), f.condition()
		return d
	case idBegin:
		return decodeBegin(f)
	case idEnd:
		return &End{f.condition()}
	case idOpen:
		return decodeOpen(f)
	case idClose:
		return &Close{f.condition()}
	}
	return nil
}

// number is a number that has to be there.
func (f *fields) number(name string) uint32 {
	if !f.must(name) {
		return 0
	}
	return f.r.Uint()
}

func (p *Transfer) decode(f *fields) {
	*p = Transfer{Handle: f.number("handle"), DeliveryID: f.uint(), Tag: f.binary(), Format: f.uint(), Settled: f.bool(false), More: f.bool(false)}
	f.ubyte(0) // rcv-settle-mode: that of the link
	p.State = f.state()
	f.bool(false) // resume
	p.Aborted = f.bool(false)
	f.bool(false) // batchable
	if len(p.Tag) > 32 {
		f.r.fail("a delivery-tag of %d bytes", len(p.Tag))
	}
}

func (p *Flow) decode(f *fields) {
	*p = Flow{
		NextIncomingID: f.uint(), IncomingWindow: f.number("incoming-window"), NextOutgoingID: f.number("next-outgoing-id"),
		OutgoingWindow: f.number("outgoing-window"), Handle: f.uint(), DeliveryCount: f.uint(), LinkCredit: f.uint(),
		Available: f.uint(), Drain: f.bool(false), Echo: f.bool(false),
	}
	f.skip() // properties
}

func (p *Disposition) decode(f *fields) {
	*p = Disposition{}
	if f.must("role") {
		p.Receiver = f.r.Bool()
	}
	p.First, p.Last, p.Settled, p.State = f.number("first"), f.uint(), f.bool(false), f.state()
	f.bool(false) // batchable
}

func decodeOpen(f *fields) *Open {
	p := &Open{}
	if f.must("container-id") {
		p.ContainerID = f.r.Text()
	}
	p.Hostname, p.MaxFrameSize = f.text(), f.uint().Or(math.MaxUint32)
	p.ChannelMax, p.IdleTimeout = f.ushort(math.MaxUint16), f.uint().V
	f.skip()
	f.skip()
	p.Offered, p.Desired, p.Properties = f.symbols(), f.symbols(), f.properties()
	return p
}

func decodeBegin(f *fields) *Begin {
	p := &Begin{}
	if f.next() {
		p.RemoteChannel = Some(uint32(f.r.Ushort()))
	}
	p.NextOutgoingID, p.IncomingWindow = f.number("next-outgoing-id"), f.number("incoming-window")
	p.OutgoingWindow, p.HandleMax = f.number("outgoing-window"), f.uint().Or(math.MaxUint32)
	p.Offered, p.Desired, p.Properties = f.symbols(), f.symbols(), f.properties()
	return p
}

func decodeAttach(f *fields) *Attach {
	p := &Attach{}
	if f.must("name") {
		p.Name = f.r.Text()
	}
	p.Handle = f.number("handle")
	if f.must("role") {
		p.Receiver = f.r.Bool()
	}
	p.SenderSettleMode, p.ReceiverSettleMode = f.ubyte(SenderMixed), f.ubyte(ReceiverFirst)
	p.Source = f.source()
	p.Target, p.Coordinator = f.target()
	f.skip() // unsettled
	f.bool(false)
	p.InitialDeliveryCount, p.MaxMessageSize = f.uint(), f.ulong()
	p.Offered, p.Desired, p.Properties = f.symbols(), f.symbols(), f.properties()
	if p.SenderSettleMode > SenderMixed || p.ReceiverSettleMode > ReceiverSecond {
		f.r.fail("there is no such settle mode")
	}
	return p
}

func sasl(id uint64, f *fields) Performative {
	switch id {
	case idMechanisms:
		return &Mechanisms{f.symbols()}
	case idInit:
		p := &Init{}
		if f.must("mechanism") {
			p.Mechanism = bus.Symbol(f.r.Text())
		}
		p.Response, p.Hostname = f.binary(), f.text()
		return p
	case idChallenge:
		return &Challenge{f.binary()}
	case idResponse:
		return &Response{f.binary()}
	case idOutcome:
		p := &Outcome{}
		if f.must("code") {
			p.Code = f.r.Ubyte()
		}
		p.Additional = f.binary()
		return p
	}
	return nil
}
