package xquery

import (
	"math/big"

	"github.com/lestrrat-go/helium/xpath3"
)

// construction is what a constructor's hook needs at run time. The hook's arguments are the index of the construction,
// the name if it is computed, and the values of the pieces that are not literal text.
type construction struct {
	is         nodeKind
	name       name
	computed   bool // the name is an argument
	direct     bool
	declared   []declaration // of this constructor and of the direct ones around it
	attributes []attributePlan
	pieces     []piece
	static     *static
	base       string // the base URI of the module
}

// attributePlan is an attribute of a direct element.
type attributePlan struct {
	name   name
	pieces []piece
}

// piece is a part of the content: literal text, or the next argument.
type piece struct {
	text    string
	literal bool
	fresh   bool // the argument is a new node that nobody else can refer to
}

// construct compiles a constructor into a call of the hook of constructors.
func (c *compiler) construct(e *constructor) xpath3.Expr {
	k := &construction{is: e.is, name: e.name, direct: e.direct, static: e.static, base: c.current.baseURI}
	index := len(c.constructions)
	c.constructions = append(c.constructions, k)
	args := []xpath3.Expr{integerOf(index)}
	if e.nameExpr != nil {
		k.computed = true
		args = append(args, c.expr(e.nameExpr))
	}
	if e.is == nodeElement {
		k.declared = e.static.scope.declarations(e.direct && len(e.declared) > 0)
	}
	for _, a := range e.attributes {
		plan := attributePlan{name: a.name}
		plan.pieces, args = c.pieces(a.content, args)
		k.attributes = append(k.attributes, plan)
	}
	k.pieces, args = c.pieces(e.content, args)
	return hookCall(hookConstruct, args...)
}

// declarations are the bindings of a scope, the inner ones first.
func (s *scope) declarations(bool) []declaration {
	var all []declaration
	for ; s != nil; s = s.outer {
		hidden := false
		for _, d := range all {
			hidden = hidden || d.prefix == s.prefix
		}
		if !hidden {
			all = append(all, declaration{prefix: s.prefix, uri: s.uri})
		}
	}
	return all
}

func integerOf(n int) xpath3.Expr { return xpath3.LiteralExpr{Value: big.NewInt(int64(n))} }

// pieces compiles content and appends the arguments that it takes.
func (c *compiler) pieces(content []expr, args []xpath3.Expr) ([]piece, []xpath3.Expr) {
	all := make([]piece, 0, len(content))
	for _, e := range content {
		switch e := e.(type) {
		case *textPiece:
			all = append(all, piece{literal: true, text: e.text})
		case *enclosedExpr:
			_, fresh := e.body.(*constructor)
			fresh = fresh && c.current.preserve // else the copy would have fewer namespaces
			all = append(all, piece{fresh: fresh})
			args = append(args, c.expr(e.body))
		default:
			_, fresh := e.(*constructor)
			all = append(all, piece{fresh: fresh})
			args = append(args, c.expr(e))
		}
	}
	return all, args
}

// switchOf compiles a switch into conditionals on the atomized operand.
func (c *compiler) switchOf(e *switchOf) xpath3.Expr {
	operand := c.hide()
	reference := xpath3.VariableExpr{Name: operand}
	result := c.expr(e.otherwise)
	for i := len(e.cases) - 1; i >= 0; i-- {
		k := &e.cases[i]
		tests := make([]xpath3.Expr, len(k.tests))
		for j, t := range k.tests {
			tests[j] = hookCall(hookSame, reference, c.expr(t))
		}
		result = xpath3.IfExpr{Cond: balanced(xpath3.TokenOr, tests), Then: c.expr(k.result), Else: result}
	}
	return xpath3.FLWORExpr{
		Clauses: []xpath3.FLWORClause{xpath3.LetClause{Var: operand, Expr: hookCall(hookOperand, c.expr(e.operand))}},
		Return:  result,
	}
}

// typeSwitch compiles a typeswitch into conditionals on the operand's type.
func (c *compiler) typeSwitch(e *typeSwitch) xpath3.Expr {
	operand := c.hide()
	reference := xpath3.VariableExpr{Name: operand}
	value := c.expr(e.operand)
	var result xpath3.Expr
	for i := len(e.cases) - 1; i >= 0; i-- {
		k := &e.cases[i]
		mark := len(c.scope)
		var then xpath3.Expr
		if k.variable.local != "" {
			bound := c.bind(k.variable)
			then = xpath3.FLWORExpr{
				Clauses: []xpath3.FLWORClause{xpath3.LetClause{Var: bound, Expr: reference}}, Return: c.expr(k.result),
			}
		} else {
			then = c.expr(k.result)
		}
		c.scope = c.scope[:mark]
		if k.kinds == nil {
			result = then
			continue
		}
		tests := make([]xpath3.Expr, len(k.kinds))
		for j, t := range k.kinds {
			tests[j] = xpath3.InstanceOfExpr{Expr: reference, Type: t}
		}
		result = xpath3.IfExpr{Cond: balanced(xpath3.TokenOr, tests), Then: then, Else: result}
	}
	return xpath3.FLWORExpr{
		Clauses: []xpath3.FLWORClause{xpath3.LetClause{Var: operand, Expr: value}}, Return: result,
	}
}

// qname compiles a cast to xs:QName, which needs the namespaces that are known at its place.
func (c *compiler) qname(s *static, operand xpath3.Expr, hookName string, allowEmpty bool) xpath3.Expr {
	index := len(c.statics)
	c.statics = append(c.statics, s)
	empty := 0
	if allowEmpty {
		empty = 1
	}
	return hookCall(hookName, integerOf(index), operand, integerOf(empty))
}
