package objects

import (
	"context"
	"fmt"
	"testing"
	"time"

	"clacks"
	"clacks/backends"
	"clacks/backends/sql"
	"clacks/internal/store"
	"clacks/internal/testservers"
	"clacks/migrations"
)

// deed is one request, and what must be there before it.
type deed struct {
	name   string
	events int // of the request when it succeeds
	set    func(w *world) func(s *Service) error
}

func deeds() []deed {
	ctx := context.Background()
	update := func(id string, changes map[string]any, extend, retract []string) func(s *Service) error {
		return func(s *Service) error {
			_, err := s.Update(ctx, admin, UpdateRequest{ID: id, Changes: changes, Extend: extend, Retract: retract})
			return err
		}
	}
	posix := map[string]any{"uidNumber": 1000, "gidNumber": 1000, "homeDirectory": "/home/ada"}
	return []deed{
		{"create", 1, func(w *world) func(s *Service) error {
			people := w.house()
			return func(s *Service) error {
				_, err := s.Create(ctx, admin, CreateRequest{Type: "User", Base: people, Attributes: person("ada", "badgeNumber", "B-1234")})
				return err
			}
		}},
		{"update", 1, func(w *world) func(s *Service) error {
			ada := w.create("User", w.house(), person("ada", "badgeNumber", "B-1234"))
			return update(ada.UUID, map[string]any{"sn": "Lovelace", "badgeNumber": "B-4321"}, nil, nil)
		}},
		{"rename", 2, func(w *world) func(s *Service) error {
			ada := w.create("User", w.house(), person("ada", "badgeNumber", "B-1234"))
			w.create("GroupOfNames", testBase, map[string]any{"cn": "all", "member": []any{ada.DN}})
			return update(ada.UUID, map[string]any{"cn": "Ada", "uid": "lovelace", "sn": "Lovelace", "badgeNumber": "B-4321"}, nil, nil)
		}},
		{"extend", 1, func(w *world) func(s *Service) error {
			return update(w.create("User", w.house(), person("ada")).UUID, posix, []string{"PosixUser"}, nil)
		}},
		{"retract", 1, func(w *world) func(s *Service) error {
			attributes := person("ada", "badgeNumber", "B-1234")
			for name, value := range posix {
				attributes[name] = value
			}
			ada := w.create("User", w.house(), attributes, "PosixUser")
			return update(ada.UUID, map[string]any{"badgeNumber": nil}, nil, []string{"PosixUser"})
		}},
		{"move", 4, func(w *world) func(s *Service) error {
			ou := w.create("OrganizationalUnit", testBase, map[string]any{"ou": "one"})
			people := w.create("PeopleContainer", ou.DN, nil)
			ada := w.create("User", people.DN, person("ada", "badgeNumber", "B-1234"))
			w.create("GroupOfNames", testBase, map[string]any{"cn": "all", "member": []any{ada.DN}})
			return func(s *Service) error {
				_, err := s.Move(ctx, admin, MoveRequest{ID: ou.UUID, RDN: "ou=two"})
				return err
			}
		}},
		{"delete", 4, func(w *world) func(s *Service) error {
			people := w.house()
			ada := w.create("User", people, person("ada", "badgeNumber", "B-1234"))
			w.create("User", people, person("bob", "manager", ada.DN))
			eve := w.create("User", testBase, person("eve"))
			w.create("GroupOfNames", testBase, map[string]any{"cn": "all", "member": []any{ada.DN, eve.DN}})
			return func(s *Service) error {
				_, err := s.Delete(ctx, admin, DeleteRequest{ID: people, Recursive: true})
				return err
			}
		}},
	}
}

// TestEveryOperationFails lets each single operation of the backends and of the state database fail, in each way, until a
// run meets no fault any more. After each, the log tells exactly what is there; an acknowledged request has its events, a
// refused one none; and the request can be made again.
func TestEveryOperationFails(t *testing.T) {
	for _, d := range deeds() {
		for _, mode := range []faultMode{refuse, lostReply, lostSend} {
			t.Run(d.name+"/"+mode.String(), func(t *testing.T) {
				t.Parallel()
				for at := 1; ; at++ {
					if !failAt(t, newWorld, d, at, mode) {
						if at < 5 {
							t.Errorf("only %d operations", at)
						}
						return
					}
				}
			})
		}
	}
}

// TestEveryOperationFailsOnPostgres is the same where the transaction with the rows of SQL backends stays open while the
// directory is written. It takes the deeds that differ in that.
func TestEveryOperationFailsOnPostgres(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a server")
	}
	for _, d := range deeds() {
		if d.name == "move" || d.name == "delete" || d.name == "extend" {
			continue
		}
		for _, mode := range []faultMode{refuse, lostReply, lostSend} {
			t.Run(d.name+"/"+mode.String(), func(t *testing.T) {
				t.Parallel()
				state := openDatabase(t, testservers.SharedPostgres(t).NewDatabase(t))
				if err := migrations.Up(t.Context(), state); err != nil {
					t.Fatal(err)
				}
				employeeTables(t, state)
				at := 1
				for failAt(t, func(t testing.TB) *world { return worldOn(t, state) }, d, at, mode) {
					at++
				}
				if at < 4 {
					t.Errorf("only %d operations", at)
				}
			})
		}
	}
}

// worldOn has a directory in memory, and the state and the tables in a database, which is emptied.
func worldOn(t testing.TB, state *store.DB) *world {
	t.Helper()
	var empty []store.Statement
	for _, table := range []string{"clacks_objects", "clacks_values", "clacks_unique", "clacks_journal", "clacks_locks", "clacks_owners",
		"clacks_events", "clacks_index_state", "phones", "employees"} {
		empty = append(empty, statement("DELETE FROM "+table))
	}
	if _, err := state.Exec(t.Context(), append(empty, statement("UPDATE clacks_counter SET value = 0"))...); err != nil {
		t.Fatal(err)
	}
	f := &faults{}
	w := &world{t: t, faults: f, tree: newMemoryTree(f, testBase), state: state}
	w.begin(map[string]backends.Backend{"LDAP": w.tree, "SQL": sql.New(state)})
	return w
}

// failAt makes operation number at of a deed fail and reports whether there was one.
func failAt(t *testing.T, world func(testing.TB) *world, d deed, at int, mode faultMode) bool {
	t.Helper()
	w := world(t)
	w.Background(false)
	do := d.set(w)
	before := len(w.events())
	w.faults.arm(at, mode)
	err := do(w.Service)
	hit := w.faults.wasHit()
	w.faults.arm(0, refuse)
	w.settleAll(w.Service)
	place := fmt.Sprintf("operation %d: %v", at, err)
	t.Logf("%s", place)
	n := len(w.events()) - before
	switch {
	case err == nil && n != d.events, err != nil && !clacks.IsKind(err, clacks.InDoubt) && n != 0, n != 0 && n != d.events:
		t.Errorf("%s: %d events: %v", place, n, operations(w.events(), before))
	}
	w.oracle(w.Service)
	if n == 0 {
		if err := do(w.Service); err != nil {
			t.Errorf("%s: and again: %v", place, err)
		}
		w.oracle(w.Service)
	}
	if t.Failed() {
		t.Fatal(place)
	}
	w.Stop()
	return hit
}

// settleAll lets recovery run until nothing is open.
func (w *world) settleAll(s *Service) {
	w.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for s.doubts.count() > 0 {
		err := s.recoverPending(w.t.Context())
		for operation := range s.doubts.idle() {
			if r, _ := s.journal.Get(w.t.Context(), operation); r == nil {
				s.doubts.settled(operation)
			}
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("operations stay open: %v", err)
		}
	}
}

// TestCrashAtEveryOperation ends the process at each operation, before and after it is done, starts another on the same
// stores, ends that one at each operation of its recovery, and starts a third.
func TestCrashAtEveryOperation(t *testing.T) {
	for _, d := range deeds() {
		for _, mode := range []faultMode{dead, deadAfter} {
			t.Run(d.name+"/"+mode.String(), func(t *testing.T) {
				t.Parallel()
				for at := 1; ; at++ {
					hit, recovery := crashAt(t, d, at, 0, mode)
					if !hit {
						return
					}
					for again := 1; again <= recovery; again++ {
						if testing.Short() && (at+again)%5 != 0 {
							continue
						}
						crashAt(t, d, at, again, mode)
					}
				}
			})
		}
	}
}

// crashAt ends the process at one operation of a deed, and when again is not 0 the next one at that operation of its
// recovery. It reports whether the deed came so far, and how many operations the recovery had.
func crashAt(t *testing.T, d deed, at, again int, mode faultMode) (bool, int) {
	t.Helper()
	w := newWorld(t)
	w.Background(false)
	w.limits.Resolve = 10 * time.Millisecond
	do := d.set(w)
	before := len(w.events())
	w.faults.arm(at, mode)
	err := do(w.Service)
	hit := w.faults.wasHit()
	w.faults.arm(again, mode)
	second := w.startQuietly()
	w.faults.mu.Lock()
	recovery := w.faults.count
	w.faults.mu.Unlock()
	w.faults.arm(0, refuse)
	if again != 0 {
		second = w.startQuietly()
	}
	place := fmt.Sprintf("operation %d, in recovery %d: %v", at, again, err)
	if second.usable() != nil {
		t.Fatalf("%s: not ready: %v", place, second.usable())
	}
	n := len(w.events()) - before
	if err == nil && n != d.events || n != 0 && n != d.events {
		t.Errorf("%s: %d events: %v", place, n, operations(w.events(), before))
	}
	w.oracle(second)
	if n == 0 {
		if err := do(second); err != nil {
			t.Errorf("%s: and again: %v", place, err)
		}
		w.oracle(second)
	}
	if t.Failed() {
		t.Fatal(place)
	}
	return hit, recovery
}
