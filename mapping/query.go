package mapping

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"clacks/backends"
	"clacks/definitions"
	"clacks/internal/nearest"
	"clacks/xquery"
)

// queryUse is what a query of a definition is for; it decides what it may refer to.
type queryUse uint8

const (
	useInbound queryUse = iota
	useOutbound
	useDefault
	useAssert
	useValues
)

func (u queryUse) String() string {
	return [...]string{"Inbound", "Outbound", "Default", "Assert", "Values"}[u]
}

// oldVariable is the object as it was loaded.
const oldVariable = "old"

// query is a compiled query of a definition.
type query struct {
	def      *definitions.Query
	use      queryUse
	compiled *xquery.Query
	paths    xquery.Paths
}

// objectQuery is a query whose context item is an object.
type objectQuery struct {
	*query
	message string // of an assert
	// reads are the attributes of the object, and of $old, that it may read; all is every one.
	reads  map[string]bool
	all    bool
	effect bool // it must run for its result only, and once
}

// query compiles a query once, however many base types an extension has. nil means that it does not compile.
func (c *compiler) query(def *definitions.Query, use queryUse) *query {
	if q, done := c.queries[def]; done {
		return q
	}
	c.queries[def] = nil
	compiled, err := xquery.Compile(def.Text, c.queryOptions(def, c.variables(use)))
	if err != nil {
		c.queryError(def, err)
		return nil
	}
	q := &query{def: def, use: use, compiled: compiled, paths: compiled.Reads()}
	if effects := compiled.Effects(); len(effects) > 0 && use != useOutbound && use != useDefault {
		c.errorAt(def.Pos, "use it in an Outbound or a Default", "%s must not be used in an %s, which may run at any time",
			strings.Join(effects, ", "), use)
		return nil
	}
	c.queries[def] = q
	return q
}

func (c *compiler) queryOptions(def *definitions.Query, variables []string) xquery.Options {
	return xquery.Options{
		File: def.Pos.File, Line: def.Pos.Line, Column: def.Pos.Column,
		Namespaces: map[string]string{"clacks": Namespace},
		Variables:  variables,
		Functions:  c.functions,
	}
}

// variables are the external variables that a query may use.
func (c *compiler) variables(use queryUse) []string {
	switch use {
	case useInbound:
		return sortedKeys(c.options.Kinds)
	case useOutbound, useAssert:
		return []string{oldVariable}
	default:
		return nil
	}
}

// queryError reports a query that does not compile.
func (c *compiler) queryError(def *definitions.Query, err error) {
	problem := definitions.Problem{Position: def.Pos, Severity: definitions.Error, Message: err.Error()}
	var e *xquery.Error
	if errors.As(err, &e) {
		message, near, hinted := strings.Cut(e.Message, "; did you mean ")
		problem.Message = e.Code + ": " + message
		if hinted {
			problem.Hint = "did you mean " + near
		}
		if e.Line > 0 {
			problem.Line, problem.Column = e.Line, e.Column
		}
		problem.Source = sourceLine(def, problem.Line)
	}
	c.problems = append(c.problems, problem)
}

// sourceLine is the line of a query's text that has this number in its file.
func sourceLine(def *definitions.Query, line int) string {
	lines := strings.Split(def.Text, "\n")
	i := line - max(def.Pos.Line, 1)
	if i < 0 || i >= len(lines) {
		return ""
	}
	return strings.TrimRight(lines[i], "\r")
}

// stepError reports a step of a path.
func (c *compiler) stepError(q *query, step xquery.Step, hint, format string, args ...any) {
	pos := q.def.Pos
	if step.Line > 0 {
		pos.Line, pos.Column = step.Line, step.Column
	}
	c.errorAt(pos, hint, format, args...)
	c.problems[len(c.problems)-1].Source = sourceLine(q.def, pos.Line)
}

// analyze finds out what every query of a base type and its extensions reads.
func (c *compiler) analyze(b *basePlan) {
	for _, p := range b.all() {
		for _, a := range p.attrs {
			if a.Unavailable != "" {
				continue
			}
			c.attributeQueries(b, a)
			if a.plan.inbound != nil {
				c.entryReads(b, p, a)
			}
			c.summarize(a)
		}
	}
	c.settled(b)
}

// attributeQueries compiles and analyzes the queries on the object.
func (c *compiler) attributeQueries(b *basePlan, a *Attribute) {
	plan := a.plan
	compile := func(def *definitions.Query, use queryUse, message string) *objectQuery {
		q := c.query(def, use)
		if q == nil {
			return nil
		}
		oq := &objectQuery{query: q, message: message}
		c.objectReads(b, a, oq)
		return oq
	}
	for _, w := range plan.writes {
		if w.query != nil {
			c.objectReads(b, a, w.query)
		}
	}
	if a.DefaultQuery != nil {
		plan.defaultQuery = compile(a.DefaultQuery, useDefault, "")
	}
	if a.ValuesQuery != nil {
		plan.valuesQuery = compile(a.ValuesQuery, useValues, "")
	}
	for i := range a.Asserts {
		assert := &a.Asserts[i]
		if q := compile(&assert.Test, useAssert, assert.Message); q != nil {
			plan.asserts = append(plan.asserts, q)
		}
	}
}

// summarize derives what others may know of the attribute.
func (c *compiler) summarize(a *Attribute) {
	reads := map[string]bool{}
	queries := slices.Clone(a.plan.asserts)
	a.Computed = len(a.plan.writes) > 0
	for _, w := range a.plan.writes {
		queries = append(queries, w.query)
		if w.query == nil || w.query.all || w.query.reads[a.Name] {
			a.Computed = false
		}
	}
	for _, q := range append(queries, a.plan.defaultQuery, a.plan.valuesQuery) {
		if q != nil {
			maps.Copy(reads, q.reads)
		}
	}
	a.Reads = sortedKeys(reads)
}

// objectReads resolves the paths of a query on the object to attributes.
func (c *compiler) objectReads(b *basePlan, a *Attribute, q *objectQuery) {
	q.reads = map[string]bool{}
	q.effect = len(q.compiled.Effects()) > 0
	for _, path := range append(slices.Clone(q.paths.Context), q.paths.Variables[oldVariable]...) {
		if len(path.Steps) == 0 {
			q.all = q.all || path.All
			continue
		}
		step := path.Steps[0]
		if step.Attribute {
			c.stepError(q.query, step, "write "+step.Name, "an object has no XML attributes: @%s", clip(step.Name))
			continue
		}
		named := b.names[step.Name]
		if len(named) == 0 {
			c.stepError(q.query, step, nearest.Hint(step.Name, sortedKeys(b.names)), "%s has no attribute %s", b.typ.Name, clip(step.Name))
			continue
		}
		read := named[0]
		switch {
		case len(path.Steps) > 1:
			c.stepError(q.query, path.Steps[1], "", "the values of %s have no parts: %s", step.Name, clip(path.Steps[1].Name))
		case read.Unavailable != "":
			c.stepError(q.query, step, "", "%s is not available: %s", step.Name, read.Unavailable)
		case read.Secret && q.use != useOutbound && (q.use != useAssert || read.Name != a.Name):
			c.stepError(q.query, step, "", "%s is secret: only an Outbound may read it, and its own Assert", step.Name)
		}
		q.reads[step.Name] = true
	}
}

// entryReads resolves the paths of an inbound query to attributes of backends.
func (c *compiler) entryReads(b *basePlan, p *part, a *Attribute) {
	read := a.plan.inbound
	q := read.query
	c.pathNeeds(b, a, q, read.source, q.paths.Context)
	for _, name := range sortedKeys(q.paths.Variables) {
		paths := q.paths.Variables[name]
		if c.options.Kinds[name] == backends.None {
			continue
		}
		source := b.locate(p, name, "")
		if source == nil {
			step := xquery.Step{}
			if len(paths) > 0 && len(paths[0].Steps) > 0 {
				step = paths[0].Steps[0]
			}
			c.stepError(q, step, "", "%s reads $%s, but %s has no entry in %s", a.Name, name, p.typ.Name, name)
			continue
		}
		c.pathNeeds(b, a, q, source.ID, paths)
	}
	// A variable of which nothing is read but whether it is there is bound all the same.
	for name := range c.options.Kinds {
		if !strings.Contains(q.def.Text, name) {
			continue
		}
		read.variables[name] = ""
		if source := b.locate(p, name, ""); source != nil {
			read.variables[name] = source.ID
		}
	}
}

// pathNeeds adds what paths read of a source to an attribute's needs.
func (c *compiler) pathNeeds(b *basePlan, a *Attribute, q *query, sourceID string, paths []xquery.Path) {
	source := b.source(sourceID)
	if source == nil {
		for _, path := range paths {
			if len(path.Steps) > 0 {
				c.stepError(q, path.Steps[0], "name the backend whose entry is meant", "%s stores nothing that could be read", a.Backend)
			}
		}
		return
	}
	n := need{source: sourceID}
	for _, path := range paths {
		c.pathNeed(b, q, source, path, &n)
	}
	slices.Sort(n.names)
	n.names = slices.Compact(n.names)
	a.plan.needs = append(a.plan.needs, n)
}

func (c *compiler) pathNeed(b *basePlan, q *query, source *Source, path xquery.Path, n *need) {
	if len(path.Steps) == 0 {
		n.all = n.all || path.All
		return
	}
	first := path.Steps[0]
	if first.Attribute {
		// An entry's own XML attributes are those of the document, not of the backend.
		return
	}
	children := b.children(source.ID)
	if source.Kind == backends.Table && (len(path.Steps) > 1 && !path.Steps[1].Attribute || children[first.Name] != nil) {
		c.childNeed(q, source, path, children, n)
		return
	}
	if source.Kind == backends.Tree {
		used := c.spell(source.Backend, first.Name)
		if used != first.Name {
			c.stepError(q, first, "write "+used, "%s is spelled %s elsewhere, and XQuery tells upper from lower case", first.Name, used)
			return
		}
		if len(path.Steps) > 1 && !path.Steps[1].Attribute {
			c.stepError(q, path.Steps[1], "", "the values of %s have no parts: %s", first.Name, clip(path.Steps[1].Name))
			return
		}
	}
	n.names = append(n.names, first.Name)
}

// childNeed adds the columns of a child table: table/row/column.
func (c *compiler) childNeed(q *query, source *Source, path xquery.Path, children map[string][]string, n *need) {
	first := path.Steps[0]
	columns := children[first.Name]
	if columns == nil {
		c.stepError(q, first, nearest.Hint(first.Name, sortedKeys(children)), "%s has no child table %s", source.ID, clip(first.Name))
		return
	}
	if len(path.Steps) > 1 && path.Steps[1].Name != "row" {
		c.stepError(q, path.Steps[1], "write "+first.Name+"/row/"+columns[0], "the child table %s consists of row elements", first.Name)
		return
	}
	if len(path.Steps) < 3 {
		for _, column := range columns {
			n.names = append(n.names, first.Name+"/"+column)
		}
		return
	}
	if column := path.Steps[2]; slices.Contains(columns, column.Name) {
		n.names = append(n.names, first.Name+"/"+column.Name)
	} else {
		c.stepError(q, column, nearest.Hint(column.Name, columns), "no attribute is mapped to the column %s of %s", clip(column.Name), first.Name)
	}
}

// source finds a source of a base type or one of its extensions.
func (b *basePlan) source(id string) *Source {
	for _, p := range b.all() {
		for _, s := range p.sources {
			if s.ID == id {
				return s
			}
		}
	}
	return nil
}

// children are the mapped columns of the child tables of a source.
func (b *basePlan) children(id string) map[string][]string {
	tables := map[string][]string{}
	add := func(source, name string) {
		table, column, ok := strings.Cut(name, "/")
		if source == id && ok && !slices.Contains(tables[table], column) {
			tables[table] = append(tables[table], column)
		}
	}
	for _, p := range b.all() {
		for _, a := range p.attrs {
			for _, w := range a.plan.writes {
				add(w.source, w.name)
			}
			if a.plan.direct != nil {
				add(a.plan.direct.source, a.plan.direct.name)
			}
		}
	}
	return tables
}

// settled refuses what would be computed from a value that is not known before the commit.
func (c *compiler) settled(b *basePlan) {
	for _, p := range b.all() {
		for _, a := range p.attrs {
			for _, w := range a.plan.writes {
				if w.query == nil {
					continue
				}
				for _, name := range sortedKeys(w.query.reads) {
					read := b.names[name]
					if len(read) > 0 && name != a.Name && read[0].Computed && !read[0].plan.settles {
						c.errorAt(w.query.def.Pos, "give "+name+" an Inbound that names what its Outbound writes, or read what it is made of",
							"%s.%s reads %s, whose own value is computed and is not known yet", a.Owner, a.Name, name)
					}
				}
			}
		}
	}
}
