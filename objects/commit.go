package objects

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"clacks"
	"clacks/backends"
	"clacks/internal/failpoint"
	"clacks/internal/store"
	"clacks/objects/journal"
)

// again is a refusal after which the same request may succeed when it is planned anew: another commit was in the way.
// Nothing is left of the try.
type again struct {
	busy  bool   // wait before the next try
	known bool   // the plan came from memory, and others have written since
	taken string // a name that the directory has although the index does not know it
	err   error  // the answer when there is no next try
}

func (a *again) Error() string { return a.err.Error() }
func (a *again) Unwrap() error { return a.err }

// execution is a plan on its way through the steps.
type execution struct {
	*plan
	opened   bool                    // the transaction of step 3 was opened in step 2
	tx       transaction             // of step 3, where it is kept open; else nil
	refused  error                   // why it could not be opened
	done     []int                   // the indexes of the steps that are done
	versions map[string]string       // the last known version of each entry
	endTurn  func()                  // another commit may begin
	shown    map[int]*backends.Entry // what a directory has shown of an entry after a step, by the step's index
}

// commit carries a plan out: steps 2 to 6 of the package comment. After it, either all of it is done and the result is
// returned, or nothing is left of it, or the error is clacks.InDoubt and recovery ends it.
func (s *Service) commit(ctx context.Context, p *plan) (*Result, error) {
	endTurn, err := s.takeTurn(ctx)
	if err != nil {
		return nil, err
	}
	defer endTurn()
	s.doubts.begin(p.Operation)
	defer s.doubts.end(p.Operation)
	committed := false
	defer func() {
		if !committed {
			s.rows.drop(p.touched...)
			s.forget(p)
		}
	}()
	x := &execution{plan: p, versions: map[string]string{}, shown: map[int]*backends.Entry{}, endTurn: endTurn}
	defer x.rollback()
	if err := s.prepare(ctx, x); err != nil {
		return nil, err
	}
	// From here on the caller's patience no longer decides: a commit that is half done must come to its end.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.limits.Commit)
	defer cancel()
	if p.verify != nil {
		if err := p.verify(ctx); err != nil {
			s.end(ctx, p.Operation, journal.Aborted, err)
			return nil, err
		}
	}
	if err := s.checkSurroundings(ctx, x); err != nil {
		return nil, s.abort(ctx, x, err)
	}
	if err := s.applySteps(ctx, x); err != nil {
		return nil, s.abort(ctx, x, err)
	}
	sequence, err := s.commitPoint(ctx, x)
	if err != nil {
		return s.afterCommitPoint(ctx, x, err)
	}
	committed = true
	rows := p.rowsAfter()
	s.rows.follow(p.touched, rows)
	s.learn(x, rows)
	s.recorder.Recorded()
	s.freeNumbers(p)
	result := p.Result
	result.Sequence = sequence
	return &result, nil
}

// takeTurn waits until fewer commits than allowed are under way. Each holds a connection to the state database while it waits
// for the other backends: when these are slow, some must be left for everything else. And a directory writes one change
// after the other anyway; the more connections wait for it, the more of the database's memory is touched in turn.
//
// The turn ends when end is called, which may be done more than once.
func (s *Service) takeTurn(ctx context.Context) (end func(), err error) {
	if s.turns == nil {
		return func() {}, nil
	}
	end = sync.OnceFunc(func() { <-s.turns })
	select {
	case s.turns <- struct{}{}:
		return end, nil
	default:
	}
	s.waiting.Add(1)
	defer s.waiting.Add(-1)
	timer := time.NewTimer(s.limits.Wait)
	defer timer.Stop()
	select {
	case s.turns <- struct{}{}:
		return end, nil
	case <-timer.C:
		return nil, clacks.E(clacks.Unavailable, "objects.commit", "too many changes are waiting for slow backends")
	case <-ctx.Done():
		return nil, clacks.E(clacks.Unavailable, "objects.commit", "the request was given up: %w", ctx.Err())
	}
}

// freeNumbers tells the giver of numbers that some may be free again.
func (s *Service) freeNumbers(p *plan) {
	if slices.ContainsFunc(p.Rows, func(c rowChange) bool { return c.Op == rowDelete || len(c.Drop) > 0 }) {
		s.numbers.freed()
	}
}

// rollback ends the transaction of step 3, if it is open.
func (x *execution) rollback() {
	if x.tx != nil {
		x.tx.Rollback()
	}
}

// checkSurroundings is step 3: what is locked is looked at once more, and the rows of SQL backends in the same database are
// written, not yet committed: their constraints refuse here, before another backend is touched.
func (s *Service) checkSurroundings(ctx context.Context, x *execution) error {
	if err := internal(failpoint.Hit("commit/before-check")); err != nil {
		return err
	}
	var err error
	if x.opened {
		err = s.notOpened(x.plan, x.refused)
	} else if err = s.look(ctx, x.plan); err == nil {
		err = s.tryRows(ctx, x.plan)
	}
	if err != nil {
		return err
	}
	return internal(failpoint.Hit("commit/after-check"))
}

// notOpened gives the refusal of the transaction's first statements its meaning.
func (s *Service) notOpened(p *plan, err error) error {
	if err == nil {
		return nil
	}
	first := 0
	if lookStatement(p) != nil {
		first = 1
	}
	var rows *store.RowsError
	if errors.As(err, &rows) && rows.Index < first {
		return disturbed()
	}
	return s.refused(p, err, first, math.MaxInt)
}

func disturbed() error {
	return &again{busy: true, err: clacks.E(clacks.Conflict, "objects.commit", "the parent is being changed by others")}
}

// look makes sure that nobody moves or removes the parents of new names, nor gives names below what is moved or removed
// here. Both sides have locked before they look, so at least the later one sees the other. Recovery need not look again:
// the locks keep the others away until the operation has ended.
func (s *Service) look(ctx context.Context, p *plan) error {
	look := lookStatement(p)
	if look == nil {
		return nil
	}
	undisturbed := false
	err := s.db.Query(ctx, look.SQL, look.Args, func(func(...any) error) error { undisturbed = true; return nil })
	if err == nil && !undisturbed {
		return disturbed()
	}
	return err
}

// tryRows writes the rows of SQL backends in the same database where the transaction cannot stay open: SQLite has one
// writer, who must not wait for a directory. It is taken back, and the rows are written again at the commit point. Without
// another backend that is soon enough.
func (s *Service) tryRows(ctx context.Context, p *plan) error {
	if s.batches == nil || s.allJoined(p) {
		return nil
	}
	joined, err := s.joinedStatements(p)
	if err != nil || len(joined) == 0 {
		return err
	}
	tx, err := s.db.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.Exec(ctx, joined...); err != nil {
		return s.refused(p, err, 0, len(joined))
	}
	return nil
}

func (s *Service) allJoined(p *plan) bool {
	return !slices.ContainsFunc(p.Steps, func(step journal.Step) bool { return s.joiners[step.Backend] == nil })
}

// joinedStatements are the steps of SQL backends in the state database.
func (s *Service) joinedStatements(p *plan) ([]store.Statement, error) {
	var list []store.Statement
	for i := range p.Steps {
		joiner := s.joiners[p.Steps[i].Backend]
		if joiner == nil {
			continue
		}
		statements, err := joiner.Statements(p.Steps[i].Change)
		if err != nil {
			return nil, s.inFields(p, &p.Steps[i], err)
		}
		list = append(list, statements...)
	}
	return list, nil
}

// applySteps is step 4: the changes of all other backends, one after the other.
func (s *Service) applySteps(ctx context.Context, x *execution) error {
	for i := range x.Steps {
		step := &x.Steps[i]
		if s.joiners[step.Backend] != nil {
			continue
		}
		if err := internal(failpoint.Hit("commit/before-apply")); err != nil {
			return err
		}
		change := step.Change
		if known := x.versions[entryKey(step)]; known != "" && change.Guard.Version == "" && change.Op != backends.OpCreate {
			change.Guard.Version = known
		}
		result, err := s.apply(ctx, step, change)
		if err != nil {
			return s.inStep(x, step, err)
		}
		x.done = append(x.done, i)
		x.versions[entryKey(step)] = result.Version
		x.shown[i] = result.Entry
		if err := internal(failpoint.Hit("commit/after-apply")); err != nil {
			return err
		}
	}
	return nil
}

// entryKey tells the entries of a plan apart: an object has one in a directory and one in each table.
func entryKey(step *journal.Step) string {
	return keyOfEntry(step.Backend, step.Change.Ref.Table, step.Object)
}

func keyOfEntry(backend, table, object string) string { return backend + "/" + table + "/" + object }

// commitPoint is step 5. Its error is *again or definite when nothing was committed, clacks.InDoubt when that is open.
func (s *Service) commitPoint(ctx context.Context, x *execution) (int64, error) {
	if err := internal(failpoint.Hit("commit/before-commit")); err != nil {
		return 0, err
	}
	sequence, err := s.write(ctx, x.plan, x.versions, x.tx, x.next(s))
	if err == nil {
		_ = failpoint.Hit("commit/after-commit") // an error here would be too late to matter
	}
	return sequence, err
}

// next ends the turn where others wait for one.
func (x *execution) next(s *Service) func() {
	if s.waiting.Load() == 0 {
		return nil
	}
	return x.endTurn
}

// errClaimed says that another agent took this one for dead and has the operation now.
var errClaimed = errors.New("objects: another agent has claimed the operation")

// write is the transaction of the commit point: the locks and the journal row first, since that fails when another agent has
// claimed the operation; then rows; the events last, since they hold the lock that makes sequence numbers follow the order of commits.
// tx is the one of step 3 with the rows of SQL backends and those of clacks_values and clacks_unique, or nil; next is of
// transaction.Commit.
func (s *Service) write(ctx context.Context, p *plan, versions map[string]string, tx transaction, next func()) (int64, error) {
	result, err := encodeResult(p)
	if err != nil {
		return 0, err
	}
	var joined []store.Statement
	if tx == nil {
		if joined, err = s.joinedStatements(p); err != nil {
			return 0, err
		}
	}
	statements := []store.Statement{s.journal.Unlock(p.Operation), s.journal.Committed(p.Operation, result)}
	if s.batches == nil {
		statements = []store.Statement{store.Fold(statements...)}
	}
	first := len(statements)
	statements = append(statements, joined...)
	for i := range p.Rows {
		c := &p.Rows[i]
		c.know(versions)
		statements = append(statements, c.objectStatements()...)
		if tx == nil {
			statements = append(statements, c.valueStatements()...)
		}
	}
	sequence, err := s.commitWith(ctx, p, tx, next, statements)
	if err != nil {
		return 0, s.refused(p, err, first, first+len(joined))
	}
	return sequence, nil
}

// commitWith commits statements and the plan's events, and returns the number of the last event.
func (s *Service) commitWith(ctx context.Context, p *plan, tx transaction, next func(), statements []store.Statement) (int64, error) {
	if s.batches != nil {
		j := &job{statements: statements, events: p.Events}
		err := s.batches.run(ctx, j)
		return j.sequence, err
	}
	events, err := s.recorder.Record(p.Events)
	if err != nil {
		return 0, err
	}
	if tx == nil {
		if tx, err = s.db.Begin(ctx); err != nil {
			return 0, err
		}
		defer tx.Rollback()
	}
	results, err := tx.Commit(ctx, next, append(statements, events...)...)
	if err != nil {
		return 0, err
	}
	return results[len(results)-1].Value, nil
}

// abort ends an operation of which the steps in x.done were carried out: they are taken back, and the row is ended. The
// error is what the caller is told.
func (s *Service) abort(ctx context.Context, x *execution, cause error) error {
	x.rollback() // before the undo, which may take long, and before the end, which needs another connection
	if clacks.IsKind(cause, clacks.InDoubt) {
		s.doubts.add(x.Operation, forward)
		return cause
	}
	err := s.undo(ctx, x.plan, x.done, x.versions)
	if errors.Is(err, errParked) {
		if _, err = s.park(ctx, x.plan, cause); err == nil {
			return clacks.E(clacks.InDoubt, "objects.commit", "others have changed what a failed change touched: %w", cause)
		}
	}
	if err != nil {
		s.doubts.add(x.Operation, back)
		s.log.Error("a commit could not be taken back yet", "operation", x.Operation, "cause", cause, "error", err)
		return clacks.E(clacks.InDoubt, "objects.commit", "the change failed and could not be taken back yet: %w", cause)
	}
	s.end(ctx, x.Operation, journal.Aborted, cause)
	return cause
}

// end writes the outcome into the journal. When that fails nothing is lost: recovery finds all entries as before and ends
// the row in the same way.
func (s *Service) end(ctx context.Context, operation string, state journal.State, cause error) {
	err := internal(failpoint.Hit("abort/before-end"))
	if err == nil {
		_, err = s.journal.End(ctx, operation, state, reasonOf(cause))
	}
	if err == nil {
		err = internal(failpoint.Hit("abort/after-end"))
	}
	if err != nil {
		s.doubts.add(operation, back)
		s.log.Warn("the outcome of an operation is not in the journal yet", "operation", operation, "state", state, "error", err)
	}
}

// reasonOf is what the journal keeps of an error: its kind only, since reasons may quote values.
func reasonOf(err error) string { return clacks.KindOf(err).String() }

// afterCommitPoint decides after a commit that returned an error: done, refused, or open.
func (s *Service) afterCommitPoint(ctx context.Context, x *execution, cause error) (*Result, error) {
	x.rollback()
	switch {
	case errors.Is(cause, errClaimed):
		s.log.Error("another agent has taken over an operation", "operation", x.Operation)
		return nil, clacks.E(clacks.InDoubt, "objects.commit", "another agent decides on the outcome")
	case clacks.IsKind(cause, clacks.InDoubt), clacks.IsKind(cause, clacks.Unavailable) && len(x.done) > 0:
		return s.settleNow(ctx, x, cause)
	}
	return nil, s.abort(ctx, x, cause)
}

// settleNow asks the journal what became of a commit; if the state database does not answer in time, recovery does it.
func (s *Service) settleNow(ctx context.Context, x *execution, cause error) (*Result, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limits.Resolve)
	defer cancel()
	for wait := newBackoff(); ; wait.sleep(ctx) {
		state, err := s.settle(ctx, x.Operation, forward)
		if err == nil && state == journal.Committed {
			s.recorder.Recorded()
			return s.outcome(ctx, x.Operation)
		}
		if err == nil {
			return nil, clacks.E(clacks.Unavailable, "objects.commit", "the state database failed, nothing was changed: %w", cause)
		}
		if ctx.Err() != nil {
			s.doubts.add(x.Operation, forward)
			return nil, clacks.E(clacks.InDoubt, "objects.commit", "the state database does not answer: %w", cause)
		}
	}
}

// inStep gives the refusal of a backend its meaning: worth another plan, or the caller's answer in his own terms.
func (s *Service) inStep(x *execution, step *journal.Step, err error) error {
	if len(x.done) == 0 || !clacks.IsKind(err, clacks.InDoubt) {
		switch {
		case clacks.IsKind(err, clacks.Conflict):
			return &again{err: clacks.E(clacks.Conflict, "objects.commit", "the entry is being changed by others: %w", err)}
		case clacks.IsKind(err, clacks.NotUnique) && step.Change.Ref.Table == "" && createsName(step):
			return &again{taken: nameOf(step), err: s.inFields(x.plan, step, err)}
		case clacks.IsKind(err, clacks.NotFound):
			return &again{err: s.inFields(x.plan, step, err)}
		}
	}
	return s.inFields(x.plan, step, err)
}

func createsName(step *journal.Step) bool {
	return step.Change.Op == backends.OpCreate || step.Change.Op == backends.OpRename
}

func nameOf(step *journal.Step) string {
	if step.Change.Op == backends.OpRename {
		return step.Change.To.DN
	}
	return step.Change.Ref.DN
}

// inFields names the object's attributes in an error that names those of a backend.
func (s *Service) inFields(p *plan, step *journal.Step, err error) error {
	var e *clacks.Error
	if !errors.As(err, &e) {
		return clacks.E(clacks.Internal, "objects.commit", "%s: %w", step.Backend, err)
	}
	if len(e.Fields) == 0 {
		return err
	}
	translated := *e
	translated.Fields = slices.Clone(e.Fields)
	for i, f := range translated.Fields {
		if f.Attribute != "" {
			translated.Fields[i].Attribute = p.field(step.Backend, f.Attribute)
		}
	}
	return &translated
}

func internal(err error) error {
	if err == nil {
		return nil
	}
	return clacks.E(clacks.Internal, "objects.commit", "%w", err)
}

// refused gives the failure of a statement its meaning; those from and before to are of SQL backends.
func (s *Service) refused(p *plan, err error, from, to int) error {
	var rows *store.RowsError
	var constraint *store.ConstraintError
	switch {
	case errors.As(err, &rows) && rows.Index < from:
		return errClaimed
	case errors.As(err, &rows):
		return &again{err: clacks.E(clacks.Conflict, "objects.commit", "the object is being changed by others: %w", err)}
	case errors.As(err, &constraint) && (constraint.Index < from || constraint.Index >= to):
		return &again{err: ownConstraint(constraint)}
	case errors.As(err, &constraint):
		return s.constraint(p, constraint)
	}
	return err
}

// ownConstraint is the refusal of one of the service's own tables: of all that they refuse only the name is the caller's.
func ownConstraint(c *store.ConstraintError) error {
	if c.Kind == store.ConstraintUnique && c.Table == "clacks_objects" && c.Column == "dn_key" {
		return clacks.E(clacks.NotUnique, "objects.commit", "the name is taken: %w", c)
	}
	return clacks.E(clacks.Internal, "objects.commit", "the index refuses the change: %w", c)
}

// constraint is the refusal of a mapped table, in terms of the object's attributes.
func (s *Service) constraint(p *plan, c *store.ConstraintError) error {
	e := &clacks.Error{Op: "objects.commit", Kind: clacks.Invalid, Reason: "the database refuses the change", Err: c}
	code, reason := clacks.CodeCheck, "the database refuses the value"
	switch c.Kind {
	case store.ConstraintUnique:
		e.Kind, code, reason = clacks.NotUnique, clacks.CodeNotUnique, "is taken"
	case store.ConstraintNotNull:
		code, reason = clacks.CodeMandatory, "the database demands a value"
	case store.ConstraintType:
		code, reason = clacks.CodeType, "does not fit into the column"
	case store.ConstraintForeign:
		e.Kind, reason = clacks.InUse, "rows of another table are in the way"
	case store.ConstraintCheck:
	}
	if c.Column == "" {
		e.Reason = fmt.Sprintf("%s: %s constraint %s", e.Reason, c.Kind, c.Name)
		return e
	}
	attribute := p.field("", c.Column, c.Table+"/"+c.Column)
	e.Fields = []clacks.Field{{Attribute: attribute, Code: code, Reason: reason}}
	return e
}
