package xquery

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/lestrrat-go/helium/xpath3"
)

// qt3Verdict is the outcome of a case or of one condition.
type qt3Verdict struct {
	// status is "pass", "skip", or why the case fails: "fail" (a wrong result), "code" (an error was expected, but another
	// one), or a fault of qt3Answer.
	status string
	detail string
	// undecided says that the condition could not be tested, so that its opposite does not hold either.
	undecided bool
}

func (v qt3Verdict) passed() bool { return v.status == "pass" }

var qt3Passed = qt3Verdict{status: "pass"}

func qt3Fails(format string, args ...any) qt3Verdict {
	return qt3Verdict{status: "fail", detail: fmt.Sprintf(format, args...)}
}

func qt3Undecided(format string, args ...any) qt3Verdict {
	v := qt3Fails(format, args...)
	v.undecided = true
	return v
}

// judge compares an answer with what the case expects. No expectation accepts a fault, except an exceeded limit where
// the code of that is expected by its name.
func (e *qt3Context) judge(ctx context.Context, a qt3Answer) qt3Verdict {
	if a.fault == "limit" && e.result.names(codeLimit) {
		a.code, a.fault = codeLimit, ""
	}
	if a.fault != "" {
		return qt3Verdict{status: a.fault, detail: a.err.Error()}
	}
	return e.check(ctx, e.result, a)
}

// names says whether one of the conditions expects an error of this code.
func (a *qt3Assertion) names(code string) bool {
	return a.kind == "error" && a.code == code ||
		slices.ContainsFunc(a.parts, func(part *qt3Assertion) bool { return part.names(code) })
}

// check tests one condition.
func (e *qt3Context) check(ctx context.Context, want *qt3Assertion, a qt3Answer) qt3Verdict {
	switch want.kind {
	case "all-of":
		return e.checkAll(ctx, want, a)
	case "any-of":
		return e.checkAny(ctx, want, a)
	case "not":
		return e.checkNot(ctx, want, a)
	case "error":
		return checkQT3Code(want.code, a.code, a.err)
	case "assert-serialization-error":
		return e.checkSerializationError(want, a)
	}
	if a.err != nil {
		return qt3Undecided("%s", a.err)
	}
	return e.checkValue(ctx, want, a)
}

// checkNot passes when the condition below is false, and not when there is no result that it could be tested on.
func (e *qt3Context) checkNot(ctx context.Context, want *qt3Assertion, a qt3Answer) qt3Verdict {
	if len(want.parts) != 1 {
		return qt3Undecided("%d conditions under not", len(want.parts))
	}
	switch v := e.check(ctx, want.parts[0], a); {
	case v.passed():
		return qt3Fails("the condition under not holds")
	case v.undecided:
		return v
	}
	return qt3Passed
}

func (e *qt3Context) checkAll(ctx context.Context, want *qt3Assertion, a qt3Answer) qt3Verdict {
	for _, part := range want.parts {
		if v := e.check(ctx, part, a); !v.passed() {
			return v
		}
	}
	return qt3Passed
}

// checkAny prefers "code" to "fail", and otherwise the first reason.
func (e *qt3Context) checkAny(ctx context.Context, want *qt3Assertion, a qt3Answer) qt3Verdict {
	worst := qt3Verdict{}
	undecided := false
	for _, part := range want.parts {
		v := e.check(ctx, part, a)
		if v.passed() {
			return v
		}
		undecided = undecided || v.undecided
		if worst.status == "" || v.status == "code" && worst.status == "fail" {
			worst = v
		}
	}
	worst.undecided = undecided
	return worst
}

// checkQT3Code compares error codes strictly, those of another namespace than the W3C's as Error.Name gives them.
func checkQT3Code(want, got string, err error) qt3Verdict {
	if err == nil {
		return qt3Fails("no error, but %s is expected", want)
	}
	if want == "*" || strings.TrimPrefix(want, "Q{"+xpath3.NSErr+"}") == got {
		return qt3Passed
	}
	return qt3Verdict{status: "code", detail: fmt.Sprintf("%s is expected, not %s", want, err)}
}

func (e *qt3Context) checkSerializationError(want *qt3Assertion, a qt3Answer) qt3Verdict {
	if a.err != nil {
		return checkQT3Code(want.code, a.code, a.err)
	}
	_, err := e.serialize(a)
	code := ""
	if err != nil {
		code, _ = classify(err)
	}
	return checkQT3Code(want.code, code, err)
}

// checkValue tests a condition on a result.
func (e *qt3Context) checkValue(ctx context.Context, want *qt3Assertion, a qt3Answer) qt3Verdict {
	switch want.kind {
	case "assert-true", "assert-false":
		return e.checkBoolean(want.kind == "assert-true", a)
	case "assert-empty":
		if n := a.items.Len(); n > 0 {
			return qt3Fails("%d items, not none: %s", n, e.show(a))
		}
		return qt3Passed
	case "assert-count":
		n, err := strconv.Atoi(strings.TrimSpace(want.text))
		if err != nil || n != a.items.Len() {
			return qt3Fails("%d items, not %s", a.items.Len(), want.text)
		}
		return qt3Passed
	case "assert-string-value":
		return e.checkString(ctx, want, a)
	case "assert-xml":
		return e.checkXML(ctx, want, a)
	case "serialization-matches":
		return e.checkSerialization(want, a)
	}
	expr, known := qt3Expressions[want.kind]
	if !known {
		return qt3Undecided("unknown condition %s", want.kind)
	}
	return e.checkExpression(ctx, fmt.Sprintf(expr, want.text), a)
}

// qt3Expressions are the conditions that an XPath expression tests. The line end closes a comment in the text.
var qt3Expressions = map[string]string{
	"assert":         "%s",
	"assert-eq":      "$result eq (%s\n)",
	"assert-deep-eq": "deep-equal($result, (%s\n))",
	"assert-type":    "$result instance of %s",
	"assert-permutation": `let $expected := (%s
		) return count($result) eq count($expected) and (every $r in $result satisfies
		count($result[deep-equal(., $r)]) eq count($expected[deep-equal(., $r)]))`,
}

func (e *qt3Context) checkBoolean(want bool, a qt3Answer) qt3Verdict {
	if a.items.Len() == 1 {
		if v, ok := a.items.Get(0).(xpath3.AtomicValue); ok && v.TypeName == xpath3.TypeBoolean && v.Value == want {
			return qt3Passed
		}
	}
	return qt3Fails("the result is not %t: %s", want, e.show(a))
}

// checkExpression evaluates a condition by helium, and by the engine what helium cannot (functions as results live in
// an evaluation).
func (e *qt3Context) checkExpression(ctx context.Context, expr string, a qt3Answer) qt3Verdict {
	variables := make(map[string]xpath3.Sequence, len(e.variables)+1)
	for key, value := range e.variables {
		variables[key] = value
	}
	variables["result"] = a.items
	s, err := e.xpath(ctx, expr, variables)
	holds := false
	if err == nil {
		holds, err = xpath3.EBV(s)
	}
	if err != nil {
		holds, err = e.checkByEngine(ctx, expr, a)
	}
	if err != nil {
		return qt3Undecided("%s: %s; the result is %s", strings.TrimSpace(expr), err, e.show(a))
	}
	if !holds {
		return qt3Fails("%s is false; the result is %s", strings.TrimSpace(expr), e.show(a))
	}
	return qt3Passed
}

func (e *qt3Context) checkByEngine(ctx context.Context, expr string, a qt3Answer) (bool, error) {
	options := e.options()
	options.Variables = []string{"result"}
	query, err := Compile(expr, options)
	if err != nil {
		return false, err
	}
	return query.Matches(ctx, Input{Variables: map[string]Sequence{"result": wrap(a.items)}, Limits: qt3Limits})
}

func (e *qt3Context) checkString(ctx context.Context, want *qt3Assertion, a qt3Answer) qt3Verdict {
	s, err := e.xpath(ctx, `string-join($result ! string(), ' ')`, map[string]xpath3.Sequence{"result": a.items})
	if err != nil {
		return qt3Undecided("the string value: %s", err)
	}
	got, wanted := qt3Text(s), want.text
	if want.normalizeSpace {
		got, wanted = strings.Join(strings.Fields(got), " "), strings.Join(strings.Fields(wanted), " ")
	}
	if got != wanted {
		return qt3Fails("%q, not %q", got, wanted)
	}
	return qt3Passed
}

func (e *qt3Context) checkXML(ctx context.Context, want *qt3Assertion, a qt3Answer) qt3Verdict {
	text := want.text
	if want.file != "" {
		bytes, err := os.ReadFile(want.file)
		if err != nil {
			return qt3Undecided("%s", err)
		}
		text = string(bytes)
	}
	got, err := e.serializeXML(a.items)
	if err != nil {
		return qt3Undecided("serialization: %s", err)
	}
	if got == text {
		return qt3Passed
	}
	difference, err := diffQT3XML(ctx, got, text, want.ignoresPrefixes)
	if err != nil {
		return qt3Undecided("%s: %s, not %s", err, got, text)
	}
	if difference != "" {
		return qt3Fails("%s: %s, not %s", difference, got, text)
	}
	return qt3Passed
}

func (e *qt3Context) checkSerialization(want *qt3Assertion, a qt3Answer) qt3Verdict {
	got, err := e.serialize(a)
	if err != nil {
		return qt3Undecided("serialization: %s", err)
	}
	pattern, err := xpath3.CompileRegex(strings.TrimSpace(want.text), want.flags)
	if err != nil {
		return qt3Undecided("the suite's pattern: %s", err)
	}
	matches, err := pattern.MatchString(got)
	if err != nil {
		return qt3Undecided("%q against %s: %s", got, want.text, err)
	}
	if !matches {
		return qt3Fails("%q does not match %s", got, want.text)
	}
	return qt3Passed
}

// show is a result for a message.
func (e *qt3Context) show(a qt3Answer) string {
	text, err := serializeQT3(a.items, map[string]string{"method": "adaptive"})
	if err != nil {
		return fmt.Sprintf("%d items (%s)", a.items.Len(), err)
	}
	return fmt.Sprintf("%.500s", text)
}
