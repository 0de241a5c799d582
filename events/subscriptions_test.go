package events

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"clacks"
	"clacks/access"
	"clacks/internal/store"
	"clacks/xquery"
)

// subscriptionsOn makes those of a new process on a log's database. They are written only when somebody flushes.
func subscriptionsOn(t *testing.T, db *store.DB) (*Log, *Subscriptions) {
	t.Helper()
	l := newLog(t, db, WithPoll(5*time.Millisecond))
	return l, NewSubscriptions(l, SubscriptionLimits{User: 5, Total: 7})
}

func create(t *testing.T, s *Subscriptions, user access.User, q SubscriptionRequest) string {
	t.Helper()
	id, err := s.Create(t.Context(), user, q)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func openConsumer(t *testing.T, s *Subscriptions, user access.User, id string) *Consumer {
	t.Helper()
	c, err := s.Open(t.Context(), user, id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// expect receives notices and fails unless they are these.
func expect(t *testing.T, c *Consumer, want ...int64) {
	t.Helper()
	for _, sequence := range want {
		n, err := c.Next(limited(t))
		if err != nil || n.Sequence != sequence {
			t.Fatalf("%+v, %v instead of %d", n, err, sequence)
		}
	}
}

func expectNothing(t *testing.T, c *Consumer) {
	t.Helper()
	if n, err := c.Ready(t.Context()); n != nil || err != nil {
		t.Fatalf("%+v, %v", n, err)
	}
}

func stateOf(t *testing.T, s *Subscriptions, id string) SubscriptionState {
	t.Helper()
	all, err := s.List(t.Context(), admin)
	if err != nil {
		t.Fatal(err)
	}
	for _, state := range all {
		if state.ID == id {
			return state
		}
	}
	t.Fatalf("no subscription %s in %+v", id, all)
	return SubscriptionState{}
}

func mustFlush(t *testing.T, s *Subscriptions) {
	t.Helper()
	if err := s.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A durable subscription delivers everything at least once over crashes: what was not written as handled comes again, in
// order, and nothing is left out.
func TestDurableSubscription(t *testing.T) {
	both(t, func(t *testing.T, db *store.DB) {
		l, s := subscriptionsOn(t, db)
		commit(t, l, db, changes("a", 2))
		id := create(t, s, admin, SubscriptionRequest{Durable: true, Query: `Event/ObjectChanged/Sequence != 4`})
		commit(t, l, db, changes("b", 6)) // 3 to 8
		c := openConsumer(t, s, admin, id)
		expect(t, c, 3, 5, 6)
		c.Handle(5, Accepted)
		c.Handle(3, Accepted)
		mustFlush(t, s)
		expect(t, c, 7)
		c.Handle(6, Accepted) // not written: the process dies
		_, after := subscriptionsOn(t, db)
		again := openConsumer(t, after, admin, id)
		expect(t, again, 6, 7, 8)
		again.Handle(7, Released)
		again.Handle(8, Failed)
		expect(t, again, 7)
		n, err := again.Next(limited(t))
		if err != nil || n.Sequence != 8 || n.Failures != 1 {
			t.Fatalf("%+v, %v", n, err)
		}
		again.Handle(6, Rejected)
		again.Handle(8, Accepted)
		again.Handle(8, Rejected) // the first counts
		if state := stateOf(t, after, id); state.Position != 6 || state.Lag != 2 {
			t.Errorf("%+v", state)
		}
		again.Handle(7, Accepted)
		expectNothing(t, again)
		again.Close()
		mustFlush(t, after)
		state := stateOf(t, after, id)
		if state.Position != 8 || state.Delivered != 4 || state.Rejected != 1 || state.Attached || !state.Durable || state.Lag != 0 {
			t.Errorf("%+v", state)
		}
	})
}

// Whoever was replaced, by a link of this process or of another agent, learns of it and moves nothing any more.
func TestTheLaterConsumerTakesOver(t *testing.T) {
	both(t, func(t *testing.T, db *store.DB) {
		l, here := subscriptionsOn(t, db)
		_, there := subscriptionsOn(t, db)
		id := create(t, here, admin, SubscriptionRequest{Durable: true})
		commit(t, l, db, changes("a", 5))
		first := openConsumer(t, here, admin, id)
		expect(t, first, 1, 2)
		first.Handle(1, Accepted)
		second := openConsumer(t, here, admin, id)
		if _, err := first.Next(limited(t)); !clacks.IsKind(err, clacks.Conflict) {
			t.Errorf("the first: %v", err)
		}
		expect(t, second, 2, 3)
		third := openConsumer(t, there, admin, id)
		expect(t, third, 2)
		third.Handle(2, Accepted)
		mustFlush(t, there)
		second.Handle(2, Accepted)
		second.Handle(3, Accepted)
		mustFlush(t, here) // finds out
		if _, err := second.Next(limited(t)); !clacks.IsKind(err, clacks.Conflict) {
			t.Errorf("the second: %v", err)
		}
		if state := stateOf(t, here, id); state.Position != 2 || state.Delivered != 2 {
			t.Errorf("%+v", state)
		}
		expect(t, third, 3)
		if _, err := here.Open(t.Context(), ann, id); !clacks.IsKind(err, clacks.NotFound) {
			t.Errorf("another user: %v", err)
		}
		if err := here.Remove(t.Context(), admin, id); err != nil {
			t.Fatal(err)
		}
		mustFlush(t, there)
		if _, err := third.Next(limited(t)); !clacks.IsKind(err, clacks.NotFound) {
			t.Errorf("removed: %v", err)
		}
	})
}

// A subscription that is not durable delivers at most once, whatever happens, and goes when nobody is attached.
func TestTransientSubscription(t *testing.T) {
	both(t, func(t *testing.T, db *store.DB) {
		l, s := subscriptionsOn(t, db)
		id := create(t, s, admin, SubscriptionRequest{})
		commit(t, l, db, changes("a", 3))
		c := openConsumer(t, s, admin, id)
		expect(t, c, 1, 2)
		c.Handle(2, Released)
		c.Close()
		again := openConsumer(t, s, admin, id)
		expect(t, again, 3)
		commit(t, l, db, changes("b", 2)) // and the process dies
		_, after := subscriptionsOn(t, db)
		late := openConsumer(t, after, admin, id)
		commit(t, l, db, changes("c", 1))
		expect(t, late, 6)
		if err := after.reap(t.Context(), time.Now()); err != nil || stateOf(t, after, id).Delivered != 3 {
			t.Errorf("%v, %+v", err, stateOf(t, after, id))
		}
		late.Close()
		mustFlush(t, after)
		if state := stateOf(t, after, id); state.Attached || !state.Expires.After(time.Now()) {
			t.Errorf("%+v", state)
		}
		if err := after.reap(t.Context(), time.Now().Add(DefaultSubscriptionLimits.Lease+time.Minute)); err != nil {
			t.Fatal(err)
		}
		if _, err := after.Open(t.Context(), admin, id); !clacks.IsKind(err, clacks.NotFound) {
			t.Errorf("reaped: %v", err)
		}
	})
}

func TestNamedSubscription(t *testing.T) {
	both(t, func(t *testing.T, db *store.DB) {
		l, s := subscriptionsOn(t, db)
		commit(t, l, db, changes("a", 4))
		q := SubscriptionRequest{Name: "audit", Durable: true, Query: `Event/ObjectChanged`, From: "2"}
		id := create(t, s, admin, q)
		q.From = "4"
		if again := create(t, s, admin, q); again != id {
			t.Errorf("%s is another than %s", again, id)
		}
		c := openConsumer(t, s, admin, id)
		expect(t, c, 2, 3)
		c.Handle(2, Accepted)
		q.Query = `Event/Ping`
		if _, err := s.Create(t.Context(), admin, q); !clacks.IsKind(err, clacks.Conflict) {
			t.Errorf("another query: %v", err)
		}
		if other := create(t, s, ann, q); other == id {
			t.Error("another user has the same")
		}
		q.Replace, q.From, q.Query = true, "", `Event/ObjectChanged/Sequence > 3`
		if again := create(t, s, admin, q); again != id {
			t.Errorf("%s is another than %s", again, id)
		}
		if _, err := c.Next(limited(t)); !clacks.IsKind(err, clacks.Conflict) {
			t.Errorf("the old query: %v", err)
		}
		if state := stateOf(t, s, id); state.Position != 2 || state.Query != q.Query {
			t.Errorf("%+v", state)
		}
		expect(t, openConsumer(t, s, admin, id), 4)
		q.From = "1"
		create(t, s, admin, q)
		if state := stateOf(t, s, id); state.Position != 0 {
			t.Errorf("%+v", state)
		}
		own, err := s.List(t.Context(), ann)
		if err != nil || len(own) != 1 || own[0].Owner != "ann" {
			t.Errorf("%+v, %v", own, err)
		}
		if err := s.Remove(t.Context(), ann, id); !clacks.IsKind(err, clacks.NotFound) {
			t.Errorf("another's: %v", err)
		}
		if err := s.Remove(t.Context(), admin, own[0].ID); err != nil {
			t.Errorf("an administrator: %v", err)
		}
	})
}

func TestSubscriptionFromATime(t *testing.T) {
	both(t, func(t *testing.T, db *store.DB) {
		l, s := subscriptionsOn(t, db)
		made := changes("a", 3)
		for i := range made {
			made[i].Time = time.Date(2026, 1, 1+i, 0, 0, 0, 0, time.UTC)
		}
		commit(t, l, db, made)
		for from, first := range map[string]int64{"2026-01-02T00:00:00Z": 2, "2000-01-01T00:00:00+01:00": 1, "0": 1, "3": 3} {
			id := create(t, s, admin, SubscriptionRequest{From: from, Name: strings.ReplaceAll(from, "+", " "), Durable: true})
			expect(t, openConsumer(t, s, admin, id), first)
		}
	})
}

func TestSubscriptionsAreRefused(t *testing.T) {
	db := openSQLite(t)
	l, s := subscriptionsOn(t, db)
	commit(t, l, db, changes("a", 3))
	if _, err := l.Prune(t.Context(), Retention{Rows: 1}); err != nil {
		t.Fatal(err)
	}
	for reason, test := range map[string]struct {
		q    SubscriptionRequest
		user access.User
		kind clacks.Kind
	}{
		"nobody":            {SubscriptionRequest{}, access.User{}, clacks.Unauthenticated},
		"wrong deliver":     {SubscriptionRequest{Deliver: "both"}, admin, clacks.Invalid},
		"nothing to result": {SubscriptionRequest{Deliver: DeliverResult}, admin, clacks.Invalid},
		"wrong encoding": {SubscriptionRequest{Deliver: DeliverResult,
			Query: `declare namespace output = "http://www.w3.org/2010/xslt-xquery-serialization"; declare option output:encoding "UTF-16"; .`}, admin, clacks.Invalid},
		"wrong name":       {SubscriptionRequest{Name: "a\nb"}, admin, clacks.Invalid},
		"replace":          {SubscriptionRequest{Replace: true}, admin, clacks.Invalid},
		"wrong from":       {SubscriptionRequest{From: "yesterday"}, admin, clacks.Invalid},
		"not reached":      {SubscriptionRequest{From: "5"}, admin, clacks.Invalid},
		"not kept":         {SubscriptionRequest{From: "2"}, admin, clacks.NotFound},
		"too large":        {SubscriptionRequest{Query: strings.Repeat(" ", 64<<10) + "."}, admin, clacks.Limit},
		"far in the past":  {SubscriptionRequest{From: "-0001-01-01T00:00:00Z"}, admin, clacks.Invalid},
		"beyond all years": {SubscriptionRequest{From: "99999-01-01T00:00:00Z"}, admin, clacks.Invalid},
	} {
		if _, err := s.Create(t.Context(), test.user, test.q); !clacks.IsKind(err, test.kind) {
			t.Errorf("%s: %v", reason, err)
		}
	}
	var wrong *xquery.Error
	if _, err := s.Create(t.Context(), admin, SubscriptionRequest{Query: "Event/\n["}); !errors.As(err, &wrong) || wrong.Line != 2 {
		t.Errorf("wrong query: %v", err)
	}
	for i := range 7 {
		user := access.User{ID: fmt.Sprint("user", i/5)}
		create(t, s, user, SubscriptionRequest{})
		if _, err := s.Create(t.Context(), user, SubscriptionRequest{}); i == 4 && !clacks.IsKind(err, clacks.Limit) {
			t.Errorf("too many of one user: %v", err)
		} else if err == nil {
			break
		}
	}
	if _, err := s.List(t.Context(), access.User{}); !clacks.IsKind(err, clacks.Unauthenticated) {
		t.Errorf("nobody lists: %v", err)
	}
	checkIdle(t, l)
}

func TestDeliverResult(t *testing.T) {
	db := openSQLite(t)
	l, s := subscriptionsOn(t, db)
	commit(t, l, db, changes("a", 3))
	for query, want := range map[string]string{
		`Event/ObjectChanged[Sequence = 2]/ChangeType`: `application/xml <ChangeType xmlns="` + Namespace + `">update</ChangeType>`,
		`for $o in Event/ObjectChanged where $sequence = 3 return <changed xmlns="" n="{$o/e:Sequence}">{string($o/e:DN)}</changed>`: `application/xml <changed n="3">cn=ann</changed>`,
		`declare namespace output = "http://www.w3.org/2010/xslt-xquery-serialization"; declare option output:method "text"; ` +
			`if ($sequence = 1) then error() else string(Event/ObjectChanged/Sequence[. = 2])`: `text/plain 2`,
	} {
		id := create(t, s, admin, SubscriptionRequest{Query: query, Deliver: DeliverResult, From: "1"})
		c := openConsumer(t, s, admin, id)
		n, err := c.Next(limited(t))
		if err != nil || n.ContentType+" "+string(n.Body) != want {
			t.Errorf("%s\n%s %s, %v; want %s", query, n.ContentType, n.Body, err, want)
		}
	}
}

// A query may multiply what it was given, but not without bound.
func TestResultIsBounded(t *testing.T) {
	db := openSQLite(t)
	l, s := subscriptionsOn(t, db)
	made := changes("a", 2)
	made[0].Attributes[0].New = []string{strings.Repeat("x", 1<<20)}
	commit(t, l, db, made)
	id := create(t, s, admin, SubscriptionRequest{Query: `(/, /, /, /, /, /)`, Deliver: DeliverResult, From: "1"})
	c := openConsumer(t, s, admin, id)
	expect(t, c, 2)
	if state := stateOf(t, s, id); state.Failed != 1 || !strings.Contains(state.LastError, "larger than") {
		t.Errorf("%+v", state)
	}
}

// What nobody sees of a result counts as a part of the evaluation.
func TestResultTakesSteps(t *testing.T) {
	db := openSQLite(t)
	l, s := subscriptionsOn(t, db)
	commit(t, l, db, changes("a", 2))
	query := `declare namespace output = "http://www.w3.org/2010/xslt-xquery-serialization"; declare option output:method "text"; ` +
		`let $n := <a>{ (1 to 1000) ! <b/> }</a> return if ($sequence = 1) then (1 to 10000) ! $n else "x"`
	id := create(t, s, admin, SubscriptionRequest{Query: query, Deliver: DeliverResult, From: "1"})
	c := openConsumer(t, s, admin, id)
	expect(t, c, 2)
	if state := stateOf(t, s, id); state.Failed != 1 || !strings.Contains(state.LastError, "XPDY0130") {
		t.Errorf("%+v", state)
	}
}

// A subscriber is sent what he may read and nothing else, also when it is delivered again.
func TestSubscriptionsAskForRights(t *testing.T) {
	db := openSQLite(t)
	l, s := subscriptionsOn(t, db)
	made := changes("a", 3)
	made[1].UUID = "uuid-of-bob"
	commit(t, l, db, made)
	c := openConsumer(t, s, ann, create(t, s, ann, SubscriptionRequest{Durable: true, From: "1"}))
	expect(t, c, 1)
	c.Handle(1, Released)
	expect(t, c, 1, 3)
	expectNothing(t, c)
}

// A subscriber who never handles anything is not given everything.
func TestUnhandledIsBounded(t *testing.T) {
	db := openSQLite(t)
	l, s := subscriptionsOn(t, db)
	const events = 12
	large(t, l, db, events)
	for range 5 {
		made := changes(fmt.Sprint("more", last(t, l)), 1)
		made[0].Attributes[0].New = []string{strings.Repeat("x", 2<<20)}
		commit(t, l, db, made)
	}
	c := openConsumer(t, s, admin, create(t, s, admin, SubscriptionRequest{Durable: true, From: "1"}))
	out := []int64{}
	for {
		n, err := c.Ready(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n == nil {
			break
		}
		out = append(out, n.Sequence)
	}
	if len(out) < events || len(out) > events+4 {
		t.Fatalf("%d events are out", len(out))
	}
	came := make(chan int64)
	go func() {
		n, err := c.Next(limited(t))
		if err != nil {
			close(came)
			return
		}
		came <- n.Sequence
	}()
	for _, sequence := range out {
		c.Handle(sequence, Accepted)
	}
	if n := <-came; n != out[len(out)-1]+1 {
		t.Errorf("event %d came", n)
	}
}

// The log keeps what the slowest durable subscription needs, up to a bound; who is behind that learns of it.
func TestRetentionSparesDurableSubscriptions(t *testing.T) {
	both(t, func(t *testing.T, db *store.DB) {
		l, s := subscriptionsOn(t, db)
		create(t, s, admin, SubscriptionRequest{})
		retention := Retention{Rows: 1, Slowest: s.Slowest, Held: 8}
		commit(t, l, db, changes("a", 3))
		if removed, err := l.Prune(t.Context(), retention); removed != 2 || err != nil {
			t.Errorf("without durable ones: %d, %v", removed, err)
		}
		id := create(t, s, admin, SubscriptionRequest{Durable: true})
		commit(t, l, db, changes("b", 8))
		if removed, err := l.Prune(t.Context(), retention); removed != 1 || err != nil {
			t.Errorf("spared: %d, %v", removed, err)
		}
		commit(t, l, db, changes("c", 2))
		if removed, err := l.Prune(t.Context(), retention); removed != 2 || err != nil {
			t.Errorf("above the bound: %d, %v", removed, err)
		}
		if _, err := s.Open(t.Context(), admin, id); !clacks.IsKind(err, clacks.NotFound) {
			t.Errorf("%v", err)
		}
		if state := stateOf(t, s, id); state.LastError == "" || state.Attached {
			t.Errorf("%+v", state)
		}
	})
}

func TestSummary(t *testing.T) {
	both(t, func(t *testing.T, db *store.DB) {
		l, s := subscriptionsOn(t, db)
		check := func(want Summary) {
			t.Helper()
			if got, err := s.Summary(t.Context()); err != nil || got != want {
				t.Errorf("%+v, %v; want %+v", got, err, want)
			}
		}
		check(Summary{Slowest: -1})
		commit(t, l, db, changes("a", 3))
		create(t, s, admin, SubscriptionRequest{})
		check(Summary{Transient: 1, Slowest: -1})
		openConsumer(t, s, admin, create(t, s, admin, SubscriptionRequest{Durable: true}))
		create(t, s, ann, SubscriptionRequest{Durable: true, From: "2"})
		check(Summary{Durable: 2, Transient: 1, Attached: 1, Slowest: 1})
	})
}

// Run writes what was handled without being asked, and in the end.
func TestKeeper(t *testing.T) {
	db := openSQLite(t)
	l := newLog(t, db)
	s := NewSubscriptions(l, SubscriptionLimits{Flush: time.Millisecond})
	ctx, cancel := context.WithCancel(limited(t))
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	id := create(t, s, admin, SubscriptionRequest{Durable: true})
	commit(t, l, db, changes("a", 2))
	c := openConsumer(t, s, admin, id)
	expect(t, c, 1, 2)
	c.Handle(1, Accepted)
	handled := func() int64 {
		r, err := s.record(t.Context(), ` WHERE id = ?`, id)
		if err != nil {
			t.Fatal(err)
		}
		return r.handled
	}
	for ctx.Err() == nil && handled() < 1 {
		time.Sleep(time.Millisecond)
	}
	c.Handle(2, Accepted)
	cancel()
	<-done
	if n := handled(); n != 2 {
		t.Errorf("%d is written", n)
	}
}

// FuzzBehind: any text is a place in the log or refused.
func FuzzBehind(f *testing.F) {
	for _, from := range []string{"", "0", "7", "-1", "9223372036854775807", "2026-01-02T03:04:05.678+01:00", "2026", "now", " 5 ", "1e3"} {
		f.Add(from)
	}
	db := openSQLite(f)
	l := newLog(f, db)
	commit(f, l, db, changes("a", 3))
	f.Fuzz(func(t *testing.T, from string) {
		after, err := l.Behind(t.Context(), from)
		if err != nil && !clacks.IsKind(err, clacks.Invalid) {
			t.Errorf("%q: %v", from, err)
		}
		if err == nil && after < FromNow {
			t.Errorf("%q: %d", from, after)
		}
	})
}
