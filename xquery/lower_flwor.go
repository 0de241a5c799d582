package xquery

import (
	"strings"

	"github.com/lestrrat-go/helium/xpath3"
)

// stream is a row of compiled FLWOR clauses that are not yet nested into expressions.
type stream struct {
	clauses []streamClause
}

// streamClause is a "for" or "let" of helium's, or a condition.
type streamClause struct {
	binding   xpath3.FLWORClause
	condition xpath3.Expr
	// scoped, if not negative, is the index of a binding that must be used for the clause to be kept.
	scoped int
}

func (s *stream) let(variable string, value xpath3.Expr) {
	s.clauses = append(s.clauses, streamClause{binding: xpath3.LetClause{Var: variable, Expr: value}, scoped: -1})
}

// build nests the clauses around the result.
func (s *stream) build(result xpath3.Expr) xpath3.Expr { return s.buildUsed(result, nil) }

func (s *stream) buildUsed(result xpath3.Expr, used []binding) xpath3.Expr {
	end := len(s.clauses)
	for end > 0 {
		last := s.clauses[end-1]
		if last.condition != nil {
			result = xpath3.IfExpr{Cond: last.condition, Then: result, Else: empty}
			end--
			continue
		}
		start, loops := end, false
		for start > 0 && s.clauses[start-1].condition == nil {
			start--
		}
		bindings := make([]xpath3.FLWORClause, 0, end-start)
		for _, b := range s.clauses[start:end] {
			if b.scoped >= 0 && !used[b.scoped].used {
				continue
			}
			_, loops = b.binding.(xpath3.ForClause)
			bindings = append(bindings, b.binding)
		}
		if last := len(bindings) - 1; loops {
			loop, _ := bindings[last].(xpath3.ForClause)
			loop.Expr = countedItems(loop.Expr, result)
			bindings[last] = loop
		}
		if len(bindings) > 0 {
			result = xpath3.FLWORExpr{Clauses: bindings, Return: result}
		}
		end = start
	}
	return result
}

// flwor compiles a FLWOR expression. "for" and "let" are helium's, "where" is a conditional around the rest, and an
// "order by" collects what stands before it into tuples that a hook sorts, over which the rest loops.
func (c *compiler) flwor(f *flwor) xpath3.Expr {
	var s stream
	mark := len(c.scope)
	defer func(loops int) { c.loops = loops }(c.loops)
	for i := range f.clauses {
		k := &f.clauses[i]
		switch k.is {
		case clauseFor:
			c.forClause(&s, k, c.joined(f, i))
			c.loops++
		case clauseLet:
			value, double := c.expr(k.expr), isDouble(k.kind) || c.doubles(k.expr)
			s.let(c.bind(k.variable), value)
			c.known(double)
			c.declareType(&s, k)
		case clauseWhere:
			s.clauses = append(s.clauses, streamClause{condition: c.expr(k.expr), scoped: -1})
		case clauseOrder:
			c.orderClause(&s, k, mark)
		case clauseGroup:
			c.groupClause(&s, k, mark)
		case clauseCount:
			c.countClause(&s, k, mark)
		case clauseWindow:
			c.windowClause(&s, k)
		}
	}
	result := c.expr(f.result)
	tree := s.buildUsed(result, c.scope)
	c.scope = c.scope[:mark]
	return tree
}

func (c *compiler) forClause(s *stream, k *clause, j *joinPlan) {
	domain, double := c.expr(k.expr), isDouble(k.kind) || c.doubles(k.expr)
	if k.allowEmpty {
		c.outerFor(s, k, domain)
		return
	}
	if j != nil {
		domain = c.looksAhead(domain, k, j)
	}
	loop := xpath3.ForClause{Var: c.bind(k.variable), Expr: domain}
	c.known(double)
	if k.position.local != "" {
		loop.PosVar = c.bind(k.position)
	}
	s.clauses = append(s.clauses, streamClause{binding: loop, scoped: -1})
	c.declareType(s, k)
}

// outerFor compiles "allowing empty".
func (c *compiler) outerFor(s *stream, k *clause, domain xpath3.Expr) {
	item := c.hide()
	reference := xpath3.VariableExpr{Name: item}
	loop := xpath3.ForClause{Var: item, Expr: hookCall(hookOuter, domain)}
	if k.position.local != "" {
		loop.PosVar = c.hide()
	}
	s.clauses = append(s.clauses, streamClause{binding: loop, scoped: -1})
	s.let(c.bind(k.variable), hookCall(hookInner, reference))
	c.declareType(s, k)
	if k.position.local != "" {
		s.let(c.bind(k.position), hookCall(hookInner, reference, xpath3.VariableExpr{Name: loop.PosVar}))
	}
}

// declareType checks the declared type of the variable that was bound last (XQuery 3.1, section 3.12.1: without
// conversion).
func (c *compiler) declareType(s *stream, k *clause) {
	if k.kind == nil {
		return
	}
	v := c.variable(&variable{offset: k.offset, name: k.variable})
	c.checkType(s, v.(xpath3.VariableExpr).Name, k.variable, k.kind)
	if last := &s.clauses[len(s.clauses)-1]; c.traced {
		let, _ := last.binding.(xpath3.LetClause)
		last.binding = xpath3.LetClause{Var: let.Var, Expr: placed(k.at(), let.Expr)}
	}
}

// checkType checks a variable of helium's tree.
func (c *compiler) checkType(s *stream, plain string, n name, kind *xpath3.SequenceType) {
	if kind == nil {
		return
	}
	v := xpath3.VariableExpr{Name: plain}
	message := xpath3.LiteralExpr{Value: "the value of $" + n.String() + " is not of its declared type"}
	s.let(plain, xpath3.IfExpr{
		Cond: xpath3.InstanceOfExpr{Expr: v, Type: *kind},
		Then: v,
		Else: hookCall(hookMismatch, message),
	})
}

// orderClause replaces the stream by one loop over its sorted tuples. A tuple is the keys and the variables that the
// stream binds; those that nobody uses afterwards are not unpacked again.
func (c *compiler) orderClause(s *stream, k *clause, mark int) {
	var spec strings.Builder
	keys := make([]xpath3.Expr, 0, len(k.keys))
	for _, key := range k.keys {
		writeOrder(&spec, key)
		keys = append(keys, c.expr(key.expr))
	}
	tuples, live := c.collapse(s, keys, mark)
	c.unpack(s, hookCall(hookSort, xpath3.LiteralExpr{Value: spec.String()}, tuples), live, name{})
}

// live are the bindings since mark that are not hidden by later ones of the same name.
func (c *compiler) live(mark int) []binding {
	var all []binding
	seen := make(map[name]bool)
	for i := len(c.scope) - 1; i >= mark; i-- {
		if b := c.scope[i]; !seen[b.name.key()] {
			seen[b.name.key()] = true
			c.scope[i].used = true
			all = append(all, b)
		}
	}
	return all
}

// quantified compiles some and every.
func (c *compiler) quantified(q *quantified) xpath3.Expr {
	e := xpath3.QuantifiedExpr{Some: !q.every}
	mark := len(c.scope)
	for i := range q.bindings {
		k := &q.bindings[i]
		domain := c.expr(k.expr)
		if k.kind != nil {
			inner := len(c.scope)
			var s stream
			s.clauses = []streamClause{{binding: xpath3.ForClause{Var: c.bind(k.variable), Expr: domain}, scoped: -1}}
			c.declareType(&s, k)
			domain = s.build(c.variable(&variable{offset: k.offset, name: k.variable}))
			c.scope = c.scope[:inner]
		}
		e.Bindings = append(e.Bindings, xpath3.QuantifiedBinding{Var: c.bind(k.variable), Domain: domain})
	}
	e.Satisfies = c.expr(q.satisfies)
	last := &e.Bindings[len(e.Bindings)-1]
	last.Domain = countedItems(last.Domain, e.Satisfies)
	c.scope = c.scope[:mark]
	return e
}

// errorVariables are what a catch binds (XQuery 3.1, section 3.17); helium binds them under these names.
var errorVariables = []string{
	"code", "description", "value", "module", "line-number", "column-number", "additional",
}

func (c *compiler) tryCatch(t *tryCatch) xpath3.Expr {
	e := xpath3.TryCatchExpr{Try: c.expr(t.body)}
	for _, k := range t.catches {
		mark := len(c.scope)
		for _, v := range errorVariables {
			c.bindAs(name{prefix: "err", uri: xpath3.NSErr, local: v}, "err:"+v)
		}
		e.Catches = append(e.Catches, xpath3.CatchClause{Codes: k.codes, Expr: c.caught(k.body)})
		c.scope = c.scope[:mark]
	}
	return e
}

// caught compiles the body of a catch. helium does not know the error object of fn:error.
func (c *compiler) caught(e expr) xpath3.Expr {
	body := c.expr(e)
	value := hookCall(hookErrorValue, xpath3.VariableExpr{Name: "err:code"}, xpath3.VariableExpr{Name: "err:description"})
	return xpath3.FLWORExpr{
		Clauses: []xpath3.FLWORClause{xpath3.LetClause{Var: "err:value", Expr: value}}, Return: body,
	}
}
