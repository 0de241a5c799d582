package objects

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"clacks"
	"clacks/access"
)

// searchWorld has some people in two containers.
func searchWorld(t *testing.T) (*world, string) {
	w := newWorld(t)
	people := w.house()
	ou := w.create("OrganizationalUnit", testBase, map[string]any{"ou": "Werk 50%_a"}).DN
	for i, name := range []string{"anna", "berta", "Carla", "dora", "emil"} {
		base := people
		if i > 2 {
			base = ou
		}
		attributes := person(name, "sn", "Surname "+name, "title", "Title "+string(rune('z'-i)))
		attributes["telephoneNumber"] = []any{fmt.Sprintf("+49 %d", i), "+49 999"}
		attributes["costCenter"] = []int64{9, 10, -5, 1 << 60, 100}[i]
		w.create("User", base, attributes)
	}
	w.create("User", ou, map[string]any{"uid": "frank", "cn": "Frank *", "sn": "100%", "uidNumber": 1, "gidNumber": 1, "homeDirectory": "/"}, "PosixUser")
	return w, people
}

func (w *world) find(q SearchRequest) []string {
	w.t.Helper()
	r, err := w.Search(w.t.Context(), admin, q)
	if err != nil {
		w.t.Fatalf("%+v: %v", q, err)
	}
	return uids(r)
}

func uids(r *SearchResult) []string {
	names := []string{}
	for _, v := range r.Objects {
		if list := texts(v.Values["uid"]); len(list) > 0 {
			names = append(names, list[0])
		} else {
			names = append(names, v.Type)
		}
	}
	return names
}

func TestSearch(t *testing.T) {
	w, people := searchWorld(t)
	filter := func(name string, value any) SearchRequest { return SearchRequest{Filter: map[string]any{name: value}} }
	for name, test := range map[string]struct {
		q    SearchRequest
		want []string
	}{
		"type":             {SearchRequest{Type: "User"}, []string{"anna", "berta", "Carla", "frank", "dora", "emil"}},
		"extension":        {SearchRequest{Type: "PosixUser"}, []string{"frank"}},
		"base":             {SearchRequest{Base: people, Scope: "base"}, []string{"PeopleContainer"}},
		"one":              {SearchRequest{Base: people, Scope: "one"}, []string{"anna", "berta", "Carla"}},
		"children":         {SearchRequest{Base: people, Scope: "children"}, []string{"anna", "berta", "Carla"}},
		"sub":              {SearchRequest{Base: people}, []string{"PeopleContainer", "anna", "berta", "Carla"}},
		"spelling of base": {SearchRequest{Base: "OU=People , DC=example,DC=NET", Scope: "one", OrderBy: "uid"}, []string{"anna", "berta", "Carla"}},
		"equal":            {filter("uid", "anna"), []string{"anna"}},
		"case":             {filter("uid", "cARLA"), []string{"Carla"}},
		"spaces":           {filter("sn", " surname   ANNA "), []string{"anna"}},
		"prefix":           {filter("uid", "b*"), []string{"berta"}},
		"suffix":           {filter("uid", "*a"), []string{"anna", "berta", "Carla", "dora"}},
		"contains":         {filter("sn", "*name c*"), []string{"Carla"}},
		"present":          {filter("homeDirectory", "*"), []string{"frank"}},
		"absent":           {SearchRequest{Type: "User", Filter: map[string]any{"title": nil}}, []string{"frank"}},
		"star itself":      {filter("cn", `Frank \*`), []string{"frank"}},
		"percent itself":   {filter("sn", "*0%*"), []string{"frank"}},
		"percent is none":  {filter("sn", "s%a*"), []string{}},
		"underline":        {filter("ou", "Werk 50%_*"), []string{"OrganizationalUnit"}},
		"one of":           {filter("uid", []any{"anna", "emil", "none"}), []string{"anna", "emil"}},
		"one of none":      {filter("uid", []any{}), []string{}},
		"integer":          {filter("costCenter", 10), []string{"berta"}},
		"integer as text":  {filter("costCenter", "-5"), []string{"Carla"}},
		"multi":            {filter("telephoneNumber", "+49 1"), []string{"berta"}},
		"dn":               {filter("dn", "cn=person ANNA,"+people), []string{"anna"}},
		"order":            {SearchRequest{Type: "User", OrderBy: "uid"}, []string{"anna", "berta", "Carla", "dora", "emil", "frank"}},
		"descending":       {SearchRequest{Type: "User", OrderBy: "uid", Descending: true}, []string{"frank", "emil", "dora", "Carla", "berta", "anna"}},
		"by number":        {SearchRequest{Type: "User", OrderBy: "costCenter"}, []string{"frank", "Carla", "anna", "berta", "emil", "dora"}},
		"by title":         {SearchRequest{Type: "User", OrderBy: "title"}, []string{"frank", "emil", "dora", "Carla", "berta", "anna"}},
		"query":            {SearchRequest{Type: "User", Query: "costCenter > 9 and starts-with(uid, 'e')"}, []string{"emil"}},
		"query variables":  {SearchRequest{Query: "$type = 'User' and contains($dn, 'ou=people') and not(uid = 'anna')"}, []string{"berta", "Carla"}},
		"both":             {SearchRequest{Type: "User", Base: people, Filter: map[string]any{"uid": "*r*", "telephoneNumber": "+49 999"}}, []string{"berta", "Carla"}},
	} {
		if got := w.find(test.q); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

func TestSearchPages(t *testing.T) {
	w, _ := searchWorld(t)
	for _, q := range []SearchRequest{
		{Type: "User"}, {Type: "User", OrderBy: "uid"}, {Type: "User", OrderBy: "costCenter", Descending: true}, {Type: "User", OrderBy: "l"},
		{Type: "User", Query: "sn"}, {Type: "User", Descending: true},
	} {
		all := w.find(q)
		for limit := 1; limit <= 7; limit++ {
			q.Limit, q.Cursor, q.Total = limit, "", true
			var got []string
			for pages := 0; ; pages++ {
				r, err := w.Search(t.Context(), admin, q)
				if err != nil {
					t.Fatal(err)
				}
				if len(r.Objects) > limit || pages > 7 || r.Total != len(all) {
					t.Fatalf("page %d has %d objects, total %d", pages, len(r.Objects), r.Total)
				}
				got = append(got, uids(r)...)
				if q.Cursor = r.Cursor; q.Cursor == "" {
					break
				}
			}
			if !slices.Equal(got, all) {
				t.Errorf("%+v by %d: %v, want %v", q, limit, got, all)
			}
		}
	}
}

func TestSearchIsRefused(t *testing.T) {
	w, people := searchWorld(t)
	page, err := w.Search(t.Context(), admin, SearchRequest{Type: "User", Limit: 2})
	if err != nil || page.Cursor == "" {
		t.Fatalf("%+v, %v", page, err)
	}
	many := map[string]any{}
	for i := range 40 {
		many[fmt.Sprint(i)] = "x"
	}
	for name, test := range map[string]struct {
		q    SearchRequest
		kind clacks.Kind
		part string
	}{
		"type":             {SearchRequest{Type: "Usr"}, clacks.Invalid, "Usr"},
		"base":             {SearchRequest{Base: "nonsense"}, clacks.Invalid, ""},
		"scope":            {SearchRequest{Scope: "all"}, clacks.Invalid, "all"},
		"attribute":        {SearchRequest{Attributes: []string{"nonsense"}}, clacks.Invalid, "nonsense"},
		"filter":           {SearchRequest{Filter: map[string]any{"nonsense": "x"}}, clacks.Invalid, "nonsense"},
		"value":            {SearchRequest{Filter: map[string]any{"costCenter": "x"}}, clacks.Invalid, "costCenter"},
		"part of a number": {SearchRequest{Filter: map[string]any{"costCenter": "1*"}}, clacks.Invalid, "costCenter"},
		"secret":           {SearchRequest{Filter: map[string]any{"userPassword": "x"}}, clacks.Invalid, "userPassword"},
		"order by secret":  {SearchRequest{OrderBy: "userPassword"}, clacks.Invalid, "userPassword"},
		"binary":           {SearchRequest{Filter: map[string]any{"jpegPhoto": "x"}}, clacks.Invalid, "jpegPhoto"},
		"too many":         {SearchRequest{Filter: many}, clacks.Limit, ""},
		"limit":            {SearchRequest{Limit: MaxLimit + 1}, clacks.Limit, ""},
		"negative limit":   {SearchRequest{Limit: -1}, clacks.Invalid, ""},
		"query":            {SearchRequest{Query: "1 +"}, clacks.Invalid, "query"},
		"failing query":    {SearchRequest{Type: "User", Query: "xs:integer(uid) > 5"}, clacks.Invalid, "fails on cn="},
		"misspelt filter":  {SearchRequest{Filter: map[string]any{"givnName": "x"}}, clacks.Invalid, `did you mean "givenName"`},
		"misspelt name":    {SearchRequest{Attributes: []string{"givnName"}}, clacks.Invalid, `did you mean "givenName"`},
		"error()":          {SearchRequest{Type: "User", Query: "error()"}, clacks.Invalid, "FOER0000"},
		"cursor":           {SearchRequest{Type: "User", Cursor: "x"}, clacks.Invalid, "cursor"},
		"another search":   {SearchRequest{Type: "User", Base: people, Cursor: page.Cursor}, clacks.Invalid, "cursor"},
		"changed cursor":   {SearchRequest{Type: "User", Cursor: page.Cursor[:len(page.Cursor)-1] + "A"}, clacks.Invalid, "cursor"},
	} {
		_, err := w.Search(t.Context(), admin, test.q)
		if !clacks.IsKind(err, test.kind) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		wantKind(t, err, test.kind, test.part)
	}
	other := access.User{ID: "other", Admin: true}
	if _, err := w.Search(t.Context(), other, SearchRequest{Type: "User", Cursor: page.Cursor}); err == nil {
		t.Error("another user's cursor is taken")
	}
}

func TestSearchRights(t *testing.T) {
	w, _ := searchWorld(t)
	anna, err := w.Search(t.Context(), admin, SearchRequest{Filter: map[string]any{"uid": "anna"}})
	if err != nil {
		t.Fatal(err)
	}
	self := access.User{ID: "anna", UUID: anna.Objects[0].UUID, DN: anna.Objects[0].DN}
	r, err := w.Search(t.Context(), self, SearchRequest{Type: "User", Total: true})
	if err != nil || !slices.Equal(uids(r), []string{"anna"}) || r.Total != 1 || r.Cursor != "" {
		t.Errorf("%+v, %v", r, err)
	}
	r, err = w.Search(t.Context(), nobody, SearchRequest{Total: true})
	if err != nil || len(r.Objects) != 0 || r.Total != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	w.limits.Scan = 2
	if _, err := w.Search(t.Context(), nobody, SearchRequest{Total: true, Limit: 1}); err == nil {
		t.Error("a count over the budget is answered")
	}
}

func TestSearchLeavesOut(t *testing.T) {
	w := newWorld(t)
	attributes := person("ada")
	attributes["userPassword"] = "open sesame"
	w.create("User", w.house(), attributes)
	r, err := w.Search(t.Context(), admin, SearchRequest{Type: "User", Attributes: []string{"uid", "sn"}})
	if err != nil || len(r.Objects) != 1 || len(r.Objects[0].Values) != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	r, err = w.Search(t.Context(), admin, SearchRequest{Type: "User"})
	if err != nil || r.Objects[0].Values["userPassword"] != nil || r.Objects[0].Values["cn"] == nil {
		t.Errorf("%+v, %v", r, err)
	}
	if v := w.view(r.Objects[0].UUID); v.Values["userPassword"] != nil {
		t.Errorf("%+v", v.Values)
	}
	if _, err := w.Update(t.Context(), admin, UpdateRequest{ID: r.Objects[0].UUID, Changes: map[string]any{"userPassword": "open sesame 2"}}); err != nil {
		t.Fatal(err)
	}
	events := w.events()
	told := events[len(events)-1].Attributes
	if len(told) != 1 || told[0].Name != "userPassword" || told[0].Old != nil || told[0].New != nil {
		t.Errorf("the event of a changed password: %+v", told)
	}
	for _, table := range []string{"clacks_objects", "clacks_values", "clacks_unique", "clacks_events", "clacks_journal"} {
		if text := w.dump(table); strings.Contains(text, "open sesame") || !strings.Contains(text, "User") && table == "clacks_objects" {
			t.Errorf("%s holds the secret: %s", table, text)
		}
	}
}

// dump is all that a table of the state database holds, as text.
func (w *world) dump(table string) string {
	w.t.Helper()
	columns := map[string]string{
		"clacks_objects": "uuid || dn || type || document || guards || keys", "clacks_values": "attribute || value_key",
		"clacks_unique": "attribute || value_key", "clacks_events": "document", "clacks_journal": "header || CAST(plan AS TEXT) || COALESCE(result, '')",
	}[table]
	var b strings.Builder
	err := w.state.Query(w.t.Context(), "SELECT "+columns+" FROM "+table, nil, func(scan func(...any) error) error {
		var text string
		err := scan(&text)
		b.WriteString(text)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return b.String()
}
