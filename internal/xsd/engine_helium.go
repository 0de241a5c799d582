package xsd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lestrrat-go/helium"
	"github.com/lestrrat-go/helium/xsd"
)

// heliumSchema is a schema compiled by helium; it is only read while it validates.
type heliumSchema struct{ schema *xsd.Schema }

func compileHelium(files []File) (engine, []Issue, error) {
	ctx := context.Background()
	main := files[0]
	doc, err := heliumParser().BaseURI(main.Name).Parse(ctx, main.Data)
	if err != nil {
		return nil, []Issue{heliumIssue(main.Name, err)}, nil
	}
	set := newFileSet(files)
	defer set.close()
	found := &heliumIssues{name: main.Name}
	schema, err := xsd.NewCompiler().Label(main.Name).BaseDir(path.Dir(main.Name)).Parser(heliumParser()).
		FS(set).ErrorHandler(found).Compile(ctx, doc)
	for _, name := range set.refused {
		found.issues = append(found.issues, Issue{
			File: main.Name, Message: fmt.Sprintf("the schema file '%s' is not among the given ones", name),
		})
	}
	if err != nil && len(found.issues) == 0 {
		found.issues = append(found.issues, heliumIssue(main.Name, err))
	}
	if len(found.issues) > 0 {
		return nil, found.issues, nil
	}
	return &heliumSchema{schema: schema}, nil, nil
}

func (s *heliumSchema) validate(name string, document []byte) ([]Issue, error) {
	ctx := context.Background()
	doc, err := heliumParser().Parse(ctx, document)
	if err != nil {
		return []Issue{heliumIssue(name, err)}, nil
	}
	defer doc.Free()
	found := &heliumIssues{name: name}
	err = xsd.NewValidator(s.schema).Label(name).ErrorHandler(found).Validate(ctx, doc)
	if err != nil && len(found.issues) == 0 {
		return nil, err
	}
	if err == nil {
		return nil, nil // what was reported was a warning
	}
	return found.issues, nil
}

// heliumParser has helium's secure defaults; guard has already bounded size and depth.
func heliumParser() helium.Parser {
	return helium.NewParser().MaxDepth(MaxDepth + 1).MaxNodeContentSize(-1)
}

// heliumIssues gathers what helium reports.
type heliumIssues struct {
	name   string
	issues []Issue
	bytes  int
}

// Handle implements helium.ErrorHandler.
func (h *heliumIssues) Handle(_ context.Context, err error) {
	var leveled helium.ErrorLeveler
	if errors.As(err, &leveled) && leveled.ErrorLevel() < helium.ErrorLevelError {
		return
	}
	if len(h.issues) >= maxIssues || h.bytes >= maxMessages {
		return
	}
	issue := heliumIssue(h.name, err)
	h.bytes += len(issue.Message)
	h.issues = append(h.issues, issue)
}

// heliumIssue reads place and message out of helium's kinds of error.
func heliumIssue(name string, err error) Issue {
	var invalid *xsd.ValidationError
	if errors.As(err, &invalid) {
		message := fmt.Sprintf("Element '%s': %s", invalid.Element, invalid.Message)
		if invalid.AttributeName != "" {
			message = fmt.Sprintf("Element '%s', attribute '%s': %s", invalid.Element, invalid.AttributeName, invalid.Message)
		}
		return Issue{File: name, Line: invalid.Line, Message: message}
	}
	var parse helium.ErrParseError
	if errors.As(err, &parse) {
		return Issue{File: name, Line: parse.LineNumber, Column: parse.Column, Message: parse.Err.Error()}
	}
	return schemaIssue(name, strings.TrimSpace(err.Error()))
}

// schemaIssue takes apart what helium's schema compiler says, which has only text:
// FILE:LINE: element NAME: Schemas parser error : MESSAGE.
func schemaIssue(name, text string) Issue {
	issue := Issue{File: name, Message: text}
	place, message, found := strings.Cut(text, " : ")
	if !found {
		return issue
	}
	file, rest, found := strings.Cut(place, ":")
	if !found {
		return issue
	}
	number, _, _ := strings.Cut(rest, ":")
	line, err := strconv.Atoi(number)
	if err != nil {
		return issue
	}
	return Issue{File: file, Line: line, Message: message}
}

// fileSet is the file system of one compilation: the given files and nothing else. It remembers what else was asked for.
// It is closed afterwards: helium would otherwise follow the schema locations that an instance document names.
type fileSet struct {
	mu      sync.Mutex
	files   map[string][]byte
	refused []string
	closed  bool
}

func newFileSet(files []File) *fileSet {
	s := &fileSet{files: make(map[string][]byte, len(files))}
	for _, f := range files {
		s.files[f.Name] = f.Data
	}
	return s
}

// Open implements fs.FS.
func (s *fileSet) Open(name string) (fs.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name = path.Clean(filepath.ToSlash(name))
	data, ok := s.files[name]
	if ok && !s.closed {
		return &memoryFile{Reader: bytes.NewReader(data), name: name}, nil
	}
	if !s.closed {
		s.refused = append(s.refused, name)
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

func (s *fileSet) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

// memoryFile is an open file of a fileSet, and its own fs.FileInfo.
type memoryFile struct {
	*bytes.Reader
	name string
}

func (f *memoryFile) Stat() (fs.FileInfo, error) { return f, nil }
func (f *memoryFile) Close() error               { return nil }
func (f *memoryFile) Name() string               { return path.Base(f.name) }
func (f *memoryFile) Mode() fs.FileMode          { return 0o444 }
func (f *memoryFile) ModTime() time.Time         { return time.Time{} }
func (f *memoryFile) IsDir() bool                { return false }
func (f *memoryFile) Sys() any                   { return nil }
