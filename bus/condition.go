package bus

import (
	"errors"

	"clacks"
)

// Condition is an AMQP error (AMQP 1.0, 2.8.14): why a link was refused, a message rejected, a connection closed.
type Condition struct {
	Name        string // "amqp:unauthorized-access"
	Description string // one sentence for people, without secrets
	Info        map[string]any
}

// The conditions of AMQP 1.0 (2.8.15 to 2.8.18) that Clacks uses.
const (
	InternalError     = "amqp:internal-error"
	NotFound          = "amqp:not-found"
	Unauthorized      = "amqp:unauthorized-access"
	DecodeError       = "amqp:decode-error"
	LimitExceeded     = "amqp:resource-limit-exceeded"
	NotAllowed        = "amqp:not-allowed"
	InvalidField      = "amqp:invalid-field"
	NotImplemented    = "amqp:not-implemented"
	ResourceLocked    = "amqp:resource-locked"
	PreconditionFail  = "amqp:precondition-failed"
	ResourceDeleted   = "amqp:resource-deleted"
	IllegalState      = "amqp:illegal-state"
	FrameSizeTooSmall = "amqp:frame-size-too-small"
	ConnectionForced  = "amqp:connection:forced"
	FramingError      = "amqp:connection:framing-error"
	WindowViolation   = "amqp:session:window-violation"
	ErrantLink        = "amqp:session:errant-link"
	HandleInUse       = "amqp:session:handle-in-use"
	UnattachedHandle  = "amqp:session:unattached-handle"
	DetachForced      = "amqp:link:detach-forced"
	TransferLimit     = "amqp:link:transfer-limit-exceeded"
	MessageTooLarge   = "amqp:link:message-size-exceeded"
	LinkStolen        = "amqp:link:stolen"
)

// ErrReleased is the outcome of a Send whose message was given back: nobody took it, it may be sent again.
var ErrReleased = errors.New("bus: the message was released")

// ErrRenewed tells a Dynamic receiver once that its node was lost, with all messages on their way to it, and that it has
// another.
var ErrRenewed = errors.New("bus: the dynamic node was lost and made again")

// Error is the name and the description.
func (c *Condition) Error() string {
	if c.Description == "" {
		return c.Name
	}
	return c.Name + ": " + c.Description
}

var kinds = map[string]clacks.Kind{
	NotFound: clacks.NotFound, ResourceDeleted: clacks.NotFound,
	Unauthorized: clacks.Denied, NotAllowed: clacks.Invalid,
	LimitExceeded: clacks.Limit, MessageTooLarge: clacks.Limit, TransferLimit: clacks.Limit, FrameSizeTooSmall: clacks.Limit,
	DecodeError: clacks.Invalid, InvalidField: clacks.Invalid, NotImplemented: clacks.Invalid, PreconditionFail: clacks.Conflict,
	ResourceLocked: clacks.Conflict, ConnectionForced: clacks.Unavailable, DetachForced: clacks.Unavailable,
	LinkStolen: clacks.Conflict,
}

// Kind is the class of a condition; clacks.Internal for one that nobody knows.
func (c *Condition) Kind() clacks.Kind { return kinds[c.Name] }

var names = map[clacks.Kind]string{
	clacks.Unauthenticated: Unauthorized, clacks.Denied: Unauthorized, clacks.NotFound: NotFound, clacks.Invalid: InvalidField,
	clacks.NotUnique: ResourceLocked, clacks.InUse: ResourceLocked, clacks.Conflict: ResourceLocked, clacks.Limit: LimitExceeded,
}

// ConditionOf is an error as the peer is told: a *Condition as it is, a *clacks.Error by its kind and reason, and nothing of
// what else it holds.
func ConditionOf(err error) *Condition {
	var c *Condition
	if errors.As(err, &c) {
		return c
	}
	var e *clacks.Error
	if errors.As(err, &e) && names[e.Kind] != "" {
		return &Condition{Name: names[e.Kind], Description: e.Reason}
	}
	return &Condition{Name: InternalError}
}
