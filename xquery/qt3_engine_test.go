package xquery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/lestrrat-go/helium"
	"github.com/lestrrat-go/helium/xpath3"
)

// This file is the seam between the runner and the engine: everything that the runner needs of it stands here.

// qt3Timeout is the time that a case may take. A busy machine gives those that it does not suffice for a second try.
const qt3Timeout = 3 * time.Minute

// qt3Limits leave room for the suite's large cases; the time limit stays.
var qt3Limits = Limits{Steps: 500_000_000, Depth: 8192, Constructed: 1 << 30, Time: qt3Timeout}

// qt3Answer is what the engine made of a query: a sequence or an error.
type qt3Answer struct {
	query *Query
	items xpath3.Sequence
	code  string // of the error
	err   error
	// fault says that the error is none of XQuery's, so that no expectation of an error may accept it: "panic", "limit",
	// "timeout", "unsupported", or "environment" when the case could not be set up.
	fault string
}

// answer compiles and evaluates the query of a case.
func (e *qt3Context) answer(ctx context.Context) (a qt3Answer) {
	defer func() {
		if broken := recover(); broken != nil {
			a = qt3Answer{err: fmt.Errorf("panic: %v\n%s", broken, debug.Stack()), fault: "panic"}
		}
	}()
	query, err := Compile(e.query, e.options())
	if err != nil {
		return qt3Failed(err)
	}
	query.Reads() // must stand any query
	result, err := query.Evaluate(ctx, e.input())
	if err != nil {
		return qt3Failed(err)
	}
	items := inner(result)
	if items == nil {
		items = xpath3.ItemSlice{}
	}
	return qt3Answer{query: query, items: items}
}

// options are the static context of the case.
func (e *qt3Context) options() Options {
	return Options{
		Namespaces:       e.environment.namespaces,
		ElementNamespace: e.environment.elements,
		Variables:        e.predeclared,
		BaseURI:          e.base,
		Collation:        e.environment.collation,
		Modules:          e.resolveModules,
		Parameters:       e.resolveText,
		DecimalFormats:   e.decimalFormats(),
	}
}

func (e *qt3Context) decimalFormats() map[string]map[string]string {
	formats := make(map[string]map[string]string)
	for _, f := range e.environment.formats {
		formats[variableKey(f.name)] = f.properties
	}
	return formats
}

// resolveModules finds the modules of a namespace: those at the locations, if the catalogue gives locations.
func (e *qt3Context) resolveModules(namespace string, locations []string) ([]Module, error) {
	var found []Module
	for _, m := range e.modules {
		if m.uri != namespace || m.location != "" && len(locations) > 0 && !slices.Contains(locations, m.location) {
			continue
		}
		text, err := os.ReadFile(m.file)
		if err != nil {
			return nil, err
		}
		found = append(found, Module{Source: string(text), File: m.file})
	}
	return found, nil
}

// input is the dynamic context of the case.
func (e *qt3Context) input() Input {
	in := Input{
		Variables:   make(map[string]Sequence, len(e.variables)),
		Limits:      qt3Limits,
		Documents:   e.documents,
		Collections: e.collections,
		Texts:       e.texts,
	}
	for key, value := range e.variables {
		in.Variables[key] = wrap(value)
	}
	if e.item != nil {
		in.Context = e.item
	}
	return in
}

func (e *qt3Context) documents(_ context.Context, uri string) (*Document, error) {
	doc, err := e.resolveDocument(uri)
	if err != nil {
		return nil, err
	}
	return &Document{doc: doc}, nil
}

func (e *qt3Context) texts(_ context.Context, uri string) ([]byte, error) {
	return e.resolveText(uri)
}

func (e *qt3Context) collections(ctx context.Context, uri string) (Sequence, error) {
	s, err := e.resolveCollection(ctx, uri)
	if err != nil {
		return nil, err
	}
	return wrap(s), nil
}

// qt3Failed sorts an error of the engine.
func qt3Failed(err error) qt3Answer {
	a := qt3Answer{err: err}
	var e *Error
	switch {
	case !errors.As(err, &e), errors.Is(err, ErrLimit) && strings.Contains(e.Message, "takes longer"):
		a.fault = "timeout"
	case errors.Is(err, ErrLimit):
		a.fault = "limit"
	case strings.Contains(e.Message, "failed unexpectedly"):
		a.fault = "panic"
	case e.Code == codeSyntax && strings.Contains(e.Message, "is not supported"):
		a.fault = "unsupported"
	default:
		a.code = e.Name()
	}
	return a
}

// serialize is the result as the output declarations of the query want it.
func (e *qt3Context) serialize(a qt3Answer) (string, error) {
	parameters := map[string]string{"omit-xml-declaration": "no"}
	maps.Copy(parameters, a.query.Output())
	return serializeQT3(a.items, parameters)
}

// serializeXML is the result as XML, without regard to output declarations.
func (e *qt3Context) serializeXML(items xpath3.Sequence) (string, error) {
	return serializeQT3(items, map[string]string{"method": "xml", "indent": "no", "omit-xml-declaration": "yes"})
}

func serializeQT3(items xpath3.Sequence, parameters map[string]string) (string, error) {
	var b strings.Builder
	err := Serialize(&b, wrap(items), parameters)
	return b.String(), err
}

// qt3Resolver gives helium what the environment has.
type qt3Resolver struct{ *qt3Context }

// ResolveURI opens a resource.
func (r qt3Resolver) ResolveURI(uri string) (io.ReadCloser, error) {
	text, err := r.resolveText(uri)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(text)), nil
}

// qt3Text is the text of a sequence of one string.
func qt3Text(s xpath3.Sequence) string {
	if s == nil || s.Len() != 1 {
		return ""
	}
	a, ok := s.Get(0).(xpath3.AtomicValue)
	if !ok {
		return ""
	}
	text, err := xpath3.AtomicToString(a)
	if err != nil {
		return ""
	}
	return text
}

// qt3Document parses the text of an expected or serialized result, which need not have a root element.
func qt3Document(ctx context.Context, text string) (*helium.Element, error) {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "<?xml ") {
		if _, after, found := strings.Cut(text, "?>"); found {
			text = strings.TrimSpace(after)
		}
	}
	doc, err := helium.NewParser().SubstituteEntities(true).MergeCDATA(true).
		Parse(ctx, []byte("<qt3>"+text+"</qt3>"))
	if err != nil {
		return nil, err
	}
	return doc.DocumentElement(), nil
}
