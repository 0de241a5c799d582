package xquery

import (
	"context"
	"slices"

	"github.com/lestrrat-go/helium"
	"github.com/lestrrat-go/helium/xpath3"
)

// A loop with a condition that compares each of its items with something from outside, inside of another loop, is a join:
//
//	for $p in //person
//	for $a in //auction
//	where $a/buyer/@person = $p/@id
//	return ...
//
// The inner loop runs over the same nodes again and again. A hook (hookAhead) around its nodes remembers the values that
// the nodes have on their side of the comparison, and leaves out those that cannot fulfil the condition. The condition
// stays where it is and decides; so the hook may always give up and leave out nothing, as it does at any error and for
// values that are not compared as texts or as numbers.

// joinPlan are the two sides of a comparison: of the loop's variable, and of nothing that is bound behind it.
type joinPlan struct {
	op         xpath3.TokenType
	own, other expr
}

// minJoined is the number of nodes from which on a join pays.
const minJoined = 8

// joined finds a condition on the variable of the i-th clause, a "for", that a hook can look ahead to.
func (c *compiler) joined(f *flwor, i int) *joinPlan {
	k := &f.clauses[i]
	if c.loops == 0 || c.traced || k.position.local != "" || k.allowEmpty || k.kind != nil || c.hasEffects() ||
		c.module.collation != codepointCollation {
		return nil
	}
	bound := []name{k.variable.key()}
	for j := i + 1; j < len(f.clauses); j++ {
		switch next := &f.clauses[j]; next.is {
		case clauseFor, clauseLet:
			if next.variable.key() == k.variable.key() {
				return nil
			}
			bound = append(bound, next.variable.key(), next.position.key())
		case clauseWhere:
			if found := joinIn(next.expr, k.variable.key(), bound); found != nil {
				return found
			}
		default:
			return nil
		}
	}
	return nil
}

// hasEffects reports whether a function of the caller has effects: how often it is called matters then.
func (c *compiler) hasEffects() bool {
	return slices.ContainsFunc(c.options.Functions, func(f Function) bool { return f.Effect })
}

// joinIn finds a comparison in a condition, or in one of several that all must hold.
func joinIn(e expr, variable name, bound []name) *joinPlan {
	o, ok := e.(*operation)
	if !ok {
		return nil
	}
	if o.op == xpath3.TokenAnd {
		for _, part := range o.operands {
			if found := joinIn(part, variable, bound); found != nil {
				return found
			}
		}
		return nil
	}
	if !isGeneral(o.op) || o.op == xpath3.TokenNotEquals {
		return nil
	}
	left, right := o.operands[0], o.operands[1]
	switch {
	case ofOnly(left, variable) && outside(right, bound):
		return &joinPlan{o.op, left, right}
	case ofOnly(right, variable) && outside(left, bound):
		return &joinPlan{mirrored[o.op], right, left}
	}
	return nil
}

// ofOnly reports whether an expression is simple and depends on nothing but a variable.
func ofOnly(e expr, v name) bool {
	return simple(e, func(of name) bool { return of == v })
}

// outside reports whether an expression is simple and has nothing to do with the variables.
func outside(e expr, bound []name) bool {
	return simple(e, func(of name) bool { return !slices.Contains(bound, of) })
}

// stepsFrom reports whether an expression is a certain variable, or steps without predicates from it.
func stepsFrom(e expr, start name) bool {
	if p, ok := e.(*path); ok {
		if p.fromRoot || p.parts[0].step != nil || p.parts[0].expr == nil {
			return false
		}
		for _, part := range p.parts[1:] {
			if part.step == nil || len(part.step.predicates) > 0 {
				return false
			}
		}
		e = p.parts[0].expr
	}
	v, ok := e.(*variable)
	return ok && v.name.key() == start
}

// simple reports whether an expression is made of literals, steps from certain variables, arithmetic and a few functions.
func simple(e expr, variables func(of name) bool) bool {
	switch e := e.(type) {
	case *literal:
		return true
	case *variable:
		return variables(e.name.key())
	case *path:
		if e.fromRoot || e.parts[0].step != nil {
			return false
		}
		v, ok := e.parts[0].expr.(*variable)
		return ok && variables(v.name.key()) && stepsFrom(e, v.name.key())
	case *sequenceOf:
		return len(e.items) == 1 && simple(e.items[0], variables)
	case *operation:
		switch e.op {
		case xpath3.TokenPlus, xpath3.TokenMinus, xpath3.TokenStar, xpath3.TokenDiv:
			return simple(e.operands[0], variables) && simple(e.operands[1], variables)
		}
	case *call:
		switch e.name.local {
		case "exactly-one", "zero-or-one", "data", "string", "number":
			return e.name.uri == xpath3.NSFn && len(e.args) == 1 && e.args[0] != nil && simple(e.args[0], variables)
		}
	}
	return false
}

// looksAhead puts the hook around the nodes of a loop. Those that are found by steps from a variable are not even looked
// for again while the variable is the same node: the hook gets that, and the steps as a function.
func (c *compiler) looksAhead(domain xpath3.Expr, k *clause, j *joinPlan) xpath3.Expr {
	c.joins++
	var start []xpath3.Expr
	if v := startOf(k.expr); v != nil {
		start, domain = []xpath3.Expr{c.expr(v)}, xpath3.InlineFunctionExpr{Body: domain}
	}
	other := xpath3.InlineFunctionExpr{Body: c.expr(j.other)}
	mark := len(c.scope)
	own := xpath3.InlineFunctionExpr{Params: []xpath3.FunctionParam{{Name: c.bind(k.variable)}}}
	own.Body = c.expr(j.own)
	c.scope = c.scope[:mark]
	args := []xpath3.Expr{integerOf(c.joins), integerOf(int(j.op)), domain, own, other}
	return hookCall(hookAhead, append(args, start...)...)
}

// startOf is the variable that a path of steps without predicates begins at, or nil.
func startOf(e expr) *variable {
	p, ok := e.(*path)
	if !ok || p.fromRoot {
		return nil
	}
	v, ok := p.parts[0].expr.(*variable)
	if !ok || !stepsFrom(e, v.name.key()) {
		return nil
	}
	return v
}

// joinIndex are the nodes that a loop ran over, and the values that they are compared by: untyped ones, or numbers of the
// type xs:double.
type joinIndex struct {
	start   helium.Node // that the nodes were found from, or nil
	nodes   xpath3.ItemSlice
	built   bool
	useless bool             // there are other values
	untyped [][]string       // by node
	texts   map[string][]int // the nodes that have an untyped value
	numbers [][]float64      // by node, nil for untyped values until a number is asked for
}

// lookAhead is the hook.
type lookAhead struct{}

func (lookAhead) MinArity() int { return 5 }
func (lookAhead) MaxArity() int { return 6 }

// Call implements xpath3.Function.
func (lookAhead) Call(ctx context.Context, args []xpath3.Sequence) (xpath3.Sequence, error) {
	b := budgetOf(ctx)
	if b == nil {
		return nil, errOutside
	}
	if err := b.Err(); err != nil {
		return nil, err
	}
	j, items, err := b.joinOf(ctx, integerArgument(args[0]), args[2], args[5:])
	if err != nil || j == nil || j.useless {
		return items, err
	}
	nodes := j.nodes
	if !j.built {
		own, _ := args[3].Get(0).(xpath3.FunctionItem)
		j.useless = !j.build(ctx, b, own)
		if j.useless {
			return nodes, b.failed
		}
	}
	other, _ := args[4].Get(0).(xpath3.FunctionItem)
	value, err := other.Invoke(b.within(ctx), nil)
	if err != nil || value == nil {
		return nodes, b.failed
	}
	atoms, err := b.atoms(value)
	if b.failed != nil {
		return nodes, b.failed
	}
	if err != nil {
		return nodes, nil //nolint:nilerr // the condition itself reports it, if there is anything to compare
	}
	found, ok := j.candidates(xpath3.TokenType(integerArgument(args[1])), atoms)
	if !ok {
		return nodes, nil
	}
	return found, nil
}

// joinOf is the index of a loop, if the loop ran over the same nodes the last time, and what the loop runs over.
func (b *budget) joinOf(
	ctx context.Context, id int, domain xpath3.Sequence, start []xpath3.Sequence,
) (*joinIndex, xpath3.Sequence, error) {
	j := b.joins[id]
	var from helium.Node
	if len(start) > 0 {
		if n, ok := single(start[0]).(xpath3.NodeItem); ok {
			from = n.Node
		}
		if j != nil && from != nil && j.start == from {
			return j, j.nodes, nil
		}
		steps, _ := single(domain).(xpath3.FunctionItem)
		var err error
		if domain, err = steps.Invoke(b.within(ctx), nil); err != nil {
			return nil, nil, err
		}
	}
	nodes, ok := domain.(xpath3.ItemSlice)
	if !ok || len(nodes) < minJoined {
		return nil, domain, nil
	}
	if j != nil && sameNodes(j.nodes, nodes) {
		return j, nodes, nil
	}
	if b.joins == nil {
		b.joins = make(map[int]*joinIndex)
	}
	b.joins[id] = &joinIndex{start: from, nodes: nodes}
	return nil, nodes, nil
}

// single is the item of a sequence of one, or nil.
func single(s xpath3.Sequence) xpath3.Item {
	if s == nil || s.Len() != 1 {
		return nil
	}
	return s.Get(0)
}

func sameNodes(a, b xpath3.ItemSlice) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		x, ok := a[i].(xpath3.NodeItem)
		y, also := b[i].(xpath3.NodeItem)
		if !ok || !also || x.Node != y.Node {
			return false
		}
	}
	return true
}

// build finds the values of the nodes; it reports whether they are all untyped or all doubles.
func (j *joinIndex) build(ctx context.Context, b *budget, own xpath3.FunctionItem) bool {
	j.built = true
	j.untyped, j.numbers = make([][]string, len(j.nodes)), make([][]float64, len(j.nodes))
	j.texts = make(map[string][]int, len(j.nodes))
	numbers := false
	for i, item := range j.nodes {
		if b.Err() != nil {
			return false
		}
		value, err := own.Invoke(b.within(ctx), []xpath3.Sequence{xpath3.ItemSlice{item}})
		if err != nil {
			return false
		}
		if value == nil {
			continue
		}
		atoms, err := b.atoms(value)
		if err != nil {
			return false
		}
		for _, a := range atoms {
			size := itemCost
			switch a.TypeName {
			case xpath3.TypeUntypedAtomic:
				j.addText(i, a.StringVal())
				size += len(a.StringVal())
			case xpath3.TypeDouble:
				numbers = true
				j.numbers[i] = append(j.numbers[i], a.ToFloat64())
			default:
				return false
			}
			if b.construct(size) != nil {
				return false
			}
		}
	}
	if !numbers {
		j.numbers = nil
	}
	return !numbers || len(j.texts) == 0
}

func (j *joinIndex) addText(node int, text string) {
	j.untyped[node] = append(j.untyped[node], text)
	if known := j.texts[text]; len(known) == 0 || known[len(known)-1] != node {
		j.texts[text] = append(known, node)
	}
}

// candidates are the nodes that may fulfil a comparison with the values (XQuery 3.1, section 3.7.2: untyped values are
// compared as texts with texts, and as xs:double with numbers).
func (j *joinIndex) candidates(op xpath3.TokenType, with []xpath3.AtomicValue) (xpath3.ItemSlice, bool) {
	texts, numbers := 0, make([]float64, 0, len(with))
	for _, a := range with {
		switch {
		case a.IsNumeric():
			numbers = append(numbers, a.ToFloat64())
		case a.TypeName == xpath3.TypeUntypedAtomic && j.numbers != nil && len(j.texts) == 0:
			n, err := xpath3.CastAtomic(a, xpath3.TypeDouble)
			if err != nil {
				return nil, false
			}
			numbers = append(numbers, n.ToFloat64())
		case (a.TypeName == xpath3.TypeUntypedAtomic || a.TypeName == xpath3.TypeString) && op == xpath3.TokenEquals:
			texts++
		default:
			return nil, false
		}
	}
	switch {
	case texts == len(with) && (j.numbers == nil || len(j.texts) > 0):
		return j.withText(with), true
	case texts == 0:
		return j.withNumber(op, numbers)
	}
	return nil, false
}

func (j *joinIndex) withText(with []xpath3.AtomicValue) xpath3.ItemSlice {
	var found []int
	for _, a := range with {
		found = append(found, j.texts[a.StringVal()]...)
	}
	if len(with) > 1 {
		slices.Sort(found)
		found = slices.Compact(found)
	}
	nodes := make(xpath3.ItemSlice, len(found))
	for i, at := range found {
		nodes[i] = j.nodes[at]
	}
	return nodes
}

func (j *joinIndex) withNumber(op xpath3.TokenType, with []float64) (xpath3.ItemSlice, bool) {
	if j.numbers == nil && !j.buildNumbers() {
		return nil, false
	}
	sign := comparisonSign(op)[0]
	var nodes xpath3.ItemSlice
	for i, numbers := range j.numbers {
		if slices.ContainsFunc(numbers, func(n float64) bool { return holds(sign, n, with) }) {
			nodes = append(nodes, j.nodes[i])
		}
	}
	return nodes, true
}

// buildNumbers casts the untyped values.
func (j *joinIndex) buildNumbers() bool {
	numbers := make([][]float64, len(j.untyped))
	for i, texts := range j.untyped {
		for _, text := range texts {
			a, err := xpath3.CastAtomic(xpath3.AtomicValue{TypeName: xpath3.TypeUntypedAtomic, Value: text}, xpath3.TypeDouble)
			if err != nil {
				return false
			}
			numbers[i] = append(numbers[i], a.ToFloat64())
		}
	}
	j.numbers = numbers
	return true
}
