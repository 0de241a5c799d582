package xquery

import (
	"errors"
	"strings"
	"testing"

	"github.com/lestrrat-go/helium"
)

func TestParseDocument(t *testing.T) {
	for _, test := range []struct {
		name, xml string
		limits    ParseLimits
		code      string
		line      int
	}{
		{name: "fine", xml: `<a><b/></a>`},
		{name: "declaration", xml: "<?xml version='1.0'?>\n<!-- c --><a/>"},
		{name: "mark", xml: "\xEF\xBB\xBF<a/>"},
		{name: "doctype in text", xml: `<a><![CDATA[<!DOCTYPE a>]]></a>`},
		{name: "empty", xml: ``, code: "FODC0006"},
		{name: "text", xml: `hello`, code: "FODC0006"},
		{name: "unclosed", xml: "<a>\n<b></a>", code: "FODC0006", line: 2},
		{name: "doctype", xml: "<!-- -->\n<!DOCTYPE a><a/>", code: "FODC0006", line: 2},
		{name: "entities", xml: `<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>`, code: "FODC0006", line: 1},
		{name: "doctype in UTF-16", xml: inUTF16(`<!DOCTYPE a><a/>`), code: "FODC0006"},
		{name: "entity", xml: `<a>&x;</a>`, code: "FODC0006", line: 1},
		{name: "prefix", xml: `<p:a/>`, code: "FODC0006", line: 1},
		{name: "size", xml: `<a>long</a>`, limits: ParseLimits{Size: 10}, code: "XPDY0130"},
		{name: "depth", xml: strings.Repeat("<a>", 101) + strings.Repeat("</a>", 101), code: "FODC0006"},
		{name: "depth given", xml: `<a><b/></a>`, limits: ParseLimits{Depth: 1}, code: "FODC0006"},
		{name: "deep enough", xml: strings.Repeat("<a>", 99) + strings.Repeat("</a>", 99)},
	} {
		t.Run(test.name, func(t *testing.T) {
			doc, err := ParseDocument([]byte(test.xml), test.limits)
			if test.code == "" {
				if err != nil || doc.Element() == nil || doc.Root().Type() != helium.DocumentNode {
					t.Errorf("got %v, %v", doc, err)
				}
				return
			}
			var e *Error
			if !errors.As(err, &e) || e.Code != test.code || test.line > 0 && e.Line != test.line {
				t.Errorf("got %v", err)
			}
		})
	}
}

func inUTF16(s string) string {
	b := []byte{0xFE, 0xFF}
	for i := range len(s) {
		b = append(b, 0, s[i])
	}
	return string(b)
}

func TestBuilder(t *testing.T) {
	b := NewBuilder("entry")
	b.Attribute("dn", "cn=<&\">")
	b.Element("cn", "Ada & Co <x>")
	b.Element("empty", "")
	b.Open("phones")
	b.Open("row")
	b.Element("number", "1")
	b.Close()
	b.Open("row")
	b.Element("number", "2")
	doc := b.Document()
	for query, want := range map[string]string{
		`cn, empty, phones/row/number, @dn`: `Ada & Co <x>||1|2|cn=<&">`,
		`/entry/cn`:                         `Ada & Co <x>`,
		`count(//row), count(//number/ancestor::*), count(//text())`: `2|4|3`,
		`phones/row[2]/preceding-sibling::row/number`:                `1`,
		`(phones//number, cn)/local-name()`:                          `number|number|cn`,
		`serialize(phones)`:                                          `<phones><row><number>1</number></row><row><number>2</number></row></phones>`,
		`name(root()/*), base-uri()`:                                 `entry`,
	} {
		q, err := Compile(query, Options{})
		if err != nil {
			t.Fatal(err)
		}
		s, err := q.Evaluate(t.Context(), Input{Context: doc.Element()})
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		if texts, err := s.Strings(); err != nil || strings.Join(texts, "|") != want {
			t.Errorf("%s\n got %v (%v)\nwant %s", query, strings.Join(texts, "|"), err, want)
		}
	}
	doc.Free()
	doc.Free()
	if doc.Root() != nil || doc.Element() != nil {
		t.Error("a freed document has nodes")
	}
}

func TestNoDocument(t *testing.T) {
	var doc *Document
	doc.Free()
	if doc.Root() != nil || doc.Element() != nil || Of(doc).Len() != 0 {
		t.Error("no document has nodes")
	}
}
