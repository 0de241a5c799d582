package sql

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"clacks"
	"clacks/backends"
)

// kind is a class of column types that are written, read and compared alike.
type kind uint8

const (
	kindText kind = iota
	kindInteger
	kindFloat
	kindBool
	kindTime  // a moment
	kindDate  // a day: midnight UTC in Go
	kindBytes // not text
	// kindOther is written and read as text, and the database knows the type: uuid, numeric, inet, enumerations, ...
	kindOther
	// kindIncomparable is kindOther without an equality in the database (json, xml, point): compared as text.
	kindIncomparable
)

// The form of moments in SQLite, which has no type for them: its own (date and time functions), in UTC.
const (
	liteTime = "2006-01-02 15:04:05.999999"
	liteDate = "2006-01-02"
)

// argument is v as a parameter for column c. The error's text does not hold the value.
func (b *Backend) argument(p place, v backends.Value) (any, error) {
	arg, err := convert(p.column, v)
	if err != nil {
		return nil, invalid(p.attribute, clacks.CodeType, err.Error())
	}
	switch a := arg.(type) {
	case string:
		if p.column.MaxLength > 0 && len(a) > p.column.MaxLength && utf8.RuneCountInString(a) > p.column.MaxLength {
			return nil, invalid(p.attribute, clacks.CodeType, fmt.Sprintf("it is longer than %d characters", p.column.MaxLength))
		}
		if b.postgres() && (strings.IndexByte(a, 0) >= 0 || !utf8.ValidString(a)) {
			return nil, invalid(p.attribute, clacks.CodeType, "the database holds no text with such bytes")
		}
	case time.Time:
		if b.postgres() {
			return a, nil
		}
		if p.column.kind == kindDate {
			return a.Format(liteDate), nil
		}
		return a.Format(liteTime), nil
	}
	return arg, nil
}

func convert(c *Column, v backends.Value) (any, error) {
	switch c.kind {
	case kindInteger:
		return toInteger(v, c.bits)
	case kindFloat:
		return toFloat(v)
	case kindBool:
		return toBool(v)
	case kindTime, kindDate:
		t, err := toTime(v)
		if err == nil && c.kind == kindDate {
			t = time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
		}
		return t, err
	case kindBytes:
		if raw, ok := v.([]byte); ok {
			return append([]byte{}, raw...), nil // a slice that is not nil, since nil would be NULL
		}
		text, err := toText(v)
		return []byte(text), err
	}
	return toText(v)
}

var errType = errors.New("a value of this type cannot be stored")

func toText(v backends.Value) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), nil
	case bool:
		return strconv.FormatBool(v), nil
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano), nil
	case []byte:
		return string(v), nil
	}
	return "", errType
}

func toInteger(v backends.Value, bits int) (int64, error) {
	var n int64
	switch v := v.(type) {
	case int64:
		n = v
	case float64:
		if v != math.Trunc(v) || math.Abs(v) >= 1<<63 {
			return 0, errors.New("it is not an integer")
		}
		n = int64(v)
	case bool:
		if v {
			n = 1
		}
	case string, []byte:
		text, _ := toText(v)
		parsed, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
		if err != nil {
			return 0, errors.New("it is not an integer")
		}
		n = parsed
	default:
		return 0, errType
	}
	if limit := int64(1) << (bits - 1); bits < 64 && (n < -limit || n >= limit) {
		return 0, errors.New("it is out of the column's range")
	}
	return n, nil
}

func toFloat(v backends.Value) (float64, error) {
	switch v := v.(type) {
	case float64:
		return v, nil
	case int64:
		return float64(v), nil
	case string, []byte:
		text, _ := toText(v)
		f, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		if err != nil {
			return 0, errors.New("it is not a number")
		}
		return f, nil
	}
	return 0, errType
}

func toBool(v backends.Value) (bool, error) {
	switch v := v.(type) {
	case bool:
		return v, nil
	case int64:
		if v == 0 || v == 1 {
			return v == 1, nil
		}
	case string, []byte:
		text, _ := toText(v)
		if parsed, err := strconv.ParseBool(strings.ToLower(strings.TrimSpace(text))); err == nil {
			return parsed, nil
		}
	default:
		return false, errType
	}
	return false, errors.New("it is neither true nor false")
}

// timeForms are what clients, LDAP (RFC 4517, section 3.3.13) and the databases write.
var timeForms = []string{
	time.RFC3339Nano, "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999Z07", "2006-01-02 15:04:05.999999999",
	"2006-01-02T15:04:05.999999999", "2006-01-02 15:04", "2006-01-02T15:04", liteDate, "20060102150405Z0700", "20060102150405.999999999Z0700",
}

func toTime(v backends.Value) (time.Time, error) {
	switch v := v.(type) {
	case time.Time:
		return v.UTC(), nil
	case string, []byte:
		text, _ := toText(v)
		text = strings.TrimSpace(text)
		for _, form := range timeForms {
			if t, err := time.Parse(form, text); err == nil {
				return t.UTC(), nil
			}
		}
		return time.Time{}, errors.New("it is not a date or time")
	}
	return time.Time{}, errType
}

// value is what column c holds, as a Value; nil for NULL. What does not fit the column's type (SQLite lets it be) comes
// as text.
func value(c *Column, raw any) backends.Value {
	if raw == nil {
		return nil
	}
	if c.kind == kindBytes {
		if text, ok := raw.(string); ok {
			return []byte(text)
		}
		return raw
	}
	if bytes, ok := raw.([]byte); ok {
		raw = string(bytes)
	}
	converted, err := convert(c, raw)
	if err == nil {
		return converted
	}
	if text, err := toText(raw); err == nil {
		return text
	}
	return fmt.Sprint(raw)
}

// fromJSON is a value of a child table as the JSON arrays of selectList carry it: text, bytes in hexadecimal.
func fromJSON(c *Column, text string) backends.Value {
	if c.kind == kindBytes {
		if raw, err := hex.DecodeString(text); err == nil {
			return raw
		}
	}
	return value(c, text)
}

// same is a form of a parameter under which equal ones are equal.
func same(arg any) string {
	switch a := arg.(type) {
	case time.Time:
		return a.Format(liteTime)
	case []byte:
		return string(a)
	case float64:
		return strconv.FormatFloat(a, 'g', -1, 64)
	}
	return fmt.Sprint(arg)
}
