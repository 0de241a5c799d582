package httpd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"clacks"
	"clacks/events"
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
	s.stream(w, r, r.URL.Query().Get("xquery"), func(e events.Event) (string, []byte, bool) {
		return e.Type, e.Document, true
	})
}

// getEvents streams changes of objects to the web frontend.
func (s *Server) getEvents(w http.ResponseWriter, r *http.Request) {
	s.stream(w, r, "", func(e events.Event) (string, []byte, bool) {
		change, ok := e.ObjectChange()
		if !ok {
			return "", nil, false
		}
		data, err := json.Marshal(change)
		return "objectChange", data, err == nil
	})
}

// stream serves server-sent events (HTML standard, section 9.2) until the client goes, is too slow, or the service ends.
// The client's own pace is the only queue: the log is read as fast as it takes.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, query string, form func(events.Event) (string, []byte, bool)) {
	who, err := s.identify(r)
	if err == nil && who.user.Anonymous() {
		err = clacks.E(clacks.Unauthenticated, "httpd.stream", "log in to receive events")
	}
	if err != nil {
		s.refuseIdentity(w, r, err)
		return
	}
	if s.options.Events == nil {
		s.refuse(w, http.StatusNotFound, clacks.E(clacks.NotFound, "httpd.stream", "this service has no event log"))
		return
	}
	if !s.streams.enter(who.user.ID, s.options.Limits) {
		w.Header().Set("Retry-After", "10")
		s.refuse(w, http.StatusServiceUnavailable, clacks.E(clacks.Limit, "httpd.stream", "too many event streams are open"))
		return
	}
	defer s.streams.leave(who.user.ID)
	after, err := s.startBehind(r)
	if err != nil {
		s.refuseQuery(w, r, err)
		return
	}
	stream, err := s.options.Events.Subscribe(r.Context(), events.Subscription{User: who.user, Query: query, After: after})
	if err != nil {
		s.refuseQuery(w, r, err)
		return
	}
	defer stream.Close()
	s.deliver(w, r, stream, form)
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

// startBehind is the sequence number behind which the stream begins: that of the last event that the client has, by the
// header Last-Event-ID; else one before the number in from; else that of the last event before the time in from; else now.
func (s *Server) startBehind(r *http.Request) (int64, error) {
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		sequence, err := strconv.ParseInt(last, 10, 64)
		if err != nil || sequence < 0 {
			return 0, invalidFrom("the header Last-Event-ID is no sequence number")
		}
		return sequence, nil
	}
	from := r.URL.Query().Get("from")
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
func (s *Server) deliver(w http.ResponseWriter, r *http.Request, stream EventStream,
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
	beating.Go(func() { s.heartbeat(ctx, cancel, out) })
	defer beating.Wait()
	defer cancel()

	err := stream.Run(ctx, func(e events.Event) error {
		name, data, ok := form(e)
		if !ok {
			return nil
		}
		return out.send(sseMessage(e.Sequence, name, data))
	})
	if err == nil || ctx.Err() != nil || errors.Is(err, errSlow) {
		return
	}
	err = rpc.Present(r.Context(), s.log, requestID(r.Context()), err)
	_ = out.send(sseComment("the stream ends: " + err.Error()))
}

// heartbeat writes a comment now and then, so that both ends notice a dead connection, and ends the stream at shutdown.
func (s *Server) heartbeat(ctx context.Context, cancel context.CancelFunc, out *sseWriter) {
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
			if out.send([]byte(":\n\n")) != nil {
				return
			}
		}
	}
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
	o.mu.Lock()
	defer o.mu.Unlock()
	_ = o.control.SetWriteDeadline(time.Now().Add(o.limit))
	if _, err := o.w.Write(message); err != nil {
		return fmt.Errorf("%w: %w", errSlow, err)
	}
	if err := o.control.Flush(); err != nil {
		return fmt.Errorf("%w: %w", errSlow, err)
	}
	return nil
}

// sseMessage is one event; each line of the data has its own field. A carriage return would end a line as well: in XML and
// JSON it is white space between tokens or escaped.
func sseMessage(sequence int64, name string, data []byte) []byte {
	var b bytes.Buffer
	b.Grow(len(data) + 64)
	fmt.Fprintf(&b, "id: %d\nevent: %s\n", sequence, name)
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	data = bytes.ReplaceAll(data, []byte("\r"), []byte("\n"))
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		b.WriteString("data: ")
		b.Write(line)
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	return b.Bytes()
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
