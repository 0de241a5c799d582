package objects

import (
	"context"
	"sync/atomic"

	"clacks/internal/store"
)

// database is what the service needs of the state database.
type database interface {
	Exec(ctx context.Context, statements ...store.Statement) ([]store.Result, error)
	Query(ctx context.Context, sql string, args []any, row func(scan func(dest ...any) error) error) error
	Begin(ctx context.Context) (transaction, error)
	// ExecAndBegin commits the first statements, and opens a transaction with the second and, not waited for, the later ones.
	ExecAndBegin(ctx context.Context, first, second, later []store.Statement) (tx transaction, refused, err error)
	// Durable returns when what was visible before is on disk: commits are visible a moment earlier.
	Durable(ctx context.Context) error
	Dialect() store.Dialect
	Ping(ctx context.Context) error
}

// transaction is an open transaction of it.
type transaction interface {
	Exec(ctx context.Context, statements ...store.Statement) ([]store.Result, error)
	// Commit calls next, if there is one, when another commit may begin, and lets that wait for the disk on behalf of both.
	Commit(ctx context.Context, next func(), statements ...store.Statement) ([]store.Result, error)
	Rollback()
}

// stateDatabase is *store.DB as a database: Begin returns the interface. Its transactions all wait for the counter of the
// event log at their end, and so commit early when there are several of them.
type stateDatabase struct {
	*store.DB
	open *atomic.Int64 // transactions
}

func newStateDatabase(db *store.DB) stateDatabase { return stateDatabase{db, new(atomic.Int64)} }

func (d stateDatabase) transaction(tx *store.Tx) transaction {
	d.open.Add(1)
	return &stateTransaction{Tx: tx, open: d.open}
}

func (d stateDatabase) Begin(ctx context.Context) (transaction, error) {
	tx, err := d.DB.Begin(ctx)
	if err != nil {
		return nil, err
	}
	return d.transaction(tx), nil
}

func (d stateDatabase) ExecAndBegin(ctx context.Context, first, second, later []store.Statement) (tx transaction, refused, err error) {
	opened, refused, err := d.DB.ExecAndBegin(ctx, first, second, later)
	if opened == nil {
		return nil, refused, err
	}
	return d.transaction(opened), nil, nil
}

// stateTransaction is used by one goroutine.
type stateTransaction struct {
	*store.Tx
	open  *atomic.Int64
	ended bool
}

func (t *stateTransaction) Commit(ctx context.Context, next func(), statements ...store.Statement) ([]store.Result, error) {
	defer t.end()
	switch {
	case next != nil:
		return t.CommitBehind(ctx, next, statements...)
	case t.open.Load() == 1:
		return t.Tx.Commit(ctx, statements...)
	}
	return t.CommitEarly(ctx, statements...)
}

func (t *stateTransaction) Rollback() {
	t.Tx.Rollback()
	t.end()
}

func (t *stateTransaction) end() {
	if !t.ended {
		t.ended = true
		t.open.Add(-1)
	}
}
