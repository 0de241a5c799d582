package busd

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"time"

	"clacks"
	"clacks/bus"
	"clacks/rpc"
)

// hopsKey is how often a command may be forwarded still, in the context of one that came with a pass.
type hopsKey struct{}

// Run implements rpc.Elsewhere: it asks the least loaded node that has the command, and the next one when that takes no
// messages. Once a node has taken it no other is asked. When a node was started anew all is looked up once more.
func (a *Agents) Run(ctx context.Context, call *rpc.Call, params json.RawMessage) (json.RawMessage, error) {
	hops, forwarded := ctx.Value(hopsKey{}).(int)
	if !forwarded {
		hops = maxHops
	}
	if hops <= 0 {
		return nil, clacks.E(clacks.Limit, "busd.forward", "the command %s was passed on too often: no node has it", call.Command)
	}
	result, err := a.try(ctx, call, params, hops)
	var e *clacks.Error
	if errors.As(err, &e) && e.Kind == clacks.Unavailable && e.Type == staleNode {
		a.refresh(ctx)
		return a.try(ctx, call, params, hops)
	}
	return result, err
}

// try asks one node after another.
func (a *Agents) try(ctx context.Context, call *rpc.Call, params json.RawMessage, hops int) (json.RawMessage, error) {
	err := error(clacks.E(clacks.Unavailable, "busd.forward", "no node has the command %s any more", call.Command))
	for _, node := range a.candidates(call.Command) {
		var result json.RawMessage
		result, err = a.ask(ctx, node, call, params, hops-1)
		if !notTaken(err) {
			return result, err
		}
		a.door.log.Info("a node takes no commands", "node", node.Name, "command", call.Command, "error", err)
	}
	if notTaken(err) {
		return nil, clacks.E(clacks.Unavailable, "busd.forward", "no node takes the command %s: %w", call.Command, err)
	}
	return nil, err
}

// notTaken reports whether a request surely did not reach anybody.
func notTaken(err error) bool {
	var refused *bus.Condition
	var modified *bus.Modified
	return errors.As(err, &refused) || errors.As(err, &modified) || errors.Is(err, bus.ErrReleased)
}

// request is the body of a command.
type request struct {
	ID     string          `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params,omitempty"`
}

// ask sends a command to a node and waits for its answer.
func (a *Agents) ask(ctx context.Context, node Node, call *rpc.Call, params json.RawMessage, hops int) (json.RawMessage, error) {
	d := a.door
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = d.now().Add(rpc.DefaultTimeout)
	}
	id := rand.Text()
	body, err := json.Marshal(request{ID: id, Method: call.Command, Params: params})
	if err != nil {
		return nil, clacks.E(clacks.Internal, "busd.forward", "the command cannot be written: %w", err)
	}
	m := &bus.Message{Body: body, Application: map[string]any{PropertyUser: call.User.ID},
		Properties: bus.Properties{MessageID: id, To: d.options.Names.Agent(node.Capability, node.Name), ContentType: "application/json",
			Created: d.now(), Expiry: deadline}}
	if d.options.UserID != "" {
		m.Properties.UserID = []byte(d.options.UserID)
	}
	if ttl := time.Until(deadline); ttl > 0 {
		m.Header.TTL = ttl
	}
	a.count(node.Name, 1)
	defer a.count(node.Name, -1)
	answer, err := a.lines.request(ctx, m, func(m *bus.Message) error {
		if node.Capability != bus.Core {
			return nil
		}
		token, err := d.signer.sign(pass{User: call.User.ID, From: d.options.Node, To: node.Name, Run: node.Run, ID: id, Hops: hops,
			Until: deadline.Add(clockSkew).UnixMilli(), Key: call.IdempotencyKey, Bound: bound(m)})
		m.Application[PropertyPass] = token
		return err
	})
	if err != nil {
		return nil, err
	}
	return readAnswer(node, answer)
}

// maxAnswer bounds the answer of another node in bytes.
const maxAnswer = 64 << 20

// readAnswer reads the answer of a node, which may be any program.
func readAnswer(node Node, m *bus.Message) (json.RawMessage, error) {
	wrong := func(reason string) (json.RawMessage, error) {
		return nil, clacks.E(clacks.Unavailable, "busd.forward", "the node %s answered what is no answer: %s", node.Name, reason)
	}
	if m.Value != nil || len(m.Body) > maxAnswer {
		return wrong("the body is neither text nor data, or too large")
	}
	var answer struct {
		Result json.RawMessage `json:"result"`
		Error  *struct {
			Code    int            `json:"code"`
			Message string         `json:"message"`
			Data    *rpc.ErrorData `json:"data"`
		} `json:"error"`
	}
	if err := json.Unmarshal(m.Body, &answer); err != nil {
		return wrong("it is not JSON")
	}
	switch {
	case answer.Error != nil:
		return nil, rpc.Remote(answer.Error.Code, answer.Error.Message, answer.Error.Data)
	case answer.Result == nil:
		return wrong("it has neither a result nor an error")
	}
	return answer.Result, nil
}
