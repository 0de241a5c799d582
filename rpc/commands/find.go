package commands

import (
	"context"
	"html"
	"slices"
	"strings"
	"time"
	"unicode"

	"clacks"
	"clacks/access"
	"clacks/definitions"
	"clacks/internal/dn"
	"clacks/objects"
	"clacks/rpc"
)

func (s *service) find() []rpc.Command {
	return []rpc.Command{
		rpc.New(rpc.Spec{Name: "search", Help: "Finds objects by words, as the web frontend shows them."}, s.findByWords),
		rpc.New(rpc.Spec{Name: "getObjectSearchItem", Help: "One object as search shows it."}, s.searchItem),
		rpc.New(rpc.Spec{Name: "getEntryPoints", Help: "The DNs from which a user may look through the tree."}, s.entryPoints),
		rpc.New(rpc.Spec{Name: "getAvailableObjectNames", Help: "The names of the object types; with a language, their labels by name."},
			s.typeNames),
		rpc.New(rpc.Spec{Name: "isContainerForObjectType", Help: "Whether objects of a type may stand directly below an object."},
			s.isContainerFor),
		rpc.New(rpc.Spec{Name: "extensionExists", Help: "Whether an object has an extension."}, s.hasExtension),
		rpc.New(rpc.Spec{Name: "getUserDetails", Help: "Name and place of the user who is logged in."}, s.userDetails),
	}
}

type findParams struct {
	Base    string      `json:"base" required:"true" doc:"DN to search below"`
	Scope   string      `json:"scope" required:"true" doc:"SUB, BASE, ONE (with the base itself) or CHILDREN (without it)"`
	Query   string      `json:"qstring" doc:"words; an object must have one that begins so for each of them"`
	Options findOptions `json:"fltr" doc:"further conditions"`
}

// findOptions are the frontend's; those that ask for more than is known are accepted and have no effect.
type findOptions struct {
	Category  string `json:"category"`
	ModTime   string `json:"mod-time" doc:"all, hour, day, week, month or year"`
	Limit     int    `json:"limit"`
	OrderBy   string `json:"order-by" doc:"relevance, name or last-changed"`
	Order     any    `json:"order" doc:"0 or asc, 1 or desc"`
	Adjusted  bool   `json:"adjusted-dn"`
	Fallback  any    `json:"fallback"`
	Secondary any    `json:"secondary"`
	Actions   any    `json:"actions"`
	Type      string `json:"type"`
	Keyword   string `json:"keyword"`
}

// item is an object as the frontend lists it.
type item struct {
	Tag         string  `json:"tag"`
	Relevance   float64 `json:"relevance"`
	UUID        string  `json:"uuid"`
	Secondary   bool    `json:"secondary"`
	LastChanged any     `json:"lastChanged"`
	HasChildren bool    `json:"hasChildren"`
	DN          string  `json:"dn"`
	Container   bool    `json:"container"`
	Title       string  `json:"title"`
	Description string  `json:"description"`
	Icon        string  `json:"icon"`
	AdjustedDN  string  `json:"adjusted_dn,omitempty"`

	changed time.Time
}

// found is the answer of search.
type found struct {
	PrimaryTotal int     `json:"primary_total"`
	Total        int     `json:"total"`
	Results      []*item `json:"results"`
}

// mostItems is how many objects one search of the frontend answers at most.
const mostItems = 1000

// scopes are those of the frontend's words, in ours. Its ONE means the base and what is directly below it.
var scopes = map[string][]string{"sub": {"sub"}, "base": {"base"}, "one": {"base", "one"}, "children": {"one"}}

func (s *service) findByWords(ctx context.Context, call *rpc.Call, p findParams) (*found, error) {
	ours, ok := scopes[strings.ToLower(p.Scope)]
	if !ok {
		return nil, invalidParam("scope", "INVALID_SEARCH_SCOPE", "must be one of SUB, BASE, ONE, CHILDREN")
	}
	since, err := modifiedSince(p.Options.ModTime)
	if err != nil {
		return nil, err
	}
	words := wordsOf(p.Query)
	seen := map[string]*item{}
	for _, scope := range ours {
		for _, request := range s.candidates(words, p, scope) {
			if err := s.collect(ctx, call, request, words, since, seen); err != nil {
				return nil, err
			}
		}
	}
	items := make([]*item, 0, len(seen))
	for _, i := range seen {
		items = append(items, i)
	}
	sortItems(items, p.Options)
	answer := &found{PrimaryTotal: len(items), Total: len(items), Results: items}
	limit := mostItems
	if p.Options.Limit > 0 {
		limit = min(limit, p.Options.Limit)
	}
	answer.Results = items[:min(limit, len(items))]
	for _, i := range answer.Results {
		if err := s.complete(ctx, call.User, i, p.Options); err != nil {
			return nil, err
		}
	}
	return answer, nil
}

// literal is a text as a filter's value that stands for nothing but itself.
func literal(text string) string { return strings.ReplaceAll(text, "*", `\*`) }

func invalidParam(name, code, reason string) error {
	return &clacks.Error{Op: "commands", Kind: clacks.Invalid, Reason: "wrong parameters",
		Fields: []clacks.Field{{Attribute: name, Code: code, Reason: reason}}}
}

// modifiedSince is the time of the option mod-time, zero for any.
func modifiedSince(option string) (time.Time, error) {
	now := time.Now()
	switch option {
	case "", "all":
		return time.Time{}, nil
	case "hour":
		return now.Add(-time.Hour), nil
	case "day":
		return now.AddDate(0, 0, -1), nil
	case "week":
		return now.AddDate(0, 0, -7), nil
	case "month":
		return now.AddDate(0, -1, 0), nil
	case "year":
		return now.AddDate(-1, 0, 0), nil
	}
	return time.Time{}, invalidParam("fltr", clacks.CodeValues, "mod-time must be one of all, hour, day, week, month, year")
}

// mostWords bounds a query; further words are not looked at.
const mostWords = 16

// wordsOf are the words of a text, in lower case.
func wordsOf(text string) []string {
	words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) })
	return words[:min(len(words), mostWords)]
}

// shown are the attributes of a type that search looks at, and those that make its title, description and icon.
func shown(t *definitions.Type) (searched []string, results map[string]string) {
	results = map[string]string{}
	for _, aspect := range t.Aspects {
		searched = append(searched, aspect.Search...)
		for _, m := range aspect.Results {
			results[m.Destination] = m.Source
		}
	}
	return searched, results
}

// candidates are searches that together find every object with all words. The index knows values by attribute, so there is
// one for each attribute in which types want to be found, with the longest word, which selects most.
func (s *service) candidates(words []string, p findParams, scope string) []objects.SearchRequest {
	base := objects.SearchRequest{Base: p.Base, Scope: scope, Limit: objects.MaxLimit}
	if p.Options.Category != "all" {
		base.Type = p.Options.Category
	}
	if len(words) == 0 {
		return []objects.SearchRequest{base}
	}
	longest := slices.MaxFunc(words, func(a, b string) int { return len(a) - len(b) })
	var requests []objects.SearchRequest
	for _, name := range s.searchedAttributes(base.Type) {
		request := base
		request.Filter = map[string]any{name: "*" + longest + "*"}
		requests = append(requests, request)
	}
	return requests
}

// searchedAttributes are the text attributes by which types want to be found; only by those can a part be searched for.
func (s *service) searchedAttributes(category string) []string {
	names := map[string]bool{}
	texts := func(t *definitions.Type, name string) bool {
		a := t.Attribute(name)
		return a != nil && !a.Secret && a.Unavailable == "" && (a.Type == definitions.String || a.Type == definitions.UnicodeString)
	}
	for _, t := range s.Objects.Mappings().Definitions().Types() {
		if category != "" && t.Name != category {
			continue
		}
		searched, _ := shown(t)
		for _, name := range searched {
			if texts(t, name) {
				names[name] = true
			}
		}
	}
	sorted := make([]string, 0, len(names))
	for name := range names {
		sorted = append(sorted, name)
	}
	slices.Sort(sorted)
	return sorted
}

// collect runs a search through all its pages and keeps the objects that have all words.
func (s *service) collect(ctx context.Context, call *rpc.Call, request objects.SearchRequest, words []string, since time.Time,
	seen map[string]*item) error {
	for {
		result, err := s.Objects.Search(ctx, call.User, request)
		if err != nil {
			return err
		}
		for _, view := range result.Objects {
			if seen[view.UUID] != nil || view.LastChanged.Before(since) {
				continue
			}
			if relevance, ok := relevanceOf(view, words); ok {
				seen[view.UUID] = itemOf(call, view, relevance)
			}
		}
		if result.Cursor == "" {
			return nil
		}
		request.Cursor = result.Cursor
	}
}

// relevanceOf says how well an object fits the words; ok is false when one is missing. A whole word counts more than the
// beginning of one.
func relevanceOf(view *objects.View, words []string) (relevance float64, ok bool) {
	if len(words) == 0 {
		return 1, true
	}
	searched, _ := shown(view.Shape.Type())
	var have []string
	for _, name := range searched {
		if a := view.Shape.Attribute(name); a != nil {
			for _, v := range view.Values[name] {
				have = append(have, wordsOf(a.Text(v))...)
			}
		}
	}
	for _, word := range words {
		best := 0.0
		for _, h := range have {
			if h == word {
				best = 2
				break
			}
			if strings.HasPrefix(h, word) {
				best = 1
			}
		}
		if best == 0 {
			return 0, false
		}
		relevance += best
	}
	return relevance / float64(len(words)), true
}

// itemOf shows an object by the results that its type asks for.
func itemOf(call *rpc.Call, view *objects.View, relevance float64) *item {
	t := view.Shape.Type()
	_, results := shown(t)
	value := func(destination string) string {
		if a := view.Shape.Attribute(results[destination]); a != nil && len(view.Values[a.Name]) > 0 {
			return a.Text(view.Values[a.Name][0])
		}
		return ""
	}
	i := &item{Tag: view.Type, Relevance: relevance, UUID: view.UUID, LastChanged: call.Timestamp(view.LastChanged), DN: view.DN,
		Container: len(t.Container) > 0, Title: value("title"), Icon: value("icon"), changed: view.LastChanged}
	if i.Title == "" {
		if parts := dn.RDNValues(dn.RDN(view.DN)); len(parts) > 0 {
			i.Title = parts[0].Value
		}
	}
	i.Description = html.EscapeString(value("description")) // the frontend shows it as HTML
	return i
}

// complete adds what costs a search of its own.
func (s *service) complete(ctx context.Context, user access.User, i *item, options findOptions) error {
	if options.Adjusted {
		i.AdjustedDN = i.DN
	}
	if !i.Container {
		return nil
	}
	children, err := s.Objects.Search(ctx, user, objects.SearchRequest{Base: i.DN, Scope: "one", Limit: 1, Attributes: []string{}})
	if err != nil {
		return err
	}
	i.HasChildren = len(children.Objects) > 0
	return nil
}

// sortItems orders as the frontend asks; equal ones by their DN.
func sortItems(items []*item, options findOptions) {
	less := func(a, b *item) int {
		switch options.OrderBy {
		case "name":
			return strings.Compare(strings.ToLower(a.Title), strings.ToLower(b.Title))
		case "last-changed":
			return a.changed.Compare(b.changed)
		}
		switch {
		case a.Relevance > b.Relevance:
			return -1
		case a.Relevance < b.Relevance:
			return 1
		}
		return 0
	}
	descending := options.Order == "desc" || options.Order == true
	if n, ok := options.Order.(interface{ String() string }); ok && n.String() == "1" {
		descending = true
	}
	slices.SortFunc(items, func(a, b *item) int {
		order := less(a, b)
		if descending {
			order = -order
		}
		if order == 0 {
			return strings.Compare(a.DN, b.DN)
		}
		return order
	})
}

type dnParams struct {
	DN string `json:"dn" required:"true" doc:"the object's DN, or its UUID"`
}

// shortItem is the answer of getObjectSearchItem.
type shortItem struct {
	Tag         string `json:"tag"`
	DN          string `json:"dn"`
	Title       string `json:"title"`
	Description string `json:"description"`
	Icon        string `json:"icon"`
}

func (s *service) searchItem(ctx context.Context, call *rpc.Call, p dnParams) (*shortItem, error) {
	view, err := s.Objects.Get(ctx, call.User, p.DN, nil)
	if err != nil {
		return nil, renamed(err, "dn")
	}
	i := itemOf(call, view, 1)
	return &shortItem{Tag: i.Tag, DN: i.DN, Title: i.Title, Description: i.Description, Icon: i.Icon}, nil
}

func (s *service) entryPoints(_ context.Context, call *rpc.Call, _ rpc.None) ([]string, error) {
	if call.User.Admin {
		return []string{s.Base}, nil
	}
	if call.User.DN != "" {
		return []string{call.User.DN}, nil
	}
	return []string{}, nil
}

type typesParams struct {
	OnlyBase bool   `json:"only_base" doc:"base types only"`
	Base     string `json:"base" doc:"a type: only those that may stand below it"`
	Locale   string `json:"locale" doc:"a language: answer labels by name"`
}

// typeNames answers a list, or an object when a language is given.
func (s *service) typeNames(_ context.Context, _ *rpc.Call, p typesParams) (any, error) {
	set := s.Objects.Mappings().Definitions()
	if p.Base != "" && set.Type(p.Base) == nil {
		return nil, invalidParam("base", clacks.CodeValues, "there is no such type")
	}
	names, labels := []string{}, map[string]string{}
	for _, t := range set.Types() {
		if p.OnlyBase && !t.Base || p.Base != "" && !mayContain(set, p.Base, t.Name) {
			continue
		}
		names = append(names, t.Name)
		labels[t.Name] = t.DisplayName
		if t.DisplayName == "" {
			labels[t.Name] = t.Name
		}
	}
	if p.Locale != "" {
		return labels, nil
	}
	return names, nil
}

func mayContain(set *definitions.Set, container, typ string) bool {
	t := set.Type(container)
	return t != nil && slices.Contains(t.Container, typ)
}

type containerParams struct {
	DN   string `json:"object_dn" required:"true" doc:"the object's DN"`
	Type string `json:"object_type" required:"true" doc:"an object type"`
}

func (s *service) isContainerFor(ctx context.Context, call *rpc.Call, p containerParams) (bool, error) {
	view, err := s.Objects.Get(ctx, call.User, p.DN, []string{})
	if err != nil {
		return false, renamed(err, "object_dn")
	}
	set := s.Objects.Mappings().Definitions()
	if t := set.Type(p.Type); t != nil && t.Base && dn.Equal(view.DN, s.Base) {
		return true, nil // whatever the base is, objects of every type may stand there
	}
	return slices.ContainsFunc(append([]string{view.Type}, view.Extensions...),
		func(name string) bool { return mayContain(set, name, p.Type) }), nil
}

type extensionParams struct {
	DN        string `json:"dn" required:"true" doc:"the object's DN, or its UUID"`
	Extension string `json:"extension" required:"true" doc:"an extension"`
}

func (s *service) hasExtension(ctx context.Context, call *rpc.Call, p extensionParams) (bool, error) {
	view, err := s.Objects.Get(ctx, call.User, p.DN, []string{})
	if err != nil {
		return false, renamed(err, "dn")
	}
	return slices.Contains(view.Extensions, p.Extension), nil
}

// userDetails is what the frontend shows of the user.
type userDetails struct {
	SN        string `json:"sn"`
	GivenName string `json:"givenName"`
	CN        string `json:"cn"`
	DN        string `json:"dn"`
	UUID      string `json:"uuid"`
	Icon      string `json:"icon"`
}

func (s *service) userDetails(ctx context.Context, call *rpc.Call, _ rpc.None) (*userDetails, error) {
	d := &userDetails{CN: call.User.ID, DN: call.User.DN, UUID: call.User.UUID}
	if d.UUID == "" {
		return d, nil // an administrator without an object
	}
	view, err := s.Objects.Get(ctx, call.User, d.UUID, nil)
	if err != nil {
		return nil, err
	}
	first := func(name, fallback string) string {
		if a := view.Shape.Attribute(name); a != nil && len(view.Values[name]) > 0 {
			return a.Text(view.Values[name][0])
		}
		return fallback
	}
	d.DN, d.SN, d.GivenName, d.CN = view.DN, first("sn", ""), first("givenName", ""), first("cn", d.CN)
	return d, nil
}
