package xsd

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"clacks"
)

const personSchema = `<?xml version="1.0" encoding="UTF-8"?>
<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:p="urn:p" targetNamespace="urn:p" elementFormDefault="qualified">
  <xs:include schemaLocation="kinds.xsd"/>
  <xs:element name="Person">
    <xs:complexType>
      <xs:sequence>
        <xs:element name="Name" type="xs:token"/>
        <xs:element name="Age" type="xs:nonNegativeInteger" minOccurs="0"/>
        <xs:element name="Kind" type="p:Kind" minOccurs="0"/>
        <xs:element name="Born" type="xs:date" minOccurs="0"/>
        <xs:element name="Mail" minOccurs="0" maxOccurs="unbounded">
          <xs:simpleType><xs:restriction base="xs:string"><xs:pattern value="[^@]+@[^@]+"/></xs:restriction></xs:simpleType>
        </xs:element>
        <xs:element name="Person" minOccurs="0">
          <xs:complexType><xs:sequence><xs:any processContents="lax" minOccurs="0" maxOccurs="unbounded"/></xs:sequence></xs:complexType>
        </xs:element>
      </xs:sequence>
      <xs:attribute name="id" type="xs:ID" use="required"/>
      <xs:attribute name="active" type="xs:boolean"/>
    </xs:complexType>
  </xs:element>
</xs:schema>`

const kindsSchema = `<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:p" elementFormDefault="qualified">
  <xs:simpleType name="Kind"><xs:restriction base="xs:token">
    <xs:enumeration value="staff"/><xs:enumeration value="guest"/>
  </xs:restriction></xs:simpleType>
</xs:schema>`

var personFiles = []File{{Name: "person.xsd", Data: []byte(personSchema)}, {Name: "kinds.xsd", Data: []byte(kindsSchema)}}

// engines are all implementations of this build, so that each test holds for each of them.
func engines(t testing.TB) map[string]func([]File) (engine, []Issue, error) {
	t.Helper()
	return map[string]func([]File) (engine, []Issue, error){"helium": compileHelium, Engine(): compileEngine}
}

func compileAll(t testing.TB, files ...File) map[string]*Schema {
	t.Helper()
	schemas := map[string]*Schema{}
	for name, compile := range engines(t) {
		schema, err := compileWith(compile, files)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		schemas[name] = schema
	}
	return schemas
}

// document is one case that all engines must judge alike: the lines on which they find something, and the words that the
// first message holds (not its wording, which is each engine's own).
type document struct {
	name, text string
	lines      []int
	contains   string
}

func documents() []document {
	p := func(body string) string { return `<Person xmlns="urn:p" id="a">` + "\n" + body + "\n</Person>" }
	return []document{
		{"valid", p("<Name>x</Name><Age>3</Age><Kind>staff</Kind><Born>2001-02-03</Born><Mail>a@b</Mail>"), nil, ""},
		{"valid with a BOM", "\ufeff" + p("<Name>ä</Name>"), nil, ""},
		{"valid with a declaration", "<?xml version='1.0' encoding='utf-8'?>\n" + p("<Name>ä</Name>"), nil, ""},
		{"comments and CDATA", "<!-- <!DOCTYPE x> -->\n" + p("<Name><![CDATA[<!DOCTYPE x>]]></Name>"), nil, ""},
		{"processing instruction", "<?pi <!DOCTYPE x> ?>\n" + p("<Name>x</Name>"), nil, ""},
		{"schema location is only a hint", `<Person xmlns="urn:p" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" ` +
			`xsi:schemaLocation="urn:p /etc/passwd urn:q kinds.xsd" id="a"><Name>x</Name></Person>`, nil, ""},
		{"not expected", p("<Name>x</Name>\n<Nick>y</Nick>"), []int{3}, "Nick"},
		{"missing child", `<Person xmlns="urn:p" id="a"/>`, []int{1}, "Missing child"},
		{"missing attribute", "\n" + `<Person xmlns="urn:p"><Name>x</Name></Person>`, []int{2}, "id"},
		{"unknown attribute", `<Person xmlns="urn:p" id="a" nick="b"><Name>x</Name></Person>`, []int{1}, "nick"},
		{"bad integer", p("<Name>x</Name>\n<Age>old</Age>"), []int{3}, "old"},
		{"bad boolean", `<Person xmlns="urn:p" id="a" active="maybe"><Name>x</Name></Person>`, []int{1}, "maybe"},
		{"bad enumeration", p("<Name>x</Name>\n<Kind>robot</Kind>"), []int{3}, "robot"},
		{"bad date", p("<Name>x</Name>\n<Born>2001-02-30</Born>"), []int{3}, "2001-02-30"},
		{"bad pattern", p("<Name>x</Name>\n<Mail>nobody</Mail>"), []int{3}, "nobody"},
		{"several", p("<Name>x</Name>\n<Age>old</Age>\n<Kind>robot</Kind>\n<Mail>nobody</Mail>"), []int{3, 4, 5}, "old"},
		{"text in elements", p("hello<Name>x</Name>"), []int{1}, "Character content"},
		{"wrong root", `<Human xmlns="urn:p"/>`, []int{1}, "Human"},
		{"wrong namespace", `<Person id="a"><Name>x</Name></Person>`, []int{1}, "Person"},
		{"long value", p("<Name>x</Name>\n<Kind>" + strings.Repeat("k", 8200) + "</Kind>"), []int{3}, strings.Repeat("k", 8200)},
		{"not closed", p("<Name>x"), []int{3}, ""},
		{"bare ampersand", p("<Name>a & b</Name>"), []int{2}, ""},
		{"two roots", p("<Name>x</Name>") + p("<Name>x</Name>"), []int{3}, ""},
		{"empty", "", []int{1}, ""},
		{"no markup", "hello", []int{1}, ""},
		{"undeclared prefix", p("<Name>x</Name><q:Age>3</q:Age>"), []int{2}, "q"},
		{"undeclared entity", p("<Name>&lol;</Name>"), []int{2}, ""},
		{"DOCTYPE", "\n<!DOCTYPE Person>" + p("<Name>x</Name>"), []int{2}, "DOCTYPE"},
		{"entities", `<!DOCTYPE Person [<!ENTITY lol "lol">]>` + p("<Name>&lol;</Name>"), []int{1}, "DOCTYPE"},
		{"file", `<!DOCTYPE Person [<!ENTITY f SYSTEM "file:///etc/passwd">]>` + p("<Name>&f;</Name>"), []int{1}, "DOCTYPE"},
		{"other encoding", `<?xml version="1.0" encoding="UTF-7"?>` + p("<Name>x</Name>"), []int{1}, "UTF-7"},
		{"Latin-1 bytes", p("<Name>\xe4</Name>"), []int{2}, "UTF-8"},
		{"UTF-16", "\xff\xfe<\x00P\x00", []int{1}, "UTF-8"},
		{"too deep", strings.Repeat("<a>", 101) + strings.Repeat("</a>", 101), []int{1}, "nested deeper than 100"},
		{"too deep with quotes", strings.Repeat(`<a b=">/">`, 101), []int{1}, "nested deeper than 100"},
		{"deep enough", p("<Name>x</Name><Person>" + strings.Repeat("<a>", 98) + strings.Repeat("</a>", 98) + "</Person>"), nil, ""},
		{"wide is not deep", p("<Name>x</Name><Person>" + strings.Repeat("<a/><b></b>", 500) + "</Person>"), nil, ""},
	}
}

func TestEnginesAgree(t *testing.T) {
	for name, schema := range compileAll(t, personFiles...) {
		for _, d := range documents() {
			t.Run(name+"/"+d.name, func(t *testing.T) {
				issues, err := schema.Validate("doc.xml", []byte(d.text), Limits{})
				if err != nil {
					t.Fatal(err)
				}
				if got, want := fmt.Sprint(lines(issues)), fmt.Sprint(d.lines); got != want {
					t.Fatalf("lines %s, want %s: %v", got, want, issues)
				}
				if len(issues) > 0 && (!strings.Contains(issues[0].Message, d.contains) || issues[0].File != "doc.xml") {
					t.Errorf("first issue %v does not hold %q", issues[0], d.contains)
				}
			})
		}
	}
}

// lines are the distinct lines of issues, in order: engines may find one fault to be two.
func lines(issues []Issue) []int {
	var lines []int
	for _, issue := range issues {
		if len(lines) == 0 || lines[len(lines)-1] != issue.Line {
			lines = append(lines, issue.Line)
		}
	}
	return lines
}

func TestLimits(t *testing.T) {
	text := []byte(`<Person xmlns="urn:p" id="a"><Name>x</Name></Person>`)
	for name, schema := range compileAll(t, personFiles...) {
		for _, c := range []struct {
			limits Limits
			want   string
		}{
			{Limits{Size: len(text), Depth: 2}, ""},
			{Limits{Size: len(text) - 1}, "51 are allowed"},
			{Limits{Depth: 1}, "nested deeper than 1"},
		} {
			issues, err := schema.Validate("doc.xml", text, c.limits)
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(issues); c.want == "" != (len(issues) == 0) || !strings.Contains(got, c.want) {
				t.Errorf("%s %+v: %s, want %q", name, c.limits, got, c.want)
			}
		}
	}
}

func TestManyIssuesAreBounded(t *testing.T) {
	text := `<Person xmlns="urn:p" id="a"><Name>x</Name>` + strings.Repeat("<Mail>n</Mail>\n", 20_000) + "</Person>"
	for name, schema := range compileAll(t, personFiles...) {
		issues, err := schema.Validate("doc.xml", []byte(text), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if len(issues) != maxIssues {
			t.Errorf("%s: %d issues, want %d", name, len(issues), maxIssues)
		}
	}
}

func TestCompileErrors(t *testing.T) {
	wrap := func(body string) []byte {
		return []byte(`<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:p="urn:p" targetNamespace="urn:p">` + "\n" + body + "\n</xs:schema>")
	}
	cases := map[string]struct {
		files []File
		want  string // in the text of all issues
	}{
		"no file":        {nil, "no schema file"},
		"not XML":        {[]File{{"a.xsd", []byte("<xs:schema")}}, "a.xsd"},
		"not a schema":   {[]File{{"a.xsd", []byte("<hello/>")}}, "a.xsd"},
		"DOCTYPE":        {[]File{{"a.xsd", append([]byte("<!DOCTYPE x>"), wrap("")...)}}, "a.xsd:1:1: a DOCTYPE"},
		"unknown type":   {[]File{{"a.xsd", wrap(`<xs:element name="a" type="p:b"/>`)}}, "a.xsd:2: "},
		"not given":      {[]File{{"a.xsd", wrap(`<xs:include schemaLocation="b.xsd"/>`)}}, "'b.xsd' is not among the given"},
		"not given file": {[]File{{"a.xsd", wrap(`<xs:import namespace="urn:x" schemaLocation="/etc/passwd"/>`)}}, "etc/passwd"},
		"network": {[]File{{"a.xsd", wrap(`<xs:import namespace="urn:x" schemaLocation="http://127.0.0.1:1/x.xsd"/>`)}},
			"127.0.0.1:1/x.xsd"},
		"error in another": {[]File{{"a.xsd", wrap(`<xs:include schemaLocation="b.xsd"/>`)},
			{"b.xsd", wrap("\n" + `<xs:element name="a" type="p:b"/>`)}}, "b.xsd:3: "},
		"not XML in another": {[]File{{"a.xsd", wrap(`<xs:include schemaLocation="b.xsd"/>`)}, {"b.xsd", []byte("<xs:schema>")}}, ""},
		"absolute name":      {[]File{{"/etc/a.xsd", wrap("")}}, "plain relative path"},
	}
	for engineName, compile := range engines(t) {
		for name, c := range cases {
			t.Run(engineName+"/"+name, func(t *testing.T) {
				_, err := compileWith(compile, c.files)
				if !clacks.IsKind(err, clacks.Invalid) {
					t.Fatalf("error %v, want one of kind invalid", err)
				}
				text := err.Error()
				var schemaErr *SchemaError
				if errors.As(err, &schemaErr) {
					text = schemaErr.Error()
				}
				if !strings.Contains(text, c.want) {
					t.Errorf("error %q does not hold %q", text, c.want)
				}
			})
		}
	}
}

func TestFolders(t *testing.T) {
	compileAll(t,
		File{"events/all.xsd", []byte(`<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:include schemaLocation="own/b.xsd"/>
			<xs:element name="a" type="B"/></xs:schema>`)},
		File{"events/own/b.xsd", []byte(`<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:include schemaLocation="c.xsd"/>
			<xs:simpleType name="B"><xs:restriction base="C"/></xs:simpleType></xs:schema>`)},
		File{"events/own/c.xsd", []byte(`<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">
			<xs:simpleType name="C"><xs:restriction base="xs:int"/></xs:simpleType></xs:schema>`)})
}

// TestParallel shares one schema between many validations while others compile.
func TestParallel(t *testing.T) {
	for name, compile := range engines(t) {
		schema, err := compileWith(compile, personFiles)
		if err != nil {
			t.Fatal(err)
		}
		cases := documents()
		var group sync.WaitGroup
		for worker := range 16 {
			group.Go(func() {
				for i := range 100 {
					d := cases[(worker+i)%len(cases)]
					issues, err := schema.Validate("doc.xml", []byte(d.text), Limits{})
					if err != nil || fmt.Sprint(lines(issues)) != fmt.Sprint(d.lines) {
						t.Errorf("%s %s: %v %v", name, d.name, issues, err)
					}
					if worker == 0 && i%10 == 0 {
						if _, err := compileWith(compile, personFiles); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		group.Wait()
	}
}

func BenchmarkValidate(b *testing.B) {
	text := []byte(documents()[0].text)
	for name, schema := range compileAll(b, personFiles...) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if issues, err := schema.Validate("doc.xml", text, Limits{}); err != nil || len(issues) > 0 {
					b.Fatal(issues, err)
				}
			}
		})
	}
}

func FuzzValidate(f *testing.F) {
	for _, d := range documents() {
		f.Add([]byte(d.text))
	}
	schemas := compileAll(f, personFiles...)
	f.Fuzz(func(t *testing.T, text []byte) {
		for name, schema := range schemas {
			issues, err := schema.Validate("doc.xml", text, Limits{Size: 64 << 10})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for _, issue := range issues {
				if issue.Message == "" || issue.Line < 0 || issue.Column < 0 {
					t.Fatalf("%s: unusable issue %+v", name, issue)
				}
			}
		}
	})
}
