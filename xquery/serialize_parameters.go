package xquery

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/lestrrat-go/helium"
	"github.com/lestrrat-go/helium/xpath3"
)

// outputParameters are the serialization parameters (section 3) with their values checked.
type outputParameters struct {
	method, nodeMethod      string
	version, htmlVersion    string
	encoding, mediaType     string
	public, system          string
	form                    string  // the normalization form; empty for none
	standalone              string  // "yes", "no", or empty for "omit"
	separator               *string // nil for none
	indent, omit, undeclare bool
	mark, duplicates        bool
	escapeURIs, includeType bool
	cdata, unindented       map[name]bool
	characters              map[rune]string
	texts                   map[string]string // what a parameter document sets, as Serialize takes it; or nil
}

func newOutputParameters() *outputParameters {
	return &outputParameters{
		method: "xml", nodeMethod: "xml", mediaType: "text/html", escapeURIs: true, includeType: true,
	}
}

// booleans are the parameters that are "yes" or "no".
func (p *outputParameters) boolean(local string) *bool {
	switch local {
	case "allow-duplicate-names":
		return &p.duplicates
	case "byte-order-mark":
		return &p.mark
	case "escape-uri-attributes":
		return &p.escapeURIs
	case "include-content-type":
		return &p.includeType
	case "indent":
		return &p.indent
	case "omit-xml-declaration":
		return &p.omit
	case "undeclare-prefixes":
		return &p.undeclare
	}
	return nil
}

// names are the parameters that are lists of names of elements.
func (p *outputParameters) names(local string) *map[name]bool {
	switch local {
	case "cdata-section-elements":
		return &p.cdata
	case "suppress-indentation":
		return &p.unindented
	}
	return nil
}

// text are the parameters that are any text.
func (p *outputParameters) text(local string) *string {
	switch local {
	case "version":
		return &p.version
	case "html-version":
		return &p.htmlVersion
	case "encoding":
		return &p.encoding
	case "media-type":
		return &p.mediaType
	case "doctype-public":
		return &p.public
	case "doctype-system":
		return &p.system
	case "normalization-form":
		return &p.form
	case "method":
		return &p.method
	case "json-node-output-method":
		return &p.nodeMethod
	}
	return nil
}

// serializationParameters are those that "declare option output:..." can set.
var serializationParameters = map[string]bool{
	"allow-duplicate-names": true, "byte-order-mark": true, "cdata-section-elements": true, "doctype-public": true,
	"doctype-system": true, "encoding": true, "escape-uri-attributes": true, "html-version": true,
	"include-content-type": true, "indent": true, "item-separator": true, "json-node-output-method": true,
	"media-type": true, "method": true, "normalization-form": true, "omit-xml-declaration": true, "standalone": true,
	"suppress-indentation": true, "undeclare-prefixes": true, "version": true,
	"parameter-document": true,
}

func badParameter(local, value string) error {
	return xpathError("SEPM0016", "the serialization parameter %q cannot be %q", local, value)
}

// set sets a parameter by its value as a text.
func (p *outputParameters) set(local, value string) error {
	if local == "item-separator" {
		p.separator = &value
		return nil
	}
	trimmed := strings.Trim(value, " \t\r\n")
	if b := p.boolean(local); b != nil {
		yes, ok := yesNo(trimmed)
		if !ok {
			return badParameter(local, value)
		}
		*b = yes
		return nil
	}
	if list := p.names(local); list != nil {
		*list = make(map[name]bool)
		for _, text := range strings.Fields(value) {
			n, ok := bracedName(text)
			if !ok {
				return badParameter(local, value)
			}
			(*list)[n] = true
		}
		return nil
	}
	switch local {
	case "standalone":
		return p.setStandalone(trimmed)
	case "use-character-maps":
		return p.setCharacters(value)
	}
	target := p.text(local)
	if target == nil {
		return badParameter(local, value)
	}
	if !validText(local, trimmed) {
		return badParameter(local, value)
	}
	if rest, ok := strings.CutPrefix(trimmed, "Q{}"); ok && strings.HasSuffix(local, "method") {
		trimmed = rest
	}
	*target = trimmed
	return nil
}

var (
	encodingText = regexp.MustCompile(`^[\x21-\x7E]+$`)
	publicText   = regexp.MustCompile(`^[- \r\na-zA-Z0-9'()+,./:=?;!*#@$_%]*$`)
	decimalText  = regexp.MustCompile(`^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)$`)
)

// validText checks the value of a parameter that is a text.
func validText(local, value string) bool {
	switch local {
	case "method":
		return isMethod(value, "xml", "html", "xhtml", "text", "json", "adaptive")
	case "json-node-output-method":
		return isMethod(value, "xml", "html", "xhtml", "text")
	case "encoding":
		return encodingText.MatchString(value)
	case "doctype-public":
		return publicText.MatchString(value)
	case "doctype-system":
		return !strings.Contains(value, "'") || !strings.Contains(value, `"`)
	case "html-version":
		return decimalText.MatchString(value)
	}
	return true
}

func isMethod(value string, known ...string) bool {
	return slices.Contains(known, strings.TrimPrefix(value, "Q{}"))
}

func yesNo(value string) (yes, ok bool) {
	switch value {
	case "yes", "true", "1":
		return true, true
	case "no", "false", "0":
		return false, true
	}
	return false, false
}

func (p *outputParameters) setStandalone(value string) error {
	yes, ok := yesNo(value)
	switch {
	case value == "omit":
		p.standalone = ""
	case !ok:
		return badParameter("standalone", value)
	case yes:
		p.standalone = "yes"
	default:
		p.standalone = "no"
	}
	return nil
}

// setCharacters sets the character map from its text in Serialize's terms.
func (p *outputParameters) setCharacters(value string) error {
	var texts map[string]string
	if err := json.Unmarshal([]byte(value), &texts); err != nil {
		return badParameter("use-character-maps", value)
	}
	p.characters = make(map[rune]string, len(texts))
	for key, replacement := range texts {
		r, ok := oneCharacter(key)
		if !ok {
			return badParameter("use-character-maps", key)
		}
		p.characters[r] = replacement
	}
	return nil
}

func oneCharacter(text string) (rune, bool) {
	r, size := utf8.DecodeRuneInString(text)
	return r, size > 0 && size == len(text) && r != utf8.RuneError
}

// bracedName reads a name that is written as "Q{uri}local", or as a local name.
func bracedName(text string) (name, bool) {
	n := name{local: text}
	if rest, braced := strings.CutPrefix(text, "Q{"); braced {
		uri, local, found := strings.Cut(rest, "}")
		if !found {
			return n, false
		}
		n = name{uri: uri, local: local}
	}
	return n, n.local != "" && nameLength(n.local) == len(n.local)
}

// check looks at the parameters together.
func (p *outputParameters) check() error {
	if p.method == "xml" || p.method == "xhtml" {
		if err := p.checkXML(); err != nil {
			return err
		}
	}
	if _, known := characterEncoding(p.encoding); !known {
		return xpathError("SESU0007", "the encoding %q is not supported", p.encoding)
	}
	if p.form == "" || p.form == "none" || p.method == "adaptive" {
		return nil
	}
	if _, known := normalizationForms[p.form]; !known {
		return xpathError("SESU0011", "the normalization form %q is not supported", p.form)
	}
	return nil
}

func (p *outputParameters) checkXML() error {
	version := p.xmlVersion()
	switch {
	case version != "1.0" && version != "1.1":
		return xpathError("SESU0013", "the version %q of XML is not supported", version)
	case p.omit && p.standalone != "":
		return xpathError("SEPM0009", "standalone needs the XML declaration that is to be omitted")
	case p.omit && version != "1.0" && p.system != "":
		return xpathError("SEPM0009", "a document type of XML %s needs the declaration that is to be omitted", version)
	case p.undeclare && version == "1.0":
		return xpathError("SEPM0010", "prefixes cannot be undeclared in XML 1.0")
	}
	return nil
}

func (p *outputParameters) xmlVersion() string {
	if p.version == "" {
		return "1.0"
	}
	return p.version
}

// read reads the second argument of fn:serialize: a map, or an element output:serialization-parameters.
func (p *outputParameters) read(s xpath3.Sequence) error {
	if s.Len() != 1 {
		return typeError("the serialization parameters must be one map or element")
	}
	switch item := s.Get(0).(type) {
	case xpath3.MapItem:
		return p.readMap(item)
	case xpath3.NodeItem:
		if e, ok := item.Node.(*helium.Element); ok && e.URI() == namespaceOutput && e.LocalName() == "serialization-parameters" {
			return p.readElement(e)
		}
	}
	return typeError("the serialization parameters must be a map or an element output:serialization-parameters")
}

// readMap reads the parameters of a map by the option parameter conventions (XPath Functions 3.1, section 1.5): others
// than the known are ignored.
func (p *outputParameters) readMap(m xpath3.MapItem) error {
	return m.ForEach(func(key xpath3.AtomicValue, value xpath3.Sequence) error {
		if !xpath3.BuiltinIsSubtypeOf(key.TypeName, xpath3.TypeString) || value == nil || value.Len() == 0 {
			return nil
		}
		local := key.StringVal()
		if local == "use-character-maps" {
			return p.mapCharacters(value)
		}
		if !serializationParameters[local] || local == "parameter-document" {
			return nil
		}
		atoms, err := xpath3.AtomizeSequence(value)
		if err != nil || len(atoms) == 0 {
			return err
		}
		if list := p.names(local); list != nil {
			return setNames(list, local, atoms)
		}
		if len(atoms) != 1 {
			return typeError("the serialization parameter %q must be one item", local)
		}
		text, err := p.option(local, atoms[0])
		if err != nil {
			return err
		}
		return p.set(local, text)
	})
}

func setNames(list *map[name]bool, local string, atoms []xpath3.AtomicValue) error {
	*list = make(map[name]bool)
	for _, a := range atoms {
		q, ok := a.Value.(xpath3.QNameValue)
		if !ok {
			return typeError("the serialization parameter %q must be names (xs:QName)", local)
		}
		(*list)[name{uri: q.URI, local: q.Local}] = true
	}
	return nil
}

// option converts the value of an entry to the type that the parameter has, and gives its text.
func (p *outputParameters) option(local string, a xpath3.AtomicValue) (string, error) {
	untyped := a.TypeName == xpath3.TypeUntypedAtomic
	var right bool
	switch {
	case p.boolean(local) != nil || local == "standalone":
		if untyped {
			cast, err := xpath3.CastAtomic(a, xpath3.TypeBoolean)
			if err != nil {
				return "", err
			}
			a = cast
		}
		right = a.TypeName == xpath3.TypeBoolean
	case local == "html-version":
		right = untyped || xpath3.BuiltinIsSubtypeOf(a.TypeName, xpath3.TypeDecimal)
	default:
		if q, ok := a.Value.(xpath3.QNameValue); ok && strings.HasSuffix(local, "method") {
			if q.URI == "" {
				return "", badParameter(local, q.Local)
			}
			return "Q{" + q.URI + "}" + q.Local, nil
		}
		right = untyped || a.TypeName == xpath3.TypeAnyURI || xpath3.BuiltinIsSubtypeOf(a.TypeName, xpath3.TypeString)
	}
	if !right {
		return "", typeError("the serialization parameter %q cannot be an %s", local, a.TypeName)
	}
	return xpath3.AtomicToString(a)
}

// mapCharacters reads a character map that is a map of strings.
func (p *outputParameters) mapCharacters(value xpath3.Sequence) error {
	m, ok := value.Get(0).(xpath3.MapItem)
	if !ok || value.Len() != 1 {
		return typeError("a character map must be a map")
	}
	p.characters = make(map[rune]string, m.Size())
	return m.ForEach(func(key xpath3.AtomicValue, replacement xpath3.Sequence) error {
		if !xpath3.BuiltinIsSubtypeOf(key.TypeName, xpath3.TypeString) || replacement == nil || replacement.Len() != 1 {
			return typeError("a character map must be a map of strings")
		}
		a, ok := replacement.Get(0).(xpath3.AtomicValue)
		if !ok || !xpath3.BuiltinIsSubtypeOf(a.TypeName, xpath3.TypeString) {
			return typeError("a character map must be a map of strings")
		}
		r, ok := oneCharacter(key.StringVal())
		if !ok {
			return badParameter("use-character-maps", key.StringVal())
		}
		p.characters[r] = a.StringVal()
		return nil
	})
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
