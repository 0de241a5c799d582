package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

// races is how often two clients compete for one value.
const races = 1000

// TestUniqueRace lets two clients create users of the same uid, again and again: exactly one of them wins each time. With
// real servers the clients talk to two agents that share nothing but the servers.
func TestUniqueRace(t *testing.T) {
	t.Run("embedded", func(t *testing.T) {
		args, w := embedded(t)
		s := mustStart(t, args...)
		race(t, w, s, s)
	})
	t.Run("servers", func(t *testing.T) {
		args, w := servers(t)
		first := mustStart(t, args...)
		second := secondAgent(t, args)
		race(t, w, first, second)
	})
}

// secondAgent starts another agent of the same state: with a data folder of its own, and the same key.
func secondAgent(t *testing.T, args []string) *service {
	t.Helper()
	other := slices.Clone(args)
	place := slices.Index(other, "--data") + 1
	key, err := os.ReadFile(filepath.Join(other[place], "secret.key"))
	if err != nil {
		t.Fatal(err)
	}
	other[place] = t.TempDir()
	writeFile(t, filepath.Join(other[place], "secret.key"), string(key))
	return mustStart(t, other...)
}

func race(t *testing.T, w *world, clients ...*service) {
	t.Helper()
	var people struct{ DN string }
	clients[0].mustCall("createObject", map[string]any{"type": "PeopleContainer", "base": w.base}, &people)
	for round := range races {
		failures := compete(clients, people.DN, round)
		winners := 0
		for i, err := range failures {
			var refused *rpcError
			switch {
			case err == nil:
				winners++
			case !errors.As(err, &refused) || refused.Data.Kind != "not-unique":
				t.Fatalf("round %d, client %d: %v", round, i, err)
			case len(refused.Data.Fields) != 1 || refused.Data.Fields[0].Attribute != "uid":
				t.Fatalf("round %d, client %d: the error does not name the attribute: %+v", round, i, refused.Data)
			}
		}
		if winners != 1 {
			t.Fatalf("round %d: %d winners", round, winners)
		}
	}
	var found struct{ Total int }
	clients[0].mustCall("searchObjects", map[string]any{"type": "User", "total": true, "limit": 1}, &found)
	if found.Total != races {
		t.Errorf("%d users after %d races", found.Total, races)
	}
	w.check("after the races")
}

// compete lets all clients create a user at once: of the same uid, and with names of their own.
func compete(clients []*service, base string, round int) []error {
	failures := make([]error, len(clients))
	var wait sync.WaitGroup
	for i, s := range clients {
		wait.Go(func() {
			failures[i] = s.call("createObject", map[string]any{"type": "User", "base": base, "attributes": map[string]any{
				"uid": fmt.Sprintf("racer%d", round), "cn": fmt.Sprintf("Racer %d of client %d", round, i), "sn": "Racer",
			}}, nil)
		})
	}
	wait.Wait()
	return failures
}
