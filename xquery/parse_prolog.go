package xquery

import (
	"net/url"
	"regexp"
	"strings"

	"github.com/lestrrat-go/helium/xpath3"
)

// mainModule is MainModule with its VersionDecl.
func (p *parser) mainModule() *module {
	if p.isWord(0, "xquery") && (p.isWord(1, "version") || p.isWord(1, "encoding")) {
		p.version()
	}
	if p.isWord(0, "module") && p.isWord(1, "namespace") {
		p.unexpected("this is a library module; only a main module can be evaluated")
	}
	p.prolog()
	p.parameterDocument()
	if p.peek(0).kind == tokenEOF {
		p.unexpected("expected an expression")
	}
	p.module.body = p.expression()
	if t := p.peek(0); t.kind != tokenEOF {
		p.unexpected("expected the end of the query")
	}
	p.module.end = len(p.text)
	return p.module
}

var encodingName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._-]*$`)

func (p *parser) version() {
	p.take()
	p.module.beyond = true
	if p.acceptWord("version") {
		at := p.peek(0).start
		if v := p.quoted("the version"); v != "1.0" && v != "3.0" && v != "3.1" {
			panic(fail(codeVersion, at, "XQuery %q is not supported", v))
		}
	}
	if p.acceptWord("encoding") {
		at := p.peek(0).start
		if e := p.quoted("the encoding"); !encodingName.MatchString(e) {
			panic(fail(codeEncoding, at, "%q is not the name of an encoding", e))
		}
	}
	p.expect(";", "after the version declaration")
}

// quoted takes a string literal.
func (p *parser) quoted(what string) string {
	if p.peek(0).kind != tokenString {
		p.unexpected("expected %s in quotes", what)
	}
	return p.take().value
}

// uri takes a string literal that is a URI: white space is normalized.
func (p *parser) uri(what string) string {
	return strings.Join(strings.Fields(p.quoted(what)), " ")
}

// prologState remembers what may be declared once only.
type prologState struct {
	declared map[string]bool
	body     bool // a variable or an option was declared: setters and namespaces must come before
}

// once fails with the code when the setting was declared before.
func (s *prologState) once(setting, code string, at int) {
	if s.declared[setting] {
		panic(fail(code, at, "the %s is declared twice", setting))
	}
	if s.declared == nil {
		s.declared = make(map[string]bool)
	}
	s.declared[setting] = true
}

// setter is a setting of the prolog: the words it can be set to, and the code of its repetition.
type setter struct {
	words []string
	code  string
}

var setters = map[string]setter{
	"boundary-space": {[]string{"preserve", "strip"}, "XQST0068"},
	"construction":   {[]string{"preserve", "strip"}, "XQST0067"},
	"ordering":       {[]string{"ordered", "unordered"}, "XQST0065"},
	// copy-namespaces has a second word.
	"copy-namespaces": {[]string{"preserve", "no-preserve"}, "XQST0055"},
}

func (p *parser) prolog() {
	var s prologState
	for {
		t := p.peek(0)
		if t.kind != tokenName || p.peek(1).kind != tokenName && !p.isSymbol(1, "%") {
			return
		}
		switch t.value {
		case "declare":
			if level, _ := operatorOf[operatorToken{tokenName, p.peek(1).value}]; level.op != 0 {
				return // an element of this name, as in "declare union a"
			}
			p.declaration(&s)
		case "import":
			if !p.isWord(1, "module") && !p.isWord(1, "schema") {
				return
			}
			if s.body {
				p.unexpected("modules must be imported before variables and functions are declared")
			}
			if p.isWord(1, "module") {
				p.importModule()
			} else {
				p.importSchema()
			}
		default:
			return
		}
		p.module.beyond = true
		p.expect(";", "after the declaration")
	}
}

// declaration reads one declaration of the prolog without its ";".
func (p *parser) declaration(s *prologState) {
	start, word := p.peek(0).start, p.peek(1).value
	if s.body && word != "variable" && word != "function" && word != "context" && word != "option" &&
		!p.isSymbol(1, "%") {
		p.take()
		p.unexpected("namespaces and settings must be declared before the variables")
	}
	p.take()
	switch word {
	case "namespace":
		p.declareNamespace()
	case "default":
		p.declareDefault(s)
	case "variable":
		s.body = true
		p.declareVariable(false)
	case "function":
		s.body = true
		p.declareFunction(false)
	case "context":
		s.body = true
		p.declareContext(s)
	case "decimal-format":
		p.declareDecimalFormat(false)
	case "base-uri":
		s.once(word, "XQST0032", start)
		p.take()
		p.declareBase()
	case "boundary-space", "construction", "ordering", "copy-namespaces":
		s.once(word, setters[word].code, start)
		p.take()
		p.declareMode(word)
	case "option":
		s.body = true
		p.declareOption()
	default:
		if p.isSymbol(0, "%") {
			s.body = true
			p.annotated()
			return
		}
		panic(fail(codeSyntax, p.peek(0).start, "there is no declaration %q", word).suggest("", word, []string{
			"namespace", "default", "variable", "function", "option", "ordering", "boundary-space", "construction",
			"copy-namespaces", "context", "base-uri", "decimal-format",
		}))
	}
}

// declareMode reads what one of setters is set to.
func (p *parser) declareMode(setting string) {
	preserve := p.isWord(0, "preserve")
	p.oneOf(setting, setters[setting].words)
	switch setting {
	case "boundary-space":
		p.module.preserveSpace = preserve
	case "construction":
		p.module.keepTypes = preserve
	case "copy-namespaces":
		p.module.preserve = preserve
		p.expect(",", "between the two modes")
		p.module.inherit = p.isWord(0, "inherit")
		p.oneOf(setting, []string{"inherit", "no-inherit"})
	}
}

func (p *parser) oneOf(what string, words []string) {
	for _, w := range words {
		if p.acceptWord(w) {
			return
		}
	}
	p.unexpected("expected %s after %q", strings.Join(words, " or "), what)
}

func (p *parser) declareNamespace() {
	p.take()
	if p.peek(0).kind != tokenName {
		p.unexpected("expected a prefix")
	}
	t := p.take()
	p.expect("=", "after the prefix")
	uri := p.uri("the namespace's URI")
	if t.value == "xml" || t.value == "xmlns" || uri == namespaceXML || uri == namespaceXMLNS {
		panic(fail(codeReservedPrefix, t.start, "the prefixes xml and xmlns and their namespaces cannot be declared"))
	}
	if _, twice := p.module.namespaces[t.value]; twice {
		panic(fail(codeTwicePrefix, t.start, "the prefix %q is declared twice", t.value))
	}
	if p.module.namespaces == nil {
		p.module.namespaces = make(map[string]string, 4)
	}
	p.module.namespaces[t.value] = uri
}

// declareDefault reads "default element namespace", "default function namespace", "default collation" and "default
// order empty".
func (p *parser) declareDefault(s *prologState) {
	p.take()
	t := p.peek(0)
	switch {
	case p.acceptWord("element"):
		p.expectWord("namespace", "after \"default element\"")
		s.once("default element namespace", codeTwiceElementNS, t.start)
		p.module.elements = p.defaultNamespace()
		p.elements = p.module.elements
	case p.acceptWord("function"):
		p.expectWord("namespace", "after \"default function\"")
		s.once("default function namespace", codeTwiceElementNS, t.start)
		p.functions = p.defaultNamespace()
	case p.acceptWord("order"):
		p.expectWord("empty", "after \"default order\"")
		s.once("default order", "XQST0069", t.start)
		p.order.greatest = p.emptyOrder()
	case p.acceptWord("collation"):
		s.once("default collation", codeDefaultCollation, t.start)
		at := p.peek(0).start
		uri := p.module.absolute(p.uri("the collation's URI"))
		if !xpath3.IsCollationSupported(uri) {
			panic(fail(codeDefaultCollation, at, "there is no collation %q", uri))
		}
		p.module.collation = uri
	case p.isWord(0, "decimal-format"):
		p.declareDecimalFormat(true)
	default:
		p.unexpected("expected element, function, order or collation after \"declare default\"")
	}
}

const codepointCollation = "http://www.w3.org/2005/xpath-functions/collation/codepoint"

func (p *parser) defaultNamespace() string {
	at := p.peek(0).start
	uri := p.uri("the namespace's URI")
	if uri == namespaceXML || uri == namespaceXMLNS {
		panic(fail(codeReservedPrefix, at, "this namespace cannot be a default"))
	}
	return uri
}

// declareVariable reads "variable $x (as T)? (:= E | external (:= E)?)".
func (p *parser) declareVariable(private bool) {
	p.take()
	c := p.binding(clauseLet)
	c.private = private
	if p.module.uri != "" && c.variable.uri != p.module.uri {
		panic(fail("XQST0048", int(c.offset), "the variable $%s is not in the namespace of its module", c.variable))
	}
	for _, other := range p.module.variables {
		if other.variable.key() == c.variable.key() {
			panic(fail(codeTwiceVariable, int(c.offset), "$%s is declared twice", c.variable))
		}
	}
	c.external = p.acceptWord("external")
	switch {
	case p.accept(":="):
		c.expr = p.single()
	case !c.external:
		p.unexpected("expected \":=\" or \"external\" after the variable")
	}
	if len(p.module.variables) >= maxChain {
		panic(tooMuch(int(c.offset), "more than %d variables", maxChain))
	}
	p.module.variables = append(p.module.variables, c)
}

// annotated reads the annotations of a function or a variable, and its declaration.
func (p *parser) annotated() {
	duplicate := "XQST0106"
	if p.annotatesVariable() {
		duplicate = "XQST0116"
	}
	private := p.annotations(duplicate)
	switch {
	case p.isWord(0, "function"):
		p.declareFunction(private)
	case p.isWord(0, "variable"):
		p.declareVariable(private)
	default:
		p.unexpected("expected \"function\" or \"variable\" after the annotations")
	}
}

// annotatesVariable looks behind the annotations.
func (p *parser) annotatesVariable() bool {
	ahead, count, pos := p.ahead, p.count, p.pos
	defer func() { p.ahead, p.count, p.pos = ahead, count, pos }()
	for {
		switch t := p.peek(0); {
		case t.kind == tokenEOF || t.kind == tokenBad:
			return false
		case t.kind == tokenName && t.value == "variable":
			return true
		case t.kind == tokenName && t.value == "function", t.kind == tokenSymbol && t.value == ";":
			return false
		}
		p.take()
	}
}

// declareBase reads the base URI.
func (p *parser) declareBase() {
	p.module.baseURI = p.module.absolute(p.uri("the base URI"))
}

// absolute resolves a URI against the base URI of the module.
func (m *module) absolute(uri string) string {
	switch {
	case uri == "":
		return m.baseURI
	case m.baseURI == "" || hasScheme(uri):
		return uri
	}
	base, err := url.Parse(m.baseURI)
	if err != nil {
		return uri
	}
	ref, err := url.Parse(uri)
	if err != nil {
		return uri
	}
	return base.ResolveReference(ref).String()
}

// hasScheme reports whether a URI is absolute. It is taken as it is then, whatever is in it.
func hasScheme(uri string) bool {
	for i := range len(uri) {
		switch c := uri[i] | 0x20; {
		case uri[i] == ':':
			return i > 0
		case c >= 'a' && c <= 'z', i > 0 && (isDigit(uri[i]) || uri[i] == '+' || uri[i] == '-' || uri[i] == '.'):
		default:
			return false
		}
	}
	return false
}
