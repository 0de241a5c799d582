package httpd

import (
	"testing"
	"time"

	"clacks"
	"clacks/access"
	"clacks/internal/store"
	"clacks/internal/testservers"
	"clacks/migrations"
)

func sqlSessions(t *testing.T, url string) *SQLSessions {
	t.Helper()
	db, err := store.Open(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := migrations.Up(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	return NewSQLSessions(db)
}

// Every store keeps the same promises.
func TestSessionStores(t *testing.T) {
	t.Run("memory", func(t *testing.T) { testSessionStore(t, NewMemorySessions()) })
	t.Run("sqlite", func(t *testing.T) { testSessionStore(t, sqlSessions(t, "sqlite:"+t.TempDir()+"/s.db")) })
	t.Run("postgres", func(t *testing.T) { testSessionStore(t, sqlSessions(t, testservers.SharedPostgres(t).NewDatabase(t))) })
}

func testSessionStore(t *testing.T, s SessionStore) {
	ctx := t.Context()
	now := time.UnixMicro(1795146662123456)
	jane := SessionRecord{Hash: "h1", User: access.User{ID: "jane", UUID: "u", DN: "cn=Jane,dc=x", Admin: true}, Created: now,
		Seen: now, Expires: now.Add(time.Hour)}
	other := SessionRecord{Hash: "h2", User: access.User{ID: "o"}, Created: now, Seen: now, Expires: now.Add(time.Minute)}
	for _, r := range []SessionRecord{jane, other} {
		if err := s.Create(ctx, r); err != nil {
			t.Fatal(err)
		}
	}
	same := func(got, want SessionRecord) bool {
		return got.Hash == want.Hash && got.User == want.User && got.Created.Equal(want.Created) && got.Seen.Equal(want.Seen) &&
			got.Expires.Equal(want.Expires)
	}
	for _, want := range []SessionRecord{jane, other} {
		if got, err := s.Get(ctx, want.Hash); err != nil || !same(got, want) {
			t.Errorf("got %+v, %v; want %+v", got, err, want)
		}
	}
	if _, err := s.Get(ctx, "h3"); !clacks.IsKind(err, clacks.NotFound) {
		t.Errorf("an unknown session: %v", err)
	}
	jane.Seen, jane.Expires = now.Add(time.Second), now.Add(2*time.Hour)
	if err := s.Touch(ctx, "h1", jane.Seen, jane.Expires); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get(ctx, "h1"); err != nil || !same(got, jane) {
		t.Errorf("touched: %+v, %v", got, err)
	}
	for at, want := range map[time.Duration]int{0: 2, time.Minute: 2, time.Minute + 1000: 1, 3 * time.Hour: 0} {
		if n, err := s.Count(ctx, now.Add(at)); n != want || err != nil {
			t.Errorf("%d sessions after %v, %v", n, at, err)
		}
	}
	if err := s.Sweep(ctx, now.Add(time.Minute+time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(ctx, "h2"); !clacks.IsKind(err, clacks.NotFound) {
		t.Errorf("an expired session is still there: %v", err)
	}
	for range 2 {
		if err := s.Delete(ctx, "h1"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Get(ctx, "h1"); !clacks.IsKind(err, clacks.NotFound) {
		t.Errorf("a deleted session is still there: %v", err)
	}
	if err := s.Touch(ctx, "h1", now, now); err != nil {
		t.Errorf("touching what is gone: %v", err)
	}
	if _, err := s.Get(ctx, "h1"); !clacks.IsKind(err, clacks.NotFound) {
		t.Errorf("touching brought a session back: %v", err)
	}
}
