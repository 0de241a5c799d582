package ldap

import (
	"slices"
	"strings"

	goldap "github.com/go-ldap/ldap/v3"

	"clacks/backends"
)

// identity is the same for every description of one attribute and differs between two: its OID, or its name where the
// schema has no such attribute, with its tagging options. Options have neither case nor order (RFC 4512, section 2.5.2),
// and "binary" says only how values travel (RFC 4522, section 3).
func (s *schema) identity(description string) string {
	name, options, optional := strings.Cut(description, ";")
	if known := s.attribute(name); known != nil {
		name = known.oid
	}
	name = strings.ToLower(name)
	if !optional {
		return name
	}
	tags := tags(options)
	tags = slices.DeleteFunc(tags, func(tag string) bool { return tag == "binary" })
	return strings.Join(append([]string{name}, tags...), ";")
}

// tags are options in their normal form.
func tags(options string) []string {
	list := strings.Split(strings.ToLower(options), ";")
	slices.Sort(list)
	return slices.Compact(list)
}

// sameOptions compares what follows the first ";" of two descriptions.
func sameOptions(a, b string) bool {
	if strings.EqualFold(a, b) {
		return true
	}
	// A single option has no order.
	return strings.Contains(a, ";") && strings.Contains(b, ";") && slices.Equal(tags(a), tags(b))
}

// underOneName gives the mods of one attribute the name that the first of them uses: what holds after one mod is then
// found by the next. The order of the mods, and those of the caller, stay as they are.
func (s *schema) underOneName(mods []backends.Mod) []backends.Mod {
	if len(mods) < 2 {
		return mods
	}
	first := make(map[string]string, len(mods))
	renamed := mods
	for i := range mods {
		identity := s.identity(mods[i].Attribute)
		name, again := first[identity]
		switch {
		case !again:
			first[identity] = mods[i].Attribute
			continue
		case name == mods[i].Attribute:
			continue
		case &renamed[0] == &mods[0]:
			renamed = slices.Clone(mods)
		}
		renamed[i].Attribute = name
	}
	return renamed
}

// newAttributes are the attributes of an entry that is added, each once: a server refuses one that comes twice, under
// whatever names (RFC 4511, section 4.7).
func (s *schema) newAttributes(values backends.Values) ([]goldap.Attribute, error) {
	attributes := make([]goldap.Attribute, 0, len(values)+1)
	at := make(map[string]int, len(values))
	for name, list := range values {
		if len(list) == 0 {
			continue
		}
		encoded, err := encodeAll(name, list)
		if err != nil {
			return nil, err
		}
		identity := s.identity(name)
		if i, again := at[identity]; again {
			attributes[i].Vals = append(attributes[i].Vals, encoded...)
			continue
		}
		at[identity] = len(attributes)
		attributes = append(attributes, goldap.Attribute{Type: name, Vals: encoded})
	}
	return attributes, nil
}
