package objects

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"clacks"
	"clacks/access"
	"clacks/internal/dn"
	"clacks/mapping"
)

// Move gives an object another parent, another RDN, or both; its children and the references to all of them follow in
// the same commit.
func (s *Service) Move(ctx context.Context, user access.User, q MoveRequest) (*Result, error) {
	body := struct{ ID, Base, RDN, Version string }{q.ID, q.Base, q.RDN, q.Version}
	return s.run(ctx, user, "objects.move", q.Write, body, func(ctx context.Context, r *request) (*plan, error) {
		l, err := r.load(ctx, q.ID, trustRow)
		if err != nil {
			return nil, err
		}
		return r.move(ctx, l, &q)
	})
}

func (r *request) move(ctx context.Context, l *loaded, q *MoveRequest) (*plan, error) {
	if err := r.may(access.Move, l.row.typ, l.row.uuid, l.row.dn); err != nil {
		return nil, err
	}
	e := &edit{kind: changeMove, row: l.row, before: l, after: clone(&l.object), shape: l.shape, name: l.row.dn,
		naming: &nameChoice{parent: dn.Parent(l.row.dn), self: l.row.uuid, taken: r.taken}}
	if q.Base != "" && !dn.Equal(q.Base, e.naming.parent) {
		if err := r.newParent(ctx, e, q.Base); err != nil {
			return nil, err
		}
	}
	if q.RDN != "" {
		if err := r.newRDN(e, q.RDN); err != nil {
			return nil, err
		}
	}
	if err := r.check(ctx, e.shape, &l.object, e.after, nil); err != nil {
		return nil, err
	}
	return r.commitMove(ctx, e)
}

func (r *request) commitMove(ctx context.Context, e *edit) (*plan, error) {
	p, err := r.commitEdit(ctx, e)
	if err == nil && e.parent != nil && len(p.Rows) > 0 {
		p.Parents = append(p.Parents, e.parent.dnKey)
	}
	return p, err
}

// newParent checks the place that the object is to be moved to.
func (r *request) newParent(ctx context.Context, e *edit, base string) error {
	if dn.Under(base, e.row.dn) {
		return wrongParameter(r.op, "base", clacks.CodeCheck, "an object cannot be moved below itself")
	}
	if err := r.may(access.Create, e.row.typ, "", base); err != nil {
		return err
	}
	parent, err := r.parent(ctx, e.row.typ, base)
	if err != nil {
		return err
	}
	if parent == nil && !dn.Equal(base, r.s.base) {
		return r.outside(base)
	}
	e.parent, e.naming.parent = parent, base
	return nil
}

// newRDN gives the attributes that make the name the values of the new RDN, in place of those of the old one.
func (r *request) newRDN(e *edit, rdn string) error {
	parts := dn.RDNValues(rdn)
	if dn.Depth(rdn) != 1 || len(parts) == 0 {
		return wrongParameter(r.op, "rdn", clacks.CodeType, fmt.Sprintf("%q is no RDN: write it like cn=Ada", clip(rdn, 100)))
	}
	source := e.tree()
	if source == nil || source.FixedRDN != "" {
		return wrongParameter(r.op, "rdn", clacks.CodeReadOnly, "objects of the type "+e.row.typ+" have a fixed name")
	}
	old := dn.RDNValues(e.row.dn)
	var wrong fields
	for _, part := range parts {
		if !containsFold(source.RDN, part.Attribute) && !slices.ContainsFunc(old, sameAttribute(part)) {
			wrong.add(part.Attribute, clacks.CodeUnknown, "does not name objects of the type %s: %s does", e.row.typ, strings.Join(source.RDN, ", "))
			continue
		}
		r.setNamePart(e, part, old, &wrong)
	}
	e.naming.rdn = rdn
	return wrong.err(r.op, e.row.typ)
}

func sameAttribute(part dn.AVA) func(dn.AVA) bool {
	return func(other dn.AVA) bool { return strings.EqualFold(other.Attribute, part.Attribute) }
}

func (r *request) setNamePart(e *edit, part dn.AVA, old []dn.AVA, wrong *fields) {
	a := attributeFold(e.shape, part.Attribute)
	if a == nil {
		wrong.add(part.Attribute, clacks.CodeReadOnly, "follows from other attributes")
		return
	}
	v, err := a.Parse(part.Value)
	if err != nil {
		wrong.add(a.Name, clacks.CodeType, "%v", err)
		return
	}
	list := slices.Clone(e.after.Values[a.Name])
	list = slices.DeleteFunc(list, func(have any) bool {
		text := a.Text(have)
		return a.Key(have) == a.Key(v) || slices.ContainsFunc(old, func(o dn.AVA) bool {
			return sameAttribute(part)(o) && dn.FoldValue(o.Value) == dn.FoldValue(text)
		})
	})
	if !a.MultiValue {
		list = nil
	}
	setValues(e.after, a.Name, append([]any{v}, list...))
}

func attributeFold(shape *mapping.Shape, name string) *mapping.Attribute {
	for _, a := range shape.Attributes() {
		if strings.EqualFold(a.Name, name) && a.Writable && !a.Computed {
			return a
		}
	}
	return nil
}
