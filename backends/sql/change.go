package sql

import (
	"context"
	"slices"
	"strings"

	"clacks"
	"clacks/backends"
	"clacks/internal/store"
)

// stepKind says what it means when a step affects the wrong number of rows.
type stepKind uint8

const (
	stepLock  stepKind = iota // the row is not there
	stepGuard                 // the row is not there, or not as it should be
	stepWrite                 // likewise
)

// step is what is known about a statement of a plan.
type step struct {
	kind      stepKind
	attribute string // the one that it is about, if there is one
}

// plan is a change as statements.
type plan struct {
	op         backends.Op
	target     *target
	key        any
	statements []store.Statement
	steps      []step
	places     []place // of the row's own columns that are written
}

func (p *plan) add(kind stepKind, attribute string, s store.Statement) {
	p.statements = append(p.statements, s)
	p.steps = append(p.steps, step{kind, attribute})
}

// conditions is the WHERE of a statement.
type conditions struct {
	text []string
	args []any
}

func (c *conditions) add(text string, args ...any) {
	c.text = append(c.text, text)
	c.args = append(c.args, args...)
}

func (c *conditions) where() string { return " WHERE " + strings.Join(c.text, " AND ") }

func (b *Backend) plan(ctx context.Context, c backends.Change) (*plan, error) {
	t, err := b.resolve(ctx, c.Ref.Table, c.Ref.Column, c.Ref.Children)
	if err != nil {
		return nil, err
	}
	p := &plan{op: c.Op, target: t}
	if c.Guard.Version != "" {
		return nil, clacks.E(clacks.Conflict, "sql."+string(c.Op), "rows have no version %q", c.Guard.Version)
	}
	p.key, err = b.argument(place{attribute: c.Ref.Column, column: t.key}, c.Ref.Key)
	switch {
	case err == nil:
	case c.Op == backends.OpCreate:
		return nil, err
	default:
		return nil, noRow("sql."+string(c.Op), t)
	}
	switch c.Op {
	case backends.OpCreate:
		err = b.planCreate(ctx, p, c)
	case backends.OpModify:
		err = b.planModify(ctx, p, c)
	case backends.OpRename:
		err = b.planRename(ctx, p, c)
	case backends.OpDelete:
		err = b.planDelete(ctx, p, c)
	default:
		err = clacks.E(clacks.Invalid, "sql.apply", "there is no change %.20q", string(c.Op))
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// planCreate inserts the row, then those of its child tables.
func (b *Backend) planCreate(ctx context.Context, p *plan, c backends.Change) error {
	columns, args := []string{p.target.key.quoted}, []any{p.key}
	var children []func()
	for _, attribute := range sortedNames(c.Add) {
		values := c.Add[attribute]
		if len(values) == 0 {
			continue
		}
		at, err := b.place(ctx, p.target, attribute)
		if err != nil {
			return err
		}
		list, err := b.arguments(at, values)
		if err != nil {
			return err
		}
		switch {
		case at.child != nil:
			if repeated(list) {
				return conflict(attribute, "a value is there twice")
			}
			children = append(children, func() { b.insertChildren(p, at, list) })
		case len(list) > 1:
			return invalid(attribute, clacks.CodeSingle, "a column holds one value")
		case at.isKey(p.target):
			if same(list[0]) != same(p.key) {
				return invalid(attribute, clacks.CodeCheck, "it is the key of the row, which is another")
			}
		default:
			p.places = append(p.places, at)
			columns, args = append(columns, at.column.quoted), append(args, list[0])
		}
	}
	p.places = append(p.places, place{attribute: c.Ref.Column, column: p.target.key})
	p.add(stepWrite, "", store.Statement{
		SQL: "INSERT INTO " + p.target.table.quoted + " (" + strings.Join(columns, ", ") + ") VALUES (" +
			strings.TrimSuffix(strings.Repeat("?, ", len(args)), ", ") + ")",
		Args: args, Rows: 1,
	})
	for _, insert := range children {
		insert()
	}
	return nil
}

func (b *Backend) planModify(ctx context.Context, p *plan, c backends.Change) error {
	edits, err := b.edits(ctx, p.target, c.Mods)
	if err != nil {
		return err
	}
	guard, err := b.guard(ctx, p, c.Guard)
	if err != nil {
		return err
	}
	if err := b.seen(ctx, p, &guard.row, c.Guard.Seen); err != nil {
		return err
	}
	var columns, children []*edit
	for _, e := range edits {
		if e.at.child != nil {
			children = append(children, e)
			continue
		}
		columns = append(columns, e)
		if e.before != nil {
			guard.row.add(b.equal(e.at.column, ""), e.before)
		} else {
			guard.row.add(e.at.column.quoted + " IS NULL")
		}
	}
	if len(children) > 0 || len(guard.children) > 0 {
		b.lock(p)
	}
	guard.check(p)
	b.writeRow(p, columns, &guard.row)
	for _, e := range children {
		b.writeChildren(p, e)
	}
	return nil
}

// writeRow updates the columns under the conditions, or only checks these.
func (b *Backend) writeRow(p *plan, columns []*edit, where *conditions) {
	if len(columns) == 0 {
		text := "SELECT 1 FROM " + p.target.table.quoted + where.where()
		if b.postgres() {
			text += " FOR NO KEY UPDATE"
		}
		p.add(stepGuard, "", store.Statement{SQL: text, Args: where.args, Rows: 1})
		return
	}
	var sets []string
	var args []any
	for _, e := range columns {
		p.places = append(p.places, e.at)
		sets, args = append(sets, e.at.column.quoted+" = ?"), append(args, e.now)
	}
	p.add(stepWrite, "", store.Statement{
		SQL:  "UPDATE " + p.target.table.quoted + " SET " + strings.Join(sets, ", ") + where.where(),
		Args: append(args, where.args...), Rows: 1,
	})
}

// lock holds the row until the transaction ends: changes of child rows, and checks of them, come one after another. It is
// a statement of its own because only the next one sees what others have committed meanwhile.
func (b *Backend) lock(p *plan) {
	text := "SELECT 1 FROM " + p.target.table.quoted + " WHERE " + b.equal(p.target.key, "")
	if b.postgres() {
		text += " FOR NO KEY UPDATE"
	}
	p.add(stepLock, "", store.Statement{SQL: text, Args: []any{p.key}, Rows: 1})
}

// planRename changes the key and the child rows that carry it.
func (b *Backend) planRename(ctx context.Context, p *plan, c backends.Change) error {
	if c.To.Table != "" && fold(c.To.Table) != fold(c.Ref.Table) || c.To.Key == nil {
		return clacks.E(clacks.Invalid, "sql.rename", "a row is renamed to another key of its own table")
	}
	at := place{attribute: c.Ref.Column, column: p.target.key}
	to, err := b.argument(at, c.To.Key)
	if err != nil {
		return err
	}
	guard, err := b.guard(ctx, p, c.Guard)
	if err != nil {
		return err
	}
	p.places = append(p.places, at)
	if len(guard.children) > 0 {
		b.lock(p)
		guard.check(p)
	}
	move := func(table *Table, key *Column) string {
		return "UPDATE " + table.quoted + " SET " + key.quoted + " = ? WHERE "
	}
	row := move(p.target.table, p.target.key) + strings.Join(guard.row.text, " AND ")
	rowArgs := append([]any{to}, guard.row.args...)
	if !b.postgres() {
		// Neither order of the updates satisfies a foreign key that does not cascade; the end of both does.
		p.add(stepWrite, "", store.Statement{SQL: "PRAGMA defer_foreign_keys = ON"})
		p.add(stepWrite, "", store.Statement{SQL: row, Args: rowArgs, Rows: 1})
		for _, name := range sortedNames(p.target.children) {
			child := p.target.children[name]
			p.add(stepWrite, "", store.Statement{SQL: move(child.table, child.owner) + b.equal(child.owner, ""), Args: []any{to, p.key}})
		}
		return nil
	}
	// One statement, since PostgreSQL checks a foreign key when a statement ends: then everything has moved, whether the
	// key cascades or not.
	var moves []string
	var args []any
	for i, name := range sortedNames(p.target.children) {
		child := p.target.children[name]
		moves = append(moves, "clacks_child"+string(rune('a'+i%26))+strings.Repeat("x", i/26)+" AS ("+move(child.table, child.owner)+
			b.equal(child.owner, "")+")")
		args = append(args, to, p.key)
	}
	if len(moves) > 0 {
		row = "WITH " + strings.Join(moves, ", ") + " " + row
	}
	p.add(stepWrite, "", store.Statement{SQL: row, Args: append(args, rowArgs...), Rows: 1})
	return nil
}

func (b *Backend) planDelete(ctx context.Context, p *plan, c backends.Change) error {
	guard, err := b.guard(ctx, p, c.Guard)
	if err != nil {
		return err
	}
	if len(p.target.children) > 0 {
		b.lock(p)
	}
	guard.check(p)
	for _, name := range sortedNames(p.target.children) {
		child := p.target.children[name]
		p.add(stepWrite, "", store.Statement{SQL: "DELETE FROM " + child.table.quoted + " WHERE " + b.equal(child.owner, ""), Args: []any{p.key}})
	}
	p.add(stepWrite, "", store.Statement{SQL: "DELETE FROM " + p.target.table.quoted + guard.row.where(), Args: guard.row.args, Rows: 1})
	return nil
}

// guarded is what must hold when a change is made: conditions on the row, and checks of its child rows.
type guarded struct {
	row      conditions
	children []func(p *plan)
}

func (g *guarded) check(p *plan) {
	for _, check := range g.children {
		check(p)
	}
}

func (b *Backend) guard(ctx context.Context, p *plan, g backends.Guard) (*guarded, error) {
	out := &guarded{}
	out.row.add(b.equal(p.target.key, ""), p.key)
	for _, attribute := range sortedNames(g.Old) {
		at, err := b.place(ctx, p.target, attribute)
		if err != nil {
			return nil, err
		}
		list, err := b.arguments(at, g.Old[attribute])
		if err != nil {
			return nil, err
		}
		switch {
		case at.child != nil:
			out.children = append(out.children, func(p *plan) { b.exactly(p, at, list) })
		case len(list) == 0:
			out.row.add(at.column.quoted + " IS NULL")
		case len(list) == 1:
			out.row.add(b.equal(at.column, ""), list[0])
		default:
			return nil, conflict(attribute, "a column does not hold several values")
		}
	}
	return out, nil
}

// seen adds the conditions for values from which a change was made. Their text is the same whatever the values are, so that
// it is prepared once.
func (b *Backend) seen(ctx context.Context, p *plan, row *conditions, values backends.Values) error {
	is := "IS"
	if b.postgres() {
		is = "IS NOT DISTINCT FROM"
	}
	for _, attribute := range sortedNames(values) {
		at, err := b.place(ctx, p.target, attribute)
		if err != nil {
			return err
		}
		list, err := b.arguments(at, values[attribute])
		if err != nil {
			return err
		}
		switch {
		case at.child != nil:
			b.seenRows(p, row, at, list)
		case at.isKey(p.target): // by which the row is found
		case len(list) > 1:
			return conflict(attribute, "a column does not hold several values")
		default:
			row.add(b.compare(at.column, "", is), append(list, nil)[0])
		}
	}
	return nil
}

// seenRows adds the conditions that the child rows have these values and no others.
func (b *Backend) seenRows(p *plan, row *conditions, at place, list []any) {
	count := "(SELECT count(*) FROM " + at.child.table.quoted + " WHERE " + b.equal(at.child.owner, "") + " AND "
	row.add(count+at.column.quoted+" IS NOT NULL) = ?", p.key, int64(len(list)))
	for _, s := range b.sets(at, list) {
		row.add(count+s.condition+") = ?", p.key, s.arg, s.size)
	}
}

func (b *Backend) arguments(at place, values []backends.Value) ([]any, error) {
	list := make([]any, len(values))
	for i, v := range values {
		arg, err := b.argument(at, v)
		if err != nil {
			return nil, err
		}
		list[i] = arg
	}
	return list, nil
}

func conflict(attribute, reason string) error {
	return &clacks.Error{Op: "sql", Kind: clacks.Conflict, Reason: attribute + ": " + reason}
}

func repeated(args []any) bool {
	seen := make(map[string]bool, len(args))
	for _, arg := range args {
		key := same(arg)
		if seen[key] {
			return true
		}
		seen[key] = true
	}
	return false
}

// sortedNames makes statements come in the same order each time, for the cache of prepared ones and against deadlocks.
func sortedNames[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
