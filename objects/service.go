package objects

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"clacks"
	"clacks/access"
	"clacks/backends"
	"clacks/internal/dn"
	"clacks/internal/store"
	"clacks/mapping"
	"clacks/objects/journal"
)

// Config is what a Service needs; all but Log, Now, Policy and Limits is mandatory.
type Config struct {
	// Mappings are the compiled types; SetMappings replaces them later.
	Mappings *mapping.Set
	// Backends by the names that definitions use.
	Backends map[string]backends.Backend
	// State is the migrated state database.
	State *store.DB
	// Recorder writes the events.
	Recorder Recorder
	// Policy decides on rights; access.Static when nil.
	Policy access.Policy
	// Base is the DN below which all objects lie.
	Base string
	// Key are the 32 bytes that seal plans in the journal and sign cursors; it must stay the same over restarts.
	Key []byte
	// Owner names this agent in the journal; no two living agents of one state database share it.
	Owner string
	// Now is the clock; time.Now when nil.
	Now func() time.Time
	// Log is slog.Default() when nil.
	Log *slog.Logger
	// Limits left zero have the values of DefaultLimits.
	Limits Limits
}

// Limits bound what one request may cost.
type Limits struct {
	Objects    int           // objects of one commit: a recursive delete, the children of a moved container
	Scan       int           // objects that one search evaluates one by one (XQuery, rights)
	Query      time.Duration // evaluating the XQuery of one search on all its objects
	Attempts   int           // plans of one request, when other commits get in the way
	Wait       time.Duration // waiting for an object that another commit has locked, or for the same idempotency key
	Resolve    time.Duration // asking a backend what became of a change before the answer is clacks.InDoubt
	Commit     time.Duration // one commit from its journal row to its end
	Commits    int           // under way at once; the others wait for their turn, as long as Wait
	Idle       time.Duration // a session is closed after this long without use
	Warning    time.Duration // before Idle ends, its warning is given
	Sessions   int           // open objects of one user
	Background time.Duration // between two looks for operations to recover
}

// DefaultLimits are the limits of a Config that sets none.
var DefaultLimits = Limits{
	Objects: 10_000, Scan: 50_000, Query: 10 * time.Second, Attempts: 12, Wait: 10 * time.Second, Resolve: 3 * time.Second, Commit: 60 * time.Second, Commits: 4,
	Idle: 10 * time.Minute, Warning: time.Minute, Sessions: 100, Background: 2 * time.Second,
}

func (l Limits) orDefault() Limits {
	d := DefaultLimits
	setInt(&l.Objects, d.Objects)
	setInt(&l.Scan, d.Scan)
	setInt(&l.Attempts, d.Attempts)
	setInt(&l.Sessions, d.Sessions)
	setInt(&l.Commits, d.Commits)
	setTime(&l.Query, d.Query)
	setTime(&l.Wait, d.Wait)
	setTime(&l.Resolve, d.Resolve)
	setTime(&l.Commit, d.Commit)
	setTime(&l.Idle, d.Idle)
	setTime(&l.Warning, d.Warning)
	setTime(&l.Background, d.Background)
	return l
}

func setInt(value *int, fallback int) {
	if *value == 0 {
		*value = fallback
	}
}

func setTime(value *time.Duration, fallback time.Duration) {
	if *value == 0 {
		*value = fallback
	}
}

// Service is the object service. All methods are safe for concurrent use.
type Service struct {
	backends map[string]backends.Backend
	joiners  map[string]backends.Joiner // those whose tables lie in the state database
	db       database
	batches  *batcher // where transactions are run together; nil where each commits for itself
	journal  *journal.Journal
	recorder Recorder
	policy   access.Policy
	base     string
	baseKey  string
	key      []byte
	now      func() time.Time
	log      *slog.Logger
	limits   Limits

	catalogue atomic.Pointer[catalogue]
	rows      *rowCache
	known     *knownEntries
	turns     chan struct{} // a place for each commit that may be under way; nil where they need none
	waiting   atomic.Int64  // commits that wait for a place
	sessions  *registry
	queries   queryCache
	numbers   numbers
	counters  counters

	ready  atomic.Pointer[error] // nil before the first look; points to a nil error when ready
	stop   context.CancelFunc
	ended  sync.WaitGroup
	doubts doubts
}

// New makes a service. It does no I/O: Start does.
func New(c Config) (*Service, error) {
	if c.State == nil {
		return nil, clacks.E(clacks.Invalid, "objects.new", "the state database is missing")
	}
	s, err := newService(c, newStateDatabase(c.State))
	if err != nil {
		return nil, err
	}
	s.findJoiners(c)
	return s, nil
}

// findJoiners finds the backends whose rows take part in the commit transaction.
func (s *Service) findJoiners(c Config) {
	for name, b := range c.Backends {
		if joiner, ok := b.(backends.Joiner); ok && joiner.SameDatabase(c.State) {
			s.joiners[name] = joiner
		}
	}
}

// newService is New for any database, so that a test can make each of its operations fail.
func newService(c Config, db database) (*Service, error) {
	if c.Mappings == nil || c.Recorder == nil || c.Owner == "" {
		return nil, clacks.E(clacks.Invalid, "objects.new", "mappings, recorder and owner are mandatory")
	}
	baseKey, err := dn.Key(c.Base)
	if err != nil {
		return nil, err
	}
	s := &Service{
		backends: c.Backends, joiners: map[string]backends.Joiner{}, db: db, recorder: c.Recorder, policy: c.Policy,
		base: c.Base, baseKey: baseKey, key: c.Key, now: c.Now, log: c.Log, limits: c.Limits.orDefault(),
		rows: newRowCache(), known: newKnownEntries(), doubts: newDoubts(),
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.policy == nil {
		s.policy = access.Static{}
	}
	var journalDB journal.Database = db
	if db.Dialect() == store.SQLite {
		s.batches = &batcher{db: db, recorder: c.Recorder}
		journalDB = batched{db, s.batches}
	} else {
		s.turns = make(chan struct{}, s.limits.Commits)
	}
	if s.journal, err = journal.New(journalDB, c.Key, c.Owner, s.now); err != nil {
		return nil, err
	}
	s.sessions = newRegistry(s)
	s.SetMappings(c.Mappings)
	return s, nil
}

// SetMappings replaces the types of the service. Requests and sessions in progress end on the set with which they began.
func (s *Service) SetMappings(set *mapping.Set) { s.catalogue.Store(newCatalogue(set)) }

// Mappings are the types that a request would see now.
func (s *Service) Mappings() *mapping.Set { return s.catalogue.Load().set }

// Base is the DN below which all objects lie.
func (s *Service) Base() string { return s.base }
