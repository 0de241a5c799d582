package commands

import (
	"context"
	"errors"

	"clacks"
	"clacks/access"
	"clacks/mapping"
	"clacks/objects"
	"clacks/rpc"
)

// OpenObject is an object that a client works on step by step: see objects.Session.
type OpenObject interface {
	Ref() string
	State() (*objects.State, error)
	Get(name string) ([]any, *mapping.Attribute, error)
	Set(ctx context.Context, name string, value any) error
	Extend(ctx context.Context, extension string) error
	Retract(ctx context.Context, extension string) error
	Move(ctx context.Context, base string) (*objects.Result, error)
	Remove(ctx context.Context, recursive bool) (*objects.Result, error)
	Commit(ctx context.Context) (*objects.Result, error)
	Reload(ctx context.Context) error
	Close()
	Attributes() ([]objects.AttributeInfo, error)
	Info() (*objects.Info, error)
}

// OpenObjects is where open objects come from. A login names the client's session: nobody else finds its objects.
type OpenObjects interface {
	Open(ctx context.Context, user access.User, login, id string) (OpenObject, error)
	OpenNew(ctx context.Context, user access.User, login, typ, parent string) (OpenObject, error)
	// Find returns an open object by its reference, and counts as a use of it; clacks.NotFound when there is none.
	Find(login, ref string) (OpenObject, error)
}

func (s *service) stateful() []rpc.Command {
	if s.Open == nil {
		return nil
	}
	return []rpc.Command{
		rpc.New(rpc.Spec{Name: "openObject", Help: "Opens an object, or with a type a new one below it, and answers it with a reference."}, s.open),
		rpc.New(rpc.Spec{Name: "openObjectByType", Help: "Opens the one object of a type that has a value."}, s.openByType),
		rpc.New(rpc.Spec{Name: "getObjectProperty", Help: "Reads an attribute of an open object."}, s.getProperty),
		rpc.New(rpc.Spec{Name: "setObjectProperty", Changes: true, Help: "Sets an attribute of an open object; commit writes it."}, s.setProperty),
		rpc.New(rpc.Spec{Name: "dispatchObjectMethod", Changes: true, Help: "Calls a method of an open object: commit, extend, retract, move, remove, ..."},
			s.dispatch),
		rpc.New(rpc.Spec{Name: "reloadObject", Help: "Gives up uncommitted changes of an open object and reads it anew."}, s.reload),
		rpc.New(rpc.Spec{Name: "continueObjectEditing", Help: "Keeps an open object from being closed for want of use."}, s.keepOpen),
		rpc.New(rpc.Spec{Name: "checkObjectRef", Help: "Whether a reference is known, to this session."}, s.knowsRef),
		rpc.New(rpc.Spec{Name: "listObjectOIDs", Help: "The classes of objects that can be opened."},
			func(context.Context, *rpc.Call, rpc.None) ([]string, error) { return []string{objectClass}, nil }),
		rpc.New(rpc.Spec{Name: "closeObject", Help: "Ends a reference; uncommitted changes are gone."}, s.closeObject),
		rpc.New(rpc.Spec{Name: "removeObject", Changes: true, Help: "Removes an object that need not be open."}, s.removeObject),
	}
}

// objectClass is the only class of open objects that there is; clients of old name it.
const objectClass = "object"

func checkClass(oid string) error {
	if oid != objectClass {
		return &clacks.Error{Op: "commands.open", Kind: clacks.NotFound, Reason: "there is no such class of objects",
			Fields: []clacks.Field{{Attribute: "oid", Code: "OID_NOT_FOUND", Reason: `must be "object"`}}}
	}
	return nil
}

// loginOf is what open objects of a caller are kept by.
func loginOf(call *rpc.Call) (string, error) {
	if call.Session == nil || call.Session.ID() == "" {
		return "", clacks.E(clacks.Invalid, "commands.open", "there is no session that could keep an object open")
	}
	return call.Session.ID(), nil
}

// opened is the open object of a reference.
func (s *service) opened(call *rpc.Call, ref string) (OpenObject, error) {
	login, err := loginOf(call)
	if err != nil {
		return nil, err
	}
	o, err := s.Open.Find(login, ref)
	if clacks.IsKind(err, clacks.NotFound) {
		return nil, &clacks.Error{Op: "commands.open", Kind: clacks.NotFound, Reason: "there is no open object with this reference", Err: err,
			Fields: []clacks.Field{{Attribute: "ref", Code: "REFERENCE_NOT_FOUND", Reason: "it is unknown, or was closed"}}}
	}
	return o, err
}

type openParams struct {
	OID  string `json:"oid" required:"true" doc:"the class: object"`
	ID   string `json:"dn" required:"true" doc:"UUID or DN of the object; of the parent when a type is given"`
	Type string `json:"type" doc:"the type of a new object"`
}

func (s *service) open(ctx context.Context, call *rpc.Call, p openParams) (any, error) {
	if err := checkClass(p.OID); err != nil {
		return nil, err
	}
	login, err := loginOf(call)
	if err != nil {
		return nil, err
	}
	var o OpenObject
	if p.Type != "" {
		o, err = s.Open.OpenNew(ctx, call.User, login, p.Type, p.ID)
	} else {
		o, err = s.Open.Open(ctx, call.User, login, p.ID)
	}
	if err != nil {
		return nil, renamed(err, "dn")
	}
	return proxyOf(call, o)
}

// renamed gives what the stateless commands call id or base the name that a command's own parameter has.
func renamed(err error, parameter string) error {
	var e *clacks.Error
	if !errors.As(err, &e) || len(e.Fields) != 1 || e.Fields[0].Attribute != "id" && e.Fields[0].Attribute != "base" {
		return err
	}
	field := e.Fields[0]
	field.Attribute = parameter
	return &clacks.Error{Op: e.Op, Kind: e.Kind, Type: e.Type, Reason: e.Reason, Fields: []clacks.Field{field}, Err: e.Err}
}

type byTypeParams struct {
	Attribute string `json:"attribute" required:"true" doc:"an attribute"`
	Value     string `json:"value" required:"true" doc:"the value that it has"`
	Type      string `json:"type" required:"true" doc:"the object's type"`
}

func (s *service) openByType(ctx context.Context, call *rpc.Call, p byTypeParams) (any, error) {
	result, err := s.Objects.Search(ctx, call.User, objects.SearchRequest{Type: p.Type, Limit: 2, Attributes: []string{p.Attribute},
		Filter: map[string]any{p.Attribute: literal(p.Value)}})
	if err != nil {
		return nil, err
	}
	if len(result.Objects) != 1 {
		return nil, clacks.E(clacks.NotFound, "commands.open", "there is not exactly one object of the type %s with this value", p.Type)
	}
	return s.open(ctx, call, openParams{OID: objectClass, ID: result.Objects[0].UUID})
}

// proxyOf is an open object as clients of old read it: a class by whose parts their libraries make a proxy, the UUID, and
// all attributes by name.
func proxyOf(call *rpc.Call, o OpenObject) (map[string]any, error) {
	state, err := o.State()
	if err != nil {
		return nil, err
	}
	attributes, err := o.Attributes()
	if err != nil {
		return nil, err
	}
	proxy := map[string]any{"uuid": state.UUID}
	properties := make([]string, 0, len(attributes))
	for _, a := range attributes {
		properties = append(properties, a.Name)
		if a.Name != "uuid" && a.Name != "__jsonclass__" {
			proxy[a.Name] = valueOf(call, state, a)
		}
	}
	name := state.DN
	if name == "" {
		name = state.Parent
	}
	proxy["__jsonclass__"] = []any{"json.JSONObjectFactory",
		[]any{"ObjectProxy", state.Ref, name, objectClass, methodNames(), properties}}
	return proxy, nil
}

// valueOf is an attribute's value in the call's dialect: null or an empty list when it has none.
func valueOf(call *rpc.Call, state *objects.State, info objects.AttributeInfo) any {
	a := state.Shape.Attribute(info.Name)
	if a == nil {
		if info.MultiValue {
			return []any{}
		}
		return nil
	}
	return formatValues(call, a, state.Values[info.Name])
}

type propertyParams struct {
	Ref  string `json:"ref" required:"true" doc:"the open object's reference"`
	Name string `json:"name" required:"true" doc:"the attribute"`
}

func (s *service) getProperty(_ context.Context, call *rpc.Call, p propertyParams) (any, error) {
	o, err := s.opened(call, p.Ref)
	if err != nil {
		return nil, err
	}
	values, a, err := o.Get(p.Name)
	if err != nil {
		return nil, err
	}
	return formatValues(call, a, values), nil
}

type setParams struct {
	Ref   string `json:"ref" required:"true" doc:"the open object's reference"`
	Name  string `json:"name" required:"true" doc:"the attribute"`
	Value any    `json:"value" required:"true" doc:"a value, a list for a multi-valued attribute, or null to clear it"`
}

func (s *service) setProperty(ctx context.Context, call *rpc.Call, p setParams) (any, error) {
	o, err := s.opened(call, p.Ref)
	if err != nil {
		return nil, err
	}
	return nil, o.Set(ctx, p.Name, p.Value)
}

type refParams struct {
	Ref string `json:"ref" required:"true" doc:"the open object's reference"`
}

func (s *service) reload(ctx context.Context, call *rpc.Call, p refParams) (any, error) {
	o, err := s.opened(call, p.Ref)
	if err != nil {
		return nil, err
	}
	if err := o.Reload(ctx); err != nil {
		return nil, err
	}
	return proxyOf(call, o)
}

func (s *service) keepOpen(_ context.Context, call *rpc.Call, p refParams) (any, error) {
	_, err := s.opened(call, p.Ref)
	return nil, err
}

func (s *service) knowsRef(_ context.Context, call *rpc.Call, p refParams) (bool, error) {
	_, err := s.opened(call, p.Ref)
	if clacks.IsKind(err, clacks.NotFound) {
		return false, nil
	}
	return err == nil, err
}

// closeObject answers the same when the object is closed already: clients send it twice.
func (s *service) closeObject(_ context.Context, call *rpc.Call, p refParams) (any, error) {
	o, err := s.opened(call, p.Ref)
	if clacks.IsKind(err, clacks.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	o.Close()
	return nil, nil
}

type removeParams struct {
	OID string `json:"oid" required:"true" doc:"the class: object"`
	ID  string `json:"dn" required:"true" doc:"UUID or DN"`
}

func (s *service) removeObject(ctx context.Context, call *rpc.Call, p removeParams) (bool, error) {
	if err := checkClass(p.OID); err != nil {
		return false, err
	}
	_, err := s.Objects.Delete(ctx, call.User, objects.DeleteRequest{ID: p.ID})
	return err == nil, renamed(err, "dn")
}
