package events

import (
	"fmt"
	"maps"
	"slices"
	"testing"
)

// A query with a scope says of every event what it would say without one.
func TestScopeDecidesAsTheQuery(t *testing.T) {
	documents := map[string]string{
		"Ping":        event("<Ping><Id>7</Id></Ping>"),
		"Pong":        event("<Pong><Id>7</Id><Ping/></Pong>"),
		ObjectChanged: string(documentOf(t, fullChange(), 1)),
		"Odd":         `<x:Event xmlns:x="` + Namespace + `" xmlns:xsi="urn:i" xsi:a="7"> <!-- Ping --><x:Odd Ping="7">7</x:Odd></x:Event>`,
	}
	const unbounded = "-"
	for query, types := range map[string]string{
		`*:Event/*:Ping`:                      "[Ping]",
		`./Event/Ping[Id = 7]`:                "[Ping]",
		`let $e := ./Event return $e/Ping/Id`: "[Ping]",
		`/Event/Ping/Id = '7'`:                "[Ping]",
		`/e:Event/e:Ping`:                     "[Ping]",
		`/Event/(Ping | Pong)/Id = '7'`:       "[Ping Pong]",
		`/Event/*/Id = '7'`:                   unbounded,
		`let $o := /Event/ObjectChanged return $o/ObjectType = 'User' and /Event/ObjectChanged/DN`: "[ObjectChanged]",
		`/Event/Ping/root()/Event/Pong`:          unbounded,
		`Event/Ping or Event/Pong/Id = '7'`:      unbounded,
		`Event/Ping/Id = '7' and true()`:         unbounded,
		`if (Event/Ping) then Event/Pong else 7`: unbounded,
		`true()`:                                 "[]",
		`1 = 2`:                                  "[]",
		`error()`:                                unbounded,
		`.`:                                      unbounded,
		`*`:                                      unbounded,
		`Event`:                                  unbounded,
		`Event/@*`:                               unbounded,
		`Event/Ping/..`:                          unbounded,
		`Event/Ping/following-sibling::Odd`:      unbounded,
		`//Ping`:                                 unbounded,
		`current-dateTime() lt xs:dateTime('2000-01-01T00:00:00Z')`: unbounded,
		`not(Event/Ping)`:   unbounded,
		`name(*) = 'Event'`: unbounded,
		`Ping/Id = 7`:       unbounded,
		`for $p in Event/Ping where $p/Id = 7 order by $p/Id return $p`: unbounded,
	} {
		f, err := compileFilter(query)
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		// How much the analysis bounds is its own affair; it must not claim a scope for what has none.
		if f.scope != nil && types != unbounded {
			if got := fmt.Sprint(slices.Sorted(maps.Keys(f.scope.types))); got != types {
				t.Errorf("%s: scope %s, want %s", query, got, types)
			}
		}
		if f.scope == nil && types != unbounded {
			t.Errorf("%s has no scope", query)
		}
		plain := &filter{query: f.query}
		for eventType, document := range documents {
			e := &Event{Sequence: 1, Type: eventType}
			tree := func() (*parsedDocument, error) { return parseAlone([]byte(document)) }
			got, gotErr := f.match(t.Context(), e, tree)
			want, wantErr := plain.evaluate(t.Context(), e, tree)
			f.verdicts[1].Store(nil)
			if got != want || (gotErr == nil) != (wantErr == nil) {
				t.Errorf("%s on %s: %v, %v; without a scope %v, %v", query, eventType, got, gotErr, want, wantErr)
			}
		}
	}
}

// Of an event outside of a query's scope not even the document is parsed.
func TestScopeSparesTheParsing(t *testing.T) {
	f, err := compileFilter(`/Event/Ping/Id = '7'`)
	if err != nil {
		t.Fatal(err)
	}
	if f.scope == nil {
		t.Fatal("the query has no scope")
	}
	match, err := f.match(t.Context(), &Event{Sequence: 1, Type: "Pong"}, func() (*parsedDocument, error) {
		t.Error("the document was asked for")
		return parseAlone(noType)
	})
	if match || err != nil {
		t.Errorf("%v, %v", match, err)
	}
}
