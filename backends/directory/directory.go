// Package directory is the embedded directory: a tree of entries in a SQLite file of its own that behaves like OpenLDAP
// with the schemas core, cosine, nis and inetorgperson, so that a definition works the same on both.
//
//	Ref, Change, Query
//	  -> schema.go: names and object classes (schema.txt); rules.go: syntaxes and matching rules
//	  -> change.go: one transaction a change: read the entry, check the guard, change, check the schema, write
//	     search.go, filter.go: pages of a path range, filtered by three-valued logic
//	  -> record.go: an entry is a row; its attributes are one blob, some values also rows of an index
//
// A name's path (dn.Path) makes a subtree a range of one index, and a parent's children a range of another: creating an
// entry costs the same with ten siblings and with a million. Versions have the form of an entryCSN.
package directory

import (
	"context"
	"crypto/subtle"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"clacks"
	"clacks/backends"
	"clacks/internal/dn"
	"clacks/internal/password"
	"clacks/internal/store"
)

// Options extend the built-in schema by what definitions use beyond it.
type Options struct {
	// ExtraAttributes are attributes that the built-in schema lacks: multi-valued text without case.
	ExtraAttributes []string
	// ExtraClasses are object classes that it lacks. An entry of one may have every known attribute.
	ExtraClasses []string
}

// Backend implements backends.Backend and backends.Binder. It is safe for concurrent use, also by several processes on
// one file.
type Backend struct {
	db      *store.DB
	current atomic.Pointer[schema]
	now     func() time.Time
}

var (
	_ backends.Backend = (*Backend)(nil)
	_ backends.Binder  = (*Backend)(nil)
)

const tables = `CREATE TABLE IF NOT EXISTS directory_entries (
	uuid    TEXT PRIMARY KEY,
	path    TEXT NOT NULL UNIQUE,
	parent  TEXT NOT NULL,
	name    TEXT NOT NULL,
	version TEXT NOT NULL,
	created TEXT NOT NULL,
	data    BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS directory_children ON directory_entries (parent, path);
CREATE TABLE IF NOT EXISTS directory_values (
	attribute TEXT NOT NULL,
	value     TEXT NOT NULL,
	uuid      TEXT NOT NULL,
	PRIMARY KEY (attribute, value, uuid)
) STRICT, WITHOUT ROWID`

// Open opens or makes the directory in "sqlite:PATH" or "sqlite::memory:". It has no entries until Bootstrap.
func Open(ctx context.Context, url string, options Options) (*Backend, error) {
	s, err := newSchema(options)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(url, "sqlite:") {
		return nil, clacks.E(clacks.Invalid, "directory.open", "the directory lies in a SQLite file")
	}
	db, err := store.Open(url)
	if err != nil {
		return nil, err
	}
	for text := range strings.SplitSeq(tables, ";\n") {
		if _, err := db.Exec(ctx, store.Statement{SQL: text}); err != nil {
			return nil, errors.Join(err, db.Close())
		}
	}
	b := &Backend{db: db, now: time.Now}
	b.current.Store(s)
	return b, nil
}

// schema is the one in use. Elements of an older one stay valid: a schema only grows.
func (b *Backend) schema() *schema { return b.current.Load() }

// Extend adds attributes and classes that the schema lacks; what it knows already stays as it is. It may be called while
// the directory is in use, by one goroutine at a time.
func (b *Backend) Extend(options Options) error {
	extended, err := b.schema().extended(options)
	if err != nil {
		return err
	}
	b.current.Store(extended)
	return nil
}

// Bootstrap makes the entry of a suffix ("dc=example,dc=net") when it is missing; its class follows from its name.
func (b *Backend) Bootstrap(ctx context.Context, suffix string) error {
	_, err := b.Read(ctx, backends.Ref{DN: suffix}, nil)
	if err == nil || !clacks.IsKind(err, clacks.NotFound) {
		return err
	}
	values := backends.Values{}
	for _, ava := range dn.RDNValues(suffix) {
		values[ava.Attribute] = append(values[ava.Attribute], ava.Value)
	}
	classes := map[string]string{"dc": "domain", "o": "organization", "ou": "organizationalUnit", "c": "country", "l": "locality"}
	for _, ava := range dn.RDNValues(suffix) {
		if class := classes[dn.AttributeKey(ava.Attribute)]; class != "" {
			values["objectClass"] = []backends.Value{class}
		}
	}
	_, err = b.create(ctx, backends.Change{Op: backends.OpCreate, Ref: backends.Ref{DN: suffix}, Add: values}, true)
	if clacks.IsKind(err, clacks.NotUnique) {
		return nil // another process was faster
	}
	return err
}

// Capabilities has everything that a tree can have.
func (b *Backend) Capabilities() backends.Capabilities {
	return backends.Capabilities{Kind: backends.Tree, Versions: true, Rename: true, SubtreeRename: true}
}

// Ping asks the database for an answer.
func (b *Backend) Ping(ctx context.Context) error { return b.db.Ping(ctx) }

// Close closes the file.
func (b *Backend) Close() error { return b.db.Close() }

// Read returns the entry of a DN or UUID with the wanted attributes; entryUUID, entryCSN, entryDN, structuralObjectClass,
// createTimestamp and modifyTimestamp only when they are named.
func (b *Backend) Read(ctx context.Context, ref backends.Ref, want []string) (*backends.Entry, error) {
	r, err := b.load(ctx, b.db.Query, ref)
	if err != nil {
		return nil, err
	}
	return b.schema().entry(r, b.schema().wanted(want)), nil
}

// query is DB.Query or Tx.Query.
type query func(ctx context.Context, sql string, args []any, row store.RowFunc) error

const columns = "e.uuid, e.path, e.parent, e.name, e.version, e.created, e.data"

func (b *Backend) scan(scan func(...any) error) (*record, error) {
	var r record
	var data []byte
	if err := scan(&r.uuid, &r.path, &r.parent, &r.name, &r.version, &r.created, &data); err != nil {
		return nil, clacks.E(clacks.Internal, "directory.read", "an entry cannot be read: %w", err)
	}
	var err error
	if r.attributes, err = b.schema().unmarshal(data); err != nil {
		return nil, clacks.E(clacks.Internal, "directory.read", "the entry %q cannot be read: %w", r.name, err)
	}
	return &r, nil
}

// load reads the record that ref names: clacks.NotFound, or clacks.Invalid when it names nothing.
func (b *Backend) load(ctx context.Context, q query, ref backends.Ref) (*record, error) {
	where, arg := "e.uuid = ?", strings.ToLower(ref.UUID)
	switch {
	case ref.DN != "":
		path, err := dn.Path(ref.DN)
		if err != nil {
			return nil, err
		}
		where, arg = "e.path = ?", path
	case ref.UUID == "":
		return nil, clacks.E(clacks.Invalid, "directory.read", "an entry is named by its DN or its UUID")
	}
	var found *record
	err := q(ctx, "SELECT "+columns+" FROM directory_entries e WHERE "+where, []any{arg}, func(scan func(...any) error) (err error) {
		found, err = b.scan(scan)
		return err
	})
	if err == nil && found == nil {
		err = clacks.E(clacks.NotFound, "directory.read", "there is no entry %q", ref.DN+ref.UUID)
	}
	return found, err
}

// operational is the value of an attribute that the directory keeps itself.
func (s *schema) operational(r *record, name string) (backends.Value, bool) {
	switch strings.ToLower(name) {
	case "entryuuid":
		return r.uuid, true
	case "entrycsn":
		return r.version, true
	case "entrydn":
		return r.name, true
	case "structuralobjectclass":
		if c := s.structural(r); c != nil {
			return c.name, true
		}
	case "createtimestamp":
		return readTime(r.created), true
	case "modifytimestamp":
		stamp, _, _ := strings.Cut(r.version, "#")
		return readTime(stamp), true
	}
	return nil, false
}

// decoy is checked when there is no password to check, so that the time of the answer does not tell which names exist.
var decoy = sync.OnceValue(func() string {
	hash, err := password.Hash(password.Argon2, "decoy")
	if err != nil {
		return "" // checked like any other, only faster
	}
	return hash
})

// Bind checks the password of the entry named name. Values without a known scheme are compared as they are.
func (b *Backend) Bind(ctx context.Context, name, secret string) error {
	refused := &clacks.Error{Op: "directory.bind", Kind: clacks.Unauthenticated, Reason: "the name or the password is wrong"}
	if name == "" || secret == "" || dn.Validate(name) != nil {
		return refused
	}
	r, err := b.load(ctx, b.db.Query, backends.Ref{DN: name})
	if err != nil && !clacks.IsKind(err, clacks.NotFound) {
		return err
	}
	var stored []string
	if err == nil {
		stored = r.values("userpassword")
	}
	if len(stored) == 0 {
		password.Verify(decoy(), secret)
		return refused
	}
	for _, value := range stored {
		if password.IsHashed(value) && password.Verify(value, secret) {
			return nil
		}
		if !strings.HasPrefix(value, "{") && subtle.ConstantTimeCompare([]byte(value), []byte(secret)) == 1 {
			return nil
		}
	}
	return refused
}

func refuse(attribute, code, reason string) error {
	return refuseAll([]clacks.Field{{Attribute: attribute, Code: code, Reason: reason}})
}

func refuseAll(fields []clacks.Field) error {
	return &clacks.Error{Op: "directory", Kind: clacks.Invalid, Reason: "the directory's schema refuses it", Fields: fields}
}

// csn is the form of an entryCSN: the moment, then counters that stay zero.
const csn = "20060102150405.000000Z#000000#000#000000"

// nextVersion is a version later than old, even when the clock has stood still or gone back.
func (b *Backend) nextVersion(old string) string {
	now := b.now().UTC().Truncate(time.Microsecond)
	if previous, err := time.Parse(csn, old); err == nil && !now.After(previous) {
		now = previous.Add(time.Microsecond)
	}
	return now.Format(csn)
}

// newUUID is the UUID of a new entry: the caller's, or one of ours.
func newUUID(asked string) (string, error) {
	if asked == "" {
		return uuid.NewString(), nil
	}
	parsed, err := uuid.Parse(asked)
	if err != nil || len(asked) != 36 {
		return "", refuse("entryUUID", clacks.CodeType, "it is not a UUID")
	}
	return parsed.String(), nil
}
