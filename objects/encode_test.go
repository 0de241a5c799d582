package objects

import (
	"reflect"
	"testing"
	"time"

	"clacks/backends"
	"clacks/objects/journal"
)

// TestPlanEncoding: what recovery reads is what was planned.
func TestPlanEncoding(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 8_000_000, time.UTC)
	event := Changed{UUID: "u", DN: "cn=a", ObjectType: "User", ChangeType: "update", Time: at, Actor: "admin",
		TransactionID: "op", EventID: "op-1", Origin: "service", Attributes: []AttributeChange{{Name: "sn", Old: []string{"a"}, New: []string{"b"}}}}
	external, moved := event, event
	external.TransactionID, external.Time = "other", at.Add(time.Second)
	moved.NewDN = "cn=b"
	p := &plan{Operation: "op", Time: at, Actor: "admin", Events: []Changed{event, external, moved}, Parents: []string{"ou=x"},
		Steps: []journal.Step{{Backend: "SQL", Object: "u", Change: backends.Change{Op: backends.OpModify,
			Ref: backends.Ref{Table: "t", Column: "c", Key: int64(7)}, Mods: []backends.Mod{{Attribute: "n", Add: []backends.Value{true}}},
			Guard: backends.Guard{Old: backends.Values{"n": nil}}}}},
		Rows: []rowChange{{Op: rowUpdate, UUID: "u", DN: "cn=a", Version: 2}}, Result: Result{UUID: "u", DN: "cn=a", Version: "2"}}
	data, err := p.encode()
	if err != nil {
		t.Fatal(err)
	}
	read, err := decodePlan(data)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(read, p) {
		t.Errorf("read %+v\nplanned %+v", read, p)
	}
	if p.Events[0].TransactionID != "op" {
		t.Error("the plan itself was changed")
	}
}
