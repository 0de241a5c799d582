package journal

import (
	"context"
	"errors"
	"iter"
	"strings"

	"clacks"
	"clacks/internal/store"
)

// Intent is what Prepare makes durable.
type Intent struct {
	Operation      string
	IdempotencyKey string // "" for none
	RequestHash    string
	Header         []byte // JSON for people, without values
	Plan           []byte
	Locks          []string // UUIDs, and names as "dn:PATH"; sorted, none twice, at least one
	Checks         []Check
	Unique         []Reservation
}

// Check demands that an object's row has this version.
type Check struct {
	UUID    string
	Version int64
}

// Reservation takes a unique value for an object. It stays when the operation commits and goes when it does not.
type Reservation struct {
	Type, Attribute, Key string
	UUID                 string
}

// Why says on what a Prepare failed.
type Why uint8

const (
	// Busy: another operation has one of the objects.
	Busy Why = iota
	// Stale: an object's version is another, or the object is gone.
	Stale
	// Taken: a unique value belongs to another object; Refusal.Taken lists which.
	Taken
	// Repeated: the idempotency key is known.
	Repeated
)

// Refusal is the error of a Prepare that lost against another operation; nothing is left of it.
type Refusal struct {
	Why   Why
	Taken []Reservation
}

func (r *Refusal) Error() string {
	return "journal: " + [...]string{"an object is locked by another operation", "an object has changed",
		"a unique value is taken", "the idempotency key is known"}[r.Why]
}

// maxChunk is the most rows in one statement, far below the limits on parameters of both dialects.
const maxChunk = 128

// Chunks cuts a list into parts whose lengths are powers of two: rows of any number are written by few statements, and
// there are few texts of statements for a database to keep prepared.
func Chunks[T any](list []T) iter.Seq[[]T] {
	return func(yield func([]T) bool) {
		size := maxChunk
		for len(list) > 0 {
			for size > len(list) {
				size /= 2
			}
			if !yield(list[:size]) {
				return
			}
			list = list[size:]
		}
	}
}

// Prepare writes the row and takes what the intent names, all in one transaction, or fails: with a *Refusal when another
// operation is in the way, with clacks.InDoubt when it is not known whether the row exists.
func (j *Journal) Prepare(ctx context.Context, in Intent) error {
	return j.prepare(ctx, in, false, func(statements []store.Statement) error {
		_, err := j.db.Exec(ctx, statements...)
		return err
	})
}

// PrepareBy is Prepare on PostgreSQL with statements that the caller commits: in one transaction, durable when commit
// returns nil, and with the errors of store.DB.Exec.
func (j *Journal) PrepareBy(ctx context.Context, in Intent, commit func(statements []store.Statement) error) error {
	return j.prepare(ctx, in, true, commit)
}

// prepare commits an intent. The first locks are joined to the row's statement where the database can do that.
func (j *Journal) prepare(ctx context.Context, in Intent, join bool, commit func(statements []store.Statement) error) error {
	if len(in.Locks) == 0 {
		return clacks.E(clacks.Internal, "journal.prepare", "operation %s locks nothing: nobody would find it again", in.Operation)
	}
	plan, err := j.seal(in.Operation, in.Plan)
	if err != nil {
		return err
	}
	header := "{}"
	if len(in.Header) > 0 {
		header = string(in.Header)
	}
	var key any
	if in.IdempotencyKey != "" {
		key = in.IdempotencyKey
	}
	statements := []store.Statement{{
		SQL: `INSERT INTO clacks_journal (operation, idempotency_key, request_hash, owner, epoch, state, plan, created, header)
VALUES (?, ?, ?, ?, ?, 'prepared', ?, ?, ?)`,
		Args: []any{in.Operation, key, in.RequestHash, j.owner, j.epoch.Load(), plan, j.now().UnixMilli(), header},
	}}
	reasons := []Why{Repeated}
	add := func(why Why, more ...store.Statement) {
		for _, s := range more {
			statements, reasons = append(statements, s), append(reasons, why)
		}
	}
	locks := lockStatements(in)
	if join {
		statements[0], locks = store.Fold(locks[0], statements[0]), locks[1:]
	}
	add(Busy, locks...)
	add(Stale, checkStatements(in.Checks)...)
	add(Taken, reserveStatements(in)...)
	return j.refusal(ctx, commit(statements), reasons, in)
}

func lockStatements(in Intent) []store.Statement {
	var list []store.Statement
	for part := range Chunks(in.Locks) {
		args := make([]any, 0, 2*len(part))
		for _, uuid := range part {
			args = append(args, uuid, in.Operation)
		}
		list = append(list, store.Statement{
			SQL: `INSERT INTO clacks_locks (uuid, operation) VALUES ` + tuples(len(part), "(?, ?)", ", "), Args: args,
		})
	}
	return list
}

// checkStatements come after the locks: whoever changes a version holds the lock, so what is read here stays.
func checkStatements(checks []Check) []store.Statement {
	var list []store.Statement
	for part := range Chunks(checks) {
		args := make([]any, 0, 2*len(part))
		for _, c := range part {
			args = append(args, c.UUID, c.Version)
		}
		list = append(list, store.Statement{
			SQL:  `SELECT 1 FROM clacks_objects WHERE ` + tuples(len(part), "(uuid = ? AND version = ?)", " OR "),
			Args: args, Rows: int64(len(part)),
		})
	}
	return list
}

func reserveStatements(in Intent) []store.Statement {
	var list []store.Statement
	for part := range Chunks(in.Unique) {
		args := make([]any, 0, 5*len(part))
		for _, u := range part {
			args = append(args, u.Type, u.Attribute, u.Key, u.UUID, in.Operation)
		}
		list = append(list, store.Statement{
			SQL: `INSERT INTO clacks_unique (type, attribute, value_key, uuid, operation) VALUES ` +
				tuples(len(part), "(?, ?, ?, ?, ?)", ", "),
			Args: args,
		})
	}
	return list
}

func tuples(n int, tuple, separator string) string {
	return strings.Repeat(tuple+separator, n-1) + tuple
}

// refusal turns the failure of a statement into what it means.
func (j *Journal) refusal(ctx context.Context, err error, reasons []Why, in Intent) error {
	if err == nil {
		return nil
	}
	var constraint *store.ConstraintError
	var rows *store.RowsError
	index := -1
	switch {
	case errors.As(err, &constraint) && constraint.Kind == store.ConstraintUnique:
		index = constraint.Index
	case errors.As(err, &rows):
		index = rows.Index
	}
	if index < 0 || index >= len(reasons) {
		return err
	}
	refusal := &Refusal{Why: reasons[index]}
	if constraint != nil && constraint.Table == "clacks_locks" {
		refusal.Why = Busy
	}
	if refusal.Why == Taken {
		taken, lookup := j.Taken(ctx, in.Unique)
		if lookup != nil {
			return lookup
		}
		refusal.Taken = taken
	}
	return refusal
}

// Taken are those of the reservations that another object holds.
func (j *Journal) Taken(ctx context.Context, wanted []Reservation) ([]Reservation, error) {
	var taken []Reservation
	for part := range Chunks(wanted) {
		args := make([]any, 0, 4*len(part))
		for _, u := range part {
			args = append(args, u.Type, u.Attribute, u.Key, u.UUID)
		}
		err := j.db.Query(ctx, `SELECT type, attribute, value_key, uuid FROM clacks_unique WHERE `+
			tuples(len(part), "(type = ? AND attribute = ? AND value_key = ? AND uuid <> ?)", " OR "), args,
			func(scan func(...any) error) error {
				var u Reservation
				if err := scan(&u.Type, &u.Attribute, &u.Key, &u.UUID); err != nil {
					return err
				}
				taken = append(taken, u)
				return nil
			})
		if err != nil {
			return nil, err
		}
	}
	return taken, nil
}
