package xquery

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lestrrat-go/helium"
	"github.com/lestrrat-go/helium/xpath3"
)

// worker is what one evaluation needs besides the query. It belongs to one goroutine at a time, and is kept for reuse in
// one of three places:
//
//   - by the query, which is the rule;
//   - by the query, among those with a table of types, when the input has typed documents;
//   - by the document (Document.Keep), when the query brings nothing of its own. There the index of document order, whose
//     making costs more than a small query, stays.
//
// A worker that made trees is not used again: helium's state would hold on to them.
type worker struct {
	state     *xpath3.EvalState
	steps     int // the limit that state was made for
	order     *xpath3.DocOrderCache
	types     map[helium.Node]string // nil in an untyped worker
	home      home
	variables map[string]Sequence
	budget    budget
}

// home is where a worker goes when its work is done; nil for nowhere.
type home interface {
	take() *worker
	put(w *worker)
}

// ResolveVariable gives helium the external variables.
func (w *worker) ResolveVariable(_ context.Context, name string) (xpath3.Sequence, bool, error) {
	s, ok := w.variables[name]
	if !ok {
		return nil, false, xpathError(codeNoFocus, "the external variable $%s has no value", name)
	}
	return inner(s), true, nil
}

// newWorker makes a worker for a limit of steps, with the clock fixed at now.
func (q *Query) newWorker(steps int, now time.Time, typed bool) *worker {
	w := &worker{steps: steps, order: xpath3.NewDocOrderCache()}
	evaluator := newEvaluator().
		Namespaces(q.namespaces).
		Functions(hooks, q.functions).
		VariableResolver(w).
		CurrentTime(now).
		DocOrderCache(w.order).
		OpLimit(steps)
	if m := q.module; !m.plain() {
		evaluator = m.configure(evaluator)
	}
	if typed {
		// The evaluator borrows the table, so that it can be filled for each evaluation.
		w.types = make(map[helium.Node]string)
		evaluator = evaluator.TypeAnnotations(w.types)
	}
	w.state = evaluator.NewEvalState(nil)
	return w
}

// take gets a worker for an evaluation and prepares it.
func (q *Query) take(in *Input) *worker {
	limits := in.Limits.withDefaults()
	w := q.worker(in, limits.Steps)
	for _, d := range in.Typed {
		if d != nil {
			maps.Copy(w.types, d.types)
		}
	}
	w.variables = in.Variables
	w.budget = budget{query: q, input: in, worker: w, limits: limits, functions: w.budget.functions[:0], places: w.budget.places[:0]}
	return w
}

// worker finds or makes a worker. The clock of a worker cannot be set, so queries that ask for the time get their own.
func (q *Query) worker(in *Input, steps int) *worker {
	typed := len(in.Typed) > 0
	if q.clocked {
		now := in.Now
		if now.IsZero() {
			now = time.Now()
		}
		return q.newWorker(steps, now, typed)
	}
	home := q.home(in, typed)
	w := home.take()
	if w == nil || w.steps != steps {
		w = q.newWorker(steps, time.Unix(0, 0).UTC(), typed)
	}
	w.home = home
	return w
}

// home is where the workers for an input are kept.
func (q *Query) home(in *Input, typed bool) home {
	if typed {
		return &q.typed
	}
	if d, ok := in.Context.(*Document); ok && d != nil && d.kept != nil && q.plain && len(in.Variables) == 0 {
		if d.kept.evaluations.Add(1) > aloneEvaluations {
			return d.kept
		}
	}
	return &q.workers
}

// release forgets what the evaluation worked on, and keeps the worker.
func (q *Query) release(w *worker) {
	w.budget.finish()
	w.variables = nil
	w.budget.parent = nil
	if w.home == nil || w.budget.grown {
		return
	}
	// The state keeps its last node until a context item replaces it.
	w.state.SetContextItem(nothing)
	w.state.SetContextItem(nil)
	if w.budget.built {
		w.order.Reset()
	}
	w.budget.query, w.budget.focus, w.budget.defined, w.budget.values = nil, nil, nil, nil
	w.budget.owners, w.budget.owner, w.budget.raised, w.budget.input, w.budget.read = nil, nil, nil, nil, nil
	w.budget.joins, w.budget.nested, w.budget.ids = nil, nestings{}, nil
	w.home.put(w)
}

var nothing xpath3.Item = xpath3.AtomicValue{TypeName: xpath3.TypeString, Value: ""}

// pool are the workers of a query. Nothing of a document stays with them.
type pool struct{ workers sync.Pool }

func (p *pool) take() *worker {
	w, _ := p.workers.Get().(*worker)
	return w
}

func (p *pool) put(w *worker) {
	w.order.Reset()
	clear(w.types)
	p.workers.Put(w)
}

// keptWorkers are the workers of a document, each with its own index of the document's order. There are no more of them
// than there were evaluations at one time.
type keptWorkers struct {
	evaluations atomic.Int64
	mu          sync.Mutex
	workers     []*worker
}

// aloneEvaluations is how many evaluations of a document do without a worker of its own: for so few the making of one
// would not pay.
const aloneEvaluations = 2

func (k *keptWorkers) take() *worker {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := len(k.workers) - 1
	if n < 0 {
		return nil
	}
	w := k.workers[n]
	k.workers = k.workers[:n]
	return w
}

func (k *keptWorkers) put(w *worker) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.workers = append(k.workers, w)
}

// configure sets what the module changes of the static context.
func (m *module) configure(e xpath3.Evaluator) xpath3.Evaluator {
	if m.collation != codepointCollation {
		e = e.DefaultCollation(m.collation)
	}
	if m.baseURI != "" {
		e = e.BaseURI(m.baseURI)
	}
	if len(m.formats) > 0 {
		if f, ok := m.formats[xpath3.QualifiedName{}]; ok {
			e = e.DefaultDecimalFormat(f)
		}
		e = e.NamedDecimalFormats(m.formats)
	}
	return e
}
