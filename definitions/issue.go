package definitions

import (
	"regexp"
	"strings"

	"clacks/internal/xsd"
)

// The forms in which both validators tell what is wrong.
var (
	issueForm    = regexp.MustCompile(`(?s)^Element '(?:\{[^}]*\})?([^']*)'(?:, attribute '(?:\{[^}]*\})?([^']*)')?: (.*)$`)
	expectedForm = regexp.MustCompile(`(?s)^(This element is not expected|Missing child element\(s\))\.` +
		`(?: Expected is (?:one of )?\( (.*) \)\.?)?`)
	clarkName = regexp.MustCompile(`\{http://www\.gonicus\.de/Objects\}`)
)

// schemaIssue reports what the validator found, with the column that it does not tell and in words that the language uses.
func (f *file) schemaIssue(root *node, issue xsd.Issue) {
	pos := Position{File: f.Name, Line: max(issue.Line, 1), Column: max(issue.Column, 1)}
	form := issueForm.FindStringSubmatch(issue.Message)
	if form == nil {
		f.errorf(pos, "", "the file is not valid: %s", clarkName.ReplaceAllString(issue.Message, ""))
		return
	}
	name, message := form[1], clarkName.ReplaceAllString(form[3], "")
	if n := root.at(issue.Line, name); n != nil {
		pos = n.pos
	}
	if expected := expectedForm.FindStringSubmatch(message); expected != nil {
		what := "<" + name + "> is not expected here"
		if strings.HasPrefix(expected[1], "Missing") {
			what = "<" + name + "> lacks an element"
		}
		hint := ""
		if expected[2] != "" {
			hint = "expected: " + expected[2]
		}
		f.errorf(pos, hint, "%s", what)
		return
	}
	if form[2] != "" {
		name += "@" + form[2]
	}
	f.errorf(pos, "", "<%s> is not valid: %s", name, message)
}

// at is the element of this name whose start tag covers a line, or nil.
func (n *node) at(line int, name string) *node {
	if n.name == name && n.pos.Line <= line && line <= n.tagEnd {
		return n
	}
	for _, c := range n.children {
		if found := c.at(line, name); found != nil {
			return found
		}
	}
	return nil
}
