package xquery

import (
	"slices"

	"github.com/lestrrat-go/helium/xpath3"
)

// sources are where the items of an expression's value can come from.
func (r *requirer) sources(e expr, focus []source) []source {
	if r.visit() {
		return anything
	}
	switch e := e.(type) {
	case *literal:
		if text, ok := e.value.(string); ok {
			return []source{{is: sourceText, text: text}}
		}
		if number, ok := numberOf(e.value); ok {
			return []source{{is: sourceNumber, number: number}}
		}
	case *variable:
		return r.lookup(e.name)
	case *contextItem:
		return focus
	case *sequenceOf:
		var found []source
		for _, item := range e.items {
			found = r.union(found, r.sources(item, focus))
		}
		return found
	case *path:
		return r.path(e, focus)
	case *filter:
		return r.filtered(r.sources(e.base, focus), e.predicates)
	case *operation:
		return r.operation(e, focus)
	case *typed:
		return r.typed(e, focus)
	case *call:
		return r.call(e, focus)
	}
	return r.branches(e, focus)
}

// branches are the sources of expressions that choose between others.
func (r *requirer) branches(e expr, focus []source) []source {
	switch e := e.(type) {
	case *conditional:
		then := r.under(r.requires(e.test, focus), r.sources(e.then, focus))
		return r.union(then, r.sources(e.otherwise, focus))
	case *flwor:
		mark := len(r.scope)
		defer func() { r.scope = r.scope[:mark] }()
		before := r.clauses(e.clauses, focus)
		return r.under(before, r.sources(e.result, focus))
	case *switchOf:
		found := r.sources(e.otherwise, focus)
		for _, c := range e.cases {
			found = r.union(found, r.sources(c.result, focus))
		}
		return found
	case *typeSwitch:
		operand := r.sources(e.operand, focus)
		var found []source
		for _, c := range e.cases {
			mark := len(r.scope)
			if c.variable.local != "" {
				r.bind(c.variable, operand)
			}
			found = r.union(found, r.sources(c.result, focus))
			r.scope = r.scope[:mark]
		}
		return found
	}
	return anything
}

func (r *requirer) operation(o *operation, focus []source) []source {
	switch o.op {
	case xpath3.TokenBang:
		return r.each(r.sources(o.operands[0], focus), func(item []source) []source { return r.sources(o.operands[1], item) })
	case xpath3.TokenUnion:
		return r.union(r.sources(o.operands[0], focus), r.sources(o.operands[1], focus))
	case xpath3.TokenIntersect:
		return r.under(r.nonempty(r.sources(o.operands[1], focus)), r.sources(o.operands[0], focus))
	case xpath3.TokenExcept:
		return r.sources(o.operands[0], focus)
	case xpath3.TokenPlus, xpath3.TokenMinus, xpath3.TokenStar, xpath3.TokenDiv, xpath3.TokenIdiv, xpath3.TokenMod, xpath3.TokenTo:
		// Of nothing comes nothing.
		return []source{{when: r.all(r.nonempty(r.sources(o.operands[0], focus)), r.nonempty(r.sources(o.operands[1], focus)))}}
	}
	return anything
}

func (r *requirer) typed(e *typed, focus []source) []source {
	switch e.op {
	case xpath3.TokenTreatAs:
		return r.sources(e.operand, focus)
	case xpath3.TokenCastAs:
		return []source{{when: r.nonempty(r.sources(e.operand, focus))}}
	}
	return anything
}

// each applies f to the items of every source one by one; what comes of it comes under the source's condition.
func (r *requirer) each(items []source, f func(item []source) []source) []source {
	var found []source
	for i := range items {
		item := items[i]
		item.when = Condition{} // it is added below
		found = r.union(found, r.under(r.present(&items[i]), f([]source{item})))
	}
	return found
}

// filtered are the items that pass predicates.
func (r *requirer) filtered(items []source, predicates []expr) []source {
	if len(predicates) == 0 {
		return items
	}
	passed := make([]source, len(items))
	for i, item := range items {
		alone := item
		alone.when = Condition{}
		for _, p := range predicates {
			item.when = r.all(item.when, r.requires(p, []source{alone}))
		}
		passed[i] = item
	}
	return passed
}

func (r *requirer) path(e *path, focus []source) []source {
	current := focus
	if e.fromRoot {
		current = r.roots(focus)
	}
	for i := range e.parts {
		p := &e.parts[i]
		if p.descendants {
			current = r.stepAll(current, &step{axis: xpath3.AxisDescendantOrSelf, test: xpath3.TypeTest{Kind: xpath3.NodeKindNode}})
		}
		if p.step != nil {
			current = r.filtered(r.stepAll(current, p.step), p.step.predicates)
			continue
		}
		if i == 0 && !e.fromRoot {
			current = r.sources(p.expr, current)
			continue
		}
		current = r.each(current, func(item []source) []source { return r.sources(p.expr, item) })
	}
	return current
}

// roots are the document nodes above nodes; those of the context's document have a place.
func (r *requirer) roots(focus []source) []source {
	found := make([]source, len(focus))
	for i, s := range focus {
		found[i] = source{when: r.present(&s)}
		if s.is == sourcePlace && s.place.Variable == "" {
			found[i].is = sourcePlace
		}
	}
	return found
}

func (r *requirer) stepAll(items []source, s *step) []source {
	next := make([]source, len(items))
	for i := range items {
		next[i] = r.stepFrom(&items[i], s)
	}
	return next
}

// maxPlaceSteps bounds the length of a place.
const maxPlaceSteps = 32

// stepFrom is where a step leads.
func (r *requirer) stepFrom(from *source, s *step) source {
	if from.is != sourcePlace || from.place.Variable != "" {
		return source{when: r.present(from)}
	}
	somewhere := source{is: sourcePlace, place: Place{Deep: true}, when: r.present(from)}
	switch s.axis {
	case xpath3.AxisSelf:
		return *from
	case xpath3.AxisChild, xpath3.AxisAttribute:
		added, ok := placeStep(s)
		if !ok || len(from.place.Steps) >= maxPlaceSteps {
			return somewhere
		}
		steps := append(slices.Clip(from.place.Steps), added)
		return source{is: sourcePlace, place: Place{Deep: from.place.Deep, Steps: steps}, when: from.when}
	case xpath3.AxisParent:
		if n := len(from.place.Steps); n > 0 && !from.place.Deep {
			somewhere.place = Place{Steps: slices.Clip(from.place.Steps[:n-1])}
		}
	default:
		if added, ok := placeStep(s); ok {
			somewhere.place.Steps = []PlaceStep{added}
		}
	}
	return somewhere
}

// placeStep is a step to children or attributes as places have it; not ok for nodes of other kinds.
func placeStep(s *step) (PlaceStep, bool) {
	added := PlaceStep{Name: s.name.local}
	if s.axis == xpath3.AxisAttribute {
		added.Kind = AttributeStep
	}
	switch t := s.test.(type) {
	case xpath3.NameTest:
		return added, true
	case xpath3.TypeTest:
		added = PlaceStep{Kind: TextStep}
		return added, t.Kind == xpath3.NodeKindText && s.axis != xpath3.AxisAttribute
	}
	return PlaceStep{}, false
}

// passing are the functions of the fn namespace whose result are items of their first argument, or the values of those.
var passing = map[string]bool{
	"data": true, "head": true, "tail": true, "reverse": true, "remove": true, "subsequence": true, "unordered": true,
	"zero-or-one": true, "one-or-more": true, "exactly-one": true, "distinct-values": true, "trace": true, "sort": true,
}

// textual are those that make a string of their first argument, "" of nothing.
var textual = map[string]bool{
	"lower-case": true, "upper-case": true, "normalize-space": true, "translate": true, "substring": true,
	"substring-before": true, "substring-after": true, "normalize-unicode": true,
}

// emptyOfEmpty are those that give nothing of nothing.
var emptyOfEmpty = map[string]bool{
	"tokenize": true, "abs": true, "round": true, "floor": true, "ceiling": true, "min": true, "max": true, "avg": true,
	"year-from-dateTime": true, "month-from-dateTime": true, "day-from-dateTime": true, "hours-from-dateTime": true,
}

func (r *requirer) call(e *call, focus []source) []source {
	if slices.Contains(e.args, nil) {
		return anything
	}
	if e.name.uri == xpath3.NSXS && len(e.args) == 1 {
		argument := r.sources(e.args[0], focus)
		if e.name.local == "string" || e.name.local == "untypedAtomic" {
			return argument
		}
		return []source{{when: r.nonempty(argument)}}
	}
	if e.name.uri != xpath3.NSFn {
		return anything
	}
	local := e.name.local
	if len(e.args) == 0 {
		switch local {
		case "true", "false":
			return []source{{is: sourceBoolean, truth: local == "true"}}
		case "string", "data":
			return focus
		}
		return anything
	}
	switch {
	case local == "string" && len(e.args) == 1:
		return r.union(r.sources(e.args[0], focus), []source{{is: sourceText}})
	case passing[local]:
		return r.sources(e.args[0], focus)
	case local == "insert-before" && len(e.args) == 3:
		return r.union(r.sources(e.args[0], focus), r.sources(e.args[2], focus))
	case textual[local]:
		return []source{{when: r.nonempty(r.sources(e.args[0], focus))}, {is: sourceText}}
	case emptyOfEmpty[local]:
		return []source{{when: r.nonempty(r.sources(e.args[0], focus))}}
	}
	return anything
}

// requiresCall is the condition for a call to be true.
func (r *requirer) requiresCall(e *call, focus []source) Condition {
	if e.name.uri != xpath3.NSFn || len(e.args) == 0 || slices.Contains(e.args, nil) {
		return r.truth(r.sources(e, focus))
	}
	switch e.name.local {
	case "exists":
		return r.nonempty(r.sources(e.args[0], focus))
	case "boolean":
		return r.requires(e.args[0], focus)
	case "contains", "starts-with", "ends-with":
		if len(e.args) == 2 && r.exact && certainText(r.sources(e.args[1], focus)) {
			return r.truth(r.sources(e.args[0], focus))
		}
	}
	return r.truth(r.sources(e, focus))
}

// certainText reports whether a value is text with characters: nothing contains no text.
func certainText(sources []source) bool {
	empty := func(s source) bool { return s.is != sourceText || s.text == "" }
	return len(sources) > 0 && !slices.ContainsFunc(sources, empty)
}
