package httpd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"clacks"
	"clacks/events"
	"clacks/internal/nearest"
	"clacks/rpc"
	"clacks/xquery"
)

// streams counts the open event streams.
type streams struct {
	mu      sync.Mutex
	open    int
	perUser map[string]int
}

func (s *streams) enter(user string, limits Limits) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open >= limits.Subscribers || s.perUser[user] >= limits.UserStreams {
		return false
	}
	s.open++
	s.perUser[user]++
	return true
}

func (s *streams) leave(user string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
	if s.perUser[user]--; s.perUser[user] == 0 {
		delete(s.perUser, user)
	}
}

func (s *streams) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open
}

// queryProblem is the answer to a query that does not compile.
type queryProblem struct {
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// getEventsXML streams the XML documents of the events that a query selects.
func (s *Server) getEventsXML(w http.ResponseWriter, r *http.Request) {
	s.stream(w, r, []string{"xquery", "from"}, func(e events.Event) (string, []byte, bool) {
		return e.Type, e.Document, true
	})
}

// getEvents streams changes of objects to the web frontend.
func (s *Server) getEvents(w http.ResponseWriter, r *http.Request) {
	s.stream(w, r, []string{"from"}, func(e events.Event) (string, []byte, bool) {
		change, ok := e.ObjectChange()
		if !ok {
			return "", nil, false
		}
		data, err := json.Marshal(change)
		return "objectChange", data, err == nil
	})
}

// stream serves server-sent events (HTML standard, section 9.2) until the client goes, is too slow, or the service ends.
// The client's own pace is the only queue: the log is read as fast as it takes. known are the parameters of the path.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, known []string, form func(events.Event) (string, []byte, bool)) {
	who, err := s.identify(r)
	if err == nil && who.user.Anonymous() {
		err = clacks.E(clacks.Unauthenticated, "httpd.stream", "log in to receive events")
	}
	if err != nil {
		s.refuseIdentity(w, r, false, err)
		return
	}
	if s.options.Events == nil {
		s.refuse(w, http.StatusNotFound, clacks.E(clacks.NotFound, "httpd.stream", "this service has no event log"))
		return
	}
	parameters, err := parametersOf(r, known)
	if err != nil {
		s.refuseQuery(w, r, err)
		return
	}
	if !s.streams.enter(who.user.ID, s.options.Limits) {
		w.Header().Set("Retry-After", "10")
		s.refuse(w, http.StatusServiceUnavailable, clacks.E(clacks.Limit, "httpd.stream", "too many event streams are open"))
		return
	}
	defer s.streams.leave(who.user.ID)
	after, err := s.startBehind(r, parameters["from"])
	if err != nil {
		s.refuseQuery(w, r, err)
		return
	}
	stream, err := s.options.Events.Subscribe(r.Context(), events.Subscription{User: who.user, Query: parameters["xquery"], After: after})
	if err != nil {
		s.refuseQuery(w, r, notReached(err, parameters["from"], r.Header.Get("Last-Event-ID")))
		return
	}
	defer stream.Close()
	s.deliver(w, r, who, stream, form)
}

// refuseQuery answers a subscription that cannot be made.
func (s *Server) refuseQuery(w http.ResponseWriter, r *http.Request, err error) {
	var q *xquery.Error
	if errors.As(err, &q) {
		s.options.Metrics.refused(clacks.Invalid)
		s.writeJSON(w, http.StatusBadRequest, queryProblem{Line: q.Line, Column: q.Column, Code: q.Code, Message: q.Message})
		return
	}
	err = rpc.Present(r.Context(), s.log, requestID(r.Context()), err)
	s.options.Metrics.refused(clacks.KindOf(err))
	s.write(w, rpc.ErrorReply(err))
}

// anyParameter is what clients add to a URL so that no cache answers; its value means nothing.
const anyParameter = "nocache"

// parametersOf are the parameters of a stream, each at most once. One that is not known is refused: whoever misspells his
// query would be sent every event.
func parametersOf(r *http.Request, known []string) (map[string]string, error) {
	wrong := func(name, code, reason string) error {
		return &clacks.Error{Op: "httpd.stream", Kind: clacks.Invalid, Reason: "wrong parameters",
			Fields: []clacks.Field{{Attribute: name, Code: code, Reason: reason}}}
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, clacks.E(clacks.Invalid, "httpd.stream", "the parameters of the URL cannot be read: %w", err)
	}
	parameters := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		switch {
		case name == anyParameter:
		case !slices.Contains(known, name):
			reason := "no such parameter, known: " + strings.Join(known, ", ")
			if hint := nearest.Hint(name, known); hint != "" {
				reason = "no such parameter, " + hint
			}
			return nil, wrong(clip(name), clacks.CodeUnknown, reason)
		case len(values[name]) > 1:
			return nil, wrong(name, clacks.CodeSingle, "it may stand only once")
		default:
			parameters[name] = values[name][0]
		}
	}
	return parameters, nil
}

// clip bounds what is repeated of a client's text.
func clip(name string) string {
	const most = 60
	if len(name) <= most {
		return name
	}
	return strings.ToValidUTF8(name[:most], "") + "..."
}

// notReached makes an error name the number that the client gave, where it is one that the stream begins behind.
func notReached(err error, from, lastID string) error {
	var behind *events.NotReachedError
	if from == "" || lastID != "" || !errors.As(err, &behind) {
		return err
	}
	return invalidFrom((&events.NotReachedError{Sequence: behind.Sequence + 1, Last: behind.Last}).Error())
}

// startBehind is the sequence number behind which the stream begins: that of the last event that the client has, by the
// header Last-Event-ID; else one before the number in from; else that of the last event before the time in from; else now.
func (s *Server) startBehind(r *http.Request, from string) (int64, error) {
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		sequence, err := strconv.ParseInt(last, 10, 64)
		if err != nil || sequence < 0 {
			return 0, invalidFrom("the header Last-Event-ID is no sequence number")
		}
		return sequence, nil
	}
	if from == "" {
		return events.FromNow, nil
	}
	if sequence, err := strconv.ParseInt(from, 10, 64); err == nil && sequence >= 0 {
		return max(sequence-1, 0), nil
	}
	at, err := time.Parse(time.RFC3339, from)
	if err != nil {
		return 0, invalidFrom("it must be a sequence number or a time as in RFC 3339")
	}
	return s.options.Events.At(r.Context(), at)
}

func invalidFrom(reason string) error {
	return &clacks.Error{Op: "httpd.stream", Kind: clacks.Invalid, Reason: "wrong parameters",
		Fields: []clacks.Field{{Attribute: "from", Code: clacks.CodeCheck, Reason: reason}}}
}

// deliver sends the header and then the events.
func (s *Server) deliver(w http.ResponseWriter, r *http.Request, who identity, stream EventStream,
	form func(events.Event) (string, []byte, bool)) {
	out := &sseWriter{w: w, control: http.NewResponseController(w), limit: s.options.Limits.Write}
	_ = out.control.SetReadDeadline(time.Time{}) // the stream outlives the time that a request may take to arrive
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.Header().Set("X-Accel-Buffering", "no") // a proxy must not hold events back
	w.WriteHeader(http.StatusOK)
	// An id without data is no event, but a client that is cut off before the first one resumes from there.
	if err := out.send([]byte("id: " + strconv.FormatInt(stream.Position(), 10) + "\n\n")); err != nil {
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	var beating sync.WaitGroup
	beating.Go(func() { s.heartbeat(ctx, cancel, out, func() bool { return s.loggedOut(r, who) }) })
	defer beating.Wait()
	defer cancel()

	err := stream.Run(ctx, func(e events.Event) error {
		name, data, ok := form(e)
		if !ok {
			return nil
		}
		return out.sendEvent(e.Sequence, name, data)
	})
	if err == nil || ctx.Err() != nil || errors.Is(err, errSlow) {
		return
	}
	err = rpc.Present(r.Context(), s.log, requestID(r.Context()), err)
	_ = out.send(sseComment("the stream ends: " + err.Error()))
}

// heartbeat writes a comment now and then, so that both ends notice a dead connection, and ends the stream at shutdown and
// when it is over.
func (s *Server) heartbeat(ctx context.Context, cancel context.CancelFunc, out *sseWriter, over func() bool) {
	defer cancel()
	ticker := time.NewTicker(s.options.Limits.Heartbeat)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.closing:
			return
		case <-ticker.C:
			if over() || out.send([]byte(":\n\n")) != nil {
				return
			}
		}
	}
}

// loggedOut reports whether the session that a stream was opened with has ended. To ask counts as a use of the session. A
// store that does not answer ends nothing.
func (s *Server) loggedOut(r *http.Request, who identity) bool {
	if strings.HasPrefix(who.session, basicSession) {
		return false
	}
	now, err := s.identify(r)
	return err == nil && now.session != who.session || clacks.IsKind(err, clacks.Unauthenticated)
}

var errSlow = errors.New("httpd: the client does not take its events")

// sseWriter writes whole messages, each within the limit of time.
type sseWriter struct {
	mu      sync.Mutex
	w       http.ResponseWriter
	control *http.ResponseController
	limit   time.Duration
}

func (o *sseWriter) send(message []byte) error {
	return o.write(func() error { _, err := o.w.Write(message); return err })
}

func (o *sseWriter) sendEvent(sequence int64, name string, data []byte) error {
	return o.write(func() error { return writeMessage(o.w, sequence, name, data) })
}

func (o *sseWriter) write(message func() error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	_ = o.control.SetWriteDeadline(time.Now().Add(o.limit))
	if err := message(); err != nil {
		return fmt.Errorf("%w: %w", errSlow, err)
	}
	if err := o.control.Flush(); err != nil {
		return fmt.Errorf("%w: %w", errSlow, err)
	}
	return nil
}

// writeMessage writes one event; each line of the data has its own field. A carriage return would end a line as well: in
// XML and JSON it is white space between tokens or escaped. The data are not copied: many streams may send large ones.
func writeMessage(w io.Writer, sequence int64, name string, data []byte) error {
	if _, err := fmt.Fprintf(w, "id: %d\nevent: %s\n", sequence, name); err != nil {
		return err
	}
	for more := true; more; {
		var line []byte
		line, data, more = cutLine(data)
		for _, part := range [][]byte{[]byte("data: "), line, []byte("\n")} {
			if _, err := w.Write(part); err != nil {
				return err
			}
		}
	}
	_, err := w.Write([]byte("\n"))
	return err
}

// cutLine cuts at the first end of a line, as the HTML standard knows them; more is false when there is none.
func cutLine(data []byte) (line, rest []byte, more bool) {
	end := bytes.IndexAny(data, "\r\n")
	if end < 0 {
		return data, nil, false
	}
	if bytes.HasPrefix(data[end:], []byte("\r\n")) {
		return data[:end], data[end+2:], true
	}
	return data[:end], data[end+1:], true
}

func sseComment(text string) []byte {
	line := bytes.Map(func(r rune) rune {
		if r == '\n' || r == '\r' {
			return ' '
		}
		return r
	}, []byte(text))
	return append(append([]byte(": "), line...), '\n', '\n')
}
