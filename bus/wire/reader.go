package wire

import (
	"bytes"
	"encoding/binary"
	"math"
	"unicode/utf8"

	"clacks/bus"
)

// Reader decodes values from bytes. The first error stays: what is read after it is zero, and Err says what it was. Byte
// slices that it returns are parts of the bytes that it reads; strings are copies. It is for one goroutine.
type Reader struct {
	b      []byte
	at     int
	depth  int
	values int
	own    bool // binaries are copied
	err    *bus.Condition
}

// NewReader reads b, which must not be changed as long as slices of it are in use.
func NewReader(b []byte) Reader { return Reader{b: b} }

// Err is the first error, a *bus.Condition amqp:decode-error, or nil.
func (r *Reader) Err() error {
	if r.err == nil {
		return nil
	}
	return r.err
}

// Rest are the bytes that were not read.
func (r *Reader) Rest() []byte { return r.b[r.at:] }

// fail keeps the first error and ends all loops over what is left.
func (r *Reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = bad(format, args...)
	}
	r.at = len(r.b)
}

// count takes n values from the budget.
func (r *Reader) count(n int) bool {
	if n > MaxValues-r.values {
		r.fail("more than %d values", MaxValues)
		return false
	}
	r.values += n
	return true
}

// enter goes one level down; leave comes back.
func (r *Reader) enter() bool {
	if r.depth++; r.depth > MaxDepth {
		r.fail("values nest deeper than %d", MaxDepth)
		return false
	}
	return true
}

func (r *Reader) leave() { r.depth-- }

// take is the next n bytes, or nil at an error.
func (r *Reader) take(n int) []byte {
	if n < 0 || n > len(r.b)-r.at {
		r.fail("the data ends within a value")
		return nil
	}
	b := r.b[r.at : r.at+n : r.at+n]
	r.at += n
	return b
}

// code is the next constructor. At an error it is that of null.
func (r *Reader) code() byte {
	if r.at >= len(r.b) {
		r.fail("the data ends before a value")
		return codeNull
	}
	c := r.b[r.at]
	r.at++
	return c
}

// null reads a null, if the next value is one.
func (r *Reader) null() bool {
	if r.at < len(r.b) && r.b[r.at] == codeNull {
		r.at++
		return true
	}
	return false
}

func (r *Reader) u8() uint8 {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *Reader) u16() uint16 {
	if b := r.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *Reader) u32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *Reader) u64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// size is a size of 32 bits, checked against what is there.
func (r *Reader) size(wide bool) int {
	var n uint64
	if wide {
		n = uint64(r.u32())
	} else {
		n = uint64(r.u8())
	}
	if n > uint64(len(r.b)-r.at) {
		r.fail("a value claims %d bytes, %d are there", n, len(r.b)-r.at)
		return 0
	}
	return int(n)
}

// wrong says that a value is not of the type that its place wants.
func (r *Reader) wrong(code byte, wanted string) { r.fail("%#02x is no %s", code, wanted) }

// Bool reads a boolean.
func (r *Reader) Bool() bool {
	switch c := r.code(); c {
	case codeTrue:
		return true
	case codeFalse:
		return false
	case codeBool:
		return r.boolean()
	default:
		r.wrong(c, "boolean")
		return false
	}
}

func (r *Reader) boolean() bool {
	v := r.u8()
	if v > 1 {
		r.fail("a boolean of %d", v)
	}
	return v == 1
}

// Ubyte reads an unsigned byte.
func (r *Reader) Ubyte() uint8 {
	if c := r.code(); c != codeUbyte {
		r.wrong(c, "ubyte")
		return 0
	}
	return r.u8()
}

// Ushort reads an unsigned number of 16 bits.
func (r *Reader) Ushort() uint16 {
	if c := r.code(); c != codeUshort {
		r.wrong(c, "ushort")
		return 0
	}
	return r.u16()
}

// Uint reads an unsigned number of 32 bits.
func (r *Reader) Uint() uint32 {
	switch c := r.code(); c {
	case codeUint:
		return r.u32()
	case codeSmallUint:
		return uint32(r.u8())
	case codeUint0:
		return 0
	default:
		r.wrong(c, "uint")
		return 0
	}
}

// Ulong reads an unsigned number of 64 bits.
func (r *Reader) Ulong() uint64 {
	switch c := r.code(); c {
	case codeUlong:
		return r.u64()
	case codeSmallUlong:
		return uint64(r.u8())
	case codeUlong0:
		return 0
	default:
		r.wrong(c, "ulong")
		return 0
	}
}

// Timestamp reads milliseconds since the epoch.
func (r *Reader) timestamp() int64 {
	if c := r.code(); c != codeTimestamp {
		r.wrong(c, "timestamp")
		return 0
	}
	return int64(r.u64())
}

// Binary reads a binary: a part of the bytes.
func (r *Reader) Binary() []byte {
	c := r.code()
	if c != codeBin8 && c != codeBin32 {
		r.wrong(c, "binary")
		return nil
	}
	return r.octets(c == codeBin32)
}

// octets is a binary without its constructor.
func (r *Reader) octets(wide bool) []byte {
	b := r.take(r.size(wide))
	if r.own {
		return bytes.Clone(b)
	}
	return b
}

// Text reads a string or a symbol. Peers mix them up in fields of either type, and nothing is gained by refusing that.
func (r *Reader) Text() string {
	switch c := r.code(); c {
	case codeStr8, codeStr32:
		return r.utf8(c == codeStr32)
	case codeSym8, codeSym32:
		return r.ascii(c == codeSym32)
	default:
		r.wrong(c, "string")
		return ""
	}
}

func (r *Reader) utf8(wide bool) string {
	b := r.take(r.size(wide))
	if !utf8.Valid(b) {
		r.fail("a string is not UTF-8")
		return ""
	}
	return string(b)
}

func (r *Reader) ascii(wide bool) string {
	b := r.take(r.size(wide))
	for _, c := range b {
		if c >= utf8.RuneSelf {
			r.fail("a symbol is not ASCII")
			return ""
		}
	}
	return string(b)
}

// Value reads a value of any type.
func (r *Reader) Value() any {
	if !r.count(1) {
		return nil
	}
	c := r.code()
	if c != codeDescribed {
		return r.value(c)
	}
	if !r.enter() {
		return nil
	}
	defer r.leave()
	return Described{Descriptor: r.Value(), Value: r.Value()}
}

// value reads what follows the constructor c.
func (r *Reader) value(c byte) any {
	switch c >> 4 {
	case 0x4:
		return r.empty(c)
	case 0x5, 0x6:
		return r.small(c)
	case 0x7, 0x8, 0x9:
		return r.fixed(c)
	case 0xa, 0xb:
		return r.variable(c)
	case 0xc, 0xd:
		return r.compound(c)
	case 0xe, 0xf:
		return r.array(c)
	}
	r.wrong(c, "type of AMQP 1.0")
	return nil
}

func (r *Reader) empty(c byte) any {
	switch c {
	case codeNull:
		return nil
	case codeTrue:
		return true
	case codeFalse:
		return false
	case codeUint0:
		return uint32(0)
	case codeUlong0:
		return uint64(0)
	case codeList0:
		return []any(nil)
	}
	r.wrong(c, "type of AMQP 1.0")
	return nil
}

func (r *Reader) small(c byte) any {
	switch c {
	case codeUbyte:
		return r.u8()
	case codeByte:
		return int8(r.u8())
	case codeSmallUint:
		return uint32(r.u8())
	case codeSmallUlong:
		return uint64(r.u8())
	case codeSmallInt:
		return int32(int8(r.u8()))
	case codeSmallLong:
		return int64(int8(r.u8()))
	case codeBool:
		return r.boolean()
	case codeUshort:
		return r.u16()
	case codeShort:
		return int16(r.u16())
	}
	r.wrong(c, "type of AMQP 1.0")
	return nil
}

func (r *Reader) fixed(c byte) any {
	switch c {
	case codeUint:
		return r.u32()
	case codeInt:
		return int32(r.u32())
	case codeFloat:
		return math.Float32frombits(r.u32())
	case codeChar:
		return r.char()
	case codeDecimal32:
		var d Decimal32
		copy(d[:], r.take(len(d)))
		return d
	case codeUlong:
		return r.u64()
	case codeLong:
		return int64(r.u64())
	case codeDouble:
		return math.Float64frombits(r.u64())
	case codeTimestamp:
		return timestamp(int64(r.u64()))
	case codeDecimal64:
		var d Decimal64
		copy(d[:], r.take(len(d)))
		return d
	case codeDecimal128:
		var d Decimal128
		copy(d[:], r.take(len(d)))
		return d
	case codeUUID:
		var u bus.UUID
		copy(u[:], r.take(len(u)))
		return u
	}
	r.wrong(c, "type of AMQP 1.0")
	return nil
}

func (r *Reader) char() Char {
	v := r.u32()
	if v > utf8.MaxRune || !utf8.ValidRune(rune(v)) {
		r.fail("%#x is no Unicode character", v)
		return 0
	}
	return Char(v)
}

func (r *Reader) variable(c byte) any {
	wide := c >= 0xb0
	switch c {
	case codeBin8, codeBin32:
		return r.octets(wide)
	case codeStr8, codeStr32:
		return r.utf8(wide)
	case codeSym8, codeSym32:
		return bus.Symbol(r.ascii(wide))
	}
	r.wrong(c, "type of AMQP 1.0")
	return nil
}
