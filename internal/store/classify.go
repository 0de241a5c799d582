package store

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"clacks"
)

// moment tells how far a call had come when it failed: whether a lost answer may hide a commit.
type moment bool

const (
	beforeCommit moment = false // nothing can have been committed
	commitSent   moment = true  // a COMMIT was on its way
)

// serverError is a database's message without the values of rows that it may quote.
// It does not wrap the cause: whoever prints a chain of errors prints all of it.
type serverError struct{ code, message string }

func (e *serverError) Error() string { return e.message + " (" + e.code + ")" }

// fail keeps the cause out of the sentence for the user: it names hosts and tables.
func fail(kind clacks.Kind, reason string, cause error) error {
	return &clacks.Error{Op: "store", Kind: kind, Reason: reason, Err: cause}
}

// classifyPostgres turns an error of pgx at statement number index into one that callers know.
func classifyPostgres(err error, index int, want int64, when moment) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return classifyState(pg, index, want, when)
	}
	var prepared pgx.ErrPreprocessingBatch
	if errors.As(err, &prepared) || strings.HasPrefix(err.Error(), "failed to encode args") ||
		strings.Contains(err.Error(), "expected ") && strings.Contains(err.Error(), " arguments, got ") {
		// Built on this side and never sent. The text quotes the argument.
		return &ConstraintError{Index: index, Kind: ConstraintType, Err: &serverError{code: "encode",
			message: "an argument does not fit its parameter"}}
	}
	if when == commitSent && !pgconn.SafeToRetry(err) {
		return fail(clacks.InDoubt, "the database did not answer the commit", err)
	}
	return unavailable(err)
}

func internal(index int, err error) error {
	return fail(clacks.Internal, "statement "+strconv.Itoa(index)+" failed", err)
}

func unavailable(err error) error {
	return fail(clacks.Unavailable, "the database could not be reached", err)
}

// classifyState goes by the SQLSTATE (PostgreSQL, appendix A).
func classifyState(pg *pgconn.PgError, index int, want int64, when moment) error {
	if got, ok := guardedRows(pg); ok {
		return &RowsError{Index: index, Got: got, Want: want}
	}
	said := &serverError{code: pg.Code, message: withoutValues(pg)}
	class := pg.Code[:min(2, len(pg.Code))]
	if class == "54" {
		return fail(clacks.Limit, "a value or a statement is too large for the database", said)
	}
	if class == "22" || class == "23" {
		return &ConstraintError{Index: index, Kind: constraintOfState(pg.Code), Table: pg.TableName,
			Column: columnOf(pg), Name: pg.ConstraintName, Err: said}
	}
	switch {
	case pg.Code == "40003":
		return fail(clacks.InDoubt, "the database does not know whether it committed", said)
	case class == "40", pg.Code == "55P03":
		return fail(clacks.Conflict, "the database refused concurrent changes", said)
	case pg.Code == "42501":
		return fail(clacks.Denied, "the database denies it", said)
	case when == commitSent && (pg.Severity == "FATAL" || pg.Severity == "PANIC"):
		// The server ended while the commit was under way, perhaps after it was durable.
		return fail(clacks.InDoubt, "the database ended during the commit", said)
	case class == "08", class == "28", class == "3D", class == "53", class == "57", class == "58", pg.Code == "25006",
		pg.Severity == "FATAL":
		return unavailable(said)
	}
	return internal(index, said)
}

func constraintOfState(code string) ConstraintKind {
	switch code {
	case "23505", "23P01":
		return ConstraintUnique
	case "23503", "23001":
		return ConstraintForeign
	case "23502":
		return ConstraintNotNull
	case "23514", "23000":
		return ConstraintCheck
	}
	return ConstraintType
}

// guardedRows finds the number of rows in the failure of a guarded statement.
func guardedRows(pg *pgconn.PgError) (int64, bool) {
	if pg.Code != "22P02" {
		return 0, false
	}
	_, number, ok := strings.Cut(pg.Message, guardMark)
	if !ok {
		return 0, false
	}
	end := strings.IndexFunc(number, func(r rune) bool { return r < '0' || r > '9' })
	if end >= 0 {
		number = number[:end]
	}
	got, err := strconv.ParseInt(number, 10, 64)
	return got, err == nil
}

// withoutValues cuts a message of the data-exception class before the value that it quotes.
func withoutValues(pg *pgconn.PgError) string {
	message := pg.Message
	if strings.HasPrefix(pg.Code, "22") {
		for _, quote := range []string{": ", `"`, "«", "“", "»"} {
			message, _, _ = strings.Cut(message, quote)
		}
	}
	return message
}

// columnOf is the column that a violation is about: told by the server, or the first of "Key (a, b)=(...)".
func columnOf(pg *pgconn.PgError) string {
	if pg.ColumnName != "" {
		return pg.ColumnName
	}
	_, rest, ok := strings.Cut(pg.Detail, "(")
	columns, _, isKey := strings.Cut(rest, ")=(")
	if !ok || !isKey || pg.Code != "23505" && pg.Code != "23503" {
		return ""
	}
	column, _, _ := strings.Cut(columns, ", ")
	if inner, found := strings.CutPrefix(column, "lower("); found { // an index on an expression
		column, _, _ = strings.Cut(strings.TrimSuffix(inner, ")"), "::")
		column = strings.Trim(column, "()")
	}
	return strings.Trim(column, `"`)
}

// classifySQLite turns an error of the SQLite driver at statement number index into one that callers know. A commit is
// never in doubt but for an I/O error: SQLite answers in the same process.
func classifySQLite(err error, index int, when moment) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, sql.ErrConnDone) ||
		strings.HasPrefix(err.Error(), "sql: ") { // "sql: database is closed" has no variable
		return unavailable(err)
	}
	var lite *sqlite.Error
	if !errors.As(err, &lite) {
		return internal(index, err)
	}
	switch code := lite.Code(); code & 0xff {
	case sqlite3.SQLITE_CONSTRAINT:
		return liteConstraint(lite, index)
	case sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG:
		return &ConstraintError{Index: index, Kind: ConstraintType, Err: err}
	case sqlite3.SQLITE_IOERR:
		if when == commitSent {
			return fail(clacks.InDoubt, "the disk failed during the commit", err)
		}
		return unavailable(err)
	case sqlite3.SQLITE_BUSY:
		if code == sqlite3.SQLITE_BUSY_SNAPSHOT {
			return fail(clacks.Conflict, "the database refused concurrent changes", err)
		}
		return unavailable(err)
	case sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN,
		sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_READONLY:
		return unavailable(err)
	case sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH:
		return fail(clacks.Denied, "the database denies it", err)
	}
	return internal(index, err)
}

// liteConstraint reads "UNIQUE constraint failed: table.column, table.column2"; SQLite quotes no values.
func liteConstraint(lite *sqlite.Error, index int) error {
	e := &ConstraintError{Index: index, Kind: ConstraintCheck, Err: lite}
	switch lite.Code() {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID:
		e.Kind = ConstraintUnique
	case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
		e.Kind = ConstraintForeign
	case sqlite3.SQLITE_CONSTRAINT_NOTNULL:
		e.Kind = ConstraintNotNull
	case sqlite3.SQLITE_CONSTRAINT_DATATYPE:
		e.Kind = ConstraintType
	}
	message := lite.Error()
	if end := strings.LastIndex(message, " ("); end >= 0 { // the number that the driver appends
		message = message[:end]
	}
	subject := ""
	if _, after, ok := strings.Cut(message, "constraint failed: "); ok {
		subject = strings.TrimPrefix(after, "UNIQUE constraint failed: ")
		subject = strings.TrimPrefix(subject, "NOT NULL constraint failed: ")
		subject = strings.TrimPrefix(subject, "CHECK constraint failed: ")
	}
	if e.Kind == ConstraintType {
		subject = message[strings.LastIndexByte(message, ' ')+1:] // "cannot store TEXT value in INTEGER column t.c"
	}
	first, _, _ := strings.Cut(subject, ", ")
	if table, column, ok := strings.Cut(first, "."); ok && !strings.Contains(first, " ") {
		e.Table, e.Column = table, column
	} else if e.Kind == ConstraintCheck {
		e.Name = subject
	}
	return e
}
