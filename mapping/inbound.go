package mapping

import (
	"context"
	"errors"
	"maps"
	"slices"
	"unicode/utf8"

	"clacks/backends"
	"clacks/definitions"
	"clacks/xquery"
)

// Inbound computes the object's values from its entries: names, queries, types. Values that cannot be converted are
// problems of the data, not of the caller: they are left out and reported. The error is the context's.
//
// An attribute that no backend stores reads as its Default.
func (s *Shape) Inbound(ctx context.Context, entries Entries) (Values, []Fault, error) {
	values := make(Values, s.room(entries))
	var faults []Fault
	for i := range s.directs {
		reads := &s.directs[i]
		entry := entries[reads.source]
		if entry == nil {
			continue
		}
		for _, a := range reads.attrs {
			stored := entry.Values[a.plan.direct.name]
			if len(stored) == 0 {
				continue
			}
			list, reason := a.convert(stored)
			if reason != "" {
				faults = append(faults, Fault{a.Name, reads.source, reason})
			}
			if len(list) > 0 {
				values[a.Name] = list
			}
		}
	}
	for _, a := range s.unkept {
		values[a.Name] = []any{a.plan.defaultValue}
	}
	if len(s.queries) == 0 {
		return values, faults, nil
	}
	faults, err := s.inboundQueries(ctx, entries, values, faults)
	return values, faults, err
}

// room is about how many attributes an object of these entries has: most use few of what their types offer.
func (s *Shape) room(entries Entries) int {
	n := len(s.unkept) + len(s.queries)
	for _, entry := range entries {
		if entry != nil {
			n += len(entry.Values)
		}
	}
	return min(n, s.size)
}

// convert converts a direct attribute's stored values. It returns the entry's own list when nothing has to change, which
// is the case for nearly every attribute of a directory.
func (a *Attribute) convert(stored []backends.Value) (list []any, reason string) {
	if a.asStored(stored) {
		list = stored[:len(stored):len(stored)]
	} else {
		list = make([]any, 0, len(stored))
		for _, v := range stored {
			converted, err := fromBackend(a.Type, a.plan.direct.stored, v)
			if err != nil {
				reason = "a value " + err.Error()
				continue
			}
			list = append(list, converted)
		}
	}
	if len(list) > 1 && !a.MultiValue {
		return list[:1:1], "there are several values, of which only the first is used"
	}
	return list, reason
}

// asStored reports whether stored values already have the attribute's Go type.
func (a *Attribute) asStored(stored []backends.Value) bool {
	switch a.Type {
	case definitions.String, definitions.UnicodeString:
		for _, v := range stored {
			if text, ok := v.(string); !ok || !utf8.ValidString(text) {
				return false
			}
		}
		return true
	case definitions.Integer:
		for _, v := range stored {
			if _, ok := v.(int64); !ok {
				return false
			}
		}
		return true
	case definitions.Boolean:
		for _, v := range stored {
			if _, ok := v.(bool); !ok {
				return false
			}
		}
		return true
	case definitions.Binary:
		for _, v := range stored {
			if _, ok := v.([]byte); !ok {
				return false
			}
		}
		return true
	default:
		return false
	}
}

// inboundQueries evaluates the inbound queries. The document of an entry is built when the first query needs it.
func (s *Shape) inboundQueries(ctx context.Context, entries Entries, values Values, faults []Fault) ([]Fault, error) {
	documents := &entryDocuments{shape: s, entries: entries, built: map[string]*xquery.Document{}}
	defer documents.free()
	for _, a := range s.queries {
		read := a.plan.inbound
		result, err := read.query.compiled.Evaluate(ctx, documents.input(read))
		if ctx.Err() != nil {
			return faults, ctx.Err()
		}
		if err != nil {
			faults = append(faults, Fault{a.Name, read.source, "the Inbound failed: " + queryReason(err)})
			continue
		}
		list, reason := a.cast(result)
		if reason != "" {
			faults = append(faults, Fault{a.Name, read.source, reason})
		}
		if len(list) > 0 {
			values[a.Name] = list
		}
	}
	return faults, nil
}

// queryReason is what of a query's error may be told: the W3C code. Messages repeat values.
func queryReason(err error) string {
	var e *xquery.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return "it could not be evaluated"
}

// cast makes a query's result the attribute's values.
func (a *Attribute) cast(result xquery.Sequence) (list []any, reason string) {
	atoms, err := atomize(a.Type, result)
	if err != nil {
		return nil, "the result has no value: " + queryReason(err)
	}
	for _, atom := range atoms {
		v, err := fromBackend(a.Type, definitions.String, atom)
		if err != nil {
			reason = "a value of the result " + err.Error()
			continue
		}
		list = append(list, v)
	}
	if len(list) > 1 && !a.MultiValue {
		return list[:1:1], "the result has several values, of which only the first is used"
	}
	return list, reason
}

// atomize yields the items of a result; as the strings that XQuery gives them where text is wanted.
func atomize(t definitions.AttributeType, result xquery.Sequence) ([]any, error) {
	if result == nil || result.Len() == 0 {
		return nil, nil
	}
	if t != definitions.String && t != definitions.UnicodeString {
		return result.Atoms()
	}
	texts, err := result.Strings()
	if err != nil {
		return nil, err
	}
	atoms := make([]any, len(texts))
	for i, s := range texts {
		atoms[i] = s
	}
	return atoms, nil
}

// After are the entries as they will be when the states that Outbound returned are applied to the loaded ones: what an
// object's computed values are to be read from before anything is written. Neither argument is changed.
func After(entries Entries, states []EntryState) Entries {
	after := make(Entries, len(entries)+1)
	for id, entry := range entries {
		after[id] = entry
	}
	for _, state := range states {
		id := state.Source.ID
		if state.Gone {
			delete(after, id)
			continue
		}
		var entry backends.Entry
		if old := entries[id]; old != nil {
			entry.Ref, entry.Version, entry.Values = old.Ref, old.Version, maps.Clone(old.Values)
		}
		if entry.Values == nil {
			entry.Values = backends.Values{}
		}
		for name, values := range state.Target(entries[id]) {
			if len(values) == 0 {
				delete(entry.Values, name)
			} else {
				entry.Values[name] = values
			}
		}
		if state.Source.Kind == backends.Table {
			entry.Key = state.Key
		}
		after[id] = &entry
	}
	return after
}

// Target is what the touched attributes of a loaded entry are to hold; entry is nil when it does not exist. It differs
// from Touched in objectClass: the classes of the entry that nobody here knows stay.
func (e *EntryState) Target(entry *backends.Entry) backends.Values {
	classes, touched := e.Touched[ObjectClass]
	if !touched || entry == nil || e.Source.Kind != backends.Tree {
		return e.Touched
	}
	merged := slices.Clone(classes)
	for _, v := range entry.Values[ObjectClass] {
		name, ok := v.(string)
		if ok && !containsFold(e.Drop, name) && !slices.ContainsFunc(classes, func(c backends.Value) bool {
			known, ok := c.(string)
			return ok && containsFold([]string{known}, name)
		}) {
			merged = append(merged, name)
		}
	}
	target := make(backends.Values, len(e.Touched))
	for name, values := range e.Touched {
		target[name] = values
	}
	target[ObjectClass] = merged
	return target
}
