package xquery

import (
	"strconv"
	"strings"

	"github.com/lestrrat-go/helium/xpath3"
)

// groupingKey is the value of a grouping variable: atomized, at most one item.
func groupingKey(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	atoms, err := b.key(args[0])
	if err != nil || len(atoms) == 0 {
		return nil, err
	}
	return xpath3.ItemSlice{atoms[0]}, nil
}

// groupTuples makes one tuple of all that have equal keys (XQuery 3.1, section 3.12.7). Its arguments are the
// collations, the tuples, and the field of each key's variable.
func groupTuples(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	if args[1] == nil {
		return nil, nil
	}
	spec, _ := args[0].Get(0).(xpath3.AtomicValue)
	collations, err := collationKeys(spec.StringVal())
	if err != nil {
		return nil, err
	}
	fields := make([]int, len(args)-2)
	for i := range fields {
		fields[i] = integerArgument(args[2+i])
	}
	buckets := make(map[string][]*tuple)
	var groups xpath3.ItemSlice
	for i := range args[1].Len() {
		if err := b.Err(); err != nil {
			return nil, err
		}
		t := asTuple(args[1].Get(i))
		key := bucket(t, collations)
		group, err := findGroup(b, buckets[key], t, collations)
		if err != nil {
			return nil, err
		}
		if group == nil {
			if err := b.construct(tupleCost + len(key) + len(t.values)*itemCost); err != nil {
				return nil, err
			}
			group = newGroup(t, fields)
			buckets[key] = append(buckets[key], group)
			groups = append(groups, xpath3.AtomicValue{TypeName: typeTuple, Value: group})
			continue
		}
		if err := group.merge(b, t, fields); err != nil {
			return nil, err
		}
	}
	return groups, nil
}

// collationKeys are functions that map equal texts to one.
func collationKeys(spec string) ([]func(string) string, error) {
	var all []func(string) string
	for line := range strings.Lines(spec) {
		uri := strings.TrimSuffix(line, "\n")
		if uri == "" {
			all = append(all, func(s string) string { return s })
			continue
		}
		key, err := xpath3.ResolveCollationKeyFunc(uri)
		if err != nil {
			return nil, err
		}
		all = append(all, key)
	}
	return all, nil
}

// bucket is a text that is the same for all tuples with equal keys.
func bucket(t *tuple, collations []func(string) string) string {
	var b strings.Builder
	for i, k := range t.keys {
		switch text, isText := textOfAtom(k); {
		case t.absent[i]:
			b.WriteByte('0')
		case isText:
			text = collations[i](text)
			b.WriteByte('s')
			b.WriteString(strconv.Itoa(len(text)))
			b.WriteByte(':')
			b.WriteString(text)
		case k.IsNumeric():
			b.WriteByte('n')
			b.WriteString(strconv.FormatFloat(k.ToFloat64()+0, 'g', 9, 64))
		default:
			b.WriteByte('o')
		}
	}
	return b.String()
}

// textOfAtom is the text of a value that is compared as a text.
func textOfAtom(a xpath3.AtomicValue) (string, bool) {
	text, ok := a.Value.(string)
	ok = ok && (a.TypeName == xpath3.TypeString || a.TypeName == xpath3.TypeUntypedAtomic || a.TypeName == xpath3.TypeAnyURI ||
		xpath3.BuiltinIsSubtypeOf(a.TypeName, xpath3.TypeString))
	return text, ok
}

func findGroup(b *budget, groups []*tuple, t *tuple, collations []func(string) string) (*tuple, error) {
	for _, g := range groups {
		if err := b.Err(); err != nil {
			return nil, err
		}
		same := true
		for i := range t.keys {
			same = same && sameKey(g, t, i, collations[i])
		}
		if same {
			return g, nil
		}
	}
	return nil, nil
}

func sameKey(x, y *tuple, i int, collation func(string) string) bool {
	if x.absent[i] || y.absent[i] {
		return x.absent[i] && y.absent[i]
	}
	return sameAtoms(x.keys[i], y.keys[i], collation)
}

// sameAtoms compares like fn:deep-equal: NaN is equal to itself, and values of types that cannot be compared differ.
func sameAtoms(x, y xpath3.AtomicValue, collation func(string) string) bool {
	if x.IsNumeric() && y.IsNumeric() && x.IsNaN() && y.IsNaN() {
		return true
	}
	tx, okx := textOfAtom(x)
	ty, oky := textOfAtom(y)
	if okx && oky {
		return collation(tx) == collation(ty)
	}
	same, err := xpath3.ValueCompareWithImplicitTimezone(xpath3.TokenEq, x, y, timezone)
	return err == nil && same
}

// newGroup is the group of one tuple: the variables of the keys have the atomized values.
func newGroup(t *tuple, fields []int) *tuple {
	g := &tuple{keys: t.keys, absent: t.absent, values: append([]xpath3.Sequence(nil), t.values...)}
	for i, f := range fields {
		if t.absent[i] {
			g.values[f] = nil
		} else {
			g.values[f] = xpath3.ItemSlice{t.raw[i]}
		}
	}
	return g
}

// merge appends the variables of a tuple, except those of the keys.
func (t *tuple) merge(b *budget, other *tuple, fields []int) error {
	for i, v := range other.values {
		if v == nil || v.Len() == 0 || contains(fields, i) {
			continue
		}
		own, _ := t.values[i].(xpath3.ItemSlice)
		if own == nil && t.values[i] != nil {
			own = t.values[i].Materialize()
		}
		if !t.owned {
			own = append(xpath3.ItemSlice(nil), own...)
		}
		if err := b.construct(itemCost * v.Len()); err != nil {
			return err
		}
		t.values[i] = append(own, v.Materialize()...)
	}
	t.owned = true
	return nil
}

func contains(all []int, n int) bool {
	for _, i := range all {
		if i == n {
			return true
		}
	}
	return false
}

// switchOperand is the operand of a switch: atomized, at most one item.
func switchOperand(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	if err := b.Err(); err != nil {
		return nil, err
	}
	return groupingKey(b, args)
}

// switchSame compares the operand with a case.
func switchSame(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	if err := b.Err(); err != nil {
		return nil, err
	}
	atoms, err := atMost(args[1], 1)
	if err != nil {
		return nil, err
	}
	if args[0] == nil || args[0].Len() == 0 || len(atoms) == 0 {
		return xpath3.SingleBoolean(len(atoms) == 0 && (args[0] == nil || args[0].Len() == 0)), nil
	}
	operand, _ := args[0].Get(0).(xpath3.AtomicValue)
	collation := func(s string) string { return s }
	if c := b.query.module.collation; c != codepointCollation {
		if collation, err = xpath3.ResolveCollationKeyFunc(c); err != nil {
			return nil, err
		}
	}
	return xpath3.SingleBoolean(sameAtoms(operand, atoms[0], collation)), nil
}

// allowingEmpty is the binding sequence of "allowing empty": an item that stands for nothing when there is none.
func allowingEmpty(_ *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	if args[0] != nil && args[0].Len() > 0 {
		return args[0], nil
	}
	return xpath3.ItemSlice{nothingAtAll}, nil
}

var nothingAtAll = xpath3.AtomicValue{TypeName: "\x01nothing"}

func isNothing(s xpath3.Sequence) bool {
	if s == nil || s.Len() != 1 {
		return false
	}
	a, ok := s.Get(0).(xpath3.AtomicValue)
	return ok && a.TypeName == nothingAtAll.TypeName
}

// something is the value of a variable bound by allowingEmpty; with a second argument that, or 0.
func something(_ *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	none := isNothing(args[0])
	if len(args) == 2 {
		if none {
			return xpath3.SingleInteger(0), nil
		}
		return args[1], nil
	}
	if none {
		return nil, nil
	}
	return args[0], nil
}

func joinItems(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	text, _, err := b.spaced(args[0])
	if err != nil {
		return nil, err
	}
	return xpath3.SingleString(text), b.construct(len(text))
}
