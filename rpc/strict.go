package rpc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"clacks"
)

// The limits of what a client may send. Exceeding one is clacks.Limit or clacks.Invalid, never a crash.
const (
	MaxBody  = 4 << 20 // bytes of one request
	MaxDepth = 100     // nesting of arrays and objects
	MaxBatch = 100     // calls in one JSON-RPC 2.0 batch
)

// checkJSON refuses what encoding/json lets pass but two readers could understand differently: members of the same name,
// bytes that are not UTF-8; and nesting over MaxDepth (RFC 8259, sections 4, 8.1 and 9).
func checkJSON(body []byte) error {
	if len(body) > MaxBody {
		return clacks.E(clacks.Limit, "rpc.json", "the request is larger than %d bytes", MaxBody)
	}
	if !utf8.Valid(body) {
		return clacks.E(clacks.Invalid, "rpc.json", "the request is not UTF-8")
	}
	// Depth comes first: it is what bounds the work of everything behind it.
	if depth := depthOf(body); depth > MaxDepth {
		return clacks.E(clacks.Limit, "rpc.json", "the request is nested deeper than %d", MaxDepth)
	}
	if !json.Valid(body) {
		return syntaxError(body)
	}
	return uniqueMembers(body)
}

// syntaxError says where the text stops being JSON.
func syntaxError(body []byte) error {
	var raw json.RawMessage
	err := json.Unmarshal(body, &raw)
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return clacks.E(clacks.Invalid, "rpc.json", "not JSON")
	}
	at := min(int(syntax.Offset), len(body))
	line := 1 + bytes.Count(body[:at], []byte{'\n'})
	column := at - bytes.LastIndexByte(body[:at], '\n')
	return clacks.E(clacks.Invalid, "rpc.json", "not JSON: line %d, column %d: %s", line, max(column-1, 1), syntax.Error())
}

// depthOf is the deepest nesting of a text that need not be valid.
func depthOf(b []byte) int {
	depth, deepest := 0, 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			i = stringEnd(b, i) - 1
		case '{', '[':
			depth++
			deepest = max(deepest, depth)
		case '}', ']':
			depth--
		}
	}
	return deepest
}

// stringEnd is the index behind the string that starts at b[i]; the length of b when it does not end.
func stringEnd(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(b)
}

// level is one open array or object while uniqueMembers walks through a text.
type level struct {
	object bool
	name   bool // the next string is a member's name
	names  []string
	set    map[string]bool // in place of names when there are many
}

// manyNames is the number of members above which a map is faster than looking through a list.
const manyNames = 16

func (l *level) add(name string) bool {
	if l.set != nil {
		if l.set[name] {
			return false
		}
		l.set[name] = true
		return true
	}
	for _, n := range l.names {
		if n == name {
			return false
		}
	}
	l.names = append(l.names, name)
	if len(l.names) > manyNames {
		l.set = make(map[string]bool, 2*manyNames)
		for _, n := range l.names {
			l.set[n] = true
		}
	}
	return true
}

// uniqueMembers walks through valid JSON and refuses an object with two members of one name.
func uniqueMembers(b []byte) error {
	var levels []level
	for i := 0; i < len(b); i++ {
		top := len(levels) - 1
		switch b[i] {
		case '{':
			levels = append(levels, level{object: true, name: true})
		case '[':
			levels = append(levels, level{})
		case '}', ']':
			levels = levels[:top]
		case ',':
			levels[top].name = levels[top].object
		case ':':
			levels[top].name = false
		case '"':
			end := stringEnd(b, i)
			if top >= 0 && levels[top].name {
				if name := text(b[i:end]); !levels[top].add(name) {
					return clacks.E(clacks.Invalid, "rpc.json", "the member %q occurs twice in one object", clip(name))
				}
			}
			i = end - 1
		}
	}
	return nil
}

// text is the value of a valid JSON string.
func text(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1])
	}
	var s string
	_ = json.Unmarshal(raw, &s) // cannot fail: the text was found valid
	return s
}

// clip bounds what a message repeats of a client's text.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "..."
}

// member is one member of an object; its value is a part of the text that was read.
type member struct {
	name  string
	value json.RawMessage
}

// membersOf splits a valid JSON object into its members, in their order. Unlike encoding/json it tells "id" from "ID".
func membersOf(b []byte) []member {
	var members []member
	for i := 1; i < len(b); {
		i = space(b, i)
		if b[i] == '}' {
			break
		}
		if b[i] == ',' {
			i = space(b, i+1)
		}
		nameEnd := stringEnd(b, i)
		start := space(b, space(b, nameEnd)+1) // behind the colon
		end := valueEnd(b, start)
		members = append(members, member{name: text(b[i:nameEnd]), value: json.RawMessage(b[start:end])})
		i = end
	}
	return members
}

// elementsOf splits a valid JSON array into its elements.
func elementsOf(b []byte) []json.RawMessage {
	var elements []json.RawMessage
	for i := 1; i < len(b); {
		i = space(b, i)
		if b[i] == ']' {
			break
		}
		if b[i] == ',' {
			i = space(b, i+1)
		}
		end := valueEnd(b, i)
		elements = append(elements, json.RawMessage(b[i:end]))
		i = end
	}
	return elements
}

// space is the index of the first byte from i on that is not white space.
func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// valueEnd is the index behind the value that starts at b[i].
func valueEnd(b []byte, i int) int {
	if b[i] == '"' {
		return stringEnd(b, i)
	}
	depth := 0
	for ; i < len(b); i++ {
		switch b[i] {
		case '"':
			i = stringEnd(b, i) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return i
			}
		}
	}
	return i
}

// kindOfJSON names what a valid JSON value is, for messages.
func kindOfJSON(raw []byte) string {
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a string"
	case 't', 'f':
		return "true or false"
	case 'n':
		return "null"
	default:
		return "a number"
	}
}

// encode writes a value as JSON without escaping <, > and &: the answers are no HTML, and XML in them stays readable.
func encode(v any) (json.RawMessage, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, fmt.Errorf("encoding %T: %w", v, err)
	}
	return bytes.TrimSuffix(buffer.Bytes(), []byte{'\n'}), nil
}
