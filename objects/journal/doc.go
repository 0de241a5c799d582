// Package journal makes a commit of package objects durable: it holds what must survive a crash between the moment that
// a plan is decided and the moment that it is done.
//
//	Intent (plan, locks, version checks, reservations) -> Prepare: one state transaction, row "prepared"
//	Committed / Aborted / Parked: the statements that end the row, run by the caller in its own transactions
//	Pending, Claim: the rows of owners that died, for recovery
//	Step: one change of one backend entry, with what to compare and how to take it back (step.go)
//
// The plan itself is opaque here. It is stored under AES-256-GCM with the operation's id as associated data, since it
// holds values of backends before and after a change, and secrets are among them, and is forgotten when the operation has
// ended (seal.go); a header for people stays readable.
// The package never talks to a backend and never decides what is true: that is objects' work.
package journal
