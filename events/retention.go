package events

import (
	"context"
	"fmt"
	"time"

	"clacks"
	"clacks/internal/store"
)

// Retention says how much of the log is kept. The zero value keeps everything, which is the default: the log is also the
// record of who changed what.
type Retention struct {
	// Age is how long an event is kept at least; 0 for ever.
	Age time.Duration
	// Rows is the number of newest events that are kept whatever their age; 0 for no bound by number. With both set, an
	// event goes when either says so.
	Rows int64
	// Slowest is the position of the slowest durable subscriber (Subscriptions.Slowest): events behind it are kept for him.
	// Nil when there is none.
	Slowest func(ctx context.Context) (int64, error)
	// Held is the number of events behind Slowest that are kept at most: a subscriber whom nobody serves any more must not
	// fill the disk. What he loses then is logged as an alarm, and he learns of it. 0 for no bound.
	Held int64
}

// pruneStep is the number of events that one transaction removes, so that committers do not wait for long.
const pruneStep = 1000

// Prune removes what need not be kept, oldest first and in small transactions, and gives the number of removed events,
// also when it fails midway. What remains is without gaps.
func (l *Log) Prune(ctx context.Context, r Retention) (removed int64, err error) {
	target, err := l.pruneTarget(ctx, r)
	if err != nil {
		return 0, err
	}
	first, err := l.first(ctx)
	if err != nil {
		return 0, err
	}
	for first <= target {
		upTo := min(first+pruneStep-1, target)
		results, err := l.db.Exec(ctx, store.Statement{SQL: `DELETE FROM clacks_events WHERE sequence <= ?`, Args: []any{upTo}})
		if err != nil {
			return removed, fmt.Errorf("prune the event log: %w", err)
		}
		removed += results[0].Rows
		first = upTo + 1
	}
	return removed, nil
}

// pruneTarget is the last sequence number that may go.
func (l *Log) pruneTarget(ctx context.Context, r Retention) (int64, error) {
	if r.Age < 0 || r.Rows < 0 || r.Held < 0 {
		return 0, clacks.E(clacks.Invalid, "events.prune", "a retention cannot be negative")
	}
	var target int64
	if r.Age > 0 {
		before, err := l.At(ctx, time.Now().Add(-r.Age))
		if err != nil {
			return 0, err
		}
		target = before
	}
	if r.Rows > 0 {
		last, err := l.Last(ctx)
		if err != nil {
			return 0, err
		}
		target = max(target, last-r.Rows)
	}
	if r.Slowest != nil && target > 0 {
		slowest, err := r.Slowest(ctx)
		if err != nil {
			return 0, fmt.Errorf("ask for the slowest subscriber: %w", err)
		}
		return l.heldTarget(ctx, target, slowest, r.Held)
	}
	return target, nil
}

// heldTarget spares what the slowest subscriber needs, up to a number of events.
func (l *Log) heldTarget(ctx context.Context, target, slowest, held int64) (int64, error) {
	if target <= slowest || held == 0 {
		return min(target, slowest), nil
	}
	last, err := l.Last(ctx)
	if err != nil {
		return 0, err
	}
	if last-held <= slowest {
		return slowest, nil
	}
	spared := min(target, last-held)
	l.logger.Error("a durable subscription is too far behind; events that it has not handled are removed",
		"position", slowest, "removed up to", spared, "kept for subscriptions", held)
	return spared, nil
}

// first is the sequence number of the oldest event that is kept, or that of the next one when none is.
func (l *Log) first(ctx context.Context) (int64, error) {
	return l.value(ctx, `SELECT COALESCE((SELECT MIN(sequence) FROM clacks_events), `+
		`(SELECT value + 1 FROM clacks_counter WHERE name = 'events'))`)
}
