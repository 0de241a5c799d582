package zmqd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/go-zeromq/zmq4"
)

// The flags of a frame (ZMTP 3.0, section "Framing").
const (
	flagMore     = 1
	flagLong     = 2
	flagCommand  = 4
	flagReserved = 0xF8
)

const (
	greetingSize = 64
	// maxCommand bounds a command: READY with its metadata, PING with its context.
	maxCommand = 1024
	// maxParts bounds the frames of one message. Messages of more than one are dropped, but they have to be read.
	maxParts = 16
)

// screen is a connection whose incoming frames are looked at before the library reads them: it makes room for what a
// header announces, and believes what it finds in a command. It answers PING (ZMTP 3.1), which the library would do from
// the reader's goroutine between the writer's pieces, and keeps all other commands away after the first one, READY.
type screen struct {
	net.Conn
	kinds []string      // of sockets, that the peer may be
	most  int           // bytes of a message
	frame time.Duration // for a frame that has begun

	header  []byte // checked, and not read by the library yet
	pass    int    // bytes that may be read without looking
	ready   bool   // the first command has passed
	parts   int
	size    int
	pending time.Time // the deadline of the handshake; zero afterwards

	writing sync.Mutex // held for a whole message
	kept    []byte     // written, and not sent yet
	write   time.Duration

	turn func() error // waits for the turn of what is read next
}

// newScreen is a screen for a connection to one of our sockets.
func newScreen(conn net.Conn, kind zmq4.SocketType, l Limits) *screen {
	s := &screen{Conn: conn, frame: l.Frame, write: l.Write, pass: greetingSize}
	if kind == zmq4.Pub {
		s.kinds, s.most = []string{"SUB", "XSUB"}, maxTopic+1
	} else {
		s.kinds, s.most = []string{"PUSH"}, l.Message
	}
	return s
}

var errFrame = errors.New("zmqd: the peer sent what is no frame of ours")

// Read implements net.Conn. It serves frames that have been looked at.
func (s *screen) Read(p []byte) (int, error) {
	for len(s.header) == 0 && s.pass == 0 {
		if err := s.next(); err != nil {
			return 0, err
		}
	}
	if len(s.header) > 0 {
		n := copy(p, s.header)
		s.header = s.header[n:]
		return n, nil
	}
	n, err := s.Conn.Read(p[:min(len(p), s.pass)])
	s.pass -= n
	return n, err
}

// next looks at a frame: a message's is let through, a command is dealt with.
func (s *screen) next() error {
	if err := s.until(0); err != nil { // a peer may be silent as long as it likes
		return err
	}
	head := make([]byte, 1, 9)
	if _, err := io.ReadFull(s.Conn, head); err != nil {
		return err
	}
	if err := s.until(s.frame); err != nil {
		return err
	}
	length := 1
	if head[0]&flagLong != 0 {
		length = 8
	}
	head = head[:1+length]
	if _, err := io.ReadFull(s.Conn, head[1:]); err != nil {
		return err
	}
	size := uint64(head[1])
	if length == 8 {
		size = binary.BigEndian.Uint64(head[1:])
	}
	if head[0]&flagReserved != 0 {
		return fmt.Errorf("%w: reserved flags", errFrame)
	}
	if head[0]&flagCommand != 0 {
		return s.command(head, size)
	}
	return s.part(head, size)
}

// part lets a frame of a message through.
func (s *screen) part(head []byte, size uint64) error {
	s.parts++
	if !s.ready || s.parts > maxParts || size > uint64(s.most-s.size) {
		return fmt.Errorf("%w: a message of more than %d bytes or %d parts", errFrame, s.most, maxParts)
	}
	s.size += int(size)
	if head[0]&flagMore == 0 {
		s.parts, s.size = 0, 0
	}
	s.header, s.pass = head, int(size)
	return nil
}

// command reads a command. The first one has to be READY.
func (s *screen) command(head []byte, size uint64) error {
	if head[0]&flagMore != 0 || size > maxCommand || s.parts > 0 {
		return fmt.Errorf("%w: a command of %d bytes", errFrame, size)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(s.Conn, body); err != nil {
		return err
	}
	name, rest := cutShort(body)
	switch {
	case !s.ready && (name != "READY" || !introduces(rest, s.kinds)):
		return fmt.Errorf("%w: no READY", errFrame)
	case !s.ready:
		s.ready = true
		s.header = append(head, body...)
		return nil
	case name == "PING":
		if err := s.pong(rest); err != nil {
			return err
		}
	}
	return s.turn()
}

// cutShort cuts off what its first byte is the length of; "" where that is too long.
func cutShort(b []byte) (text string, rest []byte) {
	if len(b) == 0 || int(b[0]) > len(b)-1 {
		return "", nil
	}
	return string(b[1 : 1+int(b[0])]), b[1+int(b[0]):]
}

// introduces reports whether the metadata of READY hold together and say that the peer is of a kind that we talk to. The
// library panics where they do not.
func introduces(b []byte, kinds []string) bool {
	known := false
	for len(b) > 0 {
		name, rest := cutShort(b)
		if name == "" || len(rest) < 4 || strings.ContainsFunc(name, func(r rune) bool { return r > unicode.MaxASCII }) {
			return false
		}
		length := binary.BigEndian.Uint32(rest)
		if uint64(length) > uint64(len(rest)-4) {
			return false
		}
		value := string(rest[4 : 4+length])
		b = rest[4+length:]
		if !strings.EqualFold(name, "Socket-Type") {
			continue
		}
		known = (name == "Socket-Type" || name == "socket-type") && slices.Contains(kinds, value) // no other spelling is understood
		if !known {
			return false
		}
	}
	return known
}

// pong answers a PING: its context comes back, its time-to-live is not needed (ZMTP 3.1, section "Heartbeating").
func (s *screen) pong(ping []byte) error {
	const ttl, maxContext = 2, 16
	if len(ping) < ttl || len(ping) > ttl+maxContext {
		return fmt.Errorf("%w: a wrong PING", errFrame)
	}
	answer := append([]byte("\x04PONG"), ping[ttl:]...)
	s.writing.Lock()
	defer s.writing.Unlock()
	return s.send(append([]byte{flagCommand, byte(len(answer))}, answer...))
}

// until sets the time for what is read next; 0 for ever. The handshake as a whole has a deadline of its own.
func (s *screen) until(d time.Duration) error {
	if !s.pending.IsZero() {
		return nil
	}
	if d == 0 {
		return s.SetReadDeadline(time.Time{})
	}
	return s.SetReadDeadline(time.Now().Add(d))
}

// piece is how much a peer has to take in the time of Limits.Write.
const piece = 64 << 10

// send writes bytes, however many, to a peer that takes them in time.
func (s *screen) send(b []byte) error {
	for len(b) > 0 {
		if s.pending.IsZero() {
			if err := s.SetWriteDeadline(time.Now().Add(s.write)); err != nil {
				return err
			}
		}
		n, err := s.Conn.Write(b[:min(len(b), piece)])
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// Write implements net.Conn. In the handshake it writes at once; of a message it keeps the first piece, which is the header,
// and sends it with the second.
func (s *screen) Write(b []byte) (int, error) {
	if !s.pending.IsZero() {
		return len(b), s.send(b)
	}
	if s.kept == nil {
		s.kept = append([]byte{}, b...)
		return len(b), nil
	}
	first := min(len(b), piece)
	joined := append(s.kept, b[:first]...)
	s.kept = nil
	if err := s.send(joined); err != nil {
		return 0, err
	}
	return len(b), s.send(b[first:])
}

// whole lets f write a message that nothing interrupts.
func (s *screen) whole(f func() error) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := f(); err != nil {
		return err
	}
	rest := s.kept
	s.kept = nil
	return s.send(rest)
}
