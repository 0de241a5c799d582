package wire

import "clacks/bus"

// Performative is the body of a frame.
type Performative interface {
	// Append appends the encoded performative.
	Append(b []byte) []byte
}

// The performatives (AMQP 1.0, 2.7) and the SASL frames (5.3.3); fields are named as there. A number with a default that is not zero
// is decoded as that default when it is missing.
type (
	// Open is the first frame of a connection.
	Open struct {
		ContainerID, Hostname string
		MaxFrameSize          uint32
		ChannelMax            uint16
		IdleTimeout           uint32 // milliseconds; 0 for none
		Offered, Desired      []bus.Symbol
		Properties            map[string]any
	}
	// Begin is the first frame of a session.
	Begin struct {
		RemoteChannel                                  Uint
		NextOutgoingID, IncomingWindow, OutgoingWindow uint32
		HandleMax                                      uint32
		Offered, Desired                               []bus.Symbol
		Properties                                     map[string]any
	}
	// Attach opens a link, or says that it cannot be opened: then the terminus of who answers is nil.
	Attach struct {
		Name                 string
		Handle               uint32
		Receiver             bool // the role of who sends the frame
		SenderSettleMode     uint8
		ReceiverSettleMode   uint8
		Source               *Source
		Target               *Target
		Coordinator          bool // the target is a transaction coordinator; Target is nil
		InitialDeliveryCount Uint
		MaxMessageSize       uint64 // 0 for no limit
		Offered, Desired     []bus.Symbol
		Properties           map[string]any
	}
	// Flow updates the state of a session, and of a link when Handle is set.
	Flow struct {
		NextIncomingID                                 Uint
		IncomingWindow, NextOutgoingID, OutgoingWindow uint32
		Handle, DeliveryCount, LinkCredit, Available   Uint
		Drain, Echo                                    bool
	}
	// Transfer carries a message or a part of one.
	Transfer struct {
		Handle     uint32
		DeliveryID Uint
		Tag        []byte
		Format     Uint
		Settled    bool
		More       bool
		State      State
		Aborted    bool
	}
	// Disposition tells what became of the deliveries First to Last.
	Disposition struct {
		Receiver bool // the role of who sends the frame
		First    uint32
		Last     Uint
		Settled  bool
		State    State
	}
	// Detach ends a link, for good when Closed.
	Detach struct {
		Handle uint32
		Closed bool
		Error  *bus.Condition
	}
	// End ends a session.
	End struct{ Error *bus.Condition }
	// Close ends a connection.
	Close struct{ Error *bus.Condition }

	// Mechanisms are what the server offers.
	Mechanisms struct{ Names []bus.Symbol }
	// Init is the mechanism that the client has chosen.
	Init struct {
		Mechanism bus.Symbol
		Response  []byte
		Hostname  string
	}
	// Challenge is the server's.
	Challenge struct{ Challenge []byte }
	// Response is the client's.
	Response struct{ Response []byte }
	// Outcome ends the authentication.
	Outcome struct {
		Code       uint8
		Additional []byte
	}
)

// The codes of Outcome.
const (
	OutcomeOK        = 0
	OutcomeAuth      = 1 // the credentials are wrong
	OutcomeSystem    = 2 // something failed
	OutcomePermanent = 3
	OutcomeTemporary = 4
)

// The settle modes.
const (
	SenderUnsettled = 0
	SenderSettled   = 1
	SenderMixed     = 2
	ReceiverFirst   = 0
	ReceiverSecond  = 1
)

// The descriptors (AMQP 1.0, 2.7, 2.8.14, 3.2, 3.4, 3.5, 4.5, 5.3.3).
const (
	idOpen                  = 0x10
	idBegin                 = 0x11
	idAttach                = 0x12
	idFlow                  = 0x13
	idTransfer              = 0x14
	idDisposition           = 0x15
	idDetach                = 0x16
	idEnd                   = 0x17
	idClose                 = 0x18
	idError                 = 0x1d
	idReceived              = 0x23
	idAccepted              = 0x24
	idRejected              = 0x25
	idReleased              = 0x26
	idModified              = 0x27
	idSource                = 0x28
	idTarget                = 0x29
	idDeleteOnClose         = 0x2b
	idCoordinator           = 0x30
	idDeclared              = 0x33
	idTransactional         = 0x34
	idMechanisms            = 0x40
	idInit                  = 0x41
	idChallenge             = 0x42
	idResponse              = 0x43
	idOutcome               = 0x44
	idHeader                = 0x70
	idDeliveryAnnotations   = 0x71
	idMessageAnnotations    = 0x72
	idProperties            = 0x73
	idApplicationProperties = 0x74
	idData                  = 0x75
	idSequence              = 0x76
	idValue                 = 0x77
	idFooter                = 0x78
)

// descriptors are the symbolic forms, which peers may send in place of the numbers.
var descriptors = map[string]uint64{
	"amqp:open:list": idOpen, "amqp:begin:list": idBegin, "amqp:attach:list": idAttach, "amqp:flow:list": idFlow,
	"amqp:transfer:list": idTransfer, "amqp:disposition:list": idDisposition, "amqp:detach:list": idDetach,
	"amqp:end:list": idEnd, "amqp:close:list": idClose, "amqp:error:list": idError, "amqp:received:list": idReceived,
	"amqp:accepted:list": idAccepted, "amqp:rejected:list": idRejected, "amqp:released:list": idReleased,
	"amqp:modified:list": idModified, "amqp:source:list": idSource, "amqp:target:list": idTarget,
	"amqp:delete-on-close:list": idDeleteOnClose, "amqp:coordinator:list": idCoordinator,
	"amqp:declared:list": idDeclared, "amqp:transactional-state:list": idTransactional,
	"amqp:sasl-mechanisms:list": idMechanisms, "amqp:sasl-init:list": idInit, "amqp:sasl-challenge:list": idChallenge,
	"amqp:sasl-response:list": idResponse, "amqp:sasl-outcome:list": idOutcome, "amqp:header:list": idHeader,
	"amqp:delivery-annotations:map": idDeliveryAnnotations, "amqp:message-annotations:map": idMessageAnnotations,
	"amqp:properties:list": idProperties, "amqp:application-properties:map": idApplicationProperties,
	"amqp:data:binary": idData, "amqp:amqp-sequence:list": idSequence, "amqp:amqp-value:*": idValue,
	"amqp:footer:map": idFooter,
}
