package xquery

import (
	"strings"

	"github.com/lestrrat-go/helium/xpath3"
)

// sequenceType is SequenceType.
func (p *parser) sequenceType() xpath3.SequenceType {
	if p.isWord(0, "empty-sequence") && p.isSymbol(1, "(") {
		p.take()
		p.take()
		p.expect(")", "after \"empty-sequence(\"")
		return xpath3.SequenceType{Void: true}
	}
	t := xpath3.SequenceType{ItemTest: p.itemType()}
	switch {
	case p.accept("?"):
		t.Occurrence = xpath3.OccurrenceZeroOrOne
	case p.accept("*"):
		t.Occurrence = xpath3.OccurrenceZeroOrMore
	case p.accept("+"):
		t.Occurrence = xpath3.OccurrenceOneOrMore
	}
	return t
}

func (p *parser) itemType() xpath3.NodeTest {
	p.enter()
	defer p.leave()
	t := p.peek(0)
	if t.kind == tokenSymbol && t.value == "(" {
		p.take()
		inner := p.itemType()
		p.expect(")", "after the type")
		return inner
	}
	if t.kind == tokenSymbol && t.value == "%" {
		p.annotations("")
		if t = p.peek(0); t.kind != tokenName || t.value != "function" || !p.isSymbol(1, "(") {
			p.unexpected("expected a function test after the annotation")
		}
	}
	if t.kind == tokenName && p.isSymbol(1, "(") {
		switch {
		case kindTests[t.value]:
			return p.kindTest()
		case t.value == "item":
			p.take()
			p.take()
			p.expect(")", "after \"item(\"")
			return xpath3.AnyItemTest{}
		case t.value == "function":
			return p.functionTest()
		case t.value == "map":
			return p.mapTest()
		case t.value == "array":
			return p.arrayTest()
		}
		p.unexpected("there is no type %q", t.value+"()")
	}
	n, at := p.typeName()
	checkAtomic(n, at, codeTypeName)
	return xpath3.AtomicOrUnionType{Prefix: "xs", Name: n.local}
}

func (p *parser) functionTest() xpath3.NodeTest {
	p.take()
	p.take()
	if p.accept("*") {
		p.expect(")", "after \"function(*\"")
		return xpath3.FunctionTest{AnyFunction: true}
	}
	var f xpath3.FunctionTest
	for !p.isSymbol(0, ")") {
		f.ParamTypes = append(f.ParamTypes, p.sequenceType())
		if !p.accept(",") {
			break
		}
	}
	p.expect(")", "after the parameters' types")
	p.expectWord("as", "before the type of the result")
	f.ReturnType = p.sequenceType()
	return f
}

func (p *parser) mapTest() xpath3.NodeTest {
	p.take()
	p.take()
	if p.accept("*") {
		p.expect(")", "after \"map(*\"")
		return xpath3.MapTest{AnyType: true}
	}
	n, at := p.typeName()
	checkAtomic(n, at, codeTypeName)
	p.expect(",", "after the type of the keys")
	m := xpath3.MapTest{KeyType: xpath3.AtomicOrUnionType{Prefix: "xs", Name: n.local}, ValType: p.sequenceType()}
	p.expect(")", "after the type of the values")
	return m
}

func (p *parser) arrayTest() xpath3.NodeTest {
	p.take()
	p.take()
	if p.accept("*") {
		p.expect(")", "after \"array(*\"")
		return xpath3.ArrayTest{AnyType: true}
	}
	a := xpath3.ArrayTest{MemberType: p.sequenceType()}
	p.expect(")", "after the type of the members")
	return a
}

// kindTest is KindTest; the name and the "(" are next.
func (p *parser) kindTest() xpath3.NodeTest {
	t := p.take()
	p.take()
	var test xpath3.NodeTest
	switch t.value {
	case "node":
		test = xpath3.TypeTest{Kind: xpath3.NodeKindNode}
	case "text":
		test = xpath3.TypeTest{Kind: xpath3.NodeKindText}
	case "comment":
		test = xpath3.TypeTest{Kind: xpath3.NodeKindComment}
	case "namespace-node":
		test = xpath3.NamespaceNodeTest{}
	case "processing-instruction":
		pi := xpath3.PITest{}
		if k := p.peek(0).kind; k == tokenString || k == tokenName {
			t := p.take()
			pi.Target = strings.Join(strings.Fields(t.value), " ")
			if nameLength(pi.Target) != len(pi.Target) || pi.Target == "" {
				panic(fail(codeType, t.start, "%q is not the target of a processing instruction", t.value))
			}
		}
		test = pi
	case "element":
		n, kind, nillable := p.elementTest(p.elements, true)
		test = xpath3.ElementTest{Name: n, TypeName: kind, Nillable: nillable}
	case "attribute":
		n, kind, _ := p.elementTest("", false)
		test = xpath3.AttributeTest{Name: n, TypeName: kind}
	case "document-node":
		test = p.documentTest()
	default: // schema-element, schema-attribute
		p.typeName()
		p.expect(")", "after \""+t.value+"(\"")
		panic(fail(codeUndeclared, t.start, "no schema is imported, so %s() has nothing to refer to", t.value))
	}
	p.expect(")", "after \""+t.value+"(\"")
	return test
}

func (p *parser) documentTest() xpath3.NodeTest {
	if p.isSymbol(0, ")") {
		return xpath3.DocumentTest{}
	}
	if !p.isSymbol(1, "(") || !p.isWord(0, "element") && !p.isWord(0, "schema-element") {
		p.unexpected("expected element(...) in document-node()")
	}
	return xpath3.DocumentTest{Inner: p.kindTest()}
}

// elementTest reads the name and the type of element() or attribute(), in helium's spelling.
func (p *parser) elementTest(unprefixed string, isElement bool) (test, kind string, nillable bool) {
	if p.isSymbol(0, ")") {
		return "", "", false
	}
	if p.accept("*") {
		test = "*"
	} else {
		t := p.peek(0)
		if t.kind != tokenName && t.kind != tokenQName && t.kind != tokenURIName {
			p.unexpected("expected a name or \"*\"")
		}
		n := p.resolve(p.take(), unprefixed)
		test = "Q{" + n.uri + "}" + n.local
	}
	if !p.accept(",") {
		return test, "", false
	}
	n, at := p.typeName()
	if n.uri != xpath3.NSXS || !xpath3.IsKnownXSDType("xs:"+n.local) {
		panic(fail(codeUndeclared, at, "there is no type %q", n.String()))
	}
	return test, "xs:" + n.local, isElement && p.accept("?")
}
