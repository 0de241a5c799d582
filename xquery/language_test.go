package xquery

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/lestrrat-go/helium"
)

// languageQueries are what XQuery adds to XPath, with their results as XML.
var languageQueries = []struct{ query, want string }{
	{`<a b="1{2}3">x{1, 2}y<c/></a>`, `<a b="123">x1 2y<c/></a>`},
	{`<a xmlns="urn:a"><b>{<c xmlns=""/>}</b></a>`, `<a xmlns="urn:a"><b><c xmlns=""/></b></a>`},
	{`<a> <b/> </a>`, `<a><b/></a>`},
	{`declare boundary-space preserve; <a> <b/> </a>`, `<a> <b/> </a>`},
	{`<a>{attribute b {1, 2}, comment {"c"}, processing-instruction p {"q"}, text {"t"}}</a>`,
		`<a b="1 2"><!--c--><?p q?>t</a>`},
	{`declare namespace p = "urn:p"; <p:a p:b="1"><p:c/></p:a>`, `<p:a xmlns:p="urn:p" p:b="1"><p:c/></p:a>`},
	{`document { <a/> }/a instance of element()`, `true`},
	{`let $a := <a><b/></a> return <c>{$a/b}</c>/b/..`, `<c><b/></c>`},
	{`declare function local:f($n as xs:integer) as xs:integer { if ($n = 0) then 1 else $n * local:f($n - 1) }; local:f(5)`,
		`120`},
	{`declare variable $x := local:f(); declare function local:f() { $y }; declare variable $y := 3; $x`, `3`},
	{`declare context item := <a>1</a>; ./text()`, `1`},
	{`switch (2) case 1 case 2 return "a" default return "b"`, `a`},
	{`typeswitch (2) case $x as xs:string return 1 case $x as xs:integer return $x + 1 default return 0`, `3`},
	{"``[a`{1, 2}`b]``", `a1 2b`},
	{`for $x allowing empty in () return count($x)`, `0`},
	{`for $x in (1, 2, 1) group by $x order by $x return count($x) || ":" || $x`, `1:1 1:2`},
	{`for $x in (1, 2, 3) let $y := $x mod 2 group by $y order by $y return string-join($x, ",")`, `2 1,3`},
	{`for $x in ("b", "a") order by $x count $c return $c || $x`, `1a 2b`},
	{`for tumbling window $w in 1 to 5 start at $s when $s mod 2 = 1 return sum($w)`, `3 7 5`},
	{`for sliding window $w in 1 to 4 start at $s when true() only end at $e when $e - $s = 1 return sum($w)`, `3 5 7`},
	{`try { error(xs:QName("local:e"), "m", 7) } catch local:e { $err:value, $err:description }`, `7 m`},
	{`(# local:p #) { 1 }`, `1`},
	{`declare namespace a = "urn:a"; let $f := %a:note(1) function($x) { $x } return $f(1)`, `1`},
	{`declare decimal-format local:f decimal-separator = "," grouping-separator = "."; format-number(1.5, "0,0", "local:f")`, `1,5`},
	{`declare base-uri "http://example.org/a"; base-uri(<a/>)`, `http://example.org/a`},
	{`document { <a><b/></a> }//b[count(/) = 1][(/) instance of document-node()]`, `<b/>`},
	{`document { <a>1<b>1</b></a> }/a[1 to count(/) = 1][not(/ = "1")]/b`, `<b>1</b>`},
}

func TestLanguage(t *testing.T) {
	for _, c := range languageQueries {
		q, err := Compile(c.query, Options{})
		if err != nil {
			t.Errorf("%s: %s", c.query, err)
			continue
		}
		s, err := q.Evaluate(context.Background(), Input{})
		if err != nil {
			t.Errorf("%s: %s", c.query, err)
			continue
		}
		if got := plainXML(t, s); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.query, got, c.want)
		}
		q.Reads()
	}
}

func plainXML(t *testing.T, s Sequence) string {
	t.Helper()
	var all []string
	for i := range s.Len() {
		node, ok := s.Item(i).(helium.Node)
		if !ok {
			texts, err := Of(s.Item(i)).Strings()
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, texts...)
			continue
		}
		text, err := helium.WriteString(node)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, text)
	}
	return strings.Join(all, " ")
}

// TestModules imports library modules.
func TestModules(t *testing.T) {
	modules := map[string]string{
		"urn:m": `module namespace m = "urn:m"; import module namespace n = "urn:n";
			declare variable $m:v := n:f(1); declare %private function m:p() { 2 }; declare function m:f() { $m:v + m:p() };`,
		"urn:n":   `module namespace n = "urn:n"; declare function n:f($x) { $x * 10 };`,
		"urn:bad": "module namespace b = \"urn:bad\";\n declare function b:f() { 1 + };",
	}
	options := Options{Modules: func(uri string, _ []string) ([]Module, error) {
		text, ok := modules[uri]
		if !ok {
			return nil, errors.New("no such module")
		}
		return []Module{{Source: text, File: uri}}, nil
	}}
	for _, c := range []struct{ query, want, code string }{
		{`import module namespace m = "urn:m"; m:f(), $m:v`, "12 10", ""},
		{`import module namespace m = "urn:m"; m:p()`, "", "XPST0017"},
		{`import module namespace n = "urn:n"; import module namespace m = "urn:m"; n:f(m:f())`, "120", ""},
		{`import module namespace m = "urn:m"; declare namespace n = "urn:n"; n:f(1)`, "", "XPST0017"},
		{`import module namespace b = "urn:bad"; 1`, "", "XPST0003"},
		{`import module namespace b = "urn:none"; 1`, "", "XQST0059"},
	} {
		q, err := Compile(c.query, options)
		if c.code != "" {
			var e *Error
			if !errors.As(err, &e) || e.Code != c.code {
				t.Errorf("%s: %v, want %s", c.query, err, c.code)
			}
			if c.code == "XPST0003" && (e.File != "urn:bad" || e.Line != 2 || e.Column != 31) {
				t.Errorf("%s: at %s:%d:%d", c.query, e.File, e.Line, e.Column)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %s", c.query, err)
			continue
		}
		s, err := q.Evaluate(context.Background(), Input{})
		if err != nil {
			t.Errorf("%s: %s", c.query, err)
			continue
		}
		if got := plainXML(t, s); got != c.want {
			t.Errorf("%s: got %s, want %s", c.query, got, c.want)
		}
	}
}

// TestUses finds what queries refer to.
func TestUses(t *testing.T) {
	options := Options{Variables: []string{"a", "b"}, Functions: testFunctions}
	for _, c := range []struct {
		query     string
		variables string
		xpath     bool
	}{
		{`$a + 1`, "a", true},
		{`let $x := $b return for $y in $x, $z in $a return $y`, "a b", true},
		{`for $x in 1 to 2 let $y := $x return $y`, "", false},
		{`for $x at $i in 1 to 2 return $i`, "", false},
		{`declare variable $e external; $e`, "e", false},
		{`declare variable $Q{urn:x}e external := 1; declare function local:f() { $Q{urn:x}e }; local:f()`, "Q{urn:x}e", false},
		{`<a/>`, "", false},
		{`"&amp;"`, "", false},
		{`try { 1 } catch * { 2 }`, "", false},
		{`typeswitch (1) case xs:integer return 1 default return 1`, "", false},
	} {
		q, err := Compile(c.query, options)
		if err != nil {
			t.Errorf("%s: %s", c.query, err)
			continue
		}
		u := q.Uses()
		if got := strings.Join(u.Variables, " "); got != c.variables || u.XPath != c.xpath {
			t.Errorf("%s: %+v", c.query, u)
		}
	}
}

// TestTogether evaluates each query in 16 goroutines at once.
func TestTogether(t *testing.T) {
	for _, c := range slices.Concat(languageQueries, ruleQueries) {
		q, err := Compile(c.query, Options{})
		if err != nil {
			continue // an error is what the query is for
		}
		want := outcome(t, q)
		if want == codeLimit {
			continue // who takes all that there is learns nothing from company
		}
		var done sync.WaitGroup
		for range 16 {
			done.Go(func() {
				for range 2 {
					if got := outcome(t, q); got != want {
						t.Errorf("%s: %s, not %s", c.query, got, want)
					}
				}
			})
		}
		done.Wait()
	}
}
