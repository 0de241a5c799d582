package rpc

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"clacks"
)

// OpenRPC is a document of the OpenRPC specification, version 1.3.2.
type OpenRPC struct {
	OpenRPC    string          `json:"openrpc"`
	Info       OpenRPCInfo     `json:"info"`
	Methods    []OpenRPCMethod `json:"methods"`
	Components struct {
		Schemas map[string]Schema       `json:"schemas"`
		Errors  map[string]OpenRPCError `json:"errors"`
	} `json:"components"`
}

// OpenRPCInfo names the service.
type OpenRPCInfo struct {
	Title   string `json:"title"`
	Version string `json:"version"`
}

// OpenRPCMethod describes one command.
type OpenRPCMethod struct {
	Name           string         `json:"name"`
	Summary        string         `json:"summary"`
	Tags           []OpenRPCTag   `json:"tags,omitempty"`
	ParamStructure string         `json:"paramStructure"`
	Params         []OpenRPCValue `json:"params"`
	Result         OpenRPCValue   `json:"result"`
	Errors         []OpenRPCRef   `json:"errors"`
}

// OpenRPCTag marks a method.
type OpenRPCTag struct {
	Name string `json:"name"`
}

// OpenRPCValue describes a parameter or a result.
type OpenRPCValue struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	Required    bool   `json:"required,omitempty"`
	Schema      Schema `json:"schema"`
}

// OpenRPCError describes an error that methods may answer.
type OpenRPCError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// OpenRPCRef points into the components.
type OpenRPCRef struct {
	Ref string `json:"$ref"`
}

// Schema is a JSON Schema.
type Schema map[string]any

// OpenRPC describes all commands, in the order of their names, those of other processes behind them.
func (r *Registry) OpenRPC() *OpenRPC {
	r.mu.RLock()
	defer r.mu.RUnlock()
	version := r.options.Version
	if version == "" {
		version = "0"
	}
	d := &OpenRPC{OpenRPC: "1.3.2", Info: OpenRPCInfo{Title: "Clacks", Version: version}, Methods: []OpenRPCMethod{}}
	d.Components.Errors = map[string]OpenRPCError{}
	d.Components.Schemas = map[string]Schema{}
	var refs []OpenRPCRef
	for _, kind := range clacks.Kinds() {
		d.Components.Errors[kind.String()] = OpenRPCError{Code: WireOf(kind).JSONRPC, Message: kind.String()}
		refs = append(refs, OpenRPCRef{Ref: "#/components/errors/" + kind.String()})
	}
	s := schemas{named: d.Components.Schemas, names: map[reflect.Type]string{}}
	for _, name := range r.names {
		d.Methods = append(d.Methods, describeCommand(&s, r.commands[name], refs))
	}
	for _, c := range r.foreign() {
		d.Methods = append(d.Methods, describeForeign(c, refs))
	}
	return d
}

// describeForeign describes a command of which only the names of its parameters are known.
func describeForeign(c ForeignCommand, errors []OpenRPCRef) OpenRPCMethod {
	m := OpenRPCMethod{Name: c.Name, Summary: c.Documentation, ParamStructure: "either", Params: []OpenRPCValue{}, Errors: errors,
		Tags: []OpenRPCTag{{Name: "foreign"}}, Result: OpenRPCValue{Name: "result", Schema: Schema{}}}
	for _, name := range c.Signature {
		m.Params = append(m.Params, OpenRPCValue{Name: name, Schema: Schema{}})
	}
	return m
}

func describeCommand(s *schemas, c *Command, errors []OpenRPCRef) OpenRPCMethod {
	m := OpenRPCMethod{Name: c.Name, Summary: c.Help, ParamStructure: "either", Params: []OpenRPCValue{}, Errors: errors,
		Result: OpenRPCValue{Name: "result", Schema: s.of(c.result)}}
	if c.Public {
		m.Tags = append(m.Tags, OpenRPCTag{Name: "public"})
	}
	if c.Changes {
		m.Tags = append(m.Tags, OpenRPCTag{Name: "changes"})
	}
	for _, p := range c.Params {
		m.Params = append(m.Params, OpenRPCValue{Name: p.Name, Description: p.Help, Required: p.Required, Schema: s.of(p.typ)})
	}
	// A required parameter behind an optional one could not be left out by position: OpenRPC wants the required ones first.
	if !slices.IsSortedFunc(c.Params, func(a, b Param) int { return order(b.Required) - order(a.Required) }) {
		m.ParamStructure = "by-name"
	}
	return m
}

func order(required bool) int {
	if required {
		return 1
	}
	return 0
}

// Schemer is a type that knows its JSON Schema better than its Go type tells.
type Schemer interface{ JSONSchema() Schema }

var (
	schemer  = reflect.TypeFor[Schemer]()
	timeType = reflect.TypeFor[time.Time]()
	rawType  = reflect.TypeFor[json.RawMessage]()
)

// schemas collects the schemas of named structs, so that each is written once and may contain itself.
type schemas struct {
	named map[string]Schema
	names map[reflect.Type]string
}

// of is the JSON Schema of a Go type as encoding/json writes it.
func (s *schemas) of(t reflect.Type) Schema {
	if t.Implements(schemer) && t.Kind() != reflect.Interface {
		return reflect.Zero(t).Interface().(Schemer).JSONSchema()
	}
	switch t {
	case timeType:
		return Schema{"type": "string", "format": "date-time"}
	case rawType:
		return Schema{}
	}
	switch t.Kind() {
	case reflect.String:
		return Schema{"type": "string"}
	case reflect.Bool:
		return Schema{"type": "boolean"}
	case reflect.Float32, reflect.Float64:
		return Schema{"type": "number"}
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return Schema{"type": "string", "contentEncoding": "base64"}
		}
		return Schema{"type": "array", "items": s.of(t.Elem())}
	case reflect.Map:
		return Schema{"type": "object", "additionalProperties": s.of(t.Elem())}
	case reflect.Pointer:
		return s.of(t.Elem())
	case reflect.Struct:
		return s.ofStruct(t)
	case reflect.Interface:
		return Schema{}
	default:
		return Schema{"type": "integer"}
	}
}

func (s *schemas) ofStruct(t reflect.Type) Schema {
	if t.Name() == "" {
		return s.object(t)
	}
	name, known := s.names[t]
	if !known {
		name = schemaName(t.Name())
		if _, taken := s.named[name]; taken {
			name = schemaName(t.PkgPath() + "." + t.Name())
		}
		s.names[t] = name
		s.named[name] = Schema{} // stands for itself while its fields are looked at
		s.named[name] = s.object(t)
	}
	return Schema{"$ref": "#/components/schemas/" + name}
}

// schemaName makes a Go name fit to be a key of an OpenRPC document's components.
func schemaName(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r) || r == '.') {
			return r
		}
		return '_'
	}, name)
	return strings.ToUpper(name[:1]) + name[1:]
}

func (s *schemas) object(t reflect.Type) Schema {
	properties, required := map[string]any{}, []string{}
	for _, f := range reflect.VisibleFields(t) {
		tag := f.Tag.Get("json")
		name, options, _ := strings.Cut(tag, ",")
		if f.Anonymous || !f.IsExported() || name == "-" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		schema := s.of(f.Type)
		if doc := f.Tag.Get("doc"); doc != "" {
			schema["description"] = doc
		}
		properties[name] = schema
		if !strings.Contains(options, "omitempty") && !strings.Contains(options, "omitzero") {
			required = append(required, name)
		}
	}
	schema := Schema{"type": "object", "properties": properties}
	if len(required) > 0 {
		schema["required"] = required
	}
	return schema
}
