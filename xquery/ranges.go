package xquery

import (
	"math"
	"math/big"

	"github.com/lestrrat-go/helium/xpath3"
)

// maxRangeBits bounds the length of a range so that it can be counted.
const maxRangeBits = 40

// longRange is a range that may have more items than steps are left. It only goes to functions that look at its length
// or at its items one by one (longRangeOf): helium's others make room for all items before they ask for anything.
type longRange struct {
	xpath3.Sequence
	start int64
}

// rangeOf is "to" as an argument of such a function.
func rangeOf(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	start, ok, err := rangeBound(args[0])
	if err != nil || !ok {
		return nil, err
	}
	end, ok, err := rangeBound(args[1])
	if err != nil || !ok || start.Cmp(end) > 0 {
		return nil, err
	}
	if size := new(big.Int).Sub(end, start); size.BitLen() > maxRangeBits || !start.IsInt64() || !end.IsInt64() {
		return boundedRange(b, args)
	}
	return longRange{xpath3.NewRangeSequence(start.Int64(), end.Int64()), start.Int64()}, nil
}

// cutRange is fn:subsequence of what may be a longRange.
func cutRange(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	r, ok := args[0].(longRange)
	if !ok {
		return subsequenceGuard.call(b, args)
	}
	// A position p is kept when round(start) <= p < round(start) + round(length).
	first, end := 1.0, math.Inf(1)
	for i, a := range args[1:] {
		atoms, err := atMost(a, 1)
		if err != nil {
			return nil, err
		}
		if len(atoms) == 0 || !atoms[0].IsNumeric() && atoms[0].TypeName != xpath3.TypeUntypedAtomic {
			return nil, typeError("fn:subsequence takes numbers")
		}
		number, err := xpath3.CastAtomic(atoms[0], xpath3.TypeDouble)
		if err != nil {
			return nil, err
		}
		rounded := math.Floor(number.ToFloat64() + 0.5)
		if i == 0 {
			first = rounded
		} else {
			end = first + rounded
		}
	}
	low, high := max(first, 1), min(end-1, float64(r.Len()))
	if math.IsNaN(low) || math.IsNaN(high) || low > high {
		return nil, nil
	}
	return rangeOf(b, []xpath3.Sequence{
		xpath3.SingleInteger(r.start + int64(low) - 1), xpath3.SingleInteger(r.start + int64(high) - 1),
	})
}

// subsequence is fn:subsequence. What is left of a range must be short enough for every function.
func subsequence(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	s, err := cutRange(b, args)
	if r, ok := s.(longRange); ok {
		if r.Len() > b.left() {
			return nil, b.exceeded("a range of more items than steps are left")
		}
		return r.Sequence, nil
	}
	return s, err
}

var subsequenceGuard = newGuard("subsequence", 2, 3)

// codepointsToString is fn:codepoints-to-string, which ends at the first number that is no character.
func codepointsToString(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	var text []rune
	if s := args[0]; s != nil {
		for i := range s.Len() {
			if err := b.Err(); err != nil {
				return nil, err
			}
			item := s.Get(i)
			atoms := []xpath3.AtomicValue{{}}
			var err error
			if a, ok := item.(xpath3.AtomicValue); ok {
				atoms[0] = a
			} else if atoms, err = b.atoms(xpath3.ItemSlice{item}); err != nil {
				return nil, err
			}
			for _, a := range atoms {
				r, err := codepoint(a)
				if err != nil {
					return nil, err
				}
				text = append(text, r)
			}
			if len(text) > b.limits.Constructed {
				return nil, b.construct(len(text))
			}
		}
	}
	result := string(text)
	return xpath3.SingleString(result), b.construct(len(result) + itemCost)
}

// codepoint is the character of a number.
func codepoint(a xpath3.AtomicValue) (rune, error) {
	if a.TypeName == xpath3.TypeUntypedAtomic && len(a.StringVal()) <= maxDigits {
		cast, err := xpath3.CastAtomic(a, xpath3.TypeInteger)
		if err != nil {
			return 0, err
		}
		a = cast
	}
	if !xpath3.BuiltinIsSubtypeOf(a.TypeName, xpath3.TypeInteger) {
		return 0, typeError("fn:codepoints-to-string takes integers, not %s", a.TypeName)
	}
	n, ok := a.Int64Val()
	if !ok || n > math.MaxInt32 || n < 0 || !isCharacter(rune(n)) {
		return 0, xpathError("FOCH0001", "%s is not the number of a character of XML", a.BigInt())
	}
	return rune(n), nil
}

// isCharacter says whether XML has a character.
func isCharacter(r rune) bool {
	switch {
	case r == '\t', r == '\n', r == '\r':
		return true
	case r < ' ', r >= 0xD800 && r < 0xE000, r == 0xFFFE, r == 0xFFFF:
		return false
	}
	return r <= 0x10FFFF
}

func boundedRange(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	start, ok, err := rangeBound(args[0])
	if err != nil || !ok {
		return nil, err
	}
	end, ok, err := rangeBound(args[1])
	if err != nil || !ok {
		return nil, err
	}
	if start.Cmp(end) > 0 {
		return nil, nil
	}
	size := new(big.Int).Sub(end, start)
	if !size.IsInt64() || size.Int64() >= int64(b.left()) {
		return nil, b.exceeded("a range of more items than steps are left")
	}
	if !start.IsInt64() || !end.IsInt64() {
		return bigRange(b, start, int(size.Int64())+1)
	}
	return xpath3.NewRangeSequence(start.Int64(), end.Int64()), nil
}

func bigRange(b *budget, start *big.Int, count int) (xpath3.Sequence, error) {
	items := make(xpath3.ItemSlice, 0, min(count, 1024))
	for i := range count {
		if err := b.Err(); err != nil {
			return nil, err
		}
		n := new(big.Int).Add(start, big.NewInt(int64(i)))
		items = append(items, xpath3.AtomicValue{TypeName: xpath3.TypeInteger, Value: n})
	}
	return items, nil
}

// rangeBound is an operand of "to" converted to xs:integer?.
func rangeBound(s xpath3.Sequence) (*big.Int, bool, error) {
	atoms, err := atMost(s, 1)
	if err != nil {
		return nil, false, err
	}
	if len(atoms) == 0 {
		return nil, false, nil
	}
	a := atoms[0]
	if a.TypeName == xpath3.TypeUntypedAtomic {
		if len(a.StringVal()) > maxDigits {
			return nil, false, xpathError(codeOverflow, "the number has too many digits")
		}
		if a, err = xpath3.CastAtomic(a, xpath3.TypeInteger); err != nil {
			return nil, false, err
		}
	}
	if !xpath3.BuiltinIsSubtypeOf(a.TypeName, xpath3.TypeInteger) {
		return nil, false, typeError("the operands of \"to\" must be integers, not %s", a.TypeName)
	}
	return a.BigInt(), true, nil
}
