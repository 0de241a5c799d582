// Package events keeps the durable event log and tells subscribers of what was committed. An event is one XML document
// in the namespace http://www.gonicus.de/Events with the root element Event, whose one child is declared by an XSD file.
package events

import (
	"context"
	"errors"
	"time"

	"clacks/access"
	"clacks/internal/store"
	"clacks/objects"
)

var errUnfinished = errors.New("events: unfinished")

// Namespace is that of all events.
const Namespace = "http://www.gonicus.de/Events"

// Event is one event of the log.
type Event struct {
	Sequence int64
	ID       string
	Type     string // the local name of the root's child: "ObjectChanged"
	Time     time.Time
	Document []byte // with its Sequence
	// Of an ObjectChanged, for rights and for the frontend's short form.
	UUID, DN, NewDN, ObjectType, ChangeType string
}

// Log is the event log in the state database.
type Log struct{}

// Open makes the log on a migrated database.
func Open(db *store.DB, schemas *Schemas) (*Log, error) { return nil, errUnfinished }

// Record implements objects.Recorder.
func (l *Log) Record(changes []objects.Changed) ([]store.Statement, error) { return nil, errUnfinished }

// Recorded implements objects.Recorder.
func (l *Log) Recorded() {}

// Send validates an event document of a client and appends it; the result is its sequence number.
func (l *Log) Send(ctx context.Context, user access.User, document []byte) (int64, error) {
	return 0, errUnfinished
}

// Last is the sequence number of the newest event, 0 when there is none.
func (l *Log) Last(ctx context.Context) (int64, error) { return 0, errUnfinished }

// At is the sequence number of the last event before a time.
func (l *Log) At(ctx context.Context, t time.Time) (int64, error) { return 0, errUnfinished }

// Read returns up to limit events after a sequence number, in order.
func (l *Log) Read(ctx context.Context, after int64, limit int) ([]Event, error) {
	return nil, errUnfinished
}

// Subscription says which events a subscriber wants.
type Subscription struct {
	User  access.User
	Query string // XQuery; "" for all
	After int64  // the sequence number to start behind; -1 for "from now on"
}

// Stream delivers the events of a subscription in order, none twice and none left out, until the context ends or deliver
// returns an error. A query that does not compile is an *xquery.Error at once; one that fails on an event does not match.
func (l *Log) Stream(ctx context.Context, s Subscription, deliver func(Event) error) error {
	return errUnfinished
}

// Schemas is the catalogue of event types.
type Schemas struct{}

// LoadSchemas assembles the shipped schemas and the XSD files of the folders into one.
func LoadSchemas(folders ...string) (*Schemas, error) { return nil, errUnfinished }

// Types are the names of the known event types, sorted.
func (s *Schemas) Types() []string { return nil }

// Validate checks an event document: size, no DOCTYPE, depth, schema. The error is clacks.Invalid with line and reason.
func (s *Schemas) Validate(document []byte) error { return errUnfinished }
