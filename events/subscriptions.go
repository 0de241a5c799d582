package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"clacks"
	"clacks/access"
	"clacks/internal/store"
)

// Subscriptions are those that outlive whoever made them, in the state database: the durable ones until they are removed,
// the others until nobody has asked for their events for a while.
//
//	Create ----> clacks_subscriptions <---- keeper: what was handled, twice a second (keeper.go)
//	               |                          ^
//	Open --------> Consumer --> Next ... Handle (consumer.go): one at a time, the later takes over
//
// It is safe for concurrent use. Run keeps it going.
type Subscriptions struct {
	log     *Log
	db      database
	limits  SubscriptionLimits
	logger  *slog.Logger
	wake    chan struct{} // holds a token when the keeper has something to do at once
	writing chan struct{} // holds a token while somebody writes
	mu      sync.Mutex
	open    map[string]*Consumer
	closing []*Consumer // closed ones, whose last state is not written yet
}

// SubscriptionLimits bound the subscriptions that are kept; zero fields mean DefaultSubscriptionLimits' values.
type SubscriptionLimits struct {
	User  int // of one user
	Total int // of all
	Query int // size of a query in bytes
	// Lease is how long a subscription that is not durable is kept while nobody is attached.
	Lease time.Duration
	// Flush is how often what was handled is written: a crash makes that much be delivered again.
	Flush time.Duration
}

// DefaultSubscriptionLimits hold unless others are given.
var DefaultSubscriptionLimits = SubscriptionLimits{
	User: 100, Total: 100_000, Query: 64 << 10, Lease: 5 * time.Minute, Flush: 500 * time.Millisecond,
}

func (l SubscriptionLimits) withDefaults() SubscriptionLimits {
	d := DefaultSubscriptionLimits
	if l.User > 0 {
		d.User = l.User
	}
	if l.Total > 0 {
		d.Total = l.Total
	}
	if l.Query > 0 {
		d.Query = l.Query
	}
	if l.Lease > 0 {
		d.Lease = l.Lease
	}
	if l.Flush > 0 {
		d.Flush = l.Flush
	}
	return d
}

// NewSubscriptions makes those of a log, in its database.
func NewSubscriptions(log *Log, limits SubscriptionLimits) *Subscriptions {
	return &Subscriptions{
		log: log, db: log.db, limits: limits.withDefaults(), logger: log.logger, wake: make(chan struct{}, 1),
		writing: make(chan struct{}, 1), open: map[string]*Consumer{},
	}
}

// What is delivered.
const (
	DeliverEvent  = "event"  // the event's document
	DeliverResult = "result" // what the query makes of it, serialized
)

// SubscriptionRequest asks for a subscription.
type SubscriptionRequest struct {
	Query   string // XQuery; "" for all events that the user may receive
	Name    string // "" for none; a user's second request with a name gets the same subscription
	Durable bool   // at least once, and until it is removed; else at most once
	Deliver string // DeliverEvent when ""
	From    string // where to begin: see Log.Behind
	Replace bool   // a subscription of this name gets the other query, delivery, and from, if one is given
}

// SubscriptionState is what is known of a subscription.
type SubscriptionState struct {
	ID, Owner, Name, Query, Deliver string
	Durable, Attached               bool
	Created                         time.Time
	Expires                         time.Time // of one that is not durable, unless somebody is attached
	// Position is the number of the event up to which all is done with; Lag is the number of events behind it.
	Position, Lag int64
	// Delivered events were accepted, Rejected ones were refused by the subscriber; Failed evaluations count as no match.
	Delivered, Rejected, Failed int64
	LastError                   string
}

// record is a row.
type record struct {
	id, name, query, deliver string
	owner                    access.User
	durable, attached        bool
	relayed                  bool // the consumer is no sign of life of the subscriber
	handled, epoch           int64
	created, lease           int64
	counts                   counts
	lastError                string
}

type counts struct{ delivered, rejected, failed int64 }

const selectSubscriptions = `SELECT id, owner, owner_uuid, owner_dn, owner_admin, name, query, deliver, durable, attached, handled, epoch, ` +
	`created, lease, delivered, rejected, failed, last_error FROM clacks_subscriptions`

// records reads rows.
func (s *Subscriptions) records(ctx context.Context, where string, args ...any) ([]record, error) {
	var all []record
	err := s.db.Query(ctx, selectSubscriptions+where, args, func(scan func(...any) error) error {
		var r record
		err := scan(&r.id, &r.owner.ID, &r.owner.UUID, &r.owner.DN, &r.owner.Admin, &r.name, &r.query, &r.deliver, &r.durable, &r.attached,
			&r.handled, &r.epoch, &r.created, &r.lease, &r.counts.delivered, &r.counts.rejected, &r.counts.failed, &r.lastError)
		all = append(all, r)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the subscriptions: %w", err)
	}
	return all, nil
}

// record reads one row; nil when there is none.
func (s *Subscriptions) record(ctx context.Context, where string, args ...any) (*record, error) {
	all, err := s.records(ctx, where, args...)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return &all[0], nil
}

// subscriptionName is what a name may look like: it appears in listings and logs.
var subscriptionName = regexp.MustCompile(`^[\p{L}\p{N}_.:@/ -]{1,100}$`)

// Create makes a subscription and gives its id, or that of the one which the user has under this name. Errors are an
// *xquery.Error for the query, clacks.Unauthenticated, Invalid (a wrong name, delivery or from), Conflict (the name
// belongs to a subscription with another query or delivery), NotFound (the events that from names are not kept any more),
// Limit and Unavailable.
func (s *Subscriptions) Create(ctx context.Context, user access.User, q SubscriptionRequest) (id string, err error) {
	if q.Deliver == "" {
		q.Deliver = DeliverEvent
	}
	if err := s.check(user, &q); err != nil {
		return "", err
	}
	handled, err := s.beginning(ctx, q.From)
	if err != nil {
		return "", err
	}
	for range 3 { // somebody else may make or remove one of the same name meanwhile
		known, err := s.named(ctx, user, q.Name)
		if err != nil {
			return "", err
		}
		if known != nil {
			again, err := s.renew(ctx, user, known, &q, handled)
			if again {
				continue
			}
			return known.id, err
		}
		id := uuid.NewString()
		err = s.insert(ctx, user, id, &q, handled)
		var taken *store.ConstraintError
		if !errors.As(err, &taken) {
			return id, err
		}
	}
	return "", clacks.E(clacks.Conflict, "events.subscribe", "somebody else works on the subscription %q at the same time", q.Name)
}

func (s *Subscriptions) check(user access.User, q *SubscriptionRequest) error {
	const op = "events.subscribe"
	wrong := func(parameter, reason string) error {
		return &clacks.Error{Op: op, Kind: clacks.Invalid, Reason: "wrong parameters",
			Fields: []clacks.Field{{Attribute: parameter, Code: clacks.CodeCheck, Reason: reason}}}
	}
	switch {
	case user.Anonymous():
		return clacks.E(clacks.Unauthenticated, op, "log in to receive events")
	case q.Deliver != DeliverEvent && q.Deliver != DeliverResult:
		return wrong("deliver", fmt.Sprintf("it must be %q or %q", DeliverEvent, DeliverResult))
	case q.Deliver == DeliverResult && q.Query == "":
		return wrong("deliver", "without a query there is no result")
	case q.Name != "" && !subscriptionName.MatchString(q.Name):
		return wrong("name", "up to 100 letters, digits, spaces and characters of _.:@/-")
	case q.Replace && q.Name == "":
		return wrong("replace", "only a subscription with a name can be replaced")
	case len(q.Query) > s.limits.Query:
		return clacks.E(clacks.Limit, op, "the query has %d bytes; %d are allowed", len(q.Query), s.limits.Query)
	}
	if q.Query == "" {
		return nil
	}
	filter, err := s.log.hub.filters.get(q.Query)
	if err != nil {
		return err
	}
	defer s.log.hub.filters.put(q.Query)
	_, err = filter.output()
	return err
}

// beginning is the position behind which a subscription begins.
func (s *Subscriptions) beginning(ctx context.Context, from string) (int64, error) {
	after, err := s.log.Behind(ctx, from)
	if err != nil {
		return 0, err
	}
	last, err := s.log.Last(ctx)
	if err != nil {
		return 0, err
	}
	if after == FromNow {
		return last, nil
	}
	if after > last {
		return 0, clacks.E(clacks.Invalid, "events.subscribe", "%w", &NotReachedError{Sequence: after, Last: last})
	}
	first, err := s.log.first(ctx)
	if err != nil {
		return 0, err
	}
	if after == 0 {
		return first - 1, nil
	}
	if after < first-1 {
		return 0, pruned(after, first)
	}
	return after, nil
}

func (s *Subscriptions) named(ctx context.Context, user access.User, name string) (*record, error) {
	if name == "" {
		return nil, nil
	}
	return s.record(ctx, ` WHERE owner = ? AND name = ?`, user.ID, name)
}

// renew gives a subscription that comes back a new lease, or with Replace other contents. Who serves it is told by the
// epoch. It has to be tried again when the subscription has gone meanwhile.
func (s *Subscriptions) renew(ctx context.Context, user access.User, known *record, q *SubscriptionRequest, handled int64) (again bool, err error) {
	same := known.query == q.Query && known.deliver == q.Deliver && known.durable == q.Durable
	if !same && !q.Replace {
		return false, clacks.E(clacks.Conflict, "events.subscribe",
			"your subscription %q exists with another query, delivery or durability; say replace to change it", q.Name)
	}
	set, args := `lease = ?, owner_uuid = ?, owner_dn = ?, owner_admin = ?`, []any{s.lease(q.Durable), user.UUID, user.DN, user.Admin}
	moved := q.Replace && q.From != ""
	if !same || moved {
		set, args = set+`, epoch = epoch + 1, query = ?, deliver = ?, durable = ?`, append(args, q.Query, q.Deliver, q.Durable)
		s.evict(known.id, errStolen)
		if err := s.flush(ctx); err != nil {
			return false, err
		}
	}
	if moved {
		set, args = set+`, handled = ?, last_error = ''`, append(args, handled)
	}
	results, err := s.db.Exec(ctx, store.Statement{SQL: `UPDATE clacks_subscriptions SET ` + set + ` WHERE id = ?`, Args: append(args, known.id)})
	if err != nil {
		return false, fmt.Errorf("renew a subscription: %w", err)
	}
	return results[0].Rows == 0, nil
}

// insert adds a row, unless there are too many.
func (s *Subscriptions) insert(ctx context.Context, user access.User, id string, q *SubscriptionRequest, handled int64) error {
	results, err := s.db.Exec(ctx, store.Statement{
		SQL: `INSERT INTO clacks_subscriptions (id, owner, owner_uuid, owner_dn, owner_admin, name, query, deliver, durable, handled, created, lease) ` +
			`SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? ` +
			`WHERE (SELECT COUNT(*) FROM clacks_subscriptions WHERE owner = ?) < ? AND (SELECT COUNT(*) FROM clacks_subscriptions) < ?`,
		Args: []any{id, user.ID, user.UUID, user.DN, user.Admin, q.Name, q.Query, q.Deliver, q.Durable, handled,
			time.Now().UnixMicro(), s.lease(q.Durable), user.ID, int64(s.limits.User), int64(s.limits.Total)},
	})
	if err != nil {
		return fmt.Errorf("make a subscription: %w", err)
	}
	if results[0].Rows == 0 {
		return clacks.E(clacks.Limit, "events.subscribe", "a user may have %d subscriptions, and all together %d", s.limits.User, s.limits.Total)
	}
	return nil
}

// lease is the end of a lease that begins now; durable ones have none.
func (s *Subscriptions) lease(durable bool) int64 {
	if durable {
		return 0
	}
	return time.Now().Add(s.limits.Lease).UnixMicro()
}

// Remove ends a subscription: one's own, for an administrator any. Others do not exist (clacks.NotFound).
func (s *Subscriptions) Remove(ctx context.Context, user access.User, id string) error {
	results, err := s.db.Exec(ctx, store.Statement{
		SQL: `DELETE FROM clacks_subscriptions WHERE id = ? AND (owner = ? OR ?)`, Args: []any{id, user.ID, user.Admin && !user.Anonymous()},
	})
	if err != nil {
		return fmt.Errorf("remove a subscription: %w", err)
	}
	if results[0].Rows == 0 {
		return unknownSubscription()
	}
	s.evict(id, errRemoved)
	return nil
}

func unknownSubscription() error {
	return clacks.E(clacks.NotFound, "events.subscription", "you have no such subscription")
}

// List are the subscriptions of a user, of all users for an administrator, by owner, name and age.
func (s *Subscriptions) List(ctx context.Context, user access.User) ([]SubscriptionState, error) {
	if user.Anonymous() {
		return nil, clacks.E(clacks.Unauthenticated, "events.subscriptions", "log in to see your subscriptions")
	}
	rows, err := s.records(ctx, ` WHERE owner = ? OR ? ORDER BY owner, name, created, id`, user.ID, user.Admin)
	if err != nil {
		return nil, err
	}
	last, err := s.log.Last(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]SubscriptionState, len(rows))
	for i := range rows {
		s.update(&rows[i])
		all[i] = rows[i].state(last)
	}
	return all, nil
}

// update brings a row up to what the consumer in this process knows.
func (s *Subscriptions) update(r *record) {
	s.mu.Lock()
	c := s.open[r.id]
	s.mu.Unlock()
	if c != nil && c.record.epoch == r.epoch {
		now := c.progress()
		r.handled, r.counts, r.lastError = max(r.handled, now.handled), now.counts, now.lastError
	}
}

func (r *record) state(last int64) SubscriptionState {
	state := SubscriptionState{
		ID: r.id, Owner: r.owner.ID, Name: r.name, Query: r.query, Deliver: r.deliver, Durable: r.durable, Attached: r.attached,
		Created: time.UnixMicro(r.created).UTC(), Position: r.handled, Lag: max(0, last-r.handled),
		Delivered: r.counts.delivered, Rejected: r.counts.rejected, Failed: r.counts.failed, LastError: r.lastError,
	}
	if !r.durable {
		state.Expires = time.UnixMicro(r.lease).UTC()
	}
	return state
}

// IDs are those of all subscriptions, the oldest first.
func (s *Subscriptions) IDs(ctx context.Context) ([]string, error) {
	var ids []string
	err := s.db.Query(ctx, `SELECT id FROM clacks_subscriptions ORDER BY created, id`, nil, func(scan func(...any) error) error {
		var id string
		err := scan(&id)
		ids = append(ids, id)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the subscriptions: %w", err)
	}
	return ids, nil
}

// Summary are the numbers of all subscriptions.
type Summary struct {
	Durable, Transient int64
	Attached           int64
	Slowest            int64 // the position of the slowest durable one; -1 when there is none
}

// Summary counts the subscriptions.
func (s *Subscriptions) Summary(ctx context.Context) (Summary, error) {
	sum := Summary{Slowest: -1}
	err := s.db.Query(ctx, `SELECT durable, attached, COUNT(*), MIN(handled) FROM clacks_subscriptions GROUP BY durable, attached`, nil,
		func(scan func(...any) error) error {
			var durable, attached bool
			var count, slowest int64
			if err := scan(&durable, &attached, &count, &slowest); err != nil {
				return err
			}
			if attached {
				sum.Attached += count
			}
			if !durable {
				sum.Transient += count
				return nil
			}
			sum.Durable += count
			if sum.Slowest < 0 || slowest < sum.Slowest {
				sum.Slowest = slowest
			}
			return nil
		})
	if err != nil {
		return Summary{}, fmt.Errorf("count the subscriptions: %w", err)
	}
	return sum, nil
}

// Slowest is the position of the durable subscription that is the furthest behind; the largest number when there is none.
// It is what Retention.Slowest wants.
func (s *Subscriptions) Slowest(ctx context.Context) (int64, error) {
	return s.log.value(ctx, `SELECT COALESCE(MIN(handled), 9223372036854775807) FROM clacks_subscriptions WHERE durable = ?`, true)
}

// Behind is the sequence number behind which a reader begins who asks for a place in the log: that of the event with the
// number in from, or of the first one at the time in from (RFC 3339); FromNow for "". Anything else is clacks.Invalid.
func (l *Log) Behind(ctx context.Context, from string) (int64, error) {
	if from == "" {
		return FromNow, nil
	}
	if sequence, ok := sequenceIn(from); ok {
		return max(sequence-1, 0), nil
	}
	at, err := time.Parse(time.RFC3339, strings.TrimSpace(from))
	if err != nil || at.Year() < 1 || at.Year() > 9999 {
		return 0, &clacks.Error{Op: "events.from", Kind: clacks.Invalid, Reason: "wrong parameters",
			Fields: []clacks.Field{{Attribute: "from", Code: clacks.CodeCheck, Reason: "it must be a sequence number or a time as in RFC 3339"}}}
	}
	return l.At(ctx, at)
}
