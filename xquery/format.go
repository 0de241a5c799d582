package xquery

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/lestrrat-go/helium/xpath3"
)

// decimalProperties are the properties of a decimal format with the field that each sets.
var decimalProperties = map[string]func(*xpath3.DecimalFormat) *rune{
	"decimal-separator":  func(f *xpath3.DecimalFormat) *rune { return &f.DecimalSeparator },
	"grouping-separator": func(f *xpath3.DecimalFormat) *rune { return &f.GroupingSeparator },
	"minus-sign":         func(f *xpath3.DecimalFormat) *rune { return &f.MinusSign },
	"percent":            func(f *xpath3.DecimalFormat) *rune { return &f.Percent },
	"per-mille":          func(f *xpath3.DecimalFormat) *rune { return &f.PerMille },
	"zero-digit":         func(f *xpath3.DecimalFormat) *rune { return &f.ZeroDigit },
	"digit":              func(f *xpath3.DecimalFormat) *rune { return &f.Digit },
	"pattern-separator":  func(f *xpath3.DecimalFormat) *rune { return &f.PatternSeparator },
	"exponent-separator": func(f *xpath3.DecimalFormat) *rune { return &f.ExponentSeparator },
	"infinity":           nil,
	"NaN":                nil,
}

// declareDecimalFormat reads the name, unless the format is the default one, and the properties.
func (p *parser) declareDecimalFormat(isDefault bool) {
	at := p.take().start
	var key xpath3.QualifiedName
	if !isDefault {
		t := p.peek(0)
		if t.kind != tokenName && t.kind != tokenQName && t.kind != tokenURIName {
			p.unexpected("expected the name of the decimal format")
		}
		n := p.resolve(p.take(), "")
		key = xpath3.QualifiedName{URI: n.uri, Name: n.local}
	}
	if p.module.declaredFormats[key] {
		panic(fail("XQST0111", at, "the decimal format is declared twice"))
	}
	format := xpath3.DefaultDecimalFormat()
	set := make(map[string]bool)
	for p.peek(0).kind == tokenName {
		p.decimalProperty(&format, set)
	}
	checkFormat(&format, at)
	if p.module.declaredFormats == nil {
		p.module.declaredFormats = make(map[xpath3.QualifiedName]bool)
	}
	p.module.declaredFormats[key] = true
	p.module.setFormat(key, format)
}

func (p *parser) decimalProperty(format *xpath3.DecimalFormat, set map[string]bool) {
	t := p.take()
	if _, ok := decimalProperties[t.value]; !ok {
		panic(fail(codeSyntax, t.start, "there is no property %q of decimal formats", t.value))
	}
	if set[t.value] {
		panic(fail("XQST0114", t.start, "the property %q is set twice", t.value))
	}
	set[t.value] = true
	p.expect("=", "after the property")
	at := p.peek(0).start
	setDecimalProperty(format, t.value, p.quoted("the property's value"), at)
}

// setDecimalProperty sets one of decimalProperties.
func setDecimalProperty(format *xpath3.DecimalFormat, property, value string, at int) {
	switch property {
	case "infinity":
		format.Infinity = value
		return
	case "NaN":
		format.NaN = value
		return
	}
	r, size := utf8.DecodeRuneInString(value)
	if value == "" || size != len(value) {
		panic(fail("XQST0097", at, "the property %q must be one character", property))
	}
	if property == "zero-digit" && !isZeroDigit(r) {
		panic(fail("XQST0097", at, "%q is not a digit zero", value))
	}
	*decimalProperties[property](format) = r
}

// isZeroDigit reports whether the character begins a row of decimal digits.
func isZeroDigit(r rune) bool {
	for _, row := range unicode.Nd.R16 {
		if r >= rune(row.Lo) && r <= rune(row.Hi) {
			return (r-rune(row.Lo))%10 == 0
		}
	}
	for _, row := range unicode.Nd.R32 {
		if r >= rune(row.Lo) && r <= rune(row.Hi) {
			return (r-rune(row.Lo))%10 == 0
		}
	}
	return false
}

// checkFormat fails unless the characters that structure a picture differ.
func checkFormat(f *xpath3.DecimalFormat, at int) {
	seen := make(map[rune]bool)
	for _, r := range []rune{
		f.DecimalSeparator, f.GroupingSeparator, f.Percent, f.PerMille, f.ZeroDigit, f.Digit, f.PatternSeparator,
		f.ExponentSeparator,
	} {
		if seen[r] || r > f.ZeroDigit && r <= f.ZeroDigit+9 {
			panic(fail("XQST0098", at, "two properties of the decimal format have the value %q", string(r)))
		}
		seen[r] = true
	}
}

func (m *module) setFormat(key xpath3.QualifiedName, format xpath3.DecimalFormat) {
	if m.formats == nil {
		m.formats = make(map[xpath3.QualifiedName]xpath3.DecimalFormat)
	}
	m.formats[key] = format
}

// optionFormats are the decimal formats that the options give a module.
func (m *module) optionFormats(o *Options) {
	for written, properties := range o.DecimalFormats {
		n, ok := bracedName(written)
		if !ok && written != "" {
			panic(fail("XQST0097", 0, "%q is not the name of a decimal format", written))
		}
		format := xpath3.DefaultDecimalFormat()
		for _, property := range sortedKeys(properties) {
			if _, known := decimalProperties[property]; !known {
				panic(fail("XQST0097", 0, "there is no property %q of decimal formats", property))
			}
			setDecimalProperty(&format, property, properties[property], 0)
		}
		checkFormat(&format, 0)
		m.setFormat(xpath3.QualifiedName{URI: n.uri, Name: n.local}, format)
	}
}

// formatters are helium's fn:format-number for the decimal formats of a module.
func (m *module) formatters() map[xpath3.QualifiedName]xpath3.FunctionItem {
	all := make(map[xpath3.QualifiedName]xpath3.FunctionItem, len(m.formats)+1)
	all[xpath3.QualifiedName{}] = builtin("format-number", 2)
	for key, format := range m.formats {
		all[key] = builtinOf(newEvaluator().DefaultDecimalFormat(format), "fn", "format-number", 2)
	}
	return all
}

// formatNumber is fn:format-number where it is called by its name: index of the static context, number, picture, name of
// the decimal format. The formats of the module that it stands in are what counts.
func formatNumber(b *budget, args []xpath3.Sequence) (xpath3.Sequence, error) {
	s := b.query.statics[integerArgument(args[0])]
	key := xpath3.QualifiedName{}
	if len(args) == 4 {
		text, err := optionalString(args[3])
		if err != nil {
			return nil, err
		}
		if text = strings.Trim(text, " \t\r\n"); text != "" || args[3] != nil && args[3].Len() > 0 {
			if key, err = s.formatName(text); err != nil {
				return nil, err
			}
		}
	}
	f, ok := b.query.formatters[s.module][key]
	if !ok {
		return nil, xpathError("FODF1280", "there is no decimal format %q", key.Name)
	}
	if err := shortPicture(b, args[1:3]); err != nil {
		return nil, err
	}
	result, err := f.Invoke(b, args[1:3])
	if err != nil {
		return nil, err
	}
	return result, b.charge(result)
}

// formatName expands the name of a decimal format.
func (s *static) formatName(text string) (xpath3.QualifiedName, error) {
	n, ok := bracedName(text)
	if prefix, local, colon := strings.Cut(text, ":"); !ok && colon && nameLength(local) == len(local) && local != "" {
		n.local = local
		n.uri, ok = s.namespace(prefix)
	}
	if !ok {
		return xpath3.QualifiedName{}, xpathError("FODF1280", "%q is not the name of a decimal format", text)
	}
	return xpath3.QualifiedName{URI: n.uri, Name: n.local}, nil
}
