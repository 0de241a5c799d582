package xquery

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

const (
	qt3ExpectedFile = "testdata/qt3-expected.txt"
	qt3Update       = "go test ./xquery -run TestQT3 -count=1 -qt3.update"
)

const qt3ExpectedHead = `# The cases of the W3C suite QT3 that fail: the case, how it fails (fail, code, unsupported, limit, timeout, panic or
# environment), and why, separated by tabs. The reasons are written by hand and survive an update:
#   ` + qt3Update + `
`

// qt3Expectation is a case that is known to fail.
type qt3Expectation struct{ status, reason string }

func readQT3Expected(file string) (map[string]qt3Expectation, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	all := make(map[string]qt3Expectation)
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(line, "\t")
		if len(fields) < 2 || len(fields) > 3 {
			return nil, fmt.Errorf("%s:%d: not a case, a status and a reason", file, n)
		}
		if _, twice := all[fields[0]]; twice {
			return nil, fmt.Errorf("%s:%d: %s is listed twice", file, n, fields[0])
		}
		expectation := qt3Expectation{status: fields[1]}
		if len(fields) == 3 {
			expectation.reason = fields[2]
		}
		all[fields[0]] = expectation
	}
	return all, lines.Err()
}

func writeQT3Expected(file string, verdicts map[string]qt3Verdict, known map[string]qt3Expectation) error {
	var b strings.Builder
	b.WriteString(qt3ExpectedHead)
	for _, id := range slices.Sorted(maps.Keys(verdicts)) {
		v := verdicts[id]
		if v.status == "pass" || v.status == "skip" {
			continue
		}
		fmt.Fprintf(&b, "%s\t%s", id, v.status)
		if reason := known[id].reason; reason != "" {
			b.WriteString("\t" + reason)
		}
		b.WriteString("\n")
	}
	return os.WriteFile(file, []byte(b.String()), 0o644)
}

// compareQT3 are the differences between what happened and what is expected, one sentence each. Cases that were not
// run are not expected to be listed when all were to run.
func compareQT3(verdicts map[string]qt3Verdict, known map[string]qt3Expectation, all bool) []string {
	var differences []string
	for _, id := range slices.Sorted(maps.Keys(verdicts)) {
		v, listed := verdicts[id], known[id]
		fails := v.status != "pass" && v.status != "skip"
		switch {
		case fails && listed.status == "":
			differences = append(differences, fmt.Sprintf("%s fails (%s): %s", id, v.status, v.detail))
		case fails && listed.status != v.status:
			differences = append(differences,
				fmt.Sprintf("%s fails otherwise (%s) than it is listed (%s): %s", id, v.status, listed.status, v.detail))
		case !fails && listed.status != "":
			differences = append(differences, fmt.Sprintf("%s is listed as failing (%s), but the outcome is %s",
				id, listed.status, v.status))
		}
	}
	if !all {
		return differences
	}
	for _, id := range slices.Sorted(maps.Keys(known)) {
		if known[id].reason == "" {
			differences = append(differences, id+" is listed as failing without a reason")
		}
	}
	for _, id := range slices.Sorted(maps.Keys(known)) {
		if _, ran := verdicts[id]; !ran {
			differences = append(differences, id+" is listed as failing, but the suite has no such case")
		}
	}
	return differences
}
