package objects

import (
	"context"
	"slices"
	"strings"

	"clacks"
	"clacks/access"
	"clacks/mapping"
)

// Get reads an object by UUID or DN, as its backends hold it now. No attributes means all; those that the user may not
// read are left out, and secrets are never there. Errors: clacks.NotFound, clacks.Denied, clacks.Invalid (an attribute
// that no type has), clacks.Unavailable.
func (s *Service) Get(ctx context.Context, user access.User, id string, attributes []string) (*View, error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	cat := s.catalogue.Load()
	if err := cat.known(attributes); err != nil {
		return nil, err
	}
	l, err := s.open(ctx, cat, id, func(shape *mapping.Shape) []mapping.SourceWant { return wants(shape, attributes) }, trustRow)
	if err != nil {
		return nil, s.hidden(user, "objects.get", id, named("objects.get", err))
	}
	if !s.policy.Allowed(user, access.Read, access.Topic{Type: l.row.typ, UUID: l.row.uuid, DN: l.row.dn}) {
		return nil, clacks.E(clacks.Denied, "objects.get", "this is not allowed")
	}
	return s.view(user, l, attributes), nil
}

// known refuses attributes that no type has.
func (c *catalogue) known(attributes []string) error {
	var wrong fields
	for _, name := range attributes {
		if c.attributes[name] == nil {
			wrong.add(clip(name, 100), clacks.CodeUnknown, "no type has such an attribute%s", meant(name, sortedNames(c.attributes)))
		}
	}
	return wrong.err("objects", "")
}

func (s *Service) view(user access.User, l *loaded, attributes []string) *View {
	see := s.readable(user, l.row.typ, l.row.uuid, l.row.dn)
	v := &View{
		UUID: l.row.uuid, DN: l.row.dn, Type: l.row.typ, Extensions: slices.Clone(l.row.extensions),
		Version: versionText(l.row.version), LastChanged: l.row.modified, Shape: l.shape,
		Values: make(mapping.Values, len(l.object.Values)),
	}
	for name, list := range l.object.Values {
		if len(attributes) > 0 && !slices.Contains(attributes, name) {
			continue
		}
		if a := l.shape.Attribute(name); a != nil && see(a) {
			v.Values[name] = list
		}
	}
	return v
}

func sortFields(list []clacks.Field) {
	slices.SortFunc(list, func(a, b clacks.Field) int { return strings.Compare(a.Attribute, b.Attribute) })
}

func sortedNames[V any](values map[string]V) []string {
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func compareText(a, b string) int { return strings.Compare(a, b) }
