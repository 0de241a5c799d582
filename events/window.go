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

// window holds the newest events of the log, for all subscribers. The tailer writes, subscribers read.
type window struct {
	mu      sync.Mutex
	entries []*entry // in the order of the log
	size    int      // bytes of their documents
	base    int64    // every event behind base is in the window or not yet published
	changed chan struct{}

	parsed parsedDocuments
}

// entry is one event and, while it is among the newest ones, its parsed document.
type entry struct {
	Event
	mu     sync.Mutex
	parsed *parsedDocument
	err    error // of parsing
}

func newWindow(base int64) *window { return &window{base: base, changed: make(chan struct{})} }

// publish appends events and wakes whoever waits.
func (w *window) publish(events []Event) {
	if len(events) == 0 {
		return
	}
	fresh := make([]entry, len(events))
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range events {
		fresh[i].Event = events[i]
		w.entries = append(w.entries, &fresh[i])
		w.size += len(events[i].Document)
	}
	w.trim()
	close(w.changed)
	w.changed = make(chan struct{})
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

// restart empties the window and lets it begin behind base.
func (w *window) restart(base int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.entries, w.size, w.base = nil, 0, base
}

// after fills an empty batch with events behind a cursor, up to its capacity and to smallDocument bytes, but one at least. It is behind when the window does not
// reach back that far. When there is nothing yet, wait is closed at the next publication.
func (w *window) after(cursor int64, batch []*entry) (found []*entry, wait <-chan struct{}, behind bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if cursor < w.base {
		return batch, nil, true
	}
	from := sort.Search(len(w.entries), func(i int) bool { return w.entries[i].Sequence > cursor })
	if from == len(w.entries) {
		return batch, w.changed, false
	}
	size := 0
	for _, e := range w.entries[from:] {
		size += len(e.Document)
		// A slow subscriber keeps the batch when the window has left it behind.
		if len(batch) == cap(batch) || size > smallDocument && len(batch) > 0 {
			break
		}
		batch = append(batch, e)
	}
	return batch, nil, false
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
