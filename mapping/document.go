package mapping

import (
	"strings"

	"clacks/backends"
	"clacks/definitions"
	"clacks/xquery"
)

// entryDocuments are the documents of an object's entries, each built when a query needs it:
//
//	<entry><cn>...</cn><jpegPhoto option="binary">...</jpegPhoto><phones><row><number>...</number></row></phones></entry>
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
				addEntryValue(b, base, option, xmlText(storedText(v)))
			}
		}
	}
	return b.Document()
}

// addEntryValue adds one value; a child table's "table/column" as a row of its own.
func addEntryValue(b *xquery.Builder, name, option, text string) {
	table, column, child := strings.Cut(name, "/")
	switch {
	case child && isElementName(table) && isElementName(column):
		b.Open(table)
		b.Open("row")
		b.Element(column, text)
		b.Close()
		b.Close()
	case child || !isElementName(name):
	case option != "":
		addWithOption(b, name, option, text)
	default:
		b.Element(name, text)
	}
}

// addWithOption adds a value of an attribute with an option (";binary", ";lang-de"). A builder that cannot put text
// besides an XML attribute leaves the option away.
func addWithOption(b *xquery.Builder, name, option, text string) {
	writer, ok := any(b).(interface{ Text(text string) })
	if !ok {
		b.Element(name, text)
		return
	}
	b.Open(name)
	b.Attribute("option", option)
	writer.Text(text)
	b.Close()
}

// storedText is a backend's value in the lexical form of XML Schema.
func storedText(v backends.Value) string { return text(definitions.Timestamp, v) }

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
// shape's queries read is in it; secrets as secret says.
func (s *Shape) objectDocument(values Values, secret func(*Attribute) bool) *xquery.Document {
	b := xquery.NewBuilder(s.plan.typ.Name)
	all := s.objectDoc["*"]
	for _, a := range s.attrs {
		if !all && !s.objectDoc[a.Name] || a.Secret && !secret(a) {
			continue
		}
		for _, v := range values[a.Name] {
			b.Element(a.Name, xmlText(a.Text(v)))
		}
	}
	return b.Document()
}

// fullDocument is the document of an object with all its values but the secret ones.
func (s *Shape) fullDocument(values Values) *xquery.Document {
	b := xquery.NewBuilder(s.plan.typ.Name)
	for _, a := range s.attrs {
		if a.Secret {
			continue
		}
		for _, v := range values[a.Name] {
			b.Element(a.Name, xmlText(a.Text(v)))
		}
	}
	return b.Document()
}
