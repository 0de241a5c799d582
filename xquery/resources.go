package xquery

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/lestrrat-go/helium"
	"github.com/lestrrat-go/helium/xpath3"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// resource is a function that reads documents, collections or texts: by what the input resolves them with, and else it
// is refused.
type resource struct {
	name    string
	refusal *refusal
}

func (r *resource) MinArity() int { return r.refusal.least }
func (r *resource) MaxArity() int { return r.refusal.most }

func (r *resource) Call(ctx context.Context, args []xpath3.Sequence) (xpath3.Sequence, error) {
	b := budgetOf(ctx)
	if b == nil {
		return nil, errOutside
	}
	if err := b.check(); err != nil {
		return nil, err
	}
	if strings.HasPrefix(r.name, "unparsed-text") && len(args) == 2 {
		if _, err := textArgument(args[1]); err != nil {
			return nil, err
		}
	}
	switch r.name {
	case "doc":
		if b.input.Documents != nil {
			return b.doc(args[0])
		}
	case "doc-available":
		if b.input.Documents != nil {
			return b.docAvailable(args[0])
		}
		if _, err := optionalString(args[0]); err != nil {
			return nil, err
		}
	case "collection", "uri-collection":
		if b.input.Collections != nil {
			return r.invoke(ctx, b, args)
		}
	default:
		if b.input.Texts != nil {
			return r.invoke(ctx, b, args)
		}
	}
	return r.refusal.Call(ctx, args)
}

// optionalString is an argument of type xs:string?.
func optionalString(s xpath3.Sequence) (string, error) {
	if s == nil || s.Len() == 0 {
		return "", nil
	}
	return textArgument(s)
}

// textArgument is an argument converted to xs:string, also from an untyped value or a URI.
func textArgument(s xpath3.Sequence) (string, error) {
	atoms, err := atMost(s, 1)
	if err != nil {
		return "", err
	}
	if len(atoms) == 1 {
		switch a := atoms[0]; {
		case a.TypeName == xpath3.TypeUntypedAtomic, a.TypeName == xpath3.TypeAnyURI,
			xpath3.BuiltinIsSubtypeOf(a.TypeName, xpath3.TypeString):
			return a.StringVal(), nil
		default:
			return "", typeError("expected a string, not %s", a.TypeName)
		}
	}
	return "", typeError("expected a string, but there is none")
}

// readJSON reads the text of a resource that holds JSON, which may have characters that XML has not.
func readJSON(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	if args[0] == nil || args[0].Len() == 0 {
		return nil, nil
	}
	text, err := textArgument(args[0])
	if err != nil {
		return nil, err
	}
	unavailable := xpathError("FOUT1170", "there is no text %q", text)
	uri, err := b.absolute(text)
	if err != nil || b.input.Texts == nil || strings.Contains(uri, "#") {
		return nil, unavailable
	}
	bytes, err := b.input.Texts(b.outer(), uri)
	if late := b.check(); late != nil {
		return nil, late
	}
	if err != nil {
		return nil, unavailable
	}
	if err := b.construct(len(bytes)); err != nil {
		return nil, err
	}
	decoded, _, err := transform.String(unicode.BOMOverride(encoding.Nop.NewDecoder()), string(bytes))
	if err != nil || !utf8.ValidString(decoded) {
		return nil, xpathError("FOUT1200", "the text %q is in no encoding that it tells", uri)
	}
	return xpath3.SingleString(decoded), nil
}

// absoluteURI resolves a URI that a library module names.
func absoluteURI(_ *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	text, err := optionalString(args[1])
	if err != nil || text == "" || hasScheme(text) {
		return args[1], nil // the function itself reports what is wrong
	}
	base, err := textArgument(args[0])
	if err != nil {
		return nil, err
	}
	return xpath3.SingleString((&module{baseURI: base}).absolute(text)), nil
}

// absolute resolves a URI that a query names.
func (b *budget) absolute(uri string) (string, error) {
	if _, err := url.Parse(uri); err != nil || strings.ContainsAny(uri, "\\ ^`{}|<>\"") {
		return "", xpathError("FODC0005", "%q is not a URI", uri)
	}
	return b.query.module.absolute(uri), nil
}

func (b *budget) doc(arg xpath3.Sequence) (xpath3.Sequence, error) {
	if arg == nil || arg.Len() == 0 {
		return nil, nil
	}
	text, err := textArgument(arg)
	if err != nil {
		return nil, err
	}
	uri, err := b.absolute(text)
	if err != nil {
		return nil, err
	}
	d, known := b.read[uri]
	if !known {
		if d, err = b.input.Documents(b.outer(), uri); err != nil || d == nil || d.doc == nil {
			if late := b.check(); late != nil {
				return nil, late
			}
			return nil, xpathError("FODC0002", "there is no document %q", uri)
		}
		if b.read == nil {
			b.read = make(map[string]*Document)
		}
		b.read[uri], b.grown = d, true
	}
	return xpath3.ItemSlice{xpath3.NodeItem{Node: d.doc}}, nil
}

func (b *budget) docAvailable(arg xpath3.Sequence) (xpath3.Sequence, error) {
	if _, err := optionalString(arg); err != nil {
		return nil, err
	}
	found, err := b.doc(arg)
	if b.failed != nil {
		return nil, b.failed
	}
	return xpath3.SingleBoolean(err == nil && found != nil), nil
}

// invoke calls helium's function with the input's resolvers.
func (r *resource) invoke(ctx context.Context, b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	ref := xpath3.NamedFunctionRef{Prefix: "fn", Name: r.name, Arity: len(args)}
	expression, err := xpath3.NewCompiler().CompileExpr(ref)
	if err != nil {
		return nil, err
	}
	from := &resolver{budget: b}
	result, err := newEvaluator().BaseURI(b.query.module.baseURI).URIResolver(from).CollectionResolver(from).
		Evaluate(b, expression, nil)
	if err != nil {
		return nil, err
	}
	f, ok := result.Sequence().Get(0).(xpath3.FunctionItem)
	if !ok {
		return nil, errOutside
	}
	b.grown = true
	s, err := f.Invoke(ctx, args)
	if late := b.check(); late != nil {
		return nil, late
	}
	if err != nil {
		return nil, r.refine(err)
	}
	if r.name == "uri-collection" {
		s = asURIs(s)
	}
	return s, b.charge(s)
}

// refine gives the errors of fn:json-doc the codes of fn:unparsed-text, which it is defined by.
func (r *resource) refine(err error) error {
	var e *xpath3.XPathError
	if r.name != "json-doc" || !errors.As(err, &e) || e.Code != "FODC0002" {
		return err
	}
	for _, code := range []string{"FOUT1190", "FOUT1200"} {
		if strings.Contains(e.Message, code) {
			return xpathError(code, "%s", e.Message)
		}
	}
	return xpathError("FOUT1170", "%s", e.Message)
}

func asURIs(s xpath3.Sequence) xpath3.Sequence {
	if s == nil {
		return nil
	}
	all := make(xpath3.ItemSlice, s.Len())
	for i := range all {
		all[i] = s.Get(i)
		if a, ok := all[i].(xpath3.AtomicValue); ok && a.TypeName == xpath3.TypeString {
			a.TypeName = xpath3.TypeAnyURI
			all[i] = a
		}
	}
	return all
}

// resolver gives helium what the input resolves.
type resolver struct{ *budget }

// ResolveURI reads a text.
func (r *resolver) ResolveURI(uri string) (io.ReadCloser, error) {
	text, err := r.input.Texts(r.outer(), uri)
	if err != nil {
		return nil, err
	}
	if err := r.construct(len(text)); err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(text)), nil
}

// ResolveCollection finds a collection.
func (r *resolver) ResolveCollection(uri string) (xpath3.Sequence, error) {
	s, err := r.input.Collections(r.outer(), uri)
	if err != nil {
		return nil, xpathError("FODC0002", "there is no collection %q", uri)
	}
	if s == nil {
		return xpath3.ItemSlice{}, nil
	}
	return inner(s), nil
}

// ResolveURICollection finds the URIs of a collection's documents.
func (r *resolver) ResolveURICollection(uri string) ([]string, error) {
	s, err := r.ResolveCollection(uri)
	if err != nil {
		return nil, err
	}
	var all []string
	for i := range s.Len() {
		switch item := s.Get(i).(type) {
		case xpath3.NodeItem:
			d, ok := item.Node.(*helium.Document)
			if !ok {
				d = item.Node.OwnerDocument()
			}
			if d != nil && d.URL() != "" {
				all = append(all, d.URL())
			}
		case xpath3.AtomicValue:
			text, err := xpath3.AtomicToString(item)
			if err != nil {
				return nil, err
			}
			all = append(all, text)
		}
	}
	return all, nil
}
