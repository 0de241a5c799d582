// Package store opens the database that holds the service's own state (SQLite or PostgreSQL) and runs statements in
// it: several in one transaction, in one round trip where the server can. The same type serves the SQL backend, so that
// mapped tables may take part in a commit's transaction. It knows no table by name.
//
// How a call flows:
//
//	DB.Exec, DB.Begin -> Tx.Exec -> Tx.Commit
//	  -> translate: "?" becomes "$1", a row-count check becomes part of the statement (translate.go)
//	  -> postgres.go: one pipelined batch a call; BEGIN travels with the first, COMMIT with the last
//	     sqlite.go:   one writer connection behind a gate that honours the context; readers beside it (WAL)
//	  -> classify.go: what went wrong, and whether it may have been committed all the same
package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"clacks"
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

// Error names the statement and both numbers.
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

// ConstraintError says that statement number Index violated a constraint; the index is that of the number of statements
// when only the commit showed it (deferred constraints). The transaction is rolled back. Err holds no value of a row.
type ConstraintError struct {
	Index  int
	Kind   ConstraintKind
	Table  string // where known
	Column string // where known; of several the first
	Name   string // of the constraint, where known
	Err    error
}

// Error names the statement, the class of the constraint and what the server said.
func (e *ConstraintError) Error() string {
	return fmt.Sprintf("statement %d violates a %s constraint: %v", e.Index, e.Kind, e.Err)
}

// Unwrap is what the server said.
func (e *ConstraintError) Unwrap() error { return e.Err }

// RowFunc is called for each row of a query with a scan function, which takes *string, *int64, *bool, *[]byte, *float64,
// *time.Time, *any and *sql.Null... destinations. An *any gets nil, int64, float64, bool, string, []byte or time.Time.
// It must not use the transaction that the query runs in.
type RowFunc = func(scan func(dest ...any) error) error

// engine is what differs between the dialects.
type engine interface {
	url() string
	sqlDB() (*sql.DB, error)
	ping(ctx context.Context) error
	query(ctx context.Context, sql string, args []any, row RowFunc) error
	exec(ctx context.Context, statements []Statement) ([]Result, error)
	begin(ctx context.Context) (transaction, error)
	execAndBegin(ctx context.Context, first, second, later []Statement) (tx transaction, refused, err error)
	durable(ctx context.Context) error
	close() error
}

// transaction is one transaction of an engine. After finish or an error of exec only rollback is called.
type transaction interface {
	query(ctx context.Context, sql string, args []any, row RowFunc) error
	exec(ctx context.Context, statements []Statement) ([]Result, error)
	// commit gives up its locks before it waits for the disk when it is early. next, if there is one, is called at that
	// moment, and who begins to commit then is waited for.
	commit(ctx context.Context, statements []Statement, early bool, next func()) ([]Result, error)
	rollback()
}

// DB is an open database. It is safe for concurrent use. Errors other than RowsError and ConstraintError are *clacks.Error
// of kind Unavailable (nothing was committed), InDoubt (a commit was sent and no answer came), Conflict (a deadlock or a
// serialization failure: nothing was committed, and the same again may succeed), Denied or Internal.
type DB struct {
	dialect Dialect
	engine  engine
}

// Open opens "sqlite:PATH", "sqlite::memory:" or "postgres://...". It does not fail when the server is down: Ping tells,
// and every call tries anew. SQLite runs in WAL mode with synchronous=FULL, one writer at a time; waiting for it ends
// with the context. clacks.Invalid: the URL is malformed.
func Open(url string) (*DB, error) {
	scheme, rest, _ := strings.Cut(url, ":")
	switch scheme {
	case "sqlite":
		e, err := openSQLite(rest)
		if err != nil {
			return nil, err
		}
		return &DB{dialect: SQLite, engine: e}, nil
	case "postgres", "postgresql":
		e, err := openPostgres(url)
		if err != nil {
			return nil, err
		}
		return &DB{dialect: PostgreSQL, engine: e}, nil
	}
	return nil, clacks.E(clacks.Invalid, "store.open", "a database is named sqlite:PATH or postgres://..., not by the scheme %.20q",
		scheme)
}

// Dialect is the SQL that the database speaks.
func (db *DB) Dialect() Dialect { return db.dialect }

// URL is what identifies the database: two DBs with the same URL share it. It holds no password.
func (db *DB) URL() string { return db.engine.url() }

// SQL is the database for libraries that want a *sql.DB, such as the migrations. Its connections are its own on SQLite and
// those of the pool on PostgreSQL. It is closed by Close.
func (db *DB) SQL() (*sql.DB, error) { return db.engine.sqlDB() }

// Ping asks for an answer.
func (db *DB) Ping(ctx context.Context) error { return db.engine.ping(ctx) }

// Close closes all connections; it waits for transactions in progress. Nothing may be begun after it.
func (db *DB) Close() error { return db.engine.close() }

// Exec runs the statements as one committed transaction, in one round trip on PostgreSQL (in more when there is DDL
// among them). No statements are no transaction.
func (db *DB) Exec(ctx context.Context, statements ...Statement) ([]Result, error) {
	if len(statements) == 0 {
		return nil, nil
	}
	return db.engine.exec(ctx, statements)
}

// Query runs a reading statement outside of any transaction and calls row for each row. An error of row ends it and is
// returned as it is.
func (db *DB) Query(ctx context.Context, sql string, args []any, row RowFunc) error {
	return db.engine.query(ctx, sql, args, row)
}

// Durable returns when everything that was visible to queries before the call is on disk; see Tx.CommitEarly.
func (db *DB) Durable(ctx context.Context) error { return db.engine.durable(ctx) }

// Begin opens a writing transaction (READ COMMITTED on PostgreSQL). The caller ends it with Commit or Rollback. On
// PostgreSQL nothing is sent yet: BEGIN travels with the first statements.
func (db *DB) Begin(ctx context.Context) (*Tx, error) {
	t, err := db.engine.begin(ctx)
	if err != nil {
		return nil, err
	}
	return &Tx{transaction: t}, nil
}

// ExecAndBegin is Exec of the first statements, and then Begin and Exec of the second, in one round trip on PostgreSQL. The
// first are durable when it returns. The later ones are run in the open transaction, too, but are not waited for: what
// PostgreSQL says to them is answered by the next call of the transaction, so that it has time for them meanwhile. Of the
// three results one is not nil: err when nothing was committed (or, clacks.InDoubt, perhaps the first), refused when the
// first were committed and the rest was refused and rolled back.
func (db *DB) ExecAndBegin(ctx context.Context, first, second, later []Statement) (tx *Tx, refused, err error) {
	t, refused, err := db.engine.execAndBegin(ctx, first, second, later)
	if refused != nil || err != nil {
		return nil, refused, err
	}
	return &Tx{transaction: t}, nil, nil
}

// Tx is one open transaction, used by one goroutine.
type Tx struct {
	transaction transaction
	failed      bool
	done        bool
}

var errEnded = clacks.E(clacks.Internal, "store.tx", "the transaction has ended or failed before")

// Exec runs statements inside the transaction, in one round trip on PostgreSQL. After an error only Rollback is left.
func (tx *Tx) Exec(ctx context.Context, statements ...Statement) ([]Result, error) {
	if tx.done || tx.failed {
		return nil, errEnded
	}
	if len(statements) == 0 {
		return nil, nil
	}
	results, err := tx.transaction.exec(ctx, statements)
	tx.failed = err != nil
	return results, err
}

// Query is DB.Query inside the transaction. After an error only Rollback is left, unless the error was one of row.
func (tx *Tx) Query(ctx context.Context, sql string, args []any, row RowFunc) error {
	if tx.done || tx.failed {
		return errEnded
	}
	var rowErr error
	err := tx.transaction.query(ctx, sql, args, func(scan func(dest ...any) error) error {
		rowErr = row(scan)
		return rowErr
	})
	tx.failed = err != nil && rowErr == nil
	return err
}

// Commit runs last statements and commits, in one round trip on PostgreSQL (in more when there is DDL among them).
// clacks.InDoubt means that the commit was sent and its outcome is not known. After any other error nothing of the
// transaction has happened. Either way it has ended.
func (tx *Tx) Commit(ctx context.Context, statements ...Statement) ([]Result, error) {
	return tx.commit(ctx, statements, false, nil)
}

// CommitEarly is Commit for a transaction that others wait for. On PostgreSQL it gives up its locks before it waits for the
// disk, so that several such commits share one write. It returns when all is durable, as Commit does; but others may see
// what it wrote a moment before, and when the server crashes in that moment it is gone again. Who passes on what he has
// seen, so that it could not be taken back, asks DB.Durable first.
func (tx *Tx) CommitEarly(ctx context.Context, statements ...Statement) ([]Result, error) {
	return tx.commit(ctx, statements, true, nil)
}

// CommitBehind is CommitEarly where another transaction is about to begin with an ExecAndBegin that writes. It calls next when
// the locks are given up, and lets the other one wait for the disk on behalf of both. When none comes it does so itself.
// On SQLite, and when it fails, it does not call next.
func (tx *Tx) CommitBehind(ctx context.Context, next func(), statements ...Statement) ([]Result, error) {
	return tx.commit(ctx, statements, true, next)
}

func (tx *Tx) commit(ctx context.Context, statements []Statement, early bool, next func()) ([]Result, error) {
	if tx.done || tx.failed {
		return nil, errEnded
	}
	tx.done = true
	results, err := tx.transaction.commit(ctx, statements, early, next)
	if err != nil {
		tx.transaction.rollback()
	}
	return results, err
}

// Rollback ends the transaction without effect; after Commit it does nothing. It does not need a live context.
func (tx *Tx) Rollback() {
	if tx.done {
		return
	}
	tx.done = true
	tx.transaction.rollback()
}
