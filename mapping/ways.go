package mapping

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"clacks/backends"
	"clacks/definitions"
	"clacks/internal/nearest"
)

// attributePlan is how an attribute gets its values and where it puts them.
type attributePlan struct {
	part   *part
	direct *directRead
	// inbound is the query that computes the value from entries, instead of direct.
	inbound      *queryRead
	writes       []*write
	defaultValue any // nil for none
	defaultQuery *objectQuery
	valuesQuery  *objectQuery
	asserts      []*objectQuery
	allowed      map[string]bool // by Text; nil for any
	needs        []need
	// settles: the value that an outbound query writes is also the one that is read back, so that what depends on the
	// attribute can work with it before the commit.
	settles bool
}

// directRead takes the values of one backend attribute.
type directRead struct {
	source, name string
	stored       definitions.AttributeType
}

// queryRead evaluates a query on the entries of an object.
type queryRead struct {
	query     *query
	source    string            // whose entry is the context item; "" for an empty entry
	variables map[string]string // name of a variable -> source; "" for none
}

// write fills one backend attribute.
type write struct {
	source, name string
	query        *objectQuery // nil: the attribute's own values
	single       bool         // a column, which holds one value
	tree         bool         // a tree entry, which holds no empty text
}

// need is what of a source an attribute reads.
type need struct {
	source string
	names  []string
	all    bool
}

// simpleName is a query that only names a child element: the same as a direct way.
var simpleName = regexp.MustCompile(`^\s*([A-Za-z_][A-Za-z0-9_-]*)\s*$`)

// backendName is what an attribute of a tree entry may be called, options included (RFC 4512, section 2.5).
var backendName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]*(;[A-Za-z0-9-]+)*$`)

// mappingsOf are an attribute's mappings; without any it is stored under its own name.
func mappingsOf(a *definitions.Attribute) []definitions.Mapping {
	if len(a.Mappings) == 0 {
		return []definitions.Mapping{{Backend: a.Backend, Attribute: a.Name, Pos: a.Pos}}
	}
	list := slices.Clone(a.Mappings)
	for i := range list {
		if list[i].Backend == "" {
			list[i].Backend = a.Backend
		}
		if list[i].Pos.Line == 0 {
			list[i].Pos = a.Pos
		}
	}
	return list
}

// hasQueries reports whether a mapping has a query in any direction.
func hasQueries(m *definitions.Mapping) bool { return m.Inbound != nil || len(m.Outbounds) > 0 }

// nameOf is the backend attribute that a mapping names, the attribute's own name when it names none.
func nameOf(m *definitions.Mapping, a *definitions.Attribute) string {
	if m.Attribute != "" {
		return m.Attribute
	}
	return a.Name
}

// collectSpelling fixes one spelling for each attribute name of a tree: directories ignore case, XQuery does not.
func (c *compiler) collectSpelling() {
	for _, t := range c.types {
		for _, a := range t.Attributes {
			if a.Foreign || a.Unavailable != "" {
				continue
			}
			for _, m := range mappingsOf(a) {
				if c.options.Kinds[m.Backend] != backends.Tree {
					continue
				}
				if !hasQueries(&m) || m.Attribute != "" {
					c.spell(m.Backend, nameOf(&m, a))
				}
				for _, o := range m.Outbounds {
					c.spell(m.Backend, o.Attribute)
				}
			}
		}
	}
}

// spell returns the spelling in use of a tree's attribute, and makes this one it if there is none.
func (c *compiler) spell(backend, name string) string {
	key := backend + "\x00" + strings.ToLower(name)
	if strings.EqualFold(name, ObjectClass) {
		return ObjectClass
	}
	if used, ok := c.spelling[key]; ok {
		return used
	}
	c.spelling[key] = name
	return name
}

// attributes compiles the attributes of a base type and its extensions as far as their names and ways go.
func (c *compiler) attributes(b *basePlan) {
	for _, p := range b.all() {
		for _, def := range p.typ.Attributes {
			if def.Foreign {
				continue
			}
			if p != b.base && b.base.typ.Attribute(def.Name) != nil {
				c.warnAt(def.Pos, "write a ForeignAttribute to use the base type's",
					"%s.%s is also an attribute of %s, which counts", p.typ.Name, def.Name, b.typ.Name)
				continue
			}
			a := &Attribute{Attribute: def, Owner: p.typ.Name, plan: &attributePlan{part: p}}
			c.reason(a)
			if a.Unavailable == "" {
				c.values(a)
				c.ways(b, p, a)
			}
			p.attrs = append(p.attrs, a)
			b.names[def.Name] = append(b.names[def.Name], a)
		}
	}
}

// reason finds out why an attribute is unavailable, if the loader could not know it.
func (c *compiler) reason(a *Attribute) {
	if a.Unavailable != "" {
		return
	}
	reason := ""
	switch a.Type {
	case definitions.AclSet, definitions.AclRole, definitions.SambaLogonHours:
		reason = "values of the type " + string(a.Type) + " are not available"
	}
	for _, m := range mappingsOf(a.Attribute) {
		if _, known := c.options.Kinds[m.Backend]; !known && reason == "" {
			reason = "no backend " + m.Backend + " is configured"
			c.warnAt(a.Pos, nearest.Hint(m.Backend, sortedKeys(c.options.Kinds)), "%s.%s is not available: %s", a.Owner, a.Name, reason)
		}
	}
	if reason != "" {
		def := *a.Attribute
		def.Unavailable = reason
		a.Attribute = &def
	}
}

// values prepares the constant parts: allowed values and a Default that is a text.
func (c *compiler) values(a *Attribute) {
	for _, v := range a.Values {
		key := v.Key
		if key == "" {
			key = v.Text
		}
		value, err := a.parseText(key)
		if err != nil {
			c.errorAt(a.Pos, "", "%s.%s allows the value %q, which %s", a.Owner, a.Name, clip(key), err)
			continue
		}
		if a.plan.allowed == nil {
			a.plan.allowed = map[string]bool{}
		}
		a.plan.allowed[a.Text(value)] = true
	}
	// An empty text is no value.
	if a.Default == nil || *a.Default == "" {
		return
	}
	value, err := a.parseText(*a.Default)
	switch {
	case err != nil:
		c.errorAt(a.Pos, "", "%s.%s has the default %q, which %s", a.Owner, a.Name, clip(*a.Default), err)
	case a.plan.allowed != nil && !a.plan.allowed[a.Text(value)]:
		c.errorAt(a.Pos, nearest.Hint(*a.Default, sortedKeys(a.plan.allowed)),
			"%s.%s has the default %q, which is not among its values", a.Owner, a.Name, clip(*a.Default))
	default:
		a.plan.defaultValue = value
	}
}

// parseText parses a value as it is written in a definition.
func (a *Attribute) parseText(s string) (any, error) {
	var v any = s
	if a.Type == definitions.AnyType {
		decoded, err := decodeJSON([]byte(s))
		if err != nil {
			return nil, err
		}
		v = decoded
	}
	if a.Type == definitions.Boolean {
		b, err := fromBoolean(s)
		if err != nil {
			return nil, errors.New("must be true or false")
		}
		v = b
	}
	return a.Parse(v)
}

// ways resolves an attribute's mappings to sources.
func (c *compiler) ways(b *basePlan, p *part, a *Attribute) {
	for _, m := range mappingsOf(a.Attribute) {
		c.way(b, p, a, &m)
	}
	plan := a.plan
	stored := slices.ContainsFunc(mappingsOf(a.Attribute), func(m definitions.Mapping) bool {
		return c.options.Kinds[m.Backend] != backends.None
	})
	a.Readable = plan.direct != nil || plan.inbound != nil
	a.Writable = len(plan.writes) > 0 || !stored && plan.inbound == nil
	for _, w := range plan.writes {
		if w.query != nil && plan.direct != nil && plan.direct.source == w.source && plan.direct.name == w.name {
			plan.settles = true
		}
	}
}

// way resolves one mapping.
func (c *compiler) way(b *basePlan, p *part, a *Attribute, m *definitions.Mapping) {
	if c.options.Kinds[m.Backend] == backends.None {
		if m.Inbound != nil && a.plan.direct == nil && a.plan.inbound == nil {
			c.readByQuery(a, m, "")
		}
		return
	}
	source, prefix := c.sourceOf(b, p, a, m)
	if source == nil {
		return
	}
	name := nameOf(m, a.Attribute)
	direct := !hasQueries(m)
	if direct || m.Attribute != "" && m.Inbound == nil {
		c.readDirect(a, m, source, prefix, name)
	}
	if m.Inbound != nil {
		if simple := simpleName.FindStringSubmatch(m.Inbound.Text); simple != nil && prefix == "" && !b.childTable(source, simple[1]) && !a.Secret {
			c.readDirect(a, m, source, "", simple[1])
		} else {
			c.readByQuery(a, m, source.ID)
		}
	}
	if direct || m.Attribute != "" && len(m.Outbounds) == 0 {
		c.writeTo(a, m, source, prefix, name, nil)
	}
	for i := range m.Outbounds {
		o := &m.Outbounds[i]
		to := o.Attribute
		if to == "" {
			to = name
		}
		if simple := simpleName.FindStringSubmatch(o.Query.Text); simple != nil && simple[1] == a.Name {
			c.writeTo(a, m, source, prefix, to, nil)
			continue
		}
		c.writeTo(a, m, source, prefix, to, &o.Query)
	}
}

// sourceOf finds the source of a mapping, and for a child table the prefix of its columns' names.
func (c *compiler) sourceOf(b *basePlan, p *part, a *Attribute, m *definitions.Mapping) (*Source, string) {
	isTable := c.options.Kinds[m.Backend] == backends.Table
	child := m.Table != "" && m.ForeignKey != ""
	if !isTable && (m.Table != "" || m.ForeignKey != "") {
		c.errorAt(m.Pos, "", "%s.%s names a table, but %s has none", a.Owner, a.Name, m.Backend)
		return nil, ""
	}
	table := m.Table
	if child {
		table = ""
	}
	source := b.locate(p, m.Backend, table)
	switch {
	case source == nil && table != "":
		c.errorAt(m.Pos, nearest.Hint(table, b.tables(p, m.Backend)), "%s.%s is mapped to the table %s, which %s does not use; a child table needs a foreignKey",
			a.Owner, a.Name, clip(table), p.typ.Name)
		return nil, ""
	case source == nil:
		c.errorAt(m.Pos, "add BackendParameters for "+m.Backend, "%s.%s is mapped to %s, where %s has no entry",
			a.Owner, a.Name, m.Backend, p.typ.Name)
		return nil, ""
	case isTable && table == "" && b.ambiguous(p, m.Backend):
		c.errorAt(m.Pos, `write <Mapping backend="`+m.Backend+`" table="..."/>`, "%s.%s does not say which table of %s it is in",
			a.Owner, a.Name, m.Backend)
		return nil, ""
	}
	if !child {
		return source, ""
	}
	return source, c.childTable(b, source, a, m)
}

// childTable notes a child table of a source and returns the prefix of its columns.
func (c *compiler) childTable(b *basePlan, source *Source, a *Attribute, m *definitions.Mapping) string {
	if !tableName.MatchString(m.Table) || !tableName.MatchString(m.ForeignKey) {
		c.errorAt(m.Pos, "", "%s.%s: %q and %q are to be the names of a table and a column", a.Owner, a.Name, clip(m.Table), clip(m.ForeignKey))
	}
	known, ok := source.Children[m.Table]
	if ok && known != m.ForeignKey {
		c.errorAt(m.Pos, "", "%s.%s: the rows of %s hold their key in %s elsewhere, here in %s", a.Owner, a.Name, m.Table, known, m.ForeignKey)
	}
	if source.Children == nil {
		source.Children = map[string]string{}
	}
	source.Children[m.Table] = m.ForeignKey
	return m.Table + "/"
}

// childTable reports whether a name is that of a child table of a source.
func (b *basePlan) childTable(source *Source, name string) bool {
	for _, p := range b.all() {
		for _, s := range p.sources {
			if _, ok := s.Children[name]; ok && s.ID == source.ID {
				return true
			}
		}
	}
	return false
}

// tables are the tables that a part may map to.
func (b *basePlan) tables(p *part, backend string) []string {
	var names []string
	for _, s := range append(slices.Clone(p.sources), b.base.sources...) {
		if s.Backend == backend {
			names = append(names, s.Table)
		}
	}
	return names
}

// named checks and completes the name of a backend attribute.
func (c *compiler) named(a *Attribute, m *definitions.Mapping, source *Source, prefix, name string) (string, bool) {
	if source.Kind == backends.Tree {
		if !backendName.MatchString(name) {
			c.errorAt(m.Pos, "", "%s.%s: %q is no name of an attribute in %s", a.Owner, a.Name, clip(name), m.Backend)
			return "", false
		}
		return c.spell(m.Backend, name), true
	}
	if !tableName.MatchString(name) {
		c.errorAt(m.Pos, "", "%s.%s: %q is no name of a column in %s", a.Owner, a.Name, clip(name), m.Backend)
		return "", false
	}
	if prefix == "" && a.MultiValue {
		c.errorAt(m.Pos, `give it a table of its own: <Mapping backend="`+m.Backend+`" table="..." foreignKey="..." attribute="..."/>`,
			"%s.%s has several values, but a column holds one", a.Owner, a.Name)
		return "", false
	}
	return prefix + name, true
}

// readDirect reads one backend attribute, unless another mapping already yields the value. A secret is never read back.
func (c *compiler) readDirect(a *Attribute, m *definitions.Mapping, source *Source, prefix, name string) {
	full, ok := c.named(a, m, source, prefix, name)
	if !ok || a.Secret || a.plan.direct != nil || a.plan.inbound != nil {
		return
	}
	a.plan.direct = &directRead{source: source.ID, name: full, stored: backendType(a.Attribute)}
	a.plan.needs = append(a.plan.needs, need{source: source.ID, names: []string{full}})
}

// readByQuery computes the value by a query. What it needs is known after the analysis.
func (c *compiler) readByQuery(a *Attribute, m *definitions.Mapping, source string) {
	if a.Secret {
		c.errorAt(place(m.Inbound.Pos, m.Pos), "leave out the Inbound", "%s.%s is secret and is never read back", a.Owner, a.Name)
		return
	}
	if a.plan.direct != nil || a.plan.inbound != nil {
		c.errorAt(place(m.Inbound.Pos, m.Pos), "leave out one of them", "%s.%s is read in two ways", a.Owner, a.Name)
		return
	}
	if q := c.query(m.Inbound, useInbound); q != nil {
		a.plan.inbound = &queryRead{query: q, source: source, variables: map[string]string{}}
	}
}

// writeTo adds a way out: by a query, or with the attribute's own values.
func (c *compiler) writeTo(a *Attribute, m *definitions.Mapping, source *Source, prefix, name string, def *definitions.Query) {
	full, ok := c.named(a, m, source, prefix, name)
	if !ok {
		return
	}
	if full == ObjectClass && source.Kind == backends.Tree {
		c.errorAt(m.Pos, "leave it to objectClasses and extensions", "%s.%s writes objectClass, which tells the type", a.Owner, a.Name)
		return
	}
	var q *objectQuery
	if def != nil {
		compiled := c.query(def, useOutbound)
		if compiled == nil {
			return
		}
		q = &objectQuery{query: compiled}
	}
	a.plan.writes = append(a.plan.writes, &write{
		source: source.ID, name: full, query: q,
		single: source.Kind == backends.Table && prefix == "", tree: source.Kind == backends.Tree,
	})
}
