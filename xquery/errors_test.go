package xquery

import (
	"context"
	"errors"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// chunk is a query of a file in testdata, with the error that a comment on the offending line states:
// ### CODE: regular expression. "@n" after the code names another line of the query.
type chunk struct {
	query         string
	start         int // its line in the file
	line          int // the line of the error in the query
	code, message string
}

var expectation = regexp.MustCompile(`### (\S+?)(?:@(\d+))?:(.*?)(?: :\))?$`)

func readChunks(t *testing.T, file string) []chunk {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []chunk
	c := chunk{start: 1}
	flush := func(next int) {
		if c.code == "" {
			t.Errorf("%s:%d: the query states no error", file, c.start)
		}
		all = append(all, c)
		c = chunk{start: next}
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	for i, line := range lines {
		if line == "---" {
			flush(i + 2)
			continue
		}
		if m := expectation.FindStringSubmatch(line); m != nil {
			c.code, c.message, c.line = m[1], strings.TrimSpace(m[3]), i+2-c.start
			if m[2] != "" {
				c.line, _ = strconv.Atoi(m[2])
			}
		}
		c.query += line + "\n"
	}
	flush(0)
	return all
}

var testFunctions = []Function{
	{Name: "nextFree", Arity: 1, Effect: true, Call: func(_ context.Context, args []Sequence) (Sequence, error) {
		return args[0], nil
	}},
	{Name: "fail", Arity: 1, Call: func(_ context.Context, args []Sequence) (Sequence, error) {
		reasons, err := args[0].Strings()
		if err != nil {
			return nil, err
		}
		return nil, errors.New(reasons[0])
	}},
}

// checkError compares an error with what the chunk states. The query stands at line 100 of "f".
func (c *chunk) checkError(t *testing.T, file string, err error) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Errorf("%s:%d: no error of XQuery: %v", file, c.start, err)
		return
	}
	if !regexp.MustCompile("^(" + c.code + ")$").MatchString(e.Code) {
		t.Errorf("%s:%d: code %s, want %s: %v", file, c.start, e.Code, c.code, err)
	}
	if !regexp.MustCompile(c.message).MatchString(e.Message) {
		t.Errorf("%s:%d: message %q, want %q", file, c.start, e.Message, c.message)
	}
	if e.Line != 99+c.line || e.File != "f" || e.Column < 1 {
		t.Errorf("%s:%d: at %s:%d:%d, want line %d: %v", file, c.start, e.File, e.Line, e.Column, 99+c.line, err)
	}
}

func TestStaticErrors(t *testing.T) {
	const file = "testdata/static_errors.txt"
	for _, c := range readChunks(t, file) {
		_, err := Compile(c.query, Options{File: "f", Line: 100, Column: 3, Functions: testFunctions})
		c.checkError(t, file, err)
	}
}

func TestDynamicErrors(t *testing.T) {
	const file = "testdata/dynamic_errors.txt"
	for _, c := range readChunks(t, file) {
		q, err := Compile(c.query, Options{File: "f", Line: 100, Column: 3, Functions: testFunctions})
		if err != nil {
			t.Errorf("%s:%d: %v", file, c.start, err)
			continue
		}
		_, err = q.Evaluate(context.Background(), Input{})
		c.checkError(t, file, err)
	}
}

func TestErrorText(t *testing.T) {
	for _, test := range []struct {
		query   string
		options Options
		want    string
	}{
		{"1 + $x", Options{File: "User.xml", Line: 12, Column: 7}, `User.xml:12:11: XPST0008: the variable $x is not declared (near "$x")`},
		{"1 +\n f()", Options{File: "User.xml", Line: 12, Column: 7}, `User.xml:13:2: XPST0017: there is no function f (near "f")`},
		{"'ä' || $x", Options{}, `1:8: XPST0008: the variable $x is not declared (near "$x")`},
		{"1 +", Options{}, `1:4: XPST0003: expected an expression, but the query ends here`},
	} {
		_, err := Compile(test.query, test.options)
		if err == nil || err.Error() != test.want {
			t.Errorf("%s\n got %v\nwant %s", test.query, err, test.want)
		}
	}
}

// A cause keeps its identity, and an error of our type its code.
func TestExternalErrors(t *testing.T) {
	reason := errors.New("no more numbers")
	q, err := Compile(`try { f() } catch XYZ { "caught" }, g()`, Options{Functions: []Function{
		{Name: "f", Call: func(context.Context, []Sequence) (Sequence, error) {
			return nil, &Error{Code: "XPTY0004", Message: "bad"}
		}},
		{Name: "g", Call: func(context.Context, []Sequence) (Sequence, error) { return nil, reason }},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var e *Error
	if _, err = q.Evaluate(context.Background(), Input{}); !errors.As(err, &e) || e.Code != "XPTY0004" {
		t.Errorf("got %v", err)
	}
	q, err = Compile(`try { f() } catch err:XPTY0004 { "caught" }, g()`, q.options)
	if err != nil {
		t.Fatal(err)
	}
	_, err = q.Evaluate(context.Background(), Input{})
	if !errors.As(err, &e) || e.Code != "FOER0000" || !errors.Is(err, reason) {
		t.Errorf("got %v", err)
	}
}

// A code that a query makes up is not taken for one of the W3C's.
func TestCodesOfNamespaces(t *testing.T) {
	for query, want := range map[string][3]string{
		`error(QName("u", "XPTY0004"), "x")`:            {"XPTY0004", "u", "Q{u}XPTY0004"},
		`error(QName("", "FOAY0001"), "x")`:             {"FOAY0001", NoSpace, "Q{}FOAY0001"},
		`error(xs:QName("local:a"))`:                    {"a", namespaceLocal, "Q{" + namespaceLocal + "}a"},
		`error(xs:QName("err:XPTY0004"))`:               {"XPTY0004", "", "XPTY0004"},
		`error()`:                                       {"FOER0000", "", "FOER0000"},
		`1 + "a"`:                                       {"XPTY0004", "", "XPTY0004"},
		`try { error(QName("u", "a")) } catch a { 1 } `: {"a", "u", "Q{u}a"},
		`serialize(error#0)`:                            {"SENR0001", "", "SENR0001"},
	} {
		var e *Error
		if _, err := evaluateAlone(t, query, Limits{}); !errors.As(err, &e) || [3]string{e.Code, e.Space, e.Name()} != want {
			t.Errorf("%s: %+v, not %s", query, err, want)
		} else if !strings.Contains(err.Error(), " "+want[2]+": ") {
			t.Errorf("%s: %s", query, err)
		}
	}
}
