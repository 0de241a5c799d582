package xquery

import (
	"bufio"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/transform"
	"golang.org/x/text/unicode/norm"
)

// stringStream is where the methods write. It keeps the first error of its writer, so that only its end must be looked
// at.
type stringStream struct {
	out *bufio.Writer
	end io.Closer // what turns characters into bytes of another encoding than UTF-8; or nil
	// can says whether the encoding has a character; nil for all.
	can func(r rune) bool
	// tick is asked once a node whether to go on; or nil.
	tick   func() error
	failed error
	depth  int // of what is being written
}

// maxNested bounds the depth of trees, arrays and maps that are written or compared: each level takes some of the stack.
const maxNested = 10_000

// enter begins a level, which leave ends.
func (s *stringStream) enter() error {
	if s.depth++; s.depth > maxNested {
		return tooMuch(0, "the result nests more than %d deep", maxNested)
	}
	return s.step()
}

func (s *stringStream) leave() { s.depth-- }

func (s *stringStream) string(text string) {
	if _, err := s.out.WriteString(text); err != nil && s.failed == nil {
		s.failed = err
	}
}

func (s *stringStream) rune(r rune) {
	if _, err := s.out.WriteRune(r); err != nil && s.failed == nil {
		s.failed = err
	}
}

// fail remembers why what is written is wrong.
func (s *stringStream) fail(err error) {
	if s.failed == nil {
		s.failed = err
	}
}

// step counts a node, and returns why to stop.
func (s *stringStream) step() error {
	if s.failed != nil {
		return s.failed
	}
	if s.tick != nil {
		return s.tick()
	}
	return nil
}

// has says whether the encoding has a character.
func (s *stringStream) has(r rune) bool { return r < utf8.RuneSelf || s.can == nil || s.can(r) }

// flush hands over what was written so far.
func (s *stringStream) flush() error {
	if s.failed == nil {
		s.failed = s.out.Flush()
	}
	return s.failed
}

func (s *stringStream) close() error {
	_ = s.flush()
	if s.end != nil && s.failed == nil {
		s.failed = s.end.Close()
	}
	return s.failed
}

// characterStream writes characters, not bytes: the encoding only decides about character references.
func (p *outputParameters) characterStream(w io.Writer) *stringStream {
	s := &stringStream{out: bufio.NewWriter(w)}
	if e, _ := characterEncoding(p.encoding); e != nil {
		s.can = representable(e)
	}
	return s
}

// stream writes bytes in the encoding of the parameters.
func (p *outputParameters) stream(w io.Writer) (*stringStream, error) {
	e, known := characterEncoding(p.encoding)
	if !known {
		return nil, xpathError("SESU0007", "the encoding %q is not supported", p.encoding)
	}
	if e == nil {
		s := &stringStream{out: bufio.NewWriter(w)}
		if p.mark {
			s.rune('\uFEFF')
		}
		return s, nil
	}
	encoded := transform.NewWriter(w, e.NewEncoder())
	return &stringStream{out: bufio.NewWriter(encoded), end: encoded, can: representable(e)}, nil
}

// characterEncoding finds an encoding by its name; UTF-8 is nil.
func characterEncoding(name string) (e encoding.Encoding, known bool) {
	switch strings.ToUpper(name) {
	case "", "UTF-8", "UTF8":
		return nil, true
	case "US-ASCII", "ASCII":
		return asciiEncoding{}, true
	}
	e, err := ianaindex.IANA.Encoding(name)
	return e, err == nil && e != nil
}

// asciiEncoding is US-ASCII, which the library only has as windows-1252.
type asciiEncoding struct{}

func (asciiEncoding) NewDecoder() *encoding.Decoder { return encoding.Nop.NewDecoder() }
func (asciiEncoding) NewEncoder() *encoding.Encoder {
	return &encoding.Encoder{Transformer: encoding.Nop.NewEncoder()}
}

// representable tells which characters an encoding has.
func representable(e encoding.Encoding) func(r rune) bool {
	if _, ascii := e.(asciiEncoding); ascii {
		return func(r rune) bool { return r < utf8.RuneSelf }
	}
	encoder := e.NewEncoder()
	known := make(map[rune]bool)
	return func(r rune) bool {
		can, asked := known[r]
		if !asked {
			_, err := encoder.String(string(r))
			can = err == nil
			known[r] = can
		}
		return can
	}
}

// budgetWriter collects a text and counts it as constructed.
type budgetWriter struct {
	*budget
	text strings.Builder
}

func (w *budgetWriter) Write(p []byte) (int, error) {
	if err := w.construct(len(p)); err != nil {
		return 0, err
	}
	return w.text.Write(p)
}

// pieces cuts a text at the characters that a character map replaces (section 11): plain gets what stands between
// them, in the normalization form of the parameters, verbatim their replacements.
func (p *outputParameters) pieces(text string, plain, verbatim func(string)) {
	normalized := func(s string) {
		if s != "" {
			plain(p.normalize(s))
		}
	}
	if len(p.characters) == 0 {
		normalized(text)
		return
	}
	start := 0
	for i, r := range text {
		if replacement, mapped := p.characters[r]; mapped {
			normalized(text[start:i])
			verbatim(replacement)
			start = i + utf8.RuneLen(r)
		}
	}
	normalized(text[start:])
}

// normalize brings a text into the normalization form of the parameters.
func (p *outputParameters) normalize(text string) string {
	if form, ok := normalizationForms[p.form]; ok {
		return form.String(text)
	}
	return text
}

var normalizationForms = map[string]norm.Form{
	"NFC": norm.NFC, "NFD": norm.NFD, "NFKC": norm.NFKC, "NFKD": norm.NFKD,
}
