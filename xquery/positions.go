package xquery

import (
	"slices"
	"strconv"

	"github.com/lestrrat-go/helium/xpath3"
)

// Predicates that select by position alone are not evaluated for each item: "[3]", "[$n]", "[last()]", "[position() > $n
// and position() <= $m]". A hook gets what they compare with, and takes the items from their places.

// chosen compiles the predicates of a filter expression.
func (c *compiler) chosen(e *filter) xpath3.Expr {
	base := c.expr(e.base)
	var others []xpath3.Expr
	flush := func() {
		if len(others) > 0 {
			base = xpath3.FilterExpr{Expr: base, Predicates: others}
			others = nil
		}
	}
	for _, p := range e.predicates {
		conditions, operands := positional(p)
		if conditions == "" {
			others = append(others, c.body(p))
			continue
		}
		flush()
		args := append([]xpath3.Expr{base, xpath3.LiteralExpr{Value: conditions}}, c.exprs(operands)...)
		base = hookCall(hookChoose, args...)
	}
	flush()
	return base
}

// The conditions on a position, as the hook gets them, a character each: the six comparisons, and these.
const (
	conditionLast  = 'l'
	conditionValue = 'v' // of a predicate that is a number or a truth value
)

// positional are the conditions of a predicate on the position, and what they compare it with; none if the predicate is
// about more than the position.
func positional(p expr) (conditions string, operands []expr) {
	switch e := p.(type) {
	case *call:
		if isFocusCall(e, "last") {
			return string(conditionLast), nil
		}
	case *operation:
		switch {
		case e.op == xpath3.TokenAnd:
			return conjunction(e)
		case isGeneral(e.op) && isPosition(e.operands[0]) && steady(e.operands[1]):
			return comparisonSign(e.op), e.operands[1:]
		case isGeneral(e.op) && isPosition(e.operands[1]) && steady(e.operands[0]):
			return comparisonSign(mirrored[e.op]), e.operands[:1]
		}
	case *sequenceOf:
		if len(e.items) == 1 {
			return positional(e.items[0])
		}
	}
	if steady(p) {
		return string(conditionValue), []expr{p}
	}
	return "", nil
}

// conjunction joins the conditions of comparisons that are joined by "and".
func conjunction(e *operation) (conditions string, operands []expr) {
	for _, part := range e.operands {
		o, ok := part.(*operation)
		if !ok || !isGeneral(o.op) {
			return "", nil
		}
		condition, more := positional(o)
		if condition == "" {
			return "", nil
		}
		conditions += condition
		operands = append(operands, more...)
	}
	return conditions, operands
}

var comparisonSigns = map[xpath3.TokenType]string{
	xpath3.TokenEquals: "=", xpath3.TokenNotEquals: "!", xpath3.TokenLess: "<", xpath3.TokenLessEq: "(",
	xpath3.TokenGreater: ">", xpath3.TokenGreaterEq: ")",
}

func comparisonSign(op xpath3.TokenType) string { return comparisonSigns[op] }

// mirrored are the comparisons with their operands exchanged.
var mirrored = map[xpath3.TokenType]xpath3.TokenType{
	xpath3.TokenEquals: xpath3.TokenEquals, xpath3.TokenNotEquals: xpath3.TokenNotEquals,
	xpath3.TokenLess: xpath3.TokenGreater, xpath3.TokenLessEq: xpath3.TokenGreaterEq,
	xpath3.TokenGreater: xpath3.TokenLess, xpath3.TokenGreaterEq: xpath3.TokenLessEq,
}

func isFocusCall(e *call, local string) bool {
	return len(e.args) == 0 && e.name.uri == xpath3.NSFn && e.name.local == local
}

func isPosition(e expr) bool {
	c, ok := e.(*call)
	return ok && isFocusCall(c, "position")
}

// steady reports whether an expression has the same value for every item: literals, variables, and sums of them.
func steady(e expr) bool {
	switch e := e.(type) {
	case *literal, *variable:
		return true
	case *operation:
		return (e.op == xpath3.TokenPlus || e.op == xpath3.TokenMinus) && steady(e.operands[0]) && steady(e.operands[1])
	case *sequenceOf:
		return len(e.items) == 1 && steady(e.items[0])
	}
	return false
}

// countsPositions reports whether a predicate may be about the position of an item: unless it is nodes, a comparison, or
// a function of truth values, and asks nowhere for the position or the size.
func countsPositions(p expr) bool {
	switch e := p.(type) {
	case *path:
		return !e.fromRoot && e.parts[len(e.parts)-1].step == nil
	case *operation:
		switch {
		case e.op == xpath3.TokenAnd, e.op == xpath3.TokenOr:
			return slices.ContainsFunc(e.operands, countsPositions)
		case isGeneral(e.op), e.op >= xpath3.TokenEq && e.op <= xpath3.TokenGe:
			return slices.ContainsFunc(e.operands, asksPosition)
		}
	case *call:
		return e.name.uri != xpath3.NSFn || !truthFunctions[e.name.local] || slices.ContainsFunc(e.args, asksPosition)
	case *sequenceOf:
		return len(e.items) != 1 || countsPositions(e.items[0])
	}
	return true
}

var truthFunctions = map[string]bool{
	"not": true, "exists": true, "empty": true, "boolean": true, "contains": true, "starts-with": true, "ends-with": true,
	"matches": true, "true": true, "false": true, "deep-equal": true,
}

// asksPosition reports whether an operand may ask for the position or the size of the focus.
func asksPosition(e expr) bool {
	switch e := e.(type) {
	case *literal, *variable, *contextItem:
		return false
	case *path:
		return !e.fromRoot && e.parts[0].step == nil // what stands first has the focus of the predicate
	case *sequenceOf:
		return slices.ContainsFunc(e.items, asksPosition)
	case *operation:
		return slices.ContainsFunc(e.operands, asksPosition)
	case *call:
		return e.name.uri != xpath3.NSFn || e.name.local == "position" || e.name.local == "last" ||
			slices.ContainsFunc(e.args, asksPosition)
	}
	return true
}

// choose takes items by their positions.
func choose(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	if err := b.Err(); err != nil {
		return nil, err
	}
	base := args[0]
	if base == nil || base.Len() == 0 {
		return nil, nil
	}
	a, _ := args[1].Get(0).(xpath3.AtomicValue)
	conditions := a.StringVal()
	switch conditions[0] {
	case conditionLast:
		return xpath3.ItemSlice{base.Get(base.Len() - 1)}, nil
	case conditionValue:
		return chooseByValue(base, args[2])
	}
	operands := make([][]float64, len(conditions))
	for i, s := range args[2:] {
		numbers, err := positionOperand(s)
		if err != nil {
			return nil, err
		}
		operands[i] = numbers
	}
	return chooseByComparison(b, base, conditions, operands)
}

// chooseByValue is the predicate with one value for all items.
func chooseByValue(base, value xpath3.Sequence) (xpath3.Sequence, error) {
	if value != nil && value.Len() == 1 {
		if a, ok := value.Get(0).(xpath3.AtomicValue); ok && a.IsNumeric() {
			f := a.ToFloat64()
			if i := int(f); float64(i) == f && i >= 1 && i <= base.Len() {
				return xpath3.ItemSlice{base.Get(i - 1)}, nil
			}
			return nil, nil
		}
	}
	if value == nil {
		return nil, nil
	}
	all, err := xpath3.EBV(value)
	if err != nil || !all {
		return nil, err
	}
	return base, nil
}

// positionOperand are the numbers that a position is compared with.
func positionOperand(s xpath3.Sequence) ([]float64, error) {
	if s == nil {
		return nil, nil
	}
	if s.Len() == 1 {
		if a, ok := s.Get(0).(xpath3.AtomicValue); ok && a.IsNumeric() {
			return []float64{a.ToFloat64()}, nil
		}
	}
	atoms, err := xpath3.AtomizeSequence(s)
	if err != nil {
		return nil, err
	}
	numbers := make([]float64, len(atoms))
	for i, a := range atoms {
		if a.TypeName == xpath3.TypeUntypedAtomic {
			if a, err = xpath3.CastAtomic(a, xpath3.TypeDouble); err != nil {
				return nil, err
			}
		}
		if !a.IsNumeric() {
			return nil, typeError("cannot compare a position with an %s", a.TypeName)
		}
		numbers[i] = a.ToFloat64()
	}
	return numbers, nil
}

func chooseByComparison(b *budget, base xpath3.Sequence, conditions string, operands [][]float64) (xpath3.Sequence, error) {
	var chosen xpath3.ItemSlice
	for i := range base.Len() {
		if err := b.Err(); err != nil {
			return nil, err
		}
		all := true
		for k := 0; k < len(conditions) && all; k++ {
			if len(operands[k]) > checkEvery {
				if err := b.check(); err != nil {
					return nil, err
				}
			}
			all = holds(conditions[k], float64(i+1), operands[k])
		}
		if all {
			chosen = append(chosen, base.Get(i))
		}
	}
	return chosen, nil
}

// holds reports whether a comparison holds for one of the numbers (XQuery 3.1, section 3.7.2).
func holds(condition byte, position float64, numbers []float64) bool {
	for _, n := range numbers {
		var ok bool
		switch condition {
		case '=':
			ok = position == n
		case '!':
			ok = position != n
		case '<':
			ok = position < n
		case '(':
			ok = position <= n
		case '>':
			ok = position > n
		case ')':
			ok = position >= n
		default:
			panic("xquery: no condition " + strconv.QuoteRune(rune(condition)))
		}
		if ok {
			return true
		}
	}
	return false
}
