package dn

import (
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// shortNames are the attribute types of RFC 4514, section 3, and RFC 4519 that have several spellings.
var shortNames = map[string]string{
	"commonname": "cn", "2.5.4.3": "cn",
	"surname": "sn", "2.5.4.4": "sn",
	"countryname": "c", "2.5.4.6": "c",
	"localityname": "l", "2.5.4.7": "l",
	"stateorprovincename": "st", "2.5.4.8": "st",
	"streetaddress": "street", "2.5.4.9": "street",
	"organizationname": "o", "2.5.4.10": "o",
	"organizationalunitname": "ou", "2.5.4.11": "ou",
	"userid": "uid", "0.9.2342.19200300.100.1.1": "uid",
	"domaincomponent": "dc", "0.9.2342.19200300.100.1.25": "dc",
	"gn": "givenname", "2.5.4.42": "givenname",
	"rfc822mailbox": "mail", "0.9.2342.19200300.100.1.3": "mail",
}

// AttributeKey is the normal form of an attribute's name: lower case, and the short name where there are several.
func AttributeKey(name string) string {
	name = strings.ToLower(name)
	if short, ok := shortNames[name]; ok {
		return short
	}
	return name
}

// FoldValue is the normal form of a value under caseIgnoreMatch (RFC 4518): compatibility-composed, case folded,
// without spaces at its ends and with single ones inside. A value that is not UTF-8 stays as it is.
func FoldValue(value string) string {
	ascii := true
	for i := range len(value) {
		if value[i] >= utf8.RuneSelf {
			ascii = false
			break
		}
	}
	if ascii {
		return SqueezeSpaces(strings.ToLower(value))
	}
	if !utf8.ValidString(value) {
		return value
	}
	fold := cases.Fold()
	// Folding can undo a normalization and the other way round; twice is enough for both to be stable (Unicode, D146).
	value = norm.NFKC.String(fold.String(norm.NFD.String(value)))
	value = norm.NFKC.String(fold.String(value))
	return SqueezeSpaces(value)
}

// SqueezeSpaces drops spaces at both ends and leaves single ones inside; a value of nothing but spaces becomes one space
// (RFC 4518, section 2.6.1).
func SqueezeSpaces(s string) string {
	if s == "" || s[0] != ' ' && s[len(s)-1] != ' ' && !strings.Contains(s, "  ") {
		return s
	}
	squeezed := strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == ' ' }), " ")
	if squeezed == "" {
		return " "
	}
	return squeezed
}

func rdnKey(rdn []AVA) string {
	if len(rdn) == 1 {
		return MakeRDN(AttributeKey(rdn[0].Attribute), FoldValue(rdn[0].Value))
	}
	parts := make([]string, len(rdn))
	for i, a := range rdn {
		parts[i] = MakeRDN(AttributeKey(a.Attribute), FoldValue(a.Value))
	}
	slices.Sort(parts)
	return strings.Join(slices.Compact(parts), "+")
}

// simple reports whether dn is a name of plain characters only, which is what nearly every name is: its Key can then be
// made without parsing. A DN with OIDs, spaces, escapes or anything outside of ASCII is not simple.
func simple(dn string) bool {
	if len(dn) > MaxLength {
		return false
	}
	depth, inAttribute, start := 1, true, 0
	for i := range len(dn) {
		c := dn[i]
		switch {
		case c == '=' && inAttribute:
			if i == start {
				return false
			}
			inAttribute = false
		case c == ',':
			if inAttribute {
				return false
			}
			depth++
			inAttribute, start = true, i+1
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
		case i > start && (c >= '0' && c <= '9' || c == '-'):
		case !inAttribute && (c == '.' || c == '_' || c == '@' || c == '/' || c == ':'):
		default:
			return false
		}
	}
	return dn == "" || !inAttribute && depth <= MaxDepth
}

// simpleKey is the Key of a simple name. Lower-casing does not allocate when there is nothing to do.
func simpleKey(dn string) string {
	key := strings.ToLower(dn)
	for i := 0; i < len(key); {
		eq := i + strings.IndexByte(key[i:], '=')
		if short, ok := shortNames[key[i:eq]]; ok {
			key = key[:i] + short + key[eq:]
			eq = i + len(short)
		}
		next := strings.IndexByte(key[eq:], ',')
		if next < 0 {
			break
		}
		i = eq + next + 1
	}
	return key
}
