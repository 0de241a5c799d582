package busevents

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"clacks"
	"clacks/bus"
	"clacks/bus/wire"
	"clacks/events"
	"clacks/xquery"
)

// message carries an event, with a body and what that is.
func message(e *events.Event, body []byte, contentType string) *bus.Message {
	m := &bus.Message{
		Properties: bus.Properties{MessageID: e.ID, Subject: e.Type, ContentType: contentType, Created: e.Time},
		Body:       body,
	}
	properties := e.Properties()
	m.Application = make(map[string]any, len(properties))
	for _, p := range properties {
		m.Application[p.Name] = p.Value
	}
	return m
}

// documents are the messages that carry whole documents, made and encoded once for all who get the same. They are read-only.
type documents struct{ recent [64]atomic.Pointer[document] }

// document is a message with the event that it was made of.
type document struct {
	sequence int64
	first    *byte // of the document: who may not read all of an event has another
	message  *bus.Message
}

// maxShared is the size in bytes of a document above which each has his own message: what is kept here is bounded by it.
const maxShared = 64 << 10

// of is the message of an event's document.
func (s *documents) of(e *events.Event) *bus.Message {
	const contentType = "application/xml"
	if len(e.Document) == 0 || len(e.Document) > maxShared {
		return message(e, e.Document, contentType)
	}
	slot := &s.recent[uint64(e.Sequence)%uint64(len(s.recent))]
	if d := slot.Load(); d != nil && d.sequence == e.Sequence && d.first == &e.Document[0] {
		return d.message
	}
	m := message(e, e.Document, contentType)
	if bare, err := wire.AppendBare(nil, m); err == nil {
		m.Bare = bare
	}
	slot.Store(&document{sequence: e.Sequence, first: &e.Document[0], message: m})
	return m
}

// maxDescription bounds what a peer is told of an error: it has to fit into a frame of the smallest size that AMQP allows,
// beside the rest.
const maxDescription = 400

// maxRejection bounds what a sender is told of a wrong document, within the frame size that everybody uses.
const maxRejection = 4000

// refusal is why a link cannot be had, as its peer is told.
func refusal(err error) error {
	var query *xquery.Error
	if errors.As(err, &query) {
		return invalid(clip(fmt.Sprintf("the query is wrong: line %d, column %d: %s (%s)", query.Line, query.Column, query.Message, query.Code), maxDescription))
	}
	return condition(err, maxDescription)
}

// condition is an error as a peer is told, with the fields that are wrong.
func condition(err error, most int) *bus.Condition {
	c := *bus.ConditionOf(err)
	var e *clacks.Error
	if errors.As(err, &e) && e.Kind != clacks.Internal {
		c.Description = e.Message()
		if e.Kind == clacks.Unavailable || e.Kind == clacks.InDoubt {
			c.Name = "clacks:" + e.Kind.String()
		}
	}
	c.Description = clip(c.Description, most)
	return &c
}

// clip bounds a text.
func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "..."
}

// ended is why a source ends, as its peer is told.
func ended(err error) error {
	var c *bus.Condition
	if errors.As(err, &c) {
		return c
	}
	switch {
	case clacks.IsKind(err, clacks.Conflict):
		return &bus.Condition{Name: bus.LinkStolen, Description: condition(err, maxDescription).Description}
	case clacks.IsKind(err, clacks.NotFound):
		return &bus.Condition{Name: bus.ResourceDeleted, Description: condition(err, maxDescription).Description}
	}
	return err
}
