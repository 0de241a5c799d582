package mapping

import (
	"strings"
	"unicode/utf8"
)

// maxEcho is the number of characters of a value or name that a message may repeat.
const maxEcho = 64

// clip shortens a text that comes from outside for a message.
func clip(s string) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	n := 0
	for i := range s {
		if n == maxEcho {
			return s[:i] + "..."
		}
		n++
	}
	return s
}
