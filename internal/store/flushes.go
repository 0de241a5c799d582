package store

import (
	"context"
	"sync"
	"time"

	"clacks"
)

// flushes lets a commit that did not wait for the disk learn of one that did. PostgreSQL writes one log: what was committed
// before another commit began is on disk as soon as that one is.
type flushes struct {
	mu      sync.Mutex
	begun   uint64
	waiting map[chan struct{}]uint64 // closed by a commit whose number is higher
}

// begin gives a commit that will wait for the disk its number, before it is sent.
func (f *flushes) begin() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.begun++
	return f.begun
}

// done says that commit n is on disk.
func (f *flushes) done(n uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for waiter, after := range f.waiting {
		if n > after {
			close(waiter)
			delete(f.waiting, waiter)
		}
	}
}

// behind returns a channel that is closed when a commit that begins from now on is on disk.
func (f *flushes) behind() chan struct{} {
	waiter := make(chan struct{})
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.waiting == nil {
		f.waiting = map[chan struct{}]uint64{}
	}
	f.waiting[waiter] = f.begun
	return waiter
}

func (f *flushes) forget(waiter chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.waiting, waiter)
}

// patience is how long another commit is waited for. One that is about to be sent takes about this time to be on disk.
const patience = 3 * time.Millisecond

// awaitBehind returns when everything that is committed now is on disk: by the next commit of another transaction, or if
// none comes by writing to the log itself. Then next was called before, so that the other one can begin.
func (p *postgres) awaitBehind(ctx context.Context, next func()) error {
	waiter := p.flushes.behind()
	next()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-waiter:
		return nil
	case <-timer.C:
	case <-ctx.Done():
	}
	p.flushes.forget(waiter)
	if _, err := p.exec(ctx, []Statement{{SQL: awaitDisk}}); err != nil {
		return fail(clacks.InDoubt, "the database did not say that the commit is on disk", err)
	}
	return nil
}
