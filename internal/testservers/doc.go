// Package testservers starts the real servers that tests, the crash harness and the benchmarks run against: OpenLDAP's
// slapd, PostgreSQL, RabbitMQ, and a TCP proxy that cuts connections at a chosen moment; and finds AMQP clients of other makes.
// Production code never imports it.
//
// How it works: StartSlapd, StartPostgres and StartRabbitMQ are plain functions that return an error; they write the server's
// configuration into a folder, start the server as a child in the foreground on a free loopback port, and wait until it
// answers. The server keeps its port and its data over Stop, Kill and Start. Slapd, Postgres, SharedPostgres and Proxy
// wrap them for tests: they register the clean-up, skip the test when the server is not installed, and fail it then
// when the environment variable CI is set.
//
// No process outlives its parent: the kernel kills a server when this process ends, however it ends (Linux), and
// the folder of the shared PostgreSQL is removed by a small shell that waits for the end of this process.
package testservers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"testing"
)

// MissingError says that a server cannot be started because it is not installed.
type MissingError struct {
	Program string // "slapd"
	Hint    string // what to install
}

// Error names the program and what to install.
func (e *MissingError) Error() string {
	return fmt.Sprintf("%s is not installed (%s)", e.Program, e.Hint)
}

// require ends the test when a server could not be started: by skipping it where the server may be missing, by
// failing it on a CI machine, where a silent skip would hide that nothing was tested.
func require(t testing.TB, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if _, missing := err.(*MissingError); missing && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	t.Fatal(err)
}

// find returns the path of a program: from PATH, else from the newest of the folders that match the patterns.
func find(program string, patterns ...string) (string, bool) {
	if path, err := exec.LookPath(program); err == nil {
		return path, true
	}
	for _, pattern := range patterns {
		found, err := filepath.Glob(filepath.Join(pattern, program))
		if err != nil || len(found) == 0 {
			continue
		}
		sort.Strings(found)
		return found[len(found)-1], true
	}
	return "", false
}

// firstFolder is the first of the paths that exists and is a folder.
func firstFolder(paths ...string) (string, bool) {
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			return path, true
		}
	}
	return "", false
}
