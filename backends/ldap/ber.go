package ldap

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// The BER tags of LDAP that this package looks at (RFC 4511, section 4).
const (
	tagSequence    = 0x30
	tagInteger     = 0x02
	tagOctetString = 0x04
	tagSet         = 0x31
	tagEntry       = 0x64 // SearchResultEntry
	tagControls    = 0xa0
)

const (
	// maxMessage bounds one LDAP message: a group of a million members has about 100 MB.
	maxMessage = 256 << 20
	// eager is how much memory is given for a message on its length alone, before its bytes have come.
	eager = 1 << 20
)

var errMalformed = errors.New("malformed LDAP message")

// readMessage reads one LDAP message as it is, into memory of its own.
func readMessage(r *bufio.Reader) ([]byte, error) {
	header, err := r.Peek(2)
	if err != nil {
		return nil, err
	}
	if header[0] != tagSequence {
		return nil, errMalformed
	}
	if more := int(header[1]) - 0x80; more > 0 && more <= 4 {
		if header, err = r.Peek(2 + more); err != nil {
			return nil, err
		}
	}
	size, start, ok := length(header, 1)
	if !ok || size > maxMessage {
		return nil, errMalformed
	}
	if start+size <= eager {
		message := make([]byte, start+size)
		_, err = io.ReadFull(r, message)
		return message, err
	}
	var message bytes.Buffer
	_, err = io.CopyN(&message, r, int64(start+size))
	return message.Bytes(), err
}

// length reads the length of an element at b[at:]: its value and where the element's body begins. Only the definite form
// is LDAP (RFC 4511, section 5.1); it need not be the shortest.
func length(b []byte, at int) (size, start int, ok bool) {
	if at >= len(b) {
		return 0, 0, false
	}
	first := int(b[at])
	if first < 0x80 {
		return first, at + 1, true
	}
	n := first - 0x80
	if n == 0 || n > 4 || at+n >= len(b) {
		return 0, 0, false
	}
	for _, digit := range b[at+1 : at+1+n] {
		size = size<<8 | int(digit)
	}
	return size, at + 1 + n, true
}

// cursor walks over the elements of a part of a message, without copying.
type cursor struct {
	data    []byte
	at, end int
}

// next is the tag and the body of the next element; ok is false at the end and at what is malformed.
func (c *cursor) next() (tag byte, body cursor, ok bool) {
	if c.at >= c.end {
		return 0, cursor{}, false
	}
	tag = c.data[c.at]
	size, start, ok := length(c.data[:c.end], c.at+1)
	if !ok || size > c.end-start {
		c.at = c.end
		return 0, cursor{}, false
	}
	c.at = start + size
	return tag, cursor{data: c.data, at: start, end: start + size}, true
}

// expect is next for an element that must have this tag.
func (c *cursor) expect(tag byte) (body cursor, ok bool) {
	got, body, ok := c.next()
	return body, ok && got == tag
}

// bytes is the body itself. What is appended to it does not run into the next element.
func (c *cursor) bytes() []byte { return c.data[c.at:c.end:c.end] }

// operation is the protocol operation of a message: its tag, its body, and what follows it.
func operation(message []byte) (tag byte, body, rest cursor, ok bool) {
	envelope := cursor{data: message, end: len(message)}
	rest, ok = envelope.expect(tagSequence)
	if !ok {
		return 0, cursor{}, cursor{}, false
	}
	if _, ok = rest.expect(tagInteger); !ok {
		return 0, cursor{}, cursor{}, false
	}
	tag, body, ok = rest.next()
	return tag, body, rest, ok
}

// wholeText is up to which size the text of a message is copied in one piece, of which all its strings are parts.
const wholeText = 16 << 10

// result is one SearchResultEntry, decoded as far as needed.
type result struct {
	name       string
	attributes []attribute
	values     int // of all attributes
}

// attribute is one attribute of a result.
type attribute struct {
	name   string
	whole  string // the message as text; empty when it is too large
	values []cursor
}

// text is value i as a string.
func (a *attribute) text(i int) string {
	if value := a.values[i]; a.whole != "" {
		return a.whole[value.at:value.end]
	}
	return string(a.values[i].bytes())
}

// bytes is value i as it came; the memory belongs to the message.
func (a *attribute) bytes(i int) []byte { return a.values[i].bytes() }

// texts are all values as strings.
func (a *attribute) texts() []string {
	texts := make([]string, len(a.values))
	for i := range texts {
		texts[i] = a.text(i)
	}
	return texts
}

// parseResult reads the body of a SearchResultEntry (RFC 4511, section 4.5.2).
func parseResult(entry cursor) (*result, error) {
	whole := ""
	if len(entry.data) <= wholeText {
		whole = string(entry.data)
	}
	name, ok := entry.expect(tagOctetString)
	list, isList := entry.expect(tagSequence)
	if !ok || !isList {
		return nil, errMalformed
	}
	r := &result{name: string(name.bytes()), attributes: make([]attribute, 0, 16)}
	values := make([]cursor, 0, 32) // of all attributes in one piece
	for list.at < list.end {
		pair, ok := list.expect(tagSequence)
		description, isName := pair.expect(tagOctetString)
		set, isSet := pair.expect(tagSet)
		if !ok || !isName || !isSet {
			return nil, errMalformed
		}
		start := len(values)
		for set.at < set.end {
			value, ok := set.expect(tagOctetString)
			if !ok {
				return nil, errMalformed
			}
			values = append(values, value)
		}
		a := attribute{whole: whole, values: values[start:len(values):len(values)]}
		if whole != "" {
			a.name = whole[description.at:description.end]
		} else {
			a.name = string(description.bytes())
		}
		r.attributes = append(r.attributes, a)
		r.values += len(a.values)
	}
	return r, nil
}

// attribute is the values of an attribute by the name that the server uses, as text.
func (r *result) attribute(name string) []string {
	for i := range r.attributes {
		if r.attributes[i].name == name {
			return r.attributes[i].texts()
		}
	}
	return nil
}
