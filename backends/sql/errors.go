package sql

import (
	"context"
	"errors"
	"strings"

	"clacks"
	"clacks/backends"
	"clacks/internal/store"
)

// explain says what the failure of a plan means to the caller.
func (b *Backend) explain(ctx context.Context, p *plan, err error) error {
	var rows *store.RowsError
	if errors.As(err, &rows) {
		return b.explainRows(ctx, p, rows)
	}
	var violated *store.ConstraintError
	if errors.As(err, &violated) {
		return explainConstraint(p, violated)
	}
	if clacks.KindOf(err) == clacks.Internal {
		b.tables.forget() // a table may have been altered: the next call looks
	}
	return err
}

// explainRows tells a missing row from one that is not as it should be. The row may come or go in between; either answer
// was true at some moment of the call then.
func (b *Backend) explainRows(ctx context.Context, p *plan, rows *store.RowsError) error {
	if p.steps[rows.Index].kind != stepLock {
		there, err := b.exists(ctx, p.target, p.key)
		if err != nil {
			return err
		}
		if there {
			return &clacks.Error{Op: "sql." + string(p.op), Kind: clacks.Conflict, Reason: "the row has changed", Err: rows}
		}
	}
	return &clacks.Error{Op: "sql." + string(p.op), Kind: clacks.NotFound,
		Reason: "there is no such row in " + p.target.table.Name, Err: rows}
}

func explainConstraint(p *plan, violated *store.ConstraintError) error {
	e := &clacks.Error{Op: "sql." + string(p.op), Kind: clacks.Invalid, Reason: "the database refuses the values", Err: violated}
	code, reason := clacks.CodeCheck, "the database refuses it ("+string(violated.Kind)+")"
	switch violated.Kind {
	case store.ConstraintUnique:
		e.Kind, e.Reason = clacks.NotUnique, "a unique value is already taken"
		code, reason = clacks.CodeNotUnique, "it is already taken"
	case store.ConstraintForeign:
		if p.op == backends.OpDelete || p.op == backends.OpRename {
			e.Kind, e.Reason = clacks.InUse, "other rows refer to this one"
			return e
		}
		reason = "it refers to something that is not there"
	case store.ConstraintNotNull:
		code, reason = clacks.CodeMandatory, "the database wants a value"
	case store.ConstraintType:
		code, reason = clacks.CodeType, "it does not fit the column"
	}
	if attribute := p.attributeOf(violated); attribute != "" {
		e.Fields = []clacks.Field{{Attribute: attribute, Code: code, Reason: reason}}
	}
	return e
}

// attributeOf is the attribute that a violation is about, in the caller's spelling where he names it.
func (p *plan) attributeOf(violated *store.ConstraintError) string {
	if violated.Index < len(p.steps) && p.steps[violated.Index].attribute != "" {
		return p.steps[violated.Index].attribute
	}
	for _, place := range p.places {
		if place.child == nil && strings.EqualFold(place.column.Name, violated.Column) {
			return place.attribute
		}
	}
	return violated.Column
}
