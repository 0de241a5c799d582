package objects

import (
	"context"
	"slices"
	"strings"

	"clacks"
	"clacks/access"
)

// Delete removes an object, and with Recursive everything below it, the deepest first. Values of other objects that
// refer to what is removed go with it; when such a value is the last one of a mandatory attribute the error is
// clacks.InUse and names the object.
func (s *Service) Delete(ctx context.Context, user access.User, q DeleteRequest) (*Result, error) {
	body := struct {
		ID        string
		Recursive bool
		Version   string
	}{q.ID, q.Recursive, q.Version}
	return s.run(ctx, user, "objects.delete", q.Write, body, func(ctx context.Context, r *request) (*plan, error) {
		l, err := r.s.open(ctx, r.cat, q.ID, wantsWhole, trustNothing)
		if err != nil {
			return nil, s.hidden(user, r.op, q.ID, err)
		}
		if err := r.checkVersion(l.row); err != nil {
			return nil, err
		}
		return r.delete(ctx, l, &q)
	})
}

func (r *request) delete(ctx context.Context, l *loaded, q *DeleteRequest) (*plan, error) {
	if err := r.mayDelete(l.row); err != nil {
		return nil, err // before anything is said about what lies below
	}
	doomed, err := r.doomed(ctx, l, q.Recursive)
	if err != nil {
		return nil, err
	}
	edits := map[string]*edit{}
	for _, d := range doomed {
		if err := r.mayDelete(d.row); err != nil {
			return nil, err
		}
		edits[d.row.uuid] = &edit{kind: changeRemove, row: d.row, before: d, shape: d.shape, whole: d.entries}
	}
	var values []referred
	for _, d := range doomed {
		values = append(values, referredName(d.row, ""))
		values = append(values, r.cat.referredValues(edits[d.row.uuid])...)
	}
	order, err := r.referring(ctx, "", edits, values)
	if err != nil {
		return nil, err
	}
	p := r.s.newPlanner(r.cat, r.user.ID)
	for _, d := range doomed {
		order = append(order, edits[d.row.uuid])
	}
	if err := r.addAll(ctx, p, order); err != nil {
		return nil, err
	}
	p.plan.Vacated, p.plan.Below = l.row.dnKey, len(doomed)-1
	return p.finish(Result{UUID: l.row.uuid, DN: l.row.dn}), nil
}

// doomed are all objects to remove, complete, the deepest first and the named one last.
func (r *request) doomed(ctx context.Context, l *loaded, recursive bool) ([]*loaded, error) {
	limit := r.s.limits.Objects
	if !recursive {
		limit = 1
	}
	below, err := r.s.below(ctx, l.row.dnKey, limit)
	if !recursive && (clacks.IsKind(err, clacks.Limit) || err == nil && len(below) > 0) {
		return nil, clacks.E(clacks.InUse, r.op, "there are objects below %s", l.row.dn)
	}
	if err != nil {
		return nil, err
	}
	slices.SortFunc(below, func(a, b *row) int { return strings.Compare(b.path(), a.path()) })
	doomed := make([]*loaded, len(below), len(below)+1)
	const atOnce = 8
	for from := 0; from < len(below); from += atOnce {
		var jobs []func() error
		for i := from; i < min(from+atOnce, len(below)); i++ {
			jobs = append(jobs, func() (err error) {
				doomed[i], err = r.s.load(ctx, r.cat, below[i], wantsWhole, trustNothing)
				return err
			})
		}
		if err := together(jobs); err != nil {
			return nil, err
		}
	}
	if i := slices.Index(doomed, nil); i >= 0 {
		return nil, &again{err: clacks.E(clacks.Conflict, r.op, "%s is being changed by others", below[i].dn)}
	}
	return append(doomed, l), nil
}

func (r *request) mayDelete(row *row) error {
	for _, typ := range append([]string{row.typ}, row.extensions...) {
		if err := r.may(access.Delete, typ, row.uuid, row.dn); err != nil {
			return err
		}
	}
	return nil
}
