package xquery

import (
	"context"
	"slices"

	"github.com/lestrrat-go/helium/xpath3"
)

// A query without functions of its own and without imported modules has its variables as "let" around the body: see
// compile.go. All others run as follows. The functions and the initial values of the variables become inline functions,
// which a hook takes at the beginning (hookDefine). A call goes through a function of helium's table (userCalls), a
// reference to a variable through a hook that computes the value at the first use (hookGlobal).

// functionKey is what identifies a function.
type functionKey struct {
	name  name
	arity int
}

// declared is a function of a prolog with its place in the table of the evaluation.
type declared struct {
	*userFunction
	module *module
	index  int
	types  []xpath3.SequenceType // of the parameters, nil if none is declared
}

// globalVariable is a variable of a prolog.
type globalVariable struct {
	*clause
	module *module
	index  int
}

// collect finds the functions and variables of all modules, and clashes between them.
func (c *compiler) collect() {
	modules := append(c.module.libraries[:len(c.module.libraries):len(c.module.libraries)], c.module)
	c.user = make(map[functionKey]*declared)
	seen := make(map[name]bool)
	for _, m := range modules {
		for _, f := range m.functions {
			key := functionKey{f.name.key(), len(f.params)}
			if _, twice := c.user[key]; twice {
				panic(fail("XQST0034", f.at(), "there are two functions %s with %d parameters", f.name, len(f.params)))
			}
			d := &declared{userFunction: f, module: m, index: -1, types: f.types()}
			if f.external {
				if c.external(f.name, len(f.params)) == nil {
					panic(fail(codeFunction, f.at(), "the external function %s is not available", f.name))
				}
				continue
			}
			d.index = len(c.defined)
			c.defined = append(c.defined, d)
			c.user[key] = d
		}
		for i := range m.variables {
			v := &m.variables[i]
			if seen[v.variable.key()] {
				panic(fail(codeTwiceVariable, v.at(), "$%s is declared twice", v.variable))
			}
			seen[v.variable.key()] = true
			c.globals = append(c.globals, &globalVariable{clause: v, module: m, index: len(c.globals)})
		}
	}
}

// sees reports whether what is declared in one module is visible in another.
func (m *module) sees(other *module, private bool) bool {
	if m == other {
		return true
	}
	if private {
		return false
	}
	for _, uri := range m.imports {
		if uri == other.uri {
			return true
		}
	}
	return other.uri != "" && m.uri == other.uri
}

// enterModule puts the variables that a module sees into scope, except the one whose value is compiled.
func (c *compiler) enterModule(m *module, but *clause) {
	c.current = m
	c.scope = c.scope[:0]
	if m == c.module {
		c.bindOptions()
	}
	for _, g := range c.globals {
		if g.clause != but && m.sees(g.module, g.private) {
			b := binding{name: g.variable, global: g.index + 1}
			if g.external {
				b.external = variableKey(g.variable)
			}
			c.scope = append(c.scope, b)
		}
	}
}

// lazyProgram compiles all modules.
func (c *compiler) lazyProgram() xpath3.Expr {
	definitions := make([]xpath3.Expr, 0, len(c.defined)+len(c.globals))
	for _, d := range c.defined {
		definitions = append(definitions, c.userFunction(d))
	}
	for _, g := range c.globals {
		definitions = append(definitions, c.global(g))
	}
	c.enterModule(c.module, nil)
	body := c.withContext(c.expr(c.module.body))
	if len(definitions) == 0 {
		return body
	}
	define := xpath3.LetClause{Var: c.hide(), Expr: hookCall(hookDefine, definitions...)}
	return xpath3.FLWORExpr{Clauses: []xpath3.FLWORClause{define}, Return: body}
}

// userFunction compiles a function. helium converts its arguments by what userCalls says of their types.
func (c *compiler) userFunction(d *declared) xpath3.Expr {
	c.enterModule(d.module, nil)
	f := xpath3.InlineFunctionExpr{ReturnType: d.returns, Params: make([]xpath3.FunctionParam, len(d.params))}
	for i, p := range d.params {
		f.Params[i] = xpath3.FunctionParam{Name: c.bind(p.name)}
		c.known(isDouble(p.kind))
	}
	f.Body = c.functionBody(&d.inlineFunction, f.Params, c.expr(d.body))
	if isDouble(d.returns) && d.returns.Occurrence == xpath3.OccurrenceZeroOrMore && c.doubles(d.body) {
		f.ReturnType = nil // nothing to convert
	}
	return f
}

// global compiles the value of a variable into a function without parameters. Its focus is that of the query.
func (c *compiler) global(g *globalVariable) xpath3.Expr {
	c.enterModule(g.module, g.clause)
	var s stream
	key := variableKey(g.variable)
	supplied := xpath3.VariableExpr{Name: key}
	var value xpath3.Expr = supplied
	if g.expr != nil {
		value = c.expr(g.expr)
		if usesFocus(g.expr) {
			focus := xpath3.SimpleMapExpr{Left: hookCall(hookFocus), Right: value}
			value = xpath3.IfExpr{Cond: hookCall(hookHasFocus), Then: focus, Else: value}
		}
		if g.external {
			value = xpath3.IfExpr{
				Cond: hookCall(hookSupplied, xpath3.LiteralExpr{Value: key}), Then: supplied, Else: value,
			}
		}
	}
	bound := c.hide()
	s.let(bound, value)
	c.checkType(&s, bound, g.variable, g.kind)
	return xpath3.InlineFunctionExpr{Body: s.build(xpath3.VariableExpr{Name: bound})}
}

// usesFocus reports whether an expression can depend on the focus; literals and lists of them cannot.
func usesFocus(e expr) bool {
	switch e := e.(type) {
	case *literal, *variable, *inlineFunction:
		return false
	case *sequenceOf:
		for _, item := range e.items {
			if usesFocus(item) {
				return true
			}
		}
		return false
	}
	return true
}

// withContext gives the body the context item that the prologs declare.
func (c *compiler) withContext(body xpath3.Expr) xpath3.Expr {
	modules := append(c.module.libraries[:len(c.module.libraries):len(c.module.libraries)], c.module)
	for _, m := range modules {
		if m.context == nil {
			continue
		}
		kind := m.context.kind
		value := hookCall(hookFocus)
		check := func(e xpath3.Expr) xpath3.Expr {
			if kind == nil {
				return hookCall(hookContext, e)
			}
			v := c.hide()
			reference := xpath3.VariableExpr{Name: v}
			message := xpath3.LiteralExpr{Value: "the context item is not of its declared type"}
			return hookCall(hookContext, xpath3.FLWORExpr{
				Clauses: []xpath3.FLWORClause{xpath3.LetClause{Var: v, Expr: e}},
				Return: xpath3.IfExpr{
					Cond: xpath3.InstanceOfExpr{Expr: reference, Type: *kind},
					Then: reference, Else: hookCall(hookMismatch, message),
				},
			})
		}
		if m.context.expr != nil {
			c.enterModule(m, nil)
			given := c.expr(m.context.expr)
			if m.context.external {
				value = xpath3.IfExpr{Cond: hookCall(hookHasFocus), Then: value, Else: given}
			} else {
				value = given
			}
			body = xpath3.SimpleMapExpr{Left: check(value), Right: body}
			continue
		}
		if m == c.module {
			body = xpath3.SimpleMapExpr{Left: check(value), Right: body}
			continue
		}
		body = xpath3.IfExpr{
			Cond: hookCall(hookHasFocus), Then: xpath3.SimpleMapExpr{Left: check(value), Right: body}, Else: body,
		}
	}
	return body
}

// userCall finds a function that a prolog declares and the module sees.
func (c *compiler) userCall(n name, arity int) *declared {
	if len(c.user) == 0 {
		return nil
	}
	d := c.user[functionKey{n.key(), arity}]
	if d == nil || !c.current.sees(d.module, d.private) {
		return nil
	}
	return d
}

// hiddenPrefix is a prefix that no source can write, for the namespace of a function: helium then keeps its name.
func (c *compiler) hiddenPrefix(uri string) string {
	if uri == "" {
		return noNamespace
	}
	for p, u := range c.hiddenPrefixes {
		if u == uri {
			return p
		}
	}
	if c.hiddenPrefixes == nil {
		c.hiddenPrefixes = make(map[string]string)
	}
	p := "\x01" + string(rune('a'+len(c.hiddenPrefixes)))
	c.hiddenPrefixes[p] = uri
	return p
}

// userCalls is what helium calls for the functions of one name that prologs declare.
type userCalls struct {
	byArity map[int]*declared
}

func (u *userCalls) MinArity() int {
	least := -1
	for arity := range u.byArity {
		if least < 0 || arity < least {
			least = arity
		}
	}
	return least
}

func (u *userCalls) MaxArity() int {
	most := 0
	for arity := range u.byArity {
		most = max(most, arity)
	}
	return most
}

var anyItems = xpath3.SequenceType{ItemTest: xpath3.AnyItemTest{}, Occurrence: xpath3.OccurrenceZeroOrMore}

// FuncParamTypesForArity and FuncReturnTypeForArity are the signature that helium converts arguments by.
func (u *userCalls) FuncParamTypesForArity(arity int) []xpath3.SequenceType {
	d := u.byArity[arity]
	if d == nil {
		return nil
	}
	return d.types
}

// types are the types of the parameters, nil if none is declared.
func (f *userFunction) types() []xpath3.SequenceType {
	var types []xpath3.SequenceType
	for i, p := range f.params {
		if p.kind == nil {
			continue
		}
		if types == nil {
			types = slices.Repeat([]xpath3.SequenceType{anyItems}, len(f.params))
		}
		types[i] = *anyFunctionFor(p.kind)
	}
	return types
}

func (u *userCalls) FuncReturnTypeForArity(arity int) *xpath3.SequenceType {
	d := u.byArity[arity]
	if d == nil || d.returns == nil {
		return &anyItems
	}
	return d.returns
}

func (u *userCalls) Call(ctx context.Context, args []xpath3.Sequence) (xpath3.Sequence, error) {
	b := budgetOf(ctx)
	if b == nil {
		return nil, errOutside
	}
	d := u.byArity[len(args)]
	if d == nil || d.index >= len(b.defined) {
		return nil, xpathError(codeFunction, "there is no function with %d arguments", len(args))
	}
	if err := b.Err(); err != nil {
		return nil, err
	}
	if b.depth++; b.depth > b.limits.Depth {
		return nil, b.exceeded("functions call each other more than %d deep", b.limits.Depth)
	}
	defer func() { b.depth-- }()
	result, err := b.defined[d.index].Invoke(b.within(ctx), args)
	if err != nil {
		return nil, err
	}
	return result, b.charge(result)
}

// define keeps the functions and the initial values that prologs declare.
func define(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	b.defined = make([]xpath3.FunctionItem, len(args))
	for i, a := range args {
		b.defined[i], _ = a.Get(0).(xpath3.FunctionItem)
	}
	b.values = make([]globalValue, len(args))
	return nil, nil
}

// globalValue is the value of a variable of a prolog as far as it is computed.
type globalValue struct {
	computing, done bool
	value           xpath3.Sequence
}

// globals is the hook of references to variables of prologs.
type globals struct{}

func (globals) MinArity() int { return 1 }
func (globals) MaxArity() int { return 1 }

func (globals) Call(ctx context.Context, args []xpath3.Sequence) (xpath3.Sequence, error) {
	b := budgetOf(ctx)
	if b == nil {
		return nil, errOutside
	}
	i := integerArgument(args[0])
	if i >= len(b.values) {
		return nil, errOutside
	}
	v := &b.values[i]
	switch {
	case v.done:
		return v.value, nil
	case v.computing:
		return nil, xpathError("XQDY0054", "a variable depends on itself")
	}
	if b.depth++; b.depth > b.limits.Depth {
		return nil, b.exceeded("variables depend on each other more than %d deep", b.limits.Depth)
	}
	v.computing = true
	defer func() { v.computing = false; b.depth-- }()
	value, err := b.defined[i].Invoke(b.within(ctx), nil)
	if err != nil {
		return nil, err
	}
	v.value, v.done = value, true
	return value, nil
}

func focus(b *budget, _ []xpath3.Sequence) (xpath3.Sequence, error) {
	if b.focus == nil {
		return nil, xpathError(codeNoFocus, "the context item is absent")
	}
	return xpath3.ItemSlice{b.focus}, nil
}

func hasFocus(b *budget, _ []xpath3.Sequence) (xpath3.Sequence, error) {
	return xpath3.SingleBoolean(b.focus != nil), nil
}

// setContext makes its argument the context item of the query.
func setContext(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	if args[0] == nil || args[0].Len() != 1 {
		return nil, typeError("the context item must be one item")
	}
	b.focus = args[0].Get(0)
	return args[0], nil
}
