package xquery

import (
	"github.com/lestrrat-go/helium/xpath3"
)

// walk evaluates an expression over trails: it records what is read on the way, and returns the trails of the nodes
// that the result can contain.
func (a *analyser) walk(e expr, focus []trail) []trail {
	switch e := e.(type) {
	case *literal:
		return nil
	case *variable:
		return a.lookup(e.name)
	case *contextItem:
		return focus
	case *sequenceOf:
		var all []trail
		for _, item := range e.items {
			all = a.union(all, a.walk(item, focus))
		}
		return all
	case *operation:
		return a.operation(e, focus)
	case *unary:
		a.value(a.walk(e.operand, focus))
		return nil
	case *typed:
		return a.typed(e, focus)
	case *path:
		return a.path(e, focus)
	case *filter:
		trails := a.walk(e.base, focus)
		for _, p := range e.predicates {
			a.predicate(p, trails)
		}
		return trails
	case *call:
		return a.call(e, focus)
	case *functionRef:
		return a.functionRef(e, focus)
	case *conditional:
		a.exists(a.walk(e.test, focus))
		return a.union(a.walk(e.then, focus), a.walk(e.otherwise, focus))
	case *quantified:
		return a.quantified(e, focus)
	case *tryCatch:
		return a.tryCatch(e, focus)
	case *flwor:
		return a.flwor(e, focus)
	case *typeSwitch:
		return a.typeSwitch(e, focus)
	case *switchOf:
		return a.switchOf(e, focus)
	case *constructor:
		return a.constructor(e, focus)
	case *enclosedExpr:
		a.value(a.walk(e.body, focus))
		return nil
	case *joined:
		a.value(a.walk(e.body, focus))
		return nil
	}
	return a.opaque(e, focus)
}

// constructor copies what is in its content. Nothing of the input can be reached from the new node.
func (a *analyser) constructor(e *constructor, focus []trail) []trail {
	if e.nameExpr != nil {
		a.value(a.walk(e.nameExpr, focus))
	}
	for _, c := range e.attributes {
		a.constructor(c, focus)
	}
	for _, c := range e.content {
		a.value(a.walk(c, focus))
	}
	// A copied node keeps the namespaces that are declared around the original.
	return nil
}

func (a *analyser) switchOf(e *switchOf, focus []trail) []trail {
	a.value(a.walk(e.operand, focus))
	all := a.walk(e.otherwise, focus)
	for _, c := range e.cases {
		a.values(c.tests, focus)
		all = a.union(all, a.walk(c.result, focus))
	}
	return all
}

func (a *analyser) typeSwitch(e *typeSwitch, focus []trail) []trail {
	operand := a.walk(e.operand, focus)
	a.exists(operand)
	var all []trail
	for _, c := range e.cases {
		for _, k := range c.kinds {
			a.inspect(operand, k)
		}
		mark := len(a.scope)
		if c.variable.local != "" {
			a.bind(c.variable, operand)
		}
		all = a.union(all, a.walk(c.result, focus))
		a.scope = a.scope[:mark]
	}
	return all
}

// functions walks the functions of the prologs once. What nodes their arguments are is not followed: the arguments of
// calls are recorded as read, and the parameters are unknown.
func (a *analyser) functions(m *module) {
	for _, f := range m.functions {
		if f.body == nil {
			continue
		}
		mark := len(a.scope)
		for _, p := range f.params {
			a.bind(p.name, unknown)
		}
		a.value(a.walk(f.body, nil))
		a.scope = a.scope[:mark]
	}
}

// opaque walks expressions that put nodes into function items, maps and arrays or take them out.
func (a *analyser) opaque(e expr, focus []trail) []trail {
	switch e := e.(type) {
	case *lookup:
		if e.base != nil {
			a.value(a.walk(e.base, focus))
		}
		if e.key != nil {
			a.value(a.walk(e.key, focus))
		}
		return unknown
	case *dynamicCall:
		a.value(a.walk(e.function, focus))
		a.values(e.args, focus)
		return unknown
	case *inlineFunction:
		mark := len(a.scope)
		for _, p := range e.params {
			a.bind(p.name, unknown)
		}
		a.value(a.walk(e.body, nil))
		a.scope = a.scope[:mark]
	case *mapOf:
		a.values(e.keys, focus)
		a.values(e.values, focus)
	case *arrayOf:
		a.values(e.members, focus)
		// Atomizing an array gives its members' values, and paths do not enter it.
	}
	return nil
}

func (a *analyser) values(all []expr, focus []trail) {
	for _, e := range all {
		if e != nil {
			a.value(a.walk(e, focus))
		}
	}
}

func (a *analyser) operation(o *operation, focus []trail) []trail {
	switch o.op {
	case xpath3.TokenAnd, xpath3.TokenOr, xpath3.TokenIs, xpath3.TokenNodePre, xpath3.TokenNodeFol:
		for _, e := range o.operands {
			a.exists(a.walk(e, focus))
		}
		return nil
	case xpath3.TokenBang:
		items := a.walk(o.operands[0], focus)
		a.exists(items)
		return a.walk(o.operands[1], items)
	case xpath3.TokenUnion:
		return a.union(a.walk(o.operands[0], focus), a.walk(o.operands[1], focus))
	case xpath3.TokenIntersect, xpath3.TokenExcept:
		trails := a.walk(o.operands[0], focus)
		a.exists(a.walk(o.operands[1], focus))
		return trails
	}
	a.values(o.operands, focus)
	return nil
}

func (a *analyser) typed(e *typed, focus []trail) []trail {
	trails := a.walk(e.operand, focus)
	switch e.op {
	case xpath3.TokenTreatAs:
		a.inspect(trails, e.kind)
		return trails
	case xpath3.TokenInstanceOf:
		a.inspect(trails, e.kind)
		return nil
	}
	a.value(trails)
	return nil
}

// inspect records what a sequence type looks at: document-node(element(x)) looks at the children.
func (a *analyser) inspect(trails []trail, kind xpath3.SequenceType) {
	if d, ok := kind.ItemTest.(xpath3.DocumentTest); ok && d.Inner != nil {
		a.value(trails)
		return
	}
	a.exists(trails)
}

func (a *analyser) path(e *path, focus []trail) []trail {
	trails := focus
	if e.fromRoot {
		trails = a.absolute(focus)
	}
	for i := range e.parts {
		p := &e.parts[i]
		if p.descendants {
			trails = a.step(trails, &step{axis: xpath3.AxisDescendantOrSelf})
		}
		if p.step != nil {
			trails = a.step(trails, p.step)
			continue
		}
		if i > 0 || e.fromRoot {
			a.exists(trails)
		}
		trails = a.walk(p.expr, trails)
	}
	return trails
}

// predicate walks a condition on nodes. One that is a number looks at positions only.
func (a *analyser) predicate(e expr, items []trail) {
	a.exists(a.walk(e, items))
}

func (a *analyser) quantified(q *quantified, focus []trail) []trail {
	mark := len(a.scope)
	for i := range q.bindings {
		trails := a.walk(q.bindings[i].expr, focus)
		a.exists(trails)
		a.bind(q.bindings[i].variable, trails)
	}
	a.exists(a.walk(q.satisfies, focus))
	a.scope = a.scope[:mark]
	return nil
}

func (a *analyser) tryCatch(t *tryCatch, focus []trail) []trail {
	trails := a.walk(t.body, focus)
	a.exists(trails)
	for _, c := range t.catches {
		mark := len(a.scope)
		for _, v := range errorVariables {
			a.bind(name{uri: xpath3.NSErr, local: v}, unknown)
		}
		trails = a.union(trails, a.walk(c.body, focus))
		a.scope = a.scope[:mark]
	}
	return trails
}

func (a *analyser) flwor(f *flwor, focus []trail) []trail {
	mark := len(a.scope)
	for i := range f.clauses {
		c := &f.clauses[i]
		switch c.is {
		case clauseFor:
			trails := a.walk(c.expr, focus)
			a.exists(trails)
			a.bind(c.variable, trails)
			if c.position.local != "" {
				a.bind(c.position, nil)
			}
		case clauseLet:
			a.bind(c.variable, a.walk(c.expr, focus))
		case clauseWhere:
			a.exists(a.walk(c.expr, focus))
		case clauseOrder:
			for _, k := range c.keys {
				a.value(a.walk(k.expr, focus))
			}
		case clauseGroup:
			for _, k := range c.groups {
				if k.expr != nil {
					a.bind(k.name, a.walk(k.expr, focus))
				}
				a.value(a.lookup(k.name))
			}
			continue
		case clauseCount:
			a.bind(c.variable, nil)
			continue
		case clauseWindow:
			a.window(c, focus)
		}
		if c.kind != nil && c.variable.local != "" {
			a.inspect(a.lookup(c.variable), *c.kind)
		}
	}
	trails := a.walk(f.result, focus)
	a.scope = a.scope[:mark]
	return trails
}

// window binds the variables of a window clause, all of which are items of one sequence or positions.
func (a *analyser) window(c *clause, focus []trail) {
	trails := a.walk(c.expr, focus)
	a.exists(trails)
	for _, w := range []*windowCondition{&c.window.start, c.window.end} {
		if w == nil {
			continue
		}
		for _, n := range w.names() {
			if n.local != "" {
				a.bind(n, trails)
			}
		}
		a.exists(a.walk(w.when, focus))
	}
	a.bind(c.variable, trails)
}

// flow is how a function treats nodes.
type flow uint8

const (
	flowValue  flow = iota // reads its arguments' values and returns none of their nodes
	flowExists             // looks whether its arguments exist, how many they are, or what they are called
	flowPass               // returns nodes of its arguments, without looking into them
	flowSort               // reads values, and returns the nodes
	flowUp                 // looks around its arguments
	flowOpaque             // calls function items, or returns nodes that are hidden in maps and arrays
	flowNone               // looks at no node
)

// flows are the functions of the fn namespace that do not just read values.
var flows = map[string]flow{
	"exists": flowExists, "empty": flowExists, "count": flowExists, "not": flowExists, "boolean": flowExists,
	"name": flowExists, "local-name": flowExists, "namespace-uri": flowExists, "node-name": flowExists,
	"head": flowPass, "tail": flowPass, "reverse": flowPass, "remove": flowPass, "subsequence": flowPass,
	"insert-before": flowPass, "unordered": flowPass, "zero-or-one": flowPass, "one-or-more": flowPass,
	"exactly-one": flowPass, "trace": flowPass, "innermost": flowUp, "outermost": flowUp,
	"sort": flowSort,
	"root": flowUp, "path": flowUp, "id": flowUp, "idref": flowUp, "element-with-id": flowUp, "lang": flowUp,
	"base-uri": flowUp, "document-uri": flowUp, "in-scope-prefixes": flowUp, "namespace-uri-for-prefix": flowUp,
	"resolve-QName": flowUp, "generate-id": flowExists,
	"apply": flowOpaque, "for-each": flowOpaque, "for-each-pair": flowOpaque, "filter": flowOpaque,
	"fold-left": flowOpaque, "fold-right": flowOpaque, "function-lookup": flowOpaque, "error": flowValue,
	"position": flowNone, "last": flowNone, "true": flowNone, "false": flowNone, "current-date": flowNone,
	"current-dateTime": flowNone, "current-time": flowNone, "implicit-timezone": flowNone,
	"default-collation": flowNone, "default-language": flowNone, "static-base-uri": flowNone,
	"random-number-generator": flowValue, "available-environment-variables": flowNone,
	"collection": flowNone, "uri-collection": flowNone,
}

// implicitFocus are the functions that look around the context item although they have an argument.
var implicitFocus = map[string]int{"lang": 1, "id": 1, "idref": 1, "element-with-id": 1}

func (a *analyser) call(e *call, focus []trail) []trail {
	kind := a.flowOf(e.name, len(e.args))
	if e.name.uri == xpath3.NSFn && kind != flowNone {
		if len(e.args) == 0 && kind != flowOpaque {
			return a.apply(kind, focus)
		}
		if n, ok := implicitFocus[e.name.local]; ok && n == len(e.args) {
			a.upwards(focus)
		}
	}
	var all []trail
	for _, arg := range e.args {
		if arg == nil {
			return a.partial(e, kind, focus)
		}
		all = a.union(all, a.apply(kind, a.walk(arg, focus)))
	}
	if kind == flowOpaque {
		return unknown
	}
	return all
}

// partial is a call with placeholders: a function item, whose other arguments are not seen here.
func (a *analyser) partial(e *call, kind flow, focus []trail) []trail {
	a.everything = a.everything || kind == flowUp
	a.values(e.args, focus)
	return nil
}

// apply is what a function does with the nodes of an argument.
func (a *analyser) apply(kind flow, trails []trail) []trail {
	switch kind {
	case flowExists:
		a.exists(trails)
	case flowPass:
		return trails
	case flowSort:
		a.value(trails)
		return trails
	case flowUp:
		a.value(trails)
		return a.upwards(trails)
	case flowValue, flowOpaque:
		a.value(trails)
	}
	return nil
}

func (a *analyser) flowOf(n name, arity int) flow {
	switch n.uri {
	case xpath3.NSFn:
		if f, ok := flows[n.local]; ok {
			return f
		}
		if xpath3.StandardFunctionAcceptsArity(n.uri, n.local, arity) {
			return flowValue
		}
	case xpath3.NSXS, xpath3.NSMath:
		return flowValue
	}
	return flowOpaque // functions on maps and arrays, and the caller's own
}

// functionRef captures the focus, and can be called with nodes that are no longer followed.
func (a *analyser) functionRef(e *functionRef, focus []trail) []trail {
	kind := a.flowOf(e.name, e.arity)
	if kind == flowUp {
		a.everything = true
	}
	if e.arity == 0 {
		a.value(focus)
	}
	return nil
}
