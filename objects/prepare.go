package objects

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"clacks"
	"clacks/internal/failpoint"
	"clacks/internal/store"
	"clacks/objects/journal"
)

// prepare is step 2: from here on the plan survives a crash. The transaction of step 3 is opened with it where it stays
// open, since both travel together.
func (s *Service) prepare(ctx context.Context, x *execution) error {
	if err := internal(failpoint.Hit("commit/before-prepare")); err != nil {
		return err
	}
	intent, err := s.intent(x.plan)
	if err != nil {
		return err
	}
	err = s.makeDurable(ctx, x, intent)
	if clacks.IsKind(err, clacks.InDoubt) {
		// If the row is there after all, recovery finds everything as before and ends it.
		s.doubts.add(x.Operation, back)
		return clacks.E(clacks.Unavailable, "objects.prepare", "the state database failed, nothing was changed: %w", err)
	}
	var refusal *journal.Refusal
	if errors.As(err, &refusal) {
		return s.refusal(x.plan, refusal)
	}
	if err != nil {
		return err
	}
	if err := internal(failpoint.Hit("commit/after-prepare")); err != nil {
		x.rollback()
		s.end(context.WithoutCancel(ctx), x.Operation, journal.Aborted, err)
		return err
	}
	return nil
}

func (s *Service) makeDurable(ctx context.Context, x *execution, intent journal.Intent) error {
	if s.batches != nil || s.allJoined(x.plan) {
		return s.journal.Prepare(ctx, intent)
	}
	joined, err := s.joinedStatements(x.plan)
	if err != nil {
		return err
	}
	if len(joined) == 0 {
		return s.journal.Prepare(ctx, intent)
	}
	second := joined
	if look := lookStatement(x.plan); look != nil {
		second = append([]store.Statement{*look}, joined...)
	}
	var later []store.Statement
	for i := range x.Rows {
		later = append(later, x.Rows[i].valueStatements()...)
	}
	if n := len(later); n > 1 && n <= maxFolded {
		later = []store.Statement{store.Fold(later...)}
	}
	return s.journal.PrepareBy(ctx, intent, func(first []store.Statement) (err error) {
		x.tx, x.refused, err = s.db.ExecAndBegin(ctx, first, second, later)
		x.opened = err == nil
		return err
	})
}

// maxFolded is how many statements are made one: there shall be few texts of statements for the database to keep prepared.
const maxFolded = 6

// planHeader is what the journal says of a plan to people.
type planHeader struct {
	Actor   string `json:"actor"`
	Change  string `json:"change"`
	DN      string `json:"dn"`
	Objects int    `json:"objects"`
	Steps   int    `json:"steps"`
	Type    string `json:"type"`
}

func (s *Service) intent(p *plan) (journal.Intent, error) {
	data, err := p.encode()
	if err != nil {
		return journal.Intent{}, err
	}
	header, err := json.Marshal(planHeader{Actor: p.Actor, Change: p.Events[0].ChangeType, DN: p.Events[0].DN, Objects: len(p.Rows),
		Steps: len(p.Steps), Type: p.Events[0].ObjectType})
	if err != nil {
		return journal.Intent{}, clacks.E(clacks.Internal, "objects.prepare", "header: %w", err)
	}
	in := journal.Intent{
		Operation: p.Operation, IdempotencyKey: p.key, RequestHash: p.hash, Header: header, Plan: data, Unique: p.unique,
	}
	for i := range p.Rows {
		c := &p.Rows[i]
		in.Locks = append(in.Locks, c.UUID)
		if c.Op != rowInsert {
			in.Checks = append(in.Checks, journal.Check{UUID: c.UUID, Version: c.Old})
		}
		if c.Op == rowInsert || c.Renamed {
			in.Locks = append(in.Locks, nameLock(c.DNKey))
		}
	}
	slices.Sort(in.Locks)
	in.Locks = slices.Compact(in.Locks)
	return in, nil
}

func (s *Service) refusal(p *plan, r *journal.Refusal) error {
	switch r.Why {
	case journal.Taken:
		return s.notUnique(p, r.Taken)
	case journal.Repeated:
		return &again{err: clacks.E(clacks.Conflict, "objects.prepare", "a request with the same idempotency key is running")}
	case journal.Busy:
		return &again{busy: true, err: clacks.E(clacks.Conflict, "objects.prepare", "the object is being changed by others")}
	case journal.Stale:
	}
	return &again{err: clacks.E(clacks.Conflict, "objects.prepare", "the object has been changed by others")}
}

// notUnique names the attributes whose values others have; the values themselves are the caller's own.
func (s *Service) notUnique(p *plan, taken []journal.Reservation) error {
	if len(taken) == 0 { // the other one has given it up meanwhile
		return &again{err: clacks.E(clacks.Conflict, "objects.prepare", "a unique value was in use")}
	}
	var wrong fields
	for _, u := range taken {
		if !slices.ContainsFunc(wrong, func(f clacks.Field) bool { return f.Attribute == u.Attribute }) {
			wrong.add(u.Attribute, clacks.CodeNotUnique, "another object has this value")
		}
	}
	return wrong.err("objects.prepare", p.Events[0].ObjectType)
}

// splitTreeKey takes an entryKey of a directory's entry apart.
func splitTreeKey(key string) (backend, object string, ok bool) {
	const uuidLength = 36
	if len(key) < uuidLength+2 || key[len(key)-uuidLength-2:len(key)-uuidLength] != "//" {
		return "", "", false
	}
	return key[:len(key)-uuidLength-2], key[len(key)-uuidLength:], true
}
