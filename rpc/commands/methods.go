package commands

import (
	"context"
	"encoding/json"
	"slices"

	"clacks"
	"clacks/definitions"
	"clacks/internal/nearest"
	"clacks/objects"
	"clacks/rpc"
)

// method is one method of an open object. Its arguments are checked like parameters of a command.
type method struct {
	name string
	run  func(ctx context.Context, call *rpc.Call, o OpenObject, args []any) (any, error)
}

// methods are in the order of their names.
var methods = []method{
	{"commit", func(ctx context.Context, call *rpc.Call, o OpenObject, args []any) (any, error) {
		result, err := o.Commit(ctx)
		return outcome(call, result), err
	}},
	{"extend", func(ctx context.Context, _ *rpc.Call, o OpenObject, args []any) (any, error) {
		extension, err := textArgument(args, 0, "extension")
		if err != nil {
			return nil, err
		}
		return nil, o.Extend(ctx, extension)
	}},
	{"get_attribute_values", func(_ context.Context, call *rpc.Call, o OpenObject, _ []any) (any, error) {
		return attributeValues(call, o)
	}},
	{"get_attributes", func(_ context.Context, _ *rpc.Call, o OpenObject, args []any) (any, error) {
		return describeAttributes(o, len(args) > 0 && args[0] == true)
	}},
	{"get_base_type", func(_ context.Context, _ *rpc.Call, o OpenObject, _ []any) (any, error) {
		return ofState(o, func(s *objects.State) any { return s.Type })
	}},
	{"get_dn", func(_ context.Context, _ *rpc.Call, o OpenObject, _ []any) (any, error) {
		return ofState(o, func(s *objects.State) any { return s.DN })
	}},
	{"get_extension_types", func(_ context.Context, _ *rpc.Call, o OpenObject, _ []any) (any, error) {
		info, err := o.Info()
		if err != nil {
			return nil, err
		}
		return info.Extensions, nil
	}},
	{"get_object_info", func(_ context.Context, _ *rpc.Call, o OpenObject, _ []any) (any, error) { return describeObject(o) }},
	{"get_uuid", func(_ context.Context, _ *rpc.Call, o OpenObject, _ []any) (any, error) {
		return ofState(o, func(s *objects.State) any { return s.UUID })
	}},
	{"move", func(ctx context.Context, call *rpc.Call, o OpenObject, args []any) (any, error) {
		base, err := textArgument(args, 0, "base")
		if err != nil {
			return nil, err
		}
		result, err := o.Move(ctx, base)
		return outcome(call, result), err
	}},
	{"remove", func(ctx context.Context, call *rpc.Call, o OpenObject, args []any) (any, error) {
		result, err := o.Remove(ctx, len(args) > 0 && args[0] == true)
		return outcome(call, result), err
	}},
	{"retract", func(ctx context.Context, _ *rpc.Call, o OpenObject, args []any) (any, error) {
		extension, err := textArgument(args, 0, "extension")
		if err != nil {
			return nil, err
		}
		return nil, o.Retract(ctx, extension)
	}},
}

func methodNames() []string {
	names := make([]string, len(methods))
	for i, m := range methods {
		names[i] = m.name
	}
	return names
}

// outcome is what a change answers: nothing in the legacy dialect, whose clients look at errors only.
func outcome(call *rpc.Call, result *objects.Result) any {
	if call.Legacy || result == nil {
		return nil
	}
	return result
}

func ofState(o OpenObject, part func(*objects.State) any) (any, error) {
	state, err := o.State()
	if err != nil {
		return nil, err
	}
	return part(state), nil
}

// textArgument is an argument that must be a string.
func textArgument(args []any, i int, name string) (string, error) {
	if i >= len(args) {
		return "", invalidParam(name, clacks.CodeMandatory, "the argument is missing")
	}
	if text, ok := args[i].(string); ok {
		return text, nil
	}
	return "", invalidParam(name, clacks.CodeType, "must be a string")
}

type dispatchParams struct {
	Ref    string `json:"ref" required:"true" doc:"the open object's reference"`
	Method string `json:"method" required:"true" doc:"the method"`
	Args   []any  `json:"args" rest:"true" doc:"its arguments"`
}

func (s *service) dispatch(ctx context.Context, call *rpc.Call, p dispatchParams) (any, error) {
	o, err := s.opened(call, p.Ref)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(methods, func(m method) bool { return m.name == p.Method })
	if i < 0 {
		reason := "the object has no such method"
		if hint := nearest.Hint(p.Method, methodNames()); hint != "" {
			reason += ", " + hint
		}
		return nil, &clacks.Error{Op: "commands.dispatch", Kind: clacks.NotFound, Reason: "unknown method",
			Fields: []clacks.Field{{Attribute: "method", Code: "METHOD_NOT_FOUND", Reason: reason}}}
	}
	return methods[i].run(ctx, call, o, p.Args)
}

// attributeDetail describes an attribute in the words that clients of old know.
type attributeDetail struct {
	CaseSensitive  bool      `json:"case_sensitive"`
	Unique         bool      `json:"unique"`
	Mandatory      bool      `json:"mandatory"`
	DependsOn      []string  `json:"depends_on"`
	BlockedBy      []blocker `json:"blocked_by"`
	Default        []any     `json:"default"`
	ReadOnly       bool      `json:"readonly"`
	Values         any       `json:"values"`
	ValuesPopulate *string   `json:"values_populate"`
	MultiValue     bool      `json:"multivalue"`
	Type           string    `json:"type"`
	Auto           bool      `json:"auto"`
	InheritedFrom  *string   `json:"value_inherited_from"`
	Validator      any       `json:"validator_information"`
}

type blocker struct {
	Name  string `json:"name"`
	Value any    `json:"value"`
}

// describeAttributes answers the names of the attributes, or with detail what is to be known of each.
func describeAttributes(o OpenObject, detail bool) (any, error) {
	attributes, err := o.Attributes()
	if err != nil {
		return nil, err
	}
	if !detail {
		names := make([]string, len(attributes))
		for i, a := range attributes {
			names[i] = a.Name
		}
		return names, nil
	}
	details := make(map[string]attributeDetail, len(attributes))
	for _, a := range attributes {
		d := attributeDetail{CaseSensitive: a.CaseSensitive, Unique: a.Unique, Mandatory: a.Mandatory,
			DependsOn: append([]string{}, a.DependsOn...), BlockedBy: []blocker{}, Default: a.Default, ReadOnly: a.ReadOnly,
			Values: allowedValues(a.Values), ValuesPopulate: orNull(a.ValuesPopulate), MultiValue: a.MultiValue, Type: a.Type,
			Auto: a.Auto, InheritedFrom: orNull(a.InheritFrom)}
		for _, b := range a.BlockedBy {
			d.BlockedBy = append(d.BlockedBy, blocker{Name: b.Attribute, Value: blockingValue(attributes, b)})
		}
		details[a.Name] = d
	}
	return details, nil
}

// blockingValue is a value that blocks, in the type of its attribute.
func blockingValue(attributes []objects.AttributeInfo, b definitions.Blocker) any {
	for _, a := range attributes {
		if a.Name != b.Attribute {
			continue
		}
		if a.Type == string(definitions.Boolean) || a.Type == string(definitions.Integer) {
			var v any
			if json.Unmarshal([]byte(lowerASCII(b.Value)), &v) == nil {
				return v
			}
		}
	}
	return b.Value
}

// lowerASCII turns the definitions' True and False into JSON's.
func lowerASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// allowedValues are a list, or an object by what is stored when that differs from what is shown.
func allowedValues(values []definitions.Value) any {
	texts, byKey := make([]string, len(values)), map[string]map[string]string{}
	for i, v := range values {
		texts[i] = v.Text
		if v.Key != "" {
			byKey[v.Key] = map[string]string{"value": v.Text}
		}
	}
	if len(byKey) > 0 {
		return byKey
	}
	return texts
}

// objectInfo is what an object is made of, and what it may become.
type objectInfo struct {
	Base       string                    `json:"base"`
	Extensions map[string]bool           `json:"extensions"`
	Deps       map[string][]string       `json:"extension_deps"`
	States     map[string]extensionState `json:"extension_states"`
	Methods    map[string][]string       `json:"extension_methods"`
}

type extensionState struct {
	Active  bool     `json:"active"`
	Allowed bool     `json:"allowed"`
	Missing []string `json:"missing,omitempty"`
	Needed  []string `json:"needed,omitempty"`
}

func describeObject(o OpenObject) (*objectInfo, error) {
	info, err := o.Info()
	if err != nil {
		return nil, err
	}
	d := &objectInfo{Base: info.Base, Extensions: info.Extensions, Deps: info.ExtensionDeps, Methods: info.ExtensionMethods,
		States: make(map[string]extensionState, len(info.ExtensionStates))}
	for name, s := range info.ExtensionStates {
		d.States[name] = extensionState{Active: info.Extensions[name], Allowed: s.Allowed, Missing: s.Missing, Needed: s.Needed}
	}
	return d, nil
}

// values are the current and the allowed values of all attributes, and which of them the user may set.
type values struct {
	Value    map[string]any  `json:"value"`
	Values   map[string]any  `json:"values"`
	Saveable map[string]bool `json:"saveable"`
}

func attributeValues(call *rpc.Call, o OpenObject) (*values, error) {
	state, err := o.State()
	if err != nil {
		return nil, err
	}
	attributes, err := o.Attributes()
	if err != nil {
		return nil, err
	}
	v := &values{Value: map[string]any{}, Values: map[string]any{}, Saveable: map[string]bool{}}
	for _, a := range attributes {
		v.Saveable[a.Name] = !a.ReadOnly
		v.Value[a.Name] = valueOf(call, state, a)
		if len(a.Values) > 0 {
			v.Values[a.Name] = allowedValues(a.Values)
		}
	}
	return v, nil
}
