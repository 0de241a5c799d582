package wire

import (
	"fmt"
	"time"

	"clacks/bus"
)

// The limits of what is decoded from one frame or one message.
const (
	// MaxDepth is how deep values nest: lists, maps, arrays and described values.
	MaxDepth = 32
	// MaxValues is how many values one Reader makes in all.
	MaxValues = 1 << 16
)

// The values of AMQP's types are these of Go: nil, bool, uint8 to uint64, int8 to int64, float32, float64, string, []byte,
// time.Time (milliseconds, UTC), bus.Symbol, bus.UUID, []any (list), and the following.
type (
	// Map is a map in the order of the wire; keys may be of any type.
	Map []Pair
	// Pair is an entry of a Map.
	Pair struct{ Key, Value any }
	// Array is an array: all items are encoded as Code says. Items of a described array share the Descriptor.
	Array struct {
		Descriptor any // nil, or what describes each item
		Code       byte
		Items      []any
	}
	// Described is a value with a descriptor, a number (uint64) or a bus.Symbol by rule.
	Described struct{ Descriptor, Value any }
	// Char is a Unicode character.
	Char rune
	// Decimal32, Decimal64 and Decimal128 are IEEE 754-2008 decimals, as encoded.
	Decimal32 [4]byte
	// Decimal64 is a decimal of 64 bits.
	Decimal64 [8]byte
	// Decimal128 is a decimal of 128 bits.
	Decimal128 [16]byte
)

// The constructors (AMQP 1.0, 1.6).
const (
	codeDescribed  = 0x00
	codeNull       = 0x40
	codeTrue       = 0x41
	codeFalse      = 0x42
	codeUint0      = 0x43
	codeUlong0     = 0x44
	codeList0      = 0x45
	codeUbyte      = 0x50
	codeByte       = 0x51
	codeSmallUint  = 0x52
	codeSmallUlong = 0x53
	codeSmallInt   = 0x54
	codeSmallLong  = 0x55
	codeBool       = 0x56
	codeUshort     = 0x60
	codeShort      = 0x61
	codeUint       = 0x70
	codeInt        = 0x71
	codeFloat      = 0x72
	codeChar       = 0x73
	codeDecimal32  = 0x74
	codeUlong      = 0x80
	codeLong       = 0x81
	codeDouble     = 0x82
	codeTimestamp  = 0x83
	codeDecimal64  = 0x84
	codeDecimal128 = 0x94
	codeUUID       = 0x98
	codeBin8       = 0xa0
	codeStr8       = 0xa1
	codeSym8       = 0xa3
	codeBin32      = 0xb0
	codeStr32      = 0xb1
	codeSym32      = 0xb3
	codeList8      = 0xc0
	codeMap8       = 0xc1
	codeList32     = 0xd0
	codeMap32      = 0xd1
	codeArray8     = 0xe0
	codeArray32    = 0xf0
)

// bad is what a peer is told of bytes that cannot be decoded.
func bad(format string, args ...any) *bus.Condition {
	return &bus.Condition{Name: bus.DecodeError, Description: fmt.Sprintf(format, args...)}
}

// timestamp is milliseconds since the epoch as a time.
func timestamp(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
