package ldap

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"clacks"
	"clacks/backends"
	"clacks/internal/dn"
)

// generalizedTime is the form in which times are written (RFC 4517, section 3.3.13); a fraction only where there is one.
const generalizedTime = "20060102150405.999999999Z"

// encode is a value as the directory wants it (RFC 4517). The error names no value: it may be a secret.
func encode(attribute string, value backends.Value) (string, error) {
	switch v := value.(type) {
	case string:
		return v, nil
	case []byte:
		return string(v), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case bool:
		if v {
			return "TRUE", nil
		}
		return "FALSE", nil
	case time.Time:
		return v.UTC().Format(generalizedTime), nil
	case float64:
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			return strconv.FormatFloat(v, 'f', -1, 64), nil
		}
	}
	return "", &clacks.Error{Op: "ldap.encode", Kind: clacks.Invalid, Reason: "a value cannot be written to the directory",
		Fields: []clacks.Field{{Attribute: attribute, Code: clacks.CodeType, Reason: "its type does not exist there"}}}
}

// encodeAll encodes the values of one attribute.
func encodeAll(attribute string, values []backends.Value) ([]string, error) {
	encoded := make([]string, len(values))
	for i, value := range values {
		var err error
		if encoded[i], err = encode(attribute, value); err != nil {
			return nil, err
		}
	}
	return encoded, nil
}

// decode is value i of an attribute in the Go type of its syntax. What does not have that syntax stays text.
func decode(as form, a *attribute, i int) backends.Value {
	if as == binary {
		return a.bytes(i)
	}
	value := a.text(i)
	switch as {
	case integer:
		if number, err := strconv.ParseInt(value, 10, 64); err == nil {
			return number
		}
	case boolean:
		if value == "TRUE" || value == "FALSE" {
			return value == "TRUE"
		}
	case timestamp:
		if at, ok := parseTime(value); ok {
			return at
		}
	}
	return value
}

// timeLayouts are the forms of GeneralizedTime: minutes and seconds may be missing, an offset may take the place of Z.
// Go accepts a fraction after the seconds of each.
var timeLayouts = []string{"20060102150405Z0700", "200601021504Z0700", "2006010215Z0700"}

func parseTime(value string) (time.Time, bool) {
	value = strings.Replace(value, ",", ".", 1)
	for _, layout := range timeLayouts {
		if at, err := time.Parse(layout, value); err == nil {
			return at.UTC(), true
		}
	}
	return time.Time{}, false
}

// entry converts what the server sent. want are the names asked for; other attributes are left out, since a server also
// sends subtypes of what it is asked for.
func (b *Backend) entry(r *result, want []string, s *schema) *backends.Entry {
	entry := &backends.Entry{Ref: backends.Ref{DN: r.name}, Values: make(backends.Values, len(r.attributes))}
	all := slices.Contains(want, "*")
	asked := s.descriptions(want)
	space := make([]backends.Value, 0, r.values) // of all values in one piece
	for i := range r.attributes {
		a := &r.attributes[i]
		ours := false
		if len(a.values) == 1 {
			switch {
			case strings.EqualFold(a.name, versionAttribute):
				entry.Version, ours = a.text(0), true
			case strings.EqualFold(a.name, b.options.UUIDAttribute):
				entry.UUID, ours = a.text(0), true
			}
		}
		got := s.description(a.name)
		found := false
		for j := range asked {
			if s.same(&asked[j], &got) {
				space = place(entry.Values, want[j], a, &got, space)
				found = true
			}
		}
		if all && !found && !ours {
			space = place(entry.Values, a.name, a, &got, space)
		}
	}
	return entry
}

// place stores the values of an attribute under a name.
func place(values backends.Values, name string, a *attribute, d *description, space []backends.Value) []backends.Value {
	if _, twice := values[name]; twice || len(a.values) == 0 {
		return space
	}
	as := text
	if d.known != nil {
		as = d.known.form
	}
	if strings.HasSuffix(a.name, ";binary") {
		as = binary
	}
	start := len(space)
	for i := range a.values {
		space = append(space, decode(as, a, i))
	}
	// Full slices: what a caller appends to one attribute must not land in the next.
	values[name] = space[start:len(space):len(space)]
	return space
}

// attributes are the names to ask the server for: what the caller wants and what the driver needs. "*" stands for all user
// attributes (RFC 4511, section 4.5.1.8): those are not named besides, since each name costs both sides.
func (b *Backend) attributes(op string, want []string, s *schema) ([]string, error) {
	names := make([]string, 0, len(want)+2)
	all := slices.Contains(want, "*")
	for _, name := range want {
		if name == "*" {
			names = append(names, name)
			continue
		}
		if !isAttribute(name) {
			return nil, badAttribute(op, name)
		}
		if all {
			if known := s.attribute(name); known != nil && !known.operational {
				continue
			}
		}
		names = append(names, name)
	}
	return append(names, b.options.UUIDAttribute, versionAttribute), nil
}

// isAttribute reports whether a string is an attribute description (RFC 4512, section 2.5): a name or an OID, and
// options. What is not must never get into a request.
func isAttribute(description string) bool {
	if description == "" || len(description) > 256 {
		return false
	}
	for i := range len(description) {
		c := description[i]
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (i == 0 || c != '-' && c != ';') && (c < '0' || c > '9') && (i == 0 || c != '.') {
			return false
		}
	}
	return description[len(description)-1] != ';' && !strings.Contains(description, ";;")
}

func badAttribute(op, name string) error {
	return &clacks.Error{Op: op, Kind: clacks.Invalid, Reason: "this is not the name of an attribute",
		Fields: []clacks.Field{{Attribute: name, Code: clacks.CodeUnknown, Reason: "it is not the name of an attribute"}}}
}

// key is a value in the normal form of its attribute's equality rule, under which two values are the same (RFC 4517,
// section 4.2). Rules that are not listed compare bytes.
func (s *schema) key(attribute, value string) string {
	known := s.attribute(attribute)
	if known == nil {
		return value
	}
	switch known.equality {
	case "caseignorematch", "caseignoreia5match", "caseignorelistmatch":
		return strings.Join(strings.Fields(strings.ToLower(value)), " ")
	case "caseexactmatch", "caseexactia5match":
		return strings.Join(strings.Fields(value), " ")
	case "objectidentifiermatch", "booleanmatch", "uuidmatch":
		return strings.ToLower(value)
	case "numericstringmatch":
		return strings.ReplaceAll(value, " ", "")
	case "telephonenumbermatch":
		return strings.NewReplacer(" ", "", "-", "").Replace(strings.ToLower(value))
	case "distinguishednamematch", "uniquemembermatch":
		if key, err := dn.Key(value); err == nil {
			return key
		}
	case "integermatch":
		if number, err := strconv.ParseInt(value, 10, 64); err == nil {
			return strconv.FormatInt(number, 10)
		}
	case "generalizedtimematch":
		if at, ok := parseTime(value); ok {
			return at.Format(generalizedTime)
		}
	}
	return value
}
