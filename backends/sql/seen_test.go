package sql_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"clacks"
	"clacks/backends"
	"clacks/backends/sql"
	"clacks/internal/testservers"
)

// TestSeen: a change from what was read some time ago is refused when any of that is another now, and whatever it writes.
func TestSeen(t *testing.T) {
	const tables = `CREATE TABLE staff (login TEXT PRIMARY KEY, badge TEXT, level BIGINT, since TIMESTAMP, rate DOUBLE PRECISION, active BOOLEAN, photo {bytes});
CREATE TABLE phones (staff TEXT NOT NULL, number TEXT);
CREATE TABLE mails (staff TEXT NOT NULL, mail BIGINT)`
	t.Run("sqlite", func(t *testing.T) {
		testSeen(t, open(t, "sqlite:"+t.TempDir()+"/x.db", strings.ReplaceAll(tables, "{bytes}", "BLOB")))
	})
	t.Run("postgres", func(t *testing.T) {
		testSeen(t, open(t, testservers.SharedPostgres(t).NewDatabase(t), strings.ReplaceAll(tables, "{bytes}", "BYTEA")))
	})
}

func testSeen(t *testing.T, b *sql.Backend) {
	then := backends.Values{
		"login": {"ann"}, "badge": {"x"}, "level": {int64(3)}, "since": {time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}, "rate": {1.5},
		"active": {true}, "photo": {[]byte{0, 255}}, "phones/number": {"1", "2"}, "mails/mail": {},
	}
	apply(t, b, backends.Change{Op: backends.OpCreate, Ref: staff("ann"), Add: without(then, "mails/mail")})
	modify := func(seen backends.Values, mods ...backends.Mod) error {
		_, err := b.Apply(t.Context(), backends.Change{Op: backends.OpModify, Ref: staff("ann"), Mods: mods, Guard: backends.Guard{Seen: seen}})
		return err
	}
	badge := backends.Mod{Attribute: "badge", Delete: []any{"x"}, Add: []any{"y"}}
	for name, other := range map[string][]backends.Value{
		"level": {int64(4)}, "since": {time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC)}, "rate": {}, "active": {false}, "photo": {[]byte{0}},
		"phones/number": {"1"}, "mails/mail": {int64(1)}, "badge": {},
	} {
		seen := maps.Clone(then)
		seen[name] = other
		for what, mods := range map[string][]backends.Mod{
			"a column": {badge}, "a child": {{Attribute: "phones/number", Add: []any{"3"}}}, "nothing": nil,
		} {
			if err := modify(seen, mods...); !clacks.IsKind(err, clacks.Conflict) {
				t.Errorf("%s is another, %s is written: %v", name, what, err)
			}
		}
	}
	if err := modify(then); err != nil {
		t.Errorf("nothing is another: %v", err)
	}
	if err := modify(then, badge, backends.Mod{Attribute: "phones/number", Delete: []any{"2"}}); err != nil {
		t.Errorf("nothing is another: %v", err)
	}
	then["badge"], then["phones/number"], then["level"] = []any{"y"}, []any{"1"}, nil
	if err := modify(without(then, "level"), backends.Mod{Attribute: "level", Delete: []any{int64(3)}}); err != nil {
		t.Error(err)
	}
	if err := modify(then, backends.Mod{Attribute: "level", Add: []any{int64(5)}}); err != nil {
		t.Errorf("an empty column is as it was: %v", err)
	}
	if err := modify(backends.Values{"badge": {"y", "z"}}); !clacks.IsKind(err, clacks.Conflict) {
		t.Errorf("two values of a column: %v", err)
	}
	entry, err := b.Read(t.Context(), staff("ann"), []string{"badge", "level", "phones/number"})
	if err != nil || entry.Values["level"][0] != int64(5) || !slices.Equal(entry.Values["phones/number"], []any{"1"}) {
		t.Errorf("%v, %v", entry, err)
	}
}

func without(values backends.Values, name string) backends.Values {
	rest := maps.Clone(values)
	delete(rest, name)
	return rest
}
