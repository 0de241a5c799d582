package wire

import (
	"math"
	"time"

	"clacks/bus"
)

// DecodeMessage decodes the payload of a delivery. The message holds parts of it (Bare, Body and binaries), so it must not
// be changed afterwards. Bare is everything behind the annotations: a footer, too, which is passed on as it came. What is
// wrong is a *bus.Condition, amqp:decode-error.
func DecodeMessage(payload []byte) (*bus.Message, error) {
	m := &bus.Message{}
	r := NewReader(payload)
	last := uint64(0)
	var joined []byte // several data sections
	for len(r.Rest()) > 0 {
		start := r.at
		id, name := r.descriptor()
		if r.err == nil && (id < idHeader || id > idFooter) {
			r.fail("%#x %s is no section of a message", id, name)
		}
		if r.err == nil && (id < last || id == last && id != idData && id != idSequence || last == idData && id == idSequence ||
			id == idValue && last >= idData) {
			r.fail("the section %#x is out of order", id)
		}
		if id >= idProperties && m.Bare == nil && r.err == nil {
			m.Bare = payload[start:]
		}
		if id == idData && id == last && r.count(1) {
			joined = appendData(joined, m, r.Binary())
		} else {
			section(&r, m, id)
		}
		last = id
	}
	if err := r.Err(); err != nil {
		return nil, err
	}
	if m.Bare == nil {
		m.Bare = []byte{}
	}
	return m, nil
}

// appendData adds a further data section to the body, which until then is a part of the payload.
func appendData(joined []byte, m *bus.Message, data []byte) []byte {
	if joined == nil {
		joined = append(make([]byte, 0, 2*(len(m.Body)+len(data))), m.Body...)
	}
	m.Body = append(joined, data...)
	return m.Body
}

// section reads what follows the descriptor of a section.
func section(r *Reader, m *bus.Message, id uint64) {
	switch id {
	case idHeader:
		decodeHeader(r, &m.Header)
	case idDeliveryAnnotations:
		m.Delivery = r.simpleMap(false)
	case idMessageAnnotations:
		m.Annotations = r.simpleMap(false)
	case idProperties:
		decodeProperties(r, &m.Properties)
	case idApplicationProperties:
		m.Application = r.simpleMap(true)
	case idData:
		m.Body = r.Binary()
	case idSequence:
		items, ok := r.Value().([]any)
		if !ok {
			r.fail("a sequence is no list")
			return
		}
		before, _ := m.Value.([]any)
		m.Value = append(before, items...)
	case idValue:
		decodeBody(r, m)
	case idFooter:
		r.skip()
	}
}

// decodeBody reads an amqp-value: strings and binaries are a Body.
func decodeBody(r *Reader, m *bus.Message) {
	switch v := r.Value().(type) {
	case string:
		m.Body, m.Text = []byte(v), true
	case []byte:
		m.Body = v
	default:
		m.Value = v
	}
}

func decodeHeader(r *Reader, h *bus.Header) {
	f := r.open()
	h.Durable, h.Priority = f.bool(false), f.ubyte(0)
	h.TTL = time.Duration(f.uint().V) * time.Millisecond
	h.FirstAcquirer, h.DeliveryCount = f.bool(false), f.uint().V
	f.close()
}

func decodeProperties(r *Reader, p *bus.Properties) {
	f := r.open()
	p.MessageID = f.id()
	p.UserID = f.binary()
	p.To, p.Subject, p.ReplyTo = f.text(), f.text(), f.text()
	p.CorrelationID = f.id()
	p.ContentType, p.Encoding = f.text(), f.text()
	p.Expiry, p.Created = f.time(), f.time()
	p.GroupID = f.text()
	if n := f.uint(); n.Set {
		p.GroupSequence = &n.V
	}
	p.ReplyToGroup = f.text()
	f.close()
}

// id is a message-id or a correlation-id (AMQP 1.0, 3.2.11 to 3.2.14).
func (f *fields) id() any {
	if !f.next() {
		return nil
	}
	v := f.r.Value()
	switch v.(type) {
	case string, uint64, []byte, bus.UUID:
		return v
	}
	f.r.fail("a %T is no message-id", v)
	return nil
}

func (f *fields) time() time.Time {
	if !f.next() {
		return time.Time{}
	}
	return timestamp(f.r.timestamp())
}

// AppendMessage appends a message as the payload of a delivery: the bare message as it came, or encoded anew when there is
// none. A value without a form in AMQP is clacks.Invalid; then nothing is appended.
func AppendMessage(b []byte, m *bus.Message) ([]byte, error) {
	e := encoder{}
	out := e.annotations(b, m)
	if m.Bare != nil {
		out = append(out, m.Bare...)
	} else {
		out = e.bare(out, m)
	}
	if e.err != nil {
		return b, e.err
	}
	return out, nil
}

// AppendAnnotations appends what comes before the bare message: the header and the annotations.
func AppendAnnotations(b []byte, m *bus.Message) ([]byte, error) {
	e := encoder{}
	out := e.annotations(b, m)
	if e.err != nil {
		return b, e.err
	}
	return out, nil
}

func (e *encoder) annotations(b []byte, m *bus.Message) []byte {
	b = appendHeader(b, &m.Header)
	if len(m.Delivery) > 0 {
		b = e.symbolMap(append(b, codeDescribed, codeSmallUlong, idDeliveryAnnotations), m.Delivery)
	}
	if len(m.Annotations) > 0 {
		b = e.symbolMap(append(b, codeDescribed, codeSmallUlong, idMessageAnnotations), m.Annotations)
	}
	return b
}

// AppendBare appends the bare message, as AppendMessage does.
func AppendBare(b []byte, m *bus.Message) ([]byte, error) {
	if m.Bare != nil {
		return append(b, m.Bare...), nil
	}
	e := encoder{}
	out := e.bare(b, m)
	if e.err != nil {
		return b, e.err
	}
	return out, nil
}

func appendHeader(b []byte, h *bus.Header) []byte {
	if *h == (bus.Header{}) {
		return b
	}
	c := openComposite(b, idHeader)
	c.bool(h.Durable, false)
	c.ubyte(h.Priority, 0)
	c.uint(milliseconds(h.TTL))
	c.bool(h.FirstAcquirer, false)
	c.uintOr(h.DeliveryCount, 0)
	return c.close()
}

// milliseconds is a time to live as it is sent: rounded up, so that a short one does not become "for ever".
func milliseconds(d time.Duration) Uint {
	if d <= 0 {
		return Uint{}
	}
	ms := (d-1)/time.Millisecond + 1
	return Some(uint32(min(ms, math.MaxUint32)))
}

func (e *encoder) bare(b []byte, m *bus.Message) []byte {
	b = e.properties(b, &m.Properties)
	if len(m.Application) > 0 {
		b = append(b, codeDescribed, codeSmallUlong, idApplicationProperties)
		start := len(b)
		b = openCompound(b)
		for k, v := range m.Application {
			b = e.value(appendString(b, k), v, 0)
		}
		b = closeCompound(b, start, 2*len(m.Application), codeMap8, codeMap32)
	}
	switch {
	case m.Value != nil:
		return e.value(append(b, codeDescribed, codeSmallUlong, idValue), m.Value, MaxDepth)
	case m.Text:
		b = append(b, codeDescribed, codeSmallUlong, idValue)
		return append(appendSize(b, codeStr8, codeStr32, len(m.Body)), m.Body...)
	default:
		return appendBinary(append(b, codeDescribed, codeSmallUlong, idData), m.Body)
	}
}

func (e *encoder) properties(b []byte, p *bus.Properties) []byte {
	c := openComposite(b, idProperties)
	e.id(&c, p.MessageID)
	c.binary(p.UserID)
	c.some(p.To)
	c.some(p.Subject)
	c.some(p.ReplyTo)
	e.id(&c, p.CorrelationID)
	c.symbol(bus.Symbol(p.ContentType))
	c.symbol(bus.Symbol(p.Encoding))
	c.time(p.Expiry)
	c.time(p.Created)
	c.some(p.GroupID)
	if p.GroupSequence != nil {
		c.uint(Some(*p.GroupSequence))
	} else {
		c.null()
	}
	c.some(p.ReplyToGroup)
	if c.last == 0 {
		return b
	}
	return c.close()
}

func (e *encoder) id(c *composite, id any) {
	switch id.(type) {
	case nil:
		c.null()
	case string, uint64, []byte, bus.UUID:
		c.put(e.value(c.b, id, 0))
	default:
		e.fail("a %T is no message-id", id)
	}
}

func (c *composite) time(t time.Time) {
	if t.IsZero() {
		c.null()
		return
	}
	c.put(appendTimestamp(c.b, t))
}
