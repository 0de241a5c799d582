package eventclient

import (
	"maps"
	"slices"

	"clacks/internal/xsd"
)

// arrange puts elements into an order that a content model allows, as far as that can be told from their names: those of
// one name keep their order, a choice takes what was given first, a repeated group takes one of each in each round.
// missing are the names of elements that have to be there and are not, left those of elements for which there is no place.
func arrange(model xsd.Content, known map[string]*xsd.Particle, children []Content) (arranged []Content, missing, left []string) {
	a := &arranger{waiting: map[string][]int{}, children: children, reach: map[*xsd.Particle][]string{}}
	for i, c := range children {
		name := c.name
		if known[name] == nil {
			name = wildcard
		}
		a.waiting[name] = append(a.waiting[name], i)
	}
	if model.Order != "" {
		a.group(&xsd.Particle{Min: 1, Max: 1, Content: model})
	}
	for _, name := range slices.Sorted(maps.Keys(a.waiting)) {
		if len(a.waiting[name]) > 0 {
			left = append(left, children[a.waiting[name][0]].name)
		}
	}
	return a.arranged, a.missing, left
}

// wildcard stands for the names that a model does not name.
const wildcard = ""

type arranger struct {
	children []Content
	waiting  map[string][]int // by name: indices of the children that have no place yet
	arranged []Content
	missing  []string
	reach    map[*xsd.Particle][]string // the names inside a particle
}

// take finds places for what a particle may hold.
func (a *arranger) take(p *xsd.Particle) {
	if p.Name == "" && p.Order != xsd.OrderAny {
		a.group(p)
		return
	}
	waiting := a.waiting[p.Name]
	n := len(waiting)
	if p.Max != xsd.Unbounded {
		n = min(n, p.Max)
	}
	for _, i := range waiting[:n] {
		a.arranged = append(a.arranged, a.children[i])
	}
	a.waiting[p.Name] = waiting[n:]
	if n < p.Min && p.Name != "" {
		a.lacks(p.Name)
	}
}

func (a *arranger) group(p *xsd.Particle) {
	for round := 0; p.Max == xsd.Unbounded || round < p.Max; round++ {
		if a.first(p) < 0 && round >= p.Min {
			return
		}
		before := len(a.arranged)
		if p.Order == xsd.OrderChoice {
			a.choose(p)
		} else {
			for i := range p.Elements {
				a.take(&p.Elements[i])
			}
		}
		if len(a.arranged) == before {
			return
		}
	}
}

// choose takes the branch whose element was given first.
func (a *arranger) choose(p *xsd.Particle) {
	best, earliest := -1, len(a.children)
	for i := range p.Elements {
		if first := a.first(&p.Elements[i]); first >= 0 && first < earliest {
			best, earliest = i, first
		}
	}
	if best >= 0 {
		a.take(&p.Elements[best])
		return
	}
	if !optional(p) {
		if names := a.names(p); len(names) > 0 {
			a.lacks(names[0])
		}
	}
}

func (a *arranger) lacks(name string) {
	if len(a.missing) < maxProblems {
		a.missing = append(a.missing, name)
	}
}

// first is the index of the first waiting child that a particle could hold, or -1.
func (a *arranger) first(p *xsd.Particle) int {
	earliest := -1
	for _, name := range a.names(p) {
		if waiting := a.waiting[name]; len(waiting) > 0 && (earliest < 0 || waiting[0] < earliest) {
			earliest = waiting[0]
		}
	}
	return earliest
}

// names are those of the elements inside a particle, in the order of the schema.
func (a *arranger) names(p *xsd.Particle) []string {
	if p.Name != "" || p.Order == xsd.OrderAny {
		return []string{p.Name}
	}
	if names, done := a.reach[p]; done {
		return names
	}
	var names []string
	for i := range p.Elements {
		for _, name := range a.names(&p.Elements[i]) {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	a.reach[p] = names
	return names
}

// optional reports whether a particle may be empty.
func optional(p *xsd.Particle) bool {
	empty := func(child xsd.Particle) bool { return optional(&child) }
	switch {
	case p.Min == 0:
		return true
	case p.Name != "" || p.Order == xsd.OrderAny:
		return false
	case p.Order == xsd.OrderChoice:
		return slices.ContainsFunc(p.Elements, empty)
	}
	return !slices.ContainsFunc(p.Elements, func(child xsd.Particle) bool { return !empty(child) })
}

// namesIn are the elements of a content model by their names; a schema has one declaration a name there (XML Schema,
// part 1, section 3.8.6, "Element Declarations Consistent").
func namesIn(elements []xsd.Particle, known map[string]*xsd.Particle) map[string]*xsd.Particle {
	if known == nil {
		known = map[string]*xsd.Particle{}
	}
	for i := range elements {
		p := &elements[i]
		if p.Name == "" {
			namesIn(p.Elements, known)
		} else if known[p.Name] == nil {
			known[p.Name] = p
		}
	}
	return known
}

// hasAny reports whether a content model lets elements in that it does not name.
func hasAny(model xsd.Content) bool {
	return model.Order == xsd.OrderAny ||
		slices.ContainsFunc(model.Elements, func(p xsd.Particle) bool { return p.Name == "" && hasAny(p.Content) })
}

func keys(known map[string]*xsd.Particle) []string { return slices.Sorted(maps.Keys(known)) }
