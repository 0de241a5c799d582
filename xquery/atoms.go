package xquery

import (
	"context"
	"math/bits"

	"github.com/lestrrat-go/helium/xpath3"
)

// A sequence may hold one node a million times, and takes little; atomized it is a million texts. helium atomizes all of an
// argument before anyone is asked, so the arguments of functions that want many values are atomized here, where what comes
// of it is counted as it grows.

// atoms atomizes a sequence.
func (b *budget) atoms(s xpath3.Sequence) ([]xpath3.AtomicValue, error) {
	if !growsAtomized(s) {
		return xpath3.AtomizeSequence(s)
	}
	return b.appendAtoms(make([]xpath3.AtomicValue, 0, s.Len()), s)
}

// growsAtomized says whether a sequence may be much larger when it is atomized.
func growsAtomized(s xpath3.Sequence) bool {
	list, ok := s.(xpath3.ItemSlice)
	if !ok {
		return false // nothing, or a range
	}
	for _, item := range list {
		switch item.(type) {
		case xpath3.ArrayItem:
			return true
		case xpath3.NodeItem:
			if len(list) > 1 {
				return true
			}
		}
	}
	return false
}

func (b *budget) appendAtoms(all []xpath3.AtomicValue, s xpath3.Sequence) ([]xpath3.AtomicValue, error) {
	list, ok := s.(xpath3.ItemSlice)
	if !ok {
		atoms, err := xpath3.AtomizeSequence(s)
		return append(all, atoms...), err
	}
	for _, item := range list {
		switch item := item.(type) {
		case xpath3.AtomicValue:
			all = append(all, item)
			continue
		case xpath3.ArrayItem:
			for _, member := range item.Members() {
				before := len(all)
				var err error
				if all, err = b.appendAtoms(all, member); err == nil {
					err = b.construct((len(all) - before) * itemCost)
				}
				if err != nil {
					return nil, err
				}
			}
		default:
			atoms, err := xpath3.AtomizeSequence(xpath3.ItemSlice{item})
			if err != nil {
				return nil, err
			}
			for _, a := range atoms {
				text, _ := a.Value.(string)
				if err := b.construct(len(text) + itemCost); err != nil {
					return nil, err
				}
			}
			all = append(all, atoms...)
		}
		if err := b.Err(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// atMost atomizes a sequence that may have this many values. It stops at the first one too many.
func atMost(s xpath3.Sequence, most int) ([]xpath3.AtomicValue, error) {
	if s == nil {
		return nil, nil
	}
	atoms, err := firstAtoms(nil, s, most+1)
	if err != nil {
		return nil, err
	}
	if len(atoms) > most {
		return nil, typeError("expected at most %d item, but there are more", most)
	}
	return atoms, nil
}

// firstAtoms appends what a sequence is atomized to until there are this many values.
func firstAtoms(all []xpath3.AtomicValue, s xpath3.Sequence, most int) ([]xpath3.AtomicValue, error) {
	for i := 0; i < s.Len() && len(all) < most; i++ {
		item := s.Get(i)
		array, ok := item.(xpath3.ArrayItem)
		if !ok {
			atoms, err := xpath3.AtomizeSequence(xpath3.ItemSlice{item})
			if err != nil {
				return nil, err
			}
			all = append(all, atoms...)
			continue
		}
		for m := 1; m <= array.Size() && len(all) < most; m++ {
			member, err := array.Get(m)
			if err != nil {
				return nil, err
			}
			if member == nil {
				continue
			}
			if all, err = firstAtoms(all, member, most); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// key is the value that tuples are sorted or grouped by, at most one. That of a node is a text of its own.
func (b *budget) key(s xpath3.Sequence) ([]xpath3.AtomicValue, error) {
	atoms, err := atMost(s, 1)
	if err != nil || len(atoms) == 0 {
		return nil, err
	}
	if _, ok := s.Get(0).(xpath3.NodeItem); ok {
		text, _ := atoms[0].Value.(string)
		return atoms, b.construct(len(text))
	}
	return atoms, nil
}

// atomized is a hook: its argument, atomized if that makes it grow. A function gets its arguments like this.
func atomized(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	if args[0] != nil && args[0].Len() == 1 {
		if f, ok := args[0].Get(0).(xpath3.FunctionItem); ok {
			return xpath3.ItemSlice{atomizingFunction(f)}, nil
		}
	}
	return b.atomized(args[0])
}

func (b *budget) atomized(s xpath3.Sequence) (xpath3.Sequence, error) {
	if !growsAtomized(s) {
		return s, nil
	}
	atoms, err := b.atoms(s)
	if err != nil {
		return nil, err
	}
	items := make(xpath3.ItemSlice, len(atoms))
	for i, a := range atoms {
		items[i] = a
	}
	return items, nil
}

// comparedInStep is how many comparisons of a sort are a step.
const comparedInStep = 2

// weighed is a hook: its argument, after what it is atomized to was counted, and the comparisons. Sorting holds the former
// besides the argument, and asks nobody while it compares.
func weighed(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	size := lengthOf(args[0])
	if size == 1 {
		size, _ = partsOf(args[0].Get(0))
	}
	b.steps += size * bits.Len(uint(size)) / comparedInStep
	if err := b.check(); err != nil {
		return nil, err
	}
	if _, err := b.atomized(args[0]); err != nil {
		return args[0], b.failed // what else is wrong, the function says itself
	}
	return args[0], nil
}

// atomizing are the functions of the fn namespace that atomize all of their first argument.
var atomizing = map[string]bool{
	"data": true, "sum": true, "avg": true, "max": true, "min": true, "distinct-values": true, "index-of": true,
	"id": true, "idref": true, "element-with-id": true,
}

// atomizingFunction is one of these as a function item.
func atomizingFunction(f xpath3.FunctionItem) xpath3.FunctionItem {
	invoke := f.Invoke
	f.Invoke = func(ctx context.Context, args []xpath3.Sequence) (xpath3.Sequence, error) {
		b := budgetOf(ctx)
		if b == nil {
			return nil, errOutside
		}
		if len(args) > 0 {
			first, err := b.atomized(args[0])
			if err != nil {
				return nil, err
			}
			args = append([]xpath3.Sequence{first}, args[1:]...)
		}
		return invoke(ctx, args)
	}
	return f
}

// parametersAtomized is a hook: its argument, a function, which gets its arguments atomized as its parameters want it.
func parametersAtomized(_ *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	f, ok := args[0].Get(0).(xpath3.FunctionItem)
	if !ok {
		return args[0], nil
	}
	invoke := f.Invoke
	f.Invoke = func(ctx context.Context, args []xpath3.Sequence) (xpath3.Sequence, error) {
		b := budgetOf(ctx)
		if b == nil {
			return nil, errOutside
		}
		args, err := b.atomizeParameters(f.ParamTypes, args)
		if err != nil {
			return nil, err
		}
		return invoke(ctx, args)
	}
	return xpath3.ItemSlice{f}, nil
}

// atomizeParameters atomizes the arguments of a function that declares many atomic values.
func (b *budget) atomizeParameters(types []xpath3.SequenceType, args []xpath3.Sequence) ([]xpath3.Sequence, error) {
	copied := false
	for i := range types {
		if i >= len(args) || !manyAtoms(&types[i]) || !growsAtomized(args[i]) {
			continue
		}
		if !copied {
			args, copied = append([]xpath3.Sequence(nil), args...), true
		}
		var err error
		if args[i], err = b.atomized(args[i]); err != nil {
			return nil, err
		}
	}
	return args, nil
}

// anyManyAtoms says whether one of the types is that.
func anyManyAtoms(types []xpath3.SequenceType) bool {
	for i := range types {
		if manyAtoms(&types[i]) {
			return true
		}
	}
	return false
}

// manyAtoms says whether a type is one of any number of atomic values.
func manyAtoms(t *xpath3.SequenceType) bool {
	if t == nil || t.Occurrence != xpath3.OccurrenceZeroOrMore && t.Occurrence != xpath3.OccurrenceOneOrMore {
		return false
	}
	_, ok := t.ItemTest.(xpath3.AtomicOrUnionType)
	return ok
}
