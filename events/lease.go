package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"clacks/internal/store"
)

// Lease is a piece of work that one agent at a time does. The holder proves that it lives by a counter that grows; whoever
// sees the counter stand still for the lease's time by his own clock takes over, so that clocks need not agree. A holder that
// cannot prove it stops in time. What it does after a pause that it did not notice is for the work itself to fence off.
type Lease struct {
	db     database
	logger *slog.Logger
	name   string
	holder string
	time   time.Duration
}

// NewLease makes a lease on the work of a name. holder names the agent, for people; after is the time behind which one that
// gives no sign counts as dead.
func NewLease(log *Log, name, holder string, after time.Duration) *Lease {
	return &Lease{db: log.db, logger: log.logger, name: name, holder: holder, time: after}
}

// Fence is one holding of a lease. What is fenced with it fails as soon as another agent has taken over, whether or not this
// one has noticed.
type Fence struct {
	name  string
	epoch int64
}

// condition holds in a statement as long as nobody else has taken over.
func (f Fence) condition() (sql string, args []any) {
	return `EXISTS (SELECT 1 FROM clacks_leases WHERE name = ? AND epoch = ?)`, []any{f.name, f.epoch}
}

// claim is what is seen of a lease.
type claim struct {
	holder      string
	epoch, beat int64
}

// errLost ends the work of a holder.
var errLost = errors.New("events: another agent has taken over")

// Hold does the work whenever the lease is this agent's, until the context ends. The work's context ends when it is no
// longer; an error of the work gives the lease back.
func (l *Lease) Hold(ctx context.Context, work func(ctx context.Context, fence Fence) error) {
	var seen claim
	var since time.Time
	for ctx.Err() == nil {
		now, err := l.look(ctx)
		switch {
		case err != nil:
			l.logger.Warn("a lease cannot be read", "lease", l.name, "error", err)
		case now != seen:
			seen, since = now, time.Now()
		}
		if err == nil && (now.holder == "" || time.Since(since) >= l.time) {
			if epoch, taken := l.take(ctx, now); taken {
				l.hold(ctx, epoch, work)
			}
		}
		pause(ctx, l.time/4)
	}
}

// pause waits, or until the context ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

func (l *Lease) look(ctx context.Context) (claim, error) {
	var c claim
	err := l.db.Query(ctx, `SELECT holder, epoch, beat FROM clacks_leases WHERE name = ?`, []any{l.name}, func(scan func(...any) error) error {
		return scan(&c.holder, &c.epoch, &c.beat)
	})
	return c, err
}

// take makes the lease this agent's, unless somebody else was quicker or its holder lives after all.
func (l *Lease) take(ctx context.Context, seen claim) (epoch int64, taken bool) {
	statement := store.Statement{
		SQL:  `UPDATE clacks_leases SET holder = ?, epoch = epoch + 1, beat = 0 WHERE name = ? AND epoch = ? AND beat = ? AND holder = ?`,
		Args: []any{l.holder, l.name, seen.epoch, seen.beat, seen.holder},
	}
	if seen.epoch == 0 {
		statement = store.Statement{
			SQL:  `INSERT INTO clacks_leases (name, holder, epoch, beat) VALUES (?, ?, 1, 0) ON CONFLICT DO NOTHING`,
			Args: []any{l.name, l.holder},
		}
	}
	results, err := l.db.Exec(ctx, statement)
	if err != nil {
		l.logger.Warn("a lease cannot be taken", "lease", l.name, "error", err)
		return 0, false
	}
	return seen.epoch + 1, results[0].Rows == 1
}

// hold does the work and proves meanwhile that this agent lives.
func (l *Lease) hold(ctx context.Context, epoch int64, work func(ctx context.Context, fence Fence) error) {
	l.logger.Info("this agent holds the lease", "lease", l.name, "epoch", epoch)
	working, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan error, 1)
	go func() { done <- work(working, Fence{l.name, epoch}) }()
	proved := time.Now()
	for {
		select {
		case err := <-done:
			l.give(ctx, epoch)
			if err != nil && ctx.Err() == nil {
				l.logger.Error("the work of a lease has failed", "lease", l.name, "error", err)
			}
			return
		case <-time.After(l.time / 4):
		}
		err := l.prove(working, epoch)
		if err == nil {
			proved = time.Now()
			continue
		}
		if errors.Is(err, errLost) || time.Since(proved) > l.time/2 {
			l.logger.Warn("this agent has lost the lease", "lease", l.name, "error", err)
			cancel(errLost)
			if err := <-done; err != nil {
				l.logger.Debug("the work of a lost lease ended", "lease", l.name, "error", err)
			}
			return
		}
	}
}

func (l *Lease) prove(ctx context.Context, epoch int64) error {
	ctx, cancel := context.WithTimeout(ctx, l.time/4)
	defer cancel()
	results, err := l.db.Exec(ctx, store.Statement{
		SQL: `UPDATE clacks_leases SET beat = beat + 1 WHERE name = ? AND epoch = ?`, Args: []any{l.name, epoch},
	})
	if err != nil {
		return fmt.Errorf("prove to hold a lease: %w", err)
	}
	if results[0].Rows == 0 {
		return errLost
	}
	return nil
}

// give gives the lease back, so that the next one need not wait.
func (l *Lease) give(ctx context.Context, epoch int64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.time)
	defer cancel()
	_, err := l.db.Exec(ctx, store.Statement{
		SQL: `UPDATE clacks_leases SET holder = '', beat = beat + 1 WHERE name = ? AND epoch = ?`, Args: []any{l.name, epoch},
	})
	if err != nil {
		l.logger.Warn("a lease cannot be given back; others wait until it has run out", "lease", l.name, "error", err)
	}
}
