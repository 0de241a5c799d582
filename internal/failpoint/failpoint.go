// Package failpoint names the places at which a test ends the process, to prove that a crash there loses nothing. The
// points are always compiled in; while none is armed, Hit costs one atomic load.
package failpoint

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// Variable is the environment variable that arms points of a process, separated by commas: NAME or NAME@N for its N-th
// hit, which kills the process with SIGKILL; NAME@N=error makes Hit return an error instead.
const Variable = "CLACKS_FAILPOINT"

type point struct {
	name string
	left atomic.Int64
	err  bool
}

var (
	armed atomic.Pointer[[]*point]
	mu    sync.Mutex
	seen  = map[string]int{}
	trace atomic.Bool
)

func init() {
	if spec := os.Getenv(Variable); spec != "" {
		Arm(spec)
	}
}

// Error is what Hit returns at a point that is armed to fail.
type Error struct{ Name string }

func (e *Error) Error() string { return "failpoint " + e.Name }

// Arm sets the armed points, in the notation of Variable; an empty spec disarms all.
func Arm(spec string) {
	if spec == "" {
		armed.Store(nil)
		return
	}
	var points []*point
	for item := range strings.SplitSeq(spec, ",") {
		item, isErr := strings.CutSuffix(item, "=error")
		name, count, ok := strings.Cut(item, "@")
		p := &point{name: name, err: isErr}
		p.left.Store(1)
		if n, err := strconv.ParseInt(count, 10, 64); ok && err == nil {
			p.left.Store(n)
		}
		points = append(points, p)
	}
	armed.Store(&points)
}

// Trace starts (or ends) recording which points are hit, for a test that wants to know all of them.
func Trace(on bool) {
	mu.Lock()
	defer mu.Unlock()
	seen = map[string]int{}
	trace.Store(on)
}

// Seen are the points hit since Trace(true), and how often.
func Seen() map[string]int {
	mu.Lock()
	defer mu.Unlock()
	copied := make(map[string]int, len(seen))
	for name, n := range seen {
		copied[name] = n
	}
	return copied
}

// Hit is called at a named point of the program. It returns nil unless that point is armed to fail.
func Hit(name string) error {
	if trace.Load() {
		mu.Lock()
		seen[name]++
		mu.Unlock()
	}
	points := armed.Load()
	if points == nil {
		return nil
	}
	for _, p := range *points {
		if p.name != name || p.left.Add(-1) != 0 {
			continue
		}
		if p.err {
			return &Error{Name: name}
		}
		// SIGKILL and not os.Exit: nothing may be flushed, closed or rolled back.
		_ = syscall.Kill(syscall.Getpid(), syscall.SIGKILL)
		select {}
	}
	return nil
}
