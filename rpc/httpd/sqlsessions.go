package httpd

import (
	"context"
	"time"

	"clacks"
	"clacks/access"
	"clacks/internal/store"
)

// database is what SQLSessions needs of *store.DB.
type database interface {
	Exec(ctx context.Context, statements ...store.Statement) ([]store.Result, error)
	Query(ctx context.Context, sql string, args []any, row store.RowFunc) error
}

// SQLSessions is a SessionStore in the table clacks_sessions of the state database: sessions outlive the process, and
// several agents share them. Times are Unix microseconds.
type SQLSessions struct{ db database }

var _ SessionStore = (*SQLSessions)(nil)

// NewSQLSessions makes the store on a migrated database.
func NewSQLSessions(db *store.DB) *SQLSessions { return &SQLSessions{db: db} }

// Create implements SessionStore.
func (s *SQLSessions) Create(ctx context.Context, r SessionRecord) error {
	_, err := s.db.Exec(ctx, store.Statement{
		SQL: `INSERT INTO clacks_sessions (id_hash, user_id, user_uuid, user_dn, admin, created, seen, expires)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		Args: []any{r.Hash, r.User.ID, r.User.UUID, r.User.DN, r.User.Admin, r.Created.UnixMicro(), r.Seen.UnixMicro(), r.Expires.UnixMicro()},
	})
	return err
}

// Get implements SessionStore.
func (s *SQLSessions) Get(ctx context.Context, hash string) (SessionRecord, error) {
	found := false
	r := SessionRecord{Hash: hash}
	var created, seen, expires int64
	err := s.db.Query(ctx, `SELECT user_id, user_uuid, user_dn, admin, created, seen, expires FROM clacks_sessions WHERE id_hash = ?`,
		[]any{hash}, func(scan func(dest ...any) error) error {
			found = true
			return scan(&r.User.ID, &r.User.UUID, &r.User.DN, &r.User.Admin, &created, &seen, &expires)
		})
	if err != nil {
		return SessionRecord{User: access.User{}}, err
	}
	if !found {
		return SessionRecord{}, clacks.E(clacks.NotFound, "httpd.session", "no such session")
	}
	r.Created, r.Seen, r.Expires = time.UnixMicro(created), time.UnixMicro(seen), time.UnixMicro(expires)
	return r, nil
}

// Touch implements SessionStore.
func (s *SQLSessions) Touch(ctx context.Context, hash string, seen, expires time.Time) error {
	_, err := s.db.Exec(ctx, store.Statement{SQL: `UPDATE clacks_sessions SET seen = ?, expires = ? WHERE id_hash = ?`,
		Args: []any{seen.UnixMicro(), expires.UnixMicro(), hash}})
	return err
}

// Delete implements SessionStore.
func (s *SQLSessions) Delete(ctx context.Context, hash string) error {
	_, err := s.db.Exec(ctx, store.Statement{SQL: `DELETE FROM clacks_sessions WHERE id_hash = ?`, Args: []any{hash}})
	return err
}

// Sweep implements SessionStore.
func (s *SQLSessions) Sweep(ctx context.Context, now time.Time) error {
	_, err := s.db.Exec(ctx, store.Statement{SQL: `DELETE FROM clacks_sessions WHERE expires < ?`, Args: []any{now.UnixMicro()}})
	return err
}

// Count implements SessionStore.
func (s *SQLSessions) Count(ctx context.Context, now time.Time) (int, error) {
	var n int64
	err := s.db.Query(ctx, `SELECT count(*) FROM clacks_sessions WHERE expires >= ?`, []any{now.UnixMicro()},
		func(scan func(dest ...any) error) error { return scan(&n) })
	return int(n), err
}
