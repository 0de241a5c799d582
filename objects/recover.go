package objects

import (
	"context"
	"errors"

	"clacks"
	"clacks/backends"
	"clacks/internal/failpoint"
	"clacks/objects/journal"
)

// recoverPending ends what dead owners left, and what this process left open. It returns the first error of those that
// could not be ended now; the others are ended all the same.
func (s *Service) recoverPending(ctx context.Context) error {
	var first error
	keep := func(operation string, err error) {
		if err != nil {
			s.log.Warn("an operation cannot be recovered yet", "operation", operation, "error", err)
			if first == nil {
				first = err
			}
		}
	}
	records, err := s.journal.Pending(ctx)
	if err != nil {
		return err
	}
	for i := range records {
		keep(records[i].Operation, s.takeOver(ctx, &records[i]))
	}
	for operation, to := range s.doubts.idle() {
		_, err := s.settle(ctx, operation, to)
		keep(operation, err)
	}
	return first
}

// takeOver claims a row of another owner, or of an earlier process of this one, and ends it.
func (s *Service) takeOver(ctx context.Context, r *journal.Record) error {
	if err := internal(failpoint.Hit("recover/before-claim")); err != nil {
		return err
	}
	mine, err := s.journal.Claim(ctx, r)
	if err != nil || !mine {
		return err
	}
	// Ours now, and so no longer pending: a failure below must not lose it.
	s.doubts.add(r.Operation, byState)
	if err := internal(failpoint.Hit("recover/after-claim")); err != nil {
		return err
	}
	_, err = s.settle(ctx, r.Operation, byState)
	return err
}

// settle brings an operation to its end by what its entries show, and returns the state in which it is then. An operation
// that shows nothing of itself is aborted, unless it must go forward: its caller may have been told that it failed.
func (s *Service) settle(ctx context.Context, operation string, to direction) (journal.State, error) {
	r, err := s.journal.Get(ctx, operation)
	if err != nil {
		return "", err
	}
	if r == nil {
		s.doubts.missing(operation)
		return journal.Aborted, nil
	}
	if r.State != journal.Prepared {
		s.doubts.settled(operation)
		return r.State, nil
	}
	p, err := decodePlan(r.Plan)
	if err != nil {
		return "", err
	}
	state, err := s.settlePlan(ctx, p, to)
	if err != nil {
		return "", err
	}
	s.doubts.settled(operation)
	s.rows.drop(p.rowsTouched()...)
	s.counters.recovered.Add(1)
	s.log.Info("an operation was recovered", "operation", operation, "state", state)
	return state, nil
}

// rowsTouched are rows good enough to be dropped from the cache.
func (p *plan) rowsTouched() []*row {
	rows := make([]*row, len(p.Rows))
	for i := range p.Rows {
		rows[i] = &row{uuid: p.Rows[i].UUID, dnKey: p.Rows[i].DNKey}
	}
	return rows
}

// findings is what the entries of a plan show.
type findings struct {
	outcomes []journal.Outcome
	versions map[string]string
	before   int // steps that are still to be done
	after    int // steps that are done
	neither  int
}

// survey probes every step outside of the state database, in order.
func (s *Service) survey(ctx context.Context, p *plan) (*findings, error) {
	f := &findings{outcomes: make([]journal.Outcome, len(p.Steps)), versions: map[string]string{}}
	for i := range p.Steps {
		step := &p.Steps[i]
		if s.joiners[step.Backend] != nil {
			continue // its rows were in the transaction that did not commit
		}
		b, err := s.backend(step.Backend)
		if err != nil {
			return nil, err
		}
		if waitsFor(p.Steps, f.outcomes, i) {
			f.before++ // an earlier change of the same entry is still to be done
			continue
		}
		found, err := s.probe(ctx, b, step)
		if err != nil {
			return nil, err
		}
		f.outcomes[i] = found.outcome
		f.versions[entryKey(step)] = found.version
		switch found.outcome {
		case journal.Before:
			f.before++
		case journal.After:
			f.after++
		case journal.Neither:
			f.neither++
		}
	}
	return f, nil
}

func waitsFor(steps []journal.Step, outcomes []journal.Outcome, i int) bool {
	for k := range i {
		if sameEntry(&steps[k], &steps[i]) && outcomes[k] == journal.Before {
			return true
		}
	}
	return false
}

// settlePlan is the table of the package comment.
func (s *Service) settlePlan(ctx context.Context, p *plan, to direction) (journal.State, error) {
	if err := internal(failpoint.Hit("recover/before-survey")); err != nil {
		return "", err
	}
	f, err := s.survey(ctx, p)
	if err != nil {
		return "", err
	}
	if err := internal(failpoint.Hit("recover/after-survey")); err != nil {
		return "", err
	}
	switch {
	case f.neither > 0:
		return s.park(ctx, p, nil)
	case f.after == 0 && (to != forward || f.before == 0):
		return s.takeBack(ctx, p, f, nil)
	case to == back:
		return s.takeBack(ctx, p, f, nil)
	}
	if err := s.applyRest(ctx, p, f); err != nil {
		if errors.Is(err, errParked) {
			return s.park(ctx, p, err)
		}
		if !definite(err) {
			return "", err
		}
		return s.takeBack(ctx, p, f, err)
	}
	return s.rollForward(ctx, p, f)
}

// applyRest does the steps that are still to be done.
func (s *Service) applyRest(ctx context.Context, p *plan, f *findings) error {
	ctx, cancel := context.WithTimeout(ctx, s.limits.Resolve) // a silent backend must not keep the others waiting
	defer cancel()
	for i := range p.Steps {
		step := &p.Steps[i]
		if s.joiners[step.Backend] != nil || f.outcomes[i] != journal.Before {
			continue
		}
		if err := internal(failpoint.Hit("recover/before-apply")); err != nil {
			return unknown(err)
		}
		change := step.Change
		if known := f.versions[entryKey(step)]; known != "" && change.Op != backends.OpCreate {
			change.Guard.Version = known
		}
		version, err := s.drive(ctx, step, change, journal.After)
		if err != nil {
			return err
		}
		f.outcomes[i] = journal.After
		f.versions[entryKey(step)] = version
		if err := internal(failpoint.Hit("recover/after-apply")); err != nil {
			return unknown(err)
		}
	}
	return nil
}

// unknown makes the failure of recovery itself one that leaves the operation as it is.
func unknown(err error) error {
	return clacks.E(clacks.InDoubt, "objects.recover", "interrupted: %w", err)
}

// rollForward is step 5 anew, from the plan.
func (s *Service) rollForward(ctx context.Context, p *plan, f *findings) (journal.State, error) {
	if err := internal(failpoint.Hit("recover/before-commit")); err != nil {
		return "", err
	}
	_, err := s.write(ctx, p, f.versions, nil, nil)
	if err == nil {
		s.recorder.Recorded()
		return journal.Committed, internal(failpoint.Hit("recover/after-commit"))
	}
	// The first commit may have arrived after all, and then it is what stands in the way of this one.
	r, readErr := s.journal.Get(ctx, p.Operation)
	switch {
	case readErr != nil:
		return "", readErr
	case r != nil && r.State != journal.Prepared:
		return r.State, nil
	}
	if errors.Is(err, errClaimed) || !definite(err) {
		return "", err
	}
	return s.takeBack(ctx, p, f, err)
}

// takeBack undoes what is done of a plan that cannot be finished.
func (s *Service) takeBack(ctx context.Context, p *plan, f *findings, cause error) (journal.State, error) {
	var done []int
	for i, outcome := range f.outcomes {
		if outcome == journal.After && s.joiners[p.Steps[i].Backend] == nil {
			done = append(done, i)
		}
	}
	err := s.undo(ctx, p, done, f.versions)
	if err == nil {
		err = s.restoreNames(ctx, p, f)
	}
	switch {
	case err == nil:
		return s.aborted(ctx, p)
	case errors.Is(err, errParked) || definite(err) && !isFailpoint(err):
		return s.park(ctx, p, errors.Join(cause, err))
	}
	return "", err
}

// restoreNames completes renames that were taken back before a crash.
func (s *Service) restoreNames(ctx context.Context, p *plan, f *findings) error {
	for i := range p.Steps {
		if err := s.restore(ctx, &p.Steps[i], f.versions); err != nil {
			return err
		}
	}
	return nil
}

func isFailpoint(err error) bool {
	var f *failpoint.Error
	return errors.As(err, &f)
}

func (s *Service) aborted(ctx context.Context, p *plan) (journal.State, error) {
	return s.endRecovery(ctx, p, journal.Aborted)
}

// park leaves an operation for a person: what it touches was written by somebody else, and is not overwritten.
func (s *Service) park(ctx context.Context, p *plan, cause error) (journal.State, error) {
	s.counters.parked.Add(1)
	objects := make([]string, len(p.Rows))
	for i := range p.Rows {
		objects[i] = p.Rows[i].UUID
	}
	s.log.Error("an operation is parked: others have changed what it touches", "operation", p.Operation,
		"objects", objects, "error", cause)
	return s.endRecovery(ctx, p, journal.Parked)
}

func (s *Service) endRecovery(ctx context.Context, p *plan, state journal.State) (journal.State, error) {
	if err := internal(failpoint.Hit("recover/before-end")); err != nil {
		return "", err
	}
	ended, err := s.journal.End(ctx, p.Operation, state, "recovery")
	if err != nil {
		return "", err
	}
	if !ended { // it has ended meanwhile, or is another agent's
		r, err := s.journal.Get(ctx, p.Operation)
		if err != nil || r == nil || r.State == journal.Prepared {
			return "", unknown(errors.Join(errClaimed, err))
		}
		return r.State, nil
	}
	return state, internal(failpoint.Hit("recover/after-end"))
}
