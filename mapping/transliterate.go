package mapping

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// letters are those whose ASCII form is not the letter without its marks. Capitals follow from the small ones.
var letters = map[rune]string{
	'ä': "ae", 'ö': "oe", 'ü': "ue", 'ß': "ss", 'æ': "ae", 'œ': "oe", 'ø': "oe", 'å': "a", 'đ': "d", 'ð': "d", 'þ': "th",
	'ł': "l", 'ı': "i", 'ħ': "h", 'ŋ': "ng", 'ŧ': "t", 'ĸ': "k", 'ſ': "s",
	// Greek, after its marks are gone.
	'α': "a", 'β': "v", 'γ': "g", 'δ': "d", 'ε': "e", 'ζ': "z", 'η': "i", 'θ': "th", 'ι': "i", 'κ': "k", 'λ': "l",
	'μ': "m", 'ν': "n", 'ξ': "x", 'ο': "o", 'π': "p", 'ρ': "r", 'σ': "s", 'ς': "s", 'τ': "t", 'υ': "y", 'φ': "f",
	'χ': "ch", 'ψ': "ps", 'ω': "o",
	// Cyrillic.
	'а': "a", 'б': "b", 'в': "v", 'г': "g", 'д': "d", 'е': "e", 'ё': "e", 'ж': "zh", 'з': "z", 'и': "i", 'й': "i",
	'к': "k", 'л': "l", 'м': "m", 'н': "n", 'о': "o", 'п': "p", 'р': "r", 'с': "s", 'т': "t", 'у': "u", 'ф': "f",
	'х': "kh", 'ц': "ts", 'ч': "ch", 'ш': "sh", 'щ': "shch", 'ъ': "", 'ы': "y", 'ь': "", 'э': "e", 'ю': "iu", 'я': "ia",
	'і': "i", 'ї': "i", 'є': "ie", 'ґ': "g",
	// Punctuation that word processors put in place of ASCII's.
	'‘': "'", '’': "'", '“': `"`, '”': `"`, '–': "-", '—': "-", '…': "...",
}

// transliterate writes a text in ASCII.
func transliterate(s string) string {
	var b strings.Builder
	for _, r := range norm.NFC.String(s) {
		if r < 0x80 {
			b.WriteRune(r)
			continue
		}
		if ascii, ok := asciiLetter(r); ok {
			b.WriteString(ascii)
			continue
		}
		for _, part := range norm.NFKD.String(string(r)) {
			if part < 0x80 {
				b.WriteRune(part)
			} else if ascii, ok := asciiLetter(part); ok {
				b.WriteString(ascii)
			}
		}
	}
	return b.String()
}

// asciiLetter looks a letter up; a capital becomes its first letter capital.
func asciiLetter(r rune) (string, bool) {
	if ascii, ok := letters[r]; ok {
		return ascii, true
	}
	ascii, ok := letters[unicode.ToLower(r)]
	if ok && ascii != "" {
		ascii = strings.ToUpper(ascii[:1]) + ascii[1:]
	}
	return ascii, ok
}
