package xquery

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/lestrrat-go/helium/xpath3"
)

// path is PathExpr.
func (p *parser) path() expr {
	t := p.peek(0)
	if t.kind == tokenSymbol && (t.value == "/" || t.value == "//") {
		e := &path{offset: offset(t.start), fromRoot: true}
		deep := p.take().value == "//"
		if !deep && !p.startsStep() {
			return e
		}
		e.parts = append(e.parts, p.part(deep))
		p.parts(e)
		return e
	}
	first := p.part(false)
	if first.step == nil && !p.isSymbol(0, "/") && !p.isSymbol(0, "//") {
		return first.expr
	}
	e := &path{parts: []part{first}}
	if first.step != nil {
		e.offset = first.step.offset
	} else {
		e.offset = offset(first.expr.at())
	}
	p.parts(e)
	return e
}

// parts reads what follows the first part of a path.
func (p *parser) parts(e *path) {
	for p.isSymbol(0, "/") || p.isSymbol(0, "//") {
		if len(e.parts) > maxChain {
			panic(tooMuch(p.peek(0).start, "a path of more than %d steps", maxChain))
		}
		deep := p.take().value == "//"
		e.parts = append(e.parts, p.part(deep))
	}
}

// startsStep decides whether a "/" stands alone (XQuery 3.1, constraint leading-lone-slash).
func (p *parser) startsStep() bool {
	switch t := p.peek(0); t.kind {
	case tokenEOF, tokenPragma, tokenBad:
		return false
	case tokenSymbol:
		switch t.value {
		case "(", "[", "$", ".", "..", "@", "*", "?", "<", "%", "``":
			return true
		}
		return false
	}
	return true
}

// part is StepExpr: an axis step or a postfix expression.
func (p *parser) part(deep bool) part {
	if s := p.axisStep(); s != nil {
		return part{descendants: deep, step: s}
	}
	return part{descendants: deep, expr: p.postfix()}
}

// kindTests are the names that start a node test when a "(" follows.
var kindTests = map[string]bool{
	"node": true, "text": true, "comment": true, "processing-instruction": true, "element": true, "attribute": true,
	"document-node": true, "schema-element": true, "schema-attribute": true, "namespace-node": true,
}

var axes = map[string]xpath3.AxisType{
	"child": xpath3.AxisChild, "descendant": xpath3.AxisDescendant, "attribute": xpath3.AxisAttribute,
	"self": xpath3.AxisSelf, "descendant-or-self": xpath3.AxisDescendantOrSelf,
	"following-sibling": xpath3.AxisFollowingSibling, "following": xpath3.AxisFollowing,
	"parent": xpath3.AxisParent, "ancestor": xpath3.AxisAncestor, "preceding-sibling": xpath3.AxisPrecedingSibling,
	"preceding": xpath3.AxisPreceding, "ancestor-or-self": xpath3.AxisAncestorOrSelf,
}

// axisStep reads an axis step, or nothing when a primary expression stands here.
func (p *parser) axisStep() *step {
	t := p.peek(0)
	s := &step{offset: offset(t.start), axis: xpath3.AxisChild}
	switch t.kind {
	case tokenSymbol:
		switch t.value {
		case "..":
			p.take()
			s.axis, s.test = xpath3.AxisParent, xpath3.TypeTest{Kind: xpath3.NodeKindNode}
			s.predicates = p.predicates()
			return s
		case "@":
			p.take()
			s.axis = xpath3.AxisAttribute
		case "*":
		default:
			return nil
		}
	case tokenName:
		if p.isSymbol(1, "::") {
			s.axis = p.axis()
			break
		}
		if p.isSymbol(1, "(") {
			if !kindTests[t.value] {
				return nil
			}
			s.axis = kindAxis(t)
			break
		}
		if p.startsPrimary(t) {
			return nil
		}
	case tokenQName, tokenURIName:
		if p.isSymbol(1, "(") || p.isSymbol(1, "#") {
			return nil
		}
	case tokenPrefixed, tokenLocal, tokenURIAny:
	default:
		return nil
	}
	p.nodeTest(s)
	s.predicates = p.predicates()
	return s
}

// kindAxis is the axis of a kind test without one.
func kindAxis(t *token) xpath3.AxisType {
	switch t.value {
	case "attribute", "schema-attribute":
		return xpath3.AxisAttribute
	case "namespace-node":
		panic(fail(codeNamespaceAxis, t.start, "the namespace axis is not supported"))
	}
	return xpath3.AxisChild
}

// axis takes "name::".
func (p *parser) axis() xpath3.AxisType {
	t := p.take()
	p.take()
	axis, ok := axes[t.value]
	if ok {
		return axis
	}
	if t.value == "namespace" {
		panic(fail(codeNamespaceAxis, t.start, "the namespace axis is not supported"))
	}
	panic(fail(codeSyntax, t.start, "there is no axis %q", t.value).suggest("", t.value, slices.Collect(maps.Keys(axes))))
}

// startsPrimary reports whether the name begins a primary expression rather than being a name test.
func (p *parser) startsPrimary(t *token) bool {
	if p.isSymbol(1, "#") {
		return true
	}
	if p.isSymbol(1, "{") {
		switch t.value {
		case "map", "array", "ordered", "unordered":
			return true
		}
	}
	return p.startsConstructor(t)
}

// nodeTest reads a name test or a kind test into the step.
func (p *parser) nodeTest(s *step) {
	t := p.peek(0)
	s.offset = offset(t.start)
	switch t.kind {
	case tokenSymbol:
		if t.value != "*" {
			p.unexpected("expected a name or a node test")
		}
		p.take()
		s.test = xpath3.NameTest{Local: "*"}
	case tokenLocal:
		s.name = name{prefix: "*", local: p.take().value}
		s.test = xpath3.NameTest{Prefix: "*", Local: s.name.local}
	case tokenPrefixed:
		t := p.take()
		s.test = nameTest(name{uri: p.namespace(t.prefix, t.start), local: "*"}, s.axis)
	case tokenURIAny:
		s.test = nameTest(name{uri: bracedURI(p.take()), local: "*"}, s.axis)
	case tokenName, tokenQName, tokenURIName:
		if t.kind == tokenName && kindTests[t.value] && p.isSymbol(1, "(") {
			s.test = p.kindTest()
			return
		}
		uri := p.elements
		if s.axis == xpath3.AxisAttribute {
			uri = ""
		}
		s.name = p.resolve(p.take(), uri)
		s.test = nameTest(s.name, s.axis)
	default:
		p.unexpected("expected a name or a node test")
	}
}

// noNamespace is a prefix that stands for "no namespace" in helium's name tests: a NameTest without prefix and URI
// would take the default element namespace, and "*" any. No source can write it.
const noNamespace = "\x01none"

func nameTest(n name, axis xpath3.AxisType) xpath3.NameTest {
	if n.uri == "" && (n.local == "*" || axis != xpath3.AxisAttribute) {
		return xpath3.NameTest{Prefix: noNamespace, Local: n.local}
	}
	return xpath3.NameTest{URI: n.uri, Local: n.local}
}

func (p *parser) predicates() []expr {
	var all []expr
	for p.isSymbol(0, "[") {
		if len(all) > maxChain {
			panic(tooMuch(p.peek(0).start, "more than %d predicates", maxChain))
		}
		p.take()
		all = append(all, p.expression())
		p.expect("]", "after the predicate")
	}
	return all
}

// postfix is PostfixExpr: a primary expression with predicates, calls and lookups.
func (p *parser) postfix() expr {
	e := p.primary()
	for row := 0; ; row++ {
		if row > maxChain {
			panic(tooMuch(p.peek(0).start, "more than %d calls or lookups in a row", maxChain))
		}
		t := p.peek(0)
		if t.kind != tokenSymbol {
			return e
		}
		at := offset(t.start)
		switch t.value {
		case "[":
			e = &filter{offset: at, base: e, predicates: p.predicates()}
		case "(":
			e = &dynamicCall{offset: at, function: e, args: p.arguments(nil)}
		case "?":
			p.take()
			e = &lookup{offset: at, base: e, key: p.key()}
		default:
			return e
		}
	}
}

// key is KeySpecifier; nil is "*".
func (p *parser) key() expr {
	t := p.peek(0)
	at := offset(t.start)
	switch {
	case t.kind == tokenName:
		return &literal{offset: at, value: p.take().value}
	case t.kind == tokenQName || t.kind == tokenPrefixed:
		// The key is an NCName: in map { $m?a:1 } the colon belongs to the map.
		return &literal{offset: at, value: p.takeNCName().value}
	case t.kind == tokenInteger:
		return &literal{offset: at, value: number(p.take())}
	case p.accept("*"):
		return nil
	case t.kind == tokenSymbol && t.value == "(":
		return p.parenthesized()
	}
	p.unexpected("expected a key after \"?\"")
	return nil
}

// arguments is ArgumentList; first, if any, is an argument that stands before the list.
func (p *parser) arguments(first expr) []expr {
	p.expect("(", "before the arguments")
	args := []expr{}
	if first != nil {
		args = append(args, first)
	}
	if p.accept(")") {
		return args
	}
	for {
		if p.isSymbol(0, "?") && (p.isSymbol(1, ",") || p.isSymbol(1, ")")) {
			p.take()
			args = append(args, nil)
		} else {
			args = append(args, p.single())
		}
		if !p.accept(",") {
			p.expect(")", "after the arguments")
			return args
		}
	}
}

// parenthesized is ParenthesizedExpr.
func (p *parser) parenthesized() expr {
	at := offset(p.expect("(", "").start)
	if p.accept(")") {
		return &sequenceOf{offset: at}
	}
	e := p.expression()
	p.expect(")", "to close the parenthesis")
	// The parentheses keep their operand apart: a row of "||", "and" or "or" must not swallow it from outside, and a
	// message should point to it.
	if o, ok := e.(*operation); ok && isRow(o.op) {
		return &sequenceOf{offset: at, items: []expr{e}}
	}
	return e
}

func (p *parser) variable() *variable {
	at := offset(p.expect("$", "").start)
	return &variable{offset: at, name: p.variableName()}
}

// variableName takes the name after "$".
func (p *parser) variableName() name {
	t := p.peek(0)
	if t.kind != tokenName && t.kind != tokenQName && t.kind != tokenURIName {
		p.unexpected("expected a variable's name after \"$\"")
	}
	return p.resolve(p.take(), "")
}

// primary is PrimaryExpr.
func (p *parser) primary() expr {
	t := p.peek(0)
	at := offset(t.start)
	switch t.kind {
	case tokenString:
		t := p.take()
		p.module.beyond = p.module.beyond || strings.IndexByte(p.text[t.start:t.end], '&') >= 0
		return &literal{offset: at, value: t.value}
	case tokenInteger, tokenDecimal, tokenDouble:
		return &literal{offset: at, value: number(p.take())}
	case tokenSymbol:
		return p.primarySymbol(t)
	case tokenName:
		switch {
		case t.value == "function" && p.isSymbol(1, "("):
			return p.inlineFunction()
		case t.value == "map" && p.isSymbol(1, "{"):
			return p.mapConstructor()
		case t.value == "array" && p.isSymbol(1, "{"):
			p.take()
			return &arrayOf{offset: at, members: []expr{p.enclosed("the array")}}
		case (t.value == "ordered" || t.value == "unordered") && p.isSymbol(1, "{"):
			p.take()
			p.module.beyond = true
			return p.enclosed(t.value)
		case p.startsConstructor(t):
			return p.computed()
		}
		return p.functionUse()
	case tokenQName, tokenURIName:
		return p.functionUse()
	}
	p.unexpected("expected an expression")
	return nil
}

func (p *parser) primarySymbol(t *token) expr {
	at := offset(t.start)
	switch t.value {
	case "$":
		return p.variable()
	case "(":
		return p.parenthesized()
	case ".":
		p.take()
		return &contextItem{at}
	case "?":
		p.take()
		return &lookup{offset: at, key: p.key()}
	case "[":
		return p.squareArray()
	case "<":
		return p.direct()
	case "``":
		return p.stringConstructor()
	case "%":
		p.annotations(codeVisibility)
		if !p.isWord(0, "function") || !p.isSymbol(1, "(") {
			p.unexpected("expected an inline function after the annotation")
		}
		return p.inlineFunction()
	}
	p.unexpected("expected an expression")
	return nil
}

// enclosed is EnclosedExpr: an optional expression in braces.
func (p *parser) enclosed(of string) expr {
	at := offset(p.expect("{", "before the content of "+of).start)
	if p.accept("}") {
		return &sequenceOf{offset: at}
	}
	e := p.expression()
	p.expect("}", "after the content of "+of)
	return e
}

// functionUse is a FunctionCall or a NamedFunctionRef.
func (p *parser) functionUse() expr {
	t := p.take()
	at := offset(t.start)
	switch {
	case p.isSymbol(0, "("):
		n := p.functionName(t)
		return p.callOf(at, n, p.arguments(nil))
	case p.isSymbol(0, "#"):
		n := p.functionName(t)
		p.take()
		if p.peek(0).kind != tokenInteger {
			p.unexpected("expected the number of arguments after \"#\"")
		}
		digits := p.take()
		arity, err := strconv.Atoi(digits.value)
		if err != nil {
			panic(fail(codeOverflow, digits.start, "%s is too large for a number of arguments", digits.value))
		}
		if arity > maxArity {
			panic(fail(codeFunction, digits.start, "no function has %s arguments", digits.value))
		}
		return &functionRef{offset: at, name: n, arity: arity}
	}
	panic(fail(codeSyntax, t.start, "expected an expression"))
}

// callOf is a call with what its function needs of the static context.
func (p *parser) callOf(at offset, n name, args []expr) *call {
	c := &call{offset: at, name: n, args: args}
	if n.uri == xpath3.NSXS && n.local == "QName" || n.uri == xpath3.NSFn && n.local == "format-number" {
		c.static = p.static()
	}
	return c
}

// maxArity bounds "name#arity"; only fn:concat has that many parameters.
const maxArity = 1 << 20

func (p *parser) mapConstructor() expr {
	m := &mapOf{offset: offset(p.take().start)}
	p.expect("{", "after \"map\"")
	if p.accept("}") {
		return m
	}
	for {
		m.keys = append(m.keys, p.single())
		p.expect(":", "after the key")
		m.values = append(m.values, p.single())
		if !p.accept(",") {
			p.expect("}", "after the map's entries")
			return m
		}
	}
}

func (p *parser) squareArray() expr {
	a := &arrayOf{offset: offset(p.take().start), square: true}
	if p.accept("]") {
		return a
	}
	for {
		a.members = append(a.members, p.single())
		if !p.accept(",") {
			p.expect("]", "after the array's members")
			return a
		}
	}
}

func (p *parser) inlineFunction() expr {
	f := &inlineFunction{offset: offset(p.take().start)}
	p.take()
	p.parameters(f)
	f.body = p.enclosed("the function")
	return f
}

// parameters reads what is behind the "(", and the type of the result.
func (p *parser) parameters(f *inlineFunction) {
	for !p.isSymbol(0, ")") {
		at := offset(p.expect("$", "before a parameter's name").start)
		param := parameter{offset: at, name: p.variableName()}
		for _, other := range f.params {
			if other.name.key() == param.name.key() {
				panic(fail(codeTwiceParameter, int(at), "there are two parameters $%s", param.name))
			}
		}
		param.kind = p.typeDeclaration()
		f.params = append(f.params, param)
		if !p.accept(",") {
			break
		}
		if p.isSymbol(0, ")") {
			p.unexpected("expected a parameter after \",\"")
		}
	}
	p.expect(")", "after the parameters")
	f.returns = p.typeDeclaration()
}

// typeDeclaration is an optional "as SequenceType".
func (p *parser) typeDeclaration() *xpath3.SequenceType {
	if !p.acceptWord("as") {
		return nil
	}
	t := p.sequenceType()
	return &t
}
