package bus

import "context"

// A Handler is a node of this process whose messages are made or taken on the spot. container.Container calls it for the
// addresses it was registered for, on behalf of links of this process and of the listener alike. Its methods are called
// from many goroutines.
type Handler interface {
	// Source opens what a receiving link reads. A refusal is a *Condition or a *clacks.Error.
	Source(ctx context.Context, q SourceRequest) (Source, error)
	// Target opens what a sending link writes to.
	Target(ctx context.Context, q TargetRequest) (Target, error)
}

// SourceRequest is the attach of a receiver.
type SourceRequest struct {
	Peer    Peer
	Address string
	Link    string // the link's name
	Durable bool
	// Dynamic: Address is "", and the source is that of a node which is made for this link and ends with it. The source
	// is then an Addressed, which names it. Only a container makes such nodes; no Handler is asked for one.
	Dynamic bool
	Filters []Filter
	// Properties of the link, as the peer stated them.
	Properties map[string]any
}

// TargetRequest is the attach of a sender.
type TargetRequest struct {
	Peer       Peer
	Address    string
	Link       string
	Properties map[string]any
}

// Addressed is what a Source of a dynamic node is besides: Address is what senders to that node attach to.
type Addressed interface {
	Address() string
}

// Source gives messages to one link.
type Source interface {
	// Next waits for a message; it is called by one goroutine at a time, when the link has credit. The link settles the
	// delivery, or it is lost with the link: then Close is called with the delivery unsettled, and the source decides
	// what becomes of it. An error ends the link with it.
	Next(ctx context.Context) (*Delivery, error)
	// Ready gives a message that is there without waiting, or nil: a drain asks so.
	Ready() (*Delivery, error)
	// Applied are those of the filters that are in force; the others are not echoed to the peer (AMQP 1.0, 3.5.3).
	Applied() []Filter
	// Close gives everything back that was not settled. expired tells a link that was closed for good from one that is
	// only detached or lost.
	Close(expired bool)
}

// Target takes the messages of one link.
type Target interface {
	// Put takes a message, or says why not, as the outcome. It may wait, which stops the link, not its connection.
	Put(ctx context.Context, m *Message) Disposition
	Close()
}
