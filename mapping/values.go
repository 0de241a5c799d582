package mapping

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"clacks/definitions"
)

// The sizes in bytes above which a value of the wire is refused, and the depth of a JSON value.
const (
	MaxText   = 256 << 10 // String, UnicodeString
	MaxBinary = 3 << 20   // Binary, decoded
	MaxJSON   = 256 << 10 // AnyType, as JSON text
	MaxDepth  = 100       // AnyType
)

// dateLayout is RFC 3339's full-date.
const dateLayout = "2006-01-02"

// Parse converts a value as it comes over the wire (JSON: string, json.Number/float64, bool, base64 string for Binary,
// RFC 3339 for dates) to the attribute's Go type; Go values of that type are accepted too. The error is a sentence
// without the value.
func (a *Attribute) Parse(v any) (any, error) {
	value, err := parse(a.Type, v)
	if err == nil {
		err = valid(a.Type, value)
	}
	if err != nil {
		return nil, err
	}
	return value, nil
}

func parse(t definitions.AttributeType, v any) (any, error) {
	switch t {
	case definitions.String, definitions.UnicodeString:
		return parseString(v)
	case definitions.Integer:
		return parseInteger(v)
	case definitions.Boolean:
		return parseBoolean(v)
	case definitions.Binary:
		return parseBinary(v)
	case definitions.Date, definitions.Timestamp:
		return parseTime(t, v)
	case definitions.AnyType:
		return parseJSON(v)
	default:
		return nil, fmt.Errorf("values of the type %s are not available", t)
	}
}

func parseString(v any) (any, error) {
	if s, ok := v.(string); ok {
		return s, nil
	}
	return nil, errors.New("must be a string")
}

func parseInteger(v any) (any, error) {
	switch n := v.(type) {
	case int64:
		return n, nil
	case int:
		return int64(n), nil
	case float64:
		// Above 2^53 a JSON number that went through a float64 may be another one than was sent.
		if n != math.Trunc(n) || math.Abs(n) > 1<<53 {
			return nil, errors.New("must be an integer")
		}
		return int64(n), nil
	case json.Number:
		return parseInteger(n.String())
	case string:
		i, err := strconv.ParseInt(n, 10, 64)
		if errors.Is(err, strconv.ErrRange) {
			return nil, errors.New("must be an integer of at most 64 bits")
		}
		if err != nil {
			return nil, errors.New("must be an integer")
		}
		return i, nil
	default:
		return nil, errors.New("must be an integer")
	}
}

func parseBoolean(v any) (any, error) {
	switch b := v.(type) {
	case bool:
		return b, nil
	case string:
		switch b {
		case "true":
			return true, nil
		case "false":
			return false, nil
		}
	}
	return nil, errors.New("must be true or false")
}

func parseBinary(v any) (any, error) {
	switch b := v.(type) {
	case []byte:
		return b, nil
	case string:
		if len(b) > base64.StdEncoding.EncodedLen(MaxBinary) {
			return nil, tooLong(MaxBinary)
		}
		data, err := base64.StdEncoding.DecodeString(b)
		if err == nil {
			return data, nil
		}
	}
	return nil, errors.New("must be base64 text (RFC 4648, section 4)")
}

func parseTime(t definitions.AttributeType, v any) (any, error) {
	switch x := v.(type) {
	case time.Time:
		return normalTime(t, x), nil
	case string:
		if t == definitions.Date {
			if d, err := time.Parse(dateLayout, x); err == nil {
				return d, nil
			}
		}
		if d, err := time.Parse(time.RFC3339Nano, x); err == nil {
			return normalTime(t, d), nil
		}
	}
	if t == definitions.Date {
		return nil, errors.New("must be a date like 2006-01-31 (RFC 3339)")
	}
	return nil, errors.New("must be a time like 2006-01-31T12:00:00Z (RFC 3339)")
}

// normalTime gives a time the form in which the types hold it: UTC; a Date has no time of day; a Timestamp has the
// microseconds that every store can hold.
func normalTime(t definitions.AttributeType, x time.Time) time.Time {
	x = x.UTC()
	if t == definitions.Date {
		return time.Date(x.Year(), x.Month(), x.Day(), 0, 0, 0, 0, time.UTC)
	}
	return x.Truncate(time.Microsecond)
}

// parseJSON gives a JSON value the form in which it also comes back from a store, so that two of them can be compared.
func parseJSON(v any) (any, error) {
	if v == nil {
		return nil, errors.New("must be a JSON value other than null")
	}
	if deeper(v, MaxDepth) {
		return nil, fmt.Errorf("must not be nested deeper than %d", MaxDepth)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return nil, errors.New("must be a JSON value")
	}
	if len(text) > MaxJSON {
		return nil, tooLong(MaxJSON)
	}
	return decodeJSON(text)
}

// decodeJSON decodes JSON text with its numbers as they stand.
func decodeJSON(text []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		return nil, errors.New("must be a JSON value")
	}
	if decoder.More() || v == nil {
		return nil, errors.New("must be one JSON value other than null")
	}
	if deeper(v, MaxDepth) {
		return nil, fmt.Errorf("must not be nested deeper than %d", MaxDepth)
	}
	return v, nil
}

// deeper reports whether a JSON value is nested deeper than depth.
func deeper(v any, depth int) bool {
	if depth < 0 {
		return true
	}
	switch x := v.(type) {
	case []any:
		for _, e := range x {
			if deeper(e, depth-1) {
				return true
			}
		}
	case map[string]any:
		for _, e := range x {
			if deeper(e, depth-1) {
				return true
			}
		}
	}
	return false
}

// valid checks that a Go value is one of the type and within its limits. The error is a sentence without the value.
func valid(t definitions.AttributeType, v any) error {
	switch t {
	case definitions.String, definitions.UnicodeString:
		s, ok := v.(string)
		if !ok {
			return errors.New("must be a string")
		}
		return validText(t, s)
	case definitions.Integer:
		if _, ok := v.(int64); !ok {
			return errors.New("must be an integer")
		}
	case definitions.Boolean:
		if _, ok := v.(bool); !ok {
			return errors.New("must be true or false")
		}
	case definitions.Binary:
		b, ok := v.([]byte)
		if !ok {
			return errors.New("must be binary")
		}
		if len(b) > MaxBinary {
			return tooLong(MaxBinary)
		}
	case definitions.Date, definitions.Timestamp:
		x, ok := v.(time.Time)
		if !ok {
			return errors.New("must be a time")
		}
		if y := x.UTC().Year(); y < 1 || y > 9999 {
			return errors.New("must lie in the years 1 to 9999")
		}
	case definitions.AnyType:
		_, err := parseJSON(v)
		return err
	default:
		return fmt.Errorf("values of the type %s are not available", t)
	}
	return nil
}

// validText refuses what cannot be stored in a directory or shown in an XML event.
func validText(t definitions.AttributeType, s string) error {
	if len(s) > MaxText {
		return tooLong(MaxText)
	}
	if !utf8.ValidString(s) {
		return errors.New("must be UTF-8 text")
	}
	for _, r := range s {
		if !xmlChar(r) {
			return fmt.Errorf("must not contain the control character U+%04X", r)
		}
		if t == definitions.String && r > 0x7e {
			return errors.New("must be ASCII text")
		}
	}
	return nil
}

// xmlChar is the production Char of XML 1.0 (section 2.2).
func xmlChar(r rune) bool {
	switch {
	case r == '\t' || r == '\n' || r == '\r':
		return true
	case r < 0x20, r >= 0xd800 && r <= 0xdfff, r == 0xfffe, r == 0xffff:
		return false
	default:
		return r <= 0x10ffff
	}
}

func tooLong(limit int) error { return fmt.Errorf("must not be longer than %d bytes", limit) }

// Format converts a Go value of the attribute to its JSON form (int64, bool, string, any JSON for AnyType).
func (a *Attribute) Format(v any) any {
	switch x := v.(type) {
	case time.Time, []byte:
		return a.Text(x)
	default:
		return v
	}
}

// Text is the value as text, for events, patterns and comparison: RFC 3339 dates, base64 binaries, decimal integers,
// "true" and "false", JSON with sorted names.
func (a *Attribute) Text(v any) string { return text(a.Type, v) }

func text(t definitions.AttributeType, v any) string {
	if t == definitions.AnyType {
		data, err := json.Marshal(v)
		if err != nil {
			return ""
		}
		return string(data)
	}
	switch x := v.(type) {
	case string:
		return x
	case int64:
		return strconv.FormatInt(x, 10)
	case int:
		return strconv.Itoa(x)
	case bool:
		return strconv.FormatBool(x)
	case float64:
		return strconv.FormatFloat(x, 'g', -1, 64)
	case []byte:
		return base64.StdEncoding.EncodeToString(x)
	case time.Time:
		if t == definitions.Date {
			return x.UTC().Format(dateLayout)
		}
		return x.UTC().Format(time.RFC3339Nano)
	default:
		return fmt.Sprint(v)
	}
}

// Key is the normal form of a value under which two values count as the same (Unique, searches): case folded and
// spaces squeezed unless CaseSensitive.
func (a *Attribute) Key(v any) string {
	s := a.Text(v)
	if a.CaseSensitive || (a.Type != definitions.String && a.Type != definitions.UnicodeString) {
		return s
	}
	return foldKey(s)
}

// foldKey follows the string preparation of RFC 4518 as far as it matters for names: compatibility normal form, case
// folding, insignificant spaces.
func foldKey(s string) string {
	ascii := true
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			ascii = false
			break
		}
	}
	if ascii {
		s = strings.ToLower(s)
	} else {
		s = norm.NFKC.String(cases.Fold().String(norm.NFKC.String(s)))
	}
	return strings.Join(strings.Fields(s), " ")
}

// Equal reports whether two value lists of the attribute are the same set. Values that differ in case only differ.
func (a *Attribute) Equal(x, y []any) bool {
	if len(x) == len(y) {
		same := true
		for i := range x {
			if !equalValue(a.Type, x[i], y[i]) {
				same = false
				break
			}
		}
		if same {
			return true
		}
	}
	if len(x) <= 1 && len(y) <= 1 {
		return false
	}
	xs, ys := a.texts(x), a.texts(y)
	if len(xs) != len(ys) {
		return false
	}
	for s := range xs {
		if !ys[s] {
			return false
		}
	}
	return true
}

func (a *Attribute) texts(values []any) map[string]bool {
	set := make(map[string]bool, len(values))
	for _, v := range values {
		set[a.Text(v)] = true
	}
	return set
}

func equalValue(t definitions.AttributeType, x, y any) bool {
	switch v := x.(type) {
	case string:
		if w, ok := y.(string); ok {
			return v == w
		}
	case int64:
		if w, ok := y.(int64); ok {
			return v == w
		}
	case bool:
		if w, ok := y.(bool); ok {
			return v == w
		}
	case time.Time:
		if w, ok := y.(time.Time); ok {
			return v.Equal(w)
		}
	case []byte:
		if w, ok := y.([]byte); ok {
			return bytes.Equal(v, w)
		}
	}
	return text(t, x) == text(t, y)
}

// sortedKeys are the keys of a map in order.
func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
