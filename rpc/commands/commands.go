// Package commands holds the commands by which programs work with objects: the table of package rpc joined to the object
// service and the event log.
//
//	stateless.go   createObject, getObject, updateObject, moveObject, deleteObject, searchObjects, sendEvent
//	open.go        openObject, getObjectProperty, setObjectProperty, closeObject, ...
//	eventtypes.go  getEventTypes, getLastEvent
//	subscriptions.go  subscribe, unsubscribe, listSubscriptions
//	methods.go     dispatchObjectMethod: the methods of an open object
//	find.go        search and what else the web frontend asks about objects and types
//	session.go     login, logout, getSessionUser, getBase, getError, ...
//
// A command here only translates: parameters into a request of package objects, its answer into the form of the caller's
// dialect. Rights on objects, checks and the commit are the object service's.
package commands

import (
	"context"
	"slices"

	"clacks/access"
	"clacks/events"
	"clacks/mapping"
	"clacks/objects"
	"clacks/rpc"
)

// Objects is what the stateless commands need of objects.Service.
type Objects interface {
	Create(ctx context.Context, user access.User, r objects.CreateRequest) (*objects.Result, error)
	Get(ctx context.Context, user access.User, id string, attributes []string) (*objects.View, error)
	Update(ctx context.Context, user access.User, r objects.UpdateRequest) (*objects.Result, error)
	Move(ctx context.Context, user access.User, r objects.MoveRequest) (*objects.Result, error)
	Delete(ctx context.Context, user access.User, r objects.DeleteRequest) (*objects.Result, error)
	Search(ctx context.Context, user access.User, r objects.SearchRequest) (*objects.SearchResult, error)
	// Mappings are the types that there are at the moment.
	Mappings() *mapping.Set
}

// Events is what sendEvent needs of events.Log.
type Events interface {
	Send(ctx context.Context, user access.User, document []byte, options ...events.SendOption) (int64, error)
}

// Options are what the commands work with.
type Options struct {
	Objects Objects
	Open    OpenObjects // nil: those of Objects, if it is an *objects.Service; else no commands on open objects
	Events  Events      // nil: no sendEvent
	Base    string      // the DN below which all objects are
	// Subscriptions: nil for no commands on subscriptions. Domain is that of their addresses on the bus.
	Subscriptions Subscriptions
	Domain        string
}

// Register adds the commands to a registry.
func Register(r *rpc.Registry, o Options) error {
	if o.Open == nil {
		if service, ok := o.Objects.(*objects.Service); ok {
			o.Open = ServiceObjects(service)
		}
	}
	s := &service{Options: o, registry: r}
	return r.Add(slices.Concat(s.stateless(), s.eventTypes(), s.subscriptions(), s.stateful(), s.find(), s.session())...)
}

type service struct {
	Options
	registry *rpc.Registry
}
