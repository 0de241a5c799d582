// Package busevents offers the event log on a bus.
//
//	events.Log ----> eventSource <---- {domain}.events              whoever is attached, at most once; a filter selects
//	      ^
//	      +--------- eventTarget <---- {domain}.events              a client's own events
//	Subscriptions -> consumerSource <- {domain}.subscription.{id}   one link at a time; durable ones at least once
//	      |
//	      +--------> Relay ----------> queues of an external broker, by one agent of the domain at a time
//
// Events and Subscriptions are bus.Handlers: nodes of this process (container.Container), for its own links and for those
// of the listener. They ask for the rights themselves: everybody who is logged in may attach and is sent what he may
// receive.
//
// # Messages
//
// The body is data: the event's XML document, or what a subscription's query makes of it; content-type says what it is.
// message-id is the event's id, subject its type, creation-time its time; the application-properties are
// events.Event.Properties. What an event does not have is not there.
//
// # Several links to one subscription
//
// The later attach takes over, wherever it arrives, and the earlier one ends with amqp:link:stolen. Two that shared a
// subscription would each see a part of the events in an order of its own, and a client that lost its connection without
// the server noticing could not come back.
package busevents
