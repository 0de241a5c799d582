package xquery

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/lestrrat-go/helium"
	"golang.org/x/text/unicode/norm"
)

// Namespaces of the vocabularies that HTML 5 knows without prefixes.
const (
	namespaceXHTML  = "http://www.w3.org/1999/xhtml"
	namespaceSVG    = "http://www.w3.org/2000/svg"
	namespaceMathML = "http://www.w3.org/1998/Math/MathML"
)

// dialect is the kind of markup that is written.
type dialect struct {
	html, xhtml bool
	five        bool // version 5 of HTML, or later
}

// htmlVersionFive is the version of HTML without a parameter that gives one.
const htmlVersionFive = 5

func (p *outputParameters) htmlDialect() dialect {
	d := dialect{html: p.method == "html", xhtml: p.method == "xhtml"}
	version := p.htmlVersion
	if version == "" && d.html {
		version = p.version
	}
	number, err := strconv.ParseFloat(version, 64)
	d.five = (d.html || d.xhtml) && (err != nil || number >= htmlVersionFive)
	return d
}

// knows says whether an element is one of HTML (sections 6.1 and 7.1).
func (d dialect) knows(e *helium.Element) bool {
	switch e.URI() {
	case "":
		return d.html || d.five
	case namespaceXHTML:
		return d.xhtml || d.five
	}
	return false
}

// unprefixed says whether elements of a namespace are written without a prefix.
func (d dialect) unprefixed(uri string) bool {
	return d.five && (uri == namespaceXHTML || uri == namespaceSVG || uri == namespaceMathML)
}

// wordSet is a set of names in lower case.
func wordSet(words string) map[string]bool {
	set := make(map[string]bool)
	for _, word := range strings.Fields(words) {
		set[word] = true
	}
	return set
}

var (
	voidHTML5 = wordSet("area base br col embed hr img input keygen link meta param source track wbr")
	voidHTML4 = wordSet("area base basefont br col embed frame hr img input isindex link meta param")
	// inlineHTML are the elements beside which white space counts.
	inlineHTML = wordSet(`a abbr acronym applet area audio b basefont bdi bdo big br button canvas cite code data datalist del
		dfn em embed font i iframe img input ins kbd keygen label map mark math meter noscript object output picture
		progress q ruby s samp script select small span strike strong sub sup svg template textarea time tt u var video wbr`)
	formattedHTML = wordSet("pre script style textarea title xmp")
	booleanHTML   = map[string]map[string]bool{
		"allowfullscreen": wordSet("iframe"), "async": wordSet("script"), "autofocus": wordSet("button input select textarea keygen"),
		"autoplay": wordSet("audio video"), "checked": wordSet("input command"), "compact": wordSet("dir dl menu ol ul"),
		"controls": wordSet("audio video"), "declare": wordSet("object"), "default": wordSet("track"),
		"defer": wordSet("script"), "disabled": wordSet("button fieldset input optgroup option select textarea keygen command"),
		"formnovalidate": wordSet("button input"), "hidden": nil, "ismap": wordSet("img input"), "itemscope": nil,
		"loop": wordSet("audio video"), "multiple": wordSet("select input"), "muted": wordSet("audio video"),
		"nohref": wordSet("area"), "noresize": wordSet("frame"), "noshade": wordSet("hr"), "novalidate": wordSet("form"),
		"nowrap": wordSet("td th"), "open": wordSet("details dialog"), "readonly": wordSet("input textarea"),
		"required": wordSet("input select textarea"), "reversed": wordSet("ol"), "scoped": wordSet("style"),
		"seamless": wordSet("iframe"), "selected": wordSet("option"), "typemustmatch": wordSet("object"),
	}
	uriHTML = map[string]map[string]bool{
		"action": wordSet("form"), "archive": wordSet("object"), "background": wordSet("body"),
		"cite": wordSet("blockquote del ins q"), "classid": wordSet("object"), "codebase": wordSet("applet object"),
		"data": wordSet("object"), "datasrc": wordSet("button div input object select span table textarea"),
		"for": wordSet("script"), "formaction": wordSet("button input"), "href": wordSet("a area base link"),
		"icon": wordSet("command"), "longdesc": wordSet("frame iframe img"), "manifest": wordSet("html"),
		"name": wordSet("a"), "poster": wordSet("video"), "profile": wordSet("head"),
		"src": wordSet("audio embed frame iframe img input script source track video"), "usemap": wordSet("img input object"),
		"value": wordSet("input"),
	}
)

func lowerName(e *helium.Element) string { return strings.ToLower(e.LocalName()) }

func isInline(e *helium.Element) bool    { return inlineHTML[lowerName(e)] }
func isFormatted(e *helium.Element) bool { return formattedHTML[lowerName(e)] }

// isRaw says whether HTML has no references in an element.
func isRaw(e *helium.Element) bool { return lowerName(e) == "script" || lowerName(e) == "style" }

// ofElement looks an attribute up in a table of elements by attributes; an entry without elements is for all.
func ofElement(table map[string]map[string]bool, e *helium.Element, attribute string) bool {
	elements, listed := table[strings.ToLower(attribute)]
	return listed && (elements == nil || elements[lowerName(e)])
}

// empty ends the tag of an element without content.
func (w *markupWriter) empty(e *helium.Element, label string, known bool) {
	void := known && voidHTML4[lowerName(e)]
	if w.dialect.five {
		void = known && voidHTML5[lowerName(e)]
	}
	switch {
	case void && w.dialect.html:
		w.out.string(">")
	case void:
		w.out.string(" />")
	case known, w.dialect.xhtml:
		w.out.string("></" + label + ">")
	default:
		w.out.string("/>")
	}
}

// contentType writes the element meta that says which encoding the document has; head is the label of its parent.
func (w *markupWriter) contentType(head string, e *helium.Element) {
	prefix, _, qualified := strings.Cut(head, ":")
	if qualified {
		prefix += ":"
	} else {
		prefix = ""
	}
	encoding := w.encoding
	if encoding == "" {
		encoding = "UTF-8"
	}
	meta := "meta"
	if e.LocalName() == "HEAD" {
		meta = "META"
	}
	w.out.string("<" + prefix + meta)
	w.attributeMarkup("http-equiv", "Content-Type")
	w.attributeMarkup("content", w.mediaType+"; charset="+encoding)
	if w.dialect.html {
		w.out.string(">")
	} else {
		w.out.string(" />")
	}
}

// isContentType says whether a node is what contentType replaces.
func isContentType(n helium.Node) bool {
	e, ok := n.(*helium.Element)
	if !ok || lowerName(e) != "meta" {
		return false
	}
	found := false
	e.ForEachAttribute(func(a *helium.Attribute) bool {
		found = strings.EqualFold(a.Name(), "http-equiv") && strings.EqualFold(strings.TrimSpace(a.Value()), "content-type")
		return !found
	})
	return found
}

// htmlAttribute writes an attribute of an element of HTML.
func (w *markupWriter) htmlAttribute(e *helium.Element, a *helium.Attribute) error {
	label, value := a.Name(), a.Value()
	isURI := w.escapeURIs && a.URI() == "" && ofElement(uriHTML, e, label)
	if isURI {
		value = escapeURI(value)
	}
	if !w.dialect.html {
		w.attributeMarkup(label, value)
		return nil
	}
	w.out.string(" " + label)
	if a.URI() == "" && strings.EqualFold(label, value) && ofElement(booleanHTML, e, label) {
		return nil
	}
	w.out.string(`="`)
	var failed error
	if isURI {
		failed = w.htmlEscape(value, true)
	} else {
		w.pieces(value, func(s string) {
			if failed == nil {
				failed = w.htmlEscape(s, true)
			}
		}, w.out.string)
	}
	w.out.string(`"`)
	return failed
}

// escapeURI percent-encodes what is not ASCII (section 7.4.5).
func escapeURI(value string) string {
	var b strings.Builder
	for _, c := range []byte(norm.NFC.String(value)) {
		if c < ' ' || c > '~' {
			fmt.Fprintf(&b, "%%%02X", c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

func (w *markupWriter) htmlText(text string) error {
	var failed error
	w.pieces(text, func(s string) {
		if failed == nil {
			failed = w.htmlEscape(s, false)
		}
	}, w.out.string)
	return failed
}

// htmlEscape writes text or the value of an attribute with the references of HTML (section 7.4).
func (w *markupWriter) htmlEscape(text string, attribute bool) error {
	start := 0
	for i, r := range text {
		reference := ""
		switch {
		case r == '&':
			if !attribute || !strings.HasPrefix(text[i+1:], "{") {
				reference = "&amp;"
			}
		case r == '<' && !attribute:
			reference = "&lt;"
		case r == '>' && !attribute:
			reference = "&gt;"
		case r == '"' && attribute:
			reference = "&quot;"
		case r == 0xA0:
			reference = "&nbsp;"
		case r >= 0x7F && r <= 0x9F, r < ' ' && !isCharacter(r):
			return xpathError("SERE0014", "HTML has no character U+%04X", r)
		case r == '\r', !w.out.has(r):
			reference = characterReference(r)
		}
		if reference != "" {
			w.out.string(text[start:i])
			w.out.string(reference)
			start = i + len(string(r))
		}
	}
	w.out.string(text[start:])
	return nil
}
