package xsd

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// TestNoLeak validates and compiles 20,000 times and watches the memory of the whole process, which is the only place where
// a leak of C memory shows.
func TestNoLeak(t *testing.T) {
	if testing.Short() {
		t.Skip("20,000 rounds take some seconds")
	}
	if Engine() != "libxml2" {
		t.Skip("only C memory can leak")
	}
	text, invalid := []byte(documents()[0].text), []byte(strings.Replace(documents()[0].text, "staff", strings.Repeat("x", 9000), 1))
	broken := []File{personFiles[0]}
	work := func(rounds int) {
		for i := range rounds {
			schema, err := Compile(personFiles...)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Compile(broken...); err == nil {
				t.Fatal("a schema without its include compiled")
			}
			valid, err1 := schema.Validate("doc.xml", text, Limits{})
			wrong, err2 := schema.Validate("doc.xml", invalid, Limits{})
			if err1 != nil || err2 != nil || len(valid) > 0 || len(wrong) == 0 {
				t.Fatal(valid, wrong, err1, err2)
			}
			if i%50 == 0 {
				runtime.GC() // runs the cleanups that free C schemas
			}
		}
		runtime.GC()
	}
	work(2_000)
	before := resident(t)
	work(20_000)
	after := resident(t)
	if grown := after - before; grown > 24<<20 {
		t.Errorf("20,000 rounds grew the process by %d KiB (from %d to %d)", grown>>10, before>>10, after>>10)
	}
}

// resident is the resident set size of the process in bytes.
func resident(t *testing.T) int {
	t.Helper()
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(data))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}
