package xquery

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// evaluateText is the result of a query as one text, or the code of its error.
func evaluateText(t *testing.T, source string, in Input) string {
	t.Helper()
	q, err := Compile(source, Options{})
	if err == nil {
		var s Sequence
		if s, err = q.Evaluate(context.Background(), in); err == nil {
			var all []string
			if all, err = s.Strings(); err == nil {
				return strings.Join(all, " ")
			}
		}
	}
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("%s: %v", source, err)
	}
	return e.Code
}

// TestChosen: predicates about positions select what they select when each item is asked. "+ 0 * count(.)" keeps a
// predicate from being recognized.
func TestChosen(t *testing.T) {
	doc := parseText(t, `<a><b>1</b><b>2</b><b>3</b><b>4</b></a>`)
	for _, base := range []string{"(11 to 16)", "()", "7", `("a", 2, <x/>)`, "(//b)", "(//b, 5)"} {
		for _, predicate := range []string{
			"2", "0", "7", "2.5", "2e0", "-1", "last()", "$n", "$n + 1", "$n - 5", "$none", "$many", `"text"`, `""`, "$word",
			"position() = $many", "position() != $n", "position() < $n", "position() <= $n", "position() > $n",
			"position() >= $n", "$n > position()", "$n >= position()", "$n < position()", "$n <= position()", "$n = position()",
			"position() = (2)", "(position() = 2)", "position() > 1 and position() <= $n + 1", "position() = $none",
			"position() = $word", "position() = $untyped", "position() > 1 and 5 > position() and position() != 3", "$untyped",
			"$date",
		} {
			const prolog = `let $n := 3, $none := (), $many := (2, 4), $word := "w", $untyped := xs:untypedAtomic("2"),
				$date := xs:date("2026-01-01") return string-join(%[%], "|")`
			quick := strings.Replace(strings.Replace(prolog, "%", base, 1), "%", predicate, 1)
			slow := strings.Replace(strings.Replace(prolog, "%", base, 1), "%", "(if (count(.) = 1) then "+predicate+" else ())", 1)
			if got, want := evaluateText(t, quick, Input{Context: doc}), evaluateText(t, slow, Input{Context: doc}); got != want {
				t.Errorf("%s[%s]: %s, not %s", base, predicate, got, want)
			}
		}
	}
}

// TestDescendantPredicates: a predicate behind "//" counts among siblings.
func TestDescendantPredicates(t *testing.T) {
	doc := parseText(t, `<a><s n="1"><b k="x">1</b><b k="y">2</b></s><s n="2"><b k="x">3</b></s></a>`)
	for query, want := range map[string]string{
		`//b[1]`: "1 3", `//b[last()]`: "2 3", `//b[. > 1]`: "2 3", `//b[@k]`: "1 2 3", `//b[@k = "x"]`: "1 3",
		`//b[position() = 2]`: "2", `//b[@k = "x" and position() = 1]`: "1 3", `//b[position() = last()]`: "2 3",
		`let $n := 1 return //b[$n]`: "1 3", `//b[count(../b)]`: "2 3", `//b[number(../@n)]`: "1", `//b[../@n/number()]`: "1",
		`//b[not(position() = 1)]`: "2", `//b[exists(@k)][1]`: "1 3", `//b[@k eq "x" or . = 2]`: "1 2 3",
		`//b[. = position()]`: "1 2", `//b[contains(@k, "x")]`: "1 3", `//b[(1 to last()) = 2]`: "1 2",
		`//b[string-length(.) = last()]`: "3", `//b["a"]`: "1 2 3", `//b[. = (1, last())]`: "1 2", `//b[/a]`: "1 2 3",
		`//b[-1 + 2]`: "1 3", `//b[(@k)]`: "1 2 3", `//b[//s]`: "1 2 3", `//b[not(empty(.)) and ../@n = last()]`: "",
	} {
		if got := evaluateText(t, query, Input{Context: doc}); got != want {
			t.Errorf("%s: %s, not %s", query, got, want)
		}
	}
}

// TestEditedMaps: a map that is not made answers as if it were.
func TestEditedMaps(t *testing.T) {
	const base = `let $m := map { "a": 1, 2: ("b", "c"), 3.0: () }, $id := function($x) { $x } return `
	rows := []string{
		`map:put($m, "a", 9)`, `map:put($m, 2.0, "z")`, `map:put($m, "n", (5, 6))`, `map:remove($m, "a")`, `map:remove($m, (2, "x", 3, 2))`,
		`map:remove($m, ())`, `map:put(map:put($m, "n", 1), "n", 2)`, `map:remove(map:put($m, "n", 1), "n")`,
		`map:put(map:remove($m, ("a", 2)), 2, 8)`, `(map:put((map:put($m, 7, 7)), 8, 8))`, `map:put($m, xs:untypedAtomic("a"), 5)`,
	}
	for _, row := range rows {
		for _, question := range []string{
			`map:get(%, "a")`, `map:get(%, 2e0)`, `map:get(%, "n")`, `map:contains(%, "a")`, `map:contains(%, 3)`,
			`map:contains(%, "n")`, `map:size(%)`, `map:size(map:put(%, "a", 0))`,
			`for $k in map:keys(map:put(%, "q", "r")) order by string($k) return ($k, map:get(map:put(%, "q", "r"), $k))`,
			`map:get(%, ())`, `map:get(%, ("a", "b"))`, `map:size(map:remove(%, map:keys(%)))`,
		} {
			// The function hides the two calls from each other.
			quick := base + strings.ReplaceAll(question, "%", row)
			hidden := base + strings.ReplaceAll(question, "%", "$id("+row+")")
			if got, want := evaluateText(t, quick, Input{}), evaluateText(t, hidden, Input{}); got != want {
				t.Errorf("%s: %s, not %s", quick, got, want)
			}
		}
	}
	for query, want := range map[string]string{
		`map:size(map:put(map:put(map{}, 1, 1), 1.0, 2))`:                                               "1",
		`map:get(map:put(map:put(map{}, 1, "x"), 1.0, "y"), 1)`:                                         "y",
		`map:contains(map:remove(map:put(map{}, "n", 1), "n"), "n")`:                                    "false",
		`string-join(for $k in map:keys(map:put(map:put(map{1:1}, 2, 2), 3, 3)) order by $k return $k)`: "123",
		`map:get(map:put((), 1, 2), 1)`:                                                                 codeType,
		`map:get(map:put("m", 1, 2), 1)`:                                                                codeType,
		`map:size(map:put(map{}, (), 2))`:                                                               codeType,
		`map:get(map:put(map{}, ?, 2)(1), 1)`:                                                           "2",
	} {
		if got := evaluateText(t, query, Input{}); got != want {
			t.Errorf("%s: %s, not %s", query, got, want)
		}
	}
}

// TestDoubles: what is known to be a double is guarded against neither long numbers nor wrong types less.
func TestDoubles(t *testing.T) {
	for query, want := range map[string]string{
		`declare function local:f($v as xs:double*) as xs:double* { for $x in $v return $x * 2 + 1 }; local:f((1, 2.5, <a>3</a>))`: "3 6 7",
		`declare function local:f($x as xs:double) as xs:double* { $x, "a"[$x > 5] }; local:f(1)`:                                  "1",
		`declare function local:f($x as xs:double) as xs:double* { $x, "a"[$x > 5] }; local:f(9)`:                                  codeType,
		`let $d := 1e0 return $d * xs:dayTimeDuration("PT1H")`:                                                                     "PT1H",
		`let $d := 2e0 return ($d + 1) instance of xs:double`:                                                                      "true",
		`declare function local:f($n as xs:integer, $x) { if ($n = 0) then $x else local:f($n - 1, $x * $x) }; local:f(20, 10)`:    codeOverflow,
	} {
		if got := evaluateText(t, query, Input{}); got != want {
			t.Errorf("%s: %s, not %s", query, got, want)
		}
	}
}

// TestStateKey: without the key, contexts pile up with the depth of calls, and deep recursion takes quadratic time.
func TestStateKey(t *testing.T) {
	if stateKey == nil {
		t.Error("helium does not tell under which key it keeps its state")
	}
}

// TestJoins: looking ahead leaves out only what the condition leaves out, also when it gives up.
func TestJoins(t *testing.T) {
	var b strings.Builder
	b.WriteString("<r>")
	for i := range 12 {
		fmt.Fprintf(&b, `<p id="%d"><n>%d</n></p><a><b ref="%d"/><b ref="%d"/><v>%d.50</v></a>`, i, i*i%7, i%5, i*3%12, i)
	}
	b.WriteString("<x><v>text</v></x></r>")
	doc := parseText(t, b.String())
	for _, query := range []string{
		`for $p in //p, $a in //a where $a/b/@ref = $p/@id return $a/v || "-" || $p/n`,
		`for $p in //p return count(for $a in //a where $p/@id = $a/b/@ref return $a)`,
		`for $p in //p let $n := $p/n for $a in //a let $v := $a/v where $v > 3 and $a/b/@ref = $n return $a/v`,
		`for $p in //p, $a in //a where $a/v > 2 * $p/n return $a/v`,
		`for $p in //p, $a in //a where $a/v <= exactly-one($p/n) return $a/v`,
		`for $p in //p, $a in //a where number($p/n) < $a/v return $a/v`,
		`for $p in //p, $a in //a where 5 >= $a/v and $a/b/@ref = $p/@id return $a/v`,
		`for $p in //p, $a in //a where $a/b/@ref = ($p/@id) return $a/v`,
		`for $p in //p, $a in //a where $p/n > 2 * exactly-one($a/v) return $a/v`,
		`for $p in //p, $a in //a where $p/@id = 3 * $a/b/@ref return $a/v`, // more than one value
		`for $p in //p, $a in //a where $p/@id = zero-or-one($a/v) - 0.5 return $a/v`,
		`for $p in ("1", "x"), $a in //a where $p = number($a/v) return $a/v`,
		`for $p in //p, $a in //a where ($p/@id, "x") = 2 * $a/v return $a/v`,
		`for $p in //p, $a in (//a, //p) where $p/@id = number($a/v) return $a/v`,
		`for $p in //p, $a in //a where string($a/v) = $p/n return $a/v`,
		`for $p in (1, 2, xs:float("0.5"), 1.5, 10000000000000000001), $a in //a where $a/v > $p - 0.5 return $a/v`,
		`for $p in //p, $a in (function() { 1 }) where $a = $p/n return 1`,
		`let $r := (/, /) for $p in //p, $a in $r/r/a where $p/@id = $a/b/@ref return $a/v`,
		`let $r := () for $p in //p, $a in $r/r/a where $p/@id = $a/b/@ref return $a/v`,
		`let $r := 1 for $p in //p, $a in $r/r/a where $p/@id = $a/b/@ref return $a/v`,
		`for $q in 1 to 2 let $r := (/) for $p in $r//p, $a in $r/r/a where $p/@id = $a/b/@ref return $a/v || $q`,
		`for $p in //p, $x in (//r, //r), $a in $x/a where $p/@id = $a/b/@ref return $a/v`,
		`for $p in //p, $a in //v where $a > $p/n + 1 return $a`, // one of the values is no number
		`for $p in //p, $a in //v where $a = number($p/n) return $a`,
		`for $p in //p, $a in //v where $a = string($p/n) return $a`,
		`for $p in (1, 2), $a in //a where $a/v/.. = $p return $a`,
		`for $p in ("0", "3", "x", ""), $a in //a where $a/b/@ref = $p return $a/v`,
		`for $p in (xs:date("2026-01-01"), 3), $a in //a where $a/b/@ref = $p return $a/v`,
		`for $p in //p, $a in (//a, 5) where $a/b/@ref = $p/@id return $a/v`,
		`for $p in //p, $a in //a[v > $p/n] where $a/b/@ref = $p/@id return $a/v`,
		`for $p in //p, $a in //a, $a in $a/b where $a/@ref = $p/@id return $a/@ref`,
		`for $p in //p, $a in //a let $p := $a where $a/b/@ref = $p/b/@ref return $p/v`,
		`for $p in //p, $a in //a group by $k := $a/v where $k = $p/n return $k`,
		`for $x in ("1", "2") let $e := <e>{ (1 to 9) ! <f g="{. mod 3}"/> }</e> for $f in $e/f where $f/@g = $x return string($f/@g)`,
		`declare function local:f($id) { for $a in //a where $a/b/@ref = $id return $a/v }; //p/@id ! local:f(.)`,
		`declare function local:f($r, $id) { for $a in $r//a where $a/b/@ref = $id return $a/v }; for $p in //p return local:f(/, $p/@id)`,
	} {
		q, err := Compile(query, Options{})
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		// A function with an effect is called as often as is written, so that nothing is looked ahead to.
		slow, err := Compile(query, Options{Functions: []Function{{Name: "effect", Effect: true}}})
		if err != nil {
			t.Fatal(err)
		}
		got, gotErr := texts(q, Input{Context: doc})
		want, wantErr := texts(slow, Input{Context: doc})
		if got != want || (gotErr == nil) != (wantErr == nil) {
			t.Errorf("%s: %q, %v; not %q, %v", query, got, gotErr, want, wantErr)
		}
	}
}

// TestJoinIsFast: the steps of a join do not grow with the product of its parts.
func TestJoinIsFast(t *testing.T) {
	var b strings.Builder
	b.WriteString("<r>")
	for i := range 400 {
		fmt.Fprintf(&b, `<p id="%d"/><a ref="%d"/>`, i, i*7%400)
	}
	b.WriteString("</r>")
	q, err := Compile(`let $as := /r/a return count(for $p in /r/p, $a in $as where $a/@ref = $p/@id return $a)`, Options{})
	if err != nil {
		t.Fatal(err)
	}
	in := Input{Context: parseText(t, b.String())}
	result, took, err := q.run(context.Background(), q.program, in.Context.(*Document).doc, nil, &in)
	if err != nil || integerArgument(result) != 400 {
		t.Fatalf("%v, %v", result, err)
	}
	if most := 400 * 50; took.steps > most {
		t.Errorf("%d steps, more than %d", took.steps, most)
	}
}
