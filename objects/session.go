package objects

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"clacks"
	"clacks/access"
	"clacks/internal/dn"
	"clacks/mapping"
)

// Session is an open object: it collects changes and commits them together. Its methods are safe for concurrent use and
// run one after the other. Each is idempotent: a request that arrives twice does no harm. A session survives its commits
// and ends with Close, Remove, ten minutes without use, or the login.
type Session struct {
	s     *Service
	ref   string
	login string
	user  access.User

	mu         sync.Mutex
	cat        *catalogue // the types with which it was opened
	old        *loaded    // nil for a new object
	object     *mapping.Object
	shape      *mapping.Shape
	parent     string          // of a new object
	changed    map[string]bool // attributes that were set
	lastResult *Result
	committed  string // the UUID of an object that was committed and could not be read again yet
	closed     bool
	shown      atomic.Pointer[shownName]

	// Of the registry, under its lock.
	lastUse time.Time
	warned  bool
}

// Open opens an existing object for a login. Errors as those of Get, and clacks.Limit when the user has too many open.
func (s *Service) Open(ctx context.Context, user access.User, login, id string) (*Session, error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	x := &Session{s: s, ref: newUUID(), login: login, user: user, cat: s.catalogue.Load(), changed: map[string]bool{}}
	if err := x.load(ctx, id); err != nil {
		return nil, named("objects.open", err)
	}
	if !s.policy.Allowed(user, access.Read, access.Topic{Type: x.object.Type, UUID: x.object.UUID, DN: x.object.DN}) {
		return nil, clacks.E(clacks.Denied, "objects.open", "this is not allowed")
	}
	return x, s.sessions.add(x)
}

// OpenNew opens an object that Commit will create below parent. Its defaults are set.
func (s *Service) OpenNew(ctx context.Context, user access.User, login, typ, parent string) (*Session, error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	r := s.request(user, "objects.open")
	if _, err := r.baseType(typ); err != nil {
		return nil, err
	}
	if err := dn.Validate(parent); err != nil {
		return nil, wrongName(r.op, "base", err)
	}
	if err := r.may(access.Create, typ, "", parent); err != nil {
		return nil, err
	}
	if _, err := r.parent(ctx, typ, parent); err != nil {
		return nil, named("objects.open", err)
	}
	shape, err := r.cat.set.Shape(typ, nil)
	if err != nil {
		return nil, err
	}
	object := &mapping.Object{UUID: newUUID(), Type: typ, Values: mapping.Values{}}
	if err := shape.Defaults(ctx, object); err != nil {
		return nil, named("objects.open", err)
	}
	x := &Session{s: s, ref: newUUID(), login: login, user: user, cat: r.cat, parent: parent, object: object, shape: shape,
		changed: map[string]bool{}}
	return x, s.sessions.add(x)
}

// request is one that belongs to no write, for its checks.
func (s *Service) request(user access.User, op string) *request {
	return &request{s: s, cat: s.catalogue.Load(), user: user, op: op, taken: map[string]bool{}}
}

func (x *Session) request(op string) *request {
	r := x.s.request(x.user, op)
	r.cat = x.cat
	return r
}

func (x *Session) load(ctx context.Context, id string) error {
	l, err := x.s.open(ctx, x.cat, id, wantsAll, trustNothing)
	if err != nil {
		return x.s.hidden(x.user, "objects.session.open", id, err)
	}
	x.set(l, clone(&l.object))
	clear(x.changed)
	return nil
}

func (x *Session) set(l *loaded, object *mapping.Object) {
	x.old, x.shape, x.object = l, l.shape, object
	x.shown.Store(&shownName{uuid: l.row.uuid, dn: l.row.dn})
}

// shownName is what notices call the object.
type shownName struct{ uuid, dn string }

// refresh reads an object again whose commit succeeded when reading it afterwards did not. What was set since stays.
func (x *Session) refresh(ctx context.Context) error {
	if x.committed == "" {
		return nil
	}
	l, err := x.s.open(ctx, x.cat, x.committed, wantsAll, trustNothing)
	if err != nil {
		return named("objects.session", err)
	}
	object := clone(&l.object)
	for name := range x.changed {
		object.Values[name] = x.object.Values[name]
	}
	x.set(l, object)
	x.committed = ""
	return nil
}

func wantsAll(shape *mapping.Shape) []mapping.SourceWant { return wants(shape, nil) }

// used notes a use; the registry's lock is held.
func (x *Session) used(now time.Time) { x.lastUse, x.warned = now, false }

func (x *Session) notice(left time.Duration) SessionNotice {
	n := SessionNotice{Login: x.login, Ref: x.ref, User: x.user, Left: left}
	if shown := x.shown.Load(); shown != nil {
		n.UUID, n.DN = shown.uuid, shown.dn
	}
	return n
}

// lock begins a method; it fails when the session was closed.
func (x *Session) lock() error {
	x.mu.Lock()
	if x.closed {
		x.mu.Unlock()
		return clacks.E(clacks.NotFound, "objects.session", "the object was closed")
	}
	return nil
}

// Ref is the session's reference: random, and known to its login only.
func (x *Session) Ref() string { return x.ref }

// State is what an open object is at the moment.
type State struct {
	Ref, UUID, DN, Type string
	Parent              string // of an object that is not created yet
	Extensions          []string
	Version             string // "" for an object that is not created yet
	Changed             []string
	Values              mapping.Values // what the user may read
	Shape               *mapping.Shape
}

// State returns the object with its uncommitted changes.
func (x *Session) State() (*State, error) {
	if err := x.lock(); err != nil {
		return nil, err
	}
	defer x.mu.Unlock()
	st := &State{Ref: x.ref, UUID: x.object.UUID, DN: x.object.DN, Type: x.object.Type, Parent: x.parent,
		Extensions: slices.Clone(x.object.Extensions), Values: mapping.Values{}, Shape: x.shape, Changed: slices.Sorted(maps.Keys(x.changed))}
	if x.old != nil {
		st.Version = versionText(x.old.row.version)
	}
	see := x.s.readable(x.user, x.object.Type, x.object.UUID, x.object.DN)
	for name, list := range x.object.Values {
		if a := x.shape.Attribute(name); a != nil && see(a) && len(list) > 0 {
			st.Values[name] = slices.Clone(list)
		}
	}
	return st, nil
}

// Get returns the values of one attribute, uncommitted changes included; none for a secret.
func (x *Session) Get(name string) ([]any, *mapping.Attribute, error) {
	if err := x.lock(); err != nil {
		return nil, nil, err
	}
	defer x.mu.Unlock()
	a := x.shape.Attribute(name)
	if a == nil {
		var wrong fields
		wrong.add(clip(name, 100), clacks.CodeUnknown, "the object has no such attribute")
		return nil, nil, wrong.err("objects.session.get", x.object.Type)
	}
	if !x.s.readable(x.user, x.object.Type, x.object.UUID, x.object.DN)(a) {
		return nil, a, nil
	}
	return slices.Clone(x.object.Values[name]), a, nil
}

// Set gives an attribute values, in the forms that UpdateRequest.Changes has. What is wrong with them is said at once, but
// for what only the whole object can tell; nothing is written before Commit.
func (x *Session) Set(ctx context.Context, name string, value any) error {
	if err := x.lock(); err != nil {
		return err
	}
	defer x.mu.Unlock()
	if err := x.refresh(ctx); err != nil {
		return err
	}
	r := x.request("objects.session.set")
	change := map[string]any{name: value}
	if err := r.mayWrite(x.object.Type, x.object.UUID, x.object.DN, change); err != nil {
		return err
	}
	next := clone(x.object)
	var wrong fields
	apply(x.shape, next, change, &wrong)
	if len(wrong) == 0 {
		more, err := x.wrongWith(ctx, name, next)
		if err != nil {
			return named(r.op, err)
		}
		wrong = more
	}
	if err := wrong.err(r.op, x.object.Type); err != nil {
		return err
	}
	x.object = next
	x.changed[name] = true
	return nil
}

// wrongWith are the faults of one attribute, without what may still be mended by setting others.
func (x *Session) wrongWith(ctx context.Context, name string, next *mapping.Object) (fields, error) {
	old := x.oldObject()
	list := x.shape.CheckChanges(old, x.named(next, name))
	more, err := x.shape.Check(ctx, old, next)
	if err != nil {
		return nil, err
	}
	var wrong fields
	for _, f := range append(list, more...) {
		if f.Attribute == name && f.Code != clacks.CodeMandatory && len(wrong) == 0 {
			wrong = append(wrong, f)
		}
	}
	return wrong, nil
}

// named is the part of a new object that the caller named: defaults are not his. Of an existing object it is all of it.
func (x *Session) named(object *mapping.Object, more ...string) *mapping.Object {
	if x.old != nil {
		return object
	}
	part := *object
	part.Values = mapping.Values{}
	for name, list := range object.Values {
		if x.changed[name] || slices.Contains(more, name) {
			part.Values[name] = list
		}
	}
	return &part
}

func (x *Session) oldObject() *mapping.Object {
	if x.old == nil {
		return nil
	}
	return &x.old.object
}

// Extend adds an extension; one that is there already is left as it is.
func (x *Session) Extend(ctx context.Context, extension string) error {
	return x.reshape(ctx, access.Create, extension)
}

// Retract takes an extension away, with the values of its attributes. It fails with clacks.InUse while another extension
// requires it.
func (x *Session) Retract(ctx context.Context, extension string) error {
	return x.reshape(ctx, access.Delete, extension)
}

func (x *Session) reshape(ctx context.Context, right access.Right, extension string) error {
	if err := x.lock(); err != nil {
		return err
	}
	defer x.mu.Unlock()
	if err := x.refresh(ctx); err != nil {
		return err
	}
	wanted := slices.DeleteFunc(slices.Clone(x.object.Extensions), func(name string) bool { return name == extension })
	if right == access.Create {
		wanted = append(wanted, extension)
	}
	r := x.request("objects.session.extend")
	if err := r.may(right, extension, x.object.UUID, x.object.DN); err != nil {
		return err
	}
	if right == access.Delete {
		if err := r.retractable(x.object.Type, x.object.Extensions, []string{extension}); err != nil {
			return err
		}
	}
	base, err := r.baseType(x.object.Type)
	if err != nil {
		return err
	}
	if right == access.Delete {
		if err := r.dependants(base.Name, wanted, []string{extension}); err != nil {
			return err
		}
	}
	extensions, err := r.extensions(base, wanted)
	if err != nil {
		return err
	}
	shape, err := x.cat.set.Shape(x.object.Type, extensions)
	if err != nil {
		return named(r.op, err)
	}
	next := clone(x.object)
	next.Extensions = extensions
	for name := range next.Values {
		if shape.Attribute(name) == nil {
			delete(next.Values, name)
			delete(x.changed, name)
		}
	}
	if added := missingText(extensions, x.object.Extensions); len(added) > 0 {
		if err := shape.ExtensionDefaults(ctx, next, added...); err != nil {
			return named(r.op, err)
		}
	}
	x.object, x.shape = next, shape
	return nil
}

// changes are the values to commit: those that were set, and for what comes into being the defaults that were shown.
func (x *Session) changes() map[string]any {
	changes := map[string]any{}
	for name, list := range x.object.Values {
		a := x.shape.Attribute(name)
		if a == nil || !x.changed[name] && !x.shownDefault(a) {
			continue
		}
		changes[name] = slices.Clone(list)
	}
	return changes
}

func (x *Session) shownDefault(a *mapping.Attribute) bool {
	fresh := x.old == nil || a.Owner != x.object.Type && !slices.Contains(x.old.row.extensions, a.Owner)
	return fresh && a.Writable && !a.ReadOnly && !a.Computed
}

// Commit writes all changes and keeps the session open on the object as it is then. Without changes it answers the last
// outcome again. When others have changed the object meanwhile, and nothing that was changed here too, their changes and
// these go together; else it is clacks.Conflict.
func (x *Session) Commit(ctx context.Context) (*Result, error) {
	if err := x.lock(); err != nil {
		return nil, err
	}
	defer x.mu.Unlock()
	if err := x.refresh(ctx); err != nil {
		return nil, err
	}
	if x.old != nil && len(x.changed) == 0 && slices.Equal(x.object.Extensions, x.old.row.extensions) {
		if x.lastResult != nil {
			return x.lastResult, nil
		}
		return &Result{UUID: x.object.UUID, DN: x.object.DN, Version: versionText(x.old.row.version)}, nil
	}
	result, err := x.commit(ctx)
	if err != nil {
		return nil, err
	}
	x.lastResult, x.committed, x.parent = result, result.UUID, ""
	clear(x.changed)
	if err := x.refresh(ctx); err != nil {
		x.s.log.Warn("an object cannot be read after its commit; the next request does it", "uuid", result.UUID, "error", err)
	}
	return result, nil
}

func (x *Session) commit(ctx context.Context) (*Result, error) {
	if x.old == nil {
		return x.s.Create(ctx, x.user, CreateRequest{Write: Write{cat: x.cat}, Type: x.object.Type, Base: x.parent,
			Attributes: x.changes(), Extensions: x.object.Extensions})
	}
	q := UpdateRequest{
		Write: Write{Version: versionText(x.old.row.version), cat: x.cat}, ID: x.object.UUID, Changes: x.changes(),
		Extend:  missingText(x.object.Extensions, x.old.row.extensions),
		Retract: missingText(x.old.row.extensions, x.object.Extensions),
	}
	result, err := x.s.Update(ctx, x.user, q)
	if clacks.IsKind(err, clacks.Conflict) && x.apart(err) {
		q.Version = ""
		return x.s.Update(ctx, x.user, q)
	}
	return result, err
}

// apart reports whether a conflict's attributes are known and none of them was changed here.
func (x *Session) apart(err error) bool {
	theirs := conflictFields(err)
	return len(theirs) > 0 && !slices.ContainsFunc(theirs, func(f clacks.Field) bool { return x.changed[f.Attribute] })
}

func conflictFields(err error) []clacks.Field {
	var e *clacks.Error
	if !errors.As(err, &e) {
		return nil
	}
	return e.Fields
}

// Move gives the object another parent at once, and keeps uncommitted changes.
func (x *Session) Move(ctx context.Context, base string) (*Result, error) {
	if err := x.lock(); err != nil {
		return nil, err
	}
	defer x.mu.Unlock()
	if x.old == nil {
		if _, err := x.request("objects.session.move").parent(ctx, x.object.Type, base); err != nil {
			return nil, err
		}
		x.parent = base
		return &Result{UUID: x.object.UUID}, nil
	}
	result, err := x.s.Move(ctx, x.user, MoveRequest{ID: x.object.UUID, Base: base})
	if err != nil {
		return nil, err
	}
	l, err := x.s.open(ctx, x.cat, x.object.UUID, wantsAll, trustNothing)
	if err != nil {
		return nil, named("objects.session.move", err)
	}
	object := clone(&l.object)
	for name := range x.changed {
		object.Values[name] = x.object.Values[name]
	}
	object.Extensions = x.object.Extensions
	shape := x.shape
	x.set(l, object)
	x.shape = shape
	return result, nil
}

// Remove deletes the object at once, and closes the session.
func (x *Session) Remove(ctx context.Context, recursive bool) (*Result, error) {
	if err := x.lock(); err != nil {
		return nil, err
	}
	defer x.mu.Unlock()
	var result *Result
	if x.old != nil {
		var err error
		if result, err = x.s.Delete(ctx, x.user, DeleteRequest{ID: x.object.UUID, Recursive: recursive}); err != nil {
			return nil, err
		}
	} else {
		result = &Result{}
	}
	x.closed = true
	x.s.sessions.remove(x.ref)
	return result, nil
}

// Reload gives up uncommitted changes and reads the object anew, on the types of now.
func (x *Session) Reload(ctx context.Context) error {
	if err := x.lock(); err != nil {
		return err
	}
	defer x.mu.Unlock()
	if x.old == nil {
		x.object.Values = mapping.Values{}
		clear(x.changed)
		return named("objects.session.reload", x.shape.Defaults(ctx, x.object))
	}
	x.cat = x.s.catalogue.Load()
	return named("objects.session.reload", x.load(ctx, x.object.UUID))
}

// Close ends the session; uncommitted changes are gone. Closing twice is no error.
func (x *Session) Close() {
	x.mu.Lock()
	x.closed = true
	x.mu.Unlock()
	x.s.sessions.remove(x.ref)
}
