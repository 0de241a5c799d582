//go:build cgo && libxml2

package xsd

/*
#cgo pkg-config: libxml-2.0
#cgo noescape clacks_validate
#cgo nocallback clacks_validate
#cgo nocallback clacks_compile
#include <stdlib.h>
#include "shim.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"unsafe"
)

// Engine names the implementation in use: "libxml2" or "helium".
func Engine() string { return "libxml2" }

func compileEngine(files []File) (engine, []Issue, error) { return compileLibxml2(files) }

// libxml2Schema owns a C schema, which is freed when the Go value is collected. libxml2 only reads a compiled schema while
// it validates; each validation has contexts of its own.
type libxml2Schema struct{ pointer C.xmlSchemaPtr }

var (
	initLibxml2 = sync.OnceFunc(func() { C.clacks_init() })
	// compiling keeps compilations apart: they are rare, and libxml2 promises less about them than about validations.
	compiling sync.Mutex
)

func compileLibxml2(files []File) (engine, []Issue, error) {
	initLibxml2()
	compiling.Lock()
	defer compiling.Unlock()

	list := (*C.clacks_file)(C.calloc(C.size_t(len(files)), C.size_t(unsafe.Sizeof(C.clacks_file{}))))
	if list == nil {
		return nil, nil, errors.New("libxml2: out of memory")
	}
	defer C.free(unsafe.Pointer(list))
	for i, f := range files {
		c := &unsafe.Slice(list, len(files))[i]
		c.name, c.data, c.size = C.CString(f.Name), (*C.char)(C.CBytes(f.Data)), C.int(len(f.Data))
		defer C.free(unsafe.Pointer(c.name))
		defer C.free(unsafe.Pointer(c.data))
	}
	found := newIssues()
	pointer := C.clacks_compile(list, C.int(len(files)), &found)
	issues, err := takeIssues(&found, files[0].Name)
	switch {
	case err != nil:
		C.xmlSchemaFree(pointer)
		return nil, nil, err
	case len(issues) > 0:
		return nil, issues, nil
	case pointer == nil:
		return nil, nil, errors.New("libxml2: the schema did not compile, and no reason was given")
	}
	s := &libxml2Schema{pointer: pointer}
	runtime.AddCleanup(s, func(p C.xmlSchemaPtr) { C.xmlSchemaFree(p) }, pointer)
	return s, nil, nil
}

func (s *libxml2Schema) validate(name string, document []byte) ([]Issue, error) {
	if len(document) == 0 {
		return []Issue{{File: name, Line: 1, Column: 1, Message: "the document is empty"}}, nil
	}
	found := newIssues()
	code := C.clacks_validate(s.pointer, (*C.char)(unsafe.Pointer(unsafe.SliceData(document))), C.int(len(document)), &found)
	runtime.KeepAlive(s)
	issues, err := takeIssues(&found, name)
	if err == nil && code != 0 {
		err = fmt.Errorf("libxml2: validation failed with code %d", int(code))
	}
	return issues, err
}

func newIssues() C.clacks_issues {
	return C.clacks_issues{max_count: maxIssues, max_bytes: maxMessages}
}

// takeIssues copies the gathered issues to Go and frees them.
func takeIssues(found *C.clacks_issues, name string) ([]Issue, error) {
	if found.items == nil {
		if found.no_memory != 0 {
			return nil, errors.New("libxml2: out of memory")
		}
		return nil, nil
	}
	defer C.clacks_issues_free(found)
	if found.no_memory != 0 {
		return nil, errors.New("libxml2: out of memory")
	}
	issues := make([]Issue, 0, int(found.count))
	for _, c := range unsafe.Slice(found.items, int(found.count)) {
		issue := Issue{File: name, Line: int(c.line), Column: int(c.column), Message: C.GoString(c.message)}
		if c.file != nil {
			issue.File = C.GoString(c.file)
		}
		issues = append(issues, issue)
	}
	return issues, nil
}
