package xquery

import (
	"strings"

	"github.com/lestrrat-go/helium/xpath3"
)

// constructors are the words that begin a computed constructor, and whether a name may follow.
var constructors = map[string]struct {
	is    nodeKind
	named bool
}{
	"element": {nodeElement, true}, "attribute": {nodeAttribute, true}, "document": {nodeDocument, false},
	"text": {nodeText, false}, "comment": {nodeComment, false}, "processing-instruction": {nodePI, true},
	"namespace": {nodeNamespace, true},
}

// startsConstructor reports whether the next tokens begin a computed constructor.
func (p *parser) startsConstructor(t *token) bool {
	k, ok := constructors[t.value]
	if !ok {
		return false
	}
	if p.isSymbol(1, "{") {
		return true
	}
	next := p.peek(1)
	if !k.named || next.kind != tokenName && next.kind != tokenQName && next.kind != tokenURIName {
		return false
	}
	return p.isSymbol(2, "{")
}

// computed is ComputedConstructor.
func (p *parser) computed() expr {
	p.module.beyond = true
	t := p.take()
	k := constructors[t.value]
	c := &constructor{offset: offset(t.start), is: k.is}
	if k.named {
		if p.isSymbol(0, "{") {
			c.nameExpr = p.enclosed("the name")
		} else {
			c.name = p.constructedName(k.is)
		}
	}
	c.static = p.static()
	body := p.enclosed("the " + t.value)
	if s, ok := body.(*sequenceOf); ok && len(s.items) == 0 {
		return c
	}
	c.content = []expr{&enclosedExpr{offset: offset(body.at()), body: body}}
	return c
}

func (p *parser) constructedName(is nodeKind) name {
	t := p.take()
	switch is {
	case nodeElement:
		return p.resolve(t, p.elements)
	case nodeAttribute:
		return p.resolve(t, "")
	}
	if t.kind != tokenName {
		panic(fail(codeSyntax, t.start, "expected a name without a colon"))
	}
	return name{local: t.value}
}

// switchExpr is SwitchExpr.
func (p *parser) switchExpr() expr {
	p.module.beyond = true
	s := &switchOf{offset: offset(p.take().start)}
	p.expect("(", "after \"switch\"")
	s.operand = p.expression()
	p.expect(")", "after the operand")
	if !p.isWord(0, "case") {
		p.unexpected("expected \"case\"")
	}
	for p.isWord(0, "case") {
		var c switchCase
		for p.acceptWord("case") {
			c.tests = append(c.tests, p.single())
		}
		p.expectWord("return", "after the case")
		c.result = p.single()
		s.cases = append(s.cases, c)
		if len(s.cases) > maxChain {
			panic(tooMuch(int(s.offset), "more than %d cases", maxChain))
		}
	}
	p.expectWord("default", "after the cases")
	p.expectWord("return", "after \"default\"")
	s.otherwise = p.single()
	return s
}

// typeswitchExpr is TypeswitchExpr.
func (p *parser) typeswitchExpr() expr {
	p.module.beyond = true
	s := &typeSwitch{offset: offset(p.take().start)}
	p.expect("(", "after \"typeswitch\"")
	s.operand = p.expression()
	p.expect(")", "after the operand")
	if !p.isWord(0, "case") {
		p.unexpected("expected \"case\"")
	}
	for p.isWord(0, "case") {
		c := typeCase{offset: offset(p.take().start)}
		if p.accept("$") {
			c.variable = p.variableName()
			p.expectWord("as", "after the variable")
		}
		for {
			c.kinds = append(c.kinds, p.sequenceType())
			if !p.accept("|") {
				break
			}
		}
		p.expectWord("return", "after the type")
		c.result = p.single()
		s.cases = append(s.cases, c)
		if len(s.cases) > maxChain {
			panic(tooMuch(int(s.offset), "more than %d cases", maxChain))
		}
	}
	c := typeCase{offset: offset(p.expectWord("default", "after the cases").start)}
	if p.accept("$") {
		c.variable = p.variableName()
	}
	p.expectWord("return", "after \"default\"")
	c.result = p.single()
	s.cases = append(s.cases, c)
	return s
}

// extension is ExtensionExpr: pragmas, of which none is known, and the expression that they are about.
func (p *parser) extension() expr {
	p.module.beyond = true
	at := p.peek(0).start
	for p.peek(0).kind == tokenPragma {
		p.pragma()
	}
	open := p.peek(0).start
	e := p.enclosed("the extension expression")
	if s, ok := e.(*sequenceOf); ok && len(s.items) == 0 && s.at() == open {
		panic(fail("XQST0079", at, "no pragma is known, and there is no expression instead"))
	}
	return e
}

func (p *parser) pragma() {
	start := p.take().start
	p.rewind(start + 2)
	p.space()
	if strings.HasPrefix(p.text[p.pos:], "Q{") {
		p.resolve(p.take(), "")
		p.rewind(p.pos)
	} else {
		t := p.rawName()
		if t.kind == tokenQName {
			p.namespace(t.prefix, t.start)
		}
	}
	end := strings.Index(p.text[p.pos:], "#)")
	if end < 0 {
		panic(fail(codeSyntax, start, "the pragma does not end"))
	}
	if end > 0 && !isSpace(p.text[p.pos]) {
		panic(fail(codeSyntax, p.pos, "white space must follow the pragma's name"))
	}
	p.rewind(p.pos + end + 2)
}

// validate is ValidateExpr, which needs a schema.
func (p *parser) validate() expr {
	at := p.take().start
	if p.acceptWord("type") {
		p.typeName()
	} else if !p.acceptWord("lax") {
		p.acceptWord("strict")
	}
	p.enclosed("validate")
	panic(fail("XQST0075", at, "documents cannot be validated: no schema is available"))
}

// windowClause is WindowClause after "for".
func (p *parser) windowClause() clause {
	word := p.take()
	p.take() // window
	c := p.binding(clauseWindow)
	w := &window{tumbling: word.value == "tumbling"}
	c.window = w
	p.expectWord("in", "after the variable")
	c.expr = p.single()
	p.expectWord("start", "after the sequence")
	w.start = p.windowCondition()
	w.only = p.isWord(0, "only")
	if w.only {
		p.take()
	}
	if w.only || p.isWord(0, "end") || !w.tumbling {
		p.expectWord("end", "condition of the window")
		end := p.windowCondition()
		w.end = &end
	}
	p.checkWindow(&c)
	return c
}

func (p *parser) windowCondition() windowCondition {
	var c windowCondition
	if p.accept("$") {
		c.item = p.variableName()
	}
	if p.acceptWord("at") {
		p.expect("$", "after \"at\"")
		c.position = p.variableName()
	}
	if p.acceptWord("previous") {
		p.expect("$", "after \"previous\"")
		c.previous = p.variableName()
	}
	if p.acceptWord("next") {
		p.expect("$", "after \"next\"")
		c.next = p.variableName()
	}
	p.expectWord("when", "before the condition")
	c.when = p.single()
	return c
}

// checkWindow fails when two variables of a window have one name.
func (p *parser) checkWindow(c *clause) {
	seen := map[name]bool{c.variable.key(): true}
	for _, n := range c.window.names() {
		if n.local == "" {
			continue
		}
		if seen[n.key()] {
			panic(fail("XQST0103", int(c.offset), "the window has two variables called $%s", n))
		}
		seen[n.key()] = true
	}
}

// groupBy is GroupByClause.
func (p *parser) groupBy() clause {
	c := clause{offset: offset(p.take().start), is: clauseGroup}
	p.expectWord("by", "after \"group\"")
	for {
		at := offset(p.expect("$", "before the variable's name").start)
		k := groupKey{offset: at, name: p.variableName(), collation: p.module.collation}
		k.kind = p.typeDeclaration()
		if k.kind != nil && !p.isSymbol(0, ":=") {
			p.unexpected("expected \":=\" after the type")
		}
		if p.accept(":=") {
			k.expr = p.single()
		}
		if p.acceptWord("collation") {
			k.collation = p.collation()
		}
		c.groups = append(c.groups, k)
		if !p.accept(",") {
			return c
		}
	}
}

// annotations reads any number of annotations. The code is that of a visibility that is declared twice, empty if it may
// be.
func (p *parser) annotations(duplicate string) (private bool) {
	p.module.beyond = true
	visible := 0
	for p.accept("%") {
		t := p.peek(0)
		if t.kind != tokenName && t.kind != tokenQName && t.kind != tokenURIName {
			p.unexpected("expected the name of an annotation")
		}
		n := p.resolve(p.take(), namespaceXQuery)
		switch {
		case n.uri == namespaceXQuery && (n.local == "private" || n.local == "public"):
			if duplicate == codeVisibility {
				panic(fail(codeVisibility, t.start, "an inline function has no visibility"))
			}
			if visible++; visible > 1 && duplicate != "" {
				panic(fail(duplicate, t.start, "the visibility is declared twice"))
			}
			private = n.local == "private"
		case reservedNamespace(n.uri):
			panic(fail("XQST0045", t.start, "there is no annotation %s", n))
		}
		if p.accept("(") {
			p.annotationValues()
		}
	}
	return private
}

func (p *parser) annotationValues() {
	for {
		switch p.peek(0).kind {
		case tokenString, tokenInteger, tokenDecimal, tokenDouble:
			p.take()
		default:
			p.unexpected("expected a literal")
		}
		if !p.accept(",") {
			p.expect(")", "after the annotation's values")
			return
		}
	}
}

const namespaceXQuery = "http://www.w3.org/2012/xquery"

// reservedNamespace reports whether nothing can be declared in the namespace.
func reservedNamespace(uri string) bool {
	switch uri {
	case namespaceXML, xpath3.NSXS, namespaceXSI, xpath3.NSFn, xpath3.NSMath, xpath3.NSMap, xpath3.NSArray, namespaceXQuery,
		namespaceXMLNS:
		return true
	}
	return false
}
