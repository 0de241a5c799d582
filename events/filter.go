package events

import (
	"context"
	"errors"
	"io"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"clacks"
	"clacks/xquery"
)

// queryOptions let a path without prefixes mean the elements of events; the prefix e is there for queries that set
// another default. The context item is the event's document.
var queryOptions = xquery.Options{
	ElementNamespace: Namespace,
	Namespaces:       map[string]string{"e": Namespace},
	DocumentContext:  true,
	Variables:        variableNames,
}

// queryLimits bound the evaluation of a query on one event. A query delays nobody but those who share it; the limits keep
// one client from spending the machine.
var queryLimits = xquery.Limits{Steps: 200_000, Depth: 256, Constructed: 1 << 20, Time: 250 * time.Millisecond}

// query is what a filter needs of *xquery.Query.
type query interface {
	Matches(ctx context.Context, in xquery.Input) (bool, error)
	Stream(ctx context.Context, in xquery.Input, w io.Writer, parameters map[string]string) error
	Output() map[string]string
}

// filter is a compiled query with its latest verdicts, shared by all subscribers who sent the same text. The verdict on
// an event never changes, since the event does not.
type filter struct {
	query     query
	variables bool // the query uses external variables
	users     int  // guarded by filters.mu

	scope     *scope           // nil when the query has to be evaluated on every event
	requires  xquery.Condition // of an event that matches
	placement placement        // the matcher's

	mu       sync.Mutex // held to evaluate
	verdicts [64]atomic.Pointer[verdict]
}

// verdict is what a query says of the event with this number.
type verdict struct {
	sequence int64
	match    bool
	err      error
}

// known is the verdict on an event that needs no evaluation, nil when there is none.
func (f *filter) known(e *Event) *verdict {
	if f.scope != nil && !f.scope.types[e.Type] {
		return &f.scope.verdict
	}
	if v := f.slot(e).Load(); v != nil && v.sequence == e.Sequence {
		return v
	}
	return nil
}

func (f *filter) slot(e *Event) *atomic.Pointer[verdict] {
	return &f.verdicts[uint64(e.Sequence)%uint64(len(f.verdicts))]
}

// match evaluates the query on an event, or remembers what it said. tree is asked for only when it must be evaluated.
func (f *filter) match(ctx context.Context, e *Event, tree func() (*parsedDocument, error)) (bool, error) {
	if v := f.known(e); v != nil {
		return v.match, v.err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if v := f.known(e); v != nil {
		return v.match, v.err
	}
	v := &verdict{sequence: e.Sequence}
	v.match, v.err = f.evaluate(ctx, e, tree)
	f.slot(e).Store(v)
	return v.match, v.err
}

// evaluate runs the query. It does not end with the context of one subscriber, since the verdict is for all; its own
// limit of time is short.
func (f *filter) evaluate(ctx context.Context, e *Event, tree func() (*parsedDocument, error)) (bool, error) {
	document, err := tree()
	if err != nil {
		return false, err
	}
	defer document.release()
	match, err := f.query.Matches(context.WithoutCancel(ctx), f.input(e, document))
	if err != nil {
		return false, brief(err)
	}
	return match, nil
}

func (f *filter) input(e *Event, document *parsedDocument) xquery.Input {
	in := xquery.Input{Context: document.Document, Limits: queryLimits}
	if f.variables {
		in.Variables = variablesOf(e)
	}
	return in
}

// maxMessage is the number of bytes that are kept of why a query failed: with fn:error, its author decides on them.
const maxMessage = 500

// brief keeps the beginning of an error's message and nothing else of it, since it is held as long as the verdict.
func brief(err error) error {
	message := err.Error()
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage], "") + "..."
	}
	return errors.New(strings.Clone(message))
}

// filters are the compiled queries in use, by their text. All are in the matcher.
type filters struct {
	matcher *matcher
	mu      sync.Mutex
	bySrc   map[string]*filter
}

// compileFilter compiles a query and finds out which events it has to be evaluated on. The links of a bus ask for it in
// goroutines of their own, where a mistake of the analysis would end the service for everybody.
func compileFilter(source string) (f *filter, err error) {
	defer func() {
		if broken := recover(); broken != nil {
			f, err = nil, clacks.E(clacks.Internal, "events.filter", "the analysis of a query failed: %v\n%s", broken, debug.Stack())
		}
	}()
	compiled, err := xquery.Compile(source, queryOptions)
	if err != nil {
		return nil, err
	}
	f = &filter{query: compiled, variables: len(compiled.Uses().Variables) > 0}
	f.scope = scopeOf(compiled)
	f.requires = f.scope.narrow(compiled.Requires())
	return f, nil
}

// get compiles a query, or shares one that is in use. The error is the compiler's.
func (f *filters) get(source string) (*filter, error) {
	if shared := f.share(source); shared != nil {
		return shared, nil
	}
	compiled, err := compileFilter(source) // without the lock: it may take a while
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.bySrc == nil {
		f.bySrc = map[string]*filter{}
	}
	if f.bySrc[source] == nil {
		f.bySrc[source] = compiled
		f.matcher.add(compiled)
	}
	f.bySrc[source].users++
	return f.bySrc[source], nil
}

func (f *filters) share(source string) *filter {
	f.mu.Lock()
	defer f.mu.Unlock()
	shared := f.bySrc[source]
	if shared != nil {
		shared.users++
	}
	return shared
}

// put gives a query back.
func (f *filters) put(source string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	shared := f.bySrc[source]
	if shared == nil {
		return
	}
	if shared.users--; shared.users == 0 {
		delete(f.bySrc, source)
		f.matcher.remove(shared)
	}
}
