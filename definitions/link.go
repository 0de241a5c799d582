package definitions

import (
	"fmt"
	"slices"
	"strings"
)

// nullBackend is the name of the backend that stores nothing and so needs no parameters.
const nullBackend = "NULL"

var attributeTypes = []string{
	string(String), string(UnicodeString), string(Integer), string(Boolean), string(Binary), string(Date), string(Timestamp),
	string(AnyType), string(AclSet), string(AclRole), string(SambaLogonHours),
}

// unsupported are types that the language knows and this version does not.
var unsupported = []AttributeType{AclSet, AclRole, SambaLogonHours}

// link connects names to what they name. What leads nowhere is reported and left out.
func (l *loader) link() {
	for _, d := range l.order {
		l.linkType(d)
	}
	for _, d := range l.order {
		for _, a := range d.attributes {
			if !a.Foreign {
				l.linkKinds(d, a)
			}
		}
	}
	for _, d := range l.order {
		d.attributes = slices.DeleteFunc(d.attributes, func(a *declared) bool { return a.Foreign && !l.linkForeign(d, a) })
	}
	for _, d := range l.order {
		scope := l.scope(d)
		for _, a := range d.attributes {
			if !a.Foreign {
				l.linkNames(d, a, scope)
			}
		}
		l.linkMentions(d, scope)
	}
	// Foreign attributes are copies, so what they copy is linked first.
	for _, d := range l.order {
		for _, a := range d.attributes {
			if a.original != nil {
				pos := a.Pos
				*a.Attribute = *a.original.Attribute
				a.Foreign, a.Pos = true, pos
			}
			d.Attributes = append(d.Attributes, a.Attribute)
		}
	}
}

func (l *loader) linkType(d *declaration) {
	d.Extends = append(d.Extends, l.targets(d, d.extends, "extends", isBase, func(w word) {
		d.file.warnf(w.pos, "name the base types that "+w.text+" extends, and require "+w.text,
			"%s extends %s, which is itself an extension", d.Name, w.text)
	})...)
	d.RequiresExtension = append(d.RequiresExtension, l.targets(d, d.requires, "requires", isExtension, func(w word) {
		d.file.faultf(w.pos, "only extensions can be required", "%s requires %s, which is a base type", d.Name, w.text)
	})...)
	d.Container = append(d.Container, l.targets(d, d.container, "contains", isBase, func(w word) {
		d.file.faultf(w.pos, "only base types can be contained", "%s contains %s, which is an extension", d.Name, w.text)
	})...)
	for _, w := range d.conditions {
		if l.lookup(w.text) == nil {
			l.unknownType(d.file, w, "a condition of "+d.Name+" names", func(*declaration) bool { return true })
		}
	}
	if !l.known(d.Backend) && d.Backend != "" {
		d.file.warnf(d.backend.pos, nearestHint(d.Backend, l.options.Backends),
			"the backend %s of %s is not configured; its attributes are unavailable", d.Backend, d.Name)
	}
}

// targets are the named types that exist and fit; the others are reported.
func (l *loader) targets(d *declaration, names []word, verb string, fits func(*declaration) bool, misfit func(word)) []string {
	var found []string
	for _, w := range names {
		switch target := l.lookup(w.text); {
		case target == nil:
			l.unknownType(d.file, w, d.Name+" "+verb, fits)
		case !fits(target):
			misfit(w)
		default:
			found = append(found, w.text)
		}
	}
	return found
}

func isBase(d *declaration) bool      { return d.Base }
func isExtension(d *declaration) bool { return !d.Base }

// unknownType reports a name of a type that does not exist; candidates are the types that could have been meant. Nothing
// is said when a file could not be read, since the type may be defined there.
func (l *loader) unknownType(f *file, w word, role string, candidate func(*declaration) bool) {
	if l.broken {
		return
	}
	f.faultf(w.pos, nearestHint(w.text, l.typeNames(candidate)), "%s the type %q, which does not exist", role, w.text)
}

func (l *loader) known(backend string) bool { return slices.Contains(l.options.Backends, backend) }

// linkKinds settles backend and type of an attribute, and whether it is available.
func (l *loader) linkKinds(d *declaration, a *declared) {
	f := a.file
	switch {
	case slices.Contains(unsupported, a.Type):
		f.warnf(a.attrType.pos, "", "the type %s of %s.%s is not supported; the attribute is unavailable", a.Type, d.Name, a.Name)
		a.unavailable("the type %s is not supported", a.Type)
	case a.Type == "": // reported as a fault of shape
	case !slices.Contains(attributeTypes, string(a.Type)):
		f.warnf(a.attrType.pos, nearestHint(string(a.Type), attributeTypes),
			"there is no attribute type %s; %s.%s is unavailable", a.Type, d.Name, a.Name)
		a.unavailable("there is no type %s", a.Type)
	}
	if t := string(a.BackendType); t != "" && !slices.Contains(attributeTypes, t) {
		f.warnf(a.backendType.pos, nearestHint(t, attributeTypes), "there is no attribute type %s; %s.%s is unavailable", t, d.Name, a.Name)
		a.unavailable("there is no type %s", t)
	}
	l.linkBackends(d, a)
	for _, chain := range []*FilterChain{a.InFilter, a.OutFilter} {
		if chain != nil {
			l.linkChain(d, a, *chain)
		}
	}
	l.linkCondition(d, a, a.Validator)
}

// linkBackends fills in the backends that are not written: that of an attribute is the one of its only mapping, else that
// of its type; that of a mapping is the attribute's.
func (l *loader) linkBackends(d *declaration, a *declared) {
	if a.Backend == "" && len(a.Mappings) == 1 {
		a.Backend = a.Mappings[0].Backend
	}
	if a.Backend == "" {
		a.Backend = d.Backend
	}
	names := []word{a.backend}
	for i := range a.Mappings {
		if a.Mappings[i].Backend == "" {
			a.Mappings[i].Backend = a.Backend
		}
		names = append(names, a.mappingNames[i])
	}
	for _, w := range names {
		if w.text != "" && !l.known(w.text) {
			a.file.warnf(w.pos, nearestHint(w.text, l.options.Backends),
				"the backend %s is not configured; %s.%s is unavailable", w.text, d.Name, a.Name)
			a.unavailable("the backend %s is not configured", w.text)
		}
	}
	if !l.known(a.Backend) {
		a.unavailable("the backend %s is not configured", a.Backend)
	}
}

// unavailable keeps the first reason.
func (a *Attribute) unavailable(format string, args ...any) {
	if a.Unavailable == "" {
		a.Unavailable = fmt.Sprintf(format, args...)
	}
}

func (l *loader) linkChain(d *declaration, a *declared, chain FilterChain) {
	for _, e := range chain.Entries {
		if e.Filter != nil && e.Filter.Name != "" && !slices.Contains(l.options.Filters, e.Filter.Name) {
			a.file.warnf(e.Filter.Pos, nearestHint(e.Filter.Name, l.options.Filters),
				"there is no filter %s; %s.%s is unavailable", e.Filter.Name, d.Name, a.Name)
			a.unavailable("there is no filter %s", e.Filter.Name)
		}
		for _, w := range e.Choice {
			l.linkCondition(d, a, w.Condition)
			for _, c := range w.Chains {
				l.linkChain(d, a, c)
			}
		}
		for _, c := range e.Else {
			l.linkChain(d, a, c)
		}
	}
}

func (l *loader) linkCondition(d *declaration, a *declared, c *Condition) {
	switch {
	case c == nil || c.Operator == "" && c.Name == "":
		// An incomplete condition has been reported by its shape.
	case c.Operator != "":
		l.linkCondition(d, a, c.Left)
		l.linkCondition(d, a, c.Right)
	case !slices.Contains(l.options.Validators, c.Name):
		a.file.warnf(c.Pos, nearestHint(c.Name, l.options.Validators),
			"there is no validator %s; %s.%s is unavailable", c.Name, d.Name, a.Name)
		a.unavailable("there is no validator %s", c.Name)
	}
}

// linkForeign finds what a ForeignAttribute names. Besides the types that an object must have for this
// extension, another extension of the same base types may define it.
func (l *loader) linkForeign(d *declaration, a *declared) bool {
	candidates := l.scope(d)
	for _, other := range l.order {
		if other != d && !other.Base && slices.ContainsFunc(other.Extends, func(b string) bool { return slices.Contains(d.Extends, b) }) {
			candidates = append(candidates, other.attributes...)
		}
	}
	for _, c := range candidates {
		if c.Name == a.Name && !c.Foreign {
			a.original = c
			return true
		}
	}
	var names []string
	for _, c := range candidates {
		if !c.Foreign {
			names = append(names, c.Name)
		}
	}
	if !l.broken {
		a.file.faultf(a.Pos, nearestHint(a.Name, names), "no type that %s extends or requires has an attribute %s", d.Name, a.Name)
	}
	return false
}

// scope are the attributes that an object of a type has for sure: its own, those of the base types that it extends, and
// those of the extensions that it requires, directly or not.
func (l *loader) scope(d *declaration) []*declared {
	attributes := slices.Clone(d.attributes)
	for _, other := range l.company(d) {
		attributes = append(attributes, other.attributes...)
	}
	return attributes
}

// company are the types that an object of this extension has besides it.
func (l *loader) company(d *declaration) []*declaration {
	var company []*declaration
	queue := slices.Concat(d.Extends, d.RequiresExtension)
	for len(queue) > 0 {
		other := l.lookup(queue[0])
		queue = queue[1:]
		if other == nil || other == d || slices.Contains(company, other) {
			continue
		}
		company = append(company, other)
		queue = append(queue, other.RequiresExtension...)
	}
	return company
}

// linkNames links what an attribute says about other attributes, those in scope, and types.
func (l *loader) linkNames(d *declaration, a *declared, scope []*declared) {
	for _, w := range a.dependsOn {
		if l.attributeExists(a.file, scope, w, d.Name+"."+a.Name+" depends on") {
			a.DependsOn = append(a.DependsOn, w.text)
		}
	}
	kept := a.BlockedBy[:0]
	for i, w := range a.blockers {
		if w.text == "uuid" || l.attributeExists(a.file, scope, w, d.Name+"."+a.Name+" is blocked by") {
			kept = append(kept, a.BlockedBy[i])
		}
	}
	a.BlockedBy = kept
	references := a.References[:0]
	for i, r := range a.references {
		if l.referenceExists(d, a, r) {
			references = append(references, a.References[i])
		}
	}
	a.References = references
}

func (l *loader) attributeExists(f *file, scope []*declared, w word, role string) bool {
	if slices.ContainsFunc(scope, func(a *declared) bool { return a.Name == w.text }) {
		return true
	}
	if !l.broken {
		f.faultf(w.pos, nearestHint(w.text, declaredNames(scope)), "%s the attribute %q, which does not exist", role, w.text)
	}
	return false
}

// anyObject is the object of a reference that may lead to every type; it can only be to the DN, which every object has.
const anyObject = "*"

func (l *loader) referenceExists(d *declaration, a *declared, r declaredReference) bool {
	if r.object.text == anyObject {
		if r.attribute.text != "dn" {
			a.file.faultf(r.attribute.pos, "write dn, or name the type",
				"a reference to objects of any type must be to their dn, not to %q", r.attribute.text)
			return false
		}
		return true
	}
	target := l.lookup(r.object.text)
	if target == nil {
		l.unknownType(a.file, r.object, d.Name+"."+a.Name+" references", func(*declaration) bool { return true })
		return false
	}
	if r.attribute.text == "dn" || r.attribute.text == "uuid" {
		return true
	}
	scope := l.scope(target)
	if slices.ContainsFunc(scope, func(c *declared) bool { return c.Name == r.attribute.text }) {
		return true
	}
	if !l.broken {
		a.file.faultf(r.attribute.pos, nearestHint(r.attribute.text, append(declaredNames(scope), "dn")),
			"%s.%s references %s.%s, which does not exist", d.Name, a.Name, target.Name, r.attribute.text)
	}
	return false
}

// linkMentions checks the attributes that methods, hooks and searches name. They only warn: what they do not find is
// missing where it is used, and nothing else breaks.
func (l *loader) linkMentions(d *declaration, scope []*declared) {
	for _, m := range d.mentions {
		found := slices.ContainsFunc(scope, func(a *declared) bool { return a.Name == m.text })
		if !found && !l.broken {
			d.file.warnf(m.pos, nearestHint(m.text, append(declaredNames(scope), m.known...)),
				"the %s of %s names the attribute %q, which does not exist", m.in, d.Name, m.text)
		}
	}
}

// parameters are the parameters of a backend for an object of this type: the type's own or those of a type in its company.
func (l *loader) parameters(d *declaration, backend string) *BackendParameters {
	for _, t := range append([]*declaration{d}, l.company(d)...) {
		for i := range t.Parameters {
			if strings.EqualFold(t.Parameters[i].Backend, backend) {
				return &t.Parameters[i]
			}
		}
	}
	return nil
}
