package listener_test

import (
	"os"
	"path/filepath"
	"testing"

	"clacks/internal/testservers"
)

func TestRhea(t *testing.T) {
	dir := testservers.Rhea(t)
	peer := filepath.Join(dir, "peer.js")
	content, err := os.ReadFile("testdata/peer.js")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(peer, content, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, scenario := range []string{"basic", "rpc", "large", "settle", "drain", "refused", "password"} {
		t.Run(scenario, func(t *testing.T) {
			s := serve(t, nil)
			script(t, "node", peer, scenario, "127.0.0.1", s.port())
		})
	}
	t.Run("tls", func(t *testing.T) {
		c := makeCertificates(t)
		s := serve(t, c.server)
		script(t, "node", peer, "tls", "127.0.0.1", s.port(), c.ca, c.cert, c.key)
	})
}
