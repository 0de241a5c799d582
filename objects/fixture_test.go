package objects

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"clacks"
	"clacks/access"
	"clacks/backends"
	"clacks/definitions"
	"clacks/definitions/builtin"
	"clacks/internal/store"
	"clacks/mapping"
	"clacks/migrations"
)

const testBase = "dc=example,dc=net"

var (
	admin  = access.User{ID: "admin", Admin: true}
	nobody = access.User{}
)

// testRecorder keeps events in the real table, as JSON.
type testRecorder struct{}

func (testRecorder) Recorded() {}

func (testRecorder) Record(changes []Changed) ([]store.Statement, error) {
	list := []store.Statement{{SQL: `UPDATE clacks_counter SET value = value + ? WHERE name = 'events'`, Args: []any{int64(len(changes))}, Rows: 1}}
	for i, c := range changes {
		text, err := json.Marshal(c)
		if err != nil {
			return nil, err
		}
		s := store.Statement{
			SQL: `INSERT INTO clacks_events (sequence, event_id, type, time, transaction_id, uuid, change_type, document)
VALUES ((SELECT value FROM clacks_counter WHERE name = 'events') - ?, ?, 'ObjectChanged', ?, ?, ?, ?, ?)`,
			Args: []any{int64(len(changes) - 1 - i), c.EventID, c.Time.UnixMicro(), c.TransactionID, c.UUID, c.ChangeType, string(text)},
		}
		if i == len(changes)-1 {
			s.SQL += ` RETURNING sequence`
			s.Returning = true
		}
		list = append(list, s)
	}
	return list, nil
}

// world is a service on stores in memory.
type world struct {
	*Service
	t      testing.TB
	state  *store.DB
	tree   *memoryTree
	table  *memoryTable
	faults *faults
	config Config
}

// faultyDatabase makes the operations of the state database count among those that can fail.
type faultyDatabase struct {
	database
	*faults
}

func (d faultyDatabase) Exec(ctx context.Context, statements ...store.Statement) (results []store.Result, err error) {
	err = d.around(func() error {
		results, err = d.database.Exec(ctx, statements...)
		return err
	})
	return results, err
}

func (d faultyDatabase) Query(ctx context.Context, sql string, args []any, row func(scan func(dest ...any) error) error) error {
	err := d.around(func() error { return d.database.Query(ctx, sql, args, row) })
	if clacks.IsKind(err, clacks.InDoubt) {
		return clacks.E(clacks.Unavailable, "test", "no answer came")
	}
	return err
}

func (d faultyDatabase) Begin(ctx context.Context) (transaction, error) {
	var tx transaction
	err := d.around(func() (err error) {
		tx, err = d.database.Begin(ctx)
		return err
	})
	if err != nil {
		if tx != nil {
			tx.Rollback()
		}
		return nil, clacks.E(clacks.Unavailable, "test", "the store is down")
	}
	return faultyTransaction{tx, d.faults}, nil
}

func (d faultyDatabase) ExecAndBegin(ctx context.Context, first, second, later []store.Statement) (tx transaction, refused, err error) {
	err = d.around(func() (err error) {
		tx, refused, err = d.database.ExecAndBegin(ctx, first, second, later)
		return err
	})
	if err != nil {
		if tx != nil {
			tx.Rollback()
		}
		return nil, nil, err
	}
	if tx == nil {
		return nil, refused, nil
	}
	return faultyTransaction{tx, d.faults}, nil, nil
}

type faultyTransaction struct {
	transaction
	*faults
}

func (x faultyTransaction) Exec(ctx context.Context, statements ...store.Statement) (results []store.Result, err error) {
	err = x.around(func() error {
		results, err = x.transaction.Exec(ctx, statements...)
		return err
	})
	if clacks.IsKind(err, clacks.InDoubt) {
		err = clacks.E(clacks.Unavailable, "test", "no answer came")
	}
	return results, err
}

func (x faultyTransaction) Commit(ctx context.Context, next func(), statements ...store.Statement) (results []store.Result, err error) {
	err = x.around(func() error {
		results, err = x.transaction.Commit(ctx, next, statements...)
		return err
	})
	return results, err
}

// testMappings are compiled once: they are immutable.
func testMappings(t testing.TB) *mapping.Set {
	t.Helper()
	mappingsOnce.Do(func() { mappings = compileMappings(t) })
	if mappings == nil {
		t.Fatal("the definitions do not compile")
	}
	return mappings
}

var (
	mappingsOnce sync.Once
	mappings     *mapping.Set
)

func compileMappings(t testing.TB) *mapping.Set {
	t.Helper()
	sources, err := definitions.ReadPath("../examples/employees")
	if err != nil {
		t.Fatal(err)
	}
	defs, problems := definitions.Load(append(builtin.Sources(), sources...), definitions.Options{Backends: []string{"LDAP", "SQL", "NULL"}})
	for _, p := range problems {
		t.Logf("%s:%d: %s", p.File, p.Line, p.Message)
	}
	if defs == nil {
		t.Fatal("the definitions do not load")
	}
	set, problems := mapping.Compile(defs, mapping.Options{
		Kinds: map[string]backends.Kind{"LDAP": backends.Tree, "SQL": backends.Table, "NULL": backends.None},
	})
	for _, p := range problems {
		t.Logf("%s:%d: %s", p.File, p.Line, p.Message)
	}
	if set == nil {
		t.Fatal("the definitions do not compile")
	}
	return set
}

func openState(t testing.TB) *store.DB {
	t.Helper()
	db, err := store.Open("sqlite::memory:")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := migrations.Up(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	return db
}

var testKey = []byte("0123456789abcdef0123456789abcdef")

func newWorld(t testing.TB) *world {
	t.Helper()
	f := &faults{}
	w := &world{t: t, faults: f, tree: newMemoryTree(f, testBase), table: newMemoryTable(f), state: openState(t)}
	w.begin(map[string]backends.Backend{"LDAP": w.tree, "SQL": w.table})
	return w
}

// testLog shows the service's log when a test fails.
type testLog struct{ testing.TB }

func (l testLog) Write(line []byte) (int, error) {
	l.Log(strings.TrimSpace(string(line)))
	return len(line), nil
}

// begin makes the service of a world.
func (w *world) begin(stores map[string]backends.Backend) {
	w.t.Helper()
	w.config = Config{
		Mappings: testMappings(w.t), Backends: stores,
		State: w.state, Recorder: testRecorder{}, Base: testBase, Key: testKey, Owner: "one",
		Log: slog.New(slog.NewTextHandler(testLog{w.t}, nil)), Limits: Limits{Resolve: 2 * time.Second, Wait: 5 * time.Second},
	}
	w.Service = w.start()
}

func (w *world) newService() *Service {
	w.t.Helper()
	s, err := newService(w.config, faultyDatabase{newStateDatabase(w.state), w.faults})
	if err != nil {
		w.t.Fatal(err)
	}
	s.findJoiners(w.config)
	return s
}

// start makes another service on the same stores, as after a restart.
func (w *world) start() *Service {
	w.t.Helper()
	s := w.newService()
	if err := s.Start(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(s.Stop)
	if err := s.usable(); err != nil {
		w.t.Fatal(err)
	}
	return s
}

// startQuietly is start without loops behind the scenes, and for a process that may end while it starts.
func (w *world) startQuietly() *Service {
	w.t.Helper()
	s := w.newService()
	s.limits.Resolve = 10 * time.Millisecond
	s.setReady(s.prepareService(context.Background()))
	return s
}

func (w *world) create(typ, base string, attributes map[string]any, extensions ...string) *Result {
	w.t.Helper()
	r, err := w.Create(w.t.Context(), admin, CreateRequest{Type: typ, Base: base, Attributes: attributes, Extensions: extensions})
	if err != nil {
		w.t.Fatalf("create %s: %v", typ, err)
	}
	return r
}

// house makes the containers and returns the people's.
func (w *world) house() string {
	w.t.Helper()
	return w.create("PeopleContainer", testBase, nil).DN
}

func person(uid string, more ...string) map[string]any {
	attributes := map[string]any{"uid": uid, "cn": "Person " + uid, "sn": "Person", "givenName": uid}
	for i := 0; i < len(more); i += 2 {
		attributes[more[i]] = more[i+1]
	}
	return attributes
}

func (w *world) view(id string) *View {
	w.t.Helper()
	v, err := w.Get(w.t.Context(), admin, id, nil)
	if err != nil {
		w.t.Fatalf("get %s: %v", id, err)
	}
	return v
}

// events are the recorded changes in their order.
func (w *world) events() []Changed {
	w.t.Helper()
	var list []Changed
	err := w.state.Query(w.t.Context(), `SELECT document FROM clacks_events ORDER BY sequence`, nil, func(scan func(...any) error) error {
		var text string
		if err := scan(&text); err != nil {
			return err
		}
		var c Changed
		list = append(list, c)
		return json.Unmarshal([]byte(text), &list[len(list)-1])
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

func (w *world) count(table string) int {
	w.t.Helper()
	var n int64
	err := w.state.Query(w.t.Context(), `SELECT COUNT(*) FROM `+table, nil, func(scan func(...any) error) error { return scan(&n) })
	if err != nil {
		w.t.Fatal(err)
	}
	return int(n)
}

func wantKind(t testing.TB, err error, kind clacks.Kind, parts ...string) {
	t.Helper()
	if !clacks.IsKind(err, kind) {
		t.Fatalf("error %v, want one of kind %v", err, kind)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not contain %q", err, part)
		}
	}
}

func texts(list []any) []string {
	var s []string
	for _, v := range list {
		if text, ok := v.(string); ok {
			s = append(s, text)
		}
	}
	slices.Sort(s)
	return s
}

// Background stops the service's own loops, so that a test alone decides what happens when.
func (w *world) Background(on bool) {
	if !on {
		w.stop()
		w.ended.Wait()
	}
}

func statement(sql string) store.Statement { return store.Statement{SQL: sql} }
