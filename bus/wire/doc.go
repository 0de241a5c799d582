// Package wire is the binary form of AMQP 1.0 (OASIS Standard, 29 October 2012): types (part 1), performatives and frames
// (part 2), messages, termini and delivery states (part 3), SASL frames (part 5). It has no state and does no I/O.
//
//	socket -> Header, then the body of one frame -> Parser.Parse -> a performative, and the payload behind it
//	payload of all frames of a delivery -> DecodeMessage -> *bus.Message
//	*bus.Message -> AppendMessage -> payload; a performative and its payload -> AppendFrame -> socket
//
// # What a peer cannot do
//
// Everything that is decoded comes from a stranger. A Reader never reads behind its bytes, never allocates by a size or a
// count that the peer only claims, nests values MaxDepth deep at most, and makes MaxValues values at most, so that the memory for
// a decoded value is bounded by a constant beside that of its bytes. What is wrong is a *bus.Condition, amqp:decode-error,
// that may be told to the peer as it is.
//
// # What is kept
//
// A message keeps its bare part as the bytes that came (bus.Message.Bare): who passes it on sends just these. Values of
// types that Go has no name for are of this package: Map, Array, Described, Char and the Decimals.
package wire
