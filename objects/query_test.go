package objects

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"clacks"
)

// A query whose evaluation fails on an object does not select it; one that exceeds its budget is refused, not answered
// with nothing.
func TestQueryOverItsBudget(t *testing.T) {
	w := newWorld(t)
	people := w.house()
	w.create("User", people, person("ada"))
	w.create("User", people, person("bob"))
	tests := []struct {
		query string
		found int // -1: refused as over the budget
	}{
		{`uid = 'ada'`, 1},
		{`uid castable as xs:integer`, 0},
		{`doc-available('/etc/passwd')`, 0},
		{`count(for $i in 1 to 1000000 return $i) = 1000000`, -1},
		{`1 to 10000000000`, -1},
		{`let $a := 'xxxxxxxxxxxxxxxx' ` + strings.Repeat(`let $a := concat($a, $a) `, 40) + `return $a = ''`, -1},
	}
	for _, test := range tests {
		result, err := w.Search(t.Context(), admin, SearchRequest{Query: test.query, Type: "User"})
		if test.found < 0 {
			wantKind(t, err, clacks.Limit, "budget")
			continue
		}
		if err != nil || len(result.Objects) != test.found {
			t.Errorf("%s: %+v, %v; want %d objects", test.query, result, err, test.found)
		}
	}
}

// The time of a query is that of all the objects of one search: an evaluation that each object may take is not allowed
// to add up to minutes.
func TestQueryOverItsTime(t *testing.T) {
	w := newWorld(t)
	people := w.house()
	w.create("User", people, person("ada"))
	w.create("User", people, person("bob"))
	w.limits.Query = time.Nanosecond
	_, err := w.Search(t.Context(), admin, SearchRequest{Query: `count(for $i in 1 to 10000 return $i) = 0`, Type: "User"})
	wantKind(t, err, clacks.Limit, "longer than")
}

// An object of very many values is no reason to refuse an ordinary query.
func TestQueryOfALargeObject(t *testing.T) {
	w := newWorld(t)
	people := w.house()
	limits := queryLimits
	t.Cleanup(func() { queryLimits = limits })
	queryLimits.Steps = 200
	attributes := person("ada")
	numbers := make([]any, 500)
	for i := range numbers {
		numbers[i] = strconv.Itoa(i)
	}
	attributes["mobile"] = numbers
	w.create("User", people, attributes)
	result, err := w.Search(t.Context(), admin, SearchRequest{Query: `uid = 'ada' and mobile = '499' and not(title)`, Type: "User"})
	if err != nil || len(result.Objects) != 1 {
		t.Errorf("%v, %v", result, err)
	}
}
