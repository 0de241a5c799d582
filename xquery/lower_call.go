package xquery

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lestrrat-go/helium/xpath3"
)

// call compiles a static function call.
func (c *compiler) call(e *call) xpath3.Expr {
	prefix, local := c.function(e.offset, e.name, len(e.args))
	if edited := c.edited(e); edited != nil {
		return edited
	}
	args := c.exprs(e.args)
	if e.name.uri == xpath3.NSFn && len(args) > 0 {
		switch e.name.local {
		case "count", "exists", "empty", "codepoints-to-string", "subsequence":
			args[0] = longRangeOf(args[0])
		}
	}
	if e.name.uri == xpath3.NSXS {
		if local == "QName" && len(args) == 1 && e.args[0] != nil {
			return c.qname(e.static, args[0], hookQName, true)
		}
		if len(args) == 1 && e.args[0] != nil {
			args[0] = digits(e.name.local, args[0])
		}
	}
	c.collate(e, args)
	if array := e.name.uri == xpath3.NSArray; (array || e.name.uri == xpath3.NSFn) && len(args) > 0 {
		if (local == "filter" || strings.HasSuffix(local, "}filter")) && len(args) == 2 && e.args[1] != nil {
			args[1] = hookCall(hookPredicate, args[1])
		}
	}
	if e.name.uri == xpath3.NSFn || e.name.uri == xpath3.NSArray {
		args = c.defaultCollation(e, args)
	}
	if e.name.uri == xpath3.NSFn {
		switch {
		case e.name.local == "static-base-uri":
			return c.staticBase()
		case e.name.local == "json-doc" && !slices.Contains(e.args, nil):
			return jsonDocument(args)
		case e.name.local == "function-lookup" && !slices.Contains(e.args, nil):
			return hookCall(hookFunction, xpath3.FunctionCall{Prefix: prefix, Name: local, Args: args}, contextOrNothing)
		}
		args = adapt(e, args)
		if e.name.local == "format-number" && !slices.Contains(e.args, nil) {
			return c.formatCall(e.static, args)
		}
	}
	call := xpath3.FunctionCall{Prefix: prefix, Name: local, Args: args}
	if e.name.uri == xpath3.NSXS && len(args) == 1 && e.args[0] != nil && makesText(e.name.local) {
		return hookCall(hookText, call)
	}
	return call
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
	if e.name.uri != xpath3.NSFn || len(args) == 0 || collationArgument[e.name.local] != len(args) {
		return
	}
	if l, ok := e.args[len(args)-1].(*literal); ok {
		if uri, ok := l.value.(string); ok && !hasScheme(uri) {
			args[len(args)-1] = xpath3.LiteralExpr{Value: c.current.absolute(uri)}
		}
	}
}

// defaultCollation gives fn:sort and array:sort the default collation, which helium does not.
func (c *compiler) defaultCollation(e *call, args []xpath3.Expr) []xpath3.Expr {
	if e.name.local != "sort" || c.current.collation == codepointCollation || slices.Contains(e.args, nil) {
		return args
	}
	uri := xpath3.LiteralExpr{Value: c.current.collation}
	if len(args) == 1 {
		return append(args, uri)
	}
	args[1] = hookCall(hookElse, args[1], uri)
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

// temporal is the type of the first parameter of a function on dates, times or durations, or nothing.
func temporal(local string) string {
	for _, suffix := range [...]string{"dateTime", "date", "time", "duration", "QName"} {
		if strings.HasSuffix(local, "-from-"+suffix) || local == "format-"+suffix || local == "adjust-"+suffix+"-to-timezone" {
			return "xs:" + suffix
		}
	}
	return ""
}

// implicit are further functions that without an argument take the context item. They get it as an argument, because
// helium takes an absent one for one that is no node.
var implicit = map[string]bool{
	"name": true, "local-name": true, "namespace-uri": true, "node-name": true, "root": true, "base-uri": true,
	"document-uri": true, "nilled": true, "has-children": true, "path": true, "generate-id": true,
}

// makesText reports whether values of the type are texts of any length.
func makesText(local string) bool {
	switch local {
	case "string", "normalizedString", "token", "untypedAtomic", "anyURI", "hexBinary", "base64Binary", "language",
		"Name", "NCName", "NMTOKEN", "NMTOKENS", "ID", "IDREF", "IDREFS", "ENTITY", "ENTITIES":
		return true
	}
	return false
}

// functionRef compiles "name#arity".
func (c *compiler) functionRef(e *functionRef) xpath3.Expr {
	prefix, local := c.function(e.offset, e.name, e.arity)
	if e.name.uri == xpath3.NSXS && local == "QName" {
		c.prefixes = true
	}
	if c.userCall(e.name, e.arity) != nil {
		return xpath3.NamedFunctionRef{Prefix: prefix, Name: local, Arity: e.arity}
	}
	if e.name.uri == xpath3.NSFn && e.arity == 0 && focused[local] {
		// The guarded function does not see the focus of the reference, the one under its qualified name does.
		prefix, local = "", "Q{"+xpath3.NSFn+"}"+local
	}
	ref := xpath3.NamedFunctionRef{Prefix: prefix, Name: local, Arity: e.arity}
	if e.name.uri == xpath3.NSFn && e.arity == 0 {
		if e.name.local == "static-base-uri" && c.current != c.module {
			return hookCall(hookFunction, xpath3.InlineFunctionExpr{Body: c.staticBase()})
		}
		if implicit[e.name.local] || focused[e.name.local] {
			return hookCall(hookFunction, ref, contextOrNothing)
		}
	}
	return hookCall(hookFunction, ref)
}

// contextOrNothing is the context item, if there is one.
var contextOrNothing = xpath3.TryCatchExpr{
	Try: xpath3.ContextItemExpr{}, Catches: []xpath3.CatchClause{{Expr: empty}},
}

// function resolves a function that takes so many arguments to helium's name for it.
func (c *compiler) function(at offset, n name, arity int) (prefix, local string) {
	if f := c.external(n, arity); f != nil {
		key := xpath3.QualifiedName{URI: f.Namespace, Name: f.Name}
		if c.externals == nil {
			c.externals = make(map[xpath3.QualifiedName]int, 4)
		}
		c.externals[key]++
		return "", "Q{" + f.Namespace + "}" + f.Name
	}
	if d := c.userCall(n, arity); d != nil {
		return c.hiddenPrefix(n.uri), n.local
	}
	if !accepts(n, arity) {
		panic(c.noFunction(at, n, arity))
	}
	switch n.uri {
	case xpath3.NSFn:
		c.note(n.local, arity)
		if g, ok := hooks[n.local]; ok && (arity > g.MaxArity() && g.MaxArity() >= 0 || c.module.contextual(n.local)) {
			return "", "Q{" + xpath3.NSFn + "}" + n.local
		}
		return "", n.local
	case xpath3.NSXS:
		return "xs", n.local
	case xpath3.NSMath:
		return "math", n.local
	case xpath3.NSMap:
		return "map", n.local
	case xpath3.NSArray:
		return "array", n.local
	}
	return "", "Q{" + n.uri + "}" + n.local
}

// accepts says whether a standard function takes so many arguments.
func accepts(n name, arity int) bool {
	if n.uri == xpath3.NSFn && strings.HasPrefix(n.local, "format-") && temporal(n.local) != "" && arity != 2 && arity != 5 {
		return false
	}
	return xpath3.StandardFunctionAcceptsArity(n.uri, n.local, arity)
}

// note remembers what a function needs at run time.
func (c *compiler) note(local string, arity int) {
	switch local {
	case "current-dateTime", "current-date", "current-time":
		c.clocked = true
	case "random-number-generator":
		c.clocked = c.clocked || arity == 0
	case "node-name", "QName", "resolve-QName", "function-name":
		c.names = true
	case "format-number":
		c.prefixes = c.prefixes || arity == 3
	case "function-lookup":
		c.clocked, c.lookups = true, true
	}
}

// external finds a function of the caller's. One in no namespace may be called without a prefix, behind the standard
// functions.
func (c *compiler) external(n name, arity int) *Function {
	for i := range c.options.Functions {
		f := &c.options.Functions[i]
		if f.Name != n.local || f.Arity != arity {
			continue
		}
		if f.Namespace == n.uri || f.Namespace == "" && n.prefix == "" && n.uri == xpath3.NSFn &&
			!accepts(n, arity) {
			return f
		}
	}
	return nil
}

// noFunction says why a call does not fit: the number of arguments, or the name with the nearest right one.
func (c *compiler) noFunction(at offset, n name, arity int) *failure {
	arities := c.arities(n)
	if len(arities) > 0 {
		return fail(codeFunction, int(at), "the function %s takes %s, not %d", n, countArguments(arities), arity)
	}
	prefix := ""
	if n.prefix != "" {
		prefix = n.prefix + ":"
	}
	return fail(codeFunction, int(at), "there is no function %s", n).suggest(prefix, n.local, c.functionNames(n))
}

// arities are the numbers of arguments that functions of this name take.
func (c *compiler) arities(n name) []string {
	var all []string
	for i := range maxListedArity {
		if c.external(n, i) != nil || c.userCall(n, i) != nil || accepts(n, i) {
			all = append(all, fmt.Sprint(i))
		}
	}
	return all
}

const maxListedArity = 8

func countArguments(arities []string) string {
	if len(arities) == 1 {
		if arities[0] == "1" {
			return "1 argument"
		}
		return arities[0] + " arguments"
	}
	last := len(arities) - 1
	return strings.Join(arities[:last], ", ") + " or " + arities[last] + " arguments"
}

func (c *compiler) functionNames(n name) []string {
	var all []string
	for i := range c.options.Functions {
		if f := &c.options.Functions[i]; f.Namespace == n.uri || f.Namespace == "" {
			all = append(all, f.Name)
		}
	}
	for k, d := range c.user {
		if k.name.uri == n.uri && c.current.sees(d.module, d.private) {
			all = append(all, k.name.local)
		}
	}
	switch n.uri {
	case xpath3.NSFn:
		all = append(all, strings.Fields(functionNames)...)
	case xpath3.NSXS:
		all = append(all, typeNames...)
	case xpath3.NSMap:
		all = append(all, strings.Fields("merge size keys contains get put entry remove for-each find")...)
	case xpath3.NSArray:
		all = append(all, strings.Fields(`size get put append subarray remove insert-before head tail reverse join flatten
			filter fold-left fold-right for-each for-each-pair sort`)...)
	case xpath3.NSMath:
		all = append(all, strings.Fields("pi exp exp10 log log10 pow sqrt sin cos tan asin acos atan atan2")...)
	}
	return all
}

// functionNames are the functions of XPath Functions 3.1 in the fn namespace, for hints about misspelled ones.
const functionNames = `abs adjust-date-to-timezone adjust-dateTime-to-timezone adjust-time-to-timezone analyze-string
	apply available-environment-variables avg base-uri boolean ceiling codepoint-equal codepoints-to-string collation-key
	collection compare concat contains contains-token count current-date current-dateTime current-time data dateTime
	day-from-date day-from-dateTime days-from-duration deep-equal default-collation default-language distinct-values doc
	doc-available document-uri element-with-id empty encode-for-uri ends-with environment-variable error escape-html-uri
	exactly-one exists false filter floor fold-left fold-right for-each for-each-pair format-date format-dateTime
	format-integer format-number format-time function-arity function-lookup function-name generate-id has-children head
	hours-from-dateTime hours-from-duration hours-from-time id idref implicit-timezone in-scope-prefixes index-of
	innermost insert-before iri-to-uri json-doc json-to-xml lang last load-xquery-module local-name local-name-from-QName
	lower-case matches max min minutes-from-dateTime minutes-from-duration minutes-from-time month-from-date
	month-from-dateTime months-from-duration name namespace-uri namespace-uri-for-prefix namespace-uri-from-QName nilled
	node-name normalize-space normalize-unicode not number one-or-more outermost parse-ietf-date parse-json parse-xml
	parse-xml-fragment path position prefix-from-QName QName random-number-generator remove replace resolve-QName
	resolve-uri reverse root round round-half-to-even seconds-from-dateTime seconds-from-duration seconds-from-time
	serialize sort starts-with static-base-uri string string-join string-length string-to-codepoints subsequence substring
	substring-after substring-before sum tail timezone-from-date timezone-from-dateTime timezone-from-time tokenize trace
	transform translate true unordered unparsed-text unparsed-text-available unparsed-text-lines upper-case
	uri-collection xml-to-json year-from-date year-from-dateTime years-from-duration zero-or-one`

// contextual reports whether a guarded function depends on what the module sets of the static context, which the guard
// does not see.
func (m *module) contextual(local string) bool {
	switch local {
	case "distinct-values", "deep-equal", "index-of", "sort", "substring-before", "substring-after":
		return m.collation != codepointCollation
	case "format-number":
		return len(m.formats) > 0
	case "resolve-uri", "parse-xml", "parse-xml-fragment", "json-to-xml", "analyze-string":
		return m.baseURI != ""
	}
	return false
}
