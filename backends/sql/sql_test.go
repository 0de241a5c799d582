package sql_test

import (
	"strings"
	"testing"

	"clacks/backends/backendtest"
	"clacks/backends/sql"
	"clacks/internal/store"
	"clacks/internal/testservers"
)

func open(t *testing.T, url, tables string) *sql.Backend {
	t.Helper()
	db, err := store.Open(url)
	if err != nil {
		t.Fatal(err)
	}
	for text := range strings.SplitSeq(tables, ";\n") {
		if strings.TrimSpace(text) == "" {
			continue
		}
		if _, err := db.Exec(t.Context(), store.Statement{SQL: text}); err != nil {
			t.Fatal(err)
		}
	}
	b := sql.New(db)
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func TestContractSQLite(t *testing.T) {
	backendtest.Run(t, func(t *testing.T) backendtest.Fixture {
		return backendtest.Fixture{Backend: open(t, "sqlite::memory:", backendtest.SQLiteTables)}
	})
}

func TestContractPostgreSQL(t *testing.T) {
	server := testservers.SharedPostgres(t)
	backendtest.Run(t, func(t *testing.T) backendtest.Fixture {
		return backendtest.Fixture{Backend: open(t, server.NewDatabase(t), backendtest.PostgreSQLTables)}
	})
}
