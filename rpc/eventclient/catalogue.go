package eventclient

import (
	"encoding/json"
	"slices"

	"clacks"
	"clacks/events"
	"clacks/internal/nearest"
	"clacks/internal/xsd"
)

// Type describes an event type: its name, its documentation, and in Elements what it holds, in the order of the schema.
type Type = xsd.Particle

// Catalogue says which event types a service knows, and builds events. It is immutable and safe for concurrent use.
type Catalogue struct {
	types    []Type
	names    []string
	contents map[string]xsd.Content
	schema   *xsd.Schema
}

// ReadCatalogue reads the answer of the command getEventTypes, which was asked with schema=true.
func ReadCatalogue(answer []byte) (*Catalogue, error) {
	const op = "eventclient.catalogue"
	var read events.Catalogue
	if err := json.Unmarshal(answer, &read); err != nil {
		return nil, clacks.E(clacks.Internal, op, "the service's catalogue cannot be read: %w", err)
	}
	c := &Catalogue{types: read.Types, contents: read.Contents}
	for _, t := range read.Types {
		c.names = append(c.names, t.Name)
	}
	files := make([]xsd.File, len(read.Schema))
	for i, source := range read.Schema {
		files[i] = xsd.File{Name: source.Name, Data: []byte(source.Text)}
	}
	schema, err := xsd.Compile(files...)
	if err != nil {
		return nil, clacks.E(clacks.Internal, op, "the service's event schema cannot be used: %w", err)
	}
	c.schema = schema
	return c, nil
}

// Types are the known event types, by name.
func (c *Catalogue) Types() []Type { return slices.Clone(c.types) }

// Type is the event type of a name; clacks.NotFound, with the nearest name, when there is none.
func (c *Catalogue) Type(name string) (Type, error) {
	for _, t := range c.types {
		if t.Name == name {
			return t, nil
		}
	}
	reason := "there is no event type " + quoted(name)
	if hint := nearest.Hint(name, c.names); hint != "" {
		reason += "; " + hint
	}
	return Type{}, clacks.E(clacks.NotFound, "eventclient.catalogue", "%s", reason)
}

// content is what an element holds, wherever its type is described.
func (c *Catalogue) content(p *xsd.Particle) xsd.Content {
	if p.Complex == "" {
		return p.Content
	}
	return c.contents[p.Complex]
}
