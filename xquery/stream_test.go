package xquery

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

// TestStream: what is written item by item is what Serialize writes of the whole result.
func TestStream(t *testing.T) {
	doc := parseText(t, people)
	for _, source := range []string{
		`1, 2, "a", <a>x</a>, 3, 4`, `()`, `//name`, `for $n in //name order by $n return (string($n), <b>{$n}</b>)`,
		`[1, [2, "x"]], [3], <a/>, [4]`, `if (//name) then (1, 2) else 3`, `(1 to 5) ! (., <x n="{.}"/>)`,
		`let $x := (1, 2) return ($x, for $y in $x where $y > 1 return $y)`, `document { <a/>, <b/> }, text { "t" }, 7`,
		`declare function local:f($n) { if ($n = 0) then () else ($n, local:f($n - 1)) }; (local:f(5), "end")`,
		`try { 1, 2 } catch * { 3 }`, `switch (1) case 1 return (1, 2) default return 4`, `.//name/text()`,
		`for $p in //name group by $k := string-length($p) order by $k return <k>{$k}</k>`,
	} {
		for _, parameters := range []map[string]string{
			{"method": "xml"}, {"method": "xml", "omit-xml-declaration": "no"}, {"method": "text"}, {"method": "adaptive"},
			{"method": "xml", "item-separator": "|"}, {"method": "html"}, {"method": "xml", "indent": "yes"},
		} {
			q, err := Compile(source, Options{})
			if err != nil {
				t.Fatal(err)
			}
			result, err := q.Evaluate(context.Background(), Input{Context: doc})
			if err != nil {
				t.Fatalf("%s: %v", source, err)
			}
			var whole, parts strings.Builder
			if err := Serialize(&whole, result, parameters); err != nil {
				t.Fatalf("%s: %v", source, err)
			}
			if err := q.Stream(context.Background(), Input{Context: doc}, &parts, parameters); err != nil {
				t.Errorf("%s, %v: %v", source, parameters, err)
			}
			if parts.String() != whole.String() {
				t.Errorf("%s, %v:\n%q by items\n%q at once", source, parameters, parts.String(), whole.String())
			}
		}
	}
}

// TestStreamReadable: without a method, every item is on a line of its own.
func TestStreamReadable(t *testing.T) {
	q, err := Compile(`1, "a", <a b="c"/>, map { "k": 1 }, [1, "x"], attribute z { 1 }, xs:date("2026-01-02")`, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := q.Stream(context.Background(), Input{}, &b, q.Output()); err != nil {
		t.Fatal(err)
	}
	const want = "1\na\n<a b=\"c\"/>\nmap{\"k\":1}\n[1,\"x\"]\nz=\"1\"\n2026-01-02"
	if b.String() != want {
		t.Errorf("%s\ninstead of\n%s", b.String(), want)
	}
}

// TestEach: an item is there before the next one is computed, and an error of the receiver ends the evaluation.
func TestEach(t *testing.T) {
	var log []string
	note := Function{Name: "note", Arity: 1, Effect: true, Call: func(_ context.Context, args []Sequence) (Sequence, error) {
		texts, err := args[0].Strings()
		log = append(log, "made "+strings.Join(texts, ""))
		return args[0], err
	}}
	q, err := Compile(`for $i in 1 to 3 return note($i), note("end")`, Options{Functions: []Function{note}})
	if err != nil {
		t.Fatal(err)
	}
	err = q.Each(context.Background(), Input{}, func(item Sequence) error {
		texts, err := item.Strings()
		log = append(log, "got "+strings.Join(texts, ""))
		return err
	})
	const want = "made 1, got 1, made 2, got 2, made 3, got 3, made end, got end"
	if got := strings.Join(log, ", "); err != nil || got != want {
		t.Errorf("%s, %v; not %s", got, err, want)
	}
	full := errors.New("full")
	log = nil
	if err := q.Each(context.Background(), Input{}, func(Sequence) error { return full }); !errors.Is(err, full) {
		t.Errorf("the error of the receiver: %v", err)
	}
	if len(log) != 1 {
		t.Errorf("the evaluation went on: %v", log)
	}
}

func TestEachErrors(t *testing.T) {
	q, err := Compile("for $i in (2, 1, 0)\nreturn 2 div $i", Options{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	err = q.Each(context.Background(), Input{}, func(Sequence) error { n++; return nil })
	var e *Error
	if !errors.As(err, &e) || e.Code != "FOAR0001" || e.Line != 2 || n != 2 {
		t.Errorf("after %d items: %v", n, err)
	}
	if q, err = Compile("1 to 1000000", Options{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	err = q.Each(ctx, Input{}, func(Sequence) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled evaluation: %v", err)
	}
}

func TestSupply(t *testing.T) {
	doc := parseText(t, `<a><b>1</b></a>`)
	for _, c := range []struct {
		query  string
		values []any
		want   string
	}{
		{`declare variable $v as xs:integer external; $v + 1`, []any{"41"}, "42"},
		{`declare variable $v as xs:date external; $v + xs:dayTimeDuration("P1D")`, []any{"2026-01-31"}, "2026-02-01"},
		{`declare variable $v as xs:string* external; count($v), $v`, []any{"a", "b"}, "2 a b"},
		{`declare variable $v external; $v > 5`, []any{"41"}, "true"},
		{`declare variable $v as xs:boolean external; not($v)`, []any{"false"}, "true"},
		{`declare variable $v as xs:integer external; $v`, []any{"x"}, "FORG0001"},
		{`declare variable $v as xs:integer external; $v`, []any{"1", "2"}, "XPTY0004"},
		{`declare variable $v as element(a) external; $v/b`, []any{doc}, "1"},
		{`declare variable $v as document-node() external; $v/a/b`, []any{doc}, "1"},
		{`declare variable $v as xs:numeric external; $v * 2`, []any{"1.5"}, "3"},
		{`declare variable $w external; $w`, []any{"1"}, "XPST0008"},
		{`declare variable $v := 1; $v`, []any{"1"}, "XPST0008"},
	} {
		q, err := Compile(c.query, Options{})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		value, err := q.Supply("v", c.values...)
		if err == nil {
			var s Sequence
			if s, err = q.Evaluate(context.Background(), Input{Variables: map[string]Sequence{"v": value}}); err == nil {
				var all []string
				all, err = s.Strings()
				got = strings.Join(all, " ")
			}
		}
		var e *Error
		if errors.As(err, &e) {
			got = e.Code
		}
		if got != c.want {
			t.Errorf("%s with %v: %s (%v), not %s", c.query, c.values, got, err, c.want)
		}
	}
}

// What is written counts as a part of the evaluation, also where it is nothing.
func TestStreamedSteps(t *testing.T) {
	q, err := Compile(`let $n := <a>{ (1 to 1000) ! <b/> }</a> return (1 to 10000) ! $n`, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{"", "xml", "html", "text", "adaptive"} {
		in, parameters := Input{Limits: Limits{Steps: 100_000, Time: time.Hour}}, map[string]string{"method": method}
		if method == "" {
			parameters = nil
		}
		err := q.Stream(t.Context(), in, io.Discard, parameters)
		var e *Error
		if !errors.As(err, &e) || !errors.Is(err, ErrLimit) || e.Line != 1 {
			t.Errorf("%s: %v", method, err)
		}
		if method == "text" {
			continue
		}
		ctx, cancel := context.WithCancel(t.Context())
		in.Limits.Steps = 1 << 40
		written := 0
		err = q.Stream(ctx, in, writerFunc(func(p []byte) (int, error) {
			if written += len(p); written > 100_000 {
				cancel()
			}
			return len(p), nil
		}), parameters)
		if cancel(); err != context.Canceled {
			t.Errorf("%s: %v", method, err)
		}
	}
	broken := errors.New("broken")
	err = q.Stream(t.Context(), Input{}, writerFunc(func([]byte) (int, error) { return 0, broken }), nil)
	if err != broken {
		t.Error(err)
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
