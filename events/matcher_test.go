package events

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// writer makes random queries and events about the same few names and values, so that they meet often.
type writer struct{ *rand.Rand }

func (w writer) of(choices ...string) string { return choices[w.IntN(len(choices))] }

func (w writer) eventType() string { return w.of("Ping", "Pong", "Plink") }
func (w writer) name() string      { return w.of("A", "B", "C") }
func (w writer) value() string     { return w.of("", "x", "y", "7", "07.0", " 7 ", "1e1", "INF", "x y") }

// document is an event with elements in elements, attributes, comments, repeated and empty ones.
func (w writer) event(sequence int64) *Event {
	eventType := w.eventType()
	var b strings.Builder
	b.WriteString(`<Event xmlns="` + Namespace + `"><` + eventType)
	if w.IntN(3) == 0 {
		b.WriteString(` k="` + w.value() + `"`)
	}
	b.WriteString(`>`)
	w.content(&b, 0)
	b.WriteString(`</` + eventType + `></Event>`)
	return &Event{
		Sequence: sequence, Type: eventType, UUID: w.of("", "x", "y"), ObjectType: w.of("", "User", "Group"), ID: w.value(),
		Document: []byte(b.String()),
	}
}

func (w writer) content(b *strings.Builder, depth int) {
	for range w.IntN(4) {
		name := w.name()
		b.WriteString("<" + name)
		if w.IntN(4) == 0 {
			b.WriteString(` k="` + w.value() + `"`)
		}
		b.WriteString(">")
		switch w.IntN(6) {
		case 0:
			if depth < 3 {
				w.content(b, depth+1)
			}
		case 1:
			b.WriteString(w.value() + "<!-- " + w.value() + " -->" + w.value())
		case 2:
			b.WriteString("<![CDATA[" + w.value() + "]]>" + w.value())
		case 3:
			b.WriteString(w.value() + "<" + w.name() + "/>" + w.value())
		default:
			b.WriteString(w.value())
		}
		b.WriteString("</" + name + ">")
	}
}

// path is a path from the document, or with relative from an element of the event.
func (w writer) path(relative bool) string {
	var b strings.Builder
	if !relative {
		b.WriteString(w.of("", "/", "./") + w.of("Event", "Event", "e:Event", "*:Event", "*"))
		b.WriteString("/" + w.of(w.eventType(), w.eventType(), "*", "("+w.eventType()+" | "+w.eventType()+")"))
		if w.IntN(8) == 0 {
			b.Reset()
			b.WriteString("/")
		}
	}
	for i := range 1 + w.IntN(2) {
		if i > 0 || !relative {
			b.WriteString(w.of("/", "/", "/", "//"))
		}
		b.WriteString(w.of(w.name(), w.name(), w.name(), "*", "descendant::"+w.name(), "following-sibling::"+w.name(), "self::*", "node()"))
		if w.IntN(5) == 0 {
			b.WriteString("[" + w.condition(true, 2) + "]")
		}
	}
	b.WriteString(w.of("", "", "", "", "/@k", "/text()", "/..", "/@*", "/string()", "/(., A)"))
	return b.String()
}

func (w writer) literal() string {
	return w.of("'"+w.value()+"'", "'"+w.value()+"'", "7", "10", "7.0", "'x'", "('x', 7)", "('x', 'y')", "xs:integer('7')", "true()", "()")
}

// operand is a value.
func (w writer) operand(relative bool, depth int) string {
	switch w.IntN(12) {
	case 0:
		return w.literal()
	case 1:
		return w.of("$uuid", "$object-type", "$event-type", "$sequence", "$event-id", "$new-dn")
	case 2:
		return w.of("string", "data", "lower-case", "normalize-space", "head", "xs:string", "reverse", "distinct-values", "count", "number") +
			"(" + w.path(relative) + ")"
	case 3:
		if depth > 0 {
			return "(if (" + w.condition(relative, depth-1) + ") then " + w.operand(relative, depth-1) + " else " + w.operand(relative, depth-1) + ")"
		}
	case 4:
		return "(" + w.path(relative) + w.of(", ", " | ", " except ", " intersect ") + w.path(relative) + ")"
	case 5:
		return "(" + w.path(relative) + " ! " + w.of(".", "string()", "..", "A", "'x'") + ")"
	}
	return w.path(relative)
}

// condition is a query, or the inside of a predicate.
func (w writer) condition(relative bool, depth int) string {
	deeper := func() string { return w.condition(relative, depth-1) }
	choice := w.IntN(16)
	if depth == 0 {
		choice = w.IntN(6)
	}
	switch choice {
	default:
		return w.operand(relative, depth) + " " + w.of("=", "=", "=", "eq", "!=", "<", "ge") + " " + w.of(w.literal(), w.literal(), w.operand(relative, 0))
	case 0:
		return w.path(relative)
	case 1:
		return w.of("exists", "empty", "boolean", "not", "count") + "(" + w.path(relative) + ")"
	case 2:
		return w.of("contains", "starts-with", "ends-with") + "(" + w.path(relative) + "[1], " + w.of("'x'", "''", "'7'") + ")"
	case 6, 7:
		return "(" + deeper() + " and " + deeper() + ")"
	case 8:
		return "(" + deeper() + " or " + deeper() + ")"
	case 9:
		return "not(" + deeper() + ")"
	case 10:
		return "(some $v in " + w.operand(relative, 1) + " satisfies " + w.of("$v", "$v = "+w.literal(), "$v/A = 'x'", deeper()) + ")"
	case 11:
		return "(every $v in " + w.operand(relative, 1) + " satisfies $v = " + w.literal() + ")"
	case 12:
		return "(for $v at $i in " + w.operand(relative, 1) + " where " + w.of("$v = "+w.literal(), "$i = 1", deeper()) + " return " +
			w.of("$v", "true()", deeper()) + ")"
	case 13:
		return "(let $v := " + w.operand(relative, 1) + " return " + w.of("$v = "+w.literal(), "$v/A = "+w.literal(), "exists($v)") + ")"
	case 14:
		return "(try { " + deeper() + " } catch * { " + deeper() + " })"
	case 15:
		return "(if (" + deeper() + ") then " + deeper() + " else " + deeper() + ")"
	}
}

// TestMatcherLeavesNothingOut evaluates random queries on random events one by one; the matcher must name all that match.
// Queries come and go meanwhile.
func TestMatcherLeavesNothingOut(t *testing.T) {
	const rounds, queries, events = 40, 60, 40
	matches, named, evaluated := 0, 0, 0
	for round := range rounds {
		w := writer{rand.New(rand.NewPCG(uint64(round), 1))}
		m := newMatcher()
		var present []*filter
		var sources []string
		for range queries {
			source := w.condition(false, 3)
			f, err := compileFilter(source)
			if err != nil {
				continue // not all that can be written is a query
			}
			m.add(f)
			present, sources = append(present, f), append(sources, source)
		}
		for n := range events {
			if n%10 == 9 && len(present) > 0 { // one leaves, and with the next it comes back
				m.remove(present[0])
				present, sources = present[1:], sources[1:]
			}
			e := w.event(int64(n + 1))
			tree := func() (*parsedDocument, error) { return parseAlone(e.Document) }
			found := m.candidates(e, tree)
			for i, f := range present {
				match, _ := f.evaluate(t.Context(), e, tree)
				evaluated++
				if found.has(f) {
					named++
				}
				if !match {
					continue
				}
				if matches++; !found.has(f) {
					t.Errorf("round %d: %s\nmatches %s\nbut requires %s", round, sources[i], e.Document, f.requires)
				}
			}
		}
		for _, f := range present {
			m.remove(f)
		}
		checkEmpty(t, m)
	}
	t.Logf("%d evaluations, %d matches, %d named by the matcher", evaluated, matches, named)
	if matches < evaluated/100 || named > evaluated*3/4 {
		t.Error("the queries and events do not test anything")
	}
}

// checkEmpty fails unless nothing is left in a matcher.
func checkEmpty(t *testing.T, m *matcher) {
	t.Helper()
	for name, n := range map[string]*node{"root": m.trie.root, "deep": m.trie.deep} {
		if n.users != 1 || n.values != 0 || len(n.elements)+len(n.attributes) != 0 || n.text != nil || n.present.len() != 0 {
			t.Errorf("%s: something is left: %+v", name, n)
		}
	}
	if m.filters != 0 || m.always.len() != 0 || len(m.trie.variables) != 0 || m.trie.nodes != 0 {
		t.Errorf("%d filters, %d always, %d places, variables %v", m.filters, m.always.len(), m.trie.nodes, m.trie.variables)
	}
}

// What a user is not shown cannot make an event match that the matcher does not name for the whole document.
func TestMatcherNamesWhatMatchesReducedDocuments(t *testing.T) {
	for _, query := range []string{
		`Event/ObjectChanged = 'u-1update2000-01-01T00:00:00Z1'`,
		`string(Event) = 'u-1update2000-01-01T00:00:00Z1'`,
		`not(Event/ObjectChanged/Attributes)`,
		`Event/ObjectChanged[UUID = 'u-1' and empty(Attributes/Attribute)]`,
		`Event/ObjectChanged/*[last()] = '1'`,
	} {
		f, err := compileFilter(query)
		if err != nil {
			t.Fatal(err)
		}
		const head = `<Event xmlns="` + Namespace + `"><ObjectChanged><UUID>u-1</UUID><ChangeType>update</ChangeType>` +
			`<ModificationTime>2000-01-01T00:00:00Z</ModificationTime><Sequence>1</Sequence>`
		whole := head + `<Attributes><Attribute name="a"><New>1</New></Attribute></Attributes></ObjectChanged></Event>`
		e := &Event{Type: ObjectChanged, Document: []byte(whole)}
		m := newMatcher()
		m.add(f)
		found := m.candidates(e, func() (*parsedDocument, error) { return parseAlone(e.Document) })
		match, err := f.evaluate(t.Context(), e, func() (*parsedDocument, error) { return parseAlone([]byte(head + `</ObjectChanged></Event>`)) })
		if err != nil || !match || !found.has(f) {
			t.Errorf("%s: matches %v, %v; named %v", query, match, err, found.has(f))
		}
	}
}

// Of an event whose type nobody asks for, not even the document is parsed.
func TestMatcherSparesTheParsing(t *testing.T) {
	m := newMatcher()
	for i := range 10 {
		f, err := compileFilter(fmt.Sprintf(`/Event/Ping/Id = '%d'`, i))
		if err != nil {
			t.Fatal(err)
		}
		m.add(f)
	}
	found := m.candidates(&Event{Type: "Pong"}, func() (*parsedDocument, error) {
		t.Error("the document was asked for")
		return parseAlone(noType)
	})
	if found.every || len(found.filters) != 0 {
		t.Errorf("%+v", found)
	}
}

// Of several tests that a query makes, the rarest is looked up.
func TestMatcherPrefersTheRare(t *testing.T) {
	m := newMatcher()
	const queries = 100
	for i := range queries {
		f, err := compileFilter(fmt.Sprintf(`/Event/ObjectChanged[ObjectType = 'User' and UUID = '%d' and ChangeType = 'update']`, i))
		if err != nil {
			t.Fatal(err)
		}
		m.add(f)
	}
	changed := m.trie.root.elements["Event"].elements[ObjectChanged]
	if n := changed.elements["ObjectType"].texts["User"].len() + changed.elements["ChangeType"].texts["update"].len(); n > 5 {
		t.Errorf("%d of %d queries are looked up by what they share", n, queries)
	}
}

// A query with places without number is a candidate always, and leaves nothing behind.
func TestMatcherBoundsPlaces(t *testing.T) {
	var query strings.Builder
	query.WriteString("Event/Ping/A = 'x'")
	for i := range 2 * maxOwnNodes {
		fmt.Fprintf(&query, " or Event/Ping/A%d = 'x'", i)
	}
	f, err := compileFilter(query.String())
	if err != nil {
		t.Fatal(err)
	}
	m := newMatcher()
	m.add(f)
	if !f.placement.always || m.trie.nodes != 0 {
		t.Errorf("always %v, %d places", f.placement.always, m.trie.nodes)
	}
	found := m.candidates(&Event{Type: "Ping"}, nil)
	if !found.has(f) {
		t.Error("the filter is left out")
	}
	m.remove(f)
	checkEmpty(t, m)
}

// FuzzMatcher: of any query that compiles, the matcher names all events that it matches.
func FuzzMatcher(f *testing.F) {
	w := writer{rand.New(rand.NewPCG(3, 4))}
	for seed := range uint64(50) {
		f.Add(w.condition(false, 2), seed)
	}
	for _, query := range []string{
		`declare variable $uuid external := "x"; declare function local:f($a) { $a/A = $uuid }; local:f(Event/Ping)`,
		`for tumbling window $w in Event/*/A start when true() return $w = 'x'`, `Event/Ping[A = 'x'] => exists()`,
		`for $a in Event/*/A group by $v := string($a) where count($a) > 1 return $v = 'x'`, `switch (Event/*/A) case 'x' return true() default return ()`,
		`typeswitch (Event/*) case $e as element(Ping) return $e/A = 'x' default $d return $d/B = 'x'`, `<a>{Event/*/A}</a>/A = 'x'`,
		`let $f := Event/Ping/A/string#0 return $f() = 'x'`, `[Event/Ping/A]?1 = 'x'`, `map { 'k': Event/Ping/A }?k = 'x'`, `fn:innermost(//A) = 'x'`,
		`//A/ancestor::Event/Ping/@k = '7'`, `Event/Ping/A[last()] = 7.0`, `(Event/Ping, 'x')[. = 'x']`, `root(Event/Ping/A)/Event/Pong`,
	} {
		f.Add(query, uint64(7))
	}
	f.Fuzz(func(t *testing.T, query string, seed uint64) {
		compiled, err := compileFilter(query)
		if err != nil {
			return
		}
		m := newMatcher()
		m.add(compiled)
		w := writer{rand.New(rand.NewPCG(seed, 5))}
		for n := range int64(20) {
			e := w.event(n)
			tree := func() (*parsedDocument, error) { return parseAlone(e.Document) }
			found := m.candidates(e, tree)
			if match, err := compiled.evaluate(t.Context(), e, tree); match && err == nil && !found.has(compiled) {
				t.Fatalf("%s\nmatches %s\nbut requires %s", query, e.Document, compiled.requires)
			}
		}
		m.remove(compiled)
		checkEmpty(t, m)
	})
}
