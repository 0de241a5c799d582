package definitions

import "slices"

// What follows reads the parts of the language's first version that work by name: filters, validators, methods, hooks,
// and the search.

func (f *file) validators(a *declared, n *node) {
	if n == nil {
		return
	}
	a.Validator = f.condition(n)
	for _, c := range n.all("Assert") {
		if q := c.queryAttr("test"); q != nil {
			a.Asserts = append(a.Asserts, Assert{Test: *q, Message: c.value("message")})
		}
	}
	if n.child("Condition") != nil && n.child("ConditionOperator") != nil {
		f.errorf(n.child("ConditionOperator").pos, "join them with a ConditionOperator",
			"the validators of %s hold two conditions", a.Name)
	}
}

// condition is the <Condition> or <ConditionOperator> inside an element, or nil.
func (f *file) condition(n *node) *Condition {
	if n == nil {
		return nil
	}
	if c := n.child("Condition"); c != nil {
		return &Condition{Name: c.childText("Name"), Params: c.params(), Pos: c.child("Name").word().pos}
	}
	c := n.child("ConditionOperator")
	if c == nil {
		return nil
	}
	return &Condition{
		Operator: c.childText("Operator"), Pos: c.pos,
		Left: f.condition(c.child("LeftConditionChain")), Right: f.condition(c.child("RightConditionChain")),
	}
}

func (n *node) params() []string {
	var params []string
	for _, p := range n.all("Param") {
		params = append(params, p.trimmed())
	}
	return params
}

// chains joins the <FilterChain> elements of a filter: they run one after the other.
func (f *file) chains(n *node) *FilterChain {
	if n == nil {
		return nil
	}
	chain := &FilterChain{}
	for _, c := range f.chainList(n) {
		chain.Entries = append(chain.Entries, c.Entries...)
	}
	return chain
}

func (f *file) chainList(n *node) []FilterChain {
	var list []FilterChain
	for _, c := range n.all("FilterChain") {
		var chain FilterChain
		for _, e := range c.all("FilterEntry") {
			chain.Entries = append(chain.Entries, f.filterEntry(e))
		}
		list = append(list, chain)
	}
	return list
}

func (f *file) filterEntry(n *node) FilterEntry {
	var entry FilterEntry
	if c := n.child("Filter"); c != nil {
		entry.Filter = &Filter{Name: c.childText("Name"), Params: c.params(), Pos: c.child("Name").word().pos}
	}
	choice := n.child("Choice")
	if choice == nil {
		return entry
	}
	for _, w := range choice.all("When") {
		entry.Choice = append(entry.Choice, When{Condition: f.condition(w.child("ConditionChain")), Chains: f.chainList(w)})
		// The first version lets an Else stand inside of any When; it is what remains of the whole choice.
		if e := w.child("Else"); e != nil {
			entry.Else = append(entry.Else, f.chainList(e)...)
		}
	}
	if e := choice.child("Else"); e != nil {
		entry.Else = append(entry.Else, f.chainList(e)...)
	}
	return entry
}

func (f *file) methods(d *declaration, n *node) {
	if n == nil {
		return
	}
	for _, c := range n.all("Method") {
		m := Method{
			Name: c.childText("Name"), Command: c.childText("Command"),
			Arguments: c.childTexts("CommandParameters"), Pos: c.pos,
		}
		known := []string{"dn", "uuid", "__self__"}
		if p := c.child("MethodParameters"); p != nil {
			for _, e := range p.children {
				parameter := MethodParameter{
					Name: e.childText("Name"), Type: AttributeType(e.childText("Type")), Required: e.childBool("Required"),
				}
				if v := e.child("Default"); v != nil {
					text := v.trimmed()
					parameter.Default = &text
				}
				known = append(known, parameter.Name)
				m.Parameters = append(m.Parameters, parameter)
			}
		}
		d.Methods = append(d.Methods, m)
		d.mention(c.child("CommandParameters").words(), "method "+m.Name, known)
	}
}

func (f *file) hooks(d *declaration, n *node) {
	if n == nil {
		return
	}
	for _, c := range n.all("Hook") {
		h := Hook{
			Type: c.childText("Type"), Command: c.childText("Command"),
			Arguments: c.childTexts("CommandParameters"), Pos: c.pos,
		}
		d.Hooks = append(d.Hooks, h)
		d.mention(c.child("CommandParameters").words(), "hook "+h.Type, []string{"dn", "uuid", "__self__"})
	}
}

func (f *file) aspects(d *declaration, n *node) {
	if n == nil {
		return
	}
	for _, c := range n.all("Aspect") {
		a := Aspect{Tag: c.childText("Tag")}
		for _, e := range c.children {
			switch e.name {
			case "Keyword":
				a.Keywords = append(a.Keywords, e.trimmed())
			case "Search":
				a.Search = append(a.Search, e.trimmed())
				d.mention([]word{e.word()}, "search "+a.Tag, nil)
			case "Resolve":
				a.Resolves = append(a.Resolves, Resolve{Attribute: e.trimmed(), Filter: e.value("filter"), Type: e.value("type")})
				d.mention([]word{e.word()}, "search "+a.Tag, nil)
			case "Result":
				for _, m := range e.all("Map") {
					a.Results = append(a.Results, ResultMap{m.childText("Source"), m.childText("Destination")})
				}
			}
		}
		d.Aspects = append(d.Aspects, a)
	}
}

func (f *file) conditions(d *declaration, n *node) {
	if n == nil {
		return
	}
	for _, c := range n.all("ExtensionCondition") {
		condition := ExtensionCondition{Extension: c.value("extension"), Condition: f.condition(c)}
		for property := range splitList(c.value("properties")) {
			condition.Properties = append(condition.Properties, property)
		}
		d.Conditions = append(d.Conditions, condition)
		w := word{condition.Extension, c.pos}
		if at := c.attr("extension"); at != nil {
			w.pos = at.pos
		}
		d.conditions = append(d.conditions, w)
	}
}

func (d *declaration) mention(words []word, in string, known []string) {
	for _, w := range words {
		if !slices.Contains(known, w.text) {
			d.mentions = append(d.mentions, mention{word: w, in: in, known: known})
		}
	}
}
