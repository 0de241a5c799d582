package objects

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"clacks"
	"clacks/backends"
	"clacks/internal/dn"
	"clacks/mapping"
)

// loaded is an object as its backends hold it now.
type loaded struct {
	row     *row
	shape   *mapping.Shape
	entries mapping.Entries
	object  mapping.Object
	// remembered are the sources whose entries were not read now: what is done with the object must be held against them.
	remembered []*mapping.Source
}

// trust says what of an object may come from memory when it is opened.
type trust uint8

const (
	// trustNothing: all is read now.
	trustNothing trust = iota
	// trustRow: the index row may be a cached one.
	trustRow
	// trustEntries: and so may entries, for a plan that is held against them (request.stands).
	trustEntries
)

// wanter says what of a shape's entries is to be read.
type wanter func(shape *mapping.Shape) []mapping.SourceWant

// open reads an object by UUID or DN from its backends, as far as it is wanted. With trustNothing the index row comes from
// the database, so that its version is current.
//
// A cached row may be old when another agent or a person at the directory changed the object: the entry's UUID and
// classes tell. Then the row is asked for anew, and an entry that the index does not know is taken into it.
func (s *Service) open(ctx context.Context, cat *catalogue, id string, wanted wanter, trust trust) (*loaded, error) {
	for {
		r, err := s.find(ctx, id, trust == trustNothing)
		if err != nil {
			return nil, err
		}
		if r == nil {
			return s.adopt(ctx, cat, id, wanted)
		}
		l, err := s.load(ctx, cat, r, wanted, trust)
		if err != nil {
			return nil, err
		}
		if l != nil {
			return l, nil
		}
		s.rows.drop(r)
		if trust == trustNothing {
			l, err := s.reopen(ctx, cat, r, wanted)
			if clacks.IsKind(err, clacks.NotFound) && !isUUID(id) {
				return s.adopt(ctx, cat, id, wanted) // another object may have the name now
			}
			return l, err
		}
		trust = trustNothing
	}
}

// load reads the entries of a row; nil when the directory holds something else under its name.
func (s *Service) load(ctx context.Context, cat *catalogue, r *row, wanted wanter, trust trust) (*loaded, error) {
	shape, err := cat.set.Shape(r.typ, r.extensions)
	if err != nil {
		return nil, clacks.E(clacks.NotFound, "objects.open", "the type %s of the object is not defined: %w", r.typ, err)
	}
	sources := wanted(shape)
	var remembered []*mapping.Source
	entries := make(mapping.Entries, len(sources))
	if trust == trustEntries {
		remembered, sources = s.recollect(r, sources, entries)
	}
	read, err := s.read(ctx, shape, r, sources, entries)
	if err != nil || !read {
		return nil, err
	}
	l, err := s.inbound(ctx, shape, r, entries)
	if err != nil {
		return nil, err
	}
	l.remembered = remembered
	return l, nil
}

func (s *Service) inbound(ctx context.Context, shape *mapping.Shape, r *row, entries mapping.Entries) (*loaded, error) {
	values, faults, err := shape.Inbound(ctx, entries)
	if err != nil {
		return nil, err
	}
	for _, f := range faults {
		s.counters.faults.Add(1)
		s.log.Debug("a backend value does not fit its attribute", "uuid", r.uuid, "attribute", f.Attribute,
			"source", f.Source, "reason", f.Reason)
	}
	return &loaded{row: r, shape: shape, entries: entries, object: mapping.Object{
		UUID: r.uuid, DN: r.dn, Type: r.typ, Extensions: r.extensions, Values: values,
	}}, nil
}

// wants are the sources to read for some attributes, or all; the primary one is always among them, since it tells
// whether the object exists.
func wants(shape *mapping.Shape, attributes []string) []mapping.SourceWant {
	wanted := shape.Wants(attributes)
	sources := shape.Sources()
	if len(sources) > 0 && (len(wanted) == 0 || wanted[0].Source != sources[0]) {
		first := mapping.SourceWant{Source: sources[0], Want: []string{mapping.ObjectClass}}
		wanted = append([]mapping.SourceWant{first}, wanted...)
	}
	return wanted
}

// wantsToWrite are all sources with all attributes that a change may touch, those included that are never read back. Of a
// directory that is about everything in an entry, and cheaper to ask for in one word than by dozens of names.
func wantsToWrite(shape *mapping.Shape) []mapping.SourceWant {
	wanted := shape.Wants(nil)
	for i, w := range wanted {
		want := make([]string, 0, 1+len(w.Want)+len(w.Source.Writes))
		if w.Source.Kind == backends.Tree {
			want = append(want, everything)
		}
		want = append(want, w.Want...)
		for _, name := range w.Source.Writes {
			if !slices.Contains(want, name) {
				want = append(want, name)
			}
		}
		wanted[i].Want = want
	}
	return wanted
}

// wantsWhole are all sources with everything that their entries hold, so that they can be made again.
func wantsWhole(shape *mapping.Shape) []mapping.SourceWant {
	wanted := wantsToWrite(shape)
	for i, w := range wanted {
		if !slices.Contains(w.Want, everything) {
			wanted[i].Want = append([]string{everything}, w.Want...)
		}
	}
	return wanted
}

// everything stands for all user attributes of an entry, all columns of a row.
const everything = "*"

// read reads the wanted entries into entries, all at once. It reports whether the primary one is the object's.
func (s *Service) read(ctx context.Context, shape *mapping.Shape, r *row, wanted []mapping.SourceWant, entries mapping.Entries) (bool, error) {
	found := make([]*backends.Entry, len(wanted))
	late := make([]bool, len(wanted)) // its key is not known before the others are read
	jobs := make([]func() error, 0, len(wanted))
	for i, w := range wanted {
		if w.Source.Kind == backends.None {
			continue
		}
		ref, known := sourceRef(w.Source, r)
		if !known {
			late[i] = true
			continue
		}
		jobs = append(jobs, func() (err error) {
			found[i], err = s.readEntry(ctx, w, ref)
			return err
		})
	}
	if err := together(jobs); err != nil {
		return false, err
	}
	for i, w := range wanted {
		switch e := found[i]; {
		case e == nil && w.Source.Primary && w.Source.Kind == backends.Tree:
			return false, nil
		case e == nil:
		case w.Source.Kind == backends.Tree && (!strings.EqualFold(e.UUID, r.uuid) || w.Source.Primary && !carries(w.Source, e)):
			if w.Source.Primary {
				return false, nil
			}
		default:
			entries[w.Source.ID] = e
			s.remember(w, r, e)
		}
	}
	if !slices.Contains(late, true) {
		return true, nil
	}
	return true, s.readLate(ctx, shape, r, entries, wanted, late)
}

// readLate reads the rows whose key the index does not know: the values of the other entries tell it.
func (s *Service) readLate(ctx context.Context, shape *mapping.Shape, r *row, entries mapping.Entries,
	wanted []mapping.SourceWant, late []bool) error {
	values, _, err := shape.Inbound(ctx, entries)
	if err != nil {
		return err
	}
	for i, w := range wanted {
		if !late[i] || len(values[w.Source.KeyAttribute]) == 0 {
			continue
		}
		e, err := s.readEntry(ctx, w, tableRef(w.Source, values[w.Source.KeyAttribute][0]))
		if err != nil {
			return err
		}
		if e != nil {
			entries[w.Source.ID] = e
		}
	}
	return nil
}

// readEntry reads one entry; nil when there is none.
func (s *Service) readEntry(ctx context.Context, w mapping.SourceWant, ref backends.Ref) (*backends.Entry, error) {
	b, err := s.backend(w.Source.Backend)
	if err != nil {
		return nil, err
	}
	e, err := b.Read(ctx, ref, w.Want)
	if clacks.IsKind(err, clacks.NotFound) {
		return nil, nil
	}
	return e, err
}

func (s *Service) backend(name string) (backends.Backend, error) {
	if b := s.backends[name]; b != nil {
		return b, nil
	}
	return nil, clacks.E(clacks.Unavailable, "objects", "the backend %s is not configured", name)
}

// sourceRef names the entry of a source; known is false when its key is not in the row.
func sourceRef(source *mapping.Source, r *row) (ref backends.Ref, known bool) {
	if source.Kind == backends.Tree {
		return backends.Ref{DN: r.dn}, true
	}
	if source.KeyAttribute == "uuid" {
		return tableRef(source, r.uuid), true
	}
	key, known := r.keys[source.ID]
	return tableRef(source, key), known
}

func tableRef(source *mapping.Source, key any) backends.Ref {
	return backends.Ref{Table: source.Table, Column: source.Column, Key: key, Children: source.Children}
}

// carries reports whether an entry has the object classes of its source.
func carries(source *mapping.Source, e *backends.Entry) bool {
	for _, class := range source.ObjectClasses {
		if !slices.ContainsFunc(e.Values[mapping.ObjectClass], func(v any) bool {
			name, ok := v.(string)
			return ok && strings.EqualFold(name, class)
		}) {
			return false
		}
	}
	return true
}

// together runs jobs at the same time and returns the first error by their order; a single job runs in place.
func together(jobs []func() error) error {
	switch len(jobs) {
	case 0:
		return nil
	case 1:
		return jobs[0]()
	}
	failures := make(chan error, len(jobs)-1)
	for _, job := range jobs[1:] {
		go func() { failures <- job() }()
	}
	first := jobs[0]()
	for range jobs[1:] {
		if err := <-failures; err != nil && first == nil {
			first = err
		}
	}
	return first
}

// neitherName is the answer for what cannot name an object.
func neitherName(op, id string) error {
	return wrongParameter(op, "id", clacks.CodeType, fmt.Sprintf("%q is neither a UUID nor a distinguished name", clip(id, 200)))
}

// notFound is the answer for an object that does not exist.
func notFound(id string) error {
	if !isUUID(id) {
		if err := dn.Validate(id); err != nil || id == "" {
			return neitherName("objects.open", id)
		}
	}
	return clacks.E(clacks.NotFound, "objects.open", "there is no object %s", id)
}
