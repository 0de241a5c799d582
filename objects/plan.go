package objects

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"clacks"
	"clacks/backends"
	"clacks/internal/dn"
	"clacks/mapping"
	"clacks/objects/journal"
)

// plan is everything that a commit does, decided before anything is done. The journal keeps it as JSON, so that recovery
// needs neither the definitions nor the objects.
type plan struct {
	Operation string
	Time      time.Time
	Actor     string
	Steps     []journal.Step
	Rows      []rowChange
	Events    []Changed
	Result    Result
	// Parents are DN keys of objects that must be there and stay where they are.
	Parents []string `json:",omitempty"`
	// Vacated is the DN key below which nobody else may give a name: its object is moved or removed. Below is how many
	// objects lie there.
	Vacated string `json:",omitempty"`
	Below   int    `json:",omitempty"`

	unique     []journal.Reservation
	shapes     []*mapping.Shape // of all objects in it, for messages and for hiding secrets
	touched    []*row
	modified   []modified
	remembered []*mapping.Source // the sources whose entries came from memory
	// verify, when set, is asked once the objects are locked: its error aborts the commit.
	verify func(ctx context.Context) error
	hash   string
	key    string // the idempotency key
}

// planner collects the plan of one commit.
type planner struct {
	s     *Service
	cat   *catalogue
	actor string
	plan  *plan
}

func (s *Service) newPlanner(cat *catalogue, actor string) *planner {
	p := &plan{Operation: newUUID(), Time: s.now().UTC().Truncate(time.Millisecond), Actor: actor}
	return &planner{s: s, cat: cat, actor: actor, plan: p}
}

// add plans one edit: its steps in order, its row, its event, its unique values.
func (p *planner) add(ctx context.Context, e *edit) error {
	if e.shape != nil {
		p.plan.addShape(e.shape)
	}
	if e.before != nil {
		p.plan.addShape(e.before.shape)
	}
	var keys map[string]any
	if e.row != nil {
		keys = cloneKeys(e.row.keys)
		p.plan.touched = append(p.plan.touched, e.row)
	}
	var err error
	planned := len(p.plan.Steps)
	switch {
	case e.kind == changeCreate:
		keys, err = p.create(ctx, e)
	case e.kind == changeRemove:
		p.remove(e)
	case e.after != nil:
		err = p.update(ctx, e, keys)
	}
	if err != nil {
		return err
	}
	if err := p.normalize(ctx, p.plan.Steps[planned:]); err != nil {
		return err
	}
	if err := p.recall(ctx, e); err != nil {
		return err
	}
	if err := p.row(e, keys); err != nil {
		return err
	}
	p.events(e)
	if e.final != nil {
		p.reserve(e)
	}
	return nil
}

// normalize gives the values of steps the form in which their backends keep them: the journal compares what a step wrote
// with what is read.
func (p *planner) normalize(ctx context.Context, steps []journal.Step) error {
	for i := range steps {
		step := &steps[i]
		normalizer, ok := p.s.backends[step.Backend].(backends.Normalizer)
		if !ok {
			continue
		}
		var err error
		if step.Change, err = normalizer.Normalize(ctx, step.Change); err != nil {
			return p.s.inFields(p.plan, step, err)
		}
	}
	return nil
}

func (p *plan) addShape(shape *mapping.Shape) {
	if !slices.Contains(p.shapes, shape) {
		p.shapes = append(p.shapes, shape)
	}
}

func cloneKeys(keys map[string]any) map[string]any {
	c := make(map[string]any, len(keys)+1)
	for id, key := range keys {
		c[id] = key
	}
	return c
}

// create plans the entries of a new object and decides on its name.
func (p *planner) create(ctx context.Context, e *edit) (map[string]any, error) {
	states, err := e.shape.Outbound(ctx, nil, e.after)
	if err != nil {
		return nil, err
	}
	if e.final, err = p.readBack(ctx, e, nil, states); err != nil {
		return nil, err
	}
	keys := map[string]any{}
	for i := range states {
		state := &states[i]
		switch source := state.Source; source.Kind {
		case backends.Tree:
			e.naming.source = source
			name, err := p.s.choose(ctx, e.naming, e.naming.candidates(nil, state.Touched), e.after.Type)
			if err != nil {
				return nil, err
			}
			e.name, e.final.DN = name, name
			p.step(source, e.after.UUID, backends.Change{
				Op: backends.OpCreate, Ref: backends.Ref{DN: name, UUID: e.after.UUID}, Add: withName(nonEmpty(state.Touched), name),
			})
		case backends.Table:
			keys[source.ID] = state.Key
			p.createRow(source, e.after.UUID, state)
		case backends.None:
		}
	}
	if e.name == "" {
		return nil, clacks.E(clacks.Invalid, "objects.create", "the type %s has no directory entry: nothing names its objects", e.after.Type)
	}
	return keys, nil
}

// readBack is the object as it will be read once the states are applied: with what is computed, without secrets.
func (p *planner) readBack(ctx context.Context, e *edit, entries mapping.Entries, states []mapping.EntryState) (*mapping.Object, error) {
	values, _, err := e.shape.Inbound(ctx, mapping.After(entries, states))
	if err != nil {
		return nil, err
	}
	final := *e.after
	final.Values = values
	return &final, nil
}

// createRow makes the row of a table, if there is anything to store in it.
func (p *planner) createRow(source *mapping.Source, uuid string, state *mapping.EntryState) {
	values := nonEmpty(state.Touched)
	if len(values) == 0 || state.Key == nil {
		return
	}
	p.step(source, uuid, backends.Change{Op: backends.OpCreate, Ref: tableRef(source, state.Key), Add: values})
}

func nonEmpty(values backends.Values) backends.Values {
	kept := make(backends.Values, len(values))
	for name, list := range values {
		if len(list) > 0 {
			kept[name] = list
		}
	}
	return kept
}

// update plans the changes of existing entries, and their names. New keys are written into keys.
func (p *planner) update(ctx context.Context, e *edit, keys map[string]any) error {
	states, err := e.shape.Outbound(ctx, &e.before.object, e.after)
	if err != nil {
		return err
	}
	if e.final, err = p.readBack(ctx, e, e.before.entries, states); err != nil {
		return err
	}
	if source := e.tree(); source != nil && !slices.ContainsFunc(states, func(st mapping.EntryState) bool { return st.Source.ID == source.ID }) {
		states = append([]mapping.EntryState{{Source: source}}, states...) // its name may change all the same
	}
	for i := range states {
		state := &states[i]
		switch source := state.Source; {
		case source.Kind == backends.Tree:
			err = p.updateEntry(ctx, e, state)
		case source.Kind == backends.Table && state.Gone:
			delete(keys, source.ID)
			err = p.dropRow(ctx, e, source)
		case source.Kind == backends.Table:
			p.updateRow(e, state, keys)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// dropRow removes the row of a table that belonged to a retracted extension.
func (p *planner) dropRow(ctx context.Context, e *edit, source *mapping.Source) error {
	if e.before.entries[source.ID] == nil {
		return nil
	}
	for _, w := range wantsWhole(e.before.shape) {
		if w.Source.ID != source.ID {
			continue
		}
		ref := e.before.entries[source.ID].Ref
		whole, err := p.s.readEntry(ctx, w, tableRef(source, ref.Key))
		if err != nil {
			return err
		}
		p.removeEntry(source, e.row, whole)
	}
	return nil
}

// updateEntry renames a directory's entry when its name no longer fits, and changes its values.
func (p *planner) updateEntry(ctx context.Context, e *edit, state *mapping.EntryState) error {
	source := state.Source
	entry := e.before.entries[source.ID]
	touched := state.Target(entry)
	target := merged(entry.Values, touched)
	values, uuid := entry.Values, e.row.uuid
	guard := p.s.guard(source, entry)
	if !e.along {
		if e.naming == nil {
			e.naming = &nameChoice{parent: dn.Parent(e.row.dn), self: uuid}
		}
		e.naming.source = source
		name, err := p.s.rename(ctx, e.naming, e.row.dn, target, e.row.typ)
		if err != nil {
			return err
		}
		e.name = name
		if name != e.row.dn {
			p.step(source, uuid, backends.Change{
				Op: backends.OpRename, Ref: backends.Ref{DN: e.row.dn, UUID: uuid}, To: backends.Ref{DN: name, UUID: uuid}, Guard: guard,
			})
			values = afterRename(values, e.row.dn, name)
			p.plan.Steps[len(p.plan.Steps)-1].Restore = difference(afterRename(values, name, e.row.dn), entry.Values)
			guard.Version = "" // it is the one after the rename, known when that is done
		}
	}
	e.final.DN = e.name
	if mods := difference(values, touched); len(mods) > 0 {
		if guard.Version == "" && !p.s.versions(source) {
			guard.Old = oldValues(values, mods)
		}
		if guard.Version != "" {
			p.plan.modified = append(p.plan.modified, modified{source, entry, len(p.plan.Steps)})
		}
		p.step(source, uuid, backends.Change{
			Op: backends.OpModify, Ref: backends.Ref{DN: e.name, UUID: uuid}, Mods: mods, Guard: guard, Want: p.s.wantAfter(source, entry, mods),
		})
	}
	return nil
}

// updateRow changes the row of a table, moves it along with its key, or makes it when there is none.
func (p *planner) updateRow(e *edit, state *mapping.EntryState, keys map[string]any) {
	source, uuid := state.Source, e.row.uuid
	entry := e.before.entries[source.ID]
	if state.Key != nil {
		keys[source.ID] = state.Key
	}
	if entry == nil {
		p.createRow(source, uuid, state)
		return
	}
	old := entry.Key
	if old == nil {
		old = e.row.keys[source.ID]
	}
	key := old
	guard := p.s.guard(source, entry)
	moves := state.Key != nil && journal.Text(state.Key) != journal.Text(old)
	if moves {
		key = state.Key
		p.step(source, uuid, backends.Change{
			Op: backends.OpRename, Ref: tableRef(source, old), To: tableRef(source, key), Guard: guard,
		})
		guard.Version = ""
	}
	if mods := difference(entry.Values, state.Touched); len(mods) > 0 {
		if !p.s.versions(source) {
			guard.Old = oldValues(entry.Values, mods)
		}
		if !moves {
			guard.Seen = e.before.seen(source)
			p.plan.modified = append(p.plan.modified, modified{source, entry, len(p.plan.Steps)})
		}
		p.step(source, uuid, backends.Change{Op: backends.OpModify, Ref: tableRef(source, key), Mods: mods, Guard: guard})
	}
}

// remove plans the removal of an object's entries: the primary one last, since it identifies the object.
func (p *planner) remove(e *edit) {
	for _, source := range slices.Backward(e.shape.Sources()) {
		p.removeEntry(source, e.row, e.whole[source.ID])
	}
	e.name = e.row.dn
}

func (p *planner) removeEntry(source *mapping.Source, r *row, entry *backends.Entry) {
	if entry == nil {
		return
	}
	ref := backends.Ref{DN: r.dn, UUID: r.uuid}
	if source.Kind == backends.Table {
		ref = tableRef(source, entry.Key)
		if entry.Key == nil {
			ref.Key = r.keys[source.ID]
		}
	}
	guard := p.s.guard(source, entry)
	p.plan.Steps = append(p.plan.Steps, journal.Step{
		Backend: source.Backend, Object: r.uuid, Whole: nonEmpty(entry.Values),
		Change: backends.Change{Op: backends.OpDelete, Ref: ref, Guard: guard},
	})
}

func (p *planner) step(source *mapping.Source, uuid string, c backends.Change) {
	p.plan.Steps = append(p.plan.Steps, journal.Step{Backend: source.Backend, Object: uuid, Change: c})
}

// guard is what an entry must still be when a change of it is applied.
func (s *Service) guard(source *mapping.Source, entry *backends.Entry) backends.Guard {
	var g backends.Guard
	if source.Kind == backends.Tree {
		g.UUID = entry.UUID
	}
	if s.versions(source) {
		g.Version = entry.Version
	}
	return g
}

func (s *Service) versions(source *mapping.Source) bool {
	b := s.backends[source.Backend]
	return b != nil && b.Capabilities().Versions
}

// merged are an entry's values with the touched ones in place.
func merged(values, touched backends.Values) backends.Values {
	m := make(backends.Values, len(values)+len(touched))
	for name, list := range values {
		m[name] = list
	}
	for name, list := range touched {
		m[name] = list
	}
	return m
}

// difference is what must be deleted and added, value by value, sorted by attribute.
func difference(values, touched backends.Values) []backends.Mod {
	var mods []backends.Mod
	for name, wanted := range touched {
		have, _ := lookup(values, name)
		m := backends.Mod{Attribute: name, Delete: without(have, wanted), Add: without(wanted, have)}
		if len(m.Delete) > 0 || len(m.Add) > 0 {
			mods = append(mods, m)
		}
	}
	slices.SortFunc(mods, func(a, b backends.Mod) int { return compareText(a.Attribute, b.Attribute) })
	return mods
}

// without are the values of a that are not in b.
func without(a, b []backends.Value) []backends.Value {
	if len(a) == 0 {
		return nil
	}
	have := make(map[string]bool, len(b))
	for _, v := range b {
		have[journal.Text(v)] = true
	}
	var rest []backends.Value
	for _, v := range a {
		if text := journal.Text(v); !have[text] {
			rest, have[text] = append(rest, v), true
		}
	}
	return rest
}

func oldValues(values backends.Values, mods []backends.Mod) backends.Values {
	old := make(backends.Values, len(mods))
	for _, m := range mods {
		list, _ := lookup(values, m.Attribute)
		old[m.Attribute] = append([]backends.Value{}, list...)
	}
	return old
}

// recall finds out what the index has of an edit's object. That is what the object's backends hold, unless somebody else
// wrote there since the last commit: then the row's sum differs, and the document tells.
func (p *planner) recall(ctx context.Context, e *edit) error {
	if e.before == nil || e.after == nil {
		return nil
	}
	e.known, e.then = e.before, indexValues(e.before.shape, &e.before.object)
	if e.row.guards.Sum == sumOf(e.then) {
		return nil
	}
	known, err := p.s.indexed(ctx, p.cat, e.row)
	if err != nil {
		return err
	}
	if known == nil {
		return &again{err: clacks.E(clacks.Conflict, "objects.plan", "the object has been changed by others")}
	}
	e.known, e.then = known, indexValues(known.shape, &known.object)
	return nil
}

// row plans the index row of an edit.
func (p *planner) row(e *edit, keys map[string]any) error {
	c := rowChange{Actor: p.actor, Modified: p.plan.Time.UnixMilli(), Version: 1}
	switch {
	case e.kind == changeRemove:
		p.plan.Rows = append(p.plan.Rows, rowChange{Op: rowDelete, UUID: e.row.uuid, DN: e.row.dn, DNKey: e.row.dnKey, Old: e.row.version})
		return nil
	case e.row != nil:
		c.UUID, c.Old, c.Version = e.row.uuid, e.row.version, e.row.version+1
	default:
		c.UUID = e.after.UUID
	}
	key, err := dn.Key(e.name)
	if err != nil {
		return err
	}
	c.DN, c.DNKey, c.Renamed = e.name, key, e.renamed()
	if e.after == nil {
		c.Op = rowRename
		p.plan.Rows = append(p.plan.Rows, c)
		return nil
	}
	if err := c.fill(e, keys); err != nil {
		return err
	}
	p.plan.Rows = append(p.plan.Rows, c)
	return nil
}

// fill takes what the row shows from the edit's object.
func (c *rowChange) fill(e *edit, keys map[string]any) error {
	var err error
	if c.Document, err = document(e.shape, e.final.Values); err != nil {
		return err
	}
	c.Type, c.Extensions, c.Keys, c.keys = e.after.Type, e.after.Extensions, encodeKeys(keys), keys
	now := indexValues(e.shape, e.final)
	line := change{Version: c.Version, Actor: c.Actor}
	sum := sumOf(now)
	if e.before == nil {
		c.Op, c.Add = rowInsert, now
		c.Guards = guards{}.with(line, sum)
		return nil
	}
	c.Op = rowUpdate
	c.Add, c.Drop = missingIn(now, e.then), missingIn(e.then, now)
	line.Attributes = e.changed()
	c.Guards = e.row.guards.with(line, sum)
	return nil
}

// changed are the names of the attributes that the edit changes, under the shapes before and after. A secret counts as
// changed when it is named: nobody knows what it was.
func (e *edit) changed() []string {
	var before *mapping.Object
	shape := e.shape
	if e.before != nil {
		before = &e.before.object
	}
	names := changed(shape, before, e.final)
	if e.before != nil && e.before.shape != shape {
		names = append(names, changed(e.before.shape, before, e.final)...)
	}
	if e.after != nil {
		for name := range e.after.Values {
			if a := shape.Attribute(name); a != nil && a.Secret {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// reserve takes the unique values that the object has now and the index does not know, and gives up those that the index
// knows and it has not. One that somebody else wrote into the backend is taken when nobody has it: this change is not to
// blame for it.
func (p *planner) reserve(e *edit) {
	known, before := map[uniqueValue]bool{}, map[uniqueValue]bool{}
	if e.before != nil {
		known = uniqueSet(e.known)
		before = known
		if e.known != e.before {
			before = uniqueSet(e.before)
		}
	}
	row := &p.plan.Rows[len(p.plan.Rows)-1]
	for _, u := range uniques(e.shape, e.final) {
		switch {
		case known[u]:
			delete(known, u)
		case before[u]:
			row.Reserve = append(row.Reserve, u)
		default:
			p.plan.unique = append(p.plan.unique, journal.Reservation{Type: u.Type, Attribute: u.Attribute, Key: u.Key, UUID: e.after.UUID})
		}
	}
	for u := range known {
		row.Release = append(row.Release, u)
	}
}

func uniqueSet(l *loaded) map[uniqueValue]bool {
	set := map[uniqueValue]bool{}
	for _, u := range uniques(l.shape, &l.object) {
		set[u] = true
	}
	return set
}

// uniques are the values of an object that no other object may have.
func uniques(shape *mapping.Shape, object *mapping.Object) []uniqueValue {
	var list []uniqueValue
	for _, a := range shape.Attributes() {
		if !a.Unique {
			continue
		}
		for _, v := range object.Values[a.Name] {
			list = append(list, uniqueValue{Type: a.Owner, Attribute: a.Name, Key: bounded(a.Key(v))})
		}
	}
	return list
}

// finish closes the plan: what the journal keeps, in its final form.
func (p *planner) finish(result Result) *plan {
	p.plan.Result = result
	for i := range p.plan.Events {
		p.plan.Events[i].EventID = p.plan.Operation + "-" + strconv.Itoa(i+1)
	}
	return p.plan
}

// encode is the plan as the journal keeps it: what its events have in common with it is said once.
func (p *plan) encode() ([]byte, error) {
	events := slices.Clone(p.Events)
	for i := range events {
		e := &events[i]
		if e.TransactionID == p.Operation && e.Actor == p.Actor && e.Time.Equal(p.Time) {
			e.TransactionID, e.Actor, e.Time = "", "", time.Time{}
		}
	}
	data, err := json.Marshal(struct {
		*plan
		Steps  journal.Stored
		Events []Changed
	}{p, journal.Store(p.Steps), events})
	if err != nil {
		return nil, clacks.E(clacks.Internal, "objects.plan", "a plan has no document: %w", err)
	}
	return data, nil
}

func decodePlan(data []byte) (*plan, error) {
	var p plan
	if err := json.Unmarshal(data, &p); err != nil {
		return nil, clacks.E(clacks.Internal, "objects.plan", "a journal row is damaged: %w", err)
	}
	for i := range p.Events {
		if e := &p.Events[i]; e.TransactionID == "" {
			e.TransactionID, e.Actor, e.Time = p.Operation, p.Actor, p.Time
		}
	}
	return &p, nil
}
