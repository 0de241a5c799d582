package objects

import (
	"context"
	"slices"

	"clacks"
	"clacks/access"
	"clacks/internal/dn"
	"clacks/mapping"
)

// Update changes an object's attributes, adds and removes extensions, all in one commit. When nothing differs from what
// is there, nothing is committed and Result.Sequence is 0.
func (s *Service) Update(ctx context.Context, user access.User, q UpdateRequest) (*Result, error) {
	body := struct {
		ID              string
		Changes         map[string]any
		Extend, Retract []string
		Version         string
	}{q.ID, q.Changes, q.Extend, q.Retract, q.Version}
	return s.run(ctx, user, "objects.update", q.Write, body, func(ctx context.Context, r *request) (*plan, error) {
		trust := trustEntries
		if q.DryRun || len(q.Extend) > 0 || len(q.Retract) > 0 {
			trust = trustRow
		}
		l, err := r.load(ctx, q.ID, trust)
		if err != nil {
			return nil, err
		}
		p, err := r.update(ctx, l, &q)
		if len(l.remembered) == 0 || err == nil && r.stands(ctx, p, l) {
			return p, err
		}
		// What was read some time ago never refuses a request.
		if l, err = r.load(ctx, q.ID, trustRow); err != nil {
			return nil, err
		}
		return r.update(ctx, l, &q)
	})
}

// load opens the object that a request concerns, and checks the version. The row may be a cached one: Prepare refuses the
// plan when its version is no longer that of the index.
func (r *request) load(ctx context.Context, id string, trust trust) (*loaded, error) {
	if r.fresh {
		trust = trustNothing
	}
	l, err := r.s.open(ctx, r.cat, id, wantsToWrite, trust)
	if err != nil {
		return nil, r.s.hidden(r.user, r.op, id, err)
	}
	if !r.fresh && r.write.Version != "" && r.write.Version != versionText(l.row.version) {
		r.fresh = true // only the database can say that it is another version
		return r.load(ctx, id, trustNothing)
	}
	return l, r.checkVersion(l.row)
}

func (r *request) update(ctx context.Context, l *loaded, q *UpdateRequest) (*plan, error) {
	if err := r.mayUpdate(l.row, q); err != nil {
		return nil, err
	}
	after, shape, kind, err := r.reshape(l, q.Extend, q.Retract)
	if err != nil {
		return nil, err
	}
	var wrong fields
	apply(shape, after, q.Changes, &wrong)
	wrong.merge(shape.CheckChanges(&l.object, after))
	if added := missingText(after.Extensions, l.row.extensions); len(added) > 0 && len(wrong) == 0 {
		if err := shape.ExtensionDefaults(ctx, after, added...); err != nil {
			return nil, named(r.op, err)
		}
	}
	if err := r.check(ctx, shape, &l.object, after, wrong); err != nil {
		return nil, err
	}
	e := &edit{kind: kind, row: l.row, before: l, after: after, shape: shape, name: l.row.dn,
		naming: &nameChoice{parent: dn.Parent(l.row.dn), self: l.row.uuid, taken: r.taken}}
	return r.commitEdit(ctx, e)
}

// commitEdit plans an edit and all that follows from it. An update of which nothing differs from what is there has no
// rows, and is not committed.
func (r *request) commitEdit(ctx context.Context, e *edit) (*plan, error) {
	p := r.s.newPlanner(r.cat, r.user.ID)
	if err := p.add(ctx, e); err != nil {
		return nil, err
	}
	if len(p.plan.Steps) == 0 && e.kind != changeExtend && e.kind != changeRetract {
		return &plan{Result: Result{UUID: e.row.uuid, DN: e.row.dn, Version: versionText(e.row.version)}}, nil
	}
	consequences, err := r.consequences(ctx, e)
	if err != nil {
		return nil, err
	}
	refersToItself, err := r.rewrite(e.shape, e.after, e.name, consequences.values)
	if err != nil {
		return nil, err
	}
	if refersToItself {
		p = r.s.newPlanner(r.cat, r.user.ID)
		if err := p.add(ctx, e); err != nil {
			return nil, err
		}
	}
	if err := r.follow(ctx, p, e, consequences); err != nil {
		return nil, err
	}
	return p.finish(Result{UUID: e.row.uuid, DN: e.name, Version: versionText(e.row.version + 1)}), nil
}

func (r *request) mayUpdate(row *row, q *UpdateRequest) error {
	if err := r.mayWrite(row.typ, row.uuid, row.dn, q.Changes); err != nil {
		return err
	}
	if len(q.Changes) == 0 {
		if err := r.may(access.Write, row.typ, row.uuid, row.dn); err != nil {
			return err
		}
	}
	for _, name := range q.Extend {
		if err := r.may(access.Create, name, row.uuid, row.dn); err != nil {
			return err
		}
	}
	for _, name := range q.Retract {
		if err := r.may(access.Delete, name, row.uuid, row.dn); err != nil {
			return err
		}
	}
	return nil
}

// reshape is the object with extensions added and removed: the values of a removed one are gone.
func (r *request) reshape(l *loaded, extend, retract []string) (*mapping.Object, *mapping.Shape, string, error) {
	if err := r.retractable(l.row.typ, l.row.extensions, retract); err != nil {
		return nil, nil, "", err
	}
	after := clone(&l.object)
	wanted := append(slices.Clone(l.row.extensions), extend...)
	wanted = slices.DeleteFunc(wanted, func(name string) bool { return slices.Contains(retract, name) })
	base, err := r.baseType(l.row.typ)
	if err != nil {
		return nil, nil, "", err
	}
	if err := r.dependants(base.Name, wanted, retract); err != nil {
		return nil, nil, "", err
	}
	extensions, err := r.extensions(base, wanted)
	if err != nil {
		return nil, nil, "", err
	}
	shape, err := r.cat.set.Shape(l.row.typ, extensions)
	if err != nil {
		return nil, nil, "", named(r.op, err)
	}
	kind := changeUpdate
	switch {
	case len(missingText(extensions, l.row.extensions)) > 0:
		kind = changeExtend
	case len(missingText(l.row.extensions, extensions)) > 0:
		kind = changeRetract
	}
	after.Extensions = extensions
	for name := range after.Values {
		if shape.Attribute(name) == nil {
			delete(after.Values, name)
		}
	}
	return after, shape, kind, nil
}

// retractable refuses to retract what an object does not have, or is.
func (r *request) retractable(base string, active, retract []string) error {
	var wrong fields
	for _, name := range retract {
		switch {
		case name == base:
			wrong.add(name, clacks.CodeUnknown, "is the type of the object, and no extension of it")
		case !slices.Contains(active, name):
			wrong.add(clip(name, 100), clacks.CodeUnknown, "is no extension that the object has%s", meant(name, active))
		}
	}
	return wrong.err(r.op, base)
}

// dependants refuses to retract what an extension that stays requires.
func (r *request) dependants(base string, staying, retract []string) error {
	for _, name := range staying {
		t := r.cat.set.Definitions().Type(name)
		if t == nil {
			continue
		}
		for _, required := range t.RequiresExtension {
			if slices.Contains(retract, required) {
				e := clacks.E(clacks.InUse, r.op, "the extension %s requires %s", name, required)
				e.Type = base
				return e
			}
		}
	}
	return nil
}

// missingText are the texts of a that are not in b.
func missingText(a, b []string) []string {
	var missing []string
	for _, s := range a {
		if !slices.Contains(b, s) {
			missing = append(missing, s)
		}
	}
	return missing
}
