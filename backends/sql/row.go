package sql

import (
	"context"
	"encoding/json"
	"strings"

	"clacks"
	"clacks/backends"
)

// Read returns the row of ref with the wanted columns, in one statement and so of one moment. "*" stands for all columns
// of the row's own table.
func (b *Backend) Read(ctx context.Context, ref backends.Ref, want []string) (*backends.Entry, error) {
	t, err := b.resolve(ctx, ref.Table, ref.Column, ref.Children)
	if err != nil {
		return nil, err
	}
	list, err := b.selectList(ctx, t, want)
	if err != nil {
		return nil, err
	}
	key, err := b.argument(place{attribute: ref.Column, column: t.key}, ref.Key)
	if err != nil {
		return nil, noRow("sql.read", t) // what the key column cannot hold is in no row
	}
	var entry *backends.Entry
	text := "SELECT " + list.text + " FROM " + t.table.quoted + " WHERE " + b.equal(t.key, "")
	err = b.db.Query(ctx, text, []any{key}, func(scan func(...any) error) error {
		if entry != nil {
			return noKey("sql.read", t)
		}
		entry, err = list.entry(scan)
		return err
	})
	if err != nil {
		return nil, b.readError(err)
	}
	if entry == nil {
		return nil, noRow("sql.read", t)
	}
	entry.Ref = ref
	return entry, nil
}

func noRow(op string, t *target) error {
	return &clacks.Error{Op: op, Kind: clacks.NotFound, Reason: "there is no such row in " + t.table.Name}
}

// noKey says that a column does not name rows, since several have the same value there.
func noKey(op string, t *target) error {
	return &clacks.Error{Op: op, Kind: clacks.Conflict,
		Reason: "the column " + t.key.Name + " is no key of " + t.table.Name + ": several rows have the same value there"}
}

// readError forgets the described tables when a statement fails that was made from them.
func (b *Backend) readError(err error) error {
	if clacks.KindOf(err) == clacks.Internal {
		b.tables.forget()
	}
	return err
}

// exists reports whether there is a row of that key.
func (b *Backend) exists(ctx context.Context, t *target, key any) (there bool, err error) {
	err = b.db.Query(ctx, "SELECT 1 FROM "+t.table.quoted+" WHERE "+b.equal(t.key, ""), []any{key},
		func(func(...any) error) error { there = true; return nil })
	return there, err
}

// selectList is what a SELECT asks for: the columns of the row, and each child column as one JSON array of texts.
type selectList struct {
	text   string
	places []place
}

func (b *Backend) selectList(ctx context.Context, t *target, want []string) (*selectList, error) {
	list := &selectList{}
	var parts []string
	for _, attribute := range want {
		if attribute == "*" {
			for i := range t.table.Columns {
				c := &t.table.Columns[i]
				list.places = append(list.places, place{attribute: c.Name, column: c})
				parts = append(parts, b.readable(c))
			}
			continue
		}
		p, err := b.place(ctx, t, attribute)
		if err != nil {
			return nil, err
		}
		list.places = append(list.places, p)
		if p.child == nil {
			parts = append(parts, b.readable(p.column))
		} else {
			parts = append(parts, b.childArray(t, p))
		}
	}
	if len(parts) == 0 {
		parts = append(parts, "1")
		list.places = nil
	}
	list.text = strings.Join(parts, ", ")
	return list, nil
}

// readable reads a column: as its own type, or as text where Go has none for it, or where Go's is wider and would show more
// digits than were written.
func (b *Backend) readable(c *Column) string {
	if c.kind == kindOther || c.kind == kindIncomparable || c.kind == kindFloat && c.bits == 32 || !b.postgres() && (c.kind == kindTime || c.kind == kindDate) {
		return "CAST(" + c.quoted + " AS TEXT)"
	}
	return c.quoted
}

// childArray collects the values of a child column into one JSON array, so that a row and its children are read at once.
func (b *Backend) childArray(t *target, p place) string {
	column, aggregate := "c."+p.column.quoted, "json_group_array("
	if b.postgres() {
		aggregate = "json_agg("
	}
	return "(SELECT " + aggregate + b.asText(p.column, column) + ") FROM " + p.child.table.quoted + " c WHERE c." + p.child.owner.quoted + " = " +
		t.table.quoted + "." + t.key.quoted + " AND " + column + " IS NOT NULL)"
}

// asText is an expression of a column's type as the text that fromJSON takes.
func (b *Backend) asText(c *Column, expression string) string {
	switch {
	case b.postgres() && c.kind == kindBytes:
		return "encode(" + expression + ", 'hex')"
	case b.postgres() && c.kind == kindTime:
		return "to_char(" + expression + atUTC(c) + `, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`
	case !b.postgres() && c.kind == kindBytes:
		return "hex(" + expression + ")"
	case !b.postgres() && c.kind == kindFloat:
		return "printf('%!.17g', " + expression + ")"
	}
	return "CAST(" + expression + " AS TEXT)"
}

// atUTC makes a timestamp with a time zone one of UTC, whatever the session's zone is.
func atUTC(c *Column) string {
	if strings.HasPrefix(c.Type, "timestamp") && strings.HasSuffix(c.Type, "without time zone") {
		return ""
	}
	return " AT TIME ZONE 'UTC'"
}

// entry makes an entry, without its name, of a row.
func (l *selectList) entry(scan func(...any) error, more ...any) (*backends.Entry, error) {
	raw := make([]any, max(len(l.places), 1))
	dest := make([]any, len(raw), len(raw)+len(more))
	for i := range raw {
		dest[i] = &raw[i]
	}
	if err := scan(append(dest, more...)...); err != nil {
		return nil, clacks.E(clacks.Internal, "sql.read", "a row cannot be read: %w", err)
	}
	entry := &backends.Entry{Values: make(backends.Values, len(l.places))}
	for i, p := range l.places {
		if p.child == nil {
			if v := value(p.column, raw[i]); v != nil {
				entry.Values[p.attribute] = []backends.Value{v}
			}
			continue
		}
		values, err := childValues(p.column, raw[i])
		if err != nil {
			return nil, err
		}
		if len(values) > 0 {
			entry.Values[p.attribute] = values
		}
	}
	return entry, nil
}

func childValues(c *Column, raw any) ([]backends.Value, error) {
	var document []byte
	switch r := raw.(type) {
	case nil:
		return nil, nil
	case string:
		document = []byte(r)
	case []byte:
		document = r
	}
	var texts []string
	if err := json.Unmarshal(document, &texts); err != nil {
		return nil, clacks.E(clacks.Internal, "sql.read", "the rows of a child table cannot be read: %w", err)
	}
	values := make([]backends.Value, len(texts))
	for i, text := range texts {
		values[i] = fromJSON(c, text)
	}
	return values, nil
}

// equal is the condition that a column equals one parameter. prefix qualifies the column ("c.").
func (b *Backend) equal(c *Column, prefix string) string { return b.compare(c, prefix, "=") }

func (b *Backend) compare(c *Column, prefix, operator string) string {
	return b.comparable(c, prefix+c.quoted) + " " + operator + " " + b.comparableParameter(c)
}

// comparable is an expression of a column's type in a form that compares and sorts.
func (b *Backend) comparable(c *Column, expression string) string {
	switch {
	case c.kind == kindIncomparable:
		return "CAST(" + expression + " AS TEXT)"
	case !b.postgres() && c.kind == kindTime:
		// Other programs may have written the moment in another form.
		return "strftime('%Y-%m-%d %H:%M:%f', " + expression + ")"
	}
	return expression
}

// comparableParameter is the parameter that is held against it.
func (b *Backend) comparableParameter(c *Column) string {
	if c.kind == kindIncomparable {
		return "?" // a text already
	}
	return b.comparable(c, "?")
}
