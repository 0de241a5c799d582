package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"clacks"
	"clacks/access"
)

// Options are what a registry needs. Policy is required.
type Options struct {
	Policy access.Policy
	Log    *slog.Logger // nil for slog.Default
	// Timeout bounds an invocation whose command sets no other; 0 means DefaultTimeout.
	Timeout time.Duration
	// Observe is told of every finished invocation of a known command: a name, how long it took, and "" or the kind of its
	// error. It must be quick and safe for concurrent use. nil for nobody.
	Observe func(command string, took time.Duration, kind string)
	// Version is shown in the OpenRPC document.
	Version string
}

// DefaultTimeout bounds an invocation.
const DefaultTimeout = 30 * time.Second

// Registry holds the commands. It is safe for concurrent use; commands may be added while it serves.
type Registry struct {
	options   Options
	elsewhere Elsewhere // nil for nobody

	mu       sync.RWMutex
	commands map[string]*Command
	names    []string // sorted
}

// NewRegistry makes a registry that knows rpc.discover and getMethods.
func NewRegistry(options Options) *Registry {
	if options.Log == nil {
		options.Log = slog.Default()
	}
	if options.Timeout == 0 {
		options.Timeout = DefaultTimeout
	}
	r := &Registry{options: options, commands: map[string]*Command{}}
	if err := r.Add(r.ownCommands()...); err != nil {
		panic(err) // only a fault of this package can bring us here
	}
	return r
}

// Add makes commands known. A name that is taken or not fit, a missing help, or a parameter struct that cannot be used is
// an error, and none of the commands is added.
func (r *Registry) Add(commands ...Command) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	adding := map[string]bool{}
	var problems []error
	for i := range commands {
		c := &commands[i]
		if err := checkCommand(c); err != nil {
			problems = append(problems, err)
		}
		if r.commands[c.Name] != nil || adding[c.Name] {
			problems = append(problems, clacks.E(clacks.NotUnique, "rpc.add", "the command %q exists already", c.Name))
		}
		adding[c.Name] = true
	}
	if err := errors.Join(problems...); err != nil {
		return err
	}
	for i := range commands {
		c := commands[i]
		r.commands[c.Name] = &c
		at, _ := slices.BinarySearch(r.names, c.Name)
		r.names = slices.Insert(r.names, at, c.Name)
	}
	return nil
}

func checkCommand(c *Command) error {
	switch {
	case c.err != nil:
		return &clacks.Error{Op: "rpc.add", Kind: clacks.Invalid, Reason: "the command " + c.Name + " cannot be used", Err: c.err}
	case c.invoke == nil:
		return clacks.E(clacks.Invalid, "rpc.add", "the command %q has no function", c.Name)
	case c.Name == "" || strings.HasPrefix(c.Name, "_") || strings.HasPrefix(c.Name, "*"):
		// The legacy dialect gives these first letters a meaning.
		return clacks.E(clacks.Invalid, "rpc.add", "%q is no name for a command", c.Name)
	case c.Help == "":
		return clacks.E(clacks.Invalid, "rpc.add", "the command %q has no help", c.Name)
	}
	return nil
}

// Lookup returns a command by its name.
func (r *Registry) Lookup(name string) (*Command, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	c, ok := r.commands[name]
	return c, ok
}

// Names are the names of all commands, sorted.
func (r *Registry) Names() []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Clone(r.names)
}

// Allowed reports whether a user may call a command.
func (r *Registry) Allowed(user access.User, c *Command) bool {
	if c.Public {
		return true
	}
	right := c.Right
	if right == 0 {
		right = access.Execute
	}
	return !user.Anonymous() && r.options.Policy.Allowed(user, right, access.Topic{Command: c.Name})
}

// Invoke runs a command with parameters that are a JSON object, a JSON array, or nil, and which the caller has found to be
// valid. Its error is a *clacks.Error (or wraps one) that may be shown to the client; what may not is in the log.
func (r *Registry) Invoke(ctx context.Context, call *Call, params json.RawMessage) (any, error) {
	c, ok := r.Lookup(call.Command)
	if !ok {
		return r.invokeElsewhere(ctx, call, params)
	}
	started := time.Now()
	result, err := r.run(ctx, c, call, params)
	if err != nil {
		err = r.presentable(ctx, call, err)
	}
	r.observe(c.Name, started, err)
	return result, err
}

func (r *Registry) observe(command string, started time.Time, err error) {
	if r.options.Observe == nil {
		return
	}
	kind := ""
	if err != nil {
		kind = clacks.KindOf(err).String()
	}
	r.options.Observe(command, time.Since(started), kind)
}

func (r *Registry) unknown(call *Call) error {
	name := clip(call.Command)
	reason := fmt.Sprintf("no such command %q%s", name, meant(call.Command, r.Names()))
	return &codedError{code: CodeMethodNotFound, cause: &clacks.Error{Op: "rpc.invoke", Kind: clacks.NotFound, Reason: reason}}
}

// run checks the right and calls the command's function, under its time limit, catching a panic.
func (r *Registry) run(ctx context.Context, c *Command, call *Call, params json.RawMessage) (result any, err error) {
	if !r.Allowed(call.User, c) {
		if call.User.Anonymous() {
			return nil, clacks.E(clacks.Unauthenticated, "rpc.invoke", "log in to call %s", c.Name)
		}
		return nil, clacks.E(clacks.Denied, "rpc.invoke", "no right to call %s", c.Name)
	}
	timeout := c.Timeout
	if timeout == 0 {
		timeout = r.options.Timeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	defer func() {
		if cause := recover(); cause != nil {
			result, err = nil, &codedError{code: CodeInternal, cause: &clacks.Error{Op: "rpc." + c.Name, Kind: clacks.Internal,
				Err: fmt.Errorf("panic: %v\n%s", cause, debug.Stack())}}
		}
	}()
	return c.invoke(ctx, call, params)
}

// presentable makes a command's error fit for the client.
func (r *Registry) presentable(ctx context.Context, call *Call, err error) error {
	return Present(ctx, r.options.Log, call.RequestID, err, "command", call.Command, "user", call.User.ID)
}

// ownCommands are those that the registry answers itself.
func (r *Registry) ownCommands() []Command {
	return []Command{
		New(Spec{Name: "rpc.discover", Public: true, Help: "The OpenRPC document that describes all commands."},
			func(context.Context, *Call, None) (*OpenRPC, error) { return r.OpenRPC(), nil }),
		New(Spec{Name: "getMethods", Help: "All commands by name, with their parameters and a sentence of help."},
			func(_ context.Context, _ *Call, _ localeParams) (map[string]Method, error) { return r.methods(), nil }),
	}
}

type localeParams struct {
	Locale string `json:"locale" doc:"a language that the help should be in; only English is known"`
}

// Method describes a command in the words of the legacy getMethods.
type Method struct {
	Name   string   `json:"name"`
	Path   string   `json:"path"`
	Sig    []string `json:"sig"`
	Target string   `json:"target"`
	Type   string   `json:"type"`
	Doc    string   `json:"doc"`
}

func (r *Registry) methods() map[string]Method {
	r.mu.RLock()
	defer r.mu.RUnlock()
	methods := make(map[string]Method, len(r.commands))
	for name, c := range r.commands {
		m := Method{Name: name, Path: name, Sig: []string{}, Target: "core", Type: "READONLY", Doc: c.Help}
		if c.Changes {
			m.Type = "READWRITE"
		}
		for _, p := range c.Params {
			m.Sig = append(m.Sig, p.Name)
		}
		methods[name] = m
	}
	for _, c := range r.foreign() {
		methods[c.Name] = Method{Name: c.Name, Path: c.Name, Sig: append([]string{}, c.Signature...), Target: c.Capability,
			Type: "READWRITE", Doc: c.Documentation}
	}
	return methods
}

// foreign are the commands of others that this registry does not have; its lock is held.
func (r *Registry) foreign() []ForeignCommand {
	if r.elsewhere == nil {
		return nil
	}
	var list []ForeignCommand
	for _, c := range r.elsewhere.Commands() {
		if r.commands[c.Name] == nil {
			list = append(list, c)
		}
	}
	return list
}
