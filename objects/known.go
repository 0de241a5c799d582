package objects

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"clacks/backends"
	"clacks/mapping"
	"clacks/objects/journal"
)

// knownEntries keeps entries as they were last read, or left by a commit, so that a change can be planned without reading
// them again. Nothing else is served from here, and what is here may be old: a plan from it stands only when each of these
// entries is changed by it under a guard of what it was (plan.asserts), or is read after all and is the same (unchanged).
//
// It holds what the attributes of the object's types are read from, and so no secrets. It is bounded by size: the entries
// that were used since the last turn survive the next one.
type knownEntries struct {
	mu         sync.Mutex
	young, old map[string]knownEntry // by knownKey
	size       int                   // of young, in bytes
	limit      int
	misses     map[string]int // by Source.ID
}

// knownEntry is an entry with what it must fit to be used. The values are packed: the collector of garbage has nothing to
// look at there.
type knownEntry struct {
	source  *mapping.Source // of which shape: it tells what was read
	dnKey   string
	ref     backends.Ref
	version string
	values  string
	read    time.Time
}

const (
	knownSize     = 16 << 20 // bytes of each generation
	maxKnownEntry = 16 << 10 // bytes: an entry with a photo is read each time
	// knownAge bounds how long an entry is used: some overlays of a directory change an entry without giving it another
	// version, and what they do is to be noticed some day.
	knownAge = 10 * time.Minute
)

func newKnownEntries() *knownEntries {
	return &knownEntries{young: map[string]knownEntry{}, limit: knownSize, misses: map[string]int{}}
}

// knownKey is the entryKey of an object's entry in a source.
func knownKey(source *mapping.Source, uuid string) string {
	return keyOfEntry(source.Backend, source.Table, uuid)
}

// get is the entry of an object in a source, nil when it is not known.
func (k *knownEntries) get(source *mapping.Source, r *row, now time.Time) *backends.Entry {
	known, ok := k.find(source, knownKey(source, r.uuid))
	if !ok || known.source != source || known.dnKey != r.dnKey || now.Sub(known.read) > knownAge {
		return nil
	}
	values, err := unpack(known.values)
	if err != nil {
		return nil
	}
	return &backends.Entry{Ref: known.ref, Version: known.version, Values: values}
}

func (k *knownEntries) find(source *mapping.Source, key string) (knownEntry, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.misses[source.ID] >= tooManyMisses {
		k.misses[source.ID]--
		return knownEntry{}, false
	}
	known, ok := k.young[key]
	if !ok {
		if known, ok = k.old[key]; ok {
			k.add(key, known)
		}
	}
	return known, ok
}

// put keeps of an entry what its source wants, all of which was read.
func (k *knownEntries) put(source *mapping.Source, r *row, entry *backends.Entry, now time.Time) {
	if r.dnKey == "" || entry.Version == "" && source.Kind == backends.Tree {
		return
	}
	key := knownKey(source, r.uuid)
	known := knownEntry{source: source, dnKey: r.dnKey, ref: entry.Ref, version: entry.Version, read: now}
	if k.renew(key, known) {
		return
	}
	var small bool
	known.values, small = pack(entry.Values, source.Want)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.remove(key)
	if small {
		k.add(key, known)
	}
}

// renew notes that an entry was read again and has the same version.
func (k *knownEntries) renew(key string, same knownEntry) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	known, ok := k.young[key]
	if !ok || known.version == "" || known.version != same.version || known.source != same.source || known.dnKey != same.dnKey {
		return false
	}
	known.read = same.read
	k.young[key] = known
	return true
}

func (k *knownEntries) add(key string, known knownEntry) {
	k.young[key] = known
	k.size += known.size()
	if k.size > k.limit {
		k.old, k.young, k.size = k.young, map[string]knownEntry{}, 0
	}
}

func (k *knownEntries) remove(key string) {
	if known, ok := k.young[key]; ok {
		k.size -= known.size()
		delete(k.young, key)
	}
	delete(k.old, key)
}

// size is about what an entry takes in memory, in bytes.
func (e *knownEntry) size() int { return 256 + len(e.dnKey) + len(e.ref.DN) + len(e.values) }

// judge notes what became of a plan from entries of some sources. Where others write much, or a database changes by itself
// what is written to it, so many plans would be made in vain that reading is cheaper.
func (k *knownEntries) judge(sources []*mapping.Source, stood bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, source := range sources {
		switch n := k.misses[source.ID]; {
		case !stood:
			k.misses[source.ID] = 2*n + 8
		case n > 1:
			k.misses[source.ID] = n - 1
		case n == 1:
			delete(k.misses, source.ID)
		}
	}
}

// tooManyMisses is when a source's entries are read instead; each time brings it nearer to another try. A plan in vain
// counts for eight that stood, and more when the one before it was in vain too.
const tooManyMisses = 16

// since is when an entry was read, otherwise where it is not known.
func (k *knownEntries) since(key string, otherwise time.Time) time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	if known, ok := k.young[key]; ok {
		return known.read
	}
	return otherwise
}

// drop forgets an entry.
func (k *knownEntries) drop(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.remove(key)
}

// pack is the values of some attributes as one text, unless there is too much of it: for each attribute the length and the
// letters of its name, the number of its values, and these in the same way.
func pack(values backends.Values, names []string) (packed string, small bool) {
	b := make([]byte, 0, 1024)
	var text []byte
	for name, list := range values {
		if !among(names, name) {
			continue
		}
		b = appendText(b, name)
		b = binary.AppendUvarint(b, uint64(len(list)))
		for _, v := range list {
			text = journal.AppendValue(text[:0], v)
			b = appendText(b, text)
			if len(b) > maxKnownEntry {
				return "", false
			}
		}
	}
	return string(b), true
}

func appendText[T string | []byte](b []byte, text T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

// among reports whether a list has the name of an attribute, in any case of its letters.
func among(names []string, name string) bool {
	return slices.Contains(names, name) || slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) })
}

var errPacked = errors.New("objects: a packed entry is damaged")

// unpack is the inverse of pack.
func unpack(packed string) (backends.Values, error) {
	values := backends.Values{}
	for packed != "" {
		name, rest, err := cutText(packed)
		if err != nil {
			return nil, err
		}
		n, rest, err := cutNumber(rest)
		if err != nil || n > uint64(len(rest)) {
			return nil, errPacked
		}
		list := make([]backends.Value, n)
		for i := range list {
			var text string
			if text, rest, err = cutText(rest); err != nil {
				return nil, err
			}
			if list[i], err = journal.DecodeValue(text); err != nil {
				return nil, err
			}
		}
		values[name], packed = list, rest
	}
	return values, nil
}

func cutText(packed string) (text, rest string, err error) {
	n, rest, err := cutNumber(packed)
	if err != nil || n > uint64(len(rest)) {
		return "", "", errPacked
	}
	return rest[:n], rest[n:], nil
}

func cutNumber(packed string) (n uint64, rest string, err error) {
	for i := range min(len(packed), binary.MaxVarintLen64) {
		n |= uint64(packed[i]&0x7f) << (7 * i)
		if packed[i] < 0x80 {
			return n, packed[i+1:], nil
		}
	}
	return 0, "", errPacked
}

// rememberable reports whether the entries of a source may be kept: those of a directory with versions, and rows that are
// changed in the transaction of the commit point.
func (s *Service) rememberable(source *mapping.Source) bool {
	switch joined := s.joiners[source.Backend] != nil; source.Kind {
	case backends.Tree:
		return !joined && s.versions(source)
	case backends.Table:
		return joined
	case backends.None:
	}
	return false
}

// recollect puts the entries that are known into entries, and returns their sources and those that are to be read.
func (s *Service) recollect(r *row, wanted []mapping.SourceWant, entries mapping.Entries) (known []*mapping.Source, rest []mapping.SourceWant) {
	now := s.now()
	for _, w := range wanted {
		if entry := s.known.get(w.Source, r, now); entry != nil {
			entries[w.Source.ID] = entry
			known = append(known, w.Source)
			continue
		}
		rest = append(rest, w)
	}
	return known, rest
}

// remember keeps what was read of an object, where that was all that its source wants.
func (s *Service) remember(w mapping.SourceWant, r *row, entry *backends.Entry) {
	all := len(w.Want) > 0 && w.Want[0] == everything || len(w.Want) >= len(w.Source.Want)
	if all && s.rememberable(w.Source) {
		s.known.put(w.Source, r, entry, s.now())
	}
}

// stands reports whether a plan from memory is as good as one from reading: it asserts each entry that comes from there, or
// the entry is read after all, and is the same.
func (r *request) stands(ctx context.Context, p *plan, l *loaded) bool {
	p.remembered = l.remembered
	for _, source := range l.remembered {
		if !p.asserts(source, l) && !r.s.unchanged(ctx, source, l) {
			r.s.known.judge(l.remembered, false)
			return false
		}
	}
	return true
}

// asserts reports whether a plan does nothing unless an object's entry is still the same: it modifies the entry, under a
// guard of its version or its values, and only where it was read.
func (p *plan) asserts(source *mapping.Source, l *loaded) bool {
	entry := l.entries[source.ID]
	for i := range p.Steps {
		step := &p.Steps[i]
		guard := step.Change.Guard
		if entryKey(step) != knownKey(source, l.row.uuid) || !onlyWanted(step.Change.Mods, source) {
			continue
		}
		if step.Change.Op == backends.OpModify && (guard.Seen != nil || guard.Version != "" && guard.Version == entry.Version) {
			return true
		}
	}
	return false
}

func onlyWanted(mods []backends.Mod, source *mapping.Source) bool {
	return !slices.ContainsFunc(mods, func(m backends.Mod) bool { return !among(source.Want, m.Attribute) })
}

// unchanged reads an entry that comes from memory.
func (s *Service) unchanged(ctx context.Context, source *mapping.Source, l *loaded) bool {
	ref, ok := sourceRef(source, l.row)
	if !ok {
		return false
	}
	known := l.entries[source.ID]
	w := mapping.SourceWant{Source: source, Want: source.Want}
	entry, err := s.readEntry(ctx, w, ref)
	if err != nil || entry == nil {
		return false
	}
	s.remember(w, l.row, entry)
	return entry.UUID == known.UUID && entry.Version == known.Version && sameValues(entry.Values, known.Values)
}

// sameValues compares all values of two entries; those of an attribute may come in any order.
func sameValues(a, b backends.Values) bool {
	return len(a) == len(b) && len(difference(a, b)) == 0
}

// seen are the values of a row that comes from memory, those of empty columns among them; nil when it was read now.
func (l *loaded) seen(source *mapping.Source) backends.Values {
	if !slices.Contains(l.remembered, source) {
		return nil
	}
	entry := l.entries[source.ID]
	values := make(backends.Values, len(source.Want))
	for _, name := range source.Want {
		values[name] = valuesOf(entry.Values, name)
	}
	return values
}

// modified is an entry that a plan modifies and does nothing else with.
type modified struct {
	source *mapping.Source
	entry  *backends.Entry // before
	step   int
}

// learn keeps what a commit has left of the entries that it modified, and forgets the others that it touched, or touched more
// than once. What a commit was planned from as it was remembered does not become younger by that.
func (s *Service) learn(x *execution, rows []*row) {
	s.known.judge(x.remembered, true)
	steps := make(map[string]int, len(x.Steps)) // of each entry that is to be forgotten
	for i := range x.Steps {
		steps[entryKey(&x.Steps[i])]++
	}
	left := make(map[string]*row, len(rows))
	for _, r := range rows {
		if r != nil {
			left[r.uuid] = r
		}
	}
	for _, m := range x.modified {
		step := &x.Steps[m.step]
		key, r := entryKey(step), left[step.Object]
		if r == nil || !s.rememberable(m.source) || steps[key] > 1 {
			continue
		}
		entry := m.leaves(&step.Change, x.shown[m.step])
		if entry == nil {
			continue
		}
		read := s.now()
		if slices.Contains(x.remembered, m.source) {
			read = s.known.since(key, read)
		}
		s.known.put(m.source, r, entry, read)
		delete(steps, key)
	}
	for key := range steps {
		s.known.drop(key)
	}
}

// leaves is the entry after a change. Of a directory's entry that is what the server has shown (wantAfter), and otherwise what
// was there; nil when it has shown nothing.
func (m *modified) leaves(c *backends.Change, shown *backends.Entry) *backends.Entry {
	left := after(m.entry, c.Mods)
	if m.source.Kind == backends.Table {
		return left
	}
	if shown == nil {
		return nil
	}
	left.Version = shown.Version
	for _, name := range c.Want {
		delete(left.Values, spelled(left.Values, name))
		if values := shown.Values[name]; len(values) > 0 {
			left.Values[name] = values
		}
	}
	return left
}

// wantAfter is what a directory shall show of an entry after it is modified, so that the entry is known: what may be another
// thing than before, or than what was written. That is what the change touches, and what only the directory writes. A row
// needs none: it is asserted by its values, so that no harm is done when the database has made others of them.
func (s *Service) wantAfter(source *mapping.Source, entry *backends.Entry, mods []backends.Mod) []string {
	if !s.rememberable(source) {
		return nil
	}
	size := 0
	want := make([]string, 0, len(mods)+len(source.ReadOnly)+1)
	for _, m := range mods {
		size += roomFor(m.Add)
		if among(source.Want, m.Attribute) {
			want = append(want, m.Attribute)
		}
	}
	for _, list := range entry.Values {
		size += roomFor(list)
	}
	if size > maxKnownEntry {
		return nil
	}
	if want = append(want, source.ReadOnly...); len(want) == 0 {
		want = append(want, mapping.ObjectClass)
	}
	return want
}

// roomFor is about what values take in memory, in bytes.
func roomFor(values []backends.Value) int {
	size := 16 * len(values)
	for _, v := range values {
		switch v := v.(type) {
		case string:
			size += len(v)
		case []byte:
			size += len(v)
		}
	}
	return size
}

// forget drops the entries that a plan touches.
func (s *Service) forget(p *plan) {
	for i := range p.Steps {
		s.known.drop(entryKey(&p.Steps[i]))
	}
}

// after is a row once mods were made.
func after(entry *backends.Entry, mods []backends.Mod) *backends.Entry {
	changed := *entry
	changed.Values = make(backends.Values, len(entry.Values)+len(mods))
	for name, values := range entry.Values {
		changed.Values[name] = values
	}
	for _, m := range mods {
		name := spelled(changed.Values, m.Attribute)
		values := append(without(changed.Values[name], m.Delete), m.Add...)
		if len(values) == 0 {
			delete(changed.Values, name)
			continue
		}
		changed.Values[name] = values
	}
	return &changed
}
