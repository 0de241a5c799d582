package xquery

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// XMark (A. Schmidt et al., "XMark: A Benchmark for XML Data Management", 2002): twenty queries on the document of an
// auction. The W3C's suite has them with their results.

// xmarkLimits let a query join all persons with all auctions.
var xmarkLimits = qt3Limits

// TestXMark: each query gives the suite's result, in far less than the time that the suite's other cases have.
func TestXMark(t *testing.T) {
	if testing.Short() {
		t.Skip("joins of thousands of nodes take seconds")
	}
	verdicts := runQT3(&qt3Suite{sets: []*qt3Set{xmarkSet(t)}}, regexp.MustCompile(""))
	for id, v := range verdicts {
		if !v.passed() {
			t.Errorf("%s: %s: %.600s", id, v.status, v.detail)
		}
	}
	if len(verdicts) != 21 { // the last one is all in one
		t.Errorf("the suite has %d cases of XMark, not 21", len(verdicts))
	}
}

func xmarkSet(t testing.TB) *qt3Set {
	set, _, err := readQT3Set(filepath.Join(qt3Root(t), "app", "XMark.xml"), make(map[string]*qt3Environment))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// xmarkQuery is a query and its name, Q1 to Q20.
type xmarkQuery struct{ name, query string }

// xmark are the twenty queries and their document.
func xmark(t testing.TB) ([]xmarkQuery, *Document) {
	set := xmarkSet(t)
	text, err := os.ReadFile(filepath.Join(filepath.Dir(set.file), "XMark", "XMarkAuction.xml"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := ParseDocument(text, ParseLimits{})
	if err != nil {
		t.Fatal(err)
	}
	var queries []xmarkQuery
	for _, c := range set.cases {
		if name := strings.TrimPrefix(c.name, "XMark-"); name != "All" {
			queries = append(queries, xmarkQuery{name: name, query: c.query})
		}
	}
	return queries, doc
}
