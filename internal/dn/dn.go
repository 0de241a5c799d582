// Package dn handles distinguished names (RFC 4514). Names are strings everywhere, in the spelling that the user chose;
// Key is the form in which two of them are compared and indexed, Path the form in which a subtree is a range.
//
//	string -> Parse -> Name (a list of RDNs, each a list of AVAs) -> String, Key, Path
//
// Parent, RDN, Depth and Rebase cut at the separators and keep the spelling of what they return; they do not validate.
// Names come from clients: every function is linear in the length of its input and none panics.
package dn

import (
	"strings"

	"clacks"
)

// MaxLength is the longest name accepted, in bytes; MaxDepth the most components.
const (
	MaxLength = 8192
	MaxDepth  = 256
)

// AVA is one attribute value assertion of an RDN. Value is unescaped.
type AVA struct {
	Attribute, Value string
}

// Name is a parsed DN: its RDNs, the lowest first, as in the string. The empty Name is the root.
type Name [][]AVA

// String is the name with the escapes of RFC 4514, section 2.4.
func (n Name) String() string {
	var b strings.Builder
	for i, rdn := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		writeRDN(&b, rdn)
	}
	return b.String()
}

// Key is the normal form of the name: Parse(n.Key()) has the same Key.
func (n Name) Key() string {
	var b strings.Builder
	for i, rdn := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(rdnKey(rdn))
	}
	return b.String()
}

func writeRDN(b *strings.Builder, rdn []AVA) {
	for i, a := range rdn {
		if i > 0 {
			b.WriteByte('+')
		}
		b.WriteString(a.Attribute)
		b.WriteByte('=')
		writeEscaped(b, a.Value)
	}
}

// Validate says why dn is not a name, as clacks.Invalid; the empty name is one.
func Validate(dn string) error {
	if simple(dn) {
		return nil
	}
	_, err := Parse(dn)
	return err
}

// Key is the normal form of dn under which two names are the same: attribute types lower-cased and by their short names,
// values case folded with insignificant spaces squeezed (RFC 4518, section 2.6.1), one way of escaping, the parts of a
// multi-valued RDN sorted. It fails with clacks.Invalid on what is not a name.
func Key(dn string) (string, error) {
	if simple(dn) {
		return simpleKey(dn), nil
	}
	name, err := Parse(dn)
	if err != nil {
		return "", err
	}
	return name.Key(), nil
}

// Equal reports whether both are names and the same one.
func Equal(a, b string) bool {
	ka, err := Key(a)
	if err != nil {
		return false
	}
	kb, err := Key(b)
	return err == nil && ka == kb
}

// Path is the Key with its components reversed, each followed by a comma: "dc=net,dc=example,". All names of a subtree,
// its base included, begin with the base's Path, and nothing else does.
func Path(dn string) (string, error) {
	key, err := Key(dn)
	if err != nil {
		return "", err
	}
	return PathOfKey(key), nil
}

// PathOfKey is Path for what already is a Key.
func PathOfKey(key string) string {
	var b strings.Builder
	b.Grow(len(key) + 1)
	for end := len(key); end > 0; {
		start := lastSeparator(key[:end]) + 1
		b.WriteString(key[start:end])
		b.WriteByte(',')
		end = start - 1
	}
	return b.String()
}

// PathRange is the half-open range [from, to) of all paths that begin with path, compared byte by byte. The root's range
// has no end: to is "".
func PathRange(path string) (from, to string) {
	if path == "" {
		return "", ""
	}
	return path, path[:len(path)-1] + "-" // '-' follows ','
}

// Parent is dn without its first RDN, in the same spelling; "" for a name of one RDN and for the root.
func Parent(dn string) string {
	i := firstSeparator(dn)
	if i < 0 {
		return ""
	}
	return strings.TrimLeft(dn[i+1:], " ")
}

// RDN is the first component of dn, in the same spelling.
func RDN(dn string) string {
	i := firstSeparator(dn)
	if i < 0 {
		return dn
	}
	return trimEnd(dn[:i])
}

// Join puts rdn in front of parent.
func Join(rdn, parent string) string {
	switch {
	case parent == "":
		return rdn
	case rdn == "":
		return parent
	}
	return rdn + "," + parent
}

// MakeRDN is "attribute=value" with the value escaped.
func MakeRDN(attribute, value string) string {
	var b strings.Builder
	b.Grow(len(attribute) + len(value) + 1)
	b.WriteString(attribute)
	b.WriteByte('=')
	writeEscaped(&b, value)
	return b.String()
}

// RDNValues are the attributes and unescaped values of one RDN, in its order; of a whole DN those of its first. nil when
// it is not a name.
func RDNValues(rdn string) []AVA {
	name, err := Parse(RDN(rdn))
	if err != nil || len(name) == 0 {
		return nil
	}
	return name[0]
}

// Under reports whether dn is base itself or lies below it. Everything lies under the root ("").
func Under(dn, base string) bool {
	k, err := Key(dn)
	if err != nil {
		return false
	}
	b, err := Key(base)
	return err == nil && KeyUnder(k, b)
}

// KeyUnder is Under for what already are Keys.
func KeyUnder(key, base string) bool {
	if base == "" || key == base {
		return true
	}
	cut := len(key) - len(base) - 1
	return cut > 0 && key[cut] == ',' && key[cut+1:] == base && !escapedAt(key, cut)
}

// Rebase moves dn from below oldBase to below newBase: the part below oldBase keeps its spelling. ok is false when dn is
// not oldBase and does not lie below it.
func Rebase(dn, oldBase, newBase string) (moved string, ok bool) {
	if !Under(dn, oldBase) {
		return "", false
	}
	below := Depth(dn) - Depth(oldBase)
	if below == 0 {
		return newBase, true
	}
	end := 0
	for range below - 1 {
		end += firstSeparator(dn[end:]) + 1
	}
	if i := firstSeparator(dn[end:]); i >= 0 {
		end += i
	} else {
		end = len(dn) // oldBase is the root
	}
	return Join(trimEnd(dn[:end]), newBase), true
}

// Depth is the number of RDNs; 0 for the root.
func Depth(dn string) int {
	if strings.TrimLeft(dn, " ") == "" {
		return 0
	}
	depth := 1
	for i := firstSeparator(dn); i >= 0; i = firstSeparator(dn) {
		depth++
		dn = dn[i+1:]
	}
	return depth
}

// firstSeparator is the index of the first comma that is not escaped, or -1.
func firstSeparator(s string) int {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case ',':
			return i
		}
	}
	return -1
}

// lastSeparator is the index of the last comma that is not escaped, or -1.
func lastSeparator(s string) int {
	for end := len(s); ; {
		i := strings.LastIndexByte(s[:end], ',')
		if i < 0 || !escapedAt(s, i) {
			return i
		}
		end = i
	}
}

// escapedAt reports whether an odd number of backslashes stands before s[i].
func escapedAt(s string, i int) bool {
	n := 0
	for i > n && s[i-n-1] == '\\' {
		n++
	}
	return n%2 == 1
}

// trimEnd drops spaces at the end, but not an escaped one.
func trimEnd(s string) string {
	for s != "" && s[len(s)-1] == ' ' && !escapedAt(s, len(s)-1) {
		s = s[:len(s)-1]
	}
	return s
}

func invalid(dn, reason string) error {
	const shown = 200
	if len(dn) > shown {
		dn = strings.ToValidUTF8(dn[:shown], "") + "..."
	}
	return clacks.E(clacks.Invalid, "dn.parse", "%q is not a distinguished name: %s", dn, reason)
}
