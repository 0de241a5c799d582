package objects

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"

	"clacks"
	"clacks/backends"
	"clacks/internal/dn"
	"clacks/objects/journal"
)

// faults makes the n-th operation of the stores that share it fail, once: before it does anything or after it is done
// ("no answer"). It is how a test walks through every operation of a commit.
type faults struct {
	mu    sync.Mutex
	count int
	at    int // 0 for never; counts from 1
	mode  faultMode
	hit   bool
	dice  *rand.Rand // when set, any operation may fail, in any of the first three ways
}

type faultMode uint8

const (
	refuse    faultMode = iota // Unavailable, nothing done
	lostReply                  // InDoubt, done
	lostSend                   // InDoubt, nothing done
	dead                       // from here on nothing is done: the process is gone
	deadAfter                  // the same, and this one was still done
)

func (m faultMode) String() string {
	return [...]string{"refuse", "lost reply", "lost request", "dead", "dead after"}[m]
}

// around runs one operation, or what the fault makes of it.
func (f *faults) around(run func() error) error {
	f.mu.Lock()
	f.count++
	hit, mode := f.at != 0 && f.count == f.at, f.mode
	if f.dice != nil && f.dice.IntN(25) == 0 {
		hit, mode = true, faultMode(f.dice.IntN(int(dead)))
	}
	gone := f.at != 0 && f.count > f.at && mode >= dead
	f.hit = f.hit || hit
	f.mu.Unlock()
	if gone {
		return clacks.E(clacks.Unavailable, "test", "the process is gone")
	}
	if !hit {
		return run()
	}
	switch mode {
	case deadAfter:
		_ = run()
		return clacks.E(clacks.Unavailable, "test", "the process is gone")
	case lostReply:
		if err := run(); err != nil {
			return err
		}
		return clacks.E(clacks.InDoubt, "test", "no answer came")
	case lostSend:
		return clacks.E(clacks.InDoubt, "test", "no answer came")
	}
	return clacks.E(clacks.Unavailable, "test", "the store is down")
}

func (f *faults) arm(at int, mode faultMode) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count, f.at, f.mode, f.hit = 0, at, mode, false
}

// roll lets operations fail at random from now on, or no more.
func (f *faults) roll(dice *rand.Rand) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dice = dice
}

func (f *faults) wasHit() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hit
}

// memoryTree is a directory in memory: versions, UUIDs, guards, subtree renames.
type memoryTree struct {
	*faults
	mu      sync.Mutex
	entries map[string]*backends.Entry // by DN key
	change  int
	deny    func(backends.Change) error // what its schema refuses
	down    error                       // what every operation answers
	reads   int
}

func newMemoryTree(f *faults, base string) *memoryTree {
	t := &memoryTree{faults: f, entries: map[string]*backends.Entry{}}
	key, err := dn.Key(base)
	if err != nil {
		panic(err)
	}
	t.entries[key] = &backends.Entry{Ref: backends.Ref{DN: base, UUID: uuid.NewString()}, Version: "0", Values: backends.Values{
		"objectClass": {"domain"}, "dc": {dn.RDNValues(base)[0].Value},
	}}
	return t
}

func (t *memoryTree) Capabilities() backends.Capabilities {
	return backends.Capabilities{Kind: backends.Tree, Versions: true, Rename: true, SubtreeRename: true}
}

func (t *memoryTree) Close() error { return nil }

func (t *memoryTree) Ping(context.Context) error { return t.down }

func (t *memoryTree) find(ref backends.Ref) (string, *backends.Entry) {
	if ref.DN == "" {
		for key, e := range t.entries {
			if strings.EqualFold(e.UUID, ref.UUID) {
				return key, e
			}
		}
		return "", nil
	}
	key, err := dn.Key(ref.DN)
	if err != nil {
		return "", nil
	}
	return key, t.entries[key]
}

func copyEntry(e *backends.Entry, want []string) *backends.Entry {
	c := &backends.Entry{Ref: e.Ref, Version: e.Version, Values: backends.Values{}}
	for name, list := range e.Values {
		if slices.Contains(want, "*") || containsFold(want, name) {
			c.Values[name] = slices.Clone(list)
		}
	}
	return c
}

func (t *memoryTree) Read(ctx context.Context, ref backends.Ref, want []string) (*backends.Entry, error) {
	if t.down != nil {
		return nil, t.down
	}
	var found *backends.Entry
	err := t.around(func() error {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.reads++
		_, e := t.find(ref)
		if e == nil {
			return clacks.E(clacks.NotFound, "memory", "no entry %s%s", ref.DN, ref.UUID)
		}
		found = copyEntry(e, want)
		return nil
	})
	if clacks.IsKind(err, clacks.InDoubt) { // a reading has no outcome to be in doubt of
		err = clacks.E(clacks.Unavailable, "test", "no answer came")
	}
	return found, err
}

func (t *memoryTree) Search(_ context.Context, q backends.Query) iter.Seq2[*backends.Entry, error] {
	return func(yield func(*backends.Entry, error) bool) {
		t.mu.Lock()
		base, err := dn.Key(q.Base)
		var found []*backends.Entry
		for key, e := range t.entries {
			if err == nil && dn.KeyUnder(key, base) {
				found = append(found, copyEntry(e, q.Attributes))
			}
		}
		t.mu.Unlock()
		for _, e := range found {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (t *memoryTree) Apply(_ context.Context, c backends.Change) (backends.Result, error) {
	if t.down != nil {
		return backends.Result{}, t.down
	}
	var result backends.Result
	err := t.around(func() error {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.deny != nil {
			if err := t.deny(c); err != nil {
				return err
			}
		}
		if err := t.apply(c); err != nil {
			return err
		}
		if c.Op != backends.OpDelete {
			ref := c.Ref
			if c.Op == backends.OpRename {
				ref = c.To
			}
			_, e := t.find(ref)
			t.change++
			e.Version = fmt.Sprint(t.change)
			result.Version = e.Version
		}
		return nil
	})
	return result, err
}

func (t *memoryTree) apply(c backends.Change) error {
	key, e := t.find(c.Ref)
	if c.Op == backends.OpCreate {
		return t.create(c)
	}
	switch {
	case e == nil:
		return clacks.E(clacks.NotFound, "memory", "no entry %s", c.Ref.DN)
	case c.Guard.UUID != "" && !strings.EqualFold(c.Guard.UUID, e.UUID):
		return clacks.E(clacks.Conflict, "memory", "another entry")
	case c.Guard.Version != "" && c.Guard.Version != e.Version:
		return clacks.E(clacks.Conflict, "memory", "version %s is not %s", e.Version, c.Guard.Version)
	}
	switch c.Op {
	case backends.OpModify:
		return modify(e.Values, c.Mods)
	case backends.OpRename:
		return t.rename(key, e, c.To.DN)
	}
	for other := range t.entries {
		if other != key && dn.KeyUnder(other, key) {
			return clacks.E(clacks.InUse, "memory", "has children")
		}
	}
	delete(t.entries, key)
	return nil
}

func (t *memoryTree) create(c backends.Change) error {
	key, err := dn.Key(c.Ref.DN)
	if err != nil {
		return err
	}
	if t.entries[key] != nil {
		return clacks.E(clacks.NotUnique, "memory", "%s exists", c.Ref.DN)
	}
	if t.entries[dn.Parent(key)] == nil {
		return clacks.E(clacks.NotFound, "memory", "no parent of %s", c.Ref.DN)
	}
	e := &backends.Entry{Ref: backends.Ref{DN: c.Ref.DN, UUID: c.Ref.UUID}, Values: backends.Values{}}
	for name, list := range c.Add {
		e.Values[name] = slices.Clone(list)
	}
	for _, part := range dn.RDNValues(c.Ref.DN) {
		if !hasText(valuesOf(e.Values, part.Attribute), part.Value) {
			return clacks.E(clacks.Invalid, "memory", "the entry lacks its name's %s", part.Attribute)
		}
	}
	t.entries[key] = e
	return nil
}

func modify(values backends.Values, mods []backends.Mod) error {
	next := maps.Clone(values)
	for _, m := range mods {
		list := slices.Clone(next[m.Attribute])
		for _, v := range m.Delete {
			i := slices.IndexFunc(list, func(w any) bool { return journal.Text(w) == journal.Text(v) })
			if i < 0 {
				return clacks.E(clacks.Conflict, "memory", "%s has no such value", m.Attribute)
			}
			list = slices.Delete(list, i, i+1)
		}
		for _, v := range m.Add {
			if slices.ContainsFunc(list, func(w any) bool { return journal.Text(w) == journal.Text(v) }) {
				return clacks.E(clacks.Conflict, "memory", "%s has the value", m.Attribute)
			}
			list = append(list, v)
		}
		if next[m.Attribute] = list; len(list) == 0 {
			delete(next, m.Attribute)
		}
	}
	clear(values)
	maps.Copy(values, next)
	return nil
}

func (t *memoryTree) rename(key string, e *backends.Entry, to string) error {
	toKey, err := dn.Key(to)
	if err != nil {
		return err
	}
	if t.entries[toKey] != nil && toKey != key {
		return clacks.E(clacks.NotUnique, "memory", "%s exists", to)
	}
	if t.entries[dn.Parent(toKey)] == nil {
		return clacks.E(clacks.NotFound, "memory", "no parent of %s", to)
	}
	from := e.DN
	for other, child := range maps.Clone(t.entries) {
		if other == key || !dn.KeyUnder(other, key) {
			continue
		}
		child.DN, _ = dn.Rebase(child.DN, from, to)
		delete(t.entries, other)
		childKey, err := dn.Key(child.DN)
		if err != nil {
			return err
		}
		t.entries[childKey] = child
	}
	e.Values = afterRename(e.Values, from, to)
	e.DN = to
	delete(t.entries, key)
	t.entries[toKey] = e
	return nil
}

// memoryTable is a database of tables in memory, without versions: rows by table and key.
type memoryTable struct {
	*faults
	mu   sync.Mutex
	rows map[string]map[string]*backends.Entry
	deny func(backends.Change) error
}

func newMemoryTable(f *faults) *memoryTable {
	return &memoryTable{faults: f, rows: map[string]map[string]*backends.Entry{}}
}

func (t *memoryTable) Capabilities() backends.Capabilities {
	return backends.Capabilities{Kind: backends.Table, Rename: true}
}
func (t *memoryTable) Close() error               { return nil }
func (t *memoryTable) Ping(context.Context) error { return nil }

func (t *memoryTable) table(name string) map[string]*backends.Entry {
	if t.rows[name] == nil {
		t.rows[name] = map[string]*backends.Entry{}
	}
	return t.rows[name]
}

func (t *memoryTable) Read(_ context.Context, ref backends.Ref, want []string) (*backends.Entry, error) {
	var found *backends.Entry
	err := t.around(func() error {
		t.mu.Lock()
		defer t.mu.Unlock()
		e := t.table(ref.Table)[journal.Text(ref.Key)]
		if e == nil {
			return clacks.E(clacks.NotFound, "memory", "no row %v", ref.Key)
		}
		found = copyEntry(e, want)
		return nil
	})
	if clacks.IsKind(err, clacks.InDoubt) {
		err = clacks.E(clacks.Unavailable, "test", "no answer came")
	}
	return found, err
}

func (t *memoryTable) Search(_ context.Context, q backends.Query) iter.Seq2[*backends.Entry, error] {
	return func(yield func(*backends.Entry, error) bool) {
		t.mu.Lock()
		var found []*backends.Entry
		for key, e := range t.table(q.Table) {
			if q.Keys == nil || slices.ContainsFunc(q.Keys, func(k any) bool { return journal.Text(k) == key }) {
				found = append(found, copyEntry(e, q.Attributes))
			}
		}
		t.mu.Unlock()
		for _, e := range found {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (t *memoryTable) Apply(_ context.Context, c backends.Change) (backends.Result, error) {
	return backends.Result{}, t.around(func() error {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.deny != nil {
			if err := t.deny(c); err != nil {
				return err
			}
		}
		return t.apply(c)
	})
}

func (t *memoryTable) apply(c backends.Change) error {
	table, key := t.table(c.Ref.Table), journal.Text(c.Ref.Key)
	e := table[key]
	if c.Op == backends.OpCreate {
		if e != nil {
			return clacks.E(clacks.NotUnique, "memory", "the row exists")
		}
		table[key] = &backends.Entry{Ref: c.Ref, Values: maps.Clone(c.Add)}
		return nil
	}
	if e == nil {
		return clacks.E(clacks.NotFound, "memory", "no row %s", key)
	}
	for name, list := range c.Guard.Old {
		if len(without(e.Values[name], list)) > 0 || len(without(list, e.Values[name])) > 0 {
			return clacks.E(clacks.Conflict, "memory", "%s has changed", name)
		}
	}
	switch c.Op {
	case backends.OpModify:
		return modify(e.Values, c.Mods)
	case backends.OpDelete:
		delete(table, key)
	case backends.OpRename:
		to := journal.Text(c.To.Key)
		if table[to] != nil {
			return clacks.E(clacks.NotUnique, "memory", "the row exists")
		}
		delete(table, key)
		e.Ref = c.To
		table[to] = e
	}
	return nil
}
