package commands

import (
	"context"

	"clacks/events"
	"clacks/rpc"
)

// EventTypes is what getEventTypes needs of events.Log.
type EventTypes interface {
	Schemas() *events.Schemas
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
		})}
}

type eventTypesParams struct {
	Types  []string `json:"types" doc:"the names of event types; all when left out"`
	Schema bool     `json:"schema" doc:"answer the XSD files, too"`
}
