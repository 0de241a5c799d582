package xsd

import (
	"slices"
	"strconv"

	"clacks"
)

// Unbounded is Particle.Max of what may stand any number of times.
const Unbounded = -1

// The orders of a content model.
const (
	OrderSequence = "sequence"
	OrderChoice   = "choice"
	OrderAll      = "all"
	OrderAny      = "any" // elements that the schema does not name
)

// Description is what a schema says of some of its elements, for people and for programs that write documents. It shows
// names, order, number, types and documentation, not every rule: what a document has to fulfil is Schema.Validate's to say.
type Description struct {
	Elements []Particle `json:"elements"`
	// Types are the named complex types that Content.Complex refers to; they may refer to each other, and to themselves.
	Types map[string]Content `json:"types,omitempty"`
}

// Particle is a place in a content model: an element, when it has a Name, else a group of further particles.
type Particle struct {
	Name          string `json:"name,omitempty"`
	Documentation string `json:"documentation,omitempty"`
	Min           int    `json:"min"`
	Max           int    `json:"max"` // Unbounded for no bound
	// Namespace is that of an element which is not in the first file's; Unqualified elements are in none.
	Namespace   string `json:"namespace,omitempty"`
	Unqualified bool   `json:"unqualified,omitempty"`
	Content
}

// Content is what an element holds: text of a simple type, attributes, elements; of a group only the last.
type Content struct {
	Simple
	Complex      string      `json:"complex,omitempty"` // the content is that of Description.Types
	Attributes   []Attribute `json:"attributes,omitempty"`
	AnyAttribute bool        `json:"anyAttribute,omitempty"`
	Mixed        bool        `json:"mixed,omitempty"` // text may stand between the elements
	Order        string      `json:"order,omitempty"`
	Elements     []Particle  `json:"elements,omitempty"`
}

// Simple is a simple type. Type is the name of the built-in type that it is made of (XML Schema, part 2, section 3), or
// "union" of Members, or "list" of the one of Members; "" where there is no text.
type Simple struct {
	Type    string            `json:"type,omitempty"`
	Members []string          `json:"members,omitempty"` // built-in types
	Values  []string          `json:"values,omitempty"`  // the only ones that are allowed
	Facets  map[string]string `json:"facets,omitempty"`  // "maxLength": "255"; of several patterns the last
}

// Attribute is an attribute of an element.
type Attribute struct {
	Name          string `json:"name"` // "xml:lang" for one in the namespace of XML
	Documentation string `json:"documentation,omitempty"`
	Required      bool   `json:"required,omitempty"`
	Simple
}

// maxParticles bounds a description: groups that name groups could grow without end.
const maxParticles = 50_000

// maxDerivation bounds how far types and groups refer to each other.
const maxDerivation = 100

// Describe describes global elements of a schema, whose first file holds or includes them. The files have to be those of a
// schema that compiles; the error is clacks.Invalid when they are not, and clacks.Limit when the description is too large.
func Describe(files []File, elements ...string) (*Description, error) {
	d := &describer{files: map[string]*xmlNode{}, components: map[componentKey]*xmlNode{}, types: map[string]Content{}}
	for i, file := range files {
		if err := d.read(file, i == 0); err != nil {
			return nil, err
		}
	}
	description := &Description{Types: d.types}
	for _, name := range elements {
		node := d.components[componentKey{"element", d.target, name}]
		if node == nil {
			return nil, clacks.E(clacks.Invalid, "xsd.describe", "the schema declares no element %q", name)
		}
		description.Elements = append(description.Elements, d.root(node))
	}
	if d.particles > maxParticles {
		return nil, clacks.E(clacks.Limit, "xsd.describe", "the schema has more than %d places for elements", maxParticles)
	}
	return description, nil
}

// componentKey names a global component.
type componentKey struct{ kind, namespace, name string }

// describer walks schema files.
type describer struct {
	target     string // of the first file
	files      map[string]*xmlNode
	components map[componentKey]*xmlNode
	types      map[string]Content
	particles  int
}

func (d *describer) read(file File, first bool) error {
	root, err := readNode(file.Data)
	if err != nil || root == nil {
		return clacks.E(clacks.Invalid, "xsd.describe", "%s is no schema: %w", file.Name, err)
	}
	if first {
		d.target = root.attribute("targetNamespace")
	}
	namespace := firstOf(root.attribute("targetNamespace"), d.target) // without one, it takes that of who includes it
	root.target = namespace
	root.qualified = root.attribute("elementFormDefault") == "qualified"
	for _, child := range root.children {
		child.inherit(root)
		if name := child.attribute("name"); name != "" {
			d.components[componentKey{child.name, namespace, name}] = child
		}
	}
	return nil
}

// root describes an element that was asked for: its content stands with it, even where its type has a name.
func (d *describer) root(node *xmlNode) Particle {
	p := Particle{Name: node.attribute("name"), Documentation: node.documentation(), Min: 1, Max: 1}
	if named := node.attribute("type"); named != "" {
		p.Content = d.contentOfType(node, named, 0)
		p.Documentation = firstOf(p.Documentation, d.documentationOfType(node))
		return p
	}
	for _, child := range node.children {
		if child.name == "complexType" {
			p.Content = d.complexType(child, 0)
			p.Documentation = firstOf(p.Documentation, child.documentation())
			return p
		}
	}
	p.Content = d.contentOf(node, 0)
	return p
}

// element describes the declaration of an element, or a reference to one.
func (d *describer) element(node *xmlNode, depth int) Particle {
	p := Particle{Name: node.attribute("name"), Documentation: node.documentation(), Min: 1, Max: 1}
	p.Min, p.Max = node.occurs()
	d.particles++
	declaration, global := node, node.global
	if ref := node.attribute("ref"); ref != "" {
		namespace, local := node.qname(ref)
		p.Name = local
		if declaration = d.components[componentKey{"element", namespace, local}]; declaration == nil {
			declaration = node
		}
		p.Namespace = foreign(namespace, d.target)
		p.Documentation = firstOf(p.Documentation, declaration.documentation())
		global = true
	}
	if !global {
		qualified := firstOf(node.attribute("form"), map[bool]string{true: "qualified"}[node.qualified])
		p.Unqualified = qualified != "qualified"
		if !p.Unqualified {
			p.Namespace = foreign(node.target, d.target)
		}
	}
	p.Content = d.contentOf(declaration, depth+1)
	return p
}

func foreign(namespace, target string) string {
	if namespace == target {
		return ""
	}
	return namespace
}

// contentOf is the content of an element's declaration: of its named type, of the one inside it, or anything.
func (d *describer) contentOf(node *xmlNode, depth int) Content {
	if named := node.attribute("type"); named != "" {
		namespace, local := node.qname(named)
		if d.components[componentKey{"complexType", namespace, local}] == nil {
			return d.contentOfType(node, named, depth)
		}
		return Content{Complex: d.nameType(namespace, local)}
	}
	for _, child := range node.children {
		switch child.name {
		case "complexType":
			if node.global && depth > 0 { // it may hold itself
				return Content{Complex: d.nameAnonymous(node, child)}
			}
			return d.complexType(child, depth+1)
		case "simpleType":
			return Content{Simple: d.simpleType(child, depth+1)}
		}
	}
	return Content{Mixed: true, AnyAttribute: true, Order: OrderAny}
}

// nameType describes a complex type once, for all who refer to it.
func (d *describer) nameType(namespace, local string) string {
	name := local
	if other := foreign(namespace, d.target); other != "" {
		name = "{" + other + "}" + local
	}
	if _, known := d.types[name]; !known {
		d.types[name] = Content{} // for those that it refers to, and that refer to it
		d.types[name] = d.complexType(d.components[componentKey{"complexType", namespace, local}], 0)
	}
	return name
}

// nameAnonymous is nameType for the type inside a global element.
func (d *describer) nameAnonymous(element, complexType *xmlNode) string {
	name := "element " + element.attribute("name")
	if _, known := d.types[name]; !known {
		d.types[name] = Content{}
		d.types[name] = d.complexType(complexType, 0)
	}
	return name
}

// contentOfType is the content of a type by its name.
func (d *describer) contentOfType(node *xmlNode, name string, depth int) Content {
	namespace, local := node.qname(name)
	if namespace == schemaNamespace {
		if local == "anyType" {
			return Content{Mixed: true, AnyAttribute: true, Order: OrderAny}
		}
		return Content{Simple: Simple{Type: local}}
	}
	if complexType := d.components[componentKey{"complexType", namespace, local}]; complexType != nil && depth < maxDerivation {
		return d.complexType(complexType, depth+1)
	}
	return Content{Simple: d.simpleNamed(node, name, depth)}
}

func (d *describer) documentationOfType(node *xmlNode) string {
	namespace, local := node.qname(node.attribute("type"))
	if complexType := d.components[componentKey{"complexType", namespace, local}]; complexType != nil {
		return complexType.documentation()
	}
	return ""
}

func (d *describer) complexType(node *xmlNode, depth int) Content {
	c := Content{Mixed: node.attribute("mixed") == "true" || node.attribute("mixed") == "1"}
	for _, child := range node.children {
		switch child.name {
		case "simpleContent", "complexContent":
			mixed := c.Mixed || child.attribute("mixed") == "true" || child.attribute("mixed") == "1"
			for _, derivation := range child.children {
				if derivation.name == "extension" || derivation.name == "restriction" {
					c = d.derived(derivation, depth+1)
				}
			}
			c.Mixed = c.Mixed || mixed
		default:
			d.part(&c, child, depth)
		}
	}
	return c
}

// derived is the content of an extension or a restriction: an extension adds to its base, a restriction says anew what
// elements there are, and keeps the attributes that it does not name.
func (d *describer) derived(node *xmlNode, depth int) Content {
	c := Content{}
	if depth < maxDerivation {
		c = d.contentOfType(node, node.attribute("base"), depth)
	}
	c.Attributes = slices.Clone(c.Attributes)
	base := c
	if node.name == "restriction" && c.Type == "" {
		c.Order, c.Elements = "", nil
	}
	if node.name == "restriction" && c.Type != "" {
		c.Simple = d.facets(node, c.Simple)
	}
	own := Content{}
	for _, child := range node.children {
		d.part(&own, child, depth)
	}
	for _, a := range own.Attributes {
		c.Attributes = slices.DeleteFunc(c.Attributes, func(b Attribute) bool { return b.Name == a.Name })
		c.Attributes = append(c.Attributes, a)
	}
	c.AnyAttribute = c.AnyAttribute || own.AnyAttribute
	switch {
	case own.Order == "":
	case base.Order == "" || node.name == "restriction":
		c.Order, c.Elements = own.Order, own.Elements
	default: // first what the base has, then what is added
		c.Elements = []Particle{
			{Min: 1, Max: 1, Content: Content{Order: base.Order, Elements: base.Elements}},
			{Min: 1, Max: 1, Content: Content{Order: own.Order, Elements: own.Elements}},
		}
		c.Order = OrderSequence
	}
	return c
}

// part adds a part of a complex type: its model or an attribute.
func (d *describer) part(c *Content, node *xmlNode, depth int) {
	switch node.name {
	case OrderSequence, OrderChoice, OrderAll, "group":
		group := d.group(node, depth+1)
		if group.Min == 1 && group.Max == 1 {
			c.Order, c.Elements = group.Order, group.Elements
		} else {
			c.Order, c.Elements = OrderSequence, []Particle{group}
		}
	case "attribute":
		if a, ok := d.attribute(node, depth); ok {
			c.Attributes = append(c.Attributes, a)
		}
	case "attributeGroup":
		namespace, local := node.qname(node.attribute("ref"))
		if group := d.components[componentKey{"attributeGroup", namespace, local}]; group != nil && depth < maxDerivation {
			for _, child := range group.children {
				d.part(c, child, depth+1)
			}
		}
	case "anyAttribute":
		c.AnyAttribute = true
	}
}

// group describes a model group, or a reference to a named one.
func (d *describer) group(node *xmlNode, depth int) Particle {
	p := Particle{Content: Content{Order: node.name}}
	p.Min, p.Max = node.occurs()
	d.particles++
	if depth > maxDerivation || d.particles > maxParticles {
		return p
	}
	if node.name == "group" {
		namespace, local := node.qname(node.attribute("ref"))
		named := d.components[componentKey{"group", namespace, local}]
		p.Order = OrderSequence
		if named == nil {
			return p
		}
		for _, child := range named.children {
			if child.name == OrderSequence || child.name == OrderChoice || child.name == OrderAll {
				inner := d.group(child, depth+1)
				p.Order, p.Elements = inner.Order, inner.Elements
			}
		}
		return p
	}
	for _, child := range node.children {
		switch child.name {
		case "element":
			p.Elements = append(p.Elements, d.element(child, depth))
		case OrderAny:
			anyElement := Particle{Content: Content{Order: OrderAny}}
			anyElement.Min, anyElement.Max = child.occurs()
			p.Elements = append(p.Elements, anyElement)
		case OrderSequence, OrderChoice, "group":
			p.Elements = append(p.Elements, d.group(child, depth+1))
		}
	}
	return p
}

func (d *describer) attribute(node *xmlNode, depth int) (Attribute, bool) {
	a := Attribute{Name: node.attribute("name"), Documentation: node.documentation(), Required: node.attribute("use") == "required"}
	declaration := node
	if ref := node.attribute("ref"); ref != "" {
		namespace, local := node.qname(ref)
		if namespace != xmlNamespace {
			return a, false // an attribute in a namespace of its own is not described
		}
		a.Name, a.Type = "xml:"+local, "string"
	}
	if node.attribute("use") == "prohibited" {
		return a, false
	}
	if named := declaration.attribute("type"); named != "" {
		a.Simple = d.simpleNamed(declaration, named, depth)
	}
	for _, child := range declaration.children {
		if child.name == "simpleType" {
			a.Simple = d.simpleType(child, depth+1)
		}
	}
	if a.Type == "" {
		a.Type = "string"
	}
	return a, true
}

// simpleNamed is a simple type by its name.
func (d *describer) simpleNamed(node *xmlNode, name string, depth int) Simple {
	namespace, local := node.qname(name)
	if namespace == schemaNamespace {
		return Simple{Type: local}
	}
	if named := d.components[componentKey{"simpleType", namespace, local}]; named != nil && depth < maxDerivation {
		return d.simpleType(named, depth+1)
	}
	return Simple{Type: "string"}
}

func (d *describer) simpleType(node *xmlNode, depth int) Simple {
	for _, child := range node.children {
		switch child.name {
		case "restriction":
			return d.facets(child, d.base(child, "base", depth))
		case "list":
			item := d.base(child, "itemType", depth)
			return Simple{Type: "list", Members: []string{item.Type}}
		case "union":
			return d.union(child, depth)
		}
	}
	return Simple{Type: "string"}
}

// base is the type that an attribute names, or the one inside.
func (d *describer) base(node *xmlNode, attribute string, depth int) Simple {
	if named := node.attribute(attribute); named != "" {
		return d.simpleNamed(node, named, depth)
	}
	for _, child := range node.children {
		if child.name == "simpleType" && depth < maxDerivation {
			return d.simpleType(child, depth+1)
		}
	}
	return Simple{Type: "string"}
}

func (d *describer) union(node *xmlNode, depth int) Simple {
	u := Simple{Type: "union"}
	add := func(member Simple) {
		names := member.Members
		if member.Type != "union" {
			names = []string{member.Type}
		}
		for _, name := range names {
			if !slices.Contains(u.Members, name) {
				u.Members = append(u.Members, name)
			}
		}
	}
	for _, name := range node.fields("memberTypes") {
		add(d.simpleNamed(node, name, depth))
	}
	for _, child := range node.children {
		if child.name == "simpleType" && depth < maxDerivation {
			add(d.simpleType(child, depth+1))
		}
	}
	return u
}

// facets are those of a restriction over its base's.
func (d *describer) facets(node *xmlNode, base Simple) Simple {
	s := Simple{Type: base.Type, Members: base.Members, Values: base.Values, Facets: map[string]string{}}
	for name, value := range base.Facets {
		s.Facets[name] = value
	}
	var values []string
	for _, child := range node.children {
		switch child.name {
		case "enumeration":
			values = append(values, child.attribute("value"))
		case "length", "minLength", "maxLength", "pattern", "minInclusive", "maxInclusive", "minExclusive", "maxExclusive",
			"totalDigits", "fractionDigits", "whiteSpace":
			s.Facets[child.name] = child.attribute("value")
		}
	}
	if values != nil {
		s.Values = values
	}
	return s
}

// occurs is how often a particle may stand.
func (n *xmlNode) occurs() (least, most int) {
	return occurrence(n.attribute("minOccurs")), occurrence(n.attribute("maxOccurs"))
}

func occurrence(text string) int {
	if text == "unbounded" {
		return Unbounded
	}
	if number, err := strconv.Atoi(text); err == nil && number >= 0 {
		return number
	}
	return 1
}

func firstOf(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}
