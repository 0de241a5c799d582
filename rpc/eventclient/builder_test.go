package eventclient

import (
	"encoding/json"
	"encoding/xml"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"clacks"
	"clacks/events"
	"clacks/internal/xsd"
)

// known is the catalogue of the shipped schemas and those of the tests, as a service answers it.
func known(t testing.TB) (*Catalogue, *events.Schemas) {
	t.Helper()
	schemas, err := events.LoadSchemas("testdata/schemas")
	if err != nil {
		t.Fatal(err)
	}
	described, err := schemas.Catalogue(true)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := json.Marshal(described)
	if err != nil {
		t.Fatal(err)
	}
	catalogue, err := ReadCatalogue(answer)
	if err != nil {
		t.Fatal(err)
	}
	return catalogue, schemas
}

var noon = time.Date(2026, 1, 31, 13, 0, 0, 0, time.FixedZone("", 3600))

// delivery is a valid event with everything that the schema has, in the schema's order.
func delivery() []any {
	return []any{
		Element("Number", 7), Element("When", noon), Element("Day", noon),
		Element("Office", "main"), Element("Person", Element("Name", "Ada & <Co>"), Element("Deputy", Element("Name", "Bo"))), Element("Office", "side"),
		Element("Weight", 2.5), Element("Unit", "kg"), Element("Weight", uint8(3)), Element("Unit", "lb"),
		Element("Tags", "a", "b"), Element("Photo", []byte("\x00\xff")), Element("Digest", []byte("\x00\xff")), Element("Ratio", 1e-9),
		Element("Signed", true), Element("Plain", Element("Inner", "x")), Element("Remark", "so ", Element("b", "very"), " good\r\n"),
		Element("More", Element("Further", Attribute("why", `"because"`), "x")), Attribute("priority", 1), Attribute("origin", "DE"),
	}
}

func TestBuild(t *testing.T) {
	c, schemas := known(t)
	document, err := c.Build("Delivery", delivery()...)
	if err != nil {
		t.Fatal(err)
	}
	if err := schemas.Validate(document); err != nil {
		t.Errorf("%v\n%s", err, document)
	}
	const want = `<Event xmlns="http://www.gonicus.de/Events"><Delivery priority="1" origin="DE"><Number>7</Number>` +
		`<When>2026-01-31T12:00:00Z</When><Day>2026-01-31</Day><Office>main</Office>` +
		`<Person><Name>Ada &amp; &lt;Co&gt;</Name><Deputy><Name>Bo</Name></Deputy></Person><Office>side</Office>` +
		`<Weight>2.5</Weight><Unit>kg</Unit><Weight>3</Weight><Unit>lb</Unit><Tags>a b</Tags><Photo>AP8=</Photo><Digest>00FF</Digest>` +
		`<Ratio>1E-09</Ratio><Signed>true</Signed><Plain xmlns=""><Inner xmlns="http://www.gonicus.de/Events">x</Inner></Plain>` +
		`<Remark>so <b>very</b> good&#13;&#10;</Remark><More><Further why="&#34;because&#34;">x</Further></More></Delivery></Event>`
	if string(document) != want {
		t.Errorf("%s\ninstead of\n%s", document, want)
	}
}

// Whoever does not know the order of the schema need not.
func TestBuildOrders(t *testing.T) {
	c, schemas := known(t)
	chance := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		content := delivery()
		chance.Shuffle(len(content), func(i, j int) { content[i], content[j] = content[j], content[i] })
		document, err := c.Build("Delivery", content...)
		if err != nil {
			t.Fatal(err)
		}
		if err := schemas.Validate(document); err != nil {
			t.Fatalf("%v\n%s", err, document)
		}
	}
}

func TestBuildRefuses(t *testing.T) {
	c, _ := known(t)
	change := func(content ...any) []any {
		return append([]any{Element("ChangeType", "modify"), Element("ModificationTime", noon)}, content...)
	}
	for name, test := range map[string]struct {
		event   string
		content []any
		field   string
		code    string
		reason  string
	}{
		"misspelt element":   {"BackendChange", change(Element("Dn", "x")), "BackendChange/Dn", clacks.CodeUnknown, `did you mean "DN"?`},
		"misspelt attribute": {"BackendChange", change(Element("Attributes", Element("Attribute", Attribute("nam", "sn")))), "BackendChange/Attributes/Attribute/@nam", clacks.CodeUnknown, `did you mean "name"?`},
		"missing element":    {"BackendChange", []any{Element("ChangeType", "modify")}, "BackendChange/ModificationTime", clacks.CodeMandatory, "missing"},
		"missing attribute":  {"BackendChange", change(Element("Attributes", Element("Attribute"))), "BackendChange/Attributes/Attribute/@name", clacks.CodeMandatory, "missing"},
		"twice":              {"BackendChange", change(Element("ChangeType", "add")), "BackendChange/ChangeType", clacks.CodeSingle, "too often"},
		"not in the list":    {"BackendChange", []any{Element("ChangeType", "modfy"), Element("ModificationTime", noon)}, "BackendChange/ChangeType", clacks.CodeValues, `did you mean "modify"?`},
		"wrong type":         {"BackendChange", change(Element("Sequence", "many")), "BackendChange", clacks.CodeCheck, "Sequence"},
		"no value":           {"BackendChange", change(Element("DN", struct{}{})), "BackendChange/DN", clacks.CodeType, "no value"},
		"nothing":            {"BackendChange", change(Element("DN", nil)), "BackendChange/DN", clacks.CodeType, "no value"},
		"two values":         {"BackendChange", change(Element("DN", "a", "b")), "BackendChange/DN", clacks.CodeSingle, "one value"},
		"no XML":             {"BackendChange", change(Element("DN", "a\x01")), "BackendChange/DN", clacks.CodeCheck, "U+0001"},
		"no UTF-8":           {"BackendChange", change(Element("DN", "a\xff")), "BackendChange/DN", clacks.CodeCheck, "UTF-8"},
		"text for elements":  {"BackendChange", change("x"), "BackendChange", clacks.CodeType, "holds elements"},
		"elements for text":  {"BackendChange", change(Element("DN", Element("DN"))), "BackendChange/DN/DN", clacks.CodeUnknown, "no element"},
		"attribute twice":    {"Delivery", append(delivery(), Attribute("priority", 2)), "Delivery/@priority", clacks.CodeSingle, "twice"},
		"rounds":             {"Delivery", append(delivery(), Element("Weight", 1), Element("Weight", 1)), "Delivery/Weight", clacks.CodeSingle, "too often"},
		"markup in a name":   {"Delivery", append(delivery(), Element("a><b", "x")), "Delivery/a><b", clacks.CodeUnknown, "no such element"},
		"pattern":            {"Delivery", append(delivery()[:len(delivery())-1], Attribute("origin", "de")), "Delivery", clacks.CodeCheck, "origin"},
		"too large":          {"BackendChange", change(Element("DN", strings.Repeat("x", events.MaxDocument))), "BackendChange/ChangeType", clacks.CodeCheck, "too large"},
	} {
		_, err := c.Build(test.event, test.content...)
		var e *clacks.Error
		if !clacks.IsKind(err, clacks.Invalid) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		e = err.(*clacks.Error)
		if !slices.ContainsFunc(e.Fields, func(f clacks.Field) bool {
			return f.Attribute == test.field && f.Code == test.code && strings.Contains(f.Reason, test.reason)
		}) {
			t.Errorf("%s: %+v", name, e.Fields)
		}
	}
	if _, err := c.Build("BackendChanged"); !clacks.IsKind(err, clacks.NotFound) || !strings.Contains(err.Error(), `did you mean "BackendChange"?`) {
		t.Error(err)
	}
}

func TestBuildIsBounded(t *testing.T) {
	c, _ := known(t)
	deep := Element("Name", "x")
	for range 1000 {
		deep = Element("Deputy", Element("Name", "x"), deep)
	}
	if _, err := c.Build("Delivery", Attribute("priority", 1), Element("Number", 1), Element("When", noon), Element("Person", deep)); !clacks.IsKind(err, clacks.Invalid) {
		t.Error(err)
	}
	many := make([]any, 200_000)
	for i := range many {
		many[i] = Element("Office", "x")
	}
	if _, err := c.Build("Delivery", many...); !clacks.IsKind(err, clacks.Invalid) {
		t.Error(err)
	}
}

// FuzzBuild: whatever programs give to the builder, what it makes is valid by the service's schema, and says what was given.
func FuzzBuild(f *testing.F) {
	c, schemas := known(f)
	for seed := range uint64(20) {
		f.Add(seed, "text", "Office")
	}
	f.Add(uint64(3), "<![CDATA[]]>&amp;\u00a0\ufffe", "x:y")
	f.Fuzz(func(t *testing.T, seed uint64, text, name string) {
		g := &generator{Rand: rand.New(rand.NewPCG(seed, 7)), catalogue: c, text: text, name: name}
		eventType := c.types[g.IntN(len(c.types))]
		content := g.content(eventType, 0)
		document, err := c.Build(eventType.Name, content...)
		if err != nil {
			if !clacks.IsKind(err, clacks.Invalid) {
				t.Fatal(err)
			}
			return
		}
		if err := schemas.Validate(document); err != nil {
			t.Fatalf("%v\n%s", err, document)
		}
		if got, want := textsOf(t, document), countTexts(content); got != want {
			t.Errorf("%d elements instead of %d\n%s", got, want, document)
		}
	})
}

// TestGeneratorBuilds keeps the fuzz target honest: much of what it makes must be accepted.
func TestGeneratorBuilds(t *testing.T) {
	c, _ := known(t)
	built := map[string]int{}
	for seed := range uint64(3000) {
		g := &generator{Rand: rand.New(rand.NewPCG(seed, 7)), catalogue: c, text: "text", name: "Office"}
		eventType := c.types[g.IntN(len(c.types))]
		if _, err := c.Build(eventType.Name, g.content(eventType, 0)...); err == nil {
			built[eventType.Name]++
		}
	}
	for _, eventType := range c.types {
		if built[eventType.Name] < 5 {
			t.Errorf("%s was built %d times", eventType.Name, built[eventType.Name])
		}
	}
}

// generator makes content that is often right and often not quite.
type generator struct {
	*rand.Rand
	catalogue  *Catalogue
	text, name string
}

func (g *generator) content(p Type, depth int) []any {
	model := g.catalogue.content(&p)
	var content []any
	for _, a := range model.Attributes {
		if a.Required || g.IntN(2) == 0 {
			content = append(content, Attribute(a.Name, g.value(a.Simple)))
		}
	}
	if model.Type != "" {
		return append(content, g.value(model.Simple))
	}
	if model.Mixed {
		content = append(content, g.text)
	}
	if depth < 6 && model.Order != "" {
		content = append(content, g.particle(Type{Min: 1, Max: 1, Content: model}, depth)...)
	}
	if g.IntN(20) == 0 {
		content = append(content, Element(g.name, g.text))
	}
	if g.IntN(4) == 0 {
		g.Shuffle(len(content), func(i, j int) { content[i], content[j] = content[j], content[i] })
	}
	return content
}

func (g *generator) particle(p Type, depth int) []any {
	most := p.Max
	if most < 0 {
		most = p.Min + 3
	}
	var content []any
	for range p.Min + g.IntN(most-p.Min+1) {
		switch {
		case p.Name != "":
			content = append(content, Element(p.Name, g.content(p, depth+1)...))
		case p.Order == "any":
			content = append(content, Element(g.name, g.text))
		case p.Order == "choice":
			content = append(content, g.particle(p.Elements[g.IntN(len(p.Elements))], depth)...)
		default:
			for _, child := range p.Elements {
				content = append(content, g.particle(child, depth)...)
			}
		}
	}
	return content
}

// value is often one that the type has.
func (g *generator) value(simple xsd.Simple) any {
	if len(simple.Values) > 0 && g.IntN(10) > 0 {
		return simple.Values[g.IntN(len(simple.Values))]
	}
	if typed, known := map[string]any{"positiveInteger": 4, "unsignedByte": 5, "dateTime": noon, "date": noon, "decimal": 1.5, "long": 3, "integer": 8, "nonNegativeInteger": 0, "int": 1, "unsignedInt": 1, "unsignedLong": 1,
		"anyURI":  "urn:x",
		"boolean": false, "double": -2e300, "union": noon}[simple.Type]; known && g.IntN(10) > 0 {
		return typed
	}
	return []any{g.text, 1, 2.5, true, noon, []byte(g.text), "DE", uint8(3), -1}[g.IntN(9)]
}

func countTexts(content []any) int {
	n := 0
	for _, part := range content {
		if child, ok := part.(Content); ok && !child.attribute {
			n += 1 + countTexts(child.content)
		}
	}
	return n
}

// textsOf counts the elements below that of the event type.
func textsOf(t *testing.T, document []byte) int {
	decoder := xml.NewDecoder(strings.NewReader(string(document)))
	n := -2
	for {
		token, err := decoder.Token()
		if token == nil {
			return n
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, document)
		}
		if _, ok := token.(xml.StartElement); ok {
			n++
		}
	}
}
