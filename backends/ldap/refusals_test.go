package ldap_test

import (
	"errors"
	"fmt"
	"slices"
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

// TestManyDeletes: what remains is said instead of what goes, under the guard, and too many are refused.
func TestManyDeletes(t *testing.T) {
	server := testservers.Slapd(t, testservers.WithoutSync())
	backend := open(t, server)
	const members = 1000
	var all, spelled []backends.Value
	for i := range members {
		all = append(all, fmt.Sprintf("cn=m%04d,%s", i, server.Base))
		spelled = append(spelled, fmt.Sprintf("CN=M%04d, %s", i, server.Base))
	}
	ref := backends.Ref{DN: "cn=g," + server.Base}
	made, err := backend.Apply(t.Context(), backends.Change{Op: backends.OpCreate, Ref: ref,
		Add: backends.Values{"objectClass": {"groupOfNames"}, "cn": {"g"}, "member": all}})
	if err != nil {
		t.Fatal(err)
	}
	remaining := func() []backends.Value {
		entry, err := backend.Read(t.Context(), ref, []string{"member"})
		if err != nil {
			t.Fatal(err)
		}
		return entry.Values["member"]
	}
	modify := func(version string, mod backends.Mod) error {
		mod.Attribute = "member"
		_, err := backend.Apply(t.Context(), backends.Change{Op: backends.OpModify, Ref: ref, Mods: []backends.Mod{mod}, Guard: backends.Guard{Version: version}})
		return err
	}
	added := backends.Value("cn=added," + server.Base)
	if err := modify(made.Version, backends.Mod{Delete: spelled[10:], Add: []backends.Value{added}}); err != nil {
		t.Fatal(err)
	}
	if got := remaining(); len(got) != 11 || !slices.Contains(got, added) || !slices.Contains(got, all[9]) {
		t.Errorf("%d members: %v", len(got), got)
	}
	for name, test := range map[string]struct {
		version string
		mod     backends.Mod
		kind    clacks.Kind
	}{
		"an old version":    {made.Version, backends.Mod{Delete: all[:200]}, clacks.Conflict},
		"what is not there": {"", backends.Mod{Delete: all[:200]}, clacks.Conflict},
		"too many":          {"", backends.Mod{Delete: make([]backends.Value, 20_001)}, clacks.Limit},
	} {
		if err := modify(test.version, test.mod); !clacks.IsKind(err, test.kind) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := remaining(); len(got) != 11 {
		t.Errorf("a refused change left %v", got)
	}
}
