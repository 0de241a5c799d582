package backendtest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"clacks"
	"clacks/backends"
)

var searchSections = []section{
	{"search scopes", testSearchScopes},
	{"search filters", testSearchFilters},
	{"search refused", testSearchRefused},
	{"search in pages", testSearchPages},
}

func testSearchScopes(t *testing.T, f Fixture) {
	parent := unit(f.Base, "people")
	f.apply(t, parent)
	ann := person(parent.Ref.DN, "Ann")
	f.apply(t, ann)
	f.apply(t, person(ann.Ref.DN, "Below"))
	for scope, expected := range map[backends.Scope][]string{
		backends.ScopeBase:     {"people"},
		backends.ScopeOne:      {"Ann"},
		backends.ScopeSub:      {"people", "Ann", "Below"},
		backends.ScopeChildren: {"Ann", "Below"},
	} {
		var names []string
		for _, entry := range f.found(t, backends.Query{Base: strings.ToUpper(parent.Ref.DN), Scope: scope, Attributes: []string{"cn", "ou"}}) {
			if entry.DN == "" || entry.UUID == "" {
				t.Fatalf("a search yields an entry with DN %q and UUID %q", entry.DN, entry.UUID)
			}
			names = append(names, text(append(entry.Values["cn"], entry.Values["ou"]...))...)
		}
		slices.Sort(names)
		slices.Sort(expected)
		if !slices.Equal(names, expected) {
			t.Errorf("scope %s finds %v, want %v", scope, names, expected)
		}
	}
}

// zoo are entries for filters: each with a gidNumber and the members that some filter looks for.
func (f Fixture) zoo(t *testing.T) {
	t.Helper()
	f.apply(t, group(f.Base, "ant", 9, "small", "six legs"))
	f.apply(t, group(f.Base, "bear", 100, "big"))
	f.apply(t, group(f.Base, "cat", 1000, "small", "Four legs"))
	f.apply(t, group(f.Base, "camel*", 20, "big", "a*b"))
	f.apply(t, group(f.Base, "eel", 999))
}

func testSearchFilters(t *testing.T, f Fixture) {
	f.zoo(t)
	equal := func(attribute string, value backends.Value) *backends.Filter {
		return &backends.Filter{Op: backends.Equal, Attribute: attribute, Value: value}
	}
	match := func(op backends.FilterOp, attribute string, value backends.Value) *backends.Filter {
		return &backends.Filter{Op: op, Attribute: attribute, Value: value}
	}
	join := func(op backends.FilterOp, of ...*backends.Filter) *backends.Filter {
		return &backends.Filter{Op: op, Of: of}
	}
	everything := "ant bear camel* cat eel"
	for _, test := range []struct {
		filter   *backends.Filter
		expected string
	}{
		{nil, everything},
		{equal("cn", "CAT"), "cat"},
		{equal("CN", "cat"), "cat"},
		{equal("gidNumber", int64(100)), "bear"},
		{equal("memberUid", "small"), "ant cat"},
		{equal("memberUid", "SMALL"), ""},
		{equal("cn", "c*"), ""},
		{equal("cn", "camel*"), "camel*"},
		{equal("objectClass", "posixGroup"), everything},
		{match(backends.Present, "memberUid", nil), "ant bear camel* cat"},
		{match(backends.Prefix, "cn", "C"), "camel* cat"},
		{match(backends.Prefix, "cn", "camel*"), "camel*"},
		{match(backends.Prefix, "cn", "*"), ""},
		{match(backends.Contain, "memberUid", "legs"), "ant cat"},
		{match(backends.Contain, "memberUid", "*"), "camel*"},
		{match(backends.Contain, "cn", "EA"), "bear"},
		{match(backends.AtLeast, "gidNumber", int64(100)), "bear cat eel"},
		{match(backends.AtLeast, "gidNumber", "1000"), "cat"},
		{join(backends.And, equal("memberUid", "small"), equal("cn", "ant")), "ant"},
		{join(backends.Or, equal("cn", "eel"), equal("cn", "bear")), "bear eel"},
		{join(backends.Not, equal("memberUid", "small")), "bear camel* eel"},
		{join(backends.Not, match(backends.Present, "memberUid", nil)), "eel"},
		{join(backends.And, join(backends.Not, equal("cn", "ant")), join(backends.Or, equal("memberUid", "small"), equal("gidNumber", int64(9)))), "cat"},
		{join(backends.And), everything},
		{join(backends.Or), ""},
		{equal("description", "absent everywhere"), ""},
		{equal("cn", ")(cn=*"), ""},
		{equal("cn", "*)(objectClass=*"), ""},
		{equal("cn", "\x00"), ""},
		{equal("cn", `\2a`), ""},
	} {
		var names []string
		for _, entry := range f.found(t, backends.Query{Base: f.Base, Scope: backends.ScopeOne, Filter: test.filter, Attributes: []string{"cn"}}) {
			names = append(names, text(entry.Values["cn"])...)
		}
		slices.Sort(names)
		if got := strings.Join(names, " "); got != test.expected {
			t.Errorf("%s finds %q, want %q", describe(test.filter), got, test.expected)
		}
	}
}

// describe is a filter for a message.
func describe(filter *backends.Filter) string {
	if filter == nil {
		return "no filter"
	}
	if len(filter.Of) == 0 && filter.Attribute == "" {
		return fmt.Sprintf("(empty %s)", filter.Op)
	}
	if filter.Attribute != "" {
		return fmt.Sprintf("(%s %s %q)", filter.Attribute, filter.Op, filter.Value)
	}
	parts := make([]string, len(filter.Of))
	for i, part := range filter.Of {
		parts[i] = describe(part)
	}
	return "(" + string(filter.Op) + " " + strings.Join(parts, " ") + ")"
}

func testSearchRefused(t *testing.T, f Fixture) {
	f.zoo(t)
	q := backends.Query{Base: f.Base, Scope: backends.ScopeSub, Attributes: []string{"cn"}}
	for what, change := range map[string]func(*backends.Query){
		"injected attribute": func(q *backends.Query) {
			q.Filter = &backends.Filter{Op: backends.Equal, Attribute: "cn=*)(objectClass", Value: "*"}
		},
		"no attribute": func(q *backends.Query) { q.Filter = &backends.Filter{Op: backends.Present} },
		"unknown operator": func(q *backends.Query) {
			q.Filter = &backends.Filter{Op: "~", Attribute: "cn", Value: "x"}
		},
		"not of two": func(q *backends.Query) {
			present := &backends.Filter{Op: backends.Present, Attribute: "cn"}
			q.Filter = &backends.Filter{Op: backends.Not, Of: []*backends.Filter{present, present}}
		},
		"unknown scope": func(q *backends.Query) { q.Scope = "everywhere" },
		"not a name":    func(q *backends.Query) { q.Base = "nonsense" },
		"too deep":      func(q *backends.Query) { q.Filter = deepFilter(100_000) },
	} {
		t.Run(what, func(t *testing.T) {
			bad := q
			change(&bad)
			f.searchError(t, bad, clacks.Invalid, clacks.Limit)
		})
	}
	q.Base = "ou=nowhere," + f.Base
	f.searchError(t, q, clacks.NotFound)
}

// deepFilter is a filter nested so deep that a recursive server would be in danger.
func deepFilter(depth int) *backends.Filter {
	filter := &backends.Filter{Op: backends.Present, Attribute: "cn"}
	for range depth {
		filter = &backends.Filter{Op: backends.Not, Of: []*backends.Filter{filter}}
	}
	return filter
}

const crowd = 2500

func testSearchPages(t *testing.T, f Fixture) {
	var workers sync.WaitGroup
	for worker := range 8 {
		workers.Go(func() {
			for i := worker; i < crowd; i += 8 {
				if _, err := f.Backend.Apply(t.Context(), group(f.Base, fmt.Sprintf("g%04d", i), int64(i))); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	workers.Wait()
	if t.Failed() {
		return
	}
	q := backends.Query{Base: f.Base, Scope: backends.ScopeOne, Attributes: []string{"cn"}, PageSize: 100}
	for _, size := range []int{0, 1000, 499, crowd, crowd + 1} {
		q := q
		q.PageSize = size
		seen := map[string]bool{}
		for _, entry := range f.found(t, q) {
			if seen[entry.UUID] {
				t.Fatalf("page size %d yields %s twice", size, entry.DN)
			}
			seen[entry.UUID] = true
		}
		if len(seen) != crowd {
			t.Fatalf("page size %d yields %d entries, want %d", size, len(seen), crowd)
		}
	}
	t.Run("early stop", func(t *testing.T) { stopEarly(t, f, q) })
	t.Run("canceled midway", func(t *testing.T) { cancelMidway(t, f, q) })
	t.Run("reads within searches", func(t *testing.T) { readWithin(t, f, q) })
}

// stopEarly leaves many searches before their end; were anything kept, it would run out.
func stopEarly(t *testing.T, f Fixture, q backends.Query) {
	for range 200 {
		n := 0
		for _, err := range f.Backend.Search(t.Context(), q) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n == 3 {
				break
			}
		}
	}
	f.read(t, backends.Ref{DN: "cn=g0000," + f.Base}, "cn")
}

func cancelMidway(t *testing.T, f Fixture, q backends.Query) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var failure error
	n := 0
	for _, err := range f.Backend.Search(ctx, q) {
		if failure != nil {
			t.Fatal("the search goes on after its error")
		}
		failure = err
		n++
		cancel()
	}
	want(t, "a search canceled midway", failure, clacks.Unavailable)
	if n >= crowd {
		t.Fatalf("it still yielded %d entries", n)
	}
	f.read(t, backends.Ref{DN: "cn=g0000," + f.Base}, "cn")
}

// readWithin reads entries while a search is open, from more goroutines than a pool has connections: whoever holds one
// while his caller thinks brings everything to a halt.
func readWithin(t *testing.T, f Fixture, q backends.Query) {
	var workers sync.WaitGroup
	for range 40 {
		workers.Go(func() {
			n := 0
			for entry, err := range f.Backend.Search(t.Context(), q) {
				if err != nil {
					t.Error(err)
					return
				}
				if n++; n%100 == 1 {
					if _, err := f.Backend.Read(t.Context(), entry.Ref, []string{"gidNumber"}); err != nil {
						t.Error(err)
						return
					}
				}
				if n == 500 {
					break
				}
			}
		})
	}
	workers.Wait()
}
