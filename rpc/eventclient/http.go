package eventclient

import (
	"context"
	"encoding/json"

	"clacks/rpc/client"
)

// HTTP is a Transport over a service's HTTP door: the event stream (server-sent events) and its commands.
func HTTP(c *client.Client) Transport { return overHTTP{c} }

type overHTTP struct{ client *client.Client }

func (t overHTTP) Stream(ctx context.Context, query string, after int64, opened func(int64), deliver func(Event) error) error {
	return t.client.Follow(ctx, query, after, opened, func(e client.Event) error {
		return deliver(Event(e))
	})
}

func (t overHTTP) Send(ctx context.Context, document []byte, key string) (int64, error) {
	sent, err := client.Do[struct{ Sequence int64 }](ctx, t.client, "sendEvent",
		map[string]any{"event": string(document), "idempotencyKey": key})
	return sent.Sequence, err
}

func (t overHTTP) Call(ctx context.Context, method string, params any) (json.RawMessage, error) {
	return t.client.Call(ctx, method, params)
}
