package wire

import (
	"encoding/binary"
	"math"
	"time"

	"clacks"
	"clacks/bus"
)

func appendU16(b []byte, v uint16) []byte { return binary.BigEndian.AppendUint16(b, v) }
func appendU32(b []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(b, v) }
func appendU64(b []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(b, v) }

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, codeTrue)
	}
	return append(b, codeFalse)
}

func appendUint(b []byte, v uint32) []byte {
	switch {
	case v == 0:
		return append(b, codeUint0)
	case v < 256:
		return append(b, codeSmallUint, byte(v))
	default:
		return appendU32(append(b, codeUint), v)
	}
}

func appendUlong(b []byte, v uint64) []byte {
	switch {
	case v == 0:
		return append(b, codeUlong0)
	case v < 256:
		return append(b, codeSmallUlong, byte(v))
	default:
		return appendU64(append(b, codeUlong), v)
	}
}

func appendInt(b []byte, v int32) []byte {
	if v == int32(int8(v)) {
		return append(b, codeSmallInt, byte(v))
	}
	return appendU32(append(b, codeInt), uint32(v))
}

func appendLong(b []byte, v int64) []byte {
	if v == int64(int8(v)) {
		return append(b, codeSmallLong, byte(v))
	}
	return appendU64(append(b, codeLong), uint64(v))
}

func appendTimestamp(b []byte, t time.Time) []byte {
	return appendU64(append(b, codeTimestamp), uint64(t.UnixMilli()))
}

func appendSize(b []byte, narrow, wide byte, n int) []byte {
	if n < 256 {
		return append(b, narrow, byte(n))
	}
	return appendU32(append(b, wide), uint32(n))
}

func appendString(b []byte, s string) []byte {
	return append(appendSize(b, codeStr8, codeStr32, len(s)), s...)
}

func appendSymbol[S ~string](b []byte, s S) []byte {
	return append(appendSize(b, codeSym8, codeSym32, len(s)), s...)
}

func appendBinary(b, v []byte) []byte {
	return append(appendSize(b, codeBin8, codeBin32, len(v)), v...)
}

// compoundRoom is what a compound of 32 bits has before its values: constructor, size and count.
const compoundRoom = 9

// openCompound leaves room before the values of a list or map; closeCompound fills it, in the short form when it fits.
func openCompound(b []byte) []byte { return append(b, make([]byte, compoundRoom)...) }

func closeCompound(b []byte, start, count int, narrow, wide byte) []byte {
	size := len(b) - start - compoundRoom
	if size < 255 && count < 256 {
		b[start], b[start+1], b[start+2] = narrow, byte(size+1), byte(count)
		copy(b[start+3:], b[start+compoundRoom:])
		return b[:start+3+size]
	}
	b[start] = wide
	binary.BigEndian.PutUint32(b[start+1:], uint32(size+4))
	binary.BigEndian.PutUint32(b[start+5:], uint32(count))
	return b
}

// AppendValue appends a value in its shortest form. A value of a type that AMQP has no name for, or that nests too deep,
// is clacks.Invalid; then nothing is appended.
func AppendValue(b []byte, v any) ([]byte, error) {
	e := encoder{}
	out := e.value(b, v, MaxDepth)
	if e.err != nil {
		return b, e.err
	}
	return out, nil
}

// encoder keeps the first error of nested values.
type encoder struct{ err error }

func (e *encoder) fail(format string, args ...any) {
	if e.err == nil {
		e.err = clacks.E(clacks.Invalid, "wire.encode", format, args...)
	}
}

func (e *encoder) value(b []byte, v any, depth int) []byte {
	if out, ok := appendNumber(b, v); ok {
		return out
	}
	switch v := v.(type) {
	case nil:
		return append(b, codeNull)
	case bool:
		return appendBool(b, v)
	case string:
		return appendString(b, v)
	case bus.Symbol:
		return appendSymbol(b, v)
	case []byte:
		return appendBinary(b, v)
	case time.Time:
		return appendTimestamp(b, v)
	case bus.UUID:
		return append(append(b, codeUUID), v[:]...)
	case Char:
		return appendU32(append(b, codeChar), uint32(v))
	case Decimal32:
		return append(append(b, codeDecimal32), v[:]...)
	case Decimal64:
		return append(append(b, codeDecimal64), v[:]...)
	case Decimal128:
		return append(append(b, codeDecimal128), v[:]...)
	}
	if depth--; depth < 0 {
		e.fail("a value nests deeper than %d", MaxDepth)
		return b
	}
	return e.compound(b, v, depth)
}

// appendNumber appends numbers of all types.
func appendNumber(b []byte, v any) ([]byte, bool) {
	switch v := v.(type) {
	case int:
		return appendLong(b, int64(v)), true
	case int64:
		return appendLong(b, v), true
	case int32:
		return appendInt(b, v), true
	case int16:
		return appendU16(append(b, codeShort), uint16(v)), true
	case int8:
		return append(b, codeByte, byte(v)), true
	case uint:
		return appendUlong(b, uint64(v)), true
	case uint64:
		return appendUlong(b, v), true
	case uint32:
		return appendUint(b, v), true
	case uint16:
		return appendU16(append(b, codeUshort), v), true
	case uint8:
		return append(b, codeUbyte, v), true
	case float32:
		return appendU32(append(b, codeFloat), math.Float32bits(v)), true
	case float64:
		return appendU64(append(b, codeDouble), math.Float64bits(v)), true
	}
	return b, false
}

func (e *encoder) compound(b []byte, v any, depth int) []byte {
	start := len(b)
	switch v := v.(type) {
	case []any:
		if len(v) == 0 {
			return append(b, codeList0)
		}
		b = openCompound(b)
		for _, item := range v {
			b = e.value(b, item, depth)
		}
		return closeCompound(b, start, len(v), codeList8, codeList32)
	case Map:
		b = openCompound(b)
		for _, p := range v {
			b = e.value(e.value(b, p.Key, depth), p.Value, depth)
		}
		return closeCompound(b, start, 2*len(v), codeMap8, codeMap32)
	case map[string]any:
		b = openCompound(b)
		for k, value := range v {
			b = e.value(appendString(b, k), value, depth)
		}
		return closeCompound(b, start, 2*len(v), codeMap8, codeMap32)
	case []string:
		items := make([]any, len(v))
		for i, s := range v {
			items[i] = s
		}
		return e.array(b, Array{Code: codeStr32, Items: items}, depth)
	case []bus.Symbol:
		return appendSymbols(b, v)
	case Array:
		return e.array(b, v, depth)
	case Described:
		return e.value(e.value(append(b, codeDescribed), v.Descriptor, depth), v.Value, depth)
	}
	e.fail("a value of type %T has no form in AMQP", v)
	return b
}

// symbolMap appends a map whose keys are symbols: annotations and properties of links.
func (e *encoder) symbolMap(b []byte, m map[string]any) []byte {
	start := len(b)
	b = openCompound(b)
	for k, v := range m {
		b = e.value(appendSymbol(b, k), v, MaxDepth)
	}
	return closeCompound(b, start, 2*len(m), codeMap8, codeMap32)
}

// appendSymbols appends an array of symbols.
func appendSymbols(b []byte, symbols []bus.Symbol) []byte {
	start := len(b)
	b = append(openCompound(b), codeSym8)
	for _, s := range symbols {
		if len(s) > 255 {
			return appendWideSymbols(b[:start], symbols)
		}
		b = append(append(b, byte(len(s))), s...)
	}
	return closeCompound(b, start, len(symbols), codeArray8, codeArray32)
}

func appendWideSymbols(b []byte, symbols []bus.Symbol) []byte {
	start := len(b)
	b = append(openCompound(b), codeSym32)
	for _, s := range symbols {
		b = append(appendU32(b, uint32(len(s))), s...)
	}
	return closeCompound(b, start, len(symbols), codeArray8, codeArray32)
}

// array appends an array, each item in the form that its Code asks for.
func (e *encoder) array(b []byte, a Array, depth int) []byte {
	start := len(b)
	b = openCompound(b)
	if a.Descriptor != nil {
		b = e.value(append(b, codeDescribed), a.Descriptor, depth)
	}
	b = append(b, a.Code)
	for _, item := range a.Items {
		b = e.item(b, a.Code, item, depth)
	}
	return closeCompound(b, start, len(a.Items), codeArray8, codeArray32)
}

// item appends an item of an array without its constructor. The item's own form may be shorter or longer than that of
// the array, so the forms are told apart by code.
func (e *encoder) item(b []byte, code byte, v any, depth int) []byte {
	start := len(b)
	switch code >> 4 {
	case 0xa, 0xb:
		return e.variable(b, code, v)
	case 0xc, 0xd, 0xe, 0xf:
		return e.nested(b, code, v, depth)
	}
	b = e.value(b, v, depth)
	if e.err != nil || len(b) == start {
		return b
	}
	if own := b[start]; own == code {
		copy(b[start:], b[start+1:])
		return b[:len(b)-1]
	}
	return e.widened(b[:start], code, v)
}

// widened is a number or a boolean in another form than the shortest.
func (e *encoder) widened(b []byte, code byte, v any) []byte {
	switch x := v.(type) {
	case bool:
		if code == codeBool && x {
			return append(b, 1)
		} else if code == codeBool {
			return append(b, 0)
		} else if x == (code == codeTrue) && (code == codeTrue || code == codeFalse) {
			return b
		}
	case uint32:
		if code == codeUint {
			return appendU32(b, x)
		} else if code == codeSmallUint && x < 256 {
			return append(b, byte(x))
		}
	case uint64:
		if code == codeUlong {
			return appendU64(b, x)
		} else if code == codeSmallUlong && x < 256 {
			return append(b, byte(x))
		}
	case int32:
		if code == codeInt {
			return appendU32(b, uint32(x))
		}
	case int64:
		if code == codeLong {
			return appendU64(b, uint64(x))
		}
	}
	e.fail("an item of type %T does not fit into an array of %#02x", v, code)
	return b
}

func (e *encoder) variable(b []byte, code byte, v any) []byte {
	var s string
	var fits bool
	switch x := v.(type) {
	case string:
		s, fits = x, code&0x0f == 1
	case bus.Symbol:
		s, fits = string(x), code&0x0f == 3
	case []byte:
		s, fits = string(x), code&0x0f == 0
	}
	wide := code >= 0xb0
	if !fits || !wide && len(s) > 255 {
		e.fail("an item of type %T does not fit into an array of %#02x", v, code)
		return b
	}
	if wide {
		b = appendU32(b, uint32(len(s)))
	} else {
		b = append(b, byte(len(s)))
	}
	return append(b, s...)
}

// nested appends a list, map or array in the narrow or wide form that an array of them asks for.
func (e *encoder) nested(b []byte, code byte, v any, depth int) []byte {
	start := len(b)
	b = e.value(b, v, depth)
	if e.err != nil {
		return b
	}
	own := b[start]
	if own == codeList0 {
		if code == codeList8 {
			return append(b[:start], 1, 0)
		}
		if code == codeList32 {
			return append(b[:start], 0, 0, 0, 4, 0, 0, 0, 0)
		}
	}
	if own == code {
		copy(b[start:], b[start+1:])
		return b[:len(b)-1]
	}
	if own|0x10 != code {
		e.fail("an item of type %T does not fit into an array of %#02x", v, code)
		return b
	}
	// The narrow form (constructor, size, count) becomes the wide one (size, count), five bytes longer.
	size, count := uint32(b[start+1])-1+4, uint32(b[start+2])
	b = append(b, 0, 0, 0, 0, 0)
	copy(b[start+8:], b[start+3:len(b)-5])
	binary.BigEndian.PutUint32(b[start:], size)
	binary.BigEndian.PutUint32(b[start+4:], count)
	return b
}
