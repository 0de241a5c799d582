package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// What is wrong in queries is told beside what is wrong with names, in the order of the lines.
func TestAllProblemsAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wrong.xml")
	writeFile(t, path, `<Objects xmlns="http://www.gonicus.de/Objects">
  <Amendment object="User">
    <Attributes>
      <Attribute><Name>one</Name><Type>String</Type><Default query="givenNam"/><Mapping attribute="audio"/></Attribute>
      <Attribute><Name>two</Name><Type>String</Type><BlockedBy><Attribute value="1">snn</Attribute></BlockedBy><Mapping attribute="x121Address"/></Attribute>
      <Attribute><Name>three</Name><Type>String</Type><Default query="concat("/><Mapping attribute="registeredAddress"/></Attribute>
    </Attributes>
  </Amendment>
</Objects>`)
	config, err := definitionFlags{Builtin: true}.config([]string{path})
	if err != nil {
		t.Fatal(err)
	}
	set, problems, err := compileDefinitions(config, nil)
	if err != nil || set != nil {
		t.Fatalf("set %v, error %v", set, err)
	}
	want := []string{"wrong.xml:4:", "wrong.xml:5:", "wrong.xml:6:"}
	if len(problems) != len(want) {
		t.Fatalf("problems %v", problems)
	}
	for i, p := range problems {
		if !strings.Contains(p.String(), want[i]) {
			t.Errorf("problem %d is %s, want %s", i+1, p, want[i])
		}
	}
}
