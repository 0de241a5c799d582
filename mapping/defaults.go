package mapping

import (
	"context"
	"errors"
	"slices"

	"clacks"
	"clacks/backends"
	"clacks/xquery"
)

// Defaults fills the missing values of a new object that have a Default, in dependency order. Queries with an effect run
// once each. The error is clacks.Invalid with every attribute whose default cannot be computed, or the context's.
func (s *Shape) Defaults(ctx context.Context, object *Object) error {
	return s.defaults(ctx, object, func(*Attribute) bool { return true })
}

// ExtensionDefaults is Defaults for an object that exists and is being extended: it fills the missing values of these
// extensions' attributes only.
func (s *Shape) ExtensionDefaults(ctx context.Context, object *Object, extensions ...string) error {
	return s.defaults(ctx, object, func(a *Attribute) bool { return slices.Contains(extensions, a.Owner) })
}

func (s *Shape) defaults(ctx context.Context, object *Object, concerned func(*Attribute) bool) error {
	var fields []clacks.Field
	var document *xquery.Document
	release := func() {
		if document != nil {
			document.Free()
			document = nil
		}
	}
	defer release()
	for _, a := range s.attrs {
		if len(object.Values[a.Name]) > 0 || !concerned(a) {
			continue
		}
		list, err := []any(nil), error(nil)
		switch q := a.plan.defaultQuery; {
		case a.plan.defaultValue != nil:
			list = []any{a.plan.defaultValue}
		case q != nil:
			if document == nil {
				document = s.objectDocument(object.Values, withoutSecrets)
			}
			var reason string
			if list, reason, err = a.defaultByQuery(ctx, q, document); reason != "" {
				fields = append(fields, clacks.Field{Attribute: a.Name, Code: clacks.CodeCheck, Reason: reason})
			}
		}
		if err != nil {
			return err
		}
		if len(list) == 0 {
			continue
		}
		if object.Values == nil {
			object.Values = Values{}
		}
		object.Values[a.Name] = list
		if s.objectDoc["*"] || s.objectDoc[a.Name] {
			release()
		}
	}
	if len(fields) > 0 {
		return &clacks.Error{Op: "mapping.defaults", Kind: clacks.Invalid, Type: object.Type,
			Reason: "the defaults cannot be computed", Fields: fields}
	}
	return nil
}

func withoutSecrets(*Attribute) bool { return false }

// defaultByQuery evaluates a default. The error is the context's, or an unavailable backend's that a function needed.
func (a *Attribute) defaultByQuery(ctx context.Context, q *objectQuery, document *xquery.Document) ([]any, string, error) {
	result, err := q.compiled.Evaluate(ctx, xquery.Input{Context: document.Element()})
	if ctx.Err() != nil {
		return nil, "", ctx.Err()
	}
	if errors.Is(err, errNoLookup) {
		return nil, "", nil
	}
	if err != nil {
		reason, failed := functionReason(err)
		if failed != nil {
			return nil, "", failed
		}
		return nil, "its Default failed: " + reason, nil
	}
	list, reason := a.cast(result)
	if reason != "" {
		return nil, "its Default yields no value of its type: " + reason, nil
	}
	return list, "", nil
}

// blockedBy says which blocker keeps an attribute from being changed, "" when none does. An attribute without a value
// counts with its Default, because that is what it is about to have.
func (s *Shape) blockedBy(a *Attribute, values Values) string {
	for _, blocker := range a.BlockedBy {
		other := s.byName[blocker.Attribute]
		if other == nil || other.Unavailable != "" {
			continue
		}
		list := values[other.Name]
		if len(list) == 0 && other.plan.defaultValue != nil {
			list = []backends.Value{other.plan.defaultValue}
		}
		for _, v := range list {
			if other.Text(v) == blocker.Value {
				if other.Secret {
					return other.Name
				}
				return other.Name + " = " + clip(blocker.Value)
			}
		}
		if len(list) == 0 && blocker.Value == "" {
			return other.Name + " is empty"
		}
	}
	return ""
}
