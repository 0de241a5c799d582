package xquery

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/lestrrat-go/helium"
)

// The runner's own tests need no suite: a small one is written here. Each condition is shown to hold and to fail.

const qt3Conditions = `<conditions xmlns:p="urn:p">
	<c q="1 eq 1"><assert-true/></c>                         <c q="1" no=""><assert-true/></c>
	<c q="1 eq 2"><assert-false/></c>                        <c q="()" no=""><assert-false/></c>
	<c q="()"><assert-empty/></c>                            <c q="''" no=""><assert-empty/></c>
	<c q="1, 2"><assert-count>2</assert-count></c>           <c q="1" no=""><assert-count>2</assert-count></c>
	<c q="1.0"><assert-eq>1</assert-eq></c>                  <c q="2" no=""><assert-eq>1</assert-eq></c>
	<c q="1" no=""><assert-eq>'1'</assert-eq></c>            <c q="()" no=""><assert-eq>1</assert-eq></c>
	<c q="1, 2"><assert-deep-eq>1, 2</assert-deep-eq></c>    <c q="2, 1" no=""><assert-deep-eq>1, 2</assert-deep-eq></c>
	<c q="2, 1"><assert-permutation>1, 2</assert-permutation></c>
	<c q="1, 1, 2" no=""><assert-permutation>1, 2, 2</assert-permutation></c>
	<c q="1, 2" no=""><assert-permutation>1, 2, 3</assert-permutation></c>
	<c q="1"><assert-type>xs:integer</assert-type></c>       <c q="1" no=""><assert-type>xs:string</assert-type></c>
	<c q="1, 2"><assert>sum($result) = 3</assert></c>        <c q="1" no=""><assert>$result = 3</assert></c>
	<c q="1" no=""><assert>$result +</assert></c>            <c q="1"><assert>$p = 7</assert></c>
	<c q="1, 'a'"><assert-string-value>1 a</assert-string-value></c>
	<c q="'a  b'" no=""><assert-string-value>a b</assert-string-value></c>
	<c q="'a  b'"><assert-string-value normalize-space="true">a b </assert-string-value></c>
	<c q="/"><assert-xml><![CDATA[<r a="1" b='2'><x/>t<!--c--></r>]]></assert-xml></c>
	<c q="/" no=""><assert-xml><![CDATA[<r a="1" b='2'><x/>t</r>]]></assert-xml></c>
	<c q="/" no=""><assert-xml><![CDATA[<r a="1" b='2' c=""><x/>t<!--c--></r>]]></assert-xml></c>
	<c q="/" no=""><assert-xml><![CDATA[<r a="1" b='2'><y/>t<!--c--></r>]]></assert-xml></c>
	<c q="/" no=""><assert-xml><![CDATA[<r a="1" b='2' xmlns:n="u"><x/>t<!--c--></r>]]></assert-xml></c>
	<c q="/"><assert-xml ignore-prefixes="true"><![CDATA[<r a="1" b='2' xmlns:n="u"><x/>t<!--c--></r>]]></assert-xml></c>
	<c q="/" no=""><assert-xml><![CDATA[<r a="1" b='2'><x/>t<!--c--></r><z/>]]></assert-xml></c>
	<c q="'abc'"><serialization-matches>^.*B</serialization-matches></c>
	<c q="error()"><error code="FOER0000"/></c>              <c q="error()"><error code="*"/></c>
	<c q="error()" no="code"><error code="XPTY0004"/></c>    <c q="1" no=""><error code="*"/></c>
	<c q="error()" no=""><assert-true/></c>                  <c q="1 +"><error code="XPST0003"/></c>
	<c q="1"><any-of><assert-true/><assert-eq>1</assert-eq></any-of></c>
	<c q="1" no=""><any-of><assert-true/><assert-eq>2</assert-eq></any-of></c>
	<c q="error()" no="code"><any-of><assert-true/><error code="XPTY0004"/></any-of></c>
	<c q="1" no=""><all-of><assert-eq>1</assert-eq><assert-true/></all-of></c>
	<c q="1"><all-of><assert-eq>1</assert-eq><not><assert-true/></not></all-of></c>
	<c q="1" no=""><not><assert-eq>1</assert-eq></not></c>
	<c q="1" no=""><assert-nothing-known/></c>               <c q="1" no=""><not><assert-nothing-known/></not></c>
	<c q="error()" no=""><not><assert-eq>1</assert-eq></not></c>
	<c q="2" no=""><not><assert>$result +</assert></not></c>
	<c q="2" no=""><not><any-of><assert-eq>1</assert-eq><assert>$result +</assert></any-of></not></c>
	<c q="function() {1}" no=""><not><assert-string-value>1</assert-string-value></not></c>
	<c q="'a'" no=""><not><serialization-matches>(</serialization-matches></not></c>
	<c q="'a'"><not><serialization-matches>b</serialization-matches></not></c>
	<c q="1 to 1000000000000" no="limit"><error code="*"/></c>
</conditions>`

func TestQT3Conditions(t *testing.T) {
	doc, err := helium.NewParser().Parse(context.Background(), []byte(qt3Conditions))
	if err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(t.TempDir(), "r.xml")
	if err := os.WriteFile(source, []byte(`<r b="2" a='1'><x/>t<!--c--></r>`), 0o600); err != nil {
		t.Fatal(err)
	}
	for c := range helium.ChildElements(doc.DocumentElement()) {
		want := "pass"
		if no, fails := c.GetAttribute("no"); fails {
			want = no
		}
		assertion := helium.ChildElements(c)
		for a := range assertion {
			e := &qt3Case{
				set: &qt3Set{name: "set", file: source}, query: qt3Attr(c, "q"),
				result: readQT3Assertion(a, "", nil),
				environment: &qt3Environment{
					file:    source,
					sources: []qt3Source{{role: ".", file: source}},
					params:  []qt3Param{{name: name{local: "p"}, selected: "3 + 4"}},
				},
			}
			if e.result.kind == "serialization-matches" {
				e.result.flags = "i"
			}
			got := e.verdict(&qt3Files{})
			if want == "" {
				want = "fail"
			}
			if got.status != want {
				t.Errorf("%s of %s: %s (%s), not %s", e.result.kind, e.query, got.status, got.detail, want)
			}
		}
	}
}

// TestQT3Faults: an expectation of any error accepts no fault of the engine.
func TestQT3Faults(t *testing.T) {
	for _, err := range []error{
		&Error{Code: codeLimit, Err: ErrLimit},
		&Error{Code: codeLimit, Err: ErrLimit, Message: "the query takes longer than 1s"},
		context.DeadlineExceeded,
		&Error{Code: codeType, Message: "xquery: the evaluation failed unexpectedly: nil"},
		&Error{Code: codeSyntax, Message: "a window clause is not supported"},
	} {
		e := &qt3Context{qt3Case: &qt3Case{result: &qt3Assertion{kind: "error", code: "*"}}}
		if v := e.judge(context.Background(), qt3Failed(err)); v.passed() {
			t.Errorf("%v counts as the error that the suite expects", err)
		}
	}
	e := &qt3Context{qt3Case: &qt3Case{result: &qt3Assertion{kind: "error", code: "XPDY0130"}}}
	if v := e.judge(context.Background(), qt3Failed(&Error{Code: codeLimit})); !v.passed() {
		t.Errorf("an error without a fault: %v", v)
	}
	broken := &qt3Case{set: &qt3Set{}, environment: &qt3Environment{}, broken: errors.New("broken")}
	if v := broken.verdict(&qt3Files{}); v.status != "environment" {
		t.Errorf("a case that cannot be read: %v", v)
	}
}

func TestQT3Skips(t *testing.T) {
	for _, c := range []struct {
		kind, value string
		satisfied   bool
		skips       bool
	}{
		{"feature", "schemaImport", true, true},
		{"feature", "schemaImport", false, false},
		{"feature", "higherOrderFunctions", true, false},
		{"feature", "higherOrderFunctions", false, true},
		{"feature", "unheard-of", true, true},
		{"unheard-of", "1", true, true},
		{"language", "de", true, true},
		{"language", "en", true, false},
		{"language", "xib", false, false},
		{"xml-version", "1.1", true, true},
		{"xml-version", "1.0:5+ 1.1", true, false},
		{"spec", "XQ10+", true, false},
	} {
		d := qt3Dependency{kind: c.kind, value: c.value, satisfied: c.satisfied}
		if reason := d.skip(); (reason != "") != c.skips {
			t.Errorf("%+v: %q", d, reason)
		}
	}
}

func TestQT3Applies(t *testing.T) {
	for spec, want := range map[string]bool{
		"XQ10+": true, "XP20+ XQ10+": true, "XQ30+": true, "XQ31": true, "XQ31+": true, "XP31+ XQ31+": true,
		"XQ10": false, "XQ10 XQ30": false, "XP20+": false, "XQ30": false, "XP30+": false,
	} {
		c := qt3Case{dependencies: []qt3Dependency{{kind: "spec", value: spec, satisfied: true}}}
		if got := c.applies(); got != want {
			t.Errorf("%s applies: %t", spec, got)
		}
	}
}

// TestQT3List: the list of expected failures fails in both directions, and an update keeps its reasons.
func TestQT3List(t *testing.T) {
	file := filepath.Join(t.TempDir(), "expected.txt")
	known := map[string]qt3Expectation{"s/known": {"fail", "a reason"}, "s/gone": {"fail", "x"}, "s/healed": {"code", "y"}}
	verdicts := map[string]qt3Verdict{
		"s/known": {status: "fail"}, "s/fresh": {status: "panic"}, "s/healed": qt3Passed, "s/fine": qt3Passed,
		"s/left": {status: "skip"},
	}
	found := strings.Join(compareQT3(verdicts, known, true), "\n")
	for _, want := range []string{"s/fresh fails", "s/healed is listed", "s/gone is listed"} {
		if !strings.Contains(found, want) {
			t.Errorf("%q is not among the differences:\n%s", want, found)
		}
	}
	if n := strings.Count(found, "\n") + 1; n != 3 {
		t.Errorf("%d differences, not 3:\n%s", n, found)
	}
	if err := writeQT3Expected(file, verdicts, known); err != nil {
		t.Fatal(err)
	}
	updated, err := readQT3Expected(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(updated) != 2 || updated["s/known"] != known["s/known"] || updated["s/fresh"].status != "panic" {
		t.Errorf("the updated list: %v", updated)
	}
	updated["s/fresh"] = qt3Expectation{"panic", "another reason"}
	if left := compareQT3(verdicts, updated, true); len(left) > 0 {
		t.Errorf("after an update: %v", left)
	}
	updated["s/left"] = qt3Expectation{"timeout", "it is slow"}
	verdicts["s/left"] = qt3Passed
	if len(compareQT3(verdicts, updated, true)) != 1 {
		t.Error("a case that is listed as slow and passes is not noticed")
	}
	verdicts["s/left"] = qt3Verdict{status: "code"}
	if len(compareQT3(verdicts, updated, true)) != 1 {
		t.Error("a slow case that fails in another way is not noticed")
	}
	verdicts["s/left"] = qt3Verdict{status: "timeout"}
	verdicts["s/known"] = qt3Verdict{status: "timeout"}
	if len(compareQT3(verdicts, updated, true)) != 1 {
		t.Error("a failure of another kind is not noticed")
	}
	verdicts["s/known"] = qt3Verdict{status: "fail"}
	updated["s/known"] = qt3Expectation{status: "fail"}
	if len(compareQT3(verdicts, updated, true)) != 1 {
		t.Error("a failure without a reason is not noticed")
	}
}

func TestQT3Catalogue(t *testing.T) {
	root := t.TempDir()
	for file, text := range map[string]string{
		"catalog.xml": `<catalog xmlns="http://www.w3.org/2010/09/qt-fots-catalog">
			<environment name="shared"><source role="." file="d.xml"/></environment>
			<test-set name="s" file="sub/s.xml"/></catalog>`,
		"d.xml": `<d>1</d>`,
		"sub/s.xml": `<test-set xmlns="http://www.w3.org/2010/09/qt-fots-catalog" name="s">
			<environment name="own"><param name="n:v" xmlns:n="urn:n" select="'é'" declared="true"/></environment>
			<dependency type="spec" value="XP20+"/>
			<test-case name="xpath"><test>1</test><result><assert-true/></result></test-case>
			<test-case name="a"><dependency type="spec" value="XQ10+"/><environment ref="shared"/>
				<test>/d = 1</test><result><assert-true/></result></test-case>
			<test-case name="b"><dependency type="spec" value="XQ10+"/><environment ref="own"/>
				<test>declare variable $Q{urn:n}v external; $Q{urn:n}v</test>
				<result><assert-string-value>é</assert-string-value></result></test-case>
			<test-case name="c"><dependency type="spec" value="XQ10+"/><environment ref="nowhere"/>
				<test>1</test><result><assert-eq>1</assert-eq></result></test-case>
			<test-case name="d"><dependency type="spec" value="XQ10+"/>
				<test file="q.xq"/><result><assert-eq>5</assert-eq></result></test-case>
			<test-case name="e"><dependency type="spec" value="XQ10+"/>
				<test>1</test><result><assert-eq>2</assert-eq><assert-eq>1</assert-eq></result></test-case>
		</test-set>`,
		"sub/q.xq": `2 + 3`,
	} {
		full := filepath.Join(root, file)
		if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o700), os.WriteFile(full, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	suite, err := loadQT3(root)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for id, v := range runQT3(suite, regexp.MustCompile("")) {
		got[id] = v.status
	}
	want := map[string]string{"s/a": "pass", "s/b": "pass", "s/c": "environment", "s/d": "pass", "s/e": "environment"}
	for id := range want {
		if got[id] != want[id] {
			t.Errorf("%s: %s, not %s", id, got[id], want[id])
		}
	}
	if suite.total != 6 || len(got) != 5 {
		t.Errorf("%d cases, of which %d apply; not 6 and 5", suite.total, len(got))
	}
	twice := `<test-set name="s"><test-case name="a"/><test-case name="a"/></test-set>`
	if err := os.WriteFile(filepath.Join(root, "sub/s.xml"), []byte(twice), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadQT3(root); err == nil {
		t.Error("two cases of one name count as one")
	}
}
