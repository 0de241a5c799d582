package rpc

import (
	"context"
	"encoding/json"
	"time"

	"clacks"
	"clacks/access"
)

// Elsewhere runs commands that this process does not have, at others that do. It is safe for concurrent use.
type Elsewhere interface {
	// Find describes a command; false when nobody has it at the moment.
	Find(ctx context.Context, name string) (ForeignCommand, bool)
	// Commands are all there are at the moment, sorted by name.
	Commands() []ForeignCommand
	// Run runs a command for the caller. Its error may be one that Remote has made.
	Run(ctx context.Context, call *Call, params json.RawMessage) (json.RawMessage, error)
}

// ForeignCommand is a command of another process, as it describes itself.
type ForeignCommand struct {
	Name          string   `json:"name" doc:"the command's name"`
	Signature     []string `json:"signature" doc:"the names of its parameters, in their order"`
	Documentation string   `json:"documentation" doc:"a sentence for people"`
	Capability    string   `json:"-"`
}

// SetElsewhere says where commands run that the registry does not have. Its own go first. It is called before the registry
// serves.
func (r *Registry) SetElsewhere(e Elsewhere) { r.elsewhere = e }

// foreignLabel stands for all commands of others in metrics: their names are not ours to vouch for.
const foreignLabel = "(foreign)"

// invokeElsewhere runs a command at another process. The right to execute it is asked for here, where the user is known.
func (r *Registry) invokeElsewhere(ctx context.Context, call *Call, params json.RawMessage) (any, error) {
	if r.elsewhere == nil {
		return nil, r.unknown(call)
	}
	command, ok := r.elsewhere.Find(ctx, call.Command)
	if !ok {
		return nil, r.unknown(call)
	}
	if err := r.mayCallElsewhere(call.User, command); err != nil {
		return nil, err
	}
	started := time.Now()
	ctx, cancel := context.WithTimeout(ctx, r.options.Timeout)
	defer cancel()
	result, err := r.elsewhere.Run(ctx, call, params)
	if err != nil {
		err = r.presentable(ctx, call, err)
	}
	r.observe(foreignLabel, started, err)
	return result, err
}

func (r *Registry) mayCallElsewhere(user access.User, c ForeignCommand) error {
	if user.Anonymous() {
		return clacks.E(clacks.Unauthenticated, "rpc.invoke", "log in to call %s", clip(c.Name))
	}
	if !r.options.Policy.Allowed(user, access.Execute, access.Topic{Command: c.Name}) {
		return clacks.E(clacks.Denied, "rpc.invoke", "no right to call %s", clip(c.Name))
	}
	return nil
}

// Remote is the error that another process answered, as JSON-RPC has it: its code and text reach the client as they are.
func Remote(code int, message string, data *ErrorData) error {
	e := &clacks.Error{Op: "rpc.remote", Kind: KindOfCode(code), Reason: message}
	if data != nil {
		for _, kind := range clacks.Kinds() {
			if kind.String() == data.Kind {
				e.Kind = kind
			}
		}
		e.Type, e.Reason, e.Fields = data.Type, data.Reason, data.Fields
	}
	if e.Reason == "" {
		e.Reason = message
	}
	return &codedError{code: code, remote: true, cause: e}
}
