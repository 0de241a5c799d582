package busevents_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"clacks"
	"clacks/access"
	"clacks/bus"
	"clacks/events"
	"clacks/rpc/busevents"
)

func TestEventsNode(t *testing.T) {
	a := newAgent(t, "sqlite::memory:")
	b := a.connect(admin)
	a.commit(2)
	all := receiver(t, b, "org.clacks.events", bus.ReceiverOptions{})
	some := receiver(t, b, "org.clacks.events", bus.ReceiverOptions{Filters: queryFilter(`Event/ObjectChanged/Sequence = 4`)})
	replay := receiver(t, b, "org.clacks.events", bus.ReceiverOptions{Filters: []bus.Filter{
		{Name: "q", Code: busevents.QueryFilterCode, Value: bus.Symbol(`$object-type = 'User' and $sequence != 2`)},
		{Name: "place", Descriptor: busevents.FromFilter, Value: uint32(1)},
	}})
	own := receiver(t, a.connect(ann), "org.clacks.events", bus.ReceiverOptions{})
	a.commit(2)
	m := expect(t, all, 3).Message
	expect(t, all, 4)
	expect(t, some, 4)
	expect(t, replay, 1, 3, 4)
	expect(t, own, 3)

	e, err := a.log.Read(t.Context(), 2, 1)
	must(t, err)
	if string(m.Body) != string(e[0].Document) || m.Text || m.Properties.ContentType != "application/xml" || m.Properties.MessageID != e[0].ID ||
		m.Properties.Subject != "ObjectChanged" || !m.Properties.Created.Equal(e[0].Time) {
		t.Errorf("%+v with %s", m.Properties, m.Body)
	}
	want := map[string]any{"sequence": int64(3), "event-id": e[0].ID, "event-type": "ObjectChanged", "uuid": ann.UUID, "dn": "cn=ann",
		"object-type": "User", "change-type": "update", "time": e[0].Time}
	for name, value := range want {
		if m.Application[name] != value {
			t.Errorf("%s is %v", name, m.Application[name])
		}
	}
	if len(m.Application) != len(want) {
		t.Errorf("%v", m.Application)
	}
}

// What a drain takes and gives back is not lost.
func TestReleasedEventsComeAgain(t *testing.T) {
	a := newAgent(t, "sqlite::memory:")
	r := receiver(t, a.connect(admin), "org.clacks.events", bus.ReceiverOptions{Manual: true})
	must(t, r.Issue(t.Context(), 10))
	a.commit(2)
	must(t, expect(t, r, 1).Release(t.Context()))
	expect(t, r, 1, 2)
	must(t, r.Drain(t.Context()))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if d, err := r.Receive(ctx); err == nil {
		t.Errorf("%+v", d.Message)
	}
	must(t, r.Close(t.Context()))
	if live := a.log.Subscriptions(); len(live) != 0 {
		t.Errorf("%+v are left", live)
	}
}

func TestEventsNodeRefuses(t *testing.T) {
	a := newAgent(t, "sqlite::memory:")
	node := busevents.NewEvents(a.log, nil)
	query := func(value any) []bus.Filter {
		return []bus.Filter{{Name: "q", Descriptor: busevents.QueryFilter, Value: value}}
	}
	from := func(value any) []bus.Filter {
		return []bus.Filter{{Name: "f", Descriptor: busevents.FromFilter, Value: value}}
	}
	for reason, test := range map[string]struct {
		user    access.User
		filters []bus.Filter
		name    string
		says    string
	}{
		"nobody":       {access.User{}, nil, bus.Unauthorized, "log in"},
		"wrong query":  {admin, query("Event/\n  ["), bus.InvalidField, "line 2, column "},
		"empty query":  {admin, query(""), bus.InvalidField, "empty"},
		"no text":      {admin, query(7), bus.InvalidField, "string"},
		"two queries":  {admin, append(query("."), query(".")...), bus.InvalidField, "two"},
		"large query":  {admin, query(strings.Repeat(" ", 1<<17) + "."), bus.LimitExceeded, "large"},
		"wrong from":   {admin, from("soon"), bus.InvalidField, "from: it must be"},
		"no from":      {admin, from(true), bus.InvalidField, "begin"},
		"two places":   {admin, append(from("1"), from("1")...), bus.InvalidField, "two"},
		"from too far": {admin, from(int8(5)), bus.InvalidField, "not reached"},
	} {
		_, err := node.Source(t.Context(), bus.SourceRequest{Peer: bus.Peer{User: test.user}, Filters: test.filters})
		var c *bus.Condition
		if !errors.As(err, &c) || c.Name != test.name || !strings.Contains(c.Description, test.says) || len(c.Description) > 500 {
			t.Errorf("%s: %v", reason, err)
		}
	}
	if _, err := node.Target(t.Context(), bus.TargetRequest{}); bus.ConditionOf(err).Name != bus.Unauthorized {
		t.Errorf("nobody sends: %v", err)
	}
	if live := a.log.Subscriptions(); len(live) != 0 {
		t.Errorf("%+v are left", live)
	}
}

// Filters that are not known are not said to be in force, and the link's property says where to begin.
func TestFiltersAndProperties(t *testing.T) {
	a := newAgent(t, "sqlite::memory:")
	a.commit(3)
	source, err := busevents.NewEvents(a.log, nil).Source(t.Context(), bus.SourceRequest{
		Peer: bus.Peer{User: admin}, Properties: map[string]any{"from": time.Now().Add(-time.Hour)},
		Filters: append(queryFilter(`$sequence >= 2`), bus.Filter{Name: "other", Descriptor: "apache.org:selector-filter:string", Value: "a = 1"}),
	})
	must(t, err)
	defer source.Close(true)
	if applied := source.Applied(); len(applied) != 1 || applied[0].Name != "query" {
		t.Errorf("%+v", applied)
	}
	for _, want := range []int64{2, 3} {
		d, err := source.Ready()
		if err != nil || d == nil || d.Message.Application["sequence"] != want {
			t.Fatalf("%+v, %v", d, err)
		}
	}
	if d, err := source.Ready(); d != nil || err != nil {
		t.Errorf("%+v, %v", d, err)
	}
	source.Close(true)
	if _, err := source.Next(t.Context()); err == nil {
		t.Error("a closed source gives something")
	}
}

func TestSendingEvents(t *testing.T) {
	a := newAgent(t, "sqlite::memory:")
	sender := func(user access.User) bus.Sender {
		s, err := a.connect(user).Sender(t.Context(), "org.clacks.events", bus.SenderOptions{})
		must(t, err)
		return s
	}
	const valid = `<Event xmlns="http://www.gonicus.de/Events"><BackendChange><DN>cn=x</DN><ChangeType>modify</ChangeType>` +
		`<ModificationTime>20260101000000Z</ModificationTime></BackendChange></Event>`
	s := sender(admin)
	keyed := &bus.Message{Body: []byte(valid), Text: true, Application: map[string]any{"idempotency-key": "k"}}
	for _, m := range []*bus.Message{{Body: []byte(valid)}, keyed, keyed} {
		must(t, s.Send(t.Context(), m))
	}
	if last, err := a.log.Last(t.Context()); err != nil || last != 2 {
		t.Errorf("%d events, %v", last, err)
	}
	for reason, test := range map[string]struct {
		user access.User
		m    *bus.Message
		name string
		says string
	}{
		"no right":       {ann, &bus.Message{Body: []byte(valid)}, bus.Unauthorized, "may not send"},
		"not valid":      {admin, &bus.Message{Body: []byte("<Event xmlns='http://www.gonicus.de/Events'>\n<BackendChange><Foo/></BackendChange></Event>")}, bus.InvalidField, "line 2: "},
		"unknown type":   {admin, &bus.Message{Body: []byte("<Event xmlns='http://www.gonicus.de/Events'><Foo/></Event>")}, bus.InvalidField, "no event type"},
		"not XML":        {admin, &bus.Message{Body: []byte("hello")}, bus.InvalidField, "document"},
		"nothing":        {admin, &bus.Message{}, bus.InvalidField, "document"},
		"another body":   {admin, &bus.Message{Value: []any{1}}, bus.InvalidField, "body"},
		"far too large":  {admin, &bus.Message{Body: []byte(strings.Repeat(" ", 2<<20))}, bus.InvalidField, "bytes"},
		"many faults":    {admin, &bus.Message{Body: []byte("<Event xmlns='http://www.gonicus.de/Events'><BackendChange>" + strings.Repeat("<F/>\n", 999) + "</BackendChange></Event>")}, bus.InvalidField, "line "},
		"a long, odd DN": {admin, &bus.Message{Body: []byte(strings.Replace(valid, "modify", strings.Repeat("ö", 9999), 1))}, bus.InvalidField, "line "},
	} {
		err := sender(test.user).Send(t.Context(), test.m)
		var c *bus.Condition
		if !errors.As(err, &c) || c.Name != test.name || !strings.Contains(c.Description, test.says) || len(c.Description) > 4100 {
			t.Errorf("%s: %v", reason, err)
		}
	}
}

// refusing is a log that cannot be written.
type refusing struct {
	*events.Log
	err error
}

func (r refusing) Send(context.Context, access.User, []byte, ...events.SendOption) (int64, error) {
	return 0, r.err
}

// What could not be taken is given back, and a fault of ours is told to nobody.
func TestSendingToALogThatIsDown(t *testing.T) {
	a := newAgent(t, "sqlite::memory:")
	for _, test := range []struct {
		err  error
		want bus.Outcome
	}{
		{clacks.E(clacks.Unavailable, "x", "down"), bus.Released},
		{clacks.E(clacks.InDoubt, "x", "perhaps"), bus.ModifiedOutcome},
		{clacks.E(clacks.Internal, "x", "secret"), bus.Rejected},
		{errors.New("secret"), bus.Rejected},
	} {
		target, err := busevents.NewEvents(refusing{a.log, test.err}, nil).Target(t.Context(), bus.TargetRequest{Peer: bus.Peer{User: admin}})
		must(t, err)
		d := target.Put(t.Context(), &bus.Message{Body: []byte("<a/>")})
		if d.Outcome != test.want || d.Condition != nil && strings.Contains(d.Condition.Error(), "secret") {
			t.Errorf("%v: %+v", test.err, d)
		}
		target.Close()
	}
}

// FuzzAttach: whatever an attach asks for, there is a source or a refusal that can be told.
func FuzzAttach(f *testing.F) {
	f.Add("Event/ObjectChanged", "1", int64(1), uint64(3), true)
	f.Add("", "2026-01-01T00:00:00Z", int64(-1), uint64(1<<63), false)
	f.Add("declare variable $uuid external; $uuid", "x", int64(1<<62), uint64(0), false)
	a := newAgent(f, "sqlite::memory:")
	a.commit(2)
	node := busevents.NewEvents(a.log, nil)
	f.Fuzz(func(t *testing.T, query, from string, number int64, unsigned uint64, symbol bool) {
		var value any = query
		if symbol {
			value = bus.Symbol(query)
		}
		for _, place := range []any{from, bus.Symbol(from), number, unsigned, time.Unix(number, 0), nil} {
			source, err := node.Source(t.Context(), bus.SourceRequest{Peer: bus.Peer{User: admin}, Filters: []bus.Filter{
				{Name: "q", Descriptor: busevents.QueryFilter, Value: value}, {Name: "f", Descriptor: busevents.FromFilter, Value: place},
			}})
			var c *bus.Condition
			switch {
			case err == nil:
				if _, err := source.Ready(); err != nil {
					t.Errorf("%v", err)
				}
				source.Close(true)
			case !errors.As(err, &c) || c.Name == bus.InternalError || len(c.Description) > 500:
				t.Errorf("%q from %v: %v", query, place, err)
			}
		}
	})
}
