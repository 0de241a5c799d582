package mapping

import (
	"regexp"
	"strings"

	"clacks/backends"
	"clacks/definitions"
	"clacks/internal/nearest"
)

// tableName is what a table or column may be called; drivers quote it, and a Source.ID and a child table's attribute
// join two of them with "/".
var tableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)?$`)

// sources are a type's own entries by its BackendParameters; base is the type that it extends, nil for a base type.
func (c *compiler) sources(t *definitions.Type, base *basePlan) []*Source {
	var list []*Source
	for i := range t.Parameters {
		p := &t.Parameters[i]
		switch c.options.Kinds[p.Backend] {
		case backends.Tree:
			if s := c.treeSource(t, base, p); s != nil {
				list = append(list, s)
			}
		case backends.Table:
			if s := c.tableSource(t, base, p); s != nil {
				list = append(list, s)
			}
		case backends.None:
			// Also what an unknown backend yields; its attributes are unavailable, which is reported with each.
		}
	}
	for i, s := range list {
		for _, other := range list[:i] {
			if other.ID == s.ID {
				c.errorAt(t.Pos, "", "%s has BackendParameters for %s twice", t.Name, s.ID)
			}
		}
	}
	if base == nil && find(list, t.Backend) == nil {
		c.errorAt(t.Pos, `add <Backend objectClasses="..." RDN="...">`+t.Backend+`</Backend>`,
			"%s has no BackendParameters for its backend %s", t.Name, t.Backend)
	}
	return list
}

func (c *compiler) treeSource(t *definitions.Type, base *basePlan, p *definitions.BackendParameters) *Source {
	primary := t.Backend
	if base != nil {
		primary = base.typ.Backend
	}
	if p.Backend != primary {
		c.errorAt(place(p.Pos, t.Pos), "", "%s: an object has one entry in one directory, and that is in %s, not in %s",
			t.Name, primary, p.Backend)
		return nil
	}
	s := &Source{
		ID: p.Backend, Backend: p.Backend, Kind: backends.Tree, Primary: true,
		ObjectClasses: splitList(p.Values["objectClasses"]),
	}
	if base != nil {
		return s
	}
	s.RDN, s.FixedRDN = splitList(p.Values["RDN"]), t.FixedRDN
	if len(s.ObjectClasses) == 0 {
		c.errorAt(place(p.Pos, t.Pos), `add objectClasses="..."`, "%s has no object classes in %s", t.Name, p.Backend)
	}
	if len(s.RDN) == 0 && s.FixedRDN == "" {
		c.warnAt(place(p.Pos, t.Pos), `add RDN="..."`, "%s does not say which attribute names its entries in %s: none can be created", t.Name, p.Backend)
	}
	return s
}

func (c *compiler) tableSource(t *definitions.Type, base *basePlan, p *definitions.BackendParameters) *Source {
	pos := place(p.Pos, t.Pos)
	table := p.Values["table"]
	if !tableName.MatchString(table) {
		c.errorAt(pos, `add table="..."`, "%s names no table in %s: %q", t.Name, p.Backend, clip(table))
		return nil
	}
	s := &Source{ID: p.Backend + "/" + table, Backend: p.Backend, Kind: backends.Table, Table: table}
	attribute, column, both := strings.Cut(p.Values["key"], "=")
	attribute, column = strings.TrimSpace(attribute), strings.TrimSpace(column)
	switch {
	case attribute == UUIDKey && !both:
		s.KeyAttribute, s.Column = UUIDKey, p.Values["keyColumn"]
		if s.Column == "" {
			s.Column = UUIDKey
		}
	case attribute != "" && !both:
		s.KeyAttribute, s.Column = attribute, attribute
	default:
		s.KeyAttribute, s.Column = attribute, column
	}
	if !tableName.MatchString(s.Column) || s.KeyAttribute == "" {
		c.errorAt(pos, `write key="attribute=column" or key="uuid"`, "%s does not say which row of %s is an object's", t.Name, s.ID)
		return nil
	}
	if s.KeyAttribute != UUIDKey {
		c.keyAttribute(t, base, s, pos)
	}
	return s
}

// keyAttribute checks the attribute whose value is the key of a table.
func (c *compiler) keyAttribute(t *definitions.Type, base *basePlan, s *Source, pos definitions.Position) {
	find := func(name string) *definitions.Attribute {
		if base != nil {
			if a := base.typ.Attribute(name); a != nil {
				return a
			}
		}
		return t.Attribute(name)
	}
	a := find(s.KeyAttribute)
	switch {
	case a == nil:
		names := attributeNames(t)
		if base != nil {
			names = append(attributeNames(base.typ), names...)
		}
		advice := nearest.Hint(s.KeyAttribute, names)
		if find(s.Column) != nil {
			advice = `write the attribute first: key="` + s.Column + "=" + s.KeyAttribute + `"`
		}
		c.errorAt(pos, advice, "the key of %s is the attribute %s, which %s does not have", s.ID, clip(s.KeyAttribute), t.Name)
	case a.Foreign:
	case a.MultiValue:
		c.errorAt(pos, "", "the key of %s is %s, which has several values", s.ID, a.Name)
	case a.Secret:
		c.errorAt(pos, "", "the key of %s is %s, which is secret", s.ID, a.Name)
	case a.Type == definitions.Binary || a.Type == definitions.AnyType || a.Type == definitions.Boolean:
		c.errorAt(pos, "", "the key of %s is %s, which is of the type %s", s.ID, a.Name, a.Type)
	}
}

func attributeNames(t *definitions.Type) []string {
	names := make([]string, 0, len(t.Attributes))
	for _, a := range t.Attributes {
		names = append(names, a.Name)
	}
	return names
}

// place is the first known of two positions.
func place(pos, other definitions.Position) definitions.Position {
	if pos.Line != 0 {
		return pos
	}
	return other
}

// find returns the first source of a backend.
func find(list []*Source, backend string) *Source {
	for _, s := range list {
		if s.Backend == backend {
			return s
		}
	}
	return nil
}

// locate finds the source that a part's mapping to a backend means: the part's own, else that of the base type. A table
// that is no child table must be one of them.
func (b *basePlan) locate(p *part, backend, table string) *Source {
	for _, list := range [][]*Source{p.sources, b.base.sources} {
		for _, s := range list {
			if s.Backend == backend && (table == "" || s.Table == table) {
				return s
			}
		}
	}
	return nil
}

// ambiguous reports whether a part has several tables in a backend, so that a mapping has to name its own.
func (b *basePlan) ambiguous(p *part, backend string) bool {
	for _, list := range [][]*Source{p.sources, b.base.sources} {
		n := 0
		for _, s := range list {
			if s.Backend == backend {
				n++
			}
		}
		if n > 0 {
			return n > 1
		}
	}
	return false
}
