package httpd

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"
	"sync"
	"time"

	"clacks"
	"clacks/access"
	"clacks/rpc"
)

// sessionCookie holds a session's secret id; no script may read it.
const sessionCookie = "clacks_session"

// SessionRecord is a session as it is stored. The id that the client holds is not in it, only its hash.
type SessionRecord struct {
	Hash    string // SHA-256 of the id, in hexadecimal digits
	User    access.User
	Created time.Time
	Seen    time.Time
	Expires time.Time
}

// SessionStore keeps sessions. It is safe for concurrent use.
type SessionStore interface {
	// Create stores a session.
	Create(ctx context.Context, s SessionRecord) error
	// Get returns a session, expired or not; clacks.NotFound when there is none.
	Get(ctx context.Context, hash string) (SessionRecord, error)
	// Touch moves the times of a session; one that is gone is no error.
	Touch(ctx context.Context, hash string, seen, expires time.Time) error
	// Delete ends a session; one that is gone is no error.
	Delete(ctx context.Context, hash string) error
	// Sweep removes all sessions that expired before now.
	Sweep(ctx context.Context, now time.Time) error
	// Count is the number of sessions that have not expired.
	Count(ctx context.Context, now time.Time) (int, error)
}

// MemorySessions is a SessionStore for one process.
type MemorySessions struct {
	mu       sync.Mutex
	sessions map[string]SessionRecord
}

var _ SessionStore = (*MemorySessions)(nil)

// NewMemorySessions makes an empty store.
func NewMemorySessions() *MemorySessions {
	return &MemorySessions{sessions: map[string]SessionRecord{}}
}

// Create implements SessionStore.
func (m *MemorySessions) Create(_ context.Context, s SessionRecord) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sessions[s.Hash] = s
	return nil
}

// Get implements SessionStore.
func (m *MemorySessions) Get(_ context.Context, hash string) (SessionRecord, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.sessions[hash]
	if !ok {
		return SessionRecord{}, clacks.E(clacks.NotFound, "httpd.session", "no such session")
	}
	return s, nil
}

// Touch implements SessionStore.
func (m *MemorySessions) Touch(_ context.Context, hash string, seen, expires time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s, ok := m.sessions[hash]; ok {
		s.Seen, s.Expires = seen, expires
		m.sessions[hash] = s
	}
	return nil
}

// Delete implements SessionStore.
func (m *MemorySessions) Delete(_ context.Context, hash string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.sessions, hash)
	return nil
}

// Sweep implements SessionStore.
func (m *MemorySessions) Sweep(_ context.Context, now time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for hash, s := range m.sessions {
		if s.Expires.Before(now) {
			delete(m.sessions, hash)
		}
	}
	return nil
}

// Count implements SessionStore.
func (m *MemorySessions) Count(_ context.Context, now time.Time) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, s := range m.sessions {
		if !s.Expires.Before(now) {
			n++
		}
	}
	return n, nil
}

// sessions makes, finds and ends sessions, and keeps for each the errors that getError can be asked for.
type sessions struct {
	store  SessionStore
	secret []byte
	limits Limits
	now    func() time.Time

	mu     sync.Mutex
	errors map[string]*sessionErrors
}

type sessionErrors struct {
	rpc.ErrorStore
	used time.Time
}

// errorStores bounds the sessions whose errors are kept in memory.
const errorStores = 1000

func newSessions(options Options) *sessions {
	return &sessions{store: options.Sessions, secret: options.Secret, limits: options.Limits, now: time.Now,
		errors: map[string]*sessionErrors{}}
}

// sign is the message authentication code of a value for one purpose.
func sign(secret []byte, purpose string, value []byte) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(purpose))
	mac.Write([]byte{0})
	mac.Write(value)
	return mac.Sum(nil)
}

var base64url = base64.RawURLEncoding

// seal joins a value and its signature into a token for cookies and headers.
func seal(secret []byte, purpose string, value []byte) string {
	return base64url.EncodeToString(value) + "." + base64url.EncodeToString(sign(secret, purpose, value))
}

// unseal is the value of a token that seal made.
func unseal(secret []byte, purpose, token string) ([]byte, bool) {
	left, right, ok := strings.Cut(token, ".")
	if !ok || len(token) > 256 {
		return nil, false
	}
	value, err := base64url.DecodeString(left)
	if err != nil {
		return nil, false
	}
	mac, err := base64url.DecodeString(right)
	if err != nil || !hmac.Equal(mac, sign(secret, purpose, value)) {
		return nil, false
	}
	return value, true
}

func hashOf(id []byte) string {
	sum := sha256.Sum256(id)
	return hex.EncodeToString(sum[:])
}

// start makes a session for a user; the token is what the client shows from now on.
func (s *sessions) start(ctx context.Context, user access.User) (SessionRecord, string, error) {
	id := make([]byte, 32)
	_, _ = rand.Read(id) // never fails: crypto/rand ends the process instead
	now := s.now()
	record := SessionRecord{Hash: hashOf(id), User: user, Created: now, Seen: now, Expires: s.expiry(now, now)}
	if err := s.store.Create(ctx, record); err != nil {
		return record, "", err
	}
	return record, seal(s.secret, "session", id), nil
}

// expiry is when a session ends that was used now.
func (s *sessions) expiry(created, now time.Time) time.Time {
	idle, age := now.Add(s.limits.SessionIdle), created.Add(s.limits.SessionAge)
	if idle.Before(age) {
		return idle
	}
	return age
}

// touchEvery keeps the use of a session from being a write for every request.
const touchEvery = time.Minute

// find is the live session of a token; ok is false when there is none (any more).
func (s *sessions) find(ctx context.Context, token string) (record SessionRecord, ok bool, err error) {
	id, valid := unseal(s.secret, "session", token)
	if !valid {
		return SessionRecord{}, false, nil
	}
	record, err = s.store.Get(ctx, hashOf(id))
	if clacks.IsKind(err, clacks.NotFound) {
		return SessionRecord{}, false, nil
	}
	if err != nil {
		return SessionRecord{}, false, err
	}
	now := s.now()
	if !now.Before(record.Expires) {
		return SessionRecord{}, false, nil
	}
	if now.Sub(record.Seen) >= touchEvery {
		record.Seen, record.Expires = now, s.expiry(record.Created, now)
		if err := s.store.Touch(ctx, record.Hash, record.Seen, record.Expires); err != nil {
			return SessionRecord{}, false, err
		}
	}
	return record, true, nil
}

// end removes a session.
func (s *sessions) end(ctx context.Context, hash string) error {
	s.mu.Lock()
	delete(s.errors, hash)
	s.mu.Unlock()
	return s.store.Delete(ctx, hash)
}

// errorsOf is the error store of a session. The one unused for longest makes room.
func (s *sessions) errorsOf(id string) *rpc.ErrorStore {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.errors[id]
	if e == nil {
		if len(s.errors) >= errorStores {
			s.forgetOldest()
		}
		e = &sessionErrors{}
		s.errors[id] = e
	}
	e.used = s.now()
	return &e.ErrorStore
}

func (s *sessions) forgetOldest() {
	oldest := ""
	for id, e := range s.errors {
		if oldest == "" || e.used.Before(s.errors[oldest].used) {
			oldest = id
		}
	}
	delete(s.errors, oldest)
}

// cookie is the session's cookie; an empty token removes it.
func (s *Server) cookie(r *http.Request, token string) *http.Cookie {
	c := &http.Cookie{Name: sessionCookie, Value: token, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: s.encrypted(r)}
	if token == "" {
		c.MaxAge = -1
	}
	return c
}
