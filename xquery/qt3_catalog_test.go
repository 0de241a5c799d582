package xquery

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/lestrrat-go/helium"
)

// qt3Suite is the catalogue of the W3C suite: what its files say, with nothing decided about it.
type qt3Suite struct {
	root  string
	total int // cases of the suite, also of XPath alone
	sets  []*qt3Set
}

type qt3Set struct {
	name  string
	file  string
	cases []*qt3Case // those that apply to XQuery 3.1
}

type qt3Case struct {
	set          *qt3Set
	name         string
	dependencies []qt3Dependency
	environment  *qt3Environment
	query        string
	queryFile    string // absolute; empty for a query that stands in the set
	modules      []qt3Module
	result       *qt3Assertion
	broken       error // why the case could not be read
}

func (c *qt3Case) id() string { return c.set.name + "/" + c.name }

// qt3Dependency is something that an implementation has, or (satisfied is false) has not.
type qt3Dependency struct {
	kind, value string
	satisfied   bool
}

type qt3Module struct{ uri, location, file string }

// qt3Environment is the static and dynamic context of a case. Files are absolute, URIs as they stand in the catalogue.
type qt3Environment struct {
	file        string // that it stands in
	namespaces  map[string]string
	elements    string // the default element namespace
	sources     []qt3Source
	params      []qt3Param
	collections []qt3Collection
	resources   []qt3Source
	formats     []qt3DecimalFormat
	collation   string // the default collation
	baseURI     string
	contextItem string
}

// qt3Source is a document (with a role: "." or "$name") or a text.
type qt3Source struct{ role, file, uri string }

type qt3Param struct {
	name     name
	selected string
	declared bool
}

type qt3Collection struct {
	uri     string
	sources []qt3Source
	queries []string
}

// qt3DecimalFormat has the properties by their attribute names; its name is expanded, and empty for the default.
type qt3DecimalFormat struct {
	name       name
	properties map[string]string
}

// qt3Assertion is what a case expects, a tree of conditions.
type qt3Assertion struct {
	kind, text, file, code, flags   string
	normalizeSpace, ignoresPrefixes bool
	namespaces                      map[string]string
	parts                           []*qt3Assertion
}

// qt3Applies matches the specifications of which one is XQuery 3.1.
var qt3Applies = regexp.MustCompile(`\bXQ(10\+|30\+|31\b)`)

func loadQT3(root string) (*qt3Suite, error) {
	catalogue := filepath.Join(root, "catalog.xml")
	top, err := parseQT3File(catalogue)
	if err != nil {
		return nil, err
	}
	defer top.OwnerDocument().Free()
	shared := make(map[string]*qt3Environment)
	for _, e := range qt3Children(top, "environment") {
		shared[qt3Attr(e, "name")] = readQT3Environment(e, catalogue)
	}
	suite := &qt3Suite{root: root}
	for _, e := range qt3Children(top, "test-set") {
		set, total, err := readQT3Set(filepath.Join(root, qt3Attr(e, "file")), shared)
		if err != nil {
			return nil, err
		}
		suite.total += total
		suite.sets = append(suite.sets, set)
	}
	return suite, nil
}

func parseQT3File(file string) (*helium.Element, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	doc, err := helium.NewParser().SubstituteEntities(true).MergeCDATA(true).Parse(context.Background(), text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return doc.DocumentElement(), nil
}

func readQT3Set(file string, shared map[string]*qt3Environment) (*qt3Set, int, error) {
	top, err := parseQT3File(file)
	if err != nil {
		return nil, 0, err
	}
	defer top.OwnerDocument().Free()
	set := &qt3Set{name: qt3Attr(top, "name"), file: file}
	own := maps.Clone(shared)
	for _, e := range qt3Children(top, "environment") {
		own[qt3Attr(e, "name")] = readQT3Environment(e, file)
	}
	inherited := readQT3Dependencies(top)
	cases := qt3Children(top, "test-case")
	names := make(map[string]bool, len(cases)) // a second outcome would hide the first
	for _, e := range cases {
		c := &qt3Case{set: set, name: qt3Attr(e, "name")}
		c.dependencies = joinQT3Dependencies(readQT3Dependencies(e), inherited)
		if !c.applies() {
			continue
		}
		c.read(e, own)
		if names[c.name] {
			return nil, 0, fmt.Errorf("%s: the case %s stands there twice", file, c.name)
		}
		names[c.name] = true
		set.cases = append(set.cases, c)
	}
	return set, len(cases), nil
}

// joinQT3Dependencies are those of a case and its set. The specifications of a case replace those of its set.
func joinQT3Dependencies(own, inherited []qt3Dependency) []qt3Dependency {
	isSpec := func(d qt3Dependency) bool { return d.kind == "spec" }
	if slices.ContainsFunc(own, isSpec) {
		inherited = slices.DeleteFunc(slices.Clone(inherited), isSpec)
	}
	return slices.Concat(own, inherited)
}

// applies says whether the case is one for XQuery 3.1.
func (c *qt3Case) applies() bool {
	for _, d := range c.dependencies {
		if d.kind == "spec" && !qt3Applies.MatchString(d.value) {
			return false
		}
	}
	return true
}

func (c *qt3Case) read(e *helium.Element, environments map[string]*qt3Environment) {
	folder := filepath.Dir(c.set.file)
	c.environment = &qt3Environment{file: c.set.file}
	for _, n := range qt3Children(e, "environment") {
		ref := qt3Attr(n, "ref")
		if ref == "" {
			c.environment = readQT3Environment(n, c.set.file)
			continue
		}
		if known := environments[ref]; known != nil {
			c.environment = known
		} else {
			c.broken = fmt.Errorf("there is no environment %s", ref)
		}
	}
	for _, n := range qt3Children(e, "module") {
		c.modules = append(c.modules, qt3Module{
			uri: qt3Attr(n, "uri"), location: qt3Attr(n, "location"), file: filepath.Join(folder, qt3Attr(n, "file")),
		})
	}
	for _, n := range qt3Children(e, "test") {
		c.query = string(n.Content())
		if file := qt3Attr(n, "file"); file != "" {
			c.queryFile = filepath.Join(folder, file)
			text, err := os.ReadFile(c.queryFile)
			c.query, c.broken = string(text), errors.Join(c.broken, err)
		}
	}
	expected := 0
	for _, n := range qt3Children(e, "result") {
		for child := range helium.ChildElements(n) {
			c.result = readQT3Assertion(child, folder, qt3Namespaces(child))
			expected++
		}
	}
	if expected != 1 {
		c.broken = errors.Join(c.broken, fmt.Errorf("the case expects %d results, not one", expected))
	}
}

func readQT3Dependencies(e *helium.Element) []qt3Dependency {
	var all []qt3Dependency
	for _, n := range qt3Children(e, "dependency") {
		all = append(all, qt3Dependency{
			kind: qt3Attr(n, "type"), value: qt3Attr(n, "value"), satisfied: qt3Attr(n, "satisfied") != "false",
		})
	}
	return all
}

func readQT3Environment(e *helium.Element, file string) *qt3Environment {
	env := &qt3Environment{file: file, namespaces: make(map[string]string)}
	for n := range helium.ChildElements(e) {
		switch n.LocalName() {
		case "namespace":
			if prefix := qt3Attr(n, "prefix"); prefix != "" {
				env.namespaces[prefix] = qt3Attr(n, "uri")
			} else {
				env.elements = qt3Attr(n, "uri")
			}
		case "source":
			env.sources = append(env.sources, readQT3Source(n, file))
		case "resource":
			env.resources = append(env.resources, readQT3Source(n, file))
		case "param":
			env.params = append(env.params, qt3Param{
				name: qt3Name(n, qt3Attr(n, "name")), selected: qt3Attr(n, "select"), declared: qt3Attr(n, "declared") == "true",
			})
		case "collection":
			env.collections = append(env.collections, readQT3Collection(n, file))
		case "decimal-format":
			env.formats = append(env.formats, readQT3DecimalFormat(n))
		case "collation":
			if qt3Attr(n, "default") == "true" {
				env.collation = qt3Attr(n, "uri")
			}
		case "static-base-uri":
			env.baseURI = qt3Attr(n, "uri")
		case "context-item":
			env.contextItem = qt3Attr(n, "select")
		}
	}
	return env
}

func readQT3Source(n *helium.Element, file string) qt3Source {
	return qt3Source{
		role: qt3Attr(n, "role"), file: filepath.Join(filepath.Dir(file), qt3Attr(n, "file")), uri: qt3Attr(n, "uri"),
	}
}

func readQT3Collection(e *helium.Element, file string) qt3Collection {
	c := qt3Collection{uri: qt3Attr(e, "uri")}
	for n := range helium.ChildElements(e) {
		switch n.LocalName() {
		case "source":
			c.sources = append(c.sources, readQT3Source(n, file))
		case "query":
			c.queries = append(c.queries, string(n.Content()))
		}
	}
	return c
}

func readQT3DecimalFormat(n *helium.Element) qt3DecimalFormat {
	f := qt3DecimalFormat{properties: make(map[string]string)}
	for _, a := range n.Attributes() {
		if a.Name() != "name" {
			f.properties[a.Name()] = a.Value()
			continue
		}
		f.name = qt3Name(n, a.Value())
	}
	return f
}

func readQT3Assertion(e *helium.Element, folder string, namespaces map[string]string) *qt3Assertion {
	a := &qt3Assertion{
		kind: e.LocalName(), text: string(e.Content()), code: qt3Attr(e, "code"), flags: qt3Attr(e, "flags"),
		normalizeSpace:  qt3Attr(e, "normalize-space") == "true",
		ignoresPrefixes: qt3Attr(e, "ignore-prefixes") == "true", namespaces: namespaces,
	}
	if file := qt3Attr(e, "file"); file != "" {
		a.file = filepath.Join(folder, file)
	}
	for n := range helium.ChildElements(e) {
		inner := namespaces
		if len(n.Namespaces()) > 0 {
			inner = qt3Namespaces(n)
		}
		a.parts = append(a.parts, readQT3Assertion(n, folder, inner))
	}
	return a
}

// qt3Namespaces are the prefixes in scope of an element of the catalogue.
func qt3Namespaces(e *helium.Element) map[string]string {
	all := make(map[string]string)
	for n := helium.Node(e); n != nil; n = n.Parent() {
		parent, ok := n.(*helium.Element)
		if !ok {
			break
		}
		for _, ns := range parent.Namespaces() {
			if _, inner := all[ns.Prefix()]; !inner && ns.Prefix() != "" {
				all[ns.Prefix()] = ns.URI()
			}
		}
	}
	return all
}

// qt3Name expands a name that an element of the catalogue holds.
func qt3Name(e *helium.Element, written string) name {
	prefix, local, found := strings.Cut(written, ":")
	if !found {
		return name{local: written}
	}
	return name{prefix: prefix, uri: qt3Namespaces(e)[prefix], local: local}
}

func qt3Children(e *helium.Element, name string) []*helium.Element {
	var all []*helium.Element
	for n := range helium.ChildElements(e) {
		if n.LocalName() == name {
			all = append(all, n)
		}
	}
	return all
}

func qt3Attr(e *helium.Element, name string) string {
	value, _ := e.GetAttribute(name)
	return value
}
