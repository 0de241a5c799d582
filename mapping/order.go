package mapping

import (
	"slices"
	"strings"

	"clacks/definitions"
)

// order ranks the attributes of a base type and its extensions so that each comes after what its outbound queries and
// its default read, and after what it names in DependsOn. A circle is an error that names its members.
func (c *compiler) order(b *basePlan) {
	o := &orderer{compiler: c, base: b, state: map[string]int{}, told: map[string]bool{}}
	b.rank = map[string]int{}
	// What may read everything comes last, whatever else it reads.
	var last []string
	for _, p := range b.all() {
		for _, a := range p.attrs {
			if readsAll(a) {
				last = append(last, a.Name)
			} else {
				o.visit(a.Name)
			}
		}
	}
	for _, name := range last {
		o.visit(name)
	}
}

// orderer is a depth-first topological sort. state is 1 while a name is on the path, 2 when it has its rank.
type orderer struct {
	compiler *compiler
	base     *basePlan
	state    map[string]int
	path     []string
	told     map[string]bool
}

func (o *orderer) visit(name string) {
	switch o.state[name] {
	case 2:
		return
	case 1:
		o.circle(o.path[slices.Index(o.path, name):])
		return
	}
	o.state[name] = 1
	o.path = append(o.path, name)
	for _, a := range o.base.names[name] {
		for _, dependency := range dependencies(a) {
			if dependency != name && len(o.base.names[dependency]) > 0 {
				o.visit(dependency)
			}
		}
	}
	o.path = o.path[:len(o.path)-1]
	o.state[name] = 2
	o.base.rank[name] = len(o.base.rank)
}

// circle reports each set of members once, beginning with the first by name.
func (o *orderer) circle(members []string) {
	first := slices.Index(members, slices.Min(members))
	turned := append(slices.Clone(members[first:]), members[:first]...)
	key := strings.Join(turned, "\x00")
	if o.told[key] {
		return
	}
	o.told[key] = true
	a := o.base.names[turned[0]][0]
	pos := a.Pos
	if q := queryThatReads(a, turned[(1)%len(turned)]); q != nil {
		pos = place(q.Pos, pos)
	}
	o.compiler.errorAt(pos, "", "circle of attributes: %s", strings.Join(append(turned, turned[0]), " -> "))
}

// queryThatReads is the query of a by which it depends on another attribute, nil when it is by DependsOn.
func queryThatReads(a *Attribute, name string) *definitions.Query {
	for _, q := range orderingQueries(a) {
		if q.reads[name] {
			return q.def
		}
	}
	return nil
}

// orderingQueries are the queries that must run after what they read has its value.
func orderingQueries(a *Attribute) []*objectQuery {
	var queries []*objectQuery
	for _, w := range a.plan.writes {
		if w.query != nil {
			queries = append(queries, w.query)
		}
	}
	if a.plan.defaultQuery != nil {
		queries = append(queries, a.plan.defaultQuery)
	}
	return queries
}

func readsAll(a *Attribute) bool {
	return slices.ContainsFunc(orderingQueries(a), func(q *objectQuery) bool { return q.all })
}

func dependencies(a *Attribute) []string {
	names := slices.Clone(a.DependsOn)
	for _, q := range orderingQueries(a) {
		names = append(names, sortedKeys(q.reads)...)
	}
	return names
}
