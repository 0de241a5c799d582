package ldap

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"clacks"
)

// schemaAge is how old a schema must be before an attribute that it does not know makes the driver read it again.
const schemaAge = time.Minute

// form is the Go type in which values of an attribute are returned.
type form uint8

const (
	text form = iota
	integer
	boolean
	timestamp
	binary
)

// syntaxes are the forms of the LDAP syntaxes that are not text (RFC 4517, section 3.3; RFC 4523, section 2), by the
// last arc of their OID.
var syntaxes = map[string]form{
	"4": binary, "5": binary, "7": boolean, "8": binary, "9": binary, "10": binary, "23": binary, "24": timestamp,
	"27": integer, "28": binary, "40": binary, "49": binary,
}

const syntaxArc = "1.3.6.1.4.1.1466.115.121.1."

// attributeType is what the driver needs of a schema definition (RFC 4512, section 4.1.2). It is immutable.
type attributeType struct {
	names       []string
	oid         string
	super       string
	form        form
	equality    string // the matching rule in lower case; empty when values cannot be compared
	syntax      string
	operational bool // only the server sets it
}

// schema holds the attribute types of a directory. It is immutable but for the two marks.
type schema struct {
	types      map[string]*attributeType // by every name as the server spells it, and in lower case
	generation int64
	loaded     time.Time
	unknown    atomic.Bool // an attribute was met that it does not know
	checked    atomic.Bool // Ping found everything that the driver needs
}

// attribute is the type of an attribute by name or OID, in any case, options left aside; nil when it is unknown.
func (s *schema) attribute(description string) *attributeType {
	if found, ok := s.types[description]; ok {
		return found
	}
	name, _, _ := strings.Cut(description, ";")
	found, ok := s.types[strings.ToLower(name)]
	if !ok {
		s.unknown.Store(true)
	}
	return found
}

// operational reports whether only the server sets an attribute.
func (s *schema) operational(name string) bool {
	found := s.attribute(name)
	return found != nil && found.operational
}

// comparable reports whether the server can delete a single value of an attribute. Of what it does not know the server
// decides.
func (s *schema) comparable(description string) bool {
	found := s.attribute(description)
	return found == nil || found.equality != ""
}

// description is an attribute description (RFC 4512, section 2.5) with what the schema says of it: looked up once an entry,
// compared with every other.
type description struct {
	text  string
	plain bool           // without options
	known *attributeType // nil when the schema has no such attribute
}

// description looks up an attribute that the server has sent.
func (s *schema) description(text string) description {
	return description{text: text, plain: strings.IndexByte(text, ';') < 0, known: s.attribute(text)}
}

// descriptions looks up what was asked for. What is unknown here is no sign of an old schema: a server may never have it.
func (s *schema) descriptions(asked []string) []description {
	list := make([]description, len(asked))
	for i, text := range asked {
		name, _, optional := strings.Cut(text, ";")
		known, ok := s.types[name]
		if !ok {
			known = s.types[strings.ToLower(name)]
		}
		list[i] = description{text: text, plain: !optional, known: known}
	}
	return list
}

// same reports whether the server's answer got is what was asked for: one attribute has several names, names have no
// case, and ";binary" is added where a syntax is transferred like that (RFC 4522).
func (s *schema) same(asked, got *description) bool {
	if asked.plain && got.plain {
		return asked.known == got.known && (asked.known != nil || strings.EqualFold(asked.text, got.text))
	}
	askedName, askedOptions, _ := strings.Cut(asked.text, ";")
	gotName, gotOptions, _ := strings.Cut(got.text, ";")
	if !sameOptions(askedOptions, gotOptions) && (askedOptions != "" || !strings.EqualFold(gotOptions, "binary")) {
		return false
	}
	return strings.EqualFold(askedName, gotName) || asked.known != nil && asked.known == got.known
}

// schema is the directory's schema, read when it is first needed, after an outage, and when it turns out to be old.
func (b *Backend) schema(ctx context.Context) (*schema, error) {
	if s := b.schemas.Load(); s != nil && b.current(s) {
		return s, nil
	}
	const op = "ldap.schema"
	select {
	case b.loading <- struct{}{}:
		defer func() { <-b.loading }()
	case <-ctx.Done():
		return nil, because(clacks.Unavailable, op, "the request has ended", ctx.Err())
	}
	known := b.schemas.Load()
	if known != nil && b.current(known) {
		return known, nil
	}
	s, err := b.loadSchema(ctx, op)
	if err != nil {
		return nil, err
	}
	if known != nil && known.generation == s.generation {
		s.checked.Store(known.checked.Load())
	}
	b.schemas.Store(s)
	return s, nil
}

// current reports whether a schema need not be read again.
func (b *Backend) current(s *schema) bool {
	return s.generation == b.pool.outages.Load() && (!s.unknown.Load() || time.Since(s.loaded) < schemaAge)
}

func (b *Backend) loadSchema(ctx context.Context, op string) (*schema, error) {
	generation := b.pool.outages.Load()
	root, err := b.rootDSE(ctx, op)
	if err != nil {
		return nil, err
	}
	place := root.attribute("subschemaSubentry")
	if len(place) != 1 {
		return nil, clacks.E(clacks.Unavailable, op, "the directory does not say where its schema is")
	}
	request := goldap.NewSearchRequest(place[0], goldap.ScopeBaseObject, goldap.NeverDerefAliases, 0, 0, false,
		"(objectClass=subschema)", []string{"attributeTypes"}, nil)
	subschema, err := b.search(ctx, op, request)
	if err != nil {
		return nil, because(clacks.Unavailable, op, "the directory's schema cannot be read", err)
	}
	if len(subschema) != 1 {
		return nil, clacks.E(clacks.Unavailable, op, "the directory does not tell its schema")
	}
	s := newSchema(subschema[0].attribute("attributeTypes"))
	s.generation, s.loaded = generation, time.Now()
	return s, nil
}

// newSchema parses attribute type descriptions and lets them inherit. Descriptions that are malformed are left out: the
// attribute is treated as text then.
func newSchema(descriptions []string) *schema {
	s := &schema{types: make(map[string]*attributeType, 3*len(descriptions))}
	var all []*attributeType
	for _, description := range descriptions {
		parsed, ok := parseAttributeType(description)
		if !ok {
			continue
		}
		all = append(all, parsed)
		s.types[parsed.oid] = parsed
		for _, name := range parsed.names {
			s.types[name] = parsed
			s.types[strings.ToLower(name)] = parsed
		}
	}
	for _, attribute := range all {
		s.inherit(attribute)
	}
	return s
}

// inherit takes what a type does not say from its supertypes. The chain is bounded, should it be a circle.
func (s *schema) inherit(attribute *attributeType) {
	for super, depth := attribute.super, 0; super != "" && depth < 16; depth++ {
		parent, ok := s.types[strings.ToLower(super)]
		if !ok {
			break
		}
		if attribute.equality == "" {
			attribute.equality = parent.equality
		}
		if attribute.syntax == "" {
			attribute.syntax = parent.syntax
		}
		super = parent.super
	}
	if arc, ok := strings.CutPrefix(attribute.syntax, syntaxArc); ok {
		attribute.form = syntaxes[arc]
	}
}

// parseAttributeType reads an attribute type description (RFC 4512, section 4.1.2):
//
//	( 2.5.4.3 NAME ( 'cn' 'commonName' ) DESC '...' SUP name EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1{64} SINGLE-VALUE )
func parseAttributeType(description string) (*attributeType, bool) {
	words := schemaWords(description)
	if len(words) < 3 || words[0] != "(" || words[len(words)-1] != ")" {
		return nil, false
	}
	attribute := &attributeType{oid: words[1]}
	for i := 2; i < len(words)-1; i++ {
		next := words[i+1]
		switch words[i] {
		case "NAME":
			if next != "(" {
				attribute.names = []string{next}
				i++
				continue
			}
			for i += 2; i < len(words) && words[i] != ")"; i++ {
				attribute.names = append(attribute.names, words[i])
			}
		case "DESC", "ORDERING", "SUBSTR", "USAGE":
			i++
		case "SUP":
			attribute.super = next
			i++
		case "EQUALITY":
			attribute.equality = strings.ToLower(next)
			i++
		case "SYNTAX":
			attribute.syntax, _, _ = strings.Cut(next, "{")
			i++
		case "NO-USER-MODIFICATION":
			attribute.operational = true
		}
	}
	return attribute, true
}

// schemaWords splits a description into words, parentheses, and quoted strings without their quotes.
func schemaWords(description string) []string {
	var words []string
	for rest := strings.TrimLeft(description, " "); rest != ""; rest = strings.TrimLeft(rest, " ") {
		switch rest[0] {
		case '(', ')':
			words, rest = append(words, rest[:1]), rest[1:]
		case '\'':
			quoted, after, _ := strings.Cut(rest[1:], "'")
			words, rest = append(words, quoted), after
		default:
			end := strings.IndexAny(rest, " ()'")
			if end < 0 {
				end = len(rest)
			}
			words, rest = append(words, rest[:end]), rest[end:]
		}
	}
	return words
}
