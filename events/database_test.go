package events

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"clacks/access"
	"clacks/internal/store"
	"clacks/internal/testservers"
	"clacks/migrations"
	"clacks/objects"
)

var (
	admin = access.User{ID: "admin", Admin: true}
	ann   = access.User{ID: "ann", UUID: "uuid-of-ann", DN: "cn=ann"}
)

// both runs a test on each kind of state database.
func both(t *testing.T, test func(t *testing.T, db *store.DB)) {
	t.Run("sqlite", func(t *testing.T) { test(t, openSQLite(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, openDB(t, testservers.SharedPostgres(t).NewDatabase(t))) })
}

func openSQLite(t testing.TB) *store.DB {
	t.Helper()
	return openDB(t, "sqlite::memory:")
}

func openDB(t testing.TB, url string) *store.DB {
	t.Helper()
	db, err := store.Open(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := migrations.Up(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	return db
}

// newLog opens a log on a database, with schemas for a type Ping besides the shipped ones.
func newLog(t testing.TB, db database, options ...Option) *Log {
	t.Helper()
	schemas := mustSchemas(t, folder(t, map[string]string{"Ping.xsd": typeFile("Ping")}))
	l, err := open(db, schemas, options...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// changes makes n changes of objects, with event ids that begin with a prefix.
func changes(prefix string, n int) []objects.Changed {
	made := make([]objects.Changed, n)
	for i := range made {
		made[i] = objects.Changed{
			UUID: "uuid-of-ann", DN: "cn=ann", ObjectType: "User", ChangeType: "update", Time: time.Now(), Actor: "admin",
			TransactionID: prefix, EventID: fmt.Sprintf("%s-%d", prefix, i), Origin: "service",
			Attributes: []objects.AttributeChange{{Name: "badgeNumber", Old: []string{"1"}, New: []string{"2"}}},
		}
	}
	return made
}

// commit records changes in a transaction of their own, as a commit does, and gives the sequence number of the last.
func commit(t testing.TB, l *Log, db *store.DB, made []objects.Changed) int64 {
	t.Helper()
	last, err := tryCommit(context.Background(), l, db, made)
	if err != nil {
		t.Fatal(err)
	}
	return last
}

func tryCommit(ctx context.Context, l *Log, db *store.DB, made []objects.Changed) (int64, error) {
	statements, err := l.Record(made)
	if err != nil {
		return 0, err
	}
	tx, err := db.Begin(ctx)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback()
	results, err := tx.Commit(ctx, statements...)
	if err != nil {
		return 0, err
	}
	l.Recorded()
	return results[len(results)-1].Value, nil
}

// faulty is a database that fails as a test wants it to.
type faulty struct {
	database
	exec    func() error // before Exec
	execed  func() error // after an Exec that succeeded
	query   func() error // before Query
	queries atomic.Int64
}

func (f *faulty) Exec(ctx context.Context, statements ...store.Statement) ([]store.Result, error) {
	if f.exec != nil {
		if err := f.exec(); err != nil {
			return nil, err
		}
	}
	results, err := f.database.Exec(ctx, statements...)
	if err == nil && f.execed != nil {
		err = f.execed()
	}
	return results, err
}

func (f *faulty) Query(ctx context.Context, sql string, args []any, row func(scan func(dest ...any) error) error) error {
	f.queries.Add(1)
	if f.query != nil {
		if err := f.query(); err != nil {
			return err
		}
	}
	return f.database.Query(ctx, sql, args, row)
}
