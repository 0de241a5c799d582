package objects

import (
	"context"
	"slices"
	"strings"

	"clacks"
	"clacks/backends"
	"clacks/internal/dn"
	"clacks/mapping"
	"clacks/objects/journal"
)

// nameChoice finds a free name for an entry: the first RDN attribute alone; if that is taken at the parent, with the
// next ones added, one by one ("cn=X+uid=Y").
type nameChoice struct {
	source *mapping.Source
	parent string
	rdn    string          // asked for by the client: no other is tried
	self   string          // the UUID that may hold the name itself
	taken  map[string]bool // DN keys that the directory refused although the index does not know them
}

// candidates are the names to try, in order. The first is made of the attributes in first, which are those of the
// entry's present name, or of the type's first RDN attribute.
func (n *nameChoice) candidates(first []string, values backends.Values) []string {
	if n.source.FixedRDN != "" {
		return []string{dn.Join(n.source.FixedRDN, n.parent)}
	}
	attributes := first
	if len(attributes) == 0 {
		attributes = n.source.RDN[:1]
	}
	var names []string
	rdn := ""
	for i, attribute := range append(slices.Clone(attributes), n.source.RDN...) {
		if i >= len(attributes) && containsFold(attributes, attribute) {
			continue
		}
		value, ok := firstText(valuesOf(values, attribute))
		if !ok {
			if i < len(attributes) {
				return nil // the name cannot do without it
			}
			continue
		}
		if rdn != "" {
			rdn += "+"
		}
		rdn += dn.MakeRDN(attribute, value)
		if i >= len(attributes)-1 {
			names = append(names, dn.Join(rdn, n.parent))
		}
	}
	return names
}

// choose returns the first free candidate.
func (s *Service) choose(ctx context.Context, n *nameChoice, candidates []string, typ string) (string, error) {
	if len(candidates) == 0 {
		var wrong fields
		for _, attribute := range n.source.RDN[:min(1, len(n.source.RDN))] {
			wrong.add(attribute, clacks.CodeMandatory, "the name of the entry is made of it")
		}
		return "", wrong.err("objects.name", typ)
	}
	keys := make([]string, len(candidates))
	args := make([]any, len(candidates))
	for i, name := range candidates {
		key, err := dn.Key(name)
		if err != nil {
			return "", err
		}
		keys[i], args[i] = key, key
	}
	owners := map[string]string{}
	err := s.db.Query(ctx, `SELECT dn_key, uuid FROM clacks_objects WHERE dn_key IN (`+repeated("?", ", ", len(args))+`)`, args,
		func(scan func(...any) error) error {
			var key, uuid string
			err := scan(&key, &uuid)
			owners[key] = uuid
			return err
		})
	if err != nil {
		return "", err
	}
	for i, name := range candidates {
		owner, known := owners[keys[i]]
		if !n.taken[keys[i]] && (!known || owner == n.self) {
			return name, nil
		}
	}
	return "", taken(n.source, typ, candidates[len(candidates)-1])
}

func taken(source *mapping.Source, typ, name string) error {
	var wrong fields
	for _, a := range dn.RDNValues(name) {
		wrong.add(a.Attribute, clacks.CodeNotUnique, "an entry of this name exists already: %s", name)
	}
	if source.FixedRDN != "" {
		return &clacks.Error{Op: "objects.name", Kind: clacks.NotUnique, Type: typ, Reason: "the entry " + name + " exists already"}
	}
	return wrong.err("objects.name", typ)
}

// rename decides on the name of an existing entry whose values are to be values: its present RDN as long as all of its
// parts are still among them, else one of the same attributes with the values of now.
func (s *Service) rename(ctx context.Context, n *nameChoice, name string, values backends.Values, typ string) (string, error) {
	rdn := dn.RDN(name)
	parts := dn.RDNValues(rdn)
	here := dn.Equal(n.parent, dn.Parent(name))
	attributes := make([]string, len(parts))
	kept := n.source.FixedRDN != ""
	if !kept {
		kept = true
		for i, part := range parts {
			attributes[i] = part.Attribute
			list, touched := lookup(values, part.Attribute)
			if touched && !hasText(list, part.Value) {
				kept = false
			}
		}
	}
	if n.rdn != "" && !dn.Equal(n.rdn, rdn) {
		return s.choose(ctx, n, []string{dn.Join(n.rdn, n.parent)}, typ)
	}
	if kept && here {
		return name, nil
	}
	var candidates []string
	if kept {
		candidates = []string{dn.Join(rdn, n.parent)}
	} else {
		candidates = n.candidates(attributes, preferred(values, parts))
		if candidates == nil {
			candidates = n.candidates(nil, values)
		}
	}
	return s.choose(ctx, n, candidates, typ)
}

// preferred puts those values first that are in the present name, so that only the part that changed changes it.
func preferred(values backends.Values, parts []dn.AVA) backends.Values {
	sorted := make(backends.Values, len(values))
	for name, list := range values {
		sorted[name] = list
	}
	for _, part := range parts {
		for name, list := range values {
			if strings.EqualFold(name, part.Attribute) && hasText(list, part.Value) {
				sorted[name] = []backends.Value{part.Value}
			}
		}
	}
	return sorted
}

// lookup finds an attribute's values whatever the case of its name (RFC 4512, section 2.5).
func lookup(values backends.Values, attribute string) ([]backends.Value, bool) {
	list, ok := values[spelled(values, attribute)]
	return list, ok
}

// spelled is an attribute's name as the values have it, in whatever case of its letters; as it is when they do not.
func spelled(values backends.Values, attribute string) string {
	if _, ok := values[attribute]; ok {
		return attribute
	}
	for name := range values {
		if strings.EqualFold(name, attribute) {
			return name
		}
	}
	return attribute
}

func valuesOf(values backends.Values, attribute string) []backends.Value {
	list, _ := lookup(values, attribute)
	return list
}

func firstText(list []backends.Value) (string, bool) {
	for _, v := range list {
		if text := journal.Text(v); text != "" {
			return text, true
		}
	}
	return "", false
}

func hasText(list []backends.Value, text string) bool {
	folded := dn.FoldValue(text)
	return slices.ContainsFunc(list, func(v backends.Value) bool {
		have := journal.Text(v)
		return have == text || dn.FoldValue(have) == folded
	})
}

func containsFold(list []string, name string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, name) })
}

// withName adds the values that the RDN names to those of a new entry: a directory refuses an entry without them.
func withName(values backends.Values, name string) backends.Values {
	for _, part := range dn.RDNValues(name) {
		attribute, found := part.Attribute, false
		for known := range values {
			if strings.EqualFold(known, part.Attribute) {
				attribute = known
				found = hasText(values[known], part.Value)
			}
		}
		if !found {
			values[attribute] = append(slices.Clone(values[attribute]), part.Value)
		}
	}
	return values
}

// afterRename are an entry's values when its RDN has changed: the old name's values are gone, the new one's are there.
func afterRename(values backends.Values, from, to string) backends.Values {
	renamed := make(backends.Values, len(values))
	for name, list := range values {
		renamed[name] = list
	}
	old, now := dn.RDNValues(from), dn.RDNValues(to)
	for _, part := range old {
		for name := range renamed {
			if strings.EqualFold(name, part.Attribute) && !namesValue(now, part) {
				renamed[name] = slices.DeleteFunc(slices.Clone(renamed[name]), func(v backends.Value) bool {
					return hasText([]backends.Value{v}, part.Value)
				})
			}
		}
	}
	return withName(renamed, to)
}

func namesValue(parts []dn.AVA, part dn.AVA) bool {
	return slices.ContainsFunc(parts, func(p dn.AVA) bool {
		return strings.EqualFold(p.Attribute, part.Attribute) && dn.FoldValue(p.Value) == dn.FoldValue(part.Value)
	})
}
