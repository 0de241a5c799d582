package mapping

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	"clacks/backends"
	"clacks/definitions"
	"clacks/internal/nearest"
	"clacks/xquery"
)

// Compile compiles all types and returns every problem with its place in the definition files: a query that does not
// compile, a name that exists nowhere with the nearest that does, a circle with its members. The Set is nil when one is
// an Error.
func Compile(defs *definitions.Set, options Options) (*Set, []definitions.Problem) {
	set, problems := compile(defs.Types(), options)
	if set != nil {
		set.defs = defs
	}
	return set, problems
}

// CheckSyntax reports the queries that are wrong whatever the definitions around them say: those that are no XQuery, or
// call a function that does not exist. So it can tell of queries whose attributes, types or backends are not known. An
// unknown variable may be a backend that is not known.
func CheckSyntax(queries []*definitions.Query, options Options) []definitions.Problem {
	c := &compiler{options: options, functions: append(functions(&environment{options: options}), options.Functions...)}
	variables := append(c.variables(useInbound), oldVariable)
	for _, def := range queries {
		_, err := xquery.Compile(def.Text, c.queryOptions(def, variables))
		var e *xquery.Error
		if errors.As(err, &e) && e.Code != "XPST0008" {
			c.queryError(def, err)
		}
	}
	return sortProblems(c.problems)
}

// compiler holds what one Compile collects. Its steps follow each other for all types, since a query of one type may
// name attributes of another:
//
//	sources of every base type and extension -> names -> ways of every attribute -> what the queries read -> order
type compiler struct {
	options   Options
	own       *environment
	functions []xquery.Function
	types     []*definitions.Type
	byName    map[string]*definitions.Type
	bases     []*basePlan
	spelling  map[string]string // backend + "\x00" + lower-case name -> the spelling in use
	queries   map[*definitions.Query]*query
	problems  []definitions.Problem
}

// basePlan is a base type with everything that may extend it.
type basePlan struct {
	typ        *definitions.Type
	base       *part
	parts      map[string]*part // extensions by name
	extensions []string         // their names, sorted
	names      map[string][]*Attribute
	rank       map[string]int // dependency order of the attributes
}

// all are the base part and the extensions in the order of their names.
func (b *basePlan) all() []*part {
	parts := make([]*part, 0, 1+len(b.extensions))
	parts = append(parts, b.base)
	for _, name := range b.extensions {
		parts = append(parts, b.parts[name])
	}
	return parts
}

// part is a type as it applies to one base type: the base itself or one of its extensions.
type part struct {
	typ     *definitions.Type
	sources []*Source
	attrs   []*Attribute
}

func compile(types []*definitions.Type, options Options) (*Set, []definitions.Problem) {
	c := &compiler{
		options:  options,
		own:      &environment{options: options},
		types:    types,
		byName:   map[string]*definitions.Type{},
		spelling: map[string]string{},
		queries:  map[*definitions.Query]*query{},
	}
	c.functions = append(functions(c.own), options.Functions...)
	for _, t := range types {
		c.byName[t.Name] = t
	}
	for _, t := range types {
		c.checkType(t)
	}
	c.makeBases()
	c.collectSpelling()
	for _, b := range c.bases {
		c.attributes(b)
	}
	for _, b := range c.bases {
		c.analyze(b)
		c.order(b)
		c.conflicts(b)
		c.naming(b)
	}
	references := c.references()
	problems := sortProblems(c.problems)
	if slices.ContainsFunc(problems, func(p definitions.Problem) bool { return p.Severity == definitions.Error }) {
		return nil, problems
	}
	return c.set(references), problems
}

// set makes the result of a compilation without errors.
func (c *compiler) set(references []Reference) *Set {
	s := &Set{
		types:      c.byName,
		bases:      map[string]*basePlan{},
		references: references,
		identities: map[string][]*identity{},
		shapes:     map[string]*Shape{},
	}
	for _, b := range c.bases {
		s.bases[b.typ.Name] = b
		s.baseNames = append(s.baseNames, b.typ.Name)
		id := newIdentity(b)
		s.identities[b.typ.Backend] = append(s.identities[b.typ.Backend], id)
	}
	c.own.set = s
	sort.Strings(s.baseNames)
	for _, ids := range s.identities {
		sortIdentities(ids)
	}
	return s
}

// errorAt and warnAt report a problem of a definition.
func (c *compiler) errorAt(pos definitions.Position, hint, format string, args ...any) {
	c.report(definitions.Error, pos, hint, format, args...)
}

func (c *compiler) warnAt(pos definitions.Position, hint, format string, args ...any) {
	c.report(definitions.Warning, pos, hint, format, args...)
}

func (c *compiler) report(severity definitions.Severity, pos definitions.Position, hint, format string, args ...any) {
	c.problems = append(c.problems, definitions.Problem{
		Position: pos, Severity: severity, Message: fmt.Sprintf(format, args...), Hint: hint,
	})
}

// sortProblems orders by place and leaves out repetitions: an extension of several base types meets the same problem
// with each.
func sortProblems(problems []definitions.Problem) []definitions.Problem {
	sort.SliceStable(problems, func(i, j int) bool {
		p, q := problems[i], problems[j]
		if p.File != q.File {
			return p.File < q.File
		}
		if p.Line != q.Line {
			return p.Line < q.Line
		}
		if p.Column != q.Column {
			return p.Column < q.Column
		}
		return p.Message < q.Message
	})
	return slices.Compact(problems)
}

// makeBases makes a plan for every base type whose primary backend is a known tree, and joins the extensions to it.
func (c *compiler) makeBases() {
	for _, t := range c.types {
		if !t.Base {
			continue
		}
		kind, known := c.options.Kinds[t.Backend]
		if !known {
			c.warnAt(t.Pos, nearest.Hint(t.Backend, sortedKeys(c.options.Kinds)),
				"%s is not available: no backend %q is configured", t.Name, t.Backend)
			continue
		}
		if kind != backends.Tree {
			c.errorAt(t.Pos, "name a directory in <Backend>, and map attributes to others",
				"the primary backend %s of the base type %s holds no tree of entries", t.Backend, t.Name)
			continue
		}
		b := &basePlan{typ: t, parts: map[string]*part{}, names: map[string][]*Attribute{}}
		b.base = &part{typ: t, sources: c.sources(t, nil)}
		c.bases = append(c.bases, b)
	}
	for _, t := range c.types {
		if t.Base {
			continue
		}
		if _, known := c.options.Kinds[t.Backend]; !known {
			c.warnAt(t.Pos, nearest.Hint(t.Backend, sortedKeys(c.options.Kinds)),
				"%s is not available: no backend %q is configured", t.Name, t.Backend)
			continue
		}
		c.join(t)
	}
	for _, b := range c.bases {
		sort.Strings(b.extensions)
	}
}

// join adds an extension to the base types that it extends.
func (c *compiler) join(t *definitions.Type) {
	for _, b := range c.bases {
		if !slices.Contains(t.Extends, b.typ.Name) {
			continue
		}
		p := &part{typ: t, sources: c.sources(t, b)}
		if !slices.ContainsFunc(p.sources, func(s *Source) bool { return s.Backend == b.typ.Backend && len(s.ObjectClasses) > 0 }) {
			c.errorAt(t.Pos, "add objectClasses to its BackendParameters",
				"the extension %s has no object class in %s: nothing would say that it is active", t.Name, b.typ.Backend)
		}
		b.parts[t.Name] = p
		b.extensions = append(b.extensions, t.Name)
	}
}

// splitList splits a comma-separated parameter.
func splitList(s string) []string {
	var list []string
	for _, item := range strings.Split(s, ",") {
		if item = strings.TrimSpace(item); item != "" {
			list = append(list, item)
		}
	}
	return list
}
