package definitions

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// namespace is that of the language's elements.
const namespace = "http://www.gonicus.de/Objects"

const schemaInstance = "http://www.w3.org/2001/XMLSchema-instance"

// maxDepth is the nesting above which a file is refused: the language needs less than twenty, except in conditions.
const maxDepth = 100

// node is an element of a definition file that knows where everything about it stands. encoding/xml reads the file
// because it tells the byte offset of each token; the tree is built by hand for the sake of these places.
type node struct {
	name     string
	space    string
	pos      Position // of its "<"
	tagEnd   int      // the line on which its start tag ends
	attrs    []nodeAttr
	children []*node
	text     string   // all its character data, as it stands there
	data     []byte   // the same while it is gathered
	textPos  Position // of the first character of text that is not white space
}

type nodeAttr struct {
	space, name, value string
	pos                Position // of the first character of the value
}

// attr is the attribute of this name in no namespace, or nil.
func (n *node) attr(name string) *nodeAttr {
	for i := range n.attrs {
		if n.attrs[i].space == "" && n.attrs[i].name == name {
			return &n.attrs[i]
		}
	}
	return nil
}

// value is the value of an attribute without outer white space, or "".
func (n *node) value(name string) string {
	if a := n.attr(name); a != nil {
		return strings.TrimSpace(a.value)
	}
	return ""
}

// child is the first child of this name, or nil.
func (n *node) child(name string) *node {
	for _, c := range n.children {
		if c.name == name {
			return c
		}
	}
	return nil
}

// all are the children of this name.
func (n *node) all(name string) []*node {
	var found []*node
	for _, c := range n.children {
		if c.name == name {
			found = append(found, c)
		}
	}
	return found
}

// trimmed is the text without outer white space.
func (n *node) trimmed() string { return strings.TrimSpace(n.text) }

// word is a name in the file with its place.
type word struct {
	text string
	pos  Position
}

// word is the text as a name; its place is the element's when it has no text.
func (n *node) word() word {
	if n == nil {
		return word{}
	}
	w := word{text: n.trimmed(), pos: n.textPos}
	if w.text == "" {
		w.pos = n.pos
	}
	return w
}

// reader builds the tree of one file.
type reader struct {
	source  Source
	decoder *xml.Decoder
	stack   []*node
	root    *node
	legacy  bool
	// encoding is the one that the file declares and that is not supported.
	encoding string
	// The cursor of locate: offsets are asked for in growing order, so that a file is walked once.
	offset, line, column int
}

// readTree parses a file. legacy says that the file names the schema of the language's first version, so that what that
// version tolerated is to be tolerated here. A problem means that the file is not XML that may be read further.
func readTree(source Source) (root *node, legacy bool, problem *Problem) {
	r := &reader{source: source, decoder: xml.NewDecoder(bytes.NewReader(source.Data)), line: 1, column: 1}
	r.decoder.CharsetReader = r.charset
	for {
		start := int(r.decoder.InputOffset())
		token, err := r.decoder.Token()
		if err == io.EOF && r.root != nil {
			return r.root, r.legacy, nil
		}
		if err == io.EOF {
			err = errors.New("the file holds no element")
		}
		if err == nil {
			err = r.take(token, start)
		}
		if err != nil {
			return nil, false, r.failure(err, start)
		}
	}
}

// charset is asked by the decoder for an encoding other than UTF-8.
func (r *reader) charset(name string, input io.Reader) (io.Reader, error) {
	if strings.EqualFold(name, "us-ascii") {
		return input, nil
	}
	r.encoding = name
	return nil, errors.New("unsupported encoding")
}

// failure is the problem of an error in the token that begins at start. Only in a token of many lines, a long text, is
// the place that the decoder has reached the better one.
func (r *reader) failure(err error, start int) *Problem {
	message := err.Error()
	var syntax *xml.SyntaxError
	if errors.As(err, &syntax) {
		message = syntax.Msg
	}
	if r.encoding != "" {
		message = fmt.Sprintf("the encoding %s is not supported; write the file in UTF-8", r.encoding)
	}
	pos := r.locate(start)
	if line, column := r.decoder.InputPos(); line > pos.Line {
		text := sourceLine(r.source.Data, line)
		column = max(1, min(column, len(text)+1))
		pos.Line, pos.Column = line, utf8.RuneCountInString(text[:column-1])+1
	}
	return &Problem{Position: pos, Severity: Error, Message: "the file cannot be read as XML: " + message}
}

// take adds one token to the tree.
func (r *reader) take(token xml.Token, start int) error {
	switch t := token.(type) {
	case xml.StartElement:
		return r.open(t, start)
	case xml.EndElement:
		n := r.stack[len(r.stack)-1]
		n.text, n.data = string(n.data), nil
		r.stack = r.stack[:len(r.stack)-1]
	case xml.CharData:
		r.characters(t, start)
	case xml.Directive:
		return errors.New("a DOCTYPE is not allowed")
	}
	return nil
}

func (r *reader) open(t xml.StartElement, start int) error {
	if len(r.stack) == 0 && r.root != nil {
		return errors.New("there is a second root element")
	}
	if len(r.stack) >= maxDepth {
		return fmt.Errorf("elements are nested deeper than %d", maxDepth)
	}
	n := &node{name: t.Name.Local, space: t.Name.Space, pos: r.locate(start)}
	r.attributes(n, t, start)
	if len(r.stack) == 0 {
		r.root = n
	} else {
		parent := r.stack[len(r.stack)-1]
		parent.children = append(parent.children, n)
	}
	r.stack = append(r.stack, n)
	return nil
}

// attributes reads the attributes with the places of their values. A place is searched in the raw tag, since the decoder
// does not tell it. Declarations of namespaces and hints for validators are no content.
func (r *reader) attributes(n *node, t xml.StartElement, start int) {
	end := int(r.decoder.InputOffset())
	at := start
	for _, a := range t.Attr {
		value := at
		if quote := bytes.IndexAny(r.source.Data[at:end], `"'`); quote >= 0 {
			value = at + quote + 1
			if length := bytes.IndexByte(r.source.Data[value:end], r.source.Data[value-1]); length >= 0 {
				at = value + length + 1
			}
		}
		switch {
		case a.Name.Space == "xmlns" || a.Name.Space == "" && a.Name.Local == "xmlns":
		case a.Name.Space == schemaInstance:
			r.legacy = r.legacy || a.Name.Local == "schemaLocation" && namesFirstSchema(a.Value)
		default:
			n.attrs = append(n.attrs, nodeAttr{
				space: a.Name.Space, name: a.Name.Local, value: a.Value, pos: r.locate(value),
			})
		}
	}
	n.tagEnd = r.locate(end).Line
}

// namesFirstSchema reports whether a schemaLocation says that the file was written for the first version's object.xsd.
func namesFirstSchema(locations string) bool {
	pairs := strings.Fields(locations)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i] == namespace && path.Base(pairs[i+1]) == "object.xsd" {
			return true
		}
	}
	return false
}

// characters adds text to the current element. The decoder hands out a CDATA section as a token of its own.
func (r *reader) characters(t xml.CharData, start int) {
	if len(r.stack) == 0 {
		return
	}
	n := r.stack[len(r.stack)-1]
	if n.textPos.Line == 0 {
		raw := r.source.Data[start:int(r.decoder.InputOffset())]
		const cdata = "<![CDATA["
		if bytes.HasPrefix(raw, []byte(cdata)) {
			raw, start = raw[len(cdata):], start+len(cdata)
		}
		if first := bytes.IndexFunc(raw, func(c rune) bool { return !unicode.IsSpace(c) }); first >= 0 && len(bytes.TrimSpace(t)) > 0 {
			n.textPos = r.locate(start + first)
		}
	}
	n.data = append(n.data, t...)
}

// locate is the place of a byte offset. Offsets must not go back.
func (r *reader) locate(offset int) Position {
	passed := r.source.Data[r.offset:max(offset, r.offset)]
	if i := bytes.LastIndexByte(passed, '\n'); i >= 0 {
		r.line += bytes.Count(passed, []byte("\n"))
		r.column = 1
		passed = passed[i+1:]
	}
	r.column += utf8.RuneCount(passed)
	r.offset = max(offset, r.offset)
	return Position{File: r.source.Name, Line: r.line, Column: r.column}
}

// sourceLine is a line of a file without its end.
func sourceLine(data []byte, line int) string {
	for range line - 1 {
		_, rest, found := bytes.Cut(data, []byte("\n"))
		if !found {
			return ""
		}
		data = rest
	}
	text, _, _ := bytes.Cut(data, []byte("\n"))
	return string(bytes.TrimSuffix(text, []byte("\r")))
}
