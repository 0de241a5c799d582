package events

import (
	"clacks"
	"clacks/internal/xsd"
)

// Catalogue says what event types there are, for people and for programs that write events.
type Catalogue struct {
	// Types are the known event types, by name; the content of each is that of the one child of Event.
	Types []xsd.Particle `json:"types"`
	// Contents are the contents that types refer to by name (xsd.Content.Complex).
	Contents map[string]xsd.Content `json:"contents,omitempty"`
	// Schema holds the XSD files, when they were asked for. The first one declares Event and includes the others.
	Schema []SchemaSource `json:"schema,omitempty"`
}

// SchemaSource is an XSD file under the name by which others include it.
type SchemaSource struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// Catalogue describes the event types of these names, or all; with their schema, if wanted. A name that there is not is
// clacks.NotFound.
func (s *Schemas) Catalogue(withSchema bool, types ...string) (*Catalogue, error) {
	const op = "events.catalogue"
	for _, name := range types {
		if !s.Known(name) {
			return nil, clacks.E(clacks.NotFound, op, "%s", s.unknown(name))
		}
	}
	if len(types) == 0 {
		types = s.types
	}
	description, err := xsd.Describe(s.files, types...)
	if err != nil {
		return nil, &clacks.Error{Op: op, Kind: clacks.Internal, Reason: "the schemas cannot be described", Err: err}
	}
	c := &Catalogue{Types: description.Elements, Contents: description.Types}
	if withSchema {
		for _, file := range s.files {
			c.Schema = append(c.Schema, SchemaSource{Name: file.Name, Text: string(file.Data)})
		}
	}
	return c, nil
}

// TypeOf is the event type of a document: the local name of the root's one child. It reads no further than that; whether
// the document is valid is Schemas.Validate's to say. The error is clacks.Invalid.
func TypeOf(document []byte) (string, error) { return typeOf(document) }
