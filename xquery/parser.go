package xquery

import (
	"errors"
	"math/big"
	"strconv"

	"github.com/lestrrat-go/helium/xpath3"
)

// parser is a recursive descent over the grammar of XQuery 3.1 (appendix A). It stops at the first error: an expression
// that does not parse tells nothing reliable about what follows. Methods panic with a *failure, which parse recovers;
// that keeps the grammar readable.
type parser struct {
	lexer
	ahead   [4]token // tokens that were looked at; ahead[:count] are valid
	count   int
	depth   int
	module  *module
	options *Options
	order   orderDefaults
	program *program
	// functions is the default function namespace, elements the default element namespace.
	functions, elements string
	scope               *scope // of the enclosing direct constructors
	// parameterDocumentAt is where the document of serialization parameters is named.
	parameterDocumentAt int
}

// orderDefaults is what "declare default order" sets.
type orderDefaults struct{ greatest bool }

// peek is the n-th token from here, without taking it.
func (p *parser) peek(n int) *token {
	for p.count <= n {
		p.ahead[p.count] = p.next()
		p.count++
	}
	return &p.ahead[n]
}

// take takes the next token.
func (p *parser) take() token {
	t := *p.peek(0)
	copy(p.ahead[:], p.ahead[1:p.count])
	p.count--
	if t.kind == tokenBad {
		panic(fail(t.code(), t.start, "%s", t.value))
	}
	return t
}

// takeNCName takes what stands before the colon of a QName or wildcard; the colon is read again.
func (p *parser) takeNCName() token {
	t := *p.peek(0)
	t.kind, t.value, t.end = tokenName, t.prefix, t.start+len(t.prefix)
	p.count, p.pos = 0, t.end
	return t
}

func (p *parser) isSymbol(n int, s string) bool {
	t := p.peek(n)
	return t.kind == tokenSymbol && t.value == s
}

func (p *parser) isWord(n int, word string) bool {
	t := p.peek(n)
	return t.kind == tokenName && t.value == word
}

// accept takes the symbol if it is next.
func (p *parser) accept(symbol string) bool {
	if !p.isSymbol(0, symbol) {
		return false
	}
	p.take()
	return true
}

// acceptWord takes the keyword if it is next.
func (p *parser) acceptWord(word string) bool {
	if !p.isWord(0, word) {
		return false
	}
	p.take()
	return true
}

// expect takes the symbol or fails; after says what it belongs to.
func (p *parser) expect(symbol, after string) token {
	if !p.isSymbol(0, symbol) {
		p.unexpected("expected %q %s", symbol, after)
	}
	return p.take()
}

func (p *parser) expectWord(word, after string) token {
	if !p.isWord(0, word) {
		p.unexpected("expected %q %s", word, after)
	}
	return p.take()
}

// unexpected fails at the next token.
func (p *parser) unexpected(format string, args ...any) {
	t := p.peek(0)
	if t.kind == tokenBad {
		panic(fail(t.code(), t.start, "%s", t.value))
	}
	f := fail(codeSyntax, t.start, format, args...)
	if t.kind == tokenEOF {
		f.message += ", but the query ends here"
	}
	panic(f)
}

// enter counts nesting, so that no source can exhaust the stack of what walks its tree.
func (p *parser) enter() {
	p.depth++
	if p.depth > maxNesting {
		panic(tooMuch(p.peek(0).start, "expressions nest more than %d deep", maxNesting))
	}
}

func (p *parser) leave() { p.depth-- }

// expression is Expr: one or more ExprSingle with commas.
func (p *parser) expression() expr {
	first := p.single()
	if !p.isSymbol(0, ",") {
		return first
	}
	s := &sequenceOf{offset: offset(first.at()), items: []expr{first}}
	for p.accept(",") {
		s.items = append(s.items, p.single())
	}
	return s
}

// single is ExprSingle.
func (p *parser) single() expr {
	p.enter()
	defer p.leave()
	t := p.peek(0)
	if t.kind != tokenName {
		return p.binary(0)
	}
	next := p.peek(1)
	switch t.value {
	case "for":
		if next.kind == tokenSymbol && next.value == "$" {
			return p.flwor()
		}
		if next.kind == tokenName && (next.value == "tumbling" || next.value == "sliding") && p.isWord(2, "window") {
			return p.flwor()
		}
	case "let":
		if next.kind == tokenSymbol && next.value == "$" {
			return p.flwor()
		}
	case "some", "every":
		if next.kind == tokenSymbol && next.value == "$" {
			return p.quantified()
		}
	case "if":
		if next.kind == tokenSymbol && next.value == "(" {
			return p.conditional()
		}
	case "try":
		if next.kind == tokenSymbol && next.value == "{" {
			return p.tryCatch()
		}
	case "switch":
		if next.kind == tokenSymbol && next.value == "(" {
			return p.switchExpr()
		}
	case "typeswitch":
		if next.kind == tokenSymbol && next.value == "(" {
			return p.typeswitchExpr()
		}
	}
	return p.binary(0)
}

func (p *parser) conditional() expr {
	c := &conditional{offset: offset(p.take().start)}
	p.expect("(", "after \"if\"")
	c.test = p.expression()
	p.expect(")", "after the condition")
	p.expectWord("then", "after the condition")
	c.then = p.single()
	p.expectWord("else", "(XQuery requires both branches)")
	c.otherwise = p.single()
	return c
}

// operators of the binary levels, from the weakest to the strongest. A comparison and a range do not repeat.
var operators = [...]struct {
	symbols map[string]xpath3.TokenType
	words   map[string]xpath3.TokenType
	once    bool
}{
	{words: map[string]xpath3.TokenType{"or": xpath3.TokenOr}},
	{words: map[string]xpath3.TokenType{"and": xpath3.TokenAnd}},
	{once: true, symbols: map[string]xpath3.TokenType{
		"=": xpath3.TokenEquals, "!=": xpath3.TokenNotEquals, "<": xpath3.TokenLess, "<=": xpath3.TokenLessEq,
		">": xpath3.TokenGreater, ">=": xpath3.TokenGreaterEq, "<<": xpath3.TokenNodePre, ">>": xpath3.TokenNodeFol,
	}, words: map[string]xpath3.TokenType{
		"eq": xpath3.TokenEq, "ne": xpath3.TokenNe, "lt": xpath3.TokenLt, "le": xpath3.TokenLe, "gt": xpath3.TokenGt,
		"ge": xpath3.TokenGe, "is": xpath3.TokenIs,
	}},
	{symbols: map[string]xpath3.TokenType{"||": xpath3.TokenConcat}},
	{once: true, words: map[string]xpath3.TokenType{"to": xpath3.TokenTo}},
	{symbols: map[string]xpath3.TokenType{"+": xpath3.TokenPlus, "-": xpath3.TokenMinus}},
	{symbols: map[string]xpath3.TokenType{"*": xpath3.TokenStar}, words: map[string]xpath3.TokenType{
		"div": xpath3.TokenDiv, "idiv": xpath3.TokenIdiv, "mod": xpath3.TokenMod,
	}},
	{symbols: map[string]xpath3.TokenType{"|": xpath3.TokenUnion}, words: map[string]xpath3.TokenType{
		"union": xpath3.TokenUnion,
	}},
	{words: map[string]xpath3.TokenType{"intersect": xpath3.TokenIntersect, "except": xpath3.TokenExcept}},
}

// operator is the level and the operator of the next token, level -1 when it is none.
func (p *parser) operator() (level int, op xpath3.TokenType) {
	t := p.peek(0)
	if t.kind != tokenSymbol && t.kind != tokenName {
		return -1, 0
	}
	if o, ok := operatorOf[operatorToken{t.kind, t.value}]; ok {
		return o.level, o.op
	}
	return -1, 0
}

type operatorToken struct {
	kind  kind
	value string
}

type operatorLevel struct {
	level int
	op    xpath3.TokenType
}

var operatorOf = func() map[operatorToken]operatorLevel {
	all := make(map[operatorToken]operatorLevel)
	for level, o := range operators {
		for s, op := range o.symbols {
			all[operatorToken{tokenSymbol, s}] = operatorLevel{level, op}
		}
		for w, op := range o.words {
			all[operatorToken{tokenName, w}] = operatorLevel{level, op}
		}
	}
	return all
}()

// binary reads operators of this level and of the stronger ones.
func (p *parser) binary(level int) expr {
	left := p.typeOperators()
	return p.binaryRest(left, level)
}

// binaryRest continues after a left operand: precedence climbing, so that a lone operand costs one look at the next
// token instead of a descent through nine levels.
func (p *parser) binaryRest(left expr, minimum int) expr {
	last, row := -1, 0
	for {
		level, op := p.operator()
		if level < minimum {
			return left
		}
		if level == last && operators[level].once {
			p.unexpected("comparisons and ranges do not chain; use parentheses")
		}
		if row++; row > maxChain && !isRow(op) {
			panic(tooMuch(p.peek(0).start, "more than %d operators in a row", maxChain))
		}
		at := offset(p.take().start)
		left = join(at, op, left, p.binaryRest(p.typeOperators(), level+1))
		last = level
	}
}

// isRow reports whether the operator is associative in every respect, so that a row of it needs no nesting.
func isRow(op xpath3.TokenType) bool {
	return op == xpath3.TokenConcat || op == xpath3.TokenOr || op == xpath3.TokenAnd
}

func join(at offset, op xpath3.TokenType, left, right expr) expr {
	if l, ok := left.(*operation); ok && l.op == op && isRow(op) {
		l.operands = append(l.operands, right)
		return l
	}
	return &operation{offset: at, op: op, operands: []expr{left, right}}
}

// typeOperators is InstanceofExpr down to CastExpr: each at most once, in this order.
func (p *parser) typeOperators() expr {
	e := p.arrow()
	for strongest := 0; ; {
		t := p.peek(0)
		if t.kind != tokenName {
			return e
		}
		op, rank, second := typeOperator(t.value)
		if rank == 0 || !p.isWord(1, second) {
			return e
		}
		if rank <= strongest {
			p.unexpected("%q cannot follow here; use parentheses", t.value)
		}
		strongest = rank
		at := offset(p.take().start)
		p.take()
		if op == xpath3.TokenCastAs || op == xpath3.TokenCastableAs {
			e = p.castTo(e, at, op)
			continue
		}
		e = &typed{offset: at, op: op, operand: e, kind: p.sequenceType()}
	}
}

func typeOperator(word string) (op xpath3.TokenType, rank int, second string) {
	switch word {
	case "cast":
		return xpath3.TokenCastAs, 1, "as"
	case "castable":
		return xpath3.TokenCastableAs, 2, "as"
	case "treat":
		return xpath3.TokenTreatAs, 3, "as"
	case "instance":
		return xpath3.TokenInstanceOf, 4, "of"
	}
	return 0, 0, ""
}

func (p *parser) castTo(operand expr, at offset, op xpath3.TokenType) expr {
	n, start := p.typeName()
	if p.isSymbol(0, "(") {
		p.unexpected("a cast needs the name of an atomic type")
	}
	checkCastTarget(n, start)
	e := &typed{offset: at, op: op, operand: operand, atomic: n}
	e.allowEmpty = p.accept("?")
	if n.local == "QName" {
		e.static = p.static()
	}
	return e
}

// arrow is ArrowExpr: e => f(a) is f(e, a).
func (p *parser) arrow() expr {
	e := p.unary()
	for row := 0; p.isSymbol(0, "=>"); row++ {
		if row > maxChain {
			panic(tooMuch(p.peek(0).start, "more than %d arrows in a row", maxChain))
		}
		p.take()
		t := p.peek(0)
		switch {
		case t.kind == tokenSymbol && t.value == "$":
			f := p.variable()
			e = &dynamicCall{offset: f.offset, function: f, args: p.arguments(e)}
		case t.kind == tokenSymbol && t.value == "(":
			at := offset(t.start)
			f := p.parenthesized()
			e = &dynamicCall{offset: at, function: f, args: p.arguments(e)}
		case t.kind == tokenName || t.kind == tokenQName || t.kind == tokenURIName:
			at := offset(t.start)
			n := p.functionName(p.take())
			e = p.callOf(at, n, p.arguments(e))
		default:
			p.unexpected("expected a function after \"=>\"")
		}
	}
	return e
}

func (p *parser) unary() expr {
	t := p.peek(0)
	if t.kind != tokenSymbol || t.value != "-" && t.value != "+" {
		return p.valueExpr()
	}
	u := &unary{offset: offset(t.start)}
	for p.isSymbol(0, "-") || p.isSymbol(0, "+") {
		if p.take().value == "-" {
			u.negate = !u.negate
		}
	}
	u.operand = p.valueExpr()
	return u
}

// valueExpr is ValueExpr: validate, an extension, or a SimpleMapExpr.
func (p *parser) valueExpr() expr {
	t := p.peek(0)
	switch {
	case t.kind == tokenPragma:
		return p.extension()
	case t.kind == tokenName && t.value == "validate":
		if p.isSymbol(1, "{") || p.isWord(1, "lax") || p.isWord(1, "strict") || p.isWord(1, "type") {
			return p.validate()
		}
	}
	e := p.path()
	for row := 0; p.isSymbol(0, "!"); row++ {
		if row > maxChain {
			panic(tooMuch(p.peek(0).start, "more than %d operators in a row", maxChain))
		}
		at := offset(p.take().start)
		e = &operation{offset: at, op: xpath3.TokenBang, operands: []expr{e, p.path()}}
	}
	return e
}

// number is the value of a numeric literal as helium's LiteralExpr wants it.
func number(t token) any {
	switch t.kind {
	case tokenInteger:
		if n, err := strconv.ParseInt(t.value, 10, 64); err == nil {
			return big.NewInt(n)
		}
		if n, ok := new(big.Int).SetString(t.value, 10); ok && n.BitLen() <= maxNumberBits {
			return n
		}
	case tokenDecimal:
		if r, ok := new(big.Rat).SetString(t.value); ok && len(t.value) < maxNumberBits/4 {
			return r
		}
	default:
		f, err := strconv.ParseFloat(t.value, 64)
		if err == nil || errors.Is(err, strconv.ErrRange) {
			return f
		}
	}
	panic(fail(codeOverflow, t.start, "the number is too large"))
}
