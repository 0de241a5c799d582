package definitions

import (
	"encoding/xml"
	"fmt"
	"strings"
	"testing"

	"clacks/internal/xsd"
)

// looser are the elements that the schema writes as choices, where it can count nothing: there the grammar alone sees that
// something is missing or stands twice.
var looser = map[string]bool{"Attribute": true, "Validators": true, "BlockedBy": true, "Mapping": true, "Objects": true}

// TestGrammarMatchesSchema damages a file that holds the whole language in every place, in several ways, and wants the
// grammar and the schema to judge alike.
func TestGrammarMatchesSchema(t *testing.T) {
	_, source := whole(t)
	schema, err := languageSchema()
	if err != nil {
		t.Fatal(err)
	}
	root, _, problem := readTree(source)
	if problem != nil {
		t.Fatal(problem)
	}
	judge := func(what string, loose bool) {
		text := serialize(root)
		issues, err := schema.Validate("whole.xml", []byte(text), xsd.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		f := &file{Source: Source{Name: "whole.xml", Data: []byte(text)}}
		damaged, _, problem := readTree(f.Source)
		if problem != nil {
			t.Fatalf("%s: %v", what, problem)
		}
		f.checkShape(damaged, "Objects")
		if len(f.problems) == 0 && len(issues) > 0 {
			t.Errorf("%s: only the schema objects: %v", what, issues)
		}
		if len(f.problems) > 0 && len(issues) == 0 && !loose {
			t.Errorf("%s: only the grammar objects: %v", what, f.problems)
		}
	}
	judge("undamaged", false)
	damage(root, judge)
}

// damage removes, doubles and renames every element, and spoils its text and attributes, one after the other.
func damage(n *node, judge func(what string, loose bool)) {
	loose := looser[n.name]
	for i, c := range n.children {
		name := n.name + "/" + c.name
		children := n.children
		n.children = append(append([]*node{}, children[:i]...), children[i+1:]...)
		judge("without "+name, loose)
		// Where the order counts, a child is doubled in its place.
		n.children = append(append(append([]*node{}, children[:i+1]...), c), children[i+1:]...)
		judge("two "+name, loose)
		n.children = children
		c.name += "x"
		judge("renamed "+name, false)
		c.name = c.name[:len(c.name)-1]
		damage(c, judge)
	}
	text := n.text
	for _, spoiled := range []string{"", "not allowed?"} {
		n.text = spoiled
		judge(fmt.Sprintf("%s with text %q", n.name, spoiled), false)
	}
	n.text = text
	attrs := n.attrs
	for i := range attrs {
		value := attrs[i].value
		for _, spoiled := range []string{"", "not allowed?"} {
			attrs[i].value = spoiled
			judge(fmt.Sprintf("%s with %s=%q", n.name, attrs[i].name, spoiled), false)
		}
		attrs[i].value = value
		n.attrs = append(append([]nodeAttr{}, attrs[:i]...), attrs[i+1:]...)
		judge(fmt.Sprintf("%s without @%s", n.name, attrs[i].name), false)
	}
	n.attrs = append(append([]nodeAttr{}, attrs...), nodeAttr{name: "surplus", value: "x"})
	judge(n.name+" with a surplus attribute", false)
	n.attrs = attrs
}

func serialize(n *node) string {
	var b strings.Builder
	var write func(n *node, depth int)
	write = func(n *node, depth int) {
		b.WriteString("<" + n.name)
		if depth == 0 {
			b.WriteString(` xmlns="` + namespace + `"`)
		}
		for _, a := range n.attrs {
			b.WriteString(" " + a.name + `="`)
			_ = xml.EscapeText(&b, []byte(a.value))
			b.WriteString(`"`)
		}
		b.WriteString(">")
		_ = xml.EscapeText(&b, []byte(n.text))
		for _, c := range n.children {
			write(c, depth+1)
		}
		b.WriteString("</" + n.name + ">")
	}
	write(n, 0)
	return b.String()
}
