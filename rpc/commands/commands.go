// Package commands holds the commands by which programs work with objects: the table of package rpc joined to the object
// service and the event log.
//
//	stateless.go   createObject, getObject, updateObject, moveObject, deleteObject, searchObjects, sendEvent
//	session.go     login, logout, getSessionUser, getBase, getError, ...
//
// A command here only translates: parameters into a request of package objects, its answer into the form of the caller's
// dialect. Rights on objects, checks and the commit are the object service's.
package commands

import (
	"context"

	"clacks/access"
	"clacks/events"
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
}

// Events is what sendEvent needs of events.Log.
type Events interface {
	Send(ctx context.Context, user access.User, document []byte, options ...events.SendOption) (int64, error)
}

// Options are what the commands work with.
type Options struct {
	Objects Objects
	Events  Events // nil: no sendEvent
	Base    string // the DN below which all objects are
}

// Register adds the commands to a registry.
func Register(r *rpc.Registry, o Options) error {
	s := &service{Options: o, registry: r}
	all := append(s.stateless(), s.session()...)
	return r.Add(all...)
}

type service struct {
	Options
	registry *rpc.Registry
}
