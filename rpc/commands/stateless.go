package commands

import (
	"cmp"
	"context"
	"time"

	"clacks"
	"clacks/definitions"
	"clacks/events"
	"clacks/mapping"
	"clacks/objects"
	"clacks/rpc"
)

func (s *service) stateless() []rpc.Command {
	all := []rpc.Command{
		rpc.New(rpc.Spec{Name: "createObject", Changes: true, Help: "Makes an object of a type below the entry base."}, s.create),
		rpc.New(rpc.Spec{Name: "getObject", Help: "Reads an object: all its attributes, or the named ones."}, s.get),
		rpc.New(rpc.Spec{Name: "updateObject", Changes: true,
			Help: "Changes attributes of an object, extends and retracts it, all in one commit."}, s.update),
		rpc.New(rpc.Spec{Name: "moveObject", Changes: true, Help: "Gives an object another parent, another name, or both."}, s.move),
		rpc.New(rpc.Spec{Name: "deleteObject", Changes: true, Help: "Removes an object, recursively also all below it."}, s.delete),
		rpc.New(rpc.Spec{Name: "searchObjects", Help: "Finds objects by type, place, attribute values and a query, page by page."}, s.search),
	}
	if s.Events != nil {
		all = append(all, rpc.New(rpc.Spec{Name: "sendEvent", Changes: true,
			Help: "Appends an event document to the event log, from where subscribers get it."}, s.sendEvent))
	}
	return all
}

// write is common to all changes.
type write struct {
	DryRun         bool   `json:"dryRun" doc:"answer the plan, change nothing"`
	IdempotencyKey string `json:"idempotencyKey" doc:"a repeated request with the same key answers the first outcome"`
}

func (w write) request(call *rpc.Call, version string) objects.Write {
	return objects.Write{IdempotencyKey: cmp.Or(w.IdempotencyKey, call.IdempotencyKey), Version: version, DryRun: w.DryRun}
}

type createParams struct {
	Type       string         `json:"type" required:"true" doc:"the object type: User"`
	Base       string         `json:"base" required:"true" doc:"DN of the parent"`
	Attributes map[string]any `json:"attributes" doc:"values by attribute: a value, or a list for a multi-valued one"`
	Extensions []string       `json:"extensions" doc:"the extensions that the object has from the beginning"`
	write
}

func (s *service) create(ctx context.Context, call *rpc.Call, p createParams) (*objects.Result, error) {
	return s.Objects.Create(ctx, call.User, objects.CreateRequest{Write: p.request(call, ""), Type: p.Type, Base: p.Base,
		Attributes: p.Attributes, Extensions: p.Extensions})
}

type getParams struct {
	ID         string   `json:"id" required:"true" doc:"UUID or DN"`
	Attributes []string `json:"attributes" doc:"the attributes to read; all when left out"`
}

// object is an object as programs see it. An attribute without a value is left out.
type object struct {
	UUID        string         `json:"uuid"`
	DN          string         `json:"dn"`
	Type        string         `json:"type"`
	Extensions  []string       `json:"extensions"`
	Version     string         `json:"version"`
	LastChanged any            `json:"lastChanged"`
	Attributes  map[string]any `json:"attributes"`
}

func (s *service) get(ctx context.Context, call *rpc.Call, p getParams) (*object, error) {
	view, err := s.Objects.Get(ctx, call.User, p.ID, p.Attributes)
	if err != nil {
		return nil, err
	}
	return objectOf(call, view), nil
}

func objectOf(call *rpc.Call, v *objects.View) *object {
	o := &object{UUID: v.UUID, DN: v.DN, Type: v.Type, Extensions: v.Extensions, Version: v.Version,
		LastChanged: call.Timestamp(v.LastChanged), Attributes: make(map[string]any, len(v.Values))}
	if o.Extensions == nil {
		o.Extensions = []string{}
	}
	for name, values := range v.Values {
		if a := v.Shape.Attribute(name); a != nil && len(values) > 0 {
			o.Attributes[name] = formatValues(call, a, values)
		}
	}
	return o
}

// formatValues is an attribute's value, or the list of them, in the call's dialect.
func formatValues(call *rpc.Call, a *mapping.Attribute, values []any) any {
	if !a.MultiValue {
		if len(values) == 0 {
			return nil
		}
		return formatValue(call, a, values[0])
	}
	list := make([]any, len(values))
	for i, v := range values {
		list[i] = formatValue(call, a, v)
	}
	return list
}

func formatValue(call *rpc.Call, a *mapping.Attribute, v any) any {
	if !call.Legacy {
		return a.Format(v)
	}
	switch v := v.(type) {
	case time.Time:
		if a.Type == definitions.Date {
			return call.Date(v)
		}
		return call.Timestamp(v)
	case []byte:
		return call.Binary(v)
	}
	return a.Format(v)
}

type updateParams struct {
	ID      string         `json:"id" required:"true" doc:"UUID or DN"`
	Changes map[string]any `json:"changes" doc:"by attribute: a value, a list, null to clear, or {\"add\":[...],\"remove\":[...]}"`
	Extend  []string       `json:"extend" doc:"extensions to add"`
	Retract []string       `json:"retract" doc:"extensions to take away"`
	Version string         `json:"version" doc:"the version that was read: another one now is a conflict"`
	write
}

func (s *service) update(ctx context.Context, call *rpc.Call, p updateParams) (*objects.Result, error) {
	return s.Objects.Update(ctx, call.User, objects.UpdateRequest{Write: p.request(call, p.Version), ID: p.ID, Changes: p.Changes,
		Extend: p.Extend, Retract: p.Retract})
}

type moveParams struct {
	ID      string `json:"id" required:"true" doc:"UUID or DN"`
	Base    string `json:"base" doc:"DN of the new parent; the same when left out"`
	RDN     string `json:"rdn" doc:"the new name, as cn=New Name; the same when left out"`
	Version string `json:"version" doc:"the version that was read: another one now is a conflict"`
	write
}

func (s *service) move(ctx context.Context, call *rpc.Call, p moveParams) (*objects.Result, error) {
	if p.Base == "" && p.RDN == "" {
		return nil, &clacks.Error{Op: "commands.move", Kind: clacks.Invalid, Reason: "neither a new parent nor a new name was given",
			Fields: []clacks.Field{{Attribute: "base", Code: clacks.CodeMandatory, Reason: "give base, rdn, or both"}}}
	}
	return s.Objects.Move(ctx, call.User, objects.MoveRequest{Write: p.request(call, p.Version), ID: p.ID, Base: p.Base, RDN: p.RDN})
}

type deleteParams struct {
	ID        string `json:"id" required:"true" doc:"UUID or DN"`
	Recursive bool   `json:"recursive" doc:"remove all below it, too"`
	Version   string `json:"version" doc:"the version that was read: another one now is a conflict"`
	write
}

// deletion is the outcome of a removal.
type deletion struct {
	Sequence int64         `json:"sequence,omitempty"`
	Plan     *objects.Plan `json:"plan,omitempty"`
}

func (s *service) delete(ctx context.Context, call *rpc.Call, p deleteParams) (*deletion, error) {
	result, err := s.Objects.Delete(ctx, call.User, objects.DeleteRequest{Write: p.request(call, p.Version), ID: p.ID, Recursive: p.Recursive})
	if err != nil {
		return nil, err
	}
	return &deletion{Sequence: result.Sequence, Plan: result.Plan}, nil
}

type searchParams struct {
	Type       string         `json:"type" doc:"the object type; all when left out"`
	Base       string         `json:"base" doc:"DN to search below; the service's base when left out"`
	Scope      string         `json:"scope" doc:"base, one, sub (when left out) or children"`
	Filter     map[string]any `json:"filter" doc:"values by attribute that objects must have"`
	Query      string         `json:"query" doc:"XQuery over the object document, applied after the other conditions"`
	Attributes []string       `json:"attributes" doc:"the attributes to answer; all when left out"`
	OrderBy    string         `json:"orderBy" doc:"an attribute; the DN when left out"`
	Descending bool           `json:"descending" doc:"the last first"`
	Limit      int            `json:"limit" doc:"objects a page: 100 when left out, at most 10000"`
	Cursor     string         `json:"cursor" doc:"where to go on, from the page before"`
	Total      bool           `json:"total" doc:"count all matches"`
}

// page is one page of a search.
type page struct {
	Total   *int      `json:"total,omitempty"`
	Objects []*object `json:"objects"`
	Cursor  string    `json:"cursor,omitempty"`
}

func (s *service) search(ctx context.Context, call *rpc.Call, p searchParams) (*page, error) {
	result, err := s.Objects.Search(ctx, call.User, objects.SearchRequest{Type: p.Type, Base: p.Base, Scope: p.Scope, Filter: p.Filter,
		Query: p.Query, Attributes: p.Attributes, OrderBy: p.OrderBy, Descending: p.Descending, Limit: p.Limit, Cursor: p.Cursor,
		Total: p.Total})
	if err != nil {
		return nil, err
	}
	answer := &page{Objects: make([]*object, len(result.Objects)), Cursor: result.Cursor}
	for i, v := range result.Objects {
		answer.Objects[i] = objectOf(call, v)
	}
	if p.Total && result.Total >= 0 {
		answer.Total = &result.Total
	}
	return answer, nil
}

type sendParams struct {
	Event string `json:"event" required:"true" doc:"an XML document: the element Event with one child of a declared type"`
	Key   string `json:"idempotencyKey" doc:"a repeated request with the same key answers the first outcome"`
}

// sent names an event.
type sent struct {
	Sequence int64 `json:"sequence"`
}

func (s *service) sendEvent(ctx context.Context, call *rpc.Call, p sendParams) (*sent, error) {
	sequence, err := s.Events.Send(ctx, call.User, []byte(p.Event), events.IdempotencyKey(cmp.Or(p.Key, call.IdempotencyKey)))
	if err != nil {
		return nil, err
	}
	return &sent{Sequence: sequence}, nil
}
