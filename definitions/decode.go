package definitions

import (
	"strings"
	"unicode/utf8"
)

// declaration is an <Object> as it stands in its file: a Type, and the places of the names in it that must be linked.
type declaration struct {
	*Type
	file       *file
	backend    word
	extends    []word
	requires   []word
	container  []word
	fixedRDN   word
	conditions []word // extensions that ExtensionConditions name
	attributes []*declared
	mentions   []mention
}

// mention is a name of an attribute that something but the attributes themselves refers to: a method, a hook, a search.
type mention struct {
	word
	in    string   // "method lock"
	known []string // names that are right besides the attributes
}

// declared is an <Attribute> or <ForeignAttribute> as it stands in its file.
type declared struct {
	*Attribute
	file         *file
	override     bool
	original     *declared // of a ForeignAttribute, once it is linked
	attrType     word
	backendType  word
	backend      word
	mappingNames []word // the backends of Mappings, in their order
	dependsOn    []word
	blockers     []word
	references   []declaredReference
	defaultPos   Position
	valuePos     []Position
}

type declaredReference struct{ object, attribute word }

// amendment is an <Amendment> as it stands in its file.
type amendment struct {
	file        *file
	target      word
	description string
	parameters  []BackendParameters
	override    []bool // of parameters
	attributes  []*declared
}

// decode reads what the file declares. Faults of shape have been reported before; what they leave out is left out here.
func (f *file) decode(root *node) {
	for _, n := range root.children {
		if n.space != namespace {
			continue
		}
		switch n.name {
		case "Object":
			if d := f.object(n); d.Name != "" {
				f.declarations = append(f.declarations, d)
			}
		case "Amendment":
			a := &amendment{file: f, target: word{n.value("object"), n.pos}, attributes: f.attributes(n.child("Attributes"))}
			if at := n.attr("object"); at != nil {
				a.target.pos = at.pos
			}
			if c := n.child("Description"); c != nil {
				a.description = c.trimmed()
			}
			a.parameters, a.override = f.parameters(n.child("BackendParameters"))
			f.amendments = append(f.amendments, a)
		}
	}
}

func (f *file) object(n *node) *declaration {
	t := &Type{
		Name: n.childText("Name"), Description: n.childText("Description"), DisplayName: n.childText("DisplayName"),
		Base: n.childBool("BaseObject"), Backend: n.childText("Backend"), FixedRDN: n.childText("FixedRDN"),
		StructuralInvisible: n.childBool("StructuralInvisible"),
		Templates:           n.childTexts("Templates"), Dialogs: n.childTexts("Dialogs"),
		Pos: n.pos,
	}
	d := &declaration{
		Type: t, file: f, backend: n.child("Backend").word(), fixedRDN: n.child("FixedRDN").word(),
		extends: n.child("Extends").words(), requires: n.child("RequiresExtension").words(),
		container: n.child("Container").words(), attributes: f.attributes(n.child("Attributes")),
	}
	for _, a := range d.attributes {
		if a.override {
			f.errorf(a.Pos, "leave it out", `override="true" belongs into an <Amendment>`)
		}
	}
	t.Parameters, _ = f.parameters(n.child("BackendParameters"))
	f.methods(d, n.child("Methods"))
	f.hooks(d, n.child("Hooks"))
	f.aspects(d, n.child("Find"))
	f.conditions(d, n.child("ExtensionConditions"))
	return d
}

// parameters reads <BackendParameters>; override says which of them carry the attribute of that name, which belongs to the
// language and not to the backend.
func (f *file) parameters(n *node) (parameters []BackendParameters, override []bool) {
	if n == nil {
		return nil, nil
	}
	for _, c := range n.all("Backend") {
		p := BackendParameters{Backend: c.trimmed(), Values: map[string]string{}, Pos: c.pos}
		for _, a := range c.attrs {
			if a.name != "override" {
				p.Values[a.name] = strings.TrimSpace(a.value)
			}
		}
		parameters = append(parameters, p)
		override = append(override, isTrue(c.value("override")))
	}
	return parameters, override
}

func (f *file) attributes(n *node) []*declared {
	if n == nil {
		return nil
	}
	var list []*declared
	for _, c := range n.children {
		a := &declared{Attribute: &Attribute{Name: c.childText("Name"), Pos: c.pos}, file: f}
		switch {
		case a.Name == "":
			continue
		case c.name == "ForeignAttribute":
			a.Foreign = true
		case c.name == "Attribute":
			f.attribute(a, c)
		}
		list = append(list, a)
	}
	return list
}

func (f *file) attribute(a *declared, n *node) {
	a.Description = n.childText("Description")
	a.Mandatory, a.ReadOnly, a.MultiValue = n.childBool("Mandatory"), n.childBool("ReadOnly"), n.childBool("MultiValue")
	a.Unique, a.Secret, a.Auto = n.childBool("Unique"), n.childBool("Secret"), n.childBool("Auto")
	a.CaseSensitive = n.childBool("CaseSensitive")
	a.attrType, a.backendType, a.backend = n.child("Type").word(), n.child("BackendType").word(), n.child("Backend").word()
	a.Type, a.BackendType = AttributeType(a.attrType.text), AttributeType(a.backendType.text)
	a.Backend = a.backend.text
	a.override = isTrue(n.value("override"))
	a.dependsOn = n.child("DependsOn").words()
	f.values(a, n.child("Values"))
	f.defaults(a, n.child("Default"))
	f.blockedBy(a, n.child("BlockedBy"))
	f.references(a, n.child("References"))
	f.validators(a, n.child("Validators"))
	a.InFilter, a.OutFilter = f.chains(n.child("InFilter")), f.chains(n.child("OutFilter"))
	for _, m := range n.all("Mapping") {
		f.mapping(a, m)
	}
	if c := n.child("InheritFrom"); c != nil {
		a.InheritFrom, a.InheritRelation = c.trimmed(), c.value("relation")
	}
	if c := n.child("UpdateHooks"); c != nil {
		for _, h := range c.children {
			a.UpdateHooks = append(a.UpdateHooks, UpdateHook{
				Object:    h.childText("Object") + h.childText("NotifyObject"),
				Attribute: h.childText("Attribute"), NotifyAttribute: h.childText("NotifyAttribute"),
			})
		}
	}
}

func (f *file) values(a *declared, n *node) {
	if n == nil {
		return
	}
	a.ValuesPopulate = n.value("populate")
	a.ValuesRefresh = isTrue(n.value("refresh-on-update"))
	a.ValuesQuery = n.queryAttr("query")
	for _, c := range n.all("Value") {
		v := Value{Key: c.value("key"), Text: c.trimmed(), Translate: isTrue(c.value("translate"))}
		a.Values = append(a.Values, v)
		a.valuePos = append(a.valuePos, c.pos)
	}
	if (len(a.Values) > 0) && (a.ValuesQuery != nil || a.ValuesPopulate != "") || a.ValuesQuery != nil && a.ValuesPopulate != "" {
		f.errorf(n.pos, "keep one of them", "the allowed values of %s are given in more than one way", a.Name)
	}
}

func (f *file) defaults(a *declared, n *node) {
	if n == nil {
		return
	}
	a.defaultPos = n.word().pos
	a.DefaultQuery = n.queryAttr("query")
	text := n.trimmed()
	switch {
	case a.DefaultQuery == nil:
		a.Default = &text
	case text != "":
		f.errorf(n.pos, "keep one of them", "the default of %s is given as a text and as a query", a.Name)
	}
}

// blockedBy reads both forms: <Attribute value="v">a</Attribute>, and <Name>a</Name><Value>v</Value>.
func (f *file) blockedBy(a *declared, n *node) {
	if n == nil {
		return
	}
	for _, c := range n.all("Attribute") {
		a.BlockedBy = append(a.BlockedBy, Blocker{Attribute: c.trimmed(), Value: c.value("value")})
		a.blockers = append(a.blockers, c.word())
	}
	if c := n.child("Name"); c != nil {
		a.BlockedBy = append(a.BlockedBy, Blocker{Attribute: c.trimmed(), Value: n.childText("Value")})
		a.blockers = append(a.blockers, c.word())
	}
}

func (f *file) references(a *declared, n *node) {
	if n == nil {
		return
	}
	for _, c := range n.all("Reference") {
		r := Reference{
			Object: c.childText("Object"), Attribute: c.childText("Attribute"), Mode: c.value("mode"),
			IdentifyPattern: c.value("identify-pattern"), ReplacePattern: c.value("replace-pattern"),
			DeletePattern: c.value("delete-pattern"), Pos: c.pos,
		}
		if r.Mode == "" {
			r.Mode = "replace"
		}
		a.References = append(a.References, r)
		a.references = append(a.references, declaredReference{c.child("Object").word(), c.child("Attribute").word()})
	}
}

func (f *file) mapping(a *declared, n *node) {
	m := Mapping{
		Backend: n.value("backend"), Attribute: n.value("attribute"), Table: n.value("table"),
		ForeignKey: n.value("foreignKey"), Inbound: n.child("Inbound").query(), Pos: n.pos,
	}
	for _, c := range n.all("Outbound") {
		if q := c.query(); q != nil {
			m.Outbounds = append(m.Outbounds, Outbound{Attribute: c.value("attribute"), Query: *q})
		}
	}
	w := word{m.Backend, n.pos}
	if at := n.attr("backend"); at != nil {
		w.pos = at.pos
	}
	a.Mappings = append(a.Mappings, m)
	a.mappingNames = append(a.mappingNames, w)
}

// The readers of simple children. All of them take a missing element for an empty one.

func (n *node) childText(name string) string {
	if c := n.child(name); c != nil {
		return c.trimmed()
	}
	return ""
}

func (n *node) childBool(name string) bool { return isTrue(n.childText(name)) }

func isTrue(text string) bool { return text == "true" || text == "1" }

// childTexts are the texts of the children of a child: the items of a list.
func (n *node) childTexts(name string) []string {
	var texts []string
	if c := n.child(name); c != nil {
		for _, item := range c.children {
			texts = append(texts, item.trimmed())
		}
	}
	return texts
}

// words are the items of a list as names.
func (n *node) words() []word {
	if n == nil {
		return nil
	}
	words := make([]word, 0, len(n.children))
	for _, c := range n.children {
		words = append(words, c.word())
	}
	return words
}

// query is the text as a query. White space before it is cut off, so that its place is that of its first character; its
// further lines keep their indentation, and so their columns.
func (n *node) query() *Query {
	if n == nil || n.trimmed() == "" {
		return nil
	}
	return &Query{Text: n.trimmed(), Pos: n.textPos}
}

// queryAttr is an attribute's value as a query.
func (n *node) queryAttr(name string) *Query {
	a := n.attr(name)
	if a == nil || strings.TrimSpace(a.value) == "" {
		return nil
	}
	text := strings.TrimSpace(a.value)
	before := a.value[:strings.Index(a.value, text)] // white space only
	pos := a.pos
	if i := strings.LastIndexByte(before, '\n'); i >= 0 {
		pos.Line += strings.Count(before, "\n")
		pos.Column, before = 1, before[i+1:]
	}
	pos.Column += utf8.RuneCountInString(before)
	return &Query{Text: text, Pos: pos}
}
