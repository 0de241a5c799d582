package events

import "clacks/access"

// permitted is what a user may see of an event: the event itself, a copy without the attributes that he may not read, or
// nothing when he may not receive it. An administrator sees all. For a moved object both of its places count.
func (l *Log) permitted(user access.User, e *Event) (permitted *Event, ok bool) {
	if user.Admin {
		return e, true
	}
	topic := l.topic(e)
	if !l.policy.Allowed(user, access.Receive, topic) {
		return nil, false
	}
	if e.NewDN != "" {
		topic.DN = e.NewDN
		if !l.policy.Allowed(user, access.Receive, topic) {
			return nil, false
		}
	}
	if !written(e.Type) {
		return e, true
	}
	topic = access.Topic{Type: e.ObjectType, UUID: e.UUID, DN: e.DN}
	document, ok := cutAttributes(e.Document, func(name string) bool {
		topic.Attribute = name
		return l.policy.Allowed(user, access.Read, topic)
	})
	if !ok {
		l.logger.Error("an event is not as the log writes it; it is kept from all but administrators", "event", e.String())
		return nil, false
	}
	if len(document) == len(e.Document) {
		return e, true
	}
	reduced := *e
	reduced.Document = document
	return &reduced, true
}
