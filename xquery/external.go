package xquery

import (
	"context"
	"errors"
	"fmt"

	"github.com/lestrrat-go/helium/xpath3"
)

// Function is an external function. Its arguments are not converted: a node arrives as a node.
type Function struct {
	// Namespace and Name are what a query calls it by. A function in no namespace is called without a prefix, unless a
	// standard function of that name takes as many arguments.
	Namespace, Name string
	Arity           int
	// Effect marks a function that must not be used in a pure query (a generator of numbers); Query.Effects lists the used.
	Effect bool
	Doc    string
	// Call gets one sequence an argument and must not keep them. Its context ends with the evaluation. An error that is an
	// *Error keeps its code and can be caught by the query; any other becomes FOER0000. Call must be safe for concurrent
	// use, and unless it has an effect it may be called once more to find the place of an error.
	Call func(ctx context.Context, args []Sequence) (Sequence, error)
}

// externalFunction is what helium calls for the external functions of one name.
type externalFunction struct {
	byArity     map[int]*Function
	least, most int
}

// with is the function of this name with one more arity.
func (e *externalFunction) with(f *Function) *externalFunction {
	joined := &externalFunction{byArity: map[int]*Function{f.Arity: f}, least: f.Arity, most: f.Arity}
	if e == nil {
		return joined
	}
	for arity, other := range e.byArity {
		joined.byArity[arity] = other
	}
	joined.least, joined.most = min(e.least, f.Arity), max(e.most, f.Arity)
	return joined
}

func (e *externalFunction) MinArity() int { return e.least }
func (e *externalFunction) MaxArity() int { return e.most }

func (e *externalFunction) Call(ctx context.Context, args []xpath3.Sequence) (xpath3.Sequence, error) {
	b := budgetOf(ctx)
	if b == nil {
		return nil, errOutside
	}
	if err := b.check(); err != nil {
		return nil, err
	}
	f := e.byArity[len(args)]
	if f == nil || f.Call == nil {
		return nil, xpathError(codeFunction, "there is no function %s with %d arguments", "external", len(args))
	}
	values := make([]Sequence, len(args))
	for i, a := range args {
		values[i] = wrap(a)
	}
	result, err := f.Call(b.outer(), values)
	if err != nil {
		return nil, b.externalError(f, err)
	}
	s := inner(result)
	return s, b.charge(s)
}

// externalError is an error of an external function: helium and the query see its code, callers its cause.
type externalError struct {
	shown *xpath3.XPathError
	cause error
}

func (e *externalError) Error() string   { return e.shown.Error() }
func (e *externalError) Unwrap() []error { return []error{e.shown, e.cause} }

func (b *budget) externalError(f *Function, err error) error {
	if b.parent.Err() != nil {
		return b.parent.Err()
	}
	if late := b.check(); late != nil {
		return late
	}
	code, message := codeExternal, fmt.Sprintf("%s: %s", f.Name, err)
	var e *Error
	if errors.As(err, &e) {
		code, message = e.Code, e.Message
	}
	return &externalError{shown: &xpath3.XPathError{Code: code, Message: message}, cause: err}
}
