package mapping

import (
	"regexp"
	"slices"
	"strings"

	"clacks/definitions"
	"clacks/internal/nearest"
)

// The modes of a Reference.
const (
	// ReferenceReplace: a whole value is the referenced one.
	ReferenceReplace = "replace"
	// ReferenceInline: the referenced value is a part of a value, as the patterns say.
	ReferenceInline = "inline"
)

// DNAttribute as a Reference's ToAttribute means the object's DN.
const DNAttribute = "dn"

// anyType as a Reference's target means objects of every type.
const anyType = "*"

// Reference says that the values of one attribute are, or contain, those of another object's attribute.
type Reference struct {
	// Type (a base type or an extension) and Attribute hold the reference.
	Type, Attribute string
	Mode            string
	// To is the type that is referred to, as the definition names it ("*" for all), and ToAttribute its attribute
	// (DNAttribute for its DN).
	To, ToAttribute string
	// Owner is the type that defines ToAttribute: the base type, when To is an extension that uses it as a
	// ForeignAttribute. It is "" for a DN.
	Owner string
	// Extension is To when that is an extension: only objects that carry it are referred to.
	Extension string

	identify, replace, remove string
}

// ReferencesTo are the references to objects of a base type, also by way of the extensions that it may carry, or to
// those that carry an extension; in the order of types and attributes.
func (s *Set) ReferencesTo(typeName string) []Reference {
	var found []Reference
	for _, r := range s.references {
		b := s.bases[typeName]
		if r.To == anyType || r.To == typeName || b != nil && slices.Contains(b.extensions, r.To) {
			found = append(found, r)
		}
	}
	return found
}

// ReferencesFrom are the references that the attributes of a base type or extension hold.
func (s *Set) ReferencesFrom(typeName string) []Reference {
	var found []Reference
	for _, r := range s.references {
		if r.Type == typeName {
			found = append(found, r)
		}
	}
	return found
}

// placeholder stands for the referenced value in a pattern.
const placeholder = "%s"

// identifies compiles the pattern of an inline reference to one referenced value. It is anchored at both ends.
func (r Reference) identifies(value string) (*regexp.Regexp, error) {
	return regexp.Compile("^(?s:" + strings.ReplaceAll(r.identify, placeholder, regexp.QuoteMeta(value)) + ")$")
}

// Matches reports whether a text value of the attribute refers to the referenced value.
func (r Reference) Matches(text, referenced string) bool {
	if r.Mode != ReferenceInline {
		return text == referenced
	}
	pattern, err := r.identifies(referenced)
	return err == nil && pattern.MatchString(text)
}

// Replace is a value after the referenced value was renamed; ok is false when the value does not refer to it.
func (r Reference) Replace(text, from, to string) (replaced string, ok bool) {
	if r.Mode != ReferenceInline {
		return to, text == from
	}
	return r.expand(r.replace, text, from, to)
}

// Remove is a value after the referenced object was removed: "" when the whole value goes; ok is false when the value does
// not refer to it.
func (r Reference) Remove(text, referenced string) (remaining string, ok bool) {
	if r.Mode != ReferenceInline || r.remove == "" {
		return "", r.Matches(text, referenced)
	}
	return r.expand(r.remove, text, referenced, "")
}

// expand fills a template: %s is the new value, \1 to \9 are the groups of the identify-pattern.
func (r Reference) expand(template, text, from, to string) (string, bool) {
	pattern, err := r.identifies(from)
	if err != nil {
		return "", false
	}
	groups := pattern.FindStringSubmatch(text)
	if groups == nil {
		return "", false
	}
	var b strings.Builder
	for i := 0; i < len(template); i++ {
		switch {
		case strings.HasPrefix(template[i:], placeholder):
			b.WriteString(to)
			i++
		case template[i] == '\\' && i+1 < len(template) && isDigit(template[i+1]):
			if n := int(template[i+1] - '0'); n < len(groups) {
				b.WriteString(groups[n])
			}
			i++
		default:
			b.WriteByte(template[i])
		}
	}
	return b.String(), true
}

// references compiles the references of all available attributes.
func (c *compiler) references() []Reference {
	var list []Reference
	for _, t := range c.types {
		for _, a := range t.Attributes {
			if a.Foreign || a.Unavailable != "" {
				continue
			}
			for _, def := range a.References {
				if r, ok := c.reference(t, a, def); ok {
					list = append(list, r)
				}
			}
		}
	}
	return list
}

func (c *compiler) reference(t *definitions.Type, a *definitions.Attribute, def definitions.Reference) (Reference, bool) {
	r := Reference{
		Type: t.Name, Attribute: a.Name, Mode: def.Mode, To: def.Object, ToAttribute: def.Attribute,
		identify: def.IdentifyPattern, replace: def.ReplacePattern, remove: def.DeletePattern,
	}
	pos := place(def.Pos, a.Pos)
	if r.Mode == "" {
		r.Mode = ReferenceReplace
	}
	if r.Mode != ReferenceReplace && r.Mode != ReferenceInline {
		c.errorAt(pos, nearest.Hint(r.Mode, []string{ReferenceReplace, ReferenceInline}), "%s.%s: a reference has no mode %q", t.Name, a.Name, clip(r.Mode))
		return r, false
	}
	if r.Mode == ReferenceInline {
		c.inlinePatterns(t, a, &r, pos)
	}
	if r.To == anyType {
		if r.ToAttribute != DNAttribute {
			c.errorAt(pos, "", "%s.%s: a reference to all types can only be to their dn", t.Name, a.Name)
		}
		return r, r.ToAttribute == DNAttribute
	}
	to := c.byName[r.To]
	if to == nil {
		c.errorAt(pos, nearest.Hint(r.To, sortedKeys(c.byName)), "%s.%s refers to the type %s, which does not exist", t.Name, a.Name, clip(r.To))
		return r, false
	}
	if !to.Base {
		r.Extension = to.Name
	}
	if r.ToAttribute == DNAttribute {
		return r, true
	}
	return r, c.referenceOwner(t, a, to, &r, pos)
}

// referenceOwner finds the type that defines the attribute referred to.
func (c *compiler) referenceOwner(t *definitions.Type, a *definitions.Attribute, to *definitions.Type, r *Reference, pos definitions.Position) bool {
	known := attributeNames(to)
	if found := to.Attribute(r.ToAttribute); found != nil && !found.Foreign {
		r.Owner = to.Name
	}
	for _, name := range to.Extends {
		base := c.byName[name]
		if base == nil {
			continue
		}
		known = append(known, attributeNames(base)...)
		if r.Owner == "" && base.Attribute(r.ToAttribute) != nil {
			r.Owner = base.Name
		}
	}
	if r.Owner == "" {
		c.errorAt(pos, nearest.Hint(r.ToAttribute, append(known, DNAttribute)), "%s.%s refers to %s.%s, which does not exist",
			t.Name, a.Name, to.Name, clip(r.ToAttribute))
	}
	return r.Owner != ""
}

// inlinePatterns checks the patterns of an inline reference and gives them their defaults.
func (c *compiler) inlinePatterns(t *definitions.Type, a *definitions.Attribute, r *Reference, pos definitions.Position) {
	if r.identify == "" {
		r.identify = placeholder
	}
	if r.replace == "" {
		r.replace = placeholder
	}
	if !strings.Contains(r.identify, placeholder) {
		c.errorAt(pos, "write %s where the referenced value stands", "%s.%s: the identify-pattern does not contain %s", t.Name, a.Name, placeholder)
	}
	if _, err := r.identifies("x"); err != nil {
		c.errorAt(pos, "", "%s.%s: the identify-pattern is no regular expression: %s", t.Name, a.Name, err)
	}
}
