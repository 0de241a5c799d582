package events

import (
	"context"
	"maps"
	"slices"
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
	if len(query.Uses().Variables) > 0 {
		return nil
	}
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
	other, err := (&filter{query: query}).evaluate(context.Background(), &Event{}, func() (*parsedDocument, error) { return parseAlone(noType) })
	if err != nil {
		return nil
	}
	s.verdict.match = other
	return s
}

// narrow adds to what a query requires that the event is of one of the types of the scope, when no other matches.
func (s *scope) narrow(required xquery.Condition) xquery.Condition {
	if s == nil || s.verdict.match {
		return required
	}
	if len(s.types) == 0 {
		return xquery.Condition{Is: xquery.Never}
	}
	types := xquery.Condition{Is: xquery.Any}
	for _, eventType := range slices.Sorted(maps.Keys(s.types)) {
		place := xquery.Place{Steps: []xquery.PlaceStep{{Name: "Event"}, {Name: eventType}}}
		types.Parts = append(types.Parts, xquery.Condition{Is: xquery.Exists, Place: place})
	}
	return xquery.Condition{Is: xquery.All, Parts: []xquery.Condition{required, types}}
}
