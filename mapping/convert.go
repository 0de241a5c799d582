package mapping

import (
	"encoding/base64"
	"errors"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"clacks/definitions"
)

// daySeconds are the seconds of a day, the unit of a Date that is stored as an Integer (shadowLastChange).
const daySeconds = 24 * 60 * 60

// backendType is the type in which an attribute's values are stored.
func backendType(a *definitions.Attribute) definitions.AttributeType {
	if a.BackendType != "" {
		return a.BackendType
	}
	return a.Type
}

// fromBackend converts a backend's value, or an atom that a query yielded, to an attribute's Go type. stored says as
// what it is stored: it decides what an integer means for a Date (days) and a Timestamp (seconds since 1970). The error
// is a sentence without the value.
func fromBackend(t, stored definitions.AttributeType, v any) (any, error) {
	switch t {
	case definitions.String, definitions.UnicodeString:
		return fromText(v, stored)
	case definitions.Integer:
		return fromInteger(v)
	case definitions.Boolean:
		return fromBoolean(v)
	case definitions.Binary:
		return fromBinary(v, stored)
	case definitions.Date, definitions.Timestamp:
		return fromTime(t, stored, v)
	case definitions.AnyType:
		return fromJSON(v)
	default:
		return nil, errors.New("the type " + string(t) + " is not available")
	}
}

func fromText(v any, stored definitions.AttributeType) (any, error) {
	var s string
	switch x := v.(type) {
	case string:
		s = x
	case []byte:
		// Drivers whose schema says nothing better yield octets for text.
		s = string(x)
	case *big.Rat:
		s = decimal(x)
	default:
		s = text(stored, v)
	}
	if !utf8.ValidString(s) {
		return nil, errors.New("is not UTF-8 text")
	}
	return s, nil
}

// decimal writes a rational number as XQuery does: without a fraction when it is an integer.
func decimal(r *big.Rat) string {
	if r.IsInt() {
		return r.Num().String()
	}
	return strings.TrimRight(r.FloatString(18), "0")
}

func fromInteger(v any) (any, error) {
	switch x := v.(type) {
	case int64:
		return x, nil
	case int:
		return int64(x), nil
	case string:
		n, err := strconv.ParseInt(strings.TrimSpace(x), 10, 64)
		if err == nil {
			return n, nil
		}
	case float64:
		if x == math.Trunc(x) && math.Abs(x) < 1<<63 {
			return int64(x), nil
		}
	case *big.Rat:
		if x.IsInt() && x.Num().IsInt64() {
			return x.Num().Int64(), nil
		}
	case bool:
		if x {
			return int64(1), nil
		}
		return int64(0), nil
	case time.Time:
		return x.Unix(), nil
	}
	return nil, errors.New("is not an integer of 64 bits")
}

func fromBoolean(v any) (any, error) {
	switch x := v.(type) {
	case bool:
		return x, nil
	case int64:
		if x == 0 || x == 1 {
			return x == 1, nil
		}
	case string:
		switch strings.ToLower(strings.TrimSpace(x)) {
		case "true", "1":
			return true, nil
		case "false", "0":
			return false, nil
		}
	}
	return nil, errors.New("is not a boolean")
}

func fromBinary(v any, stored definitions.AttributeType) (any, error) {
	switch x := v.(type) {
	case []byte:
		return x, nil
	case string:
		if stored != definitions.String && stored != definitions.UnicodeString {
			return []byte(x), nil
		}
		if data, err := base64.StdEncoding.DecodeString(x); err == nil {
			return data, nil
		}
	}
	return nil, errors.New("is not binary")
}

func fromTime(t, stored definitions.AttributeType, v any) (any, error) {
	switch x := v.(type) {
	case time.Time:
		return normalTime(t, x), nil
	case int64:
		if t == definitions.Date {
			if x > math.MaxInt32 || x < math.MinInt32 {
				return nil, errors.New("is not a date")
			}
			x *= daySeconds
		}
		at := time.Unix(x, 0).UTC()
		if valid(t, at) == nil {
			return at, nil
		}
	case string:
		if at, ok := parseStoredTime(strings.TrimSpace(x)); ok && valid(t, at) == nil {
			return normalTime(t, at), nil
		}
		if stored != definitions.Integer {
			break
		}
		if n, err := strconv.ParseInt(x, 10, 64); err == nil {
			return fromTime(t, stored, n)
		}
	}
	return nil, errors.New("is not a time")
}

// storedLayouts are the texts in which stores without a type for it, and XQuery, write dates and times.
var storedLayouts = []string{
	time.RFC3339Nano, dateLayout, "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999-07",
	"2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999", "2006-01-02Z07:00",
}

func parseStoredTime(s string) (time.Time, bool) {
	if at, ok := parseGeneralizedTime(s); ok {
		return at, true
	}
	for _, layout := range storedLayouts {
		if at, err := time.Parse(layout, s); err == nil {
			return at, true
		}
	}
	return time.Time{}, false
}

func fromJSON(v any) (any, error) {
	switch x := v.(type) {
	case string:
		return decodeJSON([]byte(x))
	case []byte:
		return decodeJSON(x)
	case *big.Rat:
		return decodeJSON([]byte(decimal(x)))
	default:
		return parseJSON(v)
	}
}

// toBackend converts an attribute's Go value to what is stored. The error is a sentence without the value.
func toBackend(t, stored definitions.AttributeType, v any) (any, error) {
	if err := valid(t, v); err != nil {
		return nil, err
	}
	if t == definitions.AnyType {
		s := text(t, v)
		if stored == definitions.Binary {
			return []byte(s), nil
		}
		return s, nil
	}
	if stored == t {
		return v, nil
	}
	switch stored {
	case definitions.String, definitions.UnicodeString, definitions.AnyType:
		return text(t, v), nil
	case definitions.Integer:
		if x, ok := v.(time.Time); ok && t == definitions.Date {
			return x.Unix() / daySeconds, nil
		}
		return fromInteger(v)
	case definitions.Boolean:
		return fromBoolean(v)
	case definitions.Binary:
		if s, ok := v.(string); ok {
			return []byte(s), nil
		}
		return []byte(text(t, v)), nil
	case definitions.Date, definitions.Timestamp:
		return fromTime(stored, t, v)
	default:
		return nil, errors.New("cannot be stored as " + string(stored))
	}
}
