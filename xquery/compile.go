package xquery

import (
	"maps"
	"slices"
	"strconv"
	"sync"

	"github.com/lestrrat-go/helium/xpath3"
)

// Query is a compiled query: immutable, safe for concurrent use.
type Query struct {
	source  string
	origin  origin
	options Options
	module  *module
	program *xpath3.Expression

	// identity is a query that is just ".": helium answers it from storage that the next evaluation overwrites.
	identity bool
	// clocked says that the query can ask for the current time, so that the evaluation's clock must be set.
	clocked    bool
	effects    []string
	uses       Uses
	namespaces map[string]string
	functions  map[xpath3.QualifiedName]xpath3.Function

	constructions []*construction
	statics       []*static
	coercions     []xpath3.FunctionTest
	formatters    map[*module]map[xpath3.QualifiedName]xpath3.FunctionItem

	// plain says that an evaluation without variables needs nothing that another query's worker does not have.
	plain   bool
	workers pool
	typed   pool // with a table of types
	reads   func() Paths
	tracer  func() *xpath3.Expression

	streamer func() *xpath3.Expression
}

// Compile checks and compiles source. Its error is an *Error with the W3C code and the place. The options' maps and
// slices must not be changed afterwards.
func Compile(source string, options Options) (*Query, error) {
	o := origin{text: source, file: options.File, line: max(options.Line, 1), column: max(options.Column, 1)}
	if len(source) > MaxSource {
		o.text = ""
		return nil, o.asError(tooMuch(0, "the query is larger than %d bytes", MaxSource))
	}
	return compileText(source, o, options)
}

// compileText is Compile for a text that is not too long. A mistake of ours is an error of this query: whoever compiles
// what strangers send must live on.
func compileText(source string, o origin, options Options) (compiled *Query, err error) {
	defer func() {
		if broken := recover(); broken != nil {
			compiled, err = nil, o.asError(fail(codeExternal, 0, "the compilation failed unexpectedly: %v", broken))
		}
	}()
	m, err := parse(&o, &options)
	if err != nil {
		return nil, o.asError(err)
	}
	q := &Query{source: source, origin: o, options: options, module: m}
	c := &compiler{options: &q.options, module: m}
	tree, err := c.compile()
	if err != nil {
		return nil, o.asError(err)
	}
	c.prefixes = c.prefixes || c.names && c.generals // an untyped value is cast to the type of the other side
	if q.program, err = xpath3.NewCompiler().CompileExpr(tree); err != nil {
		return nil, o.asError(err)
	}
	_, q.identity = tree.(xpath3.ContextItemExpr)
	q.clocked = c.clocked
	q.effects = c.effectNames()
	q.functions = c.functionTable()
	q.namespaces = c.namespaceTable()
	q.uses = c.usage()
	q.constructions, q.statics, q.formatters, q.coercions = c.constructions, c.statics, c.formatters, c.coercions
	q.plain = !c.prefixes && !c.lookups && len(c.externals) == 0 && len(c.user) == 0 && m.plain()
	q.reads = sync.OnceValue(func() Paths { return analyse(q) })
	q.tracer = sync.OnceValue(q.compileTracer)
	q.streamer = sync.OnceValue(q.compileStreamer)
	return q, nil
}

// compileTracer compiles the query once more, with every expression announcing its place: see Query.trace.
func (q *Query) compileTracer() *xpath3.Expression {
	c := &compiler{options: &q.options, module: q.module, traced: true}
	tree, err := c.compile()
	if err != nil {
		return nil
	}
	program, err := xpath3.NewCompiler().CompileExpr(tree)
	if err != nil {
		return nil
	}
	return program
}

// Source is the text that was compiled.
func (q *Query) Source() string { return q.source }

// Effects are the local names of the used functions that have an effect, sorted. A query that can look functions up by
// name counts as using all of them.
func (q *Query) Effects() []string { return slices.Clone(q.effects) }

// Reads are the paths that the query can read, found by static analysis at the first call.
func (q *Query) Reads() Paths { return q.reads() }

// compiler turns a syntax tree into helium's. It resolves variables and functions, so that a query that compiles has
// neither undeclared ones nor wrong numbers of arguments.
//
// What XQuery has beyond XPath becomes helium's own nodes where they suffice ("where" is a conditional, a variable of
// the prolog is a "let"), or calls of hook functions whose names no source can write (hooks.go). Hooks get what they
// need as arguments, so they work at any depth, and helium keeps the focus and the variables.
type compiler struct {
	options *Options
	module  *module
	scope   []binding
	// reserved are the variables that helium sets in a catch: they have fixed names.
	clocked   bool
	lookups   bool // the query can look functions up by name
	names     bool // the query can make values of xs:QName, and compares
	generals  bool
	prefixes  bool // the query can expand prefixes at run time
	externals map[xpath3.QualifiedName]int
	traced    bool
	hidden    int
	loops     int // that what is compiled stands in
	joins     int

	// current is the module that is being compiled. user are the functions of all modules, defined those with a body in
	// the order of the evaluation's table, globals the variables.
	uses           []string // the external variables that are used
	current        *module
	forward        bool // variables are used before their declarations
	user           map[functionKey]*declared
	defined        []*declared
	globals        []*globalVariable
	hiddenPrefixes map[string]string
	constructions  []*construction
	statics        []*static
	coercions      []xpath3.FunctionTest
	formatters     map[*module]map[xpath3.QualifiedName]xpath3.FunctionItem
}

// binding is a variable in scope.
type binding struct {
	name     name
	helium   string // its name in helium's tree
	used     bool
	double   bool   // all its items are of the type xs:double
	external string // its name in Input.Variables, if it is external
	global   int    // one more than the index of a variable of a prolog, if it is evaluated at its first use
}

// compile compiles the prolog and the body.
func (c *compiler) compile() (tree xpath3.Expr, err error) {
	defer func() {
		switch f := recover().(type) {
		case nil:
		case *failure:
			tree, err = nil, f
		case forwardReference:
			again := &compiler{options: c.options, module: c.module, traced: c.traced, forward: true}
			tree, err = again.compile()
			*c = *again
		default:
			panic(f)
		}
	}()
	c.current = c.module
	if c.forward || len(c.module.functions) > 0 || len(c.module.libraries) > 0 || c.module.context != nil {
		c.collect()
		return c.lazyProgram(), nil
	}
	c.bindOptions()
	if len(c.module.variables) == 0 {
		return c.expr(c.module.body), nil
	}
	var s stream
	for i := range c.module.variables {
		c.prologVariable(&s, &c.module.variables[i])
	}
	return s.build(c.expr(c.module.body)), nil
}

// bindOptions puts the external variables that need no declaration into scope.
func (c *compiler) bindOptions() {
	for _, v := range c.options.Variables {
		c.bind(name{local: v})
		c.scope[len(c.scope)-1].external = v
	}
}

// prologVariable binds a variable of the prolog. An external one without a value of its own needs no clause: helium
// asks the evaluation for it.
func (c *compiler) prologVariable(s *stream, v *clause) {
	switch {
	case !v.external:
		value := c.expr(v.expr)
		s.let(c.bind(v.variable), value)
	case v.expr != nil:
		key := variableKey(v.variable)
		value := xpath3.IfExpr{
			Cond: hookCall(hookSupplied, xpath3.LiteralExpr{Value: key}),
			Then: xpath3.VariableExpr{Name: key},
			Else: c.expr(v.expr),
		}
		s.let(c.bind(v.variable), value)
		c.scope[len(c.scope)-1].external = key
	default:
		c.bind(v.variable)
		c.scope[len(c.scope)-1].external = variableKey(v.variable)
	}
	c.declareType(s, v)
}

// bind puts a variable into scope and returns its name in helium's tree.
func (c *compiler) bind(n name) string { return c.bindAs(n, variableKey(n)) }

// variableKey is the name of a variable in helium's tree, and of an external one in Input.Variables.
func variableKey(n name) string {
	if n.uri == "" {
		return n.local
	}
	return "Q{" + n.uri + "}" + n.local
}

func (c *compiler) bindAs(n name, helium string) string {
	c.scope = append(c.scope, binding{name: n, helium: helium})
	return helium
}

// known notes what is known of the variable that was bound last.
func (c *compiler) known(double bool) { c.scope[len(c.scope)-1].double = double }

// hide makes a name for a variable of our own.
func (c *compiler) hide() string {
	c.hidden++
	return hiddenName(c.hidden)
}

// variable finds a variable in scope.
func (c *compiler) variable(v *variable) xpath3.Expr {
	for i := len(c.scope) - 1; i >= 0; i-- {
		b := &c.scope[i]
		if b.name.local == v.name.local && b.name.uri == v.name.uri {
			b.used = true
			if b.external != "" && !slices.Contains(c.uses, b.external) {
				c.uses = append(c.uses, b.external)
			}
			if b.global > 0 {
				return hookCall(hookGlobal, integerOf(b.global-1+len(c.defined)))
			}
			return xpath3.VariableExpr{Name: b.helium}
		}
	}
	for i := range c.module.variables {
		if !c.forward && len(c.user) == 0 && c.module.variables[i].variable.key() == v.name.key() {
			panic(forwardReference{})
		}
	}
	f := fail(codeUndeclared, int(v.offset), "the variable $%s is not declared", v.name)
	var names []string
	for _, b := range c.scope {
		names = append(names, b.name.String())
	}
	panic(f.suggest("$", v.name.local, names))
}

// forwardReference is raised when a variable of the prolog is used before its declaration: see compile.
type forwardReference struct{}

// namespaceTable are the prefixes that helium may need at run time.
func (c *compiler) namespaceTable() map[string]string {
	if !c.prefixes && len(c.hiddenPrefixes) == 0 {
		return noNamespaces
	}
	if !c.prefixes {
		all := maps.Clone(c.hiddenPrefixes)
		all[noNamespace] = ""
		return all
	}
	all := maps.Clone(predeclared)
	maps.Copy(all, c.options.Namespaces)
	maps.Copy(all, c.module.namespaces)
	maps.Copy(all, c.hiddenPrefixes)
	all[noNamespace] = ""
	if c.module.elements != "" {
		all[""] = c.module.elements
	}
	return all
}

var noNamespaces = map[string]string{noNamespace: ""}

// functionTable are the functions that helium finds by their qualified names.
func (c *compiler) functionTable() map[xpath3.QualifiedName]xpath3.Function {
	if len(c.externals) == 0 && !c.lookups && len(c.user) == 0 {
		return replaced
	}
	table := maps.Clone(replaced)
	for k, d := range c.user {
		key := xpath3.QualifiedName{URI: k.name.uri, Name: k.name.local}
		calls, _ := table[key].(*userCalls)
		if calls == nil {
			calls = &userCalls{byArity: make(map[int]*declared)}
			table[key] = calls
		}
		calls.byArity[k.arity] = d
	}
	for i := range c.options.Functions {
		f := &c.options.Functions[i]
		key := xpath3.QualifiedName{URI: f.Namespace, Name: f.Name}
		if _, used := c.externals[key]; used || c.lookups {
			e, _ := table[key].(*externalFunction)
			table[key] = e.with(f)
		}
	}
	return table
}

func (c *compiler) effectNames() []string {
	var names []string
	for i := range c.options.Functions {
		f := &c.options.Functions[i]
		_, used := c.externals[xpath3.QualifiedName{URI: f.Namespace, Name: f.Name}]
		if f.Effect && (used || c.lookups) && !slices.Contains(names, f.Name) {
			names = append(names, f.Name)
		}
	}
	slices.Sort(names)
	return names
}

// plain reports whether the module leaves the static context that helium sees as it is.
func (m *module) plain() bool {
	return m.collation == codepointCollation && m.baseURI == "" && len(m.formats) == 0
}

// Uses is what a query refers to.
type Uses struct {
	// Variables are the external variables, by the names that Input.Variables has, and Functions the external functions as
	// "name#arity" or "Q{uri}name#arity", both sorted. A query that can look functions up by name counts as using all.
	Variables, Functions []string
	// XPath says that the query is an expression of XPath 3.1.
	XPath bool
}

// Uses are the external variables and functions that the query refers to, and whether it is just XPath.
func (q *Query) Uses() Uses {
	u := q.uses
	u.Variables, u.Functions = slices.Clone(u.Variables), slices.Clone(u.Functions)
	return u
}

func (c *compiler) usage() Uses {
	u := Uses{Variables: c.uses, XPath: !c.module.beyond}
	slices.Sort(u.Variables)
	for i := range c.options.Functions {
		f := &c.options.Functions[i]
		if _, used := c.externals[xpath3.QualifiedName{URI: f.Namespace, Name: f.Name}]; used || c.lookups {
			u.Functions = append(u.Functions, variableKey(name{uri: f.Namespace, local: f.Name})+"#"+strconv.Itoa(f.Arity))
		}
	}
	slices.Sort(u.Functions)
	return u
}
