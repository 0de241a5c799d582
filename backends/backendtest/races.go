package backendtest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"clacks"
	"clacks/backends"
)

var treeRaceSections = []section{
	{"race of guarded changes", testRaceGuard},
	{"race of creates", testRaceCreate},
	{"race of unguarded additions", testRaceAdd},
}

// race lets n goroutines make a change each at the same time; exactly one may succeed, the others must fail with loser.
func (f Fixture) race(t *testing.T, n int, loser clacks.Kind, change func(i int) backends.Change) (winner int) {
	t.Helper()
	var won atomic.Int32
	var last atomic.Int32
	var workers sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		workers.Go(func() {
			c := change(i)
			<-start
			_, err := f.Backend.Apply(t.Context(), c)
			switch {
			case err == nil:
				won.Add(1)
				last.Store(int32(i))
			case clacks.KindOf(err) != loser:
				t.Errorf("a loser gets %v, want %v: %v", clacks.KindOf(err), loser, err)
			}
		})
	}
	close(start)
	workers.Wait()
	if won.Load() != 1 {
		t.Fatalf("%d of %d won, want exactly one", won.Load(), n)
	}
	return int(last.Load())
}

func testRaceGuard(t *testing.T, f Fixture) {
	c := person(f.Base, "Ann", backends.Values{"description": list("start")})
	f.apply(t, c)
	for round := range 20 {
		entry := f.read(t, c.Ref, "description")
		guard := backends.Guard{Version: entry.Version}
		if !f.Backend.Capabilities().Versions || round%2 == 1 {
			guard = backends.Guard{Old: entry.Values}
		}
		value := func(i int) string { return fmt.Sprintf("round %d by %d", round, i) }
		winner := f.race(t, 12, clacks.Conflict, func(i int) backends.Change {
			mod := backends.Mod{Attribute: "description", Delete: entry.Values["description"], Add: list(value(i))}
			return backends.Change{Op: backends.OpModify, Ref: c.Ref, Mods: []backends.Mod{mod}, Guard: guard}
		})
		holds(t, f.read(t, c.Ref, "description"), "description", value(winner))
	}
}

func testRaceCreate(t *testing.T, f Fixture) {
	for round := range 10 {
		cn := fmt.Sprintf("Ann %d", round)
		winner := f.race(t, 12, clacks.NotUnique, func(i int) backends.Change {
			return person(f.Base, cn, backends.Values{"description": list(fmt.Sprint(i))})
		})
		entry := f.read(t, backends.Ref{DN: rdn("cn", cn) + "," + f.Base}, "description")
		holds(t, entry, "description", fmt.Sprint(winner))
	}
}

// testRaceAdd adds different values to one attribute at the same time: value by value, none is lost.
func testRaceAdd(t *testing.T, f Fixture) {
	crew := group(f.Base, "crew", 1)
	photos := person(f.Base, "Ann")
	f.apply(t, crew)
	f.apply(t, photos)
	var members, pictures []backends.Value
	var workers sync.WaitGroup
	for i := range 24 {
		member, picture := fmt.Sprintf("m%d", i), []byte{byte(i), 0xff}
		members, pictures = append(members, member), append(pictures, picture)
		workers.Go(func() {
			if _, err := f.Backend.Apply(t.Context(), modify(crew.Ref, backends.Mod{Attribute: "memberUid", Add: list(member)})); err != nil {
				t.Error(err)
			}
		})
		if i%4 != 0 {
			pictures = pictures[:len(pictures)-1]
			continue
		}
		workers.Go(func() { // without an equality rule of its own
			if _, err := f.Backend.Apply(t.Context(), modify(photos.Ref, backends.Mod{Attribute: "jpegPhoto", Add: []backends.Value{picture}})); err != nil {
				t.Error(err)
			}
		})
	}
	workers.Wait()
	holds(t, f.read(t, crew.Ref, "memberUid"), "memberUid", members...)
	holds(t, f.read(t, photos.Ref, "jpegPhoto"), "jpegPhoto", pictures...)
}
