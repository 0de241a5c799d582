package xquery

import (
	"strings"
)

// serializationParameters are those of Serialization 3.1 that "declare option output:..." can set.
var serializationParameters = map[string]bool{
	"allow-duplicate-names": true, "byte-order-mark": true, "cdata-section-elements": true, "doctype-public": true,
	"doctype-system": true, "encoding": true, "escape-uri-attributes": true, "html-version": true,
	"include-content-type": true, "indent": true, "item-separator": true, "json-node-output-method": true,
	"media-type": true, "method": true, "normalization-form": true, "omit-xml-declaration": true, "standalone": true,
	"suppress-indentation": true, "undeclare-prefixes": true, "use-character-maps": true, "version": true,
	"parameter-document": true,
}

// checkParameter checks a value, and resolves the names in it.
func checkParameter(local, value string, p *parser) (string, bool) {
	switch local {
	case "allow-duplicate-names", "byte-order-mark", "escape-uri-attributes", "include-content-type", "indent",
		"omit-xml-declaration", "undeclare-prefixes":
		return value, isYesNo(value)
	case "standalone":
		return value, isYesNo(value) || value == "omit"
	case "method", "json-node-output-method":
		switch value {
		case "xml", "html", "xhtml", "text", "json", "adaptive":
			return value, true
		}
		return value, false
	case "cdata-section-elements", "suppress-indentation":
		return p.parameterNames(value)
	}
	return value, true
}

func isYesNo(value string) bool {
	switch value {
	case "yes", "no", "true", "false", "1", "0":
		return true
	}
	return false
}

// parameterNames expands a list of names.
func (p *parser) parameterNames(value string) (string, bool) {
	var all []string
	for _, text := range strings.Fields(value) {
		l := lexer{text: text}
		t := l.next()
		if l.pos != len(text) || t.kind != tokenName && t.kind != tokenQName && t.kind != tokenURIName {
			return value, false
		}
		n := p.resolve(t, p.elements)
		all = append(all, "Q{"+n.uri+"}"+n.local)
	}
	return strings.Join(all, " "), true
}
