package xquery

import (
	"github.com/lestrrat-go/helium"
	"github.com/lestrrat-go/helium/xpath3"
)

// deepEqual is fn:deep-equal. helium compares atomic values; nodes are compared here, because comments and processing
// instructions among the children of nodes do not count (XPath Functions 3.1, section 14.2).
func deepEqual(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	if !hasNodes(args[0]) && !hasNodes(args[1]) {
		return deepEqualGuard.call(b, args)
	}
	c := &comparison{budget: b, collation: args[2:]}
	same, err := c.sequences(args[0], args[1])
	if err != nil {
		return nil, err
	}
	return xpath3.SingleBoolean(same), nil
}

var deepEqualGuard = func() *guard {
	g := newGuard("deep-equal", 2, 3)
	g.slow = true
	return g
}()

// hasNodes says whether there may be nodes among the items of a sequence, or in them.
func hasNodes(s xpath3.Sequence) bool {
	items, ok := s.(xpath3.ItemSlice)
	if !ok {
		return false // a range has none
	}
	for _, item := range items {
		if _, atomic := item.(xpath3.AtomicValue); !atomic {
			return true
		}
	}
	return false
}

// comparison compares values for fn:deep-equal.
type comparison struct {
	*budget
	collation []xpath3.Sequence
	level     int
}

// enter begins a level, which leave ends.
func (c *comparison) enter() error {
	if c.level++; c.level > maxNested {
		return c.exceeded("the compared values nest more than %d deep", maxNested)
	}
	return c.Err()
}

func (c *comparison) leave() { c.level-- }

func (c *comparison) sequences(x, y xpath3.Sequence) (bool, error) {
	if x == nil {
		x = xpath3.ItemSlice{}
	}
	if y == nil {
		y = xpath3.ItemSlice{}
	}
	if x.Len() != y.Len() {
		return false, nil
	}
	for i := range x.Len() {
		if same, err := c.items(x.Get(i), y.Get(i)); err != nil || !same {
			return false, err
		}
	}
	return true, nil
}

func (c *comparison) items(x, y xpath3.Item) (bool, error) {
	if err := c.enter(); err != nil {
		return false, err
	}
	defer c.leave()
	switch x := x.(type) {
	case xpath3.NodeItem:
		if other, ok := y.(xpath3.NodeItem); ok {
			return c.nodes(x.Node, other.Node)
		}
	case xpath3.ArrayItem:
		if other, ok := y.(xpath3.ArrayItem); ok {
			return c.arrays(x, other)
		}
	case xpath3.MapItem:
		if other, ok := y.(xpath3.MapItem); ok {
			return c.maps(x, other)
		}
	}
	_, nodeX := x.(xpath3.NodeItem)
	_, nodeY := y.(xpath3.NodeItem)
	if nodeX != nodeY {
		return false, c.noFunction(x, y)
	}
	return c.atoms(x, y)
}

// noFunction fails when one of two items is a function that is no map or array.
func (c *comparison) noFunction(all ...xpath3.Item) error {
	for _, item := range all {
		if _, ok := item.(xpath3.FunctionItem); ok {
			return xpathError("FOTY0015", "functions cannot be compared")
		}
	}
	return nil
}

// atoms leaves two values to helium.
func (c *comparison) atoms(x, y xpath3.Item) (bool, error) {
	args := append([]xpath3.Sequence{xpath3.ItemSlice{x}, xpath3.ItemSlice{y}}, c.collation...)
	result, err := deepEqualGuard.call(c.budget, args)
	if err != nil {
		return false, err
	}
	return xpath3.EBV(result)
}

func (c *comparison) arrays(x, y xpath3.ArrayItem) (bool, error) {
	members, others := x.Members(), y.Members()
	if len(members) != len(others) {
		return false, nil
	}
	for i := range members {
		if same, err := c.sequences(members[i], others[i]); err != nil || !same {
			return false, err
		}
	}
	return true, nil
}

func (c *comparison) maps(x, y xpath3.MapItem) (bool, error) {
	if x.Size() != y.Size() {
		return false, nil
	}
	for _, key := range x.Keys() {
		value, _ := x.Get(key)
		other, ok := y.Get(key)
		if !ok {
			return false, nil
		}
		if same, err := c.sequences(value, other); err != nil || !same {
			return false, err
		}
	}
	return true, nil
}

func (c *comparison) nodes(x, y helium.Node) (bool, error) {
	if err := c.enter(); err != nil {
		return false, err
	}
	defer c.leave()
	if kindOf(x) != kindOf(y) {
		return false, nil
	}
	switch x := x.(type) {
	case *helium.Element:
		other, _ := y.(*helium.Element)
		if x.LocalName() != other.LocalName() || x.URI() != other.URI() {
			return false, nil
		}
		if same, err := c.attributes(x, other); err != nil || !same {
			return false, err
		}
		return c.children(x, other)
	case *helium.Document:
		return c.children(x, y)
	case *helium.Attribute:
		other, _ := y.(*helium.Attribute)
		if x.LocalName() != other.LocalName() || x.URI() != other.URI() {
			return false, nil
		}
		return c.texts(x.Value(), other.Value())
	case *helium.ProcessingInstruction, *helium.NamespaceNodeWrapper:
		if x.Name() != y.Name() {
			return false, nil
		}
	}
	return c.texts(string(x.Content()), string(y.Content()))
}

// kindOf is the kind of a node of the data model.
func kindOf(n helium.Node) helium.ElementType {
	switch t := n.Type(); t {
	case helium.CDATASectionNode, helium.EntityRefNode:
		return helium.TextNode
	case helium.HTMLDocumentNode:
		return helium.DocumentNode
	default:
		return t
	}
}

func (c *comparison) texts(x, y string) (bool, error) {
	if x == y {
		return true, nil
	}
	if len(c.collation) == 0 {
		return false, nil
	}
	return c.atoms(atom(x), atom(y))
}

// typedValue is the value of an element of a typed document. Against an untyped one, its text counts.
func (c *comparison) typedValue(n helium.Node) (xpath3.AtomicValue, bool) {
	kind, typed := c.worker.types[n]
	if !typed {
		return xpath3.AtomicValue{}, false
	}
	a, err := xpath3.CastFromString(string(n.Content()), kind)
	return a, err == nil
}

func (c *comparison) attributes(x, y *helium.Element) (bool, error) {
	if len(x.Attributes()) != len(y.Attributes()) {
		return false, nil
	}
	for _, a := range x.Attributes() {
		other := y.GetAttributeNodeNS(a.LocalName(), a.URI())
		if other == nil {
			return false, nil
		}
		if same, err := c.texts(a.Value(), other.Value()); err != nil || !same {
			return false, err
		}
	}
	return true, nil
}

// children compares the children that count. Adjacent texts are one.
func (c *comparison) children(x, y helium.Node) (bool, error) {
	if a, ok := c.typedValue(x); ok {
		if b, ok := c.typedValue(y); ok {
			return c.atoms(a, b)
		}
	}
	next, other := countedChildren(x), countedChildren(y)
	if len(next) != len(other) {
		return false, nil
	}
	for i := range next {
		a, isText := next[i].(string)
		b, wantText := other[i].(string)
		if isText != wantText {
			return false, nil
		}
		var same bool
		var err error
		if isText {
			same, err = c.texts(a, b)
		} else {
			same, err = c.nodes(next[i].(helium.Node), other[i].(helium.Node))
		}
		if err != nil || !same {
			return false, err
		}
	}
	return true, nil
}

// countedChildren are the elements among the children of a node, and the texts between them. Comments and processing
// instructions part texts.
func countedChildren(n helium.Node) []any {
	var all []any
	joins := false
	for child := range helium.Children(n) {
		switch child.Type() {
		case helium.ElementNode:
			all, joins = append(all, child), false
		case helium.TextNode, helium.CDATASectionNode, helium.EntityRefNode:
			text := string(child.Content())
			if joins {
				last := len(all) - 1
				before, _ := all[last].(string)
				all[last] = before + text
				continue
			}
			all, joins = append(all, text), true
		default:
			joins = false
		}
	}
	return all
}
