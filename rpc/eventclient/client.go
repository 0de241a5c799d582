// Package eventclient is for programs that want to be called when something happened, and to say that something did. It
// needs a Transport: HTTP, or a bus.
//
//	Register -> stream of a query -> queue -> callback, callback, ...
//	                \-> queue -> callback                                 one queue and one goroutine a registration
//	Emit     -> Catalogue.Build -> Transport.Send
//
// # Delivery
//
// Registrations of the same type or query share one stream. Each registration has a queue and a goroutine, so its
// callbacks come one after the other, in the order of the events, and a slow one delays no other. A queue is bounded
// (QueueEvents, QueueBytes). One that is full takes no more from the shared stream: the registration has fallen behind.
// When its queue is half empty it reads the log again behind the last event that it has, on a stream of its own, until it
// has caught up with the shared one. So nothing is lost and nothing is held: the event log is the queue.
//
// A stream that breaks is resumed behind its last event. So a registration gets each event once and in order, from when
// Register returned (or Behind) until Unregister, whatever happens to connections. Only what the service no longer keeps
// (events.maxAge) can be missed; that ends the registration, and is reported.
//
// # Errors
//
// What a callback returns, its panics, and the end of a registration that cannot be resumed (rights taken away, the log
// pruned) go to the function that OnError sets; by default they are logged. That a stream cannot be resumed is told
// once, without an id, and tried again.
package eventclient

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

	"clacks"
)

// Now as a position means the end of the event log.
const Now = -1

// Transport reaches one service. It is safe for concurrent use.
type Transport interface {
	// Stream is one stream of events: those that an XQuery selects, in order, from behind a sequence number on, or Now. It
	// calls opened once, with the position from which on everything will come, then deliver for each event, from one
	// goroutine. It returns nil or an error when the stream has ended, that of deliver when that failed. Errors of the
	// kinds clacks.Unavailable, InDoubt and Limit may be gone at the next attempt.
	Stream(ctx context.Context, query string, after int64, opened func(position int64), deliver func(Event) error) error
	// Send sends an event document. The same key again sends nothing twice. The result is the event's sequence number,
	// or 0 when the transport does not tell.
	Send(ctx context.Context, document []byte, key string) (int64, error)
	// Call runs a command of the service.
	Call(ctx context.Context, method string, params any) (json.RawMessage, error)
}

// Event is what a callback gets. It is read-only: several callbacks may share one document.
type Event struct {
	Sequence int64
	Type     string
	Document []byte // XML: the element Event with one child, which is named as the type
}

// Client is a program's access to the events of one service. It is safe for concurrent use.
type Client struct {
	transport Transport
	onError   func(id string, err error)
	pauses    [2]time.Duration // between two attempts: the first, and to what it doubles

	ctx     context.Context
	stop    context.CancelFunc
	running sync.WaitGroup

	mu            sync.Mutex
	closed        bool
	registrations map[string]*registration
	streams       map[string]*stream // by query
	catalogue     *Catalogue
}

// Option sets what has a default.
type Option func(*Client)

// OnError sets what is told of a registration's troubles, by its id, and with the id "" of interruptions. It is called from several goroutines, and delays the
// registration's callbacks.
func OnError(f func(id string, err error)) Option { return func(c *Client) { c.onError = f } }

// WithPauses sets how long to wait before a broken stream is opened again: the first time, and at most; a fifth of a second
// and ten seconds unless given.
func WithPauses(first, most time.Duration) Option {
	return func(c *Client) { c.pauses = [2]time.Duration{first, most} }
}

// New makes a client. It connects when it is first used; the caller closes it.
func New(transport Transport, options ...Option) *Client {
	c := &Client{transport: transport, pauses: [2]time.Duration{200 * time.Millisecond, 10 * time.Second},
		registrations: map[string]*registration{}, streams: map[string]*stream{}}
	c.onError = func(id string, err error) {
		slog.Error("events: a registration has a problem", "registration", id, "error", err)
	}
	for _, option := range options {
		option(c)
	}
	c.ctx, c.stop = context.WithCancel(context.Background())
	return c
}

// Close ends all registrations and waits for callbacks that are running; they are told by their context. It must not be
// called from a callback. The transport is the caller's to close.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.stop()
	c.running.Wait()
}

// Catalogue is that of the service, read once.
func (c *Client) Catalogue(ctx context.Context) (*Catalogue, error) {
	c.mu.Lock()
	known := c.catalogue
	c.mu.Unlock()
	if known != nil {
		return known, nil
	}
	return c.RefreshCatalogue(ctx)
}

// RefreshCatalogue reads the catalogue again: the service may have got further event types since.
func (c *Client) RefreshCatalogue(ctx context.Context) (*Catalogue, error) {
	answer, err := c.transport.Call(ctx, "getEventTypes", map[string]any{"schema": true})
	if err != nil {
		return nil, err
	}
	catalogue, err := ReadCatalogue(answer)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.catalogue = catalogue
	c.mu.Unlock()
	return catalogue, nil
}

// withType calls f with a catalogue, and once more with a fresh one when f does not find a type in it.
func (c *Client) withType(ctx context.Context, f func(*Catalogue) error) error {
	catalogue, err := c.Catalogue(ctx)
	if err != nil {
		return err
	}
	if err = f(catalogue); !clacks.IsKind(err, clacks.NotFound) {
		return err
	}
	if catalogue, err = c.RefreshCatalogue(ctx); err != nil {
		return err
	}
	return f(catalogue)
}

// Emit builds an event (Catalogue.Build) and sends it. The service passes it on to all that registered for its type; the
// result is its sequence number, or 0 where the transport does not tell. A service that does not answer is asked again, a
// few times, without sending anything twice. clacks.Denied: the user may not send events of this type.
func (c *Client) Emit(ctx context.Context, eventType string, content ...any) (int64, error) {
	var document []byte
	err := c.withType(ctx, func(catalogue *Catalogue) (err error) {
		document, err = catalogue.Build(eventType, content...)
		return err
	})
	if err != nil {
		return 0, err
	}
	return c.EmitDocument(ctx, document)
}

// emitAttempts is how often an event is sent until somebody says what became of it.
const emitAttempts = 4

// EmitDocument is Emit for a document that is there already.
func (c *Client) EmitDocument(ctx context.Context, document []byte) (int64, error) {
	key := rand.Text()
	pause := c.pauses[0]
	for attempt := 1; ; attempt++ {
		sequence, err := c.transport.Send(ctx, document, key)
		if err == nil || !passing(err) || attempt == emitAttempts {
			return sequence, err
		}
		if wait(ctx, pause) != nil {
			return 0, err
		}
		pause = min(2*pause, c.pauses[1])
	}
}

// passing reports whether an error may be gone at the next attempt. nil is how a stream ends with its connection.
func passing(err error) bool {
	return err == nil || clacks.IsKind(err, clacks.Unavailable) || clacks.IsKind(err, clacks.InDoubt) || clacks.IsKind(err, clacks.Limit)
}

func wait(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

var errClosed = errors.New("the client is closed")
