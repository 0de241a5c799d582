// Package events keeps the durable event log and tells subscribers of what was committed. An event is one XML document
// in the namespace http://www.gonicus.de/Events with the root element Event, whose one child is declared by an XSD file.
//
// # In
//
// Events enter the log on two ways, and both end in the same two kinds of statement (append.go):
//
//	objects.Service -> Log.Record   a committed change: the document is written directly (write.go), and its statements
//	                                become the last ones of the commit transaction
//	a client        -> Log.Send     a document from outside: right, limits, schema (Schemas.Validate), then a
//	                                transaction of its own
//
// The first statement adds to the row "events" of clacks_counter. It takes that row's lock until the transaction ends, so
// sequence numbers are handed out in commit order, without gaps: who sees number n sees all below n. A document written
// by the log carries the empty element <Sequence/>; the number is put in when the row is read.
//
// # Out
//
//	clacks_events -> tailer -> matcher -> window -> Subscriber, Subscriber, ...
//	      \_______________________________________/
//	         replay, and whoever fell behind
//
// While anybody is subscribed, one tailer (tail.go) reads new rows once, woken by Recorded and by a modest poll for other
// agents on the same database. It parses an event once, asks the matcher (matcher.go) whose query it can match at all, and
// publishes it to the window (window.go): a bounded ring of the newest events. A Subscriber (subscribe.go) is a cursor. It
// reads from the window what lies there and from the log what does not; so nobody is waited for, a slow one reads the log
// again, and none loses or repeats an event. Who has read everything sleeps until an event comes that can match his query,
// and evaluates it himself: a query that takes its time delays nobody else. One query that several subscribers share is
// evaluated once for them.
//
// # Memory
//
// A document may have up to 64 MiB (append.go: a change is told with all its values), its tree twenty times that. Who
// replays reads the log in pages of little, or of one larger document, shared with all who stand at the same place
// (pages.go), and waits for room in budgets that all share (budget.go) before he reads, cuts or parses. So the memory is
// bounded however many replay; the price is that those who take large documents wait for each other, at most for as long
// as the transport lets a client be slow. Who watches live does so only for a large document of which something may have
// to be cut.
//
// What a subscriber may not receive is left out before his query sees it (rights.go): a query must not be a way to guess
// at values that its owner may not read.
//
// # Schemas
//
// Schemas (schemas.go) are the shipped XSD files and those of the user's folders, assembled into one. They are immutable;
// Log.SetSchemas puts others in their place while the log is in use.
package events

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"clacks"
	"clacks/access"
	"clacks/internal/store"
)

// Namespace is that of all events.
const Namespace = "http://www.gonicus.de/Events"

// The event types that the log itself writes and understands.
const (
	ObjectChanged = "ObjectChanged"
	BackendChange = "BackendChange"
)

// Event is one event of the log. It is read-only: several subscribers share one Document.
type Event struct {
	Sequence int64
	ID       string
	Type     string // the local name of the root's child: "ObjectChanged"
	Time     time.Time
	Document []byte // UTF-8 without an XML declaration; an ObjectChanged or a BackendChange with its Sequence
	// Of an ObjectChanged or a BackendChange, for rights and for the frontend's short form.
	UUID, DN, NewDN, ObjectType, ChangeType string
}

// database is what the log needs of *store.DB.
type database interface {
	Exec(ctx context.Context, statements ...store.Statement) ([]store.Result, error)
	Query(ctx context.Context, sql string, args []any, row func(scan func(dest ...any) error) error) error
	// Durable returns when what was visible before is on disk.
	Durable(ctx context.Context) error
}

// Log is the event log in the state database. It is safe for concurrent use, and needs no closing: it works in the
// background only while somebody is subscribed.
type Log struct {
	db      database
	schemas atomic.Pointer[Schemas]
	policy  access.Policy
	domain  string
	poll    time.Duration
	logger  *slog.Logger
	hub     *hub
	budgets *budgets
	atOnce  bool // the database takes a number and writes an event in one statement
}

// Option sets what has a default.
type Option func(*Log)

// WithPolicy sets who may send and receive what; access.Static unless given.
func WithPolicy(policy access.Policy) Option { return func(l *Log) { l.policy = policy } }

// WithDomain sets the domain in the names of event rights, "{domain}.event.{Type}"; "org.clacks" unless given.
func WithDomain(domain string) Option { return func(l *Log) { l.domain = domain } }

// WithPoll sets how often the log is asked for events of other agents on the same database while somebody is
// subscribed; DefaultPoll unless given. Events of this process do not wait for it.
func WithPoll(interval time.Duration) Option { return func(l *Log) { l.poll = interval } }

// WithLogger sets where troubles of delivery are logged; slog.Default() unless given.
func WithLogger(logger *slog.Logger) Option { return func(l *Log) { l.logger = logger } }

// DefaultPoll is the delay with which events of other agents are noticed at the latest.
const DefaultPoll = 250 * time.Millisecond

// Open makes the log on a migrated database. It does not touch the database, which may be down.
func Open(db *store.DB, schemas *Schemas, options ...Option) (*Log, error) {
	const op = "events.open"
	if db == nil {
		return nil, clacks.E(clacks.Internal, op, "no database")
	}
	if schemas == nil {
		return nil, clacks.E(clacks.Internal, op, "no schemas")
	}
	l, err := open(db, schemas, options...)
	if err != nil {
		return nil, err
	}
	l.atOnce = db.Dialect() == store.PostgreSQL
	return l, nil
}

func open(db database, schemas *Schemas, options ...Option) (*Log, error) {
	l := &Log{db: db, policy: access.Static{}, domain: "org.clacks", poll: DefaultPoll, logger: slog.Default(), budgets: newBudgets()}
	for _, option := range options {
		option(l)
	}
	if l.policy == nil || l.logger == nil || l.poll <= 0 {
		return nil, clacks.E(clacks.Internal, "events.open", "a policy, a logger and a positive interval are needed")
	}
	l.schemas.Store(schemas)
	l.hub = newHub(l)
	return l, nil
}

// SetSchemas makes the log validate with other schemas from now on. Events that are already in the log stay there.
func (l *Log) SetSchemas(schemas *Schemas) {
	if schemas != nil {
		l.schemas.Store(schemas)
	}
}

// Schemas are those in use.
func (l *Log) Schemas() *Schemas { return l.schemas.Load() }

// right is the name of an event type in the rights system.
func (l *Log) right(eventType string) string { return l.domain + ".event." + eventType }

// topic is what the right to receive an event is asked for.
func (l *Log) topic(e *Event) access.Topic {
	return access.Topic{Type: e.ObjectType, UUID: e.UUID, DN: e.DN, Event: l.right(e.Type)}
}

func (e *Event) String() string { return fmt.Sprintf("%s %d", e.Type, e.Sequence) }
