package sql

import (
	"context"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"clacks"
)

const (
	describeTimeout = 5 * time.Second
	maxName         = 200 // bytes of a table's or column's name
)

// Table is a table or view as the database's catalogue describes it. It is immutable.
type Table struct {
	Name    string // with the schema where there are several
	Columns []Column

	quoted string
	byName map[string]*Column // lower case; a name in its exact spelling wins
}

// Column is one column of a Table.
type Column struct {
	Name      string
	Type      string // as the database writes it: "character varying(30)"
	Nullable  bool
	Unique    bool // alone, by a constraint or an index over all rows
	MaxLength int  // in characters; 0 for no limit

	kind   kind
	bits   int // of a number
	quoted string
}

// Describe says which columns a table or view has; clacks.NotFound when there is none of that name. Names compare
// without case unless two tables differ in nothing else.
func (b *Backend) Describe(ctx context.Context, name string) (*Table, error) {
	t, err := b.describe(ctx, name)
	if err != nil {
		return nil, err
	}
	if t == nil {
		return nil, clacks.E(clacks.NotFound, "sql.describe", "there is no table %q", name)
	}
	b.tables.put(name, t)
	return t, nil
}

// catalogue keeps what has been described. Definitions name few tables; a table that was altered is described anew when a
// column is missing or a statement fails on it.
type catalogue struct {
	mu     sync.RWMutex
	tables map[string]*Table
}

func (c *catalogue) get(name string) *Table {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.tables[name]
}

func (c *catalogue) put(name string, t *Table) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tables == nil {
		c.tables = make(map[string]*Table)
	}
	c.tables[name] = t
}

func (c *catalogue) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tables = nil
}

// table is the table of a name out of a definition; clacks.Invalid when there is none.
func (b *Backend) table(ctx context.Context, name string) (*Table, error) {
	if t := b.tables.get(name); t != nil {
		return t, nil
	}
	t, err := b.Describe(ctx, name)
	if clacks.IsKind(err, clacks.NotFound) {
		return nil, unknown(name, "there is no such table")
	}
	return t, err
}

// column finds a column; where there is none it looks once whether the table has got it meanwhile, and puts the table as
// it is now into *t.
func (b *Backend) column(ctx context.Context, t **Table, name, attribute string) (*Column, error) {
	if c := (*t).column(name); c != nil {
		return c, nil
	}
	if name == "" || !validName(name) {
		return nil, unknown(attribute, "this is not the name of a column")
	}
	fresh, err := b.Describe(ctx, (*t).Name)
	if err != nil {
		return nil, err
	}
	c := fresh.column(name)
	if c == nil {
		return nil, unknown(attribute, "the table "+(*t).Name+" has no such column")
	}
	*t = fresh
	return c, nil
}

func (t *Table) column(name string) *Column {
	for i := range t.Columns {
		if t.Columns[i].Name == name {
			return &t.Columns[i]
		}
	}
	return t.byName[fold(name)]
}

func validName(name string) bool {
	return name != "" && len(name) <= maxName && utf8.ValidString(name) && !strings.ContainsRune(name, 0)
}

const describePostgres = `
SELECT n.nspname::text, c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod), COALESCE(d.typname, t.typname)::text,
	NOT a.attnotnull,
	EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum
		AND i.indpred IS NULL),
	CASE WHEN COALESCE(d.typname, t.typname) IN ('varchar', 'bpchar') AND COALESCE(NULLIF(t.typtypmod, -1), a.atttypmod) > 4
		THEN COALESCE(NULLIF(t.typtypmod, -1), a.atttypmod) - 4 ELSE 0 END
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_type d ON d.oid = t.typbasetype AND t.typtype = 'd'
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND lower(c.relname) = lower(?)
	AND CASE WHEN ? = '' THEN n.nspname = ANY (current_schemas(false)) ELSE n.nspname = ? END
ORDER BY c.relname <> ?, array_position(current_schemas(false), n.nspname), c.oid, a.attnum`

const describeSQLite = `
SELECT '', m.name, c.name, c.type, '', c."notnull" = 0 AND c.pk = 0,
	EXISTS (SELECT 1 FROM pragma_index_list(m.name) i WHERE i."unique" = 1 AND i.partial = 0
		AND (SELECT count(*) = 1 AND max(x.name) = c.name FROM pragma_index_info(i.name) x))
	OR c.pk = 1 AND (SELECT max(k.pk) = 1 FROM pragma_table_info(m.name) k), 0
FROM sqlite_master m, pragma_table_info(m.name) c
WHERE m.type IN ('table', 'view') AND lower(m.name) = lower(?)
ORDER BY m.name <> ?, m.rowid, c.cid`

// describe reads the catalogue; nil when there is no such table.
func (b *Backend) describe(ctx context.Context, name string) (*Table, error) {
	if !validName(name) {
		return nil, nil
	}
	text, args := describeSQLite, []any{name, name}
	if b.postgres() {
		schema, table, ok := strings.Cut(name, ".")
		if !ok {
			schema, table = "", name
		}
		text, args = describePostgres, []any{table, schema, schema, table}
	}
	var found *Table
	var foundIn string
	err := b.db.Query(ctx, text, args, func(scan func(...any) error) error {
		var schema, table, typeName string
		var c Column
		var length int64
		if err := scan(&schema, &table, &c.Name, &c.Type, &typeName, &c.Nullable, &c.Unique, &length); err != nil {
			return clacks.E(clacks.Internal, "sql.describe", "the catalogue is not as expected: %w", err)
		}
		if found == nil {
			found = &Table{Name: table, quoted: quote(table)}
			if schema != "" {
				found.Name, found.quoted = schema+"."+table, quote(schema)+"."+quote(table)
			}
			foundIn = found.Name
		}
		if schema != "" && schema+"."+table != foundIn || schema == "" && table != foundIn {
			return nil // another table whose name differs in case, or in a schema further behind
		}
		c.MaxLength, c.quoted = int(length), quote(c.Name)
		if b.postgres() {
			c.kind, c.bits = postgresKind(typeName)
		} else {
			c.kind, c.bits = sqliteKind(c.Type)
		}
		found.Columns = append(found.Columns, c)
		return nil
	})
	if err != nil || found == nil {
		return nil, err
	}
	found.byName = make(map[string]*Column, len(found.Columns))
	for i := range found.Columns {
		if key := fold(found.Columns[i].Name); found.byName[key] == nil {
			found.byName[key] = &found.Columns[i]
		}
	}
	return found, nil
}

func postgresKind(typeName string) (kind, int) {
	switch typeName {
	case "text", "varchar", "name":
		return kindText, 0
	case "int2":
		return kindInteger, 16
	case "int4":
		return kindInteger, 32
	case "int8":
		return kindInteger, 64
	case "float4":
		return kindFloat, 32
	case "float8":
		return kindFloat, 64
	case "bool":
		return kindBool, 0
	case "timestamp", "timestamptz":
		return kindTime, 0
	case "date":
		return kindDate, 0
	case "bytea":
		return kindBytes, 0
	case "json", "xml", "point":
		return kindIncomparable, 0
	}
	return kindOther, 0
}

// sqliteKind follows SQLite's rules for the affinity of a declared type, and reads BOOLEAN, DATE and TIMESTAMP as what
// they say.
func sqliteKind(declared string) (kind, int) {
	declared = strings.ToUpper(declared)
	has := func(parts ...string) bool {
		for _, part := range parts {
			if strings.Contains(declared, part) {
				return true
			}
		}
		return false
	}
	switch {
	case has("BOOL"):
		return kindBool, 0
	case has("TIMESTAMP", "DATETIME"):
		return kindTime, 0
	case has("INT"):
		return kindInteger, 64
	case has("CHAR", "CLOB", "TEXT"):
		return kindText, 0
	case has("BLOB"):
		return kindBytes, 0
	case has("REAL", "FLOA", "DOUB"):
		return kindFloat, 0
	case declared == "DATE":
		return kindDate, 0
	}
	return kindOther, 0
}

// quote makes a name of the catalogue safe in a statement.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// fold makes names comparable without case.
func fold(name string) string { return strings.ToLower(name) }

// cutAttribute splits "table/column"; a table's name may hold a slash, a column's may not.
func cutAttribute(attribute string) (table, column string, isChild bool) {
	i := strings.LastIndexByte(attribute, '/')
	if i < 0 {
		return "", attribute, false
	}
	return attribute[:i], attribute[i+1:], true
}
