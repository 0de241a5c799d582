package events

import (
	"bytes"
	"encoding/xml"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"clacks"
	"clacks/objects"
)

// fullChange is a change with everything that an ObjectChanged can say.
func fullChange() objects.Changed {
	return objects.Changed{
		UUID: "0d6f8d0e-0001-4000-8000-000000000001", DN: "cn=Ann <Ä>,dc=example,dc=net", NewDN: "cn=Ann,dc=example,dc=net",
		ObjectType: "User", ChangeType: "move", Time: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC),
		Actor: "admin", TransactionID: "t&1", EventID: "e1", Origin: "service",
		Attributes: []objects.AttributeChange{
			{Name: "badgeNumber", Old: []string{"1"}, New: []string{"2"}},
			{Name: "phones", Old: []string{"a", "b"}, New: []string{"]]>", "<Sequence/>", "x\r\ny", ""}},
			{Name: "title", Old: []string{"Dr."}},
			{Name: "empty"},
		},
	}
}

// documentOf is what a reader of the log gets of a change.
func documentOf(t testing.TB, change objects.Changed, sequence int64) []byte {
	t.Helper()
	statements, err := (&Log{}).Record([]objects.Changed{change})
	if err != nil {
		t.Fatal(err)
	}
	args := statements[len(statements)-1].Args
	return withSequence([]byte(args[len(args)-1].(string)), sequence)
}

func TestRecordWritesTheWholeChange(t *testing.T) {
	got := string(documentOf(t, fullChange(), 42))
	want := `<Event xmlns="http://www.gonicus.de/Events"><ObjectChanged>` +
		`<UUID>0d6f8d0e-0001-4000-8000-000000000001</UUID><DN>cn=Ann &lt;Ä&gt;,dc=example,dc=net</DN>` +
		`<NewDN>cn=Ann,dc=example,dc=net</NewDN><ObjectType>User</ObjectType><ChangeType>move</ChangeType>` +
		`<ModificationTime>2026-01-02T03:04:05.000006Z</ModificationTime><Actor>admin</Actor><TransactionId>t&amp;1</TransactionId>` +
		`<Sequence>42</Sequence><Origin>service</Origin><Attributes>` +
		`<Attribute name="badgeNumber"><Old>1</Old><New>2</New></Attribute>` +
		`<Attribute name="phones"><Old>a</Old><Old>b</Old><New>]]&gt;</New><New>&lt;Sequence/&gt;</New><New>x&#13;` + "\n" + `y</New><New></New></Attribute>` +
		`<Attribute name="title"><Old>Dr.</Old></Attribute><Attribute name="empty"></Attribute>` +
		`</Attributes></ObjectChanged></Event>`
	if got != want {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
	if err := mustSchemas(t).Validate([]byte(got)); err != nil {
		t.Fatal(err)
	}
	read, modified, err := readChange([]byte(got))
	if err != nil {
		t.Fatal(err)
	}
	if modified != "2026-01-02T03:04:05.000006Z" {
		t.Errorf("modified %q", modified)
	}
	change := fullChange()
	change.Actor, change.Origin, change.EventID, change.Time = "", "", "", time.Time{}
	if !reflect.DeepEqual(*read, change) {
		t.Errorf("read back\n%+v\nwant\n%+v", *read, change)
	}
}

func TestRecordLeavesOutWhatIsNotSet(t *testing.T) {
	got := string(documentOf(t, objects.Changed{UUID: "u", ChangeType: "remove", Origin: "external", EventID: "e", Time: time.Unix(0, 0)}, 1))
	want := event(`<ObjectChanged><UUID>u</UUID><ChangeType>remove</ChangeType>` +
		`<ModificationTime>1970-01-01T00:00:00.000000Z</ModificationTime><Sequence>1</Sequence><Origin>external</Origin></ObjectChanged>`)
	if got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
}

func TestRecordRefuses(t *testing.T) {
	tests := map[string]struct {
		change func(*objects.Changed)
		kind   clacks.Kind
	}{
		"an unknown change type": {func(c *objects.Changed) { c.ChangeType = "modify" }, clacks.Internal},
		"an unknown origin":      {func(c *objects.Changed) { c.Origin = "" }, clacks.Internal},
		"a time without a date":  {func(c *objects.Changed) { c.Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }, clacks.Internal},
		"a UUID too long":        {func(c *objects.Changed) { c.UUID = strings.Repeat("ä", maxUUID+1) }, clacks.Internal},
		"no event id":            {func(c *objects.Changed) { c.EventID = "" }, clacks.Internal},
		"a document too large": {func(c *objects.Changed) {
			c.Attributes = []objects.AttributeChange{{Name: "a", New: []string{strings.Repeat("&", maxRecorded/4)}}}
		}, clacks.Limit},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			change := fullChange()
			test.change(&change)
			if _, err := (&Log{}).Record([]objects.Changed{change}); err == nil || clacks.KindOf(err) != test.kind {
				t.Fatalf("got %v, want %v", err, test.kind)
			}
		})
	}
	if _, err := (&Log{}).Record(nil); err == nil {
		t.Error("nothing was recorded")
	}
}

func TestRecordStatements(t *testing.T) {
	first, second := fullChange(), fullChange()
	second.EventID = "e2"
	statements, err := (&Log{}).Record([]objects.Changed{first, second})
	if err != nil {
		t.Fatal(err)
	}
	if len(statements) != 3 || statements[0].SQL != takeNumbers || statements[0].Args[0] != int64(2) || statements[0].Rows != 1 {
		t.Fatalf("the counter is not taken first: %+v", statements)
	}
	for i, statement := range statements[1:] {
		last := i == 1
		if statement.Returning != last || statement.Args[0] != int64(1-i) {
			t.Errorf("statement %d: returning %v, offset %v", i+1, statement.Returning, statement.Args[0])
		}
		if n := strings.Count(statement.SQL, "?"); n != len(statement.Args) {
			t.Errorf("statement %d has %d placeholders and %d arguments", i+1, n, len(statement.Args))
		}
	}
}

func TestEscaping(t *testing.T) {
	tests := []struct{ in, text, quoted string }{
		{"plain äß€𝄞", "plain äß€𝄞", "plain äß€𝄞"},
		{`<&>"'`, `&lt;&amp;&gt;"'`, `&lt;&amp;&gt;&quot;'`},
		{"a\tb\nc\rd", "a\tb\nc&#13;d", "a&#9;b&#10;c&#13;d"},
		{"\x00\x01\x1f\x7f", "\uFFFD\uFFFD\uFFFD\x7f", "\uFFFD\uFFFD\uFFFD\x7f"},
		{"\uFFFE\uFFFF\uFFFD", "\uFFFD\uFFFD\uFFFD", "\uFFFD\uFFFD\uFFFD"},
		{"a\xffb\xed\xa0\x80", "a\uFFFDb\uFFFD\uFFFD\uFFFD", "a\uFFFDb\uFFFD\uFFFD\uFFFD"},
		{"", "", ""},
	}
	for _, test := range tests {
		if got := string(appendEscaped(nil, test.in, false)); got != test.text {
			t.Errorf("text %q: got %q, want %q", test.in, got, test.text)
		}
		if got := string(appendEscaped(nil, test.in, true)); got != test.quoted {
			t.Errorf("attribute %q: got %q, want %q", test.in, got, test.quoted)
		}
	}
}

func TestCutAttributes(t *testing.T) {
	change := fullChange()
	change.Attributes = append(change.Attributes, objects.AttributeChange{Name: "a&b", New: []string{"</Attribute>"}})
	document := documentOf(t, change, 1)
	cut, ok := cutAttributes(document, func(string) bool { return true })
	if !ok || bytes.Contains(cut, []byte("a&amp;b")) || !bytes.Contains(cut, []byte("badgeNumber")) {
		t.Errorf("a name that no definition gives stays: %s", cut)
	}
	cut, ok = cutAttributes(document, func(name string) bool { return name == "phones" })
	if !ok || bytes.Contains(cut, []byte("badgeNumber")) || bytes.Contains(cut, []byte("title")) {
		t.Errorf("attributes were not cut: %s", cut)
	}
	read, _, err := readChange(cut)
	if err != nil || len(read.Attributes) != 1 || !reflect.DeepEqual(read.Attributes[0], fullChange().Attributes[1]) {
		t.Errorf("what stays has changed: %+v, %v", read, err)
	}
	cut, ok = cutAttributes(document, func(string) bool { return false })
	if !ok || bytes.Contains(cut, []byte("Attribute")) || mustSchemas(t).Validate(cut) != nil {
		t.Errorf("with no attribute left: %s", cut)
	}
	whole := documentOf(t, fullChange(), 1)
	if cut, ok = cutAttributes(whole, func(string) bool { return true }); !ok || &cut[0] != &whole[0] {
		t.Error("a document that stays whole was copied")
	}
	for _, broken := range []string{
		`<Attributes> <Attribute name="a"><Old>1</Old></Attribute></Attributes>`, `<Attributes><Attribute name="a">`,
		`<Attribute name="a"></Attribute>`, `<Attributes><Attribute name="a></Attribute></Attributes>`,
		`<Attributes><Attribute name="a"></Attribute>`,
	} {
		if _, ok := cutAttributes([]byte(broken), func(string) bool { return true }); ok {
			t.Errorf("%s is taken for a document of the log's", broken)
		}
	}
}

func FuzzRecord(f *testing.F) {
	s := mustSchemas(f)
	f.Add("u", "cn=a", "", "User", "admin", "t", "name", "old", "new", int64(0), uint8(0))
	f.Add("<", "]]>", "&amp;", "\x00", "\xff", "\uFFFE", `"'`, "<Sequence/>", "</Attributes>", int64(1<<60), uint8(5))
	f.Add("\r\n", "\t", " ", "\u0085\u2028", "<!--", "<![CDATA[", "\n", "\U0010FFFF", "\x7f", int64(-1), uint8(2))
	f.Fuzz(func(t *testing.T, uuid, dn, newDN, objectType, actor, transaction, name, old, new string, micros int64, change uint8) {
		changed := objects.Changed{
			UUID: uuid, DN: dn, NewDN: newDN, ObjectType: objectType, Actor: actor, TransactionID: transaction, EventID: "e",
			Origin: "service", ChangeType: changeTypes[int(change)%len(changeTypes)], Time: time.UnixMicro(micros),
			Attributes: []objects.AttributeChange{{Name: name, Old: []string{old, new}, New: []string{new}}, {Name: "b", New: []string{old}}},
		}
		if recordable(&changed) != nil {
			return
		}
		document := documentOf(t, changed, 7)
		if len(document) < MaxDocument {
			if err := s.Validate(document); err != nil {
				t.Fatalf("%v\n%q", err, document)
			}
		}
		read, _, err := readChange(document)
		if err != nil {
			t.Fatalf("%v\n%q", err, document)
		}
		tree, err := parse(document)
		if err != nil {
			t.Fatalf("queries cannot work on it: %v\n%q", err, document)
		}
		tree.Free()
		for _, pair := range [][2]string{{uuid, read.UUID}, {dn, read.DN}, {transaction, read.TransactionID}, {name, read.Attributes[0].Name}, {old, read.Attributes[1].New[0]}} {
			if asXML(pair[0]) != pair[1] {
				t.Fatalf("wrote %q, read %q", pair[0], pair[1])
			}
		}
		cut, ok := cutAttributes(document, func(n string) bool { return n == "b" && name != "b" })
		if !ok {
			t.Fatalf("the log does not know its own document again: %q", document)
		}
		if d, _, err := readChange(cut); err != nil || name != "b" && (len(d.Attributes) != 1 || d.Attributes[0].Name != "b") {
			t.Fatalf("after cutting: %v\n%q", err, cut)
		}
	})
}

// asXML is what a string is after a way through XML: the oracle is the standard library's escaping.
func asXML(s string) string {
	var b bytes.Buffer
	if err := xml.EscapeText(&b, []byte(s)); err != nil {
		panic(err)
	}
	var text string
	if err := xml.Unmarshal([]byte("<a>"+b.String()+"</a>"), &text); err != nil || !utf8.ValidString(text) {
		panic(err)
	}
	return text
}

func BenchmarkRecord(b *testing.B) {
	l := &Log{}
	changes := []objects.Changed{fullChange()}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.Record(changes); err != nil {
			b.Fatal(err)
		}
	}
}
