package objects

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"clacks"
	"clacks/internal/dn"
	"clacks/internal/store"
	"clacks/mapping"
	"clacks/objects/journal"
)

// The index is three tables: clacks_objects has a row an object with its document (its values as JSON), clacks_values a
// row an attribute value for searches by value, clacks_unique a row a unique value. The document holds no secrets and no
// value above maxIndexed bytes: those are read by Get only.
const maxIndexed = 8 << 10

// maxKey is the length in bytes above which a value's key is its beginning and a hash: equality stays exact, a search by
// a part of the value sees the beginning only. PostgreSQL's B-trees refuse rows above 2,704 bytes.
const maxKey = 512

// extensionKey is the attribute under which clacks_values holds the active extensions of an object; no attribute of a
// definition can have this name.
const extensionKey = "@extension"

func bounded(key string) string {
	key = strings.ToValidUTF8(strings.ReplaceAll(key, "\x00", ""), "\uFFFD") // PostgreSQL stores neither
	if len(key) <= maxKey {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return strings.ToValidUTF8(key[:maxKey-44], "") + "#" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// orderedInteger is a text whose order is that of the numbers.
func orderedInteger(n int64) string {
	text := strconv.FormatUint(uint64(n)^(1<<63), 10)
	return strings.Repeat("0", 20-len(text)) + text
}

// indexed reports whether an attribute's values are in the index.
func indexed(a *mapping.Attribute) bool { return !a.Secret && a.Unavailable == "" }

// document is the object as the index keeps it.
func document(shape *mapping.Shape, values mapping.Values) (string, error) {
	kept := make(map[string][]any, len(values))
	for name, list := range values {
		a := shape.Attribute(name)
		if a == nil || !indexed(a) || len(list) == 0 {
			continue
		}
		formatted := make([]any, 0, len(list))
		for _, v := range list {
			if f := a.Format(v); sizeOf(f) <= maxIndexed {
				formatted = append(formatted, f)
			}
		}
		if len(formatted) > 0 {
			kept[name] = formatted
		}
	}
	text, err := json.Marshal(kept)
	if err != nil {
		return "", clacks.E(clacks.Internal, "objects.index", "an object has no document: %w", err)
	}
	return string(text), nil
}

func sizeOf(v any) int {
	if s, ok := v.(string); ok {
		return len(s)
	}
	return 0
}

// indexValue is a row of clacks_values without its UUID.
type indexValue struct{ Attribute, Key string }

// indexValues are the rows of an object, sorted, none twice.
func indexValues(shape *mapping.Shape, object *mapping.Object) []indexValue {
	var rows []indexValue
	for _, e := range object.Extensions {
		rows = append(rows, indexValue{extensionKey, e})
	}
	for name, list := range object.Values {
		a := shape.Attribute(name)
		if a == nil || !indexed(a) {
			continue
		}
		for _, v := range list {
			if _, binary := v.([]byte); !binary && sizeOf(v) <= maxIndexed {
				rows = append(rows, indexValue{name, indexKey(a, v)})
			}
		}
	}
	slices.SortFunc(rows, compareIndexValues)
	return slices.Compact(rows)
}

// sumOf tells lists of index values apart.
func sumOf(values []indexValue) string {
	size := 0
	for _, v := range values {
		size += len(v.Attribute) + len(v.Key) + 2
	}
	text := make([]byte, 0, size)
	for _, v := range values { // neither part holds a NUL
		text = append(append(append(append(text, v.Attribute...), 0), v.Key...), 0)
	}
	sum := sha256.Sum256(text)
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

func compareIndexValues(a, b indexValue) int {
	if c := strings.Compare(a.Attribute, b.Attribute); c != 0 {
		return c
	}
	return strings.Compare(a.Key, b.Key)
}

// missingIn are the values of a that are not in b; both are sorted.
func missingIn(a, b []indexValue) []indexValue {
	var missing []indexValue
	for _, v := range a {
		if _, found := slices.BinarySearchFunc(b, v, compareIndexValues); !found {
			missing = append(missing, v)
		}
	}
	return missing
}

// rowOp is the kind of a rowChange.
type rowOp string

const (
	rowInsert rowOp = "insert"
	rowUpdate rowOp = "update"
	rowRename rowOp = "rename" // only the name and the version: a child of a moved object
	rowDelete rowOp = "delete"
)

// rowChange is one object's part of the index in a commit; the journal keeps it.
type rowChange struct {
	Op         rowOp
	UUID       string
	DN         string
	DNKey      string
	Renamed    bool `json:",omitempty"` // the names differ from the row's
	Type       string
	Extensions []string `json:",omitempty"`
	Old        int64    // the version that the row must have
	Version    int64
	Modified   int64 // Unix milliseconds
	Actor      string
	Document   string
	Guards     guards
	Keys       string
	keys       map[string]any // those of Keys, where the row was planned in this process
	Add, Drop  []indexValue   `json:",omitempty"`
	Release    []uniqueValue  `json:",omitempty"`
	Reserve    []uniqueValue  `json:",omitempty"` // not of this change: taken when nobody has them
}

// uniqueValue is a row of clacks_unique that an object gives up.
type uniqueValue struct{ Type, Attribute, Key string }

// objectStatements write the object's row. They fail when it is not as it was planned.
func (c *rowChange) objectStatements() []store.Statement {
	path := dn.PathOfKey(c.DNKey)
	parentKey := dn.Parent(c.DNKey)
	switch c.Op {
	case rowInsert:
		return []store.Statement{{
			SQL: `INSERT INTO clacks_objects (uuid, dn, dn_key, path_key, parent_key, type, extensions, version, modified,
actor, document, guards, keys) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			Args: []any{c.UUID, c.DN, c.DNKey, path, parentKey, c.Type, encodeExtensions(c.Extensions), c.Version,
				c.Modified, c.Actor, c.Document, c.guards(), c.Keys},
		}}
	case rowRename:
		return []store.Statement{{
			SQL: `UPDATE clacks_objects SET dn = ?, dn_key = ?, path_key = ?, parent_key = ?, version = ?, modified = ?,
actor = ? WHERE uuid = ? AND version = ?`,
			Args: []any{c.DN, c.DNKey, path, parentKey, c.Version, c.Modified, c.Actor, c.UUID, c.Old}, Rows: 1,
		}}
	case rowDelete:
		return []store.Statement{
			{SQL: `DELETE FROM clacks_objects WHERE uuid = ? AND version = ?`, Args: []any{c.UUID, c.Old}, Rows: 1},
		}
	}
	var list []store.Statement
	if c.Renamed {
		list = append(list, store.Statement{
			SQL:  `UPDATE clacks_objects SET dn = ?, dn_key = ?, path_key = ?, parent_key = ? WHERE uuid = ? AND version = ?`,
			Args: []any{c.DN, c.DNKey, path, parentKey, c.UUID, c.Old}, Rows: 1,
		})
	}
	return append(list, store.Statement{
		SQL: `UPDATE clacks_objects SET extensions = ?, version = ?, modified = ?, actor = ?, document = ?, guards = ?,
keys = ? WHERE uuid = ? AND version = ?`,
		Args: []any{encodeExtensions(c.Extensions), c.Version, c.Modified, c.Actor, c.Document, c.guards(), c.Keys,
			c.UUID, c.Old}, Rows: 1,
	})
}

// valueStatements write the object's rows in clacks_values and clacks_unique. They depend on nothing that is known at the
// commit point only, and refuse nothing.
func (c *rowChange) valueStatements() []store.Statement {
	switch c.Op {
	case rowRename:
		return nil
	case rowDelete:
		return []store.Statement{
			{SQL: `DELETE FROM clacks_values WHERE uuid = ?`, Args: []any{c.UUID}},
			{SQL: `DELETE FROM clacks_unique WHERE uuid = ?`, Args: []any{c.UUID}},
		}
	}
	list := valueStatements(c.UUID, c.Drop, c.Add)
	for _, u := range c.Release {
		list = append(list, store.Statement{
			SQL:  `DELETE FROM clacks_unique WHERE type = ? AND attribute = ? AND value_key = ? AND uuid = ?`,
			Args: []any{u.Type, u.Attribute, u.Key, c.UUID},
		})
	}
	return append(list, c.reserveStatements()...)
}

// know takes what is known at the commit point only: the versions of the object's entries.
func (c *rowChange) know(versions map[string]string) {
	known := map[string]string{}
	for key, version := range versions {
		if backend, object, ok := splitTreeKey(key); ok && object == c.UUID && version != "" {
			known[backend] = version
		}
	}
	if len(known) > 0 {
		c.Guards.Versions = known
	}
}

// reserveStatements take the unique values of an object that was there before the index; those of others stay theirs.
func (c *rowChange) reserveStatements() []store.Statement {
	var list []store.Statement
	for part := range journal.Chunks(c.Reserve) {
		args := make([]any, 0, 4*len(part))
		for _, u := range part {
			args = append(args, u.Type, u.Attribute, u.Key, c.UUID)
		}
		list = append(list, store.Statement{
			SQL: `INSERT INTO clacks_unique (type, attribute, value_key, uuid) VALUES ` +
				repeated("(?, ?, ?, ?)", ", ", len(part)) + ` ON CONFLICT DO NOTHING`,
			Args: args,
		})
	}
	return list
}

// nameLock is the lock of a name that an operation gives to an object. It is in the form of a path, so that the locks of
// all names below another are a range.
func nameLock(key string) string { return "dn:" + dn.PathOfKey(key) }

// lookStatement yields a row when nothing is in the way of a plan: the parents of its names are there and nobody else has
// locked them, nobody else has locked a name below what it moves or removes, and there are just the objects below that were
// planned to move along. nil when there is nothing to look at.
func lookStatement(p *plan) *store.Statement {
	var conditions []string
	var args []any
	for _, key := range p.Parents {
		conditions = append(conditions, `EXISTS (SELECT 1 FROM clacks_objects o WHERE o.dn_key = ?
AND NOT EXISTS (SELECT 1 FROM clacks_locks l WHERE l.uuid = o.uuid AND l.operation <> ?))`)
		args = append(args, key, p.Operation)
	}
	if p.Vacated != "" {
		from, to := dn.PathRange(dn.PathOfKey(p.Vacated))
		conditions = append(conditions, `NOT EXISTS (SELECT 1 FROM clacks_locks WHERE uuid > ? AND uuid < ? AND operation <> ?)`,
			`(SELECT COUNT(*) FROM clacks_objects WHERE path_key > ? AND path_key < ?) = ?`)
		args = append(args, "dn:"+from, "dn:"+to, p.Operation, from, to, p.Below)
	}
	if len(conditions) == 0 {
		return nil
	}
	return &store.Statement{SQL: `SELECT 1 WHERE ` + strings.Join(conditions, ` AND `), Args: args, Rows: 1}
}

func (c *rowChange) guards() string {
	text, err := json.Marshal(c.Guards)
	if err != nil {
		return "{}" // strings and numbers always have a document
	}
	return string(text)
}

// valueStatements delete and add index values of an object.
func valueStatements(uuid string, drop, add []indexValue) []store.Statement {
	var list []store.Statement
	// A statement a value: of a list of values the databases think that reading all rows of the object is cheaper, which
	// is wrong for a group of 100,000 members.
	for _, v := range drop {
		list = append(list, store.Statement{
			SQL:  `DELETE FROM clacks_values WHERE uuid = ? AND attribute = ? AND value_key = ?`,
			Args: []any{uuid, v.Attribute, v.Key},
		})
	}
	for part := range journal.Chunks(add) {
		args := make([]any, 0, 3*len(part))
		for _, v := range part {
			args = append(args, v.Attribute, v.Key, uuid)
		}
		list = append(list, store.Statement{
			SQL: `INSERT INTO clacks_values (attribute, value_key, uuid) VALUES ` + repeated("(?, ?, ?)", ", ", len(part)) +
				` ON CONFLICT DO NOTHING`,
			Args: args,
		})
	}
	return list
}

// repeated is part, n times, with a separator between.
func repeated(part, separator string, n int) string {
	if n < 1 {
		return ""
	}
	return strings.Repeat(part+separator, n-1) + part
}

// decodeDocument reads a document back: all attributes when wanted is nil.
func decodeDocument(shape *mapping.Shape, text []byte, wanted func(*mapping.Attribute) bool) (mapping.Values, error) {
	var raw map[string][]any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber() // a float64 does not hold every integer
	if err := decoder.Decode(&raw); err != nil {
		return nil, clacks.E(clacks.Internal, "objects.index", "damaged document: %w", err)
	}
	values := make(mapping.Values, len(raw))
	for name, list := range raw {
		a := shape.Attribute(name)
		if a == nil || !indexed(a) || wanted != nil && !wanted(a) {
			continue
		}
		parsed := list[:0]
		for _, v := range list {
			if p, err := a.Parse(v); err == nil {
				parsed = append(parsed, p) // a value that a changed definition no longer allows is left out
			}
		}
		if len(parsed) > 0 {
			values[name] = parsed
		}
	}
	return values, nil
}
