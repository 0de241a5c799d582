package events

import (
	"context"
	"strings"

	"clacks/xquery"
)

// scope says of which event types a query looks at more than that they are there. On all others it looks at nothing, and
// so says the same.
type scope struct {
	types   map[string]bool
	verdict verdict // on an event of any other type; it has no number
}

// noType is the document of an event whose type no query names: to a query with a scope it looks like any event outside
// of it.
var noType = []byte(`<Event xmlns="` + Namespace + `"><_/></Event>`)

// changing are words without which a query cannot ask for anything but its context: the clock, chance, and functions
// by a computed name.
var changing = []string{"current", "random", "lookup"}

// scopeOf finds the scope of a query by what it can read (xquery.Query.Reads, which never claims too little). It is nil
// when that is not bounded by event types.
func scopeOf(query *xquery.Query) *scope {
	for _, word := range changing {
		if strings.Contains(query.Source(), word) {
			return nil
		}
	}
	s := &scope{types: map[string]bool{}}
	for _, path := range query.Reads().Context {
		if len(path.Steps) < 2 || path.Steps[0].Attribute || path.Steps[1].Attribute {
			return nil
		}
		if path.Steps[0].Name == "Event" {
			s.types[path.Steps[1].Name] = true
		}
	}
	other, err := (&filter{query: query}).evaluate(context.Background(), func() (*parsedDocument, error) { return parseAlone(noType) })
	if err != nil {
		return nil
	}
	s.verdict.match = other
	return s
}
