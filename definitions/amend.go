package definitions

import (
	"maps"
	"slices"
	"strings"
)

// amend applies the amendments in the order of the files.
func (l *loader) amend() {
	for _, f := range l.files {
		for _, a := range f.amendments {
			d := l.lookup(a.target.text)
			if d == nil {
				l.unknownType(f, a.target, "this amends", func(*declaration) bool { return true })
				continue
			}
			if a.description != "" {
				d.Description = a.description
			}
			for i, p := range a.parameters {
				a.amendParameters(d, p, a.override[i])
			}
			for _, attribute := range a.attributes {
				a.amendAttribute(d, attribute)
			}
		}
	}
}

// amendParameters adds parameters of a backend. Object classes are united, since what an amendment adds to an entry needs
// its own class beside those that are there; any other parameter has one value. Another table is another row.
func (a *amendment) amendParameters(d *declaration, p BackendParameters, override bool) {
	i := slices.IndexFunc(d.Parameters, func(q BackendParameters) bool {
		return q.Backend == p.Backend && (override || q.Values["table"] == p.Values["table"])
	})
	if i < 0 {
		d.Parameters = append(d.Parameters, p)
		return
	}
	merged := maps.Clone(d.Parameters[i].Values)
	for _, name := range slices.Sorted(maps.Keys(p.Values)) {
		value, old := p.Values[name], merged[name]
		switch {
		case override || old == "" || old == value:
			merged[name] = value
		case name == "objectClasses":
			merged[name] = union(old, value)
		default:
			a.file.errorf(p.Pos, `write override="true" on <Backend> to replace it`,
				"%s has the %s parameter %s=%q already, from %s", d.Name, p.Backend, name, old, place(d.Parameters[i].Pos))
		}
	}
	d.Parameters[i].Values = merged
}

// union is the list of the names of two lists, each once.
func union(x, y string) string {
	names := slices.Collect(splitList(x))
	for name := range splitList(y) {
		if !slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) }) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// splitList yields the items of a comma-separated list without white space and without empty ones.
func splitList(list string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for item := range strings.SplitSeq(list, ",") {
			if item = strings.TrimSpace(item); item != "" && !yield(item) {
				return
			}
		}
	}
}

func (a *amendment) amendAttribute(d *declaration, attribute *declared) {
	i := slices.IndexFunc(d.attributes, func(o *declared) bool { return strings.EqualFold(o.Name, attribute.Name) })
	switch {
	case i < 0 && attribute.override:
		a.file.errorf(attribute.Pos, nearestHint(attribute.Name, declaredNames(d.attributes)),
			"%s has no attribute %s to override", d.Name, attribute.Name)
	case i < 0:
		d.attributes = append(d.attributes, attribute)
	case attribute.override:
		d.attributes[i] = attribute
	default:
		a.file.errorf(attribute.Pos, `write override="true" to replace it`,
			"%s has an attribute %s already, from %s", d.Name, d.attributes[i].Name, place(d.attributes[i].Pos))
	}
}

func declaredNames(attributes []*declared) []string {
	names := make([]string, len(attributes))
	for i, a := range attributes {
		names[i] = a.Name
	}
	return names
}
