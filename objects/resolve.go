package objects

import (
	"context"
	"errors"
	"strings"

	"clacks"
	"clacks/backends"
	"clacks/internal/dn"
	"clacks/objects/journal"
)

// apply makes one change. When the backend does not say what became of it, the entry is read back and the same guarded
// change is sent again until one of both tells: a request that is applied late finds its guard false, or its effect there
// already. clacks.InDoubt is returned only when the backend stays silent for Limits.Resolve.
func (s *Service) apply(ctx context.Context, step *journal.Step, change backends.Change) (backends.Result, error) {
	b, err := s.backend(step.Backend)
	if err != nil {
		return backends.Result{}, err
	}
	result, err := b.Apply(ctx, change)
	if !clacks.IsKind(err, clacks.InDoubt) {
		return result, err
	}
	s.counters.doubts.Add(1)
	s.log.Warn("a backend did not say what became of a change", "backend", step.Backend, "op", change.Op, "error", err)
	ctx, cancel := context.WithTimeout(ctx, s.limits.Resolve)
	defer cancel()
	for wait := newBackoff(); ctx.Err() == nil; wait.sleep(ctx) {
		shown, probeErr := s.probe(ctx, b, step)
		switch {
		case probeErr != nil:
		case shown.outcome == journal.After:
			return backends.Result{Version: shown.version}, nil
		case shown.outcome == journal.Neither:
			return backends.Result{}, clacks.E(clacks.InDoubt, "objects.resolve", "others have changed the entry: %w", err)
		default:
			result, next := b.Apply(ctx, change)
			if next == nil {
				return result, nil
			}
			if definite(next) {
				return s.last(ctx, b, step, next)
			}
		}
	}
	return backends.Result{}, err
}

// last looks once more after a second send was refused: the first one may be the reason.
func (s *Service) last(ctx context.Context, b backends.Backend, step *journal.Step, refusal error) (backends.Result, error) {
	for wait := newBackoff(); ; wait.sleep(ctx) {
		shown, err := s.probe(ctx, b, step)
		switch {
		case err == nil && shown.outcome == journal.After:
			return backends.Result{Version: shown.version}, nil
		case err == nil && shown.outcome == journal.Before:
			return backends.Result{}, refusal
		case err == nil || ctx.Err() != nil:
			return backends.Result{}, clacks.E(clacks.InDoubt, "objects.resolve", "the outcome is open: %w", refusal)
		}
	}
}

// definite reports whether an error says that a change was refused for good.
func definite(err error) bool {
	kind := clacks.KindOf(err)
	return err != nil && kind != clacks.InDoubt && kind != clacks.Unavailable
}

// shown is what an entry shows of a step, and its version.
type shown struct {
	outcome journal.Outcome
	version string
}

// probe reads an entry back and compares what the step touches, and nothing else.
func (s *Service) probe(ctx context.Context, b backends.Backend, step *journal.Step) (shown, error) {
	if b.Capabilities().Kind == backends.Tree {
		return probeTree(ctx, b, step)
	}
	return probeTable(ctx, b, step)
}

// probeTree finds the entry by its UUID, so that a rename above it does not hide it.
func probeTree(ctx context.Context, b backends.Backend, step *journal.Step) (shown, error) {
	c := step.Change
	e, err := readOrNil(ctx, b, backends.Ref{UUID: step.Object}, touchedNames(c))
	if err != nil {
		return shown{}, err
	}
	if e == nil {
		switch c.Op {
		case backends.OpCreate:
			return shown{outcome: journal.Before}, nil
		case backends.OpDelete:
			return shown{outcome: journal.After}, nil
		}
		return shown{outcome: journal.Neither}, nil
	}
	found := shown{version: e.Version}
	switch c.Op {
	case backends.OpCreate:
		found.outcome = journal.Neither
		if dn.Equal(e.DN, c.Ref.DN) {
			found.outcome = journal.After
		}
	case backends.OpDelete:
		found.outcome = journal.Before
	case backends.OpRename:
		switch {
		case dn.Equal(e.DN, c.To.DN):
			found.outcome = journal.After
		case dn.Equal(e.DN, c.Ref.DN):
			found.outcome = journal.Before
		default:
			found.outcome = journal.Neither
		}
	case backends.OpModify:
		found.outcome = step.CompareEntry(e.Values)
	}
	return found, nil
}

func probeTable(ctx context.Context, b backends.Backend, step *journal.Step) (shown, error) {
	c := step.Change
	e, err := readOrNil(ctx, b, c.Ref, touchedNames(c))
	if err != nil {
		return shown{}, err
	}
	found := shown{outcome: journal.Neither}
	if e != nil {
		found.version = e.Version
	}
	switch {
	case c.Op == backends.OpRename:
		to, err := readOrNil(ctx, b, c.To, nil)
		switch {
		case err != nil:
			return shown{}, err
		case to != nil && e == nil:
			return shown{outcome: journal.After, version: to.Version}, nil
		case to == nil && e != nil:
			found.outcome = journal.Before
		}
	case c.Op == backends.OpCreate && e == nil, c.Op == backends.OpDelete && e != nil:
		found.outcome = journal.Before
	case c.Op == backends.OpCreate && journal.Holds(e.Values, c.Add), c.Op == backends.OpDelete:
		found.outcome = journal.After
	case c.Op == backends.OpModify && e != nil:
		found.outcome = step.CompareValues(e.Values)
	}
	return found, nil
}

func readOrNil(ctx context.Context, b backends.Backend, ref backends.Ref, want []string) (*backends.Entry, error) {
	e, err := b.Read(ctx, ref, want)
	if clacks.IsKind(err, clacks.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return e, nil
}

// touchedNames are the attributes to read back. A directory's new entry is recognised by its UUID alone.
func touchedNames(c backends.Change) []string {
	var names []string
	for _, m := range c.Mods {
		names = append(names, m.Attribute)
	}
	for name := range c.Add {
		names = append(names, name)
	}
	return names
}

// drive brings an entry to one side of a step, by a change that others may not disturb: when the guard is false although
// the touched values are still those of the other side, the change is sent again under the entry's version of now.
// It returns the entry's version after it, errParked when others wrote the touched values, or the refusal.
func (s *Service) drive(ctx context.Context, step *journal.Step, change backends.Change, want journal.Outcome) (string, error) {
	b, err := s.backend(step.Backend)
	if err != nil {
		return "", err
	}
	for wait := newBackoff(); ; wait.sleep(ctx) {
		result, err := b.Apply(ctx, change)
		if err == nil {
			return result.Version, nil
		}
		found, probeErr := s.probe(ctx, b, step)
		switch {
		case probeErr != nil:
			err = probeErr
		case found.outcome == want:
			return found.version, nil
		case found.outcome == journal.Neither:
			return "", errParked
		case clacks.IsKind(err, clacks.Conflict) && ctx.Err() == nil:
			change.Guard.Version, change.Guard.Old = found.version, nil
			continue
		case definite(err):
			return "", err
		}
		if ctx.Err() != nil {
			return "", clacks.E(clacks.InDoubt, "objects.resolve", "the backend %s does not answer: %w", step.Backend, err)
		}
	}
}

// errParked says that somebody else has written what an operation touches.
var errParked = errors.New("objects: others have changed the touched values")

// sameEntry reports whether two steps concern one entry.
func sameEntry(a, b *journal.Step) bool {
	return a.Backend == b.Backend && strings.EqualFold(a.Object, b.Object) && a.Change.Ref.Table == b.Change.Ref.Table
}
