package xquery

import (
	"math/big"
	"strings"

	"github.com/lestrrat-go/helium/xpath3"
)

// collapse ends a stream in a sequence of tuples: the keys, and the variables that the stream binds.
func (c *compiler) collapse(s *stream, keys []xpath3.Expr, mark int) (tuples xpath3.Expr, live []binding) {
	live = c.live(mark)
	args := make([]xpath3.Expr, 0, 1+len(keys)+len(live))
	args = append(args, integerOf(len(keys)))
	args = append(args, keys...)
	for _, b := range live {
		args = append(args, xpath3.VariableExpr{Name: b.helium})
	}
	return s.buildUsed(hookCall(hookTuple, args...), c.scope), live
}

// unpack begins a stream with a loop over tuples. The variables that nobody uses are not unpacked. count, if it has a
// name, is bound to the position.
func (c *compiler) unpack(s *stream, tuples xpath3.Expr, live []binding, count name) {
	tuple := c.hide()
	loop := xpath3.ForClause{Var: tuple, Expr: tuples}
	if count.local != "" {
		loop.PosVar = c.hide()
	}
	s.clauses = []streamClause{{binding: loop, scoped: -1}}
	for i, b := range live {
		c.bindAs(b.name, b.helium)
		field := hookCall(hookField, xpath3.VariableExpr{Name: tuple}, integerOf(i))
		s.clauses = append(s.clauses, streamClause{
			binding: xpath3.LetClause{Var: b.helium, Expr: field}, scoped: len(c.scope) - 1,
		})
	}
	if count.local != "" {
		s.let(c.bind(count), xpath3.VariableExpr{Name: loop.PosVar})
	}
}

// countClause numbers the tuples.
func (c *compiler) countClause(s *stream, k *clause, mark int) {
	tuples, live := c.collapse(s, nil, mark)
	c.unpack(s, tuples, live, k.variable)
}

// groupClause replaces the stream by one tuple a group.
func (c *compiler) groupClause(s *stream, k *clause, mark int) {
	var spec strings.Builder
	keys := make([]xpath3.Expr, 0, len(k.groups))
	for i := range k.groups {
		g := &k.groups[i]
		if g.expr != nil {
			value := hookCall(hookKey, c.expr(g.expr))
			s.let(c.bind(g.name), value)
			c.declareType(s, &clause{offset: g.offset, variable: g.name, kind: g.kind})
		}
		if !c.boundSince(g.name, mark) {
			panic(fail("XQST0094", g.at(), "the variable $%s is not bound in this expression", g.name))
		}
		keys = append(keys, c.variable(&variable{offset: g.offset, name: g.name}))
		if g.collation != codepointCollation {
			spec.WriteString(g.collation)
		}
		spec.WriteByte('\n')
	}
	tuples, live := c.collapse(s, keys, mark)
	args := []xpath3.Expr{xpath3.LiteralExpr{Value: spec.String()}, tuples}
	for i := range k.groups {
		for j, b := range live {
			if b.name.key() == k.groups[i].name.key() {
				args = append(args, integerOf(j))
			}
		}
	}
	c.unpack(s, hookCall(hookGroup, args...), live, name{})
}

// boundSince reports whether a variable is bound by the FLWOR expression whose bindings begin at mark.
func (c *compiler) boundSince(n name, mark int) bool {
	for _, b := range c.scope[mark:] {
		if b.name.key() == n.key() {
			return true
		}
	}
	return false
}

// windowClause compiles a window clause into a loop over windows, which are tuples. They are found like this:
//
//	let $items := items(E), $state := state() return
//	for $s in positions($items, 1) return
//	if (open($state, $s)) then                               (: a tumbling window starts after the last one :)
//	  let (start variables) return if (start condition) then
//	    window($items, $state, $s, some $e in positions($items, $s) satisfies
//	      let (end variables) return if (end condition) then reach($state, $e) else false())
//
// The conditions stay where they are written, so that they see all variables and the focus.
func (c *compiler) windowClause(s *stream, k *clause) {
	w := k.window
	domain := c.expr(k.expr)
	itemsVar, state, start, end := c.hide(), c.hide(), c.hide(), c.hide()
	items := xpath3.VariableExpr{Name: itemsVar}
	box := xpath3.VariableExpr{Name: state}
	at := xpath3.VariableExpr{Name: start}
	mark := len(c.scope)

	starts := c.windowVariables(&w.start, items, at)
	opening := c.expr(w.start.when)
	found := hookCall(hookMark, box, at)
	if w.end != nil {
		until := xpath3.VariableExpr{Name: end}
		ends := c.windowVariables(w.end, items, until)
		reached := xpath3.IfExpr{
			Cond: c.expr(w.end.when), Then: hookCall(hookReach, box, until), Else: xpath3.FunctionCall{Name: "false"},
		}
		found = xpath3.QuantifiedExpr{
			Some: true, Bindings: []xpath3.QuantifiedBinding{{Var: end, Domain: hookCall(hookPositions, items, at)}},
			Satisfies: letAll(ends, reached),
		}
	}
	flags := 0
	if w.tumbling {
		flags |= windowTumbling
	}
	if w.only {
		flags |= windowOnly
	}
	if w.end == nil {
		flags |= windowUntilNext
	}
	one := hookCall(hookWindow, items, box, at, found, integerOf(flags))
	body := letAll(starts, xpath3.IfExpr{Cond: opening, Then: one, Else: empty})
	if w.tumbling && w.end != nil {
		body = xpath3.IfExpr{Cond: hookCall(hookOpen, box, at), Then: body, Else: empty}
	}
	c.scope = c.scope[:mark]
	windows := xpath3.FLWORExpr{
		Clauses: []xpath3.FLWORClause{
			xpath3.LetClause{Var: itemsVar, Expr: hookCall(hookItems, domain)},
			xpath3.LetClause{Var: state, Expr: hookCall(hookState)},
		},
		Return: xpath3.SequenceExpr{Items: []xpath3.Expr{
			xpath3.FLWORExpr{
				Clauses: []xpath3.FLWORClause{xpath3.ForClause{
					Var: start, Expr: hookCall(hookPositions, items, xpath3.LiteralExpr{Value: big.NewInt(1)}),
				}},
				Return: body,
			},
			hookCall(hookLastWindow, items, box, integerOf(flags)),
		}},
	}
	c.windowFields(s, k, windows)
}

// windowVariables are the variables of a condition at a position.
func (c *compiler) windowVariables(w *windowCondition, items, at xpath3.Expr) []xpath3.FLWORClause {
	var all []xpath3.FLWORClause
	let := func(n name, value xpath3.Expr) {
		if n.local != "" {
			all = append(all, xpath3.LetClause{Var: c.bind(n), Expr: value})
		}
	}
	let(w.item, hookCall(hookItem, items, at, integerOf(0)))
	let(w.position, at)
	let(w.previous, hookCall(hookItem, items, at, integerOf(-1)))
	let(w.next, hookCall(hookItem, items, at, integerOf(1)))
	return all
}

func letAll(clauses []xpath3.FLWORClause, result xpath3.Expr) xpath3.Expr {
	if len(clauses) == 0 {
		return counted(result)
	}
	return xpath3.FLWORExpr{Clauses: clauses, Return: result}
}

// windowFields loops over windows and binds their variables: a window is a tuple of the items, and of the variables of
// the start and of the end.
func (c *compiler) windowFields(s *stream, k *clause, windows xpath3.Expr) {
	tuple := c.hide()
	s.clauses = append(s.clauses, streamClause{binding: xpath3.ForClause{Var: tuple, Expr: windows}, scoped: -1})
	for i, n := range append([]name{k.variable}, k.window.names()...) {
		if n.local == "" {
			continue
		}
		s.let(c.bind(n), hookCall(hookField, xpath3.VariableExpr{Name: tuple}, integerOf(i)))
		if i == 0 {
			c.declareType(s, k)
		}
	}
}
