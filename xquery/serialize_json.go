package xquery

import (
	"fmt"
	"strings"
	"unicode/utf16"

	"github.com/lestrrat-go/helium/xpath3"
)

// jsonWriter is the method json (section 9).
type jsonWriter struct {
	*outputParameters
	out   *stringStream
	depth int
	full  bool // there was an item
}

func (w *jsonWriter) begin() error { return nil }

func (w *jsonWriter) item(item xpath3.Item) error {
	if w.full {
		return xpathError("SERE0023", "a sequence of many items cannot be written as JSON")
	}
	w.full = true
	return w.value(xpath3.ItemSlice{item})
}

func (w *jsonWriter) end() error {
	if w.full {
		return nil
	}
	return w.value(nil)
}

// value writes the value of a member or an entry, or the whole: at most one item.
func (w *jsonWriter) value(s xpath3.Sequence) error {
	switch {
	case s == nil || s.Len() == 0:
		w.out.string("null")
		return w.out.step()
	case s.Len() > 1:
		return xpathError("SERE0023", "%d items cannot be written as one value of JSON", s.Len())
	}
	if err := w.out.enter(); err != nil {
		return err
	}
	defer w.out.leave()
	switch item := s.Get(0).(type) {
	case xpath3.MapItem:
		return w.object(item)
	case xpath3.ArrayItem:
		return w.array(item)
	case xpath3.AtomicValue:
		return w.atom(item)
	case xpath3.NodeItem:
		return w.node(item)
	}
	return xpathError("SERE0021", "a function cannot be written as JSON")
}

func (w *jsonWriter) object(m xpath3.MapItem) error {
	w.out.string("{")
	seen := make(map[string]bool, m.Size())
	w.depth++
	err := m.ForEach(func(key xpath3.AtomicValue, value xpath3.Sequence) error {
		name, err := xpath3.AtomicToString(key)
		if err != nil {
			return err
		}
		if seen[name] && !w.duplicates {
			return xpathError("SERE0022", "two keys of a map are written as %q", name)
		}
		if len(seen) > 0 {
			w.out.string(",")
		}
		seen[name] = true
		w.line()
		w.string(name)
		w.out.string(":")
		if w.indent {
			w.out.string(" ")
		}
		return w.value(value)
	})
	w.depth--
	if m.Size() > 0 {
		w.line()
	}
	w.out.string("}")
	return err
}

func (w *jsonWriter) array(a xpath3.ArrayItem) error {
	w.out.string("[")
	w.depth++
	for i, member := range a.Members() {
		if i > 0 {
			w.out.string(",")
		}
		w.line()
		if err := w.value(member); err != nil {
			return err
		}
	}
	w.depth--
	if a.Size() > 0 {
		w.line()
	}
	w.out.string("]")
	return nil
}

// line begins a line if the result is indented.
func (w *jsonWriter) line() {
	if w.indent {
		w.out.string("\n")
		w.out.string(strings.Repeat("  ", w.depth))
	}
}

func (w *jsonWriter) atom(a xpath3.AtomicValue) error {
	text, err := xpath3.AtomicToString(a)
	if err != nil {
		return err
	}
	switch {
	case a.TypeName == xpath3.TypeBoolean:
		w.out.string(text)
	case a.IsNumeric():
		if text == "NaN" || text == "INF" || text == "-INF" {
			return xpathError("SERE0020", "%s cannot be written as JSON", text)
		}
		w.out.string(text)
	default:
		w.string(text)
	}
	return nil
}

// node writes a node as the string that the method of "json-node-output-method" makes of it.
func (w *jsonWriter) node(item xpath3.NodeItem) error {
	p := *w.outputParameters
	p.method, p.omit, p.standalone, p.form, p.characters = p.nodeMethod, true, "", "", nil
	p.version, p.separator, p.undeclare = "", nil, false
	var text strings.Builder
	out := p.characterStream(&text)
	out.tick, out.can, out.depth = w.out.tick, nil, w.out.depth
	if err := p.write(out, xpath3.ItemSlice{item}); err != nil {
		return err
	}
	if err := out.close(); err != nil {
		return err
	}
	w.string(text.String())
	return nil
}

// string writes a string with the escapes of JSON.
func (w *jsonWriter) string(text string) {
	w.out.string(`"`)
	w.pieces(text, w.escaped, w.out.string)
	w.out.string(`"`)
}

var jsonEscapes = map[rune]string{
	'"': `\"`, '\\': `\\`, '/': `\/`, '\b': `\b`, '\f': `\f`, '\n': `\n`, '\r': `\r`, '\t': `\t`,
}

func (w *jsonWriter) escaped(text string) {
	for _, r := range text {
		escape, escaped := jsonEscapes[r]
		switch {
		case escaped:
			w.out.string(escape)
		case r < ' ' || r >= 0x7F && r <= 0x9F || !w.out.has(r) && r < 0x10000:
			w.out.string(fmt.Sprintf(`\u%04X`, r))
		case !w.out.has(r):
			high, low := utf16.EncodeRune(r)
			w.out.string(fmt.Sprintf(`\u%04X\u%04X`, high, low))
		default:
			w.out.rune(r)
		}
	}
}
