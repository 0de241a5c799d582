// Package bus carries messages between agents and clients: AMQP 1.0 (OASIS Standard, 29 October 2012), or the same without
// a wire. It knows nothing of commands, events or objects.
//
//	rpc, events, cmd            use Bus, Sender, Receiver, Requester; never a transport
//	   |
//	Bus --- container           this process's own nodes: queues, and what a Handler offers; its Connect is a Bus
//	   |       ^
//	   |    listener            AMQP 1.0 for everybody else: sockets, SASL, links -> container
//	   |       ^
//	   |      wire              types, performatives, messages, frames
//	   |
//	   +--- remote              a Bus over go-amqp: an external broker, or the listener of another process
//
// bustest is the suite that every Bus passes.
//
// # What a message goes through
//
// A Sender sends a message to an address and waits for its outcome. Behind an address is a node. A queue keeps messages
// and gives each to one of its receivers, which has credit for it; the receiver settles it with an outcome, and one that
// is lost before is given to the next. A Handler is a node whose messages somebody makes or takes on the spot: the events
// of a subscription, the anonymous node.
//
// # Errors
//
// What the peer or the node refuses is a *Condition, whose name is one of AMQP's or our own; its clacks.Kind comes with it
// (Kind). What is lost with a connection is clacks.Unavailable, or clacks.InDoubt when a message was sent and its outcome
// did not come back.
package bus

import (
	"context"
	"sync/atomic"
	"time"

	"clacks/access"
)

// Bus is one participant's access to a bus. It is safe for concurrent use. After a loss it comes back by itself: senders and
// receivers stay valid, calls wait for the new connection as long as their context allows.
type Bus interface {
	// Sender attaches a sending link. The address "" is the anonymous terminus: each message names its node in To.
	Sender(ctx context.Context, address string, options SenderOptions) (Sender, error)
	// Receiver attaches a receiving link.
	Receiver(ctx context.Context, address string, options ReceiverOptions) (Receiver, error)
	// Close ends all links in order, within the context's time at most, and then hard.
	Close(ctx context.Context) error
}

// SenderOptions are the wishes of who sends.
type SenderOptions struct {
	// Settled: messages are sent without waiting for an outcome (at most once).
	Settled bool
}

// ReceiverOptions are the wishes of who receives.
type ReceiverOptions struct {
	// Credit is how many unsettled deliveries the receiver takes at once; 0 means DefaultCredit. It is given anew as
	// deliveries are settled. Manual: none is given but by Receiver.Issue.
	Credit uint32
	Manual bool
	// Dynamic: the address is "" and the bus makes a node that lives as long as the link; Receiver.Address names it.
	Dynamic bool
	// Settled: deliveries are settled when they are sent (at most once).
	Settled bool
	// Durable: a queue that the attach makes outlives the link and the server.
	Durable bool
	// Name is the link's name; a node may tell by it that a receiver comes back. "" for one that is made.
	Name string
	// Filters of the source. The attach fails when one of them is not applied (but see remote.Dialect).
	Filters []Filter
}

// DefaultCredit is the credit of a receiver that asks for none in particular.
const DefaultCredit = 32

// Filter is one entry of a source's filter set (AMQP 1.0, 3.5.8).
type Filter struct {
	Name       string // the key in the set, free to choose
	Descriptor string // symbolic: "apache.org:xquery-filter:string"
	Code       uint64 // numeric, 0 when there is none
	Value      any
}

// Sender is a sending link. It is safe for concurrent use.
type Sender interface {
	// Send sends a message and waits for its outcome: nil when it was accepted; a *Condition when it was rejected;
	// ErrReleased or a *Modified when it was not taken. The message must not be changed after it.
	Send(ctx context.Context, m *Message) error
	// Address is that of the node.
	Address() string
	Close(ctx context.Context) error
}

// Receiver is a receiving link. Its methods are safe for concurrent use.
type Receiver interface {
	// Receive waits for the next delivery. The node of a Dynamic receiver is lost with the connection; when the receiver has
	// got another, Receive fails with ErrRenewed once, and goes on.
	Receive(ctx context.Context) (*Delivery, error)
	// Issue gives credit, of a Manual receiver.
	Issue(ctx context.Context, credit uint32) error
	// Drain takes back the credit that is not used. It returns when the node has said so: what it sent before is there for
	// Receive, nothing else comes until Issue. Nodes of this process send what they have first, as far as the credit goes
	// (AMQP 1.0, 2.6.7); go-amqp takes the credit away at once.
	Drain(ctx context.Context) error
	// Address is that of the node, for a Dynamic receiver the one that was made; after ErrRenewed it is another.
	Address() string
	Close(ctx context.Context) error
}

// Message is an AMQP 1.0 message (part 3.2). It is read-only once it was sent or received.
type Message struct {
	Header      Header
	Annotations map[string]any // message-annotations
	Delivery    map[string]any // delivery-annotations
	Properties  Properties
	// Application holds the application-properties: values are nil, bool, integers, float32, float64, string, Symbol,
	// []byte, time.Time or UUID.
	Application map[string]any
	// Body is the payload. Text tells an amqp-value of a string from data (or an amqp-value of binary); other bodies
	// are Value.
	Body  []byte
	Text  bool
	Value any // a body that is neither, as decoded; nil otherwise
	// Bare is the encoded bare message (properties, application-properties, body) when it came over a wire: who passes it
	// on sends just these bytes (AMQP 1.0, 3.2: "immutable"). nil for a message that was made here.
	Bare []byte
}

// Header is what nodes may change on the way.
type Header struct {
	Durable       bool
	Priority      uint8         // 0 is sent as the default, 4
	TTL           time.Duration // 0 for ever
	DeliveryCount uint32        // deliveries before this one that failed
	FirstAcquirer bool
}

// Properties are those of the bare message.
type Properties struct {
	MessageID     any // nil, string, uint64, []byte or UUID; the type is kept (3.2.11)
	CorrelationID any // likewise
	UserID        []byte
	To            string
	Subject       string
	ReplyTo       string
	ContentType   string
	Encoding      string
	Expiry        time.Time // absolute
	Created       time.Time
	GroupID       string
	GroupSequence *uint32
	ReplyToGroup  string
}

// UUID is AMQP's uuid.
type UUID [16]byte

// Symbol is AMQP's symbol.
type Symbol string

// Outcome is what became of a delivery (AMQP 1.0, 3.4).
type Outcome uint8

// The outcomes.
const (
	Accepted Outcome = iota
	Rejected
	Released
	ModifiedOutcome
)

// Disposition is an outcome with what belongs to it.
type Disposition struct {
	Outcome   Outcome
	Condition *Condition // of Rejected
	Modified             // of ModifiedOutcome
}

// Err is the outcome as the error of Sender.Send.
func (d Disposition) Err() error {
	switch d.Outcome {
	case Accepted:
		return nil
	case Rejected:
		if d.Condition == nil {
			return &Condition{Name: NotAllowed, Description: "the message was rejected"}
		}
		return d.Condition
	case ModifiedOutcome:
		return &d.Modified
	default:
		return ErrReleased
	}
}

// Modified says how a delivery that was not taken is to be seen (AMQP 1.0, 3.4.5). As an error it is the outcome of a Send.
type Modified struct {
	Failed      bool // the delivery count grows
	Elsewhere   bool // not to this link again
	Annotations map[string]any
}

// Error implements error.
func (m *Modified) Error() string { return "bus: the message was not taken (modified)" }

// Delivery is a message on its way to one receiver. It is settled once: the first outcome counts, later ones do nothing.
// Its methods are safe for concurrent use.
type Delivery struct {
	Message *Message
	settle  func(ctx context.Context, d Disposition) error
	done    atomic.Bool
}

// NewDelivery is for transports: settle is called once at most; nil for a delivery that is settled already.
func NewDelivery(m *Message, settle func(ctx context.Context, d Disposition) error) *Delivery {
	return &Delivery{Message: m, settle: settle}
}

// Settle gives the delivery its outcome. An error means that the node does not know: it may deliver the message again.
func (d *Delivery) Settle(ctx context.Context, disposition Disposition) error {
	if d.done.Swap(true) || d.settle == nil {
		return nil
	}
	return d.settle(ctx, disposition)
}

// Accept says that the message was taken.
func (d *Delivery) Accept(ctx context.Context) error { return d.Settle(ctx, Disposition{}) }

// Reject says that the message is wrong, and why; it is not delivered again.
func (d *Delivery) Reject(ctx context.Context, why *Condition) error {
	return d.Settle(ctx, Disposition{Outcome: Rejected, Condition: why})
}

// Release gives the message back as it was.
func (d *Delivery) Release(ctx context.Context) error {
	return d.Settle(ctx, Disposition{Outcome: Released})
}

// Modify gives the message back, changed.
func (d *Delivery) Modify(ctx context.Context, m Modified) error {
	return d.Settle(ctx, Disposition{Outcome: ModifiedOutcome, Modified: m})
}

// Peer is who stands at the other end of a link.
type Peer struct {
	User       access.User
	Container  string // the container-id of the peer
	Connection string // names the connection, in logs and statistics
	Address    string // of the socket; "" in this process
	Secure     bool   // TLS, loopback, or this process
}
