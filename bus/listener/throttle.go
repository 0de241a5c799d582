package listener

import (
	"sync"
	"time"
)

// The throttle of failed logins: some are free, then each costs twice the time of the one before.
const (
	freeOfName    = 5  // of one name at one address
	freeOfAddress = 20 // of an address, behind which there may be many people
	firstPause    = 250 * time.Millisecond
	longestPause  = 30 * time.Second
	forgetAfter   = 10 * time.Minute
	throttleRooms = 8192 // addresses and names that are remembered
)

// throttle remembers failed logins by address, and by address and name: whoever guesses from elsewhere does not lock a
// user out.
type throttle struct {
	mu    sync.Mutex
	tries map[string]*tries
}

type tries struct {
	failures int
	last     time.Time
	until    time.Time
}

// allowed tells whether a login may be tried now.
func (t *throttle) allowed(now time.Time, keys ...string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, key := range keys {
		if e := t.tries[key]; e != nil && now.Before(e.until) {
			return false
		}
	}
	return true
}

// failed counts a failure, of which some are free.
func (t *throttle) failed(now time.Time, key string, free int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tries == nil {
		t.tries = make(map[string]*tries)
	}
	e := t.tries[key]
	if e == nil {
		t.makeRoom(now)
		e = &tries{}
		t.tries[key] = e
	}
	if now.Sub(e.last) > forgetAfter {
		e.failures = 0
	}
	e.failures++
	e.last = now
	if over := e.failures - free; over > 0 {
		e.until = now.Add(min(firstPause<<min(over-1, 16), longestPause))
	}
}

// passed forgets the failures of a key.
func (t *throttle) passed(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.tries, key)
}

// makeRoom forgets what is old, and if nothing is, one of the others.
func (t *throttle) makeRoom(now time.Time) {
	if len(t.tries) < throttleRooms {
		return
	}
	for key, e := range t.tries {
		if now.Sub(e.last) > forgetAfter {
			delete(t.tries, key)
		}
	}
	for key := range t.tries {
		if len(t.tries) < throttleRooms {
			return
		}
		delete(t.tries, key)
	}
}
