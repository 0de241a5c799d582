package definitions

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"clacks"
)

// referenceObjects are the definition files of the first Clacks. They are no part of the project.
const referenceObjects = "../../shared/reference/clacks/objects"

// TestReferenceFilesLoad loads the files of the first version unchanged: what it tolerated is a warning, and what this
// version does not execute makes attributes unavailable.
func TestReferenceFilesLoad(t *testing.T) {
	if _, err := os.Stat(referenceObjects); errors.Is(err, fs.ErrNotExist) {
		t.Skip("the reference files are not here")
	}
	sources, err := ReadPath(referenceObjects)
	if err != nil || len(sources) != 33 {
		t.Fatal(len(sources), err)
	}
	set, problems := Load(sources, Options{Backends: []string{"LDAP", "JSON", "NULL"}})
	for _, p := range problems {
		if p.Severity == Error {
			t.Error(p)
		}
	}
	if set == nil || len(set.Types()) != 32 { // two files define User
		t.Fatal("the files do not make a set of 32 types")
	}
	same(t, "blocked", set.Type("User").Attribute("displayName").BlockedBy, []Blocker{{"autoDisplayName", "true"}})
	same(t, "unavailable", set.Type("User").Attribute("dateOfBirth").Unavailable, "there is no filter StringToDatetime")
	same(t, "available", set.Type("User").Attribute("givenName").Unavailable, "")
	same(t, "relation", set.Type("PosixUser").Attribute("groupMembership").Unavailable, "the backend ObjectHandler is not configured")
	same(t, "what does not exist is left out", slices.Contains(set.Type("Acl").Extends, "SetBackends"), false)
}

func source(name, body string) Source {
	return Source{Name: name, Data: []byte(`<Objects xmlns="http://www.gonicus.de/Objects">` + body + `</Objects>`)}
}

const thing = `<Object><Name>Thing</Name><Backend>LDAP</Backend><BackendParameters><Backend RDN="cn">LDAP</Backend></BackendParameters>
<BaseObject>true</BaseObject><Attributes><Attribute><Name>cn</Name><Type>String</Type></Attribute></Attributes></Object>`

// TestFilesOfTheFirstVersion are told by the schema that they name; only there a later definition of a type counts.
func TestFilesOfTheFirstVersion(t *testing.T) {
	first := source("first.xml", thing)
	second := source("second.xml", strings.Replace(thing, "<Name>cn</Name>", "<Name>cn</Name><Description>second</Description>", 1))
	if set, _ := Load([]Source{first, second}, known); set != nil {
		t.Error("a type can be defined twice")
	}
	for location, loads := range map[string]bool{
		namespace + " ../object.xsd": true, namespace + " object.xsd": true, "urn:x a.xsd " + namespace + " object.xsd": true,
		namespace + " objects.xsd": false, "urn:x object.xsd": false, "object.xsd": false,
	} {
		old := second
		old.Data = []byte(strings.Replace(string(second.Data), "<Objects ", `<Objects xmlns:i="`+schemaInstance+`" i:schemaLocation="`+location+`" `, 1))
		set, problems := Load([]Source{first, old}, known)
		if (set != nil) != loads {
			t.Errorf("%s: loads %v, want %v: %v", location, set != nil, loads, problems)
		}
		if set != nil && (set.Type("Thing").Attribute("cn").Description != "second" || len(set.Types()) != 1) {
			t.Errorf("%s: the later definition does not count", location)
		}
	}
}

func TestAmendmentsApplyInOrder(t *testing.T) {
	amendment := func(name, description string) Source {
		return source(name, `<Amendment object="Thing"><Attributes><Attribute override="true"><Name>cn</Name><Type>String</Type><Description>`+
			description+`</Description></Attribute></Attributes></Amendment>`)
	}
	// An amendment may stand before what it amends.
	set, problems := Load([]Source{amendment("z.xml", "one"), source("b.xml", thing), amendment("a.xml", "two")}, known)
	if set == nil {
		t.Fatal(problems)
	}
	same(t, "description", set.Type("Thing").Attribute("cn").Description, "two")
}

func TestProblemsAreSorted(t *testing.T) {
	bad := `<Object><Name>X</Name></Object>` + "\n" + `<Object><Name>Y</Name></Object>`
	_, problems := Load([]Source{source("b.xml", bad), source("a.xml", bad)}, known)
	var places []string
	for _, p := range problems {
		places = append(places, fmt.Sprintf("%s:%d", p.File, p.Line))
	}
	if !slices.IsSorted(places) || len(places) < 8 {
		t.Errorf("places %v", places)
	}
}

func TestHugeFileIsRefused(t *testing.T) {
	huge := Source{Name: "huge.xml", Data: make([]byte, MaxFile+1)}
	set, problems := Load([]Source{huge, source("b.xml", thing)}, known)
	if set != nil || len(problems) != 1 || !strings.Contains(problems[0].Message, "4194305 bytes") {
		t.Error(problems)
	}
}

func TestManyProblemsAreBounded(t *testing.T) {
	_, problems := Load([]Source{source("a.xml", strings.Repeat("<Object/>\n", 5000))}, known)
	if len(problems) == 0 || len(problems) > maxProblems {
		t.Errorf("%d problems", len(problems))
	}
}

func TestReadPath(t *testing.T) {
	folder := t.TempDir()
	write := func(name string, size int) {
		t.Helper()
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, make([]byte, size), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("b.xml", 1)
	write("a/c.XML", 2)
	write("a/readme.md", 3)
	sources, err := ReadPath(folder)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range sources {
		names = append(names, strings.TrimPrefix(s.Name, folder+"/"))
	}
	same(t, "names", names, []string{"a/c.XML", "b.xml"})
	if sources, err = ReadPath(filepath.Join(folder, "b.xml")); err != nil || len(sources) != 1 || len(sources[0].Data) != 1 {
		t.Error(sources, err)
	}
	if _, err = ReadPath(filepath.Join(folder, "none")); !clacks.IsKind(err, clacks.NotFound) {
		t.Error(err)
	}
	write("huge.xml", MaxFile+1)
	for _, path := range []string{folder, filepath.Join(folder, "huge.xml")} {
		if _, err = ReadPath(path); !clacks.IsKind(err, clacks.Limit) || !strings.Contains(err.Error(), "huge.xml") {
			t.Error(err)
		}
	}
}

func TestProblemForms(t *testing.T) {
	p := Problem{
		Position: Position{File: "a.xml", Line: 3, Column: 7}, Severity: Error, Message: "wrong", Hint: "write right", Source: "\tä <x> y",
	}
	same(t, "string", p.String(), "a.xml:3:7: error: wrong (write right)")
	same(t, "detail", p.Detail(), "a.xml:3:7: error: wrong (write right)\n  \tä <x> y\n  \t     ^")
	data, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "JSON", string(data), `{"file":"a.xml","line":3,"column":7,"severity":"error","message":"wrong","hint":"write right","source":"\tä \u003cx\u003e y"}`)
	p = Problem{Position: Position{File: "a.xml"}, Message: "wrong"}
	same(t, "without a place", p.Detail(), "a.xml: warning: wrong")
	long := Problem{Position: Position{File: "a.xml", Line: 1, Column: 501}, Source: strings.Repeat("x", 500) + "!" + strings.Repeat("y", 500)}
	lines := strings.Split(long.Detail(), "\n")
	if len(lines) != 3 || lines[1][strings.IndexByte(lines[2], '^')] != '!' || len(lines[1]) > sourceWidth+2 {
		t.Errorf("a long line is shown as %q", lines)
	}
}

func TestCircles(t *testing.T) {
	got := circles(map[string][]string{"a": {"b"}, "b": {"c", "b"}, "c": {"a", "x"}, "x": nil, "y": {"x"}, "q": {"p"}, "p": {"q"}})
	same(t, "circles", got, [][]string{{"a", "b", "c"}, {"b"}, {"p", "q"}})
}

func FuzzLoad(f *testing.F) {
	for _, folder := range []string{"testdata/good", "testdata/bad", "builtin", "../examples/employees"} {
		sources, err := ReadPath(folder)
		if err != nil {
			f.Fatal(err)
		}
		for _, s := range sources {
			f.Add(s.Data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		set, problems := Load([]Source{{Name: "fuzz.xml", Data: data}}, known)
		if (set == nil) != HasErrors(problems) {
			t.Fatalf("set %v, problems %v", set != nil, problems)
		}
		for _, p := range problems {
			if p.File != "fuzz.xml" || p.Line < 1 || p.Column < 1 || p.Message == "" || p.Detail() == "" {
				t.Fatalf("unusable problem %+v", p)
			}
		}
		if set == nil {
			return
		}
		for _, typ := range set.Types() {
			for _, a := range typ.Attributes {
				if a.Name == "" || a.Backend == "" || a.Pos.Line < 1 {
					t.Fatalf("unusable attribute %+v", a)
				}
			}
		}
	})
}
