package httpd

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	"clacks"
	"clacks/rpc"
)

// asWait finds a *waitError in err.
func asWait(err error, target **waitError) bool { return err != nil && errors.As(err, target) }

func (s *Server) postRPC(w http.ResponseWriter, r *http.Request)   { s.post(w, r, false) }
func (s *Server) postOlder(w http.ResponseWriter, r *http.Request) { s.post(w, r, true) }

// crossOrigin refuses requests that a browser sends for a page of another origin. Other clients send no such headers.
var crossOrigin = http.NewCrossOriginProtection()

// post runs the commands of one request body. older is the endpoint for older clients: no XSRF token, any content type
// that they send, and refusals in the legacy dialect.
func (s *Server) post(w http.ResponseWriter, r *http.Request, older bool) {
	if err := crossOrigin.Check(r); err != nil {
		s.refusePost(w, older, nil, http.StatusForbidden, clacks.E(clacks.Denied, "httpd.post", "a request of another origin"))
		return
	}
	if err := acceptable(r.Header, older); err != nil {
		w.Header().Set("Accept-Post", "application/json")
		s.refusePost(w, older, nil, http.StatusUnsupportedMediaType, err)
		return
	}
	who, err := s.identify(r)
	if err != nil {
		s.refuseIdentity(w, r, older, err)
		return
	}
	request, ok := s.read(w, r, who, older)
	if !ok {
		return
	}
	if !older && s.needsToken(who, request) && !s.validToken(r.Header.Get(tokenHeader)) {
		s.refusePost(w, older, request, http.StatusForbidden,
			clacks.E(clacks.Denied, "httpd.xsrf", "the header %s is missing or not valid", tokenHeader))
		return
	}
	// A slot is taken for the work only: somebody who sends slowly must not keep others from it.
	select {
	case s.running <- struct{}{}:
		defer func() { <-s.running }()
	default:
		w.Header().Set("Retry-After", "1")
		s.refusePost(w, older, request, http.StatusServiceUnavailable,
			clacks.E(clacks.Unavailable, "httpd.post", "too many requests at once, try again"))
		return
	}
	s.run(w, r, who, request, older)
}

// refusePost answers a request that is not run, in its dialect as far as that is known.
func (s *Server) refusePost(w http.ResponseWriter, older bool, request *rpc.Request, status int, err *clacks.Error) {
	if !older && (request == nil || request.Dialect != rpc.LegacyEnvelope) {
		s.refuse(w, status, err)
		return
	}
	s.options.Metrics.refused(err.Kind)
	reply := rpc.LegacyErrorReply(request, err)
	reply.Status = status
	s.write(w, reply)
}

// acceptable refuses a body that cannot be JSON by its headers. A form of a foreign page cannot send application/json.
func acceptable(header http.Header, older bool) *clacks.Error {
	if encoding := header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return clacks.E(clacks.Invalid, "httpd.post", "the content encoding must be identity: a compressed body is not read")
	}
	media, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		media = ""
	}
	switch media {
	case "application/json", "application/json-rpc", "application/jsonrequest":
		return nil
	case "", "application/x-www-form-urlencoded": // what HTTP libraries of older clients send when nobody tells them
		if older {
			return nil
		}
	}
	return clacks.E(clacks.Invalid, "httpd.post", "the content type must be application/json")
}

// read reads and parses the body.
func (s *Server) read(w http.ResponseWriter, r *http.Request, who identity, older bool) (*rpc.Request, bool) {
	most := rpc.MaxBody
	if who.user.Anonymous() {
		most = s.options.Limits.AnonymousBody // only small commands are open to everybody
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(s.options.Limits.Read)) // not every writer has deadlines: tests
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(most)))
	if err == nil {
		// The deadline must not hit the watch for a vanished client while the command runs. After an error it has to stay:
		// the rest of the body is still to come, and to be waited for.
		_ = control.SetReadDeadline(time.Time{})
	}
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		s.refusePost(w, older, nil, http.StatusRequestEntityTooLarge,
			clacks.E(clacks.Limit, "httpd.post", "the request is larger than %d bytes", most))
		return nil, false
	}
	if err != nil {
		w.Header().Set("Connection", "close")
		s.refusePost(w, older, nil, http.StatusBadRequest, clacks.E(clacks.Invalid, "httpd.post", "the request could not be read"))
		return nil, false
	}
	request, err := rpc.Parse(body)
	if err != nil {
		s.options.Metrics.refused(clacks.KindOf(err))
		if older {
			s.write(w, rpc.LegacyErrorReply(nil, err))
		} else {
			s.write(w, rpc.ParseError(err))
		}
		return nil, false
	}
	return request, true
}

// needsToken reports whether a foreign page could have made a browser send this request.
func (s *Server) needsToken(who identity, request *rpc.Request) bool {
	if who.header {
		return false
	}
	return who.cookie || request.Dialect == rpc.LegacyEnvelope
}

func (s *Server) run(w http.ResponseWriter, r *http.Request, who identity, request *rpc.Request, older bool) {
	session := &requestSession{server: s, writer: w, request: r, who: who}
	caller := rpc.Caller{User: who.user, Session: session, RequestID: requestID(r.Context()), Address: s.address(r).String()}
	if who.session != "" {
		caller.Errors = s.sessions.errorsOf(who.session)
	}
	var reply rpc.Reply
	if request.Dialect == rpc.LegacyEnvelope {
		reply = s.options.Registry.ServeLegacy(r.Context(), caller, request, older)
	} else {
		reply = s.options.Registry.Serve(r.Context(), caller, request)
	}
	if reply.Status == http.StatusUnauthorized {
		challenge(w, r)
	}
	s.write(w, reply)
}

// refuse answers a request that is not run.
func (s *Server) refuse(w http.ResponseWriter, status int, err *clacks.Error) {
	s.options.Metrics.refused(err.Kind)
	reply := rpc.ErrorReply(err)
	reply.Status = status
	s.write(w, reply)
}

// write sends a reply.
func (s *Server) write(w http.ResponseWriter, reply rpc.Reply) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.options.Limits.Write))
	if reply.Body == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	kind := "text/plain; charset=utf-8"
	if reply.JSON {
		kind = "application/json"
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(reply.Status)
	if _, err := w.Write(reply.Body); err != nil {
		s.log.Debug("an answer could not be sent", "error", err)
	}
}

// writeJSON answers with a value.
func (s *Server) writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		s.refuse(w, http.StatusInternalServerError, &clacks.Error{Op: "httpd.json", Reason: "internal error", Err: err})
		return
	}
	s.write(w, rpc.Reply{Status: status, JSON: true, Body: body})
}

func (s *Server) getOpenRPC(w http.ResponseWriter, _ *http.Request) {
	s.writeJSON(w, http.StatusOK, s.options.Registry.OpenRPC())
}
