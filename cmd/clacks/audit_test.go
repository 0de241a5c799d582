package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"clacks/internal/testservers"
)

// recorder is the example of an audit program.
type recorder struct {
	t      *testing.T
	python string
	path   string // of its record
	cmd    *exec.Cmd
}

// start starts the program and waits until it listens.
func (r *recorder) start(service *service, address string) {
	r.t.Helper()
	log := &lockedBuffer{}
	r.cmd = exec.Command(r.python, "../../examples/audit/audit.py", service.amqp, "admin", address, r.path)
	r.cmd.Env = append(os.Environ(), "CLACKS_PASSWORD="+testPassword)
	r.cmd.Stdout, r.cmd.Stderr = log, log
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	running := r.cmd
	r.t.Cleanup(func() { _ = running.Process.Kill(); _ = running.Wait() })
	waitFor(r.t, "the recorder listens", func() bool { return strings.Contains(log.String(), "listening behind") })
}

// kill is SIGKILL, at whatever it is doing.
func (r *recorder) kill() {
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait() // killed
}

// numbers are the sequence numbers in the record; a line that is not whole is left out.
func (r *recorder) numbers() []int64 {
	data, err := os.ReadFile(r.path)
	if err != nil && !os.IsNotExist(err) {
		r.t.Fatal(err)
	}
	var numbers []int64
	for line := range bytes.Lines(data) {
		number, rest, found := strings.Cut(string(line), " ")
		if n, err := strconv.ParseInt(number, 10, 64); err == nil && found && strings.HasSuffix(rest, "</Event>\n") {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// TestAudit kills the recorder and the service again and again. In the end, every event is in the record once, in order.
func TestAudit(t *testing.T) {
	data := t.TempDir()
	r := &recorder{t: t, python: testservers.ProtonPython(t), path: filepath.Join(data, "audit.log")}
	service := mustStart(t, "--data", data)
	var made struct{ ID, Address string }
	subscription := map[string]any{"name": "audit", "durable": true, "from": 1, "xquery": "Event/BackendChange"}
	service.mustCall("subscribe", subscription, &made)
	const rounds, events = 4, 25
	total := 0
	send := func(n int) {
		for range n {
			total++
			document := fmt.Sprintf(`<Event xmlns="http://www.gonicus.de/Events"><BackendChange><DN>cn=%d</DN><ChangeType>modify</ChangeType>`+
				`<ModificationTime>20260101000000Z</ModificationTime></BackendChange></Event>`, total)
			var sent struct{ Sequence int64 }
			service.mustCall("sendEvent", map[string]any{"event": document}, &sent)
		}
	}
	for round := range rounds {
		r.start(service, made.Address)
		send(events)
		waitFor(t, "something is recorded", func() bool { return len(r.numbers()) > total-events })
		if round%2 == 0 {
			r.kill()
			send(events)
			continue
		}
		service.kill()
		r.kill()
		service = mustStart(t, "--data", data)
		var again struct{ ID string }
		service.mustCall("subscribe", subscription, &again)
		if again.ID != made.ID {
			t.Errorf("the subscription is another: %s", again.ID)
		}
	}
	r.start(service, made.Address)
	waitFor(t, "everything is recorded", func() bool { return len(r.numbers()) >= total })
	numbers := r.numbers()
	if len(numbers) != total {
		t.Errorf("%d lines of %d events", len(numbers), total)
	}
	for i := 1; i < len(numbers); i++ {
		if numbers[i] != numbers[i-1]+1 {
			t.Fatalf("%d stands behind %d", numbers[i], numbers[i-1])
		}
	}
	var states []struct{ Delivered, Position, Lag int64 }
	waitFor(t, "all is handled", func() bool {
		service.mustCall("listSubscriptions", map[string]any{}, &states)
		return len(states) == 1 && states[0].Lag == 0
	})
}
