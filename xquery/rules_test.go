package xquery

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
)

// ruleQueries are rules of the language that helium has not, or has otherwise, with their results or codes.
var ruleQueries = []struct{ query, want string }{
	// Ranges that are longer than steps are left.
	{`count(1 to 3000000000)`, "3000000000"},
	{`count(subsequence(1 to 3000000000, 2147483648))`, "852516353"},
	{`subsequence(1 to 3000000000, 2147483647.5, 2)`, "2147483648 2147483649"},
	{`subsequence(1 to 3000000000, -5, 7)`, "1"},
	{`subsequence(1 to 3000000000, xs:double("NaN"))`, ""},
	{`exists(1 to 3000000000), empty(1 to 3000000000)`, "true false"},
	{`count([1 to 3000000000])`, "XPDY0130"},
	{`let $r := subsequence(1 to 3000000000, 2) return count($r)`, "XPDY0130"},
	{`1 to 3000000000`, "XPDY0130"},
	{`sum(1 to 3000000000)`, "XPDY0130"},
	{`try { reverse(1 to 3000000000) } catch * { 1 }`, "XPDY0130"},
	{`for $x in 1 to 3000000000 return ()`, "XPDY0130"},
	{`1 to 99999999999999999999`, "XPDY0130"},
	{`codepoints-to-string(65 to 3000000000)`, "FOCH0001"},
	{`codepoints-to-string((72, <a>105</a>))`, "Hi"},
	{`codepoints-to-string("x")`, "XPTY0004"},
	{`codepoints-to-string(-1)`, "FOCH0001"},

	{`count((1, 2 to 3000000000, ())), empty(((), ())), exists(((), 1)), empty((1, 2))`, "3000000000 true true false"},

	// fn:deep-equal: comments and processing instructions do not count, but part texts.
	{`deep-equal(<a b="1" c="2">x<?p?></a>, <a c="2" b="1">x</a>)`, "true"},
	{`deep-equal(<a>x<!--c-->y</a>, <a>xy</a>)`, "false"},
	{`deep-equal(<a><b/>{"x", "y"}</a>, <a><b/>x y</a>)`, "true"},
	{`deep-equal(<a><b/></a>, <a><c/></a>)`, "false"},
	{`deep-equal(<a/>, "a"), deep-equal((<a/>, 1), (<a/>, 1.0)), deep-equal(<a/>, (<a/>, 1))`, "false true false"},
	{`deep-equal([<a/>, map { 1: <b/> }], [<a/>, map { 1: <b/> }])`, "true"},
	{`deep-equal(<a b="x"/>, <a b="X"/>, "http://www.w3.org/2005/xpath-functions/collation/html-ascii-case-insensitive")`, "true"},
	{`deep-equal(<!--a-->, <!--a-->), deep-equal(<?a b?>, <?c b?>)`, "true false"},
	{`deep-equal((<a/>, abs#1), (<a/>, abs#1))`, "FOTY0015"},

	// Arithmetic.
	{`xs:date("2020-01-01") + xs:duration("P1D")`, "XPTY0004"},
	{`xs:date("2020-01-01") + xs:dayTimeDuration("P1D")`, "2020-01-02"},
	{`xs:double("INF") idiv xs:double("0")`, "FOAR0001"},
	{`xs:yearMonthDuration("P1Y") div xs:yearMonthDuration("P0Y")`, "FOAR0001"},

	// Function conversion.
	{`filter(1 to 4, function($i) { <a>{$i mod 2}</a> })`, "1 3"},
	{`declare function local:f() as (function(xs:double) as xs:double)* { abs#1, function($x) { $x + 1 } };
		local:f() ! .(xs:untypedAtomic("-1.5"))`, "1.5 -0.5"},
	{`declare function local:f($f as function(xs:integer) as xs:string) { $f("1") }; local:f(function($x) { "a" })`, "XPTY0004"},
	{`declare function local:f($f as function(xs:integer) as xs:integer) { $f(1) }; local:f(function($x) { "a" })`, "XPTY0004"},
	{`declare function local:f($f as function(xs:integer) as xs:integer) { 1 }; local:f(concat#2)`, "XPTY0004"},
	{`function($a) { $a } instance of function(item()*) as item()*, function($a) { $a } instance of function(item()*) as xs:integer`,
		"true false"},
	{`let $f := name#0 return <a/> ! $f()`, "XPDY0002"},
	{`<a/> ! (let $f := name#0 return 1 ! $f())`, "a"},
	{`format-date("2020-01-01", "[Y]")`, "XPTY0004"},
	{`format-date(xs:date("2020-01-01"), "[Y]", "en")`, "XPST0017"},
	{`format-date(xs:date("2020-01-01"), "[bla]")`, "FOFD1340"},
	{`for $place in ("us", "Local", "UTC", "Asia/Tokyo", ())
		return format-dateTime(xs:dateTime("2020-01-01T12:00:00-01:00"), "[H]", (), (), $place)`, "12 12 13 22"},
	{`local-name-from-QName(<a>b</a>)`, "XPTY0117"},
	{`abs#99999999999999999999`, "FOAR0002"},
	{`function-arity(concat#123456)`, "123456"},
	{`"a" cast as xs:error`, "FORG0001"},
	{`normalize-unicode("a", "FULLY-NORMALIZED")`, "FOCH0003"},
	{`normalize-unicode("a", " nfc "), normalize-unicode("a", "")`, "a a"},
	{`array:subarray([1, 2, 3], 2, -1)`, "FOAY0002"},

	// Grouping, collations, names.
	{`for $y in (xs:gYear("2015Z"), xs:gYear("2015"), xs:gYear("2016")) group by $y order by string($y) return string($y)`, "2015Z 2016"},
	{`declare default collation "http://www.w3.org/2005/xpath-functions/collation/html-ascii-case-insensitive";
		sort(("b", "A", "a", "B")), sort(("b", "A"), ()), array:sort(["b", "A"])?*`, "A a b B A b A b"},
	{`declare default collation "http://www.w3.org/2005/xpath-functions/collation/html-ascii-case-insensitive";
		deep-equal(<a>x<?p?></a>, <a>X</a>), deep-equal("a", "A"), deep-equal#2("a", "A"), deep-equal(?, "A")("a")`, "true true true true"},
	{`declare base-uri "http://www.w3.org/2005/xpath-functions/"; substring-after("banana", "a", "collation/codepoint")`, "nana"},
	{`declare namespace z = "urn:z"; <z:a/>/node-name() = xs:untypedAtomic("z:a")`, "true"},
	{`let $e := element { QName("urn:b", "p:e") } { namespace p { "urn:a" } }
		return (namespace-uri($e), namespace-uri-for-prefix("p", $e), prefix-from-QName(node-name($e)) = "p")`, "urn:b urn:a false"},
	{`let $e := element { QName("urn:b", "p:e") } { namespace q { "urn:a" }, namespace q { "urn:c" } } return $e`, "XQDY0102"},

	{`let $n := namespace p { "urn:a" } return ($n is $n, $n is namespace p { "urn:a" }, <a/> is <a/>, () is <a/>)`, "true false false"},
	{`let $e := <a xmlns:p="urn:p"/> return $e is $e`, "true"},
	{`(1, 2) is <a/>`, "XPTY0004"},
	{`declare base-uri "http://x/y"; base-uri(<a xml:base="%gg"/>), base-uri(<a xml:base="z"/>), base-uri(<a/>)`, "%gg http://x/z http://x/y"},

	// Nesting.
	{`serialize(fold-left(1 to 10500, [], function($a, $b) { [$a] }), map { "method": "json" })`, "XPDY0130"},
	{`try { serialize(fold-left(1 to 10500, [], function($a, $b) { [$a] })) } catch * { 1 }`, "XPDY0130"},
	{`fold-left(1 to 10500, [], function($a, $b) { [$a] })`, "XPDY0130"},
	{`declare function local:f() { fold-left(1 to 10500, [<a/>], function($a, $b) { [$a] }) }; deep-equal(local:f(), local:f())`, "XPDY0130"},
	{`string-length(serialize(fold-left(1 to 5000, [], function($a, $b) { [$a] }), map { "method": "adaptive" }))`, "10002"},

	// Prologs.
	{`import schema namespace NCName := "urn:a"; 1`, "XPST0003"},
	{`import schema namespace xml = "urn:a"; 1`, "XQST0070"},
	{`import schema namespace a = ""; 1`, "XQST0057"},
	{`import schema "urn:a" at "%gg"; 1`, "XQST0046"},
	{`import schema default element namespace "urn:a" at "a.xsd", "b.xsd"; 1`, "XQST0009"},
	{`let $f := %public function() { 1 } return $f()`, "XQST0125"},
}

func TestRules(t *testing.T) {
	for _, c := range ruleQueries {
		got := written(t, c.query, Options{})
		if got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.query, got, c.want)
		}
	}
}

// TestModuleLocations: a namespace may have many modules, which are found by their locations; one that is imported twice
// is one. Each has its base URI.
func TestModuleLocations(t *testing.T) {
	modules := []struct{ location, source string }{
		{"a", `module namespace m = "m"; import module namespace m = "m" at "b"; declare base-uri "http://a/";
			declare function m:a() { static-base-uri(), base-uri(<a/>), m:b() };`},
		{"b", `module namespace m = "m"; declare base-uri "http://b/";
			declare default collation "http://www.w3.org/2005/xpath-functions/collation/html-ascii-case-insensitive";
			declare variable $m:b := base-uri(<b/>);
			declare function m:b() { static-base-uri(), $m:b, static-base-uri#0() };
			declare function m:resolved($u) { resolve-uri($u) };
			declare function m:document($u) { doc-available($u) };
			declare function m:collated() { contains("ABC", "b"), deep-equal("a", "A"), sort(("b", "A")) };
			declare function m:lookup() { function-lookup(xs:QName("fn:static-base-uri"), 0)(), function-lookup#2 };`},
		{"c", `module namespace n = "n"; import module namespace m = "m" at "b"; declare function n:c() { m:b()[1] };`},
		{"d", `module namespace other = "other"; 1`},
	}
	options := Options{BaseURI: "http://main/", Modules: func(_ string, locations []string) ([]Module, error) {
		var found []Module
		for _, m := range modules {
			if slices.Contains(locations, m.location) {
				found = append(found, Module{Source: m.source, File: m.location})
			}
		}
		return found, nil
	}}
	for source, want := range map[string]string{
		`import module namespace m = "m" at "a"; import module namespace n = "n" at "c"; m:a(), n:c(), static-base-uri(), base-uri(<c/>)`:
		/**/ "http://a/ http://a/ http://b/ http://b/ http://b/ http://b/ http://main/ http://main/",
		`import module namespace m = "m" at "b"; m:lookup()[1], m:lookup()[2](xs:QName("fn:static-base-uri"), 0)(), m:lookup()[2](xs:QName("fn:abs"), 1)(-1)`:
		/**/ "http://b/ http://b/ 1",
		`import module namespace m = "m" at "b"; m:resolved("x"), m:resolved("http://y/"), resolve-uri("x")`: "http://b/x http://y/ http://main/x",
		`import module namespace m = "m" at "b"; m:document("x"), doc-available("x")`:                        "true false",
		`import module namespace m = "m" at "b"; m:collated(), contains("ABC", "b")`:                         "true true A b false",
		`import module namespace m = "m" at "a", "b"; $m:b`:                                                  "http://b/",
		`import module namespace n = "n" at "d"; 1`:                                                          "XQST0059",
		`import module namespace m = "m" at "nowhere"; 1`:                                                    "XQST0059",
		`import module namespace m = "other" at "a"; 1`:                                                      "XQST0059",
	} {
		query, err := Compile(source, options)
		var e *Error
		if errors.As(err, &e) {
			if e.Code != want {
				t.Errorf("%s: %v, want %s", source, err, want)
			}
			continue
		}
		in := Input{Documents: func(_ context.Context, uri string) (*Document, error) {
			if uri != "http://b/x" {
				return nil, errors.New("no such document")
			}
			return parseText(t, "<x/>"), nil
		}}
		s, err := query.Evaluate(context.Background(), in)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		if got := plainXML(t, s); got != want {
			t.Errorf("%s:\n got %s\nwant %s", source, got, want)
		}
	}
}

// TestTextResources: fn:json-doc is fn:parse-json of fn:unparsed-text, also with functions of the query.
func TestTextResources(t *testing.T) {
	texts := map[string]string{
		"http://x/a.json": `{"a":"\uDA00"}`, "http://x/bad.json": "[\"\xff\"]", "http://x/deep.json": strings.Repeat("[", 100_000),
	}
	in := Input{Texts: func(_ context.Context, uri string) ([]byte, error) {
		text, ok := texts[uri]
		if !ok {
			return nil, errors.New("no such text")
		}
		return []byte(text), nil
	}}
	for source, want := range map[string]string{
		`json-doc("a.json", map { "fallback": function($s) { "?" || translate($s, "AD", "ad") } })?a`: `?\uda00`,
		`json-doc("a.json", map { "escape": true(), "fallback": function($s) { $s } })?a`:             "FOJS0005",
		`json-doc("bad.json")`:                   "FOUT1200",
		`json-doc("deep.json")`:                  "FOJS0001",
		`json-doc("none.json")`:                  "FOUT1170",
		`count(json-doc(()))`:                    "0",
		`unparsed-text("a.json", ())`:            "XPTY0004",
		`unparsed-text-lines("a.json", "utf-8")`: texts["http://x/a.json"],
	} {
		query, err := Compile(source, Options{BaseURI: "http://x/"})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		s, err := query.Evaluate(context.Background(), in)
		var e *Error
		if errors.As(err, &e) {
			got = e.Code
		} else if all, err := s.Strings(); err != nil {
			t.Fatal(err)
		} else {
			got = strings.Join(all, " ")
		}
		if got != want {
			t.Errorf("%s: %s, not %s (%v)", source, got, want, err)
		}
	}
}
