package ldap

import (
	"context"
	"fmt"
	"strings"

	ber "github.com/go-asn1-ber/asn1-ber"
	goldap "github.com/go-ldap/ldap/v3"

	"clacks"
	"clacks/backends"
	"clacks/internal/dn"
)

// attempts bounds how often a change is planned again because the entry changed, or was renamed, between reading and
// writing. Each time another writer has succeeded.
const attempts = 50

// OpenLDAP looks for each value that is to be deleted among all that the entry has, some milliseconds each in a group of
// 100,000 members, and holds up all other changes meanwhile. More than manyDeletes are therefore said by what remains; more
// than maxDeletes take too long even so, since each is taken out of an index.
const (
	manyDeletes = 100
	maxDeletes  = 20_000
)

// Apply makes one change by one LDAP operation, so that the server applies it as a whole or not at all. A connection
// that is lost after the request may have left is clacks.InDoubt.
func (b *Backend) Apply(ctx context.Context, c backends.Change) (backends.Result, error) {
	op := "ldap." + string(c.Op)
	switch c.Op {
	case backends.OpCreate:
		return b.create(ctx, op, c)
	case backends.OpModify, backends.OpRename, backends.OpDelete:
	default:
		return backends.Result{}, clacks.E(clacks.Invalid, "ldap.apply", "%q is not a change", c.Op)
	}
	if c.Ref.DN != "" {
		return b.change(ctx, op, c)
	}
	if c.Guard.UUID != "" && !strings.EqualFold(c.Guard.UUID, c.Ref.UUID) {
		return backends.Result{}, clacks.E(clacks.Conflict, op, "the entry carries another UUID")
	}
	c.Guard.UUID = c.Ref.UUID
	for range attempts {
		entry, err := b.Read(ctx, backends.Ref{UUID: c.Ref.UUID}, nil)
		if err != nil {
			return backends.Result{}, err
		}
		c.Ref.DN = entry.DN
		result, err := b.change(ctx, op, c)
		if !clacks.IsKind(err, clacks.NotFound) || c.Op == backends.OpRename {
			return result, err
		}
	}
	return backends.Result{}, clacks.E(clacks.Conflict, op, "the entry is renamed all the time")
}

// change makes a change of an existing entry that is named by its DN.
func (b *Backend) change(ctx context.Context, op string, c backends.Change) (backends.Result, error) {
	switch {
	case c.Op == backends.OpModify:
		return b.modify(ctx, op, c)
	case len(c.Guard.Old) > 0:
		return b.careful(ctx, op, c)
	}
	return b.send(ctx, op, c, b.guard(c.Guard), nil)
}

// guard is the assertion for a version and a UUID; nil when neither is given.
func (b *Backend) guard(g backends.Guard) goldap.Control {
	filter := ber.Encode(ber.ClassContext, ber.TypeConstructed, goldap.FilterAnd, nil, "And")
	if g.Version != "" {
		filter.AppendChild(equality(versionAttribute, g.Version))
	}
	if g.UUID != "" {
		filter.AppendChild(equality(b.options.UUIDAttribute, g.UUID))
	}
	if len(filter.Children) == 0 {
		return nil
	}
	return newAssertion(filter)
}

// equality is the filter attribute = value as a request has it (RFC 4511, section 4.5.1.7).
func equality(attribute, value string) *ber.Packet {
	filter := ber.Encode(ber.ClassContext, ber.TypeConstructed, goldap.FilterEqualityMatch, nil, "Equality Match")
	filter.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, attribute, "Attribute"))
	filter.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, value, "Value"))
	return filter
}

// send makes the request for a change. Changes are those of a modify.
func (b *Backend) send(ctx context.Context, op string, c backends.Change, guard goldap.Control, changes []goldap.Change) (backends.Result, error) {
	var controls []goldap.Control
	if c.Op != backends.OpDelete {
		read, err := b.postRead(ctx, op, c)
		if err != nil {
			return backends.Result{}, err
		}
		controls = append(controls, read)
	}
	if guard != nil {
		controls = append(controls, guard)
	}
	switch c.Op {
	case backends.OpDelete:
		request := goldap.NewDelRequest(c.Ref.DN, controls)
		return b.write(ctx, op, func(c *conn) error { return c.Del(request) })
	case backends.OpRename:
		request, err := renameRequest(op, c.Ref.DN, c.To.DN)
		if err != nil {
			return backends.Result{}, err
		}
		request.Controls = controls
		result, err := b.write(ctx, op, func(c *conn) error { return c.ModifyDN(request) })
		return result, nameFault(op, c.To.DN, err)
	}
	request := &goldap.ModifyRequest{DN: c.Ref.DN, Changes: changes, Controls: controls}
	after, err := b.writeAndRead(ctx, op, func(c *conn) error { return c.Modify(request) })
	if err != nil {
		return backends.Result{}, err
	}
	return b.shown(ctx, c, after), nil
}

// postRead is the control that asks for what a change wants to know of the entry after it.
func (b *Backend) postRead(ctx context.Context, op string, c backends.Change) (goldap.Control, error) {
	if c.Op != backends.OpModify || len(c.Want) == 0 {
		return postRead, nil
	}
	key := strings.Join(c.Want, " ")
	if known, ok := b.postReads.Load(key); ok {
		return known.(goldap.Control), nil
	}
	s, err := b.schema(ctx)
	if err != nil {
		return nil, err
	}
	names, err := b.attributes(op, c.Want, s)
	if err != nil {
		return nil, err
	}
	control := newPostRead(names)
	if b.kept.Add(1) <= maxPostReads {
		b.postReads.Store(key, control)
	}
	return control, nil
}

// maxPostReads bounds the controls that are kept: there is one for each combination of types, as long as the definitions stay.
const maxPostReads = 1000

// shown is the result of a modification after which the server has shown the entry, or nil.
func (b *Backend) shown(ctx context.Context, c backends.Change, after *result) backends.Result {
	known := backends.Result{Version: after.version()}
	if len(c.Want) == 0 || known.Version == "" {
		return known
	}
	if s, err := b.schema(ctx); err == nil {
		known.Entry = b.entry(after, c.Want, s)
	}
	return known
}

// renameRequest moves the entry only when its parent changes: to a server that is not the same.
func renameRequest(op, from, to string) (*goldap.ModifyDNRequest, error) {
	if err := dn.Validate(to); err != nil || to == "" {
		return nil, clacks.E(clacks.Invalid, op, "the new name %q is not a name", to)
	}
	superior := dn.Parent(to)
	if superior == "" {
		return nil, clacks.E(clacks.NotFound, op, "the new name %q has no parent", to)
	}
	if dn.Equal(superior, dn.Parent(from)) {
		superior = ""
	}
	return goldap.NewModifyDNRequest(from, dn.RDN(to), true, superior), nil
}

// create adds an entry; its UUID is chosen by us through the relax control where only the server sets it otherwise.
func (b *Backend) create(ctx context.Context, op string, c backends.Change) (backends.Result, error) {
	if c.Ref.DN == "" {
		return backends.Result{}, clacks.E(clacks.Invalid, op, "the new entry has no name")
	}
	for name := range c.Add {
		if !isAttribute(name) {
			return backends.Result{}, badAttribute(op, name)
		}
	}
	s, err := b.schema(ctx)
	if err != nil {
		return backends.Result{}, err
	}
	request := goldap.NewAddRequest(c.Ref.DN, []goldap.Control{postRead})
	if request.Attributes, err = s.newAttributes(c.Add); err != nil {
		return backends.Result{}, err
	}
	if c.Ref.UUID != "" {
		request.Attribute(b.options.UUIDAttribute, []string{c.Ref.UUID})
		if s.operational(b.options.UUIDAttribute) {
			request.Controls = append(request.Controls, relax)
		}
	}
	result, err := b.write(ctx, op, func(c *conn) error { return c.Add(request) })
	if clacks.IsKind(err, clacks.Denied) && len(request.Controls) > 1 {
		err = because(clacks.Denied, op, "the directory does not permit it; choosing the entry's UUID takes the right to manage it", err)
	}
	return result, nameFault(op, c.Ref.DN, err)
}

// modify translates mods into LDAP changes, which keep their meaning: value by value, and all or nothing.
func (b *Backend) modify(ctx context.Context, op string, c backends.Change) (backends.Result, error) {
	s, err := b.schema(ctx)
	if err != nil {
		return backends.Result{}, err
	}
	empty := true
	needsCare := len(c.Guard.Old) > 0
	for _, mod := range c.Mods {
		if !isAttribute(mod.Attribute) {
			return backends.Result{}, badAttribute(op, mod.Attribute)
		}
		if len(mod.Delete) > 0 || len(mod.Add) > 0 {
			empty = false
			needsCare = needsCare || !s.comparable(mod.Attribute) || len(mod.Delete) > manyDeletes
		}
		if len(mod.Delete) > maxDeletes {
			e := clacks.E(clacks.Limit, op, "too many values are removed at once")
			e.Fields = []clacks.Field{{Attribute: mod.Attribute, Code: clacks.CodeCheck,
				Reason: fmt.Sprintf("at most %d of its values can be removed at once", maxDeletes)}}
			return backends.Result{}, e
		}
	}
	c.Mods = s.underOneName(c.Mods)
	if needsCare || empty {
		return b.careful(ctx, op, c)
	}
	changes := make([]goldap.Change, 0, 2*len(c.Mods))
	for _, mod := range c.Mods {
		if changes, err = appendChanges(changes, mod); err != nil {
			return backends.Result{}, err
		}
	}
	return b.send(ctx, op, c, b.guard(c.Guard), changes)
}

// appendChanges adds the LDAP changes of one mod. A change without values is never made: it would delete all of them.
func appendChanges(changes []goldap.Change, mod backends.Mod) ([]goldap.Change, error) {
	for _, step := range []struct {
		operation uint
		values    []backends.Value
	}{{goldap.DeleteAttribute, mod.Delete}, {goldap.AddAttribute, mod.Add}} {
		if len(step.values) == 0 {
			continue
		}
		encoded, err := encodeAll(mod.Attribute, step.values)
		if err != nil {
			return nil, err
		}
		changes = append(changes, goldap.Change{
			Operation: step.operation, Modification: goldap.PartialAttribute{Type: mod.Attribute, Vals: encoded},
		})
	}
	return changes, nil
}

// write makes a request that changes something, once. It returns the version that the post-read control brought.
func (b *Backend) write(ctx context.Context, op string, request func(*conn) error) (backends.Result, error) {
	after, err := b.writeAndRead(ctx, op, request)
	return backends.Result{Version: after.version()}, err
}

// writeAndRead is write; it returns the entry after the change as far as the request asked for it.
func (b *Backend) writeAndRead(ctx context.Context, op string, request func(*conn) error) (*result, error) {
	c, err := b.pool.get(ctx, op)
	if err != nil {
		return nil, err
	}
	defer b.pool.put(c)
	if err := c.run(ctx, b.options.RequestTimeout, func() error { return request(c) }); err != nil {
		return nil, failed(ctx, op, err, c.wire.sent.Load())
	}
	_, answer := c.wire.received()
	return postReadResult(answer), nil
}
