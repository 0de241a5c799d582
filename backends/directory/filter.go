package directory

import (
	"strings"

	"clacks"
	"clacks/backends"
	"clacks/internal/dn"
)

// The size of a filter.
const (
	maxFilterDepth = 100
	maxFilterNodes = 10000
)

// truth is the three-valued logic of RFC 4511, section 4.5.1.7.
type truth int8

const (
	no    truth = -1
	maybe truth = 0 // "Undefined"
	yes   truth = 1
)

// condition is a compiled filter.
type condition func(r *record) truth

// compile turns a filter into a condition: clacks.Invalid when it is malformed, clacks.Limit when it is too large.
func (s *schema) compile(f *backends.Filter) (condition, error) {
	if f == nil {
		return func(*record) truth { return yes }, nil
	}
	nodes := 0
	return s.compileNode(f, 0, &nodes)
}

func (s *schema) compileNode(f *backends.Filter, depth int, nodes *int) (condition, error) {
	if *nodes++; depth > maxFilterDepth || *nodes > maxFilterNodes {
		return nil, clacks.E(clacks.Limit, "directory.search", "the filter is too deep or too large")
	}
	if f == nil {
		return nil, clacks.E(clacks.Invalid, "directory.search", "a part of the filter is missing")
	}
	switch f.Op {
	case backends.And, backends.Or, backends.Not:
		parts := make([]condition, len(f.Of))
		for i, part := range f.Of {
			var err error
			if parts[i], err = s.compileNode(part, depth+1, nodes); err != nil {
				return nil, err
			}
		}
		return join(f.Op, parts)
	case backends.Equal, backends.Present, backends.Prefix, backends.Contain, backends.AtLeast:
		if !validDescription(f.Attribute) {
			return nil, clacks.E(clacks.Invalid, "directory.search", "%.60q is not the name of an attribute", f.Attribute)
		}
		return s.comparison(f), nil
	}
	return nil, clacks.E(clacks.Invalid, "directory.search", "there is no filter operator %.20q", string(f.Op))
}

func join(op backends.FilterOp, parts []condition) (condition, error) {
	if op == backends.Not {
		if len(parts) != 1 {
			return nil, clacks.E(clacks.Invalid, "directory.search", "Not takes one filter, not %d", len(parts))
		}
		return func(r *record) truth { return -parts[0](r) }, nil
	}
	if op == backends.And {
		return func(r *record) truth {
			result := yes
			for _, part := range parts {
				if result = min(result, part(r)); result == no {
					break
				}
			}
			return result
		}, nil
	}
	return func(r *record) truth {
		result := no
		for _, part := range parts {
			if result = max(result, part(r)); result == yes {
				break
			}
		}
		return result
	}, nil
}

// comparison is the condition of one attribute. What the attribute's rule does not allow is undefined.
func (s *schema) comparison(f *backends.Filter) condition {
	undefined := func(*record) truth { return maybe }
	if key := strings.ToLower(f.Attribute); key == "entryuuid" || key == "entrydn" || key == "entrycsn" {
		return s.operationalComparison(f, key)
	}
	d, ok := s.describe(f.Attribute)
	if !ok {
		return undefined
	}
	if f.Op == backends.Present {
		return func(r *record) truth { return anyValue(r, d, func(*attribute, string) bool { return true }) }
	}
	value, ok := encode(f.Value)
	rule := d.typ.rule
	if !ok {
		return undefined
	}
	if d.typ.key == "objectclass" && f.Op == backends.Equal {
		return s.classComparison(value)
	}
	switch f.Op {
	case backends.Equal:
		if !rule.comparable || !rule.mayAsk(value) {
			return undefined
		}
		key := rule.key(value)
		return func(r *record) truth {
			return anyValue(r, d, func(a *attribute, v string) bool { return v == value || rule.key(v) == key })
		}
	case backends.AtLeast:
		if !rule.ordered || !rule.valid(value) {
			return undefined
		}
		return func(r *record) truth {
			return anyValue(r, d, func(a *attribute, v string) bool { return rule.atLeast(v, value) })
		}
	}
	if !rule.substrings || !rule.mayAsk(value) {
		return undefined
	}
	part := fragment(rule, value)
	contains := strings.Contains
	if f.Op == backends.Prefix {
		contains, part = strings.HasPrefix, strings.TrimLeft(part, " ")
	}
	if part == "" {
		return func(*record) truth { return no } // nothing but insignificant characters
	}
	return func(r *record) truth {
		return anyValue(r, d, func(a *attribute, v string) bool { return contains(rule.key(v), part) })
	}
}

// fragment is the normal form of a part of a value: spaces at its ends count, since they are inside of the whole.
func fragment(r *rule, part string) string {
	const mark = "\uE000" // a private character that no rule touches
	return strings.Trim(r.key(mark+part+mark), mark)
}

// anyValue reports whether a value of the type, with at least the options asked for, matches.
func anyValue(r *record, d description, match func(a *attribute, value string) bool) truth {
	for i := range r.attributes {
		a := &r.attributes[i]
		if a.typ != d.typ || !strings.HasPrefix(a.key, d.key) {
			continue
		}
		for _, v := range a.values {
			if match(a, v) {
				return yes
			}
		}
	}
	return no
}

// classComparison finds entries of a class and of those below it.
func (s *schema) classComparison(value string) condition {
	asked := s.classes[strings.ToLower(value)]
	return func(r *record) truth {
		for _, name := range r.values("objectclass") {
			if c := s.classes[strings.ToLower(name)]; c != nil && asked != nil && c.isA(asked) || strings.EqualFold(name, value) {
				return yes
			}
		}
		if asked == nil {
			return maybe
		}
		return no
	}
}

func (s *schema) operationalComparison(f *backends.Filter, key string) condition {
	value, ok := encode(f.Value)
	return func(r *record) truth {
		stored, _ := s.operational(r, key)
		text, _ := stored.(string)
		switch {
		case f.Op == backends.Present:
			return yes
		case f.Op != backends.Equal || !ok:
			return maybe
		case key == "entrydn" && dn.Equal(text, value), strings.EqualFold(text, value):
			return yes
		}
		return no
	}
}

// viaIndex finds a part of the filter that every match must fulfil and that the index can answer.
func (s *schema) viaIndex(f *backends.Filter) (row indexRow, ok bool) {
	if f == nil {
		return row, false
	}
	switch f.Op {
	case backends.And:
		for _, part := range f.Of {
			if row, ok = s.viaIndex(part); ok {
				return row, true
			}
		}
	case backends.Equal:
		d, known := s.describe(f.Attribute)
		value, encoded := encode(f.Value)
		if known && encoded && indexed[d.typ.key] {
			return indexRow{d.typ.key, d.typ.indexKey(value)}, true
		}
	}
	return row, false
}
