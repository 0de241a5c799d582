package xquery

import (
	"errors"
	"io"
	"maps"

	"github.com/lestrrat-go/helium/xpath3"
)

// The serializer (XSLT and XQuery Serialization 3.1) is our own: it writes as it walks, knows all parameters and gives
// the errors of the specification. serialize_parameters.go reads the parameters from where they can stand,
// serialize_stream.go is the end of the stream, where characters become bytes; the methods are in
// serialize_markup.go and serialize_html.go (xml, html, xhtml), serialize_text.go (text, and how a sequence becomes a
// document), serialize_json.go and serialize_adaptive.go.

// Output are the serialization parameters that the query's prolog sets ("declare option output:method ..."), by their
// local names, as Serialize takes them.
func (q *Query) Output() map[string]string { return maps.Clone(q.module.output) }

// Serialize writes a sequence (XSLT and XQuery Serialization 3.1) as it goes: after an error, a part may be written. The
// parameters are those of "declare option output:...", with the same names and values; Query.Output are those of a query.
// Without "method", the method is xml; without "omit-xml-declaration", there is a declaration only for "standalone".
// Names in "cdata-section-elements" and "suppress-indentation" are of the form "Q{uri}local", "use-character-maps" is a
// JSON object from characters to their replacements. The bytes are in the encoding of "encoding", UTF-8 by default. The
// error is an *Error with the W3C code, or that of w.
func Serialize(w io.Writer, s Sequence, parameters map[string]string) error {
	p, out, err := serialization(w, parameters)
	if err != nil {
		return serializationFailure(err)
	}
	return serializationFailure(errors.Join(p.write(out, inner(s)), out.close()))
}

// serialization are the parameters of Serialize, checked, and the stream that writes by them.
func serialization(w io.Writer, parameters map[string]string) (*outputParameters, *stringStream, error) {
	p := newOutputParameters()
	for _, local := range sortedKeys(parameters) {
		if err := p.set(local, parameters[local]); err != nil {
			return nil, nil, err
		}
	}
	_, omits := parameters["omit-xml-declaration"]
	p.omit = p.omit || !omits && p.standalone == ""
	if err := p.check(); err != nil {
		return nil, nil, err
	}
	out, err := p.stream(w)
	return p, out, err
}

// serializationFailure is an error of the serializer as callers see it: an error of the writer stays what it is.
func serializationFailure(err error) error {
	var f *failure
	if errors.As(err, &f) {
		return &Error{Code: f.code, Message: f.message, Err: f.err}
	}
	var e *xpath3.XPathError
	if !errors.As(err, &e) {
		return err
	}
	code, message := classify(e)
	return &Error{Code: code, Message: message}
}

// serialize is fn:serialize.
func serialize(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	p := newOutputParameters()
	p.omit = true
	if len(args) == 2 && args[1] != nil && args[1].Len() > 0 {
		if err := p.read(args[1]); err != nil {
			return nil, err
		}
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	out := &budgetWriter{budget: b}
	s := p.characterStream(out)
	s.tick = b.Err
	if err := errors.Join(p.write(s, args[0]), s.close()); err != nil {
		switch {
		case b.failed != nil:
			return nil, b.failed
		case errors.Is(err, ErrLimit):
			return nil, b.exceeded("the result nests more than %d deep", maxNested)
		}
		return nil, firstXPathError(err)
	}
	return xpath3.SingleString(out.text.String()), nil
}

// firstXPathError finds the error that has a code.
func firstXPathError(err error) error {
	var e *xpath3.XPathError
	if errors.As(err, &e) {
		return e
	}
	return err
}

// sequenceWriter is a method: it writes a sequence item by item.
type sequenceWriter interface {
	begin() error
	item(item xpath3.Item) error
	end() error
}

// writer is the method of the parameters.
func (p *outputParameters) writer(out *stringStream) sequenceWriter {
	switch p.method {
	case "json":
		return &jsonWriter{outputParameters: p, out: out}
	case "adaptive":
		return &adaptiveWriter{outputParameters: p, out: out}
	case "text":
		return newTextWriter(p, out)
	}
	return newMarkupWriter(p, out)
}

// whole says whether the whole sequence must be known before something of it can be written.
func (p *outputParameters) whole() bool {
	return (p.method == "xml" || p.method == "xhtml") && (p.standalone != "" || p.system != "")
}

// write writes a sequence.
func (p *outputParameters) write(out *stringStream, s xpath3.Sequence) error {
	if p.whole() {
		if shape := topOf(s, p.separator != nil); !shape.wellFormed() {
			return xpathError("SEPM0004", "a document type or standalone needs a document with one root element and no text")
		}
	}
	w := p.writer(out)
	if err := w.begin(); err != nil {
		return err
	}
	if err := writeItems(w, s); err != nil {
		return err
	}
	return w.end()
}

// writeItems writes the items of a sequence.
func writeItems(w sequenceWriter, s xpath3.Sequence) error {
	if s == nil {
		return nil
	}
	for item := range s.Items() {
		if err := w.item(item); err != nil {
			return err
		}
	}
	return nil
}
