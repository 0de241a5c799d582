package objects

import (
	"context"

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
	Commit(ctx context.Context, statements ...store.Statement) ([]store.Result, error)
	Rollback()
}

// stateDatabase is *store.DB as a database: Begin returns the interface, and its transactions, all of which wait for the
// counter of the event log at their end, commit early.
type stateDatabase struct{ *store.DB }

func (d stateDatabase) Begin(ctx context.Context) (transaction, error) {
	tx, err := d.DB.Begin(ctx)
	if err != nil {
		return nil, err
	}
	return stateTransaction{tx}, nil
}

func (d stateDatabase) ExecAndBegin(ctx context.Context, first, second, later []store.Statement) (tx transaction, refused, err error) {
	opened, refused, err := d.DB.ExecAndBegin(ctx, first, second, later)
	if opened == nil {
		return nil, refused, err
	}
	return stateTransaction{opened}, nil, nil
}

type stateTransaction struct{ *store.Tx }

func (t stateTransaction) Commit(ctx context.Context, statements ...store.Statement) ([]store.Result, error) {
	return t.CommitEarly(ctx, statements...)
}
