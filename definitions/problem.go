package definitions

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Severity of a Problem.
type Severity uint8

const (
	// Warning: the definition is loaded; what the problem is about is marked unavailable or left out.
	Warning Severity = iota
	// Error: the set cannot be used.
	Error
)

// String is "warning" or "error".
func (s Severity) String() string {
	if s == Error {
		return "error"
	}
	return "warning"
}

// MarshalText makes a severity its name in JSON.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Problem is one thing wrong in a definition file.
type Problem struct {
	Position
	Severity Severity `json:"severity"`
	Message  string   `json:"message"`          // what is wrong
	Hint     string   `json:"hint,omitempty"`   // what to write instead: the nearest right name, the allowed values
	Source   string   `json:"source,omitempty"` // the offending line, when known
}

// String is the problem on one line: file:line:column: severity: message (hint).
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	fmt.Fprintf(&b, ": %s: %s", p.Severity, p.Message)
	if p.Hint != "" {
		fmt.Fprintf(&b, " (%s)", p.Hint)
	}
	return b.String()
}

// sourceWidth is how many characters of an offending line are shown.
const sourceWidth = 120

// Detail is String followed by the offending line, when it is known, and a caret under the column. A long line is shown
// around the column only.
func (p Problem) Detail() string {
	if p.Source == "" || p.Column < 1 {
		return p.String()
	}
	line, column := []rune(p.Source), min(p.Column-1, utf8.RuneCountInString(p.Source))
	if start := column - sourceWidth/2; start > 0 {
		line, column = line[start:], column-start
	}
	line = line[:min(len(line), sourceWidth)]
	caret := make([]rune, column)
	for i := range caret {
		caret[i] = ' '
		if line[i] == '\t' {
			caret[i] = '\t' // keeps the caret below its column, however wide a tab is shown
		}
	}
	return p.String() + "\n  " + string(line) + "\n  " + string(caret) + "^"
}

// HasErrors reports whether one of the problems is an Error.
func HasErrors(problems []Problem) bool {
	return slices.ContainsFunc(problems, func(p Problem) bool { return p.Severity == Error })
}

// SortProblems sorts by file, line, column; errors before warnings at one place. Compilers of definitions add their own
// problems to those of Load and sort again.
func SortProblems(problems []Problem) {
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(b.Severity, a.Severity), cmp.Compare(a.Message, b.Message),
		)
	})
}
