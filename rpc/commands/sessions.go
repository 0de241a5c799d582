package commands

import (
	"context"

	"clacks/access"
	"clacks/objects"
)

// ServiceObjects are the open objects of an object service.
func ServiceObjects(s *objects.Service) OpenObjects { return serviceObjects{s} }

type serviceObjects struct{ service *objects.Service }

var _ OpenObject = (*objects.Session)(nil)

// openOr keeps an error from coming with a session that is nil only inside of its interface.
func openOr(session *objects.Session, err error) (OpenObject, error) {
	if err != nil {
		return nil, err
	}
	return session, nil
}

// Open implements OpenObjects.
func (o serviceObjects) Open(ctx context.Context, user access.User, login, id string) (OpenObject, error) {
	return openOr(o.service.Open(ctx, user, login, id))
}

// OpenNew implements OpenObjects.
func (o serviceObjects) OpenNew(ctx context.Context, user access.User, login, typ, parent string) (OpenObject, error) {
	return openOr(o.service.OpenNew(ctx, user, login, typ, parent))
}

// Find implements OpenObjects.
func (o serviceObjects) Find(login, ref string) (OpenObject, error) {
	return openOr(o.service.Session(login, ref))
}
