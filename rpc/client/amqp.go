package client

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"clacks"
	"clacks/bus"
	"clacks/bus/remote"
	"clacks/rpc"
)

// DefaultDomain is the domain of a service that is configured with no other.
const DefaultDomain = "org.clacks"

// wire is a client's connection to a bus. It is made by the first call, and comes back by itself after a loss.
type wire struct {
	mu        sync.Mutex
	bus       *remote.Client
	requester *bus.Requester
}

// onBus reports whether the service is reached over AMQP.
func (c *Client) onBus() bool {
	return strings.HasPrefix(c.URL, "amqp:") || strings.HasPrefix(c.URL, "amqps:")
}

func (c *Client) names() bus.Names {
	if c.Domain == "" {
		return DefaultDomain
	}
	return bus.Names(c.Domain)
}

// attempts is how often a request is sent whose answer is lost with a connection.
const attempts = 3

// callBus is Call over AMQP: the command goes to the queue that all agents of the domain share. A request whose answer was
// lost with the connection is sent again, under the same message-id: a change that was made answers its first outcome.
func (c *Client) callBus(ctx context.Context, body []byte) (json.RawMessage, error) {
	requester, user, err := c.requester(ctx)
	if err != nil {
		return nil, err
	}
	m := &bus.Message{Body: body, Properties: bus.Properties{MessageID: rand.Text(), UserID: []byte(user), ContentType: "application/json"}}
	if deadline, ok := ctx.Deadline(); ok {
		m.Header.TTL = max(time.Until(deadline), time.Millisecond)
	}
	reply, err := requester.Request(ctx, m)
	for n := 1; n < attempts && ctx.Err() == nil && clacks.IsKind(err, clacks.InDoubt); n++ {
		reply, err = requester.Request(ctx, m)
	}
	if err != nil {
		return nil, c.busFailure(ctx, err)
	}
	if reply.Value != nil || len(reply.Body) > maxAnswer {
		return nil, &Error{Message: "the service answered what is no answer", Data: &rpc.ErrorData{Kind: clacks.Internal.String(), Reason: "no answer"}}
	}
	return readBusAnswer(reply.Body)
}

func readBusAnswer(body []byte) (json.RawMessage, error) {
	var answer answer
	err := json.Unmarshal(body, &answer)
	switch {
	case err == nil && answer.Error != nil:
		return nil, &Error{Code: answer.Error.Code, Message: answer.Error.Message, Data: answer.Error.Data}
	case err == nil && answer.Result != nil:
		return answer.Result, nil
	}
	return nil, &Error{Message: "the service answered what is no answer", Data: &rpc.ErrorData{Kind: clacks.Internal.String(), Reason: "no answer"}}
}

// requester is the one that all calls share; user is who the service knows this client as.
func (c *Client) requester(ctx context.Context) (requester *bus.Requester, user string, err error) {
	options, err := c.busOptions()
	if err != nil {
		return nil, "", err
	}
	c.wire.mu.Lock()
	defer c.wire.mu.Unlock()
	if c.wire.requester != nil {
		return c.wire.requester, options.User, nil
	}
	if c.wire.bus == nil {
		if c.wire.bus, err = remote.Dial(ctx, options); err != nil {
			return nil, "", c.busFailure(ctx, err)
		}
	}
	c.wire.requester, err = bus.NewRequester(ctx, c.wire.bus, c.names().Command(bus.Core), c.names())
	if err != nil {
		return nil, "", c.busFailure(ctx, err)
	}
	return c.wire.requester, options.User, nil
}

// busOptions are how to connect. A user in the URL goes before the field.
func (c *Client) busOptions() (remote.Options, error) {
	address, err := url.Parse(c.URL)
	if err != nil || address.Host == "" {
		return remote.Options{}, clacks.E(clacks.Invalid, "client.request", "%q is no URL of a service", withoutPassword(c.URL))
	}
	options := remote.Options{URL: c.URL, User: c.User, Password: c.Password, TLS: c.TLS, Log: slog.New(slog.DiscardHandler)}
	if named := address.User; named != nil && named.Username() != "" {
		options.User = named.Username()
		if password, ok := named.Password(); ok {
			options.Password = password
		}
	}
	if c.TLS != nil && len(c.TLS.Certificates) > 0 && options.Password == "" {
		options.SASL = remote.External
	}
	return options, nil
}

// listen makes a connection of its own for one event stream, and tells of its states.
func (c *Client) listen(ctx context.Context, state func(remote.State)) (*remote.Client, error) {
	options, err := c.busOptions()
	if err != nil {
		return nil, err
	}
	options.OnState = state
	options.MaxMessageSize = maxEvent
	return remote.Dial(ctx, options)
}

// maxEvent bounds an event in bytes, with the overhead of its message.
const maxEvent = 65 << 20

// busFailure is the error for a service that was not reached over AMQP, or that refused.
func (c *Client) busFailure(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	var refused *bus.Condition
	if errors.As(err, &refused) {
		return &clacks.Error{Op: "client.request", Kind: refused.Kind(), Reason: refused.Error(), Err: err}
	}
	if clacks.IsKind(err, clacks.Unauthenticated) {
		return &clacks.Error{Op: "client.request", Kind: clacks.Unauthenticated, Reason: "user or password is wrong", Err: err}
	}
	var known *clacks.Error
	if errors.As(err, &known) {
		return err
	}
	return &clacks.Error{Op: "client.request", Kind: clacks.Unavailable, Reason: "no answer from " + withoutPassword(c.URL), Err: err}
}

func withoutPassword(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "..."
	}
	return u.Redacted()
}

// Close ends the connection of an amqp:// client within the context's time; calls that wait end. Others have nothing to close.
func (c *Client) Close(ctx context.Context) error {
	c.wire.mu.Lock()
	defer c.wire.mu.Unlock()
	var problems []error
	if c.wire.requester != nil {
		problems = append(problems, c.wire.requester.Close(ctx))
	}
	if c.wire.bus != nil {
		problems = append(problems, c.wire.bus.Close(ctx))
	}
	c.wire.requester, c.wire.bus = nil, nil
	return errors.Join(problems...)
}
