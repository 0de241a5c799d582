package xquery

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/lestrrat-go/helium/xpath3"
)

// Module is the source of a library module, as Options.Modules returns it.
type Module struct {
	// Source is the text of the module, File the name that messages about it give.
	Source, File string
}

// program is what the modules of a query share while they are parsed. Their texts stand one after the other in one
// text, so that an offset says in which module it is.
type program struct {
	origin  *origin
	options *Options
	loaded  map[string][]*module // library modules by namespace
	order   []*module            // in the order of their ends: what a module imports comes before it
}

// maxModules bounds the library modules of a query.
const maxModules = 64

// parse reads a main module and the library modules that it imports. The origin's text grows by theirs.
func parse(o *origin, options *Options) (m *module, err error) {
	defer func() {
		switch f := recover().(type) {
		case nil:
		case *failure:
			m, err = nil, f
		default:
			panic(f)
		}
	}()
	g := &program{origin: o, options: options}
	p := g.parser(0, "")
	m = p.mainModule()
	m.libraries = g.order
	return m, nil
}

// parser makes a parser for the module whose text begins at an offset.
func (g *program) parser(start int, uri string) *parser {
	m := &module{
		uri: uri, collation: codepointCollation, inherit: true, preserve: true, preserveSpace: false,
		baseURI: g.options.BaseURI, elements: g.options.ElementNamespace,
	}
	if c := g.options.Collation; c != "" {
		m.collation = c
	}
	return &parser{
		lexer:   lexer{text: g.origin.text, pos: start},
		program: g, options: g.options, module: m, functions: xpath3.NSFn, elements: m.elements,
	}
}

// load reads the library modules of a namespace.
func (g *program) load(uri string, locations []string, at int) []*module {
	if all, ok := g.loaded[uri]; ok {
		return all
	}
	if g.options.Modules == nil {
		panic(fail("XQST0059", at, "there is no module %q: no modules are available", uri))
	}
	sources, err := g.options.Modules(uri, locations)
	if err != nil || len(sources) == 0 {
		f := fail("XQST0059", at, "there is no module %q", uri)
		f.err = err
		panic(f)
	}
	if g.loaded == nil {
		g.loaded = make(map[string][]*module)
	}
	g.loaded[uri] = []*module{}
	for _, s := range sources {
		if len(g.order) >= maxModules || len(g.origin.text)+len(s.Source) > MaxSource {
			panic(tooMuch(at, "the modules are larger than %d bytes, or more than %d", MaxSource, maxModules))
		}
		start := len(g.origin.text) + 1
		g.origin.add(s.File, s.Source)
		p := g.parser(start, uri)
		g.loaded[uri] = append(g.loaded[uri], p.module)
		p.libraryModule(uri, at)
		g.order = append(g.order, p.module)
	}
	return g.loaded[uri]
}

// libraryModule is LibraryModule; at is where it is imported.
func (p *parser) libraryModule(uri string, at int) {
	if p.isWord(0, "xquery") && (p.isWord(1, "version") || p.isWord(1, "encoding")) {
		p.version()
	}
	p.expectWord("module", "at the beginning of a library module")
	p.expectWord("namespace", "after \"module\"")
	t := p.peek(0)
	if t.kind != tokenName {
		p.unexpected("expected a prefix")
	}
	prefix := p.take()
	p.expect("=", "after the prefix")
	declared := p.uri("the module's namespace")
	if declared == "" {
		panic(fail("XQST0088", prefix.start, "the namespace of a module cannot be empty"))
	}
	if prefix.value == "xml" || prefix.value == "xmlns" || declared == namespaceXML || declared == namespaceXMLNS {
		panic(fail(codeReservedPrefix, prefix.start, "the prefixes xml and xmlns and their namespaces cannot be declared"))
	}
	if declared != uri {
		panic(fail("XQST0059", at, "the module has the namespace %q instead of %q", declared, uri))
	}
	p.expect(";", "after the module declaration")
	p.declarePrefix(prefix.value, declared)
	p.prolog()
	if p.peek(0).kind != tokenEOF {
		p.unexpected("expected a declaration or the end of the module")
	}
	p.module.end = len(p.text)
}

func (p *parser) declarePrefix(prefix, uri string) {
	if p.module.namespaces == nil {
		p.module.namespaces = make(map[string]string, 4)
	}
	p.module.namespaces[prefix] = uri
}

// importModule is ModuleImport without its ";".
func (p *parser) importModule() {
	p.take()
	at := p.take().start
	prefix := ""
	if p.acceptWord("namespace") {
		if p.peek(0).kind != tokenName {
			p.unexpected("expected a prefix")
		}
		t := p.take()
		prefix = t.value
		if prefix == "xml" || prefix == "xmlns" {
			panic(fail(codeReservedPrefix, t.start, "the prefixes xml and xmlns cannot be declared"))
		}
		if _, twice := p.module.namespaces[prefix]; twice {
			panic(fail(codeTwicePrefix, t.start, "the prefix %q is declared twice", prefix))
		}
		p.expect("=", "after the prefix")
	}
	uri := p.uri("the module's namespace")
	var locations []string
	if p.acceptWord("at") {
		for {
			locations = append(locations, p.uri("the module's location"))
			if !p.accept(",") {
				break
			}
		}
	}
	switch {
	case uri == "":
		panic(fail("XQST0088", at, "the namespace of a module cannot be empty"))
	case slices.Contains(p.module.imports, uri):
		panic(fail("XQST0047", at, "the module %q is imported twice", uri))
	}
	if prefix != "" {
		if uri == namespaceXML || uri == namespaceXMLNS {
			panic(fail(codeReservedPrefix, at, "this namespace cannot be declared"))
		}
		p.declarePrefix(prefix, uri)
	}
	p.module.imports = append(p.module.imports, uri)
	p.program.load(uri, locations, at)
}

// importSchema is SchemaImport, which needs the optional feature.
func (p *parser) importSchema() {
	at := p.take().start
	panic(fail("XQST0009", at, "schemas cannot be imported"))
}

// declareFunction reads "function f($a as T, ...) as T { E }" or "external".
func (p *parser) declareFunction(private bool) {
	at := offset(p.take().start)
	t := p.peek(0)
	if t.kind != tokenName && t.kind != tokenQName && t.kind != tokenURIName {
		p.unexpected("expected the function's name")
	}
	f := &userFunction{inlineFunction: inlineFunction{offset: at}, name: p.functionName(p.take()), private: private}
	if !p.isSymbol(0, "(") {
		p.unexpected("expected \"(\" after the function's name")
	}
	switch {
	case f.name.uri == "":
		panic(fail("XQST0060", t.start, "the function %s must be in a namespace", f.name))
	case reservedNamespace(f.name.uri):
		panic(fail("XQST0045", t.start, "the function %s cannot be in this namespace", f.name))
	case p.module.uri != "" && f.name.uri != p.module.uri:
		panic(fail("XQST0048", t.start, "the function %s is not in the namespace of its module", f.name))
	}
	p.expect("(", "after the function's name")
	p.parameters(&f.inlineFunction)
	for _, other := range p.module.functions {
		if other.name.key() == f.name.key() && len(other.params) == len(f.params) {
			panic(fail("XQST0034", t.start, "there are two functions %s with %d parameters", f.name, len(f.params)))
		}
	}
	if len(p.module.functions) >= maxChain {
		panic(tooMuch(int(at), "more than %d functions", maxChain))
	}
	if p.acceptWord("external") {
		f.external = true
	} else {
		f.body = p.enclosed("the function")
	}
	p.module.functions = append(p.module.functions, f)
}

// declareContext reads "context item (as T)? (:= E | external (:= E)?)".
func (p *parser) declareContext(s *prologState) {
	at := p.take().start
	p.expectWord("item", "after \"context\"")
	s.once("context item", "XQST0099", at)
	c := clause{offset: offset(at), is: clauseLet}
	if p.acceptWord("as") {
		c.kind = &xpath3.SequenceType{ItemTest: p.itemType()}
	}
	c.external = p.acceptWord("external")
	switch {
	case p.accept(":="):
		c.expr = p.single()
	case !c.external:
		p.unexpected("expected \":=\" or \"external\" after the context item")
	}
	if p.module.uri != "" && c.expr != nil {
		panic(fail("XQST0113", at, "a library module cannot give the context item a value"))
	}
	p.module.context = &c
}

// decimalProperties are the properties of a decimal format with the field that each sets.
var decimalProperties = map[string]func(*xpath3.DecimalFormat) *rune{
	"decimal-separator":  func(f *xpath3.DecimalFormat) *rune { return &f.DecimalSeparator },
	"grouping-separator": func(f *xpath3.DecimalFormat) *rune { return &f.GroupingSeparator },
	"minus-sign":         func(f *xpath3.DecimalFormat) *rune { return &f.MinusSign },
	"percent":            func(f *xpath3.DecimalFormat) *rune { return &f.Percent },
	"per-mille":          func(f *xpath3.DecimalFormat) *rune { return &f.PerMille },
	"zero-digit":         func(f *xpath3.DecimalFormat) *rune { return &f.ZeroDigit },
	"digit":              func(f *xpath3.DecimalFormat) *rune { return &f.Digit },
	"pattern-separator":  func(f *xpath3.DecimalFormat) *rune { return &f.PatternSeparator },
	"exponent-separator": func(f *xpath3.DecimalFormat) *rune { return &f.ExponentSeparator },
	"infinity":           nil,
	"NaN":                nil,
}

// declareDecimalFormat reads the name, unless the format is the default one, and the properties.
func (p *parser) declareDecimalFormat(isDefault bool) {
	at := p.take().start
	var key xpath3.QualifiedName
	if !isDefault {
		t := p.peek(0)
		if t.kind != tokenName && t.kind != tokenQName && t.kind != tokenURIName {
			p.unexpected("expected the name of the decimal format")
		}
		n := p.resolve(p.take(), "")
		key = xpath3.QualifiedName{URI: n.uri, Name: n.local}
	}
	if _, twice := p.module.formats[key]; twice {
		panic(fail("XQST0111", at, "the decimal format is declared twice"))
	}
	format := xpath3.DefaultDecimalFormat()
	set := make(map[string]bool)
	for p.peek(0).kind == tokenName {
		p.decimalProperty(&format, set)
	}
	p.checkFormat(&format, at)
	if p.module.formats == nil {
		p.module.formats = make(map[xpath3.QualifiedName]xpath3.DecimalFormat)
	}
	p.module.formats[key] = format
}

func (p *parser) decimalProperty(format *xpath3.DecimalFormat, set map[string]bool) {
	t := p.take()
	field, ok := decimalProperties[t.value]
	if !ok {
		panic(fail(codeSyntax, t.start, "there is no property %q of decimal formats", t.value))
	}
	if set[t.value] {
		panic(fail("XQST0114", t.start, "the property %q is set twice", t.value))
	}
	set[t.value] = true
	p.expect("=", "after the property")
	at := p.peek(0).start
	value := p.quoted("the property's value")
	switch t.value {
	case "infinity":
		format.Infinity = value
		return
	case "NaN":
		format.NaN = value
		return
	}
	r, size := utf8.DecodeRuneInString(value)
	if value == "" || size != len(value) {
		panic(fail("XQST0097", at, "the property %q must be one character", t.value))
	}
	if t.value == "zero-digit" && !isZeroDigit(r) {
		panic(fail("XQST0097", at, "%q is not a digit zero", value))
	}
	*field(format) = r
}

// isZeroDigit reports whether the character begins a row of decimal digits.
func isZeroDigit(r rune) bool {
	for _, row := range unicode.Nd.R16 {
		if r >= rune(row.Lo) && r <= rune(row.Hi) {
			return (r-rune(row.Lo))%10 == 0
		}
	}
	for _, row := range unicode.Nd.R32 {
		if r >= rune(row.Lo) && r <= rune(row.Hi) {
			return (r-rune(row.Lo))%10 == 0
		}
	}
	return false
}

// checkFormat fails unless the characters that structure a picture differ.
func (p *parser) checkFormat(f *xpath3.DecimalFormat, at int) {
	seen := make(map[rune]bool)
	for _, r := range []rune{
		f.DecimalSeparator, f.GroupingSeparator, f.Percent, f.PerMille, f.ZeroDigit, f.Digit, f.PatternSeparator,
		f.ExponentSeparator,
	} {
		if seen[r] {
			panic(fail("XQST0098", at, "two properties of the decimal format have the value %q", string(r)))
		}
		seen[r] = true
	}
}

// declareOption reads an option. Those of the serialization are kept for Query.Output.
func (p *parser) declareOption() {
	p.take()
	t := p.peek(0)
	if t.kind != tokenName && t.kind != tokenQName && t.kind != tokenURIName {
		p.unexpected("expected the name of the option")
	}
	n := p.resolve(p.take(), namespaceXQuery)
	value := p.quoted("the option's value")
	if n.uri != namespaceOutput {
		return
	}
	if p.module.uri != "" {
		panic(fail("XQST0108", t.start, "a library module cannot set serialization parameters"))
	}
	if !serializationParameters[n.local] {
		panic(fail("XQST0109", t.start, "there is no serialization parameter %q", n.local))
	}
	if _, twice := p.module.output[n.local]; twice {
		panic(fail("XQST0110", t.start, "the serialization parameter %q is set twice", n.local))
	}
	if n.local == "parameter-document" {
		panic(fail("XQST0119", t.start, "no parameter documents are available"))
	}
	if p.module.output == nil {
		p.module.output = make(map[string]string)
	}
	value, ok := checkParameter(n.local, strings.TrimSpace(value), p)
	if !ok {
		panic(fail("SEPM0016", t.start, "the serialization parameter %q cannot be %q", n.local, value))
	}
	p.module.output[n.local] = value
}
