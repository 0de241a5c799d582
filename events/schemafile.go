package events

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"clacks/internal/xsd"
)

const xsdNamespace = "http://www.w3.org/2001/XMLSchema"

// The symbol spaces of XML Schema (part 1, section 2.5) in which a name must be unique in its namespace; complex and
// simple types share one.
const (
	spaceElement = "element"
	spaceType    = "type"
)

var spaces = map[string]string{
	"element": spaceElement, "complexType": spaceType, "simpleType": spaceType, "attribute": "attribute",
	"group": "group", "attributeGroup": "attributeGroup", "notation": "notation",
}

// component names a global component.
type component struct{ space, name string }

// declaration is where a file declares a global component.
type declaration struct {
	component
	line   int
	ofType string // of an element: its type attribute
}

// inclusion is where a file includes, redefines or imports another one by its name.
type inclusion struct {
	name string
	line int
}

// schemaFile is the outline of one XSD file: as much as is needed to hold files against each other by their own lines.
// Whether its inside is right is the validator's to say.
type schemaFile struct {
	path, name      string // for people; for other files
	data            []byte
	line            int // of the root element
	targetNamespace string
	includes        []inclusion
	declarations    []declaration
}

// typeName is the event type that the file is for.
func (f *schemaFile) typeName() string { return strings.TrimSuffix(f.name, ".xsd") }

func (f *schemaFile) find(c component) *declaration {
	for i := range f.declarations {
		if f.declarations[i].component == c {
			return &f.declarations[i]
		}
	}
	return nil
}

// declaresType reports whether the file declares an element of its own name.
func (f *schemaFile) declaresType() bool {
	return f.find(component{spaceElement, f.typeName()}) != nil
}

// outline reads the global declarations of a schema file.
func outline(filePath, name string, data []byte) (*schemaFile, []xsd.Issue) {
	f := &schemaFile{path: filePath, name: name, data: data}
	decoder := xml.NewDecoder(bytes.NewReader(data))
	// The validator refuses whatever is not UTF-8, with a better reason.
	decoder.CharsetReader = func(_ string, input io.Reader) (io.Reader, error) { return input, nil }
	depth := 0
	for {
		line, _ := decoder.InputPos() // where the next token starts
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, f.broken(err, line)
		}
		switch t := token.(type) {
		case xml.Directive:
			return nil, []xsd.Issue{{File: filePath, Line: line, Message: "a DOCTYPE is not allowed"}}
		case xml.EndElement:
			depth--
		case xml.StartElement:
			depth++
			if issue, ok := f.start(t, depth, line); !ok {
				return nil, []xsd.Issue{issue}
			}
		}
	}
	if f.line == 0 {
		return nil, []xsd.Issue{{File: filePath, Line: 1, Message: "the file holds no element"}}
	}
	return f, nil
}

// start notes what stands on the outermost two levels.
func (f *schemaFile) start(t xml.StartElement, depth, line int) (xsd.Issue, bool) {
	switch {
	case depth == 1:
		if t.Name != (xml.Name{Space: xsdNamespace, Local: "schema"}) {
			return xsd.Issue{File: f.path, Line: line, Message: fmt.Sprintf("the root element is %s, not an XML Schema's", t.Name.Local)}, false
		}
		f.line, f.targetNamespace = line, attribute(t, "targetNamespace")
	case depth == 2 && t.Name.Space == xsdNamespace:
		f.global(t, line)
	}
	return xsd.Issue{}, true
}

// global notes a child of the schema element.
func (f *schemaFile) global(t xml.StartElement, line int) {
	switch t.Name.Local {
	case "include", "redefine", "import":
		if location := attribute(t, "schemaLocation"); location != "" {
			f.includes = append(f.includes, inclusion{path.Clean(location), line})
		}
	default:
		if space := spaces[t.Name.Local]; space != "" {
			c := component{space, attribute(t, "name")}
			f.declarations = append(f.declarations, declaration{component: c, line: line, ofType: attribute(t, "type")})
		}
	}
}

// broken is the issue for XML that is not well-formed.
func (f *schemaFile) broken(err error, line int) []xsd.Issue {
	message := err.Error()
	var syntax *xml.SyntaxError
	if errors.As(err, &syntax) {
		line, message = syntax.Line, syntax.Msg
	}
	return []xsd.Issue{{File: f.path, Line: line, Message: "not well-formed XML: " + message}}
}

func attribute(t xml.StartElement, name string) string {
	for _, a := range t.Attr {
		if a.Name == (xml.Name{Local: name}) {
			return a.Value
		}
	}
	return ""
}
