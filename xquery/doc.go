// Package xquery is XQuery 3.1 (W3C Recommendation, 21 March 2017) on helium's XPath 3.1. It knows nothing of objects,
// LDAP or events. A query is compiled once, is immutable, and is evaluated from many goroutines.
//
//	query, err := xquery.Compile(`for $p in //person where $p/age > 40 order by $p/name return $p/name`, xquery.Options{})
//	...
//	result, err := query.Evaluate(ctx, xquery.Input{Context: document})
//	names, err := result.Strings()
//
// # The language
//
// All of XQuery 3.1 except its optional features that need a schema: the import of a schema is XQST0009, "validate" is
// XQST0075, and there is no static typing beyond names. Library modules come from Options.Modules. The prefixes xml, xs,
// xsi, fn, math, map, array, err and local need no declaration. Unknown pragmas and options are ignored, "ordered" and
// "unordered" make no difference, and the construction mode "preserve" keeps the types that elements of a typed document
// have (see below). The default collation of a main module holds for comparisons in its library modules, too.
//
// The implicit timezone is UTC, so that a query means the same on every machine. Names that a query uses are checked
// when it is compiled: an undeclared variable is XPST0008, an unknown function or a wrong number of arguments XPST0017,
// both with the nearest right name.
//
// # Values of documents
//
// The values of a parsed document are untyped (xs:untypedAtomic): a general comparison converts them to the type of the
// other side ("age > 40"), but "age eq 40" is the type error XPTY0004, and "age > height" compares texts. A document of a
// Builder may type its elements (Builder.Type, Input.Typed): then "age eq 40" is right, "age > height" compares numbers,
// max() and "order by" need no conversion, and "age = '40'" is the type error.
//
// # What a query cannot do
//
// A query reaches nothing but its input: without a resolver of the input, fn:doc, fn:collection, fn:unparsed-text and
// their like raise the errors that their specification gives for what is not available, and the environment is empty.
// What it takes is bounded: by
// MaxSource when it is compiled, by Limits when it is evaluated. An exceeded limit is XPDY0130, with ErrLimit in the
// error's chain. Numbers have at most some 2,400 digits (FOAR0002 beyond).
//
// # How it works
//
// A source passes through these stages, each in files of its own:
//
//   - lexer.go and parse*.go read it, token by token on demand, into the syntax tree of syntax.go. Every node knows its
//     offset, every name its namespace. The texts of library modules are appended to that of the main module, so that an
//     offset is a place in any of them.
//   - compile.go and lower*.go resolve variables and functions and turn the tree into helium's, which helium compiles.
//     What XPath has no node for becomes a call of a hook (hooks.go): a function under a name that no source can write,
//     with its arguments evaluated in place. The tuple stream of a FLWOR expression is made of helium's loops, and of
//     hooks that sort (order.go), group (group.go) or cut (window.go) its tuples. Constructors become hooks that make
//     nodes (construct.go, copy.go). lower_program.go says how functions and modules fit together.
//     Some expressions become hooks for speed: predicates about positions (positions.go), conditions of nested loops
//     (join.go), maps that only live between two calls (mapedit.go).
//   - stream.go compiles a variant of the tree whose end hands over each item at once: Query.Each, Query.Stream.
//   - evaluate.go runs a tree in a worker (worker.go), of which a query keeps a pool. helium asks its context for
//     cancellation at every node and item; our context (limits.go) counts these questions, and that is the limit of
//     steps. guards.go stands before helium's functions that could make much from little; nested.go and atoms.go count what
//     shares its parts, and is large only for whoever walks through it; costs.go counts
//     what helium does without asking. Functions that are our own, because their rules are others than helium's, are in equal.go, ranges.go, format.go, functions.go and resources.go.
//   - An error during the evaluation has no place in helium's tree. Only then, the query is evaluated once more with
//     every expression announcing itself (Query.trace), so that evaluations without an error pay nothing for places.
//   - serialize*.go writes sequences: Serialize and fn:serialize.
//   - analyse*.go evaluates the syntax tree with paths in place of nodes: Query.Reads.
package xquery
