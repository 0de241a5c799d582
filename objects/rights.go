package objects

import (
	"strings"

	"clacks"
	"clacks/access"
	"clacks/mapping"
)

// may asks for a right on an object.
func (r *request) may(right access.Right, typ, uuid, name string) error {
	if r.s.policy.Allowed(r.user, right, access.Topic{Type: typ, UUID: uuid, DN: name}) {
		return nil
	}
	return r.denied(r.shown(typ, uuid, name), "this is not allowed")
}

// shown is the type of an object for the answer: "" when the user may not know it.
func (r *request) shown(typ, uuid, name string) string {
	if r.s.policy.Allowed(r.user, access.Read, access.Topic{Type: typ, UUID: uuid, DN: name}) {
		return typ
	}
	return ""
}

// hidden makes the answer for an object that does not exist the same as for one that the user may not see: whether it
// exists is not his to know.
func (s *Service) hidden(user access.User, op, id string, err error) error {
	if !clacks.IsKind(err, clacks.NotFound) {
		return err
	}
	topic := access.Topic{DN: id}
	if isUUID(id) {
		topic = access.Topic{UUID: strings.ToLower(id)}
	}
	if s.policy.Allowed(user, access.Read, topic) {
		return err
	}
	return clacks.E(clacks.Denied, op, "this is not allowed")
}

func (r *request) denied(typ, reason string) *clacks.Error {
	e := clacks.E(clacks.Denied, r.op, "%s", reason)
	e.Type = typ
	return e
}

// maxChanges is how many attributes one request names at most; no type has as many.
const maxChanges = 1000

// mayWrite asks for the right to write each changed attribute; all that are refused are named.
func (r *request) mayWrite(typ, uuid, name string, changes map[string]any) error {
	if len(changes) > maxChanges {
		return clacks.E(clacks.Limit, r.op, "%d attributes are named; %d is the most", len(changes), maxChanges)
	}
	var refused []clacks.Field
	for attribute := range changes {
		if !r.s.policy.Allowed(r.user, access.Write, access.Topic{Type: typ, Attribute: attribute, UUID: uuid, DN: name}) {
			refused = append(refused, clacks.Field{Attribute: attribute, Code: clacks.CodeReadOnly, Reason: "may not be written"})
		}
	}
	if len(refused) == 0 {
		return nil
	}
	if typ = r.shown(typ, uuid, name); typ == "" {
		return r.denied("", "this is not allowed")
	}
	sortFields(refused)
	e := r.denied(typ, "some attributes may not be written")
	e.Fields = refused
	return e
}

// readable tells which attributes of an object a user may see. Secrets are never seen.
func (s *Service) readable(user access.User, typ, uuid, name string) func(*mapping.Attribute) bool {
	return func(a *mapping.Attribute) bool {
		return !a.Secret && s.policy.Allowed(user, access.Read, access.Topic{Type: typ, Attribute: a.Name, UUID: uuid, DN: name})
	}
}
