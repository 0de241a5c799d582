package ldap

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	goldap "github.com/go-ldap/ldap/v3"

	"clacks"
	"clacks/backends"
)

// message builds an LDAP message with go-asn1-ber, an encoder other than ours.
func message(operation *ber.Packet, controls ...goldap.Control) []byte {
	packet := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "Message")
	packet.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, int64(7), "ID"))
	packet.AppendChild(operation)
	if len(controls) > 0 {
		list := ber.Encode(ber.ClassContext, ber.TypeConstructed, 0, nil, "Controls")
		for _, c := range controls {
			list.AppendChild(c.Encode())
		}
		packet.AppendChild(list)
	}
	return packet.Bytes()
}

func octets(value string) *ber.Packet {
	return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, value, "")
}

// searchEntry is a SearchResultEntry.
func searchEntry(name string, attributes ...[]string) *ber.Packet {
	entry := ber.Encode(ber.ClassApplication, ber.TypeConstructed, goldap.ApplicationSearchResultEntry, nil, "")
	entry.AppendChild(octets(name))
	list := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
	for _, attribute := range attributes {
		pair := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
		pair.AppendChild(octets(attribute[0]))
		set := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "")
		for _, value := range attribute[1:] {
			set.AppendChild(octets(value))
		}
		pair.AppendChild(set)
		list.AppendChild(pair)
	}
	entry.AppendChild(list)
	return entry
}

// addResponse is the answer to an addition that succeeded.
func addResponse() *ber.Packet {
	response := ber.Encode(ber.ClassApplication, ber.TypeConstructed, goldap.ApplicationAddResponse, nil, "")
	response.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, int64(0), ""))
	response.AppendChild(octets(""))
	response.AppendChild(octets(""))
	return response
}

func TestParseResult(t *testing.T) {
	large := strings.Repeat("x", wholeText+1)
	for _, value := range []string{"short", "", large} {
		read, err := readMessage(bufio.NewReader(bytes.NewReader(message(searchEntry("cn=a", []string{"cn", "a", value}, []string{"empty"})))))
		if err != nil {
			t.Fatal(err)
		}
		tag, body, _, ok := operation(read)
		if !ok || tag != tagEntry {
			t.Fatalf("tag %x, %v", tag, ok)
		}
		r, err := parseResult(body)
		if err != nil {
			t.Fatal(err)
		}
		if r.name != "cn=a" || r.values != 2 || !slices.Equal(r.attribute("cn"), []string{"a", value}) || len(r.attribute("empty")) != 0 {
			t.Fatalf("parsed %d values of %q: %v", r.values, r.name, r.attributes)
		}
		// The memory is the message's: what a caller appends to one value must not change the next.
		_ = append(r.attributes[0].bytes(0), "overwritten"...)
		if r.attributes[0].text(1) != value {
			t.Fatal("appending to a value changed another")
		}
	}
}

func TestMessagesFromTheWire(t *testing.T) {
	whole := message(searchEntry("cn=a", []string{"cn", "a"}))
	longForm := append([]byte{0x30, 0x84, 0, 0, 0, byte(len(whole) - 2)}, whole[2:]...) // as Active Directory writes it
	for _, good := range [][]byte{whole, longForm} {
		got, err := readMessage(bufio.NewReader(bytes.NewReader(append(slices.Clone(good), "rest"...))))
		if err != nil || !bytes.Equal(got, good) {
			t.Fatalf("read %x, %v", got, err)
		}
		if tag, _, _, ok := operation(got); !ok || tag != tagEntry {
			t.Fatalf("tag %x", tag)
		}
	}
	for what, bad := range map[string][]byte{
		"empty": {}, "not a sequence": []byte("HTTP/1.1 400"), "indefinite": {0x30, 0x80, 0, 0}, "too large": {0x30, 0x84, 0xff, 0xff, 0xff, 0xff},
		"cut": whole[:len(whole)-1], "cut in the length": {0x30, 0x82, 1}, "length of lengths": {0x30, 0x89, 1, 1, 1, 1, 1, 1, 1, 1, 1},
		"long and missing": {0x30, 0x84, 0x0f, 0xff, 0xff, 0xff, 1, 2, 3},
	} {
		if got, err := readMessage(bufio.NewReader(bytes.NewReader(bad))); err == nil {
			t.Errorf("%s: read %x", what, got)
		}
	}
}

func TestPostReadVersion(t *testing.T) {
	csn := "20261120044050.603216Z#000000#000#000000"
	reply := func(critical bool, attributes ...[]string) goldap.Control {
		c := newControl(postReadOID, searchEntry("cn=a", attributes...))
		if !critical {
			c.packet = ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
			c.packet.AppendChild(octets(postReadOID))
			c.packet.AppendChild(octets(string(searchEntry("cn=a", attributes...).Bytes())))
		}
		return c
	}
	for what, test := range map[string]struct {
		answer []byte
		want   string
	}{
		"without criticality":   {message(addResponse(), reply(false, []string{versionAttribute, csn})), csn},
		"with criticality":      {message(addResponse(), reply(true, []string{versionAttribute, csn})), csn},
		"after another control": {message(addResponse(), relax, reply(false, []string{versionAttribute, csn})), csn},
		"no control":            {message(addResponse()), ""},
		"another control":       {message(addResponse(), relax), ""},
		"no attribute":          {message(addResponse(), reply(false)), ""},
		"nothing":               {nil, ""},
	} {
		if got := postReadResult(test.answer).version(); got != test.want {
			t.Errorf("%s: %q, want %q", what, got, test.want)
		}
	}
}

// FuzzMessage feeds everything that a server could send into what parses it.
func FuzzMessage(f *testing.F) {
	f.Add(message(searchEntry("cn=a", []string{"cn", "a", "b"}, []string{"sn"})))
	f.Add(message(addResponse(), newControl(postReadOID, searchEntry("", []string{versionAttribute, "x"}))))
	f.Add([]byte{0x30, 0x84, 0, 0, 0, 3, 2, 1, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		postReadResult(data).version()
		read, err := readMessage(bufio.NewReader(bytes.NewReader(data)))
		if err != nil {
			return
		}
		if !bytes.HasPrefix(data, read) {
			t.Fatalf("read %x of %x", read, data)
		}
		tag, body, _, ok := operation(read)
		if !ok || tag != tagEntry {
			return
		}
		r, err := parseResult(body)
		if err != nil {
			return
		}
		total := 0
		for i := range r.attributes {
			a := &r.attributes[i]
			for j, text := range a.texts() {
				if text != string(a.bytes(j)) {
					t.Fatalf("text %q and bytes %q of one value", text, a.bytes(j))
				}
				total++
			}
		}
		if total != r.values {
			t.Fatalf("%d values counted, %d there", r.values, total)
		}
	})
}

const sampleSchema = `( 2.5.4.41 NAME 'name' EQUALITY caseIgnoreMatch SUBSTR caseIgnoreSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15{32768} )
( 2.5.4.3 NAME ( 'cn' 'commonName' ) DESC 'RFC4519: common name(s) ( for which the entity is known by )' SUP name )
( 1.3.6.1.1.1.1.0 NAME 'uidNumber' EQUALITY integerMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
( 0.9.2342.19200300.100.1.60 NAME 'jpegPhoto' SYNTAX 1.3.6.1.4.1.1466.115.121.1.28 )
( 1.3.6.1.1.16.4 NAME 'entryUUID' EQUALITY UUIDMatch SYNTAX 1.3.6.1.1.16.1 SINGLE-VALUE NO-USER-MODIFICATION USAGE directoryOperation )
( 2.5.18.1 NAME 'createTimestamp' EQUALITY generalizedTimeMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.24 NO-USER-MODIFICATION )
( 1.1 NAME 'circleA' SUP circleB )
( 1.2 NAME 'circleB' SUP circleA )
( 1.3 NAME 'flag' EQUALITY booleanMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.7 )
( 2.5.4.31 NAME 'member' EQUALITY distinguishedNameMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.12 )`

func sample() *schema { return newSchema(strings.Split(sampleSchema, "\n")) }

func TestSchema(t *testing.T) {
	s := sample()
	for name, expected := range map[string]struct {
		form     form
		equality string
	}{
		"cn": {text, "caseignorematch"}, "COMMONNAME": {text, "caseignorematch"}, "2.5.4.3": {text, "caseignorematch"}, "cn;lang-de": {text, "caseignorematch"},
		"uidnumber": {integer, "integermatch"}, "jpegPhoto": {binary, ""}, "createTimestamp": {timestamp, "generalizedtimematch"},
		"flag": {boolean, "booleanmatch"}, "circleA": {text, ""},
	} {
		got := s.attribute(name)
		if got == nil || got.form != expected.form || got.equality != expected.equality {
			t.Errorf("%s is %+v, want %+v", name, got, expected)
		}
	}
	if s.unknown.Load() {
		t.Error("an attribute is said to be unknown")
	}
	if s.attribute("nothing") != nil || !s.unknown.Load() {
		t.Error("an unknown attribute goes unnoticed")
	}
	if !s.operational("entryUUID") || s.operational("cn") {
		t.Error("operational attributes are not told apart")
	}
	if s.comparable("jpegPhoto") || !s.comparable("cn") || !s.comparable("nothing") {
		t.Error("comparable attributes are not told apart")
	}
	same := func(asked, got string) bool {
		d := s.description(got)
		return s.same(&s.descriptions([]string{asked})[0], &d)
	}
	for asked, got := range map[string]string{"CN": "cn", "commonName": "cn", "jpegPhoto": "jpegPhoto;binary", "cn;Lang-de": "cn;lang-DE"} {
		if !same(asked, got) {
			t.Errorf("%s is not found in %s", asked, got)
		}
	}
	for asked, got := range map[string]string{"name": "cn", "cn": "cn;lang-de", "cn;lang-de": "cn", "sn": "cn", "nothing": "unknown"} {
		if same(asked, got) {
			t.Errorf("%s is found in %s", asked, got)
		}
	}
}

func FuzzParseAttributeType(f *testing.F) {
	for line := range strings.Lines(sampleSchema) {
		f.Add(line)
	}
	f.Add("( 1 NAME (")
	f.Add("( 1 NAME")
	f.Add("( 1 SUP )")
	f.Fuzz(func(t *testing.T, description string) {
		if parsed, ok := parseAttributeType(description); ok && parsed.oid == "" {
			t.Skip() // the empty quoted string
		}
		newSchema([]string{description}).attribute("x")
	})
}

func TestEncode(t *testing.T) {
	berlin := time.FixedZone("", 3600)
	for _, test := range []struct {
		value backends.Value
		want  string
	}{
		{"text", "text"}, {[]byte{0, 255}, "\x00\xff"}, {int64(math.MinInt64), "-9223372036854775808"}, {true, "TRUE"}, {false, "FALSE"},
		{1e21, "1000000000000000000000"}, {0.25, "0.25"}, {time.Date(2026, 1, 2, 0, 30, 0, 0, berlin), "20260101233000Z"},
		{time.Date(2026, 1, 2, 3, 4, 5, 120_000_000, time.UTC), "20260102030405.12Z"},
	} {
		if got, err := encode("a", test.value); err != nil || got != test.want {
			t.Errorf("%v becomes %q, %v; want %q", test.value, got, err, test.want)
		}
	}
	for _, bad := range []backends.Value{nil, 1, math.NaN(), math.Inf(1), []string{"a"}, struct{}{}} {
		_, err := encode("secretAttribute", bad)
		if !clacks.IsKind(err, clacks.Invalid) || !strings.Contains(err.Error(), "secretAttribute") {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func TestDecode(t *testing.T) {
	for _, test := range []struct {
		form form
		text string
		want backends.Value
	}{
		{text, "TRUE", "TRUE"}, {boolean, "TRUE", true}, {boolean, "FALSE", false}, {boolean, "true", "true"},
		{integer, "-12", int64(-12)}, {integer, "123456789012345678901234567890", "123456789012345678901234567890"},
		{timestamp, "20260102030405Z", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
		{timestamp, "20260102030405.5Z", time.Date(2026, 1, 2, 3, 4, 5, 500_000_000, time.UTC)},
		{timestamp, "20260102030405,5+0130", time.Date(2026, 1, 2, 1, 34, 5, 500_000_000, time.UTC)},
		{timestamp, "2026010203Z", time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)}, {timestamp, "202601020304Z", time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)},
		{timestamp, "yesterday", "yesterday"}, {binary, "\x00\xff", []byte{0, 255}},
	} {
		body := cursor{data: []byte(test.text), end: len(test.text)}
		got := decode(test.form, &attribute{values: []cursor{body}, whole: test.text}, 0)
		if fmt.Sprintf("%T %v", got, got) != fmt.Sprintf("%T %v", test.want, test.want) {
			t.Errorf("%q becomes %T %v, want %T %v", test.text, got, got, test.want, test.want)
		}
	}
}

func TestKey(t *testing.T) {
	s := sample()
	for _, same := range [][3]string{
		{"cn", "Some  Name ", "some name"}, {"member", "CN=A , DC=b", "cn=a,dc=b"}, {"uidNumber", "007", "7"}, {"flag", "TRUE", "true"},
		{"createTimestamp", "20260102030405Z", "20260102040405+0100"},
	} {
		if s.key(same[0], same[1]) != s.key(same[0], same[2]) {
			t.Errorf("%s: %q and %q differ", same[0], same[1], same[2])
		}
	}
	for _, different := range [][3]string{{"jpegPhoto", "a", "A"}, {"cn", "a", "b"}, {"nothing", "a", "A"}, {"member", "cn=a", "cn=b"}, {"uidNumber", "7", "x"}} {
		if s.key(different[0], different[1]) == s.key(different[0], different[2]) {
			t.Errorf("%s: %q and %q are the same", different[0], different[1], different[2])
		}
	}
}

func TestIsAttribute(t *testing.T) {
	for _, good := range []string{"cn", "CN", "x-my-attr", "userCertificate;binary", "description;lang-de;x-other", "2.5.4.3", "a1"} {
		if !isAttribute(good) {
			t.Errorf("%q is refused", good)
		}
	}
	for _, bad := range []string{"", "*", "+", "1.1)", "cn=", "cn)(x", "cn;", "cn;;a", ";a", "-a", ".1", "c n", "cn\x00", "ä", "cn:=", "cn:dn:2.5.13.5:", strings.Repeat("a", 257)} {
		if isAttribute(bad) {
			t.Errorf("%q is accepted", bad)
		}
	}
}

// FuzzFilter checks that a value from outside stays a value: what the server gets is one comparison with exactly it.
func FuzzFilter(f *testing.F) {
	f.Add("cn", "plain")
	f.Add("cn", "*)(objectClass=*")
	f.Add("cn", "\x00\xff\\2a")
	f.Add("cn)(a", "x")
	f.Fuzz(func(t *testing.T, attribute, value string) {
		compiled, err := compile("test", &backends.Filter{Op: backends.Equal, Attribute: attribute, Value: value})
		if err != nil {
			if isAttribute(attribute) {
				t.Fatal(err)
			}
			return
		}
		packet, err := goldap.CompileFilter(compiled)
		if err != nil {
			t.Fatalf("%s: %v", compiled, err)
		}
		if packet.Tag != goldap.FilterEqualityMatch || len(packet.Children) != 2 ||
			packet.Children[0].Data.String() != attribute || packet.Children[1].Data.String() != value {
			t.Fatalf("%s = %q became %s", attribute, value, compiled)
		}
	})
}

func TestCompile(t *testing.T) {
	present := &backends.Filter{Op: backends.Present, Attribute: "cn"}
	for expected, filter := range map[string]*backends.Filter{
		anything:       nil,
		"(cn=*)":       present,
		"(cn=a\\2a*)":  {Op: backends.Prefix, Attribute: "cn", Value: "a*"},
		"(cn=*a\\28*)": {Op: backends.Contain, Attribute: "cn", Value: "a("},
		"(n>=5)":       {Op: backends.AtLeast, Attribute: "n", Value: int64(5)},
		"(&(cn=*)(!(|(cn=*)(f=TRUE))))": {Op: backends.And, Of: []*backends.Filter{present, {Op: backends.Not, Of: []*backends.Filter{
			{Op: backends.Or, Of: []*backends.Filter{present, {Op: backends.Equal, Attribute: "f", Value: true}}}}}}},
	} {
		if got, err := compile("test", filter); err != nil || got != expected {
			t.Errorf("%s, %v; want %s", got, err, expected)
		}
	}
	wide := &backends.Filter{Op: backends.Or}
	for range maxFilterSize {
		wide.Of = append(wide.Of, present)
	}
	if _, err := compile("test", wide); !clacks.IsKind(err, clacks.Limit) {
		t.Errorf("a filter of %d parts: %v", len(wide.Of)+1, err)
	}
	if _, err := compile("test", &backends.Filter{Op: backends.And, Of: []*backends.Filter{nil}}); !clacks.IsKind(err, clacks.Invalid) {
		t.Errorf("a missing part: %v", err)
	}
}

func TestFailed(t *testing.T) {
	ctx := context.Background()
	for code := range goldap.LDAPResultCodeMap {
		if code == goldap.LDAPResultSuccess || code >= goldap.ErrorNetwork {
			continue
		}
		// The server has answered, so nothing is in doubt.
		err := failed(ctx, "test", &goldap.Error{ResultCode: code, Err: errors.New("diagnosis")}, true)
		if kind := clacks.KindOf(err); kind == clacks.InDoubt || kind == clacks.Internal {
			t.Errorf("result code %d is %v", code, kind)
		}
	}
	for _, lost := range []error{errors.New("unable to read"), &goldap.Error{ResultCode: goldap.ErrorNetwork}, &goldap.Error{ResultCode: goldap.ErrorUnexpectedResponse}} {
		if err := failed(ctx, "test", lost, true); !clacks.IsKind(err, clacks.InDoubt) {
			t.Errorf("%v after the request was sent is %v", lost, err)
		}
		if err := failed(ctx, "test", lost, false); !clacks.IsKind(err, clacks.Unavailable) {
			t.Errorf("%v before the request was sent is %v", lost, err)
		}
	}
	for _, test := range []struct {
		code       uint16
		diagnostic string
		kind       clacks.Kind
		field      clacks.Field
	}{
		{21, "mail: value #0 invalid per syntax", clacks.Invalid, clacks.Field{Attribute: "mail", Code: clacks.CodeType}},
		{65, "object class 'inetOrgPerson' requires attribute 'sn'", clacks.Invalid, clacks.Field{Attribute: "sn", Code: clacks.CodeMandatory}},
		{65, "attribute 'gidNumber' not allowed", clacks.Invalid, clacks.Field{Attribute: "gidNumber", Code: clacks.CodeUnknown}},
		{17, "foo: attribute type undefined", clacks.Invalid, clacks.Field{Attribute: "foo", Code: clacks.CodeUnknown}},
		{19, "displayName: multiple values provided", clacks.Invalid, clacks.Field{Attribute: "displayName", Code: clacks.CodeSingle}},
		{19, "attribute 'displayName' cannot have multiple values", clacks.Invalid, clacks.Field{Attribute: "displayName", Code: clacks.CodeSingle}},
		{19, "entryUUID: no user modification allowed", clacks.Invalid, clacks.Field{Attribute: "entryUUID", Code: clacks.CodeReadOnly}},
		{18, "modify/delete: jpegPhoto: no equality matching rule", clacks.Invalid, clacks.Field{Attribute: "jpegPhoto", Code: clacks.CodeType}},
		{19, "some attributes not unique", clacks.NotUnique, clacks.Field{}},
		{20, "modify/add: mail: value #0 already exists", clacks.Conflict, clacks.Field{}},
		{53, "no global superior knowledge", clacks.Invalid, clacks.Field{}},
	} {
		err := failed(ctx, "test", &goldap.Error{ResultCode: test.code, Err: errors.New(test.diagnostic)}, true)
		var e *clacks.Error
		if !errors.As(err, &e) || e.Kind != test.kind {
			t.Errorf("%s: %v", test.diagnostic, err)
			continue
		}
		var got clacks.Field
		if len(e.Fields) > 0 {
			got = clacks.Field{Attribute: e.Fields[0].Attribute, Code: e.Fields[0].Code}
		}
		if got != test.field {
			t.Errorf("%s: field %+v, want %+v", test.diagnostic, got, test.field)
		}
	}
}
