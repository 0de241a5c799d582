package xquery

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/lestrrat-go/helium"
	"github.com/lestrrat-go/helium/xpath3"
)

// nodeCost is about how many bytes a node takes besides its text.
const nodeCost = 160

// integerArgument is an integer that the compiler wrote.
func integerArgument(s xpath3.Sequence) int {
	a, _ := s.Get(0).(xpath3.AtomicValue)
	if n, ok := a.Int64Val(); ok {
		return int(n)
	}
	return -1
}

// construct makes the node of a constructor.
func construct(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	if err := b.Err(); err != nil {
		return nil, err
	}
	k := b.query.constructions[integerArgument(args[0])]
	m := &maker{budget: b, plan: k, args: args[1:], name: k.name}
	if err := b.construct(nodeCost); err != nil {
		return nil, err
	}
	b.built, b.base = true, k.base
	if k.computed {
		if err := m.computedName(); err != nil {
			return nil, err
		}
	}
	var node helium.Node
	var err error
	switch k.is {
	case nodeElement:
		node, err = m.element()
	case nodeDocument:
		node, err = m.document()
	case nodeAttribute:
		node, err = m.attribute()
	default:
		node, err = m.leaf()
	}
	if err != nil || node == nil {
		return nil, err
	}
	return xpath3.ItemSlice{xpath3.NodeItem{Node: node}}, nil
}

// scratch is the document that owns what an evaluation constructs in the modules with a base URI.
func (b *budget) scratch() *helium.Document {
	if b.owner == nil || b.owner.URL() != b.base {
		b.owner = b.owners[b.base]
	}
	if b.owner == nil {
		b.owner = helium.NewDefaultDocument()
		b.owner.SetProperties(helium.DocInternal)
		b.owner.SetURL(b.base)
		if b.owners == nil {
			b.owners = make(map[string]*helium.Document, 1)
		}
		b.owners[b.base] = b.owner
	}
	return b.owner
}

// maker makes one node.
type maker struct {
	*budget
	plan   *construction
	args   []xpath3.Sequence
	name   name
	parent helium.MutableNode // the element or document that is made
	self   *helium.Element
	text   strings.Builder
	filled bool            // the element has children
	named  map[string]bool // prefixes of namespace nodes in the content
}

// next takes the next argument.
func (m *maker) next() xpath3.Sequence {
	s := m.args[0]
	m.args = m.args[1:]
	return s
}

// computedName is the name of a computed constructor (XQuery 3.1, section 3.9.3).
func (m *maker) computedName() error {
	atoms, err := atMost(m.next(), 1)
	if err != nil {
		return err
	}
	if len(atoms) == 0 {
		if m.plan.is == nodeNamespace {
			m.name = name{}
			return nil
		}
		return typeError("the name of a constructor is missing")
	}
	a := atoms[0]
	if q, ok := a.Value.(xpath3.QNameValue); ok && (m.plan.is == nodeElement || m.plan.is == nodeAttribute) {
		m.name = name{prefix: q.Prefix, uri: q.URI, local: q.Local}
		return nil
	}
	isText := a.TypeName == xpath3.TypeUntypedAtomic || xpath3.BuiltinIsSubtypeOf(a.TypeName, xpath3.TypeString)
	if !isText {
		return typeError("the name of a constructor cannot be an %s", a.TypeName)
	}
	text := strings.TrimSpace(a.StringVal())
	switch m.plan.is {
	case nodePI:
		if nameLength(text) != len(text) || text == "" {
			return xpathError("XQDY0041", "%q is not the target of a processing instruction", text)
		}
		m.name = name{local: text}
	case nodeNamespace:
		if nameLength(text) != len(text) {
			return xpathError("XQDY0074", "%q is not a prefix", text)
		}
		m.name = name{local: text}
	default:
		return m.lexicalName(text)
	}
	return nil
}

// lexicalName resolves the name of an element or an attribute that was computed as text.
func (m *maker) lexicalName(text string) error {
	if rest, ok := strings.CutPrefix(text, "Q{"); ok {
		uri, local, found := strings.Cut(rest, "}")
		if !found || local == "" || nameLength(local) != len(local) || strings.Contains(uri, "{") {
			return xpathError("XQDY0074", "%q is not a name", text)
		}
		m.name = name{uri: strings.Join(strings.Fields(uri), " "), local: local}
		return nil
	}
	l := lexer{text: text}
	t := l.next()
	if t.start != 0 || l.pos != len(text) || t.kind != tokenName && t.kind != tokenQName {
		return xpathError("XQDY0074", "%q is not a name", text)
	}
	m.name = name{prefix: t.prefix, local: t.value}
	if t.kind == tokenQName {
		uri, ok := m.plan.static.namespace(t.prefix)
		if !ok {
			return xpathError("XQDY0074", "the namespace prefix %q is not declared", t.prefix)
		}
		m.name.uri = uri
	} else if m.plan.is == nodeElement {
		m.name.uri = m.plan.static.elements
	}
	return nil
}

// checkName fails on names in the namespaces that are reserved.
func (m *maker) checkName(code string) error {
	n := m.name
	if n.prefix == "xmlns" || n.uri == namespaceXMLNS || (n.prefix == "xml") != (n.uri == namespaceXML) && n.prefix == "xml" {
		return xpathError(code, "nothing can have the name %s", n)
	}
	if n.uri == namespaceXML && n.prefix != "xml" {
		if n.prefix != "" {
			return xpathError(code, "nothing can have the name %s", n)
		}
		m.name.prefix = "xml"
	}
	return nil
}

// newElement makes an element that is in no tree.
func (b *budget) newElement(n name) (*helium.Element, error) {
	return unowned.CreateElement(n.local)
}

// own gives a new element to the document of the evaluation. It has none while it is made: nodes that belong to a
// document take their memory from it, in pieces that are too large for a few nodes.
func (b *budget) own(e *helium.Element) {
	owner := b.scratch()
	e.SetOwnerDocument(owner)
	e.ForEachAttribute(func(a *helium.Attribute) bool {
		a.SetOwnerDocument(owner)
		return true
	})
}

// declare declares a namespace on an element that has no document yet.
func declare(e *helium.Element, prefix, uri string) error {
	return e.AddNamespaceDecl(helium.NewNamespace(prefix, uri))
}

// setName puts an element into a namespace and declares that.
func setName(e *helium.Element, prefix, uri string) error {
	ns := helium.NewNamespace(prefix, uri)
	e.SetNamespace(ns)
	if prefix == "xml" {
		return nil
	}
	return e.AddNamespaceDecl(ns)
}

func (m *maker) element() (helium.Node, error) {
	if err := m.checkName("XQDY0096"); err != nil {
		return nil, err
	}
	e, err := m.newElement(m.name)
	if err != nil {
		return nil, err
	}
	m.self, m.parent = e, e
	if m.name.uri != "" {
		if m.plan.computed {
			m.name.prefix = m.freePrefix(m.name.prefix, m.name.uri, true)
		}
		if err := setName(e, m.name.prefix, m.name.uri); err != nil {
			return nil, err
		}
	}
	for _, d := range m.plan.declared {
		if d.prefix == "" && m.name.uri == "" || d.prefix == m.name.prefix && m.name.uri != "" || d.uri == "" {
			continue
		}
		if err := declare(e, d.prefix, d.uri); err != nil {
			return nil, err
		}
	}
	for i := range m.plan.attributes {
		if err := m.plannedAttribute(&m.plan.attributes[i]); err != nil {
			return nil, err
		}
	}
	err = m.content()
	m.own(e)
	return e, err
}

// plannedAttribute sets an attribute of a direct element.
func (m *maker) plannedAttribute(a *attributePlan) error {
	var b strings.Builder
	for _, p := range a.pieces {
		if p.literal {
			b.WriteString(p.text)
			continue
		}
		text, _, err := m.spaced(m.next())
		if err != nil {
			return err
		}
		b.WriteString(text)
	}
	return m.setAttribute(a.name, b.String())
}

// spaced are the atomized items with spaces between them, and whether there are any.
func (b *budget) spaced(s xpath3.Sequence) (text string, some bool, err error) {
	if s == nil || s.Len() == 0 {
		return "", false, nil
	}
	atoms, err := b.atoms(s)
	if err != nil {
		return "", false, err
	}
	if len(atoms) == 1 {
		text, err = xpath3.AtomicToString(atoms[0])
		return text, true, err
	}
	var joined strings.Builder
	for i, a := range atoms {
		if i > 0 {
			joined.WriteByte(' ')
		}
		t, err := xpath3.AtomicToString(a)
		if err != nil {
			return "", false, err
		}
		joined.WriteString(t)
	}
	return joined.String(), len(atoms) > 0, nil
}

// setAttribute sets an attribute and declares the namespace of its name.
func (m *maker) setAttribute(n name, value string) error {
	if m.self.GetAttributeNodeNS(n.local, n.uri) != nil {
		return xpathError("XQDY0025", "the element has two attributes %s", n)
	}
	if err := m.construct(nodeCost + len(value)); err != nil {
		return err
	}
	if n.uri == namespaceXML && n.local == "id" {
		value = strings.Join(strings.Fields(value), " ")
	}
	var ns *helium.Namespace
	switch {
	case n.uri == namespaceXML:
		ns = helium.NewNamespace("xml", namespaceXML)
	case n.uri != "":
		prefix := m.freePrefix(n.prefix, n.uri, false)
		if err := declare(m.self, prefix, n.uri); err != nil {
			return err
		}
		ns = helium.NewNamespace(prefix, n.uri)
	}
	return setAttributeNS(m.self, n.local, value, ns)
}

func setAttributeNS(e *helium.Element, local, value string, ns *helium.Namespace) error {
	if ns == nil {
		return e.SetAttribute(local, value)
	}
	return e.SetAttributeNS(local, value, ns)
}

// freePrefix is a prefix for a namespace that does not clash with what the element declares: the wanted one if it can
// be.
func (m *maker) freePrefix(wanted, uri string, mayBeEmpty bool) string {
	if wanted == "" && !mayBeEmpty {
		if p, ok := m.prefixOf(uri); ok {
			return p
		}
		wanted = "ns0"
	}
	if m.prefixFree(wanted, uri) {
		return wanted
	}
	if p, ok := m.prefixOf(uri); ok {
		return p
	}
	for i := 0; ; i++ {
		if p := "ns" + strconv.Itoa(i); m.prefixFree(p, uri) {
			return p
		}
	}
}

// prefixOf is a prefix that the element declares for a namespace.
func (m *maker) prefixOf(uri string) (string, bool) {
	for _, ns := range m.self.Namespaces() {
		if ns.URI() == uri && ns.Prefix() != "" {
			return ns.Prefix(), true
		}
	}
	return "", false
}

func (m *maker) prefixFree(prefix, uri string) bool {
	for _, ns := range m.self.Namespaces() {
		if ns.Prefix() == prefix {
			return ns.URI() == uri
		}
	}
	if ns := m.self.Namespace(); ns != nil && ns.Prefix() == prefix {
		return ns.URI() == uri
	}
	return prefix != "" || m.self.Namespace() != nil || m.name.uri == uri
}

// content adds the pieces of an element or a document.
func (m *maker) content() error {
	for _, p := range m.plan.pieces {
		if p.literal {
			m.text.WriteString(p.text)
			continue
		}
		if err := m.add(m.next(), p.fresh); err != nil {
			return err
		}
	}
	return m.flush()
}

// add adds the items of an enclosed expression: nodes are copied, adjacent atomic values become text with spaces
// between them.
func (m *maker) add(s xpath3.Sequence, fresh bool) error {
	if s == nil {
		return nil
	}
	atomic := false
	var walk func(s xpath3.Sequence) error
	walk = func(s xpath3.Sequence) error {
		for i := range s.Len() {
			if err := m.Err(); err != nil {
				return err
			}
			switch item := s.Get(i).(type) {
			case xpath3.NodeItem:
				atomic = false
				if err := m.addNode(item.Node, fresh); err != nil {
					return err
				}
			case xpath3.AtomicValue:
				text, err := xpath3.AtomicToString(item)
				if err != nil {
					return err
				}
				if atomic {
					m.text.WriteByte(' ')
				}
				m.text.WriteString(text)
				if m.text.Len() > m.limits.Constructed {
					return m.construct(m.text.Len())
				}
				atomic = true
			case xpath3.ArrayItem:
				for _, member := range item.Members() {
					if member == nil {
						continue
					}
					if err := walk(member); err != nil {
						return err
					}
				}
			default:
				return xpathError("XQTY0105", "a function cannot be the content of a node")
			}
		}
		return nil
	}
	return walk(s)
}

// flush makes a text node of the text so far.
func (m *maker) flush() error {
	if m.text.Len() == 0 {
		return nil
	}
	if err := m.construct(nodeCost + m.text.Len()); err != nil {
		return err
	}
	m.append(m.newText(m.text.String()))
	m.text.Reset()
	return nil
}

func (b *budget) newText(text string) *helium.Text {
	t := unowned.CreateText([]byte(text))
	t.SetOwnerDocument(b.scratch())
	return t
}

func (m *maker) append(n helium.Node) {
	m.filled = true
	appendTo(m.parent, n)
}

// addNode adds a node of the content: a copy, or the node itself when it is fresh.
func (m *maker) addNode(n helium.Node, fresh bool) error {
	switch n := n.(type) {
	case *helium.Attribute:
		return m.addAttribute(n)
	case *helium.NamespaceNodeWrapper:
		return m.addNamespace(n)
	case *helium.Document:
		for c := range helium.Children(n) {
			if err := m.addNode(c, fresh); err != nil {
				return err
			}
		}
		return nil
	case *helium.Text, *helium.CDATASection, *helium.EntityRef:
		m.text.Write(n.Content())
		if m.text.Len() > 0 {
			m.filled = true
		}
		if m.text.Len() > m.limits.Constructed {
			return m.construct(m.text.Len())
		}
		return nil
	}
	if err := m.flush(); err != nil {
		return err
	}
	e, isElement := n.(*helium.Element)
	if fresh && n.Parent() == nil {
		m.append(n)
		if isElement {
			m.settle(e)
		}
		return nil
	}
	if !isElement {
		if c := m.copyLeaf(n); c != nil {
			m.append(c)
			return m.construct(nodeCost + len(n.Content()))
		}
		return nil
	}
	c := &copier{budget: m.budget, preserve: m.plan.static.module.preserve, inherit: m.plan.static.module.inherit}
	if m.plan.static.module.keepTypes {
		c.types = m.worker.types
	}
	copied, err := c.element(e, true)
	if err != nil {
		return err
	}
	m.append(copied)
	m.settle(copied)
	return nil
}

func (b *budget) copyLeaf(n helium.Node) helium.Node {
	switch n := n.(type) {
	case *helium.Comment:
		c := unowned.CreateComment(bytes.Clone(n.Content()))
		c.SetOwnerDocument(b.scratch())
		return c
	case *helium.ProcessingInstruction:
		return b.newPI(n.Name(), string(n.Content()))
	case *helium.Text, *helium.CDATASection, *helium.EntityRef:
		return b.newText(string(n.Content()))
	}
	return nil
}

func (b *budget) newPI(target, data string) helium.Node {
	return b.scratch().CreatePI(target, data)
}

func (m *maker) addAttribute(a *helium.Attribute) error {
	if m.self == nil {
		return typeError("a document cannot have attributes")
	}
	if m.filled || m.text.Len() > 0 {
		return xpathError("XQTY0024", "the attribute %s comes after other content", a.Name())
	}
	return m.setAttribute(name{prefix: a.Prefix(), uri: a.URI(), local: a.LocalName()}, a.Value())
}

func (m *maker) addNamespace(n *helium.NamespaceNodeWrapper) error {
	if m.self == nil {
		return typeError("a document cannot have namespaces")
	}
	if m.filled || m.text.Len() > 0 {
		return xpathError("XQTY0024", "a namespace comes after other content")
	}
	prefix, uri := n.Name(), string(n.Content())
	if prefix == "xml" {
		return nil
	}
	if prefix == "" && m.self.Namespace() == nil {
		return xpathError("XQDY0102", "an element in no namespace cannot have a default namespace")
	}
	for _, ns := range m.self.Namespaces() {
		if ns.Prefix() == prefix && ns.URI() != uri {
			if m.plan.computed && m.rename(prefix) {
				break
			}
			return xpathError("XQDY0102", "the prefix %q stands for two namespaces", prefix)
		}
	}
	if m.named == nil {
		m.named = make(map[string]bool)
	}
	m.named[prefix] = true
	return declare(m.self, prefix, uri)
}

// rename gives a computed element another prefix, if it is only by its name that it has this one.
func (m *maker) rename(prefix string) bool {
	own := m.self.Namespace()
	if own == nil || own.Prefix() != prefix || prefix == "" || m.named[prefix] {
		return false
	}
	m.self.RemoveNamespaceByPrefix(prefix)
	m.self.SetNamespace(nil)
	free := ""
	for i := 0; free == ""; i++ {
		if p := "ns" + strconv.Itoa(i); p != prefix && m.prefixFree(p, own.URI()) {
			free = p
		}
	}
	return setName(m.self, free, own.URI()) == nil
}

// settle fits an element into its new parent: declarations that the parent has are dropped, and elements in no
// namespace are kept out of the parent's default namespace.
func (m *maker) settle(child *helium.Element) {
	if m.self == nil {
		return
	}
	if m.plan.static.module.inherit {
		dropDeclared(child, m.self)
	} else {
		mask(child, m.self)
	}
	if defaultNamespace(m.self) != "" {
		m.undeclare(child)
	}
}

// dropDeclared drops the declarations of a child that its parent has.
func dropDeclared(child, parent *helium.Element) {
	for _, ns := range child.Namespaces() {
		for _, outer := range parent.Namespaces() {
			if outer.Prefix() == ns.Prefix() && outer.URI() == ns.URI() {
				child.RemoveNamespaceByPrefix(ns.Prefix())
			}
		}
	}
}

// mask keeps the namespaces of a parent out of its child ("no-inherit"): a prefix that is declared as nothing.
func mask(child, parent *helium.Element) {
	for _, outer := range parent.Namespaces() {
		declared := outer.URI() == "" || outer.Prefix() == "" && child.Namespace() != nil && child.Prefix() == ""
		for _, ns := range child.Namespaces() {
			declared = declared || ns.Prefix() == outer.Prefix()
		}
		if !declared {
			_ = declare(child, outer.Prefix(), "")
		}
	}
}

// defaultNamespace is the default namespace that an element itself declares.
func defaultNamespace(e *helium.Element) string {
	for _, ns := range e.Namespaces() {
		if ns.Prefix() == "" {
			return ns.URI()
		}
	}
	return ""
}

// undeclare keeps the elements in no namespace, from here down, out of an outer default namespace.
func (m *maker) undeclare(e *helium.Element) {
	ns := e.Namespace()
	if ns == nil || ns.URI() == "" {
		_ = declare(e, "", "")
		return
	}
	if ns.Prefix() == "" {
		return
	}
	for _, d := range e.Namespaces() {
		if d.Prefix() == "" {
			return
		}
	}
	for c := range helium.ChildElements(e) {
		m.undeclare(c)
	}
}

func (m *maker) document() (helium.Node, error) {
	d := helium.NewDefaultDocument()
	d.SetProperties(helium.DocInternal)
	d.SetURL(m.base)
	m.parent = d
	return d, m.content()
}

// attribute makes an attribute that belongs to no element.
func (m *maker) attribute() (helium.Node, error) {
	n := m.name
	if n.prefix == "xmlns" || n.uri == namespaceXMLNS || n.uri == "" && n.local == "xmlns" {
		return nil, xpathError("XQDY0044", "an attribute cannot be a namespace declaration")
	}
	if err := m.checkName("XQDY0044"); err != nil {
		return nil, err
	}
	text, _, err := m.contentText()
	if err != nil {
		return nil, err
	}
	holder, err := m.newElement(name{local: "a"})
	if err != nil {
		return nil, err
	}
	m.self = holder
	if err := m.setAttribute(m.name, text); err != nil {
		return nil, err
	}
	a := holder.GetAttributeNodeNS(m.name.local, m.name.uri)
	helium.UnsafeSetParent(a, nil)
	a.SetOwnerDocument(m.scratch())
	return a, nil
}

// contentText is the content of a node that has only text, and whether there is any.
func (m *maker) contentText() (text string, some bool, err error) {
	for _, p := range m.plan.pieces {
		if p.literal {
			text, some = text+p.text, true
			continue
		}
		t, any, err := m.spaced(m.next())
		if err != nil {
			return "", false, err
		}
		text, some = text+t, some || any
	}
	return text, some, m.construct(len(text))
}

// leaf makes a text, a comment, a processing instruction or a namespace.
func (m *maker) leaf() (helium.Node, error) {
	text, some, err := m.contentText()
	if err != nil {
		return nil, err
	}
	switch m.plan.is {
	case nodeText:
		if !some {
			return nil, nil
		}
		return m.newText(text), nil
	case nodeComment:
		if strings.Contains(text, "--") || strings.HasSuffix(text, "-") {
			return nil, xpathError("XQDY0072", "a comment cannot have \"--\" in it")
		}
		c := unowned.CreateComment([]byte(text))
		c.SetOwnerDocument(m.scratch())
		return c, nil
	case nodePI:
		return m.instruction(text)
	}
	return m.namespaceNode(text)
}

func (m *maker) instruction(text string) (helium.Node, error) {
	if strings.EqualFold(m.name.local, "xml") {
		return nil, xpathError("XQDY0064", "a processing instruction cannot be called %q", m.name.local)
	}
	if strings.Contains(text, "?>") {
		return nil, xpathError("XQDY0026", "a processing instruction cannot have \"?>\" in it")
	}
	return m.newPI(m.name.local, strings.TrimLeft(text, " \t\r\n")), nil
}

func (m *maker) namespaceNode(uri string) (helium.Node, error) {
	prefix := m.name.local
	if prefix == "xmlns" || (prefix == "xml") != (uri == namespaceXML) || uri == namespaceXMLNS || uri == "" {
		return nil, xpathError("XQDY0101", "the prefix %q cannot stand for the namespace %q", prefix, uri)
	}
	return helium.NewNamespaceNodeWrapper(helium.NewNamespace(prefix, uri), nil), nil
}
