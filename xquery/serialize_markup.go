package xquery

import (
	"strconv"
	"strings"

	"github.com/lestrrat-go/helium"
	"github.com/lestrrat-go/helium/xpath3"
)

// markupWriter is the methods xml, xhtml and html (sections 5 to 7). What only concerns the latter two is in
// serialize_html.go.
type markupWriter struct {
	*outputParameters
	out     *stringStream
	dialect dialect
	// bound are the namespace declarations that the open elements have.
	bound []scopedPrefix
	// The top of the document: what makes it, whether an element was, or text; and whether a node was the last.
	top                   normalizer
	rooted, texted, after bool
}

type scopedPrefix struct{ prefix, uri string }

func newMarkupWriter(p *outputParameters, out *stringStream) *markupWriter {
	w := &markupWriter{outputParameters: p, out: out, dialect: p.htmlDialect()}
	w.top = normalizer{outputParameters: p, out: out, text: w.topText, node: w.topNode}
	return w
}

func (w *markupWriter) begin() error {
	w.declaration()
	return nil
}

func (w *markupWriter) item(item xpath3.Item) error { return w.top.item(item) }
func (w *markupWriter) end() error                  { return nil }

// documentShape is what stands at the top of a document that is made of a sequence.
type documentShape struct {
	elements int
	text     bool
}

func (d *documentShape) wellFormed() bool { return d.elements == 1 && !d.text }

func topOf(s xpath3.Sequence, separated bool) documentShape {
	var d documentShape
	if s == nil {
		return d
	}
	d.text = separated && s.Len() > 1
	for each := range s.Items() {
		item, ok := each.(xpath3.NodeItem)
		if !ok {
			d.text = true
			continue
		}
		if _, document := item.Node.(*helium.Document); !document {
			d.add(item.Node)
			continue
		}
		for child := range helium.Children(item.Node) {
			d.add(child)
		}
	}
	return d
}

func (d *documentShape) add(n helium.Node) {
	switch n.Type() {
	case helium.ElementNode:
		d.elements++
	case helium.TextNode, helium.CDATASectionNode, helium.EntityRefNode:
		d.text = d.text || len(n.Content()) > 0
	}
}

// declaration writes the XML declaration.
func (w *markupWriter) declaration() {
	if w.omit || w.dialect.html {
		return
	}
	encoding := w.encoding
	if encoding == "" {
		encoding = "UTF-8"
	}
	w.out.string(`<?xml version="` + w.xmlVersion() + `" encoding="` + encoding + `"`)
	if w.standalone != "" {
		w.out.string(` standalone="` + w.standalone + `"`)
	}
	w.out.string("?>")
	w.after = true
}

func (w *markupWriter) topText(text string) error {
	w.texted = w.texted || strings.Trim(text, " \t\r\n") != ""
	w.after = w.after && text == ""
	return w.content(text)
}

func (w *markupWriter) topNode(n helium.Node) error {
	switch n.Type() {
	case helium.TextNode, helium.CDATASectionNode:
		return w.topText(string(n.Content()))
	case helium.DTDNode:
		return nil
	}
	w.line(w.indent && w.after, 0)
	w.after = true
	if e, ok := n.(*helium.Element); ok && !w.rooted {
		w.rooted = true
		w.documentType(e)
	}
	return w.node(n, place{indent: w.indent, root: true})
}

// documentType writes the document type declaration that stands before the first element.
func (w *markupWriter) documentType(root *helium.Element) {
	label, public := root.Name(), w.public
	switch {
	case w.system != "":
	case w.dialect.html && public != "":
	case w.dialect.five && !w.texted && strings.EqualFold(root.LocalName(), "html") && w.dialect.knows(root):
		public = ""
	default:
		return
	}
	if w.dialect.five && w.dialect.knows(root) {
		label = root.LocalName()
	}
	w.out.string("<!DOCTYPE " + label)
	switch {
	case public != "":
		w.out.string(` PUBLIC "` + public + `"`)
	case w.system != "":
		w.out.string(" SYSTEM")
	}
	if w.system != "" {
		quote := `"`
		if strings.Contains(w.system, quote) {
			quote = "'"
		}
		w.out.string(" " + quote + w.system + quote)
	}
	w.out.string(">")
	w.line(w.indent, 0)
}

// place is where a node stands.
type place struct {
	depth  int
	indent bool // white space may be added in its content
	root   bool // it is a root of what is written: all namespaces in its scope are declared on it
	cdata  bool // text is written in CDATA sections
	raw    bool // text and attributes are written as they are
}

func (w *markupWriter) node(n helium.Node, at place) error {
	if err := w.out.enter(); err != nil {
		return err
	}
	defer w.out.leave()
	switch n := n.(type) {
	case *helium.Element:
		return w.element(n, at)
	case *helium.Comment:
		w.out.string("<!--" + string(n.Content()) + "-->")
		return nil
	case *helium.ProcessingInstruction:
		return w.instruction(n)
	}
	text := string(n.Content())
	switch n.Type() {
	case helium.TextNode, helium.CDATASectionNode:
		switch {
		case at.raw:
			w.out.string(text)
			return nil
		case at.cdata:
			w.sections(text)
			return nil
		}
		return w.content(text)
	case helium.EntityRefNode:
		w.out.string("&" + n.Name() + ";")
	}
	return nil
}

func (w *markupWriter) instruction(n *helium.ProcessingInstruction) error {
	data, end := string(n.Content()), "?>"
	if w.dialect.html {
		if end = ">"; strings.Contains(data, end) {
			return xpathError("SERE0015", "HTML cannot have %q in a processing instruction", end)
		}
	}
	w.out.string("<?" + n.Name())
	if data != "" {
		w.out.string(" " + data)
	}
	w.out.string(end)
	return nil
}

func (w *markupWriter) element(e *helium.Element, at place) error {
	mark := len(w.bound)
	defer func() { w.bound = w.bound[:mark] }()
	known := w.dialect.knows(e)
	label := e.Name()
	if w.dialect.unprefixed(e.URI()) {
		label = e.LocalName()
	}
	w.out.string("<" + label)
	w.namespaces(e, at.root)
	if err := w.attributes(e, known, at.raw); err != nil {
		return err
	}
	meta := w.includeType && known && strings.EqualFold(e.LocalName(), "head")
	if e.FirstChild() == nil && !meta {
		w.empty(e, label, known)
		return nil
	}
	w.out.string(">")
	inner := w.inside(e, at, known)
	if meta {
		w.line(inner.indent, inner.depth)
		w.contentType(label, e)
	}
	for child := range helium.Children(e) {
		if meta && isContentType(child) {
			continue
		}
		w.line(inner.indent, inner.depth)
		if err := w.node(child, inner); err != nil {
			return err
		}
	}
	w.line(inner.indent, at.depth)
	w.out.string("</" + label + ">")
	return nil
}

// inside is the place of an element's content.
func (w *markupWriter) inside(e *helium.Element, at place, known bool) place {
	inner := place{depth: at.depth + 1, raw: at.raw || w.dialect.html && known && isRaw(e)}
	inner.indent = at.indent && w.indentable(e, known)
	inner.cdata = len(w.cdata) > 0 && w.cdata[name{uri: e.URI(), local: e.LocalName()}] && (!w.dialect.html || !known)
	return inner
}

func (w *markupWriter) line(indent bool, depth int) {
	if indent {
		w.out.string("\n")
		w.out.string(strings.Repeat("  ", depth))
	}
}

// indentable says whether white space may be added in an element: there is no text in it, and nobody wants it as it is.
func (w *markupWriter) indentable(e *helium.Element, known bool) bool {
	if w.suppressed(e) {
		return false
	}
	if a := e.GetAttributeNodeNS("space", namespaceXML); a != nil && a.Value() == "preserve" {
		return false
	}
	if known && isFormatted(e) {
		return false
	}
	block := !known // in HTML, comments and processing instructions alone stay where they are
	for child := range helium.Children(e) {
		switch child := child.(type) {
		case *helium.Element:
			block = true
			if isInline(child) && w.dialect.knows(child) {
				return false
			}
		case *helium.Comment, *helium.ProcessingInstruction:
		default:
			if child.Type() == helium.EntityRefNode || len(child.Content()) > 0 {
				return false
			}
		}
	}
	return block
}

func (w *markupWriter) suppressed(e *helium.Element) bool {
	if len(w.unindented) == 0 {
		return false
	}
	if w.unindented[name{uri: e.URI(), local: e.LocalName()}] {
		return true
	}
	if !w.dialect.html || e.URI() != "" {
		return false
	}
	for n := range w.unindented {
		if n.uri == "" && strings.EqualFold(n.local, e.LocalName()) {
			return true
		}
	}
	return false
}

// binding is the namespace that a prefix has in what is written.
func (w *markupWriter) binding(prefix string) string {
	for i := len(w.bound) - 1; i >= 0; i-- {
		if w.bound[i].prefix == prefix {
			return w.bound[i].uri
		}
	}
	return ""
}

// bind declares a namespace, unless it is already.
func (w *markupWriter) bind(prefix, uri string) {
	if prefix == "xml" || w.binding(prefix) == uri {
		return
	}
	w.bound = append(w.bound, scopedPrefix{prefix, uri})
	label := "xmlns"
	if prefix != "" {
		label += ":" + prefix
	}
	w.attributeMarkup(label, uri)
}

// namespaces writes the declarations that an element needs: those of its name, its own, for a root those around it, and
// those of its attributes.
func (w *markupWriter) namespaces(e *helium.Element, root bool) {
	prefix := e.Prefix()
	if w.dialect.unprefixed(e.URI()) {
		prefix = ""
	}
	w.bind(prefix, e.URI())
	if !root {
		for _, ns := range e.Namespaces() {
			w.declare(ns, prefix)
		}
	} else {
		seen := make(map[string]bool)
		for cur := e; cur != nil; cur, _ = cur.Parent().(*helium.Element) {
			for _, ns := range cur.Namespaces() {
				if !seen[ns.Prefix()] {
					seen[ns.Prefix()] = true
					w.declare(ns, prefix)
				}
			}
		}
	}
	e.ForEachAttribute(func(a *helium.Attribute) bool {
		if uri := a.URI(); uri != "" {
			w.bind(a.Prefix(), uri)
		}
		return true
	})
}

// declare writes a declaration of the tree; taken is the prefix of the element.
func (w *markupWriter) declare(ns *helium.Namespace, taken string) {
	prefix, uri := ns.Prefix(), ns.URI()
	switch {
	case prefix == taken, prefix != "" && w.dialect.unprefixed(uri):
	case uri != "" || prefix == "":
		w.bind(prefix, uri)
	case w.undeclare && !w.dialect.html:
		w.bind(prefix, "")
	}
}

func (w *markupWriter) attributes(e *helium.Element, known, raw bool) error {
	var failed error
	e.ForEachAttribute(func(a *helium.Attribute) bool {
		label, value := a.Name(), a.Value()
		switch {
		case raw:
			w.out.string(" " + label + `="` + value + `"`)
		case known:
			failed = w.htmlAttribute(e, a)
		default:
			w.attributeMarkup(label, value)
		}
		return failed == nil
	})
	return failed
}

func (w *markupWriter) attributeMarkup(label, value string) {
	w.out.string(" ")
	w.attributeText(label, value)
}

// attributeText writes an attribute by the rules of XML.
func (w *markupWriter) attributeText(label, value string) {
	w.out.string(label + `="`)
	w.pieces(value, func(s string) { w.escape(s, true) }, w.out.string)
	w.out.string(`"`)
}

// content writes text.
func (w *markupWriter) content(text string) error {
	if w.dialect.html {
		return w.htmlText(text)
	}
	w.pieces(text, func(s string) { w.escape(s, false) }, w.out.string)
	return nil
}

// escape writes text or the value of an attribute with the references of XML (section 5).
func (w *markupWriter) escape(text string, attribute bool) {
	start := 0
	for i, r := range text {
		reference := ""
		switch {
		case r == '&':
			reference = "&amp;"
		case r == '<':
			reference = "&lt;"
		case r == '>':
			reference = "&gt;"
		case r == '"' && attribute:
			reference = "&quot;"
		case r == '\n' || r == '\t':
			if attribute {
				reference = characterReference(r)
			}
		case !isCharacter(r) && (w.xmlVersion() == "1.0" || r == 0 || r > ' '):
			w.out.fail(xpathError("SERE0006", "XML %s has no character U+%04X", w.xmlVersion(), r))
		case r < ' ', r >= 0x7F && r <= 0x9F, r == 0x2028, !w.out.has(r):
			reference = characterReference(r)
		}
		if reference != "" {
			w.out.string(text[start:i])
			w.out.string(reference)
			start = i + len(string(r))
		}
	}
	w.out.string(text[start:])
}

func characterReference(r rune) string {
	return "&#x" + strings.ToUpper(strconv.FormatInt(int64(r), 16)) + ";"
}

// sections writes text in CDATA sections: what cannot stand in one stands between two.
func (w *markupWriter) sections(text string) {
	const begin, end = "<![CDATA[", "]]>"
	if text == "" {
		return
	}
	w.out.string(begin)
	for i, part := range strings.Split(w.normalize(text), end) {
		if i > 0 {
			w.out.string("]]" + end + begin + ">")
		}
		start := 0
		for at, r := range part {
			if !w.out.has(r) {
				w.out.string(part[start:at] + end + characterReference(r) + begin)
				start = at + len(string(r))
			}
		}
		w.out.string(part[start:])
	}
	w.out.string(end)
}
