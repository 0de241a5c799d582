package commands

import (
	"context"

	"clacks/events"
	"clacks/rpc"
)

// EventTypes is what getEventTypes and getLastEvent need of events.Log.
type EventTypes interface {
	Schemas() *events.Schemas
	Last(ctx context.Context) (int64, error)
}

// eventTypes are the commands about event types; none where the events have no catalogue.
func (s *service) eventTypes() []rpc.Command {
	catalogue, ok := s.Events.(EventTypes)
	if !ok {
		return nil
	}
	return []rpc.Command{rpc.New(rpc.Spec{Name: "getEventTypes",
		Help: "Lists the event types: documentation, elements with their types and in their order, and the schema."},
		func(_ context.Context, _ *rpc.Call, p eventTypesParams) (*events.Catalogue, error) {
			return catalogue.Schemas().Catalogue(p.Schema, p.Types...)
		}), rpc.New(rpc.Spec{Name: "getLastEvent", Help: "Says how far the event log is: the number of its newest event, 0 when there is none."},
		func(ctx context.Context, _ *rpc.Call, _ rpc.None) (*sent, error) {
			sequence, err := catalogue.Last(ctx)
			if err != nil {
				return nil, err
			}
			return &sent{Sequence: sequence}, nil
		})}
}

type eventTypesParams struct {
	Types  []string `json:"types" doc:"the names of event types; all when left out"`
	Schema bool     `json:"schema" doc:"answer the XSD files, too"`
}
