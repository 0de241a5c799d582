package httpd

import (
	"crypto/rand"
	"encoding/binary"
	"net/http"
	"time"
)

// A page of another origin can make a browser send our cookies, but it can neither read a cookie of ours nor set a header.
// So a request that is proved by a cookie shows a token that a script has to have read from the cookie _xsrf. Any token
// that we issued is accepted: clients fetch several at once at start and keep one.
const (
	tokenCookie = "_xsrf"
	tokenHeader = "X-XSRFToken"
	tokenAge    = 30 * 24 * time.Hour
)

// newToken makes a signed token: eight bytes of time in seconds, eight random ones.
func (s *Server) newToken() string {
	var value [16]byte
	binary.BigEndian.PutUint64(value[:8], uint64(s.sessions.now().Unix()))
	_, _ = rand.Read(value[8:]) // never fails: crypto/rand ends the process instead
	return seal(s.options.Secret, "xsrf", value[:])
}

func (s *Server) validToken(token string) bool {
	value, ok := unseal(s.options.Secret, "xsrf", token)
	if !ok || len(value) != 16 {
		return false
	}
	issued := time.Unix(int64(binary.BigEndian.Uint64(value[:8])), 0)
	return s.sessions.now().Sub(issued) < tokenAge
}

// getToken answers GET /rpc: nothing but the cookie that a script of the same origin reads.
func (s *Server) getToken(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, &http.Cookie{Name: tokenCookie, Value: s.newToken(), Path: "/", SameSite: http.SameSiteLaxMode,
		Secure: s.encrypted(r)})
	w.WriteHeader(http.StatusOK)
}
