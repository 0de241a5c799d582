package objects

import (
	"context"

	"clacks/backends"
	"clacks/internal/failpoint"
	"clacks/objects/journal"
)

// undo takes steps back, the last one first, each under the version that the entry has had since. It stops at the first
// that cannot be taken back now; recovery goes on from what it finds.
func (s *Service) undo(ctx context.Context, p *plan, done []int, versions map[string]string) error {
	if len(done) == 0 {
		return nil
	}
	s.counters.undone.Add(1)
	ctx, cancel := context.WithTimeout(ctx, s.limits.Resolve)
	defer cancel()
	for i := len(done) - 1; i >= 0; i-- {
		step := &p.Steps[done[i]]
		if err := internal(failpoint.Hit("undo/before-step")); err != nil {
			return err
		}
		change := step.Inverse()
		if change.Op != backends.OpCreate {
			change.Guard.Version = versions[entryKey(step)]
		}
		version, err := s.drive(ctx, step, change, journal.Before)
		if err != nil {
			return err
		}
		versions[entryKey(step)] = version
		if err := s.restore(ctx, step, versions); err != nil {
			return err
		}
		if err := internal(failpoint.Hit("undo/after-step")); err != nil {
			return err
		}
	}
	return nil
}

// restore brings the values back that taking a rename back has lost.
func (s *Service) restore(ctx context.Context, step *journal.Step, versions map[string]string) error {
	restoration := step.Restoration()
	if restoration == nil {
		return nil
	}
	if err := internal(failpoint.Hit("undo/before-restore")); err != nil {
		return err
	}
	b, err := s.backend(step.Backend)
	if err != nil {
		return err
	}
	found, err := s.probe(ctx, b, restoration)
	if err != nil || found.outcome == journal.After {
		return err
	}
	change := restoration.Change
	change.Guard.Version = found.version
	versions[entryKey(step)], err = s.drive(ctx, restoration, change, journal.After)
	return err
}
