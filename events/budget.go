package events

import (
	"context"
	"runtime"

	"golang.org/x/sync/semaphore"
)

// The bounds of what all subscribers hold together beside the window, in bytes. A document of at most smallDocument is
// not counted: what everybody may hold of that size is bounded by the number of subscribers.
const (
	smallDocument = 64 << 10
	// heldBytes is for documents that were read from the log, and once more for copies of which something was cut. They
	// are held until the slowest of their subscribers has taken them.
	heldBytes = 64 << 20
	// treeBytes is for the trees of documents that are parsed for one subscriber, and once more for those of copies of
	// which something was cut. They are held for one evaluation.
	treeBytes = 128 << 20
	// A tree takes treeBase and some treeFactor times its document.
	treeBase, treeFactor = 200 << 10, 20
)

// budget is an amount of memory that is waited for, first come, first served.
type budget struct {
	room     *semaphore.Weighted
	capacity int64
}

func newBudget(capacity int64) *budget {
	return &budget{room: semaphore.NewWeighted(capacity), capacity: capacity}
}

// take waits for an amount; one above the capacity takes the whole. The error is the context's.
func (b *budget) take(ctx context.Context, amount int64) (release func(), err error) {
	amount = min(amount, b.capacity)
	if err := b.room.Acquire(ctx, amount); err != nil {
		return nil, err
	}
	return func() { b.room.Release(amount) }, nil
}

// budgets are those of a log. Who holds of one takes only of those that stand behind it, so that nobody waits in a circle:
// pages, copies, trees.
type budgets struct {
	pages, copies          *budget
	replayTrees, liveTrees *budget
	leastTree              int64 // an evaluation takes this at least, so that replay leaves processors to the others
}

func newBudgets() *budgets {
	return &budgets{
		pages: newBudget(heldBytes), copies: newBudget(heldBytes),
		replayTrees: newBudget(treeBytes), liveTrees: newBudget(treeBytes),
		leastTree: treeBytes / max(1, int64(runtime.GOMAXPROCS(0))/2),
	}
}

// copied waits for room for a copy of a document.
func (b *budgets) copied(ctx context.Context, size int) (release func(), err error) {
	if size <= smallDocument {
		return func() {}, nil
	}
	return b.copies.take(ctx, int64(size))
}

// replayTree waits for room for the tree of a document out of the log.
func (b *budgets) replayTree(ctx context.Context, size int) (release func(), err error) {
	return b.replayTrees.take(ctx, max(b.leastTree, treeBase+treeFactor*int64(size)))
}

// liveTree waits for room for the tree of a document of which something was cut. It is never held for longer than an
// evaluation takes.
func (b *budgets) liveTree(ctx context.Context, size int) (release func(), err error) {
	return b.liveTrees.take(ctx, treeBase+treeFactor*int64(size))
}
