package events

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"sync"

	"github.com/lestrrat-go/helium"

	"clacks/xquery"
)

// survey is what one event has of the places in a trie, and the filters whose keys were among it.
type survey struct {
	trie   *trie
	found  map[*node]finding
	hits   []*filter
	active []*node // a stack: the nodes that the elements on the way to the current one stand for
}

// finding are the values at one place.
type finding struct {
	first     string
	more      []string
	values    int
	uncertain bool // there are others that are not looked at
}

var surveys = sync.Pool{New: func() any { return &survey{found: map[*node]finding{}} }}

func newSurvey(t *trie) *survey {
	s := surveys.Get().(*survey)
	s.trie = t
	return s
}

// done gives the survey back.
func (s *survey) done() {
	clear(s.found)
	clear(s.hits)
	clear(s.active[:cap(s.active)])
	s.hits, s.active, s.trie = s.hits[:0], s.active[:0], nil
	surveys.Put(s)
}

// maxValue is the size of a value in bytes above which it equals nothing that a query can write.
const maxValue = xquery.MaxSource

// reach notes that there is a node.
func (s *survey) reach(n *node) finding {
	f, known := s.found[n]
	if !known {
		s.found[n] = f
		s.hits = n.present.appendTo(s.hits)
	}
	return f
}

// value notes a value at a place.
func (s *survey) value(n *node, value string) {
	f := s.reach(n)
	if n.values == 0 {
		return
	}
	if len(value) > maxValue {
		s.unsure(n)
		return
	}
	if f.values++; f.values == 1 {
		f.first = value
	} else {
		f.more = append(f.more, value)
	}
	s.found[n] = f
	if len(n.texts) > 0 {
		s.hits = n.texts[value].appendTo(s.hits)
	}
	if len(n.numbers) > 0 {
		if number, ok := numberIn(value); ok {
			s.hits = n.numbers[number].appendTo(s.hits)
		}
	}
}

// unsure notes that there are values that equal anything.
func (s *survey) unsure(n *node) {
	f := s.reach(n)
	if n.values == 0 || f.uncertain {
		return
	}
	f.uncertain = true
	s.found[n] = f
	for _, b := range n.texts {
		s.hits = b.appendTo(s.hits)
	}
	for _, b := range n.numbers {
		s.hits = b.appendTo(s.hits)
	}
}

// numberIn is a text as an xs:double; it takes more for a number than XML Schema does, which does no harm.
func numberIn(text string) (float64, bool) {
	text = strings.TrimSpace(text)
	number, err := strconv.ParseFloat(text, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) || math.IsNaN(number) {
		return 0, false
	}
	return number, true
}

// outline notes what an event has by its type alone.
func (s *survey) outline(eventType string) {
	s.reach(s.trie.root)
	for _, event := range s.trie.root.named("Event", nil) {
		s.reach(event)
		for _, n := range event.named(eventType, nil) {
			s.reach(n)
		}
	}
}

// document notes what is in a document.
func (s *survey) document(d *parsedDocument) {
	root, ok := d.Element().(*helium.Element)
	if !ok {
		return
	}
	s.reach(s.trie.root)
	s.active = append(s.active[:0], s.trie.root)
	s.element(root, 0)
}

// element notes an element and what is in it. The nodes of its parent are active from a position on.
func (s *survey) element(e *helium.Element, parents int) {
	name := e.LocalName()
	mine := len(s.active)
	for i := parents; i < mine; i++ {
		s.active = s.active[i].named(name, s.active)
	}
	s.active = s.trie.deep.named(name, s.active)
	deep := s.trie.deep.users > 1
	if len(s.active) == mine && !deep {
		return
	}
	for i := mine; i < len(s.active); i++ {
		s.reach(s.active[i])
		if s.active[i].values > 0 {
			s.content(s.active[i], e)
		}
	}
	s.inside(e, mine, deep)
	for child := e.FirstChild(); child != nil; child = child.NextSibling() {
		if c, ok := child.(*helium.Element); ok {
			s.element(c, mine)
		}
	}
	s.active = s.active[:mine]
}

// inside notes the attributes and text nodes of an element.
func (s *survey) inside(e *helium.Element, mine int, deep bool) {
	attributes, texts := deep && len(s.trie.deep.attributes) > 0, deep && s.trie.deep.text != nil
	for _, n := range s.active[mine:] {
		attributes = attributes || len(n.attributes) > 0
		texts = texts || n.text != nil
	}
	if attributes {
		e.ForEachAttribute(func(a *helium.Attribute) bool {
			name := a.LocalName()
			if _, local, prefixed := strings.Cut(name, ":"); prefixed {
				name = local
			}
			for _, n := range s.active[mine:] {
				s.attribute(n, name, a)
			}
			s.attribute(s.trie.deep, name, a)
			return true
		})
	}
	if texts {
		for _, n := range s.active[mine:] {
			s.texts(n.text, e)
		}
		s.texts(s.trie.deep.text, e)
	}
}

func (s *survey) attribute(n *node, name string, a *helium.Attribute) {
	if len(n.attributes) == 0 {
		return
	}
	for _, name := range []string{name, ""} {
		if c := n.attributes[name]; c != nil {
			s.value(c, a.Value())
		}
	}
}

// texts notes the text nodes of an element. How neighbours are told apart is the query engine's affair: each alone counts,
// and any that stand together do.
func (s *survey) texts(n *node, e *helium.Element) {
	if n == nil {
		return
	}
	run := 0
	for child := e.FirstChild(); child != nil; child = child.NextSibling() {
		if t := child.Type(); t != helium.TextNode && t != helium.CDATASectionNode {
			if t != helium.ElementNode {
				continue // a comment may be seen or not
			}
			run = 0
			continue
		}
		if run++; run > 1 {
			s.unsure(n)
		}
		s.value(n, string(child.Content()))
	}
}

// content notes the string value of an element. That of one with elements in it may be another for who is not shown all
// of them.
func (s *survey) content(n *node, e *helium.Element) {
	first := e.FirstChild()
	if first == nil {
		s.value(n, "")
		return
	}
	if first.NextSibling() == nil && first.Type() == helium.TextNode {
		s.value(n, string(first.Content()))
		return
	}
	var text strings.Builder
	for child := first; child != nil; child = child.NextSibling() {
		switch child.Type() {
		case helium.TextNode, helium.CDATASectionNode:
			text.Write(child.Content())
		case helium.CommentNode, helium.ProcessingInstructionNode:
		default:
			s.unsure(n)
			return
		}
	}
	s.value(n, text.String())
}

// holds reports whether the event fulfils a condition.
func (s *survey) holds(c *condition) bool {
	switch c.is {
	case xquery.Never:
		return false
	case xquery.Exists:
		_, found := s.found[c.node]
		return found
	case xquery.Equals:
		return s.equals(c)
	case xquery.All:
		for i := range c.parts {
			if !s.holds(&c.parts[i]) {
				return false
			}
		}
	case xquery.Any:
		for i := range c.parts {
			if s.holds(&c.parts[i]) {
				return true
			}
		}
		return false
	}
	return true
}

func (s *survey) equals(c *condition) bool {
	f, found := s.found[c.node]
	if !found || f.uncertain {
		return found
	}
	if f.values > 0 && c.equal(f.first) {
		return true
	}
	for _, value := range f.more {
		if c.equal(value) {
			return true
		}
	}
	return false
}

// equal reports whether one value is the one.
func (c *condition) equal(value string) bool {
	if !c.numeric {
		return value == c.text
	}
	number, ok := numberIn(value)
	return ok && number == c.number
}
