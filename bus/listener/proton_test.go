package listener_test

import (
	"os/exec"
	"testing"

	"clacks/internal/testservers"
)

// script runs a client of another make to its end.
func script(t *testing.T, program string, arguments ...string) {
	t.Helper()
	output, err := exec.CommandContext(within(t), program, arguments...).CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, output)
	}
}

func TestProton(t *testing.T) {
	python := testservers.ProtonPython(t)
	for _, scenario := range []string{"basic", "rpc", "large", "settle", "drain", "refused", "filters", "password"} {
		t.Run(scenario, func(t *testing.T) {
			s := serve(t, nil)
			script(t, python, "testdata/peer.py", scenario, "amqp://"+s.address)
		})
	}
	t.Run("tls", func(t *testing.T) {
		c := makeCertificates(t)
		s := serve(t, c.server)
		script(t, python, "testdata/peer.py", "tls", "amqps://localhost:"+s.port(), c.ca, c.cert, c.key)
		if n := s.broker.queue("p.tls").len(); n != 1 {
			t.Errorf("%d messages are left", n)
		}
	})
}
