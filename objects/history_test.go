package objects

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"clacks"
)

// TestRandomHistories lets several clients create, change, rename, move and remove what is there, all at once, on every
// combination of stores, and holds the log against what is left.
func TestRandomHistories(t *testing.T) {
	worlds := map[string]func(t testing.TB) *world{"memory": newTestWorld}
	for name, setup := range setups {
		worlds[name] = setup
	}
	for name, setup := range worlds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			h := &history{world: setup(t)}
			h.limits.Attempts = 100
			h.run(seed)
		})
	}
}

// TestHistoriesWithFaults is the same on stores of which any operation may fail at any time, before it is done or without an
// answer.
func TestHistoriesWithFaults(t *testing.T) {
	rounds := 40
	if testing.Short() {
		rounds = 6
	}
	for round := range rounds {
		seed := rand.Uint64()
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			t.Parallel()
			t.Logf("seed %d", seed)
			h := &history{world: newWorld(t), faulty: true}
			h.limits.Attempts = 100
			h.run(seed)
		})
	}
}

func newTestWorld(t testing.TB) *world { return newWorld(t) }

type history struct {
	*world
	mu       sync.Mutex
	expected int // events at least: one for each acknowledged request
	faulty   bool
}

func (h *history) run(seed uint64) {
	h.t.Helper()
	for _, ou := range []string{"a", "b", "c"} {
		h.create("OrganizationalUnit", testBase, map[string]any{"ou": ou})
	}
	clients, steps := 6, 40
	if testing.Short() {
		steps = 12
	}
	before := len(h.events())
	if h.faulty {
		h.faults.roll(rand.New(rand.NewPCG(seed, 0)))
	}
	var wait sync.WaitGroup
	for client := range clients {
		wait.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(client)))
			for step := range steps {
				h.step(random, fmt.Sprintf("c%dx%d", client, step))
			}
		})
	}
	wait.Wait()
	h.faults.roll(nil)
	h.settleAll(h.Service)
	if n := len(h.events()) - before; n < h.expected {
		h.t.Errorf("%d events for %d acknowledged requests", n, h.expected)
	}
	h.oracle(h.Service)
}

// step makes one random request. What others make impossible may be refused, with the reason that fits.
func (h *history) step(random *rand.Rand, name string) {
	ctx := context.Background()
	rows, err := h.findRows(ctx, `dn_key <> ?`, h.baseKey)
	if h.faulty && err != nil {
		return
	}
	if err != nil {
		h.t.Error(err)
		return
	}
	pick := func(typ string) *row {
		for _, i := range random.Perm(len(rows)) {
			if typ == "" || rows[i].typ == typ {
				return rows[i]
			}
		}
		return nil
	}
	var result *Result
	user, ou := pick("User"), pick("OrganizationalUnit")
	if user == nil || ou == nil || random.IntN(3) == 0 {
		base := testBase
		if ou != nil {
			base = ou.dn
		}
		attributes := person(name, "badgeNumber", fmt.Sprintf("B-%04d", random.IntN(30)))
		attributes["cn"] = fmt.Sprintf("Name %d", random.IntN(10))
		if user != nil {
			attributes["manager"] = user.dn
		}
		result, err = h.Create(ctx, admin, CreateRequest{Type: "User", Base: base, Attributes: attributes})
	} else {
		result, err = h.change(ctx, random, user, ou, name)
	}
	kind := clacks.KindOf(err)
	switch {
	case err == nil:
		if result.Sequence != 0 {
			h.mu.Lock()
			h.expected++
			h.mu.Unlock()
		}
	case kind == clacks.NotFound, kind == clacks.NotUnique, kind == clacks.InUse, kind == clacks.Conflict, kind == clacks.Unavailable:
	case h.faulty && kind == clacks.InDoubt:
	default:
		h.t.Errorf("%s: %v", name, err)
	}
}

func (h *history) change(ctx context.Context, random *rand.Rand, user, ou *row, name string) (*Result, error) {
	switch random.IntN(7) {
	case 0:
		return h.Update(ctx, admin, UpdateRequest{ID: user.uuid, Changes: map[string]any{"uid": name, "sn": name}})
	case 1:
		return h.Update(ctx, admin, UpdateRequest{ID: user.uuid, Changes: map[string]any{"cn": fmt.Sprintf("Name %d", random.IntN(10)), "badgeNumber": nil}})
	case 2:
		return h.Update(ctx, admin, UpdateRequest{ID: user.dn, Changes: map[string]any{"manager": user.dn, "costCenter": random.IntN(5),
			"phones": []any{"1", fmt.Sprint(random.IntN(5))}}})
	case 3:
		return h.Move(ctx, admin, MoveRequest{ID: user.uuid, Base: ou.dn})
	case 4:
		return h.Move(ctx, admin, MoveRequest{ID: ou.uuid, RDN: "ou=" + name})
	case 5:
		return h.Delete(ctx, admin, DeleteRequest{ID: user.uuid})
	}
	if user.parentKey == ou.dnKey && random.IntN(3) == 0 {
		return h.Delete(ctx, admin, DeleteRequest{ID: ou.dn, Recursive: true})
	}
	return h.Create(ctx, admin, CreateRequest{Type: "OrganizationalUnit", Base: ou.dn, Attributes: map[string]any{"ou": name}})
}
