package remote

import (
	"fmt"
	"time"

	"github.com/Azure/go-amqp"

	"clacks"
	"clacks/bus"
)

// encode is a message as go-amqp sends it. Of one that came over a wire the bare message is that of then, section by
// section; only the header and the annotations are as they are now.
func encode(m *bus.Message, d Dialect, anonymous bool) (*amqp.Message, error) {
	out := &amqp.Message{}
	if m.Bare != nil {
		if err := out.UnmarshalBinary(m.Bare); err != nil {
			return nil, clacks.E(clacks.Invalid, "remote.send", "the message cannot be read: %w", err)
		}
	} else {
		out.Properties = toProperties(&m.Properties)
		out.ApplicationProperties = toMap(m.Application)
		switch {
		case m.Value != nil:
			out.Value = toAMQP(m.Value)
		case m.Text:
			out.Value = string(m.Body)
		default:
			out.Data = [][]byte{m.Body}
		}
	}
	if anonymous && d == RabbitMQ4 && out.Properties != nil && out.Properties.To != nil {
		to := d.target(*out.Properties.To)
		out.Properties.To = &to
	}
	priority := m.Header.Priority
	if priority == 0 {
		priority = 4
	}
	out.Header = &amqp.MessageHeader{
		Durable: m.Header.Durable, Priority: priority, TTL: m.Header.TTL, DeliveryCount: m.Header.DeliveryCount,
	}
	out.Annotations, out.DeliveryAnnotations = toAnnotations(m.Annotations), toAnnotations(m.Delivery)
	return out, nil
}

func toProperties(p *bus.Properties) *amqp.MessageProperties {
	return &amqp.MessageProperties{
		MessageID: toAMQP(p.MessageID), CorrelationID: toAMQP(p.CorrelationID), UserID: p.UserID,
		To: optional(p.To), Subject: optional(p.Subject), ReplyTo: optional(p.ReplyTo),
		ContentType: optional(p.ContentType), ContentEncoding: optional(p.Encoding),
		AbsoluteExpiryTime: optionalTime(p.Expiry), CreationTime: optionalTime(p.Created),
		GroupID: optional(p.GroupID), GroupSequence: p.GroupSequence, ReplyToGroupID: optional(p.ReplyToGroup),
	}
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func optionalTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// toAMQP is a value with go-amqp's types in place of ours.
func toAMQP(value any) any {
	switch v := value.(type) {
	case bus.UUID:
		return amqp.UUID(v)
	case bus.Symbol:
		return amqp.Symbol(v)
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = toAMQP(item)
		}
		return out
	case map[string]any:
		return toMap(v)
	case map[any]any:
		out := make(map[any]any, len(v))
		for key, item := range v {
			out[toAMQP(key)] = toAMQP(item)
		}
		return out
	default:
		return value
	}
}

func toMap(m map[string]any) map[string]any {
	if len(m) == 0 {
		return nil
	}
	out := make(map[string]any, len(m))
	for key, item := range m {
		out[key] = toAMQP(item)
	}
	return out
}

func toAnnotations(m map[string]any) amqp.Annotations {
	if len(m) == 0 {
		return nil
	}
	out := make(amqp.Annotations, len(m))
	for key, item := range m {
		out[key] = toAMQP(item)
	}
	return out
}

// decode is a message of go-amqp's as ours.
func decode(m *amqp.Message) *bus.Message {
	out := &bus.Message{
		Annotations: annotations(m.Annotations), Delivery: annotations(m.DeliveryAnnotations), Application: fromMap(m.ApplicationProperties),
	}
	if h := m.Header; h != nil {
		out.Header = bus.Header{
			Durable: h.Durable, Priority: h.Priority, TTL: h.TTL, DeliveryCount: h.DeliveryCount, FirstAcquirer: h.FirstAcquirer,
		}
	}
	if p := m.Properties; p != nil {
		out.Properties = fromProperties(p)
	}
	switch body := m.Value.(type) {
	case nil:
		if len(m.Sequence) > 0 {
			out.Value = fromSequence(m.Sequence)
		}
		out.Body = data(m.Data)
	case string:
		out.Body, out.Text = []byte(body), true
	case []byte:
		out.Body = body
	default:
		out.Value = fromAMQP(body)
	}
	return out
}

// data joins the data sections.
func data(sections [][]byte) []byte {
	if len(sections) == 1 {
		return sections[0]
	}
	var all []byte
	for _, section := range sections {
		all = append(all, section...)
	}
	return all
}

// fromSequence joins the amqp-sequence sections.
func fromSequence(sections [][]any) []any {
	var all []any
	for _, section := range sections {
		for _, item := range section {
			all = append(all, fromAMQP(item))
		}
	}
	return all
}

func fromProperties(p *amqp.MessageProperties) bus.Properties {
	return bus.Properties{
		MessageID: fromAMQP(p.MessageID), CorrelationID: fromAMQP(p.CorrelationID), UserID: p.UserID,
		To: value(p.To), Subject: value(p.Subject), ReplyTo: value(p.ReplyTo),
		ContentType: value(p.ContentType), Encoding: value(p.ContentEncoding),
		Expiry: value(p.AbsoluteExpiryTime), Created: value(p.CreationTime),
		GroupID: value(p.GroupID), GroupSequence: p.GroupSequence, ReplyToGroup: value(p.ReplyToGroupID),
	}
}

func value[T any](p *T) T {
	var zero T
	if p == nil {
		return zero
	}
	return *p
}

// fromAMQP is a value with our types in place of go-amqp's.
func fromAMQP(value any) any {
	switch v := value.(type) {
	case amqp.UUID:
		return bus.UUID(v)
	case amqp.Symbol:
		return bus.Symbol(v)
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = fromAMQP(item)
		}
		return out
	case map[string]any:
		return fromMap(v)
	case map[any]any:
		out := make(map[any]any, len(v))
		for key, item := range v {
			out[fromAMQP(key)] = fromAMQP(item)
		}
		return out
	default:
		return value
	}
}

func fromMap(m map[string]any) map[string]any {
	if len(m) == 0 {
		return nil
	}
	out := make(map[string]any, len(m))
	for key, item := range m {
		out[key] = fromAMQP(item)
	}
	return out
}

// annotations have symbols for keys; the numbers that the specification reserves are written as decimals.
func annotations(m amqp.Annotations) map[string]any {
	if len(m) == 0 {
		return nil
	}
	out := make(map[string]any, len(m))
	for key, item := range m {
		out[fmt.Sprint(key)] = fromAMQP(item)
	}
	return out
}
