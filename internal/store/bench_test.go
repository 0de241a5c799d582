package store_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"clacks/internal/store"
	"clacks/internal/testservers"
)

// The statements of a small commit: two of them check their row counts.
func small() []store.Statement {
	update := store.Statement{SQL: "UPDATE t SET n = n + 1 WHERE id = ?", Args: []any{int64(1)}, Rows: 1}
	insert := store.Statement{SQL: "INSERT INTO log (what) VALUES (?)", Args: []any{"done"}}
	return []store.Statement{update, insert, update, insert}
}

func benchmarkExec(b *testing.B, url string) {
	db, err := store.Open(url)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // the benchmark has ended
	for _, text := range []string{"CREATE TABLE t (id BIGINT PRIMARY KEY, n BIGINT)", "CREATE TABLE log (what TEXT)", "INSERT INTO t VALUES (1, 0)"} {
		if _, err := db.Exec(b.Context(), store.Statement{SQL: text}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := db.Exec(b.Context(), small()...); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkExecSQLite(b *testing.B) { benchmarkExec(b, "sqlite:"+b.TempDir()+"/x.db") }

func BenchmarkExecPostgres(b *testing.B) {
	benchmarkExec(b, testservers.SharedPostgres(b).NewDatabase(b))
}

// BenchmarkRawPostgres is the same by hand, for comparison.
func BenchmarkRawPostgres(b *testing.B) {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, testservers.SharedPostgres(b).NewDatabase(b))
	if err != nil {
		b.Fatal(err)
	}
	defer pool.Close()
	for _, text := range []string{"CREATE TABLE t (id BIGINT PRIMARY KEY, n BIGINT)", "CREATE TABLE log (what TEXT)", "INSERT INTO t VALUES (1, 0)"} {
		if _, err := pool.Exec(ctx, text); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		var batch pgx.Batch
		for range 2 {
			batch.Queue("UPDATE t SET n = n + 1 WHERE id = $1", int64(1))
			batch.Queue("INSERT INTO log (what) VALUES ($1)", "done")
		}
		if err := pool.SendBatch(ctx, &batch).Close(); err != nil {
			b.Fatal(err)
		}
	}
}
