package xquery

import (
	"math/big"
	"slices"

	"github.com/lestrrat-go/helium/xpath3"
)

// empty is "()".
var empty = xpath3.SequenceExpr{}

// expr compiles an expression.
func (c *compiler) expr(e expr) xpath3.Expr {
	if !c.traced {
		return c.untraced(e)
	}
	switch e.(type) {
	case *literal, *sequenceOf:
		return c.untraced(e)
	}
	return placed(e.at(), c.untraced(e))
}

// placed makes an expression announce its place: see Query.trace.
func placed(at int, e xpath3.Expr) xpath3.Expr {
	return hookCall(hookLeave, hookCall(hookEnter, xpath3.LiteralExpr{Value: big.NewInt(int64(at))}), e)
}

func (c *compiler) untraced(e expr) xpath3.Expr {
	switch e := e.(type) {
	case *literal:
		return xpath3.LiteralExpr{Value: e.value}
	case *variable:
		return c.variable(e)
	case *contextItem:
		return xpath3.ContextItemExpr{}
	case *sequenceOf:
		if len(e.items) == 1 {
			return c.expr(e.items[0])
		}
		return xpath3.SequenceExpr{Items: c.exprs(e.items)}
	case *operation:
		return c.operation(e)
	case *unary:
		return xpath3.UnaryExpr{Operand: c.expr(e.operand), Negate: e.negate}
	case *typed:
		return c.typed(e)
	case *path:
		return c.path(e)
	case *filter:
		return c.chosen(e)
	case *lookup:
		return c.lookup(e)
	case *call:
		return c.call(e)
	case *dynamicCall:
		call := xpath3.DynamicFunctionCall{Func: c.expr(e.function), Args: c.exprs(e.args)}
		if slices.Contains(e.args, nil) {
			return hookCall(hookFunction, call) // its calls count
		}
		return call
	case *functionRef:
		return c.functionRef(e)
	case *inlineFunction:
		return c.inlineFunction(e)
	case *mapOf:
		return c.mapOf(e)
	case *arrayOf:
		return countNested(e.members, xpath3.ArrayConstructorExpr{Items: c.exprs(e.members), SquareBracket: e.square})
	case *conditional:
		return xpath3.IfExpr{Cond: c.expr(e.test), Then: c.expr(e.then), Else: c.expr(e.otherwise)}
	case *quantified:
		return c.quantified(e)
	case *tryCatch:
		return c.tryCatch(e)
	case *flwor:
		return c.flwor(e)
	case *constructor:
		return c.construct(e)
	case *joined:
		return hookCall(hookJoin, c.expr(e.body))
	case *switchOf:
		return c.switchOf(e)
	case *typeSwitch:
		return c.typeSwitch(e)
	}
	panic(fail(codeSyntax, e.at(), "this expression is not supported"))
}

// exprs compiles arguments; nil is a placeholder.
func (c *compiler) exprs(all []expr) []xpath3.Expr {
	compiled := make([]xpath3.Expr, len(all))
	for i, e := range all {
		if e == nil {
			compiled[i] = xpath3.PlaceholderExpr{}
			continue
		}
		compiled[i] = c.expr(e)
	}
	return compiled
}

// countedItems are the items that a loop runs over, which are counted while it takes them if its body does not count:
// helium counts steps in paths and FLWOR clauses only.
func countedItems(domain, body xpath3.Expr) xpath3.Expr {
	if counts(body) {
		return domain
	}
	return hookCall(hookItemwise, domain)
}

// body compiles an expression that runs once an item, where the items cannot be counted: a "let" of nothing makes it
// count.
func (c *compiler) body(e expr) xpath3.Expr { return counted(c.expr(e)) }

func counted(e xpath3.Expr) xpath3.Expr {
	if counts(e) {
		return e
	}
	return xpath3.FLWORExpr{Clauses: countClause, Return: e}
}

var countClause = []xpath3.FLWORClause{xpath3.LetClause{Var: hiddenName(0), Expr: empty}}

// counts reports whether every evaluation of the expression counts at least one step.
func counts(e xpath3.Expr) bool {
	switch e := e.(type) {
	case *xpath3.LocationPath:
		return len(e.Steps) > 0
	case xpath3.FLWORExpr:
		return true
	case xpath3.FunctionCall:
		if countingHook(e.Name) || e.Prefix != "" && e.Prefix[0] == hiddenMark {
			return true
		}
		for _, a := range e.Args {
			if counts(a) {
				return true
			}
		}
	case xpath3.BinaryExpr:
		return counts(e.Left)
	case xpath3.IfExpr:
		return counts(e.Cond)
	case xpath3.PathExpr:
		return counts(e.Filter)
	case xpath3.FilterExpr:
		return counts(e.Expr)
	case xpath3.UnaryExpr:
		return counts(e.Operand)
	case xpath3.CastExpr:
		return counts(e.Expr)
	case xpath3.InstanceOfExpr:
		return counts(e.Expr)
	}
	return false
}

func (c *compiler) operation(o *operation) xpath3.Expr {
	switch o.op {
	case xpath3.TokenAnd, xpath3.TokenOr:
		return balanced(o.op, c.exprs(o.operands))
	case xpath3.TokenConcat:
		return hookCall(hookConcat, c.exprs(o.operands)...)
	case xpath3.TokenBang:
		left, right := c.expr(o.operands[0]), c.expr(o.operands[1])
		return xpath3.SimpleMapExpr{Left: countedItems(left, right), Right: right}
	}
	if isGeneral(o.op) {
		c.generals = true
		return xpath3.BinaryExpr{Op: o.op, Left: c.compared(o.operands[0]), Right: c.compared(o.operands[1])}
	}
	left, right := c.expr(o.operands[0]), c.expr(o.operands[1])
	switch o.op {
	case xpath3.TokenTo:
		if smallRange(left, right) {
			return xpath3.RangeExpr{Start: left, End: right}
		}
		return hookCall(hookRange, left, right)
	case xpath3.TokenIs:
		return hookCall(hookIs, left, right)
	case xpath3.TokenUnion:
		return xpath3.UnionExpr{Left: left, Right: right}
	case xpath3.TokenIntersect, xpath3.TokenExcept:
		return xpath3.IntersectExceptExpr{Op: o.op, Left: left, Right: right}
	case xpath3.TokenPlus, xpath3.TokenMinus, xpath3.TokenStar, xpath3.TokenDiv, xpath3.TokenIdiv, xpath3.TokenMod:
		left, right = c.operands(o.op, left, right)
		e := xpath3.BinaryExpr{Op: o.op, Left: left, Right: right}
		if smallNumber(left) || smallNumber(right) || c.doubles(o.operands[0]) || c.doubles(o.operands[1]) {
			return e
		}
		return hookCall(hookNumber, e)
	}
	return xpath3.BinaryExpr{Op: o.op, Left: left, Right: right}
}

// operands guards the operands of an arithmetic operator against what helium takes: it adds an xs:duration to a date,
// and looks at an infinite dividend before it looks for a divisor of zero.
func (c *compiler) operands(op xpath3.TokenType, left, right xpath3.Expr) (xpath3.Expr, xpath3.Expr) {
	switch op {
	case xpath3.TokenPlus, xpath3.TokenMinus:
		if c.module.durations {
			return notDuration(left), notDuration(right)
		}
	case xpath3.TokenIdiv:
		if _, ok := right.(xpath3.LiteralExpr); !ok {
			return left, hookCall(hookDivisor, right)
		}
	}
	return left, right
}

func notDuration(e xpath3.Expr) xpath3.Expr {
	if _, ok := e.(xpath3.LiteralExpr); ok {
		return e
	}
	return hookCall(hookSummand, e)
}

func isGeneral(op xpath3.TokenType) bool {
	switch op {
	case xpath3.TokenEquals, xpath3.TokenNotEquals, xpath3.TokenLess, xpath3.TokenLessEq, xpath3.TokenGreater,
		xpath3.TokenGreaterEq:
		return true
	}
	return false
}

// compared compiles an operand of a general comparison: helium compares with a range without making its items.
func (c *compiler) compared(e expr) xpath3.Expr {
	if r, ok := e.(*operation); ok && r.op == xpath3.TokenTo {
		return xpath3.RangeExpr{Start: c.expr(r.operands[0]), End: c.expr(r.operands[1])}
	}
	return c.expr(e)
}

// balanced makes a shallow tree of a row of "and" or "or": their order of evaluation stays from left to right.
func balanced(op xpath3.TokenType, operands []xpath3.Expr) xpath3.Expr {
	if len(operands) == 1 {
		return operands[0]
	}
	middle := len(operands) / 2
	if len(operands) <= 8 {
		middle = len(operands) - 1 // the usual shape, which short-circuits soonest
	}
	return xpath3.BinaryExpr{Op: op, Left: balanced(op, operands[:middle]), Right: balanced(op, operands[middle:])}
}

// maxLiteralRange is the length of a range of literals that needs no look at the limits.
const maxLiteralRange = 1 << 10

func smallRange(left, right xpath3.Expr) bool {
	l, lok := integerLiteral(left)
	r, rok := integerLiteral(right)
	return lok && rok && r-l < maxLiteralRange && r-l > -maxLiteralRange
}

func integerLiteral(e xpath3.Expr) (int64, bool) {
	l, ok := e.(xpath3.LiteralExpr)
	if !ok {
		return 0, false
	}
	n, ok := l.Value.(*big.Int)
	if !ok || n.BitLen() > 62 {
		return 0, false
	}
	return n.Int64(), true
}

// smallNumber reports whether the operand can make a number longer only by a few digits. Numbers of any length are
// part of the language, and repeated squaring is how they would exhaust the machine.
func smallNumber(e xpath3.Expr) bool {
	switch e := e.(type) {
	case xpath3.LiteralExpr:
		if n, ok := e.Value.(*big.Int); ok {
			return n.BitLen() <= 64
		}
		if r, ok := e.Value.(*big.Rat); ok {
			return r.Num().BitLen() <= 64 && r.Denom().BitLen() <= 64
		}
		return true
	case xpath3.FunctionCall:
		if e.Prefix != "" {
			return false
		}
		switch e.Name {
		case "position", "last", "count", "string-length":
			return true
		}
	}
	return false
}

func (c *compiler) typed(e *typed) xpath3.Expr {
	operand := c.expr(e.operand)
	switch e.op {
	case xpath3.TokenInstanceOf:
		return xpath3.InstanceOfExpr{Expr: operand, Type: e.kind}
	case xpath3.TokenTreatAs:
		return xpath3.TreatAsExpr{Expr: operand, Type: e.kind}
	}
	if e.atomic.local == "QName" {
		if e.op == xpath3.TokenCastAs {
			return c.qname(e.static, operand, hookQName, e.allowEmpty)
		}
		return c.qname(e.static, operand, hookIsQName, e.allowEmpty)
	}
	operand = digits(e.atomic.local, operand)
	target := xpath3.AtomicTypeName{Prefix: "xs", Name: e.atomic.local}
	if e.op == xpath3.TokenCastAs {
		cast := xpath3.CastExpr{Expr: operand, Type: target, AllowEmpty: e.allowEmpty}
		if makesText(e.atomic.local) {
			return hookCall(hookText, cast)
		}
		return cast
	}
	return xpath3.CastableExpr{Expr: operand, Type: target, AllowEmpty: e.allowEmpty}
}

// digits guards what is cast to a type whose values have any number of digits.
func digits(target string, operand xpath3.Expr) xpath3.Expr {
	if _, ok := operand.(xpath3.LiteralExpr); ok {
		return operand
	}
	switch target {
	case "integer", "decimal", "nonNegativeInteger", "nonPositiveInteger", "positiveInteger", "negativeInteger",
		"long", "int", "short", "byte", "unsignedLong", "unsignedInt", "unsignedShort", "unsignedByte",
		"double", "float", "duration", "dayTimeDuration", "yearMonthDuration", "dateTime", "date", "time", "dateTimeStamp":
		return hookCall(hookDigits, operand)
	}
	return operand
}

func (c *compiler) lookup(e *lookup) xpath3.Expr {
	var key xpath3.Expr
	if e.key != nil {
		key = c.expr(e.key)
	}
	if e.base == nil {
		return xpath3.UnaryLookupExpr{Key: key, All: e.key == nil}
	}
	return xpath3.LookupExpr{Expr: c.expr(e.base), Key: key, All: e.key == nil}
}

func (c *compiler) mapOf(e *mapOf) xpath3.Expr {
	m := xpath3.MapConstructorExpr{Pairs: make([]xpath3.MapConstructorPair, len(e.keys))}
	for i := range e.keys {
		m.Pairs[i] = xpath3.MapConstructorPair{Key: c.expr(e.keys[i]), Value: c.expr(e.values[i])}
	}
	return countNested(e.values, m)
}

var deep = xpath3.Step{Axis: xpath3.AxisDescendantOrSelf, NodeTest: xpath3.TypeTest{Kind: xpath3.NodeKindNode}}

// path compiles a path expression: rows of axis steps are one location path of helium's.
func (c *compiler) path(e *path) xpath3.Expr {
	var left xpath3.Expr
	steps := make([]xpath3.Step, 0, len(e.parts))
	flush := func() {
		switch {
		case left == nil:
			left = &xpath3.LocationPath{Absolute: e.fromRoot, Steps: steps}
		case len(steps) > 0:
			left = xpath3.PathExpr{Filter: inDocumentOrder(left), Path: &xpath3.LocationPath{Steps: steps}}
		}
		steps = nil
	}
	if c.traced && !e.fromRoot && e.parts[0].step != nil {
		// Unlike a path without a beginning, this tells an absent context item from one that is no node: see trace.
		left = xpath3.ContextItemExpr{}
	}
	for i := range e.parts {
		p := &e.parts[i]
		if p.step != nil {
			steps = c.step(steps, p)
			continue
		}
		if p.descendants {
			steps = append(steps, deep)
		}
		if _, dot := p.expr.(*contextItem); dot && (i > 0 || len(e.parts) > 1) {
			if i > 0 && e.parts[i-1].step == nil && len(steps) == 0 {
				flush()
				steps = append(steps, xpath3.Step{Axis: xpath3.AxisSelf, NodeTest: deep.NodeTest})
			}
			continue
		}
		if i == 0 && !e.fromRoot {
			left = c.expr(p.expr)
			continue
		}
		flush()
		left = xpath3.PathStepExpr{Left: left, Right: c.body(p.expr)}
		if list, ok := p.expr.(*sequenceOf); ok && len(list.items) > 1 {
			left = hookCall(hookPure, left)
		}
	}
	if left == nil || len(steps) > 0 {
		flush()
	}
	return left
}

// inDocumentOrder keeps helium from preserving the order of reverse() and sort() over a path, which must sort.
func inDocumentOrder(e xpath3.Expr) xpath3.Expr {
	if f, ok := e.(xpath3.FunctionCall); ok && (f.Name == "reverse" || f.Name == "sort") {
		return xpath3.SequenceExpr{Items: []xpath3.Expr{e}}
	}
	return e
}

func (c *compiler) step(steps []xpath3.Step, p *part) []xpath3.Step {
	s := xpath3.Step{Axis: p.step.axis, NodeTest: p.step.test}
	if p.descendants {
		// "//a" is descendant::a unless a predicate counts positions among siblings.
		if s.Axis == xpath3.AxisChild && !slices.ContainsFunc(p.step.predicates, countsPositions) {
			s.Axis = xpath3.AxisDescendant
		} else {
			steps = append(steps, deep)
		}
	}
	if len(p.step.predicates) > 0 {
		s.Predicates = c.exprs(p.step.predicates)
	}
	return append(steps, s)
}
