package directory

import (
	"context"
	"errors"
	"slices"
	"strings"

	"clacks"
	"clacks/backends"
	"clacks/internal/dn"
	"clacks/internal/store"
)

// Apply makes one change in one transaction, which no other change overlaps.
func (b *Backend) Apply(ctx context.Context, c backends.Change) (backends.Result, error) {
	switch c.Op {
	case backends.OpCreate:
		return b.create(ctx, c, false)
	case backends.OpModify:
		return b.change(ctx, c, b.modify)
	case backends.OpRename:
		return b.change(ctx, c, b.rename)
	case backends.OpDelete:
		return b.change(ctx, c, b.remove)
	}
	return backends.Result{}, clacks.E(clacks.Invalid, "directory.apply", "there is no change %.20q", string(c.Op))
}

// create makes an entry; suffix allows one without a parent.
func (b *Backend) create(ctx context.Context, c backends.Change, suffix bool) (backends.Result, error) {
	r, err := b.newRecord(c)
	if err != nil {
		return backends.Result{}, err
	}
	tx, err := b.db.Begin(ctx)
	if err != nil {
		return backends.Result{}, err
	}
	defer tx.Rollback()
	if err := b.place(ctx, tx, r, c.Ref.DN, suffix); err != nil {
		return backends.Result{}, err
	}
	statements := append([]store.Statement{{
		SQL:  "INSERT INTO directory_entries (uuid, path, parent, name, version, created, data) VALUES (?, ?, ?, ?, ?, ?, ?)",
		Args: []any{r.uuid, r.path, r.parent, r.name, r.version, r.created, r.marshal()},
	}}, indexStatements(nil, r)...)
	if _, err := tx.Commit(ctx, statements...); err != nil {
		return backends.Result{}, taken(err)
	}
	return backends.Result{Version: r.version}, nil
}

// newRecord is the entry of a create, checked as far as it can be without the tree.
func (b *Backend) newRecord(c backends.Change) (*record, error) {
	if c.Ref.DN == "" {
		return nil, clacks.E(clacks.Invalid, "directory.create", "a new entry has a DN")
	}
	r := &record{}
	var err error
	if r.path, err = dn.Path(c.Ref.DN); err != nil {
		return nil, err
	}
	if r.uuid, err = newUUID(c.Ref.UUID); err != nil {
		return nil, err
	}
	r.version = b.nextVersion("")
	r.created, _, _ = strings.Cut(r.version, "#")
	var fields []clacks.Field
	for name, values := range c.Add {
		edits, err := b.edits([]backends.Mod{{Attribute: name, Add: values}})
		var e *clacks.Error
		if errors.As(err, &e) {
			fields = append(fields, e.Fields...)
		}
		for i := range edits {
			if err := edits[i].apply(r); err != nil {
				return nil, err
			}
		}
	}
	if len(fields) > 0 {
		slices.SortFunc(fields, func(a, b clacks.Field) int { return strings.Compare(a.Attribute, b.Attribute) })
		return nil, refuseAll(fields)
	}
	if err := b.addRDN(r, c.Ref.DN); err != nil {
		return nil, err
	}
	slices.SortFunc(r.attributes, func(a, b attribute) int { return strings.Compare(a.key, b.key) })
	return r, b.validate(r, c.Ref.DN)
}

// validate holds an entry against the schema and its name.
func (b *Backend) validate(r *record, name string) error {
	fields := b.schema().check(r)
	rdn, err := b.schema().rdn(name)
	if err != nil {
		return err
	}
	for _, ava := range rdn {
		if a := r.find(ava.key); a == nil || a.index(ava.values[0]) < 0 {
			fields = append(fields, clacks.Field{Attribute: ava.name(), Code: clacks.CodeCheck,
				Reason: "the value that names the entry is not among its values"})
		}
	}
	if len(fields) > 0 {
		return refuseAll(fields)
	}
	return nil
}

// place finds the parent of a new or renamed entry, and gives the entry its name below it. A suffix has no parent.
func (b *Backend) place(ctx context.Context, tx *store.Tx, r *record, name string, suffix bool) error {
	r.name = b.schema().pretty(dn.RDN(name))
	var there bool
	err := tx.Query(ctx, "SELECT 1 FROM directory_entries WHERE path = ? AND uuid <> ?", []any{r.path, r.uuid},
		func(func(...any) error) error { there = true; return nil })
	if err != nil {
		return err
	}
	if there {
		return clacks.E(clacks.NotUnique, "directory.apply", "the entry %q exists already", name)
	}
	parent := dn.Parent(name)
	if suffix {
		r.parent, r.name = "", dn.Join(r.name, parent)
		return nil
	}
	above, err := b.load(ctx, tx.Query, backends.Ref{DN: parent})
	if parent == "" || clacks.IsKind(err, clacks.NotFound) {
		return clacks.E(clacks.NotFound, "directory.apply", "the parent of %q does not exist", name)
	}
	if err != nil {
		return err
	}
	r.parent, r.name = above.path, dn.Join(r.name, above.name)
	return nil
}

// operation changes a record whose guard holds and returns the statements that write it; none when nothing is to do.
type operation func(ctx context.Context, tx *store.Tx, r *record, c backends.Change) ([]store.Statement, error)

func (b *Backend) change(ctx context.Context, c backends.Change, do operation) (backends.Result, error) {
	tx, err := b.db.Begin(ctx)
	if err != nil {
		return backends.Result{}, err
	}
	defer tx.Rollback()
	r, err := b.load(ctx, tx.Query, c.Ref)
	if err != nil {
		return backends.Result{}, err
	}
	if err := b.guard(r, c.Guard); err != nil {
		return backends.Result{}, err
	}
	statements, err := do(ctx, tx, r, c)
	if err != nil {
		return backends.Result{}, err
	}
	if len(statements) > 0 {
		if _, err := tx.Commit(ctx, statements...); err != nil {
			return backends.Result{}, taken(err)
		}
	}
	return backends.Result{Version: r.version}, nil
}

// taken is the error of the database: its only constraints are those of names.
func taken(err error) error {
	var violated *store.ConstraintError
	if errors.As(err, &violated) {
		return &clacks.Error{Op: "directory.apply", Kind: clacks.NotUnique, Reason: "the name or the UUID is already taken", Err: err}
	}
	return err
}

func (b *Backend) guard(r *record, g backends.Guard) error {
	changed := func(what string) error {
		return clacks.E(clacks.Conflict, "directory.apply", "the entry %q has changed: %s", r.name, what)
	}
	if g.Version != "" && g.Version != r.version {
		return changed("its version is another")
	}
	if g.UUID != "" && !strings.EqualFold(g.UUID, r.uuid) {
		return changed("its UUID is another")
	}
	for name, old := range g.Old {
		d, ok := b.schema().describe(name)
		if !ok {
			if len(old) == 0 {
				continue
			}
			return changed(name)
		}
		a := r.find(d.key)
		if a == nil {
			a = &attribute{description: d}
		}
		if !a.equals(old) {
			return changed(name)
		}
	}
	return nil
}

// equals reports whether the attribute has exactly these values.
func (a *attribute) equals(values []backends.Value) bool {
	if len(values) != len(a.values) {
		return false
	}
	set := a.set()
	for _, v := range values {
		text, ok := encode(v)
		if !ok {
			return false
		}
		key := a.typ.rule.key(text)
		if _, ok := set[key]; !ok {
			return false
		}
		delete(set, key)
	}
	return true
}

// edit is one mod with its values in stored form.
type edit struct {
	description
	attribute      string // as the caller spells it
	removed, added []string
}

// edits checks what can be checked of mods without an entry: names, syntaxes, and how many values an attribute may have.
func (b *Backend) edits(mods []backends.Mod) ([]edit, error) {
	list := make([]edit, 0, len(mods))
	for _, mod := range mods {
		if len(mod.Delete) == 0 && len(mod.Add) == 0 {
			continue
		}
		d, ok := b.schema().describe(mod.Attribute)
		if !ok {
			return nil, refuse(mod.Attribute, clacks.CodeUnknown, "there is no such attribute")
		}
		e := edit{description: d, attribute: mod.Attribute}
		var err error
		// What is compared byte by byte may be anything: then it is just not there.
		if e.removed, err = b.encode(e, mod.Delete, d.typ.rule.comparable); err != nil {
			return nil, err
		}
		if e.added, err = b.encode(e, mod.Add, true); err != nil {
			return nil, err
		}
		if d.typ.single && len(e.added) > 1 {
			return nil, refuse(mod.Attribute, clacks.CodeSingle, "it has one value at most")
		}
		list = append(list, e)
	}
	return list, nil
}

// encode are the stored forms of a caller's values; clacks.Invalid when one does not have the attribute's syntax.
func (b *Backend) encode(e edit, values []backends.Value, strict bool) ([]string, error) {
	list := make([]string, len(values))
	for i, v := range values {
		text, ok := encode(v)
		if !ok {
			return nil, refuse(e.attribute, clacks.CodeType, "a value of this type cannot be stored")
		}
		if strict && !e.typ.rule.valid(text) {
			return nil, refuse(e.attribute, clacks.CodeType, e.typ.rule.reason)
		}
		if e.typ.key == "objectclass" && b.schema().classes[strings.ToLower(text)] == nil {
			return nil, refuse(e.attribute, clacks.CodeValues, "there is no such object class")
		}
		if e.typ.rule == rules["name"] {
			text = b.schema().pretty(text)
		}
		list[i] = text
	}
	return list, nil
}

// apply makes an edit: clacks.Conflict when a value is not as the edit takes for granted. It replaces the attribute's
// values and does not write into them.
func (e *edit) apply(r *record) error {
	a := r.attribute(e.description)
	set := a.set()
	gone := make([]bool, len(a.values))
	for _, v := range e.removed {
		key := e.typ.rule.key(v)
		at, ok := set[key]
		if !ok {
			return conflict(e.attribute, "a value to delete is not there")
		}
		gone[at] = true
		delete(set, key)
	}
	kept := make([]string, 0, len(a.values)+len(e.added))
	for i, v := range a.values {
		if !gone[i] {
			kept = append(kept, v)
		}
	}
	for _, v := range e.added {
		key := e.typ.rule.key(v)
		if _, there := set[key]; there {
			return conflict(e.attribute, "a value to add is already there")
		}
		set[key] = len(kept)
		kept = append(kept, v)
	}
	a.values = kept
	return nil
}

func conflict(attribute, reason string) error {
	return &clacks.Error{Op: "directory.apply", Kind: clacks.Conflict, Reason: attribute + ": " + reason}
}

func (b *Backend) modify(_ context.Context, _ *store.Tx, r *record, c backends.Change) ([]store.Statement, error) {
	before := *r
	before.attributes = slices.Clone(r.attributes)
	edits, err := b.edits(c.Mods)
	if err != nil || len(edits) == 0 {
		return nil, err
	}
	for i := range edits {
		if err := edits[i].apply(r); err != nil {
			return nil, err
		}
	}
	r.prune()
	if err := b.validate(r, r.name); err != nil {
		return nil, err
	}
	if was, is := b.schema().structural(&before), b.schema().structural(r); was != is && was != nil {
		return nil, refuse("objectClass", clacks.CodeReadOnly, "the structural class "+was.name+" cannot be changed")
	}
	return b.write(&before, r), nil
}

// write are the statements that store a changed record, with a new version.
func (b *Backend) write(before, r *record) []store.Statement {
	r.version = b.nextVersion(r.version)
	return append([]store.Statement{{
		SQL:  "UPDATE directory_entries SET path = ?, parent = ?, name = ?, version = ?, data = ? WHERE uuid = ?",
		Args: []any{r.path, r.parent, r.name, r.version, r.marshal(), r.uuid}, Rows: 1,
	}}, indexStatements(before, r)...)
}

// rename is LDAP's ModifyDN with deleteoldrdn: the values of the old RDN go, those of the new one come.
func (b *Backend) rename(ctx context.Context, tx *store.Tx, r *record, c backends.Change) ([]store.Statement, error) {
	if c.To.DN == "" {
		return nil, clacks.E(clacks.Invalid, "directory.rename", "the new name is missing")
	}
	before := *r
	before.attributes = slices.Clone(r.attributes)
	var err error
	if r.path, err = dn.Path(c.To.DN); err != nil {
		return nil, err
	}
	if r.path != before.path && (strings.HasPrefix(r.path, before.path) || strings.HasPrefix(before.path, r.path)) {
		return nil, clacks.E(clacks.Invalid, "directory.rename", "an entry cannot be moved below or above itself")
	}
	isSuffix := before.parent == "" && before.path == r.path
	if err := b.place(ctx, tx, r, c.To.DN, isSuffix); err != nil {
		return nil, err
	}
	if err := b.renameValues(&before, r, c.To.DN); err != nil {
		return nil, err
	}
	if err := b.validate(r, c.To.DN); err != nil {
		return nil, err
	}
	statements := b.write(&before, r)
	if r.path == before.path && r.name == before.name {
		return statements, nil
	}
	from, to := dn.PathRange(before.path)
	return append(statements, store.Statement{
		SQL: `UPDATE directory_entries SET path = ? || substr(path, length(?) + 1), parent = ? || substr(parent, length(?) + 1),
name = substr(name, 1, length(name) - length(?)) || ? WHERE path > ? AND path < ? AND uuid <> ?`,
		Args: []any{r.path, before.path, r.path, before.path, before.name, r.name, from, to, r.uuid},
	}), nil
}

func (b *Backend) renameValues(before, r *record, name string) error {
	oldRDN, err := b.schema().rdn(before.name)
	if err != nil {
		return err
	}
	for _, ava := range oldRDN {
		a := r.attribute(ava.description)
		if i := a.index(ava.values[0]); i >= 0 {
			a.values = slices.Delete(slices.Clone(a.values), i, i+1)
		}
	}
	if err := b.addRDN(r, name); err != nil {
		return err
	}
	r.prune()
	return nil
}

// addRDN gives an entry the values of its RDN that it lacks, as OpenLDAP does.
func (b *Backend) addRDN(r *record, name string) error {
	rdn, err := b.schema().rdn(name)
	if err != nil {
		return err
	}
	for _, ava := range rdn {
		if !ava.typ.rule.valid(ava.values[0]) {
			return refuse(ava.name(), clacks.CodeType, ava.typ.rule.reason)
		}
		if a := r.attribute(ava.description); a.index(ava.values[0]) < 0 {
			a.values = append(slices.Clone(a.values), ava.values[0])
		}
	}
	return nil
}

func (b *Backend) remove(ctx context.Context, tx *store.Tx, r *record, _ backends.Change) ([]store.Statement, error) {
	children := false
	err := tx.Query(ctx, "SELECT 1 FROM directory_entries WHERE parent = ? LIMIT 1", []any{r.path},
		func(func(...any) error) error { children = true; return nil })
	if err != nil {
		return nil, err
	}
	if children {
		return nil, clacks.E(clacks.InUse, "directory.delete", "the entry %q has children", r.name)
	}
	return append([]store.Statement{{SQL: "DELETE FROM directory_entries WHERE uuid = ?", Args: []any{r.uuid}, Rows: 1}},
		indexStatements(r, nil)...), nil
}
