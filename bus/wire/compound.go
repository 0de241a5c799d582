package wire

import "clacks/bus"

// body opens what has a size and a count: the values that follow end at end, unless there is an error.
func (r *Reader) body(wide bool) (n, end int) {
	size := r.size(wide)
	start := r.at
	if wide {
		n = int(r.u32())
	} else {
		n = int(r.u8())
	}
	if r.err == nil && r.at > start+size {
		r.fail("a size of %d has no room for the count", size)
	}
	return n, start + size
}

// closed checks that the values filled their size.
func (r *Reader) closed(end int) {
	if r.err == nil && r.at != end {
		r.fail("the size of a list, map or array is not that of its values")
	}
}

func (r *Reader) compound(c byte) any {
	if !r.enter() {
		return nil
	}
	defer r.leave()
	n, end := r.body(c >= 0xd0)
	switch c {
	case codeList8, codeList32:
		return r.list(n, end)
	case codeMap8, codeMap32:
		return r.pairs(n, end)
	}
	r.wrong(c, "type of AMQP 1.0")
	return nil
}

// room is how much to allocate for n values that are claimed to follow.
func room(n int) int { return min(n, 16) }

func (r *Reader) list(n, end int) []any {
	items := make([]any, 0, room(n))
	for range n {
		if r.err != nil {
			return nil
		}
		items = append(items, r.Value())
	}
	r.closed(end)
	return items
}

func (r *Reader) pairs(n, end int) Map {
	if n%2 != 0 {
		r.fail("a map of %d values", n)
		return nil
	}
	pairs := make(Map, 0, room(n/2))
	seen := make(map[any]struct{}, room(n/2))
	for range n / 2 {
		key := r.Value()
		value := r.Value()
		if r.err != nil {
			return nil
		}
		if k, ok := comparable(key); ok {
			if _, twice := seen[k]; twice {
				r.fail("a map has the key %v twice", key)
				return nil
			}
			seen[k] = struct{}{}
		}
		pairs = append(pairs, Pair{key, value})
	}
	r.closed(end)
	return pairs
}

// comparable is a key as one that Go can compare; binaries become strings of a type of their own.
func comparable(key any) (any, bool) {
	type binary string
	switch k := key.(type) {
	case []byte:
		return binary(k), true
	case []any, Map, Array, Described:
		return nil, false
	}
	return key, true
}

func (r *Reader) array(c byte) any {
	if c != codeArray8 && c != codeArray32 {
		r.wrong(c, "type of AMQP 1.0")
		return nil
	}
	if !r.enter() {
		return nil
	}
	defer r.leave()
	n, end := r.body(c == codeArray32)
	a := Array{Code: r.code()}
	if a.Code == codeDescribed {
		a.Descriptor = r.Value()
		if a.Code = r.code(); a.Code == codeDescribed {
			r.fail("an array whose items are described twice")
		}
	}
	// Items without bytes of their own, such as null, would make a small array a large one.
	if r.err != nil || !r.count(n) {
		return nil
	}
	a.Items = make([]any, 0, room(n))
	for range n {
		item := r.value(a.Code)
		if r.err != nil {
			return nil
		}
		a.Items = append(a.Items, item)
	}
	r.closed(end)
	return a
}

// skip passes over a value by its size, without looking at what it holds.
func (r *Reader) skip() {
	c := r.code()
	for described := 0; c == codeDescribed && r.err == nil; described++ {
		if described == MaxDepth {
			r.fail("values nest deeper than %d", MaxDepth)
			return
		}
		if !r.enter() {
			return
		}
		r.skip()
		r.leave()
		c = r.code()
	}
	switch c >> 4 {
	case 0x4:
	case 0x5:
		r.take(1)
	case 0x6:
		r.take(2)
	case 0x7:
		r.take(4)
	case 0x8:
		r.take(8)
	case 0x9:
		r.take(16)
	case 0xa, 0xc, 0xe:
		r.take(r.size(false))
	case 0xb, 0xd, 0xf:
		r.take(r.size(true))
	default:
		r.wrong(c, "type of AMQP 1.0")
	}
}

// descriptor reads the descriptor of a described value: a number, or the number of a name of AMQP's own. A name that is
// not AMQP's is returned with the number 0.
func (r *Reader) descriptor() (uint64, bus.Symbol) {
	if c := r.code(); c != codeDescribed {
		r.wrong(c, "described value")
		return 0, ""
	}
	if r.at < len(r.b) && r.b[r.at]&0x0f == 0x03 && r.b[r.at] >= codeSym8 {
		name := r.Text()
		return descriptors[name], bus.Symbol(name)
	}
	return r.Ulong(), ""
}

// simpleMap reads a map whose keys are strings or symbols; keys that are numbers are reserved by AMQP and left out. Values
// are of any type, or, when simple is set, of none that holds others.
func (r *Reader) simpleMap(simple bool) map[string]any {
	c := r.code()
	if c != codeMap8 && c != codeMap32 {
		r.wrong(c, "map")
		return nil
	}
	if !r.enter() {
		return nil
	}
	defer r.leave()
	n, end := r.body(c == codeMap32)
	if n%2 != 0 {
		r.fail("a map of %d values", n)
		return nil
	}
	m := make(map[string]any, room(n/2))
	for range n / 2 {
		key, value := r.Value(), r.Value()
		if r.err != nil {
			return nil
		}
		if !r.entry(m, key, value, simple) {
			return nil
		}
	}
	r.closed(end)
	return m
}

func (r *Reader) entry(m map[string]any, key, value any, simple bool) bool {
	if simple {
		switch value.(type) {
		case []any, Map, Array, Described:
			r.fail("a map of simple values holds another")
			return false
		}
	}
	var name string
	switch k := key.(type) {
	case string:
		name = k
	case bus.Symbol:
		name = string(k)
	case uint64:
		return true
	default:
		r.fail("a map's key is neither a string nor a symbol")
		return false
	}
	if _, twice := m[name]; twice {
		r.fail("a map has the key %q twice", name)
		return false
	}
	m[name] = value
	return true
}

// fields are those of a composite: a described list whose missing and trailing fields are null.
type fields struct {
	r    *Reader
	left int
	end  int
}

// open begins the list of a composite, after its descriptor.
func (r *Reader) open() fields {
	if !r.enter() {
		return fields{r: r}
	}
	switch c := r.code(); c {
	case codeList0:
		return fields{r: r, end: r.at}
	case codeList8, codeList32:
		n, end := r.body(c == codeList32)
		return fields{r: r, left: n, end: end}
	default:
		r.wrong(c, "list")
		return fields{r: r}
	}
}

// close checks that all fields were known and are within the size.
func (f *fields) close() {
	r := f.r
	r.leave()
	if f.left > 0 && r.err == nil {
		r.fail("a composite has %d fields more than it should", f.left)
	}
	r.closed(f.end)
}

// next tells whether there is another field that is not null.
func (f *fields) next() bool {
	if f.left == 0 || f.r.err != nil {
		return false
	}
	f.left--
	return !f.r.null()
}

// must is next for a field that has to be there.
func (f *fields) must(name string) bool {
	if f.next() {
		return true
	}
	f.r.fail("the field %q is missing", name)
	return false
}

// Uint is an optional number.
type Uint struct {
	V   uint32
	Set bool
}

// Some is a number that is there.
func Some(v uint32) Uint { return Uint{v, true} }

// Or is the number, or another when there is none.
func (u Uint) Or(v uint32) uint32 {
	if u.Set {
		return u.V
	}
	return v
}

func (f *fields) bool(otherwise bool) bool {
	if !f.next() {
		return otherwise
	}
	return f.r.Bool()
}

func (f *fields) ubyte(otherwise uint8) uint8 {
	if !f.next() {
		return otherwise
	}
	return f.r.Ubyte()
}

func (f *fields) ushort(otherwise uint16) uint16 {
	if !f.next() {
		return otherwise
	}
	return f.r.Ushort()
}

func (f *fields) uint() Uint {
	if !f.next() {
		return Uint{}
	}
	return Uint{f.r.Uint(), true}
}

func (f *fields) ulong() uint64 {
	if !f.next() {
		return 0
	}
	return f.r.Ulong()
}

func (f *fields) text() string {
	if !f.next() {
		return ""
	}
	return f.r.Text()
}

func (f *fields) binary() []byte {
	if !f.next() {
		return nil
	}
	return f.r.Binary()
}

func (f *fields) skip() {
	if f.next() {
		f.r.skip()
	}
}

func (f *fields) properties() map[string]any {
	if !f.next() {
		return nil
	}
	return f.r.simpleMap(false)
}

// symbols is a field of several symbols: one of them, or an array (AMQP 1.0, 1.4).
func (f *fields) symbols() []bus.Symbol {
	if !f.next() {
		return nil
	}
	switch v := f.r.Value().(type) {
	case bus.Symbol:
		return []bus.Symbol{v}
	case Array:
		symbols := make([]bus.Symbol, 0, len(v.Items))
		for _, item := range v.Items {
			s, ok := item.(bus.Symbol)
			if !ok {
				f.r.fail("an array of symbols holds something else")
				return nil
			}
			symbols = append(symbols, s)
		}
		return symbols
	case nil:
		return nil
	}
	f.r.fail("symbols are wanted")
	return nil
}
