package wire

import "clacks/bus"

// composite appends a described list. Trailing fields that are missing are not sent.
type composite struct {
	b     []byte
	start int // of the list
	count int // fields, with those that are missing
	last  int // the last field that is there, and where it ends
	end   int
}

func openComposite(b []byte, id byte) composite {
	b = append(b, codeDescribed, codeSmallUlong, id)
	start := len(b)
	b = openCompound(b)
	return composite{b: b, start: start, end: len(b)}
}

func (c *composite) close() []byte {
	b := c.b[:c.end]
	if c.last == 0 {
		return append(b[:c.start], codeList0)
	}
	return closeCompound(b, c.start, c.last, codeList8, codeList32)
}

func (c *composite) null() {
	c.b = append(c.b, codeNull)
	c.count++
}

// put ends a field that is there.
func (c *composite) put(b []byte) {
	c.b = b
	c.count++
	c.last, c.end = c.count, len(b)
}

func (c *composite) bool(v, otherwise bool) {
	if v == otherwise {
		c.null()
		return
	}
	c.put(appendBool(c.b, v))
}

func (c *composite) ubyte(v, otherwise uint8) {
	if v == otherwise {
		c.null()
		return
	}
	c.put(append(c.b, codeUbyte, v))
}

func (c *composite) ushort(v uint16) { c.put(appendU16(append(c.b, codeUshort), v)) }

func (c *composite) uint(v Uint) {
	if !v.Set {
		c.null()
		return
	}
	c.put(appendUint(c.b, v.V))
}

func (c *composite) uintOr(v, otherwise uint32) { c.uint(Uint{v, v != otherwise}) }

func (c *composite) ulong(v uint64) { c.put(appendUlong(c.b, v)) }

func (c *composite) text(s string) { c.put(appendString(c.b, s)) }

// some is a string that may be missing.
func (c *composite) some(s string) {
	if s == "" {
		c.null()
		return
	}
	c.text(s)
}

func (c *composite) symbol(s bus.Symbol) {
	if s == "" {
		c.null()
		return
	}
	c.put(appendSymbol(c.b, s))
}

func (c *composite) symbols(s []bus.Symbol) {
	if len(s) == 0 {
		c.null()
		return
	}
	c.put(appendSymbols(c.b, s))
}

func (c *composite) binary(v []byte) {
	if v == nil {
		c.null()
		return
	}
	c.put(appendBinary(c.b, v))
}

// properties is a map with symbols as keys. One whose values have no form in AMQP is left out: it is nobody's but our own
// mistake, and must not cost the frame.
func (c *composite) properties(m map[string]any) {
	if len(m) == 0 {
		c.null()
		return
	}
	e := encoder{}
	b := e.symbolMap(c.b, m)
	if e.err != nil {
		c.null()
		return
	}
	c.put(b)
}

func (c *composite) condition(v *bus.Condition) {
	if v == nil {
		c.null()
		return
	}
	g := openComposite(c.b, idError)
	g.put(appendSymbol(g.b, v.Name))
	g.some(v.Description)
	g.properties(v.Info)
	c.put(g.close())
}

func (c *composite) state(s State) {
	if s.Kind == NoState || s.Kind == Transactional {
		c.null()
		return
	}
	c.put(appendState(c.b, s))
}

func (c *composite) source(s *Source) {
	if s == nil {
		c.null()
		return
	}
	c.put(appendSource(c.b, s))
}

func (c *composite) target(t *Target) {
	if t == nil {
		c.null()
		return
	}
	c.put(appendTarget(c.b, t))
}

func (c *composite) filters(filters []bus.Filter) {
	if len(filters) == 0 {
		c.null()
		return
	}
	e := encoder{}
	b := c.b
	start := len(b)
	b = openCompound(b)
	for _, f := range filters {
		b = appendSymbol(b, f.Name)
		v := f.Value
		switch {
		case f.Descriptor != "":
			v = Described{bus.Symbol(f.Descriptor), f.Value}
		case f.Code != 0:
			v = Described{f.Code, f.Value}
		}
		b = e.value(b, v, MaxDepth)
	}
	if e.err != nil {
		c.null()
		return
	}
	c.put(closeCompound(b, start, 2*len(filters), codeMap8, codeMap32))
}
