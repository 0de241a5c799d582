package listener

import (
	"fmt"
	"testing"
	"time"
)

func TestThrottleForgets(t *testing.T) {
	var th throttle
	now := time.Now()
	for range freeOfName {
		th.failed(now, "a", freeOfName)
	}
	if !th.allowed(now, "a") {
		t.Error("the free failures cost something")
	}
	for i, want := range []time.Duration{firstPause, 2 * firstPause, 4 * firstPause} {
		th.failed(now, "a", freeOfName)
		if th.allowed(now.Add(want-1), "a") || !th.allowed(now.Add(want), "a") {
			t.Errorf("the pause %d is not %v", i, want)
		}
	}
	for range 100 {
		th.failed(now, "a", freeOfName)
	}
	if th.allowed(now.Add(longestPause-1), "b", "a") || !th.allowed(now.Add(longestPause), "a") {
		t.Error("the longest pause is another")
	}
	later := now.Add(2 * forgetAfter)
	th.failed(later, "a", freeOfName)
	if !th.allowed(later, "a") {
		t.Error("old failures are not forgotten")
	}
	th.failed(now, "b", 0)
	th.passed("b")
	if !th.allowed(now, "b") {
		t.Error("a success does not forget")
	}
}

func TestLogLimit(t *testing.T) {
	var l logLimit
	now := time.Now()
	logged := 0
	for range 1000 {
		if _, ok := l.take(now); ok {
			logged++
		}
	}
	if logged != 2*logRate {
		t.Errorf("%d of 1000 were logged at once", logged)
	}
	if suppressed, ok := l.take(now.Add(time.Second)); !ok || suppressed != 1000-logged {
		t.Errorf("%d were suppressed, %v", suppressed, ok)
	}
}

// However many guess, what is remembered of them is bounded.
func TestThrottleIsBounded(t *testing.T) {
	var th throttle
	now := time.Now()
	for i := range 3 * throttleRooms {
		th.failed(now, fmt.Sprint(i), 0)
	}
	if n := len(th.tries); n > throttleRooms {
		t.Errorf("%d are remembered", n)
	}
}
