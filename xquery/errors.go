package xquery

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/lestrrat-go/helium"
	"github.com/lestrrat-go/helium/xpath3"

	"clacks/internal/nearest"
)

// The W3C error codes that this package raises by itself (XQuery 3.1, appendix F; XPath Functions 3.1, appendix C).
const (
	codeSyntax           = "XPST0003"
	codeUndeclared       = "XPST0008"
	codeFunction         = "XPST0017"
	codeTypeName         = "XPST0051"
	codePrefix           = "XPST0081"
	codeNoFocus          = "XPDY0002"
	codeLimit            = "XPDY0130" // an implementation-dependent limit has been exceeded
	codeType             = "XPTY0004"
	codePathNotNode      = "XPTY0019"
	codeSetOperand       = "XPTY0004"
	codeReservedPrefix   = "XQST0070"
	codeTwicePrefix      = "XQST0033"
	codeTwiceElementNS   = "XQST0066"
	codeTwiceVariable    = "XQST0049"
	codeTwiceParameter   = "XQST0039"
	codeSamePosition     = "XQST0089"
	codeVersion          = "XQST0031"
	codeEncoding         = "XQST0087"
	codeCollation        = "XQST0076"
	codeDefaultCollation = "XQST0038"
	codeCastTarget       = "XPST0080"
	codeCastType         = "XQST0052"
	codeNamespaceAxis    = "XQST0134"
	codeReference        = "XQST0090"
	codeExternal         = "FOER0000"
	codeVisibility       = "XQST0125"
	codeOverflow         = "FOAR0002"
	namespaceXMLNS       = "http://www.w3.org/2000/xmlns/"
	namespaceXML         = "http://www.w3.org/XML/1998/namespace"
	namespaceLocal       = "http://www.w3.org/2005/xquery-local-functions"
	nearLength           = 40
	maxNesting           = 256 // of expressions in a source
	maxChain             = 512 // operators of one level in a row
	maxErrorMessageRune  = 400
)

// ErrLimit is in the chain of every Error that reports an exceeded limit: of the source, of an evaluation's steps,
// depth, constructed bytes or time. Its code is XPDY0130.
var ErrLimit = errors.New("limit exceeded")

// Error is a static or dynamic error of XQuery.
type Error struct {
	// Code is the local name of the W3C error code, as "XPST0003", or of the code that fn:error was given.
	Code string
	// Space is the namespace of the code: empty for that of the W3C's codes, NoSpace for none.
	Space   string
	Message string
	// File, Line and Column are where the error stands, in terms of Options. Line and Column count from 1, Column counts
	// characters; both are 0 when the place is not known.
	File         string
	Line, Column int
	Near         string // the offending text, if known
	Err          error  // the cause, if there is one: ErrLimit, or the error of an external function
}

// NoSpace is the Space of a code that is in no namespace.
const NoSpace = "##local"

// Name is the code, with its namespace as "Q{uri}local" if that is not the W3C's.
func (e *Error) Name() string {
	switch e.Space {
	case "":
		return e.Code
	case NoSpace:
		return "Q{}" + e.Code
	}
	return "Q{" + e.Space + "}" + e.Code
}

// Error is the place, the code, the message and the offending text in one line.
func (e *Error) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File)
		b.WriteByte(':')
	}
	if e.Line > 0 {
		fmt.Fprintf(&b, "%d:%d:", e.Line, e.Column)
	}
	if b.Len() > 0 {
		b.WriteByte(' ')
	}
	b.WriteString(e.Name())
	b.WriteString(": ")
	b.WriteString(e.Message)
	if e.Near != "" {
		fmt.Fprintf(&b, " (near %q)", e.Near)
	}
	return b.String()
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// origin is a source text and where it stands in its file.
type origin struct {
	text         string
	file         string
	line, column int
	others       []otherSource
}

// otherSource is the source of a library module within the text.
type otherSource struct {
	file  string
	start int
}

// add appends the source of a library module. A byte that no source has keeps it apart.
func (o *origin) add(file, source string) {
	o.text += "\x00" + source
	o.others = append(o.others, otherSource{file: file, start: len(o.text) - len(source)})
}

// at is the file of an offset, and its line and column there.
func (o *origin) at(offset int) (file string, line, column int) {
	for i := len(o.others) - 1; i >= 0; i-- {
		if other := o.others[i]; offset >= other.start {
			part := origin{text: o.text[other.start:], line: 1, column: 1}
			line, column = part.place(offset - other.start)
			return other.file, line, column
		}
	}
	line, column = o.place(offset)
	return o.file, line, column
}

// place is the line and the column of a byte offset.
func (o *origin) place(offset int) (line, column int) {
	offset = min(max(offset, 0), len(o.text))
	before := o.text[:offset]
	lines := strings.Count(before, "\n")
	if lines == 0 {
		return o.line, o.column + utf8.RuneCountInString(before)
	}
	last := strings.LastIndexByte(before, '\n')
	return o.line + lines, 1 + utf8.RuneCountInString(before[last+1:])
}

// near is the token at an offset, a variable with its "$".
func (o *origin) near(offset int) string {
	if offset < 0 || offset >= len(o.text) {
		return ""
	}
	l := lexer{text: o.text, pos: offset}
	first := l.next()
	text := o.text[first.start:first.end]
	if text == "$" {
		if t := l.next(); t.kind == tokenName || t.kind == tokenQName || t.kind == tokenURIName {
			text = "$" + o.text[t.start:t.end]
		}
	}
	if first.kind == tokenBad {
		text, _, _ = strings.Cut(text, "\n")
	}
	if utf8.RuneCountInString(text) <= nearLength {
		return text
	}
	return string([]rune(text)[:nearLength])
}

// failure is an error at an offset of the source, before the offset has become a place.
type failure struct {
	code    string
	message string
	offset  int
	err     error
}

func (f *failure) Error() string { return f.code + ": " + f.message }
func (f *failure) Unwrap() error { return f.err }

// suggest adds the candidate that a misspelled name most likely means, if one is near; prefix is what is written before
// it. The candidates may be in any order.
func (f *failure) suggest(prefix, wrong string, candidates []string) *failure {
	if near := nearest.Name(wrong, slices.Sorted(slices.Values(candidates))); near != "" {
		f.message += fmt.Sprintf("; did you mean %q?", prefix+near)
	}
	return f
}

func fail(code string, offset int, format string, args ...any) *failure {
	return &failure{code: code, message: fmt.Sprintf(format, args...), offset: offset}
}

func tooMuch(offset int, format string, args ...any) *failure {
	f := fail(codeLimit, offset, format, args...)
	f.err = ErrLimit
	return f
}

// asError turns any error of compilation into an *Error with its place.
func (o *origin) asError(err error) *Error {
	var f *failure
	if errors.As(err, &f) {
		file, line, column := o.at(f.offset)
		return &Error{
			Code: f.code, Message: f.message, File: file, Line: line, Column: column, Near: o.near(f.offset), Err: f.err,
		}
	}
	code, message := classify(err)
	return &Error{Code: code, Message: message, File: o.file, Line: o.line, Column: o.column, Err: err}
}

// heliumCodes gives helium's errors that carry no W3C code theirs.
var heliumCodes = []struct {
	err  error
	code string
}{
	{xpath3.ErrUnknownFunction, codeFunction},
	{xpath3.ErrUnknownFunctionNamespace, codePrefix},
	{xpath3.ErrUndefinedVariable, codeUndeclared},
	{xpath3.ErrArityMismatch, codeType},
	{xpath3.ErrTypeMismatch, codeType},
	{xpath3.ErrUnionNotNodeSet, codeSetOperand},
	{xpath3.ErrPathNotNodeSet, codePathNotNode},
	{xpath3.ErrNotNodeSet, codeType},
	{xpath3.ErrUnsupportedExpr, codeSyntax},
}

// classify finds the code and the message of an error that helium raised.
func classify(err error) (code, message string) {
	var xe *xpath3.XPathError
	if errors.As(err, &xe) {
		code = xe.CodeQName().Local
		if code == "" {
			code = xe.Code
		}
		if spaceOf(err) != "" {
			return code, trimMessage(xe.Message)
		}
		return refine(code, xe.Message), trimMessage(xe.Message)
	}
	for _, h := range heliumCodes {
		if errors.Is(err, h.err) {
			return h.code, trimMessage(err.Error())
		}
	}
	message = err.Error()
	if code, rest, ok := strings.Cut(message, ": "); ok && isCode(code) {
		return code, trimMessage(rest)
	}
	if errors.Is(err, helium.ErrNilNode) {
		return codeNoFocus, "the context item is absent"
	}
	return codeType, trimMessage(message)
}

// spaceOf is the Space of an error that helium raised, or a query by fn:error.
func spaceOf(err error) string {
	var xe *xpath3.XPathError
	if !errors.As(err, &xe) || xe.CodeQName().Local == "" {
		return ""
	}
	switch uri := xe.CodeQName().URI; uri {
	case xpath3.NSErr:
		return ""
	case "":
		return NoSpace
	default:
		return uri
	}
}

// refine finds the code of an error for which helium has a more general one.
func refine(code, message string) string {
	switch code {
	case codeType:
		if strings.HasSuffix(message, " to xs:error") {
			return "FORG0001" // nothing is in the type
		}
		if strings.Contains(message, "cannot cast string to xs:QName") || strings.Contains(message, "xs:untypedAtomic to xs:QName") {
			return "XPTY0117"
		}
	case codeOverflow:
		if strings.Contains(message, "by zero duration") {
			return "FOAR0001"
		}
	case codeCastTarget:
		if strings.HasPrefix(message, "cannot cast to abstract type xs:NOTATION") {
			return "XPTY0117" // at run time, of an untyped value for a parameter
		}
	case "FOAY0001":
		if negativeLength(message) {
			return "FOAY0002"
		}
	case "FOFD1350":
		if unknownComponent.MatchString(message) {
			return "FOFD1340"
		}
	case "FOJS0001":
		if strings.HasPrefix(message, "fallback cannot be used with escape") {
			return "FOJS0005"
		}
	case "FOJS0005":
		if strings.Contains(message, "must be") || strings.Contains(message, "must have") {
			return codeType
		}
	case "FORG0001":
		if m := farDate.FindStringSubmatch(message); m != nil {
			return "FODT0001"
		}
		if farDuration.MatchString(message) && manyDigits.MatchString(message) {
			return "FODT0002"
		}
	}
	return code
}

var (
	subarray         = regexp.MustCompile(`^array subarray\((\d+), -\d+\) out of bounds \(size (\d+)\)`)
	unknownComponent = regexp.MustCompile(`^component \[[^YMDdFWwHhPmsfZzCE]\]`)
)

// negativeLength reports whether a part of an array was asked for that begins in the array, but has a negative length.
func negativeLength(message string) bool {
	m := subarray.FindStringSubmatch(message)
	if m == nil {
		return false
	}
	start, err := strconv.Atoi(m[1])
	size, err2 := strconv.Atoi(m[2])
	return err == nil && err2 == nil && start >= 1 && start <= size+1
}

// farDate and farDuration are the messages about values that are right, but out of helium's range.
var (
	farDate = regexp.MustCompile(
		`cannot cast "\s*-?[1-9]\d{9,}(-\d\d(-\d\d(T\d\d:\d\d:\d\d(\.\d+)?)?)?)?(Z|[+-]\d\d:\d\d)?\s*" to xs:(date|dateTime|dateTimeStamp|gYear|gYearMonth)$`)
	manyDigits  = regexp.MustCompile(`\d{10}`)
	farDuration = regexp.MustCompile(
		`cannot cast "\s*-?P(\d+Y)?(\d+M)?(\d+D)?(T(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?\s*" to xs:(duration|dayTimeDuration|yearMonthDuration)$`)
)

func isCode(s string) bool {
	if len(s) != 8 {
		return false
	}
	for i, r := range s {
		if i < 4 && (r < 'A' || r > 'Z') || i >= 4 && (r < '0' || r > '9') {
			return false
		}
	}
	return true
}

// trimMessage keeps messages readable: helium quotes whole values in some.
func trimMessage(s string) string {
	s = strings.TrimPrefix(s, "xpath3: ")
	if utf8.RuneCountInString(s) <= maxErrorMessageRune {
		return s
	}
	return string([]rune(s)[:maxErrorMessageRune]) + "..."
}

func isContextError(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
