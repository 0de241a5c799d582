package journal

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"clacks"
	"clacks/backends"
	"clacks/internal/store"
	"clacks/migrations"
)

var key = []byte("0123456789abcdef0123456789abcdef")

type clock struct{ time.Time }

func (c *clock) now() time.Time { return c.Time }

func open(t *testing.T) (*store.DB, *clock) {
	t.Helper()
	db, err := store.Open("sqlite:" + filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := migrations.Up(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	return db, &clock{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
}

func owned(t *testing.T, db *store.DB, c *clock, owner string) *Journal {
	t.Helper()
	j, err := New(db, key, owner, c.now)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	return j
}

func why(t *testing.T, err error) Why {
	t.Helper()
	var r *Refusal
	if !errors.As(err, &r) {
		t.Fatalf("error %v is no refusal", err)
	}
	return r.Why
}

func TestPrepareTakesAllOrNothing(t *testing.T) {
	db, c := open(t)
	j := owned(t, db, c, "one")
	if _, err := db.Exec(t.Context(), store.Statement{SQL: `INSERT INTO clacks_objects (uuid, dn, dn_key, parent_key, path_key, type, version, modified)
VALUES ('a', 'cn=a', 'cn=a', '', 'cn=a,', 'T', 3, 0)`}); err != nil {
		t.Fatal(err)
	}
	full := Intent{Operation: "op", IdempotencyKey: "k", Plan: []byte("p"), Locks: []string{"a", "b"}, Checks: []Check{{"a", 3}},
		Unique: []Reservation{{"T", "uid", "x", "a"}}}
	if err := j.Prepare(t.Context(), full); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		change func(in *Intent)
		why    Why
	}{
		"repeated": {func(in *Intent) { in.IdempotencyKey = "k" }, Repeated},
		"busy":     {func(in *Intent) { in.Locks = []string{"b", "c"} }, Busy},
		"stale":    {func(in *Intent) { in.Checks = []Check{{"a", 2}} }, Stale},
		"gone":     {func(in *Intent) { in.Checks = []Check{{"z", 1}} }, Stale},
		"taken":    {func(in *Intent) { in.Unique = []Reservation{{"T", "uid", "y", "c"}, {"T", "uid", "x", "c"}} }, Taken},
	}
	for name, test := range tests {
		in := Intent{Operation: name, Plan: []byte("p"), Locks: []string{"other " + name}}
		test.change(&in)
		err := j.Prepare(t.Context(), in)
		if got := why(t, err); got != test.why {
			t.Errorf("%s: %v", name, err)
		}
		var r *Refusal
		if errors.As(err, &r) && test.why == Taken && (len(r.Taken) != 1 || r.Taken[0].UUID != "a") {
			t.Errorf("taken %+v", r.Taken)
		}
	}
	for table, n := range map[string]int{"clacks_journal": 1, "clacks_locks": 2, "clacks_unique": 1} {
		if got := count(t, db, table); got != n {
			t.Errorf("%s has %d rows", table, got)
		}
	}
	if ended, err := j.End(t.Context(), "op", Aborted, "conflict"); err != nil || !ended {
		t.Fatalf("%v, %v", ended, err)
	}
	if ended, err := j.End(t.Context(), "op", Aborted, "conflict"); err != nil || ended {
		t.Errorf("ended twice: %v, %v", ended, err)
	}
	full.Operation = "op2"
	if err := j.Prepare(t.Context(), full); err != nil {
		t.Errorf("an aborted operation left something: %v", err)
	}
}

func count(t *testing.T, db *store.DB, table string) int {
	t.Helper()
	var n int64
	if err := db.Query(t.Context(), `SELECT COUNT(*) FROM `+table, nil, func(scan func(...any) error) error { return scan(&n) }); err != nil {
		t.Fatal(err)
	}
	return int(n)
}

func TestOwnersAreFenced(t *testing.T) {
	db, c := open(t)
	one, two := owned(t, db, c, "one"), owned(t, db, c, "two")
	if alone, err := one.Alone(t.Context()); err != nil || alone {
		t.Errorf("alone %v, %v", alone, err)
	}
	for _, operation := range []string{"a", "b"} {
		if err := one.Prepare(t.Context(), Intent{Operation: operation, Locks: []string{operation}, Plan: []byte("plan of " + operation)}); err != nil {
			t.Fatal(err)
		}
	}
	pending := func(j *Journal) []Record {
		records, err := j.Pending(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return records
	}
	if len(pending(one)) != 0 || len(pending(two)) != 0 {
		t.Error("operations of the living are pending")
	}
	c.Time = c.Add(DeadAfter + time.Second)
	if err := two.Heartbeat(t.Context()); err != nil {
		t.Fatal(err)
	}
	found := pending(two)
	if len(found) != 2 || string(found[0].Plan) != "plan of a" {
		t.Fatalf("%+v", found)
	}
	stale := found[0]
	if mine, err := two.Claim(t.Context(), &found[0]); err != nil || !mine {
		t.Fatalf("%v, %v", mine, err)
	}
	if mine, err := owned(t, db, c, "three").Claim(t.Context(), &stale); err != nil || mine {
		t.Errorf("claimed twice: %v, %v", mine, err)
	}
	var rows *store.RowsError
	if _, err := db.Exec(t.Context(), one.Committed("a", []byte("{}"))); !errors.As(err, &rows) {
		t.Errorf("the former owner commits: %v", err)
	}
	if _, err := db.Exec(t.Context(), two.Committed("a", []byte("{}"))); err != nil {
		t.Error(err)
	}
	// The process comes back: its other operation is its own, and its former self is out.
	back := owned(t, db, c, "one")
	if found := pending(back); len(found) != 1 || found[0].Operation != "b" {
		t.Errorf("%+v", found)
	}
	if err := one.Heartbeat(t.Context()); !clacks.IsKind(err, clacks.Conflict) {
		t.Errorf("the former process lives on: %v", err)
	}
	if _, err := db.Exec(t.Context(), back.Committed("b", []byte("{}"))); !errors.As(err, &rows) {
		t.Errorf("an operation is committed without being claimed: %v", err)
	}
}

func TestPrune(t *testing.T) {
	db, c := open(t)
	j := owned(t, db, c, "one")
	for operation, idempotency := range map[string]string{"plain": "", "keyed": "k", "open": "", "parked": ""} {
		if err := j.Prepare(t.Context(), Intent{Operation: operation, IdempotencyKey: idempotency, Locks: []string{operation}, Plan: []byte("p")}); err != nil {
			t.Fatal(err)
		}
	}
	for _, operation := range []string{"plain", "keyed"} {
		if _, err := db.Exec(t.Context(), j.Committed(operation, []byte("{}"))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := j.End(t.Context(), "parked", Parked, "x"); err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{4, 3, 2} {
		if err := j.Prune(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := count(t, db, "clacks_journal"); n != want {
			t.Errorf("after %d: %d rows", i, n)
		}
		c.Time = c.Add([]time.Duration{Retention + 1e9, KeyRetention, 0}[i])
	}
	if r, err := j.Find(t.Context(), "k"); err != nil || r != nil {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestPlansAreSealed(t *testing.T) {
	db, c := open(t)
	j := owned(t, db, c, "one")
	long := bytes.Repeat([]byte("secret "), 100_000)
	for operation, plan := range map[string][]byte{"op": []byte("secret"), "long": long} {
		if err := j.Prepare(t.Context(), Intent{Operation: operation, Header: []byte(`{"type":"User"}`), Plan: plan, Locks: []string{operation}}); err != nil {
			t.Fatal(err)
		}
		r, err := j.Get(t.Context(), operation)
		if err != nil || !bytes.Equal(r.Plan, plan) {
			t.Errorf("%s: %v", operation, err)
		}
	}
	var stored []byte
	var header string
	if err := db.Query(t.Context(), `SELECT plan, header FROM clacks_journal WHERE operation = 'op'`, nil, func(scan func(...any) error) error {
		return scan(&stored, &header)
	}); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(stored, []byte("secret")) || header != `{"type":"User"}` {
		t.Errorf("stored %s, %x", header, stored)
	}
	if _, err := j.open("another operation", stored); err == nil {
		t.Error("a plan can be moved to another operation")
	}
	changed := bytes.Clone(stored)
	changed[len(changed)-1] ^= 1
	for _, damaged := range []string{"{}", `{"sealed":"!"}`, `{"sealed":"AAAA"}`, "{", "\x01", "\x01short", "\x02" + string(stored[1:]), "\x04" + string(stored[1:]), string(changed)} {
		if _, err := j.open("op", []byte(damaged)); !clacks.IsKind(err, clacks.Internal) {
			t.Errorf("%q: %v", damaged, err)
		}
	}
	if _, err := New(db, key[:16], "one", c.now); !clacks.IsKind(err, clacks.Invalid) {
		t.Errorf("a short key: %v", err)
	}
}

// TestEndedPlansAreForgotten: only a parked plan is still of use, to a person.
func TestEndedPlansAreForgotten(t *testing.T) {
	db, c := open(t)
	j := owned(t, db, c, "one")
	for _, state := range []State{Committed, Aborted, Parked} {
		operation := string(state)
		if err := j.Prepare(t.Context(), Intent{Operation: operation, Plan: []byte("plan"), Locks: []string{operation}}); err != nil {
			t.Fatal(err)
		}
		var err error
		if state == Committed {
			_, err = db.Exec(t.Context(), j.Committed(operation, []byte("{}")), j.Unlock(operation))
		} else {
			_, err = j.End(t.Context(), operation, state, "x")
		}
		if err != nil {
			t.Fatal(err)
		}
		r, err := j.Get(t.Context(), operation)
		if err != nil || r.State != state || (len(r.Plan) > 0) != (state == Parked) {
			t.Errorf("%s: %+v, %v", state, r, err)
		}
	}
}

// TestPlansOfVersion1: an operation that was open when the tables were brought up to date is recovered as any other.
func TestPlansOfVersion1(t *testing.T) {
	db, c := open(t)
	j := owned(t, db, c, "one")
	nonce := []byte("twelve bytes")
	document := `{"header":{"type":"User"},"sealed":"` + base64.RawStdEncoding.EncodeToString(j.aead.Seal(nonce, nonce, []byte("old plan"), []byte("op"))) + `"}`
	_, err := db.Exec(t.Context(),
		store.Statement{SQL: `INSERT INTO clacks_journal (operation, owner, epoch, state, plan, created) VALUES ('op', 'one', 0, 'prepared', ?, 1)`,
			Args: []any{[]byte(document)}},
		store.Statement{SQL: `INSERT INTO clacks_locks (uuid, operation) VALUES ('u', 'op')`})
	if err != nil {
		t.Fatal(err)
	}
	found, err := j.Pending(t.Context())
	if err != nil || len(found) != 1 || string(found[0].Plan) != "old plan" {
		t.Errorf("%+v, %v", found, err)
	}
}

// TestFormsOfPlans: what a journal holds can be read as long as there is a reader for its form; one that is changed could not.
func TestFormsOfPlans(t *testing.T) {
	db, c := open(t)
	j := owned(t, db, c, "one")
	for form, stored := range map[byte]string{
		plainForm:   "AXR3ZWx2ZSBieXRlczqbTQG6yp9VneCW6CeD3Fvxaut1IykUletwMI5z8TuuL47CnLLZX4nn0R2q4OZubC2vIP7HtUieXBeaMcG5nv+EsbuyRBBYlOydxxQXM1PFjzRPBHCmX2bQHsbvZ1vuFsg7s32UodMO+IFQwG/v2NlLQCrLwe70rXWbTzDT35GyZHAVQ2Hap5w",
		deflateForm: "AnR3ZWx2ZSBieXRlc0V5s9sdiOqhFfgBLRmzyUS4RMd2V0BX71SO83exTJPk2SqjJ2ZVQaf4JDQfM2ao1O3OOsRXCdnmYr+UmjYMS0gHMiRAPk0qxAdX4Wu24tifmur9WOQniJmXqv11le0OzeP1z9gEa1BU/vUs3gh6cRoKIURRHAgaeAB94/nnhWjbKYDeS+M",
		wordsForm:   "A3R3ZWx2ZSBieXRlczmPd3Xb147joYt0qXvHgBzlJ6wZeG1C0eR7ItsmsWv3PJLNrb+XHc7kuVe9zPd8ZxTyM/Sbi0zSFReyOfXIbUT8J3zsmea+45vaX0UQ",
	} {
		data, err := base64.RawStdEncoding.DecodeString(stored)
		if err != nil || data[0] != form {
			t.Fatalf("form %d: %v", form, err)
		}
		if plan, err := j.open("op", data); err != nil || string(plan) != formsPlan {
			t.Errorf("form %d: %s, %v", form, plan, err)
		}
	}
}

// formsPlan is what TestFormsOfPlans reads.
const formsPlan = `{"Operation":"op","Actor":"admin","Rows":[{"Op":"update","UUID":"cff376ae-8096-1041-9710-cb91e9315ca0","DN":"cn=Jane"}]}`

// TestNothingIsPreparedWithoutLocks: recovery finds what is prepared by its locks.
func TestNothingIsPreparedWithoutLocks(t *testing.T) {
	db, c := open(t)
	err := owned(t, db, c, "one").Prepare(t.Context(), Intent{Operation: "op", Plan: []byte("p")})
	if !clacks.IsKind(err, clacks.Internal) || count(t, db, "clacks_journal") != 0 {
		t.Error(err)
	}
}

func TestStepsSurviveTheJournal(t *testing.T) {
	values := backends.Values{
		"text": {"a", "", "ä\x00"}, "raw": {"\xff\xfe"}, "int": {int64(-1), int64(1 << 60)}, "float": {1.5}, "bool": {true, false},
		"time": {time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)}, "bytes": {[]byte{0, 255}}, "none": {},
	}
	mods := []backends.Mod{{Attribute: "x", Delete: []any{"a"}, Add: []any{int64(2)}}, {Attribute: "y", Add: []any{[]byte("z")}}}
	steps := []Step{
		{Backend: "LDAP", Object: "u", Change: backends.Change{Op: backends.OpCreate, Ref: backends.Ref{DN: "cn=a", UUID: "u"}, Add: values}},
		{Backend: "LDAP", Object: "u", Change: backends.Change{Op: backends.OpModify, Ref: backends.Ref{DN: "cn=a"}, Mods: mods,
			Guard: backends.Guard{Version: "v", UUID: "u", Old: values}}},
		{Backend: "LDAP", Object: "u", Change: backends.Change{Op: backends.OpRename, Ref: backends.Ref{DN: "cn=a"}, To: backends.Ref{DN: "cn=b"}}, Restore: mods},
		{Backend: "SQL", Object: "u", Whole: values, Change: backends.Change{Op: backends.OpDelete,
			Ref: backends.Ref{Table: "t", Column: "c", Key: int64(7), Children: map[string]string{"k": "f"}}}},
		{Backend: "SQL", Object: "u", Change: backends.Change{Op: backends.OpRename, Ref: backends.Ref{Table: "t", Column: "c", Key: "7"},
			To: backends.Ref{Table: "t", Column: "c", Key: []byte{1}}}},
	}
	for _, step := range steps {
		text, err := json.Marshal(step)
		if err != nil {
			t.Fatal(err)
		}
		var back Step
		if err := json.Unmarshal(text, &back); err != nil || !reflect.DeepEqual(back, step) {
			t.Errorf("%s\n%+v\n%+v\n%v", text, step, back, err)
		}
	}
}

func FuzzValues(f *testing.F) {
	for _, s := range []string{"", "s", "sx", "xAA", "b1", "btrue", "i1", "i9999999999999999999", "f1e9", "t2026-01-02T03:04:05Z", "r/w", "?"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := DecodeValue(s)
		if err != nil {
			return
		}
		again, err := DecodeValue(EncodeValue(v))
		if err != nil || Text(again) != Text(v) {
			t.Errorf("%q: %#v became %#v, %v", s, v, again, err)
		}
	})
}

func TestCompareValues(t *testing.T) {
	step := Step{Change: backends.Change{Mods: []backends.Mod{
		{Attribute: "sn", Delete: []any{"old"}, Add: []any{"new"}}, {Attribute: "member", Add: []any{"b"}}}}}
	for name, test := range map[string]struct {
		have backends.Values
		want Outcome
	}{
		"before":           {backends.Values{"sn": {"old"}, "member": {"a"}}, Before},
		"after":            {backends.Values{"sn": {"new"}, "member": {"a", "b"}}, After},
		"others added":     {backends.Values{"sn": {"new"}, "member": {"a", "b", "c"}}, After},
		"others before":    {backends.Values{"sn": {"old"}, "member": {"c"}, "title": {"x"}}, Before},
		"others wrote":     {backends.Values{"sn": {"theirs"}, "member": {"a"}}, Neither},
		"partly":           {backends.Values{"sn": {"new"}, "member": {"a"}}, Neither},
		"nothing is there": {backends.Values{}, Neither},
	} {
		if got := step.CompareValues(test.have); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	// A directory has spellings of its own; where only the spelling changes, it alone tells.
	names := Step{Change: backends.Change{Mods: []backends.Mod{
		{Attribute: "manager", Delete: []any{"CN=Old, dc=x"}, Add: []any{"CN=New , DC=x"}}, {Attribute: "seeAlso", Add: []any{"cn=a, dc=x"}}}}}
	spelling := Step{Change: backends.Change{Mods: []backends.Mod{{Attribute: "cn", Delete: []any{"a=b"}, Add: []any{"A=b"}}}}}
	for _, test := range []struct {
		step Step
		have backends.Values
		want Outcome
	}{
		{names, backends.Values{"manager": {"cn=old,dc=x"}}, Before},
		{names, backends.Values{"manager": {"cn=new,dc=x"}, "seeAlso": {"cn=a,dc=x"}}, After},
		{names, backends.Values{"manager": {"cn=new,dc=x"}}, Neither},
		{names, backends.Values{"manager": {"cn=other,dc=x"}, "seeAlso": {"cn=a,dc=x"}}, Neither},
		{spelling, backends.Values{"cn": {"a=b"}}, Before},
		{spelling, backends.Values{"cn": {"A=b"}}, After},
	} {
		if got := test.step.CompareEntry(test.have); got != test.want {
			t.Errorf("%v: %v, not %v", test.have, got, test.want)
		}
	}
	types := Step{Change: backends.Change{Mods: []backends.Mod{{Attribute: "n", Add: []any{int64(5), true}}}}}
	if got := types.CompareValues(backends.Values{"n": {"5", "TRUE"}}); got != After {
		t.Errorf("typed and untyped values differ: %v", got)
	}
}

func TestInverse(t *testing.T) {
	ref, to := backends.Ref{DN: "cn=a", UUID: "u"}, backends.Ref{DN: "cn=b", UUID: "u"}
	whole := backends.Values{"cn": {"a"}}
	for _, test := range []struct{ step, want backends.Change }{
		{backends.Change{Op: backends.OpCreate, Ref: ref, Add: whole}, backends.Change{Op: backends.OpDelete, Ref: ref, Guard: backends.Guard{UUID: "u"}}},
		{backends.Change{Op: backends.OpDelete, Ref: ref}, backends.Change{Op: backends.OpCreate, Ref: ref, Add: whole}},
		{backends.Change{Op: backends.OpRename, Ref: ref, To: to, Guard: backends.Guard{UUID: "u", Version: "v"}},
			backends.Change{Op: backends.OpRename, Ref: to, To: ref, Guard: backends.Guard{UUID: "u"}}},
		{backends.Change{Op: backends.OpModify, Ref: ref, Mods: []backends.Mod{{Attribute: "x", Delete: []any{"1"}, Add: []any{"2"}}}},
			backends.Change{Op: backends.OpModify, Ref: ref, Mods: []backends.Mod{{Attribute: "x", Delete: []any{"2"}, Add: []any{"1"}}}}},
	} {
		step := Step{Change: test.step, Whole: whole}
		if got := step.Inverse(); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %+v, want %+v", test.step.Op, got, test.want)
		}
	}
}

func TestChunks(t *testing.T) {
	for n := range 300 {
		list := make([]int, n)
		total := 0
		for part := range Chunks(list) {
			if total += len(part); len(part)&(len(part)-1) != 0 || len(part) > maxChunk {
				t.Fatalf("%d: a part of %d", n, len(part))
			}
		}
		if total != n {
			t.Fatalf("%d: %d", n, total)
		}
	}
	if all := slices.Collect(Chunks([]int{1, 2, 3})); len(all) != 2 {
		t.Errorf("%v", all)
	}
}

var _ Database = (*store.DB)(nil)

func TestCancelledPrepare(t *testing.T) {
	db, c := open(t)
	j := owned(t, db, c, "one")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := j.Prepare(ctx, Intent{Operation: "op", Locks: []string{"u"}, Plan: []byte("p")}); err == nil || count(t, db, "clacks_journal") != 0 {
		t.Errorf("%v", err)
	}
}
