package commands_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"clacks"
)

func TestSubscriptions(t *testing.T) {
	w := newWorld(t)
	w.jane()
	audit := map[string]any{"xquery": "Event/ObjectChanged[ObjectType = 'User']", "name": "audit", "durable": true, "from": 1}
	made := w.object("subscribe", audit)
	id, _ := made["id"].(string)
	if id == "" || made["address"] != "org.clacks.subscription."+id {
		t.Fatalf("subscribe answers %v", made)
	}
	if again := w.object("subscribe", audit); !reflect.DeepEqual(again, made) {
		t.Errorf("the second time: %v", again)
	}
	audit["xquery"] = "true()"
	w.fails(clacks.Conflict, "subscribe", audit)
	audit["replace"], audit["from"] = true, time.Now().Add(-time.Hour).Format(time.RFC3339)
	if again := w.object("subscribe", audit); again["id"] != id {
		t.Errorf("replaced: %v", again)
	}
	passing := w.object("subscribe", map[string]any{"xquery": "Event/BackendChange", "deliver": "result"})

	all := w.call("listSubscriptions", []any{}).([]any)
	if len(all) != 2 {
		t.Fatalf("listSubscriptions answers %v", all)
	}
	for _, entry := range all {
		s := entry.(map[string]any)
		if s["owner"] != "admin" || s["created"] == "" || s["attached"] != false || s["errors"] != json.Number("0") {
			t.Errorf("%v", s)
		}
		switch s["id"] {
		case id:
			if s["name"] != "audit" || s["xquery"] != "true()" || s["durable"] != true || s["position"] != json.Number("0") || s["lag"] == json.Number("0") || s["expires"] != nil {
				t.Errorf("%v", s)
			}
		case passing["id"]:
			if s["durable"] != false || s["deliver"] != "result" || s["expires"] == nil || s["lag"] != json.Number("0") {
				t.Errorf("%v", s)
			}
		default:
			t.Errorf("%v is not ours", s)
		}
	}
	if done := w.call("unsubscribe", []any{id}); done != true {
		t.Errorf("unsubscribe answers %v", done)
	}
	w.fails(clacks.NotFound, "unsubscribe", []any{id})
	for _, from := range []any{"soon", true, []any{1}, -1, 1e300} {
		w.fails(clacks.Invalid, "subscribe", map[string]any{"from": from})
	}
}

// A wrong query is refused with its place.
func TestSubscribeWrongQuery(t *testing.T) {
	w := newWorld(t)
	_, err := w.admin.Call(t.Context(), "subscribe", map[string]any{"xquery": "let $a := 1\nreturn $b"})
	var wrong *clacks.Error
	if !errors.As(err, &wrong) || wrong.Kind != clacks.Invalid || len(wrong.Fields) != 1 || wrong.Fields[0].Attribute != "xquery" ||
		!strings.HasPrefix(wrong.Fields[0].Reason, "line 2, column 8: ") {
		t.Errorf("%v", err)
	}
}
