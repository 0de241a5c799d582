package xquery

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
	"time"
)

// The conformance runner: TestQT3 runs the W3C's suite QT3 against this package.
//
//	go test ./xquery -run TestQT3                                   all cases; fails when the list of failures is not right
//	go test ./xquery -run TestQT3 -qt3.only='^prod-WhereClause/'     some cases, each failure in full
//	go test ./xquery -run TestQT3 -count=1 -qt3.update               rewrites the list and docs/xquery-conformance.md
//	go test ./xquery -run TestQT3 -qt3.log=qt3.log                   all failures: causes by frequency, then each in full
//	make qt3                                                        all cases, and rewrites docs/xquery-conformance.md
//
// The suite is no part of this project. QT3TESTS names its folder; it is looked for in ../shared/qt3tests beside the
// checkout otherwise. Without it the test is skipped.
//
// What happens to a case: qt3_catalog_test.go reads it; qt3_environment_test.go decides whether an optional feature is
// missing, and makes its context; qt3_engine_test.go hands both to the engine; qt3_assert_test.go and qt3_xml_test.go
// compare the answer with what the suite expects; qt3_expected_test.go compares the outcome with the list of known
// failures; qt3_report_test.go tells about it.
var (
	qt3Only   = flag.String("qt3.only", "", "run only the cases whose set/case matches this pattern")
	qt3Write  = flag.Bool("qt3.update", false, "rewrite the list of expected failures and the conformance report")
	qt3Log    = flag.String("qt3.log", "", "write all failures to this file")
	qt3Report = flag.Bool("qt3.report", false, "rewrite the conformance report")
)

const qt3ReportFile = "../docs/xquery-conformance.md"

func TestQT3(t *testing.T) {
	if testing.Short() {
		t.Skip("the conformance suite takes minutes")
	}
	root := qt3Root(t)
	suite, err := loadQT3(root)
	if err != nil {
		t.Fatal(err)
	}
	only, err := regexp.Compile(*qt3Only)
	if err != nil {
		t.Fatal(err)
	}
	known, err := readQT3Expected(qt3ExpectedFile)
	if err != nil {
		t.Fatal(err)
	}
	defer debug.SetGCPercent(debug.SetGCPercent(300)) // memory for time: the cases share two processors
	verdicts := runQT3(suite, only)
	var tally qt3Tally
	for _, v := range verdicts {
		tally.add(v)
	}
	fmt.Println(tally.summary())
	if *qt3Log != "" {
		writeQT3(t, *qt3Log, func(w io.Writer) { logQT3(w, suite, verdicts) })
	}
	if *qt3Only != "" {
		logQT3(os.Stdout, suite, verdicts)
		complainQT3(t, compareQT3(verdicts, known, false))
		return
	}
	if *qt3Write {
		if err := writeQT3Expected(qt3ExpectedFile, verdicts, known); err != nil {
			t.Fatal(err)
		}
		if known, err = readQT3Expected(qt3ExpectedFile); err != nil {
			t.Fatal(err)
		}
	}
	report := reportQT3(suite, verdicts, known)
	if *qt3Write || *qt3Report {
		writeQT3(t, qt3ReportFile, func(w io.Writer) { _, _ = io.WriteString(w, report) })
	}
	differences := compareQT3(verdicts, known, true)
	complainQT3(t, differences)
	if written, err := os.ReadFile(qt3ReportFile); err != nil || string(written) != report {
		t.Error("docs/xquery-conformance.md is not what this run gives; `make qt3` writes it")
	}
}

// qt3Root is the folder of the suite.
func qt3Root(t testing.TB) string {
	root := os.Getenv("QT3TESTS")
	if root == "" {
		root = filepath.Join("..", "..", "shared", "qt3tests")
	}
	root, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "catalog.xml")); err != nil {
		t.Skipf("the W3C suite QT3 is not here; QT3TESTS names its folder (%s)", err)
	}
	return root
}

func writeQT3(t *testing.T, file string, write func(io.Writer)) {
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	write(f)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// complainQT3 reports differences, not thousands of them.
func complainQT3(t *testing.T, differences []string) {
	const most = 40
	for i, d := range differences {
		if i == most {
			t.Errorf("and %d more", len(differences)-most)
			break
		}
		t.Errorf("%.600s", d)
	}
	if len(differences) > 0 {
		t.Errorf("if this is right, update the list: %s", qt3Update)
	}
}

// runQT3 runs the cases on all processors. Those that take too long are run again, alone.
func runQT3(suite *qt3Suite, only *regexp.Regexp) map[string]qt3Verdict {
	files := &qt3Files{}
	cases := make(chan *qt3Case)
	verdicts := make(map[string]qt3Verdict)
	var slow []*qt3Case
	var mu sync.Mutex
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for c := range cases {
				v := c.verdict(files)
				mu.Lock()
				verdicts[c.id()] = v
				if v.status == "timeout" {
					slow = append(slow, c)
				}
				mu.Unlock()
			}
		})
	}
	for _, set := range suite.sets {
		for _, c := range set.cases {
			if only.MatchString(c.id()) {
				cases <- c
			}
		}
	}
	close(cases)
	workers.Wait()
	for _, c := range slow[:min(len(slow), qt3MostSlow)] {
		verdicts[c.id()] = c.verdict(files)
	}
	return verdicts
}

// qt3MostSlow bounds the second tries: many slow cases are no accident.
const qt3MostSlow = 5

// verdict runs a case. A case that does not answer its context's end is given up, and its goroutine left behind.
func (c *qt3Case) verdict(files *qt3Files) qt3Verdict {
	if reason := c.skip(); reason != "" {
		return qt3Verdict{status: "skip", detail: reason}
	}
	ctx, cancel := context.WithTimeout(context.Background(), qt3Timeout+qt3Timeout/2)
	defer cancel()
	answer := make(chan qt3Verdict, 1)
	go func() { answer <- c.run(ctx, files) }()
	select {
	case v := <-answer:
		return v
	case <-time.After(2 * qt3Timeout):
		return qt3Verdict{status: "timeout", detail: "it does not end"}
	}
}

func (c *qt3Case) run(ctx context.Context, files *qt3Files) (v qt3Verdict) {
	defer func() {
		if broken := recover(); broken != nil {
			v = qt3Verdict{status: "panic", detail: fmt.Sprintf("panic: %v\n%s", broken, debug.Stack())}
		}
	}()
	e, err := newQT3Context(ctx, c, files)
	if err != nil {
		return qt3Verdict{status: "environment", detail: err.Error()}
	}
	return e.judge(ctx, e.answer(ctx))
}
