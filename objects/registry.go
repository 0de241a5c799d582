package objects

import (
	"context"
	"slices"
	"sync"
	"time"

	"clacks"
	"clacks/access"
)

// registry holds the open objects of all logins. A session belongs to the login that opened it: nobody else finds it by
// its reference.
type registry struct {
	s *Service

	mu       sync.Mutex
	sessions map[string]*Session
	notice   func(SessionNotice)
}

// SessionNotice says that an open object is about to be closed, or was, because nobody used it.
type SessionNotice struct {
	Login, Ref, UUID, DN string
	User                 access.User
	// Left is the time until it is closed; 0 when it is closed now.
	Left time.Duration
}

func newRegistry(s *Service) *registry {
	return &registry{s: s, sessions: map[string]*Session{}}
}

// OnSessionNotice sets who is told of open objects that are closed for want of use: Limits.Warning before it happens, and
// when it does. The function must not block.
func (s *Service) OnSessionNotice(notice func(SessionNotice)) {
	s.sessions.mu.Lock()
	defer s.sessions.mu.Unlock()
	s.sessions.notice = notice
}

// Session returns an open object by its reference, for the login that opened it; clacks.NotFound otherwise. It counts as
// a use.
func (s *Service) Session(login, ref string) (*Session, error) {
	s.sessions.mu.Lock()
	defer s.sessions.mu.Unlock()
	session := s.sessions.sessions[ref]
	if session == nil || session.login != login {
		return nil, clacks.E(clacks.NotFound, "objects.session", "there is no open object of this reference")
	}
	session.used(s.now())
	return session, nil
}

// CloseSessions closes all open objects of a login: it has ended.
func (s *Service) CloseSessions(login string) {
	s.sessions.mu.Lock()
	defer s.sessions.mu.Unlock()
	for ref, session := range s.sessions.sessions {
		if session.login == login {
			delete(s.sessions.sessions, ref)
		}
	}
}

func (r *registry) add(session *Session) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	open := 0
	for _, other := range r.sessions {
		if other.user.ID == session.user.ID {
			open++
		}
	}
	if open >= r.s.limits.Sessions {
		return clacks.E(clacks.Limit, "objects.open", "%d objects are open: close some first", open)
	}
	session.used(r.s.now())
	r.sessions[session.ref] = session
	return nil
}

func (r *registry) remove(ref string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.sessions, ref)
}

func (r *registry) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.sessions)
}

func (r *registry) closeAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.sessions)
}

// sweep closes what was not used for Limits.Idle and warns of what soon will have been.
func (r *registry) sweep(now time.Time) {
	limits := r.s.limits
	r.mu.Lock()
	var notices []SessionNotice
	for ref, session := range r.sessions {
		switch idle := now.Sub(session.lastUse); {
		case idle >= limits.Idle:
			delete(r.sessions, ref)
			notices = append(notices, session.notice(0))
		case idle >= limits.Idle-limits.Warning && !session.warned:
			session.warned = true
			notices = append(notices, session.notice(limits.Idle-idle))
		}
	}
	notify := r.notice
	r.mu.Unlock()
	if notify == nil {
		return
	}
	slices.SortFunc(notices, func(a, b SessionNotice) int { return compareText(a.Ref, b.Ref) })
	for _, n := range notices {
		notify(n)
	}
}

// sweepInterval is how exactly idle sessions are closed.
const sweepInterval = 5 * time.Second

// sweepUntil sweeps until the service ends.
func (s *Service) sweepUntil(ctx context.Context) {
	defer s.ended.Done()
	timer := time.NewTicker(sweepInterval)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			s.sessions.sweep(s.now())
		}
	}
}
