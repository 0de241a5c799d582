package mapping

import (
	"fmt"
	"slices"
	"strings"

	"clacks"
	"clacks/definitions"
	"clacks/internal/nearest"
)

// Explanation says where an attribute's value comes from and goes to.
type Explanation struct {
	Type      string      `json:"type"`
	Attribute string      `json:"attribute"`
	ValueType string      `json:"valueType"`
	From      []Direction `json:"from"`
	To        []Direction `json:"to"`
	Notes     []string    `json:"notes,omitempty"`
}

// Direction is one way of a value: a backend attribute, and the query if there is one.
type Direction struct {
	Backend   string   `json:"backend"`
	Table     string   `json:"table,omitempty"`
	Attribute string   `json:"attribute,omitempty"`
	Query     string   `json:"query,omitempty"`
	Reads     []string `json:"reads,omitempty"`
}

// Explain explains TYPE or TYPE.ATTRIBUTE. An extension is explained as it extends the first of its base types. The error
// is clacks.NotFound, with the nearest name that exists.
func (s *Set) Explain(typeName, attribute string) ([]Explanation, error) {
	const op = "mapping.explain"
	t := s.types[typeName]
	if t == nil {
		return nil, notFound(op, "there is no object type "+clip(typeName), typeName, sortedKeys(s.types))
	}
	b, p := s.partOf(t)
	if p == nil {
		return nil, clacks.E(clacks.NotFound, op, "the type %s is not available: its backend or the type that it extends is not", t.Name)
	}
	var list []Explanation
	for _, a := range p.attrs {
		if attribute == "" || attribute == a.Name {
			list = append(list, b.explain(a))
		}
	}
	if attribute != "" && len(list) == 0 {
		return nil, notFound(op, typeName+" has no attribute "+clip(attribute), attribute, attributeNames(t))
	}
	return list, nil
}

func notFound(op, reason, name string, known []string) error {
	if near := nearest.Hint(name, known); near != "" {
		reason += "; " + near
	}
	return &clacks.Error{Op: op, Kind: clacks.NotFound, Reason: reason}
}

// partOf finds a type, for an extension with the first base type that it extends.
func (s *Set) partOf(t *definitions.Type) (*basePlan, *part) {
	if b := s.bases[t.Name]; b != nil {
		return b, b.base
	}
	for _, name := range s.baseNames {
		if p := s.bases[name].parts[t.Name]; p != nil {
			return s.bases[name], p
		}
	}
	return nil, nil
}

func (b *basePlan) explain(a *Attribute) Explanation {
	e := Explanation{Type: a.Owner, Attribute: a.Name, ValueType: string(a.Type), From: []Direction{}, To: []Direction{}}
	if a.MultiValue {
		e.ValueType += " (several)"
	}
	if d := a.plan.direct; d != nil {
		e.From = append(e.From, b.direction(d.source, d.name))
	}
	if q := a.plan.inbound; q != nil {
		way := b.direction(q.source, "")
		if q.source == "" {
			way.Backend = a.Backend
		}
		way.Query = strings.TrimSpace(q.query.def.Text)
		for _, n := range a.plan.needs {
			for _, name := range n.names {
				way.Reads = append(way.Reads, n.source+"."+name)
			}
			if n.all {
				way.Reads = append(way.Reads, n.source+".*")
			}
		}
		e.From = append(e.From, way)
	}
	for _, w := range a.plan.writes {
		way := b.direction(w.source, w.name)
		if w.query != nil {
			way.Query, way.Reads = strings.TrimSpace(w.query.def.Text), w.query.readNames()
		}
		e.To = append(e.To, way)
	}
	e.Notes = b.notes(a)
	return e
}

// direction names a backend attribute; "table/column" of a child table is split.
func (b *basePlan) direction(source, name string) Direction {
	d := Direction{Attribute: name}
	if s := b.source(source); s != nil {
		d.Backend, d.Table = s.Backend, s.Table
	}
	if table, column, child := strings.Cut(name, "/"); child {
		d.Table, d.Attribute = table, column
	}
	return d
}

// readNames are the attributes that a query on the object reads; "*" for all.
func (q *objectQuery) readNames() []string {
	names := sortedKeys(q.reads)
	if q.all {
		names = append(names, "*")
	}
	return names
}

// notes are what else is to be known of an attribute, as sentences.
func (b *basePlan) notes(a *Attribute) []string {
	var notes []string
	add := func(condition bool, format string, args ...any) {
		if condition {
			notes = append(notes, fmt.Sprintf(format, args...))
		}
	}
	if a.Unavailable != "" {
		return []string{"not available: " + a.Unavailable}
	}
	add(a.Mandatory, "mandatory")
	add(a.ReadOnly, "read-only")
	add(a.Computed, "computed%s; callers cannot set it", from(a))
	add(a.Secret, "secret: never read back, logged or shown")
	add(a.Unique, "unique")
	add(!a.Readable && !a.Secret && len(a.plan.writes) == 0, "not stored")
	add(!a.Writable && !a.ReadOnly, "read-only: nothing writes it")
	if a.plan.defaultValue != nil && !a.Secret {
		notes = append(notes, "default: "+clip(a.Text(a.plan.defaultValue)))
	}
	if q := a.plan.defaultQuery; q != nil {
		notes = append(notes, "default by query: "+strings.TrimSpace(q.def.Text))
	}
	for _, blocker := range a.BlockedBy {
		notes = append(notes, fmt.Sprintf("cannot be set while %s = %s", blocker.Attribute, clip(blocker.Value)))
	}
	for _, r := range a.References {
		notes = append(notes, fmt.Sprintf("refers to %s.%s and follows it", r.Object, r.Attribute))
	}
	for _, s := range b.sources() {
		if s.KeyAttribute == a.Name && !slices.Contains(notes, "is the key of "+s.ID) {
			notes = append(notes, "is the key of "+s.ID)
		}
	}
	return notes
}
