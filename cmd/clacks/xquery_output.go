package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/mattn/go-isatty"
	"golang.org/x/text/width"

	"clacks/xquery"
)

// isTerminal reports whether a person reads what is written.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// colours reports whether to write colours (https://no-color.org).
func (c xqueryCommand) colours(w io.Writer) bool {
	switch c.Color {
	case "always":
		return true
	case "never":
		return false
	}
	return isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// The colours, as terminals know them (ECMA-48, SGR).
const (
	plain   = "\x1b[0m"
	markup  = "\x1b[34m"
	literal = "\x1b[32m"
	number  = "\x1b[36m"
	aside   = "\x1b[90m"
	warning = "\x1b[1;31m"
)

// flushDelay is how long a part of the result waits for the next one before it is shown.
const flushDelay = 50 * time.Millisecond

// resultWriter writes a result: in large pieces when it comes fast, and without much delay when it comes slowly.
type resultWriter struct {
	mu      sync.Mutex
	out     *bufio.Writer
	err     error
	pending *time.Timer // nil when nothing waits
	painter *painter    // nil when nobody sees colours
	last    byte
}

func newResultWriter(w io.Writer, colours bool, method string) *resultWriter {
	r := &resultWriter{out: bufio.NewWriterSize(w, 64<<10), last: '\n'}
	if colours {
		r.painter = &painter{out: r.out, json: method == "json", text: method == "text"}
	}
	return r
}

// Write implements io.Writer.
func (r *resultWriter) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil || len(p) == 0 {
		return 0, r.err
	}
	r.last = p[len(p)-1]
	if r.painter != nil {
		r.painter.paint(p)
	} else {
		_, r.err = r.out.Write(p)
	}
	if r.pending == nil {
		r.pending = time.AfterFunc(flushDelay, r.flush)
	}
	return len(p), r.err
}

func (r *resultWriter) flush() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending = nil
	if err := r.out.Flush(); r.err == nil {
		r.err = err
	}
}

// end ends the last line.
func (r *resultWriter) end() error {
	r.mu.Lock()
	if r.pending != nil {
		r.pending.Stop()
	}
	if r.painter != nil {
		r.painter.to(plain)
	}
	if r.last != '\n' {
		_ = r.out.WriteByte('\n') // Flush reports it
	}
	r.mu.Unlock()
	r.flush()
	return r.err
}

// painter colours XML or JSON that comes in pieces. It sees syntax by its first characters, not more; what is not well
// formed gets odd colours, but stays as it is.
type painter struct {
	out        *bufio.Writer
	json, text bool
	colour     string
	inside     byte   // '<' of markup, '!' of a comment, '"' or '\'' of a quoted value, 0 of text
	back       byte   // what is around the quoted value
	recent     string // the last bytes, to see the beginning and the end of comments
	escaped    bool
}

func (p *painter) to(colour string) {
	if p.colour != colour && (p.colour != "" || colour != plain) {
		_, _ = p.out.WriteString(colour)
	}
	p.colour = colour
}

func (p *painter) paint(text []byte) {
	for _, c := range text {
		switch {
		case p.text:
		case p.json:
			p.paintJSON(c)
		default:
			p.paintXML(c)
		}
		_ = p.out.WriteByte(c) // Flush reports it
		p.after(c)
	}
}

// paintXML chooses the colour of the next character of XML.
func (p *painter) paintXML(c byte) {
	p.recent = p.recent[max(len(p.recent)-3, 0):] + string(rune(c))
	switch p.inside {
	case 0:
		if c == '<' {
			p.inside = '<'
			p.to(markup)
			return
		}
		p.to(plain)
	case '<':
		switch {
		case strings.HasSuffix(p.recent, "<!--"):
			p.inside = '!'
			p.to(aside)
		case c == '"' || c == '\'':
			p.inside, p.back = c, '<'
			p.to(literal)
		default:
			p.to(markup)
		}
	}
}

// paintJSON chooses the colour of the next character of JSON.
func (p *painter) paintJSON(c byte) {
	switch {
	case p.inside == '"':
	case c == '"':
		p.inside, p.back, p.escaped = '"', 0, true // the quote itself does not end it
		p.to(literal)
	case strings.IndexByte("{}[]:, \t\r\n", c) >= 0:
		p.to(plain)
	default:
		p.to(number)
	}
}

// after notes what ends behind a character.
func (p *painter) after(c byte) {
	switch {
	case p.json:
		switch {
		case p.inside != '"':
		case p.escaped:
			p.escaped = false
		case c == '\\':
			p.escaped = true
		case c == '"':
			p.inside = 0
		}
	case p.inside == '!' && strings.HasSuffix(p.recent, "-->"), p.inside == '<' && c == '>':
		p.inside = 0
	case (p.inside == '"' || p.inside == '\'') && p.back == 0:
		if c == p.inside {
			p.inside = '<'
		}
	case p.inside == '"' || p.inside == '\'':
		p.back = 0 // the opening quote
	}
}

// report tells what is wrong, with the line that it stands in, and is the exit status.
func (r *xqueryRun) report(err error) error {
	if err == nil {
		return nil
	}
	colour := func(code, text string) string { return text }
	if r.colours(r.env.stderr) {
		colour = func(code, text string) string { return code + text + plain }
	}
	var usage wrongUsage
	if errors.As(err, &usage) {
		_, _ = fmt.Fprintf(r.env.stderr, "clacks: %s\nclacks: see clacks xquery --help\n", printable(usage.message))
		return failure{2}
	}
	var e *xquery.Error
	if !errors.As(err, &e) {
		return err
	}
	place := "clacks"
	if e.Line > 0 {
		place = strings.TrimPrefix(fmt.Sprintf("%s:%d:%d", e.File, e.Line, e.Column), ":")
	} else if e.File != "" {
		place = e.File
	}
	message := e.Message
	if e.Err != nil && !errors.Is(e.Err, xquery.ErrLimit) && !strings.Contains(message, e.Err.Error()) {
		message += ": " + e.Err.Error()
	}
	_, _ = fmt.Fprintf(r.env.stderr, "%s: %s: %s\n", printable(place), colour(warning, printable(e.Name())), printable(message))
	if line, column, ok := excerpt(r.sources[e.File], e.Line, e.Column); ok {
		gutter := fmt.Sprintf("%5d | ", e.Line)
		_, _ = fmt.Fprintf(r.env.stderr, "%s%s\n%s%s\n", colour(aside, gutter), line,
			colour(aside, strings.Repeat(" ", len(gutter)-2)+"| "), strings.Repeat(" ", columns(line, column))+colour(warning, "^"))
	}
	return failure{1}
}

// excerptWidth is how much of a long line is shown.
const excerptWidth = 100

// excerpt is a line of a source, and how many characters stand before the column in it.
func excerpt(source string, line, column int) (text string, before int, ok bool) {
	if line < 1 || column < 1 {
		return "", 0, false
	}
	for range line - 1 {
		_, rest, found := strings.Cut(source, "\n")
		if !found {
			return "", 0, false
		}
		source = rest
	}
	source, _, _ = strings.Cut(source, "\n")
	all := []rune(printable(strings.TrimSuffix(source, "\r")))
	before = min(column-1, len(all))
	if start := before - excerptWidth/2; start > 0 && len(all) > excerptWidth {
		all, before = all[start:], before-start
	}
	return string(all[:min(len(all), excerptWidth)]), before, true
}

// columns is how many columns of a terminal the first characters of a line take: those of East Asia mostly two, and marks
// that combine with the character before none.
func columns(line string, characters int) int {
	total := 0
	for _, c := range line {
		if characters--; characters < 0 {
			break
		}
		switch kind := width.LookupRune(c).Kind(); {
		case kind == width.EastAsianWide || kind == width.EastAsianFullwidth:
			total += 2
		case !unicode.In(c, unicode.Mn, unicode.Me):
			total++
		}
	}
	return total
}

// printable replaces what would do more to a terminal than print, a character for a character.
func printable(text string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c == '\t':
			return ' '
		case unicode.IsControl(c) || c == utf8.RuneError || unicode.Is(unicode.Cf, c):
			return '\uFFFD'
		}
		return c
	}, text)
}
