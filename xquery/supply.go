package xquery

import (
	"fmt"
	"slices"

	"github.com/lestrrat-go/helium/xpath3"
)

// Supply makes the value of an external variable from texts and documents that come from outside, as from a command
// line: each text is cast to the atomic type that the variable is declared with, and untyped if there is none; a
// *Document is its root element if the variable is declared as an element. Variables are named as in Input.Variables. Its
// error is an *Error: XPST0008 for a variable that the query does not have, else that of the cast.
func (q *Query) Supply(variable string, values ...any) (Sequence, error) {
	kind, ok := q.externalType(variable)
	if !ok {
		return nil, &Error{Code: codeUndeclared, Message: fmt.Sprintf("the query has no external variable $%s", variable)}
	}
	all := make(xpath3.ItemSlice, 0, len(values))
	for _, value := range values {
		switch v := value.(type) {
		case string:
			a, err := castText(v, kind)
			if err != nil {
				code, message := classify(err)
				return nil, &Error{Code: code, Message: fmt.Sprintf("$%s: %s", variable, message)}
			}
			all = append(all, a)
		case *Document:
			if wantsElement(kind) && v.Element() != nil {
				value = v.Element()
			}
			all = appendItems(all, value)
		default:
			all = appendItems(all, value)
		}
	}
	return items{all}, nil
}

// externalType is the declared type of an external variable, nil for none.
func (q *Query) externalType(variable string) (kind *xpath3.SequenceType, ok bool) {
	for _, m := range append([]*module{q.module}, q.module.libraries...) {
		for i := range m.variables {
			if v := &m.variables[i]; v.external && variableKey(v.variable) == variable {
				return v.kind, true
			}
		}
	}
	for _, name := range q.options.Variables {
		if name == variable && slices.Contains(q.uses.Variables, name) {
			return nil, true
		}
	}
	return nil, false
}

// castText casts a text to the atomic type of a declaration.
func castText(text string, kind *xpath3.SequenceType) (xpath3.Item, error) {
	untyped := xpath3.AtomicValue{TypeName: xpath3.TypeUntypedAtomic, Value: text}
	if kind == nil || kind.Void {
		return untyped, nil
	}
	t, ok := kind.ItemTest.(xpath3.AtomicOrUnionType)
	if !ok || t.Name == "anyAtomicType" || t.Name == "untypedAtomic" {
		return untyped, nil
	}
	if len(text) > maxDigits && !makesText(t.Name) {
		return nil, xpathError(codeOverflow, "a text of %d bytes is too long to be read as such a value", len(text))
	}
	name := t.Name
	if name == "numeric" {
		name = "double"
	}
	return xpath3.CastAtomic(untyped, "xs:"+name)
}

func wantsElement(kind *xpath3.SequenceType) bool {
	if kind == nil {
		return false
	}
	switch kind.ItemTest.(type) {
	case xpath3.ElementTest, xpath3.SchemaElementTest:
		return true
	}
	return false
}
