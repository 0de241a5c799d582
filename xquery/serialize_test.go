package xquery

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// written is what a query's result is as text, or the code of the error.
func written(t *testing.T, source string, options Options) string {
	t.Helper()
	if options.Namespaces == nil {
		options.Namespaces = map[string]string{"output": namespaceOutput, "h": namespaceXHTML, "s": namespaceSVG, "p": "urn:p"}
	}
	var e *Error
	q, err := Compile(source, options)
	if errors.As(err, &e) {
		return e.Code
	}
	return outcome(t, q)
}

// outcome is what the result of a query is as text, or the code of the error.
func outcome(t *testing.T, q *Query) string {
	t.Helper()
	var e *Error
	// The time is for a busy machine under the race detector.
	s, err := q.Evaluate(context.Background(), Input{Limits: Limits{Time: time.Minute}})
	if errors.As(err, &e) {
		return e.Code
	}
	var b strings.Builder
	if err := Serialize(&b, s, q.Output()); errors.As(err, &e) {
		return e.Code
	} else if err != nil {
		t.Error(err)
	}
	return b.String()
}

// option is a prolog that sets parameters: names and values in turns.
func option(parameters ...string) string {
	var b strings.Builder
	for i := 0; i < len(parameters); i += 2 {
		b.WriteString(`declare option output:` + parameters[i] + ` "` + parameters[i+1] + `"; `)
	}
	return b.String()
}

// TestSerialize writes sequences by the methods of Serialization 3.1.
func TestSerialize(t *testing.T) {
	html, xhtml, json := option("method", "html"), option("method", "xhtml"), option("method", "json")
	html4 := option("method", "html", "version", "4.0", "include-content-type", "no")
	adaptive := option("method", "adaptive")
	for _, c := range []struct{ query, want string }{
		{`<a/>`, `<a/>`},
		{`document { <a/>, <b/> }, 1, 2`, `<a/><b/>1 2`},
		{`[1, [2, "x"]], 3`, `1 2 x 3`},
		{`<a b="&quot;&amp;&lt;&#xA;&#x9;">&amp;&lt;&gt;&#xD;&#x85;"</a>`,
			`<a b="&quot;&amp;&lt;&#xA;&#x9;">&amp;&lt;&gt;&#xD;&#x85;"</a>`},
		{`<p:a><p:b xmlns="urn:q"/></p:a>/p:b`, `<p:b xmlns:p="urn:p" xmlns="urn:q"/>`},
		{`<a xmlns="urn:q">{<b xmlns=""/>}</a>`, `<a xmlns="urn:q"><b xmlns=""/></a>`},
		{`<!--c-->, <?p d?>, <?p?>`, `<!--c--><?p d?><?p?>`},
		{option("omit-xml-declaration", "no") + `<a/>`, `<?xml version="1.0" encoding="UTF-8"?><a/>`},
		{option("standalone", "yes") + `<a/>`, `<?xml version="1.0" encoding="UTF-8" standalone="yes"?><a/>`},
		{option("standalone", "yes") + `<a/>, <b/>`, `SEPM0004`},
		{option("standalone", "yes", "omit-xml-declaration", "yes") + `<a/>`, `SEPM0009`},
		{option("undeclare-prefixes", "yes") + `<a/>`, `SEPM0010`},
		{option("version", "1.2") + `<a/>`, `SESU0013`},
		{option("encoding", "KLINGON") + `<a/>`, `SESU0007`},
		{option("encoding", "a b") + `<a/>`, `SEPM0016`},
		{option("normalization-form", "NFC") + `<a>e&#x301;</a>`, "<a>\u00e9</a>"},
		{option("normalization-form", "fully-normalized") + `<a/>`, `SESU0011`},
		{option("encoding", "US-ASCII") + `<a b="ä">€</a>`, `<a b="&#xE4;">&#x20AC;</a>`},
		{option("encoding", "ISO-8859-1") + `<a>ä€</a>`, "<a>\xe4&#x20AC;</a>"},
		{option("byte-order-mark", "yes") + `<a/>`, "\uFEFF<a/>"},
		{option("doctype-system", "a.dtd", "doctype-public", "p") + `<a/>`, `<!DOCTYPE a PUBLIC "p" "a.dtd"><a/>`},
		{option("doctype-public", "p") + `<a/>`, `<a/>`},
		{option("indent", "yes") + `<a><b><c/></b>{"x"}<d>t<e/></d></a>`, `<a><b><c/></b>x<d>t<e/></d></a>`},
		{option("indent", "yes") + `<a><b><c/></b><d>t<e/></d></a>, <f/>`,
			"<a>\n  <b>\n    <c/>\n  </b>\n  <d>t<e/></d>\n</a>\n<f/>"},
		{option("indent", "yes", "suppress-indentation", "b") + `<a><b><c/></b></a>`, "<a>\n  <b><c/></b>\n</a>"},
		{option("cdata-section-elements", "a p:a") + `<a>{"]]]>"}<b>&lt;</b><p:a>&lt;</p:a></a>`,
			`<a><![CDATA[]]]]]><![CDATA[>]]><b>&lt;</b><p:a xmlns:p="urn:p"><![CDATA[<]]></p:a></a>`},
		{option("item-separator", "|") + `1, <a/>, 2`, `1|<a/>|2`},
		{`attribute a { 1 }`, `SENR0001`},
		{`map {}`, `SENR0001`},

		{option("method", "text") + `<a>x<b>y</b><!--z--></a>, 1, 2, "&lt;"`, `xy1 2 <`},
		{option("method", "text", "encoding", "US-ASCII") + `"ä"`, `SERE0008`},

		{html + `<p>a<br/></p>`, `<p>a<br></p>`},
		{html + `<html><head/><body/></html>`,
			`<!DOCTYPE html><html><head><meta http-equiv="Content-Type" content="text/html; charset=UTF-8"></head><body></body></html>`},
		{html4 + `<html><head/><body/></html>`, `<html><head></head><body></body></html>`},
		{html + `<script>if (a &lt; b) <b c="&amp;"/></script>`, `<script>if (a < b) <b c="&"></b></script>`},
		{html + `<option selected="selected" value="&amp;{{x}} &lt;">&#xA0;</option>`, `<option selected value="&{x} <">&nbsp;</option>`},
		{html + `<a href="/ä b">x</a>`, `<a href="/%C3%A4 b">x</a>`},
		{html + `<p>{processing-instruction p { "d" }}</p>`, `<p><?p d></p>`},
		{html + `<p>{processing-instruction p { ">" }}</p>`, `SERE0015`},
		{html + `<p>&#x80;</p>`, `SERE0014`},
		{html + `<s:svg><s:g/></s:svg>`, `<svg xmlns="http://www.w3.org/2000/svg"><g/></svg>`},
		{html4 + `<h:p><h:br/></h:p>`, `<h:p xmlns:h="http://www.w3.org/1999/xhtml"><h:br/></h:p>`},
		{html + option("indent", "yes") + `<div><p>a <b>b</b></p><p>c</p></div>`, "<div>\n  <p>a <b>b</b></p>\n  <p>c</p>\n</div>"},
		{xhtml + `<h:p><h:br/><h:i/></h:p>`, `<p xmlns="http://www.w3.org/1999/xhtml"><br /><i></i></p>`},

		{json + `map { "a": [1, "b", true()] }`, `{"a":[1,"b",true]}`},
		{json + `"a/b""\&#xA;&#x80;", ""`, `SERE0023`},
		{json + `"a/b""\&#xA;&#x80;"`, `"a\/b\"\\\n\u0080"`},
		{json + option("encoding", "US-ASCII") + `"ä&#x1D11E;"`, `"\u00E4\uD834\uDD1E"`},
		{json + option("indent", "yes") + `map { "a": [1, ()], "b": map {} }`, "{\n  \"a\": [\n    1,\n    null\n  ],\n  \"b\": {}\n}"},
		{json + option("json-node-output-method", "text") + `<a>x</a>`, `"x"`},
		{json + `<a b="/"/>`, `"<a b=\"\/\"\/>"`},
		{json + `xs:double("NaN")`, `SERE0020`},
		{json + `abs#1`, `SERE0021`},
		{json + `map { 1: 1, "1": 2 }`, `SERE0022`},

		{adaptive + `1, "a""", <a/>`, "1\n\"a\"\"\"\n<a/>"},
		{adaptive + `map { "a": (1, 2) }, [(), 3], true(), abs#1, function($x) { 1 }`,
			"map{\"a\":(1,2)}\n[(),3]\ntrue()\nfn:abs#1\n(anonymous-function)#1"},
		{adaptive + `1e0, -12.5e-7, xs:float(1), 1.5, xs:date("2020-01-01"), xs:dayTimeDuration("P1D")`,
			"1.0e0\n-1.25e-6\nxs:float(\"1\")\n1.5\nxs:date(\"2020-01-01\")\nxs:duration(\"P1D\")"},
		{adaptive + `attribute a { "<" }, QName("urn:p", "p:x")`, "a=\"&lt;\"\nQ{urn:p}x"},
	} {
		if got := written(t, c.query, Options{}); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.query, got, c.want)
		}
	}
}

// TestParameterDocument reads parameters from a document; those of the prolog go first.
func TestParameterDocument(t *testing.T) {
	documents := map[string]string{
		"http://x/a.xml": `<o:serialization-parameters xmlns:o="` + namespaceOutput + `" xmlns:q="urn:p">
			<o:cdata-section-elements value="q:a b"/><o:method value="json"/>
			<o:use-character-maps><o:character-map character="$" map-string="&lt;£>"/></o:use-character-maps>
			</o:serialization-parameters>`,
		"http://x/bad.xml":   `<o:serialization-parameters xmlns:o="` + namespaceOutput + `"><o:indent value="maybe"/></o:serialization-parameters>`,
		"http://x/other.xml": `<a/>`,
		"http://x/no.xml":    `<a`,
	}
	options := Options{
		Namespaces: map[string]string{"output": namespaceOutput, "p": "urn:p"}, BaseURI: "http://x/",
		Parameters: func(uri string) ([]byte, error) {
			text, ok := documents[uri]
			if !ok {
				return nil, errors.New("no such document")
			}
			return []byte(text), nil
		},
	}
	for document, want := range map[string]string{
		"a.xml":       `<p:a xmlns:p="urn:p"><![CDATA[$]]><c><£></c></p:a>`,
		"bad.xml":     "SEPM0017",
		"other.xml":   "SEPM0017",
		"no.xml":      "XQST0119",
		"nowhere.xml": "XQST0119",
	} {
		source := option("parameter-document", document, "method", "xml") + `<p:a>$<c>$</c></p:a>`
		if got := written(t, source, options); got != want {
			t.Errorf("%s:\n got %s\nwant %s", document, got, want)
		}
	}
	options.Parameters = nil
	if got := written(t, option("parameter-document", "a.xml")+`1`, options); got != "XQST0119" {
		t.Errorf("without a resolver: %s", got)
	}
}

// brokenWriter fails after some bytes.
type brokenWriter struct{ left int }

var errBroken = errors.New("broken")

func (w *brokenWriter) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, errBroken
	}
	return len(p), nil
}

// TestSerializeToBrokenWriter: the error of a writer arrives, and ends the writing.
func TestSerializeToBrokenWriter(t *testing.T) {
	query, err := Compile(`<a>{for $i in 1 to 10000 return <b>{$i}</b>}</a>`, Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := query.Evaluate(context.Background(), Input{})
	if err != nil {
		t.Fatal(err)
	}
	for _, encoding := range []string{"UTF-8", "ISO-8859-1"} {
		if err := Serialize(&brokenWriter{left: 5000}, s, map[string]string{"encoding": encoding}); !errors.Is(err, errBroken) {
			t.Errorf("%s: %v", encoding, err)
		}
	}
}

// TestDecimalFormats: formats of the options and of prologs, each module with its own.
func TestDecimalFormats(t *testing.T) {
	options := Options{
		Namespaces: map[string]string{"p": "urn:p"},
		DecimalFormats: map[string]map[string]string{
			"": {"decimal-separator": ",", "grouping-separator": "."}, "Q{urn:p}swiss": {"grouping-separator": "'"},
		},
		Modules: func(string, []string) ([]Module, error) {
			return []Module{{Source: `module namespace m = "m"; declare decimal-format f decimal-separator = "!";
				declare function m:f() { format-number(1.5, "0!0", "f") };`}}, nil
		},
	}
	for source, want := range map[string]string{
		`format-number(1234.5, "#.##0,00")`:                                                "1.234,50",
		`format-number(1234.5, "#'##0.00", "p:swiss")`:                                     "1'234.50",
		`<a xmlns:q="urn:p">{format-number(1234.5, "#'##0.00", " q:swiss ")}</a>/string()`: "1'234.50",
		`format-number(1, "0", "none")`:                                                    "FODF1280",
		`import module namespace m = "m"; declare decimal-format f decimal-separator = "?"; m:f() || format-number(2.5, "0?0", "f")`: "1!52?5",
		`declare default decimal-format NaN = "-"; format-number((), "0")`:                                                           "-",
		`declare decimal-format f zero-digit = "1"; 1`:                                                                               "XQST0097",
		`declare decimal-format f decimal-separator = "5"; 1`:                                                                        "XQST0098",
	} {
		if got := written(t, source, options); got != want {
			t.Errorf("%s: got %s, want %s", source, got, want)
		}
	}
	options.DecimalFormats = map[string]map[string]string{"": {"digit": "##"}}
	if _, err := Compile("1", options); err == nil {
		t.Error("a wrong property of the options is accepted")
	}
}
