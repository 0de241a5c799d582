package xquery

import (
	"context"
	"errors"
	"iter"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/lestrrat-go/helium/xpath3"
)

// Hooks are functions that only the compiler calls. Their names start with a character that no source can write, and
// helium finds them by one look into the table of local names.
const (
	hookConcat   = "\x01concat"   // the strings of its arguments, in one
	hookRange    = "\x01range"    // "to"
	hookLong     = "\x01long"     // "to" of any length: see longRange
	hookCut      = "\x01cut"      // fn:subsequence of that
	hookNumber   = "\x01number"   // its argument, unless that is a number of too many digits
	hookDigits   = "\x01digits"   // its argument, unless that is too long to be parsed as a number
	hookFunction = "\x01function" // its argument, a function item that counts its calls
	hookSupplied = "\x01supplied" // whether the caller supplied the variable
	hookTree     = "\x01tree"     // its argument, whose length is counted like that of a document
	hookText     = "\x01text"     // its argument, whose text is counted
	hookNested   = "\x01nested"   // its argument, an array or a map that was made, or a function that makes such ones
	hookAtoms    = "\x01atoms"    // its argument, atomized if that could be large; of a function the arguments
	hookParams   = "\x01params"   // its argument, a function, that gets its arguments atomized as its parameters want it
	hookWeighed  = "\x01weighed"  // its argument, which will be atomized, too
	hookMismatch = "\x01mismatch" // fails: a value is not of its declared type
	hookTuple    = "\x01tuple"    // a tuple of a FLWOR expression: number of keys, keys, variables
	hookSort     = "\x01sort"     // tuples in their order: order specification, tuples
	hookField    = "\x01field"    // a variable of a tuple: tuple, index
	hookGroup    = "\x01group"    // tuples of groups: collations, tuples, fields of the keys
	hookKey      = "\x01key"      // its argument as the value of a grouping variable
	hookOuter    = "\x01outer"    // the binding sequence of "allowing empty"
	hookInner    = "\x01inner"    // a variable of such a binding, or its position
	hookJoin     = "\x01join"     // its items as one string with spaces
	hookOperand  = "\x01operand"  // the operand of a switch
	hookSame     = "\x01same"     // whether a case is equal to the operand

	// The windows of a FLWOR expression: see windowClause.
	hookItems      = "\x01items"
	hookState      = "\x01state"
	hookPositions  = "\x01positions"
	hookItem       = "\x01item"
	hookOpen       = "\x01open"
	hookReach      = "\x01reach"
	hookMark       = "\x01mark"
	hookWindow     = "\x01window"
	hookLastWindow = "\x01last"

	hookConstruct  = "\x01construct"  // a new node: index of the construction, what is computed of it
	hookQName      = "\x01qname"      // a cast to xs:QName: index of the static context, value, whether it may be empty
	hookIsQName    = "\x01isqname"    // whether such a cast succeeds
	hookFormat     = "\x01format"     // fn:format-number: index of the static context, its arguments
	hookDefine     = "\x01define"     // keeps the functions and variables of prologs: see lower_program.go
	hookGlobal     = "\x01global"     // a variable of a prolog: index
	hookFocus      = "\x01focus"      // the context item of the query
	hookHasFocus   = "\x01hasfocus"   // whether there is one
	hookContext    = "\x01context"    // its argument, which becomes the context item of the query
	hookErrorValue = "\x01errorvalue" // the object of the error that a catch caught: code, description

	hookIs        = "\x01is"        // "is"
	hookCount     = "\x01count"     // how many items its arguments have together
	hookExists    = "\x01exists"    // whether its arguments have items
	hookBase      = "\x01base"      // fn:base-uri
	hookAbsolute  = "\x01absolute"  // its second argument, resolved if it is a relative URI: base URI, URI
	hookJSON      = "\x01json"      // the text of a resource
	hookDivisor   = "\x01divisor"   // its argument, unless that is zero
	hookSummand   = "\x01summand"   // its argument, unless that is an xs:duration
	hookPlace     = "\x01place"     // the name of a timezone, or nothing if its argument is none
	hookCoerce    = "\x01coerce"    // functions as functions of a type: index of the type, functions
	hookElse      = "\x01else"      // its first argument, or if that is empty the second
	hookPredicate = "\x01predicate" // its argument, a function whose results become xs:boolean

	hookConvert  = "\x01convert"  // its second argument, cast to the type if it is untyped
	hookChoose   = "\x01choose"   // items by their positions: see positions.go
	hookAhead    = "\x01ahead"    // the nodes of a loop that may fulfil its condition: see join.go
	hookEdited   = "\x01edited"   // what a changed map answers: map, changes and question, arguments
	hookItemwise = "\x01itemwise" // its argument, whose items are counted when a loop takes them
	hookEmit     = "\x01emit"     // nothing; hands its argument over: see Query.Each
	hookPure     = "\x01pure"     // its argument, the result of a path: nodes or other items, but not both
	hookEnter    = "\x01enter"    // notes that the expression at an offset begins, and returns how deep
	hookLeave    = "\x01leave"    // notes that the expression that began at this depth ended: depth, value
)

func hookCall(name string, args ...xpath3.Expr) xpath3.Expr {
	return xpath3.FunctionCall{Name: name, Args: args}
}

// countingHook reports whether each call of a function counts a step.
func countingHook(name string) bool {
	switch name {
	case hookConcat, hookSort, hookTuple, hookConstruct, hookPure, "concat", "string-join":
		return true
	}
	return false
}

// hiddenMark begins all names that no source can write.
const hiddenMark = '\x01'

func hiddenName(i int) string { return "\x01" + strconv.Itoa(i) }

const (
	// maxNumberBits bounds integers, and the numerators and denominators of decimals.
	maxNumberBits = 1 << 13
	// maxDigits is the longest text that is parsed as such a number.
	maxDigits = maxNumberBits * 3 / 10
)

// hook is a function of ours as helium sees it.
type hook struct {
	least, most int // arguments; most is -1 for any number
	call        func(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error)
}

func (h *hook) MinArity() int { return h.least }
func (h *hook) MaxArity() int { return h.most }

func (h *hook) Call(ctx context.Context, args []xpath3.Sequence) (xpath3.Sequence, error) {
	b := budgetOf(ctx)
	if b == nil {
		return nil, errOutside
	}
	return h.call(b, args)
}

var errOutside = errors.New("a function was called outside of an evaluation")

// hooks are helium's table of local names: our hooks, and the guarded functions (guards.go).
var hooks = func() map[string]xpath3.Function {
	table := map[string]xpath3.Function{
		hookConcat:   &hook{0, -1, concat},
		hookRange:    &hook{2, 2, boundedRange},
		hookLong:     &hook{2, 2, rangeOf},
		hookCut:      &hook{2, 3, cutRange},
		hookNumber:   &hook{1, 1, boundedNumber},
		hookDigits:   &hook{1, 1, boundedDigits},
		hookFunction: &countedFunctions{},
		hookSupplied: &hook{1, 1, supplied},
		hookTree:     &hook{1, 1, chargedTree},
		hookText:     &hook{1, 1, chargedText},
		hookNested:   &hook{1, 1, boundedNesting},
		hookAtoms:    &hook{1, 1, atomized},
		hookParams:   &hook{1, 1, parametersAtomized},
		hookWeighed:  &hook{1, 1, weighed},
		hookMismatch: &hook{1, 1, mismatch},
		hookTuple:    &hook{1, -1, makeTuple},
		hookSort:     &hook{2, 2, sortTuples},
		hookField:    &hook{2, 2, tupleField},
		hookGroup:    &hook{2, -1, groupTuples},
		hookKey:      &hook{1, 1, groupingKey},
		hookOuter:    &hook{1, 1, allowingEmpty},
		hookInner:    &hook{1, 2, something},
		hookJoin:     &hook{1, 1, joinItems},
		hookOperand:  &hook{1, 1, switchOperand},
		hookSame:     &hook{2, 2, switchSame},

		hookItems:      &hook{1, 1, windowItems},
		hookState:      &hook{0, 0, newWindowState},
		hookPositions:  &hook{2, 2, windowPositions},
		hookItem:       &hook{3, 3, windowItem},
		hookOpen:       &hook{2, 2, windowOpen},
		hookReach:      &hook{2, 2, windowReach},
		hookMark:       &hook{2, 2, windowMark},
		hookWindow:     &hook{5, 5, windowMade},
		hookLastWindow: &hook{3, 3, windowLast},

		hookConstruct:  &hook{1, -1, construct},
		hookQName:      &hook{3, 3, castQName},
		hookIsQName:    &hook{3, 3, castableQName},
		hookFormat:     &hook{3, 4, formatNumber},
		hookDefine:     &hook{0, -1, define},
		hookGlobal:     globals{},
		hookFocus:      &hook{0, 0, focus},
		hookHasFocus:   &hook{0, 0, hasFocus},
		hookContext:    &hook{1, 1, setContext},
		hookErrorValue: &hook{2, 2, errorValue},

		hookIs:        &hook{2, 2, isSame},
		hookCount:     &hook{0, -1, countItems},
		hookExists:    &hook{0, -1, anyItem},
		hookBase:      &hook{1, 1, baseURI},
		hookAbsolute:  &hook{2, 2, absoluteURI},
		hookJSON:      &hook{1, 1, readJSON},
		hookDivisor:   &hook{1, 1, divisor},
		hookSummand:   &hook{1, 1, summand},
		hookPlace:     &hook{1, 1, timezonePlace},
		hookCoerce:    &hook{2, 2, coerceFunctions},
		hookElse:      &hook{2, 2, orElse},
		hookPredicate: &hook{1, 1, predicate},

		hookConvert:  &hook{2, 2, convertUntyped},
		hookChoose:   &hook{2, -1, choose},
		hookAhead:    lookAhead{},
		hookEdited:   &hook{2, -1, editedMap},
		hookItemwise: &hook{1, 1, itemwise},
		hookEmit:     &hook{1, 1, emit},
		hookPure:     &hook{1, 1, pure},
		hookEnter:    &hook{1, 1, enterPlace},
		hookLeave:    &hook{2, 2, leavePlace},
	}
	for name, f := range guarded() {
		table[name] = f
	}
	return table
}()

func typeError(format string, args ...any) error {
	return xpathError(codeType, format, args...)
}

func xpathError(code, format string, args ...any) error {
	f := fail(code, 0, format, args...)
	return &xpath3.XPathError{Code: code, Message: f.message}
}

// concat joins the string values of its arguments: "||" and fn:concat.
func concat(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	if err := b.Err(); err != nil {
		return nil, err
	}
	size := 0
	var few [8]string
	texts := few[:0]
	for _, a := range args {
		s, err := concatOperand(a)
		if err != nil {
			return nil, err
		}
		size += len(s)
		texts = append(texts, s)
	}
	if err := b.construct(size); err != nil {
		return nil, err
	}
	return xpath3.SingleString(strings.Join(texts, "")), nil
}

// concatOperand is the string of one argument, which is at most one atomic value.
func concatOperand(s xpath3.Sequence) (string, error) {
	if s == nil || s.Len() == 0 {
		return "", nil
	}
	if s.Len() == 1 {
		switch item := s.Get(0).(type) {
		case xpath3.AtomicValue:
			return xpath3.AtomicToString(item)
		case xpath3.FunctionItem, xpath3.MapItem:
			return "", xpathError("FOTY0013", "a function or a map has no string value")
		}
	}
	atoms, err := firstAtoms(nil, s, 2)
	if err != nil || len(atoms) == 0 {
		return "", err
	}
	if len(atoms) > 1 {
		return "", typeError("expected at most one item to concatenate, but there are more")
	}
	return xpath3.AtomicToString(atoms[0])
}

func boundedNumber(_ *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	s := args[0]
	if s == nil || s.Len() != 1 {
		return s, nil
	}
	a, ok := s.Get(0).(xpath3.AtomicValue)
	if !ok {
		return s, nil
	}
	switch n := a.Value.(type) {
	case *big.Int:
		if n.BitLen() > maxNumberBits {
			return nil, xpathError(codeOverflow, "the number has too many digits")
		}
	case *big.Rat:
		if n.Num().BitLen() > maxNumberBits || n.Denom().BitLen() > maxNumberBits {
			return nil, xpathError(codeOverflow, "the number has too many digits")
		}
	}
	return s, nil
}

func boundedDigits(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	s, err := b.atomized(args[0])
	if err != nil || s == nil || s.Len() != 1 {
		return s, err
	}
	size := 0
	switch item := s.Get(0).(type) {
	case xpath3.AtomicValue:
		if text, ok := item.Value.(string); ok {
			size = len(text)
		}
	case xpath3.NodeItem:
		// Atomized once here, so that helium does not do it again.
		a, err := xpath3.AtomizeItem(item)
		if err != nil {
			return nil, err
		}
		if text, ok := a.Value.(string); ok {
			size = len(text)
		}
		s = xpath3.ItemSlice{a}
	}
	if size > maxDigits {
		return nil, xpathError(codeOverflow, "a text of %d characters is too long to be read as such a value", size)
	}
	return s, nil
}

// sequenceInterface is xpath3.Sequence, which as an alias of a generic type cannot be embedded under its own name.
type sequenceInterface interface{ xpath3.Sequence }

// itemwise makes the items of a sequence count when a loop takes them.
func itemwise(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	if err := b.Err(); err != nil {
		return nil, err
	}
	s := args[0]
	if s == nil || s.Len() <= 1 {
		return s, nil
	}
	return &countedSequence{sequenceInterface: s, budget: b}, nil
}

// countedSequence counts a step for each item that is taken from it. At a limit it ends early; the budget remembers
// that, and the evaluation fails.
type countedSequence struct {
	sequenceInterface
	budget *budget
}

// Items implements xpath3.Sequence.
func (s *countedSequence) Items() iter.Seq[xpath3.Item] {
	return func(yield func(xpath3.Item) bool) {
		for item := range s.sequenceInterface.Items() {
			if s.budget.Err() != nil || !yield(item) {
				return
			}
		}
	}
}

func chargedTree(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	return args[0], chargeTree(b, args)
}

func chargedText(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	return args[0], b.charge(args[0])
}

func supplied(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	text, err := concatOperand(args[0])
	if err != nil {
		return nil, err
	}
	_, ok := b.worker.variables[text]
	return xpath3.SingleBoolean(ok), nil
}

func mismatch(_ *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	text, err := concatOperand(args[0])
	if err != nil {
		return nil, err
	}
	return nil, typeError("%s", text)
}

// convertUntyped casts an untyped value to the type that a function's parameter has. The functions on dates, times and
// durations of helium do not by themselves.
func convertUntyped(_ *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	s := args[1]
	if s == nil || s.Len() != 1 {
		return s, nil
	}
	a, err := xpath3.AtomizeItem(s.Get(0))
	if err != nil {
		return s, nil // the function itself reports what is wrong
	}
	target, err := concatOperand(args[0])
	if err != nil {
		return nil, err
	}
	switch {
	case a.TypeName != xpath3.TypeUntypedAtomic:
		if !xpath3.BuiltinIsSubtypeOf(a.TypeName, target) {
			return nil, typeError("expected a value of type %s, not %s", target, a.TypeName)
		}
		return s, nil
	case target == xpath3.TypeQName:
		return nil, xpathError("XPTY0117", "an untyped value cannot become a name")
	case len(a.StringVal()) > maxDigits:
		return nil, xpathError(codeOverflow, "the text is too long to be read as such a value")
	}
	if a, err = xpath3.CastAtomic(a, target); err != nil {
		return nil, err
	}
	return xpath3.ItemSlice{a}, nil
}

// one is the only item of a sequence, if it is an atomic value.
func one(s xpath3.Sequence) xpath3.AtomicValue {
	if s == nil || s.Len() != 1 {
		return xpath3.AtomicValue{}
	}
	a, _ := s.Get(0).(xpath3.AtomicValue)
	return a
}

func divisor(_ *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	if a := one(args[0]); a.Value != nil && a.IsNumeric() && a.ToFloat64() == 0 {
		return nil, xpathError("FOAR0001", "division by zero")
	}
	return args[0], nil
}

func summand(_ *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	if one(args[0]).TypeName == xpath3.TypeDuration {
		return nil, typeError("an xs:duration cannot be added: it needs days and times, or years and months, alone")
	}
	return args[0], nil
}

func orElse(_ *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	if args[0] != nil && args[0].Len() > 0 {
		return args[0], nil
	}
	return args[1], nil
}

// timezonePlace leaves out a place that is no name of a timezone, which fn:format-date and its like then do not regard.
func timezonePlace(_ *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	place, err := optionalString(args[0])
	if err != nil {
		return nil, err
	}
	// "Local" is that of the machine, which no query depends on.
	if _, unknown := time.LoadLocation(place); unknown != nil || place == "" || place == "Local" {
		return nil, nil
	}
	return args[0], nil
}

// pure fails when the result of a path has nodes and other items.
func pure(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	if err := b.Err(); err != nil {
		return nil, err
	}
	s := args[0]
	if s == nil {
		return nil, nil
	}
	nodes := 0
	for i := range s.Len() {
		if _, ok := s.Get(i).(xpath3.NodeItem); ok {
			nodes++
		}
	}
	if nodes > 0 && nodes < s.Len() {
		return nil, xpathError("XPTY0018", "a path selects both nodes and other items")
	}
	return s, nil
}

// enterPlace and leavePlace keep the stack of the expressions that are being evaluated in a traced evaluation. A catch
// leaves expressions without their end; the depth that every beginning returns cuts them off.
func enterPlace(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	a, _ := args[0].Get(0).(xpath3.AtomicValue)
	b.places = append(b.places, int(a.BigInt().Int64()))
	return xpath3.SingleInteger(int64(len(b.places) - 1)), nil
}

func leavePlace(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	a, _ := args[0].Get(0).(xpath3.AtomicValue)
	b.places = b.places[:a.BigInt().Int64()]
	return args[1], nil
}
