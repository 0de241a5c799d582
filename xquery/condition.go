package xquery

import (
	"slices"
	"strconv"
	"strings"
)

// Condition is what a document and the external variables must fulfil if a query's result is to be true: see
// Query.Requires. Conditions are positive: what fulfils one goes on doing so when nodes are added.
type Condition struct {
	Is    ConditionKind
	Parts []Condition // of All and Any
	Place Place       // of Exists and Equals
	// Text is the value of an Equals, unless it is Numeric: then the text at the place must be that of a number which is
	// Number as an xs:double.
	Text    string
	Number  float64
	Numeric bool

	size int // of the tree, 0 for 1
}

// ConditionKind tells conditions apart.
type ConditionKind uint8

// The kinds. The zero Condition is always fulfilled.
const (
	Always ConditionKind = iota
	Never
	All
	Any
	Exists // there is a node at Place, or the variable has a value
	Equals // one of the nodes at Place, or of the variable's values, has this value
)

// Place names nodes by the steps that lead to them: from the document node, or with Deep from any node of the document.
// Names are local ones, whatever their namespace. With Variable it names the values of an external variable instead.
type Place struct {
	Variable string
	Deep     bool
	Steps    []PlaceStep
}

// PlaceStep is one step of a Place.
type PlaceStep struct {
	Kind StepKind
	Name string // "" for any
}

// StepKind is what a step leads to.
type StepKind uint8

// The kinds of steps: child elements, attributes, and text nodes that are children.
const (
	ElementStep StepKind = iota
	AttributeStep
	TextStep
)

// maxCondition is the number of conditions in one; a larger one claims less.
const maxCondition = 4096

// String is the condition as an XPath expression, for people.
func (c Condition) String() string {
	switch c.Is {
	case Never:
		return "false()"
	case Exists:
		return c.Place.String()
	case Equals:
		if c.Numeric {
			return c.Place.String() + " = " + strconv.FormatFloat(c.Number, 'g', -1, 64)
		}
		return c.Place.String() + " = '" + strings.ReplaceAll(c.Text, "'", "''") + "'"
	case All, Any:
		word := " and "
		if c.Is == Any {
			word = " or "
		}
		parts := make([]string, len(c.Parts))
		for i, p := range c.Parts {
			if parts[i] = p.String(); p.Is == All || p.Is == Any {
				parts[i] = "(" + parts[i] + ")"
			}
		}
		return strings.Join(parts, word)
	}
	return "true()"
}

// String is the place as a path.
func (p Place) String() string {
	if p.Variable != "" {
		return "$" + p.Variable
	}
	var b strings.Builder
	if p.Deep {
		b.WriteByte('/')
	}
	for _, s := range p.Steps {
		b.WriteByte('/')
		name := s.Name
		if name == "" {
			name = "*"
		}
		switch s.Kind {
		case AttributeStep:
			b.WriteString("@" + name)
		case TextStep:
			b.WriteString("text()")
		default:
			b.WriteString(name)
		}
	}
	if len(p.Steps) == 0 {
		b.WriteByte('/')
	}
	return b.String()
}

func (p Place) equal(other Place) bool {
	return p.Variable == other.Variable && p.Deep == other.Deep && slices.Equal(p.Steps, other.Steps)
}

func (c *Condition) sizeOf() int { return max(c.size, 1) }

// atom reports whether two conditions are the same one without parts.
func (c *Condition) atom(other *Condition) bool {
	return c.Is == other.Is && len(c.Parts) == 0 && len(other.Parts) == 0 && c.Text == other.Text &&
		c.Numeric == other.Numeric && c.Number == other.Number && c.Place.equal(other.Place)
}

// manyParts is the number of parts up to which it is looked whether one is there already.
const manyParts = 16

// reduced is the condition, its only part, or what it is without any.
func (c *Condition) reduced(empty ConditionKind) Condition {
	switch len(c.Parts) {
	case 0:
		return Condition{Is: empty}
	case 1:
		return c.Parts[0]
	}
	return *c
}

// join adds a part, unless it is there already. false says that it would make the whole too large.
func (c *Condition) join(part *Condition) bool {
	if len(c.Parts) < manyParts && slices.ContainsFunc(c.Parts, func(p Condition) bool { return p.atom(part) }) {
		return true
	}
	if c.size+part.sizeOf() > maxCondition {
		return false
	}
	c.size += part.sizeOf()
	c.Parts = append(c.Parts, *part)
	return true
}
