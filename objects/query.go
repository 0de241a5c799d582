package objects

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"clacks"
	"clacks/access"
	"clacks/mapping"
	"clacks/xquery"
)

// objectQuery is an XQuery on objects' documents: an element named as the type, with a child a value, in the order of the
// attributes' names; and the variables $uuid, $dn and $type.
type objectQuery struct{ compiled *xquery.Query }

var queryVariables = []string{"uuid", "dn", "type"}

// queryLimits bound the evaluation on one object; Limits.Scan bounds the number of objects, and Limits.Query the time of
// all evaluations of one search.
var queryLimits = xquery.Limits{Steps: 200_000, Depth: 128, Constructed: 1 << 20}

// stepsPerValue lets a query look at a group of 100,000 members as it looks at others.
const stepsPerValue = 16

// queryCache keeps compiled queries by their text; it forgets everything when it is full.
type queryCache struct {
	mu      sync.Mutex
	queries map[string]*xquery.Query
}

const queryCacheSize = 256

func (c *queryCache) get(text string) (*xquery.Query, error) {
	c.mu.Lock()
	q := c.queries[text]
	c.mu.Unlock()
	if q != nil {
		return q, nil
	}
	q, err := xquery.Compile(text, xquery.Options{Variables: queryVariables})
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.queries == nil || len(c.queries) >= queryCacheSize {
		c.queries = map[string]*xquery.Query{}
	}
	c.queries[text] = q
	return q, nil
}

// query compiles the request's XQuery.
func (r *search) query() error {
	if strings.TrimSpace(r.q.Query) == "" {
		return nil
	}
	q, err := r.s.queries.get(r.q.Query)
	if err != nil {
		return clacks.E(clacks.Invalid, "objects.search", "the query: %w", err)
	}
	r.filter = &objectQuery{compiled: q}
	return nil
}

// matches evaluates the query on what the user may read of an object. A query that fails ends the search with the object
// and the place: to leave the object out would be an answer that nobody can trust. (Who expects values that do not fit
// says "castable as", or "try".)
func (r *search) matches(ctx context.Context, shape *mapping.Shape, h *hit, values mapping.Values) (bool, error) {
	limits := queryLimits
	if limits.Time = r.s.limits.Query - r.evaluating; limits.Time <= 0 {
		return false, clacks.E(clacks.Limit, "objects.search", "the query takes longer than %s; narrow the search by type, base or filter", r.s.limits.Query)
	}
	for _, list := range values {
		limits.Steps += stepsPerValue * len(list)
	}
	start := time.Now()
	defer func() { r.evaluating += time.Since(start) }()
	document := objectDocument(shape, values)
	defer document.Free()
	ok, err := r.filter.compiled.Matches(ctx, xquery.Input{
		Context: document.Element(), Limits: limits, Now: r.s.now(),
		Variables: map[string]xquery.Sequence{
			"uuid": xquery.Of(h.uuid), "dn": xquery.Of(h.dn), "type": xquery.Of(h.typ),
		},
	})
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if errors.Is(err, xquery.ErrLimit) {
		return false, clacks.E(clacks.Limit, "objects.search", "the query exceeds its budget: %w", err)
	}
	if err != nil {
		return false, queryFailure(h, err)
	}
	return ok, nil
}

// queryFailure says on which object a query failed, besides the place in the query.
func queryFailure(h *hit, err error) error {
	failure := clacks.E(clacks.Invalid, "objects.search", "the query fails on %s", h.dn)
	failure.Err = err
	var q *xquery.Error
	if errors.As(err, &q) {
		failure.Fields = []clacks.Field{{Attribute: "query", Code: q.Code, Reason: fmt.Sprintf("line %d, column %d: %s", q.Line, q.Column, q.Message)}}
	}
	return failure
}

func objectDocument(shape *mapping.Shape, values mapping.Values) *xquery.Document {
	b := xquery.NewBuilder(shape.Type().Name)
	for _, name := range sortedNames(values) {
		a := shape.Attribute(name)
		for _, v := range values[name] {
			b.Element(name, xmlText(a.Text(v)))
		}
	}
	return b.Document()
}

// xmlText leaves out what XML cannot hold (XML 1.0, production 2).
func xmlText(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' || c == 0xFFFE || c == 0xFFFF {
			return -1
		}
		return c
	}, s)
}

// unrestricted reports whether the user may find all objects and read all that the search asks of them, so that the
// database can count them.
func (r *search) unrestricted() bool {
	topic := access.Topic{Type: r.q.Type}
	if !r.s.policy.Allowed(r.user, access.Search, topic) {
		return false
	}
	for _, name := range r.reads {
		topic.Attribute = name
		if !r.s.policy.Allowed(r.user, access.Read, topic) {
			return false
		}
	}
	return true
}
