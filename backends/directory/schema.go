package directory

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"

	"clacks"
)

//go:embed schema.txt
var schemaText string

// attributeType is an attribute that entries may have. It is immutable.
type attributeType struct {
	name   string // its first name
	key    string // that in lower case
	rule   *rule
	single bool
}

// objectClass is immutable.
type objectClass struct {
	name       string
	kind       string // abstract, structural, auxiliary
	super      *objectClass
	must, may  []*attributeType // with those of the superiors
	anything   bool             // it allows every attribute
	undeclared bool             // of the configuration: nothing is known about it
}

// isA reports whether the class is other or below it.
func (c *objectClass) isA(other *objectClass) bool {
	for ; c != nil; c = c.super {
		if c == other {
			return true
		}
	}
	return false
}

// schema is immutable.
type schema struct {
	attributes map[string]*attributeType // by every name, in lower case
	classes    map[string]*objectClass
}

// newSchema reads the built-in schema and adds what the configuration names.
func newSchema(options Options) (*schema, error) {
	s := &schema{attributes: map[string]*attributeType{}, classes: map[string]*objectClass{}}
	for number, line := range strings.Split(schemaText, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		if err := s.readLine(line); err != nil {
			return nil, fmt.Errorf("schema.txt, line %d: %w", number+1, err)
		}
	}
	return s.extended(options)
}

// extended is the schema with what options add to it. The elements of both are the same, so that one which an operation
// holds is still known to the other.
func (s *schema) extended(options Options) (*schema, error) {
	s = &schema{attributes: maps.Clone(s.attributes), classes: maps.Clone(s.classes)}
	for _, name := range options.ExtraAttributes {
		if !validDescription(name) {
			return nil, clacks.E(clacks.Invalid, "directory.open", "%q is not the name of an attribute", name)
		}
		if key := strings.ToLower(name); s.attributes[key] == nil {
			s.attributes[key] = &attributeType{name: name, key: key, rule: rules["directory"]}
		}
	}
	for _, name := range options.ExtraClasses {
		if key := strings.ToLower(name); s.classes[key] == nil {
			s.classes[key] = &objectClass{name: name, kind: "undeclared", super: s.classes["top"], anything: true, undeclared: true}
		}
	}
	return s, nil
}

func (s *schema) readLine(line string) error {
	head, body, ok := strings.Cut(line, ":")
	words := strings.Fields(head)
	if !ok || len(words) < 2 {
		return fmt.Errorf("%q is not a definition", line)
	}
	if words[0] == "attributes" {
		return s.readAttributes(words[1], len(words) > 2, strings.Fields(body))
	}
	return s.readClass(words[1:], body)
}

func (s *schema) readAttributes(ruleName string, single bool, names []string) error {
	r := rules[ruleName]
	if r == nil {
		return fmt.Errorf("there is no rule %q", ruleName)
	}
	for _, name := range names {
		aliases := strings.Split(name, "/")
		t := &attributeType{name: aliases[0], key: strings.ToLower(aliases[0]), rule: r, single: single}
		for _, alias := range aliases {
			s.attributes[strings.ToLower(alias)] = t
		}
	}
	return nil
}

func (s *schema) readClass(head []string, body string) error {
	c := &objectClass{kind: head[0], name: head[1]}
	if len(head) == 4 {
		if c.super = s.classes[strings.ToLower(head[3])]; c.super == nil {
			return fmt.Errorf("there is no class %q", head[3])
		}
		c.must, c.may = slices.Clone(c.super.must), slices.Clone(c.super.may)
	}
	must, may, _ := strings.Cut(body, ";")
	var err error
	if c.must, err = s.appendTypes(c.must, must); err != nil {
		return err
	}
	if c.anything = strings.TrimSpace(may) == "*"; c.anything {
		may = ""
	}
	c.may, err = s.appendTypes(c.may, may)
	s.classes[strings.ToLower(c.name)] = c
	return err
}

func (s *schema) appendTypes(list []*attributeType, names string) ([]*attributeType, error) {
	for _, name := range strings.Fields(names) {
		t := s.attributes[strings.ToLower(name)]
		if t == nil {
			return nil, fmt.Errorf("there is no attribute %q", name)
		}
		list = append(list, t)
	}
	return list, nil
}

// description is an attribute's name with its options (RFC 4512, section 2.5).
type description struct {
	typ *attributeType
	key string // in normal form: the type's first name, options in order, all lower case
}

// name is the spelling in which the description is stored and, by "*", returned.
func (d description) name() string { return d.typ.name + d.key[len(d.typ.key):] }

// describe reads an attribute's name; ok is false when the schema does not know it.
func (s *schema) describe(name string) (d description, ok bool) {
	base, options, hasOptions := strings.Cut(name, ";")
	t := s.attributes[base]
	if t == nil {
		t = s.attributes[strings.ToLower(base)]
	}
	if t == nil {
		return d, false
	}
	if !hasOptions {
		return description{t, t.key}, true
	}
	if !validDescription(name) {
		return d, false
	}
	list := strings.Split(strings.ToLower(options), ";")
	slices.Sort(list)
	return description{t, t.key + ";" + strings.Join(list, ";")}, true
}

// validDescription reports whether name has the form of an attribute description, known or not.
func validDescription(name string) bool {
	for part := range strings.SplitSeq(name, ";") {
		if part == "" || len(name) > 255 {
			return false
		}
		for i := range len(part) {
			c := part[i]
			letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
			if !letter && c != '-' && c != '_' && c != '.' && (c < '0' || c > '9') {
				return false
			}
		}
	}
	return true
}

// check holds an entry against its object classes (RFC 4512, section 2.4) and returns everything that is wrong.
func (s *schema) check(r *record) []clacks.Field {
	classes, fields := s.classesOf(r)
	if len(fields) > 0 {
		return fields
	}
	fields = checkStructural(classes)
	allowed, missing, anything := map[*attributeType]bool{}, map[*attributeType]bool{}, false
	for _, c := range classes {
		anything = anything || c.anything
		for _, t := range c.may {
			allowed[t] = true
		}
		for _, t := range c.must {
			allowed[t] = true
			if !r.has(t) && !missing[t] {
				missing[t] = true
				fields = append(fields, clacks.Field{Attribute: t.name, Code: clacks.CodeMandatory,
					Reason: "the object class " + c.name + " wants it"})
			}
		}
	}
	for i := range r.attributes {
		a := &r.attributes[i]
		if !anything && !allowed[a.typ] {
			fields = append(fields, clacks.Field{Attribute: a.name(), Code: clacks.CodeUnknown, Reason: "no object class of the entry allows it"})
		}
		if a.typ.single && len(a.values) > 1 {
			fields = append(fields, clacks.Field{Attribute: a.name(), Code: clacks.CodeSingle, Reason: "it has one value at most"})
		}
	}
	return fields
}

func (s *schema) classesOf(r *record) ([]*objectClass, []clacks.Field) {
	var classes []*objectClass
	var fields []clacks.Field
	for _, name := range r.values("objectclass") {
		c := s.classes[strings.ToLower(name)]
		if c == nil {
			fields = append(fields, clacks.Field{Attribute: "objectClass", Code: clacks.CodeValues,
				Reason: fmt.Sprintf("there is no object class %.60q", name)})
			continue
		}
		classes = append(classes, c)
	}
	if len(classes) == 0 && len(fields) == 0 {
		fields = append(fields, clacks.Field{Attribute: "objectClass", Code: clacks.CodeMandatory, Reason: "an entry has an object class"})
	}
	return classes, fields
}

// checkStructural wants exactly one chain of structural classes; a class that nothing is known about may stand for it.
func checkStructural(classes []*objectClass) []clacks.Field {
	var lowest *objectClass
	undeclared := false
	for _, c := range classes {
		undeclared = undeclared || c.undeclared
		switch {
		case c.kind != "structural" || lowest != nil && lowest.isA(c):
		case lowest == nil || c.isA(lowest):
			lowest = c
		default:
			return []clacks.Field{{Attribute: "objectClass", Code: clacks.CodeValues,
				Reason: "an entry cannot be both " + lowest.name + " and " + c.name}}
		}
	}
	if lowest == nil && !undeclared {
		return []clacks.Field{{Attribute: "objectClass", Code: clacks.CodeValues, Reason: "there is no structural object class"}}
	}
	return nil
}

// structural is the lowest structural class of an entry, or nil.
func (s *schema) structural(r *record) *objectClass {
	var lowest *objectClass
	for _, name := range r.values("objectclass") {
		if c := s.classes[strings.ToLower(name)]; c != nil && c.kind == "structural" && (lowest == nil || c.isA(lowest)) {
			lowest = c
		}
	}
	return lowest
}
