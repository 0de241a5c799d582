package events

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"clacks"
	"clacks/internal/store"
	"clacks/objects"
)

// maxRecorded is the size of a document in bytes above which a change cannot be recorded. Values that came in one request
// of the allowed size stay far below it, before and after and with every character escaped.
const maxRecorded = 64 << 20

// maxUUID is the length that the schemas allow: the log is indexed by it.
const maxUUID = 255

var (
	changeTypes = []string{"create", "update", "move", "remove", "extend", "retract"}
	origins     = []string{originService, originExternal}
)

// Where an event comes from.
const (
	originService  = "service"
	originExternal = "external"
)

var _ objects.Recorder = (*Log)(nil)

// row is one row of clacks_events, but for its sequence number.
type row struct {
	id, eventType, origin, actor, transactionID       string
	uuid, dn, newDN, objectType, changeType, document string
	time                                              time.Time
}

// Record implements objects.Recorder: the documents are built, and nothing is written yet. A change that the schema of
// ObjectChanged does not allow is clacks.Internal, one that is too large clacks.Limit.
func (l *Log) Record(changes []objects.Changed) ([]store.Statement, error) {
	if len(changes) == 0 {
		return nil, clacks.E(clacks.Internal, "events.record", "there is nothing to record")
	}
	rows := make([]row, len(changes))
	for i := range changes {
		if err := recordable(&changes[i]); err != nil {
			return nil, err
		}
		rows[i] = rowOf(ObjectChanged, &changes[i], changes[i].Time.UTC().Format(timeLayout))
		if len(rows[i].document) > maxRecorded {
			return nil, clacks.E(clacks.Limit, "events.record", "the event of %s has %d bytes; %d are allowed",
				changes[i].UUID, len(rows[i].document), maxRecorded)
		}
	}
	return l.appendStatements(rows), nil
}

// Recorded implements objects.Recorder: subscribers are told at once. It never blocks.
func (l *Log) Recorded() { l.hub.notify() }

// recordable checks what the schema demands of a change beyond its being text.
func recordable(c *objects.Changed) error {
	const op = "events.record"
	switch year := c.Time.UTC().Year(); {
	case !slices.Contains(changeTypes, c.ChangeType):
		return clacks.E(clacks.Internal, op, "unknown change type %q", c.ChangeType)
	case !slices.Contains(origins, c.Origin):
		return clacks.E(clacks.Internal, op, "unknown origin %q", c.Origin)
	case year < 1 || year > 9999:
		return clacks.E(clacks.Internal, op, "the time of a change is in the year %d", year)
	case utf8.RuneCountInString(c.UUID) > maxUUID:
		return clacks.E(clacks.Internal, op, "the UUID of a change has more than %d characters", maxUUID)
	case c.EventID == "":
		return clacks.E(clacks.Internal, op, "a change has no event id")
	}
	return nil
}

// rowOf makes the row of an ObjectChanged or a BackendChange.
func rowOf(eventType string, c *objects.Changed, modified string) row {
	size := 512 + len(c.DN) + len(c.NewDN)
	for _, a := range c.Attributes {
		size += 64 + textSize(a.Old) + textSize(a.New)
	}
	return row{
		id: column(c.EventID), eventType: eventType, time: c.Time, origin: c.Origin, actor: column(c.Actor),
		transactionID: column(c.TransactionID), uuid: column(c.UUID), dn: column(c.DN), newDN: column(c.NewDN),
		objectType: column(c.ObjectType), changeType: c.ChangeType,
		document: string(appendDocument(make([]byte, 0, size), eventType, c, modified)),
	}
}

// column is a text as a database can hold it: UTF-8 without NUL.
func column(s string) string {
	if utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 {
		return s
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

func textSize(values []string) int {
	n := 0
	for _, v := range values {
		n += len("<Old></Old>") + len(v)
	}
	return n
}

// The statements that append to the log. The number is computed in the statement, from the row that the first one has
// locked: the value read is this transaction's own. PostgreSQL does both for a single event in one statement; without the
// row of the counter there is no number, which the table refuses.
const (
	takeNumbers = `UPDATE clacks_counter SET value = value + ? WHERE name = 'events'`
	intoEvents  = `INSERT INTO clacks_events (sequence, event_id, type, time, origin, actor, transaction_id, uuid, dn, new_dn, object_type, change_type, document) `
	insertEvent = intoEvents +
		`VALUES ((SELECT value FROM clacks_counter WHERE name = 'events') - ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	insertLastEvent = insertEvent + ` RETURNING sequence`
	insertOneEvent  = `WITH taken AS (` + takeNumbers + ` RETURNING value) ` + intoEvents +
		`VALUES ((SELECT value FROM taken), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING sequence`
)

// appendStatements are the statements that append rows in their order; the last one yields the last sequence number.
func (l *Log) appendStatements(rows []row) []store.Statement {
	if len(rows) == 1 && l.atOnce {
		return []store.Statement{{SQL: insertOneEvent, Args: append([]any{int64(1)}, rows[0].columns()...), Returning: true}}
	}
	statements := make([]store.Statement, 0, len(rows)+1)
	statements = append(statements, store.Statement{SQL: takeNumbers, Args: []any{int64(len(rows))}, Rows: 1})
	for i := range rows {
		statement := store.Statement{SQL: insertEvent, Args: append([]any{int64(len(rows) - 1 - i)}, rows[i].columns()...)}
		if i == len(rows)-1 {
			statement.SQL, statement.Returning = insertLastEvent, true
		}
		statements = append(statements, statement)
	}
	return statements
}

// columns are the row without its number.
func (r *row) columns() []any {
	return []any{r.id, r.eventType, r.time.UnixMicro(), r.origin, r.actor, r.transactionID,
		r.uuid, r.dn, r.newDN, r.objectType, r.changeType, r.document}
}

// append writes rows in a transaction of its own and gives the last sequence number. When the outcome is not known, or
// the event id is taken, the log itself tells: an event that is in it was sent.
func (l *Log) append(ctx context.Context, rows ...row) (int64, error) {
	results, err := l.db.Exec(ctx, l.appendStatements(rows)...)
	if err == nil {
		l.Recorded()
		return results[len(results)-1].Value, nil
	}
	var constraint *store.ConstraintError
	taken := errors.As(err, &constraint) && constraint.Kind == store.ConstraintUnique
	if !taken && !clacks.IsKind(err, clacks.InDoubt) {
		return 0, fmt.Errorf("append to the event log: %w", err)
	}
	// The caller's context may have ended, which is what puts a commit in doubt.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), resolveTime)
	defer cancel()
	sequence, found, lookErr := l.find(ctx, rows[len(rows)-1].id)
	if lookErr != nil || !found {
		return 0, fmt.Errorf("append to the event log: %w", err)
	}
	l.Recorded()
	return sequence, nil
}

// resolveTime is how long the log is asked for the outcome of an append.
const resolveTime = 5 * time.Second

// find is the sequence number of an event by its id.
func (l *Log) find(ctx context.Context, id string) (sequence int64, found bool, err error) {
	err = l.db.Query(ctx, `SELECT sequence FROM clacks_events WHERE event_id = ?`, []any{id},
		func(scan func(...any) error) error {
			found = true
			return scan(&sequence)
		})
	return sequence, found, err
}

// idempotencySpace makes event ids of idempotency keys (RFC 9562, section 5.5).
var idempotencySpace = uuid.MustParse("0b9e2f0c-6f0f-4f0e-9d5f-0d6f0f2b8a51")

// eventID is the id of an event that a client sends: of his key when he gives one, so that sending again is recognised,
// and his own, so that nobody takes another's.
func eventID(user, key string) string {
	if key == "" {
		return uuid.NewString()
	}
	return uuid.NewSHA1(idempotencySpace, []byte(user+"\x00"+key)).String()
}
