package rpc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"clacks"
	"clacks/internal/nearest"
)

// plan is a parameter struct made ready for decoding.
type plan struct {
	params []Param
	names  []string
	byName map[string]int
}

// planOf reads the tags of a parameter struct.
func planOf(t reflect.Type) (*plan, error) {
	p := &plan{byName: map[string]int{}}
	if t.Kind() != reflect.Struct {
		return p, fmt.Errorf("rpc: parameters must be a struct, not %s", t)
	}
	for _, f := range reflect.VisibleFields(t) {
		if f.Anonymous || !f.IsExported() {
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			return p, fmt.Errorf("rpc: field %s of %s has no name in its json tag", f.Name, t)
		}
		if _, taken := p.byName[name]; taken {
			return p, fmt.Errorf("rpc: two fields of %s are named %s", t, name)
		}
		if len(p.params) > 0 && p.params[len(p.params)-1].Rest {
			return p, fmt.Errorf("rpc: field %s of %s stands behind the one that takes the rest", f.Name, t)
		}
		param := Param{Name: name, Help: f.Tag.Get("doc"), Required: f.Tag.Get("required") == "true",
			Rest: f.Tag.Get("rest") == "true", index: f.Index, typ: f.Type}
		if param.Rest && f.Type.Kind() != reflect.Slice {
			return p, fmt.Errorf("rpc: field %s of %s takes the rest and is no slice", f.Name, t)
		}
		p.byName[name] = len(p.params)
		p.params = append(p.params, param)
		p.names = append(p.names, name)
	}
	return p, nil
}

// decode fills a parameter struct from a JSON object, a JSON array or nothing. It reports every wrong parameter at once.
func (p *plan) decode(raw json.RawMessage, into reflect.Value) error {
	given := make([]json.RawMessage, len(p.params))
	var fields []clacks.Field
	if len(raw) > 0 && raw[0] == '{' {
		fields = p.byNames(raw, given)
	} else if len(raw) > 0 && raw[0] == '[' {
		fields = p.byPosition(raw, given)
	}
	for i := range p.params {
		if f, wrong := p.params[i].set(given[i], into); wrong {
			fields = append(fields, f)
		}
	}
	if len(fields) == 0 {
		return nil
	}
	return &codedError{code: CodeInvalidParams, cause: &clacks.Error{Op: "rpc.params", Kind: clacks.Invalid,
		Reason: "wrong parameters", Fields: fields}}
}

// byNames sorts the members of an object to their parameters.
func (p *plan) byNames(raw json.RawMessage, given []json.RawMessage) []clacks.Field {
	var fields []clacks.Field
	for _, m := range membersOf(raw) {
		i, known := p.byName[m.name]
		if !known {
			fields = append(fields, clacks.Field{Attribute: clip(m.name), Code: clacks.CodeUnknown,
				Reason: "no such parameter" + meant(m.name, p.names)})
			continue
		}
		given[i] = m.value
	}
	return fields
}

// byPosition sorts the elements of an array to their parameters.
func (p *plan) byPosition(raw json.RawMessage, given []json.RawMessage) []clacks.Field {
	elements := elementsOf(raw)
	for i := range p.params {
		if i >= len(elements) {
			return nil
		}
		if p.params[i].Rest {
			given[i] = joinArray(elements[i:])
			return nil
		}
		given[i] = elements[i]
	}
	if extra := len(elements) - len(p.params); extra > 0 {
		return []clacks.Field{{Attribute: fmt.Sprintf("[%d]", len(p.params)), Code: clacks.CodeUnknown,
			Reason: fmt.Sprintf("%d parameters given, %d known", len(elements), len(p.params))}}
	}
	return nil
}

func joinArray(elements []json.RawMessage) json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('[')
	for i, e := range elements {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(e)
	}
	b.WriteByte(']')
	return b.Bytes()
}

var jsonNull = []byte("null")

// set decodes one argument into its field; the second result says that it is wrong.
func (p *Param) set(raw json.RawMessage, into reflect.Value) (clacks.Field, bool) {
	// Positional clients leave an optional parameter out by writing null.
	missing := raw == nil || (bytes.Equal(raw, jsonNull) && p.typ.Kind() != reflect.Interface)
	if missing {
		if p.Required {
			return clacks.Field{Attribute: p.Name, Code: clacks.CodeMandatory, Reason: "the parameter is missing"}, true
		}
		return clacks.Field{}, false
	}
	field := into.FieldByIndex(p.index)
	if p.typ.Kind() == reflect.String && raw[0] == '"' && !implementsJSON(p.typ) {
		field.SetString(text(raw))
		return clacks.Field{}, false
	}
	if err := decodeStrictly(raw, field.Addr().Interface()); err != nil {
		return clacks.Field{Attribute: p.Name, Code: clacks.CodeType, Reason: p.complaint(raw, err)}, true
	}
	return clacks.Field{}, false
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

func implementsJSON(t reflect.Type) bool { return reflect.PointerTo(t).Implements(unmarshaler) }

// decodeStrictly decodes valid JSON, keeping numbers exact where the target is open, and refusing unknown members.
func decodeStrictly(raw json.RawMessage, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}

// complaint says what a parameter must be. It never repeats the value, which may be a secret.
func (p *Param) complaint(raw json.RawMessage, err error) string {
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return "no such member " + clip(name) + meant(strings.Trim(name, `"`), memberNames(p.typ))
	}
	must := "must be " + describe(p.typ)
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) && wrong.Field != "" {
		return fmt.Sprintf("the member %s must be %s", clip(wrong.Field), describe(wrong.Type))
	}
	if got := kindOfJSON(raw); !strings.HasPrefix(describe(p.typ), got) {
		return must + ", not " + got
	}
	return must
}

// meant continues a sentence about an unknown name with the known one that is near, if one is.
func meant(name string, known []string) string {
	if hint := nearest.Hint(name, known); hint != "" {
		return ", " + hint
	}
	return ""
}

// memberNames are the JSON names of a struct's fields.
func memberNames(t reflect.Type) []string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	var names []string
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			names = append(names, name)
		}
	}
	return names
}

// describe names a type in words of JSON.
func describe(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "an integer"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		switch t.Elem().Kind() {
		case reflect.Uint8:
			return "a base64 string"
		case reflect.String:
			return "a list of strings"
		}
		return "a list"
	case reflect.Map, reflect.Struct:
		return "an object"
	case reflect.Pointer:
		return describe(t.Elem())
	default:
		return "a JSON value"
	}
}
