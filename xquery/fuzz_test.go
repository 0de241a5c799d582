package xquery

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

// addSeeds seeds a fuzz target with the queries of the tests.
func addSeeds(f *testing.F) {
	f.Helper()
	for _, file := range []string{"testdata/static_errors.txt", "testdata/dynamic_errors.txt"} {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for query := range strings.SplitSeq(string(text), "---\n") {
			f.Add(query)
		}
	}
	for _, query := range greedy {
		f.Add(query)
	}
	for _, q := range benchQueries {
		f.Add(q.query)
	}
	for _, q := range languageQueries {
		f.Add(q.query)
	}
	for _, query := range fuzzSeeds {
		f.Add(query)
	}
}

// fuzzSeeds have what the queries of the other tests lack, so that the fuzzer meets every construct.
var fuzzSeeds = []string{
	`xquery version "3.1"; declare namespace p = "urn:x"; declare variable $a as xs:string* external := "b"; $a`,
	`for $p at $i in //person let $n as xs:string := $p/name where $n order by $n descending empty greatest return ($i, $n)`,
	`every $x in (1, 2), $y as xs:integer in $x satisfies $y instance of xs:integer`,
	`try { xs:date("x") } catch err:FORG0001 | *:x | Q{urn:x}* { $err:code } catch * { $err:value }`,
	`map { "a": [1, (2, 3)] }?a ! (?2, ?*), array { 1 to 3 }(2)`,
	`function($a as element(a, xs:string?)*, $b as map(xs:string, array(*))) as function(item()) as xs:integer+ { $a }`,
	`//a[@b eq "c"][position() = last()]/ancestor-or-self::*:d/namespace-uri() => concat(?, "x")`,
	`(1 idiv 2, 3 mod 4, 5e0 * -6.7, "a" || 'b''c' || "&#x41;&amp;") (: (: :) :)`,
	`for tumbling window $w in (2, 4, 6, 8, 10) start $s at $p previous $q next $n when $s mod 4 = 2 end when $p > 3 return [$w]`,
	`for sliding window $w in 1 to 9 start at $s when true() only end at $e when $e - $s = 2 return sum($w)`,
	`for $x in (1, 2, 3) group by $k := $x mod 2 collation "http://www.w3.org/2005/xpath-functions/collation/codepoint" count $c return ($k, $c)`,
	`for $x allowing empty in () count $c stable order by $x ascending empty least return ($x, $c)`,
	`<a xmlns="urn:a" xmlns:p="urn:p" p:b="{1, 2}c{{}}">{ () }<!-- c --><?pi d?><![CDATA[<e>]]>&lt;&#x41;{ <f/>, attribute g { 1 }[0] }</a>`,
	`document { element { "a" } { attribute b { 1 }, namespace p { "urn:p" }, text { "t" }, comment { "c" }, processing-instruction d { "e" } } }`,
	`declare copy-namespaces no-preserve, no-inherit; declare boundary-space preserve; <a> <b>{ //person[1] }</b> </a>`,
	"declare construction strip; ``[a`{ 1 + 1 }`b`{ }`]``",
	`typeswitch (//name[1]) case $e as element(name) | attribute() return $e case xs:string+ return 1 default $d return count($d)`,
	`switch ("b") case "a" case "b" return 1 default return error(xs:QName("local:e"), "text", (1, 2))`,
	`let $m := map:merge((map { 1: "a" }, map { 1.0: "b" }), map { "duplicates": "combine" }) return map:for-each($m, function($k, $v) { $k || $v[1] })`,
	`map:get(map:put(map:remove(map { 1: 2, "a": () }, (1, "b")), "c", [1]), "c")?1, map:find([map { 1: 2 }, [map { 1: 3 }]], 1)`,
	`array:fold-left([1, [2], ()], 0, function($a, $b) { $a + count($b) }), array:sort([3, 1, 2]), array:flatten([1, [2, [3]]])`,
	`sort((3, 1, 2), (), function($x) { -$x }), fold-right(1 to 5, "", concat#2), for-each-pair(1 to 3, 4 to 6, function($a, $b) { $a * $b })`,
	`format-number(-1234.567, "#,##0.0#;(0)"), format-integer(12, "Ww"), format-integer(1999, "I"), format-integer(3, "1;o")`,
	`format-date(xs:date("2026-02-03"), "[FNn], [D1o] [MNn] [Y0001]", "en", (), ()), format-dateTime(current-dateTime(), "[H01]:[m01]:[s01.001] [Z]")`,
	`format-time(xs:time("12:34:56.789+01:00"), "[h]:[m] [P] [z,6-6]"), xs:dateTime("2026-01-31T00:00:00") + xs:yearMonthDuration("P1M")`,
	`matches("abracadabra", "^(a|b)*?(.)\2?", "i"), replace("a.b", "(.)\.(.)", "$2-$1"), tokenize("a, b", ",\s*"), analyze-string("a1b", "\d")`,
	`matches("x", "[a-z-[aeiou]]{1,3}\p{L}\i\c"), replace("aaa", "a{2}", "\$", "q"), tokenize(" a b "), matches("ab", "(((a?)*)*)*b")`,
	`parse-json('{"a": [1, 2.5e3, true, null, "\u0041\n"]}', map { "escape": true(), "fallback": function($s) { "?" } })?a?*`,
	`json-to-xml('{"a": [1, {"b": null}]}') ! xml-to-json(., map { "indent": true() }), json-to-xml("[]", map { "duplicates": "retain" })`,
	`serialize(<a b="&quot;">&lt;<b/></a>, map { "indent": true(), "omit-xml-declaration": false() }), serialize([1, map { "a": 2 }], map { "method": "json" })`,
	`serialize((1, "a", xs:date("2026-01-01"), <a/>), map { "method": "adaptive" }), serialize(<p>x<br/></p>, map { "method": "html" })`,
	`parse-xml("<a>&amp;amp;<b/></a>")/a/b/.., parse-xml-fragment("a<b/>c"), deep-equal([1, map { 2: 3 }], [1, map { 2: 3 }])`,
	`(1 to 9)[position() > 2 and position() <= 5][last()], (1 to 9)[$old[2]], //b[1], //b[. = "x"], (//name)[position() = (1, 3)]`,
	`declare function local:f($n as xs:double*) as xs:double* { for $x at $p in $n return $x * $n[$p] + 1 }; local:f((1, 2e0))`,
	`declare namespace p = "urn:p"; declare decimal-format p:d decimal-separator = "," grouping-separator = "."; format-number(1.5, "0,0", "p:d")`,
	`declare %private function local:f($a) { if ($a > 3) then $a else local:f($a + 1) }; declare context item := 5; local:f(1) + .`,
	`declare namespace x = "urn:x"; (# x:y z #) { 1 }, ordered { 2 }, unordered { 3 }, 1 cast as xs:QName?, "a" castable as xs:NCName`,
	`xs:QName("xml:a") => local-name-from-QName(), Q{http://www.w3.org/2005/xpath-functions}abs(-1), (abs#1, ?a)[1](2), apply(concat#2, ["a", "b"])`,
	`//person ! (name, @*)/root()/descendant-or-self::node()/generate-id(), innermost(//*), outermost(//*), path((//name)[1]), //name/.. except //a`,
	`random-number-generator(1)?permute(1 to 3), current-dateTime(), implicit-timezone(), environment-variable("HOME"), doc-available("a")`,
	`doc("a"), collection(), json-doc("b"), unparsed-text-lines("c")`,
	`normalize-unicode("a&#x301;"), codepoints-to-string((65, 66)), collation-key("a"), contains-token("a b", "b"), compare("a", "b"), encode-for-uri("a b")`,
}

// FuzzCompile: any text compiles, or gives an error with a code and a place in the text. What compiles has reads.
func FuzzCompile(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, source string) {
		q, err := Compile(source, Options{Variables: []string{"old"}, Functions: testFunctions})
		if err == nil {
			q.Reads()
			return
		}
		var e *Error
		if !errors.As(err, &e) || !isCode(e.Code) || e.Message == "" || strings.Contains(e.Message, "unexpectedly") {
			t.Fatalf("%q: %v", source, err)
		}
		if e.Line < 1 || e.Line > 1+strings.Count(source, "\n") || e.Column < 1 || e.Column > len(source)+1 {
			t.Fatalf("%q: no such place: %v", source, err)
		}
	})
}

// FuzzEvaluate: what compiles evaluates within its limits, to the same result each time, or gives an error with a code.
func FuzzEvaluate(f *testing.F) {
	addSeeds(f)
	doc := parseText(f, people)
	in := Input{
		Context:   doc,
		Variables: map[string]Sequence{"old": Of("x", 1, doc)},
		Limits:    Limits{Steps: 20_000, Depth: 100, Constructed: 1 << 18, Time: 2 * time.Second},
		Now:       time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
	f.Fuzz(func(t *testing.T, source string) {
		q, err := Compile(source, Options{Variables: []string{"old"}, Functions: testFunctions})
		if err != nil {
			return
		}
		first, err := texts(q, in)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Code == "" || strings.Contains(e.Message, "unexpectedly") {
				t.Fatalf("%q: %v", source, err)
			}
			return
		}
		if second, err := texts(q, in); !errors.Is(err, ErrLimit) && (err != nil || first != second) {
			t.Fatalf("%q: first %q, then %q, %v", source, first, second, err)
		}
		if parts, err := streamed(q, in); !errors.Is(err, ErrLimit) && (err != nil || first != parts) {
			t.Fatalf("%q: %q at once, %q item by item, %v", source, first, parts, err)
		}
	})
}

// FuzzSerialize: a result is written by every method, or gives an error with a code; what is written as JSON or as XML can
// be read.
func FuzzSerialize(f *testing.F) {
	addSeeds(f)
	in := Input{Context: parseText(f, people), Limits: Limits{Steps: 20_000, Depth: 100, Constructed: 1 << 16, Time: time.Second}}
	in.Now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	f.Fuzz(func(t *testing.T, source string) {
		q, err := Compile(source, Options{Functions: testFunctions})
		if err != nil {
			return
		}
		s, err := q.Evaluate(context.Background(), in)
		if err != nil {
			return
		}
		for _, method := range []string{"xml", "xhtml", "html", "text", "json", "adaptive"} {
			for _, indent := range []string{"no", "yes"} {
				checkSerialized(t, q, s, map[string]string{"method": method, "indent": indent})
			}
		}
	})
}

func checkSerialized(t *testing.T, q *Query, s Sequence, parameters map[string]string) {
	var b strings.Builder
	var e *Error
	if err := Serialize(&b, s, parameters); err != nil {
		if !errors.As(err, &e) || !isCode(e.Code) {
			t.Fatalf("%q, %v: %v", q.Source(), parameters, err)
		}
		return
	}
	switch parameters["method"] {
	case "json":
		if !json.Valid([]byte(b.String())) {
			t.Fatalf("%q: no JSON: %s", q.Source(), b.String())
		}
	case "xml":
		if _, err := qt3Document(context.Background(), b.String()); err != nil {
			t.Fatalf("%q: no XML: %s: %v", q.Source(), b.String(), err)
		}
	}
}

// streamed is texts of the items as they come.
func streamed(q *Query, in Input) (string, error) {
	var all []string
	err := q.Each(context.Background(), in, func(item Sequence) error {
		some, err := item.Strings()
		all = append(all, some...)
		return err
	})
	return strings.Join(all, "\x00"), err
}

func texts(q *Query, in Input) (string, error) {
	s, err := q.Evaluate(context.Background(), in)
	if err != nil {
		return "", err
	}
	all, err := s.Strings()
	return strings.Join(all, "\x00"), err
}
