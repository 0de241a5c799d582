package objects

import (
	"slices"

	"clacks/definitions"
	"clacks/internal/dn"
	"clacks/mapping"
)

// catalogue is a mapping set with what the service derives from it once. It is immutable.
type catalogue struct {
	set *mapping.Set
	// attributes are all definitions of an attribute name, for searches that name no type.
	attributes map[string][]*mapping.Attribute
	// to are the references to objects of a base type, from those that a type or extension holds.
	to, from map[string][]mapping.Reference
}

func newCatalogue(set *mapping.Set) *catalogue {
	c := &catalogue{set: set, attributes: map[string][]*mapping.Attribute{},
		to: map[string][]mapping.Reference{}, from: map[string][]mapping.Reference{}}
	for _, base := range set.Bases() {
		c.addShape(set, base, nil)
		c.to[base], c.from[base] = set.ReferencesTo(base), set.ReferencesFrom(base)
		for _, extension := range set.ExtensionsOf(base) {
			c.addShape(set, base, []string{extension})
			c.from[extension] = set.ReferencesFrom(extension)
		}
	}
	return c
}

func (c *catalogue) addShape(set *mapping.Set, base string, extensions []string) {
	shape, err := set.Shape(base, extensions)
	if err != nil {
		return // the names come from the set itself
	}
	for _, a := range shape.Attributes() {
		known := slices.ContainsFunc(c.attributes[a.Name], func(b *mapping.Attribute) bool { return b.Owner == a.Owner })
		if !known {
			c.attributes[a.Name] = append(c.attributes[a.Name], a)
		}
	}
}

// typeNames are the names of all types, base types and extensions.
func (c *catalogue) typeNames() []string {
	var names []string
	for _, t := range c.set.Definitions().Types() {
		names = append(names, t.Name)
	}
	return names
}

// definition is the attribute of this name that a type defines, or nil.
func (c *catalogue) definition(owner, name string) *mapping.Attribute {
	for _, a := range c.attributes[name] {
		if a.Owner == owner {
			return a
		}
	}
	return nil
}

// refersToName reports whether the attribute's values are DNs of other objects.
func refersToName(a *mapping.Attribute) bool {
	return slices.ContainsFunc(a.References, func(r definitions.Reference) bool {
		return r.Attribute == mapping.DNAttribute && r.Mode != mapping.ReferenceInline
	})
}

// indexKey is the form of a value in the index: equal values have equal keys, and the order of keys is that of values.
func indexKey(a *mapping.Attribute, v any) string {
	if refersToName(a) {
		if name, ok := v.(string); ok {
			if key, err := dn.Key(name); err == nil {
				return bounded(key)
			}
		}
	}
	if n, ok := v.(int64); ok {
		return orderedInteger(n)
	}
	return bounded(a.Key(v))
}
