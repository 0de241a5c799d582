package ldap_test

import (
	"errors"
	"strings"
	"testing"

	"clacks"
	"clacks/backends"
	"clacks/internal/testservers"
)

// TestRefusalsSaySo: a refusal names the attribute, and says its sentence once.
func TestRefusalsSaySo(t *testing.T) {
	server := testservers.Slapd(t, testservers.WithoutSync())
	backend := open(t, server)
	unit := create(server.Base, "unit")
	if _, err := backend.Apply(t.Context(), unit); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 600)
	group := backends.Change{Op: backends.OpCreate, Ref: backends.Ref{DN: "cn=g," + server.Base},
		Add: backends.Values{"objectClass": {"groupOfNames"}, "cn": {"g"}, "member": {"nonsense"}}}
	rename := backends.Change{Op: backends.OpRename, Ref: unit.Ref, To: backends.Ref{DN: "ou=" + long + "," + server.Base}}
	for attribute, change := range map[string]backends.Change{"member": group, "ou": create(server.Base, long), "ou ": rename} {
		_, err := backend.Apply(t.Context(), change)
		var e *clacks.Error
		if !errors.As(err, &e) || e.Kind != clacks.Invalid || len(e.Fields) != 1 || e.Fields[0].Attribute != strings.TrimSpace(attribute) {
			t.Errorf("%s: %v", attribute, err)
			continue
		}
		if strings.Count(e.Message(), e.Fields[0].Reason) != 1 {
			t.Errorf("%s: %s", attribute, e.Message())
		}
	}
}
