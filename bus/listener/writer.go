package listener

import (
	"sync"
	"sync/atomic"
	"time"

	"clacks/bus"
	"clacks/bus/wire"
)

// output is what a connection has to write, guarded by the connection's lock. Whoever holds the lock appends; the writer's
// goroutine takes all that is there at once, and writes it without the lock.
type output struct {
	c      *conn
	buffer []byte
	ending bool       // the writer ends when the buffer is empty
	room   *sync.Cond // there is room again, or the connection has died
	waits  map[*outLink]struct{}
	signal chan struct{} // one token: there is something to write
	done   chan struct{} // closed when the writer has ended
	total  atomic.Uint64
}

const (
	chunk      = 64 << 10  // that is written with one deadline
	keepAtMost = 512 << 10 // of an empty buffer
)

func (w *output) init(c *conn) {
	w.c = c
	w.room = sync.NewCond(&c.mu)
	w.waits = make(map[*outLink]struct{})
	w.signal, w.done = make(chan struct{}, 1), make(chan struct{})
}

// append adds a frame. A description that makes an error larger than a frame of the peer is left out.
func (w *output) append(channel uint16, p wire.Performative) {
	start := len(w.buffer)
	w.buffer = wire.AppendFrame(w.buffer, wire.FrameAMQP, channel, p)
	if len(w.buffer)-start > w.c.frameSize {
		if condition := errorOf(p); condition != nil {
			short := *condition
			*condition = bus.Condition{Name: short.Name}
			w.buffer = wire.AppendFrame(w.buffer[:start], wire.FrameAMQP, channel, p)
			*condition = short
		}
	}
	w.wake()
}

func errorOf(p wire.Performative) *bus.Condition {
	switch p := p.(type) {
	case *wire.Detach:
		return p.Error
	case *wire.End:
		return p.Error
	case *wire.Close:
		return p.Error
	case *wire.Disposition:
		return p.State.Outcome.Condition
	}
	return nil
}

// wake tells the writer that there is something to write.
func (w *output) wake() {
	select {
	case w.signal <- struct{}{}:
	default:
	}
}

// full tells links to wait.
func (w *output) full() bool { return len(w.buffer) >= w.c.l.o.Limits.Output }

// waitForRoom keeps the reader from taking requests of a peer that does not take the answers.
func (w *output) waitForRoom() {
	for len(w.buffer) >= 4*w.c.l.o.Limits.Output && !w.c.dead {
		w.room.Wait()
	}
}

// release wakes everybody who waits for room. The lock is held.
func (w *output) release() {
	w.room.Broadcast()
	for k := range w.waits {
		k.cond.Signal()
	}
	clear(w.waits)
}

// beat lets the writer look at the peer's idle time-out.
func (w *output) beat() { w.wake() }

// run writes until the connection ends. The peer is sent an empty frame when it would have to wait for another for longer
// than half of its idle time-out.
func (w *output) run() {
	defer close(w.done)
	var spare []byte
	var last time.Time
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-w.signal:
		case <-timer.C:
		}
		w.c.mu.Lock()
		idle, open := w.c.peerIdle/2, w.c.open
		if open && idle > 0 && len(w.buffer) == 0 && !w.c.closeSent && time.Since(last) >= idle {
			w.buffer = wire.AppendEmpty(w.buffer)
		}
		b := w.buffer
		w.buffer = spare[:0]
		dead, ending := w.c.dead, w.ending
		w.release()
		w.c.mu.Unlock()
		if len(b) > 0 && !dead {
			if !w.write(b) {
				return
			}
			last = time.Now()
		}
		if spare = b; cap(spare) > keepAtMost {
			spare = nil
		}
		if dead || ending && w.empty() {
			return
		}
		if open && idle > 0 {
			timer.Reset(max(idle-time.Since(last), time.Millisecond))
		}
	}
}

func (w *output) empty() bool {
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	return len(w.buffer) == 0
}

// write writes everything, or cuts the connection off.
func (w *output) write(b []byte) bool {
	for len(b) > 0 {
		part := b[:min(len(b), chunk)]
		_ = w.c.nc.SetWriteDeadline(time.Now().Add(w.c.l.o.Limits.Write))
		n, err := w.c.nc.Write(part)
		w.total.Add(uint64(n))
		w.c.l.counters.bytesOut.Add(uint64(n))
		if err != nil {
			w.failed(err)
			return false
		}
		b = b[n:]
	}
	return true
}

// failed ends the connection: the reader sees the socket closed, links are told.
func (w *output) failed(err error) {
	if isTimeout(err) {
		w.c.cutOff(Slow, err)
	}
	w.c.mu.Lock()
	w.c.dead = true
	w.release()
	w.c.mu.Unlock()
	_ = w.c.raw.Close()
}
