// Package migrations holds Clacks' own tables, not the mapped ones: the versioned SQL of the index, the commit journal,
// the event log, the sessions and the nodes of the domain, once for each dialect.
//
//	cmd -> Up -> lock -> goose applies postgres/*.sql or sqlite/*.sql in order -> clacks_migrations remembers
//
// The two dialects' files of one version mean the same: text compares bytewise, times are integers, a boolean
// is BOOLEAN or 0 and 1. A released file is never changed; a change is a file with the next number.
package migrations

import (
	"context"
	"database/sql"
	"embed"
	"io/fs"
	"log/slog"
	"strings"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"clacks"
	"clacks/internal/store"
)

//go:embed postgres/*.sql sqlite/*.sql
var files embed.FS

// Table is where the applied versions are remembered.
const Table = "clacks_migrations"

// Up brings the tables to the version of this program. Agents that start together wait for one another; a second Up
// changes nothing. Errors are clacks.Unavailable (the database does not answer; each version is applied completely or
// not at all) and clacks.Internal.
func Up(ctx context.Context, db *store.DB) error {
	if err := db.Ping(ctx); err != nil {
		return err
	}
	unlock, options, err := locking(ctx, db)
	if err != nil {
		return err
	}
	defer unlock()
	provider, err := newProvider(db, options...)
	if err != nil {
		return err
	}
	results, err := provider.Up(ctx)
	if err != nil {
		if down := db.Ping(ctx); down != nil {
			return down
		}
		return clacks.E(clacks.Internal, "migrations.up", "the tables cannot be brought up to date: %w", err)
	}
	for _, r := range results {
		slog.InfoContext(ctx, "migration applied", "version", r.Source.Version, "file", r.Source.Path, "duration", r.Duration)
	}
	return nil
}

func newProvider(db *store.DB, options ...goose.ProviderOption) (*goose.Provider, error) {
	dialect, folder := goose.DialectPostgres, "postgres"
	if db.Dialect() == store.SQLite {
		dialect, folder = goose.DialectSQLite3, "sqlite"
	}
	sub, err := fs.Sub(files, folder)
	if err != nil {
		return nil, clacks.E(clacks.Internal, "migrations.up", "the migrations are not embedded: %w", err)
	}
	sqlDB, err := db.SQL()
	if err != nil {
		return nil, err
	}
	options = append(options, goose.WithTableName(Table), goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	provider, err := goose.NewProvider(dialect, sqlDB, sub, options...)
	if err != nil {
		return nil, clacks.E(clacks.Internal, "migrations.up", "the migrations are malformed: %w", err)
	}
	return provider, nil
}

// locking keeps other agents out: by an advisory lock on PostgreSQL, by a lock on a file beside the database on SQLite.
// Both end with the process that holds them.
func locking(ctx context.Context, db *store.DB) (unlock func(), options []goose.ProviderOption, err error) {
	if db.Dialect() == store.PostgreSQL {
		return func() {}, []goose.ProviderOption{goose.WithSessionLocker(advisoryLock{})}, nil
	}
	// SQLite's own locking on a second file, because goose opens and closes transactions of its own on the first.
	guard, err := store.Open("sqlite:" + strings.TrimPrefix(db.URL(), "sqlite:") + ".migrating")
	if err != nil {
		return nil, nil, err
	}
	tx, err := guard.Begin(ctx)
	if err != nil {
		_ = guard.Close()
		return nil, nil, err
	}
	unlock = func() {
		tx.Rollback()
		_ = guard.Close()
	}
	return unlock, nil, nil
}

// advisoryLock waits as long as its context lets it; the server frees it when the connection ends.
type advisoryLock struct{}

const lockNumber = 0x636c61636b73 // "clacks"

var _ lock.SessionLocker = advisoryLock{}

// SessionLock is called by goose before it looks at what is to be done.
func (advisoryLock) SessionLock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock($1)", int64(lockNumber))
	return err
}

// SessionUnlock is called by goose when it is done.
func (advisoryLock) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, "SELECT pg_advisory_unlock($1)", int64(lockNumber))
	return err
}
