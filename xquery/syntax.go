package xquery

import "github.com/lestrrat-go/helium/xpath3"

// The syntax tree. Every node knows its offset in the source; names are resolved already, because the prolog comes
// before what uses them. It is separate from helium's tree, which has no places and no node for what XQuery adds.

// name is an expanded QName with the prefix it was written with.
type name struct{ prefix, uri, local string }

func (n name) key() name { return name{uri: n.uri, local: n.local} }

// String is how the name was written, as far as that is known.
func (n name) String() string {
	switch {
	case n.prefix != "":
		return n.prefix + ":" + n.local
	case n.uri != "" && n.uri != xpath3.NSFn:
		return "Q{" + n.uri + "}" + n.local
	}
	return n.local
}

// expr is an expression of the source.
type expr interface {
	// at is the offset of what a message about the expression should point to.
	at() int
}

type offset int

func (o offset) at() int { return int(o) }

type (
	// literal is a number or a string; value is what helium's LiteralExpr holds.
	literal struct {
		offset
		value any
	}
	variable struct {
		offset
		name name
	}
	contextItem struct{ offset }
	// sequenceOf is (a, b, c), and () when it is empty.
	sequenceOf struct {
		offset
		items []expr
	}
	// operation is a binary operator; for "||", "and" and "or" it holds a whole row of operands.
	operation struct {
		offset
		op       xpath3.TokenType
		operands []expr
	}
	unary struct {
		offset
		operand expr
		negate  bool
	}
	// typed is "instance of", "treat as", "cast as" and "castable as", told apart by op.
	typed struct {
		offset
		op         xpath3.TokenType
		operand    expr
		kind       xpath3.SequenceType // of instance of and treat as
		atomic     name                // of cast as and castable as
		allowEmpty bool
		static     *static // of a cast to xs:QName
	}
	// path is a path expression. Each part is applied to the result of the one before; the first stands by itself.
	path struct {
		offset
		fromRoot bool // the path starts with "/" or "//"
		parts    []part
	}
	// filter is a primary expression with predicates.
	filter struct {
		offset
		base       expr
		predicates []expr
	}
	lookup struct {
		offset
		base expr // nil: the context item
		key  expr // nil: all
	}
	call struct {
		offset
		name   name
		args   []expr  // nil stands for a placeholder "?"
		static *static // of a call of a function that needs it
	}
	dynamicCall struct {
		offset
		function expr
		args     []expr
	}
	functionRef struct {
		offset
		name  name
		arity int
	}
	inlineFunction struct {
		offset
		params  []parameter
		returns *xpath3.SequenceType
		body    expr
	}
	mapOf struct {
		offset
		keys, values []expr
	}
	arrayOf struct {
		offset
		members []expr
		square  bool
	}
	conditional struct {
		offset
		test, then, otherwise expr
	}
	quantified struct {
		offset
		every     bool
		bindings  []clause
		satisfies expr
	}
	tryCatch struct {
		offset
		body    expr
		catches []catch
	}
	flwor struct {
		offset
		clauses []clause
		result  expr
	}
)

// part is one part of a path: an axis step, or any expression when step is nil.
type part struct {
	descendants bool // written after "//"
	step        *step
	expr        expr
}

type step struct {
	offset
	axis       xpath3.AxisType
	test       xpath3.NodeTest
	name       name // of a name test
	predicates []expr
}

type parameter struct {
	offset
	name name
	kind *xpath3.SequenceType
}

type catch struct {
	offset
	codes []string
	body  expr
}

// clauseKind is the kind of a FLWOR clause.
type clauseKind uint8

const (
	clauseFor clauseKind = iota
	clauseLet
	clauseWhere
	clauseOrder
	clauseGroup
	clauseCount
	clauseWindow
)

// clause is a clause of a FLWOR expression, a binding of a quantified expression, or a variable of the prolog.
type clause struct {
	offset
	is       clauseKind
	variable name
	position name // of "at", no local name when there is none
	posAt    offset
	kind     *xpath3.SequenceType
	expr     expr // the binding sequence or the condition
	keys     []orderKey
	groups   []groupKey
	window   *window
	// allowEmpty binds the variable once to nothing when the binding sequence is empty.
	allowEmpty bool
	external   bool // a variable of the prolog that the caller may supply
	private    bool // a variable of the prolog that importing modules do not see
}

// groupKey is a grouping specification; expr is nil for a variable that is bound already.
type groupKey struct {
	offset
	name      name
	kind      *xpath3.SequenceType
	expr      expr
	collation string
}

// window is what a window clause has beyond a "for".
type window struct {
	tumbling bool
	start    windowCondition
	end      *windowCondition // nil: a tumbling window ends before the next one starts
	only     bool
}

// windowCondition are the variables and the condition of a window's start or end; names without a local one are not
// bound.
type windowCondition struct {
	item, position, previous, next name
	when                           expr
}

func (c *windowCondition) names() []name { return []name{c.item, c.position, c.previous, c.next} }

// names are the variables of the conditions.
func (w *window) names() []name {
	if w.end == nil {
		return w.start.names()
	}
	return append(w.start.names(), w.end.names()...)
}

// orderKey is an order specification.
type orderKey struct {
	expr       expr
	descending bool
	greatest   bool // empty greatest
	collation  string
}

// module is a parsed module.
type module struct {
	uri        string            // of a library module
	prefix     string            // that a library module gives its namespace
	end        int               // the offset of its end
	namespaces map[string]string // declared by the prolog, by prefix
	elements   string            // the default element namespace
	imports    []string
	variables  []clause
	functions  []*userFunction
	context    *clause
	formats    map[xpath3.QualifiedName]xpath3.DecimalFormat
	// declaredFormats are the formats that are not just those of the options.
	declaredFormats map[xpath3.QualifiedName]bool
	output          map[string]string // serialization parameters
	collation       string
	baseURI         string
	// preserveSpace keeps boundary white space; preserve and inherit are the modes of copied namespaces.
	preserveSpace, preserve, inherit bool
	// durations says that, in a main module, the query can make values of xs:duration itself.
	durations bool
	// keepTypes is the construction mode "preserve".
	keepTypes bool
	// beyond says that the module is more than an expression of XPath 3.1.
	beyond bool

	body      expr
	libraries []*module // of a main module: all that are imported, what a module imports before it
}

// userFunction is a function of a prolog.
type userFunction struct {
	inlineFunction
	name     name
	private  bool
	external bool
}

// nodeKind is the kind of node that a constructor makes.
type nodeKind uint8

const (
	nodeElement nodeKind = iota
	nodeAttribute
	nodeText
	nodeComment
	nodePI
	nodeDocument
	nodeNamespace
)

type (
	// constructor is a direct or computed constructor.
	constructor struct {
		offset
		is         nodeKind
		direct     bool
		name       name
		nameExpr   expr // the name of a computed constructor that has no fixed one
		attributes []*constructor
		declared   []declaration // the namespace declarations of a direct element
		content    []expr
		static     *static
	}
	// textPiece is literal text of a direct constructor.
	textPiece struct {
		offset
		text string
	}
	// enclosedExpr is an expression in the content of a constructor.
	enclosedExpr struct {
		offset
		body expr
	}
	// joined are the items of an interpolated expression with spaces between them.
	joined struct {
		offset
		body expr
	}
	switchOf struct {
		offset
		operand   expr
		cases     []switchCase
		otherwise expr
	}
	switchCase struct {
		tests  []expr
		result expr
	}
	// typeSwitch has its default as the last case, without types.
	typeSwitch struct {
		offset
		operand expr
		cases   []typeCase
	}
	typeCase struct {
		offset
		variable name
		kinds    []xpath3.SequenceType
		result   expr
	}
)

// declaration is a namespace declaration.
type declaration struct{ prefix, uri string }
