package events

import (
	"cmp"
	"slices"
	"sort"
	"sync"
	"sync/atomic"

	"clacks/xquery"
)

// The bounds of the window: whoever is further behind reads the log.
const (
	windowEvents = 1024
	windowBytes  = 16 << 20
	// windowParsed is the number of documents that are kept parsed: as many as a subscriber takes at a time. A tree takes
	// some 200 KB, however small its text; whoever is further behind parses again, which costs microseconds.
	windowParsed = batchSize
	// parsedBytes is what the documents that are kept parsed have together; the newest one is kept whatever its size.
	parsedBytes = 2 << 20
)

// window holds the newest events of the log, for all subscribers. The tailer writes, subscribers read. Who has read all
// that there is waits; he is woken by an event that is for him to look at, and by no other.
type window struct {
	mu      sync.Mutex
	entries []*entry // in the order of the log
	size    int      // bytes of their documents
	base    int64    // every event behind base is in the window or not yet published
	last    int64    // the last one that was published
	waiting waiters

	parsed parsedDocuments
}

// entry is one event with the filters that it can match and, while it is among the newest ones, its parsed document.
type entry struct {
	Event
	candidates candidates
	mu         sync.Mutex
	parsed     *parsedDocument
	err        error // of parsing
}

func newWindow(base int64) *window { return &window{base: base, last: base, waiting: newWaiters()} }

// publish appends events and wakes whoever has to look at one of them.
func (w *window) publish(entries []*entry) {
	if len(entries) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range entries {
		w.entries = append(w.entries, e)
		w.size += len(e.Document)
		w.last = e.Sequence
		w.waiting.wake(e)
	}
	w.trim()
}

// trim drops the oldest events until the window is within its bounds; the newest one always stays.
func (w *window) trim() {
	drop := 0
	for n := len(w.entries); n-drop > 1 && (n-drop > windowEvents || w.size > windowBytes); drop++ {
		w.size -= len(w.entries[drop].Document)
		w.base = w.entries[drop].Sequence
	}
	if drop > 0 {
		w.entries = slices.Delete(w.entries, 0, drop)
	}
}

// restart empties the window and lets it begin behind base. Everybody looks for himself whether he has lost something.
func (w *window) restart(base int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting.wakeAll(w.last)
	w.entries, w.size, w.base, w.last = nil, 0, base, base
}

// outlook is what a subscriber finds in the window.
type outlook struct {
	batch   []*entry // events for him to look at
	through int64    // he has been told of everything up to here
	behind  bool     // the window does not reach back to him
	waiting bool     // there is nothing; he will be woken
}

// after fills an empty batch with events behind the subscriber's cursor that are for him to look at, up to its capacity and
// to smallDocument bytes, but one at least. When there is none, he is counted as waiting until he asks again.
func (w *window) after(s *Subscriber, batch []*entry) outlook {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.forget(s)
	at := outlook{batch: batch, through: max(s.cursor, s.passed)}
	if at.through < w.base {
		at.behind = true
		return at
	}
	from := sort.Search(len(w.entries), func(i int) bool { return w.entries[i].Sequence > at.through })
	size := 0
	for _, e := range w.entries[from:] {
		if s.filter != nil && !e.candidates.has(s.filter) {
			continue
		}
		size += len(e.Document)
		// A slow subscriber keeps the batch when the window has left it behind.
		if len(at.batch) == cap(at.batch) || size > smallDocument && len(at.batch) > 0 {
			return at
		}
		at.batch = append(at.batch, e)
	}
	if len(at.batch) == 0 {
		at.through, at.waiting = w.last, true
		w.waiting.add(s)
	}
	return at
}

// forget ends the waiting of a subscriber: nothing of what was published meanwhile was for him.
func (w *window) forget(s *Subscriber) {
	if s.waiting {
		w.waiting.remove(s)
		s.passed = w.last
	}
	select {
	case <-s.woken:
	default:
	}
}

// leave is forget for who does not come back.
func (w *window) leave(s *Subscriber) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.forget(s)
}

// position is that of a subscriber, who is at the end of the log while he waits.
func (w *window) position(s *Subscriber) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.waiting {
		return w.last
	}
	return max(s.position.Load(), s.passed)
}

// waiters are the subscribers who wait, by what they wait for.
type waiters struct {
	anything map[*Subscriber]struct{} // who has to look at every event
	filtered map[*filter]map[*Subscriber]struct{}
	newest   int64 // no filter among them is of a later generation of the matcher
}

func newWaiters() waiters {
	return waiters{anything: map[*Subscriber]struct{}{}, filtered: map[*filter]map[*Subscriber]struct{}{}}
}

func (w *waiters) add(s *Subscriber) {
	s.waiting = true
	if s.filter == nil || s.filter.placement.always {
		w.anything[s] = struct{}{}
		return
	}
	same := w.filtered[s.filter]
	if same == nil {
		same = map[*Subscriber]struct{}{}
		w.filtered[s.filter] = same
	}
	same[s] = struct{}{}
	w.newest = max(w.newest, s.filter.placement.generation)
}

func (w *waiters) remove(s *Subscriber) {
	s.waiting = false
	delete(w.anything, s)
	if same := w.filtered[s.filter]; same != nil {
		if delete(same, s); len(same) == 0 {
			delete(w.filtered, s.filter)
		}
	}
}

// wake wakes those who have to look at an event. They need not look at what was published before it.
func (w *waiters) wake(e *entry) {
	for s := range w.anything {
		w.resume(s, e.Sequence-1)
	}
	if e.candidates.every || w.newest > e.candidates.generation {
		for f, same := range w.filtered {
			if e.candidates.has(f) {
				w.resumeAll(same, e.Sequence-1)
			}
		}
		return
	}
	for f := range e.candidates.filters {
		w.resumeAll(w.filtered[f], e.Sequence-1)
	}
}

// wakeAll wakes everybody; they have been told of everything up to passed.
func (w *waiters) wakeAll(passed int64) {
	w.resumeAll(w.anything, passed)
	for _, same := range w.filtered {
		w.resumeAll(same, passed)
	}
}

func (w *waiters) resumeAll(subscribers map[*Subscriber]struct{}, passed int64) {
	for s := range subscribers {
		w.resume(s, passed)
	}
}

func (w *waiters) resume(s *Subscriber, passed int64) {
	w.remove(s)
	s.passed = passed
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

// parsedDocument is a document tree with the number of those who use it; the last one to let go frees it.
type parsedDocument struct {
	*xquery.Document
	users atomic.Int32
}

func (d *parsedDocument) release() {
	if d.users.Add(-1) == 0 {
		d.Free()
	}
}

// parsedDocuments bounds how many entries hold their tree: the newest that anybody asked for, at most windowParsed and
// parsedBytes.
type parsedDocuments struct {
	mu      sync.Mutex
	entries []*entry
	size    int // bytes of their documents
}

// get is the entry's document, parsed at most once while it is kept; the caller releases it.
func (p *parsedDocuments) get(e *entry) (*parsedDocument, error) {
	d, fresh, err := e.document()
	if err != nil || !fresh {
		return d, err
	}
	for _, oldest := range p.keep(e) {
		oldest.forget()
	}
	return d, nil
}

// document gives the caller a share of the tree; fresh tells that it was parsed just now and that the entry has one too.
func (e *entry) document() (d *parsedDocument, fresh bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err != nil {
		return nil, false, e.err
	}
	if e.parsed != nil {
		e.parsed.users.Add(1)
		return e.parsed, false, nil
	}
	tree, err := parse(e.Document)
	if err != nil {
		e.err = err
		return nil, false, err
	}
	tree.Keep()
	e.parsed = &parsedDocument{Document: tree}
	e.parsed.users.Add(2)
	return e.parsed, true, nil
}

// forget gives up the entry's own share of its tree.
func (e *entry) forget() {
	e.mu.Lock()
	d := e.parsed
	e.parsed = nil
	e.mu.Unlock()
	if d != nil {
		d.release()
	}
}

// keep counts an entry among those with a tree and gives those that must forget their own: the oldest, of which the entry
// itself may be one.
func (p *parsedDocuments) keep(e *entry) []*entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, _ := slices.BinarySearchFunc(p.entries, e.Sequence, func(other *entry, sequence int64) int {
		return cmp.Compare(other.Sequence, sequence)
	})
	p.entries = slices.Insert(p.entries, at, e)
	p.size += len(e.Document)
	drop := 0
	for n := len(p.entries); n-drop > 1 && (n-drop > windowParsed || p.size > parsedBytes); drop++ {
		p.size -= len(p.entries[drop].Document)
	}
	oldest := slices.Clone(p.entries[:drop])
	p.entries = slices.Delete(p.entries, 0, drop)
	return oldest
}

// clear frees every kept tree that nobody uses any more.
func (p *parsedDocuments) clear() {
	p.mu.Lock()
	entries := p.entries
	p.entries, p.size = nil, 0
	p.mu.Unlock()
	for _, e := range entries {
		e.forget()
	}
}

// parse makes the tree that queries work on.
func parse(document []byte) (*xquery.Document, error) {
	return xquery.ParseDocument(document, xquery.ParseLimits{Size: maxStored, Depth: MaxDepth + 1})
}

// maxStored is what a document in the log has at most: what was recorded, with its number.
const maxStored = maxRecorded + 64
