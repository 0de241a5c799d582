package objects

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"clacks"
	"clacks/internal/dn"
	"clacks/objects/journal"
)

// row is what the index knows of an object, without its document. It is immutable.
type row struct {
	uuid, dn, dnKey string
	parentKey       string
	typ             string
	extensions      []string // sorted
	version         int64
	modified        time.Time
	actor           string
	guards          guards
	keys            map[string]any // the keys of its table entries, by Source.ID
}

// guards are what the last commits left: the versions of the entries, by which our own changes are recognised, and who
// changed what, for the message of a conflict.
type guards struct {
	Versions map[string]string `json:"v,omitempty"`
	History  []change          `json:"h,omitempty"` // the newest last
	// Sum is that of the object's rows in clacks_values: what is read from the backends and has another one was not written
	// by a commit. "" when it is not known.
	Sum string `json:"s,omitempty"`
}

// change is one line of an object's short history.
type change struct {
	Version    int64    `json:"v"`
	Actor      string   `json:"a"`
	Attributes []string `json:"n,omitempty"`
}

// historyLength is how many changes are remembered an object.
const historyLength = 8

func (g guards) with(c change, sum string) guards {
	history := g.History
	if len(history) >= historyLength {
		history = history[len(history)-historyLength+1:]
	}
	return guards{Versions: g.Versions, History: append(slices.Clone(history), c), Sum: sum}
}

// rowsAfter are the rows of p.touched once the plan is carried out, nil where only the database knows them.
func (p *plan) rowsAfter() []*row {
	after := make([]*row, len(p.touched))
	at := 0
	for i := range p.Rows {
		c := &p.Rows[i]
		if c.Op == rowInsert || at == len(after) {
			continue
		}
		if c.Op == rowUpdate && c.UUID == p.touched[at].uuid {
			after[at] = c.after(p.touched[at])
		}
		at++
	}
	return after
}

// after is the row that an update leaves, which was planned in this process.
func (c *rowChange) after(before *row) *row {
	return &row{
		uuid: c.UUID, dn: c.DN, dnKey: c.DNKey, parentKey: before.parentKey, typ: c.Type, extensions: c.Extensions,
		version: c.Version, modified: time.UnixMilli(c.Modified).UTC(), actor: c.Actor, guards: c.Guards, keys: c.keys,
	}
}

func (r *row) path() string { return dn.PathOfKey(r.dnKey) }

const rowColumns = `uuid, dn, dn_key, parent_key, type, extensions, version, modified, actor, guards, keys`

func scanRow(scan func(dest ...any) error, more ...any) (*row, error) {
	var r row
	var extensions, guards, keys string
	var modified int64
	dest := append([]any{&r.uuid, &r.dn, &r.dnKey, &r.parentKey, &r.typ, &extensions, &r.version, &modified, &r.actor,
		&guards, &keys}, more...)
	if err := scan(dest...); err != nil {
		return nil, err
	}
	r.modified = time.UnixMilli(modified).UTC()
	if err := json.Unmarshal([]byte(guards), &r.guards); err != nil {
		return nil, clacks.E(clacks.Internal, "objects.index", "the row of %s is damaged: %w", r.uuid, err)
	}
	var err error
	if r.extensions, err = decodeExtensions(extensions); err != nil {
		return nil, err
	}
	r.keys, err = decodeKeys(keys)
	return &r, err
}

// decodeExtensions reads what encodeExtensions wrote: a JSON list of names.
func decodeExtensions(text string) ([]string, error) {
	if text == "[]" {
		return nil, nil
	}
	var extensions []string
	if err := json.Unmarshal([]byte(text), &extensions); err != nil {
		return nil, clacks.E(clacks.Internal, "objects.index", "damaged extensions: %w", err)
	}
	return extensions, nil
}

func encodeExtensions(extensions []string) string {
	if len(extensions) == 0 {
		return "[]"
	}
	return `["` + strings.Join(extensions, `","`) + `"]` // names of types need no escaping
}

func encodeKeys(keys map[string]any) string {
	if len(keys) == 0 {
		return "{}"
	}
	stored := make(map[string]string, len(keys))
	for id, key := range keys {
		stored[id] = journal.EncodeValue(key)
	}
	document, err := json.Marshal(stored)
	if err != nil {
		return "{}" // a map of strings always has a document
	}
	return string(document)
}

func decodeKeys(document string) (map[string]any, error) {
	if document == "{}" || document == "" {
		return nil, nil
	}
	var stored map[string]string
	if err := json.Unmarshal([]byte(document), &stored); err != nil {
		return nil, clacks.E(clacks.Internal, "objects.index", "damaged keys: %w", err)
	}
	keys := make(map[string]any, len(stored))
	for id, text := range stored {
		key, err := journal.DecodeValue(text)
		if err != nil {
			return nil, err
		}
		keys[id] = key
	}
	return keys, nil
}

// isUUID tells a UUID (RFC 9562, section 4) from a DN.
func isUUID(id string) bool {
	if len(id) != 36 {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F':
		default:
			return false
		}
	}
	return true
}

// find returns the row of an object by UUID or DN, or nil when the index has none. fresh asks the database in any case.
func (s *Service) find(ctx context.Context, id string, fresh bool) (*row, error) {
	column, key := "uuid", strings.ToLower(id)
	if !isUUID(id) {
		column = "dn_key"
		var err error
		if key, err = dn.Key(id); err != nil {
			return nil, neitherName("objects.open", id)
		}
	}
	if !fresh {
		if r := s.rows.get(key); r != nil {
			return r, nil
		}
	}
	mark := s.rows.mark()
	rows, err := s.findRows(ctx, column+` = ?`, key)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	s.rows.put(rows[0], mark)
	return rows[0], nil
}

// findRows returns the rows for which a condition holds.
func (s *Service) findRows(ctx context.Context, where string, args ...any) ([]*row, error) {
	var rows []*row
	err := s.db.Query(ctx, `SELECT `+rowColumns+` FROM clacks_objects WHERE `+where, args,
		func(scan func(...any) error) error {
			r, err := scanRow(scan)
			rows = append(rows, r)
			return err
		})
	if err != nil {
		return nil, err
	}
	return rows, nil
}

// below returns the rows under a DN key, without its own, at most limit of them.
func (s *Service) below(ctx context.Context, key string, limit int) ([]*row, error) {
	from, to := dn.PathRange(dn.PathOfKey(key))
	rows, err := s.findRows(ctx, `path_key > ? AND path_key < ? ORDER BY path_key LIMIT ?`, from, to, limit+1)
	if err == nil && len(rows) > limit {
		return nil, clacks.E(clacks.Limit, "objects.index", "more than %d objects lie below", limit)
	}
	return rows, err
}

// rowCache keeps rows by UUID and by DN key, so that opening an object that is known needs no query. A commit of this
// process replaces or drops the rows it touches; while other agents live the cache is off. It holds a bounded number and forgets
// everything when it is full: a full cache is rare, and refilling it costs one query an object.
type rowCache struct {
	mu    sync.RWMutex
	byKey map[string]*row
	marks int64 // grows with every drop, so that a row that was read before is not put in after it
	off   atomic.Bool
}

const rowCacheSize = 100_000

func newRowCache() *rowCache { return &rowCache{byKey: map[string]*row{}} }

func (c *rowCache) get(key string) *row {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.byKey[key]
}

// mark is taken before the database is read, and given to put after it.
func (c *rowCache) mark() int64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.marks
}

func (c *rowCache) put(r *row, mark int64) {
	if c.off.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if known := c.byKey[r.uuid]; mark != c.marks || known != nil && known.version > r.version {
		return
	}
	if len(c.byKey) >= 2*rowCacheSize {
		clear(c.byKey)
	}
	c.byKey[r.uuid], c.byKey[r.dnKey] = r, r
}

// drop forgets rows; it, or follow, must be called when a commit that touched them is over, and when it may be.
func (c *rowCache) drop(rows ...*row) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.marks++
	for _, r := range rows {
		delete(c.byKey, r.dnKey)
		if known := c.byKey[r.uuid]; known != nil {
			delete(c.byKey, known.dnKey)
			delete(c.byKey, r.uuid)
		}
	}
}

// follow puts the rows that a commit has written in the places of those before it. A commit of the same object that came
// later may be here first: what it has put or dropped stays.
func (c *rowCache) follow(before, after []*row) {
	var gone []*row
	c.mu.Lock()
	for i, r := range after {
		known := c.byKey[before[i].uuid]
		switch {
		case known == nil || r == nil || known.dnKey != r.dnKey:
			gone = append(gone, before[i])
		case known.version < r.version:
			c.byKey[r.uuid], c.byKey[r.dnKey] = r, r
		}
	}
	c.mu.Unlock()
	if len(gone) > 0 {
		c.drop(gone...)
	}
}

// turn switches the cache on or off and empties it.
func (c *rowCache) turn(on bool) {
	if c.off.Swap(!on) == !on {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.marks++
	clear(c.byKey)
}
