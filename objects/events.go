package objects

import (
	"slices"

	"clacks/mapping"
)

// events plans the one event of an edit. Of several kinds of change in one commit the event names the one that says most:
// a new name, then an extension more or less, then the values. The changed attributes are always with it.
func (p *planner) events(e *edit) {
	event := Changed{
		ObjectType: "", ChangeType: e.kind, Time: p.plan.Time, Actor: p.actor, TransactionID: p.plan.Operation, Origin: "service",
	}
	switch {
	case e.row != nil:
		event.UUID, event.DN, event.ObjectType = e.row.uuid, e.row.dn, e.row.typ
	default:
		event.UUID, event.DN, event.ObjectType = e.after.UUID, e.name, e.after.Type
	}
	if e.renamed() {
		event.ChangeType, event.NewDN = changeMove, e.name
	}
	if e.after != nil || e.kind == changeRemove {
		event.Attributes = e.attributeChanges()
	}
	p.plan.Events = append(p.plan.Events, event)
}

// attributeChanges are the old and new values as text. Of a secret attribute the event tells only that it changed; so it
// does of single values above maxIndexed bytes (photographs).
func (e *edit) attributeChanges() []AttributeChange {
	var before *mapping.Object
	if e.before != nil {
		before = &e.before.object
	}
	var list []AttributeChange
	for _, name := range e.changed() {
		a := e.shape.Attribute(name)
		if a == nil && e.before != nil {
			a = e.before.shape.Attribute(name)
		}
		if a == nil {
			continue
		}
		if a.Secret {
			list = append(list, AttributeChange{Name: name})
			continue
		}
		change := AttributeChange{Name: name, New: textsOf(a, e.final, name)}
		if before != nil {
			change.Old = textsOf(a, before, name)
		}
		list = append(list, change)
	}
	return list
}

func textsOf(a *mapping.Attribute, object *mapping.Object, name string) []string {
	if object == nil {
		return nil
	}
	list := object.Values[name]
	texts := make([]string, 0, len(list))
	for _, v := range list {
		if text := a.Text(v); len(text) <= maxIndexed {
			texts = append(texts, text)
		}
	}
	slices.Sort(texts)
	return texts
}
