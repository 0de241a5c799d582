package xquery

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/lestrrat-go/helium"
	"github.com/lestrrat-go/helium/xpath3"
)

// Document is an XML document tree. It is safe for concurrent reading.
type Document struct {
	doc   *helium.Document
	types map[helium.Node]string // of the elements that a Builder gave one
	kept  *keptWorkers           // nil unless Keep was called
}

// ParseLimits bound what ParseDocument accepts: bytes, and depth of nesting; zero fields mean 4 MiB and 100. A DOCTYPE
// is always refused.
type ParseLimits struct{ Size, Depth int }

const (
	defaultDocumentSize  = 4 << 20
	defaultDocumentDepth = 100
	codeNotWellFormed    = "FODC0006"
)

// ParseDocument parses XML. Its error is an *Error with line and column: XPDY0130 for an exceeded limit, FODC0006 for
// anything else.
func ParseDocument(xml []byte, limits ParseLimits) (*Document, error) {
	size, depth := limits.Size, limits.Depth
	if size <= 0 {
		size = defaultDocumentSize
	}
	if depth <= 0 {
		depth = defaultDocumentDepth
	}
	if len(xml) > size {
		return nil, &Error{Code: codeLimit, Message: fmt.Sprintf("the document is larger than %d bytes", size), Err: ErrLimit}
	}
	if at := doctype(xml); at >= 0 {
		o := origin{text: string(xml[:min(len(xml), at+nearLength)]), line: 1, column: 1}
		return nil, o.asError(fail(codeNotWellFormed, at, "a document type declaration is not allowed"))
	}
	doc, err := helium.NewParser().MaxDepth(depth).Parse(context.Background(), xml)
	if err != nil {
		return nil, parseError(err)
	}
	if doc.IntSubset() != nil || doc.ExtSubset() != nil {
		doc.Free()
		return nil, &Error{Code: codeNotWellFormed, Message: "a document type declaration is not allowed"}
	}
	return &Document{doc: doc}, nil
}

// doctype is the offset of a document type declaration, or -1. Only white space, comments and processing instructions
// can stand before it.
func doctype(xml []byte) int {
	rest := bytes.TrimPrefix(xml, []byte("\xEF\xBB\xBF"))
	for {
		rest = bytes.TrimLeft(rest, " \t\r\n")
		end := ""
		switch {
		case bytes.HasPrefix(rest, []byte("<!DOCTYPE")):
			return len(xml) - len(rest)
		case bytes.HasPrefix(rest, []byte("<!--")):
			end = "-->"
		case bytes.HasPrefix(rest, []byte("<?")):
			end = "?>"
		default:
			return -1
		}
		_, after, found := bytes.Cut(rest, []byte(end))
		if !found {
			return -1
		}
		rest = after
	}
}

func parseError(err error) *Error {
	e := &Error{Code: codeNotWellFormed, Message: trimMessage(err.Error()), Err: err}
	var p helium.ErrParseError
	if errors.As(err, &p) {
		e.Line, e.Column = p.LineNumber, p.Column
		if p.Err != nil {
			e.Message = trimMessage(p.Err.Error())
		}
	}
	return e
}

// Root is the document node.
func (d *Document) Root() helium.Node {
	if d == nil || d.doc == nil {
		return nil
	}
	return d.doc
}

// Element is the root element.
func (d *Document) Element() helium.Node {
	if d == nil || d.doc == nil {
		return nil
	}
	if e := d.doc.DocumentElement(); e != nil {
		return e
	}
	return nil
}

// Keep makes many evaluations on the document faster, by any queries without external variables and functions: what they
// find out about the order of its nodes is kept until Free. It takes some hundred bytes a node, and must be called before
// the document is shared.
func (d *Document) Keep() {
	if d != nil && d.kept == nil {
		d.kept = &keptWorkers{}
	}
}

// Free returns the document's memory for reuse. No node of it may be held any more: also not in results of queries.
// Optional.
func (d *Document) Free() {
	if d == nil || d.doc == nil {
		return
	}
	d.doc.Free()
	d.doc, d.types, d.kept = nil, nil, nil
}

// Type is an XML Schema type of an element's value.
type Type string

// The types that Builder.Typed takes. A value whose text is not of the form that its type wants counts as untyped.
const (
	Untyped      Type = "" // xs:untypedAtomic, which comparisons and functions convert to what they need
	String       Type = xpath3.TypeString
	Integer      Type = xpath3.TypeInteger
	Decimal      Type = xpath3.TypeDecimal
	Double       Type = xpath3.TypeDouble
	Boolean      Type = xpath3.TypeBoolean
	DateTime     Type = xpath3.TypeDateTime
	Base64Binary Type = xpath3.TypeBase64Binary
)

// Builder makes a small document without parsing: elements in no namespace with text, as mappings need them. Names must
// be names of XML without a colon. A Builder belongs to one goroutine.
type Builder struct {
	doc   *helium.Document
	open  []*helium.Element
	types map[helium.Node]string
}

// unowned allocates nodes one by one: a document's own allocator takes tens of kilobytes at a time, which a small
// document would waste.
var unowned *helium.Document

// NewBuilder starts a document whose root element has this name.
func NewBuilder(root string) *Builder {
	b := &Builder{doc: helium.NewDefaultDocument(), open: make([]*helium.Element, 0, 4)}
	b.start(b.doc, root)
	return b
}

func (b *Builder) start(parent helium.MutableNode, name string) *helium.Element {
	e, err := unowned.CreateElement(name)
	if err != nil {
		panic("xquery: " + err.Error())
	}
	e.SetOwnerDocument(b.doc)
	appendTo(parent, e)
	b.open = append(b.open, e)
	return e
}

// appendTo links a new node. It cannot fail: the parent's last child is one that was appended the same way.
func appendTo(parent helium.MutableNode, child helium.Node) {
	if err := helium.UnsafeAppendChild(parent, child); err != nil {
		panic("xquery: " + err.Error())
	}
}

func (b *Builder) current() *helium.Element { return b.open[len(b.open)-1] }

// Open starts a child element of the current one.
func (b *Builder) Open(name string) { b.start(b.current(), name) }

// Close ends the current element. The root element ends with the document.
func (b *Builder) Close() {
	if len(b.open) > 1 {
		b.open = b.open[:len(b.open)-1]
	}
}

// Attribute sets an attribute of the current element.
func (b *Builder) Attribute(name, value string) {
	if err := b.current().SetAttribute(name, value); err != nil {
		panic("xquery: " + err.Error())
	}
}

// Text adds text to the current element.
func (b *Builder) Text(text string) {
	if text == "" {
		return
	}
	t := unowned.CreateText([]byte(text))
	t.SetOwnerDocument(b.doc)
	appendTo(b.current(), t)
}

// Type sets the type of the current element's value, which an evaluation sees whose Input.Typed has the document. An
// element without one, and one with other elements in it, is untyped.
func (b *Builder) Type(t Type) {
	if t == Untyped {
		return
	}
	if b.types == nil {
		b.types = make(map[helium.Node]string)
	}
	b.types[b.current()] = string(t)
}

// Element adds a child element with text: an attribute value of an object.
func (b *Builder) Element(name, text string) { b.Typed(name, Untyped, text) }

// Typed adds a child element with text and its type: an attribute value of an entry.
func (b *Builder) Typed(name string, t Type, text string) {
	b.Open(name)
	b.Type(t)
	b.Text(text)
	b.Close()
}

// Document ends the building. The root element is the context item that mappings use: Document.Element.
func (b *Builder) Document() *Document {
	b.open = b.open[:1]
	return &Document{doc: b.doc, types: b.types}
}
