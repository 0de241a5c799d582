package objects

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"clacks/backends"
	"clacks/mapping"
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
	misses     map[*mapping.Source]int
}

// knownEntry is an entry with what it must fit to be used.
type knownEntry struct {
	source *mapping.Source // of which shape: it tells what was read
	dnKey  string
	entry  *backends.Entry // only read
	size   int
	read   time.Time
}

const (
	knownSize = 32 << 20 // bytes of each generation
	// knownAge bounds how long an entry is used: some overlays of a directory change an entry without giving it another
	// version, and what they do is to be noticed some day.
	knownAge = 10 * time.Minute
)

func newKnownEntries() *knownEntries {
	return &knownEntries{young: map[string]knownEntry{}, limit: knownSize, misses: map[*mapping.Source]int{}}
}

// knownKey is the entryKey of an object's entry in a source.
func knownKey(source *mapping.Source, uuid string) string {
	return source.Backend + "/" + source.Table + "/" + uuid
}

// get is the entry of an object in a source, nil when it is not known.
func (k *knownEntries) get(source *mapping.Source, r *row, now time.Time) *backends.Entry {
	key := knownKey(source, r.uuid)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.misses[source] >= tooManyMisses {
		k.misses[source]--
		return nil
	}
	known, ok := k.young[key]
	if !ok {
		if known, ok = k.old[key]; ok {
			k.add(key, known)
		}
	}
	if !ok || known.source != source || known.dnKey != r.dnKey || now.Sub(known.read) > knownAge {
		return nil
	}
	return known.entry
}

// put keeps an entry that was read with all that its source wants; the caller does not change it any more.
func (k *knownEntries) put(source *mapping.Source, r *row, entry *backends.Entry, now time.Time) {
	if r.dnKey == "" || entry.Version == "" && source.Kind == backends.Tree {
		return
	}
	known := knownEntry{source: source, dnKey: r.dnKey, entry: entry, read: now}
	known.size = len(r.dnKey) + sizeOfEntry(known.entry)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.add(knownKey(source, r.uuid), known)
}

func (k *knownEntries) add(key string, known knownEntry) {
	if known.size > k.limit/16 {
		delete(k.young, key)
		delete(k.old, key)
		return
	}
	k.size += known.size - k.young[key].size
	k.young[key] = known
	if k.size > k.limit {
		k.old, k.young, k.size = k.young, map[string]knownEntry{}, 0
	}
}

// judge notes what became of a plan from entries of some sources. Where others write much, or a database changes by itself
// what is written to it, so many plans would be made in vain that reading is cheaper.
func (k *knownEntries) judge(sources []*mapping.Source, stood bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, source := range sources {
		switch n := k.misses[source]; {
		case !stood:
			k.misses[source] = min(n+8, 64)
		case n > 1:
			k.misses[source] = n - 1
		case n == 1:
			delete(k.misses, source)
		}
	}
}

// tooManyMisses is when a source's entries are read instead; each time brings it nearer to another try. A plan in vain
// counts eight, one that stood counts one back.
const tooManyMisses = 16

// drop forgets an entry.
func (k *knownEntries) drop(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.size -= k.young[key].size
	delete(k.young, key)
	delete(k.old, key)
}

// only is an entry with the attributes of a list.
func only(entry *backends.Entry, names []string) *backends.Entry {
	kept := *entry
	kept.Values = make(backends.Values, len(names))
	for name, values := range entry.Values {
		if among(names, name) {
			kept.Values[name] = values
		}
	}
	return &kept
}

// among reports whether a list has the name of an attribute, in any case of its letters.
func among(names []string, name string) bool {
	return slices.Contains(names, name) || slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) })
}

// sizeOfEntry is about what an entry takes in memory, in bytes.
func sizeOfEntry(entry *backends.Entry) int {
	size := 512 + len(entry.DN)
	for name, values := range entry.Values {
		size += 64 + len(name)
		for _, v := range values {
			size += 32
			switch v := v.(type) {
			case string:
				size += len(v)
			case []byte:
				size += len(v)
			}
		}
	}
	return size
}

// rememberable reports whether the entries of a source may be kept: those of a directory with versions, and rows that are
// changed in the transaction of the commit point.
func (s *Service) rememberable(source *mapping.Source) bool {
	switch joined := s.joiners[source.Backend] != nil; source.Kind {
	case backends.Tree:
		return !joined && s.versions(source)
	case backends.Table:
		return joined
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
	switch {
	case !s.rememberable(w.Source):
	case len(w.Want) > 0 && w.Want[0] == everything, len(w.Want) > len(w.Source.Want):
		s.known.put(w.Source, r, only(entry, w.Source.Want), s.now())
	case len(w.Want) == len(w.Source.Want):
		s.known.put(w.Source, r, entry, s.now())
	}
}

// stands reports whether a plan from memory is as good as one from reading: it asserts each entry that comes from there, or
// the entry is read after all, and is the same.
func (s *Service) stands(ctx context.Context, p *plan, l *loaded) bool {
	return !slices.ContainsFunc(l.remembered, func(source *mapping.Source) bool {
		return !p.asserts(source, l) && !s.unchanged(ctx, source, l)
	})
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

// learn keeps what a commit has left of the entries that it modified, and forgets the others that it touched.
func (s *Service) learn(x *execution, rows []*row) {
	s.forget(x.plan)
	s.known.judge(x.remembered, true)
	now := s.now()
	for _, m := range x.modified {
		step := &x.Steps[m.step]
		at := slices.IndexFunc(rows, func(r *row) bool { return r != nil && r.uuid == step.Object })
		if at >= 0 && s.rememberable(m.source) {
			s.known.put(m.source, rows[at], after(only(m.entry, m.source.Want), step.Change.Mods, x.versions[entryKey(step)]), now)
		}
	}
}

// forget drops the entries that a plan touches.
func (s *Service) forget(p *plan) {
	for i := range p.Steps {
		s.known.drop(entryKey(&p.Steps[i]))
	}
}

// after is an entry once mods were made, with the version that it has then.
func after(entry *backends.Entry, mods []backends.Mod, version string) *backends.Entry {
	changed := *entry
	changed.Version = version
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

// spelled is an attribute's name as the values have it, or as it is.
func spelled(values backends.Values, name string) string {
	if _, ok := values[name]; ok {
		return name
	}
	for have := range values {
		if strings.EqualFold(have, name) {
			return have
		}
	}
	return name
}
