package objects

import (
	"context"
	"slices"

	"clacks/access"
	"clacks/definitions"
	"clacks/mapping"
)

// AttributeInfo is what a program needs to know to show and edit an attribute.
type AttributeInfo struct {
	Name, Description string
	Type              string
	Owner             string // the type or extension that defines it
	Mandatory         bool
	ReadOnly          bool // also when the user may not write it, or it is computed
	MultiValue        bool
	CaseSensitive     bool
	Unique            bool
	Secret            bool
	Default           []any // of a fixed default, in wire form
	Values            []definitions.Value
	ValuesPopulate    string
	DependsOn         []string
	BlockedBy         []definitions.Blocker
	InheritFrom       string
	Auto              bool
}

// Attributes describes the attributes of the object, those of extensions that it may get included, in the order of the
// definitions' dependencies. Attributes that the user may neither read nor write are left out.
func (x *Session) Attributes() ([]AttributeInfo, error) {
	if err := x.lock(); err != nil {
		return nil, err
	}
	defer x.mu.Unlock()
	var list []AttributeInfo
	seen := map[string]bool{}
	for _, shape := range x.shapes() {
		for _, a := range shape.Attributes() {
			if seen[a.Name] {
				continue
			}
			seen[a.Name] = true
			if info, ok := x.attributeInfo(a); ok {
				list = append(list, info)
			}
		}
	}
	return list, nil
}

// shapes are the object's own and one with each extension that it may get.
func (x *Session) shapes() []*mapping.Shape {
	shapes := []*mapping.Shape{x.shape}
	for _, name := range x.cat.set.ExtensionsOf(x.object.Type) {
		if shape, err := x.cat.set.Shape(x.object.Type, []string{name}); err == nil {
			shapes = append(shapes, shape)
		}
	}
	return shapes
}

func (x *Session) attributeInfo(a *mapping.Attribute) (AttributeInfo, bool) {
	topic := access.Topic{Type: x.object.Type, Attribute: a.Name, UUID: x.object.UUID, DN: x.object.DN}
	mayWrite := x.s.policy.Allowed(x.user, access.Write, topic)
	if !mayWrite && !x.s.policy.Allowed(x.user, access.Read, topic) {
		return AttributeInfo{}, false
	}
	info := AttributeInfo{
		Name: a.Name, Description: a.Description, Type: string(a.Type), Owner: a.Owner, Mandatory: a.Mandatory,
		ReadOnly: a.ReadOnly || a.Computed || !a.Writable || !mayWrite, MultiValue: a.MultiValue, CaseSensitive: a.CaseSensitive,
		Unique: a.Unique, Secret: a.Secret, Values: a.Values, ValuesPopulate: a.ValuesPopulate, DependsOn: a.DependsOn,
		BlockedBy: a.BlockedBy, InheritFrom: a.InheritFrom, Auto: a.Auto,
	}
	if a.Default != nil && !a.Secret {
		if v, err := a.Parse(*a.Default); err == nil {
			info.Default = []any{a.Format(v)}
		}
	}
	return info, true
}

// Info is what an open object is made of, and what it may become.
type Info struct {
	Base             string // its base type
	Extensions       map[string]bool
	ExtensionDeps    map[string][]string
	ExtensionStates  map[string]ExtensionState
	ExtensionMethods map[string][]string
}

// ExtensionState says whether an extension may be added (or, when it is active, taken away) now, and what is missing or
// in the way.
type ExtensionState struct {
	Allowed bool
	Missing []string // extensions that it requires and that are not active
	Needed  []string // active extensions that require it
}

// Info describes the object's type and extensions.
func (x *Session) Info() (*Info, error) {
	if err := x.lock(); err != nil {
		return nil, err
	}
	defer x.mu.Unlock()
	info := &Info{
		Base: x.object.Type, Extensions: map[string]bool{}, ExtensionDeps: map[string][]string{},
		ExtensionStates: map[string]ExtensionState{}, ExtensionMethods: map[string][]string{},
	}
	defs := x.cat.set.Definitions()
	for _, name := range x.cat.set.ExtensionsOf(x.object.Type) {
		active := slices.Contains(x.object.Extensions, name)
		t := defs.Type(name)
		info.Extensions[name] = active
		info.ExtensionDeps[name] = append([]string{}, t.RequiresExtension...)
		info.ExtensionStates[name] = x.extensionState(defs, t, active)
		methods := []string{}
		for _, m := range t.Methods {
			methods = append(methods, m.Name)
		}
		info.ExtensionMethods[name] = methods
	}
	return info, nil
}

func (x *Session) extensionState(defs *definitions.Set, t *definitions.Type, active bool) ExtensionState {
	state := ExtensionState{Missing: missingText(t.RequiresExtension, x.object.Extensions)}
	right := access.Create
	if active {
		right = access.Delete
		for _, name := range x.object.Extensions {
			if other := defs.Type(name); other != nil && slices.Contains(other.RequiresExtension, t.Name) {
				state.Needed = append(state.Needed, name)
			}
		}
	}
	allowed := x.s.policy.Allowed(x.user, right, access.Topic{Type: t.Name, UUID: x.object.UUID, DN: x.object.DN})
	state.Allowed = allowed && len(state.Needed) == 0 && (active || len(state.Missing) == 0)
	return state
}

// AttributeValues are the current values, and the allowed ones of attributes that have a fixed list, by attribute, in
// wire form.
type AttributeValues struct {
	Value  map[string][]any
	Values map[string][]definitions.Value
}

// AttributeValues returns the values of all attributes that the user may read.
func (x *Session) AttributeValues(_ context.Context) (*AttributeValues, error) {
	st, err := x.State()
	if err != nil {
		return nil, err
	}
	list := &AttributeValues{Value: map[string][]any{}, Values: map[string][]definitions.Value{}}
	for _, a := range st.Shape.Attributes() {
		formatted := []any{}
		for _, v := range st.Values[a.Name] {
			formatted = append(formatted, a.Format(v))
		}
		if !a.Secret {
			list.Value[a.Name] = formatted
		}
		if len(a.Values) > 0 {
			list.Values[a.Name] = a.Values
		}
	}
	return list, nil
}
