package xquery

import "github.com/lestrrat-go/helium/xpath3"

// What is known about the values of an expression before it is evaluated saves checks at run time. One thing is known
// so far: that all items are of the type xs:double. Sums of these are no numbers of many digits.

func isDouble(kind *xpath3.SequenceType) bool {
	if kind == nil || kind.Void {
		return false
	}
	t, ok := kind.ItemTest.(xpath3.AtomicOrUnionType)
	return ok && t.Name == "double"
}

// doubles reports whether all items of an expression's value are of the type xs:double.
func (c *compiler) doubles(e expr) bool {
	switch e := e.(type) {
	case *literal:
		_, ok := e.value.(float64)
		return ok
	case *variable:
		b := c.bound(e.name)
		return b != nil && b.double
	case *sequenceOf:
		for _, item := range e.items {
			if !c.doubles(item) {
				return false
			}
		}
		return true
	case *filter:
		return c.doubles(e.base)
	case *unary:
		return c.doubles(e.operand)
	case *conditional:
		return c.doubles(e.then) && c.doubles(e.otherwise)
	case *typed:
		return e.op == xpath3.TokenCastAs && e.atomic.uri == xpath3.NSXS && e.atomic.local == "double"
	case *operation:
		return c.doubleOperation(e)
	case *call:
		return c.doubleCall(e)
	}
	return false
}

// doubleOperation is doubles for an operator: any number that meets a double becomes one. A product or a quotient of a
// double may also be a duration.
func (c *compiler) doubleOperation(e *operation) bool {
	switch e.op {
	case xpath3.TokenPlus, xpath3.TokenMinus, xpath3.TokenMod:
		return c.doubles(e.operands[0]) || c.doubles(e.operands[1])
	case xpath3.TokenStar, xpath3.TokenDiv:
		left, right := c.doubles(e.operands[0]), c.doubles(e.operands[1])
		return left && right || left && isNumber(e.operands[1]) || right && isNumber(e.operands[0])
	}
	return false
}

func isNumber(e expr) bool {
	l, ok := e.(*literal)
	if !ok {
		return false
	}
	_, text := l.value.(string)
	return !text
}

func (c *compiler) doubleCall(e *call) bool {
	if d := c.userCall(e.name, len(e.args)); d != nil {
		return isDouble(d.returns)
	}
	switch e.name.uri {
	case xpath3.NSXS:
		return e.name.local == "double" && len(e.args) == 1 && e.args[0] != nil
	case xpath3.NSFn:
		return e.name.local == "number"
	}
	return false
}

// bound is the binding of a variable, or nil.
func (c *compiler) bound(n name) *binding {
	for i := len(c.scope) - 1; i >= 0; i-- {
		if b := &c.scope[i]; b.name.local == n.local && b.name.uri == n.uri {
			return b
		}
	}
	return nil
}
