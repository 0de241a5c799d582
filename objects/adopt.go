package objects

import (
	"context"
	"errors"
	"slices"
	"strings"

	"clacks"
	"clacks/backends"
	"clacks/internal/dn"
	"clacks/mapping"
)

// adopt takes an object into the index that a directory has and the index has not: somebody else made it. It fails with
// clacks.NotFound when no directory has it, or when nothing there says of which type it is.
func (s *Service) adopt(ctx context.Context, cat *catalogue, id string, wanted wanter) (*loaded, error) {
	ref := backends.Ref{DN: id}
	if isUUID(id) {
		ref = backends.Ref{UUID: id}
	} else if key, err := dn.Key(id); err != nil {
		return nil, notFound(id)
	} else if !dn.KeyUnder(key, s.baseKey) {
		return nil, notFound(id)
	}
	for _, name := range s.trees() {
		entry, err := readOrNil(ctx, s.backends[name], ref, []string{mapping.ObjectClass})
		if err != nil {
			return nil, err
		}
		if entry == nil || !dn.Under(entry.DN, s.base) {
			continue
		}
		if base, extensions, ok := cat.set.Identify(name, entry); ok {
			found := &row{uuid: strings.ToLower(entry.UUID), dn: entry.DN, typ: base, extensions: extensions}
			return s.takeIn(ctx, cat, nil, found, wanted)
		}
	}
	return nil, notFound(id)
}

// reopen finds out what became of an object whose row is current and whose entry is not: moved or changed in its classes
// by somebody else, or gone.
func (s *Service) reopen(ctx context.Context, cat *catalogue, r *row, wanted wanter) (*loaded, error) {
	shape, err := cat.set.Shape(r.typ, r.extensions)
	if err != nil {
		return nil, err
	}
	source := shape.Sources()[0]
	b, err := s.backend(source.Backend)
	if err != nil {
		return nil, err
	}
	entry, err := readOrNil(ctx, b, backends.Ref{UUID: r.uuid}, []string{mapping.ObjectClass})
	if err != nil {
		return nil, err
	}
	if entry == nil || !dn.Under(entry.DN, s.base) {
		return nil, notFound(r.dn)
	}
	base, extensions, ok := cat.set.Identify(source.Backend, entry)
	if !ok {
		return nil, notFound(r.dn)
	}
	if dn.Equal(entry.DN, r.dn) && base == r.typ && slices.Equal(extensions, r.extensions) {
		// Between our two looks it became what the index says: another commit was under way.
		return nil, beingChanged(r.dn)
	}
	found := &row{uuid: r.uuid, dn: entry.DN, typ: base, extensions: extensions}
	return s.takeIn(ctx, cat, r, found, wanted)
}

func beingChanged(name string) error {
	return clacks.E(clacks.Unavailable, "objects.open", "%s is being changed", name)
}

// takeIn brings the index up to what a directory has: old is the row of the object, nil when there is none. It is a commit
// as any other, with rows and an event of external origin, and without steps. What the directory shows may be half of
// another commit: while one holds the object it is not taken in, and once it is held here it is looked at again.
func (s *Service) takeIn(ctx context.Context, cat *catalogue, old, found *row, wanted wanter) (*loaded, error) {
	e, err := s.adoption(ctx, cat, old, found)
	if err != nil {
		return nil, err
	}
	p, err := s.planAdoption(ctx, cat, e)
	if err != nil {
		return nil, err
	}
	if err := s.giveUpName(ctx, cat, p, e); err != nil {
		return nil, err
	}
	if len(p.plan.Rows) > 0 {
		if _, err := s.commit(ctx, p.finish(Result{UUID: found.uuid})); err != nil {
			return nil, notAdopted(err, old, found)
		}
	}
	fresh, err := s.find(ctx, found.uuid, true)
	if err != nil {
		return nil, err
	}
	if fresh == nil {
		return nil, notFound(found.dn)
	}
	l, err := s.load(ctx, cat, fresh, wanted, trustNothing)
	if err == nil && l == nil {
		err = beingChanged(fresh.dn)
	}
	return l, err
}

// notAdopted is the answer when another operation holds the object: one that is being made is not there yet.
func notAdopted(err error, old, found *row) error {
	var a *again
	if !errors.As(err, &a) {
		return err
	}
	if old == nil {
		return notFound(found.dn)
	}
	return beingChanged(found.dn)
}

// adoption is the edit that makes the index hold what the directory has.
func (s *Service) adoption(ctx context.Context, cat *catalogue, old, found *row) (*edit, error) {
	if _, err := cat.set.Shape(found.typ, found.extensions); err != nil {
		found.extensions = nil // extensions that do not exist (any more)
	}
	whole, err := s.load(ctx, cat, found, wantsToWrite, trustNothing)
	if err != nil {
		return nil, err
	}
	if whole == nil {
		return nil, notFound(found.dn)
	}
	e := &edit{kind: changeCreate, row: old, shape: whole.shape, final: &whole.object, after: &whole.object, name: found.dn, whole: whole.entries}
	if old == nil {
		return e, nil
	}
	if e.before, err = s.indexed(ctx, cat, old); err == nil && e.before == nil {
		err = beingChanged(found.dn)
	}
	if err != nil {
		return nil, err
	}
	switch {
	case len(missingText(found.extensions, old.extensions)) > 0:
		e.kind = changeExtend
	case len(missingText(old.extensions, found.extensions)) > 0:
		e.kind = changeRetract
	default:
		e.kind = changeUpdate
	}
	return e, nil
}

// indexed is an object as the index has it; nil when that is no longer the version of the row.
func (s *Service) indexed(ctx context.Context, cat *catalogue, r *row) (*loaded, error) {
	shape, err := cat.set.Shape(r.typ, r.extensions)
	if err != nil {
		return nil, err
	}
	l := &loaded{row: r, shape: shape, object: mapping.Object{UUID: r.uuid, DN: r.dn, Type: r.typ, Extensions: r.extensions}}
	err = s.db.Query(ctx, `SELECT document FROM clacks_objects WHERE uuid = ? AND version = ?`, []any{r.uuid, r.version},
		func(scan func(...any) error) error {
			var text string
			if err := scan(&text); err != nil {
				return err
			}
			l.object.Values, err = decodeDocument(shape, []byte(text), nil)
			return err
		})
	if l.object.Values == nil {
		return nil, err
	}
	return l, err
}

func (s *Service) planAdoption(ctx context.Context, cat *catalogue, e *edit) (*planner, error) {
	p := s.newPlanner(cat, "")
	p.plan.verify = func(ctx context.Context) error { return s.stillThere(ctx, cat, e) }
	keys := map[string]any{}
	for _, source := range e.shape.Sources() {
		if entry := e.whole[source.ID]; entry != nil && source.Kind == backends.Table && entry.Key != nil {
			keys[source.ID] = entry.Key
		}
	}
	if e.row != nil {
		p.plan.touched = append(p.plan.touched, e.row)
	}
	if err := p.recall(ctx, e); err != nil {
		return nil, err
	}
	if err := p.row(e, keys); err != nil {
		return nil, err
	}
	p.events(e)
	p.plan.Events[0].Origin = "external"
	c := &p.plan.Rows[0]
	c.Reserve = uniques(e.shape, e.final)
	if e.before != nil {
		c.Release = slices.DeleteFunc(uniques(e.before.shape, &e.before.object), func(u uniqueValue) bool { return slices.Contains(c.Reserve, u) })
	}
	if source := e.tree(); source != nil && e.whole[source.ID] != nil {
		c.Guards.Versions = map[string]string{source.Backend: e.whole[source.ID].Version}
	}
	return p, nil
}

// stillThere looks again at what is to be taken in, when nobody else here can change it.
func (s *Service) stillThere(ctx context.Context, cat *catalogue, e *edit) error {
	now, err := s.load(ctx, cat, &row{uuid: e.final.UUID, dn: e.name, typ: e.final.Type, extensions: e.final.Extensions}, wantsToWrite, trustNothing)
	if err != nil {
		return err
	}
	if now == nil {
		return beingChanged(e.name)
	}
	for id, entry := range now.entries {
		then := e.whole[id]
		if then == nil || then.Version != entry.Version || len(changed(e.shape, e.final, &now.object)) > 0 {
			return beingChanged(e.name)
		}
	}
	return nil
}

// adopting marks the context of an adoption inside of another.
type adopting struct{}

// giveUpName removes from the index the object that had the name before, when its directory has it no more; one that it
// has under another name is taken in under that.
func (s *Service) giveUpName(ctx context.Context, cat *catalogue, p *planner, e *edit) error {
	former, err := s.find(ctx, e.name, true)
	if err != nil || former == nil || former.uuid == e.final.UUID {
		return err
	}
	if ctx.Value(adopting{}) != nil {
		return beingChanged(e.name) // names that were passed on in a chain, perhaps in a circle
	}
	_, err = s.reopen(context.WithValue(ctx, adopting{}, true), cat, former, wantsToWrite)
	if !clacks.IsKind(err, clacks.NotFound) {
		return err
	}
	gone, err := s.indexed(ctx, cat, former)
	if err == nil && gone == nil {
		err = beingChanged(e.name)
	}
	if err != nil {
		return err
	}
	removal := &edit{kind: changeRemove, row: former, before: gone, shape: gone.shape, name: former.dn}
	p.plan.touched = append(p.plan.touched, former)
	if err := p.row(removal, nil); err != nil {
		return err
	}
	p.events(removal)
	n := len(p.plan.Events)
	p.plan.Events[n-1].Origin = "external"
	slices.Reverse(p.plan.Events) // the name is free before it is taken
	slices.Reverse(p.plan.Rows)
	return nil
}

// trees are the names of the backends that are directories.
func (s *Service) trees() []string {
	var names []string
	for name, b := range s.backends {
		if b.Capabilities().Kind == backends.Tree {
			names = append(names, name)
		}
	}
	return names
}
