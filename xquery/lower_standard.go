package xquery

import (
	"slices"

	"github.com/lestrrat-go/helium/xpath3"
)

// standardCall compiles a call of a function of the fn or array namespace: with what its rules want and helium's function
// has not.
func (c *compiler) standardCall(e *call, target xpath3.FunctionCall) xpath3.Expr {
	args, partial := target.Args, slices.Contains(e.args, nil)
	if e.name.local == "filter" && e.args[1] != nil {
		args[1] = hookCall(hookPredicate, args[1])
	}
	if !partial || e.name.local == "deep-equal" {
		args = c.defaultCollation(e, args)
	}
	if e.name.local == "sort" && len(e.args) < 3 && e.args[0] != nil {
		args[0] = hookCall(hookWeighed, args[0])
	}
	target.Args = args
	if e.name.uri != xpath3.NSFn {
		return target
	}
	c.collate(e, args)
	if !partial {
		args = c.moduleBase(e.name.local, args)
		target.Args = args
		switch e.name.local {
		case "static-base-uri":
			return c.staticBase()
		case "json-doc":
			return jsonDocument(args)
		case "format-number":
			return c.formatCall(e.static, args)
		case "function-lookup":
			return c.lookedUp(target)
		case "base-uri":
			return hookCall(hookBase, adapt(e, args)...)
		case "count", "exists", "empty":
			if list, ok := args[0].(xpath3.SequenceExpr); ok {
				return counting(e.name.local, list.Items)
			}
			args[0] = longRangeOf(args[0])
		case "codepoints-to-string", "subsequence":
			args[0] = longRangeOf(args[0])
		}
	}
	target.Args = adapt(e, args)
	if atomizing[e.name.local] && len(e.args) > 0 {
		return atomizingCall(e.args[0], target)
	}
	return target
}

// atomizingCall is a call of a function that atomizes all of its first argument.
func atomizingCall(first expr, target xpath3.FunctionCall) xpath3.Expr {
	if first == nil {
		return hookCall(hookAtoms, target) // a function
	}
	if !isAtomic(first) {
		target.Args[0] = hookCall(hookAtoms, target.Args[0])
	}
	return target
}

// isAtomic says whether the items of an expression are known to be atomic values.
func isAtomic(e expr) bool {
	switch e := e.(type) {
	case *literal, *unary, *quantified, *joined:
		return true
	case *operation:
		switch e.op {
		case xpath3.TokenBang, xpath3.TokenUnion, xpath3.TokenPipe, xpath3.TokenIntersect, xpath3.TokenExcept:
			return false
		}
		return true
	}
	return false
}

// lookedUp is a function that was looked up, with what it takes of the context.
func (c *compiler) lookedUp(call xpath3.Expr) xpath3.Expr {
	if c.current == c.module {
		return hookCall(hookFunction, call, contextOrNothing)
	}
	return hookCall(hookFunction, call, contextOrNothing, c.staticBase())
}

// counting compiles fn:count, fn:exists or fn:empty of a list.
func counting(local string, parts []xpath3.Expr) xpath3.Expr {
	all := make([]xpath3.Expr, len(parts))
	for i, p := range parts {
		all[i] = longRangeOf(p)
	}
	switch local {
	case "count":
		return hookCall(hookCount, all...)
	case "exists":
		return hookCall(hookExists, all...)
	}
	return xpath3.FunctionCall{Name: "not", Args: []xpath3.Expr{hookCall(hookExists, all...)}}
}

// formatCall compiles a call of fn:format-number.
func (c *compiler) formatCall(s *static, args []xpath3.Expr) xpath3.Expr {
	if c.formatters == nil {
		c.formatters = make(map[*module]map[xpath3.QualifiedName]xpath3.FunctionItem)
	}
	if c.formatters[s.module] == nil {
		c.formatters[s.module] = s.module.formatters()
	}
	c.statics = append(c.statics, s)
	return hookCall(hookFormat, append([]xpath3.Expr{integerOf(len(c.statics) - 1)}, args...)...)
}

// jsonDocument is fn:json-doc by its definition: fn:parse-json of fn:unparsed-text. So its fallback is a function of the
// query, like that of fn:parse-json.
func jsonDocument(args []xpath3.Expr) xpath3.Expr {
	text := hookCall(hookJSON, args[0])
	if len(args) == 1 {
		return xpath3.FunctionCall{Name: "parse-json", Args: []xpath3.Expr{text}}
	}
	return xpath3.FunctionCall{Name: "Q{" + xpath3.NSFn + "}parse-json", Args: []xpath3.Expr{hookCall(hookTree, text), args[1]}}
}

// staticBase is fn:static-base-uri in the module that is compiled.
func (c *compiler) staticBase() xpath3.Expr {
	base := c.current.baseURI
	if base == "" {
		return empty
	}
	uri := xpath3.AtomicTypeName{Prefix: "xs", Name: "anyURI"}
	return xpath3.CastExpr{Expr: xpath3.LiteralExpr{Value: base}, Type: uri}
}

// collationArgument is the number of arguments with which the last one of a function is a collation.
var collationArgument = map[string]int{
	"compare": 3, "contains": 3, "starts-with": 3, "ends-with": 3, "substring-before": 3, "substring-after": 3,
	"contains-token": 3, "index-of": 3, "distinct-values": 2, "deep-equal": 3, "max": 2, "min": 2, "collation-key": 2,
	"sort": 2,
}

// collate resolves a relative URI of a collation, if it is written out.
func (c *compiler) collate(e *call, args []xpath3.Expr) {
	if len(args) == 0 || len(args) != len(e.args) || collationArgument[e.name.local] != len(args) {
		return
	}
	if l, ok := e.args[len(args)-1].(*literal); ok {
		if uri, ok := l.value.(string); ok && !hasScheme(uri) {
			args[len(args)-1] = xpath3.LiteralExpr{Value: c.current.absolute(uri)}
		}
	}
}

// defaultCollation gives a function the default collation where helium does not: fn:sort, array:sort and our
// fn:deep-equal, and in library modules with another one than the main module's.
func (c *compiler) defaultCollation(e *call, args []xpath3.Expr) []xpath3.Expr {
	own := c.current.collation
	uri := xpath3.LiteralExpr{Value: own}
	sorts := e.name.local == "sort"
	ours := sorts || e.name.local == "deep-equal"
	switch {
	case ours && own == codepointCollation, !ours && own == c.module.collation:
	case len(args)+1 == collationArgument[e.name.local]:
		return append(args, uri)
	case sorts:
		args[1] = hookCall(hookElse, args[1], uri)
	}
	return args
}

// moduleBase gives a function the base URI of a library module, if that is another one than the main module's.
func (c *compiler) moduleBase(local string, args []xpath3.Expr) []xpath3.Expr {
	if c.current.baseURI == c.module.baseURI || len(args) == 0 {
		return args
	}
	base := xpath3.LiteralExpr{Value: c.current.baseURI}
	switch local {
	case "doc", "doc-available", "collection", "uri-collection", "json-doc", "unparsed-text", "unparsed-text-lines",
		"unparsed-text-available":
		args[0] = hookCall(hookAbsolute, base, args[0])
	case "resolve-uri":
		if len(args) == 1 {
			return append(args, base)
		}
	}
	return args
}

// longRangeOf is an argument of a function that does not need all items of it at once: a range of any length, if it is one.
func longRangeOf(e xpath3.Expr) xpath3.Expr {
	switch call, _ := e.(xpath3.FunctionCall); {
	case call.Name == hookRange:
		return hookCall(hookLong, call.Args...)
	case call.Prefix == "" && call.Name == "subsequence":
		return hookCall(hookCut, call.Args...)
	}
	return e
}

// adapt gives standard functions the arguments that their guards need.
func adapt(e *call, args []xpath3.Expr) []xpath3.Expr {
	switch local := e.name.local; {
	case len(args) == 0 && (focused[local] || implicit[local]):
		return []xpath3.Expr{xpath3.ContextItemExpr{}}
	case len(args) == 2 && (local == "parse-json" || local == "json-to-xml") && e.args[0] != nil:
		args[0] = hookCall(hookTree, args[0])
	case len(args) > 0 && e.args[0] != nil:
		if target := temporal(local); target != "" {
			args[0] = hookCall(hookConvert, xpath3.LiteralExpr{Value: target}, args[0])
			if len(args) == 5 && e.args[4] != nil {
				args[4] = hookCall(hookPlace, args[4])
			}
		}
	}
	return args
}
