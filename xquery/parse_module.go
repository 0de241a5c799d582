package xquery

import (
	"net/url"
	"slices"
	"strings"
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
	loaded  map[string][]*module // library modules by namespace and locations
	sources map[Module]*module   // library modules by their sources: one that is found in two ways is one
	order   []*module            // in the order of their ends: what a module imports comes before it
	// durations says that something is called "duration", which may be xs:duration.
	durations bool
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
	checkCharacters(o.text, 0)
	g := &program{origin: o, options: options}
	p := g.parser(0, "")
	m = p.mainModule()
	m.libraries, m.durations = g.order, g.durations
	return m, nil
}

// checkCharacters fails when a text that begins at an offset has a character that XML has not.
func checkCharacters(text string, start int) {
	for i := 0; i < len(text); {
		if text[i] >= ' ' && text[i] < utf8.RuneSelf {
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		if !isCharacter(r) {
			panic(fail(codeSyntax, start+i, "a query cannot have the character U+%04X", r))
		}
		i += size
	}
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
	m.optionFormats(g.options)
	return &parser{
		lexer:   lexer{text: g.origin.text, pos: start},
		program: g, options: g.options, module: m, functions: xpath3.NSFn, elements: m.elements,
	}
}

// load reads the library modules of a namespace.
func (g *program) load(uri string, locations []string, at int) []*module {
	key := uri + "\x00" + strings.Join(locations, "\x00")
	if all, ok := g.loaded[key]; ok {
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
		g.loaded, g.sources = make(map[string][]*module), make(map[Module]*module)
	}
	g.loaded[key] = []*module{}
	for _, s := range sources {
		if known := g.sources[s]; known != nil {
			g.loaded[key] = append(g.loaded[key], known)
			continue
		}
		if len(g.order) >= maxModules || len(g.origin.text)+len(s.Source) > MaxSource {
			panic(tooMuch(at, "the modules are larger than %d bytes, or more than %d", MaxSource, maxModules))
		}
		start := len(g.origin.text) + 1
		g.origin.add(s.File, s.Source)
		checkCharacters(s.Source, start)
		p := g.parser(start, uri)
		g.loaded[key], g.sources[s] = append(g.loaded[key], p.module), p.module
		p.libraryModule(uri, at)
		g.order = append(g.order, p.module)
	}
	return g.loaded[key]
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
	p.expect(";", "after the module declaration")
	p.module.uri, p.module.prefix = declared, prefix.value
	p.declarePrefix(prefix.value, declared)
	p.prolog()
	if declared != uri {
		panic(fail("XQST0059", at, "the module has the namespace %q instead of %q", declared, uri))
	}
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
		p.expect("=", "after the prefix")
	}
	uri := p.uri("the module's namespace")
	own := prefix == p.module.prefix && uri == p.module.uri
	if _, twice := p.module.namespaces[prefix]; twice && prefix != "" && !own {
		panic(fail(codeTwicePrefix, at, "the prefix %q is declared twice", prefix))
	}
	locations := p.locations()
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

// locations reads "at" and the URIs behind it.
func (p *parser) locations() []string {
	var all []string
	if !p.acceptWord("at") {
		return nil
	}
	for {
		start := p.peek(0).start
		uri := p.uri("a location")
		if _, err := url.Parse(uri); err != nil {
			panic(fail("XQST0046", start, "%q is not a URI", uri))
		}
		all = append(all, uri)
		if !p.accept(",") {
			return all
		}
	}
}

// importSchema is SchemaImport, which needs the optional feature: it is checked and then refused.
func (p *parser) importSchema() {
	at := p.take().start
	p.take()
	prefixed := false
	switch {
	case p.acceptWord("default"):
		p.expectWord("element", "after \"default\"")
		p.expectWord("namespace", "after \"default element\"")
	case p.acceptWord("namespace"):
		prefixed = true
		if p.peek(0).kind != tokenName {
			p.unexpected("expected a prefix")
		}
		if t := p.take(); t.value == "xml" || t.value == "xmlns" {
			panic(fail(codeReservedPrefix, t.start, "the prefixes xml and xmlns cannot be declared"))
		}
		p.expect("=", "after the prefix")
	}
	if uri := p.uri("the schema's namespace"); uri == "" && prefixed {
		panic(fail("XQST0057", at, "a prefix cannot stand for no namespace"))
	}
	p.locations()
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
	if n.local == "parameter-document" {
		p.parameterDocumentAt = t.start
	}
	if _, twice := p.module.output[n.local]; twice {
		panic(fail("XQST0110", t.start, "the serialization parameter %q is set twice", n.local))
	}
	if p.module.output == nil {
		p.module.output = make(map[string]string)
	}
	p.module.output[n.local] = p.parameter(n.local, value, t.start)
}

// parameter checks the value of a serialization parameter, and resolves the names in it.
func (p *parser) parameter(local, value string, at int) string {
	if local == "parameter-document" {
		return value
	}
	parameters := newOutputParameters()
	if parameters.names(local) != nil {
		names, ok := p.parameterNames(value)
		if !ok {
			panic(fail("SEPM0016", at, "the serialization parameter %q cannot be %q", local, value))
		}
		value = names
	}
	if err := parameters.set(local, value); err != nil {
		_, message := classify(err)
		panic(fail("SEPM0016", at, "%s", message))
	}
	if local == "item-separator" {
		return value
	}
	return strings.TrimPrefix(strings.TrimSpace(value), "Q{}")
}

// parameterNames expands a list of names.
func (p *parser) parameterNames(value string) (string, bool) {
	var all []string
	for _, text := range strings.Fields(value) {
		l := lexer{text: text}
		t := l.next()
		if l.pos != len(text) || t.kind != tokenName && t.kind != tokenQName && t.kind != tokenURIName {
			return value, false
		}
		n := p.resolve(t, p.elements)
		all = append(all, "Q{"+n.uri+"}"+n.local)
	}
	return strings.Join(all, " "), true
}

// parameterDocument reads the document that "declare option output:parameter-document" names. The options of the prolog
// come before its parameters.
func (p *parser) parameterDocument() {
	uri, named := p.module.output["parameter-document"]
	if !named {
		return
	}
	delete(p.module.output, "parameter-document")
	at := p.parameterDocumentAt
	if p.options.Parameters == nil {
		panic(fail("XQST0119", at, "no parameter documents are available"))
	}
	text, err := p.options.Parameters(p.module.absolute(strings.TrimSpace(uri)))
	if err != nil {
		f := fail("XQST0119", at, "there is no parameter document %q", uri)
		f.err = err
		panic(f)
	}
	all, err := readParameterDocument(text)
	if err != nil {
		code, message := classify(err)
		panic(fail(code, at, "%s", message))
	}
	for local, value := range all {
		if _, set := p.module.output[local]; !set {
			p.module.output[local] = value
		}
	}
}
