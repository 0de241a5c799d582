package xquery

import (
	"context"
	"slices"
	"strings"

	"github.com/lestrrat-go/helium"
	"github.com/lestrrat-go/helium/xpath3"
)

// countedFunctions wraps function items, so that recursion through them is bounded and their results are counted. A
// second argument is the context item that a function without parameters takes, or nothing where it is absent; a third
// one the static base URI of the module that looked the function up.
type countedFunctions struct{}

func (*countedFunctions) MinArity() int { return 1 }
func (*countedFunctions) MaxArity() int { return 3 }

func (*countedFunctions) Call(ctx context.Context, args []xpath3.Sequence) (xpath3.Sequence, error) {
	if args[0] == nil || args[0].Len() != 1 {
		return args[0], nil
	}
	f, ok := args[0].Get(0).(xpath3.FunctionItem)
	if !ok {
		return args[0], nil
	}
	f = guardedItem(ctx, f)
	if len(args) == 2 && (args[1] == nil || args[1].Len() == 0) && f.Arity == 0 && f.Namespace == xpath3.NSFn &&
		(implicit[f.Name] || focused[f.Name]) {
		f.Invoke = func(context.Context, []xpath3.Sequence) (xpath3.Sequence, error) {
			return nil, xpathError(codeNoFocus, "the context item is absent")
		}
	}
	if f.Namespace == xpath3.NSFn && atomizing[f.Name] {
		f = atomizingFunction(f)
	}
	if nestsResults(f.Namespace, f.Name) {
		f = nestingFunction(f)
	}
	if len(args) == 3 {
		f = inModule(f, args[2])
	}
	if f.Name == "" {
		sign(&f)
	}
	return xpath3.ItemSlice{countFunction(f)}, nil
}

// guardedItem is a function item of helium's with what stands before the function (guards.go), also if it was looked up.
// The context is that where the item is made.
func guardedItem(made context.Context, f xpath3.FunctionItem) xpath3.FunctionItem {
	if f.Namespace != xpath3.NSFn || f.Name == "" {
		return f
	}
	f.Name = strings.TrimPrefix(f.Name, "Q{"+xpath3.NSFn+"}")
	if f.Name == "function-lookup" {
		lookUp := f.Invoke
		f.Invoke = func(ctx context.Context, args []xpath3.Sequence) (xpath3.Sequence, error) {
			found, err := lookUp(ctx, args)
			if err != nil {
				return nil, err
			}
			return (&countedFunctions{}).Call(made, []xpath3.Sequence{found})
		}
		return f
	}
	g, ok := hooks[f.Name]
	if !ok || f.Arity < g.MinArity() || g.MaxArity() >= 0 && f.Arity > g.MaxArity() {
		return f
	}
	f.Invoke = func(ctx context.Context, args []xpath3.Sequence) (xpath3.Sequence, error) {
		if len(args) != f.Arity {
			return nil, typeError("the function %s takes %d arguments, not %d", f.Name, f.Arity, len(args))
		}
		if _, focused := g.(*idSearch); focused {
			ctx = made
		}
		if b := budgetOf(ctx); b != nil && f.Name == "deep-equal" && f.Arity == 2 {
			args = append(slices.Clone(args), xpath3.SingleString(b.query.module.collation))
		}
		return g.Call(ctx, args)
	}
	return f
}

// inModule gives a function the static base URI of the module that looked it up. fn:function-lookup gives it on.
func inModule(f xpath3.FunctionItem, base xpath3.Sequence) xpath3.FunctionItem {
	if f.Namespace != xpath3.NSFn {
		return f
	}
	switch invoke := f.Invoke; f.Name {
	case "static-base-uri":
		f.Invoke = func(context.Context, []xpath3.Sequence) (xpath3.Sequence, error) { return base, nil }
	case "function-lookup":
		f.Invoke = func(ctx context.Context, args []xpath3.Sequence) (xpath3.Sequence, error) {
			found, err := invoke(ctx, args)
			if err != nil || found == nil || found.Len() != 1 {
				return found, err
			}
			if g, ok := found.Get(0).(xpath3.FunctionItem); ok {
				return xpath3.ItemSlice{inModule(g, base)}, nil
			}
			return found, nil
		}
	}
	return f
}

// sign gives an inline function the signature that it has where types are left out.
func sign(f *xpath3.FunctionItem) {
	if f.ReturnType == nil {
		f.ReturnType = &anyItems
	}
	if f.ParamTypes == nil && f.Arity > 0 {
		f.ParamTypes = slices.Repeat([]xpath3.SequenceType{anyItems}, f.Arity)
	}
}

func countFunction(f xpath3.FunctionItem) xpath3.FunctionItem {
	invoke := f.Invoke
	f.Invoke = func(ctx context.Context, args []xpath3.Sequence) (xpath3.Sequence, error) {
		b := budgetOf(ctx)
		if b == nil {
			return nil, errOutside
		}
		if err := b.Err(); err != nil {
			return nil, err
		}
		if b.depth++; b.depth > b.limits.Depth {
			return nil, b.exceeded("functions call each other more than %d deep", b.limits.Depth)
		}
		defer func() { b.depth-- }()
		args, err := b.atomizeParameters(f.ParamTypes, args)
		if err != nil {
			return nil, err
		}
		result, err := invoke(b.within(ctx), args)
		if err != nil {
			return nil, err
		}
		return result, b.charge(result)
	}
	return f
}

// predicate makes a function give xs:boolean also for an untyped value, as the function conversion rules want it.
func predicate(_ *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	if args[0] == nil || args[0].Len() != 1 {
		return args[0], nil
	}
	f, ok := args[0].Get(0).(xpath3.FunctionItem)
	if !ok {
		return args[0], nil
	}
	invoke := f.Invoke
	f.Invoke = func(ctx context.Context, args []xpath3.Sequence) (xpath3.Sequence, error) {
		result, err := invoke(ctx, args)
		if err != nil || result == nil || result.Len() != 1 {
			return result, err
		}
		a, ok := result.Get(0).(xpath3.AtomicValue)
		if ok && a.TypeName != xpath3.TypeUntypedAtomic {
			return result, nil
		}
		if a, err = xpath3.AtomizeItem(result.Get(0)); err != nil || a.TypeName != xpath3.TypeUntypedAtomic {
			return result, nil // helium says what is wrong
		}
		if a, err = xpath3.CastAtomic(a, xpath3.TypeBoolean); err != nil {
			return nil, err
		}
		return xpath3.ItemSlice{a}, nil
	}
	return xpath3.ItemSlice{f}, nil
}

// isSame is "is". helium takes namespace nodes without a parent for the same if their prefixes are.
func isSame(_ *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	var nodes [2]helium.Node
	for i, s := range args {
		if s == nil || s.Len() == 0 {
			return nil, nil
		}
		item, ok := s.Get(0).(xpath3.NodeItem)
		if !ok || s.Len() > 1 {
			return nil, typeError("\"is\" compares two nodes")
		}
		nodes[i] = item.Node
	}
	same := nodes[0] == nodes[1]
	if x, ok := nodes[0].(*helium.NamespaceNodeWrapper); ok && !same && x.Parent() != nil {
		y, ok := nodes[1].(*helium.NamespaceNodeWrapper)
		same = ok && x.Parent() == y.Parent() && x.Name() == y.Name()
	}
	return xpath3.SingleBoolean(same), nil
}

// countItems is fn:count of a list, whose parts need not be put together for it.
func countItems(_ *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	n := 0
	for _, s := range args {
		if s != nil {
			n += s.Len()
		}
	}
	return xpath3.SingleInteger(int64(n)), nil
}

func anyItem(_ *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	for _, s := range args {
		if s != nil && s.Len() > 0 {
			return xpath3.SingleBoolean(true), nil
		}
	}
	return xpath3.SingleBoolean(false), nil
}

var baseURIFunction = builtin("base-uri", 1)

// baseURI is fn:base-uri. helium finds none for a node whose xml:base is no URI; it is taken as it is.
func baseURI(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	result, err := baseURIFunction.Invoke(b, args)
	if err != nil || result != nil && result.Len() > 0 || args[0] == nil || args[0].Len() != 1 {
		return result, err
	}
	item, _ := args[0].Get(0).(xpath3.NodeItem)
	for n := item.Node; n != nil; n = n.Parent() {
		e, ok := n.(*helium.Element)
		if !ok {
			continue
		}
		if a := e.GetAttributeNodeNS("base", namespaceXML); a != nil {
			return xpath3.ItemSlice{xpath3.AtomicValue{TypeName: xpath3.TypeAnyURI, Value: a.Value()}}, nil
		}
	}
	return nil, nil
}

// coerceFunctions makes functions of the type that a function's result is declared to have (XQuery 3.1, section 3.1.5.3):
// each converts its arguments and its result. helium only takes functions that are of the type already.
func coerceFunctions(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	test := b.query.coercions[integerArgument(args[0])]
	if args[1] == nil {
		return nil, nil
	}
	all := make(xpath3.ItemSlice, 0, args[1].Len())
	for item := range args[1].Items() {
		if err := b.Err(); err != nil {
			return nil, err
		}
		f, ok := item.(xpath3.FunctionItem)
		if !ok {
			all = append(all, item) // maps and arrays are checked as they are
			continue
		}
		if f.Arity != len(test.ParamTypes) {
			return nil, typeError("a function with %d parameters is returned for one with %d", f.Arity, len(test.ParamTypes))
		}
		all = append(all, coerced(f, test))
	}
	return all, nil
}

func coerced(f xpath3.FunctionItem, test xpath3.FunctionTest) xpath3.FunctionItem {
	invoke := f.Invoke
	f.ParamTypes, f.ReturnType = test.ParamTypes, &test.ReturnType
	f.Invoke = func(ctx context.Context, args []xpath3.Sequence) (xpath3.Sequence, error) {
		converted := make([]xpath3.Sequence, len(args))
		for i, a := range args {
			var ok bool
			if converted[i], ok = xpath3.CoerceToSequenceTypeContext(ctx, a, test.ParamTypes[i]); !ok {
				return nil, typeError("argument %d of a function is not of the declared type", i+1)
			}
		}
		result, err := invoke(ctx, converted)
		if err != nil {
			return nil, err
		}
		result, ok := xpath3.CoerceToSequenceTypeContext(ctx, result, test.ReturnType)
		if !ok {
			return nil, typeError("the result of a function is not of the declared type")
		}
		return result, nil
	}
	return f
}
