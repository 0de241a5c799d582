// Package objects is the object service: it opens, changes, checks and commits objects over all their backends.
package objects

import (
	"context"
	"errors"

	"clacks/access"
)

var errUnfinished = errors.New("objects: unfinished")

// Service is the object service. All methods are safe for concurrent use.
type Service struct{}

// Create makes an object.
func (s *Service) Create(ctx context.Context, user access.User, r CreateRequest) (*Result, error) {
	return nil, errUnfinished
}

// Get reads an object by UUID or DN. No attributes means all.
func (s *Service) Get(ctx context.Context, user access.User, id string, attributes []string) (*View, error) {
	return nil, errUnfinished
}

// Update changes an object.
func (s *Service) Update(ctx context.Context, user access.User, r UpdateRequest) (*Result, error) {
	return nil, errUnfinished
}

// Move gives an object another name.
func (s *Service) Move(ctx context.Context, user access.User, r MoveRequest) (*Result, error) {
	return nil, errUnfinished
}

// Delete removes an object.
func (s *Service) Delete(ctx context.Context, user access.User, r DeleteRequest) (*Result, error) {
	return nil, errUnfinished
}

// Search finds objects.
func (s *Service) Search(ctx context.Context, user access.User, r SearchRequest) (*SearchResult, error) {
	return nil, errUnfinished
}
