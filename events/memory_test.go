package events

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"clacks"
	"clacks/access"
	"clacks/internal/store"
)

// large makes n changes whose documents are above what may be held uncounted.
func large(t *testing.T, l *Log, db *store.DB, n int) {
	t.Helper()
	made := changes("large", n)
	for i := range made {
		made[i].Attributes[0].New = []string{strings.Repeat("x", 2*smallDocument)}
	}
	commit(t, l, db, made)
}

// replaying runs a subscription from the beginning on until n events have come; each is told of, and waits for go on.
func replaying(ctx context.Context, t *testing.T, l *Log, group *sync.WaitGroup, s Subscription, n int, goOn <-chan struct{}) <-chan Event {
	t.Helper()
	subscriber, err := l.Subscribe(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	came := make(chan Event, n)
	group.Go(func() {
		defer subscriber.Close()
		deliver, _ := collect(n)
		err := subscriber.Run(ctx, func(e Event) error {
			came <- e
			<-goOn
			return deliver(e)
		})
		if !errors.Is(err, errEnough) {
			t.Error(err)
		}
	})
	return came
}

// Subscribers who stand at the same place hold one copy of a document, read once, and nothing is left when they are gone.
func TestReplaySharesDocuments(t *testing.T) {
	const subscribers, events = 50, 3
	ctx := limited(t)
	db := openSQLite(t)
	l := newLog(t, db)
	l.budgets.pages = newBudget(3 * smallDocument) // one document, no two
	large(t, l, db, events)
	goOn := make(chan struct{})
	var group sync.WaitGroup
	var came []<-chan Event
	for range subscribers {
		came = append(came, replaying(ctx, t, l, &group, Subscription{User: admin}, events, goOn))
	}
	first := <-came[0]
	for _, c := range came[1:] {
		if e := <-c; &e.Document[0] != &first.Document[0] {
			t.Fatal("a document was read twice")
		}
	}
	close(goOn)
	group.Wait()
	if !l.budgets.pages.room.TryAcquire(3 * smallDocument) {
		t.Error("room was not given back")
	}
	if n := len(l.hub.pages.behind); n != 0 {
		t.Errorf("%d pages are left", n)
	}
	checkIdle(t, l)
}

// While there is no room, replay of large documents waits, and nothing else does; with room it goes on.
func TestReplayWaitsForRoom(t *testing.T) {
	tests := []struct {
		name string
		of   func(*budgets) *budget
		user access.User
		log  []Option
	}{
		{"pages", func(b *budgets) *budget { return b.pages }, admin, nil},
		{"trees", func(b *budgets) *budget { return b.replayTrees }, admin, nil},
		{"copies", func(b *budgets) *budget { return b.copies }, access.User{ID: "jane"},
			[]Option{WithPolicy(rights(func(access.User, access.Right, access.Topic) bool { return true }))}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			const query = "Event/ObjectChanged[ChangeType = 'update']"
			ctx := limited(t)
			db := openSQLite(t)
			l := newLog(t, db, test.log...)
			large(t, l, db, 2)
			room := test.of(l.budgets)
			release, err := room.take(ctx, room.capacity)
			if err != nil {
				t.Fatal(err)
			}
			goOn := make(chan struct{})
			close(goOn)
			var group sync.WaitGroup
			live := replaying(ctx, t, l, &group, Subscription{User: test.user, Query: query, After: FromNow}, 1, goOn)
			late := replaying(ctx, t, l, &group, Subscription{User: test.user, Query: query}, 3, goOn)

			short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
			defer cancel()
			gone, err := l.Subscribe(ctx, Subscription{User: test.user, Query: query})
			if err != nil {
				t.Fatal(err)
			}
			if err := gone.Run(short, func(Event) error { return errEnough }); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("without room it ends with %v", err)
			}
			if gone.Position() != 0 || gone.Stats().Errors != 0 {
				t.Errorf("who waited in vain stands at %d with %d errors", gone.Position(), gone.Stats().Errors)
			}
			gone.Close()

			commit(t, l, db, changes("small", 1))
			if e := <-live; e.Sequence != 3 {
				t.Errorf("live came %d", e.Sequence)
			}
			select {
			case e := <-late:
				t.Errorf("event %d came without room", e.Sequence)
			default:
			}
			release()
			for want := range int64(3) {
				if e := <-late; e.Sequence != want+1 {
					t.Errorf("event %d came in place of %d", e.Sequence, want+1)
				}
			}
			group.Wait()
		})
	}
}

// Many with queries of their own replay large documents: all get all, although only one tree has room at a time.
func TestManyQueriesShareTheRoom(t *testing.T) {
	const subscribers, events = 20, 3
	ctx := limited(t)
	db := openSQLite(t)
	l := newLog(t, db)
	l.budgets.replayTrees, l.budgets.pages = newBudget(1), newBudget(1)
	large(t, l, db, events)
	goOn := make(chan struct{})
	close(goOn)
	var group sync.WaitGroup
	var came []<-chan Event
	for i := range subscribers {
		query := "Event/ObjectChanged/UUID != '" + strings.Repeat("x", i) + "'"
		came = append(came, replaying(ctx, t, l, &group, Subscription{User: admin, Query: query, After: int64(i % 2)}, events-i%2, goOn))
	}
	group.Wait()
	for i, c := range came {
		if len(c) != events-i%2 {
			t.Errorf("subscriber %d got %d events", i, len(c))
		}
	}
}

// A page that one could not read is read by the next one for himself.
func TestSharedPageFails(t *testing.T) {
	ctx := limited(t)
	db := openSQLite(t)
	l := newLog(t, db)
	large(t, l, db, 1)
	release, err := l.budgets.pages.take(ctx, heldBytes)
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	group.Go(func() {
		_, done, err := l.sharedPage(short, 0)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the reader's error is %v", err)
		}
		done()
	})
	awaitUsers(ctx, l, 1)
	group.Go(func() {
		_, done, err := l.sharedPage(ctx, 0)
		if !clacks.IsKind(err, clacks.Unavailable) {
			t.Errorf("who waited is told %v", err)
		}
		done()
	})
	awaitUsers(ctx, l, 2)
	cancel()
	group.Wait()
	release()
	events, done, err := l.sharedPage(ctx, 0)
	if err != nil || len(events) != 1 {
		t.Errorf("%d events, %v", len(events), err)
	}
	done()
	if n := len(l.hub.pages.behind); n != 0 {
		t.Errorf("%d pages are left", n)
	}
}

// awaitUsers waits until so many share the first page.
func awaitUsers(ctx context.Context, l *Log, users int) {
	shared := func() bool {
		l.hub.pages.mu.Lock()
		defer l.hub.pages.mu.Unlock()
		page := l.hub.pages.behind[0]
		return page != nil && page.users == users
	}
	for ctx.Err() == nil && !shared() {
		runtime.Gosched()
	}
}

// What the window hands out and keeps parsed is bounded by bytes too.
func TestWindowSharesAreBounded(t *testing.T) {
	w := newWindow(0)
	document := event("<Ping><Id>" + strings.Repeat("x", parsedBytes/2) + "</Id></Ping>")
	var made []*entry
	for i := range 4 {
		made = append(made, &entry{Event: Event{Sequence: int64(i + 1), Document: []byte(document)}})
	}
	w.publish(made)
	for cursor := range int64(4) {
		at := w.after(&Subscriber{cursor: cursor}, make([]*entry, 0, batchSize))
		batch := at.batch
		if at.behind || len(batch) != 1 || batch[0].Sequence != cursor+1 {
			t.Fatalf("behind %d: %d events", cursor, len(batch))
		}
		tree, err := w.parsed.get(batch[0])
		if err != nil {
			t.Fatal(err)
		}
		tree.release()
	}
	if len(w.parsed.entries) != 1 || w.parsed.size != len(document) || w.parsed.entries[0].Sequence != 4 {
		t.Errorf("%d trees of %d bytes are kept", len(w.parsed.entries), w.parsed.size)
	}
	w.parsed.clear()
}
