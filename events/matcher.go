package events

import (
	"sync"

	"clacks/xquery"
)

// matcher finds the filters that an event can match without asking all of them. Each filter's query requires something
// (xquery.Query.Requires): that there are certain nodes, and that some have certain values.
//
//	add        condition -> the keys of which a matching event must have one: the rarest that there are
//	candidates event -> its own keys, by one walk through its tree -> the filters under them whose condition holds
//
// A key is a place, or a place and a value. Places make a trie (matchertrie.go), so that an event is looked through only
// where somebody wants to know something. Whoever requires nothing that can be looked up is a candidate always. A filter
// that is not a candidate does not match; whether a candidate does is the query's to say.
//
// A matcher is safe for concurrent use; candidates of several events are found at the same time.
type matcher struct {
	mu         sync.RWMutex
	generation int64 // grows with every filter that is added
	filters    int
	always     bucket
	trie       trie
}

func newMatcher() *matcher { return &matcher{trie: newTrie()} }

// placement is where a filter stands in a matcher.
type placement struct {
	generation int64 // the matcher's when the filter was added; 0 outside of one
	always     bool
	condition  condition
	keys       []key
}

// condition is an xquery.Condition whose places are looked up already.
type condition struct {
	is      xquery.ConditionKind
	parts   []condition
	node    *node
	text    string
	number  float64
	numeric bool
}

// add makes a filter known. Adding one again changes nothing.
func (m *matcher) add(f *filter) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f.placement.generation != 0 {
		return
	}
	m.generation++
	m.filters++
	p := placement{generation: m.generation, condition: m.condition(f)}
	keys, _, ok := cover(&p.condition)
	if p.keys = keys; ok {
		for i := range keys {
			keys[i].add(f)
		}
	} else {
		p.always = true
		m.always.add(f)
	}
	f.placement = p
}

// The places that one filter may add, and that all may. They are memory that a client decides on; a filter that wants more
// is evaluated more often instead.
const (
	maxOwnNodes = 512
	maxNodes    = 1 << 20
)

// condition is what the filter requires, or nothing when its places would be too many.
func (m *matcher) condition(f *filter) condition {
	before := m.trie.nodes
	c := m.trie.resolve(f.requires)
	if m.trie.nodes-before > maxOwnNodes || m.trie.nodes > maxNodes && m.trie.nodes > before {
		m.trie.release(&c)
		return condition{}
	}
	return c
}

// remove forgets a filter.
func (m *matcher) remove(f *filter) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := &f.placement
	if p.generation == 0 {
		return
	}
	for i := range p.keys {
		p.keys[i].remove(f)
	}
	if p.always {
		m.always.remove(f)
	}
	m.trie.release(&p.condition)
	m.filters--
	f.placement = placement{}
}

// candidates are the filters that an event can match.
type candidates struct {
	generation int64 // the matcher's: what was added later has not been asked
	every      bool  // all filters are candidates
	filters    map[*filter]struct{}
}

// has reports whether a filter has to be asked. f must be in the matcher.
func (c *candidates) has(f *filter) bool {
	if c.every || f.placement.always || f.placement.generation > c.generation {
		return true
	}
	_, found := c.filters[f]
	return found
}

// maxLooked is the size of a document above which nobody waits for a look inside: all filters are candidates.
const maxLooked = 4 << 20

// candidates looks an event up. tree is asked for only when something inside of the document decides.
func (m *matcher) candidates(e *Event, tree func() (*parsedDocument, error)) candidates {
	m.mu.RLock()
	defer m.mu.RUnlock()
	found := candidates{generation: m.generation}
	if m.filters == m.always.len() {
		return found
	}
	s := newSurvey(&m.trie)
	defer s.done()
	s.variables(e)
	if !m.trie.looksInside(e.Type) {
		s.outline(e.Type)
	} else {
		if len(e.Document) > maxLooked {
			found.every = true
			return found
		}
		document, err := tree()
		if err != nil {
			found.every = true // each will have the error
			return found
		}
		s.document(document)
		document.release()
	}
	for _, f := range s.hits {
		if _, known := found.filters[f]; !known && s.holds(&f.placement.condition) {
			if found.filters == nil {
				found.filters = make(map[*filter]struct{}, 8)
			}
			found.filters[f] = struct{}{}
		}
	}
	return found
}

// key is what an event has or has not: a node at a place, or one with a value.
type key struct {
	node    *node
	is      xquery.ConditionKind // Exists or Equals
	text    string
	number  float64
	numeric bool
}

func (k *key) bucket() bucket {
	switch {
	case k.is == xquery.Exists:
		return k.node.present
	case k.numeric:
		return k.node.numbers[k.number]
	}
	return k.node.texts[k.text]
}

func (k *key) add(f *filter) {
	b := k.bucket()
	b.add(f)
	k.store(b)
}

func (k *key) remove(f *filter) {
	b := k.bucket()
	b.remove(f)
	k.store(b)
}

// store puts a changed bucket back.
func (k *key) store(b bucket) {
	switch {
	case k.is == xquery.Exists:
		k.node.present = b
	case k.numeric:
		k.node.numbers = stored(k.node.numbers, k.number, b)
	default:
		k.node.texts = stored(k.node.texts, k.text, b)
	}
}

func stored[K comparable](buckets map[K]bucket, value K, b bucket) map[K]bucket {
	if b.len() == 0 {
		delete(buckets, value)
		return buckets
	}
	if buckets == nil {
		buckets = map[K]bucket{}
	}
	buckets[value] = b
	return buckets
}

// What a key costs, by the number of events that are expected to have it, in some unit: values are rarer than places, and
// what is anywhere in a document is to be expected more than what has its place. Every filter under a key adds a one.
const (
	placeCost = 1000
	deepCost  = 100
	maxKeys   = 4096 // of one filter
)

// cover finds keys of which every event has one that fulfils the condition, those that cost the least. It is not ok when
// there are none.
func cover(c *condition) (keys []key, cost int, ok bool) {
	switch c.is {
	case xquery.Never:
		return nil, 0, true
	case xquery.Exists, xquery.Equals:
		k := key{node: c.node, is: c.is, text: c.text, number: c.number, numeric: c.numeric}
		cost = 1 + k.bucket().len()
		if c.is == xquery.Exists {
			cost += placeCost
		}
		if c.node.deep {
			cost += deepCost
		}
		return []key{k}, cost, true
	case xquery.All:
		for i := range c.parts {
			k, n, found := cover(&c.parts[i])
			if found && (!ok || n < cost) {
				keys, cost, ok = k, n, true
			}
		}
		return keys, cost, ok
	case xquery.Any:
		for i := range c.parts {
			k, n, found := cover(&c.parts[i])
			if !found || len(keys)+len(k) > maxKeys {
				return nil, 0, false
			}
			keys, cost = append(keys, k...), cost+n
		}
		return keys, cost, true
	}
	return nil, 0, false
}

// bucket is a set of filters; mostly it has one.
type bucket struct {
	one  *filter
	more map[*filter]struct{}
}

func (b *bucket) add(f *filter) {
	if b.one == nil || b.one == f {
		b.one = f
		return
	}
	if b.more == nil {
		b.more = map[*filter]struct{}{}
	}
	b.more[f] = struct{}{}
}

func (b *bucket) remove(f *filter) {
	if b.one != f {
		delete(b.more, f)
		return
	}
	b.one = nil
	for other := range b.more {
		b.one = other
		delete(b.more, other)
		return
	}
}

func (b bucket) len() int {
	if b.one == nil {
		return 0
	}
	return 1 + len(b.more)
}

func (b bucket) appendTo(filters []*filter) []*filter {
	if b.one != nil {
		filters = append(filters, b.one)
	}
	for f := range b.more {
		filters = append(filters, f)
	}
	return filters
}
