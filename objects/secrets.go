package objects

import (
	"maps"
	"slices"

	"clacks/backends"
	"clacks/mapping"
	"clacks/objects/journal"
)

// secrets are the attributes of each backend that hold a secret, or something computed from one.
type secrets map[string]map[string]bool

// learn adds the secret attributes of a shape.
func (s secrets) learn(shape *mapping.Shape) {
	secret := map[string]bool{}
	for _, a := range shape.Attributes() { // in dependency order: what is read was seen before
		if a.Secret || slices.ContainsFunc(a.Reads, func(name string) bool { return secret[name] }) {
			secret[a.Name] = true
			for _, place := range places(a) {
				if s[place.backend] == nil {
					s[place.backend] = map[string]bool{}
				}
				s[place.backend][place.attribute] = true
			}
		}
	}
}

// place is a backend attribute that an object's attribute is stored in.
type place struct{ backend, attribute string }

// places are where an attribute goes to.
func places(a *mapping.Attribute) []place {
	if len(a.Mappings) == 0 {
		return []place{{a.Backend, a.Name}}
	}
	var list []place
	for _, m := range a.Mappings {
		name := m.Attribute
		if name == "" {
			name = a.Name
		}
		if m.Table != "" {
			list = append(list, place{m.Backend, m.Table + "/" + name})
		}
		list = append(list, place{m.Backend, name})
		for _, out := range m.Outbounds {
			list = append(list, place{m.Backend, out.Attribute})
		}
	}
	return list
}

// secretsOf are the secret attributes of all shapes of the plan.
func (p *plan) secretsOf() secrets {
	s := secrets{}
	for _, shape := range p.shapes {
		s.learn(shape)
	}
	return s
}

// field is the object's attribute that a backend attribute belongs to, for the messages of backends; the backend's own
// name when it belongs to none.
func (p *plan) field(backend string, names ...string) string {
	for _, shape := range p.shapes {
		for _, a := range shape.Attributes() {
			for _, at := range places(a) {
				if (backend == "" || at.backend == backend) && slices.Contains(names, at.attribute) {
					return a.Name
				}
			}
		}
	}
	return names[0]
}

// masked stands for a secret value in a plan for people.
const masked = "********"

// describe is the plan for people: what would be done to which entry.
func (p *plan) describe() *Plan {
	described := &Plan{Steps: make([]PlanStep, 0, len(p.Steps))}
	hidden := p.secretsOf()
	for i := range p.Steps {
		described.Steps = append(described.Steps, p.describeStep(&p.Steps[i], hidden))
	}
	return described
}

func (p *plan) describeStep(step *journal.Step, hidden secrets) PlanStep {
	c := step.Change
	d := PlanStep{Backend: step.Backend, Op: string(c.Op), Entry: entryName(c.Ref)}
	switch c.Op {
	case backends.OpCreate:
		d.After = hidden.mask(step.Backend, c.Add)
		if c.Ref.Table != "" { // the key is a column, too
			maps.Copy(d.After, hidden.mask(step.Backend, backends.Values{c.Ref.Column: {c.Ref.Key}}))
		}
	case backends.OpDelete:
		d.Before = hidden.mask(step.Backend, step.Whole)
	case backends.OpRename:
		d.To = entryName(c.To)
	case backends.OpModify:
		d.Before, d.After = map[string][]any{}, map[string][]any{}
		for _, m := range c.Mods {
			maps.Copy(d.Before, hidden.mask(step.Backend, backends.Values{m.Attribute: m.Delete}))
			maps.Copy(d.After, hidden.mask(step.Backend, backends.Values{m.Attribute: m.Add}))
		}
	}
	return d
}

// mask shows values with the secret ones hidden.
func (s secrets) mask(backend string, values backends.Values) map[string][]any {
	shown := make(map[string][]any, len(values))
	for name, list := range values {
		if !s[backend][name] {
			shown[name] = slices.Clone(list)
			continue
		}
		for range list {
			shown[name] = append(shown[name], masked)
		}
	}
	return shown
}

// entryName is a DN, or table[column=key].
func entryName(ref backends.Ref) string {
	if ref.Table == "" {
		return ref.DN
	}
	return ref.Table + "[" + ref.Column + "=" + journal.Text(ref.Key) + "]"
}
