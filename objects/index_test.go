package objects

import (
	"fmt"
	"strings"
	"testing"
)

// Values to delete are found by their keys, however many an object has: by its UUID alone, a group of 100,000 members
// could not be emptied.
func TestValuesAreDeletedByKey(t *testing.T) {
	state := openState(t)
	var drop []indexValue
	for _, name := range []string{"mail", "member"} {
		for i := range 200 {
			drop = append(drop, indexValue{name, fmt.Sprintf("value %03d", i)})
		}
	}
	statements := valueStatements("uuid", drop, nil)
	for _, s := range statements {
		var details []string
		err := state.Query(t.Context(), "EXPLAIN QUERY PLAN "+s.SQL, s.Args, func(scan func(...any) error) error {
			var id, parent, unused int64
			var detail string
			err := scan(&id, &parent, &unused, &detail)
			details = append(details, detail)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(details) != 1 || !strings.Contains(details[0], "value_key=?") {
			t.Errorf("%s\nlooks at more than it deletes: %q", s.SQL, details)
		}
	}
	if len(statements) != len(drop) {
		t.Errorf("%d statements for %d values", len(statements), len(drop))
	}
}
