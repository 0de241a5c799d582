package objects

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"clacks"
	"clacks/access"
	"clacks/internal/dn"
	"clacks/objects/journal"
)

func newUUID() string { return uuid.NewString() }

// request is one write on its way: who, what, and what earlier tries have taught.
type request struct {
	s     *Service
	cat   *catalogue
	user  access.User
	op    string // for errors: "objects.update"
	write Write
	hash  string
	taken map[string]bool // DN keys that a directory has although the index does not know them
	fresh bool            // all must be read: what is cached may be old, which costs another try
}

// run plans and commits a request. When another commit gets in the way the plan is made anew from what is there then; a
// request that named a version ends with clacks.Conflict as soon as the version is another.
func (s *Service) run(ctx context.Context, user access.User, op string, write Write, body any,
	build func(ctx context.Context, r *request) (*plan, error)) (*Result, error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	r := &request{s: s, cat: write.cat, user: user, op: op, write: write, taken: map[string]bool{}}
	if r.cat == nil {
		r.cat = s.catalogue.Load()
	}
	if write.IdempotencyKey != "" && !write.DryRun {
		err := checkKey(op, write.IdempotencyKey)
		if err != nil {
			return nil, err
		}
		if r.hash, err = requestHash(op, body); err != nil {
			return nil, err
		}
		if known, err := s.repeated(ctx, r); known != nil || err != nil {
			return known, err
		}
	}
	deadline := s.now().Add(s.limits.Wait)
	wait := newBackoff()
	for attempt := 1; ; attempt++ {
		result, err := s.try(ctx, r, build)
		var a *again
		if !errors.As(err, &a) {
			return result, named(op, err)
		}
		if a.known && !r.fresh {
			r.fresh = true
			attempt--
			continue
		}
		r.fresh = true
		if a.taken != "" {
			if err := r.learnTaken(a.taken); err != nil {
				return nil, err
			}
		}
		if a.busy && s.now().Before(deadline) && ctx.Err() == nil {
			attempt--
		}
		if attempt >= s.limits.Attempts || ctx.Err() != nil {
			return nil, named(op, a.err)
		}
		if r.hash != "" {
			if known, err := s.repeated(ctx, r); known != nil || err != nil {
				return known, err
			}
		}
		wait.sleep(ctx)
	}
}

func (s *Service) try(ctx context.Context, r *request, build func(ctx context.Context, r *request) (*plan, error)) (*Result, error) {
	p, err := build(ctx, r)
	if err != nil {
		return nil, err
	}
	if r.write.DryRun {
		return s.dryRun(ctx, p)
	}
	if len(p.Rows) == 0 {
		result := p.Result // nothing changes: there is nothing to write and no event
		return &result, nil
	}
	p.hash = r.hash
	if r.hash != "" {
		p.key = r.key()
	}
	result, err := s.commit(ctx, p)
	var a *again
	if len(p.remembered) > 0 && errors.As(err, &a) && !a.busy {
		a.known = true
		s.known.judge(p.remembered, false)
	}
	return result, err
}

// dryRun answers the plan. Unique values are looked up, since no reservation will do it.
func (s *Service) dryRun(ctx context.Context, p *plan) (*Result, error) {
	taken, err := s.journal.Taken(ctx, p.unique)
	if err != nil {
		return nil, err
	}
	if len(taken) > 0 {
		return nil, s.notUnique(p, taken)
	}
	result := p.Result
	result.Plan = p.describe()
	return &result, nil
}

func (r *request) learnTaken(name string) error {
	key, err := dn.Key(name)
	if err != nil {
		return err
	}
	r.taken[key] = true
	return nil
}

// key is the idempotency key in the journal: nobody can ask for the outcome of another user's request.
func (r *request) key() string { return r.user.ID + "/" + r.write.IdempotencyKey }

// named makes an error that no function below has given a name one of this operation.
func named(op string, err error) error {
	if err == nil {
		return nil
	}
	var e *clacks.Error
	if errors.As(err, &e) {
		return err
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return clacks.E(clacks.Unavailable, op, "the request was given up: %w", err)
	}
	return clacks.E(clacks.Internal, op, "%w", err)
}

// maxIdempotencyKey is the length of an idempotency key in bytes.
const maxIdempotencyKey = 255

// checkKey refuses an idempotency key that a database cannot keep, or that is no key.
func checkKey(op, key string) error {
	if len(key) <= maxIdempotencyKey && utf8.ValidString(key) && !strings.ContainsFunc(key, unicode.IsControl) {
		return nil
	}
	var wrong fields
	wrong.add("idempotencyKey", clacks.CodeType, "is text of at most %d bytes without control characters", maxIdempotencyKey)
	return &clacks.Error{Op: op, Kind: clacks.Invalid, Reason: "the idempotency key is no key", Fields: wrong}
}

// requestHash tells two requests apart: by the operation and all of its parameters.
func requestHash(op string, body any) (string, error) {
	text, err := json.Marshal(body) // maps are written in the order of their keys
	if err != nil {
		return "", clacks.E(clacks.Invalid, op, "the parameters have no JSON form: %w", err)
	}
	sum := sha256.Sum256(append([]byte(op+" "), text...))
	return hex.EncodeToString(sum[:]), nil
}

// repeated answers a request whose idempotency key is known: with the first outcome, or clacks.Invalid when the request
// was another one. It waits for one that is still running. nil means that the request is to be run.
func (s *Service) repeated(ctx context.Context, r *request) (*Result, error) {
	deadline := s.now().Add(s.limits.Wait)
	for wait := newBackoff(); ; wait.sleep(ctx) {
		record, err := s.journal.Find(ctx, r.key())
		if err != nil || record == nil {
			return nil, err
		}
		switch {
		case record.RequestHash != r.hash:
			return nil, wrongParameter(r.op, "idempotencyKey", clacks.CodeCheck, "the key was used for another request")
		case record.State == journal.Committed:
			return s.outcome(ctx, record.Operation)
		case record.State != journal.Prepared:
			return nil, nil
		case !s.now().Before(deadline) || ctx.Err() != nil:
			return nil, clacks.E(clacks.Conflict, r.op, "the first request with this idempotency key is still running")
		}
	}
}

// storedResult is what the journal keeps of an outcome. The sequence number is that of the event, which the commit
// transaction itself hands out: it is looked up when the outcome is asked for.
type storedResult struct {
	UUID    string `json:"uuid,omitempty"`
	DN      string `json:"dn,omitempty"`
	Version string `json:"version,omitempty"`
	Event   string `json:"event"`
}

func encodeResult(p *plan) ([]byte, error) {
	last := ""
	if n := len(p.Events); n > 0 {
		last = p.Events[n-1].EventID
	}
	text, err := json.Marshal(storedResult{UUID: p.Result.UUID, DN: p.Result.DN, Version: p.Result.Version, Event: last})
	if err != nil {
		return nil, clacks.E(clacks.Internal, "objects.commit", "a result has no JSON form: %w", err)
	}
	return text, nil
}

// outcome is the result of a committed operation, as soon as nothing can take it back.
func (s *Service) outcome(ctx context.Context, operation string) (*Result, error) {
	record, err := s.journal.Get(ctx, operation)
	if err != nil {
		return nil, err
	}
	var stored storedResult
	if record == nil {
		return nil, clacks.E(clacks.Internal, "objects.outcome", "the journal row is gone")
	}
	if err := json.Unmarshal(record.Result, &stored); err != nil {
		return nil, clacks.E(clacks.Internal, "objects.outcome", "the journal row is damaged: %w", err)
	}
	result := &Result{UUID: stored.UUID, DN: stored.DN, Version: stored.Version}
	if err := s.db.Durable(ctx); err != nil {
		return nil, err
	}
	err = s.db.Query(ctx, `SELECT sequence FROM clacks_events WHERE event_id = ?`, []any{stored.Event},
		func(scan func(...any) error) error { return scan(&result.Sequence) })
	return result, err
}

func versionText(v int64) string { return strconv.FormatInt(v, 10) }

// checkVersion refuses a request that was made from another version of the object, and says what happened since.
func (r *request) checkVersion(row *row) error {
	if r.write.Version == "" || r.write.Version == versionText(row.version) {
		return nil
	}
	if r.shown(row.typ, row.uuid, row.dn) == "" {
		return r.denied("", "this is not allowed") // who changed what is not for everybody
	}
	e := clacks.E(clacks.Conflict, r.op, "the object has version %d, not %s", row.version, clip(r.write.Version, 40))
	e.Type = row.typ
	known, err := strconv.ParseInt(r.write.Version, 10, 64)
	if err != nil {
		return e
	}
	for _, line := range row.guards.History {
		if line.Version <= known {
			continue
		}
		for _, name := range line.Attributes {
			e.Fields = append(e.Fields, clacks.Field{Attribute: name, Code: codeChanged, Reason: "changed by " + line.Actor})
		}
	}
	return e
}

// codeChanged marks, in the fields of a conflict, the attributes that others have changed.
const codeChanged = "ATTRIBUTE_CHANGED"

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "..."
}

// usable says whether requests can be served: not before the index is complete.
func (s *Service) usable() error {
	state := s.ready.Load()
	if state == nil {
		return clacks.E(clacks.Unavailable, "objects", "the service is starting")
	}
	if *state != nil {
		// The cause names servers: it is for the log.
		return &clacks.Error{Op: "objects", Kind: clacks.Unavailable, Reason: "the service is not ready", Err: *state}
	}
	return nil
}
