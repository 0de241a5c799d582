package events

import (
	"encoding/xml"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"clacks/internal/xsd"
)

// part is an element of a schema file.
type part struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Children []part     `xml:",any"`
}

func (p *part) attr(name string) string {
	for _, a := range p.Attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// composer makes random documents that a set of schemas allows, by reading what they declare.
type composer struct {
	*rand.Rand
	t     *testing.T
	types map[string]*part // by name
}

func newComposer(t *testing.T, files map[string]string) *composer {
	c := &composer{Rand: rand.New(rand.NewPCG(1, 2)), t: t, types: map[string]*part{}}
	for name, text := range files {
		var root part
		if err := xml.Unmarshal([]byte(text), &root); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for i := range root.Children {
			if p := &root.Children[i]; strings.HasSuffix(p.XMLName.Local, "Type") {
				c.types[p.attr("name")] = p
			}
		}
	}
	return c
}

// content is what an element of a type can have in it.
func (c *composer) content(name string, p *part) string {
	switch p.XMLName.Local {
	case "complexType":
		return c.all(p.Children)
	case "sequence", "all", "choice":
		return c.group(p)
	case "element":
		return c.element(p)
	case "simpleType":
		return c.simple(name, p)
	}
	return ""
}

func (c *composer) all(parts []part) string {
	var b strings.Builder
	for i := range parts {
		b.WriteString(c.content("", &parts[i]))
	}
	return b.String()
}

func (c *composer) group(p *part) string {
	var b strings.Builder
	for range c.times(p) {
		switch p.XMLName.Local {
		case "choice":
			b.WriteString(c.content("", &p.Children[c.IntN(len(p.Children))]))
		case "all":
			for _, i := range c.Perm(len(p.Children)) {
				b.WriteString(c.content("", &p.Children[i]))
			}
		default:
			b.WriteString(c.all(p.Children))
		}
	}
	return b.String()
}

// times is how often a part occurs.
func (c *composer) times(p *part) int {
	least, most := 1, 1
	if n := p.attr("minOccurs"); n != "" {
		least, _ = strconv.Atoi(n)
	}
	if n := p.attr("maxOccurs"); n == "unbounded" {
		most = least + 3
	} else if n != "" {
		most, _ = strconv.Atoi(n)
	}
	return least + c.IntN(most-least+1)
}

func (c *composer) element(p *part) string {
	var b strings.Builder
	name := p.attr("name")
	for range c.times(p) {
		b.WriteString("<" + name + ">")
		if ofType := p.attr("type"); ofType != "" {
			b.WriteString(c.value(name, localPart(ofType)))
		} else {
			for i := range p.Children {
				b.WriteString(c.content(name, &p.Children[i]))
			}
		}
		b.WriteString("</" + name + ">")
	}
	return b.String()
}

func (c *composer) simple(name string, p *part) string {
	for i := range p.Children {
		r := &p.Children[i]
		var values []string
		for j := range r.Children {
			if r.Children[j].XMLName.Local == "enumeration" {
				values = append(values, r.Children[j].attr("value"))
			}
		}
		switch {
		case len(values) > 0:
			return values[c.IntN(len(values))]
		case r.XMLName.Local == "list":
			return c.value(name, localPart(r.attr("itemType"))) + " +49123"
		case r.XMLName.Local == "restriction":
			return strings.TrimPrefix(c.value(name, localPart(r.attr("base"))), "-")
		}
	}
	return ""
}

// value is a value of a type by its name. What the earlier system wrote into two elements of changes is less than what its
// schema allowed.
func (c *composer) value(name, ofType string) string {
	if declared := c.types[ofType]; declared != nil {
		return c.content(name, declared)
	}
	choices := map[string][]string{
		"string": {"", "x", " a  b ", "ä &lt;&amp;]]&gt;", "1\n2", "<![CDATA[<a>]]>"}, "int": {"0", "-7", "2147483647"},
		"integer": {"0", "-7", "99999999999999999999"}, "float": {"0", "-1.5", "1e10", "INF", "NaN", " 7 "}, "double": {"0.5", "-INF"},
		"decimal": {"0", "12.75", "1420074000.123"}, "boolean": {"true", "false", "1", "0"},
	}[ofType]
	switch name {
	case "ModificationTime":
		choices = []string{"20150101120000Z", "20150101120000.5Z", "2015-01-01T12:00:00", "2015-01-01T12:00:00.123456"}
	case "ChangeType":
		choices = []string{"create", "update", "remove", "move"}
	}
	if len(choices) == 0 {
		c.t.Fatalf("no values for %s of the type %s", name, ofType)
	}
	return choices[c.IntN(len(choices))]
}

// Documents that the earlier system's schemas allow are allowed by ours of the same name.
func TestReferenceDocumentsStayValid(t *testing.T) {
	files := allReferenceSchemas(t)
	delete(files, "PhoneNotification.xsd") // it declares what AMINotification.xsd does
	reference := schemaSet{names: map[string]bool{}}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		reference.add(name, name, []byte(files[name]))
	}
	types := reference.check()
	schema := reference.compile(types)
	if len(reference.issues) > 0 || schema == nil {
		t.Fatal(reference.issues)
	}
	ours := mustSchemas(t)
	composer := newComposer(t, files)
	checked := map[string]bool{}
	for _, eventType := range types {
		renamed := eventType
		if eventType == "AMINotification" {
			renamed = "AsteriskNotification" // the younger name of the same
		}
		if !ours.Known(renamed) {
			continue
		}
		for range 200 {
			content := composer.content("", composer.types[eventType])
			document := event(fmt.Sprintf("<%[1]s>%[2]s</%[1]s>", eventType, content))
			if issues, err := schema.Validate("event", []byte(document), xsd.Limits{}); err != nil || len(issues) > 0 {
				t.Fatalf("the test has made what the reference does not allow: %v %v\n%s", issues, err, document)
			}
			document = event(fmt.Sprintf("<%[1]s>%[2]s</%[1]s>", renamed, content))
			if err := ours.Validate([]byte(document)); err != nil {
				t.Errorf("%v\n%s", err, document)
				break
			}
		}
		checked[renamed] = true
	}
	for _, eventType := range []string{"NodeAnnounce", "NodeCapabilities", "NodeStatus", "NodeLeave", "ClientAnnounce", "ClientLeave", "ClientPoll",
		"UserSession", "PuppetReport", "AsteriskNotification", BackendChange, ObjectChanged} {
		if !checked[eventType] {
			t.Errorf("%s was not compared", eventType)
		}
	}
}

// The types that the earlier system had in other versions.
func TestShippedDocuments(t *testing.T) {
	ours := mustSchemas(t)
	for document, valid := range map[string]bool{
		`<PhoneStatus><Status>busy</Status><Id>00:04:13:aa:bb:cc</Id><Timestamp>2026-01-02T03:04:05Z</Timestamp></PhoneStatus>`: true,
		`<PhoneStatus><Id>1</Id><Status>bored</Status></PhoneStatus>`:                                                           false,
		`<CollectD><Host>a</Host><Plugin>interface</Plugin><PluginInstance>eth0</PluginInstance><Type>if_octets</Type><Time>1700000000.5</Time>` +
			`<Interval>10</Interval><Value name="rx" kind="derive">12</Value><Value name="tx" kind="derive">NaN</Value></CollectD>`: true,
		`<CollectD><Host>a</Host><Plugin>load</Plugin><Type>load</Type><Time>1</Time></CollectD>`:                             false,
		`<NodeCapabilities><Id>n</Id><NodeMethod><Name>getObject</Name></NodeMethod></NodeCapabilities>`:                      true,
		`<NodeStatus><Id>n</Id></NodeStatus>`:                                                                                 false,
		`<ClientAnnounce><Name>a</Name><Id>1</Id></ClientAnnounce>`:                                                           true,
		`<AsteriskNotification><Call><Type>CallEnded</Type></Call></AsteriskNotification>`:                                    false,
		`<PuppetReport><Id>a</Id><PuppetLog><Timestamp>1</Timestamp><Level>loud</Level><Message/></PuppetLog></PuppetReport>`: false,
	} {
		if err := ours.Validate([]byte(event(document))); (err == nil) != valid {
			t.Errorf("%s: %v", document, err)
		}
	}
}
