package mapping

import (
	"cmp"
	"slices"
	"strings"

	"clacks/backends"
	"clacks/internal/dn"
)

// identity is how the entries of a base type are told from others.
type identity struct {
	base       string
	classes    []string
	rdn        string // the attribute that names its entries
	fixed      string // the normal form of FixedRDN
	extensions []identity
}

// newIdentity collects the object classes of a base type and of its extensions.
func newIdentity(b *basePlan) *identity {
	source := find(b.base.sources, b.typ.Backend)
	id := &identity{base: b.typ.Name, classes: source.ObjectClasses}
	if source.FixedRDN != "" {
		// A name that is none matches no entry.
		id.fixed = source.FixedRDN
		if key, err := dn.Key(source.FixedRDN); err == nil {
			id.fixed = key
		}
	}
	if len(source.RDN) > 0 {
		id.rdn = source.RDN[0]
	}
	for _, name := range b.extensions {
		ext := identity{base: name}
		for _, s := range b.parts[name].sources {
			if s.Backend == b.typ.Backend {
				ext.classes = s.ObjectClasses
			}
		}
		id.extensions = append(id.extensions, ext)
	}
	return id
}

// sortIdentities puts the types that say more about an entry first: more object classes, then a fixed name.
func sortIdentities(ids []*identity) {
	slices.SortStableFunc(ids, func(x, y *identity) int {
		return cmp.Or(
			cmp.Compare(len(y.classes), len(x.classes)),
			cmp.Compare(len(y.fixed), len(x.fixed)),
			cmp.Compare(x.base, y.base))
	})
}

// Identify says which base type and extensions an entry of a Tree backend carries, by its objectClass values (and, for
// types of equal classes, by FixedRDN and by the attribute that names it); ok is false when no type fits. The type with
// the most matching classes wins.
func (s *Set) Identify(backend string, entry *backends.Entry) (base string, extensions []string, ok bool) {
	classes := entry.Values[ObjectClass]
	if len(classes) == 0 {
		for name, values := range entry.Values {
			if strings.EqualFold(name, ObjectClass) {
				classes = values
			}
		}
	}
	var found *identity
	for _, id := range s.identities[backend] {
		if found != nil && (len(id.classes) < len(found.classes) || found.fixed != "" || namedBy(entry.DN, found.rdn)) {
			break
		}
		if !hasClasses(classes, id.classes) || id.fixed != "" && !hasRDN(entry.DN, id.fixed) {
			continue
		}
		if found == nil || namedBy(entry.DN, id.rdn) {
			found = id
		}
	}
	if found == nil {
		return "", nil, false
	}
	for i := range found.extensions {
		if hasClasses(classes, found.extensions[i].classes) {
			extensions = append(extensions, found.extensions[i].base)
		}
	}
	return found.base, extensions, true
}

// hasRDN reports whether a name's first RDN has this normal form.
func hasRDN(name, key string) bool {
	got, err := dn.Key(dn.RDN(name))
	return err == nil && got == key
}

// namedBy reports whether a name's first RDN is of this attribute.
func namedBy(name, attribute string) bool {
	found, _, ok := strings.Cut(name, "=")
	return ok && attribute != "" && strings.EqualFold(strings.TrimSpace(found), attribute)
}

// hasClasses reports whether all wanted object classes, and at least one, are among an entry's.
func hasClasses(values []backends.Value, wanted []string) bool {
	for _, class := range wanted {
		if !slices.ContainsFunc(values, func(v backends.Value) bool {
			s, ok := v.(string)
			return ok && strings.EqualFold(s, class)
		}) {
			return false
		}
	}
	return len(wanted) > 0
}
