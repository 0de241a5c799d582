package xquery

import (
	"github.com/lestrrat-go/helium"
	"github.com/lestrrat-go/helium/xpath3"
)

// normalizer turns a sequence into the content of a document (section 2): arrays become their members, values text, and
// documents their children. Between values stands a space; or between all items the separator of the parameters, if
// there is one.
type normalizer struct {
	*outputParameters
	out  *stringStream
	text func(text string) error
	node func(n helium.Node) error

	begun, value bool // an item was written, the last one was a value
}

func (n *normalizer) sequence(s xpath3.Sequence) error {
	if s == nil {
		return nil
	}
	for i := range s.Len() {
		if err := n.item(s.Get(i)); err != nil {
			return err
		}
	}
	return nil
}

func (n *normalizer) item(item xpath3.Item) error {
	if err := n.out.step(); err != nil {
		return err
	}
	switch item := item.(type) {
	case xpath3.ArrayItem:
		if err := n.out.enter(); err != nil {
			return err
		}
		defer n.out.leave()
		for _, member := range item.Members() {
			if err := n.sequence(member); err != nil {
				return err
			}
		}
		return nil
	case xpath3.AtomicValue:
		text, err := xpath3.AtomicToString(item)
		if err != nil {
			return err
		}
		if err := n.separate(n.value, " "); err != nil {
			return err
		}
		n.value = true
		return n.text(text)
	case xpath3.NodeItem:
		if err := n.separate(false, ""); err != nil {
			return err
		}
		n.value = false
		return n.content(item.Node)
	}
	return xpathError("SENR0001", "a function cannot be written by the method %s", n.method)
}

// separate writes what stands before an item.
func (n *normalizer) separate(wanted bool, usual string) error {
	if n.separator != nil {
		wanted, usual = n.begun, *n.separator
	}
	n.begun = true
	if !wanted {
		return nil
	}
	return n.text(usual)
}

// content writes a node, a document by its children.
func (n *normalizer) content(node helium.Node) error {
	switch node.(type) {
	case *helium.Attribute, *helium.NamespaceNodeWrapper:
		return xpathError("SENR0001", "an attribute or namespace node that stands alone cannot be written by the method %s", n.method)
	case *helium.Document:
		for child := range helium.Children(node) {
			if err := n.node(child); err != nil {
				return err
			}
		}
		return nil
	}
	return n.node(node)
}

// textWriter is the method text (section 8).
type textWriter struct {
	*outputParameters
	out *stringStream
	top normalizer
}

func newTextWriter(p *outputParameters, out *stringStream) *textWriter {
	w := &textWriter{outputParameters: p, out: out}
	w.top = normalizer{outputParameters: p, out: out, text: w.write, node: w.node}
	return w
}

func (w *textWriter) begin() error                { return nil }
func (w *textWriter) item(item xpath3.Item) error { return w.top.item(item) }
func (w *textWriter) end() error                  { return nil }

// node writes the text in an element, or that of a text node: comments and processing instructions have none.
func (w *textWriter) node(node helium.Node) error {
	if err := w.out.enter(); err != nil {
		return err
	}
	defer w.out.leave()
	switch node.Type() {
	case helium.TextNode, helium.CDATASectionNode:
		return w.write(string(node.Content()))
	case helium.ElementNode:
		for child := range helium.Children(node) {
			if err := w.node(child); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *textWriter) write(text string) error {
	var failed error
	w.pieces(text, func(s string) {
		if failed == nil {
			failed = w.encodable(s)
		}
		w.out.string(s)
	}, w.out.string)
	return failed
}

// encodable fails when a text has a character that the encoding has not: the method knows no references.
func (w *textWriter) encodable(text string) error {
	if w.out.can == nil {
		return nil
	}
	for _, r := range text {
		if !w.out.has(r) {
			return xpathError("SERE0008", "the encoding %s has no character U+%04X", w.encoding, r)
		}
	}
	return nil
}
