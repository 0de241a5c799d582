package xquery

import (
	"math"
	"strconv"
	"strings"

	"github.com/lestrrat-go/helium"
	"github.com/lestrrat-go/helium/xpath3"
)

// adaptiveWriter is the method adaptive (section 10), which writes any sequence.
type adaptiveWriter struct {
	*outputParameters
	out     *stringStream
	markup  *markupWriter
	written bool
}

func (w *adaptiveWriter) begin() error { return nil }
func (w *adaptiveWriter) end() error   { return nil }

func (w *adaptiveWriter) item(item xpath3.Item) error {
	switch {
	case !w.written:
	case w.separator != nil:
		w.out.string(*w.separator)
	default:
		w.out.string("\n")
	}
	w.written = true
	return w.any(item)
}

// any writes an item wherever it stands.
func (w *adaptiveWriter) any(item xpath3.Item) error {
	if err := w.out.enter(); err != nil {
		return err
	}
	defer w.out.leave()
	switch item := item.(type) {
	case xpath3.AtomicValue:
		return w.atom(item)
	case xpath3.NodeItem:
		return w.node(item.Node)
	case xpath3.MapItem:
		return w.mapItem(item)
	case xpath3.ArrayItem:
		w.out.string("[")
		for i, member := range item.Members() {
			if i > 0 {
				w.out.string(",")
			}
			if err := w.value(member); err != nil {
				return err
			}
		}
		w.out.string("]")
		return nil
	case xpath3.FunctionItem:
		w.out.string(functionLabel(item))
		return nil
	}
	return xpathError("SENR0001", "an item of an unknown kind cannot be written")
}

func (w *adaptiveWriter) mapItem(m xpath3.MapItem) error {
	w.out.string("map{")
	first := true
	err := m.ForEach(func(key xpath3.AtomicValue, value xpath3.Sequence) error {
		if !first {
			w.out.string(",")
		}
		first = false
		if err := w.atom(key); err != nil {
			return err
		}
		w.out.string(":")
		return w.value(value)
	})
	w.out.string("}")
	return err
}

// value writes the value of an entry or a member: in parentheses, unless it is one item.
func (w *adaptiveWriter) value(s xpath3.Sequence) error {
	if s != nil && s.Len() == 1 {
		return w.any(s.Get(0))
	}
	w.out.string("(")
	if s != nil {
		for i := range s.Len() {
			if i > 0 {
				w.out.string(",")
			}
			if err := w.any(s.Get(i)); err != nil {
				return err
			}
		}
	}
	w.out.string(")")
	return nil
}

// node writes a node by the method xml, without a declaration.
func (w *adaptiveWriter) node(n helium.Node) error {
	if w.markup == nil {
		p := *w.outputParameters
		p.method, p.omit, p.standalone, p.separator, p.system = "xml", true, "", nil, ""
		w.markup = newMarkupWriter(&p, w.out)
	}
	w.markup.after = false
	switch n := n.(type) {
	case *helium.Attribute:
		w.markup.attributeText(n.Name(), n.Value())
		return nil
	case *helium.NamespaceNodeWrapper:
		label := "xmlns"
		if n.Name() != "" {
			label += ":" + n.Name()
		}
		w.markup.attributeText(label, string(n.Content()))
		return nil
	}
	return w.markup.item(xpath3.NodeItem{Node: n})
}

// functionLabel is a function's name and its number of parameters.
func functionLabel(f xpath3.FunctionItem) string {
	label := "(anonymous-function)"
	if f.Name != "" {
		label = "Q{" + f.Namespace + "}" + f.Name
		for _, prefix := range []string{"fn", "math", "map", "array", "xs"} {
			if predeclared[prefix] == f.Namespace {
				label = prefix + ":" + f.Name
			}
		}
	}
	return label + "#" + strconv.Itoa(f.Arity)
}

func (w *adaptiveWriter) atom(a xpath3.AtomicValue) error {
	if a.TypeName == xpath3.TypeUntypedAtomic || xpath3.BuiltinIsSubtypeOf(a.TypeName, xpath3.TypeString) ||
		xpath3.BuiltinIsSubtypeOf(a.TypeName, xpath3.TypeAnyURI) {
		w.out.string(`"`)
		w.pieces(a.StringVal(), func(s string) { w.out.string(strings.ReplaceAll(s, `"`, `""`)) }, w.out.string)
		w.out.string(`"`)
		return nil
	}
	if q, ok := a.Value.(xpath3.QNameValue); ok {
		w.out.string("Q{" + q.URI + "}" + q.Local)
		return nil
	}
	text, err := xpath3.AtomicToString(a)
	if err != nil {
		return err
	}
	switch {
	case a.TypeName == xpath3.TypeBoolean:
		text += "()"
	case xpath3.BuiltinIsSubtypeOf(a.TypeName, xpath3.TypeDecimal):
	case xpath3.BuiltinIsSubtypeOf(a.TypeName, xpath3.TypeDouble):
		text = exponential(a, text)
	default:
		text = primitiveType(a.TypeName) + `("` + text + `")`
	}
	w.out.string(text)
	return nil
}

// exponential is a double as fn:format-number(., "0.0##########################e0") gives it, but in full precision.
func exponential(a xpath3.AtomicValue, text string) string {
	n := a.ToFloat64()
	if math.IsNaN(n) || math.IsInf(n, 0) {
		return text
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(n, 'e', -1, 64), "e")
	if !strings.Contains(mantissa, ".") {
		mantissa += ".0"
	}
	e, err := strconv.Atoi(exponent)
	if err != nil {
		return text
	}
	return mantissa + "e" + strconv.Itoa(e)
}

// primitiveType is the primitive type that a type is derived from.
func primitiveType(name string) string {
	for _, primitive := range []string{xpath3.TypeDuration, xpath3.TypeDateTime} {
		if xpath3.BuiltinIsSubtypeOf(name, primitive) {
			return primitive
		}
	}
	return name
}
