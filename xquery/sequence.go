package xquery

import (
	"fmt"
	"math/big"
	"time"

	"github.com/lestrrat-go/helium"
	"github.com/lestrrat-go/helium/xpath3"
)

// Sequence is a result or an argument: zero or more items. It is read-only.
type Sequence interface {
	Len() int
	// Item is the i-th item as a Go value: string (also untypedAtomic, anyURI and other string-like types), bool, int64
	// (integers that fit), float64, *big.Rat (decimals, and integers that do not fit), time.Time (dateTime, date),
	// []byte (base64Binary, hexBinary), helium.Node, or an opaque value, which Of accepts again.
	Item(i int) any
	// Atoms are the atomized items in the same Go types: nodes become the string of their typed value.
	Atoms() ([]any, error)
	// Strings are the string values of the atomized items.
	Strings() ([]string, error)
}

// items is a sequence of helium's.
type items struct{ seq xpath3.Sequence }

func wrap(s xpath3.Sequence) Sequence { return items{s} }

func (s items) Len() int {
	if s.seq == nil {
		return 0
	}
	return s.seq.Len()
}

func (s items) Item(i int) any { return goValue(s.seq.Get(i)) }

func (s items) atoms() ([]xpath3.AtomicValue, error) {
	if s.seq == nil {
		return nil, nil
	}
	atoms, err := xpath3.AtomizeSequence(s.seq)
	if err != nil {
		code, message := classify(err)
		return nil, &Error{Code: code, Message: message}
	}
	return atoms, nil
}

func (s items) Atoms() ([]any, error) {
	atoms, err := s.atoms()
	if err != nil {
		return nil, err
	}
	values := make([]any, len(atoms))
	for i, a := range atoms {
		values[i] = goValue(a)
	}
	return values, nil
}

func (s items) Strings() ([]string, error) {
	atoms, err := s.atoms()
	if err != nil {
		return nil, err
	}
	texts := make([]string, len(atoms))
	for i, a := range atoms {
		if texts[i], err = xpath3.AtomicToString(a); err != nil {
			code, message := classify(err)
			return nil, &Error{Code: code, Message: message}
		}
	}
	return texts, nil
}

// goValue is an item as a Go value. What Go has no type for stays an item of helium's.
func goValue(item xpath3.Item) any {
	switch v := item.(type) {
	case xpath3.NodeItem:
		return v.Node
	case xpath3.AtomicValue:
		return goAtom(v)
	}
	return item
}

func goAtom(a xpath3.AtomicValue) any {
	switch v := a.Value.(type) {
	case *big.Int:
		if v.IsInt64() {
			return v.Int64()
		}
		return new(big.Rat).SetInt(v)
	case *big.Rat:
		return new(big.Rat).Set(v)
	case *xpath3.FloatValue:
		return v.Float64()
	case string, bool, int64, float64, time.Time, []byte:
		return v
	}
	return a
}

// inner is a sequence in helium's terms.
func inner(s Sequence) xpath3.Sequence {
	switch s := s.(type) {
	case nil:
		return nil
	case items:
		return s.seq
	}
	all := make(xpath3.ItemSlice, 0, s.Len())
	for i := range s.Len() {
		all = appendItems(all, s.Item(i))
	}
	return all
}

// Of makes a sequence of Go values: the types that Item returns, *Document, all integers, float32, *big.Int, other
// sequences (whose items it takes), and nil (for nothing). A time.Time becomes an xs:dateTime, a []byte an
// xs:base64Binary. Any other type is a mistake of the program, and Of panics.
func Of(values ...any) Sequence {
	all := make(xpath3.ItemSlice, 0, len(values))
	for _, v := range values {
		all = appendItems(all, v)
	}
	return items{all}
}

func appendItems(all xpath3.ItemSlice, value any) xpath3.ItemSlice {
	switch v := value.(type) {
	case nil:
		return all
	case Sequence:
		if s := inner(v); s != nil {
			all = append(all, s.Materialize()...)
		}
		return all
	case *Document:
		if v == nil || v.doc == nil {
			return all
		}
		return append(all, xpath3.NodeItem{Node: v.doc})
	case helium.Node:
		return append(all, xpath3.NodeItem{Node: v})
	case xpath3.Item:
		return append(all, v)
	}
	return append(all, atom(value))
}

// atom is a Go value as an atomic value.
func atom(value any) xpath3.AtomicValue {
	switch v := value.(type) {
	case string:
		return xpath3.AtomicValue{TypeName: xpath3.TypeString, Value: v}
	case bool:
		return xpath3.AtomicValue{TypeName: xpath3.TypeBoolean, Value: v}
	case float64:
		return xpath3.AtomicValue{TypeName: xpath3.TypeDouble, Value: xpath3.NewDouble(v)}
	case float32:
		return xpath3.AtomicValue{TypeName: xpath3.TypeFloat, Value: xpath3.NewFloat(float64(v))}
	case *big.Rat:
		if v.IsInt() {
			return xpath3.AtomicValue{TypeName: xpath3.TypeInteger, Value: new(big.Int).Set(v.Num())}
		}
		return xpath3.AtomicValue{TypeName: xpath3.TypeDecimal, Value: new(big.Rat).Set(v)}
	case *big.Int:
		return xpath3.AtomicValue{TypeName: xpath3.TypeInteger, Value: new(big.Int).Set(v)}
	case time.Time:
		return xpath3.AtomicValue{TypeName: xpath3.TypeDateTime, Value: v}
	case []byte:
		return xpath3.AtomicValue{TypeName: xpath3.TypeBase64Binary, Value: v}
	}
	return xpath3.AtomicValue{TypeName: xpath3.TypeInteger, Value: integer(value)}
}

func integer(value any) any {
	switch v := value.(type) {
	case int:
		return int64(v)
	case int64:
		return v
	case int32:
		return int64(v)
	case int16:
		return int64(v)
	case int8:
		return int64(v)
	case uint:
		return new(big.Int).SetUint64(uint64(v))
	case uint64:
		return new(big.Int).SetUint64(v)
	case uint32:
		return int64(v)
	case uint16:
		return int64(v)
	case uint8:
		return int64(v)
	}
	panic(fmt.Sprintf("xquery: Of does not take a %T", value))
}
