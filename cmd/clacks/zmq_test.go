package main

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var zmqAddresses = regexp.MustCompile(`emit=(\S+) register=(\S+)`)

// TestZeroMQ: the service with the gateway, and the programs of the manual.
func TestZeroMQ(t *testing.T) {
	python := pythonWithZMQ(t)
	config := filepath.Join(t.TempDir(), "clacks.yaml")
	writeFile(t, config, "zmq:\n  user: admin\n")
	s := mustStart(t, "--config", config, "--data", t.TempDir(), "--zmq-emit", "tcp://127.0.0.1:0", "--zmq-register", "tcp://127.0.0.1:0")
	at := zmqAddresses.FindStringSubmatch(s.log.String())
	if at == nil {
		t.Fatalf("the service does not say where the gateway is:\n%s", s.log)
	}
	emit, register := "tcp://"+at[1], "tcp://"+at[2]
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	changes := watchZMQ(ctx, t, python, register, "ObjectChanged")
	weather := watchZMQ(ctx, t, python, register, "Weather")
	// A subscription takes a moment to arrive; until then nothing is sent to it.
	pushUntil(ctx, t, python, emit, "Weather", "sun", weather)
	pushUntil(ctx, t, python, emit, "ObjectChanged", "no event", changes)

	var made struct{ DN string }
	params := map[string]any{"type": "OrganizationalUnit", "base": "dc=example,dc=net", "attributes": map[string]any{"ou": "staff"}}
	if err := s.call("createObject", params, &made); err != nil {
		t.Fatal(err)
	}
	event := "no event" // more than one of those may have been pushed
	for event == "no event" {
		event = <-changes
	}
	if !strings.Contains(event, "<DN>"+made.DN+"</DN>") || !strings.Contains(event, "<ChangeType>create</ChangeType>") {
		t.Errorf("%q", event)
	}
	const reported = `<Event xmlns="http://www.gonicus.de/Events"><BackendChange><DN>cn=x</DN><ChangeType>add</ChangeType>` +
		`<ModificationTime>2026-01-31T12:00:00Z</ModificationTime></BackendChange></Event>`
	reports := watchZMQ(ctx, t, python, register, "BackendChange")
	pushUntil(ctx, t, python, emit, "BackendChange", "no event", reports)
	pushZMQ(ctx, t, python, emit, "BackendChange", reported)
	for event = "no event"; event == "no event"; {
		event = <-reports
	}
	if !strings.Contains(event, "<Actor>admin</Actor>") || !strings.Contains(event, "<Sequence>2</Sequence>") {
		t.Errorf("%q", event)
	}
	s.stop()
}

func pushZMQ(ctx context.Context, t *testing.T, python, emit, name, payload string) {
	t.Helper()
	push := exec.CommandContext(ctx, python, "../../examples/zeromq/push.py", emit, name)
	push.Stdin = strings.NewReader(payload)
	if out, err := push.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// pushUntil pushes a message until a watcher got it.
func pushUntil(ctx context.Context, t *testing.T, python, emit, name, payload string, lines <-chan string) {
	t.Helper()
	for {
		pushZMQ(ctx, t, python, emit, name, payload)
		select {
		case line := <-lines:
			if line != payload {
				t.Fatalf("%q instead of %q", line, payload)
			}
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// watchZMQ runs the watching program; its lines end with the context.
func watchZMQ(ctx context.Context, t *testing.T, python, endpoint, name string) <-chan string {
	t.Helper()
	watch := exec.CommandContext(ctx, python, "../../examples/zeromq/watch.py", endpoint, name)
	out, err := watch.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	watch.Stderr = os.Stderr
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = watch.Process.Kill()
		_ = watch.Wait()
	})
	lines := make(chan string, 100)
	go func() {
		defer close(lines)
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			lines <- scanner.Text()
		}
	}()
	return lines
}

func pythonWithZMQ(t *testing.T) string {
	t.Helper()
	for _, path := range []string{"python3", "/usr/bin/python3"} {
		if exec.CommandContext(t.Context(), path, "-c", "import zmq").Run() == nil {
			return path
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatal("python3 with zmq is not installed: scripts/deps")
	}
	t.Skip("python3 with zmq is not installed: scripts/deps")
	return ""
}
