package xquery

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/lestrrat-go/helium"
	"github.com/lestrrat-go/helium/xpath3"
)

// qt3Absent are the optional features that this engine has not, and why. Cases that need one are skipped; cases that need
// its absence are run.
var qt3Absent = map[string]string{
	"schemaImport":                "optional feature: schema import",
	"schemaValidation":            "optional feature: schema validation",
	"schema-location-hint":        "optional feature: schema import",
	"typedData":                   "optional feature: typed data",
	"staticTyping":                "optional feature: static typing",
	"fn-load-xquery-module":       "optional feature: fn:load-xquery-module",
	"fn-transform-XSLT":           "optional feature: fn:transform",
	"fn-transform-XSLT30":         "optional feature: fn:transform",
	"namespace-axis":              "optional feature: namespace axis",
	"xpath-1.0-compatibility":     "optional feature: XPath 1.0 compatibility",
	"remote_http":                 "optional feature: access to the network",
	"directory-as-collection-uri": "optional feature: folders as collections",
}

// qt3Present are the features that this engine has. Cases that need the absence of one are skipped.
var qt3Present = map[string]bool{
	"higherOrderFunctions": true, "serialization": true, "moduleImport": true, "infoset-dtd": true,
	"advanced-uca-fallback": true, "simple-uca-fallback": true, "arbitraryPrecisionDecimal": true,
	"non_empty_sequence_collection": true, "non_unicode_codepoint_collation": true, "olson-timezone": true,
	"fn-format-integer-CLDR": true, "collection-stability": true,
}

// qt3Languages are those of fn:format-date and its like.
var qt3Languages = map[string]bool{"en": true}

// skip is the reason why a case is not run, or empty. A case that only has an environment with a schema is run without
// the schema: most do not depend on it.
func (c *qt3Case) skip() string {
	for _, d := range c.dependencies {
		if reason := d.skip(); reason != "" {
			return reason
		}
	}
	return ""
}

func (d qt3Dependency) skip() string {
	reason := ""
	switch d.kind {
	case "feature":
		reason = qt3Absent[d.value]
		if reason == "" && !qt3Present[d.value] {
			return "unknown feature: " + d.value
		}
	case "language", "default-language":
		if !qt3Languages[d.value] {
			reason = "language: " + d.value
		}
	case "xml-version":
		if !strings.Contains(d.value, "1.0") || strings.Contains(d.value, "1.0:4-") {
			reason = "version of XML: " + d.value
		}
	case "xsd-version":
		if d.value != "1.1" {
			reason = "version of XML Schema: " + d.value
		}
	case "calendar":
		reason = "calendar: " + d.value
	case "unicode-normalization-form":
		if d.value == "FULLY-NORMALIZED" {
			reason = "normalization form: " + d.value
		}
	case "format-integer-sequence":
		if d.value == "\uFBF4" {
			reason = "numbering sequence: U+FBF4"
		}
	case "unicode-version":
		// These cases list the characters that were not assigned, or had no other case, in one version.
		if d.value != unicode.Version {
			reason = "version of Unicode: " + d.value
		}
	case "spec", "limits":
	default:
		return "unknown dependency: " + d.kind
	}
	if d.satisfied {
		return reason
	}
	if reason != "" {
		return ""
	}
	return "needs the absence of: " + d.value
}

// qt3Files are the documents that cases share: each is parsed once.
type qt3Files struct{ parsed sync.Map }

// document is the document of a file. Its base URI is uri.
func (f *qt3Files) document(file, uri string) (*helium.Document, error) {
	parse, _ := f.parsed.LoadOrStore(file+"\x00"+uri, sync.OnceValues(func() (*helium.Document, error) {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		return helium.NewParser().SubstituteEntities(true).MergeCDATA(true).LoadExternalDTD(true).DefaultDTDAttributes(true).
			FS(helium.PermissiveFS()).BaseURI(uri).Parse(context.Background(), text)
	}))
	return parse.(func() (*helium.Document, error))()
}

// qt3Context is the environment of one case, with what it names read.
type qt3Context struct {
	*qt3Case
	files *qt3Files
	// base is the static base URI, empty for an undefined one.
	base      string
	variables map[string]xpath3.Sequence
	// predeclared are the variables that the query does not declare itself.
	predeclared []string
	item        xpath3.Item // the context item, or nil
}

func newQT3Context(ctx context.Context, c *qt3Case, files *qt3Files) (*qt3Context, error) {
	if c.broken != nil {
		return nil, c.broken
	}
	e := &qt3Context{qt3Case: c, files: files, base: c.staticBase(), variables: make(map[string]xpath3.Sequence)}
	for _, s := range c.environment.sources {
		if s.role == "" {
			continue
		}
		doc, err := files.document(s.file, e.uri(s))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.file, err)
		}
		if s.role == "." {
			e.item = xpath3.NodeItem{Node: doc}
			continue
		}
		e.declare(name{local: strings.TrimPrefix(s.role, "$")}, xpath3.ItemSlice{xpath3.NodeItem{Node: doc}}, false)
	}
	for _, p := range c.environment.params {
		value, err := e.xpath(ctx, p.selected, nil)
		if err != nil {
			return nil, fmt.Errorf("the value of $%s: %w", p.name, err)
		}
		e.declare(p.name, value, p.declared)
	}
	if selected := c.environment.contextItem; selected != "" {
		value, err := e.xpath(ctx, selected, nil)
		if err != nil || value == nil || value.Len() != 1 {
			return nil, fmt.Errorf("context item %s: %w", selected, errors.Join(err, errors.New("not one item")))
		}
		e.item = value.Get(0)
	}
	return e, nil
}

// declare sets a variable by the key that Input.Variables has for it.
func (e *qt3Context) declare(n name, value xpath3.Sequence, declared bool) {
	if n.prefix != "" && n.uri == "" {
		n.uri = e.environment.namespaces[n.prefix]
	}
	e.variables[variableKey(n)] = value
	if !declared {
		e.predeclared = append(e.predeclared, variableKey(n))
	}
}

// staticBase is the static base URI: that of the environment, else that of the file in which the query stands.
func (c *qt3Case) staticBase() string {
	switch base := c.environment.baseURI; {
	case base == "#UNDEFINED":
		return ""
	case base != "":
		return base
	case c.queryFile != "":
		return qt3FileURI(c.queryFile)
	}
	return qt3FileURI(c.set.file)
}

func qt3FileURI(file string) string {
	absolute, err := filepath.Abs(file)
	if err != nil {
		absolute = file
	}
	return (&url.URL{Scheme: "file", Path: absolute}).String()
}

// uri is the absolute URI of a source or resource: the one that it is given, else that of its file.
func (e *qt3Context) uri(s qt3Source) string {
	if s.uri == "" {
		return qt3FileURI(s.file)
	}
	base := e.base
	if base == "" {
		base = qt3FileURI(e.environment.file)
	}
	return qt3Resolve(base, s.uri)
}

func qt3Resolve(base, reference string) string {
	b, err := url.Parse(base)
	if err != nil {
		return reference
	}
	r, err := b.Parse(reference)
	if err != nil {
		return reference
	}
	return r.String()
}

var errQT3NotFound = errors.New("the environment has no such resource")

// resolveDocument finds the document of an absolute URI.
func (e *qt3Context) resolveDocument(uri string) (*helium.Document, error) {
	for _, s := range e.allSources() {
		if e.uri(s) == uri || s.uri == uri {
			return e.files.document(s.file, e.uri(s))
		}
	}
	if file := e.fileOf(uri); file != "" {
		return e.files.document(file, uri)
	}
	return nil, errQT3NotFound
}

// resolveText finds the bytes of an absolute URI.
func (e *qt3Context) resolveText(uri string) ([]byte, error) {
	for _, s := range slices.Concat(e.environment.resources, e.allSources()) {
		if e.uri(s) == uri || s.uri == uri {
			return os.ReadFile(s.file)
		}
	}
	if file := e.fileOf(uri); file != "" {
		return os.ReadFile(file)
	}
	return nil, errQT3NotFound
}

// fileOf is the file of the suite that a file URI names.
func (e *qt3Context) fileOf(uri string) string {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "file" || u.RawQuery != "" {
		return ""
	}
	root := filepath.Dir(filepath.Dir(e.set.file)) + string(filepath.Separator)
	info, err := os.Stat(u.Path)
	if err != nil || info.IsDir() || !strings.HasPrefix(filepath.Clean(u.Path), root) {
		return ""
	}
	return u.Path
}

func (e *qt3Context) allSources() []qt3Source {
	all := slices.Clone(e.environment.sources)
	for _, c := range e.environment.collections {
		all = append(all, c.sources...)
	}
	return all
}

// resolveCollection finds a collection by its absolute URI; the empty one is the default collection.
func (e *qt3Context) resolveCollection(ctx context.Context, uri string) (xpath3.Sequence, error) {
	for _, c := range e.environment.collections {
		if c.uri != uri && (c.uri == "" || qt3Resolve(e.base, c.uri) != uri) {
			continue
		}
		all := xpath3.ItemSlice{}
		for _, s := range c.sources {
			doc, err := e.files.document(s.file, e.uri(s))
			if err != nil {
				return nil, err
			}
			all = append(all, xpath3.NodeItem{Node: doc})
		}
		for _, q := range c.queries {
			s, err := e.xpath(ctx, q, nil)
			if err != nil {
				return nil, err
			}
			if s != nil {
				all = append(all, s.Materialize()...)
			}
		}
		return all, nil
	}
	return nil, errQT3NotFound
}

// xpath evaluates an expression of the catalogue by bare helium, so that the engine does not judge itself.
func (e *qt3Context) xpath(ctx context.Context, expr string, variables map[string]xpath3.Sequence) (xpath3.Sequence, error) {
	program, err := xpath3.NewCompiler().Compile(strings.TrimSpace(expr))
	if err != nil {
		return nil, err
	}
	all := make(map[string]string, len(qt3Prefixes)+len(e.environment.namespaces))
	for _, table := range []map[string]string{qt3Prefixes, e.result.namespaces, e.environment.namespaces} {
		for prefix, uri := range table {
			all[prefix] = uri
		}
	}
	if e.environment.elements != "" {
		all[""] = e.environment.elements
	}
	evaluator := xpath3.NewEvaluator(xpath3.DefaultEvaluatorOptions).Namespaces(all).Variables(variables).
		ImplicitTimezone(time.UTC).URIResolver(qt3Resolver{e}).BaseURI(e.base)
	if variables == nil {
		evaluator = evaluator.Variables(e.variables)
	}
	// Some conditions start from the root of the result.
	var focus helium.Node
	if result := variables["result"]; result != nil && result.Len() == 1 {
		if n, ok := result.Get(0).(xpath3.NodeItem); ok {
			focus = n.Node
		}
	}
	result, err := evaluator.Evaluate(ctx, program, focus)
	if err != nil {
		return nil, err
	}
	return result.Sequence(), nil
}

var qt3Prefixes = map[string]string{
	"xs": "http://www.w3.org/2001/XMLSchema", "xsi": "http://www.w3.org/2001/XMLSchema-instance",
	"fn": xpath3.NSFn, "math": xpath3.NSFn + "/math", "map": xpath3.NSFn + "/map", "array": xpath3.NSFn + "/array",
	"err": "http://www.w3.org/2005/xqt-errors", "local": namespaceLocal, "xml": namespaceXML,
	"output": "http://www.w3.org/2010/xslt-xquery-serialization", "j": xpath3.NSFn,
}
