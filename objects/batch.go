package objects

import (
	"context"
	"errors"
	"sync"
	"time"

	"clacks"
	"clacks/internal/store"
)

// batcher runs transactions that are ready at the same time as one, on SQLite: it has one writer, and each commit waits
// for the disk, so that transactions of their own would stand in line; together they wait once. Nothing is delayed to fill
// a batch: while one is written, the next gathers. (PostgreSQL does the same by itself.)
//
// A statement that refuses takes its own job out of the batch, and the others run without it.
type batcher struct {
	db       database
	recorder Recorder

	mu    sync.Mutex
	queue []*job
	busy  bool
}

// job is one transaction: statements, and the events that it records last.
type job struct {
	statements []store.Statement
	events     []Changed

	results  []store.Result // of the statements
	sequence int64          // of the last event
	err      error          // a *store.RowsError or *store.ConstraintError counts from the job's own first statement
	done     chan struct{}
}

const (
	batchJobs       = 64
	batchStatements = 1000
	batchTimeout    = 30 * time.Second
)

// run runs a job in some batch and returns when it is over; then job.err says how. The context is asked before only: a
// transaction that was sent has an outcome, and that is waited for.
func (b *batcher) run(ctx context.Context, j *job) error {
	if err := ctx.Err(); err != nil {
		return clacks.E(clacks.Unavailable, "objects.batch", "the request was given up: %w", err)
	}
	j.done = make(chan struct{})
	b.mu.Lock()
	b.queue = append(b.queue, j)
	lead := !b.busy
	b.busy = true
	b.mu.Unlock()
	if lead {
		if b.next(); b.waiting() {
			go b.drain()
		}
	}
	<-j.done
	return j.err
}

// waiting reports whether there is a next batch, and ends the lead when there is none.
func (b *batcher) waiting() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.busy = len(b.queue) > 0
	return b.busy
}

func (b *batcher) drain() {
	for more := true; more; more = b.waiting() {
		b.next()
	}
}

// next takes what has gathered and runs it.
func (b *batcher) next() {
	b.mu.Lock()
	n, statements := 0, 0
	for n < len(b.queue) && n < batchJobs && (n == 0 || statements+len(b.queue[n].statements) <= batchStatements) {
		statements += len(b.queue[n].statements)
		n++
	}
	jobs := append([]*job(nil), b.queue[:n]...)
	b.queue = append(b.queue[:0], b.queue[n:]...)
	b.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), batchTimeout)
	defer cancel()
	for len(jobs) > 0 {
		jobs = b.together(ctx, jobs)
	}
}

// together runs jobs as one transaction. When a statement of one refuses, that one is over and the others are returned.
func (b *batcher) together(ctx context.Context, jobs []*job) []*job {
	var all []store.Statement
	var events []Changed
	starts := make([]int, len(jobs))
	for i, j := range jobs {
		starts[i] = len(all)
		all = append(all, j.statements...)
		events = append(events, j.events...)
	}
	if len(events) > 0 {
		recorded, err := b.recorder.Record(events)
		if err != nil {
			return b.unrecorded(jobs, err)
		}
		all = append(all, recorded...)
	}
	results, err := b.db.Exec(ctx, all...)
	if err == nil {
		b.over(jobs, starts, results, len(events))
		return nil
	}
	if i, own := guilty(err, starts, jobs); i >= 0 {
		jobs[i].end(own)
		return append(jobs[:i:i], jobs[i+1:]...)
	}
	for _, j := range jobs {
		j.end(err)
	}
	return nil
}

// unrecorded finds out whose events cannot be recorded; the others run without it.
func (b *batcher) unrecorded(jobs []*job, err error) []*job {
	if len(jobs) == 1 {
		jobs[0].end(err)
		return nil
	}
	var rest []*job
	for _, j := range jobs {
		if len(j.events) > 0 {
			if _, err := b.recorder.Record(j.events); err != nil {
				j.end(err)
				continue
			}
		}
		rest = append(rest, j)
	}
	return rest
}

// over gives each job its results, and the number of its last event.
func (b *batcher) over(jobs []*job, starts []int, results []store.Result, events int) {
	last := int64(0)
	if events > 0 {
		last = results[len(results)-1].Value
	}
	recorded := 0
	for i, j := range jobs {
		recorded += len(j.events)
		j.results = results[starts[i] : starts[i]+len(j.statements)]
		if len(j.events) > 0 {
			j.sequence = last - int64(events-recorded)
		}
		j.end(nil)
	}
}

func (j *job) end(err error) {
	j.err = err
	close(j.done)
}

// guilty is the index of the job whose statement refused, and the error as counted from its first statement; -1 when it
// is not the fault of one job.
func guilty(err error, starts []int, jobs []*job) (int, error) {
	var rows *store.RowsError
	var constraint *store.ConstraintError
	index := -1
	switch {
	case errors.As(err, &rows):
		index = rows.Index
	case errors.As(err, &constraint):
		index = constraint.Index
	}
	for i, start := range starts {
		own := index - start
		if index < 0 || own < 0 || own >= len(jobs[i].statements) {
			continue
		}
		if rows != nil {
			return i, &store.RowsError{Index: own, Got: rows.Got, Want: rows.Want}
		}
		c := *constraint
		c.Index = own
		return i, &c
	}
	return -1, err
}

// batched is the state database with its transactions in batches, for the journal.
type batched struct {
	database
	batches *batcher
}

// Exec implements journal.Database.
func (b batched) Exec(ctx context.Context, statements ...store.Statement) ([]store.Result, error) {
	j := &job{statements: statements}
	if err := b.batches.run(ctx, j); err != nil {
		return nil, err
	}
	return j.results, nil
}
