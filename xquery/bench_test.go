package xquery

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/lestrrat-go/helium"
	"github.com/lestrrat-go/helium/xpath3"
)

const eventNamespace = "urn:example:events"

const benchEvent = `<Event xmlns="urn:example:events"><ObjectChanged><UUID>4f1c</UUID><DN>cn=Ada,dc=example,dc=net</DN>` +
	`<Type>User</Type><Actor>admin</Actor><Time>2026-01-01T00:00:00Z</Time><Version>17</Version>` +
	`<Change name="badgeNumber"><Old>41</Old><New>42</New></Change><Done>true</Done></ObjectChanged></Event>`

// benchQueries are typical filters of events and mappings of their values. xpath, if set, is the same expression for bare
// helium, which needs prefixes.
var benchQueries = []struct{ name, query, xpath string }{
	{
		name: "filter",
		query: `declare namespace e = "urn:example:events"; let $o := /e:Event/e:ObjectChanged ` +
			`return $o/e:Type = "User" and $o/e:Change/e:New = "42"`,
		xpath: `let $o := /e:Event/e:ObjectChanged return $o/e:Type = "User" and $o/e:Change/e:New = "42"`,
	},
	{
		name:  "predicate",
		query: `/Event/ObjectChanged[Type = "User"]/Change[@name = "badgeNumber"]/New`,
		xpath: `/e:Event/e:ObjectChanged[e:Type = "User"]/e:Change[@name = "badgeNumber"]/e:New`,
	},
	{
		name:  "nomatch",
		query: `/Event/BackendChange[Type = "User"]`,
		xpath: `/e:Event/e:BackendChange[e:Type = "User"]`,
	},
	{
		name:  "anywhere",
		query: `//Change[Old != New]/@name = ("badgeNumber", "costCenter")`,
		xpath: `//e:Change[e:Old != e:New]/@name = ("badgeNumber", "costCenter")`,
	},
	{
		name:  "subtree",
		query: `/Event/ObjectChanged[ends-with(DN, ",dc=example,dc=net") and not(Actor = "system")]`,
		xpath: `/e:Event/e:ObjectChanged[ends-with(e:DN, ",dc=example,dc=net") and not(e:Actor = "system")]`,
	},
	{
		name:  "time",
		query: `xs:dateTime(/Event/ObjectChanged/Time) > xs:dateTime("2025-12-31T00:00:00Z")`,
		xpath: `xs:dateTime(/e:Event/e:ObjectChanged/e:Time) > xs:dateTime("2025-12-31T00:00:00Z")`,
	},
	{
		name:  "join",
		query: `string-join((//Type, //Actor), " ")`,
		xpath: `string-join((//e:Type, //e:Actor), " ")`,
	},
	{
		name:  "choice",
		query: `if (//Change/@name = "badgeNumber") then upper-case(//Actor) else substring-before(//DN, ",")`,
		xpath: `if (//e:Change/@name = "badgeNumber") then upper-case(//e:Actor) else substring-before(//e:DN, ",")`,
	},
	{
		name:  "where",
		query: `for $c in //Change where $c/New > 7 return string($c/@name)`,
	},
	{
		name:  "order",
		query: `for $c in /Event/ObjectChanged/* order by local-name($c) descending return local-name($c)`,
	},
	{
		name:  "construct",
		query: `for $c in //Change return <change name="{$c/@name}" by="{//Actor}">{ $c/New/text() }</change>`,
	},
	{
		name:  "switch",
		query: `switch (//Type) case "User" return "person" case "Group" case "Role" return "group" default return "thing"`,
	},
}

func compileBench(b *testing.B, source string) *Query {
	b.Helper()
	q, err := Compile(source, Options{ElementNamespace: eventNamespace})
	if err != nil {
		b.Fatal(err)
	}
	return q
}

func BenchmarkCompile(b *testing.B) {
	for _, q := range benchQueries {
		b.Run(q.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				compileBench(b, q.query)
			}
		})
		if q.xpath == "" {
			continue
		}
		b.Run(q.name+"/helium", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := xpath3.NewCompiler().Compile(q.xpath); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEvaluate(b *testing.B) {
	doc, err := ParseDocument([]byte(benchEvent), ParseLimits{})
	if err != nil {
		b.Fatal(err)
	}
	for _, q := range benchQueries {
		b.Run(q.name, func(b *testing.B) {
			evaluate := benchOurs(b, q.query, doc)
			b.ReportAllocs()
			for b.Loop() {
				evaluate()
			}
		})
		if q.xpath == "" {
			continue
		}
		b.Run(q.name+"/helium", func(b *testing.B) {
			evaluate := benchHelium(b, q.xpath, doc)
			b.ReportAllocs()
			for b.Loop() {
				evaluate()
			}
		})
	}
}

func benchOurs(b *testing.B, source string, doc *Document) func() {
	query := compileBench(b, source)
	in := Input{Context: doc}
	return func() {
		if _, err := query.Evaluate(context.Background(), in); err != nil {
			b.Fatal(err)
		}
	}
}

// benchHelium evaluates as helium is fastest: with a state that is used again and again.
func benchHelium(b *testing.B, source string, doc *Document) func() {
	expression, err := xpath3.NewCompiler().Compile(source)
	if err != nil {
		b.Fatal(err)
	}
	state := xpath3.NewEvaluator(xpath3.EvalBorrowing).Namespaces(map[string]string{"e": eventNamespace}).NewEvalState(nil)
	return func() {
		if _, err := expression.EvaluateReuse(context.Background(), state, doc.doc); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRatio compiles and evaluates each expression that is XPath by turns with this package and with bare helium, and
// reports the medians and their ratio: the machine's other work meets both sides.
func BenchmarkRatio(b *testing.B) {
	doc, err := ParseDocument([]byte(benchEvent), ParseLimits{})
	if err != nil {
		b.Fatal(err)
	}
	for _, q := range benchQueries {
		if q.xpath == "" {
			continue
		}
		b.Run("compile/"+q.name, func(b *testing.B) {
			byTurns(b, func() { compileBench(b, q.query) }, func() {
				if _, err := xpath3.NewCompiler().Compile(q.xpath); err != nil {
					b.Fatal(err)
				}
			})
		})
		b.Run("evaluate/"+q.name, func(b *testing.B) {
			byTurns(b, benchOurs(b, q.query, doc), benchHelium(b, q.xpath, doc))
		})
	}
}

func byTurns(b *testing.B, ours, helium func()) {
	var us, them []float64
	for b.Loop() {
		us = append(us, turn(ours))
		them = append(them, turn(helium))
	}
	slices.Sort(us)
	slices.Sort(them)
	mine, theirs := us[len(us)/2], them[len(them)/2]
	b.ReportMetric(0, "ns/op") // of a turn, which nobody wants to know
	b.ReportMetric(mine, "ns/xquery")
	b.ReportMetric(theirs, "ns/helium")
	b.ReportMetric(mine/theirs, "ratio")
}

// turn is the time of one call in nanoseconds, over as many as the clock can tell.
func turn(call func()) float64 {
	const calls = 50
	start := time.Now()
	for range calls {
		call()
	}
	return float64(time.Since(start).Nanoseconds()) / calls
}

// BenchmarkXMark evaluates the queries of XMark on the document of the W3C's suite, 3.5 MB. It reports the time of
// processors as well, which the machine's other work disturbs less.
func BenchmarkXMark(b *testing.B) {
	cases, doc := xmark(b)
	for _, c := range cases {
		b.Run(c.name, func(b *testing.B) {
			query, err := Compile(c.query, Options{})
			if err != nil {
				b.Fatal(err)
			}
			in := Input{Context: doc, Limits: xmarkLimits}
			b.ReportAllocs()
			start := processorTime(b)
			for b.Loop() {
				if _, err := query.Evaluate(context.Background(), in); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((processorTime(b)-start).Microseconds())/1000/float64(b.N), "cpu-ms/op")
		})
	}
}

// processorTime is what the process has used.
func processorTime(b *testing.B) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func BenchmarkDocument(b *testing.B) {
	b.Run("build", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			builder := NewBuilder("entry")
			for _, name := range [...]string{"cn", "sn", "givenName", "mail", "uid", "telephoneNumber"} {
				builder.Element(name, "value of "+name)
			}
			builder.Document().Free()
		}
	})
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			doc, err := ParseDocument([]byte(benchEvent), ParseLimits{})
			if err != nil {
				b.Fatal(err)
			}
			doc.Free()
		}
	})
	b.Run("parse/helium", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			doc, err := helium.NewParser().Parse(context.Background(), []byte(benchEvent))
			if err != nil {
				b.Fatal(err)
			}
			doc.Free()
		}
	})
}

// BenchmarkFilters measures 100 different filters on one event, as subscriptions bring them.
func BenchmarkFilters(b *testing.B) {
	for name, pattern := range map[string]string{
		"one":  `/Event/ObjectChanged/Change[@name = "badgeNumber"]/New = "%d"`,
		"many": `/Event/ObjectChanged/*/New = "%d"`,
	} {
		queries := make([]*Query, 100)
		for i := range queries {
			q, err := Compile(fmt.Sprintf(pattern, i), Options{ElementNamespace: eventNamespace})
			if err != nil {
				b.Fatal(err)
			}
			queries[i] = q
		}
		for _, keep := range []bool{false, true} {
			for _, n := range []int{1, 100} {
				b.Run(fmt.Sprintf("%s/%d/keep=%v", name, n, keep), func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						filterOnce(b, queries[:n], keep)
					}
				})
			}
		}
	}
}

func filterOnce(b *testing.B, queries []*Query, keep bool) {
	doc, err := ParseDocument([]byte(benchEvent), ParseLimits{})
	if err != nil {
		b.Fatal(err)
	}
	defer doc.Free()
	if keep {
		doc.Keep()
	}
	for _, q := range queries {
		if _, err := q.Matches(context.Background(), Input{Context: doc}); err != nil {
			b.Fatal(err)
		}
	}
}
