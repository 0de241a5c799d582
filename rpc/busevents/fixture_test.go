package busevents_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"clacks/access"
	"clacks/bus"
	"clacks/bus/container"
	"clacks/events"
	"clacks/internal/store"
	"clacks/migrations"
	"clacks/objects"
	"clacks/rpc/busevents"
)

const names = bus.Names("org.clacks")

var (
	admin = access.User{ID: "admin", Admin: true}
	ann   = access.User{ID: "ann", UUID: "uuid-of-ann", DN: "cn=ann"}
)

// agent is one with its own view of a state database, and its own nodes.
type agent struct {
	t     testing.TB
	db    *store.DB
	log   *events.Log
	kept  *events.Subscriptions
	nodes *container.Container
}

// newAgent starts an agent on a database.
func newAgent(t testing.TB, url string) *agent {
	t.Helper()
	db, err := store.Open(url)
	must(t, err)
	t.Cleanup(func() { _ = db.Close() }) // a test may have closed it
	must(t, migrations.Up(t.Context(), db))
	schemas, err := events.LoadSchemas()
	must(t, err)
	quiet := slog.New(slog.DiscardHandler)
	log, err := events.Open(db, schemas, events.WithLogger(quiet), events.WithPoll(5*time.Millisecond))
	must(t, err)
	a := &agent{t: t, db: db, log: log, nodes: container.New(container.AllowAll{}, container.Options{})}
	a.kept = events.NewSubscriptions(log, events.SubscriptionLimits{Flush: 5 * time.Millisecond})
	busevents.Register(a.nodes, names, log, a.kept, quiet)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); a.kept.Run(ctx) }()
	t.Cleanup(func() {
		a.nodes.Close()
		cancel()
		<-done
	})
	return a
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// commit records changes of ann's object, and of others'.
func (a *agent) commit(n int) {
	a.t.Helper()
	made := make([]objects.Changed, n)
	for i := range made {
		uuid := ann.UUID
		if i%2 == 1 {
			uuid = fmt.Sprint("uuid-", i)
		}
		made[i] = objects.Changed{
			UUID: uuid, DN: "cn=ann", ObjectType: "User", ChangeType: "update", Time: time.Now(), Actor: "admin",
			EventID: fmt.Sprintf("%d-%d", time.Now().UnixNano(), i), Origin: "service",
			Attributes: []objects.AttributeChange{{Name: "sn", Old: []string{"A"}, New: []string{"B"}}},
		}
	}
	statements, err := a.log.Record(made)
	must(a.t, err)
	_, err = a.db.Exec(a.t.Context(), statements...)
	must(a.t, err)
	a.log.Recorded()
}

func (a *agent) connect(user access.User) *container.Connection {
	return a.nodes.Connect(bus.Peer{User: user})
}

func (a *agent) subscribe(user access.User, q events.SubscriptionRequest) string {
	a.t.Helper()
	id, err := a.kept.Create(a.t.Context(), user, q)
	must(a.t, err)
	return id
}

func receiver(t testing.TB, b bus.Bus, address string, o bus.ReceiverOptions) bus.Receiver {
	t.Helper()
	r, err := b.Receiver(t.Context(), address, o)
	must(t, err)
	return r
}

func receive(t testing.TB, r bus.Receiver) *bus.Delivery {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	d, err := r.Receive(ctx)
	must(t, err)
	return d
}

// expect receives messages and fails unless they are these events.
func expect(t testing.TB, r bus.Receiver, sequences ...int64) (last *bus.Delivery) {
	t.Helper()
	for _, sequence := range sequences {
		last = receive(t, r)
		if got := last.Message.Application["sequence"]; got != sequence {
			t.Fatalf("event %v came, not %d", got, sequence)
		}
	}
	return last
}

func queryFilter(query string) []bus.Filter {
	return []bus.Filter{{Name: "query", Descriptor: busevents.QueryFilter, Value: query}}
}
