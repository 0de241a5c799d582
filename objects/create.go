package objects

import (
	"context"
	"errors"
	"slices"

	"clacks"
	"clacks/access"
	"clacks/definitions"
	"clacks/internal/dn"
	"clacks/internal/nearest"
	"clacks/mapping"
)

// Create makes an object. Its error names everything that is wrong at once; nothing is written then.
func (s *Service) Create(ctx context.Context, user access.User, q CreateRequest) (*Result, error) {
	body := struct {
		Type, Base string
		Attributes map[string]any
		Extensions []string
		Version    string
	}{q.Type, q.Base, q.Attributes, q.Extensions, q.Version}
	return s.run(ctx, user, "objects.create", q.Write, body, func(ctx context.Context, r *request) (*plan, error) {
		return r.create(ctx, &q)
	})
}

func (r *request) create(ctx context.Context, q *CreateRequest) (*plan, error) {
	typ, err := r.baseType(q.Type)
	if err != nil {
		return nil, err
	}
	if err := dn.Validate(q.Base); err != nil {
		return nil, wrongName(r.op, "base", err)
	}
	if err := r.may(access.Create, q.Type, "", q.Base); err != nil {
		return nil, err
	}
	if err := r.mayWrite(q.Type, "", q.Base, q.Attributes); err != nil {
		return nil, err
	}
	extensions, err := r.extensions(typ, q.Extensions)
	if err != nil {
		return nil, err
	}
	parent, err := r.parent(ctx, q.Type, q.Base)
	if err != nil {
		return nil, err
	}
	shape, err := r.cat.set.Shape(q.Type, extensions)
	if err != nil {
		return nil, named(r.op, err)
	}
	object := &mapping.Object{UUID: newUUID(), Type: q.Type, Extensions: extensions, Values: mapping.Values{}}
	if err := r.fill(ctx, shape, object, q.Attributes); err != nil {
		return nil, err
	}
	p := r.s.newPlanner(r.cat, r.user.ID)
	e := &edit{kind: changeCreate, after: object, shape: shape, parent: parent,
		naming: &nameChoice{parent: q.Base, self: object.UUID, taken: r.taken}}
	if err := p.add(ctx, e); err != nil {
		return nil, err
	}
	if err := r.isBase(parent, e.name); err != nil {
		return nil, err
	}
	if parent != nil {
		p.plan.Parents = append(p.plan.Parents, parent.dnKey)
	}
	return p.finish(Result{UUID: object.UUID, DN: e.name, Version: versionText(1)}), nil
}

// fill sets a new object's values: those of the request, then defaults, then everything is checked.
func (r *request) fill(ctx context.Context, shape *mapping.Shape, object *mapping.Object, attributes map[string]any) error {
	var wrong fields
	apply(shape, object, attributes, &wrong)
	wrong.merge(shape.CheckChanges(nil, object))
	if len(wrong) == 0 {
		if err := shape.Defaults(ctx, object); err != nil {
			return named(r.op, err)
		}
	}
	return r.check(ctx, shape, nil, object, wrong)
}

// check adds what mapping finds to what is wrong already. A field is reported once.
func (r *request) check(ctx context.Context, shape *mapping.Shape, old, object *mapping.Object, wrong fields) error {
	more, err := shape.Check(ctx, old, object)
	if err != nil {
		return named(r.op, err)
	}
	wrong.merge(more)
	sortFields(wrong)
	return wrong.err(r.op, object.Type)
}

func (r *request) baseType(name string) (*definitions.Type, error) {
	typ := r.cat.set.Definitions().Type(name)
	switch {
	case typ == nil:
		return nil, wrongParameter(r.op, "type", clacks.CodeUnknown, "there is no object type "+clip(name, 100)+
			meant(name, r.cat.set.Bases()))
	case !typ.Base:
		return nil, wrongParameter(r.op, "type", clacks.CodeCheck, name+" is an extension: it cannot exist alone")
	}
	return typ, nil
}

// wrongParameter is the error for a parameter of a request that is no attribute of an object.
func wrongParameter(op, name, code, reason string) error {
	return &clacks.Error{Op: op, Kind: clacks.Invalid, Reason: "wrong parameters",
		Fields: []clacks.Field{{Attribute: name, Code: code, Reason: reason}}}
}

// wrongName says which parameter it was that package dn refused.
func wrongName(op, parameter string, err error) error {
	reason := err.Error()
	var e *clacks.Error
	if errors.As(err, &e) {
		reason = e.Message()
	}
	return wrongParameter(op, parameter, clacks.CodeType, reason)
}

// outside is the error for a parent that is not in the service's part of the tree.
func (r *request) outside(name string) error {
	return wrongParameter(r.op, "base", clacks.CodeCheck, clip(name, 200)+" does not lie below "+r.s.base)
}

// meant is what to say behind a name that does not exist.
func meant(name string, known []string) string {
	if hint := nearest.Hint(name, known); hint != "" {
		return "; " + hint
	}
	return ""
}

// extensions checks that a set of extensions is possible for a base type, and sorts it.
func (r *request) extensions(base *definitions.Type, wanted []string) ([]string, error) {
	sorted := slices.Clone(wanted)
	slices.Sort(sorted)
	sorted = slices.Compact(sorted)
	possible := r.cat.set.ExtensionsOf(base.Name)
	var wrong fields
	for _, name := range sorted {
		if !slices.Contains(possible, name) {
			wrong.add(clip(name, 100), clacks.CodeUnknown, "is no extension of %s%s", base.Name, meant(name, possible))
			continue
		}
		for _, required := range r.cat.set.Definitions().Type(name).RequiresExtension {
			if !slices.Contains(sorted, required) {
				wrong.add(name, clacks.CodeMandatory, "requires the extension %s", required)
			}
		}
	}
	if err := wrong.err(r.op, base.Name); err != nil {
		return nil, err
	}
	return sorted, nil
}

// parent finds the object below which another is to be made, and checks that it may hold one of this type. The service's
// base may hold any; nil means that the index has no object of this name, which is allowed above the base only.
func (r *request) parent(ctx context.Context, typ, name string) (*row, error) {
	key, err := dn.Key(name)
	if err != nil {
		return nil, wrongName(r.op, "base", err)
	}
	if key != r.s.baseKey && key == dn.Parent(r.s.baseKey) {
		return nil, nil // for the base itself: see isBase
	}
	if !dn.KeyUnder(key, r.s.baseKey) {
		return nil, r.outside(name)
	}
	parent, err := r.s.find(ctx, name, false)
	if err != nil {
		return nil, err
	}
	if parent == nil {
		l, err := r.s.adopt(ctx, r.cat, name, wantsToWrite)
		switch {
		case err == nil:
			parent = l.row
		case key == r.s.baseKey && clacks.IsKind(err, clacks.NotFound):
			return nil, nil // an entry that is no object, or none: the directory decides
		case clacks.IsKind(err, clacks.NotFound):
			return nil, clacks.E(clacks.NotFound, r.op, "the parent %s does not exist", clip(name, 200))
		default:
			return nil, err
		}
	}
	if key == r.s.baseKey || r.mayHold(parent, typ) {
		return parent, nil
	}
	return nil, wrongParameter(r.op, "base", clacks.CodeCheck, parent.typ+" may not hold objects of the type "+typ)
}

func (r *request) mayHold(parent *row, typ string) bool {
	defs := r.cat.set.Definitions()
	for _, name := range append([]string{parent.typ}, parent.extensions...) {
		if t := defs.Type(name); t != nil && slices.Contains(t.Container, typ) {
			return true
		}
	}
	return false
}

// isBase refuses an object above the base that is not the base itself.
func (r *request) isBase(parent *row, name string) error {
	if parent != nil {
		return nil
	}
	key, err := dn.Key(name)
	if err != nil {
		return err
	}
	if !dn.KeyUnder(key, r.s.baseKey) {
		return r.outside(name)
	}
	return nil
}
