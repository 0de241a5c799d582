// Package null is the backend that stores nothing: every write succeeds, every read finds an empty entry. Attributes of
// an object that live nowhere but in events are mapped to it.
package null

import (
	"context"
	"iter"

	"clacks"
	"clacks/backends"
)

// Backend implements backends.Backend. The zero value is ready; it has no state.
type Backend struct{}

var _ backends.Backend = Backend{}

// New returns the backend.
func New() Backend { return Backend{} }

// Capabilities has Kind None and nothing else.
func (Backend) Capabilities() backends.Capabilities { return backends.Capabilities{} }

// Read returns an entry of the name without values.
func (Backend) Read(ctx context.Context, ref backends.Ref, _ []string) (*backends.Entry, error) {
	if err := ended(ctx, "null.read"); err != nil {
		return nil, err
	}
	return &backends.Entry{Ref: ref}, nil
}

// Search finds nothing.
func (Backend) Search(ctx context.Context, _ backends.Query) iter.Seq2[*backends.Entry, error] {
	return func(yield func(*backends.Entry, error) bool) {
		if err := ended(ctx, "null.search"); err != nil {
			yield(nil, err)
		}
	}
}

// Apply accepts every change and forgets it.
func (Backend) Apply(ctx context.Context, _ backends.Change) (backends.Result, error) {
	return backends.Result{}, ended(ctx, "null.apply")
}

// Ping always answers.
func (Backend) Ping(ctx context.Context) error { return ended(ctx, "null.ping") }

// Close has nothing to close.
func (Backend) Close() error { return nil }

// ended is the contract's answer to a context that has ended: clacks.Unavailable, since nothing was done.
func ended(ctx context.Context, op string) error {
	if err := ctx.Err(); err != nil {
		return clacks.E(clacks.Unavailable, op, "the request has ended: %w", err)
	}
	return nil
}
