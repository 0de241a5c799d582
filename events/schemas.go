package events

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"clacks"
	"clacks/internal/nearest"
	"clacks/internal/xsd"
)

// The bounds of a document that comes from outside.
const (
	// MaxDocument is its size in bytes. An event says that something happened; a body of the largest allowed request
	// (4 MiB) is no event.
	MaxDocument = 1 << 20
	// MaxDepth is the depth to which its elements may be nested.
	MaxDepth = 100
)

// The bounds of the user's schemas.
const (
	maxSchemaFiles = 1000
	maxSchemaFile  = 1 << 20
)

// rootFile is the name of the schema file that is made here: it declares the root element and includes all others.
const rootFile = "Event.xsd"

//go:embed schemas/*.xsd
var shipped embed.FS

// Schemas is the catalogue of event types. It is immutable and safe for concurrent use.
type Schemas struct {
	schema *xsd.Schema
	types  []string
	files  []xsd.File // the first one includes the others
}

// LoadSchemas assembles the shipped schemas and the XSD files of the folders into one. In a folder, each file *.xsd
// declares the event type of its own name: TYPE.xsd holds a complexType TYPE and an element TYPE of that type, in the
// namespace of events. A file that another one includes needs no type of its own. The error is clacks.Invalid and lists
// everything that is wrong, with file and line; its cause is an *xsd.SchemaError.
func LoadSchemas(folders ...string) (*Schemas, error) {
	set := schemaSet{names: map[string]bool{}}
	set.addShipped()
	for _, folder := range folders {
		set.addFolder(folder)
	}
	types := set.check()
	schema := set.compile(types)
	if len(set.issues) > 0 || schema == nil {
		cause := &xsd.SchemaError{Issues: set.issues}
		return nil, &clacks.Error{Op: "events.schemas", Kind: clacks.Invalid, Reason: cause.Error(), Err: cause}
	}
	return &Schemas{schema: schema, types: types, files: set.sources(types)}, nil
}

// Types are the names of the known event types, sorted.
func (s *Schemas) Types() []string { return slices.Clone(s.types) }

// Known reports whether there is an event type of this name.
func (s *Schemas) Known(eventType string) bool {
	_, known := slices.BinarySearch(s.types, eventType)
	return known
}

// Validate checks an event document: size (MaxDocument), UTF-8, no DOCTYPE, depth (MaxDepth), schema. The error is
// clacks.Invalid; its Fields give the line and the reason of every violation, up to maxReported.
func (s *Schemas) Validate(document []byte) error {
	const op = "events.validate"
	issues, err := s.schema.Validate("event", document, xsd.Limits{Size: MaxDocument, Depth: MaxDepth})
	if err != nil {
		// Engines repeat what they stumbled over, and where: that is for the log.
		return &clacks.Error{Op: op, Kind: clacks.Internal, Reason: "the event document could not be checked", Err: err}
	}
	// A global element of another name is a root too, for a validator.
	eventType, err := typeOf(document)
	if err == nil && !s.Known(eventType) {
		return invalidEvent(0, "%s", s.unknown(eventType))
	}
	if len(issues) == 0 {
		return err
	}
	invalid := &clacks.Error{Op: op, Kind: clacks.Invalid, Reason: "the event document is not valid"}
	for _, issue := range issues[:min(len(issues), maxReported)] {
		invalid.Fields = append(invalid.Fields, wrongEvent(issue.Line, issue.Message))
	}
	return invalid
}

// unknown is the sentence about an event type that there is not.
func (s *Schemas) unknown(eventType string) string {
	reason := fmt.Sprintf("there is no event type %.100q", eventType)
	if hint := nearest.Hint(eventType, s.types); hint != "" {
		reason += "; " + hint
	}
	return reason
}

// maxReported bounds what one wrong document is answered with.
const maxReported = 20

// wrongEvent is one violation in the parameter "event"; line is 0 where it is not known.
func wrongEvent(line int, reason string) clacks.Field {
	if line > 0 {
		reason = fmt.Sprintf("line %d: %s", line, reason)
	}
	return clacks.Field{Attribute: "event", Code: clacks.CodeCheck, Reason: reason}
}

// schemaSet gathers schema files and everything that is wrong with them.
type schemaSet struct {
	files   []*schemaFile
	dropped []*schemaFile   // found wrong, or dependent on such a one
	names   map[string]bool // of all files, also of those that could not be outlined
	issues  []xsd.Issue
}

func (s *schemaSet) issue(path string, line int, format string, args ...any) {
	s.issues = append(s.issues, xsd.Issue{File: path, Line: line, Message: fmt.Sprintf(format, args...)})
}

func (s *schemaSet) addShipped() {
	entries, err := shipped.ReadDir("schemas")
	if err != nil {
		s.issue("schemas", 0, "%v", err)
	}
	for _, entry := range entries {
		data, err := shipped.ReadFile("schemas/" + entry.Name())
		if err != nil {
			s.issue(entry.Name(), 0, "%v", err)
			continue
		}
		s.add("shipped:"+entry.Name(), entry.Name(), data)
	}
}

func (s *schemaSet) addFolder(folder string) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		s.issue(folder, 0, "the folder of event schemas cannot be read: %v", reason(err))
		return
	}
	for _, entry := range entries {
		if filepath.Ext(entry.Name()) != ".xsd" || entry.IsDir() {
			continue
		}
		path := filepath.Join(folder, entry.Name())
		data, err := readSchema(path)
		if err != nil {
			s.issue(path, 0, "the file cannot be read: %v", reason(err))
			continue
		}
		s.add(path, entry.Name(), data)
	}
}

// readSchema reads a file without trusting its size.
func readSchema(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // nothing was written
	data, err := io.ReadAll(io.LimitReader(file, maxSchemaFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxSchemaFile {
		return nil, fmt.Errorf("it has more than %d bytes", maxSchemaFile)
	}
	return data, nil
}

// reason is an error of the file system without the path, which the issue names already.
func reason(err error) error {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err
	}
	return err
}

// add outlines a file and keeps it when that can be done and its name is free.
func (s *schemaSet) add(path, name string, data []byte) {
	if len(s.files) == maxSchemaFiles {
		s.issue(path, 0, "there are more than %d schema files", maxSchemaFiles)
		return
	}
	if name == rootFile {
		s.issue(path, 0, "the name Event belongs to the root of all events; name the file as its event type")
		return
	}
	for _, other := range s.files {
		if other.name == name {
			s.issue(path, 0, "the event type %s is declared by %s already", other.typeName(), other.path)
			return
		}
	}
	s.names[name] = true
	file, issues := outline(path, name, data)
	s.issues = append(s.issues, issues...)
	if len(issues) == 0 {
		s.files = append(s.files, file)
	}
}

// check holds the files against each other, drops those that cannot stand beside the others, and gives the names of
// the event types, sorted.
func (s *schemaSet) check() []string {
	included := map[string]bool{}
	for _, file := range s.files {
		for _, i := range file.includes {
			included[i.name] = true
		}
	}
	declared := map[component]*schemaFile{}
	var types []string
	s.drop(func(file *schemaFile) bool {
		before := len(s.issues)
		s.checkIncludes(file)
		s.checkDuplicates(file, declared)
		if !included[file.name] || file.declaresType() {
			s.checkType(file)
			types = append(types, file.typeName())
		}
		return len(s.issues) > before
	})
	s.dropDependent()
	slices.Sort(types)
	return types
}

// checkIncludes finds files that are included but do not exist.
func (s *schemaSet) checkIncludes(file *schemaFile) {
	for _, i := range file.includes {
		if !s.names[i.name] {
			s.issue(file.path, i.line, "there is no schema file %s to include", i.name)
		}
	}
}

// dropDependent drops files that include one that was dropped: whether they are right cannot be told before that one is.
func (s *schemaSet) dropDependent() {
	for before := -1; before != len(s.files); {
		before = len(s.files)
		left := map[string]bool{}
		for _, file := range s.files {
			left[file.name] = true
		}
		s.drop(func(file *schemaFile) bool {
			return slices.ContainsFunc(file.includes, func(i inclusion) bool { return !left[i.name] })
		})
	}
}

// checkDuplicates finds global components that another file, or another line of this one, has declared already.
func (s *schemaSet) checkDuplicates(file *schemaFile, declared map[component]*schemaFile) {
	for _, d := range file.declarations {
		if other := declared[d.component]; other != nil {
			s.issue(file.path, d.line, "the %s %s is declared by %s already", d.space, d.name, other.path)
			continue
		}
		declared[d.component] = file
		if d.component == (component{spaceElement, "Event"}) {
			s.issue(file.path, d.line, "the element Event is the root of all events and cannot be declared")
		}
	}
}

// checkType finds what is missing in a file that has to declare an event type.
func (s *schemaSet) checkType(file *schemaFile) {
	name := file.typeName()
	if file.targetNamespace != Namespace {
		s.issue(file.path, file.line, "the targetNamespace of an event is %s, not %q", Namespace, file.targetNamespace)
	}
	element := file.find(component{spaceElement, name})
	if file.find(component{spaceType, name}) == nil {
		s.issue(file.path, file.line, "the file declares no complexType %s", name)
	}
	if element == nil {
		s.issue(file.path, file.line, "the file declares no element %s", name)
		return
	}
	if localPart(element.ofType) != name {
		s.issue(file.path, element.line, "the element %s must have the type %s, not %q", name, name, element.ofType)
	}
}

func localPart(qname string) string { return qname[strings.LastIndexByte(qname, ':')+1:] }

// compile makes one schema of the files that are left; what its engine finds wrong is added to the issues. An engine may
// stop at the first kind of fault that it finds, so the files without a fault are compiled again until they are right.
func (s *schemaSet) compile(types []string) *xsd.Schema {
	for {
		schema, err := xsd.Compile(s.sources(types)...)
		if err == nil {
			return schema
		}
		var wrong *xsd.SchemaError
		if !errors.As(err, &wrong) {
			s.issue(rootFile, 0, "%v", err)
			return nil
		}
		before := len(s.files)
		s.blame(wrong.Issues)
		if s.dropDependent(); len(s.files) == before {
			return nil
		}
	}
}

func (s *schemaSet) sources(types []string) []xsd.File {
	files := []xsd.File{{Name: rootFile, Data: s.root(types)}}
	for _, file := range s.files {
		files = append(files, xsd.File{Name: file.name, Data: file.data})
	}
	return files
}

// blame adds issues of the engine, under the path of their file, and drops the files. What only says that a part of a
// dropped file is missing is left out.
func (s *schemaSet) blame(issues []xsd.Issue) {
	wrong := map[string]bool{}
	for _, issue := range issues {
		wrong[issue.File] = true
		if s.missesDropped(issue.Message) {
			continue
		}
		if file := s.named(issue.File); file != nil {
			issue.File = file.path
		}
		s.issues = append(s.issues, issue)
	}
	s.drop(func(file *schemaFile) bool { return wrong[file.name] })
}

func (s *schemaSet) missesDropped(message string) bool {
	for _, file := range s.dropped {
		for _, d := range file.declarations {
			if d.name != "" && strings.Contains(message, "{"+Namespace+"}"+d.name+"'") {
				return true
			}
		}
	}
	return false
}

func (s *schemaSet) named(name string) *schemaFile {
	for _, file := range s.files {
		if file.name == name {
			return file
		}
	}
	return nil
}

// drop puts files aside.
func (s *schemaSet) drop(which func(*schemaFile) bool) {
	s.files = slices.DeleteFunc(s.files, func(file *schemaFile) bool {
		if which(file) {
			s.dropped = append(s.dropped, file)
			return true
		}
		return false
	})
}

// root is the schema that holds the others together: an Event has exactly one child, and that is one of the types. The
// names in it are checked: each is that of an element.
func (s *schemaSet) root(types []string) []byte {
	kept := slices.DeleteFunc(slices.Clone(types), func(name string) bool {
		return s.named(name+".xsd") == nil
	})
	var b strings.Builder
	b.WriteString(`<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns="` + Namespace + `"` +
		` targetNamespace="` + Namespace + `" elementFormDefault="qualified">` + "\n")
	for _, name := range kept {
		b.WriteString(`<xs:include schemaLocation="` + name + ".xsd\"/>\n")
	}
	b.WriteString(`<xs:element name="Event"><xs:complexType><xs:choice>` + "\n")
	for _, name := range kept {
		b.WriteString(`<xs:element ref="` + name + "\"/>\n")
	}
	b.WriteString("</xs:choice></xs:complexType></xs:element>\n</xs:schema>\n")
	return []byte(b.String())
}
