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
	for _, query := range []string{
		`xquery version "3.1"; declare namespace p = "urn:x"; declare variable $a as xs:string* external := "b"; $a`,
		`for $p at $i in //person let $n as xs:string := $p/name where $n order by $n descending empty greatest return ($i, $n)`,
		`every $x in (1, 2), $y as xs:integer in $x satisfies $y instance of xs:integer`,
		`try { xs:date("x") } catch err:FORG0001 | *:x | Q{urn:x}* { $err:code } catch * { $err:value }`,
		`map { "a": [1, (2, 3)] }?a?2 ! ?*, array { 1 to 3 }(2)`,
		`function($a as element(a, xs:string?)*, $b as map(xs:string, array(*))) as function(item()) as xs:integer+ { $a }`,
		`//a[@b eq "c"][position() = last()]/ancestor-or-self::*:d/namespace-uri() => concat(?, "x")`,
		`(1 idiv 2, 3 mod 4, 5e0 * -6.7, "a" || 'b''c' || "&#x41;&amp;") (: (: :) :)`,
	} {
		f.Add(query)
	}
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
		if !errors.As(err, &e) || !isCode(e.Code) || e.Message == "" {
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

func texts(q *Query, in Input) (string, error) {
	s, err := q.Evaluate(context.Background(), in)
	if err != nil {
		return "", err
	}
	all, err := s.Strings()
	return strings.Join(all, "\x00"), err
}
