package ldap_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	goldap "github.com/go-ldap/ldap/v3"

	"clacks/backends/backendtest"
	"clacks/backends/ldap"
	"clacks/internal/testservers"
)

// open makes a driver for a server; the change edits its options first.
func open(t testing.TB, server *testservers.SlapdServer, change ...func(*ldap.Options)) *ldap.Backend {
	t.Helper()
	options := ldap.Options{URIs: []string{server.URI}, BindDN: server.BindDN, Password: server.Password, Base: server.Base}
	for _, change := range change {
		change(&options)
	}
	backend, err := ldap.New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = backend.Close() })
	return backend
}

// newBase adds an empty unit below the server's base, so that tests can share a server.
func newBase(t testing.TB, server *testservers.SlapdServer) string {
	t.Helper()
	name := fmt.Sprintf("ou=base%d,%s", bases.Add(1), server.Base)
	request := goldap.NewAddRequest(name, nil)
	request.Attribute("objectClass", []string{"organizationalUnit"})
	if err := server.Conn(t).Add(request); err != nil {
		t.Fatal(err)
	}
	return name
}

var bases atomic.Int64

func TestContract(t *testing.T) {
	server := testservers.Slapd(t, testservers.WithoutSync())
	backendtest.Run(t, func(t *testing.T) backendtest.Fixture {
		return backendtest.Fixture{Backend: open(t, server), Base: newBase(t, server)}
	})
}
