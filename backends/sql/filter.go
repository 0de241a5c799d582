package sql

import (
	"context"
	"strings"

	"clacks"
	"clacks/backends"
)

// The size of a filter that is turned into SQL.
const (
	maxFilterDepth = 50
	maxFilterNodes = 1000
)

// filterSQL turns a filter into a condition. Every part of it is TRUE or FALSE and never NULL, so that Not finds the rows
// without a value, as it does in LDAP.
type filterSQL struct {
	b      *Backend
	target *target
	nodes  int
	args   []any
}

func (b *Backend) filter(ctx context.Context, t *target, f *backends.Filter) (string, []any, error) {
	if f == nil {
		return "TRUE", nil, nil
	}
	s := &filterSQL{b: b, target: t}
	text, err := s.condition(ctx, f, 0)
	return text, s.args, err
}

func (s *filterSQL) condition(ctx context.Context, f *backends.Filter, depth int) (string, error) {
	if s.nodes++; depth > maxFilterDepth || s.nodes > maxFilterNodes {
		return "", clacks.E(clacks.Limit, "sql.search", "the filter is too deep or too large")
	}
	if f == nil {
		return "", clacks.E(clacks.Invalid, "sql.search", "a part of the filter is missing")
	}
	switch f.Op {
	case backends.And, backends.Or:
		joint, text := " AND ", "TRUE"
		if f.Op == backends.Or {
			joint, text = " OR ", "FALSE"
		}
		parts := make([]string, len(f.Of))
		for i, part := range f.Of {
			var err error
			if parts[i], err = s.condition(ctx, part, depth+1); err != nil {
				return "", err
			}
		}
		if len(parts) > 0 {
			text = "(" + strings.Join(parts, joint) + ")"
		}
		return text, nil
	case backends.Not:
		if len(f.Of) != 1 {
			return "", clacks.E(clacks.Invalid, "sql.search", "Not takes one filter, not %d", len(f.Of))
		}
		text, err := s.condition(ctx, f.Of[0], depth+1)
		return "(NOT " + text + ")", err
	}
	return s.comparison(ctx, f)
}

func (s *filterSQL) comparison(ctx context.Context, f *backends.Filter) (string, error) {
	at, err := s.b.place(ctx, s.target, f.Attribute)
	if err != nil {
		return "", err
	}
	prefix := s.target.table.quoted + "."
	if at.child != nil {
		prefix = "c."
	}
	text, args, err := s.match(f, at, prefix)
	if err != nil {
		return "", err
	}
	column := prefix + at.column.quoted
	if text != "" {
		text = " AND " + text
	}
	s.args = append(s.args, args...)
	if at.child == nil {
		return "(" + column + " IS NOT NULL" + text + ")", nil
	}
	return "EXISTS (SELECT 1 FROM " + at.child.table.quoted + " c WHERE c." + at.child.owner.quoted + " = " + s.target.table.quoted + "." +
		s.target.key.quoted + " AND " + column + " IS NOT NULL" + text + ")", nil
}

// match is the condition on a value that is there; "" when that is enough.
func (s *filterSQL) match(f *backends.Filter, at place, prefix string) (string, []any, error) {
	switch f.Op {
	case backends.Present:
		return "", nil, nil
	case backends.Equal, backends.AtLeast:
		arg, err := s.b.argument(at, f.Value)
		if err != nil {
			return "FALSE", nil, nil // what the column cannot hold equals nothing in it
		}
		operator := "="
		if f.Op == backends.AtLeast {
			operator = ">="
		}
		return s.b.compare(at.column, prefix, operator), []any{arg}, nil
	case backends.Prefix, backends.Contain:
		part, err := toText(f.Value)
		if err != nil || strings.IndexByte(part, 0) >= 0 {
			return "FALSE", nil, nil
		}
		column := "CAST(" + prefix + at.column.quoted + " AS TEXT)"
		switch {
		case f.Op == backends.Prefix && s.b.postgres():
			return "starts_with(" + column + ", ?)", []any{part}, nil
		case f.Op == backends.Prefix:
			return "substr(" + column + ", 1, length(?)) = ?", []any{part, part}, nil
		case s.b.postgres():
			return "strpos(" + column + ", ?) > 0", []any{part}, nil
		}
		return "instr(" + column + ", ?) > 0", []any{part}, nil
	}
	return "", nil, clacks.E(clacks.Invalid, "sql.search", "there is no filter operator %.20q", string(f.Op))
}
