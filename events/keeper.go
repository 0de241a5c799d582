package events

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"clacks/internal/store"
)

// The keeper writes how far the consumers of this process are: all of them in one transaction, and only now and then,
// since a crash may make events be delivered again but a write for each would cost a wait for the disk. A row is moved
// only by the consumer of its latest epoch; who finds that it is not his has been replaced.

// reapEvery is how often subscriptions whose lease has ended are removed.
const reapEvery = 15 * time.Second

// hurry makes the keeper look at once.
func (s *Subscriptions) hurry() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run keeps the subscriptions until the context ends: it writes what was handled, ends consumers that were replaced by
// another agent's, and removes what nobody asks for any more. What is left to write it writes in the end.
func (s *Subscriptions) Run(ctx context.Context) {
	ticker := time.NewTicker(s.limits.Flush)
	defer ticker.Stop()
	var failing bool
	var reaped time.Time
	for ctx.Err() == nil {
		err := s.flush(ctx)
		if err == nil && time.Since(reaped) > reapEvery {
			reaped = time.Now()
			err = s.reap(ctx, reaped)
		}
		if err != nil && !failing && ctx.Err() == nil {
			s.logger.Error("the progress of subscriptions cannot be written; a crash now would repeat events", "error", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
		case <-ticker.C:
		case <-s.wake:
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), resolveTime)
	defer cancel()
	if err := s.flush(last); err != nil {
		s.logger.Warn("the progress of subscriptions could not be written; events will be repeated", "error", err)
	}
}

// kept is what the keeper has to write for one consumer.
type kept struct {
	consumer *Consumer
	now      progress
	closing  bool
}

// flush writes the progress of all consumers who have made some, and of those who ended.
// One writes at a time: who asks for a flush wants what was handled before to be written when it returns.
func (s *Subscriptions) flush(ctx context.Context) error {
	select {
	case s.writing <- struct{}{}:
		defer func() { <-s.writing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	s.mu.Lock()
	var all []kept
	for _, c := range s.closing {
		all = append(all, kept{consumer: c, closing: true})
	}
	s.closing = nil
	for _, c := range s.open {
		all = append(all, kept{consumer: c})
	}
	s.mu.Unlock()
	var idle, changed []kept
	for _, k := range all {
		k.now = k.consumer.progress()
		if k.closing || s.due(k.consumer, k.now) {
			changed = append(changed, k)
		} else {
			idle = append(idle, k)
		}
	}
	err := s.write(ctx, changed)
	if err == nil && len(idle) > 0 {
		err = s.verify(ctx, idle)
	}
	return err
}

// looksEvery is how often it is written that a consumer has looked at events that were not for him: a crash makes them only
// be looked at again.
const looksEvery = 10 * time.Second

// due reports whether a consumer's progress has to be written, or its lease be renewed.
func (s *Subscriptions) due(c *Consumer, now progress) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	age := time.Since(c.writtenAt)
	if !c.record.durable && !c.record.relayed && age > s.limits.Lease/2 {
		return true
	}
	return now.counts != c.written.counts || now != c.written && age > looksEvery
}

// maxWrites is the number of rows that one transaction changes.
const maxWrites = 500

func (s *Subscriptions) write(ctx context.Context, changed []kept) error {
	for part := range slices.Chunk(changed, maxWrites) {
		statements := make([]store.Statement, len(part))
		for i, k := range part {
			statements[i] = s.statement(&k)
		}
		results, err := s.db.Exec(ctx, statements...)
		if err != nil {
			s.putBack(part)
			return fmt.Errorf("write the progress of subscriptions: %w", err)
		}
		for i, k := range part {
			if results[i].Rows == 0 {
				s.lost(ctx, k.consumer)
				continue
			}
			k.consumer.mu.Lock()
			k.consumer.written, k.consumer.writtenAt = k.now, time.Now()
			k.consumer.mu.Unlock()
		}
	}
	return nil
}

// statement writes one consumer's progress, if the subscription is still his.
func (s *Subscriptions) statement(k *kept) store.Statement {
	r := &k.consumer.record
	set := `handled = ?, delivered = ?, rejected = ?, failed = ?, last_error = ?, attached = ?`
	args := []any{k.now.handled, k.now.counts.delivered, k.now.counts.rejected, k.now.counts.failed, column(k.now.lastError), !k.closing}
	if !r.relayed {
		set, args = set+`, lease = ?`, append(args, s.lease(r.durable))
	}
	return store.Statement{SQL: `UPDATE clacks_subscriptions SET ` + set + ` WHERE id = ? AND epoch = ?`, Args: append(args, r.id, r.epoch)}
}

// putBack makes those who ended be written the next time.
func (s *Subscriptions) putBack(part []kept) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range part {
		if k.closing {
			s.closing = append(s.closing, k.consumer)
		}
	}
}

// verify finds out whether the subscriptions of idle consumers are still theirs.
func (s *Subscriptions) verify(ctx context.Context, idle []kept) error {
	epochs := map[string]int64{}
	err := s.db.Query(ctx, `SELECT id, epoch FROM clacks_subscriptions WHERE attached = ?`, []any{true}, func(scan func(...any) error) error {
		var id string
		var epoch int64
		err := scan(&id, &epoch)
		epochs[id] = epoch
		return err
	})
	if err != nil {
		return fmt.Errorf("read the subscriptions: %w", err)
	}
	for _, k := range idle {
		if epochs[k.consumer.record.id] != k.consumer.record.epoch {
			s.lost(ctx, k.consumer)
		}
	}
	return nil
}

// lost ends a consumer whose subscription another one serves, or nobody any more.
func (s *Subscriptions) lost(ctx context.Context, c *Consumer) {
	why := error(errStolen)
	if r, err := s.record(ctx, ` WHERE id = ?`, c.record.id); err == nil && r == nil {
		why = errRemoved
	}
	s.mu.Lock()
	if s.open[c.record.id] == c {
		delete(s.open, c.record.id)
	}
	s.mu.Unlock()
	c.finish(why)
}

// reap removes the subscriptions whose lease has ended.
func (s *Subscriptions) reap(ctx context.Context, now time.Time) error {
	_, err := s.db.Exec(ctx, store.Statement{
		SQL: `DELETE FROM clacks_subscriptions WHERE durable = ? AND lease < ?`, Args: []any{false, now.UnixMicro()},
	})
	if err != nil {
		return fmt.Errorf("remove subscriptions: %w", err)
	}
	return nil
}

// asRows reports whether a statement changed another number of rows than it had to.
func asRows(err error) bool {
	var rows *store.RowsError
	return errors.As(err, &rows)
}
