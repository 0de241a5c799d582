package backendtest

import (
	"testing"

	"clacks"
	"clacks/backends"
)

var noneSections = []section{
	{"every write succeeds", testNoneWrites},
	{"every read finds an empty entry", testNoneReads},
	{"no capability", testNoneCapabilities},
}

func testNoneWrites(t *testing.T, f Fixture) {
	ref := backends.Ref{DN: "cn=any,dc=example,dc=net"}
	for _, op := range []backends.Op{backends.OpDelete, backends.OpModify, backends.OpCreate, backends.OpCreate, backends.OpRename} {
		f.apply(t, backends.Change{Op: op, Ref: ref, Guard: backends.Guard{Version: "any", UUID: "any"}})
	}
	canceled, cancel := canceledContext(t)
	defer cancel()
	_, err := f.Backend.Apply(canceled, backends.Change{Op: backends.OpCreate, Ref: ref})
	want(t, "apply with a canceled context", err, clacks.Unavailable)
}

func testNoneReads(t *testing.T, f Fixture) {
	for _, ref := range []backends.Ref{{DN: "cn=any"}, {UUID: "0"}, {Table: "t", Column: "c", Key: int64(1)}} {
		entry := f.read(t, ref, "*")
		if len(entry.Values) != 0 || entry.DN != ref.DN || entry.UUID != ref.UUID || entry.Key != ref.Key {
			t.Fatalf("read %s: %+v, want an empty entry of that name", name(ref), entry)
		}
	}
	if entries := f.found(t, backends.Query{Base: "dc=example,dc=net", Scope: backends.ScopeSub}); len(entries) != 0 {
		t.Fatalf("a search finds %d entries in nothing", len(entries))
	}
}

func testNoneCapabilities(t *testing.T, f Fixture) {
	if got := f.Backend.Capabilities(); got != (backends.Capabilities{}) {
		t.Fatalf("a backend that stores nothing declares %+v", got)
	}
	if err := f.Backend.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
}
