package directory

import (
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"clacks/backends"
	"clacks/internal/dn"
)

// rule is the syntax of an attribute's values and how they compare (RFC 4517). It is immutable.
type rule struct {
	// valid reports whether a value has the syntax; reason says what it should be.
	valid  func(value string) bool
	reason string
	// key is the normal form under which two values are equal. Values are always kept apart by it; only where
	// comparable is true may a filter ask for equality.
	key        func(value string) string
	comparable bool
	assertion  func(value string) bool // what may be asked for; nil for valid
	substrings bool
	ordered    bool // by number or time
	// read is a stored value in its Go type; nil for string.
	read func(value string) backends.Value
}

var rules = map[string]*rule{
	"directory": {valid: isDirectory, reason: "it is empty or not UTF-8", key: dn.FoldValue, comparable: true, substrings: true},
	"exact":     {valid: isDirectory, reason: "it is empty or not UTF-8", key: dn.SqueezeSpaces, comparable: true},
	"whole":     {valid: isDirectory, reason: "it is empty or not UTF-8", key: dn.FoldValue, comparable: true},
	"postal":    {valid: utf8.ValidString, reason: "it is not UTF-8", key: postalKey, comparable: true, substrings: true},
	"printable": {valid: isPrintable, reason: "it holds other than letters, digits and '()+,-./:? ", key: dn.FoldValue, comparable: true, assertion: isDirectory, substrings: true},
	"country":   {valid: isCountry, reason: "it is not a code of two letters", key: dn.FoldValue, comparable: true, assertion: isDirectory, substrings: true},
	"telephone": {valid: isPrintable, reason: "it holds other than letters, digits and '()+,-./:? ", key: telephoneKey, comparable: true, substrings: true},
	"numeric":   {valid: isNumeric, reason: "it holds other than digits and spaces", key: numericKey, comparable: true, substrings: true},
	"ia5":       {valid: isASCII, reason: "it holds other than ASCII characters", key: ia5Key, comparable: true, substrings: true},
	"ia5exact":  {valid: isASCII, reason: "it holds other than ASCII characters", key: ia5ExactKey, comparable: true, substrings: true},
	"ia5whole":  {valid: isASCII, reason: "it holds other than ASCII characters", key: ia5Key, comparable: true},
	"path":      {valid: isASCII, reason: "it holds other than ASCII characters", key: ia5ExactKey, comparable: true},
	"oid":       {valid: validDescription, reason: "it is not the name of a class", key: strings.ToLower, comparable: true},
	"integer":   {valid: isInteger, reason: "it is not an integer", key: same, comparable: true, read: readInteger},
	"ordered":   {valid: isInteger, reason: "it is not an integer", key: same, comparable: true, ordered: true, read: readInteger},
	"boolean":   {valid: isBoolean, reason: "it is neither TRUE nor FALSE", key: same, comparable: true, read: readBoolean},
	"time":      {valid: isTime, reason: "it is not a time", key: timeKey, comparable: true, ordered: true, read: readTime},
	"name":      {valid: isName, reason: "it is not a distinguished name", key: nameKey, comparable: true},
	"octets":    {valid: isAny, key: same, comparable: true, read: readBytes},
	"bytes":     {valid: isAny, key: same, read: readBytes},
	"facsimile": {valid: isPrintables, reason: "it holds other than letters, digits and '()+,-./:? ", key: same},
	"text":      {valid: isDirectory, reason: "it is empty or not UTF-8", key: same},
}

// mayAsk reports whether a filter may ask for a value: each matching rule has a syntax of its own for that.
func (r *rule) mayAsk(value string) bool {
	if r.assertion != nil {
		return r.assertion(value)
	}
	return r.valid(value)
}

func same(value string) string { return value }

func isAny(string) bool { return true }

func isDirectory(value string) bool { return value != "" && utf8.ValidString(value) }

func isASCII(value string) bool {
	for i := range len(value) {
		if value[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func isPrintable(value string) bool {
	for i := range len(value) {
		c := value[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && strings.IndexByte("'()+,-./:? =", c) < 0 {
			return false
		}
	}
	return value != ""
}

// isPrintables is a list of printable strings with dollar signs between.
func isPrintables(value string) bool {
	for part := range strings.SplitSeq(value, "$") {
		if !isPrintable(part) {
			return false
		}
	}
	return true
}

func isCountry(value string) bool { return len(value) == 2 && isPrintable(value) }

func isNumeric(value string) bool {
	return value != "" && strings.Trim(value, "0123456789 ") == ""
}

// isInteger wants the one decimal form that RFC 4517 allows, as far as an int64 goes.
func isInteger(value string) bool {
	n, err := strconv.ParseInt(value, 10, 64)
	return err == nil && strconv.FormatInt(n, 10) == value
}

func isBoolean(value string) bool { return value == "TRUE" || value == "FALSE" }

func isName(value string) bool {
	return dn.Validate(value) == nil && (value == "" || strings.Trim(value, " ") != "")
}

func isTime(value string) bool {
	_, ok := parseTime(value)
	return ok
}

func postalKey(value string) string {
	lines := strings.Split(value, "$")
	for i, line := range lines {
		lines[i] = dn.FoldValue(line)
	}
	return strings.Join(lines, "$")
}

// ia5Key and ia5ExactKey: an empty value equals one of spaces.
func ia5Key(value string) string { return ia5ExactKey(strings.ToLower(value)) }

func ia5ExactKey(value string) string {
	if value == "" {
		return " "
	}
	return dn.SqueezeSpaces(value)
}

// telephoneKey keeps the case of letters, as OpenLDAP does.
func telephoneKey(value string) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || r == '-' {
			return -1
		}
		return r
	}, value)
}

func numericKey(value string) string { return strings.ReplaceAll(value, " ", "") }

func nameKey(value string) string {
	key, err := dn.Key(value)
	if err != nil {
		return value
	}
	return key
}

func timeKey(value string) string {
	t, ok := parseTime(value)
	if !ok {
		return value
	}
	return t.Format(sortableTime)
}

func readInteger(value string) backends.Value {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return value
	}
	return n
}

func readBoolean(value string) backends.Value { return value == "TRUE" }

func readBytes(value string) backends.Value { return []byte(value) }

func readTime(value string) backends.Value {
	t, ok := parseTime(value)
	if !ok {
		return value
	}
	return t
}

const (
	generalizedTime = "20060102150405.999999999Z" // RFC 4517, section 3.3.13, in UTC
	sortableTime    = "20060102150405.000000000Z"
)

var timeForms = []string{"20060102150405Z0700", "200601021504Z0700", "2006010215Z0700"} // a fraction is accepted by Go

func parseTime(value string) (time.Time, bool) {
	value = strings.Replace(value, ",", ".", 1)
	for _, form := range timeForms {
		if t, err := time.Parse(form, value); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// encode is a Go value as it is stored; ok is false for a type that no attribute has.
func encode(v backends.Value) (value string, ok bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case []byte:
		return string(v), true
	case int64:
		return strconv.FormatInt(v, 10), true
	case bool:
		return strings.ToUpper(strconv.FormatBool(v)), true
	case time.Time:
		return v.UTC().Format(generalizedTime), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), !math.IsNaN(v) && !math.IsInf(v, 0)
	}
	return "", false
}

func (r *rule) decode(value string) backends.Value {
	if r.read == nil {
		return value
	}
	return r.read(value)
}

// atLeast compares two values of an ordered rule by number or time.
func (r *rule) atLeast(value, bound string) bool {
	if r.key("1") == "1" { // integers are their own keys
		a, errA := strconv.ParseInt(value, 10, 64)
		b, errB := strconv.ParseInt(bound, 10, 64)
		return errA == nil && errB == nil && a >= b
	}
	return r.key(value) >= r.key(bound)
}
