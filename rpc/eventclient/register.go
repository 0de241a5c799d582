package eventclient

import (
	"context"
	"crypto/rand"
	"regexp"
	"strings"

	"clacks"
)

// Callback is called for an event. The context ends with the registration. An error is reported (OnError), and changes
// nothing else.
type Callback func(ctx context.Context, e Event) error

// RegisterOption says more about a registration.
type RegisterOption func(*wishes)

type wishes struct {
	id      string
	replace bool
	after   int64
}

// ID gives the registration an id of one's own. Registering the same id twice is clacks.NotUnique, but see Replace.
func ID(id string) RegisterOption { return func(w *wishes) { w.id = id } }

// Replace lets the callback take the place of the one that the id has, if it has one. Where it is for the same type or
// query, it gets the events from where the other one stopped; else those that are committed from now on.
func Replace() RegisterOption { return func(w *wishes) { w.replace = true } }

// Behind starts the registration behind an event of the log, 0 for all that are kept: for a program that remembers the
// last event that it has dealt with.
func Behind(sequence int64) RegisterOption { return func(w *wishes) { w.after = sequence } }

// Register calls a function for each event of a type ("ObjectChanged"), or each that an XQuery selects
// ("Event/ObjectChanged[ObjectType = 'User']"), and answers the registration's id. When it returns, the registration is in
// force: whatever is committed from then on will come.
//
// Errors: clacks.NotFound for an unknown type, with the nearest name; clacks.Invalid for a wrong query, with line and
// column; clacks.NotUnique for an id that is taken; clacks.Unavailable when the service does not answer.
func (c *Client) Register(ctx context.Context, selector string, callback Callback, options ...RegisterOption) (string, error) {
	w := wishes{after: Now}
	for _, option := range options {
		option(&w)
	}
	if w.id == "" {
		w.id = rand.Text()
	}
	if callback == nil {
		return "", clacks.E(clacks.Invalid, "eventclient.register", "there is no callback")
	}
	query, err := c.queryOf(ctx, selector)
	if err != nil {
		return "", err
	}
	if w.replace && c.swap(w.id, query, callback) {
		return w.id, nil
	}
	r := newRegistration(c, w, query, callback)
	if err := c.reserve(r, w.replace); err != nil {
		return "", err
	}
	if err := c.join(ctx, r, w.after); err != nil {
		c.end(r)
		return "", err
	}
	return w.id, nil
}

// queryOf is the query of a selector: a name stands for the event type.
func (c *Client) queryOf(ctx context.Context, selector string) (string, error) {
	if !typeName.MatchString(selector) {
		if strings.TrimSpace(selector) == "" {
			return "", clacks.E(clacks.Invalid, "eventclient.register", "name an event type, or write an XQuery")
		}
		return selector, nil
	}
	err := c.withType(ctx, func(catalogue *Catalogue) error {
		_, err := catalogue.Type(selector)
		return err
	})
	return "Event/" + selector, err
}

// typeName matches what can only be the name of an event type; as a query it would select nothing.
var typeName = regexp.MustCompile(`^[\p{L}_][\p{L}\p{N}_.-]*$`)

// swap gives a registration another callback, when it is one of the same query.
func (c *Client) swap(id, query string, callback Callback) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.registrations[id]
	if r == nil || r.query != query || r.stream == nil {
		return false
	}
	r.callback = callback
	return true
}

// reserve takes the id. The registration that has it, and is to be replaced, ends when the other one stands.
func (c *Client) reserve(r *registration, replace bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return clacks.E(clacks.Unavailable, "eventclient.register", "%w", errClosed)
	}
	other := c.registrations[r.id]
	if other != nil && (!replace || other.stream == nil) {
		return clacks.E(clacks.NotUnique, "eventclient.register", "the id %s is registered already", quoted(r.id))
	}
	r.replaces = other
	c.registrations[r.id] = r
	return nil
}

// join waits for the stream of a query and puts the registration on it.
func (c *Client) join(ctx context.Context, r *registration, after int64) error {
	s := c.streamOf(r.query)
	if s == nil {
		return clacks.E(clacks.Unavailable, "eventclient.register", "%w", errClosed)
	}
	defer c.leave(s) // the registration holds it from then on
	select {
	case <-s.settled:
	case <-ctx.Done():
		return clacks.E(clacks.Unavailable, "eventclient.register", "the event stream did not open in time: %w", ctx.Err())
	case <-c.ctx.Done():
		return clacks.E(clacks.Unavailable, "eventclient.register", "%w", errClosed)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	if c.closed {
		return clacks.E(clacks.Unavailable, "eventclient.register", "%w", errClosed)
	}
	s.users++
	r.stream, r.last = s, s.position
	if after == Now || after == s.position {
		s.members[r] = true
	} else {
		r.last, r.behind = after, true
	}
	if r.replaces != nil {
		c.endLocked(r.replaces)
		r.replaces = nil
	}
	c.running.Go(r.work)
	return nil
}

// Unregister ends a registration. What is queued for it is given up; a callback that is being called just then is told by
// its context, and not waited for: it may be the one that unregisters. clacks.NotFound: there is none of this id.
func (c *Client) Unregister(id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.registrations[id]
	if r == nil || r.stream == nil {
		return clacks.E(clacks.NotFound, "eventclient.unregister", "there is no registration %s", quoted(id))
	}
	c.endLocked(r)
	return nil
}

// end takes a registration off.
func (c *Client) end(r *registration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endLocked(r)
}

func (c *Client) endLocked(r *registration) {
	if r.ended {
		return
	}
	r.ended = true
	r.stop()
	if c.registrations[r.id] == r {
		delete(c.registrations, r.id)
		if r.replaces != nil && !r.replaces.ended { // it stays, since this one never stood
			c.registrations[r.id] = r.replaces
		}
	}
	r.queue, r.bytes = nil, 0
	if r.stream != nil {
		delete(r.stream.members, r)
		c.leaveLocked(r.stream)
	}
}

// Registrations are the ids in use.
func (c *Client) Registrations() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var ids []string
	for id, r := range c.registrations {
		if r.stream != nil {
			ids = append(ids, id)
		}
	}
	return ids
}
