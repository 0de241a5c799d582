package mapping

import (
	"strings"

	"clacks/backends"
	"clacks/definitions"
	"clacks/internal/nearest"
)

// checkType reports contradictions that a type has by itself, whatever it extends, and compiles its queries so that a
// type without a base shows its errors too.
func (c *compiler) checkType(t *definitions.Type) {
	for _, a := range t.Attributes {
		if a.Foreign || a.Unavailable != "" {
			continue
		}
		c.checkUnique(t, a)
		c.checkReadOnly(t, a)
		c.compileQueries(a)
	}
}

func (c *compiler) checkUnique(t *definitions.Type, a *definitions.Attribute) {
	if !a.Unique {
		return
	}
	switch {
	case a.Type == definitions.Binary || a.Type == definitions.AnyType:
		c.errorAt(a.Pos, "", "%s.%s is unique, but values of the type %s have no normal form to compare", t.Name, a.Name, a.Type)
	case a.Secret:
		c.errorAt(a.Pos, "", "%s.%s is secret, so that it cannot be unique: the answer would tell another's value", t.Name, a.Name)
	}
}

// checkReadOnly refuses an attribute that nobody could ever change but that has a way out for its own value.
func (c *compiler) checkReadOnly(t *definitions.Type, a *definitions.Attribute) {
	if !a.ReadOnly {
		return
	}
	for _, m := range a.Mappings {
		for i := range m.Outbounds {
			q := c.query(&m.Outbounds[i].Query, useOutbound)
			if q == nil || a.Default != nil || a.DefaultQuery != nil {
				continue
			}
			for _, path := range q.paths.Context {
				if len(path.Steps) > 0 && path.Steps[0].Name == a.Name {
					c.errorAt(m.Outbounds[i].Query.Pos, "leave out ReadOnly or the Outbound",
						"%s.%s is read-only, but its Outbound stores what is set", t.Name, a.Name)
				}
			}
		}
	}
}

// compileQueries compiles all queries of an attribute.
func (c *compiler) compileQueries(a *definitions.Attribute) {
	for _, m := range a.Mappings {
		if m.Inbound != nil {
			c.query(m.Inbound, useInbound)
		}
		for i := range m.Outbounds {
			c.query(&m.Outbounds[i].Query, useOutbound)
		}
	}
	if a.DefaultQuery != nil {
		c.query(a.DefaultQuery, useDefault)
	}
	if a.ValuesQuery != nil {
		c.query(a.ValuesQuery, useValues)
	}
	for i := range a.Asserts {
		c.query(&a.Asserts[i].Test, useAssert)
	}
}

// conflicts refuses two attributes that write the same backend attribute: the later one would silently win.
func (c *compiler) conflicts(b *basePlan) {
	type writer struct {
		attribute *Attribute
		part      *part
	}
	writers := map[string]writer{}
	for _, p := range b.all() {
		for _, a := range p.attrs {
			for _, w := range a.plan.writes {
				key := w.source + "\x00" + strings.ToLower(w.name)
				other, taken := writers[key]
				// Two extensions may define the same attribute: the shape uses the first of them.
				if taken && (other.attribute.Name != a.Name || other.part == p) {
					c.errorAt(c.writePos(a, w), "", "%s.%s and %s.%s both write %s of %s",
						other.attribute.Owner, other.attribute.Name, a.Owner, a.Name, w.name, w.source)
					continue
				}
				writers[key] = writer{a, p}
			}
		}
	}
	for _, p := range b.all() {
		c.sourceConflicts(b, p, func(id, name string) *Attribute {
			return writers[id+"\x00"+strings.ToLower(name)].attribute
		})
	}
}

// sourceConflicts checks a part's tables: the key column is the source's own, keys agree, a child row has one value.
func (c *compiler) sourceConflicts(b *basePlan, p *part, writer func(source, name string) *Attribute) {
	for _, s := range p.sources {
		if s.Kind != backends.Table {
			continue
		}
		if a := writer(s.ID, s.Column); a != nil {
			c.errorAt(a.Pos, "", "%s.%s writes the column %s of %s, which is its key and is filled from %s",
				a.Owner, a.Name, s.Column, s.ID, s.KeyAttribute)
		}
		if other := find(b.base.sources, s.Backend); p != b.base && other != nil && other.ID == s.ID &&
			(other.Column != s.Column || other.KeyAttribute != s.KeyAttribute) {
			c.errorAt(p.typ.Pos, "", "%s and %s use %s with different keys", b.typ.Name, p.typ.Name, s.ID)
		}
	}
	if p != b.base {
		return
	}
	for _, s := range b.sources() {
		columns := b.children(s.ID)
		for _, table := range sortedKeys(columns) {
			if len(columns[table]) > 1 {
				a := writer(s.ID, table+"/"+columns[table][1])
				if a != nil {
					c.errorAt(a.Pos, "give each attribute a table of its own", "%s.%s: a row of the child table %s holds one value, but %s are mapped",
						a.Owner, a.Name, table, strings.Join(columns[table], ", "))
				}
			}
		}
	}
}

// sources are all sources of a base type and its extensions.
func (b *basePlan) sources() []*Source {
	var list []*Source
	for _, p := range b.all() {
		list = append(list, p.sources...)
	}
	return list
}

// writePos is the best known place of a way out.
func (c *compiler) writePos(a *Attribute, w *write) definitions.Position {
	if w.query != nil {
		return place(w.query.def.Pos, a.Pos)
	}
	return a.Pos
}

// naming finds the backend attributes that name a base type's entries. A definition names them by the object's attributes.
func (c *compiler) naming(b *basePlan) {
	source := find(b.base.sources, b.typ.Backend)
	if source == nil {
		return
	}
	for i, rdn := range source.RDN {
		a := b.attribute(rdn)
		if a == nil {
			a = b.writerOf(source.ID, rdn)
		}
		switch {
		case a == nil && source.FixedRDN != "":
			continue
		case a == nil:
			c.errorAt(b.typ.Pos, nearest.Hint(rdn, attributeNames(b.typ)), "entries of %s are named by %s, which is none of its attributes", b.typ.Name, clip(rdn))
			continue
		case a.Unavailable != "":
			c.warnAt(a.Pos, "", "%s.%s names the entry, but is not available: none can be created", a.Owner, a.Name)
			continue
		case a.Secret:
			c.errorAt(a.Pos, "", "%s.%s is secret, but names the entry", a.Owner, a.Name)
		case a.Type == definitions.Binary || a.Type == definitions.AnyType:
			c.errorAt(a.Pos, "", "%s.%s names the entry, but is of the type %s", a.Owner, a.Name, a.Type)
		case a.MultiValue && i == 0:
			c.warnAt(a.Pos, "", "%s.%s names the entry and has several values: the first one counts", a.Owner, a.Name)
		}
		if name := a.writtenAs(source.ID, rdn); name != "" {
			source.RDN[i] = name
		} else {
			c.errorAt(a.Pos, "map it to "+source.Backend, "%s.%s names the entry, but is not stored in it", a.Owner, a.Name)
		}
	}
}

// attribute is the base type's own attribute of this name, or nil.
func (b *basePlan) attribute(name string) *Attribute {
	for _, a := range b.base.attrs {
		if a.Name == name {
			return a
		}
	}
	return nil
}

// writtenAs is the backend attribute of a source that an attribute fills: the one that is wanted, else the first.
func (a *Attribute) writtenAs(source, wanted string) string {
	first := ""
	for _, w := range a.plan.writes {
		if w.source != source {
			continue
		}
		if strings.EqualFold(w.name, wanted) {
			return w.name
		}
		if first == "" {
			first = w.name
		}
	}
	return first
}

// writerOf is the base type's attribute that writes a backend attribute.
func (b *basePlan) writerOf(source, name string) *Attribute {
	for _, a := range b.base.attrs {
		for _, w := range a.plan.writes {
			if w.source == source && strings.EqualFold(w.name, name) {
				return a
			}
		}
	}
	return nil
}
