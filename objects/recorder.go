package objects

import (
	"time"

	"clacks/internal/store"
)

// Changed describes a committed change of one object, for the event log.
type Changed struct {
	UUID, DN      string
	NewDN         string `json:",omitempty"` // only for a move
	ObjectType    string
	ChangeType    string    // create, update, move, remove, extend, retract
	Time          time.Time `json:",omitzero"`
	Actor         string    `json:",omitempty"`
	TransactionID string    `json:",omitempty"`
	EventID       string    // unique an event, stable over recovery
	Origin        string    // service, external
	Attributes    []AttributeChange
}

// AttributeChange is one attribute's old and new values as text (mapping.Attribute.Text). Secret ones are left out.
type AttributeChange struct {
	Name     string
	Old, New []string
}

// Recorder writes events into the log, inside the commit transaction. Package events implements it.
type Recorder interface {
	// Record returns the statements that append the events in this order. They are the last ones before the commit (they
	// take the lock that makes the sequence numbers follow the commit order); the last statement is Returning and yields
	// the sequence number of the last event.
	Record(changes []Changed) ([]store.Statement, error)
	// Recorded is called after a commit: there is something to deliver.
	Recorded()
}
