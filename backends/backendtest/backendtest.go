// Package backendtest is the suite that every driver passes: the contract of package backends, sentence by sentence,
// the unhappy ones above all. A driver joins with one test:
//
//	func TestContract(t *testing.T) {
//		backendtest.Run(t, func(t *testing.T) backendtest.Fixture { ... })
//	}
//
// Run asks the fixture's backend for its Kind and runs the section that belongs to it. What a driver does not do it
// declares in its Capabilities; the suite checks each of them in both directions, so nothing is skipped in silence. It
// ends the test at the first broken sentence of a section and goes on with the next section.
package backendtest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"clacks"
	"clacks/backends"
)

// Fixture is an empty store behind the driver that is tested.
type Fixture struct {
	// Backend is open; the fixture closes it (t.Cleanup).
	Backend backends.Backend
	// Base is, for a Tree, the DN of an existing entry without children, below which the suite creates entries of the
	// classes organizationalUnit, inetOrgPerson, posixGroup and groupOfNames (core, cosine, nis, inetorgperson schema).
	// For a Table the tables of PostgreSQLTables or SQLiteTables exist and are empty.
	Base string
}

// PostgreSQLTables are the statements that make the tables of the suite in PostgreSQL.
const PostgreSQLTables = `
CREATE TABLE bt_people (
	id text PRIMARY KEY,
	name text NOT NULL,
	nick text UNIQUE,
	note text,
	age bigint CHECK (age >= 0),
	score double precision,
	active boolean,
	born timestamptz,
	photo bytea
);
CREATE TABLE bt_phones (person text NOT NULL, number text NOT NULL, UNIQUE (person, number));
CREATE TABLE bt_scores (person text NOT NULL, points bigint NOT NULL, UNIQUE (person, points));
CREATE TABLE bt_cards (id text PRIMARY KEY, owner text NOT NULL REFERENCES bt_people (id));
CREATE TABLE bt_numbers (id bigint PRIMARY KEY, label text);
`

// SQLiteTables are the statements that make the tables of the suite in SQLite, whose foreign keys must be switched on.
const SQLiteTables = `
CREATE TABLE bt_people (
	id TEXT PRIMARY KEY NOT NULL,
	name TEXT NOT NULL,
	nick TEXT UNIQUE,
	note TEXT,
	age INTEGER CHECK (age >= 0),
	score REAL,
	active BOOLEAN,
	born TIMESTAMP,
	photo BLOB
);
CREATE TABLE bt_phones (person TEXT NOT NULL, number TEXT NOT NULL, UNIQUE (person, number));
CREATE TABLE bt_scores (person TEXT NOT NULL, points INTEGER NOT NULL, UNIQUE (person, points));
CREATE TABLE bt_cards (id TEXT PRIMARY KEY NOT NULL, owner TEXT NOT NULL REFERENCES bt_people (id));
CREATE TABLE bt_numbers (id INTEGER PRIMARY KEY NOT NULL, label TEXT);
`

// section is one part of the suite. It gets a fixture of its own.
type section struct {
	name string
	run  func(t *testing.T, f Fixture)
}

// Run runs the suite. open is called once for each section, with the section's test, and gives an empty store each time.
func Run(t *testing.T, open func(t *testing.T) Fixture) {
	first := open(t).Backend.Capabilities()
	sections := map[backends.Kind][]section{
		backends.None:  noneSections,
		backends.Tree:  slices.Concat(treeSections, guardSections, nameSections, searchSections, treeRaceSections),
		backends.Table: slices.Concat(tableSections, tableGuardSections, tableSearchSections),
	}[first.Kind]
	if len(sections) == 0 {
		t.Fatalf("the suite knows no backend of kind %d", first.Kind)
	}
	for _, section := range sections {
		t.Run(section.name, func(t *testing.T) {
			f := open(t)
			if got := f.Backend.Capabilities(); got != first {
				t.Fatalf("Capabilities change: %+v, then %+v", first, got)
			}
			section.run(t, f)
		})
	}
}

// want fails unless err is a *clacks.Error of one of these kinds. Errors of a backend are never bare.
func want(t *testing.T, what string, err error, kinds ...clacks.Kind) {
	t.Helper()
	if err == nil {
		t.Fatalf("%s: succeeded, want an error of kind %v", what, kinds)
	}
	var e *clacks.Error
	if !errors.As(err, &e) {
		t.Fatalf("%s: %T is not a *clacks.Error: %v", what, err, err)
	}
	if !slices.Contains(kinds, e.Kind) {
		t.Fatalf("%s: kind %v, want %v: %v", what, e.Kind, kinds, err)
	}
}

// apply makes a change that must succeed.
func (f Fixture) apply(t *testing.T, c backends.Change) backends.Result {
	t.Helper()
	result, err := f.Backend.Apply(t.Context(), c)
	if err != nil {
		t.Fatalf("%s %s: %v", c.Op, name(c.Ref), err)
	}
	if c.Op == backends.OpDelete && result.Version == "" {
		return result // what is gone has no version
	}
	f.checkVersion(t, result.Version, "Result")
	return result
}

// refuse makes a change that must fail with one of these kinds.
func (f Fixture) refuse(t *testing.T, c backends.Change, kinds ...clacks.Kind) {
	t.Helper()
	_, err := f.Backend.Apply(t.Context(), c)
	want(t, fmt.Sprintf("%s %s", c.Op, name(c.Ref)), err, kinds...)
}

// read reads an entry that must exist.
func (f Fixture) read(t *testing.T, ref backends.Ref, attributes ...string) *backends.Entry {
	t.Helper()
	entry, err := f.Backend.Read(t.Context(), ref, attributes)
	if err != nil {
		t.Fatalf("read %s: %v", name(ref), err)
	}
	f.checkVersion(t, entry.Version, "Entry")
	if f.Backend.Capabilities().Kind == backends.Tree && (entry.DN == "" || entry.UUID == "") {
		t.Fatalf("read %s: DN %q and UUID %q must both be set", name(ref), entry.DN, entry.UUID)
	}
	return entry
}

// missing checks that there is no such entry.
func (f Fixture) missing(t *testing.T, ref backends.Ref) {
	t.Helper()
	_, err := f.Backend.Read(t.Context(), ref, []string{"*"})
	want(t, "read "+name(ref), err, clacks.NotFound)
}

// checkVersion holds the capability Versions to its word, in both directions.
func (f Fixture) checkVersion(t *testing.T, version, where string) {
	t.Helper()
	if has := f.Backend.Capabilities().Versions; has != (version != "") {
		t.Fatalf("Capabilities.Versions is %v, but %s.Version is %q", has, where, version)
	}
}

// holds checks the values of one attribute, in any order, by their Go type too.
func holds(t *testing.T, entry *backends.Entry, attribute string, values ...backends.Value) {
	t.Helper()
	got, expected := keys(entry.Values[attribute]), keys(values)
	if !slices.Equal(got, expected) {
		t.Fatalf("%s of %s is %s, want %s", attribute, name(entry.Ref), brief(got), brief(expected))
	}
}

// keys are values in a comparable and sorted form that tells types apart.
func keys(values []backends.Value) []string {
	keys := make([]string, len(values))
	for i, value := range values {
		if at, ok := value.(time.Time); ok {
			value = at.Format(time.RFC3339Nano) + at.Location().String()
		}
		keys[i] = fmt.Sprintf("%T %q", value, fmt.Sprint(value))
		if bytes, ok := value.([]byte); ok {
			keys[i] = fmt.Sprintf("[]byte %x", bytes)
		}
	}
	slices.Sort(keys)
	return keys
}

// text are values as strings, sorted, for attributes whose Go type is the driver's choice.
func text(values []backends.Value) []string {
	texts := make([]string, len(values))
	for i, value := range values {
		texts[i] = fmt.Sprint(value)
		if bytes, ok := value.([]byte); ok {
			texts[i] = string(bytes)
		}
	}
	slices.Sort(texts)
	return texts
}

func brief(list []string) string {
	joined := strings.Join(list, ", ")
	if len(joined) > 300 {
		return fmt.Sprintf("%d values: %s...", len(list), joined[:300])
	}
	return "[" + joined + "]"
}

func name(ref backends.Ref) string {
	switch {
	case ref.DN != "":
		return fmt.Sprintf("%q", ref.DN)
	case ref.Table != "":
		return fmt.Sprintf("%s[%s=%v]", ref.Table, ref.Column, ref.Key)
	}
	return ref.UUID
}

// list makes a value list of strings.
func list(values ...string) []backends.Value {
	converted := make([]backends.Value, len(values))
	for i, value := range values {
		converted[i] = value
	}
	return converted
}

// found collects what a search yields; it fails when the search does, or when something follows its error.
func (f Fixture) found(t *testing.T, q backends.Query) []*backends.Entry {
	t.Helper()
	var entries []*backends.Entry
	for entry, err := range f.Backend.Search(t.Context(), q) {
		if err != nil {
			t.Fatalf("search %s%s: %v", q.Base, q.Table, err)
		}
		f.checkVersion(t, entry.Version, "Entry")
		entries = append(entries, entry)
	}
	return entries
}

// searchError runs a search that must fail with one of these kinds.
func (f Fixture) searchError(t *testing.T, q backends.Query, kinds ...clacks.Kind) {
	t.Helper()
	var failure error
	for entry, err := range f.Backend.Search(t.Context(), q) {
		if failure != nil {
			t.Fatalf("after the error %v the search yields %v, %v", failure, entry, err)
		}
		failure = err
	}
	want(t, "search "+q.Base+q.Table, failure, kinds...)
}
