package objects

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// doubts knows which operations of this process are under way, so that recovery leaves them alone, and which were left
// open because a backend or the state database did not answer.
type doubts struct {
	mu      *sync.Mutex
	running map[string]bool
	open    map[string]doubt
	wake    chan struct{} // there is a new one
}

// doubt is an operation that was left open.
type doubt struct {
	since     time.Time
	direction direction
}

// direction is where an open operation must go. A request of it may still be on its way to a backend: only the same
// request, sent again under the same guard, makes sure that it is not applied after we have decided otherwise.
type direction uint8

const (
	byState direction = iota // by what the entries show: nothing of a dead process is on its way any more
	forward                  // finish it; if a backend refuses, take it back
	back                     // take it back: the caller was told that it failed, or undoing it has begun
)

func newDoubts() doubts {
	return doubts{mu: &sync.Mutex{}, running: map[string]bool{}, open: map[string]doubt{}, wake: make(chan struct{}, 1)}
}

func (d *doubts) begin(operation string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.running[operation] = true
}

func (d *doubts) end(operation string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.running, operation)
}

func (d *doubts) add(operation string, to direction) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open[operation] = doubt{since: time.Now(), direction: to}
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// doubtful says for how long an operation without a journal row is looked for: its row may still be on its way.
const doubtful = time.Minute

// settled forgets an operation.
func (d *doubts) settled(operation string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.open, operation)
}

// missing forgets an operation that has no row, when enough time has passed for one to appear.
func (d *doubts) missing(operation string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if open, ok := d.open[operation]; ok && time.Since(open.since) > doubtful {
		delete(d.open, operation)
	}
}

// idle are the open operations that no request works on.
func (d *doubts) idle() map[string]direction {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := map[string]direction{}
	for operation, open := range d.open {
		if !d.running[operation] {
			list[operation] = open.direction
		}
	}
	return list
}

func (d *doubts) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.open)
}

// backoff waits longer each time, up to half a second, with a random part so that agents do not walk in step.
type backoff struct{ next time.Duration }

func newBackoff() *backoff { return &backoff{next: 2 * time.Millisecond} }

func (b *backoff) sleep(ctx context.Context) {
	d := b.next/2 + rand.N(b.next)
	b.next = min(2*b.next, 300*time.Millisecond)
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
