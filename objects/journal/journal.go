package journal

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"clacks"
	"clacks/internal/store"
)

// State is where an operation stands.
type State string

// The states of a journal row.
const (
	Prepared  State = "prepared"  // decided, perhaps partly applied
	Committed State = "committed" // done, with its event
	Aborted   State = "aborted"   // nothing of it is left
	Parked    State = "parked"    // somebody else wrote what it touches: for a person to look at
)

// Database is what the journal needs of the state database; *store.DB has it.
type Database interface {
	Exec(ctx context.Context, statements ...store.Statement) ([]store.Result, error)
	Query(ctx context.Context, sql string, args []any, row func(scan func(dest ...any) error) error) error
}

// KeySize is the length in bytes of the key that seals plans.
const KeySize = 32

// DeadAfter is how old an owner's heartbeat must be before others take over its operations. It is many times the
// interval of heartbeats, so that a slow disk or a skewed clock does not make a living owner look dead; a wrong guess
// costs the owner its commit, never a change (see Claim).
const DeadAfter = 60 * time.Second

// Journal is the journal in one state database, in the name of one owner. It is safe for concurrent use.
type Journal struct {
	db    Database
	aead  cipher.AEAD
	owner string
	epoch atomic.Int64
	now   func() time.Time
}

// New makes the journal of an owner; key seals the plans and must stay the same over restarts.
func New(db Database, key []byte, owner string, now func() time.Time) (*Journal, error) {
	if len(key) != KeySize {
		return nil, clacks.E(clacks.Invalid, "journal.new", "the journal's key has %d bytes instead of %d", len(key), KeySize)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, clacks.E(clacks.Internal, "journal.new", "cipher: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, clacks.E(clacks.Internal, "journal.new", "cipher mode: %w", err)
	}
	return &Journal{db: db, aead: aead, owner: owner, now: now}, nil
}

// Register takes a new epoch: what an earlier process of the same owner left behind is Pending from here on, and that
// process can no longer commit.
func (j *Journal) Register(ctx context.Context) error {
	results, err := j.db.Exec(ctx, store.Statement{
		SQL: `INSERT INTO clacks_owners (owner, epoch, heartbeat) VALUES (?, 1, ?)
ON CONFLICT (owner) DO UPDATE SET epoch = clacks_owners.epoch + 1, heartbeat = excluded.heartbeat RETURNING epoch`,
		Args: []any{j.owner, j.now().UnixMilli()}, Returning: true,
	})
	if err != nil {
		return fmt.Errorf("journal: register owner: %w", err)
	}
	j.epoch.Store(results[0].Value)
	return nil
}

// Heartbeat says that the owner lives. It fails with clacks.Conflict when a later process has taken the owner's name.
func (j *Journal) Heartbeat(ctx context.Context) error {
	_, err := j.db.Exec(ctx, store.Statement{
		SQL:  `UPDATE clacks_owners SET heartbeat = ? WHERE owner = ? AND epoch = ?`,
		Args: []any{j.now().UnixMilli(), j.owner, j.epoch.Load()}, Rows: 1,
	})
	var rows *store.RowsError
	if errors.As(err, &rows) {
		return clacks.E(clacks.Conflict, "journal.heartbeat", "another process runs under the name %q", j.owner)
	}
	return err
}

// Alone reports whether no other owner's heartbeat is recent.
func (j *Journal) Alone(ctx context.Context) (bool, error) {
	others := false
	err := j.db.Query(ctx, `SELECT 1 FROM clacks_owners WHERE owner <> ? AND heartbeat > ? LIMIT 1`,
		[]any{j.owner, j.now().Add(-DeadAfter).UnixMilli()},
		func(func(...any) error) error { others = true; return nil })
	return !others, err
}

// Record is a row of the journal. A committed one has no plan any more.
type Record struct {
	Operation   string
	RequestHash string
	Owner       string
	Epoch       int64
	State       State
	Plan        []byte // unsealed
	Result      []byte
	Created     time.Time
}

const recordColumns = `operation, request_hash, owner, epoch, state, plan, result, created`

func (j *Journal) query(ctx context.Context, where string, args ...any) ([]Record, error) {
	var records []Record
	err := j.db.Query(ctx, `SELECT `+recordColumns+` FROM clacks_journal WHERE `+where, args,
		func(scan func(...any) error) error {
			var r Record
			var hash, result *string
			var plan []byte
			var created int64
			if err := scan(&r.Operation, &hash, &r.Owner, &r.Epoch, (*string)(&r.State), &plan, &result, &created); err != nil {
				return err
			}
			if hash != nil {
				r.RequestHash = *hash
			}
			if result != nil {
				r.Result = []byte(*result)
			}
			r.Created = time.UnixMilli(created).UTC()
			var err error
			if r.Plan, err = j.open(r.Operation, plan); err != nil {
				return err
			}
			records = append(records, r)
			return nil
		})
	return records, err
}

// Find returns the row of an idempotency key, or nil.
func (j *Journal) Find(ctx context.Context, idempotencyKey string) (*Record, error) {
	return j.one(ctx, `idempotency_key = ?`, idempotencyKey)
}

// Get returns the row of an operation, or nil.
func (j *Journal) Get(ctx context.Context, operation string) (*Record, error) {
	return j.one(ctx, `operation = ?`, operation)
}

func (j *Journal) one(ctx context.Context, where string, arg any) (*Record, error) {
	records, err := j.query(ctx, where, arg)
	if err != nil || len(records) == 0 {
		return nil, err
	}
	return &records[0], nil
}

// Pending are the prepared rows that nobody works on: of this owner's earlier epochs, and of owners that are dead. The
// oldest come first. No index tells them from the ended ones, since every commit would have to write it; their locks do.
func (j *Journal) Pending(ctx context.Context) ([]Record, error) {
	return j.query(ctx, `state = 'prepared' AND operation IN (SELECT operation FROM clacks_locks) AND (
		(owner = ? AND epoch <> ?)
		OR (owner <> ? AND NOT EXISTS (
			SELECT 1 FROM clacks_owners o WHERE o.owner = clacks_journal.owner AND o.heartbeat > ?)))
		ORDER BY created LIMIT 1000`,
		j.owner, j.epoch.Load(), j.owner, j.now().Add(-DeadAfter).UnixMilli())
}

// Claim makes a pending row this owner's. It reports false when somebody else was faster or the row has ended. From then
// on its former owner cannot commit it: the commit point asks for the owner and epoch of the row.
func (j *Journal) Claim(ctx context.Context, r *Record) (bool, error) {
	epoch := j.epoch.Load()
	_, err := j.db.Exec(ctx, store.Statement{
		SQL: `UPDATE clacks_journal SET owner = ?, epoch = ?
WHERE operation = ? AND state = 'prepared' AND owner = ? AND epoch = ?`,
		Args: []any{j.owner, epoch, r.Operation, r.Owner, r.Epoch}, Rows: 1,
	})
	var rows *store.RowsError
	if errors.As(err, &rows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	r.Owner, r.Epoch = j.owner, epoch
	return true, nil
}

// Committed ends a row at its commit point. It affects no row, and so fails the transaction, when the row has been
// claimed by somebody else or has ended. The plan, which may hold secrets, is needed no longer.
func (j *Journal) Committed(operation string, result []byte) store.Statement {
	return store.Statement{
		SQL: `UPDATE clacks_journal SET state = 'committed', result = ?, finished = ?, plan = ?
WHERE operation = ? AND state = 'prepared' AND owner = ? AND epoch = ?`,
		Args: []any{string(result), j.now().UnixMilli(), []byte{}, operation, j.owner, j.epoch.Load()}, Rows: 1,
	}
}

// Unlock releases the objects of an operation; it belongs into the transaction that ends the row.
func (j *Journal) Unlock(operation string) store.Statement {
	return store.Statement{SQL: `DELETE FROM clacks_locks WHERE operation = ?`, Args: []any{operation}}
}

// End ends a row without an effect: Aborted or Parked. Locks and reservations are freed; the idempotency key too, since
// a request of which nothing is left may be tried again. A parked plan is kept, for the person who looks at it. It reports
// false when the row is not this owner's any more.
func (j *Journal) End(ctx context.Context, operation string, state State, reason string) (bool, error) {
	forget := ""
	args := []any{string(state), reasonDocument(reason), j.now().UnixMilli()}
	if state != Parked {
		forget, args = `, plan = ?`, append(args, []byte{})
	}
	_, err := j.db.Exec(ctx,
		store.Statement{
			SQL: `UPDATE clacks_journal SET state = ?, result = ?, finished = ?, idempotency_key = NULL` + forget + `
WHERE operation = ? AND state = 'prepared' AND owner = ? AND epoch = ?`,
			Args: append(args, operation, j.owner, j.epoch.Load()), Rows: 1,
		},
		j.Unlock(operation),
		store.Statement{SQL: `DELETE FROM clacks_unique WHERE operation = ?`, Args: []any{operation}},
	)
	var rows *store.RowsError
	if errors.As(err, &rows) {
		return false, nil
	}
	return err == nil, err
}

func reasonDocument(reason string) string {
	document, err := json.Marshal(map[string]string{"reason": reason})
	if err != nil {
		return "{}"
	}
	return string(document)
}

// Retention is how long an ended row is kept: without an idempotency key for people, with one for repeated requests.
const (
	Retention    = time.Hour
	KeyRetention = 24 * time.Hour
)

// Prune removes ended rows past their retention, a bounded number at once. Parked ones stay.
func (j *Journal) Prune(ctx context.Context) error {
	_, err := j.db.Exec(ctx,
		j.prune(`idempotency_key IS NULL`, Retention),
		j.prune(`idempotency_key IS NOT NULL`, KeyRetention))
	return err
}

// prune removes rows that ended before their retention began; they were created before that, too, which is indexed.
func (j *Journal) prune(which string, retention time.Duration) store.Statement {
	end := j.now().Add(-retention).UnixMilli()
	return store.Statement{
		SQL: `DELETE FROM clacks_journal WHERE operation IN (SELECT operation FROM clacks_journal
WHERE ` + which + ` AND created < ? AND finished < ? AND state IN ('committed', 'aborted') ORDER BY created LIMIT 10000)`,
		Args: []any{end, end},
	}
}

// Epoch is the epoch that Register took; 0 before.
func (j *Journal) Epoch() int64 { return j.epoch.Load() }
