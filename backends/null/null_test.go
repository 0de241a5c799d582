package null_test

import (
	"testing"

	"clacks/backends/backendtest"
	"clacks/backends/null"
)

func TestContract(t *testing.T) {
	backendtest.Run(t, func(*testing.T) backendtest.Fixture { return backendtest.Fixture{Backend: null.New()} })
}
