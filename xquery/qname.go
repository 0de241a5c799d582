package xquery

import (
	"strings"

	"github.com/lestrrat-go/helium/xpath3"
)

// castQName casts to xs:QName by the namespaces that are known where the cast stands.
func castQName(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	atoms, err := atMost(args[1], 1)
	if err != nil {
		return nil, err
	}
	if len(atoms) == 0 {
		if integerArgument(args[2]) == 1 {
			return nil, nil
		}
		return nil, typeError("nothing cannot be cast to xs:QName")
	}
	a := atoms[0]
	if _, ok := a.Value.(xpath3.QNameValue); ok && a.TypeName == xpath3.TypeQName {
		return xpath3.ItemSlice{a}, nil
	}
	if a.TypeName != xpath3.TypeUntypedAtomic && !xpath3.BuiltinIsSubtypeOf(a.TypeName, xpath3.TypeString) {
		return nil, typeError("an %s cannot be cast to xs:QName", a.TypeName)
	}
	q, err := b.query.statics[integerArgument(args[0])].qname(strings.Trim(a.StringVal(), " \t\r\n"))
	if err != nil {
		return nil, err
	}
	return xpath3.ItemSlice{xpath3.AtomicValue{TypeName: xpath3.TypeQName, Value: q}}, nil
}

// qname resolves the text of a QName.
func (s *static) qname(text string) (xpath3.QNameValue, error) {
	prefix, local, colon := strings.Cut(text, ":")
	if !colon {
		prefix, local = "", text
	}
	if local == "" || nameLength(local) != len(local) || colon && (prefix == "" || nameLength(prefix) != len(prefix)) {
		return xpath3.QNameValue{}, xpathError("FORG0001", "%q is not a name", text)
	}
	if !colon {
		return xpath3.QNameValue{Local: local, URI: s.elements}, nil
	}
	uri, ok := s.namespace(prefix)
	if !ok {
		return xpath3.QNameValue{}, xpathError("FONS0004", "the namespace prefix %q is not declared", prefix)
	}
	return xpath3.QNameValue{Prefix: prefix, Local: local, URI: uri}, nil
}

func castableQName(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	_, err := castQName(b, args)
	return xpath3.SingleBoolean(err == nil), nil
}

// raisedError is the last error that fn:error raised with an object.
type raisedError struct {
	err    *xpath3.XPathError
	object xpath3.Sequence
}

// errorValue is the object of the error that a catch caught.
func errorValue(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	if b.raised == nil || len(args) != 2 || args[0] == nil || args[0].Len() != 1 {
		return nil, nil
	}
	a, _ := args[0].Get(0).(xpath3.AtomicValue)
	q, _ := a.Value.(xpath3.QNameValue)
	raised := b.raised.err.CodeQName()
	text, _ := concatOperand(args[1])
	if q.URI != raised.URI || q.Local != raised.Local || text != b.raised.err.Message {
		return nil, nil
	}
	return b.raised.object, nil
}
