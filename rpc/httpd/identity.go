package httpd

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"time"

	"clacks"
	"clacks/access"
	"clacks/rpc"
)

// passwordChecks run at once; further ones wait.
var passwordChecks = 2 * runtime.NumCPU()

// checkTime bounds one check of a password, which goes on when the first of several waiting requests is gone.
const checkTime = 20 * time.Second

// maxCredential bounds a name or a password in bytes: a hash of more would be work for nothing.
const maxCredential = 1024

// basicSession begins the names by which the open objects and errors of HTTP Basic users are kept.
const basicSession = "basic:"

// identity is who asks, and how he proved it.
type identity struct {
	user    access.User
	session string // the session's hash, or a name for what Basic users keep; "" for nobody
	cookie  bool   // proved by a cookie, which a browser sends by itself
	header  bool   // proved by the header Authorization, which no foreign page can make a browser send
}

// waitError says that too many passwords were wrong.
type waitError struct{ until time.Time }

func (e *waitError) Error() string { return "httpd.login: " + e.cause().Reason }

func (e *waitError) cause() *clacks.Error {
	return &clacks.Error{Op: "httpd.login", Kind: clacks.Limit, Reason: "too many wrong passwords, try again later"}
}

// Unwrap is the error for clients that know no waiting.
func (e *waitError) Unwrap() error { return e.cause() }

// identify finds out who asks. Nobody is an identity too; wrong credentials in the header Authorization are an error, an
// outdated cookie is not.
func (s *Server) identify(r *http.Request) (identity, error) {
	if header := r.Header.Get("Authorization"); header != "" {
		return s.identifyHeader(r, header)
	}
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return identity{}, nil
	}
	record, ok, err := s.sessions.find(r.Context(), cookie.Value)
	if err != nil || !ok {
		return identity{}, err
	}
	return identity{user: record.User, session: record.Hash, cookie: true}, nil
}

func (s *Server) identifyHeader(r *http.Request, header string) (identity, error) {
	scheme, value, _ := strings.Cut(header, " ")
	switch strings.ToLower(scheme) {
	case "basic":
		user, err := s.identifyBasic(r)
		return identity{user: user, session: basicSession + user.ID, header: true}, err
	case "bearer":
		record, ok, err := s.sessions.find(r.Context(), strings.TrimSpace(value))
		if err != nil {
			return identity{}, err
		}
		if !ok {
			return identity{}, clacks.E(clacks.Unauthenticated, "httpd.bearer", "the token is not valid (any more)")
		}
		return identity{user: record.User, session: record.Hash, header: true}, nil
	default:
		return identity{}, clacks.E(clacks.Unauthenticated, "httpd.identify", "use HTTP Basic or a bearer token")
	}
}

func (s *Server) identifyBasic(r *http.Request) (access.User, error) {
	address := s.address(r)
	if !s.encrypted(r) && !address.IsLoopback() && !s.options.PlainBasic {
		return access.User{}, clacks.E(clacks.Denied, "httpd.basic", "HTTP Basic needs an encrypted connection")
	}
	uid, password, ok := r.BasicAuth()
	if !ok || strings.ContainsRune(uid, 0) {
		return access.User{}, clacks.E(clacks.Unauthenticated, "httpd.basic", "the header Authorization cannot be read")
	}
	key := s.basic.key(uid, password)
	if user, ok := s.basic.get(key); ok {
		return user, nil
	}
	user, err := s.authenticate(r.Context(), uid, password, address)
	if err == nil {
		s.basic.put(key, user)
	}
	return user, err
}

// authenticate checks a password, unless too many were wrong. Its errors are clacks.Unauthenticated, a *waitError, or that
// of an authenticator that could not check.
func (s *Server) authenticate(ctx context.Context, uid, password string, address netip.Addr) (access.User, error) {
	if uid == "" || len(uid) > maxCredential || len(password) > maxCredential {
		return access.User{}, clacks.E(clacks.Unauthenticated, "httpd.login", "wrong name or password")
	}
	key := s.basic.key(uid, password) + address.String()
	// Checks of the same credential from the same place that run at the same time are one.
	result := s.flight.DoChan(key, func() (any, error) {
		detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTime)
		defer cancel()
		return s.check(detached, uid, password, address)
	})
	select {
	case <-ctx.Done():
		return access.User{}, ctx.Err()
	case r := <-result:
		user, _ := r.Val.(access.User)
		return user, r.Err
	}
}

func (s *Server) check(ctx context.Context, uid, password string, address netip.Addr) (access.User, error) {
	until, ok := s.limiter.begin(uid, address)
	if !ok {
		return access.User{}, &waitError{until}
	}
	select {
	case s.checks <- struct{}{}:
		defer func() { <-s.checks }()
	case <-ctx.Done():
		s.limiter.undecided(uid, address)
		return access.User{}, clacks.E(clacks.Unavailable, "httpd.login", "too many logins at once")
	}
	user, err := s.options.Authenticator.Authenticate(ctx, uid, password)
	switch {
	case err == nil && user.Anonymous():
		s.limiter.undecided(uid, address)
		return access.User{}, clacks.E(clacks.Internal, "httpd.login", "the authenticator knows the user by no name")
	case err == nil:
		s.limiter.succeeded(uid, address)
		return user, nil
	case clacks.IsKind(err, clacks.Unauthenticated):
		s.log.Info("wrong name or password", "user", uid, "address", address.String())
		return access.User{}, clacks.E(clacks.Unauthenticated, "httpd.login", "wrong name or password")
	default:
		s.limiter.undecided(uid, address)
		return access.User{}, err
	}
}

// peer is the address of the other end of the connection.
func peer(r *http.Request) netip.Addr {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	address, _ := netip.ParseAddr(host)
	return address.Unmap()
}

func (s *Server) trusted(address netip.Addr) bool {
	for _, p := range s.options.TrustedProxies {
		if p.Contains(address) {
			return true
		}
	}
	return false
}

// address is the client's, as the last trusted proxy tells it.
func (s *Server) address(r *http.Request) netip.Addr {
	address := peer(r)
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && s.trusted(address); i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		address = hop.Unmap()
	}
	return address
}

// encrypted reports whether nobody on the way can read the request, as far as can be known.
func (s *Server) encrypted(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	return s.trusted(peer(r)) && strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
}

// refuseIdentity answers a request whose credentials are wrong, in the legacy dialect for older clients.
func (s *Server) refuseIdentity(w http.ResponseWriter, r *http.Request, older bool, err error) {
	var wait *waitError
	if asWait(err, &wait) {
		seconds := int(time.Until(wait.until)/time.Second) + 1
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
		s.refusePost(w, older, nil, http.StatusTooManyRequests, wait.cause())
		return
	}
	err = rpc.Present(r.Context(), s.log, requestID(r.Context()), err)
	kind := clacks.KindOf(err)
	if kind == clacks.Unauthenticated {
		challenge(w, r)
	}
	s.options.Metrics.refused(kind)
	if older {
		s.write(w, rpc.LegacyErrorReply(nil, err))
		return
	}
	s.write(w, rpc.ErrorReply(err))
}

// challenge says how to prove who one is. Basic is only named to clients that used it: a browser would open its own dialog.
func challenge(w http.ResponseWriter, r *http.Request) {
	scheme := "Session"
	if header := r.Header.Get("Authorization"); strings.HasPrefix(strings.ToLower(header), "basic") {
		scheme = "Basic"
	}
	w.Header().Set("WWW-Authenticate", scheme+` realm="clacks", charset="UTF-8"`)
}

// requestSession is rpc.Session for one request.
type requestSession struct {
	server  *Server
	writer  http.ResponseWriter
	request *http.Request
	who     identity
}

var _ rpc.Session = (*requestSession)(nil)

// ID implements rpc.Session.
func (q *requestSession) ID() string { return q.who.session }

// Login implements rpc.Session. The session has a fresh id, so that one that was planted in a browser gains nothing.
func (q *requestSession) Login(ctx context.Context, uid, password string) (rpc.Login, error) {
	s := q.server
	user, err := s.authenticate(ctx, uid, password, s.address(q.request))
	var wait *waitError
	if asWait(err, &wait) {
		return rpc.Login{State: rpc.LoginLocked, Until: wait.until.Unix() + 1}, nil
	}
	if clacks.IsKind(err, clacks.Unauthenticated) {
		return rpc.Login{State: rpc.LoginWrong}, nil
	}
	if err != nil {
		return rpc.Login{}, err
	}
	if err := q.endOwn(ctx); err != nil {
		return rpc.Login{}, err
	}
	record, token, err := s.sessions.start(ctx, user)
	if err != nil {
		return rpc.Login{}, err
	}
	q.who = identity{user: user, session: record.Hash, cookie: true}
	http.SetCookie(q.writer, s.cookie(q.request, token))
	return rpc.Login{State: rpc.LoginDone, Token: token}, nil
}

// Logout implements rpc.Session.
func (q *requestSession) Logout(ctx context.Context) error {
	http.SetCookie(q.writer, q.server.cookie(q.request, ""))
	return q.endOwn(ctx)
}

// endOwn ends the session that the request came with. Users of HTTP Basic have none: what they opened is shared by all
// their programs, and ends for want of use.
func (q *requestSession) endOwn(ctx context.Context) error {
	id := q.who.session
	if id == "" || strings.HasPrefix(id, basicSession) {
		return nil
	}
	if err := q.server.sessions.end(ctx, id); err != nil {
		return err
	}
	if q.server.options.SessionEnded != nil {
		q.server.options.SessionEnded(id)
	}
	q.who = identity{}
	return nil
}
