package xquery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/helium/xpath3"
)

// What shares its parts takes little, and is endless for whoever walks through it. Each query must end by a limit, and not
// by the clock's.
func TestSharedParts(t *testing.T) {
	chain := func(step string) string { return "let $a := [] " + strings.Repeat("let $a := "+step+" ", 60) }
	var queries []string
	for _, step := range []string{
		"[$a, $a]", "array { $a, $a }", "map { 1: $a, 2: $a }", "array:append($a, $a)", "array:join(([$a], $a, [$a]))",
		"array:put([1, $a], 1, $a)", "array:insert-before([$a], 1, $a)", "map:put(map { 1: $a }, 2, $a)", "[map:entry(1, $a), $a]",
		"map:merge((map { 1: $a }, map { 2: $a }))", "array:for-each([1, 2], function($x) { $a })",
		"array:for-each(?, function($x) { $a })([1, 2])", "apply(array:for-each#2, [[1, 2], function($x) { $a }])",
		"function-lookup(xs:QName('array:for-each'), 2)([1, 2], function($x) { $a })",
		"array:for-each-pair([1, 2], [1, 2], function($x, $y) { $a })", "fold-left((1, 2), [], function($x, $y) { array:append($x, $a) })",
		"array:append#2($a, $a)", "array:append(?, $a)($a)", "map:put(map:put(map { }, 1, $a), 2, $a)", "[if (true()) then ($a) else 1, $a ! .]",
	} {
		queries = append(queries, chain(step)+"return $a")
	}
	nested := "let $n := [] " + strings.Repeat("let $n := [$n, $n] ", 14) + "return "
	node := `let $n := <a>{ (1 to 1000) ! "xxxxxxxxxx" }</a> return `
	for _, start := range []string{nested, node} {
		for _, end := range []string{
			"data($m)", "string-join($m)", "sum($m)", "avg($m)", "max($m)", "min($m)", "distinct-values($m)", "index-of($m, 'x')",
			"sort($m)", "array:sort([$m, $m])", "<a b='{ $m }'/>", "text { $m }", "id($m, document { <a/> })",
			"(function($x as xs:string*) { 1 })($m)", "(function() as xs:string* { $m })()", "sum#1($m)", "sum(?)($m)", "max(?, 'x')($m)",
			"apply(max#1, [$m])", "function-lookup(xs:QName('fn:max'), 1)($m)",
		} {
			queries = append(queries, start+"let $m := (1 to 10000) ! $n return "+end)
		}
	}
	queries = append(queries, nested+"(1 to 10000) ! $n",
		"declare function local:f($x as xs:string*) { 1 }; "+node+"local:f((1 to 10000) ! $n)",
		"declare function local:f($x as xs:string*) { 1 }; "+node+"local:f#1((1 to 10000) ! $n)",
		"declare function local:f($x as xs:string*) { 1 }; "+node+"local:f(?)((1 to 10000) ! $n)",
		"declare function local:f() as xs:string* { "+node+"(1 to 10000) ! $n }; local:f()",
		node+"for $x in (1 to 10000) ! $n order by $x return 1", node+"for $x in (1 to 10000) ! $n group by $y := $x return 1",
	)
	for _, query := range queries {
		query = strings.ReplaceAll(query, "return let", "let")
		q, err := Compile(query, Options{})
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		_, err = q.Evaluate(context.Background(), Input{Limits: Limits{Steps: 100_000, Constructed: 8 << 20, Time: time.Hour}})
		if !errors.Is(err, ErrLimit) {
			t.Errorf("%.300s: %v", query, err)
		}
	}
}

// What wants one value does not look at a million.
func TestOneOfMany(t *testing.T) {
	start := `let $n := <a>{ (1 to 1000) ! "xxxxxxxxxx" }</a> let $m := (1 to 10000) ! $n return `
	for query, code := range map[string]string{
		"$m to 5": codeType, "'x' || $m": codeType, "element { $m } {}": codeType, "xs:integer($m)": codeLimit,
		"switch ($m) case 1 return 1 default return 2": codeType, "for $x in 1 order by $m return 1": codeType,
	} {
		q, err := Compile(start+query, Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = q.Evaluate(context.Background(), Input{Limits: Limits{Steps: 1_000_000, Constructed: 1 << 20, Time: time.Hour}})
		var e *Error
		if !errors.As(err, &e) || e.Code != code {
			t.Errorf("%s: %v, not %s", query, err, code)
		}
	}
}

// Arrays and maps that hold much or nest deep, but share nothing, are none of that.
func TestNestedParts(t *testing.T) {
	for query, want := range map[string]string{
		// a list of pairs, and a map whose entry is replaced by one as large as the last
		`let $l := fold-left(1 to 3000, [], function($l, $x) { [$x, $l] }) return $l?1`:                                              "3000",
		`let $m := fold-left(1 to 3000, map {}, function($m, $x) { map:put($m, "a", array { 1 to 100 }) }) return array:size($m?a)`:  "100",
		`let $m := fold-left(1 to 500, map {}, function($m, $x) { map:put($m, $x, [$x, [$x]]) }) return sum(map:keys($m) ! $m(.)?1)`: "125250",
		`let $a := fold-left(1 to 500, [], function($a, $x) { array:append($a, map { "n": [$x] }) }) return sum($a?*?n?1)`:           "125250",
		`let $j := parse-json("[[1, 2], {""a"": [3, [4]]}]") return sum(array:flatten(array:append($j?2?a, $j?1)))`:                  "10",
		`sum((1 to 100) ! [., [.]])`: "10100",
		`let $m := map:merge((map { 1: "a", 2: () }, map { 1.0: ("b", "c") }, map { 2: 5, "1": 6 }), map { "duplicates": "combine" })
			return (map:keys($m), $m?1, $m?2, $m("1"))`: "1 2 1 a b c 5 6",
		`let $m := map:merge((1 to 2000) ! map { "a": 1 to 20 }, map { "duplicates": "combine" }) return count($m?a)`:            "40000",
		`let $n := <a><b>1</b><b>2</b></a> return (sum($n/b), max($n/b), sort($n/b) ! string(), sum([$n/b, [3]]), avg(?)($n/b))`: "3 2 1 2 6 1.5",
	} {
		q, err := Compile(query, Options{})
		if err != nil {
			t.Fatal(err)
		}
		s, err := q.Evaluate(context.Background(), Input{})
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		if texts, err := s.Strings(); err != nil || strings.Join(texts, " ") != want {
			t.Errorf("%s: %v, %v, not %s", query, texts, err, want)
		}
	}
}

// The counts of an evaluation keep only a part of what it made alive.
func TestNestingsForget(t *testing.T) {
	b := &budget{limits: Limits{Steps: 1 << 30, Time: time.Hour}, start: time.Now(), parent: context.Background()}
	var s xpath3.ItemSlice
	for range 40 {
		s = append(s, xpath3.NewArray(slices.Repeat([]xpath3.Sequence{xpath3.SingleInteger(1)}, 10000)))
	}
	if n, err := b.itemsIn(s); err != nil || n != 40+40*10000 {
		t.Errorf("%d items, %v", n, err)
	}
	if n := len(b.nested.known); n != keptNestings || n != len(b.nested.oldest) || b.nested.cells != n*10000 {
		t.Errorf("%d arrays are kept: %s", n, fmt.Sprint(b.nested.cells))
	}
}

// A text of any length is soon known to be no date and no number.
func TestLongTexts(t *testing.T) {
	for query, code := range map[string]string{
		`parse-ietf-date(string-join((1 to 100000) ! "9"))`: "FORG0010",
		`xs:double(string-join((1 to 100000) ! "9"))`:       codeOverflow,
		`xs:float(string-join((1 to 100000) ! "9"))`:        codeOverflow,
	} {
		q, err := Compile(query, Options{})
		if err != nil {
			t.Fatal(err)
		}
		var e *Error
		if _, err = q.Evaluate(context.Background(), Input{}); !errors.As(err, &e) || e.Code != code {
			t.Errorf("%s: %v, not %s", query, err, code)
		}
	}
}
