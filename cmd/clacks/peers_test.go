package main

import (
	"context"
	"crypto/tls"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"clacks/internal/testservers"
	"clacks/rpc/client"
)

// TestPeers lets Apache Proton and rhea do all that the bus is there for, against a service of its own process, with passwords
// and with TLS: call a command, offer one, receive what a filter selects, replay a durable subscription.
func TestPeers(t *testing.T) {
	makers := map[string]func(t *testing.T) peer{"proton": protonPeer, "rhea": rheaPeer}
	for name, prepare := range map[string]func(t *testing.T) secured{"plain": plainService, "TLS": tlsService} {
		t.Run(name, func(t *testing.T) {
			s := prepare(t)
			for name, maker := range makers {
				t.Run(name, func(t *testing.T) {
					p := maker(t)
					for _, scenario := range []string{"call", "filtered", "replay"} {
						if err := p.start(t, s, scenario, &lockedBuffer{}).wait(); err != nil {
							t.Errorf("%s: %v", scenario, err)
						}
					}
					s.callCommandOf(t, p, name+"Upper")
				})
			}
		})
	}
}

// TestClientsOfOtherLanguages runs the examples of clients with Proton and rhea, as they are, with and without TLS. The authority is
// named as the libraries of both want it.
func TestClientsOfOtherLanguages(t *testing.T) {
	examples := map[string]peer{
		"Proton": {command: []string{testservers.ProtonPython(t), "../../examples/call/call.py"}},
		"rhea":   {command: []string{"node", "../../examples/call/call.js"}, environment: rheaPeer(t).environment},
	}
	for name, prepare := range map[string]func(t *testing.T) secured{"plain": plainService, "TLS": tlsService} {
		t.Run(name, func(t *testing.T) {
			s := prepare(t)
			for name, p := range examples {
				t.Run(name, func(t *testing.T) {
					if s.ca != "" {
						if out, err := p.call(t, s, "", "getBase", "[]"); err == nil || !strings.Contains(out, "certificate") {
							t.Errorf("without the authority: %v, %s", err, out)
						}
					}
					if out, err := p.call(t, s, s.ca, "getBase", "[]"); err != nil || out != `"dc=example,dc=net"` {
						t.Errorf("getBase: %v, %s", err, out)
					}
					out, err := p.call(t, s, s.ca, "getObject", `{"id": "cn=nobody,dc=example,dc=net"}`)
					if err == nil || !strings.Contains(out, "no object") {
						t.Errorf("getObject: %v, %s", err, out)
					}
				})
			}
		})
	}
}

// call runs an example, and answers what it prints.
func (p peer) call(t *testing.T, s secured, ca, method, params string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.command[0], append(p.command[1:len(p.command):len(p.command)], s.named(), "admin", method, params)...)
	cmd.Env = append(os.Environ(), append(p.environment, "CLACKS_PASSWORD="+testPassword)...)
	if ca != "" {
		cmd.Env = append(cmd.Env, "SSL_CERT_FILE="+ca, "NODE_EXTRA_CA_CERTS="+ca)
	}
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// named is the address of the bus by name. A certificate is for a name: Proton looks for no addresses in it.
func (s secured) named() string { return strings.Replace(s.amqp, "127.0.0.1", "localhost", 1) }

// secured is a service, and what its clients have to trust: the file of an authority, "" without TLS.
type secured struct {
	*service
	ca string
}

func plainService(t *testing.T) secured {
	return secured{service: mustStart(t, "--data", t.TempDir())}
}

func tlsService(t *testing.T) secured {
	dir := t.TempDir()
	certificates, err := testservers.MakeCertificates(dir)
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "clacks.yaml")
	writeFile(t, config, "amqp:\n  certificate: "+certificates.Cert+"\n  key: "+certificates.Key+"\n")
	s := mustStart(t, "--config", config, "--data", filepath.Join(dir, "data"))
	if !strings.HasPrefix(s.amqp, "amqps://") {
		t.Fatalf("it listens on %s", s.amqp)
	}
	return secured{service: s, ca: certificates.CA}
}

// callCommandOf calls the command that a peer offers, over HTTP and over AMQP.
func (s secured) callCommandOf(t *testing.T, p peer, command string) {
	t.Helper()
	log := &lockedBuffer{}
	run := p.start(t, s, "command", log)
	waitFor(t, "the peer is ready", func() bool { return strings.Contains(log.String(), "ready") })
	var text string
	if err := s.call(command, map[string]any{"text": "one"}, &text); err != nil || text != "ONE for admin" {
		t.Errorf("over HTTP: %q, %v", text, err)
	}
	overBus := &client.Client{URL: s.amqp, User: "admin", Password: testPassword}
	defer closeClient(overBus)
	if s.ca != "" {
		pool, err := authorities(s.ca)
		if err != nil {
			t.Fatal(err)
		}
		overBus.TLS = &tls.Config{RootCAs: pool}
	}
	text, err := client.Do[string](t.Context(), overBus, command, map[string]any{"text": "two"})
	if err != nil || text != "TWO for admin" {
		t.Errorf("over AMQP: %q, %v", text, err)
	}
	if err := run.wait(); err != nil {
		t.Errorf("command: %v", err)
	}
}

// peer is a program in another language: its command line before the name of a scenario, and what it needs around it.
type peer struct {
	command     []string
	environment []string
}

func protonPeer(t *testing.T) peer {
	return peer{command: []string{testservers.ProtonPython(t), "testdata/peer.py"}}
}

func rheaPeer(t *testing.T) peer {
	return peer{command: []string{"node", "testdata/peer.js"}, environment: []string{"NODE_PATH=" + filepath.Join(testservers.Rhea(t), "node_modules")}}
}

// peerRun is a scenario that runs.
type peerRun struct {
	t     *testing.T
	ended chan error
	log   *lockedBuffer
}

func (p peer) start(t *testing.T, s secured, scenario string, log *lockedBuffer) peerRun {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	arguments := append(p.command[1:len(p.command):len(p.command)], scenario, s.named())
	if s.ca != "" {
		arguments = append(arguments, s.ca)
	}
	cmd := exec.CommandContext(ctx, p.command[0], arguments...)
	cmd.Env = append(append(os.Environ(), "CLACKS_PASSWORD="+testPassword), p.environment...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	run := peerRun{t: t, ended: make(chan error, 1), log: log}
	go func() { run.ended <- cmd.Wait() }()
	t.Cleanup(cancel)
	return run
}

// wait is why a scenario failed, nil when it did not.
func (r peerRun) wait() error {
	err := <-r.ended
	if err != nil {
		r.t.Logf("%s", r.log)
	}
	return err
}
