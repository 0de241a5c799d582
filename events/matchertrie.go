package events

import (
	"slices"

	"clacks/xquery"
)

// trie are the places that conditions speak of.
type trie struct {
	root, deep *node // of the document; of each node in it
	variables  map[string]*node
	nodes      int
}

// node is one place, and what is to be found there.
type node struct {
	parent     *node
	step       xquery.PlaceStep
	variable   string
	deep       bool
	elements   map[string]*node // "" for any name
	attributes map[string]*node
	text       *node

	users  int // conditions and children
	values int // conditions that compare values
	// The filters whose key this is.
	present bucket
	texts   map[string]bucket
	numbers map[float64]bucket
}

func newTrie() trie {
	return trie{root: &node{users: 1}, deep: &node{users: 1, deep: true}, variables: map[string]*node{}}
}

// resolve makes a condition out of a query's, and its places known. What is said of a variable that no event has is not
// known to be wrong.
func (t *trie) resolve(c xquery.Condition) condition {
	resolved := condition{is: c.Is, text: c.Text, number: c.Number, numeric: c.Numeric}
	switch c.Is {
	case xquery.All, xquery.Any:
		resolved.parts = make([]condition, len(c.Parts))
		for i := range c.Parts {
			resolved.parts[i] = t.resolve(c.Parts[i])
		}
	case xquery.Exists, xquery.Equals:
		if resolved.node = t.node(c.Place); resolved.node == nil {
			return condition{is: xquery.Always}
		}
		resolved.node.users++
		if c.Is == xquery.Equals {
			resolved.node.values++
		}
	}
	return resolved
}

// node is that of a place, nil for one that the trie does not hold.
func (t *trie) node(p xquery.Place) *node {
	if p.Variable != "" {
		if !slices.Contains(variableNames, p.Variable) {
			return nil
		}
		n := t.variables[p.Variable]
		if n == nil {
			n = &node{variable: p.Variable}
			t.variables[p.Variable] = n
		}
		return n
	}
	n := t.root
	if p.Deep {
		n = t.deep
	}
	for _, s := range p.Steps {
		n = t.child(n, s)
	}
	return n
}

// child is the node behind a step, which is made when there is none.
func (t *trie) child(n *node, s xquery.PlaceStep) *node {
	known := n.behind(s)
	if known != nil {
		return known
	}
	t.nodes++
	made := &node{parent: n, step: s, deep: n.deep}
	n.users++
	switch s.Kind {
	case xquery.TextStep:
		n.text = made
	case xquery.AttributeStep:
		if n.attributes == nil {
			n.attributes = map[string]*node{}
		}
		n.attributes[s.Name] = made
	default:
		if n.elements == nil {
			n.elements = map[string]*node{}
		}
		n.elements[s.Name] = made
	}
	return made
}

func (n *node) behind(s xquery.PlaceStep) *node {
	switch s.Kind {
	case xquery.TextStep:
		return n.text
	case xquery.AttributeStep:
		return n.attributes[s.Name]
	}
	return n.elements[s.Name]
}

// release gives the places of a condition back; those that nobody speaks of any more are forgotten.
func (t *trie) release(c *condition) {
	for i := range c.parts {
		t.release(&c.parts[i])
	}
	if c.node == nil {
		return
	}
	if c.is == xquery.Equals {
		c.node.values--
	}
	for n := c.node; n != nil; n = n.parent {
		if n.users--; n.users > 0 {
			return
		}
		if n.parent != nil {
			t.nodes--
		}
		switch {
		case n.variable != "":
			delete(t.variables, n.variable)
		case n.parent == nil:
		case n.step.Kind == xquery.TextStep:
			n.parent.text = nil
		case n.step.Kind == xquery.AttributeStep:
			delete(n.parent.attributes, n.step.Name)
		default:
			delete(n.parent.elements, n.step.Name)
		}
	}
}

// looksInside reports whether anybody wants to know more of an event than its type.
func (t *trie) looksInside(eventType string) bool {
	if t.deep.users > 1 || t.root.text != nil || len(t.root.attributes) > 0 {
		return true
	}
	for _, event := range t.root.named("Event", nil) {
		if event.values > 0 || event.text != nil || len(event.attributes) > 0 {
			return true
		}
		inside := func(n *node) bool {
			return n.values > 0 || n.text != nil || len(n.attributes)+len(n.elements) > 0
		}
		if slices.ContainsFunc(event.named(eventType, nil), inside) {
			return true
		}
	}
	return false
}

// named appends the nodes of child elements with a name.
func (n *node) named(name string, nodes []*node) []*node {
	if len(n.elements) == 0 {
		return nodes
	}
	if c := n.elements[name]; c != nil {
		nodes = append(nodes, c)
	}
	if c := n.elements[""]; c != nil {
		nodes = append(nodes, c)
	}
	return nodes
}
