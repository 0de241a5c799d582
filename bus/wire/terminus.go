package wire

import "clacks/bus"

// Source is where the messages of a link come from (AMQP 1.0, 3.5.3).
type Source struct {
	Address          string
	Durable          uint32 // 0 none, 1 configuration, 2 unsettled state
	Expiry           bus.Symbol
	Timeout          uint32 // seconds
	Dynamic          bool
	DistributionMode bus.Symbol
	Filters          []bus.Filter
	Default          State
	Outcomes         []bus.Symbol
	Capabilities     []bus.Symbol
}

// Target is where they go to (AMQP 1.0, 3.5.4). Address "" is the anonymous terminus, unless Dynamic.
type Target struct {
	Address      string
	Durable      uint32
	Expiry       bus.Symbol
	Timeout      uint32
	Dynamic      bool
	Capabilities []bus.Symbol
}

// StateKind is what a State is.
type StateKind uint8

// The kinds of a State.
const (
	NoState       StateKind = iota
	Terminal                // an outcome
	Received                // some of the message has come: no outcome
	Transactional           // of a transaction: not supported
)

// State is the state of a delivery (AMQP 1.0, 3.4); Outcome counts when it is Terminal.
type State struct {
	Kind    StateKind
	Outcome bus.Disposition
}

// Outcome is an outcome as a State.
func OutcomeState(d bus.Disposition) State { return State{Kind: Terminal, Outcome: d} }

// state reads a delivery state.
func (f *fields) state() State {
	if !f.next() {
		return State{}
	}
	r := f.r
	id, _ := r.descriptor()
	g := r.open()
	defer g.close()
	switch id {
	case idAccepted:
		return State{Kind: Terminal}
	case idRejected:
		return State{Kind: Terminal, Outcome: bus.Disposition{Outcome: bus.Rejected, Condition: g.condition()}}
	case idReleased:
		return State{Kind: Terminal, Outcome: bus.Disposition{Outcome: bus.Released}}
	case idModified:
		d := bus.Disposition{Outcome: bus.ModifiedOutcome}
		d.Failed, d.Elsewhere, d.Annotations = g.bool(false), g.bool(false), g.properties()
		return State{Kind: Terminal, Outcome: d}
	case idReceived:
		g.skip()
		g.skip()
		return State{Kind: Received}
	case idTransactional, idDeclared:
		g.skip()
		g.skip()
		return State{Kind: Transactional}
	}
	r.fail("%#02x is no delivery state", id)
	return State{}
}

// condition reads an error.
func (f *fields) condition() *bus.Condition {
	if !f.next() {
		return nil
	}
	r := f.r
	if id, _ := r.descriptor(); id != idError {
		r.fail("%#02x is no error", id)
		return nil
	}
	g := r.open()
	defer g.close()
	c := &bus.Condition{}
	if g.must("condition") {
		c.Name = r.Text()
	}
	c.Description, c.Info = g.text(), g.properties()
	return c
}

// address reads an address: a string; other types are for addresses that Clacks does not have.
func (f *fields) address() string { return f.text() }

func (f *fields) source() *Source {
	if !f.next() {
		return nil
	}
	r := f.r
	if id, _ := r.descriptor(); id != idSource {
		r.fail("%#02x is no source", id)
		return nil
	}
	g := r.open()
	defer g.close()
	s := &Source{Address: g.address(), Durable: g.uint().V, Expiry: bus.Symbol(g.text()), Timeout: g.uint().V, Dynamic: g.bool(false)}
	g.skip() // dynamic-node-properties: the lifetime is always that of the link
	s.DistributionMode, s.Filters, s.Default = bus.Symbol(g.text()), g.filters(), g.state()
	s.Outcomes, s.Capabilities = g.symbols(), g.symbols()
	return s
}

// filters reads a filter-set: descriptors are numbers or symbols.
func (f *fields) filters() []bus.Filter {
	if !f.next() {
		return nil
	}
	r := f.r
	m, ok := r.Value().(Map)
	if !ok {
		r.fail("a filter set is no map")
		return nil
	}
	filters := make([]bus.Filter, 0, len(m))
	for _, p := range m {
		filter := bus.Filter{}
		switch k := p.Key.(type) {
		case bus.Symbol:
			filter.Name = string(k)
		case string:
			filter.Name = k
		default:
			r.fail("the name of a filter is no symbol")
			return nil
		}
		filter.Value = p.Value
		if d, described := p.Value.(Described); described {
			filter.Value = d.Value
			switch descriptor := d.Descriptor.(type) {
			case bus.Symbol:
				filter.Descriptor = string(descriptor)
			case uint64:
				filter.Code = descriptor
			}
		}
		filters = append(filters, filter)
	}
	return filters
}

// target reads a target; coordinator tells that it is that of transactions.
func (f *fields) target() (t *Target, coordinator bool) {
	if !f.next() {
		return nil, false
	}
	r := f.r
	id, _ := r.descriptor()
	g := r.open()
	defer g.close()
	switch id {
	case idCoordinator:
		g.skip()
		return nil, true
	case idTarget:
		t = &Target{Address: g.address(), Durable: g.uint().V, Expiry: bus.Symbol(g.text()), Timeout: g.uint().V, Dynamic: g.bool(false)}
		g.skip()
		t.Capabilities = g.symbols()
		return t, false
	}
	r.fail("%#02x is no target", id)
	return nil, false
}

// appendState appends a state; there has to be one.
func appendState(b []byte, s State) []byte {
	if s.Kind == Received {
		c := openComposite(b, idReceived)
		c.uint(Some(0))
		c.ulong(0)
		return c.close()
	}
	d := &s.Outcome
	switch d.Outcome {
	case bus.Rejected:
		c := openComposite(b, idRejected)
		c.condition(d.Condition)
		return c.close()
	case bus.Released:
		return append(b, codeDescribed, codeSmallUlong, idReleased, codeList0)
	case bus.ModifiedOutcome:
		c := openComposite(b, idModified)
		c.bool(d.Failed, false)
		c.bool(d.Elsewhere, false)
		c.properties(d.Annotations)
		return c.close()
	}
	return append(b, codeDescribed, codeSmallUlong, idAccepted, codeList0)
}

func appendSource(b []byte, s *Source) []byte {
	c := openComposite(b, idSource)
	if s.Address == "" {
		c.null()
	} else {
		c.text(s.Address)
	}
	c.uintOr(s.Durable, 0)
	c.symbol(s.Expiry)
	c.uintOr(s.Timeout, 0)
	c.bool(s.Dynamic, false)
	c.null()
	c.symbol(s.DistributionMode)
	c.filters(s.Filters)
	c.state(s.Default)
	c.symbols(s.Outcomes)
	c.symbols(s.Capabilities)
	return c.close()
}

func appendTarget(b []byte, t *Target) []byte {
	c := openComposite(b, idTarget)
	if t.Address == "" {
		c.null()
	} else {
		c.text(t.Address)
	}
	c.uintOr(t.Durable, 0)
	c.symbol(t.Expiry)
	c.uintOr(t.Timeout, 0)
	c.bool(t.Dynamic, false)
	c.null()
	c.symbols(t.Capabilities)
	return c.close()
}
