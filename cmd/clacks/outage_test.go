package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clacks/backends/ldap"
	"clacks/internal/testservers"
)

// outageServer is a server that a test takes away and brings back.
type outageServer interface {
	Kill() error
	Start() error
}

// outage is a service on servers of its own.
type outage struct {
	args     []string
	world    *world
	slapd    *testservers.SlapdServer
	postgres *testservers.PostgresServer
}

func newOutage(t *testing.T) *outage {
	o := &outage{slapd: testservers.Slapd(t), postgres: testservers.Postgres(t)}
	data := t.TempDir()
	config := filepath.Join(data, "clacks.yaml")
	writeFile(t, config, serverConfig(o.slapd, o.postgres.URL))
	tree, err := ldap.New(ldap.Options{URIs: []string{o.slapd.URI}, BindDN: o.slapd.BindDN, Password: o.slapd.Password, Base: o.slapd.Base})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tree.Close() })
	o.args = []string{"--config", config, "--data", data, "--definitions", exampleDefinitions, "--sql-schema", exampleSchema}
	o.world = &world{t: t, base: o.slapd.Base, tree: tree, state: openState(t, o.postgres.URL)}
	return o
}

// TestServersDownAtStart: the service starts, is not ready, says why, and recovers by itself.
func TestServersDownAtStart(t *testing.T) {
	o := newOutage(t)
	for name, server := range map[string]outageServer{"LDAP": o.slapd, "state": o.postgres} {
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		s := startService(t, "", o.args...)
		if s == nil {
			t.Fatalf("%s down: the service does not start", name)
		}
		reasons := s.notReady(name)
		o.neutral(name, reasons)
		err := s.call("createObject", map[string]any{"type": "PeopleContainer", "base": o.world.base}, nil)
		if err == nil {
			t.Errorf("%s down: a create succeeded", name)
		}
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		if !s.ready() {
			t.Fatalf("%s is back: the service is gone", name)
		}
		s.stop()
	}
}

// neutral checks that what strangers may read names the part that is down, once, and neither servers nor the machine.
func (o *outage) neutral(name, reasons string) {
	o.world.t.Helper()
	if strings.Count(reasons, name) != 1 || !strings.Contains(reasons, "it does not answer") {
		o.world.t.Errorf("%s down: the reasons are %s", name, reasons)
	}
	for _, secret := range []string{"127.0.0.1", "localhost", "://", "dial", "ldap.", "store.", "refused", o.slapd.Base} {
		if strings.Contains(reasons, secret) {
			o.world.t.Errorf("%s down: the reasons %s hold %q", name, reasons, secret)
		}
	}
}

// TestServersDownAtWork: a server that goes away is named in the same way, and the object service on it is not named too.
func TestServersDownAtWork(t *testing.T) {
	o := newOutage(t)
	s := mustStart(t, o.args...)
	for name, server := range map[string]outageServer{"LDAP": o.slapd, "state": o.postgres} {
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		reasons := s.notReady(name)
		o.neutral(name, reasons)
		if strings.Contains(reasons, "objects") {
			t.Errorf("%s down: the reasons are %s", name, reasons)
		}
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		if !s.ready() {
			t.Fatalf("%s is back: the service is not ready:\n%s", name, s.log)
		}
	}
}

// notReady waits until the service says why it is not ready, and names the component.
func (s *service) notReady(component string) string {
	s.t.Helper()
	var body string
	for range 500 {
		response, err := http.Get(s.url + "/readyz")
		if err == nil {
			var answer struct {
				Reasons []struct{ Component, Reason string }
			}
			err = json.NewDecoder(response.Body).Decode(&answer)
			_ = response.Body.Close()
			body = fmt.Sprint(answer)
			if err == nil && response.StatusCode == http.StatusServiceUnavailable && strings.Contains(body, component) {
				return body
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.t.Fatalf("/readyz never said that %s is down: %s", component, body)
	return ""
}

// TestServersKilledDuringCommits: while clients change objects, each server is killed and brought back, several times.
// Afterwards nothing half-written remains, and every acknowledged change is there.
func TestServersKilledDuringCommits(t *testing.T) {
	o := newOutage(t)
	s := mustStart(t, o.args...)
	var people struct{ DN string }
	s.mustCall("createObject", map[string]any{"type": "PeopleContainer", "base": o.world.base}, &people)

	var acknowledged sync.Map
	var stop atomic.Bool
	var wait sync.WaitGroup
	for client := range 4 {
		wait.Go(func() {
			for n := 0; !stop.Load(); n++ {
				id := fmt.Sprintf("c%d-%d", client, n)
				err := s.call("createObject", map[string]any{"type": "User", "base": people.DN, "attributes": person(id)}, nil)
				if err == nil {
					acknowledged.Store(id, true)
				}
			}
		})
	}
	for range 2 {
		for _, server := range []outageServer{o.slapd, o.postgres} {
			time.Sleep(300 * time.Millisecond) // lets commits be in flight; nothing depends on how many
			if err := server.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := server.Start(); err != nil {
				t.Fatal(err)
			}
			if !s.ready() {
				t.Fatal("the service is gone")
			}
		}
	}
	time.Sleep(300 * time.Millisecond)
	stop.Store(true)
	wait.Wait()
	if !s.ready() {
		t.Fatal("the service is gone")
	}
	o.world.check("after the outages")
	o.checkAcknowledged(t, &acknowledged)
	s.stop()
}

// checkAcknowledged requires that every user whose creation was acknowledged exists.
func (o *outage) checkAcknowledged(t *testing.T, acknowledged *sync.Map) {
	t.Helper()
	stored := o.world.strings(`SELECT login FROM employees`)
	slices.Sort(stored)
	count := 0
	acknowledged.Range(func(id, _ any) bool {
		count++
		if _, found := slices.BinarySearch(stored, id.(string)); !found {
			t.Errorf("%v was acknowledged and is gone", id)
		}
		return true
	})
	if count == 0 {
		t.Error("no create succeeded: the test shows nothing")
	}
	t.Logf("%d creates were acknowledged", count)
}
