package commands

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"clacks"
	"clacks/access"
	"clacks/bus"
	"clacks/events"
	"clacks/rpc"
	"clacks/xquery"
)

// Subscriptions is what the commands need of events.Subscriptions.
type Subscriptions interface {
	Create(ctx context.Context, user access.User, q events.SubscriptionRequest) (id string, err error)
	Remove(ctx context.Context, user access.User, id string) error
	List(ctx context.Context, user access.User) ([]events.SubscriptionState, error)
}

func (s *service) subscriptions() []rpc.Command {
	if s.Subscriptions == nil {
		return nil
	}
	return []rpc.Command{
		rpc.New(rpc.Spec{Name: "subscribe", Changes: true,
			Help: "Makes a subscription to events, whose address on the bus it answers; one with the same name comes back."}, s.subscribe),
		rpc.New(rpc.Spec{Name: "unsubscribe", Changes: true, Help: "Ends a subscription."}, s.unsubscribe),
		rpc.New(rpc.Spec{Name: "listSubscriptions",
			Help: "One's own subscriptions, for an administrator those of all: how far they are, and what went wrong."}, s.listSubscriptions),
	}
}

type subscribeParams struct {
	Query   string `json:"xquery" doc:"XQuery over the event document; events for which it is true are delivered; all when left out"`
	Name    string `json:"name" doc:"a second request with the same name and query gets the same subscription"`
	Durable bool   `json:"durable" doc:"deliver at least once, also what happens while nobody listens, until it is ended"`
	From    any    `json:"from" doc:"a sequence number, or a time as in RFC 3339: where to begin; now when left out"`
	Deliver string `json:"deliver" doc:"event (when left out), or result: what the query makes of the event"`
	Replace bool   `json:"replace" doc:"give the subscription of this name another query, delivery, and from if that is given"`
}

// subscribed is the outcome of subscribe.
type subscribed struct {
	ID      string `json:"id"`
	Address string `json:"address"`
}

func (s *service) subscribe(ctx context.Context, call *rpc.Call, p subscribeParams) (*subscribed, error) {
	from, err := placeIn(p.From)
	if err != nil {
		return nil, err
	}
	id, err := s.Subscriptions.Create(ctx, call.User, events.SubscriptionRequest{
		Query: p.Query, Name: p.Name, Durable: p.Durable, Deliver: p.Deliver, From: from, Replace: p.Replace,
	})
	var wrong *xquery.Error
	if errors.As(err, &wrong) {
		reason := fmt.Sprintf("line %d, column %d: %s", wrong.Line, wrong.Column, wrong.Message)
		return nil, &clacks.Error{Op: "commands.subscribe", Kind: clacks.Invalid, Reason: "the query is wrong", Err: err,
			Fields: []clacks.Field{{Attribute: "xquery", Code: wrong.Code, Reason: reason}}}
	}
	if err != nil {
		return nil, err
	}
	return &subscribed{ID: id, Address: bus.Names(s.Domain).Subscription(id)}, nil
}

// placeIn is a place in the log, which may be given as a number or as text.
func placeIn(from any) (string, error) {
	switch from := from.(type) {
	case nil:
		return "", nil
	case string:
		return from, nil
	case json.Number:
		return from.String(), nil
	case float64:
		return fmt.Sprintf("%.0f", from), nil
	}
	return "", &clacks.Error{Op: "commands.subscribe", Kind: clacks.Invalid, Reason: "wrong parameters",
		Fields: []clacks.Field{{Attribute: "from", Code: clacks.CodeType, Reason: "it must be a sequence number or a time as in RFC 3339"}}}
}

type unsubscribeParams struct {
	ID string `json:"id" required:"true" doc:"the id that subscribe answered"`
}

func (s *service) unsubscribe(ctx context.Context, call *rpc.Call, p unsubscribeParams) (bool, error) {
	if err := s.Subscriptions.Remove(ctx, call.User, p.ID); err != nil {
		return false, err
	}
	return true, nil
}

// subscription is one as programs see it.
type subscription struct {
	ID        string `json:"id"`
	Address   string `json:"address"`
	Owner     string `json:"owner"`
	Name      string `json:"name,omitempty"`
	Query     string `json:"xquery"`
	Deliver   string `json:"deliver"`
	Durable   bool   `json:"durable"`
	Attached  bool   `json:"attached"`
	Created   any    `json:"created"`
	Expires   any    `json:"expires,omitempty"`
	Position  int64  `json:"position"`
	Lag       int64  `json:"lag"`
	Delivered int64  `json:"delivered"`
	Rejected  int64  `json:"rejected"`
	Errors    int64  `json:"errors"`
	LastError string `json:"lastError,omitempty"`
}

func (s *service) listSubscriptions(ctx context.Context, call *rpc.Call, _ rpc.None) ([]subscription, error) {
	states, err := s.Subscriptions.List(ctx, call.User)
	if err != nil {
		return nil, err
	}
	all := make([]subscription, len(states))
	for i, state := range states {
		all[i] = subscription{
			ID: state.ID, Address: bus.Names(s.Domain).Subscription(state.ID), Owner: state.Owner, Name: state.Name, Query: state.Query,
			Deliver: state.Deliver, Durable: state.Durable, Attached: state.Attached, Created: call.Timestamp(state.Created),
			Position: state.Position, Lag: state.Lag, Delivered: state.Delivered, Rejected: state.Rejected,
			Errors: state.Failed, LastError: state.LastError,
		}
		if !state.Durable {
			all[i].Expires = call.Timestamp(state.Expires)
		}
	}
	return all, nil
}
