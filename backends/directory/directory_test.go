package directory

import (
	"testing"

	"clacks/backends/backendtest"
)

const base = "dc=example,dc=net"

func open(t *testing.T, options Options) *Backend {
	t.Helper()
	b, err := Open(t.Context(), "sqlite::memory:", options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := b.Bootstrap(t.Context(), base); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestContract(t *testing.T) {
	backendtest.Run(t, func(t *testing.T) backendtest.Fixture {
		return backendtest.Fixture{Backend: open(t, Options{}), Base: base}
	})
}
