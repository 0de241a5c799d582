// Package httpd is the HTTP door to the commands of package rpc and to the event log.
//
//	connection (limits, time-outs)                       server.go
//	  -> request id, security headers, panics caught     httpd.go
//	  -> who is asking: cookie, Basic, bearer            identity.go, session.go, basic.go, limiter.go, xsrf.go
//	  -> POST /rpc, /rpc/clacks: body -> rpc.Registry    post.go
//	  -> GET /events, /events/xml: event log -> stream   sse.go
//	  -> GET /healthz, /readyz, /metrics, /openrpc.json  health.go, metrics.go
//
// A session lives in a SessionStore, under the hash of a random id that only the client's signed cookie holds. The
// package knows no object and no command but by name; what it needs of others it names in small interfaces.
package httpd

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"time"

	"golang.org/x/sync/singleflight"

	"clacks"
	"clacks/access"
	"clacks/events"
	"clacks/rpc"
)

// Authenticator checks a name and a password. A wrong one of either is clacks.Unauthenticated; another error means that
// the check could not be made.
type Authenticator interface {
	Authenticate(ctx context.Context, uid, password string) (access.User, error)
}

// EventLog is what the door needs of the event log. Events joins it to an events.Log.
type EventLog interface {
	// At is the sequence number of the last event before a time.
	At(ctx context.Context, t time.Time) (int64, error)
	// Subscribe accepts a subscription; a query that does not compile is an *xquery.Error.
	Subscribe(ctx context.Context, s events.Subscription) (EventStream, error)
}

// EventStream is an accepted subscription.
type EventStream interface {
	// Position is the sequence number behind which the stream begins.
	Position() int64
	// Run delivers until the context ends or deliver fails, and answers that error.
	Run(ctx context.Context, deliver func(events.Event) error) error
	Close()
}

// Events is an EventLog of a log.
func Events(log *events.Log) EventLog { return eventLog{log} }

type eventLog struct{ *events.Log }

// Subscribe implements EventLog.
func (l eventLog) Subscribe(ctx context.Context, s events.Subscription) (EventStream, error) {
	subscriber, err := l.Log.Subscribe(ctx, s)
	if err != nil {
		return nil, err
	}
	return subscriber, nil
}

// Reason says why a part of the service is not ready.
type Reason struct {
	Component string `json:"component"`
	Reason    string `json:"reason"`
}

// Limits bound what clients may take. Zero fields mean DefaultLimits' values.
type Limits struct {
	Connections   int           // open at once
	Requests      int           // commands running at once; more are answered with status 503
	AnonymousBody int           // bytes of a request of somebody who is not logged in
	Subscribers   int           // event streams open at once
	UserStreams   int           // of those, by one user
	ReadHeader    time.Duration // from the first byte to the end of the header
	Read          time.Duration // to the end of the body
	Write         time.Duration // of one answer, or of one event of a stream
	Idle          time.Duration // a kept connection without a request
	Heartbeat     time.Duration // between two signs of life on a silent event stream
	Grace         time.Duration // for commands in flight at shutdown
	SessionIdle   time.Duration // a session without use ends
	SessionAge    time.Duration // a session ends, used or not
	BasicCache    time.Duration // a verified HTTP Basic credential is trusted without a new check
}

// DefaultLimits are used where Options.Limits leaves a field zero.
var DefaultLimits = Limits{Connections: 4096, Requests: 256, AnonymousBody: 64 << 10, Subscribers: 2000, UserStreams: 200,
	ReadHeader: 10 * time.Second, Read: 30 * time.Second, Write: 30 * time.Second, Idle: 2 * time.Minute,
	Heartbeat: 15 * time.Second, Grace: 20 * time.Second, SessionIdle: 2 * time.Hour, SessionAge: 24 * time.Hour,
	BasicCache: time.Minute}

// Options are what the door needs. Registry and Authenticator are required.
type Options struct {
	Registry      *rpc.Registry
	Authenticator Authenticator
	Sessions      SessionStore // nil: in memory, lost at the end of the process
	Events        EventLog     // nil: no event streams
	// Ready lists what keeps the service from working; nothing means ready. nil: always ready.
	Ready func(ctx context.Context) []Reason
	// Metrics are shown at /metrics; nil for fresh ones.
	Metrics *Metrics
	// Secret signs cookies and tokens: at least 32 bytes, the same for all instances behind one address and over
	// restarts. nil: a random one, which ends all sessions at a restart.
	Secret []byte
	// PlainBasic accepts passwords in HTTP Basic over unencrypted connections that are not from this machine.
	PlainBasic bool
	// TrustedProxies may tell by X-Forwarded-For and X-Forwarded-Proto for whom they ask.
	TrustedProxies []netip.Prefix
	// SessionEnded is told of the id of a session that was logged out.
	SessionEnded func(id string)
	TLS          *tls.Config // nil for plain HTTP
	Limits       Limits
	Log          *slog.Logger // nil for slog.Default
}

// Server is the HTTP door. It is safe for concurrent use.
type Server struct {
	options  Options
	log      *slog.Logger
	handler  http.Handler
	sessions *sessions
	basic    *basicCache
	limiter  *limiter
	flight   singleflight.Group
	checks   chan struct{} // a slot a running password check: they are made to cost
	running  chan struct{} // a slot a running request
	streams  *streams
	closing  chan struct{} // closed when the shutdown begins: streams end
}

// minSecret is the size in bytes below which a secret would be worth guessing.
const minSecret = 32

// New makes the door. It opens no port: Serve does.
func New(options Options) (*Server, error) {
	if options.Registry == nil || options.Authenticator == nil {
		return nil, clacks.E(clacks.Invalid, "httpd.new", "a registry and an authenticator are needed")
	}
	if options.Secret == nil {
		options.Secret = make([]byte, minSecret)
		_, _ = rand.Read(options.Secret) // never fails: crypto/rand ends the process instead
	}
	if len(options.Secret) < minSecret {
		return nil, clacks.E(clacks.Invalid, "httpd.new", "the secret has %d bytes, at least %d are needed", len(options.Secret), minSecret)
	}
	if options.Sessions == nil {
		options.Sessions = NewMemorySessions()
	}
	if options.Metrics == nil {
		options.Metrics = NewMetrics("")
	}
	if options.Log == nil {
		options.Log = slog.Default()
	}
	options.Limits = options.Limits.orDefault()
	s := &Server{options: options, log: options.Log, closing: make(chan struct{}),
		basic:   newBasicCache(options.Secret, options.Limits.BasicCache),
		limiter: newLimiter(time.Now),
		checks:  make(chan struct{}, passwordChecks),
		running: make(chan struct{}, options.Limits.Requests),
		streams: &streams{perUser: map[string]int{}}}
	s.sessions = newSessions(options)
	options.Metrics.watch(s)
	s.handler = s.routes()
	return s, nil
}

func or[T comparable](v, fallback T) T {
	var zero T
	if v == zero {
		return fallback
	}
	return v
}

func (l Limits) orDefault() Limits {
	d := DefaultLimits
	return Limits{
		Connections: or(l.Connections, d.Connections), Requests: or(l.Requests, d.Requests),
		AnonymousBody: or(l.AnonymousBody, d.AnonymousBody), Subscribers: or(l.Subscribers, d.Subscribers),
		UserStreams: or(l.UserStreams, d.UserStreams), ReadHeader: or(l.ReadHeader, d.ReadHeader), Read: or(l.Read, d.Read),
		Write: or(l.Write, d.Write), Idle: or(l.Idle, d.Idle), Heartbeat: or(l.Heartbeat, d.Heartbeat),
		Grace: or(l.Grace, d.Grace), SessionIdle: or(l.SessionIdle, d.SessionIdle), SessionAge: or(l.SessionAge, d.SessionAge),
		BasicCache: or(l.BasicCache, d.BasicCache),
	}
}

// Handler serves the door's paths, for a server of the caller's own.
func (s *Server) Handler() http.Handler { return s.handler }

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /rpc", s.getToken)
	mux.HandleFunc("POST /rpc", s.postRPC)
	mux.HandleFunc("POST /rpc/clacks", s.postOlder)
	mux.HandleFunc("GET /openrpc.json", s.getOpenRPC)
	mux.HandleFunc("GET /events", s.getEvents)
	mux.HandleFunc("GET /events/xml", s.getEventsXML)
	mux.HandleFunc("GET /healthz", s.getHealth)
	mux.HandleFunc("GET /readyz", s.getReady)
	mux.HandleFunc("GET /metrics", s.getMetrics)
	return s.guard(mux)
}

type requestIDKey struct{}

// requestID is the id of the request that a context belongs to, as it stands in the log.
func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// guard gives every request an id, its answer the headers that keep browsers from guessing, and catches panics.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var random [8]byte
		_, _ = rand.Read(random[:])
		id := hex.EncodeToString(random[:])
		header := w.Header()
		header.Set("X-Request-Id", id)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Cache-Control", "no-store")
		defer func() {
			cause := recover()
			if cause == nil {
				return
			}
			if cause == http.ErrAbortHandler {
				panic(cause)
			}
			s.log.ErrorContext(r.Context(), "request panicked", "request", id, "path", r.URL.Path,
				"error", fmt.Sprint(cause), "stack", string(debug.Stack()))
			http.Error(w, "internal error, see the log of the service for request "+id, http.StatusInternalServerError)
		}()
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestIDKey{}, id)))
	})
}
