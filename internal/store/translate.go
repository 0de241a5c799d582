package store

import (
	"slices"
	"strconv"
	"strings"
	"sync"
)

// translation is what PostgreSQL is sent for one text of a Statement.
type translation struct {
	plain string // with $1, $2, ... for ?
	// defines: it is none of the statements that read and write rows, so those behind it may need what it makes.
	defines bool
	// guarded is plain wrapped so that the server itself fails it when the number of rows is not that of one parameter
	// more; "" when it cannot be wrapped.
	guarded string
	// guardedValue is guarded for a Returning statement: it yields the value instead of the number of rows.
	guardedValue string
}

// guardMark stands in the server's error message in front of the number of rows that a guarded statement affected.
const guardMark = "clacks-rows:"

// translations keeps what has been translated. Texts come from code and definitions, so there are few of them; the bound
// is for callers that build texts of many shapes.
type translations struct {
	mu    sync.RWMutex
	texts map[string]*translation
}

const maxTranslations = 4096

func (c *translations) get(sql string) *translation {
	c.mu.RLock()
	t := c.texts[sql]
	c.mu.RUnlock()
	if t != nil {
		return t
	}
	t = translate(sql)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.texts == nil || len(c.texts) >= maxTranslations {
		c.texts = make(map[string]*translation)
	}
	c.texts[sql] = t
	return t
}

// translate numbers the placeholders and makes the guarded forms. The count of a common table expression's rows is what
// an UPDATE, DELETE or INSERT affected; a cast of a text that is no number is an error that carries the count.
func translate(sql string) *translation {
	s := scanSQL(sql)
	t := &translation{plain: s.text}
	with, text := "WITH ", s.text
	if s.main > 0 {
		with, text = strings.TrimRight(s.text[:s.main], " \t\r\n")+", ", s.text[s.main:]
	}
	switch s.verb {
	case "insert", "update", "delete":
		if !s.returning {
			text += " RETURNING 1"
		}
	case "select", "values":
	case "with": // its statement was not found
		return t
	default:
		t.defines = true
		return t
	}
	check := "CASE WHEN count(*) = $" + strconv.Itoa(s.placeholders+1) + "::bigint THEN "
	otherwise := " ELSE CAST('" + guardMark + "' || count(*) AS bigint) END FROM clacks_rows"
	t.guarded = with + "clacks_rows AS (" + text + ") SELECT " + check + "count(*)" + otherwise
	t.guardedValue = with + "clacks_rows(value) AS (" + text + ") SELECT " + check + "max(value)::bigint" + otherwise
	return t
}

// scanned is what one pass over a statement finds.
type scanned struct {
	text         string
	verb         string // its first word, or that of the statement behind a WITH, lower case
	main         int    // where the statement behind a WITH begins in text
	placeholders int
	returning    bool // it has a RETURNING clause
}

// word takes note of a key word outside of parentheses, which begins in the text at a place.
func (s *scanned) word(word string, at int) {
	switch {
	case s.verb == "":
		s.verb = word
	case s.verb == "with" && slices.Contains([]string{"insert", "update", "delete", "select", "values"}, word):
		s.verb, s.main = word, at
	case word == "returning":
		s.returning = true
	}
}

// scanSQL replaces placeholders and finds key words outside of quotes and comments.
func scanSQL(sql string) scanned {
	sql = strings.TrimRight(sql, "; \t\r\n")
	var (
		s     scanned
		b     strings.Builder
		depth int // of parentheses
	)
	b.Grow(len(sql) + 16)
	for i := 0; i < len(sql); {
		end := i + 1
		switch c := sql[i]; {
		case c == '?':
			s.placeholders++
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(s.placeholders))
			i = end
			continue
		case isWordByte(c):
			for end < len(sql) && isWordByte(sql[end]) {
				end++
			}
			if depth == 0 || s.verb == "" {
				s.word(strings.ToLower(sql[i:end]), b.Len())
			}
		case c == '(':
			depth++
		case c == ')':
			depth--
		default:
			end = skipQuoted(sql, i)
		}
		b.WriteString(sql[i:end])
		i = end
	}
	s.text = b.String()
	return s
}

func isWordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c >= 0x80
}

// skipQuoted is the end of the string, quoted name or comment that begins at i, or i+1 when none does.
func skipQuoted(sql string, i int) int {
	rest := sql[i:]
	closing, from := "", 1
	switch {
	case rest[0] == '\'' || rest[0] == '"':
		closing = rest[:1] // a doubled quote closes and opens again, which comes to the same
	case strings.HasPrefix(rest, "--"):
		closing, from = "\n", 2
	case strings.HasPrefix(rest, "/*"):
		closing, from = "*/", 2
	case rest[0] == '$':
		tag := strings.IndexByte(rest[1:], '$')
		if tag < 0 || strings.ContainsFunc(rest[1:tag+1], func(r rune) bool { return r < 0x80 && !isWordByte(byte(r)) }) {
			return i + 1
		}
		closing, from = rest[:tag+2], tag+2
	default:
		return i + 1
	}
	end := strings.Index(rest[from:], closing)
	if end < 0 {
		return len(sql)
	}
	return i + from + end + len(closing)
}
