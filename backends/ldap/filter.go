package ldap

import (
	"strings"

	goldap "github.com/go-ldap/ldap/v3"

	"clacks"
	"clacks/backends"
)

const (
	// maxFilterDepth and maxFilterSize bound a filter: go-ldap and the server walk it recursively.
	maxFilterDepth = 100
	maxFilterSize  = 10_000
)

// compile is a filter as text (RFC 4515). Everything that comes from outside is checked or escaped here.
func compile(op string, filter *backends.Filter) (string, error) {
	if filter == nil {
		return anything, nil
	}
	f := filterText{op: op}
	if err := f.write(filter, 0); err != nil {
		return "", err
	}
	return f.String(), nil
}

// filterText is a filter in the making.
type filterText struct {
	strings.Builder
	op    string
	parts int
}

func (f *filterText) write(filter *backends.Filter, depth int) error {
	if f.parts++; depth > maxFilterDepth || f.parts > maxFilterSize {
		return clacks.E(clacks.Limit, f.op, "the filter is nested deeper than %d or has more than %d parts", maxFilterDepth, maxFilterSize)
	}
	if filter == nil {
		return clacks.E(clacks.Invalid, f.op, "a part of the filter is missing")
	}
	switch filter.Op {
	case backends.And, backends.Or, backends.Not:
		return f.join(filter, depth)
	}
	if !isAttribute(filter.Attribute) {
		return badAttribute(f.op, filter.Attribute)
	}
	if filter.Op == backends.Present {
		f.item(filter.Attribute, "=*", "", "")
		return nil
	}
	value, err := encode(filter.Attribute, filter.Value)
	if err != nil {
		return err
	}
	switch filter.Op {
	case backends.Equal:
		f.item(filter.Attribute, "=", value, "")
	case backends.AtLeast:
		f.item(filter.Attribute, ">=", value, "")
	case backends.Prefix:
		f.item(filter.Attribute, "=", value, "*")
	case backends.Contain:
		if value == "" { // "**" is not a filter
			f.item(filter.Attribute, "=*", "", "")
			return nil
		}
		f.item(filter.Attribute, "=*", value, "*")
	default:
		return clacks.E(clacks.Invalid, f.op, "%q is not an operator of a filter", filter.Op)
	}
	return nil
}

func (f *filterText) item(attribute, operator, value, end string) {
	f.WriteByte('(')
	f.WriteString(attribute)
	f.WriteString(operator)
	f.WriteString(goldap.EscapeFilter(value))
	f.WriteString(end)
	f.WriteByte(')')
}

// join writes And, Or and Not. Not every server knows the empty And and Or of RFC 4526.
func (f *filterText) join(filter *backends.Filter, depth int) error {
	switch {
	case filter.Op == backends.Not && len(filter.Of) != 1:
		return clacks.E(clacks.Invalid, f.op, "not takes exactly one filter")
	case filter.Op == backends.And && len(filter.Of) == 0:
		f.WriteString(anything)
		return nil
	case filter.Op == backends.Or && len(filter.Of) == 0:
		f.WriteString(nothing)
		return nil
	}
	f.WriteByte('(')
	f.WriteString(map[backends.FilterOp]string{backends.And: "&", backends.Or: "|", backends.Not: "!"}[filter.Op])
	for _, part := range filter.Of {
		if err := f.write(part, depth+1); err != nil {
			return err
		}
	}
	f.WriteByte(')')
	return nil
}

// equals is the filter attribute = value.
func equals(attribute, value string) string {
	return "(" + attribute + "=" + goldap.EscapeFilter(value) + ")"
}
