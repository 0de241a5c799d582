package objects

import (
	"slices"
	"strings"

	"clacks/backends"
	"clacks/internal/dn"
)

// replica is an object as the event log tells it.
type replica struct {
	dn, typ string
	values  map[string][]string
}

// replay builds all objects from the events alone.
func (w *world) replay() map[string]*replica {
	w.t.Helper()
	objects := map[string]*replica{}
	for _, e := range w.events() {
		o := objects[e.UUID]
		switch e.ChangeType {
		case changeCreate:
			if o != nil {
				w.t.Errorf("%s was created twice", e.UUID)
			}
			o = &replica{dn: e.DN, typ: e.ObjectType, values: map[string][]string{}}
			objects[e.UUID] = o
		case changeRemove:
			if o == nil {
				w.t.Errorf("%s was removed and not there", e.UUID)
			}
			delete(objects, e.UUID)
			continue
		}
		if o == nil {
			w.t.Fatalf("%s of %s, which is not there", e.ChangeType, e.DN)
		}
		if o.dn != e.DN {
			w.t.Errorf("an event calls %s %s", o.dn, e.DN)
		}
		if e.NewDN != "" {
			o.dn = e.NewDN
		}
		for _, a := range e.Attributes {
			if !slices.Equal(o.values[a.Name], a.Old) && len(o.values[a.Name])+len(a.Old) > 0 {
				w.t.Errorf("%s of %s was %v, the event says %v", a.Name, e.DN, o.values[a.Name], a.Old)
			}
			if o.values[a.Name] = a.New; len(a.New) == 0 {
				delete(o.values, a.Name)
			}
		}
	}
	return objects
}

// oracle holds the event log against what the backends, the index and the reservations hold.
func (w *world) oracle(s *Service) {
	w.t.Helper()
	told := w.replay()
	rows, err := s.findRows(w.t.Context(), `1 = 1 ORDER BY path_key`)
	if err != nil {
		w.t.Fatal(err)
	}
	unique := 0
	for _, r := range rows {
		if r.dnKey == s.baseKey {
			continue // it was there before the log
		}
		o := told[r.uuid]
		if o == nil {
			w.t.Errorf("the index has %s, the log has not", r.dn)
			continue
		}
		delete(told, r.uuid)
		l, err := s.open(w.t.Context(), s.catalogue.Load(), r.uuid, wantsAll, trustNothing)
		if err != nil {
			w.t.Errorf("%s: %v", r.dn, err)
			continue
		}
		unique += len(uniques(l.shape, &l.object))
		w.compare(l, o)
		w.compareIndex(s, l)
	}
	for uuid, o := range told {
		w.t.Errorf("the log has %s %s, the index has not", uuid, o.dn)
	}
	if n := w.count("clacks_unique"); n != unique {
		w.t.Errorf("%d unique values are reserved, objects have %d", n, unique)
	}
	if n := w.count("clacks_locks"); n != 0 {
		w.t.Errorf("%d locks are left", n)
	}
	if n := w.count("clacks_journal WHERE state = 'prepared' OR state = 'parked'"); n != 0 {
		w.t.Errorf("%d operations are open", n)
	}
	w.strayEntries(s, rows)
	if w.table != nil {
		w.strayRows(rows)
	}
}

// strayEntries finds entries of the directory that the index does not know.
func (w *world) strayEntries(s *Service, rows []*row) {
	w.t.Helper()
	known := map[string]bool{}
	for _, r := range rows {
		known[r.dnKey] = true
	}
	n := 0
	for e, err := range w.config.Backends["LDAP"].Search(w.t.Context(), backends.Query{Base: testBase, Scope: backends.ScopeSub, Attributes: []string{"objectClass"}}) {
		if err != nil {
			w.t.Fatal(err)
		}
		n++
		if key, err := dn.Key(e.DN); err != nil || !known[key] {
			w.t.Errorf("the index does not know %s", e.DN)
		}
	}
	if n != len(rows) {
		w.t.Errorf("the directory has %d entries, the index %d", n, len(rows))
	}
}

func (w *world) compare(l *loaded, o *replica) {
	w.t.Helper()
	if l.row.dn != o.dn || !dn.Equal(l.entries["LDAP"].DN, o.dn) {
		w.t.Errorf("the log says %s, the index %s, the directory %s", o.dn, l.row.dn, l.entries["LDAP"].DN)
	}
	names := map[string]bool{}
	for name := range o.values {
		names[name] = true
	}
	for name := range l.object.Values {
		names[name] = true
	}
	for name := range names {
		a := l.shape.Attribute(name)
		if a == nil {
			w.t.Errorf("%s: the log has values of %s, which it has not", o.dn, name)
			continue
		}
		if have := textsOf(a, &l.object, name); !slices.Equal(have, o.values[name]) && len(have)+len(o.values[name]) > 0 {
			w.t.Errorf("%s: %s is %v, the log says %v", o.dn, name, have, o.values[name])
		}
	}
}

// compareIndex holds the index's values against those that the object gives.
func (w *world) compareIndex(s *Service, l *loaded) {
	w.t.Helper()
	var have []indexValue
	err := s.db.Query(w.t.Context(), `SELECT attribute, value_key FROM clacks_values WHERE uuid = ?`, []any{l.row.uuid},
		func(scan func(...any) error) error {
			var v indexValue
			err := scan(&v.Attribute, &v.Key)
			have = append(have, v)
			return err
		})
	if err != nil {
		w.t.Fatal(err)
	}
	slices.SortFunc(have, compareIndexValues)
	if want := indexValues(l.shape, &l.object); !slices.Equal(have, want) {
		w.t.Errorf("%s: the index has %v, the object %v", l.row.dn, missingIn(have, want), missingIn(want, have))
	}
}

// strayRows finds rows of tables that belong to no object.
func (w *world) strayRows(rows []*row) {
	w.t.Helper()
	for table, list := range w.table.rows {
		for key := range list {
			if !slices.ContainsFunc(rows, func(r *row) bool { return r.keys["SQL/"+table] == key }) {
				w.t.Errorf("the row %s of %s belongs to no object", key, table)
			}
		}
	}
}

// operations are the events of each transaction after the first n.
func operations(events []Changed, n int) []string {
	var list []string
	for _, e := range events[n:] {
		list = append(list, strings.TrimSpace(e.ChangeType+" "+e.DN))
	}
	return list
}
