package xquery

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/lestrrat-go/helium"
)

// typedEntry is an entry as package mapping builds it.
func typedEntry() *Document {
	b := NewBuilder("entry")
	b.Typed("number", Integer, "5")
	b.Typed("number", Integer, "12")
	b.Typed("active", Boolean, "false")
	b.Typed("since", DateTime, "2024-02-29T12:00:00Z")
	b.Typed("photo", Base64Binary, "/wA=")
	b.Typed("height", Double, "1.5")
	b.Typed("cn", String, "Ada")
	b.Typed("bad", Integer, "five")
	b.Element("plain", "5")
	b.Open("cert")
	b.Attribute("option", "binary")
	b.Type(Base64Binary)
	b.Text("AQI=")
	b.Close()
	b.Open("phones")
	b.Open("row")
	b.Typed("rank", Integer, "2")
	b.Typed("number", String, "0123")
	b.Close()
	b.Close()
	return b.Document()
}

func atomsOf(t *testing.T, query string, in Input) string {
	t.Helper()
	q, err := Compile(query, Options{Variables: []string{"e"}})
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	s, err := q.Evaluate(t.Context(), in)
	if err != nil {
		var e *Error
		if !errors.As(err, &e) {
			t.Fatalf("%s: %v", query, err)
		}
		return e.Code
	}
	atoms, err := s.Atoms()
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	texts := make([]string, len(atoms))
	for i, a := range atoms {
		texts[i] = fmt.Sprintf("%T %v", a, a)
	}
	return strings.Join(texts, "|")
}

func TestTypedValues(t *testing.T) {
	doc := typedEntry()
	for _, test := range []struct{ query, typed, untyped string }{
		{`number[1] eq 5`, "bool true", "XPTY0004"},
		{`number[. eq 12] + 1`, "int64 13", "XPTY0004"},
		{`number[2] > number[1]`, "bool true", "bool false"}, // as texts "12" < "5"
		{`max(number)`, "int64 12", "float64 12"},
		{`sum(number), avg(number)`, "int64 17|*big.Rat 17/2", "float64 17|float64 8.5"},
		{`for $n in number order by $n descending return string($n)`, "string 12|string 5", "string 5|string 12"},
		{`sort(number)`, "int64 5|int64 12", "string 12|string 5"},
		{`number`, "int64 5|int64 12", "string 5|string 12"},
		{`data(active), not(data(active))`, "bool false|bool true", "string false|bool false"},
		{`since + xs:dayTimeDuration("P1D") = xs:dateTime("2024-03-01T12:00:00Z")`, "bool true", "XPTY0004"},
		{`photo`, "[]uint8 [255 0]", "string /wA="},
		{`cert[@option = "binary"]`, "[]uint8 [1 2]", "string AQI="},
		{`height * 2`, "float64 3", "float64 3"},
		{`cn eq "Ada"`, "bool true", "bool true"},
		{`cn = 1`, "XPTY0004", "FORG0001"},
		{`bad`, "string five", "string five"},
		{`plain = 5, plain = "5"`, "bool true|bool true", "bool true|bool true"},
		{`string(number[1]), string-join(number, ","), concat(cn, number[2])`, "string 5|string 5,12|string Ada12", "string 5|string 5,12|string Ada12"},
		{`phones/row[rank = 2]/number`, "string 0123", "string 0123"},
		{`phones/row[rank eq 2]/number`, "string 0123", "XPTY0004"},
		{`number[1] instance of element(number, xs:integer)`, "bool true", "bool false"},
		{`(phones/row/rank, number) ! (. instance of element(*, xs:integer))`, "bool true|bool true|bool true", "bool false|bool false|bool false"},
		{`let $n := number[1] return ($n eq 5, $n cast as xs:string)`, "bool true|string 5", "XPTY0004"},
		{`$e/number[1] eq 5, ($e ! number)[2] eq 12`, "bool true|bool true", "XPTY0004"},
		{`deep-equal(number[1], number[1]), distinct-values((number, 5))`, "bool true|int64 5|int64 12", "bool true|string 5|string 12|int64 5"},
	} {
		in := Input{Context: doc.Element(), Variables: map[string]Sequence{"e": Of(doc.Element())}}
		if got := atomsOf(t, test.query, in); got != test.untyped {
			t.Errorf("%s, untyped\n got %s\nwant %s", test.query, got, test.untyped)
		}
		in.Typed = []*Document{nil, doc}
		if got := atomsOf(t, test.query, in); got != test.typed {
			t.Errorf("%s\n got %s\nwant %s", test.query, got, test.typed)
		}
	}
}

// The types of one evaluation are gone in the next one.
func TestTypesEndWithTheEvaluation(t *testing.T) {
	q, err := Compile(`number[1] instance of element(*, xs:integer)`, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		doc, other := typedEntry(), typedEntry()
		for _, in := range []struct {
			Input
			want bool
		}{
			{Input{Context: doc.Element(), Typed: []*Document{doc}}, true},
			{Input{Context: doc.Element()}, false},
			{Input{Context: other.Element(), Typed: []*Document{doc}}, false},
			{Input{Context: other.Element(), Typed: []*Document{doc, other}}, true},
		} {
			if got, err := q.Matches(t.Context(), in.Input); got != in.want || err != nil {
				t.Fatalf("got %v, %v; want %v", got, err, in.want)
			}
		}
		doc.Free()
	}
	if w := q.typed.take(); w != nil && len(w.types) > 0 {
		t.Errorf("%d types are left in an idle worker", len(w.types))
	}
}

func TestDocumentContext(t *testing.T) {
	q, err := Compile(`/Event/Ping`, Options{DocumentContext: true})
	if err != nil {
		t.Fatal(err)
	}
	doc, err := ParseDocument([]byte(`<Event><Ping/></Event>`), ParseLimits{})
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range []any{doc, doc.Root()} {
		if matches, err := q.Matches(t.Context(), Input{Context: in}); !matches || err != nil {
			t.Errorf("%T: %v, %v", in, matches, err)
		}
	}
	_, err = q.Matches(t.Context(), Input{Context: doc.Element()})
	var e *Error
	if !errors.As(err, &e) || e.Code != "XPTY0004" {
		t.Errorf("an element as context item: %v", err)
	}
}

// keepQueries are queries that need the order of nodes, and ones that make trees of their own.
var keepQueries = []string{
	`(//New | //Old) ! string()`,
	`//Change/(New, Old) ! string()`,
	`(/Event/ObjectChanged/*)[3]/following-sibling::*[1] ! string()`,
	`let $p := parse-xml('<a><b/><c/></a>') return count(($p//c | $p//b | //New | $p))`,
	`(parse-xml('<a>1</a>'), .) ! count(.//node() | .)`,
	`json-to-xml('{"a": 1, "b": true}', map { "validate": true() }) ! count(.//* | .)`,
	`name(//New), exists(//New[. >> //Old[1]]), //Old[1] << //New[1]`,
	`distinct-values(for $x in //* order by name($x) return name($x))`,
}

// Queries say the same of a kept document as of any other, also all at once.
func TestKeep(t *testing.T) {
	parsed := func() *Document {
		doc, err := ParseDocument([]byte(benchEvent), ParseLimits{})
		if err != nil {
			t.Fatal(err)
		}
		return doc
	}
	plain, kept := parsed(), parsed()
	kept.Keep()
	kept.Keep()
	ask := func(q *Query, doc *Document) string {
		s, err := q.Evaluate(t.Context(), Input{Context: doc})
		if err != nil {
			return err.Error()
		}
		texts, err := s.Strings()
		return fmt.Sprint(texts, err)
	}
	var group sync.WaitGroup
	for _, source := range keepQueries {
		q, err := Compile(source, Options{ElementNamespace: eventNamespace})
		if err != nil {
			t.Fatalf("%s: %v", source, err)
		}
		want := ask(q, plain)
		for range 4 {
			group.Go(func() {
				for range 10 {
					if got := ask(q, kept); got != want {
						t.Errorf("%s\n got %s\nwant %s", source, got, want)
					}
				}
			})
		}
	}
	group.Wait()
	q, err := Compile(keepQueries[0], Options{ElementNamespace: eventNamespace})
	if err != nil {
		t.Fatal(err)
	}
	ask(q, kept)
	if n := len(kept.kept.workers); n == 0 || n > 4*len(keepQueries) {
		t.Errorf("%d workers are kept", n)
	}
	kept.Free()
	if kept.kept != nil {
		t.Error("a freed document keeps workers")
	}
	var none *Document
	none.Keep()
}

// A worker that has seen other trees than the document's, or variables, is not kept with it.
func TestKeepsNothingElse(t *testing.T) {
	doc, err := ParseDocument([]byte(benchEvent), ParseLimits{})
	if err != nil {
		t.Fatal(err)
	}
	doc.Keep()
	for query, want := range map[string]int{
		keepQueries[0]: 1, keepQueries[3]: 0, keepQueries[5]: 0, `count(($v | //New))`: 0, `current-dateTime()`: 0,
		`error()`: 1, `1`: 1,
	} {
		doc.kept = &keptWorkers{}
		q, err := Compile(query, Options{ElementNamespace: eventNamespace, Variables: []string{"v"}})
		if err != nil {
			t.Fatal(err)
		}
		in := Input{Context: doc}
		if strings.Contains(query, "$v") {
			in.Variables = map[string]Sequence{"v": Of(helium.Node(doc.doc))}
		}
		for range aloneEvaluations {
			_, _ = q.Evaluate(t.Context(), in)
		}
		_, _ = q.Evaluate(t.Context(), in)
		if got := len(doc.kept.workers); got != want {
			t.Errorf("%s: %d workers are kept, want %d", query, got, want)
		}
		if w := q.workers.take(); w != nil && w.budget.grown {
			t.Errorf("%s: a worker that made trees is kept", query)
		}
	}
}

// TestConstructionMode: copies of typed elements have their types with "construction preserve" only, also in typed
// workers that are used again.
func TestConstructionMode(t *testing.T) {
	doc := typedEntry()
	in := Input{Context: doc, Typed: []*Document{doc}}
	for range 3 {
		for query, want := range map[string]string{
			`declare construction preserve; <a>{//entry/number}</a>/number ! data(.)`:                             "int64 5|int64 12",
			`declare construction preserve; <a>{//phones}</a>//rank ! (data(.) + 1)`:                              "int64 3",
			`declare construction strip; <a>{//entry/number}</a>/number ! data(.)`:                                "string 5|string 12",
			`<a>{//entry/number}</a>/number ! data(.)`:                                                            "string 5|string 12",
			`deep-equal(//entry/number[1], <number>5</number>), deep-equal(//entry/number[1], //entry/number[2])`: "bool true|bool false",
		} {
			if got := atomsOf(t, query, in); got != want {
				t.Errorf("%s: %s, not %s", query, got, want)
			}
		}
	}
}

// TestTypedComparison: typed values are compared by value.
func TestTypedComparison(t *testing.T) {
	b := NewBuilder("a")
	b.Typed("n", Integer, "5")
	b.Typed("n", Integer, "05")
	b.Typed("s", String, "5")
	b.Typed("s", String, "05")
	doc := b.Document()
	const query = `deep-equal(//n[1], //n[2]), deep-equal(//s[1], //s[2])`
	if got := atomsOf(t, query, Input{Context: doc, Typed: []*Document{doc}}); got != "bool true|bool false" {
		t.Error(got)
	}
}
