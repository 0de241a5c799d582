package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"clacks"
)

const (
	defaultConnections = 16 // a commit holds one while it waits for other backends
	connectTimeout     = 5 * time.Second
	rollbackTimeout    = 5 * time.Second
)

// postgres runs transactions as pipelined batches: everything of one call travels at once and is answered at once.
type postgres struct {
	pool    *pgxpool.Pool
	name    string
	texts   translations
	flushes flushes

	sqlOnce sync.Once
	sql     *sql.DB
}

func openPostgres(address string) (*postgres, error) {
	config, err := pgxpool.ParseConfig(address)
	if err != nil {
		// The error of pgx quotes the address without its password.
		return nil, clacks.E(clacks.Invalid, "store.open", "the database's address is malformed: %w", err)
	}
	if u, err := url.Parse(address); err == nil && !u.Query().Has("pool_max_conns") {
		config.MaxConns = max(config.MaxConns, defaultConnections)
	}
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = connectTimeout
	}
	// A connection that the server has closed is noticed before anything is sent on it: otherwise every commit that finds
	// one after a restart would be in doubt.
	config.PrepareConn = func(_ context.Context, conn *pgx.Conn) (bool, error) {
		return quiet(conn.PgConn().Conn()), nil
	}
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		return nil, clacks.E(clacks.Invalid, "store.open", "the database's settings are wrong: %w", err)
	}
	return &postgres{pool: pool, name: identity(config.ConnConfig)}, nil
}

// identity names what a connection sees: the user is part of it, since his rights and search path are.
func identity(c *pgx.ConnConfig) string {
	u := url.URL{Scheme: "postgres", User: url.User(c.User), Host: fmt.Sprintf("%s:%d", c.Host, c.Port), Path: "/" + c.Database}
	if path := c.RuntimeParams["search_path"]; path != "" {
		u.RawQuery = url.Values{"search_path": {path}}.Encode()
	}
	return u.String()
}

func (p *postgres) url() string { return p.name }

func (p *postgres) sqlDB() (*sql.DB, error) {
	p.sqlOnce.Do(func() { p.sql = stdlib.OpenDBFromPool(p.pool) })
	return p.sql, nil
}

func (p *postgres) ping(ctx context.Context) error {
	if err := p.pool.Ping(ctx); err != nil {
		return classifyPostgres(err, 0, 0, beforeCommit)
	}
	return nil
}

func (p *postgres) close() error {
	p.sqlOnce.Do(func() {})
	var err error
	if p.sql != nil {
		err = p.sql.Close()
	}
	p.pool.Close()
	return err
}

func (p *postgres) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		return nil, classifyPostgres(err, 0, 0, beforeCommit)
	}
	return conn, nil
}

func (p *postgres) query(ctx context.Context, sql string, args []any, row RowFunc) error {
	conn, err := p.acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	rows, err := conn.Query(ctx, p.texts.get(sql).plain, args...)
	if err != nil {
		return classifyPostgres(err, 0, 0, beforeCommit)
	}
	return eachRow(rows, row)
}

// exec sends everything at once; the server makes it one transaction, since there is one Sync behind it, and commits at
// the Sync (PostgreSQL, "Pipelining").
func (p *postgres) exec(ctx context.Context, statements []Statement) ([]Result, error) {
	if !p.atOnce(statements) {
		return p.execInSteps(ctx, statements)
	}
	conn, err := p.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer release(conn)
	return p.run(ctx, conn, batch{statements: statements, guard: true, implicit: true})
}

// execInSteps is exec for what cannot travel together with its commit.
func (p *postgres) execInSteps(ctx context.Context, statements []Statement) ([]Result, error) {
	t := &postgresTx{db: p}
	results, err := t.exec(ctx, statements)
	if err == nil {
		_, err = t.commit(ctx, nil, false, nil)
	}
	if err != nil {
		t.rollback()
		return nil, err
	}
	return results, nil
}

// atOnce reports whether the statements can travel together with the commit: the server can make all row-count checks,
// and none defines what another needs.
func (p *postgres) atOnce(statements []Statement) bool {
	for i := range statements {
		if statements[i].Rows != 0 && p.texts.get(statements[i].SQL).guarded == "" {
			return false
		}
	}
	return len(statements) == 1 || !p.define(statements)
}

// define reports whether a statement makes or changes a table. The texts of a batch are parsed before any of them runs.
func (p *postgres) define(statements []Statement) bool {
	for i := range statements {
		if p.texts.get(statements[i].SQL).defines {
			return true
		}
	}
	return false
}

// durable writes to the log only when something in it is not on disk yet.
func (p *postgres) durable(ctx context.Context) error {
	const text = `SELECT CASE WHEN pg_current_wal_insert_lsn() > pg_current_wal_flush_lsn() ` +
		`THEN pg_logical_emit_message(true, 'clacks', '') END IS NULL`
	return p.query(ctx, text, nil, func(func(...any) error) error { return nil })
}

func (p *postgres) begin(context.Context) (transaction, error) { return &postgresTx{db: p}, nil }

// postgresTx holds a connection from its first statement on.
type postgresTx struct {
	db   *postgres
	conn *pgxpool.Conn
	// ahead are statements of the transaction that were sent and whose answers were not read.
	ahead *ahead
}

// first acquires a connection when there is none yet, and reports whether BEGIN has to be sent.
func (t *postgresTx) first(ctx context.Context) (bool, error) {
	if t.conn != nil {
		return false, t.settle(ctx)
	}
	conn, err := t.db.acquire(ctx)
	t.conn = conn
	return true, err
}

func (t *postgresTx) exec(ctx context.Context, statements []Statement) ([]Result, error) {
	begin, err := t.first(ctx)
	if err != nil {
		return nil, err
	}
	if len(statements) == 1 || !t.db.define(statements) {
		return t.db.run(ctx, t.conn, batch{begin: begin, statements: statements})
	}
	results := make([]Result, 0, len(statements))
	for i := range statements {
		one, err := t.db.run(ctx, t.conn, batch{begin: begin && i == 0, statements: statements[i : i+1]})
		if err != nil {
			return nil, shifted(err, i)
		}
		results = append(results, one...)
	}
	return results, nil
}

// shifted gives an error of a single statement that statement's place among all.
func shifted(err error, by int) error {
	var rows *RowsError
	if errors.As(err, &rows) {
		rows.Index += by
	}
	var violated *ConstraintError
	if errors.As(err, &violated) {
		violated.Index += by
	}
	return err
}

func (t *postgresTx) query(ctx context.Context, sql string, args []any, row RowFunc) error {
	begin, err := t.first(ctx)
	if err != nil {
		return err
	}
	text := t.db.texts.get(sql).plain
	if !begin {
		rows, err := t.conn.Query(ctx, text, args...)
		if err != nil {
			return classifyPostgres(err, 0, 0, beforeCommit)
		}
		return eachRow(rows, row)
	}
	var queue pgx.Batch
	queue.Queue("BEGIN")
	queue.Queue(text, args...)
	replies := t.conn.SendBatch(ctx, &queue)
	if _, err = replies.Exec(); err == nil {
		var rows pgx.Rows
		if rows, err = replies.Query(); err == nil {
			err = eachRow(rows, row)
		} else {
			err = classifyPostgres(err, 0, 0, beforeCommit)
		}
	} else {
		err = classifyPostgres(err, 0, 0, beforeCommit)
	}
	if closeErr := replies.Close(); err == nil && closeErr != nil {
		err = classifyPostgres(closeErr, 0, 0, beforeCommit)
	}
	return err
}

func (t *postgresTx) commit(ctx context.Context, statements []Statement, early bool, next func()) ([]Result, error) {
	if t.conn == nil && len(statements) == 0 {
		return nil, nil
	}
	if !t.db.atOnce(statements) {
		results, err := t.exec(ctx, statements)
		if err != nil {
			return nil, err
		}
		_, err = t.commit(ctx, nil, early, next)
		return results, err
	}
	results, err := t.commitAtOnce(ctx, batch{commit: true, early: early, loose: next != nil, guard: true, statements: statements})
	if err != nil {
		return nil, err
	}
	t.release()
	if next != nil {
		err = t.db.awaitBehind(ctx, next)
	}
	return results, err
}

func (t *postgresTx) commitAtOnce(ctx context.Context, b batch) ([]Result, error) {
	if t.ahead != nil {
		results, done, err := t.commitAhead(ctx, b)
		if err != nil || done {
			return results, err
		}
	}
	begin, err := t.first(ctx)
	if err != nil {
		return nil, err
	}
	b.begin = begin
	return t.db.run(ctx, t.conn, b)
}

// rollback leaves a connection whose rollback fails to the pool, which closes any that is inside a transaction.
func (t *postgresTx) rollback() {
	if t.conn == nil {
		return
	}
	if t.ahead != nil {
		ctx, cancel := context.WithTimeout(context.Background(), rollbackTimeout)
		defer cancel()
		_ = t.settle(ctx)
	}
	if pg := t.conn.Conn().PgConn(); !pg.IsClosed() && pg.TxStatus() != 'I' {
		ctx, cancel := context.WithTimeout(context.Background(), rollbackTimeout)
		defer cancel()
		_ = pg.Exec(ctx, "ROLLBACK").Close()
	}
	t.release()
}

func (t *postgresTx) release() {
	release(t.conn)
	t.conn = nil
}
