package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"clacks"
)

const (
	busyTimeout   = "10000" // milliseconds to wait for another process
	maxStatements = 512     // kept prepared
)

// lite is a SQLite file: one writer connection that is handed out by the gate, and readers that see the last committed
// state (WAL). A database in memory is a file in a temporary folder that Close removes: only a file has readers that do
// not stand in the writer's way.
type lite struct {
	path     string
	volatile string // the folder to remove, for a database in memory
	readers  *sql.DB
	writers  *sql.DB
	reads    statementCache

	closing sync.Once
	closed  chan struct{} // closed by close

	gate   chan struct{} // holds one token; who has it owns what follows
	conn   *sql.Conn     // nil until first used and after it broke
	writes statementCache

	mu    sync.Mutex
	other *sql.DB // for SQL
}

func openSQLite(path string) (*lite, error) {
	if path == "" || strings.ContainsAny(path, "?#\x00") {
		return nil, clacks.E(clacks.Invalid, "store.open", "%q is not a path of a SQLite file", path)
	}
	l := &lite{gate: make(chan struct{}, 1), closed: make(chan struct{})}
	l.gate <- struct{}{}
	synchronous := "FULL" // a commit that was acknowledged survives a power failure
	if path == ":memory:" {
		dir, err := os.MkdirTemp("", "clacks-memory-")
		if err != nil {
			return nil, clacks.E(clacks.Unavailable, "store.open", "there is no room for temporary files: %w", err)
		}
		l.volatile, path, synchronous = dir, filepath.Join(dir, "memory.db"), "OFF"
	}
	l.path = canonicalPath(path)
	var err error
	if l.writers, err = sql.Open("sqlite", dataSource(l.path, synchronous, false)); err == nil {
		l.readers, err = sql.Open("sqlite", dataSource(l.path, synchronous, true))
	}
	if err != nil {
		return nil, clacks.E(clacks.Invalid, "store.open", "the database cannot be used: %w", err)
	}
	l.writers.SetMaxOpenConns(1)
	l.readers.SetMaxOpenConns(max(4, 2*runtime.GOMAXPROCS(0)))
	l.readers.SetMaxIdleConns(max(4, 2*runtime.GOMAXPROCS(0)))
	return l, nil
}

// canonicalPath is the one name of a file, so that two DBs of it have one URL.
func canonicalPath(path string) string {
	if absolute, err := filepath.Abs(path); err == nil {
		path = absolute
	}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		path = filepath.Join(dir, filepath.Base(path))
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	return path
}

func dataSource(path, synchronous string, readOnly bool) string {
	q := url.Values{}
	for _, pragma := range []string{
		"busy_timeout(" + busyTimeout + ")", "journal_mode(WAL)", "synchronous(" + synchronous + ")", "foreign_keys(1)",
		"cache_size(-16000)", "temp_store(MEMORY)", "journal_size_limit(67108864)",
	} {
		q.Add("_pragma", pragma)
	}
	if readOnly {
		q.Add("_pragma", "query_only(1)")
	}
	q.Set("_dqs", "0") // a quoted name that does not exist is an error and not a string
	q.Set("_txlock", "immediate")
	q.Set("_time_format", "sqlite")
	return (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String()
}

func (l *lite) url() string { return "sqlite:" + l.path }

func (l *lite) sqlDB() (*sql.DB, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.other == nil {
		db, err := sql.Open("sqlite", dataSource(l.path, "FULL", false))
		if err != nil {
			return nil, classifySQLite(err, 0, beforeCommit)
		}
		l.other = db
	}
	return l.other, nil
}

func (l *lite) ping(ctx context.Context) error {
	return l.query(ctx, "SELECT 1", nil, func(scan func(dest ...any) error) error {
		var one int64
		return scan(&one)
	})
}

func (l *lite) close() (err error) {
	l.closing.Do(func() {
		close(l.closed)
		<-l.gate // the transaction in progress ends first; the token is not given back
		l.mu.Lock()
		defer l.mu.Unlock()
		l.dropConn()
		l.reads.clear()
		errs := []error{l.readers.Close(), l.writers.Close()}
		if l.other != nil {
			errs = append(errs, l.other.Close())
		}
		if l.volatile != "" {
			errs = append(errs, os.RemoveAll(l.volatile))
		}
		err = errors.Join(errs...)
	})
	return err
}

var errClosed = errors.New("the database has been closed")

func (l *lite) query(ctx context.Context, text string, args []any, row RowFunc) error {
	select {
	case <-l.closed:
		return unavailable(errClosed)
	default:
	}
	statement, done, err := l.reads.get(ctx, l.readers, text)
	if err != nil {
		return classifySQLite(err, 0, beforeCommit)
	}
	defer done()
	return queryLite(ctx, statement, args, row)
}

func queryLite(ctx context.Context, statement *sql.Stmt, args []any, row RowFunc) error {
	rows, err := statement.QueryContext(ctx, args...)
	if err != nil {
		return classifySQLite(err, 0, beforeCommit)
	}
	defer rows.Close() //nolint:errcheck // Err below says what matters
	scan := func(dest ...any) error { return scanLite(rows, dest) }
	for rows.Next() {
		if err := row(scan); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return classifySQLite(err, 0, beforeCommit)
	}
	return nil
}

// scanLite is rows.Scan; times come back in UTC.
func scanLite(rows *sql.Rows, dest []any) error {
	if err := rows.Scan(dest...); err != nil {
		return err
	}
	for _, d := range dest {
		switch d := d.(type) {
		case *any:
			if t, ok := (*d).(time.Time); ok {
				*d = t.UTC()
			}
		case *time.Time:
			*d = d.UTC()
		}
	}
	return nil
}

func (l *lite) exec(ctx context.Context, statements []Statement) ([]Result, error) {
	t, err := l.begin(ctx)
	if err != nil {
		return nil, err
	}
	results, err := t.commit(ctx, statements, false, nil)
	if err != nil {
		t.rollback()
	}
	return results, err
}

// durable has nothing to wait for: see commit.
func (l *lite) durable(context.Context) error { return nil }

// begin waits for the gate and takes SQLite's write lock, so that no later statement can fail for want of it.
func (l *lite) begin(ctx context.Context) (transaction, error) {
	select {
	case <-l.gate:
	case <-ctx.Done():
		return nil, fail(clacks.Unavailable, "the database is busy", ctx.Err())
	case <-l.closed:
		return nil, unavailable(errClosed)
	}
	if err := l.start(ctx); err != nil {
		l.gate <- struct{}{}
		return nil, err
	}
	return &liteTx{db: l}, nil
}

func (l *lite) execAndBegin(ctx context.Context, first, second, later []Statement) (tx transaction, refused, err error) {
	return beginAfter(ctx, l, first, second, later)
}

func (l *lite) start(ctx context.Context) error {
	if l.conn == nil {
		conn, err := l.writers.Conn(ctx)
		if err != nil {
			return classifySQLite(err, 0, beforeCommit)
		}
		l.conn = conn
	}
	if err := l.run(ctx, "BEGIN IMMEDIATE"); err != nil {
		l.dropConn()
		return classifySQLite(err, 0, beforeCommit)
	}
	return nil
}

// run executes a statement without arguments on the writer connection; the caller holds the gate.
func (l *lite) run(ctx context.Context, text string) error {
	statement, done, err := l.writes.get(ctx, l.conn, text)
	if err != nil {
		return err
	}
	defer done()
	_, err = statement.ExecContext(ctx)
	return err
}

// dropConn closes the writer connection, which ends whatever transaction it may be in.
func (l *lite) dropConn() {
	l.writes.clear()
	if l.conn == nil {
		return
	}
	// driver.ErrBadConn makes database/sql close the connection instead of keeping it.
	_ = l.conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = l.conn.Close()
	l.conn = nil
}

// liteTx owns the gate until it ends.
type liteTx struct {
	db    *lite
	ended bool
}

func (t *liteTx) query(ctx context.Context, text string, args []any, row RowFunc) error {
	statement, done, err := t.db.writes.get(ctx, t.db.conn, text)
	if err != nil {
		return classifySQLite(err, 0, beforeCommit)
	}
	defer done()
	return queryLite(ctx, statement, args, row)
}

func (t *liteTx) exec(ctx context.Context, statements []Statement) ([]Result, error) {
	results := make([]Result, len(statements))
	for i := range statements {
		result, err := t.one(ctx, &statements[i])
		if err != nil {
			return nil, classifySQLite(err, i, beforeCommit)
		}
		if want := statements[i].Rows; want != 0 && result.Rows != want {
			return nil, &RowsError{Index: i, Got: result.Rows, Want: want}
		}
		results[i] = result
	}
	return results, nil
}

func (t *liteTx) one(ctx context.Context, s *Statement) (Result, error) {
	statement, done, err := t.db.writes.get(ctx, t.db.conn, s.SQL)
	if err != nil {
		return Result{}, err
	}
	defer done()
	if s.Returning || s.Rows != 0 && isSelect(s.SQL) {
		return fetch(ctx, statement, s)
	}
	outcome, err := statement.ExecContext(ctx, s.Args...)
	if err != nil {
		return Result{}, err
	}
	n, err := outcome.RowsAffected()
	return Result{Rows: n}, err
}

// fetch runs a statement that yields rows and counts them.
func fetch(ctx context.Context, statement *sql.Stmt, s *Statement) (Result, error) {
	rows, err := statement.QueryContext(ctx, s.Args...)
	if err != nil {
		return Result{}, err
	}
	defer rows.Close() //nolint:errcheck // Err below says what matters
	var result Result
	for rows.Next() {
		result.Rows++
		if s.Returning {
			if err := rows.Scan(&result.Value); err != nil {
				return Result{}, err
			}
		}
	}
	return result, rows.Err()
}

func isSelect(text string) bool {
	text = strings.TrimLeft(text, " \t\r\n(")
	return len(text) >= 6 && strings.EqualFold(text[:6], "select")
}

// commit is never early: there is one writer, and nobody sees a transaction that is not on disk.
func (t *liteTx) commit(ctx context.Context, statements []Statement, _ bool, _ func()) ([]Result, error) {
	results, err := t.exec(ctx, statements)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, classifySQLite(err, len(statements), beforeCommit)
	}
	// Without the caller's context: an interrupted COMMIT would leave its outcome open, and it takes one fsync.
	if err := t.db.run(context.Background(), "COMMIT"); err != nil {
		return nil, classifySQLite(err, len(statements), commitSent)
	}
	t.release()
	return results, nil
}

func (t *liteTx) rollback() {
	if t.ended {
		return
	}
	// Some errors have already rolled back, and then this one is refused; a fresh connection is sure in any case.
	if err := t.db.run(context.Background(), "ROLLBACK"); err != nil {
		t.db.dropConn()
	}
	t.release()
}

func (t *liteTx) release() {
	t.ended = true
	t.db.gate <- struct{}{}
}

// preparer is a *sql.DB or a *sql.Conn.
type preparer interface {
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
}

// statementCache keeps prepared statements by their text. What does not fit any more is prepared each time: texts come
// from code and definitions, so there are few, and a statement that others may be using is never closed under them.
type statementCache struct {
	mu         sync.RWMutex
	statements map[string]*sql.Stmt
}

// get is the prepared statement of a text, and what the caller does when he is done with it.
func (c *statementCache) get(ctx context.Context, p preparer, text string) (*sql.Stmt, func(), error) {
	c.mu.RLock()
	statement := c.statements[text]
	c.mu.RUnlock()
	if statement != nil {
		return statement, keep, nil
	}
	statement, err := p.PrepareContext(ctx, text)
	if err != nil {
		return nil, nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.statements == nil {
		c.statements = make(map[string]*sql.Stmt)
	}
	if c.statements[text] != nil || len(c.statements) >= maxStatements {
		return statement, func() { _ = statement.Close() }, nil
	}
	c.statements[text] = statement
	return statement, keep, nil
}

func keep() {}

// clear closes all statements; nobody may be using one.
func (c *statementCache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, statement := range c.statements {
		_ = statement.Close()
	}
	c.statements = nil
}
