package main

import (
	"context"
	"encoding/xml"
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"clacks/backends"
	"clacks/internal/dn"
	"clacks/internal/store"
)

// The oracle of a crash: replaying the event log from empty gives exactly what the directory and the database hold;
// every acknowledged operation has exactly one event of its object, every definite error has none.

// world is what an oracle looks at, behind the service's back.
type world struct {
	t     testing.TB
	base  string
	tree  backends.Backend
	state *store.DB // the service's state, and the mapped tables
}

// replica is an object as the event log tells it.
type replica struct {
	kind, dn string
	values   map[string][]string
}

type changedEvent struct {
	UUID       string `xml:"ObjectChanged>UUID"`
	DN         string `xml:"ObjectChanged>DN"`
	NewDN      string `xml:"ObjectChanged>NewDN"`
	ObjectType string `xml:"ObjectChanged>ObjectType"`
	ChangeType string `xml:"ObjectChanged>ChangeType"`
	Attributes []struct {
		Name string   `xml:"name,attr"`
		Old  []string `xml:"Old"`
		New  []string `xml:"New"`
	} `xml:"ObjectChanged>Attributes>Attribute"`
}

// columns maps the attributes that the oracle compares to where they are stored behind the service.
var (
	treeAttributes = []string{"uid", "cn", "sn", "givenName", "mail", "displayName", "member", "ou", "uidNumber", "homeDirectory"}
	rowAttributes  = map[string]string{"badgeNumber": "badge_number", "costCenter": "cost_center"}
)

// check fails the test unless log and backends agree and nothing is left in flight.
func (w *world) check(context string) {
	w.t.Helper()
	w.checkNothingPending(context)
	model := w.replay(context)
	w.compareTree(context, model)
	w.compareRows(context, model)
}

// checkNothingPending requires that no operation is prepared, no object is locked, and no reservation outlives its object.
func (w *world) checkNothingPending(context string) {
	w.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		open := w.strings(`SELECT operation || ' ' || state FROM clacks_journal WHERE state NOT IN ('committed', 'aborted')`)
		locks := w.strings(`SELECT uuid FROM clacks_locks`)
		if len(open)+len(locks) == 0 {
			break
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%s: still pending: operations %v, locks %v", context, open, locks)
		}
		time.Sleep(50 * time.Millisecond)
	}
	orphans := w.strings(`SELECT attribute || '=' || value_key FROM clacks_unique
		WHERE uuid NOT IN (SELECT uuid FROM clacks_objects)`)
	if len(orphans) > 0 {
		w.t.Fatalf("%s: reservations without an object: %v", context, orphans)
	}
}

// replay builds the objects from the event log and checks that each event follows from the ones before it.
func (w *world) replay(context string) map[string]*replica {
	w.t.Helper()
	model := map[string]*replica{}
	previous := int64(0)
	err := w.state.Query(w.ctx(), `SELECT sequence, document FROM clacks_events WHERE type = 'ObjectChanged' ORDER BY sequence`, nil,
		func(scan func(...any) error) error {
			var sequence int64
			var document string
			if err := scan(&sequence, &document); err != nil {
				return err
			}
			if sequence <= previous {
				return fmt.Errorf("sequence %d after %d", sequence, previous)
			}
			previous = sequence
			var event changedEvent
			if err := xml.Unmarshal([]byte(document), &event); err != nil {
				return err
			}
			if err := apply(model, event); err != nil {
				return fmt.Errorf("event %d does not follow: %w\n%s", sequence, err, document)
			}
			return nil
		})
	if err != nil {
		w.t.Fatalf("%s: replaying the log: %v", context, err)
	}
	return model
}

func apply(model map[string]*replica, event changedEvent) error {
	object := model[event.UUID]
	if event.ChangeType == "create" {
		if object != nil {
			return fmt.Errorf("%s exists already", event.UUID)
		}
		object = &replica{kind: event.ObjectType, values: map[string][]string{}}
		model[event.UUID] = object
	}
	if object == nil {
		return fmt.Errorf("%s does not exist", event.UUID)
	}
	switch {
	case event.ChangeType == "remove":
		delete(model, event.UUID)
		return nil
	case event.NewDN != "":
		object.dn = event.NewDN
	default:
		object.dn = event.DN
	}
	for _, a := range event.Attributes {
		if !sameSet(object.values[a.Name], a.Old) {
			return fmt.Errorf("%s was %q, the event says %q", a.Name, object.values[a.Name], a.Old)
		}
		object.values[a.Name] = a.New
	}
	return nil
}

// compareTree holds the model against the entries of the directory.
func (w *world) compareTree(context string, model map[string]*replica) {
	w.t.Helper()
	seen := map[string]bool{}
	query := backends.Query{Base: w.base, Scope: backends.ScopeChildren, Attributes: treeAttributes}
	for entry, err := range w.tree.Search(w.ctx(), query) {
		if err != nil {
			w.t.Fatalf("%s: reading the directory: %v", context, err)
		}
		object := model[entry.UUID]
		if object == nil {
			w.t.Fatalf("%s: the directory holds %s, which no event announced", context, entry.DN)
		}
		seen[entry.UUID] = true
		if key(w.t, object.dn) != key(w.t, entry.DN) {
			w.t.Errorf("%s: the log says %s, the directory %s", context, object.dn, entry.DN)
		}
		for _, name := range treeAttributes {
			if name == "ou" && object.kind != "OrganizationalUnit" {
				continue // of a FixedRDN: part of the name, and no attribute of the object
			}
			stored := texts(entry.Values[name])
			if !sameSet(normalized(name, stored, w.t), normalized(name, object.values[name], w.t)) {
				w.t.Errorf("%s: %s %s: the log says %q, the directory %q", context, entry.DN, name, object.values[name], stored)
			}
		}
	}
	for uuid, object := range model {
		if !seen[uuid] {
			w.t.Errorf("%s: the log announced %s, the directory does not hold it", context, object.dn)
		}
	}
}

// compareRows holds the model against the tables of the employees example.
func (w *world) compareRows(context string, model map[string]*replica) {
	w.t.Helper()
	want := []string{}
	for _, object := range model {
		if object.kind != "User" {
			continue
		}
		login := strings.Join(object.values["uid"], "")
		for attribute, column := range rowAttributes {
			for _, v := range object.values[attribute] {
				want = append(want, login+" "+column+" "+v)
			}
		}
		for _, v := range object.values["phones"] {
			want = append(want, login+" phone "+v)
		}
	}
	have := []string{}
	for _, column := range rowAttributes {
		have = append(have, w.strings(fmt.Sprintf(
			`SELECT login || ' %[1]s ' || CAST(%[2]s AS TEXT) FROM employees WHERE %[2]s IS NOT NULL`, column, quoted(column)))...)
	}
	have = append(have, w.strings(`SELECT employee || ' phone ' || number FROM phones`)...)
	sort.Strings(want)
	sort.Strings(have)
	if !slices.Equal(want, have) {
		w.t.Errorf("%s: the log says\n  %s\nthe tables hold\n  %s", context, strings.Join(want, "\n  "), strings.Join(have, "\n  "))
	}
}

// eventsOf counts the events of the operation with an idempotency key that concern objects of a type; of no type, all
// that remove something.
func (w *world) eventsOf(idempotencyKey, objectType string) int {
	w.t.Helper()
	const ofOperation = `SELECT event_id FROM clacks_events WHERE transaction_id IN
		(SELECT operation FROM clacks_journal WHERE idempotency_key = ?) AND `
	if objectType == "" {
		return len(w.strings(ofOperation+`change_type = 'remove'`, "admin/"+idempotencyKey))
	}
	return len(w.strings(ofOperation+`object_type = ?`, "admin/"+idempotencyKey, objectType))
}

func (w *world) strings(query string, args ...any) []string {
	w.t.Helper()
	var list []string
	err := w.state.Query(w.ctx(), query, args, func(scan func(...any) error) error {
		var s string
		if err := scan(&s); err != nil {
			return err
		}
		list = append(list, s)
		return nil
	})
	if err != nil {
		w.t.Fatalf("%s: %v", query, err)
	}
	return list
}

func (w *world) ctx() context.Context { return context.Background() }

func quoted(column string) string { return `"` + column + `"` }

func key(t testing.TB, name string) string {
	t.Helper()
	k, err := dn.Key(name)
	if err != nil {
		t.Fatalf("%q: %v", name, err)
	}
	return k
}

// normalized makes the values of DN attributes comparable.
func normalized(attribute string, values []string, t testing.TB) []string {
	if attribute != "member" {
		return values
	}
	keys := make([]string, len(values))
	for i, v := range values {
		keys[i] = key(t, v)
	}
	return keys
}

func texts(values []backends.Value) []string {
	list := make([]string, len(values))
	for i, v := range values {
		list[i] = fmt.Sprint(v)
	}
	return list
}

func sameSet(a, b []string) bool {
	x, y := slices.Clone(a), slices.Clone(b)
	sort.Strings(x)
	sort.Strings(y)
	return slices.Equal(x, y)
}
