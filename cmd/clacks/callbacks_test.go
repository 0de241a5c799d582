package main

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestCallbacksExample runs the program of the manual beside a service.
func TestCallbacksExample(t *testing.T) {
	program := filepath.Join(t.TempDir(), "callbacks")
	if out, err := exec.Command("go", "build", "-o", program, "clacks/examples/callbacks").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s := mustStart(t, "--data", t.TempDir())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	callbacks := exec.CommandContext(ctx, program)
	callbacks.Env = append(os.Environ(), "CLACKS_URL="+s.url, "CLACKS_PASSWORD="+testPassword)
	callbacks.Stderr = os.Stderr
	out, err := callbacks.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := callbacks.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	expect := func(want string) {
		t.Helper()
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("%q instead of %q", lines.Text(), want)
		}
	}
	expect("1 BackendChange modify cn=printer,dc=example,dc=net")
	s.mustCall("createObject", map[string]any{"type": "PeopleContainer", "base": "dc=example,dc=net"}, nil)
	s.mustCall("createObject", map[string]any{"type": "User", "base": "ou=people,dc=example,dc=net",
		"attributes": map[string]any{"uid": "ann", "cn": "Ann", "sn": "A", "givenName": "Ann"}}, nil)
	expect("3 ObjectChanged create cn=Ann,ou=people,dc=example,dc=net")
	if err := callbacks.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := callbacks.Wait(); err != nil {
		t.Error(err)
	}
}
