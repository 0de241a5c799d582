package events

import (
	"context"
	"fmt"
	"sync"
	"testing"
)

// BenchmarkMatcher is the time that one event takes among many distinct subscriptions of which two match: by the matcher,
// all included (parsing, lookup, evaluation of what is left), and by evaluating one after the other on a parsed document.
func BenchmarkMatcher(b *testing.B) {
	document := string(documentOf(b, fullChange(), 1))
	for _, n := range []int{100, 1_000, 10_000, 100_000} {
		filters := benchFilters(b, n)
		e := &Event{Sequence: 1, Type: ObjectChanged, UUID: fullChange().UUID, ObjectType: "User", ChangeType: "update", Document: []byte(document)}
		b.Run(fmt.Sprintf("indexed/%d", n), func(b *testing.B) {
			m := newMatcher()
			for _, f := range filters {
				m.add(f)
			}
			b.ResetTimer()
			for b.Loop() {
				evaluateIndexed(b, m, e)
			}
			b.StopTimer()
			for _, f := range filters {
				m.remove(f)
			}
		})
		b.Run(fmt.Sprintf("onebyone/%d", n), func(b *testing.B) {
			for b.Loop() {
				evaluateAll(b, filters, e)
			}
		})
	}
	b.Run("add", func(b *testing.B) {
		m := newMatcher()
		filters := benchFilters(b, 1000)
		for b.Loop() {
			for _, f := range filters {
				m.add(f)
			}
			for _, f := range filters {
				m.remove(f)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/2000, "ns/change")
	})
}

// benchFilters are what administrators' programs ask for: an object each, an attribute's value, another type, a text.
func benchFilters(b *testing.B, n int) []*filter {
	b.Helper()
	filters := make([]*filter, n)
	own := fullChange().UUID
	for i := range filters {
		id := fmt.Sprintf("%08d-0000-4000-8000-000000000000", i)
		if i < 2 {
			id = own
		}
		query := ""
		switch i % 4 {
		case 0:
			query = fmt.Sprintf(`Event/ObjectChanged[ObjectType = 'User' and UUID = '%s' and ChangeType = ('update', 'move')]`, id)
		case 1:
			query = fmt.Sprintf(`let $o := ./Event/ObjectChanged where $o/UUID = "%s" return $o/ChangeType`, id)
		case 2:
			query = fmt.Sprintf(`/Event/ObjectChanged/Attributes/Attribute[@name = 'mail']/New = '%d@example.net'`, i)
		default:
			query = fmt.Sprintf(`$object-type = 'User' and $uuid = '%s' and contains(Event/ObjectChanged/DN, 'ou=')`, id)
		}
		f, err := compileFilter(query + fmt.Sprintf(" (: %d :)", i))
		if err != nil {
			b.Fatal(err)
		}
		filters[i] = f
	}
	return filters
}

func evaluateIndexed(b *testing.B, m *matcher, e *Event) {
	document, err := parse(e.Document)
	if err != nil {
		b.Fatal(err)
	}
	document.Keep()
	shared := &parsedDocument{Document: document}
	shared.users.Add(1)
	tree := func() (*parsedDocument, error) { shared.users.Add(1); return shared, nil }
	found := m.candidates(e, tree)
	matches := 0
	for f := range found.filters {
		match, err := f.evaluate(b.Context(), e, tree)
		if err != nil {
			b.Fatal(err)
		}
		if match {
			matches++
		}
	}
	shared.release()
	if matches != 2 || found.every {
		b.Fatalf("%d matches", matches)
	}
}

func evaluateAll(b *testing.B, filters []*filter, e *Event) {
	document, err := parse(e.Document)
	if err != nil {
		b.Fatal(err)
	}
	document.Keep()
	shared := &parsedDocument{Document: document}
	shared.users.Add(1)
	matches := 0
	for _, f := range filters {
		match, err := f.evaluate(b.Context(), e, func() (*parsedDocument, error) { shared.users.Add(1); return shared, nil })
		if err != nil {
			b.Fatal(err)
		}
		if match {
			matches++
		}
	}
	shared.release()
	if matches != 2 {
		b.Fatalf("%d matches", matches)
	}
}

// BenchmarkSleepers measures from the commit of an event until the one of 10,000 live subscribers whom it concerns has it;
// each has a query of his own.
func BenchmarkSleepers(b *testing.B) {
	const sleepers = maxSubscribers
	ctx, cancel := context.WithCancel(b.Context())
	db := openSQLite(b)
	l := newLog(b, db)
	came := make(chan struct{}, sleepers)
	var group sync.WaitGroup
	for i := range sleepers {
		query := fmt.Sprintf(`Event/ObjectChanged[ObjectType = 'User' and UUID = '%d']`, i)
		s, err := l.Subscribe(ctx, Subscription{User: admin, After: FromNow, Query: query})
		if err != nil {
			b.Fatal(err)
		}
		group.Go(func() {
			defer s.Close()
			_ = s.Run(ctx, func(Event) error { came <- struct{}{}; return nil })
		})
	}
	n := 0
	for b.Loop() {
		n++
		made := changes(fmt.Sprint(n), 1)
		made[0].UUID = fmt.Sprint(n % sleepers)
		commit(b, l, db, made)
		<-came
	}
	cancel()
	group.Wait()
}
