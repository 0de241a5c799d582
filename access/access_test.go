package access_test

import (
	"fmt"
	"sync"
	"testing"

	"clacks/access"
)

var (
	rights = []access.Right{
		access.Create, access.Read, access.Write, access.Delete, access.Search, access.Execute, access.Receive, access.Move,
	}
	topics = map[string]access.Topic{
		"nothing":          {},
		"own object":       {Type: "User", UUID: "u-ann", DN: "cn=ann"},
		"own attribute":    {Type: "User", Attribute: "sn", UUID: "u-ann", DN: "cn=ann"},
		"own event":        {Type: "User", UUID: "u-ann", DN: "cn=ann", Event: "org.clacks.event.ObjectChanged"},
		"another's object": {Type: "User", UUID: "u-bob", DN: "cn=bob"},
		"another's event":  {Type: "User", UUID: "u-bob", DN: "cn=bob", Event: "org.clacks.event.ObjectChanged"},
		"own DN only":      {Type: "User", DN: "cn=ann"},
		"object type":      {Type: "User"},
		"event type":       {Event: "org.clacks.event.ObjectChanged"},
		"command":          {Command: "getObject"},
	}
)

// A logged-in user may do these things and no other.
func TestStaticUser(t *testing.T) {
	ann := access.User{ID: "ann", UUID: "u-ann", DN: "cn=ann"}
	granted := map[string]map[access.Right]bool{
		"own object":    {access.Read: true, access.Search: true, access.Receive: true},
		"own attribute": {access.Read: true, access.Search: true, access.Receive: true},
		"own event":     {access.Read: true, access.Search: true, access.Receive: true},
		"command":       {access.Execute: true},
	}
	for name, topic := range topics {
		for _, right := range append(rights, 0, '?') {
			if got, want := (access.Static{}).Allowed(ann, right, topic), granted[name][right]; got != want {
				t.Errorf("%q on %s: %v, want %v", right, name, got, want)
			}
		}
	}
}

func TestStaticAdministrator(t *testing.T) {
	admin := access.User{ID: "admin", Admin: true}
	for name, topic := range topics {
		for _, right := range rights {
			if !(access.Static{}).Allowed(admin, right, topic) {
				t.Errorf("%q on %s is refused", right, name)
			}
		}
	}
}

// Who has not logged in is nobody, whatever else is said of him.
func TestStaticNobody(t *testing.T) {
	for _, nobody := range []access.User{{}, {UUID: "u-ann", DN: "cn=ann"}, {Admin: true}, {UUID: "u-ann", Admin: true}} {
		if !nobody.Anonymous() {
			t.Errorf("%+v counts as logged in", nobody)
		}
		for name, topic := range topics {
			for _, right := range rights {
				if (access.Static{}).Allowed(nobody, right, topic) {
					t.Errorf("%+v: %q on %s is granted", nobody, right, name)
				}
			}
		}
	}
}

// A user without an object of his own is not the owner of whatever has no UUID.
func TestStaticUserWithoutObject(t *testing.T) {
	guest := access.User{ID: "guest"}
	for name, topic := range topics {
		for _, right := range rights {
			want := name == "command" && right == access.Execute
			if got := (access.Static{}).Allowed(guest, right, topic); got != want {
				t.Errorf("%q on %s: %v, want %v", right, name, got, want)
			}
		}
	}
}

// The letters are those of the access-control sets of the GOsa world; stored sets depend on them.
func TestRightLetters(t *testing.T) {
	if got := string(rights); got != "crwdsxem" {
		t.Errorf("the rights are %q", got)
	}
}

func TestStaticIsSafeForConcurrentUse(t *testing.T) {
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			user := access.User{ID: fmt.Sprint(i), UUID: fmt.Sprint(i)}
			for j := range 1000 {
				topic := access.Topic{UUID: fmt.Sprint(j % 8)}
				if got := (access.Static{}).Allowed(user, access.Read, topic); got != (j%8 == i) {
					t.Errorf("user %d, object %d: %v", i, j%8, got)
					return
				}
			}
		})
	}
	group.Wait()
}
