package objects

import (
	"context"
	"slices"
	"strings"

	"clacks"
	"clacks/internal/dn"
	"clacks/mapping"
	"clacks/objects/journal"
)

// referred is a value that other objects may refer to, and what becomes of it.
type referred struct {
	typ        string
	extensions []string
	attribute  string // mapping.DNAttribute for the name
	from, to   string // as text; to is "" when it is gone
	key        string // of from, when it is a name
	lost       bool   // the object stays and loses the extensions: only references to those end
}

func referredName(r *row, to string) referred {
	return referred{typ: r.typ, extensions: r.extensions, attribute: mapping.DNAttribute, from: r.dn, to: to, key: r.dnKey}
}

// meantBy reports whether a reference points to this value.
func (v *referred) meantBy(ref *mapping.Reference) bool {
	if ref.ToAttribute != v.attribute || ref.Extension == "" && (v.lost || ref.To != "*" && ref.To != v.typ) {
		return false
	}
	return ref.Extension == "" || slices.Contains(v.extensions, ref.Extension)
}

// referredValues are the values of an object that an edit changes and others refer to. A value that is replaced by one
// other follows; with several it cannot be told which is which, and the old ones are gone.
func (c *catalogue) referredValues(e *edit) []referred {
	if e.before == nil {
		return nil
	}
	list := c.lostValues(e)
	for _, name := range e.changed() {
		a := e.before.shape.Attribute(name)
		if a == nil || !c.isReferred(e.row, name) {
			continue
		}
		gone := textsWithout(a, e.before.object.Values[name], finalValues(e, name))
		added := textsWithout(a, finalValues(e, name), e.before.object.Values[name])
		for _, text := range gone {
			v := referred{typ: e.row.typ, extensions: e.row.extensions, attribute: name, from: text}
			if len(gone) == 1 && len(added) == 1 {
				v.to = added[0]
			}
			list = append(list, v)
		}
	}
	return list
}

// lostValues are the values by which others refer to an object as one with an extension that an edit takes away.
func (c *catalogue) lostValues(e *edit) []referred {
	if e.final == nil {
		return nil
	}
	lost := missingText(e.row.extensions, e.final.Extensions)
	if len(lost) == 0 {
		return nil
	}
	var list []referred
	seen := map[string]bool{}
	references := c.to[e.row.typ]
	for i := range references {
		ref := &references[i]
		if seen[ref.ToAttribute] || !slices.Contains(lost, ref.Extension) {
			continue
		}
		seen[ref.ToAttribute] = true
		if ref.ToAttribute == mapping.DNAttribute {
			list = append(list, referred{typ: e.row.typ, extensions: lost, attribute: mapping.DNAttribute, from: e.row.dn, key: e.row.dnKey, lost: true})
			continue
		}
		a := e.before.shape.Attribute(ref.ToAttribute)
		if a == nil {
			continue
		}
		for _, v := range e.before.object.Values[a.Name] {
			list = append(list, referred{typ: e.row.typ, extensions: lost, attribute: a.Name, from: a.Text(v), lost: true})
		}
	}
	return list
}

func finalValues(e *edit, name string) []any {
	if e.final == nil {
		return nil
	}
	return e.final.Values[name]
}

func textsWithout(a *mapping.Attribute, list, without []any) []string {
	var texts []string
	for _, v := range list {
		text := a.Text(v)
		if !slices.ContainsFunc(without, func(w any) bool { return a.Text(w) == text }) {
			texts = append(texts, text)
		}
	}
	return texts
}

func (c *catalogue) isReferred(r *row, attribute string) bool {
	references := c.to[r.typ]
	for i := range references {
		if references[i].ToAttribute == attribute {
			return true
		}
	}
	return false
}

// referrers finds the objects in whose values some of the referred ones occur.
func (r *request) referrers(ctx context.Context, values []referred) ([]string, error) {
	keys := map[string][]string{} // by the referring attribute
	var inline []indexValue
	for i := range values {
		v := &values[i]
		references := r.cat.to[v.typ]
		for i := range references {
			ref := &references[i]
			a := r.cat.definition(ref.Type, ref.Attribute)
			if a == nil || !v.meantBy(ref) {
				continue
			}
			if ref.Mode == mapping.ReferenceInline {
				inline = append(inline, indexValue{ref.Attribute, a.Key(v.from)})
			} else if parsed, err := a.Parse(v.from); err == nil {
				keys[ref.Attribute] = append(keys[ref.Attribute], indexKey(a, parsed))
			}
		}
	}
	found := map[string]bool{}
	for attribute, list := range keys {
		slices.Sort(list)
		for part := range journal.Chunks(slices.Compact(list)) {
			args := []any{attribute}
			for _, key := range part {
				args = append(args, key)
			}
			err := r.collect(ctx, found, `attribute = ? AND value_key IN (`+repeated("?", ", ", len(part))+`)`, args)
			if err != nil {
				return nil, err
			}
		}
	}
	for _, v := range inline {
		if err := r.collect(ctx, found, `attribute = ? AND value_key LIKE ? ESCAPE '\'`, []any{v.Attribute, "%" + likeEscape(v.Key) + "%"}); err != nil {
			return nil, err
		}
	}
	uuids := make([]string, 0, len(found))
	for uuid := range found {
		uuids = append(uuids, uuid)
	}
	slices.Sort(uuids)
	return uuids, nil
}

func (r *request) collect(ctx context.Context, found map[string]bool, where string, args []any) error {
	return r.s.db.Query(ctx, `SELECT DISTINCT uuid FROM clacks_values WHERE `+where, args, func(scan func(...any) error) error {
		var uuid string
		err := scan(&uuid)
		found[uuid] = true
		return err
	})
}

var likeEscaper = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

func likeEscape(s string) string { return likeEscaper.Replace(s) }

// rewrite changes the referring values of an object; it reports whether any changed. An object that would lose the last
// value of a mandatory attribute is in the way.
func (r *request) rewrite(shape *mapping.Shape, object *mapping.Object, name string, values []referred) (bool, error) {
	if len(values) == 0 {
		return false, nil
	}
	rewritten := false
	for _, owner := range append([]string{object.Type}, object.Extensions...) {
		references := r.cat.from[owner]
		for i := range references {
			ref := &references[i]
			a := shape.Attribute(ref.Attribute)
			if a == nil || a.Owner != owner || len(object.Values[a.Name]) == 0 {
				continue
			}
			list, changed, err := rewriteList(a, ref, object.Values[a.Name], values)
			if err != nil {
				return false, err
			}
			if !changed {
				continue
			}
			if len(list) == 0 && a.Mandatory {
				return false, r.lastValue(object.Type, a.Name, name)
			}
			rewritten = true
			setValues(object, a.Name, list)
		}
	}
	return rewritten, nil
}

func (r *request) lastValue(typ, attribute, name string) error {
	e := clacks.E(clacks.InUse, r.op, "%s refers to it, and would be left without a value", name)
	e.Type = typ
	e.Fields = []clacks.Field{{Attribute: attribute, Code: clacks.CodeMandatory, Reason: "it is the last value of " + name}}
	return e
}

func rewriteList(a *mapping.Attribute, ref *mapping.Reference, list []any, values []referred) ([]any, bool, error) {
	kept := make([]any, 0, len(list))
	have := map[string]bool{}
	changed := false
	for _, v := range list {
		text, same := rewriteText(ref, a.Text(v), values)
		if !same {
			changed = true
			if text == "" {
				continue
			}
			parsed, err := parseText(a, text)
			if err != nil {
				return nil, false, err
			}
			v = parsed
		}
		if key := valueKey(a, v); !have[key] {
			kept, have[key] = append(kept, v), true
		}
	}
	return kept, changed, nil
}

// rewriteText is a referring value after all changes of what it refers to; "" when nothing is left of it.
func rewriteText(ref *mapping.Reference, text string, values []referred) (string, bool) {
	same := true
	for i := range values {
		v := &values[i]
		if !v.meantBy(ref) {
			continue
		}
		next, ok := rewriteOne(ref, text, v)
		if ok && next != text {
			text, same = next, false
		}
		if ok && (next == "" || ref.Mode != mapping.ReferenceInline) {
			break
		}
	}
	return text, same
}

func rewriteOne(ref *mapping.Reference, text string, v *referred) (string, bool) {
	if v.attribute == mapping.DNAttribute && ref.Mode != mapping.ReferenceInline {
		key, err := dn.Key(text) // one name has many spellings
		return v.to, err == nil && key == v.key
	}
	if v.to == "" {
		return ref.Remove(text, v.from)
	}
	return ref.Replace(text, v.from, v.to)
}

// parseText reads what Attribute.Text wrote.
func parseText(a *mapping.Attribute, text string) (any, error) {
	v, err := a.Parse(text)
	if err != nil {
		return nil, clacks.E(clacks.Invalid, "objects.references", "%s: a changed reference is no value of it: %v", a.Name, err)
	}
	return v, nil
}

// consequences are what an edit entails: children that move along, and values that others refer to.
type consequences struct {
	children []*edit
	values   []referred
}

func (r *request) consequences(ctx context.Context, e *edit) (*consequences, error) {
	c := &consequences{values: r.cat.referredValues(e)}
	if !e.renamed() {
		return c, nil
	}
	c.values = append(c.values, referredName(e.row, e.name))
	var err error
	if c.children, err = r.moveAlong(ctx, e); err != nil {
		return nil, err
	}
	for _, child := range c.children {
		c.values = append(c.values, referredName(child.row, child.name))
	}
	return c, nil
}

// follow plans what an edit entails for other objects: children of a moved one get new names, and references to all that
// changed follow, from one object to the next.
func (r *request) follow(ctx context.Context, p *planner, e *edit, c *consequences) error {
	edits := make(map[string]*edit, len(c.children))
	for _, child := range c.children {
		edits[child.row.uuid] = child
	}
	if e.renamed() { // also without children: one may be made before the commit transaction opens
		key, err := dn.Key(e.name)
		if err != nil {
			return err
		}
		if key != e.row.dnKey {
			p.plan.Vacated, p.plan.Below = e.row.dnKey, len(c.children)
		}
	}
	referring, err := r.referring(ctx, e.row.uuid, edits, c.values)
	if err != nil {
		return err
	}
	return r.addAll(ctx, p, append(slices.Clone(c.children), referring...))
}

func (r *request) addAll(ctx context.Context, p *planner, order []*edit) error {
	if len(order) > r.s.limits.Objects {
		return clacks.E(clacks.Limit, r.op, "more than %d objects would be changed", r.s.limits.Objects)
	}
	for _, e := range order {
		if err := p.add(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// moveAlong are the edits of all objects below one that gets another name: only their names change.
func (r *request) moveAlong(ctx context.Context, e *edit) ([]*edit, error) {
	below, err := r.s.below(ctx, e.row.dnKey, r.s.limits.Objects)
	if err != nil || len(below) == 0 {
		return nil, err
	}
	if source := e.tree(); source != nil && !r.s.backends[source.Backend].Capabilities().SubtreeRename {
		return nil, clacks.E(clacks.InUse, r.op, "the directory cannot rename an entry that has children")
	}
	edits := make([]*edit, 0, len(below))
	for _, child := range below {
		name, ok := dn.Rebase(child.dn, e.row.dn, e.name)
		if !ok {
			return nil, clacks.E(clacks.Internal, r.op, "the index has %s below %s", child.dn, e.row.dn)
		}
		edits = append(edits, &edit{kind: changeMove, row: child, name: name, along: true})
	}
	return edits, nil
}

// referring are the edits of the objects that refer to changed values, and of those that refer to what changes by that.
// Edits that are there already (children of a moved object) take the changes on; removed objects, and the one with the
// UUID except, are left alone.
func (r *request) referring(ctx context.Context, except string, edits map[string]*edit, values []referred) ([]*edit, error) {
	var order []*edit
	for len(values) > 0 {
		uuids, err := r.referrers(ctx, values)
		if err != nil {
			return nil, err
		}
		var next []referred
		for _, uuid := range uuids {
			known := edits[uuid]
			if uuid == except || known != nil && known.kind == changeRemove {
				continue
			}
			e, further, err := r.refer(ctx, known, uuid, values)
			if err != nil {
				return nil, err
			}
			if e != nil && known == nil {
				edits[uuid] = e
				order = append(order, e)
			}
			next = append(next, further...)
		}
		values = next
		if len(order) > r.s.limits.Objects {
			return nil, clacks.E(clacks.Limit, r.op, "more than %d objects refer to it", r.s.limits.Objects)
		}
	}
	return order, nil
}

// refer makes the edit of one referring object, or adds to the one that is there. nil when it refers to nothing of it.
func (r *request) refer(ctx context.Context, e *edit, uuid string, values []referred) (*edit, []referred, error) {
	if e == nil {
		e = &edit{kind: changeUpdate}
	}
	if e.before == nil {
		l, err := r.s.open(ctx, r.cat, uuid, wantsToWrite, trustNothing)
		if clacks.IsKind(err, clacks.NotFound) {
			return nil, nil, nil
		}
		if err != nil {
			return nil, nil, err
		}
		if e.row == nil {
			e.name = l.row.dn
		}
		e.row, e.before, e.shape = l.row, l, l.shape
		e.naming = &nameChoice{parent: dn.Parent(l.row.dn), self: uuid, taken: r.taken}
	}
	object := e.after
	if object == nil {
		object = clone(&e.before.object)
	}
	then := *object
	then.Values = clone(object).Values
	rewritten, err := r.rewrite(e.shape, object, e.row.dn, values)
	if err != nil || !rewritten {
		return nil, nil, err
	}
	e.after = object
	step := &edit{row: e.row, before: &loaded{shape: e.shape, object: then, row: e.row}, shape: e.shape, final: object}
	return e, r.cat.referredValues(step), nil
}
