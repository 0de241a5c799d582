package busd

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"

	"clacks"
	"clacks/access"
	"clacks/bus"
	"clacks/rpc"
)

// call is a message that was found to be one, and for whom it is.
type call struct {
	user    access.User
	caller  rpc.Caller
	request *rpc.Request
	pass    *pass // of an agent that forwards; nil otherwise
}

// read finds out what a message asks for, and for whom.
func (d *Door) read(ctx context.Context, m *bus.Message) (*call, error) {
	user, forwarded, err := d.identify(ctx, m)
	if err != nil {
		return nil, err
	}
	c := &call{user: user, pass: forwarded}
	session, err := sessionOf(user, m)
	if err != nil {
		return c, err
	}
	c.caller = rpc.Caller{User: user, Session: session, RequestID: requestID(), Address: "bus", IdempotencyKey: idempotencyKey(m, forwarded)}
	if m.Value != nil {
		return c, clacks.E(clacks.Invalid, "busd.body", "the body is data, or a value that is a string or binary")
	}
	if m.Properties.Encoding != "" && !strings.EqualFold(m.Properties.Encoding, "identity") {
		return c, clacks.E(clacks.Invalid, "busd.body", "the content-encoding must be identity: a compressed body is not read")
	}
	if c.request, err = rpc.Parse(m.Body); err != nil {
		return c, rpc.Unreadable(err)
	}
	return c, d.repeatable(m, c)
}

// repeatable refuses to run a change a second time that nothing keeps from happening twice: the message came once before,
// nobody knows how far that went, and it has no id by which the object service could tell.
func (d *Door) repeatable(m *bus.Message, c *call) error {
	if !d.options.Redelivered(m) || c.caller.IdempotencyKey != "" {
		return nil
	}
	command, ok := d.options.Registry.Lookup(c.request.Method())
	if !ok || !command.Changes {
		return nil
	}
	var named struct {
		Params struct {
			Key string `json:"idempotencyKey"`
		} `json:"params"`
	}
	if json.Unmarshal(m.Body, &named) == nil && named.Params.Key != "" {
		return nil
	}
	return clacks.E(clacks.InDoubt, "busd.redelivered",
		"the command was delivered once before, and whether it ran is not known: give messages a message-id, so that it can be told")
}

// idempotencyKey is that of a message: its message-id, whatever type it has. User and key go together at the object service.
func idempotencyKey(m *bus.Message, forwarded *pass) string {
	if forwarded != nil {
		return forwarded.Key
	}
	kind, id := "", []byte(nil)
	switch v := m.Properties.MessageID.(type) {
	case string:
		kind, id = "s", []byte(v)
	case []byte:
		kind, id = "b", v
	case bus.UUID:
		kind, id = "u", v[:]
	case uint64:
		kind = "n"
		for ; v > 0; v >>= 8 {
			id = append(id, byte(v))
		}
	default:
		return ""
	}
	hash := sha256.Sum256(append([]byte(kind), id...))
	return "message-" + hex.EncodeToString(hash[:16])
}

// expired reports whether a message has outlived what its sender allowed. arrived is when it came to this agent: what it spent
// in a queue before is the broker's to count.
func expired(m *bus.Message, arrived, now time.Time) bool {
	if expiry := m.Properties.Expiry; !expiry.IsZero() && expiry.Before(now) {
		return true
	}
	return m.Header.TTL > 0 && now.Sub(arrived) > m.Header.TTL
}

// answer is the message for a reply, in the form of the request: text for text. The correlation-id is the request's, else its
// message-id, of the same type.
func (d *Door) answer(m *bus.Message, body []byte) *bus.Message {
	id := m.Properties.CorrelationID
	if id == nil {
		id = m.Properties.MessageID
	}
	to, _ := replyAddress(d.options.Names, m.Properties.ReplyTo) // it was looked at before the command ran
	return &bus.Message{
		Header:      bus.Header{Priority: m.Header.Priority},
		Properties:  bus.Properties{To: to, CorrelationID: id, ContentType: "application/json", Created: d.now()},
		Application: map[string]any{PropertyNode: d.options.Node},
		Body:        body, Text: m.Text,
	}
}
