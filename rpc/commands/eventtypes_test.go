package commands_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"clacks"
	"clacks/events"
	"clacks/internal/xsd"
	"clacks/rpc/client"
)

func TestEventTypes(t *testing.T) {
	w := newWorld(t)
	schemas, err := events.LoadSchemas()
	if err != nil {
		t.Fatal(err)
	}
	all, err := client.Do[events.Catalogue](t.Context(), w.admin, "getEventTypes", nil)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, eventType := range all.Types {
		names = append(names, eventType.Name)
	}
	if !slices.Equal(names, schemas.Types()) || all.Schema != nil {
		t.Errorf("%v, %d schemas", names, len(all.Schema))
	}

	one, err := client.Do[events.Catalogue](t.Context(), w.admin, "getEventTypes", map[string]any{"types": []string{"ObjectChanged"}, "schema": true})
	if err != nil {
		t.Fatal(err)
	}
	changed := one.Types[0]
	if changed.Documentation != "A change of an object was committed." || changed.Order != xsd.OrderAll {
		t.Errorf("%+v", changed)
	}
	at := slices.IndexFunc(changed.Elements, func(p xsd.Particle) bool { return p.Name == "ChangeType" })
	if at < 0 || changed.Elements[at].Type != "string" || !slices.Contains(changed.Elements[at].Values, "retract") || changed.Elements[at].Min != 1 {
		t.Errorf("ChangeType: %+v", changed.Elements)
	}
	var files []xsd.File
	for _, source := range one.Schema {
		files = append(files, xsd.File{Name: source.Name, Data: []byte(source.Text)})
	}
	if _, err := xsd.Compile(files...); err != nil {
		t.Errorf("the schema does not compile: %v", err)
	}

	err = w.errorOf(clacks.NotFound, "getEventTypes", map[string]any{"types": []string{"ObjectChange"}})
	if !strings.Contains(err.Error(), `did you mean "ObjectChanged"?`) {
		t.Error(err)
	}
}

// Who is logged in may ask, who is not may not.
func TestEventTypesRights(t *testing.T) {
	w := newWorld(t)
	nobody := &client.Client{URL: w.web.URL, User: "nobody", Password: "tester"}
	if raw, err := nobody.Call(t.Context(), "getEventTypes", []any{[]string{"BackendChange"}}); err != nil || !json.Valid(raw) {
		t.Error(err)
	}
	for _, want := range []string{`{"sequence":0}`, `{"sequence":1}`} {
		if raw, err := nobody.Call(t.Context(), "getLastEvent", nil); err != nil || string(raw) != want {
			t.Errorf("%s, %v", raw, err)
		}
		w.call("createObject", map[string]any{"type": "OrganizationalUnit", "base": base, "attributes": map[string]any{"ou": "a" + want[12:13]}})
	}
	if _, err := (&client.Client{URL: w.web.URL}).Call(t.Context(), "getEventTypes", nil); clacks.KindOf(err) != clacks.Unauthenticated {
		t.Error(err)
	}
}
