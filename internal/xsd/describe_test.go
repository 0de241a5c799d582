package xsd

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"clacks"
)

// described is a schema with each thing that a description shows.
const described = `<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns="urn:d" targetNamespace="urn:d" elementFormDefault="qualified">
  <xs:include schemaLocation="parts.xsd"/>
  <xs:element name="Note" type="Note"/>
  <xs:complexType name="Note">
    <xs:annotation><xs:documentation>What
      somebody noted.</xs:documentation></xs:annotation>
    <xs:complexContent><xs:extension base="Base">
      <xs:sequence>
        <xs:choice maxOccurs="unbounded"><xs:element name="text" type="xs:string"/><xs:group ref="pair" minOccurs="0"/></xs:choice>
        <xs:element name="reply" type="Note" minOccurs="0"/>
        <xs:element ref="Tree"/>
        <xs:any minOccurs="0" processContents="lax"/>
      </xs:sequence>
      <xs:attribute name="lang" type="Language" use="required"/>
      <xs:attribute ref="xml:lang"/>
    </xs:extension></xs:complexContent>
  </xs:complexType>
  <xs:element name="Tree"><xs:complexType><xs:sequence><xs:element ref="Tree" minOccurs="0"/></xs:sequence></xs:complexType></xs:element>
  <xs:element name="Plain" type="xs:int"/>
</xs:schema>`

const parts = `<s:schema xmlns:s="http://www.w3.org/2001/XMLSchema">
  <s:complexType name="Base"><s:sequence>
    <s:element name="when" minOccurs="0"><s:annotation><s:documentation>the time</s:documentation></s:annotation>
      <s:simpleType><s:union memberTypes="s:dateTime"><s:simpleType><s:restriction base="s:string"><s:pattern value="[0-9]+"/></s:restriction></s:simpleType></s:union></s:simpleType>
    </s:element></s:sequence><s:attribute name="id" type="s:ID"/></s:complexType>
  <s:simpleType name="Language"><s:restriction base="s:token"><s:enumeration value="de"/><s:enumeration value="en"/></s:restriction></s:simpleType>
  <s:group name="pair"><s:sequence>
    <s:element name="key" form="unqualified" type="Language"/>
    <s:element name="amount"><s:complexType><s:simpleContent><s:extension base="s:decimal"><s:attribute name="unit"/></s:extension></s:simpleContent></s:complexType></s:element>
    <s:element name="tags"><s:simpleType><s:list itemType="s:NMTOKEN"/></s:simpleType></s:element>
  </s:sequence></s:group>
</s:schema>`

func TestDescribe(t *testing.T) {
	d, err := Describe([]File{{"main.xsd", []byte(described)}, {"parts.xsd", []byte(parts)}}, "Note", "Plain")
	if err != nil {
		t.Fatal(err)
	}
	note := d.Elements[0]
	if note.Name != "Note" || note.Documentation != "What somebody noted." || note.Order != OrderSequence || len(note.Elements) != 2 {
		t.Fatalf("%+v", note)
	}
	if got, want := note.Attributes, []Attribute{
		{Name: "id", Simple: Simple{Type: "ID"}},
		{Name: "lang", Required: true, Simple: Simple{Type: "token", Values: []string{"de", "en"}, Facets: map[string]string{}}},
		{Name: "xml:lang", Simple: Simple{Type: "string"}},
	}; !reflect.DeepEqual(got, want) {
		t.Errorf("attributes %+v", got)
	}
	base, own := note.Elements[0], note.Elements[1]
	if when := base.Elements[0]; base.Order != OrderSequence || when.Name != "when" || when.Documentation != "the time" || when.Min != 0 ||
		when.Type != "union" || !reflect.DeepEqual(when.Members, []string{"dateTime", "string"}) || when.Unqualified != true {
		t.Errorf("of the base: %+v", base)
	}
	choice, reply, tree, wild := own.Elements[0], own.Elements[1], own.Elements[2], own.Elements[3]
	if choice.Order != OrderChoice || choice.Max != Unbounded || choice.Elements[0].Type != "string" || choice.Elements[0].Unqualified {
		t.Errorf("the choice: %+v", choice)
	}
	pair := choice.Elements[1]
	if pair.Order != OrderSequence || pair.Min != 0 || !pair.Elements[0].Unqualified || pair.Elements[0].Type != "token" ||
		pair.Elements[1].Type != "decimal" || pair.Elements[1].Attributes[0].Name != "unit" ||
		pair.Elements[2].Type != "list" || pair.Elements[2].Members[0] != "NMTOKEN" {
		t.Errorf("the group: %+v", pair)
	}
	if reply.Complex != "Note" || d.Types["Note"].Order != OrderSequence {
		t.Errorf("what holds itself: %+v", reply)
	}
	if inner := d.Types[tree.Complex].Elements; len(inner) != 1 || inner[0].Complex != tree.Complex {
		t.Errorf("an element that holds itself: %+v", tree)
	}
	if wild.Order != OrderAny || wild.Min != 0 || wild.Name != "" {
		t.Errorf("any: %+v", wild)
	}
	if plain := d.Elements[1]; plain.Type != "int" || plain.Order != "" {
		t.Errorf("%+v", plain)
	}
	if _, err := json.Marshal(d); err != nil {
		t.Error(err)
	}
	compiled := strings.Replace(described, `<xs:attribute ref="xml:lang"/>`, "", 1) // its schema is not at hand
	if _, err := Compile(File{"main.xsd", []byte(compiled)}, File{"parts.xsd", []byte(parts)}); err != nil {
		t.Errorf("the example is no schema: %v", err)
	}
}

func TestDescribeRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"no XML":     "<",
		"no schema":  "<x/>",
		"no element": `<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"/>`,
	} {
		if _, err := Describe([]File{{"a.xsd", []byte(text)}}, "X"); !clacks.IsKind(err, clacks.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Groups that name each other twice double with each; the description ends before the memory does.
func TestDescribeIsBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString(`<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="E"><xs:complexType><xs:group ref="ga"/></xs:complexType></xs:element>`)
	for c := 'a'; c < 'z'; c++ {
		next := string(c + 1)
		b.WriteString(`<xs:group name="g` + string(c) + `"><xs:sequence><xs:group ref="g` + next + `"/><xs:group ref="g` + next + `"/></xs:sequence></xs:group>`)
	}
	b.WriteString(`<xs:group name="gz"><xs:sequence><xs:element name="x"/></xs:sequence></xs:group></xs:schema>`)
	if _, err := Describe([]File{{"a.xsd", []byte(b.String())}}, "E"); !clacks.IsKind(err, clacks.Limit) {
		t.Errorf("%v", err)
	}
}

func FuzzDescribe(f *testing.F) {
	f.Add(described)
	f.Add(parts)
	f.Fuzz(func(t *testing.T, text string) {
		d, err := Describe([]File{{"a.xsd", []byte(text)}}, "Note", "Base")
		if (d == nil) == (err == nil) {
			t.Errorf("%v, %v", d, err)
		}
	})
}
