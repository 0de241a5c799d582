package main

import (
	"bytes"
	"strings"
	"testing"

	"clacks/xquery"
)

// The caret stands under the character that is meant, whatever those before it take on a terminal.
func TestCaret(t *testing.T) {
	for query, want := range map[string]int{
		`"ab" + $x`:        7,
		`"日本" + $x`:        9,
		`"ｶﾅ" + $x`:        7, // half as wide
		`"Ａ" + $x`:         7, // a full-width letter
		"\"e\u0301\" + $x": 6, // an accent of its own
		"\"é\" + $x":       6,
	} {
		_, err := xquery.Compile(query, xquery.Options{})
		var out bytes.Buffer
		r := &xqueryRun{xqueryCommand: xqueryCommand{Color: "never"}, env: environment{stderr: &out}, sources: map[string]string{"": query}}
		if r.report(err) == nil {
			t.Fatalf("%s: no error", query)
		}
		lines := strings.Split(out.String(), "\n")
		if got := strings.IndexByte(lines[2], '^') - len("    1 | "); got != want {
			t.Errorf("the caret stands at %d, not %d:\n%s", got, want, out.String())
		}
	}
	if got := columns("日本", 9); got != 4 {
		t.Errorf("a short line has %d columns", got)
	}
}
