package directory

import (
	"encoding/binary"
	"errors"
	"slices"

	"clacks"
	"clacks/backends"
	"clacks/internal/dn"
)

// record is an entry as it is stored: a row, with the attributes in one blob.
type record struct {
	uuid    string
	path    string // dn.Path of the name
	parent  string // that of the parent; "" for a suffix
	name    string // the DN as it was spelled
	version string
	created string

	attributes []attribute
}

// attribute is one attribute of a record; values are in the form in which LDAP transfers them.
type attribute struct {
	description
	values []string
}

func (r *record) find(key string) *attribute {
	for i := range r.attributes {
		if r.attributes[i].key == key {
			return &r.attributes[i]
		}
	}
	return nil
}

func (r *record) values(key string) []string {
	if a := r.find(key); a != nil {
		return a.values
	}
	return nil
}

// has reports whether there is a value of this type, whatever its options.
func (r *record) has(t *attributeType) bool {
	return slices.ContainsFunc(r.attributes, func(a attribute) bool { return a.typ == t })
}

// attribute finds an attribute or makes an empty one. The pointer is good until the next call.
func (r *record) attribute(d description) *attribute {
	if a := r.find(d.key); a != nil {
		return a
	}
	r.attributes = append(r.attributes, attribute{description: d})
	return &r.attributes[len(r.attributes)-1]
}

// prune drops attributes that have no value left.
func (r *record) prune() {
	r.attributes = slices.DeleteFunc(r.attributes, func(a attribute) bool { return len(a.values) == 0 })
}

// index is the place of a value that equals value, or -1.
func (a *attribute) index(value string) int {
	key := a.typ.rule.key(value)
	return slices.IndexFunc(a.values, func(v string) bool { return v == value || a.typ.rule.key(v) == key })
}

// valueSet finds the values of an attribute by their keys; it pays off when many are looked for.
type valueSet map[string]int

func (a *attribute) set() valueSet {
	set := make(valueSet, len(a.values))
	for i, v := range a.values {
		set[a.typ.rule.key(v)] = i
	}
	return set
}

// marshal packs the attributes: for each its description, the number of its values, and these, all with their lengths.
func (r *record) marshal() []byte {
	size := 0
	for _, a := range r.attributes {
		size += len(a.key) + 2*binary.MaxVarintLen32
		for _, v := range a.values {
			size += len(v) + binary.MaxVarintLen32
		}
	}
	b := make([]byte, 0, size)
	for _, a := range r.attributes {
		b = appendString(b, a.key)
		b = binary.AppendUvarint(b, uint64(len(a.values)))
		for _, v := range a.values {
			b = appendString(b, v)
		}
	}
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

var errPacked = errors.New("the stored attributes are damaged")

// unmarshal reads what marshal packed. Attributes that the schema has lost since are kept as plain ones.
func (s *schema) unmarshal(b []byte) ([]attribute, error) {
	data := string(b) // one copy; the values are slices of it
	var list []attribute
	for len(data) > 0 {
		key, rest, ok := cutString(data)
		if !ok {
			return nil, errPacked
		}
		n, size := binary.Uvarint([]byte(rest[:min(len(rest), binary.MaxVarintLen64)]))
		if size <= 0 || n > uint64(len(rest)) {
			return nil, errPacked
		}
		a := attribute{values: make([]string, n)}
		if a.description, ok = s.describe(key); !ok {
			a.description = description{&attributeType{name: key, key: key, rule: rules["directory"]}, key}
		}
		data = rest[size:]
		for i := range a.values {
			if a.values[i], data, ok = cutString(data); !ok {
				return nil, errPacked
			}
		}
		list = append(list, a)
	}
	return list, nil
}

func cutString(data string) (s, rest string, ok bool) {
	n, size := binary.Uvarint([]byte(data[:min(len(data), binary.MaxVarintLen64)]))
	if size <= 0 || n > uint64(len(data)-size) {
		return "", "", false
	}
	return data[size : size+int(n)], data[size+int(n):], true
}

// wanted is what a caller asks for: the descriptions and his spellings of them.
type wanted struct {
	names []wantedName
	all   bool // "*": every user attribute
}

type wantedName struct {
	name string
	key  string // "" for an unknown or operational one
}

func (s *schema) wanted(want []string) wanted {
	w := wanted{names: make([]wantedName, 0, len(want))}
	for _, name := range want {
		if name == "*" {
			w.all = true
			continue
		}
		d, ok := s.describe(name)
		if !ok {
			d.key = ""
		}
		w.names = append(w.names, wantedName{name, d.key})
	}
	return w
}

// entry is a record for a caller, who owns it.
func (s *schema) entry(r *record, w wanted) *backends.Entry {
	e := &backends.Entry{Ref: backends.Ref{DN: r.name, UUID: r.uuid}, Version: r.version, Values: make(backends.Values, len(w.names))}
	if w.all {
		for i := range r.attributes {
			e.Values[r.attributes[i].name()] = r.attributes[i].decode()
		}
	}
	for _, n := range w.names {
		if n.key == "" {
			if value, ok := s.operational(r, n.name); ok {
				e.Values[n.name] = []backends.Value{value}
			}
			continue
		}
		if a := r.find(n.key); a != nil {
			e.Values[n.name] = a.decode()
		}
	}
	return e
}

func (a *attribute) decode() []backends.Value {
	values := make([]backends.Value, len(a.values))
	for i, v := range a.values {
		values[i] = a.typ.rule.decode(v)
	}
	return values
}

// rdn is the first RDN of a name by descriptions; clacks.Invalid when the schema does not know one.
func (s *schema) rdn(name string) ([]attribute, error) {
	avas := dn.RDNValues(name)
	list := make([]attribute, len(avas))
	for i, ava := range avas {
		d, ok := s.describe(ava.Attribute)
		if !ok {
			return nil, refuse(ava.Attribute, clacks.CodeUnknown, "there is no such attribute")
		}
		list[i] = attribute{d, []string{ava.Value}}
	}
	return list, nil
}

// pretty is a name in the spelling in which OpenLDAP returns it: attributes as the schema spells them, without spaces
// around separators.
func (s *schema) pretty(name string) string {
	parsed, err := dn.Parse(name)
	if err != nil {
		return name
	}
	for _, rdn := range parsed {
		for i := range rdn {
			if d, ok := s.describe(rdn[i].Attribute); ok {
				rdn[i].Attribute = d.name()
			}
		}
	}
	return parsed.String()
}
