package events

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"clacks"
	"clacks/access"
	"clacks/internal/store"
)

// Sixteen committers write at once, some of them several events, some of them in vain. A reader beside them, and a
// subscriber of another agent on the same database, must see every number once and in order, and each committer's numbers
// must be those of his events.
func TestSequenceFollowsTheCommits(t *testing.T) {
	both(t, func(t *testing.T, db *store.DB) {
		const committers, rounds = 16, 25
		l := newLog(t, db)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		taken := changes("taken", 1)
		commit(t, l, db, taken)
		streamed := streamUntil(ctx, t, newLog(t, db, WithPoll(time.Millisecond)), "end-0")

		var mu sync.Mutex
		numbers := map[string]int64{"taken-0": 1}
		var group sync.WaitGroup
		for c := range committers {
			group.Go(func() {
				for r := range rounds {
					made := changes(fmt.Sprintf("%d-%d", c, r), 1+rand.IntN(3))
					if rand.IntN(4) == 0 {
						made = append(made, taken...)
					}
					last, err := tryCommit(ctx, l, db, made)
					var constraint *store.ConstraintError
					if len(made) > 0 && made[len(made)-1].EventID == "taken-0" {
						if !errors.As(err, &constraint) {
							t.Errorf("an event id was taken twice: %v", err)
						}
						continue
					}
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					for i, change := range made {
						numbers[change.EventID] = last - int64(len(made)-1-i)
					}
					mu.Unlock()
				}
			})
		}
		done := make(chan struct{})
		go func() { group.Wait(); close(done) }()

		seen := readAll(ctx, t, l, done)
		if len(seen) != len(numbers) {
			t.Fatalf("%d events were read, %d committed", len(seen), len(numbers))
		}
		for i, e := range seen {
			if e.Sequence != int64(i+1) || numbers[e.ID] != e.Sequence {
				t.Fatalf("event %s has the number %d at place %d; its committer was told %d", e.ID, e.Sequence, i+1, numbers[e.ID])
			}
		}
		if last, err := l.Last(ctx); err != nil || last != int64(len(seen)) {
			t.Fatalf("Last is %d, %v", last, err)
		}
		end := commit(t, l, db, changes("end", 1))
		checkRun(t, "the other agent's subscriber", <-streamed, 2, end)
	})
}

// streamUntil subscribes to what is committed from now on; the numbers that were streamed come when the event with an id
// has been seen.
func streamUntil(ctx context.Context, t *testing.T, l *Log, id string) <-chan []int64 {
	t.Helper()
	s, err := l.Subscribe(ctx, Subscription{User: admin, After: FromNow})
	if err != nil {
		t.Fatal(err)
	}
	streamed := make(chan []int64, 1)
	go func() {
		defer s.Close()
		var numbers []int64
		err := s.Run(ctx, func(e Event) error {
			numbers = append(numbers, e.Sequence)
			if e.ID == id {
				return errEnough
			}
			return nil
		})
		if !errors.Is(err, errEnough) {
			t.Error(err)
		}
		streamed <- numbers
	}()
	return streamed
}

// readAll reads on and on until done is closed and nothing is left.
func readAll(ctx context.Context, t *testing.T, l *Log, done <-chan struct{}) []Event {
	t.Helper()
	var seen []Event
	for {
		var finished bool
		select {
		case <-done:
			finished = true
		default:
		}
		after := int64(0)
		if len(seen) > 0 {
			after = seen[len(seen)-1].Sequence
		}
		page, err := l.Read(ctx, after, 7)
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, page...)
		if finished && len(page) == 0 {
			return seen
		}
	}
}

func TestReadGivesWhatWasRecorded(t *testing.T) {
	both(t, func(t *testing.T, db *store.DB) {
		l := newLog(t, db)
		change := fullChange()
		if n := commit(t, l, db, append(changes("a", 2), change)); n != 3 {
			t.Fatalf("the last number is %d", n)
		}
		events, err := l.Read(t.Context(), 2, 10)
		if err != nil || len(events) != 1 {
			t.Fatalf("%d events, %v", len(events), err)
		}
		got := events[0]
		if string(got.Document) != string(documentOf(t, change, 3)) {
			t.Errorf("document %s", got.Document)
		}
		got.Document = nil
		want := Event{
			Sequence: 3, ID: "e1", Type: ObjectChanged, Time: change.Time, UUID: change.UUID, DN: change.DN,
			NewDN: change.NewDN, ObjectType: "User", ChangeType: "move",
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
		for _, test := range []struct {
			after int64
			limit int
			want  int
		}{{0, 2, 2}, {0, 0, 0}, {0, -1, 0}, {3, 5, 0}, {-7, 1 << 30, 3}} {
			if events, err := l.Read(t.Context(), test.after, test.limit); err != nil || len(events) != test.want {
				t.Errorf("Read(%d, %d): %d events, %v", test.after, test.limit, len(events), err)
			}
		}
	})
}

// A page is bounded by its bytes too; reading on gives the rest.
func TestReadBoundsItsBytes(t *testing.T) {
	db := openSQLite(t)
	l := newLog(t, db)
	made := changes("big", 4)
	for i := range made {
		made[i].Attributes[0].New = []string{strings.Repeat("x", pageBytes/2)}
	}
	commit(t, l, db, made)
	events, err := l.Read(t.Context(), 0, 100)
	if err != nil || len(events) != 2 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	if events, err = l.Read(t.Context(), 2, 100); err != nil || len(events) != 2 {
		t.Fatalf("%d events, %v", len(events), err)
	}
}

func TestAt(t *testing.T) {
	both(t, func(t *testing.T, db *store.DB) {
		l := newLog(t, db)
		start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		if n, err := l.At(t.Context(), start); n != 0 || err != nil {
			t.Fatalf("of an empty log: %d, %v", n, err)
		}
		made := changes("a", 4)
		for i, minutes := range []int{0, 20, 10, 30} { // the third took its time before the second
			made[i].Time = start.Add(time.Duration(minutes) * time.Minute)
		}
		commit(t, l, db, made)
		for minutes, want := range map[int]int64{-5: 0, 0: 0, 5: 1, 15: 1, 25: 3, 30: 3, 31: 4} {
			if n, err := l.At(t.Context(), start.Add(time.Duration(minutes)*time.Minute)); n != want || err != nil {
				t.Errorf("after %d minutes: %d, want %d, %v", minutes, n, want, err)
			}
		}
	})
}

func TestSend(t *testing.T) {
	both(t, func(t *testing.T, db *store.DB) {
		l := newLog(t, db)
		ping := `<?xml version="1.0" encoding="UTF-8"?>` + "\n" + event("<Ping><Id>1</Id></Ping>")
		n, err := l.Send(t.Context(), admin, []byte(ping))
		if n != 1 || err != nil {
			t.Fatalf("sent as %d, %v", n, err)
		}
		forged := event(`<ObjectChanged><Actor>eve</Actor><Origin>service</Origin><Sequence>99</Sequence><UUID>u</UUID>` +
			`<ModificationTime>20260102030405Z</ModificationTime><ChangeType>update</ChangeType>` +
			`<Attributes><Attribute name="a"><Old><![CDATA[<1>]]></Old></Attribute></Attributes></ObjectChanged>`)
		if n, err = l.Send(t.Context(), admin, []byte(forged)); n != 2 || err != nil {
			t.Fatalf("sent as %d, %v", n, err)
		}
		events, err := l.Read(t.Context(), 0, 10)
		if err != nil || len(events) != 2 {
			t.Fatalf("%d events, %v", len(events), err)
		}
		if got := string(events[0].Document); got != event("<Ping><Id>1</Id></Ping>") || events[0].Type != "Ping" {
			t.Errorf("the ping is %s", got)
		}
		want := event(`<ObjectChanged><UUID>u</UUID><ChangeType>update</ChangeType><ModificationTime>20260102030405Z</ModificationTime>` +
			`<Actor>admin</Actor><Sequence>2</Sequence><Origin>external</Origin>` +
			`<Attributes><Attribute name="a"><Old>&lt;1&gt;</Old></Attribute></Attributes></ObjectChanged>`)
		if got := string(events[1].Document); got != want || events[1].UUID != "u" || events[1].ChangeType != "update" {
			t.Errorf("the change is\n%s, want\n%s", got, want)
		}
		if events[0].ID == "" || events[0].ID == events[1].ID {
			t.Errorf("event ids %q and %q", events[0].ID, events[1].ID)
		}
	})
}

func TestSendRefuses(t *testing.T) {
	l := newLog(t, openSQLite(t))
	ping := event("<Ping><Id>1</Id></Ping>")
	tests := map[string]struct {
		user     access.User
		document string
		kind     clacks.Kind
	}{
		"nobody":            {access.User{}, ping, clacks.Unauthenticated},
		"without the right": {ann, ping, clacks.Denied},
		"wrong content":     {admin, event("<Ping/>"), clacks.Invalid},
		"unknown type":      {admin, event("<Pong/>"), clacks.Invalid},
		"no type":           {admin, event(""), clacks.Invalid},
		"another root":      {admin, `<Ping xmlns="` + Namespace + `"><Id>1</Id></Ping>`, clacks.Invalid},
		"another namespace": {admin, `<Event><Ping/></Event>`, clacks.Invalid},
		"DOCTYPE":           {admin, "<!DOCTYPE Event>" + ping, clacks.Invalid},
		"too large":         {admin, ping + strings.Repeat(" ", MaxDocument), clacks.Invalid},
		"not XML":           {admin, "ping", clacks.Invalid},
		"cut off":           {admin, ping[:len(ping)-3], clacks.Invalid},
		"Latin 1":           {admin, `<?xml version="1.0" encoding="ISO-8859-1"?>` + ping, clacks.Invalid},
		"XML 1.1":           {admin, `<?xml version="1.1"?>` + ping, clacks.Invalid},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := l.Send(t.Context(), test.user, []byte(test.document))
			if err == nil || clacks.KindOf(err) != test.kind {
				t.Fatalf("got %v, want %v", err, test.kind)
			}
		})
	}
	if last, err := l.Last(t.Context()); last != 0 || err != nil {
		t.Fatalf("the log has %d events, %v", last, err)
	}
}

// rights is a policy of a test.
type rights func(user access.User, right access.Right, topic access.Topic) bool

func (r rights) Allowed(user access.User, right access.Right, topic access.Topic) bool {
	return r(user, right, topic)
}

func TestSendAsksForTheRight(t *testing.T) {
	var asked []access.Topic
	policy := rights(func(user access.User, right access.Right, topic access.Topic) bool {
		asked = append(asked, topic)
		return user.ID == ann.ID && right == access.Execute && topic.Event == "net.example.event.Ping"
	})
	l := newLog(t, openSQLite(t), WithPolicy(policy), WithDomain("net.example"))
	if _, err := l.Send(t.Context(), ann, []byte(event("<Ping><Id>1</Id></Ping>"))); err != nil {
		t.Fatal(err)
	}
	_, err := l.Send(t.Context(), ann, []byte(event("<ObjectChanged/>")))
	if !clacks.IsKind(err, clacks.Denied) || !strings.Contains(err.Error(), "ObjectChanged") {
		t.Fatalf("got %v", err)
	}
	if len(asked) != 2 || asked[1].Event != "net.example.event.ObjectChanged" {
		t.Fatalf("asked for %+v", asked)
	}
}

func TestSendAgainWithTheSameKey(t *testing.T) {
	both(t, func(t *testing.T, db *store.DB) {
		l := newLog(t, db, WithPolicy(rights(func(access.User, access.Right, access.Topic) bool { return true })))
		send := func(user access.User, key string) int64 {
			t.Helper()
			n, err := l.Send(t.Context(), user, []byte(event("<Ping><Id>1</Id></Ping>")), IdempotencyKey(key))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		first := send(admin, "k")
		if again := send(admin, "k"); again != first {
			t.Errorf("the same key: %d and %d", first, again)
		}
		if other := send(ann, "k"); other == first {
			t.Error("the key of another user counts")
		}
		if other := send(admin, "l"); other == first {
			t.Error("another key is taken for the same")
		}
		without := send(admin, "")
		if again := send(admin, ""); again == without {
			t.Error("no key is taken for the same")
		}
		if last, err := l.Last(t.Context()); last != 5 || err != nil {
			t.Errorf("%d events, %v", last, err)
		}
	})
}

// A commit whose answer was lost is looked up; only when the event is not there the doubt is passed on.
func TestSendResolvesDoubt(t *testing.T) {
	lost := clacks.E(clacks.InDoubt, "store.commit", "the connection was lost")
	ping := []byte(event("<Ping><Id>1</Id></Ping>"))

	db := &faulty{database: openSQLite(t), execed: func() error { return lost }}
	ctx, cancel := context.WithCancel(t.Context())
	db.execed = func() error { cancel(); return lost }
	if n, err := newLog(t, db).Send(ctx, admin, ping); n != 1 || err != nil {
		t.Errorf("committed, but %d, %v", n, err)
	}
	db = &faulty{database: openSQLite(t), exec: func() error { return lost }}
	if _, err := newLog(t, db).Send(t.Context(), admin, ping); !clacks.IsKind(err, clacks.InDoubt) {
		t.Errorf("not committed, but %v", err)
	}
	down := clacks.E(clacks.Unavailable, "store.exec", "the database is down")
	db = &faulty{database: openSQLite(t), exec: func() error { return down }}
	if _, err := newLog(t, db).Send(t.Context(), admin, ping); !clacks.IsKind(err, clacks.Unavailable) {
		t.Errorf("the database is down, but %v", err)
	}
}

func TestSetSchemas(t *testing.T) {
	l := newLog(t, openSQLite(t))
	pong := []byte(event("<Pong><Id>1</Id></Pong>"))
	if _, err := l.Send(t.Context(), admin, pong); !clacks.IsKind(err, clacks.Invalid) {
		t.Fatalf("got %v", err)
	}
	l.SetSchemas(mustSchemas(t, folder(t, map[string]string{"Pong.xsd": typeFile("Pong")})))
	if _, err := l.Send(t.Context(), admin, pong); err != nil {
		t.Fatal(err)
	}
	if l.SetSchemas(nil); !l.Schemas().Known("Pong") {
		t.Fatal("no schemas took the place of the old ones")
	}
}

func TestOpenNeedsItsParts(t *testing.T) {
	db := openSQLite(t)
	schemas := mustSchemas(t)
	for name, open := range map[string]func() (*Log, error){
		"database": func() (*Log, error) { return Open(nil, schemas) },
		"schemas":  func() (*Log, error) { return Open(db, nil) },
		"policy":   func() (*Log, error) { return Open(db, schemas, WithPolicy(nil)) },
		"logger":   func() (*Log, error) { return Open(db, schemas, WithLogger(nil)) },
		"interval": func() (*Log, error) { return Open(db, schemas, WithPoll(0)) },
	} {
		if _, err := open(); !clacks.IsKind(err, clacks.Internal) {
			t.Errorf("without a %s: %v", name, err)
		}
	}
	if _, err := Open(db, schemas, WithPoll(time.Second)); err != nil {
		t.Error(err)
	}
}

func TestObjectChange(t *testing.T) {
	at := time.Date(2026, 11, 20, 4, 49, 3, 999, time.FixedZone("", 3600))
	tests := map[string]struct {
		event Event
		want  ObjectChange
		ok    bool
	}{
		"update":  {Event{Type: ObjectChanged, UUID: "u", DN: "cn=a", Time: at, ChangeType: "update"}, ObjectChange{"u", "cn=a", "20261120034903Z", "update"}, true},
		"create":  {Event{Type: ObjectChanged, UUID: "u", DN: "cn=a", Time: at, ChangeType: "create"}, ObjectChange{"u", "cn=a", "20261120034903Z", "create"}, true},
		"remove":  {Event{Type: ObjectChanged, UUID: "u", DN: "cn=a", Time: at, ChangeType: "remove"}, ObjectChange{"u", "cn=a", "20261120034903Z", "remove"}, true},
		"move":    {Event{Type: ObjectChanged, UUID: "u", DN: "cn=a", NewDN: "cn=b", Time: at, ChangeType: "move"}, ObjectChange{"u", "cn=b", "20261120034903Z", "move"}, true},
		"extend":  {Event{Type: ObjectChanged, UUID: "u", DN: "cn=a", Time: at, ChangeType: "extend"}, ObjectChange{"u", "cn=a", "20261120034903Z", "update"}, true},
		"retract": {Event{Type: ObjectChanged, UUID: "u", DN: "cn=a", Time: at, ChangeType: "retract"}, ObjectChange{"u", "cn=a", "20261120034903Z", "update"}, true},
		"another": {Event{Type: BackendChange, UUID: "u", DN: "cn=a", Time: at, ChangeType: "update"}, ObjectChange{}, false},
	}
	for name, test := range tests {
		if got, ok := test.event.ObjectChange(); got != test.want || ok != test.ok {
			t.Errorf("%s: got %+v, %v", name, got, ok)
		}
	}
}
