package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"clacks/objects"
)

// crashKills is how often the short mode kills the service in each set-up; make crash asks for more.
const crashKills = 14

// TestCrash kills the service at every failpoint of create, update, rename and remove, restarts it (now and then killing
// the recovery as well), and asks the oracle. The seed is logged, so that a finding can be repeated.
func TestCrash(t *testing.T) {
	kills := crashKills
	if text := os.Getenv("CLACKS_CRASH_KILLS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		kills = n / 2 // in each of the two set-ups
	} else if testing.Short() {
		t.Skip("short mode")
	}
	for _, setup := range setups {
		t.Run(setup.name, func(t *testing.T) {
			seed := uint64(time.Now().UnixNano())
			if text := os.Getenv("CLACKS_CRASH_SEED"); text != "" {
				n, err := strconv.ParseUint(text, 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				seed = n
			}
			t.Logf("CLACKS_CRASH_SEED=%d", seed)
			c := &crashTest{t: t, random: rand.New(rand.NewPCG(seed, 0)), hit: map[string]int{}}
			c.args, c.world = setup.open(t)
			c.run(kills)
		})
	}
}

// crashTest is one series of kills over one set of data.
type crashTest struct {
	t      *testing.T
	random *rand.Rand
	args   []string
	world  *world
	kills  int
	number int
	hit    map[string]int // kills by operation and point
	people string
	groups string
	anchor string // a user who is always there, so that a group never runs empty
}

// operation is one change that is killed: prepare makes what it needs, params are those of its command.
type operation struct {
	name, method, objectType string
	prepare                  func(c *crashTest, s *service, id string) (dn string)
	params                   func(c *crashTest, id, dn string) map[string]any
}

var operations = []operation{
	{
		name: "create", method: "createObject", objectType: "User",
		prepare: func(*crashTest, *service, string) string { return "" },
		params: func(c *crashTest, id, _ string) map[string]any {
			return map[string]any{"type": "User", "base": c.people, "attributes": person(id)}
		},
	},
	{
		name: "update", method: "updateObject", objectType: "User", prepare: member,
		params: func(_ *crashTest, id, dn string) map[string]any {
			return map[string]any{"id": dn, "changes": map[string]any{
				"sn": "Changed", "badgeNumber": badge(), "mail": []string{id + "@changed.example"},
				"phones": map[string]any{"add": []string{"3"}, "remove": []string{"1"}},
			}}
		},
	},
	{
		name: "key", method: "updateObject", objectType: "User", prepare: member,
		params: func(_ *crashTest, id, dn string) map[string]any {
			return map[string]any{"id": dn, "changes": map[string]any{"uid": id + "x"}}
		},
	},
	{
		name: "extend", method: "updateObject", objectType: "User", prepare: member,
		params: func(c *crashTest, id, dn string) map[string]any {
			return map[string]any{"id": dn, "extend": []string{"PosixUser"}, "changes": map[string]any{
				"uidNumber": 10000 + c.number, "gidNumber": 100, "homeDirectory": "/home/" + id,
			}}
		},
	},
	{
		name: "rename", method: "moveObject", objectType: "User", prepare: member,
		params: func(_ *crashTest, id, dn string) map[string]any {
			return map[string]any{"id": dn, "rdn": "cn=Renamed " + id}
		},
	},
	{
		name: "remove", method: "deleteObject", objectType: "User", prepare: member,
		params: func(_ *crashTest, _, dn string) map[string]any { return map[string]any{"id": dn} },
	},
	{
		name: "remove-subtree", method: "deleteObject", objectType: "", prepare: subtree,
		params: func(_ *crashTest, _, dn string) map[string]any { return map[string]any{"id": dn, "recursive": true} },
	},
}

// badges number the badges of all people of a run.
var badges atomic.Int64

func badge() string {
	n := badges.Add(1)
	return fmt.Sprintf("%c-%04d", 'A'+n/10_000, n%10_000)
}

func person(id string) map[string]any {
	return map[string]any{
		"uid": id, "cn": "Person " + id, "givenName": "Person", "sn": id, "mail": []string{id + "@example.net"},
		"badgeNumber": badge(), "costCenter": 7, "phones": []string{"1", "2"},
	}
}

// member makes a user who is in a group.
func member(c *crashTest, s *service, id string) string {
	var made struct{ DN string }
	s.mustCall("createObject", map[string]any{"type": "User", "base": c.people, "attributes": person(id)}, &made)
	s.mustCall("createObject", map[string]any{"type": "GroupOfNames", "base": c.groups, "attributes": map[string]any{
		"cn": "group " + id, "member": []string{made.DN, c.anchor},
	}}, nil)
	return made.DN
}

// subtree makes an organizational unit with two users, one of them in a group outside.
func subtree(c *crashTest, s *service, id string) string {
	var unit, user struct{ DN string }
	s.mustCall("createObject", map[string]any{"type": "OrganizationalUnit", "base": c.world.base,
		"attributes": map[string]any{"ou": id}}, &unit)
	for _, n := range []string{"a", "b"} {
		s.mustCall("createObject", map[string]any{"type": "User", "base": unit.DN, "attributes": person(id + n)}, &user)
	}
	s.mustCall("createObject", map[string]any{"type": "GroupOfNames", "base": c.groups, "attributes": map[string]any{
		"cn": "group " + id, "member": []string{user.DN, c.anchor},
	}}, nil)
	return unit.DN
}

// run kills until the number is reached: first every point of every operation in turn, then at random.
func (c *crashTest) run(kills int) {
	s := mustStart(c.t, c.args...)
	c.seed(s)
	type target struct {
		operation operation
		point     string
	}
	var targets []target
	for _, o := range operations {
		for _, point := range objects.FailPoints {
			if !strings.HasPrefix(point, "recover/") && !strings.HasPrefix(point, "index/") {
				targets = append(targets, target{o, point})
			}
		}
	}
	c.random.Shuffle(len(targets), func(i, j int) { targets[i], targets[j] = targets[j], targets[i] })
	for i := 0; c.kills < kills; i++ {
		if i >= 20*kills+len(targets) {
			c.t.Fatalf("only %d kills in %d tries: %v", c.kills, i, c.hit)
		}
		target := targets[i%len(targets)]
		hit := 1 + i/len(targets)%3
		point := fmt.Sprintf("%s@%d", target.point, hit)
		if strings.HasPrefix(point, "undo/") || strings.HasPrefix(point, "abort/") {
			// Nothing is undone unless a backend refuses.
			point += fmt.Sprintf(",commit/before-apply@%d=error", 1+c.random.IntN(3))
		}
		s = c.once(s, target.operation, target.point, point)
		if c.t.Failed() {
			c.t.FailNow()
		}
	}
	s.stop()
	c.t.Logf("%d kills: %v", c.kills, c.hit)
}

// seed makes the containers and the anchor.
func (c *crashTest) seed(s *service) {
	var made struct{ DN string }
	s.mustCall("createObject", map[string]any{"type": "PeopleContainer", "base": c.world.base}, &made)
	c.people = made.DN
	s.mustCall("createObject", map[string]any{"type": "GroupContainer", "base": c.world.base}, &made)
	c.groups = made.DN
	s.mustCall("createObject", map[string]any{"type": "User", "base": c.people, "attributes": person("anchor")}, &made)
	c.anchor = made.DN
}

// once prepares an operation in the running service s, runs it in a process that dies at a point, restarts, asks the
// oracle, repeats the operation with its key, and asks again. It returns the service that then runs.
func (c *crashTest) once(s *service, o operation, target, point string) *service {
	c.t.Helper()
	c.number++
	id := fmt.Sprintf("u%d", c.number)
	name := fmt.Sprintf("%s of %s at %s", o.name, id, point)
	params := o.params(c, id, o.prepare(c, s, id))
	params["idempotencyKey"] = "op-" + id
	if c.random.IntN(2) == 0 {
		s.kill() // an idle service has nothing to lose either
	} else {
		s.stop()
	}

	s = startService(c.t, point, c.args...)
	var err error
	if s == nil || !s.ready() {
		c.t.Fatalf("%s: died before the operation", name)
	}
	err = s.call(o.method, params, nil)
	if answered(err) {
		s.kill() // the point was not on the way of this operation, or lies after the answer
	} else {
		c.kills++
		c.hit[o.name+" "+target]++
		<-s.done
	}
	c.killRecovery()

	s = mustStart(c.t, c.args...)
	c.world.check(name)
	c.checkEvents(name, o, id, err)
	s.mustCall(o.method, params, nil)
	c.checkEvents(name+", repeated", o, id, nil)
	c.world.check(name + ", repeated")
	return s
}

// killRecovery now and then kills the restart as well.
func (c *crashTest) killRecovery() {
	if c.random.IntN(3) != 0 {
		return
	}
	point := recoveryPoints[c.random.IntN(len(recoveryPoints))]
	s := startService(c.t, point, c.args...)
	if s == nil {
		c.kills++
		c.hit[point]++
		return
	}
	if !s.ready() {
		c.kills++
		c.hit[point]++
	}
	s.kill()
}

// recoveryPoints are those that a start goes through.
var recoveryPoints = slices.DeleteFunc(slices.Clone(objects.FailPoints), func(point string) bool {
	return !strings.HasPrefix(point, "recover/")
})

// checkEvents requires one event of the object for an acknowledged operation, none for a refused one, and at most one
// for an unanswered one.
func (c *crashTest) checkEvents(name string, o operation, id string, err error) {
	c.t.Helper()
	n := c.world.eventsOf("op-"+id, o.objectType)
	most, least := 1, 0
	switch {
	case err == nil:
		least = 1
	case answered(err):
		most = 0
	}
	if o.name == "remove-subtree" {
		most, least = 3*most, 3*least
	}
	if n < least || n > most {
		c.t.Fatalf("%s: %d events, the answer was %v", name, n, err)
	}
}
