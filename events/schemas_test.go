package events

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"clacks"
	"clacks/internal/xsd"
)

// xsdFile is a schema file of the user's with the given content besides its schema element.
func xsdFile(body string) string {
	return `<?xml version="1.0" encoding="UTF-8"?>` + "\n" +
		`<schema targetNamespace="` + Namespace + `" elementFormDefault="qualified"` +
		` xmlns="http://www.w3.org/2001/XMLSchema" xmlns:e="` + Namespace + `">` + "\n" + body + "\n</schema>\n"
}

// typeFile is a schema file for a type with one element Id.
func typeFile(name string) string {
	return xsdFile(fmt.Sprintf(`<complexType name="%[1]s"><all><element name="Id" type="string"/></all></complexType>
<element name="%[1]s" type="e:%[1]s"/>`, name))
}

// folder makes a folder of schema files.
func folder(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func mustSchemas(t testing.TB, folders ...string) *Schemas {
	t.Helper()
	schemas, err := LoadSchemas(folders...)
	if err != nil {
		t.Fatal(err)
	}
	return schemas
}

// event wraps content as an event document.
func event(content string) string {
	return `<Event xmlns="` + Namespace + `">` + content + `</Event>`
}

func TestShippedSchemas(t *testing.T) {
	s := mustSchemas(t)
	want := []string{"AsteriskNotification", "BackendChange", "ClientAnnounce", "ClientLeave", "ClientPoll", "CollectD", "NodeAnnounce",
		"NodeCapabilities", "NodeLeave", "NodeStatus", "ObjectChanged", "PhoneStatus", "PuppetReport", "UserSession"}
	if !slices.Equal(s.Types(), want) {
		t.Fatalf("types %v, want %v", s.Types(), want)
	}
	if !s.Known(ObjectChanged) || s.Known("Event") {
		t.Fatal("Known is wrong")
	}
}

func TestValidate(t *testing.T) {
	s := mustSchemas(t, folder(t, map[string]string{"Ping.xsd": typeFile("Ping")}))
	const four = `<UUID>u</UUID><DN>cn=a</DN><ModificationTime>20260102030405Z</ModificationTime><ChangeType>update</ChangeType>`
	tests := map[string]struct {
		document string
		line     string // "" when valid
		reason   string
	}{
		"the four elements of old":  {event("<ObjectChanged>" + four + "</ObjectChanged>"), "", ""},
		"in another order":          {event("<ObjectChanged><ChangeType>move</ChangeType><ModificationTime>2026-01-02T03:04:05Z</ModificationTime><DN>cn=a</DN><UUID>u</UUID></ObjectChanged>"), "", ""},
		"of the new ones none":      {event("<ObjectChanged><ChangeType>remove</ChangeType><ModificationTime>20260102030405Z</ModificationTime></ObjectChanged>"), "", ""},
		"with a prefix":             {`<x:Event xmlns:x="` + Namespace + `"><x:Ping><x:Id>1</x:Id></x:Ping></x:Event>`, "", ""},
		"backend change of LDAP":    {event("<BackendChange><DN>cn=a</DN><ModificationTime>20260102030405Z</ModificationTime><ChangeType>modrdn</ChangeType></BackendChange>"), "", ""},
		"type of the user's":        {event("<Ping><Id>1</Id></Ping>"), "", ""},
		"declared encoding":         {`<?xml version="1.0" encoding="utf-8"?>` + event("<Ping><Id>ä</Id></Ping>"), "", ""},
		"unknown change type":       {event("<ObjectChanged>\n<ChangeType>explode</ChangeType><ModificationTime>20260102030405Z</ModificationTime></ObjectChanged>"), "line 2", "explode"},
		"unknown time":              {event("<ObjectChanged>\n\n<ChangeType>move</ChangeType><ModificationTime>yesterday</ModificationTime></ObjectChanged>"), "line 3", "yesterday"},
		"element twice":             {event("<ObjectChanged>" + four + "<UUID>v</UUID></ObjectChanged>"), "line 1", "UUID"},
		"mandatory one missing":     {event("<ObjectChanged><UUID>u</UUID></ObjectChanged>"), "line 1", "ObjectChanged"},
		"two events in one":         {event("<Ping><Id>1</Id></Ping>\n<Ping><Id>2</Id></Ping>"), "line 2", "Ping"},
		"no event":                  {event(""), "line 1", "Event"},
		"unknown type":              {event("<Pong/>"), "", "Pong"},
		"another namespace":         {`<Event><Ping><Id>1</Id></Ping></Event>`, "line 1", "Event"},
		"another root":              {`<Ping xmlns="` + Namespace + `"><Id>1</Id></Ping>`, "", ""},
		"DOCTYPE":                   {`<!DOCTYPE Event [<!ENTITY a "b">]>` + "\n" + event("<Ping><Id>&a;</Id></Ping>"), "line 1", "DOCTYPE"},
		"too deep":                  {event("<Ping>" + strings.Repeat("<a>", MaxDepth) + strings.Repeat("</a>", MaxDepth) + "</Ping>"), "line 1", "nested"},
		"too large":                 {event("<Ping><Id>" + strings.Repeat("x", MaxDocument) + "</Id></Ping>"), "", "bytes"},
		"not XML":                   {"{}", "line 1", ""},
		"nothing":                   {"", "", ""},
		"cut off":                   {"<Event xmlns='" + Namespace + "'><Ping>", "line 1", ""},
		"Latin 1":                   {event("<Ping><Id>\xe4</Id></Ping>"), "line 1", "UTF-8"},
		"a number that is not ours": {event("<ObjectChanged>" + four + "<Sequence>0</Sequence></ObjectChanged>"), "line 1", "Sequence"},
	}
	valid := []string{"the four elements of old", "in another order", "of the new ones none", "with a prefix", "backend change of LDAP",
		"type of the user's", "declared encoding"}
	delete(tests, "another root")
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := s.Validate([]byte(test.document))
			if slices.Contains(valid, name) {
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				return
			}
			var wrong *clacks.Error
			if !errors.As(err, &wrong) || wrong.Kind != clacks.Invalid || len(wrong.Fields) == 0 {
				t.Fatalf("got %v, want clacks.Invalid with fields", err)
			}
			message := wrong.Message()
			if !strings.Contains(message, test.line) || !strings.Contains(message, test.reason) {
				t.Fatalf("%q names neither %q nor %q", message, test.line, test.reason)
			}
		})
	}
}

// The Event's child has to be an event, though its type is a global element, which a validator takes for a root too.
func TestValidateRefusesAnotherRoot(t *testing.T) {
	s := mustSchemas(t, folder(t, map[string]string{"Ping.xsd": typeFile("Ping")}))
	if err := s.Validate([]byte(`<Ping xmlns="` + Namespace + `"><Id>1</Id></Ping>`)); !clacks.IsKind(err, clacks.Invalid) {
		t.Fatalf("got %v, want clacks.Invalid", err)
	}
}

func TestValidateBoundsItsAnswer(t *testing.T) {
	s := mustSchemas(t)
	document := event("<ObjectChanged>" + strings.Repeat("\n<Wrong/>", 5000) + "</ObjectChanged>")
	var wrong *clacks.Error
	if err := s.Validate([]byte(document)); !errors.As(err, &wrong) || len(wrong.Fields) > maxReported {
		t.Fatalf("got %v", err)
	}
}

func TestSchemasOfTheUser(t *testing.T) {
	first := folder(t, map[string]string{
		"Ping.xsd":  typeFile("Ping"),
		"notes.txt": "not a schema",
		"parts.xsd": xsdFile(`<simpleType name="Level"><restriction base="string"><enumeration value="low"/></restriction></simpleType>`),
		"Alarm.xsd": xsdFile(`<include schemaLocation="parts.xsd"/>
<complexType name="Alarm"><sequence><element name="Level" type="e:Level"/></sequence></complexType>
<element name="Alarm" type="e:Alarm"/>`),
		"Siren.xsd": xsdFile(`<include schemaLocation="./parts.xsd"/>
<complexType name="Siren"><sequence><element name="Level" type="e:Level"/></sequence></complexType>
<element name="Siren" type="e:Siren"/>`),
	})
	second := folder(t, map[string]string{"Pong.xsd": typeFile("Pong")})
	s := mustSchemas(t, first, second)
	added := slices.DeleteFunc(s.Types(), mustSchemas(t).Known)
	if want := []string{"Alarm", "Ping", "Pong", "Siren"}; !slices.Equal(added, want) {
		t.Fatalf("types %v, want %v", added, want)
	}
	for document, valid := range map[string]bool{
		event("<Alarm><Level>low</Level></Alarm>"):         true,
		event("<Alarm><Level>loud</Level></Alarm>"):        false,
		event("<Siren><Level>low</Level></Siren>"):         true,
		event("<Pong><Id>1</Id></Pong>"):                   true,
		event("<parts><Level>low</Level></parts>"):         false,
		event("<Level>low</Level>"):                        false,
		event("<Ping><Level>low</Level></Ping>"):           false,
		event("<ObjectChanged><Id>1</Id></ObjectChanged>"): false,
	} {
		if err := s.Validate([]byte(document)); (err == nil) != valid {
			t.Errorf("%s: %v", document, err)
		}
	}
}

// What is wrong with schemas is said all at once, each with its file and line.
func TestBrokenSchemas(t *testing.T) {
	dir := folder(t, map[string]string{
		"Good.xsd":          typeFile("Good"),
		"Cut.xsd":           "<schema xmlns=\"http://www.w3.org/2001/XMLSchema\">\n<element",
		"Empty.xsd":         "",
		"Html.xsd":          "<html/>",
		"Doctype.xsd":       "<!DOCTYPE schema>\n" + typeFile("Doctype"),
		"Foreign.xsd":       strings.ReplaceAll(typeFile("Foreign"), Namespace, "urn:other"),
		"Missing.xsd":       typeFile("Other"),
		"Untyped.xsd":       xsdFile(`<complexType name="Untyped"/>` + "\n" + `<element name="Untyped" type="string"/>`),
		"Event.xsd":         typeFile("Event"),
		"Root.xsd":          typeFile("Root") + "",
		"Stealer.xsd":       strings.Replace(typeFile("Stealer"), "</schema>", `<element name="Event" type="string"/></schema>`, 1),
		"Twice.xsd":         strings.Replace(typeFile("Twice"), "</schema>", `<complexType name="Good"/></schema>`, 1),
		"Unknown.xsd":       xsdFile(`<complexType name="Unknown"><all>` + "\n" + `<element name="A" type="e:Nowhere"/></all></complexType>` + "\n" + `<element name="Unknown" type="e:Unknown"/>`),
		"ObjectChanged.xsd": typeFile("ObjectChanged"),
		"Wrong.xsd": xsdFile(`<complexType name="Wrong"><all>` + "\n" + `<element name="A" maxOccurs="2" type="string"/></all></complexType>` +
			"\n" + `<element name="Wrong" type="e:Wrong"/>`),
		"Depends.xsd": xsdFile(`<complexType name="Depends"><all><element name="A" type="e:Wrong"/></all></complexType>` +
			"\n" + `<element name="Depends" type="e:Depends"/>`),
		"Includes.xsd": strings.Replace(typeFile("Includes"), "<complexType", `<include schemaLocation="Untyped.xsd"/><complexType`, 1),
		"Include.xsd":  strings.Replace(typeFile("Include"), "<complexType", `<include schemaLocation="nowhere.xsd"/><complexType`, 1),
	})
	other := folder(t, map[string]string{"Good.xsd": typeFile("Good")})
	_, err := LoadSchemas(dir, other, filepath.Join(dir, "nowhere"))
	var wrong *xsd.SchemaError
	if !errors.As(err, &wrong) || !clacks.IsKind(err, clacks.Invalid) {
		t.Fatalf("got %v, want clacks.Invalid with a SchemaError", err)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	want := []string{
		at("Cut.xsd") + ":2: not well-formed",
		at("Empty.xsd") + ":1: ",
		at("Html.xsd") + ":1: the root element is html",
		at("Doctype.xsd") + ":1: a DOCTYPE is not allowed",
		at("Foreign.xsd") + ":2: the targetNamespace",
		at("Missing.xsd") + ":2: the file declares no complexType Missing",
		at("Missing.xsd") + ":2: the file declares no element Missing",
		at("Untyped.xsd") + ":4: the element Untyped must have the type Untyped",
		at("Event.xsd") + ": the name Event belongs",
		at("Stealer.xsd") + ":5: the element Event is the root",
		at("Twice.xsd") + ":5: the type Good is declared by " + at("Good.xsd"),
		at("ObjectChanged.xsd") + ": the event type ObjectChanged is declared by shipped:ObjectChanged.xsd",
		filepath.Join(other, "Good.xsd") + ": the event type Good is declared by " + at("Good.xsd"),
		filepath.Join(dir, "nowhere") + ": the folder",
		at("Unknown.xsd") + ":4:",
		at("Wrong.xsd") + ":4:",
		at("Include.xsd") + ":3:",
	}
	for _, line := range want {
		if !strings.Contains(err.Error(), line) {
			t.Errorf("the error does not say %q", line)
		}
	}
	for _, good := range []string{at("Good.xsd") + ":", at("Root.xsd") + ":", at("Depends.xsd"), at("Includes.xsd")} {
		if strings.Contains("\n"+err.Error(), "\n"+good) {
			t.Errorf("the error blames %s", good)
		}
	}
	if t.Failed() {
		t.Log(err)
	}
}

// The schemas of the predecessor load beside ours; those of the types that we ship ourselves are replaced by ours. Two
// of them declare the same types for their parts and never could stand in one schema: that is said, and each loads alone.
func TestReferenceSchemas(t *testing.T) {
	files := referenceSchemas(t)
	_, err := LoadSchemas(folder(t, files))
	if err == nil || !strings.Contains(err.Error(), "PhoneNotification.xsd:35: the type Call is declared by ") {
		t.Errorf("two files declare the type Call: %v", err)
	}
	for _, left := range []string{"PhoneNotification.xsd", "AMINotification.xsd"} {
		without := maps.Clone(files)
		delete(without, left)
		s := mustSchemas(t, folder(t, without))
		if len(s.Types()) != len(without)+len(mustSchemas(t).Types()) {
			t.Errorf("%d types of %d files and ours: %v", len(s.Types()), len(without), s.Types())
		}
	}
	delete(files, "PhoneNotification.xsd")
	s := mustSchemas(t, folder(t, files))
	for _, document := range []string{
		event("<Notification><Target>a</Target><Body>b</Body></Notification>"),
		event("<UserSession><Id>1</Id><User><Name>a</Name><Name>b</Name></User></UserSession>"),
		event("<NodeStatus><Load>0.5</Load><Latency>0.1</Latency><Workers>2</Workers><Id>n</Id></NodeStatus>"),
	} {
		if err := s.Validate([]byte(document)); err != nil {
			t.Errorf("%s: %v", document, err)
		}
	}
	if err := s.Validate([]byte(event("<Notification><Target>a</Target></Notification>"))); err == nil {
		t.Error("a notification without a body is accepted")
	}
}

// referenceSchemas are the predecessor's schema files but for the types that we ship.
func referenceSchemas(t *testing.T) map[string]string {
	t.Helper()
	files := allReferenceSchemas(t)
	for _, eventType := range mustSchemas(t).Types() {
		delete(files, eventType+".xsd")
	}
	return files
}

func allReferenceSchemas(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(referenceEvents(t), "*.xsd"))
	if err != nil || len(paths) < 10 {
		t.Fatalf("%d schemas: %v", len(paths), err)
	}
	files := map[string]string{}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(path)] = string(data)
	}
	return files
}

// referenceEvents is the folder of the predecessor's event schemas.
func referenceEvents(t *testing.T) string {
	t.Helper()
	dir := filepath.Join("..", "..", "shared", "reference", "clacks", "events")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("the reference data is not here: %v", err)
	}
	return dir
}

func FuzzValidateDocument(f *testing.F) {
	s := mustSchemas(f, folder(f, map[string]string{"Ping.xsd": typeFile("Ping")}))
	for _, seed := range []string{
		"", "<", event("<Ping><Id>1</Id></Ping>"), event("<Ping/>"),
		event("<ObjectChanged><UUID>u</UUID><ModificationTime>20260102030405Z</ModificationTime><ChangeType>move</ChangeType>" +
			`<Attributes><Attribute name="a"><Old>1</Old><New>2</New></Attribute></Attributes></ObjectChanged>`),
		`<!DOCTYPE a>` + event(""), `<?xml version="1.0" encoding="UTF-16"?>` + event(""), event("<![CDATA[<Ping>]]>"),
		event("<Ping><Id>&#0;</Id></Ping>"), event(strings.Repeat("<a>", 120)), "\xef\xbb\xbf" + event("<Ping><Id>1</Id></Ping>"),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		err := s.Validate(document)
		if err != nil {
			if !clacks.IsKind(err, clacks.Invalid) {
				t.Fatalf("kind %v: %v", clacks.KindOf(err), err)
			}
			return
		}
		eventType, err := typeOf(document)
		if err != nil || !s.Known(eventType) {
			t.Fatalf("a valid document has the type %q: %v", eventType, err)
		}
		r, err := sentRow(eventType, admin, document)
		if err != nil {
			if !clacks.IsKind(err, clacks.Invalid) {
				t.Fatalf("kind %v: %v", clacks.KindOf(err), err)
			}
			return
		}
		stored := []byte(r.document)
		if written(eventType) {
			stored = withSequence(stored, 1)
		}
		// Escaping makes a document larger; what is stored is not bounded as what is sent.
		if len(stored) <= MaxDocument {
			if err := s.Validate(stored); err != nil {
				t.Fatalf("what is stored is not valid: %v\n%q", err, stored)
			}
		}
	})
}
