package xquery

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/lestrrat-go/helium"
	"github.com/lestrrat-go/helium/xpath3"
)

// Some of helium's functions take much longer than the size of their arguments tells, and ask nobody meanwhile. What these
// take is counted here, or they are done another way.

// idSearch is fn:id or fn:element-with-id. In a document that no parser made, helium walks through the tree for each ID;
// here this is done once in an evaluation.
type idSearch struct{ local string }

func (*idSearch) MinArity() int { return 1 }
func (*idSearch) MaxArity() int { return 2 }

func (s *idSearch) Call(ctx context.Context, args []xpath3.Sequence) (xpath3.Sequence, error) {
	b := budgetOf(ctx)
	if b == nil {
		return nil, errOutside
	}
	doc := searchedDocument(ctx, args)
	if doc == nil || doc.SkipIDs() || doc.IDTable() != nil || doc.IntSubset() != nil || doc.ExtSubset() != nil {
		return native(ctx, s.local, args)
	}
	known, err := b.elementsByID(doc)
	if err != nil {
		return nil, err
	}
	atoms, err := b.atoms(args[0])
	if err != nil {
		return nil, err
	}
	var found []elementByID
	for _, a := range atoms {
		text, err := xpath3.AtomicToString(a)
		if err != nil {
			return nil, err
		}
		for id := range strings.FieldsSeq(text) {
			if err := b.Err(); err != nil {
				return nil, err
			}
			if e, ok := known[id]; ok {
				found = append(found, e)
			}
		}
	}
	return b.inOrder(found), nil
}

// native calls a function of the fn namespace as helium has it, with all that it takes of the static context and the focus.
func native(ctx context.Context, local string, args []xpath3.Sequence) (xpath3.Sequence, error) {
	qname := xpath3.AtomicValue{TypeName: xpath3.TypeQName, Value: xpath3.QNameValue{URI: xpath3.NSFn, Local: local}}
	found, err := xpath3.CallFunctionLookup(ctx, []xpath3.Sequence{
		xpath3.ItemSlice{qname}, xpath3.SingleInteger(int64(len(args))),
	})
	if err != nil {
		return nil, err
	}
	f, _ := found.Get(0).(xpath3.FunctionItem)
	return f.Invoke(ctx, args)
}

// searchedDocument is the document of the node that the arguments or the focus give; nil if there is none.
func searchedDocument(ctx context.Context, args []xpath3.Sequence) *helium.Document {
	node := xpath3.FnContextNode(ctx)
	if len(args) > 1 {
		if args[1] == nil || args[1].Len() != 1 {
			return nil
		}
		item, _ := args[1].Get(0).(xpath3.NodeItem)
		node = item.Node
	}
	for node != nil {
		if doc, ok := node.(*helium.Document); ok {
			return doc
		}
		node = node.Parent()
	}
	return nil
}

// elementByID is an element that has an ID, and how many stand before it.
type elementByID struct {
	element helium.Node
	place   int
}

// elementsByID are the first elements with each ID in a document without a document type: only xml:id gives one.
func (b *budget) elementsByID(doc *helium.Document) (map[string]elementByID, error) {
	if known, ok := b.ids[doc]; ok {
		return known, nil
	}
	found := make(map[string]elementByID)
	err := helium.Walk(doc, helium.NodeWalkerFunc(func(n helium.Node) error {
		if err := b.Err(); err != nil {
			return err
		}
		e, ok := n.(*helium.Element)
		if !ok {
			return nil
		}
		id := idOf(e)
		if _, again := found[id]; again || id == "" || nameLength(id) != len(id) {
			return nil
		}
		found[id] = elementByID{e, len(found)}
		return b.construct(2 * itemCost)
	}))
	if err != nil {
		return nil, err
	}
	if b.ids == nil {
		b.ids = make(map[*helium.Document]map[string]elementByID)
	}
	b.ids[doc] = found
	return found, nil
}

// idOf is the xml:id of an element.
func idOf(e *helium.Element) (id string) {
	e.ForEachAttribute(func(a *helium.Attribute) bool {
		if a.Name() == "xml:id" {
			id = strings.TrimSpace(a.Value())
		}
		return id == ""
	})
	return id
}

// inOrder are elements in the order of their document, each once.
func (b *budget) inOrder(found []elementByID) xpath3.Sequence {
	slices.SortFunc(found, func(x, y elementByID) int { return cmp.Compare(x.place, y.place) })
	found = slices.Compact(found)
	items := make(xpath3.ItemSlice, len(found))
	for i, e := range found {
		kind := b.worker.types[e.element]
		items[i] = xpath3.NodeItem{Node: e.element, TypeAnnotation: kind, AtomizedType: kind}
	}
	return items
}

// What the copy of an array or a map takes: a step for so many members or entries, and so many bytes for each. It is more
// in truth, but most copies are dropped again at once.
const (
	copiedInStep = 4
	copiedBytes  = 4
)

// copied counts a copy of the arrays and maps in a sequence.
func (b *budget) copied(s xpath3.Sequence) error {
	list, _ := s.(xpath3.ItemSlice)
	size := 0
	for _, item := range list {
		switch item := item.(type) {
		case xpath3.ArrayItem:
			size += item.Size()
		case xpath3.MapItem:
			size += item.Size()
		}
	}
	b.steps += size / copiedInStep
	if err := b.construct(size * copiedBytes); err != nil {
		return err
	}
	return b.check()
}

// removeKeys is map:remove. helium copies the map for each key.
func removeKeys(ctx context.Context, args []xpath3.Sequence) (xpath3.Sequence, error) {
	b := budgetOf(ctx)
	if args[0] == nil || args[0].Len() != 1 {
		return nil, typeError("expected a map")
	}
	m, ok := args[0].Get(0).(xpath3.MapItem)
	if !ok {
		return nil, typeError("expected a map, not another item")
	}
	keys, err := b.keySet(args[1])
	if err != nil {
		return nil, err
	}
	return xpath3.ItemSlice{without(m, keys)}, nil
}

// keySet is a map that has the atomized items of a sequence as its keys.
func (b *budget) keySet(s xpath3.Sequence) (xpath3.MapItem, error) {
	if s == nil {
		return xpath3.NewMap(nil), nil
	}
	atoms, err := b.atoms(s)
	if err != nil {
		return xpath3.MapItem{}, err
	}
	b.steps += len(atoms)
	if err := b.check(); err != nil {
		return xpath3.MapItem{}, err
	}
	keys := xpath3.NewMapBuilder(xpath3.MergeUseFirst, len(atoms))
	for _, a := range atoms {
		if err := keys.Add(a, nil); err != nil {
			return xpath3.MapItem{}, err
		}
	}
	return keys.Build(), nil
}

// without is a map without the keys of another one.
func without(m, keys xpath3.MapItem) xpath3.MapItem {
	if keys.Size() == 1 {
		return m.Remove(keys.Keys()[0])
	}
	left := xpath3.NewMapBuilder(xpath3.MergeUseFirst, m.Size())
	_ = m.ForEach(func(key xpath3.AtomicValue, value xpath3.Sequence) error {
		if keys.Contains(key) {
			return nil
		}
		return left.Add(key, value)
	})
	return left.Build()
}

// matchContext is the context of fn:analyze-string, which asks it before it makes the nodes of a match.
type matchContext struct {
	context.Context
	budget *budget
	bytes  int // of these nodes
}

func (m *matchContext) Err() error {
	if err := m.budget.construct(m.bytes); err != nil {
		return err
	}
	return m.budget.Err()
}

// analyzed counts what fn:analyze-string takes before any match, and is the context for it. Each match is an element with
// a text, and so is each of its groups; to make sure that these fit, helium puts the text of a match together for each.
func analyzed(ctx context.Context, b *budget, args []xpath3.Sequence) (context.Context, error) {
	if err := chargeTree(b, args); err != nil {
		return nil, err
	}
	groups := groupsOf(textOf(args[1]))
	b.steps += groups * textLength(args[0]) / textStep
	return &matchContext{ctx, b, 2 * nodeCost * (1 + groups)}, b.check()
}

// groupsOf is the greatest number of groups in one of the alternatives of a regular expression.
func groupsOf(pattern string) int {
	most, groups, open, class := 0, 0, 0, 0
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '\\':
			i++
		case c == '[':
			class++
		case c == ']':
			class--
		case class > 0:
		case c == '(':
			groups++
			open++
		case c == ')':
			open--
		case c == '|' && open == 0:
			groups = 0
		}
		most = max(most, groups)
	}
	return most
}

// dateFormat is fn:format-date or one of its like. helium pads to any width of the picture, digit by digit, and widths that
// no number has break it.
type dateFormat struct{ local string }

func (*dateFormat) MinArity() int { return 2 }
func (*dateFormat) MaxArity() int { return 5 }

func (d *dateFormat) Call(ctx context.Context, args []xpath3.Sequence) (xpath3.Sequence, error) {
	b := budgetOf(ctx)
	if b == nil {
		return nil, errOutside
	}
	picture := textOf(args[1])
	if err := checkDatePicture(picture); err != nil {
		return nil, err
	}
	b.steps += len(picture) / textStep
	if err := b.check(); err != nil {
		return nil, err
	}
	result, err := native(ctx, d.local, args)
	if err != nil {
		return nil, err
	}
	return result, b.charge(result)
}

// maxWidth is the widest component of a date that can be asked for.
const maxWidth = 63

// checkDatePicture refuses components that are too wide, or too long. What else is wrong with a picture, helium says.
func checkDatePicture(picture string) error {
	for {
		_, rest, found := strings.Cut(picture, "[")
		if !found {
			return nil
		}
		if strings.HasPrefix(rest, "[") {
			picture = rest[1:]
			continue
		}
		component, after, closed := strings.Cut(rest, "]")
		if !closed {
			return nil
		}
		if len(component) > maxPicture {
			return xpathError("FOFD1340", "a component of the picture is longer than %d bytes", maxPicture)
		}
		if comma := strings.LastIndexByte(component, ','); comma >= 0 && tooWide(component[comma+1:]) {
			return xpathError("FOFD1340", "the component [%s] of the picture is wider than %d characters", component, maxWidth)
		}
		picture = after
	}
}

// tooWide says whether one of the widths behind the comma of a component is greater than maxWidth.
func tooWide(widths string) bool {
	widths = strings.Join(strings.FieldsFunc(widths, unicode.IsSpace), "")
	for width := range strings.SplitSeq(widths, "-") {
		digits := strings.TrimLeft(width, "0")
		digits = digits[:len(digits)-len(strings.TrimLeft(digits, "0123456789"))]
		if n, err := strconv.Atoi(digits); digits != "" && (err != nil || n > maxWidth) {
			return true
		}
	}
	return false
}
