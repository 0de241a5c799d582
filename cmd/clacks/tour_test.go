package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"clacks/internal/testservers"
)

// TestTour runs examples/tour.sh as a user would, against everything embedded, over HTTP and over AMQP, and
// against real servers.
func TestTour(t *testing.T) {
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	t.Run("embedded", func(t *testing.T) { tour(t, path, nil) })
	t.Run("over AMQP", func(t *testing.T) { tour(t, path, []string{"TOUR_PYTHON=" + testservers.ProtonPython(t)}) })
	t.Run("servers", func(t *testing.T) {
		slapd := testservers.Slapd(t)
		database := testservers.Postgres(t).NewDatabase(t)
		config := filepath.Join(t.TempDir(), "clacks.yaml")
		writeFile(t, config, serverConfig(slapd, database))
		tour(t, path, []string{
			"TOUR_LDAP_URI=" + slapd.URI, "TOUR_LDAP_BINDDN=" + slapd.BindDN, "TOUR_LDAP_PASSWORD=" + slapd.Password,
			"TOUR_DATABASE=" + database,
		}, "--config", config)
	})
}

func tour(t *testing.T, clacks string, env []string, args ...string) {
	t.Helper()
	cmd := exec.Command("../../examples/tour.sh", args...)
	cmd.Env = append(append(os.Environ(), "CLACKS="+clacks), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("tour: %v\n%s", err, out)
	}
}
