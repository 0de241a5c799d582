package mapping

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"clacks"
	"clacks/internal/nearest"
	"clacks/xquery"
)

// CheckChanges says what a caller may not do: name an attribute that does not exist or is not available, change one that
// is read-only, computed, or blocked by another. old is nil on create; object holds what the caller asks for, before
// Defaults and Outbound fill in the rest. Check includes it for what is no part of a create.
func (s *Shape) CheckChanges(old, object *Object) []clacks.Field {
	var fields []clacks.Field
	for _, name := range sortedKeys(object.Values) {
		a := s.byName[name]
		var before Values
		if old != nil {
			before = old.Values
		}
		if a == nil && len(object.Values[name]) == 0 || a != nil && !a.differs(before, object.Values) {
			continue
		}
		if code, reason := s.refusal(a, name, object.Values); code != "" {
			fields = append(fields, clacks.Field{Attribute: clip(name), Code: code, Reason: reason})
		}
	}
	for _, a := range s.attrs {
		if _, named := object.Values[a.Name]; named || old == nil || !a.Readable || len(old.Values[a.Name]) == 0 {
			continue
		}
		if code, reason := s.refusal(a, a.Name, object.Values); code != "" {
			fields = append(fields, clacks.Field{Attribute: a.Name, Code: code, Reason: reason})
		}
	}
	return fields
}

// refusal says why a caller may not change an attribute; "" when he may.
func (s *Shape) refusal(a *Attribute, name string, values Values) (code, reason string) {
	switch {
	case a == nil:
		if extension := s.plan.extensionWith(name); extension != "" {
			return clacks.CodeUnknown, "belongs to the extension " + extension + ", which the object does not have"
		}
		reason = fmt.Sprintf("%s has no such attribute", s.plan.typ.Name)
		if near := nearest.Hint(name, sortedKeys(s.byName)); near != "" {
			reason += ": " + near
		}
		return clacks.CodeUnknown, reason
	case a.Unavailable != "":
		return clacks.CodeUnknown, "is not available: " + a.Unavailable
	case a.ReadOnly || !a.Writable:
		return clacks.CodeReadOnly, "is read-only"
	case a.Computed:
		return clacks.CodeReadOnly, "is computed" + from(a)
	}
	if blocker := s.blockedBy(a, values); blocker != "" {
		return clacks.CodeBlocked, "cannot be set while " + blocker
	}
	return "", ""
}

// extensionWith is the first extension of a base type that has an attribute; "" when none has.
func (b *basePlan) extensionWith(name string) string {
	for _, extension := range b.extensions {
		if slices.ContainsFunc(b.parts[extension].attrs, func(a *Attribute) bool { return a.Name == name }) {
			return extension
		}
	}
	return ""
}

// from names the attributes that a computed one is made of.
func from(a *Attribute) string {
	if len(a.Reads) == 0 {
		return ""
	}
	return " from " + strings.Join(a.Reads, ", ")
}

// Check validates an object before a commit: mandatory, single values, types, allowed values, blocked, read-only
// (against old), asserts. old is nil on create: then the caller's part is CheckChanges' to check, before Defaults; the
// same holds for extensions that old does not have. It returns every wrong field, not only the first. The error is the
// context's.
//
// Mandatory attributes whose Outbound has an effect, and so runs only there, are checked by Outbound.
func (s *Shape) Check(ctx context.Context, old, object *Object) ([]clacks.Field, error) {
	c := &checker{shape: s, old: old, object: object, before: Values{}, changed: map[string]bool{}}
	if old != nil {
		c.before = old.Values
	}
	defer c.free()
	c.callersPart()
	for _, a := range s.attrs {
		if a.differs(c.before, object.Values) {
			c.changed[a.Name] = true
			c.values(a)
		}
	}
	for _, a := range s.attrs {
		if err := c.mandatory(ctx, a); err != nil {
			return nil, err
		}
		if c.wrong(a.Name) {
			continue
		}
		if err := c.queries(ctx, a); err != nil {
			return nil, err
		}
	}
	return c.fields, nil
}

// checker is one run of Check.
type checker struct {
	shape       *Shape
	old, object *Object
	before      Values
	changed     map[string]bool
	fields      []clacks.Field
	oldDocument *xquery.Document
	documents   map[string]*xquery.Document // by the secret attribute that is visible; "" for none
}

func (c *checker) free() {
	for _, d := range c.documents {
		d.Free()
	}
	if c.oldDocument != nil {
		c.oldDocument.Free()
	}
}

func (c *checker) fault(a *Attribute, code, format string, args ...any) {
	c.fields = append(c.fields, clacks.Field{Attribute: a.Name, Code: code, Reason: fmt.Sprintf(format, args...)})
}

func (c *checker) wrong(name string) bool {
	return slices.ContainsFunc(c.fields, func(f clacks.Field) bool { return f.Attribute == name })
}

// fresh reports whether an attribute comes into being with this commit.
func (c *checker) fresh(a *Attribute) bool {
	return c.old == nil || a.Owner != c.shape.plan.typ.Name && !slices.Contains(c.old.Extensions, a.Owner)
}

// callersPart checks what a caller may not change; of what comes into being only the names, because Defaults filled it.
func (c *checker) callersPart() {
	for _, f := range c.shape.CheckChanges(c.old, c.object) {
		a := c.shape.byName[f.Attribute]
		if a == nil || a.Unavailable != "" || !a.Writable || !c.fresh(a) {
			c.fields = append(c.fields, f)
		}
	}
}

// values checks the values of a changed attribute one by one, and their number.
func (c *checker) values(a *Attribute) {
	list := c.object.Values[a.Name]
	if len(list) > 1 && !a.MultiValue {
		c.fault(a, clacks.CodeSingle, "holds a single value, not %d", len(list))
	}
	for _, v := range list {
		if err := valid(a.Type, v); err != nil {
			c.fault(a, clacks.CodeType, "%s", err)
			return
		}
		if a.plan.allowed != nil && !a.plan.allowed[a.Text(v)] {
			c.fault(a, clacks.CodeValues, "%s", notAllowed(a, v, sortedKeys(a.plan.allowed)))
			return
		}
	}
}

// maxListed is the number of allowed values that a message lists.
const maxListed = 10

// notAllowed makes the sentence about a value that is not among those allowed.
func notAllowed(a *Attribute, v any, allowed []string) string {
	shown := make([]string, 0, maxListed+1)
	for _, s := range allowed {
		if len(shown) == maxListed {
			shown = append(shown, "...")
			break
		}
		shown = append(shown, clip(s))
	}
	if a.Secret {
		return "is not one of the allowed values"
	}
	return fmt.Sprintf("must be one of %s, not %q", strings.Join(shown, ", "), clip(a.Text(v)))
}

// mandatory checks that a mandatory attribute has a value, or that its Outbound makes one. What cannot be read back is
// only known to be missing when the object comes into being or the caller clears it.
func (c *checker) mandatory(ctx context.Context, a *Attribute) error {
	list, named := c.object.Values[a.Name]
	if !a.Mandatory || len(present(list)) > 0 || !a.Readable && !named && !c.fresh(a) {
		return nil
	}
	for _, w := range a.plan.writes {
		if w.query == nil {
			continue
		}
		if w.query.effect || w.query.all {
			return nil
		}
		result, err := w.query.compiled.Evaluate(ctx, objectInput(c.document(a.Name, true), c.oldObject()))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		// A query that fails is reported by Outbound, with its reason.
		if err != nil || result != nil && result.Len() > 0 {
			return nil
		}
	}
	c.fault(a, clacks.CodeMandatory, "is mandatory")
	return nil
}

// queries checks what queries say of an attribute: its allowed values and its asserts.
func (c *checker) queries(ctx context.Context, a *Attribute) error {
	if q := a.plan.valuesQuery; q != nil && c.changed[a.Name] && len(c.object.Values[a.Name]) > 0 {
		if err := c.allowedByQuery(ctx, a, q); err != nil {
			return err
		}
	}
	for _, q := range a.plan.asserts {
		if !c.concerned(a, q) {
			continue
		}
		ok, err := q.compiled.Matches(ctx, objectInput(c.document(a.Name, false), c.oldObject()))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		switch {
		case err != nil:
			c.fault(a, clacks.CodeCheck, "cannot be checked: %s", queryReason(err))
		case !ok && q.message != "":
			c.fault(a, clacks.CodeCheck, "%s", q.message)
		case !ok:
			c.fault(a, clacks.CodeCheck, "does not fulfil its condition")
		}
	}
	return nil
}

// concerned reports whether an assert may have changed its answer.
func (c *checker) concerned(a *Attribute, q *objectQuery) bool {
	if c.fresh(a) || q.all || c.changed[a.Name] {
		return true
	}
	for name := range q.reads {
		if c.changed[name] {
			return true
		}
	}
	return false
}

// allowedByQuery checks the values against those that a query yields.
func (c *checker) allowedByQuery(ctx context.Context, a *Attribute, q *objectQuery) error {
	result, err := q.compiled.Evaluate(ctx, xquery.Input{Context: c.document("", false).Element()})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var allowed []string
	if err == nil && result != nil {
		allowed, err = result.Strings()
	}
	if err != nil {
		c.fault(a, clacks.CodeCheck, "its allowed values cannot be computed: %s", queryReason(err))
		return nil
	}
	for _, v := range c.object.Values[a.Name] {
		if !slices.Contains(allowed, a.Text(v)) {
			c.fault(a, clacks.CodeValues, "%s", notAllowed(a, v, allowed))
			return nil
		}
	}
	return nil
}

// document is the object's document in which, of the secrets, only the named attribute's is visible, or all.
func (c *checker) document(visible string, all bool) *xquery.Document {
	a := c.shape.byName[visible]
	key := ""
	if a != nil && a.Secret {
		key = visible
	}
	if all {
		key = "*"
	}
	if d := c.documents[key]; d != nil {
		return d
	}
	d := c.shape.objectDocument(c.object.Values, func(other *Attribute) bool { return all || other == a })
	if c.documents == nil {
		c.documents = map[string]*xquery.Document{}
	}
	c.documents[key] = d
	return d
}

func (c *checker) oldObject() *xquery.Document {
	if c.old == nil {
		return nil
	}
	if c.oldDocument == nil {
		c.oldDocument = c.shape.objectDocument(c.before, withoutSecrets)
	}
	return c.oldDocument
}
