package sql

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"clacks"
	"clacks/backends"
	"clacks/internal/store"
)

// Normalize asks the database for the form of the values that it rewrites, one query an attribute; most types need none.
func (b *Backend) Normalize(ctx context.Context, c backends.Change) (backends.Change, error) {
	if len(c.Add) == 0 && len(c.Mods) == 0 {
		return c, nil
	}
	t, err := b.resolve(ctx, c.Ref.Table, c.Ref.Column, c.Ref.Children)
	if err != nil {
		return c, err
	}
	if len(c.Add) > 0 {
		added := make(backends.Values, len(c.Add))
		for _, attribute := range sortedNames(c.Add) {
			if added[attribute], err = b.normalize(ctx, t, attribute, c.Add[attribute]); err != nil {
				return c, err
			}
		}
		c.Add = added
	}
	c.Mods = slices.Clone(c.Mods)
	for i := range c.Mods {
		mod := &c.Mods[i]
		if mod.Add, err = b.normalize(ctx, t, mod.Attribute, mod.Add); err != nil {
			return c, err
		}
	}
	return c, nil
}

// normalize returns the values themselves where nothing changes.
func (b *Backend) normalize(ctx context.Context, t *target, attribute string, values []backends.Value) ([]backends.Value, error) {
	if len(values) == 0 {
		return values, nil
	}
	at, err := b.place(ctx, t, attribute)
	if err != nil {
		return nil, err
	}
	if at.column.kind == kindBytes {
		return values, nil
	}
	args, err := b.arguments(at, values)
	if err != nil {
		return nil, err
	}
	if b.rewrites(at.column) {
		return b.kept(ctx, at, args)
	}
	normal := make([]backends.Value, len(args))
	for i, arg := range args {
		normal[i] = value(at.column, arg)
	}
	return normal, nil
}

// rewrites reports whether the database may keep a value of this type in another form than Go's.
func (b *Backend) rewrites(c *Column) bool {
	switch c.kind {
	case kindOther, kindIncomparable:
		return b.postgres() || c.Type != "" // SQLite leaves what goes into a column without a type as it is
	case kindFloat:
		return b.postgres() && c.bits == 32
	case kindTime:
		return b.postgres() && strings.ContainsRune(c.Type, '(') // timestamp(0)
	}
	return false
}

// numericAffinity is what SQLite makes of a text in a column of a type that it does not know ("Datatypes in SQLite", section
// 3): a number if it is one. A CAST alone would make one of everything.
const numericAffinity = `SELECT CASE WHEN CAST(value AS NUMERIC) = value THEN CAST(CAST(value AS NUMERIC) AS TEXT) ELSE value END
FROM json_each(?) ORDER BY key`

// kept asks the database what it would keep of values.
func (b *Backend) kept(ctx context.Context, at place, args []any) ([]backends.Value, error) {
	texts := make([]string, len(args))
	for i, arg := range args {
		if moment, ok := arg.(time.Time); ok {
			arg = moment.Format(time.RFC3339Nano)
		}
		text, err := toText(arg)
		if err != nil || !utf8.ValidString(text) {
			return nil, invalid(at.attribute, clacks.CodeType, "the database holds no such text")
		}
		texts[i] = text
	}
	var query string
	var list any = texts
	if b.postgres() {
		query = "SELECT " + b.asText(at.column, "CAST(v.value AS "+at.column.Type+")") +
			" FROM unnest(CAST(? AS text[])) WITH ORDINALITY AS v(value, place) ORDER BY v.place"
	} else {
		document, err := json.Marshal(texts)
		if err != nil {
			return nil, clacks.E(clacks.Internal, "sql.normalize", "texts have no JSON: %w", err)
		}
		query, list = numericAffinity, string(document)
	}
	normal := make([]backends.Value, 0, len(args))
	err := b.db.Query(ctx, query, []any{list}, func(scan func(...any) error) error {
		var text string
		if err := scan(&text); err != nil {
			return clacks.E(clacks.Internal, "sql.normalize", "a value cannot be read: %w", err)
		}
		normal = append(normal, value(at.column, text))
		return nil
	})
	var violated *store.ConstraintError
	if errors.As(err, &violated) {
		return nil, invalid(at.attribute, clacks.CodeType, "it does not fit the column")
	}
	return normal, b.readError(err)
}
