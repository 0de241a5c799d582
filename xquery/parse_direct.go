package xquery

import (
	"strings"
	"unicode/utf8"

	"github.com/lestrrat-go/helium/xpath3"
)

// Direct constructors look like XML and have their own lexical rules, so they are read from the text itself: the tokens
// that were looked at are given back (rewind), and an enclosed expression goes through the lexer again.

// rewind continues reading at an offset.
func (p *parser) rewind(at int) {
	p.count, p.pos = 0, at
}

// direct is DirectConstructor; the "<" is the next token.
func (p *parser) direct() expr {
	p.module.beyond = true
	p.enter()
	defer p.leave()
	p.rewind(p.peek(0).start)
	return p.directNode()
}

// directNode reads a constructor at the current position.
func (p *parser) directNode() expr {
	switch rest := p.text[p.pos:]; {
	case strings.HasPrefix(rest, "<!--"):
		return p.directComment()
	case strings.HasPrefix(rest, "<?"):
		return p.directPI()
	}
	return p.directElement()
}

// until takes the text up to a mark and the mark.
func (p *parser) until(mark, what string) string {
	n := strings.Index(p.text[p.pos:], mark)
	if n < 0 {
		panic(fail(codeSyntax, p.pos, "%s does not end", what))
	}
	text := p.text[p.pos : p.pos+n]
	if at := invalidText(text); at >= 0 {
		panic(fail(codeSyntax, p.pos+at, "this character is not allowed here"))
	}
	p.pos += n + len(mark)
	return text
}

// invalidText is the offset of the first character that XML does not allow, or -1.
func invalidText(s string) int {
	for i, r := range s {
		if !isXMLRune(r) {
			return i
		}
		if r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD") {
			return i
		}
	}
	return -1
}

func (p *parser) directComment() expr {
	at := offset(p.pos)
	p.pos += len("<!--")
	text := p.until("-->", "the comment")
	if strings.Contains(text, "--") || strings.HasSuffix(text, "-") {
		panic(fail(codeSyntax, int(at), "a comment cannot have \"--\" in it"))
	}
	return &constructor{offset: at, is: nodeComment, content: []expr{&textPiece{at, newlines(text)}}}
}

func (p *parser) directPI() expr {
	at := offset(p.pos)
	p.pos += len("<?")
	n := nameLength(p.text[p.pos:])
	if n == 0 {
		panic(fail(codeSyntax, p.pos, "expected the target of the processing instruction"))
	}
	target := p.text[p.pos : p.pos+n]
	if strings.EqualFold(target, "xml") {
		panic(fail(codeSyntax, p.pos, "a processing instruction cannot be called %q", target))
	}
	p.pos += n
	text := p.until("?>", "the processing instruction")
	trimmed := strings.TrimLeft(text, " \t\r\n")
	if text != "" && len(trimmed) == len(text) {
		panic(fail(codeSyntax, p.pos, "white space must follow the target"))
	}
	return &constructor{
		offset: at, is: nodePI, name: name{local: target}, content: []expr{&textPiece{at, newlines(trimmed)}},
	}
}

// newlines normalizes the ends of lines.
func newlines(s string) string {
	if strings.IndexByte(s, '\r') < 0 {
		return s
	}
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
}

// space skips white space and reports whether there was some.
func (p *parser) space() bool {
	start := p.pos
	for p.pos < len(p.text) && isSpace(p.text[p.pos]) {
		p.pos++
	}
	return p.pos > start
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// rawName reads a QName as it is written.
func (p *parser) rawName() token {
	start := p.pos
	n := nameLength(p.text[start:])
	if n == 0 {
		panic(fail(codeSyntax, start, "expected a name"))
	}
	t := token{kind: tokenName, start: start, value: p.text[start : start+n]}
	p.pos += n
	if strings.HasPrefix(p.text[p.pos:], ":") {
		if m := nameLength(p.text[p.pos+1:]); m > 0 {
			t.kind, t.prefix, t.value = tokenQName, t.value, p.text[p.pos+1:p.pos+1+m]
			p.pos += 1 + m
		}
	}
	t.end = p.pos
	return t
}

// directElement reads a direct element constructor.
func (p *parser) directElement() expr {
	p.enter()
	defer p.leave()
	start := p.pos
	p.pos++
	tag := p.rawName()
	outer, elements := p.scope, p.elements
	defer func() { p.scope, p.elements = outer, elements }()
	p.declareAhead()

	e := &constructor{offset: offset(start), is: nodeElement, direct: true}
	p.attributes(e)
	e.name = p.resolve(tag, p.elements)
	e.name.prefix = tag.prefix
	e.static = p.static()
	if strings.HasPrefix(p.text[p.pos:], "/>") {
		p.pos += 2
		return e
	}
	p.pos++ // ">"
	p.elementContent(e)
	p.pos += len("</")
	if end := p.rawName(); p.text[tag.start:tag.end] != p.text[end.start:end.end] {
		panic(fail("XQST0118", end.start, "the element %s ends with another name", p.text[tag.start:tag.end]))
	}
	p.space()
	if !strings.HasPrefix(p.text[p.pos:], ">") {
		panic(fail(codeSyntax, p.pos, "expected \">\" after the name of the end tag"))
	}
	p.pos++
	return e
}

// declareAhead finds the namespace declarations of a start tag before its attributes are read: they hold for all of
// them. What it does not understand, the reading of the attributes reports.
func (p *parser) declareAhead() {
	l := lexer{text: p.text, pos: p.pos}
	for {
		for l.pos < len(l.text) && isSpace(l.text[l.pos]) {
			l.pos++
		}
		n := nameLength(l.text[l.pos:])
		if n == 0 {
			return
		}
		t := l.name(n)
		rest := strings.TrimLeft(l.text[l.pos:], " \t\r\n")
		if !strings.HasPrefix(rest, "=") {
			return
		}
		rest = strings.TrimLeft(rest[1:], " \t\r\n")
		if rest == "" || rest[0] != '"' && rest[0] != '\'' {
			return
		}
		l.pos = len(l.text) - len(rest)
		end := skipAttribute(l.text, l.pos)
		if end < 0 {
			return
		}
		quote := l.text[l.pos : l.pos+1]
		raw := undoubled.Replace(strings.ReplaceAll(l.text[l.pos+1:end-1], quote+quote, quote))
		l.pos = end
		if t.kind == tokenQName && t.prefix == "xmlns" {
			p.declareLocal(t.value, raw)
		} else if t.kind == tokenName && t.value == "xmlns" {
			p.declareLocal("", raw)
		}
	}
}

// undoubled replaces the braces that are doubled in attributes.
var undoubled = strings.NewReplacer("{{", "{", "}}", "}")

func (p *parser) declareLocal(prefix, raw string) {
	uri, code := expandReferences(raw)
	if code != "" {
		return
	}
	uri = strings.Join(strings.Fields(uri), " ")
	p.scope = &scope{outer: p.scope, prefix: prefix, uri: uri}
	if prefix == "" {
		p.elements = uri
	}
}

// skipAttribute is the end of the quoted value that starts at an offset, or -1. Enclosed expressions are skipped by
// their braces and strings.
func skipAttribute(text string, start int) int {
	quote := text[start]
	depth := 0
	for i := start + 1; i < len(text); i++ {
		switch c := text[i]; {
		case depth == 0 && c == quote:
			if i+1 < len(text) && text[i+1] == quote {
				i++
				continue
			}
			return i + 1
		case c == '{':
			if depth == 0 && i+1 < len(text) && text[i+1] == '{' {
				i++
				continue
			}
			depth++
		case c == '}' && depth > 0:
			depth--
		case depth > 0 && (c == '"' || c == '\''):
			n := strings.IndexByte(text[i+1:], c)
			if n < 0 {
				return -1
			}
			i += n + 1
		}
	}
	return -1
}

// attributes reads the attributes of a start tag up to its end.
func (p *parser) attributes(e *constructor) {
	declared := make(map[string]bool)
	for {
		spaced := p.space()
		rest := p.text[p.pos:]
		if strings.HasPrefix(rest, ">") || strings.HasPrefix(rest, "/>") {
			break
		}
		if rest == "" {
			panic(fail(codeSyntax, p.pos, "the start tag does not end"))
		}
		t := p.rawName()
		if !spaced {
			panic(fail(codeSyntax, t.start, "white space must stand before an attribute"))
		}
		p.space()
		if !strings.HasPrefix(p.text[p.pos:], "=") {
			panic(fail(codeSyntax, p.pos, "expected \"=\" after the name of the attribute"))
		}
		p.pos++
		p.space()
		pieces := p.attributeValue()
		if t.kind == tokenName && t.value == "xmlns" || t.kind == tokenQName && t.prefix == "xmlns" {
			p.namespaceAttribute(e, t, pieces, declared)
			continue
		}
		a := &constructor{offset: offset(t.start), is: nodeAttribute, direct: true, content: pieces}
		a.name = p.resolve(t, "")
		for _, other := range e.attributes {
			if other.name.key() == a.name.key() {
				panic(fail("XQST0040", t.start, "there are two attributes %s", a.name))
			}
		}
		a.static = p.static()
		e.attributes = append(e.attributes, a)
		if len(e.attributes) > maxChain {
			panic(tooMuch(t.start, "more than %d attributes", maxChain))
		}
	}
}

// namespaceAttribute checks a namespace declaration, which declareAhead brought into scope.
func (p *parser) namespaceAttribute(e *constructor, t token, pieces []expr, declared map[string]bool) {
	prefix, uri := "", ""
	if t.kind == tokenQName {
		prefix = t.value
	}
	for _, piece := range pieces {
		text, ok := piece.(*textPiece)
		if !ok {
			panic(fail("XQST0022", t.start, "the URI of a namespace cannot be computed"))
		}
		uri += text.text
	}
	uri = strings.Join(strings.Fields(uri), " ")
	switch {
	case declared[prefix]:
		panic(fail("XQST0071", t.start, "the namespace prefix %q is declared twice", prefix))
	case prefix == "xmlns", (prefix == "xml") != (uri == namespaceXML), uri == namespaceXMLNS:
		panic(fail(codeReservedPrefix, t.start, "the prefixes xml and xmlns and their namespaces cannot be declared"))
	case prefix != "" && uri == "":
		panic(fail("XQST0085", t.start, "a prefix cannot be undeclared"))
	}
	declared[prefix] = true
	e.declared = append(e.declared, declaration{prefix: prefix, uri: uri})
}

// attributeValue reads a quoted value with references, doubled quotes and enclosed expressions.
func (p *parser) attributeValue() []expr {
	start := p.pos
	if start >= len(p.text) || p.text[start] != '"' && p.text[start] != '\'' {
		panic(fail(codeSyntax, start, "expected the attribute's value in quotes"))
	}
	quote := p.text[start]
	p.pos++
	var pieces []expr
	var b strings.Builder
	flush := func() {
		if b.Len() > 0 {
			pieces = append(pieces, &textPiece{offset(start), b.String()})
			b.Reset()
		}
	}
	for {
		if p.pos >= len(p.text) {
			panic(fail(codeSyntax, start, "the attribute's value does not end"))
		}
		switch c := p.text[p.pos]; {
		case c == quote:
			p.pos++
			if p.pos < len(p.text) && p.text[p.pos] == quote {
				b.WriteByte(quote)
				p.pos++
				continue
			}
			flush()
			return pieces
		case c == '<':
			panic(fail(codeSyntax, p.pos, "\"<\" must be written as &lt; here"))
		case c == '{' && !strings.HasPrefix(p.text[p.pos:], "{{"):
			flush()
			pieces = append(pieces, p.enclosedHere())
		case c == '\r' && strings.HasPrefix(p.text[p.pos:], "\r\n"):
			p.pos++
		case isSpace(c):
			b.WriteByte(' ')
			p.pos++
		default:
			p.character(&b)
		}
	}
}

// character reads one character of an attribute or of an element: a reference, a doubled brace, or itself. It reports
// whether it was a reference.
func (p *parser) character(b *strings.Builder) bool {
	rest := p.text[p.pos:]
	switch rest[0] {
	case '&':
		end := strings.IndexByte(rest, ';')
		if end < 0 {
			panic(fail(codeSyntax, p.pos, "write '&' as '&amp;'"))
		}
		r, code := reference(rest[1:end])
		if code != "" {
			panic(fail(code, p.pos, "an unknown entity or a bad character reference"))
		}
		b.WriteRune(r)
		p.pos += end + 1
		return true
	case '{', '}':
		if len(rest) < 2 || rest[1] != rest[0] {
			panic(fail(codeSyntax, p.pos, "\"%c\" must be doubled here", rest[0]))
		}
		b.WriteByte(rest[0])
		p.pos += 2
		return false
	}
	r, size := utf8.DecodeRuneInString(rest)
	if !isXMLRune(r) || r == utf8.RuneError && size == 1 {
		panic(fail(codeSyntax, p.pos, "this character is not allowed here"))
	}
	b.WriteString(rest[:size])
	p.pos += size
	return false
}

// enclosedHere reads an enclosed expression at the current position of the text.
func (p *parser) enclosedHere() expr {
	p.rewind(p.pos)
	open := p.take()
	if p.isSymbol(0, "}") {
		p.rewind(p.take().end)
		return &enclosedExpr{offset: offset(open.start), body: &sequenceOf{offset: offset(open.start)}}
	}
	e := p.expression()
	p.rewind(p.expect("}", "after the enclosed expression").end)
	return &enclosedExpr{offset: offset(open.start), body: e}
}

// elementContent reads what is between the tags, up to the end tag. Boundary white space is dropped unless the prolog
// preserves it.
func (p *parser) elementContent(e *constructor) {
	var b strings.Builder
	solid := false // the text has more than literal white space
	start := p.pos
	flush := func() {
		if b.Len() > 0 && (solid || p.module.preserveSpace) {
			e.content = append(e.content, &textPiece{offset(start), b.String()})
		}
		b.Reset()
		solid, start = false, p.pos
	}
	for {
		rest := p.text[p.pos:]
		switch {
		case rest == "":
			panic(fail(codeSyntax, int(e.offset), "the element %s does not end", e.name))
		case strings.HasPrefix(rest, "</"):
			flush()
			return
		case strings.HasPrefix(rest, "<![CDATA["):
			p.pos += len("<![CDATA[")
			b.WriteString(newlines(p.until("]]>", "the CDATA section")))
			solid = true
		case rest[0] == '<':
			flush()
			e.content = append(e.content, p.directNode())
		case rest[0] == '{' && !strings.HasPrefix(rest, "{{"):
			flush()
			e.content = append(e.content, p.enclosedHere())
		case rest[0] == '\r':
			if !strings.HasPrefix(rest, "\r\n") {
				b.WriteByte('\n')
			}
			p.pos++
		default:
			literal := isSpace(rest[0])
			if p.character(&b) || !literal {
				solid = true
			}
		}
		if len(e.content) > maxContent {
			panic(tooMuch(p.pos, "more than %d parts of an element", maxContent))
		}
	}
}

// maxContent bounds the parts of one element in a source.
const maxContent = 1 << 12

// stringConstructor reads “[text `{expression}` text]“.
func (p *parser) stringConstructor() expr {
	p.module.beyond = true
	at := p.peek(0).start
	if !strings.HasPrefix(p.text[at:], "``[") {
		p.unexpected("expected \"``[\"")
	}
	p.rewind(at + 3)
	o := &operation{offset: offset(at), op: xpath3.TokenConcat}
	for {
		rest := p.text[p.pos:]
		hole, end := strings.Index(rest, "`{"), strings.Index(rest, "]``")
		if end < 0 {
			panic(fail(codeSyntax, at, "the string constructor does not end"))
		}
		n := end
		if hole >= 0 && hole < end {
			n = hole
		}
		if bad := invalidText(rest[:n]); bad >= 0 {
			panic(fail(codeSyntax, p.pos+bad, "this character is not allowed here"))
		}
		o.operands = append(o.operands, &literal{offset(p.pos), newlines(rest[:n])})
		if n == end {
			p.rewind(p.pos + n + 3)
			return &sequenceOf{offset: o.offset, items: []expr{o}}
		}
		p.rewind(p.pos + n + 2)
		o.operands = append(o.operands, p.interpolation())
		if len(o.operands) > maxContent {
			panic(tooMuch(p.pos, "more than %d parts of a string", maxContent))
		}
	}
}

// interpolation reads the expression and the "}`" of a hole in a string constructor. Its items are joined by spaces.
func (p *parser) interpolation() expr {
	at := offset(p.pos)
	var e expr = &sequenceOf{offset: at}
	if !p.isSymbol(0, "}") {
		e = p.expression()
	}
	end := p.expect("}", "after the interpolated expression").end
	if !strings.HasPrefix(p.text[end:], "`") {
		panic(fail(codeSyntax, end, "expected \"`\" after \"}\""))
	}
	p.rewind(end + 1)
	return &joined{offset: at, body: e}
}
