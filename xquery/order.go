package xquery

import (
	"context"
	"slices"
	"strings"

	"github.com/lestrrat-go/helium/xpath3"
)

// tuple is a tuple of a FLWOR expression on its way through a sort: the values of its keys, and its variables.
type tuple struct {
	keys   []xpath3.AtomicValue
	absent []bool               // keys that are the empty sequence
	raw    []xpath3.AtomicValue // the keys as they were before they became comparable
	values []xpath3.Sequence
	owned  bool // the values may be appended to: see merge
}

const typeTuple = "\x01tuple"

// tupleCost is about what a tuple takes, and keyCost what each of its keys does.
const (
	tupleCost = 160
	keyCost   = 80
)

func makeTuple(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	if err := b.Err(); err != nil {
		return nil, err
	}
	count, _ := args[0].Get(0).(xpath3.AtomicValue)
	n := int(count.BigInt().Int64())
	if err := b.construct(tupleCost + n*keyCost + (len(args)-1-n)*itemCost); err != nil {
		return nil, err
	}
	t := &tuple{keys: make([]xpath3.AtomicValue, n), absent: make([]bool, n), values: args[1+n:]}
	for i := range n {
		atoms, err := b.key(args[1+i])
		if err != nil {
			return nil, err
		}
		if len(atoms) == 0 {
			t.absent[i] = true
			t.raw = append(t.raw, xpath3.AtomicValue{})
			continue
		}
		t.keys[i] = atoms[0]
		t.raw = append(t.raw, atoms[0])
		if t.keys[i].TypeName == xpath3.TypeUntypedAtomic {
			t.keys[i].TypeName = xpath3.TypeString
		}
	}
	return xpath3.ItemSlice{xpath3.AtomicValue{TypeName: typeTuple, Value: t}}, nil
}

func asTuple(item xpath3.Item) *tuple {
	a, _ := item.(xpath3.AtomicValue)
	t, _ := a.Value.(*tuple)
	return t
}

func tupleField(_ *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	index, _ := args[1].Get(0).(xpath3.AtomicValue)
	return asTuple(args[0].Get(0)).values[index.BigInt().Int64()], nil
}

// ordering is one order specification at run time.
type ordering struct {
	descending, greatest bool
	collation            string
}

// writeOrder writes an order specification for readOrder: helium's tree holds strings, but no values of ours.
func writeOrder(b *strings.Builder, k orderKey) {
	direction, absent := byte('a'), byte('l')
	if k.descending {
		direction = 'd'
	}
	if k.greatest {
		absent = 'g'
	}
	b.WriteByte(direction)
	b.WriteByte(absent)
	if k.collation != codepointCollation {
		b.WriteString(k.collation)
	}
	b.WriteByte('\n')
}

func readOrder(spec string) []ordering {
	var all []ordering
	for line := range strings.Lines(spec) {
		all = append(all, ordering{
			descending: line[0] == 'd', greatest: line[1] == 'g', collation: strings.TrimSuffix(line[2:], "\n"),
		})
	}
	return all
}

// sortTuples sorts tuples by their keys (XQuery 3.1, section 3.12.8); the order of equal ones stays.
func sortTuples(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	if err := b.Err(); err != nil {
		return nil, err
	}
	if args[1] == nil || args[1].Len() == 0 {
		return args[1], nil
	}
	spec, _ := args[0].Get(0).(xpath3.AtomicValue)
	orders := readOrder(spec.StringVal())
	items := slices.Clone(args[1].Materialize())
	tuples := make([]*tuple, len(items))
	for i, item := range items {
		tuples[i] = asTuple(item)
	}
	if err := sameTypes(tuples, len(orders)); err != nil {
		return nil, err
	}
	var failed error
	slices.SortStableFunc(items, func(x, y xpath3.Item) int {
		if failed != nil {
			return 0
		}
		if failed = b.Err(); failed != nil {
			return 0
		}
		order, err := compareTuples(b, asTuple(x), asTuple(y), orders)
		failed = err
		return order
	})
	if failed != nil {
		return nil, failed
	}
	return xpath3.ItemSlice(items), nil
}

// sameTypes fails when the values of a key cannot be compared with each other, also when the sort would not notice.
func sameTypes(tuples []*tuple, keys int) error {
	for k := range keys {
		first := -1
		for i, t := range tuples {
			if t.absent[k] {
				continue
			}
			if first < 0 {
				first = i
			}
			a, b := t.keys[k], tuples[first].keys[k]
			if a.TypeName == b.TypeName && first != i {
				continue
			}
			if _, err := xpath3.ValueCompare(xpath3.TokenLt, a, b); err != nil {
				return typeError("cannot order %s and %s", a.TypeName, b.TypeName)
			}
		}
	}
	return nil
}

func compareTuples(b *budget, x, y *tuple, orders []ordering) (int, error) {
	for i, o := range orders {
		order, err := compareKeys(b, x, y, i, o)
		if err != nil {
			return 0, err
		}
		if order == 0 {
			continue
		}
		if o.descending {
			return -order, nil
		}
		return order, nil
	}
	return 0, nil
}

// compareKeys compares the i-th keys. The rank of the empty sequence and of NaN beside it comes first.
func compareKeys(b *budget, x, y *tuple, i int, o ordering) (int, error) {
	rx, ry := rank(x, i, o.greatest), rank(y, i, o.greatest)
	if rx != ry || rx != 0 {
		return rx - ry, nil
	}
	kx, ky := x.keys[i], y.keys[i]
	if sx, ok := kx.Value.(string); ok && kx.TypeName == xpath3.TypeString {
		if sy, ok := ky.Value.(string); ok && ky.TypeName == xpath3.TypeString {
			if o.collation == "" {
				return strings.Compare(sx, sy), nil
			}
			return collate(b, sx, sy, o.collation)
		}
	}
	less, err := xpath3.ValueCompareWithImplicitTimezone(xpath3.TokenLt, kx, ky, timezone)
	if err != nil || less {
		return -1, err
	}
	more, err := xpath3.ValueCompareWithImplicitTimezone(xpath3.TokenLt, ky, kx, timezone)
	if more {
		return 1, err
	}
	return 0, err
}

// rank places the empty sequence and NaN: below all others, or above with "empty greatest".
func rank(t *tuple, i int, greatest bool) int {
	r := 0
	switch {
	case t.absent[i]:
		r = -2
	case t.keys[i].IsNaN():
		r = -1
	}
	if greatest {
		return -r
	}
	return r
}

var compareFunction = builtin("compare", 3)

func collate(ctx context.Context, x, y, collation string) (int, error) {
	result, err := compareFunction.Invoke(ctx, []xpath3.Sequence{
		xpath3.SingleString(x), xpath3.SingleString(y), xpath3.SingleString(collation),
	})
	if err != nil {
		return 0, err
	}
	a, _ := result.Get(0).(xpath3.AtomicValue)
	return int(a.BigInt().Int64()), nil
}
