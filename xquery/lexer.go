package xquery

import (
	"strings"
	"unicode/utf8"
)

// kind is the kind of a token. XQuery has no reserved words, so a keyword is a tokenName and the parser decides by its
// text.
type kind uint8

const (
	tokenEOF      kind = iota
	tokenName          // NCName
	tokenQName         // prefix:local
	tokenURIName       // Q{uri}local
	tokenPrefixed      // prefix:*
	tokenLocal         // *:local
	tokenURIAny        // Q{uri}*
	tokenInteger
	tokenDecimal
	tokenDouble
	tokenString
	tokenPragma // (#
	tokenSymbol
	tokenBad // text that is no token; the message is in value
)

// token is a piece of the source: text[start:end].
type token struct {
	kind       kind
	start, end int
	value      string // a name, a symbol, a string's value, or what is wrong with a tokenBad
	prefix     string // of tokenQName and tokenPrefixed; the URI of tokenURIName and tokenURIAny; the code of a tokenBad
}

// code is the W3C code of a tokenBad.
func (t *token) code() string {
	if t.prefix != "" {
		return t.prefix
	}
	return codeSyntax
}

// lexer cuts a source into tokens on demand, because what a '<' starts depends on the grammar.
type lexer struct {
	text string
	pos  int
}

// symbols of two characters; all others are one.
var twoByteSymbols = [...]string{"::", ":=", "!=", "<=", ">=", "<<", ">>", "//", "..", "||", "=>", "{{", "}}", "``"}

// next is the next token. A comment that does not end, a bad string and so on become tokenBad.
func (l *lexer) next() token {
	if bad := l.skipIgnorable(); bad >= 0 {
		l.pos = len(l.text)
		return token{kind: tokenBad, start: bad, end: len(l.text), value: "the comment does not end"}
	}
	start := l.pos
	if start >= len(l.text) {
		return token{kind: tokenEOF, start: start, end: start}
	}
	switch c := l.text[start]; {
	case c == '"' || c == '\'':
		return l.stringLiteral(c)
	case c >= '0' && c <= '9', c == '.' && start+1 < len(l.text) && isDigit(l.text[start+1]):
		return l.number()
	case c == '*' && strings.HasPrefix(l.text[start:], "*:"):
		return l.localWildcard()
	case c == 'Q' && strings.HasPrefix(l.text[start:], "Q{"):
		return l.uriName()
	case isNameStartByte(c):
		if n := nameLength(l.text[start:]); n > 0 {
			return l.name(n)
		}
	}
	return l.symbol()
}

// skipIgnorable skips white space and comments; it returns the start of a comment that does not end, or -1.
func (l *lexer) skipIgnorable() int {
	for l.pos < len(l.text) {
		switch c := l.text[l.pos]; {
		case c == ' ' || c == '\n' || c == '\t' || c == '\r':
			l.pos++
		case c == '(' && strings.HasPrefix(l.text[l.pos:], "(:"):
			start := l.pos
			if !l.skipComment() {
				return start
			}
		default:
			return -1
		}
	}
	return -1
}

// skipComment skips a comment; comments nest.
func (l *lexer) skipComment() bool {
	depth := 0
	for l.pos < len(l.text) {
		switch rest := l.text[l.pos:]; {
		case strings.HasPrefix(rest, "(:"):
			depth++
			l.pos += 2
		case strings.HasPrefix(rest, ":)"):
			depth--
			l.pos += 2
			if depth == 0 {
				return true
			}
		default:
			l.pos++
		}
	}
	return false
}

func (l *lexer) bad(start int, message string) token {
	if l.pos <= start {
		l.pos = start + 1
	}
	l.pos = min(l.pos, len(l.text))
	return token{kind: tokenBad, start: start, end: l.pos, value: message}
}

func (l *lexer) symbol() token {
	start := l.pos
	rest := l.text[start:]
	if strings.HasPrefix(rest, "(#") {
		l.pos += 2
		return token{kind: tokenPragma, start: start, end: l.pos, value: "(#"}
	}
	for _, s := range twoByteSymbols {
		if strings.HasPrefix(rest, s) && s != "{{" && s != "}}" {
			l.pos += 2
			return token{kind: tokenSymbol, start: start, end: l.pos, value: s}
		}
	}
	if strings.IndexByte("()[]{}@,+-*/=<>.$?#!|;:%`", rest[0]) < 0 {
		r, size := utf8.DecodeRuneInString(rest)
		l.pos += size
		if r == utf8.RuneError && size == 1 {
			return l.bad(start, "the text is not UTF-8")
		}
		return l.bad(start, "this character is not part of the language")
	}
	l.pos++
	return token{kind: tokenSymbol, start: start, end: l.pos, value: rest[:1]}
}

// name reads an NCName of n bytes and, without white space, what makes it a QName or a wildcard.
func (l *lexer) name(n int) token {
	start := l.pos
	local := l.text[start : start+n]
	l.pos += n
	rest := l.text[l.pos:]
	if len(rest) < 2 || rest[0] != ':' || rest[1] == ':' || rest[1] == '=' {
		return token{kind: tokenName, start: start, end: l.pos, value: local}
	}
	if rest[1] == '*' {
		l.pos += 2
		return token{kind: tokenPrefixed, start: start, end: l.pos, prefix: local, value: "*"}
	}
	m := nameLength(rest[1:])
	if m == 0 {
		return token{kind: tokenName, start: start, end: l.pos, value: local}
	}
	l.pos += 1 + m
	return token{kind: tokenQName, start: start, end: l.pos, prefix: local, value: rest[1 : 1+m]}
}

func (l *lexer) localWildcard() token {
	start := l.pos
	n := nameLength(l.text[start+2:])
	if n == 0 {
		return l.symbol()
	}
	l.pos += 2 + n
	return token{kind: tokenLocal, start: start, end: l.pos, value: l.text[start+2 : l.pos]}
}

// uriName reads Q{uri}local and Q{uri}*.
func (l *lexer) uriName() token {
	start := l.pos
	end := strings.IndexAny(l.text[start+2:], "{}")
	if end < 0 || l.text[start+2+end] == '{' {
		return l.bad(start, "the braced URI does not end")
	}
	raw := l.text[start+2 : start+2+end]
	uri, code := expandReferences(raw)
	if code != "" {
		t := l.bad(start, "the braced URI has a bad character reference")
		t.prefix = code
		return t
	}
	uri = strings.Join(strings.Fields(uri), " ")
	l.pos = start + 2 + end + 1
	if strings.HasPrefix(l.text[l.pos:], "*") {
		l.pos++
		return token{kind: tokenURIAny, start: start, end: l.pos, prefix: uri, value: "*"}
	}
	n := nameLength(l.text[l.pos:])
	if n == 0 {
		return l.bad(start, "a name must follow the braced URI")
	}
	local := l.text[l.pos : l.pos+n]
	l.pos += n
	return token{kind: tokenURIName, start: start, end: l.pos, prefix: uri, value: local}
}

// number reads an IntegerLiteral, DecimalLiteral or DoubleLiteral.
func (l *lexer) number() token {
	start := l.pos
	kind := tokenInteger
	l.digits()
	if l.pos < len(l.text) && l.text[l.pos] == '.' && !strings.HasPrefix(l.text[l.pos:], "..") {
		kind = tokenDecimal
		l.pos++
		l.digits()
	}
	if l.pos < len(l.text) && (l.text[l.pos] == 'e' || l.text[l.pos] == 'E') {
		kind = tokenDouble
		l.pos++
		if l.pos < len(l.text) && (l.text[l.pos] == '+' || l.text[l.pos] == '-') {
			l.pos++
		}
		first := l.pos
		l.digits()
		if l.pos == first {
			return l.bad(start, "the number's exponent has no digits")
		}
	}
	if nameLength(l.text[l.pos:]) > 0 {
		return l.bad(start, "white space must stand between a number and a name")
	}
	return token{kind: kind, start: start, end: l.pos, value: l.text[start:l.pos]}
}

func (l *lexer) digits() {
	for l.pos < len(l.text) && isDigit(l.text[l.pos]) {
		l.pos++
	}
}

// stringLiteral reads a StringLiteral with doubled quotes and references.
func (l *lexer) stringLiteral(quote byte) token {
	start := l.pos
	end := start + 1
	doubled := false
	for {
		i := strings.IndexByte(l.text[end:], quote)
		if i < 0 {
			l.pos = len(l.text)
			return l.bad(start, "the string does not end")
		}
		end += i + 1
		if end >= len(l.text) || l.text[end] != quote {
			break
		}
		doubled = true
		end++
	}
	l.pos = end
	value := l.text[start+1 : end-1]
	if !utf8.ValidString(value) {
		return l.bad(start, "the text is not UTF-8")
	}
	if doubled {
		q := string(quote)
		value = strings.ReplaceAll(value, q+q, q)
	}
	expanded, code := expandReferences(value)
	if code != "" {
		t := l.bad(start, "the string has an unknown entity or a bad character reference; write '&' as '&amp;'")
		t.prefix = code
		return t
	}
	return token{kind: tokenString, start: start, end: end, value: expanded}
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isNameStartByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= utf8.RuneSelf
}

// nameLength is the length in bytes of the NCName at the start of s, 0 when there is none (Namespaces in XML 1.0).
func nameLength(s string) int {
	i := 0
	for i < len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' ||
			i > 0 && (c >= '0' && c <= '9' || c == '-' || c == '.') {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			return i
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if !isNameStartRune(r) && (i == 0 || !isNameRune(r)) {
			return i
		}
		i += size
	}
	return i
}

func isNameStartRune(r rune) bool {
	return r >= 0xC0 && r <= 0xD6 || r >= 0xD8 && r <= 0xF6 || r >= 0xF8 && r <= 0x2FF || r >= 0x370 && r <= 0x37D ||
		r >= 0x37F && r <= 0x1FFF || r >= 0x200C && r <= 0x200D || r >= 0x2070 && r <= 0x218F ||
		r >= 0x2C00 && r <= 0x2FEF || r >= 0x3001 && r <= 0xD7FF || r >= 0xF900 && r <= 0xFDCF ||
		r >= 0xFDF0 && r <= 0xFFFC || r >= 0x10000 && r <= 0xEFFFF
}

func isNameRune(r rune) bool {
	return r == 0xB7 || r >= 0x300 && r <= 0x36F || r >= 0x203F && r <= 0x2040
}

// expandReferences replaces the predefined entities and the character references of a string literal. Its code is
// empty when all are right.
func expandReferences(s string) (expanded, code string) {
	if strings.IndexByte(s, '\r') >= 0 {
		s = strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
	}
	if strings.IndexByte(s, '&') < 0 {
		return s, ""
	}
	var b strings.Builder
	b.Grow(len(s))
	for {
		i := strings.IndexByte(s, '&')
		if i < 0 {
			b.WriteString(s)
			return b.String(), ""
		}
		b.WriteString(s[:i])
		end := strings.IndexByte(s[i:], ';')
		if end < 0 {
			return "", codeSyntax
		}
		r, code := reference(s[i+1 : i+end])
		if code != "" {
			return "", code
		}
		b.WriteRune(r)
		s = s[i+end+1:]
	}
}

var predefinedEntities = map[string]rune{"lt": '<', "gt": '>', "amp": '&', "quot": '"', "apos": '\''}

// reference is the character that an entity's name or "#10", "#xA" stands for.
func reference(name string) (r rune, code string) {
	if r, ok := predefinedEntities[name]; ok {
		return r, ""
	}
	if len(name) < 2 || name[0] != '#' {
		return 0, codeSyntax
	}
	digits, base := name[1:], rune(10)
	if digits[0] == 'x' {
		digits, base = digits[1:], 16
	}
	if digits == "" {
		return 0, codeSyntax
	}
	for i := range len(digits) {
		d := digitValue(digits[i])
		if d < 0 || d >= base {
			return 0, codeSyntax
		}
		r = min(r*base+d, utf8.MaxRune+1)
	}
	if !isXMLRune(r) {
		return 0, codeReference
	}
	return r, ""
}

func digitValue(c byte) rune {
	switch {
	case c >= '0' && c <= '9':
		return rune(c - '0')
	case c >= 'a' && c <= 'f':
		return rune(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return rune(c-'A') + 10
	}
	return -1
}

// isXMLRune reports whether XML 1.0 allows the character in a document.
func isXMLRune(r rune) bool {
	return r == 0x9 || r == 0xA || r == 0xD || r >= 0x20 && r <= 0xD7FF || r >= 0xE000 && r <= 0xFFFD ||
		r >= 0x10000 && r <= utf8.MaxRune
}
