package xquery

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lestrrat-go/helium/xpath3"
)

// call compiles a static function call. Functions that it makes of others count their calls.
func (c *compiler) call(e *call) xpath3.Expr {
	target := c.direct(e)
	if nestsResults(e.name.uri, e.name.local) {
		target = hookCall(hookNested, target)
	}
	if slices.Contains(e.args, nil) || e.name.uri == xpath3.NSFn && e.name.local == "function-lookup" {
		return hookCall(hookFunction, target)
	}
	return target
}

// direct compiles the call itself.
func (c *compiler) direct(e *call) xpath3.Expr {
	prefix, local := c.function(e.offset, e.name, len(e.args))
	if edited := c.edited(e); edited != nil {
		return edited
	}
	target := xpath3.FunctionCall{Prefix: prefix, Name: local, Args: c.exprs(e.args)}
	if d := c.userCall(e.name, len(e.args)); d != nil {
		return atomizedCall(d, e, target)
	}
	if !accepts(e.name, len(e.args)) {
		return target // a function of the caller
	}
	switch e.name.uri {
	case xpath3.NSXS:
		return c.castCall(e, target)
	case xpath3.NSFn, xpath3.NSArray:
		return c.standardCall(e, target)
	}
	return target
}

// atomizedCall is a call of a function of the query, with arguments that are atomized where it declares many atomic values.
func atomizedCall(d *declared, e *call, target xpath3.FunctionCall) xpath3.Expr {
	if !anyManyAtoms(d.types) {
		return target
	}
	if slices.Contains(e.args, nil) {
		ref := xpath3.NamedFunctionRef{Prefix: target.Prefix, Name: target.Name, Arity: len(e.args)}
		return xpath3.DynamicFunctionCall{Func: hookCall(hookParams, ref), Args: target.Args}
	}
	for i := range d.types {
		if manyAtoms(&d.types[i]) && !isAtomic(e.args[i]) {
			target.Args[i] = hookCall(hookAtoms, target.Args[i])
		}
	}
	return target
}

// castCall compiles a call of the function that has the name of a type.
func (c *compiler) castCall(e *call, target xpath3.FunctionCall) xpath3.Expr {
	if len(e.args) != 1 || e.args[0] == nil {
		return target
	}
	if e.name.local == "QName" {
		return c.qname(e.static, target.Args[0], hookQName, true)
	}
	target.Args[0] = digits(e.name.local, target.Args[0])
	if call, ok := target.Args[0].(xpath3.FunctionCall); (!ok || call.Name != hookDigits) && !isAtomic(e.args[0]) {
		target.Args[0] = hookCall(hookAtoms, target.Args[0])
	}
	if makesText(e.name.local) {
		return hookCall(hookText, target)
	}
	return target
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
	if d := c.userCall(e.name, e.arity); d != nil {
		ref := xpath3.NamedFunctionRef{Prefix: prefix, Name: local, Arity: e.arity}
		if anyManyAtoms(d.types) {
			return hookCall(hookParams, ref)
		}
		return ref
	}
	if e.name.uri == xpath3.NSFn && e.arity == 0 && focused[local] {
		// The guarded function does not see the focus of the reference, the one under its qualified name does.
		prefix, local = "", "Q{"+xpath3.NSFn+"}"+local
	}
	ref := xpath3.NamedFunctionRef{Prefix: prefix, Name: local, Arity: e.arity}
	if e.name.uri == xpath3.NSFn && e.name.local == "function-lookup" && c.current != c.module {
		return hookCall(hookFunction, ref, contextOrNothing, c.staticBase())
	}
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
		if g, ok := hooks[n.local]; ok && arity > g.MaxArity() && g.MaxArity() >= 0 {
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

// contextual reports whether a guarded function depends on what the module sets of the static context, so that helium's
// function must be that of the evaluation.
func (m *module) contextual(local string) bool {
	switch local {
	case "distinct-values", "index-of", "sort", "substring-before", "substring-after", "contains", "starts-with",
		"ends-with":
		return m.collation != codepointCollation
	case "format-number":
		return len(m.formats) > 0
	case "resolve-uri", "parse-xml", "parse-xml-fragment", "json-to-xml", "analyze-string":
		return m.baseURI != ""
	}
	return false
}
