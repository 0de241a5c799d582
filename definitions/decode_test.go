package definitions

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func whole(t *testing.T) (*Set, Source) {
	t.Helper()
	sources, err := ReadPath("testdata/good/whole.xml")
	if err != nil {
		t.Fatal(err)
	}
	options := known
	options.Filters, options.Validators = []string{"Lower", "Trim"}, []string{"Even", "Odd"}
	set, problems := Load(sources, options)
	if set == nil || len(problems) > 0 {
		t.Fatal(problems)
	}
	return set, sources[0]
}

// same compares by value and shows both sides as JSON, which follows pointers.
func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		g, _ := json.Marshal(got)
		w, _ := json.Marshal(want)
		t.Errorf("%s is\n  %s, want\n  %s", what, g, w)
	}
}

func TestTypeIsRead(t *testing.T) {
	set, _ := whole(t)
	thing := set.Type("Thing")
	same(t, "description", thing.Description, "A thing, amended.")
	same(t, "base", thing.Base, true)
	same(t, "templates", thing.Templates, []string{"thing.ui", "more.ui"})
	same(t, "dialogs", thing.Dialogs, []string{"wizard.ui"})
	same(t, "container", thing.Container, []string{"Thing", "Box"})
	same(t, "LDAP parameters", thing.Parameters[0].Values, map[string]string{
		"objectClasses": "device,extra", "RDN": "cn,serial", "filter": "(!(cn=*$))"})
	same(t, "SQL parameters", thing.Parameters[1].Values, map[string]string{"table": "articles", "key": "cn=name"})
	same(t, "FixedRDN", set.Type("Box").FixedRDN, "ou=boxes")
	same(t, "StructuralInvisible", set.Type("Box").StructuralInvisible, true)
	motor := set.Type("Motor")
	same(t, "extends", motor.Extends, []string{"Thing"})
	same(t, "requires", motor.RequiresExtension, []string{"Wheels"})
	same(t, "conditions", motor.Conditions[0].Properties, []string{"cn", "size"})
	same(t, "condition", motor.Conditions[0].Condition.Name, "Even")
	var names []string
	for _, typ := range set.Types() {
		names = append(names, typ.Name)
	}
	same(t, "types", names, []string{"Box", "Motor", "Thing", "Wheels"})
	if set.Type("thing") != nil || set.Type("Nothing") != nil {
		t.Error("a type that does not exist is found")
	}
}

func TestMethodsHooksAndSearchAreRead(t *testing.T) {
	set, _ := whole(t)
	thing := set.Type("Thing")
	sixty := "60"
	same(t, "method", thing.Methods[0], Method{
		Name: "move", Command: "moveThing", Arguments: []string{"dn", "__self__", "cn", "to", "speed"},
		Parameters: []MethodParameter{{Name: "to", Type: String, Required: true}, {Name: "speed", Type: Integer, Default: &sixty}},
		Pos:        thing.Methods[0].Pos,
	})
	same(t, "hook", thing.Hooks[0], Hook{Type: "PostUpdate", Command: "thingChanged", Arguments: []string{"cn"}, Pos: thing.Hooks[0].Pos})
	same(t, "aspect", thing.Aspects[0], Aspect{
		Tag: "Thing", Keywords: []string{"Device"}, Search: []string{"cn", "serial"},
		Resolves: []Resolve{{Attribute: "neighbor", Filter: "DN", Type: "Thing"}},
		Results:  []ResultMap{{"cn", "title"}, {"%(serial)s", "description"}},
	})
}

func TestAttributesAreRead(t *testing.T) {
	set, _ := whole(t)
	thing := set.Type("Thing")
	color := thing.Attribute("color")
	same(t, "values", color.Values, []Value{{"r", "red", true}, {"g", "green", false}, {"", "blue", false}})
	same(t, "default", *color.Default, "blue")
	same(t, "blocked", color.BlockedBy, []Blocker{{"locked", "true"}, {"paint", ""}})
	same(t, "depends", color.DependsOn, []string{"locked"})
	same(t, "old form of blocked", thing.Attribute("locked").BlockedBy, []Blocker{{"paint", "wet"}})
	same(t, "backends", []string{
		thing.Attribute("cn").Backend, thing.Attribute("locked").Backend, thing.Attribute("labels").Backend, thing.Attribute("shown").Backend,
	}, []string{"LDAP", "NULL", "SQL", "LDAP"})
	same(t, "overridden", []any{thing.Attribute("paint").Type, thing.Attribute("paint").ValuesPopulate}, []any{Integer, ""})
	if thing.Attribute("added") == nil {
		t.Error("the amendment added nothing")
	}
	var references []string
	for _, r := range thing.Attribute("neighbor").References {
		references = append(references, strings.Join([]string{r.Object, r.Attribute, r.Mode, r.IdentifyPattern, r.ReplacePattern, r.DeletePattern}, " "))
	}
	same(t, "references", references, []string{"Thing dn replace   ", "Thing serial inline a b c", "* dn replace   "})
	size := thing.Attribute("size")
	same(t, "backend type", size.BackendType, String)
	same(t, "condition", []any{size.Validator.Operator, size.Validator.Left.Name, size.Validator.Left.Params, size.Validator.Right.Operator,
		size.Validator.Right.Left.Name}, []any{"or", "Even", []string{"2", "3"}, "and", "Odd"})
	foreign := set.Type("Motor").Attribute("wheels")
	same(t, "foreign", []any{foreign.Foreign, foreign.Type, foreign.DependsOn}, []any{true, Integer, []string{"size"}})
	note := thing.Attribute("note")
	choice := note.InFilter.Entries[1]
	same(t, "filters", []any{note.InFilter.Entries[0].Filter.Name, note.InFilter.Entries[0].Filter.Params, len(choice.Choice),
		choice.Choice[1].Condition.Name, choice.Choice[1].Chains[0].Entries[0].Filter.Name, choice.Else[0].Entries[0].Filter.Name},
		[]any{"Lower", []string{"x"}, 2, "Odd", "Lower", "Trim"})
	same(t, "note", []any{note.Auto, note.InheritFrom, note.InheritRelation, note.UpdateHooks},
		[]any{true, "getNote", "neighbor", []UpdateHook{{Object: "Thing", NotifyAttribute: "paint"}}})
}

// TestQueriesKnowTheirPlace looks at the file where each query says that it stands.
func TestQueriesKnowTheirPlace(t *testing.T) {
	set, source := whole(t)
	thing := set.Type("Thing")
	shown := thing.Attribute("shown").Mappings[0]
	queries := []*Query{
		&thing.Attribute("cn").Asserts[0].Test, &thing.Attribute("cn").Asserts[1].Test, thing.Attribute("serial").DefaultQuery,
		thing.Attribute("size").ValuesQuery, shown.Inbound, &shown.Outbounds[0].Query, &shown.Outbounds[1].Query,
	}
	for _, q := range queries {
		line := sourceLine(source.Data, q.Pos.Line)
		first, _, _ := strings.Cut(q.Text, "\n")
		raw := strings.ReplaceAll(first, "<", "&lt;")
		at := line[q.Pos.Column-1:]
		if !strings.HasPrefix(at, first) && !strings.HasPrefix(at, raw) {
			t.Errorf("%q does not stand at %+v: %q", q.Text, q.Pos, at)
		}
	}
	// The second line of a query keeps its indentation, so that its columns are those of the file.
	if want := "let $n := cn\n            return $n"; shown.Outbounds[0].Query.Text != want {
		t.Errorf("query %q, want %q", shown.Outbounds[0].Query.Text, want)
	}
}
