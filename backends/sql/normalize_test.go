package sql_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"clacks"
	"clacks/backends"
	"clacks/backends/sql"
	"clacks/internal/testservers"
)

const rewritingPostgres = `CREATE DOMAIN price AS numeric(8,2);
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TABLE v (id text PRIMARY KEY, n numeric(6,2), p price, i inet, m macaddr, j jsonb, k json, u uuid, r real, c char(5), t timestamptz(0),
	w timestamp(3), d date, a text[], e mood, b bigint, g boolean, x bytea, q text, h interval, o point);
CREATE TABLE w (v text, n numeric(6,2), i inet, r real, t timestamptz(0))`

// rewriting are values in forms that PostgreSQL does not keep, and some that it does, with what is read back.
var rewriting = map[string]struct{ given, kept backends.Value }{
	"n": {"1.005", "1.01"}, "p": {" 007.5", "7.50"}, "i": {"2001:DB8:0:0:0:0:0:1", "2001:db8::1/128"}, "m": {"08-00-2B-01-02-03", "08:00:2b:01:02:03"},
	"j": {`{"b":1,  "a":2,"b":3}`, `{"a": 2, "b": 3}`}, "k": {`{"b":1,  "a":2}`, `{"b":1,  "a":2}`},
	"u": {"6BA7B810-9DAD-11D1-80B4-00C04FD430C8", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"}, "r": {0.123456789, 0.12345679}, "c": {"ab", "ab"},
	"t": {time.Date(2024, 1, 2, 3, 4, 5, 600000000, time.UTC), time.Date(2024, 1, 2, 3, 4, 6, 0, time.UTC)},
	"w": {"2024-01-02T03:04:05.6789Z", time.Date(2024, 1, 2, 3, 4, 5, 679000000, time.UTC)},
	"d": {"2024-01-02T23:00:00Z", time.Date(2024, 1, 2, 0, 0, 0, 0, time.UTC)}, "a": {`{ x , "y" }`, `{x,y}`}, "e": {"good", "good"},
	"b": {"007", int64(7)}, "g": {"TRUE", true}, "x": {[]byte{0, 255}, []byte{0, 255}}, "q": {int64(7), "7"}, "h": {"90 minutes", "01:30:00"}, "o": {"( 1, 2.0 )", "(1,2)"},
	"w/n": {"1.005", "1.01"}, "w/i": {"10.0.0.1", "10.0.0.1/32"}, "w/r": {0.123456789, 0.12345679},
	"w/t": {time.Date(2024, 1, 2, 3, 4, 5, 600000000, time.UTC), time.Date(2024, 1, 2, 3, 4, 6, 0, time.UTC)},
}

// TestNormalizePostgres: what Normalize says is what is read back, whether the values were normal when they were written or not.
func TestNormalizePostgres(t *testing.T) {
	b := open(t, testservers.SharedPostgres(t).NewDatabase(t), rewritingPostgres)
	given, kept := backends.Values{}, backends.Values{}
	for name, value := range rewriting {
		given[name], kept[name] = []backends.Value{value.given}, []backends.Value{value.kept}
	}
	holdsNormal(t, b, given, kept)
}

func TestNormalizeSQLite(t *testing.T) {
	b := open(t, "sqlite::memory:", "CREATE TABLE v (id TEXT PRIMARY KEY, n NUMERIC(6,2), m DECIMAL, u UUID, f REAL, y, t TIMESTAMP, b INTEGER, h NUMERIC, z NUMERIC);\n"+
		"CREATE TABLE w (v TEXT, n NUMERIC)")
	given := backends.Values{"n": {"1.50"}, "m": {"007"}, "u": {"6BA7B810-9DAD"}, "f": {"1.50"}, "y": {"1.50"}, "t": {"2024-01-02T03:04:05+01:00"}, "b": {"007"},
		"h": {"0x10"}, "z": {"1.5 euros"}, "w/n": {"1.50", "2.0", "x"}}
	kept := backends.Values{"n": {"1.5"}, "m": {"7"}, "u": {"6BA7B810-9DAD"}, "f": {1.5}, "y": {"1.50"}, "t": {time.Date(2024, 1, 2, 2, 4, 5, 0, time.UTC)}, "b": {int64(7)},
		"h": {"0x10"}, "z": {"1.5 euros"}, "w/n": {"1.5", "2", "x"}}
	holdsNormal(t, b, given, kept)
}

func holdsNormal(t *testing.T, b *sql.Backend, given, kept backends.Values) {
	t.Helper()
	var names []string
	var mods []backends.Mod
	for name, values := range given {
		names = append(names, name)
		mods = append(mods, backends.Mod{Attribute: name, Add: values})
	}
	ref := func(key string) backends.Ref {
		return backends.Ref{Table: "v", Column: "id", Key: key, Children: map[string]string{"w": "v"}}
	}
	creation := backends.Change{Op: backends.OpCreate, Ref: ref("a"), Add: given}
	normal, err := b.Normalize(t.Context(), creation)
	if err != nil {
		t.Fatal(err)
	}
	for name := range given {
		if !reflect.DeepEqual(normal.Add[name], kept[name]) {
			t.Errorf("%s: %v is kept as %#v, want %#v", name, given[name], normal.Add[name], kept[name])
		}
	}
	apply(t, b, creation)
	normal.Ref = ref("b")
	apply(t, b, normal)
	modification := backends.Change{Op: backends.OpModify, Ref: ref("c"), Mods: mods}
	if modification, err = b.Normalize(t.Context(), modification); err != nil {
		t.Fatal(err)
	}
	apply(t, b, backends.Change{Op: backends.OpCreate, Ref: ref("c")})
	apply(t, b, modification)
	for _, key := range []string{"a", "b", "c"} {
		e, err := b.Read(t.Context(), ref(key), names)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if !reflect.DeepEqual(e.Values[name], kept[name]) {
				t.Errorf("%s of %s is %#v, want %#v", name, key, e.Values[name], kept[name])
			}
		}
	}
	// The inverse of a normal change finds its values.
	for i := range modification.Mods {
		mod := &modification.Mods[i]
		mod.Delete, mod.Add = mod.Add, nil
	}
	apply(t, b, modification)
}

// TestNormalizeRefuses: a value that the type does not take is told with its attribute, before anything is written.
func TestNormalizeRefuses(t *testing.T) {
	b := open(t, testservers.SharedPostgres(t).NewDatabase(t), rewritingPostgres)
	for name, value := range map[string]backends.Value{"n": "12345678.9", "i": "nowhere", "u": "6ba7", "j": "{", "e": "so-so", "b": "x", "w/i": "300.1.1.1"} {
		change := backends.Change{Op: backends.OpCreate, Add: backends.Values{name: {value}},
			Ref: backends.Ref{Table: "v", Column: "id", Key: "a", Children: map[string]string{"w": "v"}}}
		_, err := b.Normalize(t.Context(), change)
		var e *clacks.Error
		if !errors.As(err, &e) || e.Kind != clacks.Invalid || len(e.Fields) != 1 || e.Fields[0].Attribute != name || e.Fields[0].Code != clacks.CodeType {
			t.Errorf("%s: %+v", name, err)
		}
	}
}
