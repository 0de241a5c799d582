package events

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"clacks"
	"clacks/access"
	"clacks/internal/store"
	"clacks/xquery"
)

var errEnough = errors.New("enough")

// collect gives a deliver function that ends after n events, and the sequence numbers that it was given.
func collect(n int) (deliver func(Event) error, numbers *[]int64) {
	numbers = &[]int64{}
	return func(e Event) error {
		*numbers = append(*numbers, e.Sequence)
		if len(*numbers) == n {
			return errEnough
		}
		return nil
	}, numbers
}

// checkRun fails unless the numbers are from, from+1, ... to.
func checkRun(t *testing.T, who string, numbers []int64, from, to int64) {
	t.Helper()
	for i, n := range numbers {
		if n != from+int64(i) {
			t.Errorf("%s: place %d has event %d, not %d", who, i, n, from+int64(i))
			return
		}
	}
	if int64(len(numbers)) != to-from+1 {
		t.Errorf("%s: %d events, not those from %d to %d", who, len(numbers), from, to)
	}
}

// limited is a context that ends a test which would wait for ever.
func limited(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// Subscribers come at all times while events are committed, start at all places, and each must get every event from his
// place on exactly once. The database is left to itself: nobody is told of half of the commits.
func TestStreamLosesAndRepeatsNothing(t *testing.T) {
	both(t, func(t *testing.T, db *store.DB) {
		const commits, subscribers = 600, 24
		ctx := limited(t)
		l := newLog(t, db, WithPoll(5*time.Millisecond))
		var committed atomic.Int64
		var group sync.WaitGroup
		join := make([]chan struct{}, subscribers)
		for i := range join {
			join[i] = make(chan struct{})
			group.Go(func() {
				<-join[i]
				after := min(committed.Load()*int64(i%3)/2, commits-1) // the beginning, the middle, the end
				deliver, numbers := collect(commits - int(after))
				query := []string{"", "true()"}[i%2]
				err := l.Stream(ctx, Subscription{User: admin, Query: query, After: after}, deliver)
				if !errors.Is(err, errEnough) {
					t.Errorf("subscriber %d: %v", i, err)
				}
				checkRun(t, fmt.Sprint("subscriber ", i), *numbers, after+1, commits)
			})
		}
		for n := 0; n < commits; {
			made := changes(fmt.Sprint(n), min(1+n%4, commits-n))
			statements, err := l.Record(made)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := db.Exec(ctx, statements...); err != nil {
				t.Fatal(err)
			}
			if n%2 == 0 {
				l.Recorded()
			}
			n += len(made)
			committed.Store(int64(n))
			if i := n * subscribers / commits; i > 0 && i <= subscribers {
				closeOnce(join[:i])
			}
		}
		closeOnce(join)
		group.Wait()
		checkIdle(t, l)
	})
}

// closeOnce closes the channels that are not closed yet.
func closeOnce(channels []chan struct{}) {
	for _, c := range channels {
		select {
		case <-c:
		default:
			close(c)
		}
	}
}

// checkIdle fails unless nothing is left of the subscriptions.
func checkIdle(t *testing.T, l *Log) {
	t.Helper()
	l.hub.mu.Lock()
	defer l.hub.mu.Unlock()
	if len(l.hub.subscribers) != 0 || l.hub.window != nil {
		t.Errorf("%d subscribers are left, window %v", len(l.hub.subscribers), l.hub.window != nil)
	}
	l.hub.filters.mu.Lock()
	defer l.hub.filters.mu.Unlock()
	if len(l.hub.filters.bySrc) != 0 {
		t.Errorf("%d queries are left", len(l.hub.filters.bySrc))
	}
}

// One subscriber stands still until the others have seen more events than the window holds. They must not wait for him,
// and he must get all the same.
func TestSlowSubscriberDelaysNobody(t *testing.T) {
	const total = 3 * windowEvents
	ctx := limited(t)
	db := openSQLite(t)
	l := newLog(t, db)
	release := make(chan struct{})
	var slow, fast sync.WaitGroup
	subscribe := func(group *sync.WaitGroup, who string, before func()) {
		subscriber, err := l.Subscribe(ctx, Subscription{User: admin, After: FromNow})
		if err != nil {
			t.Fatal(err)
		}
		group.Go(func() {
			defer subscriber.Close()
			deliver, numbers := collect(total)
			err := subscriber.Run(ctx, func(e Event) error {
				before()
				return deliver(e)
			})
			if !errors.Is(err, errEnough) {
				t.Errorf("%s: %v", who, err)
			}
			checkRun(t, who, *numbers, 1, total)
		})
	}
	subscribe(&slow, "the slow one", func() { <-release })
	for i := range 3 {
		subscribe(&fast, fmt.Sprint("fast one ", i), func() {})
	}
	for n := 0; n < total; n += 64 {
		commit(t, l, db, changes(fmt.Sprint(n), 64))
	}
	fast.Wait()
	stats := l.Subscriptions()
	if len(stats) != 1 || stats[0].Position != 0 {
		t.Errorf("the slow one stands at %+v", stats)
	}
	close(release)
	slow.Wait()
}

func TestSubscribePositions(t *testing.T) {
	both(t, func(t *testing.T, db *store.DB) {
		l := newLog(t, db)
		commit(t, l, db, changes("a", 3))
		for after, want := range map[int64]int64{FromNow: 3, 0: 0, 2: 2, 3: 3} {
			s, err := l.Subscribe(t.Context(), Subscription{User: admin, After: after})
			if err != nil {
				t.Fatal(err)
			}
			if s.Position() != want {
				t.Errorf("After %d stands at %d, want %d", after, s.Position(), want)
			}
			s.Close()
			s.Close()
		}
		for _, after := range []int64{4, -2} {
			if _, err := l.Subscribe(t.Context(), Subscription{User: admin, After: after}); !clacks.IsKind(err, clacks.Invalid) {
				t.Errorf("After %d: %v", after, err)
			}
		}
		if _, err := l.Subscribe(t.Context(), Subscription{}); !clacks.IsKind(err, clacks.Unauthenticated) {
			t.Errorf("nobody: %v", err)
		}
		checkIdle(t, l)
	})
}

func TestSubscribersAreBounded(t *testing.T) {
	l := newLog(t, openSQLite(t))
	var all []*Subscriber
	for range maxSubscribers {
		s := &Subscriber{log: l}
		if err := l.hub.attach(s, 0); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	if _, err := l.Subscribe(t.Context(), Subscription{User: admin, After: FromNow}); !clacks.IsKind(err, clacks.Limit) {
		t.Errorf("one more: %v", err)
	}
	for _, s := range all {
		s.Close()
	}
	checkIdle(t, l)
}

func TestWrongQuery(t *testing.T) {
	l := newLog(t, openSQLite(t))
	for _, query := range []string{"let $a := ", "/Event[", "$unknown", "no:such()", "1 +"} {
		var wrong *xquery.Error
		err := l.Stream(t.Context(), Subscription{User: admin, Query: query, After: FromNow}, nil)
		if !errors.As(err, &wrong) || wrong.Code == "" || wrong.Line != 1 {
			t.Errorf("%s: %v", query, err)
		}
	}
	checkIdle(t, l)
}

func TestQueriesSelect(t *testing.T) {
	db := openSQLite(t)
	l := newLog(t, db)
	made := changes("a", 3)
	made[1].Attributes[0].Name = "title"
	made[2].ChangeType, made[2].Attributes = "remove", nil
	commit(t, l, db, made)
	if _, err := l.Send(t.Context(), admin, []byte(event("<Ping><Id>7</Id></Ping>"))); err != nil {
		t.Fatal(err)
	}
	const all = 4
	for query, want := range map[string][]int64{
		``:                     {1, 2, 3, 4},
		`true()`:               {1, 2, 3, 4},
		`false()`:              nil,
		`()`:                   nil,
		`/Event/ObjectChanged`: {1, 2, 3},
		`*:Event/*:ObjectChanged/*:Attributes/*:Attribute[@name = 'badgeNumber']`: {1},
		`./Event/Ping[Id = 7]`:                   {4},
		`/e:Event/e:Ping`:                        {4},
		`//ObjectChanged[ChangeType = 'remove']`: {3},
		`declare namespace f = "` + Namespace + `"; let $e := ./f:Event return $e/f:ObjectChanged/f:ChangeType = ('remove', 'create')`: {3},
		`declare default element namespace ""; /Event`:                                                         nil,
		`/Event/ObjectChanged/Sequence = 2`:                                                                    {2},
		`not(/Event/ObjectChanged)`:                                                                            {4},
		`for $a in //Attribute where $a/New = '2' order by $a/@name return $a`:                                 {1, 2},
		`xs:dateTime(/Event/ObjectChanged/ModificationTime) < current-dateTime() + xs:dayTimeDuration('PT1H')`: {1, 2, 3},
	} {
		if got := selected(t, l, admin, query, all); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s\nselects %v, want %v", query, got, want)
		}
	}
}

// selected are the events up to number last that a user's query selects.
func selected(t *testing.T, l *Log, user access.User, query string, last int64) []int64 {
	t.Helper()
	numbers, _ := watch(t, l, user, query, last)
	return numbers
}

// watch runs a subscription over the events up to number last and gives what it was told and how it ended.
func watch(t *testing.T, l *Log, user access.User, query string, last int64) (numbers []int64, documents []string) {
	t.Helper()
	s, err := l.Subscribe(t.Context(), Subscription{User: user, Query: query})
	if err != nil {
		t.Errorf("%s: %v", query, err)
		return nil, nil
	}
	defer s.Close()
	for {
		e, failed := s.Ready(t.Context())
		if err = failed; e == nil {
			break
		}
		numbers = append(numbers, e.Sequence)
		documents = append(documents, string(e.Document))
	}
	if err != nil || s.Position() != last {
		t.Errorf("%s: ended at %d, %v", query, s.Position(), err)
	}
	return numbers, documents
}

// A query that fails on an event does not match it, and says so in the subscription's state; it goes on with the next.
func TestFailingQuery(t *testing.T) {
	ctx := limited(t)
	db := openSQLite(t)
	l := newLog(t, db)
	s, err := l.Subscribe(ctx, Subscription{User: admin, After: FromNow, Query: `if (//Sequence = 2) then true() else error()`})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	commit(t, l, db, changes("a", 2))
	deliver, numbers := collect(1)
	if err := s.Run(ctx, deliver); !errors.Is(err, errEnough) {
		t.Fatal(err)
	}
	checkRun(t, "the subscriber", *numbers, 2, 2)
	stats := s.Stats()
	if stats.Errors != 1 || !strings.Contains(stats.LastError, "FOER0000") || stats.User != "admin" || stats.Query == "" {
		t.Errorf("the state is %+v", stats)
	}
}

// The author of a query decides what its failure says, but not how much of it is kept.
func TestFailureIsKeptShort(t *testing.T) {
	f, err := compileFilter(`error(xs:QName("a"), string-join(for $i in 1 to 10000 return "ä"))`)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.match(t.Context(), &Event{Sequence: 1}, func() (*parsedDocument, error) { return parseAlone(noType) })
	if err == nil || !strings.Contains(err.Error(), "ää") || len(err.Error()) > maxMessage+3 || !utf8.ValidString(err.Error()) {
		t.Errorf("got %v", err)
	}
}

// A query that would never end is stopped, and delays only its own subscriber.
func TestEndlessQuery(t *testing.T) {
	ctx := limited(t)
	db := openSQLite(t)
	l := newLog(t, db)
	s, err := l.Subscribe(ctx, Subscription{User: admin, After: FromNow, Query: `sum(for $a in 1 to 1000000, $b in 1 to 1000000 return $a * $b) = 1 or //Sequence = 2`})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	done := make(chan error, 1)
	var numbers []int64
	runCtx, cancel := context.WithCancel(ctx)
	go func() {
		done <- s.Run(runCtx, func(e Event) error { numbers = append(numbers, e.Sequence); return nil })
	}()
	commit(t, l, db, changes("a", 2))
	deliver, seen := collect(2)
	if err := l.Stream(ctx, Subscription{User: admin}, deliver); !errors.Is(err, errEnough) {
		t.Fatal(err)
	}
	checkRun(t, "the other", *seen, 1, 2)
	for s.Position() < 2 && ctx.Err() == nil {
		commit(t, l, db, changes(fmt.Sprint("b", time.Now().UnixNano()), 1))
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if stats := s.Stats(); stats.Errors < 2 || len(numbers) != 0 {
		t.Errorf("the state is %+v, delivered %v", stats, numbers)
	}
}

// What a user may not read is neither in what he gets nor within the reach of his query.
func TestRightsOfASubscriber(t *testing.T) {
	db := openSQLite(t)
	policy := rights(func(user access.User, right access.Right, topic access.Topic) bool {
		switch right {
		case access.Receive:
			return topic.UUID == "uuid-of-ann" && topic.Event == "org.clacks.event.ObjectChanged" && topic.Type == "User" && topic.DN != "cn=hidden"
		case access.Read:
			return topic.Attribute == "badgeNumber" && topic.UUID == "uuid-of-ann" && topic.Type == "User"
		}
		return true
	})
	l := newLog(t, db, WithPolicy(policy))
	made := changes("a", 5)
	made[1].UUID = "uuid-of-bob"
	made[2].Attributes = append(made[2].Attributes, made[2].Attributes[0])
	made[2].Attributes[1].Name, made[2].Attributes[1].New = "salary", []string{"9999"}
	made[3].ChangeType, made[3].NewDN = "move", "cn=hidden"
	made[4].ChangeType, made[4].NewDN = "move", "cn=ann2"
	commit(t, l, db, made)
	if _, err := l.Send(t.Context(), admin, []byte(event("<Ping><Id>7</Id></Ping>"))); err != nil {
		t.Fatal(err)
	}
	const last = 6
	numbers, documents := watch(t, l, ann, "", last)
	if fmt.Sprint(numbers) != "[1 3 5]" {
		t.Fatalf("ann gets %v", numbers)
	}
	if strings.Contains(documents[1], "salary") || strings.Contains(documents[1], "9999") || !strings.Contains(documents[1], "badgeNumber") {
		t.Errorf("ann gets %s", documents[1])
	}
	if got := selected(t, l, ann, `//Attribute/New = '9999' or //Attribute/@name = 'salary'`, last); len(got) != 0 {
		t.Errorf("her query found out about %v", got)
	}
	if got := selected(t, l, ann, `//Attribute/New = '2'`, last); fmt.Sprint(got) != "[1 3 5]" {
		t.Errorf("her query selects %v", got)
	}
	if got := selected(t, l, admin, `//Attribute/New = '9999'`, last); fmt.Sprint(got) != "[3]" {
		t.Errorf("the administrator's query selects %v", got)
	}
	if got := selected(t, l, admin, "", last); len(got) != last {
		t.Errorf("the administrator gets %v", got)
	}
}

// The rights hold for live events as for replayed ones, while an administrator shares the query.
func TestRightsOfALiveSubscriber(t *testing.T) {
	ctx := limited(t)
	db := openSQLite(t)
	l := newLog(t, db) // with access.Static
	var group sync.WaitGroup
	for _, test := range []struct {
		user access.User
		want []int64
	}{{admin, []int64{1, 2, 3}}, {ann, []int64{2, 3}}} {
		s, err := l.Subscribe(ctx, Subscription{User: test.user, After: FromNow, Query: `exists(//Attribute[New = '2'])`})
		if err != nil {
			t.Fatal(err)
		}
		group.Go(func() {
			defer s.Close()
			deliver, numbers := collect(len(test.want))
			if err := s.Run(ctx, deliver); !errors.Is(err, errEnough) || fmt.Sprint(*numbers) != fmt.Sprint(test.want) {
				t.Errorf("%s got %v, %v", test.user.ID, *numbers, err)
			}
		})
	}
	made := changes("a", 3)
	made[0].UUID = "uuid-of-bob"
	commit(t, l, db, made)
	group.Wait()
}

// While the database is down, subscribers wait; when it is back, they get what they missed.
func TestStreamOutlivesAnOutage(t *testing.T) {
	ctx := limited(t)
	db := openSQLite(t)
	var down atomic.Bool
	asked := make(chan struct{}, 1)
	f := &faulty{database: db, query: func() error {
		if !down.Load() {
			return nil
		}
		select {
		case asked <- struct{}{}:
		default:
		}
		return clacks.E(clacks.Unavailable, "store.query", "the database is down")
	}}
	l := newLog(t, f, WithPoll(time.Millisecond))
	commit(t, l, db, changes("a", 2))
	deliver, numbers := collect(5)
	done := make(chan error, 1)
	live, err := l.Subscribe(ctx, Subscription{User: admin, After: FromNow})
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	replaying, err := l.Subscribe(ctx, Subscription{User: admin})
	if err != nil {
		t.Fatal(err)
	}
	defer replaying.Close()
	down.Store(true)
	go func() { done <- replaying.Run(ctx, deliver) }()
	commit(t, l, db, changes("b", 3))
	for range 3 {
		<-asked
	}
	if _, err := l.Subscribe(ctx, Subscription{User: admin}); !clacks.IsKind(err, clacks.Unavailable) {
		t.Errorf("while the database is down: %v", err)
	}
	down.Store(false)
	if err := <-done; !errors.Is(err, errEnough) {
		t.Error(err)
	}
	checkRun(t, "the one who was replaying", *numbers, 1, 5)
	deliver, numbers = collect(3)
	if err := live.Run(ctx, deliver); !errors.Is(err, errEnough) {
		t.Error(err)
	}
	checkRun(t, "the live one", *numbers, 3, 5)
}

func TestStreamEnds(t *testing.T) {
	db := openSQLite(t)
	l := newLog(t, db)
	commit(t, l, db, changes("a", 2))
	ctx, cancel := context.WithCancel(t.Context())
	var got int
	err := l.Stream(ctx, Subscription{User: admin}, func(Event) error { got++; cancel(); return nil })
	if !errors.Is(err, context.Canceled) || got != 1 {
		t.Errorf("ended with %v after %d events", err, got)
	}
	own := errors.New("own")
	if err := l.Stream(t.Context(), Subscription{User: admin}, func(Event) error { return own }); err != own {
		t.Errorf("ended with %v", err)
	}
	checkIdle(t, l)
}

func TestPrune(t *testing.T) {
	both(t, func(t *testing.T, db *store.DB) {
		ctx := limited(t)
		l := newLog(t, db)
		made := changes("a", 10)
		for i := range 6 {
			made[i].Time = time.Now().Add(-time.Duration(10-i) * time.Hour)
		}
		commit(t, l, db, made)
		prune := func(r Retention, removed, first int64) {
			t.Helper()
			if n, err := l.Prune(ctx, r); n != removed || err != nil {
				t.Errorf("%+v removed %d, want %d, %v", r, n, removed, err)
			}
			if n, err := l.first(ctx); n != first || err != nil {
				t.Errorf("after %+v the first is %d, want %d, %v", r, n, first, err)
			}
		}
		slowest := func(n int64) func(context.Context) (int64, error) {
			return func(context.Context) (int64, error) { return n, nil }
		}
		prune(Retention{}, 0, 1)
		prune(Retention{Age: 9*time.Hour + time.Minute, Slowest: slowest(0)}, 0, 1)
		prune(Retention{Age: 9*time.Hour - time.Minute}, 2, 3)
		prune(Retention{Rows: 7, Age: 100 * time.Hour}, 1, 4)
		prune(Retention{Rows: 1, Slowest: slowest(5)}, 2, 6)
		prune(Retention{Rows: 20}, 0, 6)

		if _, err := l.Subscribe(ctx, Subscription{User: admin, After: 4}); !clacks.IsKind(err, clacks.NotFound) {
			t.Errorf("a position whose followers are gone: %v", err)
		}
		deliver, numbers := collect(5)
		if err := l.Stream(ctx, Subscription{User: admin}, deliver); !errors.Is(err, errEnough) {
			t.Error(err)
		}
		checkRun(t, "from the first kept", *numbers, 6, 10)

		lagging, err := l.Subscribe(ctx, Subscription{User: admin, After: 6})
		if err != nil {
			t.Fatal(err)
		}
		defer lagging.Close()
		prune(Retention{Rows: 1}, 4, 10)
		if err := lagging.Run(ctx, func(Event) error { return nil }); !clacks.IsKind(err, clacks.NotFound) {
			t.Errorf("overtaken by pruning: %v", err)
		}
		if _, err := l.Prune(ctx, Retention{Rows: -1}); !clacks.IsKind(err, clacks.Invalid) {
			t.Errorf("a negative retention: %v", err)
		}
		failed := errors.New("failed")
		_, err = l.Prune(ctx, Retention{Age: time.Nanosecond, Slowest: func(context.Context) (int64, error) { return 0, failed }})
		if !errors.Is(err, failed) {
			t.Errorf("the slowest is not known: %v", err)
		}
	})
}

// Who asks for all that is kept of a log of which nothing is kept gets what comes.
func TestStreamOfAnEmptiedLog(t *testing.T) {
	ctx := limited(t)
	db := openSQLite(t)
	l := newLog(t, db)
	commit(t, l, db, changes("a", 2500))
	if n, err := l.Prune(ctx, Retention{Age: time.Nanosecond}); n != 2500 || err != nil {
		t.Fatalf("removed %d, %v", n, err)
	}
	s, err := l.Subscribe(ctx, Subscription{User: admin})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	commit(t, l, db, changes("b", 1))
	deliver, numbers := collect(1)
	if err := s.Run(ctx, deliver); !errors.Is(err, errEnough) {
		t.Error(err)
	}
	checkRun(t, "the subscriber", *numbers, 2501, 2501)
}

// A document is parsed once for all who watch live, however many they are, and every tree is freed in the end.
func TestLiveSubscribersShareADocument(t *testing.T) {
	const total = 3 * windowParsed
	w := newWindow(0)
	var made []*entry
	for i := range total {
		made = append(made, &entry{Event: Event{Sequence: int64(i + 1), Document: []byte(event("<Ping><Id>1</Id></Ping>"))}})
	}
	w.publish(made)
	batch := w.after(&Subscriber{}, make([]*entry, 0, total)).batch
	var shares []*parsedDocument
	for _, e := range batch {
		first, err := w.parsed.get(e)
		if err != nil {
			t.Fatal(err)
		}
		second, err := w.parsed.get(e)
		if err != nil || second != first {
			t.Fatalf("event %d was parsed twice, %v", e.Sequence, err)
		}
		shares = append(shares, first, second)
	}
	if n := len(w.parsed.entries); n != windowParsed {
		t.Errorf("%d trees are kept", n)
	}
	if old, err := w.parsed.get(batch[0]); err != nil {
		t.Error(err)
	} else if shares = append(shares, old); batch[0].parsed != nil {
		t.Error("an old event keeps its tree in place of a newer one")
	}
	w.parsed.clear()
	for _, share := range shares {
		if share.users.Load() <= 0 {
			t.Fatal("a tree was freed while it is used")
		}
		share.release()
	}
	for _, share := range shares {
		if n := share.users.Load(); n != 0 {
			t.Fatalf("%d users of a tree are left", n)
		}
	}
}

func TestWindowIsBounded(t *testing.T) {
	w := newWindow(10)
	if at := w.after(&Subscriber{cursor: 10}, make([]*entry, 0, 4)); !at.waiting || at.behind {
		t.Error("at its end there is something")
	}
	if at := w.after(&Subscriber{cursor: 9}, make([]*entry, 0, 4)); !at.behind {
		t.Error("it claims what it never had")
	}
	sequence := int64(10)
	fill := func(n, size int) {
		var made []*entry
		for range n {
			sequence++
			made = append(made, &entry{Event: Event{Sequence: sequence, Document: bytes.Repeat([]byte("x"), size)}})
		}
		w.publish(made)
	}
	fill(windowEvents+5, 1)
	if len(w.entries) != windowEvents || w.base != 15 || w.size != windowEvents {
		t.Errorf("%d events, %d bytes behind %d", len(w.entries), w.size, w.base)
	}
	if at := w.after(&Subscriber{cursor: 15}, make([]*entry, 0, 4)); at.behind || len(at.batch) != 4 || at.batch[0].Sequence != 16 {
		t.Errorf("behind 15: %+v", at)
	}
	fill(3, windowBytes/2)
	if len(w.entries) != 2 || w.size != windowBytes {
		t.Errorf("%d events, %d bytes", len(w.entries), w.size)
	}
	fill(1, windowBytes+1)
	if len(w.entries) != 1 || w.base != sequence-1 {
		t.Errorf("%d events behind %d", len(w.entries), w.base)
	}
}

// BenchmarkFanOut measures from the commit of an event until the last of 100 subscribers has it.
func BenchmarkFanOut(b *testing.B) {
	for name, query := range map[string]func(i int) string{
		"all":    func(int) string { return "" },
		"shared": func(int) string { return `/Event/ObjectChanged/Attributes/Attribute[@name = 'badgeNumber']/New = '2'` },
		"distinct": func(i int) string {
			return fmt.Sprintf(`/Event/ObjectChanged/Attributes/Attribute[@name = 'badgeNumber']/New != '%d'`, 1000+i)
		},
		// Paths that meet several nodes at a step need their order.
		"wide": func(i int) string {
			return fmt.Sprintf(`/Event/ObjectChanged/Attributes/Attribute/New != '%d'`, 1000+i)
		},
		"other": func(i int) string { return fmt.Sprintf(`./Event/Ping/Id = '%d'`, i) },
	} {
		b.Run(name, func(b *testing.B) { fanOut(b, 100, query) })
	}
}

func fanOut(b *testing.B, subscribers int, query func(i int) string) {
	ctx := limited(b)
	db := openSQLite(b)
	l := newLog(b, db)
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	reached := make(chan struct{}, subscribers)
	for i := range subscribers {
		s, err := l.Subscribe(ctx, Subscription{User: admin, After: FromNow, Query: query(i)})
		if err != nil {
			b.Fatal(err)
		}
		group.Go(func() {
			defer s.Close()
			_ = s.Run(ctx, func(Event) error { reached <- struct{}{}; return nil })
		})
	}
	matches := query(0) == "" || !strings.Contains(query(0), "Ping")
	n := 0
	for b.Loop() {
		n++
		made := changes(fmt.Sprint(n), 1)
		for _, name := range [...]string{"sn", "givenName", "displayName", "cn"} {
			another := made[0].Attributes[0]
			another.Name = name
			made[0].Attributes = append(made[0].Attributes, another)
		}
		commit(b, l, db, made)
		if matches {
			for range subscribers {
				<-reached
			}
		}
	}
	b.ReportMetric(float64(n*subscribers)/b.Elapsed().Seconds(), "deliveries/s")
	cancel()
	group.Wait()
}
