package eventclient

import (
	"encoding"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"clacks/internal/nearest"
	"clacks/internal/xsd"
)

// format writes a Go value as a type of XML Schema (part 2, section 3) has it.
func format(value any, simple xsd.Simple) (string, error) {
	switch v := value.(type) {
	case string:
		return v, nil
	case []byte:
		if slices.Contains(kinds(simple), "hexBinary") {
			return strings.ToUpper(hex.EncodeToString(v)), nil
		}
		return base64.StdEncoding.EncodeToString(v), nil
	case time.Time:
		return formatTime(v, kinds(simple)), nil
	case encoding.TextMarshaler:
		text, err := v.MarshalText()
		return string(text), err
	case fmt.Stringer:
		return v.String(), nil
	}
	switch v := reflect.ValueOf(value); v.Kind() {
	case reflect.Bool:
		return strconv.FormatBool(v.Bool()), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(v.Int(), 10), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return strconv.FormatUint(v.Uint(), 10), nil
	case reflect.Float32, reflect.Float64:
		return formatFloat(v.Float(), v.Type().Bits(), kinds(simple))
	case reflect.String:
		return v.String(), nil
	}
	return "", fmt.Errorf("a %T is no value of an event", value)
}

// kinds are the built-in types that a value may have.
func kinds(simple xsd.Simple) []string {
	if simple.Type == "union" || simple.Type == "list" {
		return simple.Members
	}
	return []string{simple.Type}
}

// timeLayouts are the forms of the kinds of time; those of all others is dateTime's.
var timeLayouts = map[string]string{
	"dateTime": "2006-01-02T15:04:05.999999999Z", "date": "2006-01-02", "time": "15:04:05.999999999Z",
	"gYear": "2006", "gYearMonth": "2006-01", "gMonth": "--01", "gMonthDay": "--01-02", "gDay": "---02",
}

// formatTime writes a time in UTC; a date as the calendar of the time's own zone has it.
func formatTime(t time.Time, kinds []string) string {
	for _, kind := range kinds {
		switch layout, known := timeLayouts[kind]; {
		case !known:
		case kind == "dateTime" || kind == "time":
			return t.UTC().Format(layout)
		default:
			return t.Format(layout)
		}
	}
	return t.UTC().Format(timeLayouts["dateTime"])
}

func formatFloat(f float64, bits int, kinds []string) (string, error) {
	floating := slices.Contains(kinds, "double") || slices.Contains(kinds, "float")
	switch {
	case (math.IsNaN(f) || math.IsInf(f, 0)) && !floating:
		return "", fmt.Errorf("%v is no decimal number", f)
	case math.IsNaN(f):
		return "NaN", nil
	case math.IsInf(f, 1):
		return "INF", nil
	case math.IsInf(f, -1):
		return "-INF", nil
	case floating:
		return strconv.FormatFloat(f, 'E', -1, bits), nil
	}
	return strconv.FormatFloat(f, 'f', -1, bits), nil
}

// texts are the types whose values are equal when their text is, once white space is as the type wants it.
var texts = []string{"string", "normalizedString", "token", "NMTOKEN", "Name", "NCName", "language"}

// outside is the sentence about a text that is not one of the values that a type allows, or "".
func outside(text string, simple xsd.Simple) string {
	if len(simple.Values) == 0 || !slices.Contains(texts, simple.Type) {
		return ""
	}
	if simple.Type != "string" {
		text = strings.Join(strings.Fields(text), " ")
	}
	if slices.Contains(simple.Values, text) || simple.Facets["whiteSpace"] == "collapse" {
		return ""
	}
	reason := quoted(text) + " is not allowed"
	if hint := nearest.Hint(text, simple.Values); hint != "" {
		return reason + "; " + hint
	}
	const most = 20
	return reason + ", but: " + strings.Join(simple.Values[:min(len(simple.Values), most)], ", ")
}

// unwritable is the sentence about a text that holds what cannot stand in XML, or "".
func unwritable(text string) string {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			return "the text is not UTF-8"
		case r < ' ' && r != '\t' && r != '\n' && r != '\r', r == 0xFFFE, r == 0xFFFF:
			return fmt.Sprintf("the character U+%04X cannot stand in XML", r)
		}
		i += size
	}
	return ""
}

// isName reports whether a name can be written as that of an element or an attribute. Names with other letters than
// ASCII's have to be in the schema.
func isName(name string) bool {
	for i, r := range name {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_'
		if !letter && (i == 0 || (r < '0' || r > '9') && r != '-' && r != '.') {
			return false
		}
	}
	return name != "" && !strings.EqualFold(name[:min(len(name), 3)], "xml")
}

// clip bounds what is repeated of a name.
func clip(name string) string {
	const most = 60
	if len(name) <= most {
		return name
	}
	return strings.ToValidUTF8(name[:most], "") + "..."
}

func quoted(text string) string { return strconv.Quote(clip(text)) }
