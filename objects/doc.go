// Package objects is the object service: it opens, changes, checks and commits objects over all their backends, and
// finds them by an index in the state database.
//
// # How data flows
//
//	request -> rights (access) -> load: index row -> shape -> one read a backend, together (known.go: or from memory, for
//	           an update whose plan then asserts what it took from there) -> mapping.Inbound
//	        -> edits: the object before and after, and every other object that refers to it (edit.go, references.go)
//	        -> checks: mapping.Check, container, dependencies between extensions; all wrong fields in one error
//	        -> plan: mapping.Outbound, names, value-by-value changes of entries, index rows, events (plan.go)
//	        -> commit: below
//
// Get reads the backends; Search reads the index only. Every commit keeps the index current in the transaction that
// is its commit point, so a search after a commit finds what was committed.
//
// # The order of a commit
//
//  1. Plan (plan.go). No effect. A dry run ends here.
//  2. Prepare (journal.Prepare): one state transaction writes the journal row "prepared" with the sealed plan, locks
//     every touched object, checks their versions, and reserves unique values. Durable before any backend is touched.
//  3. Check (commit.go): nobody moves or removes the parents of new names, nor gives names below what is moved or
//     removed. The rows of SQL backends in the state database are written, in a transaction that is not committed, so
//     that their constraints refuse here. On PostgreSQL that transaction is opened in one round trip with 2, behind its
//     commit, and the server goes on with the index's values while 4 is done. (On SQLite, which has one writer, it is
//     rolled back and repeated in 5.)
//  4. Apply: one atomic change an entry in every other backend, in order, each under its guard; the entry's version
//     after it is kept.
//  5. Commit point: one state transaction with what 3 wrote, the index rows with the versions of 4, the journal's
//     "prepared -> committed", the release of the locks, and the event rows. On SQLite, transactions that are ready at
//     the same time are one (batch.go). On PostgreSQL others may see it a moment before it is on disk; the caller is told
//     after that. When the server crashes in between, the row is "prepared" again, and recovery does the same once more.
//     Where a commit waits for its turn, it begins now, and its step 2 puts both on disk.
//  6. The event log is told that there is something to deliver. Nothing after 5 can fail the request.
//
// A definite refusal at 3, or at the first change of 4: roll back, "aborted", nothing was changed. A later refusal: the
// changes before it are taken back value by value under the guard of their own versions (undo.go), then "aborted". No
// answer (clacks.InDoubt): the touched values are read back and the same guarded change is sent again until one of both
// shows what is true (resolve.go); a request that arrives late finds its guard false. If the backend stays silent the
// row stays "prepared", the caller gets clacks.InDoubt, and the recovery loop ends it.
//
// # A crash
//
//	crash after        recovery (recover.go) finds                     and does
//	1 plan             nothing                                         nothing
//	2 prepare          prepared; all entries as before                 abort: row "aborted", locks and reservations freed
//	3 check            the same: the open transaction is gone          abort
//	4 apply, i of n    prepared; entries 1..i as after, rest before    applies the rest, then 5; undoes 1..i if one refuses
//	4 apply, all       prepared; all entries as after                  5 anew: rows, events and journal from the plan
//	5 commit point     committed                                       nothing
//	in undo            prepared; partly                                as "i of n"
//	in recovery        the same as before it: every action is found by reading, and done once
//
// Entries are compared by the touched values only: those that the change adds and deletes, the name of a rename, the
// existence of a created or deleted entry with our UUID. An entry that shows neither side was written by somebody else:
// the row is "parked", an error is logged and counted, and nothing is overwritten.
//
// Owners are fenced: each start of a process takes a higher epoch; recovery claims a row by writing its own owner and
// epoch into it; the commit point of step 5 requires the epoch of step 2. Two processes never both commit one plan.
//
// # Who waits for whom
//
// Touched objects, and the names that they get, are locked by rows of the state database from 2 to 5, all at once or not
// at all, so there is no order to keep. Who gives a name looks in 3 whether somebody else has locked the parent; who moves
// or removes an object looks in 3 whether somebody else has locked a name below it. Both lock before they look, so at
// least the later one sees the other and gives way: a parent stays where it is until what was put below it is committed
// or taken back, however long that takes. A conflict with another commit is planned anew, a bounded number of times; a
// client that named a version gets clacks.Conflict instead.
package objects
