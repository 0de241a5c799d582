package objects

import (
	"slices"
	"strings"
	"sync"
	"time"

	"clacks/backends"
	"clacks/mapping"
	"clacks/objects/journal"
)

// knownEntries keeps entries of directories as they were last read, or left by a commit, so that a change can be planned
// without reading them again. Nothing else is served from here, and what is here may be old: a plan from it stands only
// when each of these entries is changed by it under the guard of the version that it had (plan.asserts).
//
// It holds what the attributes of the object's types are read from, and so no secrets. It is bounded by size: the entries
// that were used since the last turn survive the next one.
type knownEntries struct {
	mu         sync.Mutex
	young, old map[string]knownEntry // by backend and UUID
	size       int                   // of young, in bytes
	limit      int
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
	knownSize = 16 << 20 // bytes of each generation
	// knownAge bounds how long an entry is used: some overlays of a directory change an entry without giving it another
	// version, and what they do is to be noticed some day.
	knownAge = 10 * time.Minute
)

func newKnownEntries() *knownEntries {
	return &knownEntries{young: map[string]knownEntry{}, limit: knownSize}
}

func knownKey(backend, uuid string) string { return backend + "/" + uuid }

// get is the entry of an object in a source, nil when it is not known.
func (k *knownEntries) get(source *mapping.Source, r *row, now time.Time) *backends.Entry {
	key := knownKey(source.Backend, r.uuid)
	k.mu.Lock()
	defer k.mu.Unlock()
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
	if entry.Version == "" || r.dnKey == "" {
		return
	}
	known := knownEntry{source: source, dnKey: r.dnKey, entry: entry, read: now}
	known.size = len(r.dnKey) + sizeOfEntry(known.entry)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.add(knownKey(source.Backend, r.uuid), known)
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

// drop forgets the entry of an object.
func (k *knownEntries) drop(backend, uuid string) {
	key := knownKey(backend, uuid)
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

// rememberable reports whether the entries of a source may be kept: a directory's whose changes can be guarded by the version,
// and are made one by one.
func (s *Service) rememberable(source *mapping.Source) bool {
	return source.Kind == backends.Tree && s.joiners[source.Backend] == nil && s.versions(source)
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
	if !s.rememberable(w.Source) {
		return
	}
	switch {
	case len(w.Want) > 0 && w.Want[0] == everything:
		s.known.put(w.Source, r, only(entry, w.Source.Want), s.now())
	case len(w.Want) == len(w.Source.Want):
		s.known.put(w.Source, r, entry, s.now())
	}
}

// asserts reports whether a plan does nothing unless the entries that it took from memory are still the same: each is
// modified, under the guard of its version, and only where it was read.
func (p *plan) asserts(l *loaded) bool {
	for _, source := range l.remembered {
		entry := l.entries[source.ID]
		if !slices.ContainsFunc(p.Steps, func(step journal.Step) bool {
			return step.Backend == source.Backend && step.Object == l.row.uuid && step.Change.Op == backends.OpModify &&
				step.Change.Guard.Version == entry.Version && readBefore(step.Change.Mods, source)
		}) {
			return false
		}
	}
	return true
}

func readBefore(mods []backends.Mod, source *mapping.Source) bool {
	return !slices.ContainsFunc(mods, func(m backends.Mod) bool { return !among(source.Want, m.Attribute) })
}

// modified is an entry of a directory that a plan modifies and does nothing else with.
type modified struct {
	source *mapping.Source
	entry  *backends.Entry // before
	step   int
}

// learn keeps what a commit has left of the entries that it modified, and forgets the others that it touched.
func (s *Service) learn(x *execution, rows []*row) {
	s.forget(x.plan)
	now := s.now()
	for _, m := range x.modified {
		step := &x.Steps[m.step]
		at := slices.IndexFunc(rows, func(r *row) bool { return r != nil && r.uuid == step.Object })
		if version := x.versions[entryKey(step)]; version != "" && at >= 0 && s.rememberable(m.source) {
			s.known.put(m.source, rows[at], after(only(m.entry, m.source.Want), step.Change.Mods, version), now)
		}
	}
}

// forget drops the entries that a plan touches.
func (s *Service) forget(p *plan) {
	for i := range p.Steps {
		s.known.drop(p.Steps[i].Backend, p.Steps[i].Object)
	}
}

// after is an entry once mods were made.
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
