package xquery

import (
	"context"
	"errors"
	"time"

	"github.com/lestrrat-go/helium"
	"github.com/lestrrat-go/helium/xpath3"
)

// Limits bound one evaluation. Zero fields mean DefaultLimits' values. What exceeds one ends with an *Error whose code is
// XPDY0130 and whose chain holds ErrLimit; no try/catch of the query can prevent that.
type Limits struct {
	Steps       int           // evaluation steps: nodes looked at, items iterated over, functions called
	Depth       int           // functions that call each other
	Constructed int           // bytes of nodes and strings constructed, also of those already dropped again
	Time        time.Duration // wall clock, besides the context's deadline
}

// DefaultLimits bound an evaluation whose Input sets none.
var DefaultLimits = Limits{Steps: 1_000_000, Depth: 512, Constructed: 16 << 20, Time: 5 * time.Second}

// MaxSource is the size of a query in bytes above which Compile refuses it.
const MaxSource = 256 << 10

// withDefaults replaces what is not set.
func (l Limits) withDefaults() Limits {
	if l.Steps <= 0 {
		l.Steps = DefaultLimits.Steps
	}
	if l.Depth <= 0 {
		l.Depth = DefaultLimits.Depth
	}
	if l.Constructed <= 0 {
		l.Constructed = DefaultLimits.Constructed
	}
	if l.Time <= 0 {
		l.Time = DefaultLimits.Time
	}
	return l
}

// budget is the context that helium evaluates in. helium asks a context for its error at every node and item, so this
// is where steps are counted; the clock and the caller's context are looked at now and then. A budget belongs to one
// goroutine: what runs beside it gets outer.
type budget struct {
	worker      *worker
	parent      context.Context
	limits      Limits
	start       time.Time
	steps       int
	depth       int
	constructed int
	failed      error
	places      []int
	grown       bool // the query made a tree: see worker
	built       bool // the query constructed nodes

	query   *Query
	focus   xpath3.Item // the context item of the query
	defined []xpath3.FunctionItem
	values  []globalValue
	owner   *helium.Document // of the constructed nodes with the base URI base
	owners  map[string]*helium.Document
	base    string
	raised  *raisedError
	input   *Input
	read    map[string]*Document // by fn:doc
	joins   map[int]*joinIndex
	nested  nestings
	ids     map[*helium.Document]map[string]elementByID // see idSearch

	functions []context.CancelFunc // ends outer
	external  context.Context
}

// checkEvery is the number of steps between two looks at the clock; a power of two.
const checkEvery = 64

func (b *budget) begin(parent context.Context) {
	b.parent = parent
	b.start = time.Now()
}

// finish ends the context that external functions got.
func (b *budget) finish() {
	for _, cancel := range b.functions {
		cancel()
	}
	b.functions, b.external = b.functions[:0], nil
}

// Err counts a step. It returns an error when a limit is exceeded or the caller's context ended.
func (b *budget) Err() error {
	b.steps++
	if b.steps&(checkEvery-1) == 0 || b.failed != nil {
		return b.check()
	}
	return nil
}

// check looks at all limits.
func (b *budget) check() error {
	if b.failed != nil {
		return b.failed
	}
	if b.steps > b.limits.Steps {
		return b.exceeded("the query takes more than %d steps", b.limits.Steps)
	}
	if err := b.parent.Err(); err != nil {
		b.failed = err
		return err
	}
	if time.Since(b.start) > b.limits.Time {
		return b.exceeded("the query takes longer than %s", b.limits.Time)
	}
	return nil
}

func (b *budget) exceeded(format string, args ...any) error {
	if b.failed == nil {
		b.failed = tooMuch(0, format, args...)
	}
	return b.failed
}

// limit gives helium's own limits our words.
func (b *budget) limit(err error) error {
	switch {
	case errors.Is(err, xpath3.ErrOpLimit):
		return b.exceeded("the query takes more than %d steps", b.limits.Steps)
	case errors.Is(err, xpath3.ErrRecursionLimit):
		return b.exceeded("expressions and functions nest too deeply")
	case errors.Is(err, xpath3.ErrNodeSetLimit):
		return b.exceeded("a sequence becomes too long")
	case errors.Is(err, xpath3.ErrRegexMatchLimit):
		return b.exceeded("a regular expression matches too often")
	}
	return err
}

// left is the number of steps that are left.
func (b *budget) left() int { return max(b.limits.Steps-b.steps, 0) }

// construct counts bytes that are about to be constructed.
func (b *budget) construct(bytes int) error {
	b.constructed += bytes
	if b.constructed > b.limits.Constructed || b.constructed < 0 {
		return b.exceeded("the query constructs more than %d bytes", b.limits.Constructed)
	}
	return nil
}

// itemCost is about what an item of a sequence takes besides its text, and nestingCost what a map or an array takes besides.
// The latter also bounds how deep these nest, and so the stack of what walks through them: about a kilobyte a level.
const (
	itemCost    = 16
	nestingCost = 320
)

// charge counts a sequence that was constructed, by its text and its items.
func (b *budget) charge(s xpath3.Sequence) error {
	items, ok := s.(xpath3.ItemSlice)
	if !ok {
		return nil
	}
	if len(items) > 1 {
		b.steps += len(items) - 1
		if b.steps > b.limits.Steps {
			return b.check()
		}
	}
	bytes := 0
	for _, item := range items {
		bytes += itemCost
		switch item := item.(type) {
		case xpath3.AtomicValue:
			if text, ok := item.Value.(string); ok {
				bytes += len(text)
			}
		case xpath3.MapItem, xpath3.ArrayItem:
			bytes += nestingCost
		}
	}
	return b.construct(bytes)
}

// Deadline is when the evaluation ends at the latest.
func (b *budget) Deadline() (time.Time, bool) {
	deadline := b.start.Add(b.limits.Time)
	if d, ok := b.parent.Deadline(); ok && d.Before(deadline) {
		return d, true
	}
	return deadline, true
}

// Done is closed when the caller's context ends.
func (b *budget) Done() <-chan struct{} { return b.parent.Done() }

type budgetKey struct{}

// Value finds the budget itself, and else the caller's values.
func (b *budget) Value(key any) any {
	if _, ok := key.(budgetKey); ok {
		return b
	}
	return b.parent.Value(key)
}

func budgetOf(ctx context.Context) *budget {
	switch c := ctx.(type) {
	case *budget:
		return c
	case *frame:
		return c.budget
	}
	b, _ := ctx.Value(budgetKey{}).(*budget)
	return b
}

// outer is the context for external functions: the caller's, with the evaluation's deadline. It may be used by any
// goroutine.
func (b *budget) outer() context.Context {
	if b.external == nil {
		deadline, _ := b.Deadline()
		ctx, cancel := context.WithDeadline(b.parent, deadline)
		b.external = ctx
		b.functions = append(b.functions, cancel)
	}
	return b.external
}

// frame is the context of a function's body: the budget, and helium's state of the caller. helium wraps the context at
// each call, and the wrappings would pile up with the depth of the calls.
type frame struct {
	*budget
	state any
}

// Value finds helium's state, and else what the budget has.
func (f *frame) Value(key any) any {
	if key == stateKey {
		return f.state
	}
	return f.budget.Value(key)
}

// within is the context for a call from another one.
func (b *budget) within(ctx context.Context) context.Context {
	if stateKey == nil {
		return ctx
	}
	return &frame{budget: b, state: ctx.Value(stateKey)}
}

// stateKey is the key under which helium keeps its state in contexts; nil if it does not tell.
var stateKey = findStateKey()

// findStateKey asks a function of helium's for its context.
func findStateKey() any {
	expression, err := xpath3.NewCompiler().CompileExpr(xpath3.InlineFunctionExpr{Body: empty})
	if err != nil {
		return nil
	}
	result, err := newEvaluator().Evaluate(context.Background(), expression, nil)
	if err != nil || result.Sequence().Len() != 1 {
		return nil
	}
	f, ok := result.Sequence().Get(0).(xpath3.FunctionItem)
	if !ok {
		return nil
	}
	spy := &keySpy{Context: context.Background()}
	if _, err := f.Invoke(spy, nil); err != nil {
		return nil
	}
	return spy.key
}

// keySpy notes the first key that it is asked for.
type keySpy struct {
	context.Context
	key any
}

// Value knows nothing.
func (s *keySpy) Value(key any) any {
	if s.key == nil {
		s.key = key
	}
	return nil
}
