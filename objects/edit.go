package objects

import (
	"fmt"
	"slices"

	"clacks"
	"clacks/backends"
	"clacks/mapping"
)

// The kinds of a change, as events name them.
const (
	changeCreate  = "create"
	changeUpdate  = "update"
	changeMove    = "move"
	changeRemove  = "remove"
	changeExtend  = "extend"
	changeRetract = "retract"
)

// edit is one object's part of a commit: how it is and how it is to be.
type edit struct {
	kind   string          // change...
	row    *row            // before; nil on create
	before *loaded         // before; nil on create, and for a child that only moves along
	after  *mapping.Object // nil on remove, and for a child that only moves along
	final  *mapping.Object // after, with what its entries compute: as it will be read back
	shape  *mapping.Shape  // of after; of before on remove
	name   string          // the DN after
	along  bool            // its entry moves with that of an object above it
	whole  mapping.Entries // on remove: the complete entries, so that they can be made again
	parent *row            // on create and move: the new parent's row, nil when the index has none
	naming *nameChoice     // on create and rename: which names may be tried
	known  *loaded         // before, as the index has it
	then   []indexValue    // the values of known
}

// renamed reports whether the object gets another DN, be it in spelling only.
func (e *edit) renamed() bool { return e.row != nil && e.kind != changeRemove && e.name != e.row.dn }

// fields collects everything wrong with the attributes of a request.
type fields []clacks.Field

func (f *fields) add(attribute, code, format string, args ...any) {
	*f = append(*f, clacks.Field{Attribute: attribute, Code: code, Reason: fmt.Sprintf(format, args...)})
}

// merge adds faults of attributes that are not named yet: one reason each is enough.
func (f *fields) merge(more []clacks.Field) {
	for _, field := range more {
		if !slices.ContainsFunc(*f, func(known clacks.Field) bool { return known.Attribute == field.Attribute }) {
			*f = append(*f, field)
		}
	}
}

// err is the one error of all fields; nil when there is none.
func (f fields) err(op, typ string) error {
	if len(f) == 0 {
		return nil
	}
	kind := clacks.Invalid
	if !slices.ContainsFunc(f, func(x clacks.Field) bool { return x.Code != clacks.CodeNotUnique }) {
		kind = clacks.NotUnique
	}
	return &clacks.Error{Op: op, Kind: kind, Type: typ, Reason: "the object is not valid", Fields: f}
}

// apply writes changes of the wire form into the values of an object. What is wrong is added to wrong.
func apply(shape *mapping.Shape, object *mapping.Object, changes map[string]any, wrong *fields) {
	for name, change := range changes {
		a := shape.Attribute(name)
		switch {
		case a == nil || a.Unavailable != "":
			object.Values[name] = []any{change} // for CheckChanges to name, with the nearest that exists
		default:
			applyOne(a, object, change, wrong)
		}
	}
}

func applyOne(a *mapping.Attribute, object *mapping.Object, change any, wrong *fields) {
	if list, ok := asListChange(a, change); ok {
		applyList(a, object, list, wrong)
		return
	}
	if member := strayMember(change); member != "" && a.Type != "AnyType" {
		wrong.add(a.Name, clacks.CodeType, "a change has the members add and remove, not %q%s", clip(member, 40), meant(member, listMembers))
		return
	}
	values := parseList(a, asList(a, change), wrong)
	if len(values) > 1 && !a.MultiValue {
		wrong.add(a.Name, clacks.CodeSingle, "takes one value only")
		return
	}
	setValues(object, a.Name, values)
}

// setValues keeps a cleared attribute as an empty list: a secret that is named without a value is one to clear, since its
// old value is never known here.
func setValues(object *mapping.Object, name string, values []any) {
	if len(values) == 0 {
		values = []any{}
	}
	object.Values[name] = values
}

func applyList(a *mapping.Attribute, object *mapping.Object, list ListChange, wrong *fields) {
	if !a.MultiValue {
		wrong.add(a.Name, clacks.CodeSingle, "takes one value only: nothing can be added or removed")
		return
	}
	if !a.Readable {
		wrong.add(a.Name, clacks.CodeType, "cannot be read back: it can only be set as a whole")
		return
	}
	remove, add := parseList(a, list.Remove, wrong), parseList(a, list.Add, wrong)
	gone := make(map[string]bool, len(remove))
	for _, v := range remove {
		gone[valueKey(a, v)] = true
	}
	kept := make([]any, 0, len(object.Values[a.Name])+len(add))
	have := map[string]bool{}
	for _, v := range object.Values[a.Name] {
		if key := valueKey(a, v); !gone[key] {
			kept, have[key] = append(kept, v), true
		}
	}
	for _, v := range add {
		if key := valueKey(a, v); !have[key] {
			kept, have[key] = append(kept, v), true
		}
	}
	setValues(object, a.Name, kept)
}

// valueKey tells the values of a list apart.
func valueKey(a *mapping.Attribute, v any) string {
	if refersToName(a) {
		return indexKey(a, v)
	}
	return a.Key(v)
}

var listMembers = []string{"add", "remove"}

// strayMember is the first member of what would be a change of a list without it.
func strayMember(change any) string {
	c, ok := change.(map[string]any)
	if !ok || c["add"] == nil && c["remove"] == nil {
		return ""
	}
	names := slices.DeleteFunc(sortedNames(c), func(name string) bool { return slices.Contains(listMembers, name) })
	if len(names) == 0 {
		return ""
	}
	return names[0]
}

// asListChange recognises {"add":[...],"remove":[...]}. An attribute of any JSON value takes it as a value.
func asListChange(a *mapping.Attribute, change any) (ListChange, bool) {
	switch c := change.(type) {
	case ListChange:
		return c, true
	case *ListChange:
		return *c, c != nil
	case map[string]any:
		if a.Type == "AnyType" && !a.MultiValue {
			return ListChange{}, false
		}
		known := 0
		var list ListChange
		if add, ok := c["add"]; ok {
			list.Add, known = asList(a, add), known+1
		}
		if remove, ok := c["remove"]; ok {
			list.Remove, known = asList(a, remove), known+1
		}
		return list, known > 0 && known == len(c)
	}
	return ListChange{}, false
}

// asList is a value or a list as a list. An empty text is no value: a directory holds none.
func asList(a *mapping.Attribute, v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		if a.Type == "AnyType" && !a.MultiValue {
			return []any{v}
		}
		return v
	case []string:
		list := make([]any, len(v))
		for i, s := range v {
			list[i] = s
		}
		return list
	}
	return []any{v}
}

// parseList converts values to the attribute's type; equal ones count once.
func parseList(a *mapping.Attribute, list []any, wrong *fields) []any {
	values := make([]any, 0, len(list))
	have := map[string]bool{}
	for _, v := range list {
		if v == nil || v == "" {
			continue
		}
		p, err := a.Parse(v)
		if err != nil {
			wrong.add(a.Name, clacks.CodeType, "%v", err)
			return nil
		}
		if key := valueKey(a, p); !have[key] {
			values, have[key] = append(values, p), true
		}
	}
	return values
}

// clone is a copy of an object whose value lists may be replaced.
func clone(o *mapping.Object) *mapping.Object {
	c := *o
	c.Extensions = slices.Clone(o.Extensions)
	c.Values = make(mapping.Values, len(o.Values))
	for name, list := range o.Values {
		c.Values[name] = list
	}
	return &c
}

// changed are the attributes whose values differ between two objects, sorted, as the event and the history name them.
func changed(shape *mapping.Shape, before, after *mapping.Object) []string {
	var names []string
	for _, a := range shape.Attributes() {
		var x, y []any
		if before != nil {
			x = before.Values[a.Name]
		}
		if after != nil {
			y = after.Values[a.Name]
		}
		if len(x) == 0 && len(y) == 0 {
			continue
		}
		if !a.Equal(x, y) {
			names = append(names, a.Name)
		}
	}
	slices.Sort(names)
	return names
}

// tree is the object's source in a directory, or nil.
func (e *edit) tree() *mapping.Source {
	for _, source := range e.shape.Sources() {
		if source.Kind == backends.Tree {
			return source
		}
	}
	return nil
}
