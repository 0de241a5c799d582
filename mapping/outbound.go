package mapping

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"clacks"
	"clacks/backends"
	"clacks/definitions"
	"clacks/internal/dn"
	"clacks/xquery"
)

// Outbound computes what each entry is to hold, running each needed outbound query exactly once, in dependency order.
// old is nil on create; only attributes whose inputs differ between old and object are computed, and those of extensions
// that old does not have. The values of RDN attributes are among Touched; naming itself is the caller's. The shape is the
// object's: extensions that only old has are taken back.
//
// A row of a table is created with its first value: a source of which nothing is touched has no state. The error is
// clacks.Invalid with every attribute that cannot be written, or the context's.
func (s *Shape) Outbound(ctx context.Context, old, object *Object) ([]EntryState, error) {
	o := &outbound{
		shape: s, old: old, object: object, oldValues: Values{}, values: make(Values, len(object.Values)),
		changed: map[string]bool{}, dirty: map[string]bool{}, touched: map[string]backends.Values{}, fresh: map[string]bool{},
	}
	if old != nil {
		if old.Type != object.Type {
			return nil, clacks.E(clacks.Internal, "mapping.outbound", "an object cannot become of another type")
		}
		o.oldValues = old.Values
	}
	for name, list := range object.Values {
		o.values[name] = list
	}
	o.fresh[s.plan.typ.Name] = old == nil
	for _, e := range s.extensions {
		o.fresh[e] = old == nil || !slices.Contains(old.Extensions, e)
	}
	defer o.free()
	for _, a := range s.attrs {
		if err := o.attribute(ctx, a); err != nil {
			return nil, err
		}
	}
	states, err := o.states()
	if err != nil {
		return nil, err
	}
	if len(o.fields) > 0 {
		return nil, &clacks.Error{Op: "mapping.outbound", Kind: clacks.Invalid, Type: object.Type,
			Reason: "the object cannot be stored", Fields: o.fields}
	}
	return states, nil
}

// outbound is one run of Outbound.
type outbound struct {
	shape       *Shape
	old, object *Object
	oldValues   Values
	values      Values          // the object's, with the computed ones in their place
	changed     map[string]bool // attributes whose value differs from old's
	fresh       map[string]bool // owners that old does not have
	touched     map[string]backends.Values
	fields      []clacks.Field

	document    *xquery.Document // of values
	dirty       map[string]bool  // attributes whose computed value is not in the document
	oldDocument *xquery.Document
}

func (o *outbound) free() {
	for _, d := range []*xquery.Document{o.document, o.oldDocument} {
		if d != nil {
			d.Free()
		}
	}
}

// differs reports whether an attribute's value is another one than old's. What cannot be read back is unchanged unless
// the object names it.
func (a *Attribute) differs(old, values Values) bool {
	list, named := values[a.Name]
	if !a.Readable {
		return named && (len(list) == 0 || !a.Equal(old[a.Name], list))
	}
	return !a.Equal(old[a.Name], list)
}

// attribute fills the backend attributes that one attribute writes.
func (o *outbound) attribute(ctx context.Context, a *Attribute) error {
	if a.differs(o.oldValues, o.values) {
		o.changed[a.Name] = true
	}
	ran, results := false, 0
	for _, w := range a.plan.writes {
		if w.query == nil {
			if o.changed[a.Name] {
				o.direct(a, w)
			}
			continue
		}
		if !o.needed(a, w.query) {
			continue
		}
		list, ok, err := o.query(ctx, a, w)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		ran, results = true, results+len(list)
		if a.plan.settles && a.plan.direct.source == w.source && a.plan.direct.name == w.name {
			o.settle(a, list)
		}
	}
	if ran && results == 0 && a.Mandatory && len(present(o.values[a.Name])) == 0 {
		o.fault(a, clacks.CodeMandatory, "is mandatory, but its Outbound yields no value")
	}
	return nil
}

// needed reports whether an outbound query has to run. What cannot be read back is not known here unless the object names
// it: a query that reads it would then write its absence over it.
func (o *outbound) needed(a *Attribute, q *objectQuery) bool {
	if o.fresh[a.Owner] {
		return true
	}
	if !a.Readable && !a.Computed && !o.changed[a.Name] {
		return false
	}
	return o.reads(q)
}

// reads reports whether an input of a query changed.
func (o *outbound) reads(q *objectQuery) bool {
	if q.all {
		for _, a := range o.shape.attrs {
			if o.changed[a.Name] || a.differs(o.oldValues, o.values) {
				return true
			}
		}
		return false
	}
	for name := range q.reads {
		if o.changed[name] {
			return true
		}
		// What comes later in the order is only read from $old or in an order that DependsOn asked for.
		if a := o.shape.byName[name]; a != nil && a.differs(o.oldValues, o.values) {
			return true
		}
	}
	return false
}

// direct writes the attribute's own values.
func (o *outbound) direct(a *Attribute, w *write) {
	list := make([]backends.Value, 0, len(o.values[a.Name]))
	for _, v := range o.values[a.Name] {
		stored, err := toBackend(a.Type, backendType(a.Attribute), v)
		if err != nil {
			o.fault(a, clacks.CodeType, err.Error())
			return
		}
		list = append(list, stored)
	}
	o.touch(a, w, list)
}

// query writes what an outbound query yields; ok is false when that is wrong.
func (o *outbound) query(ctx context.Context, a *Attribute, w *write) (list []backends.Value, ok bool, err error) {
	result, err := w.query.compiled.Evaluate(ctx, o.input(w.query))
	if ctx.Err() != nil {
		return nil, false, ctx.Err()
	}
	if err == nil {
		list, err = a.stored(result)
	}
	if err != nil {
		reason, failed := functionReason(err)
		if failed == nil {
			o.fault(a, clacks.CodeCheck, fmt.Sprintf("its Outbound for %s failed: %s", w.name, reason))
		}
		return nil, false, failed
	}
	list, ok = o.touch(a, w, list)
	return list, ok, nil
}

// functionReason tells what went wrong in a query that may call functions with an effect. A message of the query engine
// may repeat values of the object, so that only its code is told; what a function of ours says is meant for users. failed
// is set when it is not the object's fault.
func functionReason(err error) (reason string, failed error) {
	var e *clacks.Error
	switch {
	case !errors.As(err, &e):
		return queryReason(err), nil
	case e.Kind == clacks.Invalid || e.Kind == clacks.NotFound || e.Kind == clacks.NotUnique:
		return e.Message(), nil
	default:
		return "", e
	}
}

// stored makes a query's result values of a backend attribute: of the attribute's BackendType if it has one, else as the
// query typed them. Text that is exactly how XML writes a value of the attribute's own type becomes that value, because
// the driver knows better how its store writes it.
func (a *Attribute) stored(result xquery.Sequence) ([]backends.Value, error) {
	if result == nil {
		return nil, nil
	}
	if a.BackendType != "" {
		atoms, err := atomize(a.BackendType, result)
		if err != nil {
			return nil, err
		}
		list := make([]backends.Value, 0, len(atoms))
		for _, atom := range atoms {
			v, err := fromBackend(a.BackendType, definitions.String, atom)
			if err != nil {
				return nil, clacks.E(clacks.Invalid, "", "the result %s", err)
			}
			list = append(list, v)
		}
		return list, nil
	}
	atoms, err := result.Atoms()
	if err != nil {
		return nil, err
	}
	list := make([]backends.Value, 0, len(atoms))
	for _, atom := range atoms {
		list = append(list, a.natural(atom))
	}
	return list, nil
}

// natural is an atom as a backend value.
func (a *Attribute) natural(atom any) backends.Value {
	switch v := atom.(type) {
	case string:
		switch a.Type {
		case definitions.Integer, definitions.Boolean, definitions.Date, definitions.Timestamp, definitions.Binary:
			if typed, err := a.Parse(v); err == nil && a.Text(typed) == v {
				return typed
			}
		}
		return v
	case float64:
		// XQuery computes with untyped values as doubles.
		if n, err := fromInteger(v); err == nil && a.Type == definitions.Integer {
			return n
		}
		return v
	case bool, int64, []byte:
		return v
	case int:
		return int64(v)
	default:
		if t, err := fromBackend(definitions.Timestamp, definitions.Timestamp, v); err == nil {
			return t
		}
		if s, err := fromText(v, a.Type); err == nil {
			return s
		}
		return fmt.Sprint(v)
	}
}

// input is what a query on the object works on.
func (o *outbound) input(q *objectQuery) xquery.Input {
	stale := o.document == nil
	for name := range o.dirty {
		stale = stale || q.all || q.reads[name]
	}
	if stale {
		if o.document != nil {
			o.document.Free()
		}
		o.document = o.shape.objectDocument(o.values, withSecrets)
		clear(o.dirty)
	}
	if o.old != nil && o.oldDocument == nil {
		o.oldDocument = o.shape.objectDocument(o.oldValues, withSecrets)
	}
	return objectInput(o.document, o.oldDocument)
}

func withSecrets(*Attribute) bool { return true }

// objectInput has an object as context item and another one, or nothing, as $old.
func objectInput(document, old *xquery.Document) xquery.Input {
	before := xquery.Of()
	if old != nil {
		before = xquery.Of(old.Element())
	}
	return xquery.Input{Context: document.Element(), Variables: map[string]xquery.Sequence{oldVariable: before}}
}

// settle makes what a query wrote the attribute's value, as it will be read back.
func (o *outbound) settle(a *Attribute, stored []backends.Value) {
	list, reason := a.convert(stored)
	if reason != "" {
		o.fault(a, clacks.CodeType, "its Outbound yields no value of its type: "+reason)
		return
	}
	if a.Equal(o.values[a.Name], list) {
		return
	}
	o.values[a.Name] = list
	o.dirty[a.Name] = true
	o.changed[a.Name] = !a.Equal(o.oldValues[a.Name], list)
}

// touch notes what a backend attribute is to hold, without repetitions, and returns it; ok is false when it cannot.
func (o *outbound) touch(a *Attribute, w *write, list []backends.Value) (kept []backends.Value, ok bool) {
	list = distinct(list)
	if w.tree {
		// No syntax of a directory has an empty text that an attribute could be told by from none (RFC 4517, 3.3.6).
		list = slices.DeleteFunc(list, func(v backends.Value) bool { return v == "" })
	}
	if w.single && len(list) > 1 {
		o.fault(a, clacks.CodeSingle, fmt.Sprintf("yields %d values for %s, which holds one", len(list), w.name))
		return nil, false
	}
	if len(list) == 0 && o.fresh[a.Owner] && (o.old == nil || a.Readable) {
		return list, true
	}
	if o.touched[w.source] == nil {
		o.touched[w.source] = backends.Values{}
	}
	o.touched[w.source][w.name] = list
	return list, true
}

// distinct drops repeated values: a store holds a set.
func distinct(list []backends.Value) []backends.Value {
	if len(list) < 2 {
		return list
	}
	seen := make(map[string]bool, len(list))
	kept := list[:0:0]
	for _, v := range list {
		if key := fmt.Sprintf("%T", v) + storedText(v); !seen[key] {
			seen[key] = true
			kept = append(kept, v)
		}
	}
	return kept
}

func (o *outbound) fault(a *Attribute, code, reason string) {
	o.fields = append(o.fields, clacks.Field{Attribute: a.Name, Code: code, Reason: reason})
}

// states makes the result: what the sources of the shape are to hold, then what goes with retracted extensions.
func (o *outbound) states() ([]EntryState, error) {
	var before *Shape
	if o.old != nil {
		var err error
		if before, err = o.shape.set.Shape(o.old.Type, o.old.Extensions); err != nil {
			return nil, err
		}
		o.clearRetracted(before)
	}
	var states []EntryState
	for _, source := range o.shape.sources {
		state := EntryState{Source: source, Touched: o.touched[source.ID]}
		if source.Kind == backends.Tree {
			o.classes(before, source, &state)
			o.fixedRDN(source, &state)
		}
		if source.Kind == backends.Table && !o.key(before, source, &state) {
			continue
		}
		if len(state.Touched) > 0 || state.Key != nil {
			states = append(states, state)
		}
	}
	if before == nil {
		return states, nil
	}
	for _, source := range before.sources {
		if o.shape.byID[source.ID] == nil {
			states = append(states, EntryState{Source: source, Gone: true})
		}
	}
	return states, nil
}

// clearRetracted empties the attributes of extensions that the object no longer has. Attributes in sources that go as a
// whole need no emptying.
func (o *outbound) clearRetracted(before *Shape) {
	for _, a := range before.attrs {
		if a.Owner == o.shape.plan.typ.Name || slices.Contains(o.shape.extensions, a.Owner) {
			continue
		}
		for _, w := range a.plan.writes {
			source := o.shape.byID[w.source]
			if source == nil || slices.Contains(source.Writes, w.name) {
				continue
			}
			if o.touched[w.source] == nil {
				o.touched[w.source] = backends.Values{}
			}
			o.touched[w.source][w.name] = []backends.Value{}
		}
	}
}

// classes adds objectClass to a tree entry's state when the entry is new or its classes change.
func (o *outbound) classes(before *Shape, source *Source, state *EntryState) {
	had := []string(nil)
	if before != nil {
		if s := before.byID[source.ID]; s != nil {
			had = s.ObjectClasses
		}
		if sameFold(had, source.ObjectClasses) {
			return
		}
	}
	classes := make([]backends.Value, 0, len(source.ObjectClasses))
	for _, class := range source.ObjectClasses {
		classes = append(classes, class)
	}
	for _, class := range had {
		if !containsFold(source.ObjectClasses, class) {
			state.Drop = append(state.Drop, class)
		}
	}
	state.set(ObjectClass, classes)
}

// fixedRDN adds the attribute of a type's fixed name, which no object attribute has to fill.
func (o *outbound) fixedRDN(source *Source, state *EntryState) {
	if o.old != nil || source.FixedRDN == "" {
		return
	}
	for _, ava := range dn.RDNValues(source.FixedRDN) {
		known := slices.ContainsFunc(sortedKeys(state.Touched), func(name string) bool { return strings.EqualFold(name, ava.Attribute) })
		if !known {
			state.set(ava.Attribute, []backends.Value{ava.Value})
		}
	}
}

func (e *EntryState) set(name string, values []backends.Value) {
	if e.Touched == nil {
		e.Touched = backends.Values{}
	}
	e.Touched[name] = values
}

// sameFold reports whether two lists of object classes are the same set.
func sameFold(x, y []string) bool {
	within := func(x, y []string) bool {
		return !slices.ContainsFunc(x, func(s string) bool { return !containsFold(y, s) })
	}
	return within(x, y) && within(y, x)
}

// key sets a row's key. It reports false when the row is not concerned.
func (o *outbound) key(before *Shape, source *Source, state *EntryState) bool {
	existed := before != nil && before.byID[source.ID] != nil
	if source.KeyAttribute == UUIDKey {
		state.Key = o.object.UUID
		return len(state.Touched) > 0
	}
	a := o.shape.byName[source.KeyAttribute]
	if a == nil || len(state.Touched) == 0 && (!existed || !o.changed[a.Name]) {
		return false
	}
	values := present(o.values[a.Name])
	if len(values) == 0 {
		o.fault(a, clacks.CodeMandatory, "is needed: it is the key of "+source.ID)
		return false
	}
	key, err := toBackend(a.Type, backendType(a.Attribute), values[0])
	if err != nil {
		o.fault(a, clacks.CodeType, err.Error())
		return false
	}
	state.Key = key
	return true
}

// present are the values that are not an empty text.
func present(values []any) []any {
	if !slices.Contains(values, any("")) {
		return values
	}
	return slices.DeleteFunc(slices.Clone(values), func(v any) bool { return v == "" })
}
