package rpc

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
)

// The names by which the legacy dialect marks a scalar that JSON has no type for.
const (
	classTimestamp = "datetime.datetime"
	classDate      = "datetime.date"
	classBinary    = "json.Binary"
)

// tagged is a scalar in the legacy dialect.
type tagged struct {
	Class  string `json:"__jsonclass__"`
	Object string `json:"object"`
}

// Timestamp is a moment in the call's dialect: RFC 3339 in UTC, or datetime.datetime.
func (c *Call) Timestamp(t time.Time) any {
	if c.Legacy {
		return tagged{classTimestamp, t.UTC().Format(time.DateTime)}
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// Date is a day in the call's dialect: RFC 3339's full-date, or datetime.date.
func (c *Call) Date(t time.Time) any {
	if c.Legacy {
		return tagged{classDate, t.UTC().Format(time.DateOnly)}
	}
	return t.UTC().Format(time.DateOnly)
}

// Binary is a string of bytes in the call's dialect: base64, or json.Binary.
func (c *Call) Binary(b []byte) any {
	encoded := base64.StdEncoding.EncodeToString(b)
	if c.Legacy {
		return tagged{classBinary, encoded}
	}
	return encoded
}

// plainScalars rewrites the legacy dialect's scalars in a valid JSON text as the strings that JSON-RPC 2.0 clients send, so
// that commands know one form only.
func plainScalars(raw json.RawMessage) json.RawMessage {
	if !bytes.Contains(raw, []byte(`__jsonclass__`)) {
		return raw
	}
	var v any
	if err := decodeStrictly(raw, &v); err != nil {
		return raw
	}
	plain, err := encode(plainScalar(v))
	if err != nil {
		return raw
	}
	return plain
}

func plainScalar(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = plainScalar(v[i])
		}
	case map[string]any:
		class, _ := v["__jsonclass__"].(string)
		object, isText := v["object"].(string)
		if isText && len(v) == 2 {
			if s, ok := scalarText(class, object); ok {
				return s
			}
		}
		for name := range v {
			v[name] = plainScalar(v[name])
		}
	}
	return v
}

// scalarText is the plain form of a scalar. A date that cannot be read stays as it is: the command's own check will name
// the attribute.
func scalarText(class, object string) (string, bool) {
	switch class {
	case classTimestamp:
		for _, layout := range []string{time.DateTime, "2006-01-02T15:04:05", time.RFC3339} {
			if t, err := time.Parse(layout, object); err == nil { // fractions of a second are read as well
				return t.UTC().Format(time.RFC3339Nano), true
			}
		}
		return object, true
	case classDate:
		day, _, _ := strings.Cut(object, " ")
		return day, true
	case classBinary:
		return object, true
	}
	return "", false
}
