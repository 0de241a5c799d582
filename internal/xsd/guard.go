package xsd

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// guard reads a document's markup without parsing it and reports the first reason to refuse it. It knows just enough of
// XML to tell tags from comments, CDATA sections and processing instructions; whether the document is well-formed is the
// parser's to say. It is exact where it has to be: a DOCTYPE can only stand before the root element, where nothing but
// comments, processing instructions and white space may precede it, and guard reads these as every parser does. That
// holds because any encoding but UTF-8 is refused: in UTF-7 or UTF-16 a DOCTYPE would look like text here.
func guard(name string, document []byte, limits Limits) (Issue, bool) {
	g := guarded{name: name, data: document, limits: limits.orDefault()}
	if len(document) > g.limits.Size {
		return Issue{File: name, Message: fmt.Sprintf("the document has %d bytes; %d are allowed", len(document), g.limits.Size)}, false
	}
	if !utf8.Valid(document) || bytes.IndexByte(document, 0) >= 0 {
		return g.refuse(g.firstBad(), "the document is not UTF-8 text")
	}
	g.data = bytes.TrimPrefix(document, []byte("\xef\xbb\xbf"))
	if encoding, ok := declaredEncoding(g.data); !ok {
		return g.refuse(0, fmt.Sprintf("the encoding %q is not supported; write the document in UTF-8", encoding))
	}
	return g.walk()
}

func (l Limits) orDefault() Limits {
	if l.Size <= 0 {
		l.Size = DefaultLimits.Size
	}
	if l.Depth <= 0 {
		l.Depth = DefaultLimits.Depth
	}
	l.Size = min(l.Size, maxSize)
	l.Depth = min(l.Depth, MaxDepth)
	return l
}

type guarded struct {
	name   string
	data   []byte
	limits Limits
}

// walk goes from tag to tag and counts the depth.
func (g *guarded) walk() (Issue, bool) {
	depth := 0
	for pos := 0; ; {
		next := bytes.IndexByte(g.data[pos:], '<')
		if next < 0 {
			return Issue{}, true
		}
		pos += next
		rest := g.data[pos:]
		switch {
		case bytes.HasPrefix(rest, []byte("<!--")):
			pos = g.after(pos+4, "-->")
		case bytes.HasPrefix(rest, []byte("<![CDATA[")):
			pos = g.after(pos+9, "]]>")
		case bytes.HasPrefix(rest, []byte("<?")):
			pos = g.after(pos+2, "?>")
		case bytes.HasPrefix(rest, []byte("<!")):
			return g.refuse(pos, "a DOCTYPE is not allowed")
		case bytes.HasPrefix(rest, []byte("</")):
			depth--
			pos = g.after(pos+2, ">")
		default:
			var empty bool
			start := pos
			pos, empty = g.afterTag(pos + 1)
			depth++
			if depth > g.limits.Depth {
				return g.refuse(start, fmt.Sprintf("elements are nested deeper than %d", g.limits.Depth))
			}
			if empty {
				depth--
			}
		}
	}
}

// after is the position behind the next end, or the end of the document.
func (g *guarded) after(pos int, end string) int {
	if pos >= len(g.data) {
		return len(g.data)
	}
	i := bytes.Index(g.data[pos:], []byte(end))
	if i < 0 {
		return len(g.data)
	}
	return pos + i + len(end)
}

// afterTag is the position behind the start tag whose name begins at pos, and whether the tag is an empty element. A
// quoted ">" does not end the tag.
func (g *guarded) afterTag(pos int) (end int, empty bool) {
	for pos < len(g.data) {
		switch c := g.data[pos]; c {
		case '>':
			return pos + 1, g.data[pos-1] == '/'
		case '<': // not well-formed: read on from here, as the parser will not
			return pos, false
		case '"', '\'':
			i := bytes.IndexByte(g.data[pos+1:], c)
			if i < 0 {
				return len(g.data), false
			}
			pos += i + 2
		default:
			pos++
		}
	}
	return len(g.data), false
}

// refuse makes the issue for a reason at an offset.
func (g *guarded) refuse(offset int, reason string) (Issue, bool) {
	before := g.data[:offset]
	line := bytes.Count(before, []byte("\n")) + 1
	column := utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
	return Issue{File: g.name, Line: line, Column: column, Message: reason}, false
}

// firstBad is the offset of the first byte that is not UTF-8 text.
func (g *guarded) firstBad() int {
	for i := 0; i < len(g.data); {
		r, size := utf8.DecodeRune(g.data[i:])
		if r == 0 || r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return 0
}

// declaredEncoding is the encoding that the XML declaration names, and whether that is UTF-8 or a part of it.
func declaredEncoding(data []byte) (string, bool) {
	if !bytes.HasPrefix(data, []byte("<?xml")) {
		return "", true
	}
	declaration, _, _ := bytes.Cut(data, []byte("?>"))
	_, value, found := bytes.Cut(declaration, []byte("encoding"))
	if !found {
		return "", true
	}
	value = bytes.TrimLeft(value, " \t\r\n=")
	if len(value) == 0 || value[0] != '"' && value[0] != '\'' {
		return "", false
	}
	name, _, closed := bytes.Cut(value[1:], value[:1])
	encoding := string(name[:min(len(name), 40)])
	switch strings.ToUpper(encoding) {
	case "UTF-8", "UTF8", "US-ASCII", "ASCII":
		return encoding, closed
	}
	return encoding, false
}
