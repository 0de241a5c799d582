package mapping

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"clacks/backends"
	"clacks/definitions"
)

// Shape is a base type with active extensions. It is immutable.
type Shape struct {
	set        *Set
	plan       *basePlan
	extensions []string
	attrs      []*Attribute
	byName     map[string]*Attribute
	sources    []*Source
	byID       map[string]*Source

	// What Inbound does, prepared: direct reads by source, queries, and the defaults of what is never stored.
	directs []sourceReads
	queries []*Attribute
	unkept  []*Attribute
	size    int // attributes that may have a value
	// entryDocs are the backend attributes by source that some inbound query reads; "*" for all.
	entryDocs map[string]map[string]bool
	// objectDoc are the attributes that some query on the object reads.
	objectDoc map[string]bool
}

// sourceReads are the direct reads of one source.
type sourceReads struct {
	source string
	attrs  []*Attribute
}

// Type is the base type that the shape was made of.
func (s *Shape) Type() *definitions.Type { return s.plan.typ }

// Extensions are the active extensions, sorted. The list must not be changed.
func (s *Shape) Extensions() []string { return s.extensions }

// Sources are the entries that an object of this shape consists of, the primary one first.
func (s *Shape) Sources() []*Source { return s.sources }

// Source returns the source with this ID.
func (s *Shape) Source(id string) (*Source, bool) {
	source, ok := s.byID[id]
	return source, ok
}

// Attributes are the available attributes in dependency order: each comes after those that it is computed from.
func (s *Shape) Attributes() []*Attribute { return s.attrs }

// Attribute returns the attribute of this name, or nil. One whose Unavailable is not empty is not among Attributes.
func (s *Shape) Attribute(name string) *Attribute { return s.byName[name] }

// Wants are the sources and their backend attributes that these object attributes need, the primary source first; no
// attributes means all sources. Unknown names need nothing.
func (s *Shape) Wants(attrs []string) []SourceWant {
	wants := make([]SourceWant, 0, len(s.sources))
	if len(attrs) == 0 {
		for _, source := range s.sources {
			wants = append(wants, SourceWant{source, source.Want})
		}
		return wants
	}
	for _, source := range s.sources {
		collect := newNames(source)
		needed := false
		for _, name := range attrs {
			if a := s.byName[name]; a != nil {
				needed = collect.needs(s.plan, a) || needed
			}
		}
		if needed {
			wants = append(wants, SourceWant{source, collect.list})
		}
	}
	return wants
}

// newShape merges a base type and its extensions, which are sorted and known.
func newShape(set *Set, plan *basePlan, extensions []string) *Shape {
	s := &Shape{
		set: set, plan: plan, extensions: extensions,
		byName: map[string]*Attribute{}, byID: map[string]*Source{},
		entryDocs: map[string]map[string]bool{}, objectDoc: map[string]bool{},
	}
	parts := []*part{plan.base}
	for _, e := range extensions {
		parts = append(parts, plan.parts[e])
	}
	for _, p := range parts {
		for _, source := range p.sources {
			s.addSource(source)
		}
		for _, a := range p.attrs {
			if s.byName[a.Name] != nil {
				continue
			}
			s.byName[a.Name] = a
			if a.Unavailable == "" {
				s.attrs = append(s.attrs, a)
			}
		}
	}
	slices.SortStableFunc(s.attrs, func(x, y *Attribute) int { return cmp.Compare(plan.rank[x.Name], plan.rank[y.Name]) })
	slices.SortStableFunc(s.sources, func(x, y *Source) int {
		switch {
		case x.Primary == y.Primary:
			return 0
		case x.Primary:
			return -1
		default:
			return 1
		}
	})
	for _, source := range s.sources {
		s.finishSource(source)
	}
	s.prepareInbound()
	s.prepareDocuments()
	return s
}

// addSource adds a part's source, or its object classes to the one that is there.
func (s *Shape) addSource(source *Source) {
	merged := s.byID[source.ID]
	if merged == nil {
		clone := *source
		clone.ObjectClasses = slices.Clone(source.ObjectClasses)
		clone.Children = nil
		s.byID[source.ID] = &clone
		s.sources = append(s.sources, &clone)
		return
	}
	for _, class := range source.ObjectClasses {
		if !containsFold(merged.ObjectClasses, class) {
			merged.ObjectClasses = append(merged.ObjectClasses, class)
		}
	}
}

func containsFold(list []string, name string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, name) })
}

// finishSource fills Want, Writes, ReadOnly and Children from the shape's attributes.
func (s *Shape) finishSource(source *Source) {
	wants, writes := newNames(source), &names{source: source}
	if source.Kind == backends.Tree {
		writes.add(ObjectClass)
	}
	for _, a := range s.attrs {
		wants.needs(s.plan, a)
		for _, w := range a.plan.writes {
			if w.source == source.ID {
				writes.add(w.name)
			}
		}
	}
	source.Want, source.Writes = wants.list, writes.list
	for _, name := range source.Want {
		if !containsFold(source.Writes, name) {
			source.ReadOnly = append(source.ReadOnly, name)
		}
	}
	for _, name := range append(slices.Clone(source.Want), source.Writes...) {
		table, _, ok := strings.Cut(name, "/")
		if !ok {
			continue
		}
		if source.Children == nil {
			source.Children = map[string]string{}
		}
		source.Children[table] = s.plan.foreignKey(source.ID, table)
	}
}

// foreignKey is the column by which the rows of a child table belong to a source's row.
func (b *basePlan) foreignKey(id, table string) string {
	for _, source := range b.sources() {
		if column, ok := source.Children[table]; ok && source.ID == id {
			return column
		}
	}
	return ""
}

// names collects the names of backend attributes of one source without repetition.
type names struct {
	source *Source
	list   []string
}

// newNames begins with what is always read of a source.
func newNames(source *Source) *names {
	n := &names{source: source}
	if source.Kind == backends.Tree {
		n.list = append(n.list, ObjectClass)
	}
	return n
}

func (n *names) add(name string) {
	if !slices.Contains(n.list, name) {
		n.list = append(n.list, name)
	}
}

// needs adds what an attribute reads of the source, and reports whether it reads anything of it. "*" stands for all
// attributes of the entry; the columns of child tables are named besides.
func (n *names) needs(b *basePlan, a *Attribute) bool {
	found := false
	for _, need := range a.plan.needs {
		if need.source != n.source.ID {
			continue
		}
		found = found || need.all || len(need.names) > 0
		for _, name := range need.names {
			n.add(name)
		}
		if !need.all {
			continue
		}
		n.add("*")
		children := b.children(n.source.ID)
		for _, table := range sortedKeys(children) {
			for _, column := range children[table] {
				n.add(table + "/" + column)
			}
		}
	}
	return found
}

// prepareInbound sorts the attributes by how they are read.
func (s *Shape) prepareInbound() {
	for _, source := range s.sources {
		reads := sourceReads{source: source.ID}
		for _, a := range s.attrs {
			if a.plan.direct != nil && a.plan.direct.source == source.ID {
				reads.attrs = append(reads.attrs, a)
			}
		}
		if len(reads.attrs) > 0 {
			s.directs = append(s.directs, reads)
			s.size += len(reads.attrs)
		}
	}
	for _, a := range s.attrs {
		switch {
		case a.plan.inbound != nil:
			s.queries = append(s.queries, a)
			s.size++
		case !a.Readable && a.Writable && len(a.plan.writes) == 0 && a.plan.defaultValue != nil:
			s.unkept = append(s.unkept, a)
			s.size++
		}
	}
}

// prepareDocuments finds out what the documents have to hold that queries work on.
func (s *Shape) prepareDocuments() {
	for _, a := range s.queries {
		for _, n := range a.plan.needs {
			if s.entryDocs[n.source] == nil {
				s.entryDocs[n.source] = map[string]bool{}
			}
			for _, name := range n.names {
				s.entryDocs[n.source][name] = true
			}
			if n.all {
				s.entryDocs[n.source]["*"] = true
			}
		}
	}
	for _, a := range s.attrs {
		for _, q := range a.objectQueries() {
			maps.Copy(s.objectDoc, q.reads)
			if q.all {
				s.objectDoc["*"] = true
			}
		}
	}
}

// objectQueries are all queries of an attribute on the object.
func (a *Attribute) objectQueries() []*objectQuery {
	queries := slices.Clone(a.plan.asserts)
	for _, w := range a.plan.writes {
		if w.query != nil {
			queries = append(queries, w.query)
		}
	}
	for _, q := range []*objectQuery{a.plan.defaultQuery, a.plan.valuesQuery} {
		if q != nil {
			queries = append(queries, q)
		}
	}
	return queries
}
