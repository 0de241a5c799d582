package httpd

import (
	"net/netip"
	"sync"
	"time"
)

// The limiter slows guessing down. It counts failures by user and address together, so that nobody can lock another out
// by guessing at his name from elsewhere, and more generously by address, against one password tried on many names.
const (
	userFailures    = 5                // by user and address, before the first wait
	addressFailures = 50               // by address
	longestWait     = 15 * time.Minute // and how long a failure is remembered
	limiterEntries  = 20_000           // bounds the memory; the entry that ends first makes room
)

type limiter struct {
	now func() time.Time

	mu      sync.Mutex
	entries map[limitKey]*limitEntry
}

type limitKey struct {
	user    string // "" for the address alone
	address netip.Addr
}

type limitEntry struct {
	failures int
	last     time.Time
	until    time.Time
}

func newLimiter(now func() time.Time) *limiter {
	return &limiter{now: now, entries: map[limitKey]*limitEntry{}}
}

// keysOf are what an attempt is counted under. An IPv6 client owns a whole /64.
func keysOf(user string, address netip.Addr) [2]limitKey {
	address = address.Unmap().WithZone("")
	if address.Is6() {
		if prefix, err := address.Prefix(64); err == nil {
			address = prefix.Addr()
		}
	}
	if len(user) > 256 {
		user = user[:256]
	}
	return [2]limitKey{{user: user, address: address}, {address: address}}
}

// begin counts an attempt as failed until it is known to be right, so that attempts made at once count each. When one has
// to wait, ok is false and until says for how long.
func (l *limiter) begin(user string, address netip.Addr) (until time.Time, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	keys := keysOf(user, address)
	for _, key := range keys {
		if e := l.entries[key]; e != nil && now.Before(e.until) {
			return e.until, false
		}
	}
	for _, key := range keys {
		e := l.entries[key]
		if e == nil || now.Sub(e.last) > longestWait {
			l.makeRoom()
			e = &limitEntry{}
			l.entries[key] = e
		}
		e.failures++
		e.last = now
		e.until = now.Add(waitAfter(e.failures, key.user == ""))
	}
	return time.Time{}, true
}

// waitAfter doubles with each failure over the allowed number.
func waitAfter(failures int, addressOnly bool) time.Duration {
	allowed := userFailures
	if addressOnly {
		allowed = addressFailures
	}
	over := failures - allowed
	if over < 0 {
		return 0
	}
	return min(time.Second<<min(over+1, 12), longestWait)
}

// succeeded forgives the user's failures from there, and takes back the count of this attempt for the address.
func (l *limiter) succeeded(user string, address netip.Addr) { l.takeBack(user, address, true) }

// undecided takes back the count of an attempt whose password could not be checked.
func (l *limiter) undecided(user string, address netip.Addr) { l.takeBack(user, address, false) }

func (l *limiter) takeBack(user string, address netip.Addr, forgive bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, key := range keysOf(user, address) {
		e := l.entries[key]
		if e == nil {
			continue
		}
		e.failures--
		// Only this attempt's share of the wait is taken back: somebody with one right password must not be able to wash
		// away the failures that he causes on other names.
		e.until = e.last.Add(waitAfter(e.failures, key.user == ""))
		if (forgive && key.user != "") || e.failures <= 0 {
			delete(l.entries, key)
		}
	}
}

// makeRoom drops an entry when the table is full. It looks at a few only, so that a flood of names costs no more than
// their number; one that somebody waits for is spared as long as there are others.
func (l *limiter) makeRoom() {
	if len(l.entries) < limiterEntries {
		return
	}
	const looks = 8
	now, looked := l.now(), 0
	var victim limitKey
	for key, e := range l.entries { // in an order that nobody can choose
		victim = key
		if looked++; looked == looks || !now.Before(e.until) {
			break
		}
	}
	delete(l.entries, victim)
}
