package journal

import (
	"strings"

	"clacks/backends"
	"clacks/internal/dn"
)

// Step is one atomic change of one backend entry, as the journal keeps it.
type Step struct {
	Backend string
	Object  string // the UUID of the object
	Change  backends.Change
	// Whole are, for OpDelete, all values of the entry, so that it can be made again.
	Whole backends.Values
	// Restore are, for OpRename in a directory, the changes that the entry needs besides the inverse rename to be as it was:
	// a rename gives it the values of the new RDN and takes those of the old one, also those that it had, or keeps, anyway.
	Restore []backends.Mod
}

// Restoration is the change that brings the values back that the inverse of a rename has lost, as a step of its own; nil
// when it loses none.
func (s *Step) Restoration() *Step {
	if len(s.Restore) == 0 {
		return nil
	}
	return &Step{Backend: s.Backend, Object: s.Object, Change: backends.Change{
		Op: backends.OpModify, Ref: s.Change.Ref, Mods: s.Restore, Guard: backends.Guard{UUID: s.Change.Guard.UUID},
	}}
}

// Outcome says what an entry shows of a step.
type Outcome uint8

const (
	// Before: nothing of the step is there.
	Before Outcome = iota
	// After: the step was applied.
	After
	// Neither: somebody else has written what the step touches.
	Neither
)

func (o Outcome) String() string { return [...]string{"before", "after", "neither"}[o] }

// CompareValues holds an entry against the value-by-value changes of a step: After when all added values are there and
// all deleted ones are gone, Before when it is the other way round.
func (s *Step) CompareValues(actual backends.Values) Outcome { return s.compare(actual, Text) }

// CompareEntry is CompareValues for the entry of a directory, which may return a name in another spelling than it was
// given.
func (s *Step) CompareEntry(actual backends.Values) Outcome {
	if s.respells() {
		return s.CompareValues(actual)
	}
	return s.compare(actual, nameKey)
}

// respells reports whether the step gives a name nothing but another spelling: only the spelling shows whether it was applied.
func (s *Step) respells() bool {
	for _, m := range s.Change.Mods {
		exact, names := texts(m.Delete, Text), texts(m.Delete, nameKey)
		for _, v := range m.Add {
			if names[nameKey(v)] && !exact[Text(v)] {
				return true
			}
		}
	}
	return false
}

// nameKey is the same for all spellings of a name. What is no name is its text.
func nameKey(v backends.Value) string {
	text := Text(v)
	if !strings.Contains(text, "=") {
		return text
	}
	key, err := dn.Key(text)
	if err != nil {
		return text
	}
	return "dn:" + key
}

func (s *Step) compare(actual backends.Values, key func(backends.Value) string) Outcome {
	before, after := true, true
	for _, m := range s.Change.Mods {
		have := texts(actual[m.Attribute], key)
		added, deleted := texts(m.Add, key), texts(m.Delete, key)
		for text := range added {
			if deleted[text] {
				continue // only its spelling counts twice: it tells nothing
			}
			if have[text] {
				before = false
			} else {
				after = false
			}
		}
		for text := range deleted {
			if added[text] {
				continue
			}
			if have[text] {
				after = false
			} else {
				before = false
			}
		}
	}
	switch {
	case after:
		return After
	case before:
		return Before
	}
	return Neither
}

// Holds reports whether an entry has at least these values.
func Holds(actual, wanted backends.Values) bool {
	for name, values := range wanted {
		have := texts(actual[name], Text)
		for _, v := range values {
			if !have[Text(v)] {
				return false
			}
		}
	}
	return true
}

func texts(values []backends.Value, key func(backends.Value) string) map[string]bool {
	set := make(map[string]bool, len(values))
	for _, v := range values {
		set[key(v)] = true
	}
	return set
}

// Inverse takes the step back: value by value, so that what others have added meanwhile stays. The caller sets the guard
// to the version that the entry has.
func (s *Step) Inverse() backends.Change {
	c := s.Change
	inverse := backends.Change{Ref: c.Ref, Guard: backends.Guard{UUID: c.Guard.UUID}}
	switch c.Op {
	case backends.OpCreate:
		inverse.Op = backends.OpDelete
		inverse.Guard.UUID = c.Ref.UUID
	case backends.OpDelete:
		inverse.Op = backends.OpCreate
		inverse.Add = s.Whole
		inverse.Guard = backends.Guard{}
	case backends.OpRename:
		inverse.Op = backends.OpRename
		inverse.Ref, inverse.To = c.To, c.Ref
	case backends.OpModify:
		inverse.Op = backends.OpModify
		for i := len(c.Mods) - 1; i >= 0; i-- {
			m := c.Mods[i]
			inverse.Mods = append(inverse.Mods, backends.Mod{Attribute: m.Attribute, Delete: m.Add, Add: m.Delete})
		}
	}
	return inverse
}
