package eventclient

import (
	"bytes"
	"fmt"
	"strings"

	"clacks"
	"clacks/events"
	"clacks/internal/nearest"
	"clacks/internal/xsd"
)

// Content is a part of an event: an element or an attribute. See Element and Attribute.
type Content struct {
	name      string
	attribute bool
	content   []any
}

// Element is an element of an event. Its content are values (see Catalogue.Build), elements and attributes.
func Element(name string, content ...any) Content { return Content{name: name, content: content} }

// Attribute is an attribute of the element that it is given to.
func Attribute(name string, value any) Content {
	return Content{name: name, attribute: true, content: []any{value}}
}

// Build makes the document of an event. Elements may be given in any order; they are put into that of the schema. Values
// are string, bool, numbers, []byte (as base64 or hexadecimal), time.Time (as the schema's kind of time), and what is an
// encoding.TextMarshaler or a fmt.Stringer; several values are a list. Text is escaped.
//
// The document is valid, or the error is clacks.Invalid, whose Fields name everything that is wrong by its path, with the
// nearest right name for one that there is not. An unknown type is clacks.NotFound.
func (c *Catalogue) Build(eventType string, content ...any) ([]byte, error) {
	t, err := c.Type(eventType)
	if err != nil {
		return nil, err
	}
	b := &builder{catalogue: c}
	b.out.WriteString(`<Event xmlns="` + events.Namespace + `">`)
	b.element(eventType, &t, Content{name: eventType, content: content}, place{namespace: events.Namespace, depth: 2})
	b.out.WriteString("</Event>")
	if len(b.problems) > 0 {
		return nil, wrongEvent(b.problems)
	}
	issues, err := c.schema.Validate("event", b.out.Bytes(), xsd.Limits{Size: events.MaxDocument, Depth: events.MaxDepth})
	if err != nil {
		return nil, clacks.E(clacks.Internal, "eventclient.build", "the event could not be checked: %w", err)
	}
	for _, issue := range issues[:min(len(issues), maxProblems)] {
		b.problem(eventType, clacks.CodeCheck, "%s", strings.ReplaceAll(issue.Message, "{"+events.Namespace+"}", ""))
	}
	if len(b.problems) > 0 {
		return nil, wrongEvent(b.problems)
	}
	return b.out.Bytes(), nil
}

func wrongEvent(fields []clacks.Field) error {
	return &clacks.Error{Op: "eventclient.build", Kind: clacks.Invalid, Reason: "the event is not valid", Fields: fields}
}

// maxProblems bounds what is said of one event.
const maxProblems = 20

// builder writes one event.
type builder struct {
	catalogue *Catalogue
	out       bytes.Buffer
	problems  []clacks.Field
}

// place is where an element stands: inside which namespace, how deep.
type place struct {
	namespace string
	depth     int
}

func (b *builder) problem(path, code, format string, args ...any) {
	if len(b.problems) < maxProblems {
		b.problems = append(b.problems, clacks.Field{Attribute: path, Code: code, Reason: fmt.Sprintf(format, args...)})
	}
}

// element writes an element as its declaration wants it.
func (b *builder) element(path string, p *xsd.Particle, c Content, at place) {
	if at.depth > events.MaxDepth || b.out.Len() > events.MaxDocument {
		b.problem(path, clacks.CodeCheck, "the event is too deep or too large")
		return
	}
	model := b.catalogue.content(p)
	inner := place{namespace: namespaceOf(p, at.namespace), depth: at.depth + 1}
	b.out.WriteString("<" + c.name)
	if inner.namespace != at.namespace {
		b.out.WriteString(` xmlns="`)
		b.text(path, inner.namespace)
		b.out.WriteByte('"')
	}
	b.attributes(path, model, c)
	b.out.WriteByte('>')
	switch {
	case model.Mixed:
		b.mixed(path, model, c, inner)
	case model.Type != "":
		b.value(path, model.Simple, c)
	default:
		b.children(path, model, c, inner)
	}
	b.out.WriteString("</" + c.name + ">")
}

// namespaceOf is the namespace of an element. What a wildcard lets in stays in that of its parent.
func namespaceOf(p *xsd.Particle, outer string) string {
	switch {
	case p.Unqualified:
		return ""
	case p.Namespace != "":
		return p.Namespace
	case p == &anything:
		return outer
	}
	return events.Namespace
}

// anything declares what a wildcard lets in.
var anything = xsd.Particle{Content: xsd.Content{Mixed: true, AnyAttribute: true, Order: xsd.OrderAny}}

// attributes writes the attributes and says which are wrong or missing.
func (b *builder) attributes(path string, model xsd.Content, c Content) {
	names := make([]string, len(model.Attributes))
	for i, a := range model.Attributes {
		names[i] = a.Name
	}
	given := map[string]bool{}
	for _, part := range c.content {
		attribute, ok := part.(Content)
		if !ok || !attribute.attribute {
			continue
		}
		at := path + "/@" + clip(attribute.name)
		declared := find(model.Attributes, attribute.name)
		switch {
		case given[attribute.name]:
			b.problem(at, clacks.CodeSingle, "it stands twice")
			continue
		case declared == nil && !model.AnyAttribute:
			b.unknown(at, "attribute", attribute.name, names)
			continue
		case declared == nil && !isName(attribute.name):
			b.problem(at, clacks.CodeUnknown, "it is no name of an attribute")
			continue
		case declared == nil:
			declared = &xsd.Attribute{Simple: xsd.Simple{Type: "string"}}
		}
		given[attribute.name] = true
		b.out.WriteString(" " + attribute.name + `="`)
		b.value(at, declared.Simple, attribute)
		b.out.WriteByte('"')
	}
	for _, a := range model.Attributes {
		if a.Required && !given[a.Name] {
			b.problem(path+"/@"+a.Name, clacks.CodeMandatory, "it is missing")
		}
	}
}

func find(attributes []xsd.Attribute, name string) *xsd.Attribute {
	for i := range attributes {
		if attributes[i].Name == name {
			return &attributes[i]
		}
	}
	return nil
}

// unknown says that a name does not exist here, and which one does.
func (b *builder) unknown(path, what, name string, known []string) {
	switch hint := nearest.Hint(name, known); {
	case hint != "":
		b.problem(path, clacks.CodeUnknown, "there is no such %s here; %s", what, hint)
	case len(known) == 0:
		b.problem(path, clacks.CodeUnknown, "there is no %s here", what)
	default:
		b.problem(path, clacks.CodeUnknown, "there is no such %s here, known: %s", what, strings.Join(known, ", "))
	}
}

// value writes the text of an element or an attribute that has a simple type.
func (b *builder) value(path string, simple xsd.Simple, c Content) {
	var texts []string
	for _, part := range c.content {
		if child, ok := part.(Content); ok {
			if !child.attribute {
				b.unknown(path+"/"+clip(child.name), "element", child.name, nil)
			}
			continue
		}
		text, err := format(part, simple)
		if err != nil {
			b.problem(path, clacks.CodeType, "%v", err)
			continue
		}
		texts = append(texts, text)
	}
	if len(texts) > 1 && simple.Type != "list" && simple.Type != "union" {
		b.problem(path, clacks.CodeSingle, "it takes one value, not %d", len(texts))
		return
	}
	text := strings.Join(texts, " ")
	if reason := outside(text, simple); reason != "" {
		b.problem(path, clacks.CodeValues, "%s", reason)
		return
	}
	b.text(path, text)
}

// mixed writes text and elements in the order in which they were given.
func (b *builder) mixed(path string, model xsd.Content, c Content, at place) {
	known := namesIn(model.Elements, nil)
	for _, part := range c.content {
		child, ok := part.(Content)
		if ok && child.attribute {
			continue
		}
		if ok {
			b.child(path, model, known, child, at)
			continue
		}
		text, err := format(part, xsd.Simple{Type: "string"})
		if err != nil {
			b.problem(path, clacks.CodeType, "%v", err)
			continue
		}
		b.text(path, text)
	}
}

// child writes an element at the place where it stands.
func (b *builder) child(path string, model xsd.Content, known map[string]*xsd.Particle, c Content, at place) {
	below := path + "/" + clip(c.name)
	p := known[c.name]
	if p == nil {
		if !hasAny(model) || !isName(c.name) {
			b.unknown(below, "element", c.name, keys(known))
			return
		}
		p = &anything
	}
	b.element(below, p, c, at)
}

// children writes the elements in the order of the schema.
func (b *builder) children(path string, model xsd.Content, c Content, at place) {
	known := namesIn(model.Elements, nil)
	var children []Content
	for _, part := range c.content {
		child, ok := part.(Content)
		switch {
		case ok && child.attribute:
		case !ok:
			b.problem(path, clacks.CodeType, "it holds elements, not a value")
		case known[child.name] == nil && (!hasAny(model) || !isName(child.name)):
			b.unknown(path+"/"+clip(child.name), "element", child.name, keys(known))
		default:
			children = append(children, child)
		}
	}
	arranged, missing, left := arrange(model, known, children)
	for _, name := range missing {
		b.problem(path+"/"+name, clacks.CodeMandatory, "it is missing")
	}
	for _, name := range left {
		b.problem(path+"/"+name, clacks.CodeSingle, "it stands too often")
	}
	for _, c := range arranged {
		b.child(path, model, known, c, at)
	}
}

// text writes text, escaped. What XML 1.0 has no way to write (section 2.2) is a problem.
func (b *builder) text(path, text string) {
	if reason := unwritable(text); reason != "" {
		b.problem(path, clacks.CodeCheck, "%s", reason)
		return
	}
	b.out.WriteString(escaper.Replace(text))
}

var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "\t", "&#9;", "\n", "&#10;", "\r", "&#13;")
