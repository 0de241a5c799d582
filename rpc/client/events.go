package client

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"clacks"
	"clacks/rpc"
)

// Event is one event of the stream.
type Event struct {
	Sequence int64
	Type     string
	Document []byte // XML
}

// QueryError says where the query of a subscription is wrong.
type QueryError struct {
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Code    string `json:"code"` // of XQuery: "XPST0003"
	Message string `json:"message"`
}

func (e *QueryError) Error() string {
	return fmt.Sprintf("the query, line %d, column %d: %s: %s", e.Line, e.Column, e.Code, e.Message)
}

// Unwrap gives the error its kind.
func (e *QueryError) Unwrap() error {
	return &clacks.Error{Op: "client.events", Kind: clacks.Invalid, Reason: e.Message}
}

// Events yields the events that an XQuery selects ("" for all), from a sequence number or a time (RFC 3339) on, "" for from
// now on. A connection that breaks is resumed behind the last event, however long that takes; so none is left out or comes
// twice. It ends with the context, with the loop, or with an error, which is yielded: any one before the first connection
// stands, later one that trying again would not mend.
func (c *Client) Events(ctx context.Context, query, from string) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		if c.onBus() {
			c.busStream(ctx, query, from, yield)
			return
		}
		s := &subscription{client: c, query: query, from: from, yield: yield}
		pause := firstPause
		for ctx.Err() == nil {
			connected, err := s.follow(ctx)
			if s.stopped || ctx.Err() != nil {
				return
			}
			if err != nil && (s.last == "" || !passing(err)) {
				yield(Event{}, err)
				return
			}
			if connected {
				pause = firstPause
			}
			timer := time.NewTimer(pause)
			select {
			case <-ctx.Done():
				timer.Stop()
				return
			case <-timer.C:
			}
			pause = min(2*pause, lastPause)
		}
	}
}

// Follow is one connection of Events, for who resumes it himself: it begins behind the event with the number after, or now
// when that is negative. opened is called once, with the number of the last event before the stream; deliver for each
// event, and its error ends the stream. The result is nil when the connection broke.
func (c *Client) Follow(ctx context.Context, query string, after int64, opened func(position int64), deliver func(Event) error) error {
	s := &subscription{client: c, query: query, opened: opened}
	if after >= 0 {
		s.last = strconv.FormatInt(after, 10)
	}
	var failed error
	s.yield = func(e Event, _ error) bool {
		failed = deliver(e)
		return failed == nil
	}
	_, err := s.follow(ctx)
	return cmp.Or(failed, err)
}

// passing reports whether an error may be gone at the next attempt.
func passing(err error) bool {
	var answered *Error
	if errors.As(err, &answered) && answered.Data != nil && answered.Data.Kind == clacks.Limit.String() {
		return true // too many streams are open, or too many passwords were wrong: both end
	}
	return clacks.IsKind(err, clacks.Unavailable)
}

// subscription is a stream over all its connections.
type subscription struct {
	client      *Client
	query, from string
	last        string // the id of the last event, "" before the first connection
	yield       func(Event, error) bool
	stopped     bool                 // the loop ended
	opened      func(position int64) // nil, or called with the first number that the service sends
}

// follow opens one connection and yields its events until it breaks.
func (s *subscription) follow(ctx context.Context) (connected bool, err error) {
	values := url.Values{}
	if s.query != "" {
		values.Set("xquery", s.query)
	}
	if s.from != "" {
		values.Set("from", s.from)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, err := s.client.request(ctx, http.MethodGet, "/events/xml", values, nil)
	if err != nil {
		return false, err
	}
	r.Header.Set("Accept", "text/event-stream")
	if s.last != "" {
		r.Header.Set("Last-Event-ID", s.last)
	}
	response, err := s.client.http().Do(r)
	if err != nil {
		return false, s.client.unreachable(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return false, streamRefusal(response)
	}
	// Without a sign of life for three times the heart-beat the connection is dead, even if TCP does not know.
	watchdog := time.AfterFunc(silence, cancel)
	defer watchdog.Stop()
	return true, s.read(response.Body, func() { watchdog.Reset(silence) })
}

// silence is three heart-beats of the service.
const silence = 45 * time.Second

func streamRefusal(response *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return &clacks.Error{Op: "client.events", Kind: clacks.Unavailable, Reason: "the answer broke off", Err: err}
	}
	var wrong QueryError
	if response.StatusCode == http.StatusBadRequest && json.Unmarshal(body, &wrong) == nil && wrong.Code != "" {
		return &wrong
	}
	_, err = readAnswer(response, body)
	var e *Error
	if errors.As(err, &e) && response.StatusCode >= http.StatusInternalServerError && e.Data != nil && e.Data.Kind == clacks.Internal.String() {
		e.Data = &rpc.ErrorData{Kind: clacks.Unavailable.String(), Reason: e.Data.Reason} // a proxy, or a fault that may pass
	}
	return err
}

// maxLine bounds one line of the stream in bytes.
const maxLine = 64 << 20

// read yields the messages of one connection (HTML standard, section 9.2.6), as far as the service writes them.
func (s *subscription) read(body io.Reader, alive func()) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	id, name := "", ""
	var data [][]byte
	for lines.Scan() {
		alive()
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "id":
			id = value
		case "event":
			name = value
		case "data":
			data = append(data, []byte(value))
		case "":
			if lines.Text() != "" {
				continue // a comment
			}
			if err := s.message(id, name, data); err != nil {
				return err
			}
			name, data = "", nil
		}
		if s.stopped {
			return nil
		}
	}
	return nil // broken off, or ended by the service: resumed either way
}

// message takes the id of a message and, when it has data, yields it.
func (s *subscription) message(id, name string, data [][]byte) error {
	if id != "" {
		s.last = id
	}
	if len(data) == 0 && (id == "" || s.opened == nil) {
		return nil
	}
	sequence, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return clacks.E(clacks.Internal, "client.events", "the service sent an event without a sequence number")
	}
	if len(data) == 0 {
		s.opened(sequence)
		s.opened = nil
		return nil
	}
	if !s.yield(Event{Sequence: sequence, Type: name, Document: bytes.Join(data, []byte{'\n'})}, nil) {
		s.stopped = true
	}
	return nil
}
