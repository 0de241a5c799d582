package wire_test

import (
	"bytes"
	"reflect"
	"testing"

	"clacks/bus/wire"
)

// FuzzDecode: whatever is decoded, as a value or as a message, can be encoded, and is then decoded to the same.
func FuzzDecode(f *testing.F) {
	for _, v := range values() {
		b, err := wire.AppendValue(nil, v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, m := range messages() {
		b, err := wire.AppendMessage(nil, m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		fuzzValue(t, b)
		fuzzMessage(t, b)
	})
}

func fuzzValue(t *testing.T, b []byte) {
	r := wire.NewReader(b)
	v := r.Value()
	if r.Err() != nil {
		return
	}
	again, err := wire.AppendValue(nil, v)
	if err != nil {
		t.Fatalf("%#v cannot be encoded: %v", v, err)
	}
	r = wire.NewReader(again)
	if got := r.Value(); r.Err() != nil || !same(got, v) {
		t.Fatalf("%#v became %#v, %v", v, got, r.Err())
	}
}

// same is reflect.DeepEqual for values that may hold what is not equal to itself.
func same(a, b any) bool {
	if reflect.DeepEqual(a, b) {
		return true
	}
	x, err := wire.AppendValue(nil, a)
	y, err2 := wire.AppendValue(nil, b)
	return err == nil && err2 == nil && bytes.Equal(x, y)
}

func fuzzMessage(t *testing.T, b []byte) {
	m, err := wire.DecodeMessage(b)
	if err != nil {
		return
	}
	out, err := wire.AppendMessage(nil, m)
	if err != nil || !bytes.HasSuffix(out, m.Bare) {
		t.Fatalf("%+v cannot be passed on: %v", m, err)
	}
	own := *m
	own.Bare = nil
	if out, err = wire.AppendMessage(nil, &own); err != nil {
		t.Fatalf("%+v cannot be encoded: %v", m, err)
	}
	got, err := wire.DecodeMessage(out)
	if err != nil || !bytes.Equal(got.Body, m.Body) || got.Text != m.Text || !same(got.Value, m.Value) ||
		!reflect.DeepEqual(got.Properties, m.Properties) || got.Header != m.Header || len(got.Application) != len(m.Application) {
		t.Fatalf("%+v became %+v, %v", m, got, err)
	}
}

// FuzzFrame: whatever performative is decoded can be encoded, and is then decoded to the same.
func FuzzFrame(f *testing.F) {
	for _, p := range performatives() {
		f.Add(wire.AppendFrame(nil, wire.FrameAMQP, 0, p))
	}
	for _, p := range saslFrames() {
		f.Add(wire.AppendFrame(nil, wire.FrameSASL, 0, p))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < wire.HeaderSize {
			return
		}
		h, err := wire.ParseHeader(b)
		if err != nil || h.Offset > len(b) {
			return
		}
		var first, second wire.Parser
		p, payload, err := first.Parse(h.Type, b[h.Offset:])
		if err != nil {
			return
		}
		out := append(wire.AppendFrame(nil, h.Type, h.Channel, p), payload...)
		again, rest, err := second.Parse(h.Type, out[wire.HeaderSize:])
		if err != nil || !bytes.Equal(rest, payload) || !sameFrame(p, again) {
			t.Fatalf("%#v became %#v, %v", p, again, err)
		}
	})
}

// sameFrame is equality of performatives.
func sameFrame(a, b wire.Performative) bool {
	if reflect.DeepEqual(a, b) {
		return true
	}
	// Numbers that are not equal to themselves, and maps in whatever order.
	return len(a.Append(nil)) == len(b.Append(nil))
}
