package mapping

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"clacks/definitions"
)

func typed(t definitions.AttributeType) *Attribute {
	return &Attribute{Attribute: &definitions.Attribute{Name: "x", Type: t}}
}

func day(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }

func TestParse(t *testing.T) {
	moment := time.Date(2024, 2, 29, 12, 30, 15, 123456000, time.UTC)
	for _, c := range []struct {
		kind definitions.AttributeType
		in   any
		want any // nil: refused
	}{
		{definitions.String, "abc", "abc"},
		{definitions.String, "", ""},
		{definitions.String, "tab\tand\nline", "tab\tand\nline"},
		{definitions.String, "ä", nil},
		{definitions.String, "nul\x00", nil},
		{definitions.String, "bell\a", nil},
		{definitions.String, "del\x7f", nil},
		{definitions.String, 5.0, nil},
		{definitions.String, nil, nil},
		{definitions.String, []any{"a"}, nil},
		{definitions.UnicodeString, "äöü 漢字 🎉", "äöü 漢字 🎉"},
		{definitions.UnicodeString, "\xff", nil},
		{definitions.UnicodeString, "\x01", nil},
		{definitions.UnicodeString, "\uffff", nil},
		{definitions.UnicodeString, strings.Repeat("a", MaxText), strings.Repeat("a", MaxText)},
		{definitions.UnicodeString, strings.Repeat("a", MaxText+1), nil},
		{definitions.Integer, json.Number("42"), int64(42)},
		{definitions.Integer, 42.0, int64(42)},
		{definitions.Integer, "42", int64(42)},
		{definitions.Integer, 42, int64(42)},
		{definitions.Integer, int64(math.MinInt64), int64(math.MinInt64)},
		{definitions.Integer, json.Number("9223372036854775807"), int64(math.MaxInt64)},
		{definitions.Integer, json.Number("9223372036854775808"), nil},
		{definitions.Integer, 1.5, nil},
		{definitions.Integer, math.Inf(1), nil},
		{definitions.Integer, math.NaN(), nil},
		{definitions.Integer, float64(1 << 60), nil},
		{definitions.Integer, "0x10", nil},
		{definitions.Integer, "", nil},
		{definitions.Integer, true, nil},
		{definitions.Boolean, true, true},
		{definitions.Boolean, "false", false},
		{definitions.Boolean, "yes", nil},
		{definitions.Boolean, 1.0, nil},
		{definitions.Binary, "/9g=", []byte{0xff, 0xd8}},
		{definitions.Binary, []byte{1}, []byte{1}},
		{definitions.Binary, "/9g", nil},
		{definitions.Binary, "!", nil},
		{definitions.Binary, strings.Repeat("AAAA", MaxBinary/3+1), nil},
		{definitions.Date, "2024-02-29", day(2024, 2, 29)},
		{definitions.Date, "2024-02-29T23:59:59-05:00", day(2024, 3, 1)},
		{definitions.Date, "2023-02-29", nil},
		{definitions.Date, "0000-01-01", nil},
		{definitions.Date, "29.02.2024", nil},
		{definitions.Timestamp, "2024-02-29T13:30:15.123456789+01:00", moment},
		{definitions.Timestamp, moment.In(time.FixedZone("x", 3600)), moment},
		{definitions.Timestamp, "2024-02-29", nil},
		{definitions.Timestamp, "2024-02-29 12:00:00Z", nil},
		{definitions.Timestamp, 1.0, nil},
		{definitions.AnyType, map[string]any{"b": 1.0, "a": []any{true}}, map[string]any{"b": json.Number("1"), "a": []any{true}}},
		{definitions.AnyType, "text", "text"},
		{definitions.AnyType, nil, nil},
		{definitions.AnyType, strings.Repeat("x", MaxJSON), nil},
		{definitions.AnyType, deep(MaxDepth + 1), nil},
		{definitions.AclSet, "x", nil},
	} {
		got, err := typed(c.kind).Parse(c.in)
		if c.want == nil {
			if err == nil {
				t.Errorf("%s: %.40v was accepted as %.40v", c.kind, c.in, got)
			} else if s, ok := c.in.(string); ok && len(s) > 3 && strings.Contains(err.Error(), s) {
				t.Errorf("%s: the error repeats the value: %v", c.kind, err)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: Parse(%.40v) = %.40v, %v; want %.40v", c.kind, c.in, got, err, c.want)
		}
	}
}

// deep is a JSON value nested so deep.
func deep(n int) any {
	var v any = "x"
	for range n {
		v = []any{v}
	}
	return v
}

func TestTextAndFormat(t *testing.T) {
	moment := time.Date(2024, 2, 29, 12, 30, 15, 120000000, time.UTC)
	for _, c := range []struct {
		kind   definitions.AttributeType
		in     any
		text   string
		format any
	}{
		{definitions.String, "a", "a", "a"},
		{definitions.Integer, int64(-5), "-5", int64(-5)},
		{definitions.Boolean, true, "true", true},
		{definitions.Binary, []byte{0xff, 0xd8}, "/9g=", "/9g="},
		{definitions.Date, day(2024, 2, 29), "2024-02-29", "2024-02-29"},
		{definitions.Timestamp, moment, "2024-02-29T12:30:15.12Z", "2024-02-29T12:30:15.12Z"},
		{definitions.AnyType, map[string]any{"b": json.Number("1"), "a": nil}, `{"a":null,"b":1}`, map[string]any{"b": json.Number("1"), "a": nil}},
	} {
		a := typed(c.kind)
		if got := a.Text(c.in); got != c.text {
			t.Errorf("%s: Text = %q, want %q", c.kind, got, c.text)
		}
		if got := a.Format(c.in); !reflect.DeepEqual(got, c.format) {
			t.Errorf("%s: Format = %v, want %v", c.kind, got, c.format)
		}
	}
}

func TestKey(t *testing.T) {
	a := typed(definitions.UnicodeString)
	for x, y := range map[string]string{"  Ada  LOVELACE ": "ada lovelace", "STRASSE": "straße", "ﬁn": "FIN", "É": "é"} {
		if a.Key(x) != a.Key(y) {
			t.Errorf("%q and %q have the keys %q and %q", x, y, a.Key(x), a.Key(y))
		}
	}
	a.CaseSensitive = true
	if a.Key("A  b") != "A  b" {
		t.Errorf("case sensitive: %q", a.Key("A  b"))
	}
	if typed(definitions.Integer).Key(int64(7)) != "7" {
		t.Error("the key of a number is its text")
	}
}

func TestEqual(t *testing.T) {
	a := typed(definitions.String)
	for _, c := range []struct {
		x, y []any
		want bool
	}{
		{nil, nil, true}, {nil, list(), true}, {list("a"), nil, false}, {list("a"), list("a"), true}, {list("a"), list("A"), false},
		{list("a", "b"), list("b", "a"), true}, {list("a", "b"), list("a", "c"), false}, {list("a", "a"), list("a"), true},
		{list("a", "b"), list("a"), false},
	} {
		if got := a.Equal(c.x, c.y); got != c.want {
			t.Errorf("Equal(%v, %v) = %v", c.x, c.y, got)
		}
	}
	if !typed(definitions.Timestamp).Equal(list(day(2024, 1, 1)), list(day(2024, 1, 1).In(time.FixedZone("x", 60)))) {
		t.Error("the same moment in another zone differs")
	}
	if !typed(definitions.AnyType).Equal(list(map[string]any{"a": "b"}), list(map[string]any{"a": "b"})) {
		t.Error("equal JSON differs")
	}
	if typed(definitions.Binary).Equal(list([]byte{1}), list([]byte{2})) {
		t.Error("different octets are equal")
	}
}

func TestGeneralizedTime(t *testing.T) {
	utc := func(h, m, s, ns int) time.Time { return time.Date(2024, 2, 29, h, m, s, ns, time.UTC) }
	for in, want := range map[string]time.Time{
		"20240229123015Z":               utc(12, 30, 15, 0),
		"202402291230Z":                 utc(12, 30, 0, 0),
		"2024022912Z":                   utc(12, 0, 0, 0),
		"20240229123015.5Z":             utc(12, 30, 15, 500000000),
		"20240229123015,25Z":            utc(12, 30, 15, 250000000),
		"202402291230.5Z":               utc(12, 30, 30, 0),
		"2024022912.25Z":                utc(12, 15, 0, 0),
		"20240229123015.1234567890123Z": utc(12, 30, 15, 123456789),
		"20240229123015+0130":           utc(11, 0, 15, 0),
		"20240229123015-05":             utc(17, 30, 15, 0),
		"20240229123060Z":               utc(12, 31, 0, 0),
	} {
		if got, ok := parseGeneralizedTime(in); !ok || !got.Equal(want) {
			t.Errorf("%s: %v %v, want %v", in, got, ok, want)
		}
	}
	for _, in := range []string{"", "2024", "20240229", "20240229123015", "20230229120000Z", "20241301120000Z", "2024022924Z",
		"20240229126000Z", "20240229123015.Z", "20240229123015ZZ", "20240229123015+1", "20240229123015+2400", "2024022912301Z",
		"202402291230155Z", "20240229123015+01:00", "-0240229123015Z"} {
		if got, ok := parseGeneralizedTime(in); ok {
			t.Errorf("%q was accepted as %v", in, got)
		}
	}
}

func TestConversions(t *testing.T) {
	for _, c := range []struct {
		name    string
		kind    definitions.AttributeType
		stored  definitions.AttributeType
		value   any
		backend any
	}{
		{"date as days", definitions.Date, definitions.Integer, day(2006, 1, 2), int64(13150)},
		{"date before 1970 as days", definitions.Date, definitions.Integer, day(1969, 12, 31), int64(-1)},
		{"timestamp as seconds", definitions.Timestamp, definitions.Integer, time.Unix(1700000000, 0).UTC(), int64(1700000000)},
		{"timestamp as text", definitions.Timestamp, definitions.String, time.Unix(1700000000, 0).UTC(), "2023-11-14T22:13:20Z"},
		{"boolean as text", definitions.Boolean, definitions.String, true, "true"},
		{"boolean as integer", definitions.Boolean, definitions.Integer, true, int64(1)},
		{"integer as text", definitions.Integer, definitions.String, int64(5), "5"},
		{"text as integer", definitions.String, definitions.Integer, "5", int64(5)},
		{"binary as text", definitions.Binary, definitions.String, []byte{0xff}, "/w=="},
		{"text as binary", definitions.UnicodeString, definitions.Binary, "ä", []byte("ä")},
		{"JSON", definitions.AnyType, definitions.AnyType, map[string]any{"a": json.Number("1")}, `{"a":1}`},
		{"JSON as binary", definitions.AnyType, definitions.Binary, list("a"), []byte(`["a"]`)},
	} {
		got, err := toBackend(c.kind, c.stored, c.value)
		if err != nil || !reflect.DeepEqual(got, c.backend) {
			t.Errorf("%s: out %v, %v; want %v", c.name, got, err, c.backend)
		}
		back, err := fromBackend(c.kind, c.stored, c.backend)
		if err != nil || !reflect.DeepEqual(back, c.value) {
			t.Errorf("%s: in %v, %v; want %v", c.name, back, err, c.value)
		}
	}
}

func TestFromBackendText(t *testing.T) {
	for _, c := range []struct {
		kind, stored definitions.AttributeType
		in           any
		want         any // nil: refused
	}{
		{definitions.Boolean, "", "TRUE", true},
		{definitions.Boolean, "", "FALSE", false},
		{definitions.Boolean, "", int64(1), true},
		{definitions.Boolean, "", int64(2), nil},
		{definitions.Boolean, "", "", nil},
		{definitions.Integer, "", "007", int64(7)},
		{definitions.Integer, "", 7.0, int64(7)},
		{definitions.Integer, "", 7.5, nil},
		{definitions.Integer, "", 1e30, nil},
		{definitions.Date, definitions.Integer, "13150", day(2006, 1, 2)},
		{definitions.Date, definitions.Date, "13150", nil},
		{definitions.Date, definitions.Date, "20060102000000Z", day(2006, 1, 2)},
		{definitions.Date, definitions.Date, "2006-01-02", day(2006, 1, 2)},
		{definitions.Timestamp, definitions.Timestamp, "2006-01-02 03:04:05", time.Date(2006, 1, 2, 3, 4, 5, 0, time.UTC)},
		{definitions.Timestamp, definitions.Timestamp, "99990101000000.5-2359", time.Date(9999, 1, 1, 23, 59, 0, 500000000, time.UTC)},
		{definitions.Timestamp, definitions.Integer, int64(math.MaxInt64), nil},
		{definitions.Date, definitions.Integer, int64(math.MaxInt64), nil},
		{definitions.Binary, definitions.Binary, "\x00\xff", []byte{0, 0xff}},
		{definitions.Binary, definitions.String, "no base64", nil},
		{definitions.UnicodeString, "", []byte("ä"), "ä"},
		{definitions.UnicodeString, "", int64(5), "5"},
		{definitions.AnyType, "", `{"a":`, nil},
		{definitions.AnyType, "", `1 2`, nil},
		{definitions.AnyType, "", `{"a":1.50}`, map[string]any{"a": json.Number("1.50")}},
	} {
		got, err := fromBackend(c.kind, c.stored, c.in)
		if c.want == nil {
			if err == nil {
				t.Errorf("%s: %v was accepted as %v", c.kind, c.in, got)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v -> %v, %v; want %v", c.kind, c.in, got, err, c.want)
		}
	}
}

// FuzzParse: what Parse accepts survives its own forms: text, JSON, backend.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{`"a"`, `5`, `1.5`, `true`, `"/9g="`, `"2024-02-29"`, `"2024-02-29T00:00:00Z"`, `{"a":[1e3,null]}`, `"\u0000"`, `[[]]`,
		`"9999-12-31T23:59:59.9999999Z"`, `"0001-01-01T00:00:00+23:59"`, `1e400`, `"2024-02-29T24:00:00Z"`} {
		for kind := range byte(8) {
			f.Add(kind, []byte(seed))
		}
	}
	types := []definitions.AttributeType{definitions.String, definitions.UnicodeString, definitions.Integer, definitions.Boolean,
		definitions.Binary, definitions.Date, definitions.Timestamp, definitions.AnyType}
	f.Fuzz(func(t *testing.T, kind byte, data []byte) {
		a := typed(types[int(kind)%len(types)])
		decoder := json.NewDecoder(bytes.NewReader(data))
		decoder.UseNumber()
		var v any
		if decoder.Decode(&v) != nil {
			return
		}
		value, err := a.Parse(v)
		if err != nil {
			if value != nil {
				t.Fatalf("a refused value is returned: %v", value)
			}
			return
		}
		if err := valid(a.Type, value); err != nil {
			t.Fatalf("Parse accepted what is not valid: %v", err)
		}
		again, err := a.Parse(a.Format(value))
		if err != nil || !a.Equal(list(value), list(again)) || a.Key(value) != a.Key(again) {
			t.Fatalf("%v formats as %v, which parses as %v, %v", value, a.Format(value), again, err)
		}
		stored, err := toBackend(a.Type, backendType(a.Attribute), value)
		if err != nil {
			t.Fatal(err)
		}
		back, err := fromBackend(a.Type, backendType(a.Attribute), stored)
		if err != nil || !a.Equal(list(value), list(back)) {
			t.Fatalf("%v is stored as %v, which reads as %v, %v", value, stored, back, err)
		}
	})
}
