package xquery

import "github.com/lestrrat-go/helium/xpath3"

// inlineFunction compiles a function item. Its variables are those in scope plus its parameters.
func (c *compiler) inlineFunction(e *inlineFunction) xpath3.Expr {
	f := xpath3.InlineFunctionExpr{ReturnType: e.returns, Params: make([]xpath3.FunctionParam, len(e.params))}
	mark := len(c.scope)
	for i, p := range e.params {
		f.Params[i] = xpath3.FunctionParam{Name: c.bind(p.name), TypeHint: anyFunctionFor(p.kind)}
		c.known(isDouble(p.kind))
	}
	f.Body = c.functionBody(e, f.Params, c.expr(e.body))
	c.scope = c.scope[:mark]
	return hookCall(hookFunction, f)
}

// functionBody is the body of a function with its conversions: functions among its arguments and its results are made of
// the declared types.
func (c *compiler) functionBody(e *inlineFunction, params []xpath3.FunctionParam, body xpath3.Expr) xpath3.Expr {
	if manyAtoms(e.returns) {
		body = hookCall(hookAtoms, body)
	}
	body = c.coercion(e.returns, body)
	var clauses []xpath3.FLWORClause
	for i, p := range e.params {
		if _, ok := functionTest(p.kind); ok {
			value := c.coercion(p.kind, xpath3.VariableExpr{Name: params[i].Name})
			clauses = append(clauses, xpath3.LetClause{Var: params[i].Name, Expr: value})
		}
	}
	if len(clauses) == 0 {
		return body
	}
	return xpath3.FLWORExpr{Clauses: clauses, Return: body}
}

// coercion makes functions of a declared type, if that is one of functions.
func (c *compiler) coercion(kind *xpath3.SequenceType, value xpath3.Expr) xpath3.Expr {
	test, ok := functionTest(kind)
	if !ok {
		return value
	}
	c.coercions = append(c.coercions, test)
	return hookCall(hookCoerce, integerOf(len(c.coercions)-1), value)
}

// functionTest is the type of functions that a declared type names, unless any function is of it.
func functionTest(kind *xpath3.SequenceType) (xpath3.FunctionTest, bool) {
	if kind == nil {
		return xpath3.FunctionTest{}, false
	}
	test, ok := kind.ItemTest.(xpath3.FunctionTest)
	return test, ok && !test.AnyFunction
}

// anyFunctionFor is the type that helium checks a parameter by: it refuses functions that have another type, where the
// language converts them.
func anyFunctionFor(kind *xpath3.SequenceType) *xpath3.SequenceType {
	if _, ok := functionTest(kind); !ok {
		return kind
	}
	return &xpath3.SequenceType{ItemTest: xpath3.FunctionTest{AnyFunction: true}, Occurrence: kind.Occurrence}
}
