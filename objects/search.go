package objects

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"clacks"
	"clacks/access"
	"clacks/internal/dn"
	"clacks/mapping"
)

// Search finds objects by the index. Only what the user may find is in the answer, and of it only the attributes that he
// may read; a condition on an attribute that he may not read is never true for him.
//
// A filter's value is a value, a list of which one must match, or nil for "has none". In a text "*" stands for any
// characters ("\*" for itself). Cursors are opaque, belong to the same search, and stay valid over changes: a page begins
// behind the last object of the one before, wherever that is now.
func (s *Service) Search(ctx context.Context, user access.User, q SearchRequest) (*SearchResult, error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	run, err := s.newSearch(user, &q)
	if err != nil {
		return nil, err
	}
	return run.page(ctx)
}

// search is one search on its way.
type search struct {
	s     *Service
	cat   *catalogue
	user  access.User
	q     *SearchRequest
	limit int

	where  []string // conditions, joined by AND
	args   []any
	order  string // the expression to sort by; path_key when it is ""
	asked  map[string]bool
	reads  []string // attributes whose values decide: the user must be allowed to read them
	filter *objectQuery
	after  *position
	print  string // what identifies the search, for its cursors
	shapes map[string]*mapping.Shape

	evaluating time.Duration // spent on the query so far
}

func (s *Service) newSearch(user access.User, q *SearchRequest) (*search, error) {
	r := &search{s: s, cat: s.catalogue.Load(), user: user, q: q, limit: q.Limit, shapes: map[string]*mapping.Shape{}}
	switch {
	case r.limit == 0:
		r.limit = DefaultLimit
	case r.limit < 0:
		return nil, wrongParameter("objects.search", "limit", clacks.CodeCheck, "the limit is negative")
	case r.limit > MaxLimit:
		return nil, clacks.E(clacks.Limit, "objects.search", "the limit is %d; %d is the most", r.limit, MaxLimit)
	}
	if err := r.cat.known(q.Attributes); err != nil {
		return nil, err
	}
	if len(q.Attributes) > 0 {
		r.asked = make(map[string]bool, len(q.Attributes))
		for _, name := range q.Attributes {
			r.asked[name] = true
		}
	}
	for _, step := range []func() error{r.place, r.types, r.filters, r.sorting, r.query, r.cursor} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *search) and(condition string, args ...any) {
	r.where = append(r.where, condition)
	r.args = append(r.args, args...)
}

// place limits the search to a part of the tree.
func (r *search) place() error {
	key := r.s.baseKey
	if r.q.Base != "" {
		var err error
		if key, err = dn.Key(r.q.Base); err != nil {
			return wrongName("objects.search", "base", err)
		}
	}
	from, to := dn.PathRange(dn.PathOfKey(key))
	switch r.q.Scope {
	case "base":
		r.and(`o.dn_key = ?`, key)
	case "one":
		r.and(`o.parent_key = ?`, key)
	case "sub", "":
		r.and(`o.path_key >= ? AND o.path_key < ?`, from, to)
	case "children":
		r.and(`o.path_key > ? AND o.path_key < ?`, from, to)
	default:
		scopes := []string{"base", "one", "sub", "children"}
		return wrongParameter("objects.search", "scope", clacks.CodeValues, fmt.Sprintf("%q is not one of %s%s", clip(r.q.Scope, 40),
			strings.Join(scopes, ", "), meant(r.q.Scope, scopes)))
	}
	return nil
}

// types limits the search to objects of a base type, or to those with an extension.
func (r *search) types() error {
	if r.q.Type == "" {
		return nil
	}
	typ := r.cat.set.Definitions().Type(r.q.Type)
	switch {
	case typ == nil:
		return wrongParameter("objects.search", "type", clacks.CodeUnknown, "there is no object type "+clip(r.q.Type, 100)+
			meant(r.q.Type, r.cat.typeNames()))
	case typ.Base:
		r.and(`o.type = ?`, r.q.Type)
	default:
		r.and(`o.uuid IN (SELECT uuid FROM clacks_values WHERE attribute = ? AND value_key = ?)`, extensionKey, r.q.Type)
	}
	return nil
}

// definitions are those of an attribute that the search may mean; all must be in the index.
func (r *search) definitions(name string) ([]*mapping.Attribute, error) {
	list := r.cat.attributes[name]
	var wrong fields
	switch {
	case len(list) == 0:
		wrong.add(clip(name, 100), clacks.CodeUnknown, "no type has such an attribute%s", meant(name, sortedNames(r.cat.attributes)))
	case slices.ContainsFunc(list, func(a *mapping.Attribute) bool { return !indexed(a) || a.Type == "Binary" }):
		wrong.add(name, clacks.CodeCheck, "cannot be searched for")
	}
	return list, wrong.err("objects.search", r.q.Type)
}

// maxFilters and maxAlternatives bound the conditions of one search.
const (
	maxFilters      = 32
	maxAlternatives = 500
)

func (r *search) filters() error {
	if len(r.q.Filter) > maxFilters {
		return clacks.E(clacks.Limit, "objects.search", "more than %d attributes in a filter", maxFilters)
	}
	names := make([]string, 0, len(r.q.Filter))
	for name := range r.q.Filter {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := r.filterOne(name, r.q.Filter[name]); err != nil {
			return err
		}
	}
	return nil
}

func (r *search) filterOne(name string, value any) error {
	if name == "dn" || name == "uuid" {
		return r.filterName(name, value)
	}
	attributes, err := r.definitions(name)
	if err != nil {
		return err
	}
	r.reads = append(r.reads, name)
	if value == nil {
		r.and(`o.uuid NOT IN (SELECT uuid FROM clacks_values WHERE attribute = ?)`, name)
		return nil
	}
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	if len(list) > maxAlternatives {
		return clacks.E(clacks.Limit, "objects.search", "more than %d values for %s", maxAlternatives, name)
	}
	var conditions []string
	args := []any{name}
	for _, v := range list {
		condition, more, err := valueCondition(attributes, v)
		if err != nil {
			var wrong fields
			wrong.add(name, clacks.CodeType, "%v", err)
			return wrong.err("objects.search", r.q.Type)
		}
		conditions = append(conditions, condition)
		args = append(args, more...)
	}
	if len(conditions) == 0 {
		r.and(`1 = 0`) // one of none
		return nil
	}
	r.and(`o.uuid IN (SELECT uuid FROM clacks_values WHERE attribute = ? AND (`+strings.Join(conditions, " OR ")+`))`, args...)
	return nil
}

// filterName selects by what is no attribute.
func (r *search) filterName(name string, value any) error {
	text, ok := value.(string)
	if !ok {
		return wrongParameter("objects.search", name, clacks.CodeType, "must be a text")
	}
	if name == "uuid" {
		r.and(`o.uuid = ?`, strings.ToLower(text))
		return nil
	}
	key, err := dn.Key(text)
	if err != nil {
		return wrongName("objects.search", name, err)
	}
	r.and(`o.dn_key = ?`, key)
	return nil
}

// valueCondition is the condition on value_key for one value of a filter, under all definitions of the attribute.
func valueCondition(attributes []*mapping.Attribute, v any) (string, []any, error) {
	if text, ok := v.(string); ok {
		if parts := splitWildcards(text); len(parts) > 1 {
			return wildcardCondition(attributes, parts)
		}
		v = strings.ReplaceAll(text, `\*`, `*`)
	}
	var args []any
	var failure error
	for _, a := range attributes {
		parsed, err := a.Parse(v)
		if err != nil {
			failure = err
			continue
		}
		if key := indexKey(a, parsed); !slices.Contains(args, any(key)) {
			args = append(args, key)
		}
	}
	if len(args) == 0 {
		return "", nil, failure
	}
	return `value_key IN (` + repeated("?", ", ", len(args)) + `)`, args, nil
}

// splitWildcards cuts a text at its "*"s; "\*" is a star itself.
func splitWildcards(text string) []string {
	var parts []string
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text) && text[i+1] == '*':
			b.WriteByte('*')
			i++
		case text[i] == '*':
			parts = append(parts, b.String())
			b.Reset()
		default:
			b.WriteByte(text[i])
		}
	}
	return append(parts, b.String())
}

// wildcardCondition is a LIKE on the keys; a prefix is a range as well, which an index serves.
func wildcardCondition(attributes []*mapping.Attribute, parts []string) (string, []any, error) {
	if !slices.ContainsFunc(parts, func(p string) bool { return p != "" }) {
		return `value_key >= ?`, []any{""}, nil // any value
	}
	var conditions []string
	var args []any
	for _, a := range attributes {
		if a.Type != "String" && a.Type != "UnicodeString" {
			return "", nil, clacks.E(clacks.Invalid, "", "only texts can be searched for by a part")
		}
		keys := make([]string, len(parts))
		for i, part := range parts {
			if keys[i] = partKey(a, part); len(keys[i]) > maxKey/2 {
				return "", nil, clacks.E(clacks.Limit, "", "the part of a value is too long")
			}
		}
		condition := `value_key LIKE ? ESCAPE '\'`
		pattern := make([]string, len(keys))
		for i, key := range keys {
			pattern[i] = likeEscape(key)
		}
		args = append(args, strings.Join(pattern, "%"))
		if keys[0] != "" {
			condition = `value_key >= ? AND value_key < ? AND ` + condition
			args = append(args[:len(args)-1], keys[0], keys[0]+"\U0010FFFF", args[len(args)-1])
		}
		conditions = append(conditions, `(`+condition+`)`)
	}
	return strings.Join(conditions, " OR "), args, nil
}

// partKey is the key of a part of a value: the spaces at its ends count.
func partKey(a *mapping.Attribute, part string) string {
	if part == "" {
		return ""
	}
	key := a.Key(part)
	if part[0] == ' ' && key != "" {
		key = " " + key
	}
	if part[len(part)-1] == ' ' {
		key += " "
	}
	return key
}

// sorting chooses the order: by the DN from the root downwards, or by the smallest value of an attribute, objects without
// one first; equal ones by their DN.
func (r *search) sorting() error {
	if r.q.OrderBy == "" || r.q.OrderBy == "dn" {
		return nil
	}
	if _, err := r.definitions(r.q.OrderBy); err != nil {
		return err
	}
	r.reads = append(r.reads, r.q.OrderBy)
	r.order = r.q.OrderBy
	return nil
}

// statement is the SQL of a page behind a position.
func (r *search) statement(after *position, limit int) (string, []any) {
	direction, than := "", ">"
	if r.q.Descending {
		direction, than = " DESC", "<"
	}
	var b strings.Builder
	var args []any
	b.WriteString(`SELECT ` + searchColumns)
	if r.order == "" {
		b.WriteString(`, '' FROM clacks_objects o`)
	} else {
		b.WriteString(`, COALESCE(s.first, '') FROM clacks_objects o LEFT JOIN (SELECT uuid, MIN(value_key) AS first
FROM clacks_values WHERE attribute = ? GROUP BY uuid) s ON s.uuid = o.uuid`)
		args = append(args, r.order)
	}
	b.WriteString(` WHERE ` + strings.Join(r.where, ` AND `))
	args = append(args, r.args...)
	switch {
	case after != nil && r.order == "":
		b.WriteString(` AND o.path_key ` + than + ` ?`)
		args = append(args, after.Path)
	case after != nil:
		b.WriteString(` AND (COALESCE(s.first, ''), o.path_key) ` + than + ` (?, ?)`)
		args = append(args, after.Value, after.Path)
	}
	b.WriteString(` ORDER BY `)
	if r.order != "" {
		b.WriteString(`COALESCE(s.first, '')` + direction + `, `)
	}
	b.WriteString(`o.path_key` + direction + ` LIMIT ` + strconv.Itoa(limit))
	return b.String(), args
}

const searchColumns = `o.uuid, o.dn, o.path_key, o.type, o.extensions, o.version, o.modified, o.document`
