package rpc

import (
	"context"
	"encoding/json"
	"reflect"
	"time"

	"clacks/access"
)

// Session is what a door keeps for a client between calls.
type Session interface {
	// ID names the session for what is kept by it. It is no secret and authenticates nobody.
	ID() string
	// Login checks a name and a password and, when they are right, makes the session that user's. A wrong password is no
	// error but a state of the answer.
	Login(ctx context.Context, uid, password string) (Login, error)
	// Logout ends the session.
	Logout(ctx context.Context) error
}

// LoginState is the outcome of a login, as clients of the legacy frontend know it.
type LoginState int

// The states.
const (
	LoginLocked LoginState = 98
	LoginWrong  LoginState = 99
	LoginDone   LoginState = 100
)

// Login is the answer of a login.
type Login struct {
	State LoginState `json:"state" doc:"100 logged in, 99 wrong name or password, 98 too many failures"`
	// Until is when the next attempt is looked at, of LoginLocked only.
	Until int64 `json:"seconds,omitempty" doc:"of state 98: the Unix time in seconds from which a new attempt counts"`
	// Token lets a client without cookies prove its session, as "Authorization: Bearer TOKEN".
	Token string `json:"-"`
}

// Caller is who asks, as a door found out.
type Caller struct {
	User      access.User
	Session   Session     // nil at a door that keeps none
	Errors    *ErrorStore // where the legacy dialect keeps errors for getError; nil for nowhere
	RequestID string      // of the transport's request, for the log
	Address   string      // of the peer, for the log
	// IdempotencyKey makes a change that is asked for twice, because its message came twice, answer the first outcome. It
	// stands where the parameters hold none; "" for none.
	IdempotencyKey string
}

// Call is one invocation of a command, as the command's function sees it.
type Call struct {
	Caller
	Command string
	Legacy  bool // the answer goes out in the legacy dialect: see Timestamp, Date and Binary
}

// Spec is what a command says of itself besides its parameters.
type Spec struct {
	Name string
	Help string // one sentence
	// Public commands may be called by anybody. For all others the caller must be logged in and have Right.
	Public bool
	// Right is asked for with the topic of the command; 0 means access.Execute.
	Right access.Right
	// Timeout bounds one invocation; 0 means the registry's.
	Timeout time.Duration
	// Changes says that the command changes something, for documentation.
	Changes bool
}

// Param is one parameter of a command.
type Param struct {
	Name     string
	Help     string
	Required bool
	Rest     bool // it takes all further positional arguments

	index []int
	typ   reflect.Type
}

// Command is a function with a name. New makes one; the zero Command is refused by Registry.Add.
type Command struct {
	Spec
	Params []Param

	params reflect.Type
	result reflect.Type
	invoke func(ctx context.Context, call *Call, raw json.RawMessage) (any, error)
	err    error // what is wrong with the parameter struct
}

// New makes a command of a function. P is a struct: each exported field is a parameter, in their order for positional
// arguments; fields of embedded structs count as its own. The tag json names it, doc is a sentence of help, required:"true" makes it
// required, rest:"true" lets a last []any or []json.RawMessage field take all further positional arguments. A field of an
// interface type may be given as null. What is wrong with P is reported by Registry.Add.
func New[P, R any](spec Spec, f func(ctx context.Context, call *Call, params P) (R, error)) Command {
	plan, err := planOf(reflect.TypeFor[P]())
	c := Command{Spec: spec, Params: plan.params, params: reflect.TypeFor[P](), result: reflect.TypeFor[R](), err: err}
	c.invoke = func(ctx context.Context, call *Call, raw json.RawMessage) (any, error) {
		var params P
		if err := plan.decode(raw, reflect.ValueOf(&params).Elem()); err != nil {
			return nil, err
		}
		return f(ctx, call, params)
	}
	return c
}

// None is the parameter struct of a command without parameters.
type None struct{}
