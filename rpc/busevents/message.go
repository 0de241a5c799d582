package busevents

import (
	"errors"
	"fmt"
	"strings"

	"clacks"
	"clacks/bus"
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
