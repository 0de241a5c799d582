package events

import (
	"context"
	"slices"
	"sync"
	"time"

	"clacks"
)

// maxSubscribers bounds how many may be subscribed at one time.
const maxSubscribers = 10_000

// maxBackoff is the longest pause between two tries to reach a database that is down.
const maxBackoff = 5 * time.Second

// hub is what the subscribers of a log share. While there are any, a tailer feeds their window.
type hub struct {
	log     *Log
	wake    chan struct{} // holds a token when something was committed
	matcher *matcher
	filters filters
	pages   sharedPages

	mu          sync.Mutex
	subscribers map[*Subscriber]struct{}
	window      *window            // nil while nobody is subscribed
	stop        context.CancelFunc // ends the tailer
}

func newHub(l *Log) *hub {
	m := newMatcher()
	return &hub{
		log: l, wake: make(chan struct{}, 1), subscribers: map[*Subscriber]struct{}{}, matcher: m, filters: filters{matcher: m},
	}
}

// notify wakes the tailer.
func (h *hub) notify() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// attach adds a subscriber; the first one starts the tailer, which goes on from the end of the log that he saw.
func (h *hub) attach(s *Subscriber, last int64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.subscribers) >= maxSubscribers {
		return clacks.E(clacks.Limit, "events.subscribe", "%d are subscribed already", maxSubscribers)
	}
	if h.window == nil {
		ctx, stop := context.WithCancel(context.Background())
		h.window, h.stop = newWindow(last), stop
		go h.tail(ctx, h.window, last)
	}
	s.window, s.home = h.window, h.window
	h.subscribers[s] = struct{}{}
	return nil
}

// detach removes a subscriber; the last one stops the tailer.
func (h *hub) detach(s *Subscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.subscribers, s)
	s.window.leave(s)
	if len(h.subscribers) > 0 || h.window == nil {
		return
	}
	h.stop()
	h.window.parsed.clear()
	h.window = nil
}

// tail publishes the events behind last in a window, as they are committed, until the context ends.
func (h *hub) tail(ctx context.Context, w *window, last int64) {
	pause := h.log.poll
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		next, full, err := h.pull(ctx, w, last)
		last = next
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			h.report(err, pause == h.log.poll)
			pause = min(2*pause, max(maxBackoff, h.log.poll))
		case full:
			pause = h.log.poll
			continue
		default:
			pause = h.log.poll
		}
		timer.Reset(pause)
		select {
		case <-ctx.Done():
			return
		case <-h.wake:
		case <-timer.C:
		}
	}
}

// report logs the first of several failures in a row.
func (h *hub) report(err error, first bool) {
	if first {
		h.log.logger.Error("the event log cannot be read; delivery waits", "error", err)
	}
}

// pull publishes one page. It is full when there may be more at once. A gap can only come from pruning: then the window
// starts anew behind it, and whoever needs what was there learns of it from the log.
func (h *hub) pull(ctx context.Context, w *window, last int64) (next int64, full bool, err error) {
	page := make([]Event, 0, 16)
	size := 0
	err = h.log.page(ctx, last, pageRows, func(e Event) {
		page = append(page, e)
		size += len(e.Document)
	})
	if len(page) == 0 {
		return last, false, err
	}
	if page[0].Sequence != last+1 {
		w.restart(page[0].Sequence - 1)
	}
	h.publish(ctx, w, page)
	return page[len(page)-1].Sequence, len(page) == pageRows || size >= pageBytes, err
}

// publish asks once for all who wait whom an event can concern, and publishes some events at a time.
func (h *hub) publish(ctx context.Context, w *window, page []Event) {
	for part := range slices.Chunk(page, batchSize) {
		entries := make([]*entry, len(part))
		for i := range part {
			e := &entry{Event: part[i]}
			e.candidates = h.matcher.candidates(&e.Event, func() (*parsedDocument, error) { return w.parsed.get(e) })
			entries[i] = e
		}
		if ctx.Err() != nil {
			return
		}
		w.publish(entries)
	}
}
