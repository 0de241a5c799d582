package httpd

import (
	"bufio"
	"context"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"clacks/events"
)

// message is one server-sent event as a browser would understand it; only an id for one without data.
type message struct{ id, event, data string }

// reader opens a stream and yields its messages and comments.
type reader struct {
	t        *testing.T
	response *http.Response
	lines    *bufio.Scanner
	cancel   context.CancelFunc
}

func (f *fixture) open(path string, change ...func(*http.Request)) *reader {
	f.t.Helper()
	ctx, cancel := context.WithCancel(f.t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, f.web.URL+path, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, c := range change {
		c(r)
	}
	response, err := f.client.Do(r)
	if err != nil {
		f.t.Fatal(err)
	}
	out := &reader{t: f.t, response: response, lines: bufio.NewScanner(response.Body), cancel: cancel}
	f.t.Cleanup(out.close)
	return out
}

func (r *reader) close() {
	r.cancel()
	_ = r.response.Body.Close()
}

// next reads up to the next blank line.
func (r *reader) next() (message, bool) {
	var m message
	for r.lines.Scan() {
		name, value, _ := strings.Cut(r.lines.Text(), ": ")
		switch name {
		case "":
			return m, true
		case "id":
			m.id = value
		case "event":
			m.event = value
		case "data":
			if m.data != "" {
				m.data += "\n"
			}
			m.data += value
		}
	}
	return m, false
}

func (r *reader) want(want message) {
	r.t.Helper()
	if got, ok := r.next(); !ok || got != want {
		r.t.Fatalf("got %+v, %v; want %+v", got, ok, want)
	}
}

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func change(uuid, kind, dn, newDN string, at time.Time) events.Event {
	return events.Event{Type: events.ObjectChanged, ID: uuid, Time: at, UUID: uuid, DN: dn, NewDN: newDN, ChangeType: kind,
		Document: []byte("<Event>\r\n<x/>\n</Event>")}
}

func TestEventsXML(t *testing.T) {
	f := newFixture(t)
	f.log.add(change("u1", "create", "cn=a", "", noon))
	f.log.add(change("u2", "update", "cn=b", "", noon.Add(time.Hour)))
	document := "<Event>\n<x/>\n</Event>"
	one := message{"1", "ObjectChanged", document}
	two := message{"2", "ObjectChanged", document}
	three := message{"3", "ObjectChanged", document}
	tests := []struct {
		name, path, lastID string
		start              string
		want               []message
	}{
		{"from now on", "/events/xml", "", "2", []message{three}},
		{"from the first", "/events/xml?from=1", "", "0", []message{one, two, three}},
		{"from zero", "/events/xml?from=0", "", "0", []message{one, two, three}},
		{"from a number", "/events/xml?from=2", "", "1", []message{two, three}},
		{"from a time", "/events/xml?from=2026-11-20T12:30:00Z", "", "1", []message{two, three}},
		{"resumed", "/events/xml?from=1", "2", "2", []message{three}},
		{"a query", "/events/xml?xquery=true()&from=2&nocache=17", "", "1", []message{two, three}},
	}
	var readers []*reader
	for _, test := range tests {
		r := f.open(test.path, basic("admin", "tester"), func(r *http.Request) {
			if test.lastID != "" {
				r.Header.Set("Last-Event-ID", test.lastID)
			}
		})
		if kind := r.response.Header.Get("Content-Type"); r.response.StatusCode != 200 || !strings.HasPrefix(kind, "text/event-stream") {
			t.Fatalf("%s: %d %s", test.name, r.response.StatusCode, kind)
		}
		r.want(message{id: test.start})
		readers = append(readers, r)
	}
	f.log.add(change("u3", "remove", "cn=c", "", noon.Add(2*time.Hour)))
	for i, test := range tests {
		for _, want := range test.want {
			got, ok := readers[i].next()
			if !ok || got != want {
				t.Errorf("%s: %+v, want %+v", test.name, got, want)
			}
		}
	}
	if n := field(t, f.get("/readyz").body, "ready"); n != true {
		t.Error("not ready")
	}
	if body := f.get("/metrics").body; !strings.Contains(body, "clacks_event_streams "+strconv.Itoa(len(tests))+"\n") {
		t.Error("the streams are not counted")
	}
}

func TestEventsOfTheFrontend(t *testing.T) {
	f := newFixture(t)
	f.login("admin")
	r := f.open("/events") // the cookie proves who asks
	r.want(message{id: "0"})
	f.log.add(change("u1", "create", "cn=a,dc=x", "", noon))
	f.log.add(events.Event{Type: "Notification", Document: []byte("<Event/>")})
	f.log.add(change("u1", "extend", "cn=a,dc=x", "", noon))
	f.log.add(change("u1", "move", "cn=a,dc=x", "cn=b,dc=x", noon))
	r.want(message{"1", "objectChange", `{"uuid":"u1","dn":"cn=a,dc=x","lastChanged":"20261120120000Z","changeType":"create"}`})
	r.want(message{"3", "objectChange", `{"uuid":"u1","dn":"cn=a,dc=x","lastChanged":"20261120120000Z","changeType":"update"}`})
	r.want(message{"4", "objectChange", `{"uuid":"u1","dn":"cn=b,dc=x","lastChanged":"20261120120000Z","changeType":"move"}`})
}

func TestEventsRefused(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Limits.UserStreams = 1 })
	tests := []struct {
		name, path string
		change     func(*http.Request)
		status     int
		want       string
	}{
		{"nobody", "/events/xml", func(*http.Request) {}, 401, "log in"},
		{"nobody, frontend", "/events", func(*http.Request) {}, 401, "log in"},
		{"wrong query", "/events/xml?xquery=bad", basic("admin", "tester"), 400,
			`{"line":1,"column":4,"code":"XPST0003","message":"unexpected end"}`},
		{"wrong from", "/events/xml?from=yesterday", basic("admin", "tester"), 400,
			`"message":"wrong parameters (from: it must be a sequence number or a time as in RFC 3339)","data":{"kind":"invalid","attribute":"from"`},
		{"wrong id", "/events/xml", func(r *http.Request) {
			r.SetBasicAuth("admin", "tester")
			r.Header.Set("Last-Event-ID", "x")
		}, 400, "Last-Event-ID"},
		{"an id of the future", "/events/xml", func(r *http.Request) {
			r.SetBasicAuth("admin", "tester")
			r.Header.Set("Last-Event-ID", "99")
		}, 400, "has not reached 99; its last event is 0"},
		{"a number of the future", "/events/xml?from=99", basic("admin", "tester"), 400,
			"wrong parameters (from: the event log has not reached 99; its last event is 0)"},
		{"misspelt query", "/events/xml?xqeury=bad&nocache=1", basic("admin", "tester"), 400,
			`"message":"wrong parameters (xqeury: no such parameter, did you mean \"xquery\"?)"`},
		{"unknown", "/events/xml?wait=1", basic("admin", "tester"), 400, "wait: no such parameter, known: xquery, from"},
		{"query, frontend", "/events?xquery=bad", basic("admin", "tester"), 400, "xquery: no such parameter, known: from"},
		{"twice", "/events/xml?xquery=none&xquery=bad", basic("admin", "tester"), 400, "xquery: it may stand only once"},
		{"unreadable", "/events/xml?xquery=%", basic("admin", "tester"), 400, "cannot be read"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := f.get(test.path, test.change); got.status != test.status || !strings.Contains(got.body, test.want) {
				t.Errorf("%d %s", got.status, got.body)
			}
		})
	}
	f.open("/events/xml", basic("admin", "tester")).want(message{id: "0"})
	if got := f.get("/events/xml", basic("admin", "tester")); got.status != http.StatusServiceUnavailable {
		t.Errorf("a stream over the limit: %d", got.status)
	}
	f.open("/events/xml", basic("jane", "tester")).want(message{id: "0"})
	if without := newFixture(t, func(o *Options) { o.Events = nil }); without.get("/events/xml", basic("admin", "tester")).status != 404 {
		t.Error("without a log there is something to stream")
	}
}

func TestHeartbeat(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Limits.Heartbeat = time.Millisecond })
	r := f.open("/events/xml", basic("admin", "tester"))
	r.want(message{id: "0"})
	for range 3 {
		r.want(message{}) // a comment, and the blank line behind it
	}
}

// The stream of a session ends with it: at the next heart-beat after the logout, whatever the session was proved by.
func TestLogoutEndsStreams(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Limits.Heartbeat = time.Millisecond })
	f.login("admin")
	byCookie := f.open("/events")
	byCookie.want(message{id: "0"})
	byCookie.want(message{})
	bystander := f.open("/events", basic("admin", "tester"))
	bystander.want(message{id: "0"})
	if a := f.post("/rpc", `{"method":"logout","params":[],"id":1}`); a.status != http.StatusOK {
		t.Fatalf("%+v", a)
	}
	for beats, more := 0, true; more; beats++ {
		if _, more = byCookie.next(); beats == 10_000 {
			t.Fatal("the stream goes on")
		}
	}
	bystander.want(message{})
}

// A client that does not read is cut off: the stream must not wait for it.
func TestSlowClientIsCutOff(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Limits.Write = 50 * time.Millisecond })
	r := f.open("/events/xml", basic("admin", "tester"))
	r.want(message{id: "0"})
	big := events.Event{Type: "Big", Document: []byte(strings.Repeat("x", 1<<20))}
	for range 64 { // more than all buffers on the way hold
		f.log.add(big)
	}
	deadline := time.Now().Add(20 * time.Second)
	for f.server.streams.count() > 0 {
		if time.Now().After(deadline) {
			t.Fatal("the stream is still open")
		}
		time.Sleep(time.Millisecond)
	}
}

func TestSSEMessage(t *testing.T) {
	var message strings.Builder
	if err := writeMessage(&message, 7, "X", []byte("a\r\nb\rc\n")); err != nil {
		t.Fatal(err)
	}
	got := message.String()
	if want := "id: 7\nevent: X\ndata: a\ndata: b\ndata: c\ndata: \n\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := string(sseComment("a\nb\r\n\ndata: x")); got != ": a b   data: x\n\n" {
		t.Errorf("%q", got)
	}
}
