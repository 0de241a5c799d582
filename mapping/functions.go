package mapping

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"clacks"
	"clacks/definitions"
	"clacks/internal/dn"
	"clacks/internal/password"
	"clacks/xquery"
)

// function is one of Clacks' own XQuery functions: what it does and how it is documented stand in one place, from which
// docs/functions.md is made.
type function struct {
	name       string
	parameters []parameter
	result     string
	doc        string
	example    string // an expression, and what it yields
	effect     bool   // allowed in Outbound and Default only
	call       func(ctx context.Context, e *environment, args []xquery.Sequence) (xquery.Sequence, error)
}

// parameter is a name and an XQuery type.
type parameter struct{ name, kind string }

// signature is the function's as XQuery writes it.
func (f *function) signature() string {
	list := make([]string, len(f.parameters))
	for i, p := range f.parameters {
		list[i] = "$" + p.name + " as " + p.kind
	}
	return fmt.Sprintf("clacks:%s(%s) as %s", f.name, strings.Join(list, ", "), f.result)
}

// environment is what the functions of one Set work with.
type environment struct {
	options Options
	set     *Set // nil until it is compiled
}

// ownFunctions is the table of Clacks' own functions, in the order of the manual.
var ownFunctions = []function{
	{
		name: "object", parameters: []parameter{{"type", "xs:string"}, {"attribute", "xs:string"}, {"value", "xs:anyAtomicType?"}}, result: "element()?",
		doc: "The object of a type whose attribute has this value: an element named as the type with a child a value, without secrets. " +
			"Nothing when there is none.",
		example: `clacks:object('OrganizationalUnit', 'ou', 'people')/description`,
		call:    callObject,
	},
	{
		name: "next-number", parameters: []parameter{{"type", "xs:string"}, {"attribute", "xs:string"}, {"from", "xs:integer"}}, result: "xs:integer",
		doc:     "Reserves the smallest number, from the given one on, that no object of the type has in this Integer attribute.",
		example: `clacks:next-number('PosixUser', 'uidNumber', 1000)`,
		effect:  true, call: callNextNumber,
	},
	{
		name: "password-hash", parameters: []parameter{{"clear", "xs:string?"}}, result: "xs:string?",
		doc: "The stored form of a password in the configured scheme, with a random salt. What already is a hash of a known scheme " +
			"(\"{SSHA}...\") is returned as it is.",
		example: `clacks:password-hash(userPassword)`,
		effect:  true, call: callPasswordHash,
	},
	{
		name: "transliterate", parameters: []parameter{{"text", "xs:string?"}}, result: "xs:string",
		doc:     "The text in ASCII: German umlauts in two letters, other Latin letters without their marks, Greek and Cyrillic by sound; what has no ASCII form is left out.",
		example: `clacks:transliterate('Jörg Łukasz') = 'Joerg Lukasz'`,
		call: textFunction(func(s string) (string, error) {
			return transliterate(s), nil
		}),
	},
	{
		name: "normal-form", parameters: []parameter{{"text", "xs:string?"}}, result: "xs:string",
		doc:     "The form in which two texts are compared for uniqueness: case folded, single spaces.",
		example: `clacks:normal-form('  Ada   LOVELACE ') = 'ada lovelace'`,
		call:    textFunction(func(s string) (string, error) { return foldKey(s), nil }),
	},
	{
		name: "days", parameters: []parameter{{"time", "xs:anyAtomicType?"}}, result: "xs:integer?",
		doc:     "The days from 1970-01-01 to a date or time, as shadow accounts count them.",
		example: `clacks:days('2006-01-02') = 13150`,
		call:    callDays,
	},
	{
		name: "date-of-days", parameters: []parameter{{"days", "xs:integer?"}}, result: "xs:dateTime?",
		doc:     "The day that lies so many days after 1970-01-01.",
		example: `clacks:date-of-days(13150) = xs:dateTime('2006-01-02T00:00:00Z')`,
		call:    callDateOfDays,
	},
	{
		name: "generalized-time", parameters: []parameter{{"time", "xs:anyAtomicType?"}}, result: "xs:string?",
		doc:     "A date or time as directories write it (RFC 4517, section 3.3.13).",
		example: `clacks:generalized-time('2006-01-02T15:04:05Z') = '20060102150405Z'`,
		call:    callGeneralizedTime,
	},
	{
		name: "parse-generalized-time", parameters: []parameter{{"text", "xs:string?"}}, result: "xs:dateTime?",
		doc:     "The time that a directory's text means (RFC 4517, section 3.3.13).",
		example: `clacks:parse-generalized-time('2006010215Z') = xs:dateTime('2006-01-02T15:00:00Z')`,
		call:    callParseGeneralizedTime,
	},
	{
		name: "rdn", parameters: []parameter{{"attribute", "xs:string"}, {"value", "xs:string"}}, result: "xs:string",
		doc:     "One component of a distinguished name, with the value escaped (RFC 4514).",
		example: `clacks:rdn('cn', 'Lovelace, Ada') = 'cn=Lovelace\, Ada'`,
		call:    callRDN,
	},
	{
		name: "rdn-value", parameters: []parameter{{"dn", "xs:string?"}}, result: "xs:string?",
		doc:     "The value, unescaped, of the first component of a distinguished name.",
		example: `clacks:rdn-value('cn=Lovelace\, Ada,dc=example,dc=net') = 'Lovelace, Ada'`,
		call:    callRDNValue,
	},
	{
		name: "parent-dn", parameters: []parameter{{"dn", "xs:string?"}}, result: "xs:string",
		doc:     "A distinguished name without its first component.",
		example: `clacks:parent-dn('cn=Ada,dc=example,dc=net') = 'dc=example,dc=net'`,
		call:    textFunction(func(s string) (string, error) { return dn.Parent(s), nil }),
	},
}

// functions are the own functions in the form that the query engine wants.
func functions(e *environment) []xquery.Function {
	list := make([]xquery.Function, 0, len(ownFunctions))
	for i := range ownFunctions {
		f := &ownFunctions[i]
		list = append(list, xquery.Function{
			Namespace: Namespace, Name: f.name, Arity: len(f.parameters), Effect: f.effect, Doc: f.doc,
			Call: func(ctx context.Context, args []xquery.Sequence) (xquery.Sequence, error) {
				return f.call(ctx, e, args)
			},
		})
	}
	return list
}

// wrong is the error of a function about its argument. It does not repeat the value.
func wrong(format string, args ...any) error {
	return clacks.E(clacks.Invalid, "mapping.function", format, args...)
}

// textArgument is an argument of at most one text; ok is false when it is empty.
func textArgument(arg xquery.Sequence) (text string, ok bool, err error) {
	if arg == nil || arg.Len() == 0 {
		return "", false, nil
	}
	list, err := arg.Strings()
	if err != nil {
		return "", false, err
	}
	if len(list) != 1 {
		return "", false, wrong("an argument has %d values instead of one", len(list))
	}
	return list[0], true, nil
}

// texts are arguments that must each be one text.
func texts(args []xquery.Sequence) ([]string, error) {
	list := make([]string, len(args))
	for i, arg := range args {
		s, ok, err := textArgument(arg)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, wrong("argument %d is empty", i+1)
		}
		list[i] = s
	}
	return list, nil
}

// timeArgument is an argument of at most one date or time, also as text.
func timeArgument(arg xquery.Sequence) (at time.Time, ok bool, err error) {
	if arg == nil || arg.Len() == 0 {
		return time.Time{}, false, nil
	}
	atoms, err := arg.Atoms()
	if err != nil {
		return time.Time{}, false, err
	}
	if len(atoms) != 1 {
		return time.Time{}, false, wrong("an argument has %d values instead of one", len(atoms))
	}
	v, err := fromTime(definitions.Timestamp, definitions.String, atoms[0])
	if err != nil {
		return time.Time{}, false, wrong("an argument %s", err)
	}
	return v.(time.Time), true, nil
}

// textFunction makes a function of one text, with "" for none.
func textFunction(f func(string) (string, error)) func(context.Context, *environment, []xquery.Sequence) (xquery.Sequence, error) {
	return func(_ context.Context, _ *environment, args []xquery.Sequence) (xquery.Sequence, error) {
		s, _, err := textArgument(args[0])
		if err != nil {
			return nil, err
		}
		if s, err = f(s); err != nil {
			return nil, err
		}
		return xquery.Of(s), nil
	}
}

// errNoLookup is what the functions that need other objects fail with where there are none.
var errNoLookup = clacks.E(clacks.Unavailable, "mapping.function", "other objects cannot be looked up here")

func callObject(ctx context.Context, e *environment, args []xquery.Sequence) (xquery.Sequence, error) {
	named, err := texts(args[:2])
	if err != nil {
		return nil, err
	}
	value, ok, err := textArgument(args[2])
	if err != nil || !ok {
		return xquery.Of(), err
	}
	if e.options.Lookup == nil || e.set == nil {
		return nil, errNoLookup
	}
	object, err := e.options.Lookup.Object(ctx, named[0], named[1], value)
	if err != nil || object == nil {
		return xquery.Of(), err
	}
	shape, err := e.set.Shape(object.Type, object.Extensions)
	if err != nil {
		return nil, err
	}
	return xquery.Of(shape.fullDocument(object.Values).Element()), nil
}

func callNextNumber(ctx context.Context, e *environment, args []xquery.Sequence) (xquery.Sequence, error) {
	named, err := texts(args)
	if err != nil {
		return nil, err
	}
	from, err := parseInteger(named[2])
	if err != nil {
		return nil, wrong("the number to begin with %s", err)
	}
	if e.options.Lookup == nil {
		return nil, errNoLookup
	}
	n, err := e.options.Lookup.NextNumber(ctx, named[0], named[1], from.(int64))
	if err != nil {
		return nil, err
	}
	return xquery.Of(n), nil
}

func callPasswordHash(_ context.Context, e *environment, args []xquery.Sequence) (xquery.Sequence, error) {
	clear, ok, err := textArgument(args[0])
	if err != nil || !ok || clear == "" {
		return xquery.Of(), err
	}
	if password.IsHashed(clear) {
		return xquery.Of(clear), nil
	}
	hashed, err := password.Hash(e.options.PasswordScheme, clear)
	if err != nil {
		return nil, err
	}
	return xquery.Of(hashed), nil
}

func callDays(_ context.Context, _ *environment, args []xquery.Sequence) (xquery.Sequence, error) {
	at, ok, err := timeArgument(args[0])
	if err != nil || !ok {
		return xquery.Of(), err
	}
	return xquery.Of(int64(math.Floor(float64(at.Unix()) / daySeconds))), nil
}

func callDateOfDays(_ context.Context, _ *environment, args []xquery.Sequence) (xquery.Sequence, error) {
	s, ok, err := textArgument(args[0])
	if err != nil || !ok {
		return xquery.Of(), err
	}
	n, err := parseInteger(s)
	if err != nil {
		return nil, wrong("the number of days %s", err)
	}
	at, err := fromTime(definitions.Date, definitions.Integer, n)
	if err != nil {
		return nil, wrong("the number of days lies in no year from 1 to 9999")
	}
	return xquery.Of(at), nil
}

func callGeneralizedTime(_ context.Context, _ *environment, args []xquery.Sequence) (xquery.Sequence, error) {
	at, ok, err := timeArgument(args[0])
	if err != nil || !ok {
		return xquery.Of(), err
	}
	return xquery.Of(at.Format("20060102150405.999999") + "Z"), nil
}

func callParseGeneralizedTime(_ context.Context, _ *environment, args []xquery.Sequence) (xquery.Sequence, error) {
	s, ok, err := textArgument(args[0])
	if err != nil || !ok {
		return xquery.Of(), err
	}
	at, ok := parseGeneralizedTime(s)
	if !ok {
		return nil, wrong("the argument is no time of a directory")
	}
	return xquery.Of(at), nil
}

func callRDN(_ context.Context, _ *environment, args []xquery.Sequence) (xquery.Sequence, error) {
	parts, err := texts(args)
	if err != nil {
		return nil, err
	}
	rdn := dn.MakeRDN(parts[0], parts[1])
	if made := dn.RDNValues(rdn); len(made) != 1 || made[0].Attribute != parts[0] || made[0].Value != parts[1] {
		return nil, wrong("the arguments make no component of a name")
	}
	return xquery.Of(rdn), nil
}

func callRDNValue(_ context.Context, _ *environment, args []xquery.Sequence) (xquery.Sequence, error) {
	s, ok, err := textArgument(args[0])
	if err != nil || !ok {
		return xquery.Of(), err
	}
	values := dn.RDNValues(s)
	if len(values) == 0 {
		return xquery.Of(), nil
	}
	return xquery.Of(values[0].Value), nil
}
