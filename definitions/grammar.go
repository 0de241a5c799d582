package definitions

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// grammar is the shape of every element, once more beside objects.xsd: a validator stops at the first fault inside an
// element and tells a line, while an admin wants every fault with its column and the word that was meant. The schema stays
// the judge: a file that passes here is still validated, and TestGrammarMatchesSchema holds the two together.
//
// An element is written as its children and attributes (with @). After a colon stands the shape, if it is not the
// element's own name; then ! (exactly once), ? (at most once), + (at least once) or * (any number).
var grammar = parseGrammar(map[string]string{
	"Objects": "Object* Amendment*",
	"Object": `Name:name! Description:text? DisplayName:text? Backend:word! BackendParameters? BaseObject:boolean?
		Extends:Values1? RequiresExtension:Extensions? ExtensionConditions? Container:Types? FixedRDN:word?
		StructuralInvisible:boolean? Templates:TemplateList? Dialogs:DialogList? Attributes? Methods? Hooks? Find?`,
	"Amendment":           "Description:text? BackendParameters? Attributes? @object:name!",
	"BackendParameters":   "Backend:Parameters+",
	"Parameters":          "#word @*",
	"Values1":             "Value:text+",
	"Extensions":          "Extension:text+",
	"Types":               "Type:text+",
	"TemplateList":        "Template:text+",
	"DialogList":          "Dialog:text+",
	"ExtensionConditions": "ExtensionCondition+",
	"ExtensionCondition":  "Condition:Named? ConditionOperator? @extension:name! @properties:text?",

	"Attributes":       "Attribute* ForeignAttribute*",
	"ForeignAttribute": "Name:name!",
	"Attribute": `Name:name! Description:text? Type:word! BackendType:word? Backend:word? Mapping* Values? Default?
		Mandatory:boolean? ReadOnly:boolean? MultiValue:boolean? Unique:boolean? CaseSensitive:boolean? Secret:boolean?
		Auto:boolean? BlockedBy? DependsOn? References? InFilter:FilterChains? OutFilter:FilterChains? Validators?
		InheritFrom? UpdateHooks? @override:boolean?`,
	"Mapping":     "Inbound:query? Outbound* @backend:word? @attribute:word? @table:word? @foreignKey:word?",
	"Outbound":    "#query @attribute:word!",
	"Values":      "Value* @populate:text? @refresh-on-update:boolean? @query:query?",
	"Value":       "#text @key:text? @translate:boolean?",
	"Default":     "#text @query:query?",
	"BlockedBy":   "Attribute:Blocker* Name:text? Value:text?",
	"Blocker":     "#text @value:text?",
	"DependsOn":   "Attribute:text+",
	"References":  "Reference+",
	"Reference":   "Object:text! Attribute:text! @mode:mode? @identify-pattern:text? @replace-pattern:text? @delete-pattern:text?",
	"InheritFrom": "#text @relation:text?",
	"UpdateHooks": "UpdateHook+",
	"UpdateHook":  "Object:text? NotifyObject:text? Attribute:text? NotifyAttribute:text?",

	"FilterChains":      "FilterChain+",
	"FilterChain":       "FilterEntry+",
	"FilterEntry":       "Filter:Named? Choice?",
	"Choice":            "When+ Else:FilterChains?",
	"When":              "ConditionChain! FilterChain+ Else:FilterChains?",
	"Named":             "Name:word! Param:text*",
	"ConditionChain":    "Condition:Named? ConditionOperator?",
	"ConditionOperator": "Operator:operator! LeftConditionChain:ConditionChain! RightConditionChain:ConditionChain!",
	"Validators":        "Condition:Named? ConditionOperator? Assert*",
	"Assert":            "@test:query! @message:word!",

	"Methods":          "Method+",
	"Method":           "Name:word! MethodParameters? Command:word! CommandParameters:Values1?",
	"MethodParameters": "MethodParameter+",
	"MethodParameter":  "Name:word! Type:word! Required:boolean? Default:text?",
	"Hooks":            "Hook+",
	"Hook":             "Type:hook! Command:word! CommandParameters:Values1?",
	"Find":             "Aspect+",
	"Aspect":           "Tag:text! Keyword:text* Search:text+ Resolve* Result*",
	"Resolve":          "#text @filter:text? @type:text?",
	"Result":           "Map*",
	"Map":              "Source:text! Destination:text!",
})

// The simple shapes and what a text has to look like.
var simple = map[string]struct {
	allowed func(string) bool
	wanted  string // "X is not ..."
	hint    string
}{
	"text": {func(string) bool { return true }, "", ""},
	"word": {func(s string) bool { return s != "" }, "empty", ""},
	"name": {regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.\-]*$`).MatchString, "a name",
		"a name begins with a letter and goes on with letters, digits, '_', '.' and '-'"},
	"query":    {func(s string) bool { return s != "" }, "a query", "write an XQuery expression"},
	"boolean":  {oneOf("true", "false", "1", "0"), "a truth value", "write true or false"},
	"operator": {oneOf("and", "or"), "an operator", "write and or or"},
	"mode":     {oneOf("replace", "inline"), "a mode", "write replace or inline"},
	"hook": {oneOf("PreCreate", "PostCreate", "PreUpdate", "PostUpdate", "PreRemove", "PostRemove"), "a kind of hook",
		"write Pre or Post and Create, Update or Remove"},
}

func oneOf(words ...string) func(string) bool {
	return func(s string) bool { return slices.Contains(words, s) }
}

type shape struct {
	text     string // the simple shape of its text; "" when it holds elements only
	children []part
	attrs    []part
	anyAttr  bool
}

type part struct {
	name, shape string
	min, max    int // max 0: any number
}

func parseGrammar(source map[string]string) map[string]*shape {
	shapes := make(map[string]*shape, len(source))
	for name, text := range source {
		s := &shape{}
		for _, field := range strings.Fields(text) {
			switch {
			case field == "@*":
				s.anyAttr = true
			case field[0] == '#':
				s.text = field[1:]
			case field[0] == '@':
				s.attrs = append(s.attrs, parsePart(field[1:]))
			default:
				s.children = append(s.children, parsePart(field))
			}
		}
		shapes[name] = s
	}
	return shapes
}

func parsePart(field string) part {
	p := part{name: field[:len(field)-1]}
	switch field[len(field)-1] {
	case '!':
		p.min, p.max = 1, 1
	case '?':
		p.max = 1
	case '+':
		p.min = 1
	}
	p.name, p.shape, _ = strings.Cut(p.name, ":")
	if p.shape == "" {
		p.shape = p.name
	}
	return p
}

// exclusive are elements that hold exactly one of their children.
var exclusive = map[string]bool{"ExtensionCondition": true, "FilterEntry": true, "ConditionChain": true}

// checkShape reports every way in which an element and what is below it differs from the language.
func (f *file) checkShape(n *node, name string) {
	if n.space != namespace {
		f.errorf(n.pos, "put xmlns=\""+namespace+"\" on the root element", "<%s> is not an element of the definition language", n.name)
		return
	}
	if rule, ok := simple[name]; ok {
		f.checkAttrs(n, &shape{})
		f.checkText(n, rule.allowed, rule.wanted, rule.hint)
		return
	}
	s := grammar[name]
	f.checkAttrs(n, s)
	f.checkChildren(n, s)
	switch {
	case s.text != "":
		rule := simple[s.text]
		f.checkText(n, rule.allowed, rule.wanted, rule.hint)
	case n.textPos.Line > 0:
		f.errorf(n.textPos, "", "<%s> holds elements, not text", n.name)
	}
	if exclusive[name] && len(n.children) != 1 {
		f.errorf(n.pos, "", "<%s> must hold exactly one element", n.name)
	}
}

func (f *file) checkChildren(n *node, s *shape) {
	count := map[string]int{}
	for _, c := range n.children {
		i := slices.IndexFunc(s.children, func(p part) bool { return p.name == c.name })
		if i < 0 {
			f.errorf(c.pos, nearestHint(c.name, partNames(s.children)), "<%s> is not known in <%s>", c.name, n.name)
			continue
		}
		p := s.children[i]
		if count[c.name]++; p.max > 0 && count[c.name] == p.max+1 {
			f.errorf(c.pos, "", "<%s> stands twice in this <%s>", c.name, n.name)
		}
		f.checkShape(c, p.shape)
	}
	for _, p := range s.children {
		if count[p.name] < p.min {
			f.errorf(n.pos, "", "<%s> lacks <%s>", n.name, p.name)
		}
	}
	if len(s.children) > 0 && s.text == "" && len(n.children) == 0 && n.name == "Objects" {
		f.errorf(n.pos, "", "<Objects> is empty")
	}
}

func (f *file) checkAttrs(n *node, s *shape) {
	for _, a := range n.attrs {
		i := slices.IndexFunc(s.attrs, func(p part) bool { return p.name == a.name && a.space == "" })
		switch {
		case i >= 0:
			rule := simple[s.attrs[i].shape]
			if text := strings.TrimSpace(a.value); !rule.allowed(text) {
				f.errorf(a.pos, rule.hint, "%s", wrongText(fmt.Sprintf("the attribute %s of <%s>", a.name, n.name), text, rule.wanted))
			}
		case !s.anyAttr:
			f.errorf(a.pos, nearestHint(a.name, partNames(s.attrs)), "<%s> has no attribute %s", n.name, a.name)
		}
	}
	for _, p := range s.attrs {
		if p.min > 0 && n.attr(p.name) == nil {
			f.errorf(n.pos, "", "<%s> lacks the attribute %s", n.name, p.name)
		}
	}
}

func (f *file) checkText(n *node, allowed func(string) bool, wanted, hint string) {
	for _, c := range n.children {
		f.errorf(c.pos, "", "<%s> holds text, not elements", n.name)
	}
	if text := n.trimmed(); !allowed(text) && len(n.children) == 0 {
		f.errorf(n.word().pos, hint, "%s", wrongText("<"+n.name+">", text, wanted))
	}
}

func wrongText(what, text, wanted string) string {
	if text == "" {
		return what + " is empty"
	}
	return fmt.Sprintf("%s is %q, which is not %s", what, shorten(text), wanted)
}

// shorten keeps a quoted text readable.
func shorten(text string) string {
	if r := []rune(text); len(r) > 60 {
		return string(r[:60]) + "..."
	}
	return text
}

func partNames(parts []part) []string {
	names := make([]string, len(parts))
	for i, p := range parts {
		names[i] = p.name
	}
	return names
}
