package xquery

import (
	"cmp"
	"slices"

	"github.com/lestrrat-go/helium/xpath3"
)

// Paths are the reads of a query, found by static analysis. They never claim less than what is read.
//
// Reading a path means reading the element or attribute at its end with everything in it, and whether the elements on
// the way exist. So a path that is the beginning of another one is listed only if more than its existence is read.
type Paths struct {
	// Context are the paths read from the context item, Variables those from each external variable, by the names that
	// Input.Variables has.
	Context   []Path
	Variables map[string][]Path
}

// Path is a sequence of child element steps (local names), from the item on; the last may be an attribute. All means
// that the steps do not say which of what is below them is read: the item itself is atomized or returned, or a wildcard
// or an axis other than child, attribute and self follows. All without steps means the whole document of the item.
type Path struct {
	Steps []Step
	All   bool
}

// Step is one child or attribute step and where it stands in the source file.
type Step struct {
	Name         string
	Attribute    bool
	Line, Column int
}

// The analysis evaluates the query with trails in place of nodes: a trail says by which steps from the context item or
// from an external variable a node can have been reached. An expression that looks at the value of nodes records their
// trails as read; one that passes nodes on (a path, a variable, head()) passes trails on. What nodes go through a map,
// an array or a function item is not followed: they are recorded as read when they go in, and come out on a trail that
// is unknown. Only steps upwards from such a trail can reach what was not recorded, and they record everything.

// Bounds of the analysis; beyond, it claims more instead of taking longer.
const (
	maxTrails     = 64
	maxTrailSteps = 32
	maxWork       = 1 << 20 // comparisons of trails
)

// root is where a trail begins: the context item, an external variable, or somewhere unknown.
type root int

const (
	rootUnknown root = -1
	rootContext root = 0 // the external variables follow
)

// trail is how nodes were reached. cut means that they are anywhere at or below the last step.
type trail struct {
	root  root
	steps []trailStep
	cut   bool
}

type trailStep struct {
	name      string
	attribute bool
	offset    int
}

var unknown = []trail{{root: rootUnknown}}

// known is a variable in the scope of the analysis.
type known struct {
	name   name
	trails []trail
}

type analyser struct {
	query      *Query
	scope      []known
	roots      []string // names of the external variables; roots[r-1] is that of root r
	reads      []read
	seen       map[string]int
	everything bool
	work       int
}

// read is a recorded read.
type read struct {
	trail
	exists bool // only whether the nodes exist
}

// analyse finds what the query reads.
func analyse(q *Query) Paths {
	a := &analyser{query: q, seen: make(map[string]int)}
	for _, v := range q.options.Variables {
		a.bind(name{local: v}, a.external(v))
	}
	focus := []trail{{root: rootContext}}
	for _, m := range append(slices.Clip(q.module.libraries), q.module) {
		a.module(m, &focus)
	}
	a.value(a.walk(q.module.body, focus))
	return a.paths()
}

// module walks a prolog. With functions, variables can be read before they are declared: then they are recorded as read
// at once.
func (a *analyser) module(m *module, focus *[]trail) {
	early := len(m.functions) > 0 || len(a.query.module.libraries) > 0
	if m.context != nil && m.context.expr != nil {
		*focus = a.union(*focus, a.walk(m.context.expr, *focus))
	}
	for i := range m.variables {
		v := &m.variables[i]
		var trails []trail
		if v.external {
			trails = a.external(variableKey(v.variable))
		}
		if v.expr != nil {
			trails = a.union(trails, a.walk(v.expr, *focus))
		}
		if early {
			a.value(trails)
		}
		a.bind(v.variable, trails)
	}
	a.functions(m)
}

// external is the trail of an external variable.
func (a *analyser) external(local string) []trail {
	i := slices.Index(a.roots, local)
	if i < 0 {
		i = len(a.roots)
		a.roots = append(a.roots, local)
	}
	return []trail{{root: root(i + 1)}}
}

func (a *analyser) bind(n name, trails []trail) {
	a.scope = append(a.scope, known{name: n.key(), trails: trails})
}

func (a *analyser) lookup(n name) []trail {
	for i := len(a.scope) - 1; i >= 0; i-- {
		if a.scope[i].name == n.key() {
			return a.scope[i].trails
		}
	}
	return unknown
}

// union is the union of two sets of trails; a large one becomes coarse.
func (a *analyser) union(x, y []trail) []trail {
	switch {
	case len(x) == 0:
		return y
	case len(y) == 0:
		return x
	}
	if a.work += (len(x) + len(y)) * (len(x) + len(y)); a.work > maxWork {
		a.everything = true
		return unknown
	}
	all := make([]trail, 0, len(x)+len(y))
	for _, t := range append(slices.Clone(x), y...) {
		if !slices.ContainsFunc(all, t.equal) {
			all = append(all, t)
		}
	}
	if len(all) <= maxTrails {
		return all
	}
	var coarse []trail
	for _, t := range all {
		c := trail{root: t.root, cut: t.root != rootUnknown}
		if !slices.ContainsFunc(coarse, c.equal) {
			coarse = append(coarse, c)
		}
	}
	return coarse
}

func (t trail) equal(other trail) bool {
	return t.root == other.root && t.cut == other.cut && slices.EqualFunc(t.steps, other.steps, sameStep)
}

func sameStep(x, y trailStep) bool { return x.name == y.name && x.attribute == y.attribute }

// value records that the nodes are read with all that is in them.
func (a *analyser) value(trails []trail) {
	for _, t := range trails {
		a.record(t, false)
	}
}

// exists records that only the nodes' existence, number or names are read.
func (a *analyser) exists(trails []trail) {
	for _, t := range trails {
		if len(t.steps) > 0 || t.cut {
			a.record(t, true)
		}
	}
}

// upwards records that everything around the nodes may be read.
func (a *analyser) upwards(trails []trail) []trail {
	for _, t := range trails {
		if t.root == rootUnknown {
			a.everything = true
			continue
		}
		a.record(trail{root: t.root, cut: true}, false)
	}
	if len(trails) == 0 {
		return nil
	}
	return unknown
}

// absolute is where an absolute path begins: at the root of the tree of the nodes.
func (a *analyser) absolute(trails []trail) []trail {
	if !a.query.options.DocumentContext {
		return a.upwards(trails)
	}
	var roots []trail
	for _, t := range trails {
		if t.root == rootContext {
			roots = a.union(roots, []trail{{root: rootContext}})
		} else {
			roots = a.union(roots, a.upwards([]trail{t}))
		}
	}
	return roots
}

func (a *analyser) record(t trail, exists bool) {
	if t.root == rootUnknown {
		return
	}
	t.cut = t.cut || len(t.steps) == 0
	key := t.key()
	if i, ok := a.seen[key]; ok {
		a.reads[i].exists = a.reads[i].exists && exists
		return
	}
	a.seen[key] = len(a.reads)
	a.reads = append(a.reads, read{trail: t, exists: exists})
}

func (t trail) key() string {
	b := make([]byte, 0, 64)
	b = append(b, byte(t.root), byte(t.root>>8), byte(t.root>>16))
	if t.cut {
		b = append(b, '*')
	}
	for _, s := range t.steps {
		b = append(b, '/')
		if s.attribute {
			b = append(b, '@')
		}
		b = append(b, s.name...)
	}
	return string(b)
}

// paths are the recorded reads, without those that others imply.
func (a *analyser) paths() Paths {
	p := Paths{Variables: make(map[string][]Path)}
	if a.everything {
		a.record(trail{root: rootContext}, false)
		for i := range a.roots {
			a.record(trail{root: root(i + 1)}, false)
		}
	}
	slices.SortStableFunc(a.reads, func(x, y read) int {
		return cmp.Or(cmp.Compare(x.root, y.root), cmp.Compare(x.key(), y.key()))
	})
	places := newPlaces(&a.query.origin)
	for i, r := range a.reads {
		if r.exists && a.implied(i) {
			continue
		}
		path := Path{All: r.cut}
		for _, s := range r.steps {
			line, column := places.of(s.offset)
			path.Steps = append(path.Steps, Step{Name: s.name, Attribute: s.attribute, Line: line, Column: column})
		}
		if r.root == rootContext {
			p.Context = append(p.Context, path)
			continue
		}
		v := a.roots[r.root-1]
		p.Variables[v] = append(p.Variables[v], path)
	}
	return p
}

// implied reports whether another read goes on where this one ends. The reads are sorted, so it would follow, but
// names that begin alike can stand between.
func (a *analyser) implied(i int) bool {
	r := a.reads[i]
	if r.cut {
		return false
	}
	prefix := r.key()
	for _, other := range a.reads[i+1:] {
		key := other.key()
		if len(key) < len(prefix) || key[:len(prefix)] != prefix {
			break
		}
		if len(other.steps) > len(r.steps) && key[len(prefix)] == '/' {
			return true
		}
	}
	return false
}

// step follows an axis step.
func (a *analyser) step(trails []trail, s *step) []trail {
	var next []trail
	for _, t := range trails {
		next = a.union(next, a.follow(t, s))
	}
	for _, p := range s.predicates {
		a.predicate(p, next)
	}
	return next
}

func (a *analyser) follow(t trail, s *step) []trail {
	if t.root == rootUnknown {
		if !downward(s.axis) {
			a.everything = true
		}
		return unknown
	}
	switch s.axis {
	case xpath3.AxisSelf:
		return []trail{t}
	case xpath3.AxisChild, xpath3.AxisAttribute:
		return []trail{t.child(s)}
	case xpath3.AxisDescendant, xpath3.AxisDescendantOrSelf:
		t.cut = true
		return []trail{t}
	case xpath3.AxisParent:
		if !t.cut && len(t.steps) > 0 {
			// The child's existence decides whether the parent is reached.
			a.exists([]trail{t})
			t.steps = t.steps[:len(t.steps)-1]
			return []trail{t}
		}
	case xpath3.AxisFollowingSibling, xpath3.AxisPrecedingSibling:
		if !t.cut && len(t.steps) > 0 {
			t.steps, t.cut = t.steps[:len(t.steps)-1], true
			return []trail{t}
		}
	}
	return a.upwards([]trail{t})
}

func downward(axis xpath3.AxisType) bool {
	switch axis {
	case xpath3.AxisSelf, xpath3.AxisChild, xpath3.AxisAttribute, xpath3.AxisDescendant, xpath3.AxisDescendantOrSelf:
		return true
	}
	return false
}

// child is the trail to a named child or attribute; to any other it is cut.
func (t trail) child(s *step) trail {
	if t.cut || s.name.local == "" || len(t.steps) >= maxTrailSteps {
		t.cut = true
		return t
	}
	added := trailStep{name: s.name.local, attribute: s.axis == xpath3.AxisAttribute, offset: int(s.offset)}
	t.steps = append(slices.Clip(t.steps), added)
	return t
}

// places finds the lines and columns of many offsets.
type places struct {
	origin *origin
	lines  []int // offsets at which lines begin
	runes  []int // number of characters before each block
}

const placeBlock = 1 << 10

func newPlaces(o *origin) *places {
	p := &places{origin: o, lines: []int{0}}
	count := 0
	for i := 0; i < len(o.text); i++ {
		if i%placeBlock == 0 {
			p.runes = append(p.runes, count)
		}
		if c := o.text[i]; c < 0x80 || c >= 0xC0 {
			count++
			if c == '\n' {
				p.lines = append(p.lines, i+1)
			}
		}
	}
	return p
}

// of is the line and the column of an offset.
func (p *places) of(offset int) (line, column int) {
	i, found := slices.BinarySearch(p.lines, offset)
	if !found {
		i--
	}
	column = p.before(offset) - p.before(p.lines[i])
	if i == 0 {
		return p.origin.line, p.origin.column + column
	}
	return p.origin.line + i, column + 1
}

// before is the number of characters before an offset.
func (p *places) before(offset int) int {
	block := offset / placeBlock
	if block >= len(p.runes) {
		block = len(p.runes) - 1
	}
	count := p.runes[block]
	for _, c := range []byte(p.origin.text[block*placeBlock : offset]) {
		if c < 0x80 || c >= 0xC0 {
			count++
		}
	}
	return count
}
