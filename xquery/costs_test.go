package xquery

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/helium/xpath3"
)

// evaluateAlone evaluates a query without a context item and gives the strings of its result.
func evaluateAlone(t *testing.T, query string, limits Limits) (string, error) {
	t.Helper()
	q, err := Compile(query, Options{})
	if err != nil {
		t.Fatalf("%.200s: %v", query, err)
	}
	s, err := q.Evaluate(context.Background(), Input{Limits: limits})
	if err != nil {
		return "", err
	}
	texts, err := s.Strings()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(texts, " "), nil
}

// A search for many IDs takes steps for the tree and for the IDs, not for their product.
func TestIDs(t *testing.T) {
	const tree = `let $d := document { <a xml:id="root">{ for $i in 1 to 500 return <b xml:id="{ "x" || $i }"><c xml:id="{ "x" || $i }"/></b> }</a> } `
	for query, want := range map[string]string{
		`count($d/id((1 to 500) ! ("x" || .)))`:                                          "500",
		`count($d/id(string-join((1 to 500) ! ("x" || .), " ")))`:                        "500",
		`$d/id(("x7 x3  x7", "x11", "none", "1", "root"))/(name() || @xml:id)`:           "aroot bx3 bx7 bx11",
		`id("x1", $d/a/b[3]/@xml:id)/@xml:id, id("x2", ($d//c)[2])/@xml:id`:              "x1 x2",
		`$d/id#1("x5")/@xml:id, $d/function-lookup(xs:QName("fn:id"), 1)("x6")/@xml:id`:  "x5 x6",
		`$d/element-with-id("x9")/name(), element-with-id("x9", $d)/name()`:              "b b",
		`$d/id(?)("x4")/@xml:id, id(?, $d)("x8")/@xml:id, id([("x1", "x2")], $d)/name()`: "x4 x8 b b",
	} {
		got, err := evaluateAlone(t, tree+"return ("+query+")", Limits{Steps: 30_000, Time: time.Hour})
		if err != nil || got != want {
			t.Errorf("%s: %q, %v, not %q", query, got, err, want)
		}
	}
	for query, code := range map[string]string{
		`id("x")`: codeNoFocus, `id#1("x")`: codeNoFocus, `1 ! id("x")`: codeType, `id("x", 1)`: codeType, `id("x", <a/>)`: "FODC0001",
		`<a/> ! id("x")`: "FODC0001", `id("x", ())`: codeType,
	} {
		var e *Error
		if _, err := evaluateAlone(t, query, Limits{}); !errors.As(err, &e) || e.Code != code {
			t.Errorf("%s: %v, not %s", query, err, code)
		}
	}
	_, err := evaluateAlone(t, tree+`return $d/id("x1")`, Limits{Steps: 3000, Time: time.Hour})
	if _, more := evaluateAlone(t, tree+`return (1 to 20000) ! $d/id(("x1", "x2"))`, Limits{Steps: 30_000, Time: time.Hour}); err == nil || !errors.Is(more, ErrLimit) {
		t.Errorf("%v, %v", err, more)
	}
}

// takenItems is a sequence that notes how many of its items were looked at.
type takenItems struct {
	sequenceInterface
	taken *int
}

func (s takenItems) Get(i int) xpath3.Item {
	*s.taken++
	return s.sequenceInterface.Get(i)
}

func (s takenItems) Items() iter.Seq[xpath3.Item] {
	return func(yield func(xpath3.Item) bool) {
		for i := range s.Len() {
			if !yield(s.Get(i)) {
				return
			}
		}
	}
}

// What the separator makes long ends at the first item that does not fit.
func TestSerializedSeparators(t *testing.T) {
	for _, method := range []string{"xml", "html", "text", "adaptive"} {
		for _, nested := range []bool{false, true} {
			taken := 0
			var s xpath3.Sequence = takenItems{xpath3.NewRangeSequence(1, 100_000), &taken}
			if nested {
				s = takenItems{xpath3.ItemSlice(slices.Repeat([]xpath3.Item{xpath3.NewArray([]xpath3.Sequence{xpath3.SingleInteger(1)})}, 100_000)), &taken}
			}
			b := &budget{limits: Limits{Steps: 1_000_000, Constructed: 1 << 20, Time: time.Hour}, start: time.Now(), parent: context.Background()}
			_, err := serialize(b, []xpath3.Sequence{s, xpath3.ItemSlice{xpath3.NewMap([]xpath3.MapEntry{
				{Key: textValue("method"), Value: xpath3.SingleString(method)},
				{Key: textValue("item-separator"), Value: xpath3.SingleString(strings.Repeat("<", 100_000))},
			})}})
			if !errors.Is(err, ErrLimit) || taken > 20 {
				t.Errorf("%s, nested %t: %v after %d items", method, nested, err, taken)
			}
		}
	}
}

func textValue(s string) xpath3.AtomicValue {
	return xpath3.AtomicValue{TypeName: xpath3.TypeString, Value: s}
}

// Copies of arrays and maps count by what they copy, and a short row of them is no row of long ones.
func TestCopies(t *testing.T) {
	const start = `let $a := array { 1 to 1000 } let $m := map:merge((1 to 1000) ! map:entry(., .)) return `
	for _, copied := range []string{
		"array:remove($a, .)", "array:put($a, ., 0)", "array:tail($a)", "array:reverse($a)", "array:insert-before($a, ., 0)",
		"array:append($a, 0)", "array:join(($a, [1]))", "array:subarray($a, 2)", "array:subarray($a, 1, 1000)", "array:tail#1($a)",
		"array:append(?, 1)($a)", "function-lookup(xs:QName('array:reverse'), 1)($a)", "map:put($m, ., 0)", "map:remove($m, .)",
		"map:merge(($m, map { }))", "map:remove(map:put($m, 0, 0), 1)", "map:put(map:put($m, 0, 0), ., 1)", "apply(map:remove#2, [$m, .])",
	} {
		// The same without the copies takes less than half of these steps.
		_, err := evaluateAlone(t, start+"count((1 to 200) ! "+copied+")", Limits{Steps: 40_000, Constructed: 1 << 40, Time: time.Hour})
		if !errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), "steps") {
			t.Errorf("%s: %v", copied, err)
		}
		_, err = evaluateAlone(t, start+"count((1 to 200) ! "+copied+")", Limits{Steps: 1 << 40, Constructed: 600_000, Time: time.Hour})
		if !errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), "bytes") {
			t.Errorf("%s: %v", copied, err)
		}
		if _, err := evaluateAlone(t, start+"count((1 to 2) ! "+copied+")", Limits{Steps: 40_000, Constructed: 600_000}); err != nil {
			t.Errorf("%s: %v", copied, err)
		}
	}
	for query, want := range map[string]string{
		`array:size(fold-left(1 to 2000, [], array:append#2))`:                              "2000",
		`map:size(fold-left(1 to 2000, map { }, function($m, $x) { map:put($m, $x, $x) }))`: "2000",
	} {
		if got, err := evaluateAlone(t, query, Limits{}); err != nil || got != want {
			t.Errorf("%s: %q, %v", query, got, err)
		}
	}
}

// To remove many keys takes steps for each, and one copy.
func TestRemovedKeys(t *testing.T) {
	const start = `let $m := map:merge((1 to 20000) ! map:entry(., . * 2)) return `
	for query, want := range map[string]string{
		`map:size(map:remove($m, 1 to 19990))`:                                                  "10",
		`map:remove($m, 1 to 19990)?19991`:                                                      "39982",
		`map:size(map:put(map:remove(map:remove($m, 1 to 10000), 5000 to 19999), "a", 1))`:      "2",
		`map:size(map:remove(map:remove($m, 1 to 10000), (5000 to 19999, 7, 20000, 30000)))`:    "0",
		`map:size(map:put(map:remove($m, (1 to 19000, 1 to 19000)), 7, 1))`:                     "1001",
		`map:contains(map:remove(map:put($m, 7, 1), 1 to 19000), 7)`:                            "false",
		`map:get(map:put(map:remove($m, 1 to 19000), 7, 1), 7)`:                                 "1",
		`string-join(map:keys(map:remove(map { 1: 2, "a": 3, 1.5: 4 }, ("a", "b", "a"))), " ")`: "1 1.5",
		`string-join(map:keys(map:remove(map { 1: 2, "a": 3 }, ())), " ")`:                      "1 a",
		`map:size(apply(map:remove#2, [$m, [1 to 19990]]))`:                                     "10",
	} {
		got, err := evaluateAlone(t, start+query, Limits{Steps: 300_000, Time: time.Hour})
		if err != nil || got != want {
			t.Errorf("%s: %q, %v, not %q", query, got, err, want)
		}
	}
}

// The nodes of fn:analyze-string count as they are made.
func TestAnalyzedStrings(t *testing.T) {
	const text = `let $s := string-join((1 to 2000) ! "ab") return `
	nested := strings.Repeat("(", 50) + "a" + strings.Repeat(")", 50)
	for _, pattern := range []string{"a", "(a)", nested, "a" + strings.Repeat("()", 50), "(" + nested + "|x)"} {
		query := text + `count(analyze-string($s, "` + pattern + `"))`
		_, err := evaluateAlone(t, query, Limits{Constructed: 300_000, Time: time.Hour})
		if !errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), "bytes") {
			t.Errorf("%s: %v", pattern, err)
		}
	}
	_, err := evaluateAlone(t, text+`count(analyze-string($s, "`+nested+`+"))`, Limits{Steps: 5_000, Time: time.Hour})
	if !errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), "steps") {
		t.Error(err)
	}
	for query, want := range map[string]string{
		`count(analyze-string($s, "a(b)|b()|[(]()|\(()")/*)`: "2000", `count(analyze-string($s, "a|(x)|(y)|(z)")/*)`: "4000",
	} {
		if got, err := evaluateAlone(t, text+query, Limits{Constructed: 1_500_000}); err != nil || got != want {
			t.Errorf("%s: %q, %v", query, got, err)
		}
	}
	for pattern, want := range map[string]int{"": 0, "a": 0, "(a)(b)": 2, "(a)|(b)|c": 1, "((a)|(b))": 3, `\((a)[(|]|b`: 1, "[[(]]()": 1} {
		if got := groupsOf(pattern); got != want {
			t.Errorf("%s has %d groups, not %d", pattern, got, want)
		}
	}
}

// What helium does without asking is refused beforehand when it takes too long.
func TestLongCalls(t *testing.T) {
	const uca = `"http://www.w3.org/2013/collation/UCA"`
	for query, enough := range map[string]int{
		`contains(string-join((1 to 1000) ! "a"), "b", ` + uca + `)`:         1_100_000,
		`substring-before(string-join((1 to 1000) ! "a"), "b", ` + uca + `)`: 1_100_000,
		`ends-with(string-join((1 to 5000) ! "a"), "b", ` + uca + `)`:        100_000,
		`count(sort((1 to 30000) ! (. mod 7919)))`:                           800_000,
		`array:size(array:sort(array { (1 to 30000) ! (. mod 7919) }))`:      800_000,
		`contains(string-join((1 to 200000) ! "a"), "b", ` + uca + `)`:       1 << 40,
	} {
		q, err := Compile(query, Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = q.Evaluate(context.Background(), Input{Limits: Limits{Steps: enough / 4, Constructed: 1 << 40, Time: time.Hour}})
		if !errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), "steps") {
			t.Errorf("%s: %v", query, err)
		}
	}
	if got, err := evaluateAlone(t, `contains(string-join((1 to 100) ! "a") || "B", "b", `+uca+`), ends-with("cn=a,dc=net", "DC=NET", `+
		uca[:len(uca)-1]+`?strength=primary"), count(sort((1 to 10000) ! (0 - .)))`, Limits{}); err != nil || got != "false true 10000" {
		t.Errorf("%s, %v", got, err)
	}
}

// What stands before a function stands there whatever the module declares, and however the function is called.
func TestGuardedEverywhere(t *testing.T) {
	const uca = "http://www.w3.org/2013/collation/UCA"
	const texts = `let $a := string-join((1 to 10000) ! "a"), $b := string-join((1 to 5000) ! "a") || "b" return `
	for _, f := range []string{"contains", "starts-with", "ends-with", "substring-before", "substring-after"} {
		for _, call := range []string{
			"F($a, $b)", "F($a, $b, '" + uca + "')", "F#2($a, $b)", "F(?, $b)($a)", "apply(F#2, [$a, $b])",
			"function-lookup(xs:QName('fn:F'), 2)($a, $b)", "(function-lookup#2)(xs:QName('fn:F'), 2)($a, $b)",
			"function-lookup(xs:QName('fn:function-lookup'), 2)(xs:QName('fn:F'), 2)($a, $b)", "$a => F($b)",
		} {
			query := `declare default collation "` + uca + `"; ` + texts + strings.ReplaceAll(call, "F", f)
			_, err := evaluateAlone(t, query, Limits{Steps: 100_000, Time: time.Hour})
			if !errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), "steps") {
				t.Errorf("%s: %v", query, err)
			}
		}
	}
	for _, query := range []string{
		`declare base-uri "http://example.net/"; analyze-string($a, "a")`, `analyze-string($a, "a")`,
		`declare base-uri "http://example.net/"; (1 to 10) ! parse-xml("<a>" || $a || "</a>")`,
		`function-lookup(xs:QName("fn:replace"), 3)($a, "a", $a)`, `(function-lookup#2)(xs:QName("fn:replace"), 3)($a, "a", $a)`,
		`function-lookup(xs:QName("fn:parse-xml"), 1) ! (for $i in 1 to 10 return .("<a>" || $a || "</a>"))`,
	} {
		prolog, body, found := strings.Cut(query, "; ")
		if !found {
			prolog, body = "", query
		} else {
			prolog += "; "
		}
		_, err := evaluateAlone(t, prolog+texts+body, Limits{Constructed: 1_000_000, Time: time.Hour})
		if !errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), "bytes") {
			t.Errorf("%s: %v", query, err)
		}
	}
	const primary = `declare default collation "` + uca + `?strength=primary"; `
	for query, want := range map[string]string{
		`contains("xAby", "aB"), contains#2("xAby", "aB"), contains(?, "aB")("xAby"), ends-with("A", "a", "` + uca + `")`: "true true true false",
		`function-lookup(xs:QName("fn:contains"), 2)("xAby", "aB"), substring-after("xAby", "ab")`:                        "true y",
		`deep-equal("a", "A"), deep-equal#2("a", "A"), deep-equal(?, ?)("a", "A"), deep-equal(?, "a")(["a"])`:             "true true true false",
		`function-lookup(xs:QName("fn:deep-equal"), 2)(<a>x</a>, <a>X</a>), deep-equal#3("a", "A", "` + uca + `")`:        "true false",
		`distinct-values(("a", "A", "b")), index-of(("a", "A"), "a"), distinct-values#1(("a", "A"))`:                      "a b 1 2 a",
		`string(function-name(contains#2)), string(function-name(string#0))`:                                              "fn:contains fn:string",
	} {
		if got, err := evaluateAlone(t, primary+query, Limits{}); err != nil || got != want {
			t.Errorf("%s: %q, %v, not %q", query, got, err, want)
		}
	}
	for _, query := range []string{`array:for-each([1, 2], remove#2)`, `array:filter(["a"], function-lookup(xs:QName("fn:contains"), 3))`} {
		var e *Error
		if _, err := evaluateAlone(t, query, Limits{}); !errors.As(err, &e) || e.Code != codeType || strings.Contains(e.Message, "unexpected") {
			t.Errorf("%s: %v", query, err)
		}
	}
	const places = `declare base-uri "http://example.net/a/"; `
	for query, want := range map[string]string{
		`resolve-uri("b"), resolve-uri#1("b"), function-lookup(xs:QName("fn:resolve-uri"), 1)("b")`: strings.Repeat(" http://example.net/a/b", 3)[1:],
		`base-uri(parse-xml("<a/>")), base-uri(parse-xml#1("<a/>"))`:                                strings.Repeat(" http://example.net/a/", 2)[1:],
	} {
		if got, err := evaluateAlone(t, places+query, Limits{}); err != nil || got != want {
			t.Errorf("%s: %q, %v, not %q", query, got, err, want)
		}
	}
	const format = `declare default decimal-format decimal-separator = "," grouping-separator = "."; `
	const query = `format-number(1.5, "0,0"), format-number#2(1.5, "0,0"), format-number(?, "0,0")(1.5), function-lookup(xs:QName("fn:format-number"), 2)(1.5, "0,0")`
	if got, err := evaluateAlone(t, format+query, Limits{}); err != nil || got != "1,5 1,5 1,5 1,5" {
		t.Errorf("%s: %q, %v", query, got, err)
	}
}

// Pictures cannot ask for more than a value needs.
func TestWidePictures(t *testing.T) {
	const long = `let $z := string-join((1 to 2000) ! "0") return `
	for query, code := range map[string]string{
		`format-date(xs:date("2020-01-01"), "[Y,1000000-1000000]")`:                          "FOFD1340",
		`format-date(xs:date("2020-01-01"), "[[[Y, 00099999999999999999999 - *]")`:           "FOFD1340",
		`format-date(xs:date("2020-01-01"), "[Y,1-64]")`:                                     "FOFD1340",
		`format-date(xs:date("2020-01-01"), "[Y,64]", "en", (), ())`:                         "FOFD1340",
		`format-date#2(xs:date("2020-01-01"), "[Y,*-64]")`:                                   "FOFD1340",
		`function-lookup(xs:QName("fn:format-date"), 2)(xs:date("2020-01-01"), "[FNn,100]")`: "FOFD1340",
		`format-date(?, "[D,100]")(xs:date("2020-01-01"))`:                                   "FOFD1340",
		`format-time(xs:time("10:00:00.5"), "[f,100]")`:                                      "FOFD1340",
		`format-dateTime(xs:dateTime("2020-01-01T10:00:00Z"), "[Z,100]")`:                    "FOFD1340",
		long + `format-date(xs:date("2020-01-01"), "[Y" || $z || "]")`:                       "FOFD1340",
		long + `format-integer(1, $z)`:                                                       "FODF1310",
		long + `format-number(1, $z)`:                                                        "FODF1310",
		long + `format-number#2(1, $z)`:                                                      "FODF1310",
		`format-date(xs:date("2020-01-01"), "[Y,1-")`:                                        "FOFD1340",
		`format-date("2020-01-01", "[Y,100]")`:                                               codeType,
	} {
		var e *Error
		if _, err := evaluateAlone(t, query, Limits{Time: time.Hour}); !errors.As(err, &e) || e.Code != code {
			t.Errorf("%s: %v, not %s", query, err, code)
		}
	}
	for query, want := range map[string]string{
		`format-date(xs:date("2020-01-02"), "[Y,63-63]-[M01] [[Y,100]] [D,2-*] [Y,*-2] [FNn,3-3]")`: strings.Repeat("0", 59) + "2020-01 [Y,100] 02 20 Thu",
		`format-date(xs:date("2020-01-02"), "[D1o] [MNn]", "en", (), ()), format-date((), "[Y,9]")`: "2nd January",
		`format-date#2(xs:date("2020-01-02"), "[D]"), format-time(xs:time("10:00:00"), "[H,0002]")`: "2 10",
	} {
		if got, err := evaluateAlone(t, query, Limits{}); err != nil || strings.TrimSpace(got) != want {
			t.Errorf("%s: %q, %v, not %q", query, got, err, want)
		}
	}
}

// The tuples of a FLWOR expression count by what they take, whatever their variables hold.
func TestTuples(t *testing.T) {
	for _, clauses := range []string{
		"order by $x", "order by -$x, $y", "group by $k := $x", "group by $k := $x mod 2", "count $c", "order by () count $c",
	} {
		query := "count(for $x in 1 to 10000 let $y := $x " + clauses + " return ($x, $y))"
		_, err := evaluateAlone(t, query, Limits{Constructed: 1_500_000, Time: time.Hour})
		if !errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), "bytes") {
			t.Errorf("%s: %v", query, err)
		}
		if _, err := evaluateAlone(t, query, Limits{Constructed: 6_000_000, Time: time.Hour}); err != nil {
			t.Errorf("%s: %v", query, err)
		}
	}
}

// expiring is a context that ends when it was asked this often.
type expiring struct {
	context.Context
	asked, ends int
}

func (e *expiring) Err() error {
	if e.asked++; e.asked > e.ends {
		return context.Canceled
	}
	return nil
}

// Whatever a query is at, it ends with its context, and does not ask that again and again.
func TestCancelledAnywhere(t *testing.T) {
	const start = `let $s := string-join((1 to 1000) ! "ab c") let $n := 1 to 2000 let $a := array { $n }
		let $m := map:merge($n ! map:entry(., .)) let $d := document { <a>{ $n ! <b xml:id="x{.}">{.}</b> }</a> } let $stop := stop() return `
	queries := []string{
		`sort($n ! (. mod 7), (), function($x) { count($n[. = $x]) })`, `array:sort($a, (), function($x) { count($n[. = $x]) })`,
		`fold-left(1 to 100000, 0, function($x, $y) { $x + $y })`, `array:fold-right($a, 0, function($x, $y) { $x + $y + count($n) })`,
		`for $x in $n, $y in $n order by $x + $y return $x`, `for $x in $n, $y in $n group by $k := $x + $y return $k`,
		`for sliding window $w in $n start when true() end when false() return count($w)`,
		`some $x in $n, $y in $n satisfies $x = -$y`, `$d//b[. = $d//b/(. + 1)]`, `count($d//b ! $d//b)`, `(1 to 10000) ! id("x" || ., $d)`,
		`(1 to 10000) ! <a>{ $d }</a>`, `(1 to 10000) ! serialize($d)`, `serialize((1 to 10000) ! $d)`, `(1 to 10000) ! deep-equal($d, <a/>)`,
		`(1 to 10000) ! array:remove($a, 1)`, `(1 to 10000) ! map:put($m, ., 0)`, `(1 to 10000) ! map:remove($m, 1 to 100)`,
		`(1 to 10000) ! matches($s, "^(a|b| |c)*x$")`, `(1 to 10000) ! analyze-string($s, "a(b)")`, `(1 to 10000) ! tokenize($s, "b")`,
		`(1 to 10000) ! replace($s, "b", "$0$0")`, `(1 to 10000) ! contains($s, "bb", "http://www.w3.org/2013/collation/UCA")`,
		`(1 to 10000) ! parse-xml("<a>" || $s || "</a>")`, `(1 to 10000) ! parse-json("[1" || string-join($n ! ",1") || "]")`,
		`(1 to 10000) ! distinct-values($n)`, `(1 to 10000) ! string-join($n)`, `(1 to 10000) ! (sum($d//b), max($d//b))`,
		`let $f := function($f, $n) { if ($n = 0) then 0 else ($f($f, $n - 1), $f($f, $n - 1)) } return $f($f, 20)`,
	}
	for _, query := range queries {
		ctx, cancel := context.WithCancel(t.Context())
		stop := func(context.Context, []Sequence) (Sequence, error) { cancel(); return nil, nil }
		run := func(ctx context.Context, limits Limits, call func(context.Context, []Sequence) (Sequence, error)) error {
			q, err := Compile(start+"($stop, "+query+")", Options{Functions: []Function{{Name: "stop", Call: call}}})
			if err != nil {
				t.Fatalf("%s: %v", query, err)
			}
			_, err = q.Evaluate(ctx, Input{Limits: limits})
			return err
		}
		limits := Limits{Steps: 1 << 40, Constructed: 1 << 40, Time: time.Hour}
		if err := run(ctx, limits, stop); err != context.Canceled {
			t.Errorf("%s: %v", query, err)
		}
		cancel()
		idle := func(context.Context, []Sequence) (Sequence, error) { return nil, nil }
		for _, ends := range []int{1, 10, 700} {
			ctx := &expiring{Context: context.Background(), ends: ends}
			if err := run(ctx, limits, idle); err != context.Canceled || ctx.asked > ends+3 {
				t.Errorf("%s: %v, asked %d times, not %d", query, err, ctx.asked, ends)
			}
		}
	}
}
