package sql_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"clacks"
	"clacks/backends"
	"clacks/backends/sql"
	"clacks/internal/testservers"
)

// keyTables have key columns that the database does not keep unique: r has repeated values and NULL, u has neither, and the
// rows of v are those of u.
const keyTables = `CREATE TABLE r (id VARCHAR(20), n INTEGER);
CREATE TABLE u (id VARCHAR(20), n INTEGER);
CREATE VIEW v AS SELECT * FROM u;
INSERT INTO r VALUES ('a', 1), ('b', 2), ('b', 3), ('c', 4), (NULL, 5), (NULL, 6);
INSERT INTO u VALUES ('a', 1), ('b', 2), ('c', 3), ('d', 4), ('e', 5), (NULL, 6), (NULL, 7)`

func onBoth(t *testing.T, tables string, test func(t *testing.T, b *sql.Backend)) {
	t.Run("sqlite", func(t *testing.T) { test(t, open(t, "sqlite::memory:", tables)) })
	t.Run("postgresql", func(t *testing.T) { test(t, open(t, testservers.SharedPostgres(t).NewDatabase(t), tables)) })
}

// found collects the keys of a search, and its error.
func found(t *testing.T, b *sql.Backend, q backends.Query) (keys []string, err error) {
	t.Helper()
	for entry, failure := range b.Search(t.Context(), q) {
		if failure != nil {
			return keys, failure
		}
		keys = append(keys, fmt.Sprint(entry.Key))
	}
	return keys, nil
}

// TestRepeatedKeys: rows that have the same name are refused, however small the pages, and never left out in silence.
func TestRepeatedKeys(t *testing.T) {
	onBoth(t, keyTables, func(t *testing.T, b *sql.Backend) {
		for size := 1; size <= 7; size++ {
			q := backends.Query{Table: "r", Column: "id", Attributes: []string{"n"}, PageSize: size}
			if keys, err := found(t, b, q); !clacks.IsKind(err, clacks.Conflict) || !strings.Contains(err.Error(), "the column id is no key of") {
				t.Errorf("pages of %d: %v, %v", size, keys, err)
			}
			q.Keys = []backends.Value{"a", "b", "c"}
			if keys, err := found(t, b, q); !clacks.IsKind(err, clacks.Conflict) {
				t.Errorf("by key, pages of %d: %v, %v", size, keys, err)
			}
			q.Keys = []backends.Value{"a", "c", "x"}
			if keys, err := found(t, b, q); err != nil || !slices.Equal(keys, []string{"a", "c"}) {
				t.Errorf("by other keys, pages of %d: %v, %v", size, keys, err)
			}
			for _, table := range []string{"u", "v"} {
				q := backends.Query{Table: table, Column: "id", Attributes: []string{"n"}, PageSize: size}
				if keys, err := found(t, b, q); err != nil || strings.Join(keys, "") != "abcde" {
					t.Errorf("%s, pages of %d: %v, %v", table, size, keys, err)
				}
			}
		}
		if e, err := b.Read(t.Context(), backends.Ref{Table: "r", Column: "id", Key: "b"}, []string{"n"}); !clacks.IsKind(err, clacks.Conflict) {
			t.Errorf("a read of two rows: %v, %v", e, err)
		}
		if e, err := b.Read(t.Context(), backends.Ref{Table: "r", Column: "id", Key: "c"}, []string{"n"}); err != nil || e.Values["n"][0] != int64(4) {
			t.Errorf("a read of one row: %v, %v", e, err)
		}
	})
}

// TestMomentsAsKeys: pages follow the moments, in whatever form other programs have written them.
func TestMomentsAsKeys(t *testing.T) {
	b := open(t, "sqlite::memory:", "CREATE TABLE v (w TIMESTAMP UNIQUE);\n"+
		"INSERT INTO v VALUES ('2024-01-02 04:04:05+02:00'), ('2024-01-02T03:04:05Z'), ('2024-01-02 02:34:05')")
	var keys []backends.Value
	for entry, err := range b.Search(t.Context(), backends.Query{Table: "v", Column: "w", PageSize: 1}) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, entry.Key)
	}
	at := time.Date(2024, 1, 2, 2, 4, 5, 0, time.UTC)
	if want := []backends.Value{at, at.Add(30 * time.Minute), at.Add(time.Hour)}; !slices.Equal(keys, want) {
		t.Errorf("%v, want %v", keys, want)
	}
}
