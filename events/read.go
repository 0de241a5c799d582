package events

import (
	"context"
	"errors"
	"fmt"
	"time"

	"clacks"
)

// The bounds of one reading of the log: a page ends with whichever is reached first, but holds at least one event.
const (
	pageRows  = 256
	pageBytes = 4 << 20
)

// MaxRead is the number of events that Read returns at most, whatever its limit.
const MaxRead = 10_000

const selectEvents = `SELECT sequence, event_id, type, time, uuid, dn, new_dn, object_type, change_type, document ` +
	`FROM clacks_events WHERE sequence > ? ORDER BY sequence LIMIT ?`

// Last is the sequence number of the newest event, 0 when there is none.
func (l *Log) Last(ctx context.Context) (int64, error) {
	return l.value(ctx, `SELECT value FROM clacks_counter WHERE name = 'events'`)
}

// At is the sequence number of the last event before a time: reading on behind it gives every event of that time and
// later, and possibly a few earlier ones, since an event's time is taken before its number. Before the first kept event
// it is that event's number less one.
func (l *Log) At(ctx context.Context, t time.Time) (int64, error) {
	return l.value(ctx, `SELECT COALESCE((SELECT MIN(sequence) - 1 FROM clacks_events WHERE time >= ?), `+
		`(SELECT value FROM clacks_counter WHERE name = 'events'))`, t.UnixMicro())
}

// value runs a query for one number.
func (l *Log) value(ctx context.Context, sql string, args ...any) (int64, error) {
	var value int64
	found := false
	err := l.db.Query(ctx, sql, args, func(scan func(...any) error) error {
		found = true
		return scan(&value)
	})
	if err != nil {
		return 0, fmt.Errorf("read the event log: %w", err)
	}
	if !found {
		return 0, clacks.E(clacks.Internal, "events.read", "the counter of the event log is missing")
	}
	return value, l.db.Durable(ctx)
}

// Read returns up to limit events after a sequence number, in order and without regard to rights. Fewer than limit does
// not mean that there are no more, since the size of a result is bounded too; none means that.
func (l *Log) Read(ctx context.Context, after int64, limit int) ([]Event, error) {
	events := make([]Event, 0, max(0, min(limit, pageRows)))
	err := l.page(ctx, after, min(limit, MaxRead), func(e Event) { events = append(events, e) })
	return events, err
}

// errPageFull ends the reading of a page; it goes no further than page.
var errPageFull = errors.New("the page is full")

// page reads events after a sequence number in order, until there are limit of them or pageBytes. They are given out when
// they are on disk: a number that somebody knows is never given to another event.
func (l *Log) page(ctx context.Context, after int64, limit int, yield func(Event)) error {
	if limit <= 0 {
		return nil
	}
	var events []Event
	size := 0
	err := l.db.Query(ctx, selectEvents, []any{after, int64(limit)}, func(scan func(...any) error) error {
		var e Event
		var micros int64
		var document []byte
		err := scan(&e.Sequence, &e.ID, &e.Type, &micros, &e.UUID, &e.DN, &e.NewDN, &e.ObjectType, &e.ChangeType, &document)
		if err != nil {
			return err
		}
		e.Time = time.UnixMicro(micros).UTC()
		e.Document = document
		if written(e.Type) {
			e.Document = withSequence(document, e.Sequence)
		}
		events = append(events, e)
		if size += len(e.Document); size >= pageBytes {
			return errPageFull
		}
		return nil
	})
	if errors.Is(err, errPageFull) {
		err = nil
	}
	if len(events) > 0 {
		if notYet := l.db.Durable(ctx); notYet != nil {
			return fmt.Errorf("read the event log: %w", notYet)
		}
	}
	for _, e := range events {
		yield(e)
	}
	if err != nil {
		return fmt.Errorf("read the event log: %w", err)
	}
	return nil
}

// written reports whether documents of this type are written by the log itself.
func written(eventType string) bool { return eventType == ObjectChanged || eventType == BackendChange }
