package xquery

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// Queries that would take the machine with them. Each must end by a limit, not by luck: the clock is not among them.
var greedy = []string{
	// steps
	`count(for $a in 1 to 100000, $b in 1 to 100000 return ())`,
	`some $a in 1 to 90000, $b in 1 to 90000 satisfies $a = -$b`,
	`every $a in 1 to 90000, $b in 1 to 90000 satisfies true()`,
	`(1 to 90000) ! ((1 to 90000) ! ())`,
	`(1 to 90000)[(1 to 90000)[. = 0]]`,
	`(1 to 90000) = (for $i in 1 to 90000 return -$i)`,
	`1 to 100000000000`,
	`declare function local:f($n) { local:f($n + 1) }; local:f(0)`,
	`declare function local:f($n) { <a>{local:f($n + 1)}</a> }; local:f(0)`,
	`declare function local:f($n) { local:g($n), local:g($n) }; declare function local:g($n) { if ($n = 0) then () else local:f($n - 1) };
		local:f(100)`,
	`declare function local:f($n) { for $x in 1 to 1000 return local:g($n) };
		declare function local:g($n) { if ($n = 0) then () else local:f($n - 1) }; local:f(10)`,
	`for sliding window $w in 1 to 90000 start when true() end when false() return ()`,
	`for tumbling window $w in (for $x in 1 to 300, $y in 1 to 300 return $x) start when true() end when true() return <a/>`,
	`for $x in 1 to 90000 group by $y := xs:date("2020-01-01") + $x * xs:dayTimeDuration("P1D") return ()`,
	`(1 to 90000) ! (switch (.) case (1 to 90000)[. = 1] return 1 default return 2)`,
	// nodes
	`(1 to 90000) ! <a/>`,
	`count(for $x in 1 to 90000 return element { "a" } {})`,
	`<a>{(1 to 90000) ! <b/>}</a>`,
	`<a>{(1 to 90000) ! "a long text, many times"}</a>`,
	`<a b="{(1 to 90000) ! 'a long text, many times'}"/>`,
	`fold-left(1 to 100000, <a/>, function($a, $b) { <a>{$a, $a}</a> })`,
	`text { (1 to 90000) ! "a long text, many times" }`,
	"``[`{(1 to 90000) ! 'a long text, many times'}`]``",
	`document { (1 to 90000) ! comment { "x" } }`,
	`count(1 to 1000000000000000000000)`,
	`for-each(1 to 90000, function($x) { for-each(1 to 90000, function($y) { () }) })`,
	`fold-left(1 to 90000, (), function($a, $b) { ($a, $b) })`,
	`let $a := (1 to 1000) let $b := ($a ! $a) let $c := ($b ! $b) return $c`,
	`let $a := array { 1 to 1000 } return fold-left(1 to 1000, $a, function($x, $y) { array:join(($x, $x)) })`,
	`for $x in 1 to 90000 order by (some $y in 1 to 90000 satisfies $y = 0) return $x`,
	`sort(1 to 90000, (), function($x) { count((1 to 90000)[. = $x]) })`,
	`for $i in 1 to 90000 return //b[1 to 90000 = 0]`,
	`let $s := string-join((1 to 1000) ! "ab") return (1 to 90000) ! matches($s, "^(a|b)*c$")`,
	`try { count(for $a in 1 to 100000, $b in 1 to 100000 return ()) } catch * { "caught" }`,
	`contains(string-join((1 to 10000) ! "a"), string-join((1 to 5000) ! "a") || "b", "http://www.w3.org/2013/collation/UCA")`,
	`substring-after(string-join((1 to 10000) ! "a"), string-join((1 to 5000) ! "a") || "b", "http://www.w3.org/2013/collation/UCA")`,
	// depth
	`let $f := function($f) { $f($f) } return $f($f)`,
	`let $f := function($f, $n) { 1 + $f($f, $n + 1) } return $f($f, 0)`,
	`let $f := function($f) { (1, 2) ! $f($f) } return $f($f)`,
	// nesting
	`fold-left(1 to 90000, [], function($a, $b) { [$a] })`,
	`fold-left(1 to 90000, map {}, function($a, $b) { map { 1: $a } })`,
	`fold-right((1 to 9000) ! [], [], array:append(?, ?))`,
	`fold-right((1 to 9000) ! [], [], array:append#2)`,
	`fold-right((1 to 9000) ! [], [], function-lookup(xs:QName("array:append"), 2))`,
	`let $f := array:append#2 return fold-right((1 to 9000) ! [], [], $f(?, ?))`,
	// bytes
	`fold-left(1 to 100, "ab", function($a, $b) { $a || $a })`,
	`fold-left(1 to 100, "ab", function($a, $b) { concat($a, $a) })`,
	`fold-left(1 to 100, "ab", function($a, $b) { string-join(($a, $a)) })`,
	`fold-left(1 to 100, "ab", function($a, $b) { replace($a, ".", "$0$0$0$0") })`,
	`fold-left(1 to 100, "ab", function($a, $b) { serialize(($a, $a)) })`,
	`let $s := string-join((1 to 10000) ! "xxxxxxxxxx") return (1 to 1000) ! upper-case($s)`,
	`let $s := string-join((1 to 10000) ! "xxxxxxxxxx") return string-join((1 to 10000) ! $s)`,
	`let $s := string-join((1 to 10000) ! "xxxxxxxxxx") return (1 to 10000) ! xs:string($s || .)`,
	`let $s := string-join((1 to 10000) ! "<a>x</a>") return (1 to 1000) ! parse-xml("<r>" || $s || "</r>")`,
}

func TestLimits(t *testing.T) {
	doc := parseText(t, `<a><b/><b/></a>`)
	for _, query := range greedy {
		q, err := Compile(query, Options{})
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		limits := Limits{Steps: 100_000, Constructed: 1 << 20, Time: time.Hour}
		_, err = q.Evaluate(context.Background(), Input{Context: doc, Limits: limits})
		var e *Error
		if !errors.As(err, &e) || e.Code != codeLimit || !errors.Is(err, ErrLimit) {
			t.Errorf("%s: %v", query, err)
		}
	}
}

// The numbers of XQuery have any length; ours end at some thousands of digits.
func TestLongNumbers(t *testing.T) {
	for _, query := range []string{
		`fold-left(1 to 100, 10, function($a, $b) { $a * $a })`,
		`fold-left(1 to 100, 1.1, function($a, $b) { $a * $a })`,
		`fold-left(1 to 100, 1.1, function($a, $b) { $a + 1 div ($a * 3) })`,
		`fold-left(1 to 100, 7, function($a, $b) { 1 div ($a * $a + 1) })`,
		`xs:integer(string-join((1 to 10000) ! "9"))`,
		`string-join((1 to 10000) ! "9") cast as xs:decimal`,
		`format-integer(1000000000000, "I")`,
	} {
		q, err := Compile(query, Options{})
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		var e *Error
		if _, err = q.Evaluate(context.Background(), Input{}); !errors.As(err, &e) || e.Code != codeOverflow && e.Code != "FODF1310" {
			t.Errorf("%s: %v", query, err)
		}
	}
	q, err := Compile(`fold-left(1 to 1000, 1, function($a, $b) { $a * 2 }) mod 7`, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if s, err := q.Evaluate(context.Background(), Input{}); err != nil || s.Item(0) != int64(2) {
		t.Errorf("2 to the 1000th modulo 7: %v, %v", s, err)
	}
}

func TestTimeLimit(t *testing.T) {
	q, err := Compile(`for $a in 1 to 900000 return $a * $a`, Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = q.Evaluate(context.Background(), Input{Limits: Limits{Time: time.Nanosecond}})
	if !errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("got %v", err)
	}
}

func TestCancellation(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	q, err := Compile(`for $a in 1 to 900000 return if ($a = 1000) then stop() else $a`, Options{Functions: []Function{
		{Name: "stop", Call: func(context.Context, []Sequence) (Sequence, error) { cancel(); return nil, nil }},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var e *Error
	if _, err = q.Evaluate(ctx, Input{}); !errors.Is(err, context.Canceled) || errors.As(err, &e) {
		t.Errorf("got %v", err)
	}
	if _, err = q.Evaluate(ctx, Input{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// The steps of a query grow with what it does: a limit that is enough for some items is not for ten times as many.
func TestStepsAreLinear(t *testing.T) {
	for _, pattern := range []string{
		`count(for $i in 1 to %d return ())`,
		`some $i in 1 to %d satisfies $i = 0`,
		`count((1 to %d) ! ())`,
		`count((1 to %d)[. = 0])`,
		`count(for-each(1 to %d, function($x) { () }))`,
		`count(for $i in 1 to %d order by -$i return ())`,
		`let $i := 1 to %d return $i = 0`,
	} {
		for _, n := range []int{100, 10_000} {
			q, err := Compile(fmt.Sprintf(pattern, n), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := q.Evaluate(context.Background(), Input{Limits: Limits{Steps: n / 2}}); !errors.Is(err, ErrLimit) {
				t.Errorf("%s takes less than %d steps: %v", q.Source(), n/2, err)
			}
			if _, err := q.Evaluate(context.Background(), Input{Limits: Limits{Steps: 40 * n}}); err != nil {
				t.Errorf("%s takes more than %d steps: %v", q.Source(), 40*n, err)
			}
		}
	}
}

func TestSourceLimits(t *testing.T) {
	for name, source := range map[string]string{
		"size":        strings.Repeat(" ", MaxSource) + "1",
		"parentheses": strings.Repeat("(", 5000) + strings.Repeat(")", 5000),
		"predicates":  strings.Repeat("a[", 5000) + strings.Repeat("]", 5000),
		"conditions":  strings.Repeat("if (1) then ", 5000),
		"functions":   strings.Repeat("function() {", 5000),
		"types":       "1 instance of " + strings.Repeat("array(", 5000),
		"sums":        "1" + strings.Repeat("+1", 5000),
		"maps":        "1" + strings.Repeat("!1", 5000),
		"paths":       "a" + strings.Repeat("/a", 5000),
		"lookups":     "$x" + strings.Repeat("?a", 5000),
		"calls":       "$x" + strings.Repeat("()", 5000),
		"arrows":      "1" + strings.Repeat("=>f()", 5000),
		"clauses":     strings.Repeat("let $x := 1 ", 5000) + "return 1",
		"variables":   strings.Repeat("declare variable $x external;", 1) + strings.Repeat("let $y := 1 ", 5000),
	} {
		_, err := Compile(source, Options{})
		var e *Error
		if !errors.As(err, &e) || e.Code != codeLimit || !errors.Is(err, ErrLimit) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What may be long: rows of associative operators, sequences, signs.
	for name, source := range map[string]string{
		"or":     "1 = 2" + strings.Repeat(" or 1 = 2", 5000) + " or true()",
		"and":    "true()" + strings.Repeat(" and true()", 5000),
		"concat": `string-length("a"` + strings.Repeat(`||"a"`, 5000) + ") = 5001",
		"comma":  "(1" + strings.Repeat(",1", 5000) + ")[5001] = 1",
		"signs":  strings.Repeat("-", 5000) + "1 = 1",
	} {
		q, err := Compile(source, Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if matches, err := q.Matches(context.Background(), Input{}); err != nil || !matches {
			t.Errorf("%s: %v, %v", name, matches, err)
		}
	}
}
