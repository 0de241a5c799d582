package xquery

import (
	"math/big"
	"slices"

	"github.com/lestrrat-go/helium/xpath3"
)

// Requires is a condition without which the query's result is not true in its effective boolean value: it follows from
// the equality tests and the paths of the query. It says nothing of evaluations that fail; those do not match, whatever
// the condition says of them. Documents whose nodes have types (Input.Typed) are not covered.
//
// It is found by evaluating the query with sources in place of values: a source says where an item of the value can have
// come from, and what must hold for it to be there. Every item of a value has one of its sources; what the analysis does
// not understand has a source that claims nothing.
func (q *Query) Requires() Condition {
	if q.module.context != nil || !q.options.DocumentContext {
		return Condition{}
	}
	r := &requirer{exact: q.module.collation == codepointCollation}
	for _, v := range q.options.Variables {
		declared := func(c clause) bool { return c.variable == name{local: v} }
		if !slices.ContainsFunc(q.module.variables, declared) {
			r.bind(name{local: v}, []source{{is: sourcePlace, place: Place{Variable: v}}})
		}
	}
	focus := []source{{is: sourcePlace}}
	for i := range q.module.variables {
		v := &q.module.variables[i]
		var sources []source
		if v.external {
			sources = []source{{is: sourcePlace, place: Place{Variable: variableKey(v.variable)}}}
		}
		if v.expr != nil {
			sources = r.union(sources, r.sources(v.expr, focus))
		}
		r.bind(v.variable, sources)
	}
	return r.requires(q.module.body, focus)
}

// Bounds of the analysis; beyond, it claims less.
const (
	maxSources = 64
	maxVisits  = 1 << 14 // expressions looked at: one can be visited for each source of another
	maxJoined  = 1 << 18 // parts of conditions that are put together
)

type sourceKind uint8

const (
	sourceUnknown sourceKind = iota
	sourcePlace              // a node at the place, or its value
	sourceText
	sourceNumber
	sourceBoolean
)

// source is where an item can come from; when must hold for it to be there.
type source struct {
	is     sourceKind
	place  Place
	text   string
	number float64
	truth  bool
	when   Condition
}

// bound is a variable in scope.
type bound struct {
	name    name
	sources []source
}

type requirer struct {
	scope  []bound
	exact  bool // strings are equal when their codepoints are
	visits int
	work   int // parts of conditions that were put together
}

var anything = []source{{}}

func (r *requirer) bind(n name, sources []source) {
	r.scope = append(r.scope, bound{n.key(), sources})
}

func (r *requirer) lookup(n name) []source {
	for i := len(r.scope) - 1; i >= 0; i-- {
		if r.scope[i].name == n.key() {
			return r.scope[i].sources
		}
	}
	return anything
}

// union are the sources of a sequence of two values.
func (r *requirer) union(x, y []source) []source {
	switch {
	case len(x) == 0:
		return y
	case len(y) == 0:
		return x
	case len(x)+len(y) > maxSources:
		return []source{{when: r.anyOf(r.nonempty(x), r.nonempty(y))}}
	}
	joined := make([]source, 0, len(x)+len(y))
	return append(append(joined, x...), y...)
}

// visit counts an expression that is looked at; true says that it was too much already.
func (r *requirer) visit() bool {
	r.visits++
	return r.visits > maxVisits || r.work > maxJoined
}

// spend counts work; false says that there was too much.
func (r *requirer) spend(parts int) bool {
	if r.work <= maxJoined {
		r.work += 1 + parts
	}
	return r.work <= maxJoined
}

// all is the conjunction of conditions. One that would become too large leaves parts out.
func (r *requirer) all(conditions ...Condition) Condition {
	joined := Condition{Is: All, size: 1}
	for i := range conditions {
		c := &conditions[i]
		parts := conditions[i : i+1]
		switch c.Is {
		case Never:
			return *c
		case Always:
			continue
		case All:
			parts = c.Parts
		}
		if !r.spend(len(parts)) {
			return Condition{}
		}
		for j := range parts {
			joined.join(&parts[j])
		}
	}
	return joined.reduced(Always)
}

// anyOf is the disjunction of conditions. One that would become too large claims nothing.
func (r *requirer) anyOf(conditions ...Condition) Condition {
	joined := Condition{Is: Any, size: 1}
	for i := range conditions {
		c := &conditions[i]
		parts := conditions[i : i+1]
		switch c.Is {
		case Always:
			return *c
		case Never:
			continue
		case Any:
			parts = c.Parts
		}
		if !r.spend(len(parts)) {
			return Condition{}
		}
		for j := range parts {
			if !joined.join(&parts[j]) {
				return Condition{}
			}
		}
	}
	return joined.reduced(Never)
}

// under are the sources with one more condition.
func (r *requirer) under(c Condition, sources []source) []source {
	if c.Is == Always {
		return sources
	}
	conditional := make([]source, len(sources))
	for i, s := range sources {
		s.when = r.all(s.when, c)
		conditional[i] = s
	}
	return conditional
}

// present is the condition for an item of a source.
func (r *requirer) present(s *source) Condition {
	if s.is == sourcePlace {
		return r.all(s.when, s.place.exists())
	}
	return s.when
}

// exists is the condition for a node at the place. Every document has nodes.
func (p Place) exists() Condition {
	if p.Variable == "" && len(p.Steps) == 0 {
		return Condition{}
	}
	return Condition{Is: Exists, Place: p}
}

// nonempty is the condition for a value of these sources to have items.
func (r *requirer) nonempty(sources []source) Condition {
	parts := make([]Condition, len(sources))
	for i := range sources {
		parts[i] = r.present(&sources[i])
	}
	return r.anyOf(parts...)
}

// truth is the condition for a value of these sources to be true, or to be the position of an item.
func (r *requirer) truth(sources []source) Condition {
	parts := make([]Condition, 0, len(sources))
	for i := range sources {
		s := &sources[i]
		if s.is == sourceBoolean && !s.truth || s.is == sourceText && s.text == "" {
			continue
		}
		parts = append(parts, r.present(s))
	}
	return r.anyOf(parts...)
}

// requires is the condition for an expression to be true.
func (r *requirer) requires(e expr, focus []source) Condition {
	if r.visit() {
		return Condition{}
	}
	switch e := e.(type) {
	case *sequenceOf:
		if len(e.items) == 1 {
			return r.requires(e.items[0], focus)
		}
	case *operation:
		return r.requiresOperation(e, focus)
	case *conditional:
		then := r.all(r.requires(e.test, focus), r.requires(e.then, focus))
		return r.anyOf(then, r.requires(e.otherwise, focus))
	case *quantified:
		return r.requiresQuantified(e, focus)
	case *tryCatch:
		parts := []Condition{r.requires(e.body, focus)}
		for i := range e.catches {
			parts = append(parts, r.inCatch(func() Condition { return r.requires(e.catches[i].body, focus) }))
		}
		return r.anyOf(parts...)
	case *flwor:
		mark := len(r.scope)
		defer func() { r.scope = r.scope[:mark] }()
		before := r.clauses(e.clauses, focus)
		return r.all(before, r.requires(e.result, focus))
	case *call:
		return r.requiresCall(e, focus)
	}
	return r.truth(r.sources(e, focus))
}

// inCatch runs f where the variables of an error are known.
func (r *requirer) inCatch(f func() Condition) Condition {
	mark := len(r.scope)
	defer func() { r.scope = r.scope[:mark] }()
	for _, v := range errorVariables {
		r.bind(name{uri: xpath3.NSErr, local: v}, anything)
	}
	return f()
}

func (r *requirer) requiresOperation(o *operation, focus []source) Condition {
	switch o.op {
	case xpath3.TokenAnd, xpath3.TokenOr:
		parts := make([]Condition, len(o.operands))
		for i, operand := range o.operands {
			parts[i] = r.requires(operand, focus)
		}
		if o.op == xpath3.TokenAnd {
			return r.all(parts...)
		}
		return r.anyOf(parts...)
	case xpath3.TokenEquals, xpath3.TokenEq:
		return r.equal(r.sources(o.operands[0], focus), r.sources(o.operands[1], focus))
	case xpath3.TokenNotEquals, xpath3.TokenLess, xpath3.TokenLessEq, xpath3.TokenGreater, xpath3.TokenGreaterEq,
		xpath3.TokenNe, xpath3.TokenLt, xpath3.TokenLe, xpath3.TokenGt, xpath3.TokenGe,
		xpath3.TokenIs, xpath3.TokenNodePre, xpath3.TokenNodeFol:
		return r.all(r.nonempty(r.sources(o.operands[0], focus)), r.nonempty(r.sources(o.operands[1], focus)))
	}
	return r.truth(r.sources(o, focus))
}

// equal is the condition for an item of the one value to equal one of the other.
func (r *requirer) equal(x, y []source) Condition {
	if !r.spend(len(x) * len(y)) {
		return Condition{}
	}
	parts := make([]Condition, 0, len(x)*len(y))
	for i := range x {
		for j := range y {
			parts = append(parts, r.all(x[i].when, y[j].when, r.same(&x[i], &y[j])))
		}
	}
	return r.anyOf(parts...)
}

// same is the condition for two items to be equal. A pair of types that cannot be compared is an error, not a match.
func (r *requirer) same(x, y *source) Condition {
	if x.is != sourcePlace {
		x, y = y, x
	}
	switch {
	case x.is == sourcePlace && y.is == sourceText && r.exact && x.place.indexable():
		return Condition{Is: Equals, Place: x.place, Text: y.text}
	case x.is == sourcePlace && y.is == sourceNumber && x.place.indexable():
		return Condition{Is: Equals, Place: x.place, Number: y.number, Numeric: true}
	case x.is == sourcePlace:
		both := x.place.exists()
		if y.is == sourcePlace {
			both = r.all(both, y.place.exists())
		}
		return both
	case x.is == sourceText && y.is == sourceText && r.exact && x.text != y.text,
		x.is == sourceNumber && y.is == sourceNumber && x.number != y.number:
		return Condition{Is: Never}
	}
	return Condition{}
}

// indexable tells places of which there are few from "any node".
func (p Place) indexable() bool { return p.Variable != "" || len(p.Steps) > 0 }

func (r *requirer) requiresQuantified(q *quantified, focus []source) Condition {
	if q.every {
		return Condition{}
	}
	mark := len(r.scope)
	defer func() { r.scope = r.scope[:mark] }()
	var c Condition
	for i := range q.bindings {
		sources := r.sources(q.bindings[i].expr, focus)
		c = r.all(c, r.nonempty(sources))
		r.bind(q.bindings[i].variable, sources)
	}
	return r.all(c, r.requires(q.satisfies, focus))
}

// clauses binds the variables of a FLWOR's clauses and is the condition for its result to be asked for.
func (r *requirer) clauses(clauses []clause, focus []source) Condition {
	var c Condition
	for i := range clauses {
		cl := &clauses[i]
		switch cl.is {
		case clauseFor:
			sources := r.sources(cl.expr, focus)
			if !cl.allowEmpty {
				c = r.all(c, r.nonempty(sources))
			}
			r.bind(cl.variable, sources)
			if cl.position.local != "" {
				r.bind(cl.position, anything)
			}
		case clauseLet:
			r.bind(cl.variable, r.sources(cl.expr, focus))
		case clauseWhere:
			c = r.all(c, r.requires(cl.expr, focus))
		case clauseGroup:
			for _, k := range cl.groups {
				if k.expr != nil {
					r.bind(k.name, r.sources(k.expr, focus))
				}
			}
		case clauseCount:
			r.bind(cl.variable, anything)
		case clauseWindow:
			c = r.all(c, r.nonempty(r.sources(cl.expr, focus)))
			r.bind(cl.variable, anything)
			for _, n := range cl.window.names() {
				if n.local != "" {
					r.bind(n, anything)
				}
			}
		}
	}
	return c
}

// numberOf is a numeric literal as an xs:double, which is what untyped values are compared as.
func numberOf(value any) (float64, bool) {
	switch v := value.(type) {
	case *big.Int:
		f, _ := new(big.Float).SetInt(v).Float64()
		return f, true
	case *big.Rat:
		f, _ := v.Float64()
		return f, true
	case float64:
		return v, v == v
	}
	return 0, false
}
