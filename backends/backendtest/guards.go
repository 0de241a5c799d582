package backendtest

import (
	"testing"

	"clacks"
	"clacks/backends"
)

var guardSections = []section{
	{"guard by version", testGuardVersion},
	{"guard by uuid", testGuardUUID},
	{"guard by old values", testGuardOld},
}

// guarded are the three changes that a guard protects, on the entry that c created, and what undoes each.
func guarded(f Fixture, c backends.Change, guard backends.Guard) []backends.Change {
	changes := []backends.Change{
		{Op: backends.OpModify, Ref: c.Ref, Mods: []backends.Mod{{Attribute: "title", Add: list("Dr")}}, Guard: guard},
	}
	if f.Backend.Capabilities().Rename {
		to := backends.Ref{DN: "cn=Renamed," + f.Base}
		changes = append(changes, backends.Change{Op: backends.OpRename, Ref: c.Ref, To: to, Guard: guard})
	}
	return append(changes, backends.Change{Op: backends.OpDelete, Ref: c.Ref, Guard: guard})
}

// refusesAll checks that a false guard refuses each change and that nothing of it happened.
func refusesAll(t *testing.T, f Fixture, c backends.Change, guard backends.Guard) {
	t.Helper()
	for _, change := range guarded(f, c, guard) {
		f.refuse(t, change, clacks.Conflict)
		holds(t, f.read(t, c.Ref, "title"), "title")
	}
}

// acceptsAll checks that a true guard lets each change pass. renew gives the guard that is true now.
func acceptsAll(t *testing.T, f Fixture, c backends.Change, renew func() backends.Guard) {
	t.Helper()
	for _, change := range guarded(f, c, backends.Guard{}) {
		f.apply(t, c)
		change.Guard = renew()
		f.apply(t, change)
		switch change.Op {
		case backends.OpModify:
			holds(t, f.read(t, c.Ref, "title"), "title", "Dr")
			f.apply(t, backends.Change{Op: backends.OpDelete, Ref: c.Ref})
		case backends.OpRename:
			f.missing(t, c.Ref)
			f.apply(t, backends.Change{Op: backends.OpDelete, Ref: change.To})
		case backends.OpDelete:
			f.missing(t, c.Ref)
		}
	}
}

func testGuardVersion(t *testing.T, f Fixture) {
	c := person(f.Base, "Ann")
	if !f.Backend.Capabilities().Versions {
		f.apply(t, c)
		f.read(t, c.Ref, "cn") // read checks that there is no version either
		return
	}
	created := f.apply(t, c)
	touch := modify(c.Ref, backends.Mod{Attribute: "mail", Add: list("a@example.net")})
	touch.Guard.Version = created.Version
	touched := f.apply(t, touch)
	refusesAll(t, f, c, backends.Guard{Version: created.Version})
	refusesAll(t, f, c, backends.Guard{Version: "nonsense"})
	refusesAll(t, f, c, backends.Guard{Version: "*"})
	refusesAll(t, f, c, backends.Guard{Version: "x)(objectClass=*"})
	empty := modify(c.Ref)
	empty.Guard.Version = created.Version
	f.refuse(t, empty, clacks.Conflict)
	empty.Guard.Version = touched.Version
	f.apply(t, empty)
	f.refuse(t, backends.Change{Op: backends.OpDelete, Ref: backends.Ref{DN: "cn=Nobody," + f.Base},
		Guard: backends.Guard{Version: created.Version}}, clacks.NotFound)
	f.apply(t, backends.Change{Op: backends.OpDelete, Ref: c.Ref})
	acceptsAll(t, f, c, func() backends.Guard { return backends.Guard{Version: f.read(t, c.Ref, "cn").Version} })
}

func testGuardUUID(t *testing.T, f Fixture) {
	c := person(f.Base, "Ann")
	c.Ref.UUID = someUUID
	f.apply(t, c)
	refusesAll(t, f, c, backends.Guard{UUID: "00000000-0000-4000-8000-000000000000"})
	refusesAll(t, f, c, backends.Guard{UUID: "*"})
	f.apply(t, backends.Change{Op: backends.OpDelete, Ref: c.Ref})
	acceptsAll(t, f, c, func() backends.Guard { return backends.Guard{UUID: someUUID} })
}

func testGuardOld(t *testing.T, f Fixture) {
	c := person(f.Base, "Ann", backends.Values{"mail": list("a@example.net", "b@example.net"), "jpegPhoto": {[]byte{1, 2}}})
	f.apply(t, c)
	for what, old := range map[string]backends.Values{
		"another value":        {"mail": list("x@example.net", "b@example.net")},
		"one value missing":    {"mail": list("a@example.net")},
		"one value too many":   {"mail": list("a@example.net", "b@example.net", "c@example.net")},
		"expected to be empty": {"mail": {}},
		"expected to be there": {"description": list("x")},
		"one of two":           {"cn": list("Ann"), "mail": list("a@example.net")},
		"other bytes":          {"jpegPhoto": {[]byte{1, 3}}},
	} {
		t.Run(what, func(t *testing.T) { refusesAll(t, f, c, backends.Guard{Old: old}) })
	}
	f.apply(t, backends.Change{Op: backends.OpDelete, Ref: c.Ref})
	acceptsAll(t, f, c, func() backends.Guard {
		return backends.Guard{Old: backends.Values{
			"MAIL": list("b@example.net", "A@example.net"), "description": {}, "jpegPhoto": {[]byte{1, 2}}, "cn": list("Ann"),
		}}
	})
}
