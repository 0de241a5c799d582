// Package store opens the database that holds the service's own state (SQLite or PostgreSQL) and runs statements in
// it: several in one transaction, in one round trip where the server can. The same type serves the SQL backend, so that
// mapped tables may take part in a commit's transaction. It knows no table by name.
package store

import (
	"context"
	"errors"
	"fmt"
)

// Dialect names the SQL spoken by a DB.
type Dialect string

// The dialects.
const (
	SQLite     Dialect = "sqlite"
	PostgreSQL Dialect = "postgres"
)

// Statement is one SQL statement. Placeholders are "?" in both dialects (a "?" inside quotes is left alone).
type Statement struct {
	SQL  string
	Args []any
	// Rows, when not 0, is the number of rows that must be affected (or returned): another number fails the transaction
	// with a *RowsError.
	Rows int64
	// Returning: the statement yields one row with one integer, reported in Result.Value.
	Returning bool
}

// Result is the outcome of one statement.
type Result struct {
	Rows  int64
	Value int64
}

// RowsError says that statement number Index affected Got rows where Want were required. The transaction is rolled back.
type RowsError struct {
	Index     int
	Got, Want int64
}

func (e *RowsError) Error() string {
	return fmt.Sprintf("statement %d affected %d rows, not %d", e.Index, e.Got, e.Want)
}

// ConstraintKind is the class of a violated constraint.
type ConstraintKind string

// The classes.
const (
	ConstraintUnique  ConstraintKind = "unique"
	ConstraintForeign ConstraintKind = "foreign-key"
	ConstraintCheck   ConstraintKind = "check"
	ConstraintNotNull ConstraintKind = "not-null"
	ConstraintType    ConstraintKind = "type" // wrong type, too long, out of range
)

// ConstraintError says that statement number Index violated a constraint. The transaction is rolled back.
type ConstraintError struct {
	Index  int
	Kind   ConstraintKind
	Table  string // where known
	Column string // where known
	Name   string // of the constraint, where known
	Err    error
}

func (e *ConstraintError) Error() string {
	return fmt.Sprintf("statement %d violates a %s constraint: %v", e.Index, e.Kind, e.Err)
}

func (e *ConstraintError) Unwrap() error { return e.Err }

var errUnfinished = errors.New("store: unfinished")

// DB is an open database. It is safe for concurrent use. Errors other than RowsError and ConstraintError are
// *clacks.Error of kind Unavailable (nothing was committed), InDoubt (a commit was sent and no answer came), or Internal.
type DB struct{}

// Open opens "sqlite:PATH", "sqlite::memory:" or "postgres://...". It does not fail when the server is down: Ping tells,
// and every call tries anew. SQLite runs in WAL mode with synchronous=FULL, one writer at a time; waiting for it ends
// with the context.
func Open(url string) (*DB, error) { return nil, errUnfinished }

// Dialect is the SQL that the database speaks.
func (db *DB) Dialect() Dialect { return "" }

// URL is what identifies the database: two DBs with the same URL share it. It holds no password.
func (db *DB) URL() string { return "" }

// Ping asks for an answer.
func (db *DB) Ping(ctx context.Context) error { return errUnfinished }

// Close closes all connections; transactions in progress end first or with ctx of theirs.
func (db *DB) Close() error { return errUnfinished }

// Exec runs the statements as one committed transaction, in one round trip on PostgreSQL.
func (db *DB) Exec(ctx context.Context, statements ...Statement) ([]Result, error) {
	return nil, errUnfinished
}

// Query runs a reading statement outside of any transaction and calls row for each row with a scan function, which
// takes *string, *int64, *bool, *[]byte, *float64, *time.Time, *any and *sql.Null... destinations. An error of row ends it.
func (db *DB) Query(ctx context.Context, sql string, args []any, row func(scan func(dest ...any) error) error) error {
	return errUnfinished
}

// Begin opens a writing transaction. The caller ends it with Commit or Rollback.
func (db *DB) Begin(ctx context.Context) (*Tx, error) { return nil, errUnfinished }

// Tx is one open transaction, used by one goroutine.
type Tx struct{}

// Exec runs statements inside the transaction, in one round trip on PostgreSQL. After an error only Rollback is left.
func (tx *Tx) Exec(ctx context.Context, statements ...Statement) ([]Result, error) {
	return nil, errUnfinished
}

// Query is DB.Query inside the transaction.
func (tx *Tx) Query(ctx context.Context, sql string, args []any, row func(scan func(dest ...any) error) error) error {
	return errUnfinished
}

// Commit runs last statements and commits, in one round trip on PostgreSQL. clacks.InDoubt means that the commit was
// sent and its outcome is not known.
func (tx *Tx) Commit(ctx context.Context, statements ...Statement) ([]Result, error) {
	return nil, errUnfinished
}

// Rollback ends the transaction without effect; after Commit it does nothing. It does not need a live context.
func (tx *Tx) Rollback() {}
