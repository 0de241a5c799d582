package xquery

import (
	"github.com/lestrrat-go/helium/xpath3"
)

// predeclared are the prefixes that a query need not declare (XQuery 3.1, section 2.1.1, and the namespaces of XPath
// Functions 3.1).
var predeclared = map[string]string{
	"xml":   namespaceXML,
	"xs":    xpath3.NSXS,
	"xsi":   namespaceXSI,
	"fn":    xpath3.NSFn,
	"local": namespaceLocal,
	"math":  xpath3.NSMath,
	"map":   xpath3.NSMap,
	"array": xpath3.NSArray,
	"err":   xpath3.NSErr,
}

// namespace is the URI of a prefix that stands at an offset.
func (p *parser) namespace(prefix string, at int) string {
	uri, ok := p.scope.lookup(prefix)
	if !ok {
		uri, ok = p.module.namespaces[prefix]
	}
	if !ok {
		uri, ok = p.options.Namespaces[prefix]
	}
	if !ok {
		uri, ok = predeclared[prefix]
	}
	if !ok || uri == "" {
		panic(fail(codePrefix, at, "the namespace prefix %q is not declared", prefix).suggest("", prefix, p.prefixes()))
	}
	return uri
}

func (p *parser) prefixes() []string {
	var all []string
	for _, m := range []map[string]string{p.module.namespaces, p.options.Namespaces, predeclared} {
		for prefix := range m {
			all = append(all, prefix)
		}
	}
	return all
}

// resolve is the expanded name of a name token; unprefixed names are in the given namespace.
func (p *parser) resolve(t token, unprefixed string) name {
	if t.value == "duration" {
		p.program.durations = true
	}
	switch t.kind {
	case tokenName:
		return name{uri: unprefixed, local: t.value}
	case tokenQName:
		return name{prefix: t.prefix, uri: p.namespace(t.prefix, t.start), local: t.value}
	case tokenURIName:
		return name{uri: bracedURI(t), local: t.value}
	}
	panic(fail(codeSyntax, t.start, "expected a name"))
}

// bracedURI is the URI of a tokenURIName or tokenURIAny.
func bracedURI(t token) string {
	if t.prefix == namespaceXMLNS {
		panic(fail(codeReservedPrefix, t.start, "nothing can be in this namespace"))
	}
	return t.prefix
}

// reservedFunctions cannot be called without a prefix (XQuery 3.1, appendix A.3).
var reservedFunctions = map[string]bool{
	"array": true, "attribute": true, "comment": true, "document-node": true, "element": true, "empty-sequence": true,
	"function": true, "if": true, "item": true, "map": true, "namespace-node": true, "node": true,
	"processing-instruction": true, "schema-attribute": true, "schema-element": true, "switch": true, "text": true,
	"typeswitch": true,
}

func (p *parser) functionName(t token) name {
	if t.kind == tokenName && reservedFunctions[t.value] {
		panic(fail(codeSyntax, t.start, "%q cannot be used as a function's name here", t.value))
	}
	return p.resolve(t, p.functions)
}

// typeName takes the name of a type.
func (p *parser) typeName() (n name, start int) {
	t := p.peek(0)
	if t.kind != tokenName && t.kind != tokenQName && t.kind != tokenURIName {
		p.unexpected("expected a name")
	}
	start = t.start
	return p.resolve(p.take(), p.elements), start
}

// notAtomic are names of XML Schema's namespace that are types, but neither atomic nor unions.
var notAtomic = map[string]bool{
	"anyType": true, "anySimpleType": true, "untyped": true, "NMTOKENS": true, "IDREFS": true, "ENTITIES": true,
}

// checkAtomic fails with the code when the name is not a type that items can be instances of.
func checkAtomic(n name, at int, code string) {
	if n.uri == xpath3.NSXS && !notAtomic[n.local] && xpath3.IsKnownXSDType("xs:"+n.local) {
		return
	}
	panic(unknownType(n, at, code))
}

func unknownType(n name, at int, code string) *failure {
	f := fail(code, at, "there is no atomic type %q", n.String())
	if n.uri != xpath3.NSXS && xpath3.IsKnownXSDType("xs:"+n.local) {
		return f.suggest("xs:", n.local, []string{n.local})
	}
	if n.uri == xpath3.NSXS {
		return f.suggest("xs:", n.local, typeNames)
	}
	return f
}

func checkCastTarget(n name, at int) {
	if n.uri == xpath3.NSXS {
		switch n.local {
		case "anyAtomicType", "NOTATION", "anySimpleType":
			panic(fail(codeCastTarget, at, "nothing can be cast to %q", n.String()))
		case "NMTOKENS", "IDREFS", "ENTITIES":
			return
		}
	}
	checkAtomic(n, at, codeCastType)
}

var typeNames = []string{
	"string", "integer", "decimal", "double", "float", "boolean", "date", "dateTime", "time", "duration",
	"dayTimeDuration", "yearMonthDuration", "anyURI", "QName", "base64Binary", "hexBinary", "untypedAtomic",
	"anyAtomicType", "long", "int", "short", "byte", "unsignedLong", "unsignedInt", "unsignedShort", "unsignedByte",
	"nonNegativeInteger", "nonPositiveInteger", "positiveInteger", "negativeInteger", "normalizedString", "token",
	"language", "Name", "NCName", "NMTOKEN", "ENTITY", "ID", "IDREF", "gDay", "gMonth", "gMonthDay", "gYear",
	"gYearMonth", "dateTimeStamp", "numeric",
}

const (
	namespaceXSI    = "http://www.w3.org/2001/XMLSchema-instance"
	namespaceOutput = "http://www.w3.org/2010/xslt-xquery-serialization"
)

// scope is a namespace declaration of an enclosing direct constructor; nil outside of them.
type scope struct {
	outer       *scope
	prefix, uri string
}

func (s *scope) lookup(prefix string) (uri string, ok bool) {
	for ; s != nil; s = s.outer {
		if s.prefix == prefix {
			return s.uri, true
		}
	}
	return "", false
}

// static is the part of the static context that constructors and casts to QNames need at run time.
type static struct {
	scope    *scope
	module   *module
	options  *Options
	elements string // the default element namespace
}

func (p *parser) static() *static {
	return &static{scope: p.scope, module: p.module, options: p.options, elements: p.elements}
}

// namespace is the URI of a prefix that a name has at run time.
func (s *static) namespace(prefix string) (uri string, ok bool) {
	if uri, ok = s.scope.lookup(prefix); ok {
		return uri, true
	}
	if uri, ok = s.module.namespaces[prefix]; !ok {
		if uri, ok = s.options.Namespaces[prefix]; !ok {
			uri, ok = predeclared[prefix]
		}
	}
	return uri, ok && uri != ""
}
