package xquery

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/lestrrat-go/helium"
)

// Serialization parameters can stand in an element (section 3.1): as an argument of fn:serialize, or in the document
// that "declare option output:parameter-document" names.

// readParameterDocument reads a parameter document into the parameters as Serialize takes them.
func readParameterDocument(text []byte) (map[string]string, error) {
	doc, err := helium.NewParser().MaxDepth(parseDepth).Parse(context.Background(), text)
	if err != nil {
		return nil, xpathError("XQST0119", "the parameter document is no XML: %s", err)
	}
	root := doc.DocumentElement()
	if root == nil || root.URI() != namespaceOutput || root.LocalName() != "serialization-parameters" {
		return nil, badDocument("the parameter document has no element output:serialization-parameters")
	}
	p := newOutputParameters()
	p.texts = make(map[string]string)
	if err := p.readElement(root); err != nil {
		return nil, err
	}
	return p.texts, nil
}

func badDocument(format string, args ...any) error { return xpathError("SEPM0017", format, args...) }

// readElement reads the element output:serialization-parameters.
func (p *outputParameters) readElement(e *helium.Element) error {
	for _, a := range e.Attributes() {
		if a.URI() == "" || a.URI() == namespaceOutput {
			return badDocument("the serialization parameters have an attribute %s", a.Name())
		}
	}
	seen := make(map[name]bool)
	for child := range helium.Children(e) {
		inner, ok := child.(*helium.Element)
		if !ok {
			if child.Type() == helium.TextNode && strings.Trim(string(child.Content()), " \t\r\n") != "" {
				return badDocument("there is text among the serialization parameters")
			}
			continue
		}
		n := name{uri: inner.URI(), local: inner.LocalName()}
		if seen[n] {
			return xpathError("SEPM0019", "the serialization parameter %s is set twice", inner.Name())
		}
		seen[n] = true
		if err := p.readParameter(inner, n); err != nil {
			return err
		}
	}
	return nil
}

// readParameter reads one parameter. Those of other namespaces are for other processors.
func (p *outputParameters) readParameter(e *helium.Element, n name) error {
	switch {
	case n.uri == "":
		return badDocument("the serialization parameter %s is in no namespace", n.local)
	case n.uri != namespaceOutput:
		return nil
	case n.local == "use-character-maps":
		return p.readCharacters(e)
	case !serializationParameters[n.local] || n.local == "parameter-document":
		return badDocument("there is no serialization parameter %q", n.local)
	}
	values, err := plainAttributes(e, "value")
	if err != nil {
		return err
	}
	value := values["value"]
	if p.names(n.local) != nil {
		if value, err = expandNames(e, value); err != nil {
			return err
		}
	}
	if err := p.set(n.local, value); err != nil {
		return badDocument("the serialization parameter %q cannot be %q", n.local, value)
	}
	if p.texts != nil {
		p.texts[n.local] = value
	}
	return nil
}

// plainAttributes are the attributes of an element that must have just these, and nothing in it.
func plainAttributes(e *helium.Element, wanted ...string) (map[string]string, error) {
	values := make(map[string]string)
	for _, a := range e.Attributes() {
		if a.URI() != "" && a.URI() != namespaceOutput {
			continue
		}
		values[a.Name()] = a.Value()
	}
	for _, attribute := range wanted {
		if _, ok := values[attribute]; !ok {
			return nil, badDocument("%s has no attribute %q", e.Name(), attribute)
		}
	}
	if len(values) != len(wanted) {
		return nil, badDocument("%s has an attribute that it cannot have", e.Name())
	}
	return values, nil
}

// expandNames resolves a list of names where it stands.
func expandNames(e *helium.Element, value string) (string, error) {
	var all []string
	for _, text := range strings.Fields(value) {
		n, ok := bracedName(text)
		if !ok || !strings.HasPrefix(text, "Q{") {
			prefix, local, colon := strings.Cut(text, ":")
			if !colon {
				prefix, local = "", text
			}
			uri, found := inScope(e, prefix)
			if !found && colon || nameLength(local) != len(local) || local == "" {
				return "", badDocument("%q is not the name of an element", text)
			}
			n = name{uri: uri, local: local}
		}
		all = append(all, "Q{"+n.uri+"}"+n.local)
	}
	return strings.Join(all, " "), nil
}

// inScope is the namespace of a prefix at an element.
func inScope(e *helium.Element, prefix string) (uri string, found bool) {
	if prefix == "xml" {
		return namespaceXML, true
	}
	for e != nil {
		if ns := e.Namespace(); ns != nil && ns.Prefix() == prefix {
			return ns.URI(), ns.URI() != ""
		}
		for _, ns := range e.Namespaces() {
			if ns.Prefix() == prefix {
				return ns.URI(), ns.URI() != ""
			}
		}
		e, _ = e.Parent().(*helium.Element)
	}
	return "", false
}

// readCharacters reads the element output:use-character-maps.
func (p *outputParameters) readCharacters(e *helium.Element) error {
	if _, err := plainAttributes(e); err != nil {
		return err
	}
	p.characters = make(map[rune]string)
	for child := range helium.Children(e) {
		inner, ok := child.(*helium.Element)
		if !ok {
			continue
		}
		if inner.URI() != namespaceOutput || inner.LocalName() != "character-map" {
			return badDocument("%s cannot stand in a character map", inner.Name())
		}
		values, err := plainAttributes(inner, "character", "map-string")
		if err != nil {
			return err
		}
		r, ok := oneCharacter(values["character"])
		if !ok {
			return badDocument("%q is not one character", values["character"])
		}
		if _, twice := p.characters[r]; twice {
			return xpathError("SEPM0018", "the character %q is mapped twice", r)
		}
		p.characters[r] = values["map-string"]
	}
	if p.texts != nil {
		texts := make(map[string]string, len(p.characters))
		for r, replacement := range p.characters {
			texts[string(r)] = replacement
		}
		encoded, err := json.Marshal(texts)
		if err != nil {
			return badDocument("the character map cannot be read: %s", err)
		}
		p.texts["use-character-maps"] = string(encoded)
	}
	return nil
}
