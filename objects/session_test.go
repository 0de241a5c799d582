package objects

import (
	"slices"
	"testing"
	"time"

	"clacks"
	"clacks/access"
)

func TestSession(t *testing.T) {
	w := newWorld(t)
	people := w.house()
	x, err := w.OpenNew(t.Context(), admin, "login", "User", people)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.Commit(t.Context()); err == nil {
		t.Fatal("an empty user was created")
	}
	for name, value := range person("ada", "badgeNumber", "B-1111") {
		if err := x.Set(t.Context(), name, value); err != nil {
			t.Fatalf("set %s: %v", name, err)
		}
	}
	wantKind(t, x.Set(t.Context(), "badgeNumber", "nonsense"), clacks.Invalid, "badgeNumber")
	wantKind(t, x.Set(t.Context(), "nonsense", "x"), clacks.Invalid, "nonsense")
	wantKind(t, x.Set(t.Context(), "displayName", "x"), clacks.Invalid, "displayName")
	made, err := x.Commit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	again, err := x.Commit(t.Context())
	if err != nil || *again != *made {
		t.Errorf("the second commit: %+v, %v", again, err)
	}
	st, err := x.State()
	if err != nil || st.UUID != made.UUID || st.Version != "1" || st.Values["displayName"][0] != "ada Person" {
		t.Errorf("state %+v, %v", st, err)
	}
	if _, err := w.Session("somebody else", x.Ref()); err == nil {
		t.Error("another login finds the session")
	}
	if found, err := w.Session("login", x.Ref()); err != nil || found != x {
		t.Errorf("found %v, %v", found, err)
	}
	if n := len(w.events()); n != 2 {
		t.Errorf("%d events", n)
	}
}

func TestSessionsMeet(t *testing.T) {
	w := newWorld(t)
	ada := w.create("User", w.house(), person("ada"))
	open := func() *Session {
		x, err := w.Open(t.Context(), admin, "login", ada.UUID)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	one, two, three := open(), open(), open()
	for x, change := range map[*Session][2]string{one: {"sn", "One"}, two: {"description", "Two"}, three: {"sn", "Three"}} {
		if err := x.Set(t.Context(), change[0], change[1]); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := one.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := two.Commit(t.Context()); err != nil {
		t.Errorf("changes of different attributes do not go together: %v", err)
	}
	_, err := three.Commit(t.Context())
	wantKind(t, err, clacks.Conflict, "sn", "admin")
	if err := three.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if values, _, err := three.Get("description"); err != nil || !slices.Equal(texts(values), []string{"Two"}) {
		t.Errorf("after reload %v, %v", values, err)
	}
	if _, err := three.Remove(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	_, err = three.State()
	wantKind(t, err, clacks.NotFound)
	_, err = one.Commit(t.Context())
	if err == nil { // nothing was changed since: the last outcome again
		err = one.Set(t.Context(), "sn", "again")
	}
	if err != nil {
		t.Fatal(err)
	}
	_, err = one.Commit(t.Context())
	wantKind(t, err, clacks.NotFound)
}

func TestSessionExtensions(t *testing.T) {
	w := newWorld(t)
	ada := w.create("User", w.house(), person("ada"))
	x, err := w.Open(t.Context(), admin, "login", ada.UUID)
	if err != nil {
		t.Fatal(err)
	}
	wantKind(t, x.Extend(t.Context(), "ShadowUser"), clacks.Invalid, "PosixUser")
	if err := x.Extend(t.Context(), "PosixUser"); err != nil {
		t.Fatal(err)
	}
	if err := x.Extend(t.Context(), "ShadowUser"); err != nil {
		t.Fatal(err)
	}
	wantKind(t, x.Retract(t.Context(), "PosixUser"), clacks.InUse)
	info, err := x.Info()
	if err != nil || !info.Extensions["PosixUser"] || info.ExtensionStates["PosixUser"].Allowed || !info.ExtensionStates["ShadowUser"].Allowed {
		t.Errorf("info %+v, %v", info, err)
	}
	for name, value := range map[string]any{"uidNumber": 1000, "gidNumber": 1000, "homeDirectory": "/home/ada"} {
		if err := x.Set(t.Context(), name, value); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := x.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	v := w.view(ada.UUID)
	if !slices.Equal(v.Extensions, []string{"PosixUser", "ShadowUser"}) || v.Values["uidNumber"][0] != int64(1000) {
		t.Errorf("view %+v", v)
	}
	events := w.events()
	if last := events[len(events)-1]; last.ChangeType != "extend" {
		t.Errorf("event %+v", last)
	}
	list, err := x.Attributes()
	if err != nil || !slices.ContainsFunc(list, func(a AttributeInfo) bool { return a.Name == "displayName" && a.ReadOnly }) {
		t.Errorf("attributes %v", err)
	}
	for _, extension := range []string{"ShadowUser", "PosixUser"} {
		if err := x.Retract(t.Context(), extension); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := x.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v := w.view(ada.UUID); len(v.Extensions) != 0 || v.Values["uidNumber"] != nil {
		t.Errorf("view %+v", v)
	}
}

func TestIdleSessionsEnd(t *testing.T) {
	w := newWorld(t)
	w.Background(false)
	ada := w.create("User", w.house(), person("ada"))
	now := time.Now()
	w.now = func() time.Time { return now }
	x, err := w.Open(t.Context(), admin, "login", ada.UUID)
	if err != nil {
		t.Fatal(err)
	}
	var notices []SessionNotice
	w.OnSessionNotice(func(n SessionNotice) { notices = append(notices, n) })
	limits := DefaultLimits
	w.sessions.sweep(now.Add(limits.Idle - limits.Warning - time.Second))
	if len(notices) != 0 {
		t.Fatalf("notices %+v", notices)
	}
	w.sessions.sweep(now.Add(limits.Idle - limits.Warning))
	w.sessions.sweep(now.Add(limits.Idle - limits.Warning + time.Second))
	if len(notices) != 1 || notices[0].Left != limits.Warning || notices[0].UUID != ada.UUID || notices[0].Ref != x.Ref() {
		t.Fatalf("notices %+v", notices)
	}
	now = now.Add(limits.Idle - time.Second)
	if _, err := w.Session("login", x.Ref()); err != nil {
		t.Fatal(err)
	}
	w.sessions.sweep(now.Add(time.Second))
	if len(notices) != 1 {
		t.Fatalf("notices %+v", notices)
	}
	w.sessions.sweep(now.Add(limits.Idle))
	if len(notices) != 2 || notices[1].Left != 0 {
		t.Fatalf("notices %+v", notices)
	}
	_, err = w.Session("login", x.Ref())
	wantKind(t, err, clacks.NotFound)
}

func TestSessionLimitsAndRights(t *testing.T) {
	w := newWorld(t)
	ada := w.create("User", w.house(), person("ada"))
	w.limits.Sessions = 2
	self := access.User{ID: "ada", UUID: ada.UUID, DN: ada.DN}
	for range 2 {
		if _, err := w.Open(t.Context(), self, "login", ada.UUID); err != nil {
			t.Fatal(err)
		}
	}
	_, err := w.Open(t.Context(), self, "login", ada.UUID)
	wantKind(t, err, clacks.Limit)
	w.CloseSessions("login")
	x, err := w.Open(t.Context(), self, "login", ada.UUID)
	if err != nil {
		t.Fatal(err)
	}
	wantKind(t, x.Set(t.Context(), "sn", "Mine"), clacks.Denied, "sn")
	_, err = w.Open(t.Context(), nobody, "login", ada.UUID)
	wantKind(t, err, clacks.Denied)
}
