package objects

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"clacks"
	"clacks/access"
	"clacks/backends"
	"clacks/internal/dn"
	"clacks/objects/journal"
)

func TestVersions(t *testing.T) {
	w := newWorld(t)
	ada := w.create("User", w.house(), person("ada"))
	update := func(version string, changes map[string]any) (*Result, error) {
		return w.Update(t.Context(), access.User{ID: "bob", Admin: true}, UpdateRequest{Write: Write{Version: version}, ID: ada.UUID, Changes: changes})
	}
	if r, err := update("1", map[string]any{"sn": "Two"}); err != nil || r.Version != "2" {
		t.Fatalf("%+v, %v", r, err)
	}
	if r, err := update("2", map[string]any{"title": "Three"}); err != nil || r.Version != "3" {
		t.Fatalf("%+v, %v", r, err)
	}
	_, err := update("2", map[string]any{"sn": "Four"})
	wantKind(t, err, clacks.Conflict, "title", "bob", "version 3")
	if strings.Contains(err.Error(), "sn:") {
		t.Errorf("an older change is named: %v", err)
	}
	_, err = w.Delete(t.Context(), admin, DeleteRequest{Write: Write{Version: "1"}, ID: ada.UUID})
	wantKind(t, err, clacks.Conflict, "title", "sn")
	_, err = w.Move(t.Context(), admin, MoveRequest{Write: Write{Version: "nonsense"}, ID: ada.UUID, RDN: "cn=x"})
	wantKind(t, err, clacks.Conflict)
	if r, err := update("", map[string]any{"title": "Three"}); err != nil || r.Sequence != 0 || r.Version != "3" {
		t.Errorf("a change of nothing: %+v, %v", r, err)
	}
}

func TestDryRun(t *testing.T) {
	w := newWorld(t)
	people := w.house()
	attributes := person("ada", "badgeNumber", "B-1234")
	attributes["userPassword"] = "open sesame"
	before := len(w.events())
	r, err := w.Create(t.Context(), admin, CreateRequest{Write: Write{DryRun: true, IdempotencyKey: "k"}, Type: "User", Base: people, Attributes: attributes})
	if err != nil || r.Plan == nil || len(r.Plan.Steps) != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	entry, row := r.Plan.Steps[0], r.Plan.Steps[1]
	if entry.Entry != "cn=Person ada,"+people || entry.Op != "create" || entry.After["displayName"][0] != "ada Person" || entry.After["userPassword"][0] != masked {
		t.Errorf("%+v", entry)
	}
	if row.Entry != "employees[login=ada]" || row.After["badge_number"][0] != "B-1234" {
		t.Errorf("%+v", row)
	}
	if len(w.events()) != before || w.count("clacks_journal WHERE state = 'prepared'") != 0 || w.count("clacks_unique") != 0 {
		t.Error("a dry run left something behind")
	}
	ada := w.create("User", people, attributes)
	_, err = w.Create(t.Context(), admin, CreateRequest{Write: Write{DryRun: true}, Type: "User", Base: people, Attributes: attributes})
	wantKind(t, err, clacks.NotUnique, "uid", "badgeNumber")
	r, err = w.Delete(t.Context(), admin, DeleteRequest{Write: Write{DryRun: true}, ID: ada.UUID})
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprint(*r.Plan); strings.Contains(text, "open sesame") || strings.Contains(text, "{ARGON2") || !strings.Contains(text, "B-1234") {
		t.Errorf("plan %s", text)
	}
	w.view(ada.UUID)
}

func TestIdempotency(t *testing.T) {
	w := newWorld(t)
	people := w.house()
	request := CreateRequest{Write: Write{IdempotencyKey: "one"}, Type: "User", Base: people, Attributes: person("ada")}
	first, err := w.Create(t.Context(), admin, request)
	if err != nil {
		t.Fatal(err)
	}
	again, err := w.Create(t.Context(), admin, request)
	if err != nil || *again != *first {
		t.Errorf("%+v, %v; first %+v", again, err, first)
	}
	request.Attributes = person("bob")
	_, err = w.Create(t.Context(), admin, request)
	wantKind(t, err, clacks.Invalid, "another request")
	other := access.User{ID: "other", Admin: true}
	if r, err := w.Create(t.Context(), other, request); err != nil || r.UUID == first.UUID {
		t.Errorf("another user's key: %+v, %v", r, err)
	}
	// A request that failed may be tried again: nothing is left of it.
	w.tree.deny = func(backends.Change) error { return clacks.E(clacks.Denied, "test", "not now") }
	bad := CreateRequest{Write: Write{IdempotencyKey: "two"}, Type: "User", Base: people, Attributes: person("eve")}
	_, err = w.Create(t.Context(), admin, bad)
	wantKind(t, err, clacks.Denied)
	w.tree.deny = nil
	if _, err := w.Create(t.Context(), admin, bad); err != nil {
		t.Error(err)
	}
	// Many at once: one runs, all have its outcome.
	var wait sync.WaitGroup
	outcomes := make([]*Result, 8)
	for i := range outcomes {
		wait.Go(func() {
			var err error
			outcomes[i], err = w.Create(t.Context(), admin, CreateRequest{Write: Write{IdempotencyKey: "many"}, Type: "User", Base: people, Attributes: person("zoe")})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	for _, r := range outcomes[1:] {
		if r == nil || *r != *outcomes[0] {
			t.Errorf("%+v is not %+v", r, outcomes[0])
		}
	}
	w.oracle(w.Service)
}

func TestUniqueRace(t *testing.T) {
	w := newWorld(t)
	people := w.house()
	const rounds, racers = 40, 4
	for round := range rounds {
		var won atomic.Int64
		var wait sync.WaitGroup
		for i := range racers {
			wait.Go(func() {
				attributes := person(fmt.Sprintf("u%dx%d", round, i), "badgeNumber", fmt.Sprintf("B-%04d", round))
				_, err := w.Create(t.Context(), admin, CreateRequest{Type: "User", Base: people, Attributes: attributes})
				if err == nil {
					won.Add(1)
				} else if !clacks.IsKind(err, clacks.NotUnique) || !strings.Contains(err.Error(), "badgeNumber") {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		if won.Load() != 1 {
			t.Fatalf("round %d: %d winners", round, won.Load())
		}
	}
	w.oracle(w.Service)
}

func TestNames(t *testing.T) {
	w := newWorld(t)
	people := w.house()
	ada := func(uid string) map[string]any {
		return map[string]any{"uid": uid, "cn": "Ada, Countess", "sn": "Lovelace"}
	}
	one, two := w.create("User", people, ada("one")), w.create("User", people, ada("two"))
	if one.DN != `cn=Ada\, Countess,`+people || two.DN != `cn=Ada\, Countess+uid=two,`+people {
		t.Errorf("%s, %s", one.DN, two.DN)
	}
	r, err := w.Update(t.Context(), admin, UpdateRequest{ID: two.UUID, Changes: map[string]any{"uid": "three"}})
	if err != nil || r.DN != `cn=Ada\, Countess+uid=three,`+people {
		t.Errorf("%+v, %v", r, err)
	}
	if v := w.view(r.DN); v.Values["cn"][0] != "Ada, Countess" || v.UUID != two.UUID {
		t.Errorf("%+v", v)
	}
	// Another spelling of the name is the same name.
	r, err = w.Update(t.Context(), admin, UpdateRequest{ID: one.UUID, Changes: map[string]any{"cn": "ADA, Countess"}})
	if err != nil || !dn.Equal(r.DN, one.DN) || w.view(one.UUID).Values["cn"][0] != "ADA, Countess" {
		t.Errorf("%+v, %v", r, err)
	}
	// A name that the directory has and the index has not.
	key, _ := dn.Key("cn=Hidden," + people)
	w.tree.entries[key] = &backends.Entry{Ref: backends.Ref{DN: "cn=Hidden," + people, UUID: newUUID()}, Values: backends.Values{"cn": {"Hidden"}}}
	hidden := w.create("User", people, map[string]any{"uid": "hid", "cn": "Hidden", "sn": "x"})
	if hidden.DN != "cn=Hidden+uid=hid,"+people {
		t.Errorf("%s", hidden.DN)
	}
	_, err = w.Create(t.Context(), admin, CreateRequest{Type: "PeopleContainer", Base: testBase})
	wantKind(t, err, clacks.NotUnique)
	delete(w.tree.entries, key)
	w.oracle(w.Service)
}

func TestMoves(t *testing.T) {
	w := newWorld(t)
	people := w.house()
	ou := w.create("OrganizationalUnit", testBase, map[string]any{"ou": "a"})
	inner := w.create("OrganizationalUnit", ou.DN, map[string]any{"ou": "b"})
	ada := w.create("User", people, person("ada"))
	move := func(id, base, rdn string) error {
		_, err := w.Move(t.Context(), admin, MoveRequest{ID: id, Base: base, RDN: rdn})
		return err
	}
	wantKind(t, move(ou.UUID, inner.DN, ""), clacks.Invalid, "below itself")
	groups := w.create("GroupContainer", testBase, nil).DN
	wantKind(t, move(ada.UUID, groups, ""), clacks.Invalid, "may not hold")
	wantKind(t, move(ou.UUID, "ou=none,"+testBase, ""), clacks.NotFound)
	wantKind(t, move(ou.UUID, "dc=elsewhere", ""), clacks.Invalid)
	wantKind(t, move(people, "", "ou=folks"), clacks.Invalid, "fixed")
	wantKind(t, move(ada.UUID, "", "sn=Person"), clacks.Invalid, "sn")
	wantKind(t, move(ada.UUID, "", "nonsense"), clacks.Invalid)
	wantKind(t, move(newUUID(), testBase, ""), clacks.NotFound)
	if err := move(ada.UUID, inner.DN, "cn=Countess"); err != nil {
		t.Fatal(err)
	}
	v := w.view("cn=Countess," + inner.DN)
	if v.UUID != ada.UUID || v.Values["cn"][0] != "Countess" {
		t.Errorf("%+v", v)
	}
	if err := move(ou.UUID, "", "ou=c"); err != nil {
		t.Fatal(err)
	}
	if err := move(inner.UUID, testBase, ""); err != nil {
		t.Fatal(err)
	}
	if v := w.view("cn=Countess,ou=b," + testBase); v.UUID != ada.UUID || v.Version != "4" {
		t.Errorf("%+v", v)
	}
	before := len(w.events())
	if err := move(ada.UUID, "ou=b,"+testBase, "cn=Countess"); err != nil || len(w.events()) != before {
		t.Errorf("a move to the same place: %v", err)
	}
	w.oracle(w.Service)
}

func TestEverythingWrongIsNamed(t *testing.T) {
	w := newWorld(t)
	people := w.house()
	_, err := w.Create(t.Context(), admin, CreateRequest{Type: "User", Base: people, Attributes: map[string]any{
		"uid": "a b", "costCenter": "x", "badgeNumber": "nonsense", "nonsense": 1, "givenName": []any{"one", "two"}, "displayName": "x",
	}})
	var e *clacks.Error
	if !errors.As(err, &e) || e.Kind != clacks.Invalid || e.Type != "User" {
		t.Fatalf("%v", err)
	}
	var names []string
	for _, f := range e.Fields {
		names = append(names, f.Attribute)
	}
	for _, name := range []string{"uid", "cn", "sn", "costCenter", "badgeNumber", "nonsense", "givenName", "displayName"} {
		if !slices.Contains(names, name) {
			t.Errorf("%s is not named: %v", name, e.Fields)
		}
	}
	for name, q := range map[string]CreateRequest{
		"type":      {Type: "Usr", Base: people},
		"extension": {Type: "PosixUser", Base: people},
		"base":      {Type: "User", Base: "nonsense"},
		"above":     {Type: "User", Base: "dc=net"},
		"container": {Type: "GroupOfNames", Base: people, Attributes: map[string]any{"cn": "x", "member": people}},
		"unknown":   {Type: "User", Base: people, Attributes: person("ada"), Extensions: []string{"Nonsense"}},
		"requires":  {Type: "User", Base: people, Attributes: person("ada"), Extensions: []string{"ShadowUser"}},
	} {
		if _, err := w.Create(t.Context(), admin, q); !clacks.IsKind(err, clacks.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err = w.Create(t.Context(), admin, CreateRequest{Type: "User", Base: "ou=none," + testBase, Attributes: person("ada")})
	wantKind(t, err, clacks.NotFound)
	if n := w.count("clacks_journal"); n != 1 {
		t.Errorf("%d journal rows: something was prepared before it was checked", n)
	}
}

func TestRights(t *testing.T) {
	w := newWorld(t)
	people := w.house()
	ada := w.create("User", people, person("ada"))
	self := access.User{ID: "ada", UUID: ada.UUID, DN: ada.DN}
	if v, err := w.Get(t.Context(), self, ada.UUID, nil); err != nil || v.Values["sn"] == nil {
		t.Errorf("himself: %+v, %v", v, err)
	}
	for _, user := range []access.User{self, nobody} {
		_, err := w.Create(t.Context(), user, CreateRequest{Type: "User", Base: people, Attributes: person("bob")})
		wantKind(t, err, clacks.Denied)
		_, err = w.Update(t.Context(), user, UpdateRequest{ID: ada.UUID, Changes: map[string]any{"sn": "x", "cn": "y"}})
		if user == self { // only who may see the object is told more
			wantKind(t, err, clacks.Denied, "sn", "cn")
		}
		wantKind(t, err, clacks.Denied)
		_, err = w.Update(t.Context(), user, UpdateRequest{ID: ada.UUID, Extend: []string{"PosixUser"}})
		wantKind(t, err, clacks.Denied)
		_, err = w.Move(t.Context(), user, MoveRequest{ID: ada.UUID, Base: testBase})
		wantKind(t, err, clacks.Denied)
		_, err = w.Delete(t.Context(), user, DeleteRequest{ID: ada.UUID})
		wantKind(t, err, clacks.Denied)
		_, err = w.Get(t.Context(), user, people, nil)
		wantKind(t, err, clacks.Denied)
	}
	// What does not exist is answered as what may not be seen.
	// So is what has objects below it: whether it has any is not for everybody.
	for _, id := range []string{ada.UUID, ada.DN, people, newUUID(), "cn=nobody," + people} {
		_, get := w.Get(t.Context(), nobody, id, nil)
		_, update := w.Update(t.Context(), nobody, UpdateRequest{ID: id, Changes: map[string]any{"sn": "x"}, Write: Write{Version: "77"}})
		_, remove := w.Delete(t.Context(), nobody, DeleteRequest{ID: id})
		_, move := w.Move(t.Context(), nobody, MoveRequest{ID: id, Base: testBase})
		for _, err := range []error{get, update, remove, move} {
			var e *clacks.Error
			if !errors.As(err, &e) || e.Kind != clacks.Denied || e.Type != "" || e.Fields != nil || e.Reason != "this is not allowed" {
				t.Errorf("%s: %+v", id, err)
			}
		}
	}
	_, err := w.Get(t.Context(), admin, ada.UUID, []string{"nonsense"})
	wantKind(t, err, clacks.Invalid, "nonsense")
	_, err = w.Update(t.Context(), admin, UpdateRequest{ID: ada.DN, Changes: map[string]any{"mail": map[string]any{"add": "a@b", "remov": "x"}}})
	wantKind(t, err, clacks.Invalid, `mail: a change has the members add and remove, not "remov"; did you mean "remove"?`)
	_, err = w.Update(t.Context(), admin, UpdateRequest{ID: ada.DN, Changes: map[string]any{"uidNumber": 5}})
	wantKind(t, err, clacks.Invalid, "uidNumber: belongs to the extension PosixUser, which the object does not have")
	if v, err := w.Get(t.Context(), admin, ada.DN, []string{"sn", "uidNumber"}); err != nil || len(v.Values) != 1 {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestMembersGoTogether(t *testing.T) {
	w := newWorld(t)
	people := w.house()
	var members []any
	for i := range 12 {
		members = append(members, w.create("User", people, person(fmt.Sprintf("u%d", i))).DN)
	}
	group := w.create("GroupOfNames", testBase, map[string]any{"cn": "g", "member": members[:1]})
	var wait sync.WaitGroup
	for _, member := range members[1:] {
		wait.Go(func() {
			if _, err := w.Update(t.Context(), admin, UpdateRequest{ID: group.UUID, Changes: map[string]any{"member": map[string]any{"add": []any{member}}}}); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if v := w.view(group.UUID); len(v.Values["member"]) != len(members) {
		t.Errorf("%d members", len(v.Values["member"]))
	}
	// All leave but one.
	for _, member := range members[1:] {
		wait.Go(func() {
			if _, err := w.Delete(t.Context(), admin, DeleteRequest{ID: member.(string)}); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if v := w.view(group.UUID); len(v.Values["member"]) != 1 {
		t.Errorf("%d members", len(v.Values["member"]))
	}
	w.oracle(w.Service)
}

func TestSpellingOfReferences(t *testing.T) {
	w := newWorld(t)
	people := w.house()
	ada := w.create("User", people, person("ada"))
	group := w.create("GroupOfNames", testBase, map[string]any{"cn": "g", "member": []any{"CN=person ADA , ou=People,dc=example, dc=net"}})
	if _, err := w.Update(t.Context(), admin, UpdateRequest{ID: ada.UUID, Changes: map[string]any{"cn": "New"}}); err != nil {
		t.Fatal(err)
	}
	if v := w.view(group.UUID); v.Values["member"][0] != "cn=New,"+people {
		t.Errorf("%v", v.Values["member"])
	}
	// Who refers to himself.
	boss := w.create("User", people, person("boss"))
	if _, err := w.Update(t.Context(), admin, UpdateRequest{ID: boss.UUID, Changes: map[string]any{"manager": boss.DN}}); err != nil {
		t.Fatal(err)
	}
	r, err := w.Update(t.Context(), admin, UpdateRequest{ID: boss.UUID, Changes: map[string]any{"cn": "Boss"}})
	if err != nil {
		t.Fatal(err)
	}
	if v := w.view(boss.UUID); v.Values["manager"][0] != r.DN {
		t.Errorf("%v", v.Values["manager"])
	}
	w.oracle(w.Service)
}

func TestCommitsOfOthersAreSeen(t *testing.T) {
	w := newWorld(t)
	people := w.house()
	ada := w.create("User", people, person("ada"))
	config := w.config
	config.Owner = "two"
	w.config = config
	other := w.start()
	w.watchOthers(t.Context())
	if _, err := other.Update(t.Context(), admin, UpdateRequest{ID: ada.UUID, Changes: map[string]any{"cn": "Other", "badgeNumber": "B-0001"}}); err != nil {
		t.Fatal(err)
	}
	if v := w.view(ada.UUID); v.DN != "cn=Other,"+people || v.Version != "2" {
		t.Errorf("%+v", v)
	}
	_, err := w.Get(t.Context(), admin, ada.DN, nil)
	wantKind(t, err, clacks.NotFound)
	var wait sync.WaitGroup
	for i, s := range []*Service{w.Service, other, w.Service, other} {
		wait.Go(func() {
			for n := range 5 {
				if _, err := s.Update(t.Context(), admin, UpdateRequest{ID: ada.UUID, Changes: map[string]any{
					[]string{"title", "roomNumber", "l", "sn"}[i]: fmt.Sprint(n + 1)}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	if v := w.view(ada.UUID); v.Version != "22" {
		t.Errorf("version %s", v.Version)
	}
	w.oracle(other)
}

func TestClaimedOperationsDoNotCommit(t *testing.T) {
	w := newWorld(t)
	ada := w.create("User", w.house(), person("ada"))
	before := len(w.events())
	// While the commit is between prepare and its commit point, another agent takes its operation over.
	w.table.deny = func(backends.Change) error {
		records, err := w.journal.Pending(t.Context())
		if err != nil || len(records) != 0 {
			t.Errorf("a running operation is pending: %v, %v", records, err)
		}
		if _, err := w.state.Exec(t.Context(), statement(`UPDATE clacks_journal SET owner = 'thief' WHERE state = 'prepared'`)); err != nil {
			t.Error(err)
		}
		return nil
	}
	_, err := w.Update(t.Context(), admin, UpdateRequest{ID: ada.UUID, Changes: map[string]any{"sn": "X", "badgeNumber": "B-1234"}})
	wantKind(t, err, clacks.InDoubt)
	if len(w.events()) != before {
		t.Error("a claimed operation was committed")
	}
	w.table.deny = nil
	// The thief never lived: its operation is anybody's, and is finished by what the entries show.
	if err := w.recoverPending(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v := w.view(ada.UUID); v.Values["sn"][0] != "X" || len(w.events()) != before+1 {
		t.Errorf("%+v", v.Values)
	}
	w.oracle(w.Service)
}

func TestWritesOfOthersAreNotOverwritten(t *testing.T) {
	w := newWorld(t)
	w.Background(false)
	ada := w.create("User", w.house(), person("ada", "badgeNumber", "B-1234"))
	before := len(w.events())
	// The second step is refused; meanwhile somebody else has written what the first one wrote.
	w.table.deny = func(backends.Change) error {
		key, _ := dn.Key(ada.DN)
		e := w.tree.entries[key]
		e.Values["sn"], e.Version = []any{"Somebody Else"}, "theirs"
		return clacks.E(clacks.Invalid, "test", "too long")
	}
	_, err := w.Update(t.Context(), admin, UpdateRequest{ID: ada.UUID, Changes: map[string]any{"sn": "Mine", "badgeNumber": "B-4321"}})
	wantKind(t, err, clacks.InDoubt)
	w.table.deny = nil
	if v := w.view(ada.UUID); v.Values["sn"][0] != "Somebody Else" || len(w.events()) != before {
		t.Errorf("%+v", v.Values)
	}
	if w.count("clacks_journal WHERE state = 'parked'") != 1 || w.count("clacks_locks") != 0 || w.Statistics().Parked != 1 {
		t.Error("the operation is not parked")
	}
	if _, err := w.Update(t.Context(), admin, UpdateRequest{ID: ada.UUID, Changes: map[string]any{"sn": "Later"}}); err != nil {
		t.Error(err)
	}
}

func TestOthersAddMeanwhile(t *testing.T) {
	w := newWorld(t)
	people := w.house()
	ada, bob := w.create("User", people, person("ada")), w.create("User", people, person("bob"))
	group := w.create("GroupOfNames", testBase, map[string]any{"cn": "g", "member": []any{ada.DN}})
	key, _ := dn.Key(group.DN)
	once := sync.Once{}
	w.tree.deny = func(c backends.Change) error {
		once.Do(func() { // between our reading and our writing
			e := w.tree.entries[key]
			e.Values["member"], e.Version = append(slices.Clone(e.Values["member"]), any("cn=theirs")), "theirs"
		})
		return nil
	}
	if _, err := w.Update(t.Context(), admin, UpdateRequest{ID: group.UUID, Changes: map[string]any{"member": ListChange{Add: []any{bob.DN}}}}); err != nil {
		t.Fatal(err)
	}
	if v := w.view(group.UUID); !slices.Equal(texts(v.Values["member"]), []string{ada.DN, bob.DN, "cn=theirs"}) {
		t.Errorf("%v", v.Values["member"])
	}
}

func TestStrangersAreAdopted(t *testing.T) {
	w := newWorld(t)
	people := w.house()
	name := "cn=Stranger," + people
	key, _ := dn.Key(name)
	w.tree.entries[key] = &backends.Entry{Ref: backends.Ref{DN: name, UUID: newUUID()}, Version: "7", Values: backends.Values{
		"objectClass": {"top", "person", "organizationalPerson", "inetOrgPerson"}, "cn": {"Stranger"}, "sn": {"S"}, "uid": {"stranger"},
	}}
	w.table.table("employees")["stranger"] = &backends.Entry{Ref: backends.Ref{Table: "employees", Column: "login", Key: "stranger"},
		Values: backends.Values{"badge_number": {"B-7777"}}}
	v := w.view(name)
	if v.Type != "User" || v.Values["badgeNumber"][0] != "B-7777" || v.Version != "1" {
		t.Errorf("%+v", v)
	}
	if got := w.find(SearchRequest{Filter: map[string]any{"badgeNumber": "B-7777"}}); !slices.Equal(got, []string{"stranger"}) {
		t.Errorf("found %v", got)
	}
	_, err := w.Create(t.Context(), admin, CreateRequest{Type: "User", Base: people, Attributes: person("stranger")})
	wantKind(t, err, clacks.NotUnique, "uid")
	// Somebody renames it behind our back.
	w.tree.mu.Lock()
	if err := w.tree.rename(key, w.tree.entries[key], "cn=Renamed,"+people); err != nil {
		t.Fatal(err)
	}
	w.tree.mu.Unlock()
	if found := w.view(v.UUID); found.DN != "cn=Renamed,"+people || found.Version != "2" {
		t.Errorf("%+v", found)
	}
	if _, err := w.Update(t.Context(), admin, UpdateRequest{ID: v.UUID, Changes: map[string]any{"sn": "T"}}); err != nil {
		t.Error(err)
	}
	w.oracle(w.Service)
	// Somebody removes it and gives its name to another.
	w.tree.mu.Lock()
	key, _ = dn.Key("cn=Renamed," + people)
	heir := *w.tree.entries[key]
	heir.UUID, heir.Version, heir.Values = newUUID(), "99", maps.Clone(heir.Values)
	heir.Values["uid"] = []any{"heir"}
	w.tree.entries[key] = &heir
	delete(w.table.rows["employees"], "stranger")
	w.tree.mu.Unlock()
	if found := w.view("cn=Renamed," + people); found.UUID != heir.UUID || found.Values["uid"][0] != "heir" {
		t.Errorf("%+v", found)
	}
	_, err = w.Get(t.Context(), admin, v.UUID, nil)
	wantKind(t, err, clacks.NotFound)
	w.oracle(w.Service)
	_, err = w.Get(t.Context(), admin, newUUID(), nil)
	wantKind(t, err, clacks.NotFound)
	_, err = w.Get(t.Context(), admin, "dc=elsewhere", nil)
	wantKind(t, err, clacks.NotFound)
	_, err = w.Get(t.Context(), admin, "nonsense", nil)
	wantKind(t, err, clacks.Invalid)
}

func TestIndexIsBuiltOnce(t *testing.T) {
	w := newWorld(t)
	people := w.house()
	ada := w.create("User", people, person("ada", "badgeNumber", "B-1234"))
	for _, table := range []string{"clacks_objects", "clacks_values", "clacks_unique", "clacks_index_state"} {
		if _, err := w.state.Exec(t.Context(), statement(`DELETE FROM `+table)); err != nil {
			t.Fatal(err)
		}
	}
	w.tree.reads = 0
	s := w.start()
	v, err := s.Get(t.Context(), admin, ada.UUID, nil)
	if err != nil || v.Values["badgeNumber"][0] != "B-1234" || v.DN != ada.DN {
		t.Fatalf("%+v, %v", v, err)
	}
	_, err = s.Create(t.Context(), admin, CreateRequest{Type: "User", Base: people, Attributes: person("eve", "badgeNumber", "B-1234")})
	wantKind(t, err, clacks.NotUnique, "badgeNumber")
	rows, err := s.findRows(t.Context(), `1 = 1`)
	if err != nil || len(rows) != 3 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
	w.faults.arm(1<<30, refuse)
	w.startQuietly()
	w.faults.mu.Lock()
	defer w.faults.mu.Unlock()
	if w.faults.count > 6 {
		t.Errorf("a restart with an index has %d operations", w.faults.count)
	}
}

func TestStartWhileStoresAreDown(t *testing.T) {
	w := newWorld(t)
	ada := w.create("User", w.house(), person("ada"))
	if _, err := w.state.Exec(t.Context(), statement(`DELETE FROM clacks_index_state`)); err != nil {
		t.Fatal(err)
	}
	s := w.newService()
	s.limits.Background = 1_000_000 // a millisecond
	w.faults.arm(3, dead)
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	if err := s.Ready(); err == nil {
		t.Fatal("it is ready without its stores")
	}
	_, err := s.Get(t.Context(), admin, ada.UUID, nil)
	wantKind(t, err, clacks.Unavailable)
	w.faults.arm(0, refuse)
	for s.Ready() != nil {
		if t.Context().Err() != nil {
			t.Fatal(s.Ready())
		}
	}
	if _, err := s.Get(t.Context(), admin, ada.UUID, nil); err != nil {
		t.Error(err)
	}
}

func TestNextNumber(t *testing.T) {
	w := newWorld(t)
	people := w.house()
	next := func(from int64) int64 {
		n, err := w.NextNumber(t.Context(), "User", "costCenter", from)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for i, n := range []int64{10, 11, 13} {
		attributes := person(fmt.Sprintf("u%d", i))
		attributes["costCenter"] = n
		w.create("User", people, attributes)
	}
	if a, b, c := next(10), next(10), next(10); a != 12 || b != 14 || c != 15 {
		t.Errorf("%d, %d, %d", a, b, c)
	}
	if n := next(5); n != 5 {
		t.Errorf("%d", n)
	}
	if n := next(-3); n != -3 {
		t.Errorf("%d", n)
	}
	if _, err := w.Delete(t.Context(), admin, DeleteRequest{ID: "cn=Person u0," + people}); err != nil {
		t.Fatal(err)
	}
	if n := next(10); n != 10 {
		t.Errorf("%d is not the one that became free", n)
	}
	o, err := w.Object(t.Context(), "User", "uid", "u1")
	if err != nil || o == nil || o.Values["costCenter"][0] != int64(11) {
		t.Errorf("%+v, %v", o, err)
	}
	if o, err := w.Object(t.Context(), "User", "uid", "none"); err != nil || o != nil {
		t.Errorf("%+v, %v", o, err)
	}
}

// Sealed plans are of no use with another key.
func TestAnotherKey(t *testing.T) {
	w := newWorld(t)
	const operation = "op"
	if err := w.journal.Prepare(t.Context(), journal.Intent{Operation: operation, Plan: []byte("plan"), Locks: []string{"u"}}); err != nil {
		t.Fatal(err)
	}
	other, err := journal.New(w.db, []byte("another key of thirty-two bytes!"), "one", w.now)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := w.journal.Get(t.Context(), operation); err != nil || string(r.Plan) != "plan" {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := other.Get(t.Context(), operation); err == nil {
		t.Error("another key opens the plan")
	}
}
