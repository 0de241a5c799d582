package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"clacks/backends/directory"
	"clacks/backends/ldap"
	"clacks/internal/store"
	"clacks/internal/testservers"
)

const (
	exampleDefinitions = "../../examples/employees"
	exampleSchema      = "../../examples/employees/schema.sql"
)

// setups are the two ways to run Clacks that every whole test covers.
var setups = []struct {
	name string
	open func(t testing.TB) (args []string, w *world)
}{
	{"embedded", embedded},
	{"servers", servers},
}

// embedded keeps everything in one folder.
func embedded(t testing.TB) ([]string, *world) {
	data := t.TempDir()
	tree, err := directory.Open(t.Context(), "sqlite:"+filepath.Join(data, "directory.db"), directory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tree.Close() })
	args := []string{"--data", data, "--definitions", exampleDefinitions, "--sql-schema", exampleSchema}
	return args, &world{t: t, base: "dc=example,dc=net", tree: tree, state: openState(t, "sqlite:"+filepath.Join(data, "clacks.db"))}
}

// servers keeps objects in OpenLDAP and PostgreSQL, and the state in the same PostgreSQL.
func servers(t testing.TB) ([]string, *world) {
	slapd := testservers.Slapd(t)
	database := testservers.Postgres(t).NewDatabase(t)
	data := t.TempDir()
	config := filepath.Join(data, "clacks.yaml")
	writeFile(t, config, serverConfig(slapd, database))
	tree, err := ldap.New(ldap.Options{URIs: []string{slapd.URI}, BindDN: slapd.BindDN, Password: slapd.Password, Base: slapd.Base})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tree.Close() })
	args := []string{"--config", config, "--data", data, "--definitions", exampleDefinitions, "--sql-schema", exampleSchema}
	return args, &world{t: t, base: slapd.Base, tree: tree, state: openState(t, database)}
}

// serverConfig is a configuration file for real servers.
func serverConfig(slapd *testservers.SlapdServer, database string) string {
	return fmt.Sprintf(`base: %q
state:
  url: %q
backends:
  LDAP:
    driver: ldap
    uris: [%q]
    bindDN: %q
    password: %q
  SQL:
    driver: sql
    url: state
`, slapd.Base, database, slapd.URI, slapd.BindDN, slapd.Password)
}

func openState(t testing.TB, url string) *store.DB {
	t.Helper()
	db, err := store.Open(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func writeFile(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
