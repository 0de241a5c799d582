// Package xsd validates XML documents against XML Schema 1.0 (W3C, 28 October 2004).
//
// A document flows through three gates. First guard reads its bytes once, without allocating: it refuses what is
// dangerous for any parser behind it (a DOCTYPE, an encoding other than UTF-8, too many bytes, too deep nesting), so that
// the engines never see an entity declaration and agree on the limits. Then an engine parses the document, and then it
// validates the tree against the compiled schema. What any gate finds is an Issue with its line.
//
// There are two engines behind one interface:
//
//   - libxml2, through a thin cgo shim of our own (shim.c). It parses memory only, gathers the structured errors with
//     file, line and full message, and frees everything that it allocates. An external-entity loader that knows nothing
//     but the given schema files replaces libxml2's, so nothing is ever read from disk or network.
//   - helium's validator, in pure Go.
//
// libxml2 is compiled in by the build tag "libxml2" (with cgo on); without the tag, or with CGO_ENABLED=0, helium serves
// the same interface. It is a tag and not the mere presence of cgo, so that a plain "go build" never fails on a machine
// that has a C compiler but no libxml2 headers; the Makefile sets the tag when "pkg-config --exists libxml-2.0". The
// helium engine is always compiled: a differential test holds the two together. Known to differ: the wording of messages,
// how many issues one fault makes (never the lines), and that helium tolerates an unresolved type in a schema without a
// target namespace until a document needs it.
package xsd

import (
	"fmt"
	"path"
	"strings"

	"clacks"
)

// File is one schema file; Name is how other files of the same set include or import it: a relative path with slashes,
// against which relative locations inside the file are resolved.
type File struct {
	Name string
	Data []byte
}

// Issue is one violation.
type Issue struct {
	File         string
	Line, Column int // count from 1; Column is 0 where the validator does not tell
	Message      string
}

// String is the issue as file:line:column: message, without what is unknown.
func (i Issue) String() string {
	switch {
	case i.Line == 0:
		return fmt.Sprintf("%s: %s", i.File, i.Message)
	case i.Column == 0:
		return fmt.Sprintf("%s:%d: %s", i.File, i.Line, i.Message)
	}
	return fmt.Sprintf("%s:%d:%d: %s", i.File, i.Line, i.Column, i.Message)
}

// SchemaError says everything that is wrong with a schema. It is the cause of the error that Compile returns.
type SchemaError struct{ Issues []Issue }

// Error lists the issues, one a line.
func (e *SchemaError) Error() string {
	lines := make([]string, len(e.Issues))
	for i, issue := range e.Issues {
		lines[i] = issue.String()
	}
	return strings.Join(lines, "\n")
}

// engine is a compiled schema of one of the implementations. validate gets a document that guard has let through.
type engine interface {
	validate(name string, document []byte) ([]Issue, error)
}

// Schema is a compiled schema: immutable, safe for concurrent use.
type Schema struct{ engine engine }

// Limits bound a document: bytes, depth of nesting. A zero field means that of DefaultLimits; a depth over MaxDepth counts
// as MaxDepth.
type Limits struct{ Size, Depth int }

// DefaultLimits bound a document whose Limits say nothing else.
var DefaultLimits = Limits{Size: 4 << 20, Depth: 100}

// MaxDepth is the nesting that both engines can parse.
const MaxDepth = 250

// maxIssues and maxMessages (bytes of message text) bound what one document can make the validator report: a hostile
// document could otherwise turn a few megabytes of input into gigabytes of complaints.
const (
	maxIssues   = 1000
	maxMessages = 1 << 20
)

// maxSize is what the engines can address: libxml2 counts bytes in a C int.
const maxSize = 1 << 30

// Compile compiles the schema of the first file; the others are what it may include or import. Its error is a
// clacks.Error of kind Invalid with a SchemaError as its cause: also when a file is included that is not among them.
func Compile(files ...File) (*Schema, error) {
	return compileWith(compileEngine, files)
}

func compileWith(compile func([]File) (engine, []Issue, error), files []File) (*Schema, error) {
	const op = "xsd.Compile"
	if len(files) == 0 {
		return nil, clacks.E(clacks.Invalid, op, "no schema file given")
	}
	var issues []Issue
	for _, f := range files {
		if issue, ok := guard(f.Name, f.Data, Limits{}); !ok {
			issues = append(issues, issue)
		}
		if f.Name != path.Clean(f.Name) || path.IsAbs(f.Name) || strings.HasPrefix(f.Name, "..") {
			issues = append(issues, Issue{File: f.Name, Message: "the name of a schema file must be a plain relative path"})
		}
	}
	if len(issues) > 0 {
		return nil, schemaError(op, issues)
	}
	e, issues, err := compile(files)
	if err != nil {
		return nil, clacks.E(clacks.Internal, op, "the validator failed: %w", err)
	}
	if len(issues) > 0 {
		return nil, schemaError(op, issues)
	}
	return &Schema{engine: e}, nil
}

func schemaError(op string, issues []Issue) error {
	return &clacks.Error{
		Op: op, Kind: clacks.Invalid,
		Reason: "the schema is wrong: " + issues[0].String(),
		Err:    &SchemaError{Issues: issues},
	}
}

// Validate returns every violation of a document (none when it is valid); not well-formed XML, a DOCTYPE and an exceeded
// limit are issues as well. A document that violates more than a thousand times is not reported further. The error is for
// faults of the validator itself.
func (s *Schema) Validate(name string, document []byte, limits Limits) ([]Issue, error) {
	if issue, ok := guard(name, document, limits); !ok {
		return []Issue{issue}, nil
	}
	issues, err := s.engine.validate(name, document)
	if err != nil {
		return nil, clacks.E(clacks.Internal, "xsd.Validate", "the validator failed: %w", err)
	}
	return issues, nil
}
