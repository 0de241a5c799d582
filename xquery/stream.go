package xquery

import (
	"context"
	"errors"
	"io"

	"github.com/lestrrat-go/helium"
	"github.com/lestrrat-go/helium/xpath3"
)

// Each runs the query and hands every item of its result to yield, a sequence of one, as soon as it is there: a FLWOR
// expression, a sequence and their like at the end of the query are not collected, so that a long result takes no more
// memory than its longest part. An error of yield ends the evaluation and is returned as it is; every other one is as
// with Evaluate, and may come after some items.
func (q *Query) Each(ctx context.Context, in Input, yield func(item Sequence) error) error {
	return q.each(ctx, in, func(_ *budget, item xpath3.Item) error { return yield(items{xpath3.ItemSlice{item}}) })
}

// each is Each whose yield may count what it takes.
func (q *Query) each(ctx context.Context, in Input, yield func(b *budget, item xpath3.Item) error) error {
	var stopped error
	in.emit = func(b *budget, item xpath3.Item) error {
		err := yield(b, item)
		if b.failed != nil {
			return b.failed
		}
		stopped = err
		return err
	}
	node, other, err := q.contextNode(in.Context)
	if err != nil {
		return q.located(err, 0)
	}
	_, steps, err := q.run(ctx, q.streamer(), node, other, &in)
	switch {
	case err == nil:
		return nil
	case stopped != nil:
		return stopped
	case isContextError(err) && ctx.Err() != nil:
		return ctx.Err()
	}
	return q.trace(ctx, node, other, &in, steps, err)
}

// compileStreamer compiles the query once more, with every item of the result handed over as soon as it is there.
func (q *Query) compileStreamer() *xpath3.Expression {
	c := &compiler{options: &q.options, module: q.module}
	tree, err := c.compile()
	if err != nil {
		return q.program // it compiled before
	}
	program, err := xpath3.NewCompiler().CompileExpr(emitted(tree))
	if err != nil {
		return q.program
	}
	return program
}

// emitted hands over what an expression gives. Of an expression whose result is that of its parts, one after the other,
// these are handed over instead.
func emitted(e xpath3.Expr) xpath3.Expr {
	switch e := e.(type) {
	case xpath3.SequenceExpr:
		parts := make([]xpath3.Expr, len(e.Items))
		for i, item := range e.Items {
			parts[i] = emitted(item)
		}
		return xpath3.SequenceExpr{Items: parts}
	case xpath3.FLWORExpr:
		e.Return = emitted(e.Return)
		return e
	case xpath3.IfExpr:
		e.Then, e.Else = emitted(e.Then), emitted(e.Else)
		return e
	case xpath3.SimpleMapExpr:
		e.Right = emitted(e.Right)
		return e
	}
	return hookCall(hookEmit, e)
}

// emit hands items over and leaves nothing behind.
func emit(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	if args[0] == nil {
		return nil, nil
	}
	for item := range args[0].Items() {
		if err := b.Err(); err != nil {
			return nil, err
		}
		if err := b.input.emit(b, item); err != nil {
			b.failed = err // no "try" catches it
			return nil, err
		}
	}
	return nil, nil
}

// Stream runs the query and writes every item as soon as it is there, with the parameters of Serialize; Query.Output are
// those of the query. With a document type or "standalone", which only one element may have, the result is written at the
// end. Without a method the items are written for people, each on a line of its own: nodes as XML, atomic values as
// texts, maps, arrays and functions as by the method adaptive. What is written counts, a step for a node or a value, but not
// by its size.
func (q *Query) Stream(ctx context.Context, in Input, w io.Writer, parameters map[string]string) error {
	p, out, err := serialization(w, parameters)
	if err != nil {
		return serializationFailure(err)
	}
	var target sequenceWriter = &readableWriter{outputParameters: p, out: out}
	if parameters["method"] != "" {
		target = p.writer(out)
	}
	if p.whole() {
		target = &collector{write: func(s xpath3.Sequence) error { return p.write(out, s) }}
	}
	if err := target.begin(); err != nil {
		return serializationFailure(err)
	}
	err = q.each(ctx, in, func(b *budget, item xpath3.Item) error {
		out.tick = b.Err
		if err := target.item(item); err != nil {
			return serializationFailure(err)
		}
		return out.flush()
	})
	out.tick = nil
	if err != nil {
		if failed := out.flush(); failed != nil && !errors.Is(err, failed) {
			err = errors.Join(err, failed)
		}
		return err
	}
	return serializationFailure(errors.Join(target.end(), out.close()))
}

// collector writes a sequence when all of it is there.
type collector struct {
	items xpath3.ItemSlice
	write func(s xpath3.Sequence) error
}

func (c *collector) begin() error { return nil }
func (c *collector) end() error   { return c.write(c.items) }

func (c *collector) item(item xpath3.Item) error {
	c.items = append(c.items, item)
	return nil
}

// readableWriter writes items for people.
type readableWriter struct {
	*outputParameters
	out     *stringStream
	written bool
}

func (w *readableWriter) begin() error { return nil }
func (w *readableWriter) end() error   { return nil }

func (w *readableWriter) item(item xpath3.Item) error {
	switch {
	case !w.written:
	case w.separator != nil:
		w.out.string(*w.separator)
	default:
		w.out.string("\n")
	}
	p := *w.outputParameters
	p.method = readable(item)
	p.omit = p.omit || w.written // a declaration stands before the first item only
	w.written = true
	return p.write(w.out, xpath3.ItemSlice{item})
}

// readable is the method that shows an item to people.
func readable(item xpath3.Item) string {
	switch item := item.(type) {
	case xpath3.AtomicValue:
		return "text"
	case xpath3.NodeItem:
		switch item.Node.Type() {
		case helium.AttributeNode, helium.NamespaceNode:
			return "adaptive" // XML has no form for one alone
		}
		return "xml"
	}
	return "adaptive"
}
