package xquery

import (
	"context"
	"reflect"

	"github.com/lestrrat-go/helium/xpath3"
)

// Arrays and maps share what they are made of: sixty times "let $a := [$a, $a]" takes no memory, but whoever walks through
// the result (atomization, fn:serialize, the caller) meets 2^60 items. So what arrays and maps hold, with all that is in
// them, is counted when they are made, and an evaluation makes none that hold more than it may take steps.

// nestings are the counts of one evaluation: how many items each array and map has in it. A count may be too high, because
// what map:put and array:put replace is not taken off; before it is held against the limit it is counted afresh.
type nestings struct {
	known  map[nestingKey]nesting
	oldest []nestingKey
	cells  int // entries and members of those that known keeps alive
}

// nestingKey tells arrays and maps apart by the memory of their members or entries, as long as that is alive.
type nestingKey struct {
	start uintptr
	size  int
}

type nesting struct {
	item  xpath3.Item // keeps the memory of the key
	items int
}

// keptCells bounds the memory of what an evaluation already dropped. The last of keptNestings are kept, however large.
const (
	keptCells    = 1 << 17
	keptNestings = 16
	// fewItems are counted again sooner than kept.
	fewItems = 16
)

func keyOfNesting(item xpath3.Item, size int) nestingKey {
	return nestingKey{reflect.ValueOf(item).Field(0).Pointer(), size}
}

func (n *nestings) note(item xpath3.Item, items int) {
	size, _ := partsOf(item)
	if size == 0 || items <= fewItems {
		return
	}
	if n.known == nil {
		n.known = make(map[nestingKey]nesting)
	}
	key := keyOfNesting(item, size)
	if _, again := n.known[key]; !again {
		n.oldest = append(n.oldest, key)
		n.cells += size
	}
	n.known[key] = nesting{item, items}
	for n.cells > keptCells && len(n.oldest) > keptNestings {
		delete(n.known, n.oldest[0])
		n.cells -= n.oldest[0].size
		n.oldest = n.oldest[1:]
	}
}

// itemsIn counts the items of a sequence with all that is in them, at least one; those of arrays and maps that are not
// known yet are looked through, as far as the steps last.
func (b *budget) itemsIn(s xpath3.Sequence) (int, error) {
	list, ok := s.(xpath3.ItemSlice)
	if !ok {
		if s == nil {
			return 1, nil
		}
		return max(s.Len(), 1), nil // a range has no arrays
	}
	total := max(len(list), 1)
	for _, item := range list {
		switch item.(type) {
		case xpath3.ArrayItem, xpath3.MapItem:
			n, err := b.itemsOf(item)
			if err != nil {
				return 0, err
			}
			total = min(total+n, maxItems)
		}
	}
	return total, nil
}

// maxItems is more than any limit of steps, and can be added to itself.
const maxItems = 1 << 60

// itemsOf counts the items in an array or a map.
func (b *budget) itemsOf(item xpath3.Item) (int, error) {
	size, values := partsOf(item)
	if size == 0 {
		return 1, nil
	}
	if known, ok := b.nested.known[keyOfNesting(item, size)]; ok {
		return known.items, nil
	}
	b.steps += size
	if err := b.Err(); err != nil {
		return 0, err
	}
	total := 0
	for _, s := range values() {
		n, err := b.itemsIn(s)
		if err != nil {
			return 0, err
		}
		total = min(total+n, maxItems)
	}
	b.nested.note(item, total)
	return total, nil
}

// partsOf are the number of members or entries, and these.
func partsOf(item xpath3.Item) (int, func() []xpath3.Sequence) {
	switch item := item.(type) {
	case xpath3.ArrayItem:
		return item.Size(), item.Members
	case xpath3.MapItem:
		return item.Size(), func() []xpath3.Sequence {
			values := make([]xpath3.Sequence, 0, item.Size())
			_ = item.ForEach(func(_ xpath3.AtomicValue, value xpath3.Sequence) error {
				values = append(values, value)
				return nil
			})
			return values
		}
	}
	return 0, nil
}

// bounded returns a sequence that was just made, unless there is too much in it.
func (b *budget) bounded(s xpath3.Sequence) (xpath3.Sequence, error) {
	_, err := b.itemsOfAll([]xpath3.Sequence{s})
	return s, err
}

// boundedNesting is a hook: its argument, whose arrays and maps are counted. Functions get such results.
func boundedNesting(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	if args[0] != nil && args[0].Len() == 1 {
		if f, ok := args[0].Get(0).(xpath3.FunctionItem); ok {
			return xpath3.ItemSlice{nestingFunction(f)}, nil
		}
	}
	return b.bounded(args[0])
}

func nestingFunction(f xpath3.FunctionItem) xpath3.FunctionItem {
	invoke := f.Invoke
	f.Invoke = func(ctx context.Context, args []xpath3.Sequence) (xpath3.Sequence, error) {
		result, err := invoke(ctx, args)
		if err != nil {
			return nil, err
		}
		b := budgetOf(ctx)
		if b == nil {
			return nil, errOutside
		}
		return b.bounded(result)
	}
	return f
}

// nestsResults says whether a function makes an array of what functions return.
func nestsResults(uri, local string) bool {
	return uri == xpath3.NSArray && (local == "for-each" || local == "for-each-pair")
}

// combination is a function that makes an array or a map of its arguments, the first of which it copies. What is in the result is added up from these,
// because to look through the result takes longer than to make it.
type combination struct {
	least   int
	merges  bool                  // it is map:merge
	removes bool                  // it is map:remove
	byArity []xpath3.FunctionItem // from least on
}

func newCombination(prefix, name string, least, most int) *combination {
	c := &combination{least: least, merges: name == "merge", removes: prefix == "map" && name == "remove"}
	for arity := least; arity <= most; arity++ {
		c.byArity = append(c.byArity, builtinOf(newEvaluator(), prefix, name, arity))
	}
	return c
}

func (c *combination) MinArity() int { return c.least }
func (c *combination) MaxArity() int { return c.least + len(c.byArity) - 1 }

func (c *combination) Call(ctx context.Context, args []xpath3.Sequence) (xpath3.Sequence, error) {
	b := budgetOf(ctx)
	if b == nil {
		return nil, errOutside
	}
	items, err := b.itemsOfAll(args)
	if err != nil {
		return nil, err
	}
	if err := b.copied(args[0]); err != nil {
		return nil, err
	}
	invoke := c.byArity[len(args)-c.least].Invoke
	switch {
	case c.merges && len(args) == 2 && combines(args[1]):
		invoke = mergeCombining
	case c.removes:
		invoke = removeKeys
	}
	result, err := invoke(ctx, args)
	if err != nil || result == nil || result.Len() != 1 {
		return result, err
	}
	b.nested.note(result.Get(0), items)
	return result, nil
}

// itemsOfAll counts the items of what an array or a map is to be made of, and refuses too many.
func (b *budget) itemsOfAll(parts []xpath3.Sequence) (int, error) {
	for again := false; ; again = true {
		total := 0
		for _, s := range parts {
			n, err := b.itemsIn(s)
			if err != nil {
				return 0, err
			}
			total = min(total+n, maxItems)
		}
		switch {
		case total <= b.limits.Steps:
			return total, nil
		case again:
			return 0, b.exceeded("arrays and maps in each other have more than %d items", b.limits.Steps)
		}
		b.nested = nestings{}
	}
}

// combines says whether these options of map:merge ask for all values of a key.
func combines(options xpath3.Sequence) bool {
	if options == nil || options.Len() != 1 {
		return false
	}
	m, ok := options.Get(0).(xpath3.MapItem)
	if !ok {
		return false
	}
	value, _ := m.Get(xpath3.AtomicValue{TypeName: xpath3.TypeString, Value: "duplicates"})
	return one(value).Value == "combine"
}

// mergeCombining is map:merge with all values of a key. helium copies the values that a key already has for each further one.
func mergeCombining(ctx context.Context, args []xpath3.Sequence) (xpath3.Sequence, error) {
	var maps []xpath3.MapItem
	for i := range lengthOf(args[0]) {
		m, ok := args[0].Get(i).(xpath3.MapItem)
		if !ok {
			return nil, typeError("map:merge takes maps")
		}
		maps = append(maps, m)
	}
	merged, err := xpath3.MergeMaps(maps, xpath3.MergeUseFirst)
	if err != nil {
		return nil, err
	}
	entries, places := make([]xpath3.MapEntry, merged.Size()), make([]xpath3.MapEntry, merged.Size())
	for i, key := range merged.Keys() {
		entries[i].Key = key
		places[i] = xpath3.MapEntry{Key: key, Value: xpath3.SingleInteger(int64(i))}
	}
	placeOf := xpath3.NewMap(places)
	values := make([]xpath3.ItemSlice, len(entries))
	for _, m := range maps {
		err := m.ForEach(func(key xpath3.AtomicValue, value xpath3.Sequence) error {
			place, _ := placeOf.Get(key)
			i := integerArgument(place)
			if value != nil {
				values[i] = append(values[i], value.Materialize()...)
			}
			return ctx.Err()
		})
		if err != nil {
			return nil, err
		}
	}
	for i := range entries {
		entries[i].Value = values[i]
	}
	return xpath3.ItemSlice{xpath3.NewMap(entries)}, nil
}

func lengthOf(s xpath3.Sequence) int {
	if s == nil {
		return 0
	}
	return s.Len()
}

// combinations are the functions that nest their arguments or a part of them.
func combinations() map[xpath3.QualifiedName]xpath3.Function {
	table := make(map[xpath3.QualifiedName]xpath3.Function)
	for _, f := range []struct {
		uri, prefix, name string
		least, most       int
	}{
		{xpath3.NSArray, "array", "put", 3, 3},
		{xpath3.NSArray, "array", "append", 2, 2},
		{xpath3.NSArray, "array", "insert-before", 3, 3},
		{xpath3.NSArray, "array", "join", 1, 1},
		{xpath3.NSArray, "array", "remove", 2, 2},
		{xpath3.NSArray, "array", "tail", 1, 1},
		{xpath3.NSArray, "array", "subarray", 2, 3},
		{xpath3.NSArray, "array", "reverse", 1, 1},
		{xpath3.NSMap, "map", "put", 3, 3},
		{xpath3.NSMap, "map", "entry", 2, 2},
		{xpath3.NSMap, "map", "merge", 1, 2},
		{xpath3.NSMap, "map", "remove", 2, 2},
	} {
		table[xpath3.QualifiedName{URI: f.uri, Name: f.name}] = newCombination(f.prefix, f.name, f.least, f.most)
	}
	return table
}

// countNested makes an array or a map count what is in it, if that can be arrays and maps.
func countNested(parts []expr, made xpath3.Expr) xpath3.Expr {
	if !anyNests(parts) {
		return made
	}
	return hookCall(hookNested, made)
}

// nests says whether an expression may have arrays or maps among its items. What it does not know may.
func nests(e expr) bool {
	switch e := e.(type) {
	case *literal, *unary, *quantified, *constructor, *joined, *inlineFunction, *functionRef:
		return false
	case *sequenceOf:
		return anyNests(e.items)
	case *operation:
		return e.op == xpath3.TokenBang && nests(e.operands[1])
	case *typed:
		return nests(e.operand)
	case *path:
		if len(e.parts) == 0 {
			return false
		}
		last := e.parts[len(e.parts)-1]
		return last.step == nil && nests(last.expr)
	case *call:
		switch e.name.uri {
		case xpath3.NSXS, xpath3.NSMath:
			return false
		case xpath3.NSFn:
			return !flatFunctions[e.name.local]
		}
	case *conditional:
		return nests(e.then) || nests(e.otherwise)
	}
	return true
}

// flatFunctions are the usual ones that return no arrays and maps.
var flatFunctions = map[string]bool{
	"string": true, "data": true, "concat": true, "string-join": true, "count": true, "sum": true, "number": true,
	"name": true, "local-name": true, "position": true, "last": true, "true": true, "false": true, "not": true,
	"exists": true, "empty": true, "distinct-values": true, "tokenize": true, "normalize-space": true, "substring": true,
	"upper-case": true, "lower-case": true, "replace": true, "round": true, "max": true, "min": true, "avg": true,
}

func anyNests(all []expr) bool {
	for _, e := range all {
		if nests(e) {
			return true
		}
	}
	return false
}
