// Package listener is the embedded AMQP 1.0 server (OASIS Standard, 29 October 2012): it lets peers that nobody here
// wrote, from the open internet, use the nodes of a bus.Handler, which is a container.Container.
//
//	net.Listener -> Listener   counts and bounds connections, in all, by address, and those that are not open yet
//	   |
//	   conn  reader            one goroutine: protocol headers, TLS, SASL, then frames -> sessions -> links
//	   |     writer            one goroutine: takes what was appended meanwhile, and writes it at once
//	   |
//	   session                 windows of both directions, delivery numbers, what is not settled
//	   |
//	   outLink                 one goroutine: credit -> bus.Source.Next -> transfer; dispositions -> Delivery.Settle
//	   inLink                  one goroutine: transfers -> bus.Target.Put -> disposition, credit
//
// # State
//
// A connection has one lock, for its sessions, links, and what is to be written. It is never held while somebody else's code
// runs (the handler's, the authenticator's) or while anything is written, so that a slow client, node or login stalls
// nobody. What is to be written goes into one buffer, which bounds itself: links wait when it is full, the reader waits when it is
// fuller, and a peer that does not take it in time is cut off.
//
// # What a stranger can make it hold
//
// Limits bounds all of it: connections, their time until they are open, sessions, links and their rate, frames and
// messages, what was received and not yet taken by the nodes (by the session's window, which closes with the memory), what was
// sent and is not settled. Memory is allocated as bytes come, not as sizes claim.
//
// # Errors
//
// The peer is told by the condition that the specification names: what is wrong with a message is its outcome (rejected),
// with a link its detach, with a session its end, with a connection its close. Bytes that are not AMQP end the connection.
//
// # Who is asking
//
// SASL PLAIN is offered over TLS and on this machine only, EXTERNAL to clients with a verified certificate, ANONYMOUS when it was
// switched on. SCRAM is not offered: it needs a verifier of its own kind for each user, and passwords are kept as argon2id
// hashes or checked by binding to a directory. Failed logins are throttled by address, and by address and name.
package listener
