package wire_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"clacks"
	"clacks/bus"
	"clacks/bus/wire"
)

func uint32p(v uint32) *uint32 { return &v }

// messages have bodies of every kind, and every property.
func messages() []*bus.Message {
	return []*bus.Message{
		{Body: []byte("data")},
		{Body: []byte("text"), Text: true},
		{Value: int64(3)},
		{Value: wire.Map{{Key: "k", Value: []any{true}}}},
		{
			Header:      bus.Header{Durable: true, Priority: 9, TTL: 1500 * time.Millisecond, DeliveryCount: 3, FirstAcquirer: true},
			Annotations: map[string]any{"x-opt": "v", "x-list": []any{uint8(1)}},
			Delivery:    map[string]any{"x-d": uint64(1)},
			Properties: bus.Properties{
				MessageID: "id", CorrelationID: bus.UUID{1}, UserID: []byte("ann"), To: "to", Subject: "s", ReplyTo: "r",
				ContentType: "application/json", Encoding: "gzip", Expiry: time.UnixMilli(1).UTC(), Created: time.UnixMilli(2).UTC(),
				GroupID: "g", GroupSequence: uint32p(0), ReplyToGroup: "rg",
			},
			Application: map[string]any{"s": "v", "n": nil, "b": true, "f": float32(1), "y": bus.Symbol("z"), "t": time.UnixMilli(3).UTC()},
			Body:        []byte(strings.Repeat("x", 1000)),
		},
		{Properties: bus.Properties{MessageID: uint64(7), CorrelationID: []byte("c")}, Body: []byte{}},
	}
}

func TestMessagesComeBack(t *testing.T) {
	for i, m := range messages() {
		b, err := wire.AppendMessage(nil, m)
		if err != nil {
			t.Fatal(i, err)
		}
		got, err := wire.DecodeMessage(b)
		if err != nil {
			t.Fatal(i, err)
		}
		bare, err := wire.AppendBare(nil, m)
		if err != nil || !bytes.Equal(got.Bare, bare) && m.Application == nil {
			t.Errorf("%d: the bare message is %x, not %x (%v)", i, got.Bare, bare, err)
		}
		again := *got
		again.Bare = nil
		if !reflect.DeepEqual(&again, m) {
			t.Errorf("%d: %+v became %+v", i, m, &again)
		}
	}
}

// Who passes a message on changes the header and the annotations; the bare message is passed on byte for byte, in whatever
// forms its sender chose, with its footer.
func TestBareMessagesArePassedOn(t *testing.T) {
	for _, bare := range []string{
		"00 53 75 b0 00000001 61", "00 80 0000000000000075 a0 01 61", "00 a3 10" + "616d71703a646174613a62696e617279" + "a0 01 61",
		"00 53 73 d0 00000007 00000001 a1 01 61 00 53 77 a1 01 61", "00 53 75 a0 01 61 00 53 75 a0 01 62",
		"00 53 76 c0 02 01 41 00 53 76 45", "00 53 77 40 00 53 78 c1 01 00", "",
	} {
		in := append(unhex(t, "00 53 70 c0 02 01 41 00 53 72 c1 07 02 a3 01 61 a1 01 62"), unhex(t, bare)...)
		m, err := wire.DecodeMessage(in)
		if err != nil {
			t.Errorf("%s: %v", bare, err)
			continue
		}
		again := *m
		again.Header.DeliveryCount = 1
		again.Annotations = map[string]any{"c": "d"}
		out, err := wire.AppendMessage(nil, &again)
		if err != nil || !bytes.HasSuffix(out, unhex(t, bare)) {
			t.Errorf("%s became %x, %v", bare, out, err)
		}
		read, err := wire.DecodeMessage(out)
		if err != nil || read.Header != again.Header || !reflect.DeepEqual(read.Annotations, again.Annotations) || !bytes.Equal(read.Body, m.Body) {
			t.Errorf("%s: %+v, %v", bare, read, err)
		}
	}
}

func TestBodies(t *testing.T) {
	for s, want := range map[string]*bus.Message{
		"00 53 77 a0 01 61":                         {Body: []byte("a")},
		"00 53 77 a1 01 61":                         {Body: []byte("a"), Text: true},
		"00 53 77 40":                               {},
		"00 53 75 a0 01 61 00 53 75 a0 02 6263":     {Body: []byte("abc")},
		"00 53 76 c0 02 01 41 00 53 76 c0 02 01 42": {Value: []any{true, false}},
		"00 53 73 c0 04 01 53 07":                   nil,
		"00 53 73 c0 03 01 53 07":                   {Properties: bus.Properties{MessageID: uint64(7)}},
		"00 53 73 c0 02 01 41":                      nil, // a boolean as message-id
		"00 53 74 c1 05 02 a1 01 61 45":             nil, // a list as an application property
		"00 53 74 c1 04 02 54 01 41":                nil, // a number as a key
		"00 53 72 c1 04 02 53 01 41":                {Annotations: map[string]any{}},
		"00 53 75 a0 00 00 53 73 45":                nil, // out of order
		"00 53 75 a0 00 00 53 77 40":                nil,
		"00 53 77 40 00 53 77 40":                   nil,
		"00 53 70 45 00 53 70 45":                   nil,
		"00 53 79 45":                               nil, "00 53 75 45": nil, "00 53 76 40": nil, "45": nil,
	} {
		m, err := wire.DecodeMessage(unhex(t, s))
		if want == nil {
			if err == nil {
				t.Errorf("%s was taken: %+v", s, m)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", s, err)
			continue
		}
		m.Bare = nil
		if !reflect.DeepEqual(m, want) {
			t.Errorf("%s gives %+v, want %+v", s, m, want)
		}
	}
}

func TestMessagesWithoutAForm(t *testing.T) {
	for _, m := range []*bus.Message{
		{Properties: bus.Properties{MessageID: 7}}, {Application: map[string]any{"x": []any{true}}}, {Application: map[string]any{"x": struct{}{}}},
		{Value: struct{}{}}, {Annotations: map[string]any{"x": make(chan int)}},
	} {
		if b, err := wire.AppendMessage([]byte{1}, m); !clacks.IsKind(err, clacks.Invalid) || len(b) != 1 {
			t.Errorf("%+v: %x, %v", m, b, err)
		}
	}
}

// A short time to live is not for ever, a long one not short.
func TestTimeToLive(t *testing.T) {
	for ttl, want := range map[time.Duration]time.Duration{
		0: 0, -1: 0, 1: time.Millisecond, time.Second: time.Second, 1000 * 24 * time.Hour: (1<<32 - 1) * time.Millisecond,
	} {
		b, err := wire.AppendMessage(nil, &bus.Message{Header: bus.Header{Durable: true, TTL: ttl}})
		if err != nil {
			t.Fatal(err)
		}
		if m, err := wire.DecodeMessage(b); err != nil || m.Header.TTL != want {
			t.Errorf("%v becomes %v, %v", ttl, m.Header.TTL, err)
		}
	}
}

// Many small sections of a body cost what their bytes cost.
func TestManyDataSections(t *testing.T) {
	b := bytes.Repeat(unhex(t, "00 53 75 a0 01 61"), 60_000)
	cost := allocates(func() {
		if m, err := wire.DecodeMessage(b); err != nil || len(m.Body) != 60_000 {
			t.Error(err)
		}
	})
	if cost > 1<<20 {
		t.Errorf("%d bytes allocate %d", len(b), cost)
	}
}
