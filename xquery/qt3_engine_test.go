package xquery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"time"

	"github.com/lestrrat-go/helium"
	"github.com/lestrrat-go/helium/xpath3"
)

// This file is the seam between the runner and the engine: everything that the runner needs of it stands here.

// qt3Timeout is the time that a case may take. A busy machine gives those that it does not suffice for a second try.
const qt3Timeout = 30 * time.Second

// qt3Limits leave room for the suite's large cases; the time limit stays.
var qt3Limits = Limits{Steps: 500_000_000, Depth: 4096, Constructed: 1 << 30, Time: qt3Timeout}

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
	in, err := e.input()
	if err != nil {
		return qt3Answer{err: err, fault: "environment"}
	}
	result, err := query.Evaluate(ctx, in)
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
	}
}

// input is the dynamic context of the case.
func (e *qt3Context) input() (Input, error) {
	in := Input{Variables: make(map[string]Sequence, len(e.variables)), Limits: qt3Limits}
	for key, value := range e.variables {
		in.Variables[key] = wrap(value)
	}
	switch item := e.item.(type) {
	case nil:
	case xpath3.NodeItem:
		in.Context = item.Node
	default:
		return in, errors.New("a context item that is no node")
	}
	return in, nil
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
		a.code = e.Code
	}
	return a
}

// serialize is the result as the output declarations of the query want it.
func (e *qt3Context) serialize(ctx context.Context, a qt3Answer) (string, error) {
	return e.serializeBy(ctx, a.items, `serialize($result)`)
}

// serializeXML is the result as XML, without regard to output declarations.
func (e *qt3Context) serializeXML(ctx context.Context, items xpath3.Sequence) (string, error) {
	return e.serializeBy(ctx, items,
		`serialize($result, map{'method': 'xml', 'indent': false(), 'omit-xml-declaration': true()})`)
}

func (e *qt3Context) serializeBy(ctx context.Context, items xpath3.Sequence, expr string) (string, error) {
	s, err := e.xpath(ctx, expr, map[string]xpath3.Sequence{"result": items})
	if err != nil {
		return "", err
	}
	return qt3Text(s), nil
}

// qt3Resolver gives helium what the environment has.
type qt3Resolver struct{ *qt3Context }

// ResolveURI opens a resource.
func (r qt3Resolver) ResolveURI(uri string) (io.ReadCloser, error) {
	text, _, err := r.resolveText(uri)
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
