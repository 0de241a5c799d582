package events

import (
	"slices"
	"strconv"

	"clacks/xquery"
)

// Property is one of the properties of an event beside its document: a message that carries the event has them as
// application-properties, and a query as external variables of the same names.
type Property struct {
	Name  string
	Value any // string, int64 (sequence) or time.Time (time)
}

// variableNames are the names of all properties.
var variableNames = []string{
	"sequence", "event-id", "event-type", "time", "uuid", "dn", "new-dn", "object-type", "change-type",
}

// Properties are those that the event has, in a fixed order; one without a value is left out.
func (e *Event) Properties() []Property {
	all := []Property{
		{"sequence", e.Sequence}, {"event-id", e.ID}, {"event-type", e.Type}, {"time", e.Time}, {"uuid", e.UUID}, {"dn", e.DN},
		{"new-dn", e.NewDN}, {"object-type", e.ObjectType}, {"change-type", e.ChangeType},
	}
	return slices.DeleteFunc(all, func(p Property) bool { return p.Value == "" })
}

// variablesOf are the properties as external variables; one without a value is the empty sequence.
func variablesOf(e *Event) map[string]xquery.Sequence {
	variables := make(map[string]xquery.Sequence, len(variableNames))
	for _, name := range variableNames {
		variables[name] = xquery.Of()
	}
	for _, p := range e.Properties() {
		variables[p.Name] = xquery.Of(p.Value)
	}
	return variables
}

// variables notes the properties of an event. A time has no one text.
func (s *survey) variables(e *Event) {
	if len(s.trie.variables) == 0 {
		return
	}
	for _, p := range e.Properties() {
		n := s.trie.variables[p.Name]
		if n == nil {
			continue
		}
		switch value := p.Value.(type) {
		case string:
			s.value(n, value)
		case int64:
			s.value(n, strconv.FormatInt(value, 10))
		default:
			s.unsure(n)
		}
	}
}
