package events

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"clacks/objects"
)

// The markup that the log writes and finds again by its bytes. In a document written here every "<" of a value is
// escaped, so that these strings cannot occur inside of one.
const (
	emptySequence   = "<Sequence/>"
	openAttributes  = "<Attributes>"
	closeAttributes = "</Attributes>"
	openAttribute   = `<Attribute name="`
	closeAttribute  = "</Attribute>"
)

// timeLayout is xs:dateTime in UTC to the microsecond, which is what the log's time column holds.
const timeLayout = "2006-01-02T15:04:05.000000Z"

// appendDocument writes the document of an ObjectChanged or a BackendChange: without an XML declaration, which UTF-8
// does not need, and with an empty Sequence. What is not set is left out; modified is the text of ModificationTime.
func appendDocument(dst []byte, eventType string, c *objects.Changed, modified string) []byte {
	dst = append(dst, `<Event xmlns="`+Namespace+`"><`...)
	dst = append(dst, eventType...)
	dst = append(dst, '>')
	dst = appendElement(dst, "UUID", c.UUID)
	dst = appendElement(dst, "DN", c.DN)
	dst = appendElement(dst, "NewDN", c.NewDN)
	dst = appendElement(dst, "ObjectType", c.ObjectType)
	dst = appendElement(dst, "ChangeType", c.ChangeType)
	dst = appendElement(dst, "ModificationTime", modified)
	dst = appendElement(dst, "Actor", c.Actor)
	dst = appendElement(dst, "TransactionId", c.TransactionID)
	dst = append(dst, emptySequence...)
	dst = appendElement(dst, "Origin", c.Origin)
	dst = appendAttributes(dst, c.Attributes)
	dst = append(dst, "</"...)
	dst = append(dst, eventType...)
	return append(dst, "></Event>"...)
}

func appendAttributes(dst []byte, attributes []objects.AttributeChange) []byte {
	if len(attributes) == 0 {
		return dst
	}
	dst = append(dst, openAttributes...)
	for i := range attributes {
		dst = append(dst, openAttribute...)
		dst = appendEscaped(dst, attributes[i].Name, true)
		dst = append(dst, `">`...)
		for _, value := range attributes[i].Old {
			dst = appendValue(dst, "Old", value)
		}
		for _, value := range attributes[i].New {
			dst = appendValue(dst, "New", value)
		}
		dst = append(dst, closeAttribute...)
	}
	return append(dst, closeAttributes...)
}

// appendElement writes an element with text, or nothing when there is no text.
func appendElement(dst []byte, name, text string) []byte {
	if text == "" {
		return dst
	}
	return appendValue(dst, name, text)
}

func appendValue(dst []byte, name, text string) []byte {
	dst = append(dst, '<')
	dst = append(dst, name...)
	dst = append(dst, '>')
	dst = appendEscaped(dst, text, false)
	dst = append(dst, "</"...)
	dst = append(dst, name...)
	return append(dst, '>')
}

// appendEscaped writes character data, or with quoted the inside of an attribute value. What a parser would normalize
// away (XML 1.0, sections 2.11 and 3.3.3) becomes a character reference; what XML 1.0 cannot hold at all (section 2.2),
// and bytes that are not UTF-8, become U+FFFD.
func appendEscaped(dst []byte, s string, quoted bool) []byte {
	plain := 0
	for i := 0; i < len(s); {
		escape, width := "", 1
		if c := s[i]; c < utf8.RuneSelf {
			escape = asciiEscape(c, quoted)
		} else {
			var r rune
			r, width = utf8.DecodeRuneInString(s[i:])
			if (r == utf8.RuneError && width == 1) || r == 0xFFFE || r == 0xFFFF {
				escape = "\uFFFD"
			}
		}
		if escape != "" {
			dst = append(dst, s[plain:i]...)
			dst = append(dst, escape...)
			plain = i + width
		}
		i += width
	}
	return append(dst, s[plain:]...)
}

// asciiEscape is what stands for an ASCII character, "" for itself.
func asciiEscape(c byte, quoted bool) string {
	switch {
	case c == '&':
		return "&amp;"
	case c == '<':
		return "&lt;"
	case c == '>': // "]]>" must not stand in text
		return "&gt;"
	case c == '\r':
		return "&#13;"
	case c == '"' && quoted:
		return "&quot;"
	case c == '\t' && quoted:
		return "&#9;"
	case c == '\n' && quoted:
		return "&#10;"
	case c < ' ' && c != '\t' && c != '\n':
		return "\uFFFD"
	}
	return ""
}

// withSequence puts the sequence number into a document that the log has written.
func withSequence(document []byte, sequence int64) []byte {
	i := bytes.Index(document, []byte(emptySequence))
	if i < 0 {
		return document
	}
	const digits = 19 // of the largest int64
	numbered := make([]byte, 0, len(document)+digits+len("</Sequence>"))
	numbered = append(numbered, document[:i]...)
	numbered = append(numbered, "<Sequence>"...)
	numbered = strconv.AppendInt(numbered, sequence, 10)
	numbered = append(numbered, "</Sequence>"...)
	return append(numbered, document[i+len(emptySequence):]...)
}

// cutAttributes leaves out of a document that the log has written each attribute whose name keep refuses. The result is
// the document itself when nothing had to go. It is not ok when the document is not as the log writes it; then nothing
// of it may be shown.
func cutAttributes(document []byte, keep func(name string) bool) (result []byte, ok bool) {
	start := bytes.Index(document, []byte(openAttributes))
	if start < 0 {
		return document, !bytes.Contains(document, []byte(openAttribute))
	}
	spans, end, ok := attributeSpans(document, start+len(openAttributes))
	if !ok {
		return nil, false
	}
	kept := slices.DeleteFunc(slices.Clone(spans), func(s span) bool {
		// A name that had to be escaped is none that a definition can give.
		return strings.Contains(s.name, "&") || !keep(s.name)
	})
	if len(kept) == len(spans) {
		return document, true
	}
	result = append(make([]byte, 0, len(document)), document[:start]...)
	if len(kept) > 0 {
		result = append(result, openAttributes...)
		for _, s := range kept {
			result = append(result, document[s.from:s.to]...)
		}
		result = append(result, closeAttributes...)
	}
	return append(result, document[end:]...), true
}

// span is where one Attribute element stands in a document.
type span struct {
	name     string
	from, to int
}

// attributeSpans finds the Attribute elements from a position inside of Attributes on; end is behind its end tag.
func attributeSpans(document []byte, at int) (spans []span, end int, ok bool) {
	for bytes.HasPrefix(document[at:], []byte(openAttribute)) {
		name := document[at+len(openAttribute):]
		quote := bytes.IndexByte(name, '"')
		length := bytes.Index(name, []byte(closeAttribute))
		if quote < 0 || length < quote {
			return nil, 0, false
		}
		to := at + len(openAttribute) + length + len(closeAttribute)
		spans = append(spans, span{name: string(name[:quote]), from: at, to: to})
		at = to
	}
	if !bytes.HasPrefix(document[at:], []byte(closeAttributes)) {
		return nil, 0, false
	}
	return spans, at + len(closeAttributes), true
}
