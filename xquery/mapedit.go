package xquery

import (
	"github.com/lestrrat-go/helium/xpath3"
)

// Each map:put and map:remove copies its map. A map that only lives between two calls, as the inner one in
// "map:get(map:put($m, 1, 2), 3)" or in "map:put(map:put($m, 1, 2), 3, 4)", is not made: a hook gets the first map and the
// row of changes, and answers from these.

// The functions of a row as the hook gets them, a character each.
const (
	editPut     = 'p'
	editRemove  = 'r'
	askContains = 'c'
	askGet      = 'g'
	askSize     = 's'
	askNothing  = 'm' // the map itself is wanted
)

var editFunctions = map[string]struct {
	is    byte
	arity int
}{
	"put": {editPut, 3}, "remove": {editRemove, 2}, "contains": {askContains, 2}, "get": {askGet, 2}, "size": {askSize, 1},
}

// edited compiles a call of a map function whose map is the result of such a call, or returns nil.
func (c *compiler) edited(e *call) xpath3.Expr {
	is := editCode(e)
	if is == 0 {
		return nil
	}
	var edits []*call
	inner := e
	for {
		next := unparenthesized(inner.args[0])
		code := editCode(next)
		if code != editPut && code != editRemove {
			break
		}
		edits = append(edits, next)
		inner = next
	}
	if len(edits) == 0 {
		return nil
	}
	base := c.expr(inner.args[0])
	var codes []byte
	var args []xpath3.Expr
	for i := len(edits) - 1; i >= 0; i-- {
		codes = append(codes, editCode(edits[i]))
		args = append(args, c.exprs(edits[i].args[1:])...)
	}
	codes = append(codes, is)
	args = append(args, c.exprs(e.args[1:])...)
	if is == editPut || is == editRemove {
		codes = append(codes, askNothing)
	}
	return hookCall(hookEdited, append([]xpath3.Expr{base, xpath3.LiteralExpr{Value: string(codes)}}, args...)...)
}

func unparenthesized(e expr) *call {
	for {
		s, ok := e.(*sequenceOf)
		if !ok || len(s.items) != 1 {
			break
		}
		e = s.items[0]
	}
	c, _ := e.(*call)
	return c
}

// editCode is the character of a call, 0 of all others.
func editCode(e *call) byte {
	if e == nil || e.name.uri != xpath3.NSMap {
		return 0
	}
	f, ok := editFunctions[e.name.local]
	if !ok || len(e.args) != f.arity {
		return 0
	}
	for _, a := range e.args {
		if a == nil {
			return 0
		}
	}
	return f.is
}

// mapEdit is a change of a map: a new value of a key, or keys that are gone.
type mapEdit struct {
	keys  xpath3.MapItem // has the keys, with any values
	value xpath3.Sequence
	put   bool
}

// putting is the change that gives a key a value.
func putting(key xpath3.AtomicValue, value xpath3.Sequence) mapEdit {
	return mapEdit{keys: xpath3.NewMap([]xpath3.MapEntry{{Key: key}}), value: value, put: true}
}

// editedMap answers what the last function of a row asks.
func editedMap(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	if err := b.Err(); err != nil {
		return nil, err
	}
	if args[0] == nil || args[0].Len() != 1 {
		return nil, typeError("expected a map")
	}
	base, ok := args[0].Get(0).(xpath3.MapItem)
	if !ok {
		return nil, typeError("expected a map, not another item")
	}
	a, _ := args[1].Get(0).(xpath3.AtomicValue)
	codes := a.StringVal()
	edits, rest, err := b.readEdits(codes, args[2:])
	if err != nil {
		return nil, err
	}
	switch codes[len(codes)-1] {
	case askContains, askGet:
		key, err := mapKey(rest[0])
		if err != nil {
			return nil, err
		}
		value, found := lookUp(base, edits, key)
		if codes[len(codes)-1] == askContains {
			return xpath3.SingleBoolean(found), nil
		}
		return value, nil
	case askSize:
		return xpath3.SingleInteger(int64(sizeAfter(base, edits))), nil
	}
	items, err := b.itemsOfAll(append([]xpath3.Sequence{args[0]}, args[2:]...))
	if err != nil {
		return nil, err
	}
	for i, e := range edits {
		if i > 0 && e.put {
			continue // is done with others
		}
		if err := b.copied(args[0]); err != nil {
			return nil, err
		}
	}
	changed := applyEdits(base, edits)
	b.nested.note(changed, items)
	return xpath3.ItemSlice{changed}, nil
}

// readEdits are the changes of a row, and the arguments behind them.
func (b *budget) readEdits(
	codes string, args []xpath3.Sequence,
) (edits []mapEdit, rest []xpath3.Sequence, err error) {
	for _, code := range codes {
		switch code {
		case editPut:
			key, err := mapKey(args[0])
			if err != nil {
				return nil, nil, err
			}
			edits = append(edits, putting(key, args[1]))
			args = args[2:]
		case editRemove:
			keys, err := b.keySet(args[0])
			if err != nil {
				return nil, nil, err
			}
			edits = append(edits, mapEdit{keys: keys})
			args = args[1:]
		}
	}
	return edits, args, nil
}

func mapKey(s xpath3.Sequence) (xpath3.AtomicValue, error) {
	atoms, err := atMost(s, 1)
	if err != nil {
		return xpath3.AtomicValue{}, err
	}
	if len(atoms) == 0 {
		return xpath3.AtomicValue{}, typeError("the key of a map is missing")
	}
	return atoms[0], nil
}

func lookUp(base xpath3.MapItem, edits []mapEdit, key xpath3.AtomicValue) (xpath3.Sequence, bool) {
	for i := len(edits) - 1; i >= 0; i-- {
		if edits[i].keys.Contains(key) {
			return edits[i].value, edits[i].put
		}
	}
	return base.Get(key)
}

// sizeAfter is the number of entries that the changed map has. A key is counted with the last change that names it.
func sizeAfter(base xpath3.MapItem, edits []mapEdit) int {
	size := base.Size()
	for i := range edits {
		for _, key := range edits[i].keys.Keys() {
			again := false
			for later := i + 1; later < len(edits) && !again; later++ {
				again = edits[later].keys.Contains(key)
			}
			if again {
				continue
			}
			if base.Contains(key) {
				size--
			}
			if edits[i].put {
				size++
			}
		}
	}
	return size
}

// applyEdits makes the changed map, with one copy for puts that follow each other.
func applyEdits(base xpath3.MapItem, edits []mapEdit) xpath3.MapItem {
	var puts []xpath3.MapItem
	flush := func() {
		switch len(puts) {
		case 0:
		case 1:
			base = base.Put(puts[0].Keys()[0], valueOf(puts[0]))
		default:
			merged, err := xpath3.MergeMaps(append([]xpath3.MapItem{base}, puts...), xpath3.MergeUseLast)
			if err != nil {
				panic("xquery: " + err.Error()) // only rejected duplicates are an error
			}
			base = merged
		}
		puts = nil
	}
	for _, e := range edits {
		if e.put {
			puts = append(puts, xpath3.NewMap([]xpath3.MapEntry{{Key: e.keys.Keys()[0], Value: e.value}}))
			continue
		}
		flush()
		base = without(base, e.keys)
	}
	flush()
	return base
}

func valueOf(m xpath3.MapItem) xpath3.Sequence {
	value, _ := m.Get(m.Keys()[0])
	return value
}
