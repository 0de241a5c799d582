package xquery

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// show writes paths as "$x/a/@b", with "/**" for All.
func show(p Paths) []string {
	var all []string
	add := func(root string, paths []Path) {
		for _, path := range paths {
			var b strings.Builder
			b.WriteString(root)
			for _, s := range path.Steps {
				b.WriteByte('/')
				if s.Attribute {
					b.WriteByte('@')
				}
				b.WriteString(s.Name)
			}
			if path.All {
				b.WriteString("/**")
			}
			all = append(all, b.String())
		}
	}
	add(".", p.Context)
	var names []string
	for v := range p.Variables {
		names = append(names, v)
	}
	slices.Sort(names)
	for _, v := range names {
		add("$"+v, p.Variables[v])
	}
	return all
}

func TestReads(t *testing.T) {
	for _, test := range []struct{ query, want string }{
		{`sn`, `./sn`},
		{`string-join((givenName, sn), ' ')`, `./givenName ./sn`},
		{`givenName || ' ' || $old/sn`, `./givenName $old/sn`},
		{`let $o := a/b return $o/x = 1 and $o/y = 2`, `./a/b/x ./a/b/y`},
		{`let $o := . return $o/sn`, `./sn`},
		{`let $unused := a return b`, `./b`},
		{`a[@kind = "x"]/b[c]/d`, `./a/@kind ./a/b/c ./a/b/d`},
		{`a[@kind = "x"]`, `./a ./a/@kind`},
		{`exists(a)`, `./a`},
		{`if (a) then b else c`, `./a ./b ./c`},
		{`if (a) then a/b else ()`, `./a/b`},
		{`for $p in phones/row return $p/number`, `./phones/row/number`},
		{`for $p in phones/row order by $p/rank descending return string($p/number)`, `./phones/row/number ./phones/row/rank`},
		{`for $p at $i in phones/row return $i`, `./phones/row`},
		{`for $x in a where $x/b = 1 return $x`, `./a ./a/b`},
		{`count(a)`, `./a`},
		{`.`, `./**`},
		{`string()`, `./**`},
		{`string-length(.)`, `./**`},
		{`*`, `./**`},
		{`a/*`, `./a/**`},
		{`a/@*`, `./a/**`},
		{`a//b`, `./a/**`},
		{`//b`, `./**`},
		{`/a`, `./**`},
		{`a/..`, `./** ./a`},
		{`a/b/../c`, `./a/b ./a/c`},
		{`ancestor::x`, `./**`},
		{`a/following-sibling::b`, `./**`},
		{`a/text()`, `./a/**`},
		{`*:a`, `./a`},
		{`a/string()`, `./a`},
		{`a/upper-case(b)`, `./a/b`},
		{`(a, b)/c`, `./a/c ./b/c`},
		{`(a | b)[1]`, `./a ./b`},
		{`a ! b`, `./a/b`},
		{`head(a)/b`, `./a/b`},
		{`some $x in a/b satisfies $x/c = $old`, `./a/b/c $old/**`},
		{`root(a)`, `./** ./a`},
		{`map { "x": a }?x/b`, `./a`},
		{`map { "x": a }?x/..`, `./** ./a $old/**`},
		{`let $f := function($n) { $n/b } return $f(a)`, `./a`},
		{`let $f := root#1 return $f(a)`, `./** ./a $old/**`},
		{`let $f := string#0 return $f()`, `./**`},
		{`name(a)`, `./a`},
		{`<x y="{a}">{b/c}<z>{d}</z></x>/..`, `./a ./b/c ./d`},
		{`element { a } { b }, text { c }, attribute d { e }`, `./a ./b ./c ./e`},
		{"``[`{a}`]``", `./a`},
		{`switch (a) case b return c default return d`, `./a ./b ./c ./d`},
		{`typeswitch (a) case $x as element() return $x/b default return c`, `./a/b ./c`},
		{`for $x in a group by $k := $x/b return sum($x/c)`, `./a/b ./a/c`},
		{`for $x in a count $n return $n`, `./a`},
		{`for tumbling window $w in a start $s when $s/b end $e when $e/c return $w/d`, `./a/b ./a/c ./a/d`},
		{`declare function local:f($x) { $x/b }; local:f(a)/c`, `./a`},
		{`declare variable $v := a; declare function local:f() { $v/b }; local:f()`, `./a ./a/b`},
		{`declare function local:f($x) { $x/.. }; local:f(a)`, `./** ./a $old/**`},
		{`a is b`, `./a ./b`},
		{`a castable as xs:integer`, `./a`},
		{`a instance of element()`, `./a`},
		{`. instance of document-node(element(a))`, `./**`},
		{`try { xs:integer(a) } catch * { b }`, `./a ./b`},
		{`declare variable $v external; $v/x`, `$v/x`},
		{`declare variable $v := a/b; $v/c`, `./a/b/c`},
		{`declare variable $v external := a; $v/c`, `./a/c $v/c`},
		{`a/b/c, a/b`, `./a/b ./a/b/c`},
		{`1 + 1`, ``},
		{`local-name()`, ``},
	} {
		q, err := Compile(test.query, Options{Variables: []string{"old"}})
		if err != nil {
			t.Errorf("%s: %v", test.query, err)
			continue
		}
		if got := strings.Join(show(q.Reads()), " "); got != test.want {
			t.Errorf("%s\n got %s\nwant %s", test.query, got, test.want)
		}
	}
}

// With a document as context item an absolute path reads what it names and no more.
func TestReadsFromTheDocument(t *testing.T) {
	for _, test := range []struct{ query, want string }{
		{`/Event/ObjectChanged/DN = 'x'`, `./Event/ObjectChanged/DN`},
		{`/Event/ObjectChanged[/Event/Actor = 'me']/DN`, `./Event/Actor ./Event/ObjectChanged/DN`},
		{`let $o := /Event/ObjectChanged return $o/Type = 'User' and $o/DN = 'x'`, `./Event/ObjectChanged/DN ./Event/ObjectChanged/Type`},
		{`for $c in /Event/*/Change return $c/New`, `./Event/**`},
		{`some $d in /Event/a/b satisfies $d = /Event/c`, `./Event/a/b ./Event/c`},
		{`Event/a/(/Event/b)`, `./Event/a ./Event/b`},
		{`//DN`, `./**`},
		{`/`, `./**`},
		{`exists(/)`, ``},
		{`/*`, `./**`},
		{`$old/a[/Event/b]`, `$old/** $old/a`},
		{`map { "x": Event }?x ! /Event/b`, `./** ./Event $old/**`},
		{`parse-xml(Event/a) ! /Event/b`, `./Event/a`},
		{`let $f := function($n) { $n/self::node()[/Event/b] } return $f(Event)`, `./** ./Event $old/**`},
	} {
		q, err := Compile(test.query, Options{Variables: []string{"old"}, DocumentContext: true})
		if err != nil {
			t.Errorf("%s: %v", test.query, err)
			continue
		}
		if got := strings.Join(show(q.Reads()), " "); got != test.want {
			t.Errorf("%s\n got %s\nwant %s", test.query, got, test.want)
		}
	}
}

func TestReadsPlaces(t *testing.T) {
	q, err := Compile("let $ö := \"ü\"\nreturn\n  (ä/sn, @b)", Options{File: "f", Line: 7, Column: 11})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range q.Reads().Context {
		for _, s := range p.Steps {
			got = append(got, fmt.Sprintf("%s %d:%d", s.Name, s.Line, s.Column))
		}
	}
	want := []string{"b 9:11", "ä 9:4", "sn 9:6"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	q, err = Compile("  sn", Options{Line: 7, Column: 11})
	if err != nil {
		t.Fatal(err)
	}
	if s := q.Reads().Context[0].Steps[0]; s.Line != 7 || s.Column != 13 {
		t.Errorf("got %d:%d", s.Line, s.Column)
	}
}

// A query that would keep the analysis busy gets the answer that is always right.
func TestReadsAreBounded(t *testing.T) {
	for _, query := range []string{
		`let $x := (a|b|c|d|e) return (1` + strings.Repeat(`,$x/(a|b|c|d|e)/(f|g|h)/i`, 2000) + `)`,
		`.` + strings.Repeat(`/(a|b|c|d)`, 100),
		strings.Repeat(`a/`, 100) + `b`,
	} {
		q, err := Compile(query, Options{})
		if err != nil {
			t.Fatal(err)
		}
		reads := q.Reads().Context
		if len(reads) == 0 || len(reads) > 20_000 {
			t.Errorf("%.40s: %d paths", query, len(reads))
		}
		if !slices.ContainsFunc(reads, func(p Path) bool { return p.All }) {
			t.Errorf("%.40s: does not claim all", query)
		}
	}
}
