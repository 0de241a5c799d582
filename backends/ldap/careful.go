package ldap

import (
	"context"
	"slices"
	"strings"

	goldap "github.com/go-ldap/ldap/v3"

	"clacks"
	"clacks/backends"
)

// careful makes a change that one LDAP operation cannot express by itself: under a guard of old values, of single values of
// an attribute that the server cannot compare, or of so many values that the server takes too long for them. It reads the entry, decides, and asserts with the change that
// the entry is still the one it has read. When another writer was faster it begins anew, unless the guard forbids it.
func (b *Backend) careful(ctx context.Context, op string, c backends.Change) (backends.Result, error) {
	s, err := b.schema(ctx)
	if err != nil {
		return backends.Result{}, err
	}
	var names []string
	for name := range c.Guard.Old {
		names = append(names, name)
	}
	for _, mod := range c.Mods {
		names = append(names, mod.Attribute)
	}
	for range attempts {
		result, again, err := b.tryCareful(ctx, op, c, s, names)
		if err == nil || !again {
			return result, err
		}
	}
	return backends.Result{}, clacks.E(clacks.Conflict, op, "the entry changes all the time")
}

// tryCareful is one attempt; again says that another is worth it.
func (b *Backend) tryCareful(ctx context.Context, op string, c backends.Change, s *schema, names []string) (result backends.Result, again bool, err error) {
	entry, err := b.Read(ctx, backends.Ref{DN: c.Ref.DN}, names)
	if err != nil {
		return backends.Result{}, false, err
	}
	if err := s.holds(op, c.Guard, entry); err != nil {
		return backends.Result{}, false, err
	}
	changes, err := s.replacements(op, c.Mods, entry)
	if err != nil {
		return backends.Result{}, false, err
	}
	if c.Op == backends.OpModify && len(changes) == 0 {
		return backends.Result{Version: entry.Version}, false, nil
	}
	read := backends.Guard{Version: entry.Version, UUID: c.Guard.UUID}
	result, err = b.send(ctx, op, c, b.guard(read), changes)
	again = goldap.IsErrorWithCode(err, goldap.LDAPResultAssertionFailed) && c.Guard.Version == ""
	return result, again, err
}

// holds checks a guard against an entry as it was read.
func (s *schema) holds(op string, g backends.Guard, entry *backends.Entry) error {
	if g.Version != "" && g.Version != entry.Version {
		return clacks.E(clacks.Conflict, op, "the entry has changed meanwhile")
	}
	if g.UUID != "" && !strings.EqualFold(g.UUID, entry.UUID) {
		return clacks.E(clacks.Conflict, op, "the entry carries another UUID")
	}
	for name, old := range g.Old {
		now, err := s.keys(name, entry.Values[name])
		if err != nil {
			return err
		}
		expected, err := s.keys(name, old)
		if err != nil {
			return err
		}
		if slices.Sort(now); !slices.Equal(now, sorted(expected)) {
			return clacks.E(clacks.Conflict, op, "the values of %s have changed meanwhile", name)
		}
	}
	return nil
}

func sorted(keys []string) []string {
	slices.Sort(keys)
	return keys
}

// keys are the normal forms of values, in their order.
func (s *schema) keys(name string, values []backends.Value) ([]string, error) {
	keys, err := encodeAll(name, values)
	for i, value := range keys {
		keys[i] = s.key(name, value)
	}
	return keys, err
}

// replacements are the LDAP changes for mods. An attribute that the server cannot compare, or that loses many values, is
// replaced by what it is to hold after the mod; that is safe only under an assertion of the version. Mods of one attribute
// carry one name of it.
func (s *schema) replacements(op string, mods []backends.Mod, entry *backends.Entry) ([]goldap.Change, error) {
	var changes []goldap.Change
	replaced := map[string][]string{} // what an attribute holds after the mods so far
	for _, mod := range mods {
		_, begun := replaced[mod.Attribute]
		if s.comparable(mod.Attribute) && len(mod.Delete) <= manyDeletes && !begun {
			var err error
			if changes, err = appendChanges(changes, mod); err != nil {
				return nil, err
			}
			continue
		}
		if len(mod.Delete) == 0 && len(mod.Add) == 0 {
			continue
		}
		current, again := replaced[mod.Attribute]
		if !again {
			var err error
			if current, err = encodeAll(mod.Attribute, entry.Values[mod.Attribute]); err != nil {
				return nil, err
			}
		}
		next, err := s.edit(op, mod, current)
		if err != nil && s.comparable(mod.Attribute) && !again {
			// The server's own comparison decides, however long it takes.
			if changes, err = appendChanges(changes, mod); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		replaced[mod.Attribute] = next
		changes = append(changes, goldap.Change{
			Operation: goldap.ReplaceAttribute, Modification: goldap.PartialAttribute{Type: mod.Attribute, Vals: next},
		})
	}
	return changes, nil
}

// edit applies a mod to values: those of an attribute that the server cannot compare are compared byte by byte.
func (s *schema) edit(op string, mod backends.Mod, current []string) ([]string, error) {
	remove, err := encodeAll(mod.Attribute, mod.Delete)
	if err != nil {
		return nil, err
	}
	add, err := encodeAll(mod.Attribute, mod.Add)
	if err != nil {
		return nil, err
	}
	key := func(value string) string { return value }
	if s.comparable(mod.Attribute) {
		key = func(value string) string { return s.key(mod.Attribute, value) }
	}
	gone := make(map[string]bool, len(remove))
	for _, value := range remove {
		gone[key(value)] = true
	}
	next := make([]string, 0, len(current)+len(add))
	have := make(map[string]bool, len(current)+len(add))
	for _, value := range current {
		if k := key(value); gone[k] {
			delete(gone, k)
		} else {
			next, have[k] = append(next, value), true
		}
	}
	if len(gone) > 0 {
		return nil, clacks.E(clacks.Conflict, op, "a value of %s that was to be removed is not there", mod.Attribute)
	}
	for _, value := range add {
		k := key(value)
		if have[k] {
			return nil, clacks.E(clacks.Conflict, op, "a value of %s that was to be added is there already", mod.Attribute)
		}
		next, have[k] = append(next, value), true
	}
	return next, nil
}
