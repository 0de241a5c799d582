package definitions

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the problems that are found into the files of testdata/bad as the wanted ones")

// known is what the tests' configuration binds.
var known = Options{Backends: []string{"LDAP", "SQL", "NULL"}}

// wantForm finds the problems that a bad file says it has, each in a comment at its end.
var wantForm = regexp.MustCompile(`<!-- want: (.*) -->\n`)

// TestBadFiles loads each file of testdata/bad by itself, and each folder as one set, and wants exactly the problems that
// the files tell: line, column, severity, message and hint.
func TestBadFiles(t *testing.T) {
	entries, err := os.ReadDir("testdata/bad")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		t.Run(entry.Name(), func(t *testing.T) {
			sources, err := ReadPath(filepath.Join("testdata/bad", entry.Name()))
			if err != nil {
				t.Fatal(err)
			}
			set, problems := Load(sources, known)
			if (set == nil) != HasErrors(problems) {
				t.Errorf("set %v, but errors %v", set != nil, HasErrors(problems))
			}
			if len(problems) == 0 {
				t.Error("nothing is wrong with a bad file")
			}
			for _, source := range sources {
				checkWanted(t, source, problems)
			}
		})
	}
}

func checkWanted(t *testing.T, source Source, problems []Problem) {
	t.Helper()
	var got []string
	for _, p := range problems {
		if p.File == source.Name {
			text := strings.TrimPrefix(p.String(), source.Name+":")
			got = append(got, strings.ReplaceAll(text, source.Name, "FILE"))
		}
	}
	if *update {
		updateWanted(t, source, got)
		return
	}
	var want []string
	for _, match := range wantForm.FindAllSubmatch(source.Data, -1) {
		want = append(want, string(match[1]))
	}
	for _, line := range got {
		if !slices.Contains(want, line) {
			t.Errorf("%s: not wanted: %s", source.Name, line)
		}
	}
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("%s: missing: %s", source.Name, line)
		}
	}
}

func updateWanted(t *testing.T, source Source, got []string) {
	t.Helper()
	data := wantForm.ReplaceAll(source.Data, nil)
	var b bytes.Buffer
	b.Write(data)
	for _, line := range got {
		fmt.Fprintf(&b, "<!-- want: %s -->\n", line)
	}
	if err := os.WriteFile(source.Name, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestGoodFiles loads each file of testdata/good with nothing to complain about.
func TestGoodFiles(t *testing.T) {
	sources, err := ReadPath("testdata/good")
	if err != nil {
		t.Fatal(err)
	}
	options := known
	options.Filters = []string{"Lower", "Trim"}
	options.Validators = []string{"Even", "Odd"}
	for _, source := range sources {
		set, problems := Load([]Source{source}, options)
		for _, p := range problems {
			t.Error(p.Detail())
		}
		if set == nil {
			t.Errorf("%s does not load", source.Name)
		}
	}
}
