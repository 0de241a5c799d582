package xquery

import (
	"context"
	"io"
	"maps"

	"github.com/lestrrat-go/helium"
	"github.com/lestrrat-go/helium/xpath3"
)

// Each runs the query and hands every item of its result to yield, a sequence of one, as soon as it is there: a FLWOR
// expression, a sequence and their like at the end of the query are not collected, so that a long result takes no more
// memory than its longest part. An error of yield ends the evaluation and is returned as it is; every other one is as
// with Evaluate, and may come after some items.
func (q *Query) Each(ctx context.Context, in Input, yield func(item Sequence) error) error {
	var stopped error
	in.emit = func(item xpath3.Item) error {
		stopped = yield(items{xpath3.ItemSlice{item}})
		return stopped
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
		if err := b.input.emit(item); err != nil {
			b.failed = err // no "try" catches it
			return nil, err
		}
	}
	return nil, nil
}

// Stream runs the query and writes every item as soon as it is there, with the parameters of Serialize; Query.Output are
// those of the query. The methods json, html and xhtml, and document type declarations, make one document of the whole
// result, which is written at the end. Without a method the items are written for people, each on a line of its own:
// nodes as XML, atomic values as texts, maps, arrays and functions as by the method adaptive.
func (q *Query) Stream(ctx context.Context, in Input, w io.Writer, parameters map[string]string) error {
	out := &itemWriter{w: w, parameters: make(map[string]string), method: parameters["method"]}
	maps.Copy(out.parameters, parameters)
	if err := q.Each(ctx, in, out.write); err != nil {
		return err
	}
	return out.end()
}

// itemWriter serializes a sequence that comes item by item.
type itemWriter struct {
	w          io.Writer
	parameters map[string]string
	method     string
	written    bool
	atomic     bool             // the last item was atomic
	collected  xpath3.ItemSlice // of a result that is one document
}

// whole reports whether the result is one document, or at most one item.
func (o *itemWriter) whole() bool {
	switch o.method {
	case "", "xml", "text", "adaptive":
		return o.parameters["doctype-system"] != "" || o.parameters["doctype-public"] != ""
	}
	return true
}

func (o *itemWriter) write(s Sequence) error {
	sequence := inner(s)
	if sequence == nil {
		return nil
	}
	for _, item := range sequence.Materialize() {
		if o.whole() {
			o.collected = append(o.collected, item)
			continue
		}
		if err := o.item(item); err != nil {
			return err
		}
	}
	return nil
}

// item writes one item and what separates it from the last one (Serialization 3.1, section 2). The members of an array
// are items of the sequence.
func (o *itemWriter) item(item xpath3.Item) error {
	if a, ok := item.(xpath3.ArrayItem); ok && (o.method == "xml" || o.method == "text") {
		for _, member := range a.Members() {
			if err := o.write(items{member}); err != nil {
				return err
			}
		}
		return nil
	}
	_, atomic := item.(xpath3.AtomicValue)
	if _, err := io.WriteString(o.w, o.separator(atomic)); err != nil {
		return err
	}
	parameters := o.parameters
	if o.method == "" {
		parameters = maps.Clone(o.parameters)
		parameters["method"] = readable(item)
	}
	if err := Serialize(o.w, items{xpath3.ItemSlice{item}}, parameters); err != nil {
		return err
	}
	if !o.written {
		o.written = true
		// What stands before the first item stands nowhere else.
		o.parameters["omit-xml-declaration"] = "yes"
		delete(o.parameters, "standalone")
		delete(o.parameters, "byte-order-mark")
	}
	o.atomic = atomic
	return nil
}

func (o *itemWriter) separator(atomic bool) string {
	separator, set := o.parameters["item-separator"]
	switch {
	case !o.written:
		return ""
	case set:
		return separator
	case o.method == "" || o.method == "adaptive":
		return "\n"
	case atomic && o.atomic:
		return " "
	}
	return ""
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

func (o *itemWriter) end() error {
	if o.whole() {
		return Serialize(o.w, items{o.collected}, o.parameters)
	}
	if o.written || o.method != "xml" {
		return nil
	}
	return Serialize(o.w, items{}, o.parameters) // of nothing, at most a declaration
}
