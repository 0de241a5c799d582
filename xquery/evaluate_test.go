package xquery

import (
	"context"
	"errors"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lestrrat-go/helium"
)

const people = `<people xmlns:x="urn:x">
 <person id="1"><name>Ada</name><age>36</age><x:tag>math</x:tag></person>
 <person id="2"><name>Grace</name><age>85</age></person>
 <person id="3"><name>Alan</name></person>
</people>`

func parseText(t testing.TB, text string) *Document {
	t.Helper()
	doc, err := ParseDocument([]byte(text), ParseLimits{})
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestEvaluate(t *testing.T) {
	doc := parseText(t, people)
	for _, test := range []struct{ query, want string }{
		// literals and operators
		{`1, 2.50, 1e3, "a""b", 'it''s', "&lt;&#x41;&amp;"`, `1|2.5|1000|a"b|it's|<A&`},
		{`1 + 2 * 3 - 4 div 2`, `5`},
		{`-2 + 5, - - 2, +3`, `3|2|3`},
		{`7 idiv 2, 7 mod 2, 1 div 4`, `3|1|0.25`},
		{`2 - 1 - 1`, `0`},
		{`1 to 3, 3 to 1, 2 to 2`, `1|2|3|2`},
		{`let $n := 3 return 1 to $n`, `1|2|3`},
		{`"a" || "b" || () || 1 || true()`, `ab1true`},
		{`("a" || "b") || "c"`, `abc`},
		{`1 = (1, 2), 1 != (1, 2), (1, 2) = (3, 4)`, `true|true|false`},
		{`1 eq 1, "a" lt "b", () eq 1`, `true|true`},
		{`1 = 1 and 2 = 2 or 1 div 0 = 1`, `true`},
		{`false() and 1 div 0 = 1`, `false`},
		{`1 = 1 or 2 = 2 or 3 = 3 or 4 = 4 or 5 = 5 or 6 = 6 or 7 = 7 or 8 = 8 or 9 div 0 = 9`, `true`},
		{`99999999999999999999 + 1`, `100000000000000000000`},
		// paths
		{`//name`, `Ada|Grace|Alan`},
		{`/people/person[2]/name`, `Grace`},
		{`/people/person[age > 40]/name/text()`, `Grace`},
		{`/people/person[not(age)]/@id`, `3`},
		{`//person[@id = "1"]/*:tag, //x:tag, //Q{urn:x}tag`, `math|math|math`},
		{`//person[last()]/name, (//person)[last()]/name`, `Alan|Alan`},
		{`//name[1]`, `Ada|Grace|Alan`},
		{`//person/name/..//age`, `36|85`},
		{`//age/ancestor::people/person[1]/child::name`, `Ada`},
		{`//person[1]/following-sibling::person/name`, `Grace|Alan`},
		{`//person ! string(@id)`, `1|2|3`},
		{`/people/person/string-length(name)`, `3|5|4`},
		{`/people/person/name/.`, `Ada|Grace|Alan`},
		{`reverse(//person)/name`, `Ada|Grace|Alan`},
		{`(//name | //age)[. = ("Ada", "85")]`, `Ada|85`},
		{`//person[1]/(name, age)`, `Ada|36`},
		{`//person except //person[age]`, "Alan"},
		{`count(/), count(//@*), count(//person/*)`, `1|3|6`},
		{`//person[1]/name is (//name)[1], //person[1] << //person[2]`, `true|true`},
		{`//person[self::person][1]/attribute::id`, `1`},
		{`//person/element(name)[starts-with(., "A")]`, `Ada|Alan`},
		{`count(//text()[normalize-space()])`, `6`},
		{`//Q{}name[. = "Ada"]`, `Ada`},
		// prolog
		{`xquery version "3.1"; 1`, `1`},
		{`xquery version "3.1" encoding "utf-8"; declare namespace p = "urn:x"; //p:tag`, `math`},
		{`declare default element namespace "urn:x"; //tag, //Q{}age[1]`, `math|36|85`},
		{`declare default element namespace "urn:x"; count(//person), count(//*:person), count(//person/@id)`, `0|3|0`},
		{`declare default function namespace "http://www.w3.org/2005/xpath-functions/math"; fn:string(pi() > 3)`, `true`},
		{`declare variable $a := 2; declare variable $b as xs:integer := $a * 3; $a + $b`, `8`},
		{`declare variable $v external := "default"; $v`, `default`},
		{`declare variable $given external := "default"; $given`, `from outside`},
		{`declare variable $given as xs:string external; upper-case($given)`, `FROM OUTSIDE`},
		{`declare ordering unordered; declare boundary-space strip; declare construction strip;
		  declare copy-namespaces preserve, inherit; declare option xs:a "b"; 1`, `1`},
		{`$free`, `free`},
		// FLWOR
		{`for $x in (1, 2, 3) return $x * 2`, `2|4|6`},
		{`for $x at $i in ("a", "b") return $i || $x`, `1a|2b`},
		{`for $x in (1, 2), $y in ("a", "b") return $x || $y`, `1a|1b|2a|2b`},
		{`let $x := 1, $y := $x + 1 let $x := 10 return $x + $y`, `12`},
		{`for $x in 1 to 10 let $y := $x * $x where $y > 50 let $z := $y + 1 where $z < 90 return $z`, `65|82`},
		{`for $x in (3, 1, 2) order by $x return $x`, `1|2|3`},
		{`for $x in (3, 1, 2) order by $x descending return $x`, `3|2|1`},
		{`for $p in //person order by $p/name descending return $p/@id/string()`, `2|3|1`},
		{`for $p in //person order by number($p/age) empty least return $p/name`, `Alan|Ada|Grace`},
		{`for $p in //person order by $p/age/xs:integer(.) empty greatest return $p/name`, `Ada|Grace|Alan`},
		{`for $p in //person order by $p/age/xs:integer(.) empty least return $p/name`, `Alan|Ada|Grace`},
		{`for $p in //person order by $p/age/xs:integer(.) descending empty least return $p/name`, `Grace|Ada|Alan`},
		{`declare default order empty greatest; for $p in //person order by $p/age/xs:integer(.) return $p/name`, `Ada|Grace|Alan`},
		{`for $x in ("b1", "a1", "b2", "a2") stable order by substring($x, 1, 1) return $x`, `a1|a2|b1|b2`},
		{`for $x in (1, 2), $y in (3, 4) order by $y descending, $x descending return $x || $y`, `24|14|23|13`},
		{`for $x in (3, 1, 2) order by $x let $y := $x * 2 where $y > 2 return $y`, `4|6`},
		{`for $x in (3, 1, 2) order by $x for $y in (1, 2) order by $y descending return $x || $y`, `12|22|32|11|21|31`},
		{`for $x in (3, 1, 2) let $x := -$x order by $x return $x`, `-3|-2|-1`},
		{`for $x in (2, xs:double("NaN"), 1) order by $x return $x`, `NaN|1|2`},
		{`for $x in (1.5, 2, 1e0) order by $x return $x`, `1|1.5|2`},
		{`for $x in ("b", "A", "a") order by $x collation "http://www.w3.org/2005/xpath-functions/collation/codepoint" return $x`, `A|a|b`},
		{`for $x in ("b", "C", "a") order by $x collation "http://www.w3.org/2005/xpath-functions/collation/html-ascii-case-insensitive" return $x`, `a|b|C`},
		{`string-join(for $x in (2, 1) order by $x return $x, "-")`, `1-2`},
		{`if (exists(for $x in (1, 2) where $x = 2 return $x)) then "yes" else "no"`, `yes`},
		{`(for $x in 1 to 3 order by -$x return $x)[1]`, `3`},
		{`//person/(for $n in name order by $n return $n/../@id/string())`, `1|2|3`},
		{`for $x in (1, 2) return let $y := $x return for $z in ($y, 5) order by $z descending return $z`, `5|1|5|2`},
		{`//person[position() = (for $i in (1, 3) order by $i return $i)]/name`, `Ada|Alan`},
		{`for $x as xs:integer in (1, 2) let $y as xs:integer := $x return $y`, `1|2`},
		{`for $p in //person return for $n in $p/name order by position() return $n`, `Ada|Grace|Alan`},
		// other expressions
		{`some $x in (1, 2), $y in (2, 3) satisfies $x = $y, every $x in (1, 2) satisfies $x > 1`, `true|false`},
		{`if (()) then 1 else 2, if (//person) then 1 else 2`, `2|1`},
		{`try { 1 div 0 } catch err:FOAR0001 { $err:code, $err:description }`, `err:FOAR0001|division by zero`},
		{`try { error(QName("urn:e", "e:x"), "m") } catch *:x { $err:description }`, `m`},
		{`try { error() } catch err:* { "any" }`, `any`},
		{`5 instance of xs:integer, "a" instance of xs:integer?, () instance of empty-sequence()`, `true|false|true`},
		{`"5" cast as xs:integer + 1, "x" castable as xs:integer, () cast as xs:integer?`, `6|false`},
		{`(1, 2) treat as xs:integer+`, `1|2`},
		{`xs:date("2020-02-28") + xs:dayTimeDuration("P2D")`, `2020-03-01`},
		{`xs:dateTime("2020-01-01T00:00:00Z") < xs:dateTime("2020-01-01T00:00:01Z")`, `true`},
		{`map { "a": 1, "b": (2, 3) }?b`, `2|3`},
		{`[1, [2, 3]]?2?1, array { 1 to 3 }?*`, `2|1|2|3`},
		{`map { "a": map { "b": 7 } }?a?b, (map { "x": 1 })("x")`, `7|1`},
		{`(map { "k": 1 }, map { "k": 2 }) ! ?k`, `1|2`},
		{`function($a as xs:integer, $b) as xs:integer { $a + $b }(1, 2)`, `3`},
		{`let $f := concat("a", ?, "c") return $f("b")`, `abc`},
		{`let $add := function($a) { function($b) { $a + $b } } return $add(1)(2)`, `3`},
		{`for-each(("a", "b"), upper-case#1), fold-left(1 to 4, 0, function($a, $b) { $a + $b })`, `A|B|10`},
		{`"a" => upper-case() => concat("b"), 1 => (function($x) { $x + 1 })()`, `Ab|2`},
		{`let $f := string-length#1 return "abc" => $f()`, `3`},
		{`//person[1]/(let $f := string#0 return $f())`, `Ada36math`},
		{`function-lookup(xs:QName("fn:upper-case"), 1)("x")`, `X`},
		{`upper-case#1 instance of function(xs:string?) as xs:string`, `true`},
		{`sort((3, 1, 2)), sort(("b", "a"), (), function($x) { $x })`, `1|2|3|a|b`},
		{`serialize(parse-xml("<a><b/></a>")/a)`, `<a><b/></a>`},
		{`parse-xml("<a><b>c</b></a>")/a/b`, `c`},
		{`replace("abc", "b", "[$0]"), tokenize("a,b", ","), matches("abc", "^a.c$")`, `a[b]c|a|b|true`},
		{`environment-variable("PATH"), available-environment-variables()`, ``},
		{`doc-available("x"), unparsed-text-available("x")`, `false|false`},
		{`format-number(1234.5, "#,##0.00"), format-integer(12, "I")`, `1,234.50|XII`},
		{`current-dateTime(), current-date()`, `2026-01-02T03:04:05Z|2026-01-02Z`},
		{`implicit-timezone()`, `PT0S`},
		{`element, for, let/if, return, declare, text`, ``},
		{`ordered { 1 }, unordered { 2 }`, `1|2`},
		{`(: a (: nested :) comment :) 1 (::)`, `1`},
		{`1(:x:)+(:y:)1`, `2`},
	} {
		q, err := Compile(test.query, Options{Namespaces: map[string]string{"x": "urn:x"}, Variables: []string{"free"}})
		if err != nil {
			t.Errorf("%s: %v", test.query, err)
			continue
		}
		in := Input{Context: doc, Now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Variables: map[string]Sequence{
			"given": Of("from outside"), "free": Of("free"),
		}}
		// Twice: the second evaluation reuses what the first one left.
		for range 2 {
			s, err := q.Evaluate(context.Background(), in)
			if err != nil {
				t.Errorf("%s: %v", test.query, err)
				break
			}
			texts, err := s.Strings()
			if got := strings.Join(texts, "|"); err != nil || got != test.want {
				t.Errorf("%s\n got %s (%v)\nwant %s", test.query, got, err, test.want)
			}
		}
	}
}

func TestMatches(t *testing.T) {
	doc := parseText(t, people)
	for query, want := range map[string]bool{
		`//person`: true, `//nobody`: false, `""`: false, `"a"`: true, `0`: false, `1`: true, `()`: false,
		`//person/age = 85`: true, `false()`: false,
	} {
		q, err := Compile(query, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := q.Matches(context.Background(), Input{Context: doc}); err != nil || got != want {
			t.Errorf("%s: got %v, %v", query, got, err)
		}
	}
	q, err := Compile(`1, 2`, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var e *Error
	if _, err := q.Matches(context.Background(), Input{}); !errors.As(err, &e) || e.Code != "FORG0006" || e.Line != 1 {
		t.Errorf("got %v", err)
	}
}

func TestContextItem(t *testing.T) {
	doc := parseText(t, people)
	var noDocument *Document
	for _, test := range []struct {
		item any
		want string
	}{
		{doc, "people"}, {doc.Root(), "people"}, {doc.Element(), "people"},
		{nil, "XPDY0002"}, {noDocument, "XPDY0002"}, {struct{}{}, "XPTY0004"}, {42, "XPTY0020"},
	} {
		q, err := Compile(`local-name((self::people, people)[1])`, Options{})
		if err != nil {
			t.Fatal(err)
		}
		s, err := q.Evaluate(context.Background(), Input{Context: test.item})
		var e *Error
		if errors.As(err, &e) {
			if e.Code != test.want {
				t.Errorf("%T: %v", test.item, err)
			}
			continue
		}
		if texts, err := s.Strings(); err != nil || texts[0] != test.want {
			t.Errorf("%T: %v, %v", test.item, texts, err)
		}
	}
}

// A result stays what it was when its query is evaluated again.
func TestResultsAreKept(t *testing.T) {
	q, err := Compile(`.`, Options{})
	if err != nil {
		t.Fatal(err)
	}
	first, second := NewBuilder("a"), NewBuilder("b")
	s, err := q.Evaluate(context.Background(), Input{Context: first.Document().Element()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := q.Evaluate(context.Background(), Input{Context: second.Document().Element()}); err != nil {
		t.Fatal(err)
	}
	if n, ok := s.Item(0).(helium.Node); !ok || n.Name() != "a" {
		t.Errorf("the first result became %v", s.Item(0))
	}
}

// Texts of a result outlive the document they came from.
func TestResultsOutliveDocuments(t *testing.T) {
	q, err := Compile(`//name/string(), //person[1]/@id/data()`, Options{})
	if err != nil {
		t.Fatal(err)
	}
	doc := parseText(t, people)
	s, err := q.Evaluate(context.Background(), Input{Context: doc})
	if err != nil {
		t.Fatal(err)
	}
	doc.Free()
	other := parseText(t, strings.NewReplacer("Ada", "Xxx", "Grace", "Yyyyy", `"1"`, `"9"`).Replace(people))
	defer other.Free()
	texts, err := s.Strings()
	if want := []string{"Ada", "Grace", "Alan", "1"}; err != nil || !slices.Equal(texts, want) {
		t.Errorf("got %v, %v", texts, err)
	}
}

func TestSequence(t *testing.T) {
	day := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	q, err := Compile(`$v, $v ! data(.)`, Options{Variables: []string{"v"}})
	if err != nil {
		t.Fatal(err)
	}
	b := NewBuilder("a")
	b.Element("b", "text")
	node := b.Document().Element()
	for _, test := range []struct {
		in   any
		out  any
		text string
	}{
		{"a", "a", "a"}, {true, true, "true"}, {int64(7), int64(7), "7"}, {7, int64(7), "7"}, {uint8(7), int64(7), "7"},
		{1.5, 1.5, "1.5"}, {float32(1.5), 1.5, "1.5"},
		{big.NewRat(1, 4), big.NewRat(1, 4), "0.25"}, {big.NewInt(7), int64(7), "7"},
		{new(big.Int).Lsh(big.NewInt(1), 70), new(big.Rat).SetInt(new(big.Int).Lsh(big.NewInt(1), 70)), "1180591620717411303424"},
		{day, day, "2026-01-02T03:04:05Z"}, {[]byte("ab"), []byte("ab"), "YWI="}, {node, node, "text"},
	} {
		s, err := q.Evaluate(context.Background(), Input{Variables: map[string]Sequence{"v": Of(test.in)}})
		if err != nil {
			t.Errorf("%v: %v", test.in, err)
			continue
		}
		texts, err := s.Strings()
		if err != nil || s.Len() != 2 || texts[0] != test.text || texts[1] != test.text {
			t.Errorf("%v: %v, %v", test.in, texts, err)
		}
		if !same(s.Item(0), test.out) {
			t.Errorf("%v became %v (%T)", test.in, s.Item(0), s.Item(0))
		}
		if atoms, err := s.Atoms(); err != nil || len(atoms) != 2 {
			t.Errorf("%v: %v, %v", test.in, atoms, err)
		}
	}
	if s := Of(nil, "a", Of(1, 2), Of()); s.Len() != 3 {
		t.Errorf("got %d items", s.Len())
	}
}

func same(x, y any) bool {
	switch x := x.(type) {
	case *big.Rat:
		y, ok := y.(*big.Rat)
		return ok && x.Cmp(y) == 0
	case []byte:
		y, ok := y.([]byte)
		return ok && string(x) == string(y)
	}
	return x == y
}

// goSequence is a Sequence that is not ours.
type goSequence []any

func (s goSequence) Len() int                   { return len(s) }
func (s goSequence) Item(i int) any             { return s[i] }
func (s goSequence) Atoms() ([]any, error)      { return s, nil }
func (s goSequence) Strings() ([]string, error) { return nil, nil }

func TestForeignSequence(t *testing.T) {
	q, err := Compile(`sum($v)`, Options{Variables: []string{"v"}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := q.Evaluate(context.Background(), Input{Variables: map[string]Sequence{"v": goSequence{1, 2, 3}}})
	if err != nil || s.Item(0) != int64(6) {
		t.Errorf("got %v, %v", s, err)
	}
	if _, err = q.Evaluate(context.Background(), Input{}); err == nil || !strings.Contains(err.Error(), "XPDY0002: the external variable $v has no value") {
		t.Errorf("got %v", err)
	}
}

func TestExternalFunctions(t *testing.T) {
	var deadline bool
	options := Options{
		Namespaces: map[string]string{"c": "urn:c"},
		Functions: []Function{
			{Namespace: "urn:c", Name: "twice", Arity: 1, Call: func(ctx context.Context, args []Sequence) (Sequence, error) {
				_, deadline = ctx.Deadline()
				return Of(args[0], args[0]), nil
			}},
			{Namespace: "urn:c", Name: "twice", Arity: 2, Call: func(_ context.Context, args []Sequence) (Sequence, error) {
				return Of(args[0], args[1], args[1]), nil
			}},
			{Name: "serial", Arity: 0, Effect: true, Call: func(context.Context, []Sequence) (Sequence, error) { return Of(42), nil }},
			{Name: "concat", Arity: 3, Call: func(context.Context, []Sequence) (Sequence, error) { return Of("mine"), nil }},
			{Name: "other", Arity: 0, Effect: true},
		},
	}
	for query, want := range map[string]string{
		`c:twice("a")`:                               "a|a",
		`"a" => c:twice("b")`:                        "a|b|b",
		`for-each(("a", "b"), c:twice#1)`:            "a|a|b|b",
		`let $f := c:twice(?, "x") return $f(1)`:     "1|x|x",
		`serial()`:                                   "42",
		`concat("a", "b", "c")`:                      "abc",
		`Q{urn:c}twice((1, 2))`:                      "1|2|1|2",
		`function-lookup(xs:QName("c:twice"), 1)(5)`: "5|5",
	} {
		q, err := Compile(query, options)
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		s, err := q.Evaluate(context.Background(), Input{})
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		if texts, err := s.Strings(); err != nil || strings.Join(texts, "|") != want {
			t.Errorf("%s: got %v, %v", query, texts, err)
		}
	}
	if !deadline {
		t.Error("an external function got no deadline")
	}
	for query, want := range map[string][]string{
		`1`: nil, `serial()`: {"serial"}, `serial#0`: {"serial"}, `(serial(), other(), serial())`: {"other", "serial"},
		`function-lookup(xs:QName("c:twice"), 1)`: {"other", "serial"},
	} {
		q, err := Compile(query, options)
		if err != nil {
			t.Fatal(err)
		}
		if got := q.Effects(); !slices.Equal(got, want) {
			t.Errorf("%s: got %v", query, got)
		}
	}
}

func TestConcurrentEvaluation(t *testing.T) {
	q, err := Compile(`
		declare variable $least external;
		string-join(for $p in //person[age > $least] order by $p/name return f($p/name || current-date()), ",")`,
		Options{Functions: []Function{{Name: "f", Arity: 1, Call: func(_ context.Context, args []Sequence) (Sequence, error) {
			return args[0], nil
		}}}})
	if err != nil {
		t.Fatal(err)
	}
	doc := parseText(t, people)
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			now := time.Date(2000+i, 1, 1, 0, 0, 0, 0, time.UTC)
			want := "Ada" + now.Format("2006-01-02Z") + ",Grace" + now.Format("2006-01-02Z")
			least := 0
			if i%2 == 1 {
				least, want = 50, "Grace"+now.Format("2006-01-02Z")
			}
			for range 50 {
				s, err := q.Evaluate(context.Background(), Input{Context: doc, Variables: map[string]Sequence{"least": Of(least)}, Now: now})
				if err != nil {
					t.Error(err)
					return
				}
				if texts, err := s.Strings(); err != nil || texts[0] != want {
					t.Errorf("got %v, %v, want %s", texts, err, want)
					return
				}
				if len(q.Reads().Context) == 0 {
					t.Error("no reads")
				}
				if _, err := q.Evaluate(context.Background(), Input{}); err == nil {
					t.Error("no error without a context item")
				}
			}
		})
	}
	all.Wait()
}
