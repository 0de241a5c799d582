package xquery

import (
	"github.com/lestrrat-go/helium/xpath3"
)

const (
	windowTumbling  = 1 << iota
	windowOnly      // windows that do not end are dropped
	windowUntilNext // a window ends before the next one starts
)

const typeWindow = "\x01window"

// windowState is what the hooks of one window clause remember.
type windowState struct {
	next    int // where the next tumbling window may start
	reached int // the end that the last search found
	open    int // the start of a window that the next one ends
}

func stateOf(s xpath3.Sequence) *windowState {
	a, _ := s.Get(0).(xpath3.AtomicValue)
	state, _ := a.Value.(*windowState)
	return state
}

func windowItemsOf(s xpath3.Sequence) xpath3.ItemSlice {
	a, _ := s.Get(0).(xpath3.AtomicValue)
	all, _ := a.Value.(xpath3.ItemSlice)
	return all
}

// windowItems wraps a sequence into one item.
func windowItems(_ *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	var all xpath3.ItemSlice
	if args[0] != nil {
		all = args[0].Materialize()
	}
	return xpath3.ItemSlice{xpath3.AtomicValue{TypeName: typeWindow, Value: all}}, nil
}

func newWindowState(*budget, []xpath3.Sequence) (xpath3.Sequence, error) {
	return xpath3.ItemSlice{xpath3.AtomicValue{TypeName: typeWindow, Value: &windowState{next: 1}}}, nil
}

// windowPositions are the positions of the items from one on.
func windowPositions(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	n, from := len(windowItemsOf(args[0])), integerArgument(args[1])
	if n < from {
		return nil, nil
	}
	return xpath3.NewRangeSequence(int64(from), int64(n)), b.Err()
}

// windowItem is the item at a position plus an offset, or nothing.
func windowItem(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	all := windowItemsOf(args[0])
	i := integerArgument(args[1]) + signedArgument(args[2])
	if i < 1 || i > len(all) {
		return nil, b.Err()
	}
	return xpath3.ItemSlice{all[i-1]}, b.Err()
}

func signedArgument(s xpath3.Sequence) int {
	a, _ := s.Get(0).(xpath3.AtomicValue)
	n, _ := a.Int64Val()
	return int(n)
}

// windowOpen reports whether a tumbling window may start at a position.
func windowOpen(_ *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	return xpath3.SingleBoolean(integerArgument(args[1]) >= stateOf(args[0]).next), nil
}

// windowReach notes the end of a window.
func windowReach(_ *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	stateOf(args[0]).reached = integerArgument(args[1])
	return xpath3.SingleBoolean(true), nil
}

// windowMark stands for the search of an end where there is none.
func windowMark(*budget, []xpath3.Sequence) (xpath3.Sequence, error) {
	return xpath3.SingleBoolean(false), nil
}

// windowMade is the window that starts at a position, if it has an end. A window that the next one ends is made when
// that starts.
func windowMade(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	all, state, start := windowItemsOf(args[0]), stateOf(args[1]), integerArgument(args[2])
	flags := integerArgument(args[4])
	if flags&windowUntilNext != 0 {
		last := state.open
		state.open = start
		if last == 0 {
			return nil, nil
		}
		return makeWindow(b, all, last, start-1)
	}
	ended, err := xpath3.EBV(args[3])
	if err != nil {
		return nil, err
	}
	end := len(all)
	if ended {
		end = state.reached
	}
	state.next = end + 1
	if !ended && flags&windowOnly != 0 {
		return nil, nil
	}
	return makeWindow(b, all, start, end)
}

// windowLast is the window that no other one ended.
func windowLast(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	all, state := windowItemsOf(args[0]), stateOf(args[1])
	if integerArgument(args[2])&windowUntilNext == 0 || state.open == 0 {
		return nil, nil
	}
	return makeWindow(b, all, state.open, len(all))
}

// makeWindow is a tuple of a window's items and of the variables of its start and its end.
func makeWindow(b *budget, all xpath3.ItemSlice, start, end int) (xpath3.Sequence, error) {
	if err := b.construct(itemCost * 10); err != nil {
		return nil, err
	}
	at := func(i int) xpath3.Sequence {
		if i < 1 || i > len(all) {
			return nil
		}
		return xpath3.ItemSlice{all[i-1]}
	}
	t := &tuple{values: []xpath3.Sequence{
		all[start-1 : end : end],
		at(start), xpath3.SingleInteger(int64(start)), at(start - 1), at(start + 1),
		at(end), xpath3.SingleInteger(int64(end)), at(end - 1), at(end + 1),
	}}
	return xpath3.ItemSlice{xpath3.AtomicValue{TypeName: typeTuple, Value: t}}, nil
}
