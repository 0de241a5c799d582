package objects

import (
	"context"
	"errors"
	"sort"
	"time"

	"clacks"
)

// Start makes the service ready: it ends what a crash left open, and builds the index when there is none; with an index
// there it reads nothing of it. When a backend or the state database does not answer, Start returns all the same, Ready
// says why, and the service becomes ready by itself. It fails only for what waiting cannot mend. The context ends the
// work behind the scenes, as Stop does.
func (s *Service) Start(ctx context.Context) error {
	ctx, s.stop = context.WithCancel(ctx)
	err := s.prepareService(ctx)
	s.setReady(err)
	if err != nil && !temporary(err) {
		s.stop()
		return err
	}
	if err != nil {
		s.log.Warn("the service is not ready yet", "error", err)
	}
	s.ended.Add(3)
	go s.work(ctx, err != nil)
	go s.beat(ctx)
	go s.sweepUntil(ctx)
	return nil
}

func temporary(err error) bool {
	return clacks.IsKind(err, clacks.Unavailable) || clacks.IsKind(err, clacks.InDoubt)
}

func (s *Service) setReady(err error) { s.ready.Store(&err) }

// prepareService is what must be done before the first request.
func (s *Service) prepareService(ctx context.Context) error {
	if err := s.journal.Register(ctx); err != nil {
		return err
	}
	return s.prepareIndex(ctx)
}

func (s *Service) prepareIndex(ctx context.Context) error {
	s.watchOthers(ctx)
	if err := s.recoverPending(ctx); err != nil {
		return err
	}
	return s.buildIndex(ctx)
}

// Stop ends the work behind the scenes and closes all sessions; commits in progress come to their end by themselves.
func (s *Service) Stop() {
	if s.stop != nil {
		s.stop()
	}
	s.ended.Wait()
	s.sessions.closeAll()
}

// work recovers what was left open, until the service ends.
func (s *Service) work(ctx context.Context, starting bool) {
	defer s.ended.Done()
	registered := s.journal.Epoch() > 0
	timer := time.NewTicker(s.limits.Background)
	defer timer.Stop()
	pruned := s.now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-s.doubts.wake:
		}
		if starting {
			err := s.again(ctx, registered)
			registered = s.journal.Epoch() > 0
			starting = err != nil
			if ctx.Err() == nil {
				s.setReady(err)
			}
			continue
		}
		// What cannot be ended now was logged, and is tried again.
		_ = s.recoverPending(ctx)
		if s.now().Sub(pruned) > time.Minute {
			pruned = s.now()
			if err := s.journal.Prune(ctx); err != nil {
				s.log.Warn("the journal cannot be pruned", "error", err)
			}
		}
	}
}

func (s *Service) again(ctx context.Context, registered bool) error {
	if !registered {
		return s.prepareService(ctx)
	}
	return s.prepareIndex(ctx)
}

// beatInterval is far below journal.DeadAfter.
const beatInterval = 5 * time.Second

// beat says that this agent lives, and looks for others: while there are some, rows are not cached.
func (s *Service) beat(ctx context.Context) {
	defer s.ended.Done()
	timer := time.NewTicker(beatInterval)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if s.journal.Epoch() == 0 {
			continue
		}
		err := s.journal.Heartbeat(ctx)
		if clacks.IsKind(err, clacks.Conflict) {
			s.log.Error("another process runs under this agent's name: this one stops serving", "error", err)
			s.setReady(err)
			return
		}
		if err != nil && ctx.Err() == nil {
			s.log.Warn("the agent's heartbeat failed", "error", err)
		}
		s.watchOthers(ctx)
	}
}

func (s *Service) watchOthers(ctx context.Context) {
	alone, err := s.journal.Alone(ctx)
	s.rows.turn(err == nil && alone)
}

// readyTimeout bounds how long Ready waits for a backend.
const readyTimeout = 2 * time.Second

// Ready says whether requests can be served now: nil, or clacks.Unavailable with the reason. It asks the state database
// and every backend.
func (s *Service) Ready() error {
	if err := s.usable(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
	defer cancel()
	names := make([]string, 0, len(s.backends))
	for name := range s.backends {
		names = append(names, name)
	}
	sort.Strings(names)
	failures := make([]error, len(names)+1)
	jobs := []func() error{func() error { failures[0] = s.db.Ping(ctx); return nil }}
	for i, name := range names {
		jobs = append(jobs, func() error {
			if err := s.backends[name].Ping(ctx); err != nil {
				failures[i+1] = clacks.E(clacks.Unavailable, "objects.ready", "the backend %s does not answer: %w", name, err)
			}
			return nil
		})
	}
	if err := together(jobs); err != nil {
		return err
	}
	if err := errors.Join(failures...); err != nil {
		return clacks.E(clacks.Unavailable, "objects.ready", "%w", err)
	}
	return nil
}
