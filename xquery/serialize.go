package xquery

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/big"
	"strconv"
	"strings"

	"github.com/lestrrat-go/helium"
	"github.com/lestrrat-go/helium/xpath3"
)

// serializationParameters are those of Serialization 3.1 that "declare option output:..." can set.
var serializationParameters = map[string]bool{
	"allow-duplicate-names": true, "byte-order-mark": true, "cdata-section-elements": true, "doctype-public": true,
	"doctype-system": true, "encoding": true, "escape-uri-attributes": true, "html-version": true,
	"include-content-type": true, "indent": true, "item-separator": true, "json-node-output-method": true,
	"media-type": true, "method": true, "normalization-form": true, "omit-xml-declaration": true, "standalone": true,
	"suppress-indentation": true, "undeclare-prefixes": true, "version": true,
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

// Output are the serialization parameters that the query's prolog sets ("declare option output:method ..."), by their
// local names.
func (q *Query) Output() map[string]string { return maps.Clone(q.module.output) }

// Serialize writes a sequence (XSLT and XQuery Serialization 3.1). The parameters are those of "declare option
// output:...", with the same names and values; Query.Output are those of a query. Without "method", nodes are written as
// XML. Names in "cdata-section-elements" and "suppress-indentation" are of the form "Q{uri}local". Its error is an *Error
// with the W3C code, or that of w.
func Serialize(w io.Writer, s Sequence, parameters map[string]string) error {
	entries := make([]xpath3.MapEntry, 0, len(parameters)+2)
	for name, value := range withDefaultParameters(parameters) {
		v, ok := parameterValue(name, value)
		if !ok {
			return &Error{Code: "SEPM0016", Message: fmt.Sprintf("the serialization parameter %q cannot be %q", name, value)}
		}
		key := xpath3.AtomicValue{TypeName: xpath3.TypeString, Value: name}
		entries = append(entries, xpath3.MapEntry{Key: key, Value: v})
	}
	items := inner(s)
	if items == nil {
		items = xpath3.ItemSlice{}
	}
	if _, separated := parameters["item-separator"]; !separated {
		items = withoutDocuments(items)
	}
	options := xpath3.ItemSlice{xpath3.NewMap(entries)}
	result, err := serializeFunction.Invoke(context.Background(), []xpath3.Sequence{items, options})
	if err != nil {
		code, message := classify(err)
		return &Error{Code: code, Message: message}
	}
	text, err := oneString(result)
	if err != nil {
		return err
	}
	if d := declaration10(parameters, text); d != "" {
		if _, err := io.WriteString(w, d); err != nil {
			return err
		}
	}
	_, err = io.WriteString(w, text)
	return err
}

// declaration10 is the XML declaration that helium leaves out when the first node is no document.
func declaration10(parameters map[string]string, text string) string {
	method, omit := parameters["method"], parameters["omit-xml-declaration"]
	if method != "" && method != "xml" && method != "xhtml" || omit != "no" && omit != "false" && omit != "0" ||
		strings.HasPrefix(text, "<?xml ") {
		return ""
	}
	d := `<?xml version="1.0" encoding="UTF-8"`
	switch parameters["standalone"] {
	case "yes", "true", "1":
		d += ` standalone="yes"`
	case "no", "false", "0":
		d += ` standalone="no"`
	}
	return d + "?>"
}

// withoutDocuments replaces documents of several nodes by these, as serialization begins (section 2, step 6). helium's
// writer would put each on a line of its own.
func withoutDocuments(s xpath3.Sequence) xpath3.Sequence {
	var all xpath3.ItemSlice
	for i := range s.Len() {
		item := s.Get(i)
		n, _ := item.(xpath3.NodeItem)
		d, ok := n.Node.(*helium.Document)
		if !ok || d.FirstChild() == nil || d.FirstChild().NextSibling() == nil || d.IntSubset() != nil {
			all = append(all, item)
			continue
		}
		for c := range helium.Children(d) {
			all = append(all, xpath3.NodeItem{Node: c})
		}
	}
	return all
}

// flattened is the guard of fn:serialize.
func flattened(_ *budget, args []xpath3.Sequence) error {
	if len(args) == 1 && args[0] != nil {
		args[0] = withoutDocuments(args[0])
	}
	return nil
}

var serializeFunction = builtin("serialize", 2)

func withDefaultParameters(parameters map[string]string) map[string]string {
	all := map[string]string{"method": "xml", "omit-xml-declaration": "yes"}
	maps.Copy(all, parameters)
	if _, set := all["item-separator"]; !set && all["method"] == "adaptive" {
		all["item-separator"] = "\n"
	}
	return all
}

// parameterValue is the value of a parameter as fn:serialize wants it.
func parameterValue(name, value string) (xpath3.Sequence, bool) {
	switch name {
	case "allow-duplicate-names", "byte-order-mark", "escape-uri-attributes", "include-content-type", "indent",
		"omit-xml-declaration", "undeclare-prefixes", "standalone":
		switch {
		case name == "standalone" && value == "omit":
			return nil, true
		case !isYesNo(value):
			return nil, false
		}
		return xpath3.SingleBoolean(value == "yes" || value == "true" || value == "1"), true
	case "html-version":
		n, err := strconv.ParseFloat(value, 64)
		return xpath3.ItemSlice{atom(new(big.Rat).SetFloat64(n))}, err == nil
	case "cdata-section-elements", "suppress-indentation":
		var names xpath3.ItemSlice
		for _, text := range strings.Fields(value) {
			uri, local, found := strings.Cut(strings.TrimPrefix(text, "Q{"), "}")
			if !found {
				uri, local = "", text
			}
			q := xpath3.QNameValue{URI: uri, Local: local}
			names = append(names, xpath3.AtomicValue{TypeName: xpath3.TypeQName, Value: q})
		}
		return names, true
	}
	return xpath3.SingleString(value), true
}
