package remote_test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"slices"
	"testing"

	"clacks/bus/wire"
)

// counter is a subscriber that does as little as one can: it asks for everything at once, and counts the transfers that come.
// So the servers are compared, and not what a client library does with a message.
type counter struct {
	socket net.Conn
	in     *bufio.Reader
	body   []byte
}

// newCounter attaches a counter to an address of a side.
func newCounter(b *testing.B, s side) *counter {
	b.Helper()
	u, err := url.Parse(s.url)
	if err != nil {
		b.Fatal(err)
	}
	socket, err := net.Dial("tcp", u.Host)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = socket.Close() })
	c := &counter{socket: socket, in: bufio.NewReaderSize(socket, 64<<10)}
	if err := c.open(s); err != nil {
		b.Fatal(err)
	}
	return c
}

const (
	headerSASL = "AMQP\x03\x01\x00\x00"
	headerAMQP = "AMQP\x00\x01\x00\x00"
	all        = 1 << 30
)

// open logs in and attaches, without waiting for more than it must.
func (c *counter) open(s side) error {
	login := wire.AppendFrame([]byte(headerSASL), wire.FrameSASL, 0,
		&wire.Init{Mechanism: "PLAIN", Response: []byte("\x00" + s.user + "\x00" + s.pass), Hostname: "localhost"})
	if _, err := c.socket.Write(login); err != nil {
		return err
	}
	if err := c.skip(headerSASL, 2); err != nil { // mechanisms, outcome
		return err
	}
	source := &wire.Source{Address: s.group}
	attach := []byte(headerAMQP)
	for _, p := range []wire.Performative{
		&wire.Open{ContainerID: c.socket.LocalAddr().String(), Hostname: "localhost", MaxFrameSize: 64 << 10},
		&wire.Begin{IncomingWindow: all, OutgoingWindow: all, HandleMax: 10},
		&wire.Attach{Name: "counter", Receiver: true, SenderSettleMode: wire.SenderSettled, Source: source, Target: &wire.Target{}},
	} {
		attach = wire.AppendFrame(attach, wire.FrameAMQP, 0, p)
	}
	if _, err := c.socket.Write(attach); err != nil {
		return err
	}
	if err := c.skip(headerAMQP, 3); err != nil { // open, begin, attach
		return err
	}
	credit := &wire.Flow{IncomingWindow: all, OutgoingWindow: all, Handle: wire.Some(0), DeliveryCount: wire.Some(0), LinkCredit: wire.Some(all)}
	_, err := c.socket.Write(wire.AppendFrame(nil, wire.FrameAMQP, 0, credit))
	return err
}

// skip reads a protocol header and so many frames.
func (c *counter) skip(header string, frames int) error {
	got := make([]byte, len(header))
	if _, err := io.ReadFull(c.in, got); err != nil {
		return err
	}
	if string(got) != header {
		return errors.New("the server wants another protocol: " + string(got))
	}
	for range frames {
		if _, err := c.frame(); err != nil {
			return err
		}
	}
	return nil
}

// frame reads a frame and says whether it is the transfer of a message.
func (c *counter) frame() (bool, error) {
	var size [4]byte
	if _, err := io.ReadFull(c.in, size[:]); err != nil {
		return false, err
	}
	n := int(binary.BigEndian.Uint32(size[:])) - len(size)
	c.body = slices.Grow(c.body[:0], n)[:n]
	if _, err := io.ReadFull(c.in, c.body); err != nil {
		return false, err
	}
	const before = 4 // offset, type, channel
	return len(c.body) > before+3 && string(c.body[before:before+3]) == "\x00\x53\x14", nil
}
