package sql

import (
	"context"

	"clacks"
	"clacks/backends"
	"clacks/internal/store"
)

// edit is the sum of a change's mods of one attribute.
type edit struct {
	at place

	// Of a column: what it must hold before (nil for nothing) and is to hold.
	before, now any
	known       bool

	// Of a child column: the rows to take away, to put in, and to only find there.
	removed, added, kept rows
}

// edits runs the mods in their order on what must have been there, without looking at the database: each attribute ends
// with what the first of its mods takes for granted and what the last one leaves.
func (b *Backend) edits(ctx context.Context, t *target, mods []backends.Mod) ([]*edit, error) {
	var list []*edit
	byColumn := map[string]*edit{}
	for _, mod := range mods {
		at, err := b.place(ctx, t, mod.Attribute)
		if err != nil {
			return nil, err
		}
		if len(mod.Delete) == 0 && len(mod.Add) == 0 {
			continue
		}
		if at.isKey(t) {
			return nil, invalid(mod.Attribute, clacks.CodeReadOnly, "it is the key of the row, which a rename changes")
		}
		e := byColumn[at.name()]
		if e == nil {
			e = &edit{at: at}
			byColumn[at.name()] = e
			list = append(list, e)
		}
		if err := b.edit(e, mod); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (b *Backend) edit(e *edit, mod backends.Mod) error {
	removed, err := b.arguments(e.at, mod.Delete)
	if err != nil {
		return err
	}
	added, err := b.arguments(e.at, mod.Add)
	if err != nil {
		return err
	}
	if e.at.child == nil && len(added) > 1 {
		return invalid(mod.Attribute, clacks.CodeSingle, "a column holds one value")
	}
	take, put := e.takeColumn, e.putColumn
	if e.at.child != nil {
		take, put = e.takeRow, e.putRow
	}
	for _, arg := range removed {
		if !take(arg) {
			return conflict(mod.Attribute, "a value to delete is not there")
		}
	}
	for _, arg := range added {
		if !put(arg) {
			return conflict(mod.Attribute, "a value to add is already there")
		}
	}
	return nil
}

func (e *edit) takeColumn(arg any) bool {
	if !e.known {
		e.before, e.known = arg, true
		return true
	}
	fits := e.now != nil && same(e.now) == same(arg)
	e.now = nil
	return fits
}

func (e *edit) putColumn(arg any) bool {
	free := !e.known || e.now == nil
	e.now, e.known = arg, true
	return free
}

func (e *edit) takeRow(arg any) bool {
	if e.added.remove(arg) {
		return true
	}
	if e.removed.has(arg) {
		return false
	}
	e.kept.remove(arg)
	e.removed.add(arg)
	return true
}

func (e *edit) putRow(arg any) bool {
	if e.removed.remove(arg) {
		e.kept.add(arg)
		return true
	}
	if e.added.has(arg) || e.kept.has(arg) {
		return false
	}
	e.added.add(arg)
	return true
}

// rows are parameters in the order in which they came, found by what they are.
type rows struct {
	args []any
	at   map[string]int // 1 + the place in args
}

func (r *rows) has(arg any) bool { return r.at[same(arg)] > 0 }

func (r *rows) add(arg any) {
	if r.at == nil {
		r.at = make(map[string]int)
	}
	r.args = append(r.args, arg)
	r.at[same(arg)] = len(r.args)
}

// remove takes one out and reports whether it was there. The last one takes its place.
func (r *rows) remove(arg any) bool {
	key := same(arg)
	i := r.at[key]
	if i == 0 {
		return false
	}
	last := len(r.args) - 1
	r.args[i-1] = r.args[last]
	r.at[same(r.args[last])] = i
	r.args = r.args[:last]
	delete(r.at, key)
	return true
}

// writeChildren makes an edit of a child column: first it holds the rows against what the edit takes for granted.
func (b *Backend) writeChildren(p *plan, e *edit) {
	table, owner := e.at.child.table.quoted, b.equal(e.at.child.owner, "")
	for _, set := range b.sets(e.at, e.kept.args) {
		b.count(p, e.at, set, set.size)
	}
	for _, set := range b.sets(e.at, e.removed.args) {
		p.add(stepWrite, e.at.attribute, store.Statement{
			SQL: "DELETE FROM " + table + " WHERE " + owner + " AND " + set.condition, Args: []any{p.key, set.arg}, Rows: set.size,
		})
	}
	for _, set := range b.sets(e.at, e.added.args) {
		b.count(p, e.at, set, 0)
	}
	b.insertChildren(p, e.at, e.added.args)
}

// set is a condition that holds for some values of a column.
type set struct {
	condition string
	arg       any
	size      int64
}

// sets are conditions for all of the values: one for text and integers on PostgreSQL, which takes them as an array, else
// one a value. Either way the number of values does not show in the text, so that it is prepared once.
func (b *Backend) sets(at place, args []any) []set {
	if len(args) == 0 {
		return nil
	}
	if array := b.array(at.column, args); array != nil {
		return []set{{condition: at.column.quoted + " = ANY (?)", arg: array, size: int64(len(args))}}
	}
	list := make([]set, len(args))
	for i, arg := range args {
		list[i] = set{condition: b.equal(at.column, ""), arg: arg, size: 1}
	}
	return list
}

// array is the parameters as one array, or nil where the database or the type has none.
func (b *Backend) array(c *Column, args []any) any {
	if !b.postgres() {
		return nil
	}
	switch c.kind {
	case kindText:
		return typed[string](args)
	case kindInteger:
		return typed[int64](args)
	}
	return nil
}

func typed[T any](args []any) any {
	list := make([]T, len(args))
	for i, arg := range args {
		list[i] = arg.(T) // convert made it one
	}
	return list
}

// count fails the change unless so many child rows of the set are there.
func (b *Backend) count(p *plan, at place, s set, n int64) {
	p.add(stepGuard, at.attribute, store.Statement{
		SQL: "SELECT 1 WHERE (SELECT count(*) FROM " + at.child.table.quoted + " WHERE " + b.equal(at.child.owner, "") + " AND " +
			s.condition + ") = ?",
		Args: []any{p.key, s.arg, n}, Rows: 1,
	})
}

// exactly fails the change unless the child rows have these values and no others.
func (b *Backend) exactly(p *plan, at place, args []any) {
	p.add(stepGuard, at.attribute, store.Statement{
		SQL: "SELECT 1 WHERE (SELECT count(*) FROM " + at.child.table.quoted + " WHERE " + b.equal(at.child.owner, "") + " AND " +
			at.column.quoted + " IS NOT NULL) = ?",
		Args: []any{p.key, int64(len(args))}, Rows: 1,
	})
	for _, s := range b.sets(at, args) {
		b.count(p, at, s, s.size)
	}
}

func (b *Backend) insertChildren(p *plan, at place, args []any) {
	if len(args) == 0 {
		return
	}
	into := "INSERT INTO " + at.child.table.quoted + " (" + at.child.owner.quoted + ", " + at.column.quoted + ") "
	if array := b.array(at.column, args); array != nil {
		element := "text"
		if at.column.kind == kindInteger {
			element = "bigint"
		}
		p.add(stepWrite, at.attribute, store.Statement{
			SQL: into + "SELECT ?, unnest(CAST(? AS " + element + "[]))", Args: []any{p.key, array}, Rows: int64(len(args)),
		})
		return
	}
	for _, arg := range args {
		p.add(stepWrite, at.attribute, store.Statement{SQL: into + "VALUES (?, ?)", Args: []any{p.key, arg}, Rows: 1})
	}
}
