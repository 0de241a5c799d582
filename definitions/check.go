package definitions

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"time"
)

// check reports what is inconsistent although every name exists.
func (l *loader) check() {
	for _, d := range l.order {
		l.checkType(d)
		l.checkNaming(d)
		l.checkParameters(d)
		checkDuplicates(d)
		checkWriters(d)
		for _, a := range d.attributes {
			if !a.Foreign {
				l.checkAttribute(d, a)
			}
		}
		checkDependencies(d)
	}
	l.checkOverlap()
	l.checkRequirements()
}

func (l *loader) checkType(d *declaration) {
	f := d.file
	switch {
	case d.Base && len(d.extends) > 0:
		f.errorf(d.extends[0].pos, "leave out Extends, or BaseObject", "%s is a base type and cannot extend another", d.Name)
	case d.Base && len(d.requires) > 0:
		f.errorf(d.requires[0].pos, "leave out RequiresExtension, or BaseObject", "%s is a base type and cannot require extensions", d.Name)
	case !d.Base && len(d.extends) == 0:
		f.errorf(d.Pos, "add <BaseObject>true</BaseObject>, or <Extends>", "%s is neither a base type nor does it extend one", d.Name)
	}
	for i, w := range d.requires {
		other := l.lookup(w.text)
		if other == nil || other.Base || len(d.Extends) == 0 || len(other.Extends) == 0 {
			continue
		}
		if !slices.ContainsFunc(d.Extends, func(base string) bool { return slices.Contains(other.Extends, base) }) {
			f.faultf(w.pos, "", "%s requires %s, but both never extend the same base type", d.Name, other.Name)
		}
		if slices.ContainsFunc(d.requires[:i], func(o word) bool { return o.text == w.text }) {
			f.faultf(w.pos, "", "%s requires %s twice", d.Name, w.text)
		}
	}
}

// checkNaming checks how entries of a base type are named: RDN lists attributes of the type, FixedRDN is the one RDN.
func (l *loader) checkNaming(d *declaration) {
	f := d.file
	fixed, _, valid := strings.Cut(d.FixedRDN, "=")
	fixed = strings.TrimSpace(fixed)
	if d.FixedRDN != "" && (!valid || fixed == "" || strings.HasSuffix(d.FixedRDN, "=")) {
		f.errorf(d.fixedRDN.pos, "write ATTRIBUTE=VALUE, like ou=people", "the FixedRDN %q of %s is not a name", d.FixedRDN, d.Name)
		return
	}
	if !d.Base {
		if d.FixedRDN != "" {
			f.errorf(d.fixedRDN.pos, "leave it out", "%s is an extension; only base types have names", d.Name)
		}
		return
	}
	i := slices.IndexFunc(d.Parameters, func(p BackendParameters) bool { return p.Backend == d.Backend })
	var names []string
	if i >= 0 {
		names = slices.Collect(splitList(d.Parameters[i].Values["RDN"]))
	}
	switch {
	case len(names) == 0 && d.FixedRDN == "":
		if l.known(d.Backend) {
			f.errorf(d.Pos, `add RDN="ATTRIBUTE" to the parameters of its backend `+d.Backend+", or a FixedRDN",
				"the base type %s has neither RDN nor FixedRDN: its entries would have no names", d.Name)
		}
		return
	case d.FixedRDN != "":
		if len(names) > 0 && !strings.EqualFold(names[0], fixed) {
			f.errorf(d.fixedRDN.pos, "write the same attribute in both",
				"the FixedRDN of %s names by %s, its RDN by %s", d.Name, fixed, names[0])
		}
		return // the name is given; the type needs no attribute for it
	}
	kept := names[:0]
	for _, name := range names {
		switch a := d.find(name); {
		case a == nil:
			f.faultf(d.Parameters[i].Pos, nearestHint(name, declaredNames(d.attributes)),
				"the RDN of %s names the attribute %q, which %s does not have", d.Name, name, d.Name)
			continue
		case a.Secret:
			f.errorf(a.Pos, "", "%s.%s is part of the RDN and cannot be secret", d.Name, a.Name)
		case a.Type == Binary:
			f.errorf(a.Pos, "", "%s.%s is part of the RDN and cannot be binary", d.Name, a.Name)
		}
		kept = append(kept, name)
	}
	d.Parameters[i].Values["RDN"] = strings.Join(kept, ",")
}

// find is the attribute of this name that the type itself has, or nil.
func (d *declaration) find(name string) *declared {
	for _, a := range d.attributes {
		if a.Name == name {
			return a
		}
	}
	return nil
}

// checkParameters checks what the language itself knows about backend parameters: a table needs a key, which connects a
// column to an attribute of the object. It has to be an attribute that has exactly one value.
func (l *loader) checkParameters(d *declaration) {
	seen := map[string]bool{}
	for _, p := range d.Parameters {
		f := l.fileOf(p.Pos)
		table, key := p.Values["table"], p.Values["key"]
		if id := p.Backend + "/" + table; seen[id] {
			f.errorf(p.Pos, "join them", "%s has parameters for the backend %s twice", d.Name, p.Backend)
		} else {
			seen[id] = true
		}
		switch {
		case table == "" && key == "":
			continue
		case table == "":
			f.errorf(p.Pos, `add table="NAME"`, "the key of %s has no table", p.Backend)
		case key == "":
			f.errorf(p.Pos, `add key="ATTRIBUTE=COLUMN", or key="uuid"`, "the table %s of %s has no key", table, d.Name)
		default:
			l.checkKey(f, d, p, key)
		}
	}
}

func (l *loader) checkKey(f *file, d *declaration, p BackendParameters, key string) {
	table := p.Values["table"]
	attribute, column, found := strings.Cut(key, "=")
	attribute, column = strings.TrimSpace(attribute), strings.TrimSpace(column)
	if attribute == "" || found && column == "" {
		f.errorf(p.Pos, `write key="ATTRIBUTE=COLUMN", or key="uuid"`, "the key %q of the table %s is not understood", key, table)
		return
	}
	if attribute == "uuid" {
		return // every object has one
	}
	scope := l.scope(d)
	i := slices.IndexFunc(scope, func(a *declared) bool { return a.Name == attribute })
	if i < 0 {
		f.errorf(p.Pos, nearestHint(attribute, append(declaredNames(scope), "uuid")),
			"the key %q of the table %s names the attribute %q, which %s does not have", key, table, attribute, d.Name)
		return
	}
	a := scope[i]
	switch {
	case a.MultiValue:
		f.errorf(p.Pos, "", "%s is the key of the table %s and cannot have many values", attribute, table)
	case a.Secret:
		f.errorf(p.Pos, "", "%s is the key of the table %s and cannot be secret", attribute, table)
	case !a.Mandatory:
		f.errorf(p.Pos, "add <Mandatory>true</Mandatory> to it", "%s is the key of the table %s and must be mandatory", attribute, table)
	case a.Backend == p.Backend:
		f.errorf(p.Pos, "take an attribute of another backend, or uuid",
			"%s is the key of the table %s and cannot be stored in it", attribute, table)
	}
}

// fileOf is the file in which a place lies.
func (l *loader) fileOf(pos Position) *file {
	i := slices.IndexFunc(l.files, func(f *file) bool { return f.Name == pos.File })
	return l.files[i]
}

func checkDuplicates(d *declaration) {
	seen := map[string]*declared{}
	for _, a := range d.attributes {
		key := strings.ToLower(a.Name)
		first := seen[key]
		switch {
		case a.Name == "dn":
			a.file.errorf(a.Pos, "choose another name", "%s cannot have an attribute dn: it is the name of the entry", d.Name)
		case first == nil:
			seen[key] = a
		case first.Foreign && a.Foreign:
			a.file.warnf(a.Pos, "leave it out", "%s lists the foreign attribute %s twice", d.Name, a.Name)
		default:
			a.file.errorf(a.Pos, "rename one of them", "%s has two attributes %s; the first is at %s", d.Name, a.Name, place(first.Pos))
		}
	}
}

// checkWriters finds two attributes that write the same backend attribute: which of them would win is nobody's guess.
func checkWriters(d *declaration) {
	writers := map[string]*declared{}
	claim := func(a *declared, pos Position, parts ...string) {
		key := strings.ToLower(strings.Join(parts, "\x00"))
		if first := writers[key]; first != nil && !strings.EqualFold(first.Name, a.Name) {
			a.file.faultf(pos, "", "%s.%s and %s.%s both write %s of %s", d.Name, first.Name, d.Name, a.Name, parts[2], parts[0])
			return
		}
		writers[key] = a
	}
	for _, a := range d.attributes {
		if a.Foreign || a.Backend == nullBackend {
			continue
		}
		if len(a.Mappings) == 0 {
			claim(a, a.Pos, a.Backend, "", a.Name)
		}
		for _, m := range a.Mappings {
			if m.Attribute != "" {
				claim(a, m.Pos, m.Backend, m.Table, m.Attribute)
			}
			for _, o := range m.Outbounds {
				claim(a, o.Query.Pos, m.Backend, "", o.Attribute)
			}
		}
	}
}

func (l *loader) checkAttribute(d *declaration, a *declared) {
	f := a.file
	if a.Secret && a.Unique {
		f.errorf(a.Pos, "leave out Unique or Secret",
			"%s.%s is secret and cannot be unique: whether a value is taken would tell it", d.Name, a.Name)
	}
	if a.Secret && len(a.References) > 0 {
		f.errorf(a.Pos, "leave out References or Secret", "%s.%s is secret and cannot be a reference", d.Name, a.Name)
	}
	filled := a.Default != nil || a.DefaultQuery != nil || a.Auto || len(a.Mappings) > 0 || a.InFilter != nil || a.OutFilter != nil
	if a.ReadOnly && a.Mandatory && !filled {
		f.faultf(a.Pos, "give it a Default or a Mapping", "%s.%s is mandatory and read-only, and nothing gives it a value", d.Name, a.Name)
	}
	checkValues(d, a)
	for i := range a.Mappings {
		l.checkMapping(d, a, &a.Mappings[i])
	}
	if a.Unavailable != "" {
		return
	}
	if a.Backend != nullBackend && len(a.Mappings) == 0 && l.parameters(d, a.Backend) == nil {
		f.faultf(a.Pos, "add <Backend ...>"+a.Backend+"</Backend> to the BackendParameters",
			"%s.%s is stored in %s, but %s has no parameters for that backend", d.Name, a.Name, a.Backend, d.Name)
	}
	if p := l.parameters(d, a.Backend); p != nil && p.Values["table"] != "" && a.MultiValue && len(a.Mappings) == 0 {
		f.errorf(a.Pos, `add <Mapping table="TABLE" foreignKey="COLUMN" attribute="COLUMN"/>`,
			"%s.%s has many values, and a column of the table %s holds one", d.Name, a.Name, p.Values["table"])
	}
}

func checkValues(d *declaration, a *declared) {
	seen := map[string]bool{}
	for i, v := range a.Values {
		stored := v.Key
		if stored == "" {
			stored = v.Text
		}
		if !a.Type.parses(stored) {
			a.file.faultf(a.valuePos[i], "", "the value %q of %s.%s is not of its type %s", shorten(stored), d.Name, a.Name, a.Type)
		}
		if seen[stored] {
			a.file.faultf(a.valuePos[i], "leave it out", "%s.%s allows the value %q twice", d.Name, a.Name, shorten(stored))
		}
		seen[stored] = true
	}
	if a.Default == nil || *a.Default == "" {
		return
	}
	if !a.Type.parses(*a.Default) {
		a.file.faultf(a.defaultPos, "", "the default of %s.%s is not of its type %s", d.Name, a.Name, a.Type)
	} else if len(seen) > 0 && !seen[*a.Default] {
		allowed := make([]string, 0, len(seen))
		for value := range seen {
			allowed = append(allowed, value)
		}
		a.file.faultf(a.defaultPos, nearestHint(*a.Default, allowed), "the default of %s.%s is not among its values", d.Name, a.Name)
	}
}

// parses reports whether a text in a definition can be a value of the type.
func (t AttributeType) parses(text string) bool {
	var err error
	switch t {
	case Integer:
		_, err = strconv.ParseInt(text, 10, 64)
	case Boolean:
		return slices.Contains([]string{"true", "false", "1", "0"}, strings.ToLower(text))
	case Binary:
		_, err = base64.StdEncoding.DecodeString(text)
	case Date:
		_, err = time.Parse(time.DateOnly, text)
	case Timestamp:
		_, err = time.Parse(time.RFC3339, text)
	}
	return err == nil
}

// ownTable reports whether the table of a mapping is one of those that hold the object's own row, not a child table.
func (l *loader) ownTable(d *declaration, m *Mapping) bool {
	for _, t := range append([]*declaration{d}, l.company(d)...) {
		for _, p := range t.Parameters {
			if p.Backend == m.Backend && p.Values["table"] == m.Table {
				return true
			}
		}
	}
	return false
}

func (l *loader) checkMapping(d *declaration, a *declared, m *Mapping) {
	f := a.file
	queries := m.Inbound != nil || len(m.Outbounds) > 0
	switch {
	case m.Table == "" && m.ForeignKey != "":
		f.errorf(m.Pos, `add table="NAME"`, "the mapping of %s.%s has a foreignKey and no table", d.Name, a.Name)
	case m.Table != "" && m.ForeignKey == "" && !l.ownTable(d, m):
		f.errorf(m.Pos, `add foreignKey="COLUMN"`,
			"the mapping of %s.%s to the table %s does not say which column holds the key of the object's row", d.Name, a.Name, m.Table)
	case m.ForeignKey != "" && !a.MultiValue:
		f.errorf(m.Pos, "add <MultiValue>true</MultiValue>",
			"%s.%s is mapped to rows of the table %s, but has only one value", d.Name, a.Name, m.Table)
	case m.Attribute != "" && queries:
		f.errorf(m.Pos, "keep one of them", "the mapping of %s.%s has both another name and queries", d.Name, a.Name)
	case m.Attribute == "" && m.Table == "" && !queries:
		f.errorf(m.Pos, `add attribute="NAME", Inbound or Outbound, or leave it out`, "the mapping of %s.%s says nothing", d.Name, a.Name)
	}
	if !l.known(m.Backend) || m.Backend == nullBackend {
		return
	}
	p := l.parameters(d, m.Backend)
	if p == nil {
		f.errorf(m.Pos, "add <Backend ...>"+m.Backend+"</Backend> to the BackendParameters",
			"%s.%s is mapped to %s, but %s has no parameters for that backend", d.Name, a.Name, m.Backend, d.Name)
	} else if m.Table != "" && p.Values["table"] == "" {
		f.errorf(m.Pos, "", "%s.%s is mapped to the table %s, but %s has no table in %s that it could belong to",
			d.Name, a.Name, m.Table, d.Name, m.Backend)
	}
	for i := range a.Mappings {
		if o := &a.Mappings[i]; o == m {
			break
		} else if o.Backend == m.Backend {
			f.errorf(m.Pos, "join them", "%s.%s is mapped to %s twice", d.Name, a.Name, m.Backend)
		}
	}
}
