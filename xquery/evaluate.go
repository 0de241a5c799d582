package xquery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lestrrat-go/helium"
	"github.com/lestrrat-go/helium/xpath3"
)

// Input is what an evaluation works on.
type Input struct {
	// Context is the context item: a *Document, a helium.Node, any other value that Of takes and makes one item of, or nil
	// for none.
	Context any
	// Variables are the values of the external variables, by local name; by "Q{uri}local" if they are in a namespace.
	Variables map[string]Sequence
	// Typed are the documents of the context item and of the variables whose elements have the types that Builder.Typed
	// gave them. The values of all other nodes are untyped.
	Typed  []*Document
	Limits Limits
	Now    time.Time // the clock of fn:current-dateTime; zero for the real one

	// Documents finds a document by its absolute URI, for fn:doc; it is asked once an evaluation for each. Collections
	// finds a collection, that without a URI is the default one. Texts reads a text, for fn:unparsed-text and fn:json-doc.
	// All may be nil: then the functions raise their errors. The context ends with the evaluation. Relative URIs are
	// resolved against the base URI before; without one, they arrive as they are.
	Documents   func(ctx context.Context, uri string) (*Document, error)
	Collections func(ctx context.Context, uri string) (Sequence, error)
	Texts       func(ctx context.Context, uri string) ([]byte, error)

	emit func(*budget, xpath3.Item) error // takes the items of the result: see Query.Each
}

// contextNode is the node that the input gives as the context item, or the item that is no node.
func (q *Query) contextNode(item any) (node helium.Node, other xpath3.Item, err error) {
	switch n := item.(type) {
	case nil:
		return nil, nil, nil
	case *Document:
		if n == nil || n.doc == nil {
			return nil, nil, nil
		}
		return n.doc, nil, nil
	case helium.Node:
		node = n
	default:
		if node, other, err = contextItemOf(item); err != nil {
			return nil, nil, err
		}
	}
	if q.options.DocumentContext && (node == nil || node.Type() != helium.DocumentNode) {
		return nil, nil, xpathError(codeType, "the context item must be a document")
	}
	return node, other, nil
}

// contextItemOf is the one item that a value is as a sequence.
func contextItemOf(value any) (node helium.Node, other xpath3.Item, err error) {
	defer func() {
		if recover() != nil {
			err = xpathError(codeType, "a context item cannot be a %T", value)
		}
	}()
	s := inner(Of(value))
	if s.Len() != 1 {
		return nil, nil, xpathError(codeType, "the context item must be one item, not %d", s.Len())
	}
	if n, ok := s.Get(0).(xpath3.NodeItem); ok {
		return n.Node, nil, nil
	}
	return nil, s.Get(0), nil
}

// Evaluate runs the query. Its error is an *Error, or the context's. The result may hold nodes of the input's document,
// so it must not be used after that was freed.
func (q *Query) Evaluate(ctx context.Context, in Input) (Sequence, error) {
	s, err := q.evaluate(ctx, &in)
	if err != nil {
		return nil, err
	}
	return wrap(s), nil
}

// Matches is the effective boolean value of the query's result (XQuery 3.1, section 2.4.3).
func (q *Query) Matches(ctx context.Context, in Input) (bool, error) {
	s, err := q.evaluate(ctx, &in)
	if err != nil {
		return false, err
	}
	if s == nil {
		return false, nil
	}
	matches, err := xpath3.EBV(s)
	if err != nil {
		return false, q.located(err, q.module.body.at())
	}
	return matches, nil
}

func (q *Query) evaluate(ctx context.Context, in *Input) (xpath3.Sequence, error) {
	node, other, err := q.contextNode(in.Context)
	if err != nil {
		return nil, q.located(err, 0)
	}
	s, steps, err := q.run(ctx, q.program, node, other, in)
	if err == nil {
		return s, nil
	}
	if isContextError(err) && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, q.trace(ctx, node, other, in, steps, err)
}

// run evaluates a compiled program once.
func (q *Query) run(
	ctx context.Context, program *xpath3.Expression, node helium.Node, other xpath3.Item, in *Input,
) (s xpath3.Sequence, b evaluated, err error) {
	if err := ctx.Err(); err != nil {
		return nil, b, err
	}
	w := q.take(in)
	w.budget.begin(ctx)
	defer func() {
		b.steps, b.took = w.budget.steps, time.Since(w.budget.start)
		if n := len(w.budget.places); n > 0 {
			b.place, b.placed = w.budget.places[n-1], true
		}
		if broken := recover(); broken != nil {
			// The worker is in an unknown state and is not used again.
			w.budget.finish()
			s, err = nil, fmt.Errorf("xquery: the evaluation failed unexpectedly: %v", broken)
			return
		}
		q.release(w)
	}()
	if node != nil {
		w.budget.focus = xpath3.NodeItem{Node: node}
	} else if other != nil {
		w.budget.focus = other
		w.state.SetContextItem(other)
	}
	result, err := program.EvaluateReuse(&w.budget, w.state, node)
	if err != nil {
		return nil, b, w.budget.limit(err)
	}
	if w.budget.failed != nil {
		return nil, b, w.budget.failed
	}
	s = result.Sequence()
	if q.identity && s != nil {
		s = xpath3.ItemSlice{s.Get(0)}
	}
	s, err = w.budget.bounded(s)
	return s, b, err
}

// evaluated is what a run leaves besides its result: what it took, and the innermost expression in a traced one.
type evaluated struct {
	steps  int
	took   time.Duration
	place  int
	placed bool
}

// Bounds of the evaluations that are worth a second one to find the place of an error.
const (
	maxTracedSteps = 100_000
	maxTracedTime  = 100 * time.Millisecond
)

// trace finds where an error arose. helium's tree has no places, so the query is evaluated again in a form in which
// every expression announces itself; evaluations without an error pay nothing for it. A query with effects is not
// evaluated again.
func (q *Query) trace(
	ctx context.Context, node helium.Node, other xpath3.Item, in *Input, first evaluated, err error,
) error {
	place := q.module.body.at()
	if len(q.effects) > 0 || first.steps > maxTracedSteps || first.took > maxTracedTime || errors.Is(err, ErrLimit) {
		return q.located(err, place)
	}
	program := q.tracer()
	if program == nil {
		return q.located(err, place)
	}
	_, second, again := q.run(ctx, program, node, other, in)
	if again == nil || !second.placed {
		return q.located(err, place)
	}
	code, _ := classify(err)
	same, _ := classify(again)
	if code == codeNoFocus && (same == codePathNotNode || same == codeType) {
		return q.located(xpathError("XPTY0020", "a path cannot start from an item that is no node"), second.place)
	}
	if same != code {
		return q.located(err, place)
	}
	return q.located(err, second.place)
}

// located turns an error of an evaluation into an *Error.
func (q *Query) located(err error, at int) *Error {
	file, line, column := q.origin.at(at)
	e := &Error{File: file, Line: line, Column: column, Near: q.origin.near(at)}
	var f *failure
	if errors.As(err, &f) {
		e.Code, e.Message, e.Err = f.code, f.message, f.err
		return e
	}
	e.Code, e.Message = classify(err)
	e.Space = spaceOf(err)
	e.Err = cause(err)
	return e
}

// cause is the error of an external function, which callers may want to recognize; helium's own are no one's business.
func cause(err error) error {
	var external *externalError
	if errors.As(err, &external) {
		return external.cause
	}
	return nil
}
