package xquery

import (
	"github.com/lestrrat-go/helium/xpath3"
)

// flwor is FLWORExpr.
func (p *parser) flwor() expr {
	f := &flwor{offset: offset(p.peek(0).start)}
	for !p.isWord(0, "return") {
		if len(f.clauses) > maxChain {
			panic(tooMuch(p.peek(0).start, "more than %d clauses", maxChain))
		}
		p.clause(f)
	}
	p.take()
	p.module.beyond = p.module.beyond || !f.xpath()
	f.result = p.single()
	return f
}

// xpath reports whether the expression is a "for" or a "let" of XPath.
func (f *flwor) xpath() bool {
	for i := range f.clauses {
		c := &f.clauses[i]
		if c.is != f.clauses[0].is || c.is != clauseFor && c.is != clauseLet || c.kind != nil || c.position.local != "" ||
			c.allowEmpty {
			return false
		}
	}
	return true
}

// clause reads one clause, which may bind several variables.
func (p *parser) clause(f *flwor) {
	t := p.peek(0)
	if t.kind == tokenName {
		switch t.value {
		case "for":
			if p.isSymbol(1, "$") {
				p.take()
				p.bindings(f, p.forBinding)
				return
			}
			if (p.isWord(1, "tumbling") || p.isWord(1, "sliding")) && p.isWord(2, "window") {
				p.take()
				f.clauses = append(f.clauses, p.windowClause())
				return
			}
		case "let":
			p.take()
			p.bindings(f, p.letBinding)
			return
		case "where":
			at := offset(p.take().start)
			f.clauses = append(f.clauses, clause{offset: at, is: clauseWhere, expr: p.single()})
			return
		case "stable", "order":
			f.clauses = append(f.clauses, p.orderBy())
			return
		case "group":
			if p.isWord(1, "by") {
				f.clauses = append(f.clauses, p.groupBy())
				return
			}
		case "count":
			if p.isSymbol(1, "$") {
				p.take()
				at := offset(p.take().start)
				f.clauses = append(f.clauses, clause{offset: at, is: clauseCount, variable: p.variableName()})
				return
			}
		}
	}
	p.take()
	panic(fail(codeSyntax, t.start, "expected \"return\" or another clause").
		suggest("", t.value, []string{"for", "let", "where", "order", "return", "stable"}))
}

func (p *parser) bindings(f *flwor, one func() clause) {
	for {
		f.clauses = append(f.clauses, one())
		if !p.accept(",") {
			return
		}
	}
}

func (p *parser) forBinding() clause {
	c := p.binding(clauseFor)
	if p.acceptWord("allowing") {
		p.expectWord("empty", "after \"allowing\"")
		c.allowEmpty = true
	}
	if p.acceptWord("at") {
		c.posAt = offset(p.expect("$", "after \"at\"").start)
		c.position = p.variableName()
		if c.position.key() == c.variable.key() {
			panic(fail(codeSamePosition, int(c.posAt), "$%s is bound twice in one clause", c.variable))
		}
	}
	p.expectWord("in", "after the variable")
	c.expr = p.single()
	return c
}

func (p *parser) letBinding() clause {
	c := p.binding(clauseLet)
	p.expect(":=", "after the variable")
	c.expr = p.single()
	return c
}

// binding reads the variable and its type.
func (p *parser) binding(is clauseKind) clause {
	at := offset(p.expect("$", "before the variable's name").start)
	c := clause{offset: at, is: is, variable: p.variableName()}
	c.kind = p.typeDeclaration()
	return c
}

// orderBy is OrderByClause. Our order is always stable.
func (p *parser) orderBy() clause {
	at := offset(p.peek(0).start)
	p.acceptWord("stable")
	p.expectWord("order", "after \"stable\"")
	p.expectWord("by", "after \"order\"")
	c := clause{offset: at, is: clauseOrder}
	for {
		c.keys = append(c.keys, p.orderKey())
		if !p.accept(",") {
			return c
		}
	}
}

func (p *parser) orderKey() orderKey {
	k := orderKey{expr: p.single(), greatest: p.order.greatest, collation: p.module.collation}
	if p.acceptWord("descending") {
		k.descending = true
	} else {
		p.acceptWord("ascending")
	}
	if p.acceptWord("empty") {
		k.greatest = p.emptyOrder()
	}
	if p.acceptWord("collation") {
		k.collation = p.collation()
	}
	return k
}

// emptyOrder takes "greatest" or "least".
func (p *parser) emptyOrder() (greatest bool) {
	if p.acceptWord("greatest") {
		return true
	}
	p.expectWord("least", "(or \"greatest\") after \"empty\"")
	return false
}

// collation takes the URI of a collation that exists.
func (p *parser) collation() string {
	at := p.peek(0).start
	uri := p.module.absolute(p.uri("the collation's URI"))
	if !xpath3.IsCollationSupported(uri) {
		panic(fail(codeCollation, at, "there is no collation %q", uri))
	}
	return uri
}

func (p *parser) quantified() expr {
	t := p.take()
	q := &quantified{offset: offset(t.start), every: t.value == "every"}
	for {
		c := p.binding(clauseFor)
		p.expectWord("in", "after the variable")
		c.expr = p.single()
		p.module.beyond = p.module.beyond || c.kind != nil
		q.bindings = append(q.bindings, c)
		if !p.accept(",") {
			break
		}
	}
	p.expectWord("satisfies", "after the bindings")
	q.satisfies = p.single()
	return q
}

func (p *parser) tryCatch() expr {
	p.module.beyond = true
	t := &tryCatch{offset: offset(p.take().start)}
	t.body = p.enclosed("try")
	if !p.isWord(0, "catch") {
		p.unexpected("expected \"catch\" after the try")
	}
	for p.isWord(0, "catch") {
		c := catch{offset: offset(p.take().start)}
		for {
			c.codes = append(c.codes, p.errorTest())
			if !p.accept("|") {
				break
			}
		}
		c.body = p.enclosed("catch")
		t.catches = append(t.catches, c)
	}
	return t
}

// errorTest reads the name test of a catch in the form that helium compares.
func (p *parser) errorTest() string {
	t := p.peek(0)
	switch t.kind {
	case tokenLocal:
		return "*:" + p.take().value
	case tokenPrefixed:
		return "Q{" + p.namespace(t.prefix, t.start) + "}" + p.take().value
	case tokenURIAny:
		return "Q{" + bracedURI(p.take()) + "}*"
	case tokenName, tokenQName, tokenURIName:
		n := p.resolve(p.take(), "")
		return "Q{" + n.uri + "}" + n.local
	}
	p.expect("*", "or the name of an error after \"catch\"")
	return "*"
}
