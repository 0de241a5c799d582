package definitions

import (
	"slices"
	"strings"
)

// checkDependencies finds circles of DependsOn inside of a type; a base type's attributes cannot depend on an extension's.
func checkDependencies(d *declaration) {
	graph := make(map[string][]string, len(d.attributes))
	for _, a := range d.attributes {
		if !a.Foreign {
			graph[a.Name] = a.DependsOn
		}
	}
	for _, circle := range circles(graph) {
		a := d.find(circle[0])
		a.file.errorf(a.Pos, "leave out one of the DependsOn",
			"attributes of %s depend on each other in a circle: %s", d.Name, chainText(circle))
	}
}

func (l *loader) checkRequirements() {
	graph := make(map[string][]string, len(l.order))
	for _, d := range l.order {
		graph[d.Name] = d.RequiresExtension
	}
	for _, circle := range circles(graph) {
		d := l.lookup(circle[0])
		d.file.errorf(d.Pos, "leave out one of the RequiresExtension", "extensions require each other in a circle: %s", chainText(circle))
	}
}

func chainText(circle []string) string {
	return strings.Join(append(slices.Clone(circle), circle[0]), " -> ")
}

// circles are the elementary circles that a depth-first walk meets, at least one for each knot of the graph. Each begins
// with its smallest member, and they are sorted.
func circles(graph map[string][]string) [][]string {
	const walking, done = 1, 2
	state := map[string]int{}
	var path []string
	var found [][]string
	var visit func(name string)
	visit = func(name string) {
		state[name] = walking
		path = append(path, name)
		for _, next := range graph[name] {
			switch state[next] {
			case walking:
				found = append(found, fromSmallest(path[slices.Index(path, next):]))
			case done:
			default:
				visit(next)
			}
		}
		path = path[:len(path)-1]
		state[name] = done
	}
	names := make([]string, 0, len(graph))
	for name := range graph {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if state[name] == 0 {
			visit(name)
		}
	}
	slices.SortFunc(found, slices.Compare[[]string])
	return slices.CompactFunc(found, slices.Equal[[]string])
}

func fromSmallest(circle []string) []string {
	i := slices.Index(circle, slices.Min(circle))
	return slices.Concat(circle[i:], circle[:i])
}

// checkOverlap finds attributes of one name in types that one object can have together: a name must mean one attribute.
func (l *loader) checkOverlap() {
	for i, d := range l.order {
		if d.Base {
			continue
		}
		names := make(map[string]*declared, len(d.attributes))
		for _, a := range d.attributes {
			if !a.Foreign {
				names[strings.ToLower(a.Name)] = a
			}
		}
		for j, other := range l.order {
			if other.Base && slices.Contains(d.Extends, other.Name) || !other.Base && j < i && meet(d, other) {
				d.checkPair(names, other)
			}
		}
	}
}

// meet reports whether two extensions share a base type.
func meet(a, b *declaration) bool {
	return slices.ContainsFunc(a.Extends, func(base string) bool { return slices.Contains(b.Extends, base) })
}

// checkPair compares the attributes of a type, by their names in lower case, with those of another.
func (d *declaration) checkPair(names map[string]*declared, other *declaration) {
	for _, b := range other.attributes {
		a := names[strings.ToLower(b.Name)]
		if a == nil || b.Foreign {
			continue
		}
		a.file.faultf(a.Pos, "rename it, or write a ForeignAttribute",
			"%s.%s stands beside %s.%s (%s) in one object", d.Name, a.Name, other.Name, b.Name, place(b.Pos))
	}
}
