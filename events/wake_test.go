package events

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	"clacks"
	"clacks/internal/store"
)

// countingDB counts how often somebody reads the log because the window does not hold what he needs.
type countingDB struct {
	*store.DB
	replays atomic.Int64
}

func (c *countingDB) Query(ctx context.Context, sql string, args []any, row func(scan func(dest ...any) error) error) error {
	if sql == selectSizes {
		c.replays.Add(1)
	}
	return c.DB.Query(ctx, sql, args, row)
}

// Who waits for events of another kind stays asleep, however many pass; he is at the end of the log all the same, and
// when his event comes he does not read the log for what he has slept through.
func TestSleepersAreLeftAlone(t *testing.T) {
	ctx := limited(t)
	db := &countingDB{DB: openSQLite(t)}
	schemas := newLog(t, db.DB).Schemas()
	l, err := open(db, schemas)
	if err != nil {
		t.Fatal(err)
	}
	const sleepers, passing = 200, 3 * windowEvents
	came := make(chan Event, sleepers)
	var all []*Subscriber
	done := make(chan error, sleepers)
	for i := range sleepers {
		s, err := l.Subscribe(ctx, Subscription{User: admin, After: FromNow, Query: fmt.Sprintf(`Event/Ping[Id = 7 or Id = 'x%d']`, i)})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
		go func() {
			err := s.Run(ctx, func(e Event) error { came <- e; return errEnough })
			s.Close()
			done <- err
		}()
	}
	for range passing / 64 {
		commit(t, l, db.DB, changes(fmt.Sprint(last(t, l)), 64))
	}
	for _, s := range all {
		for ctx.Err() == nil && s.Position() < passing {
			runtime.Gosched()
		}
	}
	if _, err := l.Send(ctx, admin, []byte(event("<Ping><Id>7</Id></Ping>"))); err != nil {
		t.Fatal(err)
	}
	for range sleepers {
		if e := <-came; e.Sequence != passing+1 {
			t.Errorf("event %d came", e.Sequence)
		}
		if err := <-done; !errors.Is(err, errEnough) {
			t.Error(err)
		}
	}
	if n := db.replays.Load(); n != 0 {
		t.Errorf("the log was read %d times", n)
	}
	checkEmpty(t, l.hub.matcher)
	checkIdle(t, l)
}

func last(t *testing.T, l *Log) int64 {
	t.Helper()
	n, err := l.Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Ready does not wait, and Next goes on where it ended.
func TestReadyDoesNotWait(t *testing.T) {
	ctx := limited(t)
	db := openSQLite(t)
	l := newLog(t, db)
	commit(t, l, db, changes("a", 3))
	s, err := l.Subscribe(ctx, Subscription{User: admin, After: 1, Query: `Event/ObjectChanged/Sequence = (2, 4)`})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if e, err := s.Ready(ctx); err != nil || e == nil || e.Sequence != 2 {
		t.Fatalf("%v, %v", e, err)
	}
	if e, err := s.Ready(ctx); err != nil || e != nil || s.Position() != 3 {
		t.Fatalf("%v, %v at %d", e, err, s.Position())
	}
	commit(t, l, db, changes("b", 1))
	e, err := s.Next(ctx)
	if err != nil || e.Sequence != 4 || s.Position() != 3 {
		t.Fatalf("%v, %v at %d", e, err, s.Position())
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := s.Next(ended); !errors.Is(err, context.Canceled) || s.Position() != 4 {
		t.Errorf("%v at %d", err, s.Position())
	}
}

// downDB is a database whose events cannot be read for a while.
type downDB struct {
	*store.DB
	down atomic.Bool
}

func (d *downDB) Query(ctx context.Context, sql string, args []any, row func(scan func(dest ...any) error) error) error {
	if d.down.Load() && sql == selectSizes {
		return clacks.E(clacks.Unavailable, "test", "down")
	}
	return d.DB.Query(ctx, sql, args, row)
}

// While the log cannot be read, nothing is there; nothing is lost either.
func TestReadyWithoutTheLog(t *testing.T) {
	db := &downDB{DB: openSQLite(t)}
	schemas := newLog(t, db.DB).Schemas()
	l, err := open(db, schemas)
	if err != nil {
		t.Fatal(err)
	}
	commit(t, l, db.DB, changes("a", 2))
	s, err := l.Subscribe(t.Context(), Subscription{User: admin})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	db.down.Store(true)
	if e, err := s.Ready(limited(t)); e != nil || err != nil {
		t.Fatalf("%v, %v", e, err)
	}
	db.down.Store(false)
	for want := range int64(2) {
		if e, err := s.Ready(limited(t)); err != nil || e == nil || e.Sequence != want+1 {
			t.Fatalf("%v, %v", e, err)
		}
	}
}
