package xquery

import (
	"context"
	"fmt"
	"testing"

	"github.com/lestrrat-go/helium"
	"github.com/lestrrat-go/helium/xpath3"
)

const eventNamespace = "urn:example:events"

const benchEvent = `<Event xmlns="urn:example:events"><ObjectChanged><UUID>4f1c</UUID><DN>cn=Ada,dc=example,dc=net</DN>` +
	`<Type>User</Type><Actor>admin</Actor><Time>2026-01-01T00:00:00Z</Time><Version>17</Version>` +
	`<Change name="badgeNumber"><Old>41</Old><New>42</New></Change><Done>true</Done></ObjectChanged></Event>`

// benchQueries are typical filters and mappings. xpath, if set, is the same expression for bare helium.
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
		name:  "join",
		query: `string-join((//Type, //Actor), " ")`,
		xpath: `string-join((//e:Type, //e:Actor), " ")`,
	},
	{
		name:  "where",
		query: `for $c in //Change where $c/New > 7 return string($c/@name)`,
	},
	{
		name:  "order",
		query: `for $c in /Event/ObjectChanged/* order by local-name($c) descending return local-name($c)`,
	},
}

func BenchmarkCompile(b *testing.B) {
	for _, q := range benchQueries {
		b.Run(q.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Compile(q.query, Options{ElementNamespace: eventNamespace}); err != nil {
					b.Fatal(err)
				}
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
			query, err := Compile(q.query, Options{ElementNamespace: eventNamespace})
			if err != nil {
				b.Fatal(err)
			}
			in := Input{Context: doc}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := query.Evaluate(context.Background(), in); err != nil {
					b.Fatal(err)
				}
			}
		})
		if q.xpath == "" {
			continue
		}
		b.Run(q.name+"/helium", func(b *testing.B) {
			expression, err := xpath3.NewCompiler().Compile(q.xpath)
			if err != nil {
				b.Fatal(err)
			}
			evaluator := xpath3.NewEvaluator(xpath3.EvalBorrowing).Namespaces(map[string]string{"e": eventNamespace})
			b.ReportAllocs()
			for b.Loop() {
				if _, err := evaluator.Evaluate(context.Background(), expression, doc.doc); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
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
