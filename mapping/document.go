package mapping

import (
	"math"
	"strings"
	"time"

	"clacks/backends"
	"clacks/definitions"
	"clacks/xquery"
)

// entryDocuments are the documents of an object's entries, each built when a query needs it:
//
//	<entry><cn>...</cn><jpegPhoto option="binary">...</jpegPhoto><phones><row><number>...</number></row></phones></entry>
//
// Their values are typed, as the backend's schema tells.
type entryDocuments struct {
	shape   *Shape
	entries Entries
	built   map[string]*xquery.Document
}

// of returns the document of a source; an empty entry for "" and for a row that does not exist.
func (d *entryDocuments) of(source string) *xquery.Document {
	if document := d.built[source]; document != nil {
		return document
	}
	document := entryDocument(d.entries[source], d.shape.entryDocs[source])
	d.built[source] = document
	return document
}

// input is what an inbound query works on.
func (d *entryDocuments) input(read *queryRead) xquery.Input {
	context := d.of(read.source)
	input := xquery.Input{Context: context.Element(), Typed: []*xquery.Document{context}}
	if len(read.variables) == 0 {
		return input
	}
	input.Variables = make(map[string]xquery.Sequence, len(read.variables))
	for name, source := range read.variables {
		// A row that does not exist is nothing here, so that a query can tell.
		input.Variables[name] = xquery.Of()
		if d.entries[source] == nil {
			continue
		}
		document := d.of(source)
		input.Variables[name] = xquery.Of(document.Element())
		if document != context {
			input.Typed = append(input.Typed, document)
		}
	}
	return input
}

func (d *entryDocuments) free() {
	for _, document := range d.built {
		document.Free()
	}
}

// entryDocument builds the document of an entry with the wanted attributes ("*" for all), in the order of their names.
func entryDocument(entry *backends.Entry, wanted map[string]bool) *xquery.Document {
	b := xquery.NewBuilder("entry")
	if entry != nil {
		for _, name := range sortedKeys(entry.Values) {
			base, option, _ := strings.Cut(name, ";")
			if !wanted["*"] && !wanted[name] && !wanted[base] {
				continue
			}
			for _, v := range entry.Values[name] {
				addEntryValue(b, base, option, v)
			}
		}
	}
	return b.Document()
}

// addEntryValue adds one value; a child table's "table/column" as a row of its own.
func addEntryValue(b *xquery.Builder, name, option string, v backends.Value) {
	table, column, child := strings.Cut(name, "/")
	if child && isElementName(table) && isElementName(column) {
		b.Open(table)
		b.Open("row")
		b.Typed(column, typeOf(v), storedText(v))
		b.Close()
		b.Close()
		return
	}
	if child || !isElementName(name) {
		return
	}
	b.Open(name)
	if option != "" {
		b.Attribute("option", option)
	}
	b.Type(typeOf(v))
	b.Text(storedText(v))
	b.Close()
}

// typeOf is the XML Schema type of a backend's value.
func typeOf(v backends.Value) xquery.Type {
	switch v.(type) {
	case int64:
		return xquery.Integer
	case bool:
		return xquery.Boolean
	case float64:
		return xquery.Double
	case time.Time:
		return xquery.DateTime
	case []byte:
		return xquery.Base64Binary
	default:
		return xquery.String
	}
}

// storedText is a backend's value in the lexical form of XML Schema.
func storedText(v backends.Value) string {
	if x, ok := v.(float64); ok && math.IsInf(x, 0) {
		if x < 0 {
			return "-INF"
		}
		return "INF"
	}
	return xmlText(text(definitions.Timestamp, v))
}

// isElementName reports whether a name can be that of an element without a prefix. Names of backends that cannot
// (numeric OIDs, columns with odd characters) are out of the reach of queries.
func isElementName(name string) bool {
	for i, r := range name {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_'
		inner := r >= '0' && r <= '9' || r == '-' || r == '.'
		if !letter && (i == 0 || !inner) {
			return false
		}
	}
	return name != ""
}

// xmlText replaces what XML cannot hold.
func xmlText(s string) string {
	return strings.Map(func(r rune) rune {
		if xmlChar(r) {
			return r
		}
		return '\uFFFD'
	}, s)
}

// objectDocument builds the document of an object: an element named as its type with a child a value. Only what the
// shape's queries read is in it; secrets as secret says. Its values are untyped.
func (s *Shape) objectDocument(values Values, secret func(*Attribute) bool) *xquery.Document {
	all := s.objectDoc["*"]
	return s.document(values, func(a *Attribute) bool {
		return (all || s.objectDoc[a.Name]) && (!a.Secret || secret(a))
	})
}

// fullDocument is the document of an object with all its values but the secret ones.
func (s *Shape) fullDocument(values Values) *xquery.Document {
	return s.document(values, func(a *Attribute) bool { return !a.Secret })
}

func (s *Shape) document(values Values, wanted func(*Attribute) bool) *xquery.Document {
	b := xquery.NewBuilder(s.plan.typ.Name)
	for _, a := range s.attrs {
		if !wanted(a) {
			continue
		}
		for _, v := range values[a.Name] {
			b.Element(a.Name, xmlText(a.Text(v)))
		}
	}
	return b.Document()
}
