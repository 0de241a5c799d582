package dn

import (
	"encoding/hex"
	"strings"
	"unicode/utf8"
)

// Parse reads a name as RFC 4514 writes it. Spaces around separators are accepted (RFC 4514, section 4 allows older
// spellings on reading); unescaped quotes, semicolons and angle brackets are not. "#hex" values must be BER strings.
func Parse(dn string) (Name, error) {
	if len(dn) > MaxLength {
		return nil, invalid(dn, "it is too long")
	}
	if !utf8.ValidString(dn) {
		return nil, invalid(dn, "it is not UTF-8")
	}
	p := parser{in: dn}
	p.spaces()
	if p.pos == len(dn) {
		return Name{}, nil
	}
	name := make(Name, 0, 8)
	for {
		rdn, reason := p.rdn()
		if reason != "" {
			return nil, invalid(dn, reason)
		}
		name = append(name, rdn)
		if p.pos == len(dn) {
			return name, nil
		}
		if len(name) == MaxDepth {
			return nil, invalid(dn, "it has too many components")
		}
		p.pos++ // the comma
	}
}

type parser struct {
	in  string
	pos int
}

func (p *parser) spaces() {
	for p.pos < len(p.in) && p.in[p.pos] == ' ' {
		p.pos++
	}
}

// rdn reads one component and stops at its comma or the end. The second result is the reason why it cannot.
func (p *parser) rdn() ([]AVA, string) {
	rdn := make([]AVA, 0, 1)
	for {
		ava, reason := p.ava()
		if reason != "" {
			return nil, reason
		}
		rdn = append(rdn, ava)
		if p.pos == len(p.in) || p.in[p.pos] == ',' {
			return rdn, ""
		}
		if len(rdn) == MaxDepth {
			return nil, "an RDN has too many values"
		}
		p.pos++ // the plus
	}
}

func (p *parser) ava() (AVA, string) {
	p.spaces()
	start := p.pos
	for p.pos < len(p.in) && attributeChar(p.in[p.pos]) {
		p.pos++
	}
	attribute := p.in[start:p.pos]
	p.spaces()
	if p.pos == len(p.in) || p.in[p.pos] != '=' {
		return AVA{}, "a component is not of the form attribute=value"
	}
	if !isAttribute(attribute) {
		return AVA{}, "an attribute name is missing or malformed"
	}
	p.pos++
	p.spaces()
	if p.pos < len(p.in) && p.in[p.pos] == '#' {
		value, reason := p.hexValue()
		return AVA{attribute, value}, reason
	}
	value, reason := p.value()
	return AVA{attribute, value}, reason
}

// value reads an escaped string up to an unescaped comma or plus; unescaped spaces at its end do not count.
func (p *parser) value() (string, string) {
	start, kept := p.pos, p.pos
	var b []byte // only once there is an escape
	for p.pos < len(p.in) {
		c := p.in[p.pos]
		switch c {
		case ',', '+':
			return p.finish(b, start, kept), ""
		case '"', ';', '<', '>', 0:
			return "", "a special character is not escaped"
		case '\\':
			decoded, size := unescape(p.in[p.pos:])
			if size == 0 {
				return "", "an escape is malformed"
			}
			b = append(append(b, p.in[start:p.pos]...), decoded)
			p.pos += size
			start, kept = p.pos, p.pos
			continue
		}
		p.pos++
		if c != ' ' {
			kept = p.pos
		}
	}
	return p.finish(b, start, kept), ""
}

func (p *parser) finish(b []byte, start, kept int) string {
	if b == nil {
		return p.in[start:kept]
	}
	return string(append(b, p.in[start:kept]...))
}

// unescape decodes the escape at the beginning of s; size 0 means that it is none.
func unescape(s string) (decoded byte, size int) {
	if len(s) < 2 {
		return 0, 0
	}
	if strings.IndexByte(` "#+,;<=>\`, s[1]) >= 0 {
		return s[1], 2
	}
	if len(s) < 3 {
		return 0, 0
	}
	var out [1]byte
	if _, err := hex.Decode(out[:], []byte(s[1:3])); err != nil {
		return 0, 0
	}
	return out[0], 3
}

// hexValue reads "#" and the hexadecimal BER encoding of a string (RFC 4514, section 2.4).
func (p *parser) hexValue() (string, string) {
	end := p.pos
	for end < len(p.in) && p.in[end] != ',' && p.in[end] != '+' {
		end++
	}
	encoded := strings.TrimRight(p.in[p.pos+1:end], " ")
	p.pos = end
	ber, err := hex.DecodeString(encoded)
	if err != nil {
		return "", "a # value is not hexadecimal"
	}
	value, ok := berString(ber)
	if !ok {
		return "", "a # value is not the BER encoding of a string"
	}
	return value, ""
}

// berString is the content of an OCTET STRING, UTF8String, PrintableString, TeletexString or IA5String.
func berString(ber []byte) (string, bool) {
	if len(ber) < 2 || strings.IndexByte("\x04\x0c\x13\x14\x16", ber[0]) < 0 {
		return "", false
	}
	length, content := int(ber[1]), ber[2:]
	if length >= 0x80 {
		octets := length & 0x7f
		if octets == 0 || octets > 2 || len(content) < octets {
			return "", false
		}
		length = 0
		for _, o := range content[:octets] {
			length = length<<8 | int(o)
		}
		content = content[octets:]
	}
	return string(content), len(content) == length
}

func attributeChar(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.'
}

// isAttribute reports whether s is a descriptor or a numeric OID (RFC 4512, section 1.4).
func isAttribute(s string) bool {
	if s == "" {
		return false
	}
	if s[0] >= '0' && s[0] <= '9' {
		for i := range len(s) {
			if s[i] != '.' && (s[i] < '0' || s[i] > '9') {
				return false
			}
		}
		return s[len(s)-1] != '.' && !strings.Contains(s, "..")
	}
	return s[0] != '-' && !strings.Contains(s, ".")
}

const hexDigits = "0123456789abcdef"

// writeEscaped writes a value so that it survives Parse: RFC 4514, section 2.4, and control characters and broken UTF-8
// as hexadecimal pairs, so that a name can stand in a log line.
func writeEscaped(b *strings.Builder, value string) {
	for i := 0; i < len(value); {
		c := value[i]
		switch {
		case c >= utf8.RuneSelf:
			r, size := utf8.DecodeRuneInString(value[i:])
			if r == utf8.RuneError && size == 1 {
				writeHex(b, c)
			} else {
				b.WriteString(value[i : i+size])
			}
			i += size
			continue
		case c < ' ' || c == 0x7f:
			writeHex(b, c)
		case strings.IndexByte(`"+,;<>\`, c) >= 0,
			i == 0 && (c == '#' || c == ' '),
			i == len(value)-1 && c == ' ':
			b.WriteByte('\\')
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
		i++
	}
}

func writeHex(b *strings.Builder, c byte) {
	b.WriteByte('\\')
	b.WriteByte(hexDigits[c>>4])
	b.WriteByte(hexDigits[c&15])
}
