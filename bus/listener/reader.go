package listener

import (
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"clacks/bus/wire"
)

// frameReader reads frames from a socket into one buffer, which grows as bytes come and up to one frame at most. A frame is
// valid until the next is read. It is for one goroutine, but for stop.
type frameReader struct {
	nc    net.Conn
	max   int           // of a frame
	idle  time.Duration // without a byte; 0 while a deadline was set for the whole
	b     []byte
	start int // of what is not read yet
	end   int
	set   time.Time // when the deadline was set last
	total atomic.Uint64
	all   *atomic.Uint64 // of the listener

	mu      sync.Mutex
	stopped bool // the deadline stays as it is
}

const firstBuffer = 1 << 10

// fill reads until n bytes are there.
func (r *frameReader) fill(n int) error {
	for r.end-r.start < n {
		if r.start == r.end {
			r.start, r.end = 0, 0
		}
		if r.end == len(r.b) {
			r.grow(n)
		}
		r.deadline()
		got, err := r.nc.Read(r.b[r.end:])
		r.end += got
		r.total.Add(uint64(got))
		r.all.Add(uint64(got))
		if got >= 16<<10 {
			// Who sends without a pause never blocks here: others would wait until the scheduler interrupts it.
			runtime.Gosched()
		}
		if err != nil && r.end-r.start < n {
			if errors.Is(err, io.EOF) && r.start != r.end {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// grow makes room behind what is there: by moving it to the front, or by doubling the buffer.
func (r *frameReader) grow(n int) {
	if r.start > 0 && r.start >= len(r.b)/2 || r.start > 0 && len(r.b) >= r.max {
		r.end = copy(r.b, r.b[r.start:r.end])
		r.start = 0
		if r.end < len(r.b) {
			return
		}
	}
	size := max(firstBuffer, min(2*len(r.b), max(r.max, n)))
	if size <= len(r.b) {
		size = len(r.b) + firstBuffer
	}
	b := make([]byte, size)
	r.end = copy(b, r.b[r.start:r.end])
	r.start = 0
	r.b = b
}

// deadline moves the deadline of an open connection, not more often than needed.
func (r *frameReader) deadline() {
	if r.idle == 0 {
		return
	}
	now := time.Now()
	if now.Sub(r.set) < r.idle/16 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return
	}
	r.set = now
	_ = r.nc.SetReadDeadline(now.Add(r.idle))
}

// stop lets the reader end at a time, whatever comes.
func (r *frameReader) stop(at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
	_ = r.nc.SetReadDeadline(at)
}

// take is the next n bytes.
func (r *frameReader) take(n int) ([]byte, error) {
	if err := r.fill(n); err != nil {
		return nil, err
	}
	b := r.b[r.start : r.start+n]
	r.start += n
	return b, nil
}

// frame reads the next frame.
func (r *frameReader) frame() (wire.Header, []byte, error) {
	if err := r.fill(wire.HeaderSize); err != nil {
		return wire.Header{}, nil, err
	}
	h, err := wire.ParseHeader(r.b[r.start:])
	if err != nil {
		return h, nil, framing("the header of a frame contradicts itself")
	}
	if uint64(h.Size) > uint64(r.max) {
		return h, nil, framing("a frame beyond max-frame-size")
	}
	b, err := r.take(int(h.Size))
	if err != nil {
		return h, nil, err
	}
	return h, b[h.Offset:], nil
}
