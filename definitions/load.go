// Package definitions is the object-definition language: what an admin writes. It loads definition files, checks them
// against the language's schema and against each other, and yields a linked, immutable Set. What Clacks derives from it
// lives in package mapping.
//
// A file flows through Load like this: it is parsed into a tree of elements that know their places (tree.go), the shape of
// the tree is checked (grammar.go, then the schema objects.xsd through internal/xsd), and its objects and amendments are
// read (decode.go). When all files are read, the amendments are applied (amend.go), names are linked to what they name
// (link.go), and what is named is checked (check.go). Every step reports all that is wrong and goes on as far as it can:
// an admin sees everything at once.
package definitions

import (
	"bytes"
	_ "embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"clacks"
	"clacks/internal/xsd"
)

// Source is one definition file.
type Source struct {
	Name string // how it is called in messages: its path as the user wrote it
	Data []byte
}

// MaxFile is the size of a definition file in bytes above which it is refused.
const MaxFile = 4 << 20

// maxProblems is how many problems of one file are reported; a file with more is of another kind.
const maxProblems = 1000

// Options say what is known about the surroundings.
type Options struct {
	// Backends are the backend names that the configuration binds to drivers. An unknown one is a warning.
	Backends []string
	// Filters and Validators are the names that exist. An unknown one is a warning.
	Filters, Validators []string
}

// Load parses, validates, links and checks sources, all of them, and returns every problem in the order of file and
// line. The Set is nil when a problem is an Error. Amendments apply in the order of the sources.
//
// A file whose xsi:schemaLocation names the first version's object.xsd was written for a system that never checked names:
// there a name that leads nowhere is a Warning and is left out of the Set, and a type that an earlier file defines is
// replaced.
func Load(sources []Source, options Options) (*Set, []Problem) {
	l := load(sources, options)
	problems := l.problems()
	if HasErrors(problems) {
		return nil, problems
	}
	return l.set(), problems
}

// LoadPartly is Load for those who look for more problems, in the queries for example, which nothing else may use: the
// Set is what is left without what is wrong. It is nil when a file could not be read, and most of it may be missing.
func LoadPartly(sources []Source, options Options) (*Set, []Problem) {
	l := load(sources, options)
	if l.broken {
		return nil, l.problems()
	}
	return l.set(), l.problems()
}

func load(sources []Source, options Options) *loader {
	l := &loader{options: options, types: map[string]*declaration{}}
	for _, source := range sources {
		f := &file{Source: source}
		f.read()
		l.files = append(l.files, f)
		l.broken = l.broken || f.broken
	}
	l.collect()
	l.amend()
	l.link()
	l.check()
	return l
}

// ReadPath reads the definition files (*.xml) at a path: a file, or a folder and its sub-folders in the order of names.
// Its error is a clacks.Error: NotFound when nothing is there, Limit for a file over MaxFile.
func ReadPath(path string) ([]Source, error) {
	const op = "definitions.ReadPath"
	info, err := os.Stat(path)
	if err != nil {
		return nil, clacks.E(clacks.NotFound, op, "the definitions cannot be read: %w", err)
	}
	if !info.IsDir() {
		source, err := readFile(path)
		if err != nil {
			return nil, err
		}
		return []Source{source}, nil
	}
	var sources []Source
	err = filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.EqualFold(filepath.Ext(name), ".xml") {
			return err
		}
		source, err := readFile(name)
		sources = append(sources, source)
		return err
	})
	if err != nil && clacks.KindOf(err) == clacks.Internal {
		err = clacks.E(clacks.NotFound, op, "the definitions cannot be read: %w", err)
	}
	if err != nil {
		return nil, err
	}
	return sources, nil
}

func readFile(name string) (Source, error) {
	const op = "definitions.ReadPath"
	info, err := os.Stat(name)
	if err != nil {
		return Source{}, clacks.E(clacks.NotFound, op, "the definitions cannot be read: %w", err)
	}
	if info.Size() > MaxFile {
		return Source{}, clacks.E(clacks.Limit, op, "%s has %d bytes; a definition file may have %d", name, info.Size(), MaxFile)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return Source{}, clacks.E(clacks.NotFound, op, "the definitions cannot be read: %w", err)
	}
	return Source{Name: name, Data: data}, nil
}

//go:embed objects.xsd
var schemaSource []byte

// Schema is the XML Schema of the language, for editors and documentation. The caller owns the copy.
func Schema() []byte { return bytes.Clone(schemaSource) }

var languageSchema = sync.OnceValues(func() (*xsd.Schema, error) {
	return xsd.Compile(xsd.File{Name: "objects.xsd", Data: schemaSource})
})

// loader holds the files of one Load while they are made into a Set.
type loader struct {
	options Options
	files   []*file
	types   map[string]*declaration
	order   []*declaration
	broken  bool // a file could not be read: what is missing may well be there
}

// file is one source: what it declares and what is wrong with it.
type file struct {
	Source
	legacy       bool // written for the language's first version
	broken       bool // could not be read
	declarations []*declaration
	amendments   []*amendment
	problems     []Problem
	lines        []string // of the data, made when the first problem needs them
}

// read parses the file, checks its shape and reads its declarations.
func (f *file) read() {
	if len(f.Data) > MaxFile {
		f.broken = true
		f.errorf(Position{File: f.Name, Line: 1, Column: 1}, "",
			"the file has %d bytes; a definition file may have %d", len(f.Data), MaxFile)
		return
	}
	root, legacy, problem := readTree(f.Source)
	if problem != nil {
		f.broken = true
		f.report(*problem)
		return
	}
	f.legacy = legacy
	if root.name != "Objects" || root.space != namespace {
		f.broken = true
		f.errorf(root.pos, fmt.Sprintf("begin with <Objects xmlns=%q>", namespace),
			"the root element is <%s xmlns=%q>, which is not of the definition language", root.name, root.space)
		return
	}
	f.checkShape(root, "Objects")
	if len(f.problems) == 0 {
		f.validate(root)
	}
	f.decode(root)
}

// validate holds the file against the language's schema.
func (f *file) validate(root *node) {
	schema, err := languageSchema()
	var issues []xsd.Issue
	if err == nil {
		issues, err = schema.Validate(f.Name, f.Data, xsd.Limits{Size: MaxFile, Depth: maxDepth})
	}
	if err != nil {
		f.errorf(root.pos, "", "the file could not be validated: %v", err)
	}
	for _, issue := range issues {
		f.schemaIssue(root, issue)
	}
}

func (f *file) errorf(pos Position, hint, format string, args ...any) {
	f.report(Problem{Position: pos, Severity: Error, Message: fmt.Sprintf(format, args...), Hint: hint})
}

func (f *file) warnf(pos Position, hint, format string, args ...any) {
	f.report(Problem{Position: pos, Severity: Warning, Message: fmt.Sprintf(format, args...), Hint: hint})
}

// faultf is errorf for what the first version tolerated: in its files it warns. The caller takes the fault out of the Set.
func (f *file) faultf(pos Position, hint, format string, args ...any) {
	if f.legacy {
		f.warnf(pos, hint, format, args...)
		return
	}
	f.errorf(pos, hint, format, args...)
}

func (f *file) report(p Problem) {
	if len(f.problems) >= maxProblems {
		return
	}
	if f.lines == nil && len(f.Data) <= MaxFile {
		f.lines = strings.Split(string(f.Data), "\n")
	}
	if p.Line >= 1 && p.Line <= len(f.lines) {
		p.Source = strings.TrimSuffix(f.lines[p.Line-1], "\r")
	}
	f.problems = append(f.problems, p)
}

func (l *loader) problems() []Problem {
	var problems []Problem
	for _, f := range l.files {
		problems = append(problems, f.problems...)
	}
	SortProblems(problems)
	return slices.CompactFunc(problems, func(a, b Problem) bool { return a == b })
}

// collect gathers the types of all files. Names are held apart without regard to case: a reader would not tell them apart.
func (l *loader) collect() {
	for _, f := range l.files {
		for _, d := range f.declarations {
			key := strings.ToLower(d.Name)
			earlier := l.types[key]
			if earlier != nil {
				f.faultf(d.Pos, "rename one of them, or write an <Amendment object=\""+earlier.Name+"\">",
					"the type %s is already defined at %s", d.Name, place(earlier.Pos))
				if !f.legacy {
					continue
				}
				l.order = slices.DeleteFunc(l.order, func(o *declaration) bool { return o == earlier })
			}
			l.types[key] = d
			l.order = append(l.order, d)
		}
	}
}

func place(p Position) string { return fmt.Sprintf("%s:%d", p.File, p.Line) }

// set is the result, once nothing is wrong.
func (l *loader) set() *Set {
	s := &Set{types: make(map[string]*Type, len(l.order))}
	for _, d := range l.order {
		s.types[d.Name] = d.Type
		s.order = append(s.order, d.Name)
	}
	slices.Sort(s.order)
	return s
}

// lookup is the declaration of a type, or nil. A name must be written with the case of its definition.
func (l *loader) lookup(name string) *declaration {
	if d := l.types[strings.ToLower(name)]; d != nil && d.Name == name {
		return d
	}
	return nil
}

func (l *loader) typeNames(keep func(*declaration) bool) []string {
	var names []string
	for _, d := range l.order {
		if keep(d) {
			names = append(names, d.Name)
		}
	}
	return names
}
