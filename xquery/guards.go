package xquery

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"time"

	"github.com/lestrrat-go/helium"
	"github.com/lestrrat-go/helium/xpath3"
)

// timezone is the implicit timezone: fixed, so that a query means the same on every machine.
var timezone = time.UTC

// parseDepth bounds the nesting of documents that queries parse.
const parseDepth = 100

func newEvaluator() xpath3.Evaluator {
	return xpath3.NewEvaluator(xpath3.EvalBorrowing).
		ImplicitTimezone(timezone).
		TraceWriter(discard{}).
		Parser(helium.NewParser().MaxDepth(parseDepth))
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// builtin is a function of helium's with its own checks of arguments. It must not depend on the focus.
func builtin(local string, arity int) xpath3.FunctionItem {
	return builtinOf(newEvaluator(), "fn", local, arity)
}

// builtinOf is such a function as an evaluator gives it.
func builtinOf(evaluator xpath3.Evaluator, prefix, local string, arity int) xpath3.FunctionItem {
	ref := xpath3.NamedFunctionRef{Prefix: prefix, Name: local, Arity: arity}
	expression, err := xpath3.NewCompiler().CompileExpr(ref)
	if err != nil {
		panic("xquery: helium has no function " + local)
	}
	result, err := evaluator.Evaluate(context.Background(), expression, nil)
	if err != nil || result.Sequence().Len() != 1 {
		panic("xquery: helium has no function " + local)
	}
	f, _ := result.Sequence().Get(0).(xpath3.FunctionItem)
	return f
}

// guard is a function of helium's whose results count as constructed, so that no query can hold more memory than its
// limit allows. Slow ones look at the clock afterwards.
type guard struct {
	local   string // set if the function may be contextual
	least   int
	byArity []xpath3.FunctionItem // from least on
	before  func(b *budget, args []xpath3.Sequence) error
	slow    bool
	json    bool // the first argument is JSON
	within  func(ctx context.Context, b *budget, args []xpath3.Sequence) (context.Context, error)
}

func newGuard(name string, least, most int) *guard {
	g := &guard{least: least}
	for arity := least; arity <= most; arity++ {
		g.byArity = append(g.byArity, builtin(name, arity))
	}
	return g
}

func (g *guard) MinArity() int { return g.least }
func (g *guard) MaxArity() int { return g.least + len(g.byArity) - 1 }

func (g *guard) Call(ctx context.Context, args []xpath3.Sequence) (xpath3.Sequence, error) {
	b := budgetOf(ctx)
	if b == nil {
		return nil, errOutside
	}
	return g.invoke(ctx, b, args)
}

// call is the function for our own ones that only handle a part of its arguments.
func (g *guard) call(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	return g.invoke(b, b, args)
}

func (g *guard) invoke(ctx context.Context, b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	if g.before != nil {
		if err := g.before(b, args); err != nil {
			return nil, err
		}
	}
	if g.slow {
		b.steps += slowSteps(args)
		if err := b.check(); err != nil {
			return nil, err
		}
	}
	if g.within != nil {
		var err error
		if ctx, err = g.within(ctx, b, args); err != nil {
			return nil, err
		}
	}
	result, err := g.result(ctx, b, args)
	if g.json && errors.Is(err, xpath3.ErrRecursionLimit) && !json.Valid([]byte(textOf(args[0]))) {
		return nil, xpathError("FOJS0001", "the text is not JSON, and nests too deeply")
	}
	if g.slow {
		if late := b.afterSlow(err); late != nil {
			return nil, late
		}
	}
	if err != nil {
		return nil, err
	}
	return result, b.charge(result)
}

// result is that of helium's function.
func (g *guard) result(ctx context.Context, b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	if m := b.query.module; g.local != "" && !m.plain() && m.contextual(g.local) {
		return native(ctx, g.local, args)
	}
	return g.byArity[len(args)-g.least].Invoke(ctx, args)
}

// afterSlow looks at the limits after a slow function, also when that failed: a query could catch the error and go on.
func (b *budget) afterSlow(err error) error {
	if err != nil && strings.Contains(err.Error(), "match timeout") {
		return b.exceeded("a regular expression takes longer than %s", matchTime)
	}
	return b.check()
}

// matchTime bounds one match of a regular expression with back-references or character class subtraction, which
// helium matches by backtracking. All others take time in proportion to the text.
const matchTime = time.Second

// maxDepth bounds how deep helium's expressions nest when functions call each other. A call takes some ten levels, so
// that Limits.Depth is what is reached first; a level takes about a kilobyte of the stack.
const maxDepth = 20_000

func init() {
	xpath3.DefaultRegexMatchTimeout = matchTime
	xpath3.DefaultMaxRecursionDepth = maxDepth
}

// What a slow function takes over its first argument: a step for so many bytes of text, and so many for an item.
const (
	textStep  = 32
	itemSteps = 4
)

func slowSteps(args []xpath3.Sequence) int {
	s := args[0]
	if s == nil {
		return 0
	}
	if s.Len() != 1 {
		return s.Len() * itemSteps
	}
	a, _ := s.Get(0).(xpath3.AtomicValue)
	text, _ := a.Value.(string)
	return len(text) / textStep
}

// guardedFunctions lists the functions of the fn namespace that make new text or long sequences, with the smallest and
// the greatest number of arguments. Those that call functions of the query (sort with a key, parse-json with a fallback)
// are not among them: they need the query's own evaluation around them.
var guardedFunctions = []struct {
	name        string
	least, most int
	before      func(b *budget, args []xpath3.Sequence) error
	slow        bool
}{
	{name: "string", least: 1, most: 1},
	{name: "data", least: 1, most: 1},
	{name: "upper-case", least: 1, most: 1},
	{name: "lower-case", least: 1, most: 1},
	{name: "translate", least: 3, most: 3},
	{name: "normalize-space", least: 1, most: 1},
	{name: "normalize-unicode", least: 1, most: 2, before: knownForm},
	{name: "substring", least: 2, most: 3},
	{name: "substring-before", least: 2, most: 3, before: collatedSearch},
	{name: "substring-after", least: 2, most: 3, before: collatedSearch},
	{name: "contains", least: 2, most: 3, before: collatedSearch},
	{name: "starts-with", least: 2, most: 3, before: collatedEnd},
	{name: "ends-with", least: 2, most: 3, before: collatedEnd},
	{name: "string-to-codepoints", least: 1, most: 1},
	{name: "encode-for-uri", least: 1, most: 1},
	{name: "iri-to-uri", least: 1, most: 1},
	{name: "escape-html-uri", least: 1, most: 1},
	{name: "resolve-uri", least: 1, most: 2},
	{name: "xml-to-json", least: 1, most: 2, slow: true},
	{name: "json-to-xml", least: 1, most: 1, before: chargeTree, slow: true},
	{name: "parse-json", least: 1, most: 1, before: chargeTree, slow: true},
	{name: "parse-xml", least: 1, most: 1, before: chargeTree, slow: true},
	{name: "parse-xml-fragment", least: 1, most: 1, before: chargeTree, slow: true},
	{name: "format-integer", least: 2, most: 3, before: smallInteger},
	{name: "format-number", least: 2, most: 3, before: shortPicture},
	{name: "matches", least: 2, most: 3, slow: true},
	{name: "replace", least: 3, most: 4, before: boundedReplacement, slow: true},
	{name: "tokenize", least: 1, most: 3, slow: true},
	{name: "analyze-string", least: 2, most: 3, slow: true},
	{name: "reverse", least: 1, most: 1},
	{name: "insert-before", least: 3, most: 3},
	{name: "remove", least: 2, most: 2},
	{name: "distinct-values", least: 1, most: 2, slow: true},
	{name: "index-of", least: 2, most: 3, slow: true},
	{name: "sort", least: 1, most: 2, slow: true},
}

// focused are the guarded functions that without an argument take the context item.
var focused = map[string]bool{"string": true, "data": true, "normalize-space": true}

func guarded() map[string]xpath3.Function {
	table := make(map[string]xpath3.Function, len(guardedFunctions)+12)
	for _, f := range guardedFunctions {
		g := newGuard(f.name, f.least, f.most)
		g.local, g.before, g.slow = f.name, f.before, f.slow
		g.json = f.name == "parse-json" || f.name == "json-to-xml"
		if f.name == "analyze-string" {
			g.within = analyzed
		}
		table[f.name] = g
	}
	table["subsequence"] = &hook{2, 3, subsequence}
	table["codepoints-to-string"] = &hook{1, 1, codepointsToString}
	table["deep-equal"] = &hook{2, 3, deepEqual}
	table["serialize"] = &hook{1, 2, serialize}
	table["parse-ietf-date"] = &guard{
		least: 1, byArity: []xpath3.FunctionItem{builtin("parse-ietf-date", 1)}, before: shortDate,
	}
	table["trace"] = &hook{1, 2, traced}
	table["error"] = &hook{0, 3, raise}
	table["concat"] = &hook{2, -1, concat}
	table["string-join"] = &hook{1, 2, stringJoin}
	for _, local := range [...]string{"id", "element-with-id"} {
		table[local] = &idSearch{local}
	}
	for _, local := range [...]string{"format-date", "format-dateTime", "format-time"} {
		table[local] = &dateFormat{local}
	}
	return table
}

var errorFunctions = [...]xpath3.FunctionItem{
	builtin("error", 0), builtin("error", 1), builtin("error", 2), builtin("error", 3),
}

// raise is fn:error. The object of the error is kept for a catch.
func raise(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	_, err := errorFunctions[len(args)].Invoke(b, args)
	var raised *xpath3.XPathError
	if len(args) == 3 && errors.As(err, &raised) {
		b.raised = &raisedError{err: raised, object: args[2]}
	}
	return nil, err
}

// searchStep is how many bytes a search by a collation compares in a step.
const searchStep = 256

// collatedSearch counts the steps of a search by a collation of Unicode. helium compares each part of the text.
func collatedSearch(b *budget, args []xpath3.Sequence) error {
	return b.collatedTries(args, func(size float64) float64 { return size * size / 2 })
}

// collatedEnd does so where only the beginnings or the ends of the text are compared.
func collatedEnd(b *budget, args []xpath3.Sequence) error {
	return b.collatedTries(args, func(size float64) float64 { return size })
}

func (b *budget) collatedTries(args []xpath3.Sequence, tries func(size float64) float64) error {
	collation := b.query.module.collation
	if len(args) == 3 {
		collation = textOf(args[2])
	}
	if !strings.HasPrefix(collation, unicodeCollation) {
		return nil
	}
	size, sought := float64(textLength(args[0])), float64(textLength(args[1]))
	b.steps += int(min(tries(size)*(size/2+sought)/searchStep, maxItems))
	return b.check()
}

// unicodeCollation begins the URIs of the collations of Unicode.
const unicodeCollation = "http://www.w3.org/2013/collation/UCA"

// maxDate is longer than any date. helium's time for a longer text grows with the square of its length.
const maxDate = 1 << 10

func shortDate(_ *budget, args []xpath3.Sequence) error {
	if textLength(args[0]) > maxDate {
		return xpathError("FORG0010", "a text of more than %d bytes is no date", maxDate)
	}
	return nil
}

// traced is fn:trace, whose label and value go nowhere.
func traced(_ *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	if len(args) == 2 {
		if _, err := oneString(args[1]); err != nil {
			return nil, err
		}
	}
	return args[0], nil
}

// stringJoin is fn:string-join. It adds up the length before it joins: a sequence may hold the same long string many
// times.
func stringJoin(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	if err := b.Err(); err != nil {
		return nil, err
	}
	separator := ""
	if len(args) == 2 {
		s, err := oneString(args[1])
		if err != nil {
			return nil, err
		}
		separator = s
	}
	if args[0] == nil {
		return xpath3.SingleString(""), nil
	}
	atoms, err := b.atoms(args[0])
	if err != nil {
		return nil, err
	}
	var few [8]string
	texts, size := few[:0], 0
	for _, a := range atoms {
		s, err := xpath3.AtomicToString(a)
		if err != nil {
			return nil, err
		}
		size += len(s) + len(separator)
		texts = append(texts, s)
	}
	if err := b.construct(size); err != nil {
		return nil, err
	}
	return xpath3.SingleString(strings.Join(texts, separator)), nil
}

// oneString is an argument converted to xs:string.
func oneString(s xpath3.Sequence) (string, error) {
	atoms, err := atMost(s, 1)
	if err != nil {
		return "", err
	}
	if len(atoms) == 0 {
		return "", typeError("expected a string, but there is none")
	}
	if text, ok := atoms[0].Value.(string); ok {
		return text, nil
	}
	return "", typeError("expected a string, not %s", atoms[0].TypeName)
}

// treeCost is about how many bytes a parsed document takes for each of its source.
const treeCost = 16

// chargeTree counts a document before it is parsed.
func chargeTree(b *budget, args []xpath3.Sequence) error {
	b.grown = true
	return b.construct(treeCost * textLength(args[0]))
}

// textLength is the length of an argument that is a string or a node.
func textLength(s xpath3.Sequence) int { return len(textOf(s)) }

func textOf(s xpath3.Sequence) string {
	if s == nil || s.Len() != 1 {
		return ""
	}
	a, err := xpath3.AtomizeItem(s.Get(0))
	if err != nil {
		return ""
	}
	text, _ := a.Value.(string)
	return text
}

// boundedReplacement refuses a replacement that could not fit, whatever matches.
func boundedReplacement(b *budget, args []xpath3.Sequence) error {
	if most := (textLength(args[0]) + 1) * textLength(args[2]); most > b.limits.Constructed-b.constructed {
		return b.exceeded("a replacement may become larger than %d bytes", b.limits.Constructed)
	}
	return nil
}

// knownForm refuses a normalization form that helium takes for none.
func knownForm(_ *budget, args []xpath3.Sequence) error {
	if len(args) < 2 {
		return nil
	}
	form, err := oneString(args[1])
	if err != nil {
		return nil // the function itself reports it
	}
	form = strings.ToUpper(strings.TrimSpace(form))
	if _, known := normalizationForms[form]; !known && form != "" {
		return xpathError("FOCH0003", "the normalization form %q is not supported", form)
	}
	return nil
}

const (
	// maxFormatted bounds what is formatted as a Roman number, whose length grows with its value.
	maxFormatted = 1_000_000
	maxPicture   = 1 << 10
)

// shortPicture refuses a picture that no number needs.
func shortPicture(_ *budget, args []xpath3.Sequence) error {
	if textLength(args[1]) > maxPicture {
		return xpathError("FODF1310", "the picture is longer than %d bytes", maxPicture)
	}
	return nil
}

func smallInteger(_ *budget, args []xpath3.Sequence) error {
	if args[0] == nil || args[0].Len() != 1 || args[1] == nil || args[1].Len() != 1 {
		return nil
	}
	a, err := xpath3.AtomizeItem(args[0].Get(0))
	if err != nil {
		return nil // the function itself reports it
	}
	picture, err := oneString(args[1])
	if err != nil {
		return nil
	}
	if len(picture) > maxPicture {
		return xpathError("FODF1310", "the picture is longer than %d bytes", maxPicture)
	}
	if !strings.HasPrefix(strings.ToLower(picture), "i") {
		return nil
	}
	if n, ok := a.Int64Val(); a.IsNumeric() && (!ok || n > maxFormatted || n < -maxFormatted) {
		return xpathError("FODF1310", "the number is too large for this picture")
	}
	return nil
}

// refusal is a function that would reach outside of the query: into files, the network or the environment. It raises
// the error that its specification gives for what is not available, or returns what stands for that.
type refusal struct {
	least, most int
	code        string
	message     string
	result      xpath3.Sequence
	optional    bool // the first argument may be empty, and then so is the result
	strict      bool // the first argument must be a string
}

func (r *refusal) MinArity() int { return r.least }
func (r *refusal) MaxArity() int { return r.most }

func (r *refusal) Call(_ context.Context, args []xpath3.Sequence) (xpath3.Sequence, error) {
	if r.strict {
		if _, err := oneString(args[0]); err != nil {
			return nil, err
		}
	}
	if r.code == "" {
		return r.result, nil
	}
	if len(args) > 0 && r.optional && (args[0] == nil || args[0].Len() == 0) {
		return nil, nil
	}
	return nil, xpathError(r.code, "%s", r.message)
}

var refused = map[xpath3.QualifiedName]xpath3.Function{
	{URI: xpath3.NSFn, Name: "doc"}:                 &resource{"doc", refuse(1, 1, "FODC0002", "no documents are available")},
	{URI: xpath3.NSFn, Name: "doc-available"}:       &resource{"doc-available", notAvailable(1)},
	{URI: xpath3.NSFn, Name: "collection"}:          &resource{"collection", refuse(0, 1, "FODC0002", "no collections are available")},
	{URI: xpath3.NSFn, Name: "uri-collection"}:      &resource{"uri-collection", refuse(0, 1, "FODC0002", "no collections are available")},
	{URI: xpath3.NSFn, Name: "json-doc"}:            &resource{"json-doc", refuse(1, 2, "FOUT1170", "no texts are available")},
	{URI: xpath3.NSFn, Name: "unparsed-text"}:       &resource{"unparsed-text", refuse(1, 2, "FOUT1170", "no texts are available")},
	{URI: xpath3.NSFn, Name: "unparsed-text-lines"}: &resource{"unparsed-text-lines", refuse(1, 2, "FOUT1170", "no texts are available")},

	{URI: xpath3.NSFn, Name: "unparsed-text-available"}:         &resource{"unparsed-text-available", notAvailable(2)},
	{URI: xpath3.NSFn, Name: "environment-variable"}:            &refusal{least: 1, most: 1, strict: true},
	{URI: xpath3.NSFn, Name: "available-environment-variables"}: &refusal{},
	{URI: xpath3.NSFn, Name: "load-xquery-module"}:              refuse(1, 2, "FOQM0006", "modules cannot be loaded at run time"),
	{URI: xpath3.NSFn, Name: "transform"}:                       refuse(1, 1, "FOXT0004", "XSLT is not available"),
}

// replaced are all standard functions that helium finds by their qualified names and that are ours.
var replaced = func() map[xpath3.QualifiedName]xpath3.Function {
	table := combinations()
	maps.Copy(table, refused)
	return table
}()

func notAvailable(most int) *refusal {
	return &refusal{least: 1, most: most, result: xpath3.SingleBoolean(false)}
}

func refuse(least, most int, code, message string) *refusal {
	optional := code == "FODC0002" && least == 1 || code == "FOUT1170"
	return &refusal{least: least, most: most, code: code, message: message, optional: optional}
}
