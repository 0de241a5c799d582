package wire_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"clacks"
	"clacks/bus"
	"clacks/bus/wire"
)

// decode decodes a value that takes all of b.
func decode(t testing.TB, b []byte) (any, error) {
	t.Helper()
	r := wire.NewReader(b)
	v := r.Value()
	if err := r.Err(); err != nil {
		return nil, err
	}
	if rest := r.Rest(); len(rest) > 0 {
		t.Errorf("%x: %d bytes are left", b, len(rest))
	}
	return v, nil
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Every constructor of AMQP 1.0, 1.6, in its own form.
func TestDecodeEveryForm(t *testing.T) {
	for form, want := range map[string]any{
		"40": nil, "41": true, "42": false, "56 01": true, "56 00": false,
		"50 ff": uint8(255), "60 0102": uint16(0x102), "70 01020304": uint32(0x1020304), "52 07": uint32(7), "43": uint32(0),
		"80 0102030405060708": uint64(0x102030405060708), "53 08": uint64(8), "44": uint64(0),
		"51 ff": int8(-1), "61 fffe": int16(-2), "71 fffffffd": int32(-3), "54 fc": int32(-4),
		"81 fffffffffffffffb": int64(-5), "55 fa": int64(-6),
		"72 3fc00000": float32(1.5), "82 bff8000000000000": -1.5,
		"74 01020304": wire.Decimal32{1, 2, 3, 4}, "84 0102030405060708": wire.Decimal64{1, 2, 3, 4, 5, 6, 7, 8},
		"94 000102030405060708090a0b0c0d0e0f": wire.Decimal128{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
		"73 0001f600":                         wire.Char('😀'),
		"83 00000000000003e9":                 time.UnixMilli(1001).UTC(),
		"98 000102030405060708090a0b0c0d0e0f": bus.UUID{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
		"a0 02 0102":                          []byte{1, 2}, "b0 00000001 09": []byte{9},
		"a1 03 c3bc61": "üa", "b1 00000001 62": "b", "a3 01 63": bus.Symbol("c"), "b3 00000001 64": bus.Symbol("d"),
		"45": []any(nil), "c0 03 02 41 42": []any{true, false}, "d0 00000005 00000001 43": []any{uint32(0)},
		"c1 04 02 a1 00 40":                   wire.Map{{Key: "", Value: nil}},
		"d1 00000006 00000002 43 41":          wire.Map{{Key: uint32(0), Value: true}},
		"e0 04 02 50 01 02":                   wire.Array{Code: 0x50, Items: []any{uint8(1), uint8(2)}},
		"f0 00000008 00000001 70 00000003":    nil, // the size is wrong
		"f0 00000009 00000001 70 00000003":    wire.Array{Code: 0x70, Items: []any{uint32(3)}},
		"e0 03 03 41":                         nil,
		"e0 02 03 41":                         wire.Array{Code: 0x41, Items: []any{true, true, true}},
		"e0 06 01 00 53 11 a1 00":             wire.Array{Descriptor: uint64(17), Code: 0xa1, Items: []any{""}},
		"e0 06 01 00 53 11 a1 01":             nil,
		"e0 06 01 00 53 11 50 07":             wire.Array{Descriptor: uint64(17), Code: 0x50, Items: []any{uint8(7)}},
		"00 53 24 45":                         wire.Described{Descriptor: uint64(0x24), Value: []any(nil)},
		"00 a3 01 78 00 44 a0 00":             wire.Described{Descriptor: bus.Symbol("x"), Value: wire.Described{Descriptor: uint64(0), Value: []byte{}}},
		"c1 0a 04 a1 01 61 41 a1 01 61 42":    nil, // a key twice
		"c1 05 03 a1 01 61 41":                nil, // an odd number
		"e0 0a 02 e0 03 01 50 01 03 01 50 02": wire.Array{Code: 0xe0, Items: []any{wire.Array{Code: 0x50, Items: []any{uint8(1)}}, wire.Array{Code: 0x50, Items: []any{uint8(2)}}}},
		"e0 09 02 c0 02 01 41 03 02 41 42":    wire.Array{Code: 0xc0, Items: []any{[]any{true}, []any{true, false}}},
		"56 02":                               nil, "73 00110000": nil, "73 0000d800": nil, "a1 01 ff": nil, "a3 01 80": nil, "57": nil, "f1": nil, "": nil,
		"a0 05 01": nil, "b0 ffffffff 01": nil, "d0 ffffffff ffffffff 41": nil, "f0 00000005 ffffffff 40": nil, "c0 00": nil, "c0 00 00": nil,
	} {
		got, err := decode(t, unhex(t, form))
		if want == nil && form != "40" {
			var condition *bus.Condition
			if !errors.As(err, &condition) || condition.Name != bus.DecodeError {
				t.Errorf("%s gives %#v and %v", form, got, err)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s gives %#v and %v, want %#v", form, got, err, want)
		}
	}
}

// values are of every type, in forms of every width.
func values() []any {
	long := strings.Repeat("x", 300)
	return []any{
		nil, true, false, uint8(1), uint16(2), uint32(0), uint32(3), uint32(256), uint64(0), uint64(4), uint64(256), int8(-1),
		int16(-2), int32(-3), int32(-300), int64(-4), int64(-300), int64(math.MinInt64), float32(0.5), 0.25, "s", long, bus.Symbol("y"),
		bus.Symbol(long), []byte{1}, []byte(long), time.UnixMilli(1_700_000_000_123).UTC(), time.UnixMilli(-1).UTC(), bus.UUID{1},
		wire.Char('ß'), wire.Decimal32{1}, wire.Decimal64{2}, wire.Decimal128{3}, []any(nil), []any{true, "x", []any{nil}},
		[]any{long}, wire.Map{}, wire.Map{{"k", []byte{1}}, {bus.Symbol("k"), long}}, wire.Described{uint64(5), "v"},
		wire.Described{bus.Symbol("d"), wire.Map{{uint64(1), nil}}},
		wire.Array{Code: 0xa1, Items: []any{"a", "b"}}, wire.Array{Code: 0xb1, Items: []any{"a", long}},
		wire.Array{Code: 0xa3, Items: []any{}}, wire.Array{Code: 0xb0, Items: []any{[]byte("x")}},
		wire.Array{Code: 0x70, Items: []any{uint32(0), uint32(1), uint32(1000)}}, wire.Array{Code: 0x80, Items: []any{uint64(0), uint64(1000)}},
		wire.Array{Code: 0x52, Items: []any{uint32(0), uint32(9)}}, wire.Array{Code: 0x53, Items: []any{uint64(0), uint64(9)}},
		wire.Array{Code: 0x71, Items: []any{int32(1), int32(1000)}}, wire.Array{Code: 0x81, Items: []any{int64(1), int64(-1000)}},
		wire.Array{Code: 0x56, Items: []any{true, false}}, wire.Array{Code: 0x41, Items: []any{true, true}},
		wire.Array{Code: 0x40, Items: []any{nil, nil}}, wire.Array{Code: 0x98, Items: []any{bus.UUID{7}}},
		wire.Array{Descriptor: uint64(3), Code: 0x83, Items: []any{time.UnixMilli(5).UTC()}},
		wire.Array{Code: 0xc0, Items: []any{[]any{true}, []any{"x"}}}, wire.Array{Code: 0xd0, Items: []any{[]any{true}, []any{long}}},
		wire.Array{Code: 0xd1, Items: []any{wire.Map{{"a", true}}}},
		wire.Array{Code: 0xf0, Items: []any{wire.Array{Code: 0x50, Items: []any{uint8(1)}}}},
	}
}

func TestValuesComeBack(t *testing.T) {
	for _, v := range values() {
		b, err := wire.AppendValue([]byte("before"), v)
		if err != nil {
			t.Errorf("%#v: %v", v, err)
			continue
		}
		got, err := decode(t, b[len("before"):])
		if err != nil || !reflect.DeepEqual(got, v) {
			t.Errorf("%#v became %#v (%x), %v", v, got, b[6:], err)
		}
	}
}

// An empty list of an array has no constructor of its own.
func TestEmptyListsInArrays(t *testing.T) {
	for _, code := range []byte{0xc0, 0xd0} {
		b, err := wire.AppendValue(nil, wire.Array{Code: code, Items: []any{[]any{}, []any{true}}})
		if err != nil {
			t.Fatal(err)
		}
		got, err := decode(t, b)
		if err != nil || len(got.(wire.Array).Items) != 2 || len(got.(wire.Array).Items[0].([]any)) != 0 {
			t.Errorf("%x: %#v, %v", code, got, err)
		}
	}
}

func TestValuesWithoutAForm(t *testing.T) {
	deep := any(nil)
	for range wire.MaxDepth + 1 {
		deep = []any{deep}
	}
	for _, v := range []any{
		struct{}{}, []any{make(chan int)}, map[int]int{}, deep, wire.Array{Code: 0x50, Items: []any{"x"}},
		wire.Array{Code: 0xa1, Items: []any{strings.Repeat("x", 256)}}, wire.Array{Code: 0x52, Items: []any{uint32(256)}},
		wire.Array{Code: 0x41, Items: []any{false}}, wire.Array{Code: 0xc0, Items: []any{[]any{strings.Repeat("x", 256)}}},
	} {
		b, err := wire.AppendValue([]byte{1}, v)
		if !clacks.IsKind(err, clacks.Invalid) || !bytes.Equal(b, []byte{1}) {
			t.Errorf("%T: %x, %v", v, b, err)
		}
	}
}

// allocates is how many bytes f allocates.
func allocates(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// A few bytes must not become a lot of memory.
func TestClaimsCostNothing(t *testing.T) {
	deep := bytes.Repeat([]byte{0xc0, 0xff, 1}, 200)
	described := bytes.Repeat([]byte{0}, 1<<16)
	nulls := []byte{0xf0, 0, 0, 0, 5, 0x7f, 0xff, 0xff, 0xff, 0x40}
	lists := append([]byte{0xd0, 0, 1, 0, 4, 0, 1, 0, 0}, bytes.Repeat([]byte{0x45}, 1<<16)...)
	for _, b := range [][]byte{deep, described, nulls, lists} {
		allocated := allocates(func() {
			r := wire.NewReader(b)
			if r.Value(); r.Err() == nil {
				t.Errorf("%x was decoded", b[:4])
			}
		})
		if allocated > 8<<20 {
			t.Errorf("%d bytes that begin with %x allocate %d", len(b), b[:4], allocated)
		}
	}
}

// performatives have every field set, and none.
func performatives() []wire.Performative {
	symbols := []bus.Symbol{"a", "b"}
	properties := map[string]any{"p": "v"}
	condition := &bus.Condition{Name: "amqp:x", Description: "why", Info: map[string]any{"i": uint32(1)}}
	modified := bus.Disposition{Outcome: bus.ModifiedOutcome, Modified: bus.Modified{Failed: true, Elsewhere: true, Annotations: properties}}
	source := &wire.Source{
		Address: "s", Durable: 2, Expiry: "never", Timeout: 300, Dynamic: true, DistributionMode: "copy",
		Filters: []bus.Filter{{Name: "n", Descriptor: "d", Value: "v"}, {Name: "m", Code: 0x0000468C00000005, Value: int64(1)}},
		Default: wire.OutcomeState(modified), Outcomes: symbols, Capabilities: []bus.Symbol{bus.Symbol(strings.Repeat("c", 300))},
	}
	target := &wire.Target{Address: "t", Durable: 1, Expiry: "link-detach", Timeout: 1, Dynamic: true, Capabilities: symbols}
	rejected := wire.OutcomeState(bus.Disposition{Outcome: bus.Rejected, Condition: condition})
	return []wire.Performative{
		&wire.Open{ContainerID: "c", Hostname: "h", MaxFrameSize: 1000, ChannelMax: 7, IdleTimeout: 5, Offered: symbols, Desired: symbols, Properties: properties},
		&wire.Open{MaxFrameSize: math.MaxUint32, ChannelMax: 65535}, &wire.Open{},
		&wire.Begin{RemoteChannel: wire.Some(3), NextOutgoingID: 1, IncomingWindow: 2, OutgoingWindow: 3, HandleMax: 4, Offered: symbols, Desired: symbols, Properties: properties},
		&wire.Begin{HandleMax: math.MaxUint32},
		&wire.Attach{Name: "n", Handle: 1, Receiver: true, SenderSettleMode: 1, ReceiverSettleMode: 1, Source: source, Target: target,
			InitialDeliveryCount: wire.Some(9), MaxMessageSize: 1 << 40, Offered: symbols, Desired: symbols, Properties: properties},
		&wire.Attach{SenderSettleMode: wire.SenderMixed, Coordinator: true},
		&wire.Attach{SenderSettleMode: wire.SenderMixed, Source: &wire.Source{}, Target: &wire.Target{}},
		&wire.Flow{NextIncomingID: wire.Some(0), IncomingWindow: 1, NextOutgoingID: 2, OutgoingWindow: 3, Handle: wire.Some(4),
			DeliveryCount: wire.Some(5), LinkCredit: wire.Some(6), Available: wire.Some(7), Drain: true, Echo: true},
		&wire.Flow{},
		&wire.Transfer{Handle: 1, DeliveryID: wire.Some(0), Tag: []byte{}, Format: wire.Some(0), Settled: true, More: true,
			State: wire.OutcomeState(bus.Disposition{Outcome: bus.Released}), Aborted: true},
		&wire.Transfer{State: wire.State{Kind: wire.Received}},
		&wire.Disposition{Receiver: true, First: 1, Last: wire.Some(2), Settled: true, State: rejected},
		&wire.Disposition{State: wire.OutcomeState(bus.Disposition{})},
		&wire.Disposition{State: wire.OutcomeState(modified)},
		&wire.Detach{Handle: 1, Closed: true, Error: condition}, &wire.Detach{}, &wire.End{Error: condition}, &wire.End{},
		&wire.Close{Error: condition}, &wire.Close{},
	}
}

func saslFrames() []wire.Performative {
	return []wire.Performative{
		&wire.Mechanisms{Names: []bus.Symbol{"PLAIN", "EXTERNAL"}}, &wire.Init{Mechanism: "PLAIN", Response: []byte("x"), Hostname: "h"},
		&wire.Init{Mechanism: "EXTERNAL"}, &wire.Challenge{Challenge: []byte("c")}, &wire.Response{Response: []byte("r")},
		&wire.Outcome{Code: 1}, &wire.Outcome{Additional: []byte("a")},
	}
}

func TestPerformativesComeBack(t *testing.T) {
	var parser wire.Parser
	check := func(kind uint8, p wire.Performative) {
		frame := wire.AppendFrame(nil, kind, 5, p)
		h, err := wire.ParseHeader(frame)
		if err != nil || int(h.Size) != len(frame) || h.Channel != 5 || h.Type != kind {
			t.Fatalf("%T: %+v, %v", p, h, err)
		}
		got, payload, err := parser.Parse(kind, frame[h.Offset:])
		if err != nil || len(payload) != 0 || !reflect.DeepEqual(got, p) {
			t.Errorf("%#v became %#v, %v", p, got, err)
		}
	}
	for _, p := range performatives() {
		check(wire.FrameAMQP, p)
	}
	for _, p := range saslFrames() {
		check(wire.FrameSASL, p)
	}
}

// A performative may be named by its symbol, with lists of every width.
func TestSymbolicDescriptor(t *testing.T) {
	b := append([]byte{0, 0xa3, byte(len("amqp:detach:list"))}, "amqp:detach:list"...)
	b = append(b, 0xd0, 0, 0, 0, 6, 0, 0, 0, 2, 0x43, 0x41)
	var parser wire.Parser
	p, _, err := parser.Parse(wire.FrameAMQP, b)
	if err != nil || !reflect.DeepEqual(p, &wire.Detach{Closed: true}) {
		t.Errorf("%#v, %v", p, err)
	}
}

func TestBadFrames(t *testing.T) {
	var parser wire.Parser
	for name, s := range map[string]string{
		"empty": "", "no descriptor": "45", "unknown": "00 53 99 45", "unknown name": "00 a3 01 78 45", "no list": "00 53 18 40",
		"a missing field": "00 53 16 45", "a wrong type": "00 53 16 c0 03 01 a1 00", "too many fields": "00 53 17 c0 03 02 40 40",
		"a payload": "00 53 17 45 40", "no settle mode": "00 53 12 c0 09 04 a1 01 6e 43 41 50 03",
		"a long tag":   "00 53 14 c0 26 03 43 43 a0 21" + strings.Repeat("00", 33),
		"a state":      "00 53 15 c0 09 05 41 43 40 41 00 53 99 45",
		"SASL in AMQP": "00 53 41 c0 04 01 a3 01 78",
	} {
		p, _, err := parser.Parse(wire.FrameAMQP, unhex(t, s))
		var condition *bus.Condition
		if !errors.As(err, &condition) || condition.Name != bus.DecodeError {
			t.Errorf("%s: %#v, %v", name, p, err)
		}
	}
	for _, s := range []string{"00000007 02 00 0000", "00000008 01 00 0000", "00000008 03 00 0000"} {
		if _, err := wire.ParseHeader(unhex(t, s)); err == nil {
			t.Errorf("the header %s was taken", s)
		}
	}
}

// An error must not leave parts of the reader's buffer in what is kept.
func TestConditionsAreCopies(t *testing.T) {
	frame := wire.AppendFrame(nil, wire.FrameAMQP, 0, &wire.Close{Error: &bus.Condition{Name: "x", Info: map[string]any{"b": []byte("kept")}}})
	var parser wire.Parser
	p, _, err := parser.Parse(wire.FrameAMQP, frame[wire.HeaderSize:])
	if err != nil {
		t.Fatal(err)
	}
	clear(frame)
	if got := p.(*wire.Close).Error.Info["b"]; !reflect.DeepEqual(got, []byte("kept")) {
		t.Errorf("%q", got)
	}
}

func TestCompactForms(t *testing.T) {
	for _, c := range []struct {
		p    wire.Performative
		want string
	}{
		{&wire.Close{}, "005318 45"},
		{&wire.Detach{Handle: 1, Closed: true}, "005316 c0 04 02 52 01 41"},
		{&wire.Transfer{Handle: 0, DeliveryID: wire.Some(1), Tag: []byte{1}, Format: wire.Some(0)}, "005314 c0 08 04 43 5201 a00101 43"},
	} {
		if got := c.p.Append(nil); !bytes.Equal(got, unhex(t, c.want)) {
			t.Errorf("%#v: %x", c.p, got)
		}
	}
}
