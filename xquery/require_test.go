package xquery

import (
	"fmt"
	"strings"
	"testing"
)

func TestRequires(t *testing.T) {
	for _, test := range []struct{ query, want string }{
		{`Event/ObjectChanged/UUID = 'u1'`, `/Event/ObjectChanged/UUID = 'u1'`},
		{`/Event/ObjectChanged[UUID eq "u1" and ChangeType = ('update', 'move')]`,
			`/Event/ObjectChanged/UUID = 'u1' and (/Event/ObjectChanged/ChangeType = 'update' or /Event/ObjectChanged/ChangeType = 'move') and /Event/ObjectChanged`},
		{`declare default element namespace "urn:x"; let $o := ./Event/O return $o/A = 'x' and $o/B = 7`, `/Event/O/A = 'x' and /Event/O/B = 7`},
		{`for $o in /Event/O where $o/A = 'x' return $o`, `/Event/O and /Event/O/A = 'x'`},
		{`some $v in Event/O/A satisfies $v = 'it''s'`, `/Event/O/A and /Event/O/A = 'it''s'`},
		{`every $v in Event/O/A satisfies $v = 'x'`, `true()`},
		{`exists(Event/O[@k = 'x'])`, `/Event/O/@k = 'x' and /Event/O`},
		{`not(Event/O)`, `true()`},
		{`Event/O or Event/P/A = 1`, `/Event/O or /Event/P/A = 1`},
		{`Event/(O | P)/A = 'x'`, `(/Event and /Event/O/A = 'x') or (/Event and /Event/P/A = 'x')`},
		{`//A = 'x'`, `//A = 'x'`},
		{`Event//A/B = 'x'`, `/Event and //A/B = 'x'`},
		{`Event/*/A = 'x'`, `/Event/*/A = 'x'`},
		{`Event/O/A/text() = 'x'`, `/Event/O/A/text() = 'x'`},
		{`string(Event/O/A) = 'x'`, `/Event/O/A = 'x'`},
		{`string(Event/O/A) = ''`, `true()`},
		{`lower-case(Event/O/A) = 'x'`, `/Event/O/A`},
		{`starts-with(Event/O/A, 'x')`, `/Event/O/A`},
		{`starts-with(Event/O/A, '')`, `true()`},
		{`Event/O/A != 'x'`, `/Event/O/A`},
		{`Event/O/A < 7`, `/Event/O/A`},
		{`'x' = Event/O/A`, `/Event/O/A = 'x'`},
		{`Event/O[1]/A = 'x'`, `/Event/O/A = 'x'`},
		{`if (Event/O) then Event/O/A = 'x' else false()`, `/Event/O and /Event/O/A = 'x'`},
		{`if (Event/O) then true() else Event/P`, `/Event/O or /Event/P`},
		{`try { Event/O/A eq 7 } catch * { true() }`, `true()`},
		{`try { Event/O } catch * { Event/P }`, `/Event/O or /Event/P`},
		{`$old = 'x'`, `$old = 'x'`},
		{`declare variable $old := 'y'; $old = 'x'`, `false()`},
		{`declare variable $a external; $a = 3`, `$a = 3`},
		{`declare variable $a := 'x'; Event/O/A = $a`, `/Event/O/A = 'x'`},
		{`declare function local:f($x) { $x = 'x' }; local:f(Event/O)`, `true()`},
		{`declare context item := <a/>; a = 'x'`, `true()`},
		{`declare default collation "http://www.w3.org/2005/xpath-functions/collation/html-ascii-case-insensitive"; Event/O/A = 'x'`, `/Event/O/A`},
		{`Event/O/A/../B = 'x'`, `/Event/O/A and /Event/O/B = 'x'`},
		{`Event/O/A/following-sibling::B = 'x'`, `/Event/O/A and //B = 'x'`},
		{`Event/O/A ! (. = 'x')`, `/Event/O/A`},
		{`false()`, `false()`},
		{`true()`, `true()`},
		{`()`, `false()`},
		{`.`, `true()`},
		{`(Event/O/A, Event/O/B) = 'x'`, `/Event/O/A = 'x' or /Event/O/B = 'x'`},
		{`let $f := function($x) { $x = 'x' } return $f(Event/O)`, `true()`},
		{`let $o := Event/O return switch ($o/A) case 'x' return $o/B default return ()`, `/Event/O/B`},
		{`for $o allowing empty in Event/O return true()`, `true()`},
	} {
		q, err := Compile(test.query, Options{Variables: []string{"old"}, DocumentContext: true, Functions: testFunctions})
		if err != nil {
			t.Errorf("%s: %v", test.query, err)
			continue
		}
		if got := q.Requires().String(); got != test.want {
			t.Errorf("%s requires\n\t%s, want\n\t%s", test.query, got, test.want)
		}
	}
}

// A large query is analysed in bounded time, and claims something all the same or nothing.
func TestRequiresIsBounded(t *testing.T) {
	query := `Event/O/A = 'x'`
	for range 12 {
		query = `(for $x in (Event/O, Event/P) return (` + query + `, $x/A = 'y'))[. = (Event/O/A, Event/O/B)]`
	}
	q, err := Compile(query, Options{DocumentContext: true})
	if err != nil {
		t.Fatal(err)
	}
	if c := q.Requires(); c.sizeOf() > maxCondition {
		t.Errorf("%d conditions", c.sizeOf())
	}
}

// Comparisons of everything with everything, under conditions that are as large: what is put together is bounded, not only
// what comes out.
func TestRequiresTakesLittleWork(t *testing.T) {
	var query strings.Builder
	query.WriteString(`let $x := (`)
	for i := range 60 {
		fmt.Fprintf(&query, "Event/O[A%d = 'x' or B%d = 'y' or C%d = 'z' or D%d]/E%d, ", i, i, i, i, i)
	}
	query.WriteString(`'z') return true()`)
	for range 3000 {
		query.WriteString(" and $x=$x")
	}
	q, err := Compile(query.String(), Options{DocumentContext: true})
	if err != nil {
		t.Fatal(err)
	}
	r := &requirer{exact: true}
	r.requires(q.module.body, []source{{is: sourcePlace}})
	if r.work > maxJoined+maxCondition || r.visits > 2*maxVisits {
		t.Errorf("%d parts were put together, %d expressions looked at", r.work, r.visits)
	}
}
